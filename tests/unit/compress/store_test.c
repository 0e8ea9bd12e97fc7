/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * compress/store*.c in virtual time: a lane over a channel that loses, doubles and reorders packets
 * and acknowledgements, with either end beginning anew. Whatever happens, a packet comes out as it
 * went in or not at all, and refers to acknowledged packets only.
 */
#include <errno.h>
#include <stdlib.h>

#include "dataplane/compress/flow_codec.h"
#include "dataplane/compress/lz4.h"
#include "dataplane/compress/store_header.h"
#include "tests/unit/compress/data.h"
#include "tests/unit/compress/store_start.h"
#include "tests/unit/unit.h"

#define PACKET 1514
#define HEADER 66
#define MS UINT64_C(1000000)
#define IN_FLIGHT 4096
#define LANE 0 /* of the first worker of either end */
#define LANES 5

struct frame {
	uint64_t at_ns;
	bool is_ack;
	uint32_t session_id, seq, len, blob_len; /* blob_len 0: sent without references */
	uint8_t original[PACKET], blob[PACKET];
	uint32_t base, refusals, refused[STORE_REFUSALS];
	uint64_t words[STORE_ACK_WORDS];
};

static struct {
	uint64_t now_ns, seed;
	double loss, dup, ack_loss;
	uint64_t delay_ns, jitter_ns;
	uint32_t next; /* sequence number */
	uint32_t session_id;
	uint32_t receiver_session;
	struct frame *fly;
	int flying;
	bool *acked; /* by number, of the session */
	uint64_t delivered, missing, references, wrong;
	uint64_t in_bytes, wire_bytes;
	struct flow_codec flow;
	uint32_t domain;
} w;

static struct store_sender *sender;
static struct store_receiver *receiver;
static struct compressor *codec;
static uint8_t *sender_memory, *receiver_memory;

static double chance(void)
{
	return (double)(data_next(&w.seed) >> 11) / 9007199254740992.0;
}

static void set_up(uint32_t slots, uint64_t seed)
{
	uint32_t slot = store_slot_bytes(PACKET);
	struct frame *fly = w.fly ? w.fly : calloc(IN_FLIGHT, sizeof(*fly));
	bool *acked = w.acked ? w.acked : malloc(1 << 20);

	free(sender_memory);
	free(receiver_memory);
	if (sender == NULL) {
		sender = calloc(1, sizeof(*sender));
		receiver = calloc(1, sizeof(*receiver));
		codec = compressor_init(aligned_alloc(
			COMPRESSOR_ALIGN, (compressor_bytes() + COMPRESSOR_ALIGN - 1) /
						  COMPRESSOR_ALIGN * COMPRESSOR_ALIGN));
	}
	memset(sender, 0, sizeof(*sender));
	memset(receiver, 0, sizeof(*receiver));
	memset(&w, 0, sizeof(w));
	memset(acked, 0, 1 << 20);
	w.fly = fly;
	w.acked = acked;
	w.seed = seed;
	w.now_ns = 1000 * MS;
	w.delay_ns = 10 * MS;
	w.session_id = w.receiver_session = 1;
	slots *= LANES;
	sender_memory = calloc(1, store_memory_bytes(slots, slot, true));
	receiver_memory = calloc(1, store_memory_bytes(slots, slot, false));
	store_memory_init(&sender->memory, sender_memory, slots, slot, true);
	store_memory_init(&receiver->memory, receiver_memory, slots, slot, false);
	store_senders_join(&sender, 1);
	store_receivers_join(&receiver, 1);
	start_sender(sender, 1, LANES, UINT32_MAX);
	store_receiver_start(receiver, 1, LANES);
	meet(sender, receiver);
}

static void put(const struct frame *f, double loss)
{
	int copies = chance() < loss ? 0 : chance() < w.dup ? 2 : 1;

	for (; copies > 0; copies--) {
		if (w.flying == IN_FLIGHT)
			abort();
		w.fly[w.flying] = *f;
		w.fly[w.flying++].at_ns = w.now_ns + w.delay_ns +
					  (w.jitter_ns ? data_next(&w.seed) % w.jitter_ns : 0);
	}
}

/* What every reference of the blob names must have been acknowledged. */
static void check_references(const struct frame *f)
{
	const uint8_t *p = f->blob + 2;

	if (f->blob[0] & STORE_HAS_HEADER) {
		CU_ASSERT(w.acked[store_get(p, 3)]);
		const struct store_kept *kept = &sender->lane[LANE].kept;
		uint32_t slot = store_get(p, 3) % kept->count, header_len = p[3];
		uint8_t header[STORE_HEADER_MAX];
		struct store_header left;

		memcpy(header, kept->data + (uint64_t)slot * kept->slot_bytes, header_len);
		p += 4;
		CU_ASSERT_EQUAL(store_header_read(&p, f->blob + f->blob_len, header, header_len,
					f->len, &left),
			0);
	}
	for (unsigned i = 0; i < f->blob[1]; i++, p += STORE_TOKEN_BYTES) {
		uint32_t distance = f->seq - store_get(p + 2, 3);

		CU_ASSERT(distance > 0 && distance <= sender->lane[LANE].kept.reach);
		CU_ASSERT(w.acked[f->seq - distance]);
		w.references++;
	}
}

/* Send one packet: a header of the flow, then the payload. Returns the bytes of its blob. */
static uint32_t transmit(const uint8_t *payload, uint32_t payload_len)
{
	static struct frame f;
	struct store_packet p = {.bytes = f.original,
		.len = HEADER + payload_len,
		.header_len = HEADER,
		.domain = w.domain,
		.flow_hash = 77};

	f.is_ack = false;
	f.session_id = w.session_id;
	f.seq = w.next++;
	f.len = p.len;
	memset(f.original, 0x5a, HEADER);
	memcpy(f.original + 20, &f.seq, 4);
	memcpy(f.original + HEADER, payload, payload_len);
	f.blob_len = 0;
	if (store_find(sender, LANE, &p, f.seq, &w.flow))
		f.blob_len = store_encode(sender, LANE, &p, f.seq, codec, f.blob, p.len - 50);
	if (f.blob_len > 0)
		check_references(&f);
	store_keep(sender, LANE, &p, f.seq, w.now_ns);
	w.in_bytes += p.len;
	w.wire_bytes += f.blob_len > 0 ? f.blob_len : p.len;
	put(&f, w.loss);
	return f.blob_len;
}

static void receive(const struct frame *f)
{
	static uint8_t out[PACKET];

	if (f->session_id != w.receiver_session) /* its check would not verify */
		return;
	if (f->blob_len > 0) {
		uint8_t *blob = malloc(f->blob_len);

		/* Of its size: ASan watches. */
		memcpy(blob, f->blob, f->blob_len);
		int rc = store_expand(receiver, LANE, 1, blob, f->blob_len, out, f->len, w.now_ns);
		free(blob);
		CU_ASSERT(rc == 0 || rc == -ENOENT);
		w.missing += rc != 0;
		if (rc != 0)
			return;
		w.wrong += memcmp(out, f->original, f->len) != 0;
	} else {
		memcpy(out, f->original, f->len);
	}
	w.delivered++;
	store_received(receiver, LANE, f->seq, out, f->len, w.now_ns);
}

static void take_ack(const struct frame *f)
{
	if (f->session_id != w.session_id)
		return;
	for (unsigned i = 0; i < STORE_ACK_WORDS * 64; i++)
		if (f->words[i / 64] >> i % 64 & 1) {
			CU_ASSERT_FATAL(f->base + i < w.next);
			w.acked[f->base + i] = true;
		}
	store_acked(sender, LANE, f->base, f->words, STORE_ACK_WORDS);
	for (unsigned i = 0; i < f->refusals; i++)
		store_refused(sender, LANE, f->refused[i], w.now_ns);
}

/* Time passes: what is in flight arrives, acknowledgements leave. */
static void run(uint64_t until_ns)
{
	for (; w.now_ns < until_ns; w.now_ns += MS / 10) {
		for (int i = 0; i < w.flying;) {
			struct frame f = w.fly[i];

			if (f.at_ns > w.now_ns) {
				i++;
				continue;
			}
			w.fly[i] = w.fly[--w.flying];
			if (f.is_ack)
				take_ack(&f);
			else
				receive(&f);
		}
		if (receiver->lane[LANE].due_ns <= w.now_ns) {
			static struct frame f;

			f.is_ack = true;
			f.session_id = w.receiver_session;
			f.refusals = store_acknowledge(receiver, LANE, &f.base, f.words, f.refused);
			put(&f, w.ack_loss);
		}
	}
}

/* Send a text in packets of at most `size` bytes, ten a millisecond. Returns the bytes on the wire.
 */
static uint64_t send_text(const uint8_t *text, uint32_t len, uint32_t size)
{
	uint64_t before = w.wire_bytes;

	for (uint32_t at = 0; at < len; at += size) {
		transmit(text + at, len - at < size ? len - at : size);
		run(w.now_ns + MS / 10);
	}
	run(w.now_ns + 100 * MS);
	return w.wire_bytes - before;
}

static uint8_t *text_of(uint32_t len, enum data_kind kind, uint64_t seed)
{
	uint8_t *text = malloc(len);

	data_fill(text, len, kind, seed);
	return text;
}

/* A text sent twice costs next to nothing the second time, in whatever segments it is cut. */
static void test_repeat(void)
{
	static const uint32_t sizes[] = {1448, 1448, 1000, 1380, 536};
	static const enum data_kind kinds[] = {DATA_TEXT, DATA_RANDOM, DATA_BINARY};

	for (unsigned kind = 0; kind < 3; kind++) {
		uint8_t *text = text_of(1 << 20, kinds[kind], kind);

		set_up(8192, 1);
		for (unsigned i = 0; i < 5; i++) {
			uint64_t in = w.in_bytes, wire = send_text(text, 1 << 20, sizes[i]);

			in = w.in_bytes - in;
			if (i > 0)
				CU_ASSERT(wire * (i < 4 ? 25 : 15) < in);
		}
		CU_ASSERT(w.wrong == 0 && w.missing == 0);
		CU_ASSERT(w.references > 2000);
		CU_ASSERT(sender->counts.hits > 2500 && sender->counts.hit_bytes > 3 << 20);
		CU_ASSERT_EQUAL(w.delivered, w.next);
		CU_ASSERT_EQUAL(sender->counts.acked, w.next);
		free(text);
	}
}

/* Small changes cost little. */
static void test_changed(void)
{
	uint8_t *text = text_of(1 << 20, DATA_RANDOM, 9), *changed = malloc(1 << 20);
	uint32_t len = 0;

	for (uint32_t at = 0; at < 1 << 20; at++) {
		/* About every 2,000 bytes one goes, comes or changes. */
		uint64_t dice = data_next(&w.seed) % 6000;
		if (dice == 0)
			continue;
		if (len < 1 << 20)
			changed[len++] = dice == 1 ? (uint8_t)(text[at] + 1) : text[at];
		if (dice == 2 && len < 1 << 20)
			changed[len++] = 0;
	}
	set_up(8192, 2);
	send_text(text, 1 << 20, 1448);
	uint64_t wire = send_text(changed, len, 1448);
	CU_ASSERT(w.wrong == 0 && w.missing == 0);
	CU_ASSERT(wire * 10 < len);
	free(text);
	free(changed);
}

/* Loss, duplicates and reordering of packets and acknowledgements, and slots that wrap round. */
static void test_channel(void)
{
	uint64_t wire = 0, in = 0;

	for (uint64_t seed = 1; seed <= 12; seed++) {
		uint8_t *text = text_of(200000, seed % 2 ? DATA_TEXT : DATA_RANDOM, seed);

		set_up(seed % 3 == 0 ? 300 : 1000, seed);
		w.loss = seed % 4 * 0.03;
		w.ack_loss = seed % 5 * 0.1;
		w.dup = seed % 2 * 0.02;
		w.jitter_ns = seed % 3 * 4 * MS;
		for (unsigned i = 0; i < 15; i++) {
			uint64_t before = w.in_bytes, cost;

			data_fill(text + i * 2000, 5000, DATA_RANDOM, seed * 100 + i);
			cost = send_text(text, 200000, 1448 - i * 7);
			if (i > 2) {
				wire += cost;
				in += w.in_bytes - before;
			}
		}
		CU_ASSERT_EQUAL(w.wrong, 0);
		CU_ASSERT_EQUAL(w.missing, 0);
		CU_ASSERT(w.references > 1000);
		CU_ASSERT(w.next > 2 * sender->lane[LANE].kept.count); /* wrapped */
		free(text);
	}
	CU_ASSERT(wire * 4 < in);
	printf("     %.1f times fewer bytes with up to 9 %% loss\n", (double)in / (double)wire);
}

/* Nothing is referred to that is not acknowledged, or nearly overwritten, or another VLAN's. */
static void test_limits(void)
{
	uint8_t *text = text_of(400 * 1448, DATA_RANDOM, 3);

	set_up(400, 1);
	w.ack_loss = 1;
	send_text(text, 100 * 1448, 1448);
	send_text(text, 100 * 1448, 1448);
	CU_ASSERT_EQUAL(w.references, 0);
	w.ack_loss = 0;

	set_up(400, 1);
	CU_ASSERT_EQUAL(sender->lane[LANE].kept.reach, 350);
	send_text(text, 400 * 1448, 1448);
	/* The first 50 of them are out of reach, the others will not have been soon. */
	CU_ASSERT_EQUAL(transmit(text, 1448), 0);
	CU_ASSERT_EQUAL(transmit(text + 49 * 1448, 1448), 0);
	CU_ASSERT(transmit(text + 53 * 1448, 1448) > 0);
	CU_ASSERT(transmit(text + 399 * 1448, 1448) > 0);
	w.domain = 7;
	CU_ASSERT_EQUAL(transmit(text + 300 * 1448, 1448), 0);
	run(w.now_ns + 100 * MS);
	CU_ASSERT(transmit(text + 300 * 1448, 1448) > 0);
	w.domain = 0;
	CU_ASSERT(transmit(text + 300 * 1448, 1448) > 0);
	/* An index entry of the other VLAN hides nothing wrong: the bytes are compared. */
	run(w.now_ns + 100 * MS);
	CU_ASSERT(w.wrong == 0 && w.missing == 0);

	/* A receiver with less memory is not asked for more than it has. */
	start_sender(sender, 2, LANES, 100);
	CU_ASSERT_EQUAL(sender->lane[LANE].kept.count, 100);
	start_sender(sender, 3, LANES, 50);
	CU_ASSERT_EQUAL(sender->lane[LANE].kept.count, 0);
	start_sender(sender, 4, LANES, 0);
	w.session_id = 4;
	CU_ASSERT_EQUAL(transmit(text, 1448), 0);
	CU_ASSERT_EQUAL(store_oldest_ns(sender, w.now_ns), 0);
	free(text);
}

/* Either end begins anew, with or without the other's knowing. */
static void test_restart(void)
{
	uint8_t *text = text_of(300000, DATA_RANDOM, 4);

	set_up(4096, 1);
	send_text(text, 300000, 1448);
	CU_ASSERT(send_text(text, 300000, 1448) < 30000);

	/* A new session at both ends, with packets and acknowledgements of the old one in flight.
	 */
	transmit(text, 1448);
	run(w.now_ns + 17 * MS);
	memset(w.acked, 0, 1 << 20);
	w.session_id = w.receiver_session = 2;
	w.next = 0;
	forget_sender(sender);
	forget_receiver(receiver);
	start_sender(sender, 2, LANES, UINT32_MAX);
	store_receiver_start(receiver, 2, LANES);
	CU_ASSERT_FALSE(meet(sender, receiver));
	uint64_t references = w.references;
	CU_ASSERT_EQUAL(transmit(text, 1448), 0);
	run(w.now_ns + 100 * MS);
	send_text(text, 290000, 1448);
	CU_ASSERT(w.references - references < 3); /* to the first packet */
	CU_ASSERT(send_text(text, 290000, 1448) < 30000);
	CU_ASSERT(w.wrong == 0 && w.missing == 0);

	/* The receiver has lost all of it, and the sender does not know: nothing wrong comes out,
	 * and within a second of its refusals the sender has begun anew, too. */
	forget_receiver(receiver);
	store_receiver_start(receiver, 2, LANES);
	receiver->lane[LANE].is_begun = true;
	uint64_t delivered = w.delivered;
	for (unsigned i = 0; i < 4; i++)
		send_text(text, 290000, 1448);
	CU_ASSERT_EQUAL(w.wrong, 0);
	CU_ASSERT(w.missing > 0 && w.missing < 500);
	CU_ASSERT_EQUAL(sender->counts.voided, 1);
	CU_ASSERT(w.delivered - delivered > 300);
	uint64_t missing = w.missing;
	CU_ASSERT(send_text(text, 290000, 1448) < 30000);
	CU_ASSERT_EQUAL(w.missing, missing);
	free(text);
}

/* One slot that the receiver does not hold any more costs one packet, and no second one. */
static void test_refusal(void)
{
	uint8_t *text = text_of(100 * 1448, DATA_RANDOM, 5);

	set_up(1000, 1);
	send_text(text, 100 * 1448, 1448);
	receiver->lane[LANE].kept.slots[40].seq += 1000;
	CU_ASSERT(transmit(text + 40 * 1448, 1448) > 0);
	run(w.now_ns + 100 * MS);
	CU_ASSERT_EQUAL(w.missing, 1);
	CU_ASSERT_EQUAL(sender->counts.refused, 1);
	CU_ASSERT_EQUAL(transmit(text + 40 * 1448, 1448), 0);
	CU_ASSERT(transmit(text + 41 * 1448, 1448) > 0);
	run(w.now_ns + 100 * MS);
	CU_ASSERT(w.missing == 1 && w.wrong == 0 && sender->counts.voided == 0);
	CU_ASSERT(transmit(text + 40 * 1448, 1448) > 0); /* the packet sent plainly is kept */
	free(text);
}

/* Flows that never hit get thinner, and hit all the same when they repeat. */
static void test_gating(void)
{
	uint8_t *text = text_of(300 * 1448, DATA_RANDOM, 6);
	uint64_t wire;

	set_up(1000, 1);
	send_text(text, 300 * 1448, 1448);
	CU_ASSERT_EQUAL(w.flow.store_misses, 255);
	CU_ASSERT(sender->match.is_sparse);
	wire = send_text(text, 300 * 1448, 1448);
	CU_ASSERT(!sender->match.is_sparse);
	CU_ASSERT(wire * 12 < 300 * 1448);
	CU_ASSERT(store_oldest_ns(sender, w.now_ns) > 200 * MS);
	CU_ASSERT(store_oldest_ns(sender, w.now_ns) < 1000 * MS);
	free(text);
}

/* Sequence numbers go past 2^32. */
static void test_wrap(void)
{
	uint8_t *text = text_of(100 * 1448, DATA_RANDOM, 7);

	set_up(1000, 1);
	struct store_packet p = {.bytes = text, .len = 1448, .domain = 0, .flow_hash = 1};
	for (uint32_t round = 0; round < 3; round++) {
		uint32_t base, refused[STORE_REFUSALS];
		uint64_t words[STORE_ACK_WORDS];
		uint8_t blob[PACKET], out[PACKET];

		receiver->lane[LANE].kept.newest = UINT32_MAX - 50 + round * 50;
		for (uint32_t i = 0; i < 50; i++) {
			uint32_t seq = UINT32_MAX - 50 + round * 50 + i, len = 0;

			p.bytes = text + i * 1448;
			if (store_find(sender, LANE, &p, seq, &w.flow))
				len = store_encode(sender, LANE, &p, seq, codec, blob, PACKET);
			CU_ASSERT_EQUAL(len > 0, round > 0);
			if (len > 0) {
				CU_ASSERT_EQUAL(
					store_expand(receiver, LANE, 1, blob, len, out, 1448, 0),
					0);
				CU_ASSERT(memcmp(out, p.bytes, 1448) == 0);
			}
			store_keep(sender, LANE, &p, seq, 1);
			store_received(receiver, LANE, seq, p.bytes, 1448, 0);
		}
		CU_ASSERT_EQUAL(store_acknowledge(receiver, LANE, &base, words, refused), 0);
		store_acked(sender, LANE, base, words, STORE_ACK_WORDS);
	}
	CU_ASSERT_EQUAL(sender->counts.acked, 150);
	free(text);
}

/* A blob with any bit flipped or cut anywhere gives an error or some bytes, never more. */
static void test_damage(void)
{
	uint8_t *text = text_of(100 * 1448, DATA_TEXT, 8), blob[PACKET];
	static const int errors[] = {0, -EBADMSG, -ENOENT};
	unsigned seen[3] = {0};

	set_up(1000, 1);
	send_text(text, 100 * 1448, 1448);
	data_fill(text + 200, 150, DATA_RANDOM, 1);
	uint32_t len = transmit(text, 1448);
	CU_ASSERT_FATAL(len > 0);
	memcpy(blob, w.fly[w.flying - 1].blob, len);
	for (uint32_t i = 0; i < len * 9; i++) {
		uint32_t cut = i < len * 8 ? len : i - len * 8;
		uint8_t *copy = malloc(cut + 1), *out = malloc(PACKET);

		memcpy(copy, blob, cut);
		if (i < len * 8)
			copy[i / 8] ^= (uint8_t)(1 << i % 8);
		copy = realloc(copy, cut > 0 ? cut : 1);
		out = realloc(out, HEADER + 1448);
		int rc = store_expand(receiver, LANE, 1, copy, cut, out, HEADER + 1448, w.now_ns);
		for (unsigned e = 0; e < 3; e++)
			seen[e] += rc == errors[e];
		CU_ASSERT(cut == len || rc != 0);
		free(copy);
		free(out);
	}
	CU_ASSERT_EQUAL(seen[0] + seen[1] + seen[2], len * 9);
	CU_ASSERT(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
	free(text);
}

/* Tokens that reach outside: of what is kept, of the packet, of the literals, of time. */
static void test_hostile(void)
{
	/* One token of packet 5, which has 100 bytes, sent in packet 9. */
	static const struct {
		uint32_t literals, distance, offset, len, original_len;
		int want;
	} cases[] = {
		{0, 4, 0, 100, 102, 0},
		{2, 4, 0, 100, 102, 0},
		{1, 4, 99, 1, 3, 0},
		{0, 4, 0, 101, 103, -EBADMSG},
		{0, 4, 1, 100, 102, -EBADMSG},
		{0, 4, 100, 1, 3, -EBADMSG},
		{0, 4, 65535, 1, 3, -EBADMSG},
		{0, 4, 0, 0, 2, -EBADMSG},
		{3, 4, 0, 100, 102, -EBADMSG},
		{65535, 4, 0, 100, 102, -EBADMSG},
		{0, 4, 0, 100, 101, -EBADMSG},
		{0, 4, 0, 100, 103, -EBADMSG},
		{0, 4, 0, 100, 50, -EBADMSG},
		{0, 0, 0, 100, 102, -ENOENT},
		{0, 3, 0, 100, 102, -ENOENT},
		{0, 5, 0, 100, 102, -ENOENT},
		{0, 10, 0, 100, 102, -ENOENT},
		{0, 0xffffff, 0, 100, 102, -ENOENT},
	};

	set_up(100, 1);
	store_received(receiver, LANE, 5, (const uint8_t *)"", 0, 0);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t kept[100] = {1, 2, 3}, blob[13] = {0, 1}, *p = blob + 2;
		uint8_t *out = malloc(cases[i].original_len);

		store_received(receiver, LANE, 5, kept, sizeof(kept), 0);
		p = store_put(p, cases[i].literals, 2);
		p = store_put(p, 9 - cases[i].distance, 3);
		p = store_put(p, cases[i].offset, 2);
		p = store_put(p, cases[i].len, 2);
		memcpy(p, "ab", 2);
		CU_ASSERT_EQUAL(store_expand(receiver, LANE, 1, blob, sizeof(blob), out,
					cases[i].original_len, 0),
			cases[i].want);
		free(out);
	}
}

UNIT_TESTS("compress-store", {"what repeats costs next to nothing", test_repeat},
	{"small changes cost little", test_changed},
	{"loss, duplicates, reordering, wrap-round", test_channel},
	{"only what is acknowledged, within reach, of the same VLAN", test_limits},
	{"either end begins anew", test_restart}, {"a refused reference", test_refusal},
	{"flows that never hit", test_gating}, {"sequence numbers wrap", test_wrap},
	{"damaged blobs", test_damage}, {"tokens that reach outside", test_hostile})
