/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `show loss`: TCP loss as the retransmissions tell it, by class, way and side of the box; and the
 * exact loss of the peer links, from their sequence numbers.
 */
#include "controlplane/cli/cli.h"

struct loss_row {
	struct loss_record r;
	double before, after;
	double network, receiver, sender; /* shares of the time of transfers */
};

static const struct column class_columns[] = {
	COLUMN(TEXT, "class", "CLASS", loss_row, r.class_name),
	COLUMN_OF_WORDS("way", "WAY", loss_row, r.way, out_way_words),
	COLUMN(COUNT, "packets", "TCP PACKETS", loss_row, r.packets),
	COLUMN(COUNT, "lost_before", "LOST BEFORE", loss_row, r.lost_before),
	COLUMN(PERCENT, "loss_before", "LOSS", loss_row, before),
	COLUMN(COUNT, "lost_after", "LOST AFTER", loss_row, r.lost_after),
	COLUMN(PERCENT, "loss_after", "LOSS", loss_row, after),
	COLUMN(COUNT, "reordered", "REORDERED", loss_row, r.reordered),
	COLUMN(COUNT, "duplicate", "DUPLICATE", loss_row, r.duplicate),
	COLUMN(COUNT, "fast", "FAST", loss_row, r.fast),
	COLUMN(COUNT, "timeout", "TIMEOUT", loss_row, r.timeout),
	COLUMN(COUNT, "dsacks", NULL, loss_row, r.dsacks),
	COLUMN(COUNT, "copies", NULL, loss_row, r.copies),
	COLUMN(BYTES, "reorder_max_bytes", NULL, loss_row, r.reorder_max_bytes),
	COLUMN(COUNT, "ce", NULL, loss_row, r.ce),
	COLUMN(COUNT, "zero_windows", NULL, loss_row, r.zero_windows),
	COLUMN(PERCENT, "limited_network", NULL, loss_row, network),
	COLUMN(PERCENT, "limited_receiver", NULL, loss_row, receiver),
	COLUMN(PERCENT, "limited_sender", NULL, loss_row, sender),
	COLUMN(COUNT, "connections", NULL, loss_row, r.connections),
	COLUMN(COUNT, "syn_retries", NULL, loss_row, r.syn_retries),
	COLUMN(COUNT, "refused", NULL, loss_row, r.refused),
	COLUMN(COUNT, "timed_out", NULL, loss_row, r.timed_out),
	COLUMN(COUNT, "resets", NULL, loss_row, r.resets),
	COLUMN(NUMBER, "window_ns", NULL, loss_row, r.window_ns),
};

static const struct column peer_columns[] = {
	COLUMN(TEXT, "peer", "PEER", loss_row, r.peer),
	COLUMN_OF_WORDS("way", "WAY", loss_row, r.way, out_way_words),
	COLUMN(COUNT, "packets", "FRAMES", loss_row, r.packets),
	COLUMN(COUNT, "lost", "LOST", loss_row, r.lost_before),
	COLUMN(PERCENT, "loss", "LOSS", loss_row, before),
	COLUMN(COUNT, "reordered", "REORDERED", loss_row, r.reordered),
	COLUMN(COUNT, "duplicate", "DUPLICATE", loss_row, r.duplicate),
	COLUMN(NUMBER, "window_ns", NULL, loss_row, r.window_ns),
};

/* The records of classes or those of peers. */
static void select_rows(const struct rows *records, bool of_peers, struct rows *rows)
{
	*rows = (struct rows){.row_bytes = sizeof(struct loss_row)};
	for (size_t i = 0; i < records->count; i++) {
		const struct loss_record *r = rows_at(records, i);
		struct loss_row *row;

		if ((r->peer[0] != '\0') != of_peers)
			continue;
		row = rows_add(rows);
		if (row == NULL)
			return;
		row->r = *r;
		row->before = cli_share(r->lost_before, r->packets);
		row->after = cli_share(r->lost_after, r->packets);
		uint64_t limited = r->limited_ns[CHANNEL_LIMIT_NETWORK] +
				   r->limited_ns[CHANNEL_LIMIT_RECEIVER] +
				   r->limited_ns[CHANNEL_LIMIT_SENDER];
		row->network = cli_share(r->limited_ns[CHANNEL_LIMIT_NETWORK], limited);
		row->receiver = cli_share(r->limited_ns[CHANNEL_LIMIT_RECEIVER], limited);
		row->sender = cli_share(r->limited_ns[CHANNEL_LIMIT_SENDER], limited);
	}
}

int cmd_show_loss(struct cli *cli, int argc, char **argv)
{
	struct cli_option options[] = {{.name = "--class"}, {.name = "--window"}};
	struct window_request request = {0};
	struct rows records, rows;
	uint64_t window_ns = 0;

	if (cli_options(cli, argc, argv, options, 2) != 0 ||
		cli_window(cli, options[1].value, &request.window) != 0 ||
		cli_list(cli, MESSAGE_LOSS, &request, &records) != 0)
		return 1;
	if (cli_keep(cli, "class", options[0].value, offsetof(struct loss_record, class_name),
		    &records) != 0)
		return 1;
	for (size_t i = 0; i < records.count; i++) {
		const struct loss_record *r = rows_at(&records, i);

		window_ns = r->window_ns > window_ns ? r->window_ns : window_ns;
	}
	cli_say_window(cli, request.window, window_ns);
	select_rows(&records, false, &rows);
	out_table(&cli->out, "loss", class_columns, COUNT_OF(class_columns), &rows, "no classes");
	rows_free(&rows);
	if (options[0].value == NULL) {
		select_rows(&records, true, &rows);
		out_text(&cli->out, "\n");
		out_table(&cli->out, "links", peer_columns, COUNT_OF(peer_columns), &rows,
			"no peers are configured");
		rows_free(&rows);
	}
	rows_free(&records);
	return 0;
}
