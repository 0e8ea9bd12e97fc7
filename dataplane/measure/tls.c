/* SPDX-License-Identifier: BSD-3-Clause */
/* The first bytes of TLS records. tls.h is the manual. */
#include <stdbool.h>

#include "dataplane/measure/tls.h"

#define HEADER_LEN 5
#define ALERT_LEN 2
#define ALERT_WARNING 1
#define SEALED_ALERT_LEN (2 + 1 + 16) /* alert, its type and the tag: RFC 8446, 5.2 and 6 */
#define RECORD_MOST (16384 + 2048)    /* RFC 5246, 6.2.3 */

static enum tls_record type_of(const uint8_t *bytes, uint32_t len)
{
	uint32_t record_len;

	if (len <= HEADER_LEN || bytes[1] != 3 || bytes[2] > 4 ||
		(bytes[3] << 8 | bytes[4]) > RECORD_MOST || (bytes[3] | bytes[4]) == 0)
		return TLS_NONE;
	record_len = (uint32_t)(bytes[3] << 8 | bytes[4]);
	switch (bytes[0]) {
	case 20:
		return TLS_CHANGE_CIPHER_SPEC;
	case 21:
		return TLS_ALERT;
	case 22:
		return bytes[HEADER_LEN] == 1	? TLS_CLIENT_HELLO
		       : bytes[HEADER_LEN] == 2 ? TLS_SERVER_HELLO
						: TLS_HANDSHAKE;
	case 23:
		return record_len == SEALED_ALERT_LEN ? TLS_ALERT : TLS_DATA;
	default:
		return TLS_NONE;
	}
}

/* A warning before another record tells nothing: "unrecognised name" may stand before a ServerHello
 * (RFC 6066, 3). */
static uint32_t warning_len(const uint8_t *bytes, uint32_t len)
{
	bool is_warning = len > HEADER_LEN + ALERT_LEN && bytes[0] == 21 && bytes[3] == 0 &&
			  bytes[4] == ALERT_LEN && bytes[HEADER_LEN] == ALERT_WARNING;

	return is_warning ? HEADER_LEN + ALERT_LEN : 0;
}

enum tls_record tls_record_of(const uint8_t *bytes, uint32_t len)
{
	uint32_t skip = warning_len(bytes, len);

	return type_of(bytes + skip, len - skip);
}
