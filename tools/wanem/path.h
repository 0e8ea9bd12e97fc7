/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One direction of the emulated WAN: a queue before a rate, then the loss, damage, delay and
 * reordering that impair.c decided for each frame when it arrived. Takes time as an argument and
 * touches no socket: main.c brings the frames in and sends those that are due.
 */
#ifndef SLUICE_WANEM_PATH_H
#define SLUICE_WANEM_PATH_H

#include "impair.h"

/* Frames of a direction never hold more memory than this; what comes on top is no_memory. */
#define PATH_MEMORY_BYTES (512u << 20)
/* A frame held for reordering by count waits at most this long for frames to overtake it. */
#define PATH_HOLD_MAX_NS 100000000u

/* Source ports of link frames that are counted one by one: the first that come. */
#define PATH_LANES 16

/* What happened to frames: all of them, those to the link's UDP port, and these by source port.
 * received + duplicated = sent + lost_random + lost_ge + queue_dropped + no_memory + send_errors
 *                         + in_transit, at any moment. */
#define PATH_COUNTERS(C)                                                                           \
	C(received)	  /* frames that came in */                                                \
	C(received_bytes) /* their bytes, from the destination address on, without FCS */          \
	C(sent)		  /* frames that went out, copies too */                                   \
	C(sent_bytes)                                                                              \
	C(lost_random)	 /* taken by `loss` */                                                     \
	C(lost_ge)	 /* taken by `ge` (and not also by `loss`) */                              \
	C(queue_dropped) /* did not fit into the queue before the rate */                          \
	C(duplicated)	 /* copies made */                                                         \
	C(held)		 /* held back so that others overtake them */                              \
	C(reordered)	 /* sent after a frame that had come in later */                           \
	C(corrupted)	 /* one bit flipped */                                                     \
	C(no_memory)	 /* dropped for PATH_MEMORY_BYTES */                                       \
	C(send_errors)	 /* refused by the interface for good: down, or frame above its MTU */

struct path_counters {
#define PATH_COUNTER_FIELD(name) uint64_t name;
	PATH_COUNTERS(PATH_COUNTER_FIELD)
#undef PATH_COUNTER_FIELD
};

/* Link frames of one UDP source port, or CPI. Reordered: sent after a later one of the same. */
struct path_lane {
	uint16_t source_port;
	uint64_t sent_seq; /* highest sent */
	struct path_counters count;
};

struct frame {
	struct frame *next;
	struct path_lane *lane; /* NULL: no link frame, or no room to count it by itself */
	uint64_t seq;		/* order of arrival, from 1 */
	uint64_t out_ns; /* when it is due; while held for a count: when it is due regardless */
	struct fate fate;
	uint32_t len_bytes;
	uint32_t hold_packets; /* later frames yet to leave before it */
	bool is_link;
	bool is_copy;
	bool hold_for_link; /* only link frames count as later */
	uint8_t data[];
};

struct frame_list {
	struct frame *head, *tail;
	uint64_t packets, bytes;
};

struct due {
	uint64_t out_ns;
	uint64_t order; /* of leaving the queue: equal times keep it */
	struct frame *frame;
};

struct path {
	struct impair impair;
	struct path_counters all, link;
	struct path_lane lane[PATH_LANES];
	unsigned lanes;
	uint64_t arrivals;
	uint64_t memory_bytes;

	struct frame_list queue; /* before the rate; its head is on the wire until finish_ns */
	uint64_t finish_ns;
	uint64_t finish_rest; /* rate_bps-ths of a ns not yet spent: the rate has no drift */

	uint64_t last_out_ns; /* due time of the last frame that keeps its order */
	struct due *heap;     /* on the way, by due time */
	size_t heap_len, heap_cap;
	uint64_t order;
	struct frame_list held;	 /* due, but waiting to be overtaken */
	struct frame_list ready; /* to be sent before anything else */

	uint64_t sent_seq, sent_link_seq; /* highest sent */
	uint64_t unsent; /* taken, not yet reported to path_sent/path_send_failed */
};

/* An empty path without impairments. direction: 0 or 1. */
void path_init(struct path *p, unsigned direction, uint64_t seed);

/* Frees all frames. */
void path_free(struct path *p);

/* A frame came in at rx_ns (never before an earlier one): copies it and settles its fate.
 * link_source: what match_link() says of it, 0: it is no link frame. */
void path_arrive(
	struct path *p, const void *data, size_t len_bytes, uint16_t link_source, uint64_t rx_ns);

/* Takes the next frame that is to be sent by now_ns, in sending order; NULL: none. The caller must
 * then call path_sent() or path_send_failed(), in the order of taking; both free the frame. */
struct frame *path_take(struct path *p, uint64_t now_ns);
void path_sent(struct path *p, struct frame *f);
void path_send_failed(struct path *p, struct frame *f);

/* When path_take() may next have something; UINT64_MAX: not before another arrival. */
uint64_t path_next_ns(const struct path *p);

/* impair_set() on this direction; frames that wait for the rate feel a new one at once. */
int path_set(struct path *p, char *words, uint64_t now_ns, char *err, size_t err_len);

/* Frames between received and sent. */
uint64_t path_in_transit(const struct path *p);

#endif
