/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * compress/pack.c with the real codec behind it: what is foretold comes true nearly always, and
 * where it cannot, little work is done for nothing.
 */
#include "dataplane/compress/lz4.h"
#include "dataplane/compress/pack.h"
#include "tests/unit/compress/data.h"
#include "tests/unit/unit.h"

#define FRAME 1454
#define ROOM 1456 /* in an outer packet of 1,500 bytes */
#define MAX 11

_Alignas(COMPRESSOR_ALIGN) static uint8_t memory[65536];
static uint8_t bytes[MAX * FRAME], blob[MAX * FRAME];

struct costs {
	uint32_t packets, frames, packs, failed, wasted; /* wasted: packets that a codec ran over */
};

static bool is_always_on;

/* `packets` of a flow, all there at once, as the worker takes them: one that has not been made
 * smaller by itself says that the next ones need not be tried together. `equal` packets in a row
 * are alike: the larger, the better they go together. */
static void send(struct pack_estimate *e, uint32_t packets, uint32_t equal, uint64_t seed,
	enum data_kind kind, struct costs *costs)
{
	struct compressor *c = compressor_init(memory);
	bool is_on = true;

	for (uint32_t i = 0; i < packets;) {
		uint32_t most = is_on ? pack_expected(e, ROOM) / FRAME : 0, count = 0;
		int n;

		for (; count < most && count < MAX && i + count < packets; count++)
			data_fill(bytes + count * FRAME, FRAME, kind, seed + (i + count) / equal);
		if (count >= 2) {
			n = compressor_lz4(c, bytes, count * FRAME, blob, ROOM, 1);
			if (n > 0) {
				pack_fitted(e, count * FRAME, (uint32_t)n);
				costs->packs++;
				costs->frames++;
				costs->packets += count;
				i += count;
				continue;
			}
			pack_failed(e, count);
			costs->failed++;
			costs->wasted += count;
		}
		data_fill(bytes, FRAME, kind, seed + i / equal);
		n = compressor_lz4(c, bytes, FRAME, blob, FRAME - 100, 1);
		is_on = n > 0 || is_always_on;
		if (n > 0)
			pack_single(e, FRAME, (uint32_t)n);
		costs->frames++;
		costs->packets++;
		i++;
	}
}

static void test_grows(void)
{
	struct pack_estimate e = {0};
	struct costs costs = {0};

	CU_ASSERT_EQUAL(pack_expected(&e, ROOM), 0); /* nothing known yet */
	send(&e, 4000, 8, 1, DATA_TEXT, &costs);
	CU_ASSERT_EQUAL(costs.packets, 4000);
	CU_ASSERT(costs.frames < 4000 / 4);
	CU_ASSERT(costs.wasted < 4000 / 50);
}

/* No two fit: hardly ever tried. */
static void test_hopeless(void)
{
	struct pack_estimate e = {0};
	struct costs costs = {0};

	send(&e, 4000, 1, 1, DATA_RANDOM, &costs);
	CU_ASSERT(costs.packs == 0 && costs.wasted < 10);
	/* Even with the best hopes again and again, and no other advice. */
	memset(&costs, 0, sizeof(costs));
	is_always_on = true;
	for (unsigned i = 0; i < 100; i++) {
		e.share = PACK_SHARE / 4;
		send(&e, 400, 1, i, DATA_RANDOM, &costs);
	}
	is_always_on = false;
	CU_ASSERT(costs.packs == 0 && costs.wasted < 100 * 400 / 10);
	CU_ASSERT_EQUAL(costs.frames, 100 * 400);
}

/* Content that changes is followed, both ways. */
static void test_changes(void)
{
	struct pack_estimate e = {0};
	struct costs costs = {0}, after = {0};

	for (unsigned i = 0; i < 50; i++) {
		send(&e, 60, 8, i, DATA_TEXT, &costs);
		send(&e, 60, 1, i, DATA_RANDOM, &costs);
	}
	CU_ASSERT(costs.wasted < 50 * 120 / 8);
	send(&e, 600, 8, 1, DATA_TEXT, &after);
	CU_ASSERT(after.frames < 600 / 3);
}

static void test_bounds(void)
{
	struct pack_estimate e = {.share = UINT8_MAX};

	for (unsigned i = 0; i < 1000; i++) {
		pack_failed(&e, i % 40);
		CU_ASSERT(e.share == UINT8_MAX && e.back_off <= PACK_BACK_OFF_MAX);
	}
	CU_ASSERT_EQUAL(e.skip, PACK_SKIP_MAX);
	for (unsigned i = 0; i < PACK_SKIP_MAX; i++)
		CU_ASSERT_EQUAL(pack_expected(&e, ROOM), 0);
	CU_ASSERT_EQUAL(pack_expected(&e, 1600), 1500 * PACK_SHARE / UINT8_MAX);
	for (unsigned i = 0; i < 60; i++)
		pack_fitted(&e, 16000, 1);
	CU_ASSERT_EQUAL(e.share, PACK_SHARE_LEAST);
	CU_ASSERT_EQUAL(e.back_off, 0);
	pack_fitted(&e, 1, 100);
	pack_single(&e, 0, 100);
	CU_ASSERT(e.share > PACK_SHARE_LEAST);

	/* What is never worth a try is tried all the same some time later. */
	e = (struct pack_estimate){.share = 200};
	CU_ASSERT(pack_is_worth(&e, 3, 256, 200));
	unsigned times = 0;
	while (!pack_is_worth(&e, 3, 256, 100))
		times++;
	CU_ASSERT_EQUAL(times, 100);
	CU_ASSERT_EQUAL(e.skip, 3);
	e.share = PACK_SHARE_LEAST;
	CU_ASSERT(!pack_is_worth(&e, 3, 256, PACK_SHARE_LEAST - 1));
	CU_ASSERT_EQUAL(e.share, PACK_SHARE_LEAST);
}

UNIT_TESTS("compress-pack", {"as many as fit", test_grows}, {"where none fit", test_hopeless},
	{"changes", test_changes}, {"bounds", test_bounds})
