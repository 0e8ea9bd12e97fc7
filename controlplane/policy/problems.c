/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Collects what is wrong with a policy. One list a reading; bounded, because a hostile text can be
 * wrong in more places than anybody wants to read.
 */
#include "controlplane/policy/problems.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIMILAR_LEN_MAX 31

static void add(struct policy_problems *problems, uint32_t line, bool is_warning,
	const char *option, const char *format, va_list args)
{
	if (problems == NULL)
		return;
	if (!is_warning)
		problems->errors++;
	if (problems->count >= PROBLEMS_MAX)
		return;
	if (problems->count == problems->capacity) {
		uint32_t capacity = problems->capacity == 0 ? 16 : problems->capacity * 2;
		void *list = realloc(problems->list, capacity * sizeof(*problems->list));
		if (list == NULL)
			return;
		problems->list = list;
		problems->capacity = capacity;
	}
	struct policy_problem *p = &problems->list[problems->count++];
	p->line = line;
	p->is_warning = is_warning;
	snprintf(p->option, sizeof(p->option), "%s", option);
	vsnprintf(p->text, sizeof(p->text), format, args);
	/* The last one stands for all that follow. */
	if (problems->count == PROBLEMS_MAX)
		snprintf(p->text, sizeof(p->text),
			"too many problems: only the first %u are listed", PROBLEMS_MAX - 1);
}

void problem_error(struct policy_problems *problems, uint32_t line, const char *option,
	const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(problems, line, false, option, format, args);
	va_end(args);
}

void problem_warn(struct policy_problems *problems, uint32_t line, const char *option,
	const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(problems, line, true, option, format, args);
	va_end(args);
}

void problems_sort(struct policy_problems *problems)
{
	/* Insertion: the list is short and nearly in order, and equal lines keep theirs. */
	if (problems == NULL)
		return;
	for (uint32_t i = 1; i < problems->count; i++) {
		struct policy_problem moved = problems->list[i];
		uint32_t at = i;
		for (; at > 0 && problems->list[at - 1].line > moved.line; at--)
			problems->list[at] = problems->list[at - 1];
		problems->list[at] = moved;
	}
}

bool problem_reported(const struct policy_problems *problems, const char *option)
{
	size_t len = strlen(option);

	for (uint32_t i = 0; problems != NULL && i < problems->count; i++) {
		const struct policy_problem *p = &problems->list[i];
		if (!p->is_warning && strncmp(p->option, option, len) == 0 &&
			strchr(".[", p->option[len]) != NULL)
			return true;
	}
	return false;
}

void policy_problems_free(struct policy_problems *problems)
{
	free(problems->list);
	memset(problems, 0, sizeof(*problems));
}

const char *problem_quote(const char *text, char quoted[QUOTE_MAX])
{
	size_t len = 0;

	quoted[len++] = '"';
	for (; *text != '\0' && len < QUOTE_MAX - 5; text++)
		quoted[len++] = isprint((unsigned char)*text) ? *text : '?';
	if (*text != '\0')
		for (int i = 0; i < 3; i++)
			quoted[len++] = '.';
	quoted[len++] = '"';
	quoted[len] = '\0';
	return quoted;
}

/* Edits (insert, delete, replace, swap of neighbours) that turn a into b. */
static unsigned edit_distance(const char *a, unsigned a_len, const char *b, unsigned b_len)
{
	unsigned rows[SIMILAR_LEN_MAX + 1][SIMILAR_LEN_MAX + 1];

	for (unsigned i = 0; i <= a_len; i++)
		rows[i][0] = i;
	for (unsigned j = 0; j <= b_len; j++)
		rows[0][j] = j;
	for (unsigned i = 1; i <= a_len; i++) {
		for (unsigned j = 1; j <= b_len; j++) {
			int x = tolower((unsigned char)a[i - 1]);
			int y = tolower((unsigned char)b[j - 1]);
			unsigned best = rows[i - 1][j - 1] + (x != y);
			if (rows[i - 1][j] + 1 < best)
				best = rows[i - 1][j] + 1;
			if (rows[i][j - 1] + 1 < best)
				best = rows[i][j - 1] + 1;
			if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
				y == tolower((unsigned char)a[i - 2]) &&
				rows[i - 2][j - 2] + 1 < best)
				best = rows[i - 2][j - 2] + 1;
			rows[i][j] = best;
		}
	}
	return rows[a_len][b_len];
}

bool problem_similar(const char *written, const char *word)
{
	size_t written_len = strlen(written), word_len = strlen(word);

	if (written_len < 2 || written_len > SIMILAR_LEN_MAX || word_len > SIMILAR_LEN_MAX)
		return false;
	unsigned allowed = word_len <= 3 ? 1 : word_len <= 8 ? 2 : 3;
	return edit_distance(written, (unsigned)written_len, word, (unsigned)word_len) <= allowed;
}
