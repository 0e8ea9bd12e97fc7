/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PIE against RFC 8033: the drop probability and each verdict beside the RFC's algorithm in real
 * numbers for the same delays, and closed loops with Reno-like senders (aqm_sim.h). DPDK's rte_pie
 * is no yardstick: it takes delays below the target for huge ones (unsigned) and has gains per
 * clock cycle.
 */
#include "tests/unit/unit.h"

#include <math.h>

#include "dataplane/shape/pie.h"
#include "tests/unit/shape/aqm_sim.h"

#define MS 1000000ull
#define START_NS (1000 * MS)

/* ---- RFC 8033, section 4 and appendix A, in real numbers and seconds ---- */

static const double target = 0.015, t_update = 0.015, max_burst = 0.150;

struct reference {
	double prob, accu, old_delay, burst;
};

static void reference_update(struct reference *r, double delay)
{
	double p = 0.125 * (delay - target) + 1.25 * (delay - r->old_delay);

	if (r->prob < 0.000001)
		p /= 2048;
	else if (r->prob < 0.00001)
		p /= 512;
	else if (r->prob < 0.0001)
		p /= 128;
	else if (r->prob < 0.001)
		p /= 32;
	else if (r->prob < 0.01)
		p /= 8;
	else if (r->prob < 0.1)
		p /= 2;
	if (r->prob >= 0.1 && p > 0.02)
		p = 0.02;
	r->prob += p;
	if (delay < target / 2 && r->old_delay < target / 2)
		r->prob *= 0.98;
	r->prob = fmin(fmax(r->prob, 0), 1);
	r->burst = fmax(0, r->burst - t_update);
	if (r->burst < 1e-9)
		r->burst = 0;
	/* The RFC asks this at each arrival; only an update can change the answer for long. */
	if (r->prob == 0 && delay < target / 2 && r->old_delay < target / 2)
		r->burst = max_burst;
	r->old_delay = delay;
}

static enum aqm_verdict reference_enqueue(
	struct reference *r, uint32_t queue_bytes, bool ect, uint32_t random)
{
	if (r->burst > 0)
		return AQM_VERDICT_PASS;
	if ((r->old_delay < target / 2 && r->prob < 0.2) || queue_bytes <= 2 * 1538)
		return AQM_VERDICT_PASS;
	if (r->prob == 0)
		r->accu = 0;
	r->accu += r->prob;
	if (r->accu < 0.85)
		return AQM_VERDICT_PASS;
	if (r->accu < 8.5 && random / 4294967296.0 >= r->prob)
		return AQM_VERDICT_PASS;
	r->accu = 0;
	return ect && r->prob < 0.1 ? AQM_VERDICT_MARK : AQM_VERDICT_DROP;
}

/* ---- Both beside each other ---- */

struct pair {
	struct pie pie;
	struct pie_params params;
	struct reference reference;
	uint64_t now_ns;
	unsigned asked, differ, verdicts[3];
	double error; /* greatest, relative, of probabilities from 1e-4 */
};

static void pair_start(struct pair *p)
{
	*p = (struct pair){.params = PIE_PARAMS, .now_ns = START_NS};
	p->reference.burst = max_burst;
	pie_enqueue(&p->pie, &p->params, 0, 0, false, 0, p->now_ns);
}

/* For a T_UPDATE, ten packets come; at its end the delay is delay_s. */
static void pair_period(struct pair *p, double delay_s, uint32_t queue_bytes, bool ect)
{
	uint64_t delay_ns = (uint64_t)(delay_s * 1e9);
	uint64_t end_ns = p->now_ns + PIE_T_UPDATE_NS;

	for (unsigned i = 0; i < 10; i++) {
		uint32_t random = sim_random();

		p->now_ns = end_ns + i * PIE_T_UPDATE_NS / 10;
		if (i == 0)
			reference_update(&p->reference, (double)delay_ns / 1e9);
		enum aqm_verdict ours = pie_enqueue(
			&p->pie, &p->params, delay_ns, queue_bytes, ect, random, p->now_ns);
		p->verdicts[ours]++;
		p->differ += ours != reference_enqueue(&p->reference, queue_bytes, ect, random);
		p->asked++;
	}
	p->now_ns = end_ns;
	double prob = (double)p->pie.drop_prob / (double)PIE_ONE;
	double error = fabs(prob - p->reference.prob) / fmax(p->reference.prob, 1e-4);

	p->error = fmax(p->error, error);
}

static void pair_check(const struct pair *p, unsigned signals_min)
{
	CU_ASSERT(p->error < 0.01);
	CU_ASSERT(p->differ <= p->asked / 1000);
	CU_ASSERT(p->verdicts[AQM_VERDICT_MARK] + p->verdicts[AQM_VERDICT_DROP] >= signals_min);
}

static void test_steps(void)
{
	struct pair p;

	pair_start(&p);
	for (unsigned i = 0; i < 3000; i++)
		pair_period(&p, i % 600 < 300 ? 0.035 : 0.002, 30000, false);
	pair_check(&p, 1000);
	CU_ASSERT_EQUAL(p.verdicts[AQM_VERDICT_MARK], 0);
}

static void test_waves(void)
{
	struct pair p;

	pair_start(&p);
	for (unsigned i = 0; i < 5000; i++)
		pair_period(&p, 0.017 + 0.012 * sin(i / 25.0), 30000, true);
	pair_check(&p, 500);
	CU_ASSERT(p.verdicts[AQM_VERDICT_MARK] > 100);
}

static void test_noise(void)
{
	struct pair p;

	pair_start(&p);
	for (unsigned i = 0; i < 5000; i++)
		pair_period(&p, i < 100 ? 0.05 : 0.006 + 0.000018 * (sim_random() % 1000), 30000,
			i & 1);
	pair_check(&p, 500);
}

/* From nothing to certain dropping, and back: every step of the tuning. */
static void test_range(void)
{
	struct pair p;

	pair_start(&p);
	for (unsigned i = 0; i < 300; i++)
		pair_period(&p, 0.3, 30000, false);
	CU_ASSERT_EQUAL(p.pie.drop_prob, PIE_ONE);
	for (unsigned i = 0; i < 400; i++)
		pair_period(&p, 0, 0, false);
	CU_ASSERT_EQUAL(p.pie.drop_prob, 0);
	pair_check(&p, 100);
	/* It comes up again no sooner than after the burst allowance. */
	memset(p.verdicts, 0, sizeof(p.verdicts));
	for (unsigned i = 0; i < 9; i++)
		pair_period(&p, 1, 30000, false);
	CU_ASSERT_EQUAL(p.verdicts[AQM_VERDICT_DROP], 0);
	for (unsigned i = 0; i < 9; i++)
		pair_period(&p, 1, 30000, false);
	CU_ASSERT(p.verdicts[AQM_VERDICT_DROP] > 0);
	pair_check(&p, 1);
}

static void test_small_queue(void)
{
	struct pair p;

	pair_start(&p);
	for (unsigned i = 0; i < 300; i++)
		pair_period(&p, 0.1, 3076, false);
	CU_ASSERT(p.pie.drop_prob > PIE_ONE / 2);
	pair_check(&p, 0);
	CU_ASSERT_EQUAL(p.verdicts[AQM_VERDICT_DROP], 0);
}

/* Chance neither signals at once nor spares for ever (RFC 8033, 5.4). */
static void test_chance(void)
{
	struct pie_params params = PIE_PARAMS;
	struct pie pie = {
		.updated_ns = START_NS, .drop_prob = PIE_ONE / 100, .old_delay_ns = PIE_TARGET_NS};
	unsigned spared = 0;

	while (spared < 10000 && pie_enqueue(&pie, &params, PIE_TARGET_NS, 30000, false, UINT32_MAX,
					 START_NS) == AQM_VERDICT_PASS)
		spared++;
	CU_ASSERT(spared >= 848 && spared <= 851);
	for (spared = 0; spared < 10000 && pie_enqueue(&pie, &params, PIE_TARGET_NS, 30000, false,
						   0, START_NS) == AQM_VERDICT_PASS;)
		spared++;
	CU_ASSERT(spared >= 83 && spared <= 86);
}

/* A pause is made up for as if the timer had run; a long one ends in a new state. */
static void test_pause(void)
{
	static const unsigned pauses[] = {1, 2, 10, 60, 150, 256, 257, 1000, 100000};

	for (unsigned i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
		struct pair p;

		pair_start(&p);
		for (unsigned k = 0; k < 150; k++)
			pair_period(&p, 0.05, 30000, false);
		CU_ASSERT(p.reference.prob > 0.3);
		for (unsigned k = 0; k < pauses[i]; k++)
			reference_update(&p.reference, 0);
		p.now_ns += pauses[i] * (uint64_t)PIE_T_UPDATE_NS;
		pie_enqueue(&p.pie, &p.params, 0, 0, false, 0, p.now_ns);
		double prob = (double)p.pie.drop_prob / (double)PIE_ONE;
		CU_ASSERT(fabs(prob - p.reference.prob) <= 1e-9 + p.reference.prob / 100);
		CU_ASSERT(fabs(p.pie.burst_ns / 1e9 - p.reference.burst) < 1e-6);
	}
}

/* ---- Closed loops ---- */

static struct pie loop_pie;
static struct pie_params loop_params;

static enum aqm_verdict loop_arrive(struct sim *s, const struct sim_packet *p, unsigned queue)
{
	return pie_enqueue(&loop_pie, &loop_params, sim_sojourn_ns(s, queue),
		(uint32_t)sim_waiting(s, queue) * SIM_BYTES, s->flows[p->flow].ect, sim_random(),
		s->now_ns);
}

static void loop(unsigned mbps, unsigned flows, bool ect, unsigned rtt_ms)
{
	struct sim *s = sim_new(mbps * 1000000ull);
	double target_ms = mbps == 1 ? 25 : 15; /* two frames take 24 ms at 1 Mbit/s */
	uint64_t lost = 0, marked = 0;

	loop_pie = (struct pie){0};
	loop_params = PIE_PARAMS;
	loop_params.target_ns = (uint32_t)target_ms * MS;
	s->arrive = loop_arrive;
	for (unsigned i = 0; i < flows; i++)
		sim_add(s, SIM_RENO, ect, rtt_ms * MS);
	sim_run(s, 60);
	for (unsigned i = 0; i < flows; i++) {
		lost += s->flows[i].lost;
		marked += s->flows[i].marked;
	}
	CU_ASSERT(sim_used(s) > 0.98);
	/* At 1 Mbit/s a packet is 12 ms. */
	CU_ASSERT(fabs(sim_delay_mean_ms(s, 0) - target_ms) < (mbps == 1 ? 24 : 6));
	CU_ASSERT(sim_delay_percentile_ms(s, 0, 99) < (mbps == 1 ? 120 : 45));
	CU_ASSERT(lost + marked > 0);
	if (ect && loop_pie.drop_prob < PIE_ONE / 20)
		CU_ASSERT(marked > lost);
	if (!ect)
		CU_ASSERT(marked == 0);
	sim_free(s);
}

static void test_loop_1m(void)
{
	loop(1, 1, false, 10);
	loop(1, 1, false, 40);
	loop(1, 1, true, 100);
}

static void test_loop_10m(void)
{
	loop(10, 5, false, 10);
	loop(10, 5, false, 40);
	loop(10, 5, true, 40);
	loop(10, 5, false, 100);
}

static void test_loop_100m(void)
{
	loop(100, 20, false, 10);
	loop(100, 20, true, 40);
	loop(100, 20, false, 100);
}

UNIT_TESTS("pie", {"probability and verdicts as RFC 8033: steps", test_steps},
	{"probability and verdicts as RFC 8033: waves", test_waves},
	{"probability and verdicts as RFC 8033: noise", test_noise},
	{"probability and verdicts as RFC 8033: from 0 to 1 and back", test_range},
	{"a queue of two packets loses none", test_small_queue}, {"chance has bounds", test_chance},
	{"a pause counts as if the timer had run", test_pause},
	{"holds the target at 1 Mbit/s", test_loop_1m},
	{"holds the target at 10 Mbit/s", test_loop_10m},
	{"holds the target at 100 Mbit/s", test_loop_100m})
