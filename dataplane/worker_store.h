/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What worker_compress.c, worker.c and setup.c have of the store of repeated data
 * (compress/store.h): the worker's packets into it and out of it, and its acknowledgements. Worker
 * threads, but for the memory, which setup.c takes.
 */
#ifndef SLUICE_WORKER_STORE_H
#define SLUICE_WORKER_STORE_H

#include "dataplane/worker.h"

/* Slots that each worker has for what it receives from peer `i`, 0: no store; bytes of its memory
 * for that peer, both ways. Follow from the policy alone. */
uint32_t worker_store_slots(const struct policy *policy, unsigned i);
uint64_t worker_store_bytes(const struct policy *policy, unsigned i);

/* Make the stores of a worker's peer of `memory`, worker_store_bytes() of zeros, aligned to a cache
 * line. */
void worker_store_init(struct worker_peer *peer, const struct policy *policy, unsigned i,
	const struct dictionaries *dictionaries, void *memory);

/* Then let the stores that `count` workers have for a peer serve each other. */
void worker_stores_join(struct worker *const workers[], unsigned count, unsigned peer);

/* Of that memory, what the histories of flows take (worker_epoch.h), and of how many flows. */
uint64_t worker_store_history_bytes(const struct policy *policy, unsigned i);
uint32_t worker_store_histories(const struct policy *policy, unsigned i);

/*
 * Try to send the inner bytes of `m` as references, in lane link_lane() of the peer: writes the
 * blob, at most `room` bytes. Returns its length or 0. Whatever goes through the lane then is kept
 * by worker_store_keep().
 */
uint32_t worker_store_encode(struct worker *w, unsigned peer, uint8_t lane,
	const struct rte_mbuf *m, const uint8_t *inner, uint32_t inner_len, uint8_t *blob,
	uint32_t room);

/* Are the next packets of the flow of `m` likely to be repeats (compress/store.h)? */
bool worker_store_repeats(
	const struct worker *w, unsigned peer, uint8_t lane, const struct rte_mbuf *m);

/*
 * As worker_store_encode(), of a packet that is to share a frame if it is a repeat: it is not kept,
 * and is counted in *hits for store_passed(). Returns 0 for others; the last of them has been
 * looked up for worker_store_encode(), if that comes in the same burst.
 */
uint32_t worker_store_repeat(struct worker *w, unsigned peer, uint8_t lane,
	const struct rte_mbuf *m, const uint8_t *inner, uint32_t inner_len, uint8_t *blob,
	uint32_t room, struct store_tx_counts *hits);

/*
 * The same as worker_store_encode() in dry runs, w->dry_store, which has no peer: what is kept is
 * taken for acknowledged a moment later. When worker_dry_store_keep() follows nothing has been
 * sent; is_used: references would have been.
 */
uint64_t worker_dry_store_bytes(const struct policy *policy);
void worker_dry_store_init(struct worker *w, const struct policy *policy, void *memory);
void worker_dry_stores_join(struct worker *const workers[], unsigned count);
uint32_t worker_dry_store_encode(struct worker *w, const struct rte_mbuf *m, const uint8_t *inner,
	uint32_t inner_len, uint8_t *blob, uint32_t room);
void worker_dry_store_keep(struct worker *w, bool is_used);

/* Was the store of help with less than three quarters of that packet? */
bool worker_store_is_partial(const struct worker *w, const struct store_sender *s);

/* The packet of the last worker_store_encode() has been encoded for the link, in whatever codec. */
void worker_store_keep(struct worker *w, unsigned peer, uint8_t lane);

/* The store for what comes in `lane`, NULL: none. */
struct store_receiver *worker_store_of(const struct worker *w, unsigned peer, int lane);

/* Acknowledge before long what a lane has received. */
void worker_store_received(struct worker *w, unsigned peer, int lane);

/* A message about a lane (link/ack.h) came in `lane`: the frame `in`, verified under `session_id`.
 */
void worker_store_message(
	struct worker *w, unsigned peer, int lane, uint32_t session_id, const struct rte_mbuf *in);

/* Send a message about the lanes of both ways (link/ack.h) to worker `lane` of the peer. */
void worker_store_say(
	struct worker *w, unsigned peer, unsigned lane, const uint8_t *bytes, uint32_t len);

/* Begin with new sessions, send the acknowledgements and offers that are due. Once a round. */
void worker_acknowledge(struct worker *w);

#endif
