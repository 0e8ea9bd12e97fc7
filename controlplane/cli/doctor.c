/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `doctor`: looks at the host and at the daemon and says, line by line, what is ok, what is odd and
 * what is broken, with advice. The exit code is 0 when nothing is broken.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/format.h"

#define HEARTBEAT_OLD_NS 1000000000u
#define CONTROL_OLD_NS 2000000000u
#define SLEW_ODD_PPB 100000 /* the TSC's frequency was measured more than 100 ppm wrong */

enum verdict { OK, WARN, FAIL };
static const char *const verdict_words[] = {"ok", "warn", "fail", NULL};

struct finding {
	uint64_t verdict;
	char check[48];
	char text[240]; /* what was found, and advice */
};

static const struct column columns[] = {
	COLUMN_OF_WORDS("verdict", "", finding, verdict, verdict_words),
	COLUMN(TEXT, "check", "CHECK", finding, check),
	COLUMN(TEXT, "text", "FOUND", finding, text),
};

__attribute__((format(printf, 4, 5))) static void find(
	struct rows *rows, enum verdict verdict, const char *check, const char *format, ...)
{
	struct finding *finding = rows_add(rows);
	va_list args;

	if (finding == NULL)
		return;
	finding->verdict = verdict;
	snprintf(finding->check, sizeof(finding->check), "%s", check);
	va_start(args, format);
	vsnprintf(finding->text, sizeof(finding->text), format, args);
	va_end(args);
}

/* First line of a file of /sys or /proc, "" if there is none. */
static void read_line(const char *path, char *line, int len)
{
	FILE *file = fopen(path, "re");

	if (file == NULL || fgets(line, len, file) == NULL)
		line[0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (file != NULL)
		fclose(file);
}

static void check_host(struct rows *rows)
{
	char line[256];
	struct timex clock = {0};
	unsigned long total = 0;
	FILE *meminfo = fopen("/proc/meminfo", "re");

	while (meminfo != NULL && fgets(line, sizeof(line), meminfo) != NULL)
		if (sscanf(line, "HugePages_Total: %lu", &total) == 1)
			break;
	if (meminfo != NULL)
		fclose(meminfo);
	if (total > 0)
		find(rows, OK, "hugepages", "%lu reserved on this host", total);
	else
		find(rows, WARN, "hugepages",
			"none reserved: forwarding works but is slower; reserve some (sysctl "
			"vm.nr_hugepages=512) and restart sluiced");
	read_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", line,
		sizeof(line));
	if (strcmp(line, "tsc") == 0)
		find(rows, OK, "clock source", "the kernel counts by the TSC, as Sluice does");
	else
		find(rows, WARN, "clock source",
			"the kernel uses \"%s\": it may not trust this host's TSC, which Sluice "
			"counts "
			"by",
			line);
	if (adjtimex(&clock) == TIME_ERROR)
		find(rows, WARN, "time of day",
			"not synchronised: only one-way delays between peers need it (run chrony)");
	else
		find(rows, OK, "time of day", "synchronised");
	read_line("/sys/devices/system/cpu/isolated", line, sizeof(line));
	if (line[0] != '\0')
		find(rows, OK, "isolated CPUs", "%s", line);
	else
		find(rows, WARN, "isolated CPUs",
			"none: other programs may delay the workers (isolcpus= on the kernel "
			"command "
			"line)");
}

static void check_workers(struct rows *rows, const struct counters_header *header)
{
	uint64_t now_ns = cli_now_ns(), generation = 0;
	bool differ = false;

	for (uint32_t i = 0; i < header->workers; i++) {
		const struct counters_worker *w = counters_worker((void *)(uintptr_t)header, i);
		uint64_t beat = w->heartbeat_ns, age = now_ns > beat ? now_ns - beat : 0;
		char check[32], text[FORMAT_MAX];

		snprintf(check, sizeof(check), "worker %u", i);
		if (beat == 0)
			find(rows, FAIL, check, "has never run on CPU %llu: restart sluiced",
				(unsigned long long)w->lcore);
		else if (age > HEARTBEAT_OLD_NS)
			find(rows, FAIL, check,
				"stands still for %s on CPU %llu: look at sluiced's log, then "
				"restart "
				"it",
				format_time(age, text), (unsigned long long)w->lcore);
		else
			find(rows, OK, check, "runs on CPU %llu", (unsigned long long)w->lcore);
		differ = differ || (i > 0 && w->policy_generation != generation);
		generation = w->policy_generation;
	}
	if (differ)
		find(rows, WARN, "policy", "workers use different policies: a change is under way");
	else
		find(rows, OK, "policy", "every worker uses policy %llu",
			(unsigned long long)generation);
}

static void check_ports(struct rows *rows, const struct counters_header *header)
{
	for (uint32_t i = 0; i < header->ports; i++) {
		struct counters_port p = *counters_port((void *)(uintptr_t)header, i);
		double missed = cli_share(p.rx_missed, p.rx_missed + p.rx_packets);
		char check[48];

		p.name[sizeof(p.name) - 1] = '\0';
		snprintf(check, sizeof(check), "port %s", p.name);
		if (!p.link_up)
			find(rows, FAIL, check, "no link: look at the cable and the other end");
		else if (p.rx_no_mbuf > 0)
			find(rows, WARN, check,
				"%llu packets lost for want of buffers: raise `buffers` in the "
				"configuration",
				(unsigned long long)p.rx_no_mbuf);
		else if (p.rx_missed > 0)
			find(rows, WARN, check,
				"link up, but missed %llu packets (%.4f %%): workers were too "
				"slow; add "
				"workers or poll = \"busy\"",
				(unsigned long long)p.rx_missed, missed * 100);
		else if (p.rx_errors > 0 || p.tx_errors > 0)
			find(rows, WARN, check, "link up, but %llu receive and %llu send errors",
				(unsigned long long)p.rx_errors, (unsigned long long)p.tx_errors);
		else
			find(rows, OK, check, "link up, nothing missed");
	}
}

static void check_peers(struct cli *cli, struct rows *rows)
{
	struct page_request request = {0};
	struct rows peers;

	if (cli_list(cli, MESSAGE_PEERS, &request, &peers) != 0)
		return;
	for (size_t i = 0; i < peers.count; i++) {
		struct peer_record *p = rows_at(&peers, i);
		char check[48], text[FORMAT_MAX];

		p->name[sizeof(p->name) - 1] = '\0';
		snprintf(check, sizeof(check), "peer %s", p->name);
		if (p->state == CHANNEL_PEER_UP)
			find(rows, OK, check, "up, %s away", format_time(p->rtt_ns, text));
		else
			find(rows, FAIL, check,
				"%s%.100s: traffic goes on unoptimised; can both in-path addresses "
				"ping "
				"each other, and are the keys the same?",
				p->error[0] != '\0' ? "" : "no session", p->error);
	}
	rows_free(&peers);
}

static void check_daemon(struct cli *cli, struct rows *rows)
{
	struct channel_client *client;
	struct channel_nothing nothing = {0};
	const struct counters_header *header;
	struct status_record s;
	char error[512];
	uint64_t now_ns;

	if (cli->client == NULL)
		cli->client = client_open(cli->instance, 1000, error, sizeof(error));
	client = cli->client;
	if (client == NULL) {
		find(rows, FAIL, "daemon", "%.200s", error);
		return;
	}
	header = client_counters(client);
	now_ns = cli_now_ns();
	if (now_ns > header->now_ns && now_ns - header->now_ns > CONTROL_OLD_NS)
		find(rows, FAIL, "daemon",
			"its control thread stands still for %.1f s: look at sluiced's log",
			(double)(now_ns - header->now_ns) / 1e9);
	else
		find(rows, OK, "daemon", "version %.15s, process %u", header->version, header->pid);
	check_workers(rows, header);
	check_ports(rows, header);
	if (cli_record(cli, MESSAGE_STATUS, &nothing, &s) != 0) {
		find(rows, FAIL, "channel", "the daemon does not answer");
		return;
	}
	if (s.buffers_free < s.buffers / 10)
		find(rows, WARN, "buffers", "%llu of %llu left: raise `buffers`",
			(unsigned long long)s.buffers_free, (unsigned long long)s.buffers);
	else
		find(rows, OK, "buffers", "%llu of %llu free", (unsigned long long)s.buffers_free,
			(unsigned long long)s.buffers);
	if (!s.hugepages)
		find(rows, WARN, "packet memory", "not on hugepages: slower");
	if (s.bypass)
		find(rows, WARN, "bypass", "is on: nothing is shaped, measured or compressed");
	if (s.confirm_ns != 0)
		find(rows, WARN, "policy", "is taken back in %.0f s unless confirmed",
			(double)s.confirm_ns / 1e9);
	if (llabs(s.clock_slew_ppb) > SLEW_ODD_PPB)
		find(rows, WARN, "clock", "the TSC runs %.1f ppm off the kernel's clock",
			(double)s.clock_slew_ppb / 1000);
	else
		find(rows, OK, "clock", "within %d ppm of the kernel's", SLEW_ODD_PPB / 1000);
	check_peers(cli, rows);
}

int cmd_doctor(struct cli *cli, int argc, char **argv)
{
	struct rows rows = {.row_bytes = sizeof(struct finding)};
	int code = 0;

	if (cli_options(cli, argc, argv, NULL, 0) != 0)
		return 1;
	check_host(&rows);
	check_daemon(cli, &rows);
	for (size_t i = 0; i < rows.count; i++)
		code |= ((struct finding *)rows_at(&rows, i))->verdict == FAIL;
	out_table(&cli->out, "doctor", columns, COUNT_OF(columns), &rows, "");
	rows_free(&rows);
	return code;
}
