/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What every command of sluicectl gets: the connection, the output, and helpers for arguments,
 * lists and errors. commands.c has the table of commands; each subject's file has its functions.
 *
 * A command function gets the words behind its name and returns the exit code: 0 only when done.
 */
#ifndef SLUICE_CLI_CLI_H
#define SLUICE_CLI_CLI_H

#include "controlplane/channel/client.h"
#include "controlplane/cli/out.h"

#define CLI_TIMEOUT_MS 5000
/* Of a change: a hundred thousand classes take some seconds to read and to compile, and it may wait
 * in line behind another one. */
#define CLI_CHANGE_TIMEOUT_MS 60000
#define CLI_INSTANCE_DEFAULT "sluice"

struct cli {
	char instance[64]; /* longer than any valid name: the channel says what is wrong with it */
	struct channel_client *client; /* NULL until the first command that needs it */
	struct out out;
	bool in_shell;
	bool quiet; /* say nothing about errors: completion asks in the background */
	bool quit;  /* shell: the user wants to leave */
};

struct command {
	const char *words;     /* "show flows" */
	const char *arguments; /* in the grammar of help texts, which completion follows */
	const char *help;      /* one sentence */
	int (*run)(struct cli *cli, int argc, char **argv);
};

/* The connection, made on first use and again after the daemon was restarted. NULL: said why. */
struct channel_client *cli_client(struct cli *cli);

/* Print an error; returns 1, the exit code. error: negative errno for JSON readers. */
int cli_error(struct cli *cli, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Call and collect every page into rows (row_bytes is set from the message). 0, or 1 after saying
 * what went wrong. */
int cli_list(struct cli *cli, enum channel_message message, void *request, struct rows *rows);

/* Call for a single record. 0, or 1 after saying what went wrong. */
int cli_record(struct cli *cli, enum channel_message message, const void *request, void *record);

/* Call for a change and report "policy 42 on 2/2 workers in 38 us". */
int cli_change(struct cli *cli, enum channel_message message, const void *request);

/* Report the result of a change that succeeded. */
void cli_report_change(struct cli *cli, const struct channel_result *result);

/*
 * Take options with a value ("--top", "20" or "--top=20") out of argv. Anything left over is an
 * error. 0, or 1 after saying what is wrong.
 */
struct cli_option {
	const char *name;  /* "--top" */
	const char *value; /* set if it was given; "" for a flag */
	bool is_flag;
};
int cli_options(struct cli *cli, int argc, char **argv, struct cli_option *options, size_t count);

/* A whole number in min..max. 0, or 1 after saying what is wrong with `what`. */
int cli_number(struct cli *cli, const char *what, const char *text, uint64_t min, uint64_t max,
	uint64_t *value);

/* A word's place in `words` (which ends with NULL). 0, or 1 after naming those that there are. */
int cli_word(struct cli *cli, const char *what, const char *text, const char *const *words,
	uint64_t *value);

/* The window that `--window TEXT` means, NULL: since the start. 0, or 1 after saying what is wrong.
 */
int cli_window(struct cli *cli, const char *text, uint64_t *window);

/* Say in text mode what the figures below are of: window_ns as the daemon says. */
void cli_say_window(struct cli *cli, uint64_t window, uint64_t window_ns);

/* Keep the rows whose name[32] at `offset` is `name` (NULL: keep all). 0, or 1 after naming those
 * that there are. */
int cli_keep(struct cli *cli, const char *what, const char *name, size_t offset, struct rows *rows);

/* a / b, not a number where b is 0. */
double cli_share(uint64_t a, uint64_t b);

/* Sleep, for samples. */
void cli_sleep_ms(uint32_t ms);
uint64_t cli_now_ns(void);

/* commands.c */
extern const struct command commands[];
extern const size_t command_count;
int commands_run(struct cli *cli, int argc, char **argv);
const struct command *commands_find(int argc, char **argv, int *used);

int cmd_show_status(struct cli *cli, int argc, char **argv);
int cmd_show_links(struct cli *cli, int argc, char **argv);
int cmd_show_ports(struct cli *cli, int argc, char **argv);
int cmd_show_workers(struct cli *cli, int argc, char **argv);
int cmd_show_classes(struct cli *cli, int argc, char **argv);
int cmd_show_flows(struct cli *cli, int argc, char **argv);
int cmd_show_peers(struct cli *cli, int argc, char **argv);
int cmd_show_stamp(struct cli *cli, int argc, char **argv);
int cmd_show_rtt(struct cli *cli, int argc, char **argv);
int cmd_show_transactions(struct cli *cli, int argc, char **argv);
int cmd_show_loss(struct cli *cli, int argc, char **argv);
int cmd_show_box(struct cli *cli, int argc, char **argv);
int cmd_show_history(struct cli *cli, int argc, char **argv);
int cmd_show_compression(struct cli *cli, int argc, char **argv);
int cmd_show_drops(struct cli *cli, int argc, char **argv);
int cmd_show_shaper(struct cli *cli, int argc, char **argv);
int cmd_show_policy(struct cli *cli, int argc, char **argv);
int cmd_set_class(struct cli *cli, int argc, char **argv);
int cmd_set_flow_rate(struct cli *cli, int argc, char **argv);
int cmd_set_link(struct cli *cli, int argc, char **argv);
int cmd_set_compression(struct cli *cli, int argc, char **argv);
int cmd_set_bypass(struct cli *cli, int argc, char **argv);
int cmd_policy_check(struct cli *cli, int argc, char **argv);
int cmd_policy_apply(struct cli *cli, int argc, char **argv);
int cmd_policy_confirm(struct cli *cli, int argc, char **argv);
int cmd_policy_rollback(struct cli *cli, int argc, char **argv);
int cmd_policy_show(struct cli *cli, int argc, char **argv);
int cmd_explain_flow(struct cli *cli, int argc, char **argv);
int cmd_ping(struct cli *cli, int argc, char **argv);
int cmd_trace(struct cli *cli, int argc, char **argv);
int cmd_speedtest(struct cli *cli, int argc, char **argv);
int cmd_top(struct cli *cli, int argc, char **argv);
int cmd_doctor(struct cli *cli, int argc, char **argv);
int cmd_shell(struct cli *cli, int argc, char **argv);
int cmd_help(struct cli *cli, int argc, char **argv);

/* Shared by `show` and `top`: print the table of what is in rows. */
void flows_print(struct cli *cli, const struct rows *rows, bool brief);

/* shell.c: the interactive shell on a terminal (or from a pipe). Returns the exit code. */
int shell_run(struct cli *cli);

/* complete.c: what may stand in place of the last of `count` words. Returns a NULL-terminated
 * malloc'ed array of malloc'ed words, NULL when there is nothing. *is_file: a file name fits. */
char **complete_words(struct cli *cli, const char *const *words, int count, bool *is_file);

#endif
