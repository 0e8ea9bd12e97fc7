/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TSC cycles a packet of shaper_enqueue() and shaper_dequeue(), 64-byte frames, one worker, virtual
 * time: straight through, and through the queues, with 1, 1,000 and 100,000 flows. Says how much of
 * the packet path's budget shape/ takes; the whole daemon is measured elsewhere.
 */
#include <stdio.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_malloc.h>

#include "controlplane/channel/counters.h"
#include "dataplane/flow/flow.h"
#include "dataplane/shape/shaper.h"

#define BURST 32u
#define ROUNDS 20001u
#define FLOWS_MAX 100000u
#define MEMORY_MB "192"

static struct flow *flows;
static struct rte_mempool *pool;
static uint64_t reasons[REASON_COUNT];
static uint64_t samples[ROUNDS];

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double median_per_packet(void)
{
	qsort(samples, ROUNDS, sizeof(samples[0]), compare);
	return (double)samples[ROUNDS / 2] / BURST;
}

static struct shaper *shaper_new(
	const struct shaper_config *config, struct shaper_shared **shared, uint64_t now)
{
	struct shaper_params params = {.name = "bench",
		.way = WAY_UP,
		.classes_max = config->class_count,
		.queues = FLOWS_MAX,
		.socket = SOCKET_ID_ANY,
		.reasons = reasons};

	*shared = shaper_shared_create(config->class_count, 1, SOCKET_ID_ANY);
	struct shaper *s = *shared ? shaper_create(&params, *shared) : NULL;
	if (s == NULL) {
		fprintf(stderr, "no memory for the shaper\n");
		exit(2);
	}
	shaper_configure(s, config, now);
	memset(flows, 0, FLOWS_MAX * sizeof(*flows));
	return s;
}

/* The same burst of packets again and again, each time for other flows; nothing waits. */
static double bench_direct(const struct shaper_config *config, unsigned count)
{
	struct rte_mbuf *burst[BURST], *out[BURST];
	struct shaper_shared *shared;
	uint64_t now = 1000000000000;
	struct shaper *s = shaper_new(config, &shared, now);
	unsigned next = 0;

	if (rte_pktmbuf_alloc_bulk(pool, burst, BURST) != 0)
		exit(2);
	for (unsigned r = 0; r < ROUNDS; r++) {
		for (unsigned i = 0; i < BURST; i++) {
			struct pkt *p = pkt_of(burst[i]);
			/* A stride, so that the next flow isn't the next in memory. */
			next = (next + 7919) % count;
			p->flow = &flows[next];
			p->wire_bytes = 60;
			/* The flow stage has just used these lines. */
			p->flow->last_seen_ms++;
			p->flow->packets[WAY_UP]++;
		}
		uint64_t start = rte_rdtsc();
		unsigned n = shaper_enqueue(s, burst, BURST, now, out);
		n += shaper_dequeue(s, out, BURST, now);
		samples[r] = rte_rdtsc() - start;
		if (n != BURST) {
			fprintf(stderr, "the direct path is not: %u of %u\n", n, BURST);
			exit(2);
		}
		now += 2000;
	}
	rte_pktmbuf_free_bulk(burst, BURST);
	shaper_destroy(s);
	shaper_shared_destroy(shared);
	return median_per_packet();
}

/* Every flow has a packet waiting. What leaves is offered again, behind the others. */
static double bench_queued(const struct shaper_config *config, unsigned count, unsigned step_ns)
{
	struct rte_mbuf *out[BURST], *again[BURST];
	struct shaper_shared *shared;
	uint64_t now = 1000000000000;
	struct shaper *s = shaper_new(config, &shared, now);
	unsigned n = 0, packets = count < 4 * BURST ? 4 * BURST : count;
	const struct shaper_class_stats *stats = shaper_class_stats(s, 0);

	for (unsigned i = 0; stats->backlog_packets < packets; i++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
		if (m == NULL)
			exit(2);
		pkt_of(m)->flow = &flows[i % count];
		pkt_of(m)->wire_bytes = 60;
		if (shaper_enqueue(s, &m, 1, now, out) == 1)
			rte_pktmbuf_free(out[0]);
	}
	for (unsigned r = 0; r < ROUNDS;) {
		now += step_ns;
		uint64_t start = rte_rdtsc();
		unsigned direct = n ? shaper_enqueue(s, again, n, now, out) : 0;
		unsigned sent = direct + shaper_dequeue(s, out + direct, BURST - direct, now);
		if (n == BURST && sent == BURST)
			samples[r++] = rte_rdtsc() - start;
		memcpy(again, out, sent * sizeof(out[0]));
		n = sent;
	}
	rte_pktmbuf_free_bulk(again, n);
	shaper_destroy(s);
	shaper_shared_destroy(shared);
	return median_per_packet();
}

int main(void)
{
	static const unsigned counts[] = {1, 1000, FLOWS_MAX};
	char *args[] = {"shape_bench", "--no-huge", "--no-shconf", "-m", MEMORY_MB, "--no-pci",
		"--no-telemetry", "--log-level=error", NULL};
	struct shaper_config *config =
		calloc(1, sizeof(*config) + sizeof(struct shaper_class_config));

	if (config == NULL || rte_eal_init(8, args) < 0) {
		fprintf(stderr, "cannot start the EAL\n");
		return 2;
	}
	flows = rte_zmalloc("flows", FLOWS_MAX * sizeof(*flows), 64);
	pool = rte_pktmbuf_pool_create(
		"bench", FLOWS_MAX + 4096, 0, sizeof(struct pkt), 256, SOCKET_ID_ANY);
	if (flows == NULL || pool == NULL) {
		fprintf(stderr, "no memory\n");
		return 2;
	}
	config->class_count = 1;
	config->overhead_bytes = 24;
	struct shaper_class_config *c = &config->classes[0];
	c->in_use = true;
	printf("shape: TSC cycles a packet, median of %u bursts of %u, no hugepages\n", ROUNDS,
		BURST);
	printf("%-44s %8s %8s %8s\n", "", "1 flow", "1,000", "100,000");
	for (unsigned kind = 0; kind < 6; kind++) {
		static const char *const names[] = {"direct, nothing limited", "direct, link",
			"direct, link, class", "direct, link, class, flow",
			"queued: link is the bottleneck", "queued: each flow's own rate"};
		double cycles[RTE_DIM(counts)];
		for (unsigned i = 0; i < RTE_DIM(counts); i++) {
			config->link_bps = kind >= 1 ? 400000000000 : 0;
			config->link_burst_ns = 20000;
			c->rate_bps = kind == 2 || kind == 3 ? 100000000000 : 0;
			c->ceil_bps = kind == 2 || kind == 3 ? 300000000000 : 0;
			c->flow_rate_bps = kind == 3 ? 1000000000000 : 0;
			c->flow_burst_bytes = 100000;
			if (kind == 4)
				config->link_bps = 100000000000;
			if (kind == 5) {
				c->flow_rate_bps = 100000000000 / counts[i];
				c->flow_burst_bytes = counts[i] == 1 ? 0 : 84;
			}
			cycles[i] = kind < 4 ? bench_direct(config, counts[i])
					     : bench_queued(config, counts[i], 240);
		}
		printf("%-44s %8.1f %8.1f %8.1f\n", names[kind], cycles[0], cycles[1], cycles[2]);
	}
	free(config);
	rte_eal_cleanup();
	return 0;
}
