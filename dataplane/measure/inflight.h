/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Segments in flight: where each ends and when it passed the box, so that the ACK that answers it
 * gives a round-trip time. tcp.c puts every new segment in and asks at every ACK.
 *
 * A worker has one store of runs, one cache line each, for all its flows. A run holds up to ten
 * segments of one direction of one flow, as distances from its first; the runs of a direction are
 * chained from the oldest to the newest, and go back when their last segment is acknowledged. The
 * newest run given back is the next one taken, so that few flows work in few lines.
 *
 * Nothing leaks: a flow may end without giving its runs back. Runs carry their owner, and one that
 * nobody has added to for INFLIGHT_STALE_TICKS is taken when there are no others; its owner then
 * finds it gone and measures from the next segment on. When all are in use, or a flow has more than
 * its share, segments give no sample. So the memory is fixed and a flood costs samples only.
 *
 * Owning worker only. Flow records do not move while their segments are in flight.
 */
#ifndef SLUICE_MEASURE_INFLIGHT_H
#define SLUICE_MEASURE_INFLIGHT_H

#include <stdbool.h>
#include <stddef.h>

#include "dataplane/measure/flow_measure.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define INFLIGHT_NOBODY 1u
#define INFLIGHT_SEGMENTS 10
#define INFLIGHT_TICK_SHIFT 2		 /* times in a run: 256 ns, 17 ms in all */
#define INFLIGHT_STALE_TICKS (62500000u) /* 4 s: no round trip is so long */

struct inflight_run {
	uint32_t owner;	      /* inflight_owner(), or INFLIGHT_NOBODY */
	uint32_t newer;	      /* next run of the direction, or next free one; 0: none */
	uint32_t older;	      /* of no meaning in the oldest */
	uint32_t first_end;   /* sequence number behind the first segment, */
	uint32_t first_tick;  /* and when it passed */
	uint16_t count;	      /* of segments, 1 to 10, also in run 0 */
	uint16_t ordinal;     /* one more than that of the older one */
	/* Each segment's distance from the first, ascending. */
	uint16_t end[INFLIGHT_SEGMENTS];
	uint16_t tick[INFLIGHT_SEGMENTS];
};
static_assert(sizeof(struct inflight_run) == 64, "one cache line");

struct inflight_store {
	uint32_t free;	/* first of the free runs; 0: none */
	uint32_t count; /* of runs, the first one is nobody's */
	uint32_t hand;	/* where to look next for a stale one */
	uint32_t share; /* runs that one direction of one flow may have */
	struct inflight_run run[] __attribute__((aligned(64)));
};

/* Memory of a store of so many runs, and the store in such memory (aligned to 64 bytes, zeroed). */
size_t inflight_bytes(uint32_t runs);
struct inflight_store *inflight_init(void *memory, uint32_t runs);

/* The store of who set none (struct measure_class): one for the process, for one thread. */
struct inflight_store *inflight_default(void);

/* The ways of inflight_add() and inflight_acked() that leave the run at hand. */
void inflight_add_run(
	struct inflight_store *s, struct measure_half *h, uint32_t end, uint32_t tick, uint32_t share);
bool inflight_acked_run(
	struct inflight_store *s, struct measure_half *h, uint32_t ack, uint32_t *tick);

/* The segments of `h` that end behind `seq` are no longer unambiguous: something before them was
 * sent after them. */
void inflight_cut(struct inflight_store *s, struct measure_half *h, uint32_t seq);

/* None of them is in flight any more. */
void inflight_forget(struct inflight_store *s, struct measure_half *h);

/* When the segment in flight that ends at `end` passed; false: not known. */
bool inflight_find(const struct inflight_store *s, const struct measure_half *h, uint32_t end,
	uint32_t *tick);

/* Halves lie at multiples of four, so never INFLIGHT_NOBODY. Two that are 4 GiB apart may be taken
 * for each other once a run was stale, until sequence numbers tell. */
static inline uint32_t inflight_owner(const struct measure_half *h)
{
	return (uint32_t)(uintptr_t)h;
}

/* The segment of `run` at distance `d`; -1: none. */
static inline int inflight_index(const struct inflight_run *run, uint32_t d)
{
#ifdef __SSE2__
	__m128i want = _mm_set1_epi16((short)d);
	__m128i low = _mm_cmpeq_epi16(_mm_loadu_si128((const __m128i *)run->end), want);
	__m128i high = _mm_cmpeq_epi16(_mm_loadu_si128((const __m128i *)(run->end + 2)), want);
	/* A bit each: of 0 to 7, then (of 2 to 9) of 8 and 9. */
	uint32_t mask = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(low, high));

	mask = (mask & 0xff) | (mask >> 6 & 0x300);
#else
	uint32_t mask = 0;

	for (unsigned i = 0; i < INFLIGHT_SEGMENTS; i++)
		mask |= (uint32_t)(run->end[i] == (uint16_t)d) << i;
#endif
	mask &= (1u << run->count) - 1;
	return mask != 0 && d <= UINT16_MAX ? __builtin_ctz(mask) : -1;
}

static inline uint32_t inflight_tick(const struct inflight_run *run, unsigned i)
{
	return run->first_tick + ((uint32_t)run->tick[i] << INFLIGHT_TICK_SHIFT);
}

/* A segment that ends at `end`, behind all others of `h`, passes now. */
static inline void inflight_add(
	struct inflight_store *s, struct measure_half *h, uint32_t end, uint32_t tick, uint32_t share)
{
	struct inflight_run *run = &s->run[h->newest_run];
	uint32_t distance = end - run->first_end;
	uint32_t ticks = (tick - run->first_tick + (1u << INFLIGHT_TICK_SHIFT) / 2) >>
			 INFLIGHT_TICK_SHIFT;

	if (__builtin_expect((run->owner != inflight_owner(h)) |
				     (run->count >= INFLIGHT_SEGMENTS) |
				     ((distance | ticks) > UINT16_MAX),
		    0)) {
		inflight_add_run(s, h, end, tick, share);
		return;
	}
	run->end[run->count] = (uint16_t)distance;
	run->tick[run->count] = (uint16_t)ticks;
	run->count++;
}

/* An ACK of new data comes for what `h` sent. True if a segment ends there: *tick says when that
 * passed. All segments up to there are done with. */
static inline bool inflight_acked(
	struct inflight_store *s, struct measure_half *h, uint32_t ack, uint32_t *tick)
{
	struct inflight_run *run = &s->run[h->oldest_run];
	uint32_t distance = ack - run->first_end;

	/* Also what lies before the first one. */
	if (__builtin_expect((run->owner != inflight_owner(h)) |
				     (distance >= run->end[run->count - 1]),
		    0))
		return inflight_acked_run(s, h, ack, tick);
	int i = inflight_index(run, distance);
	if (i < 0)
		return false;
	*tick = inflight_tick(run, (unsigned)i);
	return true;
}

#endif
