/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to dataplane/flow: what the flow table is made of. table.c finds and creates flows, age.c
 * ends them, table_memory.c allocates the table and shows it to other threads.
 */
#ifndef SLUICE_FLOW_TABLE_PRIVATE_H
#define SLUICE_FLOW_TABLE_PRIVATE_H

#include "dataplane/flow/table.h"

#define SLOTS 8
#define PROTO_TCP 6

/* Times in buckets count in units of 64 ms, modulo 70 minutes: precise enough to choose whom to
 * evict and whom not even to look at while ageing, and rarely written. The record has the exact
 * time. */
#define STAMP_SHIFT 6

struct bucket {
	uint16_t signature[SLOTS];
	uint16_t stamp[SLOTS];	/* when last seen, in units of 64 ms */
	uint32_t record[SLOTS]; /* 0: free slot */
} __attribute__((aligned(64)));
static_assert(sizeof(struct bucket) == 64, "a bucket is one cache line");

struct flow_table {
	/* Constant. */
	struct bucket *buckets;
	struct flow *records;
	uint32_t *free; /* stack of the indices of unused records */
	uint32_t mask;	/* buckets - 1 */
	uint32_t capacity;
	uint64_t memory_bytes;
	char name[32];

	/* Written by the owning worker. */
	uint32_t free_count __attribute__((aligned(64)));
	uint32_t hand;	   /* next bucket to age */
	uint16_t shortest; /* the shortest timeout as stamps, rounded down */
	struct flow_timeouts timeouts;
	flow_silent_fn *silent; /* NULL: nobody wants to know */
	void *silent_context;

	/* Written by the owning worker, read by any thread. */
	struct flow_table_stats stats __attribute__((aligned(64)));
} __attribute__((aligned(64)));

static inline void count(uint64_t *counter, int64_t n)
{
	__atomic_store_n(counter, *counter + (uint64_t)n, __ATOMIC_RELAXED);
}

static inline uint16_t stamp_of(uint32_t now_ms)
{
	return (uint16_t)(now_ms >> STAMP_SHIFT);
}

/* Readers in other threads must see an odd generation before the first change and an even one
 * behind the last. */
static inline void replace_begin(struct flow *f)
{
	__atomic_store_n(&f->generation, f->generation + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static inline void replace_end(struct flow *f)
{
	__atomic_store_n(&f->generation, f->generation + 1, __ATOMIC_RELEASE);
}

static inline void tell_silent(struct flow_table *t, struct flow *f)
{
	if (t->silent != NULL && f->key.proto != PROTO_TCP)
		t->silent(t->silent_context, f);
}

static inline bool has_queue(const struct flow *f)
{
	return f->shape[WAY_UP].queue != 0 || f->shape[WAY_DOWN].queue != 0;
}

/* End the flow in a slot and free both. table.c. */
void flow_table_remove_slot(struct flow_table *t, struct bucket *b, unsigned slot);

#endif
