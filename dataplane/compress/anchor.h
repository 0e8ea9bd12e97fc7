/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Anchors: places in a packet that its content alone chooses, so that the same bytes give the same
 * places wherever they stand. The store (store_tx.c) looks packets up by the bytes at their
 * anchors. After SampleByte of EndRE (Aggarwal et al., NSDI 2010), but chosen by eight bytes.
 */
#ifndef SLUICE_COMPRESS_ANCHOR_H
#define SLUICE_COMPRESS_ANCHOR_H

#include <stdint.h>

/* That a fingerprint is of. In logs and tables the same phrases stand in every line: so many bytes
 * are more than a phrase. */
#define ANCHOR_BYTES 64
#define ANCHOR_GAP 32  /* the least distance of two anchors */
#define ANCHORS_MAX 96 /* of a packet; those of a longer one are its first */

struct anchor {
	uint16_t at; /* offset in the packet */
	uint64_t fingerprint;
};

/*
 * The anchors in bytes[from..len): about one every 100 bytes of unlike data, none where one byte
 * repeats. Returns their number, ascending in `anchors`. Reads nothing outside bytes[0..len).
 */
unsigned anchors_find(
	const uint8_t *bytes, uint32_t from, uint32_t len, struct anchor anchors[ANCHORS_MAX]);

#endif
