/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What came at one port: all of it by number (lost, reordered, twice), and bytes and delays in the
 * windows that were asked for. Computed when the traffic is over.
 */
#include "traffic.h"

#include <stdio.h>
#include <stdlib.h>

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* The value that `share` (0 to 1) of them do not exceed; 0 of none. */
static int64_t percentile(const int64_t *sorted, size_t count, double share)
{
	size_t i = (size_t)(share * (double)count);

	return count == 0 ? 0 : sorted[i < count ? i : count - 1];
}

/* Reordered as in RFC 4737: a number below one that came before it. */
static void report_numbers(const struct arrivals *a)
{
	uint32_t next = 0, highest = 0;
	uint64_t reordered = 0, twice = 0;
	uint8_t *seen;

	for (size_t i = 0; i < a->count; i++)
		highest = a->list[i].number > highest ? a->list[i].number : highest;
	seen = calloc(highest / 8 + 1, 1);
	if (seen == NULL)
		die("memory");
	for (size_t i = 0; i < a->count; i++) {
		uint32_t n = a->list[i].number;

		if (seen[n / 8] & 1u << n % 8) {
			twice++;
			continue;
		}
		seen[n / 8] |= (uint8_t)(1u << n % 8);
		if (n < next)
			reordered++;
		else
			next = n + 1;
	}
	free(seen);
	printf("\"received\": %zu, \"highest\": %u, \"reordered\": %lu, \"twice\": %lu",
		a->count - twice, highest, reordered, twice);
}

static void report_windows(
	const struct options *o, const struct arrivals *a, uint64_t first_ns, uint64_t window_ns)
{
	uint64_t *bytes = calloc(o->windows, sizeof(*bytes));
	uint64_t *packets = calloc(o->windows, sizeof(*packets));
	uint64_t last_ns = 0, gap_ns = 0;

	if (bytes == NULL || packets == NULL)
		die("memory");
	for (size_t i = 0; i < a->count; i++) {
		const struct arrival *p = &a->list[i];
		uint64_t w;

		if (p->at_ns < first_ns || (w = (p->at_ns - first_ns) / window_ns) >= o->windows)
			continue;
		if (last_ns != 0 && p->at_ns > last_ns + gap_ns)
			gap_ns = p->at_ns - last_ns;
		last_ns = p->at_ns;
		packets[w]++;
		bytes[w] += (p->frame_bytes < FRAME_MIN ? FRAME_MIN : p->frame_bytes) + FRAME_GAP;
	}
	printf(", \"windows\": [");
	for (unsigned w = 0; w < o->windows; w++)
		printf("%s[%lu, %lu]", w ? ", " : "", packets[w], bytes[w]);
	printf("], \"gap_max_ns\": %lu", gap_ns);
	free(bytes);
	free(packets);
}

static void report_delays(const struct arrivals *a, uint64_t first_ns, uint64_t last_ns)
{
	int64_t *delays = malloc((a->count + 1) * sizeof(*delays));
	size_t n = 0;

	if (delays == NULL)
		die("memory");
	for (size_t i = 0; i < a->count; i++)
		if (a->list[i].at_ns >= first_ns && a->list[i].at_ns < last_ns)
			delays[n++] = (int64_t)(a->list[i].at_ns - a->list[i].sent_ns);
	qsort(delays, n, sizeof(*delays), compare);
	printf(", \"delay_ns\": {\"samples\": %zu, \"p50\": %ld, \"p90\": %ld, \"p99\": %ld, "
	       "\"max\": %ld}",
		n, percentile(delays, n, 0.5), percentile(delays, n, 0.9),
		percentile(delays, n, 0.99), percentile(delays, n, 1));
	free(delays);
}

void report_port(const struct options *o, uint16_t port, const struct arrivals *a)
{
	uint64_t window_ns = (uint64_t)(o->window_s * 1e9);
	uint64_t first_ns = (a->count ? a->list[0].at_ns : 0) + (uint64_t)(o->from_s * 1e9);

	printf("{\"port\": %u, \"marked\": %u, \"socket_drops\": %u, \"first_ns\": %lu, ", port,
		a->marked, a->socket_drops, a->count ? a->list[0].at_ns : 0);
	report_numbers(a);
	if (o->windows > 0)
		report_windows(o, a, first_ns, window_ns);
	report_delays(a, first_ns, o->windows > 0 ? first_ns + o->windows * window_ns : UINT64_MAX);
	if (o->series) {
		printf(", \"series\": [");
		for (size_t i = 0; i < a->count; i++)
			printf("%s[%.6f, %.6f]", i ? ", " : "", (double)a->list[i].at_ns / 1e9,
				(double)(int64_t)(a->list[i].at_ns - a->list[i].sent_ns) / 1e6);
		printf("]");
	}
	printf("}");
}
