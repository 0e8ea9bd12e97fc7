/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Buckets that hosts or networks have of their own (policy option `per`): one table for each bridge
 * and way, shared by all workers, as the flows of one host meet many of them. shaper.c keeps the
 * place of its host's bucket in every flow record, and looks here again only when that was lost.
 *
 * The number of entries is fixed. A key has its place in a window of HOSTS_WINDOW entries; where
 * that is full, a bucket that is full again gives way, as nothing is lost by forgetting it, else
 * the one that was used least lately: the table never refuses. With twice as many entries as hosts
 * that are busy at a time hardly any bucket is forgotten in use.
 *
 * A bucket is a TAT (bucket.h) that all workers add to: every byte is charged once, so the rate is
 * exact in the long run for any number of workers; as asking and charging are two steps, each
 * worker may send one packet more than the burst allows. When a bucket gives way while another
 * worker is just about to charge it, that one packet is charged to the newcomer.
 */
#ifndef SLUICE_SHAPE_HOSTS_H
#define SLUICE_SHAPE_HOSTS_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dataplane/shape/bucket.h"
#include "dataplane/shape/lease.h"

#define HOSTS_WINDOW 16u /* more than one for each of the workers: somebody can always insert */
#define HOST_OLD 512	 /* in units of 2^32 ns: 36 minutes */
#define HOSTS_MIN HOSTS_WINDOW
#define HOSTS_MAX (1u << 22)

/* Whose bucket. Compared and hashed as three words: no padding. */
struct host_key {
	uint8_t address[16]; /* masked; IPv4 as ::ffff:a.b.c.d */
	uint32_t class_id;
	uint8_t family; /* 4 or 6 */
	uint8_t per;	/* which end of the flows the address is; see enum policy_per */
	uint8_t bits;	/* length of the prefix, 0: the whole address */
	uint8_t zero;
};
static_assert(sizeof(struct host_key) == 24, "three words");

/* Written and read by all workers, with atomics. One cache line: no false sharing. */
struct host {
	uint32_t state; /* HOST_...; a generation above it. 0: was never used */
	uint32_t stamp; /* now_ns >> 32 of the last use: tells an old tat from a wrapped one */
	uint64_t tat;	/* Q16 ns */
	uint64_t key[3];
	uint64_t unused[3];
} __attribute__((aligned(64)));
static_assert(sizeof(struct host) == 64, "one cache line");

struct hosts {
	struct host *entries; /* [0] is not used */
	uint32_t count;
	uint64_t secret[6];

	/* Rarely written, by any worker. */
	uint64_t used __attribute__((aligned(64))); /* entries that hold a key */
	uint64_t replaced;	  /* keys that gave way when their bucket was full again */
	uint64_t replaced_in_use; /* ... before it was: the table is too small */
};

/*
 * A table of `entries` buckets (HOSTS_MIN..HOSTS_MAX). The seed keys the hash, so that nobody can
 * choose addresses that meet in one window: make it at random at start, and tell no one. Returns
 * NULL without memory or with a number out of range. Any thread.
 */
struct hosts *hosts_create(uint32_t entries, uint64_t seed, int socket);
void hosts_destroy(struct hosts *hosts);

/* What hosts_create() will take, in bytes. */
uint64_t hosts_memory_needed(uint32_t entries);

/* The number of keys in the table, about: those that have not been used for long count as well,
 * until they give way. Any thread. */
uint32_t hosts_used(const struct hosts *hosts);

/*
 * Find or make the bucket of a key: its index (1..entries), and the generation for host_valid(). A
 * new one is full (burst_q16). Never fails, takes no lock: a worker that is stopped in here harms
 * no other. Up to 15 others may be in here at the same time. Not for every packet: it looks at up
 * to HOSTS_WINDOW cache lines.
 */
uint32_t hosts_find(struct hosts *hosts, const struct host_key *key, uint64_t now_ns,
	uint64_t burst_q16, uint32_t *generation);

static inline struct host *host_at(const struct hosts *hosts, uint32_t index)
{
	return &hosts->entries[index];
}

/* Is its key one of a class that is configured like this? */
static inline bool host_is_of(
	const struct host *host, uint32_t class_id, uint8_t per, uint8_t bits4, uint8_t bits6)
{
	struct host_key key;

	memcpy(&key, host->key, sizeof(key));
	return key.class_id == class_id && key.per == per &&
	       key.bits == (key.family == 6 ? bits6 : bits4);
}

/* Does this index, as hosts_find() gave it with this generation, still stand for the same key? Any
 * index up to the number of entries may be asked, 0 is never valid. */
static inline bool host_valid(const struct hosts *hosts, uint32_t index, uint32_t generation)
{
	return index != 0 &&
	       __atomic_load_n(&hosts->entries[index].state, __ATOMIC_ACQUIRE) == generation;
}

/* The key of an address (IPv4 as ::ffff:a.b.c.d) in its network: prefix lengths as in struct
 * shaper_class_config, 0 is the whole address. */
static inline struct host_key host_key_of(
	uint32_t class_id, const uint8_t address[16], bool is_ipv6, uint8_t bits4, uint8_t bits6)
{
	struct host_key key = {.class_id = class_id, .family = is_ipv6 ? 6 : 4};
	unsigned bits = is_ipv6 ? bits6 : bits4 ? 96u + bits4 : 0;
	unsigned whole = bits / 8;

	if (bits == 0 || whole >= 16) {
		memcpy(key.address, address, 16);
		return key;
	}
	memcpy(key.address, address, whole);
	key.address[whole] = (uint8_t)(address[whole] & 0xff00 >> bits % 8);
	return key;
}

/* Debt that workers can make at a rate, at most: more is that of a slower rate before. */
static inline uint64_t host_debt_max(const struct bucket_rate *rate)
{
	return bucket_cost(rate->inv_q32, LEASE_WORKERS_MAX * BUCKET_PACKET_MAX_BYTES);
}

/* A bucket that nobody has used for HOST_OLD is full; its tat may have wrapped. */
static inline void host_wake(struct host *host, uint64_t full, uint64_t now_ns)
{
	uint32_t stamp = __atomic_load_n(&host->stamp, __ATOMIC_RELAXED);
	uint32_t now = (uint32_t)(now_ns >> 32);
	uint64_t tat;

	if (__builtin_expect(stamp == now, 1))
		return;
	tat = __atomic_load_n(&host->tat, __ATOMIC_RELAXED);
	/* One worker does it. Another one's clock may be a little ahead. */
	if (!__atomic_compare_exchange_n(
		    &host->stamp, &stamp, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED) ||
		(int32_t)(now - stamp) <= HOST_OLD)
		return;
	__atomic_compare_exchange_n(
		&host->tat, &tat, full, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* May a packet leave now? Any worker; `host` is valid. */
static inline bool host_ready(struct host *host, const struct bucket_rate *rate, uint64_t now_ns)
{
	uint64_t now = bucket_q16(now_ns), tat;
	int64_t ahead;

	host_wake(host, now - rate->burst_q16, now_ns);
	tat = __atomic_load_n(&host->tat, __ATOMIC_RELAXED);
	ahead = bucket_ahead(tat, now);
	if (ahead <= 0)
		return true;
	if ((uint64_t)ahead <= host_debt_max(rate))
		return false;
	__atomic_compare_exchange_n(
		&host->tat, &tat, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	return true;
}

/* When host_ready() may say yes, in ns; another worker may come first. */
static inline uint64_t host_ready_ns(const struct host *host, uint64_t now_ns)
{
	return bucket_ready_ns(__atomic_load_n(&host->tat, __ATOMIC_RELAXED), now_ns);
}

/* Charge `bytes` for later: the time when they may leave, in ns. So workers that share a host take
 * turns: first come, first served. */
static inline uint64_t host_reserve(
	struct host *host, const struct bucket_rate *rate, uint32_t bytes, uint64_t now_ns)
{
	uint64_t tat =
		__atomic_fetch_add(&host->tat, bucket_cost(rate->inv_q32, bytes), __ATOMIC_RELAXED);

	return bucket_ready_ns(tat, now_ns);
}

/* Charge a packet that leaves now. Wait-free: if another worker is faster in clamping idle time to
 * the burst, it has done it for us. */
static inline void host_charge(
	struct host *host, const struct bucket_rate *rate, uint32_t bytes, uint64_t now_ns)
{
	uint64_t full = bucket_q16(now_ns) - rate->burst_q16, tat;

	host_wake(host, full, now_ns);
	tat = __atomic_load_n(&host->tat, __ATOMIC_RELAXED);
	if (bucket_ahead(tat, full) < 0)
		__atomic_compare_exchange_n(
			&host->tat, &tat, full, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	__atomic_fetch_add(&host->tat, bucket_cost(rate->inv_q32, bytes), __ATOMIC_RELAXED);
}

/* Credit (or with a negative number debit) bytes that were charged before. */
static inline void host_correct(struct host *host, uint64_t inv_q32, int64_t bytes)
{
	uint64_t cost = bucket_cost(inv_q32, (uint64_t)(bytes < 0 ? -bytes : bytes));

	__atomic_fetch_add(&host->tat, bytes < 0 ? cost : -cost, __ATOMIC_RELAXED);
}

#endif
