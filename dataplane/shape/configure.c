/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A new configuration for a running shaper: shaper_configure() of shaper.h. It takes every class
 * out of the schedule, changes rates and limits, moves what has lost its class, and puts everything
 * with packets back, so that each wait is worked out anew from the new rates.
 */
#include "dataplane/shape/shaper_private.h"

#define QUANTUM_MIN 400u /* of the class with the least weight; several rounds make a frame */
#define QUANTUM_MAX 262144u

/* Codel's target must leave room for a few packets at slow rates (RFC 8289, 4.2). */
static void class_codel(
	struct shape_class *c, const struct shaper_class_config *cfg, uint64_t link_bps)
{
	uint64_t inv = bucket_inverse(link_bps), other = bucket_inverse(cfg->ceil_bps);

	if (other > inv)
		inv = other;
	if (c->flow_rate.inv_q32 > inv)
		inv = c->flow_rate.inv_q32;
	c->codel_target_ns = bucket_cost(inv, 2 * BUCKET_FRAME_BYTES) >> 16;
	if (c->codel_target_ns < CODEL_TARGET_NS)
		c->codel_target_ns = CODEL_TARGET_NS;
	c->codel_interval_ns = 2 * c->codel_target_ns;
	if (c->codel_interval_ns < CODEL_INTERVAL_NS)
		c->codel_interval_ns = CODEL_INTERVAL_NS;
}

/* Weights as DRR quanta: in proportion, and as small as serves a frame in a few rounds. */
static void class_quanta(struct shaper *s, const struct shaper_config *next)
{
	uint64_t least = UINT64_MAX, most = 1;

	for (uint32_t i = 0; i < s->class_count; i++) {
		uint64_t weight = next->classes[i].weight ? next->classes[i].weight : 1;
		if (!s->classes[i].in_use)
			continue;
		least = weight < least ? weight : least;
		most = weight > most ? weight : most;
	}
	for (uint32_t i = 0; i < s->class_count; i++) {
		uint64_t weight = next->classes[i].weight ? next->classes[i].weight : 1;
		uint64_t quantum = most * QUANTUM_MIN / least <= QUANTUM_MAX
					   ? weight * QUANTUM_MIN / least
					   : weight * QUANTUM_MAX / most;
		s->classes[i].quantum = quantum < 64 ? 64 : (int32_t)quantum;
	}
}

static void class_configure(struct shaper *s, uint32_t id, const struct shaper_class_config *cfg,
	uint64_t link_bps, uint64_t now_ns)
{
	struct shape_class *c = &s->classes[id];
	struct bucket_rate rate = bucket_rate_of(cfg->rate_bps, cfg->burst_bytes);
	/* A ceiling that is not below the link is the link's. */
	bool has_ceil = cfg->ceil_bps != 0 && (link_bps == 0 || cfg->ceil_bps < link_bps);
	struct bucket_rate ceil = bucket_rate_of(has_ceil ? cfg->ceil_bps : 0, cfg->burst_bytes);

	lease_shared_configure(c->rate.shared, rate.inv_q32, rate.burst_q16, now_ns);
	lease_shared_configure(c->ceil.shared, ceil.inv_q32, ceil.burst_q16, now_ns);
	c->flow_rate = bucket_rate_of(cfg->flow_rate_bps, cfg->flow_burst_bytes);
	c->limits = (uint8_t)((cfg->flow_rate_bps ? LIMIT_FLOW : 0) | (has_ceil ? LIMIT_CEIL : 0) |
			      (cfg->rate_bps ? LIMIT_RATE : 0) | (link_bps ? LIMIT_LINK : 0));
	c->priority = cfg->priority < SHAPE_PRIORITIES ? cfg->priority : SHAPE_PRIORITIES - 1;
	c->aqm = cfg->aqm;
	c->queue_limit_bytes =
		cfg->queue_limit_bytes ? cfg->queue_limit_bytes : SHAPER_QUEUE_LIMIT_BYTES;
	c->queue_limit_ns = cfg->queue_limit_ns;
	c->in_use = id == 0 || cfg->in_use;
	class_codel(c, cfg, link_bps);
}

/* Convert a flow's debt to the new rate. */
static void flow_rescale(struct flow_shape *fs, uint64_t old_inv, uint64_t new_inv, uint64_t now_ns)
{
	int64_t ahead = bucket_ahead(fs->tat, bucket_q16(now_ns));

	if (old_inv == 0 || ahead <= 0)
		return;
	fs->tat = bucket_q16(now_ns) +
		  (uint64_t)((unsigned __int128)(uint64_t)ahead * new_inv / old_inv);
}

/* Move the listed queues of a class that is no longer in use, in the order of their lists. */
static void class_move_lists(struct shaper *s, struct shape_class *from, uint64_t now_ns)
{
	struct shape_class *to = &s->classes[0];

	while (from->listed > 0) {
		uint32_t i = from->fresh.head != 0 ? from->fresh.head : from->old.head;
		flow_rescale(&s->pool.queues[i].flow->shape[s->way], from->old_flow_inv_q32,
			to->flow_rate.inv_q32, now_ns);
		queue_move(s, i, to);
	}
}

/* Flows with a queue whose rate has changed: convert their debt, and let those that wait in the
 * wheel work their wait out again. Goes over the whole pool, so only when there are such flows. */
static void queues_rearm(struct shaper *s, uint64_t now_ns)
{
	uint32_t left = s->pool.used;

	for (uint32_t i = 1; i <= s->pool.count && left > 0; i++) {
		struct queue *q = &s->pool.queues[i];
		if (q->state == QUEUE_FREE)
			continue;
		left--;
		struct shape_class *from = &s->classes[q->class_id];
		struct shape_class *to = class_of(s, q->class_id);
		if (to->flow_rate.inv_q32 == from->old_flow_inv_q32 && to == from)
			continue;
		flow_rescale(&q->flow->shape[s->way], from->old_flow_inv_q32, to->flow_rate.inv_q32,
			now_ns);
		if (to != from) {
			queue_move(s, i, to);
		} else if (q->state == QUEUE_WAIT) {
			queue_list_out(s, i);
			queue_list_in(s, i, QUEUE_OLD);
		}
	}
}

void shaper_configure(struct shaper *s, const struct shaper_config *next, uint64_t now_ns)
{
	static const struct shaper_class_config unused;
	uint32_t count = next->class_count < s->classes_max ? next->class_count : s->classes_max;
	uint32_t most = count > s->class_count ? count : s->class_count;
	bool rearm = false;

	s->now_ns = now_ns;
	lease_return(&s->link);
	lease_stop_waiting(&s->link, s->worker);
	s->link_polite = false;
	s->link_wait_ns = 0;
	for (uint32_t i = 0; i < most; i++) {
		struct shape_class *c = &s->classes[i];
		lease_return(&c->rate);
		lease_return(&c->ceil);
		class_detach(s, c);
	}
	s->overhead_bytes = next->overhead_bytes;
	lease_shared_configure(&s->shared->link, bucket_inverse(next->link_bps),
		bucket_burst_ns(next->link_burst_ns), now_ns);
	s->class_count = count;
	for (uint32_t i = 0; i < most; i++) {
		struct shape_class *c = &s->classes[i];
		c->old_flow_inv_q32 = c->flow_rate.inv_q32;
		class_configure(
			s, i, i < count ? &next->classes[i] : &unused, next->link_bps, now_ns);
		if (c->stats->backlog_flows > 0)
			rearm |= !c->in_use || c->old_flow_inv_q32 != c->flow_rate.inv_q32;
	}
	class_quanta(s, next);
	for (uint32_t i = 0; i < most; i++) {
		struct shape_class *c = &s->classes[i];
		if (!c->in_use)
			class_move_lists(s, c, now_ns);
		else if (c->listed > 0)
			class_activate(s, c);
	}
	if (rearm)
		queues_rearm(s, now_ns);
}
