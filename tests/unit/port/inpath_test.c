/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The in-path address against frames that a Linux 6.18 kernel sent (captured, shown as hex), the
 * same with every byte cut or flipped, and what it sends, checked here with arithmetic of the
 * test's own.
 */
#include "dataplane/control/inpath.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>

#define S UINT64_C(1000000000)

/* The kernel: 4a:e8:b7:2a:7b:26, 10.9.0.1, fd00::1. We: 82:08:c4:97:f4:ae, 10.9.0.50, fd00::50. */
static const char arp_request[] =
	"ffffffffffff4ae8b72a7b26080600010800060400014ae8b72a7b260a0900010000000000000a090032";
static const char arp_reply[] =
	"8208c497f4ae4ae8b72a7b26080600010800060400024ae8b72a7b260a0900018208c497f4ae0a090032";
static const char ping4[] = "8208c497f4ae4ae8b72a7b26080045000034cbcc400040015ab80a0900010a09003208"
			    "0091865c4d00016c70046b"
			    "0000000049ff0300000000001011121314151617";
static const char solicitation[] =
	"3333ff0000504ae8b72a7b2686dd6000000000203afffd000000000000000000000000000001ff020000000000"
	"00"
	"00000001ff000050870001c300000000fd00000000000000000000000000005001014ae8b72a7b26";
static const char advertisement[] =
	"8208c497f4ae4ae8b72a7b2686dd6000000000203afffd000000000000000000000000000001fd000000000000"
	"00"
	"00000000000000508800a11560000000fd00000000000000000000000000000102014ae8b72a7b26";
static const char ping6[] = "8208c497f4ae4ae8b72a7b2686dd600e1f1000203a40fd000000000000000000000000"
			    "000001fd00000000000000"
			    "00000000000000508000"
			    "6aca5c5000016c70046b00000000fd0a0400000000001011121314151617";

static const uint8_t our_mac[6] = {0x82, 0x08, 0xc4, 0x97, 0xf4, 0xae};
static const uint8_t kernel_mac[6] = {0x4a, 0xe8, 0xb7, 0x2a, 0x7b, 0x26};

static struct {
	unsigned count;
	int side[16];
	uint32_t len[16];
	uint8_t frame[16][INPATH_FRAME_MAX];
} sent;
static struct inpath ip;

static void emit(void *ctx, int side, const uint8_t *frame, uint32_t len)
{
	if (sent.count < 16) {
		sent.side[sent.count] = side;
		sent.len[sent.count] = len;
		memcpy(sent.frame[sent.count], frame, len);
	}
	sent.count++;
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

/* The frame with a VLAN tag put in. */
static uint32_t tagged(const char *hex, uint16_t vlan, uint8_t *out)
{
	uint8_t plain[256];
	uint32_t n = bytes(hex, plain);

	memcpy(out, plain, 12);
	out[12] = 0x81;
	out[13] = 0;
	out[14] = vlan >> 8;
	out[15] = vlan & 255;
	memcpy(out + 16, plain + 12, n - 12);
	return n + 4;
}

static struct policy_address v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return (struct policy_address){4, {[10] = 0xff, [11] = 0xff, [12] = a, b, c, d}};
}

static struct policy_address v6(uint8_t last)
{
	return (struct policy_address){6, {0xfd, [15] = last}};
}

static void start(uint16_t vlan)
{
	struct policy_bridge bridge = {.vlan = vlan};
	struct inpath_config config;

	bridge.address4 = (struct policy_prefix){v4(10, 9, 0, 50), 24};
	bridge.address6 = (struct policy_prefix){v6(0x50), 64};
	bridge.gateway4 = v4(10, 9, 0, 1);
	bridge.gateway6 = v6(1);
	CU_ASSERT_TRUE(inpath_config_of(&config, &bridge, our_mac));
	inpath_init(&ip, &config, S);
	sent.count = 0;
}

static int input(int side, const char *hex)
{
	uint8_t frame[256];
	uint32_t n = bytes(hex, frame);

	CU_ASSERT_TRUE(inpath_wants(&ip.config, frame, n));
	return inpath_input(&ip, side, frame, n, 2 * S, emit, NULL);
}

/* One's complement sum of 16-bit words, the slow and obvious way: 0xffff when a checksum is right.
 */
static uint32_t ones(const uint8_t *p, uint32_t n, uint32_t s)
{
	for (uint32_t i = 0; i < n; i++) {
		s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
		if (s > 0xffff)
			s -= 0xffff;
	}
	return s;
}

/* Is every checksum of an IP packet right? Offset of the IP header given. */
static bool checksums_right(const uint8_t *f, uint32_t at)
{
	if (f[at] >> 4 == 4) {
		uint32_t len = (uint32_t)(f[at + 2] << 8 | f[at + 3]) - 20;
		uint32_t s = f[at + 9] == 1 ? 0 : ones(f + at + 12, 8, 17 + len);
		return ones(f + at, 20, 0) == 0xffff && ones(f + at + 20, len, s) == 0xffff;
	}
	uint32_t len = (uint32_t)(f[at + 4] << 8 | f[at + 5]);
	return ones(f + at + 40, len, ones(f + at + 8, 32, len + f[at + 6])) == 0xffff;
}

static void test_arp(void)
{
	static const uint8_t expected[60] = {0x4a, 0xe8, 0xb7, 0x2a, 0x7b, 0x26, 0x82, 0x08, 0xc4,
		0x97, 0xf4, 0xae, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2, 0x82, 0x08, 0xc4, 0x97, 0xf4, 0xae,
		10, 9, 0, 50, 0x4a, 0xe8, 0xb7, 0x2a, 0x7b, 0x26, 10, 9, 0, 1};

	start(0);
	/* Broadcast: the others must see it too. The answer leaves by the side it came from. */
	CU_ASSERT_EQUAL(input(INPATH_LAN, arp_request), 0);
	CU_ASSERT_EQUAL_FATAL(sent.count, 1);
	CU_ASSERT_EQUAL(sent.side[0], INPATH_LAN);
	CU_ASSERT_EQUAL(sent.len[0], 60);
	CU_ASSERT_EQUAL(memcmp(sent.frame[0], expected, 60), 0);
	CU_ASSERT_EQUAL(ip.counters.arp_answered, 1);
	/* and it taught us the asker's MAC */
	struct policy_address kernel = v4(10, 9, 0, 1);
	uint8_t mac[6];
	CU_ASSERT_TRUE(inpath_next_hop_mac(&ip, &kernel, mac, 2 * S));
	CU_ASSERT_EQUAL(memcmp(mac, kernel_mac, 6), 0);
}

static void test_not_ours(void)
{
	uint8_t frame[256];
	uint32_t n;

	start(0);
	n = bytes(arp_request, frame);
	frame[n - 1] = 51; /* asks for a neighbour */
	CU_ASSERT_EQUAL(inpath_input(&ip, 1, frame, n, S, emit, NULL), 0);
	n = bytes(ping4, frame);
	frame[0] ^= 2; /* to another MAC */
	CU_ASSERT_FALSE(inpath_wants(&ip.config, frame, n));
	CU_ASSERT_EQUAL(inpath_input(&ip, 1, frame, n, S, emit, NULL), 0);
	n = tagged(ping4, 7, frame); /* in a VLAN that is not ours */
	CU_ASSERT_FALSE(inpath_wants(&ip.config, frame, n));
	inpath_input(&ip, 1, frame, n, S, emit, NULL);
	n = bytes(ping4, frame);
	frame[6] |= 1; /* "from" a group: would be amplified */
	inpath_input(&ip, 1, frame, n, S, emit, NULL);
	CU_ASSERT_EQUAL(sent.count, 0);
}

static void test_ping(void)
{
	static const char *const pings[] = {ping4, ping6};

	for (unsigned i = 0; i < 2; i++) {
		const uint32_t header = i == 0 ? 20 : 40, address = i == 0 ? 12 : 8,
			       n = i == 0 ? 4 : 16;
		uint8_t asked[256];
		uint32_t len = bytes(pings[i], asked);

		start(0);
		CU_ASSERT_EQUAL(input(INPATH_WAN, pings[i]), 1);
		CU_ASSERT_EQUAL_FATAL(sent.count, 1);
		const uint8_t *f = sent.frame[0];
		CU_ASSERT_EQUAL(sent.len[0], len);
		CU_ASSERT_EQUAL(memcmp(f, kernel_mac, 6), 0);
		CU_ASSERT_EQUAL(memcmp(f + 6, our_mac, 6), 0);
		CU_ASSERT_EQUAL(memcmp(f + 14 + address, asked + 14 + address + n, n), 0);
		CU_ASSERT_EQUAL(memcmp(f + 14 + address + n, asked + 14 + address, n), 0);
		CU_ASSERT_EQUAL(f[14 + header], i == 0 ? 0 : 129);
		/* identifier, sequence number and payload unchanged */
		CU_ASSERT_EQUAL(memcmp(f + 18 + header, asked + 18 + header, len - 18 - header), 0);
		CU_ASSERT_TRUE(checksums_right(f, 14));
		CU_ASSERT_EQUAL(ip.counters.echo_answered, 1);
	}
}

static void test_nd(void)
{
	start(0);
	CU_ASSERT_EQUAL(input(INPATH_LAN, solicitation), 0);
	CU_ASSERT_EQUAL_FATAL(sent.count, 1);
	const uint8_t *f = sent.frame[0];
	CU_ASSERT_EQUAL(memcmp(f, kernel_mac, 6), 0);
	CU_ASSERT_EQUAL(f[21], 255); /* hop limit */
	CU_ASSERT_EQUAL(f[54], 136);
	CU_ASSERT_EQUAL(f[58], 0x60); /* solicited, override */
	CU_ASSERT_EQUAL(memcmp(f + 62, ip.config.address6.address.bytes, 16), 0);
	CU_ASSERT_EQUAL(f[78], 2);
	CU_ASSERT_EQUAL(memcmp(f + 80, our_mac, 6), 0);
	CU_ASSERT_TRUE(checksums_right(f, 14));
	/* the same through a router (hop limit 254) is not believed */
	uint8_t frame[256];
	uint32_t n = bytes(solicitation, frame);
	frame[21] = 254;
	CU_ASSERT_EQUAL(inpath_input(&ip, 1, frame, n, S, emit, NULL), 0);
	CU_ASSERT_EQUAL(sent.count, 1);
	CU_ASSERT_EQUAL(ip.counters.bad, 1);
}

static void test_vlan(void)
{
	uint8_t frame[256];
	uint32_t n;

	start(123);
	n = tagged(arp_request, 123, frame);
	CU_ASSERT_TRUE(inpath_wants(&ip.config, frame, n));
	inpath_input(&ip, 1, frame, n, S, emit, NULL);
	n = tagged(ping6, 0xe000 | 123, frame); /* priority 7 */
	CU_ASSERT_EQUAL(inpath_input(&ip, 1, frame, n, S, emit, NULL), 1);
	n = bytes(ping4, frame);
	CU_ASSERT_FALSE(inpath_wants(&ip.config, frame, n)); /* untagged is not for us */
	inpath_input(&ip, 1, frame, n, S, emit, NULL);
	CU_ASSERT_EQUAL_FATAL(sent.count, 2);
	for (unsigned i = 0; i < 2; i++) {
		static const uint8_t tag[4] = {0x81, 0, 0, 123};
		CU_ASSERT_EQUAL(memcmp(sent.frame[i] + 12, tag, 4), 0);
	}
	CU_ASSERT_TRUE(checksums_right(sent.frame[1], 18));

	start(0); /* a priority tag (VLAN 0) counts as untagged */
	n = tagged(ping4, 0xa000, frame);
	CU_ASSERT_EQUAL(inpath_input(&ip, 1, frame, n, S, emit, NULL), 1);
	CU_ASSERT_EQUAL(sent.count, 1);
}

/* Every byte of the IP packets is covered by a checksum or a check: any change goes unanswered. */
static void test_damaged(void)
{
	static const char *const frames[] = {ping4, ping6, solicitation};

	for (unsigned k = 0; k < 3; k++) {
		uint8_t frame[256], copy[256];
		uint32_t n = bytes(frames[k], frame);

		start(0);
		for (uint32_t cut = 0; cut < n; cut++) {
			uint8_t *exact = malloc(cut + 1);
			memcpy(exact, frame, cut);
			inpath_input(&ip, 1, exact, cut, S, emit, NULL);
			free(exact);
		}
		CU_ASSERT_EQUAL(sent.count, 0);
		for (uint32_t i = 14; i < n; i++) {
			/* not covered in IPv6: traffic class, flow label; an echo's hop limit */
			if (k > 0 && ((i >= 14 && i <= 17) || (k == 1 && i == 21)))
				continue;
			memcpy(copy, frame, n);
			copy[i] ^= 0x11;
			inpath_input(&ip, 1, copy, n, S, emit, NULL);
			if (sent.count != 0)
				printf("frame %u byte %u\n", k, i);
			CU_ASSERT_EQUAL_FATAL(sent.count, 0);
		}
		CU_ASSERT(ip.counters.bad > 0);
	}
}

/*
 * An ICMP error of either family, from the kernel as a router, that quotes the first quoted_len
 * bytes of a UDP packet of 1,450 bytes from us to 198.51.100.7 or fd99::7. Returns its length.
 */
static uint32_t too_big(bool v6, uint32_t mtu, uint32_t quoted_len, uint8_t *f)
{
	const uint32_t header = v6 ? 40 : 20, n = 8 + quoted_len;
	uint8_t quoted[60] = {0x45, 0, 5, 0xaa, 0, 0, 0x40, 0, 60, 17, 0, 0, 10, 9, 0, 50, 198, 51,
		100, 7, 0xc0, 0x05, 0x16, 0xbc, 5, 0x96, 0, 0, 0x48, 0x05};
	uint8_t *icmp = f + 14 + header;

	if (v6) {
		memset(quoted, 0, sizeof(quoted));
		memcpy(quoted, "\x60\0\0\0\x05\x82\x11\x3c\xfd", 9);
		quoted[23] = 0x50;
		memcpy(quoted + 24, "\xfd\x99", 2);
		quoted[39] = 7;
		memcpy(quoted + 40, "\xc0\x05\x16\xbc\x05\x82\0\0", 8);
	}
	bytes(v6 ? ping6 : ping4, f); /* addresses */
	memset(icmp, 0, n);
	if (v6) {
		icmp[0] = 2;
		icmp[4] = mtu >> 24 & 255;
		icmp[5] = mtu >> 16 & 255;
		f[18] = n >> 8 & 255;
		f[19] = n & 255;
	} else {
		icmp[0] = 3;
		icmp[1] = 4;
		f[16] = (n + 20) >> 8 & 255;
		f[17] = (n + 20) & 255;
		f[24] = f[25] = 0;
		uint32_t s = ~ones(f + 14, 20, 0);
		f[24] = s >> 8 & 255;
		f[25] = s & 255;
	}
	icmp[6] = mtu >> 8 & 255;
	icmp[7] = mtu & 255;
	memcpy(icmp + 8, quoted, quoted_len < sizeof(quoted) ? quoted_len : sizeof(quoted));
	uint32_t s = ~ones(icmp, n, v6 ? ones(f + 22, 32, n + 58) : 0);
	icmp[2] = s >> 8 & 255;
	icmp[3] = s & 255;
	return 14 + header + n;
}

static void test_too_big(void)
{
	for (unsigned v6 = 0; v6 < 2; v6++) {
		const uint32_t header = v6 ? 40 : 20;
		uint8_t f[256];

		start(0);
		for (uint32_t quoted = 0; quoted < header + 40; quoted++) {
			uint32_t n = too_big(v6, 1400, quoted, f);

			ip.too_big.dst.family = 0;
			int rc = inpath_input(&ip, 1, f, n, S, emit, NULL);
			CU_ASSERT_EQUAL(rc, 1); /* to our address: done with in any case */
			CU_ASSERT_EQUAL(ip.too_big.dst.family, quoted < header + 8 ? 0
							       : v6		   ? 6
										   : 4);
		}
		CU_ASSERT_EQUAL(ip.counters.bad, 0);
		CU_ASSERT_EQUAL(ip.too_big.mtu, 1400);
		CU_ASSERT_EQUAL(ip.too_big.len, 1450);
		CU_ASSERT_EQUAL(ip.too_big.sport, 49157);
		CU_ASSERT_EQUAL(ip.too_big.dport, 5820);
		CU_ASSERT_EQUAL(ip.too_big.dst.bytes[15], 7);
		CU_ASSERT_EQUAL(ip.too_big.dst.bytes[v6 ? 0 : 12], v6 ? 0xfd : 198);

		/* Not said how much would fit: known in IPv4 only, but no reason to refuse it. */
		ip.too_big.dst.family = 0;
		inpath_input(&ip, 1, f, too_big(v6, 0, header + 8, f), S, emit, NULL);
		CU_ASSERT_EQUAL(ip.too_big.mtu, 0);
		CU_ASSERT_NOT_EQUAL(ip.too_big.dst.family, 0);
		/* The packet would have fitted; more than 16 bits. */
		ip.too_big.dst.family = 0;
		inpath_input(&ip, 1, f, too_big(v6, 1450, header + 8, f), S, emit, NULL);
		if (v6)
			inpath_input(&ip, 1, f, too_big(v6, 66936, header + 8, f), S, emit, NULL);
		CU_ASSERT_EQUAL(ip.too_big.dst.family, 0);

		/* Any bit changed on the way: the checksums find it. */
		uint32_t n = too_big(v6, 1400, header + 8, f);
		for (uint32_t i = 14 + header; i < n; i++) {
			f[i] ^= 0x11;
			inpath_input(&ip, 1, f, n, S, emit, NULL);
			f[i] ^= 0x11;
		}
		CU_ASSERT_EQUAL(ip.too_big.dst.family, 0);
		/* A quoted packet that is not ours, or no UDP, with right checksums: a pair of
		 * changes that they do not see. */
		for (unsigned k = 0; k < 2; k++) {
			uint32_t at = 14 + header + 8 + (k == 0 ? (v6 ? 23 : 15) : (v6 ? 6 : 9));

			too_big(v6, 1400, header + 8, f);
			uint32_t s = (uint32_t)(f[14 + header + 2] << 8 | f[14 + header + 3]);
			uint32_t w = at - (at & 1), before = (uint32_t)(f[w] << 8 | f[w + 1]);
			f[at]--;
			s += before - (uint32_t)(f[w] << 8 | f[w + 1]);
			s = (s & 0xffff) + (s >> 16);
			f[14 + header + 2] = s >> 8 & 255;
			f[14 + header + 3] = s & 255;
			CU_ASSERT_TRUE(checksums_right(f, 14));
			inpath_input(&ip, 1, f, n, S, emit, NULL);
			CU_ASSERT_EQUAL(ip.too_big.dst.family, 0);
		}
		CU_ASSERT_EQUAL(sent.count, 0);
	}
}

static void test_echo_limit(void)
{
	start(0);
	for (unsigned i = 0; i < 5000; i++)
		input(1, ping4);
	CU_ASSERT(ip.counters.echo_answered >= 100 && ip.counters.echo_answered <= 102);
	CU_ASSERT_EQUAL(ip.counters.echo_answered + ip.counters.limited, 5000);
}

static void test_announce(void)
{
	start(0);
	for (uint64_t now = S; now < 20 * S; now += S / 10)
		inpath_tick(&ip, now, emit, NULL);
	CU_ASSERT_EQUAL_FATAL(sent.count, 3 * 2 * 2); /* 3 times, both families, both sides */
	CU_ASSERT_EQUAL(sent.frame[0][21], 1);
	CU_ASSERT_EQUAL(memcmp(sent.frame[0] + 28, sent.frame[0] + 38, 4), 0);
	CU_ASSERT_EQUAL(sent.side[0], INPATH_LAN);
	CU_ASSERT_EQUAL(sent.side[2], INPATH_WAN);
	CU_ASSERT_TRUE(checksums_right(sent.frame[1], 14));
	/* our own announcement coming back over a loop is no conflict; another host's is */
	inpath_input(&ip, 1, sent.frame[0], sent.len[0], 20 * S, emit, NULL);
	inpath_input(&ip, 1, sent.frame[1], sent.len[1], 20 * S, emit, NULL);
	CU_ASSERT_EQUAL(ip.counters.conflicts, 0);
	uint8_t frame[256];
	uint32_t n = bytes(arp_request, frame);
	memcpy(frame + 28, frame + 38, 4);
	sent.count = 0;
	inpath_input(&ip, 1, frame, n, 20 * S, emit, NULL);
	inpath_input(&ip, 1, frame, n, 21 * S, emit, NULL);
	CU_ASSERT_EQUAL(ip.counters.conflicts, 2);
	CU_ASSERT_EQUAL(sent.count, 4); /* defended once in ten seconds */
}

static void udp(struct policy_address dst, const char *answer, uint32_t header)
{
	uint8_t frame[1500], payload[999];
	uint32_t l4 = 18 + header;

	for (unsigned i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7);
	start(123);
	CU_ASSERT_EQUAL(inpath_build_udp(&ip, &dst, 5000, 9999, 46, payload, 999, frame, 1500, S,
				emit, NULL),
		-EAGAIN);
	CU_ASSERT_EQUAL_FATAL(sent.count, 1); /* the request, out of the WAN */
	CU_ASSERT_EQUAL(sent.side[0], INPATH_WAN);
	if (dst.family == 6)
		CU_ASSERT_TRUE(checksums_right(sent.frame[0], 18));
	uint8_t reply[256];
	uint32_t n = tagged(answer, 123, reply);
	inpath_input(&ip, 1, reply, n, S + 1000, emit, NULL);
	int len = inpath_build_udp(
		&ip, &dst, 5000, 9999, 46, payload, 999, frame, 1500, S, emit, NULL);
	CU_ASSERT_EQUAL_FATAL(len, (int)(l4 + 8 + 999));
	CU_ASSERT_EQUAL(memcmp(frame, kernel_mac, 6), 0);
	CU_ASSERT_TRUE(checksums_right(frame, 18));
	CU_ASSERT_EQUAL(frame[l4] << 8 | frame[l4 + 1], 5000);
	CU_ASSERT_EQUAL(frame[l4 + 2] << 8 | frame[l4 + 3], 9999);
	CU_ASSERT_EQUAL(memcmp(frame + l4 + 8, payload, 999), 0);
	CU_ASSERT_EQUAL(
		inpath_build_udp(&ip, &dst, 1, 2, 0, payload, 999, frame, 1000, S, emit, NULL),
		-EMSGSIZE);
}

static void test_udp(void)
{
	udp(v4(198, 51, 100, 7), arp_reply, 20); /* through the gateway */
	udp(v4(10, 9, 0, 1), arp_reply, 20);
	struct policy_address far = {6, {0x20, 0x01, 0x0d, 0xb8, [15] = 7}};
	udp(far, advertisement, 40);
	udp(v6(1), advertisement, 40);

	uint8_t frame[1500], mac[6];
	struct policy_address dst = v4(198, 51, 100, 7), none = {0};
	start(0);
	ip.config.gateway4.family = 0;
	CU_ASSERT_EQUAL(inpath_build_udp(&ip, &dst, 1, 2, 0, frame, 10, frame, 1500, S, emit, NULL),
		-EHOSTUNREACH);
	CU_ASSERT_FALSE(inpath_next_hop_mac(&ip, &none, mac, S));
	CU_ASSERT_EQUAL(sent.count, 0);
}

/* A checksum that comes out as 0 is sent as 0xffff: 0 would mean "none" (RFC 768). */
static void test_udp_zero_checksum(void)
{
	uint8_t frame[100], reply[256];
	struct policy_address dst = v4(10, 9, 0, 1);
	unsigned special = 0;

	start(0);
	inpath_build_udp(&ip, &dst, 1, 2, 0, frame, 2, frame, 100, S, emit, NULL);
	inpath_input(&ip, 1, reply, bytes(arp_reply, reply), S, emit, NULL);
	for (unsigned v = 0; v < 65536; v++) {
		uint8_t payload[2] = {(uint8_t)(v >> 8), (uint8_t)v};
		inpath_build_udp(&ip, &dst, 1, 2, 0, payload, 2, frame, 100, S, emit, NULL);
		CU_ASSERT_FALSE(frame[40] == 0 && frame[41] == 0);
		special += frame[40] == 0xff && frame[41] == 0xff;
	}
	CU_ASSERT_EQUAL(special, 1);
}

UNIT_TESTS("inpath", {"an ARP request is answered", test_arp},
	{"what is not ours is left alone", test_not_ours}, {"ping", test_ping},
	{"a neighbour solicitation is answered", test_nd}, {"VLAN", test_vlan},
	{"damaged frames are never answered", test_damaged}, {"pings are limited", test_echo_limit},
	{"a router that finds our packets too big", test_too_big},
	{"announcements and conflicts", test_announce}, {"UDP to a peer", test_udp},
	{"UDP checksum 0", test_udp_zero_checksum})
