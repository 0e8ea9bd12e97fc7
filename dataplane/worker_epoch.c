/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acknowledged history in the worker (worker_epoch.h): which packets may have one, and the way of
 * offers and answers.
 */
#include "dataplane/worker_epoch.h"

#include "dataplane/compress/epoch.h"
#include "dataplane/worker_store.h"

uint32_t worker_epoch_encode(struct worker *w, unsigned peer, uint8_t lane,
	const struct rte_mbuf *m, struct codec_method method, uint8_t *blob, uint32_t room,
	uint8_t *number)
{
	const struct link_path *path = &w->links->path[peer];
	struct epoch_sender *h = w->peers[peer].epoch_tx;
	unsigned wanted = method.number == CODEC_ZSTD ? CODEC_ZSTD_HISTORY : CODEC_LZ4_HISTORY;

	/* When there is no time for the best, there is none for this. */
	if (!w->at_hand.is_to_keep || h == NULL || w->governor.step > 0 ||
		method.number == CODEC_RAW || !(path->codecs >> wanted & 1) ||
		!w->plan->class_codec[pkt_of(m)->class_id].history)
		return 0;
	w->at_hand.method = method;
	return (uint32_t)epoch_encode(h, lane % LINK_WORKERS_MAX, &w->at_hand.packet, w->codec,
		method, blob, room, w->now_ns, number);
}

void worker_epoch_keep(struct worker *w, unsigned peer, uint8_t lane)
{
	struct epoch_sender *h = w->peers[peer].epoch_tx;

	if (h != NULL)
		epoch_keep(h, lane % LINK_WORKERS_MAX, &w->at_hand.packet, w->at_hand.seq,
			w->at_hand.method, w->now_ns);
}

void worker_epoch_offer(struct worker *w, unsigned peer)
{
	const struct link_path *path = &w->links->path[peer];
	struct epoch_sender *h = w->peers[peer].epoch_tx;
	uint8_t bytes[EPOCH_OFFER_MAX];
	unsigned lane;
	uint32_t len;

	if (h == NULL || likely(h->due_count == 0) || !path->alive ||
		h->store->session_id != path->session_id)
		return;
	while ((len = epoch_offer(h, bytes, &lane, w->now_ns)) > 0)
		worker_store_say(w, peer, lane, bytes, len);
}

void worker_epoch_refuse(struct worker *w, unsigned peer, unsigned lane)
{
	struct epoch_receiver *h = w->peers[peer].epoch_rx;
	uint8_t bytes[EPOCH_ANSWER_MAX];
	uint32_t len;

	while (h != NULL && (len = epoch_refusal(h, lane, bytes)) > 0)
		worker_store_say(w, peer, lane, bytes, len);
}

void worker_epoch_message(struct worker *w, unsigned peer, int lane, uint32_t session_id,
	const uint8_t *bytes, uint32_t len)
{
	const struct link_path *path = &w->links->path[peer];
	unsigned other = (unsigned)lane / LINK_WORKERS_MAX;
	struct epoch_sender *tx = w->peers[peer].epoch_tx;
	struct epoch_receiver *rx = w->peers[peer].epoch_rx;
	uint8_t answer[EPOCH_ANSWER_MAX];
	uint32_t n;

	if (len == 0 || tx == NULL || session_id != path->session_id)
		return;
	if (bytes[0] == EPOCH_ANSWER && tx->store->session_id == session_id)
		epoch_answered(tx, other, bytes, len, w->now_ns);
	if (bytes[0] != EPOCH_OFFER || rx->store->session_id != session_id ||
		worker_store_of(w, peer, lane) == NULL)
		return;
	n = epoch_offered(rx, other, bytes, len, answer);
	if (n > 0)
		worker_store_say(w, peer, other, answer, n);
}
