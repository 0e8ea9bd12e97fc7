/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * LZ4 for single packets: no state between packets, so that a lost one harms no other. The table is
 * not cleared for each packet, which is most of the cost of small ones. link/frame.c frames the
 * result and calls the decompressor; decide.h says which packets are worth it.
 */
#ifndef SLUICE_COMPRESS_LZ4_H
#define SLUICE_COMPRESS_LZ4_H

#include <stddef.h>
#include <stdint.h>

#define COMPRESSOR_ALIGN 64

/* One worker's compressor: its hash table. Never shared between threads. */
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

#endif
