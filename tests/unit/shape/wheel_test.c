/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The timing wheel against a plain array that is searched from end to end: random times from now
 * to beyond the horizon, random removals, steps of time from nanoseconds to hours.
 */
#include "tests/unit/unit.h"

#include <stdlib.h>

#include "dataplane/shape/wheel.h"

#define ENTRIES 2000u
#define TICK (1ull << WHEEL_TICK_SHIFT)

static struct wheel wheel;
static struct wheel_node nodes[ENTRIES + 1];
static uint64_t due[ENTRIES + 1]; /* the model: 0 is not in */
static uint64_t random_state = 88172645463325252ull;

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* From nanoseconds to minutes, each order of magnitude as often. */
static uint64_t random_span(void)
{
	return random_next() & ((1ull << (4 + random_next() % 33)) - 1);
}

static uint64_t model_earliest(void)
{
	uint64_t least = UINT64_MAX;

	for (uint32_t i = 1; i <= ENTRIES; i++)
		if (due[i] != 0 && due[i] < least)
			least = due[i];
	return least;
}

static void test_random(void)
{
	uint64_t now = 5ull << 40;
	uint32_t ids[64], in = 0;
	unsigned early = 0, late = 0, wrong = 0, next_wrong = 0, disorder = 0;

	wheel_init(&wheel, nodes, ENTRIES, now);
	for (unsigned round = 0; round < 40000; round++) {
		for (unsigned k = 0; k < 3; k++) {
			uint32_t id = 1 + (uint32_t)(random_next() % ENTRIES);
			if (due[id] != 0) {
				if (random_next() % 4 == 0) {
					wheel_remove(&wheel, id);
					due[id] = 0;
					in--;
				}
				continue;
			}
			due[id] = now + random_span();
			wheel_insert(&wheel, id, due[id]);
			in++;
		}
		if (wheel.count != in)
			wrong++;
		uint64_t least = model_earliest(), next = wheel_next_ns(&wheel);
		if (least == UINT64_MAX ? next != UINT64_MAX : next > least + 2 * TICK)
			next_wrong++;
		/* Half of the time as told, else by chance. */
		if (round % 2 && next != UINT64_MAX && next > now)
			now = next;
		else
			now += random_span() / 64;
		unsigned n, max = round % 3 ? 64 : 2;
		uint64_t last = 0;
		do {
			n = wheel_expire(&wheel, now, ids, max);
			for (unsigned i = 0; i < n; i++) {
				if (due[ids[i]] == 0) {
					wrong++;
					continue;
				}
				early += due[ids[i]] > now;
				/* In the order of ticks; what was due at once counts as the next
				 * tick. */
				uint64_t tick = nodes[ids[i]].due_tick;
				disorder += tick < last;
				last = tick;
				due[ids[i]] = 0;
				in--;
			}
		} while (n == max);
		late += model_earliest() + 2 * TICK <= now;
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(early, 0);
	CU_ASSERT_EQUAL(late, 0);
	CU_ASSERT_EQUAL(disorder, 0);
	CU_ASSERT_EQUAL(next_wrong, 0);
	CU_ASSERT_TRUE(in > 0);
}

/* Following next_ns alone leads to every entry within one tick, in a bounded number of steps. */
static void test_next(void)
{
	static const uint64_t spans[] = {0, 1, 1023, 1024, 1025, 4194303, 4194304, 4194305,
		1000000000, 17179869183, 17179869184, 17184063488, 100000000000, 3600000000000ull};

	for (unsigned start = 0; start < 3; start++)
		for (unsigned i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
			uint64_t begin = 1000000000 + start * 2097151, now = begin, at;
			uint32_t id = 0;
			unsigned steps = 0;
			wheel_init(&wheel, nodes, ENTRIES, now);
			at = now + spans[i];
			wheel_insert(&wheel, 7, at);
			CU_ASSERT_TRUE(wheel_holds(&wheel, 7));
			while (wheel_expire(&wheel, now, &id, 1) == 0 && ++steps < 300)
				now = wheel_next_ns(&wheel);
			CU_ASSERT_EQUAL(id, 7);
			CU_ASSERT_TRUE(now >= at && now <= at + 2 * TICK);
			CU_ASSERT_TRUE(wheel_next_ns(&wheel) == UINT64_MAX);
			CU_ASSERT_FALSE(wheel_holds(&wheel, 7));
		}
}

UNIT_TESTS(
	"shape-wheel", {"as a searched list", test_random}, {"next time, far and near", test_next})
