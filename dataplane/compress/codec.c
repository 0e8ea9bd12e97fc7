/* SPDX-License-Identifier: BSD-3-Clause */
/* The codecs by their numbers (codec.h): what stands in front of a block, and whose it is. */
#include "dataplane/compress/codec.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

struct codec {
	const struct dictionaries *dictionaries;
	struct compressor *lz4;
	struct zstd *zstd;
	uint8_t trial[CODEC_ORIGINAL_MAX_BYTES];
};

static size_t aligned(size_t bytes)
{
	return (bytes + CODEC_ALIGN - 1) / CODEC_ALIGN * CODEC_ALIGN;
}

size_t codec_bytes(void)
{
	return aligned(sizeof(struct codec)) + aligned(compressor_bytes()) + aligned(zstd_bytes());
}

struct codec *codec_init(void *memory, const struct dictionaries *dictionaries)
{
	struct codec *c = memory;
	uint8_t *at = memory;

	if (c == NULL || (uintptr_t)memory % CODEC_ALIGN != 0)
		return NULL;
	c->dictionaries = dictionaries;
	at += aligned(sizeof(*c));
	c->lz4 = compressor_init(at);
	at += aligned(compressor_bytes());
	c->zstd = zstd_init(at);
	return c->lz4 != NULL && c->zstd != NULL ? c : NULL;
}

const struct dictionaries *codec_dictionaries(const struct codec *c)
{
	return c->dictionaries;
}

struct compressor *codec_compressor(struct codec *c)
{
	return c->lz4;
}

struct zstd *codec_zstd(struct codec *c)
{
	return c->zstd;
}

int codec_encode(struct codec *c, struct codec_method method, const uint8_t *in, uint32_t len,
	uint8_t *out, uint32_t room)
{
	const struct dictionary *d = dictionaries_find(c->dictionaries, method.dictionary);
	int n;

	if (room < 2 || (method.dictionary != 0 && d == NULL))
		return 0;
	switch (method.number) {
	case CODEC_RAW:
		if (len > room)
			return 0;
		memcpy(out, in, len);
		return (int)len;
	case CODEC_LZ4:
		return compressor_lz4(c->lz4, in, len, out, room, method.effort);
	case CODEC_LZ4_DICTIONARY:
		n = d == NULL ? 0
			      : compressor_lz4_dictionary(
					c->lz4, d->lz4, in, len, out + 1, room - 1, method.effort);
		break;
	case CODEC_ZSTD:
		n = zstd_compress(c->zstd, d == NULL ? NULL : d->zstd, in, len, out + 1, room - 1,
			method.effort);
		break;
	default:
		return 0;
	}
	out[0] = method.dictionary;
	return n > 0 ? n + 1 : 0;
}

/* Does zstd do better with a dictionary than without? */
static bool zstd_gains(
	struct codec *c, int level, const struct dictionary *d, const uint8_t *in, uint32_t len)
{
	int without = zstd_compress(c->zstd, NULL, in, len, c->trial, sizeof(c->trial), level);
	uint32_t room = without > 0 ? (uint32_t)without - 1 : sizeof(c->trial);

	return zstd_compress(c->zstd, d->zstd, in, len, c->trial, room, level) > 0;
}

uint8_t codec_find_dictionary(
	struct codec *c, struct codec_method method, uint16_t ids, const uint8_t *in, uint32_t len)
{
	int least = compressor_lz4(c->lz4, in, len, c->trial, sizeof(c->trial), 1);
	uint32_t room = least > 0 ? (uint32_t)least - 1 : sizeof(c->trial);
	const struct dictionary *best = NULL;

	for (uint8_t id = 1; id < DICTIONARY_IDS && room > 0; id++) {
		const struct dictionary *d = dictionaries_find(c->dictionaries, id);
		int n = d == NULL || !(ids >> id & 1) ? 0
						      : compressor_lz4_dictionary(c->lz4, d->lz4,
								in, len, c->trial, room, 1);

		if (n > 0) {
			best = d;
			room = (uint32_t)n - 1; /* the next one must be better */
		}
	}
	if (best == NULL ||
		(method.number == CODEC_ZSTD && !zstd_gains(c, method.effort, best, in, len)))
		return 0;
	return best->id;
}

int codec_decode(struct codec *c, uint8_t number, const uint8_t *in, uint32_t len, uint8_t *out,
	uint32_t original_len)
{
	const struct dictionary *d;

	switch (number) {
	case CODEC_RAW:
		if (len != original_len)
			return -EBADMSG;
		memcpy(out, in, len);
		return 0;
	case CODEC_LZ4:
		return decompress_lz4(in, len, out, original_len);
	case CODEC_LZ4_DICTIONARY:
		d = len > 0 ? dictionaries_find(c->dictionaries, in[0]) : NULL;
		if (d == NULL)
			return -EBADMSG;
		return decompress_lz4_dictionary(
			d->content, d->content_len, in + 1, len - 1, out, original_len);
	case CODEC_ZSTD:
		d = len > 0 ? dictionaries_find(c->dictionaries, in[0]) : NULL;
		if (len == 0 || (in[0] != 0 && d == NULL))
			return -EBADMSG;
		return zstd_decompress(
			c->zstd, d == NULL ? NULL : d->zstd, in + 1, len - 1, out, original_len);
	default:
		return -EBADMSG;
	}
}
