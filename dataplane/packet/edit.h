/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Changing parsed packets in place: checksums, ECN marks, DSCPs, the TCP maximum segment size.
 * Works on what parse.h found; used by shape/ (ECN, DSCP), link/ and the control thread's answers.
 */
#ifndef SLUICE_PACKET_EDIT_H
#define SLUICE_PACKET_EDIT_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

/* ECN field of RFC 3168 */
#define ECN_NOT_ECT 0
#define ECN_ECT1 1
#define ECN_ECT0 2
#define ECN_CE 3

/*
 * A checksum after one 16-bit (32-bit) word below it changed: RFC 1624, equation 3. All values as
 * they stand in the packet; the words must lie at even offsets of the checksummed data.
 */
static inline uint16_t packet_checksum_adjust16(uint16_t checksum, uint16_t before, uint16_t after)
{
	uint32_t sum = (uint16_t)~checksum + (uint32_t)(uint16_t)~before + after;

	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

static inline uint16_t packet_checksum_adjust32(uint16_t checksum, uint32_t before, uint32_t after)
{
	checksum = packet_checksum_adjust16(checksum, (uint16_t)before, (uint16_t)after);
	return packet_checksum_adjust16(
		checksum, (uint16_t)(before >> 16), (uint16_t)(after >> 16));
}

/*
 * The functions below take a packet that packet_parse_bulk() has parsed. They change its bytes, so
 * it must not be shared. Worker thread, or whoever owns the packet.
 */

/*
 * Lower the MSS option of a TCP SYN or SYN|ACK (IPv4 and IPv6) to `mss` bytes and correct the TCP
 * checksum incrementally. True if it was lowered. A SYN without the option, with a lower MSS, a
 * broken option list, or protected by an authentication header (RFC 4302) is left as it is.
 */
bool packet_clamp_mss(struct rte_mbuf *m, uint16_t mss);

/*
 * Mark "congestion experienced" (RFC 3168) and correct the IPv4 header checksum. False, and
 * nothing done, if the packet's endpoints do not speak ECN or it is no IP packet.
 */
bool packet_set_ecn_ce(struct rte_mbuf *m);

/*
 * Write another DSCP (0..63, RFC 2474) into the IPv4 type of service, with the header checksum, or
 * the IPv6 traffic class, and into pkt.dscp. The ECN bits stay. False, and nothing done, for what
 * is no IP packet.
 */
bool packet_set_dscp(struct rte_mbuf *m, uint8_t dscp);

/* Is the IPv4 header checksum right? Always true for IPv6; false for what is not IP. */
bool packet_ip_checksum_ok(const struct rte_mbuf *m);

/* Compute and write the IPv4 header checksum. Nothing to do for IPv6. */
void packet_ip_checksum_set(struct rte_mbuf *m);

/*
 * Is the checksum of TCP, UDP, ICMP or ICMPv6 right? True also for UDP over IPv4 without a
 * checksum. False for fragments, other protocols and headers that are cut off.
 */
bool packet_l4_checksum_ok(const struct rte_mbuf *m);

/* Compute and write it. False, and nothing written, where packet_l4_checksum_ok() has nothing to
 * check. Packets with an IPv6 routing header that still has segments left are not supported: their
 * checksum is over another destination. */
bool packet_l4_checksum_set(struct rte_mbuf *m);

#endif
