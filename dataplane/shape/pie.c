/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PIE's control law (RFC 8033): the drop probability's update (section 4.2), burst allowance (4.4)
 * and the choice of the packet (4.1, 5.1, 5.4), in integers. pie.h has the common path.
 */
#include "dataplane/shape/pie.h"

#include "dataplane/shape/bucket.h"

#define NS_PER_S 1000000000u
/* Gains of 0.125 and 1.25 Hz, as probability per ns of delay. */
#define ALPHA ((int64_t)(PIE_ONE / 8 / NS_PER_S))
#define BETA ((int64_t)(PIE_ONE / 4 * 5 / NS_PER_S))

#define MARK_ECNTH (PIE_ONE / 10)

/* A queue that nothing entered for so long is new again: no probability outlives it. */
#define PERIODS_MAX 256

/* The smaller the probability, the smaller its steps (RFC 8033, 4.2): log2 of the divisor. */
static unsigned tuning_shift(uint64_t prob)
{
	if (prob >= PIE_ONE / 10)
		return 0;
	if (prob >= PIE_ONE / 100)
		return 1;
	if (prob >= PIE_ONE / 1000)
		return 3;
	if (prob >= PIE_ONE / 10000)
		return 5;
	if (prob >= PIE_ONE / 100000)
		return 7;
	return prob >= PIE_ONE / 1000000 ? 9 : 11;
}

/* One T_UPDATE, at whose end the queue delay is delay_ns. */
static void calculate_drop_prob(struct pie *pie, const struct pie_params *params, uint32_t delay_ns)
{
	int64_t over_ns = (int64_t)delay_ns - params->target_ns;
	int64_t rise_ns = (int64_t)delay_ns - pie->old_delay_ns;
	int64_t step = (ALPHA * over_ns + BETA * rise_ns) / (1 << tuning_shift(pie->drop_prob));
	bool calm = delay_ns < params->target_ns / 2 && pie->old_delay_ns < params->target_ns / 2;

	if (pie->drop_prob >= PIE_ONE / 10 && step > (int64_t)(PIE_ONE / 50))
		step = PIE_ONE / 50;
	int64_t prob = (int64_t)pie->drop_prob + step;
	if (calm)
		prob -= prob / 50;
	pie->drop_prob = prob < 0 ? 0 : prob > (int64_t)PIE_ONE ? PIE_ONE : (uint64_t)prob;

	pie->burst_ns -= pie->burst_ns < params->t_update_ns ? pie->burst_ns : params->t_update_ns;
	if (pie->drop_prob == 0) {
		pie->accu_prob = 0;
		if (calm)
			pie->burst_ns = params->max_burst_ns;
	}
	pie->old_delay_ns = delay_ns;
}

void pie_update(
	struct pie *pie, const struct pie_params *params, uint64_t sojourn_ns, uint64_t now_ns)
{
	uint64_t periods = (now_ns - pie->updated_ns) / params->t_update_ns;

	if (pie->updated_ns == 0 || periods > PERIODS_MAX) {
		*pie = (struct pie){.updated_ns = now_ns, .burst_ns = params->max_burst_ns};
		return;
	}
	pie->updated_ns += periods * params->t_update_ns;
	/* The missed ones as if the delay had been the same all along; 4.29 s are as good as more.
	 */
	uint32_t delay_ns = sojourn_ns > UINT32_MAX ? UINT32_MAX : (uint32_t)sojourn_ns;
	do
		calculate_drop_prob(pie, params, delay_ns);
	while (--periods > 0 && (pie->drop_prob > 0 || pie->burst_ns < params->max_burst_ns));
}

enum aqm_verdict pie_drop_early(struct pie *pie, const struct pie_params *params,
	uint32_t queue_bytes, bool ect, uint32_t random)
{
	if ((pie->old_delay_ns < params->target_ns / 2 && pie->drop_prob < PIE_ONE / 5) ||
		queue_bytes <= 2 * BUCKET_FRAME_BYTES)
		return AQM_VERDICT_PASS;

	/* Neither too soon after the last signal, nor much too late. */
	pie->accu_prob += pie->drop_prob;
	if (pie->accu_prob < PIE_ONE * 17 / 20)
		return AQM_VERDICT_PASS;
	if (pie->accu_prob < PIE_ONE * 17 / 2 && random >= pie->drop_prob >> 16)
		return AQM_VERDICT_PASS;
	pie->accu_prob = 0;
	return ect && pie->drop_prob < MARK_ECNTH ? AQM_VERDICT_MARK : AQM_VERDICT_DROP;
}
