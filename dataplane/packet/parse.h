/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From the bytes of a frame to struct pkt (packet.h): link-layer headers, IP, ports, flow key and
 * its hash. The first stage behind receive, and again for what comes out of a link frame.
 */
#ifndef SLUICE_PACKET_PARSE_H
#define SLUICE_PACKET_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "dataplane/packet/packet.h"

/* Layers between Ethernet and IP (tags, labels, PPPoE), and IPv6 extension headers, walked at
 * most: more of them is PASS_ENCAP_DEPTH. */
#define PARSE_ENCAP_MAX 8
#define PARSE_EXTENSIONS_MAX 8

/* What parsing has to know of the port that the packets came from. Written by the control thread
 * before the worker starts or between two bursts, read by the worker. */
struct parse_context {
	uint64_t hash_seed; /* secret: random at every start of the daemon, the same on all workers
			     */
	enum way way;
	uint8_t bridge; /* 0..63 */
	bool has_in_path6;
	uint16_t link_port;    /* UDP port of the peer link, network order; 0: no link */
	uint16_t in_path_vlan; /* VLAN ID of the in-path addresses; 0: untagged */
	uint32_t in_path4;     /* in-path IPv4 address, network order; 0: none */
	uint8_t in_path6[16];
	uint8_t in_path_mac[6]; /* Ethernet address that the in-path addresses are announced with */
};

/*
 * Fill struct pkt of each of n received packets. Never fails: what is not understood has no PKT_IP
 * and says why in `reason`. Sets everything up to wire_bytes (to the frame's length), and flow,
 * charged_bytes, queued_ns and next to 0; out_port is left alone. Flags are set anew, so a caller
 * that parses a decoded packet adds PKT_DECODED and its wire_bytes afterwards.
 *
 *  - Fragments: PKT_FRAGMENT, key without ports and with FLOW_KEY_FRAGMENT, reason PASS_FRAGMENT.
 *  - TCP or UDP headers that contradict themselves: PKT_IP with a key without ports, PASS_BAD_L4.
 *  - MPLS says nothing of what it carries: IPv4 or IPv6 is guessed by the first nibble and believed
 *    only if lengths (and the IPv4 header checksum) agree; else it is a pseudowire, PASS_NOT_IP.
 *  - PKT_FOR_US: IP to an in-path address on its VLAN; ARP whose target it is; neighbour
 *    solicitations for it, also by multicast; neighbour advertisements to its Ethernet address.
 *  - PKT_LINK: also unfragmented UDP to link_port whose UDP length and IP length agree:
 *    payload_off and payload_len span the UDP payload. Without PKT_FOR_US: unfragmented IPComp with
 *    a private-use CPI straight behind an IP header without options, on the way down of a bridge
 *    with a link; payload_off is the IPComp header.
 *
 * Reads no byte behind the first segment's data_len. Worker thread; no other state than *ctx.
 */
void packet_parse_bulk(
	struct rte_mbuf **pkts, unsigned n, const struct parse_context *ctx, uint64_t rx_ns);

/* The hash that packet_parse_bulk() puts into pkt.hash for this key and parse_context.hash_seed: a
 * keyed universal hash, see headers.h. Any thread; slower than parsing, as it expands the seed. */
uint64_t packet_key_hash(const struct flow_key *key, uint64_t seed);

/* The innermost VLAN ID of a frame, 0 without a tag: what rules match, where flow_key.vlan mixes
 * the IDs of several tags. Reads the frame, so meant for first packets only. */
uint16_t packet_vlan_id(const struct rte_mbuf *m);

#endif
