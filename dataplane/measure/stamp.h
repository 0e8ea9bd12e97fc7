/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * STAMP test packets (RFC 8762) with the extensions of RFC 8972: what a Session-Sender sends, what
 * a Session-Reflector makes of it, what the sender reads in the answer. Bytes in, bytes out;
 * addresses and clocks are control/stamp.c's, statistics stamp_session.h's.
 *
 * Unauthenticated packets have 44 bytes, authenticated ones 112 of which the last 16 are the HMAC
 * of the first 96 (HMAC-SHA-256 cut to 128 bits, RFC 8762, 4.4). TLVs may follow. Understood are
 * Extra Padding (1), Class of Service (4), Direct Measurement (5) and HMAC (8); all others are
 * reflected with the U flag. Times are NTP timestamps: seconds since 1900 in 32.32 bits.
 */
#ifndef SLUICE_MEASURE_STAMP_H
#define SLUICE_MEASURE_STAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STAMP_PORT 862
#define STAMP_OPEN_BYTES 44u  /* base packet, unauthenticated mode */
#define STAMP_AUTH_BYTES 112u /* authenticated mode */
#define STAMP_HMAC_BYTES 16u

/* STAMP TLV Flags (RFC 8972, 4) */
#define STAMP_TLV_UNRECOGNIZED 0x80
#define STAMP_TLV_MALFORMED 0x40
#define STAMP_TLV_INTEGRITY 0x20

enum stamp_tlv {
	STAMP_TLV_PADDING = 1,
	STAMP_TLV_COS = 4,
	STAMP_TLV_DIRECT = 5,
	STAMP_TLV_HMAC = 8,
};

/* The key of authenticated mode. A length of 0 means unauthenticated mode. */
struct stamp_key {
	const uint8_t *bytes;
	size_t len;
};

/* What a sender sends. */
struct stamp_probe {
	uint32_t seq;
	uint64_t sent;	     /* T1 */
	uint16_t error;	     /* stamp_error_estimate() */
	uint16_t ssid;	     /* RFC 8972, 3; not 0 */
	uint8_t dscp;	     /* wanted for the answer: in the Class of Service TLV */
	uint32_t sent_count; /* of the session, this one included: in the Direct Measurement TLV */
	bool plain;	     /* no TLVs but padding */
	uint16_t size;	     /* filled up to so many bytes of UDP payload; at most 3 more */
};

/* What is in a sender's packet, once it has been verified. */
struct stamp_request {
	uint32_t seq;
	uint64_t sent;
	uint16_t error, ssid;
};

/* What a reflector adds. */
struct stamp_reflection {
	uint32_t seq;		 /* its own (stateful), or the request's */
	uint64_t received, sent; /* T2, T3 */
	uint16_t error;
	uint8_t ttl, dscp, ecn;		     /* of the request's IP header */
	bool has_counts;		     /* stateful: the session's packets are counted */
	uint32_t received_count, sent_count; /* this packet and its answer included */
};

/* What a sender reads in the answer. */
struct stamp_answer {
	uint32_t seq, sender_seq;
	uint64_t sender_sent, received, sent; /* T1, T2, T3, all as NTP timestamps */
	uint16_t error, sender_error, ssid;
	uint8_t sender_ttl; /* the request's TTL when it arrived */
	bool has_counts;    /* the Direct Measurement TLV was filled in: */
	uint32_t sent_count, reflector_received, reflector_sent;
	bool has_cos;			     /* the Class of Service TLV was filled in: */
	uint8_t dscp_received, ecn_received; /* the request's when it arrived */
	bool cos_refused;		     /* the wanted DSCP was not granted */
};

/* Nanoseconds of CLOCK_REALTIME as an NTP timestamp. */
uint64_t stamp_ntp(uint64_t realtime_ns);

/* a - b in ns, as the shorter way round. */
int64_t stamp_ntp_diff_ns(uint64_t a, uint64_t b);

/* Error Estimate (RFC 4656, 4.1.2), rounded up. synchronized: to UTC by an external source. */
uint16_t stamp_error_estimate(bool synchronized, uint64_t error_ns);
bool stamp_error_is_synchronized(uint16_t estimate);
uint64_t stamp_error_ns(uint16_t estimate);

/* Write a sender's packet. Returns its length, or -ENOSPC. */
int stamp_write_probe(
	const struct stamp_probe *probe, const struct stamp_key *key, uint8_t *out, size_t room);

/* Verify and read a sender's packet: 0, -EBADMSG when it is too short, -EACCES when its HMAC is
 * not right. */
int stamp_read_request(
	const uint8_t *in, size_t len, const struct stamp_key *key, struct stamp_request *request);

/*
 * Write the answer to a packet that stamp_read_request() accepted with the same key: `len` bytes,
 * as long as the packet. *dscp is the DSCP to answer with: the request's, or the one that its Class
 * of Service TLV wants, if below CS6 (what routers say to each other is nobody's to ask for).
 */
void stamp_write_answer(const uint8_t *in, size_t len, const struct stamp_key *key,
	const struct stamp_reflection *reflection, uint8_t *out, uint8_t *dscp);

/* Verify and read an answer. 0, -EBADMSG or -EACCES, as above; a TLV that is malformed or fails
 * verification ends the reading of TLVs. */
int stamp_read_answer(
	const uint8_t *in, size_t len, const struct stamp_key *key, struct stamp_answer *answer);

#endif
