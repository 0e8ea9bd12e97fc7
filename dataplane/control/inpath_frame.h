/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside inpath only: the frames that the in-path address sends. inpath_frame.c builds them,
 * inpath.c decides which and reads what comes in; inpath.h is what others use of both.
 */
#ifndef SLUICE_CONTROL_INPATH_FRAME_H
#define SLUICE_CONTROL_INPATH_FRAME_H

#include "dataplane/control/inpath.h"

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
#define ND_NS 135
#define ND_NA 136
#define OPTION_SOURCE_MAC 1
#define OPTION_TARGET_MAC 2

static inline uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline const uint8_t *v4(const struct policy_address *a)
{
	return a->bytes + 12;
}

/* Checksum of len bytes (at most 65,535) as in IPv4, UDP and ICMP; 0 over bytes that hold a right
 * one. */
uint16_t inpath_checksum(const uint8_t *p, uint32_t len);

/* Checksum over the pseudo-header of either family and len bytes of payload. */
uint16_t inpath_checksum_with_addresses(const uint8_t *src, const uint8_t *dst,
	uint32_t address_len, uint8_t proto, const uint8_t *payload, uint32_t len);

/* Whether we would resolve this address on the link itself. */
bool inpath_on_link(const struct inpath_config *c, const struct policy_address *address);

/* Ethernet header and our tag; returns the offset of what follows. */
uint32_t inpath_put_ethernet(
	const struct inpath_config *c, uint8_t *frame, const uint8_t dst[6], uint16_t type);

/* Fill up to the shortest frame; returns the length then. */
uint32_t inpath_pad(uint8_t *frame, uint32_t len);

/* IP headers without options; len is the whole packet's, payload_len without the header. */
void inpath_put_ipv4(uint8_t *p, uint16_t len, uint8_t tos, uint16_t id, uint8_t proto,
	const uint8_t *src, const uint8_t *dst);
void inpath_put_ipv6(uint8_t *p, uint16_t payload_len, uint8_t traffic_class, uint8_t hop_limit,
	uint8_t proto, const uint8_t *src, const uint8_t *dst);

/* An ARP request (operation 1) or answer (2) from our IPv4 address. */
void inpath_emit_arp(struct inpath *ip, int side, uint16_t operation, const uint8_t dst_mac[6],
	const uint8_t target_mac[6], const uint8_t *target, inpath_emit *emit, void *ctx);

/* A neighbour solicitation or advertisement with our MAC as its option. */
void inpath_emit_nd(struct inpath *ip, int side, uint8_t type, uint8_t flags,
	const uint8_t dst_mac[6], const uint8_t *src, const uint8_t *dst, const uint8_t *target,
	inpath_emit *emit, void *ctx);

/* Send the requests of the neighbour cache that are due, out of the WAN port. */
void inpath_ask_neighbours(struct inpath *ip, uint64_t now_ns, inpath_emit *emit, void *ctx);

#endif
