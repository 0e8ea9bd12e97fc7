/* SPDX-License-Identifier: BSD-3-Clause */
/* The report of sluice-analyze. report.h is the manual. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/cli/transaction_rows.h"
#include "dataplane/measure/record.h"
#include "tools/analyze/report.h"
#include "tools/analyze/report_flows.h"
#include "tools/analyze/transactions.h"

/* ---- captures ---- */

struct capture_row {
	uint64_t files;
	char link_type[96];
	uint64_t first_ns, duration_ns;
	struct capture_stats stats;
	struct analysis_rest rest;
	uint64_t evicted;
};

#define CAPTURE_ALWAYS 5 /* of these columns; of the others people see what is not 0 */
static const struct column capture_columns[] = {
	COLUMN(NUMBER, "files", "files", capture_row, files),
	COLUMN(TEXT, "link_type", "link type", capture_row, link_type),
	COLUMN(DATE, "first_ns", "first frame", capture_row, first_ns),
	COLUMN(TIME, "duration_ns", "duration", capture_row, duration_ns),
	COLUMN(COUNT, "frames", "frames", capture_row, stats.frames),
	COLUMN(COUNT, "cut", "captured in part", capture_row, stats.cut),
	COLUMN(COUNT, "not_ip", "not IP", capture_row, rest.not_ip),
	COLUMN(COUNT, "no_network_layer", "unknown link header", capture_row,
		stats.no_network_layer),
	COLUMN(COUNT, "headers_cut", "headers not captured", capture_row, rest.headers_cut),
	COLUMN(COUNT, "not_understood", "not understood", capture_row, rest.not_understood),
	COLUMN(COUNT, "back_in_time", "times before an earlier one", capture_row, stats.back),
	COLUMN(TIME, "back_most_ns", "  by at most", capture_row, stats.back_most_ns),
	COLUMN(COUNT, "clock_steps", "  clock set back", capture_row, stats.steps),
	COLUMN(COUNT, "flows_evicted", "flows forgotten for others", capture_row, evicted),
	COLUMN(COUNT, "beyond_flows", "frames in the sum only", capture_row, rest.beyond_flows),
};

/* ---- classes, and the sum of all ---- */

struct sum_row {
	char name[POLICY_NAME_MAX];
	uint64_t flows, packets[2], bytes[2];
	struct channel_dist rtt_lan, rtt_wan, connect;
	uint64_t data_packets[2], retransmits[2];
	uint64_t retransmits_before[2], retransmits_after[2], retransmits_needless[2];
	uint64_t reordered[2], zero_windows[2];
	uint64_t connections, failed, resets;
};

#define SUM_BOTH(kind, key, title, field)                                                          \
	COLUMN(kind, key "_up", title " UP", sum_row, field[FROM_LAN]),                            \
		COLUMN(kind, key "_down", title " DOWN", sum_row, field[FROM_WAN])
#define SUM_JSON(kind, key, field)                                                                 \
	COLUMN(kind, key "_up", NULL, sum_row, field[FROM_LAN]),                                   \
		COLUMN(kind, key "_down", NULL, sum_row, field[FROM_WAN])

static const struct column class_columns[] = {
	COLUMN(TEXT, "class", "CLASS", sum_row, name),
	COLUMN(COUNT, "flows", "FLOWS", sum_row, flows),
	SUM_BOTH(COUNT, "packets", "PKTS", packets),
	SUM_BOTH(BYTES, "bytes", "BYTES", bytes),
	COLUMN(TIME, NULL, "CONNECT p50", sum_row, connect.p50_ns),
	COLUMN(TIME, NULL, "LAN p50", sum_row, rtt_lan.p50_ns),
	COLUMN(TIME, NULL, "WAN p50", sum_row, rtt_wan.p50_ns),
	COLUMN(TIME, NULL, "p90", sum_row, rtt_wan.p90_ns),
	COLUMN(DIST, "rtt_lan", NULL, sum_row, rtt_lan),
	COLUMN(DIST, "rtt_wan", NULL, sum_row, rtt_wan),
	COLUMN(DIST, "connect", NULL, sum_row, connect),
	SUM_JSON(COUNT, "data_packets", data_packets),
	SUM_BOTH(COUNT, "retransmits", "AGAIN", retransmits),
	SUM_JSON(COUNT, "retransmits_before", retransmits_before),
	SUM_JSON(COUNT, "retransmits_after", retransmits_after),
	SUM_JSON(COUNT, "retransmits_needless", retransmits_needless),
	SUM_BOTH(COUNT, "reordered", "LATE", reordered),
	SUM_JSON(COUNT, "zero_windows", zero_windows),
	COLUMN(COUNT, "connections", "CONNECTED", sum_row, connections),
	COLUMN(COUNT, "failed", "FAILED", sum_row, failed),
	COLUMN(COUNT, "resets", "RESET", sum_row, resets),
};

static void fill_sum(struct sum_row *row, const char *name, const struct analysis_class *class)
{
	const struct measure_class *m = class->measure;

	snprintf(row->name, sizeof(row->name), "%s", name);
	row->flows = class->flows;
	memcpy(row->packets, class->packets, sizeof(row->packets));
	memcpy(row->bytes, class->bytes, sizeof(row->bytes));
	if (m == NULL)
		return;
	row->rtt_lan = measure_dist(&m->rtt_lan);
	row->rtt_wan = measure_dist(&m->rtt_wan);
	row->connect = measure_dist(&m->connect);
	for (unsigned from = 0; from < 2; from++) {
		row->data_packets[from] = m->data_packets[from];
		row->retransmits_before[from] = m->retransmits_before[from];
		row->retransmits_after[from] = m->retransmits_after[from];
		row->retransmits_needless[from] = m->retransmits_needless[from];
		row->retransmits[from] = m->retransmits_before[from] + m->retransmits_after[from] +
					 m->retransmits_needless[from];
		row->reordered[from] = m->reordered[from];
		row->zero_windows[from] = m->zero_windows[from];
	}
	row->connections = m->connections;
	row->failed = m->failed;
	row->resets = m->resets;
}

/* Merge figures that a class may not have into those of the sum, which then exist. */
#define MERGE(sum, class, field, merge)                                                            \
	do {                                                                                       \
		if ((class)->field == NULL)                                                        \
			break;                                                                     \
		if ((sum)->field == NULL)                                                          \
			(sum)->field = calloc(1, sizeof(*(sum)->field));                           \
		if ((sum)->field == NULL)                                                          \
			errx(1, "no memory for the sum");                                          \
		merge((sum)->field, (class)->field);                                               \
	} while (0)

static void sum_classes(const struct analysis *a, struct analysis_class *sum)
{
	*sum = (struct analysis_class){0};
	for (uint32_t i = 0; i < analysis_class_count(a); i++) {
		const struct analysis_class *class = analysis_class(a, i);

		sum->flows += class->flows;
		sum->open += class->open;
		for (unsigned from = 0; from < 2; from++) {
			sum->packets[from] += class->packets[from];
			sum->bytes[from] += class->bytes[from];
		}
		MERGE(sum, class, measure, measure_class_merge);
		MERGE(sum, class, datagrams, measure_datagrams_merge);
		MERGE(sum, class, transactions, measure_transactions_merge);
	}
}

static void free_sum(struct analysis_class *sum)
{
	free(sum->measure);
	free(sum->datagrams);
	free(sum->transactions);
}

static struct sum_row *add_sum_row(
	struct rows *rows, const char *name, const struct analysis_class *class)
{
	struct sum_row *row = rows_add(rows);

	if (row == NULL)
		errx(1, "no memory for a table of classes");
	fill_sum(row, name, class);
	return row;
}

static void print_classes(struct out *out, const struct analysis *a, const struct policy *policy,
	const struct analysis_class *total)
{
	struct rows classes = {.row_bytes = sizeof(struct sum_row)};
	struct rows sum = {.row_bytes = sizeof(struct sum_row)};

	for (uint32_t i = 0; policy != NULL && i < analysis_class_count(a); i++)
		if (analysis_class(a, i)->flows > 0)
			add_sum_row(&classes, policy->classes[i].name, analysis_class(a, i));
	if (out->json)
		json_object_set_new(out->root, "sum",
			out_json_record(class_columns, COUNT_OF(class_columns),
				add_sum_row(&sum, "all", total)));
	else
		add_sum_row(&classes, "all", total);
	if (!out->json || policy != NULL)
		out_table(out, "classes", class_columns, COUNT_OF(class_columns), &classes, "");
	rows_free(&classes);
	rows_free(&sum);
}

/* The same of transactions. */
static void print_transactions(struct out *out, const struct analysis *a,
	const struct policy *policy, const struct analysis_class *total, uint64_t duration_ns)
{
	struct rows classes = {.row_bytes = sizeof(struct transaction_row)};
	struct rows sum = {.row_bytes = sizeof(struct transaction_row)};
	struct transactions_record r;

	for (uint32_t i = 0; policy != NULL && i < analysis_class_count(a); i++) {
		if (analysis_class(a, i)->flows == 0)
			continue;
		transactions_record_of(
			analysis_class(a, i), policy->classes[i].name, duration_ns, &r);
		transaction_rows_add(&classes, &r);
	}
	transactions_record_of(total, "all", duration_ns, &r);
	transaction_rows_add(out->json ? &sum : &classes, &r);
	if (out->json)
		out_table(out, "transactions", transaction_columns, transaction_column_count, &sum,
			"");
	if (!out->json || policy != NULL)
		out_table(out, "class_transactions", transaction_columns, transaction_column_count,
			&classes, "");
	rows_free(&classes);
	rows_free(&sum);
}

void report_print(struct out *out, struct analysis *a, const struct analysis_options *options,
	const struct report_options *report, const struct capture_stats *stats,
	const struct capture_clock *clock, uint64_t files, const char *link_type)
{
	struct capture_row row = {
		.files = files,
		.first_ns = stats->first_ns,
		.duration_ns = clock->now_ns - clock->start_ns,
		.stats = *stats,
		.rest = *analysis_rest(a),
		.evicted = analysis_evicted(a),
	};

	struct column shown[COUNT_OF(capture_columns)];
	struct analysis_class total;
	size_t n = 0;

	snprintf(row.link_type, sizeof(row.link_type), "%s", link_type);
	for (size_t i = 0; i < COUNT_OF(capture_columns); i++) {
		const struct column *c = &capture_columns[i];
		uint64_t number;

		memcpy(&number, (const char *)&row + c->offset, sizeof(number));
		if (out->json || i < CAPTURE_ALWAYS || number != 0)
			shown[n++] = *c;
	}
	out_record(out, "capture", shown, n, &row);
	out_text(out, "\n");
	analysis_finish(a);
	sum_classes(a, &total);
	print_classes(out, a, options->policy, &total);
	out_text(out, "\n");
	print_transactions(out, a, options->policy, &total, row.duration_ns);
	free_sum(&total);
	if (!report->flows)
		return;
	out_text(out, "\n");
	report_flows(out, a, options, report, clock->start_ns);
}
