/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packing in the worker (worker_pack.h): which packets of a burst go together, whether it pays, and
 * the accounts of all of them. link/pack.h knows the frame, compress/pack.h what is likely to fit.
 */
#include "dataplane/worker_pack.h"

#include <string.h>

#include "dataplane/clock.h"
#include "dataplane/compress/decide.h"

/* Packets up to this length go together with those of other flows of their class: what they have
 * in common is their headers. */
#define SMALL_BYTES 256u
/* Flows that were passed over in a burst, at most: with more, the pack is closed. */
#define PASSED_OVER_MAX 8u

/* Flows whose later packets must stay behind. */
struct passed_over {
	const struct flow *flows[PASSED_OVER_MAX];
	unsigned count;
};

static bool is_small(const struct rte_mbuf *m)
{
	return m->pkt_len <= SMALL_BYTES;
}

/* In front of IP behind the addresses: the same tags, so the same VLAN. */
static bool is_same_domain(const struct rte_mbuf *a, const struct rte_mbuf *b)
{
	uint16_t l3 = pkt_of(a)->l3_off;

	return pkt_of(b)->l3_off == l3 && l3 >= LINK_L2_BYTES &&
	       memcmp(rte_pktmbuf_mtod_offset(a, void *, 12),
		       rte_pktmbuf_mtod_offset(b, void *, 12), l3 - 12u) == 0;
}

/* Would m's frame have the same class and go to the same lane of the same peer as first's? */
static bool goes_the_same_way(const struct worker *w, const struct link_path *path,
	const struct rte_mbuf *first, const struct rte_mbuf *m)
{
	const struct pkt *a = pkt_of(first), *b = pkt_of(m);

	return b->flow->peer == a->flow->peer && b->class_id == a->class_id && b->way == a->way &&
	       b->bridge == a->bridge && b->flags & PKT_IP &&
	       link_lane(path, w->index, b->steer_hash) == link_lane(path, w->index, a->steer_hash);
}

static bool is_passed_over(const struct passed_over *passed, const struct flow *f)
{
	for (unsigned i = 0; i < passed->count; i++)
		if (passed->flows[i] == f)
			return true;
	return false;
}

/* Choose from the burst what goes with its first packet, up to `most` original bytes, into w->pack
 * and *s. */
static void select_packets(struct worker *w, const struct link_path *path, struct rte_mbuf **pkts,
	unsigned n, uint32_t most, struct pack_selection *s)
{
	const struct rte_mbuf *first = pkts[0];
	const struct flow *flow = pkt_of(first)->flow;
	struct passed_over passed = {.count = 0};

	s->count = 0;
	link_pack_clear(&w->pack);
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];

		if (m == NULL || (i > 0 && !goes_the_same_way(w, path, first, m)))
			continue;
		const struct flow *f = pkt_of(m)->flow;
		uint32_t len = m->pkt_len + LINK_PACK_LENGTH_BYTES;

		if (is_passed_over(&passed, f))
			continue;
		if (s->count > 0 && w->pack.len + len > most)
			return;
		if ((is_small(first) ? is_small(m) && is_same_domain(first, m) : f == flow) &&
			worker_may_link(w, m, path) == REASON_NONE &&
			link_pack_add(&w->pack, path, m)) {
			s->at[s->count] = i;
			s->pkts[s->count++] = m;
			continue;
		}
		/* Itself not: then nothing. Another one: what its flow has behind it must not
		 * overtake it. */
		if (i == 0 || passed.count == PASSED_OVER_MAX)
			return;
		passed.flows[passed.count++] = f;
	}
}

void worker_share_frame(uint32_t frame_bytes, struct rte_mbuf *const *pkts, unsigned n)
{
	uint32_t left = 0, bytes = frame_bytes;

	for (unsigned i = 0; i < n; i++)
		left += pkts[i]->pkt_len;
	for (unsigned i = 0; i < n; i++) {
		struct pkt *p = pkt_of(pkts[i]);
		uint32_t len = pkts[i]->pkt_len;
		uint32_t part = left > 0 ? (uint32_t)((uint64_t)bytes * len / left) : bytes;

		/* The shaper would charge the first one with no less. */
		if (i == 0 && part < SHAPER_FRAME_MIN)
			part = RTE_MIN(bytes, SHAPER_FRAME_MIN);
		if (i > 0)
			p->flags |= PKT_PACKED;
		p->wire_bytes = (uint16_t)part;
		bytes -= part;
		left -= len;
	}
}

/* All packets but the first, which transmit() counts, have left. */
static void count_others(struct worker *w, const struct pack_selection *s, struct worker_class *c)
{
	const struct pkt *first = pkt_of(s->pkts[0]);
	struct measure_class *m = worker_measure(w, first->class_id);
	uint64_t now_ns = clock_now_ns();

	c->packets += s->count - 1;
	for (unsigned i = 1; i < s->count; i++) {
		const struct pkt *p = pkt_of(s->pkts[i]);

		histogram_record(&m->box[p->way], now_ns > p->rx_ns ? now_ns - p->rx_ns : 0);
		if (p->queued_ns != 0)
			histogram_record(&m->queue[p->way],
				now_ns > p->queued_ns ? now_ns - p->queued_ns : 0);
	}
}

/* The packets are in the frame `out`: account for them, let it take the first one's place. */
static void replace(struct worker *w, struct rte_mbuf **pkts, const struct pack_selection *s,
	struct rte_mbuf *out, struct worker_class *c)
{
	struct shaper *shaper = w->shaper[pkt_of(s->pkts[0])->bridge][WAY_UP];
	uint32_t frame_bytes = out->pkt_len;

	count_others(w, s, c);
	worker_share_frame(frame_bytes, s->pkts, s->count);
	for (unsigned i = 0; i < s->count; i++) {
		struct rte_mbuf *m = s->pkts[i];
		struct flow *f = pkt_of(m)->flow;
		uint32_t part = pkt_of(m)->wire_bytes;

		/* The buckets were charged for the packets as they were. */
		shaper_settle(shaper, m, part);
		compress_untried(&f->codec, m->pkt_len, part);
		f->saved_bytes[WAY_UP] += m->pkt_len > part ? m->pkt_len - part : 0;
		c->bytes += m->pkt_len;
	}
	c->bytes -= frame_bytes; /* transmit() counts the link frame */
	*pkt_of(out) = *pkt_of(s->pkts[0]);
	pkt_of(out)->wire_bytes = (uint16_t)frame_bytes;
	for (unsigned i = 0; i < s->count; i++) {
		rte_pktmbuf_free(s->pkts[i]);
		pkts[s->at[i]] = NULL;
	}
	pkts[0] = out;
}

bool worker_pack_send(struct worker *w, struct rte_mbuf **pkts, const struct pack_selection *s,
	uint8_t number, uint32_t len, struct worker_class *c)
{
	const struct pkt *p = pkt_of(pkts[0]);
	const struct link_path *path = &w->links->path[p->flow->peer - 1u];
	struct worker_peer *to = &w->peers[p->flow->peer - 1u];
	uint8_t lane = link_lane(path, w->index, p->steer_hash);

	if (link_encode_pack(&to->tx[lane & (LINK_WORKERS_MAX - 1)], path, &w->pack, number, len,
		    w->spare, w->now_ns) != 0) {
		rte_pktmbuf_reset(w->spare);
		return false;
	}
	to->tx_frames++;
	to->tx_bytes += w->spare->pkt_len;
	c->compressed_packets += s->count;
	c->compressed_bytes += w->pack.frame_bytes;
	c->compressed_wire_bytes += w->spare->pkt_len;
	c->packed_packets += s->count;
	c->packed_frames++;
	replace(w, pkts, s, w->spare, c);
	w->spare = NULL;
	return true;
}

/* Compress what is in w->pack into the spare mbuf, as large as `room` at most. Returns the blob's
 * length, 0: it did not fit. */
static uint32_t compress_pack(struct worker *w, const struct rte_mbuf *first,
	const struct link_path *path, uint8_t *blob, uint32_t room, struct worker_class *c,
	uint8_t *number)
{
	const struct pkt *p = pkt_of(first);
	const struct compress_class class = compress_for_link(
		w->plan->class_codec[p->class_id], w->plan->policy->bridges[p->bridge].up_bps);
	struct codec_method method = compress_method(
		&p->flow->codec, &class, w->governor.step, path->codecs, path->dictionaries);
	struct worker_codec *k = &w->codecs[p->bridge][p->class_id].by_number[method.number];
	const struct link_pack *pack = &w->pack;
	uint64_t start = rte_rdtsc();
	int n = codec_encode(w->codec, method, pack->bytes, pack->len, blob, room);
	uint64_t cycles = rte_rdtsc() - start;

	*number = method.number;
	c->codec_cycles += cycles;
	c->codec_bytes += pack->len;
	k->cycles += cycles;
	k->tried_bytes += pack->frame_bytes;
	if (n <= 0)
		return 0;
	k->packets += pack->count;
	k->bytes += pack->frame_bytes;
	k->wire_bytes += link_headers_bytes(path) + link_trailer_bytes(path) + (uint32_t)n;
	return (uint32_t)n;
}

/* What is known of packets like this one; NULL: they are not packed. */
static struct pack_estimate *estimate_of(
	const struct link_path *path, const struct rte_mbuf *m, struct worker_class *c)
{
	struct flow_codec *fc = &pkt_of(m)->flow->codec;

	if (is_small(m)) {
		if (c->pack.share == 0)
			c->pack.share = PACK_SHARE_START;
		return &c->pack;
	}
	/* What goes through the store must have a frame of its own, if it is no repeat. */
	return fc->state == FLOW_CODEC_ON && path->store_slots == 0 ? &fc->pack : NULL;
}

/* Blobs of frames with several packets have at most so many bytes. */
static uint32_t room_of(const struct link_path *path)
{
	return path->path_mtu - link_overhead_bytes(path) - link_trailer_bytes(path);
}

bool worker_does_pack(const struct worker *w, const struct link_path *path)
{
	return path->alive && path->packs && !path->transparent && w->governor.step == 0;
}

uint32_t worker_pack_bytes(const struct worker *w, const struct rte_mbuf *m,
	const struct link_path *path, struct worker_class *c)
{
	if (!is_small(m) || !worker_does_pack(w, path) ||
		worker_may_link(w, m, path) != REASON_NONE)
		return 0;
	return pack_expected(estimate_of(path, m, c), room_of(path));
}

bool worker_packs_with(
	const struct worker *w, const struct rte_mbuf *first, const struct rte_mbuf *m)
{
	const struct link_path *path = &w->links->path[pkt_of(first)->flow->peer - 1u];

	/* There are lanes only where there is a session. */
	return worker_does_pack(w, path) && goes_the_same_way(w, path, first, m) &&
	       is_same_domain(first, m);
}

/* Is there anything behind it in the burst that could go with it? */
static bool has_company(struct rte_mbuf **pkts, unsigned n)
{
	const struct flow *flow = pkt_of(pkts[0])->flow;
	bool small = is_small(pkts[0]);

	for (unsigned i = 1; i < n; i++)
		if (pkts[i] != NULL && (small ? is_small(pkts[i]) : pkt_of(pkts[i])->flow == flow))
			return true;
	return false;
}

unsigned worker_pack(struct worker *w, struct rte_mbuf **pkts, unsigned n, struct worker_class *c)
{
	const struct pkt *p = pkt_of(pkts[0]);
	const struct link_path *path = &w->links->path[p->flow->peer - 1u];
	struct pack_estimate *estimate;
	struct pack_selection s;
	uint32_t most, room;
	uint8_t number;

	if (n < LINK_PACK_MIN || !worker_does_pack(w, path))
		return 0;
	estimate = estimate_of(path, pkts[0], c);
	if (estimate == NULL ||
		(w->spare == NULL && (w->spare = rte_pktmbuf_alloc(w->daemon->pool)) == NULL))
		return 0;
	most = pack_expected(estimate, room_of(path));
	if (most < pkts[0]->pkt_len || !has_company(pkts, n))
		return 0;
	select_packets(w, path, pkts, n, most, &s);
	if (s.count < LINK_PACK_MIN)
		return 0;

	uint8_t *blob = link_pack_blob(
		&w->pack, path, w->spare, compress_min_gain(w->pack.frame_bytes), &room);

	if (!pack_is_worth(estimate, s.count, w->pack.len, room))
		return 0;
	uint32_t len = compress_pack(w, pkts[0], path, blob, room, c, &number);

	if (len == 0) {
		pack_failed(estimate, s.count);
		return 0;
	}
	pack_fitted(estimate, w->pack.len, len);
	return worker_pack_send(w, pkts, &s, number, len, c) ? s.count : 0;
}

int worker_unpack(struct worker *w, struct rte_mbuf *in, const struct link_path *path,
	struct link_seq *lanes, struct store_receiver *store, struct rte_mbuf **out, unsigned *n,
	struct link_arrival *arrival)
{
	const struct link_pack *pack = &w->pack;
	int rc = link_decode_pack(w->codec, in, path, lanes, store, &w->pack, w->now_ns, arrival);

	*n = 0;
	if (rc != 0)
		return rc;
	if (rte_pktmbuf_alloc_bulk(w->daemon->pool, out, pack->count) != 0)
		return -DROP_RX_NO_MBUF;
	for (unsigned i = 0; i < pack->count; i++) {
		if (!link_unpack(pack, i, out[i])) {
			rte_pktmbuf_free_bulk(out, pack->count);
			return -DROP_LINK_BAD_PACK;
		}
	}
	*n = pack->count;
	return 0;
}
