/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The poll loop: the stages of a packet's way, in packet order. Each stage is a function over a
 * burst, named as in stages.def. The two that talk to the peer, decode and compress, stand in
 * worker_link.c and worker_compress.c.
 */
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include <rte_ethdev.h>
#include <rte_lcore.h>

#include "dataplane/clock.h"
#include "dataplane/daemon.h"
#include "dataplane/packet/steer.h"
#include "dataplane/worker.h"
#include "dataplane/worker_cost.h"
#include "dataplane/worker_encrypt.h"
#include "dataplane/worker_hold.h"
#include "dataplane/worker_stages.h"
#include "dataplane/worker_store.h"

/* One round in SAMPLE_ROUNDS is timed stage by stage: cheap enough to stay on. */
#define SAMPLE_ROUNDS 16
/* poll = adaptive: rounds without a packet before the first sleep, and the sleeps' bounds. */
#define IDLE_ROUNDS 8
#define SLEEP_MIN_NS 10000
#define SLEEP_MAX_NS 250000
#define SLEEP_WOKEN_MAX_NS 1000000
#define HEARTBEAT_NS 1000000
/* Buckets that the flow table's clock hand passes over in a round. */
#define AGE_BUCKETS 4

/* rx: a burst from one receive queue. */
static unsigned stage_rx(struct worker *w, const struct worker_rx *rx, struct rte_mbuf **pkts)
{
	uint64_t start = stage_begin(w);
	unsigned n = rte_eth_rx_burst(rx->port_id, rx->queue, pkts, BURST);
	stage_end(w, STAGE_RX, n, start);
	return n;
}

/* parse: headers, flow key, hash. What is not understood keeps its reason and goes on. */
static void stage_parse(
	struct worker *w, const struct worker_rx *rx, struct rte_mbuf **pkts, unsigned n)
{
	uint64_t start = stage_begin(w);
	packet_parse_bulk(pkts, n, &w->context[rx->port], w->now_ns);
	unsigned reasons = 0;
	for (unsigned i = 0; i < n; i++)
		reasons |= pkt_of(pkts[i])->reason;
	if (unlikely(reasons != 0)) {
		for (unsigned i = 0; i < n; i++)
			if (pkt_of(pkts[i])->reason != REASON_NONE)
				w->counters->reason[pkt_of(pkts[i])->reason]++;
	}
	stage_end(w, STAGE_PARSE, n, start);
}

/* steer: give packets of other workers' flows to them; returns how many stay. */
static unsigned stage_steer(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	uint64_t start = stage_begin(w);
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		struct pkt *p = pkt_of(pkts[i]);
		unsigned owner = w->owner_of[p->steer_hash & 127];
		if (likely(owner == w->index))
			pkts[kept++] = pkts[i];
		else
			worker_hand_over(w, owner, pkts[i]);
	}
	stage_end(w, STAGE_STEER, n, start);
	return kept;
}

/* flow: find or create the flow of each packet. */
static void stage_flow(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	uint64_t start = stage_begin(w);
	flow_table_lookup_bulk(w->flows, pkts, n, (uint32_t)(w->now_ns / 1000000));
	/* A flow waits in the queues of one bridge only, so each bridge has a FLOW_OTHER. */
	for (unsigned i = 0; w->daemon->bridge_count > 1 && i < n; i++) {
		struct pkt *p = pkt_of(pkts[i]);
		if (unlikely(p->flow->flags & FLOW_OTHER) && p->bridge > 0)
			p->flow = &w->other[p->bridge];
	}
	stage_end(w, STAGE_FLOW, n, start);
}

/* classify: choose the class of new flows, and of all flows once after rules or peers changed. */
static void stage_classify(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	uint64_t start = stage_begin(w);
	uint32_t generation = w->plan->flows_generation;
	struct rte_mbuf *fresh[BURST];
	unsigned fresh_count = 0;

	for (unsigned i = 0; i < n; i++) {
		struct flow *f = pkt_of(pkts[i])->flow;
		if (unlikely((f->flags & FLOW_NEW) || f->policy_generation != generation))
			fresh[fresh_count++] = pkts[i];
	}
	if (unlikely(fresh_count > 0)) {
		classify_bulk(w->plan->classifier, fresh, fresh_count, generation);
		for (unsigned i = 0; i < fresh_count; i++)
			worker_find_peer(w, pkt_of(fresh[i]));
	}
	if (w->links->count > 0)
		worker_learn_peering(w, pkts, n);
	stage_end(w, STAGE_CLASSIFY, n, start);
}

/* measure: what the packets tell of both halves of the path. */
static void stage_measure(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	uint64_t start = stage_begin(w);
	if (likely(!w->plan->bypass)) {
		if (measure_bulk(pkts, n, w->now_ns, w->measure, w->transactions, w->measured) > 0)
			measure_datagrams_bulk(pkts, n, w->now_ns, w->datagrams, w->measured);
	}
	stage_end(w, STAGE_MEASURE, n, start);
}

void worker_flow_silent(void *worker, struct flow *flow)
{
	struct worker *w = worker;
	uint32_t id = flow->class_id < w->measured ? flow->class_id : w->measured;

	measure_silent(flow, w->now_ns, &w->datagrams[id]);
}

/* What crosses the WAN: up when it leaves, down when it comes, before the shaper has its say. */
static inline void count_wan(struct worker *w, const struct pkt *p)
{
	/* Those that share a frame with the packet in front of them add their part of it. */
	bool has_frame = likely(!(p->flags & PKT_PACKED));

	w->wan_packets[p->bridge][p->way] += has_frame;
	w->wan_bytes[p->bridge][p->way] +=
		has_frame ? RTE_MAX(p->wire_bytes, SHAPER_FRAME_MIN) : p->wire_bytes;
}

/* Choose the port to leave by; returns how many packets it can take. */
static unsigned choose_port(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		struct pkt *p = pkt_of(pkts[i]);
		p->out_port = p->way == WAY_UP ? port_wan(p->bridge) : port_lan(p->bridge);
		const struct port *port = &w->daemon->ports[p->out_port];
		if (p->way == WAY_DOWN)
			count_wan(w, p);
		if (unlikely(pkts[i]->pkt_len > port->max_frame_bytes)) {
			worker_drop(w, pkts[i], DROP_OVERSIZE);
			continue;
		}
		if (unlikely(!port->link_up)) {
			worker_drop(w, pkts[i], DROP_LINK_DOWN);
			continue;
		}
		pkts[kept++] = pkts[i];
	}
	return kept;
}

/* queue: charge the buckets; what may leave at once comes back in out[], the rest waits. */
static unsigned stage_queue(
	struct worker *w, struct rte_mbuf **pkts, unsigned n, struct rte_mbuf **out)
{
	uint64_t start = stage_begin(w);
	unsigned leaving = 0, kept = choose_port(w, pkts, n);

	/* A burst from a ring may mix bridges and ways: one run a shaper. */
	for (unsigned first = 0; first < kept;) {
		const struct pkt *p = pkt_of(pkts[first]);
		unsigned end = first + 1;
		while (end < kept && pkt_of(pkts[end])->way == p->way &&
			pkt_of(pkts[end])->bridge == p->bridge)
			end++;
		leaving += shaper_enqueue(w->shaper[p->bridge][p->way], pkts + first, end - first,
			w->now_ns, out + leaving);
		first = end;
	}
	stage_end(w, STAGE_QUEUE, n, start);
	return leaving;
}

/* Times of other workers may be a little ahead of ours. */
static inline uint64_t since(uint64_t then_ns, uint64_t now_ns)
{
	return now_ns > then_ns ? now_ns - then_ns : 0;
}

/* tx, first half: account for what leaves and put it into its port's buffer. */
static void transmit(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	uint64_t start = stage_begin(w);
	uint64_t now_ns = clock_now_ns(); /* later than the round's: the stages took their time */

	for (unsigned i = 0; i < n; i++) {
		const struct pkt *p = pkt_of(pkts[i]);
		struct flow *f = p->flow;
		struct worker_class *c = &w->classes[p->bridge][p->way][p->class_id];
		struct measure_class *m = worker_measure(w, p->class_id);
		/* Its cache line is left alone where there is nothing to say. */
		if (p->flags & PKT_DECODED)
			f->saved_bytes[WAY_DOWN] += (uint64_t)pkts[i]->pkt_len - p->wire_bytes;
		c->packets++;
		c->wire_bytes += p->wire_bytes;
		if (p->way == WAY_UP)
			count_wan(w, p);
		c->bytes += pkts[i]->pkt_len; /* compress adds what it took off */
		histogram_record(&m->box[p->way], since(p->rx_ns, now_ns));
		if (p->queued_ns != 0)
			histogram_record(&m->queue[p->way], since(p->queued_ns, now_ns));
		worker_send(w, pkts[i]);
	}
	if (w->sampling)
		w->counters->stage[STAGE_TX].cycles += rte_rdtsc() - start;
}

void worker_depart(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	transmit(w, pkts, stage_compress(w, pkts, n));
}

/* Packets that a port left behind in its buffers are pushed once more when nothing else comes. */
static void kick_ports(const struct worker *w)
{
	for (unsigned i = 0; i < w->daemon->port_count; i++)
		if (w->daemon->ports[i].kick_tx && w->tx[i].owner)
			rte_eth_tx_burst(w->tx[i].port_id, w->tx[i].queue, NULL, 0);
}

/* schedule: release what waited and may leave now. */
static unsigned stage_schedule(struct worker *w)
{
	const struct daemon *d = w->daemon;
	unsigned total = 0;

	for (unsigned b = 0; b < d->bridge_count; b++) {
		for (unsigned way = 0; way < WAYS; way++) {
			struct rte_mbuf *pkts[SEALED_MAX];
			const struct worker_tx *tx =
				&w->tx[way == WAY_UP ? port_wan(b) : port_lan(b)];
			/* Never release more than the port has room for: a packet that the
			 * port refuses now is better off in its queue. */
			unsigned room = tx->owner ? TX_BUFFER - tx->count
						  : rte_ring_free_count(tx->hand_over);
			struct cost_mark mark;
			cost_begin(w, &mark);
			uint64_t start = stage_begin(w);
			unsigned n = shaper_dequeue(
				w->shaper[b][way], pkts, room < BURST ? room : BURST, w->now_ns);
			stage_end(w, STAGE_SCHEDULE, n, start);
			if (n == 0)
				continue;
			uint32_t cost = cost_of(w, pkts, n);
			total += n;
			if (way == WAY_UP)
				n = stage_compress(w, pkts, worker_hold(w, pkts, n));
			transmit(w, pkts, n);
			cost_end(w, &mark, cost, n);
		}
	}
	return total;
}

/* tx, second half: what stands in the buffers goes to the ports. */
static unsigned stage_tx(struct worker *w)
{
	uint64_t start = stage_begin(w);
	unsigned total = 0;

	for (unsigned i = 0; i < w->daemon->port_count; i++) {
		struct worker_tx *tx = &w->tx[i];
		if (tx->count == 0)
			continue;
		unsigned sent = rte_eth_tx_burst(tx->port_id, tx->queue, tx->pkts, tx->count);
		tx->count -= sent;
		if (unlikely(tx->count > 0))
			memmove(tx->pkts, tx->pkts + sent, tx->count * sizeof(tx->pkts[0]));
		total += sent;
	}
	stage_end(w, STAGE_TX, total, start);
	return total;
}

/* Bypass: whether packets may go straight to their port. Not while earlier ones wait in a queue,
 * and not where a routed link ends here: its packets need the link-layer header that their flow has
 * learnt from the LAN, and the peer, which goes on compressing, relies on that. Nor where packets
 * must not leave in the clear. */
static bool may_bypass(const struct worker *w)
{
	for (unsigned i = 0; i < w->links->count; i++)
		if ((w->links->path[i].routed && w->links->path[i].session_id != 0) ||
			w->links->path[i].plain_drops)
			return false;
	for (unsigned b = 0; b < w->daemon->bridge_count; b++)
		for (unsigned way = 0; way < WAYS; way++)
			if (shaper_next_ns(w->shaper[b][way]) != UINT64_MAX)
				return false;
	return true;
}

/* From decode to tx: packets that have been parsed, from a queue or from another worker. `mark` is
 * where their way began. Goes on at received[*done]: link frames may hold several packets, and then
 * it takes more than one burst of them. */
static void carry(struct worker *w, struct rte_mbuf **received, unsigned count, unsigned *done,
	struct cost_mark *mark)
{
	struct rte_mbuf *pkts[BURST], *out[SEALED_MAX];

	if (unlikely(*done > 0))
		cost_begin(w, mark);
	unsigned n = stage_decode(w, received, count, done, pkts);
	if (w->daemon->worker_count > 1)
		n = stage_steer(w, pkts, n);
	if (n == 0)
		return;
	if (unlikely(w->plan->bypass)) {
		w->counters->reason[PASS_BYPASS] += n;
		if (may_bypass(w)) {
			n = choose_port(w, pkts, n);
			for (unsigned i = 0; i < n; i++)
				pkt_of(pkts[i])->flow = flow_table_other(w->flows);
			transmit(w, pkts, n);
			return;
		}
	}
	stage_flow(w, pkts, n);
	stage_classify(w, pkts, n);
	if (w->links->count > 0)
		n = worker_restore_l2(w, pkts, worker_refuse_plain(w, pkts, n));
	uint32_t cost = cost_of(w, pkts, n);
	stage_measure(w, pkts, n);
	n = stage_queue(w, pkts, n, out);
	n = worker_hold(w, out, n);
	n = stage_compress(w, out, n);
	transmit(w, out, n);
	cost_end(w, mark, cost, n);
}

/* Take over a new plan: the buckets and queues go on under it. A change of many classes takes the
 * shapers several rounds. */
static void adopt(struct worker *w, const struct plan *plan)
{
	bool done = true;

	w->plan = plan;
	for (unsigned b = 0; b < w->daemon->bridge_count; b++)
		for (unsigned way = 0; way < WAYS; way++)
			done &= shaper_configure(
				w->shaper[b][way], plan->shaper[b][way], w->now_ns);
	w->adopting = !done;
	if (done)
		__atomic_store_n(
			&w->counters->policy_generation, plan->generation, __ATOMIC_RELEASE);
}

/* One time round. Returns how many packets it moved. */
static unsigned poll_once(struct worker *w)
{
	struct rte_mbuf *pkts[BURST];
	const struct daemon *d = w->daemon;
	struct cost_mark mark;
	unsigned moved = 0, n;

	const struct plan *plan = __atomic_load_n(&d->plan, __ATOMIC_ACQUIRE);
	const struct links *links = __atomic_load_n(&d->links, __ATOMIC_ACQUIRE);
	if (unlikely(plan != w->plan || w->adopting)) {
		worker_release(w, UINT64_MAX); /* under the plan that they have come by */
		adopt(w, plan);
	}
	w->links = links;
	w->sampling = (w->rounds++ + w->sample_salt) % SAMPLE_ROUNDS == 0;

	moved += worker_release(w, w->now_ns);
	/* As much as the other workers may have given us in a round of theirs: who receives more
	 * than the owners take would only fill the rings. */
	for (unsigned i = 0; d->worker_count > 1 && i <= w->rx_count; i++) {
		n = rte_ring_sc_dequeue_burst(w->steer_in, (void **)pkts, BURST, NULL);
		if (n == 0)
			break;
		cost_begin(w, &mark);
		for (unsigned done = 0; done < n;)
			carry(w, pkts, n, &done, &mark);
		moved += n;
	}
	for (unsigned i = 0; i < w->rx_count; i++) {
		cost_begin(w, &mark);
		n = stage_rx(w, &w->rx[i], pkts);
		governor_burst(&w->governor, i, n == BURST, w->now_ns);
		if (n == 0)
			continue;
		stage_parse(w, &w->rx[i], pkts, n);
		for (unsigned done = 0; done < n;)
			carry(w, pkts, n, &done, &mark);
		moved += n;
	}
	moved += stage_schedule(w);
	worker_acknowledge(w);
	for (unsigned from = 0; from < d->worker_count; from++) {
		n = rte_ring_sc_dequeue_burst(w->tx_in, (void **)pkts, BURST, NULL);
		for (unsigned i = 0; i < n; i++)
			worker_send(w, pkts[i]);
		moved += n;
		if (n < BURST)
			break;
	}
	moved += stage_tx(w);
	flow_table_age(w->flows, (uint32_t)(w->now_ns / 1000000), AGE_BUCKETS);
	return moved;
}

/* poll = adaptive: sleep, but never past the next packet's release. Where a packet ends the sleep
 * it need not be short; elsewhere it is longer the longer nothing came. */
static void rest(struct worker *w)
{
	/* Rings between workers wake nobody: with several workers no sleep may be long. */
	bool woken = w->can_be_woken && w->daemon->worker_count == 1;
	uint64_t sleep_ns = SLEEP_WOKEN_MAX_NS;
	if (!woken) {
		sleep_ns = SLEEP_MIN_NS + (uint64_t)(w->idle_rounds - IDLE_ROUNDS) * 1000;
		if (sleep_ns > SLEEP_MAX_NS)
			sleep_ns = SLEEP_MAX_NS;
	}
	for (unsigned b = 0; b < w->daemon->bridge_count; b++) {
		for (unsigned way = 0; way < WAYS; way++) {
			uint64_t next_ns = shaper_next_ns(w->shaper[b][way]);
			if (next_ns <= w->now_ns)
				return;
			if (next_ns - w->now_ns < sleep_ns)
				sleep_ns = next_ns - w->now_ns;
		}
	}
	if (w->hold_due_ns - w->now_ns < sleep_ns)
		sleep_ns = w->hold_due_ns - w->now_ns;
	rte_rcu_qsbr_thread_offline(w->daemon->rcu, w->index);
	struct timespec ts = {.tv_nsec = (long)sleep_ns};
	if (w->can_be_woken)
		ppoll(w->rx_fds, w->rx_count, &ts, NULL);
	else
		nanosleep(&ts, NULL);
	rte_rcu_qsbr_thread_online(w->daemon->rcu, w->index);
	w->counters->sleeps++;
}

int worker_run(void *arg)
{
	struct worker *w = arg;
	struct rte_rcu_qsbr *rcu = w->daemon->rcu;
	uint64_t heartbeat_ns = 0, round_tsc = rte_rdtsc();

	/* The kernel rounds sleeps up by 50 us otherwise. */
	prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
	rte_rcu_qsbr_thread_register(rcu, w->index);
	rte_rcu_qsbr_thread_online(rcu, w->index);
	w->counters->lcore = (uint64_t)sched_getcpu(); /* the EAL pinned us; its ids are not CPUs */

	/* Nothing is forwarded before its rates are in force. */
	w->now_ns = clock_now_ns();
	do
		adopt(w, __atomic_load_n(&w->daemon->plan, __ATOMIC_ACQUIRE));
	while (w->adopting);

	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED)) {
		w->now_tsc = rte_rdtsc();
		uint64_t now_ns =
			clock_ns_of(__atomic_load_n(&clock_current, __ATOMIC_ACQUIRE), w->now_tsc);
		/* A new rate may have been measured a little before we last used the old one. */
		if (now_ns > w->now_ns)
			w->now_ns = now_ns;
		unsigned moved = poll_once(w);
		bool adaptive = w->plan->policy->appliance.poll == POLL_ADAPTIVE;
		rte_rcu_qsbr_quiescent(rcu, w->index); /* from here on the plan may be freed */

		w->counters->polls++;
		uint64_t tsc = rte_rdtsc();
		if (moved > 0) {
			w->counters->busy_cycles += tsc - round_tsc;
			w->idle_rounds = 0;
		} else {
			w->counters->idle_cycles += tsc - round_tsc;
			if (w->idle_rounds++ % IDLE_ROUNDS == 1)
				kick_ports(w);
		}
		if (w->now_ns - heartbeat_ns >= HEARTBEAT_NS) {
			heartbeat_ns = w->now_ns;
			__atomic_store_n(
				&w->counters->heartbeat_ns, heartbeat_ns, __ATOMIC_RELAXED);
			struct flow_table_stats s;
			flow_table_stats(w->flows, &s);
			w->counters->flows = s.live;
			w->counters->flows_created = s.created;
			w->counters->flows_expired = s.expired;
			w->counters->flows_evicted = s.evicted;
		}
		if (w->idle_rounds > IDLE_ROUNDS && adaptive && !w->adopting)
			rest(w);
		round_tsc = rte_rdtsc();
	}
	worker_release(w, UINT64_MAX);
	stage_tx(w);
	rte_rcu_qsbr_thread_offline(rcu, w->index);
	rte_rcu_qsbr_thread_unregister(rcu, w->index);
	return 0;
}
