/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finds the packets that icmp.c, dns.c and quic.c look at, and sums up what they found. datagrams.h
 * is the manual.
 */
#include <netinet/in.h>

#include <rte_byteorder.h>
#include <rte_prefetch.h>

#include "dataplane/flow/flow.h"
#include "dataplane/measure/datagrams_private.h"
#include "dataplane/packet/packet.h"

#define PORT_DNS RTE_BE16(53)
#define PORT_QUIC RTE_BE16(443)
#define EPOCH(ticks) ((uint8_t)((ticks) >> 30)) /* 69 s */
#define BURST_MAX 64u

enum kind { KIND_NONE, KIND_ECHO, KIND_DNS, KIND_QUIC };

static inline bool has_port(const struct flow_key *key, uint16_t port)
{
	return key->port[0] == port || key->port[1] == port;
}

/* Of a packet without PKT_TCP. By the key alone: nearly all others end here. */
static inline enum kind kind_of(const struct pkt *p)
{
	if (p->flags & PKT_UDP) {
		if (has_port(&p->key, PORT_DNS))
			return KIND_DNS;
		return has_port(&p->key, PORT_QUIC) ? KIND_QUIC : KIND_NONE;
	}
	if (!(p->flags & PKT_IP) || p->flags & PKT_FRAGMENT)
		return KIND_NONE;
	return p->key.proto == (p->flags & PKT_IPV6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) ? KIND_ECHO
										     : KIND_NONE;
}

/* After more than a minute without a packet nothing waits any more, and ticks may have begun anew.
 */
static void forget_old(
	struct measure_datagrams_flow *f, enum kind kind, uint64_t now, struct measure_datagrams *c)
{
	uint8_t epochs = (uint8_t)(EPOCH(now) - f->epoch);

	f->epoch = EPOCH(now);
	if (epochs <= 1)
		return;
	if (kind == KIND_ECHO)
		f->echo.waiting = 0;
	else if (kind == KIND_DNS)
		measure_dns_time_out(&f->dns, true, now, c);
	else
		f->quic.good = 0;
}

static void measure_kind(struct measure_datagrams_flow *f, const struct pkt *p,
	const uint8_t *frame, uint32_t data_len, enum kind kind, enum measure_from from,
	uint64_t now, struct measure_datagrams *c)
{
	uint32_t len = p->payload_len, there = data_len - p->payload_off;
	const uint8_t *payload = frame + p->payload_off;

	if (data_len < p->payload_off)
		return;
	if (len > there)
		len = there;
	forget_old(f, kind, now, c);
	if (kind == KIND_ECHO)
		measure_echo(f, payload, len, p->flags & PKT_IPV6, from, now, c);
	else if (kind == KIND_DNS)
		measure_dns(f, payload, len, p->key.port[!p->dir] == PORT_DNS,
			p->key.port[p->dir] == PORT_DNS, from, now, c);
	else
		measure_quic(f, payload, len, from, now, c);
}

void measure_datagram(struct measure_datagrams_flow *f, const struct pkt *p, const uint8_t *frame,
	uint32_t data_len, enum measure_from from, uint64_t now_ns, struct measure_datagrams *c)
{
	enum kind kind = kind_of(p);

	if (kind != KIND_NONE)
		measure_kind(f, p, frame, data_len, kind, from, now_ns >> TICK_SHIFT, c);
}

void measure_datagrams_bulk(struct rte_mbuf **pkts, unsigned n, uint64_t now_ns,
	struct measure_datagrams *classes, uint32_t count)
{
	struct rte_mbuf *found[BURST_MAX];
	enum kind kinds[BURST_MAX];
	unsigned some = 0;

	for (; n > BURST_MAX; n -= BURST_MAX, pkts += BURST_MAX)
		measure_datagrams_bulk(pkts, BURST_MAX, now_ns, classes, count);
	for (unsigned i = 0; i < n; i++) {
		const struct pkt *p = pkt_of(pkts[i]);

		if (__builtin_expect(p->flags & PKT_TCP, 1))
			continue;
		kinds[some] = kind_of(p);
		if (kinds[some] == KIND_NONE || p->flow->flags & FLOW_OTHER)
			continue;
		rte_prefetch0(&p->flow->datagrams);
		rte_prefetch0((const uint8_t *)&p->flow->datagrams + 64);
		found[some++] = pkts[i];
	}
	for (unsigned i = 0; i < some; i++) {
		const struct pkt *p = pkt_of(found[i]);
		struct flow *flow = p->flow;
		enum measure_from from = p->dir == flow->lan_dir ? FROM_LAN : FROM_WAN;

		measure_kind(&flow->datagrams, p, rte_pktmbuf_mtod(found[i], const uint8_t *),
			found[i]->data_len, kinds[i], from, now_ns >> TICK_SHIFT,
			&classes[flow->class_id < count ? flow->class_id : count]);
	}
}

void measure_silent(struct flow *flow, uint64_t now_ns, struct measure_datagrams *c)
{
	struct measure_datagrams_flow *f = &flow->datagrams;
	uint64_t now = now_ns >> TICK_SHIFT;

	if (flow->key.proto == IPPROTO_UDP && has_port(&flow->key, PORT_DNS) && f->dns.waiting != 0)
		measure_dns_time_out(&f->dns, (uint8_t)(EPOCH(now) - f->epoch) > 1, now, c);
}

void measure_datagrams_view(
	const struct measure_datagrams_flow *f, struct measure_datagrams_view *view)
{
	*view = (struct measure_datagrams_view){
		.rtt_lan_min_ns = (uint64_t)f->rtt_min[FROM_LAN] << TICK_SHIFT,
		.rtt_lan_last_ns = (uint64_t)f->rtt_last[FROM_LAN] << TICK_SHIFT,
		.rtt_wan_min_ns = (uint64_t)f->rtt_min[FROM_WAN] << TICK_SHIFT,
		.rtt_wan_last_ns = (uint64_t)f->rtt_last[FROM_WAN] << TICK_SHIFT,
		.samples = f->samples,
	};
}

void measure_datagrams_merge(struct measure_datagrams *into, const struct measure_datagrams *from)
{
#define ADD(field) into->field += __atomic_load_n(&from->field, __ATOMIC_RELAXED)
	for (unsigned side = 0; side < 2; side++) {
		histogram_merge(&into->echo[side], &from->echo[side]);
		histogram_merge(&into->dns[side], &from->dns[side]);
		histogram_merge(&into->spin[side], &from->spin[side]);
		ADD(echo_requests[side]);
		ADD(echo_replies[side]);
		ADD(dns_queries[side]);
		ADD(dns_again[side]);
		ADD(dns_answers[side]);
		ADD(dns_servfail[side]);
		ADD(dns_nxdomain[side]);
		ADD(dns_timeouts[side]);
	}
#undef ADD
}
