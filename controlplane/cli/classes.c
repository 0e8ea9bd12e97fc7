/* SPDX-License-Identifier: BSD-3-Clause */
/* `show classes`: what each class was promised, and what it got. */
#include <math.h>
#include <string.h>

#include "controlplane/cli/cli.h"

struct class_row {
	struct class_record r;
	double ratio; /* original over wire bytes */
};

static const struct column columns[] = {
	COLUMN(TEXT, "name", "CLASS", class_row, r.name),
	COLUMN(TEXT, "bridge", "BRIDGE", class_row, r.bridge),
	COLUMN_OF_WORDS("way", "WAY", class_row, r.way, out_way_words),
	COLUMN(NUMBER, "priority", "PRIO", class_row, r.priority),
	COLUMN(NUMBER, "weight", "WEIGHT", class_row, r.weight),
	COLUMN(LIMIT, "assured_bps", "ASSURED", class_row, r.assured_bps),
	COLUMN(LIMIT, "ceil_bps", "CEIL", class_row, r.ceil_bps),
	COLUMN(LIMIT, "flow_rate_bps", "PER FLOW", class_row, r.flow_rate_bps),
	COLUMN(RATE, "rate_bps", "RATE", class_row, r.rate_bps),
	COLUMN(COUNT, "sent_packets", "PACKETS", class_row, r.sent_packets),
	COLUMN(BYTES, "sent_bytes", "BYTES", class_row, r.sent_bytes),
	COLUMN(BYTES, "original_bytes", NULL, class_row, r.original_bytes),
	COLUMN(BYTES, "wire_bytes", "ON WIRE", class_row, r.wire_bytes),
	COLUMN(RATIO, "ratio", "RATIO", class_row, ratio),
	COLUMN(BYTES, "borrowed_bytes", "BORROWED", class_row, r.borrowed_bytes),
	COLUMN(COUNT, "backlog_packets", "WAITING", class_row, r.backlog_packets),
	COLUMN(BYTES, "backlog_bytes", NULL, class_row, r.backlog_bytes),
	COLUMN(COUNT, "backlog_flows", NULL, class_row, r.backlog_flows),
	COLUMN(COUNT, "dropped_tail", "TAIL DROPS", class_row, r.dropped_tail),
	COLUMN(COUNT, "dropped_aqm", "AQM DROPS", class_row, r.dropped_aqm),
	COLUMN(COUNT, "marked", "MARKED", class_row, r.marked),
	COLUMN(DIST, "queue_delay", NULL, class_row, r.queue_delay),
	COLUMN(DIST, "box_time", NULL, class_row, r.box_time),
	COLUMN(TIME, NULL, "QUEUE p50", class_row, r.queue_delay.p50_ns),
	COLUMN(TIME, NULL, "p99", class_row, r.queue_delay.p99_ns),
	COLUMN(TIME, NULL, "BOX p50", class_row, r.box_time.p50_ns),
	COLUMN(TIME, NULL, "p99", class_row, r.box_time.p99_ns),
};

static const struct column brief_columns[] = {
	COLUMN(TEXT, NULL, "CLASS", class_row, r.name),
	COLUMN(TEXT, NULL, "BRIDGE", class_row, r.bridge),
	COLUMN_OF_WORDS(NULL, "WAY", class_row, r.way, out_way_words),
	COLUMN(RATE, NULL, "RATE", class_row, r.rate_bps),
	COLUMN(LIMIT, NULL, "CEIL", class_row, r.ceil_bps),
	COLUMN(RATIO, NULL, "RATIO", class_row, ratio),
	COLUMN(COUNT, NULL, "WAITING", class_row, r.backlog_packets),
	COLUMN(COUNT, NULL, "TAIL DROPS", class_row, r.dropped_tail),
	COLUMN(COUNT, NULL, "AQM DROPS", class_row, r.dropped_aqm),
	COLUMN(TIME, NULL, "QUEUE p99", class_row, r.queue_delay.p99_ns),
};

void classes_print(struct cli *cli, const struct rows *records, bool brief)
{
	struct rows rows = {.row_bytes = sizeof(struct class_row)};

	for (size_t i = 0; i < records->count; i++) {
		struct class_row *row = rows_add(&rows);

		if (row == NULL)
			break;
		row->r = *(const struct class_record *)rows_at(records, i);
		row->ratio = cli_share(row->r.original_bytes, row->r.wire_bytes);
	}
	if (brief)
		out_table(&cli->out, "classes", brief_columns, COUNT_OF(brief_columns), &rows,
			"no classes");
	else
		out_table(&cli->out, "classes", columns, COUNT_OF(columns), &rows, "no classes");
	rows_free(&rows);
}

int cmd_show_classes(struct cli *cli, int argc, char **argv)
{
	struct cli_option options[] = {{.name = "--class"}};
	struct page_request request = {0};
	struct rows rows;

	if (cli_options(cli, argc, argv, options, 1) != 0 ||
		cli_list(cli, MESSAGE_CLASSES, &request, &rows) != 0)
		return 1;
	if (cli_keep(cli, "class", options[0].value, offsetof(struct class_record, name), &rows) !=
		0)
		return 1;
	classes_print(cli, &rows, false);
	rows_free(&rows);
	return 0;
}
