/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What sluice-analyze prints: the captures, the sum, classes and flows, as text or JSON, with the
 * tables of controlplane/cli/out.h.
 */
#ifndef SLUICE_ANALYZE_REPORT_H
#define SLUICE_ANALYZE_REPORT_H

#include "controlplane/cli/out.h"
#include "tools/analyze/analysis.h"

enum report_by {
	BY_BYTES,
	BY_PACKETS,
	BY_RTT,
	BY_CONNECT,
	BY_RETRANSMITS,
	BY_REORDERED,
	BY_START,
	BY_REQUESTS,
	BY_FIRST_BYTE,
	BY_COUNT
};
extern const char *const report_by_words[]; /* ends with NULL */

struct report_options {
	enum report_by by;
	uint64_t top;	   /* flows shown, 0: all */
	bool flows;	   /* show flows at all */
	bool full;	   /* every figure of each flow, a line each */
	bool transactions; /* text: of the flows that had a connection or request, these figures */
};

/* Print all of it. `link_type`: of the first file. */
void report_print(struct out *out, struct analysis *a, const struct analysis_options *options,
	const struct report_options *report, const struct capture_stats *stats,
	const struct capture_clock *clock, uint64_t files, const char *link_type);

#endif
