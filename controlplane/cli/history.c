/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `show history`: a figure of the last day, plotted (plot.h) with its sum in words, or all figures
 * of every 10 s as JSON.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/format.h"
#include "controlplane/cli/plot.h"

#define STEP_NS UINT64_C(10000000000)
#define SPAN_MAX_NS UINT64_C(86400000000000)
#define SPAN_DEFAULT_NS UINT64_C(3600000000000)
#define ROWS_LEAST 4u
#define ROWS_MOST 10u

/* One plot: an area and perhaps a line. */
struct chart {
	const char *title;
	enum plot_unit unit;
	int area, line; /* enum channel_history; line -1: none */
};

/* Up to two plots a figure, a title of NULL: one. */
static const struct {
	const char *name;
	struct chart charts[2];
} figures[] = {
	{"rate", {{"rate up", PLOT_RATE, CHANNEL_RATE_UP, -1},
			 {"rate down", PLOT_RATE, CHANNEL_RATE_DOWN, -1}}},
	{"rtt", {{"round trip, WAN half: p50 (area), p99 (line)", PLOT_TIME, CHANNEL_RTT_WAN_P50,
			 CHANNEL_RTT_WAN_P99},
			{"round trip, LAN half: p50 (area), p99 (line)", PLOT_TIME,
				CHANNEL_RTT_LAN_P50, CHANNEL_RTT_LAN_P99}}},
	{"loss", {{"loss up", PLOT_SHARE, CHANNEL_LOSS_UP, -1},
			 {"loss down", PLOT_SHARE, CHANNEL_LOSS_DOWN, -1}}},
	{"queue", {{"waiting in the box up: p99", PLOT_TIME, CHANNEL_QUEUE_UP_P99, -1},
			  {"waiting in the box down: p99", PLOT_TIME, CHANNEL_QUEUE_DOWN_P99, -1}}},
	{"delay", {{"one-way delay from the peer: least", PLOT_TIME, CHANNEL_DELAY, -1},
			  {"its variation: p99", PLOT_TIME, CHANNEL_VARIATION_P99, -1}}},
	{"drops", {{"packets dropped in 10 s", PLOT_COUNT, CHANNEL_DROPS, -1}}},
	{"busy", {{"share of the workers' time spent on packets", PLOT_SHARE, CHANNEL_BUSY, -1}}},
};

/* Keys in JSON, in the order of enum channel_history. */
static const char *const keys[CHANNEL_HISTORY_FIGURES] = {"rate_up_bps", "rate_down_bps",
	"rtt_lan_p50_ns", "rtt_lan_p99_ns", "rtt_wan_p50_ns", "rtt_wan_p99_ns", "loss_up",
	"loss_down", "queue_up_p99_ns", "queue_down_p99_ns", "one_way_delay_ns",
	"delay_variation_p99_ns", "drops", "busy"};

static const char *const subject_words[] = {"appliance", "link", "class", "peer", NULL};

/* Take "--of link b0" out of the words: the only option with two of them. */
static int take_subject(struct cli *cli, int *argc, char **argv, struct history_request *request)
{
	for (int i = 0; i < *argc; i++) {
		if (strcmp(argv[i], "--of") != 0)
			continue;
		if (i + 2 >= *argc)
			return cli_error(cli, -EINVAL,
				"--of takes two words: link, class or peer, and a name");
		if (cli_word(cli, "--of", argv[i + 1], subject_words + 1, &request->subject) != 0)
			return 1;
		request->subject++;
		if (strlen(argv[i + 2]) >= sizeof(request->name))
			return cli_error(
				cli, -EINVAL, "unknown %s \"%s\"", argv[i + 1], argv[i + 2]);
		snprintf(request->name, sizeof(request->name), "%s", argv[i + 2]);
		memmove(argv + i, argv + i + 3, (size_t)(*argc - i - 3) * sizeof(*argv));
		*argc -= 3;
		return 0;
	}
	return 0;
}

/* "90s", "15m", "1h", "24h". */
static int read_span(struct cli *cli, const char *text, uint64_t *span_ns)
{
	char *end;
	double value;
	uint64_t unit_ns;

	*span_ns = SPAN_DEFAULT_NS;
	if (text == NULL)
		return 0;
	value = strtod(text, &end);
	unit_ns = strcmp(end, "s") == 0	  ? 1
		  : strcmp(end, "m") == 0 ? 60
		  : strcmp(end, "h") == 0 ? 3600
					  : 0;
	value *= (double)unit_ns * 1e9;
	if (end == text || unit_ns == 0 || !(value >= 60e9 && value <= (double)SPAN_MAX_NS))
		return cli_error(cli, -EINVAL,
			"--span \"%s\": take a time from 1m to 24h, like 90s, 15m or 6h", text);
	*span_ns = (uint64_t)value;
	return 0;
}

static void print_json(
	struct cli *cli, const struct history_request *request, const struct rows *rows)
{
	json_t *array = json_array();

	for (size_t i = 0; i < rows->count; i++) {
		const struct history_record *r = rows_at(rows, i);
		json_t *object = json_object();

		json_object_set_new(
			object, "end_realtime_ns", json_integer((json_int_t)r->end_realtime_ns));
		for (unsigned k = 0; k < CHANNEL_HISTORY_FIGURES; k++)
			json_object_set_new(object, keys[k],
				r->known >> k & 1 && isfinite(r->figure[k])
					? json_real(r->figure[k])
					: json_null());
		json_array_append_new(array, object);
	}
	json_object_set_new(cli->out.root, "of", json_string(subject_words[request->subject]));
	json_object_set_new(
		cli->out.root, "name", out_json_string(request->name, sizeof(request->name)));
	json_object_set_new(cli->out.root, "step_ns", json_integer((json_int_t)STEP_NS));
	json_object_set_new(cli->out.root, "history", array);
}

/* One value every 10 s from begin_ns on, NAN where there is no row or no figure. */
static double *series_of(const struct rows *rows, int figure, uint64_t begin_ns, size_t count)
{
	double *series = malloc(count * sizeof(*series));

	for (size_t i = 0; series != NULL && i < count; i++)
		series[i] = NAN;
	for (size_t i = 0; series != NULL && i < rows->count; i++) {
		const struct history_record *r = rows_at(rows, i);
		uint64_t at = r->end_realtime_ns < begin_ns + STEP_NS / 2
				      ? count
				      : (r->end_realtime_ns - STEP_NS / 2 - begin_ns) / STEP_NS;

		if (at < count && r->known >> figure & 1)
			series[at] = r->figure[figure];
	}
	return series;
}

/* "mean 12.3 Mbit/s, most 45.6 Mbit/s, last 1.2 Mbit/s". False: there is nothing. */
static bool describe(
	const double *series, size_t count, enum plot_unit unit, char *text, size_t len)
{
	char mean[PLOT_TEXT], most_text[PLOT_TEXT], last_text[PLOT_TEXT];
	double sum = 0, most = 0, last = NAN;
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		if (isnan(series[i]))
			continue;
		sum += series[i];
		most = series[i] > most ? series[i] : most;
		last = series[i];
		n++;
	}
	if (n == 0)
		return false;
	snprintf(text, len, "mean %s, most %s, last %s", plot_value(unit, sum / (double)n, mean),
		plot_value(unit, most, most_text), plot_value(unit, last, last_text));
	return true;
}

/* ", p99 at most 99.1 ms" */
static void say_line(
	const double *series, size_t count, enum plot_unit unit, char *text, size_t len)
{
	char most_text[PLOT_TEXT];
	double most = NAN;

	for (size_t i = 0; i < count; i++)
		if (!isnan(series[i]) && !(series[i] <= most))
			most = series[i];
	if (!isnan(most))
		snprintf(text, len, "; p99 at most %s", plot_value(unit, most, most_text));
}

static void print_chart(struct cli *cli, const struct chart *chart, const struct rows *rows,
	uint64_t span_ns, unsigned rows_each)
{
	const struct history_record *newest = rows_at(rows, rows->count - 1);
	size_t count = span_ns / STEP_NS;
	uint64_t begin_ns = newest->end_realtime_ns - count * STEP_NS;
	double *area = series_of(rows, chart->area, begin_ns, count);
	double *line = chart->line < 0 ? NULL : series_of(rows, chart->line, begin_ns, count);
	char title[256], said[256];
	struct plot plot = {.title = title,
		.unit = chart->unit,
		.area = area,
		.line = line,
		.count = count,
		.begin_realtime_ns = begin_ns,
		.end_realtime_ns = newest->end_realtime_ns,
		.rows = rows_each};
	unsigned height;

	plot_terminal(&plot.columns, &height, &plot.braille);
	if (area == NULL || (chart->line >= 0 && line == NULL)) {
		out_text(&cli->out, "no memory\n");
	} else if (!describe(area, count, chart->unit, said, sizeof(said))) {
		out_text(&cli->out, "%s: -\n", chart->title);
	} else {
		char line_said[160] = "";

		if (line != NULL)
			say_line(line, count, chart->unit, line_said, sizeof(line_said));
		strncat(said, line_said, sizeof(said) - strlen(said) - 1);
		snprintf(title, sizeof(title), "%s: %s", chart->title, said);
		if ((unsigned)strlen(title) > plot.columns)
			snprintf(title, sizeof(title), "%s\n  %s", chart->title, said);
		plot_print(cli->out.text, &plot);
	}
	free(area);
	free(line);
}

int cmd_show_history(struct cli *cli, int argc, char **argv)
{
	struct cli_option options[] = {{.name = "--figure"}, {.name = "--span"}};
	static const char *words[COUNT_OF(figures) + 1];
	struct history_request request = {0};
	unsigned columns, height, rows_each;
	uint64_t figure = 0;
	struct rows rows;
	bool braille;

	for (size_t i = 0; i < COUNT_OF(figures); i++)
		words[i] = figures[i].name;
	if (take_subject(cli, &argc, argv, &request) != 0 ||
		cli_options(cli, argc, argv, options, COUNT_OF(options)) != 0 ||
		read_span(cli, options[1].value, &request.span_ns) != 0)
		return 1;
	if (options[0].value != NULL &&
		cli_word(cli, "--figure", options[0].value, words, &figure) != 0)
		return 1;
	if (cli_list(cli, MESSAGE_HISTORY, &request, &rows) != 0)
		return 1;
	if (cli->out.json) {
		print_json(cli, &request, &rows);
	} else if (rows.count == 0) {
		out_text(&cli->out, "no history yet: the first row comes after 10 to 20 s\n");
	} else {
		/* Both plots on one screen, with a line to spare for the prompt. */
		plot_terminal(&columns, &height, &braille);
		rows_each = height / 2 > PLOT_LINES ? height / 2 - PLOT_LINES : ROWS_LEAST;
		rows_each = rows_each > ROWS_MOST    ? ROWS_MOST
			    : rows_each < ROWS_LEAST ? ROWS_LEAST
						     : rows_each;
		for (size_t i = 0; i < COUNT_OF(figures[0].charts); i++)
			if (figures[figure].charts[i].title != NULL)
				print_chart(cli, &figures[figure].charts[i], &rows, request.span_ns,
					rows_each);
	}
	rows_free(&rows);
	return 0;
}
