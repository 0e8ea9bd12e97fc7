/* SPDX-License-Identifier: BSD-3-Clause */
/* Round-trip times of one flow. samples.h is the manual. */
#include <err.h>
#include <math.h>
#include <stdlib.h>

#include "tools/analyze/samples.h"
#include "dataplane/measure/record.h"

static void grow(struct samples *s)
{
	if (s->room == SAMPLES_EXACT) {
		s->histogram = calloc(1, sizeof(*s->histogram));
		if (s->histogram == NULL)
			errx(1, "no memory");
		for (uint32_t i = 0; i < s->room; i++)
			histogram_record(s->histogram, s->values[i]);
		free(s->values);
		s->values = NULL;
		return;
	}
	s->room = s->room == 0 ? 8 : s->room * 2;
	s->values = reallocarray(s->values, s->room, sizeof(*s->values));
	if (s->values == NULL)
		errx(1, "no memory");
}

void samples_add(struct samples *s, uint64_t value_ns)
{
	if (s->histogram == NULL && s->count == s->room)
		grow(s);
	if (s->histogram != NULL)
		histogram_record(s->histogram, value_ns);
	else
		s->values[s->count] = value_ns;
	s->count++;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t nearest_rank(const struct samples *s, double percent)
{
	uint64_t rank = (uint64_t)ceil(percent / 100 * (double)s->count);

	return s->values[rank > 0 ? rank - 1 : 0];
}

struct channel_dist samples_dist(struct samples *s)
{
	if (s->histogram != NULL)
		return measure_dist(s->histogram);
	if (s->count == 0)
		return (struct channel_dist){0};
	qsort(s->values, s->count, sizeof(*s->values), ascending);
	return (struct channel_dist){
		.samples = s->count,
		.min_ns = s->values[0],
		.p50_ns = nearest_rank(s, 50),
		.p90_ns = nearest_rank(s, 90),
		.p99_ns = nearest_rank(s, 99),
		.p999_ns = nearest_rank(s, 99.9),
		.max_ns = s->values[s->count - 1],
	};
}

void samples_free(struct samples *s)
{
	free(s->values);
	free(s->histogram);
	*s = (struct samples){0};
}
