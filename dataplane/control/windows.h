/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What was counted in the last second, 10 s, minute and 15 minutes, of histograms and counters that
 * only ever grow. Differences are kept of each of the last 10 seconds, 6 tens of seconds and 15
 * minutes, older ones merged into longer ones; a window is a sum of them. A window covers at least
 * its time and at most a sixth more, from the second sample on.
 *
 * Most of a histogram's buckets are 0 in a second, so differences are lists of those that are not,
 * in chunks out of one bounded pool. If it is used up, the part that found no room is marked and
 * windows over it have no figure: never a wrong one.
 *
 * Pure: a step is a second's number. Control thread; windows_classes.c feeds it.
 */
#ifndef SLUICE_CONTROL_WINDOWS_H
#define SLUICE_CONTROL_WINDOWS_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/measure/histogram.h"

/* In the order of enum channel_window. */
enum window { WINDOW_ALL, WINDOW_1S, WINDOW_10S, WINDOW_1M, WINDOW_15M, WINDOWS };

#define WINDOW_SECONDS 10
#define WINDOW_TENS 6
#define WINDOW_MINUTES 15
#define WINDOW_SLOTS (WINDOW_SECONDS + WINDOW_TENS + WINDOW_MINUTES)
/* Chunks of 30 buckets a histogram, on average over all: some 90 buckets in use in every slot. */
#define WINDOW_CHUNKS (3 * WINDOW_SLOTS)

struct windows;

/* Room for so many histograms and so many counters. NULL without memory. */
struct windows *windows_create(unsigned histograms, unsigned counters);
void windows_destroy(struct windows *w);

/* What windows_create() takes, in bytes. */
uint64_t windows_memory_needed(unsigned histograms, unsigned counters);

/* Chunks in use; there are histograms * WINDOW_CHUNKS. */
uint32_t windows_chunks_used(const struct windows *w);

/* Histogram `i` or counter `i` is this at the end of second `step`. Steps grow, and may leave some
 * out. The first sample is where counting begins. */
void windows_sample(struct windows *w, unsigned i, const struct histogram *now, uint32_t step);
void windows_sample_counter(struct windows *w, unsigned i, uint64_t now, uint32_t step);

/*
 * Add a window (not WINDOW_ALL), which ends with the newest sample, to *sum, which may be zeroed;
 * its smallest and largest value are known to a bucket's width, its mean not at all. *seconds is
 * what it covers. False, and nothing added: not sampled twice, or a part of it found no room.
 */
bool windows_add(const struct windows *w, unsigned i, enum window window, struct histogram *sum,
	uint32_t *seconds);

/* The same of a counter; without a second sample 0. */
uint64_t windows_counter(const struct windows *w, unsigned i, enum window window);

/* Forget what was sampled: `i` stands for something else from now on. */
void windows_reset(struct windows *w, unsigned i);
void windows_reset_counter(struct windows *w, unsigned i);

#endif
