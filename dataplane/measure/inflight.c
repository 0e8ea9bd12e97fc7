/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store of inflight.h: taking and giving back runs. Indices come from the worker's own records
 * only; whether a run still is what a record takes it for, its owner tells.
 */
#include "dataplane/measure/inflight.h"

#define RUNS_DEFAULT 16384u
#define SHARE 16	/* one direction has at most so much of the store: 1/16 */
#define STALE_LOOKS 4	/* runs looked at, when none is free, before the segment goes without */

static uint8_t process_store[sizeof(struct inflight_store) +
			     RUNS_DEFAULT * sizeof(struct inflight_run)]
	__attribute__((aligned(64)));

size_t inflight_bytes(uint32_t runs)
{
	return sizeof(struct inflight_store) + runs * sizeof(struct inflight_run);
}

struct inflight_store *inflight_init(void *memory, uint32_t runs)
{
	struct inflight_store *s = memory;

	s->count = runs;
	s->hand = 0;
	s->share = runs / SHARE > 0 ? runs / SHARE : 1;
	s->share = s->share < INT16_MAX ? s->share : INT16_MAX; /* ordinals are short */
	s->free = 0;
	s->run[0] = (struct inflight_run){.owner = INFLIGHT_NOBODY, .count = 1};
	for (uint32_t i = runs - 1; i > 0; i--) {
		s->run[i] = (struct inflight_run){
			.owner = INFLIGHT_NOBODY, .newer = s->free, .count = 1};
		s->free = i;
	}
	return s;
}

struct inflight_store *inflight_default(void)
{
	struct inflight_store *s = (struct inflight_store *)(void *)process_store;

	return s->count > 0 ? s : inflight_init(s, RUNS_DEFAULT);
}

static void give_back(struct inflight_store *s, uint32_t i)
{
	s->run[i].owner = INFLIGHT_NOBODY;
	s->run[i].newer = s->free;
	s->free = i;
}

static uint32_t take(struct inflight_store *s, uint32_t tick)
{
	uint32_t i = s->free;

	if (i != 0) {
		s->free = s->run[i].newer;
		return i;
	}
	for (unsigned looks = 0; looks < STALE_LOOKS; looks++) {
		s->hand = s->hand + 1 < s->count ? s->hand + 1 : 1;
		const struct inflight_run *run = &s->run[s->hand];
		if (tick - inflight_tick(run, run->count - 1u) > INFLIGHT_STALE_TICKS)
			return s->hand;
	}
	return 0;
}

static inline bool owns(const struct inflight_store *s, const struct measure_half *h, uint32_t i)
{
	return s->run[i].owner == inflight_owner(h);
}

/* The oldest run is done with. Whether the next one is still there, its owner will tell who asks
 * next: it is not looked at here, as its line may be far away. */
static inline void drop_oldest(struct inflight_store *s, struct measure_half *h)
{
	uint32_t was = h->oldest_run;

	h->oldest_run = was == h->newest_run ? 0 : s->run[was].newer;
	if (h->oldest_run == 0)
		h->newest_run = 0;
	give_back(s, was);
}

void inflight_add_run(
	struct inflight_store *s, struct measure_half *h, uint32_t end, uint32_t tick, uint32_t share)
{
	bool chained = h->newest_run != 0 && owns(s, h, h->newest_run);
	uint32_t i = 0;

	if (chained && owns(s, h, h->oldest_run) &&
		(uint16_t)(s->run[h->newest_run].ordinal - s->run[h->oldest_run].ordinal) + 1u >=
			share) {
		drop_oldest(s, h);
		chained = h->newest_run != 0;
	}
	i = take(s, tick);
	if (i == 0)
		return;
	/* It may have been a stale one of our own. */
	chained = chained && i != h->newest_run && i != h->oldest_run;
	s->run[i].owner = inflight_owner(h);
	s->run[i].newer = 0;
	s->run[i].older = chained ? h->newest_run : 0;
	s->run[i].ordinal = chained ? (uint16_t)(s->run[h->newest_run].ordinal + 1) : 0;
	s->run[i].first_end = end;
	s->run[i].first_tick = tick;
	s->run[i].count = 1;
	s->run[i].end[0] = s->run[i].tick[0] = 0;
	if (chained)
		s->run[h->newest_run].newer = i;
	else
		h->oldest_run = i;
	h->newest_run = i;
}

bool inflight_acked_run(
	struct inflight_store *s, struct measure_half *h, uint32_t ack, uint32_t *tick)
{
	while (h->oldest_run != 0) {
		struct inflight_run *run = &s->run[h->oldest_run];
		uint32_t distance = ack - run->first_end, last = run->end[run->count - 1];

		if (!owns(s, h, h->oldest_run)) {
			h->oldest_run = h->newest_run = 0;
			return false;
		}
		if ((int32_t)distance < 0)
			return false;
		if (distance < last) {
			int i = inflight_index(run, distance);
			if (i >= 0)
				*tick = inflight_tick(run, (unsigned)i);
			return i >= 0;
		}
		if (distance == last) {
			*tick = inflight_tick(run, run->count - 1u);
			drop_oldest(s, h);
			return true;
		}
		drop_oldest(s, h);
	}
	return false;
}

void inflight_cut(struct inflight_store *s, struct measure_half *h, uint32_t seq)
{
	while (h->newest_run != 0) {
		struct inflight_run *run = &s->run[h->newest_run];

		if (!owns(s, h, h->newest_run)) {
			h->oldest_run = h->newest_run = 0;
			return;
		}
		if ((int32_t)(run->first_end - seq) <= 0) {
			while ((int32_t)(run->first_end + run->end[run->count - 1] - seq) > 0)
				run->count--;
			return;
		}
		uint32_t older = run->older, was = h->newest_run;
		give_back(s, was);
		if (was == h->oldest_run || older == 0) {
			h->oldest_run = h->newest_run = 0;
			return;
		}
		h->newest_run = older;
		if (owns(s, h, older))
			s->run[older].newer = 0;
	}
}

void inflight_forget(struct inflight_store *s, struct measure_half *h)
{
	while (h->oldest_run != 0 && owns(s, h, h->oldest_run))
		drop_oldest(s, h);
	h->oldest_run = h->newest_run = 0;
}

bool inflight_find(
	const struct inflight_store *s, const struct measure_half *h, uint32_t end, uint32_t *tick)
{
	for (uint32_t i = h->newest_run, looks = 0; i != 0 && owns(s, h, i) && looks < s->share;
		i = i != h->oldest_run ? s->run[i].older : 0, looks++) {
		const struct inflight_run *run = &s->run[i];
		if ((int32_t)(end - run->first_end) < 0)
			continue;
		int at = inflight_index(run, end - run->first_end);
		if (at >= 0)
			*tick = inflight_tick(run, (unsigned)at);
		return at >= 0;
	}
	return false;
}
