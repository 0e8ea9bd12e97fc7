/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The timing wheel of wheel.h. Level 0 holds what is due before the level-1 slot that `tick` stands
 * in ends; when `tick` enters the next level-1 slot, the entries of that slot move to level 0.
 */
#include "dataplane/shape/wheel.h"

#include <string.h>

#define NONE UINT32_MAX

static inline uint64_t tick_up(uint64_t ns)
{
	return (ns + (1u << WHEEL_TICK_SHIFT) - 1) >> WHEEL_TICK_SHIFT;
}

/* First occupied slot at `from` or behind it, without wrapping; NONE if there is none. */
static uint32_t level_find(const struct wheel_level *level, uint32_t from)
{
	uint32_t word = from / 64;

	if (from >= WHEEL_SLOTS)
		return NONE;
	uint64_t bits = level->occupied[word] & (~0ULL << (from % 64));
	if (bits == 0) {
		if (word == WHEEL_WORDS - 1)
			return NONE;
		uint64_t words = level->summary & (~0ULL << (word + 1));
		if (words == 0)
			return NONE;
		word = (uint32_t)__builtin_ctzll(words);
		bits = level->occupied[word];
	}
	return word * 64 + (uint32_t)__builtin_ctzll(bits);
}

static void wheel_link(struct wheel *wheel, uint32_t id)
{
	struct wheel_node *node = &wheel->nodes[id];
	uint64_t due = node->due_tick;
	uint64_t here = wheel->tick >> WHEEL_BITS, there = due >> WHEEL_BITS;
	unsigned l = there > here;
	uint32_t index = (uint32_t)(due & (WHEEL_SLOTS - 1));

	if (l) {
		/* Beyond the horizon: as far as the wheel goes, and from there again. */
		if (there - here >= WHEEL_SLOTS)
			there = here + WHEEL_SLOTS - 1;
		index = (uint32_t)(there & (WHEEL_SLOTS - 1));
	}
	struct wheel_level *level = &wheel->level[l];
	uint32_t head = level->head[index];
	node->slot = l * WHEEL_SLOTS + index;
	node->prev = 0;
	node->next = head;
	if (head != 0)
		wheel->nodes[head].prev = id;
	level->head[index] = id;
	level->occupied[index / 64] |= 1ULL << (index % 64);
	level->summary |= 1ULL << (index / 64);
}

static void wheel_unlink(struct wheel *wheel, uint32_t id)
{
	struct wheel_node *node = &wheel->nodes[id];
	struct wheel_level *level = &wheel->level[node->slot / WHEEL_SLOTS];
	uint32_t index = node->slot % WHEEL_SLOTS;

	if (node->next != 0)
		wheel->nodes[node->next].prev = node->prev;
	if (node->prev != 0) {
		wheel->nodes[node->prev].next = node->next;
	} else {
		level->head[index] = node->next;
		if (node->next == 0) {
			level->occupied[index / 64] &= ~(1ULL << (index % 64));
			if (level->occupied[index / 64] == 0)
				level->summary &= ~(1ULL << (index / 64));
		}
	}
	node->slot = WHEEL_OUT;
}

void wheel_init(struct wheel *wheel, struct wheel_node *nodes, uint32_t entries, uint64_t now_ns)
{
	memset(wheel, 0, sizeof(*wheel));
	wheel->nodes = nodes;
	wheel->tick = now_ns >> WHEEL_TICK_SHIFT;
	for (uint32_t i = 0; i <= entries; i++)
		nodes[i] = (struct wheel_node){.slot = WHEEL_OUT};
}

void wheel_insert(struct wheel *wheel, uint32_t id, uint64_t due_ns)
{
	uint64_t due = tick_up(due_ns);

	if (due <= wheel->tick)
		due = wheel->tick + 1;
	wheel->nodes[id].due_tick = due;
	wheel->count++;
	wheel_link(wheel, id);
}

void wheel_remove(struct wheel *wheel, uint32_t id)
{
	if (wheel->nodes[id].slot == WHEEL_OUT)
		return;
	wheel_unlink(wheel, id);
	wheel->count--;
}

/* `tick` has entered a level-1 slot: hand its entries down. Those from beyond the horizon find
 * their place on level 1 again. */
static void wheel_cascade(struct wheel *wheel)
{
	uint32_t index = (uint32_t)(wheel->tick >> WHEEL_BITS) & (WHEEL_SLOTS - 1);
	uint32_t id = wheel->level[1].head[index];

	while (id != 0) {
		uint32_t next = wheel->nodes[id].next;
		wheel_unlink(wheel, id);
		wheel_link(wheel, id);
		id = next;
	}
}

/* Index of the next occupied level-1 slot, as a count of slots from the present one (>= 1). */
static uint32_t level1_distance(const struct wheel *wheel)
{
	uint32_t here = (uint32_t)(wheel->tick >> WHEEL_BITS) & (WHEEL_SLOTS - 1);
	uint32_t slot = level_find(&wheel->level[1], here + 1);

	if (slot == NONE)
		slot = level_find(&wheel->level[1], 0);
	if (slot == NONE)
		return NONE;
	return (slot - here) & (WHEEL_SLOTS - 1);
}

unsigned wheel_expire(struct wheel *wheel, uint64_t now_ns, uint32_t *ids, unsigned max)
{
	uint64_t now = now_ns >> WHEEL_TICK_SHIFT;
	unsigned n = 0;

	while (wheel->count > 0 && wheel->tick <= now) {
		uint32_t from = (uint32_t)(wheel->tick & (WHEEL_SLOTS - 1));
		uint32_t slot = level_find(&wheel->level[0], from);
		if (slot != NONE) {
			uint64_t at = (wheel->tick & ~(uint64_t)(WHEEL_SLOTS - 1)) + slot;
			if (at > now)
				break;
			wheel->tick = at;
			uint32_t id;
			while ((id = wheel->level[0].head[slot]) != 0) {
				if (n == max)
					return n;
				wheel_unlink(wheel, id);
				wheel->count--;
				ids[n++] = id;
			}
			continue;
		}
		uint32_t distance = level1_distance(wheel);
		if (distance == NONE)
			break;
		uint64_t at = ((wheel->tick >> WHEEL_BITS) + distance) << WHEEL_BITS;
		if (at > now)
			break;
		wheel->tick = at;
		wheel_cascade(wheel);
	}
	/* Nothing is due up to now. Stepping over the start of a level-1 slot with entries is not
	 * possible here: the loop has stopped before it. */
	if (wheel->tick < now)
		wheel->tick = now;
	return n;
}

uint64_t wheel_next_ns(const struct wheel *wheel)
{
	if (wheel->count == 0)
		return UINT64_MAX;
	uint32_t slot = level_find(&wheel->level[0], wheel->tick & (WHEEL_SLOTS - 1));
	if (slot != NONE)
		return ((wheel->tick & ~(uint64_t)(WHEEL_SLOTS - 1)) + slot) << WHEEL_TICK_SHIFT;
	uint32_t distance = level1_distance(wheel);
	return ((wheel->tick >> WHEEL_BITS) + distance) << (WHEEL_BITS + WHEEL_TICK_SHIFT);
}
