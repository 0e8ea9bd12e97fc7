/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * traffic: numbered, time-stamped UDP datagrams for the lab. Sender and receiver may be in
 * different network namespaces: they share the clock, so one-way delays are exact. See usage()
 * below.
 */
#include "traffic.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include <arpa/inet.h>

volatile int stop_asked;

static void usage(FILE *to)
{
	fputs("usage: traffic send --to ADDRESS --port PORT --rate BPS [OPTION...]\n"
	      "       traffic scalable --to ADDRESS --port PORT [OPTION...]\n"
	      "       traffic receive --at ADDRESS --port PORT [--port PORT...] [OPTION...]\n"
	      "Each prints one JSON object when it ends: after --seconds or at SIGTERM.\n"
	      "send: datagrams at a steady pace, whatever happens to them\n"
	      "  --rate BPS      bit/s, counting each frame with check sequence, preamble and gap\n"
	      "  --frame BYTES   of the frame with its check sequence, 64 to 1518 (1518)\n"
	      "  --seconds S     (until SIGTERM)\n"
	      "  --tos N         of the IPv4 header; its two low bits are ECN (0)\n"
	      "scalable: as fast as the path allows, slowed down by CE marks in proportion\n"
	      "  (the control law of RFC 8257); the receiver needs --echo; --frame, --seconds,\n"
	      "  --tos (1, which is ECT(1))\n"
	      "receive:\n"
	      "  --from S --window S --windows N   counts bytes in windows from S seconds after\n"
	      "                  the first datagram of each port; delays are of these too\n"
	      "  --series        also time and one-way delay of every datagram\n"
	      "  --echo          answers every datagram with its number and the marks so far\n"
	      "  --seconds S     from its start (until SIGTERM)\n",
		to);
}

void die(const char *what)
{
	fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void on_signal(int number)
{
	stop_asked = 1;
}

static void wrong(const char *what)
{
	fprintf(stderr, "traffic: %s; see traffic --help\n", what);
	exit(2);
}

static double number_of(const char *text, double min, double max, const char *what)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= min && value <= max))
		wrong(what);
	return value;
}

static void read_options(struct options *o, int argc, char **argv)
{
	static const struct option words[] = {{"to", 1, NULL, 'a'}, {"at", 1, NULL, 'a'},
		{"port", 1, NULL, 'p'}, {"rate", 1, NULL, 'r'}, {"frame", 1, NULL, 'f'},
		{"seconds", 1, NULL, 's'}, {"tos", 1, NULL, 't'}, {"from", 1, NULL, 'F'},
		{"window", 1, NULL, 'w'}, {"windows", 1, NULL, 'n'}, {"series", 0, NULL, 'S'},
		{"echo", 0, NULL, 'e'}, {NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "", words, NULL)) != -1) {
		switch (c) {
		case 'a':
			if (inet_pton(AF_INET, optarg, &o->address.sin_addr) != 1)
				wrong("the address is not one of IPv4");
			o->address.sin_family = AF_INET;
			break;
		case 'p':
			if (o->port_count == PORTS_MAX)
				wrong("too many ports");
			o->ports[o->port_count++] =
				(uint16_t)number_of(optarg, 1, 65535, "--port is 1 to 65535");
			break;
		case 'r':
			o->rate_bps = number_of(optarg, 1, 1e12, "--rate is a number of bit/s");
			break;
		case 'f':
			o->frame_bytes = (unsigned)number_of(
				optarg, FRAME_MIN, FRAME_MAX, "--frame is 64 to 1518");
			break;
		case 's':
			o->seconds = number_of(optarg, 0, 1e6, "--seconds is a number");
			break;
		case 't':
			o->tos = (int)number_of(optarg, 0, 255, "--tos is 0 to 255");
			break;
		case 'F':
			o->from_s = number_of(optarg, 0, 1e6, "--from is a number of seconds");
			break;
		case 'w':
			o->window_s = number_of(optarg, 1e-6, 1e6, "--window is in seconds");
			break;
		case 'n':
			o->windows = (unsigned)number_of(optarg, 0, 1e6, "--windows is a count");
			break;
		case 'S':
			o->series = true;
			break;
		case 'e':
			o->echo = true;
			break;
		default:
			wrong("unknown option");
		}
	}
	if (o->address.sin_family == 0 || o->port_count == 0 || optind != argc)
		wrong("an address and a port, and nothing but options");
}

int main(int argc, char **argv)
{
	struct options o = {.frame_bytes = FRAME_MAX, .seconds = 1e6, .window_s = 1, .tos = -1};
	struct sigaction action = {.sa_handler = on_signal};
	const char *job = argc > 1 ? argv[1] : "";

	if (strcmp(job, "--help") == 0) {
		usage(stdout);
		return 0;
	}
	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	read_options(&o, argc - 1, argv + 1);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	prctl(PR_SET_TIMERSLACK, 1ul);
	if (strcmp(job, "receive") == 0)
		return receive_run(&o);
	if (o.port_count != 1)
		wrong("one port to send to");
	if (strcmp(job, "scalable") == 0)
		return scalable_run(&o);
	if (strcmp(job, "send") != 0 || o.rate_bps == 0)
		wrong("send (with --rate), scalable or receive");
	return send_run(&o);
}
