/* SPDX-License-Identifier: BSD-3-Clause */
/* The controller of rate tracking: growing, emptying a queue, and what ends each; track_rate.h. */
#include "dataplane/control/track_rate.h"

#include <string.h>

#define LOADED_PERCENT 75
/* Below the measured capacity, so that nothing builds up behind its error. */
#define TARGET_UP_PERCENT 96
/* Senders that we can only slow down by and by are burstier, the more so the slower the link: how
 * much their bursts need is learnt between these bounds. */
#define TARGET_DOWN_PERCENT 92
#define TARGET_DOWN_LEAST_PERCENT 82
#define TARGET_LOWER_PERCENT 2 /* after a queue of bursts */
#define TARGET_RAISE_PERCENT 1 /* after one of growing too far */
#define GROWN_PERCENT 97       /* of the capacity: from here on growing was the reason */
#define FELL_PERCENT 90	       /* of the capacity before: less, and it has changed */
/* While emptying. On the way down the senders follow by and by only: less of a shock for them. */
#define DRAIN_UP_PERCENT 30
#define DRAIN_DOWN_PERCENT 60
#define DRAINED_NS UINT64_C(3000000)
#define DRAIN_SLACK_NS UINT64_C(500000000) /* beyond what emptying should take */
#define DRAIN_MAX_NS UINT64_C(10000000000)
/* A queue that still shows after it was emptied, so soon and by so little another: the same. It is
 * not ours after FRUITLESS_MAX more tries; or after FOREIGN_NS with hardly anything sent. */
#define AGAIN_NS UINT64_C(500000000)
#define SAME_QUEUE_NS UINT64_C(5000000)
#define FRUITLESS_MAX 2
#define FOREIGN_NS UINT64_C(2000000000)
/* Growing: so much a second at first, twice as much after each GROWTH_DOUBLE_S, up to GROWTH_MAX.
 * From 96 % the rate is at the capacity after 3 s and grows by 4 % a second then. */
#define GROWTH_MIN 0.01
#define GROWTH_MAX 0.30
#define GROWTH_START 0.70
/* So far below what went before, the capacity may have been measured too low: look sooner. */
#define FAR_PERCENT 80
#define GROWTH_FAR 0.05
#define START_NS UINT64_C(500000000)
#define GROWTH_DOUBLE_S 1.4
#define LN_2 0.693147
#define STEP_MAX_NS UINT64_C(100000000) /* a late call does not make up for lost time */
#define LOSS_HEAVY_PERCENT 10
#define LOSS_DECREASE_PERCENT 90

static uint64_t clamp(const struct track_rate *t, uint64_t rate_bps)
{
	if (rate_bps < t->config.min_bps)
		return t->config.min_bps;
	return rate_bps > t->config.max_bps ? t->config.max_bps : rate_bps;
}

static uint64_t percent_of(uint64_t bps, unsigned percent)
{
	return bps / 100 * percent + bps % 100 * percent / 100;
}

void track_rate_init(struct track_rate *t, const struct track_rate_config *config, uint64_t now_ns)
{
	memset(t, 0, sizeof(*t));
	t->config = *config;
	t->rate_bps = config->max_bps;
	t->is_quiet = true;
	t->growth = GROWTH_MIN;
	t->target_percent = config->is_up ? TARGET_UP_PERCENT : TARGET_DOWN_PERCENT;
	t->last_ns = now_ns;
}

void track_rate_bounds(struct track_rate *t, const struct track_rate_config *config)
{
	t->config = *config;
	t->rate_bps = clamp(t, t->rate_bps);
}

/* The queue at the bottleneck now. Up: what stood when the newest probe was sent, and what was sent
 * since, less what has got through since. */
static uint64_t queue_now_ns(
	const struct track_rate *t, const struct track_input *in, uint64_t now_ns)
{
	const struct track_figures *f = &in->figures;
	double queue_ns = (double)f->newest_ns;

	if (t->config.is_up && f->newest_sent_ns != 0 && f->newest_sent_ns <= now_ns &&
		in->up_bytes >= f->newest_sent_bytes && t->capacity_bps > 0)
		queue_ns += (double)(in->up_bytes - f->newest_sent_bytes) * 8e9 /
				    (double)t->capacity_bps -
			    (double)(now_ns - f->newest_sent_ns);
	if (queue_ns < 0)
		return 0;
	return queue_ns > (double)TRACK_QUEUE_MAX_NS ? TRACK_QUEUE_MAX_NS : (uint64_t)queue_ns;
}

static uint64_t target(const struct track_rate *t)
{
	return percent_of(t->capacity_bps, t->target_percent);
}

/* A queue has been emptied. Did it come of growing beyond the capacity, or of bursts of senders
 * far away although we let through less than that? On the way up there are none of these. */
static void learn_target(struct track_rate *t)
{
	if (t->config.is_up || t->capacity_bps < percent_of(t->known_bps, FELL_PERCENT))
		return;
	if (t->before_bps >= percent_of(t->capacity_bps, GROWN_PERCENT))
		t->target_percent += TARGET_RAISE_PERCENT;
	else
		t->target_percent -= TARGET_LOWER_PERCENT;
	if (t->target_percent > TARGET_DOWN_PERCENT)
		t->target_percent = TARGET_DOWN_PERCENT;
	if (t->target_percent < TARGET_DOWN_LEAST_PERCENT)
		t->target_percent = TARGET_DOWN_LEAST_PERCENT;
}

/* Behind a standing queue the rate achieved is the capacity. On the way up a queue of ours comes of
 * sending more than that; on the way down the senders may have filled it before our rate held them
 * back. 0: not known. */
static uint64_t achieved_bps_of(const struct track_rate *t, const struct track_figures *f)
{
	uint64_t most_bps = t->config.is_up ? t->before_bps : t->config.max_bps;

	return f->achieved_bps < most_bps ? f->achieved_bps : most_bps;
}

static void measure_capacity(struct track_rate *t, const struct track_figures *f)
{
	uint64_t achieved_bps = achieved_bps_of(t, f);

	if (achieved_bps == 0 || f->newest_ns <= track_threshold_ns(f))
		return;
	/* A fall is believed at once, the rest is noise. */
	if (achieved_bps < percent_of(t->capacity_bps, 80))
		t->capacity_bps = achieved_bps;
	else
		t->capacity_bps +=
			(uint64_t)(((int64_t)achieved_bps - (int64_t)t->capacity_bps) / 8);
}

/* Until the median is one of samples of what is sent now. */
static uint64_t hold_ns(const struct track_rate *t, const struct track_input *in)
{
	return in->rtt_ns + (TRACK_MEDIAN - 1) * t->config.interval_ns;
}

/* Has emptying it, which was reckoned to be done, left the queue as it was? A buffer that is full
 * stays so, too, but loses. */
static bool is_same_queue(const struct track_rate *t, const struct track_figures *f)
{
	uint64_t change_ns = f->queue_ns > t->drain_queue_ns ? f->queue_ns - t->drain_queue_ns
							     : t->drain_queue_ns - f->queue_ns;

	return t->drained_ns != 0 && change_ns <= SAME_QUEUE_NS + f->noise_ns &&
	       f->loss_percent <= LOSS_HEAVY_PERCENT;
}

static void begin_drain(struct track_rate *t, const struct track_input *in, uint64_t now_ns)
{
	const struct track_figures *f = &in->figures;

	if (now_ns - t->drained_ns <= hold_ns(t, in) + AGAIN_NS && is_same_queue(t, f)) {
		t->fruitless++;
	} else {
		t->fruitless = 0;
		t->first_bps = t->rate_bps;
	}
	t->decreases++;
	t->reached_bps = t->is_starting ? t->config.max_bps : t->rate_bps;
	t->is_starting = false;
	t->is_draining = true;
	t->before_bps = t->rate_bps;
	t->known_bps = t->capacity_bps;
	t->capacity_bps = achieved_bps_of(t, f);
	if (t->capacity_bps == 0)
		t->capacity_bps = t->rate_bps;
	t->drain_since_ns = now_ns;
	t->drain_samples = f->samples;
	t->drain_queue_ns = t->drain_peak_ns = f->queue_ns;
	t->growth = GROWTH_MIN;
}

static void end_drain(
	struct track_rate *t, const struct track_input *in, uint64_t rate_bps, uint64_t now_ns)
{
	t->is_draining = false;
	t->drained_ns = now_ns;
	t->rate_bps = clamp(t, rate_bps);
	t->hold_until_ns = now_ns + hold_ns(t, in);
}

/* A probe that was sent before the rate was lowered finds no queue: there was none to empty. What
 * seemed one was a pause of somebody's, or of the radio. */
static bool was_no_queue(const struct track_rate *t, const struct track_input *in)
{
	const struct track_figures *f = &in->figures;

	if (f->samples == t->drain_samples || f->newest_ns > track_threshold_ns(f) / 2)
		return false;
	return t->config.is_up ? f->newest_sent_ns <= t->drain_since_ns
			       : f->fresh_ns < t->drain_since_ns + in->rtt_ns;
}

static void take_back(struct track_rate *t, const struct track_input *in, uint64_t now_ns)
{
	end_drain(t, in, t->before_bps, now_ns);
	t->drained_ns = 0;
	t->false_alarms++;
}

static void drain(struct track_rate *t, const struct track_input *in, uint64_t now_ns)
{
	const struct track_figures *f = &in->figures;
	unsigned percent = t->config.is_up ? DRAIN_UP_PERCENT : DRAIN_DOWN_PERCENT;
	uint64_t queue_ns, patience_ns;

	if (was_no_queue(t, in)) {
		take_back(t, in, now_ns);
		return;
	}
	measure_capacity(t, f);
	if (f->queue_ns > t->drain_queue_ns)
		t->drain_queue_ns = f->queue_ns;
	queue_ns = queue_now_ns(t, in, now_ns);
	if (queue_ns > t->drain_peak_ns)
		t->drain_peak_ns = queue_ns;
	patience_ns = t->drain_peak_ns * 100 / (100 - percent) + in->rtt_ns + DRAIN_SLACK_NS;
	if (patience_ns > DRAIN_MAX_NS)
		patience_ns = DRAIN_MAX_NS;
	if (queue_ns <= (t->config.is_up ? DRAINED_NS : track_threshold_ns(f) / 2) ||
		now_ns - t->drain_since_ns >= patience_ns) {
		learn_target(t);
		end_drain(t, in, target(t), now_ns);
	} else {
		t->rate_bps = clamp(t, percent_of(t->capacity_bps, percent));
	}
}

/* A queue shows. Returns true if it is not ours. */
static bool take_queue(struct track_rate *t, const struct track_input *in, uint64_t now_ns)
{
	/* What we send could not fill even the slowest link that there can be. */
	if (in->load_bps < t->config.min_bps / 2) {
		if (t->foreign_since_ns == 0)
			t->foreign_since_ns = now_ns;
		if (now_ns - t->foreign_since_ns < FOREIGN_NS)
			return false;
		t->foreign_since_ns = 0;
		return true;
	}
	t->foreign_since_ns = 0;
	/* It stood before we began. Less than we send now cannot be sent. */
	if (t->is_starting && t->rate_bps == t->config.min_bps)
		return false;
	begin_drain(t, in, now_ns);
	if (t->fruitless < FRUITLESS_MAX) {
		drain(t, in, now_ns);
		return false;
	}
	t->fruitless = 0;
	end_drain(t, in, t->first_bps, now_ns);
	t->drained_ns = 0;
	return true;
}

static void grow(struct track_rate *t, uint64_t step_ns)
{
	double seconds = (double)step_ns / 1e9;
	double a_second = t->growth;

	if (t->is_starting)
		a_second = GROWTH_START;
	else if (t->rate_bps < percent_of(t->reached_bps, FAR_PERCENT) && a_second < GROWTH_FAR)
		a_second = GROWTH_FAR;
	t->growth += t->growth * LN_2 * seconds / GROWTH_DOUBLE_S;
	if (t->growth > GROWTH_MAX)
		t->growth = GROWTH_MAX;
	t->growth_bits += (double)t->rate_bps * a_second * seconds;
	t->rate_bps = clamp(t, t->rate_bps + (uint64_t)t->growth_bits);
	t->growth_bits -= (double)(uint64_t)t->growth_bits;
	t->increases++;
}

static void take_no_queue(struct track_rate *t, const struct track_input *in, uint64_t step_ns)
{
	const struct track_figures *f = &in->figures;

	t->drained_ns = 0;
	t->foreign_since_ns = 0;
	if (in->load_bps <= percent_of(t->rate_bps, LOADED_PERCENT))
		return;
	if (f->loss_number != t->loss_number && f->loss_percent > LOSS_HEAVY_PERCENT) {
		t->rate_bps = clamp(t, percent_of(t->rate_bps, LOSS_DECREASE_PERCENT));
		t->decreases++;
		t->growth = GROWTH_MIN;
	} else if (f->queue_ns < track_threshold_ns(f) / 2) {
		grow(t, step_ns);
	}
}

/* Nothing heard of late. */
static void keep_quiet(struct track_rate *t, const struct track_input *in, uint64_t now_ns)
{
	if (t->is_draining)
		end_drain(t, in, target(t), now_ns);
	if (in->figures.fresh_ns == 0 || now_ns - in->figures.fresh_ns > TRACK_FORGET_NS) {
		t->rate_bps = t->config.max_bps;
		t->is_quiet = true;
	}
}

uint64_t track_rate_step(
	struct track_rate *t, const struct track_input *in, uint64_t now_ns, bool *rebase)
{
	const struct track_figures *f = &in->figures;
	uint64_t step_ns = now_ns - t->last_ns < STEP_MAX_NS ? now_ns - t->last_ns : STEP_MAX_NS;

	t->last_ns = now_ns;
	if (f->fresh_ns == 0 || now_ns - f->fresh_ns > TRACK_SILENCE_NS) {
		keep_quiet(t, in, now_ns);
		return t->rate_bps;
	}
	if (t->is_quiet) {
		t->is_quiet = false;
		t->is_starting = true;
		t->rate_bps = t->config.min_bps;
		t->hold_until_ns = now_ns + START_NS;
		t->growth = GROWTH_MIN;
	} else if (t->is_draining) {
		drain(t, in, now_ns);
	} else if (now_ns < t->hold_until_ns) {
		if (t->drained_ns != 0 && was_no_queue(t, in))
			take_back(t, in, now_ns);
	} else if (f->queue_ns > track_threshold_ns(f)) {
		if (take_queue(t, in, now_ns)) {
			t->rebases++;
			*rebase = true;
		}
	} else {
		take_no_queue(t, in, step_ns);
	}
	t->loss_number = f->loss_number;
	return t->rate_bps;
}
