/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A discrete-event simulation of one TCP connection that passes the box: a sender with SACK and
 * RACK-like recovery, a receiver with delayed ACKs, paths with delay, loss and reordering on both
 * sides of the box. It knows the truth that the box has to find out. Used by sim_test.c.
 */
#ifndef SLUICE_TESTS_MEASURE_SIM_H
#define SLUICE_TESTS_MEASURE_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/measure/tcp.h"

#define SIM_US UINT64_C(1000)
#define SIM_MS UINT64_C(1000000)

struct sim_setup {
	const char *name;
	enum measure_from from; /* where the data comes from */
	uint32_t segments;	/* to transfer, of 1448 bytes */
	uint32_t window;	/* segments under way at most */
	uint64_t near_ns;	/* sender to box, one way */
	uint64_t far_ns;	/* box to receiver, one way */
	uint64_t swing_ns;   /* a queue between box and receiver that grows to this and shrinks */
	uint64_t spacing_ns; /* of the sender's link: one segment's time */
	uint32_t stride;     /* segments per ACK; an odd last one waits for 40 ms */
	double loss_before, loss_after;	      /* of data packets, share */
	double reorder_before, reorder_after; /* of data packets, share */
	uint64_t reorder_ns;		      /* how much later these come */
	bool stamps;			      /* with timestamps of 1 ms */
	uint32_t seed;
};

struct sim_truth {
	uint64_t sent, lost_before, lost_after; /* data packets: by the sender, on either path */
	uint64_t again_before;	 /* arrived at the box for the first time, though sent again, and
				  * behind data that had been sent later */
	uint64_t again_after;	 /* had been at the box before, no ACK for it yet */
	uint64_t again_needless; /* had been at the box, and its ACK as well */
	uint64_t again_unseen;	 /* sent again, but nothing at the box could tell */
	uint64_t late;		 /* first sending, overtaken before the box */
	uint64_t far_median_ns;	 /* box - receiver - box, of packets answered at once */
	uint64_t near_rtt_ns; /* box - sender - box, one segment's time on the link included if it
			       * is measured with data */
	uint64_t far_samples, near_samples;	    /* that the box took, */
	uint64_t far_measured_ns, near_measured_ns; /* and their exact median */
};

/* Run one connection past measure_tcp(). */
void sim_run(const struct sim_setup *setup, struct flow_measure *f, struct measure_class *c,
	struct sim_truth *truth);

#endif
