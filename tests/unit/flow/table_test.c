/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The flow table: what a new flow says, ageing and eviction, and the whole against a naive
 * reference under random traffic. Time is virtual.
 */
#include <pthread.h>

#include <rte_malloc.h>

#include "dataplane/flow/table.h"
#include "dataplane/packet/parse.h"
#include "tests/unit/packet/mbufs.h"
#include "tests/unit/unit.h"

#define SEED 99
#define PACKETS 256
#define TCP 6
#define UDP 17
#define FIN 1
#define SYN 2
#define RST 4
#define ACK 16

static struct rte_mbuf *mbuf[PACKETS];

static void start(void)
{
	static struct rte_mempool *pool;

	if (pool != NULL)
		return;
	mbufs_start("640");
	pool = mbufs_pool("flow", 511, 256);
	for (unsigned i = 0; i < PACKETS; i++)
		mbuf[i] = mbufs_make(pool, "", 0);
}

/* Make packet i look parsed: from end `dir` of the conversation `id`, by `way`. */
static struct pkt *fill(
	unsigned i, uint32_t id, uint8_t proto, uint8_t dir, enum way way, uint8_t tcp_flags)
{
	struct pkt *p = pkt_of(mbuf[i]);

	memset(p, 0, sizeof(*p));
	p->key.addr[0][10] = p->key.addr[0][11] = p->key.addr[1][10] = p->key.addr[1][11] = 0xff;
	memcpy(p->key.addr[0] + 12, &id, 4);
	memset(p->key.addr[1] + 12, 0xfe, 4);
	p->key.port[0] = RTE_BE16(5000);
	p->key.port[1] = RTE_BE16(6000);
	p->key.proto = proto;
	p->hash = packet_key_hash(&p->key, SEED);
	p->flags = PKT_IP | (proto == TCP ? PKT_TCP : proto == UDP ? PKT_UDP : 0);
	p->dir = dir;
	p->way = (uint8_t)way;
	p->tcp_flags = tcp_flags;
	p->dscp = 12;
	mbuf[i]->pkt_len = mbuf[i]->data_len = 100;
	return p;
}

static struct flow *look_up(struct flow_table *t, uint32_t id, uint8_t proto, uint8_t dir,
	enum way way, uint8_t tcp_flags, uint32_t now_ms)
{
	struct pkt *p = fill(0, id, proto, dir, way, tcp_flags);

	flow_table_lookup_bulk(t, mbuf, 1, now_ms);
	return p->flow;
}

static struct flow_table_stats stats_of(const struct flow_table *t)
{
	struct flow_table_stats s;

	flow_table_stats(t, &s);
	return s;
}

static unsigned age_all(struct flow_table *t, uint32_t now_ms)
{
	return flow_table_age(t, now_ms, flow_table_buckets(t));
}

static void test_new_flow(void)
{
	struct flow_table *t;
	struct flow *f;

	start();
	t = flow_table_create("new", 100, SOCKET_ID_ANY);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	CU_ASSERT_EQUAL(flow_table_memory_bytes(t), flow_table_memory_needed(100));
	CU_ASSERT_EQUAL(flow_table_capacity(t), 101);
	CU_ASSERT_PTR_NULL(flow_table_create("none", 0, SOCKET_ID_ANY));
	CU_ASSERT_EQUAL(rte_errno, EINVAL);

	f = look_up(t, 1, UDP, 1, WAY_UP, 0, 500);
	CU_ASSERT_EQUAL(f->flags, FLOW_LIVE | FLOW_NEW | FLOW_SEEN_UP);
	CU_ASSERT(memcmp(&f->key, &pkt_of(mbuf[0])->key, sizeof(f->key)) == 0);
	CU_ASSERT_EQUAL(f->hash_tag, pkt_of(mbuf[0])->hash >> 32);
	CU_ASSERT_EQUAL(f->created_ms, 500);
	CU_ASSERT_EQUAL(f->last_seen_ms, 500);
	CU_ASSERT_EQUAL(f->initiator, 1);
	CU_ASSERT_EQUAL(f->lan_dir, 1);
	CU_ASSERT_EQUAL(f->dscp, 12);
	CU_ASSERT_EQUAL(f->packets[WAY_UP], 1);
	CU_ASSERT_EQUAL(f->bytes[WAY_UP], 100);
	CU_ASSERT_EQUAL(f->generation % 2, 0);
	f->flags &= (uint8_t)~FLOW_NEW;
	CU_ASSERT_PTR_EQUAL(look_up(t, 1, UDP, 0, WAY_DOWN, 0, 600), f);
	CU_ASSERT_EQUAL(f->flags, FLOW_LIVE | FLOW_SEEN_UP | FLOW_SEEN_DOWN);
	CU_ASSERT_EQUAL(f->last_seen_ms, 600);
	CU_ASSERT_EQUAL(f->packets[WAY_DOWN], 1);
	CU_ASSERT_EQUAL(f->initiator, 1);

	/* Who opened it. */
	CU_ASSERT_EQUAL(look_up(t, 2, TCP, 1, WAY_DOWN, SYN, 1)->initiator, 1);
	CU_ASSERT_EQUAL(look_up(t, 2, TCP, 1, WAY_DOWN, SYN, 1)->lan_dir, 0);
	CU_ASSERT_EQUAL(look_up(t, 3, TCP, 1, WAY_UP, SYN | ACK, 1)->initiator, 0);
	CU_ASSERT_EQUAL(look_up(t, 4, TCP, 0, WAY_UP, ACK, 1)->initiator, 0);
	for (unsigned dir = 0; dir < 2; dir++) {
		for (unsigned server = 0; server < 2; server++) {
			struct pkt *p =
				fill(0, 5 + 2 * dir + server, TCP, (uint8_t)dir, WAY_UP, ACK);

			p->key.port[server] = RTE_BE16(443);
			p->hash = packet_key_hash(&p->key, SEED);
			flow_table_lookup_bulk(t, mbuf, 1, 1);
			CU_ASSERT_EQUAL(p->flow->initiator, !server);
		}
	}

	/* Two packets of one new flow in a burst, between others; and what is not IP. */
	uint64_t created = stats_of(t).created;

	fill(0, 20, UDP, 0, WAY_UP, 0);
	fill(1, 21, UDP, 0, WAY_UP, 0);
	fill(2, 20, UDP, 1, WAY_DOWN, 0);
	fill(3, 22, UDP, 0, WAY_UP, 0);
	memset(pkt_of(mbuf[3]), 0, sizeof(struct pkt));
	fill(4, 20, UDP, 0, WAY_UP, 0);
	flow_table_lookup_bulk(t, mbuf, 5, 700);
	f = pkt_of(mbuf[0])->flow;
	CU_ASSERT_PTR_EQUAL(pkt_of(mbuf[2])->flow, f);
	CU_ASSERT_PTR_EQUAL(pkt_of(mbuf[4])->flow, f);
	CU_ASSERT_PTR_NOT_EQUAL(pkt_of(mbuf[1])->flow, f);
	CU_ASSERT_EQUAL(f->packets[WAY_UP], 2);
	CU_ASSERT_EQUAL(f->packets[WAY_DOWN], 1);
	CU_ASSERT_EQUAL(stats_of(t).created, created + 2);
	f = pkt_of(mbuf[3])->flow;
	CU_ASSERT_PTR_EQUAL(f, flow_table_record(t, 0));
	CU_ASSERT_EQUAL(f->flags & (FLOW_OTHER | FLOW_LIVE), FLOW_OTHER | FLOW_LIVE);
	CU_ASSERT_EQUAL(f->packets[WAY_UP], 1);
	CU_ASSERT_EQUAL(stats_of(t).other_fallback, 0);
	CU_ASSERT_EQUAL(stats_of(t).live, stats_of(t).created);
	flow_table_lookup_bulk(t, mbuf, 0, 700);
	flow_table_destroy(t);
	flow_table_destroy(NULL);
}

static void test_restart(void)
{
	struct flow_table *t;
	struct flow *f;
	uint32_t generation;

	start();
	t = flow_table_create("restart", 100, SOCKET_ID_ANY);
	f = look_up(t, 1, TCP, 0, WAY_UP, SYN, 1);
	f->flags &= (uint8_t)~FLOW_NEW;
	look_up(t, 1, TCP, 0, WAY_UP, SYN, 2); /* a retransmission is no restart */
	CU_ASSERT_EQUAL(f->packets[WAY_UP], 2);
	CU_ASSERT_FALSE(f->flags & FLOW_NEW);
	look_up(t, 1, TCP, 1, WAY_DOWN, FIN | ACK, 3);
	CU_ASSERT(f->flags & FLOW_CLOSING);
	look_up(t, 1, TCP, 0, WAY_UP, ACK, 4);
	CU_ASSERT(f->flags & FLOW_CLOSING);
	f->shape[WAY_UP].tat = 1234;
	f->shape[WAY_UP].queue = 7;
	f->measure.half[0].next_seq = 55;
	f->codec.saved_bytes = 66;
	generation = f->generation;
	CU_ASSERT_PTR_EQUAL(look_up(t, 1, TCP, 1, WAY_DOWN, SYN, 9), f);
	CU_ASSERT_EQUAL(f->flags, FLOW_LIVE | FLOW_NEW | FLOW_SEEN_DOWN);
	CU_ASSERT_EQUAL(f->initiator, 1);
	CU_ASSERT_EQUAL(f->created_ms, 9);
	CU_ASSERT_EQUAL(f->packets[WAY_UP], 0);
	CU_ASSERT_EQUAL(f->packets[WAY_DOWN], 1);
	CU_ASSERT_EQUAL(f->measure.half[0].next_seq, 0);
	CU_ASSERT_EQUAL(f->codec.saved_bytes, 0);
	CU_ASSERT_EQUAL(f->shape[WAY_UP].tat, 1234);
	CU_ASSERT_EQUAL(f->shape[WAY_UP].queue, 7);
	CU_ASSERT_EQUAL(f->generation, generation + 2);
	CU_ASSERT_EQUAL(stats_of(t).created, 1);
	flow_table_destroy(t);
}

static void test_ageing(void)
{
	/* proto, ways seen, last TCP flags, timeout */
	static const struct {
		uint8_t proto, both, flags;
		uint32_t timeout_ms;
	} cases[] = {{TCP, 0, SYN, 60000}, {TCP, 1, ACK, 3600000}, {TCP, 1, FIN | ACK, 5000},
		{TCP, 0, RST, 5000}, {UDP, 0, 0, 30000}, {UDP, 1, 0, 120000}, {47, 0, 0, 30000},
		{47, 1, 0, 120000}};
	/* At zero, elsewhere, and where the milliseconds wrap. */
	static const uint32_t starts[] = {0, 123457, UINT32_MAX - 4000};
	struct flow_table *t;

	start();
	for (unsigned s = 0; s < RTE_DIM(starts); s++) {
		for (unsigned i = 0; i < RTE_DIM(cases); i++) {
			uint32_t now = starts[s], end = now + cases[i].timeout_ms;
			struct flow *f;

			t = flow_table_create("ageing", 1000, SOCKET_ID_ANY);
			if (cases[i].both)
				look_up(t, 1, cases[i].proto, 1, WAY_DOWN, cases[i].flags, now);
			f = look_up(t, 1, cases[i].proto, 0, WAY_UP, cases[i].flags, now);
			CU_ASSERT_EQUAL(age_all(t, end - 1), 0);
			CU_ASSERT_EQUAL(stats_of(t).live, 1);
			f->shape[WAY_DOWN].queue = 3; /* packets of it are waiting */
			CU_ASSERT_EQUAL(age_all(t, end), 0);
			f->shape[WAY_DOWN].queue = 0;
			CU_ASSERT_EQUAL(age_all(t, end), 1);
			CU_ASSERT_EQUAL(f->flags, 0);
			CU_ASSERT_EQUAL(stats_of(t).live, 0);
			CU_ASSERT_EQUAL(stats_of(t).expired, 1);
			f = look_up(t, 1, cases[i].proto, 0, WAY_UP, cases[i].flags, end);
			CU_ASSERT(f->flags & FLOW_NEW);
			flow_table_destroy(t);
		}
	}

	struct flow_timeouts timeouts = {100, 100, 100, 100, 50};

	t = flow_table_create("ageing", 1000, SOCKET_ID_ANY);
	flow_table_set_timeouts(t, &timeouts);
	look_up(t, 1, UDP, 0, WAY_UP, 0, 10);
	look_up(t, 2, TCP, 0, WAY_UP, 0, 10);
	CU_ASSERT_EQUAL(age_all(t, 59), 0);
	CU_ASSERT_EQUAL(age_all(t, 60), 1);
	/* The hand goes round in steps of any size. */
	unsigned ended = 0, steps = 0;
	while (ended == 0 && steps < flow_table_buckets(t)) {
		ended += flow_table_age(t, 110, 1);
		steps++;
	}
	CU_ASSERT_EQUAL(ended, 1);
	flow_table_destroy(t);
}

/* A full table: the oldest makes room, but none with a queue and none of this burst. */
/* Who counts calls, and the flow that the last one was of. */
static unsigned silent_calls;
static struct flow *silent_flow;

static void on_silent(void *context, struct flow *f)
{
	CU_ASSERT_PTR_EQUAL(context, &silent_calls);
	CU_ASSERT(f->flags & FLOW_LIVE);
	CU_ASSERT_NOT_EQUAL(f->key.proto, TCP);
	silent_calls++;
	silent_flow = f;
}

static void test_silent(void)
{
	struct flow_table *t;
	struct flow *udp;

	start();
	t = flow_table_create("silent", 64, SOCKET_ID_ANY);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	flow_table_on_silent(t, on_silent, &silent_calls);
	look_up(t, 1, TCP, 0, WAY_UP, RST, 1000);
	udp = look_up(t, 2, UDP, 0, WAY_UP, 0, 1000);
	age_all(t, 5000);
	CU_ASSERT_EQUAL(silent_calls, 0);
	CU_ASSERT_EQUAL(age_all(t, 6100), 1);
	CU_ASSERT_EQUAL(silent_calls, 1);
	CU_ASSERT_PTR_EQUAL(silent_flow, udp);
	look_up(t, 2, UDP, 0, WAY_UP, 0, 6200); /* it speaks */
	age_all(t, 8000);
	CU_ASSERT_EQUAL(silent_calls, 1);
	age_all(t, 12000);
	CU_ASSERT_EQUAL(silent_calls, 2);
	/* It ends, and makes room for others. */
	CU_ASSERT_EQUAL(age_all(t, 40000), 1);
	CU_ASSERT_EQUAL(silent_calls, 3);
	for (uint32_t id = 100; id < 200; id++)
		look_up(t, id, UDP, 0, WAY_UP, 0, 41000 + id);
	CU_ASSERT_EQUAL(silent_calls, 3 + stats_of(t).evicted);
	CU_ASSERT(stats_of(t).evicted > 0);
	flow_table_destroy(t);
}

static void test_eviction(void)
{
	struct flow_table *t;
	struct flow_table_stats s;
	unsigned old_evicted = 0;

	start();
	t = flow_table_create("evict", 1000, SOCKET_ID_ANY);
	for (uint32_t id = 0; id < 1000; id++)
		look_up(t, id, UDP, 0, WAY_UP, 0, 1000 + (id >= 500) * 10000);
	CU_ASSERT_EQUAL(stats_of(t).live, 1000);
	CU_ASSERT_EQUAL(stats_of(t).evicted, 0); /* nobody before it is full */
	for (uint32_t id = 5000; id < 5300; id++) {
		struct flow *f = look_up(t, id, UDP, 0, WAY_UP, 0, 20000);

		CU_ASSERT(f->flags & FLOW_NEW);
		CU_ASSERT_FALSE(f->flags & FLOW_OTHER);
	}
	s = stats_of(t);
	CU_ASSERT_EQUAL(s.live, 1000);
	CU_ASSERT_EQUAL(s.evicted, 300);
	CU_ASSERT_EQUAL(s.other_fallback, 0);
	for (uint32_t i = 1; i < flow_table_capacity(t); i++) {
		const struct flow *f = flow_table_record(t, i);
		uint32_t id;

		memcpy(&id, f->key.addr[0] + 12, 4);
		CU_ASSERT(f->flags & FLOW_LIVE);
		old_evicted += id < 500;
	}
	old_evicted = 500 - old_evicted;
	CU_ASSERT(old_evicted > 250); /* of 300; a few had only young neighbours */

	/* All have packets waiting: everything new goes to record 0, everything old is found. */
	for (uint32_t i = 1; i < flow_table_capacity(t); i++)
		((struct flow *)(uintptr_t)flow_table_record(t, i))->shape[i & 1].queue = i;
	for (uint32_t id = 6000; id < 6100; id++)
		CU_ASSERT(look_up(t, id, UDP, 0, WAY_UP, 0, 30000)->flags & FLOW_OTHER);
	CU_ASSERT_EQUAL(stats_of(t).other_fallback, 100);
	CU_ASSERT_FALSE(look_up(t, 5299, UDP, 0, WAY_UP, 0, 30000)->flags & FLOW_OTHER);
	flow_table_destroy(t);

	/* Bursts of more flows than there is room for: no record serves two flows of one burst. */
	t = flow_table_create("evict", 40, SOCKET_ID_ANY);
	for (uint32_t round = 0; round < 2000; round++) {
		for (unsigned i = 0; i < 64; i++)
			fill(i, round * 16 + i % 48, UDP, 0, WAY_UP, 0);
		flow_table_lookup_bulk(t, mbuf, 64, round);
		for (unsigned i = 0; i < 64; i++) {
			const struct pkt *p = pkt_of(mbuf[i]);

			if (!(p->flow->flags & FLOW_OTHER))
				CU_ASSERT(memcmp(&p->flow->key, &p->key, sizeof(p->key)) == 0);
		}
	}
	s = stats_of(t);
	CU_ASSERT_EQUAL(s.live, s.created - s.evicted - s.expired);
	CU_ASSERT(s.live <= 40);
	CU_ASSERT(s.other_fallback > 0);
	flow_table_destroy(t);
}

/* What the table should know of one conversation. */
struct expected {
	bool live, up, down, closing;
	uint32_t last_ms, created_ms;
	uint64_t packets[WAYS];
	struct flow *flow;
};

static uint32_t random32(void)
{
	static uint32_t state = 2463534242u;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

/* Random traffic and ageing over a table that is large enough, against an array. */
static void test_reference(void)
{
	enum { IDS = 20000 };
	static struct expected expected[IDS];
	struct flow_table *t;
	uint32_t now = UINT32_MAX - 200000, wrong = 0;
	uint64_t live = 0;

	start();
	t = flow_table_create("reference", IDS, SOCKET_ID_ANY);
	for (unsigned round = 0; round < 6000; round++) {
		unsigned n = random32() % (PACKETS + 1);
		/* Phases with few and with many active conversations. */
		unsigned spread = round / 1000 % 2 ? 500 : IDS;
		uint32_t ids[PACKETS];

		now += random32() % 200;
		for (unsigned i = 0; i < n; i++) {
			uint32_t id = ids[i] = random32() % spread;
			uint8_t proto = id % 3 == 0 ? TCP : UDP;
			enum way way = random32() % 2;
			uint8_t flags = proto == TCP ? random32() % 8 == 0 ? FIN | ACK : ACK : 0;
			struct expected *e = &expected[id];

			if (proto == TCP && random32() % 16 == 0)
				flags = SYN;
			fill(i, id, proto, way == WAY_UP ? 0 : 1, way, flags);
			if (!e->live || (flags == SYN && e->closing)) {
				struct flow *kept = e->live ? e->flow : NULL;

				live += !e->live;
				*e = (struct expected){
					.live = true, .created_ms = now, .flow = kept};
			}
			e->last_ms = now;
			*(way == WAY_UP ? &e->up : &e->down) = true;
			e->packets[way]++;
			e->closing |= flags & FIN;
		}
		flow_table_lookup_bulk(t, mbuf, n, now);
		for (unsigned i = 0; i < n; i++) {
			struct expected *e = &expected[ids[i]];

			if (e->flow == NULL)
				e->flow = pkt_of(mbuf[i])->flow;
			wrong += e->flow != pkt_of(mbuf[i])->flow;
		}
		if (round % 10 != 0)
			continue;
		age_all(t, now);
		for (uint32_t id = 0; id < IDS; id++) {
			struct expected *e = &expected[id];
			uint32_t limit = e->closing	    ? 5000
					 : id % 3 == 0	    ? (e->up && e->down ? 3600000 : 60000)
					 : e->up && e->down ? 120000
							    : 30000;

			if (!e->live)
				continue;
			if (now - e->last_ms >= limit) {
				e->live = false;
				e->flow = NULL;
				live--;
				continue;
			}
			wrong += !(e->flow->flags & FLOW_LIVE) ||
				 e->flow->packets[0] != e->packets[0] ||
				 e->flow->packets[1] != e->packets[1] ||
				 e->flow->created_ms != e->created_ms ||
				 e->flow->last_seen_ms != e->last_ms;
		}
		wrong += stats_of(t).live != live;
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(stats_of(t).evicted, 0);
	CU_ASSERT_EQUAL(stats_of(t).other_fallback, 0);
	CU_ASSERT(stats_of(t).expired > 1000);
	flow_table_destroy(t);
}

/* A million flows find room, stay where they are, and end. */
static void test_million(void)
{
	const uint32_t flows = 1000000;
	struct flow_table *t;
	uint32_t wrong = 0;

	start();
	t = flow_table_create("million", flows, SOCKET_ID_ANY);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	for (unsigned round = 0; round < 3; round++) {
		for (uint32_t id = 0; id < flows; id += 64) {
			for (unsigned i = 0; i < 64; i++)
				fill(i, (uint32_t)((id + i) * UINT64_C(7919) % flows), UDP, 0,
					WAY_UP, 0);
			flow_table_lookup_bulk(t, mbuf, 64, 1000 + round);
			for (unsigned i = 0; i < 64; i++)
				wrong += pkt_of(mbuf[i])->flow->packets[WAY_UP] != round + 1;
		}
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(stats_of(t).created, flows);
	CU_ASSERT_EQUAL(stats_of(t).evicted, 0);
	CU_ASSERT_EQUAL(age_all(t, 31001), 0);
	CU_ASSERT_EQUAL(age_all(t, 31002), flows);
	CU_ASSERT_EQUAL(stats_of(t).live, 0);
	flow_table_destroy(t);
}

static bool stop_reading;

/* Read records all the time; each accepted copy must be of one flow. Returns the number accepted.
 */
static void *read_records(void *arg)
{
	const struct flow_table *t = arg;
	uintptr_t good = 0;

	while (!__atomic_load_n(&stop_reading, __ATOMIC_RELAXED)) {
		for (uint32_t i = 1; i < flow_table_capacity(t); i++) {
			struct flow copy;

			if (!flow_snapshot(flow_table_record(t, i), &copy))
				continue;
			if (copy.hash_tag != packet_key_hash(&copy.key, SEED) >> 32)
				return NULL;
			good++;
		}
	}
	return (void *)good;
}

static void test_snapshot(void)
{
	struct flow_table *t;
	struct flow copy, *f;
	pthread_t reader;
	void *good;

	start();
	t = flow_table_create("snapshot", 64, SOCKET_ID_ANY);
	CU_ASSERT_FALSE(flow_snapshot(flow_table_record(t, 1), &copy));
	CU_ASSERT(flow_snapshot(flow_table_record(t, 0), &copy));
	f = look_up(t, 1, UDP, 0, WAY_UP, 0, 7);
	CU_ASSERT(flow_snapshot(f, &copy));
	CU_ASSERT(memcmp(&copy, f, sizeof(copy)) == 0);
	f->generation++;
	CU_ASSERT_FALSE(flow_snapshot(f, &copy));
	f->generation++;

	stop_reading = false;
	CU_ASSERT_EQUAL_FATAL(pthread_create(&reader, NULL, read_records, t), 0);
	for (uint32_t round = 0; round < 100000; round++) {
		for (unsigned i = 0; i < 8; i++)
			fill(i, round * 8 + i, UDP, 0, WAY_UP, 0);
		flow_table_lookup_bulk(t, mbuf, 8, 10 + round);
	}
	__atomic_store_n(&stop_reading, true, __ATOMIC_RELAXED);
	pthread_join(reader, &good);
	CU_ASSERT_PTR_NOT_NULL(good);
	CU_ASSERT(stats_of(t).evicted > 700000);
	flow_table_destroy(t);
}

UNIT_TESTS("flow table", {"new flows", test_new_flow}, {"restart", test_restart},
	{"ageing", test_ageing}, {"silent", test_silent}, {"eviction", test_eviction},
	{"against a reference", test_reference}, {"a million flows", test_million},
	{"snapshots", test_snapshot})
