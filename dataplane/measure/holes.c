/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Gaps in sequence numbers, see holes.h. Only packets that are not in order come here. The gaps in
 * use are the first ones of flow_measure's arrays, in no order; those of one direction are
 * disjoint.
 */
#include "dataplane/measure/holes.h"

/* flow_measure.holes: how many, and for each the side whose data is missing. */
#define HOLES_COUNT 0x07
#define HOLES_WAN(i) (0x10u << (i))

static inline bool before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline unsigned count_of(const struct flow_measure *f)
{
	return f->holes & HOLES_COUNT;
}

static inline enum measure_from side_of(const struct flow_measure *f, unsigned i)
{
	return f->holes & HOLES_WAN(i) ? FROM_WAN : FROM_LAN;
}

static void set_side(struct flow_measure *f, unsigned i, enum measure_from from)
{
	unsigned bits = f->holes & ~HOLES_WAN(i);

	f->holes = (uint8_t)(from == FROM_WAN ? bits | HOLES_WAN(i) : bits);
}

static void remove_hole(struct flow_measure *f, unsigned i)
{
	unsigned last = count_of(f) - 1;

	f->hole_start[i] = f->hole_start[last];
	f->hole_end[i] = f->hole_end[last];
	f->hole_tick[i] = f->hole_tick[last];
	f->hole_tsval[i] = f->hole_tsval[last];
	set_side(f, i, side_of(f, last));
	set_side(f, last, FROM_LAN);
	f->holes--;
}

/*
 * All are in use, so at least two belong to one side: join the two with the least data between
 * them. They keep the time of the older: where losses stand so close, a packet that comes late is
 * rather sent again than overtaken.
 */
static void join_closest(struct flow_measure *f)
{
	unsigned low = 0, high = 0;
	uint32_t least = UINT32_MAX;

	for (unsigned i = 0; i < MEASURE_HOLES; i++) {
		for (unsigned j = 0; j < MEASURE_HOLES; j++) {
			uint32_t between = f->hole_start[j] - f->hole_end[i];

			if (i == j || side_of(f, i) != side_of(f, j) ||
				before(f->hole_start[j], f->hole_end[i]) || between >= least)
				continue;
			least = between;
			low = i;
			high = j;
		}
	}
	if (low == high) /* more than 2^31 apart: leftovers of another time */
		high = (low + 1) % MEASURE_HOLES;
	else
		f->hole_end[low] = f->hole_end[high];
	if (before(f->hole_tick[high], f->hole_tick[low])) {
		f->hole_tick[low] = f->hole_tick[high];
		f->hole_tsval[low] = f->hole_tsval[high];
	}
	remove_hole(f, high);
}

bool holes_any(const struct flow_measure *f, enum measure_from from)
{
	for (unsigned i = 0; i < count_of(f); i++)
		if (side_of(f, i) == from)
			return true;
	return false;
}

void holes_open(struct flow_measure *f, enum measure_from from, uint32_t start, uint32_t end,
	uint32_t tick, uint32_t tsval)
{
	unsigned i;

	if (count_of(f) == MEASURE_HOLES)
		join_closest(f);
	i = count_of(f);
	f->hole_start[i] = start;
	f->hole_end[i] = end;
	f->hole_tick[i] = tick;
	f->hole_tsval[i] = (uint16_t)tsval;
	set_side(f, i, from);
	f->holes++;
}

bool holes_fill(struct flow_measure *f, enum measure_from from, uint32_t start, uint32_t end,
	uint32_t *tick, uint16_t *tsval)
{
	bool filled = false;

	for (unsigned i = count_of(f); i-- > 0;) {
		if (side_of(f, i) != from || !before(start, f->hole_end[i]) ||
			!before(f->hole_start[i], end))
			continue;
		filled = true;
		*tick = f->hole_tick[i];
		*tsval = f->hole_tsval[i];
		bool head = before(f->hole_start[i], start), tail = before(end, f->hole_end[i]);
		uint32_t hole_end = f->hole_end[i];
		if (!head && !tail) {
			remove_hole(f, i);
		} else if (!head) {
			f->hole_start[i] = end;
		} else {
			f->hole_end[i] = start;
			if (tail) {
				holes_open(f, from, end, hole_end, *tick, *tsval);
				break; /* the packet lies inside this one: in no other */
			}
		}
	}
	return filled;
}

void holes_acknowledged(struct flow_measure *f, enum measure_from from, uint32_t ack)
{
	for (unsigned i = count_of(f); i-- > 0;) {
		if (side_of(f, i) != from || !before(f->hole_start[i], ack))
			continue;
		if (before(ack, f->hole_end[i]))
			f->hole_start[i] = ack;
		else
			remove_hole(f, i);
	}
}

void holes_forget(struct flow_measure *f, enum measure_from from)
{
	for (unsigned i = count_of(f); i-- > 0;)
		if (side_of(f, i) == from)
			remove_hole(f, i);
}
