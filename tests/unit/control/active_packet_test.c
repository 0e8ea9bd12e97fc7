/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The packets of active measurement against packets that scapy made: what is answered, and what
 * routers say of a packet of ours, which they quote; each with every bit flipped and cut anywhere.
 * What is written is checked by the arithmetic of this test, and must be what such an error would
 * quote.
 */
#include <errno.h>
#include <stdlib.h>

#include "dataplane/control/active_packet.h"
#include "tests/unit/unit.h"

/* We are 10.9.0.50 and fd00::50, the router is 192.0.2.1 and 2001:db8::1, the target 198.51.100.7
 * and 2001:db8:9::7. Our echo has id 0x1234 and seq 0x0203, our datagram ports 40902 and 862. */
static const char time_exceeded[] =
	"45000038000100003c01b288c00002010a0900320b00f4ff000000004500003c00070000010185450a09"
	"0032c63364070800e3c812340203";
static const char port_unreachable[] =
	"45000064000100003b014b23c63364070a090032030331b8000000004500004800080000011185280a09"
	"0032c63364079fc6035e0034cd9178787878787878787878787878787878787878787878787878787878"
	"78787878787878787878787878787878";
static const char host_unreachable[] =
	"45000038000100003b01b388c00002010a0900320301fcfe000000004500003c00070000010185450a09"
	"0032c63364070800e3c812340203";
static const char too_big[] =
	"45000038000100003c01b288c00002010a090032030486fd000005144500004800080000011185280a09"
	"0032c63364079fc6035e0034cd91";
static const char echo_reply[] = "45b900200001000037014eaec63364070a090032000027021234020361626364";
static const char udp[] = "45b8002100010000fa118b9dc63364070a090032035e9fc6000de46768656c6c6f";
static const char time_exceeded6[] =
	"6000000000583a3d20010db8000000000000000000000001fd0000000000000000000000000000500300"
	"379b000000006000000000283a01fd00000000000000000000000000005020010db80009000000000000"
	"000000078000404c12340203000000000000000000000000000000000000000000000000000000000000"
	"0000";
static const char port_unreachable6[] =
	"6000000000443a3d20010db8000900000000000000000007fd0000000000000000000000000000500104"
	"e9fa000000006000000000341101fd00000000000000000000000000005020010db80009000000000000"
	"000000079fc6035e0034d6ed787878787878787878787878";
static const char too_big6[] =
	"6000000000443a3d20010db8000000000000000000000001fd0000000000000000000000000000500200"
	"e3f9000005146000000000341101fd00000000000000000000000000005020010db80009000000000000"
	"000000079fc6035e0034d6ed787878787878787878787878";
static const char echo_reply6[] =
	"6b900000000c3a3720010db8000900000000000000000007fd0000000000000000000000000000508100"
	"7aa11234020361626364";
static const char udp6[] =
	"6b800000000d11fa20010db8000900000000000000000007fd000000000000000000000000000050035e"
	"9fc6000dedc368656c6c6f";

static const struct {
	const char *hex;
	enum active_kind kind;
	uint8_t ttl;
	bool is_echo, by_router, port_unreachable;
	uint16_t mtu;
} cases[] = {
	{time_exceeded, ACTIVE_TIME_EXCEEDED, 60, true, true, false, 0},
	{port_unreachable, ACTIVE_UNREACHABLE, 59, false, false, true, 0},
	{host_unreachable, ACTIVE_UNREACHABLE, 59, true, true, false, 0},
	{too_big, ACTIVE_TOO_BIG, 60, false, true, false, 1300},
	{echo_reply, ACTIVE_ECHO_REPLY, 55, true, false, false, 0},
	{udp, ACTIVE_UDP, 250, false, false, false, 0},
	{time_exceeded6, ACTIVE_TIME_EXCEEDED, 61, true, true, false, 0},
	{port_unreachable6, ACTIVE_UNREACHABLE, 61, false, false, true, 0},
	{too_big6, ACTIVE_TOO_BIG, 61, false, true, false, 1300},
	{echo_reply6, ACTIVE_ECHO_REPLY, 55, true, false, false, 0},
	{udp6, ACTIVE_UDP, 250, false, false, false, 0},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

static struct policy_address v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return (struct policy_address){4, {[10] = 0xff, [11] = 0xff, [12] = a, b, c, d}};
}

static struct policy_address v6(uint8_t first, uint8_t last)
{
	struct policy_address a = {6, {[0] = first, [15] = last}};

	if (first == 0x20)
		memcpy(a.bytes, "\x20\x01\x0d\xb8\x00\x09", 6);
	return a;
}

static uint32_t bytes(const char *hex, uint8_t *out)
{
	uint32_t n = 0;

	for (; hex[0] != '\0'; hex += 2) {
		char two[3] = {hex[0], hex[1], 0};
		out[n++] = (uint8_t)strtoul(two, NULL, 16);
	}
	return n;
}

static bool same(const struct policy_address *a, struct policy_address b)
{
	return memcmp(a, &b, sizeof(b)) == 0;
}

static void test_read(void)
{
	for (unsigned i = 0; i < CASES; i++) {
		uint8_t ip[256];
		uint32_t len = bytes(cases[i].hex, ip);
		bool ipv6 = ip[0] >> 4 == 6;
		struct policy_address us = ipv6 ? v6(0xfd, 0x50) : v4(10, 9, 0, 50);
		struct policy_address target = ipv6 ? v6(0x20, 7) : v4(198, 51, 100, 7);
		struct active_packet p;

		CU_ASSERT_EQUAL_FATAL(active_packet_read(ip, len, &p), 0);
		CU_ASSERT_EQUAL(p.kind, cases[i].kind);
		CU_ASSERT_EQUAL(p.ttl, cases[i].ttl);
		CU_ASSERT(same(&p.dst, us));
		CU_ASSERT_EQUAL(same(&p.src, target), !cases[i].by_router);
		CU_ASSERT_EQUAL(p.is_echo, cases[i].is_echo);
		CU_ASSERT_EQUAL(p.port_unreachable, cases[i].port_unreachable);
		CU_ASSERT_EQUAL(p.mtu, cases[i].mtu);
		if (p.is_echo)
			CU_ASSERT(p.id == 0x1234 && p.seq == 0x0203);
		if (p.kind == ACTIVE_UDP) {
			CU_ASSERT(p.sport == 862 && p.dport == 40902 && p.dscp == 46 && p.ecn == 0);
			CU_ASSERT(p.payload_len == 5 && memcmp(p.payload, "hello", 5) == 0);
		} else if (p.kind == ACTIVE_ECHO_REPLY) {
			CU_ASSERT(p.dscp == 46 && p.ecn == 1);
			CU_ASSERT(p.payload_len == 4 && memcmp(p.payload, "abcd", 4) == 0);
		} else {
			CU_ASSERT(same(&p.quoted_dst, target));
			CU_ASSERT(p.is_echo || (p.sport == 40902 && p.dport == 862));
		}
	}
}

/* No cut packet and none with a flipped bit of what is covered by a checksum is believed. The IPv6
 * header is covered in part: its addresses and lengths. */
static void test_damage(void)
{
	for (unsigned i = 0; i < CASES; i++) {
		uint8_t ip[256];
		uint32_t len = bytes(cases[i].hex, ip);
		bool ipv6 = ip[0] >> 4 == 6;
		struct active_packet p;

		for (uint32_t cut = 0; cut < len; cut++) {
			uint8_t *exact = malloc(cut + 1); /* so that a sanitizer sees more */
			memcpy(exact, ip, cut);
			CU_ASSERT_NOT_EQUAL(active_packet_read(exact, cut, &p), 0);
			free(exact);
		}
		for (uint32_t at = ipv6 ? 8 : 0; at < len; at++)
			for (unsigned bit = 0; bit < 8; bit++) {
				ip[at] ^= (uint8_t)(1u << bit);
				CU_ASSERT_NOT_EQUAL(active_packet_read(ip, len, &p), 0);
				ip[at] ^= (uint8_t)(1u << bit);
			}
	}
}

/* Errors that quote somebody else's packet, or a fragment of ours, are none of ours. */
static void test_foreign_quotes(void)
{
	static const uint32_t at[] = {28 + 12, 28 + 6, 28 + 9, 28 + 20}; /* source, offset, ... */

	for (unsigned i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		uint8_t ip[256];
		uint32_t len = bytes(time_exceeded, ip);
		struct active_packet p;

		/* The same in the checksum of the error, so that only the quote is wrong. */
		ip[at[i]] ^= 1;
		uint32_t s = 0;
		ip[22] = ip[23] = 0;
		for (uint32_t k = 20; k < len; k += 2)
			s += (uint32_t)(ip[k] << 8 | ip[k + 1]);
		s = (s & 0xffff) + (s >> 16);
		s = ~((s & 0xffff) + (s >> 16));
		ip[22] = (uint8_t)(s >> 8);
		ip[23] = (uint8_t)s;
		CU_ASSERT_EQUAL(active_packet_read(ip, len, &p), -ENOENT);
	}
}

/* One's complement sum, the slow and obvious way: 0xffff when a checksum is right. */
static uint32_t ones(const uint8_t *p, uint32_t n, uint32_t s)
{
	for (uint32_t i = 0; i < n; i++) {
		s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
		if (s > 0xffff)
			s -= 0xffff;
	}
	return s;
}

static void test_write(void)
{
	static uint8_t out[9100], other[9100];

	for (unsigned family = 4; family <= 6; family += 2)
		for (unsigned echo = 0; echo < 2; echo++)
			for (uint32_t payload = 0; payload <= 1472; payload += 31) {
				struct active_packet p = {
					.src = family == 4 ? v4(10, 9, 0, 50) : v6(0xfd, 0x50),
					.dst = family == 4 ? v4(198, 51, 100, 7) : v6(0x20, 7),
					.ttl = 3,
					.dscp = 46,
					.ecn = 1,
					.is_echo = echo,
					.sport = 40902,
					.dport = 862,
					.id = 0x1234,
					.seq = (uint16_t)payload,
					.payload_len = payload};
				uint32_t header = ACTIVE_IP_BYTES(family), l4 = 8 + payload;
				int len = active_packet_write(&p, 7, out, sizeof(out));

				CU_ASSERT_EQUAL_FATAL(len, (int)(header + l4));
				CU_ASSERT_EQUAL(active_packet_write(&p, 7, other, header + l4 - 1),
					-EMSGSIZE);
				uint8_t proto = out[family == 4 ? 9 : 6];
				CU_ASSERT_EQUAL(proto, !echo ? 17 : family == 4 ? 1 : 58);
				CU_ASSERT_EQUAL(out[family == 4 ? 8 : 7], 3);
				if (family == 4)
					CU_ASSERT_EQUAL(ones(out, 20, 0), 0xffff);
				uint32_t start = family == 4 && echo ? 0 : proto + l4;
				if (start != 0)
					start = ones(out + (family == 4 ? 12 : 8),
						family == 4 ? 8 : 32, start);
				CU_ASSERT_EQUAL(ones(out + header, l4, start), 0xffff);
				/* The checksum of an echo does not depend on its number. */
				p.seq ^= 0x0f0f;
				active_packet_write(&p, 7, other, sizeof(other));
				if (echo && payload >= 2)
					CU_ASSERT_EQUAL(
						memcmp(out + header + 2, other + header + 2, 2), 0);
			}
}

UNIT_TESTS("active packet", {"what scapy sends is read", test_read},
	{"damaged and cut packets", test_damage}, {"quotes of others", test_foreign_quotes},
	{"what is written", test_write})
