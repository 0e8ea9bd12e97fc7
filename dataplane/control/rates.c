/* SPDX-License-Identifier: BSD-3-Clause */
/* Rates from counters; rates.h says which. */
#include <stdlib.h>

#include "dataplane/control/rates.h"

#define SECOND_NS 1000000000ull
#define FLOW_ROUND_TICKS 1000 /* each flow is looked at about once a second */
#define CLASS_READS 8192u     /* counters of classes that are read in one tick, about */
#define CLASSES_LIVE 4096u    /* up to so many classes are summed when asked */

struct class_rate {
	uint64_t bytes, borrowed_bytes;
	uint64_t at_ns;
	struct rates_class rate;
};

struct flow_rate {
	uint64_t bytes[WAYS];
	uint64_t bps[WAYS];
	uint64_t at_ns;
	uint32_t generation; /* of the record: another flow has another one */
};

/* Of a bridge and way. */
struct link_rate {
	struct class_rate *classes;	 /* by class id */
	struct rates_link sum, next_sum; /* of the last round, of the present one */
	uint64_t bps, next_bps;
};

struct rates {
	uint64_t round_ns;   /* when the present round of the classes began */
	uint32_t next_class; /* of this round; 0: it is over */
	uint32_t classes_step;
	struct link_rate link[POLICY_BRIDGES_MAX][WAYS];
	uint32_t next_flow;
	uint32_t capacity;
	struct flow_rate *flows[POLICY_WORKERS_MAX];
};

uint64_t rates_memory_needed(const struct policy *policy)
{
	const struct policy_appliance *a = &policy->appliance;

	return sizeof(struct rates) +
	       (uint64_t)a->worker_count * a->flows * sizeof(struct flow_rate) +
	       (uint64_t)policy->bridge_count * WAYS * a->classes * sizeof(struct class_rate);
}

struct rates *rates_create(const struct daemon *d)
{
	struct rates *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->capacity = flow_table_capacity(d->workers[0]->flows);
	r->classes_step = CLASS_READS / (d->worker_count * d->bridge_count * WAYS);
	for (unsigned w = 0; w < d->worker_count; w++) {
		r->flows[w] = calloc(r->capacity, sizeof(*r->flows[w]));
		if (r->flows[w] == NULL)
			goto no_memory;
	}
	for (unsigned b = 0; b < d->bridge_count; b++) {
		for (unsigned way = 0; way < WAYS; way++) {
			struct link_rate *l = &r->link[b][way];
			l->classes = calloc(d->plan->classes_max, sizeof(*l->classes));
			if (l->classes == NULL)
				goto no_memory;
		}
	}
	return r;

no_memory:
	rates_destroy(r);
	return NULL;
}

void rates_destroy(struct rates *r)
{
	if (r == NULL)
		return;
	for (unsigned w = 0; w < POLICY_WORKERS_MAX; w++)
		free(r->flows[w]);
	for (unsigned b = 0; b < POLICY_BRIDGES_MAX; b++)
		for (unsigned way = 0; way < WAYS; way++)
			free(r->link[b][way].classes);
	free(r);
}

/* Of what grew by `more` bytes; a refund for compression may come after the earlier sample. */
static uint64_t bps_of(uint64_t more, uint64_t ns)
{
	return ns == 0 || (int64_t)more < 0
		       ? 0
		       : (uint64_t)((unsigned __int128)more * 8 * SECOND_NS / ns);
}

static void add_class(struct rates_link *sum, const struct daemon *d, unsigned b, unsigned way,
	uint32_t id, struct class_rate *charged)
{
	for (unsigned w = 0; w < d->worker_count; w++) {
		const struct shaper_class_stats *s =
			shaper_class_stats(d->workers[w]->shaper[b][way], id);
		const struct worker_class *k = &d->workers[w]->classes[b][way][id];
		charged->bytes += s->bytes;
		charged->borrowed_bytes += s->borrowed_bytes;
		sum->backlog_packets += s->backlog_packets;
		sum->backlog_bytes += s->backlog_bytes;
		sum->packets += k->packets;
		sum->bytes += k->bytes;
		sum->wire_bytes += k->wire_bytes;
	}
}

static void sample_class(struct link_rate *l, const struct daemon *d, unsigned b, unsigned way,
	uint32_t id, uint64_t now_ns)
{
	struct class_rate *c = &l->classes[id], now = {.at_ns = now_ns};
	uint64_t ns = c->at_ns == 0 ? 0 : now_ns - c->at_ns;

	add_class(&l->next_sum, d, b, way, id, &now);
	now.rate.bps = bps_of(now.bytes - c->bytes, ns);
	now.rate.borrowed_bps = bps_of(now.borrowed_bytes - c->borrowed_bytes, ns);
	l->next_bps += now.rate.bps;
	*c = now;
}

/* The classes from next_class on, as many as one tick allows. */
static void sample_classes(struct rates *r, const struct daemon *d, uint64_t now_ns)
{
	uint32_t given = d->plan->class_ids_given, end = r->next_class + r->classes_step;
	bool last = end >= given;

	if (last)
		end = given;
	for (unsigned b = 0; b < d->bridge_count; b++) {
		for (unsigned way = 0; way < WAYS; way++) {
			struct link_rate *l = &r->link[b][way];
			for (uint32_t id = r->next_class; id < end; id++)
				sample_class(l, d, b, way, id, now_ns);
			if (!last)
				continue;
			l->sum = l->next_sum;
			l->bps = l->next_bps;
			l->next_sum = (struct rates_link){0};
			l->next_bps = 0;
		}
	}
	r->next_class = last ? 0 : end;
}

static void sample_flows(
	struct rates *r, const struct daemon *d, struct connections *connections, uint64_t now_ns)
{
	uint32_t end = r->next_flow + r->capacity / FLOW_ROUND_TICKS + 1;

	if (end > r->capacity)
		end = r->capacity;
	for (unsigned w = 0; w < d->worker_count; w++) {
		for (uint32_t i = r->next_flow; i < end; i++) {
			struct flow_rate *f = &r->flows[w][i];
			struct flow copy;
			if (!flow_snapshot(flow_table_record(d->workers[w]->flows, i), &copy))
				continue;
			bool same = f->generation == copy.generation && f->at_ns != 0;
			for (unsigned way = 0; way < WAYS; way++) {
				f->bps[way] = same ? bps_of(copy.bytes[way] - f->bytes[way],
							     now_ns - f->at_ns)
						   : 0;
				f->bytes[way] = copy.bytes[way];
			}
			f->generation = copy.generation;
			f->at_ns = now_ns;
			connections_look(connections, d->plan, w, i, &copy);
		}
	}
	r->next_flow = end == r->capacity ? 0 : end;
	if (r->next_flow == 0)
		connections_round(connections);
}

void rates_tick(
	struct rates *r, const struct daemon *d, struct connections *connections, uint64_t now_ns)
{
	if (r->next_class == 0 && now_ns - r->round_ns >= SECOND_NS)
		r->round_ns = now_ns;
	if (r->next_class != 0 || r->round_ns == now_ns)
		sample_classes(r, d, now_ns);
	sample_flows(r, d, connections, now_ns);
}

struct rates_class rates_class_of(
	const struct rates *r, unsigned bridge, unsigned way, uint32_t class_id)
{
	return r->link[bridge][way].classes[class_id].rate;
}

uint64_t rates_link_bps(const struct rates *r, unsigned bridge, unsigned way)
{
	return r->link[bridge][way].bps;
}

void rates_link_sum(const struct rates *r, const struct daemon *d, unsigned bridge, unsigned way,
	struct rates_link *sum)
{
	struct class_rate charged = {0};

	if (d->plan->class_ids_given > CLASSES_LIVE) {
		*sum = r->link[bridge][way].sum;
		return;
	}
	*sum = (struct rates_link){0};
	for (uint32_t id = 0; id < d->plan->class_ids_given; id++)
		add_class(sum, d, bridge, way, id, &charged);
}

uint64_t rates_flow_bps(const struct rates *r, unsigned worker, uint32_t i, const struct flow *copy,
	unsigned way, uint64_t now_ns)
{
	const struct flow_rate *f = &r->flows[worker][i];

	if (f->generation == copy->generation && f->bps[WAY_UP] + f->bps[WAY_DOWN] > 0)
		return f->bps[way];
	/* Not sampled twice yet: its mean so far. */
	uint64_t age_ns = (uint64_t)((uint32_t)(now_ns / 1000000) - copy->created_ms) * 1000000;
	return age_ns < 2 * SECOND_NS ? bps_of(copy->bytes[way], age_ns) : 0;
}
