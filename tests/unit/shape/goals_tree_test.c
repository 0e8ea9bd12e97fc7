/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shares of nested classes under overload, the goal "within 1 % of the configured share": assured
 * rates, weights, ceilings and borrowing in trees of up to four levels below the link, against an
 * allocation in doubles that knows nothing of packets, turns or buckets. And that nobody starves.
 */
#include <math.h>
#include <stdlib.h>

#include "tests/unit/shape/sim.h"
#include "tests/unit/unit.h"

#define LINK_BPS 1000000000ull
#define NODES_MAX 128u

/* ---- the reference: what each class should get while everybody has something to send ---- */

struct node {
	double base; /* bit/s: its assured rate, and what is assured below it */
	double most; /* as much as it could use */
	double gets;
	bool is_leaf;
};

static double ceil_of(const struct shaper_class_config *c)
{
	return c->ceil_bps != 0 && c->ceil_bps < LINK_BPS ? (double)c->ceil_bps : (double)LINK_BPS;
}

static void bounds(const struct shaper_config *config, struct node *nodes, uint32_t i)
{
	double base = 0, most = 0;

	nodes[i].is_leaf = true;
	for (uint32_t k = 0; k < config->class_count; k++)
		if (config->classes[k].in_use && config->classes[k].parent == i) {
			bounds(config, nodes, k);
			base += nodes[k].base;
			most += nodes[k].most;
			nodes[i].is_leaf = false;
		}
	nodes[i].most = ceil_of(&config->classes[i]);
	if (!nodes[i].is_leaf)
		nodes[i].most = fmin(nodes[i].most, most);
	nodes[i].base = fmin(fmax((double)config->classes[i].rate_bps, base), nodes[i].most);
}

/* Split what `parent` gets among its children: to each what is assured, and the rest by priority,
 * then by weight; what one cannot use goes to the others. */
static void split(
	const struct shaper_config *config, struct node *nodes, uint32_t parent, double amount)
{
	for (uint32_t k = 0; k < config->class_count; k++)
		if (config->classes[k].in_use && config->classes[k].parent == parent)
			amount -= nodes[k].gets = nodes[k].base;
	for (unsigned priority = 0; priority < 8; priority++) {
		for (unsigned round = 0; round < NODES_MAX && amount > 1; round++) {
			double weights = 0, left = amount;
			for (uint32_t k = 0; k < config->class_count; k++) {
				const struct shaper_class_config *c = &config->classes[k];
				if (c->in_use && c->parent == parent && c->priority == priority &&
					nodes[k].gets < nodes[k].most)
					weights += c->weight;
			}
			for (uint32_t k = 0; k < config->class_count; k++) {
				const struct shaper_class_config *c = &config->classes[k];
				if (!c->in_use || c->parent != parent || c->priority != priority ||
					nodes[k].gets >= nodes[k].most)
					continue;
				double more = fmin(
					left * c->weight / weights, nodes[k].most - nodes[k].gets);
				nodes[k].gets += more;
				amount -= more;
			}
			if (weights == 0)
				break;
		}
	}
	for (uint32_t k = 0; k < config->class_count; k++)
		if (config->classes[k].in_use && config->classes[k].parent == parent &&
			!nodes[k].is_leaf)
			split(config, nodes, k, nodes[k].gets);
}

static void allocate(const struct shaper_config *config, struct node *nodes)
{
	for (uint32_t i = 0; i < config->class_count; i++)
		if (config->classes[i].parent == SHAPER_NO_PARENT)
			bounds(config, nodes, i);
	split(config, nodes, SHAPER_NO_PARENT, (double)LINK_BPS);
}

/* ---- the simulation ---- */

struct tree {
	struct sim *sim;
	struct shaper_config *config;
	struct node nodes[NODES_MAX];
};

static uint32_t add(struct tree *t, uint32_t parent, uint64_t rate_mbps, uint64_t ceil_mbps,
	uint32_t weight, uint8_t priority)
{
	uint32_t i = t->config->class_count++;

	t->config->classes[i] = (struct shaper_class_config){.in_use = true,
		.parent = parent,
		.rate_bps = rate_mbps * 1000000,
		.ceil_bps = ceil_mbps * 1000000,
		.weight = weight,
		.priority = priority};
	return i;
}

/* Class 0, which nobody uses, is there already. */
static struct tree *tree_new(unsigned workers)
{
	struct tree *t = calloc(1, sizeof(*t));

	t->sim = sim_create(workers, NODES_MAX, NODES_MAX * workers, NODES_MAX * 2);
	t->config = t->sim->config;
	t->config->class_count = 1;
	t->config->classes[0].ceil_bps = 1000;
	t->config->link_bps = LINK_BPS;
	t->config->link_burst_ns = 20000;
	t->config->overhead_bytes = 24;
	return t;
}

static bool is_leaf(const struct tree *t, uint32_t i)
{
	for (uint32_t k = 0; k < t->config->class_count; k++)
		if (t->config->classes[k].parent == i)
			return false;
	return i != 0;
}

/* One flow for each leaf and worker that always has something waiting, in frames of all sizes. */
static void flows_for_leaves(struct tree *t)
{
	struct sim *sim = t->sim;
	unsigned n = 0;

	for (uint32_t i = 0; i < t->config->class_count; i++)
		for (unsigned w = 0; w < sim->workers && is_leaf(t, i); w++) {
			struct sim_flow *f = &sim->flows[n++];
			f->flow.class_id = i;
			f->worker = w;
			f->keep = 12;
			f->wire_bytes = i % 3 == 0 ? 0 : i % 3 == 1 ? 1514 : 586;
		}
	sim->flow_count = n;
}

static void measure(struct tree *t, uint64_t settle_ns, uint64_t ns, double part)
{
	uint64_t before[NODES_MAX];

	sim_run(t->sim, t->sim->now + settle_ns, 4000);
	for (uint32_t i = 0; i < t->config->class_count; i++)
		before[i] = sim_class_bytes(t->sim, i);
	uint64_t start = t->sim->now;
	sim_run(t->sim, start + ns, 4000);
	for (uint32_t i = 0; i < t->config->class_count; i++) {
		double sent = (double)(sim_class_bytes(t->sim, i) - before[i]) * 8e9 /
			      (double)(t->sim->now - start);
		if (is_leaf(t, i) && !sim_near(sent, t->nodes[i].gets, part, 1538 * 16e9 / ns)) {
			const struct shaper_class_config *c = &t->config->classes[i];
			printf("     class %u in %d: rate %lu ceil %lu weight %u priority %u\n", i,
				(int)c->parent, c->rate_bps, c->ceil_bps, c->weight, c->priority);
			CU_FAIL("a share is wrong");
		}
	}
}

static void check(struct tree *t)
{
	flows_for_leaves(t);
	allocate(t->config, t->nodes);
	sim_configure(t->sim);
	measure(t, 100000000, 600000000, 0.01);
	CU_ASSERT_EQUAL(t->sim->reordered, 0);
	sim_free(t->sim);
	free(t);
	CU_ASSERT_EQUAL(sim_packets_in_use(), 0);
}

/* Two sites, one with many classes: what is left goes by site, not by the number of classes. */
static void test_sites(void)
{
	struct tree *t = tree_new(1);
	uint32_t a = add(t, SHAPER_NO_PARENT, 300, 0, 1, 0);
	uint32_t b = add(t, SHAPER_NO_PARENT, 100, 0, 3, 0);

	for (unsigned i = 0; i < 8; i++)
		add(t, a, i * 5, 0, 1 + i % 3, 0);
	add(t, b, 10, 0, 1, 0);
	check(t);
}

/* A group's ceiling holds all that is below it, and its assured rate is spent by who has none. */
static void test_group_bounds(void)
{
	struct tree *t = tree_new(1);
	uint32_t a = add(t, SHAPER_NO_PARENT, 400, 400, 1, 0);
	uint32_t b = add(t, SHAPER_NO_PARENT, 0, 250, 10, 0);

	add(t, a, 0, 0, 1, 0);
	add(t, a, 100, 120, 5, 0);
	add(t, a, 0, 0, 2, 0);
	add(t, b, 0, 0, 1, 0);
	add(t, b, 50, 0, 1, 0);
	add(t, SHAPER_NO_PARENT, 0, 0, 1, 0);
	check(t);
}

/* Four levels below the link. */
static void test_four_levels(void)
{
	struct tree *t = tree_new(1);

	for (unsigned a = 0; a < 2; a++) {
		uint32_t region = add(t, SHAPER_NO_PARENT, 200 + 200 * a, 0, 1 + a, 0);
		for (unsigned b = 0; b < 2; b++) {
			uint32_t site = add(t, region, 60 + 40 * b, 450, 2 - b, 0);
			for (unsigned c = 0; c < 2; c++) {
				uint32_t house = add(t, site, c ? 0 : 30, 0, 1, 0);
				add(t, house, 10, 0, 1, 0);
				add(t, house, 0, 90, 4, 0);
			}
		}
	}
	check(t);
}

/* Priorities among siblings: what is assured is held, what is left goes down the priorities. */
static void test_priorities(void)
{
	struct tree *t = tree_new(1);
	uint32_t a = add(t, SHAPER_NO_PARENT, 300, 500, 1, 0);
	uint32_t b = add(t, SHAPER_NO_PARENT, 200, 0, 1, 1);

	add(t, a, 20, 0, 1, 7);
	add(t, a, 50, 300, 1, 0);
	add(t, a, 30, 0, 1, 3);
	add(t, b, 20, 100, 1, 2);
	add(t, b, 10, 0, 1, 5);
	check(t);
}

static uint32_t random_below(struct tree *t, uint32_t n)
{
	return sim_random(t->sim) % n;
}

/* Children of `parent` within `assured_mbps` together. */
static void grow(struct tree *t, uint32_t parent, uint32_t assured_mbps, unsigned level)
{
	unsigned n = 2 + random_below(t, 3);

	for (unsigned k = 0; k < n && t->config->class_count < 60; k++) {
		uint32_t rate = random_below(t, assured_mbps / n + 1);
		uint32_t ceiling = random_below(t, 3) ? 0 : rate + 20 + random_below(t, 300);
		uint32_t i = add(t, parent, rate, ceiling, 1 + random_below(t, 5),
			(uint8_t)(random_below(t, 4) ? 2 : random_below(t, 4)));
		if (level < 3 && random_below(t, 5) < 3)
			grow(t, i, rate, level + 1);
	}
}

static void test_random(void)
{
	for (unsigned seed = 1; seed <= 25; seed++) {
		struct tree *t = tree_new(1);
		t->sim->random = seed * 7919;
		grow(t, SHAPER_NO_PARENT, 900, 0);
		check(t);
	}
}

/* Several workers with the same tree: the shares are those of one. */
static void test_workers(void)
{
	for (unsigned workers = 2; workers <= 4; workers += 2) {
		struct tree *t = tree_new(workers);
		uint32_t a = add(t, SHAPER_NO_PARENT, 300, 0, 1, 0);
		uint32_t b = add(t, SHAPER_NO_PARENT, 100, 350, 1, 0);

		/* Turns at the link come later the more workers there are. */
		t->config->classes[b].burst_ns = 200000;
		add(t, a, 100, 0, 1, 0);
		add(t, a, 50, 0, 1, 0);
		add(t, b, 50, 0, 1, 0);
		add(t, b, 20, 100, 1, 0);
		check(t);
	}
}

/* Who has an assured rate or a weight gets something in any 20 ms, under eight priorities and four
 * levels; and so does the last priority of all while 1 % is left for it. */
static void test_no_starvation(void)
{
	struct tree *t = tree_new(1);
	uint32_t last[8], n = 0;

	for (unsigned p = 0; p < 8; p++) {
		uint32_t group = add(t, SHAPER_NO_PARENT, 0, 0, 1, (uint8_t)p);
		uint32_t inner = add(t, group, 5, 0, 1, 7);
		add(t, group, 10, 0, 1, 0);
		add(t, inner, 0, 0, 1, 0);
		last[n++] = add(t, inner, 2, 0, 1, 7);
		/* Everybody else's ceilings leave 10 Mbit/s to the last. */
		if (p < 7)
			t->config->classes[group].ceil_bps = 990000000 / 7;
	}
	flows_for_leaves(t);
	sim_configure(t->sim);
	sim_run(t->sim, t->sim->now + 100000000, 4000);
	for (unsigned k = 0; k < 10; k++) {
		uint64_t start = t->sim->now;
		sim_run(t->sim, start + 20000000, 4000);
		for (unsigned i = 0; i < t->sim->flow_count; i++)
			CU_ASSERT_TRUE(t->sim->flows[i].last_ns >= start);
	}
	CU_ASSERT_EQUAL(n, 8);
	for (unsigned p = 0; p < 8; p++)
		CU_ASSERT_TRUE((double)sim_class_bytes(t->sim, last[p]) * 8e9 >=
			       .99 * 2e6 * (double)(t->sim->now - SIM_START_NS));
	sim_free(t->sim);
	free(t);
}

UNIT_TESTS("shape-goals-tree", {"what is left goes by site", test_sites},
	{"bounds of groups", test_group_bounds}, {"four levels", test_four_levels},
	{"priorities", test_priorities}, {"25 trees by chance", test_random},
	{"several workers", test_workers}, {"nobody starves", test_no_starvation})
