/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The receiver's half of the store (store.h): keeps what came, rebuilds packets from references to
 * it, and knows what to acknowledge. References come from outside: nothing in them is believed.
 */
#include <errno.h>
#include <string.h>

#include "dataplane/compress/lz4.h"
#include "dataplane/compress/store_header.h"
#include "dataplane/compress/store_private.h"

/* A frame of references that is being rebuilt. */
struct frame {
	struct store_receiver *r;
	unsigned lane;	     /* of the receiver */
	uint32_t session_id; /* that it is of, or of the one before */
	uint64_t now_ns;
};

static uint8_t lane_of(const struct frame *f)
{
	return (uint8_t)(f->lane * STORE_WORKERS + f->r->worker);
}

static void say_within(struct store_rx *rx, uint64_t now_ns, uint64_t ns)
{
	if (rx->due_ns > now_ns + ns)
		rx->due_ns = now_ns + ns;
}

/* Have the sender told that a packet is not here. */
static int refuse(const struct frame *f, uint32_t reference)
{
	struct store_rx *rx = &f->r->lane[f->lane];

	f->r->counts.missing++;
	for (unsigned i = 0; i < rx->refusals; i++)
		if (rx->refused[i] == reference)
			return -ENOENT;
	if (rx->refusals < STORE_REFUSALS)
		rx->refused[rx->refusals++] = reference;
	say_within(rx, f->now_ns, STORE_ACK_NS);
	return -ENOENT;
}

/* What the lane of a reference keeps. False: there is no such lane. */
static bool kept_of(const struct frame *f, uint8_t lane, struct store_kept *kept)
{
	unsigned worker = lane % STORE_WORKERS;
	const struct store_receiver *r;
	uint32_t session_id;

	if (lane == lane_of(f)) {
		*kept = f->r->lane[f->lane].kept;
		return kept->count > 0;
	}
	if (worker >= f->r->workers)
		return false;
	r = f->r->team[worker];
	session_id = __atomic_load_n(&r->session_id, __ATOMIC_RELAXED);
	return session_id != 0 && (session_id == f->session_id || session_id == f->r->session_id) &&
	       store_look_over(
		       &r->lane[lane / STORE_WORKERS].kept, &r->session_id, session_id, kept) &&
	       kept->count > 0;
}

/* Copy what a reference means, `len` bytes, to out. 0, or -EBADMSG or -ENOENT. */
static int copy(
	const struct frame *f, uint32_t reference, uint32_t offset, uint32_t len, uint8_t *out)
{
	struct store_kept kept;
	struct store_slot slot;
	uint32_t from;

	if (len == 0)
		return -EBADMSG;
	if (!kept_of(f, (uint8_t)(reference >> 24), &kept))
		return refuse(f, reference);
	from = store_number(kept.newest, reference & STORE_SLOTS_MAX);
	slot = store_read(&kept, from);
	if (!store_holds(&slot, kept.generation, from))
		return refuse(f, reference);
	if (offset + len > slot.len)
		return -EBADMSG;
	memcpy(out, store_data(&kept, from) + offset, len);
	return store_still_holds(&kept, from) ? 0 : refuse(f, reference);
}

/* The header at *blob: patch that of another packet. Its length, or a negative errno. */
static int expand_header(const struct frame *f, const uint8_t **blob, const uint8_t *end,
	uint8_t *out, uint32_t original_len, struct store_header *left)
{
	uint32_t len;
	int rc;

	if (end - *blob < 4)
		return -EBADMSG;
	len = (*blob)[3];
	if (len > STORE_HEADER_MAX || len > original_len)
		return -EBADMSG;
	rc = copy(f, STORE_REFERENCE(lane_of(f), store_get(*blob, 3)), 0, len, out);
	if (rc < 0)
		return rc;
	*blob += 4;
	rc = store_header_read(blob, end, out, len, original_len, left);
	return rc < 0 ? rc : (int)len;
}

/* The tokens of a blob, `bytes` each. */
struct tokens {
	const uint8_t *at;
	unsigned count, bytes;
};

static uint32_t token_length(const struct tokens *t, unsigned i)
{
	return store_get(t->at + (i + 1) * t->bytes - 2, 2);
}

/* The bytes of the tokens and the literals between them, into out[0..left). */
static int expand_tokens(const struct frame *f, const struct tokens *t, const uint8_t *literals,
	uint32_t literals_len, uint8_t *out, uint32_t left)
{
	for (unsigned i = 0; i < t->count; i++) {
		const uint8_t *token = t->at + i * t->bytes;
		uint32_t before = store_get(token, 2), len = token_length(t, i);
		unsigned lane_bytes = t->bytes - STORE_TOKEN_BYTES;
		uint8_t lane = lane_bytes > 0 ? token[2] : lane_of(f);
		int rc;

		token += 2 + lane_bytes;
		if (before > literals_len || before > left || len > left - before)
			return -EBADMSG;
		memcpy(out, literals, before);
		rc = copy(f, STORE_REFERENCE(lane, store_get(token, 3)), store_get(token + 3, 2),
			len, out + before);
		if (rc < 0)
			return rc;
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

int store_expand(struct store_receiver *r, unsigned lane, uint32_t session_id, const uint8_t *blob,
	uint32_t len, uint8_t *out, uint32_t original_len, uint64_t now_ns)
{
	const struct frame f = {.r = r, .lane = lane, .session_id = session_id, .now_ns = now_ns};
	const uint8_t *end = blob + len, *at = blob + 2, *literals;
	uint32_t header = 0, copied = 0, literals_len;
	struct store_header left = {0};
	struct tokens tokens;
	int rc;

	if (len < 2 || original_len > STORE_PACKET_MAX ||
		blob[0] & ~(STORE_HAS_HEADER | STORE_LZ4 | STORE_LANES))
		return -EBADMSG;
	if (blob[0] & STORE_HAS_HEADER) {
		rc = expand_header(&f, &at, end, out, original_len, &left);
		if (rc < 0)
			return rc;
		header = (uint32_t)rc;
	}
	tokens = (struct tokens){.at = at,
		.count = blob[1],
		.bytes = STORE_TOKEN_BYTES + (blob[0] & STORE_LANES ? 1 : 0)};
	if ((size_t)(end - at) < (size_t)tokens.count * tokens.bytes)
		return -EBADMSG;
	for (unsigned i = 0; i < tokens.count; i++)
		copied += token_length(&tokens, i);
	if (copied > original_len - header)
		return -EBADMSG;
	literals = at + tokens.count * tokens.bytes;
	literals_len = original_len - header - copied;
	if (blob[0] & STORE_LZ4) {
		if (decompress_lz4(
			    literals, (uint32_t)(end - literals), r->literals, literals_len) != 0)
			return -EBADMSG;
		literals = r->literals;
	} else if ((size_t)(end - literals) != literals_len) {
		return -EBADMSG;
	}
	rc = expand_tokens(
		&f, &tokens, literals, literals_len, out + header, original_len - header);
	if (rc == 0)
		rc = store_header_finish(&left, out, original_len);
	r->counts.expanded += rc == 0;
	return rc;
}

void store_received(struct store_receiver *r, unsigned lane, uint32_t seq, const uint8_t *bytes,
	uint32_t len, uint64_t now_ns)
{
	struct store_rx *rx = &r->lane[lane];
	const struct store_slot *slot;

	if (!rx->is_begun || store_is_frozen(&r->is_frozen) || len > rx->kept.slot_bytes ||
		len > STORE_PACKET_MAX)
		return;
	seq += rx->base;
	slot = &rx->kept.slots[seq % rx->kept.count];
	/* A packet that is so late that a newer one has its slot. */
	if (slot->generation == rx->kept.generation && (int32_t)(slot->seq - seq) > 0)
		return;
	store_write(&rx->kept,
		(struct store_slot){.seq = seq,
			.generation = rx->kept.generation,
			.len = (uint16_t)len & 0x3fff},
		bytes);
	if ((int32_t)(seq - rx->kept.newest) > 0)
		__atomic_store_n(&rx->kept.newest, seq, __ATOMIC_RELAXED);
	if (++rx->unacked >= STORE_ACK_EVERY)
		rx->due_ns = now_ns;
	else
		say_within(rx, now_ns, STORE_ACK_NS);
	r->counts.kept++;
}

void store_heard(struct store_receiver *r, unsigned lane, uint64_t now_ns)
{
	struct store_rx *rx = &r->lane[lane];

	if (rx->kept.count > 0)
		say_within(rx, now_ns, STORE_HEARD_NS);
}

unsigned store_acknowledge(struct store_receiver *r, unsigned lane, uint32_t *base,
	uint64_t words[STORE_ACK_WORDS], uint32_t refused[STORE_REFUSALS])
{
	struct store_rx *rx = &r->lane[lane];
	unsigned refusals = rx->refusals;

	memset(words, 0, STORE_ACK_WORDS * sizeof(*words));
	*base = (rx->kept.newest | 63) - (STORE_ACK_WORDS * 64 - 1);
	/* Before the session has begun it may be another store than the sender's. */
	for (uint32_t i = 0; i < STORE_ACK_WORDS * 64 && rx->is_begun; i++) {
		uint32_t seq = *base + i;

		if (store_holds(&rx->kept.slots[seq % rx->kept.count], rx->kept.generation, seq))
			words[i / 64] |= UINT64_C(1) << i % 64;
	}
	memcpy(refused, rx->refused, refusals * sizeof(*refused));
	rx->refusals = 0;
	rx->unacked = 0;
	rx->due_ns = UINT64_MAX;
	r->counts.acks++;
	return refusals;
}
