/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `show workers`: each worker's load and each stage's cost, as the difference of two looks at the
 * counter segment.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controlplane/cli/cli.h"

#define INTERVAL_MS 200

struct worker_row {
	struct counters_worker c; /* now */
	uint64_t worker;
	uint64_t heartbeat_age_ns;
	double busy; /* share of the interval spent on packets */
	double packets_per_s;
};

static const struct column columns[] = {
	COLUMN(NUMBER, "worker", "WORKER", worker_row, worker),
	COLUMN(NUMBER, "lcore", "CPU", worker_row, c.lcore),
	COLUMN(PERCENT, "busy", "BUSY", worker_row, busy),
	COLUMN(RATIO, "packets_per_s", NULL, worker_row, packets_per_s),
	COLUMN(COUNT, "sleeps", "SLEEPS", worker_row, c.sleeps),
	COLUMN(COUNT, "polls", NULL, worker_row, c.polls),
	COLUMN(TIME, "heartbeat_age_ns", "HEARTBEAT", worker_row, heartbeat_age_ns),
	COLUMN(NUMBER, "policy_generation", "POLICY", worker_row, c.policy_generation),
	COLUMN(COUNT, "flows", "FLOWS", worker_row, c.flows),
	COLUMN(COUNT, "flows_created", "CREATED", worker_row, c.flows_created),
	COLUMN(COUNT, "flows_expired", "EXPIRED", worker_row, c.flows_expired),
	COLUMN(COUNT, "flows_evicted", "EVICTED", worker_row, c.flows_evicted),
	COLUMN(COUNT, "steered_out", "STEERED", worker_row, c.steered_out),
};

struct stage_row {
	char name[32];
	uint64_t packets;	  /* since the start */
	double cycles_per_packet; /* in the interval */
	double share;		  /* of all stages' cycles */
	char text[96];
};

static const struct column stage_columns[] = {
	COLUMN(TEXT, "stage", "STAGE", stage_row, name),
	COLUMN(COUNT, "packets", "PACKETS", stage_row, packets),
	COLUMN(RATIO, "cycles_per_packet", "CYCLES/PACKET", stage_row, cycles_per_packet),
	COLUMN(PERCENT, "share", "SHARE", stage_row, share),
	COLUMN(TEXT, NULL, "DOES", stage_row, text),
};

/* Stages of workers first..last together. before may be all zero. */
static void stage_rows(const struct counters_worker *now, const struct counters_worker *before,
	uint32_t first, uint32_t last, struct rows *rows)
{
	double cost[STAGE_COUNT], sum = 0;

	*rows = (struct rows){.row_bytes = sizeof(struct stage_row)};
	for (int s = 0; s < STAGE_COUNT; s++) {
		struct stage_row *row = rows_add(rows);
		uint64_t cycles = 0, sampled = 0, packets = 0;

		if (row == NULL)
			return;
		for (uint32_t w = first; w <= last; w++) {
			row->packets += now[w].stage[s].packets;
			packets += now[w].stage[s].packets - before[w].stage[s].packets;
			cycles += now[w].stage[s].cycles - before[w].stage[s].cycles;
			sampled += now[w].stage[s].sampled - before[w].stage[s].sampled;
		}
		snprintf(row->name, sizeof(row->name), "%s", stage_table[s].name);
		snprintf(row->text, sizeof(row->text), "%s", stage_table[s].text);
		row->cycles_per_packet = cli_share(cycles, sampled);
		cost[s] = sampled > 0 ? row->cycles_per_packet * (double)packets : 0;
		sum += cost[s];
	}
	for (int s = 0; s < STAGE_COUNT; s++)
		((struct stage_row *)rows_at(rows, (size_t)s))->share =
			sum > 0 ? cost[s] / sum : NAN;
}

static void print_workers(struct cli *cli, const struct counters_worker *now,
	const struct counters_worker *before, double interval_s)
{
	const struct counters_header *header = client_counters(cli->client);
	struct rows rows = {.row_bytes = sizeof(struct worker_row)}, stages;
	json_t *array = json_array();
	uint64_t now_ns = cli_now_ns();

	for (uint32_t w = 0; w < header->workers; w++) {
		struct worker_row *row = rows_add(&rows);
		uint64_t heartbeat = now[w].heartbeat_ns;

		if (row == NULL)
			break;
		row->c = now[w];
		row->worker = w;
		row->heartbeat_age_ns =
			heartbeat != 0 && now_ns > heartbeat ? now_ns - heartbeat : 0;
		row->busy = header->tsc_hz == 0 || interval_s <= 0
				    ? NAN
				    : (double)(now[w].busy_cycles - before[w].busy_cycles) /
					      ((double)header->tsc_hz * interval_s);
		if (row->busy > 1)
			row->busy = 1;
		row->packets_per_s = interval_s <= 0 ? NAN
						     : (double)(now[w].stage[STAGE_RX].packets -
								before[w].stage[STAGE_RX].packets) /
							       interval_s;
		if (cli->out.json) {
			json_t *object = out_json_record(columns, COUNT_OF(columns), row);
			json_t *list = json_array();

			stage_rows(now, before, w, w, &stages);
			for (size_t s = 0; s < stages.count; s++)
				json_array_append_new(list,
					out_json_record(stage_columns, COUNT_OF(stage_columns),
						rows_at(&stages, s)));
			json_object_set_new(object, "stages", list);
			json_array_append_new(array, object);
			rows_free(&stages);
		}
	}
	if (cli->out.json) {
		json_object_set(cli->out.root, "workers", array);
	} else {
		out_table(&cli->out, "workers", columns, COUNT_OF(columns), &rows, "no workers");
		out_text(&cli->out, "\n");
	}
	if (header->workers > 0) {
		stage_rows(now, before, 0, header->workers - 1, &stages);
		out_table(&cli->out, "stages", stage_columns, COUNT_OF(stage_columns), &stages,
			"no stages");
		rows_free(&stages);
	}
	json_decref(array);
	rows_free(&rows);
}

int cmd_show_workers(struct cli *cli, int argc, char **argv)
{
	struct cli_option options[] = {{.name = "--interval"}};
	const struct counters_header *header;
	struct counters_worker *now, *before;
	double interval_s = INTERVAL_MS / 1e3;

	if (cli_options(cli, argc, argv, options, 1) != 0)
		return 1;
	if (options[0].value != NULL) {
		char *end;

		interval_s = strtod(options[0].value, &end);
		if (end == options[0].value || *end != '\0' ||
			!(interval_s >= 0 && interval_s <= 3600))
			return cli_error(cli, -EINVAL,
				"--interval \"%s\": take seconds, 0 to 3600, like 0.5",
				options[0].value);
	}
	if (cli_client(cli) == NULL)
		return 1;
	header = client_counters(cli->client);
	now = calloc(header->workers + 1u, sizeof(*now));
	before = calloc(header->workers + 1u, sizeof(*before));
	if (now == NULL || before == NULL) {
		free(now);
		free(before);
		return cli_error(cli, -ENOMEM, "no memory");
	}

	const struct counters_worker *live = counters_worker((void *)(uintptr_t)header, 0);
	uint64_t start_ns = cli_now_ns();

	if (interval_s > 0) {
		memcpy(before, live, header->workers * sizeof(*before));
		cli_sleep_ms((uint32_t)(interval_s * 1000));
		memcpy(now, live, header->workers * sizeof(*now));
		interval_s = (double)(cli_now_ns() - start_ns) / 1e9;
	} else {
		struct timespec t;

		memcpy(now, live, header->workers * sizeof(*now));
		clock_gettime(CLOCK_REALTIME, &t);
		interval_s = (double)t.tv_sec + (double)t.tv_nsec / 1e9 -
			     (double)header->started_realtime_ns / 1e9;
	}
	print_workers(cli, now, before, interval_s);
	free(now);
	free(before);
	return 0;
}
