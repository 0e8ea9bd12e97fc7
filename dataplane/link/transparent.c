/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The headers of transparent framing (transparent.h). The bytes behind them are frame.c's, as are
 * the shim and its check.
 */
#include "dataplane/link/transparent.h"

#include <string.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define IPV4_LEN 20
#define IPV6_LEN 40
#define BOUND_BYTES 44

static inline uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* The checksum that belongs into a header of 20 bytes, as it stands there. */
static uint16_t header_checksum(const uint8_t *ip)
{
	uint8_t plain[IPV4_LEN];

	memcpy(plain, ip, sizeof(plain));
	put16(plain + 10, 0);
	return (uint16_t)~rte_raw_cksum(plain, sizeof(plain));
}

static bool header_checksum_ok(const uint8_t *ip)
{
	uint16_t checksum = header_checksum(ip);

	return memcmp(&checksum, ip + 10, sizeof(checksum)) == 0;
}

static void write_checksum(uint8_t *ip)
{
	uint16_t checksum = header_checksum(ip);

	memcpy(ip + 10, &checksum, sizeof(checksum));
}

/* Is the IP header, whole by what parsing found, one without options or extension headers, and of
 * no fragment? Then its protocol. -1: no. */
static int plain_protocol(const struct rte_mbuf *m)
{
	const struct pkt *p = pkt_of(m);
	const uint8_t *ip = rte_pktmbuf_mtod_offset(m, const uint8_t *, p->l3_off);

	if (!(p->flags & PKT_IP) || p->flags & PKT_FRAGMENT ||
		p->l4_off != link_transparent_front(m) ||
		p->l3_off + (uint32_t)p->l3_len > rte_pktmbuf_data_len(m) ||
		p->l4_off - p->l3_off > p->l3_len)
		return -1;
	if (p->flags & PKT_IPV6)
		return ip[6];
	return header_checksum_ok(ip) ? ip[9] : -1;
}

/* Nothing but VLAN tags between Ethernet and IP? */
static bool has_tags_only(const struct rte_mbuf *m)
{
	const struct pkt *p = pkt_of(m);
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);

	for (uint32_t at = 12; at + 2 < p->l3_off; at += 4) {
		uint16_t type = get16(frame + at);

		if (at + 4 + 2 > p->l3_off ||
			(type != RTE_ETHER_TYPE_VLAN && type != RTE_ETHER_TYPE_QINQ))
			return false;
	}
	return p->l3_off >= LINK_L2_BYTES;
}

bool link_transparent_fits(const struct rte_mbuf *in, const struct link_path *path)
{
	const struct pkt *p = pkt_of(in);
	const uint8_t *ip = rte_pktmbuf_mtod_offset(in, const uint8_t *, p->l3_off);
	int protocol = plain_protocol(in);

	if (protocol < 0 || protocol == LINK_IPCOMP_PROTOCOL || p->flags & PKT_LLBCAST ||
		p->l3_off + (uint32_t)p->l3_len != rte_pktmbuf_data_len(in) || !has_tags_only(in))
		return false;
	/* The receiver would take it for a packet to itself, which is no link frame. */
	if (p->flags & PKT_IPV6)
		return path->family != 6 || memcmp(ip + 24, path->peer_address, 16) != 0;
	return path->family != 4 || memcmp(ip + 16, path->peer_address + 12, 4) != 0;
}

uint64_t link_transparent_key(uint64_t key, const uint8_t *ip, bool routed)
{
	bool ipv6 = ip[0] >> 4 == 6;
	uint8_t bound[BOUND_BYTES] = {0};

	if (!routed) {
		if (ipv6) {
			memcpy(bound, ip, 4);
			bound[0] = 0;
			bound[1] &= 0x0f;
		} else {
			memcpy(bound, ip + 4, 4);
		}
		bound[4] = ipv6 ? ip[7] : ip[8];
	}
	bound[5] = ipv6 ? 6 : 4;
	memcpy(bound + 8, ip + (ipv6 ? IPV6_LEN : IPV4_LEN), LINK_IPCOMP_BYTES);
	memcpy(bound + 12, ip + (ipv6 ? 8 : 12), ipv6 ? 32 : 8);
	return XXH3_64bits_withSeed(bound, sizeof(bound), key);
}

void link_transparent_write(const struct link_path *path, const struct rte_mbuf *in,
	struct rte_mbuf *out, uint32_t blob_len)
{
	const struct pkt *p = pkt_of(in);
	uint32_t front = link_transparent_front(in), rest = LINK_TRANSPARENT_OVERHEAD + blob_len;
	uint8_t *frame = rte_pktmbuf_mtod(out, uint8_t *), *ip = frame + p->l3_off;
	uint8_t *ipcomp = frame + front;

	memcpy(frame, rte_pktmbuf_mtod(in, const uint8_t *), front);
	if (p->flags & PKT_IPV6) {
		ipcomp[0] = ip[6];
		ip[6] = LINK_IPCOMP_PROTOCOL;
		put16(ip + 4, rest);
	} else {
		ipcomp[0] = ip[9];
		ip[9] = LINK_IPCOMP_PROTOCOL;
		put16(ip + 2, IPV4_LEN + rest);
		write_checksum(ip);
	}
	ipcomp[1] = 0;
	put16(ipcomp + 2, path->tx_cpi);
	out->data_len = (uint16_t)(front + rest);
	out->pkt_len = out->data_len;
}

bool link_transparent_is_of(
	const struct rte_mbuf *in, const struct link_path *path, uint64_t now_ns)
{
	const struct pkt *p = pkt_of(in);
	uint16_t cpi = get16(rte_pktmbuf_mtod_offset(in, const uint8_t *, p->l4_off + 2));

	if (path->session_id == 0 || !path->transparent_rx)
		return false;
	return cpi == path->rx_cpi ||
	       (now_ns < path->rx_key_old_until_ns && cpi == path->rx_cpi_old);
}

bool link_transparent_opens(const struct rte_mbuf *in)
{
	const struct pkt *p = pkt_of(in);

	return plain_protocol(in) == LINK_IPCOMP_PROTOCOL &&
	       (uint32_t)p->l4_off + LINK_TRANSPARENT_OVERHEAD <= p->l3_off + (uint32_t)p->l3_len;
}

void link_transparent_restore(
	const struct rte_mbuf *in, struct rte_mbuf *out, uint32_t original_len)
{
	const struct pkt *p = pkt_of(in);
	uint32_t front = link_transparent_front(in);
	const uint8_t *from = rte_pktmbuf_mtod(in, const uint8_t *);
	uint8_t *frame = rte_pktmbuf_mtod(out, uint8_t *), *ip = frame + p->l3_off;

	memcpy(frame, from, front);
	if (p->flags & PKT_IPV6) {
		ip[6] = from[front];
		put16(ip + 4, original_len);
	} else {
		ip[9] = from[front];
		put16(ip + 2, IPV4_LEN + original_len);
		write_checksum(ip);
	}
	out->data_len = (uint16_t)(front + original_len);
	out->pkt_len = out->data_len;
}
