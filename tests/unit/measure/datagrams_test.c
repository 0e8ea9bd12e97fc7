/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is measured of ICMP echo, DNS and QUIC: short scripts with the figures that a person would
 * read from them, and for the spin bit two endpoints after RFC 9000, 17.4, with a path between them
 * whose halves are known: live, in disorder, silent, stuck and random.
 */
#include <stdlib.h>

#include <rte_byteorder.h>

#include "dataplane/flow/flow.h"
#include "dataplane/measure/datagrams.h"
#include "dataplane/packet/packet.h"
#include "tests/unit/unit.h"

#define MS UINT64_C(1000000)

#define L FROM_LAN
#define W FROM_WAN

static struct measure_datagrams c;
static struct measure_datagrams_flow f;
static uint64_t now;

static void fresh(void)
{
	memset(&c, 0, sizeof(c));
	memset(&f, 0, sizeof(f));
	now = 5000000 * MS;
}

/* A packet from a side; the LAN is end 0 of the key. */
static void packet(enum measure_from from, uint8_t proto, uint16_t lan_port, uint16_t wan_port,
	const uint8_t *payload, unsigned len)
{
	struct pkt p = {.flags = PKT_IP, .dir = from, .payload_len = (uint16_t)len};
	uint8_t *exact = malloc(len > 0 ? len : 1); /* so that ASan sees what is read behind it */

	p.key.proto = proto;
	p.key.port[0] = rte_cpu_to_be_16(lan_port);
	p.key.port[1] = rte_cpu_to_be_16(wan_port);
	if (proto == 17)
		p.flags |= PKT_UDP;
	if (proto == 58)
		p.flags |= PKT_IPV6;
	memcpy(exact, payload, len);
	measure_datagram(&f, &p, exact, len, from, now, &c);
	free(exact);
}

static void echo(uint64_t after, enum measure_from from, uint8_t proto, uint8_t type, unsigned seq)
{
	uint8_t icmp[] = {type, 0, 0, 0, 0, 7, (uint8_t)(seq >> 8), (uint8_t)seq};

	now += after;
	packet(from, proto, 7, 0, icmp, sizeof(icmp));
}

/* Silence says that there was no answer, once. */
static void test_silent(void)
{
	static const uint8_t query[12] = {0x12, 0x34, 1, 0, 0, 1}, answer[12] = {0x12, 0x34, 0x80};
	struct flow flow = {.key.proto = 17, .key.port = {RTE_BE16(4000), RTE_BE16(53)}};

	fresh();
	packet(L, 17, 4000, 53, query, sizeof(query));
	flow.datagrams = f;
	measure_silent(&flow, now + 4900 * MS, &c);
	CU_ASSERT_EQUAL(c.dns_timeouts[W], 0);
	flow.key.port[1] = RTE_BE16(443); /* not DNS, whatever the record looks like */
	measure_silent(&flow, now + 5100 * MS, &c);
	flow.key.port[1] = RTE_BE16(53);
	flow.key.proto = 6;
	measure_silent(&flow, now + 5100 * MS, &c);
	CU_ASSERT_EQUAL(c.dns_timeouts[W], 0);
	flow.key.proto = 17;
	measure_silent(&flow, now + 5100 * MS, &c);
	measure_silent(&flow, now + 6000 * MS, &c);
	measure_silent(&flow, now + 300000 * MS, &c);
	CU_ASSERT_EQUAL(c.dns_timeouts[W], 1);
	f = flow.datagrams;
	now += 6000 * MS;
	packet(W, 17, 4000, 53, answer, sizeof(answer));
	CU_ASSERT_EQUAL(c.dns_answers[W], 0);
	/* So long that ticks begin anew: by the next packet, and without one. */
	packet(L, 17, 4000, 53, query, sizeof(query));
	now += 275000 * MS;
	packet(L, 17, 4000, 53, query, sizeof(query));
	CU_ASSERT_EQUAL(c.dns_timeouts[W], 2);
	flow.datagrams = f;
	measure_silent(&flow, now + 275000 * MS, &c);
	CU_ASSERT_EQUAL(c.dns_timeouts[W], 3);
	CU_ASSERT_EQUAL(c.dns_queries[W], 3);
}

static void test_echo(void)
{
	struct measure_datagrams_view view;

	for (unsigned v6 = 0; v6 < 2; v6++) {
		uint8_t proto = v6 ? 58 : 1, ask = v6 ? 128 : 8, answer = v6 ? 129 : 0;

		fresh();
		echo(0, L, proto, ask, 1);
		echo(3 * MS, L, proto, ask, 2);
		echo(4 * MS, W, proto, answer, 1);
		echo(4 * MS, W, proto, answer, 2); /* 8 ms */
		echo(1 * MS, W, proto, answer, 2); /* once more */
		CU_ASSERT_EQUAL(c.echo[W].count, 2);
		CU_ASSERT_EQUAL(c.echo[W].max_ns, 8 * MS);
		CU_ASSERT_EQUAL(histogram_min(&c.echo[W]), 7 * MS);
		CU_ASSERT_EQUAL(c.echo_requests[W], 2);
		CU_ASSERT_EQUAL(c.echo_replies[W], 2);
		/* The other way, and its own sequence number comes back from the wrong side. */
		echo(0, W, proto, ask, 3);
		echo(1 * MS, W, proto, answer, 3);
		echo(1 * MS, L, proto, answer, 3);
		CU_ASSERT_EQUAL(c.echo[L].count, 1);
		CU_ASSERT_EQUAL(c.echo[L].max_ns, 2 * MS);
		/* Asked twice under one number; of the other family; cut off. */
		echo(0, L, proto, ask, 4);
		echo(1 * MS, L, proto, ask, 4);
		echo(1 * MS, W, proto, answer, 4);
		echo(0, L, proto, v6 ? 8 : 128, 5);
		echo(1 * MS, W, proto, v6 ? 0 : 129, 5);
		for (unsigned len = 0; len < 8; len++)
			packet(L, proto, 7, 0, (const uint8_t[8]){ask}, len);
		/* An answer after minutes is none. */
		echo(0, L, proto, ask, 6);
		echo(300000 * MS, W, proto, answer, 6);
		CU_ASSERT_EQUAL(c.echo[W].count, 2);
		measure_datagrams_view(&f, &view);
		CU_ASSERT_EQUAL(view.samples, 3);
		CU_ASSERT_EQUAL(view.rtt_wan_min_ns, 7 * MS);
		CU_ASSERT_EQUAL(view.rtt_wan_last_ns, 8 * MS);
		CU_ASSERT_EQUAL(view.rtt_lan_last_ns, 2 * MS);
	}
}

static void dns(uint64_t after, enum measure_from from, unsigned id, bool response, unsigned rcode)
{
	uint8_t header[12] = {(uint8_t)(id >> 8), (uint8_t)id, response ? 0x81 : 0x01,
		(uint8_t)(response ? 0x80 | rcode : 0)};

	now += after;
	packet(from, 17, 4000, 53, header, sizeof(header));
}

static void test_dns(void)
{
	fresh();
	/* A and AAAA from one socket, answered the other way round. */
	dns(0, L, 100, false, 0);
	dns(0, L, 200, false, 0);
	dns(5 * MS, W, 200, true, 0);
	dns(2 * MS, W, 100, true, 3);
	CU_ASSERT_EQUAL(c.dns[W].count, 2);
	CU_ASSERT_EQUAL(c.dns[W].max_ns, 7 * MS);
	CU_ASSERT_EQUAL(c.dns_queries[W], 2);
	CU_ASSERT_EQUAL(c.dns_answers[W], 2);
	CU_ASSERT_EQUAL(c.dns_nxdomain[W], 1);
	/* An answer that nobody asked for, one to a query of before, a response from the client. */
	dns(1 * MS, W, 300, true, 2);
	dns(1 * MS, W, 100, true, 2);
	dns(1 * MS, L, 400, true, 2);
	CU_ASSERT_EQUAL(c.dns_servfail[W], 0);
	/* Sent again: no time, but an answer. */
	dns(0, L, 500, false, 0);
	dns(1000 * MS, L, 500, false, 0);
	dns(5 * MS, W, 500, true, 2);
	CU_ASSERT_EQUAL(c.dns[W].count, 2);
	CU_ASSERT_EQUAL(c.dns_again[W], 1);
	CU_ASSERT_EQUAL(c.dns_servfail[W], 1);
	/* Never answered: known when the flow's next packet comes. */
	dns(0, L, 600, false, 0);
	dns(6000 * MS, L, 601, false, 0);
	CU_ASSERT_EQUAL(c.dns_timeouts[W], 1);
	dns(1 * MS, W, 600, true, 0);
	CU_ASSERT_EQUAL(c.dns[W].count, 2);
	/* More than wait at a time: the oldest are given up. */
	for (unsigned id = 0; id < 20; id++)
		dns(0, L, 1000 + id, false, 0);
	for (unsigned id = 0; id < 20; id++)
		dns(1 * MS, W, 1000 + id, true, 0);
	CU_ASSERT_EQUAL(c.dns[W].count, 2 + DNS_WAITING);
	for (unsigned len = 0; len < 12; len++)
		packet(L, 17, 4000, 53, (const uint8_t[12]){0}, len);
	/* A server on the LAN. */
	packet(W, 17, 53, 4000, (const uint8_t[12]){1, 2, 1}, 12);
	now += 3 * MS;
	packet(L, 17, 53, 4000, (const uint8_t[12]){1, 2, 0x81}, 12);
	CU_ASSERT_EQUAL(c.dns[L].count, 1);
	CU_ASSERT_EQUAL(c.dns[L].max_ns, 3 * MS);
}

/* ---- the spin bit ---- */

enum behaviour { LIVE, STUCK, RANDOM, CLIENT_STUCK };

struct world {
	enum behaviour behaviour;
	uint64_t half_ns[2];	 /* box to the host and back, of the LAN half and the WAN half */
	uint64_t interval_ns[2]; /* how often a side sends */
	unsigned disorder;	 /* one packet in so many is late by 2 ms; 0: none */
	uint64_t pause_ns;	 /* the client is silent for so long after every 50 packets */
};

struct sent {
	uint64_t at_ns; /* at the box */
	enum measure_from from;
	bool spin;
	uint64_t number;
};

static uint64_t random_state;

static uint32_t random32(void)
{
	random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)(random_state >> 32);
}

static int by_time(const void *a, const void *b)
{
	const struct sent *x = a, *y = b;

	return (x->at_ns > y->at_ns) - (x->at_ns < y->at_ns);
}

#define PACKETS_MAX 40000

/* Each endpoint takes over the value of the packet with the highest number that has arrived. */
struct endpoint {
	bool spin;
	uint64_t highest, next_ns, number;
};

/*
 * The client is on the LAN. Packets pass the box half of their half's time after they were sent.
 * What an endpoint has received by a moment is looked up in what was sent before.
 */
static unsigned run_endpoints(const struct world *w, uint64_t duration_ns, struct sent *log)
{
	static uint64_t arrive_ns[PACKETS_MAX];
	struct endpoint e[2] = {0};
	unsigned count = 0, seen = 0;
	static bool taken[PACKETS_MAX];

	memset(taken, 0, sizeof(taken));
	e[W].next_ns = w->half_ns[L] / 2 + w->half_ns[W] / 2;
	while (count < PACKETS_MAX) {
		enum measure_from from = e[L].next_ns <= e[W].next_ns ? L : W;
		struct endpoint *me = &e[from];
		uint64_t time = me->next_ns, late = 0;

		if (time > duration_ns)
			break;
		for (unsigned i = seen; i < count; i++) {
			if (taken[i] || log[i].from == from || arrive_ns[i] > time)
				continue;
			taken[i] = true;
			if (log[i].number >= me->highest) {
				me->highest = log[i].number;
				me->spin = from == L ? !log[i].spin : log[i].spin;
			}
		}
		while (seen < count && taken[seen])
			seen++;
		if (w->disorder > 0 && random32() % w->disorder == 0)
			late = 2 * MS;
		bool stuck = w->behaviour == STUCK || (w->behaviour == CLIENT_STUCK && from == L);
		log[count] = (struct sent){.from = from,
			.at_ns = time + w->half_ns[from] / 2 + late,
			.spin = w->behaviour == RANDOM ? random32() & 1 : !stuck && me->spin,
			.number = ++me->number};
		arrive_ns[count] = log[count].at_ns + w->half_ns[!from] / 2;
		me->next_ns = time + w->interval_ns[from];
		if (from == L && w->pause_ns > 0 && me->number % 50 == 0)
			me->next_ns += w->pause_ns;
		count++;
	}
	qsort(log, count, sizeof(*log), by_time);
	return count;
}

static void quic(enum measure_from from, uint8_t first)
{
	uint8_t packet_bytes[20] = {first, 0, 0, 0, 1};

	packet(from, 17, 4000, 443, packet_bytes, sizeof(packet_bytes));
}

static void run_world(const struct world *w, uint64_t duration_ns)
{
	static struct sent log[PACKETS_MAX];
	uint64_t start;

	fresh();
	random_state = 1;
	/* The handshake, with some computing at both ends. */
	quic(L, 0xc0);
	now += w->half_ns[W] + 3 * MS;
	quic(W, 0xc0);
	now += w->half_ns[L] + 1 * MS;
	quic(L, 0xe0);
	start = now + MS;

	unsigned count = run_endpoints(w, duration_ns, log);
	for (unsigned i = 0; i < count; i++) {
		now = start + log[i].at_ns;
		quic(log[i].from, log[i].spin ? 0x60 : 0x40);
	}
}

static bool near(uint64_t value, uint64_t truth, uint64_t slack)
{
	if (value >= truth - truth / 50 && value <= truth + truth / 50 + slack)
		return true;
	printf("     %lu ns, should be %lu ns\n", (unsigned long)value, (unsigned long)truth);
	return false;
}

static void test_spin_live(void)
{
	static const uint64_t rtts[] = {5, 40, 200};

	for (unsigned i = 0; i < 3; i++) {
		/* A download: the server sends all the time, the client acknowledges. */
		struct world w = {
			.half_ns = {2 * MS, rtts[i] * MS}, .interval_ns = {400000, 200000}};

		run_world(&w, 4000 * MS);
		/* As many as there are round trips, but the first. */
		CU_ASSERT(c.spin[W].count >= 4000 / (rtts[i] + 3) - 6);
		CU_ASSERT(c.spin[L].count >= 4000 / (rtts[i] + 3) - 6);
		/* An edge waits for its sender's next packet. */
		CU_ASSERT(near(histogram_percentile(&c.spin[W], 50), rtts[i] * MS, 200000));
		CU_ASSERT(near(histogram_percentile(&c.spin[L], 50), 2 * MS, 400000));
		CU_ASSERT(near(histogram_percentile(&c.spin[W], 99), rtts[i] * MS, 200000));
	}
}

static void test_spin_disorder(void)
{
	struct world w = {
		.half_ns = {2 * MS, 40 * MS}, .interval_ns = {400000, 200000}, .disorder = 50};

	run_world(&w, 8000 * MS);
	CU_ASSERT(c.spin[W].count >= 100);
	CU_ASSERT(near(histogram_percentile(&c.spin[W], 50), 40 * MS, 400000));
	CU_ASSERT(near(histogram_percentile(&c.spin[W], 95), 40 * MS, 2 * MS));
	CU_ASSERT(histogram_min(&c.spin[W]) >= 37 * MS);
}

/* The client is silent again and again: an edge then waits for it, and nothing is measured. */
static void test_spin_silence(void)
{
	struct world w = {.half_ns = {2 * MS, 40 * MS},
		.interval_ns = {400000, 200000},
		.pause_ns = 100 * MS};

	run_world(&w, 8000 * MS);
	CU_ASSERT(c.spin[W].count > 20);
	CU_ASSERT(near(histogram_percentile(&c.spin[W], 50), 40 * MS, 400000));
	CU_ASSERT(c.spin[L].count == 0 || histogram_max(&c.spin[L]) < 10 * MS);
}

static void test_spin_dead(void)
{
	for (enum behaviour b = STUCK; b <= CLIENT_STUCK; b++) {
		struct world w = {.behaviour = b,
			.half_ns = {2 * MS, 40 * MS},
			.interval_ns = {400000, 200000}};

		run_world(&w, 4000 * MS);
		CU_ASSERT_EQUAL(c.spin[W].count, 0);
		CU_ASSERT_EQUAL(c.spin[L].count, 0);
	}
	/* Random values in few packets, as of an application that says little. */
	struct world sparse = {.behaviour = RANDOM,
		.half_ns = {2 * MS, 40 * MS},
		.interval_ns = {20 * MS, 20 * MS}};
	run_world(&sparse, 20000 * MS);
	CU_ASSERT_EQUAL(c.spin[W].count + c.spin[L].count, 0);
}

/* Packet by packet: from which change on there are samples, and a packet that is so late that its
 * value is just the one that is due. */
static void test_spin_rules(void)
{
	bool client = false;

	fresh();
	quic(L, 0xc0);
	now += 5 * MS;
	quic(W, 0xc0);
	now += 20 * MS;
	quic(L, 0x40);
	quic(W, 0x40);
	for (unsigned edge = 1; edge <= 10; edge += 2) {
		client = !client;
		now += 19 * MS + 900000;
		quic(L, client ? 0x40 : 0x60); /* something is being sent all the time */
		now += 100000;
		quic(L, client ? 0x60 : 0x40);
		CU_ASSERT_EQUAL(c.spin[L].count, edge > 4 ? (edge - 3) / 2 : 0);
		now += 4 * MS + 900000;
		quic(W, client ? 0x40 : 0x60);
		now += 100000;
		quic(W, client ? 0x60 : 0x40);
		CU_ASSERT_EQUAL(c.spin[W].count, edge > 4 ? (edge - 3) / 2 : 0);
	}
	CU_ASSERT_EQUAL(histogram_min(&c.spin[L]), 20 * MS);
	CU_ASSERT_EQUAL(histogram_max(&c.spin[L]), 20 * MS);
	CU_ASSERT_EQUAL(histogram_min(&c.spin[W]), 5 * MS);
	CU_ASSERT_EQUAL(histogram_max(&c.spin[W]), 5 * MS);
	/* Sent before the client's change, overtaken by the server's: no change. */
	now += MS;
	quic(L, client ? 0x40 : 0x60);
	CU_ASSERT_EQUAL(histogram_min(&c.spin[L]), 20 * MS);
	CU_ASSERT_EQUAL(f.quic.odd, 1);
}

/* Without a handshake, or cut off, or not QUIC at all. */
static void test_spin_unknown(void)
{
	fresh();
	for (unsigned i = 0; i < 1000; i++) {
		now += 20 * MS;
		quic(i & 1 ? W : L, i & 2 ? 0x60 : 0x40);
	}
	CU_ASSERT_EQUAL(c.spin[W].count + c.spin[L].count, 0);
	for (unsigned len = 0; len < 8; len++) {
		fresh();
		packet(L, 17, 4000, 443, (const uint8_t[8]){0xc0, 0, 0, 0, 1}, len);
		packet(W, 17, 4000, 443, (const uint8_t[8]){0xc0, 0, 0, 0, 1}, len);
		packet(L, 17, 4000, 443, (const uint8_t[8]){0x60}, len);
	}
	/* Of other ports and protocols not even the record is touched. */
	fresh();
	packet(L, 17, 4000, 4001, (const uint8_t[8]){0xc0, 0, 0, 0, 1}, 8);
	packet(L, 132, 53, 443, (const uint8_t[12]){0}, 12);
	CU_ASSERT_EQUAL(memcmp(&f, &(struct measure_datagrams_flow){0}, sizeof(f)), 0);
}

UNIT_TESTS("measure datagrams", {"echo", test_echo}, {"DNS", test_dns}, {"silent", test_silent},
	{"spin: live", test_spin_live}, {"spin: disorder", test_spin_disorder},
	{"spin: silence", test_spin_silence}, {"spin: stuck or random", test_spin_dead},
	{"spin: rules", test_spin_rules}, {"spin: unknown", test_spin_unknown})
