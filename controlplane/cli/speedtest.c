/* SPDX-License-Identifier: BSD-3-Clause */
/* `speedtest`: what rate the path to a peer carries, from here to there. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/cli/format.h"
#include "controlplane/cli/run.h"

#define DSCP_LOWER_EFFORT 1 /* RFC 8622 */

static const char *const end_words[] = {"running", "duration", "bytes", "failed", NULL};

struct speed_row {
	struct speedtest_record r;
	uint64_t lost;
	double loss;
};

static const struct column columns[] = {
	COLUMN(TEXT, "peer", NULL, speed_row, r.peer),
	COLUMN(RATE, "rate_bps", NULL, speed_row, r.rate_bps),
	COLUMN(TIME, "measured_ns", NULL, speed_row, r.measured_ns),
	COLUMN(FLAG, "saturated", NULL, speed_row, r.saturated),
	COLUMN(RATE, "offered_max_bps", NULL, speed_row, r.limit_bps),
	COLUMN(NUMBER, "packet_bytes", NULL, speed_row, r.packet_bytes),
	COLUMN(COUNT, "sent_packets", NULL, speed_row, r.sent_packets),
	COLUMN(BYTES, "sent_bytes", NULL, speed_row, r.sent_bytes),
	COLUMN(COUNT, "received_packets", NULL, speed_row, r.received_packets),
	COLUMN(BYTES, "received_bytes", NULL, speed_row, r.received_bytes),
	COLUMN(COUNT, "lost_packets", NULL, speed_row, lost),
	COLUMN(PERCENT, "loss", NULL, speed_row, loss),
	COLUMN(DIST, "delay_above_least", NULL, speed_row, r.delay),
	COLUMN(NUMBER, "dscp", NULL, speed_row, r.dscp),
	COLUMN(TIME, "elapsed_ns", NULL, speed_row, r.elapsed_ns),
	COLUMN_OF_WORDS("ended_by", NULL, speed_row, r.end, end_words),
	COLUMN(TEXT, "trouble", NULL, speed_row, r.trouble),
};

static int follow(struct cli *cli, struct speedtest_request *q, struct speedtest_record *r)
{
	bool live = !cli->out.json && isatty(STDOUT_FILENO);
	char rate[FORMAT_MAX], sent[FORMAT_MAX];

	q->action = RUN_POLL;
	do {
		run_wait();
		if (run_is_stopped())
			q->action = RUN_STOP;
		if (cli_record(cli, MESSAGE_SPEEDTEST, q, r) != 0)
			return 1;
		if (live) {
			out_text(&cli->out, "\r\033[K%.1f s  %s sent  %s", r->elapsed_ns / 1e9,
				format_bytes(r->sent_bytes, sent), format_rate(r->rate_bps, rate));
			fflush(cli->out.text);
		}
	} while (q->action != RUN_STOP && r->end == SPEED_RUNNING);
	if (live)
		out_text(&cli->out, "\r\033[K");
	return 0;
}

static void print(struct cli *cli, const struct speed_row *row)
{
	const struct speedtest_record *r = &row->r;
	char rate[FORMAT_MAX], over[FORMAT_MAX], most[FORMAT_MAX], sent[FORMAT_MAX],
		count[FORMAT_MAX], lost[FORMAT_MAX], p50[FORMAT_MAX], p99[FORMAT_MAX];

	if (r->measured_ns == 0) {
		out_text(&cli->out, "too little arrived to tell a rate\n");
	} else {
		out_text(&cli->out, "to %s: %s%s, of IP packets of %llu bytes, over %s\n", r->peer,
			r->saturated ? "" : "at least ", format_rate(r->rate_bps, rate),
			(unsigned long long)r->packet_bytes, format_time(r->measured_ns, over));
		out_text(&cli->out,
			r->saturated ? "the path was full: of up to %s offered this is what it "
				       "carried\n"
				     : "the path was not full: %s were offered at most\n",
			format_rate(r->limit_bps, most));
	}
	out_text(&cli->out, "sent %s packets, %s, in %.1f s; lost %s",
		format_count(r->sent_packets, count), format_bytes(r->sent_bytes, sent),
		r->elapsed_ns / 1e9, format_count(row->lost, lost));
	if (isfinite(row->loss))
		out_text(&cli->out, " (%.2f %%)", row->loss * 100);
	out_text(&cli->out, "%s\n",
		r->end == SPEED_BYTES ? "; ended because its bytes were spent" : "");
	if (r->delay.samples > 0)
		out_text(&cli->out, "one-way delay above the least: p50 %s, p99 %s\n",
			format_time(r->delay.p50_ns, p50), format_time(r->delay.p99_ns, p99));
}

/* "50mbit", "50 Mbit/s": a whole or decimal number of kbit, Mbit or Gbit. */
static int take_rate(struct cli *cli, const char *text, uint64_t *rate_bps)
{
	static const struct {
		const char *unit;
		double factor;
	} units[] = {{"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}, {"kbit/s", 1e3}, {"mbit/s", 1e6},
		{"gbit/s", 1e9}};
	char *end;
	double value = strtod(text, &end);

	while (*end == ' ')
		end++;
	for (size_t i = 0; i < COUNT_OF(units); i++)
		if (strcasecmp(end, units[i].unit) == 0 && value > 0 && value < 1e6) {
			*rate_bps = (uint64_t)(value * units[i].factor + 0.5);
			return 0;
		}
	return cli_error(cli, -EINVAL, "--rate \"%s\": take a rate such as 50mbit", text);
}

int cmd_speedtest(struct cli *cli, int argc, char **argv)
{
	struct cli_option options[] = {
		{.name = "--seconds"}, {.name = "--bytes"}, {.name = "--rate"}, {.name = "--dscp"}};
	struct speedtest_request q = {
		.duration_ns = 3000000000, .bytes_max = 100000000, .dscp = DSCP_LOWER_EFFORT};
	struct speed_row row = {0};

	if (run_take_target(cli, "a peer", argc, argv, q.peer, sizeof(q.peer)) ||
		cli_options(cli, argc - 1, argv + 1, options, COUNT_OF(options)) ||
		(options[0].value &&
			run_take_time(cli, "--seconds", options[0].value, &q.duration_ns)) ||
		(options[1].value &&
			run_take_bytes(cli, "--bytes", options[1].value, &q.bytes_max)) ||
		(options[2].value && take_rate(cli, options[2].value, &q.rate_max_bps)) ||
		(options[3].value && run_take_dscp(cli, options[3].value, &q.dscp)) ||
		run_call(cli, MESSAGE_SPEEDTEST, &q))
		return 1;
	run_begin();
	int code = follow(cli, &q, &row.r);
	run_end();
	if (code != 0)
		return code;
	if (row.r.sent_packets > row.r.received_packets)
		row.lost = row.r.sent_packets - row.r.received_packets;
	row.loss = cli_share(row.lost, row.r.sent_packets);
	if (cli->out.json)
		out_record(&cli->out, "speedtest", columns, COUNT_OF(columns), &row);
	else if (row.r.sent_packets > 0)
		print(cli, &row);
	if (row.r.end == SPEED_FAILED || row.r.trouble[0] != '\0')
		return cli_error(cli, -EIO, "%s", row.r.trouble);
	return row.r.received_packets == 0;
}
