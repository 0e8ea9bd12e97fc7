/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What encryption costs: cycles a packet to seal and to open a link frame, beside libsodium's own
 * call on the same bytes in the same run. Run it by hand:
 *
 *     build/tests/bench/aead_bench
 */
#include <stdio.h>

#include <rte_cycles.h>
#include <sodium.h>

#include "controlplane/channel/counters.h"
#include "tests/unit/link/frames.h"

#define PACKETS 64
#define PASSES 301

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Median over the passes of the cycles that one packet takes. */
#define MEASURE(cycles, ...)                                                                       \
	do {                                                                                       \
		static uint64_t sample[PASSES];                                                    \
		for (int pass = 0; pass < PASSES; pass++) {                                        \
			uint64_t begin = rte_rdtsc_precise();                                      \
			for (int i = 0; i < PACKETS; i++) {                                        \
				__VA_ARGS__;                                                       \
			}                                                                          \
			sample[pass] = rte_rdtsc_precise() - begin;                                \
		}                                                                                  \
		qsort(sample, PASSES, sizeof(sample[0]), by_value);                                \
		cycles = (double)sample[PASSES / 2] / PACKETS;                                     \
	} while (0)

static uint8_t frame[PACKETS][LINK_SHIM_BYTES + 2048], sealed[PACKETS][LINK_SHIM_BYTES + 2048];
static struct link_path path;
static struct link_seq lane;

static void one(uint8_t cipher, uint32_t len)
{
	static const uint8_t key[LINK_AEAD_KEY_BYTES] = {1};
	double plain_seal, plain_open, seal, open, copy;
	uint8_t nonce[12] = {0}, tag[PACKETS][16];
	static uint8_t out[2048];
	uint64_t seq = 0;

	path.cipher = cipher;
	path.session_id = 1;
	link_aead_key_set(&path.tx_aead, cipher, key);
	path.rx_aead = path.tx_aead;
	const crypto_aead_aes256gcm_state *aes = (const void *)path.tx_aead.state;
#define SHIM(i) frame[i], 12
#define BLOB(i) frame[i] + LINK_SHIM_BYTES
	if (cipher == LINK_CIPHER_AES_256_GCM) {
		MEASURE(plain_seal, nonce[4]++; crypto_aead_aes256gcm_encrypt_detached_afternm(
			BLOB(i), tag[i], NULL, BLOB(i), len, SHIM(i), NULL, nonce, aes));
		for (int i = 0; i < PACKETS; i++)
			crypto_aead_aes256gcm_encrypt_detached_afternm(
				BLOB(i), tag[i], NULL, BLOB(i), len, SHIM(i), NULL, nonce, aes);
		MEASURE(plain_open,
			if (crypto_aead_aes256gcm_decrypt_detached_afternm(out, NULL, BLOB(i), len,
				    tag[i], SHIM(i), nonce, aes) != 0) abort());
	} else {
		MEASURE(plain_seal, nonce[4]++; crypto_aead_chacha20poly1305_ietf_encrypt_detached(
			BLOB(i), tag[i], NULL, BLOB(i), len, SHIM(i), NULL, nonce, key));
		for (int i = 0; i < PACKETS; i++)
			crypto_aead_chacha20poly1305_ietf_encrypt_detached(
				BLOB(i), tag[i], NULL, BLOB(i), len, SHIM(i), NULL, nonce, key);
		MEASURE(plain_open,
			if (crypto_aead_chacha20poly1305_ietf_decrypt_detached(out, NULL, BLOB(i),
				    len, tag[i], SHIM(i), nonce, key) != 0) abort());
	}
	MEASURE(seal, link_seal(&path, seq++, frame[i], len));
	for (int i = 0; i < PACKETS; i++) {
		const struct link_shim s = {
			.version = LINK_VERSION, .original_len = (uint16_t)len, .seq = (uint32_t)i};

		link_shim_write(sealed[i], &s);
		memcpy(sealed[i] + LINK_SHIM_BYTES, BLOB(i), len);
		link_seal(&path, (uint64_t)i, sealed[i], len);
	}
	/* It opens in place: a fresh copy each time, whose time is taken off. */
	uint32_t whole = LINK_SHIM_BYTES + len + LINK_SEAL_BYTES, session_id;

	MEASURE(copy, memcpy(frame[i], sealed[i], whole));
	MEASURE(open, memcpy(frame[i], sealed[i], whole);
		if (!link_open(&path, &lane, frame[i], whole, 1000, &session_id)) abort());
	open -= copy;
	printf("%-18s %5u %9.0f %9.0f %6.2f %9.0f %9.0f %6.2f\n", link_cipher_name(cipher), len,
		plain_seal, seal, seal / plain_seal, plain_open, open, open / plain_open);
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	lane.session_id = 1;
	printf("TSC cycles a packet, medians; ratio to libsodium's own\n"
	       "cipher             bytes   encrypt link_seal  ratio   decrypt link_open  ratio\n");
	for (uint8_t cipher = 1; cipher < LINK_CIPHERS; cipher++) {
		if (!link_cipher_works(cipher)) {
			printf("%s: not on this CPU\n", link_cipher_name(cipher));
			continue;
		}
		for (unsigned l = 0; l < 3; l++)
			one(cipher, (const uint32_t[]){64, 512, 1400}[l]);
	}
	return 0;
}
