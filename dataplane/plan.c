/* SPDX-License-Identifier: BSD-3-Clause */
/* From a policy to a plan: what plan.h declares. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/plan.h"

#define NO_CLASS UINT32_MAX

/* Classes keep their ids by name, new ones get ids that no class has had: what is still counted or
 * waiting under the id of a class that is gone is not theirs. Only when all ids have been given out
 * free ones serve again. Id 0 is "default", always. */
static void assign_class_ids(struct plan *plan, const struct plan *previous)
{
	const struct policy *policy = plan->policy;
	uint32_t unused = 0;

	for (uint32_t i = 0; i < policy->class_count; i++)
		plan->class_id_of[i] = NO_CLASS;
	for (uint32_t id = 0; id < plan->classes_max; id++)
		plan->class_index_of[id] = -1;
	for (uint32_t id = 0; previous != NULL && id < previous->classes_max; id++) {
		int32_t old = previous->class_index_of[id];
		if (old < 0)
			continue;
		int now = policy_find_class(policy, previous->policy->classes[old].name);
		if (now < 0)
			continue;
		plan->class_id_of[now] = id;
		plan->class_index_of[id] = now;
	}
	plan->class_ids_given = previous != NULL ? previous->class_ids_given : 0;
	for (uint32_t i = 0; i < policy->class_count; i++) {
		uint32_t id = plan->class_ids_given;
		if (plan->class_id_of[i] != NO_CLASS)
			continue;
		if (id < plan->classes_max) {
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

static void build_police(const struct policy_class *from, struct policer_config *to)
{
	struct policy_policer p = policy_policer(from);

	*to = (struct policer_config){.mode = (uint8_t)p.mode,
		.colour_aware = p.colour_aware,
		.action = {p.action[0], p.action[1], p.action[2]},
		.cir_bps = p.cir_bps,
		.cbs_bytes = p.cbs_bytes,
		.eir_bps = p.eir_bps,
		.ebs_bytes = p.ebs_bytes};
}

static void build_class(const struct plan *plan, const struct policy_class *from,
	const struct policy_class_rates *rates, struct shaper_class_config *to)
{
	to->in_use = true;
	to->parent =
		from->parent_index < 0 ? SHAPER_NO_PARENT : plan->class_id_of[from->parent_index];
	to->priority = from->priority;
	to->weight = from->weight;
	to->burst_bytes = from->burst.bytes;
	to->burst_ns = from->burst.ns;
	to->flow_burst_bytes = from->flow_burst.bytes;
	to->flow_burst_ns = from->flow_burst.ns;
	to->queue_limit_bytes = from->queue_limit_bytes;
	to->queue_limit_ns = from->queue_limit_ns;
	to->aqm = (uint8_t)from->aqm;
	to->aqm_target_ns = from->aqm_target_ns;
	to->no_ecn = !from->ecn;
	to->per = (uint8_t)from->per;
	to->per_bits4 = from->per_bits4;
	to->per_bits6 = from->per_bits6;
	/* In bypass nothing is limited: what waits leaves at once and in order. */
	if (plan->bypass)
		return;
	to->rate_bps = rates->rate_bps;
	to->ceil_bps = rates->ceil_bps;
	to->flow_rate_bps = from->flow_rate_bps;
	if (from->police.mode != POLICE_NONE)
		build_police(from, &to->police);
}

static struct shaper_config *build_shaper(
	const struct plan *plan, const struct plan *previous, unsigned bridge, enum way way)
{
	const struct policy *policy = plan->policy;
	const struct policy_bridge *b = &policy->bridges[bridge];
	struct policy_class_rates *rates = calloc(policy->class_count, sizeof(*rates));
	struct shaper_config *config =
		calloc(1, sizeof(*config) + plan->classes_max * sizeof(config->classes[0]));

	if (config == NULL || rates == NULL ||
		policy_resolve_rates(policy, bridge, way == WAY_UP, rates) != 0)
		goto fail;
	config->class_count = plan->classes_max;
	config->overhead_bytes = b->overhead_bytes;
	config->frame_min_bytes = b->frame_min_bytes;
	config->link_burst_ns = b->burst_ns;
	if (!policy->bypass)
		config->link_bps = way == WAY_UP ? b->up_bps : b->down_bps;
	for (uint32_t i = 0; i < policy->class_count; i++)
		build_class(plan, &policy->classes[i], &rates[i],
			&config->classes[plan->class_id_of[i]]);
	if (shaper_config_prepare(
		    config, previous == NULL ? NULL : previous->shaper[bridge][way]) != 0)
		goto fail;
	free(rates);
	return config;

fail:
	free(rates);
	free(config);
	return NULL;
}

/* With thousands of rules a classifier takes long to make: while the rules stay, so does it. */
static struct classifier *make_classifier(struct plan *plan, const struct plan *previous)
{
	if (previous == NULL || !classifier_is_same(previous->policy, previous->class_id_of,
					plan->policy, plan->class_id_of))
		return classifier_create(plan->policy, plan->class_id_of, SOCKET_ID_ANY);
	/* Flows need not be looked at again either, if their peers are the same as well. */
	if (memcmp(previous->policy->peers, plan->policy->peers, sizeof(plan->policy->peers)) == 0)
		plan->flows_generation = previous->flows_generation;
	return classifier_share(previous->classifier);
}

static struct compress_class codec_of(const struct policy_class *c)
{
	return (struct compress_class){
		.codec = c->codec == POLICY_CODEC_LZ4	 ? CODEC_LZ4
			 : c->codec == POLICY_CODEC_ZSTD ? CODEC_ZSTD
							 : CODEC_RAW,
		.acceleration = c->acceleration,
		.level = c->zstd_level,
		.dry_run = c->dry_run,
		.history = c->history,
		.store_all = c->store_all && !c->is_private,
		.raw = c->codec == POLICY_CODEC_RAW,
	};
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
	plan->classes_max = policy->appliance.classes;
	plan->class_id_of = calloc(policy->class_count, sizeof(*plan->class_id_of));
	plan->class_index_of = calloc(plan->classes_max, sizeof(*plan->class_index_of));
	plan->class_compress = calloc(plan->classes_max, sizeof(*plan->class_compress));
	plan->class_private = calloc(plan->classes_max, sizeof(*plan->class_private));
	plan->class_pack = calloc(plan->classes_max, sizeof(*plan->class_pack));
	plan->class_pack_wait_ns = calloc(plan->classes_max, sizeof(*plan->class_pack_wait_ns));
	plan->class_codec = calloc(plan->classes_max, sizeof(*plan->class_codec));
	if (plan->class_id_of == NULL || plan->class_index_of == NULL ||
		plan->class_compress == NULL || plan->class_private == NULL ||
		plan->class_pack == NULL || plan->class_pack_wait_ns == NULL ||
		plan->class_codec == NULL)
		goto no_memory;
	assign_class_ids(plan, previous);
	plan->dry_runs = plan->compress == COMPRESS_DRY_RUN;
	for (uint32_t i = 0; i < policy->class_count; i++) {
		plan->class_compress[plan->class_id_of[i]] = policy->classes[i].compress;
		plan->class_private[plan->class_id_of[i]] = policy->classes[i].is_private;
		plan->class_pack[plan->class_id_of[i]] =
			policy->classes[i].pack && !policy->classes[i].is_private &&
			policy->classes[i].codec != POLICY_CODEC_RAW;
		if (plan->class_pack[plan->class_id_of[i]] && policy->classes[i].compress) {
			plan->class_pack_wait_ns[plan->class_id_of[i]] =
				policy->classes[i].pack_wait_ns;
			plan->pack_waits |= policy->classes[i].pack_wait_ns > 0;
		}
		plan->class_codec[plan->class_id_of[i]] = codec_of(&policy->classes[i]);
		plan->dry_runs |= policy->classes[i].compress && policy->classes[i].dry_run;
		plan->store_all |= policy->classes[i].compress && policy->classes[i].store_all;
	}
	for (unsigned b = 0; b < policy->bridge_count; b++) {
		for (unsigned way = 0; way < WAYS; way++) {
			plan->shaper[b][way] = build_shaper(plan, previous, b, way);
			if (plan->shaper[b][way] == NULL)
				goto no_memory;
		}
	}
	plan->flows_generation = generation;
	plan->classifier = make_classifier(plan, previous);
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
	for (unsigned b = 0; b < POLICY_BRIDGES_MAX; b++) {
		for (unsigned way = 0; way < WAYS; way++) {
			if (plan->shaper[b][way] != NULL)
				shaper_config_release(plan->shaper[b][way]);
			free(plan->shaper[b][way]);
		}
	}
	if (plan->classifier != NULL)
		classifier_destroy(plan->classifier);
	policy_free(plan->policy);
	free(plan->class_id_of);
	free(plan->class_index_of);
	free(plan->class_compress);
	free(plan->class_private);
	free(plan->class_pack);
	free(plan->class_pack_wait_ns);
	free(plan->class_codec);
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
