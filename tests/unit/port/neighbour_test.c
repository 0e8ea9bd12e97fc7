/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The neighbour cache in virtual time: each state of neighbour.h and what moves it on.
 */
#include "dataplane/control/neighbour.h"
#include "tests/unit/unit.h"

#include <errno.h>

#define S UINT64_C(1000000000)

static const uint8_t mac1[6] = {2, 0, 0, 0, 0, 1}, mac2[6] = {2, 0, 0, 0, 0, 2};

static struct policy_address v4(unsigned n)
{
	return (struct policy_address){.family = 4,
		.bytes = {[10] = 0xff,
			[11] = 0xff,
			[12] = 192,
			[13] = 0,
			[14] = n >> 8,
			[15] = n & 255}};
}

static unsigned state_of(const struct neighbour_cache *c, struct policy_address a)
{
	const struct neighbour *n = neighbour_find(c, &a);
	return n != NULL ? n->state : NEIGHBOUR_UNUSED;
}

/* Run from one time to another in steps of 100 ms, count the requests. */
static unsigned run(struct neighbour_cache *c, uint64_t from, uint64_t to, unsigned *unicast)
{
	struct neighbour_ask ask;
	unsigned asked = 0;

	for (uint64_t now = from; now < to; now += S / 10)
		while (neighbour_tick(c, now, &ask)) {
			asked++;
			if (unicast != NULL)
				*unicast += ask.unicast;
		}
	return asked;
}

static void test_resolve(void)
{
	struct neighbour_cache c;
	struct policy_address a = v4(1);
	uint8_t mac[6] = {0};

	neighbour_init(&c);
	CU_ASSERT_EQUAL(neighbour_lookup(&c, &a, S, mac), -EAGAIN);
	CU_ASSERT_EQUAL(neighbour_lookup(&c, &a, S, mac), -EAGAIN);
	CU_ASSERT_EQUAL(run(&c, S, S + S / 2, NULL), 1); /* one request at once, no second */
	neighbour_heard(&c, &a, mac1, true, false, 2 * S);
	CU_ASSERT_EQUAL(state_of(&c, a), NEIGHBOUR_REACHABLE);
	CU_ASSERT_EQUAL(neighbour_lookup(&c, &a, 3 * S, mac), 0);
	CU_ASSERT_EQUAL(memcmp(mac, mac1, 6), 0);
	CU_ASSERT_EQUAL(run(&c, 3 * S, 31 * S, NULL), 0);
}

static void test_probe(void)
{
	struct neighbour_cache c;
	struct policy_address a = v4(1);
	uint8_t mac[6];
	unsigned unicast = 0;

	neighbour_init(&c);
	neighbour_lookup(&c, &a, S, mac);
	run(&c, S, S + 1, NULL);
	neighbour_heard(&c, &a, mac1, true, false, S);
	/* After 30 s it is stale; nobody asks until someone uses it, and its MAC is used meanwhile.
	 */
	CU_ASSERT_EQUAL(run(&c, 30 * S, 50 * S, NULL), 0);
	CU_ASSERT_EQUAL(state_of(&c, a), NEIGHBOUR_STALE);
	CU_ASSERT_EQUAL(neighbour_lookup(&c, &a, 50 * S, mac), 0);
	CU_ASSERT_EQUAL(state_of(&c, a), NEIGHBOUR_PROBE);
	/* 3 to the MAC, then 3 to all, then it failed */
	CU_ASSERT_EQUAL(run(&c, 50 * S, 56 * S, &unicast), 6);
	CU_ASSERT_EQUAL(unicast, 3);
	CU_ASSERT_EQUAL(neighbour_lookup(&c, &a, 55 * S, mac), 0);
	run(&c, 56 * S, 56 * S + S / 10, NULL);
	CU_ASSERT_EQUAL(state_of(&c, a), NEIGHBOUR_FAILED);
	CU_ASSERT_EQUAL(neighbour_lookup(&c, &a, 56 * S, mac), -EAGAIN);
	/* back: the answer counts because it was asked for */
	neighbour_heard(&c, &a, mac2, true, false, 57 * S);
	CU_ASSERT_EQUAL(state_of(&c, a), NEIGHBOUR_REACHABLE);
}

static void test_backoff(void)
{
	struct neighbour_cache c;
	struct policy_address a = v4(1);
	struct neighbour_ask ask;
	uint8_t mac[6];
	uint64_t last = 0, longest = 0;
	unsigned asked = 0;

	neighbour_init(&c);
	for (uint64_t now = S; now < 300 * S; now += S / 10) {
		neighbour_lookup(&c, &a, now, mac); /* wanted all the time, as by hellos */
		while (neighbour_tick(&c, now, &ask)) {
			if (last != 0 && now - last > longest)
				longest = now - last;
			last = now;
			asked++;
		}
	}
	CU_ASSERT_EQUAL(longest, 32 * S);
	CU_ASSERT(asked >= 12 && asked <= 17);
	/* nobody wants it any more: forgotten, silent */
	CU_ASSERT(run(&c, 300 * S, 361 * S, NULL) <= 2);
	CU_ASSERT_EQUAL(state_of(&c, a), NEIGHBOUR_UNUSED);
}

static void test_unsolicited(void)
{
	struct neighbour_cache c;
	struct policy_address a = v4(1), b = v4(2);
	uint8_t mac[6];
	static const uint8_t group[6] = {1, 0, 0x5e, 0, 0, 1}, none[6];

	neighbour_init(&c);
	neighbour_heard(&c, &b, mac1, false, false, S);
	neighbour_heard(&c, &b, mac1, true, false, S);
	CU_ASSERT_EQUAL(state_of(&c, b), NEIGHBOUR_UNUSED); /* nobody asked: no entry */
	neighbour_heard(&c, &b, mac1, false, true, S);
	CU_ASSERT_EQUAL(state_of(&c, b), NEIGHBOUR_STALE);

	neighbour_lookup(&c, &a, S, mac);
	run(&c, S, S + 1, NULL);
	neighbour_heard(&c, &a, group, true, false, S);
	neighbour_heard(&c, &a, none, true, false, S);
	CU_ASSERT_EQUAL(state_of(&c, a), NEIGHBOUR_INCOMPLETE);
	neighbour_heard(&c, &a, mac1, true, false, S);
	/* a gratuitous announcement moves the address at once, but is no proof */
	neighbour_heard(&c, &a, mac2, false, false, 2 * S);
	CU_ASSERT_EQUAL(state_of(&c, a), NEIGHBOUR_STALE);
	CU_ASSERT_EQUAL(neighbour_lookup(&c, &a, 2 * S, mac), 0);
	CU_ASSERT_EQUAL(memcmp(mac, mac2, 6), 0);
	/* an "answer" that was not asked for is no proof either */
	neighbour_init(&c);
	neighbour_lookup(&c, &a, S, mac);
	neighbour_heard(&c, &a, mac1, true, false, S);
	CU_ASSERT_EQUAL(state_of(&c, a), NEIGHBOUR_STALE);
}

static void test_bounded(void)
{
	struct neighbour_cache c;
	struct policy_address peer = v4(9999);
	uint8_t mac[6];

	neighbour_init(&c);
	neighbour_lookup(&c, &peer, S, mac);
	run(&c, S, S + 1, NULL);
	neighbour_heard(&c, &peer, mac1, true, false, S);
	for (unsigned i = 0; i < 5000; i++) { /* a flood of hosts that ask for us */
		struct policy_address a = v4(i);
		neighbour_heard(&c, &a, mac2, false, true, 2 * S + i);
	}
	CU_ASSERT_EQUAL(neighbour_lookup(&c, &peer, 3 * S, mac), 0);
	CU_ASSERT_EQUAL(memcmp(mac, mac1, 6), 0);
	for (unsigned i = 0; i < 5000; i++) { /* lookups do push out the longest unused */
		struct policy_address a = v4(i);
		neighbour_lookup(&c, &a, 4 * S + i, mac);
	}
	CU_ASSERT_EQUAL(state_of(&c, peer), NEIGHBOUR_UNUSED);
	CU_ASSERT_EQUAL(state_of(&c, v4(4999)), NEIGHBOUR_INCOMPLETE);
	/* full of looked-up ones: a host that asks gets no place */
	neighbour_heard(&c, &peer, mac1, false, true, 5 * S);
	CU_ASSERT_EQUAL(state_of(&c, peer), NEIGHBOUR_UNUSED);
}

UNIT_TESTS("neighbour", {"resolve", test_resolve}, {"stale, probe, failed, back", test_probe},
	{"back-off and forgetting", test_backoff}, {"unsolicited announcements", test_unsolicited},
	{"bounded, and peers survive a flood", test_bounded})
