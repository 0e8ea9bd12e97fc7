/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packet/mtu.c: fragments put together again are the packet, whatever it was; ICMP messages are
 * held against DPDK's checksums and the RFCs' rules for when to be silent.
 */
#include <rte_ip.h>

#include "dataplane/packet/mtu.h"
#include "dataplane/packet/packet.h"
#include "dataplane/packet/parse.h"
#include "tests/unit/packet/frames.h"
#include "tests/unit/packet/mbufs.h"
#include "tests/unit/unit.h"

#define A 0x0a000001u
#define B 0xc0000202u
#define ICMP 1
#define UDP 17
#define ICMPV6 58

static struct rte_mempool *pool;
static const uint8_t source[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 10};

static struct rte_mbuf *parsed(struct frame *f)
{
	static const struct parse_context context = {.hash_seed = 1};
	struct rte_mbuf *m;

	if (pool == NULL) {
		mbufs_start("64");
		pool = mbufs_pool("mtu", 63, 2048);
	}
	frame_finish(f);
	m = mbufs_make(pool, f->bytes, f->len);
	packet_parse_bulk(&m, 1, &context, 0);
	return m;
}

static struct rte_mbuf *datagram(int version, unsigned tags, unsigned payload_len)
{
	static struct frame f;

	f.len = 0;
	put_ethernet(&f, tags > 0 ? 0x8100 : version == 4 ? 0x0800 : 0x86dd);
	for (unsigned i = 1; i <= tags; i++)
		put_tag(&f, i, i < tags ? 0x8100 : version == 4 ? 0x0800 : 0x86dd);
	(version == 4 ? put_ipv4 : put_ipv6)(&f, UDP, A, B);
	put_udp(&f, 1000, 53, payload_len);
	for (unsigned i = 0; i < payload_len; i++)
		f.bytes[f.len - payload_len + i] = (uint8_t)(i * 7 + i / 256);
	return parsed(&f);
}

static struct rte_ipv4_hdr *ipv4_of(const struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, pkt_of(m)->l3_off);
}

static void test_fragments(void)
{
	static const uint16_t places[] = {0, RTE_IPV4_HDR_MF_FLAG, 185, 185 | RTE_IPV4_HDR_MF_FLAG};

	for (unsigned k = 0; k < 4 * 40; k++) {
		unsigned tags = k % 3, payload_len = 1480 - k % 16;
		uint32_t mtu = 28 + k * 9, at = 0, next = 0, whole;
		uint8_t together[2048];
		struct rte_mbuf *m = datagram(4, tags, payload_len);
		struct rte_mbuf *out = rte_pktmbuf_alloc(pool);
		bool was_last = false;

		ipv4_of(m)->fragment_offset = rte_cpu_to_be_16(places[k / 40]);
		whole = pkt_of(m)->l3_len - 20u;
		CU_ASSERT(packet_may_fragment(m));
		while (rte_pktmbuf_reset(out), packet_fragment(m, mtu, &at, out)) {
			const struct rte_ipv4_hdr *ip = ipv4_of(out);
			uint32_t len = rte_be_to_cpu_16(ip->total_length);
			uint16_t place = rte_be_to_cpu_16(ip->fragment_offset);

			CU_ASSERT_FATAL(!was_last && len <= mtu && len > 20);
			CU_ASSERT_EQUAL(rte_raw_cksum(ip, 20), 0xffff);
			CU_ASSERT_EQUAL(out->data_len, pkt_of(m)->l3_off + len);
			CU_ASSERT_EQUAL(pkt_of(out)->l3_len, len);
			CU_ASSERT_EQUAL((place & 0x1fff) - (places[k / 40] & 0x1fff), next / 8);
			memcpy(together + next, ip + 1, len - 20);
			next += len - 20;
			was_last = next == whole;
			CU_ASSERT_EQUAL(!!(place & RTE_IPV4_HDR_MF_FLAG),
				!was_last || places[k / 40] & RTE_IPV4_HDR_MF_FLAG);
			CU_ASSERT(was_last || (len - 20) % 8 == 0);
			CU_ASSERT(memcmp(rte_pktmbuf_mtod(out, void *), rte_pktmbuf_mtod(m, void *),
					  pkt_of(m)->l3_off) == 0);
		}
		CU_ASSERT(was_last && memcmp(together, ipv4_of(m) + 1, whole) == 0);
		ipv4_of(m)->fragment_offset |= RTE_BE16(RTE_IPV4_HDR_DF_FLAG);
		CU_ASSERT(!packet_may_fragment(m));
		rte_pktmbuf_free(m);
		rte_pktmbuf_free(out);
	}
	struct rte_mbuf *m = datagram(6, 0, 1400);

	CU_ASSERT(!packet_may_fragment(m));
	rte_pktmbuf_free(m);
}

static void test_too_big(void)
{
	for (unsigned k = 0; k < 12; k++) {
		int version = k & 1 ? 6 : 4;
		unsigned tags = k / 2 % 3, payload_len = k < 6 ? 1400 : 10;
		struct rte_mbuf *m = datagram(version, tags, payload_len);
		struct rte_mbuf *out = rte_pktmbuf_alloc(pool);
		uint32_t l3 = pkt_of(m)->l3_off, head = version == 4 ? 20 : 40;

		CU_ASSERT_FATAL(packet_too_big(m, 1430, source, out));
		const uint8_t *was = rte_pktmbuf_mtod(m, uint8_t *);
		const uint8_t *is = rte_pktmbuf_mtod(out, uint8_t *), *icmp = is + l3 + head;
		uint32_t quoted = out->data_len - l3 - head - 8;

		CU_ASSERT(memcmp(is, was + 6, 6) == 0 && memcmp(is + 6, was, 6) == 0 &&
			  memcmp(is + 12, was + 12, l3 - 12) == 0);
		CU_ASSERT(memcmp(icmp + 8, was + l3, quoted) == 0);
		if (version == 4) {
			CU_ASSERT_EQUAL(rte_raw_cksum(is + l3, 20), 0xffff);
			CU_ASSERT_EQUAL(rte_raw_cksum(icmp, quoted + 8), 0xffff);
			CU_ASSERT(memcmp(is + l3 + 12, source + 12, 4) == 0);
			CU_ASSERT(memcmp(is + l3 + 16, was + l3 + 12, 4) == 0);
			CU_ASSERT(icmp[0] == 3 && icmp[1] == 4);
			CU_ASSERT_EQUAL(quoted, k < 6 ? 576u - 28 : pkt_of(m)->l3_len);
		} else {
			const struct rte_ipv6_hdr *ip = (const void *)(is + l3);

			/* Together with the pseudo header it is all ones. */
			CU_ASSERT_EQUAL(rte_raw_cksum(icmp, quoted + 8),
				(uint16_t)~rte_ipv6_phdr_cksum(ip, 0));
			CU_ASSERT(memcmp(is + l3 + 8, source, 16) == 0);
			CU_ASSERT(memcmp(is + l3 + 24, was + l3 + 8, 16) == 0);
			CU_ASSERT(icmp[0] == 2 && icmp[1] == 0);
			CU_ASSERT_EQUAL(quoted, k < 6 ? 1280u - 48 : pkt_of(m)->l3_len);
		}
		CU_ASSERT(icmp[6] == 1430 >> 8 && icmp[7] == (1430 & 0xff));
		rte_pktmbuf_free(m);
		rte_pktmbuf_free(out);
	}
}

/* No message about messages, later fragments, broadcasts and senders that are none. */
static void test_silence(void)
{
	struct rte_mbuf *out, *m = datagram(4, 0, 1400);
	static struct frame f;

	out = rte_pktmbuf_alloc(pool);
	ipv4_of(m)->fragment_offset = RTE_BE16(5);
	CU_ASSERT(!packet_too_big(m, 1400, source, out));
	ipv4_of(m)->fragment_offset = RTE_BE16(RTE_IPV4_HDR_MF_FLAG);
	CU_ASSERT(packet_too_big(m, 1400, source, out));
	rte_pktmbuf_reset(out);
	pkt_of(m)->flags |= PKT_LLBCAST;
	CU_ASSERT(!packet_too_big(m, 1400, source, out));
	pkt_of(m)->flags &= (uint16_t)~PKT_LLBCAST;
	memset(pkt_of(m)->key.addr[pkt_of(m)->dir] + 12, 0, 4);
	CU_ASSERT(!packet_too_big(m, 1400, source, out));
	rte_pktmbuf_free(m);

	for (unsigned type = 0; type < 256; type++) {
		for (int version = 4; version <= 6; version += 2) {
			f.len = 0;
			put_ethernet(&f, version == 4 ? 0x0800 : 0x86dd);
			(version == 4 ? put_ipv4 : put_ipv6)(
				&f, version == 4 ? ICMP : ICMPV6, A, B);
			put8(&f, type);
			put_zeros(&f, 600);
			m = parsed(&f);
			bool is_error =
				version == 6 ? type < 128 : type != 0 && type != 8 && type <= 12;

			CU_ASSERT_EQUAL(packet_too_big(m, 1400, source, out), !is_error);
			rte_pktmbuf_reset(out);
			rte_pktmbuf_free(m);
		}
	}
	rte_pktmbuf_free(out);
}

UNIT_TESTS("packet mtu", {"fragments are the packet", test_fragments}, {"too big", test_too_big},
	{"and when not to say so", test_silence})
