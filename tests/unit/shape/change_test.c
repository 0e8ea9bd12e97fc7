/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A shaper whose configuration changes while packets wait: new rates at once, nothing lost, nothing
 * reordered, classes that go away. And what a full shaper does: limits and drops, counted exactly.
 */
#include "tests/unit/shape/sim.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

/* Bytes sent in the next `ns`, polling every 10 us. */
static double sent_in(struct sim *sim, uint64_t ns)
{
	uint64_t before = sim->bytes;

	sim_run(sim, sim->now + ns, 10000);
	return (double)(sim->bytes - before);
}

enum limit { BY_LINK, BY_CEIL, BY_RATE, BY_FLOW };

static void limit_set(struct sim *sim, enum limit limit, uint64_t bps)
{
	struct shaper_class_config *c = &sim->config->classes[0];

	sim->config->link_bps = limit == BY_LINK ? bps : 0;
	sim->config->link_burst_ns = 50000;
	c->burst_bytes = c->flow_burst_bytes = (uint32_t)(bps / 8e9 * 50000);
	c->ceil_bps = limit == BY_CEIL || limit == BY_RATE ? bps : 0;
	c->rate_bps = limit == BY_RATE ? bps : 0;
	c->flow_rate_bps = limit == BY_FLOW ? bps : 0;
}

/* From 64 kbit/s, where the next packet is 190 ms away, to 100 Mbit/s and back. */
static void test_new_rate(void)
{
	for (unsigned limit = BY_LINK; limit <= BY_FLOW; limit++) {
		struct sim *sim = sim_create(1, 1, 1, 16);
		limit_set(sim, limit, 64000);
		sim_configure(sim);
		for (unsigned k = 0; k < 4; k++) {
			sent_in(sim, 300000000 + 7000000 * k);
			limit_set(sim, limit, 100000000);
			sim_configure(sim);
			/* In force within the time of two packets. */
			CU_ASSERT_TRUE(sent_in(sim, 300000) >= 1514);
			CU_ASSERT_TRUE(sim_near(sent_in(sim, 10000000), 125000, 0, 1800));
			limit_set(sim, limit, 64000);
			sim_configure(sim);
			CU_ASSERT_TRUE(sent_in(sim, 1000000000) <= 8000 + 2 * 1514);
			/* Three times as much in the middle of a wait: a third of what is left. */
			limit_set(sim, limit, 192000);
			sim_configure(sim);
			CU_ASSERT_TRUE(sim_near(sent_in(sim, 1000000000), 24000, 0, 2 * 1514));
			limit_set(sim, limit, 64000);
			sim_configure(sim);
		}
		limit_set(sim, BY_LINK, 0); /* no limit at all */
		sim_configure(sim);
		sim->flows[0].keep = 0;
		sim_poll(sim, 0);
		CU_ASSERT_EQUAL(sim->flows[0].sent, sim->flows[0].offered);
		CU_ASSERT_EQUAL(sim->reordered, 0);
		CU_ASSERT_EQUAL(sim_dropped(sim), 0);
		sim_free(sim);
	}
	CU_ASSERT_EQUAL(sim_packets_in_use(), 0);
}

/* In the middle of a wait: half the time at the old rate, the other half at the new one. */
static void test_half_wait(void)
{
	for (unsigned limit = BY_LINK; limit <= BY_FLOW; limit++) {
		struct sim *sim = sim_create(1, 1, 1, 16);
		struct shaper_class_config *c = &sim->config->classes[0];
		sim->flows[0].keep = 0;
		limit_set(sim, limit, 80000);
		c->burst_bytes = c->flow_burst_bytes = 1;
		sim_configure(sim);
		CU_ASSERT_TRUE(sim_offer(sim, &sim->flows[0], 1000));
		CU_ASSERT_FALSE(sim_offer(sim, &sim->flows[0], 1000)); /* 100 ms */
		CU_ASSERT_EQUAL(sent_in(sim, 50000000), 0);
		limit_set(sim, limit, 320000);
		c->burst_bytes = c->flow_burst_bytes = 1;
		sim_configure(sim);
		uint64_t start = sim->now;
		CU_ASSERT_EQUAL(sent_in(sim, 40000000), 1000);
		CU_ASSERT_TRUE(
			sim_near((double)(sim->flows[0].last_ns - start), 12500000, 0, 100000));
		sim_free(sim);
	}
}

/* 10,000 random configurations under load, classes that come and go, flows that change class. */
static void test_random_changes(void)
{
	struct sim *sim = sim_create(2, 6, 40, 64);

	for (unsigned i = 0; i < sim->flow_count; i++) {
		sim->flows[i].flow.class_id = i % 6;
		sim->flows[i].wire_bytes = 0;
		sim->flows[i].keep = 20;
	}
	for (unsigned k = 0; k < 10000; k++) {
		static const uint64_t bps[] = {0, 0, 200000, 5000000, 80000000, 2000000000};
		sim->config->link_bps = bps[1 + sim_random(sim) % 5];
		sim->config->link_burst_ns = sim_random(sim) % 200000;
		sim->config->overhead_bytes = sim_random(sim) % 50;
		sim->config->class_count = 1 + sim_random(sim) % 6;
		for (unsigned c = 0; c < 6; c++) {
			struct shaper_class_config *cfg = &sim->config->classes[c];
			cfg->in_use = sim_random(sim) % 4 != 0;
			cfg->rate_bps = bps[sim_random(sim) % 6];
			cfg->ceil_bps = bps[sim_random(sim) % 6];
			cfg->flow_rate_bps = bps[sim_random(sim) % 6];
			cfg->priority = sim_random(sim) % 8;
			cfg->weight = sim_random(sim) % 10;
			cfg->queue_limit_bytes = 100000;
		}
		sim_configure(sim);
		struct sim_flow *f = &sim->flows[sim_random(sim) % sim->flow_count];
		f->flow.class_id = sim_random(sim) % 7;
		for (unsigned i = 0; i < 3; i++) {
			for (unsigned w = 0; w < 2; w++) {
				struct sim_flow *g = &sim->flows[2 * (sim_random(sim) % 20) + w];
				if (g->offered - g->sent < g->keep)
					sim_offer(sim, g, 60 + sim_random(sim) % 1455);
				sim_dequeue(sim, w);
			}
			sim->now += sim_random(sim) % 100000;
		}
	}
	CU_ASSERT_TRUE(sim->offered > 10000);
	CU_ASSERT_EQUAL(sim_dropped(sim), 0);
	CU_ASSERT_EQUAL(sim->reordered, 0);
	/* No limits: the rest comes out at once, and no class thinks that it has any more. */
	sim->config->class_count = 6;
	sim->config->link_bps = 0;
	for (unsigned c = 0; c < 6; c++) {
		struct shaper_class_config *cfg = &sim->config->classes[c];
		cfg->rate_bps = cfg->ceil_bps = cfg->flow_rate_bps = 0;
	}
	sim_configure(sim);
	for (unsigned w = 0; w < 2; w++) {
		sim_dequeue(sim, w);
		CU_ASSERT_EQUAL(shaper_next_ns(sim->shaper[w]), UINT64_MAX);
		for (unsigned c = 0; c < 6; c++) {
			const struct shaper_class_stats *s = shaper_class_stats(sim->shaper[w], c);
			CU_ASSERT_EQUAL(s->backlog_packets, 0);
			CU_ASSERT_EQUAL(s->backlog_bytes, 0);
			CU_ASSERT_EQUAL(s->backlog_flows, 0);
		}
	}
	CU_ASSERT_EQUAL(sim->offered, sim->packets);
	for (unsigned i = 0; i < sim->flow_count; i++)
		CU_ASSERT_TRUE(shaper_flow_idle(&sim->flows[i].flow.shape[WAY_UP]));
	CU_ASSERT_EQUAL(sim->reordered, 0);
	sim_free(sim);
	CU_ASSERT_EQUAL(sim_packets_in_use(), 0);
}

static void prepare_copy(struct sim *sim, struct shaper_config *next)
{
	memcpy(next, sim->config,
		sizeof(*next) + sim->config->class_count * sizeof(next->classes[0]));
	next->changed = NULL;
	CU_ASSERT_EQUAL(shaper_config_prepare(next, sim->applied), 0);
}

/* Amid a long change packets are known to wait; and the configuration before may come back. */
static void test_back_amid_change(void)
{
	enum { N = 300 };
	struct sim *sim = sim_create(1, N, N, N);
	struct shaper *s = sim->shaper[0];
	struct shaper_config *next = malloc(sizeof(*next) + N * sizeof(struct shaper_class_config));

	sim->config->link_bps = 1000000000;
	sim->config->link_burst_ns = 20000;
	for (unsigned i = 0; i < N; i++) {
		sim->flows[i].flow.class_id = i;
		sim->config->classes[i].ceil_bps = 10000000;
	}
	sim_configure(sim);
	for (unsigned k = 0; k < 2 * N; k++)
		sim_offer(sim, &sim->flows[k % N], 1514);
	for (unsigned i = 0; i < N; i++)
		sim->config->classes[i].ceil_bps = 1000000;
	prepare_copy(sim, next);
	for (unsigned k = 0; k < 3; k++) {
		CU_ASSERT_FALSE(shaper_configure(s, next, sim->now));
		CU_ASSERT_NOT_EQUAL(shaper_next_ns(s), UINT64_MAX);
	}
	/* All have got 1 Mbit/s by now, some have not been put back into the tree. */
	while (!shaper_configure(s, sim->applied, sim->now))
		CU_ASSERT_NOT_EQUAL(shaper_next_ns(s), UINT64_MAX);
	uint64_t before = sim_class_bytes(sim, N - 1);
	for (unsigned i = 0; i < N; i++)
		sim->flows[i].keep = i == N - 1 ? 4 : 0;
	sim_run(sim, sim->now + 500000000, 10000);
	CU_ASSERT_TRUE(
		sim_near((double)(sim_class_bytes(sim, N - 1) - before), 625000, 0.02, 3200));
	CU_ASSERT_EQUAL(sim_backlog(sim), 4);
	shaper_config_release(next);
	free(next);
	sim_free(sim);
}

/* Flows that go on when `per` or the length of the prefix changes have other buckets from then on.
 */
static void test_per_changes(void)
{
	struct sim *sim = sim_create(1, 1, 4, 16);
	struct shaper_class_config *c = &sim->config->classes[0];
	/* Two hosts of one network talk to two others, of two networks. */
	static const struct {
		uint8_t per, bits4;
		double buckets;
	} cases[] = {{PER_SRC, 0, 2}, {PER_SRC, 24, 1}, {PER_DST, 24, 2}, {PER_FLOW, 0, 4},
		{PER_SRC, 24, 1}, {PER_SRC, 0, 2}};

	for (unsigned i = 0; i < 4; i++) {
		struct flow *f = &sim->flows[i].flow;
		for (unsigned end = 0; end < 2; end++)
			f->key.addr[end][10] = f->key.addr[end][11] = 0xff;
		f->key.addr[0][15] = (uint8_t)(1 + i % 2);
		f->key.addr[1][14] = (uint8_t)(1 + i / 2);
	}
	sim->config->link_bps = 1000000000;
	c->flow_rate_bps = 10000000;
	for (unsigned k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
		c->per = cases[k].per;
		c->per_bits4 = cases[k].bits4;
		sim_configure(sim);
		sim_run(sim, sim->now + 10000000, 20000);
		uint64_t before = sim->bytes;
		sim_run(sim, sim->now + 200000000, 20000);
		CU_ASSERT_TRUE(sim_near(
			(double)(sim->bytes - before), cases[k].buckets * 250000, 0.01, 6400));
	}
	CU_ASSERT_EQUAL(sim->reordered, 0);
	sim_free(sim);
}

/* A class goes away: its queues are class 0's, in order, under class 0's rates. */
static void test_class_removed(void)
{
	struct sim *sim = sim_create(1, 3, 6, 16);

	sim->config->classes[1].ceil_bps = 1000000;
	sim->config->classes[2].flow_rate_bps = 64000;
	for (unsigned i = 0; i < 6; i++)
		sim->flows[i].flow.class_id = 1 + i % 2;
	sim_configure(sim);
	sent_in(sim, 20000000);
	CU_ASSERT_EQUAL(shaper_class_stats(sim->shaper[0], 1)->backlog_flows, 3);
	CU_ASSERT_EQUAL(shaper_class_stats(sim->shaper[0], 2)->backlog_flows, 3);
	sim->config->classes[1].in_use = false;
	sim->config->classes[2].in_use = false;
	sim->config->classes[0].ceil_bps = 50000000;
	sim_configure(sim);
	CU_ASSERT_EQUAL(shaper_class_stats(sim->shaper[0], 0)->backlog_flows, 6);
	CU_ASSERT_EQUAL(shaper_class_stats(sim->shaper[0], 0)->backlog_packets, sim_backlog(sim));
	CU_ASSERT_TRUE(sim_near(sent_in(sim, 20000000), 125000, 0, 4600));
	for (unsigned i = 0; i < 6; i++)
		CU_ASSERT_TRUE(sim->flows[i].last_ns >= sim->now - 3000000);
	CU_ASSERT_EQUAL(sim->reordered, 0);
	CU_ASSERT_EQUAL(sim_dropped(sim), 0);
	sim_free(sim);
	CU_ASSERT_EQUAL(sim_packets_in_use(), 0);
}

/* A flow whose class has changed takes its queue with it; the old class no longer holds it. */
static void test_flow_moves(void)
{
	struct sim *sim = sim_create(1, 2, 1, 16);

	sim->config->classes[0].flow_rate_bps = 64000;
	sim_configure(sim);
	for (unsigned i = 0; i < 10; i++)
		sim_offer(sim, &sim->flows[0], 1514);
	sim_dequeue(sim, 0);
	CU_ASSERT_TRUE(sim->flows[0].sent < 5);
	sim->flows[0].flow.class_id = 1;
	CU_ASSERT_FALSE(sim_offer(sim, &sim->flows[0], 1514));
	CU_ASSERT_EQUAL(shaper_class_stats(sim->shaper[0], 0)->backlog_flows, 0);
	CU_ASSERT_EQUAL(shaper_class_stats(sim->shaper[0], 0)->backlog_bytes, 0);
	sim_dequeue(sim, 0);
	CU_ASSERT_EQUAL(sim->flows[0].sent, 11);
	CU_ASSERT_EQUAL(sim->reordered, 0);
	sim_free(sim);
}

/* Limits of queues and of the pool: random load, every packet accounted for at every moment. */
static void test_invariant(void)
{
	struct sim *sim = sim_create(1, 3, 200, 50);
	struct shaper_class_config *c = sim->config->classes;
	unsigned wrong = 0;

	sim->config->link_bps = 50000000;
	sim->config->link_burst_ns = 100000;
	c[0].queue_limit_bytes = 5000;
	c[1].flow_rate_bps = 300000;
	c[1].queue_limit_ns = 50000000;
	c[2].aqm = true;
	c[2].rate_bps = 10000000;
	for (unsigned i = 0; i < sim->flow_count; i++)
		sim->flows[i].flow.class_id = i % 3;
	sim_configure(sim);
	for (unsigned k = 0; k < 200000; k++) {
		/* Few flows for a while, then all: the pool runs out now and then. */
		unsigned spread = k / 20000 % 2 ? 200 : 20;
		if (sim_random(sim) % 100 < 70)
			sim_offer(sim, &sim->flows[sim_random(sim) % spread],
				60 + sim_random(sim) % 1455);
		else if (sim_random(sim) % 2)
			sim_dequeue(sim, 0);
		else
			sim->now += sim_random(sim) % 600000;
		if (sim->offered != sim->packets + sim_dropped(sim) + sim_backlog(sim))
			wrong++;
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(sim->reordered, 0);
	uint64_t tail = 0, time = 0, aqm = 0, memory = 0, packets = 0, bytes = 0;
	for (unsigned i = 0; i < 3; i++) {
		const struct shaper_class_stats *s = shaper_class_stats(sim->shaper[0], i);
		tail += s->dropped_tail;
		time += s->dropped_time;
		aqm += s->dropped_aqm;
		memory += s->dropped_memory;
		packets += s->packets;
		bytes += s->bytes;
		CU_ASSERT_TRUE(s->dropped_memory > 0);
	}
	CU_ASSERT_TRUE(tail > 0 && time > 0 && aqm > 0);
	CU_ASSERT_EQUAL(tail, sim->reasons[0][DROP_QUEUE_TAIL]);
	CU_ASSERT_EQUAL(time, sim->reasons[0][DROP_QUEUE_TIME]);
	CU_ASSERT_EQUAL(aqm, sim->reasons[0][DROP_AQM]);
	CU_ASSERT_EQUAL(memory, sim->reasons[0][DROP_QUEUE_NO_MEMORY]);
	CU_ASSERT_EQUAL(packets, sim->packets);
	CU_ASSERT_EQUAL(bytes, sim->bytes);
	CU_ASSERT_EQUAL(sim_packets_in_use(), sim_backlog(sim));
	sim_free(sim); /* with packets in it */
	CU_ASSERT_EQUAL(sim_packets_in_use(), 0);
}

/* To the byte: what fits the limit is kept, the next is dropped; a flow without a queue when the
 * pool is empty loses its packet, not another's. */
static void test_limits_exactly(void)
{
	struct sim *sim = sim_create(1, 1, 3, 2);

	sim->config->link_bps = 64000;
	sim->config->overhead_bytes = 24;
	sim->config->classes[0].queue_limit_bytes = 3 * 1038;
	sim_configure(sim);
	while (sim_offer(sim, &sim->flows[0], 1014))
		;
	for (unsigned i = 0; i < 5; i++) /* one is in already */
		sim_offer(sim, &sim->flows[0], 1014);
	CU_ASSERT_EQUAL(sim->reasons[0][DROP_QUEUE_TAIL], 3);
	CU_ASSERT_EQUAL(shaper_class_stats(sim->shaper[0], 0)->backlog_bytes, 3 * 1038);
	sim_offer(sim, &sim->flows[1], 9000); /* an empty queue takes any packet */
	sim_offer(sim, &sim->flows[2], 60);
	CU_ASSERT_EQUAL(sim->reasons[0][DROP_QUEUE_TAIL], 3);
	CU_ASSERT_EQUAL(sim->reasons[0][DROP_QUEUE_NO_MEMORY], 1);
	CU_ASSERT_EQUAL(shaper_class_stats(sim->shaper[0], 0)->dropped_memory, 1);
	CU_ASSERT_TRUE(shaper_flow_idle(&sim->flows[2].flow.shape[WAY_UP]));
	/* Time limit: the first has waited too long, nothing more is taken. */
	sim->config->classes[0].queue_limit_bytes = 0;
	sim->config->classes[0].queue_limit_ns = 1000000;
	sim_configure(sim);
	CU_ASSERT_FALSE(sim_offer(sim, &sim->flows[0], 60));
	CU_ASSERT_EQUAL(sim->reasons[0][DROP_QUEUE_TAIL], 3);
	sim->now += 1000001;
	CU_ASSERT_FALSE(sim_offer(sim, &sim->flows[0], 60));
	CU_ASSERT_EQUAL(sim->reasons[0][DROP_QUEUE_TAIL], 3);
	CU_ASSERT_EQUAL(sim->reasons[0][DROP_QUEUE_TIME], 1);
	/* What has waited too long goes before the last one of its flow. */
	uint64_t packets = shaper_class_stats(sim->shaper[0], 0)->backlog_packets;
	sim->now += 2000000000ull;
	sim_dequeue(sim, 0);
	CU_ASSERT_EQUAL(sim->reasons[0][DROP_QUEUE_TIME], packets - 1);
	sim_free(sim);
}

/* What create refuses, and that its memory is what it says. */
static void test_create(void)
{
	struct sim *sim = sim_create(1, 4, 1, 1000);
	uint64_t reasons[REASON_COUNT];
	struct shaper_params params = {.name = "refused",
		.worker = 1,
		.classes_max = 4,
		.queues = 16,
		.socket = SOCKET_ID_ANY,
		.reasons = reasons};

	struct shaper_figures figures;
	shaper_figures(sim->shaper[0], &figures);
	CU_ASSERT_EQUAL(figures.memory_bytes, shaper_memory_needed(4, 1000, 1024));
	CU_ASSERT_PTR_NULL(shaper_create(&params, sim->shared)); /* no worker 1 */
	params.worker = 0;
	params.classes_max = 5;
	CU_ASSERT_PTR_NULL(shaper_create(&params, sim->shared));
	params.classes_max = 4;
	params.queues = 1 << 28; /* more than there is */
	CU_ASSERT_PTR_NULL(shaper_create(&params, sim->shared));
	CU_ASSERT_PTR_NULL(shaper_shared_create(1, 0, 17, SOCKET_ID_ANY));
	CU_ASSERT_PTR_NULL(shaper_class_stats(sim->shaper[0], 4));
	sim_free(sim);
}

UNIT_TESTS("shape-change", {"a new rate is in force at once", test_new_rate},
	{"half a wait at each rate", test_half_wait},
	{"10,000 random changes lose nothing", test_random_changes},
	{"a class is removed", test_class_removed}, {"a flow changes its class", test_flow_moves},
	{"in = out + dropped + waiting", test_invariant},
	{"limits to the byte", test_limits_exactly}, {"create", test_create},
	{"back amid a change", test_back_amid_change}, {"another per", test_per_changes})
