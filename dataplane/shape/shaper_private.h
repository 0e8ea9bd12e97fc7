/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What shaper.c (the packet path), schedule.c (which class and flow comes next) and configure.c
 * share: the state of a shaper and its classes. Not for use outside shape/.
 */
#ifndef SLUICE_SHAPE_SHAPER_PRIVATE_H
#define SLUICE_SHAPE_SHAPER_PRIVATE_H

#include "dataplane/flow/flow.h"
#include "dataplane/shape/lease.h"
#include "dataplane/shape/queue.h"
#include "dataplane/shape/shaper.h"
#include "dataplane/shape/wheel.h"

#define SHAPE_PRIORITIES 8u
#define SHAPE_FLOW_QUANTUM 1600 /* DRR among flows: a full-size frame with its overhead */

/* struct shape_class.limits: which buckets a packet of the class meets */
#define LIMIT_FLOW 0x1
#define LIMIT_CEIL 0x2
#define LIMIT_RATE 0x4
#define LIMIT_LINK 0x8

/* The two kinds of turns, each with a ring of classes for every priority. */
enum ring { RING_ASSURED, RING_BORROW, RINGS };

/* struct shape_class.flags */
#define CLASS_IN_ASSURED (1u << RING_ASSURED)
#define CLASS_IN_BORROW (1u << RING_BORROW)
#define CLASS_WAIT_RATE 0x4 /* in the wheel until the assured rate allows */
#define CLASS_WAIT_CEIL 0x8 /* in the wheel until the ceiling allows; in no ring */
#define CLASS_HELD 0x10	    /* in the list of classes that may hold leases */

struct shape_class {
	/* Line 0: the direct path of shaper_enqueue(). */
	uint8_t limits;
	uint8_t flags;
	uint8_t priority;
	bool aqm;
	uint32_t listed; /* queues in fresh and old */
	struct bucket_rate flow_rate;
	struct lease ceil;
	struct shaper_class_stats *stats;
	uint32_t want; /* size of the last packet: what the next is likely to take */
	bool in_use;

	/* Line 1: scheduling. */
	struct lease rate __attribute__((aligned(64)));
	struct queue_list fresh, old;
	int32_t deficit[RINGS];
	int32_t quantum;
	uint32_t served;		   /* bytes sent from its queues, modulo 2^32 */
	uint32_t next[RINGS], prev[RINGS]; /* in a ring, class id + 1; 0: none */

	/* Line 2 */
	uint32_t next_held; /* class id + 1 */
	uint32_t queue_limit_bytes, queue_limit_ns;
	uint64_t codel_target_ns, codel_interval_ns;
	uint64_t old_flow_inv_q32; /* of the configuration before; shaper_configure() only */
} __attribute__((aligned(64)));

struct class_ring {
	uint32_t head, tail; /* class id + 1 */
};

struct shaper {
	struct shape_class *classes;
	struct queue_pool pool;
	struct wheel wheel; /* queue indexes, then pool.count + 1 + class id */
	struct class_ring ring[RINGS][SHAPE_PRIORITIES];
	uint32_t ring_mask[RINGS]; /* one bit a priority: the ring is not empty */
	struct lease link;
	uint64_t link_wait_ns; /* when the link is asked again; 0: not waiting for it */
	uint64_t now_ns;       /* of the last call */
	uint32_t class_count, classes_max;
	uint32_t overhead_bytes;
	uint32_t held_head, held_tail; /* class id + 1 */
	uint32_t refresh_class;
	enum way way;
	unsigned worker;
	bool link_polite; /* other workers may have been told that we wait */
	uint64_t *reasons;
	struct shaper_room *room;
	struct shaper_room own_room; /* where none was given */
	struct shaper_class_stats *stats;
	struct wheel_node *nodes;
	struct shaper_shared *shared;
	uint64_t memory_bytes;
};

struct shaper_shared {
	struct lease_shared link;
	uint32_t classes_max;
	unsigned workers;
	struct {
		struct lease_shared rate, ceil;
	} classes[];
};

static inline uint32_t class_id_of(const struct shaper *s, const struct shape_class *c)
{
	return (uint32_t)(c - s->classes);
}

static inline uint32_t class_wheel_id(const struct shaper *s, const struct shape_class *c)
{
	return s->pool.count + 1 + class_id_of(s, c);
}

/* A class_id that is unknown (the flow was classified under another policy) is class 0. */
static inline struct shape_class *class_of(const struct shaper *s, uint32_t class_id)
{
	if (__builtin_expect(class_id >= s->class_count || !s->classes[class_id].in_use, 0))
		class_id = 0;
	return &s->classes[class_id];
}

/* May the flow's own bucket send? A tat of long ago, or of a new record, is a full bucket; more
 * debt than a packet can make is debt of a slower rate and is forgiven. */
static inline bool flow_ready(
	struct flow_shape *fs, const struct bucket_rate *rate, uint64_t now_ns)
{
	uint64_t now = bucket_q16(now_ns);

	if (__builtin_expect((uint32_t)(now_ns >> 32) - fs->stamp > 512, 0)) {
		fs->tat = now - rate->burst_q16;
		fs->stamp = (uint32_t)(now_ns >> 32);
	}
	int64_t ahead = bucket_ahead(fs->tat, now);
	if (ahead <= 0)
		return true;
	if ((uint64_t)ahead <= bucket_cost(rate->inv_q32, BUCKET_PACKET_MAX_BYTES))
		return false;
	fs->tat = now;
	return true;
}

/* schedule.c */

/* The class has a queue that may be served: let it take its turns. Idempotent. */
void class_activate(struct shaper *s, struct shape_class *c);

/* Out of rings and wheel; the leases stay. */
void class_detach(struct shaper *s, struct shape_class *c);

/* Put a queue that is in no list at the end of its class's fresh or old list and activate that. */
void queue_list_in(struct shaper *s, uint32_t index, enum queue_state state);

/* Take a queue out of its class's list or out of the wheel. */
void queue_list_out(struct shaper *s, uint32_t index);

/* A packet has come into a queue that stood empty in the old list: does it still go first? */
void queue_refresh(struct shaper *s, uint32_t index);

/* Move a queue to another class, behind the queues there. */
void queue_move(struct shaper *s, uint32_t index, struct shape_class *to);

/* The next queue to serve, not empty, and the kind of turn it is served in; 0 if none may send now.
 * CoDel has had its say about the packet at its head. */
uint32_t schedule_next(struct shaper *s, uint64_t now_ns, enum ring *ring);

/* The packet at the head of queue `index` has been taken and charged with `bytes`. */
void schedule_sent(struct shaper *s, uint32_t index, enum ring ring, uint32_t bytes);

/* Bring back from the wheel what is due. */
void schedule_wake(struct shaper *s, uint64_t now_ns);

/* May the link send? Assured bytes reserve it, borrowed ones stand back (lease.h). */
bool link_take(struct shaper *s, bool assured, unsigned priority, uint32_t want, uint64_t now_ns);

static inline bool link_ready(
	struct shaper *s, bool assured, unsigned priority, uint32_t want, uint64_t now_ns)
{
	if (__builtin_expect(s->link.credit > 0 && s->link.ready_ns <= now_ns, 1))
		return true;
	return link_take(s, assured, priority, want, now_ns);
}

#endif
