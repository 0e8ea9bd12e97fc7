/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Parsing frames, see parse.h: the fast path. parse_plain() handles what nearly every packet is,
 * TCP or UDP in IPv4 without options straight behind Ethernet; walk.c takes the rest.
 */
#include "dataplane/packet/parse.h"

#include "dataplane/packet/headers.h"
#include "dataplane/packet/steer.h"

#define PREFETCH_AHEAD 8

uint64_t packet_key_hash(const struct flow_key *key, uint64_t seed)
{
	struct hash_secret secret = hash_secret_of(seed);
	uint64_t word[5];

	memcpy(word, key, sizeof(word));
	return hash_words(word, &secret);
}

/* Plain TCP or UDP, IPv4, Ethernet. False, with *p untouched, for all else. */
static inline bool parse_plain(const uint8_t *frame, unsigned frame_len, struct pkt *p,
	const struct parse_context *ctx, const struct hash_secret *secret)
{
	const uint8_t *ip = frame + ETHER_LEN, *l4 = ip + IPV4_LEN;

	if (unlikely(frame_len < ETHER_LEN + IPV4_LEN + TCP_LEN))
		return false;
	/* Ethertype, version, header length; then flags and fragment offset: all of it constant. */
	if (unlikely(load16(frame + 12) != RTE_BE16(ETHERTYPE_IPV4) || ip[0] != 0x45 ||
		     (load16(ip + 6) & RTE_BE16(0x3fff)) != 0))
		return false;

	unsigned len = be16(ip + 2), proto = ip[9], header_len;
	uint16_t flags = PKT_IP;

	if (unlikely(len > frame_len - ETHER_LEN))
		return false;
	if (proto == PROTO_TCP) {
		flags |= PKT_TCP;
		if (unlikely(len < IPV4_LEN + TCP_LEN))
			return false;
		header_len = tcp_fields(p, l4, len - IPV4_LEN, &flags);
		if (unlikely(header_len == 0))
			return false;
	} else {
		unsigned udp_len;

		if (unlikely(proto != PROTO_UDP || len < IPV4_LEN + UDP_LEN))
			return false;
		udp_len = be16(l4 + 4);
		if (unlikely(udp_len < UDP_LEN || udp_len > len - IPV4_LEN))
			return false;
		header_len = UDP_LEN;
		flags |= PKT_UDP;
	}

	uint32_t src = load32(ip + 12), dst = load32(ip + 16), ports = load32(l4);
	uint16_t sport = load16(l4), dport = load16(l4 + 2);
	uint64_t src_order = (uint64_t)rte_be_to_cpu_32(src) << 16 | rte_be_to_cpu_16(sport);
	uint64_t dst_order = (uint64_t)rte_be_to_cpu_32(dst) << 16 | rte_be_to_cpu_16(dport);

	set_key(p, halves_ip4(src), halves_ip4(dst), sport, dport, src_order > dst_order, 0,
		(uint8_t)proto, ctx->bridge, secret);
	p->steer_hash = steer_hash(src ^ dst ^ ports);
	p->flags = (uint16_t)(flags | (frame[0] & 1) * PKT_LLBCAST);
	p->l3_off = ETHER_LEN;
	p->l4_off = ETHER_LEN + IPV4_LEN;
	p->payload_off = (uint16_t)(ETHER_LEN + IPV4_LEN + header_len);
	p->payload_len = (uint16_t)(len - IPV4_LEN - header_len);
	p->l3_len = (uint16_t)len;
	p->dscp = ip[1] >> 2;
	p->ecn = ip[1] & 3;
	if (unlikely(dst == ctx->in_path4 && dst != 0 && ctx->in_path_vlan == 0))
		mark_for_us(p, ctx, l4);
	return true;
}

/* Empty all but out_port. */
static inline void reset(
	struct pkt *p, const struct rte_mbuf *m, const struct parse_context *ctx, uint64_t rx_ns)
{
	uint8_t out_port = p->out_port;

	memset(p, 0, sizeof(*p));
	p->rx_ns = rx_ns;
	p->way = (uint8_t)ctx->way;
	p->bridge = ctx->bridge;
	p->out_port = out_port;
	p->wire_bytes = m->pkt_len;
}

void packet_parse_bulk(
	struct rte_mbuf **pkts, unsigned n, const struct parse_context *ctx, uint64_t rx_ns)
{
	const struct hash_secret secret = hash_secret_of(ctx->hash_seed);

	for (unsigned i = 0; i < n && i < PREFETCH_AHEAD; i++)
		rte_prefetch0(rte_pktmbuf_mtod(pkts[i], const void *));
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];
		struct pkt *p = pkt_of(m);
		const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);

		if (i + PREFETCH_AHEAD < n) {
			struct rte_mbuf *ahead = pkts[i + PREFETCH_AHEAD];

			rte_prefetch0(rte_pktmbuf_mtod(ahead, const void *));
			__builtin_prefetch(pkt_of(ahead), 1);
			__builtin_prefetch((char *)pkt_of(ahead) + 64, 1);
		}
		reset(p, m, ctx, rx_ns);
		if (unlikely(!parse_plain(frame, m->data_len, p, ctx, &secret)))
			parse_walk(frame, m->data_len, p, ctx, &secret);
	}
}
