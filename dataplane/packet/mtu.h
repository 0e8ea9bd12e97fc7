/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What becomes of a packet that is too long for the way on: fragments of IPv4 (RFC 791), or an ICMP
 * message to its sender (RFC 1191, RFC 8201). Used by the link, where encryption makes packets
 * grow.
 */
#ifndef SLUICE_PACKET_MTU_H
#define SLUICE_PACKET_MTU_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

/* May it be cut into fragments: IPv4 without DF? With header options it is left to its sender. */
bool packet_may_fragment(const struct rte_mbuf *m);

/*
 * Make `out` (fresh, empty) a fragment of the parsed packet `m`, which stays as it is: its
 * link-layer header and so much of its IP payload, from *at on, as an IP packet of `mtu` bytes (at
 * least 28) holds. Moves *at, 0 at first, on; false: nothing was left, or `out` has no room. Fills
 * struct pkt of `out` but for the fields of the transport header. Worker thread.
 */
bool packet_fragment(const struct rte_mbuf *m, uint32_t mtu, uint32_t *at, struct rte_mbuf *out);

/*
 * Make `out` (fresh, empty) the frame that tells the sender of the parsed packet `m` that only
 * `mtu` bytes of IP get through: ICMP "fragmentation needed" or ICMPv6 "packet too big", back to
 * where it came from. source: address of the message's IP header, IPv4 as ::ffff:a.b.c.d. False
 * where none may be sent (RFC 1122, 3.2.2; RFC 4443, 2.4) or can be. Worker thread.
 */
bool packet_too_big(
	const struct rte_mbuf *m, uint32_t mtu, const uint8_t source[16], struct rte_mbuf *out);

#endif
