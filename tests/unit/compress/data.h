/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Payloads for tests and benchmarks of compress/ and link/, made from a seed: server logs, records
 * of a binary format, and bytes without any pattern.
 */
#ifndef SLUICE_TESTS_COMPRESS_DATA_H
#define SLUICE_TESTS_COMPRESS_DATA_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum data_kind { DATA_TEXT, DATA_BINARY, DATA_RANDOM, DATA_ZERO, DATA_KINDS };

/* SplitMix64: every seed gives another, well mixed sequence. */
static inline uint64_t data_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static inline void data_fill(uint8_t *out, uint32_t len, enum data_kind kind, uint64_t seed)
{
	static const char *const methods[] = {"GET", "POST", "HEAD", "PUT"};
	static const char *const pages[] = {"/index.html", "/static/app.js", "/api/v1/items",
		"/images/logo.svg", "/search?q=traffic", "/account/login"};
	static const char *const agents[] = {"Mozilla/5.0 (X11; Linux x86_64)", "curl/7.88.1",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64)"};
	uint32_t done = 0;

	while (done < len) {
		uint8_t chunk[256];
		uint64_t r = data_next(&seed), q = data_next(&seed);
		uint32_t n = 8;

		switch (kind) {
		case DATA_TEXT:
			n = (uint32_t)snprintf((char *)chunk, sizeof(chunk),
				"192.0.2.%u - - [23/Nov/2026:16:%02u:%02u +0000] \"%s %s "
				"HTTP/1.1\" %u "
				"%u \"-\" \"%s\"\n",
				(unsigned)(r & 255), (unsigned)(r >> 8 & 63) % 60,
				(unsigned)(r >> 16 & 63) % 60, methods[r >> 24 & 3],
				pages[(r >> 32 & 255) % 6], q & 15 ? 200 : 404,
				(unsigned)(q >> 8 & 0xffff), agents[(q >> 32 & 255) % 3]);
			break;
		case DATA_BINARY: {
			uint32_t record[6] = {(uint32_t)(done / 24), 0x00010002,
				(uint32_t)(r & 0xff), 0, (uint32_t)(q & 0xffff), 0x7fff0000};

			memcpy(chunk, record, n = sizeof(record));
			break;
		}
		case DATA_RANDOM:
			memcpy(chunk, &r, 8);
			break;
		default:
			memset(chunk, 0, 8);
		}
		if (n > len - done)
			n = len - done;
		memcpy(out + done, chunk, n);
		done += n;
	}
}

#endif
