/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes a row of history.h every 10 s for the appliance, each bridge, each peer and the first
 * classes, from the windows of the last 10 s (windows_feed.h). Control thread only.
 */
#ifndef SLUICE_CONTROL_HISTORY_FEED_H
#define SLUICE_CONTROL_HISTORY_FEED_H

#include "dataplane/control/history.h"
#include "dataplane/daemon.h"

/* Classes with a history: the first of those with windows. */
#define HISTORY_CLASSES_MAX 32u

struct control;
struct history_feed;

/* NULL without memory. */
struct history_feed *history_feed_create(const struct policy *policy);
void history_feed_destroy(struct history_feed *f);

/* What history_feed_create() will take in a day, in bytes. */
uint64_t history_feed_memory_needed(const struct policy *policy);

/* After each complete round of feed_tick(): writes rows when they are due. */
void history_feed_tick(struct control *c, uint64_t now_ns);

/* The subject of the appliance, of a bridge, a peer or a class by its id; -1: it has none. */
int history_subject_box(void);
int history_subject_link(unsigned bridge);
int history_subject_peer(unsigned peer);
int history_subject_class(const struct history_feed *f, uint32_t class_id);

/* The step of a time of CLOCK_MONOTONIC, and the row of a step; NULL: there is none. */
uint64_t history_step_of(uint64_t now_ns);
const struct history_row *history_feed_row(
	const struct history_feed *f, unsigned subject, uint64_t step);

#endif
