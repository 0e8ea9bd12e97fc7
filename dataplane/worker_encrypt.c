/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets to peers with encryption that compress left alone (worker_encrypt.h): all of them grow,
 * so this is also where fragments are cut and senders are told what fits.
 */
#include "dataplane/worker_encrypt.h"

#include <string.h>

#include <rte_ip.h>

#include "dataplane/packet/mtu.h"
#include "dataplane/worker_stages.h"

/* No sender needs to hear of its MTU more often. */
#define TOO_BIG_NS UINT64_C(1000000)

void worker_count_frame(
	struct worker *w, const struct rte_mbuf *m, struct rte_mbuf *sent, uint32_t wire_bytes)
{
	const struct pkt *p = pkt_of(m);
	struct worker_class *c = &w->classes[p->bridge][WAY_UP][p->class_id];
	struct worker_peer *to = &w->peers[p->flow->peer - 1];
	uint64_t saved = (uint64_t)m->pkt_len - wire_bytes; /* "negative" where it grew */

	to->tx_bytes += wire_bytes;
	/* The buckets were charged for the frame as it was. */
	shaper_settle(w->shaper[p->bridge][WAY_UP], m, wire_bytes);
	c->bytes += saved; /* transmit() counts what is sent */
	p->flow->saved_bytes[WAY_UP] += saved;
	if (sent == NULL)
		return;
	to->tx_frames++;
	*pkt_of(sent) = *p;
	pkt_of(sent)->wire_bytes = sent->pkt_len;
}

/* Whether link frames can be made of the packet at all. */
static bool can_link(const struct worker *w, const struct rte_mbuf *m, const struct link_path *path)
{
	return path->alive && (!path->routed || worker_is_proven(w, m, path));
}

/* The largest IP packet of the kind of `m` that fits into one link frame as it is. */
static uint32_t inner_mtu(const struct link_path *path, const struct rte_mbuf *m)
{
	uint32_t taken = link_headers_bytes(path) - link_l2_bytes(path) + link_trailer_bytes(path) +
			 (path->routed ? 0 : pkt_of(m)->l3_off);

	return path->path_mtu > taken ? path->path_mtu - taken : 0;
}

/* The link frame of the packet as it is, or NULL: no room, no memory. */
static struct rte_mbuf *raw_frame(struct worker *w, const struct rte_mbuf *m)
{
	const struct pkt *p = pkt_of(m);
	unsigned peer = p->flow->peer - 1u;
	const struct link_path *path = &w->links->path[peer];
	uint8_t lane = link_lane(path, w->index, p->steer_hash);
	struct link_tx *tx = &w->peers[peer].tx[lane & (LINK_WORKERS_MAX - 1)];
	struct rte_mbuf *out = rte_pktmbuf_alloc(w->daemon->pool);
	uint32_t len, headers = link_headers_bytes(path);
	const uint8_t *inner = link_inner(path, m, &len);

	if (out == NULL)
		return NULL;
	if (headers + len + link_trailer_bytes(path) <= rte_pktmbuf_tailroom(out)) {
		memcpy(rte_pktmbuf_mtod_offset(out, uint8_t *, headers), inner, len);
		if (link_encode(tx, path, m, LINK_CODEC_RAW, len, out, w->now_ns) == 0)
			return out;
	}
	rte_pktmbuf_free(out);
	return NULL;
}

/* Tell the LAN host that sent it. */
static void complain(struct worker *w, const struct rte_mbuf *m, uint32_t mtu)
{
	const struct pkt *p = pkt_of(m);
	const struct parse_context *c = &w->context[port_wan(p->bridge)];
	uint8_t source[16] = {[10] = 0xff, [11] = 0xff};
	struct rte_mbuf *out;

	if (w->now_ns - w->too_big_ns < TOO_BIG_NS ||
		(out = rte_pktmbuf_alloc(w->daemon->pool)) == NULL)
		return;
	/* From the in-path address; without one of the family, in the name of the receiver. */
	if (p->flags & PKT_IPV6 ? c->has_in_path6 : c->in_path4 != 0) {
		if (p->flags & PKT_IPV6)
			memcpy(source, c->in_path6, sizeof(source));
		else
			memcpy(source + 12, &c->in_path4, sizeof(c->in_path4));
	} else {
		memcpy(source, p->key.addr[!p->dir], sizeof(source));
	}
	if (!packet_too_big(m, mtu, source, out)) {
		rte_pktmbuf_free(out);
		return;
	}
	w->too_big_ns = w->now_ns;
	memset(pkt_of(out), 0, sizeof(struct pkt));
	pkt_of(out)->out_port = port_lan(p->bridge);
	worker_send(w, out);
}

/* Cut the packet and seal the pieces. Returns their number; 0: nothing is sent, `m` is still there.
 */
static unsigned seal_pieces(struct worker *w, const struct rte_mbuf *m, uint32_t mtu,
	struct rte_mbuf **out, unsigned room)
{
	uint32_t at = 0, wire_bytes = 0, parts = 0;
	struct rte_mbuf *piece = NULL;

	while (parts < room) {
		if (piece == NULL && (piece = rte_pktmbuf_alloc(w->daemon->pool)) == NULL)
			break;
		rte_pktmbuf_reset(piece);
		if (!packet_fragment(m, mtu, &at, piece))
			break;
		struct rte_mbuf *frame = raw_frame(w, piece);
		if (frame == NULL)
			break;
		out[parts++] = frame;
		wire_bytes += frame->pkt_len;
	}
	rte_pktmbuf_free(piece);
	/* All of them or none: the receiver could not use the rest. */
	if (at + sizeof(struct rte_ipv4_hdr) < pkt_of(m)->l3_len) {
		while (parts > 0)
			rte_pktmbuf_free(out[--parts]);
		return 0;
	}
	for (unsigned i = 0; i < parts; i++) {
		*pkt_of(out[i]) = *pkt_of(m);
		pkt_of(out[i])->wire_bytes = (uint16_t)out[i]->pkt_len;
	}
	w->peers[pkt_of(m)->flow->peer - 1].tx_frames += parts;
	worker_count_frame(w, m, NULL, wire_bytes);
	return parts;
}

unsigned worker_seal(struct worker *w, struct rte_mbuf *m, struct rte_mbuf **out, unsigned room)
{
	const struct link_path *path = &w->links->path[pkt_of(m)->flow->peer - 1];
	uint32_t mtu = inner_mtu(path, m);
	unsigned parts;

	if (!can_link(w, m, path)) {
		if (path->plain_drops) {
			worker_drop(w, m, DROP_LINK_MUST_ENCRYPT);
			return 0;
		}
		w->counters->reason[PASS_LINK_UNENCRYPTED]++;
		out[0] = m;
		return 1;
	}
	out[0] = raw_frame(w, m);
	if (out[0] != NULL) {
		worker_count_frame(w, m, out[0], out[0]->pkt_len);
		rte_pktmbuf_free(m);
		return 1;
	}
	if (packet_may_fragment(m) && path->routed && !path->plain_drops) {
		/* The far end knows flows, and fragments are another one. */
		w->counters->reason[PASS_LINK_UNENCRYPTED]++;
		out[0] = m;
		return 1;
	}
	parts = packet_may_fragment(m) && mtu >= sizeof(struct rte_ipv4_hdr) + 8
			? seal_pieces(w, m, mtu, out, room)
			: 0;
	if (parts > 0) {
		rte_pktmbuf_free(m);
		return parts;
	}
	if (pkt_of(m)->l3_len > mtu)
		complain(w, m, mtu);
	worker_drop(w, m, DROP_LINK_TOO_BIG);
	return 0;
}

/* To a group: no peer's network, so it goes beside the link at the sender, too. Neighbour discovery
 * lives on that. */
static bool is_multicast(const struct pkt *p)
{
	const uint8_t *to = p->key.addr[!p->dir];

	return p->flags & PKT_IPV6 ? to[0] == 0xff : to[12] >= 224;
}

unsigned worker_refuse_plain(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct pkt *p = pkt_of(pkts[i]);

		if (p->way == WAY_DOWN && !(p->flags & PKT_DECODED) && worker_wants_sealed(w, p) &&
			w->links->path[p->flow->peer - 1].plain_drops && !is_multicast(p))
			worker_drop(w, pkts[i], DROP_LINK_MUST_ENCRYPT);
		else
			pkts[kept++] = pkts[i];
	}
	return kept;
}
