/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to dataplane/packet: header constants and the pieces that the fast path (parse.c) and the
 * walk (walk.c) share. All of them trust their caller to have checked that the bytes are there.
 */
#ifndef SLUICE_PACKET_HEADERS_H
#define SLUICE_PACKET_HEADERS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>

#include "dataplane/packet/parse.h"

#if RTE_BYTE_ORDER != RTE_LITTLE_ENDIAN
#error "the words of flow keys are put together for little-endian machines"
#endif

#define ETHER_LEN 14
#define ETHERTYPE_MIN 0x0600 /* below: a length, IEEE 802.3 */
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8
#define ETHERTYPE_QINQ_OLD 0x9100
#define ETHERTYPE_MPLS 0x8847
#define ETHERTYPE_MPLS_UPSTREAM 0x8848
#define ETHERTYPE_PPPOE 0x8864

#define PPP_IPV4 0x0021
#define PPP_IPV6 0x0057
#define PPP_MPLS 0x0281

#define PROTO_HOP_BY_HOP 0
#define PROTO_ICMP 1
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ROUTING 43
#define PROTO_FRAGMENT 44
#define PROTO_AH 51
#define PROTO_ICMPV6 58
#define PROTO_DESTINATION 60
#define PROTO_IPCOMP 108
#define PROTO_SCTP 132
#define PROTO_UDPLITE 136

#define ICMP_ECHO_REPLY 0
#define ICMP_ECHO_REQUEST 8
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129
#define ICMPV6_SOLICITATION 135
#define ICMPV6_ADVERTISEMENT 136

#define IPCOMP_LEN 4
#define IPCOMP_CPI_PRIVATE 61440 /* RFC 3173, 3.3: from here on for private use */

#define TCP_OPT_END 0
#define TCP_OPT_NOP 1
#define TCP_OPT_TIMESTAMP 8

#define IPV4_LEN 20
#define IPV6_LEN 40
#define TCP_LEN 20
#define UDP_LEN 8

/* Unaligned loads, byte order as on the wire. */
static inline uint16_t load16(const uint8_t *at)
{
	uint16_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static inline uint32_t load32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static inline uint64_t load64(const uint8_t *at)
{
	uint64_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static inline uint16_t be16(const uint8_t *at)
{
	return rte_be_to_cpu_16(load16(at));
}

static inline uint32_t be32(const uint8_t *at)
{
	return rte_be_to_cpu_32(load32(at));
}

/* An address as it stands in a key, in two halves. */
struct halves {
	uint64_t high, low;
};

static inline struct halves halves_ip4(uint32_t address)
{
	return (struct halves){.high = 0, .low = (uint64_t)address << 32 | 0xffff0000};
}

static inline struct halves halves_ip6(const uint8_t *address)
{
	return (struct halves){.high = load64(address), .low = load64(address + 8)};
}

static inline unsigned __int128 order_of(struct halves a)
{
	return (unsigned __int128)rte_be_to_cpu_64(a.high) << 64 | rte_be_to_cpu_64(a.low);
}

/*
 * The hash of a key is NH, the universal hash of UMAC (RFC 4418; Black and others, CRYPTO 1999),
 * over its five words: for any two keys that are chosen without knowing the secret, the 128-bit sum
 * collides with probability 2^-64. One more keyed multiplication folds it to 64 bits. Half the
 * instructions of seeded XXH3, which has no such bound, and all of it in registers.
 */
struct hash_secret {
	uint64_t key[8];
};

/* Expand the seed by splitmix64. Cheap enough for once a burst. */
static inline struct hash_secret hash_secret_of(uint64_t seed)
{
	struct hash_secret secret;

	for (unsigned i = 0; i < 8; i++) {
		uint64_t z = seed + (i + 1) * UINT64_C(0x9e3779b97f4a7c15);

		z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
		secret.key[i] = z ^ z >> 31;
	}
	return secret;
}

static inline uint64_t hash_words(const uint64_t word[5], const struct hash_secret *secret)
{
	const uint64_t *key = secret->key;
	unsigned __int128 sum, fold;

	sum = (unsigned __int128)(word[0] + key[0]) * (word[1] + key[1]);
	sum += (unsigned __int128)(word[2] + key[2]) * (word[3] + key[3]);
	sum += (unsigned __int128)(word[4] + key[4]) * key[5];
	fold = (unsigned __int128)((uint64_t)sum ^ key[6]) * ((uint64_t)(sum >> 64) ^ key[7]);
	return (uint64_t)fold ^ (uint64_t)(fold >> 64);
}

/* a if choose is 0, else b; no branch, as nothing predicts which address is the lower one. */
static inline uint64_t choose64(uint64_t choose, uint64_t a, uint64_t b)
{
	return a ^ ((a ^ b) & (0 - choose));
}

/*
 * Write key, hash and direction: `swapped` if the source is the higher end. Ports as in the packet.
 * The key is written as the five words that the flow table reads, and not copied from the stack as
 * a wider vector, which would have to wait for the narrow stores.
 */
static inline void set_key(struct pkt *p, struct halves src, struct halves dst, uint16_t src_port,
	uint16_t dst_port, bool swapped, uint16_t vlan, uint8_t proto, uint8_t scope,
	const struct hash_secret *secret)
{
	typedef uint64_t __attribute__((may_alias, aligned(2))) key_word;
	key_word *key = (key_word *)&p->key;
	uint64_t ports = choose64(
		swapped, src_port | (uint32_t)dst_port << 16, dst_port | (uint32_t)src_port << 16);
	uint64_t word[5] = {
		choose64(swapped, src.high, dst.high),
		choose64(swapped, src.low, dst.low),
		choose64(swapped, dst.high, src.high),
		choose64(swapped, dst.low, src.low),
		ports | (uint64_t)vlan << 32 | (uint64_t)proto << 48 | (uint64_t)scope << 56,
	};

	key[0] = word[0];
	key[1] = word[1];
	key[2] = word[2];
	key[3] = word[3];
	key[4] = word[4];
	p->hash = hash_words(word, secret);
	p->dir = swapped;
}

/* Find the TCP timestamps (RFC 7323) among a TCP header's options from `at` to `end`. Returns
 * PKT_TCP_TS or 0. walk.c. */
uint16_t parse_tcp_timestamps(struct pkt *p, const uint8_t *at, const uint8_t *end);

/* Parse any frame into *p, of which the fields that do not depend on the bytes are set. walk.c. */
void parse_walk(const uint8_t *frame, unsigned frame_len, struct pkt *p,
	const struct parse_context *ctx, const struct hash_secret *secret);

/* The fields of a TCP header of which at least 20 bytes are there; *flags gets PKT_TCP_TS. Returns
 * the header's length, 0 (and nothing done) if that contradicts `room`, the bytes from it on. */
static inline unsigned tcp_fields(struct pkt *p, const uint8_t *tcp, unsigned room, uint16_t *flags)
{
	unsigned len = (tcp[12] >> 4) * 4;

	if (unlikely(len < TCP_LEN || len > room))
		return 0;
	p->tcp_seq = be32(tcp + 4);
	p->tcp_ack = be32(tcp + 8);
	p->tcp_flags = tcp[13];
	p->tcp_window = be16(tcp + 14);
	p->tcp = tcp;
	if (len > TCP_LEN) {
		/* The layout that every common sender uses: NOP NOP timestamps. */
		if (len >= 32 && load32(tcp + 20) == RTE_BE32(0x0101080a)) {
			p->tcp_tsval = be32(tcp + 24);
			p->tcp_tsecr = be32(tcp + 28);
			*flags |= len > 32 ? PKT_TCP_TS | PKT_TCP_OPTIONS : PKT_TCP_TS;
		} else {
			*flags |=
				PKT_TCP_OPTIONS | parse_tcp_timestamps(p, tcp + TCP_LEN, tcp + len);
		}
	}
	return len;
}

/* Mark what is for the in-path IPv4 address; the caller has made sure of the VLAN. */
static inline void mark_for_us(struct pkt *p, const struct parse_context *ctx, const uint8_t *l4)
{
	p->flags |= PKT_FOR_US;
	if (p->flags & PKT_UDP && load16(l4 + 2) == ctx->link_port && ctx->link_port != 0 &&
		be16(l4 + 4) == p->payload_len + UDP_LEN)
		p->flags |= PKT_LINK;
}

#endif
