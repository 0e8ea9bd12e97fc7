/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Gaps in what the box has seen of a direction's sequence numbers: data that was lost before the
 * box, or is late. tcp.c opens one when a packet skips ahead and asks here when one comes late.
 * A flow has room for three; beyond that the two closest are joined, with the data between them.
 */
#ifndef SLUICE_MEASURE_HOLES_H
#define SLUICE_MEASURE_HOLES_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/measure/flow_measure.h"
#include "dataplane/measure/tcp.h"

/* Is a gap open in what `from` sent? */
bool holes_any(const struct flow_measure *f, enum measure_from from);

/* [start, end) is missing, as a packet with timestamp `tsval` (0: none) showed at `tick`. */
void holes_open(struct flow_measure *f, enum measure_from from, uint32_t start, uint32_t end,
	uint32_t tick, uint32_t tsval);

/*
 * Close what [start, end) covers. True if any of it was missing: *tick and *tsval then tell since
 * when, and the lower half of the timestamp of the packet that showed it.
 */
bool holes_fill(struct flow_measure *f, enum measure_from from, uint32_t start, uint32_t end,
	uint32_t *tick, uint16_t *tsval);

/* The receiver has everything before `ack`: nothing is missing there. */
void holes_acknowledged(struct flow_measure *f, enum measure_from from, uint32_t ack);

/* Forget all gaps of a direction. */
void holes_forget(struct flow_measure *f, enum measure_from from);

#endif
