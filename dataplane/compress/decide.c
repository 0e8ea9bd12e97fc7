/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The per-flow decision (decide.h): a byte sample that tells random-looking data from the rest, and
 * the pauses of RFC 3173, 2.2.
 */
#include "dataplane/compress/decide.h"

#include <stdbool.h>

/*
 * 64 bytes of the payload, in 16 groups of 4 spread over it, hold 2,016 pairs. Of independent
 * random bytes 7.9 of the pairs are equal on average (deviation 2.8), of text and most binary
 * formats 60 and more, of base64 31. Up to 20 counts as random: 4 deviations above the mean.
 */
#define SAMPLES 64
#define GROUP 4
#define RANDOM_PAIRS_MAX 20

static bool looks_random(const uint8_t *payload, uint32_t len)
{
	uint8_t times[256] = {0};
	uint32_t step = len / (SAMPLES / GROUP);
	uint32_t pairs = 0;

	for (uint32_t i = 0; i < SAMPLES / GROUP; i++) {
		const uint8_t *p = payload + i * step;

		for (uint32_t j = 0; j < GROUP; j++)
			pairs += times[p[j]]++;
	}
	return pairs <= RANDOM_PAIRS_MAX;
}

/* The first pause is one packet, each further failed try doubles it. */
static void failed(struct flow_codec *fc)
{
	if (fc->state == FLOW_CODEC_OFF) {
		if (fc->back_off < COMPRESS_BACK_OFF_MAX)
			fc->back_off++;
	} else if (++fc->fails >= COMPRESS_FAILS) {
		fc->state = FLOW_CODEC_OFF;
		fc->back_off = 0;
	} else {
		fc->state = FLOW_CODEC_PROBE;
		return;
	}
	fc->skip = 1u << fc->back_off;
}

enum reason compress_should_try(struct flow_codec *fc, const uint8_t *payload, uint32_t len)
{
	if (len < COMPRESS_SMALL_BYTES)
		return PASS_LINK_SMALL;
	if (fc->skip > 0) {
		fc->skip--;
		return PASS_LINK_BACKOFF;
	}
	if (fc->state == FLOW_CODEC_ON || fc->back_off == COMPRESS_BACK_OFF_MAX ||
		len < COMPRESS_SAMPLE_BYTES || !looks_random(payload, len))
		return REASON_NONE;
	failed(fc);
	return PASS_LINK_NO_GAIN;
}

void compress_result(struct flow_codec *fc, uint32_t original_bytes, uint32_t wire_bytes)
{
	if (wire_bytes == 0 || wire_bytes >= original_bytes ||
		original_bytes - wire_bytes < compress_min_gain(original_bytes)) {
		failed(fc);
		return;
	}
	fc->state = FLOW_CODEC_ON;
	fc->fails = 0;
	fc->back_off = 0;
	fc->saved_bytes += original_bytes - wire_bytes;
}
