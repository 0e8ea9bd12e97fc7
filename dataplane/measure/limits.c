/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a transfer waits for, round trip by round trip (Zhang et al., T-RAT, 2002; Siekkinen et al.
 * 2005). Where the box stands on the path must not matter, so the data that was acknowledged in a
 * round trip is compared with the window, not what is in flight as seen from here:
 * - receiver: as much as the window that the receiver offers, less two segments; or the window was
 *   closed;
 * - network: less, and something was sent again;
 * - sender: less, and a segment that was not full passed: the sender had no more to send;
 * - network: all else, which is the congestion window.
 * Where no more than two segments are in flight, as seen from here, a look every fifteen samples
 * must do: it costs a cache line. Pauses are no part of a transfer: more than two seconds above
 * fifteen round trips.
 */
#include "dataplane/measure/tcp_private.h"

#define LIMITED_SHIFT 8 /* flow_measure.limited counts 2^8 ticks */
#define PAUSE_TICKS TICKS(2000000000ull)
#define ROUND_UNKNOWN_TICKS TICKS(1000000) /* when to look again for the round-trip time */

static enum measure_limit limit_of(const struct flow_measure *f, enum measure_from from,
	uint32_t acked, uint32_t elapsed, uint32_t rtt)
{
	uint64_t in_rtt = (uint64_t)acked * rtt / elapsed;
	uint32_t window = window_bytes(f, !from);

	if ((f->flags & F_FULL(!from)) || (window > 0 && in_rtt + 2u * f->mss >= window))
		return LIMIT_RECEIVER;
	return (f->bits[from] & (H_SHORT | H_LOSS)) == H_SHORT ? LIMIT_SENDER : LIMIT_NETWORK;
}

void measure_round(struct flow_measure *f, enum measure_from from, uint32_t flight, uint64_t now,
	struct measure_class *c)
{
	uint32_t rtt = round_trip(f), elapsed = since(now, f->round_tick);

	if (elapsed == 0)
		elapsed = 1; /* round_tick is odd, and so may be a tick late */

	/* Two segments are not worth another cache line. */
	if (flight > 2u * f->mss && flight < INT32_MAX && short_of(flight) > f->flight_max[!from])
		f->flight_max[!from] = short_of(flight);
	for (unsigned side = 0; rtt != 0 && side < 2; side++) {
		uint32_t acked = f->half[!side].ack - f->round_ack[side];

		f->round_ack[side] = f->half[!side].ack;
		if (f->round_tick != 0 && (int32_t)acked > 0) {
			enum measure_limit limit =
				limit_of(f, (enum measure_from)side, acked, elapsed, rtt);
			bool pause = elapsed > 15 * (uint64_t)rtt + PAUSE_TICKS &&
				     !(f->bits[side] & H_LOSS);
			uint32_t units = (pause ? rtt : elapsed) >> LIMITED_SHIFT;

			f->limited[side][limit] += units;
			c->limited_ns[side][limit] += (uint64_t)units
						      << (LIMITED_SHIFT + TICK_SHIFT);
		}
		f->bits[side] &= (uint8_t) ~(H_SHORT | H_LOSS);
	}
	f->round_tick = (uint32_t)now | 1; /* 0: never */
	f->round_end = (uint32_t)now + (rtt != 0 ? rtt : ROUND_UNKNOWN_TICKS);
}
