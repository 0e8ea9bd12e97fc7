/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: any bytes as a capture file, through libpcap and all of sluice-analyze up to the
 * report (tests/fuzz/corpus/analyze). The first byte chooses options, the rest is the file.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tools/analyze/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void analyze(struct capture *c, unsigned choice, FILE *nowhere)
{
	struct analysis_options options = {
		.live_max = 64, .inside = choice & 1, .any_vlan = choice >> 1 & 1};
	struct report_options report = {.top = 5,
		.flows = true,
		.full = choice >> 2 & 1,
		.by = (enum report_by)((choice >> 4) % BY_COUNT)};
	struct capture_clock clock = {0};
	struct capture_stats stats = {0};
	struct capture_frame frame;
	struct out out = {.json = choice >> 3 & 1, .text = nowhere};
	char error[CAPTURE_ERROR_MAX];
	struct analysis *a = analysis_create(&options);

	if (a == NULL)
		abort();
	while (capture_next(c, &clock, &stats, &frame, error) == 1)
		analysis_frame(a, &frame);
	out_start(&out);
	report_print(&out, a, &options, &report, &stats, &clock, 1, capture_link_type(c));
	if (out_finish(&out) != 0)
		abort();
	analysis_destroy(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *nowhere;
	char error[CAPTURE_ERROR_MAX];
	struct capture *c;

	if (size < 2)
		return 0;
	if (nowhere == NULL) {
		nowhere = fopen("/dev/null", "w");
		if (nowhere == NULL || analysis_start_eal("fuzz") != 0)
			abort();
	}
	c = capture_open_stream(
		fmemopen((void *)(uintptr_t)(data + 1), size - 1, "rb"), NULL, error);
	if (c == NULL)
		return 0;
	analyze(c, data[0], nowhere);
	capture_close(c);
	return 0;
}
