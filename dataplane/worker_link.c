/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What comes from the peer: the decode stage, and what flows must remember to be delivered here and
 * to go through the link there. What goes to it: worker_compress.c. link/ knows the frames.
 */
#include <string.h>

#include <rte_tcp.h>

#include "dataplane/packet/edit.h"
#include "dataplane/worker_encrypt.h"
#include "dataplane/worker_pack.h"
#include "dataplane/worker_stages.h"
#include "dataplane/worker_store.h"

/* ---- decode ---- */

/* The peer whose address a link frame comes from, on that frame's bridge; -1: none. */
static int find_sender(const struct worker *w, const struct pkt *p)
{
	const struct links *links = w->links;

	for (uint32_t i = 0; i < links->count; i++)
		if (w->plan->policy->peers[i].bridge == p->bridge &&
			memcmp(links->path[i].peer_address, p->key.addr[p->dir], 16) == 0)
			return (int)i;
	return -1;
}

/*
 * The peer whose session a transparent frame names by its CPI, on that frame's bridge; -1: none, so
 * it is somebody else's. Where two sessions have drawn the same CPI, the source address decides.
 */
static int find_transparent_sender(const struct worker *w, const struct rte_mbuf *m)
{
	const struct pkt *p = pkt_of(m);
	int found = -1;

	for (uint32_t i = 0; i < w->links->count; i++) {
		if (w->plan->policy->peers[i].bridge != p->bridge ||
			!link_transparent_is_of(m, &w->links->path[i], w->now_ns))
			continue;
		if (found < 0 || (int)i == plan_find_peer(w->plan, p->bridge, p->key.addr[p->dir]))
			found = (int)i;
	}
	return found;
}

/* A packet from a routed link has no link-layer header: give it room for one, as wide as frames of
 * the in-path VLAN have. Its flow's header is written over it later (worker_restore_l2). */
static bool prepend_placeholder(struct rte_mbuf *m, const struct link_path *path)
{
	uint8_t *ip = rte_pktmbuf_mtod(m, uint8_t *);
	uint16_t type =
		rte_cpu_to_be_16(ip[0] >> 4 == 6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4);
	uint16_t len = path->vlan != 0 ? LINK_L2_VLAN_BYTES : LINK_L2_BYTES;
	uint8_t *l2 = (uint8_t *)rte_pktmbuf_prepend(m, len);

	if (l2 == NULL)
		return false;
	memset(l2, 0, 12);
	if (path->vlan != 0) {
		uint16_t tag[2] = {
			rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN), rte_cpu_to_be_16(path->vlan)};
		memcpy(l2 + 12, tag, sizeof(tag));
	}
	memcpy(l2 + len - 2, &type, sizeof(type));
	return true;
}

/* What a verified frame tells of the path. */
static void measure_link(struct worker *w, struct worker_peer *peer, const struct rte_mbuf *in,
	struct link_arrival *a)
{
	link_class_arrived(&peer->classes, a, in->pkt_len, w->now_ns);
	if (a->verdict != LINK_ARRIVED)
		return;
	histogram_record(&peer->delay_variation, a->delay_ns);
	histogram_record(&peer->class_delay[a->class_slot], a->delay_ns);
	if (a->has_ipdv)
		histogram_record(
			&peer->ipdv, (uint64_t)(a->ipdv_ns < 0 ? -a->ipdv_ns : a->ipdv_ns));
}

/* The packets inside a frame are raw: parse them, and say where they came from. */
static void parse_inner(struct worker *w, const struct rte_mbuf *in, bool lacks_l2,
	struct rte_mbuf **out, unsigned n)
{
	const struct pkt *p = pkt_of(in);

	packet_parse_bulk(out, n, &w->context[port_wan(p->bridge)], p->rx_ns);
	for (unsigned i = 0; i < n; i++) {
		struct pkt *inner = pkt_of(out[i]);
		/* What a peer sends us to deliver is never addressed to this box itself. */
		inner->flags &= (uint16_t) ~(PKT_FOR_US | PKT_LINK);
		inner->flags |= PKT_DECODED | (lacks_l2 ? PKT_NO_L2 : 0);
	}
	worker_share_frame(in->pkt_len, out, n);
}

/* Put a placeholder in front of every one of them. */
static bool prepend_placeholders(struct rte_mbuf **out, unsigned n, const struct link_path *path)
{
	for (unsigned i = 0; i < n; i++)
		if (!prepend_placeholder(out[i], path))
			return false;
	return true;
}

/* Does a link frame carry several packets? */
static bool is_packed(const struct rte_mbuf *m)
{
	const struct pkt *p = pkt_of(m);

	return p->flags & PKT_LINK && !link_is_transparent(p) &&
	       link_is_packed(
		       rte_pktmbuf_mtod_offset(m, const uint8_t *, p->payload_off), p->payload_len);
}

/* The packets inside a link frame of this worker's lanes from a peer (-1: of nobody), parsed, into
 * out[], which has room for LINK_PACK_MAX. Returns how many; 0: dropped and counted. The frame is
 * freed in any case. */
static unsigned decode_frame(
	struct worker *w, struct rte_mbuf *in, int sender, int lane, struct rte_mbuf **out)
{
	const struct pkt *p = pkt_of(in);
	enum reason reason = DROP_LINK_NO_SESSION;
	int rc;
	struct link_arrival arrival;
	unsigned n = 0;

	if (sender < 0)
		goto drop;
	const struct link_path *path = &w->links->path[sender];
	struct worker_peer *peer = &w->peers[sender];
	bool lacks_l2 = path->routed && !link_is_transparent(p);
	/* Congestion marks and hops are taken from the outer header: only from one that is whole.
	 */
	if (!packet_ip_checksum_ok(in)) {
		reason = DROP_LINK_BAD_SHIM;
		peer->rx_bad++;
		goto drop;
	}
	if (is_packed(in)) {
		rc = worker_unpack(w, in, path, peer->rx,
			worker_store_of(w, (unsigned)sender, lane), out, &n, &arrival);
	} else {
		out[0] = rte_pktmbuf_alloc(w->daemon->pool);
		if (out[0] == NULL) {
			reason = DROP_RX_NO_MBUF;
			goto drop;
		}
		n = 1;
		rc = link_decode(w->codec, in, path, peer->rx,
			worker_store_of(w, (unsigned)sender, lane), out[0], w->now_ns, &arrival);
	}
	measure_link(w, peer, in, &arrival);
	worker_store_received(w, (unsigned)sender, lane);
	if (rc == LINK_IS_ACK) {
		worker_store_message(w, (unsigned)sender, lane, arrival.session_id, in);
		peer->rx_frames++;
		peer->rx_bytes += in->pkt_len;
		reason = DROP_CONSUMED;
		goto drop;
	}
	if (rc < 0) {
		reason = (enum reason) - rc;
		peer->rx_bad += reason == DROP_LINK_BAD_SHIM || reason == DROP_LINK_BAD_CHECK ||
				reason == DROP_LINK_BAD_DATA || reason == DROP_LINK_BAD_PACK ||
				reason == DROP_LINK_BAD_TAG;
		peer->rx_forged += reason == DROP_LINK_BAD_TAG;
		goto drop;
	}
	if (lacks_l2 && !prepend_placeholders(out, n, path)) {
		reason = DROP_LINK_NO_L2;
		goto drop;
	}
	peer->rx_frames++;
	peer->rx_bytes += in->pkt_len;
	parse_inner(w, in, lacks_l2, out, n);
	rte_pktmbuf_free(in);
	return n;

drop:
	rte_pktmbuf_free_bulk(out, n);
	worker_drop(w, in, reason);
	return 0;
}

/* Give a frame for the in-path address to the control thread. Half of the ring is kept for peers: a
 * flood of pings must not silence their hellos. */
static void punt(struct worker *w, struct rte_mbuf *m)
{
	const struct pkt *p = pkt_of(m);
	struct rte_ring *ring = w->daemon->punt;

	if (p->flags & PKT_LINK) {
		if (p->way != WAY_DOWN || find_sender(w, p) < 0) {
			worker_drop(w, m, DROP_LINK_NO_SESSION);
			return;
		}
	} else if (rte_ring_count(ring) >= rte_ring_get_capacity(ring) / 2) {
		worker_drop(w, m, DROP_PUNT_FULL);
		return;
	}
	if (rte_ring_enqueue(ring, m) != 0)
		worker_drop(w, m, DROP_PUNT_FULL);
	else
		w->counters->reason[DROP_CONSUMED]++;
}

/* A link frame whose lane is known: what takes its place in the burst, into out[]. How many. */
static unsigned take_frame(struct worker *w, struct rte_mbuf *m, int sender, int lane,
	struct rte_mbuf **out, unsigned *decoded)
{
	/* The lane's numbers belong to one worker, the same that owns the flows inside. */
	unsigned owner = (unsigned)(lane & (LINK_WORKERS_MAX - 1)) % w->daemon->worker_count;

	if (owner != w->index) {
		/* Stage steer gives it away: so it stays in order with packets of the same flow
		 * that came plainly in this burst. */
		pkt_of(m)->steer_hash = (uint16_t)owner;
		out[0] = m;
		return 1;
	}
	(*decoded)++;
	return decode_frame(w, m, sender, lane, out);
}

/* IPComp that may be a link frame. Somebody else's passes as it came. */
static unsigned take_transparent(
	struct worker *w, struct rte_mbuf *m, struct rte_mbuf **out, unsigned *decoded)
{
	struct pkt *p = pkt_of(m);
	int sender = find_transparent_sender(w, m), lane;

	if (sender < 0) {
		p->flags &= (uint16_t)~PKT_LINK;
		w->counters->reason[PASS_LINK_FOREIGN]++;
		out[0] = m;
		return 1;
	}
	lane = link_peek_lane(rte_pktmbuf_mtod_offset(m, uint8_t *, p->l4_off + LINK_IPCOMP_BYTES),
		p->payload_len - LINK_IPCOMP_BYTES);
	if (lane < 0 || lane == LINK_PEEK_CONTROL) {
		w->peers[sender].rx_bad++;
		worker_drop(w, m, DROP_LINK_BAD_SHIM);
		return 0;
	}
	return take_frame(w, m, sender, lane, out, decoded);
}

unsigned stage_decode(
	struct worker *w, struct rte_mbuf **pkts, unsigned n, unsigned *done, struct rte_mbuf **out)
{
	uint64_t start = stage_begin(w);
	unsigned flags = 0, kept = 0, decoded = 0;

	for (unsigned i = *done; i < n; i++)
		flags |= pkt_of(pkts[i])->flags;
	if (likely(!(flags & (PKT_FOR_US | PKT_LINK)))) {
		kept = n - *done;
		memcpy(out, pkts + *done, kept * sizeof(*out));
		*done = n;
		return kept;
	}

	while (*done < n && kept + (is_packed(pkts[*done]) ? LINK_PACK_MAX : 1) <= BURST) {
		struct rte_mbuf *m = pkts[(*done)++];
		const struct pkt *p = pkt_of(m);
		int lane = LINK_PEEK_CONTROL;

		if (!(p->flags & PKT_FOR_US)) {
			if (unlikely(p->flags & PKT_LINK))
				kept += take_transparent(w, m, out + kept, &decoded);
			else
				out[kept++] = m;
			continue;
		}
		if (p->flags & PKT_LINK)
			lane = link_peek_lane(rte_pktmbuf_mtod_offset(m, uint8_t *, p->payload_off),
				p->payload_len);
		if (lane < 0) {
			int sender = p->way == WAY_DOWN ? find_sender(w, p) : -1;
			if (sender >= 0)
				w->peers[sender].rx_bad++;
			worker_drop(w, m, DROP_LINK_BAD_SHIM);
		} else if (lane == LINK_PEEK_CONTROL) {
			punt(w, m);
		} else {
			kept += take_frame(w, m, p->way == WAY_DOWN ? find_sender(w, p) : -1, lane,
				out + kept, &decoded);
		}
	}
	stage_end(w, STAGE_DECODE, decoded, start);
	return kept;
}

/* ---- what flows remember ---- */

/* How long a flow stays proven without a packet from the WAN: well below the time for which the
 * peer's flow table keeps a flow. What it does throw out earlier, or loses, costs a flow that has
 * become one-way no more than this long. */
#define PROVEN_MS 10000
/* How long a sign that frames arrive is good for a retransmission: less than the shortest time-out,
 * as what is retransmitted behind one may be what does not arrive. */
#define HEARD_MS 200u

/* Is the link-layer header one that restore_l2 can turn round: unicast, and nothing between
 * Ethernet and IP but a tag? Labels and PPPoE sessions are of one direction or place only. */
static bool has_plain_l2(const struct rte_mbuf *m)
{
	const struct pkt *p = pkt_of(m);
	uint16_t type;

	if (p->flags & PKT_LLBCAST || p->l3_off < LINK_L2_BYTES || p->l3_off > FLOW_L2_MAX)
		return false;
	memcpy(&type, rte_pktmbuf_mtod_offset(m, const uint8_t *, p->l3_off - 2), sizeof(type));
	return type ==
	       rte_cpu_to_be_16(p->flags & PKT_IPV6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4);
}

void worker_find_peer(struct worker *w, const struct pkt *p)
{
	struct flow *f = p->flow;

	/* -1, no peer, becomes 0. */
	f->peer = f->flags & FLOW_OTHER
			  ? 0
			  : (uint8_t)(plan_find_peer(w->plan, p->bridge, f->key.addr[!f->lan_dir]) +
				      1);
}

void worker_learn_peering(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct pkt *p = pkt_of(pkts[i]);
		struct flow *f = p->flow;

		if (f->peer == 0)
			continue;
		unsigned peer = f->peer - 1;
		const struct link_path *path = &w->links->path[peer];
		/* The peer may count us as alive before we count it: learn in any case. */
		if (path->routed && p->way == WAY_UP && has_plain_l2(pkts[i])) {
			f->lan_l2_len = (uint8_t)p->l3_off;
			memcpy(f->lan_l2, rte_pktmbuf_mtod(pkts[i], uint8_t *), p->l3_off);
		}
		if (!path->alive)
			continue;
		if (p->flags & PKT_TCP && p->tcp_flags & RTE_TCP_SYN_FLAG) {
			uint16_t mss = w->links->clamp_mss[peer][!!(p->flags & PKT_IPV6)];
			if (mss != 0)
				packet_clamp_mss(pkts[i], mss);
		}
		if (path->routed && p->way == WAY_DOWN) {
			f->proven_session = path->session_id;
			f->proven_ms = f->last_seen_ms;
		}
	}
}

unsigned worker_restore_l2(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		struct pkt *p = pkt_of(pkts[i]);
		const struct flow *f = p->flow;

		if (likely(!(p->flags & PKT_NO_L2))) {
			pkts[kept++] = pkts[i];
			continue;
		}
		/* Back to where the flow's frames from the LAN came from. They may have a priority
		 * tag, which is no VLAN, so that the placeholder has no room for it. */
		int grow = f->lan_l2_len - p->l3_off;
		if (f->lan_l2_len == 0 || f->flags & FLOW_OTHER ||
			(grow > 0 && rte_pktmbuf_prepend(pkts[i], (uint16_t)grow) == NULL)) {
			worker_drop(w, pkts[i], DROP_LINK_NO_L2);
			continue;
		}
		if (grow < 0)
			rte_pktmbuf_adj(pkts[i], (uint16_t)-grow);
		p->l3_off = (uint16_t)(p->l3_off + grow);
		p->l4_off = (uint16_t)(p->l4_off + grow);
		p->payload_off = (uint16_t)(p->payload_off + grow);
		uint8_t *l2 = rte_pktmbuf_mtod(pkts[i], uint8_t *);
		memcpy(l2, f->lan_l2 + 6, 6);
		memcpy(l2 + 6, f->lan_l2, 6);
		memcpy(l2 + 12, f->lan_l2 + 12, p->l3_off - 12u);
		p->flags &= (uint16_t)~PKT_NO_L2;
		pkts[kept++] = pkts[i];
	}
	return kept;
}

/* ---- what may go through the link ---- */

bool worker_is_proven(
	const struct worker *w, const struct rte_mbuf *m, const struct link_path *path)
{
	const struct pkt *p = pkt_of(m);
	const struct flow *f = p->flow;

	/* New keys do not make a peer forget, a restart does. */
	return (int32_t)(f->proven_session - path->session_id_first) >= 0 &&
	       p->key.vlan == path->vlan &&
	       (uint32_t)(w->now_ns / 1000000) - f->proven_ms <= PROVEN_MS && has_plain_l2(m);
}

/* Has the peer said of late that it keeps what goes through the link to it, and on a routed path,
 * has this flow come from it? Then a retransmission may go through the link, too, by itself. */
static bool is_heard(const struct worker *w, const struct pkt *p, const struct link_path *path)
{
	const struct flow *f = p->flow;

	return w->now_ns - w->peers[f->peer - 1].acked_ns < HEARD_MS * UINT64_C(1000000) &&
	       (!path->routed || path->transparent ||
		       (uint32_t)(w->now_ns / 1000000) - f->proven_ms < HEARD_MS);
}

enum reason worker_may_link(
	const struct worker *w, const struct rte_mbuf *m, const struct link_path *path)
{
	const struct pkt *p = pkt_of(m);

	if (!path->alive)
		return PASS_LINK_NO_PEER;
	if (path->transparent && !link_transparent_fits(m, path))
		return PASS_LINK_FORM;
	if (path->routed) {
		const uint8_t *ip = rte_pktmbuf_mtod_offset(m, const uint8_t *, p->l3_off);

		/* In the tunnel the far end must have a link-layer header for it, and look for it
		 * under the same VLAN. */
		if (!path->transparent && !worker_is_proven(w, m, path))
			return PASS_LINK_UNPROVEN;
		if (ip[p->flags & PKT_IPV6 ? 7 : 8] <= LINK_TTL_PLAIN)
			return PASS_LINK_TTL;
	}
	/* If the first try got lost on the way to or in the decoder, the second must not. */
	if (p->flags & PKT_RETRANSMIT && !is_heard(w, p, path))
		return PASS_LINK_RETRANSMIT;
	return REASON_NONE;
}
