/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames for the tests, the fuzz target and the benchmark of link/: a packet pool without huge
 * pages, inner frames built by hand with their struct pkt filled, and the two ends of a path. The
 * outer frame is taken apart here by fixed offsets, not by the parser under packet/.
 */
#ifndef SLUICE_TESTS_LINK_FRAMES_H
#define SLUICE_TESTS_LINK_FRAMES_H

#include <stdlib.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "dataplane/compress/codec.h"
#include "dataplane/link/frame.h"
#include "dataplane/packet/packet.h"
#include "tests/unit/compress/data.h"

#define FRAMES_ROOM 9400

static inline struct rte_mempool *frames_pool(void)
{
	static char *argv[] = {"test", "--no-huge", "-m", "64", "--no-pci", "--no-shconf",
		"--no-telemetry", "--log-level=error", NULL};
	static struct rte_mempool *pool;

	if (pool == NULL) {
		if (rte_eal_init(8, argv) < 0)
			abort();
		pool = rte_pktmbuf_pool_create("frames", 511, 0, sizeof(struct pkt),
			RTE_PKTMBUF_HEADROOM + FRAMES_ROOM, SOCKET_ID_ANY);
		if (pool == NULL)
			abort();
	}
	return pool;
}

/* Codecs with the built-in dictionaries. */
static inline struct codec *frames_codec(void)
{
	static struct codec *c;

	if (c == NULL) {
		void *dictionaries = aligned_alloc(
			DICTIONARIES_ALIGN, RTE_ALIGN(dictionaries_bytes(), DICTIONARIES_ALIGN));
		void *memory = aligned_alloc(CODEC_ALIGN, RTE_ALIGN(codec_bytes(), CODEC_ALIGN));

		c = codec_init(memory, dictionaries_init(dictionaries));
		if (c == NULL)
			abort();
	}
	return c;
}

/* The two ends of one path: what [0] sends with its tx_key, [1] verifies with its rx_key. */
static inline void frames_paths(
	struct link_path path[2], uint8_t family, uint16_t vlan, bool routed)
{
	for (int i = 0; i < 2; i++) {
		uint8_t *ours = path[i].our_address, *peers = path[i].peer_address;

		memset(&path[i], 0, sizeof(path[i]));
		path[i].tx_key = i == 0 ? 0x1111222233334444 : 0x5555666677778888;
		path[i].rx_key = i == 0 ? 0x5555666677778888 : 0x1111222233334444;
		path[i].session_id = 1;
		path[i].alive = true;
		path[i].peer_workers = 2;
		path[i].codecs = LINK_CODECS;
		path[i].dictionaries = UINT16_MAX - 1;
		path[i].path_mtu = 9000;
		path[i].port = 4790;
		path[i].vlan = vlan;
		path[i].family = family;
		path[i].routed = routed;
		memset(path[i].our_mac, 0x20 + i, 6);
		memset(path[i].next_hop_mac, 0x30 + i, 6);
		if (family == 4) {
			ours[10] = ours[11] = peers[10] = peers[11] = 0xff;
			ours[12] = peers[12] = 192;
		} else {
			ours[0] = peers[0] = 0xfd;
		}
		ours[15] = (uint8_t)(1 + i);
		peers[15] = (uint8_t)(2 - i);
	}
}

static inline uint32_t frames_sum(const uint8_t *p, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/*
 * An inner frame: Ethernet, `tags` VLAN tags, IPv4 or IPv6, UDP, payload_len bytes of that kind,
 * and trailer_len bytes of Ethernet padding. DSCP 10.
 */
static inline struct rte_mbuf *frames_inner(uint8_t family, unsigned tags, enum data_kind kind,
	uint32_t payload_len, uint32_t trailer_len, uint8_t ecn, uint64_t seed)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(frames_pool());
	struct pkt *pkt = pkt_of(m);
	uint32_t ip_len = (family == 4 ? 20 : 40) + 8 + payload_len, off = 12;
	uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
	uint8_t tc = (uint8_t)(10 << 2 | ecn);

	memset(pkt, 0, sizeof(*pkt));
	memset(p, 0x02, 6);
	memset(p + 6, 0x04, 6);
	for (unsigned i = 0; i < tags; i++, off += 4)
		memcpy(p + off, i == 0 && tags > 1 ? "\x88\xa8\x00\x07" : "\x81\x00\x00\x08", 4);
	memcpy(p + off, family == 4 ? "\x08\x00" : "\x86\xdd", 2);
	off += 2;
	pkt->flags = PKT_IP | PKT_UDP | (family == 6 ? PKT_IPV6 : 0);
	pkt->l3_off = (uint16_t)off;
	pkt->l3_len = (uint16_t)ip_len;
	pkt->dscp = 10;
	pkt->ecn = ecn;
	if (family == 4) {
		uint8_t ip[20] = {0x45, tc, (uint8_t)(ip_len >> 8), (uint8_t)ip_len, 0x12, 0x34,
			0x40, 0, 63, 17, 0, 0, 10, 0, 0, 1, 10, 0, 1, 1};
		uint32_t sum = ~frames_sum(ip, 20, 0);

		ip[10] = (uint8_t)(sum >> 8);
		ip[11] = (uint8_t)sum;
		memcpy(p + off, ip, 20);
		off += 20;
	} else {
		uint8_t ip[40] = {(uint8_t)(0x60 | tc >> 4), (uint8_t)(tc << 4), 0x34, 0x56,
			(uint8_t)((8 + payload_len) >> 8), (uint8_t)(8 + payload_len), 17, 63,
			0xfd};

		ip[39] = 2;
		memcpy(p + off, ip, 40);
		off += 40;
	}
	pkt->l4_off = (uint16_t)off;
	memcpy(p + off, "\x30\x39\x00\x50", 4);
	p[off + 4] = (uint8_t)((8 + payload_len) >> 8);
	p[off + 5] = (uint8_t)(8 + payload_len);
	p[off + 6] = p[off + 7] = 0;
	off += 8;
	pkt->payload_off = (uint16_t)off;
	pkt->payload_len = (uint16_t)payload_len;
	data_fill(p + off, payload_len, kind, seed);
	memset(p + off + payload_len, 0xee, trailer_len);
	m->data_len = (uint16_t)(off + payload_len + trailer_len);
	m->pkt_len = m->data_len;
	return m;
}

/* What the parser would find in a link frame that has just arrived. `outer_ecn` overwrites the ECN
 * field, as a router on the way would (its IPv4 checksum is not needed here any more). */
static inline void frames_arrived(struct rte_mbuf *m, const struct link_path *path, int outer_ecn)
{
	struct pkt *pkt = pkt_of(m);
	uint32_t l3 = link_l2_bytes(path), l4 = l3 + (path->family == 4 ? 20 : 40);
	uint8_t *ip = rte_pktmbuf_mtod_offset(m, uint8_t *, l3);

	memset(pkt, 0, sizeof(*pkt));
	pkt->flags = PKT_IP | PKT_UDP | PKT_FOR_US | PKT_LINK | (path->family == 6 ? PKT_IPV6 : 0);
	pkt->l3_off = (uint16_t)l3;
	pkt->l4_off = (uint16_t)l4;
	pkt->payload_off = (uint16_t)(l4 + 8);
	pkt->payload_len = (uint16_t)(m->data_len - l4 - 8);
	pkt->ecn = path->family == 4 ? ip[1] & 3 : ip[1] >> 4 & 3;
	if (outer_ecn >= 0)
		pkt->ecn = (uint8_t)outer_ecn;
}

#endif
