/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two appliances that exchange probes over a simulated WAN in virtual time: each way is a FIFO of a
 * rate that may change, with a buffer, delay and jitter. Appliance 0 tracks the rate of both ways.
 * For track_test.c.
 */
#ifndef SLUICE_TESTS_TRACK_SIM_H
#define SLUICE_TESTS_TRACK_SIM_H

#include "dataplane/control/track_rate.h"

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)
#define MBIT UINT64_C(1000000)
#define SIM_FLYING 4096

enum { UP, DOWN };

/* A bottleneck: bytes in order, so that a probe has left when all bytes before it have. */
struct sim_way {
	double capacity_bps, buffer_bytes;
	uint64_t delay_ns, jitter_ns; /* uniform, 0 to 2 * jitter */
	double entered, left;	      /* bytes so far */
	double lost_part;	      /* of what came in the last millisecond */
	unsigned lose_percent;	      /* of the probes */
	uint64_t stalled_until_ns;    /* the receiver looks at nothing until then */
	struct {
		struct link_probe probe;
		double behind;	/* bytes that leave first */
		uint64_t at_ns; /* 0: still waits */
	} flying[SIM_FLYING];
	unsigned first, count;
};

struct sim {
	uint64_t now_ns;
	struct sim_way way[2];
	struct track_path path[2];
	struct track_rate rate[2];
	bool tracks[2];
	uint16_t interval_ms;
	/* What the hosts want to send, and what our boxes let through. */
	double demand_bps[2];
	double sent_bytes[2];
	double shaped_before_bps[400]; /* the way down: what the senders have noticed, by ms */
	double load[2][500];	       /* bytes of the last half second, by ms */
	double drift;		       /* of appliance 1's clock */
	bool is_silent;
	uint32_t seed;
	/* Over a span, see sim_measure(). */
	double queue_max_ns, queue_sum_ns, rate_min_bps, rate_max_bps, rate_sum_bps;
	double through[2];
	uint64_t steps;
	bool out_of_bounds;
};

/* Both ways at capacity_bps with deep buffers, 20 ms each; tracking from min to max. */
void sim_start(struct sim *s, uint64_t capacity_bps, uint64_t min_bps, uint64_t max_bps);

void sim_run(struct sim *s, uint64_t ns);

/* Forget what was measured; then queue and rate of `way` over `ns`. */
void sim_measure(struct sim *s, int way, uint64_t ns);

/* Both ends meet anew: what is under way is of the session before. */
void sim_new_session(struct sim *s);

double sim_queue_ns(const struct sim *s, int way);
uint32_t sim_random(struct sim *s);

#endif
