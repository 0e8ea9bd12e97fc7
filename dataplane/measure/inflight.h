/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Segments in flight: where each ends and when it passed the box, so that the ACK that answers it
 * gives a round-trip time. tcp.c puts every segment in that is not the newest any more (of that the
 * record says it all: next_seq and last_tick) and not acknowledged, and asks at every ACK. So a
 * flow that has one segment under way has none in here. The first one to come here stays in the
 * record too, until another joins it: flows that have two segments under way, which are most where
 * there are many, need no cache line but their own.
 *
 * For more a worker has one store for all its flows: slots, one a segment, in runs of sixteen. The
 * first two slots of a run are its header. A direction fills its newest run from slot 2 on and
 * empties its oldest one; a run goes back when its last segment is acknowledged. The newest run
 * given back is the next one taken, so that few flows work in few cache lines.
 *
 * Nothing leaks: a flow may end without giving its runs back. Runs carry their owner, and one that
 * was taken INFLIGHT_STALE ago is taken from its owner when there are no others. The owner finds
 * out when it goes on to another run; until then the two write over each other's slots, which costs
 * samples and makes none: a slot is an answer only if it ends where the ACK says. When all runs are
 * in use, or a direction has more than its share, segments give no sample. So the memory is fixed,
 * and a flood costs samples only.
 *
 * measure_half.oldest and .newest:
 * - 0, 0: nothing here;
 * - a sequence number and an odd number: one segment, which ends there and passed at that tick;
 * - even numbers: the slots of the oldest segment, and behind the newest. Slots are numbered by
 *   twos, through all runs.
 *
 * Owning worker only. Flow records do not move while their segments are in flight.
 */
#ifndef SLUICE_MEASURE_INFLIGHT_H
#define SLUICE_MEASURE_INFLIGHT_H

#include <stdbool.h>
#include <stddef.h>

#include "dataplane/measure/flow_measure.h"

#define INFLIGHT_RUN 16u /* slots */
#define INFLIGHT_STEP 2u /* from one slot number to the next */
#define INFLIGHT_RUN_STEPS (INFLIGHT_RUN * INFLIGHT_STEP)
#define INFLIGHT_FIRST (2u * INFLIGHT_STEP) /* slot of a run that holds a segment */
#define INFLIGHT_ALONE 1u		    /* in `newest`: one segment, in the record */
#define INFLIGHT_NOBODY 1u		    /* owner: half records lie at multiples of four */
#define INFLIGHT_STALE_SHIFT 20
#define INFLIGHT_STALE (119u) /* of 2^20 ticks: 8 s, no round trip is half so long */

struct inflight_segment {
	uint32_t end;  /* sequence number behind it */
	uint32_t tick; /* when it passed */
};

union inflight_slots {
	struct inflight_segment segment[INFLIGHT_RUN];
	struct {
		uint32_t owner;	  /* inflight_owner(), or INFLIGHT_NOBODY */
		uint32_t newer;	  /* next run of the direction, or next free one; 0: none */
		uint32_t older;	  /* of no meaning in the oldest */
		uint16_t taken;	  /* when: ticks >> INFLIGHT_STALE_SHIFT */
		uint16_t ordinal; /* one more than that of the older one */
	};
};
static_assert(sizeof(union inflight_slots) == 128, "two cache lines");

struct inflight_store {
	uint32_t free;	/* first of the free runs; 0: none */
	uint32_t count; /* of runs; run 0 is nobody's, so that slot 0 can stand for none */
	uint32_t hand;	/* where to look next for a stale one */
	uint32_t share; /* runs that one direction of one flow may have */
	uint32_t used;	/* runs that are not free */
	union inflight_slots run[] __attribute__((aligned(64)));
};

/* Memory of a store of so many runs, and the store in such memory (aligned to 64 bytes). */
size_t inflight_bytes(uint32_t runs);
struct inflight_store *inflight_init(void *memory, uint32_t runs);

/* The store of who set none (struct measure_class): one for the process, for one thread. */
struct inflight_store *inflight_default(void);

/* inflight_add() where the record has no room, or the newest run is full. Without a run to be had
 * the segment is forgotten, and what is in other runs. */
void inflight_extend(struct inflight_store *s, struct measure_half *h, uint32_t end, uint32_t tick,
	uint32_t share);

/* The oldest run of `h` is done with. Returns the slot to go on with; 0: no segment is in flight.
 */
uint32_t inflight_drop_oldest(struct inflight_store *s, struct measure_half *h);

/* The segments of `h` that end behind `seq` are no longer unambiguous: something before them was
 * sent after them. */
void inflight_cut(struct inflight_store *s, struct measure_half *h, uint32_t seq);

/* None of them is in flight any more. */
void inflight_forget(struct inflight_store *s, struct measure_half *h);

/* When the segment in flight that ends at `end` passed; false: not known. */
bool inflight_find(
	const struct inflight_store *s, const struct measure_half *h, uint32_t end, uint32_t *tick);

static inline struct inflight_segment *inflight_slot(const struct inflight_store *s, uint32_t slot)
{
	size_t offset = (size_t)slot * (sizeof(struct inflight_segment) / INFLIGHT_STEP);

	return (struct inflight_segment *)((uintptr_t)s->run + offset);
}

/* A segment that ends at `end`, behind all others of `h`, passes now. */
static inline void inflight_add(struct inflight_store *s, struct measure_half *h, uint32_t end,
	uint32_t tick, uint32_t share)
{
	uint32_t newest = h->newest;

	if (newest == 0) {
		h->oldest = end;
		h->newest = tick | INFLIGHT_ALONE;
	} else if (__builtin_expect(
			   (newest & INFLIGHT_ALONE) || newest % INFLIGHT_RUN_STEPS == 0, 0)) {
		inflight_extend(s, h, end, tick, share);
	} else {
		*inflight_slot(s, newest) = (struct inflight_segment){.end = end, .tick = tick};
		h->newest = newest + INFLIGHT_STEP;
	}
}

/* An ACK of new data comes for what `h` sent, of which something is in flight. True if a segment
 * ends there: *tick says when that passed. All segments up to there are done with. */
static inline bool inflight_acked(
	struct inflight_store *s, struct measure_half *h, uint32_t ack, uint32_t *tick)
{
	uint32_t at = h->oldest, newest = h->newest;
	bool hit = false;

	if (newest & INFLIGHT_ALONE) {
		if ((int32_t)(at - ack) > 0)
			return false;
		*tick = newest;
		h->oldest = h->newest = 0;
		return at == ack;
	}
	do {
		const struct inflight_segment *segment = inflight_slot(s, at);
		if ((int32_t)(segment->end - ack) > 0)
			break;
		if (segment->end == ack) {
			*tick = segment->tick;
			hit = true;
		}
		at += INFLIGHT_STEP;
		if (__builtin_expect((at == newest) | (at % INFLIGHT_RUN_STEPS == 0), 0)) {
			at = inflight_drop_oldest(s, h);
			newest = h->newest;
		}
	} while (at != 0 && !hit);
	h->oldest = at;
	return hit;
}

#endif
