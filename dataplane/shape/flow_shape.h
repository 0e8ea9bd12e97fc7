/* SPDX-License-Identifier: BSD-3-Clause */
/* What shape/ keeps per flow and way inside the flow record. */
#ifndef SLUICE_SHAPE_FLOW_SHAPE_H
#define SLUICE_SHAPE_FLOW_SHAPE_H

#include <stdint.h>

struct flow_shape {
	uint64_t tat;   /* the flow's own bucket: theoretical arrival time (bucket.h) */
	uint32_t queue; /* index of the flow's queue while it has one, 0: none */
	uint32_t reserved;
};

#endif
