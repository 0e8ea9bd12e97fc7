/* SPDX-License-Identifier: BSD-3-Clause */
/* The clock filter of offset.h. */
#include "dataplane/link/offset.h"

void link_offset_add(struct link_offset *o, uint64_t sent_ns, uint64_t heard_ns, uint64_t said_ns,
	uint64_t now_ns)
{
	/* Differences modulo 2^64: clocks have nothing in common, and a peer may say anything. */
	int64_t there = (int64_t)(heard_ns - sent_ns), back = (int64_t)(said_ns - now_ns);
	uint64_t away_ns = now_ns - sent_ns, waited_ns = said_ns - heard_ns;
	unsigned i = o->count % LINK_OFFSET_SAMPLES;

	if (sent_ns > now_ns || heard_ns > said_ns || waited_ns > away_ns)
		return;
	o->count++;
	o->sample[i].at_ns = now_ns;
	o->sample[i].rtt_ns = away_ns - waited_ns;
	/* Halves first: the sum may be too large. */
	o->sample[i].offset_ns = there / 2 + back / 2;
}

bool link_offset_get(
	const struct link_offset *o, uint64_t now_ns, int64_t *offset_ns, uint64_t *uncertainty_ns)
{
	uint32_t kept = o->count < LINK_OFFSET_SAMPLES ? o->count : LINK_OFFSET_SAMPLES;
	uint64_t least = UINT64_MAX;

	for (uint32_t i = 0; i < kept; i++) {
		uint64_t age_ns = now_ns - o->sample[i].at_ns;
		uint64_t off_ns =
			o->sample[i].rtt_ns / 2 + age_ns / 1000000 * LINK_OFFSET_DRIFT_PPM;

		if (age_ns > LINK_OFFSET_AGE_NS || off_ns >= least)
			continue;
		least = off_ns;
		*offset_ns = o->sample[i].offset_ns;
		*uncertainty_ns = off_ns;
	}
	return least != UINT64_MAX;
}
