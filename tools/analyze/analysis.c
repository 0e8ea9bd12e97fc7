/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames to flows and figures, see analysis.h. One frame at a time, in one buffer that looks like
 * an mbuf; the stages are those of the worker, in the same order.
 */
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>

#include "controlplane/channel/counters.h"
#include "dataplane/classify/classify.h"
#include "dataplane/flow/table.h"
#include "dataplane/packet/parse.h"
#include "tools/analyze/analysis.h"
#include "tools/analyze/side.h"
#include "tools/analyze/transactions.h"
#include "tools/analyze/tunnel.h"

#define NS_PER_MS 1000000u
#define ETHER_LEN 14
#define TUNNELS_MAX 4 /* one inside the other */
#define NO_FLOW UINT32_MAX
#define CHUNK 4096u /* flows allocated at a time: they never move */
#define POLICY_GENERATION 1

struct analysis {
	/* The packet: header, private area and bytes, as in the appliance's pools. */
	struct rte_mbuf mbuf;
	struct pkt pkt;
	uint8_t bytes[CAPTURE_FRAME_MAX + 1];

	struct analysis_options options;
	struct parse_context context;
	struct flow_table *table;
	struct classifier *classifier; /* NULL: no policy */
	uint32_t *flow_of_record;      /* by record of the table, NO_FLOW: none kept */
	struct analysis_flow **chunks;
	uint64_t flow_count;
	struct analysis_class *classes;
	uint32_t class_count;
	bool other_begun; /* FLOW_OTHER has been used */
	uint64_t now_ns;  /* of the newest frame */
	struct analysis_rest rest;
};
static_assert(offsetof(struct analysis, pkt) == sizeof(struct rte_mbuf), "pkt_of() finds it there");

int analysis_start_eal(const char *program)
{
	char cpu[32];
	/* The memory is an upper bound: only what is used is taken. One thread, where it is. */
	char *argv[] = {(char *)(uintptr_t)program, "--no-huge", "-m", "256", "--no-pci",
		"--no-telemetry", "--no-shconf", "--log-level=error", cpu, NULL};

	snprintf(cpu, sizeof(cpu), "--lcores=0@%d", sched_getcpu());
	return rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])) - 1, argv) < 0 ? -1 : 0;
}

static int make_classes(struct analysis *a)
{
	const struct policy *policy = a->options.policy;
	uint32_t *ids;

	a->class_count = policy == NULL ? 1 : policy->class_count;
	a->classes = calloc(a->class_count, sizeof(*a->classes));
	if (a->classes == NULL) {
		rte_errno = ENOMEM;
		return -1;
	}
	if (policy == NULL)
		return 0;
	ids = calloc(policy->class_count, sizeof(*ids));
	if (ids == NULL) {
		rte_errno = ENOMEM;
		return -1;
	}
	for (uint32_t i = 0; i < policy->class_count; i++)
		ids[i] = i;
	a->classifier = classifier_create(policy, ids, SOCKET_ID_ANY);
	free(ids);
	return a->classifier == NULL ? -1 : 0;
}

/* A flow makes room for another one. */
static void flow_silent(void *context, struct flow *f)
{
	struct analysis *a = context;

	if (a->classes[f->class_id].datagrams != NULL)
		measure_silent(f, a->now_ns, a->classes[f->class_id].datagrams);
}

struct analysis *analysis_create(const struct analysis_options *options)
{
	size_t size = RTE_ALIGN_CEIL(sizeof(struct analysis), RTE_CACHE_LINE_SIZE);
	struct analysis *a = aligned_alloc(RTE_CACHE_LINE_SIZE, size);
	uint32_t capacity;

	if (a == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	memset(a, 0, size);
	a->options = *options;
	a->mbuf.buf_addr = a->bytes;
	a->mbuf.buf_len = CAPTURE_FRAME_MAX;
	a->mbuf.priv_size = sizeof(struct pkt);
	a->mbuf.nb_segs = 1;
	a->context.hash_seed = 1; /* who writes a capture gains nothing by collisions */
	a->table = flow_table_create("analyze",
		options->live_max > 0 ? options->live_max : ANALYSIS_LIVE_MAX, SOCKET_ID_ANY);
	if (a->table == NULL || make_classes(a) != 0) {
		analysis_destroy(a);
		return NULL;
	}
	flow_table_on_silent(a->table, flow_silent, a);
	capacity = flow_table_capacity(a->table);
	a->flow_of_record = malloc(capacity * sizeof(*a->flow_of_record));
	a->chunks = calloc(ANALYSIS_FLOWS_MAX / CHUNK + 1, sizeof(*a->chunks));
	if (a->flow_of_record == NULL || a->chunks == NULL) {
		analysis_destroy(a);
		rte_errno = ENOMEM;
		return NULL;
	}
	memset(a->flow_of_record, 0xff, capacity * sizeof(*a->flow_of_record));
	return a;
}

void analysis_destroy(struct analysis *a)
{
	if (a == NULL)
		return;
	for (uint64_t i = 0; i < a->flow_count; i++) {
		for (unsigned side = 0; side < 2; side++)
			samples_free(&analysis_flow(a, i)->rtt[side]);
		transactions_free(analysis_flow(a, i)->transactions);
	}
	for (uint64_t i = 0; a->chunks != NULL && i <= ANALYSIS_FLOWS_MAX / CHUNK; i++)
		free(a->chunks[i]);
	for (uint32_t i = 0; a->classes != NULL && i < a->class_count; i++) {
		free(a->classes[i].measure);
		free(a->classes[i].datagrams);
		free(a->classes[i].transactions);
	}
	free(a->chunks);
	free(a->classes);
	free(a->flow_of_record);
	classifier_destroy(a->classifier);
	flow_table_destroy(a->table);
	free(a);
}

/* ---- flows ---- */

struct analysis_flow *analysis_flow(struct analysis *a, uint64_t i)
{
	return &a->chunks[i / CHUNK][i % CHUNK];
}

static struct analysis_flow *add_flow(struct analysis *a, uint32_t record)
{
	struct analysis_flow **chunk;

	a->flow_of_record[record] = NO_FLOW;
	if (a->flow_count == ANALYSIS_FLOWS_MAX)
		return NULL;
	chunk = &a->chunks[a->flow_count / CHUNK];
	if (*chunk == NULL)
		*chunk = calloc(CHUNK, sizeof(**chunk));
	if (*chunk == NULL)
		errx(1, "no memory for %lu flows", (unsigned long)a->flow_count);
	a->flow_of_record[record] = (uint32_t)a->flow_count;
	return analysis_flow(a, a->flow_count++);
}

/* The table has a new flow: which side is the LAN, which class is it of? */
static void begin_flow(
	struct analysis *a, struct flow *f, struct rte_mbuf *m, const struct capture_frame *frame)
{
	struct pkt *p = pkt_of(m);
	uint32_t record = (uint32_t)(f - flow_table_record(a->table, 0));
	bool is_other = f->flags & FLOW_OTHER;
	int lan_end = is_other ? -1 : side_lan_end(&a->options, &f->key);
	struct analysis_flow *flow;

	/* The direction of a packet is the number of the end that sent it. */
	f->lan_dir = lan_end >= 0 ? (uint8_t)lan_end : f->initiator;
	p->way = p->dir == f->lan_dir ? WAY_UP : WAY_DOWN;
	if (a->classifier != NULL)
		classify_bulk(a->classifier, &m, 1, POLICY_GENERATION);
	f->flags &= (uint8_t)~FLOW_NEW;
	a->other_begun |= is_other;
	flow = add_flow(a, record);
	if (flow == NULL)
		return;
	*flow = (struct analysis_flow){
		.key = f->key,
		.lan_dir = f->lan_dir,
		.opened_from = f->initiator == f->lan_dir ? FROM_LAN : FROM_WAN,
		.lan_by = lan_end >= 0 ? LAN_BY_NETWORK : LAN_BY_OPENER,
		.is_other = is_other,
		.class_index = f->class_id,
		.first_ns = frame->time_ns,
		.first_file_ns = frame->file_ns,
	};
	a->classes[f->class_id].flows++;
}

/* ---- figures ---- */

/*
 * Is this the same packet as one shortly before: captured on a second interface, or mirrored twice?
 * By the IP ID, which a sender gives anew to what it sends again, or without one by the timestamp;
 * the checksum stands for the payload. The TTL may differ.
 */
static bool is_copy(struct analysis_flow *flow, const struct pkt *p, const uint8_t *frame,
	enum measure_from from, uint64_t now_ns)
{
	const uint8_t *l4 = frame + p->l4_off;
	uint16_t id = 0, checksum;
	uint64_t print;
	unsigned at;

	if (!(p->flags & PKT_IPV6))
		memcpy(&id, frame + p->l3_off + 4, sizeof(id));
	/* Within ANALYSIS_COPY_NS no SYN is sent again (RFC 6298: after a second). */
	if (id == 0 && !(p->tcp_flags & TH_SYN) &&
		(!(p->flags & PKT_TCP_TS) || p->payload_len == 0))
		return false;
	memcpy(&checksum, l4 + 16, sizeof(checksum));
	print = (uint64_t)id << 48 | (uint64_t)checksum << 32 | p->tcp_seq;
	for (unsigned i = 0; i < ANALYSIS_RECENT; i++)
		if (flow->recent[from][i] == print &&
			now_ns - flow->recent_ns[from][i] < ANALYSIS_COPY_NS)
			return true;
	at = flow->recent_at[from]++ % ANALYSIS_RECENT;
	flow->recent[from][at] = print;
	flow->recent_ns[from][at] = now_ns;
	return false;
}

/* What one call of measure_tcp() added to a histogram: its samples, of which there is rarely more
 * than one. */
static uint64_t new_samples(
	const struct histogram *h, uint64_t count, uint64_t sum_ns, struct samples *into)
{
	uint64_t n = h->count - count, value_ns = n == 0 ? 0 : (h->sum_ns - sum_ns) / n;

	for (uint64_t i = 0; into != NULL && i < n; i++)
		samples_add(into, value_ns);
	return value_ns;
}

/* The counters of a class that a flow has too. */
#define EACH_COUNTER(X)                                                                            \
	X(data_packets)                                                                            \
	X(retransmits_before)                                                                      \
	X(retransmits_after)                                                                       \
	X(retransmits_needless)                                                                    \
	X(reordered)                                                                               \
	X(zero_windows)

static void measure_packet(struct analysis_flow *flow, struct flow *f, struct pkt *p,
	enum measure_from from, uint64_t now_ns, struct measure_class *c)
{
	uint64_t lan_count = c->rtt_lan.count, lan_sum = c->rtt_lan.sum_ns;
	uint64_t wan_count = c->rtt_wan.count, wan_sum = c->rtt_wan.sum_ns;
	uint64_t connect_sum = c->connect.sum_ns, connections = c->connections;
	uint64_t failed = c->failed, resets = c->resets;
	uint64_t rtt_ns[2];
#define BEFORE(name) uint64_t name = c->name[from];
	EACH_COUNTER(BEFORE)

	measure_tcp(&f->measure, p, from, now_ns, c);
	if (flow == NULL)
		return;
#define ADD(name) flow->counts.name[from] += c->name[from] - name;
	EACH_COUNTER(ADD)
	flow->counts.connections += c->connections - connections;
	flow->counts.failed += c->failed - failed;
	flow->counts.resets += c->resets - resets;
	rtt_ns[FROM_LAN] = new_samples(&c->rtt_lan, lan_count, lan_sum, &flow->rtt[FROM_LAN]);
	rtt_ns[FROM_WAN] = new_samples(&c->rtt_wan, wan_count, wan_sum, &flow->rtt[FROM_WAN]);
	if ((p->tcp_flags & TH_SYN) && (p->tcp_flags & TH_ACK) && flow->handshake_ns[from] == 0)
		flow->handshake_ns[from] = rtt_ns[from];
	if (c->connections > connections && flow->connect_ns == 0) {
		flow->connect_ns = c->connect.sum_ns - connect_sum;
		flow->handshake_ns[from] = rtt_ns[from];
	}
}

/* The six histograms of what is not TCP, of which a packet adds to one at most. */
static void measure_other(struct analysis_flow *flow, struct flow *f, const struct rte_mbuf *m,
	enum measure_from from, uint64_t now_ns, struct measure_datagrams *c)
{
	const struct histogram *h[] = {&c->echo[from], &c->dns[from], &c->spin[from]};
	uint64_t count[3], sum_ns[3];

	for (unsigned i = 0; i < 3; i++) {
		count[i] = h[i]->count;
		sum_ns[i] = h[i]->sum_ns;
	}
	measure_datagram(&f->datagrams, pkt_of(m), rte_pktmbuf_mtod(m, const uint8_t *),
		m->data_len, from, now_ns, c);
	for (unsigned i = 0; flow != NULL && i < 3; i++)
		new_samples(h[i], count[i], sum_ns[i], &flow->rtt[from]);
}

static void count_packet(struct analysis *a, struct flow *f, const struct capture_frame *frame)
{
	uint32_t record = (uint32_t)(f - flow_table_record(a->table, 0));
	uint32_t number = a->flow_of_record[record];
	struct analysis_flow *flow = number == NO_FLOW ? NULL : analysis_flow(a, number);
	struct analysis_class *class = &a->classes[f->class_id];
	enum measure_from from = a->pkt.dir == f->lan_dir ? FROM_LAN : FROM_WAN;

	class->packets[from]++;
	class->bytes[from] += frame->len;
	if (flow == NULL) {
		a->rest.beyond_flows++;
	} else {
		flow->last_ns = frame->time_ns;
		flow->counts.packets[from]++;
		flow->counts.bytes[from] += frame->len;
	}
	if (f->flags & FLOW_OTHER)
		return;
	if (!(a->pkt.flags & PKT_TCP)) {
		if (class->datagrams == NULL)
			class->datagrams = calloc(1, sizeof(*class->datagrams));
		if (class->datagrams == NULL)
			errx(1, "no memory for the figures of a class");
		measure_other(flow, f, &a->mbuf, from, frame->time_ns, class->datagrams);
		return;
	}
	if (class->measure == NULL)
		class->measure = calloc(1, sizeof(*class->measure));
	if (class->measure == NULL)
		errx(1, "no memory for the figures of a class");
	if (flow != NULL && is_copy(flow, &a->pkt, rte_pktmbuf_mtod(&a->mbuf, const uint8_t *),
				    from, frame->time_ns)) {
		flow->counts.duplicates[from]++;
		return;
	}
	measure_packet(flow, f, &a->pkt, from, frame->time_ns, class->measure);
	transactions_packet(class, flow, f, &a->mbuf, frame->time_ns);
}

/* ---- frames ---- */

/* Is all that the parser looked at really there? */
static bool headers_caught(const struct pkt *p, uint32_t caught)
{
	/* A TCP header, or ports, or an ICMP identifier. */
	uint32_t end = p->l4_off + (p->key.proto == IPPROTO_TCP ? 20u : 8u);

	if (end > (uint32_t)p->l3_off + p->l3_len || p->flags & PKT_FRAGMENT)
		end = p->l4_off;
	return end <= caught && p->payload_off <= caught;
}

/*
 * Parse what stands at `off` of the buffer. `ethertype` not 0: an Ethernet header with that is put
 * in front. The frame's wire length counts, so that what snaplen cut off is no contradiction; the
 * missing bytes are zeros. Returns if the packet has a flow.
 */
static bool parse_at(
	struct analysis *a, uint32_t off, uint16_t ethertype, uint32_t caught, uint32_t len)
{
	struct rte_mbuf *m = &a->mbuf;

	if (ethertype != 0) {
		off -= ETHER_LEN;
		memset(a->bytes + off, 0, ETHER_LEN - 2);
		a->bytes[off + ETHER_LEN - 2] = (uint8_t)(ethertype >> 8);
		a->bytes[off + ETHER_LEN - 1] = (uint8_t)ethertype;
	}
	m->data_off = (uint16_t)off;
	m->data_len = (uint16_t)(len - off);
	m->pkt_len = m->data_len;
	packet_parse_bulk(&m, 1, &a->context, 0);
	if (a->pkt.flags & PKT_IP && !headers_caught(&a->pkt, caught - off)) {
		a->rest.headers_cut++;
		return false;
	}
	if (a->pkt.flags & PKT_IP)
		return true;
	if (caught < len && (a->pkt.reason != PASS_NOT_IP || caught - off < ETHER_LEN))
		a->rest.headers_cut++;
	else if (a->pkt.reason == PASS_NOT_IP)
		a->rest.not_ip++;
	else
		a->rest.not_understood++;
	return false;
}

void analysis_frame(struct analysis *a, const struct capture_frame *frame)
{
	struct rte_mbuf *m = &a->mbuf;
	uint32_t len = frame->len < CAPTURE_FRAME_MAX ? frame->len : CAPTURE_FRAME_MAX;
	uint32_t caught = frame->caught < len ? frame->caught : len;
	struct flow *f;

	if (caught == 0)
		return;
	a->now_ns = frame->time_ns;
	memcpy(a->bytes, frame->bytes, caught);
	memset(a->bytes + caught, 0, len - caught);
	if (!parse_at(a, 0, 0, caught, len))
		return;
	for (unsigned depth = 0; a->options.inside && depth < TUNNELS_MAX; depth++) {
		uint16_t ethertype;
		uint32_t inner = tunnel_inside(
			&a->pkt, a->bytes + m->data_off, caught - m->data_off, &ethertype);

		if (inner == 0)
			break;
		if (!parse_at(a, m->data_off + inner, ethertype, caught, len))
			return;
	}
	if (a->options.any_vlan && a->pkt.key.vlan != 0) {
		a->pkt.key.vlan = 0;
		a->pkt.hash = packet_key_hash(&a->pkt.key, a->context.hash_seed);
	}
	/* Payload is looked at as far as it was captured. */
	m->data_len =
		m->data_len < caught - m->data_off ? m->data_len : (uint16_t)(caught - m->data_off);
	flow_table_lookup_bulk(a->table, &m, 1, (uint32_t)(frame->time_ns / NS_PER_MS));
	f = a->pkt.flow;
	if (f->flags & FLOW_NEW || (f->flags & FLOW_OTHER && !a->other_begun))
		begin_flow(a, f, m, frame);
	count_packet(a, f, frame);
}

/* ---- results ---- */

uint64_t analysis_flow_count(const struct analysis *a)
{
	return a->flow_count;
}

void analysis_finish(struct analysis *a)
{
	for (uint32_t i = 1; i < flow_table_capacity(a->table); i++) {
		struct flow *f = (struct flow *)(uintptr_t)flow_table_record(a->table, i);

		if (!(f->flags & FLOW_LIVE))
			continue;
		if (f->key.proto != IPPROTO_TCP)
			flow_silent(a, f);
		else if (!(f->flags & FLOW_CLOSING) && measure_is_open(&f->measure))
			a->classes[f->class_id].open++;
	}
}

uint32_t analysis_class_count(const struct analysis *a)
{
	return a->class_count;
}

const struct analysis_class *analysis_class(const struct analysis *a, uint32_t i)
{
	return &a->classes[i];
}

const struct analysis_rest *analysis_rest(const struct analysis *a)
{
	return &a->rest;
}

uint64_t analysis_evicted(const struct analysis *a)
{
	struct flow_table_stats stats;

	flow_table_stats(a->table, &stats);
	return stats.evicted;
}
