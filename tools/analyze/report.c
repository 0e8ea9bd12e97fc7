/* SPDX-License-Identifier: BSD-3-Clause */
/* The report of sluice-analyze. report.h is the manual. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>

#include "controlplane/cli/format.h"
#include "tools/analyze/report.h"

#define ENDPOINT_MAX (FORMAT_MAX + 8)
#define PROTO_MAX 16

const char *const report_by_words[] = {
	"bytes", "packets", "rtt", "connect", "retransmits", "reordered", "start", NULL};

static const char *const side_words[] = {"lan", "wan", NULL};
static const char *const lan_by_words[] = {"network", "opener", NULL};

/* ---- flows ---- */

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

static void print_flows(struct out *out, struct analysis *a, const struct analysis_options *options,
	const struct report_options *report, uint64_t start_ns)
{
	struct rows rows = {.row_bytes = sizeof(struct flow_row)};
	uint64_t count = analysis_flow_count(a);
	struct ranked *order = calloc(count + 1, sizeof(*order));

	if (order == NULL)
		errx(1, "no memory to sort %lu flows", (unsigned long)count);
	for (uint64_t i = 0; i < count; i++)
		order[i] = (struct ranked){value_of(analysis_flow(a, i), report->by), i};
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
	else
		out_table(out, "flows", flow_columns, COUNT_OF(flow_columns), &rows, "no flows");
	if (rows.count < count)
		out_text(out, "%lu of %lu flows, by %s\n", (unsigned long)rows.count,
			(unsigned long)count, report_by_words[report->by]);
	rows_free(&rows);
}

/* ---- captures ---- */

struct capture_row {
	uint64_t files;
	char link_type[96];
	uint64_t first_ns, duration_ns;
	struct capture_stats stats;
	struct analysis_rest rest;
	uint64_t evicted;
};

#define CAPTURE_ALWAYS 5 /* of these columns; of the others people see what is not 0 */
static const struct column capture_columns[] = {
	COLUMN(NUMBER, "files", "files", capture_row, files),
	COLUMN(TEXT, "link_type", "link type", capture_row, link_type),
	COLUMN(DATE, "first_ns", "first frame", capture_row, first_ns),
	COLUMN(TIME, "duration_ns", "duration", capture_row, duration_ns),
	COLUMN(COUNT, "frames", "frames", capture_row, stats.frames),
	COLUMN(COUNT, "cut", "captured in part", capture_row, stats.cut),
	COLUMN(COUNT, "not_ip", "not IP", capture_row, rest.not_ip),
	COLUMN(COUNT, "no_network_layer", "unknown link header", capture_row,
		stats.no_network_layer),
	COLUMN(COUNT, "headers_cut", "headers not captured", capture_row, rest.headers_cut),
	COLUMN(COUNT, "not_understood", "not understood", capture_row, rest.not_understood),
	COLUMN(COUNT, "back_in_time", "times before an earlier one", capture_row, stats.back),
	COLUMN(TIME, "back_most_ns", "  by at most", capture_row, stats.back_most_ns),
	COLUMN(COUNT, "clock_steps", "  clock set back", capture_row, stats.steps),
	COLUMN(COUNT, "flows_evicted", "flows forgotten for others", capture_row, evicted),
	COLUMN(COUNT, "beyond_flows", "frames in the sum only", capture_row, rest.beyond_flows),
};

/* ---- classes, and the sum of all ---- */

struct sum_row {
	char name[POLICY_NAME_MAX];
	uint64_t flows, packets[2], bytes[2];
	struct channel_dist rtt_lan, rtt_wan, connect;
	uint64_t data_packets[2], retransmits[2];
	uint64_t retransmits_before[2], retransmits_after[2], retransmits_needless[2];
	uint64_t reordered[2], zero_windows[2];
	uint64_t connections, failed, resets;
};

#define SUM_BOTH(kind, key, title, field)                                                          \
	COLUMN(kind, key "_up", title " UP", sum_row, field[FROM_LAN]),                            \
		COLUMN(kind, key "_down", title " DOWN", sum_row, field[FROM_WAN])
#define SUM_JSON(kind, key, field)                                                                 \
	COLUMN(kind, key "_up", NULL, sum_row, field[FROM_LAN]),                                   \
		COLUMN(kind, key "_down", NULL, sum_row, field[FROM_WAN])

static const struct column class_columns[] = {
	COLUMN(TEXT, "class", "CLASS", sum_row, name),
	COLUMN(COUNT, "flows", "FLOWS", sum_row, flows),
	SUM_BOTH(COUNT, "packets", "PKTS", packets),
	SUM_BOTH(BYTES, "bytes", "BYTES", bytes),
	COLUMN(TIME, NULL, "CONNECT p50", sum_row, connect.p50_ns),
	COLUMN(TIME, NULL, "LAN p50", sum_row, rtt_lan.p50_ns),
	COLUMN(TIME, NULL, "WAN p50", sum_row, rtt_wan.p50_ns),
	COLUMN(TIME, NULL, "p90", sum_row, rtt_wan.p90_ns),
	COLUMN(DIST, "rtt_lan", NULL, sum_row, rtt_lan),
	COLUMN(DIST, "rtt_wan", NULL, sum_row, rtt_wan),
	COLUMN(DIST, "connect", NULL, sum_row, connect),
	SUM_JSON(COUNT, "data_packets", data_packets),
	SUM_BOTH(COUNT, "retransmits", "AGAIN", retransmits),
	SUM_JSON(COUNT, "retransmits_before", retransmits_before),
	SUM_JSON(COUNT, "retransmits_after", retransmits_after),
	SUM_JSON(COUNT, "retransmits_needless", retransmits_needless),
	SUM_BOTH(COUNT, "reordered", "LATE", reordered),
	SUM_JSON(COUNT, "zero_windows", zero_windows),
	COLUMN(COUNT, "connections", "CONNECTED", sum_row, connections),
	COLUMN(COUNT, "failed", "FAILED", sum_row, failed),
	COLUMN(COUNT, "resets", "RESET", sum_row, resets),
};

static void fill_sum(struct sum_row *row, const char *name, const struct analysis_class *class)
{
	const struct measure_class *m = class->measure;

	snprintf(row->name, sizeof(row->name), "%s", name);
	row->flows = class->flows;
	memcpy(row->packets, class->packets, sizeof(row->packets));
	memcpy(row->bytes, class->bytes, sizeof(row->bytes));
	if (m == NULL)
		return;
	row->rtt_lan = samples_histogram_dist(&m->rtt_lan);
	row->rtt_wan = samples_histogram_dist(&m->rtt_wan);
	row->connect = samples_histogram_dist(&m->connect);
	for (unsigned from = 0; from < 2; from++) {
		row->data_packets[from] = m->data_packets[from];
		row->retransmits_before[from] = m->retransmits_before[from];
		row->retransmits_after[from] = m->retransmits_after[from];
		row->retransmits_needless[from] = m->retransmits_needless[from];
		row->retransmits[from] = m->retransmits_before[from] + m->retransmits_after[from] +
					 m->retransmits_needless[from];
		row->reordered[from] = m->reordered[from];
		row->zero_windows[from] = m->zero_windows[from];
	}
	row->connections = m->connections;
	row->failed = m->failed;
	row->resets = m->resets;
}

static void print_classes(struct out *out, const struct analysis *a, const struct policy *policy)
{
	struct rows classes = {.row_bytes = sizeof(struct sum_row)};
	struct rows sum = {.row_bytes = sizeof(struct sum_row)};
	struct measure_class *all = calloc(1, sizeof(*all));
	struct analysis_class total = {.measure = all};
	struct sum_row *row;

	if (all == NULL)
		errx(1, "no memory for the sum");
	for (uint32_t i = 0; i < analysis_class_count(a); i++) {
		const struct analysis_class *class = analysis_class(a, i);

		total.flows += class->flows;
		for (unsigned from = 0; from < 2; from++) {
			total.packets[from] += class->packets[from];
			total.bytes[from] += class->bytes[from];
		}
		if (class->measure != NULL)
			measure_class_merge(all, class->measure);
		if (policy == NULL || class->flows == 0)
			continue;
		row = rows_add(&classes);
		if (row == NULL)
			errx(1, "no memory for a table of classes");
		fill_sum(row, policy->classes[i].name, class);
	}
	row = rows_add(&sum);
	if (row == NULL)
		errx(1, "no memory for the sum");
	fill_sum(row, "all", &total);
	if (out->json) {
		json_object_set_new(out->root, "sum",
			out_json_record(class_columns, COUNT_OF(class_columns), row));
		if (policy != NULL)
			out_table(out, "classes", class_columns, COUNT_OF(class_columns), &classes,
				"");
	} else {
		struct sum_row last = *row;

		row = rows_add(&classes);
		if (row == NULL)
			errx(1, "no memory for the sum");
		*row = last;
		out_table(out, "classes", class_columns, COUNT_OF(class_columns), &classes, "");
	}
	rows_free(&classes);
	rows_free(&sum);
	free(all);
}

void report_print(struct out *out, struct analysis *a, const struct analysis_options *options,
	const struct report_options *report, const struct capture_stats *stats,
	const struct capture_clock *clock, uint64_t files, const char *link_type)
{
	struct capture_row row = {
		.files = files,
		.first_ns = stats->first_ns,
		.duration_ns = clock->now_ns - clock->start_ns,
		.stats = *stats,
		.rest = *analysis_rest(a),
		.evicted = analysis_evicted(a),
	};

	struct column shown[COUNT_OF(capture_columns)];
	size_t n = 0;

	snprintf(row.link_type, sizeof(row.link_type), "%s", link_type);
	for (size_t i = 0; i < COUNT_OF(capture_columns); i++) {
		const struct column *c = &capture_columns[i];
		uint64_t number;

		memcpy(&number, (const char *)&row + c->offset, sizeof(number));
		if (out->json || i < CAPTURE_ALWAYS || number != 0)
			shown[n++] = *c;
	}
	out_record(out, "capture", shown, n, &row);
	out_text(out, "\n");
	print_classes(out, a, options->policy);
	if (!report->flows)
		return;
	out_text(out, "\n");
	print_flows(out, a, options, report, clock->start_ns);
}
