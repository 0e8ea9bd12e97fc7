/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Transparent framing: the link frame of a packet keeps that packet's Ethernet and IP header, so
 * that the WAN goes on routing, queueing and accounting it by its addresses and DSCP. shim.h has
 * the framing by tunnel and the shim itself; frame.c writes and reads both and calls this for what
 * differs.
 *
 * A frame is, byte by byte (offsets from the IP header on):
 *
 *     Ethernet, VLAN tags                 as they were
 *     IPv4  0  1  version, header length  0x45
 *           1  1  DSCP, ECN               as they were
 *           2  2  total length            of this frame: 40 + blob
 *           4  5  ID, flags, offset, TTL  as they were: no fragment, MF is 0
 *           9  1  protocol                108: IPComp (RFC 3173)
 *          10  2  header checksum         of this header
 *          12  8  addresses               as they were
 *     or
 *     IPv6  0  4  version, traffic class, flow label    as they were
 *           4  2  payload length          of this frame: 20 + blob
 *           6  1  next header             108
 *           7  1  hop limit               as it was
 *           8 32  addresses               as they were
 *
 *     IPComp   0  1  next header          the protocol that stood in the IP header
 *              1  1  flags                0
 *              2  2  CPI                  61440 to 65535, private use: of this session and way
 *     shim    16  shim.h; flags and lane as there, original length: of the bytes below
 *     blob     .  to the end of the IP packet; original bytes: all behind the packet's IP header
 *
 * The receiver takes the IP header as it arrives, with TTL, DSCP and ECN as the routers have left
 * them: a mark of congestion reaches the packet's end without further ado. It puts back protocol
 * and length, computes the IPv4 header checksum, and behind that come the original bytes: as long
 * as nobody on the way had cause to change the header, the packet is bit for bit the sender's.
 *
 * The check of the shim is reckoned with another key (link_transparent_key()): the session's,
 * mixed with the parts of the header that nobody may change. These are, as 44 bytes,
 *
 *      0  4  bridged path: IPv4: ID, flags and offset; IPv6: 0, flow label. Routed: 0
 *      4  1  bridged path: TTL or hop limit. Routed: 0
 *      5  1  4 or 6
 *      6  2  0
 *      8  4  the IPComp header
 *     12  .  source and destination address, 8 or 32 bytes
 *     ..  .  0
 *
 * An IPv4 header whose checksum does not verify is refused, too. (Over IPv6, where there is none,
 * nothing tells a damaged traffic class, or on a routed path hop limit, from one that was changed
 * on purpose. That is so for every packet.)
 *
 * What is not of this form goes as it came, and every packet that does not shrink
 * (link_transparent_fits()): fragments, IPv4 options, IPv6 extension headers, frames with bytes
 * behind the IP packet, with anything but VLAN tags between Ethernet and IP or to several
 * receivers, IPv4 headers with a wrong checksum, IPComp, and packets to the peer itself. Hellos and
 * acknowledgements have no packet to hide in: they go through the tunnel in either framing.
 *
 * Which session a frame is of its CPI tells: 12 bits, derived like the session's keys. IPComp with
 * another one, and all of it where there is no session, is somebody else's and passes as it came.
 * What carries a CPI of ours and does not verify is damaged or forged: dropped and counted.
 *
 * Test vectors: tests/unit/link/transparent_test.c.
 */
#ifndef SLUICE_LINK_TRANSPARENT_H
#define SLUICE_LINK_TRANSPARENT_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/link/path.h"
#include "dataplane/link/shim.h"
#include "dataplane/packet/packet.h"

#define LINK_IPCOMP_PROTOCOL 108
#define LINK_IPCOMP_BYTES 4
#define LINK_CPI_MIN 61440 /* RFC 3173, 3.3: to 65535, private use */
/* Between the packet's IP header and the blob. */
#define LINK_TRANSPARENT_OVERHEAD (LINK_IPCOMP_BYTES + LINK_SHIM_BYTES)

/* Is a parsed packet of a form that transparent framing carries? */
bool link_transparent_fits(const struct rte_mbuf *in, const struct link_path *path);

/* Bytes up to the end of the IP header of a packet that link_transparent_fits(), or that
 * link_transparent_opens(). */
static inline uint32_t link_transparent_front(const struct rte_mbuf *m)
{
	const struct pkt *p = pkt_of(m);

	return p->l3_off + (p->flags & PKT_IPV6 ? 40u : 20u);
}

/* The key of the shim's check for a frame with all headers in place, its IP header at `ip`. */
uint64_t link_transparent_key(uint64_t key, const uint8_t *ip, bool routed);

/* Write into `out` all that stands in front of the shim of the frame of `in`, for a blob of
 * blob_len bytes, and set the lengths of `out`. */
void link_transparent_write(const struct link_path *path, const struct rte_mbuf *in,
	struct rte_mbuf *out, uint32_t blob_len);

/* Is this parsed packet a transparent frame by its tags: PKT_LINK, not to the in-path address? */
static inline bool link_is_transparent(const struct pkt *p)
{
	return (p->flags & (PKT_LINK | PKT_FOR_US)) == PKT_LINK;
}

/* Does the CPI of such a frame say that it is of this path's session, or of the one before while
 * that one's frames may still be on the way? */
bool link_transparent_is_of(
	const struct rte_mbuf *in, const struct link_path *path, uint64_t now_ns);

/* Can such a frame be opened: are its headers whole, plain and undamaged, as far as that shows? */
bool link_transparent_opens(const struct rte_mbuf *in);

/* Put the frame's link-layer and IP header in front of the original_len bytes that stand in `out`
 * behind link_transparent_front(in) bytes, and set the lengths of `out`. */
void link_transparent_restore(
	const struct rte_mbuf *in, struct rte_mbuf *out, uint32_t original_len);

#endif
