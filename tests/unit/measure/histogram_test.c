/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Histograms against the sorted samples themselves: percentiles of several distributions, bucket
 * borders, merging and subtraction.
 */
#include <math.h>
#include <stdlib.h>

#include "dataplane/measure/histogram.h"
#include "tests/unit/unit.h"

#define SAMPLES 100000

static struct histogram h, h2, h3;
static uint64_t values[SAMPLES];

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Distributions over the whole range, by number. */
static uint64_t draw(int kind)
{
	double u = (drand48() + 1e-12);

	switch (kind) {
	case 0: /* uniform to 1 ms */
		return (uint64_t)(u * 1e6);
	case 1: /* exponential, mean 20 ms */
		return (uint64_t)(-log(u) * 20e6);
	case 2: /* even over the orders of magnitude, 1 ns to 60 s */
		return (uint64_t)exp(u * log(60e9));
	case 3: /* heavy tail from 50 us */
		return (uint64_t)fmin(50e3 / pow(u, 1.0), 60e9);
	default: /* two peaks */
		return (uint64_t)(drand48() < 0.7 ? 200e3 + u * 1e3 : 80e6 + u * 1e5);
	}
}

static void percentiles_match_sorted_samples(void)
{
	static const double percents[] = {0, 1, 10, 50, 90, 99, 99.9, 99.99, 100};

	srand48(1);
	for (int kind = 0; kind < 5; kind++) {
		uint64_t sum = 0;
		double worst = 0;

		memset(&h, 0, sizeof(h));
		for (int i = 0; i < SAMPLES; i++) {
			values[i] = draw(kind);
			sum += values[i];
			histogram_record(&h, values[i]);
		}
		qsort(values, SAMPLES, sizeof(values[0]), ascending);
		for (unsigned k = 0; k < sizeof(percents) / sizeof(percents[0]); k++) {
			int rank = (int)ceil(percents[k] * SAMPLES / 100 - 1e-6);
			uint64_t exact = values[rank < 1 ? 0 : rank - 1];
			uint64_t got = histogram_percentile(&h, percents[k]);
			double error = fabs((double)got - (double)exact) / fmax(1, (double)exact);

			worst = fmax(worst, error);
		}
		CU_ASSERT(worst <= 0.016);
		CU_ASSERT_EQUAL(histogram_min(&h), values[0]);
		CU_ASSERT_EQUAL(histogram_max(&h), values[SAMPLES - 1]);
		CU_ASSERT_EQUAL(histogram_mean(&h), sum / SAMPLES);
		CU_ASSERT_EQUAL(h.count, SAMPLES);
		CU_ASSERT_EQUAL(h.sum_ns, sum);
	}
}

/* A single value must come back within 1.6 %, whatever it is; buckets never go backwards. */
static void every_bucket_border(void)
{
	uint32_t last = 0;
	double worst = 0;

	for (int bit = 0; bit < HISTOGRAM_MAX_BITS; bit++) {
		for (int k = 0; k < 128; k++) {
			uint64_t base = UINT64_C(1) << bit;
			uint64_t v = base + (uint64_t)((double)base * k / 128);
			uint32_t bucket = histogram_bucket_of(v);

			CU_ASSERT_FATAL(bucket < HISTOGRAM_BUCKETS && bucket >= last);
			CU_ASSERT(histogram_bucket_of(v - 1) <= bucket);
			last = bucket;
			memset(&h, 0, sizeof(h));
			/* Neighbours at both ends, or minimum and maximum would correct the answer.
			 */
			histogram_record(&h, 1);
			histogram_record(&h, v);
			histogram_record(&h, UINT64_C(1) << 36);
			double got = (double)histogram_percentile(&h, 50);
			if (bucket ==
				HISTOGRAM_BUCKETS - 1) /* open above: answers with the maximum */
				continue;
			worst = fmax(worst, fabs(got - (double)v) / (double)v);
		}
	}
	CU_ASSERT_EQUAL(last, HISTOGRAM_BUCKETS - 1);
	CU_ASSERT(worst <= 1.0 / 64);
	CU_ASSERT(worst > 0.01); /* the bound is tight: the test looks at the right thing */
	for (uint32_t v = 0; v < 64; v++)
		CU_ASSERT_EQUAL(histogram_bucket_of(v), v);
}

static void beyond_the_range(void)
{
	memset(&h, 0, sizeof(h));
	CU_ASSERT_EQUAL(histogram_percentile(&h, 50), 0);
	CU_ASSERT_EQUAL(histogram_min(&h), 0);
	CU_ASSERT_EQUAL(histogram_mean(&h), 0);
	histogram_record(&h, 0);
	CU_ASSERT_EQUAL(histogram_percentile(&h, 99), 0);
	histogram_record(&h, UINT64_MAX);
	CU_ASSERT_EQUAL(histogram_percentile(&h, 100), UINT64_MAX);
	CU_ASSERT_EQUAL(histogram_min(&h), 0);
	CU_ASSERT_EQUAL(histogram_bucket_of(UINT64_C(60000000000)) < HISTOGRAM_BUCKETS - 1, 1);
}

static void merging_is_recording_together(void)
{
	srand48(2);
	memset(&h, 0, sizeof(h));
	memset(&h2, 0, sizeof(h2));
	memset(&h3, 0, sizeof(h3));
	for (int i = 0; i < SAMPLES; i++) {
		uint64_t v = draw(i % 5);

		histogram_record(i % 3 ? &h : &h2, v);
		histogram_record(&h3, v);
	}
	histogram_merge(&h, &h2);
	CU_ASSERT(memcmp(&h, &h3, sizeof(h)) == 0);
	memset(&h2, 0, sizeof(h2));
	histogram_merge(&h, &h2);
	CU_ASSERT(memcmp(&h, &h3, sizeof(h)) == 0);
}

static void subtracting_leaves_the_window(void)
{
	srand48(3);
	memset(&h, 0, sizeof(h));
	memset(&h3, 0, sizeof(h3));
	for (int i = 0; i < 1000; i++)
		histogram_record(&h, draw(2));
	memcpy(&h2, &h, sizeof(h));
	for (int i = 0; i < 1000; i++) {
		uint64_t v = draw(1);

		histogram_record(&h, v);
		histogram_record(&h3, v);
	}
	histogram_subtract(&h, &h2);
	CU_ASSERT(memcmp(h.bucket, h3.bucket, sizeof(h.bucket)) == 0);
	CU_ASSERT_EQUAL(h.count, 1000);
	CU_ASSERT_EQUAL(h.sum_ns, h3.sum_ns);
	CU_ASSERT_EQUAL(histogram_percentile(&h, 50), histogram_percentile(&h3, 50));
	CU_ASSERT(histogram_max(&h) >= histogram_max(&h3));
	CU_ASSERT(histogram_max(&h) <= histogram_max(&h3) * 33 / 32);
	CU_ASSERT(histogram_min(&h) <= histogram_min(&h3));
	memcpy(&h2, &h, sizeof(h));
	histogram_subtract(&h, &h2);
	CU_ASSERT_EQUAL(histogram_percentile(&h, 50), 0);
	CU_ASSERT_EQUAL(histogram_max(&h), 0);
	CU_ASSERT_EQUAL(histogram_min(&h), 0);
	histogram_record(&h, 77);
	CU_ASSERT_EQUAL(histogram_min(&h), 77);
}

UNIT_TESTS("histogram", {"percentiles match sorted samples", percentiles_match_sorted_samples},
	{"every bucket's border", every_bucket_border}, {"beyond the range", beyond_the_range},
	{"merging is recording together", merging_is_recording_together},
	{"subtracting leaves the window", subtracting_leaves_the_window})
