/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * compress/store_header.c: headers of all kinds as differences, whose checksums DPDK has computed;
 * wrong ones; real captures; and any bytes at all in place of a difference.
 */
#include <errno.h>
#include <glob.h>
#include <stdlib.h>

#include <pcap/pcap.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "dataplane/compress/store_header.h"
#include "tests/unit/compress/data.h"
#include "tests/unit/unit.h"

#define PACKET 2048

struct packet {
	uint8_t bytes[PACKET];
	uint32_t len, header_len;
	uint32_t ip, l4; /* offsets; transparent framing: ip is of no meaning */
};

enum start { ETHERNET, VLAN, QINQ, ROUTED, TRANSPARENT, STARTS };
enum kind { TCP_STAMPS, TCP_PLAIN, UDP, UDP_NO_SUM, ICMP, KINDS };

/* ---- packets ---- */

static uint32_t l4_bytes(enum kind kind)
{
	return kind == TCP_STAMPS ? 32 : kind == TCP_PLAIN ? 20 : kind == ICMP ? 0 : 8;
}

static uint8_t protocol_of(enum kind kind)
{
	return kind == ICMP ? IPPROTO_ICMP : l4_bytes(kind) == 8 ? IPPROTO_UDP : IPPROTO_TCP;
}

static uint8_t *put_start(uint8_t *p, enum start start, bool ipv6)
{
	if (start >= ROUTED)
		return p;
	memcpy(p, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02", 12);
	p += 12;
	if (start == QINQ)
		p = store_put(p, 0x88a80123, 4);
	if (start >= VLAN)
		p = store_put(p, 0x81006045, 4);
	return store_put(p, ipv6 ? 0x86dd : 0x0800, 2);
}

static uint8_t *put_ip(uint8_t *p, bool ipv6, enum kind kind, uint32_t n, uint32_t len)
{
	if (ipv6) {
		p = store_put(p, 0x60012345, 4);
		p = store_put(p, len, 2);
		p = store_put(p, (uint32_t)protocol_of(kind) << 8 | 61, 2);
		for (unsigned i = 0; i < 8; i++)
			p = store_put(p, 0x20010db8 + i * 77777, 4);
		return p;
	}
	p = store_put(p, 0x4500, 2);
	p = store_put(p, 20 + len, 2);
	p = store_put(p, 65500 + n, 2);
	p = store_put(p, 0x4000, 2);
	p = store_put(p, 0x3d000000 | (uint32_t)protocol_of(kind) << 16, 4);
	p = store_put(p, 0xc6336401, 4);
	return store_put(p, 0xcb007109, 4);
}

static uint8_t *put_l4(uint8_t *p, enum kind kind, uint32_t n, uint32_t payload)
{
	if (kind == ICMP)
		return p;
	p = store_put(p, 443, 2);
	p = store_put(p, 40000, 2);
	if (kind == UDP || kind == UDP_NO_SUM)
		return store_put(p, (8 + payload) << 16, 4);
	p = store_put(p, UINT32_MAX - 100000 + n * payload, 4);
	p = store_put(p, 5555, 4);
	p = store_put(p, kind == TCP_STAMPS ? 0x801001f5 : 0x501001f5, 4);
	p = store_put(p, 0, 4);
	if (kind == TCP_PLAIN)
		return p;
	p = store_put(p, 0x0101080a, 4);
	p = store_put(p, 1000000 + n / 8, 4);
	return store_put(p, 77000 + n / 9, 4);
}

static void fill_sums(struct packet *p, bool ipv6, enum kind kind)
{
	struct rte_ipv4_hdr *ip4 = (struct rte_ipv4_hdr *)(p->bytes + p->ip);
	const void *l4 = p->bytes + p->l4;
	uint16_t sum;

	if (!ipv6) {
		ip4->hdr_checksum = 0;
		ip4->hdr_checksum = rte_ipv4_cksum(ip4);
	}
	if (kind == UDP_NO_SUM || kind == ICMP)
		return;
	memset(p->bytes + p->l4 + (kind == UDP ? 6 : 16), 0, 2);
	sum = ipv6 ? rte_ipv6_udptcp_cksum((const void *)ip4, l4) : rte_ipv4_udptcp_cksum(ip4, l4);
	memcpy(p->bytes + p->l4 + (kind == UDP ? 6 : 16), &sum, 2);
}

/* Packet number n of a flow, with `payload` bytes of its own. */
static struct packet make(enum start start, bool ipv6, enum kind kind, uint32_t n, uint32_t payload)
{
	struct packet p = {0};
	uint8_t *at = put_start(p.bytes, start, ipv6);

	p.ip = (uint32_t)(at - p.bytes);
	at = put_ip(at, ipv6, kind, n, l4_bytes(kind) + payload);
	p.l4 = (uint32_t)(at - p.bytes);
	at = put_l4(at, kind, n, payload);
	p.header_len = (uint32_t)(at - p.bytes);
	data_fill(at, payload, DATA_RANDOM, n);
	p.len = p.header_len + payload;
	fill_sums(&p, ipv6, kind);
	if (start == TRANSPARENT) {
		p.len -= p.l4;
		p.header_len -= p.l4;
		memmove(p.bytes, p.bytes + p.l4, p.len);
		p.l4 = 0;
	}
	return p;
}

/* Read a difference of n bytes, of which each buffer has just its size, so that ASan watches. The
 * rest of the packet is there when the header has been read, as in store_expand(). Returns what
 * store_header_read() or _finish() says. */
static int read_back(const struct packet *base, const uint8_t *difference, uint32_t n,
	const struct packet *p, uint8_t *out, uint32_t *used)
{
	uint8_t *copy = malloc(n + 1), *packet = malloc(p->len);
	const uint8_t *at = copy;
	struct store_header left;
	int rc;

	copy = realloc(copy, n > 0 ? n : 1);
	at = copy;
	memcpy(copy, difference, n);
	memcpy(packet, base->bytes, p->header_len);
	rc = store_header_read(&at, copy + n, packet, p->header_len, p->len, &left);
	*used = (uint32_t)(at - copy);
	if (rc == 0) {
		memcpy(packet + p->header_len, p->bytes + p->header_len, p->len - p->header_len);
		rc = store_header_finish(&left, packet, p->len);
	}
	memcpy(out, packet, p->len);
	free(copy);
	free(packet);
	return rc;
}

/* There and back; returns the bytes of the difference. */
static uint32_t round_trip(const struct packet *base, const struct packet *p)
{
	uint8_t *difference = malloc(STORE_HEADER_DIFFERENCE_MAX), out[PACKET];
	uint32_t used,
		n = store_header_write(base->bytes, p->header_len, p->bytes, p->len, difference);

	CU_ASSERT(n <= STORE_HEADER_DIFFERENCE_MAX);
	CU_ASSERT_EQUAL(read_back(base, difference, n, p, out, &used), 0);
	CU_ASSERT_EQUAL(used, n);
	CU_ASSERT(memcmp(out, p->bytes, p->len) == 0);
	free(difference);
	return n;
}

/* ---- tests ---- */

/* Each byte by hand: a segment of 4 bytes, 3 times that behind the base's, with PSH set. */
static void test_vector(void)
{
	static const uint8_t want[] = {
		0xfb,			      /* ID, sequence, TSval, TSecr, both checksums, runs */
		0x81, 0x02,		      /* ID: 257 */
		0x07,			      /* sequence: 3 times 4 bytes */
		0xc8, 0x01,		      /* TSval: 200 */
		0xff, 0xff, 0xff, 0xff, 0x0f, /* TSecr: -1 */
		31 << 3 | 1,		      /* skip 31 bytes, */
		16 << 3 | 1 << 1,	      /* and 16: one byte, */
		0x18			      /* ACK and PSH */
	};
	struct packet base = make(ETHERNET, false, TCP_STAMPS, 0, 4), p = base;
	uint8_t difference[STORE_HEADER_DIFFERENCE_MAX];

	store_put(p.bytes + 18, 65500 + 257, 2);
	store_put(p.bytes + 38, UINT32_MAX - 100000 + 12, 4);
	p.bytes[47] = 0x18;
	store_put(p.bytes + 58, 1000000 + 200, 4);
	store_put(p.bytes + 62, 77000 - 1, 4);
	memcpy(p.bytes + 66, "data", 4);
	fill_sums(&p, false, TCP_STAMPS);
	CU_ASSERT_EQUAL_FATAL(
		store_header_write(base.bytes, 66, p.bytes, p.len, difference), sizeof(want));
	CU_ASSERT(memcmp(difference, want, sizeof(want)) == 0);
	CU_ASSERT_EQUAL(round_trip(&base, &p), sizeof(want));
	/* Of bytes that are no multiple of the payload: 2 * 13. */
	store_put(p.bytes + 38, UINT32_MAX - 100000 + 13, 4);
	store_header_write(base.bytes, 66, p.bytes, p.len, difference);
	CU_ASSERT_EQUAL(difference[3], 26);
}

/* Bytes of the difference to the packet 2,000 before, by kind. Without an IP header TCP's checksum
 * is sent; the ones of UDP over 0 bytes are, of course, the same. */
static const uint32_t sizes[KINDS][2][STARTS] = {
	[TCP_STAMPS] = {{9, 9, 9, 9, 10}, {7, 7, 7, 7, 10}},
	[TCP_PLAIN] = {{5, 5, 5, 5, 6}, {3, 3, 3, 3, 6}},
	[UDP] = {{3, 3, 3, 3, 4}, {1, 1, 1, 1, 4}},
	[UDP_NO_SUM] = {{3, 3, 3, 3, 1}, {1, 1, 1, 1, 1}},
	[ICMP] = {{3, 3, 3, 3, 0}, {1, 1, 1, 1, 0}},
};

static void test_kinds(void)
{
	static const uint32_t payloads[] = {1448, 1, 7, 31, 0};

	for (enum kind kind = 0; kind < KINDS; kind++)
		for (unsigned ipv6 = 0; ipv6 < 2; ipv6++)
			for (enum start start = 0; start < STARTS; start++) {
				struct packet base = make(start, ipv6, kind, 5, 1448);
				struct packet p = make(start, ipv6, kind, 2005, 1448);

				if (p.header_len == 0)
					continue;
				uint32_t n = round_trip(&base, &p);
				CU_ASSERT_EQUAL(n, sizes[kind][ipv6][start]);
				/* All lengths, odd ones too, against each other. */
				for (unsigned i = 0; i < 25; i++) {
					base = make(start, ipv6, kind, i * 7, payloads[i % 5]);
					p = make(start, ipv6, kind, i * 9 + 30, payloads[i / 5]);
					n = round_trip(&base, &p);
					CU_ASSERT(n <= 4 + sizes[kind][ipv6][start] + 6);
				}
			}
}

/* A checksum that is wrong stays as wrong as it was, whichever way, of either packet. */
static void test_wrong_sums(void)
{
	for (enum kind kind = 0; kind < KINDS; kind++)
		for (unsigned ipv6 = 0; ipv6 < 2; ipv6++)
			for (unsigned bit = 0; bit < 64; bit++) {
				struct packet base = make(VLAN, ipv6, kind, 5, 99);
				struct packet p = make(VLAN, ipv6, kind, 6, 99);
				struct packet *wrong = bit & 32 ? &base : &p;
				uint32_t right = round_trip(&base, &p), n;
				uint32_t at = bit & 16 && !ipv6	    ? wrong->ip + 10
					      : l4_bytes(kind) == 8 ? wrong->l4 + 6
								    : wrong->l4 + 16;

				wrong->bytes[at + (bit >> 3 & 1)] ^= (uint8_t)(1 << (bit & 7));
				n = round_trip(&base, &p);
				CU_ASSERT(n <= right + 3 + 2); /* a run behind all of IPv6 */
			}
	/* Both ways to write zero: only one of them follows from the rest. */
	for (unsigned i = 0; i < 2; i++) {
		struct packet base = make(ETHERNET, false, UDP, 5, 2);
		struct packet p = make(ETHERNET, false, UDP, 5, 2);
		uint16_t sum;

		/* Make the payload what the checksum lacks to be zero. */
		memset(p.bytes + p.header_len, 0, 2);
		fill_sums(&p, false, UDP);
		memcpy(&sum, p.bytes + p.l4 + 6, 2);
		memcpy(p.bytes + p.header_len, &sum, 2);
		memset(p.bytes + p.l4 + 6, i == 0 ? 0xff : 0, 2);
		CU_ASSERT_EQUAL(round_trip(&base, &p), i == 0 ? 1 : 1 + 2 + 2);
	}
}

/* Headers of any length, of nothing known or nearly that: bit by bit all the same. */
static void test_any_header(void)
{
	uint64_t seed = 1;

	for (unsigned i = 0; i < 200000; i++) {
		uint64_t dice = data_next(&seed);
		enum start start = dice % STARTS;
		enum kind kind = (dice >> 8) % KINDS;
		struct packet base = make(start, dice >> 16 & 1, kind, 5, 200);
		struct packet p = make(start, dice >> 16 & 1, kind, dice >> 20 & 63, 200);
		uint32_t header_len = 1 + (uint32_t)(dice >> 32) % STORE_HEADER_MAX;

		for (unsigned changes = dice >> 40 & 15; changes > 0; changes--) {
			uint64_t change = data_next(&seed);
			struct packet *to = change & 1 ? &base : &p;

			to->bytes[(change >> 8) % p.len] = (uint8_t)(change >> 32);
		}
		if (dice >> 50 & 1)
			base.header_len = p.header_len = header_len;
		if (p.header_len > 0)
			round_trip(&base, &p);
		if (dice >> 51 & 1) {
			data_fill(base.bytes, header_len, DATA_RANDOM, dice);
			base.header_len = p.header_len = header_len;
			round_trip(&base, &p);
		}
	}
}

/* A difference cut anywhere is none; any other bytes are none, or make some packet. */
static void test_damage(void)
{
	unsigned seen[2] = {0};
	uint64_t seed = 2;

	for (unsigned i = 0; i < 200000; i++) {
		uint64_t dice = data_next(&seed);
		enum start start = dice % STARTS;
		bool ipv6 = dice >> 16 & 1;
		struct packet base = make(start, ipv6, (dice >> 8) % 4, 5, 40);
		struct packet p = make(start, ipv6, (dice >> 8) % 4, 900, 40);
		uint8_t difference[STORE_HEADER_DIFFERENCE_MAX], out[PACKET];
		uint32_t used, n;

		p.bytes[dice >> 24 & 7] ^= 1;
		n = store_header_write(base.bytes, p.header_len, p.bytes, p.len, difference);
		for (uint32_t cut = 0; cut < n && i < 1000; cut++)
			CU_ASSERT_EQUAL(
				read_back(&base, difference, cut, &p, out, &used), -EBADMSG);
		if (dice >> 32 & 1)
			difference[(dice >> 36) % n] = (uint8_t)(dice >> 56);
		else
			data_fill(difference, n, DATA_RANDOM, dice);
		int rc = read_back(&base, difference, n, &p, out, &used);
		CU_ASSERT(rc == 0 || rc == -EBADMSG);
		CU_ASSERT(used <= n);
		seen[rc != 0]++;
	}
	CU_ASSERT(seen[0] > 1000 && seen[1] > 1000);
}

/* What a valid difference asks for and the headers do not have. */
static void test_hostile(void)
{
	static const struct {
		enum start start;
		bool ipv6;
		enum kind kind;
		uint8_t len, difference[8];
		int want;
	} cases[] = {
		{ETHERNET, false, TCP_STAMPS, 1, {0x00}, 0},
		{ETHERNET, false, TCP_STAMPS, 1, {0x60}, 0},
		{ETHERNET, false, TCP_STAMPS, 6, {0x02, 0xff, 0xff, 0xff, 0xff, 0x7f}, 0},
		{ETHERNET, false, TCP_STAMPS, 7, {0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0}, -EBADMSG},
		{ETHERNET, true, TCP_STAMPS, 1, {0x20}, -EBADMSG},
		{ETHERNET, true, TCP_STAMPS, 2, {0x01, 1}, -EBADMSG},
		{ETHERNET, false, TCP_PLAIN, 2, {0x08, 1}, -EBADMSG},
		{ETHERNET, false, UDP, 2, {0x02, 1}, -EBADMSG},
		{ETHERNET, false, ICMP, 1, {0x40}, -EBADMSG},
		{TRANSPARENT, false, TCP_STAMPS, 1, {0x40}, -EBADMSG},
		{TRANSPARENT, false, TCP_STAMPS, 1, {0x20}, -EBADMSG},
		/* The header's last byte, and the one behind it. */
		{ROUTED, false, TCP_PLAIN, 4, {0x80, 31 << 3 | 1, 8 << 3 | 2, 7}, 0},
		{ROUTED, false, TCP_PLAIN, 4, {0x80, 31 << 3 | 1, 9 << 3 | 2, 7}, -EBADMSG},
		{ROUTED, false, TCP_PLAIN, 5, {0x80, 31 << 3 | 1, 8 << 3 | 4, 7, 7}, -EBADMSG},
		/* IPv4 and IPv6 lengths of the whole packet, of a byte more, of less than headers.
		 */
		{ROUTED, false, TCP_PLAIN, 5, {0xc0, 2 << 3 | 4, 0, 140}, 0},
		{ROUTED, false, TCP_PLAIN, 5, {0xc0, 2 << 3 | 4, 0, 141}, -EBADMSG},
		{ROUTED, false, TCP_PLAIN, 5, {0xc0, 2 << 3 | 4, 0, 40}, 0},
		{ROUTED, false, TCP_PLAIN, 5, {0xc0, 2 << 3 | 4, 0, 39}, -EBADMSG},
		{ROUTED, false, TCP_PLAIN, 5, {0xc0, 2 << 3 | 4, 0, 0}, -EBADMSG},
		{ROUTED, true, UDP, 5, {0xc0, 4 << 3 | 4, 0, 108}, 0},
		{ROUTED, true, UDP, 5, {0xc0, 4 << 3 | 4, 0, 109}, -EBADMSG},
		{ROUTED, true, UDP, 5, {0xc0, 4 << 3 | 4, 0, 7}, -EBADMSG},
		{ROUTED, true, UDP, 5, {0xc0, 4 << 3 | 4, 255, 255}, -EBADMSG},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct packet base = make(cases[i].start, cases[i].ipv6, cases[i].kind, 1, 100);
		uint8_t out[PACKET];
		uint32_t used, n = cases[i].len;

		if (cases[i].want == 0 && n == 5)
			n = 4; /* all of it is used */
		CU_ASSERT_EQUAL(
			read_back(&base, cases[i].difference, n, &base, out, &used), cases[i].want);
	}
}

/* Headers that end elsewhere than their lengths say have no fields, and no checksums. */
static void test_wrong_ends(void)
{
	static const uint8_t differences[][2] = {{0x40}, {0x20}, {0x04, 1}};

	for (enum start start = 0; start < STARTS; start++)
		for (enum kind kind = 0; kind < KINDS; kind++)
			for (unsigned i = 0; i < 9; i++) {
				struct packet base = make(start, false, kind, 1, 100);
				uint8_t out[PACKET];
				uint32_t used, n = i / 3 == 2 ? 2 : 1;

				if (base.header_len == 0)
					continue;
				base.header_len += i % 3 - 1; /* a byte less, as it is, one more */
				int rc = read_back(&base, differences[i / 3], n, &base, out, &used);
				if (i % 3 != 1)
					CU_ASSERT_EQUAL(rc, -EBADMSG);
			}
}

/* The IP and L4 headers of a frame, as this test understands them; header_len 0: not at all. */
static struct packet parse(const uint8_t *frame, uint32_t len)
{
	struct packet p = {.len = len, .ip = 14};
	uint32_t type, protocol;

	if (len > PACKET || len < 60)
		return p;
	memcpy(p.bytes, frame, len);
	for (type = store_get(p.bytes + 12, 2); type == 0x8100 && p.ip < 30; p.ip += 4)
		type = store_get(p.bytes + p.ip + 2, 2);
	if (type != 0x0800)
		return p;
	protocol = p.bytes[p.ip + 9];
	p.l4 = p.ip + (p.bytes[p.ip] & 15) * 4;
	p.header_len = p.l4 + (protocol == IPPROTO_TCP ? (p.bytes[p.l4 + 12] >> 4) * 4u : 8);
	if ((protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) || p.header_len > len ||
		p.header_len > STORE_HEADER_MAX)
		p.header_len = 0;
	return p;
}

/* Each frame of a capture as the difference to the last one between the same ends. */
static void captured(const char *name, unsigned *frames, uint64_t *header_bytes, uint64_t *bytes)
{
	static struct packet last[256];
	char error[PCAP_ERRBUF_SIZE];
	pcap_t *file = pcap_open_offline(name, error);
	struct pcap_pkthdr *header;
	const uint8_t *frame;

	memset(last, 0, sizeof(last));
	while (file != NULL && pcap_datalink(file) == DLT_EN10MB &&
		pcap_next_ex(file, &header, &frame) == 1) {
		struct packet p = parse(frame, header->caplen), *base;

		if (p.header_len == 0)
			continue;
		/* Ports and addresses: 12 bytes in front of what grows. */
		base = &last[rte_raw_cksum(p.bytes + p.l4 - 8, 12) % 256];
		if (base->header_len == p.header_len &&
			memcmp(base->bytes + p.l4 - 8, p.bytes + p.l4 - 8, 12) == 0) {
			*bytes += round_trip(base, &p);
			*header_bytes += p.header_len;
			++*frames;
		}
		*base = p;
	}
	if (file != NULL)
		pcap_close(file);
}

static void test_captures(void)
{
	const char *folder = getenv("CAPTURES");
	uint64_t header_bytes = 0, bytes = 0;
	char pattern[1000];
	unsigned frames = 0;
	glob_t found = {0};

	snprintf(pattern, sizeof(pattern), "%s/*.pcap", folder != NULL ? folder : ".");
	if (folder == NULL || glob(pattern, 0, NULL, &found) != 0) {
		printf("     no captures: skipped\n");
		return;
	}
	for (size_t i = 0; i < found.gl_pathc; i++)
		captured(found.gl_pathv[i], &frames, &header_bytes, &bytes);
	globfree(&found);
	CU_ASSERT(frames > 100);
	CU_ASSERT(bytes * 3 < header_bytes);
	printf("     %u frames, their headers %.1f bytes as differences instead of %.1f\n", frames,
		(double)bytes / frames, (double)header_bytes / frames);
}

UNIT_TESTS("compress-store_header", {"each byte of a difference", test_vector},
	{"headers of all kinds", test_kinds}, {"wrong checksums stay as they are", test_wrong_sums},
	{"any header comes out as it went in", test_any_header},
	{"damaged differences", test_damage}, {"what the headers do not have", test_hostile},
	{"headers that end elsewhere", test_wrong_ends}, {"captures", test_captures})
