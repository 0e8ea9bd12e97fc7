/* SPDX-License-Identifier: BSD-3-Clause */
/* The report's flows: a table, all figures of each, or their transactions. See report.h. */
#include <err.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>

#include "controlplane/cli/format.h"
#include "tools/analyze/report_flows.h"
#include "tools/analyze/transactions.h"

#define ENDPOINT_MAX (FORMAT_MAX + 8)
#define PROTO_MAX 16

const char *const report_by_words[] = {"bytes", "packets", "rtt", "connect", "retransmits",
	"reordered", "start", "requests", "first-byte", NULL};

static const char *const side_words[] = {"lan", "wan", NULL};
static const char *const app_words[] = {"-", "tcp", "http", "tls", NULL};
static const char *const lan_by_words[] = {"network", "opener", NULL};

struct flow_row {
	char lan[ENDPOINT_MAX], wan[ENDPOINT_MAX]; /* with ports, for people */
	char lan_address[FORMAT_MAX], wan_address[FORMAT_MAX];
	uint64_t lan_port, wan_port;
	char proto[PROTO_MAX];
	uint64_t proto_number, vlan, fragments;
	char class_name[POLICY_NAME_MAX];
	uint64_t opened_by, lan_by;
	uint64_t first_ns; /* since 1970 */
	uint64_t start_ns, duration_ns;
	struct analysis_counts counts;
	uint64_t retransmits[2];
	uint64_t connect_ns, handshake_lan_ns, handshake_wan_ns;
	struct channel_dist rtt_lan, rtt_wan;
	uint64_t app; /* app_words: the most that was recognised of its requests */
	struct analysis_transactions transactions;
	struct channel_dist first_byte, whole;
	double per_connection;
	uint64_t request_bytes, response_bytes; /* means */
};

/* Each figure that has a direction stands there twice: sent from the LAN, "up", and from the WAN.
 */
#define BOTH(kind, key, title, field)                                                              \
	COLUMN(kind, key "_up", title " UP", flow_row, field[FROM_LAN]),                           \
		COLUMN(kind, key "_down", title " DOWN", flow_row, field[FROM_WAN])
#define BOTH_JSON(kind, key, field)                                                                \
	COLUMN(kind, key "_up", NULL, flow_row, field[FROM_LAN]),                                  \
		COLUMN(kind, key "_down", NULL, flow_row, field[FROM_WAN])

static const struct column flow_columns[] = {
	COLUMN(TEXT, NULL, "LAN", flow_row, lan),
	COLUMN(TEXT, NULL, "WAN", flow_row, wan),
	COLUMN(TEXT, "proto", "PROTO", flow_row, proto),
	COLUMN(TEXT, "lan", NULL, flow_row, lan_address),
	COLUMN(NUMBER, "lan_port", NULL, flow_row, lan_port),
	COLUMN(TEXT, "wan", NULL, flow_row, wan_address),
	COLUMN(NUMBER, "wan_port", NULL, flow_row, wan_port),
	COLUMN(NUMBER, "proto_number", NULL, flow_row, proto_number),
	COLUMN(NUMBER, "vlan", NULL, flow_row, vlan),
	COLUMN(FLAG, "fragments", NULL, flow_row, fragments),
	COLUMN(TEXT, "class", NULL, flow_row, class_name),
	COLUMN_OF_WORDS("opened_by", "OPENED BY", flow_row, opened_by, side_words),
	COLUMN_OF_WORDS("lan_by", NULL, flow_row, lan_by, lan_by_words),
	COLUMN(NUMBER, "first_ns", NULL, flow_row, first_ns),
	COLUMN(NUMBER, "start_ns", NULL, flow_row, start_ns),
	COLUMN(NUMBER, "duration_ns", NULL, flow_row, duration_ns),
	BOTH(COUNT, "packets", "PKTS", counts.packets),
	BOTH(BYTES, "bytes", "BYTES", counts.bytes),
	COLUMN(TIME, "connect_ns", "CONNECT", flow_row, connect_ns),
	COLUMN(TIME, "handshake_lan_ns", NULL, flow_row, handshake_lan_ns),
	COLUMN(TIME, "handshake_wan_ns", NULL, flow_row, handshake_wan_ns),
	COLUMN(TIME, NULL, "LAN p50", flow_row, rtt_lan.p50_ns),
	COLUMN(TIME, NULL, "WAN p50", flow_row, rtt_wan.p50_ns),
	COLUMN(TIME, NULL, "p90", flow_row, rtt_wan.p90_ns),
	COLUMN(DIST, "rtt_lan", NULL, flow_row, rtt_lan),
	COLUMN(DIST, "rtt_wan", NULL, flow_row, rtt_wan),
	BOTH_JSON(COUNT, "data_packets", counts.data_packets),
	BOTH(COUNT, "retransmits", "AGAIN", retransmits),
	BOTH_JSON(COUNT, "retransmits_before", counts.retransmits_before),
	BOTH_JSON(COUNT, "retransmits_after", counts.retransmits_after),
	BOTH_JSON(COUNT, "retransmits_needless", counts.retransmits_needless),
	BOTH(COUNT, "reordered", "LATE", counts.reordered),
	BOTH_JSON(COUNT, "duplicates", counts.duplicates),
	BOTH_JSON(COUNT, "zero_windows", counts.zero_windows),
	COLUMN(COUNT, "connections", NULL, flow_row, counts.connections),
	COLUMN(COUNT, "failed", NULL, flow_row, counts.failed),
	COLUMN(COUNT, "resets", NULL, flow_row, counts.resets),
	COLUMN_OF_WORDS("app", NULL, flow_row, app, app_words),
	COLUMN(COUNT, "requests", NULL, flow_row, transactions.requests),
	COLUMN(COUNT, "responses", NULL, flow_row, transactions.responses),
	COLUMN(COUNT, "aborted", NULL, flow_row, transactions.aborted),
	COLUMN(RATIO, "per_connection", NULL, flow_row, per_connection),
	COLUMN(BYTES, "request_bytes", NULL, flow_row, transactions.request_bytes),
	COLUMN(BYTES, "response_bytes", NULL, flow_row, transactions.response_bytes),
	COLUMN(COUNT, "http_requests", NULL, flow_row, transactions.http_requests),
	COLUMN(COUNT, "http_1xx", NULL, flow_row, transactions.http_status[1]),
	COLUMN(COUNT, "http_2xx", NULL, flow_row, transactions.http_status[2]),
	COLUMN(COUNT, "http_3xx", NULL, flow_row, transactions.http_status[3]),
	COLUMN(COUNT, "http_4xx", NULL, flow_row, transactions.http_status[4]),
	COLUMN(COUNT, "http_5xx", NULL, flow_row, transactions.http_status[5]),
	COLUMN(COUNT, "tls_hellos", NULL, flow_row, transactions.tls_hellos),
	COLUMN(COUNT, "tls_handshakes", NULL, flow_row, transactions.tls_handshakes),
	COLUMN(COUNT, "tls_alerts", NULL, flow_row, transactions.tls_alerts),
	COLUMN(TIME, "tls_ns", NULL, flow_row, transactions.tls_ns),
	COLUMN(DIST, "first_byte", NULL, flow_row, first_byte),
	COLUMN(DIST, "whole", NULL, flow_row, whole),
};

/* --transactions */
static const struct column transaction_columns_of_flows[] = {
	COLUMN(TEXT, NULL, "LAN", flow_row, lan),
	COLUMN(TEXT, NULL, "WAN", flow_row, wan),
	COLUMN_OF_WORDS(NULL, "APP", flow_row, app, app_words),
	COLUMN_OF_WORDS(NULL, "OPENED BY", flow_row, opened_by, side_words),
	COLUMN(TIME, NULL, "CONNECT", flow_row, connect_ns),
	COLUMN(TIME, NULL, "TLS", flow_row, transactions.tls_ns),
	COLUMN(COUNT, NULL, "REQUESTS", flow_row, transactions.requests),
	COLUMN(RATIO, NULL, "PER CONN", flow_row, per_connection),
	COLUMN(COUNT, NULL, "ABORTED", flow_row, transactions.aborted),
	COLUMN(TIME, NULL, "FIRST p50", flow_row, first_byte.p50_ns),
	COLUMN(TIME, NULL, "max", flow_row, first_byte.max_ns),
	COLUMN(TIME, NULL, "WHOLE p50", flow_row, whole.p50_ns),
	COLUMN(TIME, NULL, "max", flow_row, whole.max_ns),
	COLUMN(BYTES, NULL, "REQUEST", flow_row, request_bytes),
	COLUMN(BYTES, NULL, "RESPONSE", flow_row, response_bytes),
};

/* --full: what the table has no room for, a line each. */
static const struct column full_columns[] = {
	COLUMN(TEXT, NULL, "class", flow_row, class_name),
	COLUMN_OF_WORDS(NULL, "opened by", flow_row, opened_by, side_words),
	COLUMN_OF_WORDS(NULL, "LAN side known by", flow_row, lan_by, lan_by_words),
	COLUMN(TIME, NULL, "start", flow_row, start_ns),
	COLUMN(TIME, NULL, "duration", flow_row, duration_ns),
	BOTH(COUNT, "", "packets", counts.packets),
	BOTH(BYTES, "", "bytes", counts.bytes),
	COLUMN(TIME, NULL, "connect", flow_row, connect_ns),
	COLUMN(TIME, NULL, "handshake, LAN half", flow_row, handshake_lan_ns),
	COLUMN(TIME, NULL, "handshake, WAN half", flow_row, handshake_wan_ns),
	COLUMN(COUNT, NULL, "RTT of the LAN half, samples", flow_row, rtt_lan.samples),
	COLUMN(TIME, NULL, "  min", flow_row, rtt_lan.min_ns),
	COLUMN(TIME, NULL, "  p50", flow_row, rtt_lan.p50_ns),
	COLUMN(TIME, NULL, "  p90", flow_row, rtt_lan.p90_ns),
	COLUMN(TIME, NULL, "  p99", flow_row, rtt_lan.p99_ns),
	COLUMN(TIME, NULL, "  max", flow_row, rtt_lan.max_ns),
	COLUMN(COUNT, NULL, "RTT of the WAN half, samples", flow_row, rtt_wan.samples),
	COLUMN(TIME, NULL, "  min", flow_row, rtt_wan.min_ns),
	COLUMN(TIME, NULL, "  p50", flow_row, rtt_wan.p50_ns),
	COLUMN(TIME, NULL, "  p90", flow_row, rtt_wan.p90_ns),
	COLUMN(TIME, NULL, "  p99", flow_row, rtt_wan.p99_ns),
	COLUMN(TIME, NULL, "  max", flow_row, rtt_wan.max_ns),
	BOTH(COUNT, "", "data packets", counts.data_packets),
	BOTH(COUNT, "", "sent again, lost before the capture", counts.retransmits_before),
	BOTH(COUNT, "", "sent again, lost behind the capture", counts.retransmits_after),
	BOTH(COUNT, "", "sent again needlessly", counts.retransmits_needless),
	BOTH(COUNT, "", "copies in the capture", counts.duplicates),
	BOTH(COUNT, "", "reordered", counts.reordered),
	BOTH(COUNT, "", "zero windows", counts.zero_windows),
	COLUMN(COUNT, NULL, "connections", flow_row, counts.connections),
	COLUMN(COUNT, NULL, "failed", flow_row, counts.failed),
	COLUMN(COUNT, NULL, "resets", flow_row, counts.resets),
	COLUMN_OF_WORDS(NULL, "requests recognised as", flow_row, app, app_words),
	COLUMN(TIME, NULL, "TLS handshake", flow_row, transactions.tls_ns),
	COLUMN(COUNT, NULL, "requests", flow_row, transactions.requests),
	COLUMN(RATIO, NULL, "  per connection", flow_row, per_connection),
	COLUMN(COUNT, NULL, "  answered", flow_row, transactions.responses),
	COLUMN(COUNT, NULL, "  aborted", flow_row, transactions.aborted),
	COLUMN(BYTES, NULL, "  mean size", flow_row, request_bytes),
	COLUMN(BYTES, NULL, "  mean size of the response", flow_row, response_bytes),
	COLUMN(COUNT, NULL, "time to the first byte, samples", flow_row, first_byte.samples),
	COLUMN(TIME, NULL, "  min", flow_row, first_byte.min_ns),
	COLUMN(TIME, NULL, "  p50", flow_row, first_byte.p50_ns),
	COLUMN(TIME, NULL, "  p90", flow_row, first_byte.p90_ns),
	COLUMN(TIME, NULL, "  max", flow_row, first_byte.max_ns),
	COLUMN(COUNT, NULL, "time of the whole request, samples", flow_row, whole.samples),
	COLUMN(TIME, NULL, "  min", flow_row, whole.min_ns),
	COLUMN(TIME, NULL, "  p50", flow_row, whole.p50_ns),
	COLUMN(TIME, NULL, "  p90", flow_row, whole.p90_ns),
	COLUMN(TIME, NULL, "  max", flow_row, whole.max_ns),
};

static void name_protocol(char text[PROTO_MAX], const struct flow_key *key)
{
	static const struct {
		uint8_t number;
		const char *name;
	} known[] = {{1, "icmp"}, {2, "igmp"}, {4, "ipip"}, {6, "tcp"}, {17, "udp"}, {41, "ipv6"},
		{47, "gre"}, {50, "esp"}, {51, "ah"}, {58, "icmpv6"}, {132, "sctp"},
		{136, "udplite"}};

	snprintf(text, PROTO_MAX, "%u", key->proto);
	for (size_t i = 0; i < COUNT_OF(known); i++)
		if (known[i].number == key->proto)
			snprintf(text, PROTO_MAX, "%s", known[i].name);
}

static void name_end(const struct flow_key *key, unsigned end, char address[FORMAT_MAX],
	uint64_t *port, char both[ENDPOINT_MAX])
{
	bool has_port =
		key->proto == 6 || key->proto == 17 || key->proto == 132 || key->proto == 136;

	format_address(key->addr[end], address);
	*port = rte_be_to_cpu_16(key->port[end]);
	/* TCP or UDP without ports: fragments, or headers that contradict themselves. */
	if (!has_port || (key->port[0] == 0 && key->port[1] == 0))
		snprintf(both, ENDPOINT_MAX, "%s", address);
	else if (strchr(address, ':') != NULL)
		snprintf(both, ENDPOINT_MAX, "[%s]:%u", address, (unsigned)*port);
	else
		snprintf(both, ENDPOINT_MAX, "%s:%u", address, (unsigned)*port);
}

static uint64_t mean(uint64_t sum, uint64_t count)
{
	return count == 0 ? 0 : sum / count;
}

static void fill_transactions(struct flow_row *r, struct analysis_transactions *t)
{
	r->per_connection = NAN;
	if (t == NULL)
		return;
	r->transactions = *t;
	r->app = t->tls_hellos > 0 ? 3 : t->http_requests > 0 ? 2 : t->requests > 0;
	r->first_byte = samples_dist(&t->first_byte);
	r->whole = samples_dist(&t->whole);
	if (t->connections > 0)
		r->per_connection = (double)t->requests / (double)t->connections;
	r->request_bytes = mean(t->request_bytes, t->responses);
	r->response_bytes = mean(t->response_bytes, t->whole.count);
}

static void fill_row(
	struct flow_row *r, struct analysis_flow *f, const struct policy *policy, uint64_t start_ns)
{
	if (f->is_other) {
		snprintf(r->lan, sizeof(r->lan), "all others");
	} else {
		name_end(&f->key, f->lan_dir, r->lan_address, &r->lan_port, r->lan);
		name_end(&f->key, !f->lan_dir, r->wan_address, &r->wan_port, r->wan);
		name_protocol(r->proto, &f->key);
	}
	r->proto_number = f->key.proto;
	r->vlan = f->key.vlan & 0xfff;
	r->fragments = (f->key.scope & FLOW_KEY_FRAGMENT) != 0;
	if (policy != NULL)
		snprintf(r->class_name, sizeof(r->class_name), "%s",
			policy->classes[f->class_index].name);
	r->opened_by = f->opened_from;
	r->lan_by = f->lan_by;
	r->first_ns = f->first_file_ns;
	r->start_ns = f->first_ns - start_ns;
	r->duration_ns = f->last_ns - f->first_ns;
	r->counts = f->counts;
	for (unsigned from = 0; from < 2; from++)
		r->retransmits[from] = f->counts.retransmits_before[from] +
				       f->counts.retransmits_after[from] +
				       f->counts.retransmits_needless[from];
	r->connect_ns = f->connect_ns;
	r->handshake_lan_ns = f->handshake_ns[FROM_LAN];
	r->handshake_wan_ns = f->handshake_ns[FROM_WAN];
	r->rtt_lan = samples_dist(&f->rtt[FROM_LAN]);
	r->rtt_wan = samples_dist(&f->rtt[FROM_WAN]);
	fill_transactions(r, f->transactions);
}

/* What to sort by, falling; ties stay in the order of the capture. */
struct ranked {
	uint64_t value, number;
};

static uint64_t value_of(struct analysis_flow *f, enum report_by by)
{
	const struct analysis_counts *c = &f->counts;

	switch (by) {
	case BY_PACKETS:
		return c->packets[0] + c->packets[1];
	case BY_RTT:
		return samples_dist(&f->rtt[FROM_LAN]).p50_ns +
		       samples_dist(&f->rtt[FROM_WAN]).p50_ns;
	case BY_CONNECT:
		return f->connect_ns;
	case BY_RETRANSMITS:
		return c->retransmits_before[0] + c->retransmits_before[1] +
		       c->retransmits_after[0] + c->retransmits_after[1] +
		       c->retransmits_needless[0] + c->retransmits_needless[1];
	case BY_REORDERED:
		return c->reordered[0] + c->reordered[1];
	case BY_START:
		return UINT64_MAX - f->first_ns;
	case BY_REQUESTS:
		return f->transactions == NULL ? 0 : f->transactions->requests;
	case BY_FIRST_BYTE:
		return f->transactions == NULL ? 0
					       : samples_dist(&f->transactions->first_byte).p50_ns;
	default:
		return c->bytes[0] + c->bytes[1];
	}
}

static int falling(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->value != y->value)
		return x->value < y->value ? 1 : -1;
	return (x->number > y->number) - (x->number < y->number);
}

static void print_full(struct out *out, const struct rows *rows)
{
	for (size_t i = 0; i < rows->count; i++) {
		const struct flow_row *r = rows_at(rows, i);

		out_text(out, "%s%s  %s  %s\n", i > 0 ? "\n" : "", r->lan, r->wan, r->proto);
		out_record(out, NULL, full_columns, COUNT_OF(full_columns), r);
	}
}

void report_flows(struct out *out, struct analysis *a, const struct analysis_options *options,
	const struct report_options *report, uint64_t start_ns)
{
	struct rows rows = {.row_bytes = sizeof(struct flow_row)};
	bool only = report->transactions && !out->json;
	uint64_t all = analysis_flow_count(a), count = 0;
	struct ranked *order = calloc(all + 1, sizeof(*order));

	if (order == NULL)
		errx(1, "no memory to sort %lu flows", (unsigned long)all);
	for (uint64_t i = 0; i < all; i++) {
		struct analysis_flow *f = analysis_flow(a, i);

		if (only && f->counts.connections == 0 && f->transactions == NULL)
			continue;
		order[count++] = (struct ranked){value_of(f, report->by), i};
	}
	qsort(order, count, sizeof(*order), falling);
	for (uint64_t i = 0; i < count && (report->top == 0 || i < report->top); i++) {
		struct flow_row *row = rows_add(&rows);

		if (row == NULL)
			errx(1, "no memory for a table of %lu flows", (unsigned long)count);
		fill_row(row, analysis_flow(a, order[i].number), options->policy, start_ns);
	}
	free(order);
	if (report->full && !out->json)
		print_full(out, &rows);
	else if (only)
		out_table(out, "flows", transaction_columns_of_flows,
			COUNT_OF(transaction_columns_of_flows), &rows,
			"no connection, and no request");
	else
		out_table(out, "flows", flow_columns, COUNT_OF(flow_columns), &rows, "no flows");
	if (rows.count < count)
		out_text(out, "%lu of %lu flows, by %s\n", (unsigned long)rows.count,
			(unsigned long)count, report_by_words[report->by]);
	rows_free(&rows);
}
