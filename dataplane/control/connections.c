/* SPDX-License-Identifier: BSD-3-Clause */
/* Open connections. connections.h is the manual. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/control/connections.h"
#include "dataplane/measure/tcp.h"

/* What the rules say of a flow that its worker has not asked them about since they changed. */
struct asked {
	uint32_t generation; /* of the record */
	uint32_t policy_generation;
	uint32_t class_id;
};

struct connections {
	uint32_t classes, capacity;
	uint64_t all, next_all;
	uint64_t *open, *next; /* by class id: of the last round, of the present one */
	struct asked *asked[POLICY_WORKERS_MAX]; /* by record */
};

uint64_t connections_memory_needed(const struct policy *policy)
{
	const struct policy_appliance *a = &policy->appliance;

	return sizeof(struct connections) + 2 * (uint64_t)a->classes * sizeof(uint64_t) +
	       (uint64_t)a->worker_count * a->flows * sizeof(struct asked);
}

struct connections *connections_create(const struct daemon *d)
{
	struct connections *c = calloc(1, sizeof(*c));
	bool complete;

	if (c == NULL)
		return NULL;
	c->classes = d->plan->classes_max;
	c->capacity = flow_table_capacity(d->workers[0]->flows);
	c->open = calloc(c->classes, sizeof(*c->open));
	c->next = calloc(c->classes, sizeof(*c->next));
	complete = c->open != NULL && c->next != NULL;
	for (unsigned w = 0; w < d->worker_count; w++) {
		c->asked[w] = calloc(c->capacity, sizeof(*c->asked[w]));
		complete = complete && c->asked[w] != NULL;
	}
	if (complete)
		return c;
	connections_destroy(c);
	return NULL;
}

void connections_destroy(struct connections *c)
{
	if (c == NULL)
		return;
	for (unsigned w = 0; w < POLICY_WORKERS_MAX; w++)
		free(c->asked[w]);
	free(c->open);
	free(c->next);
	free(c);
}

/* The class of a flow under this plan. */
static uint32_t class_of(struct asked *asked, const struct plan *plan, const struct flow *f)
{
	int rule;

	if (f->policy_generation == plan->flows_generation && !(f->flags & FLOW_NEW))
		return f->class_id;
	if (asked->generation == f->generation &&
		asked->policy_generation == plan->flows_generation)
		return asked->class_id;
	rule = classify_explain(plan->classifier, &f->key, f->initiator,
		f->initiator == f->lan_dir ? DIRECTION_UP : DIRECTION_DOWN, f->key.vlan & 0xfff,
		f->dscp);
	*asked = (struct asked){.generation = f->generation,
		.policy_generation = plan->flows_generation,
		.class_id =
			plan->class_id_of[rule < 0 ? 0 : plan->policy->rules[rule].class_index]};
	return asked->class_id;
}

void connections_look(struct connections *c, const struct plan *plan, unsigned worker, uint32_t i,
	const struct flow *copy)
{
	uint32_t id;

	if (copy->key.proto != IPPROTO_TCP || copy->flags & (FLOW_OTHER | FLOW_CLOSING) ||
		!measure_is_open(&copy->measure))
		return;
	id = class_of(&c->asked[worker][i], plan, copy);
	c->next_all++;
	if (id < c->classes)
		c->next[id]++;
}

void connections_round(struct connections *c)
{
	uint64_t *over = c->open;

	c->open = c->next;
	c->next = over;
	memset(c->next, 0, c->classes * sizeof(*c->next));
	c->all = c->next_all;
	c->next_all = 0;
}

uint64_t connections_open(const struct connections *c, uint32_t class_id)
{
	return class_id < c->classes ? c->open[class_id] : 0;
}

uint64_t connections_open_all(const struct connections *c)
{
	return c->all;
}
