/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How the parts of the store (store.h) read what other workers of their team keep.
 *
 * A packet that is overwritten while somebody reads it: its slot says which packet it has, and says
 * so no more before the first byte changes. Who has read looks again: the same, then it was all of
 * that packet. A number comes back after 2^32 packets only.
 */
#ifndef SLUICE_COMPRESS_STORE_PRIVATE_H
#define SLUICE_COMPRESS_STORE_PRIVATE_H

#include <assert.h>
#include <string.h>

#include "dataplane/compress/store.h"

/* An index entry: number of a packet (24 bits), its lane (8), offset in it (14), part of the
 * fingerprint (18). It is a hint only: everything is compared with the packet itself. */
#define STORE_TAG_BITS 18
#define STORE_TAG_MASK ((UINT64_C(1) << STORE_TAG_BITS) - 1)
#define STORE_OFFSET_BITS 14

static_assert(STORE_PACKET_MAX < 1 << STORE_OFFSET_BITS, "an offset fits");

/* The number that is `low` modulo 2^24, at or before `newest`. */
static inline uint32_t store_number(uint32_t newest, uint32_t low)
{
	return newest - ((newest - low) & STORE_SLOTS_MAX);
}

/* May a packet behind `newest` refer to `seq`, as far as their numbers say? */
static inline bool store_reaches(const struct store_kept *kept, uint32_t newest, uint32_t seq)
{
	return newest - seq <= kept->reach && (int32_t)(seq - kept->first) >= 0;
}

/* Where the team's index has the fingerprint: any worker's part of it. */
static inline uint64_t *store_entry(const struct store_sender *s, uint64_t fingerprint)
{
	uint64_t owner =
		(fingerprint >> STORE_TAG_BITS & ((1u << STORE_OFFSET_BITS) - 1)) * s->workers >>
		STORE_OFFSET_BITS;
	const struct store_memory *m = &s->team[owner]->memory;

	return &m->index[(fingerprint >> 32) * m->index_count >> 32];
}

static inline uint8_t *store_data(const struct store_kept *kept, uint32_t seq)
{
	return kept->data + (uint64_t)(seq % kept->count) * kept->slot_bytes;
}

/* What the slot of packet `seq` says, of whichever packet. */
static inline struct store_slot store_read(const struct store_kept *kept, uint32_t seq)
{
	const struct store_slot *slot = &kept->slots[seq % kept->count];

	return (struct store_slot){.id = __atomic_load_n(&slot->id, __ATOMIC_ACQUIRE),
		.about = __atomic_load_n(&slot->about, __ATOMIC_RELAXED)};
}

/* Is what was read since store_read() said so really of that packet? */
static inline bool store_still_holds(const struct store_kept *kept, uint32_t seq)
{
	struct store_slot slot;

	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	slot.id = __atomic_load_n(&kept->slots[seq % kept->count].id, __ATOMIC_RELAXED);
	return store_holds(&slot, kept->generation, seq);
}

/* Write a packet and what its slot says of it. */
static inline void store_write(struct store_kept *kept, struct store_slot is, const uint8_t *bytes)
{
	struct store_slot *slot = &kept->slots[is.seq % kept->count];

	__atomic_store_n(&slot->id, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	__atomic_store_n(&slot->about, is.about, __ATOMIC_RELAXED);
	memcpy(store_data(kept, is.seq), bytes, is.len);
	__atomic_store_n(&slot->id, is.id, __ATOMIC_RELEASE);
}

/* What another worker's lane keeps; *session_id is of its half. False: that has not begun with this
 * session, or is just beginning with another. */
static inline bool store_look_over(const struct store_kept *lane, const uint32_t *session_id,
	uint32_t session, struct store_kept *copy)
{
	if (__atomic_load_n(session_id, __ATOMIC_ACQUIRE) != session)
		return false;
	*copy = *lane;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(session_id, __ATOMIC_RELAXED) == session;
}

/* Share the memory out to the lanes that the half has with as many workers of the peer as in its
 * last session (store_session.c): they are empty. */
void store_sender_share(struct store_sender *s);
void store_receiver_share(struct store_receiver *r);

#endif
