/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TCP measurement against the truth of simulated connections (sim.h): medians of both halves,
 * retransmissions by place, loss ratios, reordering.
 */
#include <math.h>
#include <stdlib.h>

#include "tests/unit/measure/sim.h"
#include "tests/unit/unit.h"

static struct measure_class c;
static struct flow_measure f;
static struct sim_truth t;

/* Set to print what was measured beside the truth. */
#define VERBOSE (getenv("SIM_VERBOSE") != NULL)

static void run(const struct sim_setup *setup)
{
	enum measure_from from = setup->from;

	memset(&c, 0, sizeof(c));
	memset(&f, 0, sizeof(f));
	sim_run(setup, &f, &c, &t);
	if (!VERBOSE)
		return;
	printf("%-24s far %lu ns (%lu samples, truth %lu), near %lu ns (%lu, truth %lu)\n",
		setup->name, t.far_measured_ns, t.far_samples, t.far_median_ns, t.near_measured_ns,
		t.near_samples, t.near_rtt_ns);
	printf("%-24s before %lu/%lu after %lu/%lu needless %lu/%lu late %lu/%lu unseen %lu\n", "",
		c.retransmits_before[from], t.again_before, c.retransmits_after[from],
		t.again_after, c.retransmits_needless[from], t.again_needless, c.reordered[from],
		t.late, t.again_unseen);
}

/* Within 1 % or 10 us. */
static bool near_to(uint64_t got_ns, uint64_t want_ns)
{
	return fabs((double)got_ns - (double)want_ns) <= fmax(10e3, 0.01 * (double)want_ns);
}

/* The samples are right, and the histogram says the same. */
static void check_medians(enum measure_from from)
{
	const struct histogram *far = from == FROM_LAN ? &c.rtt_wan : &c.rtt_lan;
	const struct histogram *near = from == FROM_LAN ? &c.rtt_lan : &c.rtt_wan;
	double far_ns = (double)t.far_measured_ns, near_ns = (double)t.near_measured_ns;

	CU_ASSERT(near_to(t.far_measured_ns, t.far_median_ns));
	CU_ASSERT(near_to(t.near_measured_ns, t.near_rtt_ns));
	CU_ASSERT(fabs((double)histogram_percentile(far, 50) - far_ns) <= 0.016 * far_ns);
	CU_ASSERT(fabs((double)histogram_percentile(near, 50) - near_ns) <= 0.016 * near_ns);
}

static void medians(void)
{
	static const struct sim_setup setups[] = {
		{.name = "window limited",
			.segments = 20000,
			.window = 60,
			.near_ns = 200 * SIM_US,
			.far_ns = 10 * SIM_MS,
			.spacing_ns = 12 * SIM_US,
			.stride = 2},
		{.name = "no delayed ACKs",
			.segments = 20000,
			.window = 60,
			.near_ns = 200 * SIM_US,
			.far_ns = 10 * SIM_MS,
			.spacing_ns = 12 * SIM_US,
			.stride = 1},
		{.name = "strides of 17",
			.segments = 60000,
			.window = 500,
			.near_ns = 5 * SIM_MS,
			.far_ns = 300 * SIM_US,
			.spacing_ns = 12 * SIM_US,
			.stride = 17},
		{.name = "slow link",
			.segments = 5000,
			.window = 10,
			.near_ns = 20 * SIM_MS,
			.far_ns = 100 * SIM_US,
			.spacing_ns = 1200 * SIM_US,
			.stride = 2},
		{.name = "data centre",
			.segments = 20000,
			.window = 20,
			.near_ns = 15 * SIM_US,
			.far_ns = 40 * SIM_US,
			.spacing_ns = 1 * SIM_US,
			.stride = 2},
		{.name = "growing queue",
			.segments = 60000,
			.window = 400,
			.near_ns = 200 * SIM_US,
			.far_ns = 10 * SIM_MS,
			.swing_ns = 80 * SIM_MS,
			.spacing_ns = 12 * SIM_US,
			.stride = 2},
		{.name = "satellite",
			.segments = 60000,
			.window = 4000,
			.near_ns = 1 * SIM_MS,
			.far_ns = 300 * SIM_MS,
			.spacing_ns = 12 * SIM_US,
			.stride = 2},
		{.name = "1 % loss on both sides",
			.segments = 40000,
			.window = 60,
			.near_ns = 2 * SIM_MS,
			.far_ns = 10 * SIM_MS,
			.spacing_ns = 12 * SIM_US,
			.stride = 2,
			.loss_before = 0.01,
			.loss_after = 0.01},
		{.name = "1 % reordered",
			.segments = 40000,
			.window = 60,
			.near_ns = 2 * SIM_MS,
			.far_ns = 10 * SIM_MS,
			.spacing_ns = 12 * SIM_US,
			.stride = 2,
			.reorder_before = 0.01,
			.reorder_after = 0.01,
			.reorder_ns = 2 * SIM_MS},
	};

	for (unsigned i = 0; i < sizeof(setups) / sizeof(setups[0]); i++) {
		for (unsigned k = 0; k < 4; k++) {
			struct sim_setup s = setups[i];
			uint64_t rounds;

			s.from = k & 1;
			s.stamps = k >> 1;
			s.seed = i;
			run(&s);
			check_medians(s.from);
			/* A fair number of samples: at least one in four round trips. */
			rounds = s.segments / s.window;
			CU_ASSERT(t.far_samples >= rounds / 4);
		}
	}
}

/* A stream without pauses and with timestamps: the sender's half is measured all the time too. */
static void the_senders_half(void)
{
	const struct sim_setup s = {.name = "stream",
		.from = FROM_WAN,
		.segments = 200000,
		.window = 1760,
		.near_ns = 10 * SIM_MS,
		.far_ns = 500 * SIM_US,
		.spacing_ns = 12 * SIM_US,
		.stride = 2,
		.stamps = true};

	run(&s);
	check_medians(FROM_WAN);
	CU_ASSERT(t.near_samples > 50);
	CU_ASSERT(histogram_percentile(&c.rtt_wan, 99) < t.near_rtt_ns * 103 / 100);
}

static bool almost(uint64_t got, uint64_t want)
{
	return fabs((double)got - (double)want) <= 1 + 0.001 * (double)want;
}

/* All are found. Where more than three holes are open, one may be taken for its neighbour. */
static void check_counts(enum measure_from from)
{
	CU_ASSERT_EQUAL(c.retransmits_before[from] + c.retransmits_after[from] +
				c.retransmits_needless[from] + c.reordered[from],
		t.again_before + t.again_after + t.again_needless + t.late);
	CU_ASSERT(almost(c.retransmits_before[from], t.again_before));
	CU_ASSERT(almost(c.retransmits_after[from], t.again_after));
	CU_ASSERT(almost(c.retransmits_needless[from], t.again_needless));
	CU_ASSERT(almost(c.reordered[from], t.late));
}

static void retransmissions_and_loss(void)
{
	static const struct {
		double before, after;
		uint32_t window;
		double points, relative; /* tolerated error of the loss ratio */
	} cases[] = {
		{0.001, 0, 60, 0.0002, 0},
		{0, 0.001, 60, 0.0002, 0},
		{0.005, 0.003, 60, 0.0002, 0},
		{0.01, 0, 60, 0.0002, 0},
		{0, 0.01, 60, 0.0002, 0},
		{0.01, 0.01, 60, 0.0002, 0},
		{0.03, 0.02, 20, 0, 0.05},
		{0.05, 0, 20, 0, 0.05},
		{0, 0.1, 12, 0, 0.05},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (unsigned k = 0; k < 4; k++) {
			struct sim_setup s = {.name = "loss",
				.segments = 100000,
				.near_ns = 2 * SIM_MS,
				.far_ns = 10 * SIM_MS,
				.spacing_ns = 12 * SIM_US,
				.stride = 2,
				.seed = 100 + i};
			double before, after, want_before, want_after;

			s.window = cases[i].window;
			s.loss_before = cases[i].before;
			s.loss_after = cases[i].after;
			s.from = k & 1;
			s.stamps = k >> 1;
			run(&s);
			check_counts(s.from);
			/* A delayed ACK before a hole makes the round trip look long. */
			CU_ASSERT(c.reordered[s.from] <= 1);

			before = measure_loss_before(&c, s.from);
			after = measure_loss_after(&c, s.from);
			want_before = (double)t.lost_before / (double)t.sent;
			want_after = (double)t.lost_after / (double)(t.sent - t.lost_before);
			CU_ASSERT(fabs(before - want_before) <=
				  fmax(cases[i].points, cases[i].relative * want_before));
			CU_ASSERT(fabs(after - want_after) <=
				  fmax(cases[i].points, cases[i].relative * want_after));
			if (VERBOSE)
				printf("%-24s before %.4f %% (%.4f) after %.4f %% (%.4f)\n", "",
					100 * before, 100 * want_before, 100 * after,
					100 * want_after);
		}
	}
}

static void reordering(void)
{
	for (unsigned k = 0; k < 4; k++) {
		struct sim_setup s = {.name = "reordering",
			.segments = 100000,
			.window = 60,
			.near_ns = 2 * SIM_MS,
			.far_ns = 10 * SIM_MS,
			.spacing_ns = 12 * SIM_US,
			.stride = 2,
			.reorder_before = 0.01,
			.reorder_after = 0.01,
			.reorder_ns = 3 * SIM_MS,
			.seed = 7};

		s.from = k & 1;
		s.stamps = k >> 1;
		run(&s);
		CU_ASSERT(t.late > 500);
		CU_ASSERT_EQUAL(c.reordered[s.from], t.late);
		check_counts(s.from);
		/* Together with losses. */
		s.loss_before = 0.005;
		s.loss_after = 0.005;
		run(&s);
		check_counts(s.from);
	}
}

UNIT_TESTS("tcp in simulation", {"medians", medians}, {"the sender's half", the_senders_half},
	{"retransmissions and loss", retransmissions_and_loss}, {"reordering", reordering})
