/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * compress/lz4.c against liblz4's ordinary functions, which share no state between calls: the same
 * bytes come back, at the same size, and nothing is touched that is not given.
 */
#include <lz4.h>
#include <stdlib.h>

#include "dataplane/compress/lz4.h"
#include "tests/unit/compress/data.h"
#include "tests/unit/unit.h"

#define LEN_MAX 9000
#define CANARY 0xa5

static struct compressor *make(void)
{
	size_t bytes = (compressor_bytes() + COMPRESSOR_ALIGN - 1) / COMPRESSOR_ALIGN;
	void *memory = aligned_alloc(COMPRESSOR_ALIGN, bytes * COMPRESSOR_ALIGN);

	return compressor_init(memory);
}

/* Compress with ours, decompress with liblz4's; and the other way about. */
static void round_trip(struct compressor *c, const uint8_t *in, uint32_t len, int acceleration)
{
	static uint8_t out[LZ4_COMPRESSBOUND(LEN_MAX) + 1], plain[LEN_MAX + 1];
	uint32_t room = (uint32_t)LZ4_compressBound((int)len);
	int n, reference;

	out[room] = CANARY;
	n = compressor_lz4(c, in, len, out, room, acceleration);
	CU_ASSERT(n > 0 && (uint32_t)n <= room);
	CU_ASSERT_EQUAL(out[room], CANARY);
	CU_ASSERT_EQUAL(LZ4_decompress_safe((char *)out, (char *)plain, n, LEN_MAX), (int)len);
	CU_ASSERT(memcmp(in, plain, len) == 0);

	plain[len] = CANARY;
	reference =
		LZ4_compress_fast((const char *)in, (char *)out, (int)len, (int)room, acceleration);
	CU_ASSERT_EQUAL(decompress_lz4(out, (uint32_t)reference, plain, len), 0);
	CU_ASSERT_EQUAL(plain[len], CANARY);
	CU_ASSERT(memcmp(in, plain, len) == 0);
	/* The kept table may cost or gain a few matches. */
	CU_ASSERT(abs(n - reference) <= 8 + reference / 50);
}

static void test_sizes(void)
{
	struct compressor *c = make();
	static uint8_t in[LEN_MAX];

	for (int kind = 0; kind < DATA_KINDS; kind++) {
		data_fill(in, LEN_MAX, (enum data_kind)kind, 7);
		for (uint32_t len = 0; len <= 300; len++)
			round_trip(c, in, len, 1);
		for (uint32_t len = 301; len < LEN_MAX; len += 97)
			round_trip(c, in + len % 64, len - len % 64, 1);
		round_trip(c, in, LEN_MAX, 1);
		round_trip(c, in, 1400, 8);
	}
	free(c);
}

/* Every packet on its own: what the compressor has seen before never gets into a block. */
static void test_independent(void)
{
	struct compressor *c = make();
	static uint8_t in[1400];
	uint64_t r = 1;

	for (int i = 0; i < 20000; i++) {
		uint64_t v = data_next(&r);

		data_fill(in, sizeof(in), (enum data_kind)(v % DATA_KINDS), v >> 8 & 7);
		round_trip(c, in, (uint32_t)(v >> 16) % sizeof(in), 1 + (int)(v >> 40 & 1) * 7);
	}
	free(c);
}

static void test_no_room(void)
{
	struct compressor *c = make();
	static uint8_t in[1400], out[1500];
	int full;

	data_fill(in, sizeof(in), DATA_TEXT, 3);
	full = compressor_lz4(c, in, sizeof(in), out, sizeof(out), 1);
	CU_ASSERT(full > 16 && full < 900);
	for (uint32_t room = 0; room < (uint32_t)full; room++) {
		memset(out, CANARY, sizeof(out));
		CU_ASSERT_EQUAL(compressor_lz4(c, in, sizeof(in), out, room, 1), 0);
		for (uint32_t i = room; i < sizeof(out); i++)
			if (out[i] != CANARY)
				CU_FAIL("wrote beyond its room");
	}
	/* Giving up leaves a state as good as before. */
	CU_ASSERT_EQUAL(compressor_lz4(c, in, sizeof(in), out, (uint32_t)full, 1), full);
	round_trip(c, in, sizeof(in), 1);

	data_fill(in, sizeof(in), DATA_RANDOM, 3);
	CU_ASSERT_EQUAL(compressor_lz4(c, in, sizeof(in), out, sizeof(in) - 42, 1), 0);
	free(c);
}

static void test_bad_memory(void)
{
	_Alignas(COMPRESSOR_ALIGN) static uint8_t memory[65536];

	CU_ASSERT(compressor_bytes() < sizeof(memory));
	CU_ASSERT_PTR_NULL(compressor_init(NULL));
	CU_ASSERT_PTR_NULL(compressor_init(memory + 8));
	CU_ASSERT_PTR_NOT_NULL(compressor_init(memory));
}

static void test_garbage(void)
{
	static uint8_t in[600], good[600], text[1400], plain[1401];
	struct compressor *c = make();
	uint64_t r = 5;
	int n;

	data_fill(text, sizeof(text), DATA_TEXT, 9);
	n = compressor_lz4(c, text, sizeof(text), good, sizeof(good), 1);
	CU_ASSERT_FATAL(n > 0);
	CU_ASSERT_NOT_EQUAL(decompress_lz4(good, 0, plain, 10), 0);
	for (int i = 0; i < 50000; i++) {
		uint64_t v = data_next(&r);
		uint32_t len = (uint32_t)n, original = sizeof(text);

		memcpy(in, good, (size_t)n);
		for (uint64_t k = 0; k <= (v & 3); k++)
			in[(v >> 8) % (uint32_t)n] ^= (uint8_t)(1 << (v >> 40 & 7));
		if (v >> 50 & 1)
			len = (uint32_t)(v >> 20) % len;
		if (v >> 51 & 1)
			original = (uint32_t)(v >> 30) % sizeof(text);
		if (v >> 52 & 1)
			data_fill(in, sizeof(in), DATA_RANDOM, v);
		plain[original] = CANARY;
		decompress_lz4(in, len, plain, original);
		if (plain[original] != CANARY)
			CU_FAIL_FATAL("wrote beyond the original length");
	}
	/* Right bytes, wrong length. */
	CU_ASSERT_EQUAL(decompress_lz4(good, (uint32_t)n, plain, sizeof(text)), 0);
	CU_ASSERT_NOT_EQUAL(decompress_lz4(good, (uint32_t)n, plain, sizeof(text) - 1), 0);
	CU_ASSERT_NOT_EQUAL(decompress_lz4(good, (uint32_t)n, plain, sizeof(text) + 1), 0);
	for (uint32_t cut = 0; cut < (uint32_t)n; cut++)
		CU_ASSERT_NOT_EQUAL(decompress_lz4(good, cut, plain, sizeof(text)), 0);
	free(c);
}

UNIT_TESTS("compress-lz4", {"every size and kind comes back", test_sizes},
	{"packets do not depend on each other", test_independent},
	{"gives up within its room", test_no_room}, {"memory is checked", test_bad_memory},
	{"garbage is refused and stays inside", test_garbage})
