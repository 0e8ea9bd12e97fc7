/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * link/frame.c: what is encoded comes out again bit for bit, the outer headers are those of shim.h,
 * nothing that was changed on the way is delivered, and lanes and sessions are accounted exactly.
 */
#include <errno.h>

#include <rte_thash.h>

#include "controlplane/channel/counters.h"
#include "dataplane/compress/codec.h"
#include "tests/unit/link/frames.h"
#include "tests/unit/unit.h"

#define NOW UINT64_C(1234567890123)
#define GAIN 16

static struct link_seq *lanes;
static struct codec *codec;
/* What encode() compresses with; dictionary 6 is of logs, as DATA_TEXT is. */
static const struct codec_method methods[] = {
	{CODEC_LZ4, 1, 0}, {CODEC_LZ4_DICTIONARY, 1, 6}, {CODEC_ZSTD, 1, 0}, {CODEC_ZSTD, 3, 6}};
#define METHODS (sizeof(methods) / sizeof(methods[0]))
static struct codec_method method = {CODEC_LZ4, 1, 0};

static void set_up(void)
{
	frames_pool();
	if (lanes == NULL)
		lanes = aligned_alloc(64, LINK_LANES * sizeof(*lanes));
	codec = frames_codec();
	method = methods[0];
	memset(lanes, 0, LINK_LANES * sizeof(*lanes));
}

/* As worker.c does it. NULL: not sent through the link. */
static struct rte_mbuf *encode(
	struct link_tx *tx, const struct link_path *path, struct rte_mbuf *in, uint32_t min_gain)
{
	struct rte_mbuf *out = rte_pktmbuf_alloc(frames_pool());
	uint32_t len, room;
	const uint8_t *inner = link_inner(path, in, &len);
	uint8_t *blob = link_blob(path, in, out, min_gain, &room);
	int n = room > 0 ? codec_encode(codec, method, inner, len, blob, room) : 0;

	if (n > 0 && link_encode(tx, path, in, method.number, (uint32_t)n, out, NOW) == 0)
		return out;
	rte_pktmbuf_free(out);
	return NULL;
}

static struct rte_mbuf *decode(
	struct rte_mbuf *frame, const struct link_path *path, int outer_ecn, int *rc)
{
	struct rte_mbuf *out = rte_pktmbuf_alloc(frames_pool());

	frames_arrived(frame, path, outer_ecn);
	*rc = link_decode(codec, frame, path, lanes, NULL, out, NOW + 1000000, NULL);
	if (*rc == 0)
		return out;
	rte_pktmbuf_free(out);
	return NULL;
}

/* The outer headers, from the bytes. */
static void check_outer(const struct rte_mbuf *m, const struct link_path *path,
	uint16_t source_port, uint8_t dscp, uint8_t ecn)
{
	const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *), *udp;
	uint32_t len = m->data_len;

	CU_ASSERT_EQUAL(m->pkt_len, len);
	CU_ASSERT(memcmp(p, path->next_hop_mac, 6) == 0 && memcmp(p + 6, path->our_mac, 6) == 0);
	p += 12;
	if (path->vlan != 0) {
		CU_ASSERT(p[0] == 0x81 && p[1] == 0 && p[2] << 8 == (path->vlan & 0xff00) &&
			  p[3] == (path->vlan & 0xff));
		p += 4;
	}
	len -= (uint32_t)(p - rte_pktmbuf_mtod(m, const uint8_t *)) + 2;
	if (path->family == 4) {
		CU_ASSERT(p[0] == 0x08 && p[1] == 0x00);
		p += 2;
		CU_ASSERT_EQUAL(p[0], 0x45);
		CU_ASSERT_EQUAL(p[1], dscp << 2 | ecn);
		CU_ASSERT_EQUAL((uint32_t)p[2] << 8 | p[3], len);
		CU_ASSERT(memcmp(p + 4, "\x00\x00\x40\x00\x40\x11", 6) == 0);
		CU_ASSERT_EQUAL(frames_sum(p, 20, 0), 0xffff);
		CU_ASSERT(memcmp(p + 12, path->our_address + 12, 4) == 0);
		CU_ASSERT(memcmp(p + 16, path->peer_address + 12, 4) == 0);
		udp = p + 20;
		CU_ASSERT(udp[6] == 0 && udp[7] == 0);
		len -= 20;
	} else {
		CU_ASSERT(p[0] == 0x86 && p[1] == 0xdd);
		p += 2;
		CU_ASSERT_EQUAL(p[0] >> 4, 6);
		CU_ASSERT_EQUAL((p[0] & 15) << 4 | p[1] >> 4, dscp << 2 | ecn);
		CU_ASSERT_EQUAL((uint32_t)p[4] << 8 | p[5], len - 40);
		CU_ASSERT(p[6] == 17 && p[7] == 64);
		CU_ASSERT(memcmp(p + 8, path->our_address, 16) == 0);
		CU_ASSERT(memcmp(p + 24, path->peer_address, 16) == 0);
		udp = p + 40;
		len -= 40;
		/* Pseudo-header: addresses, length, protocol. */
		CU_ASSERT_EQUAL(frames_sum(udp, len, frames_sum(p + 8, 32, len + 17)), 0xffff);
		CU_ASSERT(udp[6] != 0 || udp[7] != 0);
	}
	CU_ASSERT_EQUAL((uint32_t)udp[0] << 8 | udp[1], source_port);
	CU_ASSERT_EQUAL((uint32_t)udp[2] << 8 | udp[3], path->port);
	CU_ASSERT_EQUAL((uint32_t)udp[4] << 8 | udp[5], len);
}

static void one_round_trip(const struct link_path path[2], struct link_tx *tx, struct rte_mbuf *in)
{
	uint32_t inner_len;
	const uint8_t *inner = link_inner(&path[0], in, &inner_len);
	struct rte_mbuf *frame = encode(tx, &path[0], in, GAIN), *out;
	int rc;

	if (frame != NULL) {
		CU_ASSERT(frame->data_len + GAIN <= in->data_len);
		check_outer(frame, &path[0], link_source_port(&path[0], tx->lane), pkt_of(in)->dscp,
			pkt_of(in)->ecn);
		out = decode(frame, &path[1], -1, &rc);
		CU_ASSERT_EQUAL(link_peek_lane(rte_pktmbuf_mtod_offset(frame, const uint8_t *,
						       pkt_of(frame)->payload_off),
					pkt_of(frame)->payload_len),
			tx->lane);
		CU_ASSERT_EQUAL(rc, 0);
		CU_ASSERT(out != NULL && out->data_len == inner_len && out->pkt_len == inner_len &&
			  memcmp(rte_pktmbuf_mtod(out, void *), inner, inner_len) == 0);
		CU_ASSERT(out != NULL && rte_pktmbuf_headroom(out) >= 22);
		rte_pktmbuf_free(out);
		rte_pktmbuf_free(frame);
	}
}

static void test_round_trip(void)
{
	struct link_path path[2];

	set_up();
	for (int v = 0; v < 16; v++) {
		uint8_t family = v & 1 ? 6 : 4;
		struct link_tx tx;
		uint32_t sent = 0;

		method = methods[v * 7 / 5 % METHODS];
		frames_paths(path, family, v & 2 ? 1234 : 0, v & 4);
		memset(lanes, 0, LINK_LANES * sizeof(*lanes));
		link_tx_init(&tx, (uint8_t)(v * 16 + 15 - v));
		for (int kind = 0; kind < DATA_KINDS; kind++)
			for (uint32_t len = 0; len <= 8900; len += len < 200 ? 1 : 139) {
				struct rte_mbuf *in =
					frames_inner(v & 8 ? 6 : 4, len % 3, (enum data_kind)kind,
						len, len < 46 ? 46 - len : len % 4, len % 4, len);

				one_round_trip(path, &tx, in);
				rte_pktmbuf_free(in);
				sent++;
			}
		struct link_seq_counts got;

		link_seq_read(&lanes[tx.lane], NULL, NOW, &got);
		/* All of the large ones but the random. */
		CU_ASSERT(tx.packets > sent / 5);
		CU_ASSERT_EQUAL(got.received, tx.packets);
		CU_ASSERT_EQUAL(got.unique, tx.packets);
		CU_ASSERT_EQUAL(got.lost, 0);
		CU_ASSERT_EQUAL(link_tx_next(&tx, 1), tx.packets);
		CU_ASSERT_EQUAL(link_tx_next(&tx, 2), 0);
	}
}

/* Every cut and every flipped bit of a link frame, all codecs. */
static void test_damage(void)
{
	struct link_path path[2];
	struct link_tx tx;

	set_up();
	for (unsigned m = 0; m <= METHODS; m++) {
		bool raw = m == METHODS;
		struct rte_mbuf *in, *frame, *out;
		uint32_t payload, len, flips = 0, accepted = 0, reasons[REASON_COUNT] = {0};
		struct link_seq_counts got;
		uint8_t *p;
		int rc;

		frames_paths(path, 4, 0, false);
		memset(lanes, 0, LINK_LANES * sizeof(*lanes));
		link_tx_init(&tx, 18);
		method = methods[raw ? 0 : m];
		in = frames_inner(4, 0, DATA_TEXT, raw ? 300 : 1200, 0, 0, 3);
		if (raw) {
			uint32_t room;

			frame = rte_pktmbuf_alloc(frames_pool());
			memcpy(link_blob(&path[0], in, frame, 0, &room),
				rte_pktmbuf_mtod(in, void *), in->data_len);
			rc = link_encode(
				&tx, &path[0], in, LINK_CODEC_RAW, in->data_len, frame, NOW);
			CU_ASSERT_EQUAL_FATAL(rc, 0);
		} else {
			frame = encode(&tx, &path[0], in, GAIN);
			CU_ASSERT_PTR_NOT_NULL_FATAL(frame);
		}
		frames_arrived(frame, &path[1], -1);
		payload = pkt_of(frame)->payload_off;
		len = pkt_of(frame)->payload_len;
		p = rte_pktmbuf_mtod_offset(frame, uint8_t *, payload);
		out = rte_pktmbuf_alloc(frames_pool());

		for (uint32_t cut = 0; cut < len; cut++) {
			pkt_of(frame)->payload_len = (uint16_t)cut;
			rc = link_decode(codec, frame, &path[1], lanes, NULL, out, NOW, NULL);
			if (rc >= 0 || -rc >= REASON_COUNT)
				CU_FAIL("a truncated frame was delivered");
		}
		/* A payload that claims to go on behind the end of the frame. */
		pkt_of(frame)->payload_len = (uint16_t)(len + 1);
		CU_ASSERT_EQUAL(link_decode(codec, frame, &path[1], lanes, NULL, out, NOW, NULL),
			-DROP_LINK_BAD_SHIM);
		pkt_of(frame)->payload_len = (uint16_t)len;

		for (uint32_t bit = 0; bit < len * 8; bit++, flips++) {
			p[bit / 8] ^= (uint8_t)(1 << bit % 8);
			rc = link_decode(codec, frame, &path[1], lanes, NULL, out, NOW, NULL);
			p[bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (rc < 0) {
				reasons[-rc]++;
				continue;
			}
			/* A codec can say the same in two ways; then it must be the same. */
			accepted++;
			if (bit / 8 < LINK_SHIM_BYTES || raw || out->data_len != in->data_len ||
				memcmp(rte_pktmbuf_mtod(out, void *), rte_pktmbuf_mtod(in, void *),
					in->data_len) != 0)
				CU_FAIL("a damaged frame was delivered");
			memset(lanes, 0, LINK_LANES * sizeof(*lanes));
		}
		CU_ASSERT(accepted <= flips / 100);
		CU_ASSERT(reasons[DROP_LINK_BAD_SHIM] > 0 && reasons[DROP_LINK_BAD_CHECK] > 0);
		CU_ASSERT(raw || reasons[DROP_LINK_BAD_DATA] > 0);
		CU_ASSERT_EQUAL(reasons[DROP_LINK_BAD_SHIM] + reasons[DROP_LINK_BAD_CHECK] +
					reasons[DROP_LINK_BAD_DATA] + accepted,
			flips);

		/* None of it has touched the lane: the real frame is the first. */
		CU_ASSERT_EQUAL(
			link_decode(codec, frame, &path[1], lanes, NULL, out, NOW, NULL), 0);
		link_seq_read(&lanes[18], NULL, NOW, &got);
		CU_ASSERT(got.received == 1 && got.unique == 1 && got.lost == 0);
		CU_ASSERT_EQUAL(link_decode(codec, frame, &path[1], lanes, NULL, out, NOW, NULL),
			-DROP_LINK_DUPLICATE);
		rte_pktmbuf_free(in);
		rte_pktmbuf_free(frame);
		rte_pktmbuf_free(out);
	}
}

static void test_ecn(void)
{
	/* RFC 6040, figure 4, by inner and outer field: 0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE. */
	static const int want[4][4] = {{0, 0, 0, -1}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};
	struct link_path path[2];

	set_up();
	for (int v = 0; v < 24; v++)
		for (int inner = 0; inner < 4; inner++)
			for (int outer = 0; outer < 4; outer++) {
				uint8_t family = v & 1 ? 6 : 4;
				unsigned tags = (unsigned)v / 8;
				struct rte_mbuf *in, *frame, *out, *same;
				struct link_tx tx;
				int rc;

				frames_paths(path, v & 2 ? 6 : 4, 0, v & 4);
				memset(&lanes[1], 0, sizeof(lanes[1]));
				link_tx_init(&tx, 1);
				in = frames_inner(
					family, tags, DATA_TEXT, 1000, 0, (uint8_t)inner, 1);
				frame = encode(&tx, &path[0], in, GAIN);
				CU_ASSERT_PTR_NOT_NULL_FATAL(frame);
				check_outer(frame, &path[0], 49153, 10, (uint8_t)inner);
				out = decode(frame, &path[1], outer, &rc);
				if (want[inner][outer] < 0) {
					CU_ASSERT_EQUAL(rc, -DROP_LINK_CE);
					CU_ASSERT_EQUAL(lanes[1].unique, 1); /* it did arrive */
				} else {
					/* As if the host had sent it so, checksum included. */
					uint32_t off = v & 4 ? pkt_of(in)->l3_off : 0;

					CU_ASSERT_EQUAL_FATAL(rc, 0);
					same = frames_inner(family, tags, DATA_TEXT, 1000, 0,
						(uint8_t)want[inner][outer], 1);
					CU_ASSERT_EQUAL(out->data_len, same->data_len - off);
					CU_ASSERT(memcmp(rte_pktmbuf_mtod(out, uint8_t *),
							  rte_pktmbuf_mtod_offset(
								  same, uint8_t *, off),
							  out->data_len) == 0);
					rte_pktmbuf_free(same);
				}
				rte_pktmbuf_free(in);
				rte_pktmbuf_free(frame);
				rte_pktmbuf_free(out);
			}
}

/* Where the far end could not find the ECN field, the outer packet does not offer it. */
static void test_ecn_hidden(void)
{
	struct link_path path[2];
	struct rte_mbuf *in, *frame, *out;
	struct link_tx tx;
	int rc;

	set_up();
	frames_paths(path, 4, 0, false);
	link_tx_init(&tx, 0);
	in = frames_inner(4, 0, DATA_TEXT, 1000, 0, 2, 1);
	rte_pktmbuf_mtod(in, uint8_t *)[12] = 0x88; /* MPLS */
	rte_pktmbuf_mtod(in, uint8_t *)[13] = 0x47;
	frame = encode(&tx, &path[0], in, GAIN);
	CU_ASSERT_PTR_NOT_NULL_FATAL(frame);
	check_outer(frame, &path[0], link_source_port(&path[0], 0), 10, 0);
	out = decode(frame, &path[1], -1, &rc);
	CU_ASSERT_EQUAL(rc, 0);
	rte_pktmbuf_free(in);
	rte_pktmbuf_free(frame);
	rte_pktmbuf_free(out);
}

/* On a routed path the inner TTL, 63 in all frames here, loses what the outer one lost. */
static void test_ttl(void)
{
	static const struct {
		int hops; /* taken off the outer TTL on the way */
		uint8_t ttl;
	} cases[] = {{0, 63}, {1, 62}, {5, 58}, {62, 1}, {63, 1}, {64, 1}, {-1, 63}, {-191, 63}};
	struct link_path path[2];

	set_up();
	for (unsigned v = 0; v < 8; v++)
		for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			uint8_t family = v & 1 ? 6 : 4;
			bool routed = v & 4;
			struct rte_mbuf *in, *frame, *out;
			struct link_tx tx;
			uint8_t *outer, *inner;
			int rc;

			frames_paths(path, v & 2 ? 6 : 4, 0, routed);
			memset(&lanes[1], 0, sizeof(lanes[1]));
			link_tx_init(&tx, 1);
			in = frames_inner(family, 0, DATA_TEXT, 1000, 0, 2, 1);
			frame = encode(&tx, &path[0], in, GAIN);
			CU_ASSERT_PTR_NOT_NULL_FATAL(frame);
			outer = rte_pktmbuf_mtod_offset(frame, uint8_t *, 14 + (v & 2 ? 7 : 8));
			CU_ASSERT_EQUAL(*outer, 64);
			*outer = (uint8_t)(64 - cases[i].hops);
			out = decode(frame, &path[1], -1, &rc);
			CU_ASSERT_EQUAL_FATAL(rc, 0);
			inner = rte_pktmbuf_mtod_offset(out, uint8_t *, routed ? 0 : 14);
			CU_ASSERT_EQUAL(inner[family == 6 ? 7 : 8], routed ? cases[i].ttl : 63);
			if (family == 4)
				CU_ASSERT_EQUAL(frames_sum(inner, 20, 0), 0xffff);
			/* Nothing else has changed. */
			inner[family == 6 ? 7 : 8] = 63;
			if (family == 4)
				memcpy(inner + 10, rte_pktmbuf_mtod_offset(in, uint8_t *, 24), 2);
			CU_ASSERT(memcmp(inner, rte_pktmbuf_mtod_offset(in, uint8_t *, 14),
					  pkt_of(in)->l3_len) == 0);
			rte_pktmbuf_free(in);
			rte_pktmbuf_free(frame);
			rte_pktmbuf_free(out);
		}
}

static void test_limits(void)
{
	struct link_path path[2];
	struct rte_mbuf *in = NULL, *out;
	struct link_tx tx;
	uint32_t room, len;

	set_up();
	frames_paths(path, 4, 0, false);
	link_tx_init(&tx, 0);
	out = rte_pktmbuf_alloc(frames_pool());
	in = frames_inner(4, 0, DATA_TEXT, 1458, 0, 0, 1); /* a frame of 1,500 bytes */

	path[0].path_mtu = 1400;
	link_blob(&path[0], in, out, 0, &room);
	CU_ASSERT_EQUAL(room, 1400 - 44);
	CU_ASSERT_EQUAL(
		link_encode(&tx, &path[0], in, LINK_CODEC_LZ4, room + 1, out, NOW), -EMSGSIZE);
	CU_ASSERT_EQUAL(tx.packets + link_tx_next(&tx, 1), 0);
	CU_ASSERT_EQUAL(link_encode(&tx, &path[0], in, LINK_CODEC_LZ4, room, out, NOW), 0);
	CU_ASSERT_EQUAL(out->data_len, 1414);
	rte_pktmbuf_reset(out);
	path[0].path_mtu = 1500;
	link_blob(&path[0], in, out, 45, &room);
	CU_ASSERT_EQUAL(room, 1500 - 14 - 44 - 45);
	link_blob(&path[0], in, out, 1500 - 58, &room);
	CU_ASSERT_EQUAL(room, 0);
	link_blob(&path[0], in, out, 1500 - 59, &room);
	CU_ASSERT_EQUAL(room, 1);
	link_blob(&path[0], in, out, UINT16_MAX, &room);
	CU_ASSERT_EQUAL(room, 0);
	path[0].vlan = 3;
	path[0].family = 6;
	link_blob(&path[0], in, out, 0, &room);
	CU_ASSERT_EQUAL(room, 1500 - 18 - 64);

	path[0].alive = false;
	CU_ASSERT_EQUAL(link_encode(&tx, &path[0], in, LINK_CODEC_LZ4, 10, out, NOW), -ENOTCONN);
	path[0].alive = true;
	path[0].session_id = 0;
	CU_ASSERT_EQUAL(link_encode(&tx, &path[0], in, LINK_CODEC_LZ4, 10, out, NOW), -ENOTCONN);
	CU_ASSERT_EQUAL(link_decode(codec, in, &path[0], lanes, NULL, out, NOW, NULL),
		-DROP_LINK_NO_SESSION);
	CU_ASSERT_EQUAL(
		link_decode(codec, in, NULL, lanes, NULL, out, NOW, NULL), -DROP_LINK_NO_SESSION);

	/* Only IP crosses a routed path. */
	path[0].routed = true;
	pkt_of(in)->flags = 0;
	link_inner(&path[0], in, &len);
	CU_ASSERT_EQUAL(len, 0);
	pkt_of(in)->flags = PKT_IP;
	pkt_of(in)->l3_len = 5000;
	link_inner(&path[0], in, &len);
	CU_ASSERT_EQUAL(len, 0);
	rte_pktmbuf_free(in);
	rte_pktmbuf_free(out);
}

/* Test vectors of the format, shim.h. */
static void test_shim(void)
{
	static const struct {
		struct link_shim shim;
		uint8_t bytes[LINK_SHIM_BYTES];
	} vectors[] = {
		{{.version = 3,
			 .codec = LINK_CODEC_LZ4_DICTIONARY,
			 .class_slot = 3,
			 .lane = 0x21,
			 .original_len = 1514,
			 .seq = 0x01020304,
			 .sent = 0xa0b0c0d0,
			 .check = 0xdeadbeef},
			{0xd0, 0xc8, 0x45, 0xea, 1, 2, 3, 4, 0xa0, 0xb0, 0xc0, 0xd0, 0xde, 0xad,
				0xbe, 0xef}},
		{{.version = 3,
			 .codec = LINK_CODEC_ZSTD,
			 .flags = LINK_FLAG_PACKED,
			 .class_slot = 15,
			 .lane = 0xff,
			 .original_len = LINK_ORIGINAL_MAX,
			 .seq = 0xffffffff},
			{0xe7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
	};

	for (unsigned i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		const struct link_shim *want = &vectors[i].shim;
		uint8_t bytes[LINK_SHIM_BYTES];
		struct link_shim got;

		link_shim_write(bytes, want);
		CU_ASSERT(memcmp(bytes, vectors[i].bytes, sizeof(bytes)) == 0);
		link_shim_read(vectors[i].bytes, &got);
		CU_ASSERT(got.version == want->version && got.codec == want->codec &&
			  got.flags == want->flags && got.class_slot == want->class_slot &&
			  got.lane == want->lane && got.original_len == want->original_len &&
			  got.seq == want->seq && got.sent == want->sent &&
			  got.check == want->check);
	}
}

/* Properly signed frames that this version must not take. */
static void test_unknown(void)
{
	struct link_path path[2];
	struct rte_mbuf *in, *frame, *out;
	struct link_tx tx;
	uint32_t room;

	set_up();
	in = frames_inner(4, 0, DATA_TEXT, 300, 0, 0, 3);
	frame = rte_pktmbuf_alloc(frames_pool());
	out = rte_pktmbuf_alloc(frames_pool());
	for (uint8_t c = 0; c < 8; c++) {
		frames_paths(path, 4, 0, false);
		link_tx_init(&tx, c);
		rte_pktmbuf_reset(frame);
		memcpy(link_blob(&path[0], in, frame, 0, &room), rte_pktmbuf_mtod(in, void *),
			in->data_len);
		CU_ASSERT_EQUAL(link_encode(&tx, &path[0], in, c, in->data_len, frame, NOW), 0);
		frames_arrived(frame, &path[1], -1);
		int rc = link_decode(codec, frame, &path[1], lanes, NULL, out, NOW, NULL);

		if (c == LINK_CODEC_RAW)
			CU_ASSERT_EQUAL(rc, 0)
		else
			CU_ASSERT_EQUAL(rc,
				LINK_CODECS >> c & 1 ? -DROP_LINK_BAD_DATA : -DROP_LINK_BAD_SHIM)
	}
	CU_ASSERT_EQUAL(link_peek_lane((const uint8_t *)"\xc8\x01", 2), -1);
	CU_ASSERT_EQUAL(
		link_peek_lane((const uint8_t *)"\xc8\x01\xc0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16), 7);
	CU_ASSERT_EQUAL(
		link_peek_lane((const uint8_t *)"\x48\x01\xc0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16), -1);
	CU_ASSERT_EQUAL(
		link_peek_lane((const uint8_t *)"\x88\x01\xc0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16), -1);
	CU_ASSERT_EQUAL(link_peek_lane((const uint8_t *)"\x78\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16),
		LINK_PEEK_CONTROL);

	/* Longer than the receiving buffer. */
	frames_paths(path, 4, 0, false);
	link_tx_init(&tx, 9);
	rte_pktmbuf_free(frame);
	frame = encode(&tx, &path[0], in, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(frame);
	frames_arrived(frame, &path[1], -1);
	rte_pktmbuf_reset(out);
	rte_pktmbuf_adj(out, 0);
	out->data_off = (uint16_t)(out->buf_len - in->data_len + 1);
	CU_ASSERT_EQUAL(link_decode(codec, frame, &path[1], lanes, NULL, out, NOW, NULL),
		-DROP_LINK_BAD_SHIM);
	out->data_off--;
	CU_ASSERT_EQUAL(link_decode(codec, frame, &path[1], lanes, NULL, out, NOW, NULL), 0);
	rte_pktmbuf_free(in);
	rte_pktmbuf_free(frame);
	rte_pktmbuf_free(out);
}

/* Loss and duplicates of several lanes, and what a change of keys does to frames in flight. */
static void test_lanes(void)
{
	struct link_path path[2];
	struct rte_mbuf *in, *out, *old[2];
	struct link_tx tx[4];
	uint32_t lost[4] = {0}, doubled[4] = {0};
	uint64_t r = 11;
	int rc;

	set_up();
	frames_paths(path, 4, 0, false);
	in = frames_inner(4, 0, DATA_TEXT, 500, 0, 0, 3);
	out = rte_pktmbuf_alloc(frames_pool());
	path[0].peer_workers = 3;
	for (uint16_t hash = 0; hash < 1000; hash++)
		CU_ASSERT_EQUAL(link_lane(&path[0], 5, hash), 5 * 16 + (hash & 127) % 3);
	for (int i = 0; i < 4; i++)
		link_tx_init(&tx[i], (uint8_t)(255 - i * 60));
	for (int i = 0; i < 4000; i++) {
		int l = (int)(data_next(&r) % 4);
		uint64_t fate = data_next(&r) % 10;
		struct rte_mbuf *frame = encode(&tx[l], &path[0], in, GAIN);

		CU_ASSERT_PTR_NOT_NULL_FATAL(frame);
		frames_arrived(frame, &path[1], -1);
		/* The last of each lane must arrive, or its loss can't be known yet. */
		if (fate == 0 && i < 3900) {
			lost[l]++;
		} else {
			CU_ASSERT_EQUAL(
				link_decode(codec, frame, &path[1], lanes, NULL, out, NOW, NULL),
				0);
			if (fate == 1) {
				doubled[l]++;
				CU_ASSERT_EQUAL(link_decode(codec, frame, &path[1], lanes, NULL,
							out, NOW, NULL),
					-DROP_LINK_DUPLICATE);
			}
		}
		rte_pktmbuf_free(frame);
	}
	for (int l = 0; l < 4; l++) {
		struct link_seq_counts got;

		link_seq_read(&lanes[tx[l].lane], NULL, NOW, &got);
		CU_ASSERT_EQUAL(got.lost, lost[l]);
		CU_ASSERT_EQUAL(got.duplicates, doubled[l]);
		CU_ASSERT_EQUAL(got.unique, tx[l].packets - lost[l]);
	}

	/* The peer changes keys; we know the old ones until NOW + 1000. */
	for (int i = 0; i < 2; i++) {
		old[i] = encode(&tx[0], &path[0], in, GAIN);
		CU_ASSERT_PTR_NOT_NULL_FATAL(old[i]);
		frames_arrived(old[i], &path[1], -1);
	}
	path[1].rx_key_old = path[1].rx_key;
	path[1].rx_key_old_until_ns = NOW + 1000;
	path[0].tx_key = path[1].rx_key = 99;
	path[0].session_id = path[1].session_id = 2;
	CU_ASSERT_EQUAL(link_decode(codec, old[0], &path[1], lanes, NULL, out, NOW + 1000, NULL),
		-DROP_LINK_BAD_CHECK);
	CU_ASSERT_EQUAL(link_decode(codec, old[0], &path[1], lanes, NULL, out, NOW + 999, NULL), 0);
	CU_ASSERT_EQUAL(link_decode(codec, old[0], &path[1], lanes, NULL, out, NOW + 999, NULL),
		-DROP_LINK_DUPLICATE);
	uint64_t packets = tx[0].packets;
	struct rte_mbuf *frame = encode(&tx[0], &path[0], in, GAIN);

	CU_ASSERT_PTR_NOT_NULL_FATAL(frame);
	CU_ASSERT_EQUAL(link_tx_next(&tx[0], 2), 1); /* numbers begin again, totals go on */
	CU_ASSERT_EQUAL(tx[0].packets, packets + 1);
	frames_arrived(frame, &path[1], -1);
	CU_ASSERT_EQUAL(link_decode(codec, frame, &path[1], lanes, NULL, out, NOW, NULL), 0);
	CU_ASSERT_EQUAL(lanes[tx[0].lane].session_id, 2);
	/* Overtaken by the new session: what it was is not known any more. */
	CU_ASSERT_EQUAL(link_decode(codec, old[1], &path[1], lanes, NULL, out, NOW, NULL),
		-DROP_LINK_DUPLICATE);
	CU_ASSERT_EQUAL(lanes[tx[0].lane].late, 1);
	CU_ASSERT_EQUAL(lanes[tx[0].lane].session_id, 2);
	rc = link_decode(codec, frame, &path[1], lanes, NULL, out, NOW, NULL);
	CU_ASSERT_EQUAL(rc, -DROP_LINK_DUPLICATE);
	rte_pktmbuf_free(frame);
	rte_pktmbuf_free(old[0]);
	rte_pktmbuf_free(old[1]);
	rte_pktmbuf_free(in);
	rte_pktmbuf_free(out);
}

static void test_control(void)
{
	uint8_t msg[1280];

	set_up();
	memset(msg, 0x5a, sizeof(msg));
	link_shim_write(
		msg, &(struct link_shim){
			     .version = LINK_VERSION, .codec = LINK_CODEC_CONTROL, .lane = 255});
	for (int v = 0; v < 4; v++) {
		struct rte_mbuf *out = rte_pktmbuf_alloc(frames_pool());
		uint32_t fits = 1280 - (v & 1 ? 48 : 28);
		struct link_path path[2];

		frames_paths(path, v & 1 ? 6 : 4, v & 2 ? 77 : 0, false);
		path[0].session_id = 0;
		path[0].alive = false;
		path[0].path_mtu = 1280;
		CU_ASSERT_EQUAL(link_encode_control(&path[0], msg, fits + 1, out), -EMSGSIZE);
		CU_ASSERT_EQUAL(link_encode_control(&path[0], msg, 15, out), -EMSGSIZE);
		CU_ASSERT_EQUAL(link_encode_control(&path[0], msg, fits, out), 0);
		check_outer(out, &path[0], 49151, 48, 0);
		frames_arrived(out, &path[1], -1);
		CU_ASSERT_EQUAL(pkt_of(out)->payload_len, fits);
		CU_ASSERT(memcmp(rte_pktmbuf_mtod_offset(out, uint8_t *, pkt_of(out)->payload_off),
				  msg, fits) == 0);
		rte_pktmbuf_free(out);
	}
}

/* The queue that a NIC with symmetric RSS chooses for a lane's frames, by DPDK's own Toeplitz hash,
 * is that of the worker in the lane's lower half. */
static void test_source_port(void)
{
	struct link_path path[2];
	uint8_t key[52];

	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = i % 2 == 0 ? 0x6d : 0x5a;
	for (unsigned family = 4; family <= 6; family += 2) {
		frames_paths(path, (uint8_t)family, 0, false);
		for (unsigned workers = 1; workers <= LINK_WORKERS_MAX; workers++) {
			path[0].peer_workers = (uint8_t)workers;
			for (unsigned lane = 0; lane < LINK_LANES; lane++) {
				unsigned words = family == 4 ? 1 : 4, at = 0;
				uint32_t tuple[9];
				uint16_t port = link_source_port(&path[0], (uint8_t)lane);

				CU_ASSERT(port >= 49152);
				for (unsigned end = 0; end < 2; end++)
					for (unsigned i = 0; i < words; i++)
						tuple[at++] =
							link_get32((end ? path[0].peer_address
									: path[0].our_address) +
								   16 - 4 * (words - i));
				tuple[at++] = (uint32_t)port << 16 | path[0].port;
				CU_ASSERT_EQUAL((rte_softrss(tuple, at, key) & 127) % workers,
					lane % LINK_WORKERS_MAX % workers);
			}
		}
	}
}

UNIT_TESTS("link-frame", {"what goes in comes out", test_round_trip},
	{"no damaged frame is delivered", test_damage}, {"ECN by RFC 6040", test_ecn},
	{"ECN that cannot be found is not offered", test_ecn_hidden},
	{"the TTL on a routed path", test_ttl}, {"limits", test_limits},
	{"unknown codecs, versions, lengths", test_unknown}, {"the shim's bytes", test_shim},
	{"lanes count exactly, across sessions", test_lanes}, {"control frames", test_control},
	{"RSS brings a lane to its worker", test_source_port})
