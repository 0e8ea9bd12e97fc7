/* SPDX-License-Identifier: BSD-3-Clause */
/* The steps of a worker without time (governor.h). */
#include "dataplane/compress/governor.h"

#include <string.h>

void governor_init(struct governor *g)
{
	memset(g, 0, sizeof(*g));
	memset(g->patience, GOVERNOR_FULL_MIN, sizeof(g->patience));
	g->calm_ns = GOVERNOR_CALM_NS;
}

void governor_queue(struct governor *g, unsigned queue, unsigned bursts)
{
	if (bursts / 2 > GOVERNOR_FULL_MIN)
		g->patience[queue] = (uint8_t)(bursts / 2 < UINT8_MAX ? bursts / 2 : UINT8_MAX);
}

static void step_up(struct governor *g, uint64_t now_ns)
{
	if (g->step == GOVERNOR_BYPASS) {
		g->changed_ns = now_ns;
		return;
	}
	/* Soon after a step back: that one was too early. */
	if (g->back_ns != 0 && now_ns - g->back_ns < g->calm_ns &&
		g->calm_ns < GOVERNOR_CALM_MAX_NS)
		g->calm_ns *= 2;
	g->step++;
	g->ups++;
	g->changed_ns = now_ns;
}

static void step_back(struct governor *g, uint64_t now_ns)
{
	g->step--;
	g->downs++;
	g->changed_ns = now_ns;
	g->back_ns = now_ns;
}

void governor_burst(struct governor *g, unsigned queue, bool full, uint64_t now_ns)
{
	if (full) {
		if (++g->full[queue] == g->patience[queue]) {
			g->full[queue] = 0;
			step_up(g, now_ns);
		}
		return;
	}
	g->full[queue] = 0;
	if (g->step > 0) {
		if (now_ns - g->changed_ns >= g->calm_ns)
			step_back(g, now_ns);
	} else if (g->calm_ns > GOVERNOR_CALM_NS && now_ns - g->changed_ns >= 2 * g->calm_ns) {
		/* It has gone well for long. */
		g->calm_ns = GOVERNOR_CALM_NS;
	}
}
