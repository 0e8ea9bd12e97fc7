/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Link frames, by their UDP destination port or as IPComp: see match.h. Own few lines of parsing,
 * so that the emulator's counts do not depend on the parser of the appliance that they are compared
 * with.
 */
#include "match.h"

#define UDP 17
#define IPCOMP 108
#define CPI_PRIVATE 61440 /* RFC 3173, 3.3 */

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

uint16_t match_link(const uint8_t *data, size_t len_bytes, uint16_t port)
{
	size_t at = 12; /* the ethertype */
	uint16_t type;
	uint8_t protocol;

	if (!port || len_bytes < 14)
		return 0;
	type = be16(data + at);
	while (type == 0x8100 || type == 0x88a8) {
		at += 4;
		if (len_bytes < at + 2)
			return 0;
		type = be16(data + at);
	}
	at += 2;
	if (type == 0x0800) {
		if (len_bytes < at + 20 || data[at] >> 4 != 4 || (be16(data + at + 6) & 0x1fff))
			return 0;
		protocol = data[at + 9];
		at += (size_t)(data[at] & 15) * 4;
	} else if (type == 0x86dd) {
		if (len_bytes < at + 40)
			return 0;
		protocol = data[at + 6];
		at += 40;
	} else {
		return 0;
	}
	if (protocol == UDP)
		return len_bytes >= at + 8 && be16(data + at + 2) == port ? be16(data + at) : 0;
	if (protocol != IPCOMP || len_bytes < at + 4 || be16(data + at + 2) < CPI_PRIVATE)
		return 0;
	return be16(data + at + 2);
}
