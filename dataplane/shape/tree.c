/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which class is next. The link and every group keep their children with something to send in two
 * sets of rings, one ring a priority, served by deficit round robin (Shreedhar and Varghese, 1995):
 * in the assured rings those that are within their assured rate, or have somebody below them who
 * is; in the borrow rings all. Who has reached its ceiling leaves both and waits in the wheel.
 *
 * From the link downwards: as long as there is an assured ring to follow, follow it. Where it ends,
 * at a class or at a group that is itself within its rate, is the lender; from there on, or from
 * the link if nothing is assured, the borrow rings lead to a class. Rates are charged from the
 * lender upwards. So an assured rate is held whatever the neighbours do, and what is left over goes
 * by weight, site by site, not by how many classes a site has. Membership in the assured rings is
 * checked when it is a class's turn, so that no bucket has to be watched.
 */
#include "dataplane/shape/shaper_private.h"

static void ring_append(struct shaper *s, enum ring r, struct shape_class *c)
{
	struct shape_class *parent = parent_of(s, c);
	struct class_ring *ring = &parent->ring[r][c->priority];
	uint32_t i = class_id_of(s, c) + 1;

	c->next[r] = 0;
	c->prev[r] = ring->tail;
	if (ring->tail != 0)
		s->classes[ring->tail - 1].next[r] = i;
	else
		ring->head = i;
	ring->tail = i;
	parent->ring_mask[r] |= (uint8_t)(1u << c->priority);
	c->flags |= (uint8_t)(1u << r);
}

/* Who comes in may send when its turn comes: it does not wait another round for its quantum. */
static void ring_enter(struct shaper *s, enum ring r, struct shape_class *c)
{
	int32_t quantum = r == RING_BORROW ? share_quantum(s, c) : c->quantum;

	if (c->deficit[r] <= 0)
		c->deficit[r] += quantum;
	ring_append(s, r, c);
}

static void ring_remove(struct shaper *s, enum ring r, struct shape_class *c)
{
	struct shape_class *parent = parent_of(s, c);
	struct class_ring *ring = &parent->ring[r][c->priority];

	if (!(c->flags & 1u << r))
		return;
	if (c->prev[r] != 0)
		s->classes[c->prev[r] - 1].next[r] = c->next[r];
	else
		ring->head = c->next[r];
	if (c->next[r] != 0)
		s->classes[c->next[r] - 1].prev[r] = c->prev[r];
	else
		ring->tail = c->prev[r];
	if (ring->head == 0)
		parent->ring_mask[r] &= (uint8_t) ~(1u << c->priority);
	c->flags &= (uint8_t) ~(1u << r);
}

/* To the end of its ring. */
static void ring_rotate(struct shaper *s, enum ring r, struct shape_class *c)
{
	if (c->next[r] == 0)
		return; /* the last, often the only one */
	ring_remove(s, r, c);
	ring_append(s, r, c);
}

void class_enter(struct shaper *s, struct shape_class *c)
{
	for (; c != link_of(s); c = parent_of(s, c)) {
		bool known = true;

		if (c->flags & CLASS_WAIT_CEIL)
			return;
		if (!(c->flags & CLASS_IN_BORROW)) {
			ring_enter(s, RING_BORROW, c);
			known = false;
		}
		if (!(c->flags & CLASS_IN_ASSURED) &&
			(c->ring_mask[RING_ASSURED] != 0 ||
				(c->limits & LIMIT_RATE && !(c->flags & CLASS_WAIT_RATE)))) {
			ring_enter(s, RING_ASSURED, c);
			known = false;
		}
		if (known)
			return;
	}
}

/* Nothing left to send: what it might have sent is gone, what it owes is not. */
static void forget_deficit(struct shape_class *c)
{
	for (unsigned r = 0; r < RINGS; r++)
		if (c->deficit[r] > 0)
			c->deficit[r] = 0;
}

void class_detach(struct shaper *s, struct shape_class *c)
{
	for (; c != link_of(s); c = parent_of(s, c)) {
		ring_remove(s, RING_ASSURED, c);
		if (s->workers > 1 && c->flags & CLASS_IN_BORROW)
			share_leave(s, c);
		ring_remove(s, RING_BORROW, c);
		if (c->flags & (CLASS_WAIT_RATE | CLASS_WAIT_CEIL))
			wheel_remove(&s->wheel, class_wheel_id(s, c));
		c->flags &= (uint8_t) ~(CLASS_WAIT_RATE | CLASS_WAIT_CEIL);
		if (c->flows.listed == 0 && c->ring_mask[RING_BORROW] == 0)
			forget_deficit(c);
		/* Did the group above lose the last one? One that waits goes on waiting. */
		if (parent_of(s, c)->ring_mask[RING_BORROW] != 0 ||
			parent_of(s, c)->flags & CLASS_WAIT_CEIL)
			return;
	}
}

/* Above its assured rate, and so is everybody below it: it may still borrow. */
static void class_wait_rate(struct shaper *s, struct shape_class *c)
{
	ring_remove(s, RING_ASSURED, c);
	if (!(c->limits & LIMIT_RATE) || c->flags & CLASS_WAIT_RATE)
		return;
	c->flags |= CLASS_WAIT_RATE;
	wheel_add(s, class_wheel_id(s, c), c->rate.ready_ns);
}

static void class_wait_ceil(struct shaper *s, struct shape_class *c)
{
	class_detach(s, c);
	c->flags |= CLASS_WAIT_CEIL;
	wheel_add(s, class_wheel_id(s, c), c->ceil.ready_ns);
}

void class_wake(struct shaper *s, struct shape_class *c)
{
	c->flags &= (uint8_t) ~(CLASS_WAIT_RATE | CLASS_WAIT_CEIL);
	if (c->flows.listed > 0 || c->ring_mask[RING_BORROW] != 0)
		class_activate(s, c);
}

/* Is c within its assured rate? A class that waits for it knows that it is not. */
static bool rate_ready(struct shape_class *c, uint64_t now_ns)
{
	return c->limits & LIMIT_RATE && !(c->flags & CLASS_WAIT_RATE) &&
	       lease_ready(&c->rate, c->want, now_ns);
}

/* The child of a group at the head of a ring whose turn it is, after those that used up theirs;
 * NULL if there is none, or not in this call (turns_left). */
static struct shape_class *ring_turn(
	struct shaper *s, struct shape_class *group, enum ring r, uint64_t now_ns)
{
	while (group->ring_mask[r] != 0 && s->turns_left > 0) {
		struct class_ring *ring = &group->ring[r][__builtin_ctz(group->ring_mask[r])];
		struct shape_class *c = &s->classes[ring->head - 1];

		if (c->limits & LIMIT_CEIL && !lease_ready(&c->ceil, c->want, now_ns)) {
			class_wait_ceil(s, c);
		} else if (r == RING_ASSURED && c->ring_mask[RING_ASSURED] == 0 &&
			   !rate_ready(c, now_ns)) {
			class_wait_rate(s, c);
		} else if (c->deficit[r] <= 0) {
			c->deficit[r] += r == RING_BORROW ? share_quantum(s, c) : c->quantum;
			ring_rotate(s, r, c);
			s->turns_left--;
		} else {
			return c;
		}
	}
	return NULL;
}

/* What is left of a lease that was taken for assured bytes is not for borrowers who have had their
 * turn: other workers wait for theirs. */
static void link_keep_turn(struct shaper *s, bool assured, uint64_t now_ns)
{
	if (unlikely(!assured && s->workers > 1 && s->link_turn <= 0 && s->link.credit > 0 &&
		     s->link.ready_ns <= now_ns))
		lease_return(&s->link);
}

struct shape_class *tree_next(struct shaper *s, uint64_t now_ns, uint32_t *lender)
{
	struct shape_class *link = link_of(s);

	while (link->ring_mask[RING_BORROW] != 0 && s->turns_left > 0) {
		enum ring r = link->ring_mask[RING_ASSURED] != 0 ? RING_ASSURED : RING_BORROW;
		struct shape_class *c = link, *top = NULL;
		uint32_t depth = 0, lender_depth = 0;

		/* Ends early where somebody has left a ring: then from the link again. */
		do {
			c = ring_turn(s, c, r, now_ns);
			if (c == NULL)
				break;
			if (depth++ == 0)
				top = c;
			if (r == RING_ASSURED && c->ring_mask[RING_ASSURED] == 0) {
				lender_depth = depth;
				r = RING_BORROW;
			}
		} while (c->is_group);
		if (c == NULL)
			continue;
		*lender = lender_depth == 0 ? PKT_LENDER_LINK : depth - lender_depth;
		if (!(c->limits & LIMIT_LINK))
			return c;
		link_keep_turn(s, lender_depth != 0, now_ns);
		return link_ready(s, lender_depth != 0, top->priority, c->want, now_ns) ? c : NULL;
	}
	return NULL;
}

/* At the head of its ring, and nobody behind it: it has no turns to keep. */
static bool is_alone(const struct shape_class *c, enum ring r)
{
	return c->next[r] == 0;
}

int64_t tree_allowance(struct shaper *s, struct shape_class *c, uint32_t lender)
{
	int64_t least = c->limits & LIMIT_LINK ? s->link.credit : INT32_MAX;

	if (lender == PKT_LENDER_LINK && c->limits & LIMIT_LINK && s->workers > 1 &&
		s->link_turn < least)
		least = s->link_turn;

	for (uint32_t level = 0; c != link_of(s); c = parent_of(s, c), level++) {
		enum ring r = level >= lender ? RING_ASSURED : RING_BORROW;
		if (!is_alone(c, r) && c->deficit[r] < least)
			least = c->deficit[r];
		if (c->limits & LIMIT_CEIL && c->ceil.credit < least)
			least = c->ceil.credit;
		if (r == RING_ASSURED && c->limits & LIMIT_RATE && c->rate.credit < least)
			least = c->rate.credit;
	}
	return least;
}

void tree_sent(struct shaper *s, struct shape_class *c, uint32_t lender, uint32_t bytes)
{
	for (uint32_t level = 0; c != link_of(s); c = parent_of(s, c), level++) {
		enum ring r = level >= lender ? RING_ASSURED : RING_BORROW;
		/* A group that nobody is left in has forgotten its turn. */
		if (level > 0 && !(c->flags & 1u << r))
			continue;
		c->deficit[r] -= (int32_t)bytes;
		if (is_alone(c, r) && c->flags & 1u << r && c->deficit[r] < 0)
			c->deficit[r] = 0;
	}
}

/* A turn at borrowing from the link, if it is this worker's now and it has not had its share. */
static bool link_borrow(struct shaper *s, unsigned priority, uint32_t *want, uint64_t now_ns)
{
	s->link_polite = true;
	if (!lease_polite_turn(&s->link, now_ns, s->worker, priority, &s->link_wait_ns))
		return false;
	if (s->workers > 1) {
		uint32_t bytes = lease_quantum(&s->link);
		/* A frame at least, or turns of small packets would be smaller turns. */
		if (bytes < BUCKET_FRAME_BYTES)
			bytes = BUCKET_FRAME_BYTES;
		s->link_turn += share_turn(s, priority, bytes);
		if (s->link_turn <= 0) {
			s->link_wait_ns = now_ns;
			return false; /* pass: others are further behind */
		}
		if (s->link_turn > (int32_t)LEASE_QUANTUM_MAX)
			s->link_turn = LEASE_QUANTUM_MAX;
		if (*want < bytes)
			*want = bytes;
		if ((int32_t)*want < s->link_turn)
			*want = (uint32_t)s->link_turn;
		lease_stop_waiting(&s->link, s->worker);
	}
	s->link_polite = false;
	return true;
}

bool link_take(struct shaper *s, bool assured, unsigned priority, uint32_t want, uint64_t now_ns)
{
	if (s->link.credit > 0) { /* reserved for later */
		s->link_wait_ns = s->link.ready_ns;
		return false;
	}
	if (!assured) {
		if (!link_borrow(s, priority, &want, now_ns))
			return false;
	} else if (s->link_polite) {
		lease_stop_waiting(&s->link, s->worker);
		s->link_polite = false;
	}
	s->link_leases++;
	bool ready = lease_take(&s->link, want, now_ns);
	s->link_wait_ns = s->link.ready_ns;
	return ready;
}
