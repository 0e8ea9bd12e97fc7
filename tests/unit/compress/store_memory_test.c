/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the store (compress/store.h) lies on: anchors that follow the content, memory, and the
 * shares of it that lanes get. store_test.c has what goes through a lane.
 */
#include <stdlib.h>

#include "dataplane/compress/store.h"
#include "tests/unit/compress/data.h"
#include "tests/unit/compress/store_start.h"
#include "tests/unit/unit.h"

#define SLOTS 2000

static void test_anchors(void)
{
	static const enum data_kind kinds[] = {DATA_TEXT, DATA_RANDOM, DATA_BINARY};
	struct anchor a[ANCHORS_MAX], b[ANCHORS_MAX];
	static uint8_t bytes[16000], shifted[16000];

	for (unsigned kind = 0; kind < 3; kind++) {
		unsigned total = 0, same = 0;

		for (uint64_t seed = 0; seed < 100; seed++) {
			data_fill(bytes, 1400, kinds[kind], seed);
			unsigned n = anchors_find(bytes, 0, 1400, a), last = 0;
			for (unsigned i = 0; i < n; i++) {
				CU_ASSERT(i == 0 || a[i].at >= last + ANCHOR_GAP);
				CU_ASSERT(a[i].at + ANCHOR_BYTES <= 1400);
				last = a[i].at;
			}
			total += n;
			/* The same bytes somewhere else. */
			uint32_t by = 1 + seed % 61;
			memcpy(shifted + by, bytes, 1400);
			unsigned m = anchors_find(shifted, by, 1400 + by, b);
			for (unsigned i = 0, j = 0; i < n && j < m;) {
				if (a[i].at + by == b[j].at) {
					CU_ASSERT_EQUAL(a[i].fingerprint, b[j].fingerprint);
					same++;
					i++, j++;
				} else if (a[i].at + by < b[j].at) {
					i++;
				} else {
					j++;
				}
			}
		}
		CU_ASSERT(total >= 200 && total <= 4200);
		CU_ASSERT_EQUAL(same, total);
	}
	memset(bytes, 0, sizeof(bytes));
	CU_ASSERT_EQUAL(anchors_find(bytes, 0, 1400, a), 0);
	for (uint32_t len = 0; len < 120; len++) {
		uint8_t *exact = malloc(len + 1);

		data_fill(exact, len, DATA_RANDOM, len);
		anchors_find(exact, 0, len, a);
		anchors_find(exact, len / 2, len, a);
		free(exact);
	}
	data_fill(bytes, sizeof(bytes), DATA_RANDOM, 5);
	CU_ASSERT_EQUAL(anchors_find(bytes, 0, sizeof(bytes), a), ANCHORS_MAX);
}

/* With several workers at both ends: lanes lie apart, agree at both ends, and what cannot carry
 * anything has no memory. */
static void test_lanes(void)
{
	uint32_t slot = store_slot_bytes(1514);
	struct store_sender *sender = calloc(1, sizeof(*sender));
	struct store_receiver *receiver = calloc(1, sizeof(*receiver));
	void *memory[] = {calloc(1, store_memory_bytes(SLOTS, slot, true)),
		calloc(1, store_memory_bytes(SLOTS, slot, false))};

	store_memory_init(&sender->memory, memory[0], SLOTS, slot, true);
	store_memory_init(&receiver->memory, memory[1], SLOTS, slot, false);
	for (unsigned ours = 1; ours <= STORE_WORKERS; ours++)
		for (unsigned theirs = 1; theirs <= STORE_WORKERS; theirs++)
			for (unsigned worker = 0; worker < ours; worker++) {
				uint32_t used = 0, sent = 0;

				sender->worker = (uint8_t)worker;
				sender->workers = (uint8_t)ours;
				forget_sender(sender);
				start_sender(sender, 1, theirs, SLOTS);
				for (unsigned hash = 0; hash < 128; hash++)
					if (hash % ours == worker)
						used |= 1u << hash % theirs;
				for (unsigned i = 0; i < STORE_WORKERS; i++) {
					const struct store_tx *tx = &sender->lane[i];

					CU_ASSERT_EQUAL(tx->kept.count > 0, used >> i & 1);
					CU_ASSERT(tx->kept.count == 0 ||
						  tx->kept.slots == sender->memory.slots + sent);
					sent += tx->kept.count;
					if (tx->kept.count == 0)
						continue;
					receiver->worker = (uint8_t)i;
					receiver->workers = (uint8_t)theirs;
					forget_receiver(receiver);
					store_receiver_start(receiver, 1, ours);
					CU_ASSERT(receiver->lane[worker].kept.count >=
						  tx->kept.count);
				}
				CU_ASSERT(sent <= sender->memory.count);
				if (ours == theirs)
					CU_ASSERT_EQUAL(sent, SLOTS);
			}
	free(memory[0]);
	free(memory[1]);
	free(sender);
	free(receiver);
}

static void test_memory(void)
{
	for (uint64_t bytes = 1 << 20; bytes < UINT64_C(1) << 36; bytes *= 7)
		for (unsigned is_sender = 0; is_sender < 2; is_sender++) {
			uint32_t slot = store_slot_bytes(1522);
			uint32_t slots = store_slots_in(bytes, slot, is_sender);

			CU_ASSERT_EQUAL(slot, 1536);
			CU_ASSERT(store_memory_bytes(slots, slot, is_sender) <= bytes);
			CU_ASSERT(store_memory_bytes(slots + 8, slot, is_sender) > bytes);
		}
}

UNIT_TESTS("compress-store_memory", {"anchors follow the content", test_anchors},
	{"lanes of several workers", test_lanes}, {"memory", test_memory})
