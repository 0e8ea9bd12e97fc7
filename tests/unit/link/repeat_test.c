/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packs of repeats (link/pack.h, compress/store.h): the bytes of the frame; what comes out is what
 * went in, and neither end has kept it; any other bytes are refused, a reference that cannot be
 * followed is reported; what is a repeat, and what is not.
 */
#include <errno.h>

#include "controlplane/channel/counters.h"
#include "dataplane/compress/flow_codec.h"
#include "dataplane/compress/lz4.h"
#include "dataplane/compress/store.h"
#include "dataplane/link/pack.h"
#include "tests/unit/link/store_pair.h"
#include "tests/unit/unit.h"

#define NOW UINT64_C(1000000000000)
#define SLOTS 1024 /* of either end, half of them the lane's */
#define PAYLOAD 1200
#define WORKER PAIR_SENDER
#define OTHER PAIR_RECEIVER
#define LANE (WORKER * LINK_WORKERS_MAX + OTHER)

static struct link_path path[2];
static struct link_seq *lanes;
static struct link_tx tx;
static struct link_pack sent, got;
static struct store_sender *sender;
static struct store_receiver *receiver;
static struct compressor *compressor;
static struct flow_codec flow;

static void set_up(void)
{
	frames_pool();
	if (lanes == NULL) {
		lanes = aligned_alloc(64, LINK_LANES * sizeof(*lanes));
		compressor = compressor_init(aligned_alloc(
			COMPRESSOR_ALIGN, RTE_ALIGN(compressor_bytes(), COMPRESSOR_ALIGN)));
	}
	memset(&flow, 0, sizeof(flow));
	memset(lanes, 0, LINK_LANES * sizeof(*lanes));
	store_pair(&sender, &receiver, SLOTS, path);
	start_sender(sender, 1, 2, SLOTS);
	store_receiver_start(receiver, 1, 3);
	meet(sender, receiver);
	link_tx_init(&tx, LANE);
	link_pack_clear(&sent);
}

static const struct store_rx *lane_of_receiver(void)
{
	return &receiver->lane[WORKER];
}

/* What is in `sent`, with this blob, as a frame that has arrived. */
static struct rte_mbuf *encode(const uint8_t *blob, uint32_t len)
{
	struct rte_mbuf *out = rte_pktmbuf_alloc(frames_pool());
	uint32_t room;

	memcpy(link_pack_blob(&sent, &path[0], out, 0, &room), blob, len);
	CU_ASSERT_EQUAL_FATAL(
		link_encode_pack(&tx, &path[0], &sent, LINK_CODEC_STORE, len, out, NOW), 0);
	frames_arrived(out, &path[1], -1);
	return out;
}

static int decode(struct rte_mbuf *frame)
{
	struct link_arrival a;
	int rc = link_decode_pack(
		frames_codec(), frame, &path[1], lanes, receiver, &got, NOW + 1000000, &a);

	CU_ASSERT(rc != 0 || a.verdict == LINK_ARRIVED);
	CU_ASSERT(rc == 0 || got.count == 0);
	return rc;
}

/* ---- the bytes of the frame ---- */

/* Of packet 7, which is kept, and which the two packets of the vector are like. */
static const uint8_t kept[] = {2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 0x88, 0xcc, 'k', 'e', 'p', 't'};

static const uint8_t vector[] = {
	0xf4, 0x88, 0x40, 0x26, /* version 3, codec 6, packed, class slot 2, lane 0x21, 38 bytes */
	0, 0, 0, 9,		/* the tenth of the lane */
	0x3a, 0x35, 0x29, 0x44, /* NOW / 1,024 */
	0, 0, 0, 0,		/* the check: below */
	0, 18,			/* the first packet: 18 bytes */
	0, 18,			/* 18 bytes follow */
	STORE_HAS_HEADER, 1,	/* one token */
	0, 0, 7, 14, 0x80, 0x3a, 5, /* number 7, 14 bytes; runs: behind 7 bytes, one */
	0, 0, 0, 0, 7, 0, 14, 0, 4, /* no literals; number 7, from 14, 4 bytes */
	0, 16,			    /* the second packet: 16 bytes */
	0, 17,			    /* 17 bytes follow */
	STORE_HAS_HEADER, 1,	    /* one token */
	0, 0, 7, 14, 0,		    /* number 7, 14 bytes, none of which differs */
	0, 1, 0, 0, 7, 0, 15, 0, 1, /* a literal; number 7, from 15, a byte */
	'b',			    /* the literal */
};

#define BLOB (vector + LINK_SHIM_BYTES)
#define BLOB_BYTES (sizeof(vector) - LINK_SHIM_BYTES)

/* Its two packets, in `sent`; packet 7 is kept at end 1. */
static void set_up_vector(void)
{
	struct rte_mbuf *in;

	set_up();
	store_received(receiver, WORKER, 7, kept, sizeof(kept), NOW);
	tx.session_id = 1;
	tx.next = 9;
	in = frames_inner(4, 0, DATA_ZERO, 0, 0, 0, 1);
	pkt_of(in)->class_id = 1;
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *p = rte_pktmbuf_mtod(in, uint8_t *);

		memcpy(p, kept, sizeof(kept));
		if (i == 0)
			p[7] = 5;
		else
			memcpy(p + 14, "be", 2);
		in->data_len = i == 0 ? 18 : 16;
		in->pkt_len = in->data_len;
		CU_ASSERT_FATAL(link_pack_add(&sent, &path[0], in));
	}
	rte_pktmbuf_free(in);
}

/* The bytes of shim.h, pack.h and store.h, written by hand; the check computed apart, with
 * libxxhash. */
static void test_vector(void)
{
	struct link_seq_counts counts;
	struct rte_mbuf *frame;
	const uint8_t *p;

	set_up_vector();
	frame = encode(BLOB, BLOB_BYTES);
	CU_ASSERT_EQUAL_FATAL(pkt_of(frame)->payload_len, sizeof(vector));
	p = rte_pktmbuf_mtod_offset(frame, uint8_t *, pkt_of(frame)->payload_off);
	CU_ASSERT(memcmp(p, vector, 12) == 0);
	CU_ASSERT_EQUAL(link_get32(p + 12), 0x247753b2);
	CU_ASSERT(memcmp(p + 16, BLOB, BLOB_BYTES) == 0);
	CU_ASSERT_EQUAL(decode(frame), 0);
	CU_ASSERT_EQUAL(got.count, 2);
	CU_ASSERT(got.len == sent.len && memcmp(got.bytes, sent.bytes, sent.len) == 0);
	CU_ASSERT(got.packet_len[0] == 18 && got.packet_len[1] == 16);
	/* One frame, of which nothing is kept; but the sender hears of it. */
	link_seq_read(&lanes[LANE], NULL, NOW, &counts);
	CU_ASSERT(counts.received == 1 && counts.unique == 1);
	CU_ASSERT(receiver->counts.expanded == 2 && receiver->counts.kept == 1);
	CU_ASSERT_EQUAL(lane_of_receiver()->due_ns, NOW + STORE_ACK_NS);
	CU_ASSERT_EQUAL(decode(frame), -DROP_LINK_DUPLICATE);
	rte_pktmbuf_free(frame);

	uint64_t words[STORE_ACK_WORDS];
	uint32_t base, refused[STORE_REFUSALS];

	store_acknowledge(receiver, WORKER, &base, words, refused);
	frame = encode(BLOB, BLOB_BYTES);
	CU_ASSERT_EQUAL(decode(frame), 0);
	CU_ASSERT_EQUAL(lane_of_receiver()->due_ns, NOW + 1000000 + STORE_HEARD_NS);
	/* Something that has to be said sooner. */
	store_received(receiver, WORKER, 8, kept, sizeof(kept), NOW);
	CU_ASSERT_EQUAL(lane_of_receiver()->due_ns, NOW + STORE_ACK_NS);
	rte_pktmbuf_free(frame);
}

/* ---- any other bytes ---- */

/* Properly signed, but not what the pack says, or no pack. */
static void test_malformed(void)
{
	enum { FIRST = 0, SECOND = 22 }; /* where the parts begin */
	static const struct {
		uint32_t at;
		uint8_t bytes[2]; /* written there */
		uint32_t len;	  /* of the blob */
		int want;
	} cases[] = {
		{FIRST, {0, 17}, BLOB_BYTES, -DROP_LINK_BAD_DATA},
		{FIRST, {0, 19}, BLOB_BYTES, -DROP_LINK_BAD_DATA},
		{FIRST, {0, 0}, BLOB_BYTES, -DROP_LINK_BAD_DATA},
		{FIRST, {0, 36}, BLOB_BYTES, -DROP_LINK_BAD_DATA},
		{FIRST, {0, 37}, BLOB_BYTES, -DROP_LINK_BAD_DATA},
		{FIRST, {0xff, 0xff}, BLOB_BYTES, -DROP_LINK_BAD_DATA},
		{FIRST + 2, {0, 0}, BLOB_BYTES, -DROP_LINK_BAD_DATA},
		{FIRST + 2, {0, 1}, BLOB_BYTES, -DROP_LINK_BAD_DATA},
		{FIRST + 2, {0, 17}, BLOB_BYTES, -DROP_LINK_BAD_DATA},
		{FIRST + 2, {0, 19}, BLOB_BYTES, -DROP_LINK_BAD_DATA},
		{FIRST + 2, {0, 39}, BLOB_BYTES, -DROP_LINK_BAD_DATA}, /* up to the end */
		{FIRST + 2, {0, 40}, BLOB_BYTES, -DROP_LINK_BAD_DATA},
		{FIRST + 2, {0xff, 0xff}, BLOB_BYTES, -DROP_LINK_BAD_DATA},
		{SECOND, {0, 15}, BLOB_BYTES, -DROP_LINK_BAD_DATA},
		{SECOND, {0, 17}, BLOB_BYTES, -DROP_LINK_BAD_DATA},
		{SECOND + 2, {0, 16}, BLOB_BYTES, -DROP_LINK_BAD_DATA},
		{SECOND + 2, {0, 18}, BLOB_BYTES, -DROP_LINK_BAD_DATA},
		{FIRST, {0, 18}, 0, -DROP_LINK_BAD_DATA},
		{FIRST, {0, 18}, 3, -DROP_LINK_BAD_DATA},
		{FIRST, {0, 18}, SECOND, -DROP_LINK_BAD_DATA}, /* one packet less */
		{FIRST, {0, 18}, SECOND + 3, -DROP_LINK_BAD_DATA},
		{FIRST, {0, 18}, SECOND + 4, -DROP_LINK_BAD_DATA},
		{FIRST, {0, 18}, BLOB_BYTES - 1, -DROP_LINK_BAD_DATA},
		{FIRST, {0, 18}, BLOB_BYTES + 1, -DROP_LINK_BAD_DATA},
		{FIRST, {0, 18}, BLOB_BYTES + 6, -DROP_LINK_BAD_DATA},
		/* Other packets than those of the check. */
		{FIRST + 12, {6, 0}, BLOB_BYTES, -DROP_LINK_BAD_CHECK},
		{FIRST + 8, {8, 14}, BLOB_BYTES, -DROP_LINK_NO_REFERENCE},
		{FIRST + 17, {8, 0}, BLOB_BYTES, -DROP_LINK_NO_REFERENCE},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t blob[BLOB_BYTES + 6] = {0};
		struct rte_mbuf *frame;

		set_up_vector();
		memcpy(blob, BLOB, BLOB_BYTES);
		memcpy(blob + cases[i].at, cases[i].bytes, 2);
		frame = encode(blob, cases[i].len);
		CU_ASSERT_EQUAL(decode(frame), cases[i].want);
		CU_ASSERT_EQUAL(lanes[LANE].received, 0);
		CU_ASSERT_EQUAL(
			lane_of_receiver()->refusals, cases[i].want == -DROP_LINK_NO_REFERENCE);
		rte_pktmbuf_free(frame);
	}
}

/* Packs that hold too few or too many packets. */
static void test_count(void)
{
	static const uint8_t none[] = {0, 18, 0, 20, 0, 0}; /* a packet of literals alone */
	uint8_t blob[(LINK_PACK_MAX + 1) * 24], *at = blob;
	struct rte_mbuf *frame;

	set_up_vector();
	sent.len = 20; /* of the two packets the first */
	frame = encode(BLOB, 22);
	CU_ASSERT_EQUAL(decode(frame), -DROP_LINK_BAD_PACK);
	CU_ASSERT_EQUAL(lanes[LANE].received, 1);
	rte_pktmbuf_free(frame);

	for (unsigned i = 0; i <= LINK_PACK_MAX; i++, at += sizeof(none) + sizeof(kept)) {
		memcpy(at, none, sizeof(none));
		memcpy(at + sizeof(none), kept, sizeof(kept));
		sent.bytes[i * 20] = 0;
		sent.bytes[i * 20 + 1] = sizeof(kept);
		memcpy(sent.bytes + i * 20 + 2, kept, sizeof(kept));
		sent.len = (i + 1) * 20;
		frame = encode(blob, (i + 1) * 24);
		CU_ASSERT_EQUAL(decode(frame), i == 0		    ? -DROP_LINK_BAD_PACK
					       : i == LINK_PACK_MAX ? -DROP_LINK_BAD_DATA
								    : 0);
		rte_pktmbuf_free(frame);
	}
}

/* Every cut and every flipped bit; and where nothing is kept. */
static void test_damage(void)
{
	struct link_shim shim;
	struct rte_mbuf *frame;
	unsigned accepted = 0;
	uint8_t *p;

	set_up_vector();
	frame = encode(BLOB, BLOB_BYTES);
	p = rte_pktmbuf_mtod_offset(frame, uint8_t *, pkt_of(frame)->payload_off);
	for (uint16_t cut = 0; cut < sizeof(vector); cut++) {
		pkt_of(frame)->payload_len = cut;
		CU_ASSERT(decode(frame) < 0);
	}
	pkt_of(frame)->payload_len = sizeof(vector);
	for (uint32_t bit = 0; bit < sizeof(vector) * 8; bit++) {
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		int rc = decode(frame);
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (rc < 0)
			continue;
		/* Only bits that stand for no byte of a header. */
		accepted++;
		CU_ASSERT(got.len == sent.len && memcmp(got.bytes, sent.bytes, sent.len) == 0);
		memset(&lanes[LANE], 0, sizeof(lanes[LANE]));
	}
	CU_ASSERT(accepted <= 4 && receiver->counts.kept == 1 && lanes[LANE].received == 0);
	CU_ASSERT_EQUAL(
		link_decode_pack(frames_codec(), frame, &path[1], lanes, NULL, &got, NOW, NULL),
		-DROP_LINK_BAD_SHIM);
	/* Packs have no history. */
	link_shim_read(p, &shim);
	shim.codec = LINK_CODEC_ZSTD_HISTORY;
	link_shim_write(p, &shim);
	CU_ASSERT_EQUAL(decode(frame), -DROP_LINK_BAD_SHIM);
	rte_pktmbuf_free(frame);
}

/* ---- both ends ---- */

/* Packet `number` of a flow: other bytes than those of others, and a header that goes on. */
static struct rte_mbuf *packet(unsigned number)
{
	struct rte_mbuf *m = frames_inner(4, 0, DATA_RANDOM, PAYLOAD, 0, 0, number);

	rte_pktmbuf_mtod(m, uint8_t *)[18] = (uint8_t)number;
	return m;
}

static struct store_packet store_packet_of(const struct rte_mbuf *m)
{
	return (struct store_packet){.bytes = rte_pktmbuf_mtod(m, const uint8_t *),
		.len = m->data_len,
		.header_len = pkt_of(m)->payload_off,
		.flow_hash = 5};
}

/* Send one in a frame of its own, as references or raw; it arrives. True: it was a repeat. */
static bool send_one(struct rte_mbuf *m)
{
	struct store_packet p = store_packet_of(m);
	uint32_t seq = (uint32_t)tx.next, room, n = 0;
	struct rte_mbuf *out = rte_pktmbuf_alloc(frames_pool()), *back;
	uint8_t *blob = link_blob(&path[0], m, out, 0, &room), codec = LINK_CODEC_STORE;

	if (store_find(sender, OTHER, &p, seq, &flow))
		n = store_encode(sender, OTHER, &p, seq, compressor, blob, room);
	if (n == 0) {
		codec = LINK_CODEC_RAW;
		n = p.len;
		memcpy(blob, p.bytes, n);
	}
	CU_ASSERT_EQUAL_FATAL(link_encode(&tx, &path[0], m, codec, n, out, NOW), 0);
	store_keep(sender, OTHER, &p, seq, NOW);
	frames_arrived(out, &path[1], -1);
	back = rte_pktmbuf_alloc(frames_pool());
	CU_ASSERT_EQUAL(
		link_decode(frames_codec(), out, &path[1], lanes, receiver, back, NOW, NULL), 0);
	CU_ASSERT(back->data_len == m->data_len &&
		  memcmp(rte_pktmbuf_mtod(back, void *), p.bytes, p.len) == 0);
	rte_pktmbuf_free(back);
	rte_pktmbuf_free(out);
	return sender->match.is_used && sender->match.is_repeat;
}

static void acknowledge(void)
{
	uint64_t words[STORE_ACK_WORDS];
	uint32_t base, refused[STORE_REFUSALS];
	unsigned refusals = store_acknowledge(receiver, WORKER, &base, words, refused);

	store_acked(sender, OTHER, base, words, STORE_ACK_WORDS);
	for (unsigned i = 0; i < refusals; i++)
		store_refused(sender, OTHER, refused[i], NOW);
}

/* Numbers first..last, each by itself. Returns how many were repeats. */
static unsigned send_each(unsigned first, unsigned last)
{
	unsigned repeats = 0;

	for (unsigned i = first; i <= last; i++) {
		struct rte_mbuf *m = packet(i);

		repeats += send_one(m);
		rte_pktmbuf_free(m);
	}
	return repeats;
}

/* Add a packet to the pack, whose blob is *len bytes. False: it is no repeat. */
static bool add(struct rte_mbuf *m, uint8_t *blob, uint32_t *len, struct store_tx_counts *hits)
{
	struct store_packet p = store_packet_of(m);
	uint32_t seq = (uint32_t)tx.next, n;

	CU_ASSERT_FATAL(link_pack_add(&sent, &path[0], m));
	n = store_find(sender, OTHER, &p, seq, &flow)
		    ? store_encode(sender, OTHER, &p, seq, compressor,
			      blob + *len + LINK_PACK_PART_BYTES, 1000)
		    : 0;
	if (n == 0 || !sender->match.is_repeat) {
		link_pack_take_back(&sent, m);
		return false;
	}
	store_pass(sender, OTHER, &p, hits);
	link_pack_part(&sent, blob + *len, n);
	*len += LINK_PACK_PART_BYTES + n;
	return true;
}

/* Numbers first..last in one frame. Returns its reason. */
static int send_pack(unsigned first, unsigned last)
{
	static uint8_t blob[2000];
	struct store_tx_counts hits = {0};
	struct rte_mbuf *frame;
	uint32_t len = 0;
	int rc;

	link_pack_clear(&sent);
	for (unsigned i = first; i <= last; i++) {
		struct rte_mbuf *m = packet(i);

		CU_ASSERT_FATAL(add(m, blob, &len, &hits));
		CU_ASSERT_EQUAL(sender->match.piece_count, 1);
		rte_pktmbuf_free(m);
	}
	frame = encode(blob, len);
	store_passed(sender, OTHER, 5, &hits);
	rc = decode(frame);
	CU_ASSERT(rc != 0 || (got.len == sent.len && memcmp(got.bytes, sent.bytes, sent.len) == 0));
	CU_ASSERT(frame->data_len < (last - first + 1) * 50 + 58);
	rte_pktmbuf_free(frame);
	return -rc;
}

static void test_round_trip(void)
{
	uint64_t kept_before;

	set_up();
	CU_ASSERT_EQUAL(send_each(0, 99), 0);
	acknowledge();
	CU_ASSERT(!store_repeats(sender, OTHER, 5));
	CU_ASSERT_EQUAL(send_each(0, 0), 1);
	CU_ASSERT(store_repeats(sender, OTHER, 5));
	CU_ASSERT(!store_repeats(sender, OTHER, 6));
	/* Disappointed. */
	store_doubt(sender, OTHER, 5);
	CU_ASSERT(!store_repeats(sender, OTHER, 5));
	CU_ASSERT_EQUAL(send_each(1, 1), 1);
	CU_ASSERT(store_repeats(sender, OTHER, 5));
	for (unsigned i = 0; i < 4; i++)
		store_doubt(sender, OTHER, 5);
	CU_ASSERT_EQUAL(send_each(2, STORE_DOUBTS - 1), STORE_DOUBTS - 2);
	CU_ASSERT(!store_repeats(sender, OTHER, 5));
	CU_ASSERT_EQUAL(send_each(STORE_DOUBTS, 9), 10 - STORE_DOUBTS);
	CU_ASSERT(store_repeats(sender, OTHER, 5));

	kept_before = sender->counts.kept;
	for (unsigned i = 10; i < 100; i += 9)
		CU_ASSERT_EQUAL(send_pack(i, i + 8), 0);
	CU_ASSERT(store_repeats(sender, OTHER, 5));
	CU_ASSERT_EQUAL(sender->counts.kept, kept_before);
	CU_ASSERT_EQUAL(receiver->counts.kept, kept_before);
	CU_ASSERT_EQUAL(receiver->counts.expanded, 100);
	CU_ASSERT(sender->counts.hits == 100 && sender->counts.misses == 100);
	CU_ASSERT_EQUAL(sender->counts.in_bytes, 100 * (PAYLOAD + 42));
	CU_ASSERT_EQUAL(sender->counts.hit_bytes, 100 * PAYLOAD);
	CU_ASSERT_EQUAL(link_tx_next(&tx, 1), 120);
	/* What is new ends it, is kept, and repeats next time. */
	CU_ASSERT_EQUAL(send_each(200, 201), 0);
	CU_ASSERT(!store_repeats(sender, OTHER, 5));
	CU_ASSERT_EQUAL(send_each(97, 97), 1);
	CU_ASSERT(store_repeats(sender, OTHER, 5));
	acknowledge();
	CU_ASSERT_EQUAL(send_pack(200, 201), 0);
}

/* A slot that is gone costs one frame; then the packet is sent, and kept, again. */
static void test_refusal(void)
{
	static uint8_t blob[2000];
	struct store_tx_counts hits = {0};
	struct rte_mbuf *m = packet(37);
	uint32_t len = 0;

	set_up();
	send_each(0, 99);
	acknowledge();
	send_each(0, 9);
	receiver->lane[WORKER].kept.slots[37].generation = 0;
	CU_ASSERT_EQUAL(send_pack(30, 39), DROP_LINK_NO_REFERENCE);
	CU_ASSERT_EQUAL(receiver->counts.missing, 1);
	CU_ASSERT(lane_of_receiver()->due_ns <= NOW + STORE_ACK_NS);
	acknowledge();
	CU_ASSERT_EQUAL(sender->counts.refused, 1);
	link_pack_clear(&sent);
	CU_ASSERT(!add(m, blob, &len, &hits));
	CU_ASSERT(sent.count == 0 && sent.len == 0 && sent.frame_bytes == 0);
	CU_ASSERT(!send_one(m));
	acknowledge();
	CU_ASSERT_EQUAL(send_pack(30, 39), 0);
	rte_pktmbuf_free(m);
}

/* What has to be kept: packets with new bytes, of many pieces, of old ones, without a header. */
static void test_no_repeat(void)
{
	static uint8_t blob[PAYLOAD];
	struct rte_mbuf *m;
	uint8_t *payload;

	set_up();
	send_each(0, 99);
	acknowledge();
	CU_ASSERT_EQUAL(send_each(0, 9), 10);
	m = packet(20);
	payload = rte_pktmbuf_mtod_offset(m, uint8_t *, pkt_of(m)->payload_off);
	memset(payload + 500, 'x', STORE_REPEAT_LITERALS);
	CU_ASSERT(send_one(m));
	memset(payload + 500, 'x', STORE_REPEAT_LITERALS + 1);
	CU_ASSERT(!send_one(m));
	rte_pktmbuf_free(m);

	/* Of more and smaller packets. */
	m = packet(20);
	payload = rte_pktmbuf_mtod_offset(m, uint8_t *, pkt_of(m)->payload_off);
	for (unsigned i = 0; i <= STORE_REPEAT_PIECES; i++) {
		struct rte_mbuf *of = frames_inner(
			4, 0, DATA_RANDOM, PAYLOAD / (STORE_REPEAT_PIECES + 1), 0, 0, 1000 + i);

		memcpy(payload + i * pkt_of(of)->payload_len,
			rte_pktmbuf_mtod_offset(of, uint8_t *, pkt_of(of)->payload_off),
			pkt_of(of)->payload_len);
		CU_ASSERT(!send_one(of));
		rte_pktmbuf_free(of);
	}
	acknowledge();
	CU_ASSERT(!send_one(m));
	CU_ASSERT(sender->match.is_used && sender->match.covered == PAYLOAD);
	CU_ASSERT_EQUAL(sender->match.piece_count, STORE_REPEAT_PIECES + 1);
	rte_pktmbuf_free(m);

	/* Of a flow that has sent nothing yet. */
	m = packet(21);
	struct store_packet p = store_packet_of(m);

	p.flow_hash = 6;
	CU_ASSERT(store_find(sender, OTHER, &p, (uint32_t)tx.next, &flow));
	CU_ASSERT(sender->match.is_repeat);
	CU_ASSERT(store_encode(sender, OTHER, &p, (uint32_t)tx.next, compressor, blob,
			  sizeof(blob)) > 0);
	CU_ASSERT(!sender->match.is_repeat);
	rte_pktmbuf_free(m);

	/* Three eighths of the slots later, and then as good as new. */
	for (unsigned i = 200; i < 200 + SLOTS / 2 / 8 * 3; i += 32) {
		send_each(i, i + 31);
		acknowledge();
	}
	CU_ASSERT_EQUAL(send_each(49, 59), 0);
	acknowledge();
	CU_ASSERT_EQUAL(send_pack(50, 59), 0);
}

UNIT_TESTS("link-repeat", {"the bytes of a pack", test_vector}, {"malformed", test_malformed},
	{"too few, too many", test_count}, {"damage", test_damage},
	{"repeats share frames", test_round_trip}, {"a refused reference", test_refusal},
	{"what is no repeat", test_no_repeat})
