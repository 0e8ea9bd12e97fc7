/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What became of the packets of one lane, at the receiver: loss, duplicates, reordering and delay
 * variation, exact, from the sequence numbers and send times of the shim. link_decode() feeds the
 * data lanes, session.c the lane of its hellos. Terms: loss periods and distances of RFC 3357,
 * reordering by RFC 4737, delay variation in the two forms of RFC 5481 (PDV and IPDV, RFC 3393).
 *
 * Threads: a struct link_seq is written by the one worker that decodes its lane; the control thread
 * reads the counters at leisure with link_seq_read(). A struct link_tail belongs to the control
 * thread alone. No clock is read here: now_ns is CLOCK_MONOTONIC in ns everywhere.
 */
#ifndef SLUICE_LINK_SEQ_H
#define SLUICE_LINK_SEQ_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How far behind the newest packet a late one is still told from a duplicate: 91 ms at 1 Gbit/s of
 * 1,400-byte packets in one lane. One word of the bitmap is always being cleared. */
#define LINK_SEQ_BITS 8192
#define LINK_SEQ_WINDOW (LINK_SEQ_BITS - 64)

/* Lengths of loss periods and reordering extents: 1, 2, 3..4, 5..8, ... 33..64, more. */
#define LINK_SIZES 8

/* Losses no further apart than this are noticeable: the loss constraint of RFC 3357, 6.1. */
#define LINK_LOSS_CONSTRAINT 99

/* Gaps of which is known what came behind them first: a packet that was overtaken by more of them
 * has no known extent. */
#define LINK_JUMPS 32

/* n-reordering (RFC 4737, 5) is looked at up to this n. TCP takes what is 3-reordered for lost. */
#define LINK_N_REORDERING 4

/* The least one-way delay is looked for in the last one to two of these: short enough that two
 * clocks 50 ppm apart disagree by less than 1 ms over it. */
#define LINK_SEQ_MINIMUM_NS UINT64_C(10000000000)

/* An announced number counts as sent-and-overdue this long after it was heard of. */
#define LINK_TAIL_SETTLE_NS UINT64_C(1000000000)

/* Loss in runs, over all sessions. A loss is final when its number has left the window. */
struct link_losses {
	uint64_t periods;	  /* runs of consecutive losses (RFC 3357, 4.5) */
	uint64_t longest;	  /* packets in the longest of them */
	uint64_t run[LINK_SIZES]; /* loss periods by their length */
	uint64_t noticeable;	  /* losses at most LINK_LOSS_CONSTRAINT behind another */
};

/* Packets that came behind a higher number, over all sessions. */
struct link_reordering {
	uint64_t extent[LINK_SIZES]; /* packets by their reordering extent (RFC 4737, 4.2.2) */
	uint64_t extent_unknown;     /* overtaken by too much else */
	uint64_t extent_max;
	uint64_t late_sum_ns, late_max_ns; /* late-time offset (4.3.2), of known extents */
	/* [n - 1]: n-reordered, which is that the n packets before them all have higher numbers. */
	uint64_t n_reordered[LINK_N_REORDERING];
};

/* What one arrival was. */
enum link_verdict { LINK_NOT_VERIFIED, LINK_ARRIVED, LINK_DUPLICATE, LINK_LATE };

struct link_arrival {
	enum link_verdict verdict;
	bool is_reordered;
	bool has_ipdv;	     /* the packet sent before it had been the last to arrive */
	uint8_t class_slot;  /* class.h; link_decode() fills it, and what is below */
	uint32_t session_id; /* of the keys that verified it */
	uint32_t sent;
	uint64_t delay_ns; /* PDV: one-way delay above the least of the last LINK_SEQ_MINIMUM_NS */
	int64_t ipdv_ns;   /* IPDV: delay less that of the packet sent before */
};

/*
 * One lane, whole cache lines when the array of lanes is aligned to one. Zeroed memory is a lane
 * that has received nothing.
 */
struct link_seq {
	uint64_t next;	     /* one above the highest number seen, counted on beyond 2^32 */
	uint64_t first;	     /* number the session's lane started with */
	uint32_t session_id; /* of the numbers */
	bool timed;	     /* the transit fields are valid */
	uint8_t reserved[3];
	/* Transit times: receiver's clock minus sender's in units of 1,024 ns, modulo 2^32. */
	uint32_t transit;
	uint32_t minimum, minimum_before; /* of the present and the previous window */
	uint32_t jitter_q4;		  /* RFC 3550, 6.4.1, in 1/16 units */
	uint64_t minimum_since_ns;
	/* Over all sessions. worker: writes. control thread: reads. */
	uint64_t received;   /* verified packets, whatever became of them */
	uint64_t expected;   /* packets sent, as far as the numbers show */
	uint64_t unique;     /* accepted */
	uint64_t duplicates; /* refused, seen before */
	uint64_t reordered;  /* accepted, but a higher number came earlier (RFC 4737, 4.2.2) */
	uint64_t late;	     /* refused, too far behind to be known */
	uint32_t newest;     /* number of the packet that came last, for IPDV */
	uint32_t recent[LINK_N_REORDERING]; /* numbers accepted last, at (unique % their count) */
	uint8_t padding[12];
	uint64_t seen[LINK_SEQ_BITS / 64]; /* bit (number % LINK_SEQ_BITS) */
	/* Touched where something is missing, and every 64 packets. Same writer and reader. */
	uint64_t judged; /* numbers below are lost or not for good */
	uint64_t
		run_from; /* of the present loss period; run_to is behind it, and once it is over */
	uint64_t run_to;  /*   still tells the distance to the next one. 0: no loss so far */
	struct link_losses losses;
	struct link_reordering reordering;
	uint32_t jumps;
	uint32_t jumps_pad;
	struct {
		uint32_t from;	   /* lowest number that was jumped over */
		uint32_t position; /* of the packet that jumped, among the accepted ones */
		uint32_t arrived;  /* when, units of 1,024 ns */
	} jump[LINK_JUMPS];	   /* the newest ones */
	uint8_t padding_end[8];
};
static_assert(offsetof(struct link_seq, seen) == 128, "two lines beside the bitmap");
static_assert(sizeof(struct link_seq) == 1792, "LINK_LANES of them a peer: 448 KiB");

/*
 * What the peer said it has sent in a lane: without it the loss of the last packets before a pause
 * would be noticed only after the pause. Zeroed memory is one that has heard nothing.
 */
struct link_tail {
	uint32_t session_id;
	bool is_waiting;
	uint64_t settled;    /* the peer had sent this many, long enough ago */
	uint64_t waiting;    /* a later announcement, not yet settled */
	uint64_t waiting_ns; /* when that was heard */
	uint64_t extra;	     /* loss known from `settled` only, at the last link_seq_read() */
	uint64_t closed;     /* that of earlier sessions */
};

/* Totals as shown to people; lost = expected - unique, so a packet that comes late after all takes
 * its loss back. */
struct link_seq_counts {
	uint64_t received, unique, lost, duplicates, reordered, late;
	uint64_t jitter_ns;
};

/*
 * Begin with the numbers of a new session: the first packet of the lane is `first` (0 for data
 * lanes: what is lost before the first arrival counts as lost). Counters go on. The lane's worker.
 */
void link_seq_start(struct link_seq *seq, uint32_t session_id, uint32_t first);

/*
 * A verified packet with number `number`, sent at `sent` (link_timestamp() of the sender's clock),
 * is here at now_ns. Returns 0 when it is to be delivered, -EALREADY when not: it is a duplicate,
 * or older than the window, which cannot be told from one. *arrival (may be NULL) says which, and
 * with 0 its delay: clocks need not agree for that. The lane's worker.
 */
int link_seq_accept(struct link_seq *seq, uint32_t number, uint32_t sent, uint64_t now_ns,
	struct link_arrival *arrival);

/* The peer announced in a hello of session `session_id`, heard at now_ns, that the next number it
 * will send in the lane is `next`. Control thread. */
void link_tail_announce(
	struct link_tail *tail, uint32_t session_id, uint32_t next, uint64_t now_ns);

/* Totals of a lane at now_ns; with `tail` (may be NULL) including announced packets that are
 * overdue. Control thread, at any time; no field goes back but `lost`. */
void link_seq_read(const struct link_seq *seq, struct link_tail *tail, uint64_t now_ns,
	struct link_seq_counts *counts);

/* Add `from` to `to`; the larger jitter stays. */
void link_seq_counts_add(struct link_seq_counts *to, const struct link_seq_counts *from);

/* Add the loss periods of a lane to *losses: as they would be if nothing that is missing now came
 * any more. Losses known from a link_tail only are not among them. Control thread, at any time. */
void link_seq_add_losses(const struct link_seq *seq, struct link_losses *losses);

/* Add a lane's reordering to *reordering. Control thread, at any time. */
void link_seq_add_reordering(const struct link_seq *seq, struct link_reordering *reordering);

/*
 * The least transit time of the lane in the last 10 to 20 s: receiver's clock minus sender's, in
 * units of 1,024 ns, modulo 2^32. False: nothing came for so long. Control thread, at any time.
 */
bool link_seq_least_transit(const struct link_seq *seq, uint64_t now_ns, uint32_t *transit);

#endif
