/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target for the control messages of the link: link_session_receive(). The first byte chooses
 * what the rest is:
 *
 *     0  a message, as it is
 *     1  the same, signed with the right key
 *     2  as 1, of a session with encryption
 */
#include <stdlib.h>

#include <sodium.h>

#include "dataplane/link/session.h"
#include "tests/unit/link/frames.h"

#define NOW UINT64_C(1000000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct link_session fresh, fresh_cipher;

static void require(bool ok)
{
	if (!ok)
		abort();
}

/* The same nonces in every run, each another: the first is all 1. */
static uint8_t nonces = UINT8_MAX;

static void count_nonces(void *arg, uint8_t *out, size_t len)
{
	memset(out, nonces += 2, len);
}

static void set_up(void)
{
	struct link_session_config config = {.key = (const uint8_t *)"fuzz",
		.key_len = 4,
		.boot_id = 1,
		.path_mtu = 1500,
		.workers = 2,
		.random = count_nonces};

	config.dictionaries = codec_dictionaries(frames_codec());
	require(link_session_init(&fresh, &config, NOW) == 0);
	config.cipher = LINK_CIPHER_CHACHA20_POLY1305;
	nonces = UINT8_MAX;
	require(link_session_init(&fresh_cipher, &config, NOW) == 0);
}

/* What a hello says of classes, and of clocks, is believed within bounds. */
static void take_classes(const struct link_session *s, uint64_t now_ns)
{
	static struct link_class_loss loss;
	static struct link_class_rx rx;
	const struct link_class_rx *const workers[] = {&rx};
	const struct link_hello_classes *c = &s->peer.classes;
	int64_t offset_ns;
	uint64_t uncertainty_ns;

	require(c->slot < LINK_CLASS_SLOTS && strlen(c->name) < LINK_CLASS_NAME_MAX);
	link_class_announce(&loss, s->session_id, c->interval, c->sent, now_ns);
	memcpy(loss.name[c->slot], c->name, sizeof(c->name));
	link_class_settle(&loss, workers, 1, now_ns + (uint64_t)LINK_INTERVAL_SETTLE_NS);
	link_offset_get(&s->offset, now_ns, &offset_ns, &uncertainty_ns);
}

static void receive(uint8_t *msg, size_t len, const struct link_session *from, bool is_signed)
{
	struct link_session s = *from;
	uint8_t out[LINK_MESSAGE_MAX];

	nonces = 1;
	if (is_signed && len >= LINK_SIGNATURE_BYTES)
		crypto_generichash(msg + len - LINK_SIGNATURE_BYTES, LINK_SIGNATURE_BYTES, msg,
			len - LINK_SIGNATURE_BYTES, s.hello_key, sizeof(s.hello_key));
	for (uint64_t now = NOW; now < NOW + 3; now++) {
		int rc = link_session_receive(&s, msg, len, now);

		/* An honest answer is possible only to a nonce that has been said. */
		require(rc <= 0 && (is_signed || rc < 0));
		if (rc == 0)
			take_classes(&s, now);
		while ((rc = link_session_tick(&s, now, out, sizeof(out))) != 0)
			require(rc > 0 && rc <= (int)sizeof(out));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t message[4096];

	if (size < 1 || size > sizeof(message))
		return 0;
	if (fresh.dictionaries == NULL)
		set_up();
	size--;
	memcpy(message, data + 1, size);
	receive(message, size, data[0] == 2 ? &fresh_cipher : &fresh, data[0] > 0);
	return 0;
}
