/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Completion: what may come next, by the table of commands and the grammar of their arguments
 * (commands.c). Names of classes, bridges and peers are asked of the daemon. shell.c calls it.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/cli/cli.h"

#define TOKENS_MAX 64

struct token {
	char text[48];
	bool is_optional; /* starts a bracket */
};

struct list {
	char **words;
	size_t count;
	const char *prefix;
};

static void add(struct list *list, const char *word, size_t len)
{
	char **words;

	if (strncmp(word, list->prefix, strlen(list->prefix)) != 0 || len < strlen(list->prefix))
		return;
	for (size_t i = 0; i < list->count; i++)
		if (strncmp(list->words[i], word, len) == 0 && list->words[i][len] == '\0')
			return;
	words = reallocarray(list->words, list->count + 2, sizeof(*words));
	if (words == NULL)
		return;
	list->words = words;
	words[list->count] = strndup(word, len);
	if (words[list->count] != NULL)
		words[++list->count] = NULL;
}

static void add_names(struct cli *cli, enum channel_message message, void *request, size_t offset,
	struct list *list)
{
	struct rows rows;

	cli->quiet = true;
	if (cli_list(cli, message, request, &rows) == 0) {
		for (size_t i = 0; i < rows.count; i++) {
			const char *name = (const char *)rows_at(&rows, i) + offset;

			add(list, name, strnlen(name, CHANNEL_NAME_MAX));
		}
		rows_free(&rows);
	}
	cli->quiet = false;
}

static void add_classes(struct cli *cli, struct list *list)
{
	struct classes_request request = {.select = CLASSES_NAMES};

	/* Only the daemon knows what goes on behind it: there may be very many. */
	snprintf(request.name, sizeof(request.name), "%s", list->prefix);
	add_names(cli, MESSAGE_CLASSES, &request, offsetof(struct class_record, name), list);
}

static void add_bridges(struct cli *cli, struct list *list)
{
	struct page_request request = {0};

	add_names(cli, MESSAGE_LINKS, &request, offsetof(struct link_record, bridge), list);
}

static void add_peers(struct cli *cli, struct list *list)
{
	struct page_request request = {0};

	add_names(cli, MESSAGE_PEERS, &request, offsetof(struct peer_record, name), list);
}

/* Everything that a token of the grammar may stand for. */
static void add_values(struct cli *cli, const char *token, struct list *list, bool *is_file)
{
	while (*token != '\0') {
		size_t len = strcspn(token, "|");

		if (strncmp(token, "CLASS", len) == 0)
			add_classes(cli, list);
		else if (strncmp(token, "BRIDGE", len) == 0)
			add_bridges(cli, list);
		else if (strncmp(token, "PEER", len) == 0)
			add_peers(cli, list);
		else if (strncmp(token, "FILE", len) == 0)
			*is_file = true;
		else if (!isupper((unsigned char)token[0]))
			add(list, token, len);
		token += len;
		token += *token == '|';
	}
}

static size_t split_grammar(const char *grammar, struct token *tokens)
{
	size_t count = 0;

	while (*grammar != '\0' && count < TOKENS_MAX) {
		size_t len = strcspn(grammar, " ");
		const char *from = grammar;
		size_t n = len;

		tokens[count].is_optional = from[0] == '[';
		if (n > 0 && from[0] == '[') {
			from++;
			n--;
		}
		if (n > 0 && from[n - 1] == ']')
			n--;
		snprintf(tokens[count++].text, sizeof(tokens[0].text), "%.*s", (int)n, from);
		grammar += len;
		grammar += *grammar == ' ';
	}
	return count;
}

static void add_arguments(struct cli *cli, const struct command *command, const char *const *words,
	int count, struct list *list, bool *is_file)
{
	struct token tokens[TOKENS_MAX] = {0};
	size_t token_count = split_grammar(command->arguments, tokens);
	int position = count - 1; /* of the word to be completed, behind the command */

	/* The name behind "--of link"? */
	if (count > 2 && strcmp(words[count - 3], "--of") == 0) {
		const char *kind = words[count - 2];

		add_values(cli,
			strcmp(kind, "link") == 0    ? "BRIDGE"
			: strcmp(kind, "class") == 0 ? "CLASS"
			: strcmp(kind, "peer") == 0  ? "PEER"
						     : "",
			list, is_file);
		return;
	}
	/* The value of the word before? */
	for (size_t i = 0; count > 1 && i + 1 < token_count; i++)
		if (tokens[i].is_optional && !tokens[i + 1].is_optional &&
			strcmp(tokens[i].text, words[count - 2]) == 0) {
			add_values(cli, tokens[i + 1].text, list, is_file);
			return;
		}
	if (position < (int)token_count && !tokens[position].is_optional) {
		bool leading = true;

		for (int i = 0; i < position; i++)
			leading = leading && !tokens[i].is_optional;
		if (leading) {
			add_values(cli, tokens[position].text, list, is_file);
			return;
		}
	}
	for (size_t i = 0; i < token_count; i++) {
		bool used = false;

		for (int w = 0; w < count - 1; w++)
			used = used || strcmp(words[w], tokens[i].text) == 0;
		if (tokens[i].is_optional && !used)
			add_values(cli, tokens[i].text, list, is_file);
	}
}

char **complete_words(struct cli *cli, const char *const *words, int count, bool *is_file)
{
	struct list list = {.prefix = words[count - 1]};
	int used;
	const struct command *command = commands_find(count - 1, (char **)(uintptr_t)words, &used);

	*is_file = false;
	if (command != NULL && command->run != cmd_help) {
		add_arguments(cli, command, words + used, count - used, &list, is_file);
		return list.words;
	}
	if (command != NULL) { /* help: a command behind it */
		words += used;
		count -= used;
	}
	for (size_t i = 0; i < command_count; i++) {
		const char *at = commands[i].words;
		bool fits = true;

		for (int w = 0; w + 1 < count && fits; w++) {
			size_t len = strcspn(at, " ");

			fits = strlen(words[w]) == len && strncmp(words[w], at, len) == 0 &&
			       at[len] == ' ';
			at += len + fits;
		}
		if (fits)
			add(&list, at, strcspn(at, " "));
	}
	return list.words;
}
