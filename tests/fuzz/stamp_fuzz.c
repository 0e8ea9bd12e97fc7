/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target of active measurement: what comes from outside to the in-path address. The first byte
 * of the input says what the rest is.
 *   0  an IP packet, as for active_packet.h
 *   1  a STAMP request without, 2 with a key: answered, and the answer read back
 *   3  STAMP answers without a key, one behind the other, for a session that is under way
 *   4  a message of a speed test, as it comes from the peer's address
 *   5  what an authenticated peer reports in a speed test, 16 bytes a report
 * HMACs of requests and signatures of messages are made right, so that what is behind is reached.
 */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "dataplane/control/active_packet.h"
#include "dataplane/control/speedtest_message.h"
#include "dataplane/control/speedtest_search.h"
#include "dataplane/measure/stamp_session.h"

#define ANSWER_BYTES 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool condition)
{
	if (!condition)
		abort();
}

static void read_packet(const uint8_t *data, size_t size)
{
	struct active_packet p;

	if (active_packet_read(data, (uint32_t)size, &p) != 0)
		return;
	need(p.src.family == p.dst.family && p.kind <= ACTIVE_UNREACHABLE);
	if (p.kind == ACTIVE_UDP || p.kind == ACTIVE_ECHO_REPLY)
		need(p.payload >= data && p.payload + p.payload_len <= data + size);
	else
		need(p.quoted_dst.family == p.dst.family);
}

static void reflect(uint8_t *request, size_t size, const struct stamp_key *key)
{
	const struct stamp_reflection r = {.has_counts = true, .ttl = 1, .dscp = 46, .ecn = 3};
	uint8_t digest[32], *answer = malloc(size + 1), dscp;
	struct stamp_request parsed;
	struct stamp_answer back;

	if (key->len > 0 && size >= STAMP_AUTH_BYTES) {
		crypto_auth_hmacsha256(digest, request, 96, key->bytes);
		memcpy(request + 96, digest, STAMP_HMAC_BYTES);
	}
	if (answer != NULL && stamp_read_request(request, size, key, &parsed) == 0) {
		stamp_write_answer(request, size, key, &r, answer, &dscp);
		need(dscp < 64);
		need(stamp_read_answer(answer, size, key, &back) == 0);
		need(back.sender_seq == parsed.seq && back.ssid == parsed.ssid);
		need(back.sender_ttl == 1);
	}
	free(answer);
}

static void answers(const uint8_t *data, size_t size)
{
	static struct stamp_session s;
	const struct stamp_key no_key = {0};
	uint64_t now_ns = 1000000000;

	stamp_session_init(&s, now_ns);
	while (size > 0) {
		size_t len = size < ANSWER_BYTES ? size : ANSWER_BYTES;
		struct stamp_answer a;

		stamp_session_send(&s, now_ns, stamp_ntp(now_ns));
		if (stamp_read_answer(data, len, &no_key, &a) == 0)
			stamp_session_receive(&s, &a, 64, now_ns + data[0], stamp_ntp(now_ns));
		now_ns += (uint64_t)data[0] * 20000000;
		stamp_session_tick(&s, now_ns);
		need(s.total.received + s.total.lost <= s.total.sent);
		data += len;
		size -= len;
	}
}

static void message(uint8_t *msg, size_t size)
{
	struct link_session session = {.alive = true};
	uint8_t text[SPEED_MESSAGE_BYTES - 16 + 2 * LINK_NONCE_BYTES] = {0};
	struct speed_message m;

	if (size >= SPEED_MESSAGE_BYTES) { /* nonces and key are 0 */
		memcpy(text, msg, SPEED_MESSAGE_BYTES - 16);
		crypto_generichash(msg + SPEED_MESSAGE_BYTES - 16, 16, text, sizeof(text),
			session.hello_key, sizeof(session.hello_key));
	}
	if (speed_message_read(&session, msg, size, &m) == 0)
		need(speed_is_message(msg, size) && m.type >= SPEED_REQUEST &&
			m.type <= SPEED_BUSY);
}

static void reports(const uint8_t *data, size_t size)
{
	static struct speed_search search;
	struct speed_sample sample = {0};
	uint64_t now_ns = 1, rate_bps, over_ns;

	speed_search_init(&search, 100000000, 20000000, now_ns);
	for (; size >= 16; data += 16, size -= 16) {
		uint64_t word[2];

		memcpy(word, data, sizeof(word));
		/* Small steps, and now and then anything. */
		sample.sent_ns += word[0] & 0xffffff;
		sample.arrived_ns += word[0] & 1u << 31 ? word[1] : word[0] >> 32 & 0xffffff;
		sample.packets += word[1] & 0xff;
		sample.expected += word[1] >> 8 & 0xff;
		sample.bytes = word[0] & 1u << 30 ? word[1] : sample.packets * 1500;
		now_ns += word[1] >> 16 & 0xffffff;
		speed_search_sample(&search, &sample, now_ns);
		need(search.rate_bps >= 64000 && search.rate_bps <= search.limit_bps);
		speed_search_result(&search, &rate_bps, &over_ns);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key_bytes[crypto_auth_hmacsha256_KEYBYTES] = {1, 2, 3};
	const struct stamp_key key = {key_bytes, sizeof(key_bytes)}, no_key = {0};

	if (size < 1)
		return 0;
	uint8_t *copy = malloc(size);
	if (copy == NULL)
		return 0;
	memcpy(copy, data + 1, size - 1);
	switch (data[0] % 6) {
	case 0:
		read_packet(copy, size - 1);
		break;
	case 1:
	case 2:
		reflect(copy, size - 1, data[0] % 6 == 1 ? &no_key : &key);
		break;
	case 3:
		answers(copy, size - 1);
		break;
	case 4:
		message(copy, size - 1);
		break;
	default:
		reports(copy, size - 1);
	}
	free(copy);
	return 0;
}
