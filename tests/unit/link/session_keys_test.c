/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The encryption keys of sessions (world.h): how they are derived, that both ends have the same
 * ones at all times, that they change without a gap and cannot be made to come again.
 */
#include <errno.h>

#include "tests/unit/link/world.h"

/* Each call a block of one byte: 11, 12, .. of end 0, 21, 22, .. of end 1. */
static void count_up(void *arg, uint8_t *out, size_t len)
{
	uint8_t *next = arg;

	memset(out, (*next)++, len);
}

/*
 * By Python's hashlib and cryptography, from aead.h: with b(text, key) BLAKE2b-256,
 * b(nonce[i] + nonce[1 - i] + b"\2" + X25519(secret[0], public[1]),
 *   b(b"sluice link encryption", b(psk)))
 */
static void test_derivation(void)
{
	static const char *const sends[] = {
		"\xe4\x4e\x5b\x1c\x0e\x92\xe0\x58\xcc\xb8\x7a\xa9\x5f\x3f\xf4\xea"
		"\x13\x52\x0b\x76\x02\xe2\xb6\x75\x2b\x2b\x8f\xf3\xc5\x0d\x73\xa9",
		"\x04\x58\x35\x9e\xc1\x4a\xe8\x09\xe5\x11\x9e\xe8\x7e\x27\x87\x67"
		"\x74\x0f\x39\x9a\xe4\xab\xb9\x83\x39\x08\xee\x6d\x17\x1b\xfd\x25",
	};
	uint8_t next[2] = {0x11, 0x21};

	world_cipher = LINK_CIPHER_CHACHA20_POLY1305;
	set_up(1);
	for (int i = 0; i < 2; i++) {
		w.end[i].config.random = count_up;
		w.end[i].config.random_arg = &next[i];
		boot(i);
	}
	run(w.now_ns + SECOND);
	CU_ASSERT_FATAL(both_up());
	for (int i = 0; i < 2; i++) {
		const struct link_session *s = &w.end[i].s;

		CU_ASSERT(memcmp(s->tx_aead.state, sends[i], 32) == 0);
		CU_ASSERT(memcmp(s->rx_aead.state, sends[!i], 32) == 0);
		/* What is not needed any more is not there any more. */
		for (unsigned k = 0; k < LINK_EXCHANGE_BYTES; k++)
			CU_ASSERT_EQUAL(s->current.secret[k], 0);
	}
}

static void test_both_ciphers(void)
{
	for (uint8_t cipher = 1; cipher < LINK_CIPHERS; cipher++) {
		struct link_path path = {0};
		struct link_aead_key first;

		world_cipher = cipher;
		start(1);
		link_session_fill_path(&w.end[0].s, &path);
		CU_ASSERT(path.cipher == cipher && path.alive);
		CU_ASSERT(same(&w.end[0].s.tx_aead, &w.end[1].s.rx_aead));
		CU_ASSERT(same(&w.end[1].s.tx_aead, &w.end[0].s.rx_aead));
		first = w.end[0].s.tx_aead;
		/* Nothing is constant. */
		start(2);
		CU_ASSERT(!same(&first, &w.end[0].s.tx_aead));
		first = w.end[0].s.tx_aead;
		boot(1);
		run(w.now_ns + SECOND);
		CU_ASSERT(both_up() && agree() && !same(&first, &w.end[0].s.tx_aead));
	}
}

/* The ends want different things: both say so, nothing comes up; and up it comes when they agree.
 */
static void test_mismatch(void)
{
	world_cipher = LINK_CIPHER_NONE;
	set_up(1);
	w.end[0].config.cipher = LINK_CIPHER_AES_256_GCM;
	boot(0);
	boot(1);
	run(w.now_ns + 3 * SECOND);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(w.end[i].s.state, LINK_SESSION_REFUSED);
		CU_ASSERT_EQUAL(w.end[i].s.session_id, 0);
		CU_ASSERT(strstr(w.end[i].s.error, "encryption") != NULL);
	}
	w.end[1].config.cipher = LINK_CIPHER_AES_256_GCM;
	boot(1);
	run(w.now_ns + 2 * SECOND);
	CU_ASSERT(both_up() && agree());
	/* One end is restarted without: the other one is not talked down. */
	w.end[1].config.cipher = LINK_CIPHER_NONE;
	boot(1);
	run(w.now_ns + 3 * SECOND);
	CU_ASSERT(!both_up() && w.end[0].s.cipher == LINK_CIPHER_AES_256_GCM);
	CU_ASSERT_EQUAL(w.end[0].s.state, LINK_SESSION_REFUSED);

	struct link_session_config c = w.end[0].config;
	struct link_session s = {0};

	c.cipher = LINK_CIPHERS;
	CU_ASSERT_EQUAL(link_session_init(&s, &c, w.now_ns), -EINVAL);
}

/* The wrong pre-shared key: no session; the right one: it comes by itself. */
static void test_wrong_key(void)
{
	const uint8_t *key;

	world_cipher = LINK_CIPHER_CHACHA20_POLY1305;
	start(1);
	key = w.end[1].config.key;
	w.end[1].config.key = (const uint8_t *)"correct horse battery stapel";
	boot(1);
	run(w.now_ns + 3 * SECOND);
	CU_ASSERT(!w.end[0].s.alive && !w.end[1].s.alive);
	w.end[1].config.key = key;
	boot(1);
	uint64_t begin = w.now_ns;
	run(w.now_ns + 2 * SECOND);
	CU_ASSERT(both_up() && agree() && w.agreed_ns - begin < SECOND);
}

/* After a day the keys change, on channels good and bad, and no end is ever not understood:
 * check_keys() looks after every event. */
static void test_rekey(void)
{
	world_cipher = LINK_CIPHER_CHACHA20_POLY1305;
	for (uint64_t phase = 0; phase < 120; phase++) {
		struct link_aead_key keys[2];
		uint32_t ids[2];

		start(phase);
		for (int i = 0; i < 2; i++) {
			w.delay_ns[i] = (5 + phase % 9 * 10) * MS;
			w.jitter_ns[i] = phase % 3 * 30 * MS;
			w.loss[i] = phase % 4 == 3 ? 0.1 : 0;
			w.dup[i] = phase % 5 == 4 ? 0.2 : 0;
		}
		run(w.now_ns + SECOND + phase * 7 * MS);
		CU_ASSERT_FATAL(both_up());
		for (int i = 0; i < 2; i++) {
			keys[i] = w.end[i].s.tx_aead;
			ids[i] = w.end[i].s.session_id;
			/* Both at once, or one alone. */
			if (phase % 3 == 2 || phase % 3 == (uint64_t)i)
				w.end[i].s.begun_ns -= LINK_REKEY_NS;
			CU_ASSERT_EQUAL(w.end[i].s.session_id_first, 1);
		}
		run(w.now_ns + 3 * SECOND);
		CU_ASSERT(both_up() && agree());
		for (int i = 0; i < 2; i++) {
			const struct link_session *s = &w.end[i].s;

			CU_ASSERT(!same(&keys[i], &s->tx_aead));
			CU_ASSERT(same(&s->tx_aead, &w.end[!i].s.rx_aead));
			CU_ASSERT(s->session_id > ids[i]);
			CU_ASSERT_EQUAL(s->session_id_first, 1);
			/* Not for a moment. */
			CU_ASSERT_EQUAL(s->downs, 0);
			CU_ASSERT_EQUAL(s->ups, 1);
			if (w.loss[i] == 0 && w.loss[!i] == 0)
				CU_ASSERT_EQUAL(s->session_id, ids[i] + 1);
		}
		/* The old keys are forgotten. */
		run(w.now_ns + LINK_KEY_OVERLAP_NS);
		for (int i = 0; i < 2; i++)
			for (unsigned k = 0; k < sizeof(keys[i].state); k++)
				CU_ASSERT_EQUAL(w.end[i].s.rx_aead_old.state[k], 0);
	}
}

/* The peer vanishes while keys are being agreed, and comes back. Keys that were only ready never
 * become those of a session: frames taken under them could come again. */
static void test_abandoned(void)
{
	world_cipher = LINK_CIPHER_CHACHA20_POLY1305;
	for (uint64_t phase = 0; phase < 60; phase++) {
		struct link_aead_key ready = {0};
		uint32_t id = 0;

		start(phase);
		run(w.now_ns + SECOND);
		w.end[0].s.begun_ns -= LINK_REKEY_NS;
		for (uint64_t t = 0; t < phase * 5; t++) {
			run(w.now_ns + MS);
			if (w.end[0].s.session_id_next != 0) {
				ready = w.end[0].s.rx_aead_next;
				id = w.end[0].s.session_id_next;
			}
		}
		bool was_only_ready = w.end[0].s.session_id_next != 0;

		w.loss[0] = 1; /* from now on end 0 hears nothing */
		run(w.now_ns + 3 * SECOND);
		CU_ASSERT(!w.end[0].s.alive && w.end[0].s.session_id_next == 0);
		w.loss[0] = 0;
		run(w.now_ns + 2 * SECOND);
		CU_ASSERT(both_up() && agree());
		if (was_only_ready) {
			/* What was under way may still have arrived. */
			CU_ASSERT(
				same(&ready, &w.end[0].s.rx_aead) == (w.end[0].s.session_id == id));
		}
	}
}

/* Everything that was ever said, whole handshakes and changes of keys, again to both ends. */
static void test_replay(void)
{
	struct link_aead_key keys[2];
	uint32_t ids[2];

	world_cipher = LINK_CIPHER_AES_256_GCM;
	start(3);
	for (int k = 0; k < 6; k++) {
		run(w.now_ns + 2 * SECOND);
		if (k & 1)
			boot(k / 2 & 1);
		else
			w.end[k / 2 & 1].s.begun_ns -= LINK_REKEY_NS;
		run(w.now_ns + SECOND);
	}
	CU_ASSERT_FATAL(both_up() && agree());
	for (int i = 0; i < 2; i++) {
		keys[i] = w.end[i].s.tx_aead;
		ids[i] = w.end[i].s.session_id;
	}
	int recorded = w.recorded;

	CU_ASSERT(recorded > 200);
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < recorded; i++) {
			struct message m = w.record[i];

			/* In order, as if it happened again; then at random. */
			if (round > 0)
				m = w.record[data_next(&w.seed) % (uint64_t)recorded];
			put(m.to, w.now_ns, m.bytes, m.len);
			put(!m.to, w.now_ns, m.bytes, m.len);
			run(w.now_ns + 7 * MS);
			CU_ASSERT(both_up());
		}
	for (int i = 0; i < 2; i++) {
		CU_ASSERT(same(&w.end[i].s.tx_aead, &keys[i]));
		CU_ASSERT_EQUAL(w.end[i].s.session_id, ids[i]);
		CU_ASSERT_EQUAL(w.end[i].s.session_id_next, 0);
	}

	/* A fresh end is not made to believe that the recorded peer is there. */
	w.end[1].off = true;
	boot(0);
	for (int i = 0; i < recorded; i++) {
		put(w.record[i].to, w.now_ns, w.record[i].bytes, w.record[i].len);
		run(w.now_ns + 7 * MS);
		CU_ASSERT(!w.end[0].s.alive && w.end[0].s.session_id == 0);
	}
}

UNIT_TESTS("link-session-keys", {"keys are derived as documented", test_derivation},
	{"both ciphers come up, with new keys each time", test_both_ciphers},
	{"different settings are refused and said", test_mismatch},
	{"a wrong key, and the right one again", test_wrong_key},
	{"keys change without a gap", test_rekey},
	{"a change of keys that is broken off", test_abandoned},
	{"replayed handshakes change nothing", test_replay})
