/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zstd per packet (zstd.h). Frames are made and read whole by libzstd; their constant headers are
 * taken off and put back here. As they never come from outside, a peer can ask neither for a
 * window, nor for a second frame, nor for anything else that libzstd would allocate for.
 */
#define ZSTD_STATIC_LINKING_ONLY
#include "dataplane/compress/zstd.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <zstd.h>

#define FRAME_DESCRIPTOR 0x00  /* no content size, no checksum, no dictionary id */
#define WINDOW_DESCRIPTOR 0x38 /* 128 kB: more than any block here has */
#define BLOCK_LAST 1u
#define BLOCK_COMPRESSED (2u << 1)
#define PACKET_BYTES 1400 /* what the tables are made for */

struct zstd {
	ZSTD_CCtx *compress;
	ZSTD_DCtx *decompress;
	uint8_t frame[ZSTD_HEADERS_BYTES + ZSTD_COMPRESSBOUND(ZSTD_ORIGINAL_MAX_BYTES)];
};

struct zstd_dictionary {
	const ZSTD_CDict *compress[ZSTD_LEVELS];
	const ZSTD_DDict *decompress;
};

static size_t aligned(size_t bytes)
{
	return (bytes + ZSTD_ALIGN - 1) / ZSTD_ALIGN * ZSTD_ALIGN;
}

/* Enough for every level, with and without a dictionary attached. */
static size_t compress_bytes(void)
{
	size_t most = 0;

	for (int level = 1; level <= ZSTD_LEVELS; level++) {
		size_t bytes = ZSTD_estimateCCtxSize_usingCParams(
			ZSTD_getCParams(level, ZSTD_ORIGINAL_MAX_BYTES, 0));
		most = bytes > most ? bytes : most;
	}
	return most;
}

size_t zstd_bytes(void)
{
	return aligned(sizeof(struct zstd)) + aligned(compress_bytes()) +
	       aligned(ZSTD_estimateDCtxSize());
}

/* The tables must have been big enough for the longest data at each level: libzstd says so only
 * when it compresses. */
static bool works(struct zstd *z)
{
	static const uint8_t zeros[ZSTD_ORIGINAL_MAX_BYTES];
	uint8_t out[256];

	for (int level = 1; level <= ZSTD_LEVELS; level++)
		if (zstd_compress(z, NULL, zeros, sizeof(zeros), out, sizeof(out), level) == 0)
			return false;
	return true;
}

struct zstd *zstd_init(void *memory)
{
	struct zstd *z = memory;
	uint8_t *at = memory;

	if (z == NULL || (uintptr_t)memory % ZSTD_ALIGN != 0)
		return NULL;
	at += aligned(sizeof(*z));
	z->compress = ZSTD_initStaticCCtx(at, compress_bytes());
	at += aligned(compress_bytes());
	z->decompress = ZSTD_initStaticDCtx(at, ZSTD_estimateDCtxSize());
	if (z->compress == NULL || z->decompress == NULL ||
		ZSTD_isError(ZSTD_CCtx_setParameter(z->compress, ZSTD_c_contentSizeFlag, 0)) ||
		ZSTD_isError(ZSTD_CCtx_setParameter(z->compress, ZSTD_c_dictIDFlag, 0)) ||
		/* A copy of the dictionary's tables would need more memory than there is. */
		ZSTD_isError(ZSTD_CCtx_setParameter(
			z->compress, ZSTD_c_forceAttachDict, ZSTD_dictForceAttach)))
		return NULL;
	return works(z) ? z : NULL;
}

static ZSTD_compressionParameters dictionary_parameters(int level, uint32_t len)
{
	return ZSTD_getCParams(level, PACKET_BYTES, len);
}

size_t zstd_dictionary_bytes(uint32_t len)
{
	size_t bytes = aligned(sizeof(struct zstd_dictionary)) +
		       aligned(ZSTD_estimateDDictSize(len, ZSTD_dlm_byRef));

	for (int level = 1; level <= ZSTD_LEVELS; level++)
		bytes += aligned(ZSTD_estimateCDictSize_advanced(
			len, dictionary_parameters(level, len), ZSTD_dlm_byRef));
	return bytes;
}

struct zstd_dictionary *zstd_dictionary_init(void *memory, const uint8_t *bytes, uint32_t len)
{
	struct zstd_dictionary *d = memory;
	uint8_t *at = memory;
	size_t size;

	if (d == NULL || (uintptr_t)memory % ZSTD_ALIGN != 0)
		return NULL;
	at += aligned(sizeof(*d));
	for (int level = 1; level <= ZSTD_LEVELS; level++, at += aligned(size)) {
		ZSTD_compressionParameters parameters = dictionary_parameters(level, len);

		size = ZSTD_estimateCDictSize_advanced(len, parameters, ZSTD_dlm_byRef);
		d->compress[level - 1] = ZSTD_initStaticCDict(
			at, size, bytes, len, ZSTD_dlm_byRef, ZSTD_dct_fullDict, parameters);
		if (d->compress[level - 1] == NULL)
			return NULL;
	}
	size = ZSTD_estimateDDictSize(len, ZSTD_dlm_byRef);
	d->decompress =
		ZSTD_initStaticDDict(at, size, bytes, len, ZSTD_dlm_byRef, ZSTD_dct_fullDict);
	return d->decompress != NULL ? d : NULL;
}

/* Of bytes that serve some ten packets: more bits cost more time than they save bytes. */
#define HISTORY_TABLE_LOG 14u

static ZSTD_compressionParameters history_parameters(int level, uint32_t len)
{
	ZSTD_compressionParameters p = dictionary_parameters(level, len);

	if (p.hashLog > HISTORY_TABLE_LOG)
		p.hashLog = HISTORY_TABLE_LOG;
	if (p.chainLog > HISTORY_TABLE_LOG)
		p.chainLog = HISTORY_TABLE_LOG;
	return p;
}

static size_t history_cdict_bytes(int level, uint32_t len)
{
	return aligned(ZSTD_estimateCDictSize_advanced(
		len, history_parameters(level, len), ZSTD_dlm_byRef));
}

size_t zstd_history_encoder_bytes(uint32_t len)
{
	size_t most = 0;

	for (int level = 1; level <= ZSTD_LEVELS; level++)
		most = history_cdict_bytes(level, len) > most ? history_cdict_bytes(level, len)
							      : most;
	return aligned(sizeof(struct zstd_dictionary)) + most;
}

size_t zstd_history_decoder_bytes(uint32_t len)
{
	return aligned(sizeof(struct zstd_dictionary)) +
	       aligned(ZSTD_estimateDDictSize(len, ZSTD_dlm_byRef));
}

const struct zstd_dictionary *zstd_history_encoder_init(
	void *memory, const uint8_t *bytes, uint32_t len, bool has_tables, int level)
{
	struct zstd_dictionary *d = memory;

	memset(d, 0, sizeof(*d));
	d->compress[level - 1] = ZSTD_initStaticCDict((uint8_t *)memory + aligned(sizeof(*d)),
		history_cdict_bytes(level, len), bytes, len, ZSTD_dlm_byRef,
		has_tables ? ZSTD_dct_fullDict : ZSTD_dct_rawContent,
		history_parameters(level, len));
	return d->compress[level - 1] != NULL ? d : NULL;
}

const struct zstd_dictionary *zstd_history_decoder_init(
	void *memory, const uint8_t *bytes, uint32_t len, bool has_tables)
{
	struct zstd_dictionary *d = memory;

	memset(d, 0, sizeof(*d));
	d->decompress = ZSTD_initStaticDDict((uint8_t *)memory + aligned(sizeof(*d)),
		ZSTD_estimateDDictSize(len, ZSTD_dlm_byRef), bytes, len, ZSTD_dlm_byRef,
		has_tables ? ZSTD_dct_fullDict : ZSTD_dct_rawContent);
	return d->decompress != NULL ? d : NULL;
}

void zstd_headers(uint8_t out[ZSTD_HEADERS_BYTES], uint32_t len)
{
	uint32_t magic = ZSTD_MAGICNUMBER, block = BLOCK_LAST | BLOCK_COMPRESSED | len << 3;

	static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "RFC 8878 is little-endian");
	memcpy(out, &magic, 4);
	out[4] = FRAME_DESCRIPTOR;
	out[5] = WINDOW_DESCRIPTOR;
	memcpy(out + 6, &block, 3);
}

/* One compressed block behind the headers that zstd_headers() writes, whatever the window. */
static bool is_plain_frame(const uint8_t *frame, size_t len)
{
	uint32_t block = 0;

	if (len <= ZSTD_HEADERS_BYTES || frame[4] != FRAME_DESCRIPTOR)
		return false;
	memcpy(&block, frame + 6, 3);
	return block == (BLOCK_LAST | BLOCK_COMPRESSED | (uint32_t)(len - ZSTD_HEADERS_BYTES) << 3);
}

int zstd_compress(struct zstd *z, const struct zstd_dictionary *dictionary, const uint8_t *in,
	uint32_t len, uint8_t *out, uint32_t room, int level)
{
	size_t n;

	if (len > ZSTD_ORIGINAL_MAX_BYTES || level < 1 || level > ZSTD_LEVELS ||
		(dictionary != NULL && dictionary->compress[level - 1] == NULL))
		return 0;
	if (ZSTD_isError(ZSTD_CCtx_setParameter(z->compress, ZSTD_c_compressionLevel, level)) ||
		ZSTD_isError(ZSTD_CCtx_refCDict(
			z->compress, dictionary != NULL ? dictionary->compress[level - 1] : NULL)))
		return 0;
	n = ZSTD_compress2(z->compress, z->frame, sizeof(z->frame), in, len);
	if (ZSTD_isError(n) || !is_plain_frame(z->frame, n) || n - ZSTD_HEADERS_BYTES > room)
		return 0;
	n -= ZSTD_HEADERS_BYTES;
	memcpy(out, z->frame + ZSTD_HEADERS_BYTES, n);
	return (int)n;
}

int zstd_decompress(struct zstd *z, const struct zstd_dictionary *dictionary, const uint8_t *in,
	uint32_t len, uint8_t *out, uint32_t original_len)
{
	size_t n;

	if (len == 0 || len > ZSTD_ORIGINAL_MAX_BYTES || original_len > ZSTD_ORIGINAL_MAX_BYTES)
		return -EBADMSG;
	zstd_headers(z->frame, len);
	memcpy(z->frame + ZSTD_HEADERS_BYTES, in, len);
	n = ZSTD_decompress_usingDDict(z->decompress, out, original_len, z->frame,
		ZSTD_HEADERS_BYTES + len, dictionary != NULL ? dictionary->decompress : NULL);
	return n == original_len ? 0 : -EBADMSG;
}
