/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames of the in-path address: what comes in is checked field by field before it is believed
 * (RFC 826, 5227, 4861 section 7.1, 792, 4443), what goes out is built in inpath.frame or the
 * caller's buffer. Answers to ping and to requests go to the MAC that asked.
 */
#include "dataplane/control/inpath.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)
#define ANNOUNCEMENTS 3
#define DEFEND_NS (10 * SECOND) /* RFC 5227, 2.4 */
#define ECHO_NS 1000000		/* 1,000 answers a second, */
#define ECHO_BURST 100		/* 100 at once */
#define FRAME_MIN 60		/* without FCS: not every device pads */
#define HOP_LIMIT 64

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_TAG 0x8100
#define ETHERTYPE_IPV6 0x86dd
#define PROTO_ICMP 1
#define PROTO_UDP 17
#define PROTO_ICMPV6 58
#define ARP_LEN 28
#define IPV4_LEN 20
#define IPV6_LEN 40
#define UDP_LEN 8
#define ND_LEN 24 /* NS or NA without options */
#define ND_OPTION_LEN 8
#define ND_NS 135
#define ND_NA 136
#define NA_SOLICITED 0x40
#define NA_OVERRIDE 0x20
#define OPTION_SOURCE_MAC 1
#define OPTION_TARGET_MAC 2

static const uint8_t mac_broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t mac_all_nodes[6] = {0x33, 0x33, 0, 0, 0, 1};
static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
static const uint8_t unspecified[16];

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

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

/* Checksum over the pseudo-header of either family and len bytes of payload. */
static uint16_t checksum_with_addresses(const uint8_t *src, const uint8_t *dst,
	uint32_t address_len, uint8_t proto, const uint8_t *payload, uint32_t len)
{
	uint32_t s = sum(src, address_len, (uint32_t)proto + (len >> 16) + (len & 0xffff));

	return fold(sum(payload, len, sum(dst, address_len, s)));
}

static const uint8_t *v4(const struct policy_address *a)
{
	return a->bytes + 12;
}

static struct policy_address from_v4(const uint8_t *bytes)
{
	struct policy_address a = {.family = 4, .bytes = {[10] = 0xff, [11] = 0xff}};

	memcpy(a.bytes + 12, bytes, 4);
	return a;
}

static struct policy_address from_v6(const uint8_t *bytes)
{
	struct policy_address a = {.family = 6};

	memcpy(a.bytes, bytes, 16);
	return a;
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

/* Whether we would resolve this address on the link itself. */
static bool on_link(const struct inpath_config *c, const struct policy_address *address)
{
	if (address->family == 4)
		return has_prefix(&c->address4, address);
	return c->address6.address.family == 6 &&
	       (is_link_local(address->bytes) || has_prefix(&c->address6, address));
}

static bool is_ours4(const struct inpath_config *c, const uint8_t *address)
{
	return c->address4.address.family == 4 && memcmp(v4(&c->address4.address), address, 4) == 0;
}

static bool is_ours6(const struct inpath *ip, const uint8_t *address)
{
	const struct policy_address *a = &ip->config.address6.address;

	return a->family == 6 &&
	       (memcmp(a->bytes, address, 16) == 0 || memcmp(ip->link_local, address, 16) == 0);
}

static void solicited_node(const uint8_t *address, uint8_t out[16])
{
	static const uint8_t prefix[13] = {0xff, 0x02, [11] = 1, [12] = 0xff};

	memcpy(out, prefix, 13);
	memcpy(out + 13, address + 13, 3);
}

bool inpath_config_of(
	struct inpath_config *config, const struct policy_bridge *bridge, const uint8_t wan_mac[6])
{
	memset(config, 0, sizeof(*config));
	config->address4 = bridge->address4;
	config->address6 = bridge->address6;
	config->gateway4 = bridge->gateway4;
	config->gateway6 = bridge->gateway6;
	config->vlan = bridge->vlan;
	memcpy(config->mac, wan_mac, sizeof(config->mac));
	return config->address4.address.family != 0 || config->address6.address.family != 0;
}

void inpath_init(struct inpath *ip, const struct inpath_config *config, uint64_t now_ns)
{
	const uint8_t *m = config->mac;
	const uint8_t id[8] = {m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]};

	memset(ip, 0, sizeof(*ip));
	ip->config = *config;
	ip->link_local[0] = 0xfe;
	ip->link_local[1] = 0x80;
	memcpy(ip->link_local + 8, id, sizeof(id));
	neighbour_init(&ip->neighbours);
	ip->announcements_left = ANNOUNCEMENTS;
	ip->announce_ns = now_ns;
}

/* The ethertype and offset of the payload when the frame is in our VLAN; 0 when it is not. */
static uint16_t frame_type(
	const struct inpath_config *c, const uint8_t *frame, uint32_t len, uint32_t *offset)
{
	if (len < 14)
		return 0;
	uint16_t type = get16(frame + 12);
	*offset = 14;
	if (type != ETHERTYPE_TAG)
		return c->vlan == 0 ? type : 0;
	if (len < 18 || (get16(frame + 14) & 0xfff) != c->vlan)
		return 0; /* VLAN 0 is a priority tag: as good as none */
	*offset = 18;
	return get16(frame + 16);
}

bool inpath_wants(const struct inpath_config *c, const uint8_t *frame, uint32_t len)
{
	uint32_t offset;
	uint16_t type = frame_type(c, frame, len, &offset);

	if (type == 0)
		return false;
	if (memcmp(frame, c->mac, 6) == 0)
		return true;
	if (type == ETHERTYPE_ARP)
		return c->address4.address.family == 4 && memcmp(frame, mac_broadcast, 6) == 0;
	if (type != ETHERTYPE_IPV6 || c->address6.address.family != 6 || frame[0] != 0x33 ||
		frame[1] != 0x33)
		return false;
	if (frame[2] == 0xff)
		return memcmp(frame + 3, c->address6.address.bytes + 13, 3) == 0 ||
		       memcmp(frame + 3, c->mac + 3, 3) == 0;
	/* Neighbour advertisements to all nodes: a gateway that moved. */
	return memcmp(frame, mac_all_nodes, 6) == 0 && len > offset + IPV6_LEN &&
	       frame[offset + 6] == PROTO_ICMPV6 && frame[offset + IPV6_LEN] == ND_NA;
}

/* Ethernet header and our tag; returns the offset of what follows. */
static uint32_t put_ethernet(
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

static uint32_t pad(uint8_t *frame, uint32_t len)
{
	if (len < FRAME_MIN) {
		memset(frame + len, 0, FRAME_MIN - len);
		len = FRAME_MIN;
	}
	return len;
}

static void put_ipv4(uint8_t *p, uint16_t len, uint8_t tos, uint16_t id, uint8_t proto,
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
	put16(p + 10, fold(sum(p, IPV4_LEN, 0)));
}

static void put_ipv6(uint8_t *p, uint16_t payload_len, uint8_t traffic_class, uint8_t hop_limit,
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

static void emit_arp(struct inpath *ip, int side, uint16_t operation, const uint8_t dst_mac[6],
	const uint8_t target_mac[6], const uint8_t *target, inpath_emit *emit, void *ctx)
{
	static const uint8_t fixed[6] = {0, 1, 8, 0, 6, 4};
	uint32_t offset = put_ethernet(&ip->config, ip->frame, dst_mac, ETHERTYPE_ARP);
	uint8_t *p = ip->frame + offset;

	memcpy(p, fixed, sizeof(fixed));
	put16(p + 6, operation);
	memcpy(p + 8, ip->config.mac, 6);
	memcpy(p + 14, v4(&ip->config.address4.address), 4);
	memcpy(p + 18, target_mac, 6);
	memcpy(p + 24, target, 4);
	emit(ctx, side, ip->frame, pad(ip->frame, offset + ARP_LEN));
}

/* A neighbour solicitation or advertisement with our MAC as its option. */
static void emit_nd(struct inpath *ip, int side, uint8_t type, uint8_t flags,
	const uint8_t dst_mac[6], const uint8_t *src, const uint8_t *dst, const uint8_t *target,
	inpath_emit *emit, void *ctx)
{
	const uint16_t len = ND_LEN + ND_OPTION_LEN;
	uint32_t offset = put_ethernet(&ip->config, ip->frame, dst_mac, ETHERTYPE_IPV6);
	uint8_t *p = ip->frame + offset + IPV6_LEN;

	put_ipv6(ip->frame + offset, len, 0, 255, PROTO_ICMPV6, src, dst);
	memset(p, 0, len);
	p[0] = type;
	p[4] = flags;
	memcpy(p + 8, target, 16);
	p[ND_LEN] = type == ND_NS ? OPTION_SOURCE_MAC : OPTION_TARGET_MAC;
	p[ND_LEN + 1] = 1;
	memcpy(p + ND_LEN + 2, ip->config.mac, 6);
	put16(p + 2, checksum_with_addresses(src, dst, 16, PROTO_ICMPV6, p, len));
	emit(ctx, side, ip->frame, offset + IPV6_LEN + len);
}

static void announce(struct inpath *ip, inpath_emit *emit, void *ctx)
{
	static const uint8_t none[6];
	const struct policy_address *a4 = &ip->config.address4.address;
	const struct policy_address *a6 = &ip->config.address6.address;

	for (int side = INPATH_LAN; side <= INPATH_WAN; side++) {
		if (a4->family == 4)
			emit_arp(ip, side, 1, mac_broadcast, none, v4(a4), emit, ctx);
		if (a6->family == 6)
			emit_nd(ip, side, ND_NA, NA_OVERRIDE, mac_all_nodes, a6->bytes, all_nodes,
				a6->bytes, emit, ctx);
	}
}

/* Another host uses our address: count it, and say once in ten seconds that it is ours. */
static void conflict(struct inpath *ip, uint64_t now_ns, inpath_emit *emit, void *ctx)
{
	ip->counters.conflicts++;
	if (ip->defended_ns != 0 && now_ns - ip->defended_ns < DEFEND_NS)
		return;
	ip->defended_ns = now_ns;
	announce(ip, emit, ctx);
}

static bool echo_allowed(struct inpath *ip, uint64_t now_ns)
{
	if (ip->echo_tat_ns < now_ns)
		ip->echo_tat_ns = now_ns;
	if (ip->echo_tat_ns - now_ns > ECHO_BURST * (uint64_t)ECHO_NS) {
		ip->counters.limited++;
		return false;
	}
	ip->echo_tat_ns += ECHO_NS;
	return true;
}

static int input_arp(struct inpath *ip, int side, const uint8_t *p, uint32_t len, uint64_t now_ns,
	inpath_emit *emit, void *ctx)
{
	static const uint8_t fixed[6] = {0, 1, 8, 0, 6, 4};
	const uint8_t *sender_mac = p + 8, *sender = p + 14, *target = p + 24;

	if (ip->config.address4.address.family != 4)
		return 0;
	if (len < ARP_LEN || memcmp(p, fixed, sizeof(fixed)) != 0)
		return -EBADMSG;
	uint16_t operation = get16(p + 6);
	if ((operation != 1 && operation != 2) || (sender_mac[0] & 1))
		return -EBADMSG;
	if (is_ours4(&ip->config, sender)) {
		if (memcmp(sender_mac, ip->config.mac, 6) != 0)
			conflict(ip, now_ns, emit, ctx);
		return 1;
	}
	bool for_us = is_ours4(&ip->config, target);
	struct policy_address from = from_v4(sender);
	bool create = operation == 1 && for_us && on_link(&ip->config, &from);
	neighbour_heard(
		&ip->neighbours, &from, sender_mac, operation == 2 && for_us, create, now_ns);
	if (operation == 1 && for_us) {
		emit_arp(ip, side, 2, sender_mac, sender_mac, sender, emit, ctx);
		ip->counters.arp_answered++;
	}
	return for_us || operation == 2;
}

/* What a router quotes of a packet that it did not forward: the IP header and what follows, at
 * least eight bytes. mtu: what it could have forwarded. Returns 1 if it was a datagram of ours. */
static int input_too_big(struct inpath *ip, const uint8_t *p, uint32_t len, uint32_t mtu)
{
	struct inpath_too_big t = {.dst.family = 0};
	const uint8_t *udp;

	if (len >= IPV4_LEN && p[0] >> 4 == 4) {
		uint32_t header = (p[0] & 15u) * 4;

		if (header < IPV4_LEN || len < header + UDP_LEN || p[9] != PROTO_UDP ||
			(get16(p + 6) & 0x3fff) != 0 || !is_ours4(&ip->config, p + 12))
			return 0;
		t.dst = from_v4(p + 16);
		t.len = get16(p + 2);
		udp = p + header;
	} else {
		if (len < IPV6_LEN + UDP_LEN || p[0] >> 4 != 6 || p[6] != PROTO_UDP ||
			!is_ours6(ip, p + 8))
			return 0;
		t.dst = from_v6(p + 24);
		t.len = (uint16_t)(get16(p + 4) + IPV6_LEN);
		udp = p + IPV6_LEN;
	}
	if (mtu >= t.len)
		return 0;
	t.mtu = (uint16_t)mtu;
	t.sport = get16(udp);
	t.dport = get16(udp + 2);
	ip->too_big = t;
	return 1;
}

static int input_ipv4(struct inpath *ip, int side, const uint8_t *src_mac, const uint8_t *p,
	uint32_t len, uint64_t now_ns, inpath_emit *emit, void *ctx)
{
	if (len < IPV4_LEN || p[0] >> 4 != 4)
		return -EBADMSG;
	uint32_t header = (p[0] & 15u) * 4, total = get16(p + 2);
	if (header < IPV4_LEN || total < header || total > len || fold(sum(p, header, 0)) != 0)
		return -EBADMSG;
	if (!is_ours4(&ip->config, p + 16) || is_ours4(&ip->config, p + 12))
		return 0;
	const uint8_t *icmp = p + header, *src = p + 12;
	uint32_t icmp_len = total - header;
	/* Not to a group, and no part of a datagram: there is no reassembly here. */
	if (p[9] != PROTO_ICMP || (get16(p + 6) & 0x3fff) != 0 || src[0] == 0 || src[0] >= 224)
		return 0;
	if (icmp_len < 8 || fold(sum(icmp, icmp_len, 0)) != 0)
		return -EBADMSG;
	if (icmp[0] == 3 && icmp[1] == 4)
		return input_too_big(ip, icmp + 8, icmp_len - 8, get16(icmp + 6));
	if (icmp[0] != 8 || icmp[1] != 0)
		return 0;
	if (!echo_allowed(ip, now_ns))
		return 1;
	uint32_t offset = put_ethernet(&ip->config, ip->frame, src_mac, ETHERTYPE_IPV4);
	uint8_t *out = ip->frame + offset + IPV4_LEN;
	if (offset + IPV4_LEN + icmp_len > sizeof(ip->frame))
		return 0;
	put_ipv4(ip->frame + offset, (uint16_t)(IPV4_LEN + icmp_len), p[1] & 0xfc, ip->ip_id++,
		PROTO_ICMP, p + 16, src);
	memcpy(out, icmp, icmp_len);
	out[0] = 0;
	put16(out + 2, 0);
	put16(out + 2, fold(sum(out, icmp_len, 0)));
	ip->counters.echo_answered++;
	emit(ctx, side, ip->frame, pad(ip->frame, offset + IPV4_LEN + icmp_len));
	return 1;
}

/* The MAC in an option of a neighbour message, NULL if there is none; *valid: options well formed.
 */
static const uint8_t *nd_option(const uint8_t *p, uint32_t len, uint8_t type, bool *valid)
{
	const uint8_t *mac = NULL;

	*valid = true;
	for (uint32_t at = ND_LEN; at < len;) {
		if (len - at < 8 || p[at + 1] == 0 || p[at + 1] * 8u > len - at) {
			*valid = false;
			return NULL;
		}
		if (p[at] == type && p[at + 1] == 1)
			mac = p + at + 2;
		at += p[at + 1] * 8u;
	}
	return mac;
}

static int input_solicitation(struct inpath *ip, int side, const uint8_t *src_mac,
	const uint8_t *src, const uint8_t *dst, const uint8_t *p, uint32_t len, uint64_t now_ns,
	inpath_emit *emit, void *ctx)
{
	const uint8_t *target = p + 8;
	bool valid;
	const uint8_t *mac = nd_option(p, len, OPTION_SOURCE_MAC, &valid);

	if (!valid || target[0] == 0xff)
		return -EBADMSG;
	if (!is_ours6(ip, target))
		return 0;
	if (memcmp(src, unspecified, 16) == 0) { /* someone checks whether our address is free */
		if (dst[0] != 0xff || mac != NULL)
			return -EBADMSG;
		ip->counters.conflicts++;
		emit_nd(ip, side, ND_NA, NA_OVERRIDE, mac_all_nodes, target, all_nodes, target,
			emit, ctx);
		return 1;
	}
	struct policy_address from = from_v6(src);
	if (mac != NULL)
		neighbour_heard(
			&ip->neighbours, &from, mac, false, on_link(&ip->config, &from), now_ns);
	if (mac == NULL || (mac[0] & 1))
		mac = src_mac;
	emit_nd(ip, side, ND_NA, NA_SOLICITED | NA_OVERRIDE, mac, target, src, target, emit, ctx);
	ip->counters.nd_answered++;
	return 1;
}

static int input_advertisement(struct inpath *ip, const uint8_t *src_mac, const uint8_t *dst,
	const uint8_t *p, uint32_t len, uint64_t now_ns, inpath_emit *emit, void *ctx)
{
	const uint8_t *target = p + 8;
	bool valid, solicited = (p[4] & NA_SOLICITED) != 0;
	const uint8_t *mac = nd_option(p, len, OPTION_TARGET_MAC, &valid);

	if (!valid || target[0] == 0xff || (solicited && dst[0] == 0xff))
		return -EBADMSG;
	if (mac == NULL)
		mac = src_mac; /* may be left out in the answer to a unicast question */
	if (is_ours6(ip, target)) {
		if (memcmp(mac, ip->config.mac, 6) != 0)
			conflict(ip, now_ns, emit, ctx);
		return 1;
	}
	struct policy_address from = from_v6(target);
	const struct neighbour *n = neighbour_find(&ip->neighbours, &from);
	bool has_mac =
		n != NULL && n->state != NEIGHBOUR_INCOMPLETE && n->state != NEIGHBOUR_FAILED;
	/* Without the override flag a known MAC stays (RFC 4861, 7.2.5). */
	if (has_mac && !(p[4] & NA_OVERRIDE) && memcmp(n->mac, mac, 6) != 0)
		return 1;
	neighbour_heard(&ip->neighbours, &from, mac, solicited, false, now_ns);
	return 1;
}

static int input_ipv6(struct inpath *ip, int side, const uint8_t *src_mac, const uint8_t *p,
	uint32_t len, uint64_t now_ns, inpath_emit *emit, void *ctx)
{
	const uint8_t *src = p + 8, *dst = p + 24, *icmp = p + IPV6_LEN;

	if (ip->config.address6.address.family != 6)
		return 0;
	if (len < IPV6_LEN || p[0] >> 4 != 6 || (uint32_t)get16(p + 4) + IPV6_LEN > len)
		return -EBADMSG;
	uint32_t icmp_len = get16(p + 4);
	if (p[6] != PROTO_ICMPV6 || src[0] == 0xff || is_ours6(ip, src))
		return 0;
	if (dst[0] != 0xff && !is_ours6(ip, dst))
		return 0;
	if (icmp_len < 8 ||
		checksum_with_addresses(src, dst, 16, PROTO_ICMPV6, icmp, icmp_len) != 0)
		return -EBADMSG;
	if (icmp[0] == ND_NS || icmp[0] == ND_NA) {
		if (p[7] != 255 || icmp[1] != 0 || icmp_len < ND_LEN)
			return -EBADMSG; /* may have crossed a router: not from this link */
		if (icmp[0] == ND_NS)
			return input_solicitation(
				ip, side, src_mac, src, dst, icmp, icmp_len, now_ns, emit, ctx);
		return input_advertisement(ip, src_mac, dst, icmp, icmp_len, now_ns, emit, ctx);
	}
	if (icmp[0] == 2 && dst[0] != 0xff)
		return input_too_big(ip, icmp + 8, icmp_len - 8,
			(uint32_t)get16(icmp + 4) << 16 | get16(icmp + 6));
	if (icmp[0] != 128 || icmp[1] != 0 || dst[0] == 0xff || memcmp(src, unspecified, 16) == 0)
		return 0;
	if (!echo_allowed(ip, now_ns))
		return 1;
	uint32_t offset = put_ethernet(&ip->config, ip->frame, src_mac, ETHERTYPE_IPV6);
	uint8_t *out = ip->frame + offset + IPV6_LEN;
	if (offset + IPV6_LEN + icmp_len > sizeof(ip->frame))
		return 0;
	put_ipv6(ip->frame + offset, (uint16_t)icmp_len, 0, HOP_LIMIT, PROTO_ICMPV6, dst, src);
	memcpy(out, icmp, icmp_len);
	out[0] = 129;
	put16(out + 2, 0);
	put16(out + 2, checksum_with_addresses(dst, src, 16, PROTO_ICMPV6, out, icmp_len));
	ip->counters.echo_answered++;
	emit(ctx, side, ip->frame, pad(ip->frame, offset + IPV6_LEN + icmp_len));
	return 1;
}

int inpath_input(struct inpath *ip, int side, const uint8_t *frame, uint32_t len, uint64_t now_ns,
	inpath_emit *emit, void *ctx)
{
	uint32_t offset = 0;
	uint16_t type = frame_type(&ip->config, frame, len, &offset);
	bool to_our_mac = len >= 6 && memcmp(frame, ip->config.mac, 6) == 0;
	int result = 0;

	/* Unicast between others passes here only by mistake: never answer it. A sender that is a
	 * group would make us answer to many. */
	if (type != 0 && (to_our_mac || (frame[0] & 1)) && !(frame[6] & 1)) {
		const uint8_t *p = frame + offset, *src_mac = frame + 6;

		if (type == ETHERTYPE_ARP)
			result = input_arp(ip, side, p, len - offset, now_ns, emit, ctx);
		else if (type == ETHERTYPE_IPV4 && to_our_mac)
			result = input_ipv4(ip, side, src_mac, p, len - offset, now_ns, emit, ctx);
		else if (type == ETHERTYPE_IPV6)
			result = input_ipv6(ip, side, src_mac, p, len - offset, now_ns, emit, ctx);
	}
	if (result < 0)
		ip->counters.bad++;
	else if (result == 0)
		ip->counters.ignored++;
	if (!to_our_mac)
		return 0;
	return result < 0 ? result : 1;
}

/* Send the requests of the neighbour cache that are due, out of the WAN port. */
static void ask_neighbours(struct inpath *ip, uint64_t now_ns, inpath_emit *emit, void *ctx)
{
	static const uint8_t none[6];
	struct neighbour_ask ask;

	while (neighbour_tick(&ip->neighbours, now_ns, &ask)) {
		const uint8_t *target = ask.address.bytes;

		ip->counters.requests++;
		if (ask.address.family == 4) {
			emit_arp(ip, INPATH_WAN, 1, ask.unicast ? ask.mac : mac_broadcast, none,
				v4(&ask.address), emit, ctx);
			continue;
		}
		uint8_t group[16], group_mac[6] = {0x33, 0x33};
		const uint8_t *src =
			is_link_local(target) ? ip->link_local : ip->config.address6.address.bytes;
		solicited_node(target, group);
		memcpy(group_mac + 2, group + 12, 4);
		emit_nd(ip, INPATH_WAN, ND_NS, 0, ask.unicast ? ask.mac : group_mac, src,
			ask.unicast ? target : group, target, emit, ctx);
	}
}

void inpath_tick(struct inpath *ip, uint64_t now_ns, inpath_emit *emit, void *ctx)
{
	if (ip->announcements_left > 0 && now_ns >= ip->announce_ns) {
		ip->announcements_left--;
		ip->announce_ns = now_ns + SECOND;
		announce(ip, emit, ctx);
	}
	ask_neighbours(ip, now_ns, emit, ctx);
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
	if (!on_link(c, dst))
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
		ask_neighbours(ip, now_ns, emit, ctx);
	if (result < 0)
		return result;

	const struct policy_address *ours =
		is_v4 ? &ip->config.address4.address : &ip->config.address6.address;
	const uint8_t *src = is_v4 ? v4(ours) : ours->bytes, *to = is_v4 ? v4(dst) : dst->bytes;
	put_ethernet(&ip->config, frame, mac, is_v4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
	if (is_v4)
		put_ipv4(frame + link_len, (uint16_t)(ip_len + udp_len), (uint8_t)(dscp << 2),
			ip->ip_id++, PROTO_UDP, src, to);
	else
		put_ipv6(frame + link_len, (uint16_t)udp_len, (uint8_t)(dscp << 2), HOP_LIMIT,
			PROTO_UDP, src, to);
	uint8_t *udp = frame + link_len + ip_len;
	put16(udp, sport);
	put16(udp + 2, dport);
	put16(udp + 4, (uint16_t)udp_len);
	put16(udp + 6, 0);
	memcpy(udp + UDP_LEN, payload, payload_len);
	uint16_t checksum =
		checksum_with_addresses(src, to, is_v4 ? 4 : 16, PROTO_UDP, udp, udp_len);
	put16(udp + 6, checksum != 0 ? checksum : 0xffff);
	return (int)pad(frame, link_len + ip_len + udp_len);
}
