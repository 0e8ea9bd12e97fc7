/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many packets fit into one link frame (link/pack.h) once they are compressed together: known
 * only afterwards, so foretold from what the last ones gave. One estimate a flow, for its own
 * packets, and one a class, for small packets of all of its flows. worker_pack.c asks before it
 * runs the codec and says what came of it. Where packets did not fit the work was for nothing: then
 * less is expected, and a few packets go by themselves, each time that it happens again twice as
 * many.
 */
#ifndef SLUICE_COMPRESS_PACK_H
#define SLUICE_COMPRESS_PACK_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#define PACK_SHARE 256	     /* of a blob as large as what is in it */
#define PACK_SHARE_START 128 /* of small packets, their headers above all */
#define PACK_SHARE_LEAST 16  /* nothing better is ever hoped for */
#define PACK_BACK_OFF_MAX 4
#define PACK_SKIP_MAX 31

/* Written on one worker only. Zeroed: nothing is known. */
struct pack_estimate {
	uint8_t share;	      /* blob bytes of PACK_SHARE original bytes; 0: not known */
	uint8_t back_off : 3; /* failures that nothing has made up for */
	uint8_t skip : 5;     /* packets that go by themselves before the next try */
};
static_assert(sizeof(struct pack_estimate) == 2, "two bytes of flow_codec.h");

/* How many original bytes are likely to give a blob of at most `room` bytes; 0: no try now. For
 * every packet that could begin a pack. */
uint32_t pack_expected(struct pack_estimate *e, uint32_t room);

/* Are these packets, of `len` original bytes, likely to give a blob of at most `room` bytes? If not
 * they go by themselves, and the estimate falls a little: one that was too high must not stay. */
bool pack_is_worth(struct pack_estimate *e, unsigned packets, uint32_t len, uint32_t room);

/* One packet of the flow, by itself, gave a blob of that size. */
void pack_single(struct pack_estimate *e, uint32_t len, uint32_t blob_len);

/* Packets together did. */
void pack_fitted(struct pack_estimate *e, uint32_t len, uint32_t blob_len);

/* `packets` of them did not fit. If that was no exception they go by themselves now. */
void pack_failed(struct pack_estimate *e, unsigned packets);

#endif
