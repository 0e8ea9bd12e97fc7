/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Encrypted link frames: authenticated encryption (AEAD) of what shim.h describes, by libsodium,
 * for peers whose policy asks for it. frame.c seals and opens with it, session.c derives the keys.
 *
 * Data frames of such a session, acknowledgements included, differ from shim.h in this:
 *
 *      0 12  shim up to the send time          in the clear: the additional data
 *     12  4  tag, bytes 0 to 3                 in the place of the check
 *     16  n  blob, encrypted
 *   16+n 12  tag, bytes 4 to 15
 *
 * so they are LINK_SEAL_BYTES longer. AES-256-GCM (RFC 5116, 5.2) or ChaCha20-Poly1305 (RFC 8439),
 * both with a nonce of
 *
 *      0  1  lane
 *      1  3  0
 *      4  8  sequence number of the lane, counted on beyond 2^32
 *
 * The shim carries the lower 32 bits of that number; the receiver takes the number closest to the
 * highest that it has verified in the lane, as RFC 4303, 2.2.1, does for extended sequence numbers.
 * So no nonce comes again under one key: lanes are apart by their first byte, the two directions
 * and all sessions by their keys, and 2^64 frames are not sent in a session's life. A frame that is
 * played again after 2^32 others of its lane does not verify, one before that is known (seq.h: what
 * the window has seen is refused, and so is everything older than it). AES-256-GCM under one key
 * should encrypt well below 2^48 blocks of 16 bytes (its advantage over a random function grows
 * with their square, to 2^-33 there): 41 days at 10 Gbit/s. A session lasts no longer than
 * LINK_REKEY_NS.
 *
 * Keys: X25519 (RFC 7748) of two values that both ends make for this one session and announce in
 * their signed hellos, so that who learns the pre-shared key later reads nothing that was sent
 * before. One key a direction, and none of them serves anything else:
 *
 *     BLAKE2b-256(sender's nonce | receiver's nonce | cipher | X25519 result), keyed with
 *         BLAKE2b-256("sluice link encryption"), keyed with BLAKE2b-256(pre-shared key)
 *
 * What an observer still sees: addresses, lengths, times, DSCP and ECN, class slot, codec, original
 * length and lane of each frame; hellos and probes, which are signed but not encrypted.
 *
 * Test vectors: tests/unit/link/aead_test.c.
 */
#ifndef SLUICE_LINK_AEAD_H
#define SLUICE_LINK_AEAD_H

#include <stdbool.h>
#include <stdint.h>

#define LINK_AEAD_KEY_BYTES 32
#define LINK_TAG_BYTES 16
#define LINK_SEAL_BYTES 12 /* that a sealed frame is longer: the tag, less the check */

/* What a hello says in two bits. */
enum link_cipher {
	LINK_CIPHER_NONE,
	LINK_CIPHER_AES_256_GCM,
	LINK_CIPHER_CHACHA20_POLY1305,
	LINK_CIPHERS,
};

/* A key made ready for use, whichever the cipher; AES-256-GCM fills it with its key schedule. All
 * zeros: no key. Secret: wipe it. */
struct link_aead_key {
	uint8_t state[512] __attribute__((aligned(16)));
};

struct link_path;
struct link_seq;

/* "none", "aes-256-gcm", "chacha20-poly1305"; "unknown" for other numbers. */
const char *link_cipher_name(uint8_t cipher);

/* Can this CPU do it? AES-256-GCM needs its AES and carry-less multiplication instructions.
 * sodium_init() must have been called. */
bool link_cipher_works(uint8_t cipher);

/* Make a key ready. `cipher` is not LINK_CIPHER_NONE and works here. */
void link_aead_key_set(
	struct link_aead_key *key, uint8_t cipher, const uint8_t bytes[LINK_AEAD_KEY_BYTES]);

/*
 * Encrypt the blob_len bytes behind the shim in place, write the tag over the check and behind the
 * blob, where there must be room for LINK_SEAL_BYTES. The shim is complete but for the check; `seq`
 * is its sequence number in full. path->cipher is not LINK_CIPHER_NONE. The lane's worker.
 */
void link_seal(const struct link_path *path, uint64_t seq, uint8_t *shim, uint32_t blob_len);

/*
 * Verify and decrypt, in place, a sealed frame of this lane: `len` bytes from the shim to the end,
 * at most LINK_SEALED_MAX. True: the blob stands behind the shim again, LINK_SEAL_BYTES shorter,
 * and *session_id is that of the key which verified it. False: forged, damaged, of another session
 * or played again after 2^32 frames; the bytes are as before. The lane's worker.
 */
#define LINK_SEALED_MAX 0x4800
bool link_open(const struct link_path *path, const struct link_seq *lane, uint8_t *shim,
	uint32_t len, uint64_t now_ns, uint32_t *session_id);

#endif
