/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What parsing, the flow table and the classifier cost: TSC cycles a packet, median over bursts of
 * 32, beside DPDK's rte_hash_lookup_bulk() in the same run. Hugepages are used where there are any.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_ip.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "dataplane/classify/classify.h"
#include "dataplane/flow/table.h"
#include "dataplane/packet/parse.h"

#define BURST 32
#define BURSTS 20000
#define FRAMES 512
#define FLOWS_MAX 1000000
#define MEMORY_MB 768

static uint64_t seed = 88172645463325252u;

static uint64_t random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static uint32_t cycles[BURSTS];

static double median(void)
{
	qsort(cycles, BURSTS, sizeof(cycles[0]), by_value);
	return cycles[BURSTS / 2] / (double)BURST;
}

/* A frame: `layers` as hex text without blanks, behind the Ethernet addresses. */
static struct rte_mbuf *frame_from(struct rte_mempool *pool, const char *layers, unsigned len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint8_t *bytes = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)len);
	unsigned at = 12;

	memset(bytes, 0, len);
	bytes[0] = bytes[6] = 2;
	for (; layers[0] != '\0' && at < len; layers += 2)
		bytes[at++] = (uint8_t)strtoul((char[]){layers[0], layers[1], 0}, NULL, 16);
	return m;
}

static void bench_parse(struct rte_mempool *pool, const char *name, const char *layers,
	unsigned len, unsigned random_at, unsigned random_len)
{
	struct parse_context context = {.hash_seed = 12345, .link_port = RTE_BE16(4789)};
	struct rte_mbuf *frames[FRAMES];

	for (unsigned i = 0; i < FRAMES; i++) {
		frames[i] = frame_from(pool, layers, len);
		for (unsigned j = 0; j < random_len; j++)
			rte_pktmbuf_mtod(frames[i], uint8_t *)[random_at + j] = (uint8_t)random64();
	}
	for (unsigned i = 0; i < BURSTS; i++) {
		struct rte_mbuf **burst = &frames[i * BURST % FRAMES];
		uint64_t start = rte_rdtsc();

		packet_parse_bulk(burst, BURST, &context, i);
		cycles[i] = (uint32_t)(rte_rdtsc() - start);
	}
	printf("parse + hash  %-34s %6.1f   (flags 0x%04x)\n", name, median(),
		pkt_of(frames[0])->flags);
	rte_pktmbuf_free_bulk(frames, FRAMES);
}

/* As a parsed UDP packet of flow i from the LAN. */
static void fill_pkt(struct rte_mbuf *m, uint32_t i)
{
	struct pkt *p = pkt_of(m);

	memset(p, 0, sizeof(*p));
	p->key.addr[0][10] = p->key.addr[0][11] = p->key.addr[1][10] = p->key.addr[1][11] = 0xff;
	memcpy(&p->key.addr[0][12], &i, 4);
	p->key.addr[1][12] = 10;
	p->key.port[0] = (uint16_t)(i * 7);
	p->key.port[1] = RTE_BE16(53);
	p->key.proto = 17;
	p->hash = packet_key_hash(&p->key, 12345);
	p->flags = PKT_IP | PKT_UDP;
	m->pkt_len = m->data_len = 60;
}

static void bench_table(struct rte_mbuf **burst, uint32_t flows)
{
	struct flow_table *table = flow_table_create("bench", flows, SOCKET_ID_ANY);
	uint32_t now_ms = 1000;

	if (table == NULL) {
		printf("flow table    %7u flows: not enough memory (%.0f MB)\n", flows,
			(double)flow_table_memory_needed(flows) / 1e6);
		return;
	}
	for (uint32_t i = 0; i < flows; i += BURST) {
		for (unsigned j = 0; j < BURST; j++)
			fill_pkt(burst[j], (i + j) % flows);

		uint64_t start = rte_rdtsc();

		flow_table_lookup_bulk(table, burst, BURST, now_ms);
		cycles[i / BURST % BURSTS] = (uint32_t)(rte_rdtsc() - start);
	}
	if (flows / BURST >= BURSTS)
		printf("flow create   %7u flows                      %6.1f\n", flows, median());
	for (unsigned i = 0; i < BURSTS; i++) {
		for (unsigned j = 0; j < BURST; j++)
			fill_pkt(burst[j], (uint32_t)(random64() % flows));

		uint64_t start = rte_rdtsc();

		flow_table_lookup_bulk(table, burst, BURST, now_ms + i / 1000);
		cycles[i] = (uint32_t)(rte_rdtsc() - start);
	}
	printf("flow lookup   %7u flows                      %6.1f   (%.1f MB)\n", flows, median(),
		(double)flow_table_memory_bytes(table) / 1e6);
	for (unsigned i = 0; i < BURSTS; i++) {
		uint64_t start = rte_rdtsc();

		flow_table_age(table, now_ms + 20000, BURST);
		cycles[i] = (uint32_t)(rte_rdtsc() - start);
	}
	printf("flow ageing   %7u flows, a bucket            %6.1f\n", flows, median());
	flow_table_destroy(table);
}

static void bench_rte_hash(uint32_t flows)
{
	struct key {
		uint32_t word[4];
	} keys[BURST];
	struct rte_hash *hash = rte_hash_create(&(struct rte_hash_parameters){
		.name = "bench",
		.entries = flows,
		.key_len = sizeof(struct key),
		.hash_func = rte_hash_crc,
		.socket_id = SOCKET_ID_ANY,
	});
	const void *pointers[BURST];
	int32_t positions[BURST];

	if (hash == NULL) {
		printf("rte_hash      %7u flows: not enough memory\n", flows);
		return;
	}
	for (uint32_t i = 0; i < flows; i++)
		rte_hash_add_key(hash, &(struct key){{i, 10, i * 7, 17}});
	for (unsigned i = 0; i < BURSTS; i++) {
		for (unsigned j = 0; j < BURST; j++) {
			uint32_t flow = (uint32_t)(random64() % flows);

			keys[j] = (struct key){{flow, 10, flow * 7, 17}};
			pointers[j] = &keys[j];
		}

		uint64_t start = rte_rdtsc();

		rte_hash_lookup_bulk(hash, pointers, BURST, positions);
		cycles[i] = (uint32_t)(rte_rdtsc() - start);
	}
	printf("rte_hash      %7u keys of 16 bytes, no record %5.1f\n", flows, median());
	rte_hash_free(hash);
}

static void bench_classify(struct rte_mbuf **burst, uint32_t rules)
{
	struct policy policy = {.rule_count = rules, .rules = calloc(rules, sizeof(*policy.rules))};
	struct flow flows[BURST];
	uint32_t class_id = 0;
	struct classifier *classifier;

	for (uint32_t i = 0; i < rules; i++) {
		struct policy_match *m = &policy.rules[i].match;
		uint16_t port = (uint16_t)random64();

		*m = (struct policy_match){
			.proto_min = i & 1 ? 6 : 17,
			.proto_max = i & 1 ? 6 : 17,
			.sport_max = UINT16_MAX,
			.dport_min = port,
			.dport_max = (uint16_t)(port | 7),
			.vlan_max = 4095,
			.dscp_max = 63,
			.bridge = -1,
		};
		if (i & 2) {
			m->dst.address.family = 4;
			m->dst.address.bytes[12] = 10;
			m->dst.address.bytes[13] = (uint8_t)random64();
			m->dst.length = 16;
		}
	}
	classifier = classifier_create(&policy, &class_id, SOCKET_ID_ANY);
	if (classifier == NULL) {
		printf("classify      %7u rules: not enough memory\n", rules);
		free(policy.rules);
		return;
	}
	memset(flows, 0, sizeof(flows));
	for (unsigned known = 0; known < 2; known++) {
		for (unsigned i = 0; i < BURSTS; i++) {
			for (unsigned j = 0; j < BURST; j++) {
				fill_pkt(burst[j], (uint32_t)random64());
				pkt_of(burst[j])->flow = &flows[j];
				flows[j].key = pkt_of(burst[j])->key;
				flows[j].flags = FLOW_LIVE | (known ? 0 : FLOW_NEW);
			}

			uint64_t start = rte_rdtsc();

			classify_bulk(classifier, burst, BURST, 1);
			cycles[i] = (uint32_t)(rte_rdtsc() - start);
		}
		printf("classify      %7u rules, %s flows         %6.1f\n", rules,
			known ? "known" : "new  ", median());
	}
	classifier_destroy(classifier);
	free(policy.rules);
}

int main(void)
{
	static const uint32_t sizes[] = {1000, 65536, FLOWS_MAX};
	struct rte_mempool *pool;
	struct rte_mbuf *burst[BURST];

	/* One process can start the EAL only once, so ask the kernel first. */
	FILE *file = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "r");
	unsigned free_pages = 0;

	if (file != NULL) {
		if (fscanf(file, "%u", &free_pages) != 1)
			free_pages = 0;
		fclose(file);
	}

	bool huge = free_pages * 2 > MEMORY_MB;
	char *args[] = {"packet_bench", huge ? "--in-memory" : "--no-huge",
		huge ? "--no-hpet" : "--no-shconf", "-m", RTE_STR(MEMORY_MB), "--no-pci",
		"--no-telemetry", "--log-level=error", NULL};

	if (rte_eal_init(RTE_DIM(args) - 1, args) < 0) {
		fprintf(stderr, "cannot start the EAL (run as root)\n");
		return 2;
	}
	pool = rte_pktmbuf_pool_create("bench", 1023, 0, sizeof(struct pkt), 2048, SOCKET_ID_ANY);
	if (pool == NULL || rte_pktmbuf_alloc_bulk(pool, burst, BURST) != 0) {
		fprintf(stderr, "no memory for packets\n");
		return 2;
	}
	printf("TSC cycles a packet, median of %u bursts of %u; %s\n", BURSTS, BURST,
		huge ? "hugepages" : "no hugepages");

	bench_parse(pool, "IPv4 UDP",
		"08004500002e0000000040110000000000000000000000000000001a0000", 60, 26, 12);
	bench_parse(pool, "IPv4 TCP",
		"08004500002e000000004006000000000000000000000000000000000000000000005010", 60, 26,
		12);
	bench_parse(pool, "IPv4 TCP with timestamps",
		"080045000034000000004006000000000000000000000000000000000000000000008010ffff0000"
		"00000101080a",
		66, 26, 12);
	bench_parse(pool, "IPv4 UDP, one VLAN",
		"8100006408004500002e0000000040110000000000000000000000000000001a0000", 64, 30, 12);
	bench_parse(pool, "IPv6 UDP",
		"86dd6000000000081140000000000000000000000000000000000000000000000000000000000000"
		"00000000000000080000",
		62, 22, 36);
	bench_parse(pool, "IPv6 TCP",
		"86dd6000000000140640000000000000000000000000000000000000000000000000000000000000"
		"00000000000000000000000000005010",
		74, 22, 36);
	for (unsigned i = 0; i < RTE_DIM(sizes); i++) {
		bench_rte_hash(sizes[i]);
		bench_table(burst, sizes[i]);
	}
	bench_classify(burst, 10);
	bench_classify(burst, 1000);
	rte_eal_cleanup();
	return 0;
}
