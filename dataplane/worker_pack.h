/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What worker_compress.c has of packing (link/pack.h): several packets of a burst into one link
 * frame, and those of a frame that came out of it again. Worker threads only.
 */
#ifndef SLUICE_WORKER_PACK_H
#define SLUICE_WORKER_PACK_H

#include "dataplane/worker_stages.h"

static_assert(LINK_PACK_MAX <= BURST, "what is in a frame is a burst at most");

/* Packets of a burst that go together, in its order; the burst's first is the first. */
struct pack_selection {
	struct rte_mbuf *pkts[LINK_PACK_MAX];
	unsigned at[LINK_PACK_MAX]; /* in the burst */
	unsigned count;
};

/*
 * Send pkts[0], which leaves for a live peer, in one frame together with packets behind it, where
 * that takes fewer bytes. Then pkts[0] is the frame, those of the others that are in it are NULL,
 * and it returns how many packets that are; else 0 and nothing has changed. No packet overtakes
 * another one of its flow.
 */
unsigned worker_pack(struct worker *w, struct rte_mbuf **pkts, unsigned n, struct worker_class *c);

/* Does the worker pack at all what goes to a peer by this path, and has it the time now? */
bool worker_does_pack(const struct worker *w, const struct link_path *path);

/*
 * Send the selection of a burst, which stands in w->pack, in one frame: its blob, `len` bytes of
 * codec `number`, is at link_pack_blob() of the spare mbuf. Accounts for all of them; then pkts[0]
 * is the frame, those of the others that are in it are NULL. False: it does not fit, and nothing
 * has changed. c: of their class.
 */
bool worker_pack_send(struct worker *w, struct rte_mbuf **pkts, const struct pack_selection *s,
	uint8_t number, uint32_t len, struct worker_class *c);

/* How many bytes of packets like `m`, which is small and leaves for this path, one frame is likely
 * to take; 0: they do not share frames now. c: of its class. */
uint32_t worker_pack_bytes(const struct worker *w, const struct rte_mbuf *m,
	const struct link_path *path, struct worker_class *c);

/* May the small packets `first` and `m`, which leave for a live peer, share a frame? */
bool worker_packs_with(
	const struct worker *w, const struct rte_mbuf *first, const struct rte_mbuf *m);

/*
 * Decode the frame `in`, of which link_is_packed(), into as many packets as are in it: *n of out[],
 * which has room for LINK_PACK_MAX, raw, as link_decode() gives one. store: worker_store_of() its
 * lane. Returns 0 or what link_decode() does, minus DROP_RX_NO_MBUF, too; then *n is 0.
 */
int worker_unpack(struct worker *w, struct rte_mbuf *in, const struct link_path *path,
	struct link_seq *lanes, struct store_receiver *store, struct rte_mbuf **out, unsigned *n,
	struct link_arrival *arrival);

/*
 * Share out the bytes of a frame among the packets that it carries: their pkt.wire_bytes, by their
 * lengths; the overhead is the first one's, the others get PKT_PACKED.
 */
void worker_share_frame(uint32_t frame_bytes, struct rte_mbuf *const *pkts, unsigned n);

#endif
