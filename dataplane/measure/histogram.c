/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reading side of histograms: merging, differences and percentiles. Recording is inline in
 * histogram.h, where the buckets are explained.
 */
#include "dataplane/measure/histogram.h"

/* The smallest value that falls into bucket `i`, and how many do. */
static uint64_t bucket_start(uint32_t i, uint64_t *width)
{
	const uint32_t row = 1 << HISTOGRAM_MANTISSA_BITS;
	uint32_t shift = i < 2 * row ? 0 : (i >> HISTOGRAM_MANTISSA_BITS) - 1;

	*width = UINT64_C(1) << shift;
	return (uint64_t)(i - (shift << HISTOGRAM_MANTISSA_BITS)) << shift;
}

static uint64_t read_relaxed(const uint64_t *v)
{
	return __atomic_load_n(v, __ATOMIC_RELAXED);
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	uint64_t max_ns = read_relaxed(&from->max_ns);
	uint64_t not_min_ns = read_relaxed(&from->not_min_ns);

	into->count += read_relaxed(&from->count);
	into->sum_ns += read_relaxed(&from->sum_ns);
	if (max_ns > into->max_ns)
		into->max_ns = max_ns;
	if (not_min_ns > into->not_min_ns)
		into->not_min_ns = not_min_ns;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->bucket[i] += read_relaxed(&from->bucket[i]);
}

void histogram_subtract(struct histogram *h, const struct histogram *earlier)
{
	uint64_t low_ns = 0, high_ns = 0, start_ns, width_ns;
	uint64_t all_max_ns = h->max_ns, all_min_ns = ~h->not_min_ns;
	uint32_t used = 0;

	h->count -= earlier->count;
	h->sum_ns -= earlier->sum_ns;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		h->bucket[i] -= earlier->bucket[i];
		if (h->bucket[i] == 0)
			continue;
		start_ns = bucket_start(i, &width_ns);
		if (used++ == 0)
			low_ns = start_ns;
		/* The last bucket has no upper end. */
		high_ns = i == HISTOGRAM_BUCKETS - 1 ? UINT64_MAX : start_ns + width_ns - 1;
	}
	h->max_ns = 0;
	h->not_min_ns = 0;
	if (used > 0) {
		h->max_ns = high_ns < all_max_ns ? high_ns : all_max_ns;
		h->not_min_ns = ~(low_ns > all_min_ns ? low_ns : all_min_ns);
	}
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
	uint64_t total = 0, below = 0, rank, value_ns = 0, width_ns;
	double exact_rank;
	uint64_t min_ns = histogram_min(h), max_ns = histogram_max(h);

	/* Not h->count: in a copy taken while the writer wrote, the two may differ. */
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		total += read_relaxed(&h->bucket[i]);
	if (total == 0)
		return 0;
	percent = percent < 0 ? 0 : percent > 100 ? 100 : percent;
	/* 99.9 % of 1000 is 999, though 99.9 has no exact double: forgive 1e-9. */
	exact_rank = (percent / 100 - 1e-9) * (double)total;
	rank = exact_rank < 0 ? 0 : (uint64_t)exact_rank;
	rank += (double)rank < exact_rank;
	rank = rank < 1 ? 1 : rank > total ? total : rank;

	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		below += read_relaxed(&h->bucket[i]);
		if (below < rank)
			continue;
		value_ns = bucket_start(i, &width_ns);
		if (i == HISTOGRAM_BUCKETS - 1)
			return max_ns > value_ns ? max_ns : value_ns;
		value_ns += (width_ns - 1) / 2;
		break;
	}
	if (value_ns > max_ns)
		return max_ns;
	return value_ns < min_ns ? min_ns : value_ns;
}

uint64_t histogram_min(const struct histogram *h)
{
	return read_relaxed(&h->count) == 0 ? 0 : ~read_relaxed(&h->not_min_ns);
}

uint64_t histogram_max(const struct histogram *h)
{
	return read_relaxed(&h->max_ns);
}

uint64_t histogram_mean(const struct histogram *h)
{
	uint64_t count = read_relaxed(&h->count);

	return count == 0 ? 0 : read_relaxed(&h->sum_ns) / count;
}
