/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bytes of a probe (probe.h), the hello's little sister: signed with the same key, over a
 * different magic and the session's nonces.
 */
#include "dataplane/link/probe.h"

#include <errno.h>
#include <string.h>

#include <sodium.h>

#define SIGNED_BYTES (LINK_SHIM_BYTES + LINK_PROBE_BYTES)

static const uint8_t magic[4] = {'S', 'L', 'P', 'R'};

static inline uint64_t get64(const uint8_t *p)
{
	return (uint64_t)link_get32(p) << 32 | link_get32(p + 4);
}

static inline void put64(uint8_t *p, uint64_t v)
{
	link_put32(p, (uint32_t)(v >> 32));
	link_put32(p + 4, (uint32_t)v);
}

/* The order of the nonces makes a probe that is sent back to its sender worthless. */
static void sign(const struct link_session *s, const uint8_t *msg, const uint8_t *from,
	const uint8_t *to, uint8_t *signature)
{
	uint8_t text[SIGNED_BYTES + 2 * LINK_NONCE_BYTES];

	memcpy(text, msg, SIGNED_BYTES);
	memcpy(text + SIGNED_BYTES, from, LINK_NONCE_BYTES);
	memcpy(text + SIGNED_BYTES + LINK_NONCE_BYTES, to, LINK_NONCE_BYTES);
	crypto_generichash(signature, LINK_PROBE_SIGNATURE_BYTES, text, sizeof(text), s->hello_key,
		sizeof(s->hello_key));
}

bool link_is_probe(const uint8_t *msg, size_t len)
{
	return len >= LINK_SHIM_BYTES + sizeof(magic) &&
	       memcmp(msg + LINK_SHIM_BYTES, magic, sizeof(magic)) == 0;
}

int link_probe_write(
	const struct link_session *s, const struct link_probe *probe, uint8_t *out, size_t room)
{
	const struct link_shim shim = {
		.version = LINK_VERSION,
		.codec = LINK_CODEC_CONTROL,
		.lane = LINK_CONTROL_LANE,
		.original_len = LINK_PROBE_MESSAGE_BYTES - LINK_SHIM_BYTES,
		.seq = probe->number,
		.sent = link_timestamp(probe->sent_ns),
	};
	uint8_t *p = out + LINK_SHIM_BYTES;

	if (!s->alive)
		return -ENOTCONN;
	if (room < LINK_PROBE_MESSAGE_BYTES)
		return -ENOSPC;
	link_shim_write(out, &shim);
	memcpy(p, magic, sizeof(magic));
	p[4] = LINK_PROBE_VERSION;
	p[5] = 0;
	p[6] = (uint8_t)(probe->wanted_ms >> 8);
	p[7] = (uint8_t)probe->wanted_ms;
	link_put32(p + 8, probe->heard);
	link_put32(p + 12, probe->heard_count);
	put64(p + 16, probe->sent_ns);
	put64(p + 24, probe->heard_ns);
	sign(s, out, s->current.own, s->current.peer, p + LINK_PROBE_BYTES);
	return LINK_PROBE_MESSAGE_BYTES;
}

int link_probe_read(
	const struct link_session *s, const uint8_t *msg, size_t len, struct link_probe *probe)
{
	uint8_t signature[LINK_PROBE_SIGNATURE_BYTES];
	const uint8_t *p = msg + LINK_SHIM_BYTES;
	struct link_shim shim;

	if (!link_is_probe(msg, len))
		return -EBADMSG;
	link_shim_read(msg, &shim);
	if (shim.codec != LINK_CODEC_CONTROL)
		return -EBADMSG;
	if (!s->alive)
		return -ENOTCONN;
	if (len < LINK_PROBE_MESSAGE_BYTES)
		return -EBADMSG;
	if (shim.version != LINK_VERSION || p[4] != LINK_PROBE_VERSION)
		return -EPROTO;
	if (len != LINK_PROBE_MESSAGE_BYTES)
		return -EBADMSG;
	sign(s, msg, s->current.peer, s->current.own, signature);
	if (sodium_memcmp(signature, msg + SIGNED_BYTES, sizeof(signature)) != 0)
		return -EACCES;
	*probe = (struct link_probe){
		.number = shim.seq,
		.heard = link_get32(p + 8),
		.heard_count = link_get32(p + 12),
		.wanted_ms = (uint16_t)(p[6] << 8 | p[7]),
		.sent_ns = get64(p + 16),
		.heard_ns = get64(p + 24),
	};
	return 0;
}
