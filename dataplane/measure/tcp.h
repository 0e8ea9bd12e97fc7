/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Measuring TCP from where the box stands, without touching a packet: round-trip times of both
 * halves of the path, connection times, retransmissions before and behind the box and what caused
 * them, reordering, duplicates, windows, ECN, and what a transfer waits for.
 * State is in struct flow_measure (flow_measure.h), figures go to struct measure_class.
 *
 * Halves. The LAN half is box -> LAN host -> box, the WAN half box -> WAN host -> box; their sum is
 * what the hosts see. A packet that comes from one side and the answer from the other measure the
 * half of the side that answered. A packet's time is that of the call, before it waits in a queue
 * of the box: waiting there is part of the half it is going to (and is known apart: `queue`).
 *
 * Threads: a worker measures its own flows into its own classes; nobody else writes. The control
 * thread reads both at leisure and merges (measure_class_merge()).
 */
#ifndef SLUICE_MEASURE_TCP_H
#define SLUICE_MEASURE_TCP_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/measure/flow_measure.h"
#include "dataplane/measure/histogram.h"

struct inflight_store;
struct measure_transactions;
struct pkt;
struct rte_mbuf;

/* Which side sent a packet. Also the index of every per-direction array here. */
enum measure_from { FROM_LAN = 0, FROM_WAN = 1 };

/* What a transfer waits for: limits.c. */
enum measure_limit { LIMIT_NETWORK, LIMIT_RECEIVER, LIMIT_SENDER };

/* What a side's SYN said. Nothing of it is known without MEASURE_OPTIONS_KNOWN. */
#define MEASURE_OPTIONS_KNOWN 0x80u
#define MEASURE_OPTION_SCALE 0x01u
#define MEASURE_OPTION_SACK 0x02u
#define MEASURE_OPTION_TIMESTAMPS 0x04u
#define MEASURE_OPTION_ECN 0x08u

/* The figures of one class on one worker. Zeroed memory is the empty set. Written by the worker. */
struct measure_class {
	/* Where the worker remembers segments in flight: inflight.h. The same in all its classes,
	 * set before the first packet. NULL: a small one for the process, whose packets then are
	 * all measured by one thread. No figure: not merged. */
	struct inflight_store *inflight;
	struct histogram rtt_lan, rtt_wan; /* round-trip times of the halves */
	struct histogram connect;	   /* first SYN to the ACK that completes the handshake */
	/* By way (enum way), recorded by the worker. */
	struct histogram box[2];   /* time in the box */
	struct histogram queue[2]; /* time in its queues */
	uint64_t rtt_delayed[2];   /* samples of the half that the receiver seems to have waited
				    * with: tcp.c. [who answered] */
	uint64_t tcp_packets[2];
	uint64_t data_packets[2];	  /* those that take sequence numbers: data, SYN, FIN */
	uint64_t retransmits_before[2];	  /* the original never got to the box */
	uint64_t retransmits_after[2];	  /* the original passed the box, unacknowledged so far */
	uint64_t retransmits_needless[2]; /* had been acknowledged already: no data was lost */
	/* The same retransmissions by what caused them: late.c. */
	uint64_t retransmits_fast[2];		/* the receiver asked for them */
	uint64_t retransmits_timeout[2];	/* a timer of the sender */
	uint64_t dsacks[2];			/* came twice, says the receiver (RFC 2883) */
	uint64_t duplicates[2];			/* copies that the network made before the box */
	uint64_t reordered[2];			/* came late, but on the first sending */
	uint64_t reordered_bytes[2];		/* what had overtaken them, in sum */
	uint64_t reordered_ns[2];		/* how late they came, in sum */
	uint64_t reorder_max_bytes[2];		/* merged as the larger, not subtracted */
	uint64_t zero_windows[2];		/* receiver full: times its window went to zero */
	uint64_t limited_ns[2][MEASURE_LIMITS]; /* time of transfers by what they waited for */
	uint64_t ce[2];				/* packets marked "congestion experienced", */
	uint64_t ece[2], cwr[2];		/* and those that answer for it */
	uint64_t connections;			/* handshakes completed */
	uint64_t syn_retries;
	uint64_t refused;   /* RST instead of a SYN-ACK */
	uint64_t timed_out; /* four SYN without an answer (7 s by RFC 6298) */
	uint64_t failed;    /* refused and timed out */
	uint64_t resets;    /* RST on a connection that was open */
};

/*
 * What `show flows` says of one flow. 0 in a time or size: never measured, there is no figure.
 * Arrays are by the side that sends the data in question, and windows, options and marks by the
 * side that sends them.
 */
struct measure_flow_view {
	uint64_t rtt_lan_min_ns, rtt_lan_last_ns, rtt_lan_samples;
	uint64_t rtt_wan_min_ns, rtt_wan_last_ns, rtt_wan_samples;
	uint64_t connect_ns;
	uint32_t retransmits[2]; /* before, after and needless together */
	uint32_t reordered[2];
	uint32_t zero_windows[2];
	uint32_t lost_before[2], lost_after[2], needless[2];
	uint32_t timeouts[2]; /* of the retransmits, those by a timer; the others are fast */
	uint32_t dsacks[2], duplicates[2];
	uint32_t reorder_max_bytes[2];
	uint32_t ce[2], ece[2], cwr[2];
	uint32_t syn_retries;
	uint32_t mss[2];     /* that its SYN announced */
	uint32_t options[2]; /* MEASURE_OPTION_* */
	uint32_t
		window_bytes[2]; /* that it offers now; 0: none, or how it is scaled is not known */
	uint32_t flight_bytes[2];     /* sent and not acknowledged, as seen here */
	uint32_t flight_max_bytes[2]; /* its largest, looked at once a round trip; two segments and
				       * less are not kept */
	uint64_t limited_ns[2][MEASURE_LIMITS];
};

/*
 * Measure one TCP packet: p has PKT_TCP, f is its flow's, `from` the side it came from. now_ns is
 * clock.h time, never going back from call to call. Any field of the packet may lie: figures
 * then do as well, nothing else. Sets PKT_RETRANSMIT on data that has passed the box before.
 * Without p->tcp, options (window scale, SACK) are not looked at. f stays where it is from call to
 * call. Owning worker only.
 */
void measure_tcp(struct flow_measure *f, struct pkt *p, enum measure_from from, uint64_t now_ns,
	struct measure_class *c);

/*
 * measure_tcp() and measure_transaction() for the TCP packets of a burst; other packets are passed
 * over, and their number is returned. Every pkt->flow is
 * set; `classes` is this worker's array of count + 1, indexed by flow->class_id: all classes from
 * `count` on share the last one, which nobody shows (measure_class_of()). Packets of the record
 * that stands for "no flow of its own" (FLOW_OTHER) are counted in tcp_packets only.
 */
unsigned measure_bulk(struct rte_mbuf **pkts, unsigned n, uint64_t now_ns,
	struct measure_class *classes, struct measure_transactions *transactions, uint32_t count);

static inline struct measure_class *measure_class_of(
	struct measure_class *classes, uint32_t count, uint32_t class_id)
{
	return &classes[class_id < count ? class_id : count];
}

/* Is this a connection that both sides have said something on, after its handshake if that was
 * seen, and that neither has ended? As netstat says ESTABLISHED. Any thread, from a copy. */
bool measure_is_open(const struct flow_measure *f);

/* Read one flow's figures. Any thread, from a copy of the record (see flow.h). */
void measure_flow_view(const struct flow_measure *f, struct measure_flow_view *view);

/* Add the figures of `from` to `into`, which belongs to the caller (control thread). */
void measure_class_merge(struct measure_class *into, const struct measure_class *from);

/*
 * Packets lost behind the box: those sent again after it, less those of them that the receiver says
 * (DSACK) it had. It also reports what is known here to have come twice, which is no news.
 */
static inline uint64_t measure_lost_of(
	uint64_t after, uint64_t needless, uint64_t duplicates, uint64_t dsacks)
{
	uint64_t known = needless + duplicates;
	uint64_t in_vain = dsacks > known ? dsacks - known : 0;

	return after > in_vain ? after - in_vain : 0;
}

/*
 * Loss of the data packets sent from side `from`, as a share: on the way to the box, and behind
 * it. 0 if there were none. Behind the box every transmission can be followed, and what the
 * receiver says it has got twice (DSACK) was not lost. Before it, a loss
 * shows only in the first packet that gets through, so it is the share of segments that did not
 * arrive at first. From the counters of any merged or subtracted set.
 */
uint64_t measure_lost_after(const struct measure_class *c, enum measure_from from);
double measure_loss_before(const struct measure_class *c, enum measure_from from);
double measure_loss_after(const struct measure_class *c, enum measure_from from);

/* Take an earlier sum out of a later one: the figures of the time between. */
void measure_class_subtract(struct measure_class *c, const struct measure_class *earlier);

#endif
