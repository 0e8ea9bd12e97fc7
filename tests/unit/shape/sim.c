/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulation of sim.h. It uses only the public API of the shaper, and does its own accounting
 * of what goes in and comes out, independent of the shaper's counters.
 */
#include "tests/unit/shape/sim.h"

#include <stdio.h>
#include <stdlib.h>

#include <rte_eal.h>
#include <rte_errno.h>

static struct rte_mempool *pool;

void sim_eal_sized(unsigned memory_mb, unsigned packets, uint16_t packet_bytes)
{
	char memory[16];
	char *argv[] = {"test", "--no-huge", "-m", memory, "--no-pci", "--no-shconf",
		"--no-telemetry", "--log-level=error", NULL};

	if (pool != NULL)
		return;
	snprintf(memory, sizeof(memory), "%u", memory_mb);
	if (rte_eal_init(8, argv) < 0) {
		fprintf(stderr, "rte_eal_init: %s\n", rte_strerror(rte_errno));
		exit(2);
	}
	pool = rte_pktmbuf_pool_create(
		"sim", packets, 256, sizeof(struct pkt), packet_bytes, SOCKET_ID_ANY);
	if (pool == NULL) {
		fprintf(stderr, "packet pool: %s\n", rte_strerror(rte_errno));
		exit(2);
	}
}

void sim_eal(void)
{
	sim_eal_sized(64, 32767, RTE_PKTMBUF_HEADROOM);
}

unsigned sim_packets_in_use(void)
{
	return rte_mempool_in_use_count(pool);
}

struct sim *sim_create(unsigned workers, unsigned classes, unsigned flows, uint32_t queues)
{
	return sim_create_hosts(workers, classes, flows, queues, SIM_HOSTS);
}

struct sim *sim_create_hosts(
	unsigned workers, unsigned classes, unsigned flows, uint32_t queues, uint32_t hosts)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	sim_eal();
	sim->now = SIM_START_NS;
	sim->random = 12345;
	sim->room.most = UINT32_MAX;
	sim->workers = workers;
	sim->config =
		calloc(1, sizeof(*sim->config) + classes * sizeof(struct shaper_class_config));
	sim->config->class_count = classes;
	sim->config->frame_min_bytes = SHAPER_FRAME_MIN;
	for (unsigned i = 0; i < classes; i++) {
		sim->config->classes[i].in_use = true;
		sim->config->classes[i].weight = 1;
		sim->config->classes[i].parent = SHAPER_NO_PARENT;
	}
	sim->flows = aligned_alloc(64, flows * sizeof(*sim->flows));
	memset(sim->flows, 0, flows * sizeof(*sim->flows));
	sim->flow_count = flows;
	for (unsigned i = 0; i < flows; i++) {
		sim->flows[i].worker = i % workers;
		sim->flows[i].wire_bytes = 1514;
		sim->flows[i].keep = 4;
	}
	sim->shared = shaper_shared_create(classes, hosts, workers, SOCKET_ID_ANY);
	for (unsigned w = 0; w < workers; w++) {
		struct shaper_params params = {.name = "sim",
			.way = WAY_UP,
			.worker = w,
			.classes_max = classes,
			.queues = queues,
			.socket = SOCKET_ID_ANY,
			.reasons = sim->reasons[w],
			.room = &sim->room};
		sim->shaper[w] = shaper_create(&params, sim->shared);
		if (sim->shaper[w] == NULL) {
			fprintf(stderr, "shaper_create: %s\n", rte_strerror(rte_errno));
			exit(2);
		}
	}
	return sim;
}

static void config_free(struct shaper_config *config)
{
	if (config != NULL)
		shaper_config_release(config);
	free(config);
}

void sim_free(struct sim *sim)
{
	for (unsigned w = 0; w < sim->workers; w++)
		shaper_destroy(sim->shaper[w]);
	shaper_shared_destroy(sim->shared);
	config_free(sim->applied);
	free(sim->config);
	free(sim->flows);
	free(sim);
}

void sim_configure(struct sim *sim)
{
	size_t bytes = sizeof(*sim->config) +
		       sim->config->class_count * sizeof(struct shaper_class_config);
	struct shaper_config *next = malloc(bytes);

	memcpy(next, sim->config, bytes);
	if (shaper_config_prepare(next, sim->applied) != 0) {
		fprintf(stderr, "the configuration is refused\n");
		abort();
	}
	for (unsigned w = 0; w < sim->workers; w++)
		while (!shaper_configure(sim->shaper[w], next, sim->now))
			;
	config_free(sim->applied);
	sim->applied = next;
}

static void leave(struct sim *sim, struct rte_mbuf *m)
{
	struct pkt *p = pkt_of(m);
	struct sim_flow *f = (struct sim_flow *)p->flow;

	if (sim->watch != NULL)
		sim->watch(sim, f, p);
	if (p->tcp_seq <= f->last_seq)
		sim->reordered++;
	f->last_seq = p->tcp_seq;
	f->sent++;
	f->sent_bytes += p->charged_bytes;
	f->last_ns = sim->now;
	sim->bytes += p->charged_bytes;
	sim->packets++;
	if (p->queued_ns == 0)
		sim->direct++;
	else if (sim->now - p->queued_ns > sim->max_delay_ns)
		sim->max_delay_ns = sim->now - p->queued_ns;
}

static void sink(struct sim *sim, struct rte_mbuf **out, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		leave(sim, out[i]);
		rte_pktmbuf_free(out[i]);
	}
}

struct rte_mbuf *sim_packet(struct sim *sim, struct sim_flow *f, uint32_t wire_bytes)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	if (m == NULL) {
		fprintf(stderr, "the simulation ran out of packets\n");
		abort();
	}
	struct pkt *p = pkt_of(m);
	memset(p, 0, sizeof(*p));
	p->flow = &f->flow;
	p->wire_bytes = wire_bytes;
	p->tcp_seq = ++f->offered;
	sim->offered++;
	return m;
}

bool sim_offer(struct sim *sim, struct sim_flow *f, uint32_t wire_bytes)
{
	struct rte_mbuf *m = sim_packet(sim, f, wire_bytes), *out[1];
	unsigned n = shaper_enqueue(sim->shaper[f->worker], &m, 1, sim->now, out);

	sink(sim, out, n);
	return n == 1;
}

unsigned sim_dequeue(struct sim *sim, unsigned worker)
{
	struct rte_mbuf *out[SIM_BURST];
	unsigned n, total = 0;

	do {
		n = shaper_dequeue(sim->shaper[worker], out, SIM_BURST, sim->now);
		sink(sim, out, n);
		total += n;
	} while (n == SIM_BURST);
	return total;
}

unsigned sim_recycle(struct sim *sim, unsigned worker)
{
	struct rte_mbuf *out[SIM_BURST];
	unsigned n = shaper_dequeue(sim->shaper[worker], out, SIM_BURST, sim->now);

	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = out[i], *direct;
		do {
			struct sim_flow *f = (struct sim_flow *)pkt_of(m)->flow;
			leave(sim, m);
			pkt_of(m)->tcp_seq = ++f->offered;
			sim->offered++;
		} while (shaper_enqueue(sim->shaper[worker], &m, 1, sim->now, &direct) == 1);
	}
	return n;
}

void sim_step(struct sim *sim, uint64_t least_ns)
{
	uint64_t next = shaper_next_ns(sim->shaper[0]);

	sim->now = next == UINT64_MAX || next < sim->now + least_ns ? sim->now + least_ns : next;
}

static void top_up(struct sim *sim, unsigned worker)
{
	for (unsigned i = 0; i < sim->flow_count; i++) {
		struct sim_flow *f = &sim->flows[i];
		if (f->worker != worker)
			continue;
		/* Not forever, if nothing limits the flow. */
		for (unsigned k = 0; k < 65536 && f->offered - f->sent < f->keep; k++)
			sim_offer(sim, f,
				f->wire_bytes ? f->wire_bytes : 60 + sim_random(sim) % 1459);
	}
}

void sim_poll(struct sim *sim, unsigned worker)
{
	unsigned n, rounds = 0;

	do {
		top_up(sim, worker);
		n = sim_dequeue(sim, worker);
	} while (n > 0 && ++rounds < 64);
}

void sim_run(struct sim *sim, uint64_t until, uint64_t step_ns)
{
	while (sim->now < until) {
		for (unsigned w = 0; w < sim->workers; w++)
			sim_poll(sim, w);
		sim->now += step_ns;
	}
}

uint32_t sim_random(struct sim *sim)
{
	sim->random = sim->random * 1664525u + 1013904223u;
	return sim->random >> 8;
}

uint64_t sim_class_bytes(const struct sim *sim, uint32_t class_id)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < sim->flow_count; i++)
		if (sim->flows[i].flow.class_id == class_id)
			bytes += sim->flows[i].sent_bytes;
	return bytes;
}

uint64_t sim_backlog(const struct sim *sim)
{
	uint64_t n = 0;

	for (unsigned w = 0; w < sim->workers; w++)
		for (uint32_t c = 0; c < sim->config->class_count; c++)
			n += shaper_class_stats(sim->shaper[w], c)->backlog_packets;
	return n;
}

uint64_t sim_dropped(const struct sim *sim)
{
	uint64_t n = 0;

	for (unsigned w = 0; w < sim->workers; w++)
		n += sim->reasons[w][DROP_QUEUE_TAIL] + sim->reasons[w][DROP_QUEUE_NO_MEMORY] +
		     sim->reasons[w][DROP_AQM] + sim->reasons[w][DROP_QUEUE_TIME] +
		     sim->reasons[w][DROP_POLICED];
	return n;
}

bool sim_near(double a, double b, double part, double slack)
{
	double d = a > b ? a - b : b - a;

	if (d <= part * b + slack)
		return true;
	printf("     %.0f is not near %.0f (%+.3f %%)\n", a, b, b != 0 ? (a - b) / b * 100 : 0);
	return false;
}
