/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The lists that queues of flows and hosts stand in until their turn (flows.c), as far as every
 * packet needs them. Not for use outside shape/.
 */
#ifndef SLUICE_SHAPE_FLOWS_H
#define SLUICE_SHAPE_FLOWS_H

#include "dataplane/shape/shaper_private.h"

/* The lists that a queue of the class belongs in. */
static inline struct queue_lists *owner_of(
	struct shaper *s, struct shape_class *c, const struct queue *q)
{
	return q->host != 0 ? &s->pool.queues[q->host].host_part.flows : &c->flows;
}

static inline struct queue_list *list_of(struct queue_lists *lists, const struct queue *q)
{
	return q->state == QUEUE_NEW ? &lists->kind[q->kind].fresh : &lists->kind[q->kind].old;
}

static inline bool is_sparse(const struct queue *q)
{
	return q->packets > 0 && q->deficit - (int32_t)q->bytes > SHAPE_FLOW_QUANTUM / 2;
}

/* Lists lead from one cold queue to the next, too slowly: what comes into a list now is noted where
 * it will be of use, in a queue that came into it some places before. */
static inline void note_listed(struct shaper *s, uint32_t index)
{
	uint32_t *before = &s->listed_last[s->listed_at];

	s->pool.queues[*before].later = index;
	*before = index;
	s->listed_at = s->listed_at + 1 < QUEUES_AHEAD ? s->listed_at + 1 : 0;
}

/* Before the first few of the list that are not sparse, if there are any. */
void queue_place_sparse(struct shaper *s, struct queue_list *list, uint32_t index);

/*
 * Into its list. Flows of TCP at their fair share run empty now and then, and come back as new
 * ones with full-size frames. A flow with so little that half a quantum is left goes before them,
 * behind its like (a few of them: the walk is bounded), or calls would wait for a frame of each.
 */
static inline void queue_place(struct shaper *s, struct queue_list *list, uint32_t index)
{
	struct queue *queues = s->pool.queues, *q = &queues[index];

	note_listed(s, index);
	/* Where the last one is sparse all are. */
	if (q->state != QUEUE_NEW || is_sparse(&queues[list->tail]) || !is_sparse(q))
		queue_list_append(&s->pool, list, index);
	else
		queue_place_sparse(s, list, index);
}

/* Put a queue of the class that is in no list at the end of its owner's fresh or old list and
 * activate that. */
static inline void queue_list_in(
	struct shaper *s, struct shape_class *c, uint32_t index, enum queue_state state)
{
	struct queue *q = &s->pool.queues[index];
	struct queue_lists *owner = owner_of(s, c, q);

	q->state = (uint8_t)state;
	queue_place(s, list_of(owner, q), index);
	owner->listed++;
	if (q->host == 0)
		class_activate(s, c);
}

#endif
