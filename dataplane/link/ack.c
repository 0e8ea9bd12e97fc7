/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bytes of an acknowledgement (ack.h).
 */
#include "dataplane/link/ack.h"

#include <errno.h>

#include "dataplane/link/shim.h"

uint32_t link_ack_write(const struct link_ack *ack, uint8_t *out)
{
	uint8_t *p = out + 8;

	out[0] = LINK_ACK_TYPE;
	out[1] = (uint8_t)ack->words;
	out[2] = (uint8_t)ack->refusals;
	out[3] = 0;
	link_put32(out + 4, ack->base);
	for (unsigned i = 0; i < ack->words; i++, p += 8) {
		link_put32(p, (uint32_t)(ack->bitmap[i] >> 32));
		link_put32(p + 4, (uint32_t)ack->bitmap[i]);
	}
	for (unsigned i = 0; i < ack->refusals; i++, p += 4)
		link_put32(p, ack->refused[i]);
	return (uint32_t)(p - out);
}

int link_ack_read(const uint8_t *bytes, uint32_t len, struct link_ack *ack)
{
	const uint8_t *p = bytes + 8;

	if (len < 8 || bytes[0] != LINK_ACK_TYPE || bytes[1] < 1 || bytes[1] > LINK_ACK_WORDS_MAX ||
		bytes[2] > LINK_ACK_REFUSED_MAX || bytes[3] != 0 ||
		len != 8u + 8u * bytes[1] + 4u * bytes[2])
		return -EBADMSG;
	ack->words = bytes[1];
	ack->refusals = bytes[2];
	ack->base = link_get32(bytes + 4);
	for (unsigned i = 0; i < ack->words; i++, p += 8)
		ack->bitmap[i] = (uint64_t)link_get32(p) << 32 | link_get32(p + 4);
	for (unsigned i = 0; i < ack->refusals; i++, p += 4)
		ack->refused[i] = link_get32(p);
	return 0;
}
