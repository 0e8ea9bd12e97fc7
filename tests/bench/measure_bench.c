/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cycles a packet that measure_bulk() takes: TCP data one way and ACKs the other, all in order,
 * with few flows and with many in random order. Off: the same bursts past a stage that only counts
 * them by class. On: past that and measure_bulk().
 *
 *     tests/bench/run --only measure       or measure_bench
 *
 * No EAL: bursts of 32 in plain memory, as the flow stage leaves them.
 */
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/mman.h>

#include <rte_cycles.h>

#include "dataplane/flow/flow.h"
#include "dataplane/measure/inflight.h"
#include "dataplane/measure/tcp.h"
#include "dataplane/measure/transactions.h"

#define BURST 32
#define CLASSES 4
#define SLOTS 64 /* bursts in memory at a time */
#define ROUNDS 200
#define FLOWS_MAX 1000000u
#define SEGMENT 1448
#define WINDOW 40	/* segments that stay under way, of few flows; */
#define WINDOW_MANY 0	/* of so many that each sends a packet in 10 ms and more */
#define RUNS (1u << 18) /* for segments in flight: what a worker has for 1,000,000 flows */
#define STORE_BYTES ((size_t)34 << 20)

struct buffer {
	struct rte_mbuf m;
	struct pkt p;
};

/* What the generator knows of a flow; small, or it would be measured itself. */
struct peer {
	uint32_t next, acked;
};

static uint32_t burst_cycles[ROUNDS * SLOTS];

static struct buffer *buffers;
static struct flow *flows;
static struct peer *peers;
static struct measure_class *classes; /* and one for the classes beyond them */
static struct measure_transactions transactions[CLASSES + 1];
static void *store;
static struct rte_mbuf *pkts[SLOTS][BURST];
static uint64_t random_state = 88172645463325252u;
static uint64_t now_ns = 1000000000;
static uint64_t acks; /* made so far */

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* The next packet of flow n: data, or the ACK of what was sent a window ago. */
static void make(struct pkt *p, uint32_t n, bool data)
{
	struct peer *peer = &peers[n];

	p->flow = &flows[n];
	p->tcp_tsval = (uint32_t)(now_ns / 1000000);
	p->tcp_tsecr = p->tcp_tsval - 20;
	p->payload_len = data ? SEGMENT : 0;
	p->tcp_seq = data ? peer->next : 1;
	if (data)
		peer->next += SEGMENT;
	else
		peer->acked += 2 * SEGMENT;
	p->tcp_ack = data ? 1 : peer->acked;
	acks += !data;
}

/*
 * Flows in random order, half of them downloads, half uploads, each with an ACK for every second
 * segment: as soon as it can be, where there are so many flows that a round trip passes between the
 * packets of one, else a window later. So two packets in three are data.
 */
static void fill(uint32_t flow_count)
{
	uint32_t window = (flow_count > 10000 ? WINDOW_MANY : WINDOW) * SEGMENT;

	for (unsigned i = 0; i < SLOTS * BURST; i++) {
		uint32_t n = (uint32_t)(((next_random() >> 32) * flow_count) >> 32);
		bool data = peers[n].next - peers[n].acked < window + 2 * SEGMENT;

		make(&buffers[i].p, n, data);
		buffers[i].p.dir = (n & 1) ^ data;
	}
}

static void start(uint32_t flow_count)
{
	memset(flows, 0, flow_count * sizeof(*flows));
	memset(peers, 0, flow_count * sizeof(*peers));
	memset(classes, 0, (CLASSES + 1) * sizeof(*classes));
	for (unsigned i = 0; i <= CLASSES; i++)
		classes[i].inflight = inflight_init(store, RUNS);
	for (uint32_t n = 0; n < flow_count; n++) {
		struct pkt syn = {.flags = PKT_IP | PKT_TCP, .tcp_flags = TH_SYN, .tcp_window = 1};

		flows[n].class_id = n & 3;
		measure_tcp(&flows[n].measure, &syn, FROM_LAN, now_ns, &classes[n % CLASSES]);
		syn.tcp_flags = TH_SYN | TH_ACK;
		syn.tcp_ack = 1;
		measure_tcp(&flows[n].measure, &syn, FROM_WAN, now_ns + 20000000,
			&classes[n % CLASSES]);
		syn.tcp_flags = TH_ACK;
		syn.tcp_seq = 1;
		measure_tcp(&flows[n].measure, &syn, FROM_LAN, now_ns + 21000000,
			&classes[n % CLASSES]);
		peers[n].next = peers[n].acked = 1;
	}
	now_ns += 30000000;
	for (unsigned i = 0; i < SLOTS * BURST; i++) {
		struct pkt *p = &buffers[i].p;

		p->flags = PKT_IP | PKT_TCP | PKT_TCP_TS;
		p->tcp_flags = TH_ACK;
		p->tcp_window = 1000;
		p->l4_off = 34;
		p->payload_off = 66;
		pkts[i / BURST][i % BURST] = &buffers[i].m;
	}
}

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * Parsing has written both lines of struct pkt, and the flow stage the first line of the record
 * (key and class), shortly before. So that is done here too, outside the time taken: only the lines
 * of measure/ are cold.
 */
static void touch(unsigned s)
{
	for (unsigned i = 0; i < BURST; i++) {
		struct pkt *p = pkt_of(pkts[s][i]);

		*(volatile uint16_t *)&p->l3_off = 14;
		*(volatile uint32_t *)&p->flow->last_seen_ms = (uint32_t)now_ns;
	}
}

/* The stage that only counts. */
static void count(unsigned s)
{
	static uint64_t packets[CLASSES];

	for (unsigned i = 0; i < BURST; i++)
		*(volatile uint64_t *)&packets[pkt_of(pkts[s][i])->flow->class_id % CLASSES] += 1;
}

static double median(uint32_t *values, unsigned count)
{
	qsort(values, count, sizeof(*values), ascending);
	return values[count / 2];
}

/* Median over all bursts, less what taking the time costs. */
static double run(uint32_t flow_count, bool measure)
{
	static uint32_t idle[ROUNDS];

	for (unsigned r = 0; r < ROUNDS; r++) {
		fill(flow_count);
		for (unsigned s = 0; s < SLOTS; s++) {
			touch(s);
			uint64_t from = rte_rdtsc_precise();
			count(s);
			if (measure)
				measure_bulk(
					pkts[s], BURST, now_ns, classes, transactions, CLASSES);
			burst_cycles[r * SLOTS + s] = (uint32_t)(rte_rdtsc_precise() - from);
			now_ns += 3000;
		}
		uint64_t from = rte_rdtsc_precise();
		idle[r] = (uint32_t)(rte_rdtsc_precise() - from);
	}
	return (median(burst_cycles, ROUNDS * SLOTS) - median(idle, ROUNDS)) / BURST;
}

/* Taken so far. */
static uint64_t samples(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < CLASSES; i++)
		sum += classes[i].rtt_lan.count + classes[i].rtt_wan.count;
	return sum;
}

static double record_cycles(void)
{
	enum { N = 1 << 20 };
	uint32_t *values = malloc(N * sizeof(*values));

	for (unsigned i = 0; i < N; i++)
		values[i] = (uint32_t)(next_random() >> 40); /* to 16 ms */
	uint64_t from = rte_rdtsc_precise();
	for (unsigned i = 0; i < N; i++)
		histogram_record(&classes[0].box[0], values[i]);
	double cycles = (double)(rte_rdtsc_precise() - from) / N;
	free(values);
	return cycles;
}

/* In 2 MB pages, as the daemon's table lies. For the life of the process; NULL: no memory. */
static void *huge(size_t bytes)
{
	const size_t page = (size_t)1 << 21;
	void *p;

	bytes = (bytes + page - 1) / page * page;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1,
		0);
	if (p != MAP_FAILED)
		return p;
	fprintf(stderr, "no hugepages for %zu MB (tests/bench/run --only measure gets them)\n",
		bytes >> 20);
	p = aligned_alloc(page, bytes);
	if (p != NULL)
		madvise(p, bytes, MADV_HUGEPAGE);
	return p;
}

int main(void)
{
	static const uint32_t counts[] = {1, 1000, 100000, FLOWS_MAX};

	buffers = aligned_alloc(64, SLOTS * BURST * sizeof(*buffers));
	flows = huge(FLOWS_MAX * sizeof(*flows));
	store = huge(STORE_BYTES);
	peers = calloc(FLOWS_MAX, sizeof(*peers));
	classes = calloc(CLASSES + 1, sizeof(*classes));
	if (buffers == NULL || flows == NULL || store == NULL || peers == NULL || classes == NULL) {
		fprintf(stderr, "measure_bench: no memory, 600 MB are needed\n");
		return 1;
	}
	memset(buffers, 0, SLOTS * BURST * sizeof(*buffers));
	printf("%-30s %8s %8s %8s %8s\n", "cycles a packet, 32 a burst", "off", "on", "measure",
		"samples");
	for (unsigned k = 0; k < sizeof(counts) / sizeof(counts[0]); k++) {
		start(counts[k]);
		double off = run(counts[k], false);
		start(counts[k]);
		/* Fill windows and caches: each flow has sent six packets and more. */
		for (uint32_t sent = 0; sent < counts[k] * 6 + 1; sent += ROUNDS * SLOTS * BURST)
			run(counts[k], true);
		uint64_t before = samples();
		acks = 0;
		double on = run(counts[k], true);
		printf("%18u TCP flows %9.1f %8.1f %8.1f %6.0f %%\n", counts[k], off, on, on - off,
			100.0 * (double)(samples() - before) / (double)acks);
	}
	printf("%-34s %6.1f\n", "histogram_record, up to 16 ms", record_cycles());
	free(buffers);
	free(peers);
	free(classes);
	return 0;
}
