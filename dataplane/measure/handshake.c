/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The beginning and the end of a connection, see tcp_private.h: SYNs and their options, how long
 * the handshake takes and whether it comes to anything, resets.
 */
#include "dataplane/measure/tcp_private.h"

#define SYN_RETRIES_FAILED 3 /* four SYN without an answer: 7 s by RFC 6298 */
#define SCALE_MAX 14	     /* RFC 7323, 2.3 */

#define OPTION_END 0
#define OPTION_NOP 1
#define OPTION_MSS 2
#define OPTION_SCALE 3
#define OPTION_SACK_PERMITTED 4
#define OPTION_TIMESTAMPS 8

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

void measure_syn(struct step *t)
{
	struct flow_measure *f = t->f;
	unsigned state = state_of(f);
	uint32_t behind = f->half[t->from].next_seq - t->p->tcp_seq;
	bool in_handshake = state == F_SYN || state == F_SYN_ACK;

	if (f->flags & F_RESET) {
		in_handshake = false;
	} else if (in_handshake && t->from != opener(f)) {
		leave_handshake(f, F_MIDSTREAM); /* both opened at once: no times to take */
		return;
	} else if (in_handshake && behind - 1 < UINT16_MAX) {
		t->c->syn_retries++;
		f->syn_retries = (uint8_t)(f->syn_retries + (f->syn_retries < UINT8_MAX));
		if (state == F_SYN && f->syn_retries >= SYN_RETRIES_FAILED &&
			!(f->flags & F_FAILED)) {
			f->flags |= F_FAILED;
			t->c->timed_out++;
			t->c->failed++;
		}
		return;
	} else if (state == F_OPEN && behind <= UINT16_MAX) {
		return; /* an old one that comes late */
	}
	inflight_forget(t->s, &f->half[FROM_LAN]);
	inflight_forget(t->s, &f->half[FROM_WAN]);
	*f = (struct flow_measure){0};
	f->flags = (uint16_t)(F_SYN | (t->from == FROM_WAN ? F_OPENED_WAN : 0));
	f->syn_tick = (uint32_t)t->now;
}

void measure_fin(struct step *t)
{
	struct flow_measure *f = t->f;

	uint32_t last = f->half[t->from].last_tick;

	/* The FIN takes a sequence number, but says nothing. last_tick is 0 where nothing came. */
	if (!(f->flags & F_FIN(t->from)))
		f->said_tick[t->from] =
			t->p->payload_len > 0 || last == 0 ? (uint32_t)t->now : last;
	f->flags |= F_FIN(t->from);
}

void measure_reset(struct step *t)
{
	struct flow_measure *f = t->f;

	if (!(f->flags & F_RESET)) {
		if (state_of(f) == F_SYN || state_of(f) == F_SYN_ACK) {
			t->c->refused += !(f->flags & F_FAILED);
			t->c->failed += !(f->flags & F_FAILED);
		} else if (!(f->flags & F_FIN(FROM_LAN)) || !(f->flags & F_FIN(FROM_WAN))) {
			t->c->resets++;
		}
	}
	leave_handshake(f, F_MIDSTREAM);
	f->flags |= F_RESET;
	f->flags &= (uint16_t) ~(F_NEWEST(FROM_LAN) | F_NEWEST(FROM_WAN));
	for (unsigned from = 0; from < 2; from++) {
		inflight_forget(t->s, &f->half[from]);
		f->bits[from] &= (uint8_t)~H_PROBE;
	}
}

void measure_handshake(struct step *t, bool acked)
{
	struct flow_measure *f = t->f;

	if (state_of(f) == F_SYN && t->from != opener(f) && (t->p->tcp_flags & TH_SYN)) {
		f->flags = (uint16_t)((f->flags & ~F_STATE) | F_SYN_ACK);
	} else if (state_of(f) == F_SYN_ACK && t->from == opener(f) && acked) {
		uint32_t ticks = since(t->now, f->syn_tick);

		leave_handshake(f, F_OPEN);
		f->connect = short_of(ticks);
		t->c->connections++;
		histogram_record(&t->c->connect, (uint64_t)ticks << TICK_SHIFT);
	}
}

/* Windows are scaled if both SYNs say so (RFC 7323, 1.3); those of the SYNs themselves never. */
static void agree_on_scale(struct flow_measure *f, enum measure_from from)
{
	bool both = (f->options[from] & f->options[!from] & MEASURE_OPTION_SCALE) != 0;

	for (unsigned side = 0; side < 2; side++) {
		f->scale[side] = (uint8_t)(SCALE_KNOWN | (both ? f->scale[side] & SCALE_BITS : 0));
		f->half[side].window =
			(uint16_t)(f->half[side].window >> (f->scale[side] & SCALE_BITS));
	}
}

void measure_syn_options(struct step *t)
{
	struct flow_measure *f = t->f;
	const struct pkt *p = t->p;
	const uint8_t *at = p->tcp, *end;
	unsigned options = MEASURE_OPTIONS_KNOWN;
	unsigned ecn = p->tcp_flags & (TH_ECE | TH_CWR);

	if (at == NULL)
		return;
	end = at + (p->payload_off - p->l4_off);
	if (ecn == (p->tcp_flags & TH_ACK ? TH_ECE : TH_ECE | TH_CWR)) /* RFC 3168, 6.1.1 */
		options |= MEASURE_OPTION_ECN;
	for (at += 20; at < end && *at != OPTION_END;) {
		unsigned len = *at == OPTION_NOP ? 1 : end - at < 2 ? 0 : at[1];

		if (len == 0 || (len == 1 && *at != OPTION_NOP) || (ptrdiff_t)len > end - at)
			break;
		if (*at == OPTION_MSS && len == 4) {
			f->syn_mss[t->from] = (uint16_t)(at[2] << 8 | at[3]);
		} else if (*at == OPTION_SCALE && len == 3) {
			options |= MEASURE_OPTION_SCALE;
			f->scale[t->from] = at[2] < SCALE_MAX ? at[2] : SCALE_MAX;
		} else if (*at == OPTION_SACK_PERMITTED && len == 2) {
			options |= MEASURE_OPTION_SACK;
		} else if (*at == OPTION_TIMESTAMPS && len == 10) {
			options |= MEASURE_OPTION_TIMESTAMPS;
		}
		at += len;
	}
	f->options[t->from] = (uint8_t)options;
	if ((p->tcp_flags & TH_ACK) && (f->options[!t->from] & MEASURE_OPTIONS_KNOWN))
		agree_on_scale(f, t->from);
}
