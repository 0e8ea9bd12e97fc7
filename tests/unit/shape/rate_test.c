/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rates and bursts of one worker: link, class ceiling and flow limits over the whole range of
 * rates, how much may leave at once, and settling after compression. sim.c counts, independently.
 */
#include "tests/unit/shape/sim.h"
#include "tests/unit/unit.h"

#include "dataplane/shape/bucket.h"

#define OVERHEAD 24u

enum limit { BY_LINK, BY_CEIL, BY_RATE_AND_CEIL, BY_FLOW };

static void limit_set(struct shaper_config *config, enum limit limit, uint64_t bps)
{
	config->link_bps = limit == BY_LINK ? bps : 0;
	config->classes[0].ceil_bps = limit == BY_CEIL || limit == BY_RATE_AND_CEIL ? bps : 0;
	config->classes[0].rate_bps = limit == BY_RATE_AND_CEIL ? bps : 0;
	config->classes[0].flow_rate_bps = limit == BY_FLOW ? bps : 0;
}

/* Bytes sent between two moments while there is always something to send. */
static void check_rate(uint64_t bps, uint32_t wire_bytes, enum limit limit)
{
	struct sim *sim = sim_create(1, 1, 1, 16);
	double packet = (wire_bytes ? wire_bytes : 789) + OVERHEAD;
	double packet_ns = packet * 8e9 / (double)bps;
	/* A second or less, but so long that a packet and a poll at either end are below 0.1 %. */
	double length_ns = 1e9;

	if (length_ns > 50000 * packet_ns)
		length_ns = 50000 * packet_ns;
	if (length_ns < 4000000 * 8e9 / (double)bps)
		length_ns = 4000000 * 8e9 / (double)bps;
	if (length_ns < 3000000)
		length_ns = 3000000;
	sim->config->overhead_bytes = OVERHEAD;
	limit_set(sim->config, limit, bps);
	sim->flows[0].wire_bytes = wire_bytes;
	sim->flows[0].keep = 256;
	sim_configure(sim);

	/* Poll when told to, not more often than a worker would. */
	uint64_t least_ns = bps >= 100000000000u ? 50 : 500, first = 0;
	uint64_t end = 0, from_bytes = 0, packets = 0;
	for (;;) {
		sim_poll(sim, 0);
		if (first == 0 && sim->packets > 20) { /* the burst is over */
			uint64_t next = shaper_next_ns(sim->shaper[0]);
			sim->now = next > sim->now ? next : sim->now + 1;
			sim_poll(sim, 0);
			first = sim->now;
			from_bytes = sim->bytes;
			packets = sim->packets;
			end = first + (uint64_t)length_ns;
		}
		if (first != 0 && sim->now >= end)
			break;
		uint64_t next = shaper_next_ns(sim->shaper[0]);
		if (next < sim->now + least_ns)
			next = sim->now + least_ns;
		sim->now = next;
	}
	double expected = (double)bps / 8e9 * (double)(sim->now - first);
	/* A packet at either end, and what a poll may be late. */
	double slack = 1600 + (double)bps / 8e9 * (double)(least_ns + 1024);
	CU_ASSERT_TRUE(sim->packets > packets);
	/* 0.1 % is the goal; the arithmetic is far better than that. */
	CU_ASSERT_TRUE(sim_near((double)(sim->bytes - from_bytes), expected, 0.00001, slack));
	CU_ASSERT_TRUE(slack < 0.001 * expected);
	CU_ASSERT_EQUAL(sim->reordered, 0);
	sim_free(sim);
	CU_ASSERT_EQUAL(sim_packets_in_use(), 0);
}

static const uint64_t rates[] = {64000, 100000, 999983, 10000000, 123456789, 1000000000,
	10000000000, 25000000000, 69000000000, 100000000000, 200000000000, 400000000000};
static const uint32_t sizes[] = {60, 586, 1514, 0};

static void sweep(enum limit limit)
{
	for (unsigned r = 0; r < sizeof(rates) / sizeof(rates[0]); r++)
		for (unsigned z = 0; z < sizeof(sizes) / sizeof(sizes[0]); z++)
			check_rate(rates[r], sizes[z], limit);
}

static void test_link_rate(void)
{
	sweep(BY_LINK);
}

static void test_ceil_rate(void)
{
	sweep(BY_CEIL);
	sweep(BY_RATE_AND_CEIL);
}

static void test_flow_rate(void)
{
	sweep(BY_FLOW);
}

/* The bucket itself over a long time against exact integer arithmetic. */
static void test_bucket_arithmetic(void)
{
	for (unsigned r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
		struct bucket_rate rate = bucket_rate_of(rates[r], 0, 0);
		/* Near the wrap of a TAT. */
		uint64_t start = UINT64_MAX - 1000000, tat = start, bytes = 0;
		for (unsigned i = 0; i < 100000; i++) {
			uint32_t size = 84 + i % 1455;
			tat = bucket_charge(tat, &rate, size, tat);
			bytes += size;
		}
		double took = (double)(tat - start) / 65536, exact = (double)bytes * 8e9 / rates[r];
		double error = (took - exact) / exact;
		CU_ASSERT_TRUE(error < 2e-6 && error > -2e-6);
	}
	CU_ASSERT_EQUAL(bucket_inverse(0), 0);
	CU_ASSERT_EQUAL(bucket_inverse(1), bucket_inverse(BUCKET_RATE_MIN_BPS));
	CU_ASSERT_EQUAL(bucket_inverse(8000000000u), 1ull << 32);
	CU_ASSERT_EQUAL(bucket_ready_ns(bucket_q16(1000) + 1, 1000), 1001);
	CU_ASSERT_EQUAL(bucket_ready_ns(bucket_q16(1000), 1000), 1000);
}

/* After a long idle time, no window may hold more than burst + rate * window + 2 frames (or 20 us
 * of the rate, if that is more). */
static void test_burst_bound(void)
{
	for (unsigned limit = BY_LINK; limit <= BY_FLOW; limit++)
		for (unsigned r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
			struct sim *sim = sim_create(1, 1, 1, 16);
			uint32_t burst = 20000;
			double per_ns = (double)rates[r] / 8e9;
			sim->config->overhead_bytes = OVERHEAD;
			sim->config->link_burst_ns = (uint32_t)(burst / per_ns);
			sim->config->classes[0].burst_bytes = burst;
			sim->config->classes[0].flow_burst_bytes = burst;
			limit_set(sim->config, limit, rates[r]);
			sim_configure(sim);
			for (unsigned idle = 0; idle < 3; idle++) {
				/* idle for 100 s, 10 h (more than a TAT's half range in all) */
				sim->now += idle ? 36000000000000ull : 100000000000ull;
				sim_dequeue(sim, 0);
				uint64_t before = sim->bytes;
				struct sim_flow *f = &sim->flows[0];
				for (unsigned i = 0; i < 800; i++)
					sim_offer(sim, f, 1514);
				sim_dequeue(sim, 0);
				double sent = (double)(sim->bytes - before);
				double over = 20000 * per_ns;
				over = over > 2 * 1538 ? over : 2 * 1538;
				CU_ASSERT_TRUE(sent <= burst + over);
				CU_ASSERT_TRUE(sent >= burst);
				while (shaper_next_ns(sim->shaper[0]) != UINT64_MAX) {
					sim->now = shaper_next_ns(sim->shaper[0]) + 100;
					sim_dequeue(sim, 0);
				}
				CU_ASSERT_EQUAL(f->sent, f->offered - sim_dropped(sim));
			}
			sim_free(sim);
		}
	CU_ASSERT_EQUAL(sim_packets_in_use(), 0);
}

/* Idle for as long as it takes a TAT to wrap, less a second: it must not look like a second of
 * debt. The worker polls once an hour. */
static void test_wrap(void)
{
	for (unsigned limit = BY_LINK; limit <= BY_FLOW; limit++) {
		struct sim *sim = sim_create(1, 1, 1, 16);
		limit_set(sim->config, limit, 10000000);
		sim_configure(sim);
		CU_ASSERT_TRUE(sim_offer(sim, &sim->flows[0], 1000));
		uint64_t end = sim->now + (1ull << 48) - 1000000000;
		while (sim->now < end) {
			sim->now += 3600000000000ull;
			sim->now = sim->now < end ? sim->now : end;
			sim_dequeue(sim, 0);
		}
		CU_ASSERT_TRUE(sim_offer(sim, &sim->flows[0], 1000));
		CU_ASSERT_EQUAL(sim->packets, 2);
		sim_free(sim);
	}
}

/* A thousand flows with their own limit: each exact, none in another's way. */
static void test_many_flows(void)
{
	struct sim *sim = sim_create(1, 1, 1000, 1000);

	sim->config->overhead_bytes = OVERHEAD;
	sim->config->classes[0].flow_rate_bps = 200000;
	sim_configure(sim);
	for (unsigned i = 0; i < sim->flow_count; i++) {
		sim->flows[i].wire_bytes = 60 + i;
		sim->flows[i].keep = 6;
	}
	sim_run(sim, sim->now + 1000000000, 20000);
	uint64_t *before = calloc(sim->flow_count, sizeof(*before));
	for (unsigned i = 0; i < sim->flow_count; i++)
		before[i] = sim->flows[i].sent_bytes;
	sim_run(sim, sim->now + 4000000000ull, 20000);
	for (unsigned i = 0; i < sim->flow_count; i++)
		CU_ASSERT_TRUE(sim_near(sim->flows[i].sent_bytes - before[i], 100000, 0,
			sim->flows[i].wire_bytes + OVERHEAD + 1));
	CU_ASSERT_EQUAL(sim->reordered, 0);
	CU_ASSERT_EQUAL(sim_dropped(sim), 0);
	free(before);
	sim_free(sim);
}

/* An unlimited shaper lets everything through at once; so does one below its rates. */
static void test_direct(void)
{
	struct sim *sim = sim_create(1, 2, 2, 16);

	for (unsigned i = 0; i < 1000; i++)
		CU_ASSERT_TRUE(sim_offer(sim, &sim->flows[0], 1514));
	sim->config->link_bps = 100000000;
	sim->config->link_burst_ns = 1000000;
	sim->config->classes[1].rate_bps = 50000000;
	sim->config->classes[1].flow_rate_bps = 20000000;
	sim->flows[1].flow.class_id = 1;
	sim_configure(sim);
	for (unsigned i = 0; i < 1000; i++) {
		sim->now += 1514 * 8 * 1000 / 19;
		CU_ASSERT_TRUE(sim_offer(sim, &sim->flows[1], 1514));
		sim_dequeue(sim, 0);
	}
	CU_ASSERT_TRUE(shaper_flow_idle(&sim->flows[1].flow.shape[WAY_UP]));
	CU_ASSERT_EQUAL(shaper_next_ns(sim->shaper[0]), UINT64_MAX);
	/* Too fast for its own limit: waits, and says until when. */
	sim_offer(sim, &sim->flows[1], 1514);
	sim_offer(sim, &sim->flows[1], 1514);
	CU_ASSERT_FALSE(sim_offer(sim, &sim->flows[1], 1514));
	CU_ASSERT_FALSE(shaper_flow_idle(&sim->flows[1].flow.shape[WAY_UP]));
	sim_dequeue(sim, 0);
	uint64_t next = shaper_next_ns(sim->shaper[0]);
	CU_ASSERT_TRUE(next > sim->now && next < sim->now + 700000);
	sim->now = next - 2048;
	CU_ASSERT_EQUAL(sim_dequeue(sim, 0), 0);
	sim->now = next;
	CU_ASSERT_EQUAL(sim_dequeue(sim, 0), 1);
	CU_ASSERT_TRUE(shaper_flow_idle(&sim->flows[1].flow.shape[WAY_UP]));
	sim_free(sim);
}

/* Packets that shrink after they have left: the rate counts what was really sent. Packed: those of
 * a call share a frame, and its overhead is the first one's. */
static void settle_rate(enum limit limit, unsigned percent, bool borrowed, bool packed)
{
	const uint64_t bps = 50000000;
	struct sim *sim = sim_create(1, 1, 1, 16);
	struct flow *flow = &sim->flows[0].flow;
	struct rte_mbuf *out[SIM_BURST];
	uint64_t wire = 0, start = 0, packets = 0;

	sim->config->overhead_bytes = OVERHEAD;
	limit_set(sim->config, limit, bps);
	if (borrowed) /* above its assured rate for the most part */
		sim->config->classes[0].rate_bps = bps / 10;
	sim_configure(sim);
	while (sim->now < SIM_START_NS + 1100000000) {
		struct sim_flow *f = &sim->flows[0];
		/* sim_offer() would free what leaves directly: keep the queue from running empty */
		while (shaper_class_stats(sim->shaper[0], 0)->backlog_packets < 64)
			sim_offer(sim, f, 1000);
		unsigned n = shaper_dequeue(sim->shaper[0], out, 4, sim->now);
		for (unsigned i = 0; i < n; i++) {
			bool shares = packed && i > 0;
			uint32_t charged = 10 * percent + (shares ? 0 : OVERHEAD);

			pkt_of(out[i])->flags = shares ? PKT_PACKED : 0;
			shaper_settle(sim->shaper[0], out[i], 10 * percent);
			CU_ASSERT_EQUAL(pkt_of(out[i])->charged_bytes, charged);
			if (start == 0 && sim->now > SIM_START_NS + 100000000)
				start = sim->now;
			if (start != 0) {
				wire += charged;
				packets++;
			}
			rte_pktmbuf_free(out[i]);
		}
		if (n < 4) {
			uint64_t next = shaper_next_ns(sim->shaper[0]);
			sim->now = next > sim->now + 200 ? next : sim->now + 200;
		}
	}
	CU_ASSERT_TRUE(packets > 1000);
	CU_ASSERT_TRUE(
		sim_near((double)wire, bps / 8e9 * (double)(sim->now - start), 0.0001, 3000));
	CU_ASSERT_TRUE(flow->shape[WAY_UP].queue != 0);
	if (borrowed) {
		const struct shaper_class_stats *stats = shaper_class_stats(sim->shaper[0], 0);
		CU_ASSERT_TRUE(sim_near((double)(stats->bytes - stats->borrowed_bytes),
			bps / 8e10 * (double)(sim->now - SIM_START_NS), 0.002, 5000));
	}
	sim_free(sim);
	CU_ASSERT_EQUAL(sim_packets_in_use(), 0);
}

static void test_settle(void)
{
	for (unsigned limit = BY_LINK; limit <= BY_FLOW; limit++) {
		settle_rate(limit, 30, false, false);
		settle_rate(limit, 107, false, false); /* framing made it longer */
		settle_rate(limit, 55, true, false);
		settle_rate(limit, 10, false, true);
	}
}

/* To the byte: after settling, the counters and a following wait are as if it had been sent so. */
static void test_settle_exactly(void)
{
	struct rte_mbuf *out[2];
	uint64_t next[2];

	for (unsigned way = 0; way < 2; way++) {
		struct sim *sim = sim_create(1, 1, 1, 16);
		struct sim_flow *f = &sim->flows[0];
		sim->config->classes[0].flow_rate_bps = 1000000;
		sim->config->classes[0].flow_burst_bytes = 1;
		sim_configure(sim);
		uint32_t first = way ? 700 : 1514;
		sim_offer(sim, f, 1000);
		sim_offer(sim, f, first);
		sim_offer(sim, f, 900);
		sim->now += 8000000;
		CU_ASSERT_EQUAL(shaper_dequeue(sim->shaper[0], out, 2, sim->now), 1);
		shaper_settle(sim->shaper[0], out[0], 700);
		CU_ASSERT_EQUAL(shaper_class_stats(sim->shaper[0], 0)->bytes, 1700);
		rte_pktmbuf_free(out[0]);
		uint64_t now = sim->now;
		while (sim_dequeue(sim, 0) == 0)
			sim->now = shaper_next_ns(sim->shaper[0]);
		next[way] = sim->now;
		/* The burst is 10 us. */
		CU_ASSERT_TRUE(next[way] >= now + 5600000 - 10000);
		CU_ASSERT_TRUE(next[way] <= now + 5600000 - 10000 + 1024);
		sim_free(sim);
	}
	CU_ASSERT_EQUAL(next[0], next[1]);
}

UNIT_TESTS("shape-rate", {"bucket arithmetic is exact", test_bucket_arithmetic},
	{"link rate, 64 kbit/s to 400 Gbit/s", test_link_rate},
	{"class ceiling, 64 kbit/s to 400 Gbit/s", test_ceil_rate},
	{"flow rate, 64 kbit/s to 400 Gbit/s", test_flow_rate},
	{"burst after idling is bounded", test_burst_bound},
	{"idle until the clock wraps", test_wrap},
	{"a thousand flows with limits", test_many_flows},
	{"direct path, waiting, next_ns", test_direct}, {"rates hold after settling", test_settle},
	{"settling is exact", test_settle_exactly})
