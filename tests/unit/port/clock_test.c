/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The clock's arithmetic against clocks made here: a true time in ns and a TSC that runs at a
 * frequency, with an error and with a drift that the test chooses. One test uses the real ones.
 */
#include "dataplane/port/clock_rate.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <time.h>

#define S UINT64_C(1000000000)

/* A TSC of hz that reads 10^15 when the true time is 5 s; exact, by 128-bit arithmetic. */
static struct clock_reading at(uint64_t ns, uint64_t hz)
{
	unsigned __int128 cycles = (unsigned __int128)(ns - 5 * S) * hz / S;
	return (struct clock_reading){
		.tsc = UINT64_C(1000000000000000) + (uint64_t)cycles, .ns = ns};
}

static int64_t error_ns(const struct clock_rate *r, struct clock_reading t)
{
	return (int64_t)(clock_ns_of(r, t.tsc) - t.ns);
}

static void test_frequency(void)
{
	static const uint64_t hz[] = {1000000000, 2596000123, 3999999999, 24000000};

	for (unsigned i = 0; i < 4; i++) {
		struct clock_tracker t;
		struct clock_rate r;

		clock_tracker_start(&t, at(5 * S, hz[i]), at(5 * S + S / 20, hz[i]), &r);
		CU_ASSERT(llabs(error_ns(&r, at(6 * S, hz[i]))) < 100);
		/* no overflow after a hundred days on one rate: 2^-32 of a cycle, 1 ppm */
		CU_ASSERT(llabs(error_ns(&r, at(8640000 * S, hz[i]))) < (int64_t)(9 * S));
	}
}

static void test_before_base(void)
{
	struct clock_tracker t;
	struct clock_rate r;

	clock_tracker_start(&t, at(6 * S, 2500000000), at(7 * S, 2500000000), &r);
	/* A TSC read just before the base, by another core: a little less, not 584 years more. */
	CU_ASSERT_EQUAL(clock_ns_of(&r, r.base_tsc), 7 * S);
	CU_ASSERT(
		llabs((int64_t)clock_ns_of(&r, r.base_tsc - 2500) - (int64_t)(7 * S - 1000)) <= 1);
}

/* A start with a frequency 300 ppm wrong, then corrections: converges, continuous, within 500 ppm.
 */
static void test_converges(void)
{
	const uint64_t hz = 2596000123, false_hz = hz - hz / 1000000 * 300;
	struct clock_tracker t;
	struct clock_rate r[2];
	struct clock_reading start = at(6 * S, hz), wrong = start;
	int64_t worst = 0;

	wrong.tsc -= false_hz / 20;
	wrong.ns -= S / 20;
	clock_tracker_start(&t, wrong, start, &r[0]);
	for (unsigned i = 1; i < 600; i++) {
		struct clock_rate *old = &r[(i + 1) & 1], *now = &r[i & 1];
		struct clock_reading here = at(6 * S + i * S, hz);

		CU_ASSERT_FATAL(clock_tracker_next(&t, here, old, now));
		CU_ASSERT_EQUAL(clock_ns_of(now, here.tsc), clock_ns_of(old, here.tsc));
		CU_ASSERT(clock_ns_of(now, here.tsc + 3) >= clock_ns_of(old, here.tsc));
		/* speed against true time over the second that follows */
		int64_t gained = error_ns(now, at(7 * S + i * S, hz)) - error_ns(now, here);
		CU_ASSERT(llabs(gained) <= 500000 + 10);
		if (i > 5 && llabs(error_ns(now, here)) > worst)
			worst = llabs(error_ns(now, here));
	}
	CU_ASSERT(worst < 50);
}

/* CLOCK_MONOTONIC itself is slewed, +400 ppm for a minute: we follow it. */
static void test_follows_slewed(void)
{
	const uint64_t hz = 2100000000, fast_hz = hz - hz / 1000000 * 400;
	struct clock_tracker t;
	struct clock_rate r[2];
	struct clock_reading here = at(6 * S, hz);

	clock_tracker_start(&t, at(5 * S, hz), here, &r[0]);
	unsigned i = 1;
	for (; i < 60; i++) {
		here.tsc += fast_hz;
		here.ns += S;
		CU_ASSERT(clock_tracker_next(&t, here, &r[(i + 1) & 1], &r[i & 1]));
	}
	CU_ASSERT(llabs(error_ns(&r[(i + 1) & 1], here)) < 1000);
}

/* 10 ms of offset take 20 s at 500 ppm, and do not overshoot, whatever the interval. */
static void test_offset(void)
{
	static const unsigned every[] = {1, 3, 10};
	const uint64_t hz = 3000000000;

	for (unsigned k = 0; k < 3; k++) {
		struct clock_tracker t;
		struct clock_rate r[2];

		clock_tracker_start(&t, at(5 * S, hz), at(6 * S, hz), &r[0]);
		r[0].base_ns -= 10000000;
		for (unsigned i = 1; i <= 60 / every[k]; i++) {
			struct clock_reading here = at(6 * S + i * every[k] * S, hz);
			CU_ASSERT(clock_tracker_next(&t, here, &r[(i + 1) & 1], &r[i & 1]));
			int64_t error = error_ns(&r[i & 1], here);
			CU_ASSERT(error <= 100);
			if (i * every[k] <= 15)
				CU_ASSERT(error < -2000000);
			if (i * every[k] >= 40)
				CU_ASSERT(error > -100);
		}
	}
}

/* The TSC jumps by a minute once (a moved virtual machine): the frequency stays, time only slews.
 */
static void test_jump(void)
{
	const uint64_t hz = 2500000000;
	struct clock_tracker t;
	struct clock_rate r[2];
	struct clock_reading here;

	clock_tracker_start(&t, at(5 * S, hz), at(6 * S, hz), &r[0]);
	for (unsigned i = 1; i < 10; i++) {
		here = at(6 * S + i * S, hz);
		if (i > 4)
			here.tsc += 60 * hz;
		CU_ASSERT(clock_tracker_next(&t, here, &r[(i + 1) & 1], &r[i & 1]));
		CU_ASSERT(llabs((int64_t)(t.frequency_mult - ((S << 32) / hz))) < 10);
	}
	/* but a changed frequency is believed at its second reading */
	struct clock_reading last = here;
	for (unsigned i = 1; i <= 2; i++) {
		last.tsc += hz / 2;
		last.ns += S;
		clock_tracker_next(&t, last, &r[0], &r[1]);
		CU_ASSERT_EQUAL(t.frequency_mult > (S << 32) / hz * 3 / 2, i == 2);
	}
}

static void test_too_soon(void)
{
	const uint64_t hz = 2500000000;
	struct clock_tracker t;
	struct clock_rate r, next = {0};

	clock_tracker_start(&t, at(5 * S, hz), at(6 * S, hz), &r);
	CU_ASSERT_FALSE(clock_tracker_next(&t, at(6 * S + S / 20, hz), &r, &next));
	CU_ASSERT_FALSE(clock_tracker_next(&t, (struct clock_reading){1, 8 * S}, &r, &next));
	CU_ASSERT_EQUAL(next.mult, 0);
	CU_ASSERT_TRUE(clock_tracker_next(&t, at(6 * S + S / 10, hz), &r, &next));
}

static void test_real(void)
{
	struct timespec early, late;
	uint64_t before = 0;

	clock_start();
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t ns = clock_now_ns();
		CU_ASSERT_FATAL(ns >= before);
		before = ns;
		if (i % 1000 == 0)
			clock_discipline();
	}
	/* Between two readings of the kernel's clock, however far apart those are on a busy
	 * machine. */
	clock_gettime(CLOCK_MONOTONIC, &early);
	uint64_t ours = clock_now_ns();
	clock_gettime(CLOCK_MONOTONIC, &late);
	CU_ASSERT(ours + 1000000 > (uint64_t)early.tv_sec * S + early.tv_nsec);
	CU_ASSERT(ours < (uint64_t)late.tv_sec * S + late.tv_nsec + 1000000);
}

UNIT_TESTS("clock", {"the frequency is measured", test_frequency},
	{"a reading before the base", test_before_base},
	{"a wrong frequency converges, continuously", test_converges},
	{"a slewed CLOCK_MONOTONIC is followed", test_follows_slewed},
	{"an offset is worked off at 500 ppm", test_offset},
	{"one jump of the TSC is not believed", test_jump},
	{"readings too close are left out", test_too_soon},
	{"the real clock only goes forward", test_real})
