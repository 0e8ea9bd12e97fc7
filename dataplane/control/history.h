/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A day of figures at steps of 10 s: for each of a fixed number of subjects (the appliance, its
 * links, classes and peers) a ring of rows of fixed size. history_feed.c writes a row every 10 s,
 * show_history.c reads them.
 *
 * Pure: a step is the number of a 10-second span. Control thread only.
 */
#ifndef SLUICE_CONTROL_HISTORY_H
#define SLUICE_CONTROL_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#define HISTORY_STEP_S 10u
#define HISTORY_ROWS 8640u /* 24 h */

/* In the order of enum channel_history. NAN: no figure. */
enum history_figure {
	HISTORY_RATE_UP, /* bit/s */
	HISTORY_RATE_DOWN,
	HISTORY_RTT_LAN_P50, /* ns */
	HISTORY_RTT_LAN_P99,
	HISTORY_RTT_WAN_P50,
	HISTORY_RTT_WAN_P99,
	HISTORY_LOSS_UP, /* share */
	HISTORY_LOSS_DOWN,
	HISTORY_QUEUE_UP_P99, /* ns */
	HISTORY_QUEUE_DOWN_P99,
	HISTORY_DELAY,	       /* ns: least one-way delay from a peer */
	HISTORY_VARIATION_P99, /* ns: of the delay from a peer */
	HISTORY_DROPS,	       /* packets */
	HISTORY_BUSY,	       /* share of the workers' time */
	HISTORY_FIGURES
};

struct history_row {
	float figure[HISTORY_FIGURES];
};

struct history;

/* NULL without memory. */
struct history *history_create(unsigned subjects);
void history_destroy(struct history *h);

/* What history_create() takes, in bytes. */
uint64_t history_memory_needed(unsigned subjects);

/* Row of a subject for `step`, which grows from call to call of one subject; steps may be left out.
 */
void history_write(
	struct history *h, unsigned subject, uint64_t step, const struct history_row *row);

/* The row of a step; NULL: there is none, never was or no more. */
const struct history_row *history_read(const struct history *h, unsigned subject, uint64_t step);

/* The subject stands for something else from now on. */
void history_reset(struct history *h, unsigned subject);

#endif
