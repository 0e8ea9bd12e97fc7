/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * link/transparent.c: the frame's bytes, the packet that comes out of it again, what routers may
 * change on the way and what nobody may, and which packets are left alone. Arriving frames go
 * through the real parser, as it decides what may be a frame.
 */
#include <errno.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "controlplane/channel/counters.h"
#include "dataplane/packet/parse.h"
#include "tests/unit/link/frames.h"
#include "tests/unit/unit.h"

#define NOW UINT64_C(1234567890123)
#define GAIN 16
#define CPI 0xf5a7

static struct link_seq *lanes;
static struct codec *codec;
static const struct codec_method methods[] = {
	{CODEC_LZ4, 1, 0}, {CODEC_LZ4_DICTIONARY, 1, 6}, {CODEC_ZSTD, 1, 0}, {CODEC_ZSTD, 3, 6}};
#define METHODS (sizeof(methods) / sizeof(methods[0]))

static void set_up(struct link_path path[2], bool routed)
{
	frames_pool();
	if (lanes == NULL)
		lanes = aligned_alloc(64, LINK_LANES * sizeof(*lanes));
	codec = frames_codec();
	memset(lanes, 0, LINK_LANES * sizeof(*lanes));
	frames_paths(path, 4, 0, routed);
	for (int i = 0; i < 2; i++) {
		path[i].transparent = path[i].transparent_rx = true;
		path[i].tx_cpi = (uint16_t)(CPI + i);
		path[i].rx_cpi = (uint16_t)(CPI + 1 - i);
	}
}

static void parse(struct rte_mbuf *m, enum way way)
{
	const struct parse_context context = {.hash_seed = 7,
		.way = way,
		.link_port = RTE_BE16(4790),
		.in_path4 = way == WAY_DOWN ? RTE_BE32(0xc0000002) : RTE_BE32(0xc0000001)};

	packet_parse_bulk(&m, 1, &context, NOW);
}

/* As worker_compress.c does it. NULL: not sent through the link. */
static struct rte_mbuf *encode(struct link_tx *tx, const struct link_path *path,
	struct rte_mbuf *in, struct codec_method method)
{
	struct rte_mbuf *out = rte_pktmbuf_alloc(frames_pool());
	uint32_t len, room;
	const uint8_t *inner = link_inner(path, in, &len);
	uint8_t *blob = link_blob(path, in, out, GAIN, &room);
	int n = room > 0 && len > 0 ? codec_encode(codec, method, inner, len, blob, room) : 0;

	if (n > 0 && link_encode(tx, path, in, method.number, (uint32_t)n, out, NOW) == 0) {
		CU_ASSERT_EQUAL(out->data_len, link_headers_of(path, in) + (uint32_t)n);
		return out;
	}
	rte_pktmbuf_free(out);
	return NULL;
}

/* What becomes of a frame that arrives. */
#define PASSES 1 /* no frame of ours: goes on as it came */
static int arrive(struct rte_mbuf *frame, const struct link_path *path, struct rte_mbuf *out)
{
	parse(frame, WAY_DOWN);
	if (!link_is_transparent(pkt_of(frame)) || !link_transparent_is_of(frame, path, NOW))
		return PASSES;
	return link_decode(codec, frame, path, lanes, NULL, out, NOW + 1000000, NULL);
}

static bool is_same(const struct rte_mbuf *a, const struct rte_mbuf *b)
{
	return a->data_len == b->data_len && a->pkt_len == b->pkt_len &&
	       memcmp(rte_pktmbuf_mtod(a, void *), rte_pktmbuf_mtod(b, void *), a->data_len) == 0;
}

/* The frame's headers: those of the packet, but for what must differ. */
static void check_headers(const struct rte_mbuf *in, const struct rte_mbuf *frame)
{
	const uint8_t *a = rte_pktmbuf_mtod(in, const uint8_t *);
	const uint8_t *b = rte_pktmbuf_mtod(frame, const uint8_t *);
	uint32_t l3 = pkt_of(in)->l3_off, len = frame->data_len - l3;

	CU_ASSERT(memcmp(a, b, l3) == 0);
	a += l3;
	b += l3;
	if (a[0] == 0x45) {
		CU_ASSERT(memcmp(a, b, 2) == 0 && memcmp(a + 4, b + 4, 5) == 0 &&
			  memcmp(a + 12, b + 12, 8) == 0);
		CU_ASSERT_EQUAL((uint32_t)b[2] << 8 | b[3], len);
		CU_ASSERT_EQUAL(b[9], 108);
		CU_ASSERT_EQUAL(frames_sum(b, 20, 0), 0xffff);
		CU_ASSERT_EQUAL(b[20], a[9]);
		b += 20;
	} else {
		CU_ASSERT(memcmp(a, b, 4) == 0 && a[7] == b[7] && memcmp(a + 8, b + 8, 32) == 0);
		CU_ASSERT_EQUAL((uint32_t)b[4] << 8 | b[5], len - 40);
		CU_ASSERT_EQUAL(b[6], 108);
		CU_ASSERT_EQUAL(b[40], a[6]);
		b += 40;
	}
	CU_ASSERT(b[1] == 0 && b[2] == CPI >> 8 && b[3] == (CPI & 0xff));
}

static void test_round_trip(void)
{
	struct link_path path[2];

	for (unsigned v = 0; v < 8; v++) {
		struct rte_mbuf *out;
		struct link_tx tx;
		struct link_seq_counts got;
		uint32_t sent = 0;

		set_up(path, v & 2);
		link_tx_init(&tx, (uint8_t)(v * 16 + 15 - v));
		out = rte_pktmbuf_alloc(frames_pool());
		for (int kind = 0; kind < DATA_KINDS; kind++)
			for (uint32_t len = 0; len <= 8900; len += len < 200 ? 1 : 139, sent++) {
				struct rte_mbuf *in = frames_inner(v & 1 ? 6 : 4, len % 3,
					(enum data_kind)kind, len, 0, len % 4, len);
				struct rte_mbuf *frame;

				parse(in, WAY_UP);
				frame = encode(&tx, &path[0], in, methods[(v + len) % METHODS]);
				if (frame != NULL) {
					CU_ASSERT(frame->data_len + GAIN <= in->data_len);
					check_headers(in, frame);
					rte_pktmbuf_reset(out);
					CU_ASSERT_EQUAL(arrive(frame, &path[1], out), 0);
					CU_ASSERT(is_same(in, out));
					rte_pktmbuf_reset(out);
					CU_ASSERT_EQUAL(
						arrive(frame, &path[1], out), -DROP_LINK_DUPLICATE);
				}
				rte_pktmbuf_free(frame);
				rte_pktmbuf_free(in);
			}
		link_seq_read(&lanes[tx.lane], NULL, NOW, &got);
		CU_ASSERT(tx.packets > sent / 5);
		CU_ASSERT_EQUAL(got.unique, tx.packets);
		CU_ASSERT_EQUAL(got.lost, 0);
		rte_pktmbuf_free(out);
	}
}

/* A whole frame, byte by byte: codec RAW, so that nothing depends on a library. */
static void test_vector(void)
{
	static const uint8_t expected[] = {2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 0x08, 0x00,
		/* IPv4: DSCP 10, ECT(0), 64 bytes, ID 1234, DF, TTL 63 */
		0x45, 0x2a, 0x00, 0x40, 0x12, 0x34, 0x40, 0x00, 63, 108, 0x13, 0xf3, 10, 0, 0, 1,
		10, 0, 1, 1,
		/* IPComp: UDP follows */
		17, 0, 0xf5, 0xa7,
		/* Shim: version, RAW, class slot 1, lane 0x23, 24 bytes; number 0; time; then the
		   check */
		LINK_VERSION << 6, 0x48, 0xc0, 0x18, 0, 0, 0, 0, 0x47, 0xdc, 0x7e, 0xc1};
	static const uint8_t bound4[44] = {
		0x12, 0x34, 0x40, 0x00, 63, 4, 0, 0, 17, 0, 0xf5, 0xa7, 10, 0, 0, 1, 10, 0, 1, 1};
	uint8_t bound6[44] = {0, 0x00, 0x34, 0x56, 63, 6, 0, 0, 17, 0, 0xf5, 0xa7, 0xfd};
	struct link_path path[2];
	struct rte_mbuf *in, *frame;
	struct link_tx tx;

	for (unsigned v = 0; v < 4; v++) {
		bool ipv6 = v & 1, routed = v & 2;
		uint32_t room, len, shim = ipv6 ? 58 : 38;
		uint8_t bound[44], plain[16] = {0};
		const uint8_t *inner;
		uint64_t key;

		set_up(path, routed);
		path[0].path_mtu = 9000;
		link_tx_init(&tx, 0x23);
		in = frames_inner(ipv6 ? 6 : 4, 0, DATA_TEXT, 16, 0, 2, 1);
		parse(in, WAY_UP);
		frame = rte_pktmbuf_alloc(frames_pool());
		inner = link_inner(&path[0], in, &len);
		CU_ASSERT_EQUAL(len, 24);
		memcpy(link_blob(&path[0], in, frame, 0, &room), inner, len);
		CU_ASSERT_EQUAL(room, 4);
		CU_ASSERT_EQUAL(link_encode(&tx, &path[0], in, LINK_CODEC_RAW, len, frame, NOW), 0);
		const uint8_t *p = rte_pktmbuf_mtod(frame, const uint8_t *);
		CU_ASSERT_EQUAL(frame->data_len, shim + 16 + len);
		CU_ASSERT(memcmp(p + shim + 16, rte_pktmbuf_mtod_offset(in, uint8_t *, shim - 4),
				  len) == 0);
		if (v == 0)
			CU_ASSERT(memcmp(p, expected, sizeof(expected)) == 0);
		/* The check, reckoned by what transparent.h says. */
		bound6[43] = 2;
		memcpy(bound, ipv6 ? bound6 : bound4, sizeof(bound));
		if (routed)
			memset(bound, 0, 5);
		memcpy(plain, p + shim, 12);
		key = XXH3_64bits_withSeed(bound, sizeof(bound), path[0].tx_key);
		key = XXH3_64bits_withSeed(plain, sizeof(plain), key);
		CU_ASSERT_EQUAL(
			link_get32(p + shim + 12), (uint32_t)XXH3_64bits_withSeed(inner, len, key));
		rte_pktmbuf_free(in);
		rte_pktmbuf_free(frame);
	}
}

/* What a flipped bit of the IP packet may do, at byte `at`: bits of header fields. */
static bool is_recognised_by(bool ipv6, uint32_t at, uint32_t bit)
{
	/* Version, lengths, fragment fields, protocol, and the CPI: another is somebody else's. */
	if (ipv6)
		return (at == 0 && bit >= 4) || at == 4 || at == 5 || at == 6 || at == 42 ||
		       at == 43;
	return at == 0 || at == 2 || at == 3 || (at == 6 && bit < 6) || at == 7 || at == 9 ||
	       at == 22 || at == 23;
}

static bool may_change(bool ipv6, bool routed, uint32_t at, uint32_t bit)
{
	if (!ipv6)
		return false; /* the header checksum tells */
	return (at == 0 && bit < 4) || (at == 1 && bit >= 4) ||
	       (routed && (at == 7 || at == 2 || at == 3 || at == 1));
}

static void test_damage(void)
{
	for (unsigned v = 0; v < 4 * (METHODS + 1); v++) {
		bool ipv6 = v & 1, routed = v & 2, raw = v / 4 == METHODS;
		uint32_t front = ipv6 ? 40 : 20, same = 0, flips = 0;
		struct rte_mbuf *in, *frame, *out, *hurt;
		struct link_path path[2];
		struct link_tx tx;

		set_up(path, routed);
		link_tx_init(&tx, 18);
		in = frames_inner(ipv6 ? 6 : 4, 1, DATA_TEXT, raw ? 200 : 1000, 0, 0, 3);
		parse(in, WAY_UP);
		if (raw) {
			uint32_t room, len;
			const uint8_t *inner = link_inner(&path[0], in, &len);

			frame = rte_pktmbuf_alloc(frames_pool());
			memcpy(link_blob(&path[0], in, frame, 0, &room), inner, len);
			CU_ASSERT_EQUAL(
				link_encode(&tx, &path[0], in, LINK_CODEC_RAW, len, frame, NOW), 0);
		} else {
			frame = encode(&tx, &path[0], in, methods[v / 4]);
		}
		CU_ASSERT_PTR_NOT_NULL_FATAL(frame);
		out = rte_pktmbuf_alloc(frames_pool());
		hurt = rte_pktmbuf_alloc(frames_pool());
		for (uint32_t at = 0; at < frame->data_len - 18u; at++) {
			for (uint32_t bit = 0; bit < 8; bit++, flips++) {
				int rc;

				rte_pktmbuf_reset(hurt);
				rte_pktmbuf_reset(out);
				memcpy(rte_pktmbuf_append(hurt, frame->data_len),
					rte_pktmbuf_mtod(frame, void *), frame->data_len);
				*rte_pktmbuf_mtod_offset(hurt, uint8_t *, 18 + at) ^=
					(uint8_t)(1 << bit);
				rc = arrive(hurt, &path[1], out);
				memset(lanes, 0, LINK_LANES * sizeof(*lanes));
				if (rc == PASSES) {
					CU_ASSERT(is_recognised_by(ipv6, at, bit));
				} else if (rc == 0 && may_change(ipv6, routed, at, bit)) {
					/* As it arrived, and nothing else. */
					*rte_pktmbuf_mtod_offset(out, uint8_t *, 18 + at) ^=
						(uint8_t)(1 << bit);
					CU_ASSERT(is_same(in, out));
				} else if (rc == 0) {
					/* A codec can say the same in two ways. */
					same++;
					CU_ASSERT(at >= front + 20 && !raw && is_same(in, out));
				} else {
					CU_ASSERT(rc == -DROP_LINK_BAD_SHIM ||
						  rc == -DROP_LINK_BAD_CHECK ||
						  rc == -DROP_LINK_BAD_DATA);
				}
			}
		}
		CU_ASSERT(same <= flips / 100);
		/* Cut short, with lengths that agree. */
		for (uint32_t cut = 1; cut < frame->data_len - 18u - front; cut++) {
			uint8_t *ip;
			uint32_t sum, len;

			rte_pktmbuf_reset(hurt);
			memcpy(rte_pktmbuf_append(hurt, frame->data_len),
				rte_pktmbuf_mtod(frame, void *), frame->data_len);
			rte_pktmbuf_trim(hurt, (uint16_t)cut);
			ip = rte_pktmbuf_mtod_offset(hurt, uint8_t *, 18);
			len = hurt->data_len - 18u - (ipv6 ? 40 : 0);
			ip[ipv6 ? 4 : 2] = (uint8_t)(len >> 8);
			ip[ipv6 ? 5 : 3] = (uint8_t)len;
			if (!ipv6) {
				ip[10] = ip[11] = 0;
				sum = ~frames_sum(ip, 20, 0);
				ip[10] = (uint8_t)(sum >> 8);
				ip[11] = (uint8_t)sum;
			}
			CU_ASSERT(arrive(hurt, &path[1], out) != 0);
		}
		rte_pktmbuf_reset(out);
		CU_ASSERT_EQUAL(arrive(frame, &path[1], out), 0);
		CU_ASSERT(is_same(in, out));
		rte_pktmbuf_free(in);
		rte_pktmbuf_free(frame);
		rte_pktmbuf_free(out);
		rte_pktmbuf_free(hurt);
	}
}

/* Set a byte of an IPv4 header as a router does, with the checksum. */
static void reroute(struct rte_mbuf *m, uint32_t at, uint8_t to)
{
	uint8_t *ip = rte_pktmbuf_mtod_offset(m, uint8_t *, pkt_of(m)->l3_off);
	uint32_t sum;

	ip[at] = to;
	if (ip[0] >> 4 == 6)
		return;
	ip[10] = ip[11] = 0;
	sum = ~frames_sum(ip, 20, 0);
	ip[10] = (uint8_t)(sum >> 8);
	ip[11] = (uint8_t)sum;
}

/* What routers change reaches the host, as it would without a link. */
static void test_routers(void)
{
	for (unsigned v = 0; v < 4; v++) {
		bool ipv6 = v & 1, routed = v & 2;
		uint8_t ttl = ipv6 ? 7 : 8;
		struct link_path path[2];
		struct link_tx tx;
		struct rte_mbuf *in, *frame, *out;

		set_up(path, routed);
		link_tx_init(&tx, 18);
		in = frames_inner(ipv6 ? 6 : 4, 0, DATA_TEXT, 1000, 0, 2, 3);
		parse(in, WAY_UP);
		frame = encode(&tx, &path[0], in, methods[0]);
		CU_ASSERT_PTR_NOT_NULL_FATAL(frame);
		out = rte_pktmbuf_alloc(frames_pool());
		parse(frame, WAY_DOWN);
		/* Congestion experienced, and DSCP 0. */
		reroute(frame, 1, ipv6 ? 0x30 | (rte_pktmbuf_mtod(in, uint8_t *)[15] & 15) : 0x03);
		reroute(in, 1, ipv6 ? 0x30 | (rte_pktmbuf_mtod(in, uint8_t *)[15] & 15) : 0x03);
		if (ipv6) {
			reroute(frame, 0, 0x60);
			reroute(in, 0, 0x60);
		}
		if (routed) {
			reroute(frame, ttl, 60);
			reroute(in, ttl, 60);
			/* The router's own addresses of Ethernet. */
			memset(rte_pktmbuf_mtod(frame, void *), 0x70, 12);
			memset(rte_pktmbuf_mtod(in, void *), 0x70, 12);
		}
		CU_ASSERT_EQUAL(arrive(frame, &path[1], out), 0);
		CU_ASSERT(is_same(in, out));
		/* No router may stand in a bridged path, and none may change an address. */
		memset(lanes, 0, LINK_LANES * sizeof(*lanes));
		rte_pktmbuf_reset(out);
		reroute(frame, ttl, 59);
		CU_ASSERT_EQUAL(arrive(frame, &path[1], out), routed ? 0 : -DROP_LINK_BAD_CHECK);
		reroute(frame, ipv6 ? 9 : 13, 99);
		rte_pktmbuf_reset(out);
		CU_ASSERT_EQUAL(arrive(frame, &path[1], out), -DROP_LINK_BAD_CHECK);
		rte_pktmbuf_free(in);
		rte_pktmbuf_free(frame);
		rte_pktmbuf_free(out);
	}
}

/* Of a good packet, made worse by `change`. */
static bool fits(uint8_t family, unsigned tags, uint32_t trailer,
	void (*change)(struct rte_mbuf *m, uint8_t *ip))
{
	struct rte_mbuf *in = frames_inner(family, tags, DATA_TEXT, 600, trailer, 0, 4);
	struct link_path path[2];
	uint32_t len;
	bool result;

	set_up(path, false);
	if (change != NULL)
		change(in, rte_pktmbuf_mtod_offset(in, uint8_t *, pkt_of(in)->l3_off));
	parse(in, WAY_UP);
	result = link_transparent_fits(in, &path[0]);
	link_inner(&path[0], in, &len);
	CU_ASSERT_EQUAL(len, result ? 608 : 0);
	rte_pktmbuf_free(in);
	return result;
}

static void checksum(uint8_t *ip)
{
	uint32_t sum;

	ip[10] = ip[11] = 0;
	sum = ~frames_sum(ip, (ip[0] & 15) * 4u, 0);
	ip[10] = (uint8_t)(sum >> 8);
	ip[11] = (uint8_t)sum;
}

static void more_fragments(struct rte_mbuf *m, uint8_t *ip)
{
	ip[6] = 0x20;
	checksum(ip);
}

static void options(struct rte_mbuf *m, uint8_t *ip)
{
	ip[0] = 0x46;
	checksum(ip);
}

static void bad_checksum(struct rte_mbuf *m, uint8_t *ip)
{
	ip[11] ^= 1;
}

static void ipcomp(struct rte_mbuf *m, uint8_t *ip)
{
	ip[ip[0] >> 4 == 6 ? 6 : 9] = 108;
	if (ip[0] >> 4 == 4)
		checksum(ip);
}

static void hop_by_hop(struct rte_mbuf *m, uint8_t *ip)
{
	ip[6] = 0;
	memcpy(ip + 40, "\x11\x00\x01\x04\0\0\0\0", 8);
}

static void to_the_peer(struct rte_mbuf *m, uint8_t *ip)
{
	memcpy(ip + 16, "\xc0\0\0\2", 4);
	checksum(ip);
}

static void multicast(struct rte_mbuf *m, uint8_t *ip)
{
	*rte_pktmbuf_mtod(m, uint8_t *) = 1;
}

static void mpls(struct rte_mbuf *m, uint8_t *ip)
{
	memcpy(ip - 6, "\x88\x47\x00\x00\x11\x40", 6);
}

static void arp(struct rte_mbuf *m, uint8_t *ip)
{
	memcpy(ip - 2, "\x08\x06", 2);
}

static void test_left_alone(void)
{
	for (uint8_t family = 4; family <= 6; family += 2) {
		for (unsigned tags = 0; tags <= 2; tags++)
			CU_ASSERT(fits(family, tags, 0, NULL));
		CU_ASSERT(!fits(family, 0, 1, NULL));
		CU_ASSERT(!fits(family, 1, 4, NULL));
		CU_ASSERT(!fits(family, 0, 0, ipcomp));
		CU_ASSERT(!fits(family, 0, 0, multicast));
		CU_ASSERT(!fits(family, 1, 0, mpls));
		CU_ASSERT(!fits(family, 0, 0, arp));
	}
	CU_ASSERT(!fits(4, 0, 0, more_fragments));
	CU_ASSERT(!fits(4, 0, 0, options));
	CU_ASSERT(!fits(4, 0, 0, bad_checksum));
	CU_ASSERT(!fits(4, 0, 0, to_the_peer));
	CU_ASSERT(!fits(6, 0, 0, hop_by_hop));
}

/* The frame fits the path MTU, or the packet is left as it is: it might be fragmented. */
static void test_mtu(void)
{
	struct rte_mbuf *in = frames_inner(4, 2, DATA_TEXT, 1400, 0, 0, 4);
	struct link_path path[2];
	struct rte_mbuf *frame;
	struct link_tx tx;
	uint32_t len;

	set_up(path, true);
	link_tx_init(&tx, 18);
	parse(in, WAY_UP);
	frame = encode(&tx, &path[0], in, methods[0]);
	CU_ASSERT_PTR_NOT_NULL_FATAL(frame);
	len = frame->data_len - 22u;
	rte_pktmbuf_free(frame);
	path[0].path_mtu = (uint16_t)len;
	frame = encode(&tx, &path[0], in, methods[0]);
	CU_ASSERT_PTR_NOT_NULL(frame);
	rte_pktmbuf_free(frame);
	path[0].path_mtu = (uint16_t)(len - 1);
	CU_ASSERT_PTR_NULL(encode(&tx, &path[0], in, methods[0]));
	rte_pktmbuf_free(in);
}

/* Whose a frame is, by its CPI and the session. */
static void test_foreign(void)
{
	struct rte_mbuf *in = frames_inner(4, 0, DATA_TEXT, 1000, 0, 0, 4), *out;
	struct link_path path[2];
	struct rte_mbuf *frame;
	struct link_tx tx;

	set_up(path, true);
	link_tx_init(&tx, 18);
	parse(in, WAY_UP);
	frame = encode(&tx, &path[0], in, methods[0]);
	CU_ASSERT_PTR_NOT_NULL_FATAL(frame);
	out = rte_pktmbuf_alloc(frames_pool());
	/* From the LAN, nothing is a link frame. */
	parse(frame, WAY_UP);
	CU_ASSERT_EQUAL(pkt_of(frame)->flags, PKT_IP);
	path[1].rx_cpi++;
	CU_ASSERT_EQUAL(arrive(frame, &path[1], out), PASSES);
	/* The session before, for as long as its key is valid; the frame's key is that one. */
	path[1].rx_cpi_old = CPI;
	path[1].rx_key_old = path[1].rx_key;
	path[1].rx_key++;
	path[1].session_id = 2;
	CU_ASSERT_EQUAL(arrive(frame, &path[1], out), PASSES);
	path[1].rx_key_old_until_ns = NOW + 2000000;
	CU_ASSERT_EQUAL(arrive(frame, &path[1], out), 0);
	CU_ASSERT(is_same(in, out));
	path[1].rx_cpi = CPI;
	path[1].rx_key_old_until_ns = 0;
	CU_ASSERT_EQUAL(arrive(frame, &path[1], out), -DROP_LINK_BAD_CHECK);
	path[1].transparent_rx = false;
	CU_ASSERT_EQUAL(arrive(frame, &path[1], out), PASSES);
	path[1].transparent_rx = true;
	path[1].session_id = 0;
	CU_ASSERT_EQUAL(arrive(frame, &path[1], out), PASSES);
	CU_ASSERT_EQUAL(link_decode(codec, frame, &path[1], lanes, NULL, out, NOW, NULL),
		-DROP_LINK_NO_SESSION);
	rte_pktmbuf_free(in);
	rte_pktmbuf_free(frame);
	rte_pktmbuf_free(out);
}

/* A store's acknowledgement comes by the tunnel only, however well it is made. */
static void test_no_acknowledgement(void)
{
	struct rte_mbuf *in = frames_inner(4, 0, DATA_TEXT, 1000, 0, 0, 4), *frame, *out;
	struct link_path path[2];
	struct link_tx tx;
	uint64_t key;
	uint8_t *shim;

	set_up(path, true);
	link_tx_init(&tx, 18);
	parse(in, WAY_UP);
	frame = encode(&tx, &path[0], in, methods[0]);
	CU_ASSERT_PTR_NOT_NULL_FATAL(frame);
	out = rte_pktmbuf_alloc(frames_pool());
	shim = rte_pktmbuf_mtod_offset(frame, uint8_t *, 14 + 20 + 4);
	link_shim_write(
		shim, &(struct link_shim){
			      .version = LINK_VERSION, .codec = LINK_CODEC_STORE, .lane = 18});
	key = link_transparent_key(path[0].tx_key, shim - 24, true);
	key = XXH3_64bits_withSeed(shim, LINK_SHIM_BYTES, key);
	link_put32(shim + 12, (uint32_t)XXH3_64bits_withSeed(shim + LINK_SHIM_BYTES,
				      frame->data_len - 38u - LINK_SHIM_BYTES, key));
	CU_ASSERT_EQUAL(arrive(frame, &path[1], out), -DROP_LINK_BAD_SHIM);
	rte_pktmbuf_free(in);
	rte_pktmbuf_free(frame);
	rte_pktmbuf_free(out);
}

UNIT_TESTS("link-transparent", {"what goes in comes out", test_round_trip},
	{"the frame's bytes", test_vector}, {"no damaged frame is delivered", test_damage},
	{"what routers change", test_routers}, {"what is left alone", test_left_alone},
	{"the path MTU", test_mtu}, {"others' IPComp", test_foreign},
	{"no acknowledgements", test_no_acknowledgement})
