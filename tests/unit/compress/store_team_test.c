/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stores of several workers (compress/store*.c): what one has sent serves all of them, exactly,
 * whatever the others are doing meanwhile: in one thread, and in one for each worker.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "dataplane/compress/flow_codec.h"
#include "dataplane/compress/lz4.h"
#include "dataplane/compress/store.h"
#include "tests/unit/compress/data.h"
#include "tests/unit/compress/store_start.h"
#include "tests/unit/unit.h"

#define WORKERS_MAX 4
#define PACKET 1514
#define HEADER 66
#define TEXT_PACKETS 100u
#define SECOND UINT64_C(1000000000)

static struct store_sender *senders[WORKERS_MAX];
static struct store_receiver *receivers[WORKERS_MAX];
static struct compressor *codecs[WORKERS_MAX];
static struct flow_codec flows[WORKERS_MAX];
static uint32_t next[STORE_WORKERS]; /* of the one lane that is used from each worker */
static uint8_t text[TEXT_PACKETS * 1448];

static void *zeros(uint64_t bytes)
{
	uint64_t lines = (bytes + COMPRESSOR_ALIGN - 1) / COMPRESSOR_ALIGN * COMPRESSOR_ALIGN;

	return memset(aligned_alloc(COMPRESSOR_ALIGN, lines), 0, lines);
}

/* `ours` senders and `theirs` receivers, all with the session 1. */
static void set_up(unsigned ours, unsigned theirs, uint32_t slots)
{
	uint32_t slot = store_slot_bytes(PACKET);

	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		if (senders[i] != NULL) {
			free(senders[i]->memory.data);
			free(receivers[i]->memory.data);
			free(senders[i]);
			free(receivers[i]);
		} else {
			codecs[i] = compressor_init(zeros(compressor_bytes()));
		}
		senders[i] = zeros(sizeof(*senders[i]));
		receivers[i] = zeros(sizeof(*receivers[i]));
		store_memory_init(&senders[i]->memory, zeros(store_memory_bytes(slots, slot, true)),
			slots, slot, true);
		store_memory_init(&receivers[i]->memory,
			zeros(store_memory_bytes(slots, slot, false)), slots, slot, false);
	}
	store_senders_join(senders, ours);
	store_receivers_join(receivers, theirs);
	for (unsigned i = 0; i < ours; i++)
		start_sender(senders[i], 1, theirs, slots);
	for (unsigned i = 0; i < theirs; i++)
		store_receiver_start(receivers[i], 1, ours);
	for (unsigned i = 0; i < ours * theirs; i++)
		meet(senders[i % ours], receivers[i / ours]);
	memset(next, 0, sizeof(next));
	memset(flows, 0, sizeof(flows));
	data_fill(text, sizeof(text), DATA_RANDOM, 1);
}

/* A packet that is sent, and what became of it. */
struct transfer {
	unsigned from, to; /* workers */
	uint32_t seq;
	struct store_packet packet;
	uint8_t bytes[PACKET];
	uint32_t blob_len; /* 0: no references */
	uint8_t blob[PACKET];
};

static void send_packet(struct transfer *t, const uint8_t *payload, uint32_t len, uint32_t flow)
{
	struct store_sender *s = senders[t->from];

	memset(t->bytes, 0x5a, HEADER);
	memcpy(t->bytes + HEADER, payload, len);
	t->packet = (struct store_packet){
		.bytes = t->bytes, .len = HEADER + len, .header_len = HEADER, .flow_hash = flow};
	t->seq = next[t->from]++;
	t->blob_len = 0;
	if (store_find(s, t->to, &t->packet, t->seq, &flows[t->from]))
		t->blob_len = store_encode(
			s, t->to, &t->packet, t->seq, codecs[t->from], t->blob, t->packet.len - 50);
	store_keep(s, t->to, &t->packet, t->seq, SECOND);
}

/* It arrives: 0, or what store_expand() says. Then what came out is what went in. */
static int receive_packet(const struct transfer *t)
{
	struct store_receiver *r = receivers[t->to];
	uint8_t out[PACKET];
	int rc = 0;

	if (t->blob_len > 0)
		rc = store_expand(r, t->from, 1, t->blob, t->blob_len, out, t->packet.len, SECOND);
	else
		memcpy(out, t->bytes, t->packet.len);
	if (rc != 0)
		return rc;
	if (memcmp(out, t->bytes, t->packet.len) != 0)
		return 1;
	store_received(r, t->from, t->seq - r->lane[t->from].base, out, t->packet.len, SECOND);
	return 0;
}

static void acknowledge(unsigned from, unsigned to)
{
	uint32_t base, refused[STORE_REFUSALS];
	uint64_t words[STORE_ACK_WORDS];
	unsigned refusals = store_acknowledge(receivers[to], from, &base, words, refused);

	store_acked(senders[from], to, base, words, STORE_ACK_WORDS);
	for (unsigned i = 0; i < refusals; i++)
		store_refused(senders[from], to, refused[i], SECOND);
}

/* The text through one lane. Returns the bytes of references, all packets without counted whole;
 * `missing`: how many could not be rebuilt. */
static uint64_t send_text(unsigned from, unsigned to, uint32_t flow, unsigned *missing)
{
	static struct transfer t;
	uint64_t bytes = 0;

	t.from = from;
	t.to = to;
	for (unsigned i = 0; i < TEXT_PACKETS; i++) {
		send_packet(&t, text + i * 1448, 1448, flow);
		bytes += t.blob_len > 0 ? t.blob_len : t.packet.len;
		int rc = receive_packet(&t);
		CU_ASSERT(rc == 0 || rc == -ENOENT);
		*missing += rc != 0;
		if (i % 5 == 4)
			acknowledge(from, to);
	}
	return bytes;
}

/* What has gone through one lane once costs next to nothing in all of them. */
static void test_across(void)
{
	/* Workers here and there, and the lanes between them that follow from a flow's hash. */
	static const struct {
		unsigned ours, theirs, lanes[3][2];
	} cases[] = {
		{2, 2, {{0, 0}, {1, 1}, {0, 0}}},
		{1, 3, {{0, 0}, {0, 1}, {0, 2}}},
		{3, 1, {{0, 0}, {2, 0}, {1, 0}}},
		{2, 3, {{0, 0}, {1, 2}, {0, 1}}},
		{4, 4, {{3, 3}, {0, 0}, {2, 2}}},
	};

	for (unsigned c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		unsigned missing = 0;
		uint64_t whole = 0, bytes;

		set_up(cases[c].ours, cases[c].theirs, 4096);
		for (unsigned i = 0; i < 3; i++) {
			unsigned from = cases[c].lanes[i][0], to = cases[c].lanes[i][1];
			uint64_t across = senders[from]->counts.across;

			bytes = send_text(from, to, i + 1, &missing);
			if (i == 0)
				whole = bytes;
			else
				CU_ASSERT(bytes * 10 < whole);
			/* The third time one or both of the copies are elsewhere. */
			if (i == 1)
				CU_ASSERT_EQUAL(
					senders[from]->counts.across - across, TEXT_PACKETS);
		}
		CU_ASSERT_EQUAL(missing, 0);
	}
}

/* VLANs share nothing, through whichever worker. */
static void test_domains(void)
{
	static struct transfer t;
	struct store_packet *p = &t.packet;
	unsigned missing = 0;

	set_up(2, 2, 4096);
	send_text(0, 0, 1, &missing);
	t.from = t.to = 1;
	send_packet(&t, text, 1448, 2);
	CU_ASSERT(t.blob_len > 0);
	for (p->domain = 0; p->domain < 3; p->domain++)
		CU_ASSERT_EQUAL(store_find(senders[1], 1, p, next[1], &flows[1]), p->domain == 0);
}

/* Who has begun another session has nothing for those who have not yet, at either end. */
static void test_sessions(void)
{
	static struct transfer t = {.from = 1, .to = 1};
	unsigned missing = 0;

	set_up(2, 2, 4096);
	send_text(0, 0, 1, &missing);
	store_sender_start(senders[0], 2, 2, 4096, next, 1);
	send_packet(&t, text, 1448, 2);
	CU_ASSERT_EQUAL(t.blob_len, 0);
	store_sender_start(senders[1], 2, 2, 4096, (uint32_t[STORE_WORKERS]){0, next[1]}, 1);
	send_packet(&t, text, 1448, 2);
	CU_ASSERT_EQUAL(t.blob_len, 0); /* the peer has not said yet that it has anything */
	for (unsigned i = 0; i < 2; i++)
		store_receiver_start(receivers[i], 2, 2);
	CU_ASSERT_TRUE(meet(senders[0], receivers[0]));
	CU_ASSERT_FALSE(meet(senders[1], receivers[1])); /* nothing has come there */
	send_packet(&t, text + 7 * 1448, 1448, 2);
	CU_ASSERT(t.blob_len > 0);

	/* A receiver that has nothing yet, of this session or any, has what the others have. */
	set_up(2, 2, 4096);
	send_text(0, 0, 1, &missing);
	memset(receivers[1]->lane, 0, sizeof(receivers[1]->lane));
	receivers[1]->session_id = 0;
	forget_receiver(receivers[1]);
	send_packet(&t, text, 1448, 2);
	CU_ASSERT(t.blob_len > 0);
	CU_ASSERT_EQUAL(receive_packet(&t), 0);

	set_up(2, 2, 4096);
	send_text(0, 0, 1, &missing);
	CU_ASSERT_EQUAL(missing, 0);
	forget_receiver(receivers[0]);
	store_receiver_start(receivers[0], 2, 2);
	send_packet(&t, text, 1448, 2);
	CU_ASSERT(t.blob_len > 0);
	CU_ASSERT_EQUAL(receive_packet(&t), -ENOENT);
	store_receiver_start(receivers[1], 2, 2);
	CU_ASSERT_EQUAL(receive_packet(&t), -ENOENT); /* there is nothing there */
}

/* What the peer does not have is not referred to twice; when that happens too often each worker has
 * its own packets only, until the next session. */
static void test_refusals(void)
{
	struct store_receiver *r;
	unsigned missing = 0;

	set_up(2, 2, 4096);
	r = receivers[0];
	send_text(0, 0, 1, &missing);
	for (unsigned i = 0; i < 10; i++)
		r->lane[0].kept.slots[i].generation = 0;
	send_text(1, 1, 2, &missing);
	CU_ASSERT(missing >= 10 && missing <= 12); /* a piece may reach over two */
	CU_ASSERT_EQUAL(senders[1]->counts.refused, receivers[1]->counts.missing);
	CU_ASSERT_FALSE(senders[1]->is_alone);
	missing = 0;
	CU_ASSERT(send_text(1, 1, 3, &missing) < 50000);
	CU_ASSERT_EQUAL(missing, 0);

	set_up(2, 2, 4096);
	r = receivers[0];
	send_text(0, 0, 1, &missing);
	for (unsigned i = 0; i < TEXT_PACKETS; i++)
		r->lane[0].kept.slots[i].generation = 0;
	for (unsigned i = 0; i < 12; i++)
		send_text(1, 1, i, &missing);
	CU_ASSERT_TRUE(senders[1]->is_alone);
	CU_ASSERT_EQUAL(senders[1]->counts.voided, 1);
	missing = 0;
	CU_ASSERT(send_text(1, 1, 99, &missing) < 50000); /* its own lane is as good as ever */
	CU_ASSERT_EQUAL(missing, 0);
	start_sender(senders[1], 2, 2, 4096);
	CU_ASSERT_FALSE(senders[1]->is_alone);
}

/* Lanes that no worker has. */
static void test_hostile(void)
{
	uint8_t packet[200] = {7}, out[200];

	set_up(2, 3, 4096);
	store_received(receivers[0], 1, 5, packet, sizeof(packet), 0);
	store_received(receivers[1], 0, 5, packet, sizeof(packet), 0);
	for (unsigned lane = 0; lane < 256; lane++)
		for (unsigned seq = 4; seq < 7; seq++) {
			uint8_t blob[2 + STORE_TOKEN_BYTES + 1] = {STORE_LANES, 1}, *p = blob + 2;
			bool is_there = seq == 5 && (lane == 0x10 || lane == 0x01);

			p = store_put(p, 0, 2);
			p = store_put(p, lane, 1);
			p = store_put(p, seq, 3);
			p = store_put(p, 0, 2);
			store_put(p, sizeof(packet), 2);
			CU_ASSERT_EQUAL(store_expand(receivers[1], 0, 1, blob, sizeof(blob), out,
						sizeof(out), 0),
				is_there ? 0 : -ENOENT);
			store_refused(senders[0], 1, STORE_REFERENCE(lane, seq), SECOND);
		}
	CU_ASSERT_EQUAL(senders[0]->counts.refused, 0);
}

/* ---- at the same time ---- */

#define ROUNDS 150000
/* Of so many halves, each before each, is what all send again and again: it is more than is kept,
 * and a packet of which the second half is just overwritten may become another one. */
#define HALVES 16u

static struct {
	unsigned wrong, missing, references;
	uint64_t across;
} sums[WORKERS_MAX];

/* Sends and receives for one worker of both ends, as fast as it can. What one overwrites another is
 * just reading: `reach` is without limit. Now and then it begins anew while others are reading. */
static void *work(void *arg)
{
	unsigned me = *(unsigned *)arg;
	struct transfer *t = zeros(sizeof(*t));
	uint64_t seed = me + 1;
	uint8_t payload[1448];

	t->from = t->to = me;
	for (unsigned i = 0; i < ROUNDS; i++) {
		for (unsigned half = 0; half < 2; half++)
			data_fill(payload + half * sizeof(payload) / 2, sizeof(payload) / 2,
				DATA_RANDOM, data_next(&seed) % HALVES);
		send_packet(t, payload, sizeof(payload), i);
		int rc = receive_packet(t);
		sums[me].wrong += rc != 0 && rc != -ENOENT;
		sums[me].missing += rc == -ENOENT;
		sums[me].references += t->blob_len > 0;
		/* Whole sets of refusals would make it lonely: the point is to meet others. */
		senders[me]->is_alone = false;
		if (i % 8 == 7)
			acknowledge(me, me);
		if (i % 100 == 99) { /* begin anew, but with no number twice */
			forget_sender(senders[me]);
			start_sender(senders[me], 1, WORKERS_MAX, UINT32_MAX);
			senders[me]->lane[me].kept.reach = UINT32_MAX;
			forget_receiver(receivers[me]);
			store_receiver_start(receivers[me], 1, WORKERS_MAX);
			meet(senders[me], receivers[me]);
		}
	}
	sums[me].across = senders[me]->counts.across;
	free(t);
	return NULL;
}

static void test_threads(void)
{
	pthread_t threads[WORKERS_MAX];
	unsigned me[WORKERS_MAX];
	uint64_t across = 0;

	memset(sums, 0, sizeof(sums));
	set_up(WORKERS_MAX, WORKERS_MAX, 64);
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		senders[i]->lane[i].kept.reach = UINT32_MAX;
		me[i] = i;
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, work, &me[i]), 0);
	}
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		pthread_join(threads[i], NULL);
		CU_ASSERT_EQUAL(sums[i].wrong, 0);
		across += sums[i].across;
		printf("     worker %u: %u of %u as references, %" PRIu64
		       " of them across, %u not to be rebuilt\n",
			i, sums[i].references, ROUNDS, sums[i].across, sums[i].missing);
	}
	CU_ASSERT(across > ROUNDS / 10);
}

UNIT_TESTS("compress-store_team", {"what one lane has carried serves all", test_across},
	{"VLANs share nothing", test_domains}, {"sessions", test_sessions},
	{"refused references", test_refusals}, {"lanes that there are not", test_hostile},
	{"four workers at the same time", test_threads})
