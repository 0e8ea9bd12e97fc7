/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What worker.c has of pack_wait: small packets that wait a moment, behind the shaper, for others
 * to share a link frame with (worker_pack.h). Only where a class says so, and never past a packet
 * of their own flow. Worker threads only.
 */
#ifndef SLUICE_WORKER_HOLD_H
#define SLUICE_WORKER_HOLD_H

#include "dataplane/worker_stages.h"

/*
 * Take those out of a burst, which is about to be compressed, that wait. What must leave in front
 * of a packet of the burst leaves now, by worker_depart(). Returns how many are left in pkts.
 */
unsigned worker_hold(struct worker *w, struct rte_mbuf **pkts, unsigned n);

/* Let depart what is due at now_ns; UINT64_MAX: everything. Returns how many packets did. */
unsigned worker_release(struct worker *w, uint64_t now_ns);

#endif
