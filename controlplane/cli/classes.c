/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `show classes`: what each class was promised, and what it got, as the tree that they are. The
 * daemon counts classes; what is shown of a group is the sum of the classes in it, but for what it
 * borrows itself: that is what they send above the group's own assured rate.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/cli/classes.h"
#include "controlplane/cli/cli.h"
#include "controlplane/cli/format.h"

#define DEPTH_MAX 16u
#define BUSIEST 15u /* classes that `top` shows */

static const char *const aqm_words[] = {"none", "codel", "pie", "dualpi2", NULL};
static const char *const kind_words[] = {"class", "group", NULL};

struct class_row {
	struct class_record r;
	char tree_name[CHANNEL_NAME_MAX + 2 * DEPTH_MAX]; /* indented by its depth */
	double borrowed;				  /* share of rate_bps */
	double ratio;					  /* sent over wire bytes */
	uint64_t dropped;				  /* for whatever reason */
	char burst[FORMAT_MAX], flow_burst[FORMAT_MAX];
	char per[FORMAT_MAX];
	char police[CLASSES_POLICE_MAX];
};

/* What the flows of a class get. A group has none, and what its options say of them has no effect.
 */
#define COLUMN_OF_FLOWS(kind, key, title, field)                                                   \
	{                                                                                          \
		key, title, COLUMN_##kind, offsetof(struct class_row, field),                      \
			sizeof(((struct class_row *)0)->field), NULL,                              \
			offsetof(struct class_row, r.is_group)                                     \
	}
#define COLUMN_OF_AQM(key, title)                                                                  \
	{                                                                                          \
		key, title, COLUMN_WORD, offsetof(struct class_row, r.aqm), sizeof(uint64_t),      \
			aqm_words, offsetof(struct class_row, r.is_group)                          \
	}

static const struct column columns[] = {
	COLUMN(TEXT, NULL, "CLASS", class_row, tree_name),
	COLUMN(TEXT, "name", NULL, class_row, r.name),
	COLUMN(TEXT, "bridge", NULL, class_row, r.bridge),
	COLUMN_OF_WORDS("way", NULL, class_row, r.way, out_way_words),
	COLUMN(TEXT, "parent", NULL, class_row, r.parent),
	COLUMN_OF_WORDS("kind", NULL, class_row, r.is_group, kind_words),
	COLUMN(NUMBER, "depth", NULL, class_row, r.depth),
	COLUMN(NUMBER, "priority", NULL, class_row, r.priority),
	COLUMN(NUMBER, "weight", NULL, class_row, r.weight),
	COLUMN(LIMIT_BRIEF, "assured_bps", "ASSURED", class_row, r.assured_bps),
	COLUMN(LIMIT_BRIEF, "ceil_bps", "CEIL", class_row, r.ceil_bps),
	COLUMN_OF_FLOWS(LIMIT, "flow_rate_bps", NULL, r.flow_rate_bps),
	COLUMN(RATE_BRIEF, "rate_bps", "RATE", class_row, r.rate_bps),
	COLUMN(RATE, "borrowed_bps", NULL, class_row, r.borrowed_bps),
	COLUMN(PERCENT, "borrowed_share", "BORROWS", class_row, borrowed),
	COLUMN(COUNT, "sent_packets", NULL, class_row, r.sent_packets),
	COLUMN(BYTES, "sent_bytes", NULL, class_row, r.sent_bytes),
	COLUMN(BYTES, "original_bytes", NULL, class_row, r.sent_bytes),
	COLUMN(BYTES, "wire_bytes", NULL, class_row, r.wire_bytes),
	COLUMN(RATIO, "ratio", NULL, class_row, ratio),
	COLUMN(BYTES, "charged_bytes", NULL, class_row, r.charged_bytes),
	COLUMN(BYTES, "borrowed_bytes", NULL, class_row, r.borrowed_bytes),
	COLUMN(BYTES, "backlog_bytes", "BACKLOG", class_row, r.backlog_bytes),
	COLUMN(COUNT, "backlog_packets", "PKTS", class_row, r.backlog_packets),
	COLUMN(COUNT, "backlog_flows", NULL, class_row, r.backlog_flows),
	COLUMN(TIME, "backlog_age_ns", "AGE", class_row, r.backlog_age_ns),
	COLUMN(TIME, NULL, "WAIT p50", class_row, r.queue_delay.p50_ns),
	COLUMN(TIME, NULL, "p99", class_row, r.queue_delay.p99_ns),
	COLUMN(COUNT, NULL, "DROPS", class_row, dropped),
	COLUMN(COUNT, "dropped_tail", NULL, class_row, r.dropped_tail),
	COLUMN(COUNT, "dropped_time", NULL, class_row, r.dropped_time),
	COLUMN(COUNT, "dropped_aqm", NULL, class_row, r.dropped_aqm),
	COLUMN(COUNT, "dropped_memory", NULL, class_row, r.dropped_memory),
	COLUMN(COUNT, "dropped_police", NULL, class_row, r.dropped_police),
	COLUMN(COUNT, "marked", "MARKS", class_row, r.marked),
	COLUMN(COUNT, "remarked", NULL, class_row, r.remarked),
	COLUMN(COUNT, "green", NULL, class_row, r.colour[0]),
	COLUMN(COUNT, "yellow", NULL, class_row, r.colour[1]),
	COLUMN(COUNT, "red", NULL, class_row, r.colour[2]),
	COLUMN(FLAG, "measured", NULL, class_row, r.measured),
	COLUMN(DIST, "queue_delay", NULL, class_row, r.queue_delay),
	COLUMN(DIST, "box_time", NULL, class_row, r.box_time),
	COLUMN(DIST, "rtt_lan", NULL, class_row, r.rtt_lan),
	COLUMN(DIST, "rtt_wan", NULL, class_row, r.rtt_wan),
	COLUMN(TIME, NULL, "RTT LAN", class_row, r.rtt_lan.p50_ns),
	COLUMN(TIME, NULL, "WAN", class_row, r.rtt_wan.p50_ns),
	COLUMN(BYTES, "burst_bytes", NULL, class_row, r.burst_bytes),
	COLUMN(TIME, "burst_ns", NULL, class_row, r.burst_ns),
	COLUMN_OF_FLOWS(BYTES, "flow_burst_bytes", NULL, r.flow_burst_bytes),
	COLUMN_OF_FLOWS(TIME, "flow_burst_ns", NULL, r.flow_burst_ns),
	COLUMN_OF_FLOWS(BYTES, "queue_limit_bytes", NULL, r.queue_limit_bytes),
	COLUMN_OF_FLOWS(TIME, "queue_limit_ns", NULL, r.queue_limit_ns),
	COLUMN_OF_AQM("aqm", NULL),
	COLUMN_OF_FLOWS(TIME, "aqm_target_ns", NULL, r.aqm_target_ns),
	COLUMN_OF_FLOWS(FLAG, "ecn", NULL, r.ecn),
	COLUMN_OF_FLOWS(TEXT, "per", NULL, per),
	COLUMN_OF_FLOWS(TEXT, "police", NULL, police),
	COLUMN_OF_FLOWS(RATE, "police_cir_bps", NULL, r.police_cir_bps),
	COLUMN_OF_FLOWS(BYTES, "police_cbs_bytes", NULL, r.police_cbs_bytes),
	COLUMN_OF_FLOWS(RATE, "police_eir_bps", NULL, r.police_eir_bps),
	COLUMN_OF_FLOWS(BYTES, "police_ebs_bytes", NULL, r.police_ebs_bytes),
	COLUMN_OF_FLOWS(FLAG, "compress", NULL, r.compress),
};

/* One class in full: a line a field. */
static const struct column full_columns[] = {
	COLUMN(TEXT, NULL, "class", class_row, r.name),
	COLUMN_OF_WORDS(NULL, "kind", class_row, r.is_group, kind_words),
	COLUMN(TEXT, NULL, "in group", class_row, r.parent),
	COLUMN(TEXT, NULL, "bridge", class_row, r.bridge),
	COLUMN_OF_WORDS(NULL, "way", class_row, r.way, out_way_words),
	COLUMN(NUMBER, NULL, "priority", class_row, r.priority),
	COLUMN(NUMBER, NULL, "weight", class_row, r.weight),
	COLUMN(LIMIT, NULL, "assured", class_row, r.assured_bps),
	COLUMN(LIMIT, NULL, "ceiling", class_row, r.ceil_bps),
	COLUMN(TEXT, NULL, "  burst of both", class_row, burst),
	COLUMN_OF_FLOWS(LIMIT, NULL, "flow rate", r.flow_rate_bps),
	COLUMN_OF_FLOWS(TEXT, NULL, "  per", per),
	COLUMN_OF_FLOWS(TEXT, NULL, "  burst", flow_burst),
	COLUMN(RATE, NULL, "rate now", class_row, r.rate_bps),
	COLUMN(PERCENT, NULL, "  borrowed", class_row, borrowed),
	COLUMN(COUNT, NULL, "sent packets", class_row, r.sent_packets),
	COLUMN(BYTES, NULL, "sent", class_row, r.sent_bytes),
	COLUMN(BYTES, NULL, "  on the wire", class_row, r.wire_bytes),
	COLUMN(RATIO, NULL, "  ratio", class_row, ratio),
	COLUMN(BYTES, NULL, "  charged", class_row, r.charged_bytes),
	COLUMN(BYTES, NULL, "  borrowed", class_row, r.borrowed_bytes),
	COLUMN_OF_FLOWS(FLAG, NULL, "compression", r.compress),
	COLUMN(BYTES, NULL, "backlog", class_row, r.backlog_bytes),
	COLUMN(COUNT, NULL, "  packets", class_row, r.backlog_packets),
	COLUMN(COUNT, NULL, "  flows", class_row, r.backlog_flows),
	COLUMN(TIME, NULL, "  age", class_row, r.backlog_age_ns),
	COLUMN_OF_FLOWS(BYTES, NULL, "  a flow's limit", r.queue_limit_bytes),
	COLUMN_OF_FLOWS(TIME, NULL, "  limit in time", r.queue_limit_ns),
	COLUMN_OF_AQM(NULL, "AQM"),
	COLUMN_OF_FLOWS(TIME, NULL, "  target", r.aqm_target_ns),
	COLUMN_OF_FLOWS(FLAG, NULL, "  ECN", r.ecn),
	COLUMN(COUNT, NULL, "dropped: tail", class_row, r.dropped_tail),
	COLUMN(COUNT, NULL, "  too old", class_row, r.dropped_time),
	COLUMN(COUNT, NULL, "  AQM", class_row, r.dropped_aqm),
	COLUMN(COUNT, NULL, "  no memory", class_row, r.dropped_memory),
	COLUMN(COUNT, NULL, "  policed", class_row, r.dropped_police),
	COLUMN(COUNT, NULL, "marked (ECN)", class_row, r.marked),
	COLUMN_OF_FLOWS(TEXT, NULL, "policer", police),
	COLUMN(COUNT, NULL, "  green", class_row, r.colour[0]),
	COLUMN(COUNT, NULL, "  yellow", class_row, r.colour[1]),
	COLUMN(COUNT, NULL, "  red", class_row, r.colour[2]),
	COLUMN(COUNT, NULL, "  DSCP changed", class_row, r.remarked),
};

static const struct column brief_columns[] = {
	COLUMN(TEXT, NULL, "CLASS", class_row, r.name),
	COLUMN(TEXT, NULL, "BRIDGE", class_row, r.bridge),
	COLUMN_OF_WORDS(NULL, "WAY", class_row, r.way, out_way_words),
	COLUMN(RATE, NULL, "RATE", class_row, r.rate_bps),
	COLUMN(LIMIT, NULL, "CEIL", class_row, r.ceil_bps),
	COLUMN(PERCENT, NULL, "BORROWS", class_row, borrowed),
	COLUMN(RATIO, NULL, "RATIO", class_row, ratio),
	COLUMN(COUNT, NULL, "WAITING", class_row, r.backlog_packets),
	COLUMN(COUNT, NULL, "DROPS", class_row, dropped),
	COLUMN(COUNT, NULL, "MARKS", class_row, r.marked),
	COLUMN(TIME, NULL, "WAIT p99", class_row, r.queue_delay.p99_ns),
};

/* ---- rows ---- */

static void burst_text(uint64_t bytes, uint64_t ns, char text[FORMAT_MAX])
{
	if (bytes != 0)
		format_bytes(bytes, text);
	else if (ns != 0)
		format_time(ns, text);
	else
		strcpy(text, "auto");
}

static void per_text(const struct class_record *r, char text[FORMAT_MAX])
{
	static const char *const words[] = {"flow", "src", "dst", "lan", "wan"};
	const char *word = r->per < COUNT_OF(words) ? words[r->per] : "unknown";
	char bits4[8] = "", bits6[8] = "";

	if (r->per != CHANNEL_PER_FLOW && r->per_bits4 != 0)
		snprintf(bits4, sizeof(bits4), "/%u", (unsigned)r->per_bits4 % 1000);
	if (r->per != CHANNEL_PER_FLOW && r->per_bits6 != 0)
		snprintf(bits6, sizeof(bits6), "/%u", (unsigned)r->per_bits6 % 1000);
	snprintf(text, FORMAT_MAX, "%s%s%s%s", word, bits4,
		bits4[0] != '\0' && bits6[0] != '\0' ? "," : "", bits6);
}

static void action_text(uint64_t action, char text[16])
{
	if (action == CHANNEL_POLICE_DROP)
		strcpy(text, "drop");
	else if (action == CHANNEL_POLICE_PASS)
		strcpy(text, "pass");
	else
		snprintf(text, 16, "DSCP %u", (unsigned)action % 1000);
}

void classes_police_text(const struct class_record *r, char text[CLASSES_POLICE_MAX])
{
	static const char *const rfcs[] = {"RFC 2697", "RFC 2698", "RFC 4115"};
	static const char *const excess[][2] = {{"", "EBS"}, {"PIR", "PBS"}, {"EIR", "EBS"}};
	char cir[FORMAT_MAX], cbs[FORMAT_MAX], eir[FORMAT_MAX], ebs[FORMAT_MAX], action[3][16];
	uint64_t mode = r->police - CHANNEL_POLICE_SRTCM;

	text[0] = '\0';
	if (r->police == CHANNEL_POLICE_NONE || mode >= COUNT_OF(rfcs))
		return;
	for (int i = 0; i < 3; i++)
		action_text(r->police_action[i], action[i]);
	snprintf(text, CLASSES_POLICE_MAX,
		"%s%s: CIR %s, CBS %s, %s%s%s%s%s %s; green %s, yellow %s, red %s", rfcs[mode],
		r->police_colour_aware ? " colour-aware" : "", format_rate(r->police_cir_bps, cir),
		format_bytes(r->police_cbs_bytes, cbs), excess[mode][0], mode == 0 ? "" : " ",
		mode == 0 ? "" : format_rate(r->police_eir_bps, eir), mode == 0 ? "" : ", ",
		excess[mode][1], format_bytes(r->police_ebs_bytes, ebs), action[0], action[1],
		action[2]);
}

/* What a group is shown with: of its classes together. */
static void add_to_group(struct class_record *group, const struct class_record *r)
{
	group->sent_packets += r->sent_packets;
	group->sent_bytes += r->sent_bytes;
	group->wire_bytes += r->wire_bytes;
	group->charged_bytes += r->charged_bytes;
	group->borrowed_bytes += r->borrowed_bytes;
	group->rate_bps += r->rate_bps;
	group->borrowed_bps =
		group->rate_bps > group->assured_bps ? group->rate_bps - group->assured_bps : 0;
	group->backlog_packets += r->backlog_packets;
	group->backlog_bytes += r->backlog_bytes;
	group->backlog_flows += r->backlog_flows;
	if (r->backlog_age_ns > group->backlog_age_ns)
		group->backlog_age_ns = r->backlog_age_ns;
	group->dropped_tail += r->dropped_tail;
	group->dropped_time += r->dropped_time;
	group->dropped_aqm += r->dropped_aqm;
	group->dropped_memory += r->dropped_memory;
	group->dropped_police += r->dropped_police;
	group->marked += r->marked;
	group->remarked += r->remarked;
	for (int i = 0; i < 3; i++)
		group->colour[i] += r->colour[i];
}

static bool is_same_tree(const struct class_record *a, const struct class_record *b)
{
	return a->way == b->way && strncmp(a->bridge, b->bridge, CHANNEL_NAME_MAX) == 0;
}

/* Records in the order of the tree, each group before its classes: add the classes up. */
static void sum_groups(struct rows *records)
{
	struct class_record *groups[DEPTH_MAX] = {NULL};

	for (size_t i = 0; i < records->count; i++) {
		struct class_record *r = rows_at(records, i);
		uint64_t depth = r->depth < DEPTH_MAX ? r->depth : DEPTH_MAX - 1;

		if (i > 0 && !is_same_tree(r, rows_at(records, i - 1)))
			memset(groups, 0, sizeof(groups));
		for (uint64_t g = 0; g < depth; g++)
			if (groups[g] != NULL)
				add_to_group(groups[g], r);
		for (uint64_t g = depth; g < DEPTH_MAX; g++)
			groups[g] = NULL;
		if (r->is_group)
			groups[depth] = r;
	}
}

static void fill(struct class_row *row, const struct class_record *r, uint64_t depth)
{
	row->r = *r;
	depth = depth < DEPTH_MAX ? depth : DEPTH_MAX - 1;
	snprintf(row->tree_name, sizeof(row->tree_name), "%*s%.31s", (int)(2 * depth), "", r->name);
	row->borrowed = cli_share(r->borrowed_bps, r->rate_bps);
	row->ratio = cli_share(r->sent_bytes, r->wire_bytes);
	row->dropped = r->dropped_tail + r->dropped_time + r->dropped_aqm + r->dropped_memory +
		       r->dropped_police;
	burst_text(r->burst_bytes, r->burst_ns, row->burst);
	burst_text(r->flow_burst_bytes, r->flow_burst_ns, row->flow_burst);
	per_text(r, row->per);
	classes_police_text(r, row->police);
}

/* Records first..last - 1 as rows. */
static struct rows make_rows(const struct rows *records, size_t first, size_t last)
{
	struct rows rows = {.row_bytes = sizeof(struct class_row)};
	uint64_t top = UINT64_MAX;

	for (size_t i = first; i < last; i++) {
		const struct class_record *r = rows_at(records, i);
		struct class_row *row = rows_add(&rows);

		if (row == NULL)
			break;
		if (r->depth < top)
			top = r->depth;
		fill(row, r, r->depth - top);
	}
	return rows;
}

/* ---- what is printed ---- */

/* "b0 up: 98.2 Mbit/s of 100 Mbit/s": the link above the classes. */
static void print_heading(struct cli *cli, const struct class_record *r, const struct rows *links)
{
	char rate[FORMAT_MAX], limit[FORMAT_MAX];

	for (size_t i = 0; i < links->count; i++) {
		const struct link_record *link = rows_at(links, i);
		uint64_t limit_bps = link->tracked_bps != 0 ? link->tracked_bps : link->shaped_bps;

		if (link->way != r->way || strncmp(link->bridge, r->bridge, CHANNEL_NAME_MAX) != 0)
			continue;
		out_text(&cli->out, "%.31s %s: %s of %s%s\n", r->bridge,
			out_way_words[r->way != CHANNEL_UP], format_rate(link->rate_bps, rate),
			limit_bps == 0 ? "what the port gives" : format_rate(limit_bps, limit),
			link->tracked_bps != 0 ? ", as tracked" : "");
	}
}

/* A tree for each bridge and way. */
static int print_trees(struct cli *cli, const struct rows *records)
{
	struct page_request request = {0};
	struct rows links;

	if (cli_list(cli, MESSAGE_LINKS, &request, &links) != 0)
		return 1;
	for (size_t first = 0, last; first < records->count; first = last) {
		const struct class_record *r = rows_at(records, first);

		for (last = first; last < records->count; last++)
			if (!is_same_tree(r, rows_at(records, last)))
				break;
		struct rows rows = make_rows(records, first, last);

		if (first > 0)
			out_text(&cli->out, "\n");
		print_heading(cli, r, &links);
		out_table(&cli->out, "classes", columns, COUNT_OF(columns), &rows, "no classes");
		rows_free(&rows);
	}
	rows_free(&links);
	if (records->count == 0)
		out_text(&cli->out, "no classes\n");
	return 0;
}

static void print_dist(struct cli *cli, const char *what, const struct channel_dist *d)
{
	char p50[FORMAT_MAX], p90[FORMAT_MAX], p99[FORMAT_MAX], p999[FORMAT_MAX], max[FORMAT_MAX],
		count[FORMAT_MAX];

	if (d->samples == 0)
		out_text(&cli->out, "%-16s  -\n", what);
	else
		out_text(&cli->out, "%-16s  p50 %s, p90 %s, p99 %s, p99.9 %s, max %s of %s\n", what,
			format_time(d->p50_ns, p50), format_time(d->p90_ns, p90),
			format_time(d->p99_ns, p99), format_time(d->p999_ns, p999),
			format_time(d->max_ns, max), format_count(d->samples, count));
}

/* Everything about the class `name` on each bridge and way. */
static void print_full(struct cli *cli, const struct rows *records, const char *name)
{
	bool is_first = true;

	for (size_t i = 0; i < records->count; i++) {
		const struct class_record *r = rows_at(records, i);
		struct class_row row;

		if (strncmp(r->name, name, CHANNEL_NAME_MAX) != 0)
			continue;
		if (!is_first)
			out_text(&cli->out, "\n");
		is_first = false;
		fill(&row, r, 0);
		out_record(&cli->out, "class", full_columns, COUNT_OF(full_columns), &row);
		if (r->is_group)
			continue;
		if (!r->measured) {
			out_text(&cli->out, "no distributions: see appliance.distributions\n");
			continue;
		}
		print_dist(cli, "waiting", &r->queue_delay);
		print_dist(cli, "in the box", &r->box_time);
		print_dist(cli, "RTT, LAN half", &r->rtt_lan);
		print_dist(cli, "RTT, WAN half", &r->rtt_wan);
	}
}

static int by_rate_falling(const void *a, const void *b)
{
	const struct class_record *x = a, *y = b;

	return x->rate_bps == y->rate_bps ? 0 : x->rate_bps < y->rate_bps ? 1 : -1;
}

int classes_print_busy(struct cli *cli)
{
	struct classes_request request = {.select = CLASSES_BUSY};
	struct rows records;

	if (cli_list(cli, MESSAGE_CLASSES, &request, &records) != 0)
		return 1;
	if (records.count > 0)
		qsort(records.data, records.count, records.row_bytes, by_rate_falling);

	struct rows rows =
		make_rows(&records, 0, records.count < BUSIEST ? records.count : BUSIEST);

	out_table(&cli->out, "classes", brief_columns, COUNT_OF(brief_columns), &rows,
		"no class sends");
	rows_free(&rows);
	rows_free(&records);
	return 0;
}

int cmd_show_classes(struct cli *cli, int argc, char **argv)
{
	struct cli_option options[] = {{.name = "--class"}, {.name = "--busy", .is_flag = true}};
	const char *full = argc > 0 && argv[0][0] != '-' ? argv[0] : NULL, *name;
	struct classes_request request = {0};
	struct rows records;
	int code = 0;

	if (cli_options(cli, argc - (full != NULL), argv + (full != NULL), options,
		    COUNT_OF(options)) != 0)
		return 1;
	name = full != NULL ? full : options[0].value;
	if (full != NULL && (options[0].value != NULL || options[1].value != NULL))
		return cli_error(cli, -EINVAL, "show classes %s: no options go with a name", full);
	if (name != NULL && strlen(name) >= sizeof(request.name))
		return cli_error(cli, -EINVAL, "a class's name has at most %d characters",
			CHANNEL_NAME_MAX - 1);
	strcpy(request.name, name != NULL ? name : "");
	request.select = options[1].value != NULL ? CLASSES_BUSY : CLASSES_ALL;
	if (cli_list(cli, MESSAGE_CLASSES, &request, &records) != 0)
		return 1;
	sum_groups(&records);
	if (full != NULL)
		cli_keep(cli, "class", full, offsetof(struct class_record, name), &records);
	if (cli->out.json) {
		struct class_row row;

		out_rows_start(&cli->out, "classes");
		for (size_t i = 0; i < records.count; i++) {
			fill(&row, rows_at(&records, i), 0);
			out_row(&cli->out, columns, COUNT_OF(columns), &row);
		}
		out_rows_end(&cli->out);
	} else if (full != NULL) {
		print_full(cli, &records, full);
	} else {
		code = print_trees(cli, &records);
	}
	rows_free(&records);
	return code;
}

int classes_one(struct cli *cli, const char *name, const char *bridge, uint64_t way,
	struct class_record *record)
{
	struct classes_request request = {.select = CLASSES_ALL};
	struct rows records;

	snprintf(request.name, sizeof(request.name), "%.31s", name);
	if (cli_list(cli, MESSAGE_CLASSES, &request, &records) != 0)
		return 1;
	*record = (struct class_record){0};
	for (size_t i = 0; i < records.count; i++) {
		const struct class_record *r = rows_at(&records, i);

		if (r->way == way && strncmp(r->bridge, bridge, CHANNEL_NAME_MAX) == 0 &&
			strncmp(r->name, name, CHANNEL_NAME_MAX) == 0)
			*record = *r;
	}
	rows_free(&records);
	return 0;
}
