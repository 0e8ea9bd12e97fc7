/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `show peers`: sessions with the appliances at the other ends, what their links lose, and the path
 * from each of them as its frames tell it. With a name also by class, and how losses and reordering
 * are distributed.
 */
#include <errno.h>
#include <string.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/format.h"

static const char *const state_words[] = {"down", "connecting", "up", NULL};
static const char *const framing_words[] = {"tunnel", "transparent", NULL};

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
	COLUMN_OF_WORDS("framing", "FRAMING", peer_row, r.framing, framing_words),
	COLUMN(TEXT, "encryption", "ENCRYPTION", peer_row, r.encryption),
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
	COLUMN(COUNT, "rx_forged", "FORGED", peer_row, r.rx_forged),
	COLUMN(COUNT, "tx_frames", "TX FRAMES", peer_row, r.tx_frames),
	COLUMN(BYTES, "tx_bytes", "BYTES", peer_row, r.tx_bytes),
	COLUMN(COUNT, "tx_lost", "LOST", peer_row, r.tx_lost),
	COLUMN(PERCENT, "tx_loss", "LOSS", peer_row, tx_loss),
	COLUMN(COUNT, "tx_duplicate", "DUP", peer_row, r.tx_duplicate),
	COLUMN(COUNT, "tx_reordered", "REORD", peer_row, r.tx_reordered),
	COLUMN(COUNT, "peer_rx_frames", NULL, peer_row, r.peer_rx_frames),
	COLUMN(TEXT, "error", "TROUBLE", peer_row, r.error),
};

/* The path from a peer: data frames only, hellos are not among them. */
struct path_row {
	struct path_record r;
	double loss, reordering;
	char delay[2 * FORMAT_MAX]; /* "20.1 ms +-19.9 ms" */
};

static const struct column path_columns[] = {
	COLUMN(TEXT, NULL, "FROM PEER", path_row, r.name),
	COLUMN(TEXT, NULL, "ONE-WAY DELAY", path_row, delay),
	COLUMN(TIME, NULL, "VAR p50", path_row, r.delay_variation.p50_ns),
	COLUMN(TIME, NULL, "p99", path_row, r.delay_variation.p99_ns),
	COLUMN(TIME, NULL, "IPDV p99", path_row, r.ipdv.p99_ns),
	COLUMN(COUNT, "received", "FRAMES", path_row, r.received),
	COLUMN(COUNT, "lost", "LOST", path_row, r.lost),
	COLUMN(PERCENT, "loss", "LOSS", path_row, loss),
	COLUMN(COUNT, "loss_periods", "PERIODS", path_row, r.loss_periods),
	COLUMN(COUNT, "loss_longest", "LONGEST", path_row, r.loss_longest),
	COLUMN(COUNT, "duplicate", NULL, path_row, r.duplicate),
	COLUMN(COUNT, "reordered", "REORD", path_row, r.reordered),
	COLUMN(PERCENT, "reordering", NULL, path_row, reordering),
	COLUMN(COUNT, "reordered_1", NULL, path_row, r.n_reordered[0]),
	COLUMN(COUNT, "reordered_2", NULL, path_row, r.n_reordered[1]),
	COLUMN(COUNT, "reordered_3", "BY 3", path_row, r.n_reordered[2]),
	COLUMN(COUNT, "reordered_4", NULL, path_row, r.n_reordered[3]),
	COLUMN(COUNT, "extent_max", "EXTENT", path_row, r.extent_max),
	COLUMN(TIME, "late_max_ns", "LATE", path_row, r.late_max_ns),
	COLUMN(RATE_BRIEF, "rx_bps", "RX BIT/S", path_row, r.rx_bps),
	COLUMN(RATE_BRIEF, "tx_bps", "TX", path_row, r.tx_bps),
	COLUMN(COUNT, "late", NULL, path_row, r.late),
	COLUMN(COUNT, "loss_noticeable", NULL, path_row, r.loss_noticeable),
	COLUMN(COUNT, "extent_unknown", NULL, path_row, r.extent_unknown),
	COLUMN(TIME, "late_mean_ns", NULL, path_row, r.late_mean_ns),
	COLUMN(COUNT, "unsettled", NULL, path_row, r.unsettled),
	COLUMN(NUMBER, "window_ns", NULL, path_row, r.window_ns),
	COLUMN(DIST, "delay_variation", NULL, path_row, r.delay_variation),
	COLUMN(DIST, "ipdv", NULL, path_row, r.ipdv),
};

struct class_row {
	struct peer_class_record r;
	char name[CHANNEL_NAME_MAX];
	double loss;
};

static const struct column class_columns[] = {
	COLUMN(TEXT, "class", "CLASS THERE", class_row, name),
	COLUMN(COUNT, "received", "FRAMES", class_row, r.received),
	COLUMN(BYTES, "bytes", "BYTES", class_row, r.bytes),
	COLUMN(COUNT, "sent", "SENT", class_row, r.sent),
	COLUMN(COUNT, "lost", "LOST", class_row, r.lost),
	COLUMN(PERCENT, "loss", "LOSS", class_row, loss),
	COLUMN(COUNT, "duplicate", "DUP", class_row, r.duplicate),
	COLUMN(COUNT, "reordered", "REORD", class_row, r.reordered),
	COLUMN(COUNT, NULL, "SAMPLES", class_row, r.delay_variation.samples),
	COLUMN(TIME, NULL, "DELAY VAR p50", class_row, r.delay_variation.p50_ns),
	COLUMN(TIME, NULL, "p99", class_row, r.delay_variation.p99_ns),
	COLUMN(DIST, "delay_variation", NULL, class_row, r.delay_variation),
};

struct size_row {
	char size[FORMAT_MAX];
	uint64_t periods, reordered;
};

static const struct column size_columns[] = {
	COLUMN(TEXT, "packets", "PACKETS", size_row, size),
	COLUMN(COUNT, "loss_periods", "LOSS PERIODS", size_row, periods),
	COLUMN(COUNT, "reordered", "REORDERED BY", size_row, reordered),
};

static void make_path(const struct path_record *r, struct path_row *row)
{
	char delay[FORMAT_MAX], off[FORMAT_MAX];
	uint64_t expected = r->received - r->duplicate - r->late + r->lost;

	row->r = *r;
	row->loss = cli_share(r->lost, expected);
	row->reordering = cli_share(r->reordered, expected - r->lost);
	/* An estimate below 0 is within what it may be off. */
	if (r->has_delay)
		snprintf(row->delay, sizeof(row->delay), "%s +-%s",
			format_time(r->delay_ns > 0 ? (uint64_t)r->delay_ns : 0, delay),
			format_time(r->delay_uncertainty_ns, off));
}

/* How long loss periods are, and how far packets come late: as many as their size says. */
static void make_sizes(const struct path_record *r, struct rows *rows)
{
	static const char *const sizes[CHANNEL_SIZES] = {
		"1", "2", "3-4", "5-8", "9-16", "17-32", "33-64", "more"};

	*rows = (struct rows){.row_bytes = sizeof(struct size_row)};
	for (size_t i = 0; i < CHANNEL_SIZES; i++) {
		struct size_row *row = rows_add(rows);

		if (row == NULL)
			return;
		snprintf(row->size, sizeof(row->size), "%s", sizes[i]);
		row->periods = r->loss_runs[i];
		row->reordered = r->extents[i];
	}
}

/* The classes of one peer. */
static void make_classes(const struct rows *records, const char *peer, struct rows *rows)
{
	*rows = (struct rows){.row_bytes = sizeof(struct class_row)};
	for (size_t i = 0; i < records->count; i++) {
		const struct peer_class_record *r = rows_at(records, i);
		struct class_row *row;

		if (strncmp(r->peer, peer, CHANNEL_NAME_MAX) != 0)
			continue;
		row = rows_add(rows);
		if (row == NULL)
			return;
		row->r = *r;
		snprintf(row->name, sizeof(row->name), "%s",
			r->class_name[0] != '\0' ? r->class_name : "(others)");
		row->loss = cli_share(r->lost, r->sent);
	}
}

static json_t *json_rows(const struct column *of, size_t column_count, const struct rows *rows)
{
	json_t *array = json_array();

	for (size_t i = 0; i < rows->count; i++)
		json_array_append_new(array, out_json_record(of, column_count, rows_at(rows, i)));
	return array;
}

/* "path" of a peer's object. */
static json_t *json_path(const struct path_row *path, const struct rows *classes)
{
	json_t *object = out_json_record(path_columns, COUNT_OF(path_columns), path);
	struct rows sizes;

	json_object_set_new(object, "one_way_delay_ns",
		path->r.has_delay ? json_integer(path->r.delay_ns) : json_null());
	json_object_set_new(object, "one_way_uncertainty_ns",
		path->r.has_delay ? json_integer((json_int_t)path->r.delay_uncertainty_ns)
				  : json_null());
	make_sizes(&path->r, &sizes);
	json_object_set_new(
		object, "sizes", json_rows(size_columns, COUNT_OF(size_columns), &sizes));
	json_object_set_new(
		object, "classes", json_rows(class_columns, COUNT_OF(class_columns), classes));
	rows_free(&sizes);
	return object;
}

static void print_detail(struct cli *cli, const struct path_row *path, const struct rows *classes)
{
	struct rows sizes;

	out_text(&cli->out, "\n");
	out_table(&cli->out, "classes", class_columns, COUNT_OF(class_columns), classes,
		"no link frames came from it");
	make_sizes(&path->r, &sizes);
	out_text(&cli->out, "\n");
	out_table(&cli->out, "sizes", size_columns, COUNT_OF(size_columns), &sizes, "");
	rows_free(&sizes);
}

int cmd_show_peers(struct cli *cli, int argc, char **argv)
{
	struct rows rows = {.row_bytes = sizeof(struct peer_row)}, records = {0}, paths = {0};
	struct rows path_rows = {.row_bytes = sizeof(struct path_row)}, all_classes = {0};
	struct cli_option options[] = {{.name = "--window"}};
	struct window_request window = {0};
	struct page_request request = {0}, class_request = {0};
	const char *name = NULL;
	json_t *array = json_array();
	int code = 1;

	if (argc > 0 && argv[0][0] != '-') {
		name = *argv++;
		argc--;
	}
	if (cli_options(cli, argc, argv, options, 1) != 0 ||
		cli_window(cli, options[0].value, &window.window) != 0 ||
		cli_list(cli, MESSAGE_PEERS, &request, &records) != 0 ||
		cli_list(cli, MESSAGE_PATHS, &window, &paths) != 0 ||
		cli_list(cli, MESSAGE_PEER_CLASSES, &class_request, &all_classes) != 0 ||
		cli_keep(cli, "peer", name, offsetof(struct peer_record, name), &records) != 0 ||
		cli_keep(cli, "peer", name, offsetof(struct path_record, name), &paths) != 0)
		goto done;
	for (size_t i = 0; i < records.count && i < paths.count; i++) {
		struct peer_row *row = rows_add(&rows);
		struct path_row *path = rows_add(&path_rows);
		struct rows classes;

		if (row == NULL || path == NULL)
			break;
		row->r = *(const struct peer_record *)rows_at(&records, i);
		if (row->r.family != 0)
			format_address(row->r.address, row->address);
		row->rx_loss = cli_share(row->r.rx_lost, row->r.rx_frames + row->r.rx_lost);
		row->tx_loss = cli_share(row->r.tx_lost, row->r.peer_rx_frames + row->r.tx_lost);
		make_path(rows_at(&paths, i), path);
		/* One object a peer for programs; people get tables, which fit a screen. */
		json_t *object = out_json_record(columns, COUNT_OF(columns), row);
		json_t *traffic = out_json_record(traffic_columns, COUNT_OF(traffic_columns), row);

		make_classes(&all_classes, row->r.name, &classes);
		json_object_update(object, traffic);
		json_object_set_new(object, "path", json_path(path, &classes));
		json_decref(traffic);
		json_array_append_new(array, object);
		rows_free(&classes);
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
			out_text(&cli->out, "\n");
			cli_say_window(cli, window.window,
				((const struct path_row *)rows_at(&path_rows, 0))->r.window_ns);
			out_table(&cli->out, "paths", path_columns, COUNT_OF(path_columns),
				&path_rows, "");
		}
		if (name != NULL && rows.count > 0) {
			struct rows classes;

			make_classes(&all_classes, name, &classes);
			print_detail(cli, rows_at(&path_rows, 0), &classes);
			rows_free(&classes);
		}
	}
	code = 0;
done:
	json_decref(array);
	rows_free(&rows);
	rows_free(&path_rows);
	rows_free(&records);
	rows_free(&paths);
	rows_free(&all_classes);
	return code;
}
