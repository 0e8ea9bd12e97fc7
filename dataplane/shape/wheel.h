/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A timing wheel for what waits for a bucket: flow queues and classes (never packets), known by
 * small numbers. Two levels of 4096 slots (1 us and 4.2 ms) with find-first-set bitmaps, 17 s in
 * all; what is due later is put in again when the horizon is reached. Insert and remove take
 * constant time. An entry comes out up to one slot late, never early: bursts of shaper.c absorb
 * that.
 */
#ifndef SLUICE_SHAPE_WHEEL_H
#define SLUICE_SHAPE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_TICK_SHIFT 10 /* 1 tick = 1024 ns */
#define WHEEL_BITS 12
#define WHEEL_SLOTS (1u << WHEEL_BITS)
#define WHEEL_WORDS (WHEEL_SLOTS / 64)

struct wheel_node {
	uint64_t due_tick;
	uint32_t next, prev; /* in the slot's list; 0: none */
	uint32_t slot;	     /* level * WHEEL_SLOTS + index, or WHEEL_OUT */
	uint32_t reserved;
};
#define WHEEL_OUT UINT32_MAX

struct wheel_level {
	uint64_t summary; /* one bit a word of occupied[] */
	uint64_t occupied[WHEEL_WORDS];
	uint32_t head[WHEEL_SLOTS];
};

struct wheel {
	uint64_t tick;	/* everything due up to here has come out */
	uint32_t count; /* entries in the wheel */
	struct wheel_node *nodes;
	struct wheel_level level[2];
};

/* `nodes` has room for numbers 1..entries (entries + 1 elements) and belongs to the caller. */
void wheel_init(struct wheel *wheel, struct wheel_node *nodes, uint32_t entries, uint64_t now_ns);

/* Entry `id`, which isn't in the wheel, is due at due_ns. */
void wheel_insert(struct wheel *wheel, uint32_t id, uint64_t due_ns);

/* Take `id` out if it is in. */
void wheel_remove(struct wheel *wheel, uint32_t id);

/* Take out up to `max` entries that are due, the earliest first (by tick). Returns their number;
 * with fewer than max all that is due by now_ns has come out. */
unsigned wheel_expire(struct wheel *wheel, uint64_t now_ns, uint32_t *ids, unsigned max);

/* Not later than the next entry comes out, and at most one slot of its level before; UINT64_MAX if
 * the wheel is empty. */
uint64_t wheel_next_ns(const struct wheel *wheel);

/* The time for which an entry that has come out was put in, rounded down to a tick. */
static inline uint64_t wheel_due_ns(const struct wheel *wheel, uint32_t id)
{
	return wheel->nodes[id].due_tick << WHEEL_TICK_SHIFT;
}

static inline bool wheel_holds(const struct wheel *wheel, uint32_t id)
{
	return wheel->nodes[id].slot != WHEEL_OUT;
}

#endif
