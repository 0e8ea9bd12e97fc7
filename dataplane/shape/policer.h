/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Three-colour policers in virtual time (bucket.h): RFC 2697, RFC 2698 and RFC 4115, colour-blind
 * and colour-aware, with one pair of rates spent by all workers together. shaper.c asks before it
 * queues a packet; what becomes of a colour (drop, DSCP) is its business, see packet/edit.h.
 *
 * A policer never lets a packet wait, so it never reserves time to come, as leases (lease.h) do: a
 * packet conforms only if the tokens for all of its bytes are there. With one worker the answer is
 * that of the RFC's algorithm in real numbers. Several workers take pieces out of the shared
 * buckets, up to a quantum more than they need, and give back what is old: besides CIR * T + CBS,
 * at most a quantum a worker passes, and every byte is paid for once.
 *
 * Memory: a class that polices needs one struct policer_shared for all workers, cache-aligned
 * zeroed memory from the control thread that need never be freed before the shaper, and each worker
 * one struct policer in its class. A struct policer of zeros does not police.
 */
#ifndef SLUICE_SHAPE_POLICER_H
#define SLUICE_SHAPE_POLICER_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

enum colour { COLOUR_GREEN, COLOUR_YELLOW, COLOUR_RED };

/*
 * What a class polices. Plain numbers without padding: compare by memcmp(). Rates from 1 kbit/s to
 * 1 Tbit/s are held exactly, smaller ones are raised to 1 kbit/s; a rate of 0 lets nothing pass in
 * its colour, nor does a burst that is smaller than the packet. Bursts of more than 9 hours of
 * their rate are cut there.
 */
struct policer_config {
	uint8_t mode; /* enum policy_police of controlplane/policy/policy.h */
	bool colour_aware;
	uint8_t action[3]; /* by colour: POLICE_PASS, POLICE_DROP or a DSCP 0..63 */
	uint8_t zero[3];
	uint64_t cir_bps, cbs_bytes;
	uint64_t eir_bps;   /* RFC 2698: PIR; RFC 4115: EIR; RFC 2697: unused */
	uint64_t ebs_bytes; /* RFC 2697: EBS; RFC 2698: PBS; RFC 4115: EBS */
};
static_assert(sizeof(struct policer_config) == 40, "no padding");

/* The two buckets of a policer */
enum { POLICER_COMMITTED, POLICER_EXCESS, POLICER_BUCKETS };

/* Written and read by all workers, with relaxed atomics. Fills a cache line: no false sharing. */
struct policer_shared {
	uint64_t tat[POLICER_BUCKETS]; /* Q16 ns; but see tat[POLICER_EXCESS] of srTCM in .c */
	uint64_t inv_q32[POLICER_BUCKETS];
	uint64_t burst_q16[POLICER_BUCKETS];
	uint32_t quantum_bytes[POLICER_BUCKETS]; /* taken at once; 0: only what is needed */
	uint8_t mode;
	bool colour_aware;
	uint8_t workers;
	uint8_t changing; /* somebody is in policer_shared_configure() */
	uint32_t unused;
} __attribute__((aligned(64)));
static_assert(sizeof(struct policer_shared) == 64, "one cache line");

/* A worker's part: written and read by that worker alone. Begins as {.shared = ...}. */
struct policer {
	struct policer_shared *shared;	  /* NULL: does not police */
	uint32_t credit[POLICER_BUCKETS]; /* bytes that were taken and not used yet */
	uint32_t taken;			  /* when, now_ns >> 10 */
	uint8_t mode;			  /* as last seen in *shared */
	bool colour_aware;
};

/* Set up for 1..16 workers, with full buckets. Before any worker uses it. */
void policer_shared_init(struct policer_shared *shared, const struct policer_config *config,
	unsigned workers, uint64_t now_ns);

/*
 * Put other rates, bursts or another mode in force. Any worker that uses it; all may call it at
 * about the same time with the same values. A bucket stays as full as it was, as a share of its
 * burst. What a packet that is judged at the same moment may gain is a burst, once.
 */
void policer_shared_configure(
	struct policer_shared *shared, const struct policer_config *config, uint64_t now_ns);

/*
 * Bring a policer that nobody uses up to date: its times wrap (bucket.h), so every one must be
 * asked or refreshed once a day. Any worker that uses it.
 */
void policer_refresh(struct policer_shared *shared, uint64_t now_ns);

/*
 * The colour of a packet of `bytes`, which is charged accordingly. `before` is the colour that it
 * came with; without colour_aware it is ignored. p->shared is set. now_ns may lag behind that of
 * other workers. Owning worker.
 */
enum colour policer_colour(struct policer *p, uint32_t bytes, enum colour before, uint64_t now_ns);

/* Give all unused credit back to the other workers. Owning worker; before p->shared changes. */
void policer_return(struct policer *p);

/* Is there credit that is so old that others should have it? */
static inline bool policer_is_old(const struct policer *p, uint64_t now_ns)
{
	return (p->credit[0] | p->credit[1]) != 0 && (uint32_t)(now_ns >> 10) - p->taken > 48;
}

/* Give credit back once it is about LEASE_IDLE_NS old. Owning worker, every round of its loop while
 * policer_holds(). */
static inline void policer_tend(struct policer *p, uint64_t now_ns)
{
	if (policer_is_old(p, now_ns))
		policer_return(p);
}

/* Is there credit that has to be given back some day? Never with one worker. */
static inline bool policer_holds(const struct policer *p)
{
	return (p->credit[0] | p->credit[1]) != 0;
}

/* The colour that a DSCP stands for: AFx1 green, AFx2 yellow, AFx3 red (RFC 2597, section 6: drop
 * precedence low, medium, high); all others are green. */
static inline enum colour policer_colour_of_dscp(uint8_t dscp)
{
	unsigned class = dscp >> 3, precedence = dscp & 7;

	if (class < 1 || class > 4)
		return COLOUR_GREEN;
	return precedence == 4 ? COLOUR_YELLOW : precedence == 6 ? COLOUR_RED : COLOUR_GREEN;
}

#endif
