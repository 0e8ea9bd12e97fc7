/* SPDX-License-Identifier: BSD-3-Clause */
/* DNS over TCP. dns_stream.h is the manual. */
#include "dataplane/measure/dns_stream.h"

#define LENGTH_LEN 2
#define HEADER_LEN 12
#define QUESTION_LEAST 5 /* the root, type and class */
#define FLAG_RESPONSE 0x80
#define OPCODE 0x78
#define RCODE 0x0f

bool dns_stream_read(const uint8_t *bytes, uint32_t len, struct dns_stream_message *message)
{
	const uint8_t *header = bytes + LENGTH_LEN;

	if (len < LENGTH_LEN + HEADER_LEN ||
		(bytes[0] << 8 | bytes[1]) < HEADER_LEN + QUESTION_LEAST ||
		(header[2] & OPCODE) != 0 || header[4] != 0 || header[5] != 1)
		return false;
	*message = (struct dns_stream_message){.id = (uint16_t)(header[0] << 8 | header[1]),
		.rcode = header[3] & RCODE,
		.is_response = header[2] & FLAG_RESPONSE};
	return true;
}
