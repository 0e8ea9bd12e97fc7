/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host at the in-path address: what comes in is checked field by field before it is believed
 * (RFC 826, 5227, 4861 section 7.1, 792, 4443). Answers to ping and to requests go to the MAC that
 * asked, in frames of inpath_frame.c.
 */
#include "dataplane/control/inpath_frame.h"

#include <errno.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)
#define ANNOUNCEMENTS 3
#define DEFEND_NS (10 * SECOND) /* RFC 5227, 2.4 */
#define ECHO_NS 1000000		/* 1,000 answers a second, */
#define ECHO_BURST 100		/* 100 at once */

#define NA_SOLICITED 0x40
#define NA_OVERRIDE 0x20

static const uint8_t mac_broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t mac_all_nodes[6] = {0x33, 0x33, 0, 0, 0, 1};
static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
static const uint8_t unspecified[16];

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

static void announce(struct inpath *ip, inpath_emit *emit, void *ctx)
{
	static const uint8_t none[6];
	const struct policy_address *a4 = &ip->config.address4.address;
	const struct policy_address *a6 = &ip->config.address6.address;

	for (int side = INPATH_LAN; side <= INPATH_WAN; side++) {
		if (a4->family == 4)
			inpath_emit_arp(ip, side, 1, mac_broadcast, none, v4(a4), emit, ctx);
		if (a6->family == 6)
			inpath_emit_nd(ip, side, ND_NA, NA_OVERRIDE, mac_all_nodes, a6->bytes,
				all_nodes, a6->bytes, emit, ctx);
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
	bool create = operation == 1 && for_us && inpath_on_link(&ip->config, &from);
	neighbour_heard(
		&ip->neighbours, &from, sender_mac, operation == 2 && for_us, create, now_ns);
	if (operation == 1 && for_us) {
		inpath_emit_arp(ip, side, 2, sender_mac, sender_mac, sender, emit, ctx);
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
	if (header < IPV4_LEN || total < header || total > len || inpath_checksum(p, header) != 0)
		return -EBADMSG;
	if (!is_ours4(&ip->config, p + 16) || is_ours4(&ip->config, p + 12))
		return 0;
	const uint8_t *icmp = p + header, *src = p + 12;
	uint32_t icmp_len = total - header;
	/* Not to a group, and no part of a datagram: there is no reassembly here. */
	if (p[9] != PROTO_ICMP || (get16(p + 6) & 0x3fff) != 0 || src[0] == 0 || src[0] >= 224)
		return 0;
	if (icmp_len < 8 || inpath_checksum(icmp, icmp_len) != 0)
		return -EBADMSG;
	if (icmp[0] == 3 && icmp[1] == 4)
		return input_too_big(ip, icmp + 8, icmp_len - 8, get16(icmp + 6));
	if (icmp[0] != 8 || icmp[1] != 0)
		return 0;
	if (!echo_allowed(ip, now_ns))
		return 1;
	uint32_t offset = inpath_put_ethernet(&ip->config, ip->frame, src_mac, ETHERTYPE_IPV4);
	uint8_t *out = ip->frame + offset + IPV4_LEN;
	if (offset + IPV4_LEN + icmp_len > sizeof(ip->frame))
		return 0;
	inpath_put_ipv4(ip->frame + offset, (uint16_t)(IPV4_LEN + icmp_len), p[1] & 0xfc,
		ip->ip_id++, PROTO_ICMP, p + 16, src);
	memcpy(out, icmp, icmp_len);
	out[0] = 0;
	put16(out + 2, 0);
	put16(out + 2, inpath_checksum(out, icmp_len));
	ip->counters.echo_answered++;
	emit(ctx, side, ip->frame, inpath_pad(ip->frame, offset + IPV4_LEN + icmp_len));
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
		inpath_emit_nd(ip, side, ND_NA, NA_OVERRIDE, mac_all_nodes, target, all_nodes,
			target, emit, ctx);
		return 1;
	}
	struct policy_address from = from_v6(src);
	if (mac != NULL)
		neighbour_heard(&ip->neighbours, &from, mac, false,
			inpath_on_link(&ip->config, &from), now_ns);
	if (mac == NULL || (mac[0] & 1))
		mac = src_mac;
	inpath_emit_nd(
		ip, side, ND_NA, NA_SOLICITED | NA_OVERRIDE, mac, target, src, target, emit, ctx);
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
		inpath_checksum_with_addresses(src, dst, 16, PROTO_ICMPV6, icmp, icmp_len) != 0)
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
	uint32_t offset = inpath_put_ethernet(&ip->config, ip->frame, src_mac, ETHERTYPE_IPV6);
	uint8_t *out = ip->frame + offset + IPV6_LEN;
	if (offset + IPV6_LEN + icmp_len > sizeof(ip->frame))
		return 0;
	inpath_put_ipv6(
		ip->frame + offset, (uint16_t)icmp_len, 0, HOP_LIMIT, PROTO_ICMPV6, dst, src);
	memcpy(out, icmp, icmp_len);
	out[0] = 129;
	put16(out + 2, 0);
	put16(out + 2, inpath_checksum_with_addresses(dst, src, 16, PROTO_ICMPV6, out, icmp_len));
	ip->counters.echo_answered++;
	emit(ctx, side, ip->frame, inpath_pad(ip->frame, offset + IPV6_LEN + icmp_len));
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

void inpath_tick(struct inpath *ip, uint64_t now_ns, inpath_emit *emit, void *ctx)
{
	if (ip->announcements_left > 0 && now_ns >= ip->announce_ns) {
		ip->announcements_left--;
		ip->announce_ns = now_ns + SECOND;
		announce(ip, emit, ctx);
	}
	inpath_ask_neighbours(ip, now_ns, emit, ctx);
}
