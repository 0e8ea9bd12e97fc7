/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The states of neighbour.h. A simplification of RFC 4861, section 7.3, that ARP shares: no DELAY
 * state (a probe starts on the first use of a stale entry), no confirmation by upper layers.
 */
#include "dataplane/control/neighbour.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)
#define REACHABLE_NS (30 * SECOND)
#define ASK_NS SECOND /* between requests, RFC 4861 RETRANS_TIMER */
#define ASKS 3	      /* before giving up, or before multicast in a probe */
#define BACKOFF_NS_MAX (32 * SECOND)
#define FORGET_NS (600 * SECOND) /* an entry that nobody looked up */
#define WANTED_NS (60 * SECOND)	 /* a failed entry is asked for again while it is looked up */

void neighbour_init(struct neighbour_cache *cache)
{
	memset(cache, 0, sizeof(*cache));
}

static bool same_address(const struct policy_address *a, const struct policy_address *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

const struct neighbour *neighbour_find(
	const struct neighbour_cache *cache, const struct policy_address *address)
{
	for (unsigned i = 0; i < NEIGHBOUR_MAX; i++)
		if (cache->entry[i].state != NEIGHBOUR_UNUSED &&
			same_address(&cache->entry[i].address, address))
			return &cache->entry[i];
	return NULL;
}

static struct neighbour *find(struct neighbour_cache *cache, const struct policy_address *address)
{
	return (struct neighbour *)(uintptr_t)neighbour_find(cache, address);
}

/* A place for a new entry: a free one, else the longest unused. Hosts that merely asked for us
 * (looked_up is false) never push out what is in use: a flood of them cannot starve the peers. */
static struct neighbour *place(struct neighbour_cache *cache, bool looked_up)
{
	struct neighbour *oldest = NULL;

	for (unsigned i = 0; i < NEIGHBOUR_MAX; i++) {
		struct neighbour *n = &cache->entry[i];

		if (n->state == NEIGHBOUR_UNUSED)
			return n;
		if (oldest == NULL || n->used_ns < oldest->used_ns ||
			(n->used_ns == oldest->used_ns && n->heard_ns < oldest->heard_ns))
			oldest = n;
	}
	if (!looked_up && oldest->used_ns != 0)
		return NULL;
	cache->evicted++;
	return oldest;
}

static void age(struct neighbour *n, uint64_t now_ns)
{
	if (n->state == NEIGHBOUR_REACHABLE && now_ns - n->heard_ns >= REACHABLE_NS)
		n->state = NEIGHBOUR_STALE;
}

int neighbour_lookup(struct neighbour_cache *cache, const struct policy_address *address,
	uint64_t now_ns, uint8_t mac[6])
{
	struct neighbour *n = find(cache, address);

	if (n == NULL) {
		n = place(cache, true);
		memset(n, 0, sizeof(*n));
		n->address = *address;
		n->state = NEIGHBOUR_INCOMPLETE;
		n->next_ns = now_ns;
	}
	n->used_ns = now_ns;
	age(n, now_ns);
	if (n->state == NEIGHBOUR_STALE) {
		n->state = NEIGHBOUR_PROBE;
		n->asked = 0;
		n->next_ns = now_ns;
	}
	if (n->state == NEIGHBOUR_INCOMPLETE || n->state == NEIGHBOUR_FAILED)
		return -EAGAIN;
	memcpy(mac, n->mac, sizeof(n->mac));
	return 0;
}

void neighbour_heard(struct neighbour_cache *cache, const struct policy_address *address,
	const uint8_t mac[6], bool solicited, bool create, uint64_t now_ns)
{
	static const uint8_t none[6];
	struct neighbour *n = find(cache, address);
	bool known;

	if ((mac[0] & 1) || memcmp(mac, none, sizeof(none)) == 0)
		return;
	if (n == NULL) {
		n = create ? place(cache, false) : NULL;
		if (n == NULL)
			return;
		memset(n, 0, sizeof(*n));
		n->address = *address;
		n->state = NEIGHBOUR_INCOMPLETE;
	}
	known = n->state == NEIGHBOUR_REACHABLE || n->state == NEIGHBOUR_STALE ||
		n->state == NEIGHBOUR_PROBE;
	bool moved = known && memcmp(n->mac, mac, sizeof(n->mac)) != 0;
	if (solicited && n->asked > 0)
		n->state = NEIGHBOUR_REACHABLE;
	else if (!known || moved)
		n->state = NEIGHBOUR_STALE;
	else
		return; /* no news, and no proof that it hears us */
	memcpy(n->mac, mac, sizeof(n->mac));
	n->asked = 0;
	n->heard_ns = now_ns;
}

/* Whether a request for this entry is due now; moves it on to the next state. */
static bool due(struct neighbour *n, uint64_t now_ns, bool *unicast)
{
	*unicast = false;
	age(n, now_ns);
	switch (n->state) {
	case NEIGHBOUR_STALE:
		if (now_ns - (n->used_ns > n->heard_ns ? n->used_ns : n->heard_ns) >= FORGET_NS)
			n->state = NEIGHBOUR_UNUSED;
		return false;
	case NEIGHBOUR_PROBE:
	case NEIGHBOUR_INCOMPLETE:
		if (now_ns < n->next_ns)
			return false;
		if (n->asked >= (n->state == NEIGHBOUR_PROBE ? 2 * ASKS : ASKS)) {
			n->state = NEIGHBOUR_FAILED;
			n->asked = ASKS;
			n->next_ns = now_ns + ASK_NS;
			return false;
		}
		/* A probe asks the known MAC first, then everyone: the address may have moved. */
		*unicast = n->state == NEIGHBOUR_PROBE && n->asked < ASKS;
		n->asked++;
		n->next_ns = now_ns + ASK_NS;
		return true;
	case NEIGHBOUR_FAILED: {
		if (now_ns - n->used_ns >= WANTED_NS) {
			n->state = NEIGHBOUR_UNUSED;
			return false;
		}
		if (now_ns < n->next_ns)
			return false;
		if (n->asked < ASKS + 5)
			n->asked++;
		uint64_t wait_ns = ASK_NS << (n->asked - ASKS);
		n->next_ns = now_ns + (wait_ns < BACKOFF_NS_MAX ? wait_ns : BACKOFF_NS_MAX);
		return true;
	}
	default:
		return false;
	}
}

bool neighbour_tick(struct neighbour_cache *cache, uint64_t now_ns, struct neighbour_ask *ask)
{
	for (unsigned i = 0; i < NEIGHBOUR_MAX; i++) {
		struct neighbour *n = &cache->entry[i];

		if (due(n, now_ns, &ask->unicast)) {
			ask->address = n->address;
			memcpy(ask->mac, n->mac, sizeof(ask->mac));
			return true;
		}
	}
	return false;
}
