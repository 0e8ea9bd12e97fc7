/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acknowledged history: the heaviest flows of a lane are compressed against what they have sent
 * before, and a flow that has no history yet, or never gets one, against what others of its
 * *service* began with: those of its class, with the same end that serves it, whose packets the
 * same dictionary suits. A short answer so costs what is new in it. Both ends of the lane keep its
 * packets (store.h). Of a flow's latest ones the sender makes an *offer*; the receiver puts those
 * that it has one behind the other into one of its buffers, and *answers* which they were. Only
 * then the sender does the same and refers to that: an *epoch*. So the two ends have the same bytes
 * whatever was lost, doubled or reordered; the answer has their hash to prove it. Each frame names
 * its epoch, nothing else. When the flow has brought new data, the next offer goes to another
 * buffer of the flow's, until its answer comes the old epoch serves on. epoch_tx.c is the sender's
 * half, epoch_rx.c the receiver's.
 *
 * The blob (codecs 3 and 5 of link/shim.h), network order:
 *
 *     0  3  name of the epoch: buffer (12 bits), generation (12 bits)
 *     3  .  3: one LZ4 block; 5: the content of one zstd block, as of codec 4. In front of its data
 *           stand up to 64 kB: the end of the dictionary of the offer, if it has one, as far as
 *           there is room, and the packets. The block of 5 begins with the dictionary's entropy
 *           tables and repeated offsets (RFC 8878, 5); without a dictionary, with none.
 *
 * An offer, in the lane that it is about, as link/ack.h says:
 *
 *     0  1  EPOCH_OFFER
 *     1  1  id of the dictionary, 0: none
 *     2  3  name of the epoch
 *     5  1  bytes left out at the start of each packet but the last: headers
 *     6  1  n: packets, 1..EPOCH_PACKETS
 *     7  1  reserved, 0
 *     8  4  sequence number of the first
 *    12  .  n - 1 times by how much the next one's is higher: 1..127 in one byte, or in two with
 *           the highest bit set
 *
 * An answer, in the lane of the other direction:
 *
 *     0  1  EPOCH_ANSWER
 *     1  1  n: packets, as in the offer; 0: a frame came whose epoch is not here
 *     2  3  name of the epoch
 *     5  .  bit (i % 8) of byte (i / 8): packet i is in the epoch; not with n = 0
 *    ... 4  XXH3_64 of all that stands in front of the data, low 32 bits; not with n = 0
 *
 * To the receiver a service is as good as a flow: what an epoch is made of, and which packets refer
 * to it, is the sender's choice. Privacy is that of the store: a history has packets of one
 * `domain`, and of none that are not kept. Threads, clocks and memory as there.
 */
#ifndef SLUICE_COMPRESS_EPOCH_H
#define SLUICE_COMPRESS_EPOCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/compress/codec.h"
#include "dataplane/compress/store.h"

#define EPOCH_OFFER 2 /* LINK_ACK_TYPE of link/ack.h is 1 */
#define EPOCH_ANSWER 3

#define EPOCH_BYTES 65536 /* in front of a packet */
#define EPOCH_PACKETS 128 /* of an epoch */
/* One epoch is referred to, one is on its way; the third one was referred to by packets that may
 * still be on theirs. */
#define EPOCH_BUFFERS 3
#define EPOCH_SLOTS 768	      /* slots of a lane for each history that it has */
#define EPOCH_LANE_MAX 1024   /* histories of a lane: what a name can tell */
#define EPOCH_TABLES_MAX 1024 /* entropy tables of a dictionary */
#define EPOCH_NAME_BYTES 3
#define EPOCH_OFFER_MAX (12 + 2 * (EPOCH_PACKETS - 1))
#define EPOCH_ANSWER_MAX (5 + EPOCH_PACKETS / 8 + 4)

/* What stands in front of a packet: bytes[EPOCH_TABLES_MAX..] is what blocks refer to, `tables`
 * bytes in front of that make it a zstd dictionary. */
struct epoch_content {
	uint32_t len;	 /* 0: nothing */
	uint32_t tables; /* 0: no dictionary */
	uint8_t bytes[EPOCH_TABLES_MAX + EPOCH_BYTES];
};

/* Written by the worker, read by the control thread. */
struct epoch_tx_counts {
	uint64_t flows;	  /* and services, that were given a history */
	uint64_t offered; /* epochs */
	uint64_t made;	  /* epochs that were answered, and are or were in use */
	uint64_t lost;	  /* offers without an answer in time */
	uint64_t refused; /* epochs that the peer did not have, or not the same */
	uint64_t used;	  /* packets sent with one, */
	uint64_t shared;  /* with that of their service */
};
struct epoch_rx_counts {
	uint64_t made, refused, used;
};

/* The packets of an epoch, ascending, and how much of them. */
struct epoch_list {
	uint8_t count;
	uint8_t skip;	    /* bytes left out at the start of each but the last */
	uint8_t dictionary; /* id, 0: none */
	uint32_t seqs[EPOCH_PACKETS];
};

/* Which flow or service a history is of. Apart from it, because all of a set are looked at. */
struct epoch_key {
	uint32_t hash; /* of the flow, or of the service and the dictionary */
	uint32_t domain;
	uint32_t weight; /* of its bytes, less part of those of flows that would have its place; 0:
			    free */
	uint32_t used_ms;
	bool is_service;
};

/* One history at the sender. */
struct epoch_flow {
	uint8_t current, offered; /* buffers of the peer; EPOCH_BUFFERS: none */
	uint8_t number, effort;	  /* CODEC_LZ4 or CODEC_ZSTD and level: made ready for */
	uint8_t wanted_number, wanted_effort, wanted_dictionary;
	bool is_due;		     /* waits for epoch_offer() */
	uint8_t header_len;	     /* of the flow's last packet */
	uint16_t generation;	     /* of the last offer; the next one's is one higher */
	uint16_t current_generation; /* of the epoch in use */
	uint16_t recent_at, recent_count;
	uint32_t new_bytes; /* kept since the last offer */
	uint64_t offered_ns;
	uint64_t answer_ns; /* how long the last answer took; 0: there was none */
	uint64_t used_ns[EPOCH_BUFFERS];
	uint32_t recent[EPOCH_PACKETS]; /* the flow's last numbers: i is at i % EPOCH_PACKETS */
	struct epoch_list offer;
	const struct lz4_dictionary *lz4;
	const struct zstd_dictionary *zstd;
};

#define EPOCH_DUE 32 /* offers that wait */

struct epoch_sender {
	struct store_sender *store;
	const struct dictionaries *dictionaries;
	struct epoch_key *keys;
	struct epoch_flow *histories;
	uint8_t *memory; /* of each: content, LZ4's and zstd's tables */
	uint32_t count;
	struct epoch_lane {
		uint32_t first, count; /* count 0: the lane has none */
	} lane[STORE_WORKERS];
	struct epoch_tx_counts counts;
	unsigned due_at, due_count;
	struct {
		uint32_t index;
		uint8_t lane;
	} due[EPOCH_DUE];
};

/* One epoch at the receiver. */
struct epoch_buffer {
	uint16_t generation;
	bool is_made;
	const struct zstd_dictionary *zstd; /* NULL until a frame needs it */
};

#define EPOCH_REFUSALS 4 /* of a lane, that wait to be said */

struct epoch_receiver {
	struct store_receiver *store;
	const struct dictionaries *dictionaries;
	struct epoch_buffer *buffers;
	uint8_t *memory; /* of each: content, zstd's tables */
	uint32_t count;	 /* histories: EPOCH_BUFFERS buffers each */
	struct epoch_lane lane[STORE_WORKERS];
	struct epoch_rx_counts counts;
	unsigned refusals[STORE_WORKERS];
	uint32_t refused[STORE_WORKERS][EPOCH_REFUSALS]; /* names */
};

/* ---- memory ---- */

/* Histories of an end whose store has so many slots, and the bytes of their memory. */
uint32_t epoch_count(uint32_t slots);
uint64_t epoch_memory_bytes(uint32_t slots, bool is_sender);

/* Make one of epoch_memory_bytes() of zeroed memory, aligned to 64 bytes, which stays the
 * caller's. dictionaries: may be NULL; all must outlive it. */
void epoch_sender_init(struct epoch_sender *h, void *memory, uint32_t slots,
	const struct dictionaries *dictionaries, struct store_sender *store);
void epoch_receiver_init(struct epoch_receiver *h, void *memory, uint32_t slots,
	const struct dictionaries *dictionaries, struct store_receiver *store);

/* Begin with a session, right behind store_sender_start() and store_receiver_start(). */
void epoch_sender_start(struct epoch_sender *h);
void epoch_receiver_start(struct epoch_receiver *h);

/* ---- sending ---- */

/*
 * Compress a packet of a flow that may have an epoch, by the method without history (CODEC_LZ4,
 * CODEC_LZ4_DICTIONARY or CODEC_ZSTD), into at most `room` bytes. Returns the bytes written and
 * *number, or 0: no epoch, or it does not fit.
 */
int epoch_encode(struct epoch_sender *h, unsigned lane, const struct store_packet *p,
	struct codec *codec, struct codec_method method, uint8_t *out, uint32_t room,
	uint64_t now_ns, uint8_t *number);

/*
 * A packet of the flow has been kept in the store as number `seq`; method: how the flow's packets
 * are compressed without history. The heaviest flows get one, so call it for all packets of flows
 * that may have one, but with number CODEC_RAW for those that the store has served.
 */
void epoch_keep(struct epoch_sender *h, unsigned lane, const struct store_packet *p, uint32_t seq,
	struct codec_method method, uint64_t now_ns);

/* Write the next offer that is due and what lane it goes in. Returns its length, at most
 * EPOCH_OFFER_MAX, or 0: none is. */
uint32_t epoch_offer(
	struct epoch_sender *h, uint8_t out[EPOCH_OFFER_MAX], unsigned *lane, uint64_t now_ns);

/* An answer of the lane's peer, any bytes. */
void epoch_answered(
	struct epoch_sender *h, unsigned lane, const uint8_t *bytes, uint32_t len, uint64_t now_ns);

/* ---- receiving ---- */

/* An offer came in the lane, any bytes. Returns the length of the answer, at most
 * EPOCH_ANSWER_MAX, or 0: there is none. */
uint32_t epoch_offered(struct epoch_receiver *h, unsigned lane, const uint8_t *bytes, uint32_t len,
	uint8_t out[EPOCH_ANSWER_MAX]);

/*
 * Decode a blob of codec 3 or 5, any bytes. Never reads outside in[0..len) and what is kept, never
 * writes outside out[0..original_len). 0; -EBADMSG: no valid blob; -ENOENT: its epoch is not here,
 * which the sender will be told.
 */
int epoch_expand(struct epoch_receiver *h, unsigned lane, struct codec *codec, uint8_t number,
	const uint8_t *in, uint32_t len, uint8_t *out, uint32_t original_len, uint64_t now_ns);

/* Write the next answer of the lane about an epoch that is not here. Its length or 0. */
uint32_t epoch_refusal(struct epoch_receiver *h, unsigned lane, uint8_t out[EPOCH_ANSWER_MAX]);

#endif
