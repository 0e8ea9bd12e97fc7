/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checksums, MSS clamping, ECN marks and DSCPs, held against DPDK's own checksum functions over the
 * whole packet.
 */
#define ALLOW_EXPERIMENTAL_API /* rte_ipv4_udptcp_cksum_verify() and its sister */
#include <rte_ip.h>

#include "dataplane/packet/edit.h"
#include "dataplane/packet/parse.h"
#include "tests/unit/packet/frames.h"
#include "tests/unit/packet/mbufs.h"
#include "tests/unit/unit.h"

#define A 0x0a000001u
#define B 0xc0000202u
#define SYN 0x02
#define ACK 0x10

static struct rte_mempool *pool;

static struct rte_mbuf *parsed(struct frame *f)
{
	static const struct parse_context context = {.hash_seed = 1};
	struct rte_mbuf *m;

	if (pool == NULL) {
		mbufs_start("64");
		pool = mbufs_pool("edit", 31, 2048);
	}
	frame_finish(f);
	m = mbufs_make(pool, f->bytes, f->len);
	packet_parse_bulk(&m, 1, &context, 0);
	return m;
}

/* Does DPDK find the layer 3 and 4 checksums right? */
static bool dpdk_agrees(const struct rte_mbuf *m)
{
	const struct pkt *p = pkt_of(m);
	const void *l4 = rte_pktmbuf_mtod_offset(m, const void *, p->l4_off);

	if (p->flags & PKT_IPV6) {
		const struct rte_ipv6_hdr *ip =
			rte_pktmbuf_mtod_offset(m, const struct rte_ipv6_hdr *, p->l3_off);

		return rte_ipv6_udptcp_cksum_verify(ip, l4) == 0;
	}

	const struct rte_ipv4_hdr *ip =
		rte_pktmbuf_mtod_offset(m, const struct rte_ipv4_hdr *, p->l3_off);

	return rte_raw_cksum(ip, rte_ipv4_hdr_len(ip)) == 0xffff &&
	       rte_ipv4_udptcp_cksum_verify(ip, l4) == 0;
}

static void put_ip(struct frame *f, int version, unsigned proto)
{
	put_ethernet(f, version == 4 ? 0x0800 : 0x86dd);
	if (version == 4)
		put_ipv4(f, proto, A, B);
	else
		put_ipv6(f, proto, A, B);
}

static void test_adjust(void)
{
	uint8_t data[64];
	uint32_t state = 12345;

	for (unsigned round = 0; round < 100000; round++) {
		uint16_t checksum, before, after;
		uint32_t wide;

		for (unsigned i = 0; i < sizeof(data); i++) {
			state = state * 1664525 + 1013904223;
			/* Many zeros and ones: where one's complement has its corners. */
			data[i] = state >> 30 == 0   ? 0
				  : state >> 30 == 1 ? 0xff
						     : (uint8_t)(state >> 16);
		}
		data[0] |= 1; /* no header is all zeros */
		checksum = (uint16_t)~rte_raw_cksum(data, sizeof(data));
		memcpy(&before, data + 10, 2);
		after = state & 1 ? (uint16_t)(state >> 8) : 0xffff;
		memcpy(data + 10, &after, 2);
		checksum = packet_checksum_adjust16(checksum, before, after);
		CU_ASSERT_EQUAL(checksum, (uint16_t)~rte_raw_cksum(data, sizeof(data)));
		memcpy(&wide, data + 20, 4);
		memcpy(data + 20, &state, 4);
		checksum = packet_checksum_adjust32(checksum, wide, state);
		CU_ASSERT_EQUAL(checksum, (uint16_t)~rte_raw_cksum(data, sizeof(data)));
	}
}

static void test_checksums(void)
{
	struct frame f;

	for (int version = 4; version <= 6; version += 2) {
		for (unsigned len = 0; len < 50; len++) {
			for (unsigned tcp = 0; tcp < 2; tcp++) {
				put_ip(&f, version, tcp ? 6 : 17);
				if (tcp)
					put_tcp(&f, 1, 2, 0x10, NULL, 0);
				else
					put_udp(&f, 1, 2, len);
				for (unsigned i = tcp ? 0 : len; i < len; i++)
					put8(&f, i * 37);

				struct rte_mbuf *m = parsed(&f);

				CU_ASSERT(packet_ip_checksum_ok(m));
				CU_ASSERT_EQUAL(packet_l4_checksum_ok(m), !tcp && version == 4);
				CU_ASSERT(packet_l4_checksum_set(m));
				CU_ASSERT(packet_l4_checksum_ok(m));
				CU_ASSERT(dpdk_agrees(m));
				rte_pktmbuf_mtod(m, uint8_t *)[m->data_len - 1] ^= 4;
				CU_ASSERT_FALSE(packet_l4_checksum_ok(m));
				rte_pktmbuf_free(m);
			}
		}
	}

	/* A UDP checksum that comes out as 0 is written as 0xffff. */
	put_ip(&f, 4, 17);
	put_udp(&f, 1, 2, 2);
	struct rte_mbuf *m = parsed(&f);
	uint8_t *udp = rte_pktmbuf_mtod_offset(m, uint8_t *, 34);
	uint16_t checksum;

	packet_l4_checksum_set(m);
	memcpy(udp + 8, udp + 6, 2);
	packet_l4_checksum_set(m);
	memcpy(&checksum, udp + 6, 2);
	CU_ASSERT_EQUAL(checksum, 0xffff);
	CU_ASSERT(dpdk_agrees(m));
	rte_pktmbuf_free(m);

	/* An echo request with its known checksum, and ICMPv6. */
	put_ip(&f, 4, 1);
	put(&f,
		"\x08\x00\x4d\x56\x00\x01\x00\x05"
		"abcdefghijklmnopqrstuvwabcdefghi",
		40);
	m = parsed(&f);
	CU_ASSERT(packet_l4_checksum_ok(m));
	memset(rte_pktmbuf_mtod_offset(m, uint8_t *, 36), 0xee, 2);
	CU_ASSERT_FALSE(packet_l4_checksum_ok(m));
	CU_ASSERT(packet_l4_checksum_set(m));
	CU_ASSERT(memcmp(rte_pktmbuf_mtod_offset(m, uint8_t *, 36), "\x4d\x56", 2) == 0);
	memset(rte_pktmbuf_mtod_offset(m, uint8_t *, 24), 0, 2);
	CU_ASSERT_FALSE(packet_ip_checksum_ok(m));
	packet_ip_checksum_set(m);
	CU_ASSERT(packet_ip_checksum_ok(m));
	rte_pktmbuf_free(m);
	put_ip(&f, 6, 58);
	put(&f, "\x80\x00\x00\x00\x12\x34\x00\x01xyz", 11);
	m = parsed(&f);
	CU_ASSERT(packet_l4_checksum_set(m));
	CU_ASSERT(packet_l4_checksum_ok(m));
	checksum = rte_ipv6_phdr_cksum(rte_pktmbuf_mtod_offset(m, void *, 14), 0);
	CU_ASSERT_EQUAL(__rte_raw_cksum_reduce(
				checksum + (uint32_t)rte_raw_cksum(
						   rte_pktmbuf_mtod_offset(m, void *, 54), 11)),
		0xffff);
	rte_pktmbuf_free(m);

	/* Nothing to check: fragments, other protocols, no IP. */
	put_ip(&f, 4, 17);
	put_udp(&f, 1, 2, 10);
	set16(&f, 20, 0x2000);
	m = parsed(&f);
	CU_ASSERT_FALSE(packet_l4_checksum_ok(m));
	CU_ASSERT_FALSE(packet_l4_checksum_set(m));
	rte_pktmbuf_free(m);
	put_ethernet(&f, 0x88cc);
	put_zeros(&f, 60);
	f.ip = 20; /* not an IP header: left alone by frame_finish() */
	f.bytes[20] = 0x60;
	f.bytes[25] = 1;
	m = parsed(&f);
	CU_ASSERT_FALSE(packet_ip_checksum_ok(m));
	CU_ASSERT_FALSE(packet_l4_checksum_ok(m));
	CU_ASSERT_FALSE(packet_l4_checksum_set(m));
	rte_pktmbuf_free(m);
}

static unsigned mss_in(const struct rte_mbuf *m, unsigned option_at)
{
	const uint8_t *at =
		rte_pktmbuf_mtod_offset(m, const uint8_t *, pkt_of(m)->l4_off + 20 + option_at + 2);

	return at[0] * 256u + at[1];
}

static void test_mss(void)
{
	/* The option at even and odd offsets. */
	static const struct {
		const char *options;
		unsigned len, at;
	} layouts[] = {
		{"\x02\x04\x05\xb4\x04\x02\x08\x0a\0\0\0\x07\0\0\0\0\x01\x03\x03\x07", 20, 0},
		{"\x01\x02\x04\x05\xb4\x00\x00\x00", 8, 1},
		{"\x03\x03\x07\x02\x04\x05\xb4\x00", 8, 3},
		{"\x01\x01\x04\x02\x01\x02\x04\x05\xb4\x00\x00\x00", 12, 5},
	};
	struct frame f;
	struct rte_mbuf *m;

	for (int version = 4; version <= 6; version += 2) {
		for (unsigned i = 0; i < RTE_DIM(layouts); i++) {
			for (unsigned mss = 0; mss < 1600; mss += 100) {
				put_ip(&f, version, 6);
				put_tcp(&f, 1, 2, i & 1 ? SYN | ACK : SYN, layouts[i].options,
					layouts[i].len);
				m = parsed(&f);
				packet_l4_checksum_set(m);
				CU_ASSERT_EQUAL(packet_clamp_mss(m, (uint16_t)mss), mss < 1460);
				CU_ASSERT_EQUAL(mss_in(m, layouts[i].at), mss < 1460 ? mss : 1460);
				CU_ASSERT(dpdk_agrees(m));
				rte_pktmbuf_free(m);
			}
		}
	}

	/* Left alone: no SYN, no such option, lists that lie, authenticated. */
	static const struct {
		const char *options;
		unsigned len, flags;
	} others[] = {
		{"\x02\x04\x05\xb4", 4, ACK},
		{"\x01\x01\x01\x01", 4, SYN},
		{"\x00\x01\x01\x01\x02\x04\x05\xb4", 8, SYN},
		{"\x01\x01\x01\x02", 4, SYN},
		{"\x01\x01\x02\x04", 4, SYN},
		{"\x02\x05\x05\xb4", 4, SYN},
		{"\x05\x00\x02\x04\x05\xb4\x00\x00", 8, SYN},
		{NULL, 0, SYN},
	};
	for (unsigned i = 0; i < RTE_DIM(others); i++) {
		put_ip(&f, 4, 6);
		put_tcp(&f, 1, 2, others[i].flags, others[i].options, others[i].len);
		m = parsed(&f);
		memcpy(f.bytes, rte_pktmbuf_mtod(m, void *), f.len);
		CU_ASSERT_FALSE(packet_clamp_mss(m, 500));
		CU_ASSERT(memcmp(f.bytes, rte_pktmbuf_mtod(m, void *), f.len) == 0);
		rte_pktmbuf_free(m);
	}
	for (unsigned authenticated = 0; authenticated < 2; authenticated++) {
		put_ip(&f, 6, 60);
		put32(&f, authenticated ? 0x33000000 : 0x06000000);
		put32(&f, 0);
		if (authenticated) {
			put32(&f, 0x06040000);
			put_zeros(&f, 20);
		}
		put_tcp(&f, 1, 2, SYN, "\x02\x04\x05\xb4", 4);
		m = parsed(&f);
		CU_ASSERT(pkt_of(m)->flags & PKT_TCP);
		CU_ASSERT_EQUAL(packet_clamp_mss(m, 1200), !authenticated);
		rte_pktmbuf_free(m);
	}
}

static void test_ecn(void)
{
	struct frame f;

	for (int version = 4; version <= 6; version += 2) {
		for (unsigned ecn = ECN_NOT_ECT; ecn <= ECN_CE; ecn++) {
			put_ip(&f, version, 17);
			put_udp(&f, 1, 2, 10);
			f.bytes[15] |= (uint8_t)(version == 4 ? ecn : ecn << 4);

			struct rte_mbuf *m = parsed(&f);
			static const struct parse_context context;

			CU_ASSERT_EQUAL(pkt_of(m)->ecn, ecn);
			packet_l4_checksum_set(m);
			CU_ASSERT_EQUAL(packet_set_ecn_ce(m), ecn != ECN_NOT_ECT);
			CU_ASSERT_EQUAL(pkt_of(m)->ecn, ecn != ECN_NOT_ECT ? ECN_CE : ECN_NOT_ECT);
			packet_parse_bulk(&m, 1, &context, 0);
			CU_ASSERT_EQUAL(pkt_of(m)->ecn, ecn != ECN_NOT_ECT ? ECN_CE : ECN_NOT_ECT);
			CU_ASSERT_EQUAL(pkt_of(m)->dscp, 46);
			CU_ASSERT(dpdk_agrees(m));
			rte_pktmbuf_free(m);
		}
	}
}

/* Every DSCP over every other one and every ECN field; the checksum is computed anew to compare. */
static void test_dscp(void)
{
	static const struct parse_context context;
	struct frame f;

	for (int version = 4; version <= 6; version += 2) {
		for (unsigned i = 0; i < 64 * 64 * 4; i++) {
			unsigned before = i & 63, after = i >> 6 & 63, ecn = i >> 12;
			unsigned tos = before << 2 | ecn;
			uint8_t flow_label;

			put_ip(&f, version, 17);
			put_udp(&f, 1, 2, 10);
			if (version == 4) {
				f.bytes[15] = (uint8_t)tos;
			} else {
				f.bytes[14] = (uint8_t)(0x60 | tos >> 4);
				f.bytes[15] = (uint8_t)(tos << 4 | (before & 0xf));
			}
			flow_label = f.bytes[15] & 0xf;

			struct rte_mbuf *m = parsed(&f);
			uint8_t *ip = rte_pktmbuf_mtod_offset(m, uint8_t *, 14);
			uint16_t checksum, whole;

			packet_l4_checksum_set(m);
			CU_ASSERT(packet_set_dscp(m, (uint8_t)after));
			CU_ASSERT_EQUAL(pkt_of(m)->dscp, after);
			packet_parse_bulk(&m, 1, &context, 0);
			CU_ASSERT_EQUAL(pkt_of(m)->dscp, after);
			CU_ASSERT_EQUAL(pkt_of(m)->ecn, ecn);
			CU_ASSERT_EQUAL(ip[0] >> 4, version);
			if (version == 6)
				CU_ASSERT_EQUAL(ip[1] & 0xf, flow_label);
			CU_ASSERT(dpdk_agrees(m));
			memcpy(&checksum, ip + 10, 2);
			packet_ip_checksum_set(m);
			memcpy(&whole, ip + 10, 2);
			CU_ASSERT_EQUAL(checksum, whole);
			rte_pktmbuf_free(m);
		}
	}

	put_ethernet(&f, 0x0806);
	for (unsigned i = 0; i < 46; i++)
		put8(&f, 0);

	struct rte_mbuf *m = parsed(&f);
	CU_ASSERT_FALSE(packet_set_dscp(m, 46));
	CU_ASSERT_EQUAL(memcmp(rte_pktmbuf_mtod(m, void *), f.bytes, f.len), 0);
	rte_pktmbuf_free(m);
}

UNIT_TESTS("packet edit", {"incremental checksums (RFC 1624)", test_adjust},
	{"whole checksums", test_checksums}, {"MSS clamping", test_mss}, {"ECN marks", test_ecn},
	{"DSCP", test_dscp})
