/* SPDX-License-Identifier: BSD-3-Clause */
/* `show peers`: sessions with the appliances at the other ends, and what their links lose. */
#include "controlplane/cli/cli.h"
#include "controlplane/cli/format.h"

static const char *const state_words[] = {"down", "connecting", "up", NULL};

struct peer_row {
	struct peer_record r;
	char address[FORMAT_MAX];
	double rx_loss, tx_loss;
};

static const struct column columns[] = {
	COLUMN(TEXT, "name", "PEER", peer_row, r.name),
	COLUMN(TEXT, "address", "ADDRESS", peer_row, address),
	COLUMN(TEXT, "bridge", "BRIDGE", peer_row, r.bridge),
	COLUMN_OF_WORDS("state", "STATE", peer_row, r.state, state_words),
	COLUMN(DATE, "since_realtime_ns", "SINCE", peer_row, r.since_realtime_ns),
	COLUMN(NUMBER, "session", "SESSION", peer_row, r.session),
	COLUMN(TEXT, "codec", "CODEC", peer_row, r.codec),
	COLUMN(TIME, "rtt_ns", "RTT", peer_row, r.rtt_ns),
	COLUMN(TIME, "jitter_ns", "JITTER", peer_row, r.jitter_ns),
	COLUMN(DIST, "delay_variation", NULL, peer_row, r.delay_variation),
	COLUMN(TIME, NULL, "DELAY VAR p50", peer_row, r.delay_variation.p50_ns),
	COLUMN(TIME, NULL, "p99", peer_row, r.delay_variation.p99_ns),
	COLUMN(NUMBER, "path_mtu", "MTU", peer_row, r.path_mtu),
	COLUMN(NUMBER, "peer_path_mtu", NULL, peer_row, r.peer_path_mtu),
};

static const struct column traffic_columns[] = {
	COLUMN(TEXT, "name", "PEER", peer_row, r.name),
	COLUMN(COUNT, "rx_frames", "RX FRAMES", peer_row, r.rx_frames),
	COLUMN(BYTES, "rx_bytes", "BYTES", peer_row, r.rx_bytes),
	COLUMN(COUNT, "rx_lost", "LOST", peer_row, r.rx_lost),
	COLUMN(PERCENT, "rx_loss", "LOSS", peer_row, rx_loss),
	COLUMN(COUNT, "rx_duplicate", "DUP", peer_row, r.rx_duplicate),
	COLUMN(COUNT, "rx_reordered", "REORD", peer_row, r.rx_reordered),
	COLUMN(COUNT, "rx_bad", "BAD", peer_row, r.rx_bad),
	COLUMN(COUNT, "tx_frames", "TX FRAMES", peer_row, r.tx_frames),
	COLUMN(BYTES, "tx_bytes", "BYTES", peer_row, r.tx_bytes),
	COLUMN(COUNT, "tx_lost", "LOST", peer_row, r.tx_lost),
	COLUMN(PERCENT, "tx_loss", "LOSS", peer_row, tx_loss),
	COLUMN(COUNT, "tx_duplicate", "DUP", peer_row, r.tx_duplicate),
	COLUMN(COUNT, "tx_reordered", "REORD", peer_row, r.tx_reordered),
	COLUMN(COUNT, "peer_rx_frames", NULL, peer_row, r.peer_rx_frames),
	COLUMN(TEXT, "error", "TROUBLE", peer_row, r.error),
};

int cmd_show_peers(struct cli *cli, int argc, char **argv)
{
	struct rows rows = {.row_bytes = sizeof(struct peer_row)}, records;
	struct page_request request = {0};
	json_t *array = json_array();

	if (cli_options(cli, argc, argv, NULL, 0) != 0 ||
		cli_list(cli, MESSAGE_PEERS, &request, &records) != 0) {
		json_decref(array);
		return 1;
	}
	for (size_t i = 0; i < records.count; i++) {
		struct peer_row *row = rows_add(&rows);

		if (row == NULL)
			break;
		row->r = *(const struct peer_record *)rows_at(&records, i);
		if (row->r.family != 0)
			format_address(row->r.address, row->address);
		row->rx_loss = cli_share(row->r.rx_lost, row->r.rx_frames + row->r.rx_lost);
		row->tx_loss = cli_share(row->r.tx_lost, row->r.peer_rx_frames + row->r.tx_lost);
		/* One object a peer for programs; people get two tables, which fit a screen. */
		json_t *object = out_json_record(columns, COUNT_OF(columns), row);
		json_t *traffic = out_json_record(traffic_columns, COUNT_OF(traffic_columns), row);

		json_object_update(object, traffic);
		json_decref(traffic);
		json_array_append_new(array, object);
	}
	if (cli->out.json) {
		json_object_set(cli->out.root, "peers", array);
	} else {
		out_table(&cli->out, "peers", columns, COUNT_OF(columns), &rows,
			"no peers are configured");
		if (rows.count > 0) {
			out_text(&cli->out, "\n");
			out_table(&cli->out, "peers", traffic_columns, COUNT_OF(traffic_columns),
				&rows, "");
		}
	}
	json_decref(array);
	rows_free(&rows);
	rows_free(&records);
	return 0;
}
