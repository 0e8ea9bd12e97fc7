/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The probe: a small message between two peers of a session, a few tens a second while one of them
 * tracks the rate of a link. It goes as best effort through the same queues as the data, and says
 * when the newest probe of the other end arrived. control/track_path.c makes delays of that.
 *
 * It shares codec CONTROL of the shim with the hello; the magic tells them apart. A peer that does
 * not know it takes it for a damaged hello and ignores it. Behind the shim (sequence number: of the
 * sender's probes in this session, from 1; send time: as everywhere), network order:
 *
 *      0  4  magic "SLPR"
 *      4  1  version of the message
 *      5  1  reserved, 0
 *      6  2  interval in ms at which the sender wants the receiver's probes; 0: it needs none
 *      8  4  number of the receiver's newest probe that has arrived; 0: none
 *     12  4  how many of them have arrived
 *     16  8  sender's clock now, ns
 *     24  8  sender's clock when that newest one arrived
 *     32 16  keyed BLAKE2b-128 of everything before and of both ends' nonces: a probe of another
 *            session does not verify, and one of this session is taken once, by its number
 */
#ifndef SLUICE_LINK_PROBE_H
#define SLUICE_LINK_PROBE_H

#include "dataplane/link/session.h"

#define LINK_PROBE_VERSION 1
#define LINK_PROBE_BYTES 32
#define LINK_PROBE_SIGNATURE_BYTES 16
#define LINK_PROBE_MESSAGE_BYTES (LINK_SHIM_BYTES + LINK_PROBE_BYTES + LINK_PROBE_SIGNATURE_BYTES)

/* One probe in host order. */
struct link_probe {
	uint32_t number;
	uint32_t heard;	      /* 0: none; then heard_ns says nothing */
	uint32_t heard_count; /* modulo 2^32 */
	uint16_t wanted_ms;
	uint64_t sent_ns, heard_ns; /* the sender's clock */
};

/* Whether a control frame's UDP payload is to be read as a probe rather than as a hello. */
bool link_is_probe(const uint8_t *msg, size_t len);

/* Write and sign a probe of the session. Returns its length, -ENOTCONN while the session is not
 * up, or -ENOSPC. Control thread. */
int link_probe_write(
	const struct link_session *s, const struct link_probe *probe, uint8_t *out, size_t room);

/* Verify and read a probe of the session's peer. 0; -EBADMSG: not a probe; -ENOTCONN: no session is
 * up; -EPROTO: of another version; -EACCES: the signature does not verify. *probe is written with 0
 * only. What it says is the peer's word: to be judged. Control thread. */
int link_probe_read(
	const struct link_session *s, const uint8_t *msg, size_t len, struct link_probe *probe);

#endif
