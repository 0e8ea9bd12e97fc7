/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon as a whole: what main.c builds, the workers share read-only, and the control thread
 * (control/) looks after.
 */
#ifndef SLUICE_DAEMON_H
#define SLUICE_DAEMON_H

#include <rte_mempool.h>
#include <rte_rcu_qsbr.h>

#include "controlplane/channel/server.h"
#include "dataplane/plan.h"
#include "dataplane/port/port.h"
#include "dataplane/worker.h"

struct daemon {
	/* Set at start, then read only. */
	const char *instance;
	unsigned worker_count;
	struct worker *workers[POLICY_WORKERS_MAX];
	unsigned port_count; /* two a bridge: port 2 * bridge is its LAN, the next its WAN */
	struct port ports[PORTS_MAX]; /* control thread: writes link state. workers: read */
	unsigned bridge_count;
	struct rte_mempool *pool;
	struct dictionaries *dictionaries;
	struct store_files *store_files; /* NULL: the stores end with the daemon */
	struct shaper_shared *shaper_shared[POLICY_BRIDGES_MAX][WAYS];
	struct rte_rcu_qsbr *rcu; /* workers report quiescent states, the control thread waits */
	struct rte_ring *punt; /* workers: frames for the in-path address. control thread: takes */
	uint64_t memory_bytes; /* all that was allocated at start; nothing is added later */

	/* control thread: replaces. workers: load once a round. */
	const struct plan *plan;
	const struct links *links;

	/* Control thread only. */
	struct channel_server *channel;
	struct counters_header *counters;
	struct control *control;
};

static inline unsigned port_lan(unsigned bridge)
{
	return 2 * bridge;
}

static inline unsigned port_wan(unsigned bridge)
{
	return 2 * bridge + 1;
}

#endif
