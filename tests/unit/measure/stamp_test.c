/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * STAMP packets against bytes that other programs made: an authenticated request and its answer
 * from Python's struct and hmac, an unauthenticated one from scapy's STAMP layer. The flags of RFC
 * 8972 on TLVs that are unknown, malformed or forged, every byte cut or flipped; and the
 * book-keeping of a session on a path whose losses, delays and restarts are known.
 */
#include <errno.h>
#include <stdlib.h>

#include <sodium.h>

#include "dataplane/measure/stamp_session.h"
#include "tests/unit/unit.h"

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)
#define REALTIME UINT64_C(1790000000123456789)

/* seq 0x01020304, T1 0xe0d1c2b3a4958677, error 0x8c01, SSID 0x1234, key 00 01 02 ... 1f; CoS wants
 * AF11, S_TxC 7, an unknown TLV 200, HMAC */
static const char auth_request[] =
	"01020304000000000000000000000000e0d1c2b3a49586778c01123400000000000000000000000000000000"
	"0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
	"000000000000000099fe01d098c8a7b76341ed4e7374915980040004280000008005000c0000000700000000"
	"0000000080c80003616263800800104d023d375ba183d5712e55bf7aab980f";
/* seq 5, T2 0xe0d1c2b3b0000000, T3 0xe0d1c2b3b1000000, error 0x0c02, TTL 61, EF and ECT(1), counts
 * 6 and 6 */
static const char auth_answer[] =
	"00000005000000000000000000000000e0d1c2b3b10000000c02123400000000e0d1c2b3b000000000000000"
	"0000000001020304000000000000000000000000e0d1c2b3a49586778c010000000000003d00000000000000"
	"000000000000000012d89e802101ad9fe8c4264f567d039c000400042ae400000005000c0000000700000006"
	"0000000680c8000361626300080010f73285beb5ee8636e5757ca3faf8862f";
/* scapy: seq 9, T1 3.5 s, error 0x8c01, SSID 0x1234, CoS wants AF11, its flags 0x80 */
static const char open_request[] =
	"0000000900000003800000008c01123400000000000000000000000000000000000000000000000000000000"
	"8004000428000000";

static uint8_t key_bytes[32];
static const struct stamp_key key = {key_bytes, sizeof(key_bytes)};
static const struct stamp_key no_key = {NULL, 0};
static const struct stamp_reflection reflection = {.seq = 5,
	.received = 0xe0d1c2b3b0000000,
	.sent = 0xe0d1c2b3b1000000,
	.error = 0x0c02,
	.ttl = 61,
	.dscp = 46,
	.ecn = 1,
	.has_counts = true,
	.received_count = 6,
	.sent_count = 6};

static void start(void)
{
	CU_ASSERT_FATAL(sodium_init() >= 0);
	for (unsigned i = 0; i < sizeof(key_bytes); i++)
		key_bytes[i] = (uint8_t)i;
}

static size_t bytes(const char *hex, uint8_t *out)
{
	size_t n = 0;

	for (; hex[0] != '\0'; hex += 2) {
		char two[3] = {hex[0], hex[1], 0};
		out[n++] = (uint8_t)strtoul(two, NULL, 16);
	}
	return n;
}

static void test_authenticated(void)
{
	uint8_t in[256], expected[256], out[256], dscp;
	struct stamp_request request;
	struct stamp_answer answer;

	start();
	size_t len = bytes(auth_request, in);
	CU_ASSERT_EQUAL_FATAL(bytes(auth_answer, expected), len);
	CU_ASSERT_EQUAL_FATAL(stamp_read_request(in, len, &key, &request), 0);
	CU_ASSERT_EQUAL(request.seq, 0x01020304);
	CU_ASSERT_EQUAL(request.sent, 0xe0d1c2b3a4958677);
	CU_ASSERT_EQUAL(request.error, 0x8c01);
	CU_ASSERT_EQUAL(request.ssid, 0x1234);
	stamp_write_answer(in, len, &key, &reflection, out, &dscp);
	CU_ASSERT(memcmp(out, expected, len) == 0);
	CU_ASSERT_EQUAL(dscp, 10);

	CU_ASSERT_EQUAL_FATAL(stamp_read_answer(expected, len, &key, &answer), 0);
	CU_ASSERT_EQUAL(answer.seq, 5);
	CU_ASSERT_EQUAL(answer.sender_seq, 0x01020304);
	CU_ASSERT_EQUAL(answer.sender_sent, 0xe0d1c2b3a4958677);
	CU_ASSERT_EQUAL(answer.received, reflection.received);
	CU_ASSERT_EQUAL(answer.sent, reflection.sent);
	CU_ASSERT_EQUAL(answer.error, 0x0c02);
	CU_ASSERT_EQUAL(answer.sender_error, 0x8c01);
	CU_ASSERT_EQUAL(answer.ssid, 0x1234);
	CU_ASSERT_EQUAL(answer.sender_ttl, 61);
	CU_ASSERT(answer.has_cos && answer.dscp_received == 46 && answer.ecn_received == 1);
	CU_ASSERT_FALSE(answer.cos_refused);
	CU_ASSERT(answer.has_counts && answer.sent_count == 7);
	CU_ASSERT(answer.reflector_received == 6 && answer.reflector_sent == 6);

	/* Of the base packet no byte may be another, and not one of the key. */
	for (size_t i = 0; i < STAMP_AUTH_BYTES; i++) {
		in[i] ^= 0x10;
		CU_ASSERT_EQUAL(stamp_read_request(in, len, &key, &request), -EACCES);
		in[i] ^= 0x10;
	}
	key_bytes[31] ^= 1;
	CU_ASSERT_EQUAL(stamp_read_request(in, len, &key, &request), -EACCES);
	key_bytes[31] ^= 1;
	CU_ASSERT_EQUAL(stamp_read_request(in, STAMP_AUTH_BYTES - 1, &key, &request), -EBADMSG);
}

static void test_unauthenticated(void)
{
	uint8_t in[64], out[64], dscp;
	struct stamp_request request;
	struct stamp_answer answer;
	struct stamp_reflection r = reflection;

	start();
	size_t len = bytes(open_request, in);
	CU_ASSERT_EQUAL_FATAL(stamp_read_request(in, len, &no_key, &request), 0);
	CU_ASSERT(request.seq == 9 && request.sent == 0x0000000380000000 && request.ssid == 0x1234);
	stamp_write_answer(in, len, &no_key, &reflection, out, &dscp);
	CU_ASSERT_EQUAL(out[44], 0); /* understood: no flags */
	CU_ASSERT_EQUAL_FATAL(stamp_read_answer(out, len, &no_key, &answer), 0);
	CU_ASSERT(answer.seq == 5 && answer.sender_seq == 9 && answer.sender_ttl == 61);
	CU_ASSERT(answer.sender_sent == 0x0000000380000000 && answer.sent == reflection.sent);
	CU_ASSERT(answer.has_cos && !answer.has_counts);
	CU_ASSERT_EQUAL(stamp_read_request(in, STAMP_OPEN_BYTES - 1, &no_key, &request), -EBADMSG);

	/* CS6 is not to be had: the request's own DSCP, and RP says so. */
	in[48] = 48 << 2;
	stamp_write_answer(in, len, &no_key, &r, out, &dscp);
	CU_ASSERT_EQUAL(dscp, 46);
	CU_ASSERT_EQUAL(out[49] & 3, 1);
	stamp_read_answer(out, len, &no_key, &answer);
	CU_ASSERT(answer.cos_refused);
}

/* Every size that can be asked for, in both modes: read back, answered in the same size, read. */
static void test_sizes(void)
{
	static uint8_t out[2048], back[2048];

	start();
	for (int mode = 0; mode < 4; mode++) {
		const struct stamp_key *k = mode & 1 ? &key : &no_key;
		for (uint16_t size = 0; size <= 1472; size++) {
			struct stamp_probe probe = {.seq = size,
				.sent = 1,
				.error = 1,
				.ssid = 7,
				.sent_count = size + 1u,
				.plain = (mode & 2) != 0,
				.size = size};
			struct stamp_request request;
			struct stamp_answer answer;
			uint8_t dscp;
			int len = stamp_write_probe(&probe, k, out, sizeof(out));
			int least = stamp_write_probe(
				&(struct stamp_probe){.plain = probe.plain}, k, back, sizeof(back));
			CU_ASSERT_FATAL(len >= least);
			CU_ASSERT_FATAL(len >= size && (len == least || len < size + 4));
			CU_ASSERT_EQUAL(
				stamp_write_probe(&probe, k, back, (size_t)len - 1), -ENOSPC);
			CU_ASSERT_EQUAL_FATAL(stamp_read_request(out, (size_t)len, k, &request), 0);
			CU_ASSERT(request.seq == size && request.ssid == 7);
			stamp_write_answer(out, (size_t)len, k, &reflection, back, &dscp);
			CU_ASSERT_EQUAL_FATAL(stamp_read_answer(back, (size_t)len, k, &answer), 0);
			CU_ASSERT_EQUAL(answer.has_counts, !probe.plain);
			CU_ASSERT_EQUAL(answer.has_cos, !probe.plain);
		}
	}
}

/* A stateless reflector has no counts to tell. */
static void test_stateless(void)
{
	uint8_t out[256], back[256], dscp;
	const struct stamp_probe probe = {.seq = 3, .sent_count = 4};
	struct stamp_reflection r = reflection;
	struct stamp_answer answer;

	start();
	r.has_counts = false;
	int len = stamp_write_probe(&probe, &no_key, out, sizeof(out));
	stamp_write_answer(out, (size_t)len, &no_key, &r, back, &dscp);
	CU_ASSERT_EQUAL(stamp_read_answer(back, (size_t)len, &no_key, &answer), 0);
	CU_ASSERT(answer.has_cos && !answer.has_counts);
}

/* One TLV behind a base packet; returns the flags that it comes back with. */
static uint8_t flags_of(
	const struct stamp_key *k, const uint8_t *tlv, size_t tlv_len, uint8_t *back)
{
	const struct stamp_probe probe = {.seq = 1, .plain = true};
	uint8_t packet[256], dscp;
	int base = stamp_write_probe(&probe, k, packet, sizeof(packet));

	memcpy(packet + base, tlv, tlv_len);
	stamp_write_answer(packet, (size_t)base + tlv_len, k, &reflection, back, &dscp);
	/* But for flags and what is understood, copied as it came. */
	CU_ASSERT_EQUAL(back[base + 1], tlv[1]);
	return back[base];
}

static void test_flags(void)
{
	static const uint8_t unknown[] = {0x80, 99, 0, 2, 1, 2};
	static const uint8_t too_long[] = {0x80, 1, 0, 3, 1, 2};
	static const uint8_t wrong_length[] = {0x80, 5, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0};
	static const uint8_t padding[] = {0xff, 1, 0, 2, 1, 2};
	static const uint8_t signature[] = {
		0x80, 8, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	uint8_t back[256];

	start();
	CU_ASSERT_EQUAL(flags_of(&no_key, unknown, sizeof(unknown), back), 0x80);
	CU_ASSERT_EQUAL(memcmp(back + 44 + 4, unknown + 4, 2), 0);
	CU_ASSERT_EQUAL(flags_of(&no_key, too_long, sizeof(too_long), back), 0x40);
	CU_ASSERT_EQUAL(memcmp(back + 44 + 1, too_long + 1, 5), 0);
	CU_ASSERT_EQUAL(flags_of(&no_key, wrong_length, sizeof(wrong_length), back), 0x40);
	CU_ASSERT_EQUAL(memcmp(back + 44 + 1, wrong_length + 1, 11), 0);
	CU_ASSERT_EQUAL(flags_of(&no_key, padding, sizeof(padding), back), 0);
	/* Nobody can verify it without a key. */
	CU_ASSERT_EQUAL(flags_of(&no_key, signature, sizeof(signature), back), 0x20);
	/* In authenticated mode a TLV wants an HMAC behind it, but for a single one of padding. */
	CU_ASSERT_EQUAL(flags_of(&key, unknown, sizeof(unknown), back), 0x20);
	CU_ASSERT_EQUAL(flags_of(&key, signature, sizeof(signature), back), 0x20);
	CU_ASSERT_EQUAL(flags_of(&key, padding, sizeof(padding), back), 0);
}

/* A right HMAC TLV that does not come last protects nothing behind it, but padding. */
static void test_hmac_place(void)
{
	static const uint8_t behind[2][6] = {{0x80, 99, 0, 2, 1, 2}, {0x80, 1, 0, 2, 1, 2}};

	start();
	for (unsigned i = 0; i < 2; i++) {
		uint8_t tlvs[26] = {0x80, 8, 0, 16}, digest[32], back[256];
		static const uint8_t seq[4] = {0, 0, 0, 1}; /* as flags_of() has it */

		crypto_auth_hmacsha256(digest, seq, sizeof(seq), key_bytes);
		memcpy(tlvs + 4, digest, 16);
		memcpy(tlvs + 20, behind[i], 6);
		CU_ASSERT_EQUAL(flags_of(&key, tlvs, sizeof(tlvs), back), i == 0 ? 0x20 : 0);
		CU_ASSERT_EQUAL(back[STAMP_AUTH_BYTES + 20], i == 0 ? 0x20 : 0);
	}
}

/* Any damage behind the base packet is noticed by both ends in authenticated mode, and nothing of
 * the TLVs is used. */
static void test_damage(void)
{
	uint8_t in[256], out[256], dscp;
	struct stamp_answer answer;

	start();
	size_t len = bytes(auth_request, in);
	/* The flags of the HMAC TLV itself are not covered, and mean nothing to a reflector. */
	for (size_t i = STAMP_AUTH_BYTES; i < len; i += i + 1 == len - 20 ? 2 : 1)
		for (unsigned bit = 0; bit < 8; bit++) {
			in[i] ^= (uint8_t)(1u << bit);
			stamp_write_answer(in, len, &key, &reflection, out, &dscp);
			CU_ASSERT(out[STAMP_AUTH_BYTES] & 0x60);
			CU_ASSERT_EQUAL(dscp, 46);
			CU_ASSERT_EQUAL(stamp_read_answer(out, len, &key, &answer), 0);
			CU_ASSERT(!answer.has_cos && !answer.has_counts);
			in[i] ^= (uint8_t)(1u << bit);
		}
	len = bytes(auth_answer, in);
	for (size_t i = STAMP_AUTH_BYTES; i < len; i += i + 1 == len - 20 ? 2 : 1) {
		in[i] ^= 1;
		CU_ASSERT_EQUAL(stamp_read_answer(in, len, &key, &answer), 0);
		CU_ASSERT(!answer.has_cos && !answer.has_counts);
		in[i] ^= 1;
	}
	for (size_t cut = STAMP_AUTH_BYTES; cut < len; cut++) {
		stamp_read_answer(in, cut, &key, &answer);
		CU_ASSERT(!answer.has_cos && !answer.has_counts);
	}
}

static void test_time(void)
{
	/* 2036-02-07 06:28:16 UTC is 0 again. */
	CU_ASSERT_EQUAL(stamp_ntp(0), UINT64_C(2208988800) << 32);
	CU_ASSERT_EQUAL(stamp_ntp(UINT64_C(2085978496) * SECOND + SECOND / 2), 1u << 31);
	for (int64_t ns = 1; ns < INT64_C(4000000000); ns = ns * 3 + 1) {
		int64_t there =
			stamp_ntp_diff_ns(stamp_ntp(REALTIME + (uint64_t)ns), stamp_ntp(REALTIME));
		int64_t back =
			stamp_ntp_diff_ns(stamp_ntp(REALTIME), stamp_ntp(REALTIME + (uint64_t)ns));
		CU_ASSERT(llabs(there - ns) <= 1 && llabs(back + ns) <= 1);
	}
	for (uint64_t ns = 0; ns < UINT64_C(20000000000); ns = ns * 2 + 1) {
		uint16_t e = stamp_error_estimate(ns & 2, ns);
		CU_ASSERT_EQUAL(stamp_error_is_synchronized(e), (ns & 2) != 0);
		CU_ASSERT(stamp_error_ns(e) + 1 >= ns && stamp_error_ns(e) <= ns + ns / 100 + 1);
		CU_ASSERT((e & 0xff) != 0 && !(e & 0x4000));
	}
	CU_ASSERT_EQUAL(stamp_error_ns(0x3fff), INT64_MAX);
}

/* ---- a session ---- */

static struct stamp_session s;
static struct stamp_window minute;

/* The path and the reflector of the simulation. */
static struct {
	bool stateful, counts;
	uint32_t received;
	uint64_t now_ns;
} sim;

static void begin(bool stateful, bool counts)
{
	sim.stateful = stateful;
	sim.counts = counts;
	sim.received = 0;
	sim.now_ns = 50 * SECOND;
	stamp_session_init(&s, sim.now_ns);
}

/* Sends one packet, which is lost up, lost down or answered after up_ns, 300 us and down_ns. The
 * reflector's clock is an hour ahead. Answers are those of the moment when they are taken. */
static struct stamp_answer exchange(bool lost_up, bool lost_down, uint64_t up_ns, uint64_t down_ns)
{
	uint64_t realtime = REALTIME + sim.now_ns, ahead = 3600 * SECOND;
	uint32_t seq = stamp_session_send(&s, sim.now_ns, stamp_ntp(realtime));
	struct stamp_answer a = {.sender_seq = seq,
		.seq = seq,
		.received = stamp_ntp(realtime + up_ns + ahead),
		.sent = stamp_ntp(realtime + up_ns + 300000 + ahead),
		.sender_ttl = 250};

	if (!lost_up)
		sim.received++;
	if (sim.stateful)
		a.seq = sim.received - 1;
	a.has_counts = sim.counts;
	a.sent_count = seq + 1;
	a.reflector_received = a.reflector_sent = sim.received;
	if (!lost_up && !lost_down) {
		uint64_t rtt_ns = up_ns + 300000 + down_ns;
		CU_ASSERT_EQUAL(stamp_session_receive(&s, &a, 251, sim.now_ns + rtt_ns,
					stamp_ntp(realtime + rtt_ns)),
			0);
	}
	sim.now_ns += 20 * MS;
	return a;
}

static void lose(uint64_t *lost_up, uint64_t *lost_down)
{
	*lost_up = *lost_down = 0;
	srand48(7);
	for (unsigned i = 0; i < 2000; i++) {
		bool up = drand48() < 0.03, down = !up && drand48() < 0.05;
		if (i == 1999)
			up = down = false;
		exchange(up, down, 5 * MS, 7 * MS);
		*lost_up += up;
		*lost_down += down;
	}
	sim.now_ns += 3 * SECOND;
	stamp_session_tick(&s, sim.now_ns);
}

static void test_loss(void)
{
	uint64_t up, down;

	begin(true, true);
	lose(&up, &down);
	CU_ASSERT(s.is_attributed);
	CU_ASSERT_EQUAL(s.total.sent, 2000);
	CU_ASSERT_EQUAL(s.total.lost, up + down);
	CU_ASSERT_EQUAL(s.total.received, 2000 - up - down);
	CU_ASSERT_EQUAL(s.total.lost_up, (int64_t)up);
	CU_ASSERT_EQUAL(s.total.lost_down, (int64_t)down);
	stamp_session_minute(&s, &minute);
	CU_ASSERT_EQUAL(minute.lost, s.total.lost);
	CU_ASSERT_EQUAL(minute.rtt.count, s.total.rtt.count);

	/* By the reflector's numbers alone. */
	begin(true, false);
	lose(&up, &down);
	CU_ASSERT(s.is_attributed);
	CU_ASSERT(s.total.lost_up == (int64_t)up && s.total.lost_down == (int64_t)down);

	/* A stateless reflector: lost, and nobody knows where. */
	begin(false, false);
	lose(&up, &down);
	CU_ASSERT_FALSE(s.is_attributed);
	CU_ASSERT_EQUAL(s.total.lost, up + down);
}

static void test_delays(void)
{
	begin(true, true);
	for (unsigned i = 0; i < 1000; i++)
		exchange(false, false, 5 * MS + i % 10 * MS, 7 * MS);
	CU_ASSERT_EQUAL(histogram_min(&s.total.rtt) / 1000, 12000);
	CU_ASSERT(llabs((int64_t)histogram_max(&s.total.rtt) - (int64_t)(21 * MS)) < 1000);
	CU_ASSERT_EQUAL(s.total.rtt.count, 1000);
	/* 0 to 9 ms above the least, evenly; none on the way back. */
	uint64_t p50 = histogram_percentile(&s.total.up_variation, 50);
	CU_ASSERT(p50 > 3900000 && p50 < 4100000);
	CU_ASSERT(histogram_max(&s.total.down_variation) < 1000);
	CU_ASSERT(s.ttl_up == 250 && s.ttl_down == 251);
	CU_ASSERT_FALSE(s.is_synchronized);
	CU_ASSERT(llabs(s.delay_up_ns - (int64_t)(3600 * SECOND + 14 * MS)) < 10);

	/* A minute later it is history. */
	sim.now_ns += 80 * SECOND;
	stamp_session_tick(&s, sim.now_ns);
	stamp_session_minute(&s, &minute);
	CU_ASSERT_EQUAL(minute.rtt.count, 0);
	CU_ASSERT_EQUAL(s.total.rtt.count, 1000);
}

static void test_odd_answers(void)
{
	begin(true, true);
	struct stamp_answer a = exchange(false, false, MS, MS);
	CU_ASSERT_EQUAL(stamp_session_receive(&s, &a, 1, sim.now_ns, 0), -EALREADY);
	CU_ASSERT_EQUAL(s.total.duplicate, 1);
	a.sender_seq = 1;
	CU_ASSERT_EQUAL(stamp_session_receive(&s, &a, 1, sim.now_ns, 0), -ENOENT);
	a.sender_seq = UINT32_MAX;
	CU_ASSERT_EQUAL(stamp_session_receive(&s, &a, 1, sim.now_ns, 0), -ENOENT);

	struct stamp_answer late = exchange(false, true, MS, MS);
	sim.now_ns += 3 * SECOND;
	stamp_session_tick(&s, sim.now_ns);
	CU_ASSERT_EQUAL(s.total.lost, 1);
	CU_ASSERT_EQUAL(stamp_session_receive(&s, &late, 1, sim.now_ns, 0), -ETIME);
	CU_ASSERT(s.total.late == 1 && s.total.lost == 1 && s.total.received == 1);

	/* Overtaken on the way back. */
	struct stamp_answer first = exchange(false, true, MS, MS);
	exchange(false, false, MS, MS);
	CU_ASSERT_EQUAL(stamp_session_receive(&s, &first, 1, sim.now_ns, 0), 0);
	CU_ASSERT_EQUAL(s.total.reordered, 1);
	exchange(false, false, MS, MS);
	CU_ASSERT_EQUAL(s.total.lost_up, 0);

	/* The reflector starts anew: what it has not counted was not lost. */
	sim.received = 0;
	for (unsigned i = 0; i < 10; i++)
		exchange(false, false, MS, MS);
	exchange(true, false, MS, MS);
	exchange(false, false, MS, MS);
	CU_ASSERT_EQUAL(s.total.lost_up, 1);

	/* An answer that came before the last packet was sent, but is taken after that. */
	struct stamp_answer early = exchange(false, true, MS, MS);
	uint64_t lost = s.total.lost;
	stamp_session_send(&s, sim.now_ns, 0);
	CU_ASSERT_EQUAL(stamp_session_receive(&s, &early, 1, sim.now_ns - 17 * MS, 0), 0);
	stamp_session_tick(&s, sim.now_ns - MS);
	CU_ASSERT_EQUAL(s.total.lost, lost);
	stamp_session_tick(&s, sim.now_ns + 4000000 * SECOND);
	CU_ASSERT_EQUAL(s.total.lost, s.total.sent - s.total.received);

	/* Far more than can be remembered, and none comes back. */
	begin(true, true);
	for (unsigned i = 0; i < 5000; i++)
		stamp_session_send(&s, sim.now_ns, 0);
	sim.now_ns += 3 * SECOND;
	stamp_session_tick(&s, sim.now_ns);
	CU_ASSERT(s.total.sent == 5000 && s.total.lost == 5000);
}

UNIT_TESTS("stamp", {"authenticated packets as Python makes them", test_authenticated},
	{"unauthenticated packets as scapy makes them", test_unauthenticated},
	{"packets of every size", test_sizes}, {"a stateless reflector", test_stateless},
	{"flags of TLVs", test_flags}, {"place of the HMAC TLV", test_hmac_place},
	{"damage", test_damage}, {"timestamps", test_time}, {"loss by way", test_loss},
	{"delays and windows", test_delays}, {"odd answers", test_odd_answers})
