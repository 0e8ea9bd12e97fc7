/* SPDX-License-Identifier: BSD-3-Clause */
/* The memory of the store (store.h): three arrays, of which each lane gets a part. */
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
	*m = (struct store_memory){
		.data = memory, .count = slots, .slot_bytes = slot_bytes, .is_ready = true};
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
