/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zstd for single packets, levels 1 to 3: better and slower than lz4.h, for links that are slow
 * enough. codec.h calls this. What crosses the link is one compressed block (RFC 8878, 3.1.1.2.3)
 * without the frame and block headers, which always say the same for a packet: 9 bytes that every
 * other zstd program needs, zstd_headers() writes them.
 */
#ifndef SLUICE_COMPRESS_ZSTD_H
#define SLUICE_COMPRESS_ZSTD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZSTD_ALIGN 64
#define ZSTD_LEVELS 3		       /* 1 to 3 */
#define ZSTD_ORIGINAL_MAX_BYTES 0x3fff /* longest data of a block: LINK_ORIGINAL_MAX */
#define ZSTD_HEADERS_BYTES 9

/* One worker's contexts of both ways. All of its memory is given once; packets allocate none. */
struct zstd;

size_t zstd_bytes(void);

/* Make one of zstd_bytes() of memory, aligned to ZSTD_ALIGN, which stays the caller's. NULL when
 * libzstd does not accept it. */
struct zstd *zstd_init(void *memory);

/* A dictionary (RFC 8878, 5) made ready for every level and for decompression. Read by all workers.
 */
struct zstd_dictionary;

size_t zstd_dictionary_bytes(uint32_t len);

/* Make one of zstd_dictionary_bytes(len) of memory, aligned to ZSTD_ALIGN, and of bytes[len]: both
 * must outlive it. NULL when libzstd does not accept it. */
struct zstd_dictionary *zstd_dictionary_init(void *memory, const uint8_t *bytes, uint32_t len);

/*
 * The same for one level alone, or for decompression alone, and for bytes that are to change soon:
 * smaller tables, quickly made. has_tables: bytes[len] is a dictionary as above; false: content
 * alone. Bytes of memory for `len` at most, at any level.
 */
size_t zstd_history_encoder_bytes(uint32_t len);
size_t zstd_history_decoder_bytes(uint32_t len);
const struct zstd_dictionary *zstd_history_encoder_init(
	void *memory, const uint8_t *bytes, uint32_t len, bool has_tables, int level);
const struct zstd_dictionary *zstd_history_decoder_init(
	void *memory, const uint8_t *bytes, uint32_t len, bool has_tables);

/*
 * Compress `len` bytes into at most `room` bytes as one block. dictionary: may be NULL. Returns the
 * bytes written, or 0 when they would exceed `room` or the block would not be a compressed one.
 */
int zstd_compress(struct zstd *z, const struct zstd_dictionary *dictionary, const uint8_t *in,
	uint32_t len, uint8_t *out, uint32_t room, int level);

/*
 * Decompress a block of `len` bytes that should give exactly `original_len`. Never reads outside
 * `in` nor writes outside out[0..original_len), whatever the bytes are; allocates nothing. 0, or
 * -EBADMSG when the block is not valid or gives another length.
 */
int zstd_decompress(struct zstd *z, const struct zstd_dictionary *dictionary, const uint8_t *in,
	uint32_t len, uint8_t *out, uint32_t original_len);

/* The headers that make a whole zstd frame of a block of `len` bytes. */
void zstd_headers(uint8_t out[ZSTD_HEADERS_BYTES], uint32_t len);

#endif
