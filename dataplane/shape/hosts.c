/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finding and making buckets, see hosts.h. The window of a key begins at the entry its hash says
 * and is searched in that order. An entry that was ever used is never unused again (state 0), and
 * a key goes into the first unused entry of its window: so a search may end at one.
 *
 * One key, one entry, whoever inserts it at the same time. A worker claims an entry for itself
 * (state CLAIMED, by compare-and-swap: it has a new generation and nobody else writes to it), fills
 * it in and publishes it as a TENTATIVE one. Only then can it be SETTLED, and only settled entries
 * are given to callers. To settle X, a worker searches the whole window after X was published, and
 *  - if it finds the key settled elsewhere, or tentative in front of X, it gives X up,
 *  - it takes back (FREE) all that are tentative behind X,
 *  - and if X is still tentative then, X is settled.
 * Suppose X and Y, of one key, were both settled, and X was published first. The search that
 * settled Y began after that, so it saw X as tentative or settled. Settled, or in front: it gives Y
 * up. Behind: it takes X back, and X can't be settled, or it fails, as X has changed, and it starts
 * again. So only one of them is settled. All changes of a state are sequentially consistent. What
 * one worker has published another one can settle, so nobody ever waits for anybody; a worker has
 * to start again only when another one has got on.
 */
#include "dataplane/shape/hosts.h"

#include <rte_malloc.h>

enum { FREE, CLAIMED, TENTATIVE, SETTLED }; /* lowest bits of a state; the rest: generation */
#define STATE_BITS 3u

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define ADD(x, v) __atomic_fetch_add(&(x), (v), __ATOMIC_RELAXED)

struct window {
	struct hosts *hosts;
	uint32_t first;
	uint64_t key[3];
};

static unsigned state_of(uint32_t word)
{
	return word & STATE_BITS;
}

static uint32_t with_state(uint32_t word, unsigned state)
{
	return (word & ~STATE_BITS) | state;
}

static uint32_t index_of(const struct window *w, unsigned place)
{
	uint32_t i = w->first + place;

	return i > w->hosts->count ? i - w->hosts->count : i;
}

static struct host *entry_of(const struct window *w, unsigned place)
{
	return host_at(w->hosts, index_of(w, place));
}

static bool change(struct host *host, uint32_t before, uint32_t after)
{
	return __atomic_compare_exchange_n(
		&host->state, &before, after, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* NH (RFC 4418) over three words, folded: see packet/headers.h for what it promises. */
static uint64_t hash_of(const uint64_t key[3], const uint64_t secret[6])
{
	unsigned __int128 sum = (unsigned __int128)(key[0] + secret[0]) * (key[1] + secret[1]);

	sum += (unsigned __int128)(key[2] + secret[2]) * secret[3];
	sum = (unsigned __int128)((uint64_t)sum ^ secret[4]) * ((uint64_t)(sum >> 64) ^ secret[5]);
	return (uint64_t)sum ^ (uint64_t)(sum >> 64);
}

/* The state of an entry if it holds the key, published; UINT32_MAX if it was never used, else 0. */
static uint32_t look(struct host *host, const uint64_t key[3])
{
	uint32_t word = __atomic_load_n(&host->state, __ATOMIC_SEQ_CST);
	uint64_t differs = 0;

	if (word == 0)
		return UINT32_MAX;
	if (state_of(word) < TENTATIVE)
		return 0;
	for (unsigned i = 0; i < 3; i++)
		differs |= __atomic_load_n(&host->key[i], __ATOMIC_ACQUIRE) ^ key[i];
	/* Has it got another key meanwhile? Then it is not, or no longer, ours. */
	if (differs != 0 || __atomic_load_n(&host->state, __ATOMIC_SEQ_CST) >> 2 != word >> 2)
		return 0;
	return word;
}

static void release(struct window *w, unsigned place, uint32_t word)
{
	if (change(entry_of(w, place), word, with_state(word, FREE)))
		ADD(w->hosts->used, (uint64_t)-1);
}

/*
 * Settle the key in one entry: in that of `place`, which was seen with `word`, or in a better one.
 * Returns its place with *settled its state, or -1 if it has to be searched for again.
 */
static int settle(struct window *w, unsigned place, uint32_t word, uint32_t *settled)
{
	for (unsigned i = 0; i < HOSTS_WINDOW; i++) {
		uint32_t other = look(entry_of(w, i), w->key);

		if (other == UINT32_MAX)
			break;
		if (other == 0 || i == place)
			continue;
		if (state_of(other) == SETTLED || i < place) {
			release(w, place, word);
			return -1;
		}
		if (!change(entry_of(w, i), other, with_state(other, FREE)))
			return -1;
		ADD(w->hosts->used, (uint64_t)-1);
	}
	*settled = with_state(word, SETTLED);
	return change(entry_of(w, place), word, *settled) ? (int)place : -1;
}

/* The place of the entry that a new key should have: an unused one, a free one, one that is full
 * again, or the one with the oldest TAT. -1 if all that could be had are being changed. */
static int victim(struct window *w, uint64_t now_ns, uint64_t burst, uint32_t *word, bool *in_use)
{
	int best = -1;
	int64_t oldest = INT64_MAX;

	*in_use = false;
	for (unsigned i = 0; i < HOSTS_WINDOW; i++) {
		struct host *host = entry_of(w, i);
		uint32_t state = __atomic_load_n(&host->state, __ATOMIC_SEQ_CST);
		int64_t ahead;

		if (state_of(state) == FREE) {
			*word = state;
			return (int)i;
		}
		if (state_of(state) != SETTLED)
			continue;
		ahead = bucket_ahead(LOAD(host->tat), bucket_q16(now_ns));
		if ((int32_t)((uint32_t)(now_ns >> 32) - LOAD(host->stamp)) > HOST_OLD)
			ahead = INT64_MIN;
		if (best < 0 || ahead < oldest) {
			best = (int)i;
			oldest = ahead;
			*word = state;
		}
	}
	*in_use = best >= 0 && oldest > -(int64_t)burst;
	return best;
}

/* Put the key into an entry, tentatively. Returns its place with *word its state, or -1. */
static int insert(struct window *w, uint64_t now_ns, uint64_t burst, uint32_t *word)
{
	uint32_t before, claimed;
	bool in_use;
	int place = victim(w, now_ns, burst, &before, &in_use);
	struct host *host;

	if (place < 0)
		return -1;
	host = entry_of(w, (unsigned)place);
	/* The next generation; never 0, or it would look unused, nor what look() says of those. */
	claimed = (before >> 2) + 1;
	claimed = (claimed < UINT32_MAX >> 2 ? claimed : 1) << 2 | CLAIMED;
	if (!change(host, before, claimed))
		return -1;
	if (state_of(before) == FREE)
		ADD(w->hosts->used, 1);
	else if (in_use)
		ADD(w->hosts->replaced_in_use, 1);
	else
		ADD(w->hosts->replaced, 1);
	for (unsigned i = 0; i < 3; i++)
		__atomic_store_n(&host->key[i], w->key[i], __ATOMIC_RELEASE);
	__atomic_store_n(&host->tat, bucket_q16(now_ns) - burst, __ATOMIC_RELAXED);
	__atomic_store_n(&host->stamp, (uint32_t)(now_ns >> 32), __ATOMIC_RELAXED);
	*word = with_state(claimed, TENTATIVE);
	__atomic_store_n(&host->state, *word, __ATOMIC_SEQ_CST);
	return place;
}

uint32_t hosts_find(struct hosts *hosts, const struct host_key *key, uint64_t now_ns,
	uint64_t burst_q16, uint32_t *generation)
{
	struct window w = {.hosts = hosts};

	memcpy(w.key, key, sizeof(w.key));
	w.first = 1 + (uint32_t)((hash_of(w.key, hosts->secret) >> 32) * hosts->count >> 32);
	for (;;) {
		uint32_t word = 0;
		int place = -1;

		for (unsigned i = 0; i < HOSTS_WINDOW && place < 0; i++) {
			uint32_t found = look(entry_of(&w, i), w.key);

			if (found == UINT32_MAX)
				break;
			if (state_of(found) == SETTLED) {
				*generation = found;
				return index_of(&w, i);
			}
			if (found != 0) {
				place = (int)i;
				word = found;
			}
		}
		if (place < 0)
			place = insert(&w, now_ns, burst_q16, &word);
		if (place >= 0)
			place = settle(&w, (unsigned)place, word, generation);
		if (place >= 0)
			return index_of(&w, (unsigned)place);
	}
}

uint64_t hosts_memory_needed(uint32_t entries)
{
	return sizeof(struct hosts) + ((uint64_t)entries + 1) * sizeof(struct host);
}

struct hosts *hosts_create(uint32_t entries, uint64_t seed, int socket)
{
	struct hosts *hosts;

	if (entries < HOSTS_MIN || entries > HOSTS_MAX)
		return NULL;
	hosts = rte_zmalloc_socket("hosts", hosts_memory_needed(entries), 64, socket);
	if (hosts == NULL)
		return NULL;
	hosts->entries = (struct host *)(hosts + 1);
	hosts->count = entries;
	for (unsigned i = 0; i < 6; i++) { /* splitmix64; others may have the same seed */
		uint64_t z = ~seed + (i + 1) * UINT64_C(0x9e3779b97f4a7c15);

		z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
		hosts->secret[i] = z ^ z >> 31;
	}
	return hosts;
}

void hosts_destroy(struct hosts *hosts)
{
	rte_free(hosts);
}

uint32_t hosts_used(const struct hosts *hosts)
{
	return (uint32_t)LOAD(hosts->used);
}
