/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How the store (store.h) begins with a session: which lanes there are, what memory each has, and
 * whether both ends still have the same in it. Nothing is cleared for that: a new generation voids
 * what the slots say.
 */
#include <string.h>

#include "dataplane/compress/store_private.h"

/* Between two askings; a path's round trip is not known here. */
#define ASK_FIRST_NS UINT64_C(10000000)
#define ASK_LAST_NS UINT64_C(160000000)

/* Which lanes a worker has with `others` workers of the other end, a bit each: a flow's hash
 * chooses the worker at both ends (link_lane()), so with as many workers there it is one lane
 * alone. */
static uint32_t lanes_of(unsigned worker, unsigned workers, unsigned others)
{
	uint32_t lanes = 0;

	if (workers == 0 || others == 0 || others > STORE_WORKERS)
		return 0;
	for (unsigned hash = 0; hash < STORE_HASHES; hash++)
		if (hash % workers == worker)
			lanes |= 1u << hash % others;
	return lanes;
}

/* Slots of each of so many lanes. */
static uint32_t share(uint32_t slots, uint32_t lanes)
{
	uint32_t count = lanes != 0 ? slots / (uint32_t)__builtin_popcount(lanes) : 0;

	return count < STORE_SLOTS_MAX ? count : STORE_SLOTS_MAX;
}

/* What the lanes are changes now: others of the team look away (store_look_over()). */
static void change(uint32_t *session_id)
{
	__atomic_store_n(session_id, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

/* A lane's part of the memory, with nothing in it. */
static struct store_kept part_of(struct store_memory *m, uint64_t first, uint32_t count)
{
	return (struct store_kept){.slots = m->slots + first,
		.data = m->data + first * m->slot_bytes,
		.count = count,
		.slot_bytes = m->slot_bytes,
		.generation = ++m->generation};
}

void store_sender_share(struct store_sender *s)
{
	struct store_memory *m = &s->memory;
	uint32_t lanes = lanes_of(s->worker, s->workers, s->peer_workers);
	uint64_t first = 0;

	memset(s->lane, 0, sizeof(s->lane));
	for (unsigned i = 0; i < STORE_WORKERS; i++) {
		uint32_t count = share(m->count, lanes);
		uint32_t there = share(s->slots_max, lanes_of(i, s->peer_workers, s->workers));

		if (count > there)
			count = there;
		if (!(lanes >> i & 1) || count < STORE_SLOTS_MIN)
			continue;
		s->lane[i].kept = part_of(m, first, count);
		s->lane[i].kept.reach = count - count / 8;
		first += count;
	}
}

void store_receiver_share(struct store_receiver *r)
{
	struct store_memory *m = &r->memory;
	uint32_t lanes = lanes_of(r->worker, r->workers, r->peer_workers);
	uint32_t count = share(m->count, lanes);
	uint64_t first = 0;

	memset(r->lane, 0, sizeof(r->lane));
	for (unsigned i = 0; i < STORE_WORKERS; i++) {
		if (!(lanes >> i & 1) || count < STORE_SLOTS_MIN)
			continue;
		r->lane[i].kept = part_of(m, first, count);
		first += count;
	}
}

/* ---- sending ---- */

/* The lane's session begins behind `sent` frames of this process. */
static void begin_lane(struct store_tx *tx, uint32_t sent, uint64_t name)
{
	if (tx->is_begun) {
		tx->id = tx->next_id;
		tx->first_before = tx->kept.first;
	}
	tx->next_id = name;
	tx->is_begun = false;
	tx->base = tx->before + sent;
	tx->kept.first = tx->base;
	tx->refused = 0;
}

void store_sender_start(struct store_sender *s, uint32_t session_id, unsigned peer_workers,
	uint32_t slots_max, const uint32_t sent[STORE_WORKERS], uint64_t nonce)
{
	change(&s->session_id);
	s->is_alone = false;
	s->refused = 0;
	if (s->peer_workers != peer_workers || s->slots_max != slots_max) {
		s->peer_workers = peer_workers;
		s->slots_max = slots_max;
		store_sender_share(s);
	}
	for (unsigned i = 0; i < STORE_WORKERS; i++)
		begin_lane(&s->lane[i], sent[i], nonce | 1);
	s->ask_ns = s->ask_at = 0;
	s->ask_wait_ns = ASK_FIRST_NS;
	__atomic_store_n(&s->session_id, session_id, __ATOMIC_RELEASE);
}

uint32_t store_ask(
	struct store_sender *s, uint8_t out[STORE_BEGIN_BYTES], unsigned *lane, uint64_t now_ns)
{
	bool is_waiting = false;

	if (now_ns < s->ask_ns)
		return 0;
	while (s->ask_at < STORE_WORKERS) {
		const struct store_tx *tx = &s->lane[s->ask_at++];
		uint8_t *p = out;

		if (tx->kept.count == 0 || tx->is_begun)
			continue;
		*lane = s->ask_at - 1;
		p = store_put(p, STORE_BEGIN << 8, 2);
		p = store_put(p, (uint32_t)(tx->id >> 32), 4);
		p = store_put(p, (uint32_t)tx->id, 4);
		p = store_put(p, (uint32_t)(tx->next_id >> 32), 4);
		p = store_put(p, (uint32_t)tx->next_id, 4);
		p = store_put(p, tx->base, 4);
		p = store_put(p, tx->acked, 4);
		return (uint32_t)(p - out);
	}
	for (unsigned i = 0; i < STORE_WORKERS; i++)
		is_waiting |= s->lane[i].kept.count > 0 && !s->lane[i].is_begun;
	s->ask_at = 0;
	s->ask_ns = is_waiting ? now_ns + s->ask_wait_ns : UINT64_MAX;
	if (s->ask_wait_ns < ASK_LAST_NS)
		s->ask_wait_ns *= 2;
	return 0;
}

static inline uint64_t get64(const uint8_t *p)
{
	return (uint64_t)store_get(p, 4) << 32 | store_get(p + 4, 4);
}

void store_begun(struct store_sender *s, unsigned lane, const uint8_t *bytes, uint32_t len)
{
	struct store_tx *tx = &s->lane[lane];

	if (len != STORE_BEGUN_BYTES || bytes[0] != STORE_BEGUN || bytes[1] > 1 ||
		tx->kept.count == 0 || tx->is_begun || get64(bytes + 2) != tx->next_id ||
		store_is_frozen(&s->is_frozen))
		return;
	tx->is_begun = true;
	if (bytes[1] == 1) {
		tx->kept.first = tx->first_before;
		s->counts.continued++;
	} else {
		memset(tx->kept_ns, 0, sizeof(tx->kept_ns));
	}
}

/* ---- receiving ---- */

void store_receiver_start(struct store_receiver *r, uint32_t session_id, unsigned peer_workers)
{
	change(&r->session_id);
	if (r->peer_workers != peer_workers) {
		r->peer_workers = peer_workers;
		store_receiver_share(r);
	}
	for (unsigned i = 0; i < STORE_WORKERS; i++) {
		r->lane[i].is_begun = false;
		r->lane[i].unacked = r->lane[i].refusals = 0;
		r->lane[i].due_ns = UINT64_MAX;
	}
	__atomic_store_n(&r->session_id, session_id, __ATOMIC_RELEASE);
}

/* Has the lane what is called `id`, up to the number `acked` at least and none from `base` on? */
static bool has_store(const struct store_rx *rx, uint64_t id, uint32_t base, uint32_t acked)
{
	return id != 0 && rx->id == id && (int32_t)(rx->kept.newest - acked) >= 0 &&
	       (int32_t)(base - rx->kept.newest) > 0;
}

/* Begin with nothing. Other workers may be reading what there was. */
static void empty(struct store_receiver *r, struct store_rx *rx, uint32_t base)
{
	uint32_t session_id = r->session_id;

	change(&r->session_id);
	rx->kept.generation = ++r->memory.generation;
	rx->kept.newest = base - 1;
	__atomic_store_n(&r->session_id, session_id, __ATOMIC_RELEASE);
}

uint32_t store_begin(struct store_receiver *r, unsigned lane, const uint8_t *bytes, uint32_t len,
	uint8_t out[STORE_BEGUN_BYTES])
{
	struct store_rx *rx = &r->lane[lane];
	uint64_t id, next_id;
	uint32_t base;

	if (len != STORE_BEGIN_BYTES || bytes[0] != STORE_BEGIN || bytes[1] != 0 ||
		rx->kept.count == 0 || store_is_frozen(&r->is_frozen))
		return 0;
	id = get64(bytes + 2);
	next_id = get64(bytes + 10);
	base = store_get(bytes + 18, 4);
	if (next_id == 0)
		return 0;
	/* The question may come again: its answer got lost, or it was doubled on its way. */
	if (!rx->is_begun) {
		rx->is_continued = has_store(rx, id, base, store_get(bytes + 22, 4));
		if (!rx->is_continued)
			empty(r, rx, base);
		r->counts.continued += rx->is_continued;
		rx->base = base;
		rx->id = next_id;
		rx->is_begun = true;
	}
	out[0] = STORE_BEGUN;
	out[1] = rx->is_continued;
	store_put(out + 2, (uint32_t)(rx->id >> 32), 4);
	store_put(out + 6, (uint32_t)rx->id, 4);
	return STORE_BEGUN_BYTES;
}
