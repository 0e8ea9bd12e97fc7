/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The statistics of one STAMP session at its sender: what was sent, what came back, what is lost in
 * which way, and distributions of round-trip time and delay variation, over windows of ten seconds
 * and since the start. stamp.h has the packets; control/stamp.c sends them.
 *
 * Loss is told by time: no answer within STAMP_LOST_NS. The ways are told apart by the reflector's
 * counts (Direct Measurement TLV) or by its own sequence numbers (stateful mode); without either
 * they are not told apart. Delay variation is that of RFC 5481, 4.2 (PDV): one-way delay above the
 * least of the last ten to twenty seconds. It needs no synchronised clocks, only that they do not
 * drift: 20 ppm make it wrong by 0.4 ms at most.
 */
#ifndef SLUICE_MEASURE_STAMP_SESSION_H
#define SLUICE_MEASURE_STAMP_SESSION_H

#include "dataplane/measure/histogram.h"
#include "dataplane/measure/stamp.h"

#define STAMP_LOST_NS UINT64_C(2000000000)
#define STAMP_PENDING 1024 /* packets that may be under way: 5 ms apart, and more */
#define STAMP_WINDOW_NS UINT64_C(10000000000)
#define STAMP_WINDOWS 7 /* the running one, and a minute */

/* What happened in some time. */
struct stamp_window {
	uint64_t sent, received, lost;
	uint64_t duplicate, reordered; /* answers */
	uint64_t late;		       /* answers after STAMP_LOST_NS; the packets stay lost */
	/* Of `lost`, on the way there and back. Known with the next answer, so ahead of `lost` by
	 * up to STAMP_LOST_NS; what is lost behind the last answer is in neither. Negative for a
	 * moment when packets overtake each other. */
	int64_t lost_up, lost_down;
	struct histogram rtt; /* without the time in the reflector */
	struct histogram up_variation, down_variation;
};

struct stamp_session {
	uint32_t next_seq;
	bool is_attributed;	  /* the ways of the losses are told apart */
	uint64_t arrived;	  /* answers, duplicates and late ones included */
	uint8_t ttl_up, ttl_down; /* that the last packets arrived with; 0: none has */
	bool is_synchronized;	  /* both clocks say so: the one-way delays mean something */
	int64_t delay_up_ns, delay_down_ns; /* of the last answer, by both clocks */
	uint64_t clock_error_ns;	    /* of both clocks together, as they say */
	bool cos_refused;		    /* the reflector does not answer with the wanted DSCP */
	uint8_t dscp_received, ecn_received; /* our packets at the reflector, if has_cos */
	bool has_cos;

	/* The session's own. */
	struct {
		uint32_t seq;
		uint8_t state; /* 0: free, 1: under way, 2: answered, 3: lost */
		uint64_t sent_ns, sent;
	} pending[STAMP_PENDING];
	uint32_t oldest; /* not judged yet */
	uint32_t newest; /* highest answered + 1; 0: none */
	bool has_counts; /* of the newest answer: */
	uint32_t sent_count, reflector_received, reflector_sent;
	uint64_t arrived_then;
	struct {
		int64_t up_ns, down_ns;
		bool known;
	} least[2];	    /* one-way delays in the running window and in the one before */
	uint64_t window_ns; /* when the running window began */
	unsigned window;    /* its index */
	struct stamp_window windows[STAMP_WINDOWS], total;
};

/* A session that begins; `s` is any memory. */
void stamp_session_init(struct stamp_session *s, uint64_t now_ns);

/* A packet is about to be sent at now_ns, T1 by the clock of day: returns its sequence number. */
uint32_t stamp_session_send(struct stamp_session *s, uint64_t now_ns, uint64_t sent);

/* An answer that arrived at now_ns, T4 `arrived` by the clock of day. 0, or -ENOENT for a packet
 * that was never sent or is forgotten, -EALREADY for a duplicate, -ETIME for one that was lost. */
int stamp_session_receive(struct stamp_session *s, const struct stamp_answer *answer, uint8_t ttl,
	uint64_t now_ns, uint64_t arrived);

/* Time passes: judges what has not come back. At least every second. */
void stamp_session_tick(struct stamp_session *s, uint64_t now_ns);

/* The last minute (the running window and those before), added up into *sum. */
void stamp_session_minute(const struct stamp_session *s, struct stamp_window *sum);

#endif
