/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The packets of active measurement, as bytes: UDP datagrams and ICMP echo requests from the
 * in-path address, with the TTL and traffic class that the measurement wants; and what comes back:
 * UDP, echo replies, and ICMP errors that quote one of ours. Pure functions from the IP header on;
 * any bytes are safe. active.h sends and receives them, inpath.h answers everything else.
 */
#ifndef SLUICE_CONTROL_ACTIVE_PACKET_H
#define SLUICE_CONTROL_ACTIVE_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/policy/policy.h"

#define ACTIVE_IP_BYTES(family) ((family) == 4 ? 20u : 40u)
#define ACTIVE_L4_BYTES 8u /* of the UDP or the ICMP echo header */
#define ACTIVE_PACKET_MAX 9000

enum active_kind {
	ACTIVE_UDP,
	ACTIVE_ECHO_REPLY,
	ACTIVE_TIME_EXCEEDED, /* a packet of ours died on the way; this and the rest quote it */
	ACTIVE_TOO_BIG,
	ACTIVE_UNREACHABLE,
};

/* A packet that was received, or is to be sent. Ports and numbers in host order. */
struct active_packet {
	struct policy_address src, dst; /* both of one family */
	enum active_kind kind;
	uint8_t ttl;
	uint8_t dscp, ecn;
	bool port_unreachable; /* ACTIVE_UNREACHABLE by the host itself, not by a router */
	uint16_t mtu;	       /* ACTIVE_TOO_BIG: what would fit; 0: not said */
	bool is_echo; /* which of the two pairs below holds, also for what an error quotes */
	uint16_t sport, dport;
	uint16_t id, seq;
	struct policy_address quoted_dst; /* of errors; src of the quoted packet is our dst */
	const uint8_t *payload;		  /* of UDP and echo, within what was given */
	uint32_t payload_len;
};

/*
 * Read the IP packet of `len` bytes: 0, or -EBADMSG when checksums or lengths are wrong, -ENOENT
 * when it is nothing of the above (other protocols, fragments, options on the way of it).
 */
int active_packet_read(const uint8_t *ip, uint32_t len, struct active_packet *out);

/*
 * Write an IP packet with a UDP datagram or, if is_echo, an ICMP echo request of payload_len bytes
 * (payload may be NULL: zeros). The first two bytes of an echo's payload are changed so that its
 * checksum is the same for every number: routers that hash it send all of them the same way.
 * Returns the length, or -EMSGSIZE.
 */
int active_packet_write(
	const struct active_packet *packet, uint16_t ip_id, uint8_t *out, uint32_t room);

#endif
