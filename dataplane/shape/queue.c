/* SPDX-License-Identifier: BSD-3-Clause */
/* The memory of the pool of queues (queue.h), allocated once. */
#include "dataplane/shape/queue.h"

#include <errno.h>

#include <rte_malloc.h>

int queue_pool_create(struct queue_pool *pool, const char *name, uint32_t count, int socket)
{
	pool->queues =
		rte_zmalloc_socket(name, ((size_t)count + 1) * sizeof(struct queue), 64, socket);
	if (pool->queues == NULL)
		return -ENOMEM;
	pool->count = count;
	pool->used = 0;
	pool->free = 0;
	for (uint32_t i = count; i > 0; i--) {
		pool->queues[i].next = pool->free;
		pool->free = i;
	}
	return 0;
}

void queue_pool_destroy(struct queue_pool *pool)
{
	if (pool->queues == NULL)
		return;
	for (uint32_t i = 1; i <= pool->count; i++)
		while (pool->queues[i].packets > 0)
			rte_pktmbuf_free(queue_pop(&pool->queues[i]));
	rte_free(pool->queues);
	pool->queues = NULL;
}
