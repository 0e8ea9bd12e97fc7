/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target for the passive TCP measurement and transactions: segments of two connections, one
 * after the other, in virtual time (tests/fuzz/corpus/tcp). Each step says who sends, numbers
 * relative to what was sent or at will, options, payload and how much later it is; the segment is
 * written as a frame in a heap block of just its size and parsed as the appliance does.
 *
 * The flow records are plain memory in which all that is not theirs to touch is poisoned, and the
 * store of segments in flight is so small that the two take it from each other. Whatever comes:
 * each packet counts once, no time is longer than the test has lasted, and figures that belong
 * together agree.
 */
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sanitizer/asan_interface.h>

#include "dataplane/flow/flow.h"
#include "dataplane/measure/inflight.h"
#include "dataplane/measure/tcp.h"
#include "dataplane/measure/transactions.h"
#include "dataplane/packet/parse.h"

#define FLOWS 2
#define RUNS 5
#define STEPS_MAX 600 /* of an input */
#define OPTIONS_MAX 40
#define PAYLOAD_MAX 1400
#define HEADERS 34 /* Ethernet and IPv4 */
#define TICK_NS 64
#define START_NS UINT64_C(5000000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLDS(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "does not hold: %s\n", #condition);                        \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static const uint64_t waits_ns[16] = {0, 64, 1000, 100000, 1000000, 10000000, 40000000, 200000000,
	1000000000, 3000000000, 30000000000, 70000000000, 140000000000, 274877906944, 300000000000,
	20000000000000};

static const char *const words[8] = {"", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n", "\x16\x03\x01\x00\x30\x01", "\x16\x03\x03\x00\x30\x02",
	"\x14\x03\x03\x00\x01\x01\x17\x03\x03\x00\x20", NULL};
static const uint8_t word_len[8] = {0, 18, 19, 23, 6, 6, 11, 0};

/* The input, read to its end; zeros from there on. */
struct input {
	const uint8_t *at, *end;
};

static uint32_t take(struct input *in, unsigned bytes)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < bytes && in->at < in->end; i++)
		value = value << 8 | *in->at++;
	return value;
}

/* One connection as its two ends would know it. */
struct talk {
	struct flow *flow;
	uint32_t next[2]; /* by sender: behind the highest it sent */
	uint32_t ack[2];
	uint32_t tsval[2];
};

struct world {
	struct talk talk[FLOWS];
	struct measure_class class;
	struct measure_transactions transactions;
	uint64_t now_ns, packets, syns;
};

/* What the measurement may touch of a record: the first line, its own lines, its part of the last.
 */
static void poison(struct flow *f)
{
	const char *base = (const char *)f;

	ASAN_POISON_MEMORY_REGION(
		base + offsetof(struct flow, packets), sizeof(f->packets) + sizeof(f->bytes));
	ASAN_POISON_MEMORY_REGION(f->shape, sizeof(f->shape));
	ASAN_POISON_MEMORY_REGION(
		&f->codec, offsetof(struct flow, transactions) - offsetof(struct flow, codec));
	ASAN_POISON_MEMORY_REGION(base + offsetof(struct flow, transactions) +
					  RTE_ALIGN_CEIL(sizeof(f->transactions), 8),
		sizeof(*f) - offsetof(struct flow, transactions) -
			RTE_ALIGN_CEIL(sizeof(f->transactions), 8));
}

static uint32_t number(struct input *in, unsigned mode, uint32_t base)
{
	switch (mode) {
	case 0:
		return base;
	case 1:
		return base + (uint32_t)(int16_t)take(in, 2);
	case 2:
		return base + (uint32_t)(int8_t)take(in, 1) * 0x1000000u;
	default:
		return take(in, 4);
	}
}

static void put32(uint8_t *at, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* Timestamps, SACK blocks near what the other end sent, or any bytes. Returns their length, of
 * whole words. */
static unsigned write_options(
	struct input *in, unsigned kind, const struct talk *t, unsigned from, uint8_t *to)
{
	unsigned len = 0;

	if (kind == 1) {
		memcpy(to, "\x01\x01\x08\x0a", 4);
		put32(to + 4, t->tsval[from]);
		put32(to + 8, t->tsval[!from]);
		return 12;
	}
	if (kind == 2) {
		unsigned blocks = 1 + take(in, 1) % 4;

		memcpy(to, "\x01\x01\x05", 3);
		to[3] = (uint8_t)(2 + 8 * blocks);
		for (unsigned i = 0; i < 2 * blocks; i++)
			put32(to + 4 + 4 * i, number(in, 1, t->ack[from]));
		return 4 + 8 * blocks;
	}
	if (kind == 3) {
		len = take(in, 1) % (OPTIONS_MAX / 4 + 1) * 4;
		for (unsigned i = 0; i < len; i++)
			to[i] = (uint8_t)take(in, 1);
	}
	return len;
}

static unsigned write_payload(struct input *in, unsigned kind, uint8_t *to)
{
	unsigned len = take(in, 1);

	if (kind < 7) {
		len = kind == 0 ? len * 8 % PAYLOAD_MAX : word_len[kind];
		if (kind == 0)
			memset(to, 'x', len);
		else
			memcpy(to, words[kind], len);
		return len;
	}
	len %= 64;
	for (unsigned i = 0; i < len; i++)
		to[i] = (uint8_t)take(in, 1);
	return len;
}

static void check(const struct world *w)
{
	const struct measure_class *c = &w->class;
	const struct measure_transactions *m = &w->transactions;
	uint64_t lasted_ns = w->now_ns - START_NS + TICK_NS;

	HOLDS(c->tcp_packets[0] + c->tcp_packets[1] == w->packets);
	for (unsigned from = 0; from < 2; from++) {
		uint64_t again = c->retransmits_before[from] + c->retransmits_after[from] +
				 c->retransmits_needless[from];

		HOLDS(c->data_packets[from] <= c->tcp_packets[from]);
		HOLDS(again + c->reordered[from] + c->duplicates[from] <= c->data_packets[from]);
		HOLDS(c->retransmits_fast[from] + c->retransmits_timeout[from] == again);
		HOLDS(c->rtt_delayed[from] <=
			(from == FROM_LAN ? c->rtt_lan.count : c->rtt_wan.count));
		HOLDS(c->dsacks[from] <= w->packets && c->zero_windows[from] <= w->packets);
	}
	HOLDS(c->rtt_lan.count + c->rtt_wan.count <= 2 * w->packets);
	HOLDS(c->rtt_lan.max_ns <= lasted_ns && c->rtt_wan.max_ns <= lasted_ns);
	HOLDS(c->connect.max_ns <= lasted_ns);
	HOLDS(c->connections == c->connect.count && c->connections <= w->syns);
	HOLDS(c->failed == c->refused + c->timed_out);
	HOLDS(m->responses <= m->requests && m->whole.count <= m->responses);
	HOLDS(m->http_requests <= m->requests && m->tls_handshakes <= m->tls_hellos);
	HOLDS(m->dns_answers <= m->dns_queries && m->dns.count <= m->dns_answers);
	HOLDS(m->first_byte.count <= m->responses && m->connections <= m->requests + m->tls_hellos);
	HOLDS(m->first_byte.max_ns <= lasted_ns && m->whole.max_ns <= lasted_ns);
	HOLDS(m->tls.max_ns <= lasted_ns && m->dns.max_ns <= lasted_ns);
}

static void measure(struct world *w, struct talk *t, unsigned from, struct rte_mbuf *m)
{
	struct pkt *p = pkt_of(m);
	struct measure_flow_view view;

	p->dir = (uint8_t)from; /* what address is whose is not what is tested here */
	measure_tcp(&t->flow->measure, p, (enum measure_from)from, w->now_ns, &w->class);
	measure_transaction(t->flow, p, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len,
		w->now_ns, &w->transactions);
	w->packets++;
	w->syns += !!(p->tcp_flags & TH_SYN);
	measure_flow_view(&t->flow->measure, &view);
	HOLDS(view.flight_bytes[0] <= INT32_MAX && view.flight_bytes[1] <= INT32_MAX);
	measure_is_open(&t->flow->measure);
	check(w);
}

/* One segment. False: the input has ended. */
static bool step(struct world *w, struct input *in, struct rte_mbuf *m)
{
	static const struct parse_context context = {.hash_seed = 7};
	unsigned how = take(in, 1), flags = take(in, 1), what = take(in, 1), sizes = take(in, 1);
	unsigned from = how & 1, options, len;
	struct talk *t = &w->talk[how >> 1 & 1];
	uint8_t tcp[20 + OPTIONS_MAX + PAYLOAD_MAX] = {0}, *frame;
	uint32_t seq = number(in, how >> 2 & 3, t->next[from]);

	if (in->at >= in->end)
		return false;
	t->ack[from] = number(in, how >> 4 & 3, t->next[!from]);
	w->now_ns += waits_ns[what & 15];
	t->tsval[from] = (uint32_t)(w->now_ns / 1000000);
	put16(tcp, from == FROM_LAN ? 40000 : sizes & 0x80 ? 53 : 80);
	put16(tcp + 2, from == FROM_LAN ? (sizes & 0x80 ? 53 : 80) : 40000);
	put32(tcp + 4, seq);
	put32(tcp + 8, t->ack[from]);
	tcp[13] = (uint8_t)flags;
	put16(tcp + 14, sizes & 0x40 ? 0 : 1000);
	options = write_options(in, how >> 6, t, from, tcp + 20);
	tcp[12] = (uint8_t)((5 + options / 4) << 4);
	len = what & 0x80 ? write_payload(in, what >> 4 & 7, tcp + 20 + options) : 0;
	if ((int32_t)(seq + len - t->next[from]) > 0 || (how >> 2 & 3) == 3)
		t->next[from] = seq + len + !!(flags & (TH_SYN | TH_FIN));

	len += HEADERS + 20 + options;
	frame = malloc(len);
	memset(frame, 2, 12);
	memcpy(frame + 12, "\x08\x00\x45", 3);
	memset(frame + 15, 0, HEADERS - 15);
	frame[15] = sizes & 3; /* ECN */
	put16(frame + 16, len - 14);
	frame[22] = 64;
	frame[23] = 6;
	put32(frame + 26, from == FROM_LAN ? 0x0a000001 : 0x0a000002);
	put32(frame + 30, from == FROM_LAN ? 0x0a000002 : 0x0a000001);
	memcpy(frame + HEADERS, tcp, len - HEADERS);
	m->buf_addr = frame;
	m->data_off = 0;
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
	packet_parse_bulk(&m, 1, &context, w->now_ns);
	HOLDS(pkt_of(m)->flags & PKT_TCP);
	measure(w, t, from, m);
	free(frame);
	return true;
}

static void *memory(size_t size)
{
	void *block = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(size, RTE_CACHE_LINE_SIZE));

	if (block == NULL)
		abort();
	memset(block, 0, size);
	return block;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, data + size};
	struct {
		struct rte_mbuf mbuf;
		struct pkt pkt;
	} *packet = memory(sizeof(*packet));
	struct world *w = memory(sizeof(*w));

	packet->mbuf.priv_size = sizeof(struct pkt);
	packet->mbuf.nb_segs = 1;
	w->now_ns = START_NS;
	w->class.inflight = inflight_init(memory(inflight_bytes(RUNS)), RUNS);
	for (unsigned i = 0; i < FLOWS; i++) {
		struct talk *t = &w->talk[i];

		t->flow = memory(sizeof(*t->flow));
		t->flow->flags = FLOW_LIVE;
		t->flow->key.proto = 6;
		poison(t->flow);
		t->next[FROM_LAN] = i == 0 ? 1000 : UINT32_MAX - 1000; /* wraps soon */
		t->next[FROM_WAN] = 5000;
	}
	for (unsigned i = 0; i < STEPS_MAX && step(w, &in, &packet->mbuf); i++)
		;
	for (unsigned i = 0; i < FLOWS; i++) {
		ASAN_UNPOISON_MEMORY_REGION(w->talk[i].flow, sizeof(struct flow));
		free(w->talk[i].flow);
	}
	free(w->class.inflight);
	free(w);
	free(packet);
	return 0;
}
