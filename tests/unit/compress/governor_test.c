/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * compress/governor.c in virtual time: a worker whose queue fills faster than it is emptied, at
 * speeds that depend on the step, until both hold the balance.
 */
#include "dataplane/compress/governor.h"
#include "tests/unit/unit.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define BURST 64

static struct governor g;
static uint64_t now_ns;

static void bursts(unsigned queue, unsigned count, bool full)
{
	for (unsigned i = 0; i < count; i++) {
		now_ns += 10 * US;
		governor_burst(&g, queue, full, now_ns);
	}
}

static void set_up(void)
{
	governor_init(&g);
	now_ns = 5 * MS;
}

static void test_steps(void)
{
	set_up();
	/* Short rushes, in one queue or alternating, are none of its business. */
	for (int i = 0; i < 1000; i++) {
		bursts(0, GOVERNOR_FULL_MIN - 1, true);
		bursts(0, 1, false);
	}
	bursts(0, GOVERNOR_FULL_MIN - 1, true);
	bursts(1, GOVERNOR_FULL_MIN - 1, true);
	CU_ASSERT_EQUAL(g.step, 0);
	CU_ASSERT_EQUAL(g.ups, 0);
	/* What stays full takes it down to nothing, step by step, and no further. */
	for (unsigned step = 1; step < GOVERNOR_STEPS + 3; step++) {
		bursts(2, GOVERNOR_FULL_MIN, true);
		CU_ASSERT_EQUAL(g.step, step < GOVERNOR_STEPS ? step : GOVERNOR_BYPASS);
	}
	CU_ASSERT_EQUAL(g.ups, GOVERNOR_BYPASS);
	/* Back a step each time that it has been calm for long enough. */
	for (unsigned step = GOVERNOR_BYPASS; step > 0; step--) {
		uint64_t calm_ns = now_ns;

		while (g.step == step && now_ns - calm_ns < 1000 * MS)
			bursts(0, 1, false);
		CU_ASSERT_EQUAL(g.step, step - 1);
		CU_ASSERT(now_ns - calm_ns >= GOVERNOR_CALM_NS - 20 * US);
		CU_ASSERT(now_ns - calm_ns <= GOVERNOR_CALM_NS + 20 * US);
	}
	CU_ASSERT_EQUAL(g.downs, GOVERNOR_BYPASS);
	bursts(0, 10000, false);
	CU_ASSERT_EQUAL(g.step, 0);
	CU_ASSERT_EQUAL(g.downs, GOVERNOR_BYPASS);
}

/* A long queue holds more of a rush. */
static void test_long_queue(void)
{
	set_up();
	governor_queue(&g, 1, 64);
	bursts(1, 31, true);
	CU_ASSERT_EQUAL(g.step, 0);
	bursts(1, 1, true);
	CU_ASSERT_EQUAL(g.step, 1);
	governor_queue(&g, 2, 100000);
	bursts(2, 254, true);
	CU_ASSERT_EQUAL(g.step, 1);
	governor_queue(&g, 3, 2);
	bursts(3, GOVERNOR_FULL_MIN, true);
	CU_ASSERT_EQUAL(g.step, 2);
}

/* Full now and then, but never drained: it stays where it is. */
static void test_no_way_back(void)
{
	set_up();
	while (g.step < GOVERNOR_BYPASS)
		bursts(0, 1, true);
	for (int i = 0; i < 1000; i++) {
		bursts(0, GOVERNOR_FULL_MIN, true);
		bursts(0, 1, false);
	}
	CU_ASSERT_EQUAL(g.step, GOVERNOR_BYPASS);
	CU_ASSERT_EQUAL(g.downs, 0);
}

/*
 * A queue that gets `per_ms` packets a millisecond, of a worker that needs cost_ns[step] for each.
 * Returns the steps taken in the second half of `seconds`; *mean_step: where it spent its time.
 */
static uint64_t run(uint64_t per_ms, unsigned seconds, double *mean_step, uint64_t *lost)
{
	static const uint64_t cost_ns[GOVERNOR_STEPS] = {2000, 1500, 1000, 100};
	uint64_t begin_ns, waiting = 0, arrived = 0, half_steps = 0, sum = 0, rounds = 0;

	set_up();
	begin_ns = now_ns;
	*lost = 0;
	while (now_ns - begin_ns < seconds * 1000 * MS) {
		uint64_t due = (now_ns - begin_ns) * per_ms / MS;
		uint64_t n;

		waiting += due - arrived;
		arrived = due;
		if (waiting > 1024) {
			*lost += waiting - 1024;
			waiting = 1024;
		}
		n = waiting < BURST ? waiting : BURST;
		governor_burst(&g, 0, n == BURST, now_ns);
		waiting -= n;
		now_ns += 200 + n * cost_ns[g.step];
		sum += g.step;
		rounds++;
		if (now_ns - begin_ns < seconds * 500 * MS)
			half_steps = g.ups + g.downs;
	}
	*mean_step = (double)sum / (double)rounds;
	return g.ups + g.downs - half_steps;
}

static void test_balance(void)
{
	double mean;
	uint64_t lost, steps;

	/* Easily done, and just so: nothing happens. */
	CU_ASSERT_EQUAL(run(200, 2, &mean, &lost), 0);
	CU_ASSERT(mean == 0 && lost == 0);
	CU_ASSERT_EQUAL(run(450, 2, &mean, &lost), 0);
	CU_ASSERT(mean == 0 && lost == 0);
	/* More than the first step can do: it changes seldom, and loses nothing. */
	steps = run(600, 20, &mean, &lost);
	CU_ASSERT(steps <= 20);
	CU_ASSERT(mean > 0.5 && mean < 2);
	CU_ASSERT_EQUAL(lost, 0);
	/* More than any compression can do. */
	steps = run(3000, 20, &mean, &lost);
	CU_ASSERT(steps <= 20);
	CU_ASSERT(mean > 2.5);
	CU_ASSERT(lost < 3000 * 20000 / 1000);
}

UNIT_TESTS("compress-governor", {"steps down and back", test_steps},
	{"a long queue", test_long_queue}, {"no way back without calm", test_no_way_back},
	{"holds the balance", test_balance})
