/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The interactive shell: libedit's line editor with history and completion (complete.c) on a
 * terminal, plain lines from a pipe. Commands run exactly as from the command line.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <editline/readline.h>
#include <histedit.h>

#include "controlplane/cli/cli.h"

#define HISTORY_FILE ".sluicectl_history"
#define HISTORY_LINES 500

/* The line editor's callbacks carry no context. */
static struct cli *shell_cli;
static char **matches;
static size_t next_match;

static char *give_match(const char *text, int state)
{
	if (state == 0)
		next_match = 0;
	return matches != NULL && matches[next_match] != NULL ? strdup(matches[next_match++])
							      : NULL;
}

static char **complete(const char *text, int start, int end)
{
	const char *words[64];
	char *line = strndup(rl_line_buffer, (size_t)start);
	char *save = NULL;
	char **found = NULL;
	bool is_file = false;
	int count = 0;

	rl_attempted_completion_over = 1;
	for (char *word = line == NULL ? NULL : strtok_r(line, " \t", &save);
		word != NULL && count < 63; word = strtok_r(NULL, " \t", &save))
		words[count++] = word;
	words[count++] = text;
	matches = complete_words(shell_cli, words, count, &is_file);
	if (is_file)
		found = rl_completion_matches(text, rl_filename_completion_function);
	else if (matches != NULL)
		found = rl_completion_matches(text, give_match);
	for (size_t i = 0; matches != NULL && matches[i] != NULL; i++)
		free(matches[i]);
	free(matches);
	matches = NULL;
	free(line);
	return found;
}

/* Split as a shell does (quotes, backslash) and run. */
static int run_line(struct cli *cli, Tokenizer *tokenizer, const char *line)
{
	const char **words;
	int count, code = 0;

	tok_reset(tokenizer);
	if (tok_str(tokenizer, line, &count, &words) != 0)
		return cli_error(cli, -EINVAL, "a quote is not closed");
	if (count == 0 || words[0][0] == '#')
		return 0;
	if (strcmp(words[0], "exit") == 0 || strcmp(words[0], "quit") == 0)
		cli->quit = true;
	else if (strcmp(words[0], "shell") == 0)
		code = cli_error(cli, -EINVAL, "this is the shell already: exit leaves it");
	else
		code = commands_run(cli, count, (char **)(uintptr_t)words);
	return code;
}

static void terminal_loop(struct cli *cli, Tokenizer *tokenizer)
{
	const char *home = getenv("HOME");
	char prompt[96], file[4096] = "";

	shell_cli = cli;
	rl_readline_name = (char *)(uintptr_t) "sluicectl";
	rl_attempted_completion_function = complete;
	using_history();
	stifle_history(HISTORY_LINES);
	if (home != NULL && strlen(home) + sizeof(HISTORY_FILE) + 1 < sizeof(file)) {
		snprintf(file, sizeof(file), "%s/" HISTORY_FILE, home);
		read_history(file);
	}
	snprintf(prompt, sizeof(prompt), "sluice %s> ", cli->instance);
	while (!cli->quit) {
		char *line = readline(prompt);

		if (line == NULL) {
			printf("\n");
			break;
		}
		if (line[strspn(line, " \t")] != '\0')
			add_history(line);
		run_line(cli, tokenizer, line);
		free(line);
	}
	if (file[0] != '\0')
		write_history(file);
}

int shell_run(struct cli *cli)
{
	Tokenizer *tokenizer = tok_init(NULL);
	char *line = NULL;
	size_t size = 0;
	int code = 0;

	if (tokenizer == NULL)
		return cli_error(cli, -ENOMEM, "no memory");
	cli->in_shell = true;
	if (isatty(STDIN_FILENO)) {
		if (cli_client(cli) != NULL)
			out_text(&cli->out,
				"Sluice " SLUICE_VERSION
				", instance %s. Tab completes, help lists the "
				"commands, exit leaves.\n",
				cli->instance);
		terminal_loop(cli, tokenizer);
	} else {
		while (!cli->quit && getline(&line, &size, stdin) > 0) {
			line[strcspn(line, "\n")] = '\0';
			code |= run_line(cli, tokenizer, line);
		}
		free(line);
	}
	tok_end(tokenizer);
	cli->in_shell = false;
	return code;
}

int cmd_shell(struct cli *cli, int argc, char **argv)
{
	if (cli_options(cli, argc, argv, NULL, 0) != 0)
		return 1;
	return shell_run(cli);
}
