/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store of repeated data: both ends of a lane keep the packets that went through it, decoded,
 * and a packet that repeats pieces of earlier ones is sent as references to them. What is kept
 * where follows from the packets' numbers alone (slot = number mod slots), so that packets may be
 * lost, doubled or reordered: the sender refers only to packets that the receiver has acknowledged
 * (link/ack.h), and that are well away from being overwritten. A reference that the receiver cannot
 * follow all the same is refused, dropped and not used again.
 *
 * A store outlives its session, and, on disk, its process (store_file.h). So its numbers go on
 * where the frames' sequence numbers begin with 0 again: a packet's number in the store, which is
 * meant wherever a number is spoken of here, is that of its frame plus the session's *base*.
 *
 * A flow's hash chooses its workers, so the second transfer of a file may take another lane than
 * the first: the workers of an end are a *team*, which has one index of what all of its lanes keep,
 * and a packet may copy from the lane of any of them. store_tx.c is the sender's half, store_find.c
 * the search, store_rx.c the receiver's half, store_session.c has what both do when a session
 * begins, store_memory.c lays out the memory.
 *
 * The blob (codec 6 of link/shim.h), network order:
 *
 *     0  1  flags: STORE_HAS_HEADER, STORE_LZ4, STORE_LANES
 *     1  1  number of tokens
 *     with STORE_HAS_HEADER: the packet begins like another one, its headers as a rule
 *        3  that packet, of the same lane: its number modulo 2^24
 *        1  length h, 1..STORE_HEADER_MAX
 *        .  how its first h bytes differ from those: store_header.h, byte by byte
 *     each token, 9 bytes, or 10 with STORE_LANES:
 *        2  literals that come before it
 *        1  with STORE_LANES: lane of the packet that it copies from, as in the shim
 *        3  that packet: its number modulo 2^24
 *        2  offset in it
 *        2  length
 *     to the end: the literals, with STORE_LZ4 as one LZ4 block. What no token follows comes last.
 *
 * A *repeat* is a packet that the lanes have whole: all but a few bytes of its payload are in
 * pieces that are far from being overwritten, its header is a difference. Keeping it would add
 * nothing, so several of them may share a frame (link/pack.h), which takes a number and leaves its
 * slot as it was: neither end keeps them. A repeat with a frame of its own is kept like any packet.
 *
 * When a session begins the sender asks, in the lane, until it is answered, as link/ack.h says:
 *
 *     0  1  STORE_BEGIN
 *     1  1  reserved, 0
 *     2  8  what the lane's store was called until now; 0: nothing is in it
 *    10  8  what it is called from now on, not 0
 *    18  4  base
 *    22  4  the highest number that is known to be kept here
 *
 * and the receiver answers, in the lane of the other direction:
 *
 *     0  1  STORE_BEGUN
 *     1  1  1: it has that store and keeps it; 0: it has begun with an empty one
 *     2  8  what that is called from now on
 *
 * It has that store if it is called so, has the highest number and none from base on. The new name
 * is random: an end that is given back an older state, from a copy of its disk, say, calls the
 * store by a name that the other end has given up, and never has other bytes under the same number.
 * Until the question has come nothing is kept there, until the answer has come only what this
 * session has brought is referred to.
 *
 * Privacy: the length of a packet tells who sees the WAN whether its bytes have been there before.
 * Only packets of the same `domain` (a VLAN) serve each other; classes that the policy calls
 * private are not brought here at all.
 *
 * Threads: a store_sender and a store_receiver belong to one worker. The others of its team read
 * what it keeps, at the same time and without a lock: a slot says which packet it has before and
 * after (store_slot.id), as a sequence lock does, and session_id does so of the lanes. They change
 * two things: the index, single words that are a hint only, and whether a slot that the peer has
 * refused has anything. The control thread reads counts. No clock is read and nothing allocated;
 * times are CLOCK_MONOTONIC in ns.
 */
#ifndef SLUICE_COMPRESS_STORE_H
#define SLUICE_COMPRESS_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/compress/anchor.h"

struct compressor;
struct epoch_receiver;
struct flow_codec;

#define STORE_WORKERS 16		 /* of an end; lanes of a sender or receiver */
#define STORE_SLOTS_MAX ((1u << 24) - 1) /* of a lane: what a token can name */
#define STORE_HASHES 128       /* values of the hash that chooses a flow's worker at both ends */
#define STORE_SLOTS_MIN 64     /* of a lane: with less there is no store */
#define STORE_PACKET_MAX 16383 /* bytes of a packet (LINK_ORIGINAL_MAX) */
#define STORE_HEADER_MAX 128
#define STORE_TOKENS_MAX 48
#define STORE_TOKEN_BYTES 9	 /* without a lane */
#define STORE_RECENT 256	 /* flows of a lane whose last packet is known */
#define STORE_AGES 64		 /* marks by which the age of the oldest slot is known */
#define STORE_REPEAT_LITERALS 32 /* of a repeat, at most: what lies between pieces, mostly */
#define STORE_REPEAT_PIECES 4	 /* with more, a copy in one piece is worth its slot */
#define STORE_REPEATS 15	 /* in a row: more are not counted */
#define STORE_DOUBTS 7

#define STORE_HAS_HEADER 0x01
#define STORE_LZ4 0x02
#define STORE_LANES 0x04

#define STORE_BEGIN 4 /* LINK_ACK_TYPE of link/ack.h is 1, epoch.h has 2 and 3 */
#define STORE_BEGUN 5
#define STORE_BEGIN_BYTES 26
#define STORE_BEGUN_BYTES 10

/* A packet of any lane of a link: `lane` of the shim above its number modulo 2^24. */
#define STORE_REFERENCE(lane, seq) ((uint32_t)(lane) << 24 | ((seq)&STORE_SLOTS_MAX))

/* What is known of a kept packet. */
struct store_slot {
	union {
		struct {
			uint32_t seq;
			uint32_t generation; /* another than the lane's: nothing is kept here */
		};
		uint64_t id; /* both, for who reads while the owner writes */
	};
	union {
		struct {
			/* Sender only, but len: */
			uint32_t domain;
			uint16_t len : 14;
			uint16_t is_acked : 1; /* the peer has it */
			uint16_t reserved : 1;
			/* How far off the flow's packets before and behind are; 0: unknown. */
			uint8_t previous, next;
		};
		uint64_t about; /* all of it */
	};
};

/* What a lane remembers of the last packets of a flow. */
struct store_recent {
	uint32_t flow_hash;
	uint32_t newest_seq;
	uint32_t acked_seq, pending_seq; /* two whose header the next one's may refer to */
	/* Where its last piece came from: there, or in what follows there, its next bytes are
	 * looked for first. */
	uint32_t expected_seq;
	uint16_t expected_from; /* offset; 0: none */
	uint8_t expected_lane;
	uint8_t repeats : 4; /* in a row, the last of them, STORE_REPEATS at most */
	uint8_t doubts : 4;  /* so many are not enough to hope for more, STORE_DOUBTS at most */
};

/* The memory of one sender or receiver. */
struct store_memory {
	struct store_slot *slots;
	uint8_t *data;	 /* slot_bytes a slot */
	uint64_t *index; /* sender only: its part of its team's */
	uint32_t index_count;
	uint32_t count;
	uint32_t slot_bytes;
	uint32_t generation; /* the last one given to a lane: what was kept under others is void */
	/* Nobody else writes into it: the worker may begin. Who reads it from disk sets it. */
	bool is_ready;
};

/* One packet to be sent. */
struct store_packet {
	const uint8_t *bytes;
	uint32_t len;
	uint32_t header_len; /* bytes up to its payload, nearly those of its flow's others */
	uint32_t domain;
	uint32_t flow_hash;
	uint32_t service_hash; /* of its class and the end that serves it; 0: of none (epoch.h) */
};

/* A piece of it that the peer has. */
struct store_piece {
	uint16_t at, len; /* in the packet */
	uint32_t seq;	  /* packet that has it, */
	uint16_t from;	  /* where, */
	uint8_t lane;	  /* and of which lane */
	bool is_old;	  /* to be overwritten long before this packet */
};

/* What one lane keeps. */
struct store_kept {
	struct store_slot *slots;
	uint8_t *data;	/* slot_bytes a slot */
	uint32_t count; /* slots; 0: no store */
	uint32_t slot_bytes;
	uint32_t generation;
	uint32_t newest; /* highest number kept */
	/* Sender only: references go so far back from there, and not below `first`. */
	uint32_t reach, first;
};

/* What store_find() found, for store_encode() and store_keep(). */
struct store_match {
	unsigned anchor_count, piece_count;
	uint32_t covered; /* bytes of all pieces */
	bool is_sparse;	  /* every other anchor only */
	bool is_repeat;	  /* nothing of it is worth keeping */
	bool is_used;	  /* store_encode() has written references, */
	uint32_t out_len; /* so many bytes */
	/* The packet's lane, and another one that was looked into, as they were then; other_lane ==
	 * lane: none was. */
	uint8_t lane, other_lane;
	struct store_kept own, other;
	struct anchor anchors[ANCHORS_MAX];
	struct store_piece pieces[STORE_TOKENS_MAX];
};

/* Written by the worker, read by the control thread. */
struct store_tx_counts {
	uint64_t hits, misses; /* packets looked up, with and without a piece that was used */
	uint64_t across;       /* of the hits, with a piece of another lane */
	uint64_t kept;	       /* packets */
	uint64_t hit_bytes;    /* of pieces that were referred to */
	uint64_t in_bytes;     /* packets sent as references, before */
	uint64_t out_bytes;    /* and their blobs */
	uint64_t acked;	       /* packets that the peer has said it keeps */
	uint64_t refused;      /* references that it could not follow */
	uint64_t voided;       /* times the lane began anew for that */
	uint64_t continued;    /* lanes that a session went on with */
};
struct store_rx_counts {
	uint64_t kept, expanded, missing, acks, continued;
};

/* Sending half of a lane. */
struct store_tx {
	struct store_kept kept;
	uint64_t id, next_id; /* what it is called until and from this session on; id 0: new */
	bool is_begun;	      /* the peer has said so, in this session */
	uint32_t base;
	uint32_t before;       /* frames of earlier processes, whose store this was */
	uint32_t first_before; /* kept.first, should the peer have the store still */
	uint32_t acked;	       /* highest number, of those under `id` */
	uint32_t refused;
	uint64_t refused_since_ns;
	/* When a packet last went into each part of the slots; 0: never, below: before this system
	 * started. */
	int64_t kept_ns[STORE_AGES];
	struct store_recent recent[STORE_RECENT];
};

struct store_sender {
	struct store_memory memory;
	uint8_t worker, workers; /* at this end: store_senders_join() */
	struct store_sender *team[STORE_WORKERS];
	uint32_t session_id; /* of all lanes; 0: none yet, or just changing */
	unsigned peer_workers;
	uint32_t slots_max;
	uint64_t ask_ns, ask_wait_ns; /* store_ask() */
	unsigned ask_at;
	uint32_t refused; /* packets of other lanes that the peer did not have */
	uint64_t refused_since_ns;
	bool is_alone;	/* until the next session: too many of them */
	bool is_frozen; /* store_freeze() */
	struct store_tx lane[STORE_WORKERS];
	struct store_tx_counts counts;
	struct store_match match; /* of the packet at hand */
	uint8_t literals[STORE_PACKET_MAX + 1];
};

#define STORE_REFUSALS 8 /* said in one acknowledgement */

/* Receiving half of a lane. */
struct store_rx {
	struct store_kept kept;
	uint64_t id; /* what it is called; 0: nothing is in it */
	bool is_begun, is_continued;
	uint32_t base;
	uint32_t unacked;
	uint32_t refusals;
	uint32_t refused[STORE_REFUSALS]; /* STORE_REFERENCE() */
	uint64_t due_ns;		  /* when to acknowledge; UINT64_MAX: nothing to say */
};

struct store_receiver {
	struct store_memory memory;
	uint8_t worker, workers; /* store_receivers_join() */
	struct store_receiver *team[STORE_WORKERS];
	uint32_t session_id;
	unsigned peer_workers;
	struct store_rx lane[STORE_WORKERS];
	struct store_rx_counts counts;
	bool is_frozen;		       /* store_freeze() */
	struct epoch_receiver *epochs; /* of its lanes; NULL: none */
	uint8_t literals[STORE_PACKET_MAX + 1];
};

/* ---- memory ---- */

/* Bytes of a slot for packets of at most `packet_max` bytes. */
uint32_t store_slot_bytes(uint32_t packet_max);

/* Slots that fit into memory_bytes, and the bytes that so many take. */
uint32_t store_slots_in(uint64_t memory_bytes, uint32_t slot_bytes, bool is_sender);
uint64_t store_memory_bytes(uint32_t slots, uint32_t slot_bytes, bool is_sender);

/* Lay out store_memory_bytes() of zeroed memory, aligned to 64 bytes, which stays the caller's. */
void store_memory_init(
	struct store_memory *m, void *memory, uint32_t slots, uint32_t slot_bytes, bool is_sender);

/* Make the halves of all workers of an end, in their order, a team. Before any of their sessions.
 */
void store_senders_join(struct store_sender *const team[], unsigned workers);
void store_receivers_join(struct store_receiver *const team[], unsigned workers);

/* ---- sessions ---- */

/*
 * Begin with a session. With as many workers and slots as before at both ends the lanes have the
 * memory that they had, and perhaps go on with what is in it; else it is shared out anew and
 * empty. A sender takes no more than the receiver has: slots_max slots in each of the peer's
 * workers. With too few for a store a lane has none. sent[]: frames that have left in each of the
 * lanes before this session, modulo 2^32. nonce: random, the lanes' stores are called by it. The
 * worker, if memory.is_ready.
 */
void store_sender_start(struct store_sender *s, uint32_t session_id, unsigned peer_workers,
	uint32_t slots_max, const uint32_t sent[STORE_WORKERS], uint64_t nonce);
void store_receiver_start(struct store_receiver *r, uint32_t session_id, unsigned peer_workers);

/* Write the next STORE_BEGIN that is due and what lane it goes in. Returns its length or 0: none
 * is. The sender's worker, in each round; without delay behind store_sender_start(), so that its
 * frames come before the first that is to be kept. */
uint32_t store_ask(
	struct store_sender *s, uint8_t out[STORE_BEGIN_BYTES], unsigned *lane, uint64_t now_ns);

/* A STORE_BEGIN of the receiver's session, any bytes. Returns the length of the answer, or 0: there
 * is none. */
uint32_t store_begin(struct store_receiver *r, unsigned lane, const uint8_t *bytes, uint32_t len,
	uint8_t out[STORE_BEGUN_BYTES]);

/* A STORE_BEGUN of the sender's session, any bytes. */
void store_begun(struct store_sender *s, unsigned lane, const uint8_t *bytes, uint32_t len);

/* The lane's number of the frame with sequence number `seq` of the session. */
static inline uint32_t store_number_of(const struct store_sender *s, unsigned lane, uint32_t seq)
{
	return s->lane[lane].base + seq;
}

/*
 * From now on both halves are as they are, for good: nothing more is kept, acknowledged, refused or
 * begun, and nothing referred to. What the peer refers to is still rebuilt. Any thread; each worker
 * has noticed when it has ended the round in which it may be.
 */
static inline void store_freeze(struct store_sender *s, struct store_receiver *r)
{
	__atomic_store_n(&s->is_frozen, true, __ATOMIC_RELEASE);
	__atomic_store_n(&r->is_frozen, true, __ATOMIC_RELEASE);
}

static inline bool store_is_frozen(const bool *is_frozen)
{
	return __atomic_load_n(is_frozen, __ATOMIC_ACQUIRE);
}

/* ---- sending ---- */

/*
 * Look a packet up that will have the number `seq`. fc: of its flow; flows that never hit are
 * looked up and entered more thinly. Leaves what it found in s->match. True: store_encode() is
 * worth calling. Then, whether or not the packet was sent as references, store_keep() it when it
 * has been sent through the lane.
 */
bool store_find(struct store_sender *s, unsigned lane, const struct store_packet *p, uint32_t seq,
	struct flow_codec *fc);

/* Write the blob, at most `room` bytes, of the packet just looked up. Returns its length, or 0 when
 * it does not fit. */
uint32_t store_encode(struct store_sender *s, unsigned lane, const struct store_packet *p,
	uint32_t seq, struct compressor *compressor, uint8_t *out, uint32_t room);

/* What store_encode() wrote is not sent: another codec does better. */
static inline void store_spurn(struct store_sender *s)
{
	s->match.is_used = false;
}

/* Keep the packet just looked up: it has been sent as number `seq` at now_ns. */
void store_keep(struct store_sender *s, unsigned lane, const struct store_packet *p, uint32_t seq,
	uint64_t now_ns);

/* Are the flow's next packets likely to be repeats, as its last ones in the lane were? At first one
 * is enough to say so. */
bool store_repeats(const struct store_sender *s, unsigned lane, uint32_t flow_hash);

/* The packet just encoded is a repeat that is to share a frame, so it is not kept: its flow's next
 * packet is looked for behind it. It is added to the counts of *hits, for store_passed(). */
void store_pass(struct store_sender *s, unsigned lane, const struct store_packet *p,
	struct store_tx_counts *hits);

/* The frame has been sent that those packets of the flow share. */
void store_passed(struct store_sender *s, unsigned lane, uint32_t flow_hash,
	const struct store_tx_counts *hits);

/* It was one packet only, which is sent by itself after all, and looked up once more for that: from
 * now on the flow has to repeat twice as many in a row, until its packets share a frame. */
void store_doubt(struct store_sender *s, unsigned lane, uint32_t flow_hash);

/* The peer keeps the packets base + i of the set bits i of words[count] (bit i % 64 of word i /
 * 64).
 */
void store_acked(struct store_sender *s, unsigned lane, uint32_t base, const uint64_t *words,
	unsigned count);

/* The peer's half of the lane could not follow this STORE_REFERENCE(). When that happens again and
 * again in a second the lane begins anew, or if the packets were of other lanes, refers to none of
 * these any more. */
void store_refused(struct store_sender *s, unsigned lane, uint32_t reference, uint64_t now_ns);

/* Age of the oldest packet that may be referred to, over all lanes; 0: there is none. Control
 * thread. */
uint64_t store_oldest_ns(const struct store_sender *s, uint64_t now_ns);

/* ---- receiving ---- */

/*
 * Rebuild a packet of original_len bytes from any bytes at all.
 * session_id: the peers' newest session, or that before, as far as is known. This worker need not
 * have begun with it: what others of its team have received may be all that is needed.
 * Never reads outside blob[0..len) and what is kept, never writes outside out[0..original_len). 0;
 * -EBADMSG: no valid blob; -ENOENT: refers to a packet that is not kept; the sender will be told.
 */
int store_expand(struct store_receiver *r, unsigned lane, uint32_t session_id, const uint8_t *blob,
	uint32_t len, uint8_t *out, uint32_t original_len, uint64_t now_ns);

/* Keep a verified packet, of the frame with sequence number `seq` of the receiver's session. */
void store_received(struct store_receiver *r, unsigned lane, uint32_t seq, const uint8_t *bytes,
	uint32_t len, uint64_t now_ns);

/* A frame of the lane was verified of which nothing is kept: say before long, as with others, what
 * is. So the sender hears that its frames arrive, and what an acknowledgement that got lost said.
 */
void store_heard(struct store_receiver *r, unsigned lane, uint64_t now_ns);

#define STORE_HEARD_NS UINT64_C(50000000) /* so long after one */
#define STORE_ACK_EVERY 64		  /* packets */
#define STORE_ACK_NS UINT64_C(5000000)	  /* or this long after one */
#define STORE_ACK_WORDS 4 /* each packet is in four acknowledgements: some get lost */

/* What to acknowledge now: of the packets *base + i those with set bits are kept. Writes
 * STORE_ACK_WORDS words and the references refused, returns the number of these. Resets due_ns. */
unsigned store_acknowledge(struct store_receiver *r, unsigned lane, uint32_t *base,
	uint64_t words[STORE_ACK_WORDS], uint32_t refused[STORE_REFUSALS]);

/* ---- what both halves share ---- */

static inline bool store_holds(const struct store_slot *slot, uint32_t generation, uint32_t seq)
{
	return slot->seq == seq && slot->generation == generation;
}

static inline uint32_t store_get(const uint8_t *p, unsigned bytes)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

static inline uint8_t *store_put(uint8_t *p, uint32_t v, unsigned bytes)
{
	for (unsigned i = bytes; i > 0; i--, v >>= 8)
		p[i - 1] = (uint8_t)v;
	return p + bytes;
}

#endif
