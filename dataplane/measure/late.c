/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Data that does not continue where the highest ended, and ACKs that say what is missing or came
 * twice; see tcp_private.h.
 *
 * A packet that begins below the highest sequence number seen (Benko and Veres 2002, Jaiswal et al.
 * 2003):
 * - Filling a hole: sent again (lost before the box) or overtaken (reordered)? By timestamps: newer
 *   than that of the packet that showed the hole, sent again; older, overtaken. Same or none: to
 *   send again, the sender must first hear of the loss, which takes a whole round trip. Overtaken
 *   if it comes within half of one (3 ms while the halves are not both known).
 * - Not missing here: it passed before. With an older timestamp than others that passed since, or
 *   sooner after the first than half a round trip, the network made a copy: a duplicate. Else it
 *   was sent again: needless if acknowledged already, or it was lost behind the box. Not counted:
 *   keep-alives and zero-window probes.
 *
 * Why it was sent again: the receiver had asked for it, by duplicate ACKs or SACK (fast; with all
 * that is sent again until what was sent by then is acknowledged); or a timer ran out, after a
 * silence or without any such ACK (timeout; tail loss probes are of this kind, and all that follows
 * a timeout until the same point). Receivers report what they have got twice (DSACK, RFC 2883).
 */
#include "dataplane/measure/holes.h"
#include "dataplane/measure/tcp_private.h"

#define OVERTAKEN_TICKS TICKS(3000000)	      /* while the round trip is unknown */
#define OLD_TSVAL_TICKS TICKS(30000000000ull) /* 16 bits of a 1 ms clock tell older from newer */
#define TIMEOUT_TICKS TICKS(190000000)	      /* shortest timer in use: 200 ms */
#define OPTION_SACK 5

/* The time in which no sender can have heard of a loss. */
static uint32_t too_soon(const struct flow_measure *f)
{
	/* The latest: with a queue in the path it is far from the shortest. */
	uint32_t half_rtt = (value_of(f->rtt_last[FROM_LAN]) + value_of(f->rtt_last[FROM_WAN])) / 2;

	if ((f->rtt_min[FROM_LAN] == 0 || f->rtt_min[FROM_WAN] == 0) && half_rtt < OVERTAKEN_TICKS)
		half_rtt = OVERTAKEN_TICKS;
	return half_rtt;
}

/* The hole was there since `tick`: was the packet that fills it overtaken, or sent again? */
static bool was_overtaken(const struct step *t, uint32_t waited, uint16_t hole_tsval)
{
	int16_t newer = (int16_t)((uint16_t)t->p->tcp_tsval - hole_tsval);

	if ((t->p->flags & PKT_TCP_TS) && newer != 0 && waited < OLD_TSVAL_TICKS)
		return newer < 0;
	return waited < too_soon(t->f);
}

/* It has passed before: is this a copy that the network made? */
static bool was_copied(const struct step *t, uint32_t end)
{
	const struct measure_half *me = &t->f->half[t->from];
	uint32_t tick;

	if (t->p->tcp_flags & TH_SYN)
		return false;
	/* After a silence that a timer may have ended, half a timestamp proves nothing. */
	if ((t->p->flags & PKT_TCP_TS) && (uint16_t)t->p->tcp_tsval != me->tsval &&
		since(t->now, me->last_tick) < TIMEOUT_TICKS)
		return !tsval_before(me->tsval, t->p->tcp_tsval);
	if ((t->f->flags & F_NEWEST(t->from)) && end == me->next_seq)
		tick = me->last_tick;
	else if (!inflight_find(t->s, me, end, &tick))
		return false;
	return since(t->now, tick) < too_soon(t->f);
}

/* Data was sent again: why? */
static void resent(struct step *t)
{
	uint8_t *bits = &t->f->bits[t->from];
	struct measure_half *me = &t->f->half[t->from];
	const struct measure_half *peer = &t->f->half[!t->from];
	uint32_t rtt = round_trip(t->f), silence = since(t->now, me->last_tick);
	bool timeout = true;

	*bits |= H_LOSS;
	if (!before(peer->ack, t->f->recover[t->from]))
		*bits &= (uint8_t) ~(H_RECOVERY | H_TIMEOUT);
	if (silence >= (rtt + rtt / 4 > TIMEOUT_TICKS ? rtt + rtt / 4 : TIMEOUT_TICKS)) {
		*bits |= H_RECOVERY | H_TIMEOUT;
		t->f->recover[t->from] = me->next_seq;
	} else if (*bits & H_RECOVERY) {
		timeout = *bits & H_TIMEOUT;
	} else if (t->f->bits[!t->from] & H_DUPACK) {
		*bits |= H_RECOVERY;
		t->f->recover[t->from] = me->next_seq;
		timeout = false;
	}
	t->p->by_timer = timeout;
	if (timeout) {
		t->c->retransmits_timeout[t->from]++;
		count16(&t->f->timeouts[t->from]);
	} else {
		t->c->retransmits_fast[t->from]++;
	}
}

static void overtaken(struct step *t, uint32_t waited)
{
	uint32_t extent = t->f->half[t->from].next_seq - t->p->tcp_seq;
	uint16_t code = short_of(extent);

	t->c->reordered[t->from]++;
	t->c->reordered_bytes[t->from] += extent;
	t->c->reordered_ns[t->from] += (uint64_t)waited << TICK_SHIFT;
	if (extent > t->c->reorder_max_bytes[t->from])
		t->c->reorder_max_bytes[t->from] = extent;
	count16(&t->f->reordered[t->from]);
	if (code > t->f->reorder_max[t->from])
		t->f->reorder_max[t->from] = code;
}

void measure_late(struct step *t, uint32_t seg_len)
{
	struct flow_measure *f = t->f;
	struct pkt *p = t->p;
	enum measure_from from = t->from;
	struct measure_half *me = &f->half[from];
	uint32_t end = p->tcp_seq + seg_len, tick = 0;
	bool acked = (f->flags & F_ACKED(!from)) && !before(f->half[!from].ack, end);
	uint16_t tsval;
	bool filled = holes_fill(f, from, p->tcp_seq, end, &tick, &tsval);

	if (filled && was_overtaken(t, since(t->now, tick), tsval)) {
		overtaken(t, since(t->now, tick));
	} else if (filled) {
		t->c->retransmits_before[from]++;
		f->lost_before[from]++;
		resent(t);
	} else if (p->payload_len == 1 && seg_len == 1 &&
		   ((acked && end == me->next_seq) || (f->flags & F_FULL(!from)))) {
		return; /* keep-alive with its old byte, or a zero-window probe */
	} else if (was_copied(t, end)) {
		t->c->duplicates[from]++;
		count16(&f->duplicates[from]);
		p->flags |= PKT_RETRANSMIT;
	} else {
		if (acked) {
			t->c->retransmits_needless[from]++;
			count16(&f->needless[from]);
		} else {
			t->c->retransmits_after[from]++;
			f->lost_after[from]++;
		}
		resent(t);
		p->flags |= PKT_RETRANSMIT;
	}
	t->c->data_packets[from]++;

	/* Karn: what was sent before this, and is acknowledged with or behind it, is ambiguous. The
	 * packet itself is not, if it passes for the first time. */
	inflight_cut(t->s, me, p->tcp_seq);
	f->flags &= (uint16_t)~F_NEWEST(from);
	if (filled)
		inflight_add(t->s, me, end, (uint32_t)t->now, t->s->share);
	if (!filled && ((f->bits[from] | f->bits[!from]) & H_PROBE) == 0 && tsval_is_new(me, p)) {
		f->bits[from] |= H_PROBE_AGAIN;
		f->probe_key = p->tcp_tsval;
		f->probe_tick = (uint32_t)t->now;
	}
	me->last_tick = (uint32_t)t->now;
	note_epoch(f, from, t->now);
	if (before(me->next_seq, end))
		me->next_seq = end;
}

static uint32_t be32(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* The first SACK blocks of a packet: 0, 1 or 2 (all that DSACK needs). */
static unsigned sack_blocks(const struct pkt *p, uint32_t block[2][2])
{
	const uint8_t *at = p->tcp, *end = at + (p->payload_off - p->l4_off);

	if (at == NULL)
		return 0;
	for (at += 20; at < end && *at != 0;) {
		unsigned len = *at == 1 ? 1 : end - at < 2 ? 0 : at[1];

		if (len == 0 || (len == 1 && *at != 1) || (ptrdiff_t)len > end - at)
			return 0;
		if (*at == OPTION_SACK && len >= 10) {
			unsigned blocks = len >= 18 ? 2 : 1;
			for (unsigned i = 0; i < blocks; i++) {
				block[i][0] = be32(at + 2 + 8 * i);
				block[i][1] = be32(at + 6 + 8 * i);
			}
			return blocks;
		}
		at += len;
	}
	return 0;
}

void measure_dupack(struct step *t)
{
	struct measure_half *me = &t->f->half[t->from];
	const struct measure_half *peer = &t->f->half[!t->from];
	const struct pkt *p = t->p;
	uint32_t block[2][2];
	unsigned blocks = sack_blocks(p, block);

	/* RFC 2883, 4: the first block says what came twice, if it is acknowledged already, or in
	 * the second block too. */
	if (blocks > 0 && (!before(p->tcp_ack, block[0][1]) ||
				  (blocks > 1 && !before(block[0][0], block[1][0]) &&
					  !before(block[1][1], block[0][1])))) {
		t->c->dsacks[!t->from]++;
		count16(&t->f->dsacks[!t->from]);
		return;
	}
	if (blocks == 0 && (p->payload_len > 0 || p->tcp_ack != me->ack ||
				   p->tcp_window != me->window || p->tcp_ack == peer->next_seq))
		return;
	t->f->bits[t->from] |= H_DUPACK;
}
