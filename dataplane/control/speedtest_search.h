/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a speed test finds the rate of a path: it doubles what it offers until the path carries less
 * than that, and then offers about what comes through, so that the queue in the path stays short.
 * Pure: time and what the peer reports come as arguments. speedtest.c sends and receives.
 *
 * A path is full when the delay is QUEUE_NS above the least that was seen, or loses 2 % more than
 * it did before and more than chance explains, or stretches what is sent in time while its delay
 * grows. The rate is what arrived, by the receiver's clock, from the moment that the search had
 * settled.
 */
#ifndef SLUICE_CONTROL_SPEEDTEST_SEARCH_H
#define SLUICE_CONTROL_SPEEDTEST_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/measure/histogram.h"

#define SPEED_START_BPS UINT64_C(1000000)
#define SPEED_SAMPLES 64 /* a power of two */

/* What the peer reports, in order. Untrusted, but authenticated. */
struct speed_sample {
	uint64_t sent_ns,
		arrived_ns;	 /* of the newest packet, by the sender's and receiver's clock */
	uint64_t bytes, packets; /* arrived so far */
	uint64_t expected;	 /* sent so far, by the numbers of the packets */
};

struct speed_search {
	uint64_t rate_bps;  /* to be offered now, IP bits */
	uint64_t limit_bps; /* never above */
	bool is_saturated;
	uint64_t rtt_ns;
	uint64_t step_ns; /* when the rate was changed, by the sender's clock */
	unsigned calm;	  /* steps in a row without a queue, once it was saturated */
	int64_t least_delay_ns;
	double loss_at_start;
	struct histogram delay; /* above the least, one sample a report */
	struct speed_sample samples[SPEED_SAMPLES];
	unsigned count;	     /* of samples ever taken */
	uint64_t settled_ns; /* packets sent from then on count; 0: not settled */
	bool has_base;
	struct speed_sample base;	    /* the first of those */
	uint64_t offered_bps, received_bps; /* over the last samples */
};

/* rtt_ns: of the path, as known. */
void speed_search_init(
	struct speed_search *s, uint64_t limit_bps, uint64_t rtt_ns, uint64_t now_ns);

/* The limit may change while the test runs. */
void speed_search_limit(struct speed_search *s, uint64_t limit_bps);

void speed_search_sample(
	struct speed_search *s, const struct speed_sample *sample, uint64_t now_ns);

/* The rate found so far, in IP bits a second, and over how long; both 0 if nothing can be told. */
void speed_search_result(const struct speed_search *s, uint64_t *rate_bps, uint64_t *over_ns);

#endif
