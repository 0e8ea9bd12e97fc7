/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The peers as the control thread sees them: runs a link session with each, and publishes what the
 * workers must know of them (struct links) whenever it changes. Control thread only.
 */
#ifndef SLUICE_CONTROL_PEERS_H
#define SLUICE_CONTROL_PEERS_H

#include "dataplane/control/framing.h"
#include "dataplane/control/inpath.h"
#include "dataplane/daemon.h"
#include "dataplane/link/session.h"

struct control;

struct peer {
	struct link_session session;
	struct link_tail tail[LINK_LANES]; /* what the peer announced in each of its lanes */
	struct link_class_loss loss;	   /* of its frames, by class */
	uint8_t named;			   /* slot whose name the last hello said */
	uint64_t since_realtime_ns;	   /* when the state shown was taken */
	enum link_session_state shown;
	uint64_t tx_hello_bytes, rx_hello_bytes; /* of their frames */
	uint16_t
		icmp_mtu; /* what a router on the way said that it can carry; 0: none did of late */
	uint64_t icmp_mtu_until_ns; /* from then on larger frames are tried again */
	struct framing_watch framing;
};

struct peers {
	unsigned count;
	struct peer peer[POLICY_PEERS_MAX];
};

/* Start a session with every peer of the policy in force. NULL with a sentence in error. */
struct peers *peers_create(struct control *c, char *error, size_t error_len);
void peers_destroy(struct peers *peers);

/* Send what is due, notice silence, publish changes. About every millisecond. */
void peers_tick(struct control *c, uint64_t now_ns);

/* A link control frame for the in-path address, parsed. */
void peers_receive(struct control *c, const struct rte_mbuf *m, uint64_t now_ns);

/* All that arrived from a peer in its data lanes, without its hellos. */
void peers_received(
	struct control *c, unsigned peer, uint64_t now_ns, struct link_seq_counts *counts);

/* The same in more detail: loss periods and reordering of the data lanes. */
struct peers_path {
	struct link_losses losses;
	struct link_reordering reordering;
	/* The least one-way delay of the last 10 to 20 s, and how far it may be off because the
	 * clocks' offset is an estimate (offset.h). Negative within that: as good as nothing. */
	bool has_delay;
	int64_t delay_ns;
	uint64_t uncertainty_ns;
};
void peers_path(struct control *c, unsigned peer, uint64_t now_ns, struct peers_path *path);

#endif
