/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What two peers of a session say to each other for a speed test. A message is one UDP packet of
 * the link's control lane, as the hello and the probe are (link/probe.h); the magic tells them
 * apart, and a peer that does not know it takes it for a damaged hello. Behind the shim (sequence
 * number: of the message; send time: as everywhere), network order:
 *
 *      0  4  magic "SLSP"
 *      4  1  version of the message
 *      5  1  type: enum speed_type
 *      6  2  bytes of the whole message, shim and padding included
 *      8  8  number of the test, by chance
 *     16  8  sender's clock, ns; REPORT: the tester's, in the newest packet that has arrived
 *     24  8  REPORT: the reporter's clock when that one arrived
 *     32  8  REQUEST: longest duration, ns; REPORT: bytes that have arrived, of IP packets
 *     40  8  REQUEST: most bytes; REPORT: packets that have arrived
 *     48  4  REPORT: number of that newest packet, + 1
 *     52  4  reserved, 0
 *     56 16  keyed BLAKE2b-128 of everything before and of both ends' nonces
 *     72     DATA: padding
 */
#ifndef SLUICE_CONTROL_SPEEDTEST_MESSAGE_H
#define SLUICE_CONTROL_SPEEDTEST_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/link/session.h"

#define SPEED_VERSION 1
#define SPEED_MESSAGE_BYTES (LINK_SHIM_BYTES + 72u)
#define SPEED_MESSAGE_MAX 8972u /* a DATA message in a jumbo packet */

enum speed_type {
	SPEED_REQUEST = 1, /* may I? */
	SPEED_DATA,	   /* part of the stream */
	SPEED_REPORT,	   /* what has arrived; the first one means yes */
	SPEED_BUSY,	   /* no, another test runs */
};

/* One message in host order. */
struct speed_message {
	enum speed_type type;
	uint32_t number;
	uint64_t test;
	uint64_t sent_ns, arrived_ns;
	uint64_t duration_ns, bytes_max; /* REQUEST */
	uint64_t bytes, packets;	 /* REPORT */
	uint32_t expected;
};

/* Whether a control frame's UDP payload is one of these. */
bool speed_is_message(const uint8_t *msg, size_t len);

/* Write and sign a message of `len` bytes (SPEED_MESSAGE_BYTES for all but DATA); what is behind
 * the signature stays as it is. 0, or -ENOTCONN while the session is not up. Control thread. */
int speed_message_write(const struct link_session *s, const struct speed_message *message,
	uint8_t *out, size_t len);

/* Verify and read a message of the session's peer. 0; -EBADMSG: none, or a wrong length; -ENOTCONN;
 * -EPROTO: of another version; -EACCES: the signature does not verify. Control thread. */
int speed_message_read(const struct link_session *s, const uint8_t *msg, size_t len,
	struct speed_message *message);

#endif
