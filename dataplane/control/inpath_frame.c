/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Builds what the in-path address sends, in inpath.frame or the caller's buffer: ARP, neighbour
 * discovery, and UDP to peers with the next hop that it needs. inpath_frame.h, inpath.h.
 */
#include "dataplane/control/inpath_frame.h"

#include <errno.h>
#include <string.h>

#define FRAME_MIN 60 /* without FCS: not every device pads */
#define ND_OPTION_LEN 8

static const uint8_t mac_broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static uint32_t sum(const uint8_t *p, uint32_t len, uint32_t start)
{
	for (; len > 1; p += 2, len -= 2)
		start += get16(p);
	if (len > 0)
		start += (uint32_t)p[0] << 8;
	return start; /* at most 65,535 bytes at a time: cannot overflow */
}

static uint16_t fold(uint32_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)~s;
}

uint16_t inpath_checksum(const uint8_t *p, uint32_t len)
{
	return fold(sum(p, len, 0));
}

uint16_t inpath_checksum_with_addresses(const uint8_t *src, const uint8_t *dst,
	uint32_t address_len, uint8_t proto, const uint8_t *payload, uint32_t len)
{
	uint32_t s = sum(src, address_len, (uint32_t)proto + (len >> 16) + (len & 0xffff));

	return fold(sum(payload, len, sum(dst, address_len, s)));
}

static bool is_link_local(const uint8_t *address)
{
	return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

static bool has_prefix(const struct policy_prefix *prefix, const struct policy_address *address)
{
	unsigned skip = prefix->address.family == 4 ? 96 : 0;

	if (prefix->address.family == 0 || prefix->address.family != address->family)
		return false;
	for (unsigned bit = skip; bit < skip + prefix->length; bit += 8) {
		unsigned left = skip + prefix->length - bit;
		uint8_t mask = left >= 8 ? 0xff : (uint8_t)(0xff << (8 - left));

		if ((prefix->address.bytes[bit / 8] ^ address->bytes[bit / 8]) & mask)
			return false;
	}
	return true;
}

bool inpath_on_link(const struct inpath_config *c, const struct policy_address *address)
{
	if (address->family == 4)
		return has_prefix(&c->address4, address);
	return c->address6.address.family == 6 &&
	       (is_link_local(address->bytes) || has_prefix(&c->address6, address));
}

static void solicited_node(const uint8_t *address, uint8_t out[16])
{
	static const uint8_t prefix[13] = {0xff, 0x02, [11] = 1, [12] = 0xff};

	memcpy(out, prefix, 13);
	memcpy(out + 13, address + 13, 3);
}

uint32_t inpath_put_ethernet(
	const struct inpath_config *c, uint8_t *frame, const uint8_t dst[6], uint16_t type)
{
	uint32_t offset = 12;

	memcpy(frame, dst, 6);
	memcpy(frame + 6, c->mac, 6);
	if (c->vlan != 0) {
		put16(frame + 12, ETHERTYPE_TAG);
		put16(frame + 14, c->vlan);
		offset = 16;
	}
	put16(frame + offset, type);
	return offset + 2;
}

uint32_t inpath_pad(uint8_t *frame, uint32_t len)
{
	if (len < FRAME_MIN) {
		memset(frame + len, 0, FRAME_MIN - len);
		len = FRAME_MIN;
	}
	return len;
}

void inpath_put_ipv4(uint8_t *p, uint16_t len, uint8_t tos, uint16_t id, uint8_t proto,
	const uint8_t *src, const uint8_t *dst)
{
	memset(p, 0, IPV4_LEN);
	p[0] = 0x45;
	p[1] = tos;
	put16(p + 2, len);
	put16(p + 4, id);
	p[6] = 0x40; /* don't fragment */
	p[8] = HOP_LIMIT;
	p[9] = proto;
	memcpy(p + 12, src, 4);
	memcpy(p + 16, dst, 4);
	put16(p + 10, inpath_checksum(p, IPV4_LEN));
}

void inpath_put_ipv6(uint8_t *p, uint16_t payload_len, uint8_t traffic_class, uint8_t hop_limit,
	uint8_t proto, const uint8_t *src, const uint8_t *dst)
{
	p[0] = (uint8_t)(0x60 | traffic_class >> 4);
	p[1] = (uint8_t)(traffic_class << 4);
	p[2] = p[3] = 0;
	put16(p + 4, payload_len);
	p[6] = proto;
	p[7] = hop_limit;
	memcpy(p + 8, src, 16);
	memcpy(p + 24, dst, 16);
}

void inpath_emit_arp(struct inpath *ip, int side, uint16_t operation, const uint8_t dst_mac[6],
	const uint8_t target_mac[6], const uint8_t *target, inpath_emit *emit, void *ctx)
{
	static const uint8_t fixed[6] = {0, 1, 8, 0, 6, 4};
	uint32_t offset = inpath_put_ethernet(&ip->config, ip->frame, dst_mac, ETHERTYPE_ARP);
	uint8_t *p = ip->frame + offset;

	memcpy(p, fixed, sizeof(fixed));
	put16(p + 6, operation);
	memcpy(p + 8, ip->config.mac, 6);
	memcpy(p + 14, v4(&ip->config.address4.address), 4);
	memcpy(p + 18, target_mac, 6);
	memcpy(p + 24, target, 4);
	emit(ctx, side, ip->frame, inpath_pad(ip->frame, offset + ARP_LEN));
}

void inpath_emit_nd(struct inpath *ip, int side, uint8_t type, uint8_t flags,
	const uint8_t dst_mac[6], const uint8_t *src, const uint8_t *dst, const uint8_t *target,
	inpath_emit *emit, void *ctx)
{
	const uint16_t len = ND_LEN + ND_OPTION_LEN;
	uint32_t offset = inpath_put_ethernet(&ip->config, ip->frame, dst_mac, ETHERTYPE_IPV6);
	uint8_t *p = ip->frame + offset + IPV6_LEN;

	inpath_put_ipv6(ip->frame + offset, len, 0, 255, PROTO_ICMPV6, src, dst);
	memset(p, 0, len);
	p[0] = type;
	p[4] = flags;
	memcpy(p + 8, target, 16);
	p[ND_LEN] = type == ND_NS ? OPTION_SOURCE_MAC : OPTION_TARGET_MAC;
	p[ND_LEN + 1] = 1;
	memcpy(p + ND_LEN + 2, ip->config.mac, 6);
	put16(p + 2, inpath_checksum_with_addresses(src, dst, 16, PROTO_ICMPV6, p, len));
	emit(ctx, side, ip->frame, offset + IPV6_LEN + len);
}

void inpath_ask_neighbours(struct inpath *ip, uint64_t now_ns, inpath_emit *emit, void *ctx)
{
	static const uint8_t none[6];
	struct neighbour_ask ask;

	while (neighbour_tick(&ip->neighbours, now_ns, &ask)) {
		const uint8_t *target = ask.address.bytes;

		ip->counters.requests++;
		if (ask.address.family == 4) {
			inpath_emit_arp(ip, INPATH_WAN, 1, ask.unicast ? ask.mac : mac_broadcast,
				none, v4(&ask.address), emit, ctx);
			continue;
		}
		uint8_t group[16], group_mac[6] = {0x33, 0x33};
		const uint8_t *src =
			is_link_local(target) ? ip->link_local : ip->config.address6.address.bytes;
		solicited_node(target, group);
		memcpy(group_mac + 2, group + 12, 4);
		inpath_emit_nd(ip, INPATH_WAN, ND_NS, 0, ask.unicast ? ask.mac : group_mac, src,
			ask.unicast ? target : group, target, emit, ctx);
	}
}

/* 0 and the MAC, -EAGAIN or -EHOSTUNREACH. */
static int next_hop(
	struct inpath *ip, const struct policy_address *dst, uint8_t mac[6], uint64_t now_ns)
{
	const struct inpath_config *c = &ip->config;
	const struct policy_address *hop = dst;
	const struct policy_address *ours =
		dst->family == 4 ? &c->address4.address : &c->address6.address;

	if (dst->family == 0 || ours->family != dst->family)
		return -EHOSTUNREACH;
	if (!inpath_on_link(c, dst))
		hop = dst->family == 4 ? &c->gateway4 : &c->gateway6;
	if (hop->family == 0)
		return -EHOSTUNREACH;
	return neighbour_lookup(&ip->neighbours, hop, now_ns, mac);
}

bool inpath_next_hop_mac(
	struct inpath *ip, const struct policy_address *dst, uint8_t mac[6], uint64_t now_ns)
{
	return next_hop(ip, dst, mac, now_ns) == 0;
}

int inpath_build_udp(struct inpath *ip, const struct policy_address *dst, uint16_t sport,
	uint16_t dport, uint8_t dscp, const uint8_t *payload, uint32_t payload_len, uint8_t *frame,
	uint32_t size, uint64_t now_ns, inpath_emit *emit, void *ctx)
{
	bool is_v4 = dst->family == 4;
	uint32_t ip_len = is_v4 ? IPV4_LEN : IPV6_LEN;
	uint32_t link_len = ip->config.vlan != 0 ? 18 : 14;
	uint32_t udp_len = UDP_LEN + payload_len;
	uint8_t mac[6];

	if (payload_len > 65535 - IPV6_LEN - UDP_LEN || link_len + ip_len + udp_len > size ||
		size < FRAME_MIN)
		return -EMSGSIZE;
	int result = next_hop(ip, dst, mac, now_ns);
	if (result == -EAGAIN)
		inpath_ask_neighbours(ip, now_ns, emit, ctx);
	if (result < 0)
		return result;

	const struct policy_address *ours =
		is_v4 ? &ip->config.address4.address : &ip->config.address6.address;
	const uint8_t *src = is_v4 ? v4(ours) : ours->bytes, *to = is_v4 ? v4(dst) : dst->bytes;
	inpath_put_ethernet(&ip->config, frame, mac, is_v4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
	if (is_v4)
		inpath_put_ipv4(frame + link_len, (uint16_t)(ip_len + udp_len),
			(uint8_t)(dscp << 2), ip->ip_id++, PROTO_UDP, src, to);
	else
		inpath_put_ipv6(frame + link_len, (uint16_t)udp_len, (uint8_t)(dscp << 2),
			HOP_LIMIT, PROTO_UDP, src, to);
	uint8_t *udp = frame + link_len + ip_len;
	put16(udp, sport);
	put16(udp + 2, dport);
	put16(udp + 4, (uint16_t)udp_len);
	put16(udp + 6, 0);
	memcpy(udp + UDP_LEN, payload, payload_len);
	uint16_t checksum =
		inpath_checksum_with_addresses(src, to, is_v4 ? 4 : 16, PROTO_UDP, udp, udp_len);
	put16(udp + 6, checksum != 0 ? checksum : 0xffff);
	return (int)inpath_pad(frame, link_len + ip_len + udp_len);
}
