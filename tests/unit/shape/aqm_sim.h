/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A bottleneck in virtual time with window-based senders in a closed loop, for the tests of AQM
 * algorithms: Reno-like flows, and Prague-like ones (RFC 9331), which answer to the share of
 * marks. It knows none of the algorithms: a test plugs its own in.
 */
#ifndef SLUICE_TESTS_AQM_SIM_H
#define SLUICE_TESTS_AQM_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shape/aqm.h"

#define SIM_FLOWS_MAX 64
#define SIM_RING 65536 /* packets in a queue, or in flight of one flow */
#define SIM_BYTES 1538

enum sim_sender { SIM_RENO, SIM_PRAGUE, SIM_FLOOD /* answers to nothing */ };

struct sim_packet {
	uint64_t at_ns; /* when it came into the queue, or when the sender learns of its fate */
	uint64_t number;
	uint32_t flow;
	bool marked, lost;
};

struct sim_ring {
	struct sim_packet packets[SIM_RING];
	uint32_t head, tail; /* run freely */
};

struct sim_flow {
	enum sim_sender sender;
	bool ect, l4s;	   /* l4s: goes into the second queue */
	uint64_t rtt_ns;   /* without the queue */
	uint64_t rate_bps; /* of SIM_FLOOD */
	uint64_t sent, recover, round_end, acked, marks, in_flight;
	uint64_t next_ns; /* of SIM_FLOOD */
	double window, threshold, alpha, srtt_ns;
	struct sim_ring feedback;
	uint64_t bytes, lost, marked; /* since warm-up */
};

struct sim {
	/* Set these: the algorithm. NULL: none. queue 0 is Classic, 1 L4S. */
	enum aqm_verdict (*arrive)(struct sim *sim, const struct sim_packet *p, unsigned queue);
	enum aqm_verdict (*head)(struct sim *sim, const struct sim_packet *p, unsigned queue);
	unsigned (*turn)(struct sim *sim); /* both queues wait: which is served? */
	void (*served)(struct sim *sim, unsigned queue);
	uint64_t rate_bps;
	unsigned flow_count;
	struct sim_flow flows[SIM_FLOWS_MAX];

	uint64_t now_ns, warm_ns, end_ns, idle_ns;
	struct sim_ring queues[2];
	/* Since warm-up: delays of the packets sent, in us. */
	uint32_t *delays[2];
	uint32_t delay_count[2];
};

/* Zeroed; flows are added before it runs. sim_free() at the end. */
struct sim *sim_new(uint64_t rate_bps);
void sim_free(struct sim *sim);
struct sim_flow *sim_add(struct sim *sim, enum sim_sender sender, bool ect, uint64_t rtt_ns);
/* Runs for `seconds`, of which the first third is warm-up. */
void sim_run(struct sim *sim, unsigned seconds);

uint64_t sim_waiting(const struct sim *sim, unsigned queue);	/* packets */
uint64_t sim_sojourn_ns(const struct sim *sim, unsigned queue); /* of the head; 0: empty */
uint32_t sim_random(void);

/* Figures since warm-up. */
double sim_delay_mean_ms(const struct sim *sim, unsigned queue);
double sim_delay_percentile_ms(struct sim *sim, unsigned queue, double percent);
double sim_used(const struct sim *sim); /* share of the rate */

#endif
