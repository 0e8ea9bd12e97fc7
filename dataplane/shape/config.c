/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Preparing a configuration on the control thread: shaper_config_prepare() of shaper.h. What can be
 * worked out once is not worked out by every worker: who is a group, quanta, AQM's times, and which
 * classes differ from the configuration before.
 */
#include "dataplane/shape/shaper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/shape/bucket.h"
#include "dataplane/shape/codel.h"
#include "dataplane/shape/dualpi2.h"
#include "dataplane/shape/pie.h"

#define QUANTUM_MIN 400u /* of the class with the least weight; several rounds make a frame */
#define QUANTUM_MAX 262144u

static int find_groups(struct shaper_config *config)
{
	for (uint32_t i = 0; i < config->class_count; i++)
		config->classes[i].is_group = false;
	for (uint32_t i = 0; i < config->class_count; i++) {
		const struct shaper_class_config *c = &config->classes[i];
		if (!c->in_use || c->parent == SHAPER_NO_PARENT)
			continue;
		if (c->parent >= config->class_count || !config->classes[c->parent].in_use)
			return -EINVAL;
		config->classes[c->parent].is_group = true;
	}
	if (config->classes[0].is_group)
		return -EINVAL; /* what is unknown must have a leaf to go to */
	for (uint32_t i = 0; i < config->class_count; i++) {
		unsigned depth = 0;
		for (uint32_t k = i; config->classes[k].in_use && k != SHAPER_NO_PARENT;
			k = config->classes[k].parent) {
			if (++depth > SHAPER_DEPTH_MAX)
				return -EINVAL;
			if (config->classes[k].parent == SHAPER_NO_PARENT)
				break;
		}
	}
	return 0;
}

/* Weights as quanta: in proportion among siblings, and as small as serves a frame in a few rounds.
 */
static int find_quanta(struct shaper_config *config)
{
	struct {
		uint32_t least, most;
	} *range = calloc((size_t)config->class_count + 1, sizeof(*range));

	if (range == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->class_count; i++) {
		const struct shaper_class_config *c = &config->classes[i];
		uint32_t weight = c->weight != 0 ? c->weight : 1;
		uint32_t p = c->parent == SHAPER_NO_PARENT ? config->class_count : c->parent;
		if (!c->in_use)
			continue;
		if (range[p].least == 0 || weight < range[p].least)
			range[p].least = weight;
		if (weight > range[p].most)
			range[p].most = weight;
	}
	for (uint32_t i = 0; i < config->class_count; i++) {
		struct shaper_class_config *c = &config->classes[i];
		uint64_t weight = c->weight != 0 ? c->weight : 1;
		uint32_t p = c->parent == SHAPER_NO_PARENT ? config->class_count : c->parent;
		if (!c->in_use)
			continue;
		uint64_t least = range[p].least, most = range[p].most;
		uint64_t quantum = most * QUANTUM_MIN / least <= QUANTUM_MAX
					   ? weight * QUANTUM_MIN / least
					   : weight * QUANTUM_MAX / most;
		c->quantum = quantum < 64 ? 64 : (int32_t)quantum;
	}
	free(range);
	return 0;
}

/* AQM's target must leave room for two frames at slow rates (RFC 8289, 4.2). */
static void find_aqm_times(const struct shaper_config *config, struct shaper_class_config *c)
{
	uint64_t slowest = config->link_bps;

	for (const struct shaper_class_config *up = c;; up = &config->classes[up->parent]) {
		if (up->ceil_bps != 0 && (slowest == 0 || up->ceil_bps < slowest))
			slowest = up->ceil_bps;
		if (up->parent == SHAPER_NO_PARENT)
			break;
	}
	c->slowest_bps = slowest;
	if (c->flow_rate_bps != 0 && (slowest == 0 || c->flow_rate_bps < slowest))
		slowest = c->flow_rate_bps;
	uint64_t frames = bucket_cost(bucket_inverse(slowest), 2 * BUCKET_FRAME_BYTES) >> 16;
	c->target_ns = c->aqm_target_ns;
	if (c->target_ns == 0)
		c->target_ns = c->aqm == AQM_PIE       ? PIE_TARGET_NS
			       : c->aqm == AQM_DUALPI2 ? DUALPI2_TARGET_NS
						       : CODEL_TARGET_NS;
	if (c->target_ns < frames)
		c->target_ns = frames;
	c->interval_ns = 2 * c->target_ns;
	if (c->interval_ns < CODEL_INTERVAL_NS)
		c->interval_ns = CODEL_INTERVAL_NS;
}

static bool differs(const struct shaper_config *a, const struct shaper_config *b, uint32_t id)
{
	if (id >= a->class_count || id >= b->class_count)
		return id < a->class_count ? a->classes[id].in_use : b->classes[id].in_use;
	return memcmp(&a->classes[id], &b->classes[id], sizeof(a->classes[id])) != 0;
}

static int find_changes(struct shaper_config *config, const struct shaper_config *previous)
{
	uint32_t most = config->class_count > previous->class_count ? config->class_count
								    : previous->class_count;
	uint32_t count = 0;

	for (uint32_t i = 0; i < most; i++)
		count += differs(config, previous, i);
	if (count == 0)
		return 0;
	config->changed = malloc(count * sizeof(*config->changed));
	if (config->changed == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < most; i++)
		if (differs(config, previous, i))
			config->changed[config->changed_count++] = i;
	return 0;
}

int shaper_config_prepare(struct shaper_config *config, const struct shaper_config *previous)
{
	static uint64_t serials; /* control thread */
	int rc = find_groups(config);

	if (rc != 0)
		return rc;
	rc = find_quanta(config);
	if (rc != 0)
		return rc;
	for (uint32_t i = 0; i < config->class_count; i++) {
		struct shaper_class_config *c = &config->classes[i];
		if (!c->in_use)
			continue;
		c->link_limited = config->link_bps != 0;
		c->least_burst_ns = config->link_burst_ns;
		c->held_ceil_bps =
			config->link_bps != 0 && c->ceil_bps >= config->link_bps ? 0 : c->ceil_bps;
		find_aqm_times(config, c);
	}
	shaper_config_release(config);
	config->serial = ++serials;
	config->previous_serial = previous != NULL ? previous->serial : 0;
	return previous != NULL ? find_changes(config, previous) : 0;
}

void shaper_config_release(struct shaper_config *config)
{
	free(config->changed);
	config->changed = NULL;
	config->changed_count = 0;
}
