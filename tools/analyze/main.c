/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sluice-analyze: what the appliance would have measured, of capture files. No root, no ports, no
 * daemon. capture.h reads, analysis.h measures, report.h prints.
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>

#include "controlplane/policy/units.h"
#include "tools/analyze/analysis.h"
#include "tools/analyze/report.h"
#include "tools/analyze/side.h"

#define LAN_MAX 64
#define TOP_DEFAULT 20

struct arguments {
	const char *config, *filter;
	struct policy_prefix lan[LAN_MAX];
	unsigned lan_count;
	uint64_t since_ns, until_ns; /* since the first frame */
	bool json, inside, any_vlan;
	struct report_options report;
};

static void usage(FILE *to)
{
	fprintf(to,
		"usage: sluice-analyze [OPTION]... FILE...\n"
		"\n"
		"What Sluice would have measured of captured traffic (pcap, pcapng; - is\n"
		"standard input). Several files are read as one capture, in their order.\n"
		"\n"
		"  --lan NETWORK    a network on the LAN side (may be repeated); else from the\n"
		"                   peers of --config; else who opened a flow is on the LAN\n"
		"  --config FILE    classify by the rules of this configuration\n"
		"  --filter TEXT    only these packets: a filter as of tcpdump\n"
		"  --since TIME     only from so long after the first frame on, as in \"1.5 s\"\n"
		"  --until TIME     only until then\n"
		"  --inside         look inside of tunnels: IP in IP, GRE, VXLAN\n"
		"  --any-vlan       flows are the same whatever VLAN their packets came by\n"
		"  --top N          show N flows (default 20)\n"
		"  --flows          show all flows\n"
		"  --by WORD        sort flows by bytes (default), packets, rtt, connect,\n"
		"                   retransmits, reordered, start, requests or first-byte\n"
		"  --full           all figures of each flow\n"
		"  --transactions   of each flow: connection, TLS handshake, requests\n"
		"  --json           for programs\n"
		"  --version, --help\n");
}

static void read_by(const char *word, enum report_by *by)
{
	for (unsigned i = 0; i < BY_COUNT; i++) {
		if (strcmp(word, report_by_words[i]) == 0) {
			*by = (enum report_by)i;
			return;
		}
	}
	errx(2,
		"--by %s: one of bytes, packets, rtt, connect, retransmits, reordered, start, "
		"requests, first-byte",
		word);
}

static uint64_t read_time(const char *option, const char *text)
{
	uint64_t time_ns;

	if (units_time(text, &time_ns) != 0)
		errx(2, "%s %s: a time with its unit is expected, as in \"1.5 s\"", option, text);
	return time_ns;
}

static void read_arguments(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {{"lan", required_argument, NULL, 'l'},
		{"config", required_argument, NULL, 'c'}, {"filter", required_argument, NULL, 'f'},
		{"since", required_argument, NULL, 's'}, {"until", required_argument, NULL, 'u'},
		{"inside", no_argument, NULL, 'i'}, {"any-vlan", no_argument, NULL, 'a'},
		{"top", required_argument, NULL, 't'}, {"flows", no_argument, NULL, 'F'},
		{"by", required_argument, NULL, 'b'}, {"full", no_argument, NULL, 'L'},
		{"transactions", no_argument, NULL, 'T'}, {"json", no_argument, NULL, 'j'},
		{"version", no_argument, NULL, 'v'}, {"help", no_argument, NULL, 'h'}, {0}};
	char *end;
	int option;

	a->report = (struct report_options){.top = TOP_DEFAULT, .flows = true};
	a->until_ns = UINT64_MAX;
	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (option) {
		case 'l':
			if (a->lan_count == LAN_MAX)
				errx(2, "--lan: at most %d networks", LAN_MAX);
			if (side_read_network(optarg, &a->lan[a->lan_count++]) != 0)
				errx(2, "--lan %s: a network is expected, as in 10.0.0.0/8",
					optarg);
			break;
		case 'c':
			a->config = optarg;
			break;
		case 'f':
			a->filter = optarg;
			break;
		case 's':
			a->since_ns = read_time("--since", optarg);
			break;
		case 'u':
			a->until_ns = read_time("--until", optarg);
			break;
		case 'i':
			a->inside = true;
			break;
		case 'a':
			a->any_vlan = true;
			break;
		case 't':
			a->report.top = strtoul(optarg, &end, 10);
			if (optarg[0] < '0' || optarg[0] > '9' || *end != '\0')
				errx(2, "--top %s: a number of flows is expected", optarg);
			a->report.flows = a->report.top > 0;
			break;
		case 'F':
			a->report.top = 0;
			break;
		case 'b':
			read_by(optarg, &a->report.by);
			break;
		case 'L':
			a->report.full = true;
			break;
		case 'T':
			a->report.transactions = true;
			break;
		case 'j':
			a->json = true;
			break;
		case 'v':
			puts("sluice-analyze " SLUICE_VERSION);
			exit(0);
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (optind == argc) {
		usage(stderr);
		exit(2);
	}
}

/* The whole configuration but its keys and its includes: for rules and networks neither is needed,
 * and the file may be of another machine. */
static struct policy *read_config(const char *file)
{
	struct policy_problems problems = {0};
	FILE *in = fopen(file, "r");
	struct policy *policy;
	char *text = NULL;
	size_t room = 0;
	ssize_t len;

	if (in == NULL)
		err(2, "%s", file);
	len = getdelim(&text, &room, '\0', in);
	if (ferror(in))
		err(2, "%s", file);
	fclose(in);
	if (len < 0)
		errx(2, "%s: empty", file);
	policy = policy_read_text(text, (uint64_t)len, file, false, &problems);
	free(text);
	for (uint32_t i = 0; policy == NULL && i < problems.count; i++)
		if (!problems.list[i].is_warning)
			warnx("%s:%u: %s: %s", file, problems.list[i].line, problems.list[i].option,
				problems.list[i].text);
	policy_problems_free(&problems);
	if (policy == NULL)
		exit(2);
	return policy;
}

struct reading {
	struct capture_clock clock;
	struct capture_stats stats;
	char link_type[96];
};

/* 0, or -1 after a word on what is wrong with the file. */
static int read_file(
	const char *file, const struct arguments *arguments, struct analysis *a, struct reading *r)
{
	char error[CAPTURE_ERROR_MAX];
	struct capture *c = capture_open(file, arguments->filter, error);
	struct capture_frame frame;
	int rc;

	if (c == NULL) {
		warnx("%s: %s", file, error);
		return -1;
	}
	if (r->link_type[0] == '\0')
		snprintf(r->link_type, sizeof(r->link_type), "%s", capture_link_type(c));
	while ((rc = capture_next(c, &r->clock, &r->stats, &frame, error)) == 1) {
		uint64_t since_ns = frame.time_ns - r->clock.start_ns;

		if (since_ns >= arguments->since_ns && since_ns <= arguments->until_ns)
			analysis_frame(a, &frame);
	}
	capture_close(c);
	if (rc < 0)
		warnx("%s: after %lu frames: %s", file, (unsigned long)r->stats.frames, error);
	return rc;
}

int main(int argc, char **argv)
{
	static struct arguments arguments;
	static struct reading reading;
	struct policy *policy = NULL;
	struct out out = {.text = stdout};
	uint64_t files = 0;
	int rc = 0;

	read_arguments(argc, argv, &arguments);
	if (arguments.config != NULL)
		policy = read_config(arguments.config);
	if (analysis_start_eal(argv[0]) != 0)
		errx(1, "cannot start the EAL: %s", rte_strerror(rte_errno));

	struct analysis_options options = {.policy = policy,
		.lan = arguments.lan,
		.lan_count = arguments.lan_count,
		.any_vlan = arguments.any_vlan,
		.inside = arguments.inside};
	struct analysis *a = analysis_create(&options);

	if (a == NULL)
		errx(1, "cannot start: %s", rte_strerror(rte_errno));
	for (int i = optind; i < argc; i++, files++)
		if (read_file(argv[i], &arguments, a, &reading) != 0)
			rc = 1;
	if (reading.link_type[0] != '\0') {
		out.json = arguments.json;
		out_start(&out);
		report_print(&out, a, &options, &arguments.report, &reading.stats, &reading.clock,
			files, reading.link_type);
		if (out_finish(&out) != 0)
			err(1, "writing the report");
	}
	analysis_destroy(a);
	policy_free(policy);
	return rc;
}
