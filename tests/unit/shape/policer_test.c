/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Policers: colour by colour as the RFCs say for one worker, in sum for several, and what happens
 * when they idle for hours or are changed live. rfc7640_policer_test.c measures rates and bursts.
 */
#include "dataplane/shape/policer.h"

#include <pthread.h>
#include <stdlib.h>

#include "dataplane/shape/bucket.h"
#include "dataplane/shape/lease.h"
#include "tests/unit/shape/rfc_meter.h"
#include "tests/unit/unit.h"

#define START_NS 1000000000000ull
#define HOUR_NS 3600000000000ull
#define ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

static uint32_t random_state = 1;

static uint32_t random32(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return random_state >> 8;
}

static const uint8_t modes[] = {POLICE_SRTCM, POLICE_TRTCM, POLICE_TRTCM_4115};

static struct policer_config config_of(
	uint8_t mode, uint64_t cir_bps, uint64_t eir_bps, uint64_t cbs, uint64_t ebs)
{
	return (struct policer_config){.mode = mode,
		.action = {POLICE_PASS, POLICE_PASS, POLICE_DROP},
		.cir_bps = cir_bps,
		.eir_bps = eir_bps,
		.cbs_bytes = cbs,
		.ebs_bytes = ebs};
}

/*
 * Every packet gets the colour of the RFC's algorithm, unless that was within what integer
 * arithmetic may have rounded until then; the reference then follows. Returns how many were.
 */
static unsigned compare(const struct policer_config *config, double load, unsigned packets)
{
	static struct policer_shared shared;
	struct policer p = {.shared = &shared};
	struct rfc_meter ideal;
	uint64_t now = START_NS;
	double rate = fmax((double)config->cir_bps,
		config->mode == POLICE_TRTCM	    ? (double)config->eir_bps
		: config->mode == POLICE_TRTCM_4115 ? (double)(config->cir_bps + config->eir_bps)
						    : 0);
	double byte_ns = 8e9 / rate, next = 0, rounded = 1e-6, unit;
	unsigned adopted = 0, wrong = 0;

	policer_shared_init(&shared, config, 1, now);
	rfc_meter_init(&ideal, config, now);
	/* A unit of Q16 ns a packet, and one of the reciprocal rate a byte. */
	unit = 1 / ldexp((double)shared.inv_q32[0], -16) +
	       1 / ldexp((double)shared.inv_q32[1], -16);
	for (unsigned i = 0; i < packets; i++) {
		static const uint32_t sizes[] = {64, 64, 590, 1500, 1518, 9000};
		uint32_t bytes = random32() % 4 ? sizes[random32() % ELEMENTS(sizes)]
						: 1 + random32() % 9000;
		enum colour before = random32() % 3;
		enum colour want = rfc_meter_judge(&ideal, bytes, before, now);
		enum colour got = policer_colour(&p, bytes, before, now);

		rounded += unit +
			   bytes * (1 / (double)shared.inv_q32[0] + 1 / (double)shared.inv_q32[1]);
		if (got != want) {
			if (ideal.margin > rounded)
				wrong++;
			adopted++;
		}
		rfc_meter_charge(&ideal, bytes, got);
		/* Pauses now and then, long enough for the buckets to fill; now and then none. */
		next += bytes * byte_ns / load;
		if (random32() % 500 == 0)
			next += (double)(config->cbs_bytes + config->ebs_bytes) * byte_ns *
				(random32() % 5);
		now = START_NS + (uint64_t)(random32() % 3 ? next : next / 1000 * 1000);
		if (now < ideal.at_ns)
			now = ideal.at_ns;
		CU_ASSERT_FALSE_FATAL(policer_holds(&p));
	}
	CU_ASSERT_EQUAL(wrong, 0);
	return adopted;
}

static void test_colours(void)
{
	static const uint64_t rates[] = {1000, 64000, 1000000, 33333333, 1000000000, 10000000000,
		400000000000, 1000000000000};
	static const double loads[] = {0.3, 0.8, 1, 1.2, 2, 20};
	unsigned adopted = 0, compared = 0;

	for (unsigned m = 0; m < ELEMENTS(modes); m++)
		for (unsigned r = 0; r < ELEMENTS(rates); r++)
			for (unsigned l = 0; l < ELEMENTS(loads); l++)
				for (unsigned aware = 0; aware < 2; aware++) {
					struct policer_config c = config_of(
						modes[m], rates[r], rates[r] / 2 * 3, 20000, 35000);
					c.colour_aware = aware;
					adopted += compare(&c, loads[l], 4000);
					/* Less than the largest packet, and much more in E. */
					c.cbs_bytes = 3000;
					c.ebs_bytes = 200000;
					adopted += compare(&c, loads[l], 4000);
					compared += 8000;
				}
	/* The tolerance must not be what makes them agree. */
	CU_ASSERT(adopted * 1000 < compared);
}

/* All of the burst at one instant, in packets whose time is rounded, and not one more. */
static void test_burst_at_once(void)
{
	static const uint64_t rates[] = {64000, 33333333, 7000000000, 400000000000, 999999999999};

	for (unsigned m = 0; m < ELEMENTS(modes); m++)
		for (unsigned r = 0; r < ELEMENTS(rates); r++)
			for (uint32_t size = 64; size <= 1500; size += 359) {
				struct policer_config c = config_of(
					modes[m], rates[r], rates[r], size * 1000, size * 1500);
				struct policer_shared shared;
				struct policer p = {.shared = &shared};
				unsigned count[3] = {0};

				policer_shared_init(&shared, &c, 1, START_NS);
				for (unsigned i = 0; i < 4000; i++)
					count[policer_colour(&p, size, COLOUR_GREEN, START_NS)]++;
				CU_ASSERT_EQUAL(count[COLOUR_GREEN], 1000);
				CU_ASSERT_EQUAL(count[COLOUR_YELLOW],
					modes[m] == POLICE_TRTCM ? 500 : 1500);
			}
}

/* A rate of 0 gives no tokens in its colour; a mode of none colours nothing. */
static void test_nothing(void)
{
	struct policer_config c = config_of(POLICE_TRTCM_4115, 0, 8000000, 10000, 10000);
	struct policer_shared shared;
	struct policer p = {.shared = &shared};

	policer_shared_init(&shared, &c, 1, START_NS);
	CU_ASSERT_EQUAL(policer_colour(&p, 100, COLOUR_GREEN, START_NS), COLOUR_YELLOW);
	CU_ASSERT_EQUAL(policer_colour(&p, 9901, COLOUR_GREEN, START_NS), COLOUR_RED);
	CU_ASSERT_EQUAL(policer_colour(&p, 9900, COLOUR_GREEN, START_NS), COLOUR_YELLOW);
	CU_ASSERT_EQUAL(policer_colour(&p, 1, COLOUR_GREEN, START_NS + HOUR_NS), COLOUR_YELLOW);
	c = config_of(POLICE_NONE, 0, 0, 0, 0);
	policer_shared_configure(&shared, &c, START_NS);
	for (unsigned i = 0; i < 100; i++)
		CU_ASSERT_EQUAL(policer_colour(&p, 9000, COLOUR_RED, START_NS), COLOUR_GREEN);
}

/* How many bytes of packets of 100 are of each colour, all at once. */
static void drain(struct policer *p, uint64_t now_ns, uint64_t bytes[3])
{
	memset(bytes, 0, 3 * sizeof(bytes[0]));
	for (unsigned i = 0; i < 5000; i++)
		bytes[policer_colour(p, 100, COLOUR_GREEN, now_ns)] += 100;
}

/* After hours and days of nothing there is a burst, no more and no less, if it is refreshed. */
static void test_idle(void)
{
	static const uint64_t hours[] = {1, 8, 20, 39, 77, 79, 100, 500};

	for (unsigned m = 0; m < ELEMENTS(modes); m++)
		for (unsigned i = 0; i < ELEMENTS(hours); i++)
			for (unsigned slow = 0; slow < 2; slow++) {
				struct policer_config c =
					config_of(modes[m], slow ? 8000 : 8000000000,
						slow ? 8000 : 8000000000, 100000, 150000);
				struct policer_shared shared;
				struct policer p = {.shared = &shared};
				uint64_t got[3], now = START_NS;

				policer_shared_init(&shared, &c, 1, now);
				drain(&p, now, got);
				for (uint64_t h = 0; h < hours[i]; h++) {
					now += HOUR_NS;
					if (h % 20 == 19)
						policer_refresh(&shared, now);
				}
				drain(&p, now, got);
				CU_ASSERT_EQUAL(got[COLOUR_GREEN], 100000);
				CU_ASSERT_EQUAL(got[COLOUR_YELLOW],
					modes[m] == POLICE_TRTCM ? 50000 : 150000);
			}
}

/* Forgotten so long that its time has wrapped, a bucket must not seem spent for hours to come. */
static void test_wrapped(void)
{
	for (unsigned m = 0; m < ELEMENTS(modes); m++) {
		struct policer_config c = config_of(modes[m], 8000000, 8000000, 100000, 100000);
		struct policer_shared shared;
		struct policer p = {.shared = &shared};
		uint64_t got[3];

		policer_shared_init(&shared, &c, 1, START_NS);
		drain(&p, START_NS, got);
		drain(&p, START_NS + 50 * HOUR_NS, got);
		CU_ASSERT_EQUAL(got[COLOUR_GREEN], 100000);
	}
}

/* E of srTCM gets what C can't hold, also where that shows only in a refresh. */
static void test_overflow(void)
{
	struct policer_config c = config_of(POLICE_SRTCM, 8000000, 0, 10000, 50000);
	struct policer_shared shared;
	struct policer p = {.shared = &shared};
	uint64_t got[3], now = START_NS;

	policer_shared_init(&shared, &c, 1, now);
	drain(&p, now, got);
	CU_ASSERT_EQUAL(got[COLOUR_YELLOW], 50000);
	now += 10000000; /* C is full, E is empty */
	policer_refresh(&shared, now);
	now += 7000000;
	policer_refresh(&shared, now);
	now += 13000000;
	drain(&p, now, got);
	CU_ASSERT_EQUAL(got[COLOUR_GREEN], 10000);
	CU_ASSERT_EQUAL(got[COLOUR_YELLOW], 20000);
}

/* A live change keeps the fill as a share of the burst, for every change of mode. */
static void test_change(void)
{
	for (unsigned m = 0; m < ELEMENTS(modes); m++)
		for (unsigned to = 0; to < ELEMENTS(modes); to++) {
			struct policer_config c =
				config_of(modes[m], 8000000, 8000000, 100000, 100000);
			struct policer_shared shared;
			struct policer p = {.shared = &shared};
			uint64_t got[3], passed = 0;

			policer_shared_init(&shared, &c, 1, START_NS);
			/* 75 of 100 kB of C; RFC 2698 takes them from P too. */
			while (passed < 75000) {
				CU_ASSERT_EQUAL(policer_colour(&p, 100, COLOUR_GREEN, START_NS),
					COLOUR_GREEN);
				passed += 100;
			}
			c = config_of(modes[to], 80000000, 160000000, 200000, 400000);
			for (unsigned i = 0; i < 3; i++) /* each worker does the same */
				policer_shared_configure(&shared, &c, START_NS);
			drain(&p, START_NS, got);
			CU_ASSERT_EQUAL(got[COLOUR_GREEN], 50000);
			uint64_t e = modes[m] == POLICE_TRTCM ? 100000 : 400000;
			CU_ASSERT_EQUAL(
				got[COLOUR_YELLOW], modes[to] == POLICE_TRTCM ? e - 50000 : e);
		}
}

static void test_dscp(void)
{
	for (unsigned dscp = 0; dscp < 64; dscp++) {
		enum colour want = COLOUR_GREEN;

		for (unsigned af = 1; af <= 4; af++) {
			if (dscp == 8 * af + 4)
				want = COLOUR_YELLOW;
			if (dscp == 8 * af + 6)
				want = COLOUR_RED;
		}
		CU_ASSERT_EQUAL(policer_colour_of_dscp((uint8_t)dscp), want);
	}
}

struct sum {
	uint64_t green, yellow, offered;
	double ideal_green, ideal_yellow;
};

/*
 * Workers in turn, each with its own rhythm and its own idea of now; the first one carries `skew`
 * of 256 packets. Sums up what passed in `ns`, and what would have passed the RFC's marker.
 */
static struct sum run_workers(const struct policer_config *config, unsigned workers, uint64_t ns,
	double load_bps, unsigned skew, double *quanta)
{
	static struct policer_shared shared;
	struct policer p[16];
	struct rfc_meter ideal;
	struct sum sum = {0};
	double next = 0;

	policer_shared_init(&shared, config, workers, START_NS - 1000);
	rfc_meter_init(&ideal, config, START_NS);
	for (unsigned i = 0; i < 16; i++)
		p[i] = (struct policer){.shared = &shared};
	while (next < (double)ns) {
		unsigned w = random32() % 256 < skew ? 0 : random32() % workers;
		uint32_t bytes = random32() % 2 ? 1500 : 64 + random32() % 1000;
		uint64_t now = START_NS + (uint64_t)next;
		enum colour c, want = rfc_meter_judge(&ideal, bytes, COLOUR_GREEN, now);

		rfc_meter_charge(&ideal, bytes, want);
		for (unsigned i = 0; i < workers; i++)
			policer_tend(&p[i], now);
		c = policer_colour(&p[w], bytes, COLOUR_GREEN, now - random32() % 300);
		sum.green += c == COLOUR_GREEN ? bytes : 0;
		sum.yellow += c == COLOUR_YELLOW ? bytes : 0;
		sum.ideal_green += want == COLOUR_GREEN ? bytes : 0;
		sum.ideal_yellow += want == COLOUR_YELLOW ? bytes : 0;
		sum.offered += bytes;
		next += bytes * 8e9 / load_bps;
	}
	*quanta = workers * ((double)shared.quantum_bytes[0] + (double)shared.quantum_bytes[1]);
	return sum;
}

static const unsigned worker_counts[] = {1, 2, 4, 16};
static const unsigned skews[] = {0, 230, 256};

/* Overload: what passes is what the RFC lets pass, whatever the workers' shares, give or take their
 * quanta and what a few packets left over. CIR * T + CBS is never exceeded by more than that. */
static void check_overload(uint8_t mode, unsigned workers, uint64_t rate_bps, unsigned skew)
{
	struct policer_config c = config_of(mode, rate_bps, rate_bps * 2, 50000, 80000);
	uint64_t ns = (uint64_t)(16e15 / (double)rate_bps); /* 2 MB of CIR */
	double quanta, late = (double)rate_bps / 8e9 * 1300;
	struct sum s = run_workers(&c, workers, ns, (double)rate_bps * 4, skew, &quanta);
	double slack = quanta + 3 * late + 3 * 1500.0;

	CU_ASSERT((double)s.green <= 2e6 + 50000 + quanta + late);
	CU_ASSERT(fabs((double)s.green - s.ideal_green) <= slack);
	CU_ASSERT(fabs((double)s.yellow - s.ideal_yellow) <= slack);
}

static void test_workers_rate(void)
{
	static const uint64_t rates[] = {1000000, 100000000, 10000000000};

	for (unsigned m = 0; m < ELEMENTS(modes); m++)
		for (unsigned n = 0; n < ELEMENTS(worker_counts); n++)
			for (unsigned r = 0; r < ELEMENTS(rates); r++)
				for (unsigned k = 0; k < ELEMENTS(skews); k++)
					check_overload(
						modes[m], worker_counts[n], rates[r], skews[k]);
}

/* Within the rate nothing is yellow or red, though leases lie about. */
static void test_workers_conforming(void)
{
	for (unsigned m = 0; m < ELEMENTS(modes); m++)
		for (unsigned n = 0; n < ELEMENTS(worker_counts); n++)
			for (unsigned k = 0; k < ELEMENTS(skews); k++) {
				struct policer_config c =
					config_of(modes[m], 1000000000, 1500000000, 100000, 100000);
				double quanta;
				struct sum s = run_workers(
					&c, worker_counts[n], 20000000, 9.9e8, skews[k], &quanta);

				CU_ASSERT_EQUAL(s.green, s.offered);
				CU_ASSERT_EQUAL(s.green, (uint64_t)s.ideal_green);
			}
}

/* A worker that stops does not keep what it took: it gives it back, and tokens that came back to a
 * full C are in E of srTCM, as if they had never been away. */
static void test_return(void)
{
	struct policer_config c = config_of(POLICE_SRTCM, 10000000000, 0, 100000, 100000);
	struct policer_shared shared;
	struct policer p[2] = {{.shared = &shared}, {.shared = &shared}};
	uint64_t got[3], now = START_NS;

	policer_shared_init(&shared, &c, 2, now);
	drain(&p[0], now, got);
	drain(&p[1], now, got);
	now += 30000; /* 37,500 bytes */
	CU_ASSERT_EQUAL(policer_colour(&p[0], 100, COLOUR_GREEN, now), COLOUR_GREEN);
	CU_ASSERT_EQUAL(p[0].credit[0], shared.quantum_bytes[0] - 100);
	CU_ASSERT(shared.quantum_bytes[0] > 4000);
	policer_tend(&p[0], now + 40000);
	CU_ASSERT(policer_holds(&p[0]));
	policer_tend(&p[0], now + 60000);
	CU_ASSERT_FALSE(policer_holds(&p[0]));
	drain(&p[1], now, got);
	CU_ASSERT_EQUAL(got[COLOUR_GREEN] + got[COLOUR_YELLOW], 37400);

	/* The same, but C fills up meanwhile: 100,000 bytes, and 25,000 more. */
	now += 30000;
	policer_colour(&p[0], 100, COLOUR_GREEN, now);
	now += 70000;
	policer_refresh(&shared, now);
	policer_tend(&p[0], now);
	drain(&p[1], now, got);
	CU_ASSERT_EQUAL(got[COLOUR_GREEN], 100000);
	CU_ASSERT(got[COLOUR_YELLOW] >= 24800 && got[COLOUR_YELLOW] <= 24900);

	/* What was taken from E goes back there. */
	policer_shared_init(&shared, &c, 2, now);
	CU_ASSERT_EQUAL(policer_colour(&p[0], 100000, COLOUR_GREEN, now), COLOUR_GREEN);
	CU_ASSERT_EQUAL(policer_colour(&p[0], 100, COLOUR_GREEN, now), COLOUR_YELLOW);
	CU_ASSERT_EQUAL(p[0].credit[1], shared.quantum_bytes[1] - 100);
	policer_return(&p[0]);
	drain(&p[1], now, got);
	CU_ASSERT_EQUAL(got[COLOUR_YELLOW], 99900);
}

#define STRESS_THREADS 4
#define STRESS_ROUNDS 200000

struct stress {
	struct policer_shared *shared;
	pthread_barrier_t *barrier;
	uint64_t *now;
	struct sum sum;
};

static void *stress_thread(void *arg)
{
	struct stress *s = arg;
	struct policer p = {.shared = s->shared};

	pthread_barrier_wait(s->barrier);
	for (unsigned i = 0; i < STRESS_ROUNDS; i++) {
		uint64_t now = __atomic_add_fetch(s->now, 400, __ATOMIC_RELAXED);
		uint32_t bytes = 64 + (i * 797) % 1437;
		enum colour c = policer_colour(&p, bytes, COLOUR_GREEN, now);

		s->sum.green += c == COLOUR_GREEN ? bytes : 0;
		s->sum.yellow += c == COLOUR_YELLOW ? bytes : 0;
		policer_tend(&p, now);
	}
	policer_return(&p);
	return NULL;
}

/* Real threads: no byte of the rate is spent twice, none is lost. */
static void test_threads(void)
{
	for (unsigned m = 0; m < ELEMENTS(modes); m++) {
		/* Offered: about 781 bytes each 400 ns. */
		struct policer_config c =
			config_of(modes[m], 4000000000, 8000000000, 200000, 300000);
		static struct policer_shared shared;
		struct stress s[STRESS_THREADS];
		pthread_t threads[STRESS_THREADS];
		pthread_barrier_t barrier;
		uint64_t now = START_NS;
		struct sum sum = {0};

		pthread_barrier_init(&barrier, NULL, STRESS_THREADS);
		policer_shared_init(&shared, &c, STRESS_THREADS, now + 400);
		for (unsigned i = 0; i < STRESS_THREADS; i++) {
			s[i] = (struct stress){.shared = &shared, .barrier = &barrier, .now = &now};
			pthread_create(&threads[i], NULL, stress_thread, &s[i]);
		}
		for (unsigned i = 0; i < STRESS_THREADS; i++) {
			pthread_join(threads[i], NULL);
			sum.green += s[i].sum.green;
			sum.yellow += s[i].sum.yellow;
		}
		pthread_barrier_destroy(&barrier);
		/* What is left in the buckets counts as well. */
		struct policer last = {.shared = &shared};
		double ns = (double)(now - START_NS - 400);
		shared.workers = 1;
		shared.quantum_bytes[0] = shared.quantum_bytes[1] = 0;
		for (uint32_t bytes = 1 << 20; bytes > 0; bytes /= 2) {
			for (;;) {
				enum colour k = policer_colour(&last, bytes, COLOUR_GREEN, now);
				if (k == COLOUR_RED)
					break;
				sum.green += k == COLOUR_GREEN ? bytes : 0;
				sum.yellow += k == COLOUR_YELLOW ? bytes : 0;
			}
		}
		double green = 200000 + ns * 0.5;
		/* RFC 2698: P may be empty first. */
		CU_ASSERT(fabs((double)sum.green - green) < (modes[m] == POLICE_TRTCM ? 1500 : 5));
		if (modes[m] == POLICE_SRTCM)
			CU_ASSERT(fabs((double)sum.yellow - 300000) < 5);
		if (modes[m] == POLICE_TRTCM)
			CU_ASSERT(fabs((double)(sum.green + sum.yellow) - 300000 - ns) < 5);
		if (modes[m] == POLICE_TRTCM_4115)
			CU_ASSERT((double)sum.yellow <= 300000 + ns + 5);
	}
}

UNIT_TESTS("policer", {"colours are the RFCs'", test_colours},
	{"a burst at once", test_burst_at_once}, {"rates of 0, no mode", test_nothing},
	{"idle for hours", test_idle}, {"forgotten", test_wrapped},
	{"overflow of srTCM", test_overflow}, {"live changes", test_change},
	{"colour of a DSCP", test_dscp}, {"workers: rate and burst", test_workers_rate},
	{"workers: conforming traffic", test_workers_conforming}, {"leases go back", test_return},
	{"threads", test_threads})
