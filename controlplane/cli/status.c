/* SPDX-License-Identifier: BSD-3-Clause */
/* `show status` and `show links`: the appliance as a whole, and what its bridges carry. */
#include "controlplane/cli/cli.h"

static const char *const poll_words[] = {"adaptive", "busy", NULL};

static const struct column status_columns[] = {
	COLUMN(TEXT, "appliance", "appliance", status_record, appliance),
	COLUMN(TEXT, "version", "version", status_record, version),
	COLUMN(DURATION, "uptime_ns", "up for", status_record, uptime_ns),
	COLUMN(NUMBER, "policy_generation", "policy", status_record, policy_generation),
	COLUMN(TEXT, "policy_file", "from file", status_record, policy_file),
	COLUMN(TIME, "confirm_ns", "taken back in", status_record, confirm_ns),
	COLUMN(FLAG, "bypass", "bypass", status_record, bypass),
	COLUMN_OF_WORDS(
		"compression", "compression", status_record, compression, out_compression_words),
	COLUMN(NUMBER, "workers", "workers", status_record, workers),
	COLUMN_OF_WORDS("poll", "polling", status_record, poll_busy, poll_words),
	COLUMN(FLAG, "hugepages", "hugepages", status_record, hugepages),
	COLUMN(BYTES, "memory_bytes", "memory, at most", status_record, memory_bytes),
	COLUMN(COUNT, "buffers", "packet buffers", status_record, buffers),
	COLUMN(COUNT, "buffers_free", "  of them free", status_record, buffers_free),
	COLUMN(COUNT, "flows", "flows", status_record, flows),
	COLUMN(COUNT, "flows_max", "  room for", status_record, flows_max),
	COLUMN(NUMBER, "bridges", "bridges", status_record, bridges),
	COLUMN(NUMBER, "classes", "classes", status_record, classes),
	COLUMN(NUMBER, "classes_max", "  room for", status_record, classes_max),
	COLUMN(NUMBER, "rules", "rules", status_record, rules),
	COLUMN(NUMBER, "peers", "peers", status_record, peers),
	COLUMN(NUMBER, "peers_up", "  of them up", status_record, peers_up),
	COLUMN(RATE, "rate_up_bps", "rate up", status_record, rate_bps[CHANNEL_UP]),
	COLUMN(RATE, "rate_down_bps", "rate down", status_record, rate_bps[CHANNEL_DOWN]),
	COLUMN(NUMBER, "clients", "clients", status_record, clients),
};

int cmd_show_status(struct cli *cli, int argc, char **argv)
{
	struct channel_nothing nothing = {0};
	struct status_record status;

	if (cli_options(cli, argc, argv, NULL, 0) != 0 ||
		cli_record(cli, MESSAGE_STATUS, &nothing, &status) != 0)
		return 1;
	out_record(&cli->out, "status", status_columns, COUNT_OF(status_columns), &status);
	return 0;
}

static const struct column link_columns[] = {
	COLUMN(TEXT, "bridge", "BRIDGE", link_record, bridge),
	COLUMN_OF_WORDS("way", "WAY", link_record, way, out_way_words),
	COLUMN(TEXT, "port", "PORT", link_record, port),
	COLUMN(FLAG, "up", "LINK", link_record, up),
	COLUMN(LIMIT, "shaped_bps", "SHAPED", link_record, shaped_bps),
	COLUMN(LIMIT, "tracked_bps", "TRACKED", link_record, tracked_bps),
	COLUMN(TIME, "tracked_queue_ns", NULL, link_record, tracked_queue_ns),
	COLUMN(RATE, "rate_bps", "RATE", link_record, rate_bps),
	COLUMN(COUNT, "sent_packets", "PACKETS", link_record, sent_packets),
	COLUMN(BYTES, "sent_bytes", "BYTES", link_record, sent_bytes),
	COLUMN(COUNT, "backlog_packets", "WAITING", link_record, backlog_packets),
	COLUMN(BYTES, "backlog_bytes", "WAITING BYTES", link_record, backlog_bytes),
	COLUMN(SIGNED, "overhead_bytes", "OVERHEAD", link_record, overhead_bytes),
	COLUMN(NUMBER, "frame_min_bytes", NULL, link_record, frame_min_bytes),
};

int cmd_show_links(struct cli *cli, int argc, char **argv)
{
	struct page_request request = {0};
	struct rows rows;

	if (cli_options(cli, argc, argv, NULL, 0) != 0 ||
		cli_list(cli, MESSAGE_LINKS, &request, &rows) != 0)
		return 1;
	out_table(&cli->out, "links", link_columns, COUNT_OF(link_columns), &rows, "no bridges");
	rows_free(&rows);
	return 0;
}
