/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shaper of one worker, bridge and way: link -> class -> flow. A packet leaves when the buckets
 * of its flow, its class and the link all allow it; until then it waits in its flow's queue. Rates
 * of classes and link are spent by all workers together through struct shaper_shared (lease.h);
 * everything else is private to the worker. Time is always an argument.
 */
#ifndef SLUICE_SHAPE_SHAPER_H
#define SLUICE_SHAPE_SHAPER_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/packet/packet.h"
#include "dataplane/shape/flow_shape.h"

struct shaper;
struct shaper_shared;

#define SHAPER_WORKERS_MAX 16
#define SHAPER_FRAME_MIN 60u /* shorter frames are padded on the wire and charged so */
#define SHAPER_QUEUE_LIMIT_BYTES (1u << 20) /* where a class gives queue_limit_bytes 0 */

/*
 * One class. A class within rate_bps (its assured rate) is served first, by priority, then by
 * weight. What the link has left is borrowed up to ceil_bps: by priority, then in proportion to
 * the weights. Assured bytes are charged to rate, ceil and link, borrowed ones to ceil and link.
 * Rates from 1 kbit/s to 1 Tbit/s are held exactly, smaller ones are raised to 1 kbit/s.
 */
struct shaper_class_config {
	uint64_t rate_bps;	    /* assured; 0: nothing assured, borrows only */
	uint64_t ceil_bps;	    /* 0: the link's rate */
	uint64_t flow_rate_bps;	    /* of each flow by itself; 0: no limit */
	uint32_t burst_bytes;	    /* of rate and ceil, at least 10 us are given; 0: two frames */
	uint32_t flow_burst_bytes;  /* of each flow, at least 10 us are given; 0: two frames */
	uint32_t queue_limit_bytes; /* of one flow's queue; 0: SHAPER_QUEUE_LIMIT_BYTES */
	uint32_t queue_limit_ns; /* a flow's queue takes no more while its first packet has waited
				  * longer than this; 0: bytes only */
	uint32_t weight;	 /* 0 counts as 1 */
	uint8_t priority;	 /* 0 (first) to 7 (last) */
	bool in_use;
	bool aqm; /* CoDel (RFC 8289) on the flow queues */
};

/* Immutable. Built by the control thread; must live until every worker was given the next one. */
struct shaper_config {
	uint64_t link_bps;		      /* 0: not shaped */
	uint32_t link_burst_ns;		      /* at least 10 us are given */
	uint32_t overhead_bytes;	      /* charged with every packet */
	uint32_t class_count;		      /* of classes[]; at most classes_max */
	struct shaper_class_config classes[]; /* by class_id; [0] is "default", always in use */
};

/*
 * Counters of one class on one worker. Written by the worker (whole 64-bit stores), read by the
 * control thread at leisure. Bytes are as charged: with overhead, and corrected by settle().
 */
struct shaper_class_stats {
	uint64_t packets; /* sent */
	uint64_t bytes;
	uint64_t borrowed_bytes; /* part of bytes that was sent above the assured rate */
	uint64_t dropped_tail;
	uint64_t dropped_aqm;
	uint64_t dropped_memory;
	uint64_t backlog_packets; /* waiting now */
	uint64_t backlog_bytes;
	uint64_t backlog_flows; /* flows that have a queue now */
};

/*
 * How many packets may wait in several shapers of one worker together: queues must not take all the
 * packet buffers, or receiving stops for everybody. What a class may have waiting in one of them
 * shrinks with what is left: at most four times that much, so a class that floods its queues, or a
 * hundred thousand flows that do, always leaves room for the others (dynamic thresholds:
 * Choudhury and Hahne, 1998). Beyond it packets are dropped as DROP_QUEUE_NO_MEMORY, first those of
 * the longest queues.
 */
struct shaper_room {
	uint32_t waiting; /* packets now */
	uint32_t most;
};

struct shaper_params {
	const char *name; /* for the names of the memory areas */
	enum way way;
	unsigned worker; /* 0 .. workers - 1 of the shared part */
	uint32_t classes_max;
	uint32_t queues; /* flows that may wait at once */
	int socket;
	uint64_t *reasons; /* REASON_COUNT drop counters of the worker (channel/counters.h) */
	struct shaper_room *room; /* of the worker, must outlive the shaper; NULL: unbounded */
};

/*
 * The rates that all workers spend together: one for each bridge and way. `workers` is the number
 * of workers that may use it (1..SHAPER_WORKERS_MAX). Any thread. Returns NULL without memory or
 * with arguments out of range. Destroy it after the shapers that use it.
 */
struct shaper_shared *shaper_shared_create(uint32_t classes_max, unsigned workers, int socket);
void shaper_shared_destroy(struct shaper_shared *shared);

/*
 * A worker's shaper. It allocates all the memory that it will ever use; `shared` must outlive it.
 * Until shaper_configure() everything passes at once. Returns NULL with rte_errno set (EINVAL,
 * ENOMEM). shaper_destroy() frees the packets that still wait; it does not touch their flows.
 */
struct shaper *shaper_create(const struct shaper_params *params, struct shaper_shared *shared);
void shaper_destroy(struct shaper *shaper);

/* What shaper_create() will take, in bytes, before it is called. */
uint64_t shaper_memory_needed(uint32_t classes_max, uint32_t queues);

/* Memory taken at create, in bytes; the shared part not included. Any thread. */
uint64_t shaper_memory_bytes(const struct shaper *shaper);

/*
 * Use another configuration from now on. Owning worker, between bursts. Queues, bucket levels and
 * deficits are kept by class id. Queues of classes that are no longer in use go to class 0 in
 * order. New rates are in force at once, also for queues that wait and for buckets in debt. Nothing
 * is lost or reordered. A shared rate changes when the first worker is given the configuration.
 * `next` is not kept: it may be freed afterwards.
 */
void shaper_configure(struct shaper *shaper, const struct shaper_config *next, uint64_t now_ns);

/*
 * Take n packets (pkt_of(m)->flow, flow->class_id and pkt.wire_bytes are set). Those that may
 * leave at once are charged and put into out[] (room for n), in order; their pkt.queued_ns is 0.
 * The others are queued (pkt.queued_ns = now_ns), or freed and counted as DROP_QUEUE_TAIL or
 * DROP_QUEUE_NO_MEMORY. pkt.charged_bytes is set to max(wire_bytes, 60) + overhead. A class_id
 * that is not in use counts as 0. If a flow's class has changed, its queue moves there first.
 * Returns the number of packets in out[]. Owning worker. now_ns never goes back; the shaper must be
 * called (with any n, or dequeue) at least once in 8 hours.
 */
unsigned shaper_enqueue(struct shaper *shaper, struct rte_mbuf **pkts, unsigned n, uint64_t now_ns,
	struct rte_mbuf **out);

/*
 * Put up to `max` waiting packets that may leave now into out[], charged. Returns their number.
 * Owning worker, once every round of its loop, also when nothing waits: it gives unused leases back
 * to the other workers. Packets that CoDel drops are freed and counted as DROP_AQM.
 */
unsigned shaper_dequeue(
	struct shaper *shaper, struct rte_mbuf **out, unsigned max, uint64_t now_ns);

/*
 * A packet that enqueue or dequeue gave out takes `wire_bytes` on the wire instead (it was
 * compressed, framed, or not sent at all: 0 here charges nothing). Credits or debits flow, class
 * and link by the difference and updates pkt.charged_bytes. In the same burst, on the owning
 * worker.
 */
void shaper_settle(struct shaper *shaper, const struct rte_mbuf *m, uint32_t wire_bytes);

/* Earliest time at which dequeue could give out a packet (it may turn out to be a little later),
 * UINT64_MAX when none waits. Owning worker. */
uint64_t shaper_next_ns(const struct shaper *shaper);

/* True if no packet of this flow and way waits: only then the flow record may be freed. */
static inline bool shaper_flow_idle(const struct flow_shape *flow)
{
	return flow->queue == 0;
}

/* The counters of a class, NULL if class_id >= classes_max. Any thread may read them. */
const struct shaper_class_stats *shaper_class_stats(const struct shaper *shaper, uint32_t class_id);

#endif
