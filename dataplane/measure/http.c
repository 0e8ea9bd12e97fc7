/* SPDX-License-Identifier: BSD-3-Clause */
/* The first bytes of HTTP/1 messages. http.h is the manual. */
#include "dataplane/measure/http.h"

#include <string.h>

#define VERSION_LEN 8 /* "HTTP/1.1" */

/* RTSP and SIP have methods of the same names. A first line that goes on behind these bytes is
 * believed. */
static bool is_http_line(const uint8_t *bytes, uint32_t len)
{
	const uint8_t *end = memchr(bytes, '\n', len);
	const uint8_t *version;

	if (end == NULL)
		return true;
	if (end > bytes && end[-1] == '\r')
		end--;
	version = end - VERSION_LEN;
	return end - bytes > VERSION_LEN && memcmp(version, "HTTP/1.", VERSION_LEN - 1) == 0;
}

bool http_is_request(const uint8_t *bytes, uint32_t len)
{
	static const char *const methods[] = {"GET ", "POST ", "HEAD ", "PUT ", "DELETE ",
		"OPTIONS ", "PATCH ", "CONNECT ", "TRACE ", "PROPFIND ", "PROPPATCH ", "MKCOL ",
		"COPY ", "MOVE ", "LOCK ", "UNLOCK "};

	for (unsigned i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		size_t method_len = strlen(methods[i]);

		if (len > method_len && memcmp(bytes, methods[i], method_len) == 0)
			return is_http_line(bytes, len);
	}
	return false;
}

static bool is_digit(uint8_t byte)
{
	return byte >= '0' && byte <= '9';
}

unsigned http_status(const uint8_t *bytes, uint32_t len)
{
	/* "HTTP/1.1 200" */
	if (len < 12 || memcmp(bytes, "HTTP/1.", 7) != 0 || !is_digit(bytes[7]) ||
		bytes[8] != ' ' || !is_digit(bytes[9]) || !is_digit(bytes[10]) ||
		!is_digit(bytes[11]))
		return 0;
	return (unsigned)((bytes[9] - '0') * 100 + (bytes[10] - '0') * 10 + bytes[11] - '0');
}
