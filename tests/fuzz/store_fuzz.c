/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target for the store of repeated data. The first byte, 255 or modulo 4, chooses what the
 * rest is:
 *
 *     0  a blob of references, as it is: two bytes original length, then the blob
 *     1  an acknowledgement, for a sender with packets of which some are in flight
 *     2  packets that follow each other through two lanes, with acknowledgements and losses in
 *        between: what comes out is what went in. Repeats of an even length are not kept
 *     3  a question for a receiver, or an answer for a sender, whose session begins
 *     255  a header as the difference to another one, and any difference to that
 *
 * The kept packets are text that repeats, so that offsets and lengths mean something.
 */
#include <stdlib.h>
#include <string.h>

#include "dataplane/compress/flow_codec.h"
#include "dataplane/compress/lz4.h"
#include "dataplane/compress/store_header.h"
#include "dataplane/link/ack.h"
#include "tests/unit/compress/store_start.h"

#define SLOTS 96
#define PACKET 600
#define WORKERS 2 /* of either end; that of number i sends to number i */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct store_sender *senders[WORKERS];
static struct store_receiver *receivers[WORKERS];
static struct compressor *codec;
static uint32_t next[WORKERS];

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void set_up(void)
{
	static void *memory[WORKERS][2];
	uint32_t slot = store_slot_bytes(PACKET);

	if (codec == NULL) {
		size_t bytes = (compressor_bytes() + COMPRESSOR_ALIGN - 1) / COMPRESSOR_ALIGN *
			       COMPRESSOR_ALIGN;

		codec = compressor_init(aligned_alloc(COMPRESSOR_ALIGN, bytes));
		for (unsigned i = 0; i < WORKERS; i++) {
			senders[i] = malloc(sizeof(*senders[i]));
			receivers[i] = malloc(sizeof(*receivers[i]));
			for (unsigned end = 0; end < 2; end++)
				memory[i][end] = malloc(store_memory_bytes(SLOTS, slot, end == 0));
		}
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		memset(senders[i], 0, sizeof(*senders[i]));
		memset(receivers[i], 0, sizeof(*receivers[i]));
		for (unsigned end = 0; end < 2; end++)
			memset(memory[i][end], 0, store_memory_bytes(SLOTS, slot, end == 0));
		store_memory_init(&senders[i]->memory, memory[i][0], SLOTS, slot, true);
		store_memory_init(&receivers[i]->memory, memory[i][1], SLOTS, slot, false);
		next[i] = 0;
	}
	store_senders_join(senders, WORKERS);
	store_receivers_join(receivers, WORKERS);
	for (unsigned i = 0; i < WORKERS; i++) {
		start_sender(senders[i], 1, WORKERS, UINT32_MAX);
		store_receiver_start(receivers[i], 1, WORKERS);
		meet(senders[i], receivers[i]);
	}
}

static void take_ack(unsigned worker, const struct link_ack *ack)
{
	store_acked(senders[worker], worker, ack->base, ack->bitmap, ack->words);
	for (unsigned i = 0; i < ack->refusals; i++)
		store_refused(senders[worker], worker, ack->refused[i], 1);
}

static void acknowledge(unsigned worker)
{
	struct link_ack ack = {.words = STORE_ACK_WORDS}, got;
	uint8_t bytes[LINK_ACK_BYTES_MAX];

	ack.refusals =
		store_acknowledge(receivers[worker], worker, &ack.base, ack.bitmap, ack.refused);
	require(link_ack_read(bytes, link_ack_write(&ack, bytes), &got) == 0);
	require(got.base == ack.base && got.refusals == ack.refusals);
	take_ack(worker, &got);
}

/* One packet through the worker's lane; `lost`: it does not arrive. */
static void transmit(unsigned worker, const uint8_t *bytes, uint32_t len, uint32_t header,
	uint32_t domain, bool lost)
{
	struct store_receiver *receiver = receivers[worker];
	struct store_sender *sender = senders[worker];
	uint32_t seq = next[worker]++;
	static struct flow_codec flow;
	uint8_t *packet = malloc(len + 1), *blob = malloc(len + 1), *out = malloc(len + 1);
	struct store_packet p = {.bytes = packet,
		.len = len,
		.header_len = header < len ? header : len,
		.domain = domain,
		.flow_hash = header};
	uint32_t n = 0;

	memcpy(packet, bytes, len);
	if (store_find(sender, worker, &p, seq, &flow))
		n = store_encode(sender, worker, &p, seq, codec, blob, len);
	require(n <= len);
	bool passes = n > 0 && sender->match.is_repeat && len % 2 == 0;

	if (passes) {
		struct store_tx_counts hits = {0};

		store_pass(sender, worker, &p, &hits);
		store_passed(sender, worker, header, &hits);
		require(hits.hits == 1);
	} else {
		store_keep(sender, worker, &p, seq, 1);
	}
	if (!lost) {
		if (n > 0) {
			require(store_expand(receiver, worker, 1, blob, n, out, len, 1) == 0);
			require(memcmp(out, packet, len) == 0);
		}
		if (passes)
			store_heard(receiver, worker, 1);
		else
			store_received(receiver, worker, seq, packet, len, 1);
	}
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
		transmit(i % WORKERS, packet, PACKET - i, 20, 0, i % 8 == 5);
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
	rc = store_expand(receivers[0], 0, 1, blob, (uint32_t)(size - 2), out, original_len, 1);
	require(rc <= 0);
	free(blob);
	free(out);
}

static void read_ack(const uint8_t *data, size_t size)
{
	struct link_ack ack;
	uint8_t *bytes = malloc(size > 0 ? size : 1), again[LINK_ACK_BYTES_MAX];

	memcpy(bytes, data, size);
	if (link_ack_read(bytes, (uint32_t)size, &ack) == 0) {
		require(link_ack_write(&ack, again) == size && memcmp(again, bytes, size) == 0);
		take_ack(0, &ack);
		require(senders[0]->counts.acked <= next[0]);
		require(senders[0]->counts.refused <= LINK_ACK_REFUSED_MAX);
	}
	free(bytes);
}

/* Each packet: one byte length, one byte of flags, worker and header length, then that many bytes
 * twice. */
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
		transmit(flags >> 1 & 1, packet, 64 + 2 * len, flags & 63, flags >> 6 & 1,
			flags & 0x80);
		if (flags & 1)
			acknowledge(flags >> 1 & 1);
		data += len;
		size -= len;
	}
}

/* One byte: to whom; then the message. */
static void begin(const uint8_t *data, size_t size)
{
	uint8_t *bytes = malloc(size > 0 ? size : 1), answer[STORE_BEGUN_BYTES];
	uint32_t len;

	if (size > 0) {
		memcpy(bytes, data + 1, size - 1);
		start_sender(senders[0], 2, WORKERS, UINT32_MAX);
		store_receiver_start(receivers[0], 2, WORKERS);
		/* Their names are what a fuzzer can find. */
		receivers[0]->lane[0].id = senders[0]->lane[0].next_id = 7;
		if (data[0] & 1) {
			len = store_begin(receivers[0], 0, bytes, (uint32_t)size - 1, answer);
			require(len == 0 || len == sizeof(answer));
			require(receivers[0]->lane[0].is_begun == (len > 0));
		} else {
			store_begun(senders[0], 0, bytes, (uint32_t)size - 1);
		}
	}
	free(bytes);
}

/* Read a difference at *at to the base; the packet's bytes behind the header are those of `rest`.
 * Returns the packet, or NULL when it is no valid difference. */
static uint8_t *patch(const uint8_t **at, const uint8_t *end, const uint8_t *base,
	uint32_t header_len, const uint8_t *rest, uint32_t rest_len)
{
	uint32_t len = header_len + rest_len;
	uint8_t *packet = malloc(len);
	struct store_header left;
	int rc;

	memcpy(packet, base, header_len);
	rc = store_header_read(at, end, packet, header_len, len, &left);
	if (rc == 0) {
		memcpy(packet + header_len, rest, rest_len);
		rc = store_header_finish(&left, packet, len);
	}
	if (rc == 0)
		return packet;
	free(packet);
	return NULL;
}

/* One byte length of the header, one of what is behind it, then the base's header, the packet, and
 * a difference. */
static void read_header(const uint8_t *data, size_t size)
{
	uint8_t difference[STORE_HEADER_DIFFERENCE_MAX], *out;
	const uint8_t *base = data + 2, *packet, *at = difference;
	uint32_t header_len, rest_len, n;

	if (size < 2)
		return;
	header_len = 1 + data[0] % STORE_HEADER_MAX;
	rest_len = data[1];
	if (size < 2 + 2 * header_len + rest_len)
		return;
	packet = base + header_len;
	n = store_header_write(base, header_len, packet, header_len + rest_len, difference);
	require(n <= sizeof(difference));
	out = patch(&at, difference + n, base, header_len, packet + header_len, rest_len);
	require(out != NULL && at == difference + n);
	require(memcmp(out, packet, header_len + rest_len) == 0);
	free(out);

	at = packet + header_len + rest_len;
	out = patch(&at, data + size, base, header_len, packet + header_len, rest_len);
	require(at <= data + size);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > 4096)
		return 0;
	if (data[0] == UINT8_MAX) {
		read_header(data + 1, size - 1);
		return 0;
	}
	set_up();
	switch (data[0] % 4) {
	case 0:
		fill();
		acknowledge(0);
		acknowledge(1);
		expand(data + 1, size - 1);
		acknowledge(0);
		break;
	case 1:
		fill();
		read_ack(data + 1, size - 1);
		break;
	case 2:
		follow(data + 1, size - 1);
		break;
	default:
		fill();
		begin(data + 1, size - 1);
		acknowledge(0);
	}
	return 0;
}
