/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packs of repeats in the worker (worker_repeat.h). Each costs some 40 bytes of references, and a
 * frame of its own 58 more. A pack ends with the first packet of the flow that is no repeat: that
 * must not be overtaken, and has a frame of its own, as both ends keep it.
 */
#include "dataplane/worker_repeat.h"

#include "dataplane/compress/decide.h"
#include "dataplane/worker_pack.h"
#include "dataplane/worker_store.h"

/* A pack that is being put together: in w->pack, its blob in the spare mbuf. */
struct repeats {
	const struct link_path *path;
	unsigned peer;
	uint8_t lane;
	uint32_t len; /* of the blob */
	struct pack_selection selection;
	struct store_tx_counts hits;
};

/* May packets of the flow go through the store without a question to the codec's own trial? */
static bool goes_through_store(const struct worker *w, const struct pkt *p)
{
	const struct flow_codec *fc = &p->flow->codec;

	return fc->state == FLOW_CODEC_ON ||
	       (w->plan->class_codec[p->class_id].store_all && !fc->is_encrypted);
}

/* Where the burst has the next packet of the flow of pkts[0] from `i` on; n: nowhere. */
static unsigned find_next(struct rte_mbuf *const *pkts, unsigned n, unsigned i)
{
	const struct pkt *first = pkt_of(pkts[0]);

	while (i < n && (pkts[i] == NULL || pkt_of(pkts[i])->flow != first->flow ||
				pkt_of(pkts[i])->way != first->way))
		i++;
	return i;
}

/* Could `m` share a frame with `first`, if it is a repeat? */
static bool may_share(const struct worker *w, const struct link_path *path,
	const struct rte_mbuf *first, const struct rte_mbuf *m)
{
	const struct pkt *p = pkt_of(m);

	return p->class_id == pkt_of(first)->class_id && p->flags & PKT_IP &&
	       !(p->flags & PKT_RETRANSMIT) && p->payload_len >= COMPRESS_SMALL_BYTES &&
	       worker_may_link(w, m, path) == REASON_NONE;
}

/* Add a packet and the references that it consists of. False: it is no repeat, or does not fit. */
static bool add(struct worker *w, struct repeats *r, const struct rte_mbuf *m)
{
	uint32_t room, inner_len, len = 0;
	const uint8_t *inner = link_inner(r->path, m, &inner_len);
	uint8_t *part;

	if (!link_pack_add(&w->pack, r->path, m))
		return false;
	part = link_pack_blob(
		       &w->pack, r->path, w->spare, compress_min_gain(w->pack.frame_bytes), &room) +
	       r->len;
	if (room > r->len + LINK_PACK_PART_BYTES)
		len = worker_store_repeat(w, r->peer, r->lane, m, inner, inner_len,
			part + LINK_PACK_PART_BYTES, room - r->len - LINK_PACK_PART_BYTES,
			&r->hits);
	if (len == 0) {
		link_pack_take_back(&w->pack, m);
		return false;
	}
	link_pack_part(&w->pack, part, len);
	r->len += LINK_PACK_PART_BYTES + len;
	return true;
}

/* Choose from the burst what goes with its first packet. */
static void select_repeats(struct worker *w, struct rte_mbuf **pkts, unsigned n, struct repeats *r)
{
	struct pack_selection *s = &r->selection;

	link_pack_clear(&w->pack);
	for (unsigned i = 0; i < n; i = find_next(pkts, n, i + 1)) {
		if (!may_share(w, r->path, pkts[0], pkts[i]) || !add(w, r, pkts[i]))
			return;
		s->at[s->count] = i;
		s->pkts[s->count++] = pkts[i];
	}
}

/* Is it likely that the first packet of the burst and one behind it are repeats? */
static bool is_promising(const struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	const struct pkt *p = pkt_of(pkts[0]);
	unsigned peer = p->flow->peer - 1u;
	const struct link_path *path = &w->links->path[peer];

	return path->store_slots > 0 && worker_does_pack(w, path) && goes_through_store(w, p) &&
	       worker_store_repeats(w, peer, link_lane(path, w->index, p->steer_hash), pkts[0]) &&
	       find_next(pkts, n, 1) < n;
}

/* The frame has been sent, of this flow. */
static void count_sent(
	struct worker *w, const struct repeats *r, uint32_t flow_hash, struct worker_codec *k)
{
	const struct link_path *path = r->path;
	uint32_t before = w->pack.frame_bytes;
	uint32_t now = link_headers_bytes(path) + r->len + link_trailer_bytes(path);

	k->packets += r->selection.count;
	k->bytes += before;
	k->wire_bytes += now;
	k->tried_bytes += before;
	w->peers[r->peer].store_saved += before - now;
	store_passed(w->peers[r->peer].store_tx, r->lane % LINK_WORKERS_MAX, flow_hash, &r->hits);
}

unsigned worker_pack_repeats(
	struct worker *w, struct rte_mbuf **pkts, unsigned n, struct worker_class *c)
{
	const struct pkt *p = pkt_of(pkts[0]);
	struct worker_codec *k = &w->codecs[p->bridge][p->class_id].by_number[LINK_CODEC_STORE];
	uint32_t flow_hash = (uint32_t)p->hash;
	uint64_t start, cycles;

	if (!is_promising(w, pkts, n) ||
		(w->spare == NULL && (w->spare = rte_pktmbuf_alloc(w->daemon->pool)) == NULL))
		return 0;

	struct repeats r = {.peer = p->flow->peer - 1u};

	start = rte_rdtsc();
	r.path = &w->links->path[r.peer];
	r.lane = link_lane(r.path, w->index, p->steer_hash);
	select_repeats(w, pkts, n, &r);
	cycles = rte_rdtsc() - start;
	c->codec_cycles += cycles;
	k->cycles += cycles;
	if (r.selection.count == 1)
		store_doubt(w->peers[r.peer].store_tx, r.lane % LINK_WORKERS_MAX, flow_hash);
	if (r.selection.count < LINK_PACK_MIN)
		return 0;
	c->codec_bytes += w->pack.len;
	if (!worker_pack_send(w, pkts, &r.selection, LINK_CODEC_STORE, r.len, c))
		return 0;
	count_sent(w, &r, flow_hash, k);
	return r.selection.count;
}
