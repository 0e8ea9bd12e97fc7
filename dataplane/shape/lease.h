/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One rate spent by many workers: a shared bucket (bucket.h) from which a worker takes a few
 * kilobytes at a time with one atomic add, and spends them on its own. Every byte is charged to
 * the shared bucket once, before or when it is sent, so the sum over the workers is exact whatever
 * their shares are. shaper.c uses one for the link and two for each class (rate and ceil).
 *
 * A worker that finds the bucket spent either reserves the next free piece of time and waits for it
 * (lease_ready: first come, first served), or stands back until the bucket has time left
 * (lease_polite_turn: whoever reserves goes before it). The link is reserved for assured bytes and
 * asked politely for borrowed ones: that is what makes an assured rate hold across workers.
 */
#ifndef SLUICE_SHAPE_LEASE_H
#define SLUICE_SHAPE_LEASE_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shape/bucket.h"

#define LEASE_QUANTUM_NS 10000u /* all workers' leases together: this much of the rate */
#define LEASE_QUANTUM_MAX 65536u
#define LEASE_QUANTUM_MIN 64u
#define LEASE_IDLE_NS 50000u /* unused for longer: given back */
#define LEASE_GRACE_NS 20000u
#define LEASE_WORKERS_MAX 16u
#define LEASE_PRIORITIES 8u

/* Written and read by all workers, with relaxed atomics. Fills a cache line: no false sharing. */
struct lease_shared {
	uint64_t tat;	    /* Q16 ns */
	uint64_t inv_q32;   /* ns per byte, Q32; 0: no limit */
	uint64_t burst_q16; /* Q16 ns */
	uint32_t quantum_bytes;
	uint32_t grace_ns;   /* head start of each polite worker before the next one in turn */
	uint64_t waiting[2]; /* polite workers that wait: 16 bits a priority, a bit a worker */
	uint32_t last;	     /* the polite worker that was served last */
	uint32_t workers;
} __attribute__((aligned(64)));
static_assert(sizeof(struct lease_shared) == 64, "one cache line");

/* A worker's part. credit is what it may still send, not before ready_ns. */
struct lease {
	int64_t credit; /* bytes, never below 0 between calls */
	uint64_t ready_ns;
	struct lease_shared *shared;
};

/* Set up for `workers` workers, without a limit. Before any worker uses it. */
void lease_shared_init(struct lease_shared *shared, unsigned workers);

/*
 * Put a rate in force (inv_q32 0: no limit). Any worker; all workers may call it at about the same
 * time with the same values. Time already spent is converted to the new rate, so that a bucket far
 * in debt at a slow rate is not in debt for longer at a fast one.
 */
void lease_shared_configure(
	struct lease_shared *shared, uint64_t inv_q32, uint64_t burst_q16, uint64_t now_ns);

/* Bring the TAT of a bucket that nobody uses up to date, see bucket.h. Any worker. */
void lease_shared_refresh(struct lease_shared *shared, uint64_t now_ns);

/* Take a lease of `want` bytes or the quantum if that is more, now or for later. Returns true if it
 * can be spent now, else ready_ns says when. Only with credit <= 0. */
bool lease_take(struct lease *lease, uint32_t want, uint64_t now_ns);

/* Whether a worker that would stand back may take a lease now: not while the bucket is spent or
 * another worker's turn is now; then *retry_ns is when to ask again. Worker and priority give the
 * turn, which ends with a true answer: who has waited goes on waiting, at the end of the line. */
bool lease_polite_turn(struct lease *lease, uint64_t now_ns, unsigned worker, unsigned priority,
	uint64_t *retry_ns);

/* No longer interested: let polite workers of lower turn go ahead. */
void lease_stop_waiting(struct lease *lease, unsigned worker);

/* Give all unused credit (or a reservation) back. */
void lease_return(struct lease *lease);

/* Charge what was spent beyond the credit. */
void lease_overdrawn(struct lease *lease);

/* May a packet leave now? `want`: the bytes it is likely to take. Else see ready_ns. */
static inline bool lease_ready(struct lease *lease, uint32_t want, uint64_t now_ns)
{
	if (__builtin_expect(lease->credit > 0, 1))
		return lease->ready_ns <= now_ns;
	return lease_take(lease, want, now_ns);
}

/* Spend `bytes` after lease_ready(). One packet may take more than the credit. */
static inline void lease_spend(struct lease *lease, uint32_t bytes)
{
	lease->credit -= bytes;
	if (__builtin_expect(lease->credit < 0, 0))
		lease_overdrawn(lease);
}

/* Credit (or with a negative number debit) bytes that were charged before. A reservation moves by
 * their time, as if the right number had been charged in the first place. */
void lease_correct(struct lease *lease, int64_t bytes, uint64_t now_ns);

/* The bytes that lease_take() takes at least. */
static inline uint32_t lease_quantum(const struct lease *lease)
{
	return __atomic_load_n(&lease->shared->quantum_bytes, __ATOMIC_RELAXED);
}

/* Has it been unused for so long that others should have it? */
static inline bool lease_is_old(const struct lease *lease, uint64_t now_ns)
{
	return lease->credit > 0 && lease->ready_ns + LEASE_IDLE_NS < now_ns;
}

#endif
