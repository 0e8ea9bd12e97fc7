/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A distribution of times in fixed memory: log-linear buckets of integers, no floating point when
 * recording. tcp.h and the workers record into these; the control thread copies, merges and asks
 * for percentiles.
 *
 * Buckets. Values below 32 have a bucket each. Above, every power of two is cut into 32 equal
 * buckets (the top bit's place and the 5 bits behind it), up to 2^36 ns = 68.7 s; larger values
 * count in the last bucket. A bucket that starts at b is at most b/32 wide and answers with its
 * middle, so an answer is wrong by at most b/64: 1.5625 % of the value, at any size. With 36
 * octaves that is 32 + 31 * 32 = 1024 buckets. They are 64 bits wide because one bucket of a
 * worker's `time in the box` may count 15 million packets a second: 32 bits last five minutes.
 *
 * Threads: one writer, relaxed stores. Readers copy the structure at any time; a copy may lack the
 * newest samples in some of its fields, percentiles are computed from the buckets alone and so stay
 * consistent. All-zero memory is an empty histogram. Clear by keeping a copy and subtracting it.
 */
#ifndef SLUICE_MEASURE_HISTOGRAM_H
#define SLUICE_MEASURE_HISTOGRAM_H

#include <assert.h>
#include <stdint.h>

#define HISTOGRAM_MANTISSA_BITS 5
#define HISTOGRAM_MAX_BITS 36
#define HISTOGRAM_BUCKETS                                                                          \
	((HISTOGRAM_MAX_BITS - HISTOGRAM_MANTISSA_BITS + 1) << HISTOGRAM_MANTISSA_BITS)

struct histogram {
	uint64_t count;
	uint64_t sum_ns;
	uint64_t max_ns;
	uint64_t not_min_ns; /* ~ the smallest value, so that zeroed memory is empty */
	uint64_t bucket[HISTOGRAM_BUCKETS];
};
static_assert(HISTOGRAM_BUCKETS == 1024, "derived above");

/* The bucket of a value. Pure. */
static inline uint32_t histogram_bucket_of(uint64_t value_ns)
{
	const uint64_t largest = (UINT64_C(1) << HISTOGRAM_MAX_BITS) - 1;
	uint64_t v = value_ns < largest ? value_ns : largest;
	/* The top bit's place, at least that of 32: the values below share the first two rows. */
	uint32_t top = 63 - (uint32_t)__builtin_clzll(v | 1 << HISTOGRAM_MANTISSA_BITS);
	uint32_t shift = top - HISTOGRAM_MANTISSA_BITS;

	/* The leading bit of v >> shift is 1 and adds the row that `shift` alone lacks. */
	return (shift << HISTOGRAM_MANTISSA_BITS) + (uint32_t)(v >> shift);
}

/* Count one value. The writer only. */
static inline void histogram_record(struct histogram *h, uint64_t value_ns)
{
	uint64_t *b = &h->bucket[histogram_bucket_of(value_ns)];

	__atomic_store_n(b, *b + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&h->count, h->count + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&h->sum_ns, h->sum_ns + value_ns, __ATOMIC_RELAXED);
	if (__builtin_expect(value_ns > h->max_ns, 0))
		__atomic_store_n(&h->max_ns, value_ns, __ATOMIC_RELAXED);
	if (__builtin_expect(~value_ns > h->not_min_ns, 0))
		__atomic_store_n(&h->not_min_ns, ~value_ns, __ATOMIC_RELAXED);
}

/* Add all that `from` counted to `into`: exactly as if it had been recorded there. `from` may be
 * written meanwhile, `into` belongs to the caller. */
void histogram_merge(struct histogram *into, const struct histogram *from);

/* Take an earlier copy of the same histogram (or of the same sum of histograms) out of `h`: what
 * remains is the time between. Smallest and largest value are then known to a bucket's width only.
 */
void histogram_subtract(struct histogram *h, const struct histogram *earlier);

/* The value that `percent` (0 to 100, e.g. 99.9) of the samples do not exceed, by nearest rank; at
 * most 1.6 % off. 0 if nothing was recorded. */
uint64_t histogram_percentile(const struct histogram *h, double percent);

/* Smallest and largest value and the mean, in ns; 0 if nothing was recorded. */
uint64_t histogram_min(const struct histogram *h);
uint64_t histogram_max(const struct histogram *h);
uint64_t histogram_mean(const struct histogram *h);

#endif
