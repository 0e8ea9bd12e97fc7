/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What probes (link/probe.h) tell of the path to one peer, both ways: queueing delay, the rate at
 * which the bottleneck really carries our bytes, loss. Pure: time and byte counters are arguments.
 * track_rate.c turns the figures into a rate; track.c sends and receives.
 *
 * Queueing delay is the one-way delay above a baseline, the least median seen in the last 10 to 20
 * seconds. Clocks need not agree: only differences of one clock with itself count. Two clocks 200
 * ppm apart shift the delay by 4 ms in that time, less than what counts as a queue.
 *
 * The rate achieved follows from the bytes that passed between two probes and the time between
 * their arrivals. While a queue stands in a bottleneck in between, that is the bottleneck's rate,
 * whoever the bytes were for: they need not go to the peer, or through its link.
 *
 * A probe that is overdue is a sample too: its delay is at least the time that it is overdue. That
 * tells of a queue before the first packet that waited in it has got through.
 */
#ifndef SLUICE_CONTROL_TRACK_PATH_H
#define SLUICE_CONTROL_TRACK_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/link/probe.h"

#define TRACK_QUEUE_NS UINT64_C(15000000) /* more delay than this above the baseline: a queue */
#define TRACK_QUEUE_MAX_NS UINT64_C(10000000000) /* no figure says more */
#define TRACK_NOISE_MAX_NS UINT64_C(20000000)
#define TRACK_BASELINE_NS UINT64_C(10000000000)
#define TRACK_MEDIAN 5u
#define TRACK_RECEIPTS 16u
#define TRACK_SENT 256u /* our probes remembered: 6 s of them at least */
#define TRACK_ACHIEVED_NS UINT64_C(200000000)
#define TRACK_LOSS_PROBES 50u
#define TRACK_WANTED_NS UINT64_C(1000000000) /* a peer's wish for probes holds this long */
#define TRACK_INTERVAL_MIN_MS 20u	     /* whatever the peer wishes */

/* The figures of one way now, all within the bounds above whatever the peer says. */
struct track_figures {
	uint64_t fresh_ns;     /* when the newest sample came; 0: none yet */
	uint64_t queue_ns;     /* median of the last TRACK_MEDIAN samples */
	uint64_t newest_ns;    /* the newest sample */
	uint64_t noise_ns;     /* mean deviation of samples from the median, without a queue */
	uint64_t achieved_bps; /* 0: not known */
	uint32_t samples;      /* taken since the baseline began */
	/* The way up only: when the probe of the newest sample was sent, and what was the byte
	 * counter then. 0: not known. */
	uint64_t newest_sent_ns, newest_sent_bytes;
	/* Of the last TRACK_LOSS_PROBES probes: a new figure comes with a new number. */
	uint32_t loss_number;
	uint32_t loss_percent;
};

/* One way of one path. */
struct track_way {
	struct track_figures figures;
	bool has_baseline;
	int64_t baseline, baseline_before; /* least median of this and the previous window */
	uint64_t baseline_since_ns;
	int64_t sample[TRACK_MEDIAN]; /* transit times: two clocks' difference */
	struct {
		uint64_t arrived_ns, bytes;
	} receipt[TRACK_RECEIPTS];
	uint32_t receipts;
	uint32_t loss_from, loss_count_from; /* number and count at the start of the window */
};

struct track_sent {
	uint32_t number;
	uint64_t sent_ns, bytes;
};

/* Both ways to one peer. Zeroed memory is a path that nothing is known of. */
struct track_path {
	struct track_way up, down;
	/* Ours. */
	uint32_t number;
	uint64_t next_ns;
	struct track_sent sent[TRACK_SENT];
	uint32_t answered; /* the newest that the peer says it has */
	/* The peer's. */
	uint32_t heard, heard_count;
	uint64_t heard_ns;
	uint16_t wanted_ms;
	uint64_t wanted_until_ns;
	uint32_t session_id;
};

/* Begin anew: another session has other clocks and numbers. */
void track_path_reset(struct track_path *path, uint32_t session_id);

/*
 * Whether our next probe is due: own_ms is the interval that we need probes at (0: none), the peer
 * may want them too. Then *probe is it, to be sent at once; up_bytes is the counter of what was
 * sent on the way up so far.
 */
bool track_path_probe(struct track_path *path, uint16_t own_ms, uint64_t up_bytes, uint64_t now_ns,
	struct link_probe *probe);

/* A verified probe of the peer arrived at arrived_ns; down_bytes is the counter of what came on
 * the way down so far. */
void track_path_receive(struct track_path *path, const struct link_probe *probe,
	uint64_t down_bytes, uint64_t arrived_ns);

/* The present delay is not a queue of ours: take it for the baseline. */
void track_way_rebase(struct track_way *way, uint64_t now_ns);

/* From this delay on it counts as a queue: what varies by itself is allowed for. */
static inline uint64_t track_threshold_ns(const struct track_figures *f)
{
	return TRACK_QUEUE_NS + 2 * f->noise_ns;
}

#endif
