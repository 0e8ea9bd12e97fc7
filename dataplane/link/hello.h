/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hello, as bytes and as a struct: the message of the control lane, beside the probe (probe.h)
 * where a rate is tracked. session.c decides what it says and what follows from it; this only
 * writes, signs, verifies and reads it.
 *
 * Behind the shim (codec CONTROL, check 0), network order:
 *
 *      0  4  magic "SLHO"              the same in every version
 *      4  1  version of the message    the same in every version
 *      5  1  flags: LINK_HELLO_READY, LINK_HELLO_ROUTED, LINK_HELLO_TRANSPARENT, LINK_HELLO_PACKS;
 *            the two highest bits: enum link_cipher
 *      6  1  workers, 1..16
 *      7  1  codecs understood, one bit a number of enum link_codec
 *      8  2  path MTU: largest outer IP packet
 *     10  1  refusal: enum link_refusal, why the sender does not work with the receiver
 *     11  1  number of announcements
 *     12  4  packets that each worker of the sender keeps of what it receives (ack.h), 0: none
 *     16  8  boot id
 *     24 16  sender's nonce
 *     40 16  receiver's nonce as last heard, or 0
 *     56  8  sender's clock, ns
 *     64  8  receiver's clock in the last hello heard from it, or 0
 *     72  8  ns since that hello
 *     80 48  received, unique, lost, duplicates, reordered, late: what arrived at the sender, 6 x 8
 *    128  2  number of an interval that is over (class.h)
 *    130  1  slot of the class whose name follows; hellos name one after the other
 *    131  1  number of dictionaries
 *    132 32  that name, NUL behind it; all 0: no class has the slot
 *    164 64  frames that the sender sent in that interval, by slot: 16 x 4
 *    228 5n  announcements: lane (1), next sequence number that the sender will use in it (4)
 *    ... 9n  dictionaries that the sender has: id (1), XXH3_64 of all of its bytes (8)
 *    ... 32  where there is a cipher: X25519 public key that goes with the sender's nonce (aead.h)
 *    ... 32  keyed BLAKE2b-256 of everything before, shim included; last in every version
 */
#ifndef SLUICE_LINK_HELLO_H
#define SLUICE_LINK_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/link/aead.h"
#include "dataplane/link/class.h"
#include "dataplane/link/seq.h"
#include "dataplane/link/shim.h"

#define LINK_HELLO_VERSION 6
#define LINK_HELLO_BYTES 228 /* without announcements, dictionaries and signature */
#define LINK_NONCE_BYTES 16
#define LINK_SIGNATURE_BYTES 32
#define LINK_EXCHANGE_BYTES 32 /* an X25519 key */
#define LINK_ANNOUNCE_BYTES 5
#define LINK_ANNOUNCE_MAX 128 /* a hello; more lanes take turns */
#define LINK_DICTIONARY_BYTES 9
#define LINK_DICTIONARIES_MAX 15
#define LINK_MESSAGE_MAX                                                                           \
	(LINK_SHIM_BYTES + LINK_HELLO_BYTES + LINK_ANNOUNCE_MAX * LINK_ANNOUNCE_BYTES +            \
		LINK_DICTIONARIES_MAX * LINK_DICTIONARY_BYTES + LINK_EXCHANGE_BYTES +              \
		LINK_SIGNATURE_BYTES)

#define LINK_HELLO_READY 0x01	    /* the sender hears the receiver in this session */
#define LINK_HELLO_ROUTED 0x02	    /* the sender's end of the path is routed, not bridged */
#define LINK_HELLO_PACKS 0x04	    /* the sender takes several packets in a frame (pack.h) */
#define LINK_HELLO_TRANSPARENT 0x08 /* the sender takes transparent frames (transparent.h) */
#define LINK_HELLO_CIPHER_SHIFT 6

enum link_refusal {
	LINK_REFUSAL_NONE,
	LINK_REFUSAL_VERSION,
	LINK_REFUSAL_PATH,    /* one end routed, the other bridged */
	LINK_REFUSAL_CODECS,  /* no codec in common */
	LINK_REFUSAL_WORKERS, /* a number of workers that no lane can name */
	LINK_REFUSAL_MTU,     /* too small for anything */
	LINK_REFUSAL_CIPHER,  /* the ends have different settings for encryption */
};

/* What a hello says of classes. */
struct link_hello_classes {
	uint32_t interval; /* modulo LINK_INTERVAL_MASK + 1 */
	uint8_t slot;
	char name[LINK_CLASS_NAME_MAX]; /* of that slot, terminated */
	uint32_t sent[LINK_CLASS_SLOTS];
};

/* One hello in host order. */
struct link_hello {
	uint32_t seq;  /* from the shim */
	uint32_t sent; /* from the shim: link_timestamp() */
	uint8_t version;
	uint8_t flags;	/* without the cipher */
	uint8_t cipher; /* enum link_cipher, or a number that this version does not know */
	uint8_t workers;
	uint8_t codecs;
	uint16_t path_mtu;
	uint8_t refusal;
	uint8_t announced; /* entries of announce[] */
	uint32_t store_slots;
	uint64_t boot_id;
	uint8_t nonce[LINK_NONCE_BYTES], echo[LINK_NONCE_BYTES];
	uint8_t exchange[LINK_EXCHANGE_BYTES]; /* with a cipher only */
	uint64_t clock_ns, echo_clock_ns, echo_delay_ns;
	struct link_seq_counts received; /* jitter_ns is not carried */
	struct link_hello_classes classes;
	struct {
		uint8_t lane;
		uint32_t next;
	} announce[LINK_ANNOUNCE_MAX];
	uint8_t dictionary_count;
	struct link_hello_dictionary {
		uint8_t id;
		uint64_t hash;
	} dictionary[LINK_DICTIONARIES_MAX];
};

/* Write and sign a message. Returns its length, at most LINK_MESSAGE_MAX, or -ENOSPC. */
int link_hello_write(
	const struct link_hello *hello, const uint8_t key[32], uint8_t *out, size_t room);

/*
 * Verify and read a message. 0; -EBADMSG: not a hello; -EACCES: the signature does not verify;
 * -EPROTO: properly signed, but of another version: only `version` is filled. *hello is written
 * with 0 and -EPROTO only.
 */
int link_hello_read(
	const uint8_t *msg, size_t len, const uint8_t key[32], struct link_hello *hello);

#endif
