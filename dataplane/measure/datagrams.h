/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Measuring what is not TCP, from where the box stands: ICMP and ICMPv6 echo (icmp.h), DNS over UDP
 * (dns.h) and QUIC's spin bit (quic.h). Halves, ticks and threads are as in tcp.h: an answer that
 * comes from a side measures that side's half.
 *
 * Which packets: echo requests and replies; UDP with port 53 at an end; UDP with port 443 at an
 * end. No other packet's flow record is touched.
 */
#ifndef SLUICE_MEASURE_DATAGRAMS_H
#define SLUICE_MEASURE_DATAGRAMS_H

#include <stdint.h>

#include "dataplane/measure/datagrams_flow.h"
#include "dataplane/measure/histogram.h"
#include "dataplane/measure/tcp.h"

struct flow;

/* The figures of one class on one worker. Zeroed memory is the empty set. Arrays are by the side
 * that answered, as the half is. */
struct measure_datagrams {
	struct histogram echo[2], dns[2], spin[2]; /* round-trip times */
	uint64_t echo_requests[2], echo_replies[2];
	uint64_t dns_queries[2];  /* asked for the first time */
	uint64_t dns_again[2];	  /* the same query once more: the answer was late or lost */
	uint64_t dns_answers[2];  /* to queries that were seen */
	uint64_t dns_servfail[2]; /* of these: RCODE 2 (RFC 1035) */
	uint64_t dns_nxdomain[2]; /* RCODE 3 */
	uint64_t dns_timeouts[2]; /* no answer within 5 s, noticed with the flow's next packet or
				   * by measure_silent() */
};

/* Per flow, as measure_flow_view() says it of TCP. 0 in a time: never measured. */
struct measure_datagrams_view {
	uint64_t rtt_lan_min_ns, rtt_lan_last_ns;
	uint64_t rtt_wan_min_ns, rtt_wan_last_ns;
	uint64_t samples;
};

/*
 * Measure one packet that has PKT_IP and not PKT_TCP, from side `from`; `data_len` bytes from
 * `frame` on may be read. now_ns never goes back from call to call. Any field may lie: figures then
 * do as well, nothing else. Owning worker only.
 */
void measure_datagram(struct measure_datagrams_flow *f, const struct pkt *p, const uint8_t *frame,
	uint32_t data_len, enum measure_from from, uint64_t now_ns, struct measure_datagrams *c);

/* measure_datagram() for those packets of a burst that it looks at. As measure_bulk(). */
void measure_datagrams_bulk(struct rte_mbuf **pkts, unsigned n, uint64_t now_ns,
	struct measure_datagrams *classes, uint32_t count);

/* A flow of any kind is silent, or ends: count what it has waited for in vain into its class. Of no
 * effect where that is noticed already. Owning worker only. */
void measure_silent(struct flow *flow, uint64_t now_ns, struct measure_datagrams *c);

/* Read one flow's figures. Any thread, from a copy of the record (see flow.h). */
void measure_datagrams_view(
	const struct measure_datagrams_flow *f, struct measure_datagrams_view *view);

/* Add the figures of `from` to `into`, which belongs to the caller (control thread). */
void measure_datagrams_merge(struct measure_datagrams *into, const struct measure_datagrams *from);

#endif
