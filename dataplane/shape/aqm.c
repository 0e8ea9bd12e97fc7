/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What active queue management does to the packets of a queue: asks the class's algorithm (codel.h,
 * pie.h, dualpi2.h), marks where the endpoints speak ECN, drops where they don't, and counts. PIE
 * decides when a packet comes, the others when it is at the head.
 */
#include "dataplane/shape/shaper_private.h"

#include "controlplane/channel/counters.h"
#include "dataplane/packet/edit.h"

/* TCP without data: acknowledgements, and what opens and closes connections. It is too small to
 * make the queue, and a lost one costs the other direction more than it saves here. */
static inline bool is_spared(const struct pkt *p)
{
	return p->flags & PKT_TCP && p->payload_len == 0;
}

static inline bool speaks_ecn(const struct shape_class *c, const struct pkt *p)
{
	return p->ecn != ECN_NOT_ECT && !c->no_ecn;
}

static void mark(struct shape_class *c, struct rte_mbuf *m)
{
	if (packet_set_ecn_ce(m))
		c->stats->marked++;
}

static void drop_aqm(struct shaper *s, struct shape_class *c, struct rte_mbuf *m)
{
	c->stats->dropped_aqm++;
	s->reasons[DROP_AQM]++;
	rte_pktmbuf_free(m);
}

/* Does a Classic flow wait beside this L4S one: in its class, or where that serves hosts, in its
 * host? */
static bool classic_waits(
	const struct shaper *s, const struct shape_class *c, const struct queue *q)
{
	const struct queue_lists *lists =
		q->host != 0 ? &s->pool.queues[q->host].host_part.flows : &c->flows;

	return (lists->kind[QUEUE_CLASSIC].old.head | lists->kind[QUEUE_CLASSIC].fresh.head) != 0;
}

/*
 * CoDel, one flow after another. Flows that share a class alike pass the target at about the same
 * time; if all of them slow down at once the link runs empty. The first one that does leaves its
 * part to the others, whose queues then shrink by themselves. So for an interval after a flow was
 * told to slow down no other is, unless its queue has reached twice the target.
 */
static bool codel_signals(
	struct shape_class *c, struct queue *q, uint64_t sojourn_ns, uint32_t head, uint64_t now_ns)
{
	bool begun = q->codel.dropping;

	if (!begun && now_ns < c->codel_quiet_ns && sojourn_ns >= c->aqm_target_ns &&
		sojourn_ns < 2 * c->aqm_target_ns)
		return false;
	if (!codel_drop(&q->codel, c->aqm_target_ns, c->aqm_interval_ns, sojourn_ns,
		    q->bytes - head, q->packets, BUCKET_FRAME_BYTES, now_ns))
		return false;
	if (!begun)
		c->codel_quiet_ns = now_ns + c->aqm_interval_ns;
	return true;
}

/* What CoDel or DualPI2 says of the packet at the head of a queue. */
static enum aqm_verdict ask(struct shaper *s, struct shape_class *c, struct queue *q,
	const struct pkt *p, uint64_t now_ns)
{
	uint64_t sojourn_ns = now_ns - p->queued_ns;

	if (c->aqm == AQM_CODEL) {
		if (!codel_signals(c, q, sojourn_ns, p->charged_bytes, now_ns))
			return AQM_VERDICT_PASS;
		return speaks_ecn(c, p) ? AQM_VERDICT_MARK : AQM_VERDICT_DROP;
	}
	if (c->aqm != AQM_DUALPI2)
		return AQM_VERDICT_PASS;
	if (q->kind == QUEUE_L4S && !c->no_ecn && p->ecn & 1)
		return dualpi2_l4s(&c->pi2, &c->pi2_params, sojourn_ns, q->bytes,
			classic_waits(s, c, q), shaper_random(s), now_ns);
	return dualpi2_classic(&c->pi2, &c->pi2_params, sojourn_ns,
		(uint32_t)c->stats->backlog_bytes, speaks_ecn(c, p), shaper_random(s), now_ns);
}

bool aqm_head(struct shaper *s, struct shape_class *c, struct queue *q, uint64_t now_ns)
{
	while (q->packets > 0) {
		struct rte_mbuf *m = q->head;
		struct pkt *p = pkt_of(m);

		if (c->queue_limit_ns != 0 && q->packets > 1 &&
			now_ns - p->queued_ns > c->queue_limit_ns) {
			rte_pktmbuf_free(shaper_take(s, c, q));
			c->stats->dropped_time++;
			s->reasons[DROP_QUEUE_TIME]++;
			continue;
		}
		enum aqm_verdict verdict = ask(s, c, q, p, now_ns);
		if (verdict == AQM_VERDICT_MARK)
			mark(c, m);
		if (verdict != AQM_VERDICT_DROP || is_spared(p))
			return true;
		drop_aqm(s, c, shaper_take(s, c, q));
	}
	return false;
}

bool aqm_admit(struct shaper *s, struct shape_class *c, struct queue *q, struct rte_mbuf *m,
	uint64_t now_ns)
{
	struct pkt *p = pkt_of(m);
	const struct pie_params params = {
		(uint32_t)c->aqm_target_ns, PIE_T_UPDATE_NS, PIE_MAX_BURST_NS};
	uint64_t sojourn_ns = q->packets > 0 ? now_ns - pkt_of(q->head)->queued_ns : 0;
	enum aqm_verdict verdict = pie_enqueue(
		&q->pie, &params, sojourn_ns, q->bytes, speaks_ecn(c, p), shaper_random(s), now_ns);

	if (verdict == AQM_VERDICT_MARK)
		mark(c, m);
	if (verdict != AQM_VERDICT_DROP || is_spared(p))
		return true;
	drop_aqm(s, c, m);
	return false;
}
