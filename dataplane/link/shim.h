/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The wire format of the peer link, byte by byte: what frame.c writes and reads around every
 * compressed packet and session.c around every hello. Change it only together with LINK_VERSION.
 *
 * A link packet in the tunnel (transparent.h has the other framing, around the same shim) is
 *
 *     Ethernet [802.1Q]                     14 or 18 bytes
 *     IPv4: no options, ID 0, DF, TTL 64    20 bytes     or    IPv6: no extension headers, 40 bytes
 *     UDP                                    8 bytes
 *     shim                                  16 bytes
 *     blob                                  to the end of the UDP datagram
 *
 * UDP destination port: the link port, the same at both ends. Source port: 49152 + (lane + 257 k)
 * mod 16384, with the least k that makes symmetric RSS (packet/steer.h) bring the frames to the
 * worker of the peer that owns the lane. There go packets of the lane's flows that travel beside
 * the link, too, so that order is kept. 49151 for control frames. UDP checksum: 0 (none) over IPv4,
 * where the shim's check covers more than it could; computed over IPv6, which demands it (RFC 8200,
 * 8.1). DSCP and ECN: copied from the inner packet (RFC 6040, normal mode); CS6 for control frames.
 * ID 0 is right for a packet that is never fragmented (RFC 6864, 4.1).
 *
 * The shim, network order:
 *
 *      0                   1                   2                   3
 *      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *     +---+-----+-+-------+---------------+---------------------------+
 *     |Ver|Codec|F| Class |     Lane      |      Original length      |
 *     +---+-----+-+-------+---------------+---------------------------+
 *     |                    Sequence number of the lane                |
 *     +---------------------------------------------------------------+
 *     |            Send time, monotonic, units of 1,024 ns            |
 *     +---------------------------------------------------------------+
 *     |                             Check                             |
 *     +---------------------------------------------------------------+
 *
 * Ver      LINK_VERSION.
 * Codec    enum link_codec: what the blob is.
 * F        LINK_FLAG_PACKED: several packets (pack.h), or 0.
 * Class    slot of the packet's class at the sender (class.h): who lost what. 0 for CONTROL.
 * Lane     sending worker * 16 + receiving worker. Control frames say 255; their codec tells them
 *          from data of lane 255, and they have sequence numbers of their own.
 * Length   of the original bytes, before compression; of the message for CONTROL.
 * Sequence each lane starts at 0 with every session (new keys) and wraps at 2^32.
 * Check    low 32 bits of XXH3_64(original bytes, seed), where
 *          seed = XXH3_64(the shim with check 0, session key of this direction).
 *          Verified behind decompression, before anything is delivered or counted. It finds damage,
 *          frames of other sessions and blind forgeries; it is not a cryptographic signature.
 *          CONTROL frames carry 0: the hello inside is signed as a whole, shim included.
 *          In sessions with encryption it is a part of the tag: aead.h.
 *
 * The original bytes of one packet are the inner frame from its destination address on, padding
 * included, so that the far end puts out the same bytes. On a routed path, which both ends' hellos
 * agree on and so the session's keys stand for, they are the IP packet alone and the far end writes
 * its own link-layer header. It also lowers the inner TTL by what the routers took off the outer
 * one; packets with a TTL of LINK_TTL_PLAIN or less may be meant to end at a router (traceroute,
 * protocols between neighbours) and stay outside. In transparent framing they are what is behind
 * the IP header.
 *
 * The blob of LINK_CODEC_LZ4_DICTIONARY:
 *
 *      0  1  id of the dictionary, 1 to 15
 *      1  .  one LZ4 block, in front of whose data the dictionary's content stands: what is behind
 *            the entropy tables of its zstd format (RFC 8878, 5), its last 64 kB
 *
 * The blob of LINK_CODEC_ZSTD:
 *
 *      0  1  id of the dictionary, 0: none
 *      1  .  the content of one zstd block of type Compressed_Block (RFC 8878, 3.1.1.2.3), the only
 *            one of its frame. Frame and block headers are left out. To make a whole frame, put in
 *            front of it: 28 b5 2f fd (magic), 00 (no content size, checksum, dictionary id), 38
 *            (window of 128 kB), and (its length << 3 | 5) in three bytes, the lowest first.
 *
 * The blobs of LINK_CODEC_LZ4_HISTORY and LINK_CODEC_ZSTD_HISTORY: compress/epoch.h.
 *
 * Test vectors: tests/unit/compress/vectors.h; of the shim, tests/unit/link/frame_test.c.
 */
#ifndef SLUICE_LINK_SHIM_H
#define SLUICE_LINK_SHIM_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define LINK_VERSION 3
#define LINK_SHIM_BYTES 16
#define LINK_LANES 256
#define LINK_WORKERS_MAX 16    /* workers of either end */
#define LINK_CONTROL_LANE 255  /* in the lane field of control frames */
#define LINK_SOURCE_PORT 49152 /* the lowest of a lane */
#define LINK_SOURCE_PORTS 16384
#define LINK_CONTROL_SOURCE_PORT (LINK_SOURCE_PORT - 1)

/* No sender starts with so little that wants to reach a host: 64 is the least that is common. */
#define LINK_TTL_PLAIN 32

/* Between the start of the outer IP header and the blob. */
#define LINK_OVERHEAD_IPV4 (20 + 8 + LINK_SHIM_BYTES)
#define LINK_OVERHEAD_IPV6 (40 + 8 + LINK_SHIM_BYTES)
/* In front of the outer IP header. */
#define LINK_L2_BYTES 14
#define LINK_L2_VLAN_BYTES 18
/* The most that stands in front of a blob, in any case. */
#define LINK_HEADERS_MAX (LINK_L2_VLAN_BYTES + LINK_OVERHEAD_IPV6)

/* What the blob is. A hello says which ones an end understands, and which dictionaries it has by id
 * and hash (hello.h): nothing else is sent to it. */
enum link_codec {
	LINK_CODEC_RAW = 0,	       /* the original bytes themselves */
	LINK_CODEC_LZ4 = 1,	       /* one LZ4 block, no dictionary */
	LINK_CODEC_LZ4_DICTIONARY = 2, /* see above */
	LINK_CODEC_LZ4_HISTORY = 3,    /* against what the lane has carried (compress/epoch.h) */
	LINK_CODEC_ZSTD = 4,	       /* see above */
	LINK_CODEC_ZSTD_HISTORY = 5,   /* as 3 */
	/* References to what the lane has carried (compress/store.h), of one packet or, with
	 * LINK_FLAG_PACKED, of each of several (pack.h). With an original length of 0: a message
	 * about that (ack.h). An acknowledgement goes in the lane of the other direction, from the
	 * worker that receives a lane to the one that sends in it; its check is over the blob. */
	LINK_CODEC_STORE = 6,
	LINK_CODEC_CONTROL = 7,
};
/* The codecs of data frames that this version always decodes, one bit a number, and those that it
 * decodes where the policy gives a store its memory. */
#define LINK_CODECS                                                                                \
	(1u << LINK_CODEC_RAW | 1u << LINK_CODEC_LZ4 | 1u << LINK_CODEC_LZ4_DICTIONARY |           \
		1u << LINK_CODEC_ZSTD)
#define LINK_CODECS_STORE                                                                          \
	(1u << LINK_CODEC_STORE | 1u << LINK_CODEC_LZ4_HISTORY | 1u << LINK_CODEC_ZSTD_HISTORY)

#define LINK_FLAG_PACKED 0x1
#define LINK_ORIGINAL_MAX 0x3fff /* longest inner frame, or pack, that the shim can tell */

/* A shim in host order. */
struct link_shim {
	uint8_t version;
	uint8_t codec;
	uint8_t flags;
	uint8_t class_slot;
	uint8_t lane;
	uint16_t original_len;
	uint32_t seq;
	uint32_t sent; /* link_timestamp() */
	uint32_t check;
};

static inline uint32_t link_get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}

static inline void link_put32(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, sizeof(v));
}

static inline uint32_t link_timestamp(uint64_t now_ns)
{
	return (uint32_t)(now_ns >> 10);
}

/* Write the 16 bytes at `p`. All fields must be in range: they come from this program. */
static inline void link_shim_write(uint8_t *p, const struct link_shim *s)
{
	link_put32(p, (uint32_t)s->version << 30 | (uint32_t)s->codec << 27 |
			      (uint32_t)s->flags << 26 | (uint32_t)s->class_slot << 22 |
			      (uint32_t)s->lane << 14 | s->original_len);
	link_put32(p + 4, s->seq);
	link_put32(p + 8, s->sent);
	link_put32(p + 12, s->check);
}

/* Read the 16 bytes at `p`, whatever they are: every bit pattern gives a shim to be judged. */
static inline void link_shim_read(const uint8_t *p, struct link_shim *s)
{
	uint32_t first = link_get32(p);

	s->version = first >> 30;
	s->codec = first >> 27 & 7;
	s->flags = first >> 26 & 1;
	s->class_slot = first >> 22 & 0xf;
	s->lane = first >> 14 & 0xff;
	s->original_len = first & LINK_ORIGINAL_MAX;
	s->seq = link_get32(p + 4);
	s->sent = link_get32(p + 8);
	s->check = link_get32(p + 12);
}

#endif
