/* SPDX-License-Identifier: BSD-3-Clause */
/* `explain flow`: what the policy in force does to a flow, and the flow itself if it is there. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "controlplane/cli/classes.h"
#include "controlplane/cli/cli.h"
#include "controlplane/cli/flows.h"

struct explain_row {
	struct explain_record e;
	char police[CLASSES_POLICE_MAX];
};

static const struct column columns[] = {
	COLUMN(TEXT, "bridge", "bridge", explain_row, e.bridge),
	COLUMN_OF_WORDS("opened", "opened", explain_row, e.opened_way, out_way_words),
	COLUMN(TEXT, "rule", "rule", explain_row, e.rule),
	COLUMN(NUMBER, "rule_line", "  in line", explain_row, e.rule_line),
	COLUMN(TEXT, "class", "class", explain_row, e.class_name),
	COLUMN(TEXT, "path", "  in the tree", explain_row, e.path),
	COLUMN(NUMBER, "priority", "priority", explain_row, e.priority),
	COLUMN(NUMBER, "weight", "weight", explain_row, e.weight),
	COLUMN(LIMIT, "assured_bps", "assured", explain_row, e.assured_bps),
	COLUMN(LIMIT, "ceil_bps", "ceil", explain_row, e.ceil_bps),
	COLUMN(LIMIT, "flow_rate_bps", "flow rate", explain_row, e.flow_rate_bps),
	COLUMN(TEXT, "bucket", "  of", explain_row, e.bucket),
	COLUMN(TEXT, "police", "policer", explain_row, police),
	COLUMN(NUMBER, "worker", "worker", explain_row, e.worker),
	COLUMN(TEXT, "peer", "peer", explain_row, e.peer),
	COLUMN(FLAG, "peer_up", "peer is up", explain_row, e.peer_up),
	COLUMN(TEXT, "compression", "compression", explain_row, e.compression),
	COLUMN(FLAG, "known", "in the flow table", explain_row, e.known),
};

/* 4 or 6; 0 after saying that it is no address. */
static uint32_t read_address(struct cli *cli, const char *text, uint8_t address[16])
{
	memset(address, 0, 16);
	if (inet_pton(AF_INET, text, address + 12) == 1) {
		address[10] = address[11] = 0xff;
		return 4;
	}
	if (inet_pton(AF_INET6, text, address) == 1)
		return 6;
	cli_error(
		cli, -EINVAL, "\"%s\" is no address: take one like 192.0.2.1 or 2001:db8::1", text);
	return 0;
}

int cmd_explain_flow(struct cli *cli, int argc, char **argv)
{
	static const char *const protocols[] = {"tcp", "udp", NULL};
	struct explain_request request = {0};
	struct rows rows = {.row_bytes = sizeof(struct flow_row)};
	struct explain_row explain = {0};
	struct class_record class;
	uint64_t sport, dport, proto;
	uint32_t family;

	if (argc != 5)
		return cli_error(
			cli, -EINVAL, "explain flow takes SRC SPORT DST DPORT and tcp or udp");
	request.family = read_address(cli, argv[0], request.src);
	if (request.family == 0 || cli_number(cli, "source port", argv[1], 0, 65535, &sport) != 0)
		return 1;
	family = read_address(cli, argv[2], request.dst);
	if (family == 0 || cli_number(cli, "destination port", argv[3], 0, 65535, &dport) != 0 ||
		cli_word(cli, "protocol", argv[4], protocols, &proto) != 0)
		return 1;
	if (family != request.family)
		return cli_error(
			cli, -EINVAL, "%s and %s: one is IPv4 and one is IPv6", argv[0], argv[2]);
	request.sport = (uint32_t)sport;
	request.dport = (uint32_t)dport;
	request.proto = proto == 0 ? IPPROTO_TCP : IPPROTO_UDP;
	if (cli_record(cli, MESSAGE_EXPLAIN, &request, &explain.e) != 0 ||
		classes_one(cli, explain.e.class_name, explain.e.bridge, explain.e.opened_way,
			&class) != 0)
		return 1;
	classes_police_text(&class, explain.police);
	out_record(&cli->out, "explain", columns, COUNT_OF(columns), &explain);
	if (explain.e.known) {
		struct flow_row *row = rows_add(&rows);

		if (row != NULL) {
			row->r = explain.e.flow;
			flow_fill(row);
		}
		out_text(&cli->out, "\n");
		out_table(&cli->out, "flows", flow_columns, flow_column_count, &rows, "");
		if (row != NULL && explain.e.flow.proto == IPPROTO_TCP)
			flow_tcp_print(cli, &explain.e.flow);
		rows_free(&rows);
	}
	return 0;
}
