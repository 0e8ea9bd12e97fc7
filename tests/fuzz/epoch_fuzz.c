/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target for acknowledged history. The first byte chooses what the rest is:
 *
 *     0, 1  a blob of codec 3 or 5: two bytes original length, then what follows the epoch's name;
 *           or all of it, when the length is odd
 *     2     an offer, for a receiver with packets of which some are missing
 *     3     an answer, for a sender that has made an offer
 *     4     packets of two flows of a service that follow each other, with losses, offers and
 * answers in between: what comes out is what went in
 */
#include <stdlib.h>
#include <string.h>

#include "dataplane/compress/epoch.h"
#include "dataplane/compress/flow_codec.h"
#include "tests/unit/compress/store_start.h"

#define SLOTS (EPOCH_SLOTS * 2)
#define PACKET 600
#define LANE 1
#define MS UINT64_C(1000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct store_sender *store_tx;
static struct store_receiver *store_rx;
static struct epoch_sender *tx;
static struct epoch_receiver *rx;
static struct codec *codec;
static struct dictionaries *dictionaries;
static struct codec_method method;
static uint32_t next;
static uint64_t now_ns;

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void *zeros(uint64_t bytes)
{
	void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);

	require(p != NULL);
	return memset(p, 0, bytes);
}

static void set_up(void)
{
	uint32_t slot = store_slot_bytes(PACKET);

	if (tx == NULL) {
		store_tx = zeros(sizeof(*store_tx));
		store_rx = zeros(sizeof(*store_rx));
		tx = zeros(sizeof(*tx));
		rx = zeros(sizeof(*rx));
		dictionaries = dictionaries_init(zeros(dictionaries_bytes()));
		codec = codec_init(zeros(codec_bytes()), dictionaries);
		store_memory_init(&store_tx->memory, zeros(store_memory_bytes(SLOTS, slot, true)),
			SLOTS, slot, true);
		store_memory_init(&store_rx->memory, zeros(store_memory_bytes(SLOTS, slot, false)),
			SLOTS, slot, false);
		store_senders_join(&store_tx, 1);
		store_receivers_join(&store_rx, 1);
		epoch_sender_init(
			tx, zeros(epoch_memory_bytes(SLOTS, true)), SLOTS, dictionaries, store_tx);
		epoch_receiver_init(
			rx, zeros(epoch_memory_bytes(SLOTS, false)), SLOTS, dictionaries, store_rx);
	}
	forget_sender(store_tx);
	forget_receiver(store_rx);
	start_sender(store_tx, 1, 2, UINT32_MAX);
	store_receiver_start(store_rx, 1, 2);
	meet_in(store_tx, LANE, store_rx, LANE);
	epoch_sender_start(tx);
	epoch_receiver_start(rx);
	memset(&tx->counts, 0, sizeof(tx->counts));
	next = 0;
	now_ns = 1000 * MS;
}

/* One packet through the lane, and the offer after it; `lost`: they do not arrive. */
static void transmit(
	const uint8_t *bytes, uint32_t len, uint32_t header, uint32_t flow_hash, bool lost)
{
	static struct flow_codec flow;
	uint8_t offer[EPOCH_OFFER_MAX], answer[EPOCH_ANSWER_MAX], number = method.number;
	uint8_t *packet = malloc(len + 1), *blob = malloc(len + 1), *out = malloc(len + 1);
	struct store_packet p = {.bytes = packet,
		.len = len,
		.header_len = header < len ? header : len,
		.flow_hash = flow_hash,
		.service_hash = 1};
	unsigned lane = LANE;
	uint32_t offer_len, n;

	memcpy(packet, bytes, len);
	store_find(store_tx, LANE, &p, next, &flow);
	n = (uint32_t)epoch_encode(tx, LANE, &p, codec, method, blob, len, now_ns, &number);
	require(n <= len);
	store_keep(store_tx, LANE, &p, next, now_ns);
	epoch_keep(tx, LANE, &p, next, method, now_ns);
	if (!lost) {
		if (n > 0) {
			require(epoch_expand(rx, LANE, codec, number, blob, n, out, len, now_ns) ==
				0);
			require(memcmp(out, packet, len) == 0);
		}
		store_received(store_rx, LANE, next, packet, len, now_ns);
	}
	next++;
	offer_len = epoch_offer(tx, offer, &lane, now_ns);
	require(offer_len <= sizeof(offer));
	if (offer_len > 0) {
		next++;
		n = lost ? 0 : epoch_offered(rx, LANE, offer, offer_len, answer);
		require(n <= sizeof(answer) && (lost || n > 0));
		epoch_answered(tx, LANE, answer, n, now_ns);
		require(tx->counts.refused == 0);
	}
	now_ns += MS;
	free(packet);
	free(blob);
	free(out);
}

static void fill(void)
{
	uint8_t packet[PACKET];

	for (uint32_t i = 0; i < 40; i++) {
		for (uint32_t j = 0; j < PACKET; j++)
			packet[j] = (uint8_t)(j * 7 % (31 + i) + j / 16);
		transmit(packet, PACKET - i, 20, 5, i % 8 == 5);
	}
}

/* Just its size, for ASan. */
static uint8_t *copy_of(const uint8_t *data, size_t size)
{
	return memcpy(malloc(size > 0 ? size : 1), data, size);
}

static void expand(uint8_t number, const uint8_t *data, size_t size)
{
	uint8_t named[4096 + EPOCH_NAME_BYTES], *blob, *out;
	const struct epoch_flow *e = NULL;
	uint32_t original_len, name = 0;

	if (size < 2)
		return;
	original_len = (uint32_t)(data[0] << 8 | data[1]) & 0x3fff;
	data += 2;
	size -= 2;
	for (uint32_t i = 0; i < tx->lane[LANE].count; i++)
		if (tx->histories[tx->lane[LANE].first + i].current < EPOCH_BUFFERS) {
			e = &tx->histories[tx->lane[LANE].first + i];
			name = (i * EPOCH_BUFFERS + e->current) << 12 | e->current_generation;
		}
	require(e != NULL);
	store_put(named, name, EPOCH_NAME_BYTES);
	memcpy(named + EPOCH_NAME_BYTES, data, size);
	blob = original_len % 2 ? copy_of(data, size) : copy_of(named, size + EPOCH_NAME_BYTES);
	out = malloc(original_len > 0 ? original_len : 1);
	require(epoch_expand(rx, LANE, codec, number, blob,
			(uint32_t)size + (original_len % 2 ? 0 : EPOCH_NAME_BYTES), out,
			original_len, now_ns) <= 0);
	while (epoch_refusal(rx, LANE, named) > 0)
		;
	free(blob);
	free(out);
}

static void offer(const uint8_t *data, size_t size)
{
	uint8_t answer[EPOCH_ANSWER_MAX], *bytes = copy_of(data, size);

	require(epoch_offered(rx, LANE, bytes, (uint32_t)size, answer) <= sizeof(answer));
	free(bytes);
	expand(CODEC_ZSTD_HISTORY, (const uint8_t *)"\1\0abcdefgh", 10);
}

static void take_answer(const uint8_t *data, size_t size)
{
	uint8_t *bytes = copy_of(data, size);
	uint64_t made = tx->counts.made;

	epoch_answered(tx, LANE, bytes, (uint32_t)size, now_ns);
	require(tx->counts.made == made || size > 9);
	free(bytes);
}

/* Each packet: one byte length, one byte of flags and header length, then that many bytes twice. */
static void follow(const uint8_t *data, size_t size)
{
	uint8_t packet[2 * 255 + 64];

	while (size >= 2) {
		uint32_t len = data[0], flags = data[1];

		data += 2;
		size -= 2;
		if (len > size)
			len = (uint32_t)size;
		memset(packet, (int)(flags & 15), 64);
		memcpy(packet + 64, data, len);
		memcpy(packet + 64 + len, data, len);
		for (unsigned i = 0; i < 12; i++)
			transmit(packet, 64 + 2 * len, flags & 31, flags & 0x40,
				flags & 0x80 && i % 4 == 0);
		data += len;
		size -= len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct codec_method methods[] = {{CODEC_LZ4, 1, 0}, {CODEC_ZSTD, 1, 4}};

	if (size < 1 || size > 2048)
		return 0;
	set_up();
	method = methods[data[0] >> 4 & 1];
	if ((data[0] & 15) % 5 != 4)
		fill();
	switch ((data[0] & 15) % 5) {
	case 0:
	case 1:
		expand(data[0] & 1 ? CODEC_ZSTD_HISTORY : CODEC_LZ4_HISTORY, data + 1, size - 1);
		break;
	case 2:
		offer(data + 1, size - 1);
		break;
	case 3:
		take_answer(data + 1, size - 1);
		break;
	default:
		follow(data + 1, size - 1);
	}
	return 0;
}
