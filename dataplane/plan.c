/* SPDX-License-Identifier: BSD-3-Clause */
/* From a policy to a plan: what plan.h declares. Control thread, but for plan_find_peer(). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/plan.h"

/* Classes keep their ids by name, new ones get ids that no class has had: what is still counted or
 * waiting under the id of a class that is gone is not theirs. Only when all ids have been given out
 * free ones serve again. Id 0 is "default", always. */
static void assign_class_ids(struct plan *plan, const struct plan *previous)
{
	const struct policy *policy = plan->policy;
	bool placed[POLICY_CLASSES_MAX] = {false};

	for (uint32_t id = 0; id < POLICY_CLASSES_MAX; id++)
		plan->class_index_of[id] = -1;
	for (uint32_t id = 0; previous != NULL && id < POLICY_CLASSES_MAX; id++) {
		int32_t old = previous->class_index_of[id];
		if (old < 0)
			continue;
		int now = policy_find_class(policy, previous->policy->classes[old].name);
		if (now < 0)
			continue;
		plan->class_id_of[now] = id;
		plan->class_index_of[id] = now;
		placed[now] = true;
	}
	plan->class_ids_given = previous != NULL ? previous->class_ids_given : 0;
	for (uint32_t i = 0, unused = 0; i < policy->class_count; i++) {
		uint32_t id = plan->class_ids_given;
		if (placed[i])
			continue;
		if (id < POLICY_CLASSES_MAX) {
			plan->class_ids_given++;
		} else {
			while (plan->class_index_of[unused] >= 0)
				unused++;
			id = unused;
		}
		plan->class_id_of[i] = id;
		plan->class_index_of[id] = (int32_t)i;
	}
}

static struct shaper_config *build_shaper(const struct plan *plan, unsigned bridge, enum way way)
{
	const struct policy *policy = plan->policy;
	const struct policy_bridge *b = &policy->bridges[bridge];
	struct shaper_config *config =
		calloc(1, sizeof(*config) + POLICY_CLASSES_MAX * sizeof(config->classes[0]));

	if (config == NULL)
		return NULL;
	config->class_count = POLICY_CLASSES_MAX;
	config->overhead_bytes = b->overhead_bytes;
	config->link_burst_ns = b->burst_ns;
	if (!policy->bypass)
		config->link_bps = way == WAY_UP ? b->up_bps : b->down_bps;
	for (uint32_t i = 0; i < policy->class_count; i++) {
		const struct policy_class *from = &policy->classes[i];
		struct shaper_class_config *to = &config->classes[plan->class_id_of[i]];
		to->in_use = true;
		to->priority = from->priority;
		to->weight = from->weight;
		to->burst_bytes = from->burst_bytes;
		to->flow_burst_bytes = from->flow_burst_bytes;
		to->queue_limit_bytes = from->queue_limit_bytes;
		to->queue_limit_ns = from->queue_limit_ns;
		to->aqm = from->aqm;
		/* In bypass nothing is limited: what waits leaves at once and in order. */
		if (!policy->bypass) {
			to->rate_bps = from->rate_bps;
			to->ceil_bps = from->ceil_bps;
			to->flow_rate_bps = from->flow_rate_bps;
		}
	}
	return config;
}

struct plan *plan_build(struct policy *policy, const struct plan *previous, uint32_t generation,
	char *error, size_t error_len)
{
	struct plan *plan = calloc(1, sizeof(*plan));

	if (plan == NULL)
		goto no_memory;
	plan->generation = generation;
	plan->policy = policy;
	plan->bypass = policy->bypass;
	plan->compress = policy->bypass ? COMPRESS_OFF : policy->compress;
	assign_class_ids(plan, previous);
	for (uint32_t i = 0; i < policy->class_count; i++)
		plan->class_compress[plan->class_id_of[i]] = policy->classes[i].compress;
	for (unsigned b = 0; b < policy->bridge_count; b++) {
		for (unsigned way = 0; way < WAYS; way++) {
			plan->shaper[b][way] = build_shaper(plan, b, way);
			if (plan->shaper[b][way] == NULL)
				goto no_memory;
		}
	}
	plan->classifier = classifier_create(policy, plan->class_id_of, SOCKET_ID_ANY);
	if (plan->classifier == NULL)
		goto no_memory;
	return plan;

no_memory:
	snprintf(error, error_len, "no memory for the new policy: %u classes, %u rules",
		policy->class_count, policy->rule_count);
	if (plan != NULL) {
		plan->policy = NULL;
		plan_free(plan);
	}
	return NULL;
}

void plan_free(void *arg)
{
	struct plan *plan = arg;

	if (plan == NULL)
		return;
	for (unsigned b = 0; b < POLICY_BRIDGES_MAX; b++)
		for (unsigned way = 0; way < WAYS; way++)
			free(plan->shaper[b][way]);
	if (plan->classifier != NULL)
		classifier_destroy(plan->classifier);
	policy_free(plan->policy);
	free(plan);
}

static bool prefix_covers(const struct policy_prefix *prefix, const uint8_t address[16])
{
	unsigned bits = prefix->length + (prefix->address.family == 4 ? 96u : 0u);
	unsigned bytes = bits / 8;

	if (memcmp(prefix->address.bytes, address, bytes) != 0)
		return false;
	if (bits % 8 == 0)
		return true;
	uint8_t mask = (uint8_t)(0xff << (8 - bits % 8));
	return ((prefix->address.bytes[bytes] ^ address[bytes]) & mask) == 0;
}

int plan_find_peer(const struct plan *plan, unsigned bridge, const uint8_t address[16])
{
	const struct policy *policy = plan->policy;

	for (unsigned i = 0; i < policy->peer_count; i++) {
		const struct policy_peer *peer = &policy->peers[i];
		for (unsigned n = 0; peer->bridge == bridge && n < peer->network_count; n++)
			if (prefix_covers(&peer->networks[n], address))
				return (int)i;
	}
	return -1;
}
