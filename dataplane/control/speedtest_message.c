/* SPDX-License-Identifier: BSD-3-Clause */
/* The bytes of a speed test's messages: speedtest_message.h. */
#include "dataplane/control/speedtest_message.h"

#include <errno.h>
#include <string.h>

#include <sodium.h>

#define BODY_BYTES 56u
#define SIGNED_BYTES (LINK_SHIM_BYTES + BODY_BYTES)
#define SIGNATURE_BYTES 16u

static const uint8_t magic[4] = {'S', 'L', 'S', 'P'};

static uint64_t get64(const uint8_t *p)
{
	return (uint64_t)link_get32(p) << 32 | link_get32(p + 4);
}

static void put64(uint8_t *p, uint64_t v)
{
	link_put32(p, (uint32_t)(v >> 32));
	link_put32(p + 4, (uint32_t)v);
}

/* As a probe's: the order of the nonces makes a message that is sent back worthless. */
static void sign(const struct link_session *s, const uint8_t *msg, const uint8_t *from,
	const uint8_t *to, uint8_t *signature)
{
	uint8_t text[SIGNED_BYTES + 2 * LINK_NONCE_BYTES];

	memcpy(text, msg, SIGNED_BYTES);
	memcpy(text + SIGNED_BYTES, from, LINK_NONCE_BYTES);
	memcpy(text + SIGNED_BYTES + LINK_NONCE_BYTES, to, LINK_NONCE_BYTES);
	crypto_generichash(
		signature, SIGNATURE_BYTES, text, sizeof(text), s->hello_key, sizeof(s->hello_key));
}

bool speed_is_message(const uint8_t *msg, size_t len)
{
	return len >= LINK_SHIM_BYTES + sizeof(magic) &&
	       memcmp(msg + LINK_SHIM_BYTES, magic, sizeof(magic)) == 0;
}

int speed_message_write(
	const struct link_session *s, const struct speed_message *m, uint8_t *out, size_t len)
{
	const struct link_shim shim = {
		.version = LINK_VERSION,
		.codec = LINK_CODEC_CONTROL,
		.lane = LINK_CONTROL_LANE,
		.original_len = (uint16_t)(len - LINK_SHIM_BYTES),
		.seq = m->number,
		.sent = link_timestamp(m->sent_ns),
	};
	bool is_request = m->type == SPEED_REQUEST;
	uint8_t *p = out + LINK_SHIM_BYTES;

	if (!s->alive)
		return -ENOTCONN;
	link_shim_write(out, &shim);
	memcpy(p, magic, sizeof(magic));
	p[4] = SPEED_VERSION;
	p[5] = (uint8_t)m->type;
	p[6] = (uint8_t)(len >> 8);
	p[7] = (uint8_t)len;
	put64(p + 8, m->test);
	put64(p + 16, m->sent_ns);
	put64(p + 24, m->arrived_ns);
	put64(p + 32, is_request ? m->duration_ns : m->bytes);
	put64(p + 40, is_request ? m->bytes_max : m->packets);
	link_put32(p + 48, m->expected);
	link_put32(p + 52, 0);
	sign(s, out, s->current.own, s->current.peer, p + BODY_BYTES);
	return 0;
}

int speed_message_read(
	const struct link_session *s, const uint8_t *msg, size_t len, struct speed_message *m)
{
	uint8_t signature[SIGNATURE_BYTES];
	const uint8_t *p = msg + LINK_SHIM_BYTES;
	struct link_shim shim;

	if (!speed_is_message(msg, len) || len < SPEED_MESSAGE_BYTES)
		return -EBADMSG;
	if (!s->alive)
		return -ENOTCONN;
	link_shim_read(msg, &shim);
	if (shim.version != LINK_VERSION || p[4] != SPEED_VERSION)
		return -EPROTO;
	bool is_data = p[5] == SPEED_DATA;
	if (shim.codec != LINK_CODEC_CONTROL || p[5] < SPEED_REQUEST || p[5] > SPEED_BUSY ||
		(size_t)(p[6] << 8 | p[7]) != len || (!is_data && len != SPEED_MESSAGE_BYTES))
		return -EBADMSG;
	sign(s, msg, s->current.peer, s->current.own, signature);
	if (sodium_memcmp(signature, p + BODY_BYTES, sizeof(signature)) != 0)
		return -EACCES;
	*m = (struct speed_message){
		.type = (enum speed_type)p[5],
		.number = shim.seq,
		.test = get64(p + 8),
		.sent_ns = get64(p + 16),
		.arrived_ns = get64(p + 24),
		.expected = link_get32(p + 48),
	};
	if (m->type == SPEED_REQUEST) {
		m->duration_ns = get64(p + 32);
		m->bytes_max = get64(p + 40);
	} else {
		m->bytes = get64(p + 32);
		m->packets = get64(p + 40);
	}
	return 0;
}
