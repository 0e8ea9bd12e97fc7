/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames written by hand for the tests: append one header after the other, then frame_finish()
 * fills in the lengths and checksums of the outermost IP header that are 0.
 */
#ifndef SLUICE_TESTS_FRAMES_H
#define SLUICE_TESTS_FRAMES_H

#include <stdint.h>
#include <string.h>

struct frame {
	uint8_t bytes[2048];
	unsigned len;
	unsigned ip; /* where the IP header begins */
};

static inline void put(struct frame *f, const void *bytes, unsigned len)
{
	if (len > 0)
		memcpy(f->bytes + f->len, bytes, len);
	f->len += len;
}

static inline void put8(struct frame *f, unsigned v)
{
	f->bytes[f->len++] = (uint8_t)v;
}

static inline void put16(struct frame *f, unsigned v)
{
	put8(f, v >> 8);
	put8(f, v & 0xff);
}

static inline void put32(struct frame *f, uint32_t v)
{
	put16(f, v >> 16);
	put16(f, v & 0xffff);
}

static inline void set16(struct frame *f, unsigned at, unsigned v)
{
	f->bytes[at] = (uint8_t)(v >> 8);
	f->bytes[at + 1] = (uint8_t)v;
}

/* Zeros, as payload or padding. */
static inline void put_zeros(struct frame *f, unsigned n)
{
	memset(f->bytes + f->len, 0, n);
	f->len += n;
}

static inline void put_ethernet(struct frame *f, unsigned type)
{
	f->len = 0;
	put(f, "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01", 12);
	put16(f, type);
}

/* The rest of a VLAN tag whose 0x8100 stands already; `type` is the next ethertype. */
static inline void put_tag(struct frame *f, unsigned id, unsigned type)
{
	put16(f, id);
	put16(f, type);
}

static inline void put_label(struct frame *f, unsigned label, int is_last)
{
	put32(f, label << 12 | (uint32_t)is_last << 8 | 64);
}

static inline void put_ipv4(struct frame *f, unsigned proto, uint32_t src, uint32_t dst)
{
	f->ip = f->len;
	put32(f, 0x45b80000); /* DSCP EF; the length comes later */
	put32(f, 0x12340000);
	put8(f, 64);
	put8(f, proto);
	put16(f, 0);
	put32(f, src);
	put32(f, dst);
}

/* 2001:db8::src to 2001:db8::dst */
static inline void put_ipv6(struct frame *f, unsigned next, uint32_t src, uint32_t dst)
{
	static const uint8_t prefix[12] = {0x20, 0x01, 0x0d, 0xb8};

	f->ip = f->len;
	put32(f, 0x6b800000);
	put16(f, 0);
	put8(f, next);
	put8(f, 64);
	put(f, prefix, 12);
	put32(f, src);
	put(f, prefix, 12);
	put32(f, dst);
}

static inline void put_udp(struct frame *f, unsigned sport, unsigned dport, unsigned payload_len)
{
	put16(f, sport);
	put16(f, dport);
	put16(f, 8 + payload_len);
	put16(f, 0);
	put_zeros(f, payload_len);
}

/* A TCP header with options (a multiple of 4 bytes). */
static inline void put_tcp(struct frame *f, unsigned sport, unsigned dport, unsigned flags,
	const void *options, unsigned options_len)
{
	put16(f, sport);
	put16(f, dport);
	put32(f, 0x01020304);
	put32(f, 0x05060708);
	put8(f, (20 + options_len) / 4 << 4);
	put8(f, flags);
	put16(f, 0x4000);
	put32(f, 0);
	put(f, options, options_len);
}

static inline void frame_finish(struct frame *f)
{
	uint8_t *ip = f->bytes + f->ip;

	if (ip[0] >> 4 == 4) {
		unsigned header_len = (ip[0] & 15) * 4;
		uint32_t sum = 0;

		if (ip[2] == 0 && ip[3] == 0)
			set16(f, f->ip + 2, f->len - f->ip);
		set16(f, f->ip + 10, 0);
		for (unsigned i = 0; i < header_len; i += 2)
			sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
		while (sum >> 16)
			sum = (sum & 0xffff) + (sum >> 16);
		set16(f, f->ip + 10, ~sum & 0xffff);
	} else if (ip[4] == 0 && ip[5] == 0) {
		set16(f, f->ip + 4, f->len - f->ip - 40);
	}
}

#endif
