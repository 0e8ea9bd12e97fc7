/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One flow: both directions of a conversation, on the worker that owns it. The record is put
 * together here from the states that the modules keep per flow; table.h finds and ages it.
 *
 * Threads: written by the owning worker only. The control thread reads records at leisure for
 * `show flows`: it copies a record and takes it only if `generation` was even and the same before
 * and after.
 */
#ifndef SLUICE_FLOW_FLOW_H
#define SLUICE_FLOW_FLOW_H

#include "dataplane/compress/flow_codec.h"
#include "dataplane/measure/datagrams_flow.h"
#include "dataplane/measure/flow_measure.h"
#include "dataplane/measure/transactions_flow.h"
#include "dataplane/packet/packet.h"
#include "dataplane/shape/flow_shape.h"

/* struct flow.flags */
#define FLOW_LIVE 0x01     /* in the table */
#define FLOW_NEW 0x02      /* created by this burst's lookup: classify it */
#define FLOW_SEEN_UP 0x04  /* a packet from the LAN has been seen */
#define FLOW_SEEN_DOWN 0x08 /* a packet from the WAN has been seen */
#define FLOW_CLOSING 0x10  /* TCP FIN or RST seen: ages fast */
#define FLOW_OTHER 0x20    /* record 0 of the table: everything that has no flow of its own */
#define FLOW_SAID 0x40      /* TCP: there was payload (set by measure/) */
#define FLOW_SAID_WAN 0x80  /* and the newest came from the WAN */

#define FLOW_L2_MAX 18 /* Ethernet with a VLAN tag */

struct flow {
	/* Line 0: looked at for every packet. */
	struct flow_key key;
	uint32_t hash_tag;     /* upper half of the hash, compared before the key */
	uint32_t last_seen_ms; /* clock.h time / 1e6, truncated */
	uint32_t class_id;     /* of the policy in use */
	uint32_t policy_generation; /* class_id was chosen under this policy */
	uint8_t flags;
	uint8_t initiator;     /* direction (struct pkt.dir) of the side that opened it */
	uint8_t lan_dir;       /* direction of the packets that come from the LAN */
	uint8_t dscp;          /* of the first packet */
	uint32_t generation;   /* odd while the record is being replaced */

	/* Line 1: counters and buckets, by way. */
	uint64_t packets[WAYS];
	uint64_t bytes[WAYS]; /* frame bytes as the hosts sent them */
	struct flow_shape shape[WAYS];

	/* Lines 2 to 5. */
	union {
		struct flow_measure measure; /* TCP */
		struct measure_datagrams_flow datagrams; /* all others */
	};

	/* Line 6: rarely touched. */
	struct flow_codec codec;    /* of the direction towards the WAN */
	uint64_t saved_bytes[WAYS]; /* by which link frames were shorter than what they carried */
	uint32_t created_ms;
	uint32_t proven_session;    /* session in which a packet from the WAN was seen: the peer knows
				     * the flow's link-layer header then */
	uint32_t proven_ms;         /* when the last one was, as last_seen_ms */
	uint8_t peer;               /* 1 + index of the peer that the WAN endpoint is behind, 0: none */
	uint8_t lan_l2_len;         /* 0: no frame from the LAN remembered */
	uint8_t lan_l2[FLOW_L2_MAX]; /* link-layer header of its last frame from the LAN */

	/* Line 7: where requests and responses begin. */
	struct transactions_flow transactions;
} __attribute__((aligned(64)));

static_assert(sizeof(struct flow_shape) == 16, "line 1 holds both ways");
static_assert(sizeof(struct flow_measure) == 256, "four lines");
static_assert(sizeof(struct flow_codec) == 16, "line 6");
static_assert(sizeof(struct flow) == 512, "eight lines");

#endif
