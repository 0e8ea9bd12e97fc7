/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * LZ4 for single packets: no state between packets, so that a lost one harms no other. The table is
 * not cleared for each packet, which is most of the cost of small ones. A static dictionary, which
 * both ends have, can stand in front of every packet. codec.h calls this; so may others that hold a
 * struct compressor.
 */
#ifndef SLUICE_COMPRESS_LZ4_H
#define SLUICE_COMPRESS_LZ4_H

#include <stddef.h>
#include <stdint.h>

#define COMPRESSOR_ALIGN 64
#define LZ4_DICTIONARY_MAX 65536 /* bytes of a dictionary that a block can refer to */

/* One worker's compressor: its hash tables. Never shared between threads. */
struct compressor;

/* Bytes of memory that a compressor needs. */
size_t compressor_bytes(void);

/* Make a compressor of compressor_bytes() of memory, aligned to COMPRESSOR_ALIGN, which stays the
 * caller's and is freed by it. Returns it, or NULL for memory that is not aligned. */
struct compressor *compressor_init(void *memory);

/*
 * Compress `len` bytes into at most `room` bytes as one LZ4 block. acceleration: 1 is the best
 * ratio, higher is faster. Returns the bytes written, or 0 when they would exceed `room` (found out
 * early: incompressible data costs less than compressible). `in` and `out` must not overlap.
 */
int compressor_lz4(struct compressor *c, const uint8_t *in, uint32_t len, uint8_t *out,
	uint32_t room, int acceleration);

/*
 * Decompress a block of `len` bytes that should give exactly `original_len`. Never reads outside
 * `in` nor writes outside out[0..original_len), whatever the bytes are. 0, or -EBADMSG when the
 * block is not valid or gives another length. Any thread.
 */
int decompress_lz4(const uint8_t *in, uint32_t len, uint8_t *out, uint32_t original_len);

/* A dictionary made ready for the compressor: hashed once. Read by all workers. */
struct lz4_dictionary;

/* Bytes of memory that one needs, and where to align them: COMPRESSOR_ALIGN. */
size_t lz4_dictionary_bytes(void);

/* Make one of such memory and of bytes[len] (their last LZ4_DICTIONARY_MAX count), which must both
 * outlive it. NULL for memory that is not aligned. */
struct lz4_dictionary *lz4_dictionary_init(void *memory, const uint8_t *bytes, uint32_t len);

/* As compressor_lz4(), with the dictionary in front of the data. */
int compressor_lz4_dictionary(struct compressor *c, const struct lz4_dictionary *dictionary,
	const uint8_t *in, uint32_t len, uint8_t *out, uint32_t room, int acceleration);

/* As decompress_lz4(), of a block made with the dictionary of those bytes. */
int decompress_lz4_dictionary(const uint8_t *dictionary, uint32_t dictionary_len, const uint8_t *in,
	uint32_t len, uint8_t *out, uint32_t original_len);

#endif
