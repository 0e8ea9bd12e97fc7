/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `policy check|apply|confirm|rollback|show` and `show policy`. The text of a configuration is
 * uploaded: the daemon never opens a file for a client.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/cli/cli.h"

static const char *const problem_words[] = {"error", "warning", NULL};

static const struct column problem_columns[] = {
	COLUMN(NUMBER, "line", "LINE", problem_record, line),
	COLUMN_OF_WORDS("kind", "KIND", problem_record, is_warning, problem_words),
	COLUMN(TEXT, "option", "OPTION", problem_record, option),
	COLUMN(TEXT, "text", "WHAT", problem_record, text),
};

static const struct column policy_columns[] = {
	COLUMN(NUMBER, "generation", "policy", policy_record, generation),
	COLUMN(TEXT, "file", "from file", policy_record, file),
	COLUMN(DATE, "applied_realtime_ns", "in force since", policy_record, applied_realtime_ns),
	COLUMN(TIME, "confirm_ns", "taken back in", policy_record, confirm_ns),
	COLUMN(NUMBER, "previous_generation", "rollback goes to", policy_record,
		previous_generation),
	COLUMN(NUMBER, "bridges", "bridges", policy_record, bridges),
	COLUMN(NUMBER, "classes", "classes", policy_record, classes),
	COLUMN(NUMBER, "rules", "rules", policy_record, rules),
	COLUMN(NUMBER, "peers", "peers", policy_record, peers),
	COLUMN(BYTES, "text_bytes", "length of its text", policy_record, text_bytes),
};

int cmd_show_policy(struct cli *cli, int argc, char **argv)
{
	struct channel_nothing nothing = {0};
	struct policy_record policy;

	if (cli_options(cli, argc, argv, NULL, 0) != 0 ||
		cli_record(cli, MESSAGE_POLICY, &nothing, &policy) != 0)
		return 1;
	out_record(&cli->out, "policy", policy_columns, COUNT_OF(policy_columns), &policy);
	return 0;
}

/* The text of a file, malloc'ed; NULL after saying what is wrong. */
static char *read_file(struct cli *cli, const char *file, uint64_t *len)
{
	FILE *f = fopen(file, "re");
	char *text = f == NULL ? NULL : malloc(CHANNEL_UPLOAD_MAX + 1);

	if (f == NULL) {
		cli_error(cli, -errno, "%s: %s", file, strerror(errno));
		return NULL;
	}
	if (text != NULL)
		*len = fread(text, 1, CHANNEL_UPLOAD_MAX + 1, f);
	if (text == NULL || ferror(f) || *len > CHANNEL_UPLOAD_MAX) {
		cli_error(cli, -EFBIG, "%s: %s", file,
			text == NULL ? "no memory"
			: ferror(f)  ? strerror(errno)
				     : "longer than the 16 MiB that a configuration may have");
		free(text);
		text = NULL;
	}
	fclose(f);
	return text;
}

static int add_problem(void *context, const void *record)
{
	struct rows *rows = context;
	struct problem_record *row = rows_add(rows);

	if (row == NULL)
		return -ENOMEM;
	*row = *(const struct problem_record *)record;
	return 0;
}

/* One line a problem, as compilers write them. */
static void print_problems(struct cli *cli, const char *file, const struct rows *rows)
{
	if (cli->out.json) {
		out_table(&cli->out, "problems", problem_columns, COUNT_OF(problem_columns), rows,
			"");
		return;
	}
	for (size_t i = 0; i < rows->count; i++) {
		struct problem_record *p = rows_at(rows, i);

		p->option[sizeof(p->option) - 1] = p->text[sizeof(p->text) - 1] = '\0';
		out_clean(p->option);
		out_clean(p->text);
		fputs(file, stderr);
		/* What is wrong only beside the policy in force has no line. */
		if (p->line != 0)
			fprintf(stderr, ":%llu", (unsigned long long)p->line);
		fprintf(stderr, ": %s: %s%s%s\n", p->is_warning ? "warning" : "error", p->option,
			p->option[0] != '\0' ? ": " : "", p->text);
	}
}

static int upload_and_apply(
	struct cli *cli, const char *file, bool check_only, uint64_t confirm_seconds)
{
	struct policy_apply_request request = {
		.check_only = check_only, .confirm_seconds = confirm_seconds};
	struct rows problems = {.row_bytes = sizeof(struct problem_record)};
	struct channel_client *client = cli_client(cli);
	struct channel_result result = {0};
	uint64_t len = 0;
	char *text;
	int error;

	if (client == NULL)
		return 1;
	text = read_file(cli, file, &len);
	if (text == NULL)
		return 1;
	snprintf(request.file, sizeof(request.file), "%s", file);
	error = client_upload(client, text, len, CLI_TIMEOUT_MS, &result);
	if (error == 0 && check_only)
		error = client_list(client, MESSAGE_POLICY_APPLY, &request, add_problem, &problems,
			CLI_CHANGE_TIMEOUT_MS, &result);
	else if (error == 0)
		error = client_call(client, MESSAGE_POLICY_APPLY, &request, add_problem, &problems,
			CLI_CHANGE_TIMEOUT_MS, &result);
	free(text);
	print_problems(cli, file, &problems);
	if (result.next != 0)
		out_text(&cli->out, "... and more: policy check %s lists them all\n", file);
	if (error != 0) {
		cli_error(cli, error, "%s", result.text);
	} else if (check_only) {
		out_text(&cli->out, "%s: no errors, %zu warnings\n", file, problems.count);
	} else {
		cli_report_change(cli, &result);
		if (confirm_seconds > 0)
			out_text(&cli->out,
				"It is taken back in %llu s unless you say `sluicectl -i %s policy "
				"confirm`.\n",
				(unsigned long long)confirm_seconds, cli->instance);
	}
	rows_free(&problems);
	return error != 0;
}

int cmd_policy_check(struct cli *cli, int argc, char **argv)
{
	if (argc != 1)
		return cli_error(cli, -EINVAL, "policy check takes one FILE");
	return upload_and_apply(cli, argv[0], true, 0);
}

int cmd_policy_apply(struct cli *cli, int argc, char **argv)
{
	struct cli_option options[] = {{.name = "--confirm"}};
	uint64_t confirm_seconds = 0;

	if (argc < 1 || argv[0][0] == '-')
		return cli_error(cli, -EINVAL, "policy apply takes a FILE, then --confirm SECONDS");
	if (cli_options(cli, argc - 1, argv + 1, options, 1) != 0)
		return 1;
	if (options[0].value != NULL &&
		cli_number(cli, "--confirm", options[0].value, 1, 86400, &confirm_seconds) != 0)
		return 1;
	return upload_and_apply(cli, argv[0], false, confirm_seconds);
}

int cmd_policy_confirm(struct cli *cli, int argc, char **argv)
{
	struct channel_nothing nothing = {0};

	return cli_options(cli, argc, argv, NULL, 0) != 0 ||
	       cli_change(cli, MESSAGE_POLICY_CONFIRM, &nothing) != 0;
}

int cmd_policy_rollback(struct cli *cli, int argc, char **argv)
{
	struct channel_nothing nothing = {0};

	return cli_options(cli, argc, argv, NULL, 0) != 0 ||
	       cli_change(cli, MESSAGE_POLICY_ROLLBACK, &nothing) != 0;
}

int cmd_policy_show(struct cli *cli, int argc, char **argv)
{
	struct page_request request = {0};
	struct rows pieces;
	char *text = NULL;
	size_t len = 0;

	if (cli_options(cli, argc, argv, NULL, 0) != 0 ||
		cli_list(cli, MESSAGE_POLICY_TEXT, &request, &pieces) != 0)
		return 1;

	FILE *all = open_memstream(&text, &len);

	for (size_t i = 0; i < pieces.count && all != NULL; i++) {
		const struct text_record *piece = rows_at(&pieces, i);

		if (piece->len <= sizeof(piece->bytes))
			fwrite(piece->bytes, 1, piece->len, all);
	}
	rows_free(&pieces);
	if (all == NULL || fclose(all) != 0) {
		free(text);
		return cli_error(cli, -ENOMEM, "no memory");
	}
	if (cli->out.json)
		json_object_set_new(cli->out.root, "policy_text", out_json_string(text, len));
	else
		fwrite(text, 1, len, cli->out.text);
	free(text);
	return 0;
}
