/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of the configuration share: read a text and say in one line what was found, random
 * numbers that repeat, files in a folder of their own.
 */
#ifndef SLUICE_TESTS_POLICY_HELPER_H
#define SLUICE_TESTS_POLICY_HELPER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controlplane/policy/policy.h"
#include "tests/unit/unit.h"

/* All problems as "2 E classes[0].rate; 3 W peers[0].path", in *found. */
static inline void describe(const struct policy_problems *problems, char *found, size_t size)
{
	size_t len = 0;

	found[0] = '\0';
	for (uint32_t i = 0; i < problems->count && len < size; i++) {
		const struct policy_problem *p = &problems->list[i];
		len += (size_t)snprintf(found + len, size - len, "%s%u %c %s", i == 0 ? "" : "; ",
			p->line, p->is_warning ? 'W' : 'E', p->option);
	}
}

/* Read text; true if exactly the problems `expected` (in the words of describe()) were found. */
static inline bool finds(const char *text, const char *expected)
{
	struct policy_problems problems;
	char found[4096];
	struct policy *policy = policy_read_text(text, strlen(text), "test.conf", false, &problems);

	describe(&problems, found, sizeof(found));
	bool same = strcmp(found, expected) == 0 && (policy != NULL) == (problems.errors == 0);
	if (!same) {
		printf("     text:     %.300s\n     expected: %s\n     found:    %s\n", text,
			expected, found);
		for (uint32_t i = 0; i < problems.count; i++)
			printf("               %s\n", problems.list[i].text);
	}
	policy_free(policy);
	policy_problems_free(&problems);
	return same;
}

/* A policy that must be fine, warnings apart. */
static inline struct policy *read_good(const char *text)
{
	struct policy_problems problems;
	struct policy *policy = policy_read_text(text, strlen(text), "test.conf", false, &problems);

	for (uint32_t i = 0; policy == NULL && i < problems.count; i++)
		if (!problems.list[i].is_warning)
			printf("     %u: %s: %s\n", problems.list[i].line, problems.list[i].option,
				problems.list[i].text);
	policy_problems_free(&problems);
	return policy;
}

/* xorshift64*: the same numbers on each run. */
static inline uint64_t random_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL;
}

static inline uint64_t random_within(uint64_t *state, uint64_t low, uint64_t high)
{
	return low + random_next(state) % (high - low + 1);
}

/* A file in `folder`; its path is left in path. */
static inline void write_file(const char *folder, const char *name, const char *text, size_t len,
	mode_t mode, char path[256])
{
	snprintf(path, 256, "%s/%s", folder, name);
	FILE *f = fopen(path, "w");
	if (f == NULL)
		abort();
	fwrite(text, 1, len, f);
	fclose(f);
	chmod(path, mode);
}

#endif
