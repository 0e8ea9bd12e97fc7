/* SPDX-License-Identifier: BSD-3-Clause */
/* `show shaper`: wheels, leases and memory of every worker, bridge and way, and in all. */
#include <string.h>

#include "controlplane/cli/cli.h"

static const struct column columns[] = {
	COLUMN(NUMBER, "worker", "WORKER", shaper_record, worker),
	COLUMN(TEXT, "bridge", "BRIDGE", shaper_record, bridge),
	COLUMN_OF_WORDS("way", "WAY", shaper_record, way, out_way_words),
	COLUMN(LIMIT, "link_bps", "LINK", shaper_record, link_bps),
	COLUMN(BYTES, "link_quantum_bytes", "LEASE", shaper_record, link_quantum_bytes),
	COLUMN(COUNT, "link_leases", "LEASES", shaper_record, link_leases),
	COLUMN(COUNT, "wheel_entries", "IN WHEEL", shaper_record, wheel_entries),
	COLUMN(COUNT, "wheel_inserts", "INSERTS", shaper_record, wheel_inserts),
	COLUMN(TIME, "wheel_late_max_ns", "LATEST", shaper_record, wheel_late_max_ns),
	COLUMN(COUNT, "queues", "QUEUES", shaper_record, queues),
	COLUMN(COUNT, "queues_max", NULL, shaper_record, queues_max),
	COLUMN(COUNT, "classes", NULL, shaper_record, classes),
	COLUMN(COUNT, "classes_max", NULL, shaper_record, classes_max),
	COLUMN(COUNT, "groups", NULL, shaper_record, groups),
	COLUMN(COUNT, "hosts", NULL, shaper_record, hosts),
	COLUMN(COUNT, "hosts_max", NULL, shaper_record, hosts_max),
	COLUMN(BYTES, "memory_bytes", "MEMORY", shaper_record, memory_bytes),
	COLUMN(BYTES, "shared_memory_bytes", NULL, shaper_record, shared_memory_bytes),
};

struct totals {
	uint64_t memory_bytes; /* the shared part once a bridge and way */
	uint64_t classes, classes_max, groups;
	uint64_t queues, queues_max;
	uint64_t hosts, hosts_max;
	uint64_t wheel_entries, wheel_inserts, wheel_late_max_ns;
	uint64_t link_leases;
};

static const struct column total_columns[] = {
	COLUMN(COUNT, "classes", "classes", totals, classes),
	COLUMN(COUNT, "groups", "  of them groups", totals, groups),
	COLUMN(COUNT, "classes_max", "  room for", totals, classes_max),
	COLUMN(COUNT, "queues", "flows that wait", totals, queues),
	COLUMN(COUNT, "queues_max", "  room for", totals, queues_max),
	COLUMN(COUNT, "hosts", "hosts with a bucket", totals, hosts),
	COLUMN(COUNT, "hosts_max", "  room for", totals, hosts_max),
	COLUMN(COUNT, "wheel_entries", "waiting in the wheels", totals, wheel_entries),
	COLUMN(COUNT, "wheel_inserts", "  put in so far", totals, wheel_inserts),
	COLUMN(TIME, "wheel_late_max_ns", "  latest release", totals, wheel_late_max_ns),
	COLUMN(COUNT, "link_leases", "leases of the links", totals, link_leases),
	COLUMN(BYTES, "memory_bytes", "memory", totals, memory_bytes),
};

static void add(struct totals *t, const struct shaper_record *r, const struct shaper_record *before)
{
	/* The records of the workers of one bridge and way follow each other. */
	bool is_first = before == NULL || before->way != r->way ||
			strncmp(before->bridge, r->bridge, CHANNEL_NAME_MAX) != 0;

	t->memory_bytes += r->memory_bytes + (is_first ? r->shared_memory_bytes : 0);
	t->hosts += is_first ? r->hosts : 0;
	t->hosts_max += is_first ? r->hosts_max : 0;
	/* Classes are the same everywhere. */
	t->classes = r->classes;
	t->classes_max = r->classes_max;
	t->groups = r->groups;
	t->queues += r->queues;
	t->queues_max += r->queues_max;
	t->wheel_entries += r->wheel_entries;
	t->wheel_inserts += r->wheel_inserts;
	if (r->wheel_late_max_ns > t->wheel_late_max_ns)
		t->wheel_late_max_ns = r->wheel_late_max_ns;
	t->link_leases += r->link_leases;
}

int cmd_show_shaper(struct cli *cli, int argc, char **argv)
{
	struct page_request request = {0};
	struct totals totals = {0};
	struct rows rows;

	if (cli_options(cli, argc, argv, NULL, 0) != 0 ||
		cli_list(cli, MESSAGE_SHAPER, &request, &rows) != 0)
		return 1;
	for (size_t i = 0; i < rows.count; i++)
		add(&totals, rows_at(&rows, i), i > 0 ? rows_at(&rows, i - 1) : NULL);
	out_table(&cli->out, "shaper", columns, COUNT_OF(columns), &rows, "no shapers");
	out_text(&cli->out, "\n");
	out_record(&cli->out, "total", total_columns, COUNT_OF(total_columns), &totals);
	rows_free(&rows);
	return 0;
}
