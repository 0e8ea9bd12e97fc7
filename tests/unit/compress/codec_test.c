/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * compress/codec.c against the one-shot calls of liblz4 and libzstd, which know nothing of it: what
 * it makes they read, and the other way about; hostile blobs end in an error, inside their bounds.
 */
#include <errno.h>
#include <lz4.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <xxhash.h>
#include <zdict.h>
#include <zstd.h>

#include "dataplane/compress/codec.h"
#include "tests/unit/compress/data.h"
#include "tests/unit/compress/vectors.h"
#include "tests/unit/unit.h"

#define CANARY 0xa5
#define LEN_MAX CODEC_ORIGINAL_MAX_BYTES
#define BLOB_MAX ZSTD_COMPRESSBOUND(LEN_MAX)

static const struct dictionaries *dictionaries;
static uint8_t blob[BLOB_MAX + 9], plain[LEN_MAX + 1], in[LEN_MAX];

static void *memory(size_t bytes)
{
	return aligned_alloc(CODEC_ALIGN, (bytes + CODEC_ALIGN - 1) / CODEC_ALIGN * CODEC_ALIGN);
}

static struct codec *codec(void)
{
	static struct codec *c;

	if (c == NULL) {
		dictionaries = dictionaries_init(memory(dictionaries_bytes()));
		c = codec_init(memory(codec_bytes()), dictionaries);
	}
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	return c;
}

static const struct dictionary_source *source_of(uint8_t id)
{
	for (const struct dictionary_source *s = dictionary_sources; s->id != 0; s++)
		if (s->id == id)
			return s;
	return NULL;
}

/* Decode with the libraries alone, from the format as link/shim.h tells it. */
static int reference_decode(uint8_t number, const uint8_t *b, uint32_t len, uint8_t *out)
{
	static uint8_t frame[BLOB_MAX + ZSTD_HEADERS_BYTES];
	const struct dictionary_source *s = number != CODEC_LZ4 ? source_of(b[0]) : NULL;
	static ZSTD_DCtx *context;
	size_t header, n;

	if (context == NULL)
		context = ZSTD_createDCtx();
	switch (number) {
	case CODEC_LZ4:
		return LZ4_decompress_safe((const char *)b, (char *)out, (int)len, LEN_MAX);
	case CODEC_LZ4_DICTIONARY:
		header = ZDICT_getDictHeaderSize(s->bytes, s->len);
		return LZ4_decompress_safe_usingDict((const char *)b + 1, (char *)out, (int)len - 1,
			LEN_MAX, (const char *)s->bytes + header, (int)(s->len - header));
	default:
		/* Magic; no options; a window of 128 kB; the last block, a compressed one. */
		memcpy(frame, "\x28\xb5\x2f\xfd\x00\x38", 6);
		frame[6] = (uint8_t)((len - 1) << 3 | 2 << 1 | 1);
		frame[7] = (uint8_t)((len - 1) >> 5);
		frame[8] = (uint8_t)((len - 1) >> 13);
		memcpy(frame + 9, b + 1, len - 1);
		n = ZSTD_decompress_usingDict(context, out, LEN_MAX, frame, len + 8,
			s != NULL ? s->bytes : NULL, s != NULL ? s->len : 0);
		return ZSTD_isError(n) ? -1 : (int)n;
	}
}

static void round_trip(struct codec_method method, uint32_t len)
{
	struct codec *c = codec();
	int n = codec_encode(c, method, in, len, blob, BLOB_MAX);

	/* zstd makes nothing of what does not compress. */
	if (method.number == CODEC_ZSTD && n == 0)
		return;
	CU_ASSERT_FATAL(n > 0 && n <= (int)BLOB_MAX);
	plain[len] = CANARY;
	memset(plain, 0, len);
	CU_ASSERT_EQUAL(codec_decode(c, method.number, blob, (uint32_t)n, plain, len), 0);
	CU_ASSERT(plain[len] == CANARY && memcmp(in, plain, len) == 0);
	if (method.number != CODEC_RAW) {
		memset(plain, 0, len);
		CU_ASSERT_EQUAL(
			reference_decode(method.number, blob, (uint32_t)n, plain), (int)len);
		CU_ASSERT(memcmp(in, plain, len) == 0);
	}
	/* A little more room than it needs (liblz4 gives up a little early), and one byte less. */
	blob[n + 8] = CANARY;
	CU_ASSERT_EQUAL(codec_encode(c, method, in, len, blob, (uint32_t)n + 8), n);
	CU_ASSERT_EQUAL(blob[n + 8], CANARY);
	blob[n - 1] = CANARY;
	CU_ASSERT_EQUAL(codec_encode(c, method, in, len, blob, (uint32_t)n - 1), 0);
	CU_ASSERT_EQUAL(blob[n - 1], CANARY);
}

/* Every method there is: returns the i-th, false behind the last. */
static bool method_at(unsigned i, struct codec_method *method)
{
	static const struct codec_method plain_ones[] = {{CODEC_RAW, 1, 0}, {CODEC_LZ4, 1, 0},
		{CODEC_LZ4, 4, 0}, {CODEC_LZ4, 8, 0}, {CODEC_ZSTD, 1, 0}, {CODEC_ZSTD, 2, 0},
		{CODEC_ZSTD, 3, 0}};
	const unsigned count = sizeof(plain_ones) / sizeof(plain_ones[0]);
	static const struct codec_method with[] = {{CODEC_LZ4_DICTIONARY, 1, 0},
		{CODEC_LZ4_DICTIONARY, 8, 0}, {CODEC_ZSTD, 1, 0}, {CODEC_ZSTD, 3, 0}};

	if (i < count) {
		*method = plain_ones[i];
		return true;
	}
	*method = with[(i - count) % 4];
	method->dictionary = dictionary_sources[(i - count) / 4].id;
	return method->dictionary != 0;
}

static void test_round_trips(void)
{
	struct codec_method method;

	for (int kind = 0; kind < DATA_KINDS; kind++) {
		data_fill(in, sizeof(in), (enum data_kind)kind, 5);
		for (unsigned i = 0; method_at(i, &method); i++) {
			for (uint32_t len = 1; len <= 64; len++)
				round_trip(method, len);
			for (uint32_t len = 65; len < 1500; len += 131)
				round_trip(method, len);
			round_trip(method, 1500);
			round_trip(method, 9018);
			round_trip(method, LEN_MAX);
		}
	}
}

/* Methods in any order leave nothing behind: a blob is the same whatever was before it. */
static void test_independent(void)
{
	struct codec_method method;
	uint64_t r = 3;
	unsigned count = 0;

	while (method_at(count, &method))
		count++;
	for (int i = 0; i < 20000; i++) {
		uint64_t v = data_next(&r);

		method_at((unsigned)(v % count), &method);
		data_fill(in, 1500, (enum data_kind)(v >> 16 & 3), v >> 20 & 15);
		round_trip(method, 1 + (uint32_t)(v >> 32) % 1500);
	}
}

/* What the libraries make by themselves is read too: nothing depends on our encoder. */
static void test_foreign(void)
{
	static uint8_t frame[BLOB_MAX];
	ZSTD_CCtx *context = ZSTD_createCCtx();
	struct codec *c = codec();

	ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
	ZSTD_CCtx_setParameter(context, ZSTD_c_dictIDFlag, 0);
	data_fill(in, sizeof(in), DATA_TEXT, 8);
	for (const struct dictionary_source *s = dictionary_sources;; s++) {
		for (int level = 1; level <= 19; level += 6) {
			uint32_t len = 700 + (uint32_t)level * 400;
			size_t n;

			ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
			ZSTD_CCtx_loadDictionary(context, s->id != 0 ? s->bytes : NULL, s->len);
			n = ZSTD_compress2(context, frame, sizeof(frame), in, len);
			CU_ASSERT_FATAL(!ZSTD_isError(n) && n > 9);
			frame[8] = s->id; /* in place of what ends the headers */
			CU_ASSERT_EQUAL(
				codec_decode(c, CODEC_ZSTD, frame + 8, (uint32_t)n - 8, plain, len),
				0);
			CU_ASSERT(memcmp(plain, in, len) == 0);
		}
		if (s->id == 0)
			break;
	}
	ZSTD_freeCCtx(context);
}

static void test_vectors(void)
{
	const uint32_t len = sizeof(vector_text) - 1;
	struct codec *c = codec();

	for (unsigned i = 0; i < sizeof(vector_blobs) / sizeof(vector_blobs[0]); i++) {
		memset(plain, 0, len);
		CU_ASSERT_EQUAL(codec_decode(c, vector_blobs[i].number, vector_blobs[i].bytes,
					vector_blobs[i].len, plain, len),
			0);
		CU_ASSERT(memcmp(plain, vector_text, len) == 0);
		memset(plain, 0, len);
		CU_ASSERT_EQUAL(reference_decode(vector_blobs[i].number, vector_blobs[i].bytes,
					vector_blobs[i].len, plain),
			(int)len);
		CU_ASSERT(memcmp(plain, vector_text, len) == 0);
	}
	for (unsigned i = 0; i < sizeof(vector_dictionaries) / sizeof(vector_dictionaries[0]);
		i++) {
		const struct dictionary *d =
			dictionaries_find(dictionaries, vector_dictionaries[i].id);

		CU_ASSERT_PTR_NOT_NULL_FATAL(d);
		CU_ASSERT_EQUAL(d->hash, vector_dictionaries[i].hash);
	}
}

static void test_refused(void)
{
	struct codec *c = codec();
	struct codec *bare = codec_init(memory(codec_bytes()), NULL);
	int n;

	data_fill(in, 1000, DATA_TEXT, 1);
	/* Methods and dictionaries that there are not. */
	for (unsigned number = 0; number < 256; number++) {
		bool known = number == CODEC_RAW || number == CODEC_LZ4 ||
			     number == CODEC_LZ4_DICTIONARY || number == CODEC_ZSTD;

		n = codec_encode(
			c, (struct codec_method){(uint8_t)number, 1, 1}, in, 1000, blob, BLOB_MAX);
		CU_ASSERT_EQUAL(n > 0, known);
		if (!known)
			CU_ASSERT_EQUAL(
				codec_decode(c, (uint8_t)number, in, 1000, plain, 1000), -EBADMSG);
	}
	for (unsigned id = 0; id < 256; id++) {
		for (int zstd = 0; zstd < 2; zstd++) {
			struct codec_method method = {
				zstd ? CODEC_ZSTD : CODEC_LZ4_DICTIONARY, 1, (uint8_t)id};

			if (source_of((uint8_t)id) != NULL || (zstd && id == 0))
				continue;
			CU_ASSERT_EQUAL(codec_encode(c, method, in, 1000, blob, BLOB_MAX), 0);
			method.dictionary = 1;
			n = codec_encode(c, method, in, 1000, blob, BLOB_MAX);
			blob[0] = (uint8_t)id;
			CU_ASSERT_EQUAL(
				codec_decode(c, method.number, blob, (uint32_t)n, plain, 1000),
				-EBADMSG);
		}
	}
	/* With no dictionaries at all. */
	n = codec_encode(c, (struct codec_method){CODEC_ZSTD, 1, 1}, in, 1000, blob, BLOB_MAX);
	CU_ASSERT_EQUAL(codec_decode(bare, CODEC_ZSTD, blob, (uint32_t)n, plain, 1000), -EBADMSG);
	n = codec_encode(bare, (struct codec_method){CODEC_ZSTD, 1, 0}, in, 1000, blob, BLOB_MAX);
	CU_ASSERT_EQUAL(codec_decode(c, CODEC_ZSTD, blob, (uint32_t)n, plain, 1000), 0);
	/* Levels and lengths out of bounds. */
	for (int level = 0; level < 256; level = level == 0 ? ZSTD_LEVELS + 1 : level + 83)
		CU_ASSERT_EQUAL(
			codec_encode(c, (struct codec_method){CODEC_ZSTD, (uint8_t)level, 0}, in,
				1000, blob, BLOB_MAX),
			0);
	CU_ASSERT_EQUAL(
		codec_decode(c, CODEC_ZSTD, blob, (uint32_t)n, plain, LEN_MAX + 1), -EBADMSG);
	CU_ASSERT_EQUAL(codec_decode(c, CODEC_ZSTD, blob, 0, plain, 10), -EBADMSG);
	CU_ASSERT_EQUAL(codec_decode(c, CODEC_ZSTD, blob, 1, plain, 10), -EBADMSG);
	CU_ASSERT_EQUAL(codec_decode(c, CODEC_LZ4_DICTIONARY, blob, 1, plain, 10), -EBADMSG);
	CU_ASSERT_PTR_NULL(codec_init(NULL, NULL));
	CU_ASSERT_PTR_NULL(codec_init((uint8_t *)bare + 8, NULL));
	CU_ASSERT_PTR_NULL(dictionaries_init((uint8_t *)bare + 8));
	free(bare);
}

/* Blocks that promise far more than the packet has. */
static void test_bombs(void)
{
	/* RFC 8878, 3.1.1.3.1.1: RLE literals, 20 bits of size; then no sequences. */
	static const uint8_t literals[] = {0, 0x0d, 0x6a, 0x18, 'x', 0};
	static uint8_t lz4[64];
	struct codec *c = codec();

	memset(plain, CANARY, sizeof(plain));
	CU_ASSERT_EQUAL(
		codec_decode(c, CODEC_ZSTD, literals, sizeof(literals), plain, 1400), -EBADMSG);
	/* One literal, then a match as long as the rest can make it. */
	lz4[0] = 0x1f;
	lz4[1] = 'x';
	lz4[2] = 1;
	memset(lz4 + 4, 255, sizeof(lz4) - 4);
	CU_ASSERT_EQUAL(codec_decode(c, CODEC_LZ4, lz4, sizeof(lz4), plain, 1400), -EBADMSG);
	CU_ASSERT_EQUAL(plain[1400], CANARY);
}

static void test_garbage(void)
{
	static uint8_t good[2000], bad[2000];
	struct codec *c = codec();
	struct codec_method method;
	uint64_t r = 11;

	data_fill(in, 1400, DATA_TEXT, 9);
	for (unsigned i = 0; method_at(i, &method); i++) {
		uint32_t n = (uint32_t)codec_encode(c, method, in, 1400, good, sizeof(good));

		CU_ASSERT_FATAL(n > 0);
		/* A cut zstd block may by chance give as many bytes, but never the same. */
		for (uint32_t cut = 0; cut < n; cut++)
			CU_ASSERT(codec_decode(c, method.number, good, cut, plain, 1400) != 0 ||
				  (method.number == CODEC_ZSTD && memcmp(plain, in, 1400) != 0));
		CU_ASSERT_NOT_EQUAL(codec_decode(c, method.number, good, n, plain, 1399), 0);
		CU_ASSERT_NOT_EQUAL(codec_decode(c, method.number, good, n, plain, 1401), 0);
		for (int k = 0; k < 3000; k++) {
			uint64_t v = data_next(&r);
			uint32_t original = v >> 51 & 1 ? (uint32_t)(v >> 30) % 1400 : 1400;

			memcpy(bad, good, n);
			for (uint64_t f = 0; f <= (v & 3); f++)
				bad[(v >> 8) % n] ^= (uint8_t)(1 << (v >> (40 + f) & 7));
			if (v >> 52 & 1)
				data_fill(bad + 1, n - 1, DATA_RANDOM, v);
			plain[original] = CANARY;
			codec_decode(c, method.number, bad, n, plain, original);
			if (plain[original] != CANARY)
				CU_FAIL_FATAL("wrote beyond the original length");
		}
		/* Whatever it was, it has done no harm. */
		round_trip(method, 1400);
	}
}

/* A flow's dictionary is the one of its kind, and none where none helps. */
static void test_find(void)
{
	static const char html[] = "</p>\n<div class=\"section\" id=\"x\"><h2>Notes</h2><p>See <a "
				   "class=\"reference internal\" href=\"#top\"><span>the "
				   "top</span></a></p></div><table><tr><td>1</td></tr></table>";
	static const char js[] = "function f(a, b) {\n\tvar length = this.length;\n\tfor (var i = "
				 "0; i < length; i++) {\n\t\tif (typeof a[i] === \"undefined\") "
				 "return false;\n\t}\n\treturn this.prototype.call(a, b);\n}\n";
	struct codec_method lz4 = {CODEC_LZ4, 1, 0}, zstd = {CODEC_ZSTD, 1, 0};
	struct codec *c = codec();
	uint8_t id;

	for (const struct dictionary_source *s = dictionary_sources; s->id != 0; s++)
		CU_ASSERT_EQUAL(dictionaries_find(dictionaries, s->id)->hash,
			XXH3_64bits(s->bytes, s->len));
	id = codec_find_dictionary(c, lz4, UINT16_MAX, (const uint8_t *)html, sizeof(html));
	CU_ASSERT_STRING_EQUAL(source_of(id)->kind, "html");
	id = codec_find_dictionary(c, zstd, UINT16_MAX, (const uint8_t *)js, sizeof(js));
	CU_ASSERT_STRING_EQUAL(source_of(id)->kind, "js");
	data_fill(in, 700, DATA_TEXT, 4);
	id = codec_find_dictionary(c, lz4, UINT16_MAX, in, 700);
	CU_ASSERT_STRING_EQUAL(source_of(id)->kind, "log");
	CU_ASSERT_NOT_EQUAL(
		codec_find_dictionary(c, lz4, (uint16_t)(UINT16_MAX ^ 1 << id), in, 700), id);
	CU_ASSERT_EQUAL(codec_find_dictionary(c, lz4, 0, in, 700), 0);
	/* Records that a dictionary shortens a little by LZ4, but zstd does better by itself. */
	data_fill(in, 1400, DATA_BINARY, 4);
	id = codec_find_dictionary(c, zstd, UINT16_MAX, in, 1400);
	CU_ASSERT(codec_encode(c, (struct codec_method){CODEC_ZSTD, 1, id}, in, 1400, blob,
			  BLOB_MAX) <= codec_encode(c, zstd, in, 1400, blob, BLOB_MAX));
	data_fill(in, 700, DATA_RANDOM, 4);
	CU_ASSERT_EQUAL(codec_find_dictionary(c, lz4, UINT16_MAX, in, 700), 0);
}

static void test_no_allocation(void)
{
	struct codec *c = codec();
	struct codec_method method;
	struct mallinfo2 before;

	data_fill(in, 1400, DATA_TEXT, 2);
	before = mallinfo2();
	for (unsigned i = 0; method_at(i, &method); i++) {
		int n = codec_encode(c, method, in, 1400, blob, BLOB_MAX);

		if (codec_decode(c, method.number, blob, (uint32_t)n, plain, 1400) != 0)
			CU_FAIL("does not come back");
	}
	CU_ASSERT_EQUAL(mallinfo2().uordblks, before.uordblks);
	CU_ASSERT_EQUAL(mallinfo2().hblkhd, before.hblkhd);
}

UNIT_TESTS("compress-codec", {"every method, kind and size comes back", test_round_trips},
	{"blobs do not depend on each other", test_independent},
	{"blobs of the libraries' own", test_foreign}, {"test vectors", test_vectors},
	{"what there is not is refused", test_refused}, {"bombs", test_bombs},
	{"garbage is refused and stays inside", test_garbage},
	{"the dictionary of a flow", test_find}, {"nothing is allocated", test_no_allocation})
