/* SPDX-License-Identifier: BSD-3-Clause */
/* Sparse differences in rings of seconds, tens and minutes: windows.h says what for. */
#include "dataplane/control/windows.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_BUCKETS 30
#define NONE UINT32_MAX
/* Where the rings begin in an array of slots. */
#define TENS WINDOW_SECONDS
#define MINUTES (WINDOW_SECONDS + WINDOW_TENS)

struct chunk {
	uint32_t next;
	uint32_t used;
	uint16_t bucket[CHUNK_BUCKETS];
	uint32_t count[CHUNK_BUCKETS];
};

/* One difference: of the second, ten or minute `number`. */
struct slot {
	uint32_t number;
	uint32_t chunk; /* first of a list; NONE: nothing was counted */
	bool is_used;
	bool is_partial; /* found no room */
};

struct series {
	uint32_t samples;     /* 0, 1, many: differences begin with the second */
	uint32_t first, last; /* steps */
	struct histogram before;
	struct slot slot[WINDOW_SLOTS];
};

struct counter_series {
	uint32_t samples;
	uint32_t first, last;
	uint64_t before;
	struct {
		uint32_t number;
		bool is_used;
		uint64_t count;
	} slot[WINDOW_SLOTS];
};

struct windows {
	unsigned histograms, counters;
	struct series *series;
	struct counter_series *counter;
	struct chunk *chunk;
	uint32_t free, used;
};

uint64_t windows_memory_needed(unsigned histograms, unsigned counters)
{
	return sizeof(struct windows) + (uint64_t)counters * sizeof(struct counter_series) +
	       histograms * (sizeof(struct series) + WINDOW_CHUNKS * sizeof(struct chunk));
}

struct windows *windows_create(unsigned histograms, unsigned counters)
{
	struct windows *w = calloc(1, sizeof(*w));
	uint32_t chunks = histograms * WINDOW_CHUNKS;

	if (w == NULL)
		return NULL;
	w->histograms = histograms;
	w->counters = counters;
	w->series = calloc(histograms + 1u, sizeof(*w->series));
	w->counter = calloc(counters + 1u, sizeof(*w->counter));
	w->chunk = calloc(chunks + 1u, sizeof(*w->chunk));
	if (w->series == NULL || w->counter == NULL || w->chunk == NULL) {
		windows_destroy(w);
		return NULL;
	}
	w->free = NONE;
	for (uint32_t i = chunks; i-- > 0;) {
		w->chunk[i].next = w->free;
		w->free = i;
	}
	return w;
}

void windows_destroy(struct windows *w)
{
	if (w == NULL)
		return;
	free(w->series);
	free(w->counter);
	free(w->chunk);
	free(w);
}

uint32_t windows_chunks_used(const struct windows *w)
{
	return w->used;
}

/* ---- slots ---- */

static void clear(struct windows *w, struct slot *s)
{
	while (s->is_used && s->chunk != NONE) {
		uint32_t i = s->chunk;

		s->chunk = w->chunk[i].next;
		w->chunk[i].next = w->free;
		w->free = i;
		w->used--;
	}
	*s = (struct slot){.chunk = NONE};
}

/* Keep what bucket[] counts. */
static void encode(struct windows *w, struct slot *s, uint32_t number, const uint32_t *bucket)
{
	clear(w, s);
	s->is_used = true;
	s->number = number;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (bucket[i] == 0)
			continue;
		if (s->chunk == NONE || w->chunk[s->chunk].used == CHUNK_BUCKETS) {
			uint32_t fresh = w->free;

			if (fresh == NONE) {
				clear(w, s);
				*s = (struct slot){.number = number,
					.chunk = NONE,
					.is_used = true,
					.is_partial = true};
				return;
			}
			w->free = w->chunk[fresh].next;
			w->used++;
			w->chunk[fresh].next = s->chunk;
			w->chunk[fresh].used = 0;
			s->chunk = fresh;
		}
		struct chunk *c = &w->chunk[s->chunk];
		c->bucket[c->used] = (uint16_t)i;
		c->count[c->used++] = bucket[i];
	}
}

static void add_slot(const struct windows *w, const struct slot *s, uint32_t *bucket)
{
	for (uint32_t i = s->chunk; i != NONE; i = w->chunk[i].next)
		for (uint32_t k = 0; k < w->chunk[i].used; k++)
			bucket[w->chunk[i].bucket[k]] += w->chunk[i].count[k];
}

/* Merge those of the `count` slots from `from` on whose number is in [first, first + span) into
 * *into. */
static void merge(struct windows *w, const struct slot *from, unsigned count, uint32_t first,
	uint32_t span, struct slot *into, uint32_t number)
{
	static uint32_t bucket[HISTOGRAM_BUCKETS];
	bool is_partial = false;

	memset(bucket, 0, sizeof(bucket));
	for (unsigned i = 0; i < count; i++) {
		if (!from[i].is_used || from[i].number - first >= span)
			continue;
		add_slot(w, &from[i], bucket);
		is_partial |= from[i].is_partial;
	}
	encode(w, into, number, bucket);
	into->is_partial |= is_partial;
}

void windows_sample(struct windows *w, unsigned i, const struct histogram *now, uint32_t step)
{
	static uint32_t bucket[HISTOGRAM_BUCKETS];
	struct series *s = &w->series[i];

	if (s->samples == 0) {
		windows_reset(w, i);
		s->first = step;
	} else {
		uint32_t ten = s->last / 10, minute = s->last / 60;

		/* What ended since the last sample. */
		if (step / 10 != ten)
			merge(w, s->slot, WINDOW_SECONDS, ten * 10, 10,
				&s->slot[TENS + ten % WINDOW_TENS], ten);
		if (step / 60 != minute)
			merge(w, &s->slot[TENS], WINDOW_TENS, minute * 6, 6,
				&s->slot[MINUTES + minute % WINDOW_MINUTES], minute);
		memset(bucket, 0, sizeof(bucket));
		if (now->count != s->before.count)
			for (uint32_t k = 0; k < HISTOGRAM_BUCKETS; k++)
				bucket[k] = (uint32_t)(now->bucket[k] - s->before.bucket[k]);
		encode(w, &s->slot[step % WINDOW_SECONDS], step, bucket);
	}
	if (s->samples == 0 || now->count != s->before.count)
		s->before = *now;
	s->last = step;
	s->samples++;
}

/* ---- windows ---- */

/* Does slot `at`, of that number, belong to the window that ends with step `last`? */
static bool is_in(enum window window, unsigned at, uint32_t number, uint32_t last)
{
	switch (window) {
	case WINDOW_1S:
		return at < TENS && number == last;
	case WINDOW_10S:
		return at < TENS && last - number < 10;
	case WINDOW_1M:
		return at < TENS ? number / 10 == last / 10
				 : at < MINUTES && last / 10 - number - 1 < WINDOW_TENS;
	case WINDOW_15M:
		return at < TENS      ? number / 10 == last / 10
		       : at < MINUTES ? number / 6 == last / 60
				      : last / 60 - number - 1 < WINDOW_MINUTES;
	default:
		return false;
	}
}

/* From the end of the sample before the window to the last. */
static uint32_t covered(enum window window, uint32_t first, uint32_t last)
{
	static const uint32_t least[WINDOWS] = {0, 1, 10, 60, 900};
	uint32_t part = window == WINDOW_1M    ? last % 10 + 1
			: window == WINDOW_15M ? last % 60 + 1
					       : 0;

	return last - first < least[window] + part ? last - first : least[window] + part;
}

bool windows_add(const struct windows *w, unsigned i, enum window window, struct histogram *sum,
	uint32_t *seconds)
{
	static uint32_t bucket[HISTOGRAM_BUCKETS];
	static struct histogram zero, part;
	const struct series *s = &w->series[i];

	if (s->samples < 2)
		return false;
	memset(bucket, 0, sizeof(bucket));
	for (unsigned at = 0; at < WINDOW_SLOTS; at++) {
		const struct slot *slot = &s->slot[at];

		if (!slot->is_used || !is_in(window, at, slot->number, s->last))
			continue;
		if (slot->is_partial)
			return false;
		add_slot(w, slot, bucket);
	}
	memset(&part, 0, sizeof(part));
	for (uint32_t k = 0; k < HISTOGRAM_BUCKETS; k++) {
		part.bucket[k] = bucket[k];
		part.count += bucket[k];
	}
	if (part.count > 0) {
		part.max_ns = s->before.max_ns;
		part.not_min_ns = s->before.not_min_ns;
		histogram_subtract(&part, &zero); /* the bounds, from the buckets */
		histogram_merge(sum, &part);
	}
	*seconds = covered(window, s->first, s->last);
	return true;
}

void windows_reset(struct windows *w, unsigned i)
{
	struct series *s = &w->series[i];

	for (unsigned at = 0; at < WINDOW_SLOTS; at++)
		clear(w, &s->slot[at]);
	s->samples = 0;
}

/* ---- counters: the same with plain numbers ---- */

void windows_sample_counter(struct windows *w, unsigned i, uint64_t now, uint32_t step)
{
	struct counter_series *c = &w->counter[i];
	uint32_t ten = c->last / 10, minute = c->last / 60;
	uint64_t sum = 0;

	if (c->samples == 0) {
		windows_reset_counter(w, i);
		c->first = step;
	} else {
		if (step / 10 != ten) {
			for (unsigned at = 0; at < TENS; at++)
				if (c->slot[at].is_used && c->slot[at].number / 10 == ten)
					sum += c->slot[at].count;
			c->slot[TENS + ten % WINDOW_TENS].number = ten;
			c->slot[TENS + ten % WINDOW_TENS].is_used = true;
			c->slot[TENS + ten % WINDOW_TENS].count = sum;
		}
		if (step / 60 != minute) {
			sum = 0;
			for (unsigned at = TENS; at < MINUTES; at++)
				if (c->slot[at].is_used && c->slot[at].number / 6 == minute)
					sum += c->slot[at].count;
			c->slot[MINUTES + minute % WINDOW_MINUTES].number = minute;
			c->slot[MINUTES + minute % WINDOW_MINUTES].is_used = true;
			c->slot[MINUTES + minute % WINDOW_MINUTES].count = sum;
		}
		c->slot[step % WINDOW_SECONDS].number = step;
		c->slot[step % WINDOW_SECONDS].is_used = true;
		c->slot[step % WINDOW_SECONDS].count = now - c->before;
	}
	c->before = now;
	c->last = step;
	c->samples++;
}

uint64_t windows_counter(const struct windows *w, unsigned i, enum window window)
{
	const struct counter_series *c = &w->counter[i];
	uint64_t sum = 0;

	for (unsigned at = 0; at < WINDOW_SLOTS; at++)
		if (c->slot[at].is_used && is_in(window, at, c->slot[at].number, c->last))
			sum += c->slot[at].count;
	return sum;
}

void windows_reset_counter(struct windows *w, unsigned i)
{
	memset(&w->counter[i], 0, sizeof(w->counter[i]));
}
