/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A new configuration for a running shaper: shaper_configure() of shaper.h. Only what differs from
 * the one before is touched, in three passes over it: take every changed class out of the tree (to
 * below the link), give it its new numbers, put it in its new place. So no order of changes can
 * make a loop on the way, and a pass may stop anywhere and go on in the next round of the worker.
 * config.c prepares configurations on the control thread.
 */
#include "dataplane/shape/flows.h"

#define STEP_CLASSES 256u /* changed in one call: some 50 us */

/* ---- the queues of a class whose flows are to be treated differently ---- */

static uint32_t lists_first(const struct queue_lists *lists)
{
	for (unsigned kind = 0; kind < QUEUE_KINDS; kind++) {
		if (lists->kind[kind].fresh.head != 0)
			return lists->kind[kind].fresh.head;
		if (lists->kind[kind].old.head != 0)
			return lists->kind[kind].old.head;
	}
	return 0;
}

/* Take all queues of flows out of a class and its hosts, the hosts' queues end. */
static struct queue_list queues_gather(struct shaper *s, struct shape_class *c)
{
	struct queue_list all = {0, 0};
	uint32_t i, k;

	while ((i = lists_first(&c->flows)) != 0 || (i = c->waiting.head) != 0) {
		struct queue *q = &s->pool.queues[i];
		queue_list_out(s, i);
		if (q->flow != NULL) {
			queue_list_append(&s->pool, &all, i);
			continue;
		}
		while ((k = lists_first(&q->host_part.flows)) != 0) {
			queue_list_out(s, k);
			queue_list_append(&s->pool, &all, k);
		}
		host_queue_forget(s, i);
		queue_free(&s->pool, i);
	}
	return all;
}

/* Convert a flow's debt to the new rate. */
static void flow_rescale(struct flow_shape *fs, uint64_t old_inv, uint64_t new_inv, uint64_t now_ns)
{
	int64_t ahead = bucket_ahead(fs->tat, bucket_q16(now_ns));

	if (fs->stamp == FLOW_SHAPE_HOST || old_inv == 0 || ahead <= 0)
		return;
	fs->tat = bucket_q16(now_ns) +
		  (uint64_t)((unsigned __int128)(uint64_t)ahead * new_inv / old_inv);
}

static void queues_return(struct shaper *s, struct shape_class *to, struct queue_list all,
	uint64_t old_inv, uint64_t now_ns)
{
	while (all.head != 0) {
		uint32_t i = all.head;
		struct queue *q = &s->pool.queues[i];
		queue_list_remove(&s->pool, &all, i);
		flow_rescale(&q->flow->shape[s->way], old_inv, to->flow_rate.inv_q32, now_ns);
		queue_home(s, i, to, QUEUE_OLD);
	}
}

/* ---- the passes, for one class each ---- */

static void leave_tree(
	struct shaper *s, uint32_t id, const struct shaper_class_config *cfg, uint64_t now_ns)
{
	struct shape_class *c = &s->classes[id];
	uint32_t parent =
		cfg->in_use && cfg->parent < s->classes_max ? cfg->parent : s->classes_max;

	lease_return(&c->rate);
	lease_return(&c->ceil);
	policer_return(&c->police);
	class_detach(s, c);
	if (c->parent != parent)
		c->parent = s->classes_max;
}

/* What is spent by several workers is spent in their turns at the link: a burst smaller than the
 * link's would lose rate whenever a turn comes late. */
static struct bucket_rate class_rate(const struct shaper_class_config *cfg, uint64_t rate_bps)
{
	struct bucket_rate rate = bucket_rate_of(rate_bps, cfg->burst_bytes, cfg->burst_ns);

	if (cfg->burst_bytes == 0 && cfg->burst_ns == 0 &&
		rate.burst_q16 < bucket_q16(cfg->least_burst_ns))
		rate.burst_q16 = bucket_q16(cfg->least_burst_ns);
	return rate;
}

static void shared_configure(struct shaper *s, struct shape_class *c,
	const struct shaper_class_config *cfg, uint64_t now_ns)
{
	struct bucket_rate rate = class_rate(cfg, cfg->rate_bps);
	struct bucket_rate ceil = class_rate(cfg, cfg->held_ceil_bps);

	lease_shared_configure(c->rate.shared, rate.inv_q32, rate.burst_q16, now_ns);
	lease_shared_configure(c->ceil.shared, ceil.inv_q32, ceil.burst_q16, now_ns);
	policer_shared_configure(c->police.shared, &cfg->police, now_ns);
}

static void take_numbers(
	struct shaper *s, uint32_t id, const struct shaper_class_config *cfg, uint64_t now_ns)
{
	struct shape_class *c = &s->classes[id];
	uint64_t old_inv = c->flow_rate.inv_q32;

	class_detach(s, c);
	struct queue_list all = queues_gather(s, c);
	shared_configure(s, c, cfg, now_ns);
	c->flow_rate =
		bucket_rate_of(cfg->flow_rate_bps, cfg->flow_burst_bytes, cfg->flow_burst_ns);
	c->limits =
		(uint8_t)((cfg->flow_rate_bps ? LIMIT_FLOW : 0) |
			  (cfg->held_ceil_bps ? LIMIT_CEIL : 0) | (cfg->rate_bps ? LIMIT_RATE : 0) |
			  (cfg->link_limited ? LIMIT_LINK : 0) |
			  (cfg->police.mode != POLICE_NONE ? LIMIT_POLICE : 0));
	c->priority = cfg->priority < SHAPE_PRIORITIES ? cfg->priority : SHAPE_PRIORITIES - 1;
	c->quantum = cfg->quantum > 0 ? cfg->quantum : SHAPE_FLOW_QUANTUM;
	c->aqm = cfg->aqm;
	c->no_ecn = cfg->no_ecn;
	c->aqm_target_ns = cfg->target_ns;
	c->aqm_interval_ns = cfg->interval_ns;
	dualpi2_params_init(&c->pi2_params, (uint32_t)cfg->target_ns, 0, cfg->slowest_bps);
	c->per = s->shared->hosts != NULL ? cfg->per : (uint8_t)PER_FLOW;
	s->per_host |= c->per != PER_FLOW;
	c->per_bits4 = cfg->per_bits4;
	c->per_bits6 = cfg->per_bits6;
	c->queue_limit_bytes =
		cfg->queue_limit_bytes ? cfg->queue_limit_bytes : SHAPER_QUEUE_LIMIT_BYTES;
	c->queue_limit_ns = cfg->queue_limit_ns;
	memcpy(c->police_action, cfg->police.action, sizeof(c->police_action));
	c->in_use = id == 0 || cfg->in_use;
	c->is_group = cfg->is_group;
	queues_return(s, c->in_use && !c->is_group ? c : &s->classes[0], all, old_inv, now_ns);
}

static void enter_tree(
	struct shaper *s, uint32_t id, const struct shaper_class_config *cfg, uint64_t now_ns)
{
	struct shape_class *c = &s->classes[id];

	class_detach(s, c);
	c->parent = cfg->in_use && cfg->parent < s->classes_max ? cfg->parent : s->classes_max;
	c->limits &= (uint8_t)~LIMIT_GROUP;
	if (c->parent != s->classes_max)
		c->limits |= LIMIT_GROUP;
	if (c->flows.listed > 0 || c->ring_mask[RING_BORROW] != 0)
		class_activate(s, c);
}

typedef void change_fn(
	struct shaper *s, uint32_t id, const struct shaper_class_config *cfg, uint64_t now_ns);
static change_fn *const passes[] = {leave_tree, take_numbers, enter_tree};
#define PASSES (sizeof(passes) / sizeof(passes[0]))

/* ---- the whole ---- */

static void begin(struct shaper *s, const struct shaper_config *next, uint64_t now_ns)
{
	/* Where one change interrupts another, nobody knows what is in force. */
	s->change_all =
		s->changing || next->previous_serial == 0 || next->previous_serial != s->serial;
	s->changing = true;
	s->next_serial = next->serial;
	s->change_pass = 0;
	s->change_at = 0;
	if (next->class_count > s->class_count)
		s->class_count = next->class_count;
	s->overhead_bytes = next->overhead_bytes;
	s->frame_min_bytes = next->frame_min_bytes;
	lease_return(&s->link);
	lease_stop_waiting(&s->link, s->worker);
	s->link_polite = false;
	s->link_wait_ns = 0;
	/* A rate that rate tracking has set stays until the configured one changes. */
	if (s->serial == 0 || s->link_bps != next->link_bps ||
		s->link_burst_ns != next->link_burst_ns)
		lease_shared_configure(&s->shared->link, bucket_inverse(next->link_bps),
			bucket_burst_ns(next->link_burst_ns), now_ns);
	s->link_bps = next->link_bps;
	s->link_burst_ns = next->link_burst_ns;
}

bool shaper_configure(struct shaper *s, const struct shaper_config *next, uint64_t now_ns)
{
	static const struct shaper_class_config unused = {.parent = SHAPER_NO_PARENT};
	unsigned budget = STEP_CLASSES;

	if (s->serial == next->serial && !s->changing)
		return true;
	s->now_ns = now_ns;
	if (s->next_serial != next->serial || !s->changing)
		begin(s, next, now_ns);
	uint32_t count = s->change_all ? s->class_count : next->changed_count;
	for (; s->change_pass < PASSES; s->change_pass++, s->change_at = 0) {
		for (; s->change_at < count; s->change_at++) {
			uint32_t i = s->change_at;
			uint32_t id = s->change_all ? i : next->changed[i];
			if (budget-- == 0)
				return false;
			passes[s->change_pass](s, id,
				id < next->class_count ? &next->classes[id] : &unused, now_ns);
		}
	}
	s->class_count = next->class_count;
	s->serial = next->serial;
	s->changing = false;
	return true;
}
