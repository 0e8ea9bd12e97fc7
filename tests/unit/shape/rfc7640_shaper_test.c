/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Section 6.3 of RFC 7640, shapers, with stateless traffic: shaper rate (SR), shaper burst bytes
 * (SBB) and interval (SBI), packet delay (PD) and its variation (PDV), lost packets (LP) and those
 * out of sequence (OOS), of the link's, a class's and a flow's shaper. The RFC gives methods and no
 * pass values; ours are in the comments. What is expected comes from a token bucket in doubles.
 */
#include <math.h>
#include <stdlib.h>

#include "tests/unit/shape/sim.h"
#include "tests/unit/unit.h"

#define OVERHEAD 24u
#define LINE_BPS 400e9 /* of the port that the bursts come from */
#define POLL_NS 500u
/* A departure may be late by a tick of the wheel and a poll, and early by a lease (10 us). */
#define LATE_NS (1024 + POLL_NS + 5000)
#define EARLY_NS 10000

enum shaper_of { OF_LINK, OF_CLASS, OF_FLOW, SHAPERS };

static const uint64_t rates[] = {1000000, 10000000, 100000000, 1000000000, 10000000000};
static const uint32_t frames[] = {64, 590, 1518};
#define BURST_BYTES 20000u

/* What comes out, as the RFC's test equipment would record it. */
struct record {
	double per_ns; /* bytes */
	double late_ns, early_ns;
	/* trains: packets that leave at one moment */
	uint64_t train_ns;
	double train_bytes, train_most;
	double interval_off; /* most that the time to the next train was off, ns */
	bool train_waited;
	/* the reference: a token bucket in doubles, full at first */
	double tat;
	double early, late; /* most that a packet left before or after its time */
	double delay_least, delay_most;
	uint64_t arrival_ns; /* of the packets of this burst */
};

static struct sim *shaper_create_of(enum shaper_of of, uint64_t bps, uint32_t queue_limit_bytes)
{
	struct sim *sim = sim_create(1, 1, 1, 16);
	struct shaper_class_config *c = &sim->config->classes[0];

	sim->config->overhead_bytes = OVERHEAD;
	sim->config->link_bps = of == OF_LINK ? bps : 0;
	sim->config->link_burst_ns = (uint32_t)(BURST_BYTES * 8e9 / (double)bps);
	c->ceil_bps = of == OF_CLASS ? bps : 0;
	c->burst_bytes = BURST_BYTES;
	c->flow_rate_bps = of == OF_FLOW ? bps : 0;
	c->flow_burst_bytes = BURST_BYTES;
	c->queue_limit_bytes = queue_limit_bytes;
	sim_configure(sim);
	return sim;
}

/* Rates above 16 Gbit/s have a longer burst than the one configured: 10 us are given. */
static double burst_of(double per_ns)
{
	return BURST_BYTES > 10000 * per_ns ? BURST_BYTES : 10000 * per_ns;
}

static void watch(struct sim *sim, struct sim_flow *f, const struct pkt *p)
{
	struct record *r = sim->watcher;
	double now = (double)(sim->now - SIM_START_NS), arrival;

	/* The burst itself leaves as it comes, SBI is about what had to wait. */
	if (sim->now != r->train_ns) {
		double off = (double)(sim->now - r->train_ns) - r->train_bytes / r->per_ns;
		if (r->train_waited)
			r->interval_off = fmax(r->interval_off, fabs(off));
		r->train_waited = p->queued_ns != 0;
		r->train_ns = sim->now;
		r->train_bytes = 0;
	}
	r->train_bytes += p->charged_bytes;
	if (r->train_bytes > r->train_most)
		r->train_most = r->train_bytes;

	arrival = (double)((p->queued_ns ? p->queued_ns : sim->now) - SIM_START_NS);
	double floor = arrival - burst_of(r->per_ns) / r->per_ns;
	double base = r->tat > floor ? r->tat : floor;
	double ideal = base > arrival ? base : arrival;
	r->tat = base + p->charged_bytes / r->per_ns;
	r->late = fmax(r->late, now - ideal);
	r->early = fmax(r->early, ideal - now);
	r->delay_least = fmin(r->delay_least, now - arrival);
	r->delay_most = fmax(r->delay_most, now - arrival);
}

/* `packets` frames back to back at the line's rate. */
static void offer_burst(struct sim *sim, uint32_t packets, uint32_t frame_bytes)
{
	uint64_t start = sim->now;

	for (uint32_t i = 0; i < packets; i++) {
		sim->now = start + (uint64_t)(i * (frame_bytes + 20) * 8e9 / LINE_BPS);
		sim_offer(sim, &sim->flows[0], frame_bytes - 4);
		if (i % 32 == 31)
			sim_dequeue(sim, 0);
	}
}

static void drain(struct sim *sim)
{
	while (shaper_next_ns(sim->shaper[0]) != UINT64_MAX) {
		sim_dequeue(sim, 0);
		if (shaper_next_ns(sim->shaper[0]) != UINT64_MAX)
			sim_step(sim, POLL_NS);
	}
}

/*
 * Ten bursts of twice the configured one and more, a period longer than it takes to drain apart.
 * SR within 0.1 % while draining, SBB <= configured burst + 1 MTU (or a lease of 10 us, if that is
 * more, in later trains), SBI: the time to the next train within 5 us of train / SR; PD within a
 * tick and a poll of the ideal shaper's and so PDV; LP 0; OOS 0.
 */
static void check_bursts(enum shaper_of of, uint64_t bps, uint32_t frame_bytes)
{
	struct sim *sim = shaper_create_of(of, bps, 1u << 30);
	double per_ns = (double)bps / 8e9, charged = frame_bytes - 4 + OVERHEAD;
	double burst = burst_of(per_ns);
	uint32_t packets = (uint32_t)((2 * burst + 64 * 1538 + 1e6 * per_ns) / charged);
	uint64_t period = (uint64_t)(packets * charged / per_ns * 1.5) + 100000;

	for (unsigned k = 0; k < 10; k++) {
		struct record r = {.per_ns = per_ns, .delay_least = 1e18};
		uint64_t start = SIM_START_NS + 1000000 + k * period;
		sim->now = start;
		sim_dequeue(sim, 0);
		r.tat = (double)(start - SIM_START_NS) - burst / per_ns;
		sim->watch = watch;
		sim->watcher = &r;
		offer_burst(sim, packets, frame_bytes);
		drain(sim);
		CU_ASSERT_TRUE(r.train_most <= burst + 1538);
		CU_ASSERT_TRUE(r.interval_off <= 5000 + charged / per_ns * 1e-3);
		CU_ASSERT_TRUE(r.late <= LATE_NS);
		CU_ASSERT_TRUE(r.early <= EARLY_NS + charged / per_ns);
		/* PDV: from nothing to the wait behind all that the burst left over. */
		double wait = (packets * charged - burst) / per_ns;
		CU_ASSERT_TRUE(r.delay_least == 0 && r.delay_most <= wait + LATE_NS);
		/* SR: from the end of the burst credit to the last packet. */
		double took = (double)(sim->flows[0].last_ns - start);
		double sent = packets * charged - burst;
		CU_ASSERT_TRUE(sim_near(sent, took * per_ns, 0.001, charged + EARLY_NS * per_ns));
		CU_ASSERT_TRUE(sim->now < start + period);
	}
	CU_ASSERT_EQUAL(sim->flows[0].sent, 10 * packets);
	CU_ASSERT_EQUAL(sim_dropped(sim), 0);
	CU_ASSERT_EQUAL(sim->reordered, 0);
	sim_free(sim);
	CU_ASSERT_EQUAL(sim_packets_in_use(), 0);
}

static void test_bursts(void)
{
	for (unsigned of = 0; of < SHAPERS; of++)
		for (unsigned r = 0; r < sizeof(rates) / sizeof(rates[0]); r++)
			for (unsigned f = 0; f < sizeof(frames) / sizeof(frames[0]); f++)
				check_bursts(of, rates[r], frames[f]);
}

/* Bytes that leave in each window of 10 ms. */
struct windows {
	uint64_t start, bytes[100];
};

static void count_windows(struct sim *sim, struct sim_flow *f, const struct pkt *p)
{
	struct windows *w = sim->watcher;
	uint64_t i = (sim->now - w->start) / 10000000;

	if (sim->now >= w->start && i < 100)
		w->bytes[i] += p->charged_bytes;
}

/* Twice the rate for a second: SR within 0.1 %, and within 1 % (and a frame) in every 10 ms. */
static void check_overload(enum shaper_of of, uint64_t bps, uint32_t frame_bytes)
{
	struct sim *sim = shaper_create_of(of, bps, 64 * 1538);
	double per_ns = (double)bps / 8e9, charged = frame_bytes - 4 + OVERHEAD, total = 0;
	double gap_ns = charged / per_ns / 2, due;
	struct windows w = {0};

	sim->watch = count_windows;
	sim->watcher = &w;
	/* The burst is gone after its length: it is replaced at twice the rate. */
	w.start = sim->now + 1000000 + 3 * (uint64_t)(BURST_BYTES / per_ns);
	due = (double)(sim->now - SIM_START_NS);
	while (sim->now < w.start + 1000000000) {
		for (; due <= (double)(sim->now - SIM_START_NS); due += gap_ns)
			sim_offer(sim, &sim->flows[0], frame_bytes - 4);
		sim_dequeue(sim, 0);
		sim->now += gap_ns > POLL_NS ? (uint64_t)gap_ns : POLL_NS;
	}
	for (unsigned i = 0; i < 100; i++) {
		total += (double)w.bytes[i];
		CU_ASSERT_TRUE(sim_near((double)w.bytes[i], per_ns * 1e7, 0.01, charged));
	}
	CU_ASSERT_TRUE(sim_near(total, per_ns * 1e9, 0.001, charged));
	CU_ASSERT_EQUAL(sim->reordered, 0);
	CU_ASSERT_EQUAL(sim->offered, sim->packets + sim_dropped(sim) + sim_backlog(sim));
	sim_free(sim);
}

static void test_overload(void)
{
	for (unsigned of = 0; of < SHAPERS; of++)
		for (unsigned r = 1; r < 4; r++)
			for (unsigned f = 0; f < sizeof(frames) / sizeof(frames[0]); f++)
				if (rates[r] / frames[f] < 10000000) /* else too many packets */
					check_overload(of, rates[r], frames[f]);
	check_overload(OF_CLASS, 10000000000, 1518);
}

/* A burst at one moment: the configured bytes and at most a MTU go through, the queue holds its
 * limit, and what is beyond that is lost, to the packet. */
static void check_loss(enum shaper_of of, uint64_t bps, uint32_t frame_bytes, uint32_t beyond)
{
	const uint32_t limit = 50000;
	struct sim *sim = shaper_create_of(of, bps, limit);
	uint32_t charged = frame_bytes - 4 + OVERHEAD, fit = limit / charged;
	double burst = burst_of((double)bps / 8e9);

	sim->now += 1000000000;
	sim_dequeue(sim, 0);
	while (sim_offer(sim, &sim->flows[0], frame_bytes - 4))
		;
	CU_ASSERT_TRUE((double)sim->bytes >= burst && (double)sim->bytes <= burst + 1538);
	for (uint32_t i = 1; i < fit; i++)
		sim_offer(sim, &sim->flows[0], frame_bytes - 4);
	CU_ASSERT_EQUAL(sim_dropped(sim), 0);
	for (uint32_t i = 0; i < beyond; i++)
		sim_offer(sim, &sim->flows[0], frame_bytes - 4);
	CU_ASSERT_EQUAL(sim_dropped(sim), beyond);
	CU_ASSERT_EQUAL(sim_backlog(sim), fit);
	drain(sim);
	CU_ASSERT_EQUAL(sim->offered, sim->packets + beyond);
	CU_ASSERT_EQUAL(sim->reordered, 0);
	sim_free(sim);
	CU_ASSERT_EQUAL(sim_packets_in_use(), 0);
}

static void test_loss(void)
{
	for (unsigned of = 0; of < SHAPERS; of++)
		for (unsigned r = 0; r < 4; r++)
			for (unsigned f = 0; f < sizeof(frames) / sizeof(frames[0]); f++) {
				check_loss(of, rates[r], frames[f], 1);
				check_loss(of, rates[r], frames[f], 40);
			}
}

UNIT_TESTS("rfc7640-shaper", {"6.3 bursts: SR, SBB, SBI, PD, PDV", test_bursts},
	{"6.3 overload: SR in 1 s and in 10 ms", test_overload},
	{"6.3 queue limit: LP exact", test_loss})
