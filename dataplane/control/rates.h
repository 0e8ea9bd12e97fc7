/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rates of the last second, from counters that only ever grow: of classes and links, sampled once
 * a second (a part of them each millisecond if there are many), and of flows, a part of every flow
 * table each millisecond. Control thread only.
 */
#ifndef SLUICE_CONTROL_RATES_H
#define SLUICE_CONTROL_RATES_H

#include "dataplane/control/connections.h"
#include "dataplane/daemon.h"

struct rates;

/* NULL without memory. */
struct rates *rates_create(const struct daemon *d);
void rates_destroy(struct rates *rates);

/* What rates_create() will take, in bytes. */
uint64_t rates_memory_needed(const struct policy *policy);

/* Sample what is due, and show the flows to `connections`. About every millisecond. */
void rates_tick(struct rates *rates, const struct daemon *d, struct connections *connections,
	uint64_t now_ns);

/* Bit/s of a class on one bridge and way, as charged to its buckets, and what part of them was
 * borrowed. */
struct rates_class {
	uint64_t bps, borrowed_bps;
};
struct rates_class rates_class_of(
	const struct rates *rates, unsigned bridge, unsigned way, uint32_t class_id);

/* Bit/s of all classes of one bridge and way. */
uint64_t rates_link_bps(const struct rates *rates, unsigned bridge, unsigned way);

/* What all classes of one bridge and way, also those that are gone, have sent and hold. Up to some
 * thousand classes as of now, else as of the last sampling. */
struct rates_link {
	uint64_t packets, bytes, wire_bytes, backlog_packets, backlog_bytes;
};
void rates_link_sum(const struct rates *rates, const struct daemon *d, unsigned bridge,
	unsigned way, struct rates_link *sum);

/* Bit/s of a flow and way, as the hosts sent it. `copy` is a snapshot of record `i` of worker `w`.
 */
uint64_t rates_flow_bps(const struct rates *rates, unsigned worker, uint32_t i,
	const struct flow *copy, unsigned way, uint64_t now_ns);

#endif
