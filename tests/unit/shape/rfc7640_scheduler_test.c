/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Section 6.2 of RFC 7640, queues and schedulers: eight classes on a link of 10 Gbit/s that is
 * offered 120 %, each class with two flows that send at a constant rate whatever is lost. Strict
 * priority, weights, assured rates, and all of them: the top class loses nothing and waits at most
 * 100 us (p99), shares are within 1 % of what the weights say, nothing is out of sequence, and what
 * is lost is counted to the packet.
 */
#include <stdlib.h>

#include "tests/unit/shape/sim.h"
#include "tests/unit/unit.h"

#define LINK_BPS 10000000000ull
#define OVERHEAD 24u
#define CLASSES 8u
#define FLOWS (2 * CLASSES)
#define SETTLE_NS 5000000
#define MEASURE_NS 100000000
#define POLL_NS 2000

/* Delays of the top class, in steps of 1 us. */
static struct {
	uint32_t count[1000];
	uint32_t all;
} delays;

static void watch_top(struct sim *sim, struct sim_flow *f, const struct pkt *p)
{
	if (f->flow.class_id != 0)
		return;
	uint64_t us = p->queued_ns == 0 ? 0 : (sim->now - p->queued_ns) / 1000;
	delays.count[us < 999 ? us : 999]++;
	delays.all++;
}

static unsigned delay_us(double part)
{
	uint32_t sum = 0;
	unsigned us = 0;

	while (us < 999 && (sum += delays.count[us]) < part * delays.all)
		us++;
	return us;
}

static struct sim *scheduler_create(void)
{
	struct sim *sim = sim_create(1, CLASSES, FLOWS, 64);

	sim->config->link_bps = LINK_BPS;
	sim->config->link_burst_ns = 10000;
	sim->config->overhead_bytes = OVERHEAD;
	for (unsigned i = 0; i < CLASSES; i++)
		sim->config->classes[i].queue_limit_bytes = 500000;
	for (unsigned i = 0; i < FLOWS; i++) {
		static const uint32_t sizes[] = {60, 586, 1514, 1514, 214, 1014, 1514, 60};
		sim->flows[i].flow.class_id = i % CLASSES;
		sim->flows[i].wire_bytes = sizes[(i * 5 + 2) % 8];
	}
	memset(&delays, 0, sizeof(delays));
	sim->watch = watch_top;
	return sim;
}

/* Each class's two flows offer offered[] (parts of the link) for `ns`. */
static void offer(struct sim *sim, const double *offered, uint64_t ns)
{
	static double due[FLOWS];
	double start = (double)(sim->now - SIM_START_NS);
	uint64_t end = sim->now + ns;

	for (unsigned i = 0; i < FLOWS; i++)
		due[i] = start + i;
	while (sim->now < end) {
		double now = (double)(sim->now - SIM_START_NS);
		for (unsigned i = 0; i < FLOWS; i++) {
			struct sim_flow *f = &sim->flows[i];
			double rate = offered[i % CLASSES] / 2 * LINK_BPS / 8e9;
			double gap = rate > 0 ? (f->wire_bytes + OVERHEAD) / rate : 1e18;
			for (; due[i] <= now; due[i] += gap)
				sim_offer(sim, f, f->wire_bytes);
		}
		sim_dequeue(sim, 0);
		sim->now += POLL_NS;
	}
}

/* Offered and expected as parts of the link, in the order of the classes. */
static void check(struct sim *sim, const double *offered, const double *expected, bool top_is_safe)
{
	uint64_t before[CLASSES], lost = 0;

	sim_configure(sim);
	offer(sim, offered, SETTLE_NS);
	for (unsigned c = 0; c < CLASSES; c++)
		before[c] = sim_class_bytes(sim, c);
	offer(sim, offered, MEASURE_NS);
	for (unsigned c = 0; c < CLASSES; c++) {
		const struct shaper_class_stats *stats = shaper_class_stats(sim->shaper[0], c);
		double bytes = (double)(sim_class_bytes(sim, c) - before[c]);
		CU_ASSERT_TRUE(
			sim_near(bytes, expected[c] * LINK_BPS / 8e9 * MEASURE_NS, 0.01, 3200));
		lost += stats->dropped_tail + stats->dropped_memory + stats->dropped_aqm;
		if (c == 0 && top_is_safe)
			CU_ASSERT_EQUAL(lost, 0);
	}
	CU_ASSERT_TRUE(lost > 1000);
	CU_ASSERT_EQUAL(sim->offered, sim->packets + lost + sim_backlog(sim));
	CU_ASSERT_EQUAL(sim->reordered, 0);
	if (top_is_safe) {
		CU_ASSERT_TRUE(delays.all > 1000);
		CU_ASSERT_TRUE(delay_us(0.99) <= 100);
	}
	sim_free(sim);
	CU_ASSERT_EQUAL(sim_packets_in_use(), 0);
}

/* 15 % each: six classes get all of it, the seventh what is left, the eighth nothing. */
static void test_strict(void)
{
	struct sim *sim = scheduler_create();
	const double offered[] = {.15, .15, .15, .15, .15, .15, .15, .15};
	const double expected[] = {.15, .15, .15, .15, .15, .15, .1, 0};

	for (unsigned c = 0; c < CLASSES; c++)
		sim->config->classes[c].priority = (uint8_t)c;
	check(sim, offered, expected, true);
}

/* All of one priority, everybody offers 1.2 times the share of its weight. */
static void test_weighted(void)
{
	struct sim *sim = scheduler_create();
	double offered[CLASSES], expected[CLASSES];

	for (unsigned c = 0; c < CLASSES; c++) {
		sim->config->classes[c].weight = c + 1;
		expected[c] = (c + 1) / 36.0;
		offered[c] = 1.2 * expected[c];
	}
	check(sim, offered, expected, false);
}

/* The top class in strict priority, the other seven by weight on what it leaves. */
static void test_strict_and_weighted(void)
{
	struct sim *sim = scheduler_create();
	double offered[CLASSES] = {.2}, expected[CLASSES] = {.2};

	for (unsigned c = 1; c < CLASSES; c++) {
		sim->config->classes[c].priority = 1;
		sim->config->classes[c].weight = c;
		expected[c] = .8 * c / 28.0;
		offered[c] = 1.0 * c / 28.0;
	}
	check(sim, offered, expected, true);
}

/* One class offers less than its share: what it leaves goes to the others by weight. */
static void test_unused_share(void)
{
	struct sim *sim = scheduler_create();
	double offered[CLASSES], expected[CLASSES];

	for (unsigned c = 0; c < CLASSES; c++) {
		offered[c] = c == 3 ? .05 : 1.15 / 7;
		expected[c] = c == 3 ? .05 : .95 / 7;
	}
	check(sim, offered, expected, false);
}

/* Assured rates first, then weights; a ceiling holds one back. */
static void test_assured(void)
{
	struct sim *sim = scheduler_create();
	struct shaper_class_config *c = sim->config->classes;
	const double offered[] = {.1, .3, .2, .2, .1, .1, .1, .1};
	/* Assured: .1 (all it wants), .2, .1. Of the .6 that are left class 3 may have .05, and six
	 * have the rest in equal parts, which is less than any of them still wants. */
	const double part = .55 / 6;
	const double expected[] = {.1, .2 + part, .1 + part, .05, part, part, part, part};

	c[0].rate_bps = LINK_BPS / 5;
	c[1].rate_bps = LINK_BPS / 5;
	c[2].rate_bps = LINK_BPS / 10;
	c[3].ceil_bps = LINK_BPS / 20;
	check(sim, offered, expected, true);
}

/* Bursts at once from all classes, 8 x 60 frames each 500 us (115 %), the top class has 4 of them:
 * it loses nothing and is first. */
static void test_bursts(void)
{
	struct sim *sim = scheduler_create();

	for (unsigned c = 0; c < CLASSES; c++) {
		sim->config->classes[c].priority = c > 0;
		sim->config->classes[c].queue_limit_bytes = 100000;
	}
	sim_configure(sim);
	for (unsigned k = 0; k < 200; k++) {
		uint64_t start = sim->now;
		for (unsigned i = 0; i < 60; i++)
			for (unsigned c = CLASSES; c-- > 0;)
				if (c > 0 || i < 4)
					sim_offer(sim, &sim->flows[c], 1514);
		while (sim->now < start + 500000) {
			sim_dequeue(sim, 0);
			sim->now += POLL_NS;
		}
	}
	CU_ASSERT_EQUAL(shaper_class_stats(sim->shaper[0], 0)->dropped_tail, 0);
	CU_ASSERT_EQUAL(delays.all, 800);
	/* Its four frames and the lease of another class. */
	CU_ASSERT_TRUE(delay_us(0.99) <= 20);
	uint64_t least = UINT64_MAX, most = 0;
	for (unsigned c = 1; c < CLASSES; c++) {
		uint64_t bytes = sim_class_bytes(sim, c);
		least = bytes < least ? bytes : least;
		most = bytes > most ? bytes : most;
	}
	CU_ASSERT_TRUE(sim_near((double)most, (double)least, 0.01, 3200));
	CU_ASSERT_EQUAL(sim->reordered, 0);
	sim_free(sim);
}

/* Section 6.4, all at once: class 1 is policed to 1 Gbit/s (RFC 2697) of the 2 that it is offered,
 * class 2 is shaped to 1.5, class 3 has CoDel and PIE class 4, and the link is full. Each holds its
 * own rate as if it were alone: the policed and the shaped one within 0.1 %, shares within 1 %. */
static void test_concurrent(void)
{
	struct sim *sim = scheduler_create();
	struct shaper_class_config *c = sim->config->classes;
	const double offered[CLASSES] = {.1, .2, .3, .4, .4, .4};
	const double expected[CLASSES] = {.1, .1, .15, .65 / 3, .65 / 3, .65 / 3};
	uint64_t before[CLASSES];

	c[0].priority = 0;
	for (unsigned i = 1; i < CLASSES; i++)
		c[i].priority = 1;
	c[1].rate_bps = LINK_BPS / 5;
	c[1].police = (struct policer_config){.mode = POLICE_SRTCM,
		.action = {POLICE_PASS, POLICE_DROP, POLICE_DROP},
		.cir_bps = LINK_BPS / 10,
		.cbs_bytes = 20000,
		.ebs_bytes = 20000};
	c[2].rate_bps = c[2].ceil_bps = LINK_BPS * 15 / 100;
	c[2].burst_bytes = 20000;
	c[3].aqm = AQM_CODEL;
	c[4].aqm = AQM_PIE;
	c[3].queue_limit_bytes = c[4].queue_limit_bytes = 4000000;
	sim_configure(sim);
	/* Beyond the 150 ms that PIE lets a burst pass, and CoDel's interval. */
	offer(sim, offered, 300000000);
	for (unsigned i = 0; i < CLASSES; i++)
		before[i] = sim_class_bytes(sim, i);
	offer(sim, offered, MEASURE_NS);
	for (unsigned i = 0; i < CLASSES; i++)
		CU_ASSERT_TRUE(sim_near((double)(sim_class_bytes(sim, i) - before[i]),
			expected[i] * LINK_BPS / 8e9 * MEASURE_NS, i == 1 || i == 2 ? 0.001 : 0.01,
			3200));
	const struct shaper_class_stats *policed = shaper_class_stats(sim->shaper[0], 1);
	CU_ASSERT_EQUAL(policed->dropped_police, policed->colour[1] + policed->colour[2]);
	CU_ASSERT_EQUAL(policed->dropped_tail + policed->dropped_aqm, 0);
	CU_ASSERT_EQUAL(shaper_class_stats(sim->shaper[0], 2)->dropped_aqm, 0);
	CU_ASSERT_TRUE(shaper_class_stats(sim->shaper[0], 3)->dropped_aqm > 0);
	CU_ASSERT_TRUE(shaper_class_stats(sim->shaper[0], 4)->dropped_aqm > 0);
	CU_ASSERT_EQUAL(shaper_class_stats(sim->shaper[0], 0)->dropped_tail, 0);
	CU_ASSERT_TRUE(delay_us(0.99) <= 100);
	CU_ASSERT_EQUAL(sim->offered, sim->packets + sim_dropped(sim) + sim_backlog(sim));
	CU_ASSERT_EQUAL(sim->reordered, 0);
	sim_free(sim);
	CU_ASSERT_EQUAL(sim_packets_in_use(), 0);
}

UNIT_TESTS("rfc7640-scheduler", {"6.2 strict priority", test_strict},
	{"6.2 weights", test_weighted},
	{"6.2 strict priority and weights", test_strict_and_weighted},
	{"6.2 unused share", test_unused_share}, {"6.2 assured rates and a ceiling", test_assured},
	{"6.2 bursts", test_bursts}, {"6.4 police, shape and AQM at once", test_concurrent})
