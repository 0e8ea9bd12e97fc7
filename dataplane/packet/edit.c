/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Changing parsed packets in place, see edit.h. Offsets come from struct pkt and were checked
 * against the frame by parse.h.
 */
#include "dataplane/packet/edit.h"

#include <string.h>

#include <rte_ip.h>

#include "dataplane/packet/headers.h"

#define TCP_FLAG_SYN 0x02
#define TCP_OPT_MSS 2
#define TCP_CHECKSUM_OFF 16
#define UDP_CHECKSUM_OFF 6
#define ICMP_CHECKSUM_OFF 2
#define IPV4_CHECKSUM_OFF 10

static inline void store16(uint8_t *at, uint16_t v)
{
	memcpy(at, &v, sizeof(v));
}

/* Does an authentication header cover the packet? IPv4: then TCP was not found at all. */
static bool is_authenticated(const uint8_t *frame, const struct pkt *p)
{
	unsigned off = p->l3_off + IPV6_LEN;
	uint8_t next = frame[p->l3_off + 6];

	if (!(p->flags & PKT_IPV6))
		return false;
	while (off < p->l4_off) {
		if (next == PROTO_AH)
			return true;
		next = frame[off];
		off += frame[off + 1] * 8u + 8; /* a fragment header's second byte is 0 */
	}
	return false;
}

bool packet_clamp_mss(struct rte_mbuf *m, uint16_t mss)
{
	const struct pkt *p = pkt_of(m);
	uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);
	uint8_t *tcp = frame + p->l4_off;

	if (!(p->flags & PKT_TCP) || !(p->tcp_flags & TCP_FLAG_SYN) || is_authenticated(frame, p))
		return false;

	const uint8_t *end = frame + p->payload_off;

	for (uint8_t *option = tcp + TCP_LEN; option < end;) {
		if (*option == TCP_OPT_NOP) {
			option++;
			continue;
		}
		if (*option == TCP_OPT_END || end - option < 2 || option[1] < 2 ||
			option[1] > end - option)
			return false;
		if (*option == TCP_OPT_MSS && option[1] == 4) {
			uint16_t before = load16(option + 2), after = rte_cpu_to_be_16(mss);
			uint16_t checksum = load16(tcp + TCP_CHECKSUM_OFF);

			if (rte_be_to_cpu_16(before) <= mss)
				return false;
			store16(option + 2, after);
			/* At an odd offset the bytes count for the other halves of two words. */
			if ((option - tcp) & 1) {
				before = rte_bswap16(before);
				after = rte_bswap16(after);
			}
			store16(tcp + TCP_CHECKSUM_OFF,
				packet_checksum_adjust16(checksum, before, after));
			return true;
		}
		option += option[1];
	}
	return false;
}

bool packet_set_ecn_ce(struct rte_mbuf *m)
{
	struct pkt *p = pkt_of(m);
	uint8_t *ip = rte_pktmbuf_mtod(m, uint8_t *) + p->l3_off;

	if (!(p->flags & PKT_IP) || p->ecn == ECN_NOT_ECT)
		return false;
	if (p->flags & PKT_IPV6) {
		ip[1] |= ECN_CE << 4;
	} else {
		uint16_t before = load16(ip);

		ip[1] |= ECN_CE;
		store16(ip + IPV4_CHECKSUM_OFF,
			packet_checksum_adjust16(
				load16(ip + IPV4_CHECKSUM_OFF), before, load16(ip)));
	}
	p->ecn = ECN_CE;
	return true;
}

bool packet_set_dscp(struct rte_mbuf *m, uint8_t dscp)
{
	struct pkt *p = pkt_of(m);
	uint8_t *ip = rte_pktmbuf_mtod(m, uint8_t *) + p->l3_off;

	if (!(p->flags & PKT_IP))
		return false;
	if (p->flags & PKT_IPV6) {
		/* The traffic class lies across the first two bytes, 4 bits in each. */
		ip[0] = (uint8_t)((ip[0] & 0xf0) | (dscp >> 2 & 0xf));
		ip[1] = (uint8_t)((ip[1] & 0x3f) | dscp << 6);
	} else {
		uint16_t before = load16(ip);

		ip[1] = (uint8_t)((ip[1] & ECN_CE) | dscp << 2);
		store16(ip + IPV4_CHECKSUM_OFF,
			packet_checksum_adjust16(
				load16(ip + IPV4_CHECKSUM_OFF), before, load16(ip)));
	}
	p->dscp = dscp & 0x3f;
	return true;
}

static unsigned ipv4_header_len(const uint8_t *ip)
{
	return (ip[0] & 0xf) * 4;
}

bool packet_ip_checksum_ok(const struct rte_mbuf *m)
{
	const struct pkt *p = pkt_of(m);
	const uint8_t *ip = rte_pktmbuf_mtod(m, const uint8_t *) + p->l3_off;

	if (!(p->flags & PKT_IP))
		return false;
	return p->flags & PKT_IPV6 || rte_raw_cksum(ip, ipv4_header_len(ip)) == 0xffff;
}

void packet_ip_checksum_set(struct rte_mbuf *m)
{
	const struct pkt *p = pkt_of(m);
	uint8_t *ip = rte_pktmbuf_mtod(m, uint8_t *) + p->l3_off;

	if (!(p->flags & PKT_IP) || p->flags & PKT_IPV6)
		return;
	store16(ip + IPV4_CHECKSUM_OFF, 0);
	store16(ip + IPV4_CHECKSUM_OFF, (uint16_t)~rte_raw_cksum(ip, ipv4_header_len(ip)));
}

/* Bytes behind the IP headers. */
static unsigned l4_len(const struct pkt *p)
{
	return p->l3_off + p->l3_len - p->l4_off;
}

/* Where the layer 4 checksum stands in its header; 0: this packet has none. */
static unsigned l4_checksum_off(const struct pkt *p)
{
	if (!(p->flags & PKT_IP) || p->flags & PKT_FRAGMENT)
		return 0;
	if (p->flags & PKT_TCP)
		return TCP_CHECKSUM_OFF;
	if (p->flags & PKT_UDP)
		return UDP_CHECKSUM_OFF;
	if (p->key.proto == (p->flags & PKT_IPV6 ? PROTO_ICMPV6 : PROTO_ICMP) && l4_len(p) >= 4)
		return ICMP_CHECKSUM_OFF;
	return 0;
}

/* Sum of layer 4 and its pseudo-header (RFC 793, RFC 8200 8.1), the checksum field included. */
static uint16_t l4_sum(const uint8_t *frame, const struct pkt *p)
{
	const uint8_t *ip = frame + p->l3_off, *l4 = frame + p->l4_off;
	unsigned len = p->flags & PKT_UDP ? be16(l4 + 4) : l4_len(p);
	uint32_t sum = rte_raw_cksum(l4, len);

	if (p->flags & PKT_IPV6)
		sum += rte_raw_cksum(ip + 8, 32);
	else if (p->key.proto != PROTO_ICMP)
		sum += rte_raw_cksum(ip + 12, 8);
	if (p->flags & PKT_IPV6 || p->key.proto != PROTO_ICMP)
		sum += rte_cpu_to_be_16((uint16_t)len) + rte_cpu_to_be_16(p->key.proto);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

bool packet_l4_checksum_ok(const struct rte_mbuf *m)
{
	const struct pkt *p = pkt_of(m);
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	unsigned off = l4_checksum_off(p);

	if (off == 0)
		return false;
	if (p->flags & PKT_UDP && !(p->flags & PKT_IPV6) && load16(frame + p->l4_off + off) == 0)
		return true;
	return l4_sum(frame, p) == 0xffff;
}

bool packet_l4_checksum_set(struct rte_mbuf *m)
{
	const struct pkt *p = pkt_of(m);
	uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);
	unsigned off = l4_checksum_off(p);
	uint16_t checksum;

	if (off == 0)
		return false;
	store16(frame + p->l4_off + off, 0);
	checksum = (uint16_t)~l4_sum(frame, p);
	/* 0 would mean "no checksum" to UDP; both are zero in one's complement. */
	if (checksum == 0 && p->flags & PKT_UDP)
		checksum = 0xffff;
	store16(frame + p->l4_off + off, checksum);
	return true;
}
