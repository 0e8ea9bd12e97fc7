/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * LZ4 per packet (lz4.h), through liblz4's calls for callers that keep the state themselves. They
 * are exported by the static library only.
 */
#define LZ4_STATIC_LINKING_ONLY
#include "dataplane/compress/lz4.h"

#include <assert.h>
#include <errno.h>
#include <lz4.h>

struct compressor {
	/* Always in a state that liblz4 left it in itself: what _fastReset demands. */
	LZ4_stream_t state;
	/* By itself, because blocks with a dictionary use another type of table: to change the type
	 * clears the table. */
	LZ4_stream_t with_dictionary;
} __attribute__((aligned(COMPRESSOR_ALIGN)));

struct lz4_dictionary {
	LZ4_stream_t hashed;
} __attribute__((aligned(COMPRESSOR_ALIGN)));

static_assert(LZ4_VERSION_NUMBER >= 10900, "LZ4_compress_fast_extState_fastReset()");

size_t compressor_bytes(void)
{
	return sizeof(struct compressor);
}

struct compressor *compressor_init(void *memory)
{
	struct compressor *c = memory;

	if (c == NULL || (uintptr_t)memory % COMPRESSOR_ALIGN != 0)
		return NULL;
	if (LZ4_initStream(&c->state, sizeof(c->state)) == NULL ||
		LZ4_initStream(&c->with_dictionary, sizeof(c->with_dictionary)) == NULL)
		return NULL;
	return c;
}

int compressor_lz4(struct compressor *c, const uint8_t *in, uint32_t len, uint8_t *out,
	uint32_t room, int acceleration)
{
	if (len > LZ4_MAX_INPUT_SIZE || room > INT32_MAX || room == 0)
		return 0;
	return LZ4_compress_fast_extState_fastReset(
		&c->state, (const char *)in, (char *)out, (int)len, (int)room, acceleration);
}

int decompress_lz4(const uint8_t *in, uint32_t len, uint8_t *out, uint32_t original_len)
{
	if (len == 0 || len > INT32_MAX || original_len > INT32_MAX)
		return -EBADMSG;
	if (LZ4_decompress_safe((const char *)in, (char *)out, (int)len, (int)original_len) !=
		(int)original_len)
		return -EBADMSG;
	return 0;
}

size_t lz4_dictionary_bytes(void)
{
	return sizeof(struct lz4_dictionary);
}

struct lz4_dictionary *lz4_dictionary_init(void *memory, const uint8_t *bytes, uint32_t len)
{
	struct lz4_dictionary *d = memory;

	if (d == NULL || (uintptr_t)memory % COMPRESSOR_ALIGN != 0 || len > INT32_MAX ||
		LZ4_initStream(&d->hashed, sizeof(d->hashed)) == NULL)
		return NULL;
	LZ4_loadDict(&d->hashed, (const char *)bytes, (int)len);
	return d;
}

int compressor_lz4_dictionary(struct compressor *c, const struct lz4_dictionary *dictionary,
	const uint8_t *in, uint32_t len, uint8_t *out, uint32_t room, int acceleration)
{
	if (len > LZ4_MAX_INPUT_SIZE || room > INT32_MAX || room == 0)
		return 0;
	LZ4_resetStream_fast(&c->with_dictionary);
	/* Refers to the dictionary's own table, which is not copied; for one block. */
	LZ4_attach_dictionary(&c->with_dictionary, &dictionary->hashed);
	return LZ4_compress_fast_continue(&c->with_dictionary, (const char *)in, (char *)out,
		(int)len, (int)room, acceleration);
}

int decompress_lz4_dictionary(const uint8_t *dictionary, uint32_t dictionary_len, const uint8_t *in,
	uint32_t len, uint8_t *out, uint32_t original_len)
{
	if (len == 0 || len > INT32_MAX || original_len > INT32_MAX || dictionary_len > INT32_MAX)
		return -EBADMSG;
	if (LZ4_decompress_safe_usingDict((const char *)in, (char *)out, (int)len,
		    (int)original_len, (const char *)dictionary,
		    (int)dictionary_len) != (int)original_len)
		return -EBADMSG;
	return 0;
}
