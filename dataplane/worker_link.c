/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The stages that talk to the peer: decode on the way from the WAN, compress on the way to it, and
 * what the flows must remember for both. link/ knows the frames, compress/ the codecs and when to
 * use them; here is the order of things.
 */
#include <string.h>

#include <rte_tcp.h>

#include "dataplane/compress/decide.h"
#include "dataplane/packet/edit.h"
#include "dataplane/worker_encrypt.h"
#include "dataplane/worker_epoch.h"
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
		rc = worker_unpack(w, in, path, peer->rx, out, &n, &arrival);
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
		worker_store_ack(w, (unsigned)sender, lane, arrival.session_id, in);
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

/* ---- compress ---- */

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

/* With no peer to say what it understands, or by the class's wish, everything is only counted. */
static inline bool is_dry_run(const struct plan *plan, uint32_t class_id)
{
	return plan->compress == COMPRESS_DRY_RUN || plan->class_codec[class_id].dry_run;
}

/* How to compress a packet that is worth it, after a look for its flow's dictionary if that is due.
 */
static struct codec_method choose_method(struct worker *w, const struct rte_mbuf *m,
	const struct link_path *path, const uint8_t *inner, uint32_t inner_len)
{
	const struct pkt *p = pkt_of(m);
	const struct compress_class class = compress_for_link(
		w->plan->class_codec[p->class_id], w->plan->policy->bridges[p->bridge].up_bps);
	const uint8_t *payload = rte_pktmbuf_mtod_offset(m, const uint8_t *, p->payload_off);
	struct flow_codec *fc = &p->flow->codec;
	struct codec_method method;

	if (compress_long_shot(fc, payload, p->payload_len, path->codecs, &method))
		return method;
	method = compress_method(fc, &class, w->governor.step, path->codecs, path->dictionaries);
	if (w->governor.step > 0 || path->dictionaries == 0 ||
		!compress_should_look(fc, payload, p->payload_len))
		return method;
	compress_found(
		fc, codec_find_dictionary(w->codec, method, path->dictionaries, inner, inner_len));
	return compress_method(fc, &class, 0, path->codecs, path->dictionaries);
}

static void count_codec(struct worker *w, const struct pkt *p, uint8_t number,
	uint32_t original_bytes, uint32_t wire_bytes, uint64_t cycles)
{
	struct worker_codec *k = &w->codecs[p->bridge][p->class_id].by_number[number];

	k->tried_bytes += original_bytes;
	k->cycles += cycles;
	if (wire_bytes == 0)
		return;
	k->packets++;
	k->bytes += original_bytes;
	k->wire_bytes += wire_bytes;
}

/* Of the link frame of `m` with a blob of `len` bytes; 0: there is no blob. */
static inline uint32_t wire_bytes_of(
	const struct link_path *path, const struct rte_mbuf *m, uint32_t len)
{
	return len == 0 ? 0 : link_headers_of(path, m) + len + link_trailer_bytes(path);
}

/* Write the blob as references to what the peer keeps. Returns its length, or 0: that does not pay,
 * or there is no store. */
static uint32_t by_store(struct worker *w, unsigned peer, uint8_t lane, const struct rte_mbuf *m,
	const uint8_t *inner, uint32_t inner_len, uint8_t *blob, uint32_t room)
{
	uint64_t start = rte_rdtsc();
	uint32_t len;

	if (room == 0 || inner_len == 0)
		return 0;
	len = worker_store_encode(w, peer, lane, m, inner, inner_len, blob, room);
	if (w->at_hand.is_to_keep)
		count_codec(w, pkt_of(m), LINK_CODEC_STORE, m->pkt_len,
			wire_bytes_of(&w->links->path[peer], m, len), rte_rdtsc() - start);
	return len;
}

/* Write the blob against the flow's history. Returns its length, or 0: it has none, or that does
 * not pay. */
static uint32_t by_history(struct worker *w, unsigned peer, uint8_t lane, const struct rte_mbuf *m,
	struct codec_method method, uint8_t *blob, uint32_t room, uint8_t *number)
{
	uint64_t start = rte_rdtsc();
	uint32_t len = worker_epoch_encode(w, peer, lane, m, method, blob, room, number);

	if (len > 0)
		count_codec(w, pkt_of(m), *number, m->pkt_len,
			wire_bytes_of(&w->links->path[peer], m, len), rte_rdtsc() - start);
	return len;
}

/* Write the blob by the codec that the class asks for, which goes to *number. Returns its length or
 * 0. */
static uint32_t by_class(struct worker *w, const struct rte_mbuf *m, const struct link_path *path,
	struct codec_method method, const uint8_t *inner, uint32_t inner_len, uint8_t *blob,
	uint32_t room, uint8_t *number)
{
	uint64_t start = rte_rdtsc();
	int n = room == 0 || inner_len == 0
			? 0
			: codec_encode(w->codec, method, inner, inner_len, blob, room);
	uint32_t len = n > 0 ? (uint32_t)n : 0;

	*number = method.number;
	count_codec(w, pkt_of(m), method.number, m->pkt_len, wire_bytes_of(path, m, len),
		rte_rdtsc() - start);
	return len;
}

/*
 * Write the blob of a packet in whichever way makes it smallest, within reason: references to what
 * the store has of most of it; else its flow's history, if that is shorter than the references to
 * a part; else the class's codec. Returns its length, and *number; 0: none pays.
 */
static uint32_t write_blob(struct worker *w, unsigned peer, uint8_t lane, const struct rte_mbuf *m,
	const uint8_t *inner, uint32_t inner_len, uint8_t *blob, uint32_t room, uint8_t *number)
{
	const struct link_path *path = &w->links->path[peer];
	uint32_t len = by_store(w, peer, lane, m, inner, inner_len, blob, room), shorter;
	struct codec_method method;

	*number = LINK_CODEC_STORE;
	if (len > 0 && !worker_store_is_partial(w, peer))
		return len;
	method = choose_method(w, m, path, inner, inner_len);
	if (len > 0) {
		shorter = by_history(w, peer, lane, m, method, w->trial,
			RTE_MIN(len - 1, (uint32_t)sizeof(w->trial)), number);
		if (shorter == 0) {
			*number = LINK_CODEC_STORE;
			return len;
		}
		memcpy(blob, w->trial, shorter);
		store_spurn(w->peers[peer].store_tx);
		return shorter;
	}
	if (room > 0 && inner_len > 0 && !(pkt_of(m)->flags & PKT_RETRANSMIT))
		len = by_history(w, peer, lane, m, method, blob, room, number);
	return len > 0 ? len : by_class(w, m, path, method, inner, inner_len, blob, room, number);
}

/*
 * Compress one packet for its peer. Returns the link frame, which takes the packet's place, or NULL
 * if it goes out as it is; then *reason says why. In dry-run everything but the replacing is done.
 */
static struct rte_mbuf *compress_packet(
	struct worker *w, struct rte_mbuf *m, struct worker_class *c, enum reason *reason)
{
	struct pkt *p = pkt_of(m);
	struct flow *f = p->flow;
	/* In dry-run no peer is needed: reckon with a tunnel over plain IPv4. */
	static const struct link_path dry_path = {.family = 4,
		.session_id = 1,
		.path_mtu = 1500,
		.peer_workers = 1,
		.alive = true,
		.codecs = LINK_CODECS,
		.dictionaries = UINT16_MAX};
	bool dry = is_dry_run(w->plan, p->class_id);
	unsigned peer = dry ? 0 : f->peer - 1u;
	const struct link_path *path = dry ? &dry_path : &w->links->path[peer];
	uint32_t inner_len, room;

	*reason = dry ? REASON_NONE : worker_may_link(w, m, path);
	if (*reason == REASON_NONE && w->governor.step == GOVERNOR_BYPASS)
		*reason = PASS_LINK_BUSY;
	if (*reason != REASON_NONE)
		return NULL;
	*reason = compress_should_try(&f->codec,
		rte_pktmbuf_mtod_offset(m, const uint8_t *, p->payload_off), p->payload_len);
	if (*reason != REASON_NONE)
		return NULL;
	if (w->spare == NULL && (w->spare = rte_pktmbuf_alloc(w->daemon->pool)) == NULL) {
		*reason = PASS_LINK_NO_FIT;
		return NULL;
	}
	struct rte_mbuf *out = w->spare;
	const uint8_t *inner = link_inner(path, m, &inner_len);
	uint8_t *blob = link_blob(path, m, out, compress_min_gain(m->pkt_len), &room);
	uint64_t start = rte_rdtsc();
	uint8_t number, lane = dry ? 0 : link_lane(path, w->index, p->steer_hash);
	uint32_t len = dry ? by_class(w, m, path, choose_method(w, m, path, inner, inner_len),
				     inner, inner_len, blob, room, &number)
			   : write_blob(w, peer, lane, m, inner, inner_len, blob, room, &number);
	uint32_t wire_bytes = wire_bytes_of(path, m, len);
	c->codec_cycles += rte_rdtsc() - start;
	c->codec_bytes += inner_len;
	/* With encryption it would take more than its own length without a codec. */
	compress_result(&f->codec,
		path->cipher == LINK_CIPHER_NONE ? m->pkt_len : wire_bytes_of(path, m, inner_len),
		wire_bytes);
	if (number != LINK_CODEC_STORE && len > 0)
		pack_single(&f->codec.pack, inner_len, len);
	if (wire_bytes == 0) {
		*reason = room == 0 ? PASS_LINK_NO_FIT : PASS_LINK_NO_GAIN;
		return NULL;
	}
	c->compressed_packets++;
	c->compressed_bytes += m->pkt_len;
	c->compressed_wire_bytes += wire_bytes;
	if (dry)
		return NULL;

	struct worker_peer *to = &w->peers[peer];
	uint32_t saved = wire_bytes < m->pkt_len ? m->pkt_len - wire_bytes : 0;
	if (link_encode(&to->tx[lane & (LINK_WORKERS_MAX - 1)], path, m, number, len, out,
		    w->now_ns) != 0) {
		*reason = PASS_LINK_NO_FIT;
		rte_pktmbuf_reset(out);
		return NULL;
	}
	w->spare = NULL;
	worker_store_keep(w, peer, lane);
	worker_count_frame(w, m, out, out->pkt_len);
	if (number == LINK_CODEC_STORE)
		to->store_saved += saved;
	rte_pktmbuf_free(m);
	return out;
}

/* Close the gaps that packing has left; returns how many packets there are. */
static unsigned close_gaps(struct rte_mbuf **pkts, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++)
		if (pkts[i] != NULL)
			pkts[kept++] = pkts[i];
	return kept;
}

/* Whether the codecs are to be tried on a packet. */
static inline bool is_to_compress(const struct plan *plan, const struct pkt *p)
{
	return plan->compress != COMPRESS_OFF && plan->class_compress[p->class_id] &&
	       p->flags & PKT_IP && (p->flow->peer != 0 || is_dry_run(plan, p->class_id));
}

unsigned stage_compress(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	uint64_t start = stage_begin(w);
	const struct plan *plan = w->plan;
	unsigned tried = 0, packed = 0;

	if (w->links->count == 0 && !plan->dry_runs)
		return n;
	for (unsigned i = 0; i < n; i++) {
		if (pkts[i] == NULL)
			continue;
		const struct pkt *p = pkt_of(pkts[i]);
		bool compress = is_to_compress(plan, p), seal = worker_wants_sealed(w, p);
		enum reason reason = REASON_NONE;
		struct rte_mbuf *out = NULL;

		if (p->way != WAY_UP || !(compress || seal))
			continue;
		tried++;
		if (compress) {
			struct worker_class *c = &w->classes[p->bridge][WAY_UP][p->class_id];
			unsigned together = 0;

			if (plan->class_pack[p->class_id] && !is_dry_run(plan, p->class_id))
				together = worker_pack(w, pkts + i, n - i, c);
			if (together > 0) {
				tried += together - 1;
				packed += together;
				continue;
			}
			out = compress_packet(w, pkts[i], c, &reason);
			if (reason != REASON_NONE) {
				w->counters->reason[reason]++;
				c->passed[reason - PASS_LINK_NO_PEER]++;
			}
		}
		if (out != NULL) {
			pkts[i] = out;
		} else if (seal) {
			/* None, one or several take its place. */
			struct rte_mbuf *frames[SEALED_MAX];
			unsigned got = worker_seal(w, pkts[i], frames, SEALED_MAX - n + 1);
			if (unlikely(got != 1))
				memmove(&pkts[i + got], &pkts[i + 1],
					(n - i - 1) * sizeof(pkts[0]));
			memcpy(&pkts[i], frames, got * sizeof(pkts[0]));
			n = n - 1 + got;
			i += got - 1;
		}
	}
	if (packed > 0)
		n = close_gaps(pkts, n);
	stage_end(w, STAGE_COMPRESS, tried, start);
	return n;
}
