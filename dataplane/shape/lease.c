/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shared side of leases (lease.h): taking, giving back, turns of polite workers, new rates.
 * Everything is wait-free: no loop, no lock, and a worker that stops anywhere harms no other by
 * more than the lease it holds.
 */
#include "dataplane/shape/lease.h"

#include <string.h>

/*
 * A TAT further ahead than this (37 minutes) is not debt, it is an old one that has wrapped or was
 * never set: the largest real debt is 16 workers' largest packets at 1 kbit/s.
 */
#define LEASE_AHEAD_MAX ((int64_t)1 << 57)

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define STORE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELAXED)
#define ADD(x, v) __atomic_fetch_add(&(x), (v), __ATOMIC_RELAXED)

void lease_shared_init(struct lease_shared *shared, unsigned workers)
{
	memset(shared, 0, sizeof(*shared));
	shared->workers = workers;
	shared->quantum_bytes = LEASE_QUANTUM_MAX;
}

void lease_shared_configure(
	struct lease_shared *shared, uint64_t inv_q32, uint64_t burst_q16, uint64_t now_ns)
{
	uint64_t old_inv = LOAD(shared->inv_q32);
	uint64_t quantum = LEASE_QUANTUM_MAX, grace;

	if (inv_q32 != 0)
		quantum = (((uint64_t)LEASE_QUANTUM_NS << 32) / inv_q32) / shared->workers;
	if (quantum > LEASE_QUANTUM_MAX)
		quantum = LEASE_QUANTUM_MAX;
	if (quantum < LEASE_QUANTUM_MIN)
		quantum = LEASE_QUANTUM_MIN;
	/* Standing back must not cost more time than the burst keeps. */
	grace = (burst_q16 >> 16) / (2 * shared->workers);
	if (grace > LEASE_GRACE_NS)
		grace = LEASE_GRACE_NS;
	STORE(shared->quantum_bytes, (uint32_t)quantum);
	STORE(shared->grace_ns, (uint32_t)grace);
	STORE(shared->burst_q16, burst_q16);
	/* The first worker to come here converts, the others find the new rate. */
	if (old_inv == inv_q32 || !__atomic_compare_exchange_n(&shared->inv_q32, &old_inv, inv_q32,
					  false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return;
	uint64_t now = bucket_q16(now_ns);
	if (old_inv == 0 || inv_q32 == 0) {
		STORE(shared->tat, now - burst_q16);
		return;
	}
	int64_t ahead = bucket_ahead(LOAD(shared->tat), now);
	if (ahead <= 0 || ahead > LEASE_AHEAD_MAX)
		return;
	uint64_t then = (uint64_t)((unsigned __int128)(uint64_t)ahead * inv_q32 / old_inv);
	ADD(shared->tat, then - (uint64_t)ahead);
}

/* Idle time counts up to the burst only. If another worker is faster, it has done the same. */
static int64_t lease_clamp(struct lease_shared *shared, uint64_t now)
{
	uint64_t tat = LOAD(shared->tat);
	int64_t ahead = bucket_ahead(tat, now);
	uint64_t burst = LOAD(shared->burst_q16);

	if (ahead >= -(int64_t)burst && ahead <= LEASE_AHEAD_MAX)
		return ahead;
	__atomic_compare_exchange_n(
		&shared->tat, &tat, now - burst, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	return bucket_ahead(LOAD(shared->tat), now);
}

void lease_shared_refresh(struct lease_shared *shared, uint64_t now_ns)
{
	if (LOAD(shared->inv_q32) != 0)
		lease_clamp(shared, bucket_q16(now_ns));
}

static bool lease_add(struct lease *lease, uint32_t want, uint64_t now_ns)
{
	struct lease_shared *shared = lease->shared;
	uint32_t quantum = LOAD(shared->quantum_bytes);
	uint32_t bytes = want > quantum ? want : quantum;
	uint64_t tat = ADD(shared->tat, bucket_cost(LOAD(shared->inv_q32), bytes));

	lease->credit += bytes;
	lease->ready_ns = bucket_ready_ns(tat, now_ns);
	return lease->ready_ns == now_ns;
}

bool lease_take(struct lease *lease, uint32_t want, uint64_t now_ns)
{
	lease_clamp(lease->shared, bucket_q16(now_ns));
	return lease_add(lease, want, now_ns);
}

static void waiting_set(struct lease_shared *shared, unsigned worker, unsigned priority)
{
	uint64_t bit = 1ULL << ((priority & 3) * 16 + worker);
	uint64_t *word = &shared->waiting[priority >> 2];

	if (!(LOAD(*word) & bit))
		__atomic_fetch_or(word, bit, __ATOMIC_RELAXED);
}

void lease_stop_waiting(struct lease *lease, unsigned worker)
{
	uint64_t mine = 0x0001000100010001ULL << worker;

	for (unsigned i = 0; i < 2; i++)
		if (LOAD(lease->shared->waiting[i]) & mine)
			__atomic_fetch_and(&lease->shared->waiting[i], ~mine, __ATOMIC_RELAXED);
}

/* Number of waiting workers whose turn comes before ours: higher priorities first, then round
 * robin from the one served last. */
static unsigned lease_rank(struct lease_shared *shared, unsigned worker, unsigned priority)
{
	uint64_t mine = 0x0001000100010001ULL << worker;
	uint64_t lo = LOAD(shared->waiting[0]) & ~mine, hi = LOAD(shared->waiting[1]) & ~mine;
	unsigned last = LOAD(shared->last) & 15, shift = (priority & 3) * 16;
	uint64_t word = priority < 4 ? lo : hi;
	unsigned rank = __builtin_popcountll(word & ((1ULL << shift) - 1));

	if (priority >= 4)
		rank += __builtin_popcountll(lo);
	/* Rotate so that bit 0 is the one after `last`: those below our own bit go first. */
	uint32_t same = (word >> shift) & 0xffff;
	uint32_t turn = ((same | same << 16) >> (last + 1)) & 0xffff;
	unsigned own = (worker - last - 1) & 15;
	return rank + __builtin_popcount(turn & ((1u << own) - 1));
}

bool lease_polite_turn(struct lease *lease, uint64_t now_ns, unsigned worker, unsigned priority,
	uint64_t *retry_ns)
{
	struct lease_shared *shared = lease->shared;
	uint64_t now = bucket_q16(now_ns), head_start;
	int64_t ahead = lease_clamp(shared, now);

	if (shared->workers == 1) {
		if (ahead <= 0)
			return true;
		*retry_ns = bucket_ready_ns(now + (uint64_t)ahead, now_ns);
		return false;
	}
	head_start =
		bucket_q16((uint64_t)LOAD(shared->grace_ns) * lease_rank(shared, worker, priority));
	if (ahead + (int64_t)head_start > 0) {
		*retry_ns = bucket_ready_ns(now + (uint64_t)ahead + head_start, now_ns);
		waiting_set(shared, worker, priority);
		return false;
	}
	STORE(shared->last, worker);
	return true;
}

void lease_return(struct lease *lease)
{
	if (lease->credit > 0)
		ADD(lease->shared->tat,
			-bucket_cost(LOAD(lease->shared->inv_q32), (uint64_t)lease->credit));
	lease->credit = 0;
}

void lease_overdrawn(struct lease *lease)
{
	ADD(lease->shared->tat,
		bucket_cost(LOAD(lease->shared->inv_q32), (uint64_t)-lease->credit));
	lease->credit = 0;
}

void lease_correct(struct lease *lease, int64_t bytes, uint64_t now_ns)
{
	uint64_t inv = LOAD(lease->shared->inv_q32), cost;

	if (lease->credit > 0 && lease->ready_ns <= now_ns) {
		lease->credit += bytes;
		if (lease->credit < 0)
			lease_overdrawn(lease);
		return;
	}
	if (bytes < 0) {
		cost = bucket_cost(inv, (uint64_t)-bytes);
		ADD(lease->shared->tat, cost);
		if (lease->credit > 0)
			lease->ready_ns += cost >> 16;
		return;
	}
	cost = bucket_cost(inv, (uint64_t)bytes);
	ADD(lease->shared->tat, -cost);
	if (lease->credit > 0)
		lease->ready_ns -= cost >> 16 < lease->ready_ns - now_ns ? cost >> 16
									 : lease->ready_ns - now_ns;
}
