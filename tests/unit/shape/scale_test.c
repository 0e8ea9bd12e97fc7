/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * 100,000 classes and 1,000,000 flows, each with a rate of its own: within the memory that the
 * shaper states beforehand, and as exact as few are. It is also the capacity test of RFC 7640,
 * section 6.3: one shaper active of N and all N active, each within 0.5 % and none changed by the
 * others by more than 1 %.
 */
#include <stdlib.h>

#include <rte_malloc.h>

#include "tests/unit/shape/sim.h"
#include "tests/unit/unit.h"

#define CLASSES 100000u
#define FLOWS 1000000u
#define SAMPLED 1009u /* each of these, a prime: all rates and sizes are among them */
#define MEMORY_MB 1536
#define POLL_NS 2000

static uint64_t memory_used(void)
{
	struct rte_malloc_socket_stats stats;

	rte_malloc_get_socket_stats(0, &stats);
	return stats.heap_allocsz_bytes;
}

/* When each flow's first packet after the settling left, and what it had sent by then. */
static struct first {
	uint64_t ns, bytes;
} * firsts;
static uint64_t settled_ns;

static void watch_first(struct sim *sim, struct sim_flow *f, const struct pkt *p)
{
	struct first *first = &firsts[f - sim->flows];

	if (first->ns == 0 && sim->now >= settled_ns) {
		first->ns = sim->now;
		first->bytes = f->sent_bytes + p->charged_bytes;
	}
}

/* Between its first and its last packet. */
static double rate_of(const struct sim *sim, unsigned flow)
{
	const struct sim_flow *f = &sim->flows[flow];

	if (f->last_ns <= firsts[flow].ns)
		return 0;
	return (double)(f->sent_bytes - firsts[flow].bytes) * 8e9 /
	       (double)(f->last_ns - firsts[flow].ns);
}

static void run(struct sim *sim, uint64_t settle_ns, uint64_t ns)
{
	settled_ns = sim->now + settle_ns;
	firsts = calloc(sim->flow_count, sizeof(*firsts));
	sim->watch = watch_first;
	while (sim->now < settled_ns + ns) {
		while (sim_recycle(sim, 0) == SIM_BURST)
			;
		sim_step(sim, POLL_NS);
	}
}

static void check_memory(uint32_t classes, uint32_t queues, uint32_t hosts)
{
	static uint64_t reasons[REASON_COUNT];
	struct shaper_params params = {.name = "scale",
		.classes_max = classes,
		.queues = queues,
		.socket = SOCKET_ID_ANY,
		.reasons = reasons};
	uint64_t before = memory_used(), shared_needed, needed, used;

	shared_needed = shaper_shared_memory_needed(classes, hosts);
	struct shaper_shared *shared = shaper_shared_create(classes, hosts, 16, SOCKET_ID_ANY);
	CU_ASSERT_PTR_NOT_NULL_FATAL(shared);
	used = memory_used() - before;
	/* What is said is what is taken, but for the headers of the allocations. */
	CU_ASSERT_TRUE(sim_near((double)used, (double)shared_needed, 0.001, 4096));

	before = memory_used();
	needed = shaper_memory_needed(classes, queues, hosts);
	struct shaper *shaper = shaper_create(&params, shared);
	CU_ASSERT_PTR_NOT_NULL_FATAL(shaper);
	used = memory_used() - before;
	CU_ASSERT_TRUE(sim_near((double)used, (double)needed, 0.001, 4096));
	printf("     %u classes, %u queues, %u hosts: %.1f MB shared, %.1f MB a worker\n", classes,
		queues, hosts, (double)shared_needed / 1e6, (double)needed / 1e6);
	shaper_destroy(shaper);
	shaper_shared_destroy(shared);
}

static void test_memory(void)
{
	uint64_t before;

	sim_eal_sized(MEMORY_MB, FLOWS + 4096, 0);
	before = memory_used();
	check_memory(1, 1, 0);
	check_memory(CLASSES, CLASSES, 0);
	check_memory(16, FLOWS, 0);
	check_memory(16, 65536, FLOWS);
	CU_ASSERT_EQUAL(memory_used(), before);
}

/* 1 to 3.7 Mbit/s: half of the classes have a ceiling, half are also assured that much. */
static uint64_t class_rate_bps(uint32_t class_id)
{
	return 1000000 + class_id % 28 * 100000;
}

static struct sim *classes_create(void)
{
	struct sim *sim = sim_create(1, CLASSES + 1, CLASSES, CLASSES);

	sim->config->link_bps = 400000000000;
	sim->config->link_burst_ns = 20000;
	sim->config->overhead_bytes = 24;
	for (uint32_t i = 0; i < CLASSES; i++) {
		struct shaper_class_config *c = &sim->config->classes[1 + i];
		c->ceil_bps = class_rate_bps(i);
		c->rate_bps = i % 2 ? c->ceil_bps : 0;
		sim->flows[i].flow.class_id = 1 + i;
		sim->flows[i].wire_bytes = 600 + i % 915;
	}
	sim_configure(sim);
	return sim;
}

static void test_classes(void)
{
	struct sim *sim;
	unsigned wrong = 0;

	sim_eal_sized(MEMORY_MB, FLOWS + 4096, 0);
	sim = classes_create();
	/* Two frames each go through at once. */
	for (unsigned k = 0; k < 5; k++)
		for (uint32_t i = 0; i < CLASSES; i++)
			sim_offer(sim, &sim->flows[i], sim->flows[i].wire_bytes);
	for (uint32_t i = 0; i < CLASSES; i++) /* small frames: until the burst is over */
		while (sim->flows[i].offered - sim->flows[i].sent < 2)
			sim_offer(sim, &sim->flows[i], sim->flows[i].wire_bytes);
	run(sim, 20000000, 50000000);
	for (uint32_t i = 0; i < CLASSES && wrong < 5; i += SAMPLED)
		wrong += !sim_near(rate_of(sim, i), (double)class_rate_bps(i), 0.005, 0);
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(sim->reordered, 0);
	CU_ASSERT_EQUAL(sim_dropped(sim), 0);
	CU_ASSERT_EQUAL(sim->offered, sim->packets + sim_backlog(sim));
	free(firsts);
	sim_free(sim);
	CU_ASSERT_EQUAL(sim_packets_in_use(), 0);
}

/* The same, but one class alone. */
static void test_one_class(void)
{
	sim_eal_sized(MEMORY_MB, FLOWS + 4096, 0);
	struct sim *sim = classes_create();
	uint32_t one = 77 * SAMPLED;

	while (sim->flows[one].offered - sim->flows[one].sent < 4)
		sim_offer(sim, &sim->flows[one], sim->flows[one].wire_bytes);
	run(sim, 20000000, 50000000);
	CU_ASSERT_TRUE(sim_near(rate_of(sim, one), (double)class_rate_bps(one), 0.005, 0));
	free(firsts);
	sim_free(sim);
}

/* A million flows that all wait for their own bucket, some at half the rate of others. */
static void check_flows(uint8_t per)
{
	uint32_t hosts = per == PER_FLOW ? 0 : 2 * FLOWS;
	unsigned wrong = 0;

	sim_eal_sized(MEMORY_MB, FLOWS + 4096, 0);
	struct sim *sim = sim_create_hosts(1, 2, FLOWS, per == PER_FLOW ? FLOWS : 2 * FLOWS, hosts);
	struct shaper_class_config *c = sim->config->classes;

	sim->config->overhead_bytes = 24;
	c[0].per = c[1].per = per;
	c[0].flow_rate_bps = 200000;
	c[1].flow_rate_bps = 400000;
	c[0].flow_burst_bytes = c[1].flow_burst_bytes = 1;
	sim_configure(sim);
	for (uint32_t i = 0; i < FLOWS; i++) {
		struct sim_flow *f = &sim->flows[i];
		f->flow.class_id = i % 2;
		f->wire_bytes = 1000 + i % 500;
		memcpy(f->flow.key.addr[0], &i, sizeof(i));
		memset(f->flow.key.addr[1], 0xee, 16);
		while (sim_offer(sim, f, f->wire_bytes))
			;
	}
	run(sim, 10000000, 130000000);
	for (uint32_t i = 0; i < FLOWS && wrong < 5; i += SAMPLED)
		wrong += !sim_near(rate_of(sim, i), i % 2 ? 400000 : 200000, 0.005, 0);
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(sim->reordered, 0);
	CU_ASSERT_EQUAL(sim_dropped(sim), 0);
	CU_ASSERT_EQUAL(sim->offered, sim->packets + sim_backlog(sim));
	free(firsts);
	sim_free(sim);
	CU_ASSERT_EQUAL(sim_packets_in_use(), 0);
}

static void test_flows(void)
{
	check_flows(PER_FLOW);
}

UNIT_TESTS("shape-scale", {"memory is as stated", test_memory},
	{"100,000 classes, each active", test_classes},
	{"100,000 classes, one active", test_one_class},
	{"1,000,000 flows, all active", test_flows})
