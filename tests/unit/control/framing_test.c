/* SPDX-License-Identifier: BSD-3-Clause */
/* control/framing.c: a WAN that drops transparent frames is told from one that loses packets. */
#include "dataplane/control/framing.h"
#include "tests/unit/unit.h"

#define MS UINT64_C(1000000)

/* 20 s of hellos, each 150 ms; every second `sent` frames of which `lost` get lost. Returns when
 * the tunnel was called for, in ms; 0: never. */
static uint64_t watch(unsigned sent, unsigned lost, bool transparent)
{
	struct framing_watch w = {0};
	struct link_seq_counts received = {.unique = 5000, .lost = 300};
	uint64_t now_ns = 77 * MS, fell = 0;

	for (unsigned i = 1; i < 20000 / 150; i++) {
		now_ns += 150 * MS;
		received.unique += 1 + sent * 150 / 1000 - lost * 150 / 1000;
		received.lost += lost * 150 / 1000;
		if (framing_watch(
			    &w, 4, transparent && now_ns >= w.tunnel_until_ns, &received, now_ns)) {
			CU_ASSERT_EQUAL(fell, 0);
			CU_ASSERT_EQUAL(w.tunnel_until_ns, now_ns + FRAMING_TUNNEL_NS);
			fell = now_ns / MS;
		}
	}
	return fell;
}

static void test_watch(void)
{
	/* All lost: within two intervals. */
	CU_ASSERT(watch(1000, 1000, true) > 0 && watch(1000, 1000, true) < 2300);
	CU_ASSERT(watch(60, 60, true) > 0);
	/* Too few to say, losses that hellos would share, or none of it in transparent frames. */
	CU_ASSERT_EQUAL(watch(7, 7, true), 0);
	CU_ASSERT_EQUAL(watch(1000, 400, true), 0);
	CU_ASSERT_EQUAL(watch(1000, 0, true), 0);
	CU_ASSERT_EQUAL(watch(0, 0, true), 0);
	CU_ASSERT_EQUAL(watch(1000, 1000, false), 0);
}

static void test_restarts(void)
{
	struct framing_watch w = {0};
	struct link_seq_counts received = {.unique = 1000, .lost = 0};
	uint64_t now_ns = MS;

	/* Another session begins another interval, and counts that go back say nothing. */
	CU_ASSERT(!framing_watch(&w, 1, true, &received, now_ns));
	received.lost = 900;
	CU_ASSERT(!framing_watch(&w, 2, true, &received, now_ns += 1001 * MS));
	received = (struct link_seq_counts){.unique = 1, .lost = 950};
	CU_ASSERT(!framing_watch(&w, 2, true, &received, now_ns += 1001 * MS));
	received.lost = 0;
	CU_ASSERT(!framing_watch(&w, 2, true, &received, now_ns += 1001 * MS));
	received.lost = 20;
	CU_ASSERT(!framing_watch(&w, 2, true, &received, now_ns += 999 * MS));
	CU_ASSERT(framing_watch(&w, 2, true, &received, now_ns += 2 * MS));
}

UNIT_TESTS("framing", {"a WAN that drops them", test_watch}, {"restarts", test_restarts})
