/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What worker_store.c and worker_compress.c have of acknowledged history (compress/epoch.h), which is
 * about the packets that the store keeps. Worker threads.
 */
#ifndef SLUICE_WORKER_EPOCH_H
#define SLUICE_WORKER_EPOCH_H

#include "dataplane/worker.h"

/*
 * Try to compress the packet of the last worker_store_encode() against its flow's history. method:
 * what it gets without. Writes the blob, at most `room` bytes, and its codec to *number. Returns
 * its length or 0.
 */
uint32_t worker_epoch_encode(struct worker *w, unsigned peer, uint8_t lane,
	const struct rte_mbuf *m, struct codec_method method, uint8_t *blob, uint32_t room,
	uint8_t *number);

/* The packet has been kept in the store. */
void worker_epoch_keep(struct worker *w, unsigned peer, uint8_t lane);

/* Send the offers that are due, and what is to be said to the peer about epochs that are not here.
 * Once a round, and with the acknowledgements of a lane. */
void worker_epoch_offer(struct worker *w, unsigned peer);
void worker_epoch_refuse(struct worker *w, unsigned peer, unsigned lane);

/* A message came in `lane`: bytes[len], verified under `session_id`. */
void worker_epoch_message(struct worker *w, unsigned peer, int lane, uint32_t session_id,
	const uint8_t *bytes, uint32_t len);

#endif
