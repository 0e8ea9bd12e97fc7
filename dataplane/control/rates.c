/* SPDX-License-Identifier: BSD-3-Clause */
/* Rates from counters; rates.h says which. */
#include <stdlib.h>

#include "dataplane/control/rates.h"

#define SECOND_NS 1000000000ull
#define FLOW_ROUND_TICKS 1000 /* each flow is looked at about once a second */

struct class_rate {
	uint64_t bytes;
	uint64_t bps;
};

struct flow_rate {
	uint64_t bytes[WAYS];
	uint64_t bps[WAYS];
	uint64_t at_ns;
	uint32_t generation; /* of the record: another flow has another one */
};

struct rates {
	uint64_t classes_ns;
	struct class_rate classes[POLICY_BRIDGES_MAX][WAYS][POLICY_CLASSES_MAX];
	uint64_t link_bps[POLICY_BRIDGES_MAX][WAYS];
	uint32_t next_flow;
	uint32_t capacity;
	struct flow_rate *flows[POLICY_WORKERS_MAX];
};

struct rates *rates_create(const struct daemon *d)
{
	struct rates *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->capacity = flow_table_capacity(d->workers[0]->flows);
	for (unsigned w = 0; w < d->worker_count; w++) {
		r->flows[w] = calloc(r->capacity, sizeof(*r->flows[w]));
		if (r->flows[w] == NULL) {
			rates_destroy(r);
			return NULL;
		}
	}
	return r;
}

void rates_destroy(struct rates *r)
{
	if (r == NULL)
		return;
	for (unsigned w = 0; w < POLICY_WORKERS_MAX; w++)
		free(r->flows[w]);
	free(r);
}

static uint64_t bps_of(uint64_t bytes, uint64_t ns)
{
	return ns == 0 ? 0 : (uint64_t)((unsigned __int128)bytes * 8 * SECOND_NS / ns);
}

static void sample_classes(struct rates *r, const struct daemon *d, uint64_t now_ns)
{
	uint64_t ns = r->classes_ns == 0 ? 0 : now_ns - r->classes_ns;

	r->classes_ns = now_ns;
	for (unsigned b = 0; b < d->bridge_count; b++) {
		for (unsigned way = 0; way < WAYS; way++) {
			r->link_bps[b][way] = 0;
			for (uint32_t id = 0; id < POLICY_CLASSES_MAX; id++) {
				struct class_rate *c = &r->classes[b][way][id];
				uint64_t bytes = 0;
				for (unsigned w = 0; w < d->worker_count; w++)
					bytes += shaper_class_stats(
						d->workers[w]->shaper[b][way], id)
							 ->bytes;
				/* A refund for compression may come after the sample. */
				int64_t more = (int64_t)(bytes - c->bytes);
				c->bps = more < 0 ? 0 : bps_of((uint64_t)more, ns);
				c->bytes = bytes;
				r->link_bps[b][way] += c->bps;
			}
		}
	}
}

static void sample_flows(struct rates *r, const struct daemon *d, uint64_t now_ns)
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
		}
	}
	r->next_flow = end == r->capacity ? 0 : end;
}

void rates_tick(struct rates *r, const struct daemon *d, uint64_t now_ns)
{
	if (now_ns - r->classes_ns >= SECOND_NS)
		sample_classes(r, d, now_ns);
	sample_flows(r, d, now_ns);
}

uint64_t rates_class_bps(const struct rates *r, unsigned bridge, unsigned way, uint32_t class_id)
{
	return r->classes[bridge][way][class_id].bps;
}

uint64_t rates_link_bps(const struct rates *r, unsigned bridge, unsigned way)
{
	return r->link_bps[bridge][way];
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
