/* SPDX-License-Identifier: BSD-3-Clause */
/* `show drops`: every reason of reasons.def, summed over the workers, from the counter segment. */
#include <string.h>

#include "controlplane/cli/cli.h"

static const char *const kind_words[] = {"passed", "dropped", NULL};

struct drop_row {
	char name[32];
	uint64_t is_drop, packets;
	char text[128];
};

static const struct column columns[] = {
	COLUMN(TEXT, "reason", "REASON", drop_row, name),
	COLUMN_OF_WORDS("kind", "KIND", drop_row, is_drop, kind_words),
	COLUMN(COUNT, "packets", "PACKETS", drop_row, packets),
	COLUMN(TEXT, "text", "MEANING", drop_row, text),
};

int cmd_show_drops(struct cli *cli, int argc, char **argv)
{
	struct rows rows = {.row_bytes = sizeof(struct drop_row)};
	struct cli_option options[] = {{.name = "--all", .is_flag = true}};
	json_t *workers = json_array();
	const struct counters_header *header;
	bool all;

	if (cli_options(cli, argc, argv, options, 1) != 0 || cli_client(cli) == NULL) {
		json_decref(workers);
		return 1;
	}
	all = options[0].value != NULL || cli->out.json;
	header = client_counters(cli->client);
	for (int reason = REASON_NONE + 1; reason < REASON_COUNT; reason++) {
		uint64_t packets = 0;
		struct drop_row *row;

		for (uint32_t w = 0; w < header->workers; w++)
			packets += counters_worker((void *)(uintptr_t)header, w)->reason[reason];
		if (packets == 0 && !all)
			continue;
		row = rows_add(&rows);
		if (row == NULL)
			break;
		snprintf(row->name, sizeof(row->name), "%s", reason_table[reason].name);
		snprintf(row->text, sizeof(row->text), "%s", reason_table[reason].text);
		row->is_drop = (uint64_t)reason_table[reason].is_drop;
		row->packets = packets;
	}
	out_table(&cli->out, "drops", columns, COUNT_OF(columns), &rows,
		"nothing was dropped or passed untreated");
	for (uint32_t w = 0; cli->out.json && w < header->workers; w++) {
		json_t *object = json_object();

		for (int reason = REASON_NONE + 1; reason < REASON_COUNT; reason++)
			json_object_set_new(object, reason_table[reason].name,
				json_integer(
					(json_int_t)counters_worker((void *)(uintptr_t)header, w)
						->reason[reason]));
		json_array_append_new(workers, object);
	}
	if (cli->out.json)
		json_object_set(cli->out.root, "workers", workers);
	json_decref(workers);
	rows_free(&rows);
	return 0;
}
