/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything at once, at random: trees, hosts in a table that is too small, AQM, policing, changes
 * in steps between which packets go on, flows that change class, settling. What must hold: nothing
 * is lost or reordered, the counters agree with what went in and out, and in the end all is empty.
 */
#include <stdlib.h>

#include "tests/unit/shape/sim.h"
#include "tests/unit/unit.h"

#define CLASSES 300u /* more than are changed in one call */
#define FLOWS 256u
#define QUEUES 200u
#define ROUNDS 1500u

static uint32_t some(struct sim *sim, uint32_t n)
{
	return sim_random(sim) % n;
}

static uint64_t some_rate(struct sim *sim)
{
	static const uint64_t bps[] = {
		0, 0, 0, 64000, 3000000, 200000000, 30000000000, 1000000000000};

	return bps[some(sim, 8)];
}

static void some_police(struct sim *sim, struct policer_config *police)
{
	*police = (struct policer_config){
		.mode = (uint8_t)(some(sim, 4) == 0 ? 1 + some(sim, 3) : POLICE_NONE),
		.colour_aware = some(sim, 2) != 0,
		.action = {POLICE_PASS, POLICE_PASS, POLICE_DROP},
		.cir_bps = 1000000,
		.cbs_bytes = some(sim, 20000),
		.eir_bps = 2000000,
		.ebs_bytes = some(sim, 20000)};
}

static void some_class(struct sim *sim, uint32_t id)
{
	/* Two ids of each eight are groups now and then, below one another or below the link. */
	static const uint32_t tops[] = {SHAPER_NO_PARENT, 8, 16, 24};
	struct shaper_class_config *c = &sim->config->classes[id];
	bool group = id % 8 == 0 && id > 0;

	*c = (struct shaper_class_config){.in_use = true,
		.rate_bps = some_rate(sim),
		.ceil_bps = some_rate(sim),
		.flow_rate_bps = some(sim, 2) ? some_rate(sim) : 0,
		.queue_limit_bytes = some(sim, 3) ? 0 : 5000,
		.queue_limit_ns = some(sim, 4) ? 0 : 1000000,
		.weight = some(sim, 10),
		.parent = SHAPER_NO_PARENT,
		.priority = (uint8_t)some(sim, 8),
		.aqm = (uint8_t)some(sim, 4),
		.per = (uint8_t)some(sim, 5),
		.per_bits4 = (uint8_t)(some(sim, 2) ? 0 : 24),
		.aqm_target_ns = 100000};
	some_police(sim, &c->police);
	if (id > 24 || !group)
		c->parent = id == 0 ? SHAPER_NO_PARENT : tops[some(sim, 4)];
	else if (some(sim, 2))
		c->parent = id == 8 ? SHAPER_NO_PARENT : id - 8;
	if (id > 24)
		c->in_use = some(sim, 8) != 0;
}

static void some_config(struct sim *sim)
{
	unsigned changes = some(sim, 3) ? some(sim, 8) : CLASSES;

	sim->config->link_bps = some(sim, 8) ? 20000000 + 1000000ull * some(sim, 3000) : 0;
	sim->config->link_burst_ns = some(sim, 100000);
	sim->config->overhead_bytes = (int32_t)some(sim, 40);
	for (unsigned i = 0; i < changes; i++)
		some_class(sim, changes == CLASSES ? i : some(sim, CLASSES));
}

static void some_flow(struct sim *sim, struct sim_flow *f)
{
	struct flow *flow = &f->flow;

	flow->class_id = some(sim, 4) ? some(sim, 30) : some(sim, CLASSES + 2);
	if (flow->key.addr[0][10] != 0)
		return; /* who it is does not change */
	for (unsigned end = 0; end < 2; end++) {
		flow->key.addr[end][10] = flow->key.addr[end][11] = 0xff;
		flow->key.addr[end][14] = (uint8_t)some(sim, 4);
		flow->key.addr[end][15] = (uint8_t)some(sim, 16);
	}
	flow->initiator = (uint8_t)some(sim, 2);
	flow->lan_dir = (uint8_t)some(sim, 2);
}

/* A configuration that is put in force in steps, by each worker at its own pace. */
struct change {
	struct shaper_config *next, *before;
	bool done[SIM_WORKERS];
};

static struct shaper_config *prepare(struct sim *sim, const struct shaper_config *previous)
{
	size_t bytes = sizeof(*sim->config) + CLASSES * sizeof(struct shaper_class_config);
	struct shaper_config *next = malloc(bytes);

	memcpy(next, sim->config, bytes);
	CU_ASSERT_EQUAL_FATAL(shaper_config_prepare(next, previous), 0);
	return next;
}

static void discard(struct shaper_config *config)
{
	if (config != NULL)
		shaper_config_release(config);
	free(config);
}

/* Another one, now and then before the last one is in force or one that is dropped at once. */
static void change_begin(struct sim *sim, struct change *ch)
{
	discard(ch->before);
	ch->before = ch->next;
	some_config(sim);
	if (some(sim, 4) == 0)
		discard(prepare(sim, ch->before));
	ch->next = prepare(sim, ch->before);
	memset(ch->done, 0, sizeof(ch->done));
}

static void change_step(struct sim *sim, struct change *ch, unsigned w)
{
	if (ch->next != NULL && !ch->done[w])
		ch->done[w] = shaper_configure(sim->shaper[w], ch->next, sim->now);
}

static void change_back(struct sim *sim, struct change *ch)
{
	struct shaper_config *next = ch->before;

	if (next == NULL)
		return;
	ch->before = ch->next;
	ch->next = next;
	memcpy(sim->config, next, sizeof(*next) + CLASSES * sizeof(next->classes[0]));
	sim->config->changed = NULL;
	sim->config->changed_count = 0;
	memset(ch->done, 0, sizeof(ch->done));
}

static void change_end(struct sim *sim, struct change *ch)
{
	for (unsigned w = 0; w < sim->workers; w++)
		while (!ch->done[w])
			change_step(sim, ch, w);
}

static void change_free(struct change *ch)
{
	discard(ch->next);
	discard(ch->before);
}

/* Some leave smaller, or larger, than they were charged. */
static void settle_some(struct sim *sim, struct rte_mbuf **pkts, unsigned n, unsigned w)
{
	for (unsigned i = 0; i < n; i++)
		if (some(sim, 3) == 0)
			shaper_settle(sim->shaper[w], pkts[i], some(sim, 1600));
}

static void sink(struct sim *sim, struct rte_mbuf **pkts, unsigned n, unsigned w)
{
	settle_some(sim, pkts, n, w);
	for (unsigned i = 0; i < n; i++) {
		const struct pkt *p = pkt_of(pkts[i]);
		struct sim_flow *f = (struct sim_flow *)p->flow;
		sim->reordered += p->tcp_seq <= f->last_seq;
		f->last_seq = p->tcp_seq;
		f->sent++;
		sim->packets++;
		rte_pktmbuf_free(pkts[i]);
	}
}

static void offer(struct sim *sim, struct sim_flow *f)
{
	struct rte_mbuf *pkts[8], *out[8];
	unsigned n = 1 + some(sim, 8);

	for (unsigned i = 0; i < n; i++) {
		pkts[i] = sim_packet(sim, f, 40 + some(sim, 1500));
		pkt_of(pkts[i])->ecn = (uint8_t)some(sim, 4);
	}
	n = shaper_enqueue(sim->shaper[f->worker], pkts, n, sim->now, out);
	sink(sim, out, n, f->worker);
}

static void dequeue(struct sim *sim, unsigned w)
{
	struct rte_mbuf *out[SIM_BURST];
	unsigned n = shaper_dequeue(sim->shaper[w], out, 1 + some(sim, SIM_BURST), sim->now);

	sink(sim, out, n, w);
}

/* Packets and flows as counted by the classes, and by what went in and out. */
static void check(struct sim *sim)
{
	uint64_t waiting = sim->offered - sim->packets - sim_dropped(sim), flows = 0, queued = 0;

	CU_ASSERT_EQUAL(sim_backlog(sim), waiting);
	CU_ASSERT_EQUAL(sim->room.waiting, waiting);
	CU_ASSERT_EQUAL(sim_packets_in_use(), waiting);
	for (unsigned w = 0; w < sim->workers; w++) {
		uint64_t before = queued;
		for (unsigned c = 0; c < CLASSES; c++) {
			const struct shaper_class_stats *s = shaper_class_stats(sim->shaper[w], c);
			CU_ASSERT_EQUAL(s->backlog_since_ns == 0, s->backlog_packets == 0);
			CU_ASSERT_TRUE(s->backlog_bytes >= s->backlog_packets);
			flows += s->backlog_flows;
			queued += s->backlog_packets;
		}
		CU_ASSERT_TRUE(queued == before || shaper_next_ns(sim->shaper[w]) != UINT64_MAX);
	}
	for (unsigned i = 0; i < FLOWS; i++)
		flows -= !shaper_flow_idle(&sim->flows[i].flow.shape[WAY_UP]);
	CU_ASSERT_EQUAL(flows, 0);
	CU_ASSERT_EQUAL(sim->reordered, 0);
}

/* Without limits all that waits leaves at once, and nothing is left over. */
static void drain(struct sim *sim, struct change *ch)
{
	struct shaper_figures figures;

	sim->config->link_bps = 0;
	for (unsigned c = 0; c < CLASSES; c++)
		sim->config->classes[c].rate_bps = sim->config->classes[c].ceil_bps =
			sim->config->classes[c].flow_rate_bps = 0;
	discard(ch->before);
	ch->before = ch->next;
	ch->next = prepare(sim, ch->before);
	memset(ch->done, 0, sizeof(ch->done));
	change_end(sim, ch);
	for (unsigned k = 0; k < 4000 && sim_backlog(sim) > 0; k++)
		for (unsigned w = 0; w < sim->workers; w++)
			dequeue(sim, w);
	for (unsigned w = 0; w < sim->workers; w++)
		dequeue(sim, w);
	check(sim);
	CU_ASSERT_EQUAL(sim_backlog(sim), 0);
	for (unsigned w = 0; w < sim->workers; w++) {
		shaper_figures(sim->shaper[w], &figures);
		CU_ASSERT_EQUAL(figures.queues_used, 0);
		CU_ASSERT_EQUAL(shaper_next_ns(sim->shaper[w]), UINT64_MAX);
	}
}

static void run(unsigned workers, uint32_t seed)
{
	struct sim *sim = sim_create_hosts(workers, CLASSES, FLOWS, QUEUES, 32);
	struct change ch = {.next = NULL};

	sim->random = seed;
	sim->room.most = 3000;
	for (unsigned i = 0; i < FLOWS; i++)
		some_flow(sim, &sim->flows[i]);
	for (unsigned c = 0; c < CLASSES; c++)
		some_class(sim, c);
	for (unsigned k = 0; k < ROUNDS; k++) {
		if (k % 16 == 0)
			change_begin(sim, &ch);
		else if (some(sim, 40) == 0)
			change_back(sim, &ch);
		for (unsigned w = 0; w < workers; w++) {
			if (k == 0 || some(sim, 3) == 0)
				change_step(sim, &ch, w);
			for (unsigned i = 0; i < 4; i++)
				offer(sim, &sim->flows[some(sim, FLOWS / workers) * workers + w]);
			dequeue(sim, w);
		}
		some_flow(sim, &sim->flows[some(sim, FLOWS)]);
		sim->now += some(sim, 4) ? some(sim, 200000) : some(sim, 3000000);
		if (k % 8 == 0)
			check(sim);
		if (k % 300 == 299)
			drain(sim, &ch);
	}
	drain(sim, &ch);
	CU_ASSERT_TRUE(sim->packets > sim->offered / 8);
	change_free(&ch);
	sim_free(sim);
}

static void test_one_worker(void)
{
	for (uint32_t seed = 1; seed <= 10; seed++)
		run(1, seed);
}

static void test_workers(void)
{
	for (uint32_t seed = 1; seed <= 4; seed++) {
		run(2, seed);
		run(16, seed);
	}
}

UNIT_TESTS("shape-stress", {"everything at once, one worker", test_one_worker},
	{"everything at once, several workers", test_workers})
