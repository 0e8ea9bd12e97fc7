/* SPDX-License-Identifier: BSD-3-Clause */
/* `show rtt`: each class's round-trip times, one row a half of the path and a way to measure it. */
#include <string.h>

#include "controlplane/cli/cli.h"

static const char *const half_words[] = {"lan", "wan", "connect", NULL};
static const char *const by_words[] = {"tcp", "icmp", "dns", "quic", NULL};

struct rtt_row {
	char class_name[CHANNEL_NAME_MAX];
	uint64_t half, by, window_ns;
	struct channel_dist dist;
	uint64_t delayed;
};

static const struct column columns[] = {
	COLUMN(TEXT, "class", "CLASS", rtt_row, class_name),
	COLUMN_OF_WORDS("half", "HALF", rtt_row, half, half_words),
	COLUMN_OF_WORDS("by", "BY", rtt_row, by, by_words),
	COLUMN(COUNT, "samples", "SAMPLES", rtt_row, dist.samples),
	COLUMN(COUNT, "delayed", "DELAYED", rtt_row, delayed),
	COLUMN(TIME, "min_ns", "MIN", rtt_row, dist.min_ns),
	COLUMN(TIME, "p50_ns", "p50", rtt_row, dist.p50_ns),
	COLUMN(TIME, "p90_ns", "p90", rtt_row, dist.p90_ns),
	COLUMN(TIME, "p99_ns", "p99", rtt_row, dist.p99_ns),
	COLUMN(TIME, "p999_ns", "p99.9", rtt_row, dist.p999_ns),
	COLUMN(TIME, "max_ns", "MAX", rtt_row, dist.max_ns),
	COLUMN(NUMBER, "window_ns", NULL, rtt_row, window_ns),
};

static void add_row(struct rows *rows, const struct rtt_record *r, uint64_t half, uint64_t by,
	const struct channel_dist *dist, uint64_t delayed)
{
	struct rtt_row *row = rows_add(rows);

	if (row == NULL)
		return;
	memcpy(row->class_name, r->class_name, sizeof(row->class_name));
	row->half = half;
	row->by = by;
	row->window_ns = r->window_ns;
	row->dist = *dist;
	row->delayed = delayed;
}

int cmd_show_rtt(struct cli *cli, int argc, char **argv)
{
	struct rows rows = {.row_bytes = sizeof(struct rtt_row)}, records;
	struct cli_option options[] = {{.name = "--class"}, {.name = "--window"}};
	struct window_request request = {0};
	uint64_t window_ns = 0;

	if (cli_options(cli, argc, argv, options, 2) != 0 ||
		cli_window(cli, options[1].value, &request.window) != 0 ||
		cli_list(cli, MESSAGE_RTT, &request, &records) != 0)
		return 1;
	if (cli_keep(cli, "class", options[0].value, offsetof(struct rtt_record, class_name),
		    &records) != 0)
		return 1;
	for (size_t i = 0; i < records.count; i++) {
		const struct rtt_record *r = rows_at(&records, i);
		const struct channel_dist *tcp[] = {&r->lan, &r->wan, &r->connect};
		const uint64_t delayed[] = {r->lan_delayed, r->wan_delayed, 0};
		const struct channel_dist *others[] = {r->icmp, r->dns, r->quic};

		if (r->window_ns > window_ns)
			window_ns = r->window_ns;
		for (uint64_t half = 0; half < COUNT_OF(tcp); half++)
			add_row(&rows, r, half, 0, tcp[half], delayed[half]);
		/* Of the others those that there were. */
		for (uint64_t by = 0; by < COUNT_OF(others); by++)
			for (uint64_t half = 0; half < 2; half++)
				if (others[by][half].samples > 0)
					add_row(&rows, r, half, by + 1, &others[by][half], 0);
	}
	cli_say_window(cli, request.window, window_ns);
	out_table(&cli->out, "rtt", columns, COUNT_OF(columns), &rows, "no classes");
	rows_free(&rows);
	rows_free(&records);
	return 0;
}
