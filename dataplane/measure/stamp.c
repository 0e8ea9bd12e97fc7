/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bytes of STAMP packets (stamp.h). Offsets are those of the figures of RFC 8762, section 4,
 * and RFC 8972, section 3; everything is in network order.
 */
#include "dataplane/measure/stamp.h"

#include <errno.h>
#include <string.h>

#include <sodium.h>

#define NTP_UNIX_S UINT64_C(2208988800) /* 1900 to 1970 */
#define NS_PER_S 1000000000u
#define ERROR_SYNCHRONIZED 0x8000
#define ERROR_PTP 0x4000 /* timestamps are truncated PTPv2: 32 bits of seconds, 32 of ns */
#define TLV_BYTES 4u	 /* flags, type, length */
#define COS_BYTES 4u
#define DIRECT_BYTES 12u
#define AUTH_COVERED 96u
#define DSCP_CONTROL 48 /* CS6 */

/* Where the fields of a packet stand, by mode. */
struct layout {
	uint8_t base, sent, error, ssid;				     /* of both packets */
	uint8_t received, sender_seq, sender_sent, sender_error, sender_ttl; /* of the answer */
};
static const struct layout open_layout = {.base = STAMP_OPEN_BYTES,
	.sent = 4,
	.error = 12,
	.ssid = 14,
	.received = 16,
	.sender_seq = 24,
	.sender_sent = 28,
	.sender_error = 36,
	.sender_ttl = 40};
static const struct layout auth_layout = {.base = STAMP_AUTH_BYTES,
	.sent = 16,
	.error = 24,
	.ssid = 26,
	.received = 32,
	.sender_seq = 48,
	.sender_sent = 64,
	.sender_error = 72,
	.sender_ttl = 80};

static const struct layout *layout_of(const struct stamp_key *key)
{
	return key->len > 0 ? &auth_layout : &open_layout;
}

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static uint64_t get64(const uint8_t *p)
{
	return (uint64_t)get32(p) << 32 | get32(p + 4);
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

static void put64(uint8_t *p, uint64_t v)
{
	put32(p, (uint32_t)(v >> 32));
	put32(p + 4, (uint32_t)v);
}

/* ---- time ---- */

uint64_t stamp_ntp(uint64_t realtime_ns)
{
	uint64_t seconds = realtime_ns / NS_PER_S + NTP_UNIX_S;

	return seconds << 32 | ((realtime_ns % NS_PER_S << 32) / NS_PER_S);
}

int64_t stamp_ntp_diff_ns(uint64_t a, uint64_t b)
{
	return (int64_t)(((__int128)(int64_t)(a - b) * NS_PER_S) >> 32);
}

/* A timestamp of a packet with that Error Estimate as NTP; PTP's seconds count from 1970. */
static uint64_t to_ntp(uint64_t timestamp, uint16_t error)
{
	if (!(error & ERROR_PTP))
		return timestamp;
	return ((timestamp >> 32) + NTP_UNIX_S) << 32 |
	       (((timestamp & UINT32_MAX) % NS_PER_S << 32) / NS_PER_S);
}

uint16_t stamp_error_estimate(bool synchronized, uint64_t error_ns)
{
	/* In units of 2^-32 s, rounded up. */
	unsigned __int128 error = (((unsigned __int128)error_ns << 32) + NS_PER_S - 1) / NS_PER_S;
	unsigned scale = 0;

	while (error > UINT8_MAX) {
		error = (error + 1) >> 1;
		scale++;
	}
	if (error == 0)
		error = 1; /* a multiplier of 0 means "not valid" */
	return (uint16_t)((synchronized ? ERROR_SYNCHRONIZED : 0) | scale << 8 | (unsigned)error);
}

bool stamp_error_is_synchronized(uint16_t estimate)
{
	return (estimate & ERROR_SYNCHRONIZED) != 0;
}

uint64_t stamp_error_ns(uint16_t estimate)
{
	unsigned __int128 error = (unsigned __int128)(estimate & 0xff) << (estimate >> 8 & 0x3f);

	error = error * NS_PER_S >> 32;
	return error > INT64_MAX ? INT64_MAX : (uint64_t)error;
}

/* ---- HMAC ---- */

/* Over one or two pieces of text. */
static void hmac(const struct stamp_key *key, const uint8_t *first, size_t first_len,
	const uint8_t *second, size_t second_len, uint8_t out[STAMP_HMAC_BYTES])
{
	crypto_auth_hmacsha256_state state;
	uint8_t digest[crypto_auth_hmacsha256_BYTES];

	crypto_auth_hmacsha256_init(&state, key->bytes, key->len);
	crypto_auth_hmacsha256_update(&state, first, first_len);
	if (second_len > 0)
		crypto_auth_hmacsha256_update(&state, second, second_len);
	crypto_auth_hmacsha256_final(&state, digest);
	memcpy(out, digest, STAMP_HMAC_BYTES);
}

static void sign_base(uint8_t *packet, const struct stamp_key *key)
{
	if (key->len > 0)
		hmac(key, packet, AUTH_COVERED, NULL, 0, packet + AUTH_COVERED);
}

/* 0, -EBADMSG or -EACCES. */
static int verify_base(const uint8_t *packet, size_t len, const struct stamp_key *key)
{
	uint8_t right[STAMP_HMAC_BYTES];

	if (len < layout_of(key)->base)
		return -EBADMSG;
	if (key->len == 0)
		return 0;
	hmac(key, packet, AUTH_COVERED, NULL, 0, right);
	return sodium_memcmp(right, packet + AUTH_COVERED, sizeof(right)) == 0 ? 0 : -EACCES;
}

/* ---- TLVs ---- */

/* The bytes of the TLV at p of `left` that there are; 0 when they do not hold it. */
static size_t tlv_bytes(const uint8_t *p, size_t left)
{
	size_t bytes = TLV_BYTES + get16(p + 2);

	return bytes <= left ? bytes : 0;
}

/* Is the length one that the type may have? */
static bool tlv_length_is_valid(const uint8_t *p)
{
	switch (p[1]) {
	case STAMP_TLV_COS:
		return get16(p + 2) == COS_BYTES;
	case STAMP_TLV_DIRECT:
		return get16(p + 2) == DIRECT_BYTES;
	case STAMP_TLV_HMAC:
		return get16(p + 2) == STAMP_HMAC_BYTES;
	default:
		return true;
	}
}

/*
 * Whether the TLVs may be believed (RFC 8972, 4.8): an HMAC TLV must be right, with nothing but
 * padding behind it. Authenticated mode demands one, except for a single Extra Padding TLV. `seq`
 * is the packet's sequence number as it stands in the base packet.
 */
static bool tlvs_are_intact(
	const uint8_t *tlvs, size_t len, const uint8_t *seq, const struct stamp_key *key)
{
	uint8_t right[STAMP_HMAC_BYTES];
	bool found = false;
	unsigned count = 0, padding = 0;

	for (size_t at = 0; len - at >= TLV_BYTES;) {
		const uint8_t *p = tlvs + at;
		size_t bytes = tlv_bytes(p, len - at);

		count++;
		padding += p[1] == STAMP_TLV_PADDING;
		if (bytes == 0)
			break;
		if (found && p[1] != STAMP_TLV_PADDING)
			return false;
		if (p[1] == STAMP_TLV_HMAC) {
			if (key->len == 0 || !tlv_length_is_valid(p))
				return false;
			hmac(key, seq, 4, tlvs, at, right);
			if (sodium_memcmp(right, p + TLV_BYTES, sizeof(right)) != 0)
				return false;
			found = true;
		}
		at += bytes;
	}
	return found || key->len == 0 || count == 0 || (count == 1 && padding == 1);
}

static uint8_t *put_tlv(uint8_t *p, uint8_t flags, uint8_t type, size_t len)
{
	p[0] = flags;
	p[1] = type;
	put16(p + 2, (uint16_t)len);
	return p + TLV_BYTES;
}

/* Pseudorandom, so that nothing on the way compresses it. */
static void fill(uint8_t *p, size_t len, uint32_t seed)
{
	uint32_t x = seed * 2654435761u | 1;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		p[i] = (uint8_t)(x >> 24);
	}
}

/* ---- the sender's packet ---- */

int stamp_write_probe(
	const struct stamp_probe *probe, const struct stamp_key *key, uint8_t *out, size_t room)
{
	const struct layout *l = layout_of(key);
	size_t len = l->base;

	if (!probe->plain)
		len += TLV_BYTES + COS_BYTES + TLV_BYTES + DIRECT_BYTES +
		       (key->len > 0 ? TLV_BYTES + STAMP_HMAC_BYTES : 0);
	size_t padding = probe->size <= len		 ? 0
			 : probe->size - len < TLV_BYTES ? TLV_BYTES
							 : probe->size - len;
	if (len + padding > room)
		return -ENOSPC;

	memset(out, 0, len);
	put32(out, probe->seq);
	put64(out + l->sent, probe->sent);
	put16(out + l->error, probe->error);
	put16(out + l->ssid, probe->ssid);
	sign_base(out, key);
	uint8_t *tlvs = out + l->base, *p = tlvs;
	if (!probe->plain) {
		p = put_tlv(p, STAMP_TLV_UNRECOGNIZED, STAMP_TLV_COS, COS_BYTES);
		p[0] = (uint8_t)(probe->dscp << 2);
		p = put_tlv(p + COS_BYTES, STAMP_TLV_UNRECOGNIZED, STAMP_TLV_DIRECT, DIRECT_BYTES);
		put32(p, probe->sent_count);
		p += DIRECT_BYTES;
		if (key->len > 0) {
			size_t covered = (size_t)(p - tlvs);
			p = put_tlv(p, STAMP_TLV_UNRECOGNIZED, STAMP_TLV_HMAC, STAMP_HMAC_BYTES);
			hmac(key, out, 4, tlvs, covered, p);
			p += STAMP_HMAC_BYTES;
		}
	}
	if (padding > 0) {
		p = put_tlv(p, STAMP_TLV_UNRECOGNIZED, STAMP_TLV_PADDING, padding - TLV_BYTES);
		fill(p, padding - TLV_BYTES, probe->seq);
	}
	return (int)(len + padding);
}

int stamp_read_request(
	const uint8_t *in, size_t len, const struct stamp_key *key, struct stamp_request *request)
{
	const struct layout *l = layout_of(key);
	int rc = verify_base(in, len, key);

	if (rc != 0)
		return rc;
	*request = (struct stamp_request){.seq = get32(in),
		.sent = get64(in + l->sent),
		.error = get16(in + l->error),
		.ssid = get16(in + l->ssid)};
	return 0;
}

/* ---- the reflector's answer ---- */

static void answer_cos(uint8_t *value, const struct stamp_reflection *r, uint8_t *dscp)
{
	uint8_t wanted = value[0] >> 2;
	bool refused = wanted >= DSCP_CONTROL;

	if (!refused)
		*dscp = wanted;
	value[0] = (uint8_t)(wanted << 2 | r->dscp >> 4);
	value[1] = (uint8_t)(r->dscp << 4 | r->ecn << 2 | refused);
	put16(value + 2, 0);
}

/* One well-formed TLV of a packet that may be believed. Returns its flags. */
static uint8_t answer_tlv(uint8_t *p, const struct stamp_reflection *r, uint8_t *dscp)
{
	switch (p[1]) {
	case STAMP_TLV_PADDING:
	case STAMP_TLV_HMAC: /* written once all before it is */
		return 0;
	case STAMP_TLV_COS:
		answer_cos(p + TLV_BYTES, r, dscp);
		return 0;
	case STAMP_TLV_DIRECT:
		if (!r->has_counts) /* a stateless reflector counts nothing */
			return STAMP_TLV_UNRECOGNIZED;
		put32(p + TLV_BYTES + 4, r->received_count);
		put32(p + TLV_BYTES + 8, r->sent_count);
		return 0;
	default:
		return STAMP_TLV_UNRECOGNIZED;
	}
}

/* RFC 8972, 4: `tlvs` holds the request's, and is changed into the answer's. */
static void answer_tlvs(uint8_t *tlvs, size_t len, bool intact, const uint8_t *seq,
	const struct stamp_key *key, const struct stamp_reflection *r, uint8_t *dscp)
{
	for (size_t at = 0; len - at >= TLV_BYTES;) {
		uint8_t *p = tlvs + at, integrity = intact ? 0 : STAMP_TLV_INTEGRITY;
		size_t bytes = tlv_bytes(p, len - at);

		if (bytes == 0 || !tlv_length_is_valid(p)) {
			/* What is behind it is copied as it came. */
			p[0] = STAMP_TLV_MALFORMED | integrity;
			return;
		}
		p[0] = intact ? answer_tlv(p, r, dscp) : integrity;
		if (intact && p[1] == STAMP_TLV_HMAC)
			hmac(key, seq, 4, tlvs, at, p + TLV_BYTES);
		at += bytes;
	}
}

void stamp_write_answer(const uint8_t *in, size_t len, const struct stamp_key *key,
	const struct stamp_reflection *r, uint8_t *out, uint8_t *dscp)
{
	const struct layout *l = layout_of(key);
	bool intact = tlvs_are_intact(in + l->base, len - l->base, in, key);

	memset(out, 0, l->base);
	memcpy(out + l->base, in + l->base, len - l->base);
	put32(out, r->seq);
	put64(out + l->sent, r->sent);
	put16(out + l->error, r->error);
	memcpy(out + l->ssid, in + l->ssid, 2);
	put64(out + l->received, r->received);
	memcpy(out + l->sender_seq, in, 4);
	memcpy(out + l->sender_sent, in + l->sent, 8);
	memcpy(out + l->sender_error, in + l->error, 2);
	out[l->sender_ttl] = r->ttl;
	*dscp = r->dscp;
	sign_base(out, key);
	answer_tlvs(out + l->base, len - l->base, intact, out, key, r, dscp);
}

/* ---- the answer, at the sender ---- */

static void read_tlv(const uint8_t *p, struct stamp_answer *a)
{
	const uint8_t *value = p + TLV_BYTES;

	if (p[1] == STAMP_TLV_COS) {
		a->has_cos = true;
		a->dscp_received = (uint8_t)((value[0] & 3) << 4 | value[1] >> 4);
		a->ecn_received = value[1] >> 2 & 3;
		a->cos_refused = (value[1] & 3) != 0;
	} else if (p[1] == STAMP_TLV_DIRECT) {
		a->has_counts = true;
		a->sent_count = get32(value);
		a->reflector_received = get32(value + 4);
		a->reflector_sent = get32(value + 8);
	}
}

int stamp_read_answer(
	const uint8_t *in, size_t len, const struct stamp_key *key, struct stamp_answer *answer)
{
	const struct layout *l = layout_of(key);
	int rc = verify_base(in, len, key);

	if (rc != 0)
		return rc;
	uint16_t error = get16(in + l->error), sender_error = get16(in + l->sender_error);
	*answer = (struct stamp_answer){
		.seq = get32(in),
		.sender_seq = get32(in + l->sender_seq),
		.sender_sent = to_ntp(get64(in + l->sender_sent), sender_error),
		.received = to_ntp(get64(in + l->received), error),
		.sent = to_ntp(get64(in + l->sent), error),
		.error = error,
		.sender_error = sender_error,
		.ssid = get16(in + l->ssid),
		.sender_ttl = in[l->sender_ttl],
	};
	const uint8_t *tlvs = in + l->base;
	size_t tlvs_len = len - l->base;
	if (!tlvs_are_intact(tlvs, tlvs_len, in, key))
		return 0;
	for (size_t at = 0; tlvs_len - at >= TLV_BYTES;) {
		const uint8_t *p = tlvs + at;
		size_t bytes = tlv_bytes(p, tlvs_len - at);

		if (bytes == 0 || !tlv_length_is_valid(p) ||
			(p[0] & (STAMP_TLV_MALFORMED | STAMP_TLV_INTEGRITY)))
			return 0;
		if (!(p[0] & STAMP_TLV_UNRECOGNIZED))
			read_tlv(p, answer);
		at += bytes;
	}
	return 0;
}
