/* SPDX-License-Identifier: BSD-3-Clause */
/* Rows of transactions. transaction_rows.h is the manual. */
#include <math.h>
#include <stdio.h>

#include "controlplane/cli/transaction_rows.h"

enum kind { CONNECT, TCP, HTTP, TLS, DNS };
static const char *const kind_words[] = {"connect", "tcp", "http", "tls", "dns", NULL};

const struct column transaction_columns[] = {
	COLUMN(TEXT, "class", "CLASS", transaction_row, r.class_name),
	COLUMN_OF_WORDS("kind", "KIND", transaction_row, kind, kind_words),
	COLUMN(COUNT, "count", "COUNT", transaction_row, count),
	COLUMN(RATIO, "per_s", "PER S", transaction_row, per_s),
	{"open", "OPEN", COLUMN_COUNT, offsetof(struct transaction_row, r.open), sizeof(uint64_t),
		NULL, offsetof(struct transaction_row, kind)}, /* of CONNECT, which is 0 */
	COLUMN(RATIO, "per_connection", "PER CONN", transaction_row, per_connection),
	COLUMN(COUNT, "failed", "FAILED", transaction_row, failed),
	COLUMN(TIME, NULL, "FIRST p50", transaction_row, first_byte.p50_ns),
	COLUMN(TIME, NULL, "p99", transaction_row, first_byte.p99_ns),
	COLUMN(COUNT, NULL, "SAMPLES", transaction_row, whole.samples),
	COLUMN(TIME, NULL, "WHOLE p50", transaction_row, whole.p50_ns),
	COLUMN(TIME, NULL, "p90", transaction_row, whole.p90_ns),
	COLUMN(TIME, NULL, "p99", transaction_row, whole.p99_ns),
	COLUMN(TEXT, NULL, "REQUEST", transaction_row, request),
	COLUMN(TEXT, NULL, "RESPONSE", transaction_row, response),
	COLUMN(BYTES, "request_mean_bytes", NULL, transaction_row, request_bytes),
	COLUMN(BYTES, "response_mean_bytes", NULL, transaction_row, response_bytes),
	COLUMN(COUNT, "responses", NULL, transaction_row, r.responses),
	COLUMN(COUNT, "http_1xx", NULL, transaction_row, r.http_status[1]),
	COLUMN(COUNT, "http_2xx", NULL, transaction_row, r.http_status[2]),
	COLUMN(COUNT, "http_3xx", NULL, transaction_row, r.http_status[3]),
	COLUMN(COUNT, "http_4xx", NULL, transaction_row, r.http_status[4]),
	COLUMN(COUNT, "http_5xx", NULL, transaction_row, r.http_status[5]),
	COLUMN(COUNT, "tls_hellos", NULL, transaction_row, r.tls_hellos),
	COLUMN(COUNT, "dns_answers", NULL, transaction_row, r.dns_answers),
	COLUMN(COUNT, "dns_tcp_queries", NULL, transaction_row, r.dns_tcp_queries),
	COLUMN(COUNT, "dns_again", NULL, transaction_row, r.dns_again),
	COLUMN(COUNT, "dns_servfail", NULL, transaction_row, r.dns_servfail),
	COLUMN(COUNT, "dns_nxdomain", NULL, transaction_row, r.dns_nxdomain),
	COLUMN(COUNT, "dns_timeouts", NULL, transaction_row, r.dns_timeouts),
	COLUMN(DIST, "first_byte", NULL, transaction_row, first_byte),
	COLUMN(DIST, "whole", NULL, transaction_row, whole),
};
const size_t transaction_column_count = COUNT_OF(transaction_columns);

/* A row of its own for what there was of a kind. */
static struct transaction_row *add_row(
	struct rows *rows, const struct transactions_record *r, enum kind kind, uint64_t count)
{
	struct transaction_row *row = rows_add(rows);

	if (row == NULL)
		return NULL;
	row->r = *r;
	if (r->class_name[0] == '\0')
		snprintf(row->r.class_name, sizeof(row->r.class_name), "(all)");
	row->kind = kind;
	row->count = count;
	row->per_s = row->per_connection = NAN;
	return row;
}

static double ratio(uint64_t part, uint64_t whole)
{
	return whole == 0 ? NAN : (double)part / (double)whole;
}

static double per_s(uint64_t per_s_1000)
{
	return per_s_1000 == UINT64_MAX ? NAN : (double)per_s_1000 / 1000;
}

static void add_tcp(struct rows *rows, const struct transactions_record *r)
{
	struct transaction_row *row = add_row(rows, r, CONNECT, r->connections);

	if (row == NULL)
		return;
	row->per_s = per_s(r->connections_per_s_1000);
	row->failed = r->connections_failed;
	row->whole = r->connect;
	row = add_row(rows, r, TCP, r->requests);
	if (row == NULL)
		return;
	row->per_s = per_s(r->requests_per_s_1000);
	row->per_connection = ratio(r->requests, r->used);
	row->failed = r->aborted;
	row->first_byte = r->first_byte;
	row->whole = r->whole;
	if (r->responses > 0) {
		row->request_bytes = r->request_bytes / r->responses;
		format_bytes(row->request_bytes, row->request);
	}
	if (r->whole.samples > 0) {
		row->response_bytes = r->response_bytes / r->whole.samples;
		format_bytes(row->response_bytes, row->response);
	}
}

/* Of the others those that there were. */
static void add_others(struct rows *rows, const struct transactions_record *r)
{
	struct transaction_row *row;

	if (r->http_requests > 0 && (row = add_row(rows, r, HTTP, r->http_requests)) != NULL) {
		row->failed = r->http_status[5];
		row->first_byte = r->http_first_byte;
		row->whole = r->http_whole;
	}
	if (r->tls_hellos > 0 && (row = add_row(rows, r, TLS, r->tls_handshakes)) != NULL) {
		row->failed = r->tls_alerts;
		row->whole = r->tls;
	}
	if (r->dns_queries > 0 && (row = add_row(rows, r, DNS, r->dns_queries)) != NULL) {
		row->failed = r->dns_servfail + r->dns_timeouts;
		row->whole = r->dns;
	}
}

void transaction_rows_add(struct rows *rows, const struct transactions_record *r)
{
	add_tcp(rows, r);
	add_others(rows, r);
}
