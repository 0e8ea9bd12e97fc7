/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store of inflight.h: taking and giving back runs. Slot numbers come from the worker's own
 * records only; whether a run still is what a record takes it for, its owner tells.
 */
#include "dataplane/measure/inflight.h"

#define RUNS_DEFAULT 16384u
#define SHARE 16 /* one direction has at most so much of the store: 1/16 */

static uint8_t
	process_store[sizeof(struct inflight_store) + RUNS_DEFAULT * sizeof(union inflight_slots)]
	__attribute__((aligned(64)));

size_t inflight_bytes(uint32_t runs)
{
	return sizeof(struct inflight_store) + runs * sizeof(union inflight_slots);
}

static inline uint32_t owner_of(const struct measure_half *h)
{
	return (uint32_t)(uintptr_t)h;
}

static void give_back(struct inflight_store *s, uint32_t run)
{
	s->run[run].owner = INFLIGHT_NOBODY;
	s->run[run].newer = s->free;
	s->free = run;
	s->used--;
}

struct inflight_store *inflight_init(void *memory, uint32_t runs)
{
	struct inflight_store *s = memory;

	s->count = runs;
	s->hand = 0;
	s->share = runs / SHARE > 0 ? runs / SHARE : 1;
	s->share = s->share < INT16_MAX ? s->share : INT16_MAX; /* ordinals are short */
	s->free = 0;
	s->used = runs - 1;
	s->run[0].owner = INFLIGHT_NOBODY;
	for (uint32_t run = runs - 1; run > 0; run--)
		give_back(s, run);
	return s;
}

struct inflight_store *inflight_default(void)
{
	struct inflight_store *s = (struct inflight_store *)(void *)process_store;

	return s->count > 0 ? s : inflight_init(s, RUNS_DEFAULT);
}

static uint32_t take(struct inflight_store *s, uint16_t now)
{
	uint32_t run = s->free;

	if (run != 0) {
		s->free = s->run[run].newer;
		s->used++;
		return run;
	}
	/* One look, as it is at a line far away: under pressure every segment comes here. */
	s->hand = s->hand + 1 < s->count ? s->hand + 1 : 1;
	if ((uint16_t)(now - s->run[s->hand].taken) > INFLIGHT_STALE)
		return s->hand;
	return 0;
}

static inline bool owns(const struct inflight_store *s, const struct measure_half *h, uint32_t run)
{
	return s->run[run].owner == owner_of(h);
}

static inline bool has_runs(const struct measure_half *h)
{
	return h->newest != 0 && !(h->newest & INFLIGHT_ALONE);
}

/* Runs of its newest and its oldest segment, where it has runs. `newest` is the slot behind. */
static inline uint32_t newest_run(const struct measure_half *h)
{
	return (h->newest - INFLIGHT_STEP) / INFLIGHT_RUN_STEPS;
}

static inline uint32_t oldest_run(const struct measure_half *h)
{
	return h->oldest / INFLIGHT_RUN_STEPS;
}

static inline uint32_t none(struct measure_half *h)
{
	return h->oldest = h->newest = 0;
}

uint32_t inflight_drop_oldest(struct inflight_store *s, struct measure_half *h)
{
	uint32_t run = oldest_run(h);
	bool last = run == newest_run(h), mine = owns(s, h, run);
	uint32_t next = s->run[run].newer;

	if (mine)
		give_back(s, run);
	/* If it was taken away meanwhile, so will be what is behind it. Whether the next one is
	 * still there is not looked at here: its line may be far away. */
	if (last || !mine || next == 0)
		return none(h);
	return h->oldest = next * INFLIGHT_RUN_STEPS + INFLIGHT_FIRST;
}

/* A run for `h`, whose newest one is full or who has none; false: there is none to be had. */
static bool take_run(
	struct inflight_store *s, struct measure_half *h, uint32_t tick, uint32_t share)
{
	uint32_t older = 0, run;

	if (has_runs(h) && owns(s, h, newest_run(h)) && owns(s, h, oldest_run(h))) {
		older = newest_run(h);
		if ((uint16_t)(s->run[older].ordinal - s->run[oldest_run(h)].ordinal) + 1u >= share)
			inflight_drop_oldest(s, h);
		if (h->newest == 0)
			older = 0;
	}
	run = take(s, (uint16_t)(tick >> INFLIGHT_STALE_SHIFT));
	if (run == 0)
		return false;
	if (owns(s, h, run)) /* a stale one of its own */
		older = 0;
	if (older == 0)
		h->oldest = run * INFLIGHT_RUN_STEPS + INFLIGHT_FIRST;
	else
		s->run[older].newer = run;
	s->run[run].owner = owner_of(h);
	s->run[run].newer = 0;
	s->run[run].older = older;
	s->run[run].taken = (uint16_t)(tick >> INFLIGHT_STALE_SHIFT);
	s->run[run].ordinal = older != 0 ? (uint16_t)(s->run[older].ordinal + 1) : 0;
	h->newest = run * INFLIGHT_RUN_STEPS + INFLIGHT_FIRST;
	return true;
}

static void append(struct inflight_store *s, struct measure_half *h, uint32_t end, uint32_t tick)
{
	*inflight_slot(s, h->newest) = (struct inflight_segment){.end = end, .tick = tick};
	h->newest += INFLIGHT_STEP;
}

void inflight_extend(struct inflight_store *s, struct measure_half *h, uint32_t end, uint32_t tick,
	uint32_t share)
{
	struct inflight_segment first = {.end = h->oldest, .tick = h->newest};
	bool was_alone = h->newest & INFLIGHT_ALONE;

	if (!take_run(s, h, tick, share)) {
		/* One alone can be measured yet; runs would go on behind a gap. */
		if (!was_alone)
			inflight_forget(s, h);
		return;
	}
	if (was_alone)
		append(s, h, first.end, first.tick);
	append(s, h, end, tick);
}

/* One segment back from `slot`, the one behind a segment; 0: that was the oldest. */
static uint32_t step_back(
	const struct inflight_store *s, const struct measure_half *h, uint32_t slot)
{
	uint32_t run = (slot - INFLIGHT_STEP) / INFLIGHT_RUN_STEPS;

	if (slot - INFLIGHT_STEP == h->oldest)
		return 0;
	if ((slot - INFLIGHT_STEP) % INFLIGHT_RUN_STEPS > INFLIGHT_FIRST)
		return slot - INFLIGHT_STEP;
	if (run == oldest_run(h) || !owns(s, h, run) || !owns(s, h, s->run[run].older))
		return 0;
	return (s->run[run].older + 1) * INFLIGHT_RUN_STEPS;
}

void inflight_cut(struct inflight_store *s, struct measure_half *h, uint32_t seq)
{
	if ((h->newest & INFLIGHT_ALONE) && (int32_t)(h->oldest - seq) > 0)
		none(h);
	while (has_runs(h) &&
		(int32_t)(inflight_slot(s, h->newest - INFLIGHT_STEP)->end - seq) > 0) {
		uint32_t run = newest_run(h), slot = step_back(s, h, h->newest);

		if (slot == 0) {
			inflight_forget(s, h);
			return;
		}
		h->newest = slot;
		if (newest_run(h) != run) {
			give_back(s, run);
			s->run[newest_run(h)].newer = 0;
		}
	}
}

void inflight_forget(struct inflight_store *s, struct measure_half *h)
{
	while (has_runs(h))
		inflight_drop_oldest(s, h);
	none(h);
}

bool inflight_find(
	const struct inflight_store *s, const struct measure_half *h, uint32_t end, uint32_t *tick)
{
	uint32_t looks = s->share * INFLIGHT_RUN;

	if (h->newest & INFLIGHT_ALONE) {
		*tick = h->newest;
		return h->oldest == end;
	}
	for (uint32_t slot = h->newest; slot != 0 && looks-- > 0; slot = step_back(s, h, slot)) {
		const struct inflight_segment *segment = inflight_slot(s, slot - INFLIGHT_STEP);
		if ((int32_t)(segment->end - end) > 0)
			continue;
		*tick = segment->tick;
		return segment->end == end;
	}
	return false;
}
