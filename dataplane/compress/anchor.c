/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Choosing anchors (anchor.h): a polynomial over some of eight bytes, in arithmetic of single bytes,
 * so that one vector operation works on 32 places at once.
 */
#include "dataplane/compress/anchor.h"

#include <stdbool.h>
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

static inline uint64_t fingerprint(const uint8_t *p)
{
	uint64_t low = mix(load64(p) ^ UINT64_C(0xa0761d6478bd642f),
		load64(p + 8) ^ UINT64_C(0xe7037ed1a0b428db));
	uint64_t high = mix(load64(p + 16) ^ UINT64_C(0x8ebc6af09c88c6e3),
		load64(p + 24) ^ UINT64_C(0x589965cc75374cc3));

	return mix(low ^ UINT64_C(0x1d8e4e27c47d124f), high);
}

/*
 * Which of the LANES places from `p` on are chosen: bytes of 0xff in *found; false: none is. Reads
 * LANES + WINDOW - 1 bytes. Base 3: odd, so that each byte counts in full, and the high bits depend
 * on all of them.
 */
static inline bool choose(const uint8_t *p, uint64_t found[LANES / 8])
{
	static const uint8_t taps[] = {1, 4, 6, WINDOW - 1};
	bytes_vector sum, next;

	memcpy(&sum, p, LANES);
	for (unsigned i = 0; i < sizeof(taps); i++) {
		memcpy(&next, p + taps[i], LANES);
		sum = sum + sum + sum + next;
	}
	next = (bytes_vector)((sum - CHOSEN_FROM) < CHOSEN);
	memcpy(found, &next, LANES);
	return (found[0] | found[1] | found[2] | found[3]) != 0;
}

unsigned anchors_find(
	const uint8_t *bytes, uint32_t from, uint32_t len, struct anchor anchors[ANCHORS_MAX])
{
	/* Up to here ANCHOR_BYTES follow, and the vectors stay inside: ANCHOR_BYTES >= WINDOW. */
	uint32_t end = len >= ANCHOR_BYTES ? len - ANCHOR_BYTES + 1 : 0, free_from = from;
	uint64_t found[LANES / 8];
	unsigned count = 0;

	for (uint32_t at = from; at < end; at += LANES) {
		uint32_t first = at;

		/* The last places once more, together with some before them. */
		if (at + LANES + WINDOW - 1 > len) {
			if (len < from + LANES + WINDOW - 1)
				break;
			first = len - (LANES + WINDOW - 1);
		}
		if (!choose(bytes + first, found))
			continue;
		for (unsigned word = 0; word < LANES / 8; word++) {
			for (uint64_t left = found[word]; left != 0;) {
				unsigned byte = (unsigned)__builtin_ctzll(left) / 8;
				uint32_t place = first + word * 8 + byte;

				left &= ~(UINT64_C(0xff) << byte * 8);
				if (place < free_from || place >= end)
					continue;
				if (count == ANCHORS_MAX)
					return count;
				anchors[count].at = (uint16_t)place;
				anchors[count++].fingerprint = fingerprint(bytes + place);
				free_from = place + ANCHOR_BYTES;
			}
		}
	}
	return count;
}
