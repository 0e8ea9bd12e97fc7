/* SPDX-License-Identifier: BSD-3-Clause */
/* What a session's two nonces and the pre-shared key give (session_keys.h). */
#include "dataplane/link/session_keys.h"

#include <string.h>

#include <sodium.h>

#include "dataplane/link/transparent.h"

uint64_t link_session_check_key(
	const struct link_session *s, const uint8_t *from, const uint8_t *to)
{
	uint8_t nonces[2 * LINK_NONCE_BYTES], out[crypto_generichash_BYTES_MIN];
	uint64_t key = 0;

	memcpy(nonces, from, LINK_NONCE_BYTES);
	memcpy(nonces + LINK_NONCE_BYTES, to, LINK_NONCE_BYTES);
	crypto_generichash(
		out, sizeof(out), nonces, sizeof(nonces), s->check_key, sizeof(s->check_key));
	for (int i = 0; i < 8; i++)
		key = key << 8 | out[i];
	return key;
}

uint16_t link_session_cpi(const struct link_session *s, const uint8_t *from, const uint8_t *to)
{
	static const char label[] = "sluice link cpi";
	uint8_t bytes[2 * LINK_NONCE_BYTES + sizeof(label)], out[crypto_generichash_BYTES_MIN];

	memcpy(bytes, from, LINK_NONCE_BYTES);
	memcpy(bytes + LINK_NONCE_BYTES, to, LINK_NONCE_BYTES);
	memcpy(bytes + 2 * LINK_NONCE_BYTES, label, sizeof(label));
	crypto_generichash(
		out, sizeof(out), bytes, sizeof(bytes), s->check_key, sizeof(s->check_key));
	return (uint16_t)(LINK_CPI_MIN | (out[0] << 8 | out[1]));
}

/* The key of aead.h for what goes from the end with nonce `from` to the other. */
static void aead_key(const struct link_session *s, const uint8_t *from, const uint8_t *to,
	const uint8_t shared[LINK_EXCHANGE_BYTES], struct link_aead_key *key)
{
	uint8_t text[2 * LINK_NONCE_BYTES + 1 + LINK_EXCHANGE_BYTES], out[LINK_AEAD_KEY_BYTES];

	memcpy(text, from, LINK_NONCE_BYTES);
	memcpy(text + LINK_NONCE_BYTES, to, LINK_NONCE_BYTES);
	text[2 * LINK_NONCE_BYTES] = s->cipher;
	memcpy(text + 2 * LINK_NONCE_BYTES + 1, shared, LINK_EXCHANGE_BYTES);
	crypto_generichash(out, sizeof(out), text, sizeof(text), s->aead_key, sizeof(s->aead_key));
	link_aead_key_set(key, s->cipher, out);
	sodium_memzero(text, sizeof(text));
	sodium_memzero(out, sizeof(out));
}

bool link_session_agree(const struct link_session *s, const struct link_hello *h,
	struct link_aead_key *tx, struct link_aead_key *rx)
{
	uint8_t shared[LINK_EXCHANGE_BYTES];
	bool ok = crypto_scalarmult(shared, s->next.secret, h->exchange) == 0;

	if (ok) {
		aead_key(s, s->next.own, h->nonce, shared, tx);
		aead_key(s, h->nonce, s->next.own, shared, rx);
	}
	sodium_memzero(shared, sizeof(shared));
	return ok;
}
