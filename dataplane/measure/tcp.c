/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Passive TCP measurement, see tcp.h. measure_tcp() takes a short way for packets in order and
 * leaves everything else to irregular() and the files named in tcp_private.h. Gaps in the sequence
 * numbers are kept by holes.c, segments in flight by inflight.c.
 *
 * Round-trip times. Every segment that takes sequence numbers is remembered until it is
 * acknowledged. An ACK of new data up to exactly its end is its answer: one sample an ACK, as
 * tcptrace takes them. What would make a sample ambiguous gives none (Karn's rule): a segment that
 * was sent again, and one before which something was sent again, or came late, after it.
 *
 * A sample is the time that it took, with what the receiver waited. Where nothing was sent behind
 * the segment, that may be a delayed ACK (40 ms or more in today's stacks) or the application's
 * time to think: such an answer, more than 20 ms above the shortest time of this half, is counted
 * as such too (rtt_delayed), and is not what a flow shows as its latest.
 *
 * Timestamps step in where sequence numbers are ambiguous or say nothing; not before, because an
 * echo stands for the first segment of an ACK's stride, and many packets share a value (1 ms):
 * - A packet sent again with a timestamp of its own: its echo can only be its answer.
 * - Pure ACKs, which nobody acknowledges: the host that is sending echoes their timestamp in its
 *   next data. That data may be sent later than the ACK arrived, but not earlier than the data
 *   before it: the sample is taken where the gap to that is below 1/64 of it, or 8 us.
 *
 * A packet that begins above the highest sequence number seen leaves a hole: what lies between was
 * lost before the box, or is late. One that begins below is taken apart in late.c. A loss at the
 * end of the data, before the box, shows no hole: what then comes looks new.
 */
#include <rte_prefetch.h>

#include "dataplane/flow/flow.h"
#include "dataplane/measure/holes.h"
#include "dataplane/measure/tcp_private.h"
#include "dataplane/measure/transactions.h"

#define NEAR_TICKS TICKS(8000)		  /* what is this close counts as one moment */
#define GAP_SHIFT 6			  /* or within 1/64 of the time measured */
#define DELAYED_ACK_TICKS TICKS(20000000) /* half of the shortest timer in use */
#define PROBE_TICKS TICKS(2000000000ull)  /* the echo of a timestamp is not waited for longer */
#define PROBE_EVERY 32			  /* timestamps */
#define FAR_SEQ (1u << 28)		  /* no window is so large: another connection */
#define ONE_WAY_SHARE 64		  /* runs in flight, as long as no answer has been seen */
#define UNCOUNTED_SHIFT(from) ((from)*4)
#define UNCOUNTED_FULL 15u
#define CACHED_RUNS 512u /* so few are near anyway: 64 kB */
#define GROUP 32u	 /* packets whose lines are fetched together: they fit the first cache */

static void note_tsval(struct measure_half *h, const struct pkt *p)
{
	if (tsval_is_new(h, p))
		h->tsval = (uint16_t)p->tcp_tsval;
}

/* The four bits of side `from` are full. Time for a look at limits.c, too. */
static __attribute__((noinline)) void count_samples(
	struct flow_measure *f, enum measure_from from, uint64_t now, struct measure_class *c)
{
	f->samples[from] += UNCOUNTED_FULL;
	f->uncounted &= (uint8_t) ~(UNCOUNTED_FULL << UNCOUNTED_SHIFT(from));
	if (!before((uint32_t)now, f->round_end))
		measure_round(f, from, 0, now, c);
}

/*
 * The host on side `from` answered what passed at `tick`. `lone`: nothing was sent behind that.
 * After two minutes it is no answer of the network any more.
 */
static inline void sample(struct flow_measure *f, enum measure_from from, uint32_t tick, bool lone,
	uint64_t now, struct measure_class *c)
{
	unsigned uncounted = f->uncounted + (1u << UNCOUNTED_SHIFT(from));
	uint32_t ticks = since(now, tick);
	uint16_t code = short_of(ticks), min = f->rtt_min[from];

	/* Without a branch for each. */
	if (__builtin_expect(
		    (!epoch_is_near(epoch_of(f, !from), EPOCH(now))) | (ticks >> EPOCH_SHIFT), 0))
		return;
	histogram_record(
		from == FROM_LAN ? &c->rtt_lan : &c->rtt_wan, (uint64_t)ticks << TICK_SHIFT);
	f->uncounted = (uint8_t)uncounted;
	if (__builtin_expect(
		    (uncounted >> UNCOUNTED_SHIFT(from) & UNCOUNTED_FULL) == UNCOUNTED_FULL, 0))
		count_samples(f, from, now, c);
	if (__builtin_expect(lone && ticks > DELAYED_ACK_TICKS && min != 0 &&
				     ticks - DELAYED_ACK_TICKS > value_of(min),
		    0)) {
		c->rtt_delayed[from]++;
		return;
	}
	f->rtt_last[from] = code;
	if (__builtin_expect((uint16_t)(code - 1) < (uint16_t)(min - 1), 0))
		f->rtt_min[from] = code;
}

/* A timestamp echo reaches the probe of the other side. */
static __attribute__((noinline)) void answered_echo(struct flow_measure *f, const struct pkt *p,
	enum measure_from from, uint64_t now, struct measure_class *c)
{
	uint32_t ticks = since(now, f->probe_tick), gap = since(now, f->half[from].last_tick);
	bool pure = (f->bits[!from] & H_PROBE) == H_PROBE_PURE;

	f->bits[!from] &= (uint8_t)~H_PROBE;
	if (!(p->flags & PKT_TCP_TS) || p->tcp_tsecr != f->probe_key)
		return; /* it does not echo, or a later packet caused this one */
	if (!pure)
		sample(f, from, f->probe_tick, p->tcp_ack == f->half[!from].next_seq, now, c);
	else if (p->payload_len > 0 && gap <= (ticks >> GAP_SHIFT) + NEAR_TICKS)
		sample(f, from, f->probe_tick, false, now, c);
}

/* Out of the way: its struct step would be filled in for every packet. */
static __attribute__((noinline)) void dupack(
	struct flow_measure *f, struct pkt *p, enum measure_from from, struct measure_class *c)
{
	struct step t = {.f = f, .p = p, .from = from, .c = c};

	measure_dupack(&t);
}

static inline struct measure_half *other_half(struct flow_measure *f, struct measure_half *me)
{
	return (struct measure_half *)((uintptr_t)&f->half[0] + (uintptr_t)&f->half[1] -
				       (uintptr_t)me);
}

/* What a packet with ACK says of the other direction. `me` is the half of `from`; `pure`: it has
 * no data. */
static inline void acknowledge(struct flow_measure *f, struct measure_half *me, struct pkt *p,
	bool pure, enum measure_from from, uint64_t now, struct measure_class *c,
	struct inflight_store *s)
{
	struct measure_half *peer = other_half(f, me);

	if (before(me->ack, p->tcp_ack)) {
		uint32_t flight = peer->next_seq - me->ack, tick;

		me->ack = p->tcp_ack;
		f->bits[from] &= (uint8_t)~H_DUPACK;
		if (p->tcp_ack == peer->next_seq) {
			if (f->flags & F_NEWEST(!from))
				sample(f, from, peer->last_tick, true, now, c);
			if (peer->newest & INFLIGHT_ALONE)
				peer->oldest = peer->newest = 0;
			else if (peer->newest != 0)
				inflight_forget(s, peer);
		} else if (peer->newest != 0 && inflight_acked(s, peer, p->tcp_ack, &tick)) {
			sample(f, from, tick, false, now, c);
		}
		/* Two segments in flight are not worth the cache line. */
		if (flight > 2u * f->mss && !before((uint32_t)now, f->round_end))
			measure_round(f, from, flight, now, c);
	} else if (pure && p->tcp_ack == me->ack && p->tcp_ack != peer->next_seq &&
		   !(p->flags & PKT_TCP_OPTIONS)) {
		dupack(f, p, from, c);
	}
	if (__builtin_expect((f->bits[!from] & H_PROBE) != 0, 0) &&
		(!(p->flags & PKT_TCP_TS) || !before(p->tcp_tsecr, f->probe_key)))
		answered_echo(f, p, from, now, c);
}

/* A segment that is not as large as the largest. */
static void other_size(struct flow_measure *f, enum measure_from from, uint32_t len)
{
	if (len < f->mss)
		f->bits[from] |= H_SHORT;
	else
		f->mss = (uint16_t)len;
}

/* Data that continues where the highest ended. seg_len counts SYN and FIN. */
static inline void new_data(struct flow_measure *f, struct measure_half *me, const struct pkt *p,
	enum measure_from from, uint32_t seg_len, uint64_t now, struct inflight_store *s,
	uint32_t share)
{
	/* The newest segment is known without a slot; now it is no longer that. */
	if ((f->flags & F_NEWEST(from)) && before(other_half(f, me)->ack, me->next_seq))
		inflight_add(s, me, me->next_seq, me->last_tick, share);
	f->flags |= F_NEWEST(from);
	me->next_seq = p->tcp_seq + seg_len;
	me->last_tick = (uint32_t)now;
	note_epoch(f, from, now);
	if (p->payload_len != f->mss)
		other_size(f, from, p->payload_len);
}

/*
 * A pure ACK: its timestamp can be a probe while the other side has data under way. Every 32nd
 * (ms, in most stacks) is enough for flows with many packets, and for those with few a probe costs
 * a cache line.
 */
static inline void pure_ack(struct flow_measure *f, const struct measure_half *me,
	const struct pkt *p, enum measure_from from, uint64_t now)
{
	if (p->tcp_tsval % PROBE_EVERY != 0 || !tsval_is_new(me, p))
		return;
	if (((f->bits[FROM_LAN] | f->bits[FROM_WAN]) & H_PROBE) != 0 &&
		since(now, f->probe_tick) < PROBE_TICKS)
		return;
	if (before(p->tcp_ack, f->half[!from].next_seq)) {
		f->bits[!from] &= (uint8_t)~H_PROBE;
		f->bits[from] = (uint8_t)((f->bits[from] & ~H_PROBE) | H_PROBE_PURE);
		f->probe_key = p->tcp_tsval;
		f->probe_tick = (uint32_t)now;
	}
}

/* Any packet that takes sequence numbers, from a side that has started. */
static void data(struct step *t, uint32_t seg_len)
{
	struct flow_measure *f = t->f;
	const struct pkt *p = t->p;
	enum measure_from from = t->from;
	struct measure_half *me = &f->half[from];
	uint32_t missing = me->next_seq;
	int32_t ahead = (int32_t)(p->tcp_seq - me->next_seq);

	if (ahead <= -(int32_t)FAR_SEQ || ahead >= (int32_t)FAR_SEQ) {
		/* Not this conversation as we know it: begin again from here, count nothing. */
		holes_forget(f, from);
		inflight_forget(t->s, me);
		f->flags &= (uint16_t)~F_NEWEST(from);
		me->next_seq = p->tcp_seq;
		f->bits[from] = 0;
		f->half[!from].ack = f->round_ack[from] = p->tcp_seq;
		ahead = 0;
	}
	/* A zero-window probe took the byte in front, if it is one byte: still new data. */
	if (ahead < 0 && !(ahead == -1 && seg_len > 1 && !(p->tcp_flags & TH_SYN))) {
		measure_late(t, seg_len);
		return;
	}
	if (ahead < 0) {
		inflight_cut(t->s, me, p->tcp_seq);
		f->flags &= (uint16_t)~F_NEWEST(from);
	}
	t->c->data_packets[from]++;
	if (ahead > 0) {
		/* What the receiver acknowledged went another way: not missing. */
		if ((f->flags & F_ACKED(!from)) && before(missing, f->half[!from].ack))
			missing = f->half[!from].ack;
		if (before(missing, p->tcp_seq))
			holes_open(f, from, missing, p->tcp_seq, (uint32_t)t->now, p->tcp_tsval);
	}
	holes_acknowledged(f, from, p->tcp_seq + seg_len - FAR_SEQ); /* too old to compare */
	/* TCP Fast Open (RFC 7413): the answer may leave out the data. */
	if ((p->tcp_flags & TH_SYN) && seg_len > 1)
		inflight_add(t->s, me, p->tcp_seq + 1, (uint32_t)t->now, t->s->share);
	new_data(f, me, p, from, seg_len, t->now, t->s,
		f->flags & F_STARTED(!from) ? t->s->share : ONE_WAY_SHARE);
}

/* The first packet of a side: nothing is known of what it sent before. */
static void start_side(struct flow_measure *f, const struct pkt *p, enum measure_from from)
{
	struct measure_half *peer = &f->half[!from];

	f->flags |= F_STARTED(from);
	f->half[from].next_seq = p->tcp_seq;
	f->half[from].tsval = (uint16_t)(p->tcp_tsval - 1); /* so that its own counts as new */
	f->round_ack[from] = p->tcp_seq;
	if (!(f->flags & F_ACKED(!from))) {
		peer->ack = p->tcp_seq;
		f->flags |= F_ACKED(!from);
	}
}

static void zero_window(struct step *t)
{
	struct flow_measure *f = t->f;

	if ((t->p->tcp_flags & TH_SYN) || state_of(f) == F_SYN || state_of(f) == F_SYN_ACK)
		return;
	if (t->p->tcp_window > 0) {
		f->flags &= (uint16_t)~F_FULL(t->from);
	} else if (!(f->flags & F_FULL(t->from))) {
		f->flags |= F_FULL(t->from);
		t->c->zero_windows[t->from]++;
		count16(&f->zero_windows[t->from]);
	}
}

/* Congestion experienced, as the network marks data, the receiver echoes it and the sender answers
 * (RFC 3168). On SYNs the flags mean something else. */
static void ecn(struct step *t)
{
	if (t->p->ecn == 3) {
		t->c->ce[t->from]++;
		count16(&t->f->ce[t->from]);
	}
	if (t->p->tcp_flags & TH_SYN)
		return;
	if (t->p->tcp_flags & TH_ECE) {
		t->c->ece[t->from]++;
		count16(&t->f->ece[t->from]);
	}
	if (t->p->tcp_flags & TH_CWR) {
		t->c->cwr[t->from]++;
		count16(&t->f->cwr[t->from]);
	}
}

/* Everything that is not plain data or a plain ACK on a flow where nothing is amiss. */
static __attribute__((noinline)) void irregular(struct flow_measure *f, struct pkt *p,
	enum measure_from from, uint64_t now, struct measure_class *c, struct inflight_store *s)
{
	struct step step = {f, p, from, now, c, s}, *t = &step;
	struct measure_half *me = &f->half[from];
	uint32_t seg_len = p->payload_len;
	unsigned tcp_flags = p->tcp_flags;

	f->flags &= (uint16_t)~F_ORDINARY;
	if (tcp_flags & TH_RST) { /* its numbers and its window mean nothing */
		measure_reset(t);
		return;
	}
	if ((tcp_flags & (TH_SYN | TH_ACK)) == TH_SYN)
		measure_syn(t);
	/* An answer to another SYN than the one we know. */
	else if (state_of(f) == F_SYN && !!(f->flags & F_OPENED_WAN) != (from == FROM_WAN) &&
		 (tcp_flags & TH_SYN) &&
		 (before(f->half[!from].next_seq, p->tcp_ack) ||
			 !before(f->half[from].ack, p->tcp_ack)))
		return;
	seg_len += !!(tcp_flags & TH_SYN) + !!(tcp_flags & TH_FIN);
	if (!(f->flags & F_STARTED(from)))
		start_side(f, p, from);
	ecn(t);

	if (tcp_flags & TH_ACK) {
		uint32_t ack = me->ack;

		if (!(f->flags & F_ACKED(from))) {
			f->flags |= F_ACKED(from);
			me->ack = ack = p->tcp_ack;
		}
		acknowledge(f, me, p, p->payload_len == 0, from, now, c, s);
		if (!(tcp_flags & TH_SYN) && (p->flags & PKT_TCP_OPTIONS))
			measure_dupack(t);
		measure_handshake(t, me->ack != ack);
		zero_window(t);
		if (f->holes != 0)
			holes_acknowledged(f, !from, me->ack);
	}
	me->window = p->tcp_window;
	if (tcp_flags & TH_SYN)
		measure_syn_options(t);
	if (tcp_flags & TH_FIN)
		measure_fin(t);
	if (seg_len > 0)
		data(t, seg_len);
	else
		pure_ack(f, me, p, from, now);
	note_tsval(me, p);

	if ((f->flags & F_BOTH) == F_BOTH && f->holes == 0 &&
		(state_of(f) == F_OPEN || state_of(f) == F_MIDSTREAM) &&
		!(f->flags & (F_FULL(FROM_LAN) | F_FULL(FROM_WAN))))
		f->flags |= F_ORDINARY;
}

/*
 * Has the short way no eye for the packet itself? That is for flags other than ACK, for marks of
 * congestion (their two bits carry into the third), a window of zero, and options.
 */
static inline bool is_rare(const struct pkt *p)
{
	const uint32_t flags = TH_FIN | TH_SYN | TH_RST | TH_ACK | TH_ECE | TH_CWR;
	uint32_t seen = p->tcp_flags | (uint32_t)p->ecn << 8;

	return (((seen + 0x100) & (flags | 0x400)) != TH_ACK) | (p->tcp_window == 0) |
	       ((p->flags & PKT_TCP_OPTIONS) != 0);
}

/* A packet that is not rare, of a flow where nothing is amiss, in order. */
static inline bool is_ordinary(
	const struct flow_measure *f, const struct measure_half *me, const struct pkt *p)
{
	return (p->tcp_seq == me->next_seq) & ((f->flags & F_ORDINARY) != 0);
}

static inline void ordinary_ack(struct flow_measure *f, struct measure_half *me, struct pkt *p,
	enum measure_from from, uint64_t now, struct measure_class *c, struct inflight_store *s)
{
	acknowledge(f, me, p, true, from, now, c, s);
	pure_ack(f, me, p, from, now);
	me->window = p->tcp_window;
	me->tsval = (uint16_t)p->tcp_tsval; /* of no meaning without PKT_TCP_TS */
}

static inline void ordinary_data(struct flow_measure *f, struct measure_half *me, struct pkt *p,
	enum measure_from from, uint64_t now, struct measure_class *c, struct inflight_store *s)
{
	acknowledge(f, me, p, false, from, now, c, s);
	c->data_packets[from]++;
	new_data(f, me, p, from, p->payload_len, now, s, s->share);
	me->window = p->tcp_window;
	me->tsval = (uint16_t)p->tcp_tsval;
}

static inline struct inflight_store *store_of(const struct measure_class *c)
{
	return c->inflight != NULL ? c->inflight : inflight_default();
}

void measure_tcp(struct flow_measure *f, struct pkt *p, enum measure_from from, uint64_t now_ns,
	struct measure_class *c)
{
	struct measure_half *me = &f->half[from];
	uint64_t now = now_ns >> TICK_SHIFT;

	c->tcp_packets[from]++;
	if (is_rare(p) || !is_ordinary(f, me, p))
		irregular(f, p, from, now, c, store_of(c));
	else if (p->payload_len > 0)
		ordinary_data(f, me, p, from, now, c, store_of(c));
	else
		ordinary_ack(f, me, p, from, now, c, store_of(c));
}

static inline enum measure_from from_of(const struct pkt *p)
{
	return (enum measure_from)(p->dir ^ p->flow->lan_dir);
}

/* A group of packets, and where their figures go. */
struct group {
	uint64_t now_ns;
	struct measure_class *classes;
	struct measure_transactions *transactions;
	uint32_t count; /* of the classes */
	struct inflight_store *s;
	unsigned acks, data;
	struct rte_mbuf *ack[GROUP + 1], *datum[GROUP + 1]; /* one is written in vain */
};

static inline uint32_t class_of(const struct group *g, const struct flow *flow)
{
	return flow->class_id < g->count ? flow->class_id : g->count;
}

/*
 * Part the TCP packets into pure ACKs and data, without a branch, and fetch their records. Returns
 * true if there is a rare one among them. Other packets are left out.
 */
static inline bool sort_group(struct group *g, struct rte_mbuf **pkts, unsigned n)
{
	unsigned acks = 0, data = 0;
	bool rare = false;

	for (unsigned i = 0; i < n; i++) {
		const struct pkt *p = pkt_of(pkts[i]);
		unsigned is_tcp = (p->flags & PKT_TCP) != 0, is_data = p->payload_len != 0;

		rte_prefetch0(&p->flow->measure);
		rare |= is_tcp & is_rare(p);
		g->ack[acks] = g->datum[data] = pkts[i];
		acks += is_tcp & !is_data;
		data += is_tcp & is_data;
	}
	g->acks = acks;
	g->data = data;
	return rare;
}

/* Fetch the segments in flight that are not in the records: for data the newest, for an ACK the
 * oldest of the other side. */
static inline void prefetch_inflight(const struct group *g)
{
	for (unsigned i = 0; i < g->acks; i++) {
		const struct pkt *p = pkt_of(g->ack[i]);
		const struct measure_half *h = &p->flow->measure.half[!from_of(p)];

		rte_prefetch0(inflight_slot(g->s, h->newest & INFLIGHT_ALONE ? 0 : h->oldest));
	}
	for (unsigned i = 0; i < g->data; i++) {
		const struct pkt *p = pkt_of(g->datum[i]);
		const struct measure_half *h = &p->flow->measure.half[from_of(p)];

		rte_prefetch0(inflight_slot(g->s, h->newest & INFLIGHT_ALONE ? 0 : h->newest));
	}
}

static inline void measure_acks(const struct group *g)
{
	const uint64_t now = g->now_ns >> TICK_SHIFT;
	struct measure_class *const classes = g->classes;
	const uint32_t acks = g->acks, count = g->count;
	struct inflight_store *const s = g->s;

	for (unsigned i = 0; i < acks; i++) {
		struct pkt *p = pkt_of(g->ack[i]);
		struct flow *flow = p->flow;
		struct flow_measure *f = &flow->measure;
		enum measure_from from = from_of(p);
		struct measure_class *c = measure_class_of(classes, count, flow->class_id);

		c->tcp_packets[from]++;
		if (__builtin_expect(is_ordinary(f, &f->half[from], p), 1))
			ordinary_ack(f, &f->half[from], p, from, now, c, s);
		else if (!(flow->flags & FLOW_OTHER))
			irregular(f, p, from, now, c, s);
	}
}

static inline void measure_data(const struct group *g)
{
	const uint64_t now = g->now_ns >> TICK_SHIFT;
	struct measure_class *const classes = g->classes;
	const uint32_t data = g->data, count = g->count;
	struct inflight_store *const s = g->s;

	for (unsigned i = 0; i < data; i++) {
		struct rte_mbuf *m = g->datum[i];
		struct pkt *p = pkt_of(m);
		struct flow *flow = p->flow;
		struct flow_measure *f = &flow->measure;
		enum measure_from from = from_of(p);
		struct measure_class *c = measure_class_of(classes, count, flow->class_id);

		c->tcp_packets[from]++;
		if (__builtin_expect(is_ordinary(f, &f->half[from], p), 1))
			ordinary_data(f, &f->half[from], p, from, now, c, s);
		else if (!(flow->flags & FLOW_OTHER))
			irregular(f, p, from, now, c, s);
		/* Neither SYN nor FIN nor RST. */
		if (__builtin_expect(transactions_other_speaks(flow, from), 0))
			measure_transaction(flow, p, rte_pktmbuf_mtod(m, const uint8_t *),
				m->data_len, g->now_ns, &g->transactions[class_of(g, flow)]);
	}
}

/* In the order in which they came. */
static __attribute__((noinline)) void measure_in_order(
	const struct group *g, struct rte_mbuf **pkts, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct pkt *p = pkt_of(pkts[i]);
		struct flow *flow = p->flow;
		enum measure_from from = from_of(p);
		struct measure_class *c = &g->classes[class_of(g, flow)];

		if (!(p->flags & PKT_TCP))
			continue;
		if (flow->flags & FLOW_OTHER) {
			c->tcp_packets[from]++;
			continue;
		}
		measure_tcp(&flow->measure, p, from, g->now_ns, c);
		measure_transaction(flow, p, rte_pktmbuf_mtod(pkts[i], const uint8_t *),
			pkts[i]->data_len, g->now_ns, &g->transactions[class_of(g, flow)]);
	}
}

/*
 * Which packet carries data is up to chance, and a branch that depends on chance costs more than
 * the work behind it. So the pure ACKs of a burst are measured first, then the data. They passed at
 * one time; what is lost by it is the sample of an ACK in data that a pure ACK behind it outruns.
 * Rare packets (SYN, FIN, SACK ...) say something of those around them: then all go in order.
 */
unsigned measure_bulk(struct rte_mbuf **pkts, unsigned n, uint64_t now_ns,
	struct measure_class *classes, struct measure_transactions *transactions, uint32_t count)
{
	struct group g = {.now_ns = now_ns,
		.classes = classes,
		.transactions = transactions,
		.count = count,
		.s = store_of(classes)};
	unsigned others = 0;

	for (unsigned i = 0; i < n; i += GROUP) {
		unsigned size = n - i < GROUP ? n - i : GROUP;
		bool rare = sort_group(&g, pkts + i, size);

		if (g.s->used > CACHED_RUNS)
			prefetch_inflight(&g);
		if (__builtin_expect(rare, 0)) {
			measure_in_order(&g, pkts + i, size);
		} else {
			measure_acks(&g);
			measure_data(&g);
		}
		others += size - g.acks - g.data;
	}
	return others;
}
