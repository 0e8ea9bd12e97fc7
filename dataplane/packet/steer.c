/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tables behind steer_hash(): the Toeplitz hash of each value of a 16-bit word's lower and
 * upper byte under the key 0x6d5a repeated. Computed by the compiler.
 */
#include "dataplane/packet/steer.h"

/* The key as seen from bit n, counted from the most significant one. */
#define KEY(n) ((uint16_t)(STEER_RSS_KEY_WORD << (n) | STEER_RSS_KEY_WORD >> (16 - (n))))
#define BIT(b, bit, n) ((b) >> (bit)&1 ? KEY(n) : 0)
/* Hash of byte b whose most significant bit is bit n of the word. */
#define BYTE(b, n)                                                                                 \
	(BIT(b, 7, n) ^ BIT(b, 6, n + 1) ^ BIT(b, 5, n + 2) ^ BIT(b, 4, n + 3) ^                   \
		BIT(b, 3, n + 4) ^ BIT(b, 2, n + 5) ^ BIT(b, 1, n + 6) ^ BIT(b, 0, n + 7))
#define BYTES4(b, n) BYTE(b, n), BYTE(b + 1, n), BYTE(b + 2, n), BYTE(b + 3, n)
#define BYTES16(b, n) BYTES4(b, n), BYTES4(b + 4, n), BYTES4(b + 8, n), BYTES4(b + 12, n)
#define BYTES64(b, n) BYTES16(b, n), BYTES16(b + 16, n), BYTES16(b + 32, n), BYTES16(b + 48, n)
#define BYTES256(n) BYTES64(0, n), BYTES64(64, n), BYTES64(128, n), BYTES64(192, n)

const uint16_t steer_table[2][256] = {{BYTES256(8)}, {BYTES256(0)}};
