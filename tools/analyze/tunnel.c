/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of tunnels. tunnel.h is the manual. */
#include <netinet/in.h>

#include <rte_byteorder.h>

#include "tools/analyze/tunnel.h"

#define TYPE_IPV4 0x0800
#define TYPE_IPV6 0x86dd
#define TYPE_ETHERNET 0x6558 /* transparent Ethernet bridging over GRE */
#define VXLAN_PORT 4789
#define VXLAN_LEN 8u
#define VXLAN_HAS_ID 0x08

/* GRE version 0: checksum, key and sequence number are optional. */
static uint32_t inside_gre(const uint8_t *frame, uint32_t at, uint32_t caught, uint16_t *ethertype)
{
	uint32_t len = 4;

	if (caught < at + len || (frame[at + 1] & 7) != 0)
		return 0;
	for (unsigned bit = 0x80; bit != 0; bit >>= 1) {
		if (!(frame[at] & bit))
			continue;
		if (bit != 0x80 && bit != 0x20 && bit != 0x10)
			return 0; /* source routing, or reserved */
		len += 4;
	}
	*ethertype = (uint16_t)(frame[at + 2] << 8 | frame[at + 3]);
	if (*ethertype == TYPE_ETHERNET)
		*ethertype = 0;
	else if (*ethertype != TYPE_IPV4 && *ethertype != TYPE_IPV6)
		return 0;
	return caught < at + len ? 0 : at + len;
}

uint32_t tunnel_inside(
	const struct pkt *p, const uint8_t *frame, uint32_t caught, uint16_t *ethertype)
{
	if (!(p->flags & PKT_IP) || p->flags & PKT_FRAGMENT)
		return 0;
	switch (p->key.proto) {
	case IPPROTO_IPIP:
		*ethertype = TYPE_IPV4;
		return p->l4_off;
	case IPPROTO_IPV6:
		*ethertype = TYPE_IPV6;
		return p->l4_off;
	case IPPROTO_GRE:
		return inside_gre(frame, p->l4_off, caught, ethertype);
	case IPPROTO_UDP:
		*ethertype = 0;
		if (p->flags & PKT_UDP && p->payload_len > VXLAN_LEN &&
			p->key.port[!p->dir] == RTE_BE16(VXLAN_PORT) &&
			caught >= p->payload_off + VXLAN_LEN &&
			frame[p->payload_off] == VXLAN_HAS_ID)
			return p->payload_off + VXLAN_LEN;
		return 0;
	default:
		return 0;
	}
}
