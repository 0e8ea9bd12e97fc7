/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables and JSON from one description of columns. out.h is the manual. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/channel/messages.h"
#include "controlplane/cli/format.h"
#include "controlplane/cli/out.h"

#define CELL_MAX 264
#define INDENT 2 /* of JSON, a level */

const char *const out_way_words[] = {"up", "down", NULL};
const char *const out_compression_words[] = {"off", "on", "dry-run", NULL};

void *rows_add(struct rows *rows)
{
	if (rows->count == rows->capacity) {
		size_t capacity = rows->capacity == 0 ? 32 : rows->capacity * 2;
		char *data = reallocarray(rows->data, capacity, rows->row_bytes);

		if (data == NULL)
			return NULL;
		rows->data = data;
		rows->capacity = capacity;
	}
	return memset(rows->data + rows->row_bytes * rows->count++, 0, rows->row_bytes);
}

void *rows_at(const struct rows *rows, size_t i)
{
	return rows->data + rows->row_bytes * i;
}

void rows_free(struct rows *rows)
{
	free(rows->data);
	*rows = (struct rows){.row_bytes = rows->row_bytes};
}

void out_start(struct out *out)
{
	json_decref(out->root);
	out->root = out->json ? json_object() : NULL;
	out->begun = false;
}

/* A value as it stands in a document, `depth` levels down. */
static void print_json(struct out *out, const json_t *value, int depth)
{
	char *text = json_dumps(value, JSON_INDENT(INDENT) | JSON_ENCODE_ANY);

	if (text == NULL) {
		out->failed = true;
		return;
	}
	for (const char *line = text, *end;; line = end + 1) {
		end = strchrnul(line, '\n');
		fwrite(line, 1, (size_t)(end - line), out->text);
		if (*end == '\0')
			break;
		fprintf(out->text, "\n%*s", INDENT * depth, "");
	}
	free(text);
}

/* The document up to the value of a key. */
static void print_key(struct out *out, const char *key)
{
	json_t *name = json_string(key);

	fprintf(out->text, "%s\n%*s", out->begun ? "," : "{", INDENT, "");
	out->begun = true;
	print_json(out, name, 0);
	fputs(": ", out->text);
	json_decref(name);
}

/* What the document has so far, and begin anew behind it. */
static void print_root(struct out *out)
{
	const char *key;
	json_t *value;

	json_object_foreach(out->root, key, value)
	{
		print_key(out, key);
		print_json(out, value, 1);
	}
	json_object_clear(out->root);
}

int out_finish(struct out *out)
{
	bool failed;

	if (out->json) {
		print_root(out);
		if (out->begun)
			fputs("\n}\n", out->text);
	}
	json_decref(out->root);
	out->root = NULL;
	failed = out->failed;
	out->failed = false;
	return fflush(out->text) != 0 || failed || ferror(out->text) ? -EIO : 0;
}

void out_rows_start(struct out *out, const char *key)
{
	print_root(out);
	print_key(out, key);
	fputc('[', out->text);
	out->rows = 0;
}

void out_row(struct out *out, const struct column *columns, size_t column_count, const void *record)
{
	json_t *row = out_json_record(columns, column_count, record);

	fprintf(out->text, "%s\n%*s", out->rows++ > 0 ? "," : "", 2 * INDENT, "");
	print_json(out, row, 2);
	json_decref(row);
}

void out_rows_end(struct out *out)
{
	if (out->rows > 0)
		fprintf(out->text, "\n%*s", INDENT, "");
	fputc(']', out->text);
}

static const char *word_of(const struct column *column, uint64_t value)
{
	uint64_t i = 0;

	while (column->words[i] != NULL && i < value)
		i++;
	return column->words[i] != NULL ? column->words[i] : "unknown";
}

static uint64_t number_of(const struct column *column, const void *record)
{
	const char *at = (const char *)record + column->offset;
	uint64_t value = 0;

	memcpy(&value, at, column->size == 4 ? 4 : 8);
	return value;
}

static double double_of(const struct column *column, const void *record)
{
	double value;

	memcpy(&value, (const char *)record + column->offset, sizeof(value));
	return value;
}

static bool says_nothing(const struct column *column, const void *record)
{
	uint64_t flag = 0;

	if (column->unless != 0)
		memcpy(&flag, (const char *)record + column->unless, sizeof(flag));
	return flag != 0;
}

json_t *out_json_string(const char *text, size_t len)
{
	len = strnlen(text, len);

	json_t *string = json_stringn(text, len);
	char *copy = string == NULL ? strndup(text, len) : NULL;

	if (copy == NULL)
		return string;
	for (size_t i = 0; i < len; i++)
		if ((signed char)copy[i] < 0)
			copy[i] = '?';
	string = json_stringn(copy, len);
	free(copy);
	return string;
}

/* JSON's integers are signed here; no counter gets that far. */
static json_t *json_number(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *json_dist(const struct channel_dist *dist)
{
	json_t *object = json_object();

	json_object_set_new(object, "samples", json_number(dist->samples));
	json_object_set_new(object, "min_ns", json_number(dist->min_ns));
	json_object_set_new(object, "p50_ns", json_number(dist->p50_ns));
	json_object_set_new(object, "p90_ns", json_number(dist->p90_ns));
	json_object_set_new(object, "p99_ns", json_number(dist->p99_ns));
	json_object_set_new(object, "p999_ns", json_number(dist->p999_ns));
	json_object_set_new(object, "max_ns", json_number(dist->max_ns));
	return object;
}

static json_t *json_value(const struct column *c, const void *record)
{
	const char *at = (const char *)record + c->offset;
	json_t *value;

	if (says_nothing(c, record))
		return json_null();
	switch (c->kind) {
	case COLUMN_TEXT:
		return out_json_string(at, c->size);
	case COLUMN_WORD:
		return json_string(word_of(c, number_of(c, record)));
	case COLUMN_FLAG:
		return json_boolean(number_of(c, record));
	case COLUMN_PERCENT:
	case COLUMN_RATIO:
		value = json_real(double_of(c, record));
		/* Not a number: nothing to divide by. */
		return value != NULL ? value : json_null();
	case COLUMN_SIGNED:
		return json_integer((json_int_t)number_of(c, record));
	case COLUMN_DIST:
		return json_dist((const struct channel_dist *)at);
	default:
		return json_number(number_of(c, record));
	}
}

json_t *out_json_record(const struct column *columns, size_t column_count, const void *record)
{
	json_t *object = json_object();

	for (size_t i = 0; i < column_count; i++)
		if (columns[i].key != NULL)
			json_object_set_new(
				object, columns[i].key, json_value(&columns[i], record));
	return object;
}

void out_clean(char *text)
{
	for (; *text != '\0'; text++)
		if (!isprint((unsigned char)*text) || (signed char)*text < 0)
			*text = '?';
}

static void cell(const struct column *c, const void *record, char text[CELL_MAX])
{
	const char *at = (const char *)record + c->offset;
	char number[FORMAT_MAX] = "";
	uint64_t value;
	double real;

	if (says_nothing(c, record)) {
		strcpy(text, "-");
		return;
	}
	switch (c->kind) {
	case COLUMN_TEXT:
		snprintf(text, CELL_MAX, "%.*s", (int)strnlen(at, c->size), at);
		out_clean(text);
		if (text[0] == '\0')
			strcpy(text, "-");
		return;
	case COLUMN_PERCENT:
	case COLUMN_RATIO:
		real = double_of(c, record);
		if (!isfinite(real))
			strcpy(text, "-");
		else if (c->kind == COLUMN_PERCENT)
			snprintf(text, CELL_MAX, "%.*f %%", real > 0 && real < 0.01 ? 3 : 1,
				real * 100);
		else
			snprintf(text, CELL_MAX, "%.2f", real);
		return;
	default:
		break;
	}
	value = number_of(c, record);
	switch (c->kind) {
	case COLUMN_WORD:
		strcpy(text, word_of(c, value));
		return;
	case COLUMN_FLAG:
		strcpy(text, value ? "yes" : "no");
		return;
	case COLUMN_NUMBER:
		snprintf(text, CELL_MAX, "%llu", (unsigned long long)value);
		return;
	case COLUMN_SIGNED:
		snprintf(text, CELL_MAX, "%lld", (long long)value);
		return;
	case COLUMN_COUNT:
		format_count(value, number);
		break;
	case COLUMN_BYTES:
		format_bytes(value, number);
		break;
	case COLUMN_LIMIT:
	case COLUMN_LIMIT_BRIEF:
		if (value == 0) {
			strcpy(number, "-");
			break;
		}
		/* fall through */
	case COLUMN_RATE:
	case COLUMN_RATE_BRIEF:
		if (c->kind == COLUMN_RATE || c->kind == COLUMN_LIMIT)
			format_rate(value, number);
		else
			format_rate_brief(value, number);
		break;
	case COLUMN_TIME:
		if (value == 0)
			strcpy(number, "-");
		else
			format_time(value, number);
		break;
	case COLUMN_DURATION:
		format_duration(value, number);
		break;
	case COLUMN_DATE:
		format_date(value, number);
		break;
	default:
		break;
	}
	strcpy(text, number);
}

static bool is_left(enum column_kind kind)
{
	return kind == COLUMN_TEXT || kind == COLUMN_WORD || kind == COLUMN_FLAG ||
	       kind == COLUMN_DATE;
}

static void print_table(
	struct out *out, const struct column *columns, size_t column_count, const struct rows *rows)
{
	char text[CELL_MAX];
	int width[64];
	size_t shown[64], n = 0;

	for (size_t i = 0; i < column_count && n < COUNT_OF(shown); i++) {
		if (columns[i].title == NULL)
			continue;
		width[n] = (int)strlen(columns[i].title);
		for (size_t r = 0; r < rows->count; r++) {
			cell(&columns[i], rows_at(rows, r), text);
			if ((int)strlen(text) > width[n])
				width[n] = (int)strlen(text);
		}
		shown[n++] = i;
	}
	for (size_t r = 0; r <= rows->count; r++)
		for (size_t i = 0; i < n; i++) {
			const struct column *c = &columns[shown[i]];
			bool last = i + 1 == n;

			if (r == 0)
				snprintf(text, sizeof(text), "%s", c->title);
			else
				cell(c, rows_at(rows, r - 1), text);
			if (is_left(c->kind))
				fprintf(out->text, "%-*s%s", last ? 0 : width[i], text,
					last ? "\n" : "  ");
			else
				fprintf(out->text, "%*s%s", width[i], text, last ? "\n" : "  ");
		}
}

void out_table(struct out *out, const char *key, const struct column *columns, size_t column_count,
	const struct rows *rows, const char *none)
{
	if (!out->json) {
		if (rows->count == 0)
			fprintf(out->text, "%s\n", none);
		else
			print_table(out, columns, column_count, rows);
		return;
	}

	out_rows_start(out, key);
	for (size_t r = 0; r < rows->count; r++)
		out_row(out, columns, column_count, rows_at(rows, r));
	out_rows_end(out);
}

void out_record(struct out *out, const char *key, const struct column *columns, size_t column_count,
	const void *record)
{
	char text[CELL_MAX];
	int width = 0;

	if (out->json) {
		json_object_set_new(out->root, key, out_json_record(columns, column_count, record));
		return;
	}
	for (size_t i = 0; i < column_count; i++)
		if (columns[i].title != NULL && (int)strlen(columns[i].title) > width)
			width = (int)strlen(columns[i].title);
	for (size_t i = 0; i < column_count; i++) {
		if (columns[i].title == NULL)
			continue;
		cell(&columns[i], record, text);
		fprintf(out->text, "%-*s  %s\n", width, columns[i].title, text);
	}
}

void out_text(struct out *out, const char *format, ...)
{
	va_list args;

	if (out->json)
		return;
	va_start(args, format);
	vfprintf(out->text, format, args);
	va_end(args);
}
