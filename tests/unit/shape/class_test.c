/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What each class and flow gets of a link that is asked for more than it has: assured rates,
 * ceilings, priorities, weights, fairness among flows, and how long a sparse flow waits.
 */
#include "tests/unit/shape/sim.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

#define LINK 100000000u /* bit/s */

/* `per_class` greedy flows in every class of a link of 100 Mbit/s. */
static struct sim *shares_create(unsigned classes, unsigned per_class)
{
	struct sim *sim = sim_create(1, classes, classes * per_class, 1024);

	sim->config->link_bps = LINK;
	sim->config->link_burst_ns = 100000; /* well above the distance of polls */
	for (unsigned i = 0; i < sim->flow_count; i++) {
		sim->flows[i].flow.class_id = i % classes;
		sim->flows[i].wire_bytes = 0;
	}
	return sim;
}

/* Let it settle, then compare the classes' rates over `ms` with what is expected, in bit/s. */
static void check_shares(struct sim *sim, const double *expected, unsigned ms)
{
	uint64_t before[16];

	sim_configure(sim);
	sim_run(sim, sim->now + 100000000, 20000);
	for (unsigned c = 0; c < sim->config->class_count; c++)
		before[c] = sim_class_bytes(sim, c);
	sim_run(sim, sim->now + ms * 1000000ull, 20000);
	for (unsigned c = 0; c < sim->config->class_count; c++)
		CU_ASSERT_TRUE(sim_near((double)(sim_class_bytes(sim, c) - before[c]),
			expected[c] * ms / 8e3, 0.005, 1600));
	CU_ASSERT_EQUAL(sim->reordered, 0);
}

/* Nothing assured: shares follow the weights, also extreme ones. */
static void test_weights(void)
{
	struct sim *sim = shares_create(4, 3);
	for (unsigned c = 0; c < 4; c++)
		sim->config->classes[c].weight = c + 1;
	check_shares(sim, (double[]){10e6, 20e6, 30e6, 40e6}, 1000);
	sim_free(sim);

	sim = shares_create(3, 1);
	for (unsigned i = 0; i < 3; i++)
		sim->flows[i].keep = 40;
	sim->config->classes[0].weight = 1;
	sim->config->classes[1].weight = 99;
	sim->config->classes[2].weight = 900;
	check_shares(sim, (double[]){0.1e6, 9.9e6, 90e6}, 10000);
	sim_free(sim);
}

/* Assured rates first; the rest by weight. */
static void test_borrowing(void)
{
	struct sim *sim = shares_create(3, 4);
	struct shaper_class_config *c = sim->config->classes;

	c[0].rate_bps = 40000000;
	c[1].rate_bps = 10000000;
	c[1].weight = 3;
	c[2].weight = 1;
	c[0].weight = 1;
	/* 50 left: 10 + 30 + 10 */
	check_shares(sim, (double[]){50e6, 40e6, 10e6}, 1000);
	uint64_t bytes = shaper_class_stats(sim->shaper[0], 1)->bytes;
	uint64_t borrowed = shaper_class_stats(sim->shaper[0], 1)->borrowed_bytes;
	CU_ASSERT_TRUE(sim_near((double)borrowed / (double)bytes, 0.75, 0.01, 0));
	/* Nothing is assured: all of it is borrowed. */
	CU_ASSERT_EQUAL(shaper_class_stats(sim->shaper[0], 2)->borrowed_bytes,
		shaper_class_stats(sim->shaper[0], 2)->bytes);
	sim_free(sim);
}

/* Ceilings bind, and what they leave goes to the others. */
static void test_ceilings(void)
{
	struct sim *sim = shares_create(3, 2);
	struct shaper_class_config *c = sim->config->classes;

	c[0].ceil_bps = 20000000;
	c[1].rate_bps = 10000000;
	c[1].ceil_bps = 15000000;
	check_shares(sim, (double[]){20e6, 15e6, 65e6}, 1000);
	sim_free(sim);

	/* All bound: the link is not full. */
	sim = shares_create(2, 2);
	sim->config->classes[0].ceil_bps = 30000000;
	sim->config->classes[1].rate_bps = sim->config->classes[1].ceil_bps = 25000000;
	check_shares(sim, (double[]){30e6, 25e6}, 1000);
	sim_free(sim);
}

/* Borrowing goes by priority, but an assured rate of the last priority is kept. */
static void test_priorities(void)
{
	struct sim *sim = shares_create(4, 2);
	struct shaper_class_config *c = sim->config->classes;

	c[0].priority = 7;
	c[0].rate_bps = 5000000;
	c[1].priority = 0;
	c[1].rate_bps = 10000000;
	c[1].ceil_bps = 30000000;
	c[2].priority = 1;
	c[2].ceil_bps = 50000000;
	c[3].priority = 2;
	check_shares(sim, (double[]){5e6, 30e6, 50e6, 15e6}, 1000);
	sim_free(sim);
}

/* The top priority offers 30 of 100 Mbit/s among greedy others: it loses nothing and hardly waits.
 * With an assured rate it needs no priority for that. */
static void top_class(uint8_t priority, uint64_t rate_bps)
{
	struct sim *sim = shares_create(3, 2);
	struct shaper_class_config *c = sim->config->classes;
	struct sim_flow *voice = &sim->flows[2]; /* class 2 */
	uint64_t next = 0, worst = 0, sent_bytes = 0;

	sim->flows[2].keep = sim->flows[5].keep = 0;
	sim->config->overhead_bytes = 24;
	for (unsigned i = 0; i < 3; i++) {
		c[i].priority = 7;
		c[i].queue_limit_bytes = 20000;
	}
	c[2].priority = priority;
	c[2].rate_bps = rate_bps;
	for (unsigned i = 0; i < 6; i++)
		if (sim->flows[i].keep)
			sim->flows[i].keep = 30; /* beyond the queue limit */
	sim_configure(sim);
	uint64_t end = sim->now + 500000000;
	next = sim->now;
	while (sim->now < end) {
		while (next <= sim->now) {
			sim_offer(sim, voice, 226); /* 250 bytes each 66 us: 30 Mbit/s */
			next += 66667;
		}
		uint64_t before = voice->sent;
		for (unsigned i = 0; i < 6; i++) {
			struct sim_flow *f = &sim->flows[i];
			if (f->keep && sim_random(sim) % 4 == 0)
				sim_offer(sim, f, 1514);
		}
		sim_dequeue(sim, 0);
		if (voice->sent != before) {
			uint64_t waited =
				sim->now - (next - 66667ull * (voice->offered - voice->sent + 1));
			worst = waited > worst ? waited : worst;
		}
		sim->now += 10000;
	}
	sent_bytes = voice->sent_bytes;
	const struct shaper_class_stats *stats = shaper_class_stats(sim->shaper[0], 2);
	CU_ASSERT_EQUAL(stats->dropped_tail + stats->dropped_aqm + stats->dropped_memory, 0);
	CU_ASSERT_TRUE(voice->offered - voice->sent <= 2);
	CU_ASSERT_TRUE(sent_bytes >= 250ull * 7490);
	/* One full frame of the link (123 us), the own one, and two polls. */
	CU_ASSERT_TRUE(worst < 123000 + 20000 + 20000);
	CU_ASSERT_TRUE(sim_dropped(sim) > 1000);
	sim_free(sim);
}

static void test_top_priority(void)
{
	top_class(0, 0);
	top_class(0, 40000000);
	top_class(7, 40000000);
}

/* Two classes and a third whose flows are limited: the limit holds, the rest goes to the others. */
static void test_limited_flows(void)
{
	struct sim *sim = shares_create(3, 2);
	struct shaper_class_config *c = sim->config->classes;

	c[0].rate_bps = 20000000;
	c[1].rate_bps = 50000000;
	c[2].flow_rate_bps = 4000000;
	c[2].rate_bps = 10000000;
	/* 2 flows of 4; 22 left, shared by two. */
	check_shares(sim, (double[]){31e6, 61e6, 8e6}, 1000);
	CU_ASSERT_TRUE(sim_near(sim->flows[2].sent_bytes, sim->flows[5].sent_bytes, 0.005, 1600));
	sim_free(sim);
}

/* Flows of one class share alike whatever the sizes of their packets; limited ones do not hold the
 * others up. */
static void test_flow_fairness(void)
{
	struct sim *sim = shares_create(1, 10);
	uint64_t before[10];

	for (unsigned i = 0; i < 10; i++) {
		sim->flows[i].wire_bytes = 100 + 150 * i;
		sim->flows[i].keep = 20 + 10 * i;
	}
	sim_configure(sim);
	sim_run(sim, sim->now + 100000000, 20000);
	for (unsigned i = 0; i < 10; i++)
		before[i] = sim->flows[i].sent_bytes;
	sim_run(sim, sim->now + 1000000000, 20000);
	for (unsigned i = 0; i < 10; i++)
		CU_ASSERT_TRUE(
			sim_near(sim->flows[i].sent_bytes - before[i], LINK / 8 / 10, 0.002, 3200));
	sim_free(sim);
}

/* A flow that sends a packet now and then does not wait for the queues of its class's greedy ones.
 */
static void test_sparse_flow(void)
{
	struct sim *sim = shares_create(1, 51);
	struct sim_flow *sparse = &sim->flows[50];
	uint64_t worst = 0;

	sparse->keep = 0;
	sim_configure(sim);
	for (unsigned i = 0; i < 50; i++)
		sim->flows[i].wire_bytes = 1514;
	sim_run(sim, sim->now + 100000000, 10000);
	for (unsigned i = 0; i < 200; i++) {
		uint64_t at = sim->now;
		sim_offer(sim, sparse, 100);
		while (sparse->sent != sparse->offered) {
			sim_poll(sim, 0);
			sim->now += 10000;
		}
		worst = sim->now - at > worst ? sim->now - at : worst;
		sim_run(sim, sim->now + 5000000 + sim_random(sim) % 1000000, 10000);
	}
	/* One frame of the link (121 us) and two polls; a round of all flows takes 6 ms. */
	CU_ASSERT_TRUE(worst <= 121120 + 8000 + 20000);
	sim_free(sim);
}

/* No class and no flow starves within its level: all get something in any 600 ms,
 * where the fair share of each flow is a frame in 200 ms. */
static void test_no_starvation(void)
{
	struct sim *sim = shares_create(8, 16);

	for (unsigned c = 0; c < 8; c++) {
		sim->config->classes[c].priority = c;
		sim->config->classes[c].rate_bps = 1000000;
		sim->config->classes[c].aqm = c & 1;
	}
	sim_configure(sim);
	for (unsigned k = 0; k < 5; k++) {
		uint64_t start = sim->now;
		sim_run(sim, sim->now + 600000000, 50000);
		for (unsigned i = 0; i < sim->flow_count; i++)
			CU_ASSERT_TRUE(sim->flows[i].last_ns >= start);
	}
	sim_free(sim);
}

/* CoDel: a sender that does not yield is held near the target delay by drops, one below the rate
 * loses nothing, and a queue is never emptied by drops. */
static void test_codel(void)
{
	struct sim *sim = shares_create(2, 1);
	struct shaper_class_config *c = sim->config->classes;

	c[0].aqm = c[1].aqm = true;
	sim->config->link_bps = 10000000;
	sim_configure(sim);
	uint64_t end = sim->now + 20000000000ull, next[2] = {sim->now, sim->now};
	while (sim->now < end) {
		while (next[0] <= sim->now) { /* 10.4 Mbit/s */
			sim_offer(sim, &sim->flows[0], 1000);
			next[0] += 769230;
		}
		while (next[1] <= sim->now) { /* 0.8 Mbit/s */
			sim_offer(sim, &sim->flows[1], 100);
			next[1] += 1000000;
		}
		sim_dequeue(sim, 0);
		sim->now += 50000;
		if (sim->now > end - 10000000000ull && sim->now <= end - 9999950000ull)
			sim->max_delay_ns = 0;
	}
	const struct shaper_class_stats *a = shaper_class_stats(sim->shaper[0], 0);
	CU_ASSERT_TRUE(a->dropped_aqm > 100);
	CU_ASSERT_EQUAL(a->dropped_aqm, sim->reasons[0][DROP_AQM]);
	CU_ASSERT_EQUAL(shaper_class_stats(sim->shaper[0], 1)->dropped_aqm, 0);
	CU_ASSERT_TRUE(sim->max_delay_ns < 150000000);
	CU_ASSERT_TRUE(sim_near(sim->flows[0].sent_bytes, 9.2e6 / 8 * 20, 0.01, 0));
	CU_ASSERT_EQUAL(sim->offered, sim->packets + sim_dropped(sim) + sim_backlog(sim));
	CU_ASSERT_EQUAL(sim->reordered, 0);
	sim_free(sim);
	CU_ASSERT_EQUAL(sim_packets_in_use(), 0);
}

/* Queues fill until no more packets may wait: a class that floods them, with one flow or with many,
 * does not keep another class's packet out, nor one of a new flow of its own. */
static void test_room(void)
{
	for (unsigned hogs = 1; hogs <= 100; hogs *= 100) {
		struct sim *sim = sim_create(1, 2, 102, 200);
		const struct shaper_class_stats *stats = shaper_class_stats(sim->shaper[0], 0);

		sim->room.most = 1000;
		sim->config->link_bps = 1000000;
		sim_configure(sim);
		sim->flows[100].flow.class_id = 1;
		for (unsigned i = 0; i < 5000; i++)
			sim_offer(sim, &sim->flows[i % hogs], 60);
		CU_ASSERT_TRUE(sim->room.waiting > 600 && sim->room.waiting <= 800);
		CU_ASSERT_EQUAL(sim->room.waiting, sim_backlog(sim));
		CU_ASSERT_TRUE(stats->dropped_memory > 4000);
		CU_ASSERT_EQUAL(stats->dropped_memory, sim_dropped(sim));
		CU_ASSERT_EQUAL(stats->dropped_memory, sim->reasons[0][DROP_QUEUE_NO_MEMORY]);
		uint64_t waiting = sim->room.waiting;
		sim_offer(sim, &sim->flows[100], 60);
		sim_offer(sim, &sim->flows[101], 60);
		CU_ASSERT_EQUAL(sim->room.waiting, waiting + 2);
		for (unsigned ms = 0; ms < 1000; ms++) {
			sim->now += 1000000;
			sim_dequeue(sim, 0);
		}
		CU_ASSERT_EQUAL(sim->room.waiting, 0);
		CU_ASSERT_EQUAL(sim->offered, sim->packets + sim_dropped(sim));
		CU_ASSERT_EQUAL(sim->reordered, 0);
		sim_free(sim);
	}
	CU_ASSERT_EQUAL(sim_packets_in_use(), 0);
}

/* Flows alike above the target: one after another is told to slow down, not all at once; but all
 * at once above twice the target. */
static void test_codel_in_turn(void)
{
	for (unsigned keep = 14; keep <= 28; keep += 14) { /* 6.9 and 13.8 ms */
		struct sim *sim = sim_create(1, 1, 4, 16);
		const struct shaper_class_stats *stats = shaper_class_stats(sim->shaper[0], 0);

		sim->config->link_bps = LINK;
		sim->config->link_burst_ns = 100000;
		sim->config->overhead_bytes = 24;
		sim->config->classes[0].aqm = AQM_CODEL;
		for (unsigned i = 0; i < 4; i++)
			sim->flows[i].keep = keep;
		sim_configure(sim);
		sim_run(sim, sim->now + 150000000, 20000);
		CU_ASSERT_EQUAL(stats->dropped_aqm, keep == 14 ? 1 : 4);
		sim_run(sim, sim->now + 350000000, 20000);
		CU_ASSERT_TRUE(stats->dropped_aqm >= 8); /* nobody is spared for good */
		sim_free(sim);
	}
}

UNIT_TESTS("shape-class", {"weights", test_weights}, {"assured and borrowed", test_borrowing},
	{"ceilings", test_ceilings}, {"priorities", test_priorities},
	{"top priority and assured lose nothing", test_top_priority},
	{"two classes and limited flows", test_limited_flows},
	{"flows share alike", test_flow_fairness}, {"a sparse flow goes first", test_sparse_flow},
	{"nobody starves", test_no_starvation}, {"codel", test_codel},
	{"codel, one flow after another", test_codel_in_turn}, {"queues leave room", test_room})
