/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The general way through a frame's headers, layer by layer, for all that parse.c does not take at
 * once. `end` is always the first byte that may not be read: of the frame, then of the IP packet.
 */
#include <rte_ip.h>

#include "controlplane/channel/counters.h"
#include "dataplane/packet/headers.h"
#include "dataplane/packet/steer.h"

uint16_t parse_tcp_timestamps(struct pkt *p, const uint8_t *at, const uint8_t *end)
{
	while (at < end) {
		if (*at == TCP_OPT_NOP) {
			at++;
			continue;
		}
		if (*at == TCP_OPT_END || end - at < 2 || at[1] < 2 || at[1] > end - at)
			return 0;
		if (*at == TCP_OPT_TIMESTAMP && at[1] == 10) {
			p->tcp_tsval = be32(at + 2);
			p->tcp_tsecr = be32(at + 6);
			return PKT_TCP_TS;
		}
		at += at[1];
	}
	return 0;
}

/* Where the walk stands. */
struct walk {
	const uint8_t *frame;
	unsigned off, end;
	uint16_t vlan; /* as in the key */
	uint8_t tags;  /* VLAN tags seen */
	bool tunnel;   /* MPLS or PPPoE seen: nothing in there is for us */
	bool guessed;  /* MPLS does not say what it carries */
};

static inline unsigned left(const struct walk *w)
{
	return w->end - w->off;
}

/* Is the packet on the VLAN of the in-path address? A priority tag (VLAN ID 0) is no VLAN. */
static bool on_our_vlan(const struct walk *w, const struct parse_context *ctx)
{
	return !w->tunnel && w->tags <= 1 && w->vlan == ctx->in_path_vlan;
}

/* Walk tags, labels and PPPoE to `*type`, the ethertype of what is then at w->off. */
static enum reason walk_link(struct walk *w, uint16_t *type)
{
	*type = be16(w->frame + 12);
	w->off = ETHER_LEN;
	for (unsigned layers = 0; layers <= PARSE_ENCAP_MAX; layers++) {
		const uint8_t *at = w->frame + w->off;

		switch (*type) {
		case ETHERTYPE_VLAN:
		case ETHERTYPE_QINQ:
		case ETHERTYPE_QINQ_OLD:
			if (left(w) < 4)
				return PASS_TRUNCATED;
			w->vlan = (uint16_t)((be16(at) & 0xfff) ^ w->vlan << 4);
			w->tags++;
			*type = be16(at + 2);
			w->off += 4;
			break;
		case ETHERTYPE_MPLS:
		case ETHERTYPE_MPLS_UPSTREAM:
			if (left(w) < 4)
				return PASS_TRUNCATED;
			w->tunnel = true;
			w->off += 4;
			if ((at[2] & 1) == 0)
				break;
			if (left(w) < 1)
				return PASS_TRUNCATED;
			w->guessed = true;
			*type = at[4] >> 4 == 4	  ? ETHERTYPE_IPV4
				: at[4] >> 4 == 6 ? ETHERTYPE_IPV6
						  : 0;
			return *type == 0 ? PASS_NOT_IP : REASON_NONE;
		case ETHERTYPE_PPPOE:
			if (left(w) < 8)
				return PASS_TRUNCATED;
			if (at[0] != 0x11 || at[1] != 0)
				return PASS_NOT_IP;
			w->tunnel = true;
			w->off += 6;
			w->end = RTE_MIN(w->end, w->off + be16(at + 4));
			if (left(w) < 2)
				return PASS_TRUNCATED;
			w->off += 2;
			switch (be16(at + 6)) {
			case PPP_IPV4:
				*type = ETHERTYPE_IPV4;
				break;
			case PPP_IPV6:
				*type = ETHERTYPE_IPV6;
				break;
			case PPP_MPLS:
				*type = ETHERTYPE_MPLS;
				break;
			default: /* LCP, IPCP, compressed headers... */
				return PASS_NOT_IP;
			}
			break;
		default:
			return REASON_NONE;
		}
	}
	return PASS_ENCAP_DEPTH;
}

/* An ARP packet is no IP, but may be for us: it asks for our address or tells us another's. */
static void parse_arp(struct pkt *p, const struct walk *w, const struct parse_context *ctx)
{
	const uint8_t *arp = w->frame + w->off;

	/* Ethernet and IPv4, any operation. */
	if (left(w) >= 28 && memcmp(arp, "\x00\x01\x08\x00\x06\x04", 6) == 0 &&
		ctx->in_path4 != 0 && load32(arp + 24) == ctx->in_path4 && on_our_vlan(w, ctx))
		p->flags |= PKT_FOR_US;
}

/* The IPv4 header at w->off: sets the l3 fields, puts w->off behind it and w->end to the packet's
 * end. */
static enum reason walk_ipv4(struct pkt *p, struct walk *w, uint8_t *proto)
{
	const uint8_t *ip = w->frame + w->off;

	if (left(w) < IPV4_LEN)
		return PASS_TRUNCATED;

	unsigned header_len = (ip[0] & 0xf) * 4, len = be16(ip + 2);

	if (ip[0] >> 4 != 4 || header_len < IPV4_LEN || len < header_len)
		return PASS_BAD_IP;
	if (len > left(w))
		return PASS_TRUNCATED;
	if (w->guessed && rte_raw_cksum(ip, header_len) != 0xffff)
		return PASS_NOT_IP;
	p->l3_off = (uint16_t)w->off;
	p->l3_len = (uint16_t)len;
	p->dscp = ip[1] >> 2;
	p->ecn = ip[1] & 3;
	if ((load16(ip + 6) & RTE_BE16(0x3fff)) != 0)
		p->flags |= PKT_FRAGMENT;
	*proto = ip[9];
	w->end = w->off + len;
	w->off += header_len;
	return REASON_NONE;
}

/* The same for IPv6 and its extension headers: *proto is the last of the chain. */
static enum reason walk_ipv6(struct pkt *p, struct walk *w, uint8_t *proto)
{
	const uint8_t *ip = w->frame + w->off;

	if (left(w) < IPV6_LEN)
		return PASS_TRUNCATED;

	unsigned len = IPV6_LEN + be16(ip + 4);

	if (ip[0] >> 4 != 6)
		return PASS_BAD_IP;
	if (len > left(w))
		return w->guessed ? PASS_NOT_IP : PASS_TRUNCATED;
	p->l3_off = (uint16_t)w->off;
	p->l3_len = (uint16_t)len;
	p->dscp = (uint8_t)((be16(ip) >> 6) & 0x3f);
	p->ecn = (uint8_t)((ip[1] >> 4) & 3);
	*proto = ip[6];
	w->end = w->off + len;
	w->off += IPV6_LEN;

	for (unsigned headers = 0;; headers++) {
		const uint8_t *ext = w->frame + w->off;
		unsigned ext_len;

		switch (*proto) {
		case PROTO_HOP_BY_HOP:
		case PROTO_ROUTING:
		case PROTO_DESTINATION:
			if (left(w) < 8)
				return PASS_BAD_IP;
			ext_len = (ext[1] + 1) * 8;
			break;
		case PROTO_AH:
			if (left(w) < 8)
				return PASS_BAD_IP;
			ext_len = (ext[1] + 2) * 4;
			break;
		case PROTO_FRAGMENT:
			if (left(w) < 8)
				return PASS_BAD_IP;
			ext_len = 8;
			/* An atomic fragment (RFC 6946) is a whole packet. */
			if ((load16(ext + 2) & RTE_BE16(0xfff9)) != 0)
				p->flags |= PKT_FRAGMENT;
			break;
		default:
			return REASON_NONE;
		}
		if (headers == PARSE_EXTENSIONS_MAX)
			return PASS_ENCAP_DEPTH;
		if (ext_len > left(w))
			return PASS_BAD_IP;
		*proto = ext[0];
		w->off += ext_len;
		/* What follows in a later fragment is data, and the first one must be of the same
		 * flow. */
		if (p->flags & PKT_FRAGMENT)
			return REASON_NONE;
	}
}

/* Ports of the key. `dir_ports` says if they belong to the ends, as an ICMP identifier does not. */
struct ports {
	uint16_t src, dst;
	bool of_ends;
};

static enum reason walk_l4(struct pkt *p, const struct walk *w, uint8_t proto, struct ports *ports)
{
	const uint8_t *l4 = w->frame + w->off;
	unsigned room = left(w), header_len = 0;

	switch (proto) {
	case PROTO_TCP:
		if (room >= TCP_LEN)
			header_len = tcp_fields(p, l4, room, &p->flags);
		if (header_len == 0)
			return PASS_BAD_L4;
		p->flags |= PKT_TCP;
		break;
	case PROTO_UDP:
		if (room < UDP_LEN || be16(l4 + 4) < UDP_LEN || be16(l4 + 4) > room)
			return PASS_BAD_L4;
		header_len = UDP_LEN;
		p->flags |= PKT_UDP;
		break;
	case PROTO_SCTP:
	case PROTO_UDPLITE:
		if (room < 8)
			return PASS_BAD_L4;
		break;
	case PROTO_ICMP:
		if (!(p->flags & PKT_IPV6) && room >= 8 &&
			(l4[0] == ICMP_ECHO_REQUEST || l4[0] == ICMP_ECHO_REPLY))
			ports->src = load16(l4 + 4);
		return REASON_NONE;
	case PROTO_ICMPV6:
		if (p->flags & PKT_IPV6 && room >= 8 &&
			(l4[0] == ICMPV6_ECHO_REQUEST || l4[0] == ICMPV6_ECHO_REPLY))
			ports->src = load16(l4 + 4);
		return REASON_NONE;
	default:
		return REASON_NONE;
	}
	ports->src = load16(l4);
	ports->dst = load16(l4 + 2);
	ports->of_ends = true;
	p->payload_off = (uint16_t)(w->off + header_len);
	p->payload_len = (uint16_t)(room - header_len);
	return REASON_NONE;
}

/* Is this packet, on our VLAN, for the in-path IPv6 address? */
static bool ipv6_for_us(
	const struct pkt *p, const struct walk *w, uint8_t proto, const struct parse_context *ctx)
{
	const uint8_t *dst = w->frame + p->l3_off + 24, *icmp = w->frame + w->off;

	if (memcmp(dst, ctx->in_path6, 16) == 0)
		return true;
	if (proto != PROTO_ICMPV6 || p->flags & PKT_FRAGMENT || left(w) < 24)
		return false;
	if (icmp[0] == ICMPV6_SOLICITATION) /* to the solicited-node multicast address */
		return memcmp(icmp + 8, ctx->in_path6, 16) == 0;
	/* An advertisement to all nodes may come to one Ethernet address (RFC 6085). */
	return icmp[0] == ICMPV6_ADVERTISEMENT && memcmp(w->frame, ctx->in_path_mac, 6) == 0;
}

/* May an IPComp packet be a link frame (link/transparent.h)? Its session will tell. */
static bool may_be_link_ipcomp(
	const struct pkt *p, const struct walk *w, const struct parse_context *ctx)
{
	return ctx->way == WAY_DOWN && ctx->link_port != 0 && !w->tunnel &&
	       !(p->flags & PKT_FRAGMENT) && left(w) >= IPCOMP_LEN &&
	       w->off - p->l3_off == (p->flags & PKT_IPV6 ? IPV6_LEN : IPV4_LEN) &&
	       be16(w->frame + w->off + 2) >= IPCOMP_CPI_PRIVATE;
}

static void parse_ip(struct pkt *p, struct walk *w, bool ipv6, const struct parse_context *ctx,
	const struct hash_secret *secret)
{
	struct ports ports = {0};
	struct halves src, dst;
	bool swapped;
	uint8_t proto = 0, scope = ctx->bridge;
	enum reason reason;

	if (ipv6)
		p->flags |= PKT_IPV6;
	reason = ipv6 ? walk_ipv6(p, w, &proto) : walk_ipv4(p, w, &proto);
	if (reason != REASON_NONE) {
		p->flags &= ~(PKT_IPV6 | PKT_FRAGMENT);
		p->reason = reason;
		return;
	}
	p->flags |= PKT_IP;
	p->l4_off = p->payload_off = (uint16_t)w->off;
	p->payload_len = (uint16_t)left(w);
	if (p->flags & PKT_FRAGMENT)
		p->reason = PASS_FRAGMENT;
	else
		p->reason = walk_l4(p, w, proto, &ports);

	const uint8_t *ip = w->frame + p->l3_off;

	if (ipv6) {
		src = halves_ip6(ip + 8);
		dst = halves_ip6(ip + 24);
		scope |= FLOW_KEY_IPV6;
	} else {
		src = halves_ip4(load32(ip + 12));
		dst = halves_ip4(load32(ip + 16));
	}
	if (p->flags & PKT_FRAGMENT)
		scope |= FLOW_KEY_FRAGMENT;
	swapped = order_of(src) > order_of(dst);
	p->steer_hash = steer_hash(src.high ^ src.low ^ dst.high ^ dst.low);
	if (ports.of_ends) {
		if (order_of(src) == order_of(dst))
			swapped = rte_be_to_cpu_16(ports.src) > rte_be_to_cpu_16(ports.dst);
		set_key(p, src, dst, ports.src, ports.dst, swapped, w->vlan, proto, scope, secret);
		if (p->flags & (PKT_TCP | PKT_UDP))
			p->steer_hash = steer_hash(
				src.high ^ src.low ^ dst.high ^ dst.low ^ ports.src ^ ports.dst);
	} else { /* an identifier, always in port[0] */
		set_key(p, src, dst, swapped ? 0 : ports.src, swapped ? ports.src : 0, swapped,
			w->vlan, proto, scope, secret);
	}
	if (proto == PROTO_IPCOMP && may_be_link_ipcomp(p, w, ctx))
		p->flags |= PKT_LINK;
	if (on_our_vlan(w, ctx) &&
		(ipv6 ? ctx->has_in_path6 && ipv6_for_us(p, w, proto, ctx)
		      : ctx->in_path4 != 0 && load32(ip + 16) == ctx->in_path4)) {
		p->flags &= (uint16_t)~PKT_LINK;
		mark_for_us(p, ctx, w->frame + p->l4_off);
	}
}

/* All frames that are not plain. */
void parse_walk(const uint8_t *frame, unsigned frame_len, struct pkt *p,
	const struct parse_context *ctx, const struct hash_secret *secret)
{
	struct walk w = {.frame = frame, .end = frame_len};
	uint16_t type;

	if (frame_len < ETHER_LEN) {
		p->reason = PASS_TRUNCATED;
		return;
	}
	if (frame[0] & 1)
		p->flags |= PKT_LLBCAST;
	p->reason = walk_link(&w, &type);
	if (w.tags > 0 || w.tunnel)
		p->flags |= PKT_ENCAPSULATED;
	if (p->reason != REASON_NONE)
		return;
	switch (type) {
	case ETHERTYPE_IPV4:
		parse_ip(p, &w, false, ctx, secret);
		break;
	case ETHERTYPE_IPV6:
		parse_ip(p, &w, true, ctx, secret);
		break;
	case ETHERTYPE_ARP:
		parse_arp(p, &w, ctx);
		/* fall through */
	default:
		p->reason = PASS_NOT_IP;
	}
}

uint16_t packet_vlan_id(const struct rte_mbuf *m)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	uint16_t id = 0;

	for (unsigned off = 12; off + 4 <= m->data_len && off < 12 + 4 * PARSE_ENCAP_MAX;
		off += 4) {
		uint16_t type = be16(frame + off);

		if (type != ETHERTYPE_VLAN && type != ETHERTYPE_QINQ && type != ETHERTYPE_QINQ_OLD)
			break;
		id = be16(frame + off + 2) & 0xfff;
	}
	return id;
}
