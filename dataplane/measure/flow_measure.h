/* SPDX-License-Identifier: BSD-3-Clause */
/* What measure/ keeps per flow. Zeroed in a new flow. */
#ifndef SLUICE_MEASURE_FLOW_MEASURE_H
#define SLUICE_MEASURE_FLOW_MEASURE_H

#include <stdint.h>

struct flow_measure {
	uint64_t area[16];
};

#endif
