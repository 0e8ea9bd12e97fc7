/* SPDX-License-Identifier: BSD-3-Clause */
/* `ping`: packets from the in-path address to a peer or another address and back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/cli/format.h"
#include "controlplane/cli/run.h"

static const char *const method_words[] = {"unknown", "stamp", "icmp", NULL};

struct ping_row {
	struct ping_record r;
	char address[FORMAT_MAX];
	double loss;
};

static const struct column columns[] = {
	COLUMN(TEXT, "peer", NULL, ping_row, r.peer),
	COLUMN(TEXT, "address", NULL, ping_row, address),
	COLUMN_OF_WORDS("method", NULL, ping_row, r.method, method_words),
	COLUMN(FLAG, "authenticated", NULL, ping_row, r.authenticated),
	COLUMN(NUMBER, "packet_bytes", NULL, ping_row, r.size),
	COLUMN(COUNT, "sent", NULL, ping_row, r.figures.sent),
	COLUMN(COUNT, "received", NULL, ping_row, r.figures.received),
	COLUMN(COUNT, "lost", NULL, ping_row, r.figures.lost),
	COLUMN(PERCENT, "loss", NULL, ping_row, loss),
	COLUMN(FLAG, "ways_known", NULL, ping_row, r.attributed),
	COLUMN(SIGNED, "lost_up", NULL, ping_row, r.figures.lost_up),
	COLUMN(SIGNED, "lost_down", NULL, ping_row, r.figures.lost_down),
	COLUMN(COUNT, "late", NULL, ping_row, r.figures.late),
	COLUMN(COUNT, "duplicate", NULL, ping_row, r.figures.duplicate),
	COLUMN(COUNT, "reordered", NULL, ping_row, r.figures.reordered),
	COLUMN(DIST, "rtt", NULL, ping_row, r.figures.rtt),
	COLUMN(DIST, "variation_up", NULL, ping_row, r.figures.up_variation),
	COLUMN(DIST, "variation_down", NULL, ping_row, r.figures.down_variation),
	COLUMN(TEXT, "trouble", NULL, ping_row, r.trouble),
};

static void print_head(struct cli *cli, const struct ping_row *row)
{
	const struct ping_record *r = &row->r;

	out_text(&cli->out, "%s%s%s by %s, packets of %llu bytes\n", r->peer,
		r->peer[0] != '\0' ? " " : "", row->address,
		r->method == PING_ICMP ? "ICMP echo"
		: r->authenticated     ? "STAMP, authenticated"
				       : "STAMP",
		(unsigned long long)r->size);
}

static void print_replies(struct cli *cli, const struct ping_record *r)
{
	char rtt[FORMAT_MAX];

	for (uint64_t i = 0; i < r->replies && i < PING_REPLIES; i++) {
		if (r->reply[i].rtt_ns == 0)
			out_text(&cli->out, "%4u  lost\n", r->reply[i].number + 1);
		else
			out_text(&cli->out, "%4u  %s  ttl %u\n", r->reply[i].number + 1,
				format_time(r->reply[i].rtt_ns, rtt), r->reply[i].ttl);
	}
	fflush(cli->out.text);
}

static void print_dist(struct cli *cli, const char *what, const struct channel_dist *d)
{
	char min[FORMAT_MAX], p50[FORMAT_MAX], p90[FORMAT_MAX], p99[FORMAT_MAX], max[FORMAT_MAX];

	if (d->samples > 0)
		out_text(&cli->out, "%-16s min %s, p50 %s, p90 %s, p99 %s, max %s\n", what,
			format_time(d->min_ns, min), format_time(d->p50_ns, p50),
			format_time(d->p90_ns, p90), format_time(d->p99_ns, p99),
			format_time(d->max_ns, max));
}

static void print_sum(struct cli *cli, const struct ping_row *row)
{
	const struct ping_record *r = &row->r;
	const struct stamp_figures *f = &r->figures;

	out_text(&cli->out, "%llu sent, %llu received, %llu lost", (unsigned long long)f->sent,
		(unsigned long long)f->received, (unsigned long long)f->lost);
	if (f->received + f->lost > 0)
		out_text(&cli->out, " (%.1f %%)", row->loss * 100);
	/* Behind the last answer nobody can tell. */
	long long unknown = (long long)(f->lost - f->late) - f->lost_up - f->lost_down;
	if (r->attributed && f->lost > 0)
		out_text(&cli->out, ": %lld on the way there, %lld on the way back",
			(long long)f->lost_up, (long long)f->lost_down);
	if (r->attributed && unknown > 0)
		out_text(&cli->out, ", %lld at the end not known where", unknown);
	if (f->duplicate > 0)
		out_text(&cli->out, ", %llu came twice", (unsigned long long)f->duplicate);
	if (f->reordered > 0)
		out_text(&cli->out, ", %llu out of order", (unsigned long long)f->reordered);
	if (f->late > 0)
		out_text(&cli->out, ", %llu came after 2 s", (unsigned long long)f->late);
	out_text(&cli->out, "\n");
	print_dist(cli, "round trip", &f->rtt);
	if (r->method == PING_STAMP) {
		print_dist(cli, "variation there", &f->up_variation);
		print_dist(cli, "variation back", &f->down_variation);
	}
}

/* Ask until it is done; *row is the last answer. 0, or 1 after saying what went wrong. */
static int follow(struct cli *cli, struct ping_request *q, struct ping_row *row, json_t *replies)
{
	bool has_head = false;

	q->action = RUN_POLL;
	do {
		run_wait();
		if (run_is_stopped())
			q->action = RUN_STOP;
		if (cli_record(cli, MESSAGE_PING, q, &row->r) != 0)
			return 1;
		format_address(row->r.address, row->address);
		if (!has_head && row->r.method != PING_AUTO && row->r.figures.sent > 0) {
			print_head(cli, row);
			has_head = true;
		}
		print_replies(cli, &row->r);
		for (uint64_t i = 0; i < row->r.replies && i < PING_REPLIES; i++)
			json_array_append_new(replies,
				row->r.reply[i].rtt_ns == 0
					? json_null()
					: json_integer((json_int_t)row->r.reply[i].rtt_ns));
		q->from = row->r.next;
	} while (q->action != RUN_STOP && (!row->r.done || row->r.replies == PING_REPLIES));
	return 0;
}

int cmd_ping(struct cli *cli, int argc, char **argv)
{
	struct cli_option options[] = {{.name = "--count"}, {.name = "--interval"},
		{.name = "--dscp"}, {.name = "--size"}, {.name = "--by"}};
	static const char *const by_words[] = {"stamp", "icmp", NULL};
	struct ping_request q = {.count = 10, .interval_ns = 200000000};
	struct ping_row row = {0};

	if (run_take_target(cli, "a peer or an address", argc, argv, q.target, sizeof(q.target)) ||
		cli_options(cli, argc - 1, argv + 1, options, COUNT_OF(options)) ||
		(options[0].value &&
			cli_number(cli, "--count", options[0].value, 1, 10000, &q.count)) ||
		(options[1].value &&
			run_take_time(cli, "--interval", options[1].value, &q.interval_ns)) ||
		(options[2].value && run_take_dscp(cli, options[2].value, &q.dscp)) ||
		(options[3].value &&
			cli_number(cli, "--size", options[3].value, 60, 9000, &q.size)) ||
		(options[4].value && cli_word(cli, "--by", options[4].value, by_words, &q.method)))
		return 1;
	if (options[4].value != NULL)
		q.method++;
	if (run_call(cli, MESSAGE_PING, &q) != 0)
		return 1;
	json_t *replies = json_array();
	run_begin();
	int code = follow(cli, &q, &row, replies);
	run_end();
	if (code != 0) {
		json_decref(replies);
		return code;
	}
	row.loss = cli_share(row.r.figures.lost, row.r.figures.received + row.r.figures.lost);
	if (cli->out.json) {
		json_t *object = out_json_record(columns, COUNT_OF(columns), &row);

		json_object_set(object, "rtts_ns", replies);
		json_object_set_new(cli->out.root, "ping", object);
	} else if (row.r.figures.sent > 0) {
		print_sum(cli, &row);
	}
	json_decref(replies);
	if (row.r.trouble[0] != '\0')
		return cli_error(cli, -EHOSTUNREACH, "%s", row.r.trouble);
	return row.r.figures.received == 0;
}
