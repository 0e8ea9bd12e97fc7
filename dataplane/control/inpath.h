/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bridge's in-path address: a very small IP host for ARP, neighbour discovery and ping, and
 * the builder of UDP frames (hellos) from that address to a peer. Runs on the control thread on
 * frames that the workers punt (PKT_FOR_US); pure functions over byte buffers, no DPDK, no clock.
 */
#ifndef SLUICE_CONTROL_INPATH_H
#define SLUICE_CONTROL_INPATH_H

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/policy/policy.h"
#include "dataplane/control/neighbour.h"

/* Sides of the bridge, as emitted to and received from. */
enum inpath_side { INPATH_LAN = 0, INPATH_WAN = 1 };

/* Longest frame that inpath builds or answers: a jumbo IP packet with one tag. */
#define INPATH_FRAME_MAX (14 + 4 + 9000)

struct inpath_config {
	struct policy_prefix address4, address6; /* family 0: none */
	struct policy_address gateway4, gateway6;
	uint16_t vlan;	/* 0: untagged */
	uint8_t mac[6]; /* the WAN port's */
};

struct inpath_counters {
	uint64_t arp_answered, nd_answered, echo_answered;
	uint64_t ignored;   /* frames that were not for the address, or not understood */
	uint64_t bad;	    /* wrong checksum or lengths */
	uint64_t limited;   /* echo requests beyond 1,000 a second, left unanswered */
	uint64_t requests;  /* ARP requests and neighbour solicitations sent */
	uint64_t conflicts; /* another host says that it has the address */
};

/*
 * A router's word that a datagram of ours to dst was too long for it: ICMP "fragmentation needed"
 * (RFC 1191) or ICMPv6 "packet too big" (RFC 8201) that quotes UDP from the in-path address. Anyone
 * who knows the addresses and ports can say that: to be believed within bounds only.
 */
struct inpath_too_big {
	struct policy_address dst; /* family 0: nothing heard */
	uint16_t sport, dport;	   /* host order */
	uint16_t len;		   /* of the datagram's IP packet */
	uint16_t mtu;		   /* what would fit; below len, 0: not said */
};

struct inpath {
	struct inpath_config config;
	uint8_t link_local[16]; /* fe80::/64 address made from the MAC (RFC 4291, appendix A) */
	struct neighbour_cache neighbours;
	uint64_t announce_ns; /* when the next announcement is due */
	uint8_t announcements_left;
	uint64_t defended_ns; /* last answer to a conflict */
	uint16_t ip_id;
	uint64_t echo_tat_ns; /* token bucket of the answers to pings (virtual time) */
	struct inpath_counters counters;
	struct inpath_too_big
		too_big; /* the last one heard; the owner takes it and sets dst.family 0 */
	uint8_t frame[INPATH_FRAME_MAX]; /* being built */
};

/* Takes a frame to send out of a port of the bridge: valid during the call only. */
typedef void inpath_emit(void *ctx, int side, const uint8_t *frame, uint32_t len);

/* The configuration of a bridge's in-path address; false when it has none. */
bool inpath_config_of(
	struct inpath_config *config, const struct policy_bridge *bridge, const uint8_t wan_mac[6]);

/* now_ns: announcements (gratuitous ARP, unsolicited NA) are due from now on. */
void inpath_init(struct inpath *ip, const struct inpath_config *config, uint64_t now_ns);

/* Whether a frame's destination MAC and VLAN could be ours at all: cheap check for the punting
 * side. True also for broadcast ARP and for solicited-node multicast. */
bool inpath_wants(const struct inpath_config *config, const uint8_t *frame, uint32_t len);

/*
 * One frame that came in on `side` (no FCS). Answers go out of the same side. Returns 1 when the
 * frame was for the in-path address alone and is done with, 0 when it was none of ours or others
 * must see it too (broadcast ARP, multicast), -EBADMSG when it was for us but malformed. Any bytes
 * are safe.
 */
int inpath_input(struct inpath *ip, int side, const uint8_t *frame, uint32_t len, uint64_t now_ns,
	inpath_emit *emit, void *ctx);

/* Send what is due: announcements, ARP requests, neighbour solicitations. About every 100 ms. */
void inpath_tick(struct inpath *ip, uint64_t now_ns, inpath_emit *emit, void *ctx);

/* The MAC to send to for an address: of the address itself if it is on-link, else of the gateway.
 * false while it is not known; resolution is started then and inpath_tick() asks. */
bool inpath_next_hop_mac(
	struct inpath *ip, const struct policy_address *dst, uint8_t mac[6], uint64_t now_ns);

/*
 * Build a UDP datagram from the in-path address: whole frame with the VLAN tag, don't-fragment,
 * both checksums. Ports in host order. Returns the frame's length; -EAGAIN while the next hop is
 * being resolved (the requests due are emitted); -EHOSTUNREACH without an address or route of that
 * family; -EMSGSIZE when it does not fit into size or 65,535 bytes.
 */
int inpath_build_udp(struct inpath *ip, const struct policy_address *dst, uint16_t sport,
	uint16_t dport, uint8_t dscp, const uint8_t *payload, uint32_t payload_len, uint8_t *frame,
	uint32_t size, uint64_t now_ns, inpath_emit *emit, void *ctx);

#endif
