/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The round-trip times of one flow: the values themselves while they are few, a histogram
 * (dataplane/measure/histogram.h) from then on. So percentiles of short flows are exact, and a
 * flow takes 8 kB at most.
 */
#ifndef SLUICE_ANALYZE_SAMPLES_H
#define SLUICE_ANALYZE_SAMPLES_H

#include <stdint.h>

#include "controlplane/channel/messages.h"
#include "dataplane/measure/histogram.h"

#define SAMPLES_EXACT 1024u

/* Zeroed: empty. */
struct samples {
	uint64_t count;
	uint32_t room;	  /* of values */
	uint64_t *values; /* up to SAMPLES_EXACT */
	struct histogram *histogram;
};

/* Ends the program without memory. */
void samples_add(struct samples *s, uint64_t value_ns);

/* Percentiles by nearest rank; all 0 without samples. Sorts the values. */
struct channel_dist samples_dist(struct samples *s);

void samples_free(struct samples *s);

#endif
