/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `show classes` and `show shaper`: what the shapers of all workers say. There may be a hundred
 * thousand classes, so a page ends when it has taken SHOW_PAGE_NS, wherever it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/clock.h"
#include "dataplane/control/show.h"
#include "dataplane/measure/record.h"

/* The classes of a plan in the order of the tree. Made for the plan that was asked for last. */
static struct {
	uint32_t generation; /* 0: none */
	uint32_t count;
	uint32_t *index; /* of the policy's classes */
	uint8_t *depth;	 /* groups above it; by place in the tree */
} tree;

static const struct shaper_class_config *config_of(const struct plan *plan, uint32_t index)
{
	return &plan->shaper[0][WAY_UP]->classes[plan->class_id_of[index]];
}

/* Index of the group that a class is in; its own if it is in none. */
static uint32_t parent_of(const struct plan *plan, uint32_t index)
{
	uint32_t id = config_of(plan, index)->parent;

	return id == SHAPER_NO_PARENT ? index : (uint32_t)plan->class_index_of[id];
}

/* Depth first, siblings in the order of the policy. Lists of children by index + 1, 0 ends them;
 * first[count] is that of the link. */
static void walk(const struct plan *plan, uint32_t *first, uint32_t *next)
{
	uint32_t count = plan->policy->class_count, at;
	uint8_t depth = 0;

	tree.count = 0;

	for (uint32_t i = count; i-- > 0;) {
		uint32_t parent = parent_of(plan, i);
		uint32_t *list = &first[parent == i ? count : parent];
		next[i] = *list;
		*list = i + 1;
	}
	for (at = first[count]; at != 0;) {
		uint32_t i = at - 1;
		tree.depth[tree.count] = depth;
		tree.index[tree.count++] = i;
		at = first[i];
		if (at != 0)
			depth++;
		while (at == 0) {
			at = next[i];
			if (at != 0 || parent_of(plan, i) == i)
				break;
			i = parent_of(plan, i);
			depth--;
		}
	}
}

/* 0 or -ENOMEM. */
static int tree_make(const struct plan *plan)
{
	uint32_t count = plan->policy->class_count;

	if (tree.generation == plan->generation)
		return 0;
	uint32_t *next = calloc(count, sizeof(*next));
	uint32_t *first = calloc(count + 1u, sizeof(*first));
	free(tree.index);
	free(tree.depth);
	tree.generation = 0;
	tree.index = malloc(count * sizeof(*tree.index));
	tree.depth = malloc(count * sizeof(*tree.depth));
	if (next != NULL && first != NULL && tree.index != NULL && tree.depth != NULL) {
		walk(plan, first, next);
		tree.generation = plan->generation;
	}
	free(first);
	free(next);
	return tree.generation == plan->generation ? 0 : -ENOMEM;
}

/* The part of the tree that is `name` and what is in it. 0 or -ENOENT. */
static int tree_find(const struct plan *plan, const char *name, uint32_t *begin, uint32_t *end)
{
	*begin = 0;
	*end = tree.count;
	if (*name == '\0')
		return 0;
	int index = policy_find_class(plan->policy, name);
	if (index < 0)
		return -ENOENT;
	while (tree.index[*begin] != (uint32_t)index)
		(*begin)++;
	for (*end = *begin + 1; *end < tree.count; (*end)++)
		if (tree.depth[*end] <= tree.depth[*begin])
			break;
	return 0;
}

/* ---- one class ---- */

static void add_histogram(struct histogram *into, const struct histogram *from)
{
	if (__atomic_load_n(&from->count, __ATOMIC_RELAXED) != 0)
		histogram_merge(into, from);
}

static void fill_distributions(
	const struct daemon *d, uint32_t id, unsigned way, struct class_record *r)
{
	/* Too large for the stack. */
	static struct histogram queue, box, lan, wan;

	if (id >= d->workers[0]->measured)
		return;
	memset(&queue, 0, sizeof(queue));
	memset(&box, 0, sizeof(box));
	memset(&lan, 0, sizeof(lan));
	memset(&wan, 0, sizeof(wan));
	for (unsigned w = 0; w < d->worker_count; w++) {
		const struct measure_class *m = worker_measure(d->workers[w], id);
		add_histogram(&queue, &m->queue[way]);
		add_histogram(&box, &m->box[way]);
		add_histogram(&lan, &m->rtt_lan);
		add_histogram(&wan, &m->rtt_wan);
	}
	r->measured = 1;
	r->queue_delay = measure_dist(&queue);
	r->box_time = measure_dist(&box);
	r->rtt_lan = measure_dist(&lan);
	r->rtt_wan = measure_dist(&wan);
}

/* Counters of all workers. */
static void fill_counters(const struct daemon *d, unsigned b, unsigned way, uint32_t id,
	uint64_t now_ns, struct class_record *r)
{
	for (unsigned w = 0; w < d->worker_count; w++) {
		const struct shaper_class_stats *s =
			shaper_class_stats(d->workers[w]->shaper[b][way], id);
		const struct worker_class *k = &d->workers[w]->classes[b][way][id];
		uint64_t since_ns = __atomic_load_n(&s->backlog_since_ns, __ATOMIC_RELAXED);
		r->sent_packets += k->packets;
		r->sent_bytes += k->bytes;
		r->wire_bytes += k->wire_bytes;
		r->charged_bytes += s->bytes;
		r->borrowed_bytes += s->borrowed_bytes;
		r->backlog_packets += s->backlog_packets;
		r->backlog_bytes += s->backlog_bytes;
		r->backlog_flows += s->backlog_flows;
		if (since_ns != 0 && now_ns > since_ns + r->backlog_age_ns)
			r->backlog_age_ns = now_ns - since_ns;
		r->dropped_tail += s->dropped_tail;
		r->dropped_time += s->dropped_time;
		r->dropped_aqm += s->dropped_aqm;
		r->dropped_memory += s->dropped_memory;
		r->dropped_police += s->dropped_police;
		r->marked += s->marked;
		r->remarked += s->remarked;
		for (unsigned i = 0; i < 3; i++)
			r->colour[i] += s->colour[i];
	}
}

static void fill_config(
	const struct plan *plan, uint32_t at, unsigned b, unsigned way, struct class_record *r)
{
	uint32_t index = tree.index[at];
	const struct shaper_class_config *c =
		&plan->shaper[b][way]->classes[plan->class_id_of[index]];
	uint32_t parent = parent_of(plan, index);

	show_name(r->name, plan->policy->classes[index].name);
	if (parent != index)
		show_name(r->parent, plan->policy->classes[parent].name);
	show_name(r->bridge, plan->policy->bridges[b].name);
	r->way = way;
	r->is_group = c->is_group;
	r->depth = tree.depth[at];
	r->priority = c->priority;
	r->weight = c->weight;
	r->assured_bps = c->rate_bps;
	r->ceil_bps = c->ceil_bps;
	r->flow_rate_bps = c->flow_rate_bps;
	r->burst_bytes = c->burst_bytes;
	r->burst_ns = c->burst_ns;
	r->flow_burst_bytes = c->flow_burst_bytes;
	r->flow_burst_ns = c->flow_burst_ns;
	r->queue_limit_bytes = c->queue_limit_bytes;
	r->queue_limit_ns = c->queue_limit_ns;
	r->aqm = c->aqm;
	r->aqm_target_ns = c->aqm_target_ns;
	r->ecn = !c->no_ecn;
	r->per = c->per;
	r->per_bits4 = c->per_bits4;
	r->per_bits6 = c->per_bits6;
	r->police = c->police.mode;
	r->police_colour_aware = c->police.colour_aware;
	r->police_cir_bps = c->police.cir_bps;
	r->police_cbs_bytes = c->police.cbs_bytes;
	r->police_eir_bps = c->police.eir_bps;
	r->police_ebs_bytes = c->police.ebs_bytes;
	for (unsigned i = 0; i < 3; i++)
		r->police_action[i] = c->police.action[i];
	r->compress = plan->policy->classes[index].compress;
}

static bool is_busy(const struct control *c, uint32_t index, unsigned b, unsigned way)
{
	const struct daemon *d = c->daemon;
	uint32_t id = d->plan->class_id_of[index];

	if (rates_class_of(c->rates, b, way, id).bps > 0)
		return true;
	for (unsigned w = 0; w < d->worker_count; w++)
		if (shaper_class_stats(d->workers[w]->shaper[b][way], id)->backlog_packets > 0)
			return true;
	return false;
}

/* The class at a place of the tree. */
static void send_class(struct control *c, uint32_t at, unsigned b, unsigned way, uint64_t now_ns,
	struct channel_reply *reply)
{
	const struct daemon *d = c->daemon;
	uint32_t id = d->plan->class_id_of[tree.index[at]];
	struct rates_class rate = rates_class_of(c->rates, b, way, id);
	struct class_record r = {.rate_bps = rate.bps, .borrowed_bps = rate.borrowed_bps};

	fill_config(d->plan, at, b, way, &r);
	fill_counters(d, b, way, id, now_ns, &r);
	fill_distributions(d, id, way, &r);
	channel_send_classes(reply, &r);
}

/* ---- the handlers ---- */

static int show_names(
	const struct plan *plan, const struct classes_request *request, struct channel_reply *reply)
{
	size_t len = strlen(request->name);

	for (uint64_t at = request->from; at < plan->policy->class_count; at++) {
		const char *name = plan->policy->classes[at].name;
		struct class_record r = {0};

		if (strncmp(name, request->name, len) != 0)
			continue;
		if (channel_reply_room(reply) == 0) {
			channel_reply_next(reply, at, plan->policy->class_count);
			return 0;
		}
		show_name(r.name, name);
		channel_send_classes(reply, &r);
	}
	return 0;
}

int show_classes(void *context, const struct classes_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	const struct daemon *d = c->daemon;
	uint64_t start_ns = clock_now_ns();
	uint32_t begin, end;

	if (request->select == CLASSES_NAMES)
		return show_names(d->plan, request, reply);
	if (tree_make(d->plan) != 0) {
		channel_reply_error(reply, "no memory for the tree of classes");
		return -ENOMEM;
	}
	if (tree_find(d->plan, request->name, &begin, &end) != 0)
		return show_unknown_class(d->plan->policy, request->name, reply);

	uint64_t each = end - begin, total = each * d->bridge_count * WAYS;
	for (uint64_t at = request->from; at < total; at++) {
		uint32_t place = begin + (uint32_t)(at % each), index = tree.index[place];
		unsigned b = (unsigned)(at / each / WAYS), way = (unsigned)(at / each % WAYS);

		if (channel_reply_room(reply) == 0 ||
			(at > request->from && clock_now_ns() - start_ns > SHOW_PAGE_NS)) {
			channel_reply_next(reply, at, total);
			return 0;
		}
		if (request->select == CLASSES_BUSY &&
			(config_of(d->plan, index)->is_group || !is_busy(c, index, b, way)))
			continue;
		send_class(c, place, b, way, clock_now_ns(), reply);
	}
	return 0;
}

int show_shaper(void *context, const struct page_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	const struct daemon *d = c->daemon;
	const struct policy *policy = d->plan->policy;
	uint64_t total = (uint64_t)d->bridge_count * WAYS * d->worker_count;

	for (uint64_t at = request->from; at < total; at++) {
		unsigned w = (unsigned)(at % d->worker_count);
		unsigned way = (unsigned)(at / d->worker_count % WAYS);
		unsigned b = (unsigned)(at / d->worker_count / WAYS);
		struct shaper_figures f;

		if (channel_reply_room(reply) == 0) {
			channel_reply_next(reply, at, total);
			return 0;
		}
		shaper_figures(d->workers[w]->shaper[b][way], &f);
		struct shaper_record r = {.way = way,
			.worker = w,
			.link_bps = f.link_bps,
			.link_quantum_bytes = f.link_quantum_bytes,
			.memory_bytes = f.memory_bytes,
			.shared_memory_bytes = shaper_shared_memory_needed(
				policy->appliance.classes, policy->appliance.hosts),
			.classes = f.classes_used,
			.classes_max = f.classes_max,
			.groups = f.groups_used,
			.queues = f.queues_used,
			.queues_max = f.queues_max,
			.hosts = f.hosts_used,
			.hosts_max = f.hosts_max,
			.wheel_entries = f.wheel_entries,
			.wheel_inserts = f.wheel_inserts,
			.wheel_late_max_ns = f.wheel_late_max_ns,
			.link_leases = f.link_leases};
		show_name(r.bridge, policy->bridges[b].name);
		channel_send_shaper(reply, &r);
	}
	return 0;
}
