/* SPDX-License-Identifier: BSD-3-Clause */
/* What the daemon takes of memory (budget.h). */
#include "dataplane/budget.h"

#include <stdio.h>

#include <rte_mbuf.h>

#include "dataplane/control/history_feed.h"
#include "dataplane/control/rates.h"
#include "dataplane/control/windows_feed.h"
#include "dataplane/measure/inflight.h"
#include "dataplane/worker_store.h"

#define BUFFERS_DEFAULT 65535u
#define BUFFERS_QUEUE_PAIR 2048u
#define MB 1000000 /* as people are told */
#define MIB (1024 * 1024)

uint32_t budget_buffers(const struct policy *policy)
{
	const struct policy_appliance *a = &policy->appliance;
	uint32_t pairs = 2u * policy->bridge_count * a->worker_count;

	return a->buffers != 0 ? a->buffers : BUFFERS_DEFAULT + pairs * BUFFERS_QUEUE_PAIR;
}

uint32_t budget_room(const struct policy *policy)
{
	return budget_buffers(policy) / 4 * 3 / policy->appliance.worker_count;
}

uint16_t budget_data_room(const struct policy_appliance *a)
{
	uint32_t frame = RTE_PKTMBUF_HEADROOM + a->mtu + LINK_HEADERS_MAX + 32;

	frame = RTE_ALIGN_CEIL(frame, 64);
	return (uint16_t)(frame < RTE_MBUF_DEFAULT_BUF_SIZE ? RTE_MBUF_DEFAULT_BUF_SIZE : frame);
}

uint64_t budget_pool_bytes(const struct policy *policy)
{
	const struct policy_appliance *a = &policy->appliance;
	uint64_t object = rte_mempool_calc_obj_size(
		sizeof(struct rte_mbuf) + sizeof(struct pkt) + budget_data_room(a), 0, NULL);

	/* Without hugepages the pool lets no buffer cross a border of pages. */
	if (!a->hugepages)
		object = RTE_ALIGN_CEIL(object, 4096);
	return budget_buffers(policy) * object;
}

uint32_t budget_measured_classes(const struct policy_appliance *a)
{
	return RTE_MIN(a->classes, a->distributions);
}

static uint64_t class_bytes(const struct policy *policy)
{
	const struct policy_appliance *a = &policy->appliance;

	return (budget_measured_classes(a) + 1u) *
		       (sizeof(struct measure_class) + sizeof(struct measure_datagrams) +
			       sizeof(struct measure_transactions) +
			       WAYS * sizeof(struct worker_cost)) +
	       (uint64_t)policy->bridge_count * a->classes *
		       (WAYS * sizeof(struct worker_class) + sizeof(struct worker_codecs));
}

uint32_t budget_inflight_runs(const struct policy *policy)
{
	return RTE_MAX(policy->appliance.flows / 4, 16384u);
}

uint64_t budget_control_bytes(const struct policy *policy)
{
	uint64_t plan = (uint64_t)policy->bridge_count * WAYS * sizeof(struct shaper_class_config) +
			sizeof(struct policy_class);

	return rates_memory_needed(policy) + connections_memory_needed(policy) +
	       feed_memory_needed(policy) + history_feed_memory_needed(policy) +
	       4 * policy->appliance.classes * plan;
}

static uint64_t peer_bytes(const struct policy *policy)
{
	return policy->peer_count *
	       (sizeof(struct worker_peer) + LINK_LANES * sizeof(struct link_seq) +
		       LINK_CLASS_SLOTS * sizeof(struct histogram));
}

/* The stores of one worker. */
static uint64_t stores_bytes(const struct policy *policy)
{
	uint64_t bytes = worker_dry_store_bytes(policy);

	for (unsigned i = 0; i < policy->peer_count; i++)
		bytes += worker_store_bytes(policy, i);
	return bytes;
}

uint64_t budget_eal_bytes(const struct policy *policy)
{
	const struct policy_appliance *a = &policy->appliance;
	uint64_t links = (uint64_t)policy->bridge_count * WAYS;
	uint64_t worker = flow_table_memory_needed(a->flows) + class_bytes(policy) +
			  inflight_bytes(budget_inflight_runs(policy)) + peer_bytes(policy) +
			  stores_bytes(policy) + codec_bytes() +
			  links * shaper_memory_needed(a->classes, a->queues, a->hosts) + 4 * MIB;

	return budget_pool_bytes(policy) + worker * a->worker_count +
	       links * shaper_shared_memory_needed(a->classes, a->hosts) + dictionaries_bytes() +
	       64 * MIB;
}

void budget_say(const struct daemon *d, const struct policy *policy)
{
	const struct policy_appliance *a = &policy->appliance;
	uint64_t shapers = 0;

	for (unsigned b = 0; b < d->bridge_count; b++) {
		for (unsigned way = 0; way < WAYS; way++) {
			shapers += shaper_shared_memory_needed(a->classes, a->hosts);
			for (unsigned w = 0; w < d->worker_count; w++) {
				struct shaper_figures figures;
				shaper_figures(d->workers[w]->shaper[b][way], &figures);
				shapers += figures.memory_bytes;
			}
		}
	}
	printf("memory: %u MB at most, nearly all of it taken now: %u MB packet buffers, %u MB "
	       "flow tables for %u "
	       "flows, %u MB shapers for %u classes and %u hosts, %u MB figures of classes, "
	       "%u MB segments in flight, %u MB windows, %u MB history of 24 h, %u MB stores of "
	       "repeated data\n",
		(unsigned)(d->memory_bytes / MB), (unsigned)(budget_pool_bytes(policy) / MB),
		(unsigned)(flow_table_memory_bytes(d->workers[0]->flows) * d->worker_count / MB),
		a->flows * d->worker_count, (unsigned)(shapers / MB), a->classes, a->hosts,
		(unsigned)(class_bytes(policy) * d->worker_count / MB),
		(unsigned)(inflight_bytes(budget_inflight_runs(policy)) * d->worker_count / MB),
		(unsigned)(feed_memory_needed(policy) / MB),
		(unsigned)(history_feed_memory_needed(policy) / MB),
		(unsigned)(stores_bytes(policy) * d->worker_count / MB));
}
