/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DualPI2's controller (RFC 9332, appendix A.1): how the base probability follows the queue delay,
 * in integers. dualpi2.h has what is asked of every packet.
 */
#include "dataplane/shape/dualpi2.h"

#define NS_PER_S 1000000000ull
#define NS_PER_MS 1000000u
#define L4S_MIN_NS 800000u
#define L4S_RANGE_NS 400000u

/* A class that sent nothing for so many periods (16 s) is new again. */
#define PERIODS_MAX 1024

#define RTT_MIN_NS (10 * NS_PER_MS)
#define RTT_MAX_NS (1000 * NS_PER_MS)
#define OVER_MAX_NS (1ll << 39)

void dualpi2_params_init(
	struct dualpi2_params *params, uint32_t target_ns, uint32_t rtt_max_ns, uint64_t rate_bps)
{
	uint64_t target = target_ns != 0 ? target_ns : DUALPI2_TARGET_NS;
	uint64_t rtt = rtt_max_ns != 0 ? rtt_max_ns : DUALPI2_RTT_MAX_NS;
	uint64_t update = DUALPI2_T_UPDATE_NS;
	uint64_t l4s_min = L4S_MIN_NS;

	if (rtt < RTT_MIN_NS)
		rtt = RTT_MIN_NS;
	if (rtt > RTT_MAX_NS)
		rtt = RTT_MAX_NS;
	/* The delay that we aim at is part of the round trip. */
	if (rtt < 4 * target)
		rtt = 4 * target;
	if (target < DUALPI2_TARGET_NS)
		update = target * DUALPI2_T_UPDATE_NS / DUALPI2_TARGET_NS;
	if (update < NS_PER_MS)
		update = NS_PER_MS;
	if (rate_bps != 0 && l4s_min < 16ull * BUCKET_FRAME_BYTES * NS_PER_S / rate_bps)
		l4s_min = 16ull * BUCKET_FRAME_BYTES * NS_PER_S / rate_bps;
	if (l4s_min > UINT32_MAX)
		l4s_min = UINT32_MAX;

	params->target_ns = (uint32_t)target;
	params->t_update_ns = (uint32_t)update;
	/* 0.1 * Tupdate / RTT_max^2 and 0.3 / RTT_max, in Hz */
	params->alpha = (uint32_t)((1ull << 48) / 10 / rtt * update / rtt);
	params->beta = (uint32_t)((1ull << 48) / 10 * 3 / rtt);
	params->l4s_min_ns = (uint32_t)l4s_min;
	params->l4s_range_ns = L4S_RANGE_NS;
}

/* `periods` in which the delay was mean_ns on average, and end_ns at last. */
static void add_periods(struct dualpi2 *d, const struct dualpi2_params *params, uint32_t periods,
	uint32_t mean_ns, uint32_t end_ns)
{
	int64_t over_ns = ((int64_t)mean_ns - params->target_ns) * periods;
	int64_t rise_ns = (int64_t)end_ns - d->old_delay_ns;
	/* Fits 63 bits, as RTT_MIN_NS keeps the gains below 2^23; so much saturates anyway. */
	if (over_ns > OVER_MAX_NS)
		over_ns = OVER_MAX_NS;
	int64_t step = over_ns * params->alpha / 65536 + rise_ns * params->beta / 65536;
	int64_t prob = (int64_t)d->base_prob + step;

	d->base_prob = prob < 0 ? 0 : prob > UINT32_MAX ? UINT32_MAX : (uint32_t)prob;
	d->old_delay_ns = end_ns;
}

static uint32_t clamp_ns(uint64_t ns)
{
	return ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

/* Mean delay of the period whose packets have been asked about: of the queue that is worse off. */
static uint32_t mean_delay_ns(const struct dualpi2 *d)
{
	uint64_t classic = d->classic_count != 0 ? d->classic_sum_ns / d->classic_count : 0;
	uint64_t l4s = d->l4s_count != 0 ? d->l4s_sum_ns / d->l4s_count : 0;

	return clamp_ns(classic > l4s ? classic : l4s);
}

void dualpi2_update(struct dualpi2 *d, const struct dualpi2_params *params, uint64_t sojourn_ns,
	uint64_t now_ns)
{
	uint64_t elapsed_ns = now_ns - d->updated_ns;
	uint64_t periods = elapsed_ns / params->t_update_ns;

	if (d->updated_ns == 0 || periods > PERIODS_MAX) {
		*d = (struct dualpi2){.updated_ns = now_ns};
		return;
	}
	uint32_t left = (uint32_t)periods;
	/* After an idle time, the queue has been filled since this packet came. */
	uint64_t idle_ns = elapsed_ns > sojourn_ns ? elapsed_ns - sojourn_ns : 0;
	uint32_t idle = (uint32_t)(idle_ns / params->t_update_ns);

	/* What was asked about was in the first period. */
	if (d->classic_count + d->l4s_count > 0 && (left == 1 || idle > 0)) {
		uint32_t mean_ns = mean_delay_ns(d);
		add_periods(d, params, 1, mean_ns, mean_ns);
		left--;
	}
	if (idle > left)
		idle = left;
	if (idle > 0)
		add_periods(d, params, idle, 0, 0);
	left -= idle;
	if (left > 0) {
		/* This packet, or what was ahead of it, has grown older up to now. */
		uint64_t since_ns = elapsed_ns - periods * params->t_update_ns;
		uint64_t end_ns = sojourn_ns > since_ns ? sojourn_ns - since_ns : 0;
		uint64_t grown_ns = (uint64_t)(left - 1) * params->t_update_ns / 2;
		uint64_t mean_ns = end_ns > grown_ns ? end_ns - grown_ns : 0;
		add_periods(d, params, left, clamp_ns(mean_ns), clamp_ns(end_ns));
	}
	d->updated_ns += periods * params->t_update_ns;
	d->classic_sum_ns = d->l4s_sum_ns = 0;
	d->classic_count = d->l4s_count = 0;
}
