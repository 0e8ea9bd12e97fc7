/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the outer packet's header says of the inner one, and what happened to it on its way must
 * happen to the inner one: ECN (RFC 6040), TTL (frame_private.h).
 */
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

#include "controlplane/channel/counters.h"
#include "dataplane/link/frame_private.h"
#include "dataplane/packet/edit.h"
#include "dataplane/packet/packet.h"

/*
 * Offset of the IP header in the inner bytes where the ECN field can be found again at the far end
 * before the packet is parsed there: directly, or behind Ethernet and up to two VLAN tags. -1
 * elsewhere: the packet then crosses the link as one that does not speak ECN.
 */
static int ecn_offset(const uint8_t *inner, uint32_t len, bool routed)
{
	uint32_t off = 0;

	if (!routed) {
		uint16_t type = 0;

		off = 12;
		for (int tags = 0; off + 2 <= len; tags++) {
			type = (uint16_t)(inner[off] << 8 | inner[off + 1]);
			if (tags == 2 ||
				(type != RTE_ETHER_TYPE_VLAN && type != RTE_ETHER_TYPE_QINQ))
				break;
			off += 4;
		}
		if (off + 2 > len || (type != RTE_ETHER_TYPE_IPV4 && type != RTE_ETHER_TYPE_IPV6))
			return -1;
		off += 2;
	}
	if (off + sizeof(struct rte_ipv4_hdr) > len)
		return -1;
	return inner[off] >> 4 == 4 || inner[off] >> 4 == 6 ? (int)off : -1;
}

static inline uint8_t ecn_get(const uint8_t *ip)
{
	return ip[0] >> 4 == 4 ? ip[1] & 3 : ip[1] >> 4 & 3;
}

/* Change the ECN field, and the IPv4 checksum by the difference: a wrong one stays wrong. */
static void ecn_set(uint8_t *ip, uint8_t ecn)
{
	if (ip[0] >> 4 == 6) {
		ip[1] = (uint8_t)((ip[1] & 0xcf) | ecn << 4);
		return;
	}

	uint16_t before, after, checksum;

	memcpy(&before, ip, 2);
	ip[1] = (uint8_t)((ip[1] & 0xfc) | ecn);
	memcpy(&after, ip, 2);
	memcpy(&checksum, ip + 10, 2);
	checksum = packet_checksum_adjust16(checksum, before, after);
	memcpy(ip + 10, &checksum, 2);
}

/* Change the TTL, and the IPv4 checksum by the difference. */
static void ttl_set(uint8_t *ip, uint8_t ttl)
{
	uint16_t before, after, checksum;

	if (ip[0] >> 4 == 6) {
		ip[7] = ttl;
		return;
	}
	memcpy(&before, ip + 8, 2);
	ip[8] = ttl;
	memcpy(&after, ip + 8, 2);
	memcpy(&checksum, ip + 10, 2);
	checksum = packet_checksum_adjust16(checksum, before, after);
	memcpy(ip + 10, &checksum, 2);
}

/*
 * The routers between the peers have lowered the outer TTL: take as much off the inner one, so that
 * the far hosts see what they would without a link, and routing loops that lead through it end.
 * Never down to 0: packets that close to their end do not enter the link (LINK_TTL_PLAIN).
 */
static void ttl_egress(uint8_t *inner, const uint8_t *outer)
{
	uint8_t arrived = outer[0] >> 4 == 6 ? outer[7] : outer[8];
	uint8_t ttl = inner[0] >> 4 == 6 ? inner[7] : inner[8];
	uint8_t hops = arrived < LINK_TTL ? (uint8_t)(LINK_TTL - arrived) : 0;

	if (hops > 0 && ttl > 1)
		ttl_set(inner, ttl > hops ? (uint8_t)(ttl - hops) : 1);
}

/* RFC 6040, figure 4. -1: drop. */
static const int8_t ecn_egress[4][4] = {
	/* by inner, then by outer field */
	[ECN_NOT_ECT] = {ECN_NOT_ECT, ECN_NOT_ECT, ECN_NOT_ECT, -1},
	[ECN_ECT1] = {ECN_ECT1, ECN_ECT1, ECN_ECT1, ECN_CE},
	[ECN_ECT0] = {ECN_ECT0, ECN_ECT1, ECN_ECT0, ECN_CE},
	[ECN_CE] = {ECN_CE, ECN_CE, ECN_CE, ECN_CE},
};

uint8_t link_ecn(const uint8_t *inner, uint32_t len, bool routed)
{
	int ip = ecn_offset(inner, len, routed);

	return ip < 0 ? ECN_NOT_ECT : ecn_get(inner + ip);
}

int link_egress(
	uint8_t *inner, uint32_t len, const struct link_path *path, const struct rte_mbuf *in)
{
	const struct pkt *pkt = pkt_of(in);
	int ip = ecn_offset(inner, len, path->routed);
	uint8_t before = ip < 0 ? ECN_NOT_ECT : ecn_get(inner + ip);
	int8_t after = ecn_egress[before][pkt->ecn & 3];

	if (after < 0)
		return -DROP_LINK_CE;
	if (ip >= 0 && after != before)
		ecn_set(inner + ip, (uint8_t)after);
	if (path->routed && ip >= 0)
		ttl_egress(inner + ip, rte_pktmbuf_mtod_offset(in, const uint8_t *, pkt->l3_off));
	return 0;
}
