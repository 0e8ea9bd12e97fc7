/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What shape/ keeps per flow and way inside the flow record (flow/flow.h). All zero is a new flow
 * with a full bucket. Written by the worker that owns the flow, and by shape/ only.
 */
#ifndef SLUICE_SHAPE_FLOW_SHAPE_H
#define SLUICE_SHAPE_FLOW_SHAPE_H

#include <stdint.h>

struct flow_shape {
	union {
		uint64_t tat; /* the flow's own bucket: theoretical arrival time, Q16 ns (bucket.h)
			       */
		struct {
			uint32_t bucket, generation; /* its host's bucket (hosts.h) */
		} host;
	};
	uint32_t queue; /* index of the flow's queue while it has one, 0: none */
	uint32_t stamp; /* now_ns >> 32 when tat was written: tells an old tat from a wrapped one;
			 * FLOW_SHAPE_HOST: `host` is valid instead */
};

#define FLOW_SHAPE_HOST UINT32_MAX

#endif
