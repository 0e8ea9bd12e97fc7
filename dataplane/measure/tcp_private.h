/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the TCP measurement share: the bits of struct flow_measure and small functions
 * on it. tcp.c takes every packet; handshake.c SYNs and resets, late.c data that does not continue
 * where the highest ended and ACKs that say so, limits.c what a transfer waits for.
 */
#ifndef SLUICE_MEASURE_TCP_PRIVATE_H
#define SLUICE_MEASURE_TCP_PRIVATE_H

#include <netinet/tcp.h>
#include <stdbool.h>

#include "dataplane/measure/inflight.h"
#include "dataplane/measure/tcp.h"
#include "dataplane/packet/packet.h"

#ifndef TH_ECE
#define TH_ECE 0x40
#define TH_CWR 0x80
#endif

#define TICK_SHIFT 6
#define TICKS(ns) ((uint32_t)((ns) >> TICK_SHIFT))
/* Ticks alone begin again after 275 s. With this half an hour can be told. */
#define EPOCH_SHIFT 31 /* 137 s */
#define EPOCH(ticks) ((unsigned)((ticks) >> EPOCH_SHIFT) & 0xf)

/* flow_measure.bits */
#define H_PROBE 0x03	   /* what the echo that is waited for answers */
#define H_PROBE_AGAIN 0x01 /* a packet sent again */
#define H_PROBE_PURE 0x02  /* a pure ACK */
#define H_DUPACK 0x04	   /* its last ACK was a duplicate */
#define H_TIMEOUT 0x10	   /* its recovery was begun by its timer */
#define H_RECOVERY 0x20	   /* measure_half.recover is valid: data before it may be sent again */
#define H_SHORT 0x40	   /* in this round trip it sent a segment that was not full */
#define H_LOSS 0x80	   /* in this round trip it sent something again */

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
#define F_FAILED 0x1000u /* counted as refused or timed out */
#define F_NEWEST(from)                                                                             \
	(0x2000u << (from)) /* its newest segment passed once: next_seq, last_tick                 \
			     */

#define F_ORDINARY 0x8000u /* both sides known, nothing missing: the short way will do */

#define F_BOTH (F_STARTED(FROM_LAN) | F_STARTED(FROM_WAN) | F_ACKED(FROM_LAN) | F_ACKED(FROM_WAN))

#define SCALE_KNOWN 0x10u
#define SCALE_BITS 0x0fu

static inline bool before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/*
 * Times and sizes of a flow are kept as 16-bit floats, 11 bits behind the leading one: cut off by
 * 0.05 % at most, in ascending order, 0 for none. Same scheme as histogram.h.
 */
static inline uint16_t short_of(uint32_t value)
{
	uint32_t v = value > 0 ? value : 1;
	uint32_t shift = 31 - (uint32_t)__builtin_clz(v | 1 << 11) - 11;

	return (uint16_t)((shift << 11) + (v >> shift));
}

static inline uint32_t value_of(uint16_t code)
{
	uint32_t shift = code < 2 << 11 ? 0 : (code >> 11) - 1u;

	return (code - (shift << 11)) << shift;
}

/* Both halves' newest times together, ticks; 0: not known. */
static inline uint32_t round_trip(const struct flow_measure *f)
{
	if (f->rtt_last[FROM_LAN] == 0 || f->rtt_last[FROM_WAN] == 0)
		return 0;
	return value_of(f->rtt_last[FROM_LAN]) + value_of(f->rtt_last[FROM_WAN]);
}

/* Ticks from `tick` to now, if that was less than 275 s ago. */
static inline uint32_t since(uint64_t now, uint32_t tick)
{
	return (uint32_t)now - tick;
}

/* When data of side `from` passed last, ticks. */
static inline uint32_t said_last(const struct flow_measure *f, enum measure_from from)
{
	return f->flags & F_FIN(from) ? f->said_tick[from] : f->half[from].last_tick;
}

/* Does the difference of the ticks tell the time from the epoch `from` to the epoch `to`? */
static inline bool epoch_is_near(unsigned from, unsigned to)
{
	return ((to - from) & 0xf) <= 1;
}

static inline unsigned epoch_of(const struct flow_measure *f, enum measure_from from)
{
	return f->epochs >> from * 4 & 0xf;
}

static inline void note_epoch(struct flow_measure *f, enum measure_from from, uint64_t now)
{
	f->epochs ^= (uint8_t)((f->epochs ^ EPOCH(now) * 0x11u) & 0xfu << from * 4);
}

static inline unsigned state_of(const struct flow_measure *f)
{
	return f->flags & F_STATE;
}

/* Newer, by the lower halves of two timestamps. They tell for 32 s of a clock of 1 ms (RFC 7323,
 * 5.4, allows 1 ms to 1 s). */
static inline bool tsval_before(uint16_t a, uint32_t b)
{
	return (int16_t)(uint16_t)(a - (uint16_t)b) < 0;
}

/* Does no earlier packet carry this timestamp? */
static inline bool tsval_is_new(const struct measure_half *h, const struct pkt *p)
{
	return (p->flags & PKT_TCP_TS) && tsval_before(h->tsval, p->tcp_tsval);
}

static inline void count16(uint16_t *count)
{
	*count = (uint16_t)(*count + (*count < UINT16_MAX));
}

/* The window that side `from` offers, in bytes; 0: how it is scaled is not known. */
static inline uint32_t window_bytes(const struct flow_measure *f, enum measure_from from)
{
	if (!(f->scale[from] & SCALE_KNOWN))
		return 0;
	return (uint32_t)f->half[from].window << (f->scale[from] & SCALE_BITS);
}

/* One packet's way through the measurement. */
struct step {
	struct flow_measure *f;
	struct pkt *p;
	enum measure_from from;
	uint64_t now; /* ticks */
	struct measure_class *c;
	struct inflight_store *s;
};

/* handshake.c: a SYN without ACK; a FIN; a RST; the state after a packet with ACK, which
 * acknowledged something new or not; what the options of a SYN say. */
void measure_syn(struct step *t);
void measure_fin(struct step *t);
void measure_reset(struct step *t);
void measure_handshake(struct step *t, bool acked);
void measure_syn_options(struct step *t);

/* late.c: a packet of seg_len sequence numbers that begins below the highest one seen; an ACK that
 * repeats the one before, or has SACK blocks. */
void measure_late(struct step *t, uint32_t seg_len);
void measure_dupack(struct step *t);

/* limits.c: side `from` acknowledges new data, of `flight` bytes under way (0: not known), a round
 * trip or more after the last time. */
void measure_round(struct flow_measure *f, enum measure_from from, uint32_t flight, uint64_t now,
	struct measure_class *c);

#endif
