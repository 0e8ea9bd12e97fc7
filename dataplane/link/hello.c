/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bytes of a hello (hello.h). Everything from outside is bounded and signed before it is read.
 */
#include "dataplane/link/hello.h"

#include <errno.h>
#include <string.h>

#include <sodium.h>

static const uint8_t magic[4] = {'S', 'L', 'H', 'O'};

static inline uint64_t get64(const uint8_t *p)
{
	return (uint64_t)link_get32(p) << 32 | link_get32(p + 4);
}

static inline void put64(uint8_t *p, uint64_t v)
{
	link_put32(p, (uint32_t)(v >> 32));
	link_put32(p + 4, (uint32_t)v);
}

static inline size_t exchange_bytes(uint8_t cipher)
{
	return cipher != LINK_CIPHER_NONE ? LINK_EXCHANGE_BYTES : 0;
}

int link_hello_write(
	const struct link_hello *hello, const uint8_t key[32], uint8_t *out, size_t room)
{
	size_t len = LINK_SHIM_BYTES + LINK_HELLO_BYTES + hello->announced * LINK_ANNOUNCE_BYTES +
		     hello->dictionary_count * LINK_DICTIONARY_BYTES +
		     exchange_bytes(hello->cipher);
	uint8_t *p = out + LINK_SHIM_BYTES;

	if (hello->announced > LINK_ANNOUNCE_MAX ||
		hello->dictionary_count > LINK_DICTIONARIES_MAX ||
		len + LINK_SIGNATURE_BYTES > room)
		return -ENOSPC;

	const struct link_shim shim = {
		.version = LINK_VERSION,
		.codec = LINK_CODEC_CONTROL,
		.lane = LINK_CONTROL_LANE,
		.original_len = (uint16_t)(len - LINK_SHIM_BYTES + LINK_SIGNATURE_BYTES),
		.seq = hello->seq,
		.sent = hello->sent,
	};

	link_shim_write(out, &shim);
	memcpy(p, magic, 4);
	p[4] = hello->version;
	p[5] = (uint8_t)(hello->flags | hello->cipher << LINK_HELLO_CIPHER_SHIFT);
	p[6] = hello->workers;
	p[7] = hello->codecs;
	p[8] = (uint8_t)(hello->path_mtu >> 8);
	p[9] = (uint8_t)hello->path_mtu;
	p[10] = hello->refusal;
	p[11] = hello->announced;
	link_put32(p + 12, hello->store_slots);
	put64(p + 16, hello->boot_id);
	memcpy(p + 24, hello->nonce, LINK_NONCE_BYTES);
	memcpy(p + 40, hello->echo, LINK_NONCE_BYTES);
	put64(p + 56, hello->clock_ns);
	put64(p + 64, hello->echo_clock_ns);
	put64(p + 72, hello->echo_delay_ns);
	put64(p + 80, hello->received.received);
	put64(p + 88, hello->received.unique);
	put64(p + 96, hello->received.lost);
	put64(p + 104, hello->received.duplicates);
	put64(p + 112, hello->received.reordered);
	put64(p + 120, hello->received.late);
	p[128] = (uint8_t)(hello->classes.interval >> 8);
	p[129] = (uint8_t)hello->classes.interval;
	p[130] = hello->classes.slot;
	p[131] = hello->dictionary_count;
	memcpy(p + 132, hello->classes.name, LINK_CLASS_NAME_MAX);
	for (unsigned i = 0; i < LINK_CLASS_SLOTS; i++)
		link_put32(p + 164 + 4 * i, hello->classes.sent[i]);
	p += LINK_HELLO_BYTES;
	for (unsigned i = 0; i < hello->announced; i++, p += LINK_ANNOUNCE_BYTES) {
		p[0] = hello->announce[i].lane;
		link_put32(p + 1, hello->announce[i].next);
	}
	for (unsigned i = 0; i < hello->dictionary_count; i++, p += LINK_DICTIONARY_BYTES) {
		p[0] = hello->dictionary[i].id;
		put64(p + 1, hello->dictionary[i].hash);
	}
	memcpy(p, hello->exchange, exchange_bytes(hello->cipher));
	p += exchange_bytes(hello->cipher);
	crypto_generichash(p, LINK_SIGNATURE_BYTES, out, len, key, 32);
	return (int)(len + LINK_SIGNATURE_BYTES);
}

int link_hello_read(const uint8_t *msg, size_t len, const uint8_t key[32], struct link_hello *hello)
{
	const uint8_t *p = msg + LINK_SHIM_BYTES;
	uint8_t signature[LINK_SIGNATURE_BYTES];
	struct link_shim shim;
	size_t body;

	/* What all versions have in common comes first: magic, version, signature. */
	if (len < LINK_SHIM_BYTES + 5 + LINK_SIGNATURE_BYTES || len > UINT16_MAX)
		return -EBADMSG;
	link_shim_read(msg, &shim);
	if (shim.codec != LINK_CODEC_CONTROL || memcmp(p, magic, 4) != 0)
		return -EBADMSG;
	crypto_generichash(signature, sizeof(signature), msg, len - LINK_SIGNATURE_BYTES, key, 32);
	if (sodium_memcmp(signature, msg + len - LINK_SIGNATURE_BYTES, sizeof(signature)) != 0)
		return -EACCES;
	if (shim.version != LINK_VERSION || p[4] != LINK_HELLO_VERSION) {
		memset(hello, 0, sizeof(*hello));
		hello->version = p[4];
		return -EPROTO;
	}

	body = len - LINK_SHIM_BYTES - LINK_SIGNATURE_BYTES;
	if (body < LINK_HELLO_BYTES || p[11] > LINK_ANNOUNCE_MAX ||
		p[131] > LINK_DICTIONARIES_MAX ||
		body != LINK_HELLO_BYTES + (size_t)p[11] * LINK_ANNOUNCE_BYTES +
				(size_t)p[131] * LINK_DICTIONARY_BYTES +
				exchange_bytes(p[5] >> LINK_HELLO_CIPHER_SHIFT) ||
		shim.lane != LINK_CONTROL_LANE || shim.flags != 0 || shim.check != 0 ||
		shim.original_len != len - LINK_SHIM_BYTES)
		return -EBADMSG;
	hello->seq = shim.seq;
	hello->sent = shim.sent;
	hello->version = p[4];
	hello->flags = p[5] & ((1u << LINK_HELLO_CIPHER_SHIFT) - 1);
	hello->cipher = p[5] >> LINK_HELLO_CIPHER_SHIFT;
	hello->workers = p[6];
	hello->codecs = p[7];
	hello->path_mtu = (uint16_t)(p[8] << 8 | p[9]);
	hello->refusal = p[10];
	hello->announced = p[11];
	hello->store_slots = link_get32(p + 12);
	hello->boot_id = get64(p + 16);
	memcpy(hello->nonce, p + 24, LINK_NONCE_BYTES);
	memcpy(hello->echo, p + 40, LINK_NONCE_BYTES);
	hello->clock_ns = get64(p + 56);
	hello->echo_clock_ns = get64(p + 64);
	hello->echo_delay_ns = get64(p + 72);
	hello->received = (struct link_seq_counts){
		.received = get64(p + 80),
		.unique = get64(p + 88),
		.lost = get64(p + 96),
		.duplicates = get64(p + 104),
		.reordered = get64(p + 112),
		.late = get64(p + 120),
	};
	hello->classes.interval = (uint32_t)(p[128] << 8 | p[129]) & LINK_INTERVAL_MASK;
	hello->classes.slot = p[130] % LINK_CLASS_SLOTS;
	memcpy(hello->classes.name, p + 132, LINK_CLASS_NAME_MAX);
	hello->classes.name[LINK_CLASS_NAME_MAX - 1] = '\0';
	for (unsigned i = 0; i < LINK_CLASS_SLOTS; i++)
		hello->classes.sent[i] = link_get32(p + 164 + 4 * i);
	hello->dictionary_count = p[131];
	p += LINK_HELLO_BYTES;
	for (unsigned i = 0; i < hello->announced; i++, p += LINK_ANNOUNCE_BYTES) {
		hello->announce[i].lane = p[0];
		hello->announce[i].next = link_get32(p + 1);
	}
	for (unsigned i = 0; i < hello->dictionary_count; i++, p += LINK_DICTIONARY_BYTES) {
		hello->dictionary[i].id = p[0];
		hello->dictionary[i].hash = get64(p + 1);
	}
	memset(hello->exchange, 0, sizeof(hello->exchange));
	memcpy(hello->exchange, p, exchange_bytes(hello->cipher));
	return 0;
}
