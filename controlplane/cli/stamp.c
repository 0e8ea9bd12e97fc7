/* SPDX-License-Identifier: BSD-3-Clause */
/* `show stamp`: what the STAMP sessions with the peers measure, and whom the reflectors answer. */
#include "controlplane/cli/cli.h"
#include "controlplane/cli/format.h"

static const char *const reflector_words[] = {"off", "peers", "any", NULL};

struct stamp_row {
	struct stamp_record r;
	char address[FORMAT_MAX];
	char lost_up[FORMAT_MAX], lost_down[FORMAT_MAX];
	char delay_up[FORMAT_MAX], delay_down[FORMAT_MAX];
	double loss, loss_minute;
};

/* The last minute, for people; programs get everything. */
static const struct column columns[] = {
	COLUMN(TEXT, "peer", "PEER", stamp_row, r.peer),
	COLUMN(TEXT, "address", NULL, stamp_row, address),
	COLUMN(TEXT, "bridge", NULL, stamp_row, r.bridge),
	COLUMN(NUMBER, "port", NULL, stamp_row, r.port),
	COLUMN(FLAG, "authenticated", "AUTH", stamp_row, r.authenticated),
	COLUMN(TIME, "interval_ns", "EVERY", stamp_row, r.interval_ns),
	COLUMN(NUMBER, "dscp", "DSCP", stamp_row, r.dscp),
	COLUMN(COUNT, NULL, "SENT", stamp_row, r.minute.sent),
	COLUMN(COUNT, NULL, "LOST", stamp_row, r.minute.lost),
	COLUMN(PERCENT, NULL, "LOSS", stamp_row, loss_minute),
	COLUMN(TEXT, NULL, "UP", stamp_row, lost_up),
	COLUMN(TEXT, NULL, "DOWN", stamp_row, lost_down),
	COLUMN(TIME, NULL, "RTT p50", stamp_row, r.minute.rtt.p50_ns),
	COLUMN(TIME, NULL, "p99", stamp_row, r.minute.rtt.p99_ns),
	COLUMN(TIME, NULL, "MAX", stamp_row, r.minute.rtt.max_ns),
	COLUMN(TIME, NULL, "PDV UP p99", stamp_row, r.minute.up_variation.p99_ns),
	COLUMN(TIME, NULL, "DOWN p99", stamp_row, r.minute.down_variation.p99_ns),
	COLUMN(TEXT, NULL, "DELAY UP", stamp_row, delay_up),
	COLUMN(TEXT, NULL, "DOWN", stamp_row, delay_down),
	COLUMN(NUMBER, "ssid", NULL, stamp_row, r.ssid),
	COLUMN(FLAG, "ways_known", NULL, stamp_row, r.attributed),
	COLUMN(NUMBER, "ttl_up", NULL, stamp_row, r.ttl_up),
	COLUMN(NUMBER, "ttl_down", NULL, stamp_row, r.ttl_down),
	COLUMN(FLAG, "clocks_synchronized", NULL, stamp_row, r.synchronized),
	COLUMN(SIGNED, "delay_up_ns", NULL, stamp_row, r.delay_up_ns),
	COLUMN(SIGNED, "delay_down_ns", NULL, stamp_row, r.delay_down_ns),
	COLUMN(NUMBER, "clock_error_ns", NULL, stamp_row, r.clock_error_ns),
	COLUMN(FLAG, "dscp_known", NULL, stamp_row, r.has_dscp_received),
	COLUMN(NUMBER, "dscp_received", NULL, stamp_row, r.dscp_received),
};

#define FIGURES(of)                                                                                \
	COLUMN(COUNT, "sent", NULL, stamp_row, r.of.sent),                                         \
		COLUMN(COUNT, "received", NULL, stamp_row, r.of.received),                         \
		COLUMN(COUNT, "lost", NULL, stamp_row, r.of.lost),                                 \
		COLUMN(SIGNED, "lost_up", NULL, stamp_row, r.of.lost_up),                          \
		COLUMN(SIGNED, "lost_down", NULL, stamp_row, r.of.lost_down),                      \
		COLUMN(COUNT, "late", NULL, stamp_row, r.of.late),                                 \
		COLUMN(COUNT, "duplicate", NULL, stamp_row, r.of.duplicate),                       \
		COLUMN(COUNT, "reordered", NULL, stamp_row, r.of.reordered),                       \
		COLUMN(DIST, "rtt", NULL, stamp_row, r.of.rtt),                                    \
		COLUMN(DIST, "variation_up", NULL, stamp_row, r.of.up_variation),                  \
		COLUMN(DIST, "variation_down", NULL, stamp_row, r.of.down_variation)
static const struct column minute_columns[] = {FIGURES(minute)};
static const struct column total_columns[] = {FIGURES(total)};

static const struct column reflector_columns[] = {
	COLUMN(TEXT, "bridge", "BRIDGE", stamp_row, r.bridge),
	COLUMN_OF_WORDS("answers", "ANSWERS", stamp_row, r.reflector, reflector_words),
	COLUMN(NUMBER, "port", "PORT", stamp_row, r.port),
	COLUMN(COUNT, "sessions", "SESSIONS", stamp_row, r.sessions),
	COLUMN(COUNT, "answered", "ANSWERED", stamp_row, r.answered),
	COLUMN(COUNT, "refused", "REFUSED", stamp_row, r.refused),
	COLUMN(COUNT, "bad", "BAD", stamp_row, r.bad),
	COLUMN(COUNT, "limited", "LIMITED", stamp_row, r.limited),
};

static void delay_text(int64_t delay_ns, char text[FORMAT_MAX])
{
	char time[FORMAT_MAX];
	uint64_t size_ns = delay_ns < 0 ? 0 - (uint64_t)delay_ns : (uint64_t)delay_ns;

	snprintf(text, FORMAT_MAX, "%s%s", delay_ns < 0 ? "-" : "", format_time(size_ns, time));
}

static void fill(struct stamp_row *row, const struct stamp_record *r)
{
	row->r = *r;
	if (r->family != 0)
		format_address(r->address, row->address);
	row->loss_minute = cli_share(r->minute.lost, r->minute.received + r->minute.lost);
	snprintf(row->lost_up, FORMAT_MAX, "-");
	snprintf(row->lost_down, FORMAT_MAX, "-");
	snprintf(row->delay_up, FORMAT_MAX, "-");
	snprintf(row->delay_down, FORMAT_MAX, "-");
	if (r->attributed) {
		snprintf(row->lost_up, FORMAT_MAX, "%lld", (long long)r->minute.lost_up);
		snprintf(row->lost_down, FORMAT_MAX, "%lld", (long long)r->minute.lost_down);
	}
	if (r->synchronized) {
		delay_text(r->delay_up_ns, row->delay_up);
		delay_text(r->delay_down_ns, row->delay_down);
	}
}

int cmd_show_stamp(struct cli *cli, int argc, char **argv)
{
	struct rows sessions = {.row_bytes = sizeof(struct stamp_row)}, reflectors = sessions;
	struct page_request request = {0};
	struct rows records;
	json_t *array = json_array();

	if (cli_options(cli, argc, argv, NULL, 0) != 0 ||
		cli_list(cli, MESSAGE_STAMP, &request, &records) != 0) {
		json_decref(array);
		return 1;
	}
	for (size_t i = 0; i < records.count; i++) {
		const struct stamp_record *r = rows_at(&records, i);
		struct stamp_row *row = rows_add(r->peer[0] != '\0' ? &sessions : &reflectors);

		if (row == NULL)
			break;
		fill(row, r);
		if (r->peer[0] == '\0')
			continue;
		json_t *object = out_json_record(columns, COUNT_OF(columns), row);

		json_object_set_new(object, "last_minute",
			out_json_record(minute_columns, COUNT_OF(minute_columns), row));
		json_object_set_new(object, "since_start",
			out_json_record(total_columns, COUNT_OF(total_columns), row));
		json_array_append_new(array, object);
	}
	if (cli->out.json)
		json_object_set(cli->out.root, "stamp", array);
	else
		out_table(&cli->out, "stamp", columns, COUNT_OF(columns), &sessions,
			"no peer has a stamp_interval");
	out_text(&cli->out, "\n");
	out_table(&cli->out, "reflectors", reflector_columns, COUNT_OF(reflector_columns),
		&reflectors, "no bridge has a reflector");
	json_decref(array);
	rows_free(&sessions);
	rows_free(&reflectors);
	rows_free(&records);
	return 0;
}
