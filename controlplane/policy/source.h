/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The text of a configuration, made safe to parse: read from files with their @include lines
 * carried out, or taken from a buffer. libconfig sees only what this lets through. Private.
 */
#ifndef SLUICE_POLICY_SOURCE_H
#define SLUICE_POLICY_SOURCE_H

#include "controlplane/policy/problems.h"

/* Of the whole text, included files too: 131,072 classes of about 500 bytes, fewer with every
 * option given. */
#define SOURCE_BYTES_MAX (64u << 20)
#define SOURCE_DEPTH_MAX 16	  /* nested groups and lists; a policy needs 5 */
#define SOURCE_INCLUDE_MAX 8	  /* includes within includes */
#define SOURCE_VALUES_MAX 2097152 /* values in all; libconfig takes some 200 bytes for each */
#define SOURCE_MEMBERS_MAX 64	  /* options in one group; libconfig searches them one by one */
#define SOURCE_STRING_MAX 4096	  /* bytes of one string */

/* Where a line of the text came from. */
struct source_line {
	uint32_t file; /* index into files */
	uint32_t line; /* in that file */
	uint32_t main; /* in the main file: the same, or that of the @include */
};

struct source {
	char *text; /* NUL-terminated, no NUL inside, no @include left */
	size_t len, text_capacity;
	struct source_line *lines; /* lines[n] is line n of the text, counted from 1 */
	uint32_t line_count, line_capacity;
	char **files;
	uint32_t file_count;
};

/*
 * Fill `source`; what cannot be let through (missing or too large file, NUL, not UTF-8, nested too
 * deeply, an @include in a text) is added to problems. Lines in these problems are those of the
 * main file; where the fault is in an included file, the message names that file and its line.
 * Returns 0, -EINVAL when there was an error, -ENOMEM. source_free() in each case.
 */
int source_read_file(struct source *source, const char *file, struct policy_problems *problems);
int source_read_text(struct source *source, const char *text, size_t len, const char *name,
	struct policy_problems *problems);
void source_free(struct source *source);

/* Turn the lines of problems [from, count) from lines of the text into lines of the main file, and
 * name the included file where it is another one. */
void source_place(const struct source *source, struct policy_problems *problems, uint32_t from);

/* The line of the main file that line `line` of the text came from. */
uint32_t source_main_line(const struct source *source, uint32_t line);

#endif
