/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Output, twice from one description: a table for people, or a JSON document of plain numbers for
 * programs. A subject describes its rows once, as columns; cli.h collects the rows, format.h
 * writes the numbers.
 */
#ifndef SLUICE_CLI_OUT_H
#define SLUICE_CLI_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

enum column_kind {
	COLUMN_TEXT,	   /* char[size] */
	COLUMN_WORD,	   /* uint64_t index into words */
	COLUMN_NUMBER,	   /* uint64_t or uint32_t; identifiers: printed without separators */
	COLUMN_SIGNED,	   /* int64_t */
	COLUMN_COUNT,	   /* uint64_t */
	COLUMN_BYTES,	   /* uint64_t */
	COLUMN_RATE,	   /* uint64_t, bit/s */
	COLUMN_LIMIT,	   /* the same, 0 prints as "-" */
	COLUMN_RATE_BRIEF, /* the same two without "bit/s", for wide tables */
	COLUMN_LIMIT_BRIEF,
	COLUMN_TIME,	 /* uint64_t, ns; 0 prints as "-" */
	COLUMN_DURATION, /* uint64_t, ns, long */
	COLUMN_DATE,	 /* uint64_t, realtime ns */
	COLUMN_FLAG,	 /* uint64_t: yes or no */
	COLUMN_PERCENT,	 /* double; JSON: the fraction of 1 */
	COLUMN_RATIO,	 /* double */
	COLUMN_DIST,	 /* struct channel_dist, JSON only */
};

/* key: name in JSON, NULL: text only. title: heading of the text, NULL: JSON only. */
struct column {
	const char *key, *title;
	enum column_kind kind;
	size_t offset, size;
	const char *const *words; /* COLUMN_WORD, ends with NULL */
	/* Says nothing ("-", null) where the uint64_t at this offset is not 0; 0: always does. */
	size_t unless;
};

#define COLUMN(kind, key, title, type, field)                                                      \
	{                                                                                          \
		key, title, COLUMN_##kind, offsetof(struct type, field),                           \
			sizeof(((struct type *)0)->field), NULL, 0                                 \
	}
#define COLUMN_OF_WORDS(key, title, type, field, words)                                            \
	{                                                                                          \
		key, title, COLUMN_WORD, offsetof(struct type, field), sizeof(uint64_t), words, 0  \
	}

/* Rows of one size, growing. Zeroed: empty; row_bytes is set by who uses it. */
struct rows {
	size_t row_bytes, count, capacity;
	char *data;
};

/* A new zeroed row at the end, NULL without memory. */
void *rows_add(struct rows *rows);
void *rows_at(const struct rows *rows, size_t i);
void rows_free(struct rows *rows);

struct out {
	bool json;
	FILE *text;   /* where text goes */
	json_t *root; /* what the document has that is not printed yet, JSON mode only */
	bool begun;   /* something of it is printed */
	bool failed;
	size_t rows; /* of the table that is being printed */
};

/* Start over: an empty document in JSON mode. */
void out_start(struct out *out);

/* JSON mode: print the rest of the document. 0, or -EIO if it could not be written. Text mode:
 * flush. */
int out_finish(struct out *out);

/* A table of rows, `key` in JSON. `none` is printed as text in place of an empty table. */
void out_table(struct out *out, const char *key, const struct column *columns, size_t column_count,
	const struct rows *rows, const char *none);

/* JSON mode only: the same row by row, each printed at once. There may be hundreds of thousands. */
void out_rows_start(struct out *out, const char *key);
void out_row(
	struct out *out, const struct column *columns, size_t column_count, const void *record);
void out_rows_end(struct out *out);

/* One record, a line a field; an object `key` in JSON. */
void out_record(struct out *out, const char *key, const struct column *columns, size_t column_count,
	const void *record);

/* The JSON of one record; the caller owns it. */
json_t *out_json_record(const struct column *columns, size_t column_count, const void *record);

/* A JSON string of at most len bytes, up to the first NUL. What is not UTF-8 becomes '?'. */
json_t *out_json_string(const char *text, size_t len);

/* Make text from elsewhere fit for a terminal: what is not printable ASCII becomes '?'. */
void out_clean(char *text);

/* Text only: formatted, nothing in JSON mode. */
void out_text(struct out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

extern const char *const out_way_words[];	  /* enum channel_way */
extern const char *const out_compression_words[]; /* enum channel_compression */

#endif
