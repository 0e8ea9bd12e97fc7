/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The receiver's half of the store (store.h): keeps what came, rebuilds packets from references to
 * it, and knows what to acknowledge. References come from outside: nothing in them is believed.
 */
#include <errno.h>
#include <string.h>

#include "dataplane/compress/lz4.h"
#include "dataplane/compress/store.h"

static inline uint8_t *data_of(const struct store_rx *rx, uint32_t seq)
{
	return rx->data + (uint64_t)(seq % rx->count) * rx->slot_bytes;
}

/* Have the sender told that packet `seq` is not here. */
static void refuse(struct store_receiver *r, struct store_rx *rx, uint32_t seq, uint64_t now_ns)
{
	r->counts.missing++;
	for (unsigned i = 0; i < rx->refusals; i++)
		if (rx->refused[i] == seq)
			return;
	if (rx->refusals < STORE_REFUSALS)
		rx->refused[rx->refusals++] = seq;
	if (rx->due_ns == UINT64_MAX)
		rx->due_ns = now_ns + STORE_ACK_NS;
}

/* The bytes that a reference means; NULL with *error. */
static const uint8_t *follow(struct store_receiver *r, struct store_rx *rx, uint32_t seq,
	uint32_t distance, uint32_t offset, uint32_t len, uint64_t now_ns, int *error)
{
	uint32_t from = seq - distance;
	const struct store_slot *slot = &rx->slots[from % rx->count];

	*error = -EBADMSG;
	if (distance == 0 || len == 0)
		return NULL;
	if (!store_holds(slot, rx->generation, from)) {
		refuse(r, rx, from, now_ns);
		*error = -ENOENT;
		return NULL;
	}
	return offset + len <= slot->len ? data_of(rx, from) + offset : NULL;
}

/* The header at *blob: patch that of another packet. Its length, or a negative errno. */
static int expand_header(struct store_receiver *r, struct store_rx *rx, uint32_t seq,
	const uint8_t **blob, const uint8_t *end, uint8_t *out, uint32_t original_len,
	uint64_t now_ns)
{
	const uint8_t *map = *blob + 4, *bytes, *there;
	uint32_t len, map_len;
	int error;

	if (end - *blob < 4)
		return -EBADMSG;
	len = (*blob)[3];
	map_len = (len + 7) / 8;
	if (len > STORE_HEADER_MAX || len > original_len || (size_t)(end - map) < map_len)
		return -EBADMSG;
	there = follow(r, rx, seq, store_get(*blob, 3), 0, len, now_ns, &error);
	if (there == NULL)
		return error;
	memcpy(out, there, len);
	bytes = map + map_len;
	for (uint32_t i = 0; i < len; i++) {
		if (!(map[i / 8] >> i % 8 & 1))
			continue;
		if (bytes == end)
			return -EBADMSG;
		out[i] = *bytes++;
	}
	*blob = bytes;
	return (int)len;
}

/* The bytes of the tokens and the literals between them, into out[0..left). */
static int expand_tokens(struct store_receiver *r, struct store_rx *rx, uint32_t seq,
	const uint8_t *token, unsigned tokens, const uint8_t *literals, uint32_t literals_len,
	uint8_t *out, uint32_t left, uint64_t now_ns)
{
	int error;

	for (; tokens > 0; tokens--, token += STORE_TOKEN_BYTES) {
		uint32_t before = store_get(token, 2), len = store_get(token + 7, 2);
		const uint8_t *there;

		if (before > literals_len || before > left || len > left - before)
			return -EBADMSG;
		there = follow(r, rx, seq, store_get(token + 2, 3), store_get(token + 5, 2), len,
			now_ns, &error);
		if (there == NULL)
			return error;
		memcpy(out, literals, before);
		memcpy(out + before, there, len);
		literals += before;
		literals_len -= before;
		out += before + len;
		left -= before + len;
	}
	if (literals_len != left)
		return -EBADMSG;
	memcpy(out, literals, left);
	return 0;
}

int store_expand(struct store_receiver *r, unsigned lane, uint32_t seq, const uint8_t *blob,
	uint32_t len, uint8_t *out, uint32_t original_len, uint64_t now_ns)
{
	struct store_rx *rx = &r->lane[lane];
	const uint8_t *end = blob + len, *token, *literals;
	uint32_t header = 0, copied = 0, literals_len;
	unsigned tokens;
	uint8_t flags;
	int rc;

	if (rx->count == 0 || len < 2 || original_len > STORE_PACKET_MAX)
		return -EBADMSG;
	flags = blob[0];
	tokens = blob[1];
	token = blob + 2;
	if (flags & ~(STORE_HAS_HEADER | STORE_LZ4))
		return -EBADMSG;
	if (flags & STORE_HAS_HEADER) {
		rc = expand_header(r, rx, seq, &token, end, out, original_len, now_ns);
		if (rc < 0)
			return rc;
		header = (uint32_t)rc;
	}
	if ((size_t)(end - token) < (size_t)tokens * STORE_TOKEN_BYTES)
		return -EBADMSG;
	for (unsigned i = 0; i < tokens; i++)
		copied += store_get(token + i * STORE_TOKEN_BYTES + 7, 2);
	if (copied > original_len - header)
		return -EBADMSG;
	literals = token + tokens * STORE_TOKEN_BYTES;
	literals_len = original_len - header - copied;
	if (flags & STORE_LZ4) {
		if (decompress_lz4(
			    literals, (uint32_t)(end - literals), r->literals, literals_len) != 0)
			return -EBADMSG;
		literals = r->literals;
	} else if ((size_t)(end - literals) != literals_len) {
		return -EBADMSG;
	}
	rc = expand_tokens(r, rx, seq, token, tokens, literals, literals_len, out + header,
		original_len - header, now_ns);
	r->counts.expanded += rc == 0;
	return rc;
}

void store_received(struct store_receiver *r, unsigned lane, uint32_t seq, const uint8_t *bytes,
	uint32_t len, uint64_t now_ns)
{
	struct store_rx *rx = &r->lane[lane];
	struct store_slot *slot;

	if (rx->count == 0 || len > rx->slot_bytes || len > STORE_PACKET_MAX)
		return;
	slot = &rx->slots[seq % rx->count];
	/* A packet that is so late that a newer one has its slot. */
	if (slot->generation == rx->generation && (int32_t)(slot->seq - seq) > 0)
		return;
	*slot = (struct store_slot){
		.seq = seq, .generation = rx->generation, .len = (uint16_t)len & 0x3fff};
	memcpy(data_of(rx, seq), bytes, len);
	if ((int32_t)(seq - rx->newest) > 0) /* lanes begin at 0 */
		rx->newest = seq;
	if (++rx->unacked >= STORE_ACK_EVERY)
		rx->due_ns = now_ns;
	else if (rx->due_ns == UINT64_MAX)
		rx->due_ns = now_ns + STORE_ACK_NS;
	r->counts.kept++;
}

unsigned store_acknowledge(struct store_receiver *r, unsigned lane, uint32_t *base,
	uint64_t words[STORE_ACK_WORDS], uint32_t refused[STORE_REFUSALS])
{
	struct store_rx *rx = &r->lane[lane];
	unsigned refusals = rx->refusals;

	memset(words, 0, STORE_ACK_WORDS * sizeof(*words));
	/* Packets before number 0 there are none; what says otherwise is not held. */
	*base = (rx->newest | 63) - (STORE_ACK_WORDS * 64 - 1);
	for (uint32_t i = 0; i < STORE_ACK_WORDS * 64 && rx->count > 0; i++) {
		uint32_t seq = *base + i;

		if (store_holds(&rx->slots[seq % rx->count], rx->generation, seq))
			words[i / 64] |= UINT64_C(1) << i % 64;
	}
	memcpy(refused, rx->refused, refusals * sizeof(*refused));
	rx->refusals = 0;
	rx->unacked = 0;
	rx->due_ns = UINT64_MAX;
	r->counts.acks++;
	return refusals;
}
