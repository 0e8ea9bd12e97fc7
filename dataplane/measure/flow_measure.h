/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What measure/ keeps per flow: two cache lines inside struct flow. A new flow's are all zero.
 * tcp.c alone reads and writes the fields; everybody else asks measure_flow_view() (tcp.h). Of
 * packets that follow the rules, only the first line is touched.
 */
#ifndef SLUICE_MEASURE_FLOW_MEASURE_H
#define SLUICE_MEASURE_FLOW_MEASURE_H

#include <assert.h>
#include <stdint.h>

#define MEASURE_HOLES 3 /* gaps in the sequence kept at a time, both directions together */

/*
 * One direction: what the host on one side sends. Times are ticks of 64 ns, modulo 2^32 (275 s).
 * The probe is the packet whose answer is being waited for, see tcp.c.
 */
struct measure_half {
	uint32_t next_seq;  /* behind the highest sequence number seen */
	uint32_t ack;	    /* highest acknowledgement number it sent */
	uint32_t last_tick; /* when its newest data passed */
	uint32_t tsval;	    /* newest timestamp it sent */
	uint32_t probe_key; /* acknowledgement number or TSecr that answers the probe */
	uint32_t probe_tick;
	uint16_t probe_span; /* acknowledgements up to probe_key + this answer it too */
	uint8_t probe_bits;  /* PROBE_* in tcp.c */
	uint8_t epoch;	     /* coarse time of the newest data or probe, EPOCH() in tcp.c */
};
static_assert(sizeof(struct measure_half) == 28, "both halves and the state fit one line");

struct flow_measure {
	/* First line: every packet. */
	struct measure_half half[2]; /* [FROM_LAN], [FROM_WAN] */
	uint16_t flags;		     /* F_* in tcp.c */
	uint8_t ordinary;	     /* both sides known, nothing missing: the short way will do */
	uint8_t holes;		     /* which of the gaps below are in use: holes.h */
	union {
		uint32_t syn_tick;	  /* until the handshake is complete */
		uint16_t zero_windows[2]; /* from then on */
	};

	/* Second line: samples and irregularities. */
	uint32_t hole_start[MEASURE_HOLES], hole_end[MEASURE_HOLES]; /* sequence numbers */
	uint32_t hole_tick[MEASURE_HOLES];			     /* when it was noticed */
	uint32_t retransmits[2];
	uint16_t hole_tsval[MEASURE_HOLES]; /* lower half of the timestamp that showed it */
	uint16_t rtt_min[2],
		rtt_last[2]; /* short floats, see tcp.c; 0: none. [side that answered] */
	uint16_t reordered[2];
	uint16_t connect; /* short float */
};
static_assert(sizeof(struct flow_measure) == 128, "two cache lines in struct flow");

#endif
