/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests and their times as a table, a row a class and kind: connections, requests of TCP in
 * general, of HTTP/1, TLS handshakes and DNS queries. `show transactions` prints it of the daemon,
 * sluice-analyze of a capture.
 */
#ifndef SLUICE_CLI_TRANSACTION_ROWS_H
#define SLUICE_CLI_TRANSACTION_ROWS_H

#include "controlplane/channel/messages.h"
#include "controlplane/cli/format.h"
#include "controlplane/cli/out.h"

struct transaction_row {
	struct transactions_record r;
	uint64_t kind, count, failed;
	double per_s, per_connection;
	struct channel_dist first_byte, whole;
	uint64_t request_bytes, response_bytes; /* means */
	char request[FORMAT_MAX], response[FORMAT_MAX];
};

extern const struct column transaction_columns[];
extern const size_t transaction_column_count;

/* The rows of one class, as struct transaction_row. Without memory some are missing. */
void transaction_rows_add(struct rows *rows, const struct transactions_record *r);

#endif
