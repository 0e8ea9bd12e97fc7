/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cycles a packet that measure_datagrams_bulk() and measure_transaction() add to the measure stage,
 * with few flows and with many in random order: TCP data and ACKs where the same side goes
 * on speaking, TCP where every packet is a turn, UDP of no known port, DNS. No EAL: bursts of 32 in
 * plain memory, as the flow stage leaves them. The cost of a loop over the packets is included.
 */
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_cycles.h>

#include "dataplane/flow/flow.h"
#include "dataplane/measure/datagrams.h"
#include "dataplane/measure/transactions.h"

#define BURST 32
#define SLOTS 64
#define ROUNDS 300
#define FLOWS_MAX 1000000u

struct buffer {
	struct rte_mbuf m;
	struct pkt p;
	uint8_t bytes[64];
};

enum traffic { BULK_TCP, TURNS_TCP, UDP, DNS, TRAFFICS };
static const char *const names[TRAFFICS] = {
	"TCP, one side speaks", "TCP, every packet a turn", "UDP", "DNS"};

static struct buffer *buffers;
static struct flow *flows;
static struct rte_mbuf *pkts[SLOTS][BURST];
static struct measure_datagrams datagrams[2];
static struct measure_transactions turns[2];
static uint32_t cycles[ROUNDS * SLOTS];
static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void fill(enum traffic traffic, uint32_t flow_count)
{
	static uint16_t id;

	for (unsigned i = 0; i < SLOTS * BURST; i++) {
		struct buffer *b = &buffers[i];
		struct flow *f = &flows[((next_random() >> 32) * flow_count) >> 32];
		struct pkt *p = &b->p;

		memset(p, 0, sizeof(*p));
		p->flow = f;
		p->flags = PKT_IP | (traffic <= TURNS_TCP ? PKT_TCP : PKT_UDP);
		p->key.proto = traffic <= TURNS_TCP ? 6 : 17;
		p->key.port[1] = RTE_BE16(traffic == DNS ? 53 : 4000);
		p->payload_len = 60;
		p->tcp_flags = TH_ACK;
		p->dir = 0;
		if (traffic == BULK_TCP && next_random() % 3 == 0) {
			p->dir = 1; /* an ACK of the other side */
			p->payload_len = 0;
		}
		if (traffic == TURNS_TCP)
			p->dir = !(f->flags & FLOW_SAID_WAN);
		id++;
		b->bytes[0] = (uint8_t)(id >> 8);
		b->bytes[1] = (uint8_t)id;
		b->bytes[2] = 1;
	}
}

static int ascending(const void *a, const void *b)
{
	return (*(const uint32_t *)a > *(const uint32_t *)b) -
	       (*(const uint32_t *)a < *(const uint32_t *)b);
}

/* As measure_bulk() does. */
static unsigned transactions(unsigned s, uint64_t now_ns)
{
	unsigned others = 0;

	for (unsigned i = 0; i < BURST; i++) {
		struct pkt *p = pkt_of(pkts[s][i]);
		enum measure_from from = (enum measure_from)(p->dir ^ p->flow->lan_dir);

		if (!(p->flags & PKT_TCP))
			others++;
		else if (transactions_concern(p->flow, p, from))
			measure_transaction(p->flow, p, buffers[s * BURST + i].bytes,
				sizeof(buffers->bytes), now_ns, &turns[0]);
	}
	return others;
}

/* The median burst. */
static double measure(enum traffic traffic, uint32_t flow_count)
{
	uint64_t now_ns = 1000000000;
	unsigned n = 0;

	memset(flows, 0, flow_count * sizeof(*flows));
	for (uint32_t i = 0; traffic == BULK_TCP && i < flow_count; i++)
		flows[i].flags = FLOW_SAID;
	for (unsigned round = 0; round < ROUNDS; round++) {
		fill(traffic, flow_count);
		for (unsigned s = 0; s < SLOTS; s++) {
			uint64_t start;

			/* The flow stage has touched the first line of each. */
			for (unsigned i = 0; i < BURST; i++)
				__builtin_prefetch(buffers[s * BURST + i].p.flow, 1);
			for (unsigned i = 0; i < BURST; i++)
				*(volatile uint32_t *)&buffers[s * BURST + i].p.flow->class_id;
			now_ns += 1000;
			start = rte_rdtsc_precise();
			if (transactions(s, now_ns) > 0)
				measure_datagrams_bulk(pkts[s], BURST, now_ns, datagrams, 1);
			cycles[n++] = (uint32_t)(rte_rdtsc_precise() - start);
		}
	}
	qsort(cycles, n, sizeof(cycles[0]), ascending);
	return (double)cycles[n / 2] / BURST;
}

int main(void)
{
	buffers = aligned_alloc(64, sizeof(*buffers) * SLOTS * BURST);
	flows = aligned_alloc(64, sizeof(*flows) * FLOWS_MAX);
	if (buffers == NULL || flows == NULL)
		return 1;
	memset(buffers, 0, sizeof(*buffers) * SLOTS * BURST);
	for (unsigned i = 0; i < SLOTS * BURST; i++) {
		struct rte_mbuf *m = &buffers[i].m;

		m->priv_size = sizeof(struct pkt);
		m->buf_addr = buffers[i].bytes;
		m->data_len = sizeof(buffers[i].bytes);
		pkts[i / BURST][i % BURST] = m;
	}
	printf("%-26s %12s %12s   cycles a packet\n", "", "1,000 flows", "1,000,000");
	for (enum traffic t = 0; t < TRAFFICS; t++)
		printf("%-26s %12.1f %12.1f\n", names[t], measure(t, 1000), measure(t, FLOWS_MAX));
	free(flows);
	free(buffers);
	return 0;
}
