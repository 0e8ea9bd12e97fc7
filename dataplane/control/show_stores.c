/* SPDX-License-Identifier: BSD-3-Clause */
/* The stores of repeated data, for `show compression`. Control thread only. */
#include "dataplane/clock.h"
#include "dataplane/compress/epoch.h"
#include "dataplane/control/show.h"
#include "dataplane/worker_store.h"

/* One worker's share. What the worker is changing may be a packet off. */
static void add_store(const struct worker_peer *peer, uint64_t now_ns, struct store_record *r)
{
	const struct store_sender *tx = peer->store_tx;
	const struct store_receiver *rx = peer->store_rx;
	const struct epoch_tx_counts *epochs = &peer->epoch_tx->counts;
	uint64_t oldest_ns = store_oldest_ns(tx, now_ns);

	for (unsigned lane = 0; lane < STORE_WORKERS; lane++) {
		r->slots += tx->lane[lane].kept.count;
		r->histories += peer->epoch_tx->lane[lane].count;
	}
	if (oldest_ns > r->oldest_ns)
		r->oldest_ns = oldest_ns;
	r->hits += tx->counts.hits;
	r->misses += tx->counts.misses;
	r->across += tx->counts.across;
	r->hit_bytes += tx->counts.hit_bytes;
	r->saved_bytes += peer->store_saved;
	r->kept += tx->counts.kept;
	r->unacknowledged += tx->counts.kept - tx->counts.acked;
	r->refused += tx->counts.refused;
	r->voided += tx->counts.voided;
	r->rx_kept += rx->counts.kept;
	r->rx_expanded += rx->counts.expanded;
	r->rx_missing += rx->counts.missing;
	r->acks_sent += rx->counts.acks;
	r->history_flows += epochs->flows;
	r->epochs_offered += epochs->offered;
	r->epochs_made += epochs->made;
	r->epochs_lost += epochs->lost;
	r->epochs_refused += epochs->refused;
	r->epoch_packets += epochs->used;
	r->epoch_shared += epochs->shared;
	r->rx_epochs += peer->epoch_rx->counts.made;
	r->rx_epochs_missing += peer->epoch_rx->counts.refused;
	r->rx_epoch_packets += peer->epoch_rx->counts.used;
}

int show_stores(void *context, const struct page_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	const struct daemon *d = c->daemon;
	const struct policy *policy = d->plan->policy;

	for (uint64_t at = request->from; at < policy->peer_count; at++) {
		struct store_record r = {0};

		if (d->workers[0]->peers[at].store_tx == NULL)
			continue;
		if (channel_reply_room(reply) == 0) {
			channel_reply_next(reply, at, policy->peer_count);
			return 0;
		}
		show_name(r.peer, policy->peers[at].name);
		r.memory_bytes = worker_store_bytes(policy, (unsigned)at) * d->worker_count;
		r.history_bytes =
			worker_store_history_bytes(policy, (unsigned)at) * d->worker_count;
		for (unsigned w = 0; w < d->worker_count; w++)
			add_store(&d->workers[w]->peers[at], clock_now_ns(), &r);
		channel_send_stores(reply, &r);
	}
	return 0;
}
