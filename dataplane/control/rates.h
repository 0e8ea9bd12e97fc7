/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rates of the last second, from counters that only ever grow: of classes and links, sampled once
 * a second, and of flows, a part of every flow table each millisecond. Control thread only.
 */
#ifndef SLUICE_CONTROL_RATES_H
#define SLUICE_CONTROL_RATES_H

#include "dataplane/daemon.h"

struct rates;

/* NULL without memory. */
struct rates *rates_create(const struct daemon *d);
void rates_destroy(struct rates *rates);

/* Sample what is due. About every millisecond. */
void rates_tick(struct rates *rates, const struct daemon *d, uint64_t now_ns);

/* Bit/s of a class on one bridge and way, as charged to its buckets. */
uint64_t rates_class_bps(
	const struct rates *rates, unsigned bridge, unsigned way, uint32_t class_id);

/* Bit/s of all classes of one bridge and way. */
uint64_t rates_link_bps(const struct rates *rates, unsigned bridge, unsigned way);

/* Bit/s of a flow and way, as the hosts sent it. `copy` is a snapshot of record `i` of worker `w`.
 */
uint64_t rates_flow_bps(const struct rates *rates, unsigned worker, uint32_t i,
	const struct flow *copy, unsigned way, uint64_t now_ns);

#endif
