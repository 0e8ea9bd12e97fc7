/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing and reading the packets of active_packet.h: RFC 791, 792, 768, 8200, 4443. What a router
 * quotes is the packet as the router saw it: its TTL and checksum are not compared.
 */
#include "dataplane/control/active_packet.h"

#include <errno.h>
#include <string.h>

#define PROTO_ICMP 1
#define PROTO_UDP 17
#define PROTO_ICMPV6 58
#define IPV4_BYTES 20u
#define IPV6_BYTES 40u
#define PORT_UNREACHABLE 3
#define PORT_UNREACHABLE6 4
#define NEEDS_FRAGMENTING 4

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t sum(const uint8_t *p, uint32_t len, uint32_t start)
{
	for (; len > 1; p += 2, len -= 2)
		start += get16(p);
	return len > 0 ? start + ((uint32_t)p[0] << 8) : start;
}

static uint16_t fold(uint32_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)~s;
}

/* With the pseudo-header of UDP and ICMPv6; addresses stand in front of each other in both
 * headers. */
static uint16_t checksum(const uint8_t *addresses, uint32_t addresses_len, uint8_t proto,
	const uint8_t *l4, uint32_t len)
{
	return fold(sum(l4, len, sum(addresses, addresses_len, (uint32_t)proto + len)));
}

static struct policy_address address_of(const uint8_t *bytes, unsigned family)
{
	struct policy_address a = {.family = (uint8_t)family, .bytes = {[10] = 0xff, [11] = 0xff}};

	if (family == 4)
		memcpy(a.bytes + 12, bytes, 4);
	else
		memcpy(a.bytes, bytes, 16);
	return a;
}

/* ---- reading ---- */

/* What stands behind the IP header of a quoted packet: 8 bytes are promised. */
static int read_quoted_l4(
	uint8_t proto, const uint8_t *l4, uint32_t len, bool ipv6, struct active_packet *out)
{
	if (len < 8)
		return -ENOENT;
	if (proto == PROTO_UDP) {
		out->sport = get16(l4);
		out->dport = get16(l4 + 2);
		return 0;
	}
	if (proto != (ipv6 ? PROTO_ICMPV6 : PROTO_ICMP) || l4[0] != (ipv6 ? 128 : 8))
		return -ENOENT;
	out->is_echo = true;
	out->id = get16(l4 + 4);
	out->seq = get16(l4 + 6);
	return 0;
}

/* A quoted packet: it must be one that we sent. */
static int read_quoted(const uint8_t *p, uint32_t len, struct active_packet *out)
{
	struct policy_address from;
	uint32_t header = IPV6_BYTES;
	bool ipv6 = out->dst.family == 6;
	int rc;

	if (ipv6) {
		if (len < IPV6_BYTES || p[0] >> 4 != 6)
			return -ENOENT;
		from = address_of(p + 8, 6);
		out->quoted_dst = address_of(p + 24, 6);
		rc = read_quoted_l4(p[6], p + header, len - header, true, out);
	} else {
		if (len < IPV4_BYTES || p[0] >> 4 != 4)
			return -ENOENT;
		header = (p[0] & 15u) * 4;
		if (header < IPV4_BYTES || header > len || (get16(p + 6) & 0x1fff) != 0)
			return -ENOENT;
		from = address_of(p + 12, 4);
		out->quoted_dst = address_of(p + 16, 4);
		rc = read_quoted_l4(p[9], p + header, len - header, false, out);
	}
	if (memcmp(&from, &out->dst, sizeof(from)) != 0)
		return -ENOENT;
	return rc;
}

static int read_error(
	enum active_kind kind, const uint8_t *icmp, uint32_t len, struct active_packet *out)
{
	out->kind = kind;
	return read_quoted(icmp + 8, len - 8, out);
}

static int read_icmp(const uint8_t *icmp, uint32_t len, struct active_packet *out)
{
	bool ipv6 = out->dst.family == 6;
	uint8_t type = icmp[0], code = icmp[1];

	if (type == (ipv6 ? 129 : 0) && code == 0) {
		out->kind = ACTIVE_ECHO_REPLY;
		out->is_echo = true;
		out->id = get16(icmp + 4);
		out->seq = get16(icmp + 6);
		out->payload = icmp + 8;
		out->payload_len = len - 8;
		return 0;
	}
	if (type == (ipv6 ? 3 : 11) && code == 0) /* in transit; 1: while reassembling */
		return read_error(ACTIVE_TIME_EXCEEDED, icmp, len, out);
	if (ipv6 ? type == 2 : type == 3 && code == NEEDS_FRAGMENTING) {
		out->mtu = get16(icmp + 6);
		return read_error(ACTIVE_TOO_BIG, icmp, len, out);
	}
	if (type == (ipv6 ? 1 : 3)) {
		out->port_unreachable = code == (ipv6 ? PORT_UNREACHABLE6 : PORT_UNREACHABLE);
		return read_error(ACTIVE_UNREACHABLE, icmp, len, out);
	}
	return -ENOENT;
}

static int read_udp(const uint8_t *addresses, uint32_t addresses_len, const uint8_t *udp,
	uint32_t len, struct active_packet *out)
{
	uint32_t udp_len = get16(udp + 4);

	if (udp_len < 8 || udp_len > len)
		return -EBADMSG;
	/* 0: none was computed, which IPv6 does not allow. */
	if (get16(udp + 6) == 0 ? addresses_len != 8
				: checksum(addresses, addresses_len, PROTO_UDP, udp, udp_len) != 0)
		return -EBADMSG;
	out->kind = ACTIVE_UDP;
	out->sport = get16(udp);
	out->dport = get16(udp + 2);
	out->payload = udp + 8;
	out->payload_len = udp_len - 8;
	return 0;
}

static int read_ipv4(const uint8_t *ip, uint32_t len, struct active_packet *out)
{
	if (len < IPV4_BYTES)
		return -EBADMSG;
	uint32_t header = (ip[0] & 15u) * 4, total = get16(ip + 2);
	if (header < IPV4_BYTES || total < header || total > len || fold(sum(ip, header, 0)) != 0)
		return -EBADMSG;
	/* Fragments are not put together here; 8 bytes are the least of UDP and ICMP. */
	if ((get16(ip + 6) & 0x3fff) != 0 || total - header < 8)
		return -ENOENT;
	*out = (struct active_packet){.src = address_of(ip + 12, 4),
		.dst = address_of(ip + 16, 4),
		.ttl = ip[8],
		.dscp = ip[1] >> 2,
		.ecn = ip[1] & 3};
	if (ip[9] == PROTO_UDP)
		return read_udp(ip + 12, 8, ip + header, total - header, out);
	if (ip[9] != PROTO_ICMP)
		return -ENOENT;
	if (fold(sum(ip + header, total - header, 0)) != 0)
		return -EBADMSG;
	return read_icmp(ip + header, total - header, out);
}

static int read_ipv6(const uint8_t *ip, uint32_t len, struct active_packet *out)
{
	if (len < IPV6_BYTES || len - IPV6_BYTES < get16(ip + 4))
		return -EBADMSG;
	uint32_t l4_len = get16(ip + 4);
	const uint8_t *l4 = ip + IPV6_BYTES;
	if (l4_len < 8)
		return -ENOENT;
	*out = (struct active_packet){.src = address_of(ip + 8, 6),
		.dst = address_of(ip + 24, 6),
		.ttl = ip[7],
		.dscp = (uint8_t)((ip[0] & 15) << 2 | ip[1] >> 6),
		.ecn = ip[1] >> 4 & 3};
	if (ip[6] == PROTO_UDP)
		return read_udp(ip + 8, 32, l4, l4_len, out);
	if (ip[6] != PROTO_ICMPV6)
		return -ENOENT;
	if (checksum(ip + 8, 32, PROTO_ICMPV6, l4, l4_len) != 0)
		return -EBADMSG;
	return read_icmp(l4, l4_len, out);
}

int active_packet_read(const uint8_t *ip, uint32_t len, struct active_packet *out)
{
	if (len == 0)
		return -EBADMSG;
	return ip[0] >> 4 == 4	 ? read_ipv4(ip, len, out)
	       : ip[0] >> 4 == 6 ? read_ipv6(ip, len, out)
				 : -EBADMSG;
}

/* ---- writing ---- */

static void write_echo(const struct active_packet *p, uint8_t *l4, uint32_t len)
{
	bool ipv6 = p->dst.family == 6;

	l4[0] = ipv6 ? 128 : 8;
	put16(l4 + 4, p->id);
	put16(l4 + 6, p->seq);
	if (p->payload_len >= 2)
		put16(l4 + 8, (uint16_t)~p->seq);
	if (!ipv6)
		put16(l4 + 2, fold(sum(l4, len, 0)));
}

int active_packet_write(const struct active_packet *p, uint16_t ip_id, uint8_t *out, uint32_t room)
{
	bool ipv6 = p->dst.family == 6;
	uint32_t header = ACTIVE_IP_BYTES(p->dst.family), l4_len = ACTIVE_L4_BYTES + p->payload_len;
	uint8_t *l4 = out + header, tos = (uint8_t)(p->dscp << 2 | p->ecn);

	if (p->payload_len > ACTIVE_PACKET_MAX || header + l4_len > room)
		return -EMSGSIZE;
	memset(out, 0, header + ACTIVE_L4_BYTES);
	if (p->payload != NULL)
		memcpy(l4 + ACTIVE_L4_BYTES, p->payload, p->payload_len);
	else
		memset(l4 + ACTIVE_L4_BYTES, 0, p->payload_len);
	if (ipv6) {
		out[0] = (uint8_t)(0x60 | tos >> 4);
		out[1] = (uint8_t)(tos << 4);
		put16(out + 4, l4_len);
		out[6] = p->is_echo ? PROTO_ICMPV6 : PROTO_UDP;
		out[7] = p->ttl;
		memcpy(out + 8, p->src.bytes, 16);
		memcpy(out + 24, p->dst.bytes, 16);
	} else {
		out[0] = 0x45;
		out[1] = tos;
		put16(out + 2, header + l4_len);
		put16(out + 4, ip_id);
		out[6] = 0x40; /* don't fragment */
		out[8] = p->ttl;
		out[9] = p->is_echo ? PROTO_ICMP : PROTO_UDP;
		memcpy(out + 12, p->src.bytes + 12, 4);
		memcpy(out + 16, p->dst.bytes + 12, 4);
		put16(out + 10, fold(sum(out, IPV4_BYTES, 0)));
	}
	const uint8_t *addresses = ipv6 ? out + 8 : out + 12;
	uint32_t addresses_len = ipv6 ? 32 : 8;
	if (p->is_echo) {
		write_echo(p, l4, l4_len);
		if (ipv6)
			put16(l4 + 2, checksum(addresses, addresses_len, PROTO_ICMPV6, l4, l4_len));
	} else {
		put16(l4, p->sport);
		put16(l4 + 2, p->dport);
		put16(l4 + 4, l4_len);
		uint16_t c = checksum(addresses, addresses_len, PROTO_UDP, l4, l4_len);
		put16(l4 + 6, c != 0 ? c : 0xffff);
	}
	return (int)(header + l4_len);
}
