/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What goes to the peer: the compress stage. compress/ has the codecs and when to use them, link/
 * the frames; here is the order of things. What comes from it: worker_link.c.
 */
#include <string.h>

#include "dataplane/compress/decide.h"
#include "dataplane/worker_encrypt.h"
#include "dataplane/worker_epoch.h"
#include "dataplane/worker_pack.h"
#include "dataplane/worker_stages.h"
#include "dataplane/worker_store.h"

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

/* Does the store want the packet that is not worth compressing? What says that
 * it is encrypted never comes again, and a transparent frame is never longer than its packet. */
static bool is_for_store(const struct worker *w, const struct rte_mbuf *m,
	const struct link_path *path, enum reason reason)
{
	const struct pkt *p = pkt_of(m);

	return w->plan->class_codec[p->class_id].store_all && !is_dry_run(w->plan, p->class_id) &&
	       (reason == PASS_LINK_BACKOFF || reason == PASS_LINK_NO_GAIN) &&
	       !p->flow->codec.is_encrypted && path->store_slots > 0 && !path->transparent;
}

/* Write the packet as it is, so that the store has it. False: no room, or it would not be kept. */
static bool write_raw(const struct worker *w, const struct rte_mbuf *m,
	const struct link_path *path, const uint8_t *inner, uint32_t inner_len, uint8_t *blob)
{
	if (!w->at_hand.is_to_keep || inner_len == 0 ||
		wire_bytes_of(path, m, inner_len) > rte_pktmbuf_tailroom(w->spare))
		return false;
	memcpy(blob, inner, inner_len);
	return true;
}

/* Count what compressing has saved. */
static void count_saved(struct worker *w, const struct rte_mbuf *m, struct worker_class *c,
	unsigned peer, uint8_t number, uint32_t wire_bytes)
{
	c->compressed_packets++;
	c->compressed_bytes += m->pkt_len;
	c->compressed_wire_bytes += wire_bytes;
	if (number == LINK_CODEC_STORE && wire_bytes < m->pkt_len)
		w->peers[peer].store_saved += m->pkt_len - wire_bytes;
}

/*
 * Compress one packet for its peer. Returns the link frame, which takes the packet's place, or NULL
 * if it goes out as it is; then *reason says why. A frame with a reason has the packet as it is,
 * for the store. In dry-run everything but the replacing is done.
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
	compress_hint(&f->codec, p->key.proto, p->key.port);
	*reason = compress_should_try(&f->codec,
		rte_pktmbuf_mtod_offset(m, const uint8_t *, p->payload_off), p->payload_len);
	if (*reason != REASON_NONE && !is_for_store(w, m, path, *reason))
		return NULL;
	/* That is for times of leisure. */
	if (*reason != REASON_NONE && w->governor.step > 0) {
		*reason = PASS_LINK_BUSY;
		return NULL;
	}
	if (w->spare == NULL && (w->spare = rte_pktmbuf_alloc(w->daemon->pool)) == NULL) {
		*reason = PASS_LINK_NO_FIT;
		return NULL;
	}
	struct rte_mbuf *out = w->spare;
	const uint8_t *inner = link_inner(path, m, &inner_len);
	uint8_t *blob = link_blob(path, m, out, compress_min_gain(m->pkt_len), &room);
	uint64_t start = rte_rdtsc();
	uint8_t number = LINK_CODEC_STORE,
		lane = dry ? 0 : link_lane(path, w->index, p->steer_hash);
	bool is_tried = *reason == REASON_NONE;
	uint32_t len;

	if (dry)
		len = by_class(w, m, path, choose_method(w, m, path, inner, inner_len), inner,
			inner_len, blob, room, &number);
	else if (is_tried)
		len = write_blob(w, peer, lane, m, inner, inner_len, blob, room, &number);
	else
		len = by_store(w, peer, lane, m, inner, inner_len, blob, room);
	uint32_t wire_bytes = wire_bytes_of(path, m, len);
	c->codec_cycles += rte_rdtsc() - start;
	c->codec_bytes += inner_len;
	/* With encryption it would take more than its own length without a codec. */
	uint32_t original_bytes =
		path->cipher == LINK_CIPHER_NONE ? m->pkt_len : wire_bytes_of(path, m, inner_len);
	if (is_tried)
		compress_result(&f->codec, original_bytes, wire_bytes);
	else if (len > 0)
		compress_untried(&f->codec, original_bytes, wire_bytes);
	if (number != LINK_CODEC_STORE && len > 0)
		pack_single(&f->codec.pack, inner_len, len);
	if (len > 0) {
		*reason = REASON_NONE;
		count_saved(w, m, c, peer, number, wire_bytes);
		if (dry)
			return NULL;
	} else {
		if (is_tried)
			*reason = room == 0 ? PASS_LINK_NO_FIT : PASS_LINK_NO_GAIN;
		if (dry || w->governor.step > 0 || !is_for_store(w, m, path, *reason) ||
			!write_raw(w, m, path, inner, inner_len, blob))
			return NULL;
		number = LINK_CODEC_RAW;
		len = inner_len;
	}

	struct worker_peer *to = &w->peers[peer];
	if (link_encode(&to->tx[lane & (LINK_WORKERS_MAX - 1)], path, m, number, len, out,
		    w->now_ns) != 0) {
		*reason = PASS_LINK_NO_FIT;
		rte_pktmbuf_reset(out);
		return NULL;
	}
	w->spare = NULL;
	worker_store_keep(w, peer, lane);
	worker_count_frame(w, m, out, out->pkt_len);
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
