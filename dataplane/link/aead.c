/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sealing and opening link frames (aead.h). All bytes that decide anything are covered by the tag,
 * and nothing of a frame is looked at before it has verified.
 */
#include "dataplane/link/aead.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

#include "dataplane/link/path.h"
#include "dataplane/link/seq.h"
#include "dataplane/link/shim.h"

#define CLEAR_BYTES (LINK_SHIM_BYTES - 4) /* of the shim: without the check */
#define NONCE_BYTES 12

static_assert(sizeof(crypto_aead_aes256gcm_state) <= sizeof(struct link_aead_key) &&
		      crypto_aead_aes256gcm_KEYBYTES == LINK_AEAD_KEY_BYTES &&
		      crypto_aead_aes256gcm_NPUBBYTES == NONCE_BYTES &&
		      crypto_aead_aes256gcm_ABYTES == LINK_TAG_BYTES,
	"libsodium's AES-256-GCM");
static_assert(crypto_aead_chacha20poly1305_ietf_KEYBYTES == LINK_AEAD_KEY_BYTES &&
		      crypto_aead_chacha20poly1305_ietf_NPUBBYTES == NONCE_BYTES &&
		      crypto_aead_chacha20poly1305_ietf_ABYTES == LINK_TAG_BYTES,
	"libsodium's ChaCha20-Poly1305");

const char *link_cipher_name(uint8_t cipher)
{
	static const char *const names[LINK_CIPHERS] = {
		[LINK_CIPHER_NONE] = "none",
		[LINK_CIPHER_AES_256_GCM] = "aes-256-gcm",
		[LINK_CIPHER_CHACHA20_POLY1305] = "chacha20-poly1305",
	};

	return cipher < LINK_CIPHERS ? names[cipher] : "unknown";
}

bool link_cipher_works(uint8_t cipher)
{
	return cipher != LINK_CIPHER_AES_256_GCM || crypto_aead_aes256gcm_is_available() != 0;
}

void link_aead_key_set(
	struct link_aead_key *key, uint8_t cipher, const uint8_t bytes[LINK_AEAD_KEY_BYTES])
{
	/* Keys are compared as bytes, unused ones included. */
	memset(key, 0, sizeof(*key));
	if (cipher == LINK_CIPHER_AES_256_GCM)
		crypto_aead_aes256gcm_beforenm(
			(crypto_aead_aes256gcm_state *)(void *)key->state, bytes);
	else
		memcpy(key->state, bytes, LINK_AEAD_KEY_BYTES);
}

static void make_nonce(uint8_t lane, uint64_t seq, uint8_t nonce[NONCE_BYTES])
{
	memset(nonce, 0, 4);
	nonce[0] = lane;
	link_put32(nonce + 4, (uint32_t)(seq >> 32));
	link_put32(nonce + 8, (uint32_t)seq);
}

void link_seal(const struct link_path *path, uint64_t seq, uint8_t *shim, uint32_t blob_len)
{
	uint8_t *blob = shim + LINK_SHIM_BYTES, tag[LINK_TAG_BYTES], nonce[NONCE_BYTES];
	const uint8_t *key = path->tx_aead.state;
	struct link_shim s;

	link_shim_read(shim, &s);
	make_nonce(s.lane, seq, nonce);
	if (path->cipher == LINK_CIPHER_AES_256_GCM)
		crypto_aead_aes256gcm_encrypt_detached_afternm(blob, tag, NULL, blob, blob_len,
			shim, CLEAR_BYTES, NULL, nonce,
			(const crypto_aead_aes256gcm_state *)(const void *)key);
	else
		crypto_aead_chacha20poly1305_ietf_encrypt_detached(
			blob, tag, NULL, blob, blob_len, shim, CLEAR_BYTES, NULL, nonce, key);
	memcpy(shim + CLEAR_BYTES, tag, 4);
	memcpy(blob + blob_len, tag + 4, LINK_SEAL_BYTES);
}

/* The whole number that a frame with these lower 32 bits has in a lane of that session; false: it
 * would be below 0. */
static bool full_seq(
	const struct link_seq *lane, uint32_t session_id, uint32_t number, uint64_t *seq)
{
	uint64_t next = lane->session_id == session_id ? lane->next : 0;
	int32_t ahead = (int32_t)(number - (uint32_t)next);

	if (ahead < 0 && (uint64_t) - (int64_t)ahead > next)
		return false;
	*seq = next + (uint64_t)(int64_t)ahead;
	return true;
}

/* Decrypt into `plain`; false: it does not verify under this key. */
static bool open_with(const struct link_aead_key *key, uint8_t cipher, const uint8_t *shim,
	uint32_t blob_len, uint8_t lane, uint64_t seq, uint8_t *plain)
{
	const uint8_t *blob = shim + LINK_SHIM_BYTES;
	uint8_t tag[LINK_TAG_BYTES], nonce[NONCE_BYTES];

	make_nonce(lane, seq, nonce);
	memcpy(tag, shim + CLEAR_BYTES, 4);
	memcpy(tag + 4, blob + blob_len, LINK_SEAL_BYTES);
	if (cipher == LINK_CIPHER_AES_256_GCM)
		return crypto_aead_aes256gcm_decrypt_detached_afternm(plain, NULL, blob, blob_len,
			       tag, shim, CLEAR_BYTES, nonce,
			       (const crypto_aead_aes256gcm_state *)(const void *)key->state) == 0;
	return crypto_aead_chacha20poly1305_ietf_decrypt_detached(
		       plain, NULL, blob, blob_len, tag, shim, CLEAR_BYTES, nonce, key->state) == 0;
}

bool link_open(const struct link_path *path, const struct link_seq *lane, uint8_t *shim,
	uint32_t len, uint64_t now_ns, uint32_t *session_id)
{
	/* Not in place: libsodium wipes what does not verify, and another key may be tried. */
	uint8_t plain[LINK_SEALED_MAX];
	const struct {
		const struct link_aead_key *key;
		uint32_t session_id;
		bool valid;
	} tries[] = {
		{&path->rx_aead, path->session_id, true},
		{&path->rx_aead_old, path->session_id_old, now_ns < path->rx_key_old_until_ns},
		{&path->rx_aead_next, path->session_id_next, path->session_id_next != 0},
	};
	struct link_shim s;

	if (len < LINK_SHIM_BYTES + LINK_SEAL_BYTES || len > LINK_SEALED_MAX)
		return false;

	uint32_t blob_len = len - LINK_SHIM_BYTES - LINK_SEAL_BYTES;

	link_shim_read(shim, &s);
	for (unsigned i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		uint64_t seq;

		if (!tries[i].valid || !full_seq(lane, tries[i].session_id, s.seq, &seq) ||
			!open_with(tries[i].key, path->cipher, shim, blob_len, s.lane, seq, plain))
			continue;
		memcpy(shim + LINK_SHIM_BYTES, plain, blob_len);
		*session_id = tries[i].session_id;
		return true;
	}
	return false;
}
