/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a peer with encryption asks of the packets that compress left alone: they go through the
 * link as they are, sealed, or not at all. Worker threads only.
 */
#ifndef SLUICE_WORKER_ENCRYPT_H
#define SLUICE_WORKER_ENCRYPT_H

#include "dataplane/worker.h"

/* The most packets that a burst may hold once some of it had to be cut into fragments. */
#define SEALED_MAX (2 * BURST)

/* Does the packet's peer want it encrypted? */
static inline bool worker_wants_sealed(const struct worker *w, const struct pkt *p)
{
	const struct flow *f = p->flow;

	return f->peer != 0 && p->flags & PKT_IP &&
	       w->links->path[f->peer - 1].cipher != LINK_CIPHER_NONE;
}

/*
 * Make link frames of a packet that leaves for such a peer: out[0], or, if it is too long for the
 * path and may be cut, several, `room` at most. Where it cannot go through the link it is dropped,
 * or passed on in out[0] if the policy says so. Returns how many packets there are to send; `m` is
 * one of them or freed.
 */
unsigned worker_seal(struct worker *w, struct rte_mbuf *m, struct rte_mbuf **out, unsigned room);

/* A link frame has been made of a packet: count it, for its flow, class and peer, and charge the
 * buckets with what it takes on the wire. `sent`: its struct pkt becomes the packet's. */
void worker_count_frame(
	struct worker *w, const struct rte_mbuf *m, struct rte_mbuf *sent, uint32_t wire_bytes);

/* Drop what came from a peer's networks in the clear although the policy wants it encrypted.
 * Returns how many packets stay. */
unsigned worker_refuse_plain(struct worker *w, struct rte_mbuf **pkts, unsigned n);

#endif
