/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The session with a peer: who is there, does it hold our key, what can it do, what arrived. A pure
 * state machine, run by the control thread with time as an argument; hello.h is its message,
 * frame.h wraps that message and takes the session's keys from a struct link_path.
 *
 * Every LINK_HELLO_NS each end sends a hello, signed with a key derived from the pre-shared key. A
 * session is a pair of random numbers (nonces), one of each end; the check keys, one a direction,
 * are derived from both, and so are those of encryption (aead.h). A hello names its sender's nonce
 * and repeats (echoes) the other end's:
 *
 *  - A hello of the session's pair, newer than the last, keeps the session alive.
 *  - A hello that echoes the nonce that we hold ready for the next session proves that the peer
 *    answers us now: its pair becomes the session. An old recording cannot contain that nonce, and
 * a nonce serves for one session only.
 *  - Any other properly signed hello may be a peer that has restarted, or a replay. It costs the
 *    session nothing: beside the session's hellos we send others with the nonce held ready and the
 *    newcomer's echoed. A real peer answers them and is taken. An end that hears its peer ignores
 *    echoes of nonces that it does not use.
 *
 * A session is up, and data may go through the link, while hellos arrive and say that the peer
 * hears ours (flag READY). After LINK_DEAD_NS of silence it is down, and our hello says so at once:
 * a path that fails one way stops both. When hellos come back the same session goes on, without new
 * keys. New keys come only with a restarted peer; then the receive key of the session before stays
 * valid for LINK_KEY_OVERLAP_NS, so that frames in flight are not lost.
 *
 * With encryption new keys also come every LINK_REKEY_NS, without a gap: an end that wants them
 * calls the other as above, with the nonce held ready. The end that is answered makes the new
 * receive key ready and says so (flag READY beside that nonce), and still sends with the old key;
 * the one that hears that begins the session, and its hello lets the other one begin it.
 *
 * Order matters in one place: after a call that changed session_id or alive, publish the new
 * struct link_path before the next link_session_tick(), whose hello lets the peer send with the
 * keys.
 *
 * Threads: everything here is the control thread's.
 */
#ifndef SLUICE_LINK_SESSION_H
#define SLUICE_LINK_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "dataplane/compress/dictionaries.h"
#include "dataplane/link/hello.h"
#include "dataplane/link/offset.h"
#include "dataplane/link/path.h"
#include "dataplane/link/seq.h"

#define LINK_HELLO_NS UINT64_C(150000000)
#define LINK_HELLO_MIN_NS UINT64_C(20000000) /* between hellos that are said at once */
#define LINK_DEAD_NS UINT64_C(800000000)
#define LINK_KEY_OVERLAP_NS UINT64_C(1000000000)
#define LINK_REKEY_NS UINT64_C(86400000000000)

enum link_session_state {
	LINK_SESSION_DOWN,    /* nothing heard from the peer of late */
	LINK_SESSION_OPENING, /* heard, but it does not hear us yet, or the keys are being agreed */
	LINK_SESSION_UP,
	LINK_SESSION_REFUSED, /* heard, and it cannot work with us: see error */
};

struct link_session_config {
	const uint8_t *key; /* pre-shared key; not kept */
	size_t key_len;	    /* 1 to 128 bytes */
	uint64_t boot_id;   /* of this daemon's life, for show; anything but 0 */
	uint16_t path_mtu;  /* largest outer IP packet */
	uint8_t workers;    /* 1 to LINK_WORKERS_MAX */
	bool routed;
	bool transparent;     /* transparent framing, where the peer's hello says so, too */
	uint8_t cipher;	      /* enum link_cipher */
	uint32_t store_slots; /* packets that each worker keeps of what comes; 0: no store */
	const struct dictionaries *dictionaries; /* of both ends' codecs; NULL: none; must stay */
	/* Source of nonces; NULL: libsodium's randombytes_buf(). Tests bring their own. */
	void (*random)(void *arg, uint8_t *out, size_t len);
	void *random_arg;
};

/* One end of a session: made of a nonce pair. */
struct link_pair {
	uint8_t own[LINK_NONCE_BYTES], peer[LINK_NONCE_BYTES];
	bool has_peer;	     /* peer is known */
	uint32_t tx_seq;     /* of hellos with `own` */
	uint64_t last_tx_ns; /* 0: none sent */
	uint64_t next_tx_ns;
	uint64_t heard_ns;	 /* last valid hello from `peer` */
	uint64_t heard_clock_ns; /* the peer's clock in that hello */
	/* With a cipher: X25519 keys that go with `own`; wiped once the session has its keys. */
	uint8_t secret[LINK_EXCHANGE_BYTES], exchange[LINK_EXCHANGE_BYTES];
};

struct link_session {
	/* Read these freely. */
	enum link_session_state state;
	uint32_t session_id; /* grows with every new session */
	bool alive;	     /* as in struct link_path: state is LINK_SESSION_UP */
	char error[128];     /* what is wrong, for people; "" when up */
	uint64_t up_since_ns;
	uint64_t ups, downs; /* times it came up and went down */
	uint64_t hellos_sent, hellos_received;
	uint64_t hellos_refused;     /* of those received: answered with anything but 0 */
	uint64_t rtt_ns, rtt_min_ns; /* of hellos, without the peer's waiting time; 0: not known */
	struct link_hello peer;	     /* the peer's last hello in the session */
	struct link_seq control;     /* of the peer's hellos */
	struct link_offset offset;   /* of the peer's clock, in this session */

	/* The session's own. */
	uint32_t base_id;	  /* session_id at link_session_init(): no session since then */
	struct link_pair current; /* the session, if there has been one */
	struct link_pair next;	  /* held ready for the next one */
	uint64_t tx_key, rx_key, rx_key_old, rx_key_old_until_ns;
	uint16_t tx_cpi, rx_cpi, rx_cpi_old;
	uint8_t cipher;
	uint64_t begun_ns; /* the session */
	uint32_t session_id_old;
	uint32_t session_id_first; /* with the peer's present boot id */
	uint32_t session_id_next;  /* that `next` will have, its keys are ready to receive; 0: no */
	uint32_t ids_given;	   /* the highest of all ids */
	struct link_aead_key tx_aead, rx_aead, rx_aead_old, rx_aead_next;
	uint16_t path_mtu;
	uint8_t refusal; /* enum link_refusal that our hellos say */
	uint64_t refused_ns;
	bool hears;	 /* a hello of the session within LINK_DEAD_NS */
	bool peer_ready; /* the last one said READY */
	uint8_t workers;
	bool routed, transparent;
	uint32_t store_slots;
	const struct dictionaries *dictionaries;
	uint64_t boot_id;
	uint8_t hello_key[32], check_key[32], aead_key[32];
	void (*random)(void *arg, uint8_t *out, size_t len);
	void *random_arg;
	unsigned announce_from; /* lane to begin the next hello's announcements with */
	uint32_t lane_next[LINK_LANES];
	struct link_seq_counts report;
	struct link_hello_classes report_classes;
};

/*
 * Make a session that starts calling its peer at now_ns. `s` is zeroed memory, or an earlier
 * session with the same peer (its key or settings changed): session_id goes on from there, because
 * the workers' lanes know their numbers by it. Returns 0, -EINVAL for a configuration out of
 * bounds, -EIO when libsodium does not start, -ENOTSUP when this CPU cannot do the cipher. Owns
 * nothing but secrets: wipe it in the end.
 */
int link_session_init(
	struct link_session *s, const struct link_session_config *config, uint64_t now_ns);

/*
 * Time passes: notices silence, and writes the message that is due into out[room] (room at least
 * LINK_MESSAGE_MAX). Returns its length, or 0 when there is none; call again until 0. The message
 * is the payload of one UDP packet: link_encode_control(). With less room the message stays due:
 * for when it cannot be sent yet.
 */
int link_session_tick(struct link_session *s, uint64_t now_ns, uint8_t *out, size_t room);

/*
 * The UDP payload of a control frame from the peer's address. Returns 0 and takes it in, or,
 * leaving the session as it was: -EBADMSG   not a hello of any version -EACCES    signed with
 * another key, or not at all -EALREADY  a hello seen before, or of an ended session, or overtaken
 * by a newer one -EPROTO    a peer that cannot work with us; it is told why, `error` says why
 */
int link_session_receive(struct link_session *s, const uint8_t *msg, size_t len, uint64_t now_ns);

/* When to call link_session_tick() next, at the latest. */
uint64_t link_session_next_ns(const struct link_session *s);

/*
 * What our next hellos report: next[lane] = link_tx_next() of every data lane that we send in, and
 * the sum of what the workers have received (link_seq_read()). Copied. Call it before
 * link_session_tick() when that is due; the totals of hellos themselves are added here. `classes`:
 * what was sent by class in an interval of this session that is over.
 */
void link_session_report(struct link_session *s, const uint32_t next[LINK_LANES],
	const struct link_seq_counts *received, const struct link_hello_classes *classes);

/* Fill the session's part of a path: keys, CPIs, session_id, alive, peer_workers, codecs,
 * dictionaries, store_slots, transparent, path_mtu. */
void link_session_fill_path(const struct link_session *s, struct link_path *path);

#endif
