/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of all commands. Dispatch, help and completion (complete.c) all work from it. The
 * grammar of `arguments`: lower-case words stand for themselves, '|' separates alternatives,
 * brackets mark what may be left out, upper-case words are values.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "controlplane/cli/cli.h"

#define HELP_COLUMNS 100
#define HELP_INDENT 4

const struct command commands[] = {
	{"show status", "", "What runs: version, policy, mode, workers, memory, rates.",
		cmd_show_status},
	{"show links", "", "Each bridge and way: shaped rate, rate over the last second, backlog.",
		cmd_show_links},
	{"show ports", "", "Each port: device, link, queues, counters, what it missed.",
		cmd_show_ports},
	{"show workers", "[--interval SECONDS]",
		"Each worker's load and each stage's packets and cycles per packet, over an "
		"interval "
		"(0.2 s; 0: since the start).",
		cmd_show_workers},
	{"show classes", "[CLASS] [--class CLASS] [--busy]",
		"The tree of classes of each bridge and way: assured rate, ceiling and rate in "
		"bit/s, what of it is borrowed, backlog, waiting times, drops, ECN marks, RTT. "
		"With a name all about that class; --class: what is in that group; --busy: only "
		"what sends.",
		cmd_show_classes},
	{"show shaper", "",
		"Each worker's shapers: link rate in force, leases, timing wheel, queues, hosts, "
		"memory.",
		cmd_show_shaper},
	{"show flows", "[--top NUMBER] [--by rate|rtt|loss|saved|bytes] [--class CLASS]",
		"The largest flows (20), by their rate or another measure.", cmd_show_flows},
	{"show peers", "[PEER] [--window 1s|10s|1m|15m|all]",
		"Each peer: state, session, link traffic, and what its frames tell of the path: "
		"one-way delay, delay variation, loss, reordering. With a name also by class, and "
		"how long losses are.",
		cmd_show_peers},
	{"show stamp", "",
		"The last minute of each STAMP session with a peer: loss by way, round-trip time, "
		"delay variation; and what the reflectors answer.",
		cmd_show_stamp},
	{"show rtt", "[--class CLASS] [--window 1s|10s|1m|15m|all]",
		"Each class's round-trip times: LAN half, WAN half, connection set-up; by TCP, and "
		"where there were any by ICMP echo, DNS and QUIC's spin bit; since the start, or "
		"(TCP) "
		"of the last time.",
		cmd_show_rtt},
	{"show transactions", "[--class CLASS]",
		"Each class's connections, TCP requests, HTTP/1 requests, TLS handshakes and DNS "
		"queries: how many, how many failed, and their times.",
		cmd_show_transactions},
	{"show loss", "[--class CLASS] [--window 1s|10s|1m|15m|all]",
		"Each class's TCP loss before and after the box; each peer link's exact loss.",
		cmd_show_loss},
	{"show box", "[--class CLASS] [--window 1s|10s|1m|15m|all]",
		"Each class's time in the box, and in its queues.", cmd_show_box},
	{"show history",
		"[--of link|class|peer NAME] [--figure rate|rtt|loss|queue|delay|drops|busy] "
		"[--span TIME]",
		"A figure over the last hour or another time up to 24h, as a plot: of the "
		"appliance, or of a link, class or peer.",
		cmd_show_history},
	{"show compression", "[--class CLASS]",
		"Each class's bytes before and after, why packets were not compressed, what each "
		"codec "
		"did, and whether a worker has time for it.",
		cmd_show_compression},
	{"show drops", "[--all]", "Why packets were dropped or passed untreated.", cmd_show_drops},
	{"show policy", "", "Which policy is in force, since when, from which file.",
		cmd_show_policy},
	{"set class",
		"CLASS [rate RATE|PERCENT|none] [ceil RATE|PERCENT|unlimited] [flow-rate "
		"RATE|unlimited] [weight NUMBER] [priority NUMBER] [parent CLASS|none] [burst "
		"SIZE|TIME|auto] [flow-burst SIZE|TIME] [per flow|src|dst|lan|wan|src/24...] "
		"[queue-time TIME|none] [queue-size SIZE] [aqm none|codel|pie|dualpi2] "
		"[aqm-target TIME|auto] [ecn on|off] [police none|srtcm|trtcm|trtcm-4115] "
		"[cir RATE] [cbs SIZE|auto] [pir RATE] [pbs SIZE|auto] [eir RATE] [ebs SIZE|auto] "
		"[colour-aware on|off] [green pass|drop|DSCP] [yellow pass|drop|DSCP] [red "
		"pass|drop|DSCP] [compress on|off] "
		"[dry-run on|off] [codec auto|lz4|zstd] [acceleration N] [zstd-level N] "
		"[history on|off] [store-all on|off] [private on|off] [pack on|off] "
		"[pack-wait TIME|none]",
		"Change a class at once, until the next policy apply or restart. Words and values "
		"are those of the configuration file; on is true there, off is false.",
		cmd_set_class},
	{"set flow-rate", "CLASS RATE|unlimited",
		"Change the rate that each flow of a class (or each host, as its `per` says) may "
		"take.",
		cmd_set_flow_rate},
	{"set link",
		"BRIDGE [up RATE|unlimited] [down RATE|unlimited] [up-min RATE|none] [down-min "
		"RATE|none] [overhead NUMBER] [frame-min NUMBER] [burst TIME] [stamp-reflector "
		"off|peers|any] [stamp-port NUMBER] [stamp-rate NUMBER] [stamp-stateful "
		"true|false]",
		"Change a bridge's shaped rates, how far they may follow the WAN down, what is "
		"charged with each packet, or whom its STAMP reflector answers, at once.",
		cmd_set_link},
	{"set compression", "on|off|dry-run [class CLASS]",
		"Switch compression, of all or of a class; dry-run counts what it would save.",
		cmd_set_compression},
	{"set bypass", "on|off", "on: only forward, nothing is shaped, measured or compressed.",
		cmd_set_bypass},
	{"policy check", "FILE", "Find everything wrong with a configuration, change nothing.",
		cmd_policy_check},
	{"policy apply", "FILE [--confirm SECONDS]",
		"Put a configuration in force; with --confirm it is taken back unless confirmed.",
		cmd_policy_apply},
	{"policy confirm", "", "Keep the policy that was applied with --confirm.",
		cmd_policy_confirm},
	{"policy rollback", "", "Go back to the policy before this one.", cmd_policy_rollback},
	{"policy show", "", "Print the policy in force as configuration text.", cmd_policy_show},
	{"explain flow", "SRC SPORT DST DPORT tcp|udp",
		"What happens to a flow that SRC opens: rule, class, worker, peer, compression.",
		cmd_explain_flow},
	{"ping",
		"PEER|ADDRESS [--count NUMBER] [--interval TIME] [--dscp DSCP] [--size BYTES] "
		"[--by stamp|icmp]",
		"Packets (10, each 200ms) from the in-path address and back, by STAMP if the "
		"target "
		"answers it, else by ICMP echo: loss, percentiles of the round trip.",
		cmd_ping},
	{"trace",
		"PEER|ADDRESS [--count ROUNDS] [--interval TIME] [--dscp DSCP] [--size BYTES] "
		"[--hops NUMBER]",
		"The routers on the way, with loss and percentiles of each, over some rounds (10, "
		"each 1s).",
		cmd_trace},
	{"speedtest", "PEER [--seconds TIME] [--bytes SIZE] [--rate RATE] [--dscp DSCP]",
		"What rate the path to a peer carries, from here to there: a stream of at most 3s "
		"and 100MB with DSCP le, within what the traffic leaves of the link.",
		cmd_speedtest},
	{"top", "[--interval SECONDS] [--count NUMBER]",
		"Status, classes and top flows, refreshed until q or Ctrl-C.", cmd_top},
	{"doctor", "", "Check host and daemon: each line ok, warn or fail, with advice.",
		cmd_doctor},
	{"shell", "", "Interactive: history, completion with Tab, until exit or Ctrl-D.",
		cmd_shell},
	{"help", "[COMMAND]", "All commands, or one in full.", cmd_help},
};
const size_t command_count = COUNT_OF(commands);

/* How many of argv's words match the command's, all of them in *complete. */
static int match(const struct command *command, int argc, char **argv, bool *complete)
{
	const char *at = command->words;
	int n = 0;

	*complete = false;
	while (n < argc) {
		size_t len = strcspn(at, " ");

		if (strlen(argv[n]) != len || strncmp(argv[n], at, len) != 0)
			return n;
		n++;
		at += len;
		if (*at == '\0') {
			*complete = true;
			return n;
		}
		at++;
	}
	return n;
}

const struct command *commands_find(int argc, char **argv, int *used)
{
	for (size_t i = 0; i < command_count; i++) {
		bool complete;

		*used = match(&commands[i], argc, argv, &complete);
		if (complete)
			return &commands[i];
	}
	return NULL;
}

/* "unknown command ...: behind show go status, links, ..." */
static int unknown(struct cli *cli, int argc, char **argv)
{
	char known[512] = "";
	const char *last = "";
	size_t last_len = 0;
	int best = 0;

	for (size_t i = 0; i < command_count; i++) {
		bool complete;
		int n = match(&commands[i], argc, argv, &complete);

		if (n > best)
			best = n;
	}
	for (size_t i = 0; i < command_count; i++) {
		const char *word = commands[i].words;
		bool complete;

		if (match(&commands[i], best, argv, &complete) < best)
			continue;
		for (int n = 0; n < best; n++)
			word += strcspn(word, " ") + 1;
		size_t len = strcspn(word, " "), used = strlen(known);

		if (len == last_len && strncmp(word, last, len) == 0)
			continue;
		snprintf(known + used, sizeof(known) - used, "%s%.*s", used == 0 ? "" : ", ",
			(int)len, word);
		last = word;
		last_len = len;
	}
	if (best == argc)
		return cli_error(cli, -EINVAL, "\"%s\" is not complete: next comes %s",
			argv[best - 1], known);
	if (best == 0)
		return cli_error(
			cli, -EINVAL, "unknown command \"%s\": there are %s", argv[0], known);
	return cli_error(cli, -EINVAL, "unknown \"%s\" behind \"%s\": there are %s", argv[best],
		argv[best - 1], known);
}

/* How far the next word goes: what stands in brackets stays together. */
static size_t word_length(const char *text)
{
	size_t bracket = text[0] == '[' ? strcspn(text, "]") : 0;

	return bracket + strcspn(text + bracket, " ");
}

/* Print a text, its first line behind `first` spaces, the others behind `rest`. */
static void print_wrapped(struct cli *cli, const char *text, int first, int rest)
{
	int column = first;
	bool is_first_word = true;

	out_text(&cli->out, "%*s", first, "");
	while (*text != '\0') {
		int len = (int)word_length(text);

		if (!is_first_word && column + 1 + len > HELP_COLUMNS) {
			out_text(&cli->out, "\n%*s", rest, "");
			column = rest;
			is_first_word = true;
		}
		out_text(&cli->out, "%s%.*s", is_first_word ? "" : " ", len, text);
		column += len + !is_first_word;
		is_first_word = false;
		text += len;
		text += strspn(text, " ");
	}
	out_text(&cli->out, "\n");
}

static void print_usage(struct cli *cli, const struct command *command)
{
	char line[2048];

	snprintf(line, sizeof(line), "%s%s %s", cli->in_shell ? "" : "sluicectl ", command->words,
		command->arguments);
	print_wrapped(cli, line, 0, 2 * HELP_INDENT);
	print_wrapped(cli, command->help, HELP_INDENT, HELP_INDENT);
}

int commands_run(struct cli *cli, int argc, char **argv)
{
	int used, code;
	const struct command *command = commands_find(argc, argv, &used);

	out_start(&cli->out);
	if (command == NULL) {
		code = unknown(cli, argc, argv);
	} else if (argc > used && command->run != cmd_help &&
		   (strcmp(argv[argc - 1], "--help") == 0 || strcmp(argv[argc - 1], "-h") == 0)) {
		cli->out.json = false;
		print_usage(cli, command);
		code = 0;
	} else {
		if (cli->out.json)
			json_object_set_new(cli->out.root, "instance",
				out_json_string(cli->instance, sizeof(cli->instance)));
		code = command->run(cli, argc - used, argv + used);
	}
	if (out_finish(&cli->out) != 0 && code == 0)
		code = 1; /* nobody is left to read what went wrong */
	return code;
}

int cmd_help(struct cli *cli, int argc, char **argv)
{
	bool found = argc == 0;

	cli->out.json = false;
	if (argc == 0)
		out_text(&cli->out, "%sShows and changes a running sluiced.\n\n",
			cli->in_shell
				? ""
				: "sluicectl [--instance NAME | -i NAME] [--json] COMMAND\n"
				  "sluicectl [--instance NAME | -i NAME]        (interactive)\n\n");
	for (size_t i = 0; i < command_count; i++) {
		bool complete;

		if (match(&commands[i], argc, argv, &complete) < argc)
			continue;
		found = true;
		print_usage(cli, &commands[i]);
	}
	if (argc == 0) {
		out_text(&cli->out, "\n");
		print_wrapped(cli,
			"Rates take a unit: 500kbit, \"20 Mbit/s\", 1.5gbit; \"30 %\" is of the "
			"group above or the link. --json prints bit/s, bytes and ns. The exit code "
			"is 0 only when a command was carried out.",
			0, 0);
	}
	if (!found)
		return unknown(cli, argc, argv);
	return 0;
}
