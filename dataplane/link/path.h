/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How to reach one peer: what a worker must know to write and read link frames. The control thread
 * builds it from the policy, the neighbour table and the session (link_session_fill_path()) and
 * publishes it as a whole; it is never changed afterwards. frame.c reads it for every packet.
 */
#ifndef SLUICE_LINK_PATH_H
#define SLUICE_LINK_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/link/aead.h"

struct link_path {
	/* From the session. */
	uint64_t tx_key;     /* check key of what we send */
	uint64_t rx_key;     /* check key of what the peer sends */
	uint64_t rx_key_old; /* that of session_id - 1: frames in flight while the keys changed */
	uint64_t rx_key_old_until_ns; /* from then on rx_key_old is void; 0: there is none */
	uint32_t session_id;	      /* grows with every new pair of keys; 0: no session yet */
	bool alive;		      /* the peer answers: data may be sent through the link */
	uint8_t peer_workers;	      /* 1..LINK_WORKERS_MAX while session_id is not 0 */
	uint8_t codecs;		      /* what both ends understand, a bit each of enum link_codec */
	bool packs;		      /* the peer understands several packets in a frame */
	uint16_t dictionaries;	      /* what both ends have, a bit each id */
	uint32_t store_slots;	      /* packets that each worker of the peer keeps; 0: no store */
	uint16_t path_mtu; /* largest outer IP packet, the smaller of both ends' settings */
	uint16_t tx_cpi, rx_cpi, rx_cpi_old; /* of transparent frames, as the keys above */
	bool transparent;		     /* data goes in transparent frames: transparent.h */
	bool transparent_rx;		     /* and may come in them */
	uint8_t cipher; /* enum link_cipher: what data frames are sealed with, also before there is
			 * a session */
	/* Keys as above; without a cipher they are all 0. rx_aead_old is session_id_old's, until
	 * rx_key_old_until_ns; rx_aead_next that of the session whose keys are being agreed, 0:
	 * none, as the peer may use it before we do. */
	uint32_t session_id_old, session_id_next;
	uint32_t session_id_first; /* from this one on the peer has not been restarted */
	struct link_aead_key tx_aead, rx_aead, rx_aead_old, rx_aead_next;
	/* From the policy and the neighbour table. */
	uint16_t port;	  /* UDP port of the link, host order */
	uint16_t vlan;	  /* tag of the outer frame; 0: untagged */
	uint8_t family;	  /* of the addresses: 4 or 6 */
	bool routed;	  /* only IP packets cross, without their link-layer header */
	bool plain_drops; /* with a cipher: what cannot be sealed is dropped, not sent plainly */
	uint8_t our_mac[6], next_hop_mac[6];
	uint8_t our_address[16], peer_address[16]; /* IPv4 as ::ffff:a.b.c.d */
};

#endif
