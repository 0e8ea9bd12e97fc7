/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What TCP measurement says beside times and losses: what caused a retransmission, DSACK, options
 * and windows, ECN, what a transfer waits for; and the store of segments in flight under pressure.
 * Short conversations written out, as in tcp_test.c, here with real options.
 */
#include <netinet/tcp.h>
#include <stdlib.h>

#include "dataplane/measure/inflight.h"
#include "dataplane/measure/tcp.h"
#include "dataplane/packet/packet.h"
#include "tests/unit/unit.h"

#define MS UINT64_C(1000000)
#define L FROM_LAN
#define W FROM_WAN
#define ECE 0x40
#define CWR 0x80

static struct measure_class c;
static struct flow_measure f;
static uint64_t now = 5000000 * MS;
static uint8_t header[60];
static unsigned options_len, ecn;
static bool is_again, by_timer; /* what is said of the last packet */
static uint16_t window = 1000;

static void fresh(void)
{
	memset(&c, 0, sizeof(c));
	memset(&f, 0, sizeof(f));
	window = 1000;
}

/* Options of the next packet, padded by the caller to a multiple of four. */
static void options(const void *bytes, unsigned len)
{
	memcpy(header + 20, bytes, len);
	options_len = len;
}

static void packet(uint64_t after, enum measure_from from, uint8_t flags, uint32_t seq,
	uint16_t len, uint32_t ack)
{
	struct pkt p = {.flags = PKT_IP | PKT_TCP,
		.payload_off = (uint16_t)(20 + options_len),
		.payload_len = len,
		.tcp_flags = flags,
		.tcp_window = window,
		.tcp_seq = seq,
		.tcp_ack = ack,
		.ecn = (uint8_t)ecn,
		.tcp = header};

	if (options_len > 0)
		p.flags |= PKT_TCP_OPTIONS;
	now += after;
	options_len = ecn = 0;
	measure_tcp(&f, &p, from, now, &c);
	is_again = p.flags & PKT_RETRANSMIT;
	by_timer = p.by_timer;
}

/* SACK with one or two blocks. */
static void sack(uint32_t a, uint32_t b, uint32_t d, uint32_t e)
{
	uint8_t bytes[20] = {1, 1, 5, d != e ? 18 : 10};
	uint32_t edges[] = {a, b, d, e};

	for (unsigned i = 0; i < 16; i++)
		bytes[4 + i] = (uint8_t)(edges[i / 4] >> (24 - i % 4 * 8));
	options(bytes, d != e ? 20 : 12);
}

static void handshake(void)
{
	options("\2\4\5\xb4\3\3\7\1\4\2\1\1", 12); /* MSS 1460, scale 7, SACK */
	packet(0, L, TH_SYN | ECE | CWR, 0, 0, 0);
	options("\2\4\5\x8c\3\3\2\1\4\2\1\1", 12); /* MSS 1420, scale 2 */
	packet(20 * MS, W, TH_SYN | TH_ACK | ECE, 0, 0, 1);
	packet(1 * MS, L, TH_ACK, 1, 0, 1);
}

static struct measure_flow_view view(void)
{
	struct measure_flow_view v;

	measure_flow_view(&f, &v);
	return v;
}

static void options_and_windows(void)
{
	fresh();
	handshake();
	CU_ASSERT_EQUAL(view().mss[L], 1460);
	CU_ASSERT_EQUAL(view().mss[W], 1420);
	unsigned all = MEASURE_OPTIONS_KNOWN | MEASURE_OPTION_SCALE | MEASURE_OPTION_SACK |
		       MEASURE_OPTION_ECN;
	CU_ASSERT_EQUAL(view().options[L], all);
	CU_ASSERT_EQUAL(view().options[W], all);
	CU_ASSERT_EQUAL(view().window_bytes[L], 1000 << 7);
	packet(1 * MS, L, TH_ACK, 1, 1000, 1);
	packet(1 * MS, L, TH_ACK, 1001, 1000, 1);
	CU_ASSERT_EQUAL(view().flight_bytes[L], 2000);
	packet(1 * MS, L, TH_ACK, 2001, 1000, 1);
	packet(18 * MS, W, TH_ACK, 1, 0, 2001);
	CU_ASSERT_EQUAL(view().window_bytes[W], 1000 << 2);
	CU_ASSERT_EQUAL(view().flight_bytes[L], 1000);
	CU_ASSERT_EQUAL(view().flight_max_bytes[L], 3000);
	/* One side without the option: nobody scales. Cut short in the middle: no harm. */
	fresh();
	options("\2\4\5\xb4\3\3\7\1", 8);
	packet(0, L, TH_SYN, 0, 0, 0);
	options("\2\4\5\x8c\3\3", 6);
	packet(20 * MS, W, TH_SYN | TH_ACK, 0, 0, 1);
	packet(1 * MS, L, TH_ACK, 1, 0, 1);
	CU_ASSERT_EQUAL(view().window_bytes[L], 1000);
	/* In the middle: how it is scaled is not known. */
	fresh();
	packet(0, L, TH_ACK, 1, 100, 1);
	packet(20 * MS, W, TH_ACK, 1, 0, 101);
	CU_ASSERT_EQUAL(view().window_bytes[W], 0);
	CU_ASSERT_EQUAL(view().options[W], 0);
}

static void what_caused_it(void)
{
	fresh();
	handshake();
	for (uint32_t i = 0; i < 5; i++)
		packet(1 * MS, L, TH_ACK, 1 + 1000 * i, 1000, 1);
	sack(1001, 2001, 0, 0); /* the first was lost behind the box */
	packet(17 * MS, W, TH_ACK, 1, 0, 1);
	sack(1001, 3001, 0, 0);
	packet(1 * MS, W, TH_ACK, 1, 0, 1);
	packet(2 * MS, L, TH_ACK, 1, 1000, 1);
	CU_ASSERT_EQUAL(c.retransmits_fast[L], 1);
	CU_ASSERT_EQUAL(c.retransmits_timeout[L], 0);
	CU_ASSERT(is_again && !by_timer);
	/* And again, after a silence of 300 ms; what follows at once belongs to that. */
	packet(300 * MS, L, TH_ACK, 1, 1000, 1);
	CU_ASSERT(is_again && by_timer);
	packet(21 * MS, W, TH_ACK, 1, 0, 3001);
	packet(1 * MS, L, TH_ACK, 3001, 1000, 1);
	CU_ASSERT(is_again && by_timer);
	CU_ASSERT_EQUAL(c.retransmits_fast[L], 1);
	CU_ASSERT_EQUAL(c.retransmits_timeout[L], 2);
	CU_ASSERT_EQUAL(view().timeouts[L], 2);
	CU_ASSERT_EQUAL(c.retransmits_after[L], 3);
	packet(21 * MS, W, TH_ACK, 1, 0, 5001);
	/* Three duplicate ACKs without SACK. */
	packet(1 * MS, L, TH_ACK, 5001, 1000, 1);
	packet(1 * MS, L, TH_ACK, 6001, 1000, 1);
	CU_ASSERT(!is_again && !by_timer);
	for (unsigned i = 0; i < 3; i++)
		packet(7 * MS, W, TH_ACK, 1, 0, 5001);
	packet(1 * MS, L, TH_ACK, 5001, 1000, 1);
	CU_ASSERT_EQUAL(c.retransmits_fast[L], 2);
	/* The receiver had it after all, and says so: in front of the ACK, or within a block. */
	sack(5001, 6001, 0, 0);
	packet(20 * MS, W, TH_ACK, 1, 0, 7001);
	CU_ASSERT_EQUAL(c.dsacks[L], 1);
	sack(9001, 9501, 9001, 10001);
	packet(1 * MS, W, TH_ACK, 1, 0, 7001);
	CU_ASSERT_EQUAL(view().dsacks[L], 2);
	/* So two of the four were not lost. */
	CU_ASSERT_EQUAL(c.retransmits_after[L], 4);
	CU_ASSERT_EQUAL(measure_lost_after(&c, L), 2);
	CU_ASSERT_EQUAL(c.retransmits_fast[L] + c.retransmits_timeout[L], 4);
}

static void marks_of_congestion(void)
{
	fresh();
	handshake();
	CU_ASSERT_EQUAL(c.ece[L] + c.ece[W] + c.cwr[L], 0); /* on SYNs they mean something else */
	ecn = 3;
	packet(1 * MS, L, TH_ACK, 1, 1000, 1);
	packet(20 * MS, W, TH_ACK | ECE, 1, 0, 1001);
	packet(1 * MS, L, TH_ACK | CWR, 1001, 1000, 1);
	CU_ASSERT_EQUAL(c.ce[L], 1);
	CU_ASSERT_EQUAL(c.ece[W], 1);
	CU_ASSERT_EQUAL(c.cwr[L], 1);
	CU_ASSERT_EQUAL(view().ce[L] + view().ece[W] + view().cwr[L], 3);
	CU_ASSERT_EQUAL(c.ce[W] + c.ece[L] + c.cwr[W], 0);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 2); /* data all the same */
}

/* Rounds of `segments` of `len` bytes, the last of `last`, acknowledged a round trip later. */
static void transfer(unsigned rounds, unsigned segments, uint16_t len, uint16_t last)
{
	uint32_t seq = 1;

	for (unsigned r = 0; r < rounds; r++) {
		for (unsigned i = 0; i < segments; i++) {
			uint16_t size = i + 1 < segments ? len : last;
			packet(i == 0 ? 1 * MS : 1000, L, TH_ACK, seq, size, 1);
			seq += size;
		}
		packet(20 * MS, W, TH_ACK, 1, 0, seq);
	}
}

static void what_a_transfer_waits_for(void)
{
	fresh();
	window = 2500; /* of the receiver: 2500 << 2 */
	handshake();
	transfer(50, 7, 1400, 1400); /* 9,800 of 10,000 */
	CU_ASSERT(c.limited_ns[L][LIMIT_RECEIVER] > 900 * MS);
	CU_ASSERT(c.limited_ns[L][LIMIT_SENDER] + c.limited_ns[L][LIMIT_NETWORK] < 50 * MS);
	fresh();
	window = 60000;
	handshake();
	transfer(50, 7, 1400, 1400);
	CU_ASSERT(c.limited_ns[L][LIMIT_NETWORK] > 900 * MS);
	CU_ASSERT(c.limited_ns[L][LIMIT_SENDER] + c.limited_ns[L][LIMIT_RECEIVER] < 50 * MS);
	fresh();
	window = 60000;
	handshake();
	transfer(50, 7, 1400, 300);
	CU_ASSERT(c.limited_ns[L][LIMIT_SENDER] > 900 * MS);
	CU_ASSERT_EQUAL(view().limited_ns[L][LIMIT_SENDER], c.limited_ns[L][LIMIT_SENDER]);
	CU_ASSERT(c.limited_ns[W][LIMIT_SENDER] + c.limited_ns[W][LIMIT_NETWORK] < 50 * MS);
}

/* Flows that send and are never answered, then vanish: others are measured again in time. */
static void a_store_too_small(void)
{
	enum { RUNS = 64, FLOWS = 200 };
	struct inflight_store *s = aligned_alloc(64, (inflight_bytes(RUNS) + 63) / 64 * 64);
	static struct measure_half half[FLOWS];
	uint32_t tick, got = 0, at = 1000;

	memset(half, 0, sizeof(half));
	inflight_init(s, RUNS);
	for (unsigned i = 0; i < FLOWS; i++)
		for (uint32_t n = 1; n <= 20; n++)
			inflight_add(s, &half[i], n * 100, at, s->share);
	for (unsigned i = 0; i < FLOWS; i++)
		got += half[i].newest != 0 && inflight_acked(s, &half[i], 2000, &tick);
	CU_ASSERT(got > 0 && got < RUNS); /* room for some */
	memset(half, 0, sizeof(half));	  /* gone, with all that they had */
	at += 200000000;		  /* 12.8 s */
	for (unsigned i = 0; i < 10; i++)
		for (uint32_t n = 1; n <= 20; n++)
			inflight_add(s, &half[i], n * 100, at + n, s->share);
	for (unsigned i = 0; i < 10; i++)
		for (uint32_t n = 1; n <= 20; n++)
			CU_ASSERT(inflight_acked(s, &half[i], n * 100, &tick) &&
				  tick - (at + n) <= 1);
	/* One alone has its share and no more; the newest are kept. */
	for (uint32_t n = 1; n <= 1000; n++)
		inflight_add(s, &half[0], n * 100, at + n, s->share);
	CU_ASSERT_FALSE(inflight_acked(s, &half[0], 100, &tick));
	CU_ASSERT(inflight_acked(s, &half[0], 99900, &tick) && tick == at + 999);
	inflight_forget(s, &half[0]);
	free(s);
}

/* What is sent again makes everything behind it ambiguous, and nothing before it. */
static void cut_in_the_middle(void)
{
	enum { RUNS = 256 };
	struct inflight_store *s = aligned_alloc(64, (inflight_bytes(RUNS) + 63) / 64 * 64);
	struct measure_half h = {0};
	uint32_t tick;

	inflight_init(s, RUNS);
	for (uint32_t n = 1; n <= 50; n++)
		inflight_add(s, &h, n * 100, n, 10);
	CU_ASSERT(inflight_find(s, &h, 4100, &tick) && tick == 41);
	CU_ASSERT(inflight_find(s, &h, 100, &tick) && tick == 1);
	CU_ASSERT_FALSE(inflight_find(s, &h, 150, &tick));
	inflight_cut(s, &h, 2000);
	CU_ASSERT_FALSE(inflight_find(s, &h, 2100, &tick));
	inflight_add(s, &h, 5100, 51, 10);
	CU_ASSERT(inflight_acked(s, &h, 1900, &tick) && tick == 19);
	CU_ASSERT_FALSE(inflight_acked(s, &h, 3000, &tick));
	CU_ASSERT(inflight_acked(s, &h, 5100, &tick) && tick == 51);
	CU_ASSERT_EQUAL(h.oldest, 0);
	CU_ASSERT_EQUAL(h.newest, 0);
	for (uint32_t n = 1; n <= 50; n++)
		inflight_add(s, &h, n * 100, n, 10);
	inflight_cut(s, &h, 0);
	CU_ASSERT_EQUAL(h.newest, 0);
	free(s);
}

UNIT_TESTS("tcp state", {"options and windows", options_and_windows},
	{"what caused a retransmission", what_caused_it},
	{"marks of congestion", marks_of_congestion},
	{"what a transfer waits for", what_a_transfer_waits_for},
	{"a store too small", a_store_too_small}, {"cut in the middle", cut_in_the_middle})
