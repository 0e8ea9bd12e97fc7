/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets and capture files for the tests of sluice-analyze, written byte by byte, and an analysis
 * over them.
 */
#ifndef SLUICE_TESTS_ANALYZE_FRAMES_H
#define SLUICE_TESTS_ANALYZE_FRAMES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/analyze/analysis.h"

#define CLIENT 0xc0a80001u /* 192.168.0.1 */
#define SERVER 0x0a000001u /* 10.0.0.1 */
#define MS UINT64_C(1000000)

static inline void put16(uint8_t *at, unsigned v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static inline void put32(uint8_t *at, uint32_t v)
{
	put16(at, v >> 16);
	put16(at + 2, v & 0xffff);
}

struct segment {
	uint32_t from, to; /* IPv4 addresses */
	unsigned sport, dport, id;
	uint32_t seq, ack;
	unsigned flags; /* TH_* */
	unsigned payload_len;
	unsigned ttl;
};

/* An IPv4 packet with TCP, whose checksum is made of what tells packets apart here. */
static inline unsigned make_ip(uint8_t *ip, const struct segment *s)
{
	unsigned len = 40 + s->payload_len, sum = 0;

	memset(ip, 0, len);
	ip[0] = 0x45;
	put16(ip + 2, len);
	put16(ip + 4, s->id);
	ip[8] = (uint8_t)(s->ttl > 0 ? s->ttl : 64);
	ip[9] = 6;
	put32(ip + 12, s->from);
	put32(ip + 16, s->to);
	for (unsigned i = 0; i < 20; i += 2)
		sum += (unsigned)ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	put16(ip + 10, ~(sum + (sum >> 16)) & 0xffff);
	put16(ip + 20, s->sport);
	put16(ip + 22, s->dport);
	put32(ip + 24, s->seq);
	put32(ip + 28, s->ack);
	ip[32] = 5 << 4;
	ip[33] = (uint8_t)s->flags;
	put16(ip + 34, 1000);
	put16(ip + 36, (s->seq ^ s->ack ^ s->flags ^ s->payload_len) & 0xffff);
	return len;
}

static inline unsigned make_frame(uint8_t *frame, const struct segment *s)
{
	memset(frame, 2, 12);
	put16(frame + 12, 0x0800);
	return 14 + make_ip(frame + 14, s);
}

/* Ends the program if there is none. */
static inline struct analysis *make_analysis(const struct analysis_options *options)
{
	static bool started;
	struct analysis *a;

	if (!started && analysis_start_eal("test") != 0)
		exit(2);
	started = true;
	a = analysis_create(options);
	if (a == NULL)
		exit(2);
	return a;
}

static inline void give(
	struct analysis *a, const uint8_t *frame, unsigned caught, unsigned len, uint64_t time_ns)
{
	struct capture_frame f = {
		.bytes = frame, .caught = caught, .len = len, .time_ns = time_ns + 1000 * MS};

	analysis_frame(a, &f);
}

static inline void give_segment(struct analysis *a, const struct segment *s, uint64_t time_ns)
{
	uint8_t frame[2048];
	unsigned len = make_frame(frame, s);

	give(a, frame, len, len, time_ns);
}

#endif
