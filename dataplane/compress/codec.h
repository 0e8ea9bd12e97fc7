/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All codecs behind one call each way: a method, bytes in, bytes out. decide.h chooses the method,
 * link/frame.c puts its number and the bytes (the blob) into a frame and has the other end's
 * decoded. lz4.h and zstd.h do the work, dictionaries.h holds what both ends know beforehand.
 *
 * Every blob stands by itself: no packet needs another one. epoch.h has those that need what the
 * peer has acknowledged.
 */
#ifndef SLUICE_COMPRESS_CODEC_H
#define SLUICE_COMPRESS_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "dataplane/compress/dictionaries.h"

#define CODEC_ALIGN 64
#define CODEC_ORIGINAL_MAX_BYTES ZSTD_ORIGINAL_MAX_BYTES

/* What a blob is; the numbers of enum link_codec (link/shim.h). */
enum codec_number {
	CODEC_RAW = 0,		  /* the bytes themselves */
	CODEC_LZ4 = 1,		  /* one LZ4 block */
	CODEC_LZ4_DICTIONARY = 2, /* dictionary id (1 byte), one LZ4 block */
	CODEC_LZ4_HISTORY = 3,	  /* see epoch.h: not by the calls of this file */
	CODEC_ZSTD = 4,		  /* dictionary id or 0 (1 byte), one zstd block */
	CODEC_ZSTD_HISTORY = 5,	  /* see epoch.h */
};
#define CODEC_NUMBERS 8

/* How to compress. */
struct codec_method {
	uint8_t number;	    /* enum codec_number */
	uint8_t effort;	    /* LZ4: acceleration, 1 is the best ratio; zstd: level */
	uint8_t dictionary; /* id, 0: none */
};

/* One worker's codecs, both ways. Never shared between threads. */
struct codec;

size_t codec_bytes(void);

/* Make one of codec_bytes() of memory, aligned to CODEC_ALIGN, which stays the caller's.
 * dictionaries: may be NULL, must outlive it. NULL when the libraries do not accept the memory. */
struct codec *codec_init(void *memory, const struct dictionaries *dictionaries);

const struct dictionaries *codec_dictionaries(const struct codec *c);

/* Its LZ4, for the parts of packets that are no blob of their own (store.h). */
struct compressor *codec_compressor(struct codec *c);

/* Its zstd, for what is compressed against a history (epoch.h). */
struct zstd *codec_zstd(struct codec *c);

/*
 * Compress `len` bytes into at most `room` bytes. Returns the bytes written, or 0 when they would
 * exceed `room` or the method is none that can be had. `in` and `out` must not overlap.
 */
int codec_encode(struct codec *c, struct codec_method method, const uint8_t *in, uint32_t len,
	uint8_t *out, uint32_t room);

/*
 * The dictionary of `ids` (a bit each), or 0, with which these bytes get smallest by the method,
 * whose own dictionary is not looked at. LZ4 chooses, zstd only says whether it does better with
 * that one than without: as many LZ4 compressions as there are dictionaries, and two of zstd.
 */
uint8_t codec_find_dictionary(
	struct codec *c, struct codec_method method, uint16_t ids, const uint8_t *in, uint32_t len);

/*
 * Decode a blob of `len` bytes that should give exactly `original_len`. Never reads outside `in`
 * nor writes outside out[0..original_len), whatever the bytes are; takes no memory and no more time
 * than original_len bytes need. 0, or -EBADMSG: not valid, of another length, of a codec or a
 * dictionary that there is not.
 */
int codec_decode(struct codec *c, uint8_t number, const uint8_t *in, uint32_t len, uint8_t *out,
	uint32_t original_len);

#endif
