/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What icmp.c, dns.c and quic.c share, and their entries. Private to measure/; datagrams.h is the
 * manual. `now` is in ticks of 64 ns.
 */
#ifndef SLUICE_MEASURE_DATAGRAMS_PRIVATE_H
#define SLUICE_MEASURE_DATAGRAMS_PRIVATE_H

#include <stdbool.h>

#include "dataplane/measure/datagrams.h"

#define TICK_SHIFT 6
#define TICKS(ns) ((uint32_t)((ns) >> TICK_SHIFT))
#define ANSWER_TICKS TICKS(UINT64_C(30000000000)) /* an answer after so long is none */

/* Ticks from `tick` to now, if that was less than 275 s ago. */
static inline uint32_t ticks_since(uint64_t now, uint32_t tick)
{
	return (uint32_t)now - tick;
}

/* The host on side `from` answered within so many ticks. */
static inline void datagrams_sample(struct measure_datagrams_flow *f, struct histogram *h,
	enum measure_from from, uint32_t ticks)
{
	uint32_t at_least_one = ticks > 0 ? ticks : 1;

	if (ticks > ANSWER_TICKS)
		return;
	histogram_record(h, (uint64_t)ticks << TICK_SHIFT);
	f->samples++;
	f->rtt_last[from] = at_least_one;
	if (f->rtt_min[from] == 0 || at_least_one < f->rtt_min[from])
		f->rtt_min[from] = at_least_one;
}

/* An ICMP or ICMPv6 packet of `len` bytes at `icmp`. icmp.c. */
void measure_echo(struct measure_datagrams_flow *f, const uint8_t *icmp, uint32_t len, bool ipv6,
	enum measure_from from, uint64_t now, struct measure_datagrams *c);

/* A UDP payload to or from port 53, or both. dns.c. */
void measure_dns(struct measure_datagrams_flow *f, const uint8_t *dns, uint32_t len, bool to_server,
	bool from_server, enum measure_from from, uint64_t now, struct measure_datagrams *c);

/* Nobody waits any more for the answers to queries of long ago, or to all: count them. dns.c. */
void measure_dns_time_out(
	struct measure_dns *d, bool all, uint64_t now, struct measure_datagrams *c);

/* A UDP payload to or from port 443. quic.c. */
void measure_quic(struct measure_datagrams_flow *f, const uint8_t *quic, uint32_t len,
	enum measure_from from, uint64_t now, struct measure_datagrams *c);

#endif
