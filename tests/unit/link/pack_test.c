/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * link/pack.c: packets that were packed come out again bit for bit, all of them or none; only those
 * go together whose outer packet can speak for all; the bytes are those of pack.h; a frame counts
 * once in its lane, whatever is in it.
 */
#include <errno.h>

#include "controlplane/channel/counters.h"
#include "dataplane/link/pack.h"
#include "tests/unit/link/frames.h"
#include "tests/unit/unit.h"

#define NOW UINT64_C(1234567890123)
#define LANE 0x21

static struct link_seq *lanes;
static struct codec *codec;
static struct link_pack sent, got;
static const struct codec_method methods[] = {{CODEC_RAW, 0, 0}, {CODEC_LZ4, 1, 0},
	{CODEC_LZ4_DICTIONARY, 1, 6}, {CODEC_ZSTD, 1, 0}, {CODEC_ZSTD, 3, 6}};
#define METHODS (sizeof(methods) / sizeof(methods[0]))

static void set_up(struct link_path path[2], struct link_tx *tx)
{
	frames_pool();
	codec = frames_codec();
	if (lanes == NULL)
		lanes = aligned_alloc(64, LINK_LANES * sizeof(*lanes));
	memset(lanes, 0, LINK_LANES * sizeof(*lanes));
	frames_paths(path, 4, 0, false);
	link_tx_init(tx, LANE);
	link_pack_clear(&sent);
}

/* What is in `sent` as a link frame that has arrived; NULL: it was too large. */
static struct rte_mbuf *encode(
	struct link_tx *tx, const struct link_path path[2], struct codec_method method)
{
	struct rte_mbuf *out = rte_pktmbuf_alloc(frames_pool());
	uint32_t room;
	uint8_t *blob = link_pack_blob(&sent, &path[0], out, 0, &room);
	int n = codec_encode(codec, method, sent.bytes, sent.len, blob,
		method.number == CODEC_RAW ? 8900 : room);

	if (n > 0 &&
		link_encode_pack(tx, &path[0], &sent, method.number, (uint32_t)n, out, NOW) == 0) {
		frames_arrived(out, &path[1], -1);
		return out;
	}
	rte_pktmbuf_free(out);
	return NULL;
}

static int decode(struct rte_mbuf *frame, const struct link_path path[2])
{
	struct link_arrival a;
	int rc = link_decode_pack(codec, frame, &path[1], lanes, NULL, &got, NOW + 1000000, &a);

	CU_ASSERT(rc != 0 || a.verdict == LINK_ARRIVED);
	CU_ASSERT(rc == 0 || got.count == 0);
	return rc;
}

/* Packet i of `got` is what crosses the path of this inner frame. */
static bool is_same(const struct link_path *path, unsigned i, const struct rte_mbuf *in)
{
	struct rte_mbuf *out = rte_pktmbuf_alloc(frames_pool());
	uint32_t len;
	const uint8_t *inner = link_inner(path, in, &len);
	bool same = link_unpack(&got, i, out) && out->data_len == len && out->pkt_len == len &&
		    memcmp(rte_pktmbuf_mtod(out, void *), inner, len) == 0;

	rte_pktmbuf_free(out);
	return same;
}

static void test_round_trip(void)
{
	struct link_path path[2];
	struct link_tx tx;
	uint32_t frames = 0, packets = 0;

	for (unsigned v = 0; v < 16 * METHODS; v++)
		for (unsigned count = 2; count <= LINK_PACK_MAX; count += count < 6 ? 1 : 13) {
			struct rte_mbuf *in[LINK_PACK_MAX], *frame;
			struct link_seq_counts counts;

			set_up(path, &tx);
			frames_paths(path, v & 1 ? 6 : 4, v & 2 ? 1234 : 0, v & 4);
			for (unsigned i = 0; i < count; i++) {
				in[i] = frames_inner(v & 8 ? 6 : 4, v % 3, DATA_TEXT,
					(count * 97 + i * 31 * v) % (6000 / count), i % 5, 2,
					i / 2);
				CU_ASSERT(link_pack_add(&sent, &path[0], in[i]));
			}
			frame = encode(&tx, path, methods[v / 16]);
			if (frame != NULL) {
				CU_ASSERT(link_is_packed(rte_pktmbuf_mtod_offset(frame, uint8_t *,
								 pkt_of(frame)->payload_off),
					pkt_of(frame)->payload_len));
				CU_ASSERT_EQUAL(decode(frame, path), 0);
				CU_ASSERT_EQUAL_FATAL(got.count, count);
				for (unsigned i = 0; i < count; i++)
					CU_ASSERT(is_same(&path[0], i, in[i]));
				frames++;
				packets += count;
				/* One frame, one number. */
				link_seq_read(&lanes[LANE], NULL, NOW, &counts);
				CU_ASSERT(counts.received == 1 && counts.unique == 1);
				CU_ASSERT_EQUAL(link_tx_next(&tx, 1), 1);
				CU_ASSERT_EQUAL(tx.packets, 1);
				CU_ASSERT_EQUAL(tx.original_bytes, sent.frame_bytes);
				CU_ASSERT_EQUAL(decode(frame, path), -DROP_LINK_DUPLICATE);
				rte_pktmbuf_free(frame);
			}
			for (unsigned i = 0; i < count; i++)
				rte_pktmbuf_free(in[i]);
		}
	CU_ASSERT(frames > 16 * METHODS * 5 && packets > frames * 4);
}

/* The bytes of pack.h and shim.h, written by hand; the check computed apart, with libxxhash. */
static void test_vector(void)
{
	static const uint8_t want[] = {
		0xc4,
		0x88,
		0x40,
		0x23, /* version 3, raw, packed, class slot 2, lane 0x21, 35 bytes */
		0x00,
		0x00,
		0x00,
		0x00, /* the lane's first */
		0x47,
		0xdc,
		0x7e,
		0xc1, /* NOW / 1,024 */
		0x00,
		0x00,
		0x00,
		0x00, /* the check: below */
		0x00,
		0x0e, /* 14 bytes */
		2,
		2,
		2,
		2,
		2,
		2,
		4,
		4,
		4,
		4,
		4,
		4,
		0x88,
		0xcc, /* a frame with no payload */
		0x00,
		0x11, /* 17 bytes */
		2,
		2,
		2,
		2,
		2,
		2,
		4,
		4,
		4,
		4,
		4,
		4,
		0x88,
		0xcc,
		0xaa,
		0xbb,
		0xcc,
	};
	struct link_path path[2];
	struct link_tx tx;
	struct rte_mbuf *in, *frame;

	set_up(path, &tx);
	in = frames_inner(4, 0, DATA_ZERO, 0, 0, 0, 1);
	pkt_of(in)->class_id = 1;
	for (unsigned i = 0; i < 2; i++) {
		in->data_len = (uint16_t)(14 + 3 * i);
		in->pkt_len = in->data_len;
		memcpy(rte_pktmbuf_mtod(in, uint8_t *), i == 0 ? want + 18 : want + 34,
			in->data_len);
		CU_ASSERT(link_pack_add(&sent, &path[0], in));
	}
	frame = encode(&tx, path, methods[0]);
	CU_ASSERT_PTR_NOT_NULL_FATAL(frame);
	CU_ASSERT_EQUAL_FATAL(pkt_of(frame)->payload_len, sizeof(want));
	const uint8_t *p = rte_pktmbuf_mtod_offset(frame, uint8_t *, pkt_of(frame)->payload_off);
	CU_ASSERT(memcmp(p, want, 12) == 0);
	CU_ASSERT_EQUAL(link_get32(p + 12), 0x1b0cfc93);
	CU_ASSERT(memcmp(p + 16, want + 16, sizeof(want) - 16) == 0);
	CU_ASSERT_EQUAL(decode(frame, path), 0);
	rte_pktmbuf_free(in);
	rte_pktmbuf_free(frame);
}

/* Only what is alike in class, DSCP and ECN; and no more than fits. */
static void test_add(void)
{
	struct link_path path[2];
	struct link_tx tx;
	struct rte_mbuf *in, *other, *out;
	uint32_t len, room;
	unsigned n;

	set_up(path, &tx);
	in = frames_inner(4, 0, DATA_TEXT, 1400, 0, 2, 1);
	out = rte_pktmbuf_alloc(frames_pool());
	CU_ASSERT(link_pack_add(&sent, &path[0], in));
	len = sent.len;
	CU_ASSERT_EQUAL(link_encode_pack(&tx, &path[0], &sent, CODEC_LZ4, 10, out, NOW), -EMSGSIZE);

	other = frames_inner(4, 0, DATA_TEXT, 1400, 0, 2, 1);
	pkt_of(other)->dscp = 11;
	CU_ASSERT(!link_pack_add(&sent, &path[0], other));
	pkt_of(other)->dscp = 10;
	pkt_of(other)->class_id = 1;
	CU_ASSERT(!link_pack_add(&sent, &path[0], other));
	pkt_of(other)->class_id = 0;
	/* Marked in a queue here: struct pkt does not say so. */
	rte_pktmbuf_mtod(other, uint8_t *)[15] |= 3;
	CU_ASSERT(!link_pack_add(&sent, &path[0], other));
	rte_pktmbuf_free(other);
	other = frames_inner(4, 0, DATA_TEXT, 1400, 0, 0, 1);
	CU_ASSERT(!link_pack_add(&sent, &path[0], other));
	CU_ASSERT(sent.count == 1 && sent.len == len);
	/* Nothing that the path does not carry. */
	path[0].routed = true;
	pkt_of(in)->flags = 0;
	CU_ASSERT(!link_pack_add(&sent, &path[0], in));
	path[0].routed = false;
	pkt_of(in)->flags = PKT_IP;

	for (n = 1; link_pack_add(&sent, &path[0], in); n++)
		;
	CU_ASSERT_EQUAL(n, LINK_ORIGINAL_MAX / 1444);
	CU_ASSERT_EQUAL(sent.len, n * 1444);
	CU_ASSERT_EQUAL(sent.frame_bytes, n * 1442);
	link_pack_clear(&sent);
	in->data_len = 60;
	for (n = 0; link_pack_add(&sent, &path[0], in); n++)
		;
	CU_ASSERT_EQUAL(n, LINK_PACK_MAX);

	/* Smaller than the packets together, and no larger than the path MTU. */
	link_pack_blob(&sent, &path[0], out, 16, &room);
	CU_ASSERT_EQUAL(room, LINK_PACK_MAX * 60 - 58 - 16);
	path[0].path_mtu = 1500;
	link_pack_blob(&sent, &path[0], out, 16, &room);
	CU_ASSERT_EQUAL(room, 1500 - 44);
	CU_ASSERT_EQUAL(
		link_encode_pack(&tx, &path[0], &sent, CODEC_LZ4, room + 1, out, NOW), -EMSGSIZE);
	link_pack_blob(&sent, &path[0], out, LINK_PACK_MAX * 60, &room);
	CU_ASSERT_EQUAL(room, 0);
	path[0].alive = false;
	CU_ASSERT_EQUAL(link_encode_pack(&tx, &path[0], &sent, CODEC_LZ4, 10, out, NOW), -ENOTCONN);
	CU_ASSERT_EQUAL(link_tx_next(&tx, 1), 0);
	rte_pktmbuf_free(in);
	rte_pktmbuf_free(other);
	rte_pktmbuf_free(out);
}

/* RFC 6040, figure 4, for every packet: 0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE; and TTLs. */
static void test_egress(void)
{
	static const int want[4][4] = {{0, 0, 0, -1}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};

	for (unsigned v = 0; v < 4; v++)
		for (unsigned inner = 0; inner < 4; inner++)
			for (unsigned outer = 0; outer < 4; outer++) {
				uint8_t family = v & 1 ? 6 : 4;
				struct link_path path[2];
				struct link_tx tx;
				struct rte_mbuf *frame, *in, *same;
				int rc;

				set_up(path, &tx);
				frames_paths(path, 4, 0, v & 2);
				in = frames_inner(family, 0, DATA_TEXT, 300, 0, (uint8_t)inner, 1);
				for (unsigned i = 0; i < 5; i++)
					CU_ASSERT(link_pack_add(&sent, &path[0], in));
				frame = encode(&tx, path, methods[1]);
				CU_ASSERT_PTR_NOT_NULL_FATAL(frame);
				CU_ASSERT_EQUAL(pkt_of(frame)->ecn, inner);
				pkt_of(frame)->ecn = (uint8_t)outer;
				rc = decode(frame, path);
				CU_ASSERT_EQUAL(rc, want[inner][outer] < 0 ? -DROP_LINK_CE : 0);
				CU_ASSERT_EQUAL(lanes[LANE].unique, 1);
				same = frames_inner(family, 0, DATA_TEXT, 300, 0,
					(uint8_t)RTE_MAX(want[inner][outer], 0), 1);
				for (unsigned i = 0; rc == 0 && i < 5; i++)
					CU_ASSERT(is_same(&path[0], i, same));
				rte_pktmbuf_free(frame);

				/* Three routers on the way. */
				frame = encode(&tx, path, methods[1]);
				CU_ASSERT_PTR_NOT_NULL_FATAL(frame);
				rte_pktmbuf_mtod(frame, uint8_t *)[14 + 8] -= 3;
				CU_ASSERT_EQUAL(decode(frame, path), 0);
				for (unsigned i = 0; i < 5; i++)
					CU_ASSERT_EQUAL(got.bytes[got.at[i] + (v & 2 ? 0 : 14) +
								  (family == 6 ? 7 : 8)],
						v & 2 ? 60 : 63);
				rte_pktmbuf_free(in);
				rte_pktmbuf_free(same);
				rte_pktmbuf_free(frame);
			}
}

/* Properly signed, but not packets: nothing of it is delivered. */
static void test_malformed(void)
{
	static const struct {
		uint32_t len; /* of the original bytes: 3 packets of 60 bytes */
		uint16_t at;
		uint16_t length; /* written there */
	} cases[] = {
		{186, 0, 61},	/* the next length is not where it should be */
		{186, 124, 61}, /* runs past the end */
		{186, 124, 59}, /* a byte is left over */
		{186, 124, 58}, /* a length and no packet */
		{186, 0, 0},
		{186, 0, 13},
		{186, 0, UINT16_MAX},
		{186, 62, 0x803c},
		{185, 0, 60},
		{125, 0, 60},
		{187, 0, 60},
		{62, 0, 60}, /* one packet only */
		{186, 0, 184},
	};
	struct link_path path[2];
	struct link_tx tx;
	struct rte_mbuf *in, *frame;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		set_up(path, &tx);
		in = frames_inner(4, 0, DATA_ZERO, 18, 0, 0, 1);
		for (unsigned k = 0; k < 3; k++)
			CU_ASSERT(link_pack_add(&sent, &path[0], in));
		CU_ASSERT_EQUAL(sent.len, 186);
		frame = encode(&tx, path, methods[0]);
		CU_ASSERT_EQUAL(decode(frame, path), 0);
		rte_pktmbuf_free(frame);
		sent.bytes[cases[i].at] = (uint8_t)(cases[i].length >> 8);
		sent.bytes[cases[i].at + 1] = (uint8_t)cases[i].length;
		sent.len = cases[i].len;
		frame = encode(&tx, path, methods[0]);
		CU_ASSERT_EQUAL(decode(frame, path), -DROP_LINK_BAD_PACK);
		CU_ASSERT_EQUAL(lanes[LANE].unique, 2); /* it did arrive */
		rte_pktmbuf_free(in);
		rte_pktmbuf_free(frame);
	}
	/* An acknowledgement (ack.h) that says it is packets. */
	set_up(path, &tx);
	frame = rte_pktmbuf_alloc(frames_pool());
	CU_ASSERT_EQUAL(link_encode_ack(&tx, &path[0], (const uint8_t *)"ack", 3, frame, NOW), 0);
	rte_pktmbuf_mtod_offset(frame, uint8_t *, 14 + 28)[0] |= 4;
	frames_arrived(frame, &path[1], -1);
	CU_ASSERT_EQUAL(decode(frame, path), -DROP_LINK_BAD_SHIM);
	rte_pktmbuf_free(frame);
	/* More of them than anybody sends. */
	set_up(path, &tx);
	in = frames_inner(4, 0, DATA_ZERO, 0, 0, 0, 1);
	while (link_pack_add(&sent, &path[0], in))
		;
	CU_ASSERT_EQUAL(sent.count, LINK_PACK_MAX);
	memcpy(sent.bytes + sent.len, sent.bytes, 44);
	sent.len += 44;
	frame = encode(&tx, path, methods[0]);
	CU_ASSERT_EQUAL(decode(frame, path), -DROP_LINK_BAD_PACK);
	rte_pktmbuf_free(in);
	rte_pktmbuf_free(frame);
}

/* Every cut and every flipped bit; a frame of one kind is none of the other. */
static void test_damage(void)
{
	struct link_path path[2];
	struct link_tx tx;
	struct rte_mbuf *in[4], *frame, *out;

	for (unsigned m = 0; m < METHODS; m++) {
		uint32_t len, accepted = 0;
		uint8_t *p;

		set_up(path, &tx);
		for (unsigned i = 0; i < 4; i++) {
			in[i] = frames_inner(4, 0, DATA_TEXT, 300, 0, 0, i);
			link_pack_add(&sent, &path[0], in[i]);
		}
		frame = encode(&tx, path, methods[m]);
		CU_ASSERT_PTR_NOT_NULL_FATAL(frame);
		out = rte_pktmbuf_alloc(frames_pool());
		CU_ASSERT_EQUAL(link_decode(codec, frame, &path[1], lanes, NULL, out, NOW, NULL),
			-DROP_LINK_BAD_SHIM);
		rte_pktmbuf_free(out);
		len = pkt_of(frame)->payload_len;
		p = rte_pktmbuf_mtod_offset(frame, uint8_t *, pkt_of(frame)->payload_off);
		for (uint32_t cut = 0; cut < len; cut++) {
			pkt_of(frame)->payload_len = (uint16_t)cut;
			CU_ASSERT(decode(frame, path) < 0);
		}
		pkt_of(frame)->payload_len = (uint16_t)len;
		for (uint32_t bit = 0; bit < len * 8; bit++) {
			int rc;

			p[bit / 8] ^= (uint8_t)(1 << bit % 8);
			rc = decode(frame, path);
			p[bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (rc < 0) {
				CU_ASSERT(rc != -DROP_LINK_BAD_PACK);
				continue;
			}
			/* A codec can say the same in two ways; then it must be the same. */
			accepted++;
			CU_ASSERT(bit / 8 >= LINK_SHIM_BYTES && got.count == 4);
			for (unsigned i = 0; i < got.count; i++)
				CU_ASSERT(is_same(&path[0], i, in[i]));
			memset(&lanes[LANE], 0, sizeof(lanes[LANE]));
		}
		CU_ASSERT(accepted <= len * 8 / 100);
		CU_ASSERT_EQUAL(lanes[LANE].received, 0);
		CU_ASSERT_EQUAL(decode(frame, path), 0);
		for (unsigned i = 0; i < 4; i++)
			rte_pktmbuf_free(in[i]);
		rte_pktmbuf_free(frame);
	}
	set_up(path, &tx);
	struct rte_mbuf *one = frames_inner(4, 0, DATA_TEXT, 900, 0, 0, 1);
	frame = rte_pktmbuf_alloc(frames_pool());
	uint32_t room;
	uint8_t *blob = link_blob(&path[0], one, frame, 0, &room);
	int n = codec_encode(
		codec, methods[1], rte_pktmbuf_mtod(one, uint8_t *), one->data_len, blob, room);
	CU_ASSERT_FATAL(n > 0);
	CU_ASSERT_EQUAL(link_encode(&tx, &path[0], one, CODEC_LZ4, (uint32_t)n, frame, NOW), 0);
	frames_arrived(frame, &path[1], -1);
	CU_ASSERT(!link_is_packed(
		rte_pktmbuf_mtod_offset(frame, uint8_t *, pkt_of(frame)->payload_off),
		pkt_of(frame)->payload_len));
	CU_ASSERT_EQUAL(decode(frame, path), -DROP_LINK_BAD_SHIM);
	rte_pktmbuf_free(one);
	rte_pktmbuf_free(frame);
	CU_ASSERT(!link_is_packed((const uint8_t *)"\xff\xff", 2));
}

/* A packet that the receiver's buffers do not hold. */
static void test_unpack_room(void)
{
	struct link_path path[2];
	struct link_tx tx;
	struct rte_mbuf *in, *frame, *out;

	set_up(path, &tx);
	in = frames_inner(4, 0, DATA_TEXT, 1400, 0, 0, 1);
	out = rte_pktmbuf_alloc(frames_pool());
	for (unsigned i = 0; i < 2; i++)
		CU_ASSERT(link_pack_add(&sent, &path[0], in));
	frame = encode(&tx, path, methods[1]);
	CU_ASSERT_EQUAL(decode(frame, path), 0);
	out->data_off = (uint16_t)(out->buf_len - 1441);
	CU_ASSERT(!link_unpack(&got, 1, out));
	out->data_off--;
	CU_ASSERT(link_unpack(&got, 1, out));
	rte_pktmbuf_free(in);
	rte_pktmbuf_free(frame);
	rte_pktmbuf_free(out);
}

UNIT_TESTS("link-pack", {"what goes in comes out", test_round_trip}, {"the bytes", test_vector},
	{"what goes together", test_add}, {"marks and hops", test_egress},
	{"what is no packets is not delivered", test_malformed},
	{"nothing damaged is delivered", test_damage}, {"room for a packet", test_unpack_room})
