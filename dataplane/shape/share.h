/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shares by weight across workers. Each worker takes turns among the classes that it has, and the
 * workers take turns at the link; for the sum to come out by weight, a class that has packets on
 * all workers must count less on each of them than one that has them all on a single worker.
 *
 * So every class with a backlog has a part on each worker that has some of it: of a leaf, an equal
 * part each; of a group, in proportion to what its children of the first priority come to there,
 * weight times part. All parts of a class are 1 together. A worker gives each class its quantum
 * times its part, and takes of the link in proportion to what its classes come to. Parts are worked
 * out anew with every quantum, from sums that the workers share; each worker adds to them, and
 * takes away, only what it has added itself, so they can't drift. With one worker none of this is
 * done.
 */
#ifndef SLUICE_SHAPE_SHARE_H
#define SLUICE_SHAPE_SHARE_H

#include <stdint.h>

#define SHARE_PRIORITIES 8

/* Written and read by all workers, with relaxed atomics. One cache line: no false sharing. */
struct share_shared {
	uint64_t total[SHARE_PRIORITIES]; /* of a group: what its children come to on all workers,
					   * by priority; of a leaf, [0]: workers that have some */
} __attribute__((aligned(64)));

struct shaper;
struct shape_class;

/* The class has a backlog here and gets a quantum: brings its part up to date. Returns the bytes
 * for this round. */
int32_t share_quantum(struct shaper *s, struct shape_class *c);

/* It has none any more, or may not send. */
void share_leave(struct shaper *s, struct shape_class *c);

/* What this worker may borrow of the link for classes of a priority in a turn of its own; the
 * average over the workers that would is `bytes`. */
int32_t share_turn(struct shaper *s, unsigned priority, uint32_t bytes);

/* Nobody here would borrow any more. */
void share_idle(struct shaper *s);

#endif
