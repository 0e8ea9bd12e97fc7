/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The flow queues of one shaper: a pool of them, each a FIFO of packets linked through
 * pkt.next, and lists of queues linked by index. Index 0 means none. shaper.c schedules them.
 */
#ifndef SLUICE_SHAPE_QUEUE_H
#define SLUICE_SHAPE_QUEUE_H

#include <assert.h>
#include <stdint.h>

#include "dataplane/packet/packet.h"
#include "dataplane/shape/codel.h"

struct flow;

/* Where a queue stands. */
enum queue_state {
	QUEUE_FREE,
	QUEUE_NEW, /* in its class's list of new flows (RFC 8290) */
	QUEUE_OLD, /* in its class's list of old flows; may be empty until its turn comes */
	QUEUE_WAIT /* in the wheel: the flow's own bucket does not allow it yet */
};

struct queue {
	struct flow *flow;
	struct rte_mbuf *head, *tail;
	uint32_t packets, bytes; /* bytes as charged */
	uint32_t class_id;
	int32_t deficit; /* bytes it may still send in this round */
	uint32_t next, prev;
	uint32_t state;	   /* enum queue_state */
	uint32_t round_at; /* the class's `served` when the flow got its last quantum */
	uint32_t reserved;

	struct codel codel; /* line 1 */
} __attribute__((aligned(64)));
static_assert(sizeof(struct queue) == 128, "two lines, CoDel on the second");

/* A list of queues in order; head and tail are indexes. */
struct queue_list {
	uint32_t head, tail;
};

struct queue_pool {
	struct queue *queues; /* [1..count] */
	uint32_t count, used;
	uint32_t free; /* head of the free list */
};

/* Memory for `count` queues on a socket. 0 or -ENOMEM. */
int queue_pool_create(struct queue_pool *pool, const char *name, uint32_t count, int socket);

/* Frees the packets that are still in the queues, too. */
void queue_pool_destroy(struct queue_pool *pool);

/* An empty queue, or 0. Goes back with queue_free() when empty and in no list. */
uint32_t queue_alloc(struct queue_pool *pool);
void queue_free(struct queue_pool *pool, uint32_t index);

static inline void queue_push(struct queue *q, struct rte_mbuf *m, struct pkt *p)
{
	p->next = NULL;
	if (q->packets == 0)
		q->head = m;
	else
		pkt_of(q->tail)->next = m;
	q->tail = m;
	q->packets++;
	q->bytes += p->charged_bytes;
}

/* The queue is not empty. */
static inline struct rte_mbuf *queue_pop(struct queue *q)
{
	struct rte_mbuf *m = q->head;
	struct pkt *p = pkt_of(m);

	q->head = p->next;
	q->packets--;
	q->bytes -= p->charged_bytes;
	p->next = NULL;
	return m;
}

static inline void queue_list_append(struct queue_pool *pool, struct queue_list *list, uint32_t i)
{
	struct queue *q = &pool->queues[i];

	q->next = 0;
	q->prev = list->tail;
	if (list->tail != 0)
		pool->queues[list->tail].next = i;
	else
		list->head = i;
	list->tail = i;
}

static inline void queue_list_remove(struct queue_pool *pool, struct queue_list *list, uint32_t i)
{
	struct queue *q = &pool->queues[i];

	if (q->prev != 0)
		pool->queues[q->prev].next = q->next;
	else
		list->head = q->next;
	if (q->next != 0)
		pool->queues[q->next].prev = q->prev;
	else
		list->tail = q->prev;
}

#endif
