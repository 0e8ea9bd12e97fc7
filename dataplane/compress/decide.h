/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which packets are worth compressing, and how: each flow earns it. The worker asks before it runs
 * the codec (codec.h) and reports what came of it. State: struct flow_codec, in the flow record.
 *
 * As RFC 3173, 2.2 advises: small packets are not tried; after COMPRESS_FAILS failures in a row the
 * flow pauses for 1, 2, 4 ... 64 packets, one try after each pause; a success ends that. Where a
 * flow has not proven itself, a sample of the bytes' distribution goes before the try and finds
 * encrypted or compressed data at a sixth of the price, and counts twice: text fails no sample.
 * What the flow's ports or a TLS record say to be encrypted begins with a long pause. Only in the
 * longest pause the sample is left out: it would keep out for ever what repeats itself without
 * looking uneven. There it says how much work the try is worth.
 */
#ifndef SLUICE_COMPRESS_DECIDE_H
#define SLUICE_COMPRESS_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/channel/counters.h"
#include "dataplane/compress/codec.h"
#include "dataplane/compress/flow_codec.h"

#define COMPRESS_SMALL_BYTES 96	   /* payloads below this are not tried */
#define COMPRESS_SAMPLE_BYTES 512  /* payloads from this on are sampled before a try */
#define COMPRESS_FAILS 4	   /* failures in a row until the first pause */
#define COMPRESS_BACK_OFF_MAX 6	   /* the longest pause: 1 << 6 packets */
#define COMPRESS_BACK_OFF_SAMPLE 2 /* the first one of what looks random */
#define COMPRESS_BACK_OFF_HINT 5   /* the first one of what says that it is encrypted */

enum flow_codec_state {
	FLOW_CODEC_PROBE, /* not proven: sampled, then tried */
	FLOW_CODEC_ON,	  /* the last try paid */
	FLOW_CODEC_OFF,	  /* pausing */
};

/* What a link frame must save to be worth the work at both ends: 3 %, at least 16 bytes.
 * original_bytes: the frame as the host sent it. */
static inline uint32_t compress_min_gain(uint32_t original_bytes)
{
	uint32_t gain = original_bytes * 3 / 100;

	return gain > 16 ? gain : 16;
}

/*
 * Before the flow's next packet is looked at: if it is its first one, and its ports are those of a
 * protocol that encrypts (TLS, SSH, QUIC, IPsec and other VPNs), it begins with a pause. proto: of
 * IP; ports in network order, either end's. The flow's worker.
 */
void compress_hint(struct flow_codec *fc, uint8_t proto, const uint16_t port[2]);

/*
 * Is this packet of the flow worth a try? payload: what follows the TCP or UDP header. Returns
 * REASON_NONE: compress, then call compress_result(); else the reason to pass it on as it is, and
 * compress_result() is not called: PASS_LINK_SMALL, PASS_LINK_BACKOFF, PASS_LINK_NO_GAIN (the
 * sample looks random). The flow's worker.
 */
enum reason compress_should_try(struct flow_codec *fc, const uint8_t *payload, uint32_t len);

/*
 * What came of a try: the frame had original_bytes, its link frame has wire_bytes with all of its
 * headers, or 0 when the codec gave up. A try that saved at least compress_min_gain() counts as a
 * success and must have been sent; anything else is a failure. The flow's worker.
 */
void compress_result(struct flow_codec *fc, uint32_t original_bytes, uint32_t wire_bytes);

/* A packet of the flow went smaller without a try, with others in one frame or as references to the
 * store: original_bytes took wire_bytes. */
void compress_untried(struct flow_codec *fc, uint32_t original_bytes, uint32_t wire_bytes);

/* What a class asks for. */
struct compress_class {
	uint8_t codec;	      /* CODEC_LZ4, CODEC_ZSTD; CODEC_RAW: whichever fits the link */
	uint8_t acceleration; /* of LZ4 */
	uint8_t level;	      /* of zstd */
	bool dry_run;	      /* only count what it would save */
	bool history;	      /* epoch.h, where the peer has a store */
	bool store_all;	      /* store.h, for what does not compress, too */
	bool raw;	      /* nothing of all this: carried as it is */
};

/* Up to these rates of a link a worker has the time for zstd of level 3 and 1: measured at 1.2 and
 * 1.8 Gbit/s of 1,400-byte packets, which leave as less than half of that. */
#define COMPRESS_LEVEL_3_BPS UINT64_C(100000000)
#define COMPRESS_LEVEL_1_BPS UINT64_C(500000000)

/* What a class that leaves the choice gets on a link of that rate, 0: without a limit. */
struct compress_class compress_for_link(struct compress_class class, uint64_t up_bps);

/*
 * How to compress the flow's next packet. class->codec is not CODEC_RAW. step: of the worker's
 * governor, below GOVERNOR_BYPASS; each takes LZ4 with acceleration 4, then 8, and no dictionary.
 * codecs, dictionaries: a bit each that the other end understands. CODEC_RAW: there is no method.
 */
struct codec_method compress_method(const struct flow_codec *fc, const struct compress_class *class,
	unsigned step, uint8_t codecs, uint16_t dictionaries);

/*
 * The try after the longest pause of a payload that still looks random: worth a quick look for what
 * repeats, by LZ4 at COMPRESS_LONG_SHOT_ACCELERATION, and not the work of the class's codec and of
 * looking for dictionaries, which would be most of what such flows cost. Instead of
 * compress_method(): true, and *method, if so. The flow's worker.
 */
#define COMPRESS_LONG_SHOT_ACCELERATION 8
bool compress_long_shot(const struct flow_codec *fc, const uint8_t *payload, uint32_t len,
	uint8_t codecs, struct codec_method *method);

/*
 * Is it time to look for the flow's dictionary? At its first packet, then after 8, 64, 512 and
 * every 4,096 tries: content changes, and the first packet may be nothing but headers. Not with a
 * payload that looks random: a look costs as much as many tries. When true, call
 * codec_find_dictionary() and compress_found(). Once a try, where dictionaries can be used.
 */
bool compress_should_look(struct flow_codec *fc, const uint8_t *payload, uint32_t len);
void compress_found(struct flow_codec *fc, uint8_t dictionary);

#endif
