/* SPDX-License-Identifier: BSD-3-Clause */
/* The stores of repeated data, for `show compression`. Control thread only. */
#include "dataplane/clock.h"
#include "dataplane/compress/epoch.h"
#include "dataplane/control/show.h"
#include "dataplane/worker_store.h"

/* The sender's side of one worker's. What the worker is changing may be a packet off. */
static void add_sender(const struct store_sender *tx, uint64_t now_ns, struct store_record *r)
{
	uint64_t oldest_ns = store_oldest_ns(tx, now_ns);

	for (unsigned lane = 0; lane < STORE_WORKERS; lane++)
		r->slots += tx->lane[lane].kept.count;
	if (oldest_ns > r->oldest_ns)
		r->oldest_ns = oldest_ns;
	r->hits += tx->counts.hits;
	r->misses += tx->counts.misses;
	r->across += tx->counts.across;
	r->hit_bytes += tx->counts.hit_bytes;
	r->kept += tx->counts.kept;
	r->unacknowledged += tx->counts.kept - tx->counts.acked;
	r->refused += tx->counts.refused;
	r->voided += tx->counts.voided;
	r->continued += tx->counts.continued;
}

/* One worker's share, the same way. */
static void add_store(const struct worker_peer *peer, uint64_t now_ns, struct store_record *r)
{
	const struct store_receiver *rx = peer->store_rx;
	const struct epoch_tx_counts *epochs = &peer->epoch_tx->counts;

	add_sender(peer->store_tx, now_ns, r);
	for (unsigned lane = 0; lane < STORE_WORKERS; lane++)
		r->histories += peer->epoch_tx->lane[lane].count;
	r->saved_bytes += peer->store_saved;
	r->rx_kept += rx->counts.kept;
	r->rx_expanded += rx->counts.expanded;
	r->rx_missing += rx->counts.missing;
	r->acks_sent += rx->counts.acks;
	r->rx_continued += rx->counts.continued;
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

/* The store of a peer, or, behind the last one, that of dry runs. False: there is none. */
static bool store_of(const struct daemon *d, uint64_t peer, struct store_record *r)
{
	const struct policy *policy = d->plan->policy;
	uint64_t now_ns = clock_now_ns();

	if (peer == policy->peer_count) {
		if (d->workers[0]->dry_store == NULL)
			return false;
		show_name(r->peer, "(dry run)");
		r->memory_bytes = worker_dry_store_bytes(policy) * d->worker_count;
		for (unsigned w = 0; w < d->worker_count; w++) {
			add_sender(d->workers[w]->dry_store, now_ns, r);
			r->saved_bytes += d->workers[w]->dry_saved;
		}
		return true;
	}
	if (d->workers[0]->peers[peer].store_tx == NULL)
		return false;
	show_name(r->peer, policy->peers[peer].name);
	r->memory_bytes = worker_store_bytes(policy, (unsigned)peer) * d->worker_count;
	r->history_bytes = worker_store_history_bytes(policy, (unsigned)peer) * d->worker_count;
	for (unsigned w = 0; w < d->worker_count; w++)
		add_store(&d->workers[w]->peers[peer], now_ns, r);
	return true;
}

int show_stores(void *context, const struct page_request *request, struct channel_reply *reply)
{
	const struct control *c = context;
	uint64_t count = c->daemon->plan->policy->peer_count + 1u;

	for (uint64_t at = request->from; at < count; at++) {
		struct store_record r = {0};

		if (!store_of(c->daemon, at, &r))
			continue;
		if (channel_reply_room(reply) == 0) {
			channel_reply_next(reply, at, count);
			return 0;
		}
		channel_send_stores(reply, &r);
	}
	return 0;
}
