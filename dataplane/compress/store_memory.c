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
	if (is_sender)
		m->index = (uint64_t *)(m->slots + slots);
}

/* Which lanes a worker has with `others` workers of the other end, a bit each: a flow's hash
 * chooses the worker at both ends (link_lane()), so with as many workers there it is one lane
 * alone. */
static uint32_t lanes_of(unsigned worker, unsigned workers, unsigned others)
{
	uint32_t lanes = 0;

	if (workers == 0 || others == 0 || others > STORE_LANES)
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

void store_sender_start(
	struct store_sender *s, uint32_t session_id, unsigned peer_workers, uint32_t slots_max)
{
	struct store_memory *m = &s->memory;
	uint32_t lanes = lanes_of(s->worker, s->workers, peer_workers);
	uint64_t first = 0;

	s->session_id = session_id;
	memset(s->lane, 0, sizeof(s->lane));
	for (unsigned i = 0; i < STORE_LANES; i++) {
		uint32_t count = share(m->count, lanes);
		uint32_t there = share(slots_max, lanes_of(i, peer_workers, s->workers));

		if (count > there)
			count = there;
		if (!(lanes >> i & 1) || count < STORE_SLOTS_MIN)
			continue;
		s->lane[i] = (struct store_tx){.slots = m->slots + first,
			.data = m->data + first * m->slot_bytes,
			.index = m->index + first * INDEX_SLOT,
			.count = count,
			.index_count =
				count < UINT32_MAX / INDEX_SLOT ? count * INDEX_SLOT : UINT32_MAX,
			.slot_bytes = m->slot_bytes,
			.generation = ++m->generation,
			.reach = count - count / 8};
		first += count;
	}
}

void store_receiver_start(struct store_receiver *r, uint32_t session_id, unsigned peer_workers)
{
	struct store_memory *m = &r->memory;
	uint32_t lanes = lanes_of(r->worker, r->workers, peer_workers);
	uint32_t count = share(m->count, lanes);
	uint64_t first = 0;

	r->session_id = session_id;
	memset(r->lane, 0, sizeof(r->lane));
	for (unsigned i = 0; i < STORE_LANES; i++) {
		r->lane[i].due_ns = UINT64_MAX;
		if (!(lanes >> i & 1) || count < STORE_SLOTS_MIN)
			continue;
		r->lane[i] = (struct store_rx){.slots = m->slots + first,
			.data = m->data + first * m->slot_bytes,
			.count = count,
			.slot_bytes = m->slot_bytes,
			.generation = ++m->generation,
			.due_ns = UINT64_MAX};
		first += count;
	}
}
