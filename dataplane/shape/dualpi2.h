/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DualPI2 (RFC 9332, appendix A): one controller couples the Classic and the L4S queues of a class
 * on one worker, so that both kinds of flow get alike rates, and L4S ones hardly any delay. Asked
 * at dequeue about the packet at the head; dualq_turn says which kind is to be served.
 */
#ifndef SLUICE_SHAPE_DUALPI2_H
#define SLUICE_SHAPE_DUALPI2_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shape/aqm.h"
#include "dataplane/shape/bucket.h"

#define DUALPI2_TARGET_NS 15000000u
#define DUALPI2_T_UPDATE_NS 16000000u
#define DUALPI2_RTT_MAX_NS 100000000u
#define DUALPI2_COUPLING 2u		/* k */
#define DUALPI2_L4S_FULL 0x80000000u	/* p' at which k * p' is 1 */
#define DUALPI2_CLASSIC_MAX 0x40000000u /* p_Cmax, 1 / k^2: then ECN is off */

/* Made by dualpi2_params_init(); read only afterwards. */
struct dualpi2_params {
	uint32_t target_ns; /* of the Classic queue */
	uint32_t t_update_ns;
	uint32_t alpha, beta;  /* gains: 2^-48 of probability per ns */
	uint32_t l4s_min_ns;   /* L4S delay at which its own marking begins ... */
	uint32_t l4s_range_ns; /* ... and how much later it marks every packet */
};

/* State of a class on a worker; all zero at first. Owned by the worker. */
struct dualpi2 {
	uint64_t updated_ns;		     /* end of the last period accounted for; 0: new */
	uint64_t classic_sum_ns, l4s_sum_ns; /* delays asked about since ... */
	uint32_t classic_count, l4s_count;   /* ... and how many */
	uint32_t old_delay_ns;
	uint32_t base_prob; /* p', in multiples of 2^-32 */
};
static_assert(sizeof(struct dualpi2) <= 64, "one cache line");

/*
 * For a target delay of the Classic queue (0: 15 ms), the longest usual RTT (0: 100 ms) and the
 * rate that the class is sent at when it is busy (0: fast): where two frames take longer than RFC
 * 9332's 800 us, L4S's own marking begins there.
 */
void dualpi2_params_init(
	struct dualpi2_params *params, uint32_t target_ns, uint32_t rtt_max_ns, uint64_t rate_bps);

/* The rare part of what follows: makes up for all periods that have ended by now_ns. */
void dualpi2_update(struct dualpi2 *d, const struct dualpi2_params *params, uint64_t sojourn_ns,
	uint64_t now_ns);

/*
 * The verdict on a Classic packet that is next to be sent. sojourn_ns: how long it has waited.
 * queue_bytes: what waits in the class (as charged), or if that isn't known in this flow's queue,
 * with this packet: up to two frames aren't signalled to. `ect`: the packet is ECT(0). `random`: 32
 * random bits, not used elsewhere. After DROP, ask about the next one in the same way. Time must
 * not go backwards over both functions.
 */
static inline enum aqm_verdict dualpi2_classic(struct dualpi2 *d,
	const struct dualpi2_params *params, uint64_t sojourn_ns, uint32_t queue_bytes, bool ect,
	uint32_t random, uint64_t now_ns)
{
	if (now_ns - d->updated_ns >= params->t_update_ns)
		dualpi2_update(d, params, sojourn_ns, now_ns);
	d->classic_sum_ns += sojourn_ns;
	d->classic_count++;

	uint32_t prob = (uint32_t)((uint64_t)d->base_prob * d->base_prob >> 32);
	if (random >= prob || queue_bytes <= 2 * BUCKET_FRAME_BYTES)
		return AQM_VERDICT_PASS;
	return ect && prob < DUALPI2_CLASSIC_MAX ? AQM_VERDICT_MARK : AQM_VERDICT_DROP;
}

/*
 * The verdict on an L4S packet (ECT(1) or CE) that is next to be sent. sojourn_ns: how long it has
 * waited. queue_bytes: what waits in the class's L4S queues, or if that isn't known in this flow's
 * queue, with this packet: a single one isn't marked for its own delay. classic_waits: a Classic
 * packet of the class waits for its turn. After DROP (overload), ask about the next one in the same
 * way.
 */
static inline enum aqm_verdict dualpi2_l4s(struct dualpi2 *d, const struct dualpi2_params *params,
	uint64_t sojourn_ns, uint32_t queue_bytes, bool classic_waits, uint32_t random,
	uint64_t now_ns)
{
	/* While Classic waits, its delay counts: it is asked about soon. */
	if (now_ns - d->updated_ns >= params->t_update_ns &&
		(!classic_waits || d->classic_count > 0))
		dualpi2_update(d, params, sojourn_ns, now_ns);
	d->l4s_sum_ns += sojourn_ns;
	d->l4s_count++;

	if (d->base_prob >= DUALPI2_L4S_FULL) {
		uint32_t prob = (uint32_t)((uint64_t)d->base_prob * d->base_prob >> 32);
		return random < prob ? AQM_VERDICT_DROP : AQM_VERDICT_MARK;
	}
	if (random < DUALPI2_COUPLING * d->base_prob)
		return AQM_VERDICT_MARK;
	if (sojourn_ns <= params->l4s_min_ns || queue_bytes <= BUCKET_FRAME_BYTES)
		return AQM_VERDICT_PASS;
	/* The ramp: random / 2^32 < over / range. */
	uint64_t over_ns = sojourn_ns - params->l4s_min_ns;
	return over_ns >= params->l4s_range_ns ||
			       (uint64_t)random * params->l4s_range_ns >> 32 < over_ns
		       ? AQM_VERDICT_MARK
		       : AQM_VERDICT_PASS;
}

/*
 * Whose turn it is: L4S first, but where both wait Classic has a tenth of the bytes for sure, so
 * that L4S can't starve it (RFC 9332, 4.2.2). Exact over time; between two Classic packets L4S
 * sends at most nine times the first one's bytes and one packet. All zero at first.
 */
#define DUALQ_L4S_SHARE 9 /* L4S bytes for each Classic one, where both wait */

struct dualq_turn {
	int32_t owed; /* L4S bytes sent less DUALQ_L4S_SHARE times the Classic bytes sent */
	uint8_t both; /* both waited when the last turn was given */
};
static_assert(sizeof(struct dualq_turn) <= 8, "in every class");

/* Serve L4S (or Classic) now? At least one of them waits. */
static inline bool dualq_serve_l4s(struct dualq_turn *turn, bool l4s_waits, bool classic_waits)
{
	turn->both = l4s_waits && classic_waits;
	return l4s_waits && (!classic_waits || turn->owed <= 0);
}

/* What the turn last given has sent. Call it once for each packet sent; not for dropped ones. */
static inline void dualq_served(struct dualq_turn *turn, bool l4s, uint32_t bytes)
{
	if (!l4s)
		turn->owed -= turn->both ? DUALQ_L4S_SHARE * (int32_t)bytes : 0;
	else
		turn->owed += (int32_t)bytes;
	/* Nothing is owed to who doesn't wait. */
	if (!turn->both && turn->owed > 0)
		turn->owed = 0;
}

#endif
