/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cycles of the stages by class, for `show box`. A stage works on bursts, so what one packet of it
 * cost cannot be told without a clock reading each, which would be much of the cost. But bursts of
 * one class alone tell: of the rounds that are timed anyway, what each stage took for such a burst
 * goes to the class. worker.c marks where a burst begins and ends. Worker threads only.
 */
#ifndef SLUICE_WORKER_COST_H
#define SLUICE_WORKER_COST_H

#include <string.h>

#include "dataplane/flow/flow.h"
#include "dataplane/worker.h"

#define COST_MIXED UINT32_MAX

/* The counters of the stages when a burst begins. Of no meaning in rounds that are not timed. */
struct cost_mark {
	struct counters_stage stage[STAGE_COUNT];
};

static inline void cost_begin(const struct worker *w, struct cost_mark *mark)
{
	if (unlikely(w->sampling))
		memcpy(mark->stage, w->counters->stage, sizeof(mark->stage));
}

/* Index into worker.cost for a burst of packets that have their flows, COST_MIXED: of several, or
 * not timed. */
static inline uint32_t cost_of(const struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	uint32_t id, way;

	if (likely(!w->sampling) || n == 0)
		return COST_MIXED;
	id = pkt_of(pkts[0])->flow->class_id;
	way = pkt_of(pkts[0])->way;
	for (unsigned i = 1; i < n; i++)
		if (pkt_of(pkts[i])->flow->class_id != id || pkt_of(pkts[i])->way != way)
			return COST_MIXED;
	return id < w->measured ? id * WAYS + way : COST_MIXED;
}

/* A burst is done with, of which `sent` packets went on to their port. */
static inline void cost_end(
	struct worker *w, const struct cost_mark *mark, uint32_t cost, unsigned sent)
{
	struct worker_cost *c;

	if (likely(cost == COST_MIXED))
		return;
	c = &w->cost[cost];
	for (unsigned s = 0; s < STAGE_COUNT; s++) {
		const struct counters_stage *now = &w->counters->stage[s];
		uint64_t packets = now->sampled - mark->stage[s].sampled;

		/* The second half of tx, which counts them, is of all bursts together. */
		if (s == STAGE_TX)
			packets = sent;
		if (packets == 0)
			continue;
		c->stage[s].cycles += now->cycles - mark->stage[s].cycles;
		c->stage[s].packets += packets;
	}
}

#endif
