/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TCP measurement, rule by rule: short conversations written out packet by packet, with the figures
 * that a person would read from them. The long runs are in sim_test.c.
 */
#include <netinet/tcp.h>
#include <stdlib.h>

#include "dataplane/flow/flow.h"
#include "dataplane/measure/tcp.h"
#include "dataplane/measure/tcp_private.h"
#include "dataplane/measure/transactions.h"
#include "dataplane/packet/packet.h"
#include "tests/unit/unit.h"

#define MS UINT64_C(1000000)
#define US UINT64_C(1000)

#define L FROM_LAN
#define W FROM_WAN

static struct measure_class c;
static struct flow_measure f;
static uint64_t now;
static uint32_t isn[2]; /* relative numbers in the scripts start here */
static bool stamps;	/* send timestamps: value of the clock in ms, echo of the other's last */
static uint32_t ts_recent[2];
static unsigned sack; /* bytes of further options in the next packet */
static uint16_t window;

static void fresh(bool with_stamps)
{
	memset(&c, 0, sizeof(c));
	memset(&f, 0, sizeof(f));
	memset(ts_recent, 0, sizeof(ts_recent));
	now = 5000000 * MS;
	isn[L] = 0xfffffff0; /* wraps at once */
	isn[W] = 0x7ffffff0;
	stamps = with_stamps;
	sack = 0;
	window = 1000;
}

/* One packet passes the box `after` ns behind the previous one. seq and ack count from the ISN. */
static void packet(uint64_t after, enum measure_from from, uint8_t flags, uint32_t seq,
	uint16_t len, uint32_t ack)
{
	struct pkt p = {
		.flags = PKT_IP | PKT_TCP,
		.l4_off = 34,
		.payload_off = (uint16_t)(54 + sack),
		.payload_len = len,
		.tcp_flags = flags,
		.tcp_window = window,
		.tcp_seq = isn[from] + seq,
		.tcp_ack = flags & TH_ACK ? isn[!from] + ack : 0,
	};

	now += after;
	if (stamps) {
		p.flags |= PKT_TCP_TS;
		p.payload_off += 12;
		p.tcp_tsval = (uint32_t)(now / MS) + 0xffff0000u * from;
		p.tcp_tsecr = ts_recent[!from];
		if (from == L || from == W)
			ts_recent[from] = p.tcp_tsval;
	}
	if (sack > 0)
		p.flags |= PKT_TCP_OPTIONS;
	sack = 0;
	measure_tcp(&f, &p, from, now, &c);
}

/* SYN from the LAN, WAN half 20 ms, LAN half 1 ms. Data starts at 1 on both sides. */
static void handshake(void)
{
	packet(0, L, TH_SYN, 0, 0, 0);
	packet(20 * MS, W, TH_SYN | TH_ACK, 0, 0, 1);
	packet(1 * MS, L, TH_ACK, 1, 0, 1);
}

static struct measure_flow_view view(void)
{
	struct measure_flow_view v;

	measure_flow_view(&f, &v);
	return v;
}

/* Within the 64 ns ticks and the 0.05 % of the flow's short floats. */
static bool about(uint64_t got_ns, uint64_t want_ns)
{
	return got_ns <= want_ns + 64 && got_ns + 64 + want_ns / 2000 >= want_ns;
}

static void a_handshake_gives_both_halves(void)
{
	fresh(false);
	handshake();
	CU_ASSERT_EQUAL(c.rtt_wan.count, 1);
	CU_ASSERT_EQUAL(c.rtt_lan.count, 1);
	CU_ASSERT(about(c.rtt_wan.sum_ns, 20 * MS));
	CU_ASSERT(about(c.rtt_lan.sum_ns, 1 * MS));
	CU_ASSERT(about(c.connect.sum_ns, 21 * MS));
	CU_ASSERT_EQUAL(c.connect.count, 1);
	CU_ASSERT_EQUAL(c.connections, 1);
	CU_ASSERT_EQUAL(c.tcp_packets[L], 2);
	CU_ASSERT_EQUAL(c.tcp_packets[W], 1);
	CU_ASSERT_EQUAL(c.data_packets[L], 1);
	CU_ASSERT(about(view().rtt_wan_min_ns, 20 * MS));
	CU_ASSERT(about(view().rtt_lan_last_ns, 1 * MS));
	CU_ASSERT(about(view().connect_ns, 21 * MS));
	/* The other way round: opened from the WAN. */
	fresh(true);
	packet(0, W, TH_SYN, 0, 0, 0);
	packet(300 * US, L, TH_SYN | TH_ACK, 0, 0, 1);
	packet(40 * MS, W, TH_ACK, 1, 0, 1);
	CU_ASSERT(about(c.rtt_lan.sum_ns, 300 * US));
	CU_ASSERT(about(c.rtt_wan.sum_ns, 40 * MS));
	CU_ASSERT_EQUAL(c.connections, 1);
}

static void only_an_exact_ack_answers(void)
{
	fresh(false);
	handshake();
	packet(1 * MS, L, TH_ACK, 1, 100, 1);
	packet(1 * MS, L, TH_ACK, 101, 100, 1);
	packet(1 * MS, L, TH_ACK, 201, 100, 1);
	packet(18 * MS, W, TH_ACK, 1, 0, 101); /* 20 ms after the first */
	CU_ASSERT_EQUAL(c.rtt_wan.count, 2);
	CU_ASSERT(about(view().rtt_wan_last_ns, 20 * MS));
	packet(2 * MS, W, TH_ACK, 1, 0, 301); /* all there is: 20 ms after the newest */
	CU_ASSERT_EQUAL(c.rtt_wan.count, 3);
	CU_ASSERT(about(view().rtt_wan_last_ns, 20 * MS));
	/* Of four, the ACK covers two: it answers the second, 2 ms before the last. */
	for (int i = 0; i < 4; i++)
		packet(1 * MS, L, TH_ACK, 301 + 100 * (uint32_t)i, 100, 1);
	packet(18 * MS, W, TH_ACK, 1, 0, 501);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 4);
	CU_ASSERT(about(view().rtt_wan_last_ns, 20 * MS));
	/* An ACK in the middle of a segment answers none, nor does a repeated or old one. */
	packet(1 * MS, W, TH_ACK, 1, 0, 550);
	packet(1 * MS, W, TH_ACK, 1, 0, 550);
	packet(1 * MS, W, TH_ACK, 1, 0, 501);
	packet(1 * MS, W, TH_ACK, 1, 0, 101);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 4);
	CU_ASSERT_EQUAL(view().rtt_wan_samples, 4);
	CU_ASSERT_EQUAL(c.retransmits_after[L] + c.retransmits_after[W], 0);
}

static void every_packet_of_a_burst_counts(void)
{
	fresh(false);
	handshake();
	packet(1 * MS, L, TH_ACK, 1, 1000, 1);
	for (uint32_t i = 1; i < 6; i++)
		packet(1 * US, L, TH_ACK, 1 + 1000 * i, 1000, 1);
	packet(1 * MS, L, TH_ACK, 6001, 1000, 1);
	packet(20 * MS, W, TH_ACK, 1, 0, 4001); /* the fourth, 3 us behind the first */
	CU_ASSERT_EQUAL(c.rtt_wan.count, 2);
	CU_ASSERT(about(view().rtt_wan_last_ns, 21 * MS + 2 * US));
}

/* A receiver that always acknowledges eight at a time, in step with the sender, is still measured.
 */
static void strides_do_not_starve(void)
{
	uint32_t seq = 1;

	fresh(false);
	handshake();
	for (int i = 0; i < 8; i++, seq += 100)
		packet(i == 0 ? 20 * MS : 100 * US, L, TH_ACK, seq, 100, 1);
	for (int round = 0; round < 400; round++) {
		for (int i = 0; i < 8; i++, seq += 100)
			packet(i == 0 ? 19 * MS : 100 * US, L, TH_ACK, seq, 100, 1);
		packet(300 * US, W, TH_ACK, 1, 0, seq - 800);
	}
	CU_ASSERT_EQUAL(c.rtt_wan.count, 401);
	/* From the last of eight to the ACK that ends with it. */
	CU_ASSERT(about(view().rtt_wan_last_ns, 20300 * US));
	CU_ASSERT_EQUAL(histogram_percentile(&c.rtt_wan, 10), histogram_percentile(&c.rtt_wan, 90));
}

static void karn_loss_behind_the_box(void)
{
	fresh(false);
	handshake();
	packet(1 * MS, L, TH_ACK, 1, 100, 1);
	packet(300 * MS, L, TH_ACK, 1, 100, 1); /* again */
	packet(20 * MS, W, TH_ACK, 1, 0, 101);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 1);
	CU_ASSERT_EQUAL(c.retransmits_after[L], 1);
	CU_ASSERT_EQUAL(c.retransmits_before[L], 0);
	CU_ASSERT_EQUAL(view().retransmits[L], 1);
	/* An earlier packet sent again holds back the ACK of the probe. */
	packet(1 * MS, L, TH_ACK, 101, 100, 1);
	packet(1 * MS, L, TH_ACK, 201, 100, 1);
	packet(18 * MS, W, TH_ACK, 1, 0, 201); /* 101 answered, the next becomes the probe */
	CU_ASSERT_EQUAL(c.rtt_wan.count, 2);
	packet(1 * MS, L, TH_ACK, 301, 100, 1);
	packet(1 * MS, L, TH_ACK, 401, 100, 1);
	packet(60 * MS, L, TH_ACK, 201, 100, 1);
	packet(20 * MS, W, TH_ACK, 1, 0, 401);
	packet(1 * MS, W, TH_ACK, 1, 0, 501);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 2);
	CU_ASSERT_EQUAL(c.retransmits_after[L], 2);
	/* And when it is over, samples come again. */
	packet(1 * MS, L, TH_ACK, 501, 100, 1);
	packet(20 * MS, W, TH_ACK, 1, 0, 601);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 3);
}

static void timestamps_resolve_a_packet_sent_again(void)
{
	fresh(true);
	handshake();
	packet(1 * MS, L, TH_ACK, 1, 100, 1);
	packet(300 * MS, L, TH_ACK, 1, 100, 1);
	packet(20 * MS, W, TH_ACK, 1, 0, 101); /* echoes the second */
	CU_ASSERT_EQUAL(c.rtt_wan.count, 2);
	CU_ASSERT(about(view().rtt_wan_last_ns, 20 * MS));
	/* The answer echoes the first: it was needless, and no figure is to be had. */
	packet(1 * MS, L, TH_ACK, 101, 100, 1);
	uint32_t first = ts_recent[L];
	packet(19 * MS, L, TH_ACK, 101, 100, 1);
	ts_recent[L] = first;
	packet(1 * MS, W, TH_ACK, 1, 0, 201);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 2);
}

static void the_receiver_misses_something(void)
{
	fresh(false);
	handshake();
	packet(1 * MS, L, TH_ACK, 1, 100, 1);
	packet(1 * MS, L, TH_ACK, 101, 100, 1);
	sack = 12; /* it got the second before the first: reordered behind the box */
	packet(19 * MS, W, TH_ACK, 1, 0, 1);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 1);
	packet(2 * MS, W, TH_ACK, 1, 0, 201); /* each passed here once: an answer like any other */
	CU_ASSERT_EQUAL(c.rtt_wan.count, 2);
	/* A window update, without options, is not that. */
	packet(1 * MS, L, TH_ACK, 201, 100, 1);
	window++;
	packet(1 * MS, W, TH_ACK, 1, 0, 201);
	packet(19 * MS, W, TH_ACK, 1, 0, 301);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 3);
}

static void delayed_acks_are_told_apart(void)
{
	fresh(false);
	handshake();
	packet(1 * MS, L, TH_ACK, 1, 100, 1);
	packet(60 * MS, W, TH_ACK, 1, 0, 101); /* nothing followed: 20 ms of path, 40 ms of timer */
	CU_ASSERT_EQUAL(c.rtt_wan.count, 2);
	CU_ASSERT_EQUAL(c.rtt_delayed[W], 1);
	CU_ASSERT(about(view().rtt_wan_last_ns, 20 * MS));
	packet(1 * MS, L, TH_ACK, 101, 100, 1);
	packet(30 * MS, W, TH_ACK, 1, 0, 201);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 3);
	/* With more behind it the receiver had to answer: 100 ms are the path's. */
	for (uint32_t i = 0; i < 4; i++)
		packet(1 * MS, L, TH_ACK, 201 + 100 * i, 100, 1);
	packet(97 * MS, W, TH_ACK, 1, 0, 301);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 4);
	CU_ASSERT_EQUAL(c.rtt_delayed[W], 1);
	CU_ASSERT(about(view().rtt_wan_last_ns, 100 * MS));
	CU_ASSERT(about(view().rtt_wan_min_ns, 20 * MS));
}

/* A download: the LAN sends only ACKs, their echo measures the WAN half. */
static void pure_acks_measure_by_timestamp(void)
{
	uint32_t seq = 1;
	uint64_t before;

	fresh(true);
	handshake();
	packet(1 * MS, L, TH_ACK | TH_PUSH, 1, 100, 1);
	uint32_t echo = ts_recent[L];
	for (int i = 0; i < 400; i++, seq += 1000) /* a stream, a packet each 50 us */
		ts_recent[L] = echo, packet(i == 0 ? 20 * MS : 50 * US, W, TH_ACK, seq, 1000, 101);
	before = c.rtt_wan.count;
	CU_ASSERT_EQUAL(before, 2);
	/* One timestamp in 32 is a probe. */
	packet(2 * MS + 50 * US, L, TH_ACK, 101, 0, 2001);
	uint32_t mine = ts_recent[L];
	CU_ASSERT_EQUAL(mine % 32, 0);
	for (int i = 0; i < 399; i++, seq += 1000)
		ts_recent[L] = echo, packet(50 * US, W, TH_ACK, seq, 1000, 101);
	ts_recent[L] = mine;
	packet(50 * US, W, TH_ACK, seq, 1000, 101); /* 20 ms after the ACK, 50 us after the last */
	seq += 1000;
	CU_ASSERT_EQUAL(c.rtt_wan.count, before + 1);
	CU_ASSERT(about(view().rtt_wan_last_ns, 20 * MS));
	/* The server pauses: the next data may come for any reason. */
	packet(12 * MS, L, TH_ACK, 101, 0, 9001);
	CU_ASSERT_EQUAL(ts_recent[L] % 32, 0);
	packet(60 * MS, W, TH_ACK, seq, 1000, 101);
	CU_ASSERT_EQUAL(c.rtt_wan.count, before + 1);
	/* Nothing is under way: the ACK of the last data is no probe at all. */
	seq += 1000;
	packet(4 * MS, L, TH_ACK, 101, 0, seq);
	CU_ASSERT_EQUAL(ts_recent[L] % 32, 0);
	packet(500 * MS, W, TH_ACK, seq, 1000, 101);
	CU_ASSERT_EQUAL(c.rtt_wan.count, before + 1);
}

static void loss_before_the_box(void)
{
	for (int with_stamps = 0; with_stamps < 2; with_stamps++) {
		fresh(with_stamps);
		handshake();
		packet(1 * MS, L, TH_ACK, 1, 100, 1);
		packet(1 * MS, L, TH_ACK, 201, 100, 1); /* 101 is missing */
		packet(1 * MS, L, TH_ACK, 301, 100, 1);
		packet(18 * MS, W, TH_ACK, 1, 0, 101);
		packet(3 * MS, L, TH_ACK, 101, 100, 1);
		CU_ASSERT_EQUAL(c.retransmits_before[L], 1);
		CU_ASSERT_EQUAL(c.retransmits_after[L], 0);
		CU_ASSERT_EQUAL(c.reordered[L], 0);
		/* The same at once: the sender cannot know yet, the network made a copy. */
		packet(100 * US, L, TH_ACK, 101, 100, 1);
		CU_ASSERT_EQUAL(c.duplicates[L], 1);
		CU_ASSERT_EQUAL(c.retransmits_after[L], 0);
		/* The same a round trip later: now it was seen. */
		packet(25 * MS, L, TH_ACK, 101, 100, 1);
		CU_ASSERT_EQUAL(c.retransmits_before[L], 1);
		CU_ASSERT_EQUAL(c.retransmits_after[L], 1);
		packet(20 * MS, W, TH_ACK, 1, 0, 401);
		CU_ASSERT(about(view().rtt_wan_last_ns, 20 * MS));
		CU_ASSERT_EQUAL(view().retransmits[L], 2);
		CU_ASSERT_EQUAL(view().duplicates[L], 1);
		CU_ASSERT_EQUAL(c.data_packets[L], 7);
	}
}

static void overtaken_is_not_lost(void)
{
	for (int with_stamps = 0; with_stamps < 2; with_stamps++) {
		fresh(with_stamps);
		handshake();
		packet(1 * MS, L, TH_ACK, 201, 100, 1);
		packet(300 * US, L, TH_ACK, 1, 200, 1); /* fills the hole in far less than 21 ms */
		CU_ASSERT_EQUAL(c.reordered[L], 1);
		CU_ASSERT_EQUAL(c.retransmits_before[L] + c.retransmits_after[L], 0);
		CU_ASSERT_EQUAL(view().reordered[L], 1);
		CU_ASSERT_EQUAL(view().retransmits[L], 0);
	}
	/* Timestamps know better than the time: very late, but sent before. */
	fresh(true);
	handshake();
	stamps = false; /* written by hand below */
	struct pkt p = {
		.flags = PKT_IP | PKT_TCP | PKT_TCP_TS, .tcp_flags = TH_ACK, .tcp_window = 1};
	p.l4_off = 34;
	p.payload_off = 66;
	p.payload_len = 100;
	p.tcp_ack = isn[W] + 1;
	p.tcp_tsval = (uint32_t)(now / MS) + 10;
	p.tcp_seq = isn[L] + 101;
	measure_tcp(&f, &p, L, now + 10 * MS, &c);
	p.tcp_tsval -= 2;
	p.tcp_seq = isn[L] + 1;
	measure_tcp(&f, &p, L, now + 60 * MS, &c);
	CU_ASSERT_EQUAL(c.reordered[L], 1);
	/* Very early, but sent after: the timer of the sender had run out just then. */
	p.tcp_tsval += 10;
	p.tcp_seq = isn[L] + 301;
	measure_tcp(&f, &p, L, now + 70 * MS, &c);
	p.tcp_tsval += 1;
	p.tcp_seq = isn[L] + 201;
	measure_tcp(&f, &p, L, now + 71 * MS, &c);
	CU_ASSERT_EQUAL(c.reordered[L], 1);
	CU_ASSERT_EQUAL(c.retransmits_before[L], 1);
}

static void more_holes_than_room(void)
{
	fresh(false);
	handshake();
	for (uint32_t i = 0; i < 20; i++) /* every second packet is missing */
		packet(10 * US, L, TH_ACK, 101 + 200 * i, 100, 1);
	for (uint32_t i = 0; i < 20; i++)
		packet(i == 0 ? 30 * MS : 10 * US, L, TH_ACK, 1 + 200 * i, 100, 1);
	CU_ASSERT_EQUAL(c.retransmits_before[L], 20);
	CU_ASSERT_EQUAL(c.retransmits_after[L], 0);
	packet(20 * MS, W, TH_ACK, 1, 0, 4001); /* closes what was left of the joined holes */
	packet(1 * MS, L, TH_ACK, 4001, 100, 1);
	packet(20 * MS, W, TH_ACK, 1, 0, 4101);
	CU_ASSERT(about(view().rtt_wan_last_ns, 20 * MS));
	CU_ASSERT_NOT_EQUAL(f.flags & F_ORDINARY, 0);
	/* Both directions at once, filled from the end and across. */
	fresh(false);
	handshake();
	for (uint32_t i = 1; i <= 3; i++) {
		packet(10 * US, L, TH_ACK, 200 * i, 100, 1);
		packet(10 * US, W, TH_ACK, 200 * i, 100, 1);
	}
	packet(100 * MS, L, TH_ACK, 500, 100, 1);
	packet(10 * US, W, TH_ACK, 1, 199, 1);
	packet(10 * US, L, TH_ACK, 1, 399, 1); /* holes and data between them in one */
	packet(10 * US, W, TH_ACK, 300, 300, 1);
	CU_ASSERT_EQUAL(c.retransmits_before[L], 2);
	CU_ASSERT_EQUAL(c.retransmits_before[W], 2);
	CU_ASSERT_EQUAL(c.retransmits_after[L] + c.retransmits_after[W], 0);
}

static void needless_and_probes(void)
{
	fresh(false);
	handshake();
	packet(1 * MS, L, TH_ACK, 1, 100, 1);
	packet(20 * MS, W, TH_ACK, 1, 0, 101);
	packet(1 * MS, L, TH_ACK, 1, 100, 1); /* its ACK was lost between box and sender */
	CU_ASSERT_EQUAL(c.retransmits_needless[L], 1);
	CU_ASSERT_EQUAL(c.retransmits_after[L], 0);
	/* Keep-alives, with and without the old byte. */
	packet(7200000 * MS, L, TH_ACK, 100, 0, 1);
	packet(20 * MS, W, TH_ACK, 1, 0, 101);
	packet(7200000 * MS, L, TH_ACK, 100, 1, 1);
	packet(20 * MS, W, TH_ACK, 1, 0, 101);
	CU_ASSERT_EQUAL(view().retransmits[L], 1);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 2);
	/* The receiver is full: probes of one new byte, again and again. */
	window = 0;
	packet(1 * MS, W, TH_ACK, 1, 0, 101);
	packet(1 * MS, W, TH_ACK, 1, 0, 101);
	window = 1000;
	for (int i = 0; i < 3; i++) {
		packet(500 * MS, L, TH_ACK, 101, 1, 1);
		window = 0;
		packet(20 * MS, W, TH_ACK, 1, 0, 101);
		window = 1000;
	}
	packet(20 * MS, W, TH_ACK, 1, 0, 101); /* open again */
	packet(1 * MS, L, TH_ACK, 101, 100, 1);
	packet(20 * MS, W, TH_ACK, 1, 0, 201);
	CU_ASSERT_EQUAL(view().retransmits[L], 1);
	CU_ASSERT_EQUAL(c.zero_windows[W], 1);
	CU_ASSERT_EQUAL(view().zero_windows[W], 1);
	CU_ASSERT_EQUAL(view().zero_windows[L], 0);
	CU_ASSERT(about(view().rtt_wan_last_ns, 20 * MS));
}

static void syn_sent_again(void)
{
	fresh(false);
	packet(0, L, TH_SYN, 0, 0, 0);
	packet(1000 * MS, L, TH_SYN, 0, 0, 0);
	packet(20 * MS, W, TH_SYN | TH_ACK, 0, 0, 1); /* which one does it answer? */
	packet(1 * MS, L, TH_ACK, 1, 0, 1);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 0);
	CU_ASSERT_EQUAL(view().rtt_wan_min_ns, 0);
	CU_ASSERT_EQUAL(c.rtt_lan.count, 1);
	CU_ASSERT(about(c.connect.sum_ns, 1021 * MS)); /* the user did wait that long */
	CU_ASSERT_EQUAL(c.retransmits_after[L], 1);
	CU_ASSERT_EQUAL(c.failed, 0);
	/* Timestamps tell which. */
	fresh(true);
	packet(0, L, TH_SYN, 0, 0, 0);
	packet(1000 * MS, L, TH_SYN, 0, 0, 0);
	packet(20 * MS, W, TH_SYN | TH_ACK, 0, 0, 1);
	packet(1 * MS, L, TH_ACK, 1, 0, 1);
	CU_ASSERT(about(view().rtt_wan_min_ns, 20 * MS));
	CU_ASSERT_EQUAL(c.connections, 1);
	/* The SYN-ACK twice. */
	fresh(false);
	packet(0, L, TH_SYN, 0, 0, 0);
	packet(20 * MS, W, TH_SYN | TH_ACK, 0, 0, 1);
	packet(1000 * MS, W, TH_SYN | TH_ACK, 0, 0, 1);
	packet(1 * MS, L, TH_ACK, 1, 0, 1);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 1);
	CU_ASSERT_EQUAL(c.rtt_lan.count, 0);
	CU_ASSERT_EQUAL(c.retransmits_after[W], 1);
	CU_ASSERT_EQUAL(c.connections, 1);
	/* A server without timestamps answers a SYN with them: numbers must do from then on. */
	fresh(true);
	packet(0, L, TH_SYN, 0, 0, 0);
	packet(1000 * MS, L, TH_SYN, 0, 0, 0);
	stamps = false;
	packet(20 * MS, W, TH_SYN | TH_ACK, 0, 0, 1);
	packet(1 * MS, L, TH_ACK, 1, 100, 1);
	packet(20 * MS, W, TH_ACK, 1, 0, 101);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 1);
	CU_ASSERT(about(view().rtt_wan_last_ns, 20 * MS));
}

static void failures_and_resets(void)
{
	fresh(false);
	packet(0, L, TH_SYN, 0, 0, 0);
	packet(20 * MS, W, TH_RST | TH_ACK, 0, 0, 1); /* refused */
	CU_ASSERT_EQUAL(c.failed, 1);
	CU_ASSERT_EQUAL(c.resets, 0);
	CU_ASSERT_EQUAL(c.connections, 0);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 0);
	packet(1 * MS, L, TH_SYN, 0, 0, 0); /* tries again, same numbers: a new attempt */
	packet(20 * MS, W, TH_RST | TH_ACK, 0, 0, 1);
	CU_ASSERT_EQUAL(c.failed, 2);

	fresh(false);
	for (uint64_t wait = 0; wait <= 64; wait = wait ? wait * 2 : 1)
		packet(wait * 1000 * MS, L, TH_SYN, 0, 0, 0); /* nobody there */
	CU_ASSERT_EQUAL(c.failed, 1);
	packet(1 * MS, L, TH_RST, 1, 0, 0);
	CU_ASSERT_EQUAL(c.failed, 1);

	fresh(false);
	handshake();
	packet(1 * MS, L, TH_ACK, 1, 100, 1);
	window = 0;
	packet(20 * MS, W, TH_RST | TH_ACK, 1, 0, 101);
	packet(1 * MS, W, TH_RST, 1, 0, 0);
	CU_ASSERT_EQUAL(c.resets, 1);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 1); /* not from a RST */
	CU_ASSERT_EQUAL(c.zero_windows[W], 0);

	fresh(false); /* closed in order, a RST behind it is manners only */
	handshake();
	packet(1 * MS, L, TH_FIN | TH_ACK, 1, 0, 1);
	packet(20 * MS, W, TH_FIN | TH_ACK, 1, 0, 2);
	packet(1 * MS, L, TH_RST, 2, 0, 0);
	CU_ASSERT_EQUAL(c.resets, 0);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 2); /* a FIN is answered like data */
	/* The port is used again: figures of the flow start anew. */
	isn[L] += 5000000;
	isn[W] += 7000000;
	handshake();
	CU_ASSERT_EQUAL(c.connections, 2);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 3);
	CU_ASSERT_EQUAL(c.retransmits_after[L], 0);
	/* An answer to a SYN that was never sent. */
	fresh(false);
	packet(0, L, TH_SYN, 0, 0, 0);
	packet(1 * MS, W, TH_SYN | TH_ACK, 0, 0, 77);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 0);
	packet(19 * MS, W, TH_SYN | TH_ACK, 0, 0, 1);
	CU_ASSERT(about(c.rtt_wan.sum_ns, 20 * MS));
}

static void fast_open(void)
{
	fresh(false); /* the server leaves the data of the SYN out */
	packet(0, L, TH_SYN, 0, 100, 0);
	packet(20 * MS, W, TH_SYN | TH_ACK, 0, 0, 1);
	CU_ASSERT(about(c.rtt_wan.sum_ns, 20 * MS));
	packet(1 * MS, L, TH_ACK, 1, 0, 1);
	CU_ASSERT_EQUAL(c.connections, 1);
	fresh(false); /* or takes it */
	packet(0, L, TH_SYN, 0, 100, 0);
	packet(20 * MS, W, TH_SYN | TH_ACK, 0, 0, 101);
	CU_ASSERT(about(c.rtt_wan.sum_ns, 20 * MS));
}

static void from_the_middle_and_one_sided(void)
{
	fresh(false);
	packet(0, L, TH_ACK, 5000, 100, 9000);
	packet(20 * MS, W, TH_ACK, 9000, 200, 5100);
	packet(1 * MS, L, TH_ACK, 5100, 0, 9200);
	CU_ASSERT(about(c.rtt_wan.sum_ns, 20 * MS));
	CU_ASSERT(about(c.rtt_lan.sum_ns, 1 * MS));
	CU_ASSERT_EQUAL(c.connections + c.connect.count + c.failed, 0);
	CU_ASSERT_EQUAL(view().connect_ns, 0);
	CU_ASSERT_EQUAL(view().retransmits[L] + view().retransmits[W], 0);

	fresh(true); /* the answers take another way: no times, but losses before the box */
	for (uint32_t i = 0; i < 1000; i++)
		if (i % 100 != 50)
			packet(100 * US, W, TH_ACK, i * 1000, 1000, 1 + i);
		else if (i > 500)
			packet(100 * US, W, TH_ACK, (i - 101) * 1000 + 1000, 1000, 1);
	CU_ASSERT_EQUAL(c.rtt_wan.count + c.rtt_lan.count, 0);
	CU_ASSERT_EQUAL(view().rtt_lan_min_ns, 0);
	CU_ASSERT_EQUAL(c.retransmits_before[W], 5);
	CU_ASSERT_EQUAL(c.retransmits_after[W] + c.retransmits_needless[W], 0);

	fresh(false); /* only ACKs of a download are seen */
	for (uint32_t i = 0; i < 100; i++)
		packet(1 * MS, L, TH_ACK, 1, 0, i * 2896);
	CU_ASSERT_EQUAL(c.rtt_wan.count + c.rtt_lan.count, 0);
	CU_ASSERT_EQUAL(c.data_packets[L], 0);
}

static void answers_after_minutes(void)
{
	fresh(true);
	handshake();
	for (uint64_t wait = 150; wait < 1200; wait++) { /* s */
		uint32_t seq = 1 + 100 * (uint32_t)(wait - 150);

		packet(1 * MS, L, TH_ACK, seq, 100, 1);
		packet(wait * 1000 * MS, W, TH_ACK, 1, 0, seq + 100);
	}
	CU_ASSERT_EQUAL(c.rtt_wan.count, 1);
}

/* Numbers without rhyme or reason: nothing may break (the sanitizers watch), no hole stays open. */
static void nonsense(void)
{
	fresh(true);
	srand48(4);
	for (int i = 0; i < 300000; i++) {
		sack = (unsigned)(lrand48() % 40);
		window = (uint16_t)(lrand48() % 3);
		if (lrand48() % 1000 == 0)
			isn[lrand48() % 2] = (uint32_t)mrand48();
		packet((uint64_t)lrand48() % (100 * MS), (enum measure_from)(lrand48() % 2),
			(uint8_t)(lrand48() % 4 ? TH_ACK : lrand48()), (uint32_t)lrand48() % 50000,
			(uint16_t)(lrand48() % 4 ? 0 : lrand48()), (uint32_t)lrand48() % 50000);
		CU_ASSERT_FATAL((f.holes & 7) <= MEASURE_HOLES);
	}
	CU_ASSERT_EQUAL(c.tcp_packets[L] + c.tcp_packets[W], 300000);
	fresh(false);
	handshake();
	packet(1 * MS, L, TH_ACK, 1, 100, 1);
	packet(20 * MS, W, TH_ACK, 1, 0, 101);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 2);
	/* One wild packet does not spoil what follows. */
	packet(1 * MS, L, TH_ACK, 0x50000000, 100, 1);
	packet(1 * MS, L, TH_ACK, 101, 100, 1);
	packet(20 * MS, W, TH_ACK, 1, 0, 201);
	CU_ASSERT_EQUAL(c.rtt_wan.count, 3);
	CU_ASSERT_EQUAL(view().retransmits[L], 0);
}

static void bursts_go_to_their_classes(void)
{
	enum { N = 40 };
	struct buffer {
		struct rte_mbuf m;
		struct pkt p;
	} *buffers = aligned_alloc(64, N * sizeof(*buffers));
	struct flow *flows = aligned_alloc(64, 4 * sizeof(*flows));
	struct measure_class *classes = calloc(2, sizeof(*classes)), *sum = calloc(1, sizeof(*sum));
	struct measure_transactions *transactions = calloc(2, sizeof(*transactions));
	struct rte_mbuf *pkts[N];

	memset(buffers, 0, N * sizeof(*buffers));
	memset(flows, 0, 4 * sizeof(*flows));
	for (unsigned i = 0; i < 4; i++) {
		flows[i].class_id = i / 2 * 8; /* from 1 on they share classes[1] */
		flows[i].lan_dir = (uint8_t)(i & 1);
	}
	flows[3].class_id = 1;
	flows[3].flags = FLOW_OTHER;
	for (unsigned i = 0; i < N; i++) {
		struct pkt *p = &buffers[i].p;

		pkts[i] = &buffers[i].m;
		p->flow = &flows[i % 4];
		p->flags = PKT_IP | (i < 32 ? PKT_TCP : PKT_UDP);
		p->dir = (i / 4) % 3 == 0; /* two thirds in direction 0 */
		p->tcp_flags = TH_ACK;
		p->tcp_window = 1;
	}
	CU_ASSERT_EQUAL(measure_bulk(pkts, N, 1000 * MS, classes, transactions, 1), N - 32);
	/* 32 TCP packets, 8 a flow, of which 3 in direction 1. */
	CU_ASSERT_EQUAL(classes[0].tcp_packets[L], 5 + 3);
	CU_ASSERT_EQUAL(classes[0].tcp_packets[W], 3 + 5);
	CU_ASSERT_EQUAL(classes[1].tcp_packets[L], 5 + 3);
	CU_ASSERT_EQUAL(classes[1].tcp_packets[W], 3 + 5);
	CU_ASSERT_EQUAL(flows[3].measure.flags, 0); /* not one conversation: no state */
	CU_ASSERT_NOT_EQUAL(flows[2].measure.flags, 0);
	measure_class_merge(sum, &classes[0]);
	measure_class_merge(sum, &classes[1]);
	CU_ASSERT_EQUAL(sum->tcp_packets[L] + sum->tcp_packets[W], 32);
	measure_class_subtract(sum, &classes[1]);
	CU_ASSERT(memcmp(sum, &classes[0], sizeof(*sum)) == 0);
	free(buffers);
	free(flows);
	free(transactions);
	free(classes);
	free(sum);
}

UNIT_TESTS("tcp", {"a handshake gives both halves", a_handshake_gives_both_halves},
	{"only an exact ACK answers", only_an_exact_ack_answers},
	{"every packet of a burst counts", every_packet_of_a_burst_counts},
	{"strides do not starve", strides_do_not_starve},
	{"Karn, loss behind the box", karn_loss_behind_the_box},
	{"timestamps resolve a packet sent again", timestamps_resolve_a_packet_sent_again},
	{"the receiver misses something", the_receiver_misses_something},
	{"delayed ACKs are told apart", delayed_acks_are_told_apart},
	{"pure ACKs measure by timestamp", pure_acks_measure_by_timestamp},
	{"loss before the box", loss_before_the_box},
	{"overtaken is not lost", overtaken_is_not_lost},
	{"more holes than room", more_holes_than_room},
	{"needless, and probes", needless_and_probes}, {"SYN sent again", syn_sent_again},
	{"failures and resets", failures_and_resets}, {"fast open", fast_open},
	{"from the middle, one-sided", from_the_middle_and_one_sided},
	{"answers after minutes", answers_after_minutes}, {"nonsense", nonsense},
	{"bursts go to their classes", bursts_go_to_their_classes})
