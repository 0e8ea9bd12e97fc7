/* SPDX-License-Identifier: BSD-3-Clause */
/* What one TCP connection shows of itself, a row for each way of its data; for `explain flow`. */
#include <string.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/flows.h"

struct tcp_row {
	uint64_t way;
	struct flow_tcp_record r;
	/* Those of the row's way. */
	uint64_t lost_before, lost_after, needless, timeouts, fast, dsacks, duplicates, reordered,
		reorder_max, flight, flight_max, window, bdp, zero_windows, ce, ece, cwr, mss;
	double network, receiver, sender;
	char options[40];
};

static const struct column columns[] = {
	COLUMN_OF_WORDS("way", "WAY", tcp_row, way, out_way_words),
	COLUMN(TIME, "connect_ns", "CONNECT", tcp_row, r.connect_ns),
	COLUMN(COUNT, "syn_retries", NULL, tcp_row, r.syn_retries),
	COLUMN(COUNT, "rtt_lan_samples", NULL, tcp_row, r.rtt_lan_samples),
	COLUMN(COUNT, "rtt_wan_samples", NULL, tcp_row, r.rtt_wan_samples),
	COLUMN(COUNT, "lost_before", "LOST BEFORE", tcp_row, lost_before),
	COLUMN(COUNT, "lost_after", "AFTER", tcp_row, lost_after),
	COLUMN(COUNT, "needless", "NEEDLESS", tcp_row, needless),
	COLUMN(COUNT, "fast", "FAST", tcp_row, fast),
	COLUMN(COUNT, "timeout", "TIMEOUT", tcp_row, timeouts),
	COLUMN(COUNT, "dsacks", NULL, tcp_row, dsacks),
	COLUMN(COUNT, "copies", NULL, tcp_row, duplicates),
	COLUMN(COUNT, "reordered", "REORDERED", tcp_row, reordered),
	COLUMN(BYTES, "reorder_max_bytes", NULL, tcp_row, reorder_max),
	COLUMN(BYTES, "flight_bytes", "IN FLIGHT", tcp_row, flight),
	COLUMN(BYTES, "flight_max_bytes", "MOST", tcp_row, flight_max),
	COLUMN(BYTES, "window_bytes", "WINDOW", tcp_row, window),
	COLUMN(BYTES, "bdp_bytes", "BDP", tcp_row, bdp),
	COLUMN(COUNT, "zero_windows", NULL, tcp_row, zero_windows),
	COLUMN(PERCENT, "limited_network", "NETWORK", tcp_row, network),
	COLUMN(PERCENT, "limited_receiver", "RECEIVER", tcp_row, receiver),
	COLUMN(PERCENT, "limited_sender", "SENDER", tcp_row, sender),
	COLUMN(COUNT, "ce", NULL, tcp_row, ce),
	COLUMN(COUNT, "ece", NULL, tcp_row, ece),
	COLUMN(COUNT, "cwr", NULL, tcp_row, cwr),
	COLUMN(NUMBER, "mss", "MSS", tcp_row, mss),
	COLUMN(TEXT, "options", "OPTIONS", tcp_row, options),
};

/* "scale sack ts ecn"; "-": its SYN was not seen. */
static void options_text(uint64_t options, char *text, size_t len)
{
	snprintf(text, len, "%s%s%s%s", options & CHANNEL_TCP_SCALE ? "scale " : "",
		options & CHANNEL_TCP_SACK ? "sack " : "",
		options & CHANNEL_TCP_TIMESTAMPS ? "ts " : "",
		options & CHANNEL_TCP_ECN ? "ecn " : "");
	size_t end = strlen(text);
	if (end > 0)
		text[end - 1] = '\0';
	else
		strcpy(text, options & CHANNEL_TCP_KNOWN ? "none" : "-");
}

void flow_tcp_print(struct cli *cli, const struct flow_record *flow)
{
	const struct flow_tcp_record *t = &flow->tcp;
	struct rows rows = {.row_bytes = sizeof(struct tcp_row)};

	for (uint64_t way = 0; way < CHANNEL_WAYS; way++) {
		struct tcp_row *row = rows_add(&rows);
		const uint64_t *limited = t->limited_ns[way];
		uint64_t all = limited[0] + limited[1] + limited[2];

		if (row == NULL)
			break;
		*row = (struct tcp_row){.way = way,
			.r = *t,
			.lost_before = t->lost_before[way],
			.lost_after = t->lost_after[way],
			.needless = t->needless[way],
			.timeouts = t->timeouts[way],
			.fast = flow->retransmits[way] - t->timeouts[way],
			.dsacks = t->dsacks[way],
			.duplicates = t->duplicates[way],
			.reordered = t->reordered[way],
			.reorder_max = t->reorder_max_bytes[way],
			.flight = t->flight_bytes[way],
			.flight_max = t->flight_max_bytes[way],
			.window = t->window_bytes[way],
			.bdp = t->bdp_bytes[way],
			.zero_windows = t->zero_windows[way],
			.ce = t->ce[way],
			.ece = t->ece[way],
			.cwr = t->cwr[way],
			.mss = t->mss[way],
			.network = cli_share(limited[CHANNEL_LIMIT_NETWORK], all),
			.receiver = cli_share(limited[CHANNEL_LIMIT_RECEIVER], all),
			.sender = cli_share(limited[CHANNEL_LIMIT_SENDER], all)};
		options_text(t->options[way], row->options, sizeof(row->options));
	}
	out_text(&cli->out, "\n");
	out_table(&cli->out, "tcp", columns, COUNT_OF(columns), &rows, "");
	rows_free(&rows);
}
