/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One rate spent by several workers (leases): exact in sum for any number of workers, any skew and
 * with workers that stall; assured rates and priorities hold across workers. The workers are
 * simulated in turn on one thread, each with its own rhythm, in virtual time.
 */
#include "tests/unit/shape/sim.h"
#include "tests/unit/unit.h"

#include <pthread.h>

#include "dataplane/shape/lease.h"

/* Every worker polls after 1..3 us by chance; those in `stalled` don't poll at all. */
static void run(struct sim *sim, uint64_t until, uint32_t stalled)
{
	uint64_t next[SIM_WORKERS];

	for (unsigned w = 0; w < sim->workers; w++)
		next[w] = sim->now + sim_random(sim) % 2000;
	for (;;) {
		unsigned first = 0;
		for (unsigned w = 1; w < sim->workers; w++)
			if (next[w] < next[first])
				first = w;
		if (next[first] >= until)
			break;
		if (next[first] > sim->now)
			sim->now = next[first];
		if (!(stalled & 1u << first))
			sim_poll(sim, first);
		next[first] = sim->now + 1000 + sim_random(sim) % 2000;
	}
	sim->now = until;
}

static struct sim *workers_create(unsigned workers, uint64_t bps, unsigned keep)
{
	struct sim *sim = sim_create(workers, 2, workers * 2, 64);

	sim->config->overhead_bytes = 24;
	sim->config->link_bps = bps;
	sim->config->link_burst_ns = 50000;
	for (unsigned i = 0; i < sim->flow_count; i++) {
		sim->flows[i].keep = keep;
		sim->flows[i].wire_bytes = i % 3 ? 1514 : 500;
	}
	return sim;
}

static const uint64_t rates[] = {10000000, 1000000000, 20000000000};
static const unsigned counts[] = {1, 2, 4, 16};

/* Enough packets for what may leave in 3 us and a burst. */
static unsigned keep_for(uint64_t bps, unsigned workers)
{
	return 8 + (unsigned)(bps / 8e9 * 60000 / 500 / workers);
}

static void check_sum(struct sim *sim, double bps, uint64_t ns, uint32_t stalled, double part)
{
	uint64_t before = sim->bytes;

	run(sim, sim->now + ns, stalled);
	/* Besides, a frame of each worker and 10 us of the rate at either end. */
	CU_ASSERT_TRUE(sim_near((double)(sim->bytes - before), bps / 8e9 * (double)ns, part,
		1538.0 * (sim->workers + 1) + bps / 8e9 * 13000));
}

/* All workers greedy: the sum is the rate, settled within a millisecond. They take turns of about
 * the same size, so none is left behind. */
static void test_sum(void)
{
	for (unsigned r = 0; r < 3; r++)
		for (unsigned k = 0; k < 4; k++) {
			struct sim *sim =
				workers_create(counts[k], rates[r], keep_for(rates[r], counts[k]));
			uint64_t ns = r == 0 ? 2000000000 : r == 1 ? 100000000 : 8000000;
			sim_configure(sim);
			run(sim, sim->now + 1000000, 0);
			check_sum(sim, rates[r], ns, 0, 0.0005);
			for (unsigned w = 0; w < counts[k]; w++) {
				uint64_t own = shaper_class_stats(sim->shaper[w], 0)->bytes;
				CU_ASSERT_TRUE(sim_near(
					(double)own, (double)sim->bytes / counts[k], 0.4, 4000));
			}
			CU_ASSERT_EQUAL(sim->reordered, 0);
			sim_free(sim);
		}
	CU_ASSERT_EQUAL(sim_packets_in_use(), 0);
}

/* A class's rate and ceiling, spent by all. */
static void test_class_sum(void)
{
	for (unsigned k = 0; k < 4; k++) {
		struct sim *sim = workers_create(counts[k], 0, 16);
		sim->config->classes[0].rate_bps = 100000000;
		sim->config->classes[0].ceil_bps = 300000000;
		sim_configure(sim);
		run(sim, sim->now + 1000000, 0);
		uint64_t borrowed = 0, bytes = 0;
		check_sum(sim, 300e6, 200000000, 0, 0.0005);
		for (unsigned w = 0; w < counts[k]; w++) {
			bytes += shaper_class_stats(sim->shaper[w], 0)->bytes;
			borrowed += shaper_class_stats(sim->shaper[w], 0)->borrowed_bytes;
		}
		CU_ASSERT_TRUE(sim_near((double)borrowed / (double)bytes, 2.0 / 3, 0.01, 0));
		sim_free(sim);
	}
}

/* One worker has 90 % of the load and more is asked for than there is: the busy one gets what the
 * others leave. */
static void test_skew(void)
{
	for (unsigned k = 1; k < 4; k++) {
		unsigned n = counts[k];
		struct sim *sim = workers_create(n, 1000000000, 0);
		sim_configure(sim);
		sim->flows[0].keep = 64; /* worker 0 */
		uint64_t end = sim->now + 101000000, before = 0;
		/* The others: 10 % of the rate in all, in single packets. */
		uint64_t gap = (uint64_t)(1538 * 8.0 / 100e6 * 1e9 * (n - 1));
		uint64_t next[SIM_WORKERS] = {0};
		bool begun = false;
		while (sim->now < end) {
			if (!begun && sim->now >= end - 100000000) {
				begun = true;
				before = sim->bytes;
			}
			for (unsigned w = 1; w < n; w++)
				if (next[w] <= sim->now) {
					sim_offer(sim, &sim->flows[w], 1514);
					next[w] = sim->now + gap / 2 + sim_random(sim) % gap;
				}
			run(sim, sim->now + 2000, 0);
		}
		CU_ASSERT_TRUE(sim_near(
			(double)(sim->bytes - before), 12500000, 0.0005, 1538.0 * n + 2000));
		for (unsigned w = 1; w < n; w++) /* nobody's few packets wait for long */
			CU_ASSERT_TRUE(sim->flows[w].offered - sim->flows[w].sent < 8);
		CU_ASSERT_EQUAL(sim_dropped(sim), 0);
		sim_free(sim);
	}
}

/* Workers that stop, in turn, while they hold leases: the others take over, at most a lease each is
 * lost for good, and nothing is spent twice when they come back. */
static void test_stalled(void)
{
	for (unsigned k = 1; k < 4; k++) {
		unsigned n = counts[k];
		struct sim *sim = workers_create(n, 2000000000, 64);
		sim_configure(sim);
		run(sim, sim->now + 1000000, 0);
		check_sum(sim, 2e9, 20000000, 1, 0.0005);
		check_sum(sim, 2e9, 20000000, (1u << n) - 2, 0.0005); /* all but one */
		uint64_t before = sim->bytes, start = sim->now;
		for (unsigned i = 0; i < 100; i++) /* stalls of 1 ms, another one each time */
			run(sim, sim->now + 1000000, 1u << i % n);
		CU_ASSERT_TRUE(sim_near((double)(sim->bytes - before),
			2.0 / 8 * (double)(sim->now - start), 0.005, 1538.0 * n + 5000));
		sim_free(sim);
	}
}

/* A class's assured rate holds although it is on one worker, and greedy borrowers on all others. */
static void test_assured_across(void)
{
	for (unsigned k = 1; k < 4; k++) {
		unsigned n = counts[k];
		struct sim *sim = workers_create(n, 100000000, 8);
		sim->config->classes[1].rate_bps = 80000000;
		sim->config->classes[1].ceil_bps = 80000000;
		for (unsigned i = 0; i < sim->flow_count; i++)
			sim->flows[i].flow.class_id = sim->flows[i].worker == 0;
		sim_configure(sim);
		run(sim, sim->now + 5000000, 0);
		uint64_t one = sim_class_bytes(sim, 1), all = sim->bytes;
		run(sim, sim->now + 400000000, 0);
		CU_ASSERT_TRUE(sim_near(sim_class_bytes(sim, 1) - one, 4000000, 0.005, 2000));
		CU_ASSERT_TRUE(sim_near(sim->bytes - all, 5000000, 0.0005, 1538.0 * (n + 1)));
		sim_free(sim);
	}
}

/* Nothing assured: the first priority on one worker goes before greedy ones on the others. */
static void test_priority_across(void)
{
	for (unsigned k = 1; k < 4; k++) {
		unsigned n = counts[k];
		struct sim *sim = workers_create(n, 100000000, 8);
		sim->config->link_burst_ns = 1000000;
		sim->config->classes[1].ceil_bps = 70000000;
		sim->config->classes[0].priority = 5;
		for (unsigned i = 0; i < sim->flow_count; i++)
			sim->flows[i].flow.class_id = sim->flows[i].worker == 0;
		sim_configure(sim);
		run(sim, sim->now + 5000000, 0);
		uint64_t one = sim_class_bytes(sim, 1), all = sim->bytes;
		run(sim, sim->now + 400000000, 0);
		CU_ASSERT_TRUE(sim_near(sim_class_bytes(sim, 1) - one, 3500000, 0.01, 2000));
		CU_ASSERT_TRUE(sim_near(sim->bytes - all, 5000000, 0.0005, 1538.0 * (n + 1)));
		sim_free(sim);
	}
}

/* What may leave at once after a pause, by all workers together. */
static void test_burst(void)
{
	for (unsigned r = 0; r < 3; r++)
		for (unsigned k = 0; k < 4; k++) {
			unsigned n = counts[k];
			struct sim *sim = workers_create(n, rates[r], 1);
			double per_ns = rates[r] / 8e9;
			sim_configure(sim);
			sim->now += 1000000000;
			for (unsigned w = 0; w < n; w++)
				for (unsigned i = 0; i < 20 + 50000 * per_ns * 2 / 1538; i++)
					sim_offer(sim, &sim->flows[w], 1514);
			double over = 20000 * per_ns;
			over = over > 2 * 1538 ? over : 2 * 1538;
			CU_ASSERT_TRUE(sim->bytes <= 50000 * per_ns + over);
			sim_free(sim);
		}
}

/* What a worker takes of the link for its assured class is not for its borrowers beyond their
 * turns: those of two workers share evenly what is left, whatever is assured on one of them. */
static void test_assured_lends_nothing(void)
{
	for (uint64_t assured = 1; assured <= 7; assured += 2) {
		struct sim *sim = sim_create(2, 2, 3, 16);
		struct shaper_class_config *c = &sim->config->classes[1];

		sim->config->link_bps = 10000000000;
		sim->config->link_burst_ns = 50000;
		c->rate_bps = c->ceil_bps = assured * 1000000000;
		sim->flows[0].flow.class_id = 1;
		sim->flows[1].worker = 0;
		sim->flows[2].worker = 1;
		for (unsigned i = 0; i < 3; i++)
			sim->flows[i].keep = 40;
		sim_configure(sim);
		sim_run(sim, sim->now + 20000000, 1000);
		for (unsigned i = 1; i < 3; i++)
			CU_ASSERT_TRUE(sim_near((double)sim->flows[i].sent_bytes,
				(double)(10 - assured) * 1.25e6, 0.01, 20000));
		sim_free(sim);
	}
}

/* The lease alone: taken, spent, overdrawn, given back: the shared TAT counts every byte once. */
static void test_lease(void)
{
	struct lease_shared shared;
	struct lease a = {.shared = &shared}, b = {.shared = &shared};
	uint64_t now = 1000000, inv = bucket_inverse(1000000000), burst = bucket_q16(20000);

	lease_shared_init(&shared, 2);
	lease_shared_configure(&shared, inv, burst, now);
	uint64_t start = bucket_q16(now) - burst;
	CU_ASSERT_EQUAL(shared.tat, start);
	CU_ASSERT_EQUAL(shared.quantum_bytes, 625); /* 10 us of 1 Gbit/s by 2 */
	CU_ASSERT_TRUE(lease_ready(&a, 1538, now));
	CU_ASSERT_EQUAL(shared.tat, start + bucket_cost(inv, 1538));
	lease_spend(&a, 1000);
	CU_ASSERT_EQUAL(a.credit, 538);
	lease_spend(&a, 1000); /* 462 more than it had */
	CU_ASSERT_EQUAL(a.credit, 0);
	CU_ASSERT_EQUAL(shared.tat, start + bucket_cost(inv, 2000));
	CU_ASSERT_TRUE(lease_ready(&b, 100, now));
	CU_ASSERT_EQUAL(b.credit, 625);
	/* 2,625 bytes are 21 us: spent. a reserves. */
	CU_ASSERT_FALSE(lease_ready(&a, 700, now));
	CU_ASSERT_EQUAL(a.ready_ns, now + 1000);
	CU_ASSERT_FALSE(lease_ready(&a, 700, now + 999));
	CU_ASSERT_TRUE(lease_ready(&a, 700, now + 1000));
	/* A polite one stands back, and its turn comes. */
	lease_return(&b);
	CU_ASSERT_EQUAL(b.credit, 0);
	CU_ASSERT_EQUAL(shared.tat, start + bucket_cost(inv, 2700));
	uint64_t retry = 0;
	CU_ASSERT_FALSE(lease_polite_turn(&b, now, 1, 3, &retry));
	CU_ASSERT_EQUAL(retry, now + 1600);
	CU_ASSERT_EQUAL(shared.waiting[0], 1ull << (3 * 16 + 1));
	/* Worker 0 asks, too, at a lower priority: 1 is before it for the grace time. */
	struct lease c = {.shared = &shared};
	CU_ASSERT_FALSE(lease_polite_turn(&c, now + 1600, 0, 5, &retry));
	CU_ASSERT_EQUAL(retry, now + 1600 + shared.grace_ns);
	CU_ASSERT_TRUE(lease_polite_turn(&b, now + 1600, 1, 3, &retry));
	lease_stop_waiting(&b, 1);
	CU_ASSERT_EQUAL(shared.waiting[0], 0);
	/* A reservation follows a corrected charge. */
	lease_return(&a);
	lease_return(&b);
	lease_stop_waiting(&c, 0);
	CU_ASSERT_EQUAL(shared.waiting[1], 0);
	CU_ASSERT_EQUAL(shared.tat, start + bucket_cost(inv, 2000));
	now += 10000;
	lease_spend(&a, 2000); /* TAT: 2 us ahead */
	CU_ASSERT_FALSE(lease_ready(&a, 700, now));
	CU_ASSERT_EQUAL(a.ready_ns, now + 2000);
	lease_correct(&a, 125, now);
	CU_ASSERT_EQUAL(a.ready_ns, now + 1000);
	lease_correct(&a, -25, now);
	CU_ASSERT_EQUAL(a.ready_ns, now + 1200);
	CU_ASSERT_EQUAL(shared.tat, start + bucket_cost(inv, 2000 + 2000 + 700 - 100));
	/* A rate ten times as high: the debt is paid in a tenth of the time. */
	lease_return(&a);
	lease_shared_configure(&shared, bucket_inverse(10000000000), burst, now);
	CU_ASSERT_EQUAL(bucket_ready_ns(shared.tat, now), now + 120);
	lease_shared_configure(&shared, bucket_inverse(10000000000), burst, now);
	CU_ASSERT_EQUAL(bucket_ready_ns(shared.tat, now), now + 120);
	/* Idle for days: brought up to date from time to time, the TAT never looks ahead. */
	for (unsigned i = 0; i < 30; i++) {
		now += 8 * 3600000000000ull;
		lease_shared_refresh(&shared, now);
		CU_ASSERT_EQUAL(shared.tat, bucket_q16(now) - burst);
	}
}

struct spender {
	pthread_t thread;
	struct lease_shared *shared;
	uint64_t bytes;
};

static void *spend(void *arg)
{
	struct spender *me = arg;
	struct lease lease = {.shared = me->shared};

	for (unsigned i = 0; i < 300000; i++) {
		uint32_t bytes = 84 + i * 7 % 1455;
		lease_ready(&lease, bytes, 1000000);
		lease_spend(&lease, bytes);
		me->bytes += bytes;
		if (i % 5 == 0) {
			lease_correct(&lease, 30, 1000000);
			me->bytes -= 30;
		}
		if (i % 11 == 0)
			lease_return(&lease);
	}
	lease_return(&lease);
	return NULL;
}

/* Real threads: no byte is lost or charged twice. */
static void test_threads(void)
{
	struct lease_shared shared;
	struct spender spenders[4];
	uint64_t bytes = 0;

	lease_shared_init(&shared, 4);
	/* 1 ns a byte: no rounding. */
	lease_shared_configure(&shared, bucket_inverse(8000000000), bucket_q16(10000), 1000000);
	for (unsigned i = 0; i < 4; i++) {
		spenders[i] = (struct spender){.shared = &shared};
		CU_ASSERT_EQUAL_FATAL(
			pthread_create(&spenders[i].thread, NULL, spend, &spenders[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(spenders[i].thread, NULL);
		bytes += spenders[i].bytes;
	}
	CU_ASSERT_EQUAL(shared.tat, bucket_q16(1000000 - 10000 + bytes));
}

UNIT_TESTS("shape-workers", {"a lease to the byte", test_lease},
	{"leases on real threads", test_threads}, {"1 to 16 greedy workers, link", test_sum},
	{"1 to 16 greedy workers, class", test_class_sum}, {"one worker with 90 %", test_skew},
	{"stalled workers", test_stalled}, {"assured across workers", test_assured_across},
	{"priority across workers", test_priority_across},
	{"assured bytes lend nothing", test_assured_lends_nothing},
	{"burst of all workers", test_burst})
