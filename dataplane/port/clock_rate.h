/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The arithmetic behind dataplane/clock.h, apart from any real clock: how the next rate follows
 * from a reading. clock.c feeds it with the TSC, the unit test with clocks of its own. Private to
 * port/.
 */
#ifndef SLUICE_PORT_CLOCK_RATE_H
#define SLUICE_PORT_CLOCK_RATE_H

#include <stdbool.h>

#include "dataplane/clock.h"

#define CLOCK_SLEW_PPM_MAX 500
#define CLOCK_JUMP_PPM 1000 /* a frequency this far off must be seen twice to be believed */

/* Both clocks at one moment. */
struct clock_reading {
	uint64_t tsc;
	uint64_t ns; /* CLOCK_MONOTONIC */
};

struct clock_tracker {
	struct clock_reading last;
	uint64_t frequency_mult; /* ns per cycle, Q32: without any slew */
	bool doubted;		 /* the last reading gave an unlikely frequency */
};

/* Measure the frequency between two readings and start there: *rate equals b.ns at b.tsc. */
void clock_tracker_start(struct clock_tracker *t, struct clock_reading a, struct clock_reading b,
	struct clock_rate *rate);

/*
 * The rate to use from a new reading on. It continues `current` exactly at now.tsc, so time neither
 * steps nor goes back, and works off the offset within one interval, at CLOCK_SLEW_PPM_MAX at most.
 * Returns false, with *next untouched, when less than 100 ms passed since the last reading.
 */
bool clock_tracker_next(struct clock_tracker *t, struct clock_reading now,
	const struct clock_rate *current, struct clock_rate *next);

#endif
