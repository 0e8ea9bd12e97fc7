/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The queues of one shaper: a pool of them. A queue is a flow's, a FIFO of packets linked through
 * pkt.next, or a host's, which has queues of flows in it. Lists of queues are linked by index, 0
 * means none. flows.c serves them.
 */
#ifndef SLUICE_SHAPE_QUEUE_H
#define SLUICE_SHAPE_QUEUE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dataplane/packet/packet.h"
#include "dataplane/shape/codel.h"
#include "dataplane/shape/dualpi2.h"
#include "dataplane/shape/pie.h"

struct flow;

/* Where a queue stands. */
enum queue_state {
	QUEUE_FREE,
	QUEUE_NEW, /* in its owner's list of new flows (RFC 8290) */
	QUEUE_OLD, /* in its owner's list of old flows; may be empty until its turn comes */
	QUEUE_WAIT /* in the wheel and its class's list of waiting ones: its own bucket is spent */
};

/* A list of queues in order; head and tail are indexes. */
struct queue_list {
	uint32_t head, tail;
};

/* Classic and L4S flows (RFC 9331) have lists of their own. */
enum queue_kind { QUEUE_CLASSIC, QUEUE_L4S, QUEUE_KINDS };

/* The queues that a class, or a host, has to serve. */
struct queue_lists {
	struct {
		struct queue_list fresh, old;
	} kind[QUEUE_KINDS];
	uint32_t listed; /* queues in all of them */
	uint32_t served; /* bytes sent from them, modulo 2^32 */
	struct dualq_turn turn;
};

struct queue {
	struct flow *flow; /* NULL: a host's */
	struct rte_mbuf *head, *tail;
	uint32_t packets, bytes; /* bytes as charged */
	uint32_t class_id;
	uint32_t host;	 /* the host's queue that it is in; 0: in its class itself */
	int32_t deficit; /* bytes it may still send in this round */
	uint32_t next, prev;
	uint32_t round_at; /* its owner's `served` when it got its last quantum */
	uint8_t state;	   /* enum queue_state */
	uint8_t kind;	   /* enum queue_kind */
	uint8_t reserved[2];
	uint32_t later; /* a queue that was listed QUEUES_AHEAD places behind: only a hint */

	/* Line 1 */
	union {
		struct codel codel;
		struct pie pie;
		struct {
			struct queue_lists flows;
			uint32_t bucket, generation; /* hosts.h */
			uint32_t credit;	     /* bytes already charged to the bucket */
		} host_part;
	};
} __attribute__((aligned(64)));
static_assert(sizeof(struct queue) == 128, "two lines, the second for AQM");

struct queue_pool {
	struct queue *queues; /* [1..count] */
	uint32_t count, used;
	uint32_t free; /* head of the free list */
};

/* Memory for `count` queues on a socket. 0 or -ENOMEM. */
int queue_pool_create(struct queue_pool *pool, const char *name, uint32_t count, int socket);

/* Frees the packets that are still in the queues, too. */
void queue_pool_destroy(struct queue_pool *pool);

/* An empty queue, line 1 not cleared yet, or 0. The last one returned is first: it is the one still
 * in the cache. Goes back with queue_free() when empty and in no list. */
static inline uint32_t queue_alloc(struct queue_pool *pool)
{
	uint32_t i = pool->free;

	if (i != 0) {
		pool->free = pool->queues[i].next;
		pool->used++;
		memset(&pool->queues[i], 0, offsetof(struct queue, codel));
	}
	return i;
}

static inline void queue_free(struct queue_pool *pool, uint32_t index)
{
	pool->queues[index].state = QUEUE_FREE;
	pool->queues[index].next = pool->free;
	pool->free = index;
	pool->used--;
}

/* A new flow, or one that comes under another AQM. */
static inline void queue_clear_aqm(struct queue *q)
{
	memset(&q->codel, 0, sizeof(q->codel));
	memset(&q->pie, 0, sizeof(q->pie));
}

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

/* Put queue i before queue `at`, which is in the list. */
static inline void queue_list_insert(
	struct queue_pool *pool, struct queue_list *list, uint32_t i, uint32_t at)
{
	struct queue *q = &pool->queues[i], *next = &pool->queues[at];

	q->next = at;
	q->prev = next->prev;
	next->prev = i;
	if (q->prev != 0)
		pool->queues[q->prev].next = i;
	else
		list->head = i;
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
