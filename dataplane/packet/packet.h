/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the appliance knows of one packet: struct pkt, kept in the private area behind every mbuf
 * (the pools are created with priv_size = sizeof(struct pkt)). parse.h fills it, every later stage
 * reads it. Packets are always one segment: the pools' buffers hold the largest frame.
 */
#ifndef SLUICE_PACKET_PACKET_H
#define SLUICE_PACKET_PACKET_H

#include <assert.h>
#include <stdint.h>

#include <rte_mbuf.h>

struct flow;

/* Which way a packet goes through the bridge. Also the index of every per-way array. */
enum way { WAY_UP = 0 /* LAN to WAN */, WAY_DOWN = 1 /* WAN to LAN */, WAYS = 2 };

/*
 * Identity of a flow, the same for both of its directions: the endpoints stand in ascending order
 * of their bytes. An IPv4 address is written as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2). Fragments and
 * protocols without ports have ports 0. Compared and hashed as 40 bytes: no padding.
 */
struct flow_key {
	uint8_t addr[2][16];
	uint16_t port[2]; /* network order; ICMP echo: port[0] is the identifier, port[1] is 0 */
	uint16_t vlan;    /* VLAN IDs of the frame's tags: inner ^ outer << 4; 0 without a tag */
	uint8_t proto;    /* IP protocol, the last of an IPv6 header chain */
	uint8_t scope;    /* bridge index, | FLOW_KEY_IPV6, | FLOW_KEY_FRAGMENT */
};
#define FLOW_KEY_IPV6 0x80
#define FLOW_KEY_FRAGMENT 0x40
static_assert(sizeof(struct flow_key) == 40, "flow keys are compared as 40 bytes");

/* struct pkt.flags */
#define PKT_IP 0x0001       /* an IP packet: key, hash and the l3 fields are valid */
#define PKT_IPV6 0x0002
#define PKT_TCP 0x0004      /* unfragmented, whole TCP header: l4 fields valid */
#define PKT_UDP 0x0008      /* unfragmented, whole UDP header: l4 fields valid */
#define PKT_FRAGMENT 0x0010 /* an IP fragment, first or later */
#define PKT_TCP_TS 0x0020   /* tcp_tsval and tcp_tsecr are valid */
#define PKT_FOR_US 0x0040   /* addressed to the bridge's in-path address */
#define PKT_LINK 0x0080     /* a link frame of a peer, not yet decoded; without PKT_FOR_US: IPComp
			     * that may be one */
#define PKT_DECODED 0x0100  /* came out of a link frame */
#define PKT_LLBCAST 0x0200  /* link-layer broadcast or multicast */
#define PKT_ENCAPSULATED 0x0400 /* VLAN, MPLS or PPPoE between Ethernet and IP */
#define PKT_STEERED 0x0800  /* came through a steering ring: this worker owns its flow */
#define PKT_NO_L2 0x1000    /* decoded on a routed link: its link-layer header is still to be written */
#define PKT_RETRANSMIT 0x2000 /* TCP: repeats data that this worker has passed on; set by measure */

#define PKT_TCP_OPTIONS 0x4000 /* TCP: has options other than timestamps */
#define PKT_PACKED 0x8000 /* in a link frame behind others, which bear its overhead: see wire_bytes */

#define PKT_LENDER_LINK 15u

struct pkt {
	/* Cache line 0: identity */
	struct flow_key key;
	uint64_t hash;     /* keyed hash of key; equal for both directions */
	struct flow *flow; /* set by the flow stage, never NULL after it */
	uint64_t rx_ns;    /* when it was received (clock.h) */

	/* Cache line 1: headers. Offsets count from the start of the frame. */
	uint16_t flags;
	uint16_t l3_off;      /* IP header */
	uint16_t l4_off;      /* TCP, UDP, ICMP... header; behind IPv6 extension headers */
	uint16_t payload_off; /* behind the TCP or UDP header, else l4_off */
	uint16_t payload_len; /* by the IP header's total length: Ethernet padding excluded */
	uint16_t l3_len;      /* the whole IP packet, from l3_off on */
	uint16_t steer_hash;  /* decides the owning worker; see steer.h */
	uint8_t reason;       /* enum reason: why parsing gave up, or REASON_NONE */
	uint8_t dir;          /* 0: the source is key.addr[0]; 1: it is key.addr[1] */
	uint8_t way;          /* enum way */
	uint8_t bridge;
	uint8_t dscp;
	uint8_t ecn : 2;
	uint8_t by_timer : 1; /* PKT_RETRANSMIT: a timer of its sender ran out; set by measure */
	uint8_t tcp_flags;
	uint8_t out_port;     /* index of the port to leave by */
	uint16_t tcp_window;  /* as sent, unscaled */
	uint32_t tcp_seq, tcp_ack;
	uint32_t tcp_tsval, tcp_tsecr;
	uint16_t wire_bytes;  /* bytes it takes or took on the WAN (no FCS, no overhead): the frame's
			       * length, or the link frame's if it came or goes in one, or its
			       * part of one that holds several packets */
	uint16_t charged_bytes; /* what the buckets were charged, overhead included */
	uint32_t class_id : 28; /* the class that was charged; set by shape/ */
	uint32_t lender : 4;    /* levels above the class, from where on assured rates were charged;
				 * PKT_LENDER_LINK: from none. Set by shape/ */
	uint64_t queued_ns;     /* when shape/ put it into a queue (CoDel, queue delay) */
	union {
		const uint8_t *tcp; /* PKT_TCP, from parse to measure: the header, whole */
		struct rte_mbuf *next; /* then: next in a queue of shape/ */
	};
};
static_assert(sizeof(struct pkt) == 128, "two cache lines behind the mbuf");

static inline struct pkt *pkt_of(const struct rte_mbuf *m)
{
	return (struct pkt *)rte_mbuf_to_priv((struct rte_mbuf *)(uintptr_t)m);
}

#endif
