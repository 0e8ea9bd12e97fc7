/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The per-flow decision (decide.h): a byte sample that tells random-looking data from the rest, and
 * the pauses of RFC 3173, 2.2.
 */
#include "dataplane/compress/decide.h"

#include <assert.h>

#include "dataplane/compress/governor.h"

static_assert(DICTIONARY_IDS <= 16, "an id in four bits of flow_codec.h");

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
	fc->skip = (uint8_t)(1u << fc->back_off);
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

void compress_packed(struct flow_codec *fc, uint32_t original_bytes, uint32_t wire_bytes)
{
	if (original_bytes > wire_bytes)
		fc->saved_bytes += original_bytes - wire_bytes;
}

struct compress_class compress_for_link(struct compress_class class, uint64_t up_bps)
{
	if (class.codec != CODEC_RAW)
		return class;
	class.codec = up_bps > 0 && up_bps <= COMPRESS_LEVEL_1_BPS ? CODEC_ZSTD : CODEC_LZ4;
	class.level = up_bps <= COMPRESS_LEVEL_3_BPS ? 3 : 1;
	return class;
}

static bool has(unsigned bits, unsigned bit)
{
	return bits >> bit & 1;
}

struct codec_method compress_method(const struct flow_codec *fc, const struct compress_class *class,
	unsigned step, uint8_t codecs, uint16_t dictionaries)
{
	static const uint8_t least[GOVERNOR_BYPASS] = {1, 4, 8};
	struct codec_method method = {.number = CODEC_RAW};
	uint8_t dictionary = has(dictionaries, fc->dictionary) ? fc->dictionary : 0;

	/* A peer without LZ4 leaves no choice. */
	if (has(codecs, CODEC_ZSTD) &&
		((step == 0 && class->codec == CODEC_ZSTD) || !has(codecs, CODEC_LZ4))) {
		method.number = CODEC_ZSTD;
		method.effort = step == 0 ? class->level : 1;
		method.dictionary = dictionary;
	} else if (step == 0 && dictionary != 0 && has(codecs, CODEC_LZ4_DICTIONARY)) {
		method.number = CODEC_LZ4_DICTIONARY;
		method.effort = class->acceleration;
		method.dictionary = dictionary;
	} else if (has(codecs, CODEC_LZ4)) {
		method.number = CODEC_LZ4;
		method.effort =
			class->acceleration > least[step] ? class->acceleration : least[step];
	}
	return method;
}

bool compress_long_shot(const struct flow_codec *fc, const uint8_t *payload, uint32_t len,
	uint8_t codecs, struct codec_method *method)
{
	if (fc->state != FLOW_CODEC_OFF || fc->back_off < COMPRESS_BACK_OFF_MAX ||
		len < COMPRESS_SAMPLE_BYTES || !has(codecs, CODEC_LZ4) ||
		!looks_random(payload, len))
		return false;
	*method = (struct codec_method){
		.number = CODEC_LZ4, .effort = COMPRESS_LONG_SHOT_ACCELERATION};
	return true;
}

bool compress_should_look(struct flow_codec *fc, const uint8_t *payload, uint32_t len)
{
	if (fc->look_in > 0) {
		fc->look_in--;
		return false;
	}
	if (len < SAMPLES || looks_random(payload, len)) {
		fc->look_in = 7;
		return false;
	}
	if (fc->looks < 4)
		fc->looks++;
	fc->look_in = (uint16_t)((1u << 3 * fc->looks) - 1);
	return true;
}

void compress_found(struct flow_codec *fc, uint8_t dictionary)
{
	fc->dictionary = dictionary;
}
