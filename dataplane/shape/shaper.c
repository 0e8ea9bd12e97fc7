/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shaper's packet path: enqueue (police, straight through where every bucket allows it, else
 * into the flow's queue), dequeue, settle. tree.c and flows.c decide who is next, aqm.c what is
 * dropped or marked, configure.c takes new rates, memory.c holds what it all lives in.
 */
#include "dataplane/shape/flows.h"

#include "controlplane/channel/counters.h"
#include "dataplane/packet/edit.h"

#define REFRESH_SHIFT 20 /* one class about every millisecond: see bucket.h on old TATs */
#define TEND_CLASSES 2u	 /* classes looked at in a call for leases to give back */
#define WAKE_BURST 32u
#define WAKE_MAX 1024u /* queues and classes brought back in one call */
/* Turns passed on in one call by those who have used up their quantum. Many thousands need a few
 * rounds for a frame each: then the worker has other things to do meanwhile. */
#define TURNS_MAX 1024u

static inline uint32_t charged_bytes(
	const struct shaper *s, const struct pkt *p, uint32_t wire_bytes)
{
	if (unlikely(p->flags & PKT_PACKED))
		return wire_bytes > 0 ? wire_bytes : 1;

	uint32_t frame = wire_bytes < s->frame_min_bytes ? s->frame_min_bytes : wire_bytes;
	int32_t bytes = (int32_t)frame + s->overhead_bytes;

	return bytes > 0 ? (uint32_t)bytes : 1;
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

/* The class and all groups above it, from where on they lend. */
static void charge_tree(
	struct shaper *s, struct shape_class *c, uint32_t bytes, uint32_t want, uint32_t lender)
{
	for (uint32_t level = 0; c != link_of(s); c = parent_of(s, c), level++) {
		c->want = want;
		note_held(s, c);
		if (c->limits & LIMIT_CEIL)
			lease_spend(&c->ceil, bytes);
		if (c->limits & LIMIT_RATE && level >= lender)
			lease_spend(&c->rate, bytes);
	}
}

/* What packets of the class took together, the last one `want`. */
static inline void charge_turn(struct shaper *s, struct shape_class *c, uint32_t packets,
	uint32_t bytes, uint32_t want, uint32_t lender)
{
	c->stats->packets += packets;
	c->stats->bytes += bytes;
	if (c->limits == 0)
		return;
	c->want = want;
	if (c->limits & LIMIT_LINK) {
		lease_spend(&s->link, bytes);
		if (lender == PKT_LENDER_LINK && s->workers > 1)
			s->link_turn -= (int32_t)bytes;
	}
	if (lender != 0)
		c->stats->borrowed_bytes += bytes;
	if (c->limits & (LIMIT_CEIL | LIMIT_RATE | LIMIT_GROUP))
		charge_tree(s, c, bytes, want, lender);
}

/* May a packet pass the groups above its class without waiting? The nearest that is within its
 * assured rate becomes the lender. */
static bool groups_ready(
	struct shaper *s, struct shape_class *c, uint32_t bytes, uint64_t now_ns, uint32_t *lender)
{
	uint32_t level = 1;

	for (c = parent_of(s, c); c != link_of(s); c = parent_of(s, c), level++) {
		/* Others wait there already. */
		if (c->ring_mask[RING_BORROW] != 0)
			return false;
		if (c->limits & LIMIT_CEIL && !lease_ready(&c->ceil, bytes, now_ns))
			return false;
		if (*lender == PKT_LENDER_LINK && c->limits & LIMIT_RATE &&
			lease_ready(&c->rate, bytes, now_ns))
			*lender = level;
	}
	return true;
}

/* The bucket of the flow or its host. */
static bool own_ready(
	struct shaper *s, const struct shape_class *c, struct flow *f, uint64_t now_ns)
{
	if (c->per == PER_FLOW)
		return flow_ready(&f->shape[s->way], &c->flow_rate, now_ns);
	return !host_has_queue(s, c, f, now_ns) &&
	       host_ready(flow_host(s, c, f, now_ns), &c->flow_rate, now_ns);
}

/* Let a packet of a flow and class without backlog through, if every bucket allows it. */
static inline bool pass_directly(
	struct shaper *s, struct shape_class *c, struct pkt *p, uint64_t now_ns)
{
	uint32_t bytes = p->charged_bytes, lender = PKT_LENDER_LINK;

	if (c->limits != 0) {
		if (c->limits & LIMIT_FLOW && !own_ready(s, c, p->flow, now_ns))
			return false;
		if (c->limits & LIMIT_CEIL && !lease_ready(&c->ceil, bytes, now_ns))
			return false;
		if (c->limits & LIMIT_RATE && lease_ready(&c->rate, bytes, now_ns))
			lender = 0;
		if (c->limits & LIMIT_GROUP && !groups_ready(s, c, bytes, now_ns, &lender))
			return false;
		if (c->limits & LIMIT_LINK &&
			!link_ready(s, lender != PKT_LENDER_LINK, c->priority, bytes, now_ns))
			return false;
	}
	shaper_charge(s, c, p, p->flow, lender, now_ns);
	charge_turn(s, c, 1, bytes, bytes, lender);
	return true;
}

static void drop(struct shaper *s, struct rte_mbuf *m, uint64_t *counter, enum reason reason)
{
	(*counter)++;
	s->reasons[reason]++;
	rte_pktmbuf_free(m);
}

/* What the class's policer says of a packet; false: it was dropped. */
static bool admit_police(
	struct shaper *s, struct shape_class *c, struct rte_mbuf *m, struct pkt *p, uint64_t now_ns)
{
	enum colour colour = policer_colour(
		&c->police, p->charged_bytes, policer_colour_of_dscp(p->dscp), now_ns);
	uint8_t action = c->police_action[colour];

	c->stats->colour[colour]++;
	if (policer_holds(&c->police))
		note_held(s, c);
	if (action == POLICE_DROP) {
		drop(s, m, &c->stats->dropped_police, DROP_POLICED);
		return false;
	}
	if (action != POLICE_PASS && p->dscp != action && packet_set_dscp(m, action))
		c->stats->remarked++;
	return true;
}

/* May one more packet wait? Behind `queued` of its flow. */
static bool has_room(const struct shaper *s, const struct shape_class *c, uint32_t queued)
{
	const struct shaper_room *room = s->room;

	return room->waiting < room->most &&
	       c->stats->backlog_packets + queued < 4 * (uint64_t)(room->most - room->waiting);
}

/* A queue for a flow that has none; 0 without memory. It is in no list yet. */
static uint32_t queue_open(struct shaper *s, struct shape_class *c, struct pkt *p, uint64_t now_ns)
{
	uint32_t i = queue_alloc(&s->pool), host = 0;

	if (i != 0 && c->per != PER_FLOW && (host = host_queue_of(s, c, p->flow, now_ns)) == 0) {
		queue_free(&s->pool, i);
		return 0;
	}
	if (i == 0)
		return 0;
	struct queue *q = &s->pool.queues[i];
	q->flow = p->flow;
	q->class_id = class_id_of(s, c);
	q->host = host;
	q->kind = c->aqm == AQM_DUALPI2 && p->ecn & 1 ? QUEUE_L4S : QUEUE_CLASSIC;
	if (c->aqm != AQM_NONE)
		queue_clear_aqm(q);
	q->deficit = SHAPE_FLOW_QUANTUM;
	q->round_at = host != 0 ? s->pool.queues[host].host_part.flows.served : c->flows.served;
	p->flow->shape[s->way].queue = i;
	c->stats->backlog_flows++;
	return i;
}

/* May the packet go into the flow's queue, which is in this class from now on? Else it is dropped.
 */
static bool queue_admits(struct shaper *s, struct shape_class *c, uint32_t index,
	struct rte_mbuf *m, const struct pkt *p, uint64_t now_ns)
{
	const struct queue *q = &s->pool.queues[index];

	if (q->class_id != class_id_of(s, c))
		queue_move(s, index, c);
	/* An empty queue takes any packet: a limit below the frame size must not stop a flow. */
	if (q->packets == 0)
		return true;
	if (q->bytes + p->charged_bytes > c->queue_limit_bytes) {
		drop(s, m, &c->stats->dropped_tail, DROP_QUEUE_TAIL);
		return false;
	}
	if (c->queue_limit_ns != 0 && now_ns - pkt_of(q->head)->queued_ns > c->queue_limit_ns) {
		drop(s, m, &c->stats->dropped_time, DROP_QUEUE_TIME);
		return false;
	}
	return true;
}

static void enqueue_one(
	struct shaper *s, struct shape_class *c, struct rte_mbuf *m, struct pkt *p, uint64_t now_ns)
{
	struct shaper_class_stats *stats = c->stats;
	uint32_t i = p->flow->shape[s->way].queue;
	bool is_new = i == 0;

	if (!has_room(s, c, is_new ? 0 : s->pool.queues[i].packets) ||
		(is_new && (i = queue_open(s, c, p, now_ns)) == 0)) {
		drop(s, m, &stats->dropped_memory, DROP_QUEUE_NO_MEMORY);
		return;
	}
	struct queue *q = &s->pool.queues[i];
	if (!is_new && !queue_admits(s, c, i, m, p, now_ns))
		return;
	if (c->aqm == AQM_PIE && !aqm_admit(s, c, q, m, now_ns))
		return;
	bool was_empty = q->packets == 0;
	p->queued_ns = now_ns;
	queue_push(q, m, p);
	s->room->waiting++;
	if (stats->backlog_packets++ == 0)
		stats->backlog_since_ns = now_ns;
	stats->backlog_bytes += p->charged_bytes;
	if (is_new) {
		queue_list_in(s, c, i, QUEUE_NEW);
	} else if (was_empty) {
		queue_refresh(s, c, i);
		if (q->host != 0 && s->pool.queues[q->host].state == QUEUE_OLD)
			queue_refresh(s, c, q->host);
	}
}

/* The classes of the packets of a burst, and then their policers. */
static void prefetch_classes(struct shaper *s, struct rte_mbuf **pkts, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint32_t id = pkt_of(pkts[i])->flow->class_id;
		if (id < s->class_count)
			class_prefetch(s, id);
	}
	for (unsigned i = 0; i < n; i++) {
		struct shape_class *c = class_of(s, pkt_of(pkts[i])->flow->class_id);
		if (!(c->limits & LIMIT_POLICE))
			continue;
		rte_prefetch0(&c->police);
		rte_prefetch0(&s->shared->classes[class_id_of(s, c)].police);
	}
}

/* The buckets of the hosts of a burst. The flows are in the cache already. */
static void prefetch_hosts(struct shaper *s, struct rte_mbuf **pkts, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct flow_shape *fs = &pkt_of(pkts[i])->flow->shape[s->way];
		if (fs->stamp != FLOW_SHAPE_HOST)
			continue;
		rte_prefetch0(host_at(s->shared->hosts, fs->host.bucket));
		rte_prefetch0(&s->host_queue[fs->host.bucket]);
	}
}

unsigned shaper_enqueue(struct shaper *s, struct rte_mbuf **pkts, unsigned n, uint64_t now_ns,
	struct rte_mbuf **out)
{
	const struct shape_class *link = link_of(s);
	unsigned sent = 0;

	s->now_ns = now_ns;
	if (s->class_count > CLASSES_WARM)
		prefetch_classes(s, pkts, n);
	if (s->per_host)
		prefetch_hosts(s, pkts, n);
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];
		struct pkt *p = pkt_of(m);
		struct flow_shape *fs = &p->flow->shape[s->way];
		struct shape_class *c = class_of(s, p->flow->class_id);

		p->charged_bytes = (uint16_t)charged_bytes(s, p, p->wire_bytes);
		if (unlikely(c->limits & LIMIT_POLICE) && !admit_police(s, c, m, p, now_ns))
			continue;
		/* Who waits for the scheduler goes first; who waits in the wheel does not count. */
		if (likely((fs->queue | c->flows.listed | link->ring_mask[RING_BORROW]) == 0) &&
			pass_directly(s, c, p, now_ns)) {
			p->queued_ns = 0;
			out[sent++] = m;
		} else {
			enqueue_one(s, c, m, p, now_ns);
		}
	}
	return sent;
}

/* Bring back from the wheel what is due. */
static void wake(struct shaper *s, uint64_t now_ns)
{
	uint32_t ids[WAKE_BURST];
	unsigned n, total = 0;

	do {
		n = wheel_expire(&s->wheel, now_ns, ids, WAKE_BURST);
		for (unsigned i = 0; i < n; i++)
			if (ids[i] <= s->pool.count)
				rte_prefetch0(&s->pool.queues[ids[i]]);
		for (unsigned i = 0; i < n; i++) {
			uint64_t late_ns = now_ns - wheel_due_ns(&s->wheel, ids[i]);
			if (late_ns > s->wheel_late_max_ns)
				s->wheel_late_max_ns = late_ns;
			if (ids[i] <= s->pool.count)
				queue_wake(s, ids[i]);
			else
				class_wake(s, &s->classes[ids[i] - s->pool.count - 1]);
		}
		total += n;
	} while (n == WAKE_BURST && total < WAKE_MAX);
}

/* Is nobody of the class or group waiting who could use its leases? */
static inline bool is_idle(const struct shape_class *c)
{
	return c->flows.listed == 0 && c->ring_mask[RING_BORROW] == 0;
}

/*
 * Between packets: give leases back that nobody here has used for a while, stop standing in line
 * for a link that nobody here waits for, and keep TATs from growing old.
 */
static void tend(struct shaper *s, uint64_t now_ns)
{
	bool waiting = link_of(s)->ring_mask[RING_BORROW] != 0;

	if (s->link_polite && !waiting) {
		lease_stop_waiting(&s->link, s->worker);
		s->link_polite = false;
	}
	if (lease_is_old(&s->link, now_ns) && !waiting)
		lease_return(&s->link);
	if (!waiting) {
		share_idle(s);
		s->link_turn = 0;
	}
	for (unsigned k = 0; k < TEND_CLASSES && s->held_head != 0; k++) {
		struct shape_class *c = &s->classes[s->held_head - 1];
		s->held_head = c->next_held;
		if (s->held_head == 0)
			s->held_tail = 0;
		c->flags &= (uint8_t)~CLASS_HELD;
		if (is_idle(c) && lease_is_old(&c->rate, now_ns))
			lease_return(&c->rate);
		if (is_idle(c) && lease_is_old(&c->ceil, now_ns))
			lease_return(&c->ceil);
		policer_tend(&c->police, now_ns);
		if (!is_idle(c) || c->rate.credit > 0 || c->ceil.credit > 0 ||
			policer_holds(&c->police))
			note_held(s, c);
	}
	if (s->held_head != 0)
		rte_prefetch0(&s->classes[s->held_head - 1].rate); /* for the next call */
	if ((now_ns ^ s->now_ns) >> REFRESH_SHIFT) {
		if (++s->refresh_class >= s->class_count)
			s->refresh_class = 0;
		uint32_t i = s->refresh_class;
		lease_shared_refresh(&s->shared->link, now_ns);
		lease_shared_refresh(&s->shared->classes[i].rate, now_ns);
		lease_shared_refresh(&s->shared->classes[i].ceil, now_ns);
		policer_refresh(&s->shared->classes[i].police, now_ns);
	}
}

unsigned shaper_dequeue(struct shaper *s, struct rte_mbuf **out, unsigned max, uint64_t now_ns)
{
	struct turn turn;
	unsigned sent = 0;
	uint32_t lender;

	wake(s, now_ns);
	tend(s, now_ns);
	s->now_ns = now_ns;
	s->link_wait_ns = 0;
	s->turns_left = TURNS_MAX;
	while (sent < max && s->turns_left > 0) {
		struct shape_class *c = tree_next(s, now_ns, &lender);
		if (c == NULL)
			break;
		if (class_serve(s, c, lender, tree_allowance(s, c, lender), out + sent, max - sent,
			    &turn) == 0)
			continue;
		charge_turn(s, c, turn.packets, turn.bytes, turn.last, lender);
		tree_sent(s, c, lender, turn.bytes);
		sent += turn.packets;
	}
	return sent;
}

/* What waits in the wheel for a bucket that has just been corrected waits for another time now. */
static void rearm(struct shaper *s, uint32_t id, uint64_t due_ns)
{
	wheel_remove(&s->wheel, id);
	wheel_add(s, id, due_ns);
}

static void settle_flow(
	struct shaper *s, const struct shape_class *c, const struct pkt *p, uint32_t bytes)
{
	struct flow_shape *fs = &p->flow->shape[s->way];
	uint64_t inv = c->flow_rate.inv_q32;

	if (c->per == PER_FLOW) {
		/* As if it had been charged with the other size: no rounding is left over. */
		fs->tat += bucket_cost(inv, bytes) - bucket_cost(inv, p->charged_bytes);
		if (fs->queue != 0 && s->pool.queues[fs->queue].state == QUEUE_WAIT)
			rearm(s, fs->queue, bucket_ready_ns(fs->tat, s->now_ns));
		return;
	}
	struct host *own = flow_host(s, c, p->flow, s->now_ns);
	host_correct(own, inv, (int64_t)p->charged_bytes - bytes);
	uint32_t host = fs->queue != 0 ? s->pool.queues[fs->queue].host : 0;
	/* What is reserved stays where it is. */
	if (host != 0 && s->pool.queues[host].state == QUEUE_WAIT &&
		s->pool.queues[host].host_part.credit == 0)
		rearm(s, host, host_ready_ns(own, s->now_ns));
}

void shaper_settle(struct shaper *s, const struct rte_mbuf *m, uint32_t wire_bytes)
{
	struct pkt *p = pkt_of(m);
	struct shape_class *c = class_of(s, p->class_id);
	uint32_t bytes = wire_bytes == 0 ? 0 : charged_bytes(s, p, wire_bytes), level = 0;
	int64_t less = (int64_t)p->charged_bytes - bytes;

	if (less == 0)
		return;
	c->stats->bytes -= (uint64_t)less;
	if (c->limits != 0 && p->lender != 0)
		c->stats->borrowed_bytes -= (uint64_t)less;
	if (c->limits & LIMIT_FLOW)
		settle_flow(s, c, p, bytes);
	if (c->limits & LIMIT_LINK)
		lease_correct(&s->link, less, s->now_ns);
	for (; c != link_of(s); c = parent_of(s, c), level++) {
		if (c->limits & LIMIT_CEIL)
			lease_correct(&c->ceil, less, s->now_ns);
		if (c->limits & LIMIT_RATE && level >= p->lender)
			lease_correct(&c->rate, less, s->now_ns);
		if (c->flags & CLASS_WAIT_CEIL)
			rearm(s, class_wheel_id(s, c), c->ceil.ready_ns);
		else if (c->flags & CLASS_WAIT_RATE)
			rearm(s, class_wheel_id(s, c), c->rate.ready_ns);
	}
	s->link_wait_ns = 0; /* ask the link again */
	p->charged_bytes = (uint16_t)bytes;
}

uint64_t shaper_next_ns(const struct shaper *s)
{
	uint64_t next = wheel_next_ns(&s->wheel);

	/* Amid a change, queues wait in classes that are out of the tree. */
	if (unlikely(s->changing) && s->pool.used > 0)
		return s->now_ns;
	if (link_of(s)->ring_mask[RING_BORROW] != 0) {
		uint64_t now = s->link_wait_ns > s->now_ns ? s->link_wait_ns : s->now_ns;
		if (now < next)
			next = now;
	}
	return next;
}
