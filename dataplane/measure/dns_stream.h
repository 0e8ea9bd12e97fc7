/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DNS over TCP (RFC 1035, 4.2.2): messages behind their length, in one stream. Looked at is what
 * begins at the first byte of a segment, with its header whole; what does not gives no figure.
 * Pure; transactions.c asks.
 */
#ifndef SLUICE_MEASURE_DNS_STREAM_H
#define SLUICE_MEASURE_DNS_STREAM_H

#include <stdbool.h>
#include <stdint.h>

struct dns_stream_message {
	uint16_t id;
	uint8_t rcode; /* of a response */
	bool is_response;
};

/* Does a segment of a connection to or from port 53 begin with a message? Standard queries of one
 * question and their responses only. */
bool dns_stream_read(const uint8_t *bytes, uint32_t len, struct dns_stream_message *message);

#endif
