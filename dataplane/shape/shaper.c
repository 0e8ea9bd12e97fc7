/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shaper's packet path: enqueue (straight through where every bucket allows it), dequeue,
 * settle, and the memory it all lives in. schedule.c decides who is next, configure.c takes new
 * rates, lease.c shares rates between workers.
 */
#include "dataplane/shape/shaper_private.h"

#include <errno.h>
#include <stdio.h>

#include <rte_errno.h>
#include <rte_malloc.h>

#include "controlplane/channel/counters.h"

#define REFRESH_SHIFT 20 /* one class about every millisecond: see bucket.h on old TATs */
#define TEND_CLASSES 2u	 /* classes looked at in a call for leases to give back */

struct shaper_shared *shaper_shared_create(uint32_t classes_max, unsigned workers, int socket)
{
	struct shaper_shared *shared;

	if (classes_max == 0 || workers == 0 || workers > SHAPER_WORKERS_MAX)
		return NULL;
	shared = rte_zmalloc_socket("shaper_shared",
		sizeof(*shared) + (size_t)classes_max * sizeof(shared->classes[0]), 64, socket);
	if (shared == NULL)
		return NULL;
	shared->classes_max = classes_max;
	shared->workers = workers;
	lease_shared_init(&shared->link, workers);
	for (uint32_t i = 0; i < classes_max; i++) {
		lease_shared_init(&shared->classes[i].rate, workers);
		lease_shared_init(&shared->classes[i].ceil, workers);
	}
	return shared;
}

void shaper_shared_destroy(struct shaper_shared *shared)
{
	rte_free(shared);
}

static void *shaper_zalloc(
	struct shaper *s, const char *name, const char *part, size_t bytes, int socket)
{
	char label[64];

	snprintf(label, sizeof(label), "%s_%s", name, part);
	s->memory_bytes += bytes;
	return rte_zmalloc_socket(label, bytes, 64, socket);
}

struct shaper *shaper_create(const struct shaper_params *params, struct shaper_shared *shared)
{
	struct shaper *s;

	if (params->classes_max == 0 || params->classes_max > shared->classes_max ||
		params->queues == 0 || params->queues > 1u << 30 ||
		params->worker >= shared->workers || params->reasons == NULL) {
		rte_errno = EINVAL;
		return NULL;
	}
	s = rte_zmalloc_socket(params->name, sizeof(*s), 64, params->socket);
	if (s == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	uint32_t entries = params->queues + params->classes_max;
	s->memory_bytes = sizeof(*s) + ((uint64_t)params->queues + 1) * sizeof(struct queue);
	s->classes = shaper_zalloc(s, params->name, "classes",
		params->classes_max * sizeof(*s->classes), params->socket);
	s->stats = shaper_zalloc(
		s, params->name, "stats", params->classes_max * sizeof(*s->stats), params->socket);
	s->nodes = shaper_zalloc(s, params->name, "wheel",
		((size_t)entries + 1) * sizeof(*s->nodes), params->socket);
	if (queue_pool_create(&s->pool, params->name, params->queues, params->socket) != 0 ||
		s->classes == NULL || s->stats == NULL || s->nodes == NULL) {
		shaper_destroy(s);
		rte_errno = ENOMEM;
		return NULL;
	}
	wheel_init(&s->wheel, s->nodes, entries, 0);
	s->classes_max = params->classes_max;
	s->class_count = 1;
	s->way = params->way;
	s->worker = params->worker;
	s->reasons = params->reasons;
	s->own_room.most = UINT32_MAX;
	s->room = params->room != NULL ? params->room : &s->own_room;
	s->shared = shared;
	s->link.shared = &shared->link;
	for (uint32_t i = 0; i < s->classes_max; i++) {
		struct shape_class *c = &s->classes[i];
		c->stats = &s->stats[i];
		c->rate.shared = &shared->classes[i].rate;
		c->ceil.shared = &shared->classes[i].ceil;
		c->want = BUCKET_FRAME_BYTES;
		c->quantum = SHAPE_FLOW_QUANTUM;
		c->queue_limit_bytes = SHAPER_QUEUE_LIMIT_BYTES;
	}
	s->classes[0].in_use = true;
	return s;
}

void shaper_destroy(struct shaper *s)
{
	if (s == NULL)
		return;
	queue_pool_destroy(&s->pool);
	rte_free(s->nodes);
	rte_free(s->stats);
	rte_free(s->classes);
	rte_free(s);
}

uint64_t shaper_memory_needed(uint32_t classes_max, uint32_t queues)
{
	return sizeof(struct shaper) + ((uint64_t)queues + 1) * sizeof(struct queue) +
	       classes_max * (sizeof(struct shape_class) + sizeof(struct shaper_class_stats)) +
	       ((uint64_t)queues + classes_max + 1) * sizeof(struct wheel_node);
}

uint64_t shaper_memory_bytes(const struct shaper *s)
{
	return s->memory_bytes;
}

const struct shaper_class_stats *shaper_class_stats(const struct shaper *s, uint32_t class_id)
{
	return class_id < s->classes_max ? &s->stats[class_id] : NULL;
}

static inline uint32_t charged_bytes(const struct shaper *s, uint32_t wire_bytes)
{
	return (wire_bytes < SHAPER_FRAME_MIN ? SHAPER_FRAME_MIN : wire_bytes) + s->overhead_bytes;
}

/* Remember that the class may hold leases, see tend(). */
static inline void note_held(struct shaper *s, struct shape_class *c)
{
	uint32_t i = class_id_of(s, c) + 1;

	if (c->flags & CLASS_HELD)
		return;
	c->flags |= CLASS_HELD;
	c->next_held = 0;
	if (s->held_tail != 0)
		s->classes[s->held_tail - 1].next_held = i;
	else
		s->held_head = i;
	s->held_tail = i;
}

/* The packet leaves now. */
static inline void charge(struct shaper *s, struct shape_class *c, struct flow_shape *fs,
	struct pkt *p, bool assured, uint64_t now_ns)
{
	uint32_t bytes = p->charged_bytes;

	c->stats->packets++;
	c->stats->bytes += bytes;
	if (c->limits == 0)
		return;
	c->want = bytes;
	if (c->limits & LIMIT_FLOW) {
		fs->tat = bucket_charge(fs->tat, &c->flow_rate, bytes, bucket_q16(now_ns));
		fs->stamp = (uint32_t)(now_ns >> 32);
	}
	if (c->limits & LIMIT_LINK)
		lease_spend(&s->link, bytes);
	if (!(c->limits & (LIMIT_CEIL | LIMIT_RATE)))
		return;
	note_held(s, c);
	if (c->limits & LIMIT_CEIL)
		lease_spend(&c->ceil, bytes);
	p->flags &= (uint16_t)~PKT_BORROWED;
	if (assured) {
		lease_spend(&c->rate, bytes);
	} else {
		p->flags |= PKT_BORROWED;
		c->stats->borrowed_bytes += bytes;
	}
}

/* Let a packet of a flow and class without backlog through, if every bucket allows it. */
static inline bool pass_directly(struct shaper *s, struct shape_class *c, struct flow_shape *fs,
	struct pkt *p, uint64_t now_ns)
{
	uint32_t bytes = p->charged_bytes;
	bool assured = false;

	if (c->limits != 0) {
		if (c->limits & LIMIT_FLOW && !flow_ready(fs, &c->flow_rate, now_ns))
			return false;
		if (c->limits & LIMIT_CEIL && !lease_ready(&c->ceil, bytes, now_ns))
			return false;
		if (c->limits & LIMIT_RATE)
			assured = lease_ready(&c->rate, bytes, now_ns);
		if (c->limits & LIMIT_LINK && !link_ready(s, assured, c->priority, bytes, now_ns))
			return false;
	}
	charge(s, c, fs, p, assured, now_ns);
	return true;
}

static void drop(struct shaper *s, struct rte_mbuf *m, uint64_t *counter, enum reason reason)
{
	(*counter)++;
	s->reasons[reason]++;
	rte_pktmbuf_free(m);
}

/* May one more packet wait? Behind `queued` of its flow. */
static bool has_room(const struct shaper *s, const struct shape_class *c, uint32_t queued)
{
	const struct shaper_room *room = s->room;

	return room->waiting < room->most &&
	       c->stats->backlog_packets + queued < 4 * (uint64_t)(room->most - room->waiting);
}

static void enqueue_one(
	struct shaper *s, struct shape_class *c, struct rte_mbuf *m, struct pkt *p, uint64_t now_ns)
{
	struct flow_shape *fs = &p->flow->shape[s->way];
	struct shaper_class_stats *stats = c->stats;
	bool is_new = fs->queue == 0;

	if (!has_room(s, c, is_new ? 0 : s->pool.queues[fs->queue].packets)) {
		drop(s, m, &stats->dropped_memory, DROP_QUEUE_NO_MEMORY);
		return;
	}
	if (is_new) {
		uint32_t i = queue_alloc(&s->pool);
		if (i == 0) {
			drop(s, m, &stats->dropped_memory, DROP_QUEUE_NO_MEMORY);
			return;
		}
		fs->queue = i;
		s->pool.queues[i].flow = p->flow;
		s->pool.queues[i].class_id = class_id_of(s, c);
		s->pool.queues[i].deficit = SHAPE_FLOW_QUANTUM;
		s->pool.queues[i].round_at = c->served;
		stats->backlog_flows++;
	} else if (s->pool.queues[fs->queue].class_id != class_id_of(s, c)) {
		queue_move(s, fs->queue, c);
	}
	struct queue *q = &s->pool.queues[fs->queue];
	/* An empty queue takes any packet: a limit below the frame size must not stop a flow. */
	if (q->packets > 0 &&
		(q->bytes + p->charged_bytes > c->queue_limit_bytes ||
			(c->queue_limit_ns != 0 &&
				now_ns - pkt_of(q->head)->queued_ns > c->queue_limit_ns))) {
		drop(s, m, &stats->dropped_tail, DROP_QUEUE_TAIL);
		return;
	}
	bool was_empty = q->packets == 0;
	p->queued_ns = now_ns;
	queue_push(q, m, p);
	s->room->waiting++;
	stats->backlog_packets++;
	stats->backlog_bytes += p->charged_bytes;
	if (is_new) {
		queue_list_in(s, fs->queue, QUEUE_NEW);
	} else if (was_empty) {
		queue_refresh(s, fs->queue);
	}
}

unsigned shaper_enqueue(struct shaper *s, struct rte_mbuf **pkts, unsigned n, uint64_t now_ns,
	struct rte_mbuf **out)
{
	unsigned sent = 0;

	s->now_ns = now_ns;
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];
		struct pkt *p = pkt_of(m);
		struct flow_shape *fs = &p->flow->shape[s->way];
		struct shape_class *c = class_of(s, p->flow->class_id);

		p->charged_bytes = charged_bytes(s, p->wire_bytes);
		/* Who waits for the scheduler goes first; who waits in the wheel does not count. */
		if (likely((fs->queue | c->listed | s->ring_mask[RING_BORROW]) == 0) &&
			pass_directly(s, c, fs, p, now_ns)) {
			p->queued_ns = 0;
			out[sent++] = m;
		} else {
			enqueue_one(s, c, m, p, now_ns);
		}
	}
	return sent;
}

/*
 * Between packets: give leases back that nobody here has used for a while, stop standing in line
 * for a link that nobody here waits for, and keep TATs from growing old.
 */
static void tend(struct shaper *s, uint64_t now_ns)
{
	if (s->link_polite && s->ring_mask[RING_BORROW] == 0) {
		lease_stop_waiting(&s->link, s->worker);
		s->link_polite = false;
	}
	if (lease_is_old(&s->link, now_ns) && s->ring_mask[RING_BORROW] == 0)
		lease_return(&s->link);
	for (unsigned k = 0; k < TEND_CLASSES && s->held_head != 0; k++) {
		struct shape_class *c = &s->classes[s->held_head - 1];
		s->held_head = c->next_held;
		if (s->held_head == 0)
			s->held_tail = 0;
		c->flags &= ~CLASS_HELD;
		if (c->listed == 0 && lease_is_old(&c->rate, now_ns))
			lease_return(&c->rate);
		if (c->listed == 0 && lease_is_old(&c->ceil, now_ns))
			lease_return(&c->ceil);
		if (c->listed > 0 || c->rate.credit > 0 || c->ceil.credit > 0)
			note_held(s, c);
	}
	if ((now_ns ^ s->now_ns) >> REFRESH_SHIFT) {
		if (++s->refresh_class >= s->class_count)
			s->refresh_class = 0;
		lease_shared_refresh(&s->shared->link, now_ns);
		lease_shared_refresh(&s->shared->classes[s->refresh_class].rate, now_ns);
		lease_shared_refresh(&s->shared->classes[s->refresh_class].ceil, now_ns);
	}
}

unsigned shaper_dequeue(struct shaper *s, struct rte_mbuf **out, unsigned max, uint64_t now_ns)
{
	unsigned sent = 0;
	enum ring ring;

	schedule_wake(s, now_ns);
	tend(s, now_ns);
	s->now_ns = now_ns;
	s->link_wait_ns = 0;
	while (sent < max) {
		uint32_t i = schedule_next(s, now_ns, &ring);
		if (i == 0)
			break;
		struct queue *q = &s->pool.queues[i];
		struct shape_class *c = &s->classes[q->class_id];
		struct rte_mbuf *m = queue_pop(q);
		struct pkt *p = pkt_of(m);

		if (q->packets > 0)
			rte_prefetch0(&pkt_of(q->head)->wire_bytes);
		s->room->waiting--;
		c->stats->backlog_packets--;
		c->stats->backlog_bytes -= p->charged_bytes;
		charge(s, c, &q->flow->shape[s->way], p, ring == RING_ASSURED, now_ns);
		schedule_sent(s, i, ring, p->charged_bytes);
		out[sent++] = m;
	}
	return sent;
}

/* What waits in the wheel for a bucket that has just been corrected waits for another time now. */
static void rearm(struct shaper *s, uint32_t id, uint64_t due_ns)
{
	wheel_remove(&s->wheel, id);
	wheel_insert(&s->wheel, id, due_ns);
}

void shaper_settle(struct shaper *s, const struct rte_mbuf *m, uint32_t wire_bytes)
{
	struct pkt *p = pkt_of(m);
	struct shape_class *c = class_of(s, p->flow->class_id);
	struct flow_shape *fs = &p->flow->shape[s->way];
	uint32_t bytes = wire_bytes == 0 ? 0 : charged_bytes(s, wire_bytes);
	int64_t less = (int64_t)p->charged_bytes - bytes;

	if (less == 0)
		return;
	c->stats->bytes -= (uint64_t)less;
	if (c->limits & LIMIT_FLOW) {
		/* As if it had been charged with the other size: no rounding is left over. */
		uint64_t inv = c->flow_rate.inv_q32;
		fs->tat += bucket_cost(inv, bytes) - bucket_cost(inv, p->charged_bytes);
		if (fs->queue != 0 && s->pool.queues[fs->queue].state == QUEUE_WAIT)
			rearm(s, fs->queue, bucket_ready_ns(fs->tat, s->now_ns));
	}
	if (c->limits & LIMIT_LINK)
		lease_correct(&s->link, less, s->now_ns);
	if (c->limits & LIMIT_CEIL)
		lease_correct(&c->ceil, less, s->now_ns);
	if (c->limits & LIMIT_RATE) {
		if (p->flags & PKT_BORROWED)
			c->stats->borrowed_bytes -= (uint64_t)less;
		else
			lease_correct(&c->rate, less, s->now_ns);
	}
	if (c->flags & CLASS_WAIT_CEIL)
		rearm(s, class_wheel_id(s, c), c->ceil.ready_ns);
	else if (c->flags & CLASS_WAIT_RATE)
		rearm(s, class_wheel_id(s, c), c->rate.ready_ns);
	s->link_wait_ns = 0; /* ask the link again */
	p->charged_bytes = bytes;
}

uint64_t shaper_next_ns(const struct shaper *s)
{
	uint64_t next = wheel_next_ns(&s->wheel);

	if (s->ring_mask[RING_BORROW] != 0) {
		uint64_t now = s->link_wait_ns > s->now_ns ? s->link_wait_ns : s->now_ns;
		if (now < next)
			next = now;
	}
	return next;
}
