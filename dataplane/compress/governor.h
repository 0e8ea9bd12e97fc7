/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * When a worker has no time to compress: a step down for as long as its receive queues stay full,
 * and back when they have been empty enough for a while. decide.h knows what a step means. One a
 * worker, by which alone it is written; the control thread reads the counters.
 *
 * Few ports can tell how full a queue is, but all of them show it: a queue that gives a full burst
 * time after time had so many packets waiting at least. Where those are half of what it holds, that
 * is a step. A shorter rush, as a sender nearby makes it, or a worker that did not run for a
 * moment, finds room in the queue and is worked off. The way back is taken a step at a time after
 * GOVERNOR_CALM_NS without one; where a step back was too early, the wait before the next one
 * doubles, so that the worker does not swing.
 */
#ifndef SLUICE_COMPRESS_GOVERNOR_H
#define SLUICE_COMPRESS_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

#define GOVERNOR_STEPS 4 /* 0: as configured, 1 and 2: faster, 3: not at all */
#define GOVERNOR_BYPASS (GOVERNOR_STEPS - 1)
#define GOVERNOR_FULL_MIN 8 /* full bursts in a row are a step, or more if the queue is long */
#define GOVERNOR_CALM_NS UINT64_C(20000000)
#define GOVERNOR_CALM_MAX_NS UINT64_C(1280000000)
#define GOVERNOR_QUEUES 64

struct governor {
	uint8_t step;
	uint8_t full[GOVERNOR_QUEUES];	   /* full bursts in a row, by receive queue */
	uint8_t patience[GOVERNOR_QUEUES]; /* how many are a step */
	uint64_t changed_ns; /* last step, or last time that there was reason to stay */
	uint64_t back_ns;    /* last step back; 0: none */
	uint64_t calm_ns;    /* to wait before the next step back */
	uint64_t ups, downs; /* steps taken: to less work, and back */
};

/* Every queue empty, nothing held back. */
void governor_init(struct governor *g);

/* How many bursts receive queue `queue` holds. Before the worker starts. */
void governor_queue(struct governor *g, unsigned queue, unsigned bursts);

/* A burst was taken from a receive queue (below GOVERNOR_QUEUES): as many packets as fit, or less.
 * The worker, for every poll of every queue. */
void governor_burst(struct governor *g, unsigned queue, bool full, uint64_t now_ns);

#endif
