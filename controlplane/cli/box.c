/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `show box`: how long packets are in the box, how much of that they wait in its queues, and the
 * cycles that the stages take for them, by class and way. The cycles of all packets are in
 * workers.c, what was dropped in drops.c.
 */
#include <math.h>

#include "controlplane/channel/counters.h"
#include "controlplane/cli/cli.h"

struct box_row {
	struct box_record r;
	uint64_t cost_packets;	   /* that the cycles are known of */
	double cycles;		   /* of a packet, all stages that it went through */
	double stage[STAGE_COUNT]; /* of these each */
};

static const struct column columns[] = {
	COLUMN(TEXT, "class", "CLASS", box_row, r.class_name),
	COLUMN_OF_WORDS("way", "WAY", box_row, r.way, out_way_words),
	COLUMN(COUNT, NULL, "PACKETS", box_row, r.box.samples),
	COLUMN(TIME, NULL, "BOX p50", box_row, r.box.p50_ns),
	COLUMN(TIME, NULL, "p90", box_row, r.box.p90_ns),
	COLUMN(TIME, NULL, "p99", box_row, r.box.p99_ns),
	COLUMN(TIME, NULL, "p99.9", box_row, r.box.p999_ns),
	COLUMN(TIME, NULL, "MAX", box_row, r.box.max_ns),
	COLUMN(TIME, NULL, "QUEUE p50", box_row, r.queue.p50_ns),
	COLUMN(TIME, NULL, "p99", box_row, r.queue.p99_ns),
	COLUMN(TIME, NULL, "MAX", box_row, r.queue.max_ns),
	COLUMN(RATIO, "cycles", "CYCLES", box_row, cycles),
	COLUMN(COUNT, "cycles_packets", "OF PACKETS", box_row, cost_packets),
#define STAGE(id, name, text) COLUMN(RATIO, "cycles_" name, NULL, box_row, stage[STAGE_##id]),
#include "controlplane/channel/stages.def"
#undef STAGE
	COLUMN(DIST, "box", NULL, box_row, r.box),
	COLUMN(DIST, "queue", NULL, box_row, r.queue),
	COLUMN(NUMBER, "window_ns", NULL, box_row, r.window_ns),
};

static void make_row(const struct box_record *r, struct box_row *row)
{
	row->r = *r;
	row->cycles = NAN;
	for (unsigned s = 0; s < STAGE_COUNT; s++) {
		row->stage[s] = cli_share(r->stage[s].cycles, r->stage[s].packets);
		if (r->stage[s].packets == 0)
			continue;
		row->cycles = (isnan(row->cycles) ? 0 : row->cycles) + row->stage[s];
		if (r->stage[s].packets > row->cost_packets)
			row->cost_packets = r->stage[s].packets;
	}
}

int cmd_show_box(struct cli *cli, int argc, char **argv)
{
	struct cli_option options[] = {{.name = "--class"}, {.name = "--window"}};
	struct window_request request = {0};
	struct rows records, rows = {.row_bytes = sizeof(struct box_row)};
	uint64_t window_ns = 0;

	if (cli_options(cli, argc, argv, options, 2) != 0 ||
		cli_window(cli, options[1].value, &request.window) != 0 ||
		cli_list(cli, MESSAGE_BOX, &request, &records) != 0)
		return 1;
	if (cli_keep(cli, "class", options[0].value, offsetof(struct box_row, r.class_name),
		    &records) != 0)
		return 1;
	for (size_t i = 0; i < records.count; i++) {
		const struct box_record *r = rows_at(&records, i);

		struct box_row *row = rows_add(&rows);

		window_ns = r->window_ns > window_ns ? r->window_ns : window_ns;
		if (row != NULL)
			make_row(r, row);
	}
	cli_say_window(cli, request.window, window_ns);
	out_table(&cli->out, "box", columns, COUNT_OF(columns), &rows, "no classes");
	rows_free(&rows);
	rows_free(&records);
	return 0;
}
