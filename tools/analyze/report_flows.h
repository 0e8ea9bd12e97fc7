/* SPDX-License-Identifier: BSD-3-Clause */
/* The flows of the report; report.c calls it. */
#ifndef SLUICE_ANALYZE_REPORT_FLOWS_H
#define SLUICE_ANALYZE_REPORT_FLOWS_H

#include "tools/analyze/report.h"

/* Print the flows that `report` asks for. start_ns: the clock at the first frame. */
void report_flows(struct out *out, struct analysis *a, const struct analysis_options *options,
	const struct report_options *report, uint64_t start_ns);

#endif
