/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CoDel (RFC 8289) for one queue: asked about the packet at the head before it is sent, says
 * whether to drop it. The control law is the RFC's; a queue of one packet or of less than a
 * full-size frame is never dropped from.
 */
#ifndef SLUICE_SHAPE_CODEL_H
#define SLUICE_SHAPE_CODEL_H

#include <stdbool.h>
#include <stdint.h>

#define CODEL_TARGET_NS 5000000u
#define CODEL_INTERVAL_NS 100000000u

/* State in a queue; all zero at first. */
struct codel {
	uint64_t first_above_ns; /* when the delay will have been too long for an interval; 0: isn't
				  */
	uint64_t drop_next_ns;
	uint32_t count; /* drops since dropping began */
	uint32_t last_count;
	bool dropping;
};

/* t + interval / sqrt(count), in integers. */
static inline uint64_t codel_control_law(uint64_t t, uint64_t interval_ns, uint32_t count)
{
	uint64_t square = (uint64_t)count << 20, root = 0;

	for (uint64_t bit = 1ULL << 26; bit != 0; bit >>= 1)
		if ((root + bit) * (root + bit) <= square)
			root += bit;
	return t + (interval_ns << 10) / root;
}

/* Drop the head, which has waited sojourn_ns, of a queue of `bytes` and `packets` with it? Ask
 * again for the next head after a drop. */
static inline bool codel_drop(struct codel *c, uint64_t target_ns, uint64_t interval_ns,
	uint64_t sojourn_ns, uint32_t bytes, uint32_t packets, uint32_t frame_bytes,
	uint64_t now_ns)
{
	bool drop = false;

	if (sojourn_ns < target_ns || bytes <= frame_bytes || packets <= 1)
		c->first_above_ns = 0;
	else if (c->first_above_ns == 0)
		c->first_above_ns = now_ns + interval_ns;
	else
		drop = now_ns >= c->first_above_ns;
	if (!drop) {
		c->dropping = false;
		return false;
	}
	if (c->dropping) {
		if (now_ns < c->drop_next_ns)
			return false;
		c->count++;
		c->drop_next_ns = codel_control_law(c->drop_next_ns, interval_ns, c->count);
		return true;
	}
	/* Begin again where the last time ended, if that is not long ago. */
	uint32_t delta = c->count - c->last_count;
	c->dropping = true;
	c->count = delta > 1 && (int64_t)(now_ns - c->drop_next_ns) < 16 * (int64_t)interval_ns
			   ? delta
			   : 1;
	c->drop_next_ns = codel_control_law(now_ns, interval_ns, c->count);
	c->last_count = c->count;
	return true;
}

#endif
