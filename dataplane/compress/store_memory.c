/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory of the store (store.h): three arrays, of which each lane gets a part. Nothing is
 * cleared when a session begins: a new generation voids what the slots say.
 */
#include <assert.h>
#include <string.h>

#include "dataplane/compress/store.h"

#define LINE 64
#define INDEX_SLOT 16 /* index entries a slot: half of them used by packets of 1,500 bytes */

static_assert(sizeof(struct store_slot) == 16, "four to a cache line");

static inline uint64_t whole_lines(uint64_t bytes)
{
	return (bytes + LINE - 1) / LINE * LINE;
}

uint32_t store_slot_bytes(uint32_t packet_max)
{
	return (uint32_t)whole_lines(packet_max);
}

static uint64_t bytes_a_slot(uint32_t slot_bytes, bool is_sender)
{
	return slot_bytes + sizeof(struct store_slot) +
	       (is_sender ? INDEX_SLOT * sizeof(uint64_t) : 0);
}

uint32_t store_slots_in(uint64_t memory_bytes, uint32_t slot_bytes, bool is_sender)
{
	uint64_t slots = memory_bytes / bytes_a_slot(slot_bytes, is_sender);

	/* Whole cache lines of struct store_slot. */
	slots -= slots % (LINE / sizeof(struct store_slot));
	return slots < UINT32_MAX ? (uint32_t)slots : UINT32_MAX / LINE * LINE;
}

uint64_t store_memory_bytes(uint32_t slots, uint32_t slot_bytes, bool is_sender)
{
	return whole_lines(slots * bytes_a_slot(slot_bytes, is_sender));
}

void store_memory_init(
	struct store_memory *m, void *memory, uint32_t slots, uint32_t slot_bytes, bool is_sender)
{
	*m = (struct store_memory){.data = memory, .count = slots, .slot_bytes = slot_bytes};
	m->slots = (struct store_slot *)(m->data + (uint64_t)slots * slot_bytes);
	if (is_sender) {
		m->index = (uint64_t *)(m->slots + slots);
		m->index_count = slots < UINT32_MAX / INDEX_SLOT ? slots * INDEX_SLOT : UINT32_MAX;
	}
}

void store_senders_join(struct store_sender *const team[], unsigned workers)
{
	for (unsigned i = 0; i < workers; i++) {
		team[i]->worker = (uint8_t)i;
		team[i]->workers = (uint8_t)workers;
		memcpy(team[i]->team, team, workers * sizeof(*team));
	}
}

void store_receivers_join(struct store_receiver *const team[], unsigned workers)
{
	for (unsigned i = 0; i < workers; i++) {
		team[i]->worker = (uint8_t)i;
		team[i]->workers = (uint8_t)workers;
		memcpy(team[i]->team, team, workers * sizeof(*team));
	}
}

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
static void begin(uint32_t *session_id)
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

void store_sender_start(
	struct store_sender *s, uint32_t session_id, unsigned peer_workers, uint32_t slots_max)
{
	struct store_memory *m = &s->memory;
	uint32_t lanes = lanes_of(s->worker, s->workers, peer_workers);
	uint64_t first = 0;

	begin(&s->session_id);
	s->is_alone = false;
	memset(s->lane, 0, sizeof(s->lane));
	for (unsigned i = 0; i < STORE_WORKERS; i++) {
		uint32_t count = share(m->count, lanes);
		uint32_t there = share(slots_max, lanes_of(i, peer_workers, s->workers));

		if (count > there)
			count = there;
		if (!(lanes >> i & 1) || count < STORE_SLOTS_MIN)
			continue;
		s->lane[i].kept = part_of(m, first, count);
		s->lane[i].kept.reach = count - count / 8;
		first += count;
	}
	__atomic_store_n(&s->session_id, session_id, __ATOMIC_RELEASE);
}

void store_receiver_start(struct store_receiver *r, uint32_t session_id, unsigned peer_workers)
{
	struct store_memory *m = &r->memory;
	uint32_t lanes = lanes_of(r->worker, r->workers, peer_workers);
	uint32_t count = share(m->count, lanes);
	uint64_t first = 0;

	begin(&r->session_id);
	memset(r->lane, 0, sizeof(r->lane));
	for (unsigned i = 0; i < STORE_WORKERS; i++) {
		r->lane[i].due_ns = UINT64_MAX;
		if (!(lanes >> i & 1) || count < STORE_SLOTS_MIN)
			continue;
		r->lane[i].kept = part_of(m, first, count);
		first += count;
	}
	__atomic_store_n(&r->session_id, session_id, __ATOMIC_RELEASE);
}
