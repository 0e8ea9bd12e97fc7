/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What worker.c, worker_link.c and worker_compress.c share: the stages' counting, the ends of a
 * packet's way, and the stages that talk to the peer. Worker threads only.
 */
#ifndef SLUICE_WORKER_STAGES_H
#define SLUICE_WORKER_STAGES_H

#include <string.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>

#include "dataplane/daemon.h"
#include "dataplane/worker.h"

static inline uint64_t stage_begin(const struct worker *w)
{
	return w->sampling ? rte_rdtsc() : 0;
}

static inline void stage_end(struct worker *w, enum stage stage, unsigned packets, uint64_t start)
{
	struct counters_stage *c = &w->counters->stage[stage];
	c->packets += packets;
	if (w->sampling && packets > 0) {
		c->cycles += rte_rdtsc() - start;
		c->sampled += packets;
	}
}

static inline void worker_drop(struct worker *w, struct rte_mbuf *m, enum reason reason)
{
	w->counters->reason[reason]++;
	rte_pktmbuf_free(m);
}

/* Put a packet into the buffer of its port, or hand it to the worker that sends for us. */
static inline void worker_send(struct worker *w, struct rte_mbuf *m)
{
	struct worker_tx *tx = &w->tx[pkt_of(m)->out_port];

	if (unlikely(!tx->owner)) {
		if (rte_ring_enqueue(tx->hand_over, m) != 0)
			worker_drop(w, m, DROP_TX_FULL);
		return;
	}
	if (unlikely(tx->count == TX_BUFFER)) {
		unsigned sent = rte_eth_tx_burst(tx->port_id, tx->queue, tx->pkts, tx->count);
		tx->count -= sent;
		memmove(tx->pkts, tx->pkts + sent, tx->count * sizeof(tx->pkts[0]));
		if (tx->count == TX_BUFFER) {
			worker_drop(w, m, DROP_TX_FULL);
			return;
		}
	}
	tx->pkts[tx->count++] = m;
}

static inline void worker_hand_over(struct worker *w, unsigned owner, struct rte_mbuf *m)
{
	pkt_of(m)->flags |= PKT_STEERED;
	if (unlikely(rte_ring_enqueue(w->daemon->workers[owner]->steer_in, m) != 0)) {
		worker_drop(w, m, DROP_STEER_RING_FULL);
		return;
	}
	w->counters->steered_out++;
}

/* decode: frames for the in-path address leave the burst; link frames of this worker's lanes are
 * replaced by what they carry, which may be several packets each. Goes on with pkts[*done] and puts
 * at most BURST packets into out[], in order; returns how many. Call it until *done is n. */
unsigned stage_decode(struct worker *w, struct rte_mbuf **pkts, unsigned n, unsigned *done,
	struct rte_mbuf **out);

/* compress: packets that leave for a peer become link frames where that makes them smaller, or all
 * of them where the peer has encryption. The burst keeps its order; pkts[] has room for SEALED_MAX.
 * Returns how many packets it holds now. */
unsigned stage_compress(struct worker *w, struct rte_mbuf **pkts, unsigned n);

/* Whether the codecs are to be tried on a packet; only to count what they would save? */
static inline bool worker_is_dry_run(const struct plan *plan, uint32_t class_id)
{
	return plan->compress == COMPRESS_DRY_RUN || plan->class_codec[class_id].dry_run;
}

static inline bool worker_is_to_compress(const struct plan *plan, const struct pkt *p)
{
	return plan->compress != COMPRESS_OFF && plan->class_compress[p->class_id] &&
	       p->flags & PKT_IP && (p->flow->peer != 0 || worker_is_dry_run(plan, p->class_id));
}

/* May the packet refer to what the peer is to have? Not what a timer has its sender send again: if
 * the tries before it failed for their references, it is the one that must arrive. Others may still
 * refer to it. */
static inline bool worker_may_refer(const struct rte_mbuf *m)
{
	const struct pkt *p = pkt_of(m);

	return !(p->flags & PKT_RETRANSMIT && p->by_timer);
}

/* compress, and the first half of tx. pkts[] has room for SEALED_MAX. */
void worker_depart(struct worker *w, struct rte_mbuf **pkts, unsigned n);

/* Whether a packet may go through the link at all; REASON_NONE: it may. */
enum reason worker_may_link(
	const struct worker *w, const struct rte_mbuf *m, const struct link_path *path);

/* Which peer the packet's WAN endpoint is behind, kept in its flow. New flows only. */
void worker_find_peer(struct worker *w, const struct pkt *p);

/* Remember of flows towards a peer what routed links need: the LAN side's link-layer header, and
 * under which session a packet from the WAN was seen. */
void worker_learn_peering(struct worker *w, struct rte_mbuf **pkts, unsigned n);

/* On a routed path: does the far end have a link-layer header for the packet, and look for it under
 * the same VLAN? */
bool worker_is_proven(
	const struct worker *w, const struct rte_mbuf *m, const struct link_path *path);

/* Give packets from a routed link the link-layer header of their flow; those that have none are
 * dropped. Returns how many stay. */
unsigned worker_restore_l2(struct worker *w, struct rte_mbuf **pkts, unsigned n);

#endif
