/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice-analyze without files: link types, clock, sides, tunnels, copies, what is cut off. */
#include <netinet/tcp.h>

#include <pcap/pcap.h>

#include "tests/unit/analyze/frames.h"
#include "tests/unit/unit.h"
#include "tools/analyze/link_type.h"
#include "tools/analyze/side.h"
#include "tools/analyze/transactions.h"

static const struct analysis_options small = {.live_max = 1024};

/* A handshake of 5 + 1 ms, 100 bytes, and their acknowledgement. */
static const struct segment talk[] = {
	{CLIENT, SERVER, 40000, 80, 1, 100, 0, TH_SYN, 0, 0},
	{SERVER, CLIENT, 80, 40000, 7, 500, 101, TH_SYN | TH_ACK, 0, 0},
	{CLIENT, SERVER, 40000, 80, 2, 101, 501, TH_ACK, 0, 0},
	{CLIENT, SERVER, 40000, 80, 3, 101, 501, TH_ACK | TH_PUSH, 100, 0},
	{SERVER, CLIENT, 80, 40000, 8, 501, 201, TH_ACK, 0, 0},
};
static const uint64_t talk_ns[] = {0, 5 * MS, 6 * MS, 7 * MS, 13 * MS};
#define TALK (sizeof(talk) / sizeof(talk[0]))

static void test_flow(void)
{
	struct analysis *a = make_analysis(&small);
	struct analysis_flow *f;
	struct channel_dist wan;

	for (unsigned i = 0; i < TALK; i++)
		give_segment(a, &talk[i], talk_ns[i]);
	CU_ASSERT_EQUAL_FATAL(analysis_flow_count(a), 1);
	f = analysis_flow(a, 0);
	CU_ASSERT_EQUAL(f->opened_from, FROM_LAN);
	CU_ASSERT_EQUAL(f->lan_by, LAN_BY_OPENER);
	CU_ASSERT_EQUAL(f->counts.packets[FROM_LAN], 3);
	CU_ASSERT_EQUAL(f->counts.packets[FROM_WAN], 2);
	CU_ASSERT_EQUAL(f->counts.bytes[FROM_LAN], 3 * 54 + 100);
	CU_ASSERT_EQUAL(f->counts.connections, 1);
	CU_ASSERT_EQUAL(f->connect_ns, 6 * MS);
	CU_ASSERT_EQUAL(f->handshake_ns[FROM_WAN], 5 * MS);
	CU_ASSERT_EQUAL(f->handshake_ns[FROM_LAN], 1 * MS);
	wan = samples_dist(&f->rtt[FROM_WAN]);
	CU_ASSERT_EQUAL(wan.samples, 2);
	CU_ASSERT_EQUAL(wan.min_ns, 5 * MS);
	CU_ASSERT_EQUAL(wan.max_ns, 6 * MS);
	analysis_destroy(a);
}

/* A request of two packets, its response 13 ms behind them, and copies of all, which change
 * nothing.
 */
static void test_transactions(void)
{
	static const struct segment rest[] = {
		{CLIENT, SERVER, 40000, 80, 4, 201, 501, TH_ACK | TH_PUSH, 20, 0},
		{SERVER, CLIENT, 80, 40000, 9, 501, 221, TH_ACK | TH_PUSH, 1000, 0},
		{SERVER, CLIENT, 80, 40000, 10, 1501, 221, TH_ACK | TH_PUSH, 50, 0},
		{SERVER, CLIENT, 80, 40000, 11, 1551, 221, TH_ACK | TH_FIN, 0, 0},
	};
	static const uint64_t rest_ns[] = {14 * MS, 27 * MS, 31 * MS, 900 * MS};
	struct analysis *a = make_analysis(&small);
	struct analysis_transactions *t;
	struct transactions_record r;

	for (unsigned i = 0; i < TALK + 4; i++) {
		const struct segment *s = i < TALK ? &talk[i] : &rest[i - TALK];
		uint64_t now = i < TALK ? talk_ns[i] : rest_ns[i - TALK];

		give_segment(a, s, now);
		give_segment(a, s, now + MS / 10);
	}
	t = analysis_flow(a, 0)->transactions;
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	CU_ASSERT_EQUAL(t->requests, 1);
	CU_ASSERT_EQUAL(t->responses, 1);
	CU_ASSERT_EQUAL(t->request_bytes, 120);
	CU_ASSERT_EQUAL(t->response_bytes, 1050);
	CU_ASSERT_EQUAL(samples_dist(&t->first_byte).samples, 1);
	CU_ASSERT_EQUAL(samples_dist(&t->first_byte).max_ns, 13 * MS);
	CU_ASSERT_EQUAL(samples_dist(&t->whole).samples, 1);
	CU_ASSERT_EQUAL(samples_dist(&t->whole).max_ns, 24 * MS);
	CU_ASSERT_EQUAL(t->tls_ns, 0);
	transactions_record_of(analysis_class(a, 0), "x", 2000 * MS, &r);
	CU_ASSERT_EQUAL(r.connections, 1);
	CU_ASSERT_EQUAL(r.used, 1);
	CU_ASSERT_EQUAL(r.requests, 1);
	CU_ASSERT_EQUAL(r.requests_per_s_1000, 500);
	CU_ASSERT_EQUAL(r.first_byte.samples, 1);
	transactions_record_of(analysis_class(a, 0), "x", 0, &r);
	CU_ASSERT_EQUAL(r.requests_per_s_1000, UINT64_MAX);
	analysis_destroy(a);
}

/* Which side is the LAN: the networks decide, and where they do not, who opened the flow. */
static void test_sides(void)
{
	static const struct {
		const char *network;
		enum measure_from opened_from;
		enum analysis_lan_by by;
	} cases[] = {{"10.0.0.0/8", FROM_WAN, LAN_BY_NETWORK},
		{"192.168.0.0/31", FROM_LAN, LAN_BY_NETWORK},
		{"192.168.0.1", FROM_LAN, LAN_BY_NETWORK}, {"0.0.0.0/0", FROM_LAN, LAN_BY_OPENER},
		{"172.16.0.0/12", FROM_LAN, LAN_BY_OPENER}, {"::/0", FROM_LAN, LAN_BY_OPENER}};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct policy_prefix lan;
		struct analysis_options options = {.live_max = 64, .lan = &lan, .lan_count = 1};
		struct analysis *a;

		CU_ASSERT_EQUAL_FATAL(side_read_network(cases[i].network, &lan), 0);
		a = make_analysis(&options);
		give_segment(a, &talk[0], 0);
		give_segment(a, &talk[1], MS);
		CU_ASSERT_EQUAL(analysis_flow(a, 0)->opened_from, cases[i].opened_from);
		CU_ASSERT_EQUAL(analysis_flow(a, 0)->lan_by, cases[i].by);
		CU_ASSERT_EQUAL(analysis_flow(a, 0)->counts.packets[!cases[i].opened_from], 1);
		analysis_destroy(a);
	}
}

static void test_networks(void)
{
	static const char *const wrong[] = {"", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0/8",
		"10.0.0.0/-1", "10.0.0.0/ 8", "10.0.0.0/8x", "::/129", ":::/1", "ten",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd/1"};
	struct policy_prefix p;

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CU_ASSERT_EQUAL(side_read_network(wrong[i], &p), -1);
	CU_ASSERT_EQUAL(side_read_network("2001:db8::/33", &p), 0);
	CU_ASSERT_EQUAL(p.length, 33);
}

/* A packet that stands twice in a capture was not sent twice, whatever its TTL. */
static void test_copies(void)
{
	struct analysis *a = make_analysis(&small);
	const struct analysis_counts *c;

	for (unsigned i = 0; i < TALK; i++) {
		struct segment copy = talk[i];

		copy.ttl = 63;
		give_segment(a, &talk[i], talk_ns[i]);
		give_segment(a, &copy, talk_ns[i] + MS / 10);
	}
	c = &analysis_flow(a, 0)->counts;
	CU_ASSERT_EQUAL(c->duplicates[FROM_LAN], 3);
	CU_ASSERT_EQUAL(c->duplicates[FROM_WAN], 2);
	CU_ASSERT_EQUAL(c->retransmits_after[FROM_LAN] + c->retransmits_needless[FROM_LAN], 0);
	CU_ASSERT_EQUAL(analysis_flow(a, 0)->connect_ns, 6 * MS);

	struct segment again = talk[3];

	again.id = 9;
	give_segment(a, &again, 20 * MS);
	CU_ASSERT_EQUAL(c->duplicates[FROM_LAN], 3);
	CU_ASSERT_EQUAL(c->retransmits_needless[FROM_LAN], 1);
	/* Under the same IP ID, but much later: somebody numbers his packets oddly. */
	give_segment(a, &again, 400 * MS);
	CU_ASSERT_EQUAL(c->duplicates[FROM_LAN], 3);
	CU_ASSERT_EQUAL(c->retransmits_needless[FROM_LAN], 2);
	analysis_destroy(a);
}

/* Captured in part: everything but the payload counts as it was on the wire. */
static void test_cut(void)
{
	struct analysis *a = make_analysis(&small);
	const struct analysis_flow *f;
	uint8_t frame[2048];

	for (unsigned i = 0; i < TALK; i++) {
		unsigned len = make_frame(frame, &talk[i]);

		give(a, frame, 54, len, talk_ns[i]);
	}
	f = analysis_flow(a, 0);
	CU_ASSERT_EQUAL(f->counts.bytes[FROM_LAN], 3 * 54 + 100);
	CU_ASSERT_EQUAL(f->rtt[FROM_WAN].count, 2);
	for (unsigned caught = 1; caught < 54; caught++)
		give(a, frame, caught, make_frame(frame, &talk[4]), 20 * MS);
	CU_ASSERT_EQUAL(analysis_rest(a)->headers_cut, 53);
	CU_ASSERT_EQUAL(analysis_flow_count(a), 1);
	give(a, frame, 54, 1 << 30, 20 * MS); /* a length that is none */
	CU_ASSERT_EQUAL(analysis_flow_count(a), 1);
	analysis_destroy(a);
}

/* The same packet behind every link header gives the same Ethernet frame. */
static void test_link_types(void)
{
	static const struct {
		int type;
		unsigned len;
		const char *header;
	} cases[] = {
		{DLT_EN10MB, 14, "\2\2\2\2\2\2\2\2\2\2\2\2\x08\x00"},
		{DLT_RAW, 0, ""},
		{101, 0, ""},
		{DLT_IPV4, 0, ""},
		{DLT_LINUX_SLL, 16, "\0\4\0\1\0\6\0\0\0\0\0\0\0\0\x08\x00"},
		{DLT_LINUX_SLL2, 20, "\x08\x00\0\0\0\0\0\1\0\1\0\6\0\0\0\0\0\0\0\0"},
		{DLT_NULL, 4, "\2\0\0\0"},
		{DLT_NULL, 4, "\0\0\0\2"},
		{DLT_LOOP, 4, "\0\0\0\2"},
		{DLT_PPP, 4, "\xff\3\0\x21"},
		{DLT_PPP, 2, "\0\x21"},
		{DLT_PPP, 1, "\x21"},
		{DLT_PPP_SERIAL, 4, "\xff\3\0\x21"},
		{DLT_PPP_PPPD, 5, "\1\xff\3\0\x21"},
		{DLT_PPP_ETHER, 8, "\x11\0\0\7\0\x8e\0\x21"},
		{DLT_C_HDLC, 4, "\x0f\0\x08\0"},
		{DLT_MPLS, 4, "\0\0\x11\x40"},
		/* 802.1Q inside of cooked headers */
		{DLT_LINUX_SLL, 20, "\0\4\0\1\0\6\0\0\0\0\0\0\0\0\x81\x00\0\7\x08\0"},
	};
	unsigned count = sizeof(cases) / sizeof(cases[0]);

	for (unsigned i = 0; i < count; i++) {
		struct analysis_options options = {.live_max = 64, .any_vlan = true};
		struct analysis *a = make_analysis(&options);
		uint8_t in[2048], out[2048];
		unsigned len;
		int32_t change;

		CU_ASSERT_TRUE(link_type_known(cases[i].type));
		memcpy(in, cases[i].header, cases[i].len);
		len = cases[i].len + make_ip(in + cases[i].len, &talk[3]);
		uint32_t caught =
			link_type_frame(cases[i].type, in, len, out, sizeof(out), &change);
		CU_ASSERT_EQUAL(caught, (uint32_t)((int32_t)len + change));
		give(a, out, caught, (unsigned)((int32_t)len + change), 0);
		CU_ASSERT_EQUAL_FATAL(analysis_flow_count(a), 1);
		CU_ASSERT_EQUAL(analysis_flow(a, 0)->key.proto, 6);
		CU_ASSERT_EQUAL(analysis_flow(a, 0)->counts.data_packets[FROM_LAN], 1);
		analysis_destroy(a);
		/* Any part of it, and too little room, are survived. */
		for (unsigned part = 0; part <= len; part++) {
			uint8_t *exact = malloc(part + 1);

			memcpy(exact, in, part);
			for (unsigned room = 0; room < 40; room += 13)
				link_type_frame(cases[i].type, exact, part, out, room, &change);
			free(exact);
		}
	}
	CU_ASSERT_FALSE(link_type_known(DLT_IEEE802_11));
}

/* IP in IP, 6in4, GRE with a key, VXLAN: one flow inside, another outside. */
static void test_tunnels(void)
{
	static const struct {
		unsigned proto, header_len;
		const char *header;
	} cases[] = {
		{4, 0, ""},
		{47, 4, "\0\0\x08\0"},
		{47, 8, "\x20\0\x08\0\1\2\3\4"},
		{17, 30,
			"\x10\x00\x12\xb5\0\xaa\0\0\x08\0\0\0\0\0\7\0"
			"\2\2\2\2\2\2\2\2\2\2\2\2\x08\0"},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (unsigned inside = 0; inside < 2; inside++) {
			struct analysis_options options = {.live_max = 64, .inside = inside};
			struct analysis *a = make_analysis(&options);
			struct segment outer = {.from = 0x01010101, .to = 0x02020202};
			uint8_t frame[2048];
			unsigned at = 34 + cases[i].header_len, len;

			make_frame(frame, &outer);
			memcpy(frame + 34, cases[i].header, cases[i].header_len);
			len = at + make_ip(frame + at, &talk[3]);
			put16(frame + 16, len - 14);
			if (cases[i].proto == 17)
				put16(frame + 38, len - 34);
			frame[23] = (uint8_t)cases[i].proto;
			give(a, frame, len, len, 0);
			CU_ASSERT_EQUAL_FATAL(analysis_flow_count(a), 1);
			CU_ASSERT_EQUAL(
				analysis_flow(a, 0)->key.proto, inside ? 6 : cases[i].proto);
			CU_ASSERT_EQUAL(analysis_flow(a, 0)->counts.data_packets[FROM_LAN], inside);
			for (unsigned part = 1; part < len; part++)
				give(a, frame, part, len, 0);
			for (unsigned part = 1; part < len; part++)
				give(a, frame, part, part, 0);
			analysis_destroy(a);
		}
	}
}

/* The clock stands while times go back a little, and is set back when they go back far. */
static void test_clock(void)
{
	static const struct {
		uint64_t file_ns;
		uint64_t after_ns; /* since the first */
	} steps[] = {{5000 * MS, 0}, {5007 * MS, 7 * MS}, {5003 * MS, 7 * MS}, {5009 * MS, 9 * MS},
		{1 * MS, 9 * MS}, {3 * MS, 11 * MS}, {2 * MS, 11 * MS}, {0, 11 * MS},
		{UINT64_MAX, 11 * MS}, {4 * MS, 12 * MS}};
	struct capture_clock clock = {0};
	struct capture_stats stats = {0};
	uint64_t last = 0;

	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		uint64_t now = capture_clock_take(&clock, &stats, steps[i].file_ns);

		CU_ASSERT(now >= last);
		CU_ASSERT_EQUAL(now - clock.start_ns, steps[i].after_ns);
		last = now;
	}
	CU_ASSERT_EQUAL(stats.steps, 1);
}

/* Few samples are exact, many within the error of the histogram. */
static void test_samples(void)
{
	struct samples s = {0};

	CU_ASSERT_EQUAL(samples_dist(&s).samples, 0);
	for (uint64_t i = SAMPLES_EXACT; i > 0; i--)
		samples_add(&s, i * 1000003);
	CU_ASSERT_EQUAL(samples_dist(&s).p50_ns, SAMPLES_EXACT / 2 * UINT64_C(1000003));
	CU_ASSERT_EQUAL(samples_dist(&s).max_ns, SAMPLES_EXACT * UINT64_C(1000003));
	for (uint64_t i = 0; i < SAMPLES_EXACT; i++)
		samples_add(&s, 512 * UINT64_C(1000003));
	CU_ASSERT_EQUAL(samples_dist(&s).samples, 2 * SAMPLES_EXACT);
	CU_ASSERT_DOUBLE_EQUAL((double)samples_dist(&s).p50_ns / (512 * 1000003.), 1, 0.016);
	samples_free(&s);
}

/* A small table: older flows make room, and are reported all the same. */
static void test_eviction(void)
{
	struct analysis_options options = {.live_max = 64};
	struct analysis *a = make_analysis(&options);

	for (unsigned i = 0; i < 1000; i++) {
		struct segment s = talk[0];

		s.sport = 1000 + i;
		give_segment(a, &s, (i + 1) * 10 * MS);
	}
	CU_ASSERT_EQUAL(analysis_flow_count(a), 1000);
	CU_ASSERT(analysis_evicted(a) >= 1000 - 64);
	for (unsigned i = 0; i < 1000; i++)
		CU_ASSERT_EQUAL(analysis_flow(a, i)->counts.packets[FROM_LAN], 1);
	analysis_destroy(a);
}

UNIT_TESTS("analyze", {"one connection", test_flow}, {"transactions", test_transactions},
	{"sides", test_sides}, {"networks", test_networks}, {"copies", test_copies},
	{"captured in part", test_cut}, {"link types", test_link_types}, {"tunnels", test_tunnels},
	{"clock", test_clock}, {"samples", test_samples}, {"eviction", test_eviction})
