/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Choosing anchors (anchor.h): a polynomial over some of eight bytes, in arithmetic of single
 * bytes, so that one vector operation works on 32 places at once.
 */
#include "dataplane/compress/anchor.h"

#include <emmintrin.h>
#include <string.h>

#define WINDOW 8
#define LANES 32
/* A place is chosen when its polynomial is one of CHOSEN consecutive values out of 256. Not around
 * 0: runs of zeros are common. */
#define CHOSEN 3
#define CHOSEN_FROM 77

typedef uint8_t bytes_vector __attribute__((vector_size(LANES)));

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Multiply to 128 bits and fold, as wyhash does. */
static inline uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t mix32(const uint8_t *p)
{
	uint64_t low = mix(load64(p) ^ UINT64_C(0xa0761d6478bd642f),
		load64(p + 8) ^ UINT64_C(0xe7037ed1a0b428db));
	uint64_t high = mix(load64(p + 16) ^ UINT64_C(0x8ebc6af09c88c6e3),
		load64(p + 24) ^ UINT64_C(0x589965cc75374cc3));

	return low ^ high;
}

static inline uint64_t fingerprint(const uint8_t *p)
{
	return mix(mix32(p) ^ UINT64_C(0x1d8e4e27c47d124f), mix32(p + ANCHOR_BYTES / 2));
}

/*
 * Which of the LANES places from `p` on are chosen: a bit each. Reads LANES + WINDOW - 1 bytes.
 * Base 3: odd, so that each byte counts in full, and the high bits depend on all of them.
 */
static inline uint32_t choose(const uint8_t *p)
{
	static const uint8_t taps[] = {1, 4, 6, WINDOW - 1};
	bytes_vector sum, next;

	memcpy(&sum, p, LANES);
	for (unsigned i = 0; i < sizeof(taps); i++) {
		memcpy(&next, p + taps[i], LANES);
		sum = sum + sum + sum + next;
	}
	next = (bytes_vector)((sum - CHOSEN_FROM) < CHOSEN);

	__m128i half[2];

	memcpy(half, &next, LANES);
	return (uint32_t)_mm_movemask_epi8(half[0]) | (uint32_t)_mm_movemask_epi8(half[1]) << 16;
}

unsigned anchors_find(
	const uint8_t *bytes, uint32_t from, uint32_t len, struct anchor anchors[ANCHORS_MAX])
{
	/* Places up to `end` have ANCHOR_BYTES behind them, and the vectors stay inside: these are
	 * more than WINDOW. A few at the end may be missed, a whole vector of them being needed. */
	uint32_t end = len >= ANCHOR_BYTES ? len - ANCHOR_BYTES + 1 : 0, free_from = from;
	unsigned count = 0;

	/* Where they are is known to nobody, the branch predictor included: find the places first,
	 * as bits of 64 of them, and look at their bytes when all are known. */
	for (uint32_t at = from; at + LANES + WINDOW - 1 <= len; at += 2 * LANES) {
		uint64_t chosen = choose(bytes + at);

		if (at + 2 * LANES + WINDOW - 1 <= len)
			chosen |= (uint64_t)choose(bytes + at + LANES) << LANES;
		for (; chosen != 0; chosen &= chosen - 1) {
			uint32_t place = at + (uint32_t)__builtin_ctzll(chosen);

			if (place < free_from || place >= end)
				continue;
			if (count == ANCHORS_MAX)
				goto found;
			anchors[count++].at = (uint16_t)place;
			free_from = place + ANCHOR_GAP;
		}
	}
found:
	for (unsigned i = 0; i < count; i++)
		anchors[i].fingerprint = fingerprint(bytes + anchors[i].at);
	return count;
}
