/* SPDX-License-Identifier: BSD-3-Clause */
/* The search for a path's rate: speedtest_search.h. */
#include "dataplane/control/speedtest_search.h"

#include <string.h>

#define MS UINT64_C(1000000)
#define WINDOW_NS (100 * MS) /* that rates and losses are taken over */
#define STEP_NS (100 * MS)   /* and a round trip: until a change shows */
#define QUEUE_NS (20 * MS)
#define QUEUE_SAMPLES 3
#define QUEUE_SMALL_NS (3 * MS)
#define QUEUE_SOME_NS (5 * MS)
#define STRETCH 1.15
#define LOSS_MORE 0.02
#define LOSS_PACKETS 50 /* fewer say nothing of a ratio */
#define RTT_MAX_NS (1000 * MS)
#define RATE_MAX_BPS 1e15

void speed_search_init(struct speed_search *s, uint64_t limit_bps, uint64_t rtt_ns, uint64_t now_ns)
{
	memset(s, 0, sizeof(*s));
	s->limit_bps = limit_bps;
	s->rate_bps = limit_bps < SPEED_START_BPS ? limit_bps : SPEED_START_BPS;
	s->rtt_ns = rtt_ns < RTT_MAX_NS ? rtt_ns : RTT_MAX_NS;
	s->step_ns = now_ns;
}

void speed_search_limit(struct speed_search *s, uint64_t limit_bps)
{
	s->limit_bps = limit_bps;
	if (s->rate_bps > limit_bps)
		s->rate_bps = limit_bps;
}

static uint64_t bps_of(uint64_t bytes, uint64_t ns)
{
	double bps = ns == 0 ? 0 : (double)bytes * 8e9 / (double)ns;

	return bps < RATE_MAX_BPS ? (uint64_t)bps : (uint64_t)RATE_MAX_BPS;
}

/* The newest sample that is a window older than `now`, else the oldest there is. */
static const struct speed_sample *window_start(
	const struct speed_search *s, const struct speed_sample *now)
{
	unsigned kept = s->count < SPEED_SAMPLES ? s->count : SPEED_SAMPLES;
	const struct speed_sample *found = NULL;

	for (unsigned i = 1; i <= kept; i++) {
		found = &s->samples[(s->count - i) % SPEED_SAMPLES];
		if (now->arrived_ns - found->arrived_ns >= WINDOW_NS)
			break;
	}
	return found;
}

/* Delay above the least, of the fastest of the last few packets: a queue holds all of them up,
 * jitter and a receiver that was away only some. */
static uint64_t standing_queue(const struct speed_search *s, int64_t delay_ns)
{
	unsigned kept = s->count < QUEUE_SAMPLES ? s->count : QUEUE_SAMPLES;

	for (unsigned i = 1; i <= kept; i++) {
		const struct speed_sample *p = &s->samples[(s->count - i) % SPEED_SAMPLES];
		int64_t other_ns = (int64_t)(p->arrived_ns - p->sent_ns);

		if (other_ns < delay_ns)
			delay_ns = other_ns;
	}
	return (uint64_t)delay_ns - (uint64_t)s->least_delay_ns;
}

/* Does the path lose more between two samples than it did before them, by more than chance? */
static bool loses_more(const struct speed_sample *from, const struct speed_sample *to)
{
	double lost_before = (double)(from->expected - from->packets);
	double before = (lost_before + 1) / ((double)from->expected + 20);
	double expected = (double)(to->expected - from->expected);
	double loss = 1 - (double)(to->packets - from->packets) / expected;
	double more = loss - before - LOSS_MORE;

	/* Five standard deviations of a binomial: it is asked a hundred times a second. */
	return expected >= LOSS_PACKETS && more > 0 &&
	       more * more * expected > 25 * before * (1 - before);
}

static bool is_full(
	const struct speed_sample *from, const struct speed_sample *to, uint64_t queue_ns)
{
	double sent_ns = (double)(to->sent_ns - from->sent_ns);
	double arrived_ns = (double)(to->arrived_ns - from->arrived_ns);

	return queue_ns > QUEUE_NS || loses_more(from, to) ||
	       (queue_ns > QUEUE_SOME_NS && arrived_ns > sent_ns * STRETCH);
}

static void settle(struct speed_search *s, uint64_t now_ns)
{
	if (s->settled_ns == 0)
		s->settled_ns = now_ns;
}

/* A step is over: what is offered next? */
static void step(struct speed_search *s, bool full, uint64_t queue_ns, uint64_t now_ns)
{
	if (full) {
		uint64_t least = s->received_bps < s->rate_bps ? s->received_bps : s->rate_bps;

		s->is_saturated = true;
		s->rate_bps = least / 100 * 98;
		s->calm = 0;
		settle(s, now_ns);
	} else if (s->is_saturated) {
		/* Faster and faster: it may have been no queue, but chance or other traffic. */
		if (queue_ns < QUEUE_SMALL_NS)
			s->rate_bps += s->rate_bps / 100 * (4u << (s->calm < 4 ? s->calm++ : 4));
	} else if (s->rate_bps < s->limit_bps) {
		s->rate_bps *= 2;
	} else {
		settle(s, now_ns);
	}
	if (s->rate_bps > s->limit_bps)
		s->rate_bps = s->limit_bps;
	if (s->rate_bps < 64000)
		s->rate_bps = 64000;
	s->step_ns = now_ns;
}

void speed_search_sample(struct speed_search *s, const struct speed_sample *sample, uint64_t now_ns)
{
	const struct speed_sample *last = &s->samples[(s->count - 1) % SPEED_SAMPLES];
	int64_t delay_ns = (int64_t)(sample->arrived_ns - sample->sent_ns);

	/* Reports may overtake each other, and may be anything. */
	if (sample->packets == 0 || sample->expected < sample->packets ||
		(s->count > 0 &&
			(sample->packets <= last->packets || sample->bytes <= last->bytes ||
				sample->expected < last->expected ||
				(int64_t)(sample->arrived_ns - last->arrived_ns) <= 0 ||
				(int64_t)(sample->sent_ns - last->sent_ns) < 0)))
		return;
	if (s->count == 0 || delay_ns < s->least_delay_ns)
		s->least_delay_ns = delay_ns;
	histogram_record(&s->delay, (uint64_t)delay_ns - (uint64_t)s->least_delay_ns);
	uint64_t queue_ns = standing_queue(s, delay_ns);

	const struct speed_sample *from = window_start(s, sample);
	if (from != NULL && sample->arrived_ns - from->arrived_ns >= WINDOW_NS / 2) {
		uint64_t packet_bytes = sample->bytes / sample->packets;
		s->received_bps =
			bps_of(sample->bytes - from->bytes, sample->arrived_ns - from->arrived_ns);
		s->offered_bps = bps_of((sample->expected - from->expected) * packet_bytes,
			sample->sent_ns - from->sent_ns);
		bool full = is_full(from, sample, queue_ns);
		if (now_ns - s->step_ns >= STEP_NS + s->rtt_ns)
			step(s, full, queue_ns, now_ns);
		else if (full && !s->is_saturated)
			step(s, full, queue_ns, now_ns);
	}
	s->samples[s->count++ % SPEED_SAMPLES] = *sample;
	if (s->settled_ns != 0 && !s->has_base && now_ns - s->settled_ns >= s->rtt_ns + STEP_NS) {
		s->has_base = true;
		s->base = *sample;
	}
}

void speed_search_result(const struct speed_search *s, uint64_t *rate_bps, uint64_t *over_ns)
{
	const struct speed_sample *last = &s->samples[(s->count - 1) % SPEED_SAMPLES];

	*rate_bps = *over_ns = 0;
	if (s->count == 0)
		return;
	if (s->has_base && last->arrived_ns - s->base.arrived_ns >= WINDOW_NS) {
		*over_ns = last->arrived_ns - s->base.arrived_ns;
		*rate_bps = bps_of(last->bytes - s->base.bytes, *over_ns);
		return;
	}
	*rate_bps = s->received_bps;
	*over_ns = s->received_bps == 0 ? 0 : WINDOW_NS;
}
