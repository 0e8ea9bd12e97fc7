/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The per-flow decision (decide.h): a byte sample that tells random-looking data from the rest, and
 * the pauses of RFC 3173, 2.2.
 */
#include "dataplane/compress/decide.h"

#include <assert.h>
#include <netinet/in.h>

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

static void rest(struct flow_codec *fc, uint8_t back_off)
{
	fc->state = FLOW_CODEC_OFF;
	fc->back_off = back_off & 7;
	fc->skip = 1u << back_off & 0x7f;
}

/* Each further failure doubles the pause. fails: what it counts for; first: the first pause. */
static void failed(struct flow_codec *fc, uint8_t fails, uint8_t first)
{
	if (fc->state == FLOW_CODEC_OFF) {
		rest(fc, fc->back_off < COMPRESS_BACK_OFF_MAX ? fc->back_off + 1 : fc->back_off);
	} else if (fc->fails + fails >= COMPRESS_FAILS) {
		rest(fc, first);
	} else {
		fc->fails += fails;
		fc->state = FLOW_CODEC_PROBE;
	}
}

/* Ports of the IANA registry whose protocols encrypt what they carry. */
static bool is_encrypted_port(uint16_t port)
{
	switch (ntohs(port)) {
	case 22:  /* SSH */
	case 443: /* HTTPS, QUIC */
	case 465: /* submissions */
	case 563: /* nntps */
	case 636: /* ldaps */
	case 853: /* DNS over TLS, over QUIC */
	case 989: /* ftps */
	case 990:
	case 992:   /* telnets */
	case 993:   /* imaps */
	case 995:   /* pop3s */
	case 1194:  /* OpenVPN */
	case 3389:  /* RDP */
	case 4500:  /* IPsec through NAT */
	case 5061:  /* sips */
	case 5349:  /* turns */
	case 8443:  /* pcsync-https: HTTPS of many devices */
	case 51820: /* WireGuard; not registered */
		return true;
	default:
		return false;
	}
}

/* The header of a TLS record of application data (RFC 8446, 5.1; the versions before alike). */
static bool is_tls_data(const uint8_t *payload)
{
	return payload[0] == 23 && payload[1] == 3 && payload[2] <= 4 &&
	       (uint32_t)(payload[3] << 8 | payload[4]) <= 16384 + 2048;
}

void compress_hint(struct flow_codec *fc, uint8_t proto, const uint16_t port[2])
{
	if (fc->state != FLOW_CODEC_PROBE || fc->fails > 0)
		return;
	if (proto == IPPROTO_ESP ||
		((proto == IPPROTO_TCP || proto == IPPROTO_UDP) &&
			(is_encrypted_port(port[0]) || is_encrypted_port(port[1])))) {
		rest(fc, COMPRESS_BACK_OFF_HINT);
		fc->is_encrypted = true;
	}
}

enum reason compress_should_try(struct flow_codec *fc, const uint8_t *payload, uint32_t len)
{
	if (len < COMPRESS_SMALL_BYTES)
		return PASS_LINK_SMALL;
	if (fc->skip > 0) {
		fc->skip--;
		return PASS_LINK_BACKOFF;
	}
	if (fc->state == FLOW_CODEC_ON || fc->back_off == COMPRESS_BACK_OFF_MAX)
		return REASON_NONE;
	if (is_tls_data(payload)) {
		failed(fc, COMPRESS_FAILS, COMPRESS_BACK_OFF_HINT);
		fc->is_encrypted = true;
	} else if (len >= COMPRESS_SAMPLE_BYTES && looks_random(payload, len)) {
		failed(fc, 2, COMPRESS_BACK_OFF_SAMPLE);
	} else {
		return REASON_NONE;
	}
	return PASS_LINK_NO_GAIN;
}

void compress_result(struct flow_codec *fc, uint32_t original_bytes, uint32_t wire_bytes)
{
	if (wire_bytes == 0 || wire_bytes >= original_bytes ||
		original_bytes - wire_bytes < compress_min_gain(original_bytes)) {
		failed(fc, 1, 0);
		return;
	}
	fc->state = FLOW_CODEC_ON;
	fc->is_encrypted = false;
	fc->fails = 0;
	fc->back_off = 0;
	fc->saved_bytes += original_bytes - wire_bytes;
}

void compress_untried(struct flow_codec *fc, uint32_t original_bytes, uint32_t wire_bytes)
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
