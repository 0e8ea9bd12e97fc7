/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What worker_compress.c has of packing what the store has whole: repeats (compress/store.h) of one
 * flow in one link frame of references (link/pack.h). Worker threads only.
 */
#ifndef SLUICE_WORKER_REPEAT_H
#define SLUICE_WORKER_REPEAT_H

#include "dataplane/worker_stages.h"

/*
 * As worker_pack(), where the flow of pkts[0] repeats what has gone before, as its last packets
 * did. A packet that turns out to be no repeat has been looked up for worker_store_encode().
 */
unsigned worker_pack_repeats(
	struct worker *w, struct rte_mbuf **pkts, unsigned n, struct worker_class *c);

#endif
