/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Neighbour cache of one in-path address: which MAC answers for a next hop, by ARP (RFC 826) or
 * neighbour discovery (RFC 4861, 7.3). Pure: time is an argument, frames are built by inpath.c,
 * which asks neighbour_tick() what to send.
 */
#ifndef SLUICE_CONTROL_NEIGHBOUR_H
#define SLUICE_CONTROL_NEIGHBOUR_H

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/policy/policy.h"

#define NEIGHBOUR_MAX 64

/*
 * unused -> incomplete: asked for, never heard of; reachable: heard of within 30 s; stale: known,
 * but old: still used, and use starts a probe; probe: known and being asked again; failed: asked
 * in vain, asked again after a back-off that doubles to 32 s.
 */
enum neighbour_state {
	NEIGHBOUR_UNUSED,
	NEIGHBOUR_INCOMPLETE,
	NEIGHBOUR_REACHABLE,
	NEIGHBOUR_STALE,
	NEIGHBOUR_PROBE,
	NEIGHBOUR_FAILED,
};

struct neighbour {
	struct policy_address address;
	uint8_t mac[6];
	uint8_t state;	   /* enum neighbour_state */
	uint8_t asked;	   /* requests sent since the last answer */
	uint64_t used_ns;  /* last lookup: the longest unused is replaced first */
	uint64_t heard_ns; /* last proof that it is there */
	uint64_t next_ns;  /* when the next request may be sent */
};

struct neighbour_cache {
	struct neighbour entry[NEIGHBOUR_MAX];
	uint64_t evicted; /* entries replaced while still wanted */
};

/* A request to send: multicast or broadcast, or to the known MAC when unicast is set. */
struct neighbour_ask {
	struct policy_address address;
	bool unicast;
	uint8_t mac[6];
};

void neighbour_init(struct neighbour_cache *cache);

/*
 * The MAC of an on-link address. 0 and mac; -EAGAIN when it is not known (yet): resolution was
 * started and neighbour_tick() will ask.
 */
int neighbour_lookup(struct neighbour_cache *cache, const struct policy_address *address,
	uint64_t now_ns, uint8_t mac[6]);

/*
 * An address was heard with this MAC. solicited: in an answer to a request of ours, which proves
 * that it hears us; else it fills an entry that has no MAC, or a changed MAC, as stale. create:
 * make an entry if there is none (a host that asks for us), never at the cost of one that was
 * looked up. Multicast and zero MACs are ignored.
 */
void neighbour_heard(struct neighbour_cache *cache, const struct policy_address *address,
	const uint8_t mac[6], bool solicited, bool create, uint64_t now_ns);

/* The next request that is due, or false. Call until false; about every 100 ms and after a lookup
 * that gave -EAGAIN. */
bool neighbour_tick(struct neighbour_cache *cache, uint64_t now_ns, struct neighbour_ask *ask);

/* The entry of an address, NULL if there is none. For show commands and tests. */
const struct neighbour *neighbour_find(
	const struct neighbour_cache *cache, const struct policy_address *address);

#endif
