/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `show transactions`: requests and their times, a row a class and kind: connections, requests of
 * TCP in general, of HTTP/1, TLS handshakes and DNS queries.
 */
#include <math.h>
#include <string.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/format.h"

enum kind { CONNECT, TCP, HTTP, TLS, DNS };
static const char *const kind_words[] = {"connect", "tcp", "http", "tls", "dns", NULL};

struct transaction_row {
	struct transactions_record r;
	uint64_t kind, count, failed;
	double per_s, per_connection;
	struct channel_dist first_byte, whole;
	uint64_t request_bytes, response_bytes; /* means */
	char request[FORMAT_MAX], response[FORMAT_MAX];
};

static const struct column columns[] = {
	COLUMN(TEXT, "class", "CLASS", transaction_row, r.class_name),
	COLUMN_OF_WORDS("kind", "KIND", transaction_row, kind, kind_words),
	COLUMN(COUNT, "count", "COUNT", transaction_row, count),
	COLUMN(RATIO, "per_s", "PER S", transaction_row, per_s),
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
	COLUMN(COUNT, "dns_again", NULL, transaction_row, r.dns_again),
	COLUMN(COUNT, "dns_servfail", NULL, transaction_row, r.dns_servfail),
	COLUMN(COUNT, "dns_nxdomain", NULL, transaction_row, r.dns_nxdomain),
	COLUMN(COUNT, "dns_timeouts", NULL, transaction_row, r.dns_timeouts),
	COLUMN(DIST, "first_byte", NULL, transaction_row, first_byte),
	COLUMN(DIST, "whole", NULL, transaction_row, whole),
};

/* A row of its own for what there was of a kind. */
static struct transaction_row *add_row(
	struct rows *rows, const struct transactions_record *r, enum kind kind, uint64_t count)
{
	struct transaction_row *row = rows_add(rows);

	if (row == NULL)
		return NULL;
	row->r = *r;
	row->kind = kind;
	row->count = count;
	row->per_s = row->per_connection = NAN;
	return row;
}

static double ratio(uint64_t part, uint64_t whole)
{
	return whole == 0 ? NAN : (double)part / (double)whole;
}

static void add_tcp(struct rows *rows, const struct transactions_record *r)
{
	struct transaction_row *row = add_row(rows, r, CONNECT, r->connections);

	if (row == NULL)
		return;
	row->per_s = (double)r->connections_per_s_1000 / 1000;
	row->failed = r->connections_failed;
	row->whole = r->connect;
	row = add_row(rows, r, TCP, r->requests);
	if (row == NULL)
		return;
	row->per_s = (double)r->requests_per_s_1000 / 1000;
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

int cmd_show_transactions(struct cli *cli, int argc, char **argv)
{
	struct rows rows = {.row_bytes = sizeof(struct transaction_row)}, records;
	struct cli_option options[] = {{.name = "--class"}};
	struct page_request request = {0};

	if (cli_options(cli, argc, argv, options, 1) != 0 ||
		cli_list(cli, MESSAGE_TRANSACTIONS, &request, &records) != 0)
		return 1;
	if (cli_keep(cli, "class", options[0].value,
		    offsetof(struct transactions_record, class_name), &records) != 0)
		return 1;
	for (size_t i = 0; i < records.count; i++) {
		add_tcp(&rows, rows_at(&records, i));
		add_others(&rows, rows_at(&records, i));
	}
	out_table(&cli->out, "transactions", columns, COUNT_OF(columns), &rows, "no classes");
	rows_free(&rows);
	rows_free(&records);
	return 0;
}
