/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Does the WAN let transparent frames pass? Firewalls and translators of addresses may drop IPComp
 * while the hellos, which are UDP, go through. Watches what the peer's hellos say of our frames,
 * and tells peers.c when to take the tunnel. Control thread; time is an argument.
 */
#ifndef SLUICE_CONTROL_FRAMING_H
#define SLUICE_CONTROL_FRAMING_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/link/seq.h"

#define FRAMING_WATCH_NS UINT64_C(1000000000)	 /* over so long at least */
#define FRAMING_LOST_MIN 16			 /* frames */
#define FRAMING_TUNNEL_NS UINT64_C(600000000000) /* then transparent frames are tried again */

struct framing_watch {
	uint64_t tunnel_until_ns; /* data goes through the tunnel until then */
	/* Where the present interval began. */
	uint32_t session_id;
	uint64_t since_ns, unique, lost;
};

/*
 * A hello of session session_id says what the peer has received of all our frames. `transparent`:
 * data has gone in transparent frames. True: most frames since the last look got lost, in spite of
 * the hello: tunnel_until_ns is set anew.
 */
bool framing_watch(struct framing_watch *w, uint32_t session_id, bool transparent,
	const struct link_seq_counts *received, uint64_t now_ns);

#endif
