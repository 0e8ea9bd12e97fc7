/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One clock for the whole data plane: nanoseconds of CLOCK_MONOTONIC, computed from the TSC without
 * a system call. All modules count in these nanoseconds, so rates and times stay right when the
 * TSC's own frequency was measured a little wrong: the control thread re-checks it every second.
 */
#ifndef SLUICE_CLOCK_H
#define SLUICE_CLOCK_H

#include <stdint.h>

#include <rte_cycles.h>

/* ns = base_ns + (tsc - base_tsc) * mult >> 32. Immutable once published. */
struct clock_rate {
	uint64_t base_tsc;
	uint64_t base_ns;
	uint64_t mult; /* ns per cycle, Q32 */
};

/* The rate in force. control thread: replaces the pointer. workers: read it once per round. */
extern const struct clock_rate *clock_current;

static inline uint64_t clock_ns_of(const struct clock_rate *c, uint64_t tsc)
{
	/* Signed: a reader's TSC may lie a little before the base of a rate just published. */
	return c->base_ns +
	       (uint64_t)(((__int128)(int64_t)(tsc - c->base_tsc) * (int64_t)c->mult) >> 32);
}

/* The time now, in ns. Any thread. */
static inline uint64_t clock_now_ns(void)
{
	return clock_ns_of(__atomic_load_n(&clock_current, __ATOMIC_ACQUIRE), rte_rdtsc());
}

/* Measure the TSC against CLOCK_MONOTONIC (takes 50 ms). Once, before any other call. */
void clock_start(void);

/* Re-check against CLOCK_MONOTONIC and slew: time never steps and never goes back, an offset is
 * worked off at 500 ppm at most. Control thread only, about once a second. */
void clock_discipline(void);

/* The slew in force, in parts per 10^9 of the measured frequency. Control thread only. */
int64_t clock_slew_ppb(void);

#endif
