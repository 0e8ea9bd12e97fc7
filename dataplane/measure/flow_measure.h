/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What measure/ keeps per flow: four cache lines inside struct flow. A new flow's are all zero.
 * tcp.c and the files beside it alone read and write the fields; everybody else asks
 * measure_flow_view() (tcp.h). With many flows a line that is not in the cache costs more than all
 * the rest, so the first one holds all that packets in order need, as long as no more than two
 * segments are in flight.
 */
#ifndef SLUICE_MEASURE_FLOW_MEASURE_H
#define SLUICE_MEASURE_FLOW_MEASURE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define MEASURE_HOLES 3	 /* gaps in the sequence kept at a time, both directions together */
#define MEASURE_LIMITS 3 /* what a transfer waits for: enum measure_limit (tcp.h) */

/*
 * One direction: what the host on one side sends. Times are ticks of 64 ns, modulo 2^32 (275 s).
 */
struct measure_half {
	uint32_t next_seq;	 /* behind the highest sequence number seen */
	uint32_t ack;		 /* highest acknowledgement number it sent */
	uint32_t last_tick;	 /* when its newest data passed */
	uint32_t oldest, newest; /* its segments in flight, inflight.h */
	uint16_t window;	 /* the newest it offered, unscaled */
	uint16_t tsval;		 /* lower half of the newest timestamp it sent */
};
static_assert(sizeof(struct measure_half) == 24, "both halves and the state fit one line");

struct flow_measure {
	/* First line: every packet. */
	struct measure_half half[2];	  /* [FROM_LAN], [FROM_WAN] */
	uint16_t rtt_min[2], rtt_last[2]; /* short floats, tcp_private.h; 0: none. [who answered] */
	uint16_t flags;			  /* F_* in tcp_private.h */
	uint16_t mss;			  /* largest payload seen */
	uint8_t bits[2];		  /* H_* there; [sender] */
	uint8_t epochs;	   /* coarse time of the newest data, EPOCH() there: four bits a sender */
	uint8_t uncounted; /* samples that are not yet in `samples`: four bits for each side */

	/* Second line: now and then, and what flows with much in flight need. */
	uint32_t samples[2];
	uint32_t probe_key, probe_tick; /* the timestamp whose echo is waited for, and since when */
	uint32_t round_tick, round_end; /* this round trip, see limits.c; */
	uint32_t round_ack[2];		/* where it began. [sender] */
	uint32_t limited[2][MEASURE_LIMITS]; /* time, in 2^14 ns; [sender] */
	uint8_t scale[2]; /* window scale, | SCALE_KNOWN; [side that offers the window] */
	uint8_t holes;	  /* which of the gaps below are in use: holes.h */
	uint8_t reserved[5];

	/* Third line: irregularities. */
	uint32_t hole_start[MEASURE_HOLES], hole_end[MEASURE_HOLES]; /* sequence numbers */
	uint32_t hole_tick[MEASURE_HOLES];			     /* when it was noticed */
	uint16_t hole_tsval[MEASURE_HOLES]; /* lower half of the timestamp that showed it */
	uint16_t connect;		    /* short float */
	union {
		uint32_t syn_tick;	  /* until the handshake is complete */
		uint16_t zero_windows[2]; /* from then on */
	};
	uint32_t recover[2];	/* where the recovery from a loss ends: what was sent before it */
	uint16_t flight_max[2]; /* bytes, short float */

	/* And the fourth: counts, and what the SYNs said. [sender] */
	uint32_t lost_before[2], lost_after[2];
	uint16_t needless[2], dsacks[2], duplicates[2];
	uint16_t timeouts[2];
	uint16_t reordered[2];
	uint16_t reorder_max[2]; /* bytes, short float */
	uint16_t ce[2], ece[2], cwr[2];
	uint16_t syn_mss[2];
	uint8_t options[2]; /* MEASURE_OPTION_* in tcp.h */
	uint8_t syn_retries;
	uint8_t reserved2;
	uint32_t said_tick[2]; /* a side that has sent its FIN: when its data last passed */
};
static_assert(offsetof(struct flow_measure, samples) == 64, "the first line");
static_assert(offsetof(struct flow_measure, hole_start) == 128, "the third line");
static_assert(sizeof(struct flow_measure) == 256, "four cache lines in struct flow");

#endif
