/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * compress/epoch*.c in virtual time: two ends of a lane over a channel that loses, doubles and
 * reorders packets, offers and answers, with either end beginning anew. Whatever happens, a packet
 * comes out as it went in or not at all; without reordering beyond what buffers rest, it does.
 */
#include <errno.h>
#include <stdlib.h>

#include "dataplane/compress/flow_codec.h"
#include "dataplane/compress/epoch.h"
#include "tests/unit/compress/data.h"
#include "tests/unit/compress/store_start.h"
#include "tests/unit/unit.h"

#define PACKET 1514
#define HEADER 66
#define MS UINT64_C(1000000)
#define IN_FLIGHT 8192
#define LANE 3
#define LANES 5
#define FLOWS 40
#define SLOTS (EPOCH_SLOTS * 8) /* of a lane */

enum kind { DATA, OFFER, ANSWER };

struct frame {
	uint64_t at_ns;
	enum kind kind;
	uint32_t session_id, seq, len, blob_len;
	uint8_t number;
	uint8_t original[PACKET], blob[PACKET];
};

static struct {
	uint64_t now_ns, seed;
	double loss, dup;
	uint64_t delay_ns, jitter_ns;
	uint32_t next, session_id, receiver_session;
	struct frame *fly;
	int flying;
	uint32_t domain, service;
	struct codec_method method;
	uint64_t delivered, missing, wrong, in_bytes, wire_bytes, by_history;
} w;

static struct store_sender *store_tx;
static struct store_receiver *store_rx;
static struct epoch_sender *tx;
static struct epoch_receiver *rx;
static struct dictionaries *dictionaries;
static struct codec *codec;
static uint8_t *texts[FLOWS];
static uint32_t at[FLOWS];
#define TEXT (1 << 20)

static void *zeros(uint64_t bytes)
{
	void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);

	return memset(p, 0, bytes);
}

static void begin_sender(uint32_t session_id)
{
	forget_sender(store_tx);
	start_sender(store_tx, session_id, LANES, UINT32_MAX);
	epoch_sender_start(tx);
	w.session_id = session_id;
	w.next = 0;
}

static void begin_receiver(uint32_t session_id)
{
	forget_receiver(store_rx);
	store_receiver_start(store_rx, session_id, LANES);
	meet_in(store_tx, LANE, store_rx, LANE);
	epoch_receiver_start(rx);
	w.receiver_session = session_id;
}

static void set_up(struct codec_method method, uint64_t seed)
{
	uint32_t slot = store_slot_bytes(PACKET), slots = SLOTS * LANES;
	struct frame *fly = w.fly ? w.fly : calloc(IN_FLIGHT, sizeof(*fly));

	if (store_tx == NULL) {
		store_tx = zeros(sizeof(*store_tx));
		store_rx = zeros(sizeof(*store_rx));
		tx = zeros(sizeof(*tx));
		rx = zeros(sizeof(*rx));
		dictionaries = dictionaries_init(zeros(dictionaries_bytes()));
		codec = codec_init(zeros(codec_bytes()), dictionaries);
		store_memory_init(&store_tx->memory, zeros(store_memory_bytes(slots, slot, true)),
			slots, slot, true);
		store_memory_init(&store_rx->memory, zeros(store_memory_bytes(slots, slot, false)),
			slots, slot, false);
		store_senders_join(&store_tx, 1);
		store_receivers_join(&store_rx, 1);
		epoch_sender_init(
			tx, zeros(epoch_memory_bytes(slots, true)), slots, dictionaries, store_tx);
		epoch_receiver_init(
			rx, zeros(epoch_memory_bytes(slots, false)), slots, dictionaries, store_rx);
		for (unsigned i = 0; i < FLOWS; i++) {
			texts[i] = malloc(TEXT);
			data_fill(texts[i], TEXT, DATA_TEXT, i);
		}
	}
	memset(&w, 0, sizeof(w));
	memset(at, 0, sizeof(at));
	memset(&tx->counts, 0, sizeof(tx->counts));
	memset(&rx->counts, 0, sizeof(rx->counts));
	w.fly = fly;
	w.seed = seed;
	w.now_ns = 1000 * MS;
	w.delay_ns = 10 * MS;
	w.method = method;
	begin_sender(1);
	begin_receiver(1);
}

static double chance(void)
{
	return (double)(data_next(&w.seed) >> 11) / 9007199254740992.0;
}

static void put(const struct frame *f)
{
	int copies = chance() < w.loss ? 0 : chance() < w.dup ? 2 : 1;

	for (; copies > 0; copies--) {
		if (w.flying == IN_FLIGHT)
			abort();
		w.fly[w.flying] = *f;
		w.fly[w.flying++].at_ns = w.now_ns + w.delay_ns +
					  (w.jitter_ns ? data_next(&w.seed) % w.jitter_ns : 0);
	}
}

/* Send a packet of a flow, and the offer that may be due then. */
static void transmit(uint32_t flow, const uint8_t *payload, uint32_t payload_len)
{
	static struct frame f;
	static struct flow_codec fc;
	struct store_packet p = {.bytes = f.original,
		.len = HEADER + payload_len,
		.header_len = HEADER,
		.domain = w.domain,
		.flow_hash = 100 + flow * 7,
		.service_hash = w.service};
	unsigned lane = 99;
	int n;

	f.kind = DATA;
	f.session_id = w.session_id;
	f.seq = w.next++;
	f.len = p.len;
	memset(f.original, 0x5a, HEADER);
	memcpy(f.original + 20, &f.seq, 4);
	f.original[40] = (uint8_t)flow;
	memcpy(f.original + HEADER, payload, payload_len);
	store_find(store_tx, LANE, &p, f.seq, &fc);
	f.number = w.method.number;
	n = epoch_encode(tx, LANE, &p, codec, w.method, f.blob, p.len - 50, w.now_ns, &f.number);
	w.by_history += n > 0;
	if (n == 0)
		n = codec_encode(codec, w.method, p.bytes, p.len, f.blob, p.len - 50);
	f.blob_len = n > 0 ? (uint32_t)n : 0;
	store_keep(store_tx, LANE, &p, f.seq, w.now_ns);
	epoch_keep(tx, LANE, &p, f.seq, w.method, w.now_ns);
	w.in_bytes += p.len;
	w.wire_bytes += f.blob_len > 0 ? f.blob_len : p.len;
	put(&f);
	while ((f.blob_len = epoch_offer(tx, f.blob, &lane, w.now_ns)) > 0) {
		CU_ASSERT_EQUAL(lane, LANE);
		CU_ASSERT(f.blob_len <= EPOCH_OFFER_MAX);
		f.kind = OFFER;
		f.seq = w.next++;
		w.wire_bytes += f.blob_len;
		put(&f);
	}
}

static void answer(uint32_t len, const uint8_t *bytes)
{
	static struct frame f;

	if (len == 0)
		return;
	CU_ASSERT_FATAL(len <= EPOCH_ANSWER_MAX);
	f.kind = ANSWER;
	f.session_id = w.receiver_session;
	f.blob_len = len;
	memcpy(f.blob, bytes, len);
	put(&f);
}

static void receive(const struct frame *f)
{
	static uint8_t out[PACKET];
	uint8_t *blob = malloc(f->blob_len + 1), bytes[EPOCH_ANSWER_MAX];
	int rc = 0;

	memcpy(blob, f->blob, f->blob_len); /* of its size: ASan watches */
	if (f->kind == ANSWER) {
		if (f->session_id == w.session_id)
			epoch_answered(tx, LANE, blob, f->blob_len, w.now_ns);
	} else if (f->session_id != w.receiver_session) {
		/* Its check would not verify. */
	} else if (f->kind == OFFER) {
		answer(epoch_offered(rx, LANE, blob, f->blob_len, bytes), bytes);
	} else {
		if (f->blob_len == 0)
			memcpy(out, f->original, f->len);
		else if (f->number == CODEC_LZ4_HISTORY || f->number == CODEC_ZSTD_HISTORY)
			rc = epoch_expand(rx, LANE, codec, f->number, blob, f->blob_len, out,
				f->len, w.now_ns);
		else
			rc = codec_decode(codec, f->number, blob, f->blob_len, out, f->len);
		CU_ASSERT(rc == 0 || rc == -ENOENT);
		w.missing += rc != 0;
		if (rc == 0) {
			w.wrong += memcmp(out, f->original, f->len) != 0;
			w.delivered++;
			store_received(store_rx, LANE, f->seq, out, f->len, w.now_ns);
		}
		if (rc != 0)
			answer(epoch_refusal(rx, LANE, bytes), bytes);
	}
	free(blob);
}

/* Time passes: what is in flight arrives, the earliest first. */
static void run(uint64_t until_ns)
{
	for (; w.now_ns < until_ns; w.now_ns += MS / 20) {
		for (;;) {
			int first = -1;
			struct frame f;

			for (int i = 0; i < w.flying; i++)
				if (w.fly[i].at_ns <= w.now_ns &&
					(first < 0 || w.fly[i].at_ns < w.fly[first].at_ns))
					first = i;
			if (first < 0)
				break;
			f = w.fly[first];
			memmove(&w.fly[first], &w.fly[first + 1],
				(size_t)(--w.flying - first) * sizeof(f));
			receive(&f);
		}
	}
}

/* Each of the flows sends so many packets, ten a millisecond; the wire's share of their bytes. */
static double send(uint32_t first, uint32_t flows, uint32_t packets)
{
	uint64_t in = w.in_bytes, wire = w.wire_bytes;

	for (uint32_t i = 0; i < packets; i++) {
		for (uint32_t flow = first; flow < first + flows; flow++) {
			transmit(flow, texts[flow] + at[flow], 1400);
			at[flow] = (at[flow] + 1400) % (TEXT - 1400);
			run(w.now_ns + MS / 10);
		}
	}
	run(w.now_ns + 50 * MS);
	return (double)(w.wire_bytes - wire) / (double)(w.in_bytes - in);
}

static const struct codec_method methods[] = {
	{CODEC_LZ4, 1, 0}, {CODEC_LZ4_DICTIONARY, 1, 6}, {CODEC_ZSTD, 1, 0}, {CODEC_ZSTD, 3, 6}};
#define METHODS (sizeof(methods) / sizeof(methods[0]))

/* History does better than the method alone, and everything arrives, whatever is lost or doubled.
 */
static void test_gain(void)
{
	for (unsigned i = 0; i < METHODS; i++) {
		for (unsigned lossy = 0; lossy < 2; lossy++) {
			set_up(methods[i], 7 + i);
			double cold = send(0, 1, 3);
			w.loss = lossy ? 0.01 : 0;
			w.dup = lossy ? 0.02 : 0;
			send(0, 1, 200); /* until the first answer */
			double warm = send(0, 1, 500);
			CU_ASSERT(warm < cold * 0.9);
			CU_ASSERT(w.wrong == 0 && w.missing == 0);
			CU_ASSERT(w.by_history > 450);
			CU_ASSERT_EQUAL(rx->counts.refused + tx->counts.refused, 0);
			CU_ASSERT(tx->counts.made > 3 && tx->counts.made <= tx->counts.offered);
			CU_ASSERT(tx->counts.used == w.by_history);
			if (!lossy) {
				CU_ASSERT_EQUAL(w.delivered, 703);
				CU_ASSERT_EQUAL(tx->counts.lost, 0);
			}
		}
	}
}

/* Half of everything gets lost: less is gained, nothing is lost that was not lost. */
static void test_heavy_loss(void)
{
	set_up(methods[0], 3);
	w.loss = 0.5;
	for (unsigned i = 0; i < 20; i++)
		send(0, 2, 100);
	CU_ASSERT(w.wrong == 0 && w.missing == 0);
	CU_ASSERT(tx->counts.lost > 0 && tx->counts.made > 0);
	CU_ASSERT(w.by_history > 500);
}

/* Reordering within what buffers rest harms nothing; beyond, no packet comes out wrong, and the
 * sender hears of it. */
static void test_reorder(void)
{
	for (unsigned i = 0; i < METHODS; i++) {
		set_up(methods[i], 5);
		w.jitter_ns = 4 * MS;
		w.dup = 0.05;
		send(0, 3, 500);
		CU_ASSERT(w.wrong == 0 && w.missing == 0 && w.by_history > 700);
		w.jitter_ns = 500 * MS;
		w.delay_ns = 0;
		send(0, 3, 500);
		CU_ASSERT(w.wrong == 0);
	}
}

/* A packet that comes when its epoch's buffer has another one: not here. */
static void test_late(void)
{
	for (unsigned i = 0; i < METHODS; i++) {
		struct frame late = {.blob_len = 0};

		set_up(methods[i], 31);
		while (late.number != CODEC_LZ4_HISTORY && late.number != CODEC_ZSTD_HISTORY) {
			transmit(0, texts[0], 1400);
			if (w.fly[w.flying - 1].kind == DATA)
				late = w.fly[w.flying - 1];
			run(w.now_ns + MS / 10);
		}
		/* While the buffer is there, it can still be decoded. */
		send(0, 1, 20);
		receive(&late);
		CU_ASSERT_EQUAL(w.missing, 0);
		send(0, 1, 2000);
		receive(&late);
		CU_ASSERT_EQUAL(w.missing, 1);
		CU_ASSERT_EQUAL(rx->counts.refused, 1);
		/* The sender has other epochs by now: it goes on. */
		uint64_t before = w.by_history;
		send(0, 1, 100);
		CU_ASSERT_EQUAL(w.by_history, before + 100);
		CU_ASSERT_EQUAL(w.wrong, 0);
	}
}

/* Either end begins anew while frames are on their way. */
static void test_restart(void)
{
	for (unsigned i = 0; i < METHODS; i++) {
		set_up(methods[i], 11);
		w.dup = 0.1;
		for (uint32_t session = 2; session < 12; session++) {
			send(0, 2, 60);
			uint64_t before = w.by_history;
			begin_sender(session);
			send(0, 1, 2);
			CU_ASSERT_EQUAL(w.by_history, before);
			begin_receiver(session);
			send(0, 2, 200);
			CU_ASSERT(w.by_history > before + 60);
		}
		CU_ASSERT(w.wrong == 0);
		CU_ASSERT_EQUAL(w.missing, 0);
	}
}

/* The receiver loses what it had within a session: it refuses, the sender stops at once, and offers
 * again. */
static void test_refused(void)
{
	set_up(methods[0], 13);
	send(0, 1, 300);
	CU_ASSERT(w.by_history > 50);
	epoch_receiver_start(rx);
	send(0, 1, 300);
	CU_ASSERT(w.wrong == 0);
	CU_ASSERT(w.missing > 0 && w.missing <= 250); /* a round trip and a half at most */
	CU_ASSERT(tx->counts.refused > 0);
	uint64_t missing = w.missing;
	send(0, 1, 300);
	CU_ASSERT_EQUAL(w.missing, missing);
}

/* The heaviest flows have the histories, those of few packets do not take them away. */
static void test_heaviest(void)
{
	set_up(methods[0], 17);
	CU_ASSERT_EQUAL(tx->lane[LANE].count, 8);
	send(0, 8, 200);
	uint64_t before = w.by_history, now_packets = 0;
	for (unsigned i = 0; i < 20; i++) {
		send(0, 8, 10);
		send(8, FLOWS - 8, 1); /* each of them once in a while */
		now_packets += 80;
	}
	CU_ASSERT_EQUAL(tx->counts.flows, 8);
	CU_ASSERT(w.by_history - before >= now_packets);
	/* When the heavy ones are gone, the next ones have their places. */
	uint64_t flows = tx->counts.flows;
	run(w.now_ns + 11000 * MS);
	send(20, 8, 200);
	CU_ASSERT(tx->counts.flows >= flows + 8);
	before = w.by_history;
	send(20, 8, 50);
	CU_ASSERT_EQUAL(w.by_history - before, 400);
	CU_ASSERT(w.wrong == 0 && w.missing == 0);
}

/* Flows of other domains never see each other's packets, though their hashes be the same. */
static void test_domains(void)
{
	set_up(methods[0], 19);
	send(0, 1, 300);
	CU_ASSERT(w.by_history > 0);
	uint64_t before = w.by_history;
	w.domain = 5;
	send(0, 1, 3);
	CU_ASSERT_EQUAL(w.by_history, before);
	send(0, 1, 300);
	CU_ASSERT(w.by_history > before);
}

/* Short flows of one service, each of other text: the wire's share of their bytes. */
static double send_short(uint32_t flows)
{
	uint64_t in = w.in_bytes, wire = w.wire_bytes;
	static uint32_t flow = 1000;

	for (uint32_t i = 0; i < flows; i++, flow++) {
		for (uint32_t packet = 0; packet < 4; packet++) {
			transmit(flow, texts[0] + at[0], 1400);
			at[0] = (at[0] + 1400) % (TEXT - 1400);
			run(w.now_ns + MS / 10);
		}
		run(w.now_ns + 5 * MS);
	}
	return (double)(w.wire_bytes - wire) / (double)(w.in_bytes - in);
}

/* What flows of a service have sent serves the next ones from their first packet on. */
static void test_service(void)
{
	for (unsigned i = 0; i < METHODS; i++) {
		set_up(methods[i], 37);
		double alone = send_short(100);
		CU_ASSERT_EQUAL(tx->counts.shared, 0);
		set_up(methods[i], 37);
		w.service = 99;
		w.loss = 0.01;
		w.dup = 0.02;
		send_short(20);
		uint64_t shared = tx->counts.shared, made = tx->counts.made;
		double served = send_short(80);
		CU_ASSERT(served < alone * 0.9);
		CU_ASSERT(tx->counts.shared - shared >= 4 * 80 - 8);
		/* One history, not one a flow. */
		CU_ASSERT(tx->counts.made - made < 25);
		CU_ASSERT(w.wrong == 0 && w.missing == 0);
		/* A flow that goes on has its own. */
		w.loss = 0;
		send(1, 1, 300);
		shared = tx->counts.shared;
		send(1, 1, 100);
		CU_ASSERT_EQUAL(tx->counts.shared, shared);
		CU_ASSERT_EQUAL(tx->counts.used, w.by_history);
		/* Another domain, another service: nothing of this. */
		shared = tx->counts.shared;
		w.domain = 5;
		send_short(1);
		w.domain = 0;
		w.service = 100;
		send_short(1);
		CU_ASSERT_EQUAL(tx->counts.shared, shared);
	}
}

/* Few slots: no history, and everything says so. */
static void test_none(void)
{
	struct store_packet p = {.bytes = texts[0], .len = 1000, .flow_hash = 1};
	uint8_t out[1000], number;

	set_up(methods[0], 23);
	CU_ASSERT_EQUAL(epoch_count(EPOCH_SLOTS - 1), 0);
	CU_ASSERT_EQUAL(epoch_memory_bytes(0, true) + epoch_memory_bytes(0, false), 0);
	CU_ASSERT_EQUAL(
		epoch_encode(tx, 15, &p, codec, methods[0], out, sizeof(out), 1, &number), 0);
	epoch_keep(tx, 15, &p, 0, methods[0], 1);
	CU_ASSERT_EQUAL(epoch_offered(rx, 15, texts[0], 20, out), 0);
	CU_ASSERT_EQUAL(
		epoch_expand(rx, 15, codec, CODEC_LZ4_HISTORY, texts[0], 20, out, 10, 1), -EBADMSG);
	CU_ASSERT_EQUAL(epoch_refusal(rx, 15, out), 0);
}

/* Bytes that are no offers, answers or blobs, or changed ones. */
static void test_hostile(void)
{
	static const uint32_t lens[] = {0, 1, 2, 4, 5, 11, 12, 13, 30, 300};
	uint8_t answer_bytes[EPOCH_ANSWER_MAX], out[PACKET];

	for (unsigned i = 0; i < METHODS; i++) {
		set_up(methods[i], 29);
		send(0, 2, 300);
		for (unsigned n = 0; n < 20000; n++) {
			uint32_t len = lens[data_next(&w.seed) % 10];
			uint8_t *bytes = malloc(len + 1);

			data_fill(bytes, len, DATA_RANDOM, n);
			if (n % 2 == 0 && len > 4) { /* names that there are */
				uint32_t index = (uint32_t)(data_next(&w.seed) % 24);

				store_put(bytes + (n % 8 < 4 ? 0 : 2),
					index << 12 |
						(tx->histories[tx->lane[LANE].first + index / 3]
								.generation &
							0xfff),
					3);
			}
			if (n % 8 >= 4 && len > 6) {
				bytes[0] = n % 16 < 8 ? EPOCH_OFFER : EPOCH_ANSWER;
				bytes[1] %= 16;
				bytes[6] %= 40;
				if (len > 7)
					bytes[7] = 0;
			}
			uint32_t made = epoch_offered(rx, LANE, bytes, len, answer_bytes);
			CU_ASSERT(made <= EPOCH_ANSWER_MAX);
			epoch_answered(tx, LANE, bytes, len, w.now_ns);
			epoch_expand(rx, LANE, codec,
				n % 3 ? CODEC_LZ4_HISTORY : CODEC_ZSTD_HISTORY, bytes, len, out,
				n % 1500, w.now_ns);
			while (epoch_refusal(rx, LANE, answer_bytes) > 0)
				;
			free(bytes);
		}
		/* The sender goes on: what it can't rely on it does not use for long. */
		send(0, 2, 100);
		uint64_t missing = w.missing;
		send(0, 2, 300);
		CU_ASSERT_EQUAL(w.missing, missing);
		CU_ASSERT_EQUAL(w.wrong, 0);
	}
}

UNIT_TESTS("compress-epoch", {"it gains, and needs no lost packet", test_gain},
	{"half of everything is lost", test_heavy_loss},
	{"reordering and duplicates", test_reorder}, {"packets that are very late", test_late},
	{"either end begins anew", test_restart}, {"a refused epoch", test_refused},
	{"the heaviest flows have it", test_heaviest}, {"domains", test_domains},
	{"short flows of a service", test_service}, {"lanes without history", test_none},
	{"hostile bytes", test_hostile})
