/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Buckets of hosts: one key is one entry, forgetting and generations, rates that several workers
 * spend, and what chosen addresses can do.
 */
#include "dataplane/shape/hosts.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include <rte_malloc.h>

#include "tests/unit/packet/mbufs.h"
#include "tests/unit/unit.h"

#define START_NS 1000000000000ull
#define HOUR_NS 3600000000000ull
#define ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))
#define BURST_Q16 (1000000ull << 16)

static uint32_t random_state = 1;

static uint32_t random32(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return random_state >> 8;
}

static struct hosts *table(uint32_t entries)
{
	struct hosts *h;

	mbufs_start("128");
	h = hosts_create(entries, 4711, SOCKET_ID_ANY);
	CU_ASSERT_PTR_NOT_NULL_FATAL(h);
	return h;
}

static struct host_key key4(uint32_t class_id, uint32_t address)
{
	uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};

	for (unsigned i = 0; i < 4; i++)
		bytes[12 + i] = (uint8_t)(address >> (24 - 8 * i));
	return host_key_of(class_id, bytes, false, 0, 0);
}

/* The index of a key that must be valid. */
static uint32_t find(struct hosts *h, const struct host_key *key, uint64_t now)
{
	uint32_t generation, index = hosts_find(h, key, now, BURST_Q16, &generation);

	CU_ASSERT(index >= 1 && index <= h->count);
	CU_ASSERT(host_valid(h, index, generation));
	CU_ASSERT_EQUAL(memcmp(host_at(h, index)->key, key, sizeof(*key)), 0);
	return index;
}

static void test_find(void)
{
	struct hosts *h = table(4096);
	uint32_t index[1000];

	CU_ASSERT_FALSE(host_valid(h, 0, 0));
	for (uint32_t i = 0; i < 1000; i++) {
		struct host_key key = key4(i % 3, i / 3);
		index[i] = find(h, &key, START_NS);
		CU_ASSERT_EQUAL(host_at(h, index[i])->tat, (START_NS << 16) - BURST_Q16);
		for (uint32_t j = 0; j < i; j++)
			CU_ASSERT_NOT_EQUAL(index[i], index[j]);
	}
	for (uint32_t i = 0; i < 1000; i++) {
		struct host_key key = key4(i % 3, i / 3);
		CU_ASSERT_EQUAL(find(h, &key, START_NS + 5), index[i]);
	}
	CU_ASSERT_EQUAL(hosts_used(h), 1000);
	CU_ASSERT_EQUAL(h->replaced + h->replaced_in_use, 0);
	hosts_destroy(h);
}

/* Each part of a key counts, and nothing else. */
static void test_keys(void)
{
	uint8_t address[16] = {0x20, 1, 0xd, 0xb8, 5, 6, 7, 0x88, 9, 10, 11, 12, 13, 14, 15, 16};
	struct host_key k = host_key_of(7, address, true, 24, 60);
	uint8_t want[16] = {0x20, 1, 0xd, 0xb8, 5, 6, 7, 0x80};

	CU_ASSERT_EQUAL(memcmp(k.address, want, 16), 0);
	CU_ASSERT_EQUAL(k.class_id, 7);
	CU_ASSERT_EQUAL(k.family, 6);
	k = host_key_of(7, address, true, 0, 0);
	CU_ASSERT_EQUAL(memcmp(k.address, address, 16), 0);
	k = host_key_of(7, address, true, 0, 128);
	CU_ASSERT_EQUAL(memcmp(k.address, address, 16), 0);
	k = host_key_of(7, address, true, 0, 127);
	CU_ASSERT_EQUAL(k.address[15], 16);
	k = host_key_of(7, address, true, 0, 123);
	CU_ASSERT_EQUAL(k.address[15], 0);

	uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 129};
	for (unsigned bits = 0; bits <= 32; bits++) {
		uint32_t got, mask = bits == 0 ? ~0u : ~0u << (32 - bits);

		k = host_key_of(7, mapped, false, (uint8_t)bits, 1);
		CU_ASSERT_EQUAL(memcmp(k.address, mapped, 12), 0);
		memcpy(&got, k.address + 12, 4);
		CU_ASSERT_EQUAL(__builtin_bswap32(got), 0xc0000281u & mask);
		CU_ASSERT_EQUAL(k.family, 4);
	}

	struct hosts *h = table(64);
	struct host_key a = host_key_of(7, mapped, false, 0, 0);
	uint32_t first = find(h, &a, START_NS);
	struct host_key b = host_key_of(7, mapped, true, 0, 0),
			c = host_key_of(8, mapped, false, 0, 0);
	CU_ASSERT_NOT_EQUAL(find(h, &b, START_NS), first);
	CU_ASSERT_NOT_EQUAL(find(h, &c, START_NS), first);
	CU_ASSERT_EQUAL(hosts_used(h), 3);
	hosts_destroy(h);
}

/* A full window: the bucket that is full again gives way, then the one used longest ago; the holder
 * of its place notices. HOSTS_MIN entries are one window for all keys. */
static void test_replace(void)
{
	struct hosts *h = table(HOSTS_MIN);
	struct bucket_rate rate = bucket_rate_of(8000000, 10000, 0); /* 1 byte a us */
	uint32_t index[HOSTS_WINDOW], generation[HOSTS_WINDOW], other, unused;
	struct host_key key;
	uint64_t now = START_NS;

	for (uint32_t i = 0; i < HOSTS_WINDOW; i++) {
		key = key4(1, i);
		index[i] = hosts_find(h, &key, now, rate.burst_q16, &generation[i]);
		for (uint32_t j = 0; j < 100; j++) /* number 5 least: full again at 3 ms */
			host_charge(host_at(h, index[i]), &rate, i == 5 ? 30 : 80 + i, now);
	}
	now += 3100000;
	for (uint32_t i = 0; i < HOSTS_WINDOW; i++)
		CU_ASSERT(host_valid(h, index[i], generation[i]));
	key = key4(1, 100);
	CU_ASSERT_EQUAL(find(h, &key, now), index[5]);
	CU_ASSERT_FALSE(host_valid(h, index[5], generation[5]));
	CU_ASSERT_EQUAL(h->replaced, 1);
	CU_ASSERT_EQUAL(h->replaced_in_use, 0);
	/* It is full, whatever the one before had charged. */
	CU_ASSERT_EQUAL(host_at(h, index[5])->tat, (now << 16) - BURST_Q16);
	for (uint32_t j = 0; j < 200; j++)
		host_charge(host_at(h, index[5]), &rate, 100, now);

	key = key4(1, 101);
	other = hosts_find(h, &key, now, rate.burst_q16, &unused);
	CU_ASSERT_EQUAL(other, index[0]);
	CU_ASSERT_EQUAL(h->replaced_in_use, 1);
	CU_ASSERT_FALSE(host_valid(h, index[0], generation[0]));
	for (uint32_t i = 1; i < HOSTS_WINDOW; i++)
		CU_ASSERT_EQUAL(host_valid(h, index[i], generation[i]), i != 5);
	/* The first one again: the next to go is number 1. */
	for (uint32_t j = 0; j < 200; j++)
		host_charge(host_at(h, other), &rate, 100, now);
	key = key4(1, 0);
	CU_ASSERT_EQUAL(find(h, &key, now), index[1]);
	CU_ASSERT_EQUAL(hosts_used(h), HOSTS_WINDOW);
	hosts_destroy(h);
}

/* 16 entries, 100,000 keys by turns: always an answer, and generations that are never 0. */
static void test_never_fails(void)
{
	struct hosts *h = table(HOSTS_MIN);

	for (uint32_t i = 0; i < 100000; i++) {
		struct host_key key = key4(i % 5, random32());
		CU_ASSERT_FATAL(find(h, &key, START_NS + i) != 0);
	}
	CU_ASSERT_EQUAL(hosts_used(h), HOSTS_WINDOW);
	host_at(h, 3)->state = UINT32_MAX; /* the last generation of all */
	for (uint32_t i = 0; i < 10000; i++) {
		struct host_key key = key4(i % 5, random32());
		find(h, &key, START_NS + HOUR_NS + i * 100000000ull);
		CU_ASSERT_NOT_EQUAL(host_at(h, 3)->state, 0);
	}
	CU_ASSERT_NOT_EQUAL(host_at(h, 3)->state, UINT32_MAX);
	hosts_destroy(h);
}

/* Half full, no key is forgotten in use but one in thousands, whatever pattern the addresses have.
 */
static void test_distribution(void)
{
	static const uint32_t strides[] = {1, 2, 256, 4096, 65536, 0x01000193, 0x80000001, 0x10001};
	const uint32_t count = 16384;

	for (unsigned s = 0; s < ELEMENTS(strides); s++)
		for (unsigned v6 = 0; v6 < 2; v6++) {
			struct hosts *h = table(count);
			uint64_t longest = 0;

			for (uint32_t i = 0; i < count / 2; i++) {
				struct host_key key = key4(1, i * strides[s]);
				if (v6) { /* also differing in the upper half alone */
					memset(key.address + 8, 0, 8);
					memcpy(key.address, &(uint64_t){(uint64_t)i * strides[s]},
						8);
					key.family = 6;
				}
				uint32_t index = find(h, &key, START_NS), generation;
				for (unsigned j = 0; j < 20; j++)
					host_charge(host_at(h, index),
						&(struct bucket_rate){1ull << 40, BURST_Q16}, 1500,
						START_NS);
				CU_ASSERT_EQUAL(
					hosts_find(h, &key, START_NS, BURST_Q16, &generation),
					index);
			}
			longest = h->replaced_in_use + h->replaced;
			CU_ASSERT(longest <= count / 2 / 1000);
			CU_ASSERT_EQUAL(hosts_used(h) + longest, count / 2);
			hosts_destroy(h);
		}
}

/* Addresses that meet in one window under one seed do not under another. */
static void test_flooding(void)
{
	struct hosts *h = table(1024), *other = hosts_create(1024, 4712, SOCKET_ID_ANY);
	struct host_key keys[64];
	unsigned count = 0;
	uint64_t before;

	for (uint32_t i = 0; count < 64; i++) {
		struct host_key key = key4(1, i);
		struct hosts *empty = h;
		/* Its place in an empty table is the beginning of its window. */
		memset(h->entries + 1, 0, 1024 * sizeof(struct host));
		uint32_t index = find(empty, &key, START_NS);
		if (index >= 100 && index < 104)
			keys[count++] = key;
	}
	memset(h->entries + 1, 0, 1024 * sizeof(struct host));
	before = h->replaced + h->replaced_in_use;
	for (unsigned i = 0; i < 64; i++) {
		find(h, &keys[i], START_NS);
		find(other, &keys[i], START_NS);
	}
	CU_ASSERT(h->replaced + h->replaced_in_use - before >= 64 - 20);
	CU_ASSERT_EQUAL(other->replaced + other->replaced_in_use, 0);
	hosts_destroy(other);
	hosts_destroy(h);
}

/* Workers by turns, greedy: the sum is the rate to a few packets, the burst that of the bucket and
 * a packet of each worker. */
static void check_rate(unsigned workers, uint64_t rate_bps, uint32_t burst)
{
	struct hosts *h = table(64);
	struct bucket_rate rate = bucket_rate_of(rate_bps, burst, 0);
	struct host_key key = key4(1, 2);
	uint32_t generation;
	struct host *host = host_at(h, hosts_find(h, &key, START_NS, rate.burst_q16, &generation));
	uint64_t sent = 0, at_once = 0;
	uint64_t ns = (uint64_t)(3e6 * 8e9 / (double)rate_bps), step = ns / 200000 + 1; /* 3 MB */

	for (uint64_t t = 0; t < ns; t += step) {
		bool may[16];
		uint32_t bytes[16];

		/* The worst case: all of them ask before one of them charges. */
		for (unsigned w = 0; w < workers; w++)
			may[w] = host_ready(host, &rate, START_NS + t + w % 3);
		for (unsigned w = 0; w < workers; w++) {
			bytes[w] = 64 + random32() % 1455;
			if (!may[w])
				continue;
			host_charge(host, &rate, bytes[w], START_NS + t + w % 3);
			/* Some turn out smaller. */
			uint32_t less = random32() % bytes[w];
			host_correct(host, rate.inv_q32, less);
			host_correct(host, rate.inv_q32, -(int64_t)(less / 2));
			sent += bytes[w] - less + less / 2;
		}
		if (t == 0)
			at_once = sent;
	}
	double real_burst = (double)(rate.burst_q16 >> 16) * (double)rate_bps / 8e9;
	double want = 3e6 + real_burst;

	CU_ASSERT(at_once <= workers * 1518);
	CU_ASSERT((double)sent <= want + workers * 1518.0);
	CU_ASSERT((double)sent >= want - 1518.0 - (double)step * (double)rate_bps / 8e9);
	hosts_destroy(h);
}

static void test_rate(void)
{
	static const uint64_t rates[] = {64000, 1000000, 100000000, 10000000000};
	static const unsigned workers[] = {1, 2, 4, 16};

	for (unsigned r = 0; r < ELEMENTS(rates); r++)
		for (unsigned w = 0; w < ELEMENTS(workers); w++) {
			check_rate(workers[w], rates[r], 0);
			check_rate(workers[w], rates[r], 30000);
		}
}

/* Bytes of packets of 100 that may leave at once. */
static uint32_t drain(struct host *host, const struct bucket_rate *rate, uint64_t now)
{
	uint32_t bytes = 0;

	while (bytes < 1000000 && host_ready(host, rate, now)) {
		host_charge(host, rate, 100, now);
		bytes += 100;
	}
	return bytes;
}

/* Idle for hours, days and weeks, at any of which the time may have wrapped: one burst. Debt of a
 * slow rate is forgiven when a faster one comes. */
static void test_idle(void)
{
	struct hosts *h = table(64);
	struct bucket_rate rate = bucket_rate_of(8000000, 10000, 0);
	struct host_key key = key4(1, 2);
	uint32_t generation;
	uint64_t now = START_NS;
	struct host *host = host_at(h, hosts_find(h, &key, now, rate.burst_q16, &generation));

	CU_ASSERT_EQUAL(drain(host, &rate, now), 10100);
	CU_ASSERT_EQUAL(host_ready_ns(host, now), now + 100000);
	for (unsigned hours = 1; hours < 400; hours += 3) {
		now += hours * HOUR_NS;
		CU_ASSERT_EQUAL(drain(host, &rate, now), 10100);
		now += HOUR_NS / 4;
		CU_ASSERT_EQUAL(drain(host, &rate, now), 10100);
	}
	/* Wrapped to seem spent up to a little later. */
	now += (1ull << 48) - 2000;
	CU_ASSERT_EQUAL(drain(host, &rate, now), 10100);

	struct bucket_rate slow = bucket_rate_of(1000, 3000, 0);
	drain(host, &slow, now);
	host_charge(host, &slow, 9000, now);
	CU_ASSERT_FALSE(host_ready(host, &slow, now + 60000000000));
	CU_ASSERT(host_ready(host, &rate, now));
	CU_ASSERT_FALSE(drain(host, &rate, now) > 10100);
	hosts_destroy(h);
}

static void test_memory(void)
{
	CU_ASSERT_EQUAL(
		hosts_memory_needed(1u << 22) / 64, (1u << 22) + 1 + sizeof(struct hosts) / 64);
	CU_ASSERT_EQUAL(sizeof(struct hosts) % 64, 0);
	mbufs_start("128");
	struct rte_malloc_socket_stats before = {0}, after = {0};
	rte_malloc_get_socket_stats(0, &before);
	struct hosts *h = table(50000);
	rte_malloc_get_socket_stats(0, &after);
	uint64_t took = after.heap_allocsz_bytes - before.heap_allocsz_bytes;
	CU_ASSERT(took >= hosts_memory_needed(50000));
	CU_ASSERT(took <= hosts_memory_needed(50000) + 1024);
	hosts_destroy(h);
	CU_ASSERT_PTR_NULL(hosts_create(HOSTS_MIN - 1, 1, SOCKET_ID_ANY));
	CU_ASSERT_PTR_NULL(hosts_create(HOSTS_MAX + 1, 1, SOCKET_ID_ANY));
}

/*
 * Workers that were stopped in the middle of inserting, in every combination of two: whoever comes
 * next finds one place for the key without them, and what they go on with fails.
 */
enum { FREE, CLAIMED, TENTATIVE, SETTLED }; /* as in hosts.c */

static void check_stalled(unsigned first, unsigned second, unsigned third)
{
	unsigned states[3] = {first, second, third};
	struct hosts *h = table(HOSTS_MIN);
	struct host_key key = key4(1, 2);
	uint32_t home = find(h, &key, START_NS), at[3], index, generation, settled = 0;

	memset(h->entries + 1, 0, HOSTS_MIN * sizeof(struct host));
	for (unsigned i = 0; i < 3; i++) {
		at[i] = (home - 1 + i) % HOSTS_MIN + 1;
		memcpy(host_at(h, at[i])->key, &key, sizeof(key));
		host_at(h, at[i])->state = 4 * (i + 1) | states[i];
		if (states[i] == SETTLED)
			settled = at[i];
	}
	index = hosts_find(h, &key, START_NS, BURST_Q16, &generation);
	CU_ASSERT(host_valid(h, index, generation));
	if (settled != 0)
		CU_ASSERT_EQUAL(index, settled);
	for (unsigned i = 0; i < 3; i++) {
		unsigned now = host_at(h, at[i])->state & 3;
		/* All others are either not touched, or can't be settled any more. */
		CU_ASSERT(at[i] == index
				  ? now == SETTLED
				  : now == FREE || now == CLAIMED || (settled && now == TENTATIVE));
		if (states[i] == CLAIMED)
			CU_ASSERT_EQUAL(host_at(h, at[i])->state, 4 * (i + 1) | CLAIMED);
	}
	/* The stopped ones go on: they find the same place. */
	for (unsigned i = 0; i < 3; i++)
		if (states[i] == CLAIMED)
			host_at(h, at[i])->state = 4 * (i + 1) | TENTATIVE;
	CU_ASSERT_EQUAL(hosts_find(h, &key, START_NS, BURST_Q16, &generation), index);
	hosts_destroy(h);
}

static void test_stalled(void)
{
	for (unsigned i = 0; i < 64; i++) {
		unsigned a = i & 3, b = i >> 2 & 3, c = i >> 4;
		/* More than one settled can't be. */
		if ((a == SETTLED) + (b == SETTLED) + (c == SETTLED) <= 1)
			check_stalled(a, b, c);
	}
}

/*
 * Real threads. All look for the same keys in the same order at once, many more than the table
 * holds at times, and charge each a byte a round; they meet at a barrier between rounds.
 */
#define THREADS 8
#define ROUNDS 3000
#define KEYS 24

struct race {
	struct hosts *hosts;
	pthread_barrier_t *barrier;
	uint32_t index[KEYS], generation[KEYS];
	unsigned number, keys;
};

static void *race_thread(void *arg)
{
	struct race *r = arg;
	struct bucket_rate rate = {1ull << 42, 1ull << 40};

	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t now = START_NS + round * 1000000000ull;

		pthread_barrier_wait(r->barrier);
		for (unsigned i = 0; i < r->keys; i++) {
			struct host_key key = key4(round, i);
			r->index[i] =
				hosts_find(r->hosts, &key, now, rate.burst_q16, &r->generation[i]);
			host_charge(host_at(r->hosts, r->index[i]), &rate, 1 + r->number, now);
		}
		pthread_barrier_wait(r->barrier);
		if (r->number != 0)
			continue;
		/* The others wait for us: now each key must have one place. */
		for (unsigned i = 0; i < r->keys; i++) {
			struct host_key key = key4(round, i);
			unsigned places = 0;
			for (uint32_t e = 1; e <= r->hosts->count; e++)
				places +=
					memcmp(host_at(r->hosts, e)->key, &key, sizeof(key)) == 0 &&
					(host_at(r->hosts, e)->state & 3) == 3;
			if (r->keys <= 8) {
				CU_ASSERT_EQUAL(places, 1);
				for (unsigned t = 1; t < THREADS; t++) {
					CU_ASSERT_EQUAL(r[t].index[i], r->index[i]);
					CU_ASSERT_EQUAL(r[t].generation[i], r->generation[i]);
				}
				/* Each of them has charged it once, to nobody else. */
				uint64_t sum = THREADS * (THREADS + 1) / 2;
				CU_ASSERT_EQUAL(host_at(r->hosts, r->index[i])->tat,
					(now << 16) - rate.burst_q16 + (sum << 26));
			} else {
				CU_ASSERT(places <= 1);
			}
		}
	}
	return NULL;
}

static void race(uint32_t entries, unsigned keys)
{
	static struct race r[THREADS];
	struct hosts *h = table(entries);
	pthread_t threads[THREADS];
	pthread_barrier_t barrier;

	pthread_barrier_init(&barrier, NULL, THREADS);
	for (unsigned i = 0; i < THREADS; i++)
		r[i] = (struct race){.hosts = h, .barrier = &barrier, .number = i, .keys = keys};
	for (unsigned i = 1; i < THREADS; i++)
		CU_ASSERT_FATAL(pthread_create(&threads[i], NULL, race_thread, &r[i]) == 0);
	race_thread(&r[0]);
	for (unsigned i = 1; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
	CU_ASSERT_EQUAL(h->used, entries);
	hosts_destroy(h);
}

static void test_race(void)
{
	race(HOSTS_MIN, 8);  /* keys of the round before give way: all windows are full */
	race(HOSTS_MIN, 24); /* more keys than places */
	race(40, 8);
}

#define CHARGES 200000

static void *charge_thread(void *arg)
{
	struct host *host = arg;
	struct bucket_rate rate = {1ull << 32, 1ull << 36};

	for (uint64_t i = 0; i < CHARGES; i++) {
		host_charge(host, &rate, (uint32_t)(i % 1500), START_NS + i);
		host_correct(host, rate.inv_q32, (int64_t)(i % 7));
		host_correct(host, rate.inv_q32, -(int64_t)(i % 5));
	}
	return NULL;
}

/* What all threads charge is in the bucket to the byte. */
static void test_charge_threads(void)
{
	struct hosts *h = table(64);
	struct host_key key = key4(1, 2);
	uint32_t generation;
	struct host *host = host_at(h, hosts_find(h, &key, START_NS, 1ull << 36, &generation));
	pthread_t threads[THREADS];
	uint64_t sum = 0;

	for (uint64_t i = 0; i < CHARGES; i++)
		sum += i % 1500 - i % 7 + i % 5;
	/* So much at first that no idle time is ever clamped. */
	host_charge(host, &(struct bucket_rate){1ull << 32, 1ull << 36}, 10000, START_NS);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, charge_thread, host);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CU_ASSERT_EQUAL(
		host->tat, (START_NS << 16) - (1ull << 36) + ((THREADS * sum + 10000) << 16));
	hosts_destroy(h);
}

UNIT_TESTS("hosts", {"find and make", test_find}, {"keys", test_keys},
	{"replacement and generations", test_replace}, {"never fails", test_never_fails},
	{"distribution", test_distribution}, {"hash flooding", test_flooding},
	{"rate and burst of 1 to 16 workers", test_rate}, {"idle for weeks, slow debt", test_idle},
	{"memory", test_memory}, {"workers that stop in the middle", test_stalled},
	{"threads: one key, one entry", test_race},
	{"threads: every byte is charged once", test_charge_threads})
