/* SPDX-License-Identifier: BSD-3-Clause */
/* `show flows`: the largest flows by one measure. flow_fill() is shared with explain.c. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/flows.h"
#include "controlplane/cli/format.h"

static const char *const by_words[] = {"rate", "rtt", "loss", "saved", "bytes", NULL};

const struct column flow_columns[] = {
	COLUMN(TEXT, NULL, "FROM", flow_row, from),
	COLUMN(TEXT, NULL, "TO", flow_row, to),
	COLUMN(TEXT, "proto", "PROTO", flow_row, proto),
	COLUMN(TEXT, "src", NULL, flow_row, src),
	COLUMN(NUMBER, "sport", NULL, flow_row, r.sport),
	COLUMN(TEXT, "dst", NULL, flow_row, dst),
	COLUMN(NUMBER, "dport", NULL, flow_row, r.dport),
	COLUMN(NUMBER, "vlan", NULL, flow_row, r.vlan),
	COLUMN(TEXT, "bridge", NULL, flow_row, r.bridge),
	COLUMN(NUMBER, "worker", NULL, flow_row, r.worker),
	COLUMN_OF_WORDS("opened", NULL, flow_row, r.opened_way, out_way_words),
	COLUMN(TEXT, "class", "CLASS", flow_row, r.class_name),
	COLUMN(TEXT, "peer", "PEER", flow_row, r.peer),
	COLUMN(RATE, "rate_up_bps", "RATE UP", flow_row, r.rate_bps[CHANNEL_UP]),
	COLUMN(RATE, "rate_down_bps", "DOWN", flow_row, r.rate_bps[CHANNEL_DOWN]),
	COLUMN(COUNT, "packets_up", NULL, flow_row, r.packets[CHANNEL_UP]),
	COLUMN(COUNT, "packets_down", NULL, flow_row, r.packets[CHANNEL_DOWN]),
	COLUMN(BYTES, "bytes_up", "BYTES UP", flow_row, r.bytes[CHANNEL_UP]),
	COLUMN(BYTES, "bytes_down", "DOWN", flow_row, r.bytes[CHANNEL_DOWN]),
	COLUMN(BYTES, "wire_bytes_up", NULL, flow_row, r.wire_bytes[CHANNEL_UP]),
	COLUMN(BYTES, "wire_bytes_down", NULL, flow_row, r.wire_bytes[CHANNEL_DOWN]),
	COLUMN(BYTES, "saved_bytes", "SAVED", flow_row, r.saved_bytes),
	COLUMN(TIME, "rtt_lan_min_ns", NULL, flow_row, r.rtt_lan_min_ns),
	COLUMN(TIME, "rtt_lan_last_ns", "RTT LAN", flow_row, r.rtt_lan_last_ns),
	COLUMN(TIME, "rtt_wan_min_ns", NULL, flow_row, r.rtt_wan_min_ns),
	COLUMN(TIME, "rtt_wan_last_ns", "WAN", flow_row, r.rtt_wan_last_ns),
	COLUMN(COUNT, "retransmits_up", "RETR UP", flow_row, r.retransmits[CHANNEL_UP]),
	COLUMN(COUNT, "retransmits_down", "DOWN", flow_row, r.retransmits[CHANNEL_DOWN]),
	COLUMN(FLAG, "compressing", NULL, flow_row, r.compressing),
	COLUMN(TIME, "idle_ns", NULL, flow_row, r.idle_ns),
	COLUMN(DURATION, "age_ns", "AGE", flow_row, r.age_ns),
};
const size_t flow_column_count = COUNT_OF(flow_columns);

static const struct column brief_columns[] = {
	COLUMN(TEXT, NULL, "FROM", flow_row, from),
	COLUMN(TEXT, NULL, "TO", flow_row, to),
	COLUMN(TEXT, NULL, "PROTO", flow_row, proto),
	COLUMN(TEXT, NULL, "CLASS", flow_row, r.class_name),
	COLUMN(RATE, NULL, "UP", flow_row, r.rate_bps[CHANNEL_UP]),
	COLUMN(RATE, NULL, "DOWN", flow_row, r.rate_bps[CHANNEL_DOWN]),
	COLUMN(BYTES, NULL, "SAVED", flow_row, r.saved_bytes),
	COLUMN(TIME, NULL, "RTT LAN", flow_row, r.rtt_lan_last_ns),
	COLUMN(TIME, NULL, "WAN", flow_row, r.rtt_wan_last_ns),
};

static void endpoint(char *text, size_t len, const char *address, uint32_t port)
{
	if (port == 0)
		snprintf(text, len, "%s", address);
	else if (strchr(address, ':') != NULL)
		snprintf(text, len, "[%s]:%u", address, port);
	else
		snprintf(text, len, "%s:%u", address, port);
}

void flow_fill(struct flow_row *row)
{
	static const struct {
		uint32_t number;
		const char *name;
	} protocols[] = {{IPPROTO_TCP, "tcp"}, {IPPROTO_UDP, "udp"}, {IPPROTO_ICMP, "icmp"},
		{IPPROTO_ICMPV6, "icmp6"}, {IPPROTO_ESP, "esp"}, {IPPROTO_AH, "ah"},
		{IPPROTO_GRE, "gre"}, {IPPROTO_SCTP, "sctp"}, {IPPROTO_IPIP, "ipip"}};

	if (row->r.family == 0) { /* everything that has no flow of its own */
		strcpy(row->from, "(other)");
		strcpy(row->to, "(other)");
		return;
	}
	format_address(row->r.src, row->src);
	format_address(row->r.dst, row->dst);
	endpoint(row->from, sizeof(row->from), row->src, row->r.sport);
	endpoint(row->to, sizeof(row->to), row->dst, row->r.dport);
	snprintf(row->proto, sizeof(row->proto), "%u", row->r.proto);
	for (size_t i = 0; i < COUNT_OF(protocols); i++)
		if (protocols[i].number == row->r.proto)
			strcpy(row->proto, protocols[i].name);
}

void flows_print(struct cli *cli, const struct rows *records, bool brief)
{
	struct rows rows = {.row_bytes = sizeof(struct flow_row)};

	for (size_t i = 0; i < records->count; i++) {
		struct flow_row *row = rows_add(&rows);

		if (row == NULL)
			break;
		row->r = *(const struct flow_record *)rows_at(records, i);
		flow_fill(row);
	}
	if (brief)
		out_table(&cli->out, "flows", brief_columns, COUNT_OF(brief_columns), &rows,
			"no flows");
	else
		out_table(&cli->out, "flows", flow_columns, flow_column_count, &rows, "no flows");
	rows_free(&rows);
}

int cmd_show_flows(struct cli *cli, int argc, char **argv)
{
	struct cli_option options[] = {{.name = "--top"}, {.name = "--by"}, {.name = "--class"}};
	struct flows_request request = {.top = 20};
	struct rows rows;

	if (cli_options(cli, argc, argv, options, COUNT_OF(options)) != 0)
		return 1;
	if (options[0].value != NULL &&
		cli_number(cli, "--top", options[0].value, 1, 100000, &request.top) != 0)
		return 1;
	if (options[1].value != NULL &&
		cli_word(cli, "--by", options[1].value, by_words, &request.by) != 0)
		return 1;
	if (options[2].value != NULL) {
		if (strlen(options[2].value) >= sizeof(request.class_name))
			return cli_error(cli, -EINVAL, "a class's name has at most %d characters",
				CHANNEL_NAME_MAX - 1);
		strcpy(request.class_name, options[2].value);
	}
	if (cli_list(cli, MESSAGE_FLOWS, &request, &rows) != 0)
		return 1;
	flows_print(cli, &rows, false);
	rows_free(&rows);
	return 0;
}
