/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The peer session (session.h): two nonce pairs, `current` that is the session and `next` that is
 * held ready, each with its own hellos; a few timers; and what follows from a received hello.
 */
#include "dataplane/link/session.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "dataplane/link/session_keys.h"

#define PATH_MTU_MIN 576 /* every IPv4 path carries this (RFC 791); less is a typing error */

static const uint8_t no_nonce[LINK_NONCE_BYTES];

static bool nonce_equal(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, LINK_NONCE_BYTES) == 0;
}

static void set_error(struct link_session *s, const char *text)
{
	snprintf(s->error, sizeof(s->error), "%s", text);
}

static void random_sodium(void *arg, uint8_t *out, size_t len)
{
	randombytes_buf(out, len);
}

/* A fresh `next`: calls at once. */
static void hold_ready(struct link_session *s, uint64_t now_ns)
{
	memset(&s->next, 0, sizeof(s->next));
	s->random(s->random_arg, s->next.own, LINK_NONCE_BYTES);
	s->next.own[0] |= 1; /* all zeros means none */
	s->session_id_next = 0;
	sodium_memzero(&s->rx_aead_next, sizeof(s->rx_aead_next));
	if (s->cipher != LINK_CIPHER_NONE) {
		s->random(s->random_arg, s->next.secret, sizeof(s->next.secret));
		crypto_scalarmult_base(s->next.exchange, s->next.secret);
	}
	s->next.next_tx_ns = now_ns;
}

int link_session_init(
	struct link_session *s, const struct link_session_config *config, uint64_t now_ns)
{
	static const char hello_label[] = "sluice link hello", check_label[] = "sluice link check",
			  aead_label[] = "sluice link encryption";
	/* Also above an id whose session never began here: the lanes may have heard of it. */
	uint32_t session_id = s->ids_given > s->session_id ? s->ids_given : s->session_id;
	uint8_t master[32];

	if (config->key == NULL || config->key_len < 1 || config->key_len > 128 ||
		config->workers < 1 || config->workers > LINK_WORKERS_MAX ||
		config->path_mtu < PATH_MTU_MIN || config->boot_id == 0 ||
		config->cipher >= LINK_CIPHERS)
		return -EINVAL;
	if (sodium_init() < 0)
		return -EIO;
	if (!link_cipher_works(config->cipher))
		return -ENOTSUP;

	sodium_memzero(s, sizeof(*s));
	s->base_id = s->session_id = s->ids_given = session_id;
	s->cipher = config->cipher;
	s->path_mtu = config->path_mtu;
	s->workers = config->workers;
	s->routed = config->routed;
	s->transparent = config->transparent;
	s->store_slots = config->store_slots;
	s->dictionaries = config->dictionaries;
	s->boot_id = config->boot_id;
	s->random = config->random != NULL ? config->random : random_sodium;
	s->random_arg = config->random_arg;

	/* One key for each purpose: what one of them leaks says nothing about another. */
	crypto_generichash(master, sizeof(master), config->key, config->key_len, NULL, 0);
	crypto_generichash(s->hello_key, sizeof(s->hello_key), (const uint8_t *)hello_label,
		sizeof(hello_label) - 1, master, sizeof(master));
	crypto_generichash(s->check_key, sizeof(s->check_key), (const uint8_t *)check_label,
		sizeof(check_label) - 1, master, sizeof(master));
	crypto_generichash(s->aead_key, sizeof(s->aead_key), (const uint8_t *)aead_label,
		sizeof(aead_label) - 1, master, sizeof(master));
	sodium_memzero(master, sizeof(master));

	hold_ready(s, now_ns);
	set_error(s, "no hello from the peer yet");
	return 0;
}

/* Has this object had a session since link_session_init()? */
static bool has_session(const struct link_session *s)
{
	return s->session_id != s->base_id;
}

/* Let the pair's next hello go out now, but not right behind the last one. */
static void hello_soon(struct link_pair *pair, uint64_t now_ns)
{
	uint64_t at_ns = now_ns;

	if (pair->last_tx_ns != 0 && pair->last_tx_ns + LINK_HELLO_MIN_NS > now_ns)
		at_ns = pair->last_tx_ns + LINK_HELLO_MIN_NS;
	if (at_ns < pair->next_tx_ns)
		pair->next_tx_ns = at_ns;
}

/* Bring state, alive and their counts in line with what was heard. */
static void settle_state(struct link_session *s, uint64_t now_ns)
{
	bool alive = s->hears && s->peer_ready;

	if (alive && !s->alive) {
		s->ups++;
		s->up_since_ns = now_ns;
		set_error(s, "");
	} else if (!alive && s->alive) {
		s->downs++;
		set_error(s, s->hears ? "the peer does not hear us"
				      : "no hello from the peer for 800 ms");
	}
	s->alive = alive;
	if (alive)
		s->state = LINK_SESSION_UP;
	else if (s->refused_ns != 0)
		s->state = LINK_SESSION_REFUSED;
	else if (s->hears || s->next.has_peer)
		s->state = LINK_SESSION_OPENING;
	else
		s->state = LINK_SESSION_DOWN;
}

/* Write the hello of a pair. */
static int say_hello(
	struct link_session *s, struct link_pair *pair, uint64_t now_ns, uint8_t *out, size_t room)
{
	bool is_current = pair == &s->current;
	struct link_hello hello = {
		.seq = pair->tx_seq,
		.sent = link_timestamp(now_ns),
		.version = LINK_HELLO_VERSION,
		.flags = (uint8_t)(LINK_HELLO_PACKS | (s->routed ? LINK_HELLO_ROUTED : 0) |
				   (s->transparent ? LINK_HELLO_TRANSPARENT : 0)),
		.workers = s->workers,
		.codecs = (uint8_t)(LINK_CODECS | (s->store_slots > 0 ? LINK_CODECS_STORE : 0)),
		.path_mtu = s->path_mtu,
		.store_slots = s->store_slots,
		.refusal = s->refusal,
		.cipher = s->cipher,
		.boot_id = s->boot_id,
		.clock_ns = now_ns,
	};
	struct link_seq_counts hellos;
	int len;

	for (unsigned id = 1; id < DICTIONARY_IDS; id++) {
		const struct dictionary *d = dictionaries_find(s->dictionaries, (uint8_t)id);

		if (d != NULL)
			hello.dictionary[hello.dictionary_count++] =
				(struct link_hello_dictionary){d->id, d->hash};
	}

	memcpy(hello.nonce, pair->own, LINK_NONCE_BYTES);
	memcpy(hello.exchange, pair->exchange, LINK_EXCHANGE_BYTES);
	if (pair->has_peer) {
		memcpy(hello.echo, pair->peer, LINK_NONCE_BYTES);
		hello.echo_clock_ns = pair->heard_clock_ns;
		hello.echo_delay_ns = now_ns - pair->heard_ns;
	}
	if (is_current) {
		unsigned lane = s->announce_from;

		if (s->hears)
			hello.flags |= LINK_HELLO_READY;
		link_seq_read(&s->control, NULL, now_ns, &hellos);
		hello.received = s->report;
		hello.classes = s->report_classes;
		link_seq_counts_add(&hello.received, &hellos);
		for (unsigned i = 0; i < LINK_LANES && hello.announced < LINK_ANNOUNCE_MAX;
			i++, lane = (lane + 1) % LINK_LANES) {
			if (s->lane_next[lane] == 0)
				continue;
			hello.announce[hello.announced].lane = (uint8_t)lane;
			hello.announce[hello.announced++].next = s->lane_next[lane];
		}
		s->announce_from = lane;
	} else if (s->session_id_next != 0) {
		hello.flags |= LINK_HELLO_READY;
	}
	len = link_hello_write(&hello, s->hello_key, out, room);
	if (len > 0) {
		pair->tx_seq++;
		pair->last_tx_ns = now_ns;
		pair->next_tx_ns = now_ns + LINK_HELLO_NS;
		s->hellos_sent++;
	}
	return len;
}

/* Ask the peer for a session with new keys. */
static void call_anew(struct link_session *s, uint64_t now_ns)
{
	memcpy(s->next.peer, s->current.peer, LINK_NONCE_BYTES);
	s->next.has_peer = true;
	s->next.heard_ns = s->current.heard_ns;
	s->next.heard_clock_ns = s->current.heard_clock_ns;
	hello_soon(&s->next, now_ns);
}

int link_session_tick(struct link_session *s, uint64_t now_ns, uint8_t *out, size_t room)
{
	if (s->hears && now_ns - s->current.heard_ns >= LINK_DEAD_NS) {
		s->hears = false;
		hello_soon(&s->current, now_ns);
	}
	if (s->next.has_peer && now_ns - s->next.heard_ns >= LINK_DEAD_NS)
		s->next.has_peer = false;
	/* The peer may have begun the session and count us as alive for as long again. Then its
	 * keys are void for good: what they have opened must not be taken again as another
	 * session's. */
	if (s->session_id_next != 0 &&
		now_ns - s->next.heard_ns >= 2 * LINK_DEAD_NS + LINK_KEY_OVERLAP_NS)
		hold_ready(s, now_ns);
	if (now_ns >= s->rx_key_old_until_ns)
		sodium_memzero(&s->rx_aead_old, sizeof(s->rx_aead_old));
	if (s->cipher != LINK_CIPHER_NONE && s->alive && !s->next.has_peer &&
		now_ns - s->begun_ns >= LINK_REKEY_NS)
		call_anew(s, now_ns);
	if (s->refused_ns != 0 && now_ns - s->refused_ns >= LINK_DEAD_NS) {
		s->refused_ns = 0;
		s->refusal = LINK_REFUSAL_NONE;
	}
	settle_state(s, now_ns);

	if (room < LINK_MESSAGE_MAX)
		return 0;
	if (has_session(s) && now_ns >= s->current.next_tx_ns)
		return say_hello(s, &s->current, now_ns, out, room);
	if ((!has_session(s) || s->next.has_peer) && now_ns >= s->next.next_tx_ns)
		return say_hello(s, &s->next, now_ns, out, room);
	return 0;
}

uint64_t link_session_next_ns(const struct link_session *s)
{
	uint64_t at_ns = UINT64_MAX;

	if (has_session(s))
		at_ns = s->current.next_tx_ns;
	if ((!has_session(s) || s->next.has_peer) && s->next.next_tx_ns < at_ns)
		at_ns = s->next.next_tx_ns;
	if (s->hears && s->current.heard_ns + LINK_DEAD_NS < at_ns)
		at_ns = s->current.heard_ns + LINK_DEAD_NS;
	return at_ns;
}

/* Can we work with what the peer says of itself? */
static enum link_refusal judge(const struct link_session *s, const struct link_hello *h)
{
	if (((h->flags & LINK_HELLO_ROUTED) != 0) != s->routed)
		return LINK_REFUSAL_PATH;
	if ((h->codecs & LINK_CODECS & ~(1u << LINK_CODEC_RAW)) == 0)
		return LINK_REFUSAL_CODECS;
	if (h->workers < 1 || h->workers > LINK_WORKERS_MAX)
		return LINK_REFUSAL_WORKERS;
	if (h->path_mtu < PATH_MTU_MIN)
		return LINK_REFUSAL_MTU;
	if (h->cipher != s->cipher)
		return LINK_REFUSAL_CIPHER;
	return LINK_REFUSAL_NONE;
}

/* The peer cannot be worked with. While a session is up, such a hello is old, or tells of a peer
 * that is about to be silent: it changes nothing, and our own hellos say nothing of it. */
static int refuse(struct link_session *s, const struct link_hello *h, enum link_refusal refusal,
	uint64_t now_ns)
{
	static const char *const theirs[] = {
		[LINK_REFUSAL_VERSION] = "the link versions differ",
		[LINK_REFUSAL_PATH] = "one end has path = routed, the other bridged",
		[LINK_REFUSAL_CODECS] = "no codec in common",
		[LINK_REFUSAL_WORKERS] = "number of workers out of range",
		[LINK_REFUSAL_MTU] = "path MTU too small",
		[LINK_REFUSAL_CIPHER] = "the ends have different settings for encryption",
	};

	s->hellos_refused++;
	if (s->alive)
		return -EPROTO;
	s->refused_ns = now_ns;
	s->refusal = refusal;
	switch (refusal) {
	case LINK_REFUSAL_NONE:
		snprintf(s->error, sizeof(s->error), "the peer refuses us: %s",
			h->refusal < sizeof(theirs) / sizeof(theirs[0])
				? theirs[h->refusal]
				: "for a reason that this version does not know");
		break;
	case LINK_REFUSAL_VERSION:
		snprintf(s->error, sizeof(s->error),
			"the peer's hello has version %u, ours %u: update the older end",
			h->version, LINK_HELLO_VERSION);
		break;
	case LINK_REFUSAL_PATH:
		snprintf(s->error, sizeof(s->error),
			"the peer's path is %s, ours %s: set the same at both ends",
			s->routed ? "bridged" : "routed", s->routed ? "routed" : "bridged");
		break;
	case LINK_REFUSAL_CODECS:
		snprintf(s->error, sizeof(s->error),
			"no codec in common: the peer understands 0x%02x, we 0x%02x", h->codecs,
			LINK_CODECS);
		break;
	case LINK_REFUSAL_WORKERS:
		snprintf(s->error, sizeof(s->error),
			"the peer has %u workers, 1 to %u can be addressed", h->workers,
			LINK_WORKERS_MAX);
		break;
	case LINK_REFUSAL_MTU:
		snprintf(s->error, sizeof(s->error),
			"the peer's path MTU is %u, at least %u is needed", h->path_mtu,
			PATH_MTU_MIN);
		break;
	case LINK_REFUSAL_CIPHER:
		snprintf(s->error, sizeof(s->error),
			"the peer's encryption is %s, ours %s: set the same at both ends",
			link_cipher_name(h->cipher), link_cipher_name(s->cipher));
		break;
	}
	hello_soon(has_session(s) ? &s->current : &s->next, now_ns);
	settle_state(s, now_ns);
	return -EPROTO;
}

/* `next` has this caller. */
static void called_by(struct link_session *s, const struct link_hello *h, uint64_t now_ns)
{
	memcpy(s->next.peer, h->nonce, LINK_NONCE_BYTES);
	s->next.has_peer = true;
	s->next.heard_ns = now_ns;
	s->next.heard_clock_ns = h->clock_ns;
}

static bool same_key(const struct link_aead_key *a, const struct link_aead_key *b)
{
	return sodium_memcmp(a, b, sizeof(*a)) == 0;
}

/* `next`, with the nonce of this hello and these keys, becomes the session. */
static void begin_session(struct link_session *s, const struct link_hello *h,
	const struct link_aead_key *tx, const struct link_aead_key *rx, uint64_t now_ns)
{
	bool is_ready = s->session_id_next != 0 && same_key(rx, &s->rx_aead_next);

	if (has_session(s)) {
		s->rx_key_old = s->rx_key;
		s->rx_cpi_old = s->rx_cpi;
		s->rx_aead_old = s->rx_aead;
		s->session_id_old = s->session_id;
		s->rx_key_old_until_ns = now_ns + LINK_KEY_OVERLAP_NS;
	}
	s->tx_aead = *tx;
	s->rx_aead = *rx;
	s->current = s->next;
	sodium_memzero(s->current.secret, sizeof(s->current.secret));
	memcpy(s->current.peer, h->nonce, LINK_NONCE_BYTES);
	s->current.has_peer = true;
	/* The peer may only send once it hears us say that we hear it, with this pair: our next
	 * hello is one that is said at once. There is one for each new session, so no more. */
	s->current.last_tx_ns = 0;
	s->hears = false;
	s->tx_key = link_session_check_key(s, s->current.own, s->current.peer);
	s->rx_key = link_session_check_key(s, s->current.peer, s->current.own);
	s->tx_cpi = link_session_cpi(s, s->current.own, s->current.peer);
	s->rx_cpi = link_session_cpi(s, s->current.peer, s->current.own);
	s->session_id = is_ready ? s->session_id_next : ++s->ids_given;
	if (h->boot_id != s->peer.boot_id)
		s->session_id_first = s->session_id;
	s->begun_ns = now_ns;
	/* Hellos count from this one on: the peer may have called for days before. */
	link_seq_start(&s->control, s->session_id, h->seq);
	s->peer_ready = false;
	s->rtt_ns = s->rtt_min_ns = 0;
	memset(&s->offset, 0, sizeof(s->offset));
	s->refused_ns = 0;
	s->refusal = LINK_REFUSAL_NONE;
	s->announce_from = 0;
	memset(s->lane_next, 0, sizeof(s->lane_next));
	memset(&s->report_classes, 0, sizeof(s->report_classes));
	hold_ready(s, now_ns);
}

/* A new hello of the session. */
static void take(struct link_session *s, const struct link_hello *h, uint64_t now_ns)
{
	bool was_heard = s->hears, was_alive = s->alive;

	s->peer = *h;
	s->hears = true;
	s->peer_ready = (h->flags & LINK_HELLO_READY) != 0;
	s->current.heard_ns = now_ns;
	s->current.heard_clock_ns = h->clock_ns;
	if (h->echo_clock_ns != 0 && h->echo_clock_ns <= now_ns &&
		h->echo_delay_ns <= now_ns - h->echo_clock_ns) {
		s->rtt_ns = now_ns - h->echo_clock_ns - h->echo_delay_ns;
		if (s->rtt_min_ns == 0 || s->rtt_ns < s->rtt_min_ns)
			s->rtt_min_ns = s->rtt_ns;
		link_offset_add(&s->offset, h->echo_clock_ns, h->clock_ns - h->echo_delay_ns,
			h->clock_ns, now_ns);
	}
	if (!s->peer_ready && !was_alive)
		set_error(s, "we hear the peer, it does not hear us yet");
	settle_state(s, now_ns);
	/* The peer waits for our READY. */
	if (!was_heard || !s->peer_ready)
		hello_soon(&s->current, now_ns);
}

/*
 * The peer answers the nonce that we hold ready. If it is the one that the session is with, keys
 * change without a gap: as long as it cannot receive with the new ones, we only can.
 */
static int answered(struct link_session *s, const struct link_hello *h, uint64_t now_ns)
{
	bool is_same = s->cipher != LINK_CIPHER_NONE && s->alive && h->boot_id == s->peer.boot_id;
	struct link_aead_key tx = {0}, rx = {0};

	if (s->cipher != LINK_CIPHER_NONE && !link_session_agree(s, h, &tx, &rx)) {
		s->hellos_refused++;
		return -EBADMSG;
	}
	if (is_same && !(h->flags & LINK_HELLO_READY)) {
		if (s->session_id_next == 0 || !same_key(&rx, &s->rx_aead_next))
			s->session_id_next = ++s->ids_given;
		s->rx_aead_next = rx;
		called_by(s, h, now_ns);
		hello_soon(&s->next, now_ns);
	} else {
		begin_session(s, h, &tx, &rx, now_ns);
		link_seq_accept(&s->control, h->seq, h->sent, now_ns, NULL);
		take(s, h, now_ns);
	}
	sodium_memzero(&tx, sizeof(tx));
	sodium_memzero(&rx, sizeof(rx));
	return 0;
}

int link_session_receive(struct link_session *s, const uint8_t *msg, size_t len, uint64_t now_ns)
{
	enum link_refusal refusal;
	struct link_hello h;
	int rc = link_hello_read(msg, len, s->hello_key, &h);
	bool is_answer;

	s->hellos_received++;
	if (rc == -EPROTO)
		return refuse(s, &h, LINK_REFUSAL_VERSION, now_ns);
	if (rc != 0) {
		s->hellos_refused++;
		if (rc == -EACCES && !s->hears)
			set_error(s, "a hello came that our key does not verify: the keys differ");
		return rc;
	}

	is_answer = nonce_equal(h.echo, s->next.own);
	if (has_session(s) && nonce_equal(h.nonce, s->current.peer)) {
		bool is_newest = (int32_t)(h.seq - (uint32_t)s->control.next) >= 0;

		/* Another echo: from before the session, when the peer did not know our nonce. It
		 * still has its place among the peer's hellos. */
		if (link_seq_accept(&s->control, h.seq, h.sent, now_ns, NULL) != 0 || !is_newest ||
			!nonce_equal(h.echo, s->current.own)) {
			s->hellos_refused++;
			return -EALREADY;
		}
		take(s, &h, now_ns);
		return 0;
	}
	/* Our own words come back. Or an answer to a nonce that is not ours: a recording, or meant
	 * for who we were before a restart. Only an end that hears nobody follows that up;
	 * otherwise a replay to one end would make it call the other, and both change their keys
	 * for nothing. */
	if (nonce_equal(h.nonce, no_nonce) || nonce_equal(h.nonce, s->next.own) ||
		(has_session(s) && nonce_equal(h.nonce, s->current.own)) ||
		(s->hears && !is_answer && !nonce_equal(h.echo, no_nonce) &&
			!nonce_equal(h.echo, s->current.own))) {
		s->hellos_refused++;
		return -EALREADY;
	}
	refusal = judge(s, &h);
	if (refusal != LINK_REFUSAL_NONE || h.refusal != LINK_REFUSAL_NONE)
		return refuse(s, &h, refusal, now_ns);
	if (is_answer)
		return answered(s, &h, now_ns);
	/* Restarted, or a replay: call it and see. */
	s->refused_ns = 0;
	s->refusal = LINK_REFUSAL_NONE;
	if (!s->next.has_peer || !nonce_equal(h.nonce, s->next.peer))
		hello_soon(&s->next, now_ns);
	called_by(s, &h, now_ns);
	settle_state(s, now_ns);
	return 0;
}

void link_session_report(struct link_session *s, const uint32_t next[LINK_LANES],
	const struct link_seq_counts *received, const struct link_hello_classes *classes)
{
	memcpy(s->lane_next, next, sizeof(s->lane_next));
	s->report = *received;
	s->report_classes = *classes;
}

static_assert(LINK_DICTIONARIES_MAX >= DICTIONARY_IDS - 1, "a hello names them all");

/* The dictionaries that both ends have the same bytes of, a bit each id. */
static uint16_t common_dictionaries(const struct link_session *s)
{
	uint16_t ids = 0;

	for (unsigned i = 0; i < s->peer.dictionary_count; i++) {
		const struct dictionary *d =
			dictionaries_find(s->dictionaries, s->peer.dictionary[i].id);

		if (d != NULL && d->hash == s->peer.dictionary[i].hash)
			ids |= (uint16_t)(1u << d->id);
	}
	return ids;
}

void link_session_fill_path(const struct link_session *s, struct link_path *path)
{
	path->session_id = has_session(s) ? s->session_id : 0;
	path->alive = s->alive;
	path->cipher = s->cipher;
	path->session_id_old = s->session_id_old;
	path->session_id_next = s->session_id_next;
	path->session_id_first = s->session_id_first;
	path->tx_aead = s->tx_aead;
	path->rx_aead = s->rx_aead;
	path->rx_aead_old = s->rx_aead_old;
	path->rx_aead_next = s->rx_aead_next;
	path->tx_key = s->tx_key;
	path->rx_key = s->rx_key;
	path->rx_key_old = s->rx_key_old;
	path->rx_key_old_until_ns = s->rx_key_old_until_ns;
	path->tx_cpi = s->tx_cpi;
	path->rx_cpi = s->rx_cpi;
	path->rx_cpi_old = s->rx_cpi_old;
	path->transparent_rx = s->transparent;
	path->transparent =
		s->transparent && has_session(s) && s->peer.flags & LINK_HELLO_TRANSPARENT;
	path->peer_workers = has_session(s) ? s->peer.workers : 1;
	path->codecs = has_session(s) ? s->peer.codecs & LINK_CODECS : 0;
	path->dictionaries = has_session(s) ? common_dictionaries(s) : 0;
	path->packs = has_session(s) && s->peer.flags & LINK_HELLO_PACKS;
	path->store_slots = 0;
	if (has_session(s) && s->store_slots > 0 && s->peer.codecs >> LINK_CODEC_STORE & 1)
		path->store_slots = s->peer.store_slots;
	if (path->store_slots > 0)
		path->codecs |= s->peer.codecs & LINK_CODECS_STORE;
	path->path_mtu = s->path_mtu;
	if (has_session(s) && s->peer.path_mtu < s->path_mtu)
		path->path_mtu = s->peer.path_mtu;
}
