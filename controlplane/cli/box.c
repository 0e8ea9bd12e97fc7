/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `show box`: how long packets are in the box, and how much of that they wait in its queues, by
 * class and way. The cycles of each stage are in workers.c, what was dropped in drops.c.
 */
#include "controlplane/cli/cli.h"

static const struct column columns[] = {
	COLUMN(TEXT, "class", "CLASS", box_record, class_name),
	COLUMN_OF_WORDS("way", "WAY", box_record, way, out_way_words),
	COLUMN(COUNT, NULL, "PACKETS", box_record, box.samples),
	COLUMN(TIME, NULL, "BOX p50", box_record, box.p50_ns),
	COLUMN(TIME, NULL, "p90", box_record, box.p90_ns),
	COLUMN(TIME, NULL, "p99", box_record, box.p99_ns),
	COLUMN(TIME, NULL, "p99.9", box_record, box.p999_ns),
	COLUMN(TIME, NULL, "MAX", box_record, box.max_ns),
	COLUMN(TIME, NULL, "QUEUE p50", box_record, queue.p50_ns),
	COLUMN(TIME, NULL, "p99", box_record, queue.p99_ns),
	COLUMN(TIME, NULL, "MAX", box_record, queue.max_ns),
	COLUMN(DIST, "box", NULL, box_record, box),
	COLUMN(DIST, "queue", NULL, box_record, queue),
	COLUMN(NUMBER, "window_ns", NULL, box_record, window_ns),
};

int cmd_show_box(struct cli *cli, int argc, char **argv)
{
	struct cli_option options[] = {{.name = "--class"}, {.name = "--window"}};
	struct window_request request = {0};
	struct rows records;
	uint64_t window_ns = 0;

	if (cli_options(cli, argc, argv, options, 2) != 0 ||
		cli_window(cli, options[1].value, &request.window) != 0 ||
		cli_list(cli, MESSAGE_BOX, &request, &records) != 0)
		return 1;
	if (cli_keep(cli, "class", options[0].value, offsetof(struct box_record, class_name),
		    &records) != 0)
		return 1;
	for (size_t i = 0; i < records.count; i++) {
		const struct box_record *r = rows_at(&records, i);

		window_ns = r->window_ns > window_ns ? r->window_ns : window_ns;
	}
	cli_say_window(cli, request.window, window_ns);
	out_table(&cli->out, "box", columns, COUNT_OF(columns), &records, "no classes");
	rows_free(&records);
	return 0;
}
