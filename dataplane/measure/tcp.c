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

#define NEAR_TICKS TICKS(8000)		  /* what is this close counts as one moment */
#define GAP_SHIFT 6			  /* or within 1/64 of the time measured */
#define DELAYED_ACK_TICKS TICKS(20000000) /* half of the shortest timer in use */
#define PROBE_TICKS TICKS(2000000000ull)  /* the echo of a timestamp is not waited for longer */
#define FAR_SEQ (1u << 28)		  /* no window is so large: another connection */
#define ONE_WAY_SHARE 64		  /* runs in flight, as long as no answer has been seen */
#define GROUP 32u /* packets whose lines are fetched together: they fit the first cache */

/* No branch on the comparison: whether the clock went on since the last packet is up to chance. */
static inline void note_tsval(struct measure_half *h, const struct pkt *p)
{
	if (p->flags & PKT_TCP_TS)
		h->tsval = before(h->tsval, p->tcp_tsval) ? p->tcp_tsval : h->tsval;
}

/*
 * The host on side `from` answered what passed at `tick`. `lone`: nothing was sent behind that.
 * After a minute or two it is no answer of the network any more.
 */
static inline void sample(struct flow_measure *f, enum measure_from from, uint32_t tick, bool lone,
	uint64_t now, struct measure_class *c)
{
	uint32_t ticks = since(now, tick);
	uint16_t code = short_of(ticks), min = f->rtt_min[from];

	if (__builtin_expect((uint8_t)(EPOCH(now) - f->half[!from].epoch) > 1, 0))
		return;
	histogram_record(
		from == FROM_LAN ? &c->rtt_lan : &c->rtt_wan, (uint64_t)ticks << TICK_SHIFT);
	f->samples[from]++;
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
	struct measure_half *me = &f->half[from], *h = &f->half[!from];
	uint32_t ticks = since(now, f->probe_tick), gap = since(now, me->last_tick);
	bool pure = (h->bits & H_PROBE) == H_PROBE_PURE;

	h->bits &= (uint8_t)~H_PROBE;
	if (!(p->flags & PKT_TCP_TS) || p->tcp_tsecr != f->probe_key)
		return; /* it does not echo, or a later packet caused this one */
	if (!pure)
		sample(f, from, f->probe_tick, p->tcp_ack == h->next_seq, now, c);
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

/* What a packet with ACK says of the other direction. `me` is the half of `from`. */
static inline void acknowledge(struct flow_measure *f, struct measure_half *me, struct pkt *p,
	enum measure_from from, uint64_t now, struct measure_class *c, struct inflight_store *s)
{
	struct measure_half *peer = other_half(f, me);

	if (before(me->ack, p->tcp_ack)) {
		uint32_t flight = peer->next_seq - me->ack, tick;

		me->ack = p->tcp_ack;
		me->bits &= (uint8_t)~H_DUPACKS;
		if (p->tcp_ack == peer->next_seq) {
			if (f->flags & F_NEWEST(!from))
				sample(f, from, peer->last_tick, true, now, c);
			if (peer->oldest != 0)
				inflight_forget(s, peer);
		} else if (peer->oldest != 0 && inflight_acked(s, peer, p->tcp_ack, &tick)) {
			sample(f, from, tick, false, now, c);
		}
		if (__builtin_expect(!before((uint32_t)now, f->round_end), 0))
			measure_round(f, from, flight, now, c);
	} else if (p->payload_len == 0 && p->tcp_ack == me->ack && p->tcp_ack != peer->next_seq &&
		   !(p->flags & PKT_TCP_OPTIONS)) {
		dupack(f, p, from, c);
	}
	if (__builtin_expect((peer->bits & H_PROBE) != 0, 0) &&
		(!(p->flags & PKT_TCP_TS) || !before(p->tcp_tsecr, f->probe_key)))
		answered_echo(f, p, from, now, c);
}

/* A segment that is not as large as the largest. */
static __attribute__((noinline)) void other_size(
	struct flow_measure *f, struct measure_half *me, uint32_t len)
{
	if (len < f->mss)
		me->bits |= H_SHORT;
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
	me->epoch = EPOCH(now);
	if (p->payload_len != f->mss)
		other_size(f, me, p->payload_len);
}

/* A pure ACK: its timestamp can be a probe while the other side has data under way. */
static inline void pure_ack(
	struct flow_measure *f, struct measure_half *me, const struct pkt *p, uint64_t now)
{
	struct measure_half *peer = other_half(f, me);

	if (((me->bits | peer->bits) & H_PROBE) != 0 && since(now, f->probe_tick) < PROBE_TICKS)
		return;
	if (tsval_is_new(me, p) && before(p->tcp_ack, peer->next_seq)) {
		peer->bits &= (uint8_t)~H_PROBE;
		me->bits = (uint8_t)((me->bits & ~H_PROBE) | H_PROBE_PURE);
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
		me->bits = 0;
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
	f->half[from].tsval = p->tcp_tsval - 1; /* so that its own counts as new */
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

	f->ordinary = 0;
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
		acknowledge(f, me, p, from, now, c, s);
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
		pure_ack(f, me, p, now);
	note_tsval(me, p);

	f->ordinary = (f->flags & F_BOTH) == F_BOTH && f->holes == 0 &&
		      (state_of(f) == F_OPEN || state_of(f) == F_MIDSTREAM) &&
		      !(f->flags & (F_FULL(FROM_LAN) | F_FULL(FROM_WAN)));
}

/*
 * Has the short way no eye for the packet itself? That is for flags other than ACK, for marks of
 * congestion (their two bits carry into the third), and a window of zero.
 */
static inline bool is_rare(const struct pkt *p)
{
	const uint32_t flags = TH_FIN | TH_SYN | TH_RST | TH_ACK | TH_ECE | TH_CWR;
	uint32_t seen = p->tcp_flags | (uint32_t)p->ecn << 8;

	return (((seen + 0x100) & (flags | 0x400)) != TH_ACK) | (p->tcp_window == 0);
}

static inline void measure_one(struct flow_measure *f, struct pkt *p, enum measure_from from,
	uint64_t now, struct measure_class *c, struct inflight_store *s)
{
	struct measure_half *me = &f->half[from];

	c->tcp_packets[from]++;
	if (__builtin_expect((p->flags & PKT_TCP_OPTIONS) != 0 || is_rare(p) ||
				     p->tcp_seq != me->next_seq || !f->ordinary,
		    0)) {
		irregular(f, p, from, now, c, s);
		return;
	}
	acknowledge(f, me, p, from, now, c, s);
	me->window = p->tcp_window;
	if (p->payload_len > 0) {
		c->data_packets[from]++;
		new_data(f, me, p, from, p->payload_len, now, s, s->share);
	} else {
		pure_ack(f, me, p, now);
	}
	me->tsval = p->tcp_tsval; /* of no meaning without PKT_TCP_TS */
}

static inline struct inflight_store *store_of(const struct measure_class *c)
{
	return c->inflight != NULL ? c->inflight : inflight_default();
}

void measure_tcp(struct flow_measure *f, struct pkt *p, enum measure_from from, uint64_t now_ns,
	struct measure_class *c)
{
	measure_one(f, p, from, now_ns >> TICK_SHIFT, c, store_of(c));
}

static inline enum measure_from from_of(const struct pkt *p)
{
	return (enum measure_from)(p->dir ^ p->flow->lan_dir);
}

/* Packets of one group, their lines on the way. */
static inline void measure_group(struct rte_mbuf **pkts, unsigned n, uint64_t now,
	struct measure_class *classes, uint32_t count, struct inflight_store *s)
{
	for (unsigned i = 0; i < n; i++) {
		struct pkt *p = pkt_of(pkts[i]);
		struct flow *flow = p->flow;
		enum measure_from from = from_of(p);
		struct measure_class *c = measure_class_of(classes, count, flow->class_id);

		if (!(p->flags & PKT_TCP))
			continue;
		if (__builtin_expect(flow->flags & FLOW_OTHER, 0))
			c->tcp_packets[from]++;
		else
			measure_one(&flow->measure, p, from, now, c, s);
	}
}

/* Both lines of the record that every packet needs; then, with the first of them at hand, the
 * segments in flight: for data the newest, for an ACK the oldest of the other side. */
static inline void prefetch_group(
	struct rte_mbuf **pkts, unsigned n, const struct inflight_store *s)
{
	for (unsigned i = 0; i < n; i++) {
		const struct flow_measure *f = &pkt_of(pkts[i])->flow->measure;

		rte_prefetch0(f);
		rte_prefetch0(f->rtt_min);
	}
	for (unsigned i = 0; i < n; i++) {
		const struct pkt *p = pkt_of(pkts[i]);
		unsigned is_data = p->payload_len != 0;
		const struct measure_half *h = &p->flow->measure.half[from_of(p) ^ !is_data];

		rte_prefetch0(&s->run[0].segment[(&h->oldest)[is_data]]);
	}
}

void measure_bulk(struct rte_mbuf **pkts, unsigned n, uint64_t now_ns,
	struct measure_class *classes, uint32_t count)
{
	struct inflight_store *s = store_of(classes);

	for (unsigned i = 0; i < n; i += GROUP) {
		unsigned size = n - i < GROUP ? n - i : GROUP;

		prefetch_group(pkts + i, size, s);
		measure_group(pkts + i, size, now_ns >> TICK_SHIFT, classes, count, s);
	}
}
