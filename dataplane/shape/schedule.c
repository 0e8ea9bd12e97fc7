/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who is next: classes take turns in rings (assured before borrowed, by priority, by weight), flows
 * in their class's lists (RFC 8290), and what its own bucket stops waits in the wheel. shaper.c
 * charges and sends what schedule_next() names.
 */
#include "dataplane/shape/shaper_private.h"

#include "controlplane/channel/counters.h"

#define WAKE_BURST 32u
#define WAKE_MAX 1024u /* queues and classes brought back in one call */

static void ring_append(struct shaper *s, enum ring r, struct shape_class *c)
{
	struct class_ring *ring = &s->ring[r][c->priority];
	uint32_t i = class_id_of(s, c) + 1;

	c->next[r] = 0;
	c->prev[r] = ring->tail;
	if (ring->tail != 0)
		s->classes[ring->tail - 1].next[r] = i;
	else
		ring->head = i;
	ring->tail = i;
	s->ring_mask[r] |= 1u << c->priority;
	c->flags |= 1u << r;
}

static void ring_remove(struct shaper *s, enum ring r, struct shape_class *c)
{
	struct class_ring *ring = &s->ring[r][c->priority];

	if (!(c->flags & 1u << r))
		return;
	if (c->prev[r] != 0)
		s->classes[c->prev[r] - 1].next[r] = c->next[r];
	else
		ring->head = c->next[r];
	if (c->next[r] != 0)
		s->classes[c->next[r] - 1].prev[r] = c->prev[r];
	else
		ring->tail = c->prev[r];
	if (ring->head == 0)
		s->ring_mask[r] &= ~(1u << c->priority);
	c->flags &= ~(1u << r);
}

void class_activate(struct shaper *s, struct shape_class *c)
{
	if (c->flags & CLASS_WAIT_CEIL)
		return;
	if (!(c->flags & CLASS_IN_BORROW))
		ring_append(s, RING_BORROW, c);
	if (c->limits & LIMIT_RATE && !(c->flags & (CLASS_WAIT_RATE | CLASS_IN_ASSURED)))
		ring_append(s, RING_ASSURED, c);
}

void class_detach(struct shaper *s, struct shape_class *c)
{
	ring_remove(s, RING_ASSURED, c);
	ring_remove(s, RING_BORROW, c);
	wheel_remove(&s->wheel, class_wheel_id(s, c));
	c->flags &= ~(CLASS_WAIT_RATE | CLASS_WAIT_CEIL);
}

/* The assured rate is spent: the class may still borrow. */
static void class_wait_rate(struct shaper *s, struct shape_class *c)
{
	ring_remove(s, RING_ASSURED, c);
	c->flags |= CLASS_WAIT_RATE;
	wheel_insert(&s->wheel, class_wheel_id(s, c), c->rate.ready_ns);
}

static void class_wait_ceil(struct shaper *s, struct shape_class *c)
{
	class_detach(s, c);
	c->flags |= CLASS_WAIT_CEIL;
	wheel_insert(&s->wheel, class_wheel_id(s, c), c->ceil.ready_ns);
}

void queue_list_in(struct shaper *s, uint32_t index, enum queue_state state)
{
	struct queue *q = &s->pool.queues[index];
	struct shape_class *c = &s->classes[q->class_id];

	q->state = state;
	queue_list_append(&s->pool, state == QUEUE_NEW ? &c->fresh : &c->old, index);
	c->listed++;
	class_activate(s, c);
}

void queue_list_out(struct shaper *s, uint32_t index)
{
	struct queue *q = &s->pool.queues[index];
	struct shape_class *c = &s->classes[q->class_id];

	if (q->state == QUEUE_WAIT) {
		wheel_remove(&s->wheel, index);
		return;
	}
	queue_list_remove(&s->pool, q->state == QUEUE_NEW ? &c->fresh : &c->old, index);
	if (--c->listed > 0)
		return;
	class_detach(s, c);
	c->deficit[RING_ASSURED] = 0;
	c->deficit[RING_BORROW] = 0;
}

/* Within its class, from one list to the end of another. */
static void queue_relist(struct shaper *s, uint32_t index, enum queue_state state)
{
	struct queue *q = &s->pool.queues[index];
	struct shape_class *c = &s->classes[q->class_id];

	queue_list_remove(&s->pool, q->state == QUEUE_NEW ? &c->fresh : &c->old, index);
	q->state = state;
	queue_list_append(&s->pool, state == QUEUE_NEW ? &c->fresh : &c->old, index);
}

/*
 * More than RFC 8290 grants, where such a flow waits for the round to end: as long as it has not
 * used up its quantum it goes first, and it gets a new one when its class has served a quantum to
 * all. So a flow below its fair share never waits for those above theirs.
 */
void queue_refresh(struct shaper *s, uint32_t index)
{
	struct queue *q = &s->pool.queues[index];
	struct shape_class *c = &s->classes[q->class_id];

	if (c->served - q->round_at >= (uint64_t)c->listed * SHAPE_FLOW_QUANTUM) {
		q->deficit = q->deficit < 0 ? q->deficit + SHAPE_FLOW_QUANTUM : SHAPE_FLOW_QUANTUM;
		q->round_at = c->served;
	}
	if (q->deficit > 0)
		queue_relist(s, index, QUEUE_NEW);
}

void queue_move(struct shaper *s, uint32_t index, struct shape_class *to)
{
	struct queue *q = &s->pool.queues[index];
	struct shape_class *from = &s->classes[q->class_id];

	queue_list_out(s, index);
	from->stats->backlog_packets -= q->packets;
	from->stats->backlog_bytes -= q->bytes;
	from->stats->backlog_flows--;
	to->stats->backlog_packets += q->packets;
	to->stats->backlog_bytes += q->bytes;
	to->stats->backlog_flows++;
	q->class_id = class_id_of(s, to);
	q->round_at = to->served;
	queue_list_in(s, index, q->state == QUEUE_NEW ? QUEUE_NEW : QUEUE_OLD);
}

/* An empty queue in no list: the flow is idle again. */
static void queue_release(struct shaper *s, uint32_t index)
{
	struct queue *q = &s->pool.queues[index];

	q->flow->shape[s->way].queue = 0;
	s->classes[q->class_id].stats->backlog_flows--;
	queue_free(&s->pool, index);
}

/*
 * A queue ran empty. A new flow's stays for a round among the old ones, so that a flow gains
 * nothing by sending each packet as a new flow (RFC 8290, 4.2). */
static void queue_emptied(struct shaper *s, uint32_t index)
{
	struct queue *q = &s->pool.queues[index];

	if (q->state == QUEUE_NEW && s->classes[q->class_id].old.head != 0) {
		queue_relist(s, index, QUEUE_OLD);
	} else {
		queue_list_out(s, index);
		queue_release(s, index);
	}
}

/* CoDel may drop from the head; a packet is left in any case. */
static void queue_codel(struct shaper *s, struct shape_class *c, struct queue *q, uint64_t now_ns)
{
	while (codel_drop(&q->codel, c->codel_target_ns, c->codel_interval_ns,
		now_ns - pkt_of(q->head)->queued_ns, q->bytes, q->packets, BUCKET_FRAME_BYTES,
		now_ns)) {
		struct rte_mbuf *m = queue_pop(q);
		s->room->waiting--;
		c->stats->backlog_packets--;
		c->stats->backlog_bytes -= pkt_of(m)->charged_bytes;
		c->stats->dropped_aqm++;
		s->reasons[DROP_AQM]++;
		rte_pktmbuf_free(m);
	}
}

/* The class's next flow that may send, 0 if it has none (then the class has left the rings). */
static uint32_t class_next_queue(struct shaper *s, struct shape_class *c, uint64_t now_ns)
{
	while (c->listed > 0) {
		uint32_t i = c->fresh.head != 0 ? c->fresh.head : c->old.head;
		struct queue *q = &s->pool.queues[i];

		if (q->packets == 0) {
			queue_list_out(s, i);
			queue_release(s, i);
			continue;
		}
		struct flow_shape *fs = &q->flow->shape[s->way];
		if (c->limits & LIMIT_FLOW && !flow_ready(fs, &c->flow_rate, now_ns)) {
			queue_list_out(s, i);
			q->state = QUEUE_WAIT;
			wheel_insert(&s->wheel, i, bucket_ready_ns(fs->tat, now_ns));
			continue;
		}
		if (q->deficit <= 0) {
			q->deficit += SHAPE_FLOW_QUANTUM;
			queue_list_remove(&s->pool, q->state == QUEUE_NEW ? &c->fresh : &c->old, i);
			q->state = QUEUE_OLD;
			queue_list_append(&s->pool, &c->old, i);
			continue;
		}
		/* With many flows each is cold: fetch the next one's packet and the queue behind.
		 */
		struct queue *ahead = &s->pool.queues[q->next];
		if (ahead->head != NULL) {
			rte_prefetch0(&pkt_of(ahead->head)->wire_bytes);
			rte_prefetch0(&ahead->flow->shape[s->way]);
		}
		rte_prefetch0(&s->pool.queues[ahead->next]);
		if (c->aqm)
			queue_codel(s, c, q, now_ns);
		return i;
	}
	return 0;
}

/* The class at the head of a ring whose turn it is, after those that used up theirs. */
static struct shape_class *ring_turn(struct shaper *s, enum ring r, uint64_t now_ns)
{
	while (s->ring_mask[r] != 0) {
		struct class_ring *ring = &s->ring[r][__builtin_ctz(s->ring_mask[r])];
		struct shape_class *c = &s->classes[ring->head - 1];

		if (c->limits & LIMIT_CEIL && !lease_ready(&c->ceil, c->want, now_ns)) {
			class_wait_ceil(s, c);
		} else if (r == RING_ASSURED && !lease_ready(&c->rate, c->want, now_ns)) {
			class_wait_rate(s, c);
		} else if (c->deficit[r] <= 0) {
			c->deficit[r] += c->quantum;
			ring_remove(s, r, c);
			ring_append(s, r, c);
		} else {
			return c;
		}
	}
	return NULL;
}

uint32_t schedule_next(struct shaper *s, uint64_t now_ns, enum ring *ring)
{
	for (;;) {
		*ring = RING_ASSURED;
		struct shape_class *c = ring_turn(s, RING_ASSURED, now_ns);
		if (c == NULL) {
			*ring = RING_BORROW;
			c = ring_turn(s, RING_BORROW, now_ns);
		}
		if (c == NULL)
			return 0;
		if (c->limits & LIMIT_LINK &&
			!link_ready(s, *ring == RING_ASSURED, c->priority, c->want, now_ns))
			return 0;
		uint32_t i = class_next_queue(s, c, now_ns);
		if (i != 0)
			return i;
	}
}

void schedule_sent(struct shaper *s, uint32_t index, enum ring ring, uint32_t bytes)
{
	struct queue *q = &s->pool.queues[index];

	struct shape_class *c = &s->classes[q->class_id];

	c->deficit[ring] -= (int32_t)bytes;
	c->served += bytes;
	q->deficit -= (int32_t)bytes;
	if (q->packets == 0)
		queue_emptied(s, index);
}

void schedule_wake(struct shaper *s, uint64_t now_ns)
{
	uint32_t ids[WAKE_BURST];
	unsigned n, total = 0;

	do {
		n = wheel_expire(&s->wheel, now_ns, ids, WAKE_BURST);
		for (unsigned i = 0; i < n; i++)
			if (ids[i] <= s->pool.count)
				rte_prefetch0(&s->pool.queues[ids[i]]);
		for (unsigned i = 0; i < n; i++) {
			if (ids[i] <= s->pool.count) {
				struct queue *q = &s->pool.queues[ids[i]];
				rte_prefetch0(&q->flow->shape[s->way]);
				rte_prefetch0(&pkt_of(q->head)->wire_bytes);
				queue_list_in(s, ids[i], QUEUE_OLD);
				continue;
			}
			struct shape_class *c = &s->classes[ids[i] - s->pool.count - 1];
			c->flags &= ~(CLASS_WAIT_RATE | CLASS_WAIT_CEIL);
			if (c->listed > 0)
				class_activate(s, c);
		}
		total += n;
	} while (n == WAKE_BURST && total < WAKE_MAX);
}

bool link_take(struct shaper *s, bool assured, unsigned priority, uint32_t want, uint64_t now_ns)
{
	bool ready;

	if (s->link.credit > 0) { /* reserved for later */
		s->link_wait_ns = s->link.ready_ns;
		return false;
	}
	if (assured) {
		if (s->link_polite)
			lease_stop_waiting(&s->link, s->worker);
		s->link_polite = false;
		ready = lease_take(&s->link, want, now_ns);
		s->link_wait_ns = s->link.ready_ns;
	} else {
		ready = lease_take_polite(
			&s->link, want, now_ns, s->worker, priority, &s->link_wait_ns);
		s->link_polite = !ready;
	}
	return ready;
}
