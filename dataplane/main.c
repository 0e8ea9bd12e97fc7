/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sluiced: start and stop, top to bottom. Reads the configuration, starts the EAL, builds ports,
 * workers and the channel (setup.c), runs the workers on their lcores and the control thread here
 * (control/control.c), and takes everything down again in the opposite order.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/policy.h"
#include "dataplane/control/control.h"
#include "dataplane/daemon.h"
#include "dataplane/setup.h"

static void usage(FILE *to)
{
	fprintf(to,
		"usage: sluiced --config FILE [--instance NAME] [--check]\n"
		"\n"
		"  --config FILE    the configuration; conf/sluice.conf documents every option\n"
		"  --instance NAME  what sluicectl -i calls this daemon (default: sluice)\n"
		"  --check          say everything that is wrong with FILE, touch nothing, and "
		"exit\n"
		"  --version        print the version\n"
		"  --help           print this\n");
}

static void print_problems(const char *file, const struct policy_problems *problems)
{
	for (uint32_t i = 0; i < problems->count; i++) {
		const struct policy_problem *p = &problems->list[i];
		char line[16] = "";
		if (p->line != 0)
			snprintf(line, sizeof(line), "%u:", p->line);
		fprintf(stderr, "%s:%s %s: %s%s%s\n", file, line,
			p->is_warning ? "warning" : "error", p->option, *p->option ? ": " : "",
			p->text);
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
		{"instance", required_argument, NULL, 'i'}, {"check", no_argument, NULL, 'k'},
		{"version", no_argument, NULL, 'v'}, {"help", no_argument, NULL, 'h'}, {0}};
	const char *file = NULL, *instance = "sluice";
	bool check_only = false;
	char error[512] = "";
	int option;

	while ((option = getopt_long(argc, argv, "c:i:kvh", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			file = optarg;
			break;
		case 'i':
			instance = optarg;
			break;
		case 'k':
			check_only = true;
			break;
		case 'v':
			printf("sluiced %s\n", SLUICE_VERSION);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (file == NULL || optind != argc) {
		usage(stderr);
		return 2;
	}

	struct policy_problems problems = {0};
	struct policy *policy = policy_read_file(file, &problems);
	print_problems(file, &problems);
	if (policy == NULL)
		fprintf(stderr, "sluiced: %s: %u error%s, not started\n", file, problems.errors,
			problems.errors == 1 ? "" : "s");
	policy_problems_free(&problems);
	if (policy == NULL)
		return 1;
	if (check_only) {
		printf("%s: ok: %u bridge(s), %u class(es), %u rule(s), %u peer(s)\n", file,
			policy->bridge_count, policy->class_count, policy->rule_count,
			policy->peer_count);
		policy_free(policy);
		return 0;
	}

	static struct daemon daemon;
	daemon.instance = instance;
	int rc = setup_start(&daemon, policy, error, sizeof(error));
	if (rc == 0) {
		rc = control_run(&daemon, error, sizeof(error));
		setup_stop(&daemon);
	}
	if (rc != 0)
		fprintf(stderr, "sluiced: %s\n", error[0] ? error : strerror(-rc));
	return rc == 0 ? 0 : 1;
}
