/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PIE (RFC 8033) for one flow's queue, asked at enqueue, before the packet is put in. Queue delay
 * comes from timestamps (RFC 8033 section 5.2 allows it), probabilities are fixed point, and the
 * periodic update is made up for when a packet comes: no timer.
 */
#ifndef SLUICE_SHAPE_PIE_H
#define SLUICE_SHAPE_PIE_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shape/aqm.h"

#define PIE_TARGET_NS 15000000u
#define PIE_T_UPDATE_NS 15000000u
#define PIE_MAX_BURST_NS 150000000u

/* Defaults: PIE_PARAMS. t_update_ns is not 0. */
struct pie_params {
	uint32_t target_ns; /* QDELAY_REF */
	uint32_t t_update_ns;
	uint32_t max_burst_ns;
};
#define PIE_PARAMS ((struct pie_params){PIE_TARGET_NS, PIE_T_UPDATE_NS, PIE_MAX_BURST_NS})

/* Probabilities are multiples of 2^-48. */
#define PIE_ONE (1ULL << 48)

/* State of a queue; all zero at first. Owned by the worker that owns the queue. */
struct pie {
	uint64_t updated_ns; /* end of the last period accounted for; 0: new */
	uint64_t drop_prob;  /* 0..PIE_ONE */
	uint64_t accu_prob;  /* sum of drop_prob since the last signal */
	uint32_t old_delay_ns;
	uint32_t burst_ns; /* burst allowance left */
};
static_assert(sizeof(struct pie) <= 56, "shares a cache line in the queue");

/* pie_enqueue()'s rare part: makes up for all periods that have ended by now_ns. */
void pie_update(
	struct pie *pie, const struct pie_params *params, uint64_t sojourn_ns, uint64_t now_ns);

/* pie_enqueue()'s other part: the queue is congested. */
enum aqm_verdict pie_drop_early(struct pie *pie, const struct pie_params *params,
	uint32_t queue_bytes, bool ect, uint32_t random);

/*
 * May a packet enter the queue, which holds queue_bytes (as charged) without it, and whose head has
 * waited sojourn_ns so far (0 if it is empty)? `ect`: the packet is ECT(0), ECT(1) or CE.
 * `random`: 32 random bits. Time must not go backwards. Ask about every packet that arrives.
 */
static inline enum aqm_verdict pie_enqueue(struct pie *pie, const struct pie_params *params,
	uint64_t sojourn_ns, uint32_t queue_bytes, bool ect, uint32_t random, uint64_t now_ns)
{
	if (now_ns - pie->updated_ns >= params->t_update_ns)
		pie_update(pie, params, sojourn_ns, now_ns);
	if (pie->drop_prob == 0 || pie->burst_ns != 0)
		return AQM_VERDICT_PASS;
	return pie_drop_early(pie, params, queue_bytes, ect, random);
}

#endif
