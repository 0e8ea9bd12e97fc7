/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store on the link: acknowledgements byte by byte, frames of references through link_encode()
 * and link_decode(), and what becomes of them when keys change, frames are replayed or damaged.
 */
#include <errno.h>

#include "controlplane/channel/counters.h"
#include "dataplane/compress/flow_codec.h"
#include "dataplane/compress/lz4.h"
#include "dataplane/compress/store.h"
#include "dataplane/link/ack.h"
#include "tests/unit/link/store_pair.h"
#include "tests/unit/unit.h"

#define NOW UINT64_C(1000000000000)
#define SLOTS 512
#define PAYLOAD 1200
#define LANE (PAIR_SENDER * LINK_WORKERS_MAX + PAIR_RECEIVER)
#define LANE_BACK (PAIR_RECEIVER * LINK_WORKERS_MAX + PAIR_SENDER)

static struct link_path path[2];
static struct link_seq *lanes[2];
static struct link_tx tx, tx_back;
static struct store_sender *sender;
static struct store_receiver *receiver;
static struct compressor *codec;
static struct flow_codec flow;
static bool is_continued; /* the session has begun with what there was */

static void set_up(void)
{
	frames_pool();
	if (codec == NULL) {
		for (unsigned e = 0; e < 2; e++)
			lanes[e] = aligned_alloc(64, LINK_LANES * sizeof(*lanes[e]));
		codec = compressor_init(aligned_alloc(
			COMPRESSOR_ALIGN, RTE_ALIGN(compressor_bytes(), COMPRESSOR_ALIGN)));
	}
	memset(&flow, 0, sizeof(flow));
	for (unsigned e = 0; e < 2; e++)
		memset(lanes[e], 0, LINK_LANES * sizeof(*lanes[e]));
	store_pair(&sender, &receiver, SLOTS, path);
	link_tx_init(&tx, LANE);
	link_tx_init(&tx_back, LANE_BACK);
}

/* Both ends begin with the session of the paths. */
static void begin(void)
{
	uint32_t sent[STORE_WORKERS] = {0};

	sent[LANE % LINK_WORKERS_MAX] = (uint32_t)tx.packets;
	store_sender_start(sender, path[0].session_id, path[0].peer_workers, path[0].store_slots,
		sent, path[0].session_id);
	store_receiver_start(receiver, path[1].session_id, path[1].peer_workers);
	is_continued = meet(sender, receiver);
}

/* As the worker does it. *is_reference: codec 6. */
static struct rte_mbuf *encode(struct rte_mbuf *in, bool *is_reference)
{
	struct rte_mbuf *out = rte_pktmbuf_alloc(frames_pool());
	const struct pkt *pkt = pkt_of(in);
	uint32_t room, len, seq, n = 0;
	const uint8_t *inner = link_inner(&path[0], in, &len);
	uint8_t *blob = link_blob(&path[0], in, out, 16, &room);
	struct store_packet p = {.bytes = inner,
		.len = len,
		.header_len = pkt->payload_off,
		.domain = 0,
		.flow_hash = 5};

	if (sender->session_id != path[0].session_id)
		begin();
	seq = store_number_of(sender, LANE % LINK_WORKERS_MAX,
		tx.session_id == path[0].session_id ? (uint32_t)tx.next : 0);
	if (store_find(sender, LANE % LINK_WORKERS_MAX, &p, seq, &flow))
		n = store_encode(sender, LANE % LINK_WORKERS_MAX, &p, seq, codec, blob, room);
	*is_reference = n > 0;
	if (n == 0)
		n = (uint32_t)compressor_lz4(codec, inner, len, blob, room, 1);
	CU_ASSERT_FATAL(n > 0);
	CU_ASSERT_EQUAL_FATAL(
		link_encode(&tx, &path[0], in, *is_reference ? LINK_CODEC_STORE : LINK_CODEC_LZ4, n,
			out, NOW),
		0);
	store_keep(sender, LANE % LINK_WORKERS_MAX, &p, seq, NOW);
	return out;
}

/* Bytes unlike those of other numbers, of which a part compresses. */
static struct rte_mbuf *packet(unsigned number)
{
	struct rte_mbuf *m = frames_inner(4, 0, DATA_RANDOM, PAYLOAD, 0, 0, number);
	uint8_t *p = rte_pktmbuf_mtod_offset(m, uint8_t *, pkt_of(m)->payload_off);

	for (unsigned i = 0; i < PAYLOAD; i += 100)
		memset(p + i + 60, '-', 40);
	return m;
}

/* Decode at end 1; the reason, 0 when the packet is that of the number. */
static int deliver(struct rte_mbuf *frame, unsigned number)
{
	struct rte_mbuf *out = rte_pktmbuf_alloc(frames_pool()), *want = packet(number);

	frames_arrived(frame, &path[1], -1);
	int rc = link_decode(frames_codec(), frame, &path[1], lanes[1], receiver, out, NOW, NULL);
	if (rc == 0)
		CU_ASSERT(out->data_len == want->data_len &&
			  memcmp(rte_pktmbuf_mtod(out, void *), rte_pktmbuf_mtod(want, void *),
				  want->data_len) == 0);
	rte_pktmbuf_free(out);
	rte_pktmbuf_free(want);
	return -rc;
}

/* Send a packet through; true: as references. */
static bool send_one(unsigned number, int want)
{
	struct rte_mbuf *in = packet(number);
	bool is_reference;
	struct rte_mbuf *frame = encode(in, &is_reference);

	CU_ASSERT_EQUAL(deliver(frame, number), want);
	rte_pktmbuf_free(in);
	rte_pktmbuf_free(frame);
	return is_reference;
}

/* What end 1 has to say, as a frame. */
static struct rte_mbuf *make_ack(void)
{
	struct rte_mbuf *out = rte_pktmbuf_alloc(frames_pool());
	struct link_ack ack = {.words = STORE_ACK_WORDS};
	uint8_t bytes[LINK_ACK_BYTES_MAX];

	ack.refusals = store_acknowledge(
		receiver, LANE / LINK_WORKERS_MAX, &ack.base, ack.bitmap, ack.refused);
	CU_ASSERT_EQUAL_FATAL(
		link_encode_ack(&tx_back, &path[1], bytes, link_ack_write(&ack, bytes), out, NOW),
		0);
	frames_arrived(out, &path[0], -1);
	return out;
}

/* It arrives at end 0. Returns what link_decode() says. */
static int take_ack(struct rte_mbuf *frame)
{
	const struct pkt *p = pkt_of(frame);
	const uint8_t *payload = rte_pktmbuf_mtod_offset(frame, const uint8_t *, p->payload_off);
	struct rte_mbuf *out = rte_pktmbuf_alloc(frames_pool());
	struct link_arrival arrival;
	struct link_ack ack;
	int rc = link_decode(frames_codec(), frame, &path[0], lanes[0], NULL, out, NOW, &arrival);

	rte_pktmbuf_free(out);
	if (rc != LINK_IS_ACK)
		return rc;
	CU_ASSERT_EQUAL(link_peek_lane(payload, p->payload_len), LANE_BACK);
	CU_ASSERT_EQUAL_FATAL(
		link_ack_read(payload + LINK_SHIM_BYTES, p->payload_len - LINK_SHIM_BYTES, &ack),
		0);
	if (arrival.session_id != sender->session_id)
		return rc;
	store_acked(sender, LANE % LINK_WORKERS_MAX, ack.base, ack.bitmap, ack.words);
	for (unsigned i = 0; i < ack.refusals; i++)
		store_refused(sender, LANE % LINK_WORKERS_MAX, ack.refused[i], NOW);
	return rc;
}

static void acknowledge(void)
{
	struct rte_mbuf *ack = make_ack();

	CU_ASSERT_EQUAL(take_ack(ack), LINK_IS_ACK);
	rte_pktmbuf_free(ack);
}

/* The bytes of ack.h. */
static void test_vector(void)
{
	static const uint8_t want[] = {1, 2, 1, 0, 0x12, 0x34, 0x56, 0x78, /* base */
		0x80, 0, 0, 0, 0, 0, 0, 0x05,				   /* base + 63, 2, 0 */
		0, 0, 0, 1, 0, 0, 0, 0,					   /* base + 96 */
		0x12, 0x34, 0x55, 0};
	struct link_ack ack = {.base = 0x12345678,
		.words = 2,
		.refusals = 1,
		.bitmap = {UINT64_C(0x8000000000000005), UINT64_C(0x0000000100000000)},
		.refused = {0x12345500}};
	struct link_ack got;
	uint8_t bytes[LINK_ACK_BYTES_MAX];

	CU_ASSERT_EQUAL(link_ack_write(&ack, bytes), sizeof(want));
	CU_ASSERT(memcmp(bytes, want, sizeof(want)) == 0);
	CU_ASSERT_EQUAL(link_ack_read(want, sizeof(want), &got), 0);
	CU_ASSERT(got.base == ack.base && got.words == 2 && got.refusals == 1);
	CU_ASSERT(got.bitmap[0] == ack.bitmap[0] && got.bitmap[1] == ack.bitmap[1]);
	CU_ASSERT_EQUAL(got.refused[0], ack.refused[0]);
	for (uint32_t len = 0; len < sizeof(want); len++)
		CU_ASSERT_EQUAL(link_ack_read(want, len, &got), -EBADMSG);
	for (unsigned at = 0; at < 4; at++)
		for (unsigned value = 0; value < 256; value++) {
			memcpy(bytes, want, sizeof(want));
			bytes[at] = (uint8_t)value;
			CU_ASSERT_EQUAL(
				link_ack_read(bytes, sizeof(want), &got) == 0, value == want[at]);
		}

	/* The store's blob: a header, one token, literals. */
	uint8_t blob[] = {STORE_HAS_HEADER, 1,		 /* flags, tokens */
		0, 0, 7, 10, 0x80, 0x0b, 'X', 0x3a, 'Y', /* number 7, bytes 1 and 9 differ */
		0, 2, 0, 0, 8, 0, 20, 0, 40, /* 2 literals; number 8, from 20, 40 bytes */
		'a', 'b', 'c'};
	uint8_t kept[64], out[64], expected[55];

	set_up();
	begin();
	receiver->lane[0].is_begun = true;
	for (unsigned i = 0; i < sizeof(kept); i++)
		kept[i] = (uint8_t)i;
	store_received(receiver, 0, 7, kept, sizeof(kept), 0);
	store_received(receiver, 0, 8, kept, sizeof(kept), 0);
	memcpy(expected, kept, 10);
	expected[1] = 'X';
	expected[9] = 'Y';
	memcpy(expected + 10, "ab", 2);
	memcpy(expected + 12, kept + 20, 40);
	memcpy(expected + 52, "c", 1);
	CU_ASSERT_EQUAL(store_expand(receiver, 0, 1, blob, sizeof(blob), out, 53, 0), 0);
	CU_ASSERT(memcmp(out, expected, 53) == 0);
	CU_ASSERT_EQUAL(store_expand(receiver, 0, 1, blob, sizeof(blob), out, 54, 0), -EBADMSG);
	blob[15] = 9; /* a number that has not come */
	CU_ASSERT_EQUAL(store_expand(receiver, 0, 1, blob, sizeof(blob), out, 53, 0), -ENOENT);

	/* The same of another lane, from worker 1 there to worker 0 here. */
	static const uint8_t across[] = {STORE_LANES, 1, /* flags, tokens */
		0, 1, 16, 0, 0, 8, 0, 20, 0, 40, /* 1 literal; lane 16, number 8, from 20, 40 */
		'a', 'b'};

	memcpy(expected, "a", 1);
	memcpy(expected + 1, kept + 20, 40);
	memcpy(expected + 41, "b", 1);
	CU_ASSERT_EQUAL(store_expand(receiver, 0, 1, across, sizeof(across), out, 42, 0), -ENOENT);
	receiver->worker = 0;
	forget_receiver(receiver);
	store_receiver_start(receiver, 2, 3);
	receiver->lane[1].is_begun = true;
	store_received(receiver, 1, 8, kept, sizeof(kept), 0);
	CU_ASSERT_EQUAL(store_expand(receiver, 0, 1, across, sizeof(across), out, 42, 0), 0);
	CU_ASSERT(memcmp(out, expected, 42) == 0);
}

static void test_round_trip(void)
{
	unsigned references = 0;

	set_up();
	for (unsigned i = 0; i < 100; i++)
		CU_ASSERT(!send_one(i, 0));
	/* Nothing is acknowledged, so nothing is referred to. */
	for (unsigned i = 0; i < 10; i++)
		CU_ASSERT(!send_one(i, 0));
	acknowledge();
	for (unsigned i = 0; i < 100; i++)
		references += send_one(i, 0);
	CU_ASSERT_EQUAL(references, 100);
	CU_ASSERT_EQUAL(receiver->counts.expanded, 100);
	CU_ASSERT_EQUAL(receiver->counts.missing, 0);
	/* The acknowledgement has its place among the lane's frames. */
	CU_ASSERT_EQUAL(link_tx_next(&tx_back, 1), 1);
	struct link_seq_counts got;
	link_seq_read(&lanes[0][LANE_BACK], NULL, NOW, &got);
	CU_ASSERT(got.unique == 1 && got.lost == 0);
}

/* Every flipped bit and every cut of a frame of references, and of an acknowledgement. */
static void test_damage(void)
{
	struct rte_mbuf *in = packet(20), *frame, *out, *ack;
	uint32_t reasons[REASON_COUNT] = {0}, flips = 0, accepted = 0;
	static struct link_seq lane;
	bool is_reference;

	set_up();
	for (unsigned i = 0; i < 50; i++)
		send_one(i, 0);
	acknowledge();
	frame = encode(in, &is_reference);
	CU_ASSERT_FATAL(is_reference);
	frames_arrived(frame, &path[1], -1);
	out = rte_pktmbuf_alloc(frames_pool());
	lane = lanes[1][LANE];
	uint8_t *p = rte_pktmbuf_mtod_offset(frame, uint8_t *, pkt_of(frame)->payload_off);
	uint16_t len = pkt_of(frame)->payload_len;
	for (uint32_t bit = 0; bit < len * 8u; bit++, flips++) {
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		int rc = link_decode(
			frames_codec(), frame, &path[1], lanes[1], receiver, out, NOW, NULL);
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (rc < 0) {
			reasons[-rc]++;
			continue;
		}
		/* Another packet has the same bytes there. */
		accepted++;
		CU_ASSERT(bit / 8 >= LINK_SHIM_BYTES && out->data_len == in->data_len &&
			  memcmp(rte_pktmbuf_mtod(out, void *), rte_pktmbuf_mtod(in, void *),
				  in->data_len) == 0);
		lanes[1][LANE] = lane;
	}
	for (uint16_t cut = 0; cut < len; cut++) {
		pkt_of(frame)->payload_len = cut;
		CU_ASSERT(link_decode(frames_codec(), frame, &path[1], lanes[1], receiver, out, NOW,
				  NULL) < 0);
	}
	pkt_of(frame)->payload_len = len;
	CU_ASSERT_EQUAL(reasons[DROP_LINK_BAD_SHIM] + reasons[DROP_LINK_BAD_CHECK] +
				reasons[DROP_LINK_BAD_DATA] + reasons[DROP_LINK_NO_REFERENCE] +
				accepted,
		flips);
	CU_ASSERT(accepted <= flips / 20);
	CU_ASSERT(reasons[DROP_LINK_BAD_CHECK] > 0 && reasons[DROP_LINK_NO_REFERENCE] > 0);
	/* Where there is no store such a frame is not understood. */
	CU_ASSERT_EQUAL(
		link_decode(frames_codec(), frame, &path[1], lanes[1], NULL, out, NOW, NULL),
		-DROP_LINK_BAD_SHIM);
	CU_ASSERT_EQUAL(deliver(frame, 20), 0);
	CU_ASSERT_EQUAL(deliver(frame, 20), DROP_LINK_DUPLICATE);

	/* Whatever of it is changed, an acknowledgement is not believed. */
	ack = make_ack();
	p = rte_pktmbuf_mtod_offset(ack, uint8_t *, pkt_of(ack)->payload_off);
	len = pkt_of(ack)->payload_len;
	for (uint32_t bit = 0; bit < len * 8u; bit++) {
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		int rc = link_decode(frames_codec(), ack, &path[0], lanes[0], NULL, out, NOW, NULL);
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CU_ASSERT_FATAL(rc < 0);
	}
	for (uint16_t cut = 0; cut < len; cut++) {
		pkt_of(ack)->payload_len = cut;
		CU_ASSERT(link_decode(frames_codec(), ack, &path[0], lanes[0], NULL, out, NOW,
				  NULL) < 0);
	}
	pkt_of(ack)->payload_len = len;
	CU_ASSERT_EQUAL(take_ack(ack), LINK_IS_ACK);
	CU_ASSERT_EQUAL(take_ack(ack), -DROP_LINK_DUPLICATE);
	rte_pktmbuf_free(in);
	rte_pktmbuf_free(frame);
	rte_pktmbuf_free(out);
	rte_pktmbuf_free(ack);
}

static void change_keys(void)
{
	for (unsigned e = 0; e < 2; e++) {
		path[e].session_id++;
		path[e].rx_key_old = path[e].rx_key;
		path[e].rx_key_old_until_ns = NOW + 1;
		path[e].rx_key += 1234;
		path[e].tx_key += 1234;
	}
}

/* New keys: the store goes on, but what is of the old session is not kept and says nothing. */
static void test_sessions(void)
{
	struct rte_mbuf *late, *in = packet(60);
	bool is_reference;

	set_up();
	for (unsigned i = 0; i < 50; i++)
		send_one(i, 0);
	acknowledge();
	CU_ASSERT(send_one(3, 0));
	struct rte_mbuf *old = encode(in, &is_reference);
	/* An acknowledgement is on its way, and a frame, when the keys change. */
	late = make_ack();
	change_keys();
	CU_ASSERT(send_one(30, 0));
	CU_ASSERT_TRUE(is_continued);
	CU_ASSERT_EQUAL(sender->session_id, 2);
	CU_ASSERT_EQUAL(receiver->session_id, 2);
	CU_ASSERT(!send_one(60, 0));
	CU_ASSERT_EQUAL(take_ack(late), LINK_IS_ACK);
	CU_ASSERT(!send_one(60, 0));
	/* The old frame is counted, but not kept: its number is the new session's. */
	uint64_t kept = receiver->counts.kept;
	CU_ASSERT_EQUAL(deliver(old, 60), DROP_LINK_DUPLICATE);
	CU_ASSERT_EQUAL(receiver->counts.kept, kept);
	acknowledge();
	CU_ASSERT(send_one(3, 0));
	CU_ASSERT(send_one(60, 0));

	/* The receiver has lost it all. */
	change_keys();
	forget_receiver(receiver);
	CU_ASSERT(!send_one(3, 0));
	CU_ASSERT_FALSE(is_continued);
	acknowledge();
	CU_ASSERT(send_one(3, 0));
	CU_ASSERT(!send_one(4, 0));
	CU_ASSERT_EQUAL(receiver->counts.missing, 0);
	/* Recorded in the first session, sent again now: its keys are gone. */
	for (unsigned e = 0; e < 2; e++)
		path[e].rx_key_old_until_ns = 0;
	CU_ASSERT_EQUAL(take_ack(late), -DROP_LINK_BAD_CHECK);
	rte_pktmbuf_free(late);
	rte_pktmbuf_free(old);
	rte_pktmbuf_free(in);
}

/* A slot that is not there costs one frame, and its sender learns. */
static void test_refusal(void)
{
	set_up();
	for (unsigned i = 0; i < 50; i++)
		send_one(i, 0);
	acknowledge();
	receiver->lane[LANE / LINK_WORKERS_MAX].kept.slots[7].generation = 0;
	/* The header refers to the flow's last frame, which is there. */
	CU_ASSERT(send_one(7, DROP_LINK_NO_REFERENCE));
	CU_ASSERT_EQUAL(receiver->counts.missing, 1);
	CU_ASSERT(receiver->lane[LANE / LINK_WORKERS_MAX].due_ns <= NOW + STORE_ACK_NS);
	acknowledge();
	CU_ASSERT_EQUAL(sender->counts.refused, 1);
	CU_ASSERT(!send_one(7, 0));
	CU_ASSERT(send_one(8, 0));
}

UNIT_TESTS("link-store", {"the bytes of an acknowledgement and of references", test_vector},
	{"repeats go as references once acknowledged", test_round_trip}, {"damage", test_damage},
	{"new sessions", test_sessions}, {"a refused reference", test_refusal})
