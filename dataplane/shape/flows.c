/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which flow of a class is next: deficit round robin with the sparse-flow rule of FQ-CoDel (RFC
 * 8290), over flows, or over hosts and within each over its flows. New flows go before old ones,
 * L4S flows before Classic ones within their share (dualpi2.h). A queue whose own bucket is spent
 * waits in the wheel. tree.c has chosen the class, shaper.c charges and sends.
 */
#include "dataplane/shape/flows.h"

#include "controlplane/channel/counters.h"

#define SPARSE_WALK 8u

static inline bool is_host(const struct queue *q)
{
	return q->flow == NULL;
}

void queue_place_sparse(struct shaper *s, struct queue_list *list, uint32_t index)
{
	struct queue *queues = s->pool.queues;
	uint32_t at = list->head;

	for (unsigned n = 0; n < SPARSE_WALK && at != 0 && is_sparse(&queues[at]); n++)
		at = queues[at].next;
	if (at == 0)
		queue_list_append(&s->pool, list, index);
	else
		queue_list_insert(&s->pool, list, index, at);
}

/* Take a queue out of its owner's list. */
static inline void queue_unlist(
	struct shaper *s, struct shape_class *c, struct queue_lists *owner, uint32_t index)
{
	struct queue *q = &s->pool.queues[index];

	queue_list_remove(&s->pool, list_of(owner, q), index);
	/* A host that has nobody left is found out when its turn comes. */
	if (--owner->listed == 0 && q->host == 0)
		class_detach(s, c);
}

void queue_list_out(struct shaper *s, uint32_t index)
{
	struct queue *q = &s->pool.queues[index];
	struct shape_class *c = &s->classes[q->class_id];

	if (q->state != QUEUE_WAIT) {
		queue_unlist(s, c, owner_of(s, c, q), index);
		return;
	}
	wheel_remove(&s->wheel, index);
	queue_list_remove(&s->pool, &c->waiting, index);
}

/* Within its owner, from one list to the end of another. */
static __attribute__((noinline)) void queue_relist(
	struct shaper *s, struct queue_lists *owner, uint32_t index, enum queue_state state)
{
	struct queue *q = &s->pool.queues[index];

	queue_list_remove(&s->pool, list_of(owner, q), index);
	q->state = (uint8_t)state;
	queue_place(s, list_of(owner, q), index);
}

/*
 * More than RFC 8290 grants, where such a flow waits for the round to end: as long as it has not
 * used up its quantum it goes first, and it gets a new one when its owner has served a quantum to
 * all. So a flow below its fair share never waits for those above theirs.
 */
void queue_refresh(struct shaper *s, struct shape_class *c, uint32_t index)
{
	struct queue *q = &s->pool.queues[index];
	struct queue_lists *owner = owner_of(s, c, q);

	if (owner->served - q->round_at >= (uint64_t)owner->listed * SHAPE_FLOW_QUANTUM) {
		q->deficit = q->deficit < 0 ? q->deficit + SHAPE_FLOW_QUANTUM : SHAPE_FLOW_QUANTUM;
		q->round_at = owner->served;
	}
	if (q->deficit > 0)
		queue_relist(s, owner, index, QUEUE_NEW);
}

/* An empty queue in no list goes back to the pool. */
static inline void queue_release(struct shaper *s, struct shape_class *c, uint32_t index)
{
	struct queue *q = &s->pool.queues[index];

	if (is_host(q)) {
		host_queue_forget(s, index);
	} else {
		q->flow->shape[s->way].queue = 0;
		c->stats->backlog_flows--;
	}
	queue_free(&s->pool, index);
}

void queue_home(struct shaper *s, uint32_t index, struct shape_class *to, enum queue_state state)
{
	struct queue *q = &s->pool.queues[index];
	struct shape_class *from = &s->classes[q->class_id];

	from->stats->backlog_packets -= q->packets;
	from->stats->backlog_bytes -= q->bytes;
	from->stats->backlog_flows--;
	if (from->stats->backlog_packets == 0)
		from->stats->backlog_since_ns = 0;
	if (to->stats->backlog_packets == 0 && q->packets > 0)
		to->stats->backlog_since_ns = pkt_of(q->head)->queued_ns;
	to->stats->backlog_packets += q->packets;
	to->stats->backlog_bytes += q->bytes;
	to->stats->backlog_flows++;
	queue_clear_aqm(q); /* it may be another */
	q->class_id = class_id_of(s, to);
	q->kind = to->aqm == AQM_DUALPI2 ? q->kind : QUEUE_CLASSIC;
	q->host = to->per == PER_FLOW ? 0 : host_queue_of(s, to, q->flow, s->now_ns);
	q->round_at = owner_of(s, to, q)->served;
	queue_list_in(s, to, index, state);
}

void queue_move(struct shaper *s, uint32_t index, struct shape_class *to)
{
	bool is_new = s->pool.queues[index].state == QUEUE_NEW;

	queue_list_out(s, index);
	queue_home(s, index, to, is_new ? QUEUE_NEW : QUEUE_OLD);
}

/*
 * A queue ran empty. A new flow's stays for a round among the old ones, so that a flow gains
 * nothing by sending each packet as a new flow (RFC 8290, 4.2).
 */
static inline void queue_emptied(
	struct shaper *s, struct shape_class *c, struct queue_lists *owner, uint32_t index)
{
	struct queue *q = &s->pool.queues[index];

	if (q->state == QUEUE_NEW && owner->kind[q->kind].old.head != 0) {
		queue_relist(s, owner, index, QUEUE_OLD);
	} else {
		queue_unlist(s, c, owner, index);
		queue_release(s, c, index);
	}
}

/* Whose turn it is: new before old. The lists are not empty. */
static inline uint32_t lists_head(struct queue_lists *lists)
{
	const struct queue_list *fresh = &lists->kind[QUEUE_CLASSIC].fresh;
	const struct queue_list *old = &lists->kind[QUEUE_CLASSIC].old;
	uint32_t classic = fresh->head != 0 ? fresh->head : old->head;
	uint32_t l4s = lists->kind[QUEUE_L4S].fresh.head;

	if (__builtin_expect(l4s == 0, 1))
		l4s = lists->kind[QUEUE_L4S].old.head;
	if (__builtin_expect(l4s == 0, 1))
		return classic;
	return dualq_serve_l4s(&lists->turn, true, classic != 0) ? l4s : classic;
}

/* The round is over for a queue that has used its quantum. */
static void next_round(struct shaper *s, struct queue_lists *owner, uint32_t index)
{
	s->pool.queues[index].deficit += SHAPE_FLOW_QUANTUM;
	queue_relist(s, owner, index, QUEUE_OLD);
}

/* With many flows each is cold. Any of these queues may have been served or freed since. */
static inline void prefetch_ahead(struct shaper *s, const struct queue *q)
{
	const struct queue *next = s->soon[s->soon_at];
	const struct queue *ahead = s->soon[s->soon_at ^ QUEUES_STEP];
	const struct queue *last = &s->pool.queues[q->later];

	if (next->packets > 1)
		rte_prefetch0(&pkt_of(pkt_of(next->head)->next)->wire_bytes);
	if (ahead->head != NULL) {
		rte_prefetch0(&pkt_of(ahead->head)->wire_bytes);
		rte_prefetch0(&ahead->flow->shape[s->way]);
		if (s->class_count > CLASSES_WARM) {
			class_prefetch(s, ahead->class_id);
			class_prefetch_rates(s, ahead->class_id);
		}
	}
	rte_prefetch0(last);
	s->soon[s->soon_at] = last;
	s->soon_at = (s->soon_at + 1) % (2 * QUEUES_STEP);
}

/* The flow of a host that is next, 0 if it has none left. */
static __attribute__((noinline)) uint32_t host_next_queue(
	struct shaper *s, struct shape_class *c, uint32_t host)
{
	struct queue_lists *flows = &s->pool.queues[host].host_part.flows;

	while (flows->listed > 0) {
		uint32_t i = lists_head(flows);
		struct queue *q = &s->pool.queues[i];

		if (q->packets == 0) {
			queue_emptied(s, c, flows, i);
		} else if (q->deficit <= 0) {
			next_round(s, flows, i);
		} else {
			return i;
		}
	}
	return 0; /* the host is found empty next */
}

/* May the bucket of the host that a queue stands for, or whose flow's it is, send? Else *ready_ns
 * is when. */
static __attribute__((noinline)) bool host_bucket_ready(struct shaper *s,
	const struct shape_class *c, uint32_t index, uint64_t now_ns, uint64_t *ready_ns)
{
	struct queue *q = &s->pool.queues[index];

	if (is_host(q))
		return host_queue_ready(s, c, index, now_ns, ready_ns);
	struct host *host = flow_host(s, c, q->flow, now_ns);
	if (host_ready(host, &c->flow_rate, now_ns))
		return true;
	*ready_ns = host_ready_ns(host, now_ns);
	return false;
}

/* The same of the bucket of a flow or host. */
static inline bool own_bucket_ready(struct shaper *s, const struct shape_class *c, uint32_t index,
	uint64_t now_ns, uint64_t *ready_ns)
{
	if (c->per != PER_FLOW)
		return host_bucket_ready(s, c, index, now_ns, ready_ns);
	struct flow_shape *fs = &s->pool.queues[index].flow->shape[s->way];
	if (flow_ready(fs, &c->flow_rate, now_ns))
		return true;
	*ready_ns = bucket_ready_ns(fs->tat, now_ns);
	return false;
}

static __attribute__((noinline)) void queue_wait(
	struct shaper *s, struct shape_class *c, uint32_t index, uint64_t ready_ns)
{
	queue_list_out(s, index);
	s->pool.queues[index].state = QUEUE_WAIT;
	queue_list_append(&s->pool, &c->waiting, index);
	wheel_add(s, index, ready_ns);
}

/* The class's next flow that may send, not empty, and AQM has had its say about the packet at its
 * head; 0 if it has none (then the class has left the rings). */
static inline uint32_t class_next_queue(struct shaper *s, struct shape_class *c, uint64_t now_ns)
{
	while (c->flows.listed > 0) {
		uint32_t i = lists_head(&c->flows);
		struct queue *q = &s->pool.queues[i];
		uint64_t ready_ns;

		if (is_host(q) ? q->host_part.flows.listed == 0 : q->packets == 0) {
			queue_emptied(s, c, &c->flows, i);
			continue;
		}
		if (c->limits & LIMIT_FLOW && !own_bucket_ready(s, c, i, now_ns, &ready_ns)) {
			queue_wait(s, c, i, ready_ns);
			continue;
		}
		if (q->deficit <= 0) {
			next_round(s, &c->flows, i);
			continue;
		}
		if (is_host(q)) {
			i = host_next_queue(s, c, i);
			if (i == 0)
				continue;
			q = &s->pool.queues[i];
		}
		prefetch_ahead(s, q);
		if ((c->aqm != AQM_NONE || c->queue_limit_ns != 0) && !aqm_head(s, c, q, now_ns))
			queue_emptied(s, c, owner_of(s, c, q), i);
		else
			return i;
	}
	return 0;
}

static inline void owner_served(struct queue_lists *owner, struct queue *q, uint32_t bytes)
{
	owner->served += bytes;
	q->deficit -= (int32_t)bytes;
	if (__builtin_expect(
		    owner->kind[QUEUE_L4S].old.head | owner->kind[QUEUE_L4S].fresh.head, 0))
		dualq_served(&owner->turn, q->kind == QUEUE_L4S, bytes);
}

/* The packet at the head of queue `index` has been taken and charged with `bytes`. */
static inline void queue_sent(
	struct shaper *s, struct shape_class *c, uint32_t index, uint32_t bytes)
{
	struct queue *q = &s->pool.queues[index];
	struct queue_lists *owner = owner_of(s, c, q);

	owner_served(owner, q, bytes);
	if (q->host != 0)
		owner_served(&c->flows, &s->pool.queues[q->host], bytes);
	if (q->packets == 0)
		queue_emptied(s, c, owner, index);
}

unsigned class_serve(struct shaper *s, struct shape_class *c, uint32_t lender, int64_t allowance,
	struct rte_mbuf **out, unsigned max, struct turn *turn)
{
	uint32_t packets = 0, sum = 0, bytes = 0;
	uint64_t now_ns = s->now_ns, queued_ns = 0;

	do {
		uint32_t i = class_next_queue(s, c, now_ns);
		if (i == 0)
			break; /* its flows wait for buckets of their own, or it has none left */
		struct queue *q = &s->pool.queues[i];
		struct rte_mbuf *m = queue_pop(q);
		struct pkt *p = pkt_of(m);

		if (q->packets > 0)
			rte_prefetch0(&pkt_of(q->head)->wire_bytes);
		bytes = p->charged_bytes;
		sum += bytes;
		queued_ns = p->queued_ns;
		c->stats->backlog_bytes -= bytes; /* AQM looks at it */
		/* Not p->flow: that is another line. */
		shaper_charge(s, c, p, q->flow, lender, now_ns);
		queue_sent(s, c, i, bytes);
		out[packets++] = m;
	} while (packets < max && sum < allowance);
	if (packets > 0)
		shaper_taken(s, c, packets, queued_ns);
	*turn = (struct turn){.packets = packets, .bytes = sum, .last = bytes};
	return packets;
}

void queue_wake(struct shaper *s, uint32_t index)
{
	struct queue *q = &s->pool.queues[index];
	struct shape_class *c = &s->classes[q->class_id];

	if (!is_host(q)) {
		rte_prefetch0(&q->flow->shape[s->way]);
		rte_prefetch0(&pkt_of(q->head)->wire_bytes);
	}
	queue_list_remove(&s->pool, &c->waiting, index);
	queue_list_in(s, c, index, QUEUE_OLD);
}
