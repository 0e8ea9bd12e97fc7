/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The flow table of one worker: finds, creates, ages and evicts the records of flow.h.
 *
 * Owned by one worker, without locks. A key may stand in two buckets (cuckoo) of eight slots and
 * one cache line each, that hold 16 bits of the hash, the record's index and when it was last seen.
 * Records lie in one array and never move, so a pointer to one stays good while its flow lives.
 * Record 0 is FLOW_OTHER: for packets without PKT_IP, and for those that found no room.
 *
 * Threads: the owning worker calls lookup and age. Other threads may call the functions below the
 * line "Any thread" at any time.
 */
#ifndef SLUICE_FLOW_TABLE_H
#define SLUICE_FLOW_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "dataplane/flow/flow.h"

#define FLOW_TABLE_FLOWS_MAX (1u << 27)

struct flow_table;

/* After how long without a packet a flow ends. Checked by flow_table_age(). */
struct flow_timeouts {
	uint32_t tcp_established_ms; /* TCP, seen both ways */
	uint32_t tcp_opening_ms;     /* TCP, seen one way only */
	uint32_t tcp_closing_ms;     /* TCP after FIN or RST */
	uint32_t other_both_ms;	     /* all else, seen both ways */
	uint32_t other_single_ms;    /* all else, seen one way only */
};
#define FLOW_TIMEOUTS_DEFAULT                                                                      \
	((struct flow_timeouts){                                                                   \
		.tcp_established_ms = 3600000,                                                     \
		.tcp_opening_ms = 60000,                                                           \
		.tcp_closing_ms = 5000,                                                            \
		.other_both_ms = 120000,                                                           \
		.other_single_ms = 30000,                                                          \
	})

/* Written by the owning worker (relaxed), read by any thread. live == created - expired - evicted.
 */
struct flow_table_stats {
	uint64_t live; /* flows in the table now, record 0 not counted */
	uint64_t created;
	uint64_t expired;	 /* ended by a timeout */
	uint64_t evicted;	 /* ended to make room for another */
	uint64_t other_fallback; /* IP packets that used record 0: no room and nothing to evict */
};

/*
 * A table for max_flows flows (1 .. FLOW_TABLE_FLOWS_MAX), all its memory taken at once from
 * rte_malloc on `socket` (or any, SOCKET_ID_ANY). NULL with rte_errno EINVAL or ENOMEM.
 */
struct flow_table *flow_table_create(const char *name, uint32_t max_flows, int socket);

/* Free it. No packet may still point to its records. NULL is allowed. */
void flow_table_destroy(struct flow_table *table);

/* What flow_table_create(max_flows) takes, without allocating. 0 if max_flows is out of range. */
uint64_t flow_table_memory_needed(uint32_t max_flows);

/* Of a flow, other than TCP's, that says nothing: flow_table_on_silent(). */
typedef void flow_silent_fn(void *context, struct flow *flow);

/* Have `fn` called of each such flow that was not seen for the shortest of the timeouts, whenever
 * flow_table_age() comes by, and of each that ends, before it does. Owning worker, or before it
 * starts. */
void flow_table_on_silent(struct flow_table *table, flow_silent_fn *fn, void *context);

/* Replace the timeouts (initially FLOW_TIMEOUTS_DEFAULT). Owning worker, or before it starts. */
void flow_table_set_timeouts(struct flow_table *table, const struct flow_timeouts *timeouts);

/*
 * Set pkt.flow of n parsed packets, never to NULL; create the flows that are missing, with
 * FLOW_NEW; count the packets and frame bytes, times and TCP ends into the records. A SYN on a flow
 * whose connection is closing starts the record anew (FLOW_NEW again), but keeps its buckets and
 * queues. When the table is full, the least recently seen flow of the key's two buckets makes room,
 * never one with packets in a queue or seen in this millisecond. now_ms: clock.h time / 1e6,
 * truncated.
 */
void flow_table_lookup_bulk(
	struct flow_table *table, struct rte_mbuf **pkts, unsigned n, uint32_t now_ms);

/* Record 0, FLOW_OTHER. Owning worker. */
struct flow *flow_table_other(struct flow_table *table);

/*
 * Look at the next `buckets` buckets in turn and end the flows in them that are past their timeout,
 * except those with packets in a queue. Returns how many ended. To be called about once a poll:
 * there are no timers. A whole round takes flow_table_buckets() / buckets calls.
 */
unsigned flow_table_age(struct flow_table *table, uint32_t now_ms, unsigned buckets);

/* ---- Any thread ---- */

uint64_t flow_table_memory_bytes(const struct flow_table *table);
uint32_t flow_table_buckets(const struct flow_table *table);
const char *flow_table_name(const struct flow_table *table);

/* A copy of the counters, each by itself recent. */
void flow_table_stats(const struct flow_table *table, struct flow_table_stats *stats);

/* Records are 0 .. flow_table_capacity() - 1, live or not: look at them with flow_snapshot(). */
uint32_t flow_table_capacity(const struct flow_table *table);
const struct flow *flow_table_record(const struct flow_table *table, uint32_t i);

/*
 * Copy a record while its worker may be writing it. True if it is live and of one and the same flow
 * throughout the copy; its counters may then be of different moments. False: take the next record.
 */
bool flow_snapshot(const struct flow *flow, struct flow *copy);

#endif
