/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Round-trip times from QUIC's spin bit (RFC 9000, 17.4; RFC 9312, 3.8): in packets with a short
 * header the server repeats the bit it received, the client inverts it, so that it changes once a
 * round trip in either direction. Here both directions are seen: from the client's change to the
 * server's is one half of the path, from there to the client's next the other.
 *
 * Endpoints may not spin: then the bit stands still, or takes random values, for a connection or
 * for each packet. And a live spin lies where an endpoint had nothing to send. So a change counts:
 * - in connections whose handshake was seen both ways (long headers, RFC 8999);
 * - in the order of a live spin: client, server, client, ... each to the value that is due;
 * - not sooner than 1/16 of what that half took in the handshake: packets that overtake each other,
 *   and random values, change faster;
 * - after four changes in this order, that is two round trips, and four more for each value that
 *   was not;
 * - if its sender has sent something shortly before (1/8 of the time measured, or 1 ms): else it
 *   may have had nothing to send, and the time is that of the application.
 * Values out of order are passed over. Three of them in a row from one side are the new state of
 * things; where they are more than the changes in order, the connection does not spin.
 */
#include "dataplane/measure/datagrams_private.h"

#define LONG_HEADER 0x80
#define FIXED_BIT 0x40
#define SPIN_BIT 0x20
#define LONG_LEN 7 /* first byte, version, lengths of both connection IDs */

#define FLOOR_SHIFT 4
#define GAP_SHIFT 3
#define GAP_TICKS TICKS(1000000)
#define GOOD_EDGES 4
#define GOOD_MOST 64
#define ODD_RUN 3
#define ODD_MOST 16 /* looked at from so many on */

/* measure_quic.bits */
#define QUIC_HELLO(from) (0x01u << (from)) /* has sent a long header */
#define QUIC_CLIENT_WAN 0x04u
#define QUIC_ANSWERED 0x08u /* the client went on after the server's first */
#define QUIC_VALUE(from) (0x10u << (from))
#define QUIC_TURN_WAN 0x40u /* whose change is due */
#define QUIC_DEAD 0x80u	    /* does not spin */

#define QUIC_BOTH (QUIC_HELLO(FROM_LAN) | QUIC_HELLO(FROM_WAN))

static enum measure_from client_of(const struct measure_quic *q)
{
	return q->bits & QUIC_CLIENT_WAN ? FROM_WAN : FROM_LAN;
}

static void set_turn(struct measure_quic *q, enum measure_from from)
{
	q->bits = (uint8_t)((q->bits & ~QUIC_TURN_WAN) | (from == FROM_WAN ? QUIC_TURN_WAN : 0));
}

/* The handshake: what each half takes at least. */
static void long_header(struct measure_quic *q, enum measure_from from, uint64_t now)
{
	bool first = !(q->bits & QUIC_HELLO(from));

	if (!(q->bits & QUIC_BOTH)) {
		q->bits |= from == FROM_WAN ? QUIC_CLIENT_WAN : 0;
		set_turn(q, from);
	}
	q->bits |= QUIC_HELLO(from);
	if ((q->bits & QUIC_BOTH) != QUIC_BOTH) {
		q->hello_tick[from] = (uint32_t)now; /* its newest, should it be sent again */
	} else if (first) {
		q->floor[from] = ticks_since(now, q->hello_tick[!from]) >> FLOOR_SHIFT;
		q->hello_tick[from] = (uint32_t)now;
	}
}

/* A value that is not due. */
static void odd(struct measure_quic *q, enum measure_from from, uint64_t now)
{
	q->odd++;
	q->good = q->good > GOOD_EDGES ? q->good - GOOD_EDGES : 0;
	if (q->odd >= ODD_MOST && q->odd > q->edges)
		q->bits |= QUIC_DEAD;
	if (q->odd >= 1024) { /* what was long ago counts less */
		q->odd /= 2;
		q->edges /= 2;
	}
	if (++q->odd_run[from] < ODD_RUN)
		return;
	q->odd_run[from] = 0;
	q->good = 0;
	q->bits ^= QUIC_VALUE(from);
	q->edge_tick[from] = (uint32_t)now;
	set_turn(q, !from);
}

static void short_header(struct measure_datagrams_flow *f, bool spin, enum measure_from from,
	uint64_t now, struct measure_datagrams *c)
{
	struct measure_quic *q = &f->quic;
	uint32_t gap = ticks_since(now, q->last_tick[from]);
	uint32_t ticks = ticks_since(now, q->edge_tick[!from]);
	bool mine = q->bits & QUIC_VALUE(from), theirs = q->bits & QUIC_VALUE(!from);
	bool my_turn = (q->bits & QUIC_TURN_WAN) == (from == FROM_WAN ? QUIC_TURN_WAN : 0);
	bool due = from == client_of(q) ? !theirs : theirs;

	q->last_tick[from] = (uint32_t)now;
	if (spin == mine) {
		q->odd_run[from] = 0;
		return;
	}
	if (!my_turn || spin != due || (q->good > 0 && ticks < q->floor[from])) {
		odd(q, from, now);
		return;
	}
	q->bits ^= QUIC_VALUE(from);
	q->edge_tick[from] = (uint32_t)now;
	q->odd_run[from] = 0;
	set_turn(q, !from);
	q->edges += q->edges < UINT16_MAX;
	q->good += q->good < GOOD_MOST;
	if (q->good > GOOD_EDGES && gap <= (ticks >> GAP_SHIFT) + GAP_TICKS)
		datagrams_sample(f, &c->spin[from], from, ticks);
}

void measure_quic(struct measure_datagrams_flow *f, const uint8_t *quic, uint32_t len,
	enum measure_from from, uint64_t now, struct measure_datagrams *c)
{
	struct measure_quic *q = &f->quic;

	if (len < 1 || !(quic[0] & FIXED_BIT) || q->bits & QUIC_DEAD)
		return;
	if (quic[0] & LONG_HEADER) {
		/* Version 0 is version negotiation. */
		if (len >= LONG_LEN && (quic[1] | quic[2] | quic[3] | quic[4]) != 0 &&
			!(q->bits & QUIC_ANSWERED))
			long_header(q, from, now);
	} else if ((q->bits & QUIC_BOTH) != QUIC_BOTH) {
		return; /* the handshake was not seen */
	}
	if ((q->bits & QUIC_BOTH) == QUIC_BOTH && !(q->bits & QUIC_ANSWERED) &&
		from == client_of(q)) {
		q->floor[from] = ticks_since(now, q->hello_tick[!from]) >> FLOOR_SHIFT;
		q->bits |= QUIC_ANSWERED;
	}
	if (!(quic[0] & LONG_HEADER))
		short_header(f, quic[0] & SPIN_BIT, from, now, c);
}
