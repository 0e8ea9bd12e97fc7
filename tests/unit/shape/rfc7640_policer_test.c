/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RFC 7640, section 6.1: traffic policing, in virtual time. Individual policers at offered loads
 * and bursts around what they allow, many policers at once, and colours packet by packet against
 * DPDK's rte_meter where its periods divide the rates, and against the RFCs' text everywhere.
 */
#include <math.h>
#include <stdlib.h>

#include <rte_meter.h>

#include "dataplane/shape/policer.h"
#include "tests/unit/shape/rfc_meter.h"
#include "tests/unit/unit.h"

#define START_NS 1000000000000ull
#define ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))
#define MTU 1518

static uint32_t random_state = 7;

static uint32_t random32(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return random_state >> 8;
}

static const uint64_t rates[] = {64000, 1000000, 10000000, 100000000, 1000000000, 10000000000,
	40000000000, 100000000000, 400000000000};
static const uint8_t modes[] = {POLICE_SRTCM, POLICE_TRTCM, POLICE_TRTCM_4115};

/* Green is what is measured; yellow has room enough (RFC 2698: P must not be what decides). */
static struct policer_config config_of(uint8_t mode, uint64_t cir_bps, uint64_t cbs)
{
	return (struct policer_config){.mode = mode,
		.cir_bps = cir_bps,
		.cbs_bytes = cbs,
		.eir_bps = cir_bps * 4,
		.ebs_bytes = cbs * 4};
}

static uint32_t size_of(unsigned mix)
{
	static const uint32_t sizes[] = {64, 590, MTU};

	return mix < 3 ? sizes[mix] : sizes[random32() % 3];
}

struct result {
	double passed, offered, seconds;
};

/* Packets at an even distance, offered at `load` times the rate. */
static struct result steady(
	const struct policer_config *config, double load, unsigned packets, unsigned mix)
{
	struct policer_shared shared;
	struct policer p = {.shared = &shared};
	struct result r = {0};
	double at = 0, byte_ns = 8e9 / (double)config->cir_bps / load;

	policer_shared_init(&shared, config, 1, START_NS);
	for (unsigned i = 0; i < packets; i++) {
		uint32_t bytes = size_of(mix);

		if (policer_colour(&p, bytes, COLOUR_GREEN, START_NS + (uint64_t)at) ==
			COLOUR_GREEN)
			r.passed += bytes;
		r.offered += bytes;
		r.seconds = at / 1e9;
		at += bytes * byte_ns;
	}
	return r;
}

static void test_steady(void)
{
	static const double loads[] = {0.5, 0.9, 1, 1.1, 2};

	for (unsigned m = 0; m < ELEMENTS(modes); m++)
		for (unsigned r = 0; r < ELEMENTS(rates); r++)
			for (unsigned l = 0; l < ELEMENTS(loads); l++)
				for (unsigned mix = 0; mix < 4; mix++) {
					struct policer_config c =
						config_of(modes[m], rates[r], 20000);
					struct result x = steady(&c, loads[l], 40000, mix);
					double may = (double)rates[r] / 8 * x.seconds + 20000;

					CU_ASSERT(x.passed <= may * 1.001);
					if (loads[l] <= 1)
						CU_ASSERT_EQUAL(x.passed, x.offered);
					if (loads[l] > 1.05 && x.offered > may)
						CU_ASSERT(x.passed >= may * 0.999 - MTU);
				}
}

/* Bursts at line rate, each into a bucket that has had time to fill. Returns bytes passed of the
 * burst, per burst. */
static double bursts(const struct policer_config *config, uint64_t bytes, uint32_t size,
	double line_bps, unsigned *lost)
{
	struct policer_shared shared;
	struct policer p = {.shared = &shared};
	double passed = 0, at = 0;
	unsigned count = 20;

	*lost = 0;
	policer_shared_init(&shared, config, 1, START_NS);
	for (unsigned i = 0; i < count; i++) {
		for (uint64_t sent = 0; sent + size <= bytes; sent += size) {
			if (policer_colour(&p, size, COLOUR_GREEN, START_NS + (uint64_t)at) ==
				COLOUR_GREEN)
				passed += size;
			else
				(*lost)++;
			at += size * 8e9 / line_bps;
		}
		at += (double)config->cbs_bytes * 8e9 / (double)config->cir_bps + 1;
	}
	return passed / count;
}

/* Burst size achieved (BSA): CBS, or what comes in at the line's rate while it is sent. */
static void test_bursts(void)
{
	for (unsigned m = 0; m < ELEMENTS(modes); m++)
		for (unsigned r = 0; r < ELEMENTS(rates); r++)
			for (unsigned mix = 0; mix < 3; mix++) {
				uint32_t size = size_of(mix);
				uint64_t cbs = 100ull * size;
				struct policer_config c = config_of(modes[m], rates[r], cbs);
				double line = (double)rates[r] * 1000;
				unsigned lost;

				CU_ASSERT_EQUAL(bursts(&c, cbs, size, line, &lost), (double)cbs);
				CU_ASSERT_EQUAL(lost, 0);
				CU_ASSERT_EQUAL(
					bursts(&c, cbs + size, size, line, &lost), (double)cbs);
				CU_ASSERT_EQUAL(lost, 20);
				CU_ASSERT(fabs(bursts(&c, 2 * cbs, size, line, &lost) -
						  (double)cbs) <= MTU);
				/* CBS and half a packet; at 400 Gbit/s the other half may come
				 * in while the burst is sent. */
				c.cbs_bytes += size / 2;
				CU_ASSERT(fabs(bursts(&c, 2 * cbs, size, line, &lost) -
						  (double)cbs) <= size);
			}
}

/* Average at the rate or below, in bursts of CBS: nothing is lost. */
static void test_conforming_bursts(void)
{
	for (unsigned m = 0; m < ELEMENTS(modes); m++)
		for (unsigned r = 0; r < ELEMENTS(rates); r++) {
			struct policer_config c = config_of(modes[m], rates[r], 30 * MTU);
			struct policer_shared shared;
			struct policer p = {.shared = &shared};
			unsigned lost = 0;

			policer_shared_init(&shared, &c, 1, START_NS);
			/* Time is given in whole ns: the rate or a little less. */
			uint64_t period = (uint64_t)ceil(30.0 * MTU * 8e9 / (double)rates[r]);

			for (unsigned i = 0; i < 2000; i++)
				for (unsigned k = 0; k < 30; k++)
					lost += policer_colour(&p, MTU, COLOUR_GREEN,
							START_NS + i * period) != COLOUR_GREEN;
			CU_ASSERT_EQUAL(lost, 0);
		}
}

/* N policers, packets at random among them, overloaded: sampled ones pass what they would alone. */
static void capacity(uint32_t count, uint8_t mode)
{
	struct policer_shared *shared = aligned_alloc(64, count * sizeof(*shared));
	struct policer *p = calloc(count, sizeof(*p));
	uint32_t samples = count < 1000 ? count : 1000, step = count / samples;
	double *passed = calloc(samples, sizeof(double)), *ideal = calloc(samples, sizeof(double));
	struct rfc_meter *meters = calloc(samples, sizeof(*meters));
	uint64_t now = START_NS, packets = count < 1000000 ? 2000000 : 4000000;

	CU_ASSERT_FATAL(shared && p && passed && ideal && meters);
	for (uint32_t i = 0; i < count; i++) {
		/* Twice as much is offered as all may have together; rates differ by 1 to 8. */
		struct policer_config c = config_of(mode, 1000000 * (1 + i % 8), 6000);
		policer_shared_init(&shared[i], &c, 1, now);
		p[i].shared = &shared[i];
		if (i % step == 0 && i / step < samples)
			rfc_meter_init(&meters[i / step], &c, now);
	}
	for (uint64_t n = 0; n < packets; n++) {
		uint32_t i = (uint32_t)(((uint64_t)random32() << 24 | random32()) % count);
		uint32_t bytes = size_of(3);
		enum colour c = policer_colour(&p[i], bytes, COLOUR_GREEN, now);

		if (i % step == 0 && i / step < samples) {
			struct rfc_meter *m = &meters[i / step];
			enum colour want = rfc_meter_judge(m, bytes, COLOUR_GREEN, now);
			if (m->margin < 0.01)
				want = c;
			rfc_meter_charge(m, bytes, want);
			CU_ASSERT_EQUAL(c, want);
			passed[i / step] += c == COLOUR_GREEN ? bytes : 0;
			ideal[i / step] += want == COLOUR_GREEN ? bytes : 0;
		}
		now += 1 + 640000 / count * 2;
	}
	for (uint32_t i = 0; i < samples; i++) {
		double may =
			(double)meters[i].config.cir_bps / 8e9 * (double)(now - START_NS) + 6000;
		CU_ASSERT(passed[i] <= may * 1.001);
		CU_ASSERT(fabs(passed[i] - ideal[i]) <= ideal[i] * 0.001);
	}
	free(meters);
	free(ideal);
	free(passed);
	free(p);
	free(shared);
}

static void test_capacity(void)
{
	static const uint32_t counts[] = {1, 1000, 100000, 1000000};

	for (unsigned i = 0; i < ELEMENTS(counts); i++)
		capacity(counts[i], modes[i % 3]);
}

/* rte_meter, with a clock of 1 GHz from START_NS on. Its rates are bytes per period in whole
 * cycles: here 8 Mbit/s, 100 Mbit/s... are exact, at times that are a multiple of the period. */
struct dpdk_meter {
	uint8_t mode;
	struct {
		struct rte_meter_srtcm_profile profile;
		struct rte_meter_srtcm run;
	} srtcm;
	struct {
		struct rte_meter_trtcm_profile profile;
		struct rte_meter_trtcm run;
	} trtcm;
	struct {
		struct rte_meter_trtcm_rfc4115_profile profile;
		struct rte_meter_trtcm_rfc4115 run;
	} rfc4115;
};

static void dpdk_meter_init(struct dpdk_meter *d, const struct policer_config *c, uint64_t grid_ns)
{
	uint64_t cir = c->cir_bps * grid_ns / 8000000000, eir = c->eir_bps * grid_ns / 8000000000;

	d->mode = c->mode;
	if (c->mode == POLICE_SRTCM) {
		d->srtcm.profile = (struct rte_meter_srtcm_profile){.cbs = c->cbs_bytes,
			.ebs = c->ebs_bytes,
			.cir_period = grid_ns,
			.cir_bytes_per_period = cir};
		d->srtcm.run = (struct rte_meter_srtcm){
			.time = START_NS, .tc = c->cbs_bytes, .te = c->ebs_bytes};
	} else if (c->mode == POLICE_TRTCM) {
		d->trtcm.profile = (struct rte_meter_trtcm_profile){.cbs = c->cbs_bytes,
			.pbs = c->ebs_bytes,
			.cir_period = grid_ns,
			.cir_bytes_per_period = cir,
			.pir_period = grid_ns,
			.pir_bytes_per_period = eir};
		d->trtcm.run = (struct rte_meter_trtcm){.time_tc = START_NS,
			.time_tp = START_NS,
			.tc = c->cbs_bytes,
			.tp = c->ebs_bytes};
	} else {
		d->rfc4115.profile = (struct rte_meter_trtcm_rfc4115_profile){.cbs = c->cbs_bytes,
			.ebs = c->ebs_bytes,
			.cir_period = grid_ns,
			.cir_bytes_per_period = cir,
			.eir_period = grid_ns,
			.eir_bytes_per_period = eir};
		d->rfc4115.run = (struct rte_meter_trtcm_rfc4115){.time_tc = START_NS,
			.time_te = START_NS,
			.tc = c->cbs_bytes,
			.te = c->ebs_bytes};
	}
}

static enum rte_color dpdk_colour(
	struct dpdk_meter *d, uint32_t bytes, enum rte_color before, bool aware, uint64_t now)
{
	if (d->mode == POLICE_SRTCM)
		return aware ? rte_meter_srtcm_color_aware_check(
				       &d->srtcm.run, &d->srtcm.profile, now, bytes, before)
			     : rte_meter_srtcm_color_blind_check(
				       &d->srtcm.run, &d->srtcm.profile, now, bytes);
	if (d->mode == POLICE_TRTCM)
		return aware ? rte_meter_trtcm_color_aware_check(
				       &d->trtcm.run, &d->trtcm.profile, now, bytes, before)
			     : rte_meter_trtcm_color_blind_check(
				       &d->trtcm.run, &d->trtcm.profile, now, bytes);
	return aware ? rte_meter_trtcm_rfc4115_color_aware_check(
			       &d->rfc4115.run, &d->rfc4115.profile, now, bytes, before)
		     : rte_meter_trtcm_rfc4115_color_blind_check(
			       &d->rfc4115.run, &d->rfc4115.profile, now, bytes);
}

static void compare_dpdk(uint8_t mode, bool aware, uint64_t cir, uint64_t eir, uint64_t grid_ns)
{
	struct policer_config c = {.mode = mode,
		.colour_aware = aware,
		.cir_bps = cir,
		.eir_bps = eir,
		.cbs_bytes = 12000,
		.ebs_bytes = 31000};
	struct policer_shared shared;
	struct policer p = {.shared = &shared};
	struct dpdk_meter d = {0};
	unsigned count[3] = {0}, differ = 0;
	uint64_t now = START_NS;

	policer_shared_init(&shared, &c, 1, START_NS);
	dpdk_meter_init(&d, &c, grid_ns);
	for (unsigned i = 0; i < 50000; i++) {
		uint32_t bytes = i % 7 ? size_of(3) : 64 + random32() % 9000;
		enum colour before = random32() % 3;
		enum colour got = policer_colour(&p, bytes, before, now);

		differ += (unsigned)got !=
			  (unsigned)dpdk_colour(&d, bytes, (enum rte_color)before, aware, now);
		count[got]++;
		/* About four times CIR, with pauses. */
		now += grid_ns * (uint64_t)(bytes * 2e9 / (double)cir / (double)grid_ns * 2 *
					    (random32() % 1000) / 1000);
		if (random32() % 300 == 0)
			now += grid_ns * (uint64_t)(60000 * 8e9 / (double)cir / (double)grid_ns);
	}
	CU_ASSERT_EQUAL(differ, 0);
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT(count[i] > 500);
}

static void test_dpdk(void)
{
	static const struct {
		uint64_t cir, eir, grid_ns;
	} pairs[] = {{8000000, 16000000, 1000}, {8000000, 10000000, 4000},
		{100000000, 200000000, 80}, {1000000000, 2000000000, 8},
		{2000000000, 4000000000, 4}, {1000000, 1600000, 40000},
		{4000000000, 8000000000, 2}};

	for (unsigned m = 0; m < ELEMENTS(modes); m++)
		for (unsigned i = 0; i < ELEMENTS(pairs); i++)
			for (unsigned aware = 0; aware < 2; aware++)
				compare_dpdk(modes[m], aware, pairs[i].cir, pairs[i].eir,
					pairs[i].grid_ns);
}

UNIT_TESTS("RFC 7640 policers", {"6.1 steady load", test_steady},
	{"6.1 bursts at line rate", test_bursts}, {"6.1 conforming bursts", test_conforming_bursts},
	{"6.1 capacity", test_capacity}, {"colours are rte_meter's", test_dpdk})
