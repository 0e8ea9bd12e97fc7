/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which worker owns a flow. The same answer as a NIC gives with symmetric RSS, so that packets land
 * on the right queue by themselves and only the rest is handed over through a ring.
 *
 * The RSS key is 0x6d5a repeated (Woo, Park: "Scalable TCP session monitoring with symmetric
 * receive-side scaling", 2012). With a key of period 16 bits, every bit of the input counts by its
 * position modulo 16 only: the Toeplitz hash depends on nothing but the XOR of all 16-bit words of
 * addresses and ports, hence on no direction, and its upper half equals its lower half.
 */
#ifndef SLUICE_PACKET_STEER_H
#define SLUICE_PACKET_STEER_H

#include <stdint.h>

#include <rte_byteorder.h>

#define STEER_RSS_KEY_WORD 0x6d5a /* the port's RSS key is this, repeated */
#define STEER_RETA_ENTRIES 128	  /* a larger table repeats these: reta[i] = (i & 127) % workers */

extern const uint16_t steer_table[2][256];

/*
 * Lower 16 bits of the Toeplitz hash. words: XOR of the source and destination address and, for
 * unfragmented TCP and UDP, of the ports, loaded as they stand in the packet in pieces of 2, 4 or 8
 * bytes, in any order.
 */
static inline uint16_t steer_hash(uint64_t words)
{
	uint32_t fold = (uint32_t)words ^ (uint32_t)(words >> 32);

	fold = rte_be_to_cpu_16((uint16_t)(fold ^ fold >> 16));
	return steer_table[1][fold >> 8] ^ steer_table[0][fold & 0xff];
}

/* Index of the owning worker among `workers` (at least 1). Equals the queue that the port chooses
 * with the indirection table above. */
static inline unsigned steer_owner(uint16_t hash, unsigned workers)
{
	return (hash & (STEER_RETA_ENTRIES - 1)) % workers;
}

#endif
