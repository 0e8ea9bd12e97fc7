/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target for the store of repeated data. The first byte chooses what the rest is:
 *
 *     0  a blob of references, as it is: two bytes original length, then the blob
 *     1  an acknowledgement, for a sender with packets of which some are in flight
 *     2  packets that follow each other through a lane, with acknowledgements and losses in
 * between: what comes out is what went in
 *
 * The kept packets are text that repeats, so that offsets and lengths mean something.
 */
#include <stdlib.h>
#include <string.h>

#include "dataplane/compress/flow_codec.h"
#include "dataplane/compress/lz4.h"
#include "dataplane/compress/store.h"
#include "dataplane/link/ack.h"

#define SLOTS 96
#define PACKET 600
#define LANE 1
#define LANES 1

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct store_sender *sender;
static struct store_receiver *receiver;
static struct compressor *codec;
static uint32_t next;

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void set_up(void)
{
	static void *memory[2];
	uint32_t slot = store_slot_bytes(PACKET);

	if (sender == NULL) {
		size_t bytes = (compressor_bytes() + COMPRESSOR_ALIGN - 1) / COMPRESSOR_ALIGN *
			       COMPRESSOR_ALIGN;

		sender = malloc(sizeof(*sender));
		receiver = malloc(sizeof(*receiver));
		codec = compressor_init(aligned_alloc(COMPRESSOR_ALIGN, bytes));
		for (unsigned i = 0; i < 2; i++)
			memory[i] = malloc(store_memory_bytes(SLOTS * 2, slot, i == 0));
	}
	memset(sender, 0, sizeof(*sender));
	memset(receiver, 0, sizeof(*receiver));
	for (unsigned i = 0; i < 2; i++)
		memset(memory[i], 0, store_memory_bytes(SLOTS * 2, slot, i == 0));
	store_memory_init(&sender->memory, memory[0], SLOTS * 2, slot, true);
	store_memory_init(&receiver->memory, memory[1], SLOTS * 2, slot, false);
	sender->workers = receiver->workers = 1;
	store_sender_start(sender, 1, 2, UINT32_MAX);
	store_receiver_start(receiver, 1, 2);
	next = 0;
}

static void acknowledge(void)
{
	struct link_ack ack = {.words = STORE_ACK_WORDS}, got;
	uint8_t bytes[LINK_ACK_BYTES_MAX];

	ack.refusals = store_acknowledge(receiver, LANE, &ack.base, ack.bitmap, ack.refused);
	require(link_ack_read(bytes, link_ack_write(&ack, bytes), &got) == 0);
	require(got.base == ack.base && got.refusals == ack.refusals);
	store_acked(sender, LANE, got.base, got.bitmap, got.words);
	for (unsigned i = 0; i < got.refusals; i++)
		store_refused(sender, LANE, got.refused[i], 1);
}

/* One packet through the lane; `lost`: it does not arrive. */
static void transmit(
	const uint8_t *bytes, uint32_t len, uint32_t header, uint32_t domain, bool lost)
{
	static struct flow_codec flow;
	uint8_t *packet = malloc(len + 1), *blob = malloc(len + 1), *out = malloc(len + 1);
	struct store_packet p = {.bytes = packet,
		.len = len,
		.header_len = header < len ? header : len,
		.domain = domain,
		.flow_hash = header};
	uint32_t n = 0;

	memcpy(packet, bytes, len);
	if (store_find(sender, LANE, &p, next, &flow))
		n = store_encode(sender, LANE, &p, next, codec, blob, len);
	require(n <= len);
	store_keep(sender, LANE, &p, next, 1);
	if (!lost) {
		if (n > 0) {
			require(store_expand(receiver, LANE, next, blob, n, out, len, 1) == 0);
			require(memcmp(out, packet, len) == 0);
		}
		store_received(receiver, LANE, next, packet, len, 1);
	}
	next++;
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
		transmit(packet, PACKET - i, 20, 0, i % 8 == 5);
	}
}

static void expand(const uint8_t *data, size_t size)
{
	uint32_t original_len;
	uint8_t *blob, *out;
	int rc;

	if (size < 2)
		return;
	original_len = (uint32_t)(data[0] << 8 | data[1]) & 0x3fff;
	/* Of just their sizes, for ASan. */
	blob = malloc(size - 2 > 0 ? size - 2 : 1);
	out = malloc(original_len > 0 ? original_len : 1);
	memcpy(blob, data + 2, size - 2);
	rc = store_expand(receiver, LANE, next, blob, (uint32_t)(size - 2), out, original_len, 1);
	require(rc <= 0);
	free(blob);
	free(out);
}

static void take_ack(const uint8_t *data, size_t size)
{
	struct link_ack ack;
	uint8_t *bytes = malloc(size > 0 ? size : 1), again[LINK_ACK_BYTES_MAX];

	memcpy(bytes, data, size);
	if (link_ack_read(bytes, (uint32_t)size, &ack) == 0) {
		require(link_ack_write(&ack, again) == size && memcmp(again, bytes, size) == 0);
		store_acked(sender, LANE, ack.base, ack.bitmap, ack.words);
		for (unsigned i = 0; i < ack.refusals; i++)
			store_refused(sender, LANE, ack.refused[i], 1);
		require(sender->counts.acked <= next);
		require(sender->counts.refused <= LINK_ACK_REFUSED_MAX);
	}
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
		transmit(packet, 64 + 2 * len, flags & 63, flags >> 6 & 1, flags & 0x80);
		if (flags & 1)
			acknowledge();
		data += len;
		size -= len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > 4096)
		return 0;
	set_up();
	switch (data[0] % 3) {
	case 0:
		fill();
		acknowledge();
		expand(data + 1, size - 1);
		acknowledge();
		break;
	case 1:
		fill();
		take_ack(data + 1, size - 1);
		break;
	default:
		follow(data + 1, size - 1);
	}
	return 0;
}
