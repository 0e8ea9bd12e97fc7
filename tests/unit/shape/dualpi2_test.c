/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DualPI2 against RFC 9332, appendix A.1: the base probability beside the RFC's controller in real
 * numbers, how often each kind is marked and dropped, whose turn it is, and closed loops of
 * Reno-like and Prague-like senders (aqm_sim.h).
 */
#include "tests/unit/unit.h"

#include <math.h>

#include "dataplane/shape/dualpi2.h"
#include "tests/unit/shape/aqm_sim.h"

#define MS 1000000ull
#define START_NS (1000 * MS)
#define TRIES 200000

/* ---- The controller ---- */

static const double target = 0.015, t_update = 0.016, rtt_max = 0.1;

struct reference {
	double base, old_delay;
};

static void reference_update(struct reference *r, double delay)
{
	double alpha = 0.1 * t_update / (rtt_max * rtt_max), beta = 0.3 / rtt_max;

	r->base += alpha * (delay - target) + beta * (delay - r->old_delay);
	r->base = fmin(fmax(r->base, 0), 1);
	r->old_delay = delay;
}

static double base_of(const struct dualpi2 *d)
{
	return d->base_prob / 4294967296.0;
}

static double queue_delay(unsigned shape, unsigned period)
{
	switch (shape) {
	case 0:
		return period % 400 < 200 ? 0.030 : 0.004;
	case 1:
		return 0.0155 + 0.012 * sin(period / 20.0);
	default:
		return 0.000031 * (sim_random() % 1000);
	}
}

static void test_trajectory(void)
{
	struct dualpi2_params params;

	dualpi2_params_init(&params, 0, 0, 0);
	CU_ASSERT_EQUAL(params.target_ns, 15 * MS);
	CU_ASSERT_EQUAL(params.t_update_ns, 16 * MS);
	for (unsigned shape = 0; shape < 3; shape++) {
		struct dualpi2 d = {0};
		struct reference r = {0};
		double error = 0, highest = 0;

		for (unsigned k = 0; k < 3000; k++) {
			double delay = queue_delay(shape, k), before = r.base;

			/* Half the packets of a period have waited less, half more. */
			for (unsigned i = 0; i < 16; i++) {
				dualpi2_classic(&d, &params,
					(uint64_t)(delay * (i % 2 ? 0.9 : 1.1) * 1e9), 30000, false,
					sim_random(), START_NS + (16 * k + i) * MS);
				error = fmax(error, fabs(base_of(&d) - before));
			}
			reference_update(&r, delay);
			highest = fmax(highest, r.base);
		}
		CU_ASSERT(highest > 0.05);
		CU_ASSERT(error < 0.0005);
	}
}

/* L4S's delay counts where it is the greater one, and doesn't where it is the lesser. */
static void test_both_delays(void)
{
	struct dualpi2_params params;
	struct dualpi2 d = {0};
	struct reference r = {0};

	dualpi2_params_init(&params, 0, 0, 0);
	for (unsigned k = 0; k < 300; k++) {
		double classic = k < 150 ? 0.018 : 0.012, l4s = k < 150 ? 0.001 : 0.017;

		for (unsigned i = 0; i < 16; i++) {
			uint64_t now_ns = START_NS + (16 * k + i) * MS;
			if (i % 4 == 0)
				dualpi2_classic(&d, &params, (uint64_t)(classic * 1e9), 30000,
					false, 0, now_ns);
			else
				dualpi2_l4s(
					&d, &params, (uint64_t)(l4s * 1e9), 30000, true, 0, now_ns);
		}
		CU_ASSERT(fabs(base_of(&d) - r.base) < 0.0005);
		reference_update(&r, fmax(classic, l4s));
	}
	CU_ASSERT(r.base > 0.05);
}

/* Makes the base probability about 0.5 and tells the reference. */
static uint64_t raise(struct dualpi2 *d, const struct dualpi2_params *params, struct reference *r)
{
	uint64_t now_ns = START_NS;

	*d = (struct dualpi2){0};
	*r = (struct reference){0};
	dualpi2_classic(d, params, 30 * MS, 30000, false, 0, now_ns);
	for (unsigned k = 0; k < 180; k++) {
		now_ns += 16 * MS;
		dualpi2_classic(d, params, 30 * MS, 30000, false, 0, now_ns);
		reference_update(r, 0.030);
	}
	CU_ASSERT(fabs(base_of(d) - r->base) < 0.0005);
	CU_ASSERT(r->base > 0.4);
	return now_ns;
}

/* After a pause the first packet finds what the timer would have made of an empty queue. */
static void test_pause(void)
{
	static const unsigned pauses[] = {2, 3, 10, 100, 150, 1000, 2000, 1000000};
	struct dualpi2_params params;

	dualpi2_params_init(&params, 0, 0, 0);
	for (unsigned i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
		struct dualpi2 d;
		struct reference r;
		uint64_t now_ns = raise(&d, &params, &r);

		reference_update(&r, 0.030); /* the period in which the last packet left */
		for (unsigned k = 1; k < pauses[i]; k++)
			reference_update(&r, 0);
		dualpi2_l4s(&d, &params, 0, 1514, false, 0, now_ns + pauses[i] * 16 * MS);
		CU_ASSERT(fabs(base_of(&d) - r.base) < 0.001);
	}
}

/* A class so slow that many periods pass between its packets, while the queue is never empty: the
 * reference looks at the head at each period's end. */
static void test_slow_class(void)
{
	struct dualpi2_params params;
	struct dualpi2 d = {0};
	struct reference r = {0};
	const uint64_t gap_ns = 187 * MS;
	double error = 0;
	unsigned k = 1;

	dualpi2_params_init(&params, 400 * MS, 0, 64000);
	double alpha = 0.1 * t_update / (1.6 * 1.6), beta = 0.3 / 1.6;
	/* Packet n came so that it has waited between 300 and 700 ms when it leaves. */
	for (unsigned n = 0; n < 2000; n++) {
		uint64_t now_ns = START_NS + n * gap_ns;
		uint64_t sojourn_ns = (uint64_t)(500 + 200 * sin(n / 30.0)) * MS;

		for (; n > 0 && START_NS + k * 16 * MS <= now_ns; k++) {
			uint64_t back_ns = now_ns - (START_NS + k * 16 * MS);
			double delay = (double)(sojourn_ns - back_ns) / 1e9;

			r.base += alpha * (delay - 0.4) + beta * (delay - r.old_delay);
			r.base = fmin(fmax(r.base, 0), 1);
			r.old_delay = delay;
		}
		dualpi2_classic(&d, &params, sojourn_ns, 30000, false, 0, now_ns);
		error = fmax(error, fabs(base_of(&d) - r.base));
	}
	CU_ASSERT(r.base > 0.05);
	CU_ASSERT(error < 0.005);
}

/* ---- Verdicts ---- */

struct share {
	double pass, mark, drop;
};

static struct share shares(double base, bool l4s, bool ect, uint64_t sojourn_ns, uint32_t bytes)
{
	struct dualpi2_params params;
	unsigned n[3] = {0};

	dualpi2_params_init(&params, 0, 0, 0);
	for (unsigned i = 0; i < TRIES; i++) {
		struct dualpi2 d = {
			.updated_ns = START_NS, .base_prob = (uint32_t)(base * 4294967295.0)};
		enum aqm_verdict v = l4s ? dualpi2_l4s(&d, &params, sojourn_ns, bytes, false,
						   sim_random(), START_NS + MS)
					 : dualpi2_classic(&d, &params, sojourn_ns, bytes, ect,
						   sim_random(), START_NS + MS);
		n[v]++;
	}
	return (struct share){n[AQM_VERDICT_PASS] / (double)TRIES,
		n[AQM_VERDICT_MARK] / (double)TRIES, n[AQM_VERDICT_DROP] / (double)TRIES};
}

static bool near(double a, double b)
{
	return fabs(a - b) < 0.005;
}

static void test_coupling(void)
{
	for (double base = 0; base < 0.5; base += 0.07) {
		struct share s = shares(base, false, false, 15 * MS, 30000);
		CU_ASSERT(near(s.drop, base * base) && s.mark == 0);
		s = shares(base, false, true, 15 * MS, 30000);
		CU_ASSERT(near(s.mark, base * base) && s.drop == 0);
		s = shares(base, true, true, 100000, 30000);
		CU_ASSERT(near(s.mark, 2 * base) && s.drop == 0);
	}
	struct share s = shares(0.4, false, false, 15 * MS, 3076);
	CU_ASSERT(s.pass == 1); /* up to two frames */
}

static void test_ramp(void)
{
	CU_ASSERT(shares(0, true, true, 800000, 30000).pass == 1);
	CU_ASSERT(near(shares(0, true, true, 900000, 30000).mark, 0.25));
	CU_ASSERT(near(shares(0, true, true, 1100000, 30000).mark, 0.75));
	CU_ASSERT(shares(0, true, true, 1200000, 30000).mark == 1);
	/* The greater of both probabilities, and a packet alone is left alone. */
	CU_ASSERT(near(shares(0.3, true, true, 900000, 30000).mark, 0.6));
	CU_ASSERT(near(shares(0.1, true, true, 1100000, 30000).mark, 0.75));
	CU_ASSERT(shares(0, true, true, 1200000, 1538).pass == 1);

	struct dualpi2_params params;
	dualpi2_params_init(&params, 0, 0, 1000000);
	CU_ASSERT(params.l4s_min_ns >= 24 * MS && params.l4s_min_ns < 25 * MS);
	dualpi2_params_init(&params, 0, 0, 1000000000);
	CU_ASSERT_EQUAL(params.l4s_min_ns, 800000);
}

static void test_overload(void)
{
	for (double base = 0.51; base <= 1; base += 0.07) {
		struct share s = shares(base, true, true, 100000, 30000);
		CU_ASSERT(near(s.drop, base * base) && s.pass == 0);
		s = shares(base, false, true, 15 * MS, 30000);
		CU_ASSERT(near(s.drop, base * base) && s.mark == 0);
	}
}

/* Gains and periods stay sane, and nothing overflows, whatever is asked for. */
static void test_params(void)
{
	static const uint32_t targets[] = {1, 1000, 250000, 15000000, UINT32_MAX};
	static const uint32_t rtts[] = {1, 1000000, 100000000, UINT32_MAX};

	for (unsigned i = 0; i < 20; i++) {
		struct dualpi2_params params;
		struct dualpi2 d = {0};
		uint64_t now_ns = START_NS;

		dualpi2_params_init(&params, targets[i % 5], rtts[i / 5], i % 2);
		CU_ASSERT(params.t_update_ns >= MS && params.t_update_ns <= 16 * MS);
		CU_ASSERT(params.beta > 0 && params.alpha < 1u << 23 && params.beta < 1u << 24);
		dualpi2_classic(&d, &params, 0, 30000, false, 0, now_ns);
		/* A head that waits for ever: certain dropping. Then the queue is empty: none. */
		for (unsigned k = 0; k < 20000; k++)
			dualpi2_classic(&d, &params, 1ull << 40, 30000, false, 0,
				now_ns += params.t_update_ns);
		CU_ASSERT(params.target_ns == UINT32_MAX || d.base_prob == UINT32_MAX);
		dualpi2_classic(&d, &params, 1ull << 60, 30000, false, 0,
			now_ns += 1024ull * params.t_update_ns);
		CU_ASSERT(params.target_ns == UINT32_MAX || d.base_prob == UINT32_MAX);
		dualpi2_classic(
			&d, &params, 0, 30000, false, 0, now_ns += 2000ull * params.t_update_ns);
		CU_ASSERT_EQUAL(d.base_prob, 0);
	}
}

/* ---- Whose turn it is ---- */

static void test_turn_share(void)
{
	struct dualq_turn turn = {0};
	uint64_t sent[2] = {0}, run = 0, run_max = 0, far = 0;

	for (unsigned i = 0; i < 1000000; i++) {
		bool l4s = dualq_serve_l4s(&turn, true, true);
		uint32_t bytes = 64 + sim_random() % 1451;

		dualq_served(&turn, l4s, bytes);
		sent[l4s] += bytes;
		run = l4s ? run + bytes : 0;
		run_max = run > run_max ? run : run_max;
		/* Never further from the share than a packet of one kind or the other. */
		int64_t off = (int64_t)sent[1] - 9 * (int64_t)sent[0];
		far += off > 1514 || off < -9 * 1514;
	}
	CU_ASSERT_EQUAL(far, 0);
	CU_ASSERT(run_max <= 10 * 1514);
	CU_ASSERT(run_max > 8 * 1514);
}

static void test_turn_alone(void)
{
	struct dualq_turn turn = {0};

	/* Who is alone is served, and neither owes nor earns anything by it. */
	for (unsigned i = 0; i < 1000; i++) {
		CU_ASSERT(dualq_serve_l4s(&turn, true, false));
		dualq_served(&turn, true, 1514);
	}
	CU_ASSERT(dualq_serve_l4s(&turn, true, true));
	dualq_served(&turn, true, 1514);
	CU_ASSERT(!dualq_serve_l4s(&turn, true, true));
	dualq_served(&turn, false, 1514);
	for (unsigned i = 0; i < 1000; i++) {
		CU_ASSERT(!dualq_serve_l4s(&turn, false, true));
		dualq_served(&turn, false, 1514);
	}
	/* Of the nine packets that Classic's one was worth, one was sent before. */
	for (unsigned i = 0; i < 9; i++) {
		CU_ASSERT(dualq_serve_l4s(&turn, true, true));
		dualq_served(&turn, true, 1514);
	}
	CU_ASSERT(!dualq_serve_l4s(&turn, true, true));
}

/* ---- Closed loops ---- */

static struct dualpi2 loop_state;
static struct dualpi2_params loop_params;
static struct dualq_turn loop_turn;

static enum aqm_verdict loop_head(struct sim *s, const struct sim_packet *p, unsigned queue)
{
	uint64_t sojourn_ns = s->now_ns - p->at_ns;
	uint32_t bytes[2] = {
		(uint32_t)sim_waiting(s, 0) * SIM_BYTES, (uint32_t)sim_waiting(s, 1) * SIM_BYTES};

	if (queue == 1)
		return dualpi2_l4s(&loop_state, &loop_params, sojourn_ns, bytes[1], bytes[0] > 0,
			sim_random(), s->now_ns);
	return dualpi2_classic(&loop_state, &loop_params, sojourn_ns, bytes[0] + bytes[1],
		s->flows[p->flow].ect, sim_random(), s->now_ns);
}

static unsigned loop_whose(struct sim *s)
{
	return dualq_serve_l4s(&loop_turn, sim_waiting(s, 1) > 0, sim_waiting(s, 0) > 0);
}

static void loop_served(struct sim *s, unsigned queue)
{
	(void)s;
	dualq_served(&loop_turn, queue == 1, SIM_BYTES);
}

static struct sim *loop_new(uint64_t rate_bps)
{
	struct sim *s = sim_new(rate_bps);

	loop_state = (struct dualpi2){0};
	loop_turn = (struct dualq_turn){0};
	dualpi2_params_init(&loop_params, 0, 0, rate_bps);
	s->head = loop_head;
	s->turn = loop_whose;
	s->served = loop_served;
	return s;
}

struct result {
	double per_flow[2]; /* bytes of a Classic and of an L4S flow */
	uint64_t lost[2], marked[2];
};

static struct result loop_result(const struct sim *s)
{
	struct result r = {0};
	unsigned count[2] = {0};

	for (unsigned i = 0; i < s->flow_count; i++) {
		const struct sim_flow *f = &s->flows[i];
		r.per_flow[f->l4s] += (double)f->bytes;
		r.lost[f->l4s] += f->lost;
		r.marked[f->l4s] += f->marked;
		count[f->l4s]++;
	}
	for (unsigned q = 0; q < 2; q++)
		r.per_flow[q] /= count[q] ? count[q] : 1;
	return r;
}

static void loop(unsigned mbps, unsigned rtt_ms, unsigned reno, bool reno_ect, unsigned prague)
{
	struct sim *s = loop_new(mbps * 1000000ull);

	for (unsigned i = 0; i < reno; i++)
		sim_add(s, SIM_RENO, reno_ect, rtt_ms * MS);
	for (unsigned i = 0; i < prague; i++)
		sim_add(s, SIM_PRAGUE, true, rtt_ms * MS);
	sim_run(s, 60);
	struct result r = loop_result(s);
	/* Two frames take long at 10 Mbit/s; and a Classic one, once begun, is ahead of any. */
	double l4s_p99_ms = mbps <= 10 ? 5 : 1.5, ratio = r.per_flow[1] / r.per_flow[0];

	CU_ASSERT(sim_used(s) > 0.97);
	if (reno > 0) {
		CU_ASSERT(fabs(sim_delay_mean_ms(s, 0) - 15) < 5);
		CU_ASSERT(sim_delay_percentile_ms(s, 0, 99) < 45);
	}
	if (reno > 0 && prague > 0)
		CU_ASSERT(ratio > 0.5 && ratio < 2);
	if (prague > 0) {
		CU_ASSERT(sim_delay_percentile_ms(s, 1, 99) < l4s_p99_ms);
		CU_ASSERT(r.lost[1] == 0 && r.marked[1] > 1000);
	}
	CU_ASSERT(reno == 0 || (reno_ect ? r.marked : r.lost)[0] > 20);
	CU_ASSERT((reno_ect ? r.lost : r.marked)[0] == 0);
	sim_free(s);
}

static void test_loop_10m(void)
{
	loop(10, 40, 4, false, 4);
	loop(10, 40, 8, true, 2);
	loop(10, 40, 2, false, 8);
	loop(10, 100, 4, false, 4);
}

static void test_loop_40m(void)
{
	loop(40, 10, 1, false, 1);
	loop(40, 10, 4, false, 4);
	loop(40, 40, 4, true, 4);
	loop(40, 40, 8, false, 2);
	loop(40, 40, 2, false, 8);
}

static void test_loop_100m(void)
{
	loop(100, 10, 4, false, 4);
	loop(100, 10, 8, true, 2);
	loop(100, 40, 8, false, 8);
	loop(100, 20, 2, false, 8);
}

static void test_loop_one_kind(void)
{
	loop(40, 40, 5, false, 0);
	loop(40, 10, 5, true, 0);
	loop(100, 10, 0, false, 5);
	loop(100, 40, 0, false, 5);
}

/* L4S that heeds nothing: it is dropped, keeps a bounded delay, and Classic has its tenth. */
static void test_flood(void)
{
	struct sim *s = loop_new(40000000);
	struct sim_flow *flood = sim_add(s, SIM_FLOOD, true, 20 * MS);

	flood->l4s = true;
	flood->rate_bps = 60000000;
	for (unsigned i = 0; i < 4; i++)
		sim_add(s, SIM_RENO, false, 20 * MS);
	sim_run(s, 30);
	struct result r = loop_result(s);
	double rate = sim_used(s);

	CU_ASSERT(rate > 0.99);
	CU_ASSERT(4 * r.per_flow[0] > 0.07 * (4 * r.per_flow[0] + r.per_flow[1]));
	CU_ASSERT(r.lost[1] > 10000);
	CU_ASSERT(sim_delay_mean_ms(s, 1) < 20);
	sim_free(s);
}

UNIT_TESTS("dualpi2", {"base probability as RFC 9332", test_trajectory},
	{"the worse queue counts", test_both_delays},
	{"a pause counts as if the timer had run", test_pause},
	{"a slow class counts as if the timer had run", test_slow_class},
	{"Classic has the square, L4S twice the base probability", test_coupling},
	{"L4S's own ramp", test_ramp}, {"overload drops both", test_overload},
	{"any parameters", test_params}, {"Classic has a tenth exactly", test_turn_share},
	{"who is alone owes nothing", test_turn_alone},
	{"Reno and Prague at 10 Mbit/s", test_loop_10m},
	{"Reno and Prague at 40 Mbit/s", test_loop_40m},
	{"Reno and Prague at 100 Mbit/s", test_loop_100m}, {"one kind alone", test_loop_one_kind},
	{"an L4S flood", test_flood})
