/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the link costs: cycles a packet of compressing, framing and decoding, beside liblz4's own
 * call on the same packets in the same run, and of deciding not to compress. Run it by hand:
 *
 *     build/tests/bench/link_bench
 */
#include <lz4.h>
#include <netinet/in.h>
#include <stdio.h>

#include <rte_cycles.h>

#include "dataplane/compress/decide.h"
#include "dataplane/compress/codec.h"
#include "tests/unit/link/frames.h"

#define PACKETS 64 /* one burst and more, hot in the cache like a burst in the worker */
#define PASSES 301

static struct rte_mbuf *in[PACKETS], *link_frame[PACKETS], *out[PACKETS];
static struct link_seq lanes[LINK_LANES];
static struct codec *codec;
static const struct codec_method method = {CODEC_LZ4, 1, 0};
static int volatile sink;

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Median over the passes of the cycles that one packet takes. */
#define MEASURE(cycles, ...)                                                                       \
	do {                                                                                       \
		static uint64_t sample[PASSES];                                                    \
		for (int pass = 0; pass < PASSES; pass++) {                                        \
			uint64_t begin = rte_rdtsc_precise();                                      \
			for (int i = 0; i < PACKETS; i++) {                                        \
				__VA_ARGS__;                                                       \
			}                                                                          \
			sample[pass] = rte_rdtsc_precise() - begin;                                \
		}                                                                                  \
		qsort(sample, PASSES, sizeof(sample[0]), by_value);                                \
		cycles = (double)sample[PASSES / 2] / PACKETS;                                     \
	} while (0)

static void one(enum data_kind kind, uint32_t payload_len, uint8_t family)
{
	static uint8_t blob[LZ4_COMPRESSBOUND(9000)];
	double plain, plain_tight, ours, whole, decode, unpack, frame_bytes = 0, wire_bytes = 0;
	static LZ4_stream_t state;
	struct link_path path[2];
	struct link_tx tx;
	int sizes[PACKETS], encoded = 0;

	frames_paths(path, family, 0, false);
	link_tx_init(&tx, 0);
	memset(lanes, 0, sizeof(lanes));
	for (int i = 0; i < PACKETS; i++) {
		uint32_t room, frame_len;
		uint8_t *p;

		in[i] = frames_inner(4, 0, kind, payload_len, 0, 0, (uint64_t)i);
		link_frame[i] = rte_pktmbuf_alloc(frames_pool());
		out[i] = rte_pktmbuf_alloc(frames_pool());
		frame_len = in[i]->data_len;
		p = link_blob(&path[0], in[i], link_frame[i], compress_min_gain(frame_len), &room);
		sizes[i] = room > 0
				   ? codec_encode(codec, method, rte_pktmbuf_mtod(in[i], uint8_t *),
					     frame_len, p, room)
				   : 0;
		frame_bytes += frame_len;
		wire_bytes += sizes[i] > 0 ? sizes[i] + (int)link_headers_bytes(&path[0])
					   : (int)frame_len;
		encoded += sizes[i] > 0;
	}
#define BYTES(m) rte_pktmbuf_mtod(m, uint8_t *)
	MEASURE(plain, sink = LZ4_compress_fast((char *)BYTES(in[i]), (char *)blob, in[i]->data_len,
			       sizeof(blob), 1));
	MEASURE(plain_tight, sink = LZ4_compress_fast_extState(&state, (char *)BYTES(in[i]),
				     (char *)blob, in[i]->data_len, sizeof(blob), 1));
	MEASURE(ours, sink = codec_encode(
			      codec, method, BYTES(in[i]), in[i]->data_len, blob, sizeof(blob)));
	MEASURE(whole, {
		uint32_t room, len;
		const uint8_t *inner = link_inner(&path[0], in[i], &len);

		rte_pktmbuf_reset(link_frame[i]);
		uint8_t *p = link_blob(
			&path[0], in[i], link_frame[i], compress_min_gain(in[i]->data_len), &room);
		int n = room > 0 ? codec_encode(codec, method, inner, len, p, room) : 0;
		if (n > 0)
			sink = link_encode(&tx, &path[0], in[i], LINK_CODEC_LZ4, (uint32_t)n,
				link_frame[i], 1000);
	});
	decode = unpack = 0;
	if (encoded == PACKETS) {
		for (int i = 0; i < PACKETS; i++)
			frames_arrived(link_frame[i], &path[1], -1);
		/* The same frames again and again: a new session each time, as for a first arrival.
		 */
		MEASURE(decode, {
			if (i == 0)
				path[1].session_id++;
			rte_pktmbuf_reset(out[i]);
			sink = link_decode(
				codec, link_frame[i], &path[1], lanes, NULL, out[i], 1000, NULL);
			if (sink != 0)
				abort();
		});
		MEASURE(unpack,
			sink = LZ4_decompress_safe(
				(char *)BYTES(link_frame[i]) + 14 +
					(family == 4 ? LINK_OVERHEAD_IPV4 : LINK_OVERHEAD_IPV6),
				(char *)BYTES(out[i]), sizes[i], FRAMES_ROOM));
	}
	static const char *const kinds[] = {"text", "binary", "random", "zeros"};

	printf("%-7s %5u %4s %6.2f %9.0f %9.0f %9.0f %9.0f %9.0f %9.0f\n", kinds[kind], payload_len,
		family == 4 ? "IPv4" : "IPv6", frame_bytes / wire_bytes, plain, plain_tight, ours,
		whole, unpack, decode);
	for (int i = 0; i < PACKETS; i++) {
		rte_pktmbuf_free(in[i]);
		rte_pktmbuf_free(link_frame[i]);
		rte_pktmbuf_free(out[i]);
	}
}

/* A flow of `packets` incompressible ones to that port, as the worker treats them in a class of
 * that codec, with a peer that knows all codecs and dictionaries. */
static void incompressible(
	uint32_t packets, uint16_t port, const struct compress_class *class, const char *name)
{
	const uint16_t ports[2] = {htons(port), htons(50000)};
	struct rte_mbuf *m = rte_pktmbuf_alloc(frames_pool());
	struct link_path path[2];
	uint64_t cycles = 0, flows = 200000 / packets + 1;
	uint32_t tries = 0;

	frames_paths(path, 4, 0, false);
	for (int i = 0; i < PACKETS; i++)
		in[i] = frames_inner(4, 0, DATA_RANDOM, 1400, 0, 0, (uint64_t)i);
	/* A first round warms caches up. */
	for (uint64_t f = 0; f < 2 * flows; f++) {
		struct flow_codec fc = {0};
		uint64_t begin = rte_rdtsc_precise();

		if (f == flows)
			cycles = tries = 0;
		for (uint32_t i = 0; i < packets; i++) {
			struct rte_mbuf *p = in[i % PACKETS];
			uint32_t len, room;
			const uint8_t *payload = BYTES(p) + pkt_of(p)->payload_off;

			compress_hint(&fc, IPPROTO_TCP, ports);
			if (compress_should_try(&fc, payload, pkt_of(p)->payload_len) !=
				REASON_NONE)
				continue;
			const uint8_t *inner = link_inner(&path[0], p, &len);
			uint8_t *blob = link_blob(&path[0], p, m, compress_min_gain(len), &room);
			struct codec_method chosen;

			if (!compress_long_shot(
				    &fc, payload, pkt_of(p)->payload_len, UINT8_MAX, &chosen)) {
				chosen = compress_method(&fc, class, 0, UINT8_MAX, 0);
				if (compress_should_look(&fc, payload, pkt_of(p)->payload_len))
					abort(); /* random bytes are not looked at */
			}
			compress_result(&fc, len,
				codec_encode(codec, chosen, inner, len, blob, room) > 0 ? 1000 : 0);
			tries++;
		}
		cycles += rte_rdtsc_precise() - begin;
	}
	printf("incompressible flow of %6u packets, port %3u, %-4s: %5.1f cycles a packet, %.4f "
	       "tries\n",
		packets, port, name, (double)cycles / (double)(flows * packets),
		(double)tries / (double)(flows * packets));
	for (int i = 0; i < PACKETS; i++)
		rte_pktmbuf_free(in[i]);
	rte_pktmbuf_free(m);
}

int main(void)
{
	frames_pool();
	codec = frames_codec();
	printf("TSC cycles a packet, medians; ratio is of whole frames, link headers included\n");
	printf("                            LZ4_com-   +own      com-                 LZ4_de-\n");
	printf("data    bytes over  ratio press_fast     state  pressor   +framing  compress  "
	       "link_decode\n");
	for (int kind = DATA_TEXT; kind <= DATA_RANDOM; kind++)
		for (unsigned l = 0; l < 3; l++)
			one((enum data_kind)kind, (const uint32_t[]){128, 512, 1400}[l], 4);
	one(DATA_TEXT, 1400, 6);
	const struct compress_class lz4 = {.codec = CODEC_LZ4, .acceleration = 1};
	const struct compress_class zstd = {.codec = CODEC_ZSTD, .acceleration = 1, .level = 3};

	for (uint32_t packets = 10; packets <= 10000; packets *= 10) {
		incompressible(packets, 80, &lz4, "lz4");
		incompressible(packets, 80, &zstd, "zstd");
		incompressible(packets, 443, &zstd, "zstd");
	}
	return 0;
}
