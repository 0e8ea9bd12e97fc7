/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the parts of the shaper share: shaper.c (the packet path), tree.c (which class comes next),
 * flows.c (which flow of it), host_queue.c (flows of one host), aqm.c (what is dropped or marked),
 * configure.c and memory.c. Not for use outside shape/.
 */
#ifndef SLUICE_SHAPE_SHAPER_PRIVATE_H
#define SLUICE_SHAPE_SHAPER_PRIVATE_H

#include "dataplane/flow/flow.h"
#include "dataplane/shape/hosts.h"
#include "dataplane/shape/lease.h"
#include "dataplane/shape/queue.h"
#include "dataplane/shape/share.h"
#include "dataplane/shape/shaper.h"
#include "dataplane/shape/wheel.h"

#define SHAPE_PRIORITIES 8u
#define SHAPE_FLOW_QUANTUM 1600 /* DRR among flows: a full-size frame with its overhead */

/* How many packets before its turn a queue is fetched into the cache, in three steps of
 * QUEUES_STEP: the queue, its packet and its flow's bucket, the packet behind. */
#define QUEUES_AHEAD 24u
#define QUEUES_STEP 8u

/* More classes than this are not all in the cache: they are fetched before packets need them. */
#define CLASSES_WARM 256u

/* struct shape_class.limits: what a packet of the class meets */
#define LIMIT_FLOW 0x01 /* its flow's or host's bucket */
#define LIMIT_CEIL 0x02
#define LIMIT_RATE 0x04
#define LIMIT_LINK 0x08
#define LIMIT_GROUP 0x10 /* groups above the class */
#define LIMIT_POLICE 0x20

/* The two kinds of turns. The link and every group have a ring of their children for each kind and
 * priority. */
enum ring { RING_ASSURED, RING_BORROW, RINGS };

/* struct shape_class.flags */
#define CLASS_IN_ASSURED (1u << RING_ASSURED)
#define CLASS_IN_BORROW (1u << RING_BORROW)
#define CLASS_WAIT_RATE 0x04 /* in the wheel until the assured rate allows */
#define CLASS_WAIT_CEIL 0x08 /* in the wheel until the ceiling allows; in no ring */
#define CLASS_HELD 0x10	     /* in the list of classes that may hold leases */

struct class_ring {
	uint32_t head, tail; /* class id + 1 */
};

/* A class, a group, or (behind the last class) the link, which is the group of all. */
struct shape_class {
	/* Line 0: the direct path of shaper_enqueue(). */
	uint8_t limits;
	uint8_t flags;
	uint8_t priority;
	uint8_t aqm; /* enum policy_aqm */
	uint8_t per; /* enum policy_per */
	bool no_ecn, in_use, is_group;
	uint32_t parent; /* class id, or that of the link */
	uint32_t want;	 /* size of the last packet: what the next is likely to take */
	struct bucket_rate flow_rate;
	struct lease ceil;
	struct shaper_class_stats *stats;

	/* Line 1: turns. */
	struct lease rate __attribute__((aligned(64)));
	uint32_t next[RINGS], prev[RINGS]; /* in a ring, class id + 1; 0: none */
	int32_t deficit[RINGS];
	int32_t quantum;
	uint8_t ring_mask[RINGS]; /* of its own rings: one bit a priority that is not empty */
	uint8_t per_bits4, per_bits6;
	uint32_t next_held; /* class id + 1 */
	uint32_t id;

	/* Line 2: its flows. */
	struct queue_lists flows;
	struct queue_list waiting; /* QUEUE_WAIT */
	uint32_t queue_limit_bytes, queue_limit_ns;

	/* Lines 3 and 4: its children. */
	struct class_ring ring[RINGS][SHAPE_PRIORITIES];

	/* Its part among the workers, and those of its children by priority (share.h): only with
	 * several workers. */
	uint64_t share_sum[SHAPE_PRIORITIES];
	uint32_t share_given;

	/* The rest depends on what is switched on. */
	uint64_t aqm_target_ns, aqm_interval_ns;
	uint64_t codel_quiet_ns; /* until then no other flow is told to slow down */
	struct dualpi2 pi2;
	struct dualpi2_params pi2_params;
	struct policer police;
	uint8_t police_action[3]; /* by colour */
} __attribute__((aligned(64)));

struct shaper {
	struct shape_class *classes; /* [classes_max] is the link */
	struct queue_pool pool;
	struct wheel wheel; /* queue indexes, then pool.count + 1 + class id */
	struct lease link;
	uint64_t link_wait_ns; /* when the link is asked again; 0: not waiting for it */
	uint64_t now_ns;       /* of the last call */
	uint32_t class_count, classes_max;
	int32_t overhead_bytes;
	uint32_t frame_min_bytes;
	uint32_t held_head, held_tail; /* class id + 1 */
	uint32_t refresh_class;
	uint32_t turns_left; /* that may be passed on in this call without a packet */
	uint32_t random;     /* of AQM */
	uint32_t listed_last[QUEUES_AHEAD]; /* queues, as they came into lists; a ring */
	uint32_t listed_at;
	const struct queue *soon[2 * QUEUES_STEP]; /* queues whose turn comes; a ring */
	uint32_t soon_at;
	enum way way;
	unsigned worker, workers;
	int32_t link_turn; /* bytes that this worker may still borrow of the link in its turns */
	bool link_polite;  /* other workers may have been told that we wait */
	uint64_t *reasons;
	struct shaper_room *room;
	struct shaper_room own_room; /* where none was given */
	struct shaper_class_stats *stats;
	struct wheel_node *nodes;
	struct shaper_shared *shared;
	uint32_t *host_queue; /* by bucket: the host's queue, 0: none */
	bool per_host;	      /* some class has or had buckets for hosts */
	uint64_t memory_bytes;

	/* A change of configuration (configure.c): what is in force, and how far the next is. */
	uint64_t serial, next_serial;
	uint64_t link_bps;
	uint32_t link_burst_ns;
	unsigned change_pass;
	uint32_t change_at;
	bool change_all, changing;

	uint64_t link_leases; /* taken from the shared bucket */
	uint64_t wheel_inserts, wheel_late_max_ns;
};

struct shaper_shared {
	struct lease_shared link;
	uint32_t borrowing;  /* workers with somebody who would borrow from the link; atomic */
	struct hosts *hosts; /* NULL: none */
	uint32_t classes_max;
	unsigned workers;
	struct {
		struct lease_shared rate, ceil;
		struct policer_shared police;
		struct share_shared share;
	} classes[]; /* [classes_max] is the link: its share only */
};

static inline uint32_t class_id_of(const struct shaper *s, const struct shape_class *c)
{
	return c->id;
}

static inline uint32_t class_wheel_id(const struct shaper *s, const struct shape_class *c)
{
	return s->pool.count + 1 + class_id_of(s, c);
}

static inline struct shape_class *link_of(const struct shaper *s)
{
	return &s->classes[s->classes_max];
}

static inline struct shape_class *parent_of(const struct shaper *s, const struct shape_class *c)
{
	return &s->classes[c->parent];
}

/* A class_id that is unknown, or now a group's (the flow was classified under another policy), is
 * class 0. */
static inline struct shape_class *class_of(const struct shaper *s, uint32_t class_id)
{
	if (__builtin_expect(class_id >= s->class_count || !s->classes[class_id].in_use ||
				     s->classes[class_id].is_group,
		    0))
		class_id = 0;
	return &s->classes[class_id];
}

/* Fetch what a packet of the class needs of it: when it comes, and when it leaves. */
static inline void class_prefetch(const struct shaper *s, uint32_t class_id)
{
	const struct shape_class *c = &s->classes[class_id];

	rte_prefetch0(&c->limits);
	rte_prefetch0(&c->rate);
	rte_prefetch0(&c->flows);
	rte_prefetch0(&s->stats[class_id].packets);
	rte_prefetch0(&s->stats[class_id].backlog_packets);
}

static inline void class_prefetch_rates(const struct shaper *s, uint32_t class_id)
{
	rte_prefetch0(&s->shared->classes[class_id].rate);
	rte_prefetch0(&s->shared->classes[class_id].ceil);
}

static inline uint32_t shaper_random(struct shaper *s)
{
	/* xorshift32 (Marsaglia, 2003) */
	s->random ^= s->random << 13;
	s->random ^= s->random >> 17;
	s->random ^= s->random << 5;
	return s->random;
}

static inline void wheel_add(struct shaper *s, uint32_t id, uint64_t due_ns)
{
	s->wheel_inserts++;
	wheel_insert(&s->wheel, id, due_ns);
}

/* ---- tree.c: classes take turns ---- */

/* The class or group is in no ring, or not in all that it might be in: put it there, and the groups
 * above it. */
void class_enter(struct shaper *s, struct shape_class *c);

/* The class has a queue that may be served: let it and the groups above it take their turns.
 * Idempotent. */
static inline void class_activate(struct shaper *s, struct shape_class *c)
{
	if ((c->flags & (CLASS_IN_ASSURED | CLASS_IN_BORROW)) !=
		(CLASS_IN_ASSURED | CLASS_IN_BORROW))
		class_enter(s, c);
}

/* Out of rings and wheel, and so the groups above it that have nobody else; the leases stay. */
void class_detach(struct shaper *s, struct shape_class *c);

/* The class whose turn it is, NULL if none may send now; *lender: see struct pkt. */
struct shape_class *tree_next(struct shaper *s, uint64_t now_ns, uint32_t *lender);

/* How many bytes a class chosen by tree_next() may send before that is asked again: as long as its
 * turn and the leases of all on the way last. */
int64_t tree_allowance(struct shaper *s, struct shape_class *c, uint32_t lender);

/* A class has sent `bytes` in a turn given by tree_next(). */
void tree_sent(struct shaper *s, struct shape_class *c, uint32_t lender, uint32_t bytes);

/* A class has come out of the wheel. */
void class_wake(struct shaper *s, struct shape_class *c);

/* May the link send? Assured bytes reserve it, borrowed ones stand back (lease.h). */
bool link_take(struct shaper *s, bool assured, unsigned priority, uint32_t want, uint64_t now_ns);

static inline bool link_ready(
	struct shaper *s, bool assured, unsigned priority, uint32_t want, uint64_t now_ns)
{
	if (__builtin_expect(s->link.credit > 0 && s->link.ready_ns <= now_ns, 1))
		return true;
	return link_take(s, assured, priority, want, now_ns);
}

/* ---- flows.c: queues of a class take turns ---- */

/* Take a queue out of its owner's list or out of the wheel. */
void queue_list_out(struct shaper *s, uint32_t index);

/* A packet has come into a queue of the class that stood empty in the old list: does it still go
 * first? */
void queue_refresh(struct shaper *s, struct shape_class *c, uint32_t index);

/* Put a flow's queue that is in no list into a class, and into its host's queue there. */
void queue_home(struct shaper *s, uint32_t index, struct shape_class *to, enum queue_state state);

/* Move a flow's queue to another class, behind the queues there. */
void queue_move(struct shaper *s, uint32_t index, struct shape_class *to);

/* What a class has sent in a turn. */
struct turn {
	uint32_t packets, bytes;
	uint32_t last; /* bytes of the last packet */
};

/* Packets of the class's flows into out[], charged to their own buckets, as long as the turn's
 * allowance lasts, at most max. Returns their number; if that is 0 the class has left the rings. */
unsigned class_serve(struct shaper *s, struct shape_class *c, uint32_t lender, int64_t allowance,
	struct rte_mbuf **out, unsigned max, struct turn *turn);

/* A queue has come out of the wheel. */
void queue_wake(struct shaper *s, uint32_t index);

/* ---- host_queue.c: flows of one host share its bucket ---- */

/* Find the bucket that the flow's packets in this way are charged to; its index and generation are
 * kept in the flow. Only for classes with per != PER_FLOW. */
struct host *flow_host(
	struct shaper *s, const struct shape_class *c, struct flow *f, uint64_t now_ns);

/* May a host's queue, in which at least one flow is listed, send? Else *ready_ns is when. Where
 * several workers share the host, its bytes are then reserved. */
bool host_queue_ready(struct shaper *s, const struct shape_class *c, uint32_t index,
	uint64_t now_ns, uint64_t *ready_ns);

/* A packet of the flow leaves: charge its host. */
void flow_host_charge(struct shaper *s, const struct shape_class *c, struct flow *f, uint32_t bytes,
	uint64_t now_ns);

/* The queue of the flow's host, made if there is none; 0 without memory. */
uint32_t host_queue_of(struct shaper *s, struct shape_class *c, struct flow *f, uint64_t now_ns);

/* Has the flow's host a queue already? */
bool host_has_queue(struct shaper *s, const struct shape_class *c, struct flow *f, uint64_t now_ns);

/* A host's queue is going back to the pool. */
void host_queue_forget(struct shaper *s, uint32_t index);

/* ---- aqm.c ---- */

/* May a packet enter the queue of a flow (PIE)? If not, it was dropped. */
bool aqm_admit(struct shaper *s, struct shape_class *c, struct queue *q, struct rte_mbuf *m,
	uint64_t now_ns);

/* Drop or mark at the head of the queue; false: nothing is left in it. */
bool aqm_head(struct shaper *s, struct shape_class *c, struct queue *q, uint64_t now_ns);

/* ---- buckets of flows ---- */

/* May the flow's own bucket send? A tat of long ago, or of a new record, is a full bucket; more
 * debt than a packet can make is debt of a slower rate and is forgiven. */
static inline bool flow_ready(
	struct flow_shape *fs, const struct bucket_rate *rate, uint64_t now_ns)
{
	uint64_t now = bucket_q16(now_ns);

	if (__builtin_expect(
		    (uint32_t)(now_ns >> 32) - fs->stamp > 512 || fs->stamp == FLOW_SHAPE_HOST,
		    0)) {
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

/* ---- packets that leave ---- */

/* Packets of the class have been taken out of queues, the last one had come at queued_ns. */
static inline void shaper_taken(
	struct shaper *s, struct shape_class *c, uint32_t packets, uint64_t queued_ns)
{
	s->room->waiting -= packets;
	c->stats->backlog_packets -= packets;
	c->stats->backlog_since_ns = c->stats->backlog_packets == 0 ? 0 : queued_ns;
}

/* Take the packet at the head out of a queue that is not empty. */
static inline struct rte_mbuf *shaper_take(struct shaper *s, struct shape_class *c, struct queue *q)
{
	struct rte_mbuf *m = queue_pop(q);
	const struct pkt *p = pkt_of(m);

	c->stats->backlog_bytes -= p->charged_bytes;
	shaper_taken(s, c, 1, p->queued_ns);
	return m;
}

/* The packet leaves now: charge what is its own or its flow's. */
static inline void shaper_charge(struct shaper *s, struct shape_class *c, struct pkt *p,
	struct flow *flow, uint32_t lender, uint64_t now_ns)
{
	uint32_t bytes = p->charged_bytes;

	p->class_id = class_id_of(s, c);
	p->lender = lender;
	if (!(c->limits & LIMIT_FLOW))
		return;
	struct flow_shape *fs = &flow->shape[s->way];
	if (c->per == PER_FLOW) {
		fs->tat = bucket_charge(fs->tat, &c->flow_rate, bytes, bucket_q16(now_ns));
		fs->stamp = (uint32_t)(now_ns >> 32);
	} else {
		flow_host_charge(s, c, flow, bytes, now_ns);
	}
}

#endif
