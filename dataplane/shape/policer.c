/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Colours, see policer.h. A bucket is a TAT (bucket.h) that is never ahead of now: now - tat is the
 * time for which tokens are there, at most the burst; a packet conforms if its own time is no more
 * than that. Tokens that a full bucket can't hold are gone, except in srTCM:
 *
 * RFC 2697 fills its second bucket E with what overflows the first one, C. Tokens arrive in C only
 * as time passes, so what overflows is how far C's TAT has fallen behind now - burst when somebody
 * looks, and looking late changes nothing: until then nobody took tokens from C, and all that time
 * C fills first and E next. Hence E is no TAT but an amount: the time (at CIR) whose tokens it
 * holds. Whoever moves C's TAT forward to now - burst does so by compare-and-swap and adds exactly
 * the distance to E, up to its burst: each piece of time is moved by one successful swap, so it
 * becomes tokens of C or of E once, whatever the number of workers. A worker that is stopped
 * between the two holds back an overflow, it can't double it. Tokens given back to C move its TAT
 * backwards: if it had filled up meanwhile, the same amount overflows to E as would have done if
 * they had never been taken.
 *
 * One worker alone needs no atomic operations and takes nothing in advance.
 */
#include "dataplane/shape/policer.h"

#include <string.h>

#include "controlplane/policy/policy.h"
#include "dataplane/shape/bucket.h"
#include "dataplane/shape/lease.h"

#define C POLICER_COMMITTED
#define E POLICER_EXCESS

#define BURST_MAX ((uint64_t)1 << 61) /* 9.8 hours in Q16 ns */
/* A TAT further ahead of now than other workers' clocks can be (37 minutes) has wrapped. */
#define AHEAD_MAX ((int64_t)1 << 57)
/* Each failed swap is another worker's success, and there are 16: who has lost as often as this
 * gets no tokens, which errs on the side of the contract. */
#define TRIES 64

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define STORE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELAXED)

/* Time of `bytes` in Q16 ns, rounded down: so any number of packets that conform together conform
 * one by one, and traffic at exactly the rate in bursts of exactly the burst loses nothing. */
static inline uint64_t cost_of(uint64_t inv_q32, uint64_t bytes)
{
	return (uint64_t)((unsigned __int128)bytes * inv_q32 >> 16);
}

/* ns per byte in Q32, likewise. A rate of 0 has no tokens either (put()), so anything will do. */
static uint64_t inverse_of(uint64_t rate_bps)
{
	if (rate_bps < BUCKET_RATE_MIN_BPS)
		rate_bps = BUCKET_RATE_MIN_BPS;
	return (uint64_t)(((unsigned __int128)8000000000u << 32) / rate_bps);
}

/* Replace the word of a bucket, unless another worker has changed it. */
static inline bool replace(struct policer_shared *s, unsigned i, uint64_t before, uint64_t after)
{
	if (s->workers == 1) {
		STORE(s->tat[i], after);
		return true;
	}
	return __atomic_compare_exchange_n(
		&s->tat[i], &before, after, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* srTCM: what E holds. Anything out of range was written by a worker of another mode. */
static inline uint64_t excess_of(uint64_t word, uint64_t burst)
{
	return word < burst ? word : burst;
}

/* srTCM: let E have the tokens of `time`. */
static void excess_add(struct policer_shared *s, uint64_t time)
{
	uint64_t burst = LOAD(s->burst_q16[E]);

	for (unsigned i = 0; i < TRIES; i++) {
		uint64_t word = LOAD(s->tat[E]), held = excess_of(word, burst);
		uint64_t after = time < burst - held ? held + time : burst;

		if (after == word || replace(s, E, word, after))
			return;
	}
}

/*
 * Tokens for `need` bytes, or for the quantum if that is more and there are as many, out of a
 * bucket that fills with time. Returns the number of bytes, 0 if it does not hold enough. need may
 * be 0: then it is brought up to date only.
 */
static inline uint32_t take(struct policer_shared *s, unsigned i, uint32_t need, uint64_t now)
{
	uint64_t inv = LOAD(s->inv_q32[i]), burst = LOAD(s->burst_q16[i]);
	uint32_t quantum = need != 0 ? LOAD(s->quantum_bytes[i]) : 0;

	for (unsigned try = 0; try < TRIES; try++) {
		uint64_t tat = LOAD(s->tat[i]), base = tat, overflow = 0;
		int64_t held = (int64_t)(now - tat);
		uint32_t bytes = need > quantum ? need : quantum;
		uint64_t cost = cost_of(inv, bytes);

		if (held > (int64_t)burst || held < -AHEAD_MAX) {
			overflow = held > 0 ? (uint64_t)held - burst : BURST_MAX;
			base = now - burst;
			held = (int64_t)burst;
		}
		if (bytes != need && held < (int64_t)cost) {
			bytes = need;
			cost = cost_of(inv, bytes);
		}
		if (held < (int64_t)cost) {
			if (overflow == 0)
				return 0;
			bytes = 0;
			cost = 0;
		}
		if (base + cost != tat && !replace(s, i, tat, base + cost))
			continue;
		if (overflow != 0 && i == C && LOAD(s->mode) == POLICE_SRTCM)
			excess_add(s, overflow);
		return bytes;
	}
	return 0;
}

/* The same out of srTCM's E. */
static uint32_t take_excess(struct policer_shared *s, uint32_t need, uint64_t now)
{
	uint64_t inv = LOAD(s->inv_q32[E]), burst = LOAD(s->burst_q16[E]);
	uint32_t quantum = LOAD(s->quantum_bytes[E]);

	take(s, C, 0, now);
	for (unsigned try = 0; try < TRIES; try++) {
		uint64_t word = LOAD(s->tat[E]), held = excess_of(word, burst);
		uint32_t bytes = need > quantum ? need : quantum;
		uint64_t cost = cost_of(inv, bytes);

		if (bytes != need && held < cost) {
			bytes = need;
			cost = cost_of(inv, bytes);
		}
		if (held < cost)
			return 0;
		if (replace(s, E, word, held - cost))
			return bytes;
	}
	return 0;
}

/* Take `bytes` out of the worker's credit, or what it lacks out of the shared bucket. */
static inline bool credit_has(struct policer *p, unsigned i, uint32_t bytes, uint64_t now_ns)
{
	struct policer_shared *s = p->shared;
	uint64_t now = bucket_q16(now_ns);
	uint32_t taken, need;

	if (p->credit[i] >= bytes)
		return true;
	need = bytes - p->credit[i];
	if (i == E && p->mode == POLICE_SRTCM)
		taken = take_excess(s, need, now);
	else
		taken = take(s, i, need, now);
	if (taken == 0)
		return false;
	p->credit[i] += taken;
	p->taken = (uint32_t)(now_ns >> 10);
	return true;
}

enum colour policer_colour(struct policer *p, uint32_t bytes, enum colour before, uint64_t now_ns)
{
	/* Not for every packet, as the line may be another worker's. */
	if (p->credit[C] < bytes) {
		p->mode = LOAD(p->shared->mode);
		p->colour_aware = LOAD(p->shared->colour_aware);
	}
	if (!p->colour_aware)
		before = COLOUR_GREEN;
	if (p->mode == POLICE_NONE)
		return COLOUR_GREEN;
	if (p->mode == POLICE_TRTCM) {
		if (before == COLOUR_RED || !credit_has(p, E, bytes, now_ns))
			return COLOUR_RED;
		p->credit[E] -= bytes;
		if (before == COLOUR_YELLOW || !credit_has(p, C, bytes, now_ns))
			return COLOUR_YELLOW;
		p->credit[C] -= bytes;
		return COLOUR_GREEN;
	}
	if (before == COLOUR_GREEN && credit_has(p, C, bytes, now_ns)) {
		p->credit[C] -= bytes;
		return COLOUR_GREEN;
	}
	if (before != COLOUR_RED && credit_has(p, E, bytes, now_ns)) {
		p->credit[E] -= bytes;
		return COLOUR_YELLOW;
	}
	return COLOUR_RED;
}

void policer_return(struct policer *p)
{
	struct policer_shared *s = p->shared;

	for (unsigned i = 0; i < POLICER_BUCKETS; i++) {
		uint64_t time;

		if (p->credit[i] == 0)
			continue;
		time = cost_of(LOAD(s->inv_q32[i]), p->credit[i]);
		if (i == E && LOAD(s->mode) == POLICE_SRTCM)
			excess_add(s, time);
		else
			__atomic_fetch_sub(&s->tat[i], time, __ATOMIC_RELAXED);
		p->credit[i] = 0;
	}
}

void policer_refresh(struct policer_shared *shared, uint64_t now_ns)
{
	uint64_t now = bucket_q16(now_ns);

	take(shared, C, 0, now);
	if (LOAD(shared->mode) != POLICE_SRTCM)
		take(shared, E, 0, now);
}

static uint64_t burst_of(uint64_t inv_q32, uint64_t bytes)
{
	unsigned __int128 time = (unsigned __int128)bytes * inv_q32 >> 16;

	return time < BURST_MAX ? (uint64_t)time : BURST_MAX;
}

/* All leases together are at most LEASE_QUANTUM_NS of the rate, and half of the burst. */
static uint32_t quantum_of(uint64_t inv_q32, uint64_t burst_bytes, unsigned workers)
{
	uint64_t quantum = (((uint64_t)LEASE_QUANTUM_NS << 32) / inv_q32) / workers;

	if (workers == 1)
		return 0;
	if (quantum > LEASE_QUANTUM_MAX)
		quantum = LEASE_QUANTUM_MAX;
	if (quantum > burst_bytes / (2 * workers))
		quantum = burst_bytes / (2 * workers);
	return (uint32_t)quantum;
}

static void put(struct policer_shared *s, const struct policer_config *config)
{
	bool single = config->mode == POLICE_SRTCM;
	uint64_t rate[] = {config->cir_bps, single ? config->cir_bps : config->eir_bps};
	uint64_t bytes[] = {config->cbs_bytes, config->ebs_bytes};

	for (unsigned i = 0; i < POLICER_BUCKETS; i++) {
		uint64_t inv = inverse_of(rate[i]);

		if (rate[i] == 0)
			bytes[i] = 0;
		STORE(s->inv_q32[i], inv);
		STORE(s->burst_q16[i], burst_of(inv, bytes[i]));
		STORE(s->quantum_bytes[i], quantum_of(inv, bytes[i], s->workers));
	}
	STORE(s->mode, config->mode);
	STORE(s->colour_aware, config->colour_aware);
}

/* The time whose tokens a bucket holds. */
static uint64_t held_by(struct policer_shared *s, unsigned i, uint8_t mode, uint64_t now)
{
	uint64_t word = LOAD(s->tat[i]);

	if (i == E && mode == POLICE_SRTCM)
		return word;
	return (int64_t)(now - word) < 0 ? 0 : now - word;
}

/* As full of the new burst as it was of the one before. */
static void refill(struct policer_shared *s, unsigned i, uint64_t held, uint64_t burst_before,
	uint8_t mode, uint64_t now)
{
	uint64_t burst = LOAD(s->burst_q16[i]);

	if (held >= burst_before)
		held = burst;
	else
		held = (uint64_t)((unsigned __int128)held * burst / burst_before);
	STORE(s->tat[i], i == E && mode == POLICE_SRTCM ? held : now - held);
}

void policer_shared_init(struct policer_shared *shared, const struct policer_config *config,
	unsigned workers, uint64_t now_ns)
{
	memset(shared, 0, sizeof(*shared));
	shared->workers = (uint8_t)workers;
	put(shared, config);
	for (unsigned i = 0; i < POLICER_BUCKETS; i++)
		refill(shared, i, 0, 0, config->mode, bucket_q16(now_ns));
}

void policer_shared_configure(
	struct policer_shared *shared, const struct policer_config *config, uint64_t now_ns)
{
	uint64_t now = bucket_q16(now_ns), held[POLICER_BUCKETS], burst[POLICER_BUCKETS];
	uint8_t mode;

	/* Whoever is at it already puts the same values. */
	if (__atomic_exchange_n(&shared->changing, 1, __ATOMIC_ACQUIRE) != 0)
		return;
	policer_refresh(shared, now_ns);
	mode = LOAD(shared->mode);
	for (unsigned i = 0; i < POLICER_BUCKETS; i++) {
		held[i] = held_by(shared, i, mode, now);
		burst[i] = LOAD(shared->burst_q16[i]);
	}
	put(shared, config);
	for (unsigned i = 0; i < POLICER_BUCKETS; i++)
		if (LOAD(shared->burst_q16[i]) != burst[i] || config->mode != mode)
			refill(shared, i, held[i], burst[i], config->mode, now);
	__atomic_store_n(&shared->changing, 0, __ATOMIC_RELEASE);
}
