/* SPDX-License-Identifier: BSD-3-Clause */
/* Two halves of a store for the tests of frames: worker 2 of three sends to worker 1 of two. */
#ifndef SLUICE_TESTS_STORE_PAIR_H
#define SLUICE_TESTS_STORE_PAIR_H

#include <stdlib.h>
#include <string.h>

#include "tests/unit/compress/store_start.h"
#include "tests/unit/link/frames.h"

#define PAIR_SENDER 2u
#define PAIR_RECEIVER 1u

/* Empty halves of `slots` slots, no session yet, and the paths of their ends. NULL at first: they
 * are made; the same again with the same `slots`. */
static inline void store_pair(struct store_sender **sender, struct store_receiver **receiver,
	uint32_t slots, struct link_path path[2])
{
	uint32_t slot = store_slot_bytes(1600);
	static void *memory[2];

	if (*sender == NULL) {
		*sender = malloc(sizeof(**sender));
		*receiver = malloc(sizeof(**receiver));
		for (unsigned e = 0; e < 2; e++)
			memory[e] = malloc(store_memory_bytes(slots, slot, e == 0));
	}
	memset(*sender, 0, sizeof(**sender));
	memset(*receiver, 0, sizeof(**receiver));
	for (unsigned e = 0; e < 2; e++)
		memset(memory[e], 0, store_memory_bytes(slots, slot, e == 0));
	store_memory_init(&(*sender)->memory, memory[0], slots, slot, true);
	store_memory_init(&(*receiver)->memory, memory[1], slots, slot, false);
	/* The last of the workers of either end; the others are not needed. */
	store_senders_join(
		(struct store_sender *const[]){*sender, *sender, *sender}, PAIR_SENDER + 1);
	store_receivers_join(
		(struct store_receiver *const[]){*receiver, *receiver}, PAIR_RECEIVER + 1);
	frames_paths(path, 4, 0, false);
	path[0].peer_workers = PAIR_RECEIVER + 1;
	path[1].peer_workers = PAIR_SENDER + 1;
	path[0].store_slots = path[1].store_slots = slots;
}

#endif
