/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Passive TCP measurement, see tcp.h. measure_tcp() takes a short way for packets in order and
 * leaves everything else to irregular(). Gaps in the sequence numbers are kept by holes.c.
 *
 * Round-trip times. Each direction has one probe at a time: a packet that passed, and what answers
 * it. Data, SYN and FIN are probes by sequence number: the answer is an ACK of exactly that packet.
 * An ACK of more was caused by a later packet, and its time would include the wait for that one:
 * it gives no sample, unless it acknowledges all there is, for when the newest data passed is
 * known as well. Packets that follow the probe within 8 us belong to it (probe_span): an answer
 * to them is wrong by at most that. Receivers acknowledge in strides (two segments, or what their
 * card put together), so the next probe is aimed: at where the next ACK falls if the stride stays
 * the same, and after a miss at random.
 *
 * What would make a sample lie gives none:
 * - Karn's rule: a packet sent again, or late, before the end of the probe. The ACK could belong
 *   to either, or was held back by what was missing.
 * - The receiver misses something before the probe (an ACK that repeats itself and carries further
 *   options, that is SACK).
 * - A delayed ACK. Where nothing was sent behind the probe, the receiver may wait for a timer
 *   (40 ms or more in today's stacks) or for its application. Such an answer counts only if it
 *   comes within 20 ms of the shortest time of this half.
 *
 * Timestamps step in would sequence numbers be ambiguous or say nothing; not before, because an
 * echo stands for the first segment of an ACK's stride, and many packets share a value (1 ms):
 * - A packet sent again with a timestamp of its own: its echo can only be its answer.
 * - Pure ACKs, which nobody acknowledges: the host that is sending echoes their timestamp in its
 *   next data. That data may be sent later than the ACK arrived, but not earlier than the data
 *   before it: the sample is taken where the gap to that is below 1/64 of it, or 8 us.
 *
 * A packet that does not continue where the highest one ended (Benko and Veres 2002, Jaiswal et
 * al. 2003):
 * - Above: what lies between was lost before the box, or is late: a hole.
 * - Filling a hole: sent again (lost before the box) or overtaken (reordered)? By timestamps: newer
 *   than that of the packet that showed the hole, sent again; older, overtaken. Same or none: to
 *   send again, the sender must first hear of the loss, which takes a whole round trip. Overtaken
 *   if it comes within half of one (3 ms while the halves are not both known).
 * - Below, and not missing here: sent again though it had passed the box. Acknowledged already:
 *   needless; else lost behind the box. Not counted: keep-alives and zero-window probes.
 * A loss at the end of the data, before the box, shows no hole: what then comes looks new.
 */
#include <netinet/tcp.h>

#include <rte_prefetch.h>

#include "dataplane/flow/flow.h"
#include "dataplane/measure/holes.h"
#include "dataplane/measure/tcp.h"
#include "dataplane/packet/packet.h"

#define TICK_SHIFT 6
#define TICKS(ns) ((uint32_t)((ns) >> TICK_SHIFT))
#define NEAR_TICKS TICKS(8000)		      /* what is this close counts as one moment */
#define GAP_SHIFT 6			      /* or within 1/64 of the time measured */
#define DELAYED_ACK_TICKS TICKS(20000000)     /* half of the shortest timer in use */
#define OVERTAKEN_TICKS TICKS(3000000)	      /* while the round trip is unknown */
#define OLD_TSVAL_TICKS TICKS(30000000000ull) /* 16 bits of a 1 ms clock tell older from newer */
#define FAR_SEQ (1u << 28)		      /* no window is so large: another connection */
#define SYN_TRIES 4
#define EPOCH(ticks) ((uint8_t)((ticks) >> 30)) /* 69 s: ticks alone begin again after 275 s */
#define STRIDE_MAX (1u << 20)			/* bytes in one ACK; more is not a habit */
#define PREFETCH_AHEAD 16

/* measure_half.probe_bits */
#define PROBE_KIND 0x03
#define PROBE_NONE 0x00
#define PROBE_SEQ 0x01	  /* answered by an acknowledgement number */
#define PROBE_ECHO 0x02	  /* answered by the echo of a timestamp; from a packet sent again */
#define PROBE_PURE 0x03	  /* the same; from a pure ACK */
#define PROBE_LAST 0x04	  /* last_tick dates the newest data, which was sent once */
#define PROBE_MISSED 0x08 /* the last answer was to another packet */

/* flow_measure.flags */
#define F_STARTED(from) (0x0001u << (from)) /* next_seq is known */
#define F_ACKED(from) (0x0004u << (from))   /* ack is known */
#define F_FULL(from) (0x0010u << (from))    /* its window is zero */
#define F_FIN(from) (0x0040u << (from))
#define F_OPENED_WAN 0x0100u /* the SYN came from the WAN */
#define F_STATE 0x0600u
#define F_MIDSTREAM 0x0000u /* no handshake seen */
#define F_SYN 0x0200u
#define F_SYN_ACK 0x0400u
#define F_OPEN 0x0600u
#define F_RESET 0x0800u
#define F_TRIES 0x1000u /* two bits: SYN repeated */
#define F_TRIES_MASK 0x3000u

#define F_BOTH (F_STARTED(FROM_LAN) | F_STARTED(FROM_WAN) | F_ACKED(FROM_LAN) | F_ACKED(FROM_WAN))

static inline bool before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/*
 * Times of a flow are kept as 16-bit floats of ticks, 11 bits behind the leading one: cut off by
 * 0.05 % at most, in ascending order, 0 for none. Same scheme as histogram.h.
 */
static uint16_t short_of(uint32_t ticks)
{
	uint32_t v = ticks > 0 ? ticks : 1;
	uint32_t shift = 31 - (uint32_t)__builtin_clz(v | 1 << 11) - 11;

	return (uint16_t)((shift << 11) + (v >> shift));
}

static uint32_t ticks_of(uint16_t code)
{
	uint32_t shift = code < 2 << 11 ? 0 : (code >> 11) - 1u;

	return (code - (shift << 11)) << shift;
}

/* Ticks from `tick` to now, if that was less than 275 s ago. */
static inline uint32_t since(uint64_t now, uint32_t tick)
{
	return (uint32_t)now - tick;
}

static inline unsigned probe_kind(const struct measure_half *h)
{
	return h->probe_bits & PROBE_KIND;
}

/* Without a probe, probe_key says from which sequence number on to start one: at once. */
static inline void probe_end(struct measure_half *h)
{
	h->probe_bits &= (uint8_t)~PROBE_KIND;
	h->probe_key = h->next_seq;
}

/* Start the next probe where an ACK will end, after one that ended at `ack`. */
static void probe_aim(
	struct measure_half *h, uint32_t ack, uint32_t stride, bool missed, uint64_t now)
{
	if (stride > STRIDE_MAX)
		return;
	if (missed && (h->probe_bits & PROBE_MISSED))
		h->probe_key +=
			(uint32_t)(((uint64_t)((ack ^ (uint32_t)now) * 0x9e3779b1u) * stride) >>
				   31);
	else
		h->probe_key += stride - (h->next_seq - ack) % stride;
	h->probe_bits &= (uint8_t)~PROBE_MISSED;
	if (missed)
		h->probe_bits |= PROBE_MISSED;
}

static inline void probe_start(struct measure_half *h, unsigned kind, uint32_t key, uint64_t now)
{
	h->probe_bits = (uint8_t)((h->probe_bits & ~PROBE_KIND) | kind);
	h->probe_key = key;
	h->probe_tick = (uint32_t)now;
	h->epoch = EPOCH(now);
	h->probe_span = 0;
}

static inline bool tsval_is_new(const struct measure_half *h, const struct pkt *p)
{
	return (p->flags & PKT_TCP_TS) && before(h->tsval, p->tcp_tsval);
}

/* No branch on the comparison: whether the clock went on since the last packet is up to chance. */
static inline void note_tsval(struct measure_half *h, const struct pkt *p)
{
	if (p->flags & PKT_TCP_TS)
		h->tsval = before(h->tsval, p->tcp_tsval) ? p->tcp_tsval : h->tsval;
}

/* Has the packet TCP options other than timestamps? In a pure ACK that is SACK: 10 bytes or more.
 */
static inline bool has_more_options(const struct pkt *p)
{
	int options_len = p->payload_off - p->l4_off - 20;

	return options_len - (p->flags & PKT_TCP_TS ? 12 : 0) >= 8;
}

/*
 * The host on side `from` answered what passed at `tick`. `lone`: nothing was sent behind that.
 * After a minute or two it is no answer of the network any more.
 */
static void sample(struct flow_measure *f, enum measure_from from, uint32_t tick, bool lone,
	uint64_t now, struct measure_class *c)
{
	uint32_t ticks = since(now, tick);
	uint16_t code = short_of(ticks);

	if ((uint8_t)(EPOCH(now) - f->half[!from].epoch) > 1)
		return;
	if (lone && f->rtt_min[from] != 0 && ticks > ticks_of(f->rtt_min[from]) + DELAYED_ACK_TICKS)
		return;
	histogram_record(
		from == FROM_LAN ? &c->rtt_lan : &c->rtt_wan, (uint64_t)ticks << TICK_SHIFT);
	f->rtt_last[from] = code;
	if (f->rtt_min[from] == 0 || code < f->rtt_min[from])
		f->rtt_min[from] = code;
}

/* The ACK, of `stride` bytes, reaches the probe of the other side: is it the answer to that? */
static __attribute__((noinline)) void answered_seq(struct flow_measure *f, uint32_t ack,
	uint32_t stride, enum measure_from from, uint64_t now, struct measure_class *c)
{
	struct measure_half *h = &f->half[!from];
	bool hit = ack - h->probe_key <= h->probe_span, all = ack == h->next_seq;

	probe_end(h);
	probe_aim(h, ack, stride, !hit, now);
	if (hit)
		sample(f, from, h->probe_tick, all, now, c);
	else if (all && (h->probe_bits & PROBE_LAST))
		sample(f, from, h->last_tick, true, now, c);
}

/* A timestamp echo reaches the probe of the other side. */
static __attribute__((noinline)) void answered_echo(struct flow_measure *f, const struct pkt *p,
	enum measure_from from, uint64_t now, struct measure_class *c)
{
	struct measure_half *me = &f->half[from], *h = &f->half[!from];
	uint32_t ticks = since(now, h->probe_tick), gap = since(now, me->last_tick);
	bool pure = probe_kind(h) == PROBE_PURE;
	bool hit = (p->flags & PKT_TCP_TS) && p->tcp_tsecr == h->probe_key;

	probe_end(h);
	if (!hit)
		return; /* it does not echo, or a later packet caused this one */
	if (!pure)
		sample(f, from, h->probe_tick, p->tcp_ack == h->next_seq, now, c);
	else if (p->payload_len > 0 && gap <= (ticks >> GAP_SHIFT) + NEAR_TICKS)
		sample(f, from, h->probe_tick, false, now, c);
}

/* What a packet with ACK says of the other direction. */
static inline void acknowledge(struct flow_measure *f, const struct pkt *p, enum measure_from from,
	uint64_t now, struct measure_class *c)
{
	struct measure_half *me = &f->half[from], *peer = &f->half[!from];
	unsigned kind = probe_kind(peer);

	if (before(me->ack, p->tcp_ack)) {
		uint32_t stride = p->tcp_ack - me->ack;

		me->ack = p->tcp_ack;
		if (kind == PROBE_SEQ) {
			if (!before(p->tcp_ack, peer->probe_key))
				answered_seq(f, p->tcp_ack, stride, from, now, c);
		} else if (p->tcp_ack == peer->next_seq && (peer->probe_bits & PROBE_LAST)) {
			sample(f, from, peer->last_tick, true, now, c);
		}
	} else if (kind == PROBE_SEQ && p->tcp_ack == me->ack && p->payload_len == 0 &&
		   has_more_options(p)) {
		probe_end(peer);
		peer->probe_bits &= (uint8_t)~PROBE_LAST;
	}
	if (kind >= PROBE_ECHO &&
		(!(p->flags & PKT_TCP_TS) || !before(p->tcp_tsecr, peer->probe_key)))
		answered_echo(f, p, from, now, c);
}

/* Data that continues where the highest ended. seg_len counts SYN and FIN. */
static inline void new_data(struct measure_half *me, const struct pkt *p, uint32_t seg_len,
	uint64_t now, bool may_probe)
{
	uint32_t end = p->tcp_seq + seg_len;

	if (probe_kind(me) == PROBE_SEQ) {
		uint32_t span = end - me->probe_key;

		if (since(now, me->probe_tick) <= NEAR_TICKS && span <= UINT16_MAX)
			me->probe_span = (uint16_t)span;
	} else if (may_probe && probe_kind(me) != PROBE_ECHO &&
		   (probe_kind(me) == PROBE_PURE || !before(end, me->probe_key))) {
		probe_start(me, PROBE_SEQ, end, now);
	}
	me->next_seq = end;
	me->last_tick = (uint32_t)now;
	me->epoch = EPOCH(now);
	if (may_probe)
		me->probe_bits |= PROBE_LAST;
	else
		me->probe_bits &= (uint8_t)~PROBE_LAST;
}

/* A pure ACK: its timestamp can be a probe while the other side has data under way. */
static inline void pure_ack(
	struct flow_measure *f, const struct pkt *p, enum measure_from from, uint64_t now)
{
	struct measure_half *me = &f->half[from];

	if (probe_kind(me) == PROBE_NONE && tsval_is_new(me, p) &&
		before(p->tcp_ack, f->half[!from].next_seq))
		probe_start(me, PROBE_PURE, p->tcp_tsval, now);
}

/* The hole was there since `tick`: was the packet that fills it overtaken, or sent again? */
static bool was_overtaken(
	const struct flow_measure *f, const struct pkt *p, uint32_t waited, uint16_t hole_tsval)
{
	/* The latest: with a queue in the path it is far from the shortest. */
	uint32_t half_rtt = (ticks_of(f->rtt_last[FROM_LAN]) + ticks_of(f->rtt_last[FROM_WAN])) / 2;
	int16_t newer = (int16_t)((uint16_t)p->tcp_tsval - hole_tsval);

	if ((p->flags & PKT_TCP_TS) && newer != 0 && waited < OLD_TSVAL_TICKS)
		return newer < 0;
	if ((f->rtt_min[FROM_LAN] == 0 || f->rtt_min[FROM_WAN] == 0) && half_rtt < OVERTAKEN_TICKS)
		half_rtt = OVERTAKEN_TICKS;
	return waited < half_rtt;
}

/* A packet that begins below the highest number seen. */
static void late_data(struct flow_measure *f, struct pkt *p, enum measure_from from,
	uint32_t seg_len, uint64_t now, struct measure_class *c)
{
	struct measure_half *me = &f->half[from];
	const struct measure_half *peer = &f->half[!from];
	uint32_t end = p->tcp_seq + seg_len, tick;
	bool acked = (f->flags & F_ACKED(!from)) && !before(peer->ack, end);
	uint16_t tsval;

	if (holes_fill(f, from, p->tcp_seq, end, &tick, &tsval)) {
		if (was_overtaken(f, p, since(now, tick), tsval)) {
			c->reordered[from]++;
			f->reordered[from] += f->reordered[from] < UINT16_MAX;
		} else {
			c->retransmits_before[from]++;
			f->retransmits[from]++;
		}
	} else if (p->payload_len == 1 && seg_len == 1 &&
		   ((acked && end == me->next_seq) || (f->flags & F_FULL(!from)))) {
		return; /* keep-alive with its old byte, or a zero-window probe */
	} else {
		if (acked)
			c->retransmits_needless[from]++;
		else
			c->retransmits_after[from]++;
		f->retransmits[from]++;
		p->flags |= PKT_RETRANSMIT;
	}
	c->data_packets[from]++;

	if (probe_kind(me) == PROBE_SEQ && before(p->tcp_seq, me->probe_key + me->probe_span))
		probe_end(me);
	if (probe_kind(me) == PROBE_NONE && tsval_is_new(me, p))
		probe_start(me, PROBE_ECHO, p->tcp_tsval, now);
	me->probe_bits &= (uint8_t)~PROBE_LAST;
	if (before(me->next_seq, end))
		me->next_seq = end;
}

/* Any packet that takes sequence numbers, from a side that has started. */
static void data(struct flow_measure *f, struct pkt *p, enum measure_from from,
	uint32_t seg_len, uint64_t now, struct measure_class *c)
{
	struct measure_half *me = &f->half[from];
	uint32_t end = p->tcp_seq + seg_len, missing = me->next_seq;
	int32_t ahead = (int32_t)(p->tcp_seq - me->next_seq);

	if (ahead <= -(int32_t)FAR_SEQ || ahead >= (int32_t)FAR_SEQ) {
		/* Not this conversation as we know it: begin again from here, count nothing. */
		holes_forget(f, from);
		me->next_seq = p->tcp_seq;
		probe_end(me);
		f->half[!from].ack = p->tcp_seq;
		ahead = 0;
	}
	/* A zero-window probe took the byte in front, if it is one byte: still new data. */
	if (ahead < 0 && !(ahead == -1 && seg_len > 1 && !(p->tcp_flags & TH_SYN))) {
		late_data(f, p, from, seg_len, now, c);
		return;
	}
	c->data_packets[from]++;
	if (ahead > 0) {
		/* What the receiver acknowledged went another way: not missing. */
		if ((f->flags & F_ACKED(!from)) && before(missing, f->half[!from].ack))
			missing = f->half[!from].ack;
		if (before(missing, p->tcp_seq))
			holes_open(f, from, missing, p->tcp_seq, (uint32_t)now, p->tcp_tsval);
	}
	holes_acknowledged(f, from, end - FAR_SEQ); /* too old to compare */
	new_data(me, p, seg_len, now, !holes_any(f, from) && !(f->flags & F_FULL(!from)));
}

/* The first packet of a side: nothing is known of what it sent before. */
static void start_side(struct flow_measure *f, const struct pkt *p, enum measure_from from)
{
	struct measure_half *peer = &f->half[!from];

	f->flags |= F_STARTED(from);
	f->half[from].next_seq = f->half[from].probe_key = p->tcp_seq;
	f->half[from].tsval = p->tcp_tsval - 1; /* so that its own counts as new */
	if (!(f->flags & F_ACKED(!from))) {
		peer->ack = p->tcp_seq;
		f->flags |= F_ACKED(!from);
	}
}

static inline unsigned state_of(const struct flow_measure *f)
{
	return f->flags & F_STATE;
}

/* The SYN's time and the window counters share their place: change over. */
static void leave_handshake(struct flow_measure *f, unsigned state)
{
	if (state_of(f) == F_SYN || state_of(f) == F_SYN_ACK)
		f->zero_windows[FROM_LAN] = f->zero_windows[FROM_WAN] = 0;
	f->flags = (uint16_t)((f->flags & ~F_STATE) | state);
}

static inline enum measure_from opener(const struct flow_measure *f)
{
	return f->flags & F_OPENED_WAN ? FROM_WAN : FROM_LAN;
}

/* A SYN without ACK. */
static void on_syn(struct flow_measure *f, struct pkt *p, enum measure_from from,
	uint64_t now, struct measure_class *c)
{
	unsigned state = state_of(f);
	uint32_t behind = f->half[from].next_seq - p->tcp_seq;
	bool in_handshake = state == F_SYN || state == F_SYN_ACK;

	if (f->flags & F_RESET) {
		in_handshake = false;
	} else if (in_handshake && from != opener(f)) {
		leave_handshake(f, F_MIDSTREAM); /* both opened at once: no times to take */
		return;
	} else if (in_handshake && behind - 1 < UINT16_MAX) {
		if (state == F_SYN && (f->flags & F_TRIES_MASK) < F_TRIES * (SYN_TRIES - 1)) {
			f->flags += F_TRIES;
			if ((f->flags & F_TRIES_MASK) == F_TRIES * (SYN_TRIES - 1))
				c->failed++;
		}
		return;
	} else if (state == F_OPEN && behind <= UINT16_MAX) {
		return; /* an old one that comes late */
	}
	*f = (struct flow_measure){0};
	f->flags = (uint16_t)(F_SYN | (from == FROM_WAN ? F_OPENED_WAN : 0));
	f->syn_tick = (uint32_t)now;
}

static void on_reset(struct flow_measure *f, struct measure_class *c)
{
	if (!(f->flags & F_RESET)) {
		if (state_of(f) == F_SYN || state_of(f) == F_SYN_ACK)
			c->failed += (f->flags & F_TRIES_MASK) < F_TRIES * (SYN_TRIES - 1);
		else if (!(f->flags & F_FIN(FROM_LAN)) || !(f->flags & F_FIN(FROM_WAN)))
			c->resets++;
	}
	leave_handshake(f, F_MIDSTREAM);
	f->flags |= F_RESET;
	probe_end(&f->half[FROM_LAN]);
	probe_end(&f->half[FROM_WAN]);
	f->half[FROM_LAN].probe_bits &= (uint8_t)~PROBE_LAST;
	f->half[FROM_WAN].probe_bits &= (uint8_t)~PROBE_LAST;
}

/* Where the handshake stands after a packet with ACK. `acked`: it acknowledged something new. */
static void handshake(struct flow_measure *f, struct pkt *p, enum measure_from from,
	bool acked, uint64_t now, struct measure_class *c)
{
	if (state_of(f) == F_SYN && from != opener(f) && (p->tcp_flags & TH_SYN)) {
		f->flags = (uint16_t)((f->flags & ~F_STATE) | F_SYN_ACK);
	} else if (state_of(f) == F_SYN_ACK && from == opener(f) && acked) {
		uint32_t ticks = since(now, f->syn_tick);

		leave_handshake(f, F_OPEN);
		f->connect = short_of(ticks);
		c->connections++;
		histogram_record(&c->connect, (uint64_t)ticks << TICK_SHIFT);
	}
}

static void zero_window(struct flow_measure *f, const struct pkt *p, enum measure_from from,
	struct measure_class *c)
{
	if ((p->tcp_flags & TH_SYN) || state_of(f) == F_SYN || state_of(f) == F_SYN_ACK)
		return;
	if (p->tcp_window > 0) {
		f->flags &= (uint16_t)~F_FULL(from);
	} else if (!(f->flags & F_FULL(from))) {
		f->flags |= F_FULL(from);
		c->zero_windows[from]++;
		f->zero_windows[from] += f->zero_windows[from] < UINT16_MAX;
	}
}

/* Everything that is not plain data or a plain ACK on a flow where nothing is amiss. */
static __attribute__((noinline)) void irregular(struct flow_measure *f, struct pkt *p,
	enum measure_from from, uint64_t now, struct measure_class *c)
{
	struct measure_half *me = &f->half[from];
	uint32_t seg_len = p->payload_len;
	unsigned tcp_flags = p->tcp_flags;

	f->ordinary = 0;
	if (tcp_flags & TH_RST) { /* its numbers and its window mean nothing */
		on_reset(f, c);
		return;
	}
	if ((tcp_flags & (TH_SYN | TH_ACK)) == TH_SYN)
		on_syn(f, p, from, now, c);
	/* An answer to another SYN than the one we know. */
	else if (state_of(f) == F_SYN && from != opener(f) && (tcp_flags & TH_SYN) &&
		 (before(f->half[!from].next_seq, p->tcp_ack) ||
			 !before(f->half[from].ack, p->tcp_ack)))
		return;
	seg_len += !!(tcp_flags & TH_SYN) + !!(tcp_flags & TH_FIN);
	if (!(f->flags & F_STARTED(from)))
		start_side(f, p, from);

	if (tcp_flags & TH_ACK) {
		uint32_t ack = me->ack;

		if (!(f->flags & F_ACKED(from))) {
			f->flags |= F_ACKED(from);
			me->ack = ack = p->tcp_ack;
		}
		acknowledge(f, p, from, now, c);
		handshake(f, p, from, me->ack != ack, now, c);
		zero_window(f, p, from, c);
		if (f->holes != 0)
			holes_acknowledged(f, !from, me->ack);
	}
	if (tcp_flags & TH_FIN)
		f->flags |= F_FIN(from);
	if (seg_len > 0)
		data(f, p, from, seg_len, now, c);
	else
		pure_ack(f, p, from, now);
	if ((tcp_flags & TH_SYN) && probe_kind(me) == PROBE_SEQ && p->payload_len > 0) {
		/* TCP Fast Open (RFC 7413): the answer may leave out the data. */
		me->probe_key = p->tcp_seq + 1;
		me->probe_span = p->payload_len;
	}
	note_tsval(me, p);

	f->ordinary = (f->flags & F_BOTH) == F_BOTH && f->holes == 0 &&
		      (state_of(f) == F_OPEN || state_of(f) == F_MIDSTREAM) &&
		      !(f->flags & (F_FULL(FROM_LAN) | F_FULL(FROM_WAN)));
}

static inline void measure_one(struct flow_measure *f, struct pkt *p, enum measure_from from,
	uint64_t now, struct measure_class *c)
{
	struct measure_half *me = &f->half[from];

	c->tcp_packets[from]++;
	if (__builtin_expect((p->tcp_flags & (TH_FIN | TH_SYN | TH_RST | TH_ACK)) != TH_ACK ||
				     p->tcp_seq != me->next_seq || !f->ordinary ||
				     p->tcp_window == 0,
		    0)) {
		irregular(f, p, from, now, c);
		return;
	}
	acknowledge(f, p, from, now, c);
	if (p->payload_len > 0) {
		c->data_packets[from]++;
		new_data(me, p, p->payload_len, now, true);
	} else {
		pure_ack(f, p, from, now);
	}
	note_tsval(me, p);
}

void measure_tcp(struct flow_measure *f, struct pkt *p, enum measure_from from,
	uint64_t now_ns, struct measure_class *c)
{
	measure_one(f, p, from, now_ns >> TICK_SHIFT, c);
}

void measure_bulk(struct rte_mbuf **pkts, unsigned n, uint64_t now_ns,
	struct measure_class *classes, uint32_t count)
{
	uint64_t now = now_ns >> TICK_SHIFT;

	for (unsigned i = 0; i < n && i < PREFETCH_AHEAD; i++)
		rte_prefetch0(&pkt_of(pkts[i])->flow->measure);
	for (unsigned i = 0; i < n; i++) {
		struct pkt *p = pkt_of(pkts[i]);
		struct flow *flow = p->flow;

		if (i + PREFETCH_AHEAD < n)
			rte_prefetch0(&pkt_of(pkts[i + PREFETCH_AHEAD])->flow->measure);
		if (!(p->flags & PKT_TCP))
			continue;
		enum measure_from from = p->dir == flow->lan_dir ? FROM_LAN : FROM_WAN;
		struct measure_class *c = measure_class_of(classes, count, flow->class_id);
		if (__builtin_expect(flow->flags & FLOW_OTHER, 0))
			c->tcp_packets[from]++;
		else
			measure_one(&flow->measure, p, from, now, c);
	}
}

void measure_flow_view(const struct flow_measure *f, struct measure_flow_view *view)
{
	bool in_handshake = state_of(f) == F_SYN || state_of(f) == F_SYN_ACK;

	*view = (struct measure_flow_view){
		.rtt_lan_min_ns = (uint64_t)ticks_of(f->rtt_min[FROM_LAN]) << TICK_SHIFT,
		.rtt_lan_last_ns = (uint64_t)ticks_of(f->rtt_last[FROM_LAN]) << TICK_SHIFT,
		.rtt_wan_min_ns = (uint64_t)ticks_of(f->rtt_min[FROM_WAN]) << TICK_SHIFT,
		.rtt_wan_last_ns = (uint64_t)ticks_of(f->rtt_last[FROM_WAN]) << TICK_SHIFT,
		.connect_ns = (uint64_t)ticks_of(f->connect) << TICK_SHIFT,
	};
	for (unsigned from = 0; from < 2; from++) {
		view->retransmits[from] = f->retransmits[from];
		view->reordered[from] = f->reordered[from];
		view->zero_windows[from] = in_handshake ? 0 : f->zero_windows[from];
	}
}
