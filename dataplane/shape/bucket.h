/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Token buckets in virtual time (GCRA, ITU-T I.371 annex A): the whole state is the theoretical
 * arrival time (TAT), the moment up to which the rate has been spent. A packet may leave when
 * max(tat, now - burst) <= now, and then moves the TAT on by its own time at the rate. No tick, no
 * division, and no drift: what is charged is charged exactly, however late the caller looks.
 *
 * A TAT is in Q16 ns (1/65536 ns) and wraps after 78 hours: compare by signed difference only, and
 * don't let one stand for more than a few hours without being brought up to date.
 */
#ifndef SLUICE_SHAPE_BUCKET_H
#define SLUICE_SHAPE_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#define BUCKET_RATE_MIN_BPS 1000u
#define BUCKET_BURST_MIN_NS 10000u /* absorbs the distance between two polls */
#define BUCKET_FRAME_BYTES 1538u   /* a full-size Ethernet frame with everything around it */
#define BUCKET_PACKET_MAX_BYTES 16384u

struct bucket_rate {
	uint64_t inv_q32;   /* ns per byte, Q32; 0: no limit */
	uint64_t burst_q16; /* ns, Q16 */
};

static inline uint64_t bucket_q16(uint64_t now_ns)
{
	return now_ns << 16;
}

/* Time of `bytes` at a rate, in Q16 ns, rounded to nearest. */
static inline uint64_t bucket_cost(uint64_t inv_q32, uint64_t bytes)
{
	return (uint64_t)(((unsigned __int128)bytes * inv_q32 + (1u << 15)) >> 16);
}

/* Reciprocal of a rate in bit/s: ns per byte, Q32, rounded to nearest. 0 for 0 (no limit). */
static inline uint64_t bucket_inverse(uint64_t rate_bps)
{
	if (rate_bps == 0)
		return 0;
	if (rate_bps < BUCKET_RATE_MIN_BPS)
		rate_bps = BUCKET_RATE_MIN_BPS;
	return (uint64_t)((((unsigned __int128)8000000000u << 32) + rate_bps / 2) / rate_bps);
}

/* The rate back from its reciprocal, to within rounding; 0 for 0. */
static inline uint64_t bucket_rate_bps(uint64_t inv_q32)
{
	if (inv_q32 == 0)
		return 0;
	return (uint64_t)((((unsigned __int128)8000000000u << 32) + inv_q32 / 2) / inv_q32);
}

static inline uint64_t bucket_burst_ns(uint64_t burst_ns)
{
	return bucket_q16(burst_ns < BUCKET_BURST_MIN_NS ? BUCKET_BURST_MIN_NS : burst_ns);
}

/* Rate in bit/s and burst in bytes, or if that is 0 as time (both 0: two frames). Not for the
 * packet path: it divides. */
static inline struct bucket_rate bucket_rate_of(
	uint64_t rate_bps, uint32_t burst_bytes, uint32_t burst_ns)
{
	struct bucket_rate r = {.inv_q32 = bucket_inverse(rate_bps)};
	uint64_t burst = bucket_cost(r.inv_q32, burst_bytes ? burst_bytes : 2 * BUCKET_FRAME_BYTES);
	if (burst_bytes == 0 && burst_ns != 0)
		burst = bucket_q16(burst_ns);
	uint64_t least = bucket_q16(BUCKET_BURST_MIN_NS);
	r.burst_q16 = burst < least ? least : burst;
	return r;
}

/* How far the TAT is ahead of now: a packet may leave when this is <= 0. */
static inline int64_t bucket_ahead(uint64_t tat, uint64_t now_q16)
{
	return (int64_t)(tat - now_q16);
}

/* The TAT after a packet of `bytes` has left now: idle time counts up to the burst. */
static inline uint64_t bucket_charge(
	uint64_t tat, const struct bucket_rate *rate, uint32_t bytes, uint64_t now_q16)
{
	uint64_t floor = now_q16 - rate->burst_q16;

	if ((int64_t)(tat - floor) < 0)
		tat = floor;
	return tat + bucket_cost(rate->inv_q32, bytes);
}

/* When a TAT that is ahead of now will allow a packet, in ns, rounded up. */
static inline uint64_t bucket_ready_ns(uint64_t tat, uint64_t now_ns)
{
	int64_t ahead = bucket_ahead(tat, bucket_q16(now_ns));

	return ahead <= 0 ? now_ns : now_ns + (((uint64_t)ahead + 65535) >> 16);
}

#endif
