/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fragments, and ICMP of what does not fit (mtu.h).
 */
#include "dataplane/packet/mtu.h"

#include <string.h>

#include <rte_icmp.h>
#include <rte_ip.h>

#include "dataplane/packet/headers.h"
#include "dataplane/packet/packet.h"

#define TTL 64
#define TOS_CS6 0xc0 /* RFC 1812, 4.3.2.5 */
#define ICMP_LEN 8
/* The most that an error message may be long: RFC 1812, 4.3.2.3; RFC 4443, 2.4 (c). */
#define ICMP_IPV4_MAX 576
#define ICMP_IPV6_MAX 1280
#define ICMPV6_TOO_BIG 2
#define ICMPV6_INFORMATIONAL 128 /* and above: no errors */

static const uint8_t *l3_of(const struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod_offset(m, const uint8_t *, pkt_of(m)->l3_off);
}

bool packet_may_fragment(const struct rte_mbuf *m)
{
	const struct pkt *p = pkt_of(m);
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)l3_of(m);

	return (p->flags & (PKT_IP | PKT_IPV6)) == PKT_IP && ip->version_ihl == RTE_IPV4_VHL_DEF &&
	       !(ip->fragment_offset & RTE_BE16(RTE_IPV4_HDR_DF_FLAG));
}

bool packet_fragment(const struct rte_mbuf *m, uint32_t mtu, uint32_t *at, struct rte_mbuf *out)
{
	const struct pkt *p = pkt_of(m);
	uint32_t headers = p->l3_off + IPV4_LEN, whole = p->l3_len - IPV4_LEN;
	uint32_t len = RTE_MIN((mtu - IPV4_LEN) & ~7u, whole - *at);
	const struct rte_ipv4_hdr *from = (const struct rte_ipv4_hdr *)l3_of(m);
	uint16_t place = rte_be_to_cpu_16(from->fragment_offset);
	uint8_t *frame = rte_pktmbuf_mtod(out, uint8_t *);
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(frame + p->l3_off);

	if (*at >= whole || headers + len > rte_pktmbuf_tailroom(out))
		return false;
	memcpy(frame, rte_pktmbuf_mtod(m, const uint8_t *), headers);
	memcpy(frame + headers, (const uint8_t *)(from + 1) + *at, len);
	/* The last piece of a packet that is a fragment itself is followed by what follows that. */
	place = (uint16_t)(place + *at / 8);
	*at += len;
	if (*at < whole)
		place |= RTE_IPV4_HDR_MF_FLAG;
	ip->total_length = rte_cpu_to_be_16((uint16_t)(IPV4_LEN + len));
	ip->fragment_offset = rte_cpu_to_be_16(place);
	ip->hdr_checksum = 0;
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	out->data_len = (uint16_t)(headers + len);
	out->pkt_len = out->data_len;
	*pkt_of(out) = *p;
	pkt_of(out)->l3_len = (uint16_t)(IPV4_LEN + len);
	pkt_of(out)->l4_off = pkt_of(out)->payload_off = (uint16_t)headers;
	pkt_of(out)->payload_len = (uint16_t)len;
	pkt_of(out)->flags &= (uint16_t) ~(PKT_TCP | PKT_UDP | PKT_TCP_TS | PKT_TCP_OPTIONS);
	pkt_of(out)->flags |= PKT_FRAGMENT;
	return true;
}

/* May an error message be sent about it? */
static bool may_complain(const struct rte_mbuf *m)
{
	const struct pkt *p = pkt_of(m);
	const uint8_t *ip = l3_of(m), *src = p->key.addr[p->dir];
	uint16_t type = 0;

	/* Labels and PPPoE sessions do not lead back. */
	if (!(p->flags & PKT_IP) || p->flags & PKT_LLBCAST || p->l3_off < ETHER_LEN)
		return false;
	memcpy(&type, ip - 2, sizeof(type));
	if (type != rte_cpu_to_be_16(p->flags & PKT_IPV6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4))
		return false;
	if (p->flags & PKT_IPV6)
		return src[0] != 0xff && (src[0] | src[15]) != 0 &&
		       !(p->key.proto == PROTO_ICMPV6 && p->l4_off < rte_pktmbuf_data_len(m) &&
			       rte_pktmbuf_mtod(m, const uint8_t *)[p->l4_off] <
				       ICMPV6_INFORMATIONAL);
	if (src[12] == 0 || src[12] >= 224 || load16(ip + 6) & RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK))
		return false;
	if (p->key.proto != PROTO_ICMP || p->l4_off >= rte_pktmbuf_data_len(m))
		return true;

	uint8_t icmp = rte_pktmbuf_mtod(m, const uint8_t *)[p->l4_off];

	return icmp == ICMP_ECHO_REPLY || icmp == ICMP_ECHO_REQUEST || icmp > 12;
}

static void write_ipv4(uint8_t *at, const uint8_t *source, const uint8_t *to, uint32_t mtu,
	const uint8_t *quoted, uint32_t quoted_len)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)at;
	uint8_t *icmp = at + IPV4_LEN;
	uint16_t sum;

	memset(at, 0, IPV4_LEN + ICMP_LEN);
	ip->version_ihl = RTE_IPV4_VHL_DEF;
	ip->type_of_service = TOS_CS6;
	ip->total_length = rte_cpu_to_be_16((uint16_t)(IPV4_LEN + ICMP_LEN + quoted_len));
	ip->time_to_live = TTL;
	ip->next_proto_id = PROTO_ICMP;
	memcpy(&ip->src_addr, source + 12, 4);
	memcpy(&ip->dst_addr, to + 12, 4);
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	icmp[0] = 3; /* destination unreachable: */
	icmp[1] = 4; /* fragmentation needed and DF set */
	icmp[6] = (uint8_t)(mtu >> 8);
	icmp[7] = (uint8_t)mtu;
	memcpy(icmp + ICMP_LEN, quoted, quoted_len);
	sum = (uint16_t)~rte_raw_cksum(icmp, ICMP_LEN + quoted_len);
	memcpy(icmp + 2, &sum, sizeof(sum));
}

static void write_ipv6(uint8_t *at, const uint8_t *source, const uint8_t *to, uint32_t mtu,
	const uint8_t *quoted, uint32_t quoted_len)
{
	struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)at;
	uint8_t *icmp = at + IPV6_LEN;
	uint16_t sum;

	memset(at, 0, IPV6_LEN + ICMP_LEN);
	ip->vtc_flow = rte_cpu_to_be_32(UINT32_C(6) << 28 | (uint32_t)TOS_CS6 << 20);
	ip->payload_len = rte_cpu_to_be_16((uint16_t)(ICMP_LEN + quoted_len));
	ip->proto = PROTO_ICMPV6;
	ip->hop_limits = TTL;
	memcpy(ip->src_addr, source, 16);
	memcpy(ip->dst_addr, to, 16);
	icmp[0] = ICMPV6_TOO_BIG;
	mtu = rte_cpu_to_be_32(mtu);
	memcpy(icmp + 4, &mtu, sizeof(mtu));
	memcpy(icmp + ICMP_LEN, quoted, quoted_len);
	sum = rte_ipv6_udptcp_cksum(ip, icmp);
	memcpy(icmp + 2, &sum, sizeof(sum));
}

bool packet_too_big(
	const struct rte_mbuf *m, uint32_t mtu, const uint8_t source[16], struct rte_mbuf *out)
{
	const struct pkt *p = pkt_of(m);
	bool ipv6 = p->flags & PKT_IPV6;
	uint32_t headers = (ipv6 ? IPV6_LEN : IPV4_LEN) + ICMP_LEN;
	uint32_t quoted_len =
		RTE_MIN((uint32_t)p->l3_len, (ipv6 ? ICMP_IPV6_MAX : ICMP_IPV4_MAX) - headers);
	const uint8_t *l2 = rte_pktmbuf_mtod(m, const uint8_t *);
	uint8_t *frame = rte_pktmbuf_mtod(out, uint8_t *);

	if (!may_complain(m) || p->l3_off + headers + quoted_len > rte_pktmbuf_tailroom(out))
		return false;
	memcpy(frame, l2 + 6, 6);
	memcpy(frame + 6, l2, 6);
	memcpy(frame + 12, l2 + 12, p->l3_off - 12u);
	(ipv6 ? write_ipv6 : write_ipv4)(
		frame + p->l3_off, source, p->key.addr[p->dir], mtu, l3_of(m), quoted_len);
	out->data_len = (uint16_t)(p->l3_off + headers + quoted_len);
	out->pkt_len = out->data_len;
	return true;
}
