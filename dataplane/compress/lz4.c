/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * LZ4 per packet (lz4.h), through liblz4's calls for callers that keep the state themselves. They
 * are exported by the static library only.
 */
#define LZ4_STATIC_LINKING_ONLY
#include "dataplane/compress/lz4.h"

#include <assert.h>
#include <errno.h>
#include <lz4.h>

struct compressor {
	/* Always in a state that liblz4 left it in itself: what _fastReset demands. */
	LZ4_stream_t state;
} __attribute__((aligned(COMPRESSOR_ALIGN)));

static_assert(LZ4_VERSION_NUMBER >= 10900, "LZ4_compress_fast_extState_fastReset()");

size_t compressor_bytes(void)
{
	return sizeof(struct compressor);
}

struct compressor *compressor_init(void *memory)
{
	struct compressor *c = memory;

	if (c == NULL || (uintptr_t)memory % COMPRESSOR_ALIGN != 0)
		return NULL;
	return LZ4_initStream(&c->state, sizeof(c->state)) != NULL ? c : NULL;
}

int compressor_lz4(struct compressor *c, const uint8_t *in, uint32_t len, uint8_t *out,
	uint32_t room, int acceleration)
{
	if (len > LZ4_MAX_INPUT_SIZE || room > INT32_MAX || room == 0)
		return 0;
	return LZ4_compress_fast_extState_fastReset(
		&c->state, (const char *)in, (char *)out, (int)len, (int)room, acceleration);
}

int decompress_lz4(const uint8_t *in, uint32_t len, uint8_t *out, uint32_t original_len)
{
	if (len == 0 || len > INT32_MAX || original_len > INT32_MAX)
		return -EBADMSG;
	if (LZ4_decompress_safe((const char *)in, (char *)out, (int)len, (int)original_len) !=
		(int)original_len)
		return -EBADMSG;
	return 0;
}
