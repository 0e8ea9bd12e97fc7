/* SPDX-License-Identifier: BSD-3-Clause */
/* `trace`: the routers on the way to a peer or another address, with loss and times of each. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/cli/format.h"
#include "controlplane/cli/run.h"

struct trace_row {
	struct trace_record r;
	char address[FORMAT_MAX + 16]; /* of the last answer, and how many others there were */
	double loss;
};

static const struct column columns[] = {
	COLUMN(NUMBER, "hop", "HOP", trace_row, r.hop),
	COLUMN(TEXT, "address", "ADDRESS", trace_row, address),
	COLUMN(COUNT, "sent", "SENT", trace_row, r.sent),
	COLUMN(COUNT, "received", NULL, trace_row, r.received),
	COLUMN(PERCENT, "loss", "LOSS", trace_row, loss),
	COLUMN(TIME, "last_ns", "LAST", trace_row, r.last_ns),
	COLUMN(TIME, NULL, "MIN", trace_row, r.rtt.min_ns),
	COLUMN(TIME, NULL, "p50", trace_row, r.rtt.p50_ns),
	COLUMN(TIME, NULL, "p90", trace_row, r.rtt.p90_ns),
	COLUMN(TIME, NULL, "p99", trace_row, r.rtt.p99_ns),
	COLUMN(TIME, NULL, "MAX", trace_row, r.rtt.max_ns),
	COLUMN(DIST, "rtt", NULL, trace_row, r.rtt),
};

static int fill_rows(const struct rows *records, struct rows *rows)
{
	*rows = (struct rows){.row_bytes = sizeof(struct trace_row)};
	for (size_t i = 0; i < records->count; i++) {
		const struct trace_record *r = rows_at(records, i);
		char address[FORMAT_MAX] = "-";

		if (r->hop == 0)
			continue;
		struct trace_row *row = rows_add(rows);
		if (row == NULL)
			return 1;
		row->r = *r;
		row->loss = cli_share(r->sent - r->received, r->sent);
		if (r->addresses > 0)
			format_address(r->address[0], address);
		snprintf(row->address, sizeof(row->address), "%s", address);
		if (r->addresses > 1)
			snprintf(row->address + strlen(row->address),
				sizeof(row->address) - strlen(row->address), " (+%u)",
				(unsigned)r->addresses - 1);
	}
	return 0;
}

/* The table so far, in place of what the last call printed; returns its lines. */
static unsigned repaint(struct cli *cli, const struct rows *records, unsigned lines)
{
	FILE *out = cli->out.text;
	struct rows rows;
	char *text = NULL;
	size_t len = 0;

	if (fill_rows(records, &rows) == 0) {
		cli->out.text = open_memstream(&text, &len);
		if (cli->out.text != NULL) {
			out_table(&cli->out, "hops", columns, COUNT_OF(columns), &rows,
				"no answer yet");
			fclose(cli->out.text);
		}
		cli->out.text = out;
	}
	if (lines > 0)
		fprintf(out, "\033[%uA\033[J", lines);
	lines = 0;
	if (text != NULL)
		fputs(text, out);
	for (const char *c = text; c != NULL && *c != '\0'; c++)
		lines += *c == '\n';
	fflush(out);
	free(text);
	rows_free(&rows);
	return lines;
}

/* Ask until it is done; *records is the last answer. 0, or 1 after saying what went wrong. */
static int follow(struct cli *cli, struct trace_request *q, struct rows *records)
{
	bool live = !cli->out.json && isatty(STDOUT_FILENO);
	const struct trace_record *r;
	unsigned lines = 0;

	q->action = RUN_POLL;
	*records = (struct rows){0};
	do {
		run_wait();
		if (run_is_stopped())
			q->action = RUN_STOP;
		rows_free(records);
		if (cli_list(cli, MESSAGE_TRACE, q, records) != 0)
			return 1;
		if (records->count == 0)
			return cli_error(cli, -ENODATA, "the daemon tells nothing of the trace");
		r = rows_at(records, 0);
		if (live)
			lines = repaint(cli, records, lines);
	} while (q->action != RUN_STOP && !r->done);
	if (live && lines > 0) {
		out_text(&cli->out, "\033[%uA\033[J", lines);
		fflush(cli->out.text);
	}
	return 0;
}

static int print(struct cli *cli, const struct rows *records)
{
	const struct trace_record *r = rows_at(records, 0);
	char target[FORMAT_MAX];
	struct rows rows;

	if (fill_rows(records, &rows) != 0)
		return cli_error(cli, -ENOMEM, "no memory for the hops");
	format_address(r->target, target);
	out_text(&cli->out, "%s%s%s by ICMP echo, %llu rounds\n", r->peer,
		r->peer[0] != '\0' ? " " : "", target, (unsigned long long)r->rounds);
	out_table(
		&cli->out, "hops", columns, COUNT_OF(columns), &rows, "nobody on the way answers");
	rows_free(&rows);
	if (cli->out.json) {
		json_object_set_new(cli->out.root, "target", out_json_string(target, FORMAT_MAX));
		json_object_set_new(cli->out.root, "reached", json_boolean(r->reached != 0));
		json_object_set_new(cli->out.root, "rounds", json_integer((json_int_t)r->rounds));
	}
	if (r->trouble[0] != '\0')
		return cli_error(cli, -EHOSTUNREACH, "%s", r->trouble);
	if (!r->reached)
		return cli_error(cli, -EHOSTUNREACH, "%s does not answer", target);
	return 0;
}

int cmd_trace(struct cli *cli, int argc, char **argv)
{
	struct cli_option options[] = {{.name = "--count"}, {.name = "--interval"},
		{.name = "--dscp"}, {.name = "--size"}, {.name = "--hops"}};
	struct trace_request q = {.rounds = 10, .interval_ns = 1000000000, .max_hops = 30};
	struct rows records;

	if (run_take_target(cli, "a peer or an address", argc, argv, q.target, sizeof(q.target)) ||
		cli_options(cli, argc - 1, argv + 1, options, COUNT_OF(options)) ||
		(options[0].value &&
			cli_number(cli, "--count", options[0].value, 1, 1000, &q.rounds)) ||
		(options[1].value &&
			run_take_time(cli, "--interval", options[1].value, &q.interval_ns)) ||
		(options[2].value && run_take_dscp(cli, options[2].value, &q.dscp)) ||
		(options[3].value &&
			cli_number(cli, "--size", options[3].value, 60, 9000, &q.size)) ||
		(options[4].value &&
			cli_number(cli, "--hops", options[4].value, 1, 32, &q.max_hops)) ||
		run_call(cli, MESSAGE_TRACE, &q))
		return 1;
	run_begin();
	int code = follow(cli, &q, &records);
	run_end();
	if (code == 0)
		code = print(cli, &records);
	rows_free(&records);
	return code;
}
