/* SPDX-License-Identifier: BSD-3-Clause */
/* The parts that classes have on each worker; share.h explains them. */
#include "dataplane/shape/share.h"

#include "dataplane/shape/shaper_private.h"

#define PART_BITS 16	 /* fixed point of parts */
#define GIVEN_BITS 8	 /* fixed point of quanta times parts */
#define QUANTUM_LEAST 64 /* or a frame would take too many rounds */

static struct share_shared *shared_of(const struct shaper *s, const struct shape_class *c)
{
	return &s->shared->classes[class_id_of(s, c)].share;
}

static uint64_t total_of(const struct shaper *s, const struct shape_class *c, unsigned priority)
{
	return __atomic_load_n(&shared_of(s, c)->total[priority], __ATOMIC_RELAXED);
}

static void add(struct shaper *s, struct shape_class *c, unsigned priority, uint64_t delta)
{
	__atomic_fetch_add(&shared_of(s, c)->total[priority], delta, __ATOMIC_RELAXED);
}

/* What the class comes to here, weight times part, counts in the group above. */
static void give(struct shaper *s, struct shape_class *c, uint32_t given)
{
	struct shape_class *parent = parent_of(s, c);
	uint64_t delta = (uint64_t)given - c->share_given;

	if (delta == 0)
		return;
	if (parent == link_of(s) && parent->share_given == 0) {
		parent->share_given = 1;
		__atomic_fetch_add(&s->shared->borrowing, 1, __ATOMIC_RELAXED);
	}
	parent->share_sum[c->priority] += delta;
	add(s, parent, c->priority, delta);
	c->share_given = given;
}

/* This worker's part of the children of a priority. */
static uint64_t part_of(const struct shaper *s, const struct shape_class *group, unsigned priority)
{
	uint64_t sum = group->share_sum[priority], total = total_of(s, group, priority);

	return total > sum ? (sum << PART_BITS) / total : 1u << PART_BITS;
}

static uint64_t group_part(const struct shaper *s, const struct shape_class *group)
{
	unsigned first = (unsigned)__builtin_ctz(group->ring_mask[RING_BORROW]);

	/* Somebody before ours, on another worker? */
	for (unsigned priority = 0; priority < first; priority++)
		if (total_of(s, group, priority) != 0)
			return 0;
	return part_of(s, group, first);
}

int32_t share_quantum(struct shaper *s, struct shape_class *c)
{
	uint64_t part, given;

	if (s->workers == 1)
		return c->quantum;
	if (c->is_group) {
		part = c->ring_mask[RING_BORROW] != 0 ? group_part(s, c) : 0;
	} else {
		if (c->share_given == 0)
			add(s, c, 0, 1);
		part = (1u << PART_BITS) / total_of(s, c, 0);
	}
	given = ((uint64_t)c->quantum * part) >> (PART_BITS - GIVEN_BITS);
	give(s, c, given > 0 ? (uint32_t)given : 1);
	/* Only proportions count among siblings: bigger, so that a frame takes fewer rounds. */
	int32_t quantum = (int32_t)(given * s->workers >> GIVEN_BITS);
	return quantum > QUANTUM_LEAST ? quantum : QUANTUM_LEAST;
}

void share_leave(struct shaper *s, struct shape_class *c)
{
	if (c->share_given == 0)
		return;
	if (!c->is_group)
		add(s, c, 0, -(uint64_t)1);
	give(s, c, 0);
}

int32_t share_turn(struct shaper *s, unsigned priority, uint32_t bytes)
{
	uint64_t part = part_of(s, link_of(s), priority);
	uint64_t all = __atomic_load_n(&s->shared->borrowing, __ATOMIC_RELAXED);

	return (int32_t)((bytes * all * part) >> PART_BITS) + 1;
}

void share_idle(struct shaper *s)
{
	struct shape_class *link = link_of(s);

	if (link->share_given != 0)
		__atomic_fetch_sub(&s->shared->borrowing, 1, __ATOMIC_RELAXED);
	link->share_given = 0;
}
