/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: the codecs. The first byte says what the rest is (tests/fuzz/corpus/codec):
 *
 *     bits 0-2  codec number
 *     bit 3     0: a blob to decode, behind two bytes of original length; all of its bytes are
 *               hostile. 1: data, which must come back through the codec
 *     bits 4-7  of data: the dictionary; the effort is 1 or, with an odd length, 3
 *
 * Blobs and what they give stand in heap blocks of just their size, so that ASan sees any byte
 * touched behind them.
 */
#include <stdlib.h>
#include <string.h>

#include "dataplane/compress/codec.h"

#define HOLDS(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *aligned(size_t bytes)
{
	return aligned_alloc(CODEC_ALIGN, (bytes + CODEC_ALIGN - 1) / CODEC_ALIGN * CODEC_ALIGN);
}

static uint8_t *copy(const uint8_t *data, size_t size)
{
	uint8_t *block = malloc(size);

	HOLDS(block != NULL || size == 0);
	if (size > 0)
		memcpy(block, data, size);
	return block;
}

static void hostile(struct codec *c, uint8_t number, const uint8_t *data, size_t size)
{
	uint32_t original_len = (uint32_t)(data[0] << 8 | data[1]) & CODEC_ORIGINAL_MAX_BYTES;
	uint8_t *blob = copy(data + 2, size - 2), *out = malloc(original_len);

	codec_decode(c, number, blob, (uint32_t)size - 2, out, original_len);
	free(out);
	free(blob);
}

static void round_trip(
	struct codec *c, struct codec_method method, const uint8_t *data, size_t size)
{
	uint8_t *in = copy(data, size), *out = malloc(size), *blob;
	uint32_t room = (uint32_t)size + 64;
	int n;

	blob = malloc(room);
	n = codec_encode(c, method, in, (uint32_t)size, blob, room);
	HOLDS(n >= 0 && n <= (int)room);
	if (n > 0) {
		uint8_t *exact = copy(blob, (size_t)n);

		HOLDS(codec_decode(c, method.number, exact, (uint32_t)n, out, (uint32_t)size) == 0);
		HOLDS(memcmp(out, in, size) == 0);
		free(exact);
	}
	/* Giving up early must not write beyond less room, nor spoil the next packet. */
	free(blob);
	blob = malloc(size / 2);
	codec_encode(c, method, in, (uint32_t)size, blob, (uint32_t)size / 2);
	free(blob);
	free(out);
	free(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct codec *c;

	if (c == NULL)
		c = codec_init(
			aligned(codec_bytes()), dictionaries_init(aligned(dictionaries_bytes())));
	HOLDS(c != NULL);
	if (size < 3 || size > CODEC_ORIGINAL_MAX_BYTES)
		return 0;
	if (data[0] & 8) {
		struct codec_method method = {.number = data[0] & 7,
			.effort = size & 1 ? 3 : 1,
			.dictionary = data[0] >> 4};
		round_trip(c, method, data + 1, size - 1);
	} else {
		hostile(c, data[0] & 7, data + 1, size - 1);
	}
	return 0;
}
