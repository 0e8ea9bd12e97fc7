/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory that shapers live in, all of it taken at start, and the figures about it. The rest of
 * shaper.h is in shaper.c and configure.c.
 */
#include "dataplane/shape/shaper_private.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include <rte_errno.h>
#include <rte_malloc.h>

struct shaper_shared *shaper_shared_create(
	uint32_t classes_max, uint32_t hosts, unsigned workers, int socket)
{
	static const struct policer_config none = {.mode = POLICE_NONE};
	struct shaper_shared *shared;
	uint64_t seed;

	if (classes_max == 0 || workers == 0 || workers > SHAPER_WORKERS_MAX)
		return NULL;
	shared = rte_zmalloc_socket("shaper_shared",
		sizeof(*shared) + ((size_t)classes_max + 1) * sizeof(shared->classes[0]), 64,
		socket);
	if (shared == NULL)
		return NULL;
	shared->classes_max = classes_max;
	shared->workers = workers;
	lease_shared_init(&shared->link, workers);
	for (uint32_t i = 0; i < classes_max; i++) {
		lease_shared_init(&shared->classes[i].rate, workers);
		lease_shared_init(&shared->classes[i].ceil, workers);
		policer_shared_init(&shared->classes[i].police, &none, workers, 0);
	}
	if (hosts == 0)
		return shared;
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed) ||
		(shared->hosts = hosts_create(hosts, seed, socket)) == NULL) {
		rte_free(shared);
		return NULL;
	}
	return shared;
}

void shaper_shared_destroy(struct shaper_shared *shared)
{
	if (shared == NULL)
		return;
	hosts_destroy(shared->hosts);
	rte_free(shared);
}

uint64_t shaper_shared_memory_needed(uint32_t classes_max, uint32_t hosts)
{
	struct shaper_shared *shared;

	return sizeof(*shared) + ((uint64_t)classes_max + 1) * sizeof(shared->classes[0]) +
	       (hosts != 0 ? hosts_memory_needed(hosts) : 0);
}

void shaper_shared_set_link(struct shaper_shared *shared, uint64_t link_bps, uint64_t now_ns)
{
	lease_shared_configure(&shared->link, bucket_inverse(link_bps),
		__atomic_load_n(&shared->link.burst_q16, __ATOMIC_RELAXED), now_ns);
}

static void *shaper_zalloc(
	struct shaper *s, const char *name, const char *part, size_t bytes, int socket)
{
	char label[64];

	snprintf(label, sizeof(label), "%s_%s", name, part);
	s->memory_bytes += bytes;
	return rte_zmalloc_socket(label, bytes, 64, socket);
}

struct shaper *shaper_create(const struct shaper_params *params, struct shaper_shared *shared)
{
	struct shaper *s;

	if (params->classes_max == 0 || params->classes_max > shared->classes_max ||
		params->queues == 0 || params->queues > 1u << 30 ||
		params->worker >= shared->workers || params->reasons == NULL) {
		rte_errno = EINVAL;
		return NULL;
	}
	s = rte_zmalloc_socket(params->name, sizeof(*s), 64, params->socket);
	if (s == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	uint32_t entries = params->queues + params->classes_max;
	s->memory_bytes = sizeof(*s) + ((uint64_t)params->queues + 1) * sizeof(struct queue);
	s->classes = shaper_zalloc(s, params->name, "classes",
		((size_t)params->classes_max + 1) * sizeof(*s->classes), params->socket);
	s->stats = shaper_zalloc(
		s, params->name, "stats", params->classes_max * sizeof(*s->stats), params->socket);
	s->nodes = shaper_zalloc(s, params->name, "wheel",
		((size_t)entries + 1) * sizeof(*s->nodes), params->socket);
	if (shared->hosts != NULL)
		s->host_queue = shaper_zalloc(s, params->name, "hosts",
			((size_t)shared->hosts->count + 1) * sizeof(*s->host_queue),
			params->socket);
	if (queue_pool_create(&s->pool, params->name, params->queues, params->socket) != 0 ||
		s->classes == NULL || s->stats == NULL || s->nodes == NULL ||
		(shared->hosts != NULL && s->host_queue == NULL)) {
		shaper_destroy(s);
		rte_errno = ENOMEM;
		return NULL;
	}
	wheel_init(&s->wheel, s->nodes, entries, 0);
	s->classes_max = params->classes_max;
	s->class_count = 1;
	s->way = params->way;
	s->worker = params->worker;
	s->workers = shared->workers;
	s->reasons = params->reasons;
	s->frame_min_bytes = SHAPER_FRAME_MIN;
	s->random = params->worker + 1;
	s->own_room.most = UINT32_MAX;
	s->room = params->room != NULL ? params->room : &s->own_room;
	s->shared = shared;
	s->link.shared = &shared->link;
	for (unsigned i = 0; i < RTE_DIM(s->soon); i++)
		s->soon[i] = &s->pool.queues[0];
	for (uint32_t i = 0; i < s->classes_max; i++) {
		struct shape_class *c = &s->classes[i];
		c->id = i;
		c->stats = &s->stats[i];
		c->rate.shared = &shared->classes[i].rate;
		c->ceil.shared = &shared->classes[i].ceil;
		c->police.shared = &shared->classes[i].police;
		c->want = BUCKET_FRAME_BYTES;
		c->quantum = SHAPE_FLOW_QUANTUM;
		c->queue_limit_bytes = SHAPER_QUEUE_LIMIT_BYTES;
		c->parent = s->classes_max;
	}
	link_of(s)->id = s->classes_max;
	link_of(s)->is_group = true;
	link_of(s)->parent = s->classes_max;
	s->classes[0].in_use = true;
	return s;
}

void shaper_destroy(struct shaper *s)
{
	if (s == NULL)
		return;
	queue_pool_destroy(&s->pool);
	rte_free(s->host_queue);
	rte_free(s->nodes);
	rte_free(s->stats);
	rte_free(s->classes);
	rte_free(s);
}

uint64_t shaper_memory_needed(uint32_t classes_max, uint32_t queues, uint32_t hosts)
{
	return sizeof(struct shaper) + ((uint64_t)queues + 1) * sizeof(struct queue) +
	       (classes_max + 1) * (uint64_t)sizeof(struct shape_class) +
	       classes_max * (uint64_t)sizeof(struct shaper_class_stats) +
	       ((uint64_t)queues + classes_max + 1) * sizeof(struct wheel_node) +
	       (hosts != 0 ? ((uint64_t)hosts + 1) * sizeof(uint32_t) : 0);
}

void shaper_figures(const struct shaper *s, struct shaper_figures *f)
{
	*f = (struct shaper_figures){
		.memory_bytes = s->memory_bytes,
		.classes_max = s->classes_max,
		.queues_max = s->pool.count,
		.queues_used = s->pool.used,
		.wheel_entries = s->wheel.count,
		.wheel_inserts = s->wheel_inserts,
		.wheel_late_max_ns = s->wheel_late_max_ns,
		.link_leases = s->link_leases,
		.link_quantum_bytes =
			__atomic_load_n(&s->shared->link.quantum_bytes, __ATOMIC_RELAXED),
		.link_bps = bucket_rate_bps(
			__atomic_load_n(&s->shared->link.inv_q32, __ATOMIC_RELAXED)),
	};
	if (s->shared->hosts != NULL) {
		f->hosts_max = s->shared->hosts->count;
		f->hosts_used = hosts_used(s->shared->hosts);
	}
	for (uint32_t i = 0; i < s->classes_max; i++) {
		f->classes_used += s->classes[i].in_use;
		f->groups_used += s->classes[i].is_group;
	}
}

const struct shaper_class_stats *shaper_class_stats(const struct shaper *s, uint32_t class_id)
{
	return class_id < s->classes_max ? &s->stats[class_id] : NULL;
}
