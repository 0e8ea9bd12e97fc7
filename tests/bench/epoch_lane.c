/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The lane of epoch_lane.h. The stores of both ends have the packets beforehand, so that their
 * cost is not counted here (store_bench.c does); what got lost the receiver does not have.
 */
#include "tests/bench/epoch_lane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "dataplane/compress/flow_codec.h"
#include "dataplane/compress/epoch.h"
#include "tests/unit/compress/data.h"
#include "tests/unit/compress/store_start.h"

#define SLOTS 16384 /* 21 histories */
#define LANE 0
#define NS_A_BYTE 80 /* 100 Mbit/s */

static struct store_sender *store_tx;
static struct store_receiver *store_rx;
static struct epoch_sender *tx;
static struct epoch_receiver *rx;
static struct codec *codec;
static const uint8_t *packets;
static uint32_t packet_len;
static uint32_t service; /* hash of all flows'; 0: none */
static unsigned loss;
static uint64_t seed, now_ns;
static bool *is_lost;
#define ANSWERS 256 /* on their way */
static struct answer {
	uint8_t bytes[EPOCH_ANSWER_MAX];
	uint32_t len, due; /* packet before which it comes */
} answers[ANSWERS];
static unsigned answer_at, answer_count;

static void *zeros(uint64_t bytes)
{
	void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);

	if (p == NULL)
		abort();
	return memset(p, 0, bytes);
}

static void make(const struct dictionaries *dictionaries)
{
	uint32_t slot = store_slot_bytes(1500);

	store_tx = zeros(sizeof(*store_tx));
	store_rx = zeros(sizeof(*store_rx));
	tx = zeros(sizeof(*tx));
	rx = zeros(sizeof(*rx));
	is_lost = zeros(SLOTS);
	store_memory_init(
		&store_tx->memory, zeros(store_memory_bytes(SLOTS, slot, true)), SLOTS, slot, true);
	store_memory_init(&store_rx->memory, zeros(store_memory_bytes(SLOTS, slot, false)), SLOTS,
		slot, false);
	store_senders_join(&store_tx, 1);
	store_receivers_join(&store_rx, 1);
	epoch_sender_init(
		tx, zeros(epoch_memory_bytes(SLOTS, true)), SLOTS, dictionaries, store_tx);
	epoch_receiver_init(
		rx, zeros(epoch_memory_bytes(SLOTS, false)), SLOTS, dictionaries, store_rx);
}

static bool is_to_lose(void)
{
	return data_next(&seed) % 1000 < loss;
}

static struct store_packet packet_of(uint32_t i, uint32_t flow)
{
	return (struct store_packet){.bytes = packets + (uint64_t)i * packet_len,
		.len = packet_len,
		.flow_hash = flow,
		.service_hash = service};
}

void epoch_lane_start(struct codec *c, const struct dictionaries *dictionaries,
	const uint8_t *bytes, uint32_t len, uint32_t packet, bool is_service,
	unsigned loss_permille)
{
	struct flow_codec fc = {0};

	if (store_tx == NULL)
		make(dictionaries);
	codec = c;
	packets = bytes;
	packet_len = packet;
	service = is_service;
	loss = loss_permille;
	seed = 1;
	now_ns = 1000000000;
	answer_count = 0;
	forget_sender(store_tx);
	forget_receiver(store_rx);
	start_sender(store_tx, 1, 1, SLOTS);
	store_receiver_start(store_rx, 1, 1);
	meet_in(store_tx, LANE, store_rx, LANE);
	epoch_sender_start(tx);
	epoch_receiver_start(rx);
	if (len / packet > SLOTS)
		abort();
	for (uint32_t i = 0; i < len / packet; i++) {
		struct store_packet p = packet_of(i, 0);

		store_find(store_tx, LANE, &p, i, &fc);
		store_keep(store_tx, LANE, &p, i, now_ns);
		is_lost[i] = is_to_lose();
		if (!is_lost[i])
			store_received(store_rx, LANE, i, p.bytes, p.len, now_ns);
	}
}

struct epoch_lane_result epoch_lane_send(
	uint32_t i, uint32_t flow, struct codec_method method, uint32_t room, uint32_t delay_bytes)
{
	static uint8_t blob[2048], out[2048];
	struct store_packet p = packet_of(i, flow + 1);
	struct epoch_lane_result result = {.is_lost = is_lost[i]};
	uint8_t offer[EPOCH_OFFER_MAX], number = method.number;
	unsigned lane = LANE;
	uint32_t offer_len;
	int n, rc;

	uint64_t begin = rte_rdtsc_precise();
	for (; answer_count > 0 && i >= answers[answer_at].due; answer_count--) {
		const struct answer *a = &answers[answer_at];

		epoch_answered(tx, LANE, a->bytes, a->len, now_ns);
		answer_at = (answer_at + 1) % ANSWERS;
	}
	n = epoch_encode(tx, LANE, &p, codec, method, blob, room, now_ns, &number);
	if (n == 0) {
		number = method.number;
		n = codec_encode(codec, method, p.bytes, p.len, blob, room);
	}
	epoch_keep(tx, LANE, &p, i, method, now_ns);
	offer_len = epoch_offer(tx, offer, &lane, now_ns);
	uint64_t middle = rte_rdtsc_precise();

	rc = 0;
	if (n > 0 && !is_lost[i])
		rc = number == CODEC_LZ4_HISTORY || number == CODEC_ZSTD_HISTORY
			     ? epoch_expand(rx, LANE, codec, number, blob, (uint32_t)n, out, p.len,
				       now_ns)
			     : codec_decode(codec, number, blob, (uint32_t)n, out, p.len);
	if (offer_len > 0 && !is_to_lose()) {
		struct answer *a = &answers[(answer_at + answer_count) % ANSWERS];

		a->len = epoch_offered(rx, LANE, offer, offer_len, a->bytes);
		a->due = i + delay_bytes / packet_len;
		if (a->len > 0 && answer_count < ANSWERS && !is_to_lose())
			answer_count++;
	}
	result.encode_cycles = middle - begin;
	result.decode_cycles = rte_rdtsc_precise() - middle;
	if (rc != 0 || (n > 0 && !is_lost[i] && memcmp(out, p.bytes, p.len) != 0)) {
		fprintf(stderr, "packet %u does not come back\n", i);
		exit(1);
	}
	result.wire_len = n > 0 ? (uint32_t)n : 0;
	now_ns += (uint64_t)packet_len * NS_A_BYTE;
	return result;
}
