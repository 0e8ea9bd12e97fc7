/* SPDX-License-Identifier: BSD-3-Clause */
/* A lane between two ends in memory, for compress_bench.c: packets of one flow after the other with
 * acknowledged history, answers that come after a delay, and losses. */
#ifndef SLUICE_BENCH_EPOCH_LANE_H
#define SLUICE_BENCH_EPOCH_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/compress/codec.h"

struct epoch_lane_result {
	uint32_t wire_len; /* of the blob; 0: not smaller than `room` */
	bool is_lost;	   /* else it has been decoded and was right */
	uint64_t encode_cycles, decode_cycles;
};

/* Begin with packets bytes[len] of `packet` bytes, one behind the other. is_service: all flows are
 * of one. Of a thousand packets, offers and answers each so many are lost. */
void epoch_lane_start(struct codec *codec, const struct dictionaries *dictionaries,
	const uint8_t *bytes, uint32_t len, uint32_t packet, bool is_service,
	unsigned loss_permille);

/* Send packet `i`, they come in turn; flow: of which it is. An answer needs as long as delay_bytes
 * of packets. */
struct epoch_lane_result epoch_lane_send(
	uint32_t i, uint32_t flow, struct codec_method method, uint32_t room, uint32_t delay_bytes);

#endif
