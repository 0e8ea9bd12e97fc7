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
#include "dataplane/worker_repeat.h"
#include "dataplane/worker_stages.h"
#include "dataplane/worker_store.h"

/* A packet on its way to its peer. */
struct sending {
	struct rte_mbuf *m, *out; /* out: becomes the link frame */
	const struct link_path *path;
	unsigned peer;
	uint8_t lane;
	bool dry; /* what it would be is only counted */
	const uint8_t *inner;
	uint32_t inner_len;
	uint8_t *blob; /* in `out`, with this much room where it pays */
	uint32_t room;
	uint32_t len;	/* of the blob, 0: there is none */
	uint8_t number; /* and its codec */
};

/* How to compress a packet that is worth it, after a look for its flow's dictionary if that is due.
 */
static struct codec_method choose_method(struct worker *w, const struct sending *s)
{
	const struct pkt *p = pkt_of(s->m);
	const struct compress_class class = compress_for_link(
		w->plan->class_codec[p->class_id], w->plan->policy->bridges[p->bridge].up_bps);
	const uint8_t *payload = rte_pktmbuf_mtod_offset(s->m, const uint8_t *, p->payload_off);
	uint8_t codecs = s->path->codecs;
	uint16_t dictionaries = s->path->dictionaries;
	struct flow_codec *fc = &p->flow->codec;
	struct codec_method method;

	if (compress_long_shot(fc, payload, p->payload_len, codecs, &method))
		return method;
	method = compress_method(fc, &class, w->governor.step, codecs, dictionaries);
	if (w->governor.step > 0 || dictionaries == 0 ||
		!compress_should_look(fc, payload, p->payload_len))
		return method;
	compress_found(
		fc, codec_find_dictionary(w->codec, method, dictionaries, s->inner, s->inner_len));
	return compress_method(fc, &class, 0, codecs, dictionaries);
}

/* Of the link frame with a blob of `len` bytes; 0: there is no blob. */
static inline uint32_t wire_bytes_of(const struct sending *s, uint32_t len)
{
	return len == 0 ? 0 : link_headers_of(s->path, s->m) + len + link_trailer_bytes(s->path);
}

/* A codec has been tried since start_tsc; it made `len` bytes, 0: that did not pay. */
static void count_codec(
	struct worker *w, const struct sending *s, uint8_t number, uint32_t len, uint64_t start_tsc)
{
	const struct pkt *p = pkt_of(s->m);
	struct worker_codec *k = &w->codecs[p->bridge][p->class_id].by_number[number];

	k->tried_bytes += s->m->pkt_len;
	k->cycles += rte_rdtsc() - start_tsc;
	if (len == 0)
		return;
	k->packets++;
	k->bytes += s->m->pkt_len;
	k->wire_bytes += wire_bytes_of(s, len);
}

/* Write the blob as references to what the peer keeps. False: that does not pay, or there is no
 * store. */
static bool by_store(struct worker *w, struct sending *s)
{
	uint64_t start = rte_rdtsc();

	s->number = LINK_CODEC_STORE;
	w->at_hand.is_to_keep = false; /* that was the last packet's */
	if (s->room == 0 || s->inner_len == 0)
		return false;
	s->len = worker_store_encode(
		w, s->peer, s->lane, s->m, s->inner, s->inner_len, s->blob, s->room);
	if (w->at_hand.is_to_keep)
		count_codec(w, s, LINK_CODEC_STORE, s->len, start);
	return s->len > 0;
}

/* Write the blob against the flow's history, at most `room` bytes. Returns its length, or 0: it has
 * none, or that does not pay. */
static uint32_t by_history(struct worker *w, const struct sending *s, struct codec_method method,
	uint8_t *blob, uint32_t room, uint8_t *number)
{
	uint64_t start = rte_rdtsc();
	uint32_t len = worker_epoch_encode(w, s->peer, s->lane, s->m, method, blob, room, number);

	if (len > 0)
		count_codec(w, s, *number, len, start);
	return len;
}

/* Write the blob by the codec that the class asks for. */
static void by_class(struct worker *w, struct sending *s, struct codec_method method)
{
	uint64_t start = rte_rdtsc();
	int n = s->room == 0 || s->inner_len == 0
			? 0
			: codec_encode(w->codec, method, s->inner, s->inner_len, s->blob, s->room);

	s->number = method.number;
	s->len = n > 0 ? (uint32_t)n : 0;
	count_codec(w, s, s->number, s->len, start);
}

/* The references that are the blob are to a part of the packet only: its flow's history takes their
 * place if that is shorter. */
static void shorten(struct worker *w, struct sending *s, struct codec_method method)
{
	uint32_t room = RTE_MIN(s->len - 1, (uint32_t)sizeof(w->trial));
	uint8_t number;
	uint32_t len = by_history(w, s, method, w->trial, room, &number);

	if (len == 0)
		return;
	memcpy(s->blob, w->trial, len);
	s->len = len;
	s->number = number;
	store_spurn(w->peers[s->peer].store_tx);
}

/*
 * Write the blob of a packet in whichever way makes it smallest, within reason: references to what
 * the store has of most of it; else its flow's history, if that is shorter than the references to
 * a part; else the class's codec.
 */
static void write_blob(struct worker *w, struct sending *s)
{
	bool is_found = by_store(w, s);
	struct codec_method method;

	if (is_found && !worker_store_is_partial(w, w->peers[s->peer].store_tx))
		return;
	method = choose_method(w, s);
	if (is_found) {
		shorten(w, s, method);
		return;
	}
	if (s->room > 0 && s->inner_len > 0 && worker_may_refer(s->m))
		s->len = by_history(w, s, method, s->blob, s->room, &s->number);
	if (s->len == 0)
		by_class(w, s, method);
}

/* What the blob of a dry run would be: of references to the store that there would be, or the
 * class's codec. */
static void write_dry(struct worker *w, struct sending *s)
{
	uint64_t start = rte_rdtsc();
	uint32_t room = RTE_MIN(s->room, (uint32_t)sizeof(w->trial)), len;
	bool is_found;

	w->at_hand.is_to_keep = false;
	len = room == 0 || s->inner_len == 0
		      ? 0
		      : worker_dry_store_encode(w, s->m, s->inner, s->inner_len, w->trial, room);
	if (w->at_hand.is_to_keep)
		count_codec(w, s, LINK_CODEC_STORE, len, start);
	is_found = len > 0;
	if (!is_found || worker_store_is_partial(w, w->dry_store))
		by_class(w, s, choose_method(w, s));
	is_found = is_found && (s->len == 0 || len < s->len);
	if (is_found) {
		s->number = LINK_CODEC_STORE;
		s->len = len;
	}
	worker_dry_store_keep(w, is_found);
}

/* Does the store want the packet that is not worth compressing? What says that
 * it is encrypted never comes again, and a transparent frame is never longer than its packet. */
static bool is_for_store(const struct worker *w, const struct sending *s, enum reason reason)
{
	const struct pkt *p = pkt_of(s->m);

	return w->plan->class_codec[p->class_id].store_all && !s->dry &&
	       (reason == PASS_LINK_BACKOFF || reason == PASS_LINK_NO_GAIN) &&
	       !p->flow->codec.is_encrypted && s->path->store_slots > 0 && !s->path->transparent;
}

/* Write the packet as it is. False: there is no room. */
static bool write_raw(struct sending *s)
{
	if (s->inner_len == 0 || wire_bytes_of(s, s->inner_len) > rte_pktmbuf_tailroom(s->out))
		return false;
	memcpy(s->blob, s->inner, s->inner_len);
	s->number = LINK_CODEC_RAW;
	s->len = s->inner_len;
	return true;
}

/* The same of a packet that is not worth compressing, if the store wants it. */
static bool write_for_store(const struct worker *w, struct sending *s, enum reason reason)
{
	return w->governor.step == 0 && is_for_store(w, s, reason) && w->at_hand.is_to_keep &&
	       write_raw(s);
}

/* Where the packet goes. Returns why it can't go there, or REASON_NONE. */
static enum reason begin_sending(struct worker *w, struct rte_mbuf *m, struct sending *s)
{
	/* In dry-run no peer is needed: reckon with a tunnel over plain IPv4. */
	static const struct link_path dry_path = {.family = 4,
		.session_id = 1,
		.path_mtu = 1500,
		.peer_workers = 1,
		.alive = true,
		.codecs = LINK_CODECS,
		.dictionaries = UINT16_MAX};
	const struct pkt *p = pkt_of(m);
	enum reason reason = REASON_NONE;

	*s = (struct sending){
		.m = m, .dry = worker_is_dry_run(w->plan, p->class_id), .path = &dry_path};
	if (!s->dry) {
		s->peer = p->flow->peer - 1u;
		s->path = &w->links->path[s->peer];
		reason = worker_may_link(w, m, s->path);
	}
	if (reason == REASON_NONE && w->governor.step == GOVERNOR_BYPASS)
		reason = PASS_LINK_BUSY;
	/* There are lanes only where there is a session. */
	if (reason == REASON_NONE && !s->dry)
		s->lane = link_lane(s->path, w->index, p->steer_hash);
	return reason;
}

/* Room for the frame. False: there is no mbuf. */
static bool take_spare(struct worker *w, struct sending *s)
{
	if (w->spare == NULL && (w->spare = rte_pktmbuf_alloc(w->daemon->pool)) == NULL)
		return false;
	s->out = w->spare;
	s->inner = link_inner(s->path, s->m, &s->inner_len);
	s->blob = link_blob(s->path, s->m, s->out, compress_min_gain(s->m->pkt_len), &s->room);
	return true;
}

/* Count what compressing has saved. */
static void count_saved(
	struct worker *w, const struct sending *s, struct worker_class *c, uint32_t wire_bytes)
{
	c->compressed_packets++;
	c->compressed_bytes += s->m->pkt_len;
	c->compressed_wire_bytes += wire_bytes;
	if (s->number == LINK_CODEC_STORE && wire_bytes < s->m->pkt_len)
		*(s->dry ? &w->dry_saved : &w->peers[s->peer].store_saved) +=
			s->m->pkt_len - wire_bytes;
}

/* Write the blob, if there is a way that pays, and let the flow learn from it. is_tried: not for
 * the store alone. */
static void try_codecs(struct worker *w, struct sending *s, struct worker_class *c, bool is_tried)
{
	struct flow_codec *fc = &pkt_of(s->m)->flow->codec;
	uint64_t start = rte_rdtsc();
	uint32_t wire_bytes, original_bytes;

	if (s->dry)
		write_dry(w, s);
	else if (is_tried)
		write_blob(w, s);
	else
		by_store(w, s);
	wire_bytes = wire_bytes_of(s, s->len);
	c->codec_cycles += rte_rdtsc() - start;
	c->codec_bytes += s->inner_len;
	/* With encryption it would take more than its own length without a codec. */
	original_bytes = s->path->cipher == LINK_CIPHER_NONE ? s->m->pkt_len
							     : wire_bytes_of(s, s->inner_len);
	if (is_tried)
		compress_result(fc, original_bytes, wire_bytes);
	else if (s->len > 0)
		compress_untried(fc, original_bytes, wire_bytes);
	if (s->number != LINK_CODEC_STORE && s->len > 0)
		pack_single(&fc->pack, s->inner_len, s->len);
	if (s->len > 0)
		count_saved(w, s, c, wire_bytes);
}

/* Make the link frame of what has been written, which takes the packet's place. NULL: it does not
 * fit. */
static struct rte_mbuf *frame_packet(struct worker *w, const struct sending *s)
{
	struct link_tx *tx = &w->peers[s->peer].tx[s->lane % LINK_WORKERS_MAX];

	if (link_encode(tx, s->path, s->m, s->number, s->len, s->out, w->now_ns) != 0) {
		rte_pktmbuf_reset(s->out);
		return NULL;
	}
	w->spare = NULL;
	if (s->number == LINK_CODEC_RAW)
		count_codec(w, s, LINK_CODEC_RAW, s->len, rte_rdtsc()); /* it took no time */
	worker_store_keep(w, s->peer, s->lane);
	worker_count_frame(w, s->m, s->out, s->out->pkt_len);
	rte_pktmbuf_free(s->m);
	return s->out;
}

/* The frame of a packet whose class is carried as it is, or NULL and *reason: what does not fit
 * goes beside the link. */
static struct rte_mbuf *carry_raw(struct worker *w, struct sending *s, enum reason *reason)
{
	struct rte_mbuf *frame = NULL;

	w->at_hand.is_to_keep = false;
	if (!s->dry && take_spare(w, s) && write_raw(s))
		frame = frame_packet(w, s);
	*reason = frame == NULL ? PASS_LINK_NO_FIT : REASON_NONE;
	return frame;
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
	struct rte_mbuf *frame;
	struct sending s;
	bool is_tried;

	*reason = begin_sending(w, m, &s);
	if (*reason != REASON_NONE)
		return NULL;
	if (w->plan->class_codec[p->class_id].raw)
		return carry_raw(w, &s, reason);
	compress_hint(&p->flow->codec, p->key.proto, p->key.port);
	*reason = compress_should_try(&p->flow->codec,
		rte_pktmbuf_mtod_offset(m, const uint8_t *, p->payload_off), p->payload_len);
	is_tried = *reason == REASON_NONE;
	if (!is_tried && !is_for_store(w, &s, *reason))
		return NULL;
	if (!is_tried && w->governor.step > 0) { /* that is for times of leisure */
		*reason = PASS_LINK_BUSY;
		return NULL;
	}
	if (!take_spare(w, &s)) {
		*reason = PASS_LINK_NO_FIT;
		return NULL;
	}
	try_codecs(w, &s, c, is_tried);
	if (s.len > 0)
		*reason = REASON_NONE;
	else if (is_tried)
		*reason = s.room == 0 ? PASS_LINK_NO_FIT : PASS_LINK_NO_GAIN;
	if (s.dry || (s.len == 0 && !write_for_store(w, &s, *reason)))
		return NULL;
	frame = frame_packet(w, &s);
	if (frame == NULL)
		*reason = PASS_LINK_NO_FIT;
	return frame;
}

/* As worker_pack(), in either way. */
static unsigned pack(struct worker *w, struct rte_mbuf **pkts, unsigned n, struct worker_class *c)
{
	unsigned together = worker_pack(w, pkts, n, c);

	return together > 0 ? together : worker_pack_repeats(w, pkts, n, c);
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

unsigned stage_compress(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	uint64_t start = stage_begin(w);
	const struct plan *plan = w->plan;
	unsigned tried = 0, packed = 0;

	if (w->links->count == 0 && !plan->dry_runs)
		return n;
	w->at_hand.looked_up = NULL; /* gone with its burst */
	for (unsigned i = 0; i < n; i++) {
		if (pkts[i] == NULL)
			continue;
		const struct pkt *p = pkt_of(pkts[i]);
		bool compress = worker_is_to_compress(plan, p), seal = worker_wants_sealed(w, p);
		enum reason reason = REASON_NONE;
		struct rte_mbuf *out = NULL;

		if (p->way != WAY_UP || !(compress || seal))
			continue;
		tried++;
		if (compress) {
			struct worker_class *c = &w->classes[p->bridge][WAY_UP][p->class_id];
			unsigned together = 0;

			if (plan->class_pack[p->class_id] && !worker_is_dry_run(plan, p->class_id))
				together = pack(w, pkts + i, n - i, c);
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
