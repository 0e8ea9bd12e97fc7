/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CoDel (RFC 8289) for one queue: asked about the packet at the head before it is sent, says
 * whether to signal congestion with it. The control law and its states are the RFC's. The caller
 * chooses the signal: a packet that it marks is sent, without a second question.
 */
#ifndef SLUICE_SHAPE_CODEL_H
#define SLUICE_SHAPE_CODEL_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#define CODEL_TARGET_NS 5000000u
#define CODEL_INTERVAL_NS 100000000u

/* State in a queue; all zero at first. */
struct codel {
	uint64_t first_above_ns; /* when the delay will have been too long for an interval; 0: it
				  * isn't too long */
	uint64_t drop_next_ns;
	uint32_t count; /* signals since dropping began */
	uint32_t last_count;
	bool dropping;
	bool signalled; /* the packet before, while dropping: drop_next_ns is still that one's */
};
static_assert(sizeof(struct codel) <= 40, "shares a cache line in the queue");

/* t + interval / sqrt(count), in integers. */
static inline uint64_t codel_control_law(uint64_t t, uint64_t interval_ns, uint32_t count)
{
	uint64_t square = (uint64_t)count << 32, root = 0;

	for (uint64_t bit = 1ULL << 31; bit != 0; bit >>= 1)
		if ((root + bit) * (root + bit) <= square)
			root += bit;
	return t + (interval_ns << 16) / root;
}

/* RFC 8289's ok_to_drop: has the delay been too long for an interval? */
static inline bool codel_ok_to_drop(struct codel *c, uint64_t target_ns, uint64_t interval_ns,
	uint64_t sojourn_ns, bool small, uint64_t now_ns)
{
	if (sojourn_ns < target_ns || small) {
		c->first_above_ns = 0;
		return false;
	}
	if (c->first_above_ns == 0) {
		c->first_above_ns = now_ns + interval_ns;
		return false;
	}
	return now_ns >= c->first_above_ns;
}

/*
 * Signal with the head, which has waited sojourn_ns? It is one of `packets`, and `bytes` wait
 * behind it: no more than a full-size frame (frame_bytes) are left alone. Ask about every packet
 * before it is sent. If true and it is dropped, ask again at the same now_ns about the next one; if
 * it is marked, send it.
 */
static inline bool codel_drop(struct codel *c, uint64_t target_ns, uint64_t interval_ns,
	uint64_t sojourn_ns, uint32_t bytes, uint32_t packets, uint32_t frame_bytes,
	uint64_t now_ns)
{
	if (!codel_ok_to_drop(c, target_ns, interval_ns, sojourn_ns,
		    bytes <= frame_bytes || packets <= 1, now_ns)) {
		c->dropping = c->signalled = false;
		return false;
	}
	if (c->dropping) {
		if (c->signalled) {
			c->drop_next_ns = codel_control_law(c->drop_next_ns, interval_ns, c->count);
			c->signalled = false;
		}
		if (now_ns < c->drop_next_ns)
			return false;
		c->count++;
		c->signalled = true;
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
