/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration text before libconfig sees it. @include is carried out here, so that a text from a
 * client can be refused the right to open files, errors can name the right line, and everything is
 * bounded: libconfig by itself recurses, searches linearly and opens what it is told to.
 */
#include "controlplane/policy/source.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 256

enum state { NORMAL, STRING, COMMENT, LINE_COMMENT };

struct scan {
	struct source *source;
	struct policy_problems *problems;
	bool may_include;
	bool failed;
	enum state state;
	uint32_t opened_line; /* where the string or comment began */
	uint32_t string_len;
	bool long_number; /* a number of 10 digits and more ends at this character */
	uint32_t include_depth;
	char previous;	 /* last character that is neither space nor comment, '"' for a string */
	size_t comma_at; /* where in the text it is, if it is a comma */
	uint32_t values;
	uint32_t depth;
	char opened[SOURCE_DEPTH_MAX + 1];	/* the bracket of each open group or list */
	uint32_t members[SOURCE_DEPTH_MAX + 1]; /* options so far in each open group */
};

static int scan_file(struct scan *scan, const char *file);

static uint32_t here(const struct scan *scan)
{
	return scan->source->line_count;
}

#define SCAN_ERROR(scan, ...)                                                                      \
	do {                                                                                       \
		problem_error((scan)->problems, here(scan), "", __VA_ARGS__);                      \
		(scan)->failed = true;                                                             \
	} while (0)

static int emit(struct scan *scan, char c)
{
	struct source *s = scan->source;

	if (s->len >= SOURCE_BYTES_MAX) {
		SCAN_ERROR(scan, "more than %u bytes of configuration", SOURCE_BYTES_MAX);
		return -EINVAL;
	}
	if (s->len + 2 > s->text_capacity) {
		size_t capacity = s->text_capacity == 0 ? 4096 : s->text_capacity * 2;
		char *text = realloc(s->text, capacity);
		if (text == NULL) {
			SCAN_ERROR(scan, "out of memory");
			return -ENOMEM;
		}
		s->text = text;
		s->text_capacity = capacity;
	}
	s->text[s->len++] = c;
	s->text[s->len] = '\0';
	return 0;
}

static int begin_line(struct source *s, uint32_t file, uint32_t line, uint32_t main_line)
{
	if (s->line_count + 1 >= s->line_capacity) {
		uint32_t capacity = s->line_capacity == 0 ? 256 : s->line_capacity * 2;
		void *lines = realloc(s->lines, capacity * sizeof(*s->lines));
		if (lines == NULL)
			return -ENOMEM;
		s->lines = lines;
		s->line_capacity = capacity;
	}
	s->lines[++s->line_count] = (struct source_line){file, line, main_line};
	return 0;
}

/* Length of the UTF-8 character at p, 0 if it is none (RFC 3629: no surrogates, shortest form). */
static unsigned utf8_length(const unsigned char *p, size_t left)
{
	unsigned len = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;

	if (len == 1)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4 || left < len)
		return 0;
	for (unsigned i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

static bool is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '*';
}

/*
 * A number that may not fit 32 bits: libconfig 1.5 would cut it off without a word, but keeps 64
 * bits of one that ends in "L". p is at its last digit.
 */
static bool is_long_number(const char *text, const char *p, char next)
{
	const char *first = p;

	if (isdigit((unsigned char)next) || next == '.' || next == 'L' || next == 'e' ||
		next == 'E')
		return false;
	while (first > text && isdigit((unsigned char)first[-1]))
		first--;
	if (p - first + 1 <= 9)
		return false;
	/* Not a part of a name or of a fraction; a minus may stand before it. */
	char before = first > text ? first[-1] : '\n';
	if (before == '-' || before == '+')
		before = first - 1 > text ? first[-2] : '\n';
	return !is_name_char(before) && before != '.';
}

/* One character outside strings and comments: what of it needs a bound. */
static void count_structure(struct scan *scan, const char *p, char before, char next)
{
	switch (*p) {
	case '{':
	case '(':
	case '[':
		if (++scan->depth > SOURCE_DEPTH_MAX) {
			SCAN_ERROR(scan, "nested more than %u deep", SOURCE_DEPTH_MAX);
		} else {
			scan->members[scan->depth] = 0;
			scan->opened[scan->depth] = *p;
		}
		break;
	case '}':
	case ')':
	case ']':
		/* libconfig 1.5 does not take a comma after the last one of a list, 1.7 does. */
		if (*p != '}' && scan->previous == ',')
			scan->source->text[scan->comma_at] = ' ';
		if (scan->depth > 0)
			scan->depth--;
		break;
	case '=':
	case ':':
		if (++scan->members[scan->depth] > SOURCE_MEMBERS_MAX)
			SCAN_ERROR(scan, "more than %u options in one group", SOURCE_MEMBERS_MAX);
		__attribute__((fallthrough));
	case ',':
		if (++scan->values > SOURCE_VALUES_MAX)
			SCAN_ERROR(scan, "more than %u values in all", SOURCE_VALUES_MAX);
		break;
	case '0':
		/* libconfig would cut it to 32 bits without a word. */
		if ((next == 'x' || next == 'X') && !is_name_char(before))
			SCAN_ERROR(scan, "hexadecimal number; write it in decimal");
		break;
	}
}

/*
 * A string begins: only after = or within a list, or right after another one, which it continues.
 * Anywhere else libconfig would call it a syntax error and, in 1.5, leak it.
 */
static void check_string(struct scan *scan)
{
	char before = scan->previous, within = scan->opened[scan->depth];

	if (before == '"' || before == '=' || before == ':' || before == '(' || before == '[' ||
		(before == ',' && (within == '(' || within == '[')))
		return;
	SCAN_ERROR(scan,
		"a text in quotes where a name or the end of the setting should be; is = or ; "
		"missing before it?");
}

static void step(struct scan *scan, const char *text, size_t len, size_t *at)
{
	char c = text[*at];
	char next = *at + 1 < len ? text[*at + 1] : '\n';

	switch (scan->state) {
	case NORMAL:
		if (c == '#' || (c == '/' && next == '/')) {
			scan->state = LINE_COMMENT;
		} else if (c == '/' && next == '*') {
			scan->state = COMMENT;
			scan->opened_line = here(scan);
			emit(scan, c);
			++*at;
		} else if (c == '"') {
			scan->state = STRING;
			scan->opened_line = here(scan);
			scan->string_len = 0;
			check_string(scan);
			scan->previous = c;
		} else if (!isspace((unsigned char)c)) {
			count_structure(scan, &text[*at], *at > 0 ? text[*at - 1] : '\n', next);
			scan->long_number =
				isdigit((unsigned char)c) && is_long_number(text, &text[*at], next);
			scan->previous = c;
			scan->comma_at = scan->source->len;
		}
		break;
	case STRING:
		if (++scan->string_len == SOURCE_STRING_MAX)
			SCAN_ERROR(scan, "a string of more than %u bytes", SOURCE_STRING_MAX);
		if (c == '"') {
			scan->state = NORMAL;
		} else if (c == '\\' && (next == '"' || next == '\\')) {
			emit(scan, c);
			++*at;
		} else if (c == '\\' && (next == 'x' || next == 'X') && len - *at >= 4 &&
			   text[*at + 2] == '0' && text[*at + 3] == '0') {
			SCAN_ERROR(scan, "a NUL character in a string");
		}
		break;
	case COMMENT:
		if (c == '*' && next == '/') {
			scan->state = NORMAL;
			emit(scan, c);
			++*at;
		}
		break;
	case LINE_COMMENT:
		if (c == '\n')
			scan->state = NORMAL;
		break;
	}
}

/* Length of `@include` and the spaces before it if the line at p begins with it, else 0. */
static size_t include_at(const char *p, size_t left)
{
	static const char word[] = "@include";
	size_t n = 0;

	while (n < left && (p[n] == ' ' || p[n] == '\t'))
		n++;
	if (left - n < sizeof(word) - 1 || memcmp(p + n, word, sizeof(word) - 1) != 0)
		return 0;
	return n + sizeof(word) - 1;
}

/* The rest of an @include line: "path", then nothing but spaces or a comment. */
static int include_path(const char *p, size_t len, char path[POLICY_PATH_MAX])
{
	size_t n = 0, path_len = 0;

	while (n < len && (p[n] == ' ' || p[n] == '\t'))
		n++;
	if (n == 0 || n == len || p[n++] != '"')
		return -EINVAL;
	for (; n < len && p[n] != '"'; n++) {
		if (path_len == POLICY_PATH_MAX - 1)
			return -EINVAL;
		path[path_len++] = p[n];
	}
	if (n == len || path_len == 0)
		return -EINVAL;
	path[path_len] = '\0';
	for (n++; n < len && isspace((unsigned char)p[n]); n++)
		;
	return n == len || p[n] == '#' || (p[n] == '/' && n + 1 < len && p[n + 1] == '/') ? 0
											  : -EINVAL;
}

static int do_include(struct scan *scan, const char *rest, size_t len, uint32_t file)
{
	char path[POLICY_PATH_MAX], whole[2 * POLICY_PATH_MAX];
	const char *folder = scan->source->files[file], *slash = strrchr(folder, '/');

	if (!scan->may_include) {
		SCAN_ERROR(scan,
			"@include is only possible in a file, not in a text sent to the daemon");
		return -EINVAL;
	}
	if (include_path(rest, len, path) != 0) {
		SCAN_ERROR(scan, "@include wants the name of a file in quotes, alone on its line: "
				 "@include \"classes.conf\"");
		return -EINVAL;
	}
	if (scan->include_depth >= SOURCE_INCLUDE_MAX || scan->source->file_count >= FILES_MAX) {
		SCAN_ERROR(scan, "too many files included: at most %u deep and %u in all",
			SOURCE_INCLUDE_MAX, FILES_MAX - 1);
		return -EINVAL;
	}
	if (path[0] == '/' || slash == NULL)
		snprintf(whole, sizeof(whole), "%s", path);
	else
		snprintf(whole, sizeof(whole), "%.*s/%s", (int)(slash - folder), folder, path);
	scan->include_depth++;
	int rc = scan_file(scan, whole);
	scan->include_depth--;
	return rc;
}

static int scan_text(struct scan *scan, const char *text, size_t len, uint32_t file)
{
	struct source *s = scan->source;
	uint32_t main_line = file == 0 ? 0 : s->lines[s->line_count].main;
	uint32_t line = 0;
	bool line_begins = true;
	int rc;

	for (size_t i = 0; i < len && !scan->failed; i++) {
		if (line_begins) {
			line++;
			rc = begin_line(s, file, line, file == 0 ? line : main_line);
			if (rc != 0)
				return rc;
			line_begins = false;
			size_t word = include_at(text + i, len - i);
			if (word > 0 && scan->state == NORMAL) {
				const char *end = memchr(text + i, '\n', len - i);
				size_t line_len = end == NULL ? len - i : (size_t)(end - text) - i;
				rc = emit(scan, '\n');
				if (rc == 0)
					rc = do_include(
						scan, text + i + word, line_len - word, file);
				if (rc != 0)
					return rc;
				i += line_len;
				line_begins = true;
				continue;
			}
			if (word > 0 && scan->state == STRING) {
				SCAN_ERROR(scan, "@include inside of a string");
				return -EINVAL;
			}
			if (word > 0) {
				/* In a comment: libconfig must not take it for more than that. */
				for (; word > 0; word--, i++)
					if (emit(scan, ' ') != 0)
						return -EINVAL;
				if (i == len)
					break;
			}
		}
		unsigned char_len = utf8_length((const unsigned char *)text + i, len - i);
		if (char_len == 0 || text[i] == '\0') {
			SCAN_ERROR(scan, "%s: not a text file",
				text[i] == '\0' ? "a NUL byte" : "not UTF-8");
			return -EINVAL;
		}
		line_begins = text[i] == '\n';
		step(scan, text, len, &i);
		for (; char_len > 1; char_len--)
			if (emit(scan, text[i++]) != 0)
				return -EINVAL;
		rc = emit(scan, text[i]);
		if (rc == 0 && scan->long_number)
			rc = emit(scan, 'L');
		scan->long_number = false;
		if (rc != 0)
			return rc;
	}
	if (scan->failed)
		return -EINVAL;
	if (scan->state == STRING || scan->state == COMMENT) {
		problem_error(scan->problems, scan->opened_line, "",
			"%s begins here and never ends",
			scan->state == STRING ? "a string" : "a comment");
		return -EINVAL;
	}
	scan->state = NORMAL;
	/* libconfig ends a comment at the end of its line only. */
	return line_begins ? 0 : emit(scan, '\n');
}

static int add_file(struct source *s, const char *name)
{
	char **files = realloc(s->files, (s->file_count + 1) * sizeof(*files));

	if (files == NULL)
		return -ENOMEM;
	s->files = files;
	s->files[s->file_count] = strdup(name);
	if (s->files[s->file_count] == NULL)
		return -ENOMEM;
	s->file_count++;
	return 0;
}

static int read_whole(int fd, char *text, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, text + len, size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (int)len;
}

static int scan_file(struct scan *scan, const char *file)
{
	char quoted[QUOTE_MAX];
	struct stat st;
	char *text = NULL;
	int rc = -EINVAL;
	int fd = open(file, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) != 0) {
		SCAN_ERROR(scan, "can't read %s: %s", problem_quote(file, quoted), strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		SCAN_ERROR(scan, "%s is not a regular file", problem_quote(file, quoted));
		goto out;
	}
	if (st.st_size > SOURCE_BYTES_MAX) {
		SCAN_ERROR(scan, "%s has more than %u bytes", problem_quote(file, quoted),
			SOURCE_BYTES_MAX);
		goto out;
	}
	text = malloc((size_t)st.st_size + 1);
	rc = text == NULL ? -ENOMEM : read_whole(fd, text, (size_t)st.st_size);
	if (rc < 0) {
		SCAN_ERROR(scan, "can't read %s: %s", problem_quote(file, quoted), strerror(-rc));
		goto out;
	}
	size_t len = (size_t)rc;
	rc = add_file(scan->source, file);
	if (rc == 0)
		rc = scan_text(scan, text, len, scan->source->file_count - 1);
out:
	free(text);
	if (fd >= 0)
		close(fd);
	return rc;
}

int source_read_file(struct source *source, const char *file, struct policy_problems *problems)
{
	struct scan scan = {.source = source, .problems = problems, .may_include = true};

	memset(source, 0, sizeof(*source));
	int rc = scan_file(&scan, file);
	/* An empty file is a text too. */
	return rc == 0 && source->text == NULL ? emit(&scan, '\n') : rc;
}

int source_read_text(struct source *source, const char *text, size_t len, const char *name,
	struct policy_problems *problems)
{
	struct scan scan = {.source = source, .problems = problems};

	memset(source, 0, sizeof(*source));
	if (len > SOURCE_BYTES_MAX) {
		SCAN_ERROR(&scan, "more than %u bytes of configuration", SOURCE_BYTES_MAX);
		return -EINVAL;
	}
	int rc = add_file(source, name);
	if (rc == 0)
		rc = scan_text(&scan, text, len, 0);
	return rc == 0 && source->text == NULL ? emit(&scan, '\n') : rc;
}

void source_free(struct source *source)
{
	for (uint32_t i = 0; i < source->file_count; i++)
		free(source->files[i]);
	free(source->files);
	free(source->lines);
	free(source->text);
	memset(source, 0, sizeof(*source));
}

static const struct source_line *find_line(const struct source *source, uint32_t line)
{
	if (line == 0 || source->line_count == 0)
		return NULL;
	/* The end of the text counts as its last line. */
	return &source->lines[line <= source->line_count ? line : source->line_count];
}

uint32_t source_main_line(const struct source *source, uint32_t line)
{
	const struct source_line *from = find_line(source, line);

	return from == NULL ? 0 : from->main;
}

void source_place(const struct source *source, struct policy_problems *problems, uint32_t from)
{
	if (problems == NULL)
		return;
	for (uint32_t i = from; i < problems->count; i++) {
		struct policy_problem *p = &problems->list[i];
		const struct source_line *line = find_line(source, p->line);
		if (line == NULL)
			continue;
		p->line = line->main;
		if (line->file != 0) {
			char prefix[QUOTE_MAX + 20], quoted[QUOTE_MAX];
			int n = snprintf(prefix, sizeof(prefix),
				"%s line %u: ", problem_quote(source->files[line->file], quoted),
				line->line);
			memmove(p->text + n, p->text, sizeof(p->text) - (size_t)n);
			memcpy(p->text, prefix, (size_t)n);
			p->text[sizeof(p->text) - 1] = '\0';
		}
	}
}
