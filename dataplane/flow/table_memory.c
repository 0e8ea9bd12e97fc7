/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The flow table's memory, and what other threads may see of it; see table.h.
 */
#include <errno.h>
#include <stdio.h>

#include <rte_common.h>
#include <rte_errno.h>
#include <rte_malloc.h>

#include "dataplane/flow/table_private.h"

/* A power of two, and at most 80 % of all slots used: then a new key finds a free slot, or one that
 * is made free by moving a single entry, in practice always. */
static uint32_t buckets_for(uint32_t max_flows)
{
	uint64_t slots = (uint64_t)max_flows * 10 / 8 + 1;
	uint32_t buckets = rte_align32pow2((uint32_t)((slots + SLOTS - 1) / SLOTS));

	return RTE_MAX(buckets, 2u);
}

uint64_t flow_table_memory_needed(uint32_t max_flows)
{
	if (max_flows == 0 || max_flows > FLOW_TABLE_FLOWS_MAX)
		return 0;
	return sizeof(struct flow_table) +
	       (uint64_t)buckets_for(max_flows) * sizeof(struct bucket) +
	       ((uint64_t)max_flows + 1) * sizeof(struct flow) +
	       (uint64_t)max_flows * sizeof(uint32_t);
}

struct flow_table *flow_table_create(const char *name, uint32_t max_flows, int socket)
{
	struct flow_table *t;
	uint32_t buckets;

	if (max_flows == 0 || max_flows > FLOW_TABLE_FLOWS_MAX) {
		rte_errno = EINVAL;
		return NULL;
	}
	t = rte_zmalloc_socket("flow_table", sizeof(*t), 64, socket);
	if (t == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	buckets = buckets_for(max_flows);
	t->mask = buckets - 1;
	t->capacity = max_flows + 1;
	t->memory_bytes = flow_table_memory_needed(max_flows);
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->buckets =
		rte_zmalloc_socket("flow_buckets", buckets * sizeof(struct bucket), 64, socket);
	t->records =
		rte_zmalloc_socket("flow_records", t->capacity * sizeof(struct flow), 64, socket);
	t->free = rte_zmalloc_socket("flow_free", max_flows * sizeof(uint32_t), 64, socket);
	if (t->buckets == NULL || t->records == NULL || t->free == NULL) {
		flow_table_destroy(t);
		rte_errno = ENOMEM;
		return NULL;
	}
	for (uint32_t i = 0; i < max_flows; i++)
		t->free[i] = max_flows - i;
	t->free_count = max_flows;
	t->records[0].flags = FLOW_LIVE | FLOW_OTHER;
	flow_table_set_timeouts(t, &FLOW_TIMEOUTS_DEFAULT);
	return t;
}

void flow_table_destroy(struct flow_table *t)
{
	if (t == NULL)
		return;
	rte_free(t->buckets);
	rte_free(t->records);
	rte_free(t->free);
	rte_free(t);
}

uint64_t flow_table_memory_bytes(const struct flow_table *t)
{
	return t->memory_bytes;
}

uint32_t flow_table_buckets(const struct flow_table *t)
{
	return t->mask + 1;
}

const char *flow_table_name(const struct flow_table *t)
{
	return t->name;
}

void flow_table_stats(const struct flow_table *t, struct flow_table_stats *stats)
{
	stats->live = __atomic_load_n(&t->stats.live, __ATOMIC_RELAXED);
	stats->created = __atomic_load_n(&t->stats.created, __ATOMIC_RELAXED);
	stats->expired = __atomic_load_n(&t->stats.expired, __ATOMIC_RELAXED);
	stats->evicted = __atomic_load_n(&t->stats.evicted, __ATOMIC_RELAXED);
	stats->other_fallback = __atomic_load_n(&t->stats.other_fallback, __ATOMIC_RELAXED);
}

uint32_t flow_table_capacity(const struct flow_table *t)
{
	return t->capacity;
}

const struct flow *flow_table_record(const struct flow_table *t, uint32_t i)
{
	return &t->records[i];
}

bool flow_snapshot(const struct flow *flow, struct flow *copy)
{
	const uint64_t *from = (const uint64_t *)(const void *)flow;
	uint64_t *to = (uint64_t *)(void *)copy;
	uint32_t before = __atomic_load_n(&flow->generation, __ATOMIC_ACQUIRE);

	if (before & 1)
		return false;
	for (unsigned i = 0; i < sizeof(*flow) / sizeof(*from); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&flow->generation, __ATOMIC_RELAXED) == before &&
	       copy->flags & FLOW_LIVE;
}
