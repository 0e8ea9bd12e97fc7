/* SPDX-License-Identifier: BSD-3-Clause */
/* `show transactions`: requests and their times by class; transaction_rows.h has the rows. */
#include "controlplane/cli/cli.h"
#include "controlplane/cli/transaction_rows.h"

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
	for (size_t i = 0; i < records.count; i++)
		transaction_rows_add(&rows, rows_at(&records, i));
	out_table(&cli->out, "transactions", transaction_columns, transaction_column_count, &rows,
		"no classes");
	rows_free(&rows);
	rows_free(&records);
	return 0;
}
