/* SPDX-License-Identifier: BSD-3-Clause */
/* `show compression`: what it saved, at what cost, why it left packets alone, the stores
 * and the histories. */
#include <string.h>

#include "controlplane/cli/cli.h"

struct compression_row {
	struct compression_record r;
	char name[CHANNEL_NAME_MAX];
	double ratio, codec_ratio, cycles_per_byte, packets_per_frame;
};

static const struct column columns[] = {
	COLUMN(TEXT, "class", "CLASS", compression_row, name),
	COLUMN_OF_WORDS("mode", "MODE", compression_row, r.mode, out_compression_words),
	COLUMN(BYTES, "original_bytes", "ORIGINAL", compression_row, r.original_bytes),
	COLUMN(BYTES, "wire_bytes", "ON WIRE", compression_row, r.wire_bytes),
	COLUMN(RATIO, "ratio", "RATIO", compression_row, ratio),
	COLUMN(COUNT, "packets", "PACKETS", compression_row, r.packets),
	COLUMN(COUNT, "packets_compressed", "COMPRESSED", compression_row, r.packets_compressed),
	COLUMN(COUNT, "packets_packed", "PACKED", compression_row, r.packed_packets),
	COLUMN(COUNT, "packed_frames", NULL, compression_row, r.packed_frames),
	COLUMN(RATIO, "packets_per_frame", "PER FRAME", compression_row, packets_per_frame),
	COLUMN(BYTES, "compressed_in_bytes", NULL, compression_row, r.compressed_in_bytes),
	COLUMN(BYTES, "compressed_out_bytes", NULL, compression_row, r.compressed_out_bytes),
	COLUMN(RATIO, "codec_ratio", "CODEC RATIO", compression_row, codec_ratio),
	COLUMN(BYTES, "dry_saved_bytes", "DRY SAVED", compression_row, r.dry_saved_bytes),
	COLUMN(RATIO, "cycles_per_byte", "CYCLES/B", compression_row, cycles_per_byte),
	COLUMN(COUNT, "no_peer", "NO PEER", compression_row, r.no_peer),
	COLUMN(COUNT, "no_fit", "NO FIT", compression_row, r.no_fit),
	COLUMN(COUNT, "no_gain", "NO GAIN", compression_row, r.no_gain),
	COLUMN(COUNT, "small", "SMALL", compression_row, r.small),
	COLUMN(COUNT, "backoff", "BACK-OFF", compression_row, r.backoff),
	COLUMN(COUNT, "unproven", "UNPROVEN", compression_row, r.unproven),
	COLUMN(COUNT, "busy", "BUSY", compression_row, r.busy),
	COLUMN(COUNT, "retransmit", "RETRANSMIT", compression_row, r.retransmit),
	COLUMN(COUNT, "low_ttl", "LOW TTL", compression_row, r.low_ttl),
	COLUMN(COUNT, "form", "FORM", compression_row, r.form),
	COLUMN(COUNT, "off", "OFF", compression_row, r.off),
};

struct codec_row {
	struct codec_record r;
	double ratio, cycles_per_byte;
};

static const struct column codec_columns[] = {
	COLUMN(TEXT, "class", "CLASS", codec_row, r.class_name),
	COLUMN(TEXT, "codec", "CODEC", codec_row, r.codec),
	COLUMN(COUNT, "packets_compressed", "COMPRESSED", codec_row, r.packets),
	COLUMN(BYTES, "in_bytes", "BEFORE", codec_row, r.in_bytes),
	COLUMN(BYTES, "out_bytes", "ON WIRE", codec_row, r.out_bytes),
	COLUMN(RATIO, "ratio", "RATIO", codec_row, ratio),
	COLUMN(BYTES, "tried_bytes", "TRIED", codec_row, r.tried_bytes),
	COLUMN(RATIO, "cycles_per_byte", "CYCLES/B", codec_row, cycles_per_byte),
};

static const char *const step_words[] = {"as configured", "faster", "fastest", "none", NULL};

static const struct column governor_columns[] = {
	COLUMN(COUNT, "worker", "WORKER", governor_record, worker),
	COLUMN_OF_WORDS("compresses", "COMPRESSES", governor_record, step, step_words),
	COLUMN(COUNT, "steps_down", "STEPS DOWN", governor_record, ups),
	COLUMN(COUNT, "steps_back", "STEPS BACK", governor_record, downs),
	COLUMN(COUNT, "busy_packets", "BUSY", governor_record, busy_packets),
};

/* By class and codec. */
static int show_by_codec(struct cli *cli, const char *class)
{
	struct rows rows = {.row_bytes = sizeof(struct codec_row)}, records;
	struct page_request request = {0};

	if (cli_list(cli, MESSAGE_CODECS, &request, &records) != 0)
		return 1;
	for (size_t i = 0; i < records.count; i++) {
		const struct codec_record *r = rows_at(&records, i);
		struct codec_row *row;

		if (class != NULL && strcmp(class, r->class_name) != 0)
			continue;
		row = rows_add(&rows);
		if (row == NULL)
			break;
		row->r = *r;
		row->ratio = cli_share(r->in_bytes, r->out_bytes);
		row->cycles_per_byte = cli_share(r->cycles, r->tried_bytes);
	}
	out_text(&cli->out, "\n");
	out_table(&cli->out, "codecs", codec_columns, COUNT_OF(codec_columns), &rows,
		"no codec has been tried yet");
	rows_free(&rows);
	rows_free(&records);
	return 0;
}

static int show_governors(struct cli *cli)
{
	struct page_request request = {0};
	struct rows records;

	if (cli_list(cli, MESSAGE_GOVERNORS, &request, &records) != 0)
		return 1;
	out_text(&cli->out, "\n");
	out_table(&cli->out, "governors", governor_columns, COUNT_OF(governor_columns), &records,
		"no workers");
	rows_free(&records);
	return 0;
}

struct store_row {
	struct store_record r;
	double hit_rate;
};

static const struct column store_columns[] = {
	COLUMN(TEXT, "peer", "STORE OF", store_row, r.peer),
	COLUMN(BYTES, "memory_bytes", "MEMORY", store_row, r.memory_bytes),
	COLUMN(COUNT, "slots", "SLOTS", store_row, r.slots),
	COLUMN(TIME, "oldest_ns", "OLDEST", store_row, r.oldest_ns),
	COLUMN(COUNT, "hits", "HITS", store_row, r.hits),
	COLUMN(COUNT, "misses", "MISSES", store_row, r.misses),
	COLUMN(PERCENT, "hit_rate", "HIT RATE", store_row, hit_rate),
	COLUMN(COUNT, "across", "ACROSS", store_row, r.across),
	COLUMN(BYTES, "hit_bytes", "REFERRED", store_row, r.hit_bytes),
	COLUMN(BYTES, "saved_bytes", "SAVED", store_row, r.saved_bytes),
	COLUMN(COUNT, "kept", "KEPT", store_row, r.kept),
	COLUMN(COUNT, "unacknowledged", "UNACKED", store_row, r.unacknowledged),
	COLUMN(COUNT, "refused", "REFUSED", store_row, r.refused),
	COLUMN(COUNT, "voided", "VOIDED", store_row, r.voided),
	COLUMN(COUNT, "continued", "CONTINUED", store_row, r.continued),
	COLUMN(COUNT, "rx_kept", "RX KEPT", store_row, r.rx_kept),
	COLUMN(COUNT, "rx_expanded", "REBUILT", store_row, r.rx_expanded),
	COLUMN(COUNT, "rx_missing", "MISSING", store_row, r.rx_missing),
	COLUMN(COUNT, "acks_sent", NULL, store_row, r.acks_sent),
	COLUMN(COUNT, "rx_continued", NULL, store_row, r.rx_continued),
};

static const struct column history_columns[] = {
	COLUMN(TEXT, "peer", "HISTORY OF", store_row, r.peer),
	COLUMN(BYTES, "memory_bytes", "MEMORY", store_row, r.history_bytes),
	COLUMN(COUNT, "histories", "AT MOST", store_row, r.histories),
	COLUMN(COUNT, "flows", "SO FAR", store_row, r.history_flows),
	COLUMN(COUNT, "offered", "OFFERED", store_row, r.epochs_offered),
	COLUMN(COUNT, "made", "EPOCHS", store_row, r.epochs_made),
	COLUMN(COUNT, "lost", "LOST", store_row, r.epochs_lost),
	COLUMN(COUNT, "refused", "REFUSED", store_row, r.epochs_refused),
	COLUMN(COUNT, "packets", "PACKETS", store_row, r.epoch_packets),
	COLUMN(COUNT, "of_service", "OF SERVICE", store_row, r.epoch_shared),
	COLUMN(COUNT, "rx_made", "RX EPOCHS", store_row, r.rx_epochs),
	COLUMN(COUNT, "rx_packets", "RX PACKETS", store_row, r.rx_epoch_packets),
	COLUMN(COUNT, "rx_missing", "MISSING", store_row, r.rx_epochs_missing),
};

/* Tables of their own, where there are any. */
static int show_stores(struct cli *cli)
{
	struct rows rows = {.row_bytes = sizeof(struct store_row)}, records;
	struct rows with_history = {.row_bytes = sizeof(struct store_row)};
	struct page_request request = {0};

	if (cli_list(cli, MESSAGE_STORES, &request, &records) != 0)
		return 1;
	for (size_t i = 0; i < records.count; i++) {
		struct store_row *row = rows_add(&rows);

		if (row == NULL)
			break;
		row->r = *(const struct store_record *)rows_at(&records, i);
		row->hit_rate = cli_share(row->r.hits, row->r.hits + row->r.misses);
		if (row->r.history_bytes > 0) { /* a dry run has none */
			struct store_row *other = rows_add(&with_history);

			if (other != NULL)
				*other = *row;
		}
	}
	if (rows.count > 0)
		out_text(&cli->out, "\n");
	if (rows.count > 0 || cli->out.json)
		out_table(&cli->out, "stores", store_columns, COUNT_OF(store_columns), &rows, "");
	if (with_history.count > 0)
		out_text(&cli->out, "\n");
	if (with_history.count > 0 || cli->out.json)
		out_table(&cli->out, "histories", history_columns, COUNT_OF(history_columns),
			&with_history, "");
	rows_free(&with_history);
	rows_free(&rows);
	rows_free(&records);
	return 0;
}

int cmd_show_compression(struct cli *cli, int argc, char **argv)
{
	struct rows rows = {.row_bytes = sizeof(struct compression_row)}, records;
	struct cli_option options[] = {{.name = "--class"}};
	struct page_request request = {0};

	if (cli_options(cli, argc, argv, options, 1) != 0 ||
		cli_list(cli, MESSAGE_COMPRESSION, &request, &records) != 0)
		return 1;
	if (cli_keep(cli, "class", options[0].value,
		    offsetof(struct compression_record, class_name), &records) != 0)
		return 1;
	for (size_t i = 0; i < records.count; i++) {
		struct compression_row *row = rows_add(&rows);

		if (row == NULL)
			break;
		row->r = *(const struct compression_record *)rows_at(&records, i);
		memcpy(row->name, row->r.class_name, sizeof(row->name));
		if (row->name[0] == '\0')
			strcpy(row->name, "(all)");
		row->ratio = cli_share(row->r.original_bytes, row->r.wire_bytes);
		row->codec_ratio =
			cli_share(row->r.compressed_in_bytes, row->r.compressed_out_bytes);
		row->cycles_per_byte = cli_share(row->r.codec_cycles, row->r.codec_bytes);
		row->packets_per_frame = cli_share(row->r.packed_packets, row->r.packed_frames);
	}
	out_table(&cli->out, "compression", columns, COUNT_OF(columns), &rows, "no classes");
	rows_free(&rows);
	rows_free(&records);
	return show_by_codec(cli, options[0].value) != 0 || show_governors(cli) != 0 ||
	       show_stores(cli) != 0;
}
