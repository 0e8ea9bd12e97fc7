/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * compress/decide.c with the real codec behind it: what incompressible, compressible and changing
 * flows cost and save, counted in packets, samples and tries.
 */
#include <netinet/in.h>
#include <stdlib.h>

#include "dataplane/compress/decide.h"
#include "dataplane/compress/lz4.h"
#include "tests/unit/compress/data.h"
#include "tests/unit/unit.h"

#define PAYLOAD 1400
#define FRAME (PAYLOAD + 54)
#define HEADERS 58 /* Ethernet, IPv4, UDP and shim around the blob */

_Alignas(COMPRESSOR_ALIGN) static uint8_t memory[65536];
static uint8_t frame[FRAME], blob[FRAME];

struct costs {
	uint32_t packets, skipped, sampled, tried, paid, small;
	uint64_t saved;
};

/* A packet of the flow: what the worker does with it. Returns 1 when it was compressed. */
static int packet(struct flow_codec *fc, struct compressor *c, enum data_kind kind, uint64_t seed,
	uint32_t payload_len, struct costs *costs)
{
	uint32_t len = payload_len + FRAME - PAYLOAD, gain = compress_min_gain(len);
	enum reason reason;
	int n;

	data_fill(frame, FRAME - PAYLOAD, DATA_BINARY, seed);
	data_fill(frame + FRAME - PAYLOAD, payload_len, kind, seed);
	costs->packets++;
	reason = compress_should_try(fc, frame + FRAME - PAYLOAD, payload_len);
	costs->skipped += reason == PASS_LINK_BACKOFF;
	costs->sampled += reason == PASS_LINK_NO_GAIN;
	costs->small += reason == PASS_LINK_SMALL;
	if (reason != REASON_NONE)
		return 0;
	costs->tried++;
	n = len > HEADERS + gain ? compressor_lz4(c, frame, len, blob, len - HEADERS - gain, 1) : 0;
	compress_result(fc, len, n > 0 ? (uint32_t)n + HEADERS : 0);
	costs->paid += n > 0;
	costs->saved += n > 0 ? len - HEADERS - (uint32_t)n : 0;
	return n > 0;
}

/* TSC cycles by the unit costs of this kind of machine: see link_bench for measured ones. */
static double cycles_per_packet(const struct costs *c)
{
	return (10.0 * c->packets + 175.0 * c->sampled + 1150.0 * c->tried) / c->packets;
}

static void test_random(void)
{
	struct compressor *c = compressor_init(memory);
	struct flow_codec fc = {0};
	struct costs costs = {0};

	for (uint64_t i = 0; i < 20000; i++)
		packet(&fc, c, DATA_RANDOM, i, PAYLOAD, &costs);
	CU_ASSERT_EQUAL(costs.paid, 0);
	CU_ASSERT_EQUAL(fc.saved_bytes, 0);
	CU_ASSERT_EQUAL(costs.packets, costs.skipped + costs.sampled + costs.tried);
	/* One in 65 is tried. */
	CU_ASSERT(costs.sampled + costs.tried < 20000 / 65 + 20);
	CU_ASSERT(cycles_per_packet(&costs) < 40);

	/* Short flows: everything at the beginning. */
	memset(&costs, 0, sizeof(costs));
	for (uint64_t flow = 0; flow < 200; flow++) {
		memset(&fc, 0, sizeof(fc));
		for (uint64_t i = 0; i < 100; i++)
			packet(&fc, c, DATA_RANDOM, flow << 32 | i, PAYLOAD, &costs);
	}
	CU_ASSERT(cycles_per_packet(&costs) < 100);
}

static void test_text(void)
{
	struct compressor *c = compressor_init(memory);

	for (int kind = DATA_TEXT; kind <= DATA_BINARY; kind++) {
		struct flow_codec fc = {0};
		struct costs costs = {0};
		uint64_t i;

		for (i = 0; i < 5000; i++)
			packet(&fc, c, (enum data_kind)kind, i, PAYLOAD, &costs);
		CU_ASSERT(costs.paid >= 4995);
		CU_ASSERT_EQUAL(fc.state, FLOW_CODEC_ON);
		CU_ASSERT_EQUAL(fc.saved_bytes, costs.saved);
		CU_ASSERT(fc.saved_bytes > costs.paid * (FRAME / 5));
	}
}

/* The pauses, exactly. */
static void test_pauses(void)
{
	struct flow_codec fc = {0};
	uint32_t len = COMPRESS_SAMPLE_BYTES - 1; /* never sampled */
	uint32_t pauses[] = {0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 64, 64};

	data_fill(frame, sizeof(frame), DATA_TEXT, 1);
	for (unsigned i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
		CU_ASSERT_EQUAL(compress_should_try(&fc, frame, len), REASON_NONE);
		compress_result(&fc, 600, 0);
		for (uint32_t k = 0; k < pauses[i]; k++)
			CU_ASSERT_EQUAL(compress_should_try(&fc, frame, len), PASS_LINK_BACKOFF);
	}
	/* A success ends it at once, and the next failure is a first one. */
	CU_ASSERT_EQUAL(compress_should_try(&fc, frame, len), REASON_NONE);
	compress_result(&fc, 600, 300);
	CU_ASSERT_EQUAL(fc.saved_bytes, 300);
	for (int i = 0; i < COMPRESS_FAILS; i++) {
		CU_ASSERT_EQUAL(compress_should_try(&fc, frame, len), REASON_NONE);
		compress_result(&fc, 600, 590);
	}
	CU_ASSERT_EQUAL(fc.saved_bytes, 300);
	CU_ASSERT_EQUAL(compress_should_try(&fc, frame, len), PASS_LINK_BACKOFF);
	CU_ASSERT_EQUAL(compress_should_try(&fc, frame, len), REASON_NONE);
}

/* What looks random fails twice as fast, and waits longer. */
static void test_random_pauses(void)
{
	struct flow_codec fc = {0};
	uint32_t pauses[] = {0, 4, 8, 16, 32, 64};

	data_fill(frame, sizeof(frame), DATA_RANDOM, 1);
	for (unsigned i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
		CU_ASSERT_EQUAL(compress_should_try(&fc, frame, 1000), PASS_LINK_NO_GAIN);
		for (uint32_t k = 0; k < pauses[i]; k++)
			CU_ASSERT_EQUAL(compress_should_try(&fc, frame, 1000), PASS_LINK_BACKOFF);
	}
	CU_ASSERT_EQUAL(compress_should_try(&fc, frame, 1000), REASON_NONE);
}

/* Packets of a new flow that are let pass before the first one that is looked at. */
static uint32_t first_pause(uint8_t proto, uint16_t a, uint16_t b)
{
	struct flow_codec fc = {0};
	const uint16_t port[2] = {htons(a), htons(b)};

	for (uint32_t i = 0;; i++) {
		compress_hint(&fc, proto, port);
		if (compress_should_try(&fc, frame, 1000) != PASS_LINK_BACKOFF)
			return i;
	}
}

/* Ports and TLS records that say what the payload is. */
static void test_hints(void)
{
	struct flow_codec fc = {0};
	const uint16_t https[2] = {htons(443), htons(50000)};

	data_fill(frame, sizeof(frame), DATA_TEXT, 1);
	CU_ASSERT_EQUAL(first_pause(IPPROTO_TCP, 50000, 443), 32);
	CU_ASSERT_EQUAL(first_pause(IPPROTO_UDP, 443, 50000), 32);
	CU_ASSERT_EQUAL(first_pause(IPPROTO_TCP, 22, 50000), 32);
	CU_ASSERT_EQUAL(first_pause(IPPROTO_ESP, 0, 0), 32);
	CU_ASSERT_EQUAL(first_pause(IPPROTO_TCP, 80, 50000), 0);
	CU_ASSERT_EQUAL(first_pause(IPPROTO_ICMP, 443, 0), 0);
	/* A hint, no more: what compresses on such a port is found. */
	for (uint32_t i = 0; i < 33; i++) {
		compress_hint(&fc, IPPROTO_TCP, https);
		CU_ASSERT_EQUAL(compress_should_try(&fc, frame, 1000),
			i < 32 ? PASS_LINK_BACKOFF : REASON_NONE);
	}
	CU_ASSERT(fc.is_encrypted);
	compress_result(&fc, 1000, 500);
	CU_ASSERT(!fc.is_encrypted);
	compress_hint(&fc, IPPROTO_TCP, https);
	CU_ASSERT_EQUAL(compress_should_try(&fc, frame, 1000), REASON_NONE);
	/* Nor does a flow that has failed become a new one. */
	compress_result(&fc, 1000, 0);
	compress_hint(&fc, IPPROTO_TCP, https);
	CU_ASSERT_EQUAL(compress_should_try(&fc, frame, 1000), REASON_NONE);

	memset(&fc, 0, sizeof(fc));
	memcpy(frame, "\x17\x03\x03\x04\x10", 5);
	CU_ASSERT_EQUAL(compress_should_try(&fc, frame, COMPRESS_SMALL_BYTES), PASS_LINK_NO_GAIN);
	CU_ASSERT(fc.is_encrypted);
	for (uint32_t i = 0; i < 32; i++)
		CU_ASSERT_EQUAL(compress_should_try(&fc, frame, 1000), PASS_LINK_BACKOFF);
	/* Longer than any record. */
	memset(&fc, 0, sizeof(fc));
	frame[3] = 0x50;
	CU_ASSERT_EQUAL(compress_should_try(&fc, frame, COMPRESS_SMALL_BYTES), REASON_NONE);
}

static void test_thresholds(void)
{
	struct flow_codec fc = {0};

	CU_ASSERT_EQUAL(compress_min_gain(0), 16);
	CU_ASSERT_EQUAL(compress_min_gain(500), 16);
	CU_ASSERT_EQUAL(compress_min_gain(1500), 45);
	CU_ASSERT_EQUAL(compress_should_try(&fc, frame, 0), PASS_LINK_SMALL);
	CU_ASSERT_EQUAL(compress_should_try(&fc, frame, COMPRESS_SMALL_BYTES - 1), PASS_LINK_SMALL);
	CU_ASSERT_EQUAL(compress_should_try(&fc, frame, COMPRESS_SMALL_BYTES), REASON_NONE);

	compress_result(&fc, 1500, 1500 - 44);
	CU_ASSERT_EQUAL(fc.state, FLOW_CODEC_PROBE);
	CU_ASSERT_EQUAL(fc.fails, 1);
	compress_result(&fc, 1500, 1500 - 45);
	CU_ASSERT_EQUAL(fc.state, FLOW_CODEC_ON);
	CU_ASSERT_EQUAL(fc.fails, 0);
	CU_ASSERT_EQUAL(fc.saved_bytes, 45);
	/* A frame that grew must not count as saving 4 billion bytes. */
	compress_result(&fc, 100, 1000);
	compress_result(&fc, 100, UINT32_MAX);
	CU_ASSERT_EQUAL(fc.saved_bytes, 45);
}

/* Small packets of a flow are not what it is judged by. */
static void test_small(void)
{
	struct compressor *c = compressor_init(memory);
	struct flow_codec fc = {0};
	struct costs costs = {0};

	for (uint64_t i = 0; i < 1000; i++) {
		packet(&fc, c, DATA_TEXT, i, PAYLOAD, &costs);
		packet(&fc, c, DATA_TEXT, i, 0, &costs);
		packet(&fc, c, DATA_RANDOM, i, 60, &costs);
	}
	CU_ASSERT_EQUAL(costs.small, 2000);
	CU_ASSERT(costs.paid >= 995);
}

/* A flow that becomes compressible is found within one pause. */
static void test_change(void)
{
	struct compressor *c = compressor_init(memory);
	struct flow_codec fc = {0};
	struct costs costs = {0};
	uint32_t until = 0;

	for (uint64_t i = 0; i < 5000; i++)
		packet(&fc, c, DATA_RANDOM, i, PAYLOAD, &costs);
	CU_ASSERT_EQUAL(fc.state, FLOW_CODEC_OFF);
	while (until < 200 && !packet(&fc, c, DATA_TEXT, until, PAYLOAD, &costs))
		until++;
	CU_ASSERT(until <= 1u << COMPRESS_BACK_OFF_MAX);

	/* And back: four tries, then pauses. */
	memset(&costs, 0, sizeof(costs));
	for (uint64_t i = 0; i < 1000; i++)
		packet(&fc, c, DATA_RANDOM, i, PAYLOAD, &costs);
	CU_ASSERT(costs.tried + costs.sampled < 30);
}

/* Bytes spread evenly that repeat at a distance: the sample takes them for random, LZ4 would not.
 */
static void test_even_but_repeating(void)
{
	struct compressor *c = compressor_init(memory);
	struct flow_codec fc = {0};
	uint32_t compressed = 0;

	for (uint32_t i = 0; i < 2000; i++) {
		int n;

		for (uint32_t k = 0; k < FRAME; k++)
			frame[k] = (uint8_t)((k % 256) * 167 + 13);
		if (compress_should_try(&fc, frame, PAYLOAD) != REASON_NONE)
			continue;
		struct codec_method method = {.effort = 1};

		/* A quick look is enough to find them. */
		compress_long_shot(&fc, frame, PAYLOAD, 1u << CODEC_LZ4, &method);
		n = compressor_lz4(c, frame, FRAME, blob, FRAME - 200, method.effort);
		compress_result(&fc, FRAME, n > 0 ? (uint32_t)n + HEADERS : 0);
		compressed += n > 0;
	}
	CU_ASSERT(compressed > 1800);
}

/* What the tries of a flow are worth that has long looked random. */
static void test_long_shot(void)
{
	struct compressor *c = compressor_init(memory);
	const uint8_t *payload = frame + FRAME - PAYLOAD;
	struct codec_method method = {.number = CODEC_RAW};
	struct flow_codec fc = {0};
	struct costs costs = {0};
	uint8_t all = UINT8_MAX;

	data_fill(frame, FRAME, DATA_RANDOM, 1);
	CU_ASSERT(!compress_long_shot(&fc, payload, PAYLOAD, all, &method));
	for (uint64_t i = 0; i < 2000; i++)
		packet(&fc, c, DATA_RANDOM, i, PAYLOAD, &costs);
	CU_ASSERT(compress_long_shot(&fc, payload, PAYLOAD, all, &method));
	CU_ASSERT_EQUAL(method.number, CODEC_LZ4);
	CU_ASSERT_EQUAL(method.effort, COMPRESS_LONG_SHOT_ACCELERATION);
	CU_ASSERT_EQUAL(method.dictionary, 0);

	/* Not where the sample says little, nor for a peer without LZ4, nor what looks uneven. */
	CU_ASSERT(!compress_long_shot(&fc, payload, COMPRESS_SAMPLE_BYTES - 1, all, &method));
	CU_ASSERT(!compress_long_shot(&fc, payload, PAYLOAD, 1u << CODEC_ZSTD, &method));
	data_fill(frame, FRAME, DATA_TEXT, 1);
	CU_ASSERT(!compress_long_shot(&fc, payload, PAYLOAD, all, &method));
	compress_result(&fc, FRAME, FRAME / 2);
	data_fill(frame, FRAME, DATA_RANDOM, 2);
	CU_ASSERT(!compress_long_shot(&fc, payload, PAYLOAD, all, &method));
}

/* The sample itself: wrong in either direction how often? */
static void test_sample(void)
{
	static const uint32_t lens[] = {512, 1000, 1400, 8900};
	static uint8_t payload[9000];

	for (int kind = 0; kind < DATA_KINDS; kind++)
		for (unsigned l = 0; l < 4; l++) {
			uint32_t random = 0, n = 4000;

			for (uint64_t i = 0; i < n; i++) {
				struct flow_codec fc = {0};

				data_fill(payload, lens[l], (enum data_kind)kind, i << 8 | l);
				random += compress_should_try(&fc, payload, lens[l]) ==
					  PASS_LINK_NO_GAIN;
			}
			if (kind == DATA_RANDOM)
				CU_ASSERT(random >= n * 99 / 100)
			else
				CU_ASSERT(random <= n / 1000)
		}
}

/* What a class asks for, what the worker has time for, what the other end understands. */
static void test_method(void)
{
	const struct compress_class lz4 = {
		.codec = CODEC_LZ4, .acceleration = 2, .level = 1, .history = true};
	const struct compress_class zstd = {
		.codec = CODEC_ZSTD, .acceleration = 6, .level = 3, .history = true};
	const uint8_t all =
		1 << CODEC_RAW | 1 << CODEC_LZ4 | 1 << CODEC_LZ4_DICTIONARY | 1 << CODEC_ZSTD;
	const uint8_t old = 1 << CODEC_RAW | 1 << CODEC_LZ4;
	const struct {
		const struct compress_class *class;
		uint8_t dictionary, step, codecs;
		uint16_t dictionaries;
		struct codec_method want;
	} cases[] = {
		{&lz4, 0, 0, all, 0xfe, {CODEC_LZ4, 2, 0}},
		{&lz4, 3, 0, all, 0xfe, {CODEC_LZ4_DICTIONARY, 2, 3}},
		{&lz4, 3, 0, all, 0xf6, {CODEC_LZ4, 2, 0}}, /* not there */
		{&lz4, 3, 0, old, 0xfe, {CODEC_LZ4, 2, 0}},
		{&lz4, 3, 1, all, 0xfe, {CODEC_LZ4, 4, 0}},
		{&lz4, 3, 2, all, 0xfe, {CODEC_LZ4, 8, 0}},
		{&zstd, 0, 0, all, 0xfe, {CODEC_ZSTD, 3, 0}},
		{&zstd, 3, 0, all, 0xfe, {CODEC_ZSTD, 3, 3}},
		{&zstd, 3, 0, all, 0, {CODEC_ZSTD, 3, 0}},
		{&zstd, 3, 0, old, 0xfe, {CODEC_LZ4, 6, 0}},
		{&zstd, 3, 1, all, 0xfe, {CODEC_LZ4, 6, 0}},
		{&zstd, 3, 2, all, 0xfe, {CODEC_LZ4, 8, 0}},
		{&lz4, 3, 1, 1 << CODEC_ZSTD, 0xfe, {CODEC_ZSTD, 1, 3}}, /* no choice */
		{&lz4, 3, 0, 1 << CODEC_RAW, 0xfe, {CODEC_RAW, 0, 0}},
		{&zstd, 3, 2, 0, 0xfe, {CODEC_RAW, 0, 0}},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct flow_codec fc = {.dictionary = cases[i].dictionary};
		struct codec_method got = compress_method(
			&fc, cases[i].class, cases[i].step, cases[i].codecs, cases[i].dictionaries);

		CU_ASSERT(memcmp(&got, &cases[i].want, sizeof(got)) == 0);
	}
}

static void test_link(void)
{
	struct compress_class any = {.codec = CODEC_RAW,
				      .acceleration = 1,
				      .level = 2,
				      .history = true},
			      got;
	const struct compress_class lz4 = {
		.codec = CODEC_LZ4, .acceleration = 1, .level = 2, .history = true};
	const struct {
		uint64_t bps;
		uint8_t codec, level;
	} cases[] = {{64000, CODEC_ZSTD, 3}, {100000000, CODEC_ZSTD, 3}, {100000001, CODEC_ZSTD, 1},
		{500000000, CODEC_ZSTD, 1}, {500000001, CODEC_LZ4, 0}, {0, CODEC_LZ4, 0}};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		got = compress_for_link(any, cases[i].bps);
		CU_ASSERT_EQUAL(got.codec, cases[i].codec);
		CU_ASSERT(cases[i].level == 0 || got.level == cases[i].level);
		got = compress_for_link(lz4, cases[i].bps);
		CU_ASSERT(got.codec == CODEC_LZ4 && got.level == 2);
	}
}

/* When a flow's dictionary is looked for. */
static void test_looks(void)
{
	struct flow_codec fc = {0};
	uint32_t at[8], n = 0;

	data_fill(frame, sizeof(frame), DATA_TEXT, 1);
	for (uint32_t i = 0; i < 14000; i++)
		if (compress_should_look(&fc, frame, PAYLOAD) && n < 8)
			at[n++] = i;
	CU_ASSERT_EQUAL_FATAL(n, 7);
	CU_ASSERT(at[0] == 0 && at[1] == 8 && at[2] == 72 && at[3] == 584);
	CU_ASSERT(at[4] == 584 + 4096 && at[6] == 584 + 3 * 4096);
	compress_found(&fc, 5);
	CU_ASSERT_EQUAL(fc.dictionary, 5);

	/* Not in what looks random, nor in next to nothing; the first time that it is worth it. */
	memset(&fc, 0, sizeof(fc));
	data_fill(frame, sizeof(frame), DATA_RANDOM, 1);
	for (uint32_t i = 0; i < 100; i++)
		CU_ASSERT(!compress_should_look(&fc, frame, i % 2 ? PAYLOAD : 200));
	CU_ASSERT(!compress_should_look(&fc, frame, 10) && !compress_should_look(&fc, frame, 0));
	data_fill(frame, sizeof(frame), DATA_TEXT, 1);
	for (n = 0; !compress_should_look(&fc, frame, 200); n++)
		CU_ASSERT_FATAL(n < 8);
}

UNIT_TESTS("compress-decide", {"how to compress", test_method}, {"by the link's rate", test_link},
	{"looks for a dictionary", test_looks},
	{"incompressible flows cost next to nothing", test_random},
	{"compressible flows are all compressed", test_text},
	{"pauses are those promised", test_pauses},
	{"pauses of what looks random", test_random_pauses},
	{"hints of what is encrypted", test_hints}, {"thresholds", test_thresholds},
	{"small packets do not count", test_small}, {"a change of content is found", test_change},
	{"even but repeating bytes are found", test_even_but_repeating},
	{"long shots", test_long_shot}, {"the sample errs rarely", test_sample})
