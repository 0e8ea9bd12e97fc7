/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control/windows.c against a list of every value and the second that it was recorded in, for hours
 * of virtual time, with seconds left out; its pool, full and emptied again.
 */
#include <stdlib.h>

#include "dataplane/control/windows.h"
#include "tests/unit/compress/data.h"
#include "tests/unit/unit.h"

#define SECONDS 4000

static struct histogram total, *at_end;
static uint64_t count_at_end[SECONDS + 1];

/* The window by subtraction of dense copies, as histogram_test.c checks it. */
static void expect(const struct windows *w, enum window window, uint32_t first, uint32_t last)
{
	static const uint32_t least[WINDOWS] = {0, 1, 10, 60, 900};
	static struct histogram got, want;
	uint32_t seconds = 0;

	memset(&got, 0, sizeof(got));
	CU_ASSERT_EQUAL_FATAL(windows_add(w, 0, window, &got, &seconds), last > first);
	if (last == first)
		return;
	CU_ASSERT(seconds >= least[window] || seconds == last - first);
	CU_ASSERT(seconds <= least[window] + least[window] / 6 || window == WINDOW_1S ||
		  seconds <= least[window] + 10);
	want = at_end[last];
	histogram_subtract(&want, &at_end[last - seconds]);
	CU_ASSERT_EQUAL(got.count, want.count);
	CU_ASSERT_EQUAL(memcmp(got.bucket, want.bucket, sizeof(got.bucket)), 0);
	for (double p = 0; p <= 100; p += 12.5)
		CU_ASSERT_EQUAL(histogram_percentile(&got, p), histogram_percentile(&want, p));
	CU_ASSERT_EQUAL(
		windows_counter(w, 0, window), count_at_end[last] - count_at_end[last - seconds]);
}

static void test_windows(void)
{
	struct windows *w = windows_create(1, 1);
	uint64_t seed = 3;
	const uint32_t base = 7123456; /* seconds that a host has been up */

	at_end = calloc(SECONDS + 1, sizeof(*at_end));
	memset(&total, 0, sizeof(total));
	for (uint32_t s = 0; s < SECONDS; s++) {
		unsigned n = (unsigned)(data_next(&seed) % 50);

		if (s / 300 % 3 == 1)
			n = 0; /* pauses */
		for (unsigned i = 0; i < n; i++)
			histogram_record(&total, 1000000 + data_next(&seed) % 40000);
		at_end[s] = total;
		count_at_end[s] = total.count * 3;
		windows_sample(w, 0, &total, base + s);
		windows_sample_counter(w, 0, count_at_end[s], base + s);
		for (enum window window = WINDOW_1S; window < WINDOWS; window++)
			expect(w, window, 0, s);
	}
	/* What is old has left the pool. */
	CU_ASSERT(windows_chunks_used(w) <= WINDOW_CHUNKS);
	windows_reset(w, 0);
	CU_ASSERT_EQUAL(windows_chunks_used(w), 0);
	windows_destroy(w);
	free(at_end);
}

/* Seconds may be left out: what was counted meanwhile belongs to the next. */
static void test_gaps(void)
{
	static struct histogram got;
	struct windows *w = windows_create(1, 1);
	uint64_t seed = 5;
	uint32_t seconds;

	memset(&total, 0, sizeof(total));
	for (uint32_t s = 100; s < 20000; s += 1 + (uint32_t)(data_next(&seed) % 30)) {
		histogram_record(&total, 5000);
		windows_sample(w, 0, &total, s);
		windows_sample_counter(w, 0, total.count, s);
	}
	memset(&got, 0, sizeof(got));
	CU_ASSERT(windows_add(w, 0, WINDOW_15M, &got, &seconds));
	CU_ASSERT(got.count > 40 && got.count < 80); /* 960 s / 15.5 */
	CU_ASSERT_EQUAL(windows_counter(w, 0, WINDOW_15M), got.count);
	windows_destroy(w);
}

/* Values all over: more buckets than the pool has room for. No figure then, and afterwards again
 * one, with nothing lost from the pool. */
static void test_full(void)
{
	static struct histogram got;
	struct windows *w = windows_create(2, 0);
	uint64_t seed = 9;
	uint32_t seconds, s = 0;
	bool had_none = false;

	memset(&total, 0, sizeof(total));
	for (; s < 1200; s++) {
		for (unsigned i = 0; i < 4000; i++)
			histogram_record(&total, data_next(&seed) >> (28 + data_next(&seed) % 36));
		windows_sample(w, 0, &total, s);
		windows_sample(w, 1, &total, s);
		CU_ASSERT(windows_chunks_used(w) <= 2 * WINDOW_CHUNKS);
		memset(&got, 0, sizeof(got));
		if (s > 1 && !windows_add(w, 1, WINDOW_15M, &got, &seconds)) {
			had_none = true;
			CU_ASSERT_EQUAL(got.count, 0);
		}
	}
	CU_ASSERT(had_none);
	for (; s < 2400; s++) {
		histogram_record(&total, 1000);
		windows_sample(w, 0, &total, s);
		windows_sample(w, 1, &total, s);
	}
	CU_ASSERT(windows_add(w, 1, WINDOW_15M, &got, &seconds));
	CU_ASSERT(got.count >= 900 && got.count <= 960);
	windows_reset(w, 0);
	windows_reset(w, 1);
	CU_ASSERT_EQUAL(windows_chunks_used(w), 0);
	windows_destroy(w);
}

UNIT_TESTS("windows", {"equal dense differences", test_windows}, {"seconds left out", test_gaps},
	{"a full pool", test_full})
