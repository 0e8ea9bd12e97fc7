/* SPDX-License-Identifier: BSD-3-Clause */
/* What compress/ keeps per flow: does compressing it pay, and with which dictionary? Zeroed in a
 * new flow; decide.c alone writes it, but for store_misses, pack and is_held, on the flow's worker.
 */
#ifndef SLUICE_COMPRESS_FLOW_CODEC_H
#define SLUICE_COMPRESS_FLOW_CODEC_H

#include <assert.h>
#include <stdint.h>

#include "dataplane/compress/pack.h"

struct flow_codec {
	uint8_t state : 2;	  /* enum flow_codec_state, decide.h */
	uint8_t fails : 3;	  /* tries in a row that did not pay */
	uint8_t back_off : 3;	  /* exponent of the present pause */
	uint8_t skip : 7;	  /* packets to let pass before the next try */
	uint8_t is_encrypted : 1; /* as it says itself, and no try has paid since */
	uint8_t dictionary : 4;	  /* id, 0: none helps */
	uint8_t looks : 4;	  /* times that a dictionary was looked for */
	uint8_t store_misses;	  /* packets in a row of which the store had nothing: store_tx.c */
	uint16_t look_in : 15;	  /* tries until the next time */
	uint16_t is_held : 1;	  /* a packet waits for others: worker_hold.c */
	struct pack_estimate pack;
	uint64_t saved_bytes; /* on the wire, over the flow's life */
};
static_assert(sizeof(struct flow_codec) == 16, "part of a line of struct flow");

#endif
