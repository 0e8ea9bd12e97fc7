/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acknowledgements of a lane: which of its frames the receiver has verified and keeps, so that the
 * sender may refer to them (compress/store.h), and which references it could not follow. As bytes
 * and as a struct; link_encode_ack() and link_decode() of frame.h carry them.
 *
 * The receiving worker sends one every 64 frames, or 5 ms after a frame, in its own lane to the
 * sending worker: the acknowledgements of lane 16 s + r travel in lane 16 r + s. They have numbers
 * and the keyed check of that lane, so they are of the session, cannot be replayed, and are lost
 * like any frame: each covers 256 numbers, four times those that are new. What they say of a number
 * never becomes wrong, only old, so their order does not matter.
 *
 * The blob of a frame with codec 6 and original length 0, network order:
 *
 *      0  1  LINK_ACK_TYPE; 2 and 3 are an offer and an answer of compress/epoch.h, 4 and 5 the
 *            beginning of a session of compress/store.h; others are not understood
 *      1  1  n: words of the bitmap, 1..LINK_ACK_WORDS_MAX
 *      2  1  k: refused references, 0..LINK_ACK_REFUSED_MAX
 *      3  1  reserved, 0
 *      4  4  base: a number of the store
 *      8 8n  bitmap: bit i % 64 of word i / 64, 1 << (i % 64): frame base + i is kept
 *    ... 4k  packets that references named and that are not kept: lane (1), number modulo 2^24
 *            (3). The frames that named them could not be verified, for want of just these
 *            bytes; but a forged one cannot make the receiver refuse what it keeps
 */
#ifndef SLUICE_LINK_ACK_H
#define SLUICE_LINK_ACK_H

#include <stdint.h>

#define LINK_ACK_TYPE 1
#define LINK_ACK_WORDS_MAX 8
#define LINK_ACK_REFUSED_MAX 16
#define LINK_ACK_BYTES_MAX (8 + 8 * LINK_ACK_WORDS_MAX + 4 * LINK_ACK_REFUSED_MAX)

/* One acknowledgement in host order. */
struct link_ack {
	uint32_t base;
	unsigned words; /* of bitmap[] */
	unsigned refusals;
	uint64_t bitmap[LINK_ACK_WORDS_MAX];
	uint32_t refused[LINK_ACK_REFUSED_MAX];
};

/* Write it. Returns its length, at most LINK_ACK_BYTES_MAX. The numbers of words and refusals are
 * in range: they come from this program. */
uint32_t link_ack_write(const struct link_ack *ack, uint8_t *out);

/* Read any bytes: 0, or -EBADMSG with *ack undefined. */
int link_ack_read(const uint8_t *bytes, uint32_t len, struct link_ack *ack);

#endif
