/* SPDX-License-Identifier: BSD-3-Clause */
/* Connection, calls, arguments and errors for the commands. cli.h is the manual. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/format.h"

uint64_t cli_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void cli_sleep_ms(uint32_t ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&t, NULL);
}

double cli_share(uint64_t a, uint64_t b)
{
	return b == 0 ? NAN : (double)a / (double)b;
}

int cli_error(struct cli *cli, int error, const char *format, ...)
{
	char text[1200];
	va_list args;

	if (cli->quiet)
		return 1;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	out_clean(text);
	fprintf(stderr, "%s%s\n", cli->in_shell ? "" : "sluicectl: ", text);
	if (cli->out.root != NULL) {
		json_t *object = json_object();

		json_object_set_new(object, "errno", json_integer(-error));
		json_object_set_new(object, "text", out_json_string(text, sizeof(text)));
		json_object_set_new(cli->out.root, "error", object);
	}
	return 1;
}

struct channel_client *cli_client(struct cli *cli)
{
	char error[512];

	if (cli->client != NULL && client_alive(cli->client) == 0)
		return cli->client;
	client_close(cli->client);
	cli->client = client_open(cli->instance, CLI_TIMEOUT_MS, error, sizeof(error));
	if (cli->client == NULL)
		cli_error(cli, -ENOTCONN, "%s", error);
	return cli->client;
}

/* After a failed call: say why, and let the next command connect anew if the session is lost. */
static int call_failed(struct cli *cli, const struct channel_result *result)
{
	if (result->error == -EPROTO || result->error == -ECONNRESET) {
		client_close(cli->client);
		cli->client = NULL;
	}
	return cli_error(cli, result->error, "%s", result->text);
}

static int add_row(void *context, const void *record)
{
	struct rows *rows = context;
	void *row = rows_add(rows);

	if (row == NULL)
		return -ENOMEM;
	memcpy(row, record, rows->row_bytes);
	return 0;
}

int cli_list(struct cli *cli, enum channel_message message, void *request, struct rows *rows)
{
	struct channel_client *client = cli_client(cli);
	struct channel_result result = {0};

	*rows = (struct rows){.row_bytes = message_table[message].record_bytes};
	if (client == NULL)
		return 1;
	if (client_list(client, message, request, add_row, rows, CLI_TIMEOUT_MS, &result) == 0)
		return 0;
	rows_free(rows);
	return call_failed(cli, &result);
}

int cli_record(struct cli *cli, enum channel_message message, const void *request, void *record)
{
	struct rows rows = {.row_bytes = message_table[message].record_bytes};
	struct channel_client *client = cli_client(cli);
	struct channel_result result = {0};
	int error = 0;

	if (client == NULL)
		return 1;
	if (client_call(client, message, request, add_row, &rows, CLI_TIMEOUT_MS, &result) != 0)
		error = call_failed(cli, &result);
	else if (rows.count == 0)
		error = cli_error(
			cli, -ENODATA, "the daemon has no %s to show", message_table[message].name);
	else
		memcpy(record, rows_at(&rows, 0), rows.row_bytes);
	rows_free(&rows);
	return error;
}

void cli_report_change(struct cli *cli, const struct channel_result *result)
{
	char took[FORMAT_MAX];

	if (!cli->out.json) {
		out_text(&cli->out, "policy %llu on %llu/%llu workers in %s\n",
			(unsigned long long)result->generation, (unsigned long long)result->workers,
			(unsigned long long)result->workers_total,
			format_time(result->took_ns, took));
		if (result->text[0] != '\0')
			out_text(&cli->out, "%s\n", result->text);
		return;
	}
	json_t *done = json_object();

	json_object_set_new(done, "generation", json_integer((json_int_t)result->generation));
	json_object_set_new(done, "workers", json_integer((json_int_t)result->workers));
	json_object_set_new(done, "workers_total", json_integer((json_int_t)result->workers_total));
	json_object_set_new(done, "took_ns", json_integer((json_int_t)result->took_ns));
	json_object_set_new(done, "text", out_json_string(result->text, sizeof(result->text)));
	json_object_set_new(cli->out.root, "done", done);
}

int cli_change(struct cli *cli, enum channel_message message, const void *request)
{
	struct channel_client *client = cli_client(cli);
	struct channel_result result = {0};

	if (client == NULL)
		return 1;
	if (client_call(client, message, request, NULL, NULL, CLI_CHANGE_TIMEOUT_MS, &result) != 0)
		return call_failed(cli, &result);
	cli_report_change(cli, &result);
	return 0;
}

int cli_options(struct cli *cli, int argc, char **argv, struct cli_option *options, size_t count)
{
	char known[256] = "";

	for (int i = 0; i < argc; i++) {
		struct cli_option *found = NULL;
		size_t len = strcspn(argv[i], "=");

		for (size_t o = 0; o < count && found == NULL; o++)
			if (strlen(options[o].name) == len &&
				strncmp(options[o].name, argv[i], len) == 0)
				found = &options[o];
		if (found == NULL && strcmp(argv[i], "--json") == 0)
			return cli_error(cli, -EINVAL, "--json goes before the command");
		if (found == NULL) {
			for (size_t o = 0; o < count; o++)
				snprintf(known + strlen(known), sizeof(known) - strlen(known),
					"%s%s", o == 0 ? ": here go " : ", ", options[o].name);
			return cli_error(cli, -EINVAL, "unexpected \"%s\"%s", argv[i],
				count == 0 ? ": nothing more goes here" : known);
		}
		if (found->is_flag) {
			found->value = "";
		} else if (argv[i][len] == '=') {
			found->value = argv[i] + len + 1;
		} else {
			if (i + 1 == argc)
				return cli_error(
					cli, -EINVAL, "%s needs a value behind it", found->name);
			found->value = argv[++i];
		}
	}
	return 0;
}

int cli_number(struct cli *cli, const char *what, const char *text, uint64_t min, uint64_t max,
	uint64_t *value)
{
	char *end;

	errno = 0;
	unsigned long long number = strtoull(text, &end, 10);

	if (errno != 0 || text[0] < '0' || text[0] > '9' || *end != '\0' || number < min ||
		number > max)
		return cli_error(cli, -EINVAL, "%s \"%s\": take a whole number from %llu to %llu",
			what, text, (unsigned long long)min, (unsigned long long)max);
	*value = number;
	return 0;
}

int cli_word(struct cli *cli, const char *what, const char *text, const char *const *words,
	uint64_t *value)
{
	char known[256] = "";

	for (uint64_t i = 0; words[i] != NULL; i++) {
		if (strcmp(words[i], text) == 0) {
			*value = i;
			return 0;
		}
		snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s",
			i == 0 ? "" : ", ", words[i]);
	}
	return cli_error(cli, -EINVAL, "%s \"%s\": take one of %s", what, text, known);
}

int cli_window(struct cli *cli, const char *text, uint64_t *window)
{
	/* enum channel_window */
	static const char *const words[] = {"all", "1s", "10s", "1m", "15m", NULL};

	*window = CHANNEL_WINDOW_ALL;
	return text == NULL ? 0 : cli_word(cli, "--window", text, words, window);
}

void cli_say_window(struct cli *cli, uint64_t window, uint64_t window_ns)
{
	char text[FORMAT_MAX];

	if (window == CHANNEL_WINDOW_ALL)
		return;
	if (window_ns == 0)
		out_text(&cli->out, "no figures of that window yet, or not of these\n\n");
	else
		out_text(&cli->out, "last %s\n\n", format_duration(window_ns, text));
}

int cli_keep(struct cli *cli, const char *what, const char *name, size_t offset, struct rows *rows)
{
	char known[800] = "";
	const char *last = "";
	size_t kept = 0;

	for (size_t i = 0; name != NULL && i < rows->count; i++) {
		const char *row = rows_at(rows, i);

		if (strncmp(row + offset, name, CHANNEL_NAME_MAX) == 0)
			memmove(rows_at(rows, kept++), row, rows->row_bytes);
	}
	if (name == NULL)
		return 0;
	if (kept > 0) {
		rows->count = kept;
		return 0;
	}
	for (size_t i = 0; i < rows->count; i++) {
		const char *other = (const char *)rows_at(rows, i) + offset;
		size_t used = strlen(known);

		if (other[0] == '\0' || strncmp(other, last, CHANNEL_NAME_MAX) == 0)
			continue;
		if (used + 64 > sizeof(known)) {
			snprintf(known + used, sizeof(known) - used, ", ...");
			break;
		}
		snprintf(known + used, sizeof(known) - used, "%s%.31s", used == 0 ? "" : ", ",
			other);
		last = other;
	}
	rows_free(rows);
	return cli_error(cli, -ENOENT, "unknown %s '%s': there are %s", what, name, known);
}
