/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shaper of one worker, bridge and way: link -> groups -> class -> (host ->) flow. A packet
 * leaves when the buckets of its flow or host, its class, every group above it and the link all
 * allow it; until then it waits in its flow's queue. Rates of link, groups, classes and hosts are
 * spent by all workers together through struct shaper_shared (lease.h, hosts.h); everything else is
 * private to the worker. Time is always an argument.
 */
#ifndef SLUICE_SHAPE_SHAPER_H
#define SLUICE_SHAPE_SHAPER_H

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/policy/policy.h"
#include "dataplane/packet/packet.h"
#include "dataplane/shape/flow_shape.h"
#include "dataplane/shape/policer.h"

struct shaper;
struct shaper_shared;

#define SHAPER_WORKERS_MAX 16
#define SHAPER_FRAME_MIN 60u		    /* Ethernet pads shorter frames, without FCS */
#define SHAPER_QUEUE_LIMIT_BYTES (1u << 20) /* where a class gives queue_limit_bytes 0 */

/*
 * One class: a leaf, which flows belong to, or a group of other classes (somebody's parent). A
 * class within rate_bps (its assured rate) is served first, by priority, then by weight. What the
 * group above has left of its own assured rate its classes borrow, and what the link has left the
 * groups borrow, up to ceil_bps: by priority among siblings, then in proportion to the weights.
 * Assured bytes are charged to the rates of the class and of all groups above it, borrowed ones to
 * those of the lender and above; all are charged to every ceiling on the way and to the link.
 * Rates from 1 kbit/s to 1 Tbit/s are held exactly, smaller ones are raised to 1 kbit/s.
 */
struct shaper_class_config {
	uint64_t rate_bps;	   /* assured; 0: nothing assured, borrows only */
	uint64_t ceil_bps;	   /* 0: the link's rate */
	uint64_t flow_rate_bps;	   /* of each flow by itself, or see `per`; 0: no limit */
	uint32_t burst_bytes;	   /* of rate and ceil, at least 10 us are given */
	uint32_t burst_ns;	   /* the same as time, if burst_bytes is 0; both 0: the link's
				    * burst, and at least two frames */
	uint32_t flow_burst_bytes; /* of flow_rate_bps, likewise; both 0: two frames */
	uint32_t flow_burst_ns;
	uint32_t queue_limit_bytes; /* of one flow's queue; 0: SHAPER_QUEUE_LIMIT_BYTES */
	uint32_t queue_limit_ns;    /* what has waited longer is dropped, but for the last packet
				     * of a flow; 0: bytes only */
	uint32_t weight;	    /* 0 counts as 1 */
	uint32_t parent;	    /* class id of the group it is in, SHAPER_NO_PARENT: none */
	uint8_t priority;	    /* 0 (first) to 7 (last) */
	bool in_use;
	uint8_t aqm;		      /* enum policy_aqm, of the flow queues */
	bool no_ecn;		      /* AQM drops also what could be marked (RFC 3168) */
	uint8_t per;		      /* enum policy_per: whose rate flow_rate_bps is */
	uint8_t per_bits4, per_bits6; /* network of a host: prefix lengths; 0: the whole address */
	uint32_t aqm_target_ns;	      /* queue delay that AQM aims at; 0: the RFC's */
	struct policer_config police; /* before the queue */

	/* Made by shaper_config_prepare(). */
	bool is_group, link_limited;
	uint32_t least_burst_ns;	 /* where no burst is given: the link's, or two frames */
	int32_t quantum;		 /* of deficit round robin among its siblings */
	uint64_t held_ceil_bps;		 /* 0 where the link is slower */
	uint64_t target_ns, interval_ns; /* of AQM */
	uint64_t slowest_bps;		 /* of its own ceiling and those above, and the link */
};

#define SHAPER_NO_PARENT UINT32_MAX
#define SHAPER_DEPTH_MAX 8u /* levels of groups and classes below the link */

/*
 * Built by the control thread, prepared, then immutable until it is prepared again; must live until
 * every worker was given the next one. Class ids in use need not be contiguous.
 */
struct shaper_config {
	uint64_t link_bps;	  /* 0: not shaped */
	uint32_t link_burst_ns;	  /* at least 10 us are given */
	int32_t overhead_bytes;	  /* charged with every packet */
	uint32_t frame_min_bytes; /* shorter frames are charged as this, overhead on top */
	uint32_t class_count;	  /* of classes[]; at most classes_max */

	/* Made by shaper_config_prepare(). */
	uint64_t serial, previous_serial; /* previous: 0: compare with nothing */
	uint32_t *changed;		  /* classes that differ from the previous configuration */
	uint32_t changed_count;

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
	uint64_t dropped_time; /* had waited longer than queue_limit_ns */
	uint64_t dropped_aqm;
	uint64_t dropped_memory;
	uint64_t dropped_police;
	uint64_t marked;    /* ECN: CE set instead of a drop (RFC 3168), or by L4S (RFC 9331) */
	uint64_t remarked;  /* got another DSCP by the policer */
	uint64_t colour[3]; /* packets that the policer found green, yellow, red */
	uint64_t backlog_packets; /* waiting now */
	uint64_t backlog_bytes;
	uint64_t backlog_flows;	   /* flows that have a queue now */
	uint64_t backlog_since_ns; /* when the packet that went last had come; 0: nothing waits */
};

/* What `show shaper` shows of one shaper. Any thread, at leisure. */
struct shaper_figures {
	uint64_t memory_bytes;
	uint32_t classes_max, classes_used, groups_used;
	uint32_t queues_max, queues_used; /* flows and hosts that wait */
	uint32_t hosts_max, hosts_used;	  /* of all workers */
	uint32_t wheel_entries;
	uint64_t wheel_inserts, wheel_late_max_ns; /* late: an entry was looked at after its time */
	uint64_t link_leases; /* taken from the bucket that all workers share */
	uint32_t link_quantum_bytes;
	uint64_t link_bps; /* in force now */
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
	uint32_t queues; /* flows (and hosts) that may wait at once */
	int socket;
	uint64_t *reasons; /* REASON_COUNT drop counters of the worker (channel/counters.h) */
	struct shaper_room *room; /* of the worker, must outlive the shaper; NULL: unbounded */
};

/*
 * The rates that all workers spend together: one for each bridge and way. `workers` is the number
 * of workers that may use it (1..SHAPER_WORKERS_MAX), `hosts` how many hosts and networks may have
 * buckets of their own (`per`). Any thread. Returns NULL without memory or with arguments out of
 * range. Destroy it after the shapers that use it.
 */
struct shaper_shared *shaper_shared_create(
	uint32_t classes_max, uint32_t hosts, unsigned workers, int socket);
void shaper_shared_destroy(struct shaper_shared *shared);

/* What shaper_shared_create() will take, in bytes. */
uint64_t shaper_shared_memory_needed(uint32_t classes_max, uint32_t hosts);

/* Put another link rate in force at once, without a new configuration (rate tracking). It holds
 * until the next configuration with another link_bps. Control thread. */
void shaper_shared_set_link(struct shaper_shared *shared, uint64_t link_bps, uint64_t now_ns);

/*
 * Make a configuration ready for shaper_configure(): works out what is a group, the turns of
 * siblings, and what has changed since `previous` (NULL, or one that was prepared before). 0 or
 * -EINVAL: a parent that is not in use, a loop, deeper than SHAPER_DEPTH_MAX; -ENOMEM. Call
 * shaper_config_release() before freeing it. Control thread.
 */
int shaper_config_prepare(struct shaper_config *config, const struct shaper_config *previous);
void shaper_config_release(struct shaper_config *config);

/*
 * A worker's shaper. It allocates all the memory that it will ever use; `shared` must outlive it.
 * Until shaper_configure() everything passes at once. Returns NULL with rte_errno set (EINVAL,
 * ENOMEM). shaper_destroy() frees the packets that still wait; it does not touch their flows.
 */
struct shaper *shaper_create(const struct shaper_params *params, struct shaper_shared *shared);
void shaper_destroy(struct shaper *shaper);

/* What shaper_create() will take, in bytes, before it is called. */
uint64_t shaper_memory_needed(uint32_t classes_max, uint32_t queues, uint32_t hosts);

/* The figures of one shaper. Any thread. */
void shaper_figures(const struct shaper *shaper, struct shaper_figures *figures);

/*
 * Use another prepared configuration from now on. Owning worker, between bursts, in every round
 * until it returns true: a long change is made in steps of bounded time, between which packets go
 * on. Queues, bucket levels and deficits are kept by class id. Queues of classes that are no longer
 * leaves go to class 0 in order. New rates are in force at once, also for queues that wait and for
 * buckets in debt. Nothing is lost or reordered. A shared rate changes when the first worker is
 * given the configuration. `next` must live until another one has been used completely.
 */
bool shaper_configure(struct shaper *shaper, const struct shaper_config *next, uint64_t now_ns);

/*
 * Take n packets (pkt_of(m)->flow, flow->class_id and pkt.wire_bytes are set). Those that may
 * leave at once are charged and put into out[] (room for n), in order; their pkt.queued_ns is 0.
 * The others are queued (pkt.queued_ns = now_ns), or freed and counted as DROP_QUEUE_TAIL or
 * DROP_QUEUE_NO_MEMORY. pkt.charged_bytes is set to max(wire_bytes, 60) + overhead, with PKT_PACKED
 * to wire_bytes. A class_id
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
 * compressed, framed, or not sent at all: 0 here charges nothing; PKT_PACKED: with no overhead of
 * its own). Credits or debits flow, class
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
