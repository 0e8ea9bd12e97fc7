/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rate tracking: the rate to shape a link at whose own rate varies (LTE, DSL, cable, satellite), so
 * that the queue stands in our box and not in the modem's. Pure: a function of time, of the figures
 * of track_path.h and of the load; track.c applies what comes out.
 *
 *  - A queue at the bottleneck (median delay above the threshold) means that the rate is too high.
 *    The bottleneck's rate was measured while the queue stood, so the rate falls to just below it,
 *    and for as long as it takes to empty the queue well below it. On the way up the queue is
 *    reckoned on from what was sent since, so that emptying ends in time.
 *    How far below the capacity is learnt on the way down: queues of the senders' bursts, which
 * stand up at less than it, lower the target; queues of growing too far raise it again.
 *  - A loaded link (above 75 %) without a queue may have more to give: the rate grows, at first so
 *    slowly that at a constant capacity the queue stays small, then faster and faster, until a
 *    queue shows. So a link that got a lot faster is found out within seconds.
 *  - An idle link tells nothing of its capacity, so the rate holds: the last measured one is the
 *    best guess there is, and a wrong one is put right within seconds of the next load.
 *  - When the delay does not follow although we send much less, the queue is not ours, or the route
 *    has changed: the delay becomes the baseline, and the rate is what it was before.
 *  - Loss without delay is no reason (radio links lose, TCP probes), unless it is heavy: a policer.
 *  - Without any word from the peer the rate holds for 10 s (a hand-over, a restart), then it is
 *    the configured one: without measuring, the box does what a box without tracking does.
 *  - With the first word it starts at min, so that the first delays measured are those without a
 *    queue of ours, and doubles every second under load until a queue shows.
 *
 * The rate never leaves [min, max]. Below min nothing is done about a queue.
 */
#ifndef SLUICE_CONTROL_TRACK_RATE_H
#define SLUICE_CONTROL_TRACK_RATE_H

#include "dataplane/control/track_path.h"

#define TRACK_SILENCE_NS UINT64_C(1000000000) /* older figures are not acted on */
#define TRACK_FORGET_NS UINT64_C(10000000000) /* without figures for so long: max */

struct track_rate_config {
	uint64_t min_bps, max_bps;
	uint64_t interval_ns; /* of the probes */
	bool is_up; /* the queue is fed by us alone, at once: it can be reckoned and emptied fast */
};

/* What is known now. */
struct track_input {
	struct track_figures figures; /* of the path with the least queue */
	uint64_t load_bps;	      /* of the last half second */
	uint64_t up_bytes;	      /* counter now, as in the figures' newest_sent_bytes */
	uint64_t rtt_ns;
};

/* Zeroed memory is not ready: track_rate_init(). Read rate_bps and the counters freely. */
struct track_rate {
	struct track_rate_config config;
	uint64_t rate_bps; /* to be in force */
	uint64_t decreases, increases, rebases, false_alarms;

	bool is_quiet;	  /* nothing heard for long, or ever */
	bool is_starting; /* heard again, and no queue seen since */
	/* Emptying a queue. */
	bool is_draining;
	uint64_t capacity_bps; /* as measured behind the queue */
	uint64_t known_bps;    /* the same of the time before */
	uint64_t before_bps;   /* the rate before */
	uint64_t drain_since_ns;
	uint32_t drain_samples;			/* taken before it */
	uint64_t drain_queue_ns, drain_peak_ns; /* the most measured, and the most reckoned */
	/* Emptying it again: is it ours at all? */
	uint64_t drained_ns; /* when the last one ended; 0: and the queue was gone */
	uint64_t first_bps;  /* the rate before the first of these */
	uint32_t fruitless;
	uint64_t foreign_since_ns; /* a queue shows without a load; 0: none does */

	uint64_t hold_until_ns;	 /* what is measured until then is of the rate before */
	uint32_t target_percent; /* of the capacity, after emptying */
	uint64_t reached_bps;	 /* before the last decrease; max at the first: not known */
	double growth;		 /* of the rate, a second */
	double growth_bits;	 /* less than 1: for very slow links */
	uint32_t loss_number;
	uint64_t last_ns;
};

/* At max_bps until something is heard. */
void track_rate_init(struct track_rate *t, const struct track_rate_config *config, uint64_t now_ns);

/* Other bounds: the rate goes on within them. */
void track_rate_bounds(struct track_rate *t, const struct track_rate_config *config);

/*
 * The rate from now on; about every 10 to 50 ms. *rebase becomes true when the delay now is to be
 * the baseline (track_way_rebase() of every path), else it is left alone. Whatever the figures say,
 * the result is within the bounds.
 */
uint64_t track_rate_step(
	struct track_rate *t, const struct track_input *in, uint64_t now_ns, bool *rebase);

#endif
