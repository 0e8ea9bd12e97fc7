/* SPDX-License-Identifier: BSD-3-Clause */
/* `show ports`: straight from the counter segment, without asking the daemon. */
#include "controlplane/cli/cli.h"

static const char *const side_words[] = {"lan", "wan", NULL};

static const struct column columns[] = {
	COLUMN(TEXT, "name", "PORT", counters_port, name),
	COLUMN(TEXT, "device", "DEVICE", counters_port, device),
	COLUMN(NUMBER, "bridge", "BRIDGE", counters_port, bridge),
	COLUMN_OF_WORDS("side", "SIDE", counters_port, is_wan, side_words),
	COLUMN(FLAG, "link_up", "LINK", counters_port, link_up),
	COLUMN(NUMBER, "speed_mbps", "MBIT/S", counters_port, speed_mbps),
	COLUMN(NUMBER, "mtu", "MTU", counters_port, mtu),
	COLUMN(NUMBER, "rx_queues", "RXQ", counters_port, rx_queues),
	COLUMN(NUMBER, "tx_queues", "TXQ", counters_port, tx_queues),
	COLUMN(COUNT, "rx_packets", "RX PACKETS", counters_port, rx_packets),
	COLUMN(BYTES, "rx_bytes", "BYTES", counters_port, rx_bytes),
	COLUMN(COUNT, "rx_missed", "MISSED", counters_port, rx_missed),
	COLUMN(COUNT, "rx_errors", "ERRORS", counters_port, rx_errors),
	COLUMN(COUNT, "rx_no_mbuf", "NO BUFFER", counters_port, rx_no_mbuf),
	COLUMN(COUNT, "tx_packets", "TX PACKETS", counters_port, tx_packets),
	COLUMN(BYTES, "tx_bytes", "BYTES", counters_port, tx_bytes),
	COLUMN(COUNT, "tx_errors", "ERRORS", counters_port, tx_errors),
};

int cmd_show_ports(struct cli *cli, int argc, char **argv)
{
	struct rows rows = {.row_bytes = sizeof(struct counters_port)};
	const struct counters_header *header;

	if (cli_options(cli, argc, argv, NULL, 0) != 0 || cli_client(cli) == NULL)
		return 1;
	header = client_counters(cli->client);
	for (uint32_t i = 0; i < header->ports; i++) {
		struct counters_port *row = rows_add(&rows);

		if (row != NULL)
			*row = *counters_port((void *)(uintptr_t)header, i);
	}
	out_table(&cli->out, "ports", columns, COUNT_OF(columns), &rows, "no ports");
	rows_free(&rows);
	return 0;
}
