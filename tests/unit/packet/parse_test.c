/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The parser against frames of every kind that it walks, against itself (fast path and walk must
 * agree) and cut off at every length.
 */
#include <rte_thash.h>

#include "controlplane/channel/counters.h"
#include "dataplane/packet/headers.h"
#include "dataplane/packet/parse.h"
#include "dataplane/packet/steer.h"
#include "tests/unit/packet/frames.h"
#include "tests/unit/packet/mbufs.h"
#include "tests/unit/unit.h"

#define SEED 0x1234567890abcdefu
#define A 0x0a000001u	 /* 10.0.0.1 */
#define B 0xc0000202u	 /* 192.0.2.2 */
#define OURS 0xc000020au /* 192.0.2.10 */

static struct rte_mbuf *packet; /* of which the data is replaced */

static struct parse_context context(void)
{
	struct parse_context c = {
		.hash_seed = SEED,
		.way = WAY_UP,
		.bridge = 3,
		.link_port = RTE_BE16(4790),
		.in_path4 = RTE_BE32(OURS),
		.has_in_path6 = true,
		.in_path6 = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xc0, 0x00, 0x02,
			0x0a},
		.in_path_mac = {2, 0, 0, 0, 0, 2},
	};

	return c;
}

/* Parse these bytes from a heap block of just their size, so that ASan sees any byte read behind
 * them. */
static struct pkt *parse_bytes(const uint8_t *bytes, unsigned len, const struct parse_context *c)
{
	uint8_t *exact = malloc(len > 0 ? len : 1);
	void *buffer;

	if (packet == NULL) {
		mbufs_start("64");
		packet = mbufs_make(mbufs_pool("parse", 31, 2048), "", 0);
	}
	memcpy(exact, bytes, len);
	buffer = packet->buf_addr;
	packet->buf_addr = exact;
	packet->data_off = 0;
	packet->data_len = (uint16_t)len;
	packet->pkt_len = len;
	memset(pkt_of(packet), 0xa5, sizeof(struct pkt));
	packet_parse_bulk(&packet, 1, c, 77);
	packet->buf_addr = buffer;
	free(exact);
	return pkt_of(packet);
}

static struct pkt *parse(struct frame *f)
{
	struct parse_context c = context();

	return parse_bytes(f->bytes, f->len, &c);
}

static void test_plain(void)
{
	struct frame f, back;
	struct pkt up, *p;

	put_ethernet(&f, 0x0800);
	put_ipv4(&f, 6, A, B);
	put_tcp(&f, 1000, 80, 0x18, "\x01\x01\x08\x0a\x00\x00\x00\x11\x00\x00\x00\x22", 12);
	put_zeros(&f, 100);
	frame_finish(&f);
	up = *parse(&f);
	CU_ASSERT_EQUAL(up.flags, PKT_IP | PKT_TCP | PKT_TCP_TS);
	CU_ASSERT_EQUAL(up.reason, REASON_NONE);
	CU_ASSERT(memcmp(up.key.addr[0], "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1", 16) == 0);
	CU_ASSERT(memcmp(up.key.addr[1], "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\2", 16) == 0);
	CU_ASSERT_EQUAL(up.key.port[0], RTE_BE16(1000));
	CU_ASSERT_EQUAL(up.key.port[1], RTE_BE16(80));
	CU_ASSERT_EQUAL(up.key.proto, 6);
	CU_ASSERT_EQUAL(up.key.scope, 3);
	CU_ASSERT_EQUAL(up.key.vlan, 0);
	CU_ASSERT_EQUAL(up.dir, 0);
	CU_ASSERT_EQUAL(up.hash, packet_key_hash(&up.key, SEED));
	CU_ASSERT_EQUAL(up.l3_off, 14);
	CU_ASSERT_EQUAL(up.l4_off, 34);
	CU_ASSERT_EQUAL(up.payload_off, 66);
	CU_ASSERT_EQUAL(up.payload_len, 100);
	CU_ASSERT_EQUAL(up.l3_len, 152);
	CU_ASSERT_EQUAL(up.dscp, 46);
	CU_ASSERT_EQUAL(up.ecn, 0);
	CU_ASSERT_EQUAL(up.tcp_flags, 0x18);
	CU_ASSERT_EQUAL(up.tcp_seq, 0x01020304);
	CU_ASSERT_EQUAL(up.tcp_ack, 0x05060708);
	CU_ASSERT_EQUAL(up.tcp_window, 0x4000);
	CU_ASSERT_EQUAL(up.tcp_tsval, 0x11);
	CU_ASSERT_EQUAL(up.tcp_tsecr, 0x22);
	CU_ASSERT_EQUAL(up.wire_bytes, 166);
	CU_ASSERT_EQUAL(up.rx_ns, 77);
	CU_ASSERT_EQUAL(up.way, WAY_UP);
	CU_ASSERT_EQUAL(up.bridge, 3);
	CU_ASSERT_EQUAL(up.out_port, 0xa5); /* left alone */
	CU_ASSERT_PTR_NULL(up.flow);
	CU_ASSERT_PTR_NOT_NULL(up.tcp);

	put_ethernet(&back, 0x0800);
	put_ipv4(&back, 6, B, A);
	put_tcp(&back, 80, 1000, 0x10, NULL, 0);
	frame_finish(&back);
	put_zeros(&back, 6); /* Ethernet's minimum */
	p = parse(&back);
	CU_ASSERT(memcmp(&p->key, &up.key, sizeof(p->key)) == 0);
	CU_ASSERT_EQUAL(p->hash, up.hash);
	CU_ASSERT_EQUAL(p->steer_hash, up.steer_hash);
	CU_ASSERT_EQUAL(p->dir, 1);
	CU_ASSERT_EQUAL(p->flags, PKT_IP | PKT_TCP);
	CU_ASSERT_EQUAL(p->payload_len, 0);
	CU_ASSERT_EQUAL(p->l3_len, 40);
	CU_ASSERT_EQUAL(p->wire_bytes, 60);
	CU_ASSERT_EQUAL(p->tcp_tsval, 0);

	/* The same address at both ends: the ports give the order. */
	put_ethernet(&f, 0x0800);
	put_ipv4(&f, 17, A, A);
	put_udp(&f, 2000, 1000, 20);
	frame_finish(&f);
	p = parse(&f);
	CU_ASSERT_EQUAL(p->flags, PKT_IP | PKT_UDP);
	CU_ASSERT_EQUAL(p->dir, 1);
	CU_ASSERT_EQUAL(p->key.port[0], RTE_BE16(1000));
	CU_ASSERT_EQUAL(p->payload_len, 20);

	/* A UDP packet shorter than the shortest TCP packet, to a multicast group. */
	put_ethernet(&f, 0x0800);
	f.bytes[0] = 1;
	put_ipv4(&f, 17, A, 0xe0000001);
	put_udp(&f, 1, 2, 0);
	frame_finish(&f);
	CU_ASSERT_EQUAL(parse(&f)->flags, PKT_IP | PKT_UDP | PKT_LLBCAST);
}

/* Put UDP over IP of a version behind whatever stands in the frame, and parse it. */
static struct pkt *parse_udp_behind(struct frame *f, int version)
{
	if (version == 4)
		put_ipv4(f, 17, A, B);
	else
		put_ipv6(f, 17, A, B);
	put_udp(f, 5000, 6000, 30);
	frame_finish(f);
	return parse(f);
}

static void test_link_layers(void)
{
	struct parse_context c = context();
	struct frame f;
	struct pkt *p;

	for (int version = 4; version <= 6; version += 2) {
		unsigned type = version == 4 ? 0x0800 : 0x86dd;
		unsigned flags = PKT_IP | PKT_UDP | (version == 6 ? PKT_IPV6 : 0);

		put_ethernet(&f, type);
		p = parse_udp_behind(&f, version);
		CU_ASSERT_EQUAL(p->flags, flags);
		CU_ASSERT_EQUAL(p->dscp, 46);
		CU_ASSERT_EQUAL(p->payload_len, 30);
		CU_ASSERT_EQUAL(p->l3_len, f.len - 14);
		CU_ASSERT_EQUAL(p->key.scope, 3 | (version == 6 ? FLOW_KEY_IPV6 : 0));
		flags |= PKT_ENCAPSULATED;

		put_ethernet(&f, 0x8100);
		put_tag(&f, 0xe064, type); /* priority 7, VLAN 100 */
		p = parse_udp_behind(&f, version);
		CU_ASSERT_EQUAL(p->flags, flags);
		CU_ASSERT_EQUAL(p->key.vlan, 100);
		CU_ASSERT_EQUAL(p->l3_off, 18);
		CU_ASSERT_EQUAL(packet_vlan_id(mbufs_make(packet->pool, f.bytes, f.len)), 100);

		put_ethernet(&f, 0x88a8);
		put_tag(&f, 7, 0x8100);
		put_tag(&f, 100, type);
		p = parse_udp_behind(&f, version);
		CU_ASSERT_EQUAL(p->flags, flags);
		CU_ASSERT_EQUAL(p->key.vlan, 100 ^ 7 << 4);
		CU_ASSERT_EQUAL(packet_vlan_id(mbufs_make(packet->pool, f.bytes, f.len)), 100);

		put_ethernet(&f, 0x9100);
		put_tag(&f, 1, 0x9100);
		put_tag(&f, 2, 0x8100);
		put_tag(&f, 3, type);
		p = parse_udp_behind(&f, version);
		CU_ASSERT_EQUAL(p->flags, flags);
		CU_ASSERT_EQUAL(p->l3_off, 26);

		put_ethernet(&f, 0x8100);
		put_tag(&f, 100, 0x8847);
		put_label(&f, 1000, 0);
		put_label(&f, 1001, 1);
		p = parse_udp_behind(&f, version);
		CU_ASSERT_EQUAL(p->flags, flags);
		CU_ASSERT_EQUAL(p->l4_off, 26 + (version == 4 ? 20 : 40));

		put_ethernet(&f, 0x8864);
		put32(&f, 0x11000001);
		put16(&f, 2 + (version == 4 ? 20 : 40) + 38);
		put16(&f, version == 4 ? 0x0021 : 0x0057);
		p = parse_udp_behind(&f, version);
		CU_ASSERT_EQUAL(p->flags, flags);
		CU_ASSERT_EQUAL(p->l3_off, 22);
		set16(&f, 18, 30); /* PPPoE says that it ends within the IP packet */
		p = parse(&f);
		CU_ASSERT_EQUAL(p->flags, PKT_ENCAPSULATED);
		CU_ASSERT_EQUAL(p->reason, PASS_TRUNCATED);

		put_ethernet(&f, 0x8100);
		for (unsigned i = 0; i < PARSE_ENCAP_MAX; i++)
			put_tag(&f, 5, i + 1 < PARSE_ENCAP_MAX ? 0x8100 : type);
		CU_ASSERT_EQUAL(parse_udp_behind(&f, version)->flags, flags);
		put_ethernet(&f, 0x8100);
		for (unsigned i = 0; i <= PARSE_ENCAP_MAX; i++)
			put_tag(&f, 5, i < PARSE_ENCAP_MAX ? 0x8100 : type);
		p = parse_udp_behind(&f, version);
		CU_ASSERT_EQUAL(p->flags, PKT_ENCAPSULATED);
		CU_ASSERT_EQUAL(p->reason, PASS_ENCAP_DEPTH);
	}

	/* A pseudowire, and one whose Ethernet address begins like an IPv4 header. */
	put_ethernet(&f, 0x8847);
	put_label(&f, 16, 1);
	put_zeros(&f, 60);
	p = parse(&f);
	CU_ASSERT_EQUAL(p->flags, PKT_ENCAPSULATED);
	CU_ASSERT_EQUAL(p->reason, PASS_NOT_IP);
	f.bytes[18] = 0x45;
	f.bytes[21] = 30;
	CU_ASSERT_EQUAL(parse(&f)->reason, PASS_NOT_IP);
	f.bytes[18] = 0x60;
	f.bytes[22] = 0xff;
	CU_ASSERT_EQUAL(parse(&f)->reason, PASS_NOT_IP);

	put_ethernet(&f, 38); /* 802.3, spanning tree */
	put_zeros(&f, 46);
	p = parse(&f);
	CU_ASSERT_EQUAL(p->flags, 0);
	CU_ASSERT_EQUAL(p->reason, PASS_NOT_IP);
	CU_ASSERT_EQUAL(p->hash, 0);
	CU_ASSERT_EQUAL(p->steer_hash, 0);
	CU_ASSERT_EQUAL(p->wire_bytes, 60);
	put_ethernet(&f, 0x88cc); /* LLDP */
	put_zeros(&f, 46);
	CU_ASSERT_EQUAL(parse(&f)->reason, PASS_NOT_IP);
	put_ethernet(&f, 0x8864); /* PPPoE, LCP */
	put32(&f, 0x11000001);
	put32(&f, 0x0008c021);
	put_zeros(&f, 46);
	CU_ASSERT_EQUAL(parse(&f)->reason, PASS_NOT_IP);
	CU_ASSERT_EQUAL(parse_bytes(f.bytes, 13, &c)->reason, PASS_TRUNCATED);
	CU_ASSERT_EQUAL(parse_bytes(f.bytes, 0, &c)->reason, PASS_TRUNCATED);
}

static void test_ipv4(void)
{
	struct frame f;
	struct pkt *p, first;

	put_ethernet(&f, 0x0800);
	put_ipv4(&f, 6, A, B);
	f.bytes[14] = 0x47;
	put_zeros(&f, 8); /* end of options */
	put_tcp(&f, 1, 2, 2, "\x02\x04\x05\xb4\x04\x02\x08\x0a\0\0\0\x07\0\0\0\0\x01\x03\x03\x07",
		20);
	frame_finish(&f);
	p = parse(&f);
	CU_ASSERT_EQUAL(p->flags, PKT_IP | PKT_TCP | PKT_TCP_TS | PKT_TCP_OPTIONS);
	CU_ASSERT_EQUAL(p->l4_off, 42);
	CU_ASSERT_EQUAL(p->payload_off, 82);
	CU_ASSERT_EQUAL(p->payload_len, 0);
	CU_ASSERT_EQUAL(p->tcp_tsval, 7);

	/* Option lists that lie: no timestamps, but still TCP. */
	static const char *const lies[] = {"\x08\x00\x08\x0a\0\0\0\1\0\0\0\1",
		"\x05\xff\x08\x0a\0\0\0\1\0\0\0\1", "\x00\x01\x08\x0a\0\0\0\1\0\0\0\1",
		"\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x08",
		"\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x08\x0a"};
	for (unsigned i = 0; i < RTE_DIM(lies); i++) {
		put_ethernet(&f, 0x0800);
		put_ipv4(&f, 6, A, B);
		put_tcp(&f, 1, 2, 2, lies[i], 12);
		frame_finish(&f);
		CU_ASSERT_EQUAL(parse(&f)->flags, PKT_IP | PKT_TCP | PKT_TCP_OPTIONS);
	}

	/* Fragments: both of one flow, which is not that of whole packets. */
	put_ethernet(&f, 0x0800);
	put_ipv4(&f, 17, A, B);
	put_udp(&f, 1, 2, 100);
	set16(&f, 20, 0x2000);
	frame_finish(&f);
	first = *parse(&f);
	CU_ASSERT_EQUAL(first.flags, PKT_IP | PKT_FRAGMENT);
	CU_ASSERT_EQUAL(first.reason, PASS_FRAGMENT);
	CU_ASSERT_EQUAL(first.key.scope, 3 | FLOW_KEY_FRAGMENT);
	CU_ASSERT_EQUAL(first.key.port[0] | first.key.port[1], 0);
	CU_ASSERT_EQUAL(first.payload_off, 34);
	CU_ASSERT_EQUAL(first.payload_len, 108);
	set16(&f, 20, 0x000d);
	frame_finish(&f);
	p = parse(&f);
	CU_ASSERT_EQUAL(p->hash, first.hash);
	CU_ASSERT_EQUAL(p->steer_hash, first.steer_hash);
	set16(&f, 20, 0x4000); /* don't fragment */
	frame_finish(&f);
	CU_ASSERT_EQUAL(parse(&f)->flags, PKT_IP | PKT_UDP);

	/* Headers that contradict themselves. */
	f.bytes[14] = 0x44;
	CU_ASSERT_EQUAL(parse(&f)->reason, PASS_BAD_IP);
	f.bytes[14] = 0x55;
	CU_ASSERT_EQUAL(parse(&f)->reason, PASS_BAD_IP);
	f.bytes[14] = 0x45;
	set16(&f, 16, 19);
	p = parse(&f);
	CU_ASSERT_EQUAL(p->reason, PASS_BAD_IP);
	CU_ASSERT_EQUAL(p->flags, 0);
	set16(&f, 16, 2000);
	p = parse(&f);
	CU_ASSERT_EQUAL(p->reason, PASS_TRUNCATED);
	CU_ASSERT_EQUAL(p->flags, 0);
	set16(&f, 16, 27); /* not even a UDP header */
	p = parse(&f);
	CU_ASSERT_EQUAL(p->reason, PASS_BAD_L4);
	CU_ASSERT_EQUAL(p->flags, PKT_IP);
	CU_ASSERT_EQUAL(p->key.port[0], 0);
	set16(&f, 16, 60); /* shorter than UDP says */
	CU_ASSERT_EQUAL(parse(&f)->reason, PASS_BAD_L4);
	set16(&f, 38, 7);
	CU_ASSERT_EQUAL(parse(&f)->reason, PASS_BAD_L4);
	put_ethernet(&f, 0x0800);
	put_ipv4(&f, 6, A, B);
	put_tcp(&f, 1, 2, 2, NULL, 0);
	frame_finish(&f);
	f.bytes[46] = 0x40;
	CU_ASSERT_EQUAL(parse(&f)->reason, PASS_BAD_L4);
	f.bytes[46] = 0x60;
	CU_ASSERT_EQUAL(parse(&f)->reason, PASS_BAD_L4);

	/* Protocols without ports, and one with. */
	static const uint8_t protocols[] = {47, 50, 51, 2, 89, 255};
	for (unsigned i = 0; i < RTE_DIM(protocols); i++) {
		put_ethernet(&f, 0x0800);
		put_ipv4(&f, protocols[i], B, A);
		put32(&f, 0x11112222);
		put_zeros(&f, 30);
		frame_finish(&f);
		p = parse(&f);
		CU_ASSERT_EQUAL(p->flags, PKT_IP);
		CU_ASSERT_EQUAL(p->reason, REASON_NONE);
		CU_ASSERT_EQUAL(p->key.proto, protocols[i]);
		CU_ASSERT_EQUAL(p->key.port[0] | p->key.port[1], 0);
		CU_ASSERT_EQUAL(p->payload_len, 34);
	}
	put_ethernet(&f, 0x0800);
	put_ipv4(&f, 132, B, A);
	put32(&f, 0x11112222);
	put_zeros(&f, 30);
	frame_finish(&f);
	p = parse(&f);
	CU_ASSERT_EQUAL(p->flags, PKT_IP);
	CU_ASSERT_EQUAL(p->key.port[0], 0x2222);
	CU_ASSERT_EQUAL(p->key.port[1], 0x1111);
	CU_ASSERT_EQUAL(p->dir, 1);
}

/* An extension header of 8 bytes. */
static void put_extension(struct frame *f, unsigned next)
{
	put8(f, next);
	put8(f, 0);
	put_zeros(f, 6);
}

static void test_ipv6(void)
{
	struct frame f;
	struct pkt *p, first;

	put_ethernet(&f, 0x86dd);
	put_ipv6(&f, 0, B, A);
	put_extension(&f, 60); /* hop by hop */
	put_extension(&f, 43); /* destination */
	put_extension(&f, 51); /* routing */
	put8(&f, 44);	       /* authentication, 24 bytes */
	put8(&f, 4);
	put_zeros(&f, 22);
	put_extension(&f, 6); /* an atomic fragment */
	put_tcp(&f, 443, 50000, 0x12, NULL, 0);
	put_zeros(&f, 9);
	frame_finish(&f);
	p = parse(&f);
	CU_ASSERT_EQUAL(p->flags, PKT_IP | PKT_IPV6 | PKT_TCP);
	CU_ASSERT_EQUAL(p->l4_off, 14 + 40 + 24 + 24 + 8);
	CU_ASSERT_EQUAL(p->payload_len, 9);
	CU_ASSERT_EQUAL(p->key.proto, 6);
	CU_ASSERT_EQUAL(p->dir, 1);
	CU_ASSERT_EQUAL(p->key.port[0], RTE_BE16(50000));
	CU_ASSERT_EQUAL(p->key.addr[0][15], 1);

	put_ethernet(&f, 0x86dd);
	put_ipv6(&f, 44, A, B);
	put_extension(&f, 17);
	set16(&f, 56, 0x0001); /* more fragments */
	put_udp(&f, 1, 2, 24);
	frame_finish(&f);
	first = *parse(&f);
	CU_ASSERT_EQUAL(first.flags, PKT_IP | PKT_IPV6 | PKT_FRAGMENT);
	CU_ASSERT_EQUAL(first.reason, PASS_FRAGMENT);
	CU_ASSERT_EQUAL(first.key.proto, 17);
	CU_ASSERT_EQUAL(first.key.scope, 3 | FLOW_KEY_IPV6 | FLOW_KEY_FRAGMENT);
	set16(&f, 56, 0x0020); /* offset 32 */
	CU_ASSERT_EQUAL(parse(&f)->hash, first.hash);

	static const uint8_t ends[] = {50, 59, 47, 200};
	for (unsigned i = 0; i < RTE_DIM(ends); i++) {
		put_ethernet(&f, 0x86dd);
		put_ipv6(&f, 0, A, B);
		put_extension(&f, ends[i]);
		put_zeros(&f, 20);
		frame_finish(&f);
		p = parse(&f);
		CU_ASSERT_EQUAL(p->flags, PKT_IP | PKT_IPV6);
		CU_ASSERT_EQUAL(p->reason, REASON_NONE);
		CU_ASSERT_EQUAL(p->key.proto, ends[i]);
		CU_ASSERT_EQUAL(p->l4_off, 62);
	}

	for (unsigned n = PARSE_EXTENSIONS_MAX; n <= PARSE_EXTENSIONS_MAX + 1; n++) {
		put_ethernet(&f, 0x86dd);
		put_ipv6(&f, 60, A, B);
		for (unsigned i = 1; i <= n; i++)
			put_extension(&f, i < n ? 60 : 17);
		put_udp(&f, 1, 2, 0);
		frame_finish(&f);
		p = parse(&f);
		CU_ASSERT_EQUAL(
			p->reason, n == PARSE_EXTENSIONS_MAX ? REASON_NONE : PASS_ENCAP_DEPTH);
		CU_ASSERT_EQUAL(
			p->flags, n == PARSE_EXTENSIONS_MAX ? PKT_IP | PKT_IPV6 | PKT_UDP : 0);
	}

	put_ethernet(&f, 0x86dd);
	put_ipv6(&f, 60, A, B);
	put8(&f, 17);
	put8(&f, 10); /* 88 bytes */
	put_zeros(&f, 30);
	frame_finish(&f);
	CU_ASSERT_EQUAL(parse(&f)->reason, PASS_BAD_IP);
	set16(&f, 18, 33);
	CU_ASSERT_EQUAL(parse(&f)->reason, PASS_TRUNCATED);
	f.bytes[14] = 0x40;
	CU_ASSERT_EQUAL(parse(&f)->reason, PASS_BAD_IP);
}

static void test_icmp(void)
{
	struct frame f;
	struct pkt request, *p;

	for (int version = 4; version <= 6; version += 2) {
		unsigned proto = version == 4 ? 1 : 58;

		for (unsigned reply = 0; reply < 2; reply++) {
			put_ethernet(&f, version == 4 ? 0x0800 : 0x86dd);
			if (version == 4)
				put_ipv4(&f, proto, reply ? A : B, reply ? B : A);
			else
				put_ipv6(&f, proto, reply ? A : B, reply ? B : A);
			put8(&f, version == 4 ? (reply ? 0 : 8) : (reply ? 129 : 128));
			put_zeros(&f, 3);
			put32(&f, 0xabcd0001);
			put_zeros(&f, 56);
			frame_finish(&f);
			p = parse(&f);
			CU_ASSERT_EQUAL(p->key.port[0], RTE_BE16(0xabcd));
			CU_ASSERT_EQUAL(p->key.port[1], 0);
			CU_ASSERT_EQUAL(p->dir, !reply);
			if (reply) {
				CU_ASSERT_EQUAL(p->hash, request.hash);
				CU_ASSERT_EQUAL(p->steer_hash, request.steer_hash);
			}
			request = *p;
		}
		f.bytes[p->l4_off] = 3; /* an error, of either version */
		p = parse(&f);
		CU_ASSERT_EQUAL(p->key.port[0], 0);
		CU_ASSERT_EQUAL(p->reason, REASON_NONE);
	}
}

static void test_for_us(void)
{
	struct parse_context c = context();
	struct frame f;

	/* Pings and other traffic. */
	put_ethernet(&f, 0x0800);
	put_ipv4(&f, 1, A, OURS);
	put32(&f, 0x08000000);
	put_zeros(&f, 40);
	frame_finish(&f);
	CU_ASSERT_EQUAL(parse(&f)->flags, PKT_IP | PKT_FOR_US);
	c.in_path_vlan = 100;
	CU_ASSERT_EQUAL(parse_bytes(f.bytes, f.len, &c)->flags, PKT_IP);
	c.in_path_vlan = 0;
	c.in_path4 = 0;
	CU_ASSERT_EQUAL(parse_bytes(f.bytes, f.len, &c)->flags, PKT_IP);
	memset(f.bytes + 30, 0, 4); /* to 0.0.0.0, without an address */
	CU_ASSERT_EQUAL(parse_bytes(f.bytes, f.len, &c)->flags, PKT_IP);
	c = context();

	/* The peer link: plain, tagged, wrong port, fragment, trailing bytes. */
	put_ethernet(&f, 0x0800);
	put_ipv4(&f, 17, A, OURS);
	put_udp(&f, 4000, 4790, 50);
	frame_finish(&f);
	CU_ASSERT_EQUAL(parse(&f)->flags, PKT_IP | PKT_UDP | PKT_FOR_US | PKT_LINK);
	CU_ASSERT_EQUAL(pkt_of(packet)->payload_off, 42);
	CU_ASSERT_EQUAL(pkt_of(packet)->payload_len, 50);
	set16(&f, 38, 57);
	CU_ASSERT_EQUAL(parse(&f)->flags, PKT_IP | PKT_UDP | PKT_FOR_US);
	set16(&f, 38, 58);
	set16(&f, 36, 4791);
	CU_ASSERT_EQUAL(parse(&f)->flags, PKT_IP | PKT_UDP | PKT_FOR_US);
	set16(&f, 36, 0);
	c.link_port = 0;
	CU_ASSERT_EQUAL(parse_bytes(f.bytes, f.len, &c)->flags, PKT_IP | PKT_UDP | PKT_FOR_US);
	c = context();
	set16(&f, 36, 4790);
	set16(&f, 20, 0x2000);
	CU_ASSERT_EQUAL(parse(&f)->flags, PKT_IP | PKT_FRAGMENT | PKT_FOR_US);
	for (unsigned tag = 0; tag <= 100; tag += 100) {
		put_ethernet(&f, 0x8100);
		put_tag(&f, tag, 0x0800);
		put_ipv4(&f, 17, A, OURS);
		put_udp(&f, 4000, 4790, 50);
		frame_finish(&f);
		c.in_path_vlan = (uint16_t)tag;
		CU_ASSERT_EQUAL(parse_bytes(f.bytes, f.len, &c)->flags,
			PKT_IP | PKT_UDP | PKT_FOR_US | PKT_LINK | PKT_ENCAPSULATED);
		c.in_path_vlan = 55;
		CU_ASSERT_EQUAL(parse_bytes(f.bytes, f.len, &c)->flags,
			PKT_IP | PKT_UDP | PKT_ENCAPSULATED);
	}
	c = context();
	put_ethernet(&f, 0x86dd);
	put_ipv6(&f, 17, A, OURS);
	put_udp(&f, 4000, 4790, 50);
	frame_finish(&f);
	CU_ASSERT_EQUAL(parse(&f)->flags, PKT_IP | PKT_IPV6 | PKT_UDP | PKT_FOR_US | PKT_LINK);
	c.has_in_path6 = false;
	CU_ASSERT_EQUAL(parse_bytes(f.bytes, f.len, &c)->flags, PKT_IP | PKT_IPV6 | PKT_UDP);
	c = context();

	/* IPComp that may be a link frame: not from the LAN, to us, with another CPI, or in pieces.
	 */
	c.way = WAY_DOWN;
	for (unsigned type = 0x0800; type <= 0x86dd; type += 0x86dd - 0x0800) {
		unsigned ip = type == 0x0800 ? 0 : PKT_IPV6, end;

		put_ethernet(&f, (uint16_t)type);
		if (ip == 0)
			put_ipv4(&f, 108, A, B);
		else
			put_ipv6(&f, 108, A, B);
		end = f.len;
		put(&f, "\6\0\xf0\0", 4);
		put_zeros(&f, 60);
		frame_finish(&f);
		CU_ASSERT_EQUAL(parse_bytes(f.bytes, f.len, &c)->flags, PKT_IP | PKT_LINK | ip);
		CU_ASSERT_EQUAL(pkt_of(packet)->payload_off, end);
		CU_ASSERT_EQUAL(pkt_of(packet)->payload_len, 64);
		c.way = WAY_UP;
		CU_ASSERT_EQUAL(parse_bytes(f.bytes, f.len, &c)->flags, PKT_IP | ip);
		c.way = WAY_DOWN;
		c.link_port = 0;
		CU_ASSERT_EQUAL(parse_bytes(f.bytes, f.len, &c)->flags, PKT_IP | ip);
		c.link_port = context().link_port;
		set16(&f, end + 2, 0xefff);
		CU_ASSERT_EQUAL(parse_bytes(f.bytes, f.len, &c)->flags, PKT_IP | ip);
		set16(&f, end + 2, 0xffff);
		CU_ASSERT_EQUAL(parse_bytes(f.bytes, f.len, &c)->flags, PKT_IP | PKT_LINK | ip);
	}
	put_ethernet(&f, 0x0800);
	put_ipv4(&f, 108, A, OURS);
	put(&f, "\6\0\xf0\0", 4);
	frame_finish(&f);
	CU_ASSERT_EQUAL(parse_bytes(f.bytes, f.len, &c)->flags, PKT_IP | PKT_FOR_US);
	put_ethernet(&f, 0x0800);
	put_ipv4(&f, 108, A, B);
	put(&f, "\6\0\xf0\0", 4);
	frame_finish(&f);
	CU_ASSERT_EQUAL(parse_bytes(f.bytes, f.len, &c)->flags, PKT_IP | PKT_LINK);
	set16(&f, 20, 0x2000);
	CU_ASSERT_EQUAL(parse_bytes(f.bytes, f.len, &c)->flags, PKT_IP | PKT_FRAGMENT);
	put_ethernet(&f, 0x0800);
	put_ipv4(&f, 108, A, B);
	put(&f, "\6\0\xf0", 3);
	frame_finish(&f);
	CU_ASSERT_EQUAL(parse_bytes(f.bytes, f.len, &c)->flags, PKT_IP);
	c = context();

	/* ARP. */
	put_ethernet(&f, 0x0806);
	put(&f, "\0\1\x08\0\6\4\0\1", 8);
	put_zeros(&f, 6);
	put32(&f, A);
	put_zeros(&f, 6);
	put32(&f, OURS);
	put_zeros(&f, 18);
	CU_ASSERT_EQUAL(parse(&f)->flags, PKT_FOR_US);
	CU_ASSERT_EQUAL(pkt_of(packet)->reason, PASS_NOT_IP);
	c.in_path_vlan = 9;
	CU_ASSERT_EQUAL(parse_bytes(f.bytes, f.len, &c)->flags, 0);
	c = context();
	CU_ASSERT_EQUAL(parse_bytes(f.bytes, 14 + 27, &c)->flags, 0);
	f.bytes[41]++;
	CU_ASSERT_EQUAL(parse(&f)->flags, 0);

	/* Neighbour solicitation by multicast, for us and for another; an advertisement. */
	put_ethernet(&f, 0x86dd);
	put_ipv6(&f, 58, A, OURS);
	memcpy(f.bytes, "\x33\x33\xff\x00\x02\x0a", 6);
	memcpy(f.bytes + 38, "\xff\x02\0\0\0\0\0\0\0\0\0\1\xff\x00\x02\x0a", 16);
	put32(&f, 135u << 24);
	put32(&f, 0);
	put(&f, c.in_path6, 16);
	frame_finish(&f);
	CU_ASSERT_EQUAL(parse(&f)->flags, PKT_IP | PKT_IPV6 | PKT_LLBCAST | PKT_FOR_US);
	f.bytes[14 + 40 + 8]++;
	CU_ASSERT_EQUAL(parse(&f)->flags, PKT_IP | PKT_IPV6 | PKT_LLBCAST);
	f.bytes[14 + 40] = 136;
	CU_ASSERT_EQUAL(parse(&f)->flags, PKT_IP | PKT_IPV6 | PKT_LLBCAST);
	memcpy(f.bytes, c.in_path_mac, 6);
	CU_ASSERT_EQUAL(parse(&f)->flags, PKT_IP | PKT_IPV6 | PKT_FOR_US);
}

static uint64_t random64(void)
{
	static uint64_t state = 0x9e3779b97f4a7c15u;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Random changes to a plain packet: the fast path and the walk must say the same. */
static void test_fast_path(void)
{
	struct hash_secret secret = hash_secret_of(SEED);
	struct parse_context c = context();
	unsigned plain = 0;

	for (unsigned round = 0; round < 200000; round++) {
		struct frame f;
		struct pkt fast, walked = {0};

		put_ethernet(&f, 0x0800);
		put_ipv4(&f, round & 1 ? 6 : 17, A, round & 2 ? OURS : B);
		if (round & 1)
			put_tcp(&f, 1, 2, 2, "\1\1\x08\x0a\0\0\0\1\0\0\0\2", round & 4 ? 12 : 0);
		else
			put_udp(&f, 1, 4790, 20);
		put_zeros(&f, 12);
		frame_finish(&f);
		for (unsigned i = (unsigned)(random64() % 4); i > 0; i--)
			f.bytes[random64() % f.len] ^= (uint8_t)(1 << random64() % 8);
		f.len -= (unsigned)(random64() % 5 == 0 ? random64() % f.len : 0);
		fast = *parse(&f);
		plain += (fast.flags & (PKT_TCP | PKT_UDP)) != 0;
		walked.rx_ns = 77;
		walked.way = WAY_UP;
		walked.bridge = 3;
		walked.out_port = 0xa5;
		walked.wire_bytes = f.len;
		parse_walk(f.bytes, f.len, &walked, &c, &secret);
		/* The two have the frame at different places. */
		if ((fast.flags & PKT_TCP) && (walked.flags & PKT_TCP)) {
			CU_ASSERT_EQUAL(walked.tcp - f.bytes, walked.l4_off);
			fast.tcp = walked.tcp = NULL;
		}
		if (memcmp(&fast, &walked, sizeof(fast)) != 0) {
			CU_FAIL("fast path and walk differ");
			break;
		}
	}
	CU_ASSERT(plain > 50000);
}

/* Each frame cut off at each length: no byte behind the end is read (ASan), no offset leaves it. */
static void test_truncation(void)
{
	struct parse_context c = context();
	struct frame f[6];

	put_ethernet(&f[0], 0x0800);
	put_ipv4(&f[0], 6, A, B);
	put_tcp(&f[0], 1, 2, 2, "\2\4\5\xb4\4\2\x08\x0a\0\0\0\7\0\0\0\0\1\3\3\7", 20);
	put_ethernet(&f[1], 0x88a8);
	put_tag(&f[1], 7, 0x8100);
	put_tag(&f[1], 8, 0x0800);
	put_ipv4(&f[1], 17, A, OURS);
	put_udp(&f[1], 1, 4790, 20);
	put_ethernet(&f[2], 0x86dd);
	put_ipv6(&f[2], 0, A, OURS);
	put_extension(&f[2], 51);
	put8(&f[2], 44);
	put8(&f[2], 4);
	put_zeros(&f[2], 22);
	put_extension(&f[2], 58);
	put_zeros(&f[2], 30);
	put_ethernet(&f[3], 0x8864);
	put32(&f[3], 0x11000001);
	put32(&f[3], 0x00500057);
	put_ipv6(&f[3], 17, A, B);
	put_udp(&f[3], 1, 2, 20);
	put_ethernet(&f[4], 0x8847);
	put_label(&f[4], 1, 0);
	put_label(&f[4], 2, 1);
	put_ipv4(&f[4], 1, A, B);
	put_zeros(&f[4], 20);
	put_ethernet(&f[5], 0x86dd);
	put_ipv6(&f[5], 58, A, OURS);
	put32(&f[5], 135u << 24);
	put32(&f[5], 0);
	put_zeros(&f[5], 16);

	for (unsigned i = 0; i < RTE_DIM(f); i++) {
		frame_finish(&f[i]);
		for (unsigned shrink = 0; shrink < 2; shrink++) {
			for (unsigned len = f[i].len; len-- > 0;) {
				/* The second time around the IP header knows of it. */
				if (shrink && len > f[i].ip + 40) {
					bool v4 = f[i].bytes[f[i].ip] >> 4 == 4;

					set16(&f[i], f[i].ip + (v4 ? 2 : 4),
						len - f[i].ip - (v4 ? 0 : 40));
					set16(&f[i], 18, i == 3 ? len - 20 : 0);
				}

				struct pkt *p = parse_bytes(f[i].bytes, len, &c);

				if (p->flags & PKT_IP)
					CU_ASSERT(p->l3_off + p->l3_len <= (int)len);
				CU_ASSERT(p->payload_off + p->payload_len <= (int)len);
				CU_ASSERT((p->flags & PKT_IP) || p->reason != REASON_NONE);
			}
		}
	}
}

/* Against DPDK's Toeplitz hash with the whole key, as NICs compute it. */
static void test_steering(void)
{
	struct parse_context c = context();
	uint8_t key[52];

	for (unsigned i = 0; i < sizeof(key); i += 2) {
		key[i] = STEER_RSS_KEY_WORD >> 8;
		key[i + 1] = STEER_RSS_KEY_WORD & 0xff;
	}
	for (unsigned round = 0; round < 20000; round++) {
		uint32_t tuple[10], src = (uint32_t)random64(), dst = (uint32_t)random64();
		bool v6 = round & 1, tcp = round & 2, ports = round & 4;
		uint16_t sport = (uint16_t)random64(), dport = (uint16_t)random64();
		unsigned words = 0;
		struct frame f;
		uint32_t expected;
		struct pkt *p;

		put_ethernet(&f, v6 ? 0x86dd : 0x0800);
		if (v6) {
			static const uint32_t prefix[3] = {0x20010db8};

			put_ipv6(&f, !ports ? 47 : tcp ? 6 : 17, src, dst);
			memcpy(tuple, prefix, 12);
			tuple[3] = src;
			memcpy(tuple + 4, prefix, 12);
			tuple[7] = dst;
			words = 8;
		} else {
			put_ipv4(&f, !ports ? 47 : tcp ? 6 : 17, src, dst);
			tuple[0] = src;
			tuple[1] = dst;
			words = 2;
		}
		if (tcp)
			put_tcp(&f, sport, dport, 0x10, NULL, 0);
		else
			put_udp(&f, sport, dport, 12);
		frame_finish(&f);
		if (ports)
			tuple[words++] = (uint32_t)sport << 16 | dport;
		expected = rte_softrss(tuple, words, key);
		p = parse_bytes(f.bytes, f.len, &c);
		if (p->steer_hash != (expected & 0xffff) || expected >> 16 != (expected & 0xffff)) {
			CU_FAIL("steering differs from the Toeplitz hash");
			break;
		}
		CU_ASSERT_EQUAL(steer_owner(p->steer_hash, 3), (expected & 511 & 127) % 3);
	}
}

/* The hash must spread similar keys evenly, over its lower bits (buckets) and its upper ones. */
static void test_hash(void)
{
	static uint32_t low[4096], high[4096];
	struct flow_key key = {.proto = 17};
	double chi_low = 0, chi_high = 0;
	unsigned n = 4096 * 64;

	for (unsigned i = 0; i < n; i++) {
		uint64_t hash;

		key.addr[0][10] = key.addr[0][11] = 0xff;
		memcpy(&key.addr[0][12], &i, 4);
		hash = packet_key_hash(&key, SEED);
		low[hash & 4095]++;
		high[hash >> 52]++;
	}
	for (unsigned i = 0; i < 4096; i++) {
		chi_low += (low[i] - 64.0) * (low[i] - 64.0) / 64;
		chi_high += (high[i] - 64.0) * (high[i] - 64.0) / 64;
	}
	/* 4095 degrees of freedom: mean 4095, standard deviation 90. */
	CU_ASSERT(chi_low > 3500 && chi_low < 4700);
	CU_ASSERT(chi_high > 3500 && chi_high < 4700);
	CU_ASSERT_NOT_EQUAL(packet_key_hash(&key, 1), packet_key_hash(&key, 2));
}

UNIT_TESTS("packet parse", {"plain TCP and UDP", test_plain},
	{"VLAN, QinQ, MPLS, PPPoE, LLC", test_link_layers}, {"IPv4", test_ipv4},
	{"IPv6", test_ipv6}, {"ICMP", test_icmp}, {"in-path address and link", test_for_us},
	{"fast path equals walk", test_fast_path}, {"cut off anywhere", test_truncation},
	{"steering equals Toeplitz", test_steering}, {"hash spreads", test_hash})
