/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Groups of classes, and hosts within a class: what each gets of a full link, through several
 * levels, and that trees change while packets wait in them. goals_test.c has the wider sweeps.
 */
#include "dataplane/packet/edit.h"
#include "tests/unit/shape/sim.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#define LINK 100000000u /* bit/s */

static struct sim *tree_create(unsigned classes, unsigned flows)
{
	struct sim *sim = sim_create(1, classes, flows, 4096);

	sim->config->link_bps = LINK;
	sim->config->link_burst_ns = 100000;
	for (unsigned i = 0; i < flows; i++)
		sim->flows[i].wire_bytes = 0;
	return sim;
}

static void class_in(struct sim *sim, unsigned id, unsigned parent, unsigned weight)
{
	sim->config->classes[id].parent = parent;
	sim->config->classes[id].weight = weight;
}

/* Rates of all classes over `ms` after settling, against what is expected, in bit/s. */
static void check_rates(struct sim *sim, const double *expected, unsigned ms)
{
	uint64_t before[32];

	sim_configure(sim);
	sim_run(sim, sim->now + 100000000, 20000);
	for (unsigned c = 0; c < sim->config->class_count; c++)
		before[c] = sim_class_bytes(sim, c);
	sim_run(sim, sim->now + ms * 1000000ull, 20000);
	for (unsigned c = 0; c < sim->config->class_count; c++)
		CU_ASSERT_TRUE(sim_near((double)(sim_class_bytes(sim, c) - before[c]),
			expected[c] * ms / 8e3, 0.01, 3200));
	CU_ASSERT_EQUAL(sim->reordered, 0);
}

/* The link goes to groups by their weights, however many classes each has. */
static void test_groups_share(void)
{
	struct sim *sim = tree_create(7, 10);

	/* 1 and 2 are groups: 3, 4, 5 in the first, 6 in the second; 0 stands alone. */
	class_in(sim, 0, SHAPER_NO_PARENT, 1);
	class_in(sim, 1, SHAPER_NO_PARENT, 1);
	class_in(sim, 2, SHAPER_NO_PARENT, 2);
	for (unsigned c = 3; c < 6; c++)
		class_in(sim, c, 1, c == 5 ? 2 : 1);
	class_in(sim, 6, 2, 1);
	for (unsigned i = 0; i < 10; i++)
		sim->flows[i].flow.class_id = (unsigned[]){0, 3, 3, 3, 3, 4, 5, 6, 6, 6}[i];
	check_rates(sim, (double[]){25e6, 0, 0, 6.25e6, 6.25e6, 12.5e6, 50e6}, 1000);
	sim_free(sim);
}

/* Assured rates hold through the levels; what a group leaves of its own goes to its classes first;
 * the rest by weight. */
static void test_assured_in_groups(void)
{
	struct sim *sim = tree_create(6, 12);
	struct shaper_class_config *c = sim->config->classes;

	/* 1: group, assured 60; 3 in it is assured 20, 4 nothing. 2: group, nothing assured; 5. */
	class_in(sim, 1, SHAPER_NO_PARENT, 1);
	class_in(sim, 2, SHAPER_NO_PARENT, 1);
	class_in(sim, 3, 1, 1);
	class_in(sim, 4, 1, 3);
	class_in(sim, 5, 2, 1);
	c[1].rate_bps = 60000000;
	c[3].rate_bps = 20000000;
	for (unsigned i = 0; i < 12; i++)
		sim->flows[i].flow.class_id = (unsigned[]){0, 3, 4, 5}[i % 4];
	/* 40 left for 0, 1 and 2: 13.3 each. In 1: 73.3, of these 20 + 53.3 * 1/4 and 53.3 * 3/4.
	 */
	check_rates(sim, (double[]){13.33e6, 0, 0, 33.33e6, 40e6, 13.33e6}, 2000);
	/* Nobody in 3: all of 1's goes to 4. */
	for (unsigned i = 0; i < 12; i++)
		if (sim->flows[i].flow.class_id == 3)
			sim->flows[i].keep = 0;
	sim_run(sim, sim->now + 100000000, 20000);
	check_rates(sim, (double[]){13.33e6, 0, 0, 0, 73.33e6, 13.33e6}, 1000);
	sim_free(sim);
}

/* A group's ceiling binds its classes, four levels deep; others get what it leaves. */
static void test_group_ceilings(void)
{
	struct sim *sim = tree_create(8, 14);
	struct shaper_class_config *c = sim->config->classes;

	class_in(sim, 1, SHAPER_NO_PARENT, 1); /* region, at most 50 */
	class_in(sim, 2, 1, 1);		       /* site in it, at most 20 */
	class_in(sim, 3, 1, 1);		       /* site in it */
	class_in(sim, 4, 2, 1);
	class_in(sim, 5, 2, 3);
	class_in(sim, 6, 3, 1);
	class_in(sim, 7, 3, 1);
	c[1].ceil_bps = 50000000;
	c[2].ceil_bps = 20000000;
	c[7].ceil_bps = 5000000;
	for (unsigned i = 0; i < 14; i++)
		sim->flows[i].flow.class_id = (unsigned[]){0, 4, 4, 5, 6, 7, 7}[i % 7];
	check_rates(sim, (double[]){50e6, 0, 0, 0, 5e6, 15e6, 25e6, 5e6}, 1000);
	sim_free(sim);
}

/* The priority of a class counts among its siblings, and a top class within its assured rate does
 * not wait for its group's turn. */
static void test_priority_in_groups(void)
{
	struct sim *sim = tree_create(6, 24);
	struct shaper_class_config *c = sim->config->classes;

	for (unsigned group = 1; group < 3; group++) {
		class_in(sim, group, SHAPER_NO_PARENT, 1);
		c[group].rate_bps = 2000000;
	}
	class_in(sim, 3, 1, 1);
	class_in(sim, 4, 1, 1);
	class_in(sim, 5, 2, 1);
	c[3].priority = 0;
	c[3].rate_bps = 2000000;
	c[4].priority = c[5].priority = c[0].priority = 4;
	for (unsigned i = 0; i < 24; i++) {
		sim->flows[i].flow.class_id = (unsigned[]){0, 4, 5}[i % 3];
		sim->flows[i].keep = 10;
	}
	sim->flows[0].flow.class_id = 3;
	sim->flows[0].keep = 0;
	sim_configure(sim);
	sim_run(sim, sim->now + 100000000, 20000);
	/* A packet of 200 bytes every 2 ms: 0.9 Mbit/s of the 2 that are assured. */
	for (unsigned k = 0; k < 500; k++) {
		uint32_t sent = sim->flows[0].sent;
		uint64_t start = sim->now;
		sim_offer(sim, &sim->flows[0], 200);
		while (sim->flows[0].sent == sent && sim->now < start + 2000000)
			sim_run(sim, sim->now + 10000, 10000);
		/* A full-size frame of somebody else may be under way, and the burst's worth. */
		CU_ASSERT_TRUE(sim->now - start <= 400000);
		sim_run(sim, start + 2000000, 20000);
	}
	sim_free(sim);
}

/* One rate for each host, whatever the number of its flows; the flows of a host share it alike, and
 * hosts without a limit share the class. */
static void test_hosts(void)
{
	struct sim *sim = tree_create(2, 40);
	uint64_t sent[4] = {0}, least = UINT64_MAX, most = 0;

	sim->config->classes[1].flow_rate_bps = 8000000;
	sim->config->classes[1].per = PER_SRC;
	sim->config->classes[1].per_bits4 = 24;
	for (unsigned i = 0; i < 40; i++) {
		struct flow *f = &sim->flows[i].flow;
		unsigned host = i < 1 ? 0 : i < 4 ? 1 : i < 10 ? 2 : 3; /* 1, 3, 6, 30 flows */
		f->class_id = 1;
		f->key.addr[0][10] = f->key.addr[0][11] = 0xff;
		f->key.addr[0][14] = (uint8_t)host;
		f->key.addr[0][15] = (uint8_t)i; /* within the /24 */
	}
	sim_configure(sim);
	sim_run(sim, sim->now + 200000000, 20000);
	for (unsigned i = 0; i < 40; i++)
		sim->flows[i].sent_bytes = 0;
	sim_run(sim, sim->now + 2000000000, 20000);
	for (unsigned i = 0; i < 40; i++) {
		uint64_t bytes = sim->flows[i].sent_bytes;
		sent[i < 1 ? 0 : i < 4 ? 1 : i < 10 ? 2 : 3] += bytes;
		if (i >= 10) {
			least = bytes < least ? bytes : least;
			most = bytes > most ? bytes : most;
		}
	}
	for (unsigned host = 0; host < 4; host++)
		CU_ASSERT_TRUE(sim_near((double)sent[host], 2e6, 0.005, 1600));
	CU_ASSERT_TRUE(most - least <= 4000);

	/* Fair shares of the link among hosts, without a rate. */
	sim->config->classes[1].flow_rate_bps = 0;
	sim_configure(sim);
	sim_run(sim, sim->now + 200000000, 20000);
	memset(sent, 0, sizeof(sent));
	for (unsigned i = 0; i < 40; i++)
		sim->flows[i].sent_bytes = 0;
	sim_run(sim, sim->now + 1000000000, 20000);
	for (unsigned i = 0; i < 40; i++)
		sent[i < 1 ? 0 : i < 4 ? 1 : i < 10 ? 2 : 3] += sim->flows[i].sent_bytes;
	for (unsigned host = 0; host < 4; host++)
		CU_ASSERT_TRUE(sim_near((double)sent[host], LINK / 8e0 / 4, 0.01, 3200));
	CU_ASSERT_EQUAL(sim->reordered, 0);
	sim_free(sim);
}

/* One host on many workers still has one rate. */
static void test_host_on_workers(void)
{
	struct sim *sim = sim_create(4, 1, 32, 256);

	sim->config->classes[0].flow_rate_bps = 20000000;
	sim->config->classes[0].flow_burst_ns = 1000000;
	sim->config->classes[0].per = PER_DST;
	for (unsigned i = 0; i < 32; i++)
		sim->flows[i].wire_bytes = 0;
	sim_configure(sim);
	sim_run(sim, sim->now + 100000000, 20000);
	uint64_t before = sim->bytes;
	sim_run(sim, sim->now + 2000000000, 20000);
	CU_ASSERT_TRUE(sim_near((double)(sim->bytes - before), 5e6, 0.002, 6400));
	for (unsigned i = 0; i < 32; i++)
		CU_ASSERT_TRUE(sim->flows[i].sent > 0);
	sim_free(sim);
}

/* Shares by weight, wherever the flows of a class are: flow i of class c is on worker `on[i]`. */
static void check_skewed(unsigned workers, unsigned classes, const uint8_t (*flows)[2],
	unsigned count, const unsigned *parents, const unsigned *weights, const double *expected)
{
	struct sim *sim = sim_create(workers, classes, count, 256);
	uint64_t before[16];

	sim->config->link_bps = 1000000000;
	sim->config->link_burst_ns = 100000;
	for (unsigned c = 0; c < classes; c++)
		class_in(sim, c, parents[c], weights[c]);
	for (unsigned i = 0; i < count; i++) {
		sim->flows[i].flow.class_id = flows[i][0];
		sim->flows[i].worker = flows[i][1];
		sim->flows[i].keep = 20;
		sim->flows[i].wire_bytes = i % 2 ? 1514 : 700;
	}
	sim_configure(sim);
	sim_run(sim, sim->now + 20000000, 3000);
	for (unsigned c = 0; c < classes; c++)
		before[c] = sim_class_bytes(sim, c);
	sim_run(sim, sim->now + 500000000, 3000);
	for (unsigned c = 0; c < classes; c++) {
		double got = (double)(sim_class_bytes(sim, c) - before[c]) * 8 / 500e3;
		CU_ASSERT_TRUE(sim_near(got, expected[c], 0.01, 0.1));
		if (!sim_near(got, expected[c], 0.01, 0.1))
			printf("     class %u: %.2f of %.2f Mbit/s\n", c, got, expected[c]);
	}
	CU_ASSERT_EQUAL(sim->reordered, 0);
	sim_free(sim);
}

static void test_skewed_shares(void)
{
	const unsigned none = SHAPER_NO_PARENT;

	/* One class on one worker, one on both. */
	check_skewed(2, 2, (const uint8_t[][2]){{0, 0}, {1, 0}, {1, 1}}, 3,
		(unsigned[]){none, none}, (unsigned[]){1, 1}, (double[]){500, 500});
	/* Weights, four workers; some classes alone, one everywhere. */
	check_skewed(4, 4,
		(const uint8_t[][2]){
			{0, 0}, {1, 1}, {2, 1}, {3, 0}, {3, 1}, {3, 2}, {3, 3}, {3, 3}},
		8, (unsigned[]){none, none, none, none}, (unsigned[]){1, 2, 3, 4},
		(double[]){100, 200, 300, 400});
	/* Groups: 1 has its classes on different workers, 2 on all. */
	check_skewed(3, 7,
		(const uint8_t[][2]){
			{3, 0}, {4, 1}, {4, 2}, {5, 0}, {5, 1}, {5, 2}, {6, 2}, {0, 1}},
		8, (unsigned[]){none, none, none, 1, 1, 2, 2}, (unsigned[]){1, 2, 2, 1, 3, 1, 1},
		(double[]){200, 0, 0, 100, 300, 200, 200});
	/* Sixteen workers; nine tenths of the flows on one of them. */
	uint8_t flows[40][2];
	for (unsigned i = 0; i < 40; i++) {
		flows[i][0] = (uint8_t)(i % 4);
		flows[i][1] = (uint8_t)(i < 36 ? 0 : i - 35);
	}
	check_skewed(16, 4, flows, 40, (unsigned[]){none, none, none, none},
		(unsigned[]){1, 2, 3, 4}, (double[]){100, 200, 300, 400});
}

/* ---- changes ---- */

static struct shaper_config *copy_of(const struct shaper_config *from)
{
	size_t size = sizeof(*from) + from->class_count * sizeof(from->classes[0]);
	struct shaper_config *to = malloc(size);

	memcpy(to, from, size);
	to->changed = NULL;
	to->changed_count = 0;
	return to;
}

static void random_class(struct sim *sim, struct shaper_config *config, uint32_t id)
{
	struct shaper_class_config *c = &config->classes[id];

	c->in_use = id == 0 || sim_random(sim) % 8 != 0;
	c->weight = 1 + sim_random(sim) % 100;
	c->priority = sim_random(sim) % 3;
	c->rate_bps = sim_random(sim) % 3 ? 0 : 1000 * (sim_random(sim) % 5000);
	c->ceil_bps = sim_random(sim) % 3 ? 0 : 100000 + 1000 * (sim_random(sim) % 50000);
	c->flow_rate_bps = sim_random(sim) % 4 ? 0 : 100000 + sim_random(sim) % 5000000;
	c->per = sim_random(sim) % 2 ? PER_FLOW : PER_SRC;
	c->aqm = AQM_NONE;
	/* Groups are the lower ids, so that there are no loops. */
	c->parent = id < 2 || sim_random(sim) % 3 == 0 ? SHAPER_NO_PARENT
						       : 1 + sim_random(sim) % (id - 1);
}

/* A parent that is not in use, or the tree too deep: nearer to the link. */
static void repair(struct shaper_config *config)
{
	for (uint32_t id = 1; id < config->class_count; id++) {
		struct shaper_class_config *c = &config->classes[id];
		unsigned depth = 0;
		if (c->parent != SHAPER_NO_PARENT && !config->classes[c->parent].in_use)
			c->parent = SHAPER_NO_PARENT;
		for (uint32_t k = c->parent; k != SHAPER_NO_PARENT; k = config->classes[k].parent)
			depth++;
		if (depth >= SHAPER_DEPTH_MAX)
			c->parent = SHAPER_NO_PARENT;
	}
}

/* Thousands of changes of everything in a tree of `classes`, under load, with workers that are at
 * different places of the change: no packet is lost or out of order, and in the end all leave. */
static void change_trees(unsigned workers, unsigned classes, unsigned changes)
{
	struct sim *sim = sim_create(workers, classes, 300, 2048);

	sim->config->link_bps = LINK;
	sim->config->link_burst_ns = 1000000;
	for (unsigned i = 0; i < sim->flow_count; i++) {
		sim->flows[i].flow.class_id = i % classes;
		sim->flows[i].flow.key.addr[0][15] = (uint8_t)(i / 5);
	}
	sim_configure(sim);
	for (unsigned k = 0; k < changes; k++) {
		struct shaper_config *next = copy_of(sim->config);
		unsigned left = workers;
		bool done[SIM_WORKERS] = {false};

		for (unsigned n = sim_random(sim) % 5 ? 1 + sim_random(sim) % 3 : classes; n > 0;
			n--)
			random_class(sim, next, sim_random(sim) % classes);
		repair(next);
		if (sim_random(sim) % 4 == 0)
			next->link_bps = 10000000 + sim_random(sim);
		CU_ASSERT_EQUAL(shaper_config_prepare(next, sim->config), 0);
		while (left > 0) {
			unsigned w = sim_random(sim) % workers;
			if (!done[w])
				left -= done[w] = shaper_configure(sim->shaper[w], next, sim->now);
			sim->now += 1000 * (sim_random(sim) % 100);
			for (unsigned n = 0; n < 4; n++)
				sim_offer(sim, &sim->flows[sim_random(sim) % sim->flow_count],
					60 + sim_random(sim) % 1455);
			sim_dequeue(sim, sim_random(sim) % workers);
		}
		shaper_config_release(sim->config);
		free(sim->config);
		sim->config = next;
		while (sim_backlog(sim) > 2000) {
			sim->now += 100000;
			for (unsigned w = 0; w < workers; w++)
				sim_dequeue(sim, w);
		}
	}
	CU_ASSERT_EQUAL(sim_dropped(sim), 0);
	/* All limits off: what waits leaves. */
	struct shaper_config *last = copy_of(sim->config);
	last->link_bps = 0;
	for (uint32_t id = 0; id < classes; id++)
		last->classes[id].rate_bps = last->classes[id].ceil_bps =
			last->classes[id].flow_rate_bps = 0;
	CU_ASSERT_EQUAL(shaper_config_prepare(last, sim->config), 0);
	for (unsigned w = 0; w < workers; w++)
		while (!shaper_configure(sim->shaper[w], last, sim->now))
			;
	shaper_config_release(sim->config);
	free(sim->config);
	sim->config = last;
	for (unsigned k = 0; k < 2000 && sim_backlog(sim) > 0; k++)
		for (unsigned w = 0; w < workers; w++)
			sim_dequeue(sim, w);
	CU_ASSERT_EQUAL(sim_backlog(sim), 0);
	CU_ASSERT_EQUAL(sim->packets, sim->offered);
	CU_ASSERT_EQUAL(sim->reordered, 0);
	shaper_config_release(sim->config);
	sim_free(sim);
}

static void test_tree_changes(void)
{
	change_trees(1, 12, 10000);
	change_trees(3, 40, 3000);
	change_trees(2, 700, 60); /* in several steps */
}

/* What prepare refuses. */
static void test_impossible_trees(void)
{
	struct sim *sim = tree_create(12, 1);
	struct shaper_class_config *c = sim->config->classes;

	c[1].parent = 2;
	CU_ASSERT_EQUAL(shaper_config_prepare(sim->config, NULL), 0);
	CU_ASSERT_TRUE(c[2].is_group && !c[1].is_group);
	c[2].parent = 1; /* a loop */
	CU_ASSERT_EQUAL(shaper_config_prepare(sim->config, NULL), -EINVAL);
	c[2].parent = 2;
	CU_ASSERT_EQUAL(shaper_config_prepare(sim->config, NULL), -EINVAL);
	c[2].parent = 12; /* there is none */
	CU_ASSERT_EQUAL(shaper_config_prepare(sim->config, NULL), -EINVAL);
	c[2].parent = 3;
	c[3].in_use = false;
	CU_ASSERT_EQUAL(shaper_config_prepare(sim->config, NULL), -EINVAL);
	c[3].in_use = true;
	c[2].parent = 0; /* the default class takes what is unknown: never a group */
	CU_ASSERT_EQUAL(shaper_config_prepare(sim->config, NULL), -EINVAL);
	for (unsigned i = 1; i < 12; i++)
		c[i].parent = i < 11 ? i + 1 : SHAPER_NO_PARENT;
	CU_ASSERT_EQUAL(shaper_config_prepare(sim->config, NULL), -EINVAL); /* 11 levels */
	c[8].parent = SHAPER_NO_PARENT;
	CU_ASSERT_EQUAL(shaper_config_prepare(sim->config, NULL), 0); /* 8 */
	sim_free(sim);
}

static void offer_ecn(struct sim *sim, struct sim_flow *f, uint8_t ecn)
{
	struct rte_mbuf *m = sim_packet(sim, f, 1514), *out[1];

	pkt_of(m)->ecn = ecn;
	if (shaper_enqueue(sim->shaper[0], &m, 1, sim->now, out) == 1)
		rte_pktmbuf_free(out[0]);
}

/* The congestion that a Classic flow has made ends with it, also for L4S flows of a host: bursts at
 * half of the rate lose nothing then. */
static void test_l4s_of_a_host(void)
{
	for (uint8_t per = PER_FLOW; per <= PER_SRC; per++) {
		struct sim *sim = sim_create(1, 1, 2, 16);
		const struct shaper_class_stats *s = shaper_class_stats(sim->shaper[0], 0);
		uint64_t dropped = 0;

		sim->config->link_bps = 10000000;
		sim->config->classes[0].aqm = AQM_DUALPI2;
		sim->config->classes[0].per = per;
		sim_configure(sim);
		/* 4 s of 12 Mbit/s, then 4 packets every 10 ms. */
		for (unsigned ms = 0; ms < 8000; ms++) {
			if (ms < 4000)
				offer_ecn(sim, &sim->flows[0], ECN_NOT_ECT);
			for (unsigned i = 0; ms >= 4000 && ms % 10 == 0 && i < 4; i++)
				offer_ecn(sim, &sim->flows[1], ECN_ECT1);
			if (ms == 6000)
				dropped = s->dropped_aqm;
			sim_dequeue(sim, 0);
			sim->now += 1000000;
		}
		CU_ASSERT_TRUE(dropped > 0);
		CU_ASSERT_EQUAL(s->dropped_aqm, dropped);
		sim->now += 1000000000;
		sim_dequeue(sim, 0);
		sim_free(sim);
	}
}

/* Where thousands of classes all need another round, a call ends before all of them had theirs. */
static void test_bounded_turns(void)
{
	struct sim *sim = tree_create(4000, 4000);
	unsigned ended_early = 0;

	sim->config->link_bps = 100000000000;
	for (unsigned i = 0; i < 4000; i++)
		sim->flows[i].flow.class_id = i;
	sim_configure(sim);
	for (unsigned k = 0; k < 16000; k++)
		sim_offer(sim, &sim->flows[k % 4000], 1514);
	for (unsigned k = 0; k < 16000 && sim->packets < sim->offered; k++) {
		sim->now += 1000;
		if (sim_dequeue(sim, 0) == 0 && shaper_next_ns(sim->shaper[0]) == sim->now)
			ended_early++;
	}
	CU_ASSERT_TRUE(ended_early > 0);
	CU_ASSERT_EQUAL(sim->packets, sim->offered);
	CU_ASSERT_EQUAL(sim->reordered, 0);
	sim_free(sim);
}

UNIT_TESTS("shape-tree", {"groups share by weight", test_groups_share},
	{"assured rates in groups", test_assured_in_groups},
	{"ceilings of groups", test_group_ceilings},
	{"priority in groups", test_priority_in_groups}, {"hosts", test_hosts},
	{"one host on many workers", test_host_on_workers},
	{"shares across skewed workers", test_skewed_shares},
	{"trees change and lose nothing", test_tree_changes},
	{"impossible trees", test_impossible_trees}, {"L4S of a host", test_l4s_of_a_host},
	{"a call gives a bounded number of turns", test_bounded_turns})
