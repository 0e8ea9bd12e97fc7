/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `show peers`: sessions, the paths from the peers as their frames' numbers and times tell of them,
 * and the same by class. Control thread only.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/clock.h"
#include "dataplane/control/peers.h"
#include "dataplane/control/show.h"
#include "dataplane/control/windows_feed.h"
#include "dataplane/measure/record.h"

static_assert(CHANNEL_SIZES == LINK_SIZES && CHANNEL_N_REORDERING == LINK_N_REORDERING,
	"copied as they are");

int show_peers(void *context, const struct page_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	const struct daemon *d = c->daemon;
	const struct policy *policy = d->plan->policy;
	uint64_t now_ns = clock_now_ns();
	static struct histogram variation;

	for (uint64_t at = request->from; at < c->peers->count; at++) {
		unsigned i = (unsigned)at;
		const struct peer *p = &c->peers->peer[i];
		const struct link_session *s = &p->session;
		const struct link_hello *hello = &s->peer;
		struct link_seq_counts received;
		struct peer_record r = {.family = policy->peers[i].address.family,
			.state = s->alive			 ? CHANNEL_PEER_UP
				 : s->state == LINK_SESSION_DOWN ? CHANNEL_PEER_DOWN
								 : CHANNEL_PEER_CONNECTING,
			.since_realtime_ns = p->since_realtime_ns,
			.session = s->session_id,
			.rtt_ns = s->rtt_ns,
			.path_mtu = d->links->path[i].path_mtu,
			.peer_path_mtu = hello->path_mtu};

		if (channel_reply_room(reply) == 0) {
			channel_reply_next(reply, at, c->peers->count);
			return 0;
		}
		show_name(r.name, policy->peers[i].name);
		show_name(r.bridge, policy->bridges[policy->peers[i].bridge].name);
		memcpy(r.address, policy->peers[i].address.bytes, sizeof(r.address));
		snprintf(r.error, sizeof(r.error), "%s", s->error);
		show_name(r.codec, s->alive ? "lz4" : "");
		r.framing = d->links->path[i].transparent ? CHANNEL_FRAMING_TRANSPARENT
							  : CHANNEL_FRAMING_TUNNEL;
		show_name(r.encryption, link_cipher_name((uint8_t)policy->peers[i].encryption));
		memset(&variation, 0, sizeof(variation));
		for (unsigned w = 0; w < d->worker_count; w++) {
			const struct worker_peer *of = &d->workers[w]->peers[i];
			r.tx_frames += of->tx_frames;
			r.tx_bytes += of->tx_bytes;
			r.rx_frames += of->rx_frames;
			r.rx_bytes += of->rx_bytes;
			r.rx_bad += of->rx_bad;
			r.rx_forged += of->rx_forged;
			histogram_merge(&variation, &of->delay_variation);
		}
		r.tx_frames += s->hellos_sent;
		r.rx_frames += s->hellos_received;
		r.tx_bytes += p->tx_hello_bytes;
		r.rx_bytes += p->rx_hello_bytes;
		peers_received(c, i, now_ns, &received);
		/* Hellos are link packets too: the figures are of all of them. */
		struct link_seq_counts hellos;
		link_seq_read(&s->control, NULL, now_ns, &hellos);
		link_seq_counts_add(&received, &hellos);
		r.rx_lost = received.lost;
		r.rx_duplicate = received.duplicates;
		r.rx_reordered = received.reordered;
		r.tx_lost = hello->received.lost;
		r.tx_duplicate = hello->received.duplicates;
		r.tx_reordered = hello->received.reordered;
		r.peer_rx_frames = hello->received.received;
		r.jitter_ns = received.jitter_ns;
		r.delay_variation = measure_dist(&variation);
		channel_send_peers(reply, &r);
	}
	return 0;
}

static uint64_t bps_of(uint64_t bytes, uint64_t ns)
{
	return ns == 0 ? 0 : (uint64_t)((double)bytes * 8e9 / (double)ns);
}

/* Distributions and rates of the window. */
static void fill_window(
	const struct control *c, unsigned i, enum window window, struct path_record *r)
{
	static struct histogram variation, ipdv; /* too large for the stack */
	const struct daemon *d = c->daemon;
	uint64_t rx_bytes = 0, tx_bytes = 0;
	uint32_t seconds, ignored;

	memset(&variation, 0, sizeof(variation));
	memset(&ipdv, 0, sizeof(ipdv));
	if (!feed_peer(c, i, FEED_VARIATION, window, &variation, &seconds) ||
		!feed_peer(c, i, FEED_IPDV, window, &ipdv, &ignored))
		return;
	if (window == WINDOW_ALL) {
		for (unsigned w = 0; w < d->worker_count; w++) {
			rx_bytes += d->workers[w]->peers[i].rx_bytes;
			tx_bytes += d->workers[w]->peers[i].tx_bytes;
		}
	} else {
		rx_bytes = feed_peer_counter(c->feed, i, FEED_PEER_RX_BYTES, window);
		tx_bytes = feed_peer_counter(c->feed, i, FEED_PEER_TX_BYTES, window);
	}
	r->window_ns = seconds * UINT64_C(1000000000);
	r->rx_bps = bps_of(rx_bytes, r->window_ns);
	r->tx_bps = bps_of(tx_bytes, r->window_ns);
	r->delay_variation = measure_dist(&variation);
	r->ipdv = measure_dist(&ipdv);
}

int show_paths(void *context, const struct window_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	uint64_t now_ns = clock_now_ns();

	if (show_check_window(request->window, reply) != 0)
		return -EINVAL;
	for (uint64_t at = request->from; at < c->peers->count; at++) {
		unsigned i = (unsigned)at;
		struct link_seq_counts counts;
		struct peers_path path;
		struct path_record r = {.unsettled = c->peers->peer[i].loss.unsettled};

		if (channel_reply_room(reply) == 0) {
			channel_reply_next(reply, at, c->peers->count);
			return 0;
		}
		show_name(r.name, c->daemon->plan->policy->peers[i].name);
		peers_received(c, i, now_ns, &counts);
		peers_path(c, i, now_ns, &path);
		const struct link_reordering *o = &path.reordering;
		uint64_t known = 0;
		for (unsigned k = 0; k < LINK_SIZES; k++)
			known += o->extent[k];
		r.received = counts.received;
		r.lost = counts.lost;
		r.duplicate = counts.duplicates;
		r.reordered = counts.reordered;
		r.late = counts.late;
		r.loss_periods = path.losses.periods;
		r.loss_longest = path.losses.longest;
		r.loss_noticeable = path.losses.noticeable;
		memcpy(r.loss_runs, path.losses.run, sizeof(r.loss_runs));
		memcpy(r.extents, o->extent, sizeof(r.extents));
		memcpy(r.n_reordered, o->n_reordered, sizeof(r.n_reordered));
		r.extent_unknown = o->extent_unknown;
		r.extent_max = o->extent_max;
		r.late_mean_ns = known == 0 ? 0 : o->late_sum_ns / known;
		r.late_max_ns = o->late_max_ns;
		r.has_delay = path.has_delay;
		r.delay_ns = path.delay_ns;
		r.delay_uncertainty_ns = path.uncertainty_ns;
		fill_window(c, i, (enum window)request->window, &r);
		channel_send_paths(reply, &r);
	}
	return 0;
}

/* One class of one peer; false: the peer sent nothing in it. */
static bool fill_class(
	const struct control *c, unsigned i, unsigned slot, struct peer_class_record *r)
{
	static struct histogram variation;
	const struct daemon *d = c->daemon;
	const struct link_class_loss *loss = &c->peers->peer[i].loss;

	memset(&variation, 0, sizeof(variation));
	for (unsigned w = 0; w < d->worker_count; w++) {
		const struct worker_peer *p = &d->workers[w]->peers[i];
		const struct link_class_counts *n = &p->classes.slot[slot];
		r->received += n->frames + n->duplicates;
		r->bytes += n->bytes;
		r->duplicate += n->duplicates;
		r->reordered += n->reordered;
		histogram_merge(&variation, &p->class_delay[slot]);
	}
	r->sent = loss->sent[slot];
	r->lost = loss->lost[slot];
	r->delay_variation = measure_dist(&variation);
	show_name(r->peer, d->plan->policy->peers[i].name);
	show_name(r->class_name, slot == 0 ? "" : loss->name[slot]);
	return r->received + r->sent > 0;
}

int show_peer_classes(
	void *context, const struct page_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	uint64_t total = (uint64_t)c->peers->count * LINK_CLASS_SLOTS;

	for (uint64_t at = request->from; at < total; at++) {
		struct peer_class_record r = {0};

		if (channel_reply_room(reply) == 0) {
			channel_reply_next(reply, at, total);
			return 0;
		}
		/* Named classes first. */
		if (fill_class(c, (unsigned)(at / LINK_CLASS_SLOTS),
			    (unsigned)((at + 1) % LINK_CLASS_SLOTS), &r))
			channel_send_peer_classes(reply, &r);
	}
	return 0;
}
