/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dataplane/clock.h: reads both clocks, lets clock_rate.h's arithmetic decide and publishes the
 * outcome by replacing one pointer. The last eight rates stay readable, which at one a second is
 * seconds longer than any worker keeps the pointer.
 */
#include "dataplane/port/clock_rate.h"

#include <time.h>

#define RATES 8

/* rates and tracker: control thread. clock_current: control writes, everyone reads. */
static struct clock_rate rates[RATES] = {{.mult = UINT64_C(1) << 32}};
static struct clock_tracker tracker;
static unsigned rate_index;
const struct clock_rate *clock_current = &rates[0];

static uint64_t mult_between(struct clock_reading a, struct clock_reading b)
{
	return (uint64_t)(((unsigned __int128)(b.ns - a.ns) << 32) / (b.tsc - a.tsc));
}

void clock_tracker_start(struct clock_tracker *t, struct clock_reading a, struct clock_reading b,
	struct clock_rate *rate)
{
	t->last = b;
	t->doubted = false;
	t->frequency_mult = mult_between(a, b);
	rate->base_tsc = b.tsc;
	rate->base_ns = b.ns;
	rate->mult = t->frequency_mult;
}

/* A virtual machine that was moved or paused may see its TSC jump once: then one interval gives a
 * frequency that never was. A true change of frequency shows again in the next interval. */
static void frequency_follow(struct clock_tracker *t, struct clock_reading now)
{
	uint64_t mult = mult_between(t->last, now);
	uint64_t apart =
		mult > t->frequency_mult ? mult - t->frequency_mult : t->frequency_mult - mult;
	bool unlikely_one = apart > t->frequency_mult / 1000000 * CLOCK_JUMP_PPM;

	if (!unlikely_one || t->doubted)
		t->frequency_mult = mult;
	t->doubted = unlikely_one && !t->doubted;
}

bool clock_tracker_next(struct clock_tracker *t, struct clock_reading now,
	const struct clock_rate *current, struct clock_rate *next)
{
	uint64_t passed_ns = now.ns - t->last.ns;

	if (passed_ns < NS_PER_S / 10 || now.tsc <= t->last.tsc)
		return false;
	frequency_follow(t, now);
	t->last = now;

	/* Spread the offset over the time until the next call, taken to be as long as the last. */
	uint64_t ours_ns = clock_ns_of(current, now.tsc);
	uint64_t interval_ns = passed_ns > NS_PER_S ? passed_ns : NS_PER_S;
	__int128 slew = (__int128)(int64_t)(now.ns - ours_ns) * (int64_t)t->frequency_mult /
			(int64_t)interval_ns;
	__int128 limit = (__int128)t->frequency_mult * CLOCK_SLEW_PPM_MAX / 1000000;
	if (slew > limit)
		slew = limit;
	if (slew < -limit)
		slew = -limit;
	next->base_tsc = now.tsc;
	next->base_ns = ours_ns;
	next->mult = (uint64_t)((__int128)t->frequency_mult + slew);
	return true;
}

/* Both clocks at one moment: the tightest of a few tries, so that being preempted in between does
 * not count. */
static struct clock_reading read_both(void)
{
	struct clock_reading best = {0};
	uint64_t narrowest = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		struct timespec now;
		uint64_t before = rte_rdtsc_precise();

		clock_gettime(CLOCK_MONOTONIC, &now);
		uint64_t after = rte_rdtsc_precise();
		if (after - before < narrowest) {
			narrowest = after - before;
			best.tsc = before + narrowest / 2;
			best.ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
		}
	}
	return best;
}

void clock_start(void)
{
	struct clock_reading first = read_both();
	struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};

	nanosleep(&pause, NULL);
	rate_index = 0;
	clock_tracker_start(&tracker, first, read_both(), &rates[0]);
	__atomic_store_n(&clock_current, &rates[0], __ATOMIC_RELEASE);
}

void clock_discipline(void)
{
	struct clock_rate *next = &rates[(rate_index + 1) % RATES];

	if (!clock_tracker_next(&tracker, read_both(), clock_current, next))
		return;
	rate_index = (rate_index + 1) % RATES;
	__atomic_store_n(&clock_current, next, __ATOMIC_RELEASE);
}

int64_t clock_slew_ppb(void)
{
	const struct clock_rate *c = __atomic_load_n(&clock_current, __ATOMIC_ACQUIRE);

	return (int64_t)((__int128)((int64_t)c->mult - (int64_t)tracker.frequency_mult) *
			 1000000000 / (int64_t)tracker.frequency_mult);
}
