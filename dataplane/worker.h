/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A worker: one pinned lcore that polls its receive queues and carries every packet of its flows
 * from rx to tx. Everything in struct worker is the worker's own, except where a comment says so.
 */
#ifndef SLUICE_WORKER_H
#define SLUICE_WORKER_H

#include <poll.h>

#include <rte_ring.h>

#include "controlplane/channel/counters.h"
#include "dataplane/compress/codec.h"
#include "dataplane/compress/governor.h"
#include "dataplane/compress/pack.h"
#include "dataplane/compress/store.h"
#include "dataplane/flow/table.h"
#include "dataplane/link/pack.h"
#include "dataplane/link/seq.h"
#include "dataplane/measure/datagrams.h"
#include "dataplane/measure/histogram.h"
#include "dataplane/measure/tcp.h"
#include "dataplane/measure/transactions.h"
#include "dataplane/packet/parse.h"
#include "dataplane/plan.h"

#define BURST 64u
#define TX_BUFFER 256u
#define WORKER_PASSED (PASS_LINK_RETRANSMIT - PASS_LINK_NO_PEER + 1)
#define PORTS_MAX (2 * POLICY_BRIDGES_MAX)

struct daemon;

/* One receive queue that the worker polls. */
struct worker_rx {
	uint16_t port_id, queue;
	uint16_t port; /* index of the port */
};

/* Packets on their way out of one port. */
struct worker_tx {
	bool owner; /* this worker has a queue of its own on the port */
	uint16_t port_id, queue;
	struct rte_ring *hand_over; /* else: the tx_in ring of the worker that sends for it */
	uint16_t count;
	struct rte_mbuf *pkts[TX_BUFFER];
};

/* Per class, way and bridge. Written by the worker, read by the control thread. */
struct worker_class {
	uint64_t packets;
	uint64_t bytes;	     /* frames as the hosts sent them */
	uint64_t wire_bytes; /* the same as they crossed the WAN */
	/* Compression, way up only. */
	uint64_t compressed_packets; /* sent as link frames, or would have been (dry-run) */
	uint64_t compressed_bytes;   /* their frames before, and their link frames */
	uint64_t compressed_wire_bytes;
	uint64_t packed_packets; /* of those sent as link frames: together with others */
	uint64_t packed_frames;	 /* in so many */
	uint64_t codec_bytes;	 /* that the codec was tried on, successfully or not */
	uint64_t codec_cycles;
	uint64_t passed[WORKER_PASSED]; /* not compressed, by reason from PASS_LINK_NO_PEER on */
	struct pack_estimate pack;	/* of its small packets; the worker's own */
};

/* What the stages took for timed bursts of one class and way alone: worker_cost.h. Written by the
 * worker, read by the control thread. */
struct worker_cost {
	struct {
		uint64_t cycles, packets;
	} stage[STAGE_COUNT];
};

/* What the codecs did for a class, way up. Written by the worker, read by the control thread. */
struct worker_codecs {
	struct worker_codec {
		uint64_t packets, bytes, wire_bytes; /* as compressed_* above */
		uint64_t tried_bytes, cycles;
	} by_number[CODEC_NUMBERS];
};

/* What a worker knows of one peer. Counters: written by the worker, read by the control thread. */
struct worker_peer {
	struct link_tx tx[LINK_WORKERS_MAX]; /* by receiving worker */
	struct link_seq *rx;		     /* LINK_LANES of them, by lane */
	struct store_sender *store_tx;	     /* NULL: the policy gives the peer no store */
	struct store_receiver *store_rx;
	struct epoch_sender *epoch_tx; /* of its flows' histories; NULL: there is no store */
	struct epoch_receiver *epoch_rx;
	uint64_t acked_ns;    /* when the peer last acknowledged what it keeps */
	uint64_t store_saved; /* bytes by which frames of references were shorter */
	uint64_t tx_frames, tx_bytes, rx_frames, rx_bytes;
	uint64_t rx_bad;		  /* from its address, but not understood or not verified */
	uint64_t rx_forged;		  /* of them: sealed, and the tag did not verify */
	struct link_class_rx classes;	  /* by class of the peer */
	struct histogram *class_delay;	  /* LINK_CLASS_SLOTS of them: delay variation by class */
	struct histogram delay_variation; /* one-way delay above the smallest of late, ns */
	struct histogram ipdv; /* size of the change of delay from packet to packet, ns */
};

#define HOLDS 8u /* of a worker */

/* Packets that wait for others to share a frame with: worker_hold.h. */
struct worker_hold {
	unsigned count;
	uint32_t bytes;
	uint64_t due_ns;
	struct rte_mbuf *pkts[LINK_PACK_MAX];
};

struct worker {
	/* Set at start, then read only. */
	struct daemon *daemon;
	unsigned index;
	uint16_t rx_count;
	struct worker_rx rx[PORTS_MAX];
	struct pollfd rx_fds[PORTS_MAX]; /* by rx: what a sleeping worker can be woken by */
	bool can_be_woken;		 /* every receive queue has such a descriptor */
	struct worker_tx tx[PORTS_MAX];	 /* by port index */
	struct rte_ring *steer_in;	 /* parsed packets from other workers */
	struct rte_ring *tx_in;		 /* packets that other threads want sent: pkt.out_port */
	struct parse_context context[PORTS_MAX]; /* by port index */
	uint8_t owner_of[128];			 /* steer_owner() of the low bits of a steer hash */
	struct counters_worker *counters;	 /* in the counter segment: clients read */

	struct flow_table *flows; /* the control thread takes snapshots */
	struct flow *other;	  /* by bridge, [0] unused: FLOW_OTHER of the bridges behind it */
	struct shaper *shaper[POLICY_BRIDGES_MAX][WAYS];
	struct shaper_room room;	     /* of all of them */
	struct measure_class *measure;	     /* worker_measure(); the control thread reads */
	struct measure_datagrams *datagrams; /* the same of what is not TCP */
	struct measure_transactions *transactions;
	struct worker_cost *cost; /* by class id * WAYS + way, ids below `measured` */
	uint32_t measured;	  /* classes with ids below this have one of their own */
	struct worker_class
		*classes[POLICY_BRIDGES_MAX][WAYS]; /* by class id; control thread reads */
	struct worker_peer *peers;		    /* by peer index */
	/* What left for the WAN or came from it, frames as there. The control thread reads. */
	uint64_t wan_packets[POLICY_BRIDGES_MAX][WAYS], wan_bytes[POLICY_BRIDGES_MAX][WAYS];
	struct worker_codecs *codecs[POLICY_BRIDGES_MAX]; /* by class id; control thread reads */
	struct codec *codec;
	struct governor governor;	/* the control thread reads */
	struct store_sender *dry_store; /* of dry runs; NULL: none */
	uint32_t dry_next;		/* number of its next packet */
	uint64_t dry_saved;		/* as worker_peer.store_saved */
	struct worker_hold hold[HOLDS];
	uint64_t hold_due_ns; /* the first of them; UINT64_MAX: none */
	uint64_t ack_due_ns;  /* of the stores: worker_acknowledge() */
	uint64_t too_big_ns;  /* when a LAN host was last told that its packet is too big */
	struct {
		bool is_to_keep;
		bool is_found; /* of looked_up: worth writing as references */
		uint32_t seq;
		/* Looked up, but for a frame that it cannot have; NULL: none of this burst. */
		const struct rte_mbuf *looked_up;
		struct store_packet packet;
		struct codec_method method; /* without history; CODEC_RAW: none but the store's */
	} at_hand;			    /* of worker_store_encode(), for worker_store_keep() */
	uint8_t trial[LINK_ORIGINAL_MAX + 1]; /* of two blobs the second */
	struct rte_mbuf *spare; /* where a codec writes: becomes the link frame, or serves again */

	/* Of the present round. */
	const struct plan *plan;
	bool adopting; /* the shapers have not taken over all of the plan yet */
	const struct links *links;
	uint64_t now_ns;
	uint64_t now_tsc;
	bool sampling; /* this round's stages are timed */
	uint32_t rounds;
	uint32_t idle_rounds;
	uint32_t sample_salt;

	struct link_pack pack; /* of the frame at hand that holds several packets, either way */

	/* control thread: sets it once. worker: leaves its loop. */
	bool stop;
} __attribute__((aligned(64)));

/* Where the times of a class's packets go. */
static inline struct measure_class *worker_measure(const struct worker *w, uint32_t class_id)
{
	return measure_class_of(w->measure, w->measured, class_id);
}

/* flow_table_on_silent() of its flow table; the context is the worker. */
void worker_flow_silent(void *worker, struct flow *flow);

/* The poll loop, run on the worker's lcore until worker->stop. Returns 0. */
int worker_run(void *worker);

#endif
