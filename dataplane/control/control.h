/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control thread: everything that is not a packet's way. It runs on the main lcore, wakes about
 * every millisecond, and never holds a worker up.
 */
#ifndef SLUICE_CONTROL_CONTROL_H
#define SLUICE_CONTROL_CONTROL_H

#include "controlplane/channel/server.h"
#include "dataplane/control/history_feed.h"
#include "dataplane/control/inpath.h"
#include "dataplane/control/publish.h"
#include "dataplane/control/rates.h"
#include "dataplane/control/transactions.h"
#include "dataplane/control/windows_feed.h"
#include "dataplane/daemon.h"

/* Control thread's own state. */
struct control {
	struct daemon *daemon;
	struct inpath inpath[POLICY_BRIDGES_MAX];
	bool has_inpath[POLICY_BRIDGES_MAX];
	struct peers *peers;
	struct rates *rates;
	struct connections *connections;
	struct track *track;
	struct active *active;
	struct transaction_rates *transaction_rates;
	struct feed *feed;
	struct history_feed *history;

	uint32_t generation;	      /* of the plan in force */
	uint64_t applied_realtime_ns; /* when it was put in force */
	struct policy *previous;      /* what `policy rollback` returns to; NULL: nothing */
	uint32_t previous_generation;
	uint64_t confirm_deadline_ns; /* apply --confirm: roll back at this time; 0: not waiting */
	struct change *change;	      /* that is under way, build.h; NULL: none */
	uint64_t started_ns;
	bool is_ending; /* asked to stop */
};

/* Run until SIGTERM or SIGINT: 0. A negative errno and a sentence if it could not start. */
int control_run(struct daemon *d, char *error, size_t error_len);

/* Send a frame out of a port: a bounded copy through the ring of a worker. Dropped and counted by
 * nobody when the ring or the pool is full: whoever needs it sent asks again. */
void control_send(struct daemon *d, unsigned port, const uint8_t *frame, uint32_t len);

/* control_send() in the form of inpath_emit; ctx is a struct control_side. */
struct control_side {
	struct daemon *daemon;
	unsigned bridge;
};
void control_emit(void *ctx, int side, const uint8_t *frame, uint32_t len);

/* CLOCK_REALTIME in ns. */
uint64_t control_realtime_ns(void);

/* What sluicectl may ask; show.c and change.c. */
extern const struct channel_handlers control_handlers;

#endif
