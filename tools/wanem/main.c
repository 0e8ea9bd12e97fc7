/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wanem, the WAN emulator: carries frames between two Linux interfaces and spoils them on the way,
 * each direction by itself, as told on the command line and by `wanem ctl`. This file is the
 * command line and the loop; path.c holds the frames, port.c the interfaces, control.c the socket.
 */
#include "control.h"
#include "match.h"
#include "path.h"
#include "port.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

/* After so many batches the frames that are due go out before more come in. */
#define RX_BATCHES_MAX 8
/* An interface without room is tried again so soon. */
#define RETRY_NS 50000u

struct direction {
	const char *name;
	struct port *from, *to;
	struct path path;
	struct frame *waiting; /* found no room at the last try */
	uint16_t link_port;
};

struct wanem {
	struct port port[2];
	struct direction dir[2];
	struct control control;
	uint16_t link_port;
};

struct options {
	const char *iface[2];
	const char *socket;
	uint16_t link_port;
	uint64_t seed;
	uint64_t run_ns; /* 0: until a signal */
	uint64_t coalesce_ns;
	bool realtime;
	char words[2][CONTROL_COMMAND_MAX];
};

static volatile sig_atomic_t stopped;

static void stop(int sig)
{
	stopped = sig;
}

static void usage(FILE *out)
{
	fputs("usage: wanem [OPTION...] IFACE_A IFACE_B\n"
	      "       wanem ctl SOCKET set a2b|b2a|both WORDS...\n"
	      "       wanem ctl SOCKET stats\n"
	      "Carries Ethernet frames between two interfaces like a WAN, until SIGINT or "
	      "SIGTERM;\n"
	      "then prints what it did as JSON.\n"
	      "  --socket PATH         control socket for `wanem ctl`\n"
	      "  --link-port PORT      counts UDP frames to PORT, and IPComp with a\n"
	      "                        private-use CPI, by themselves (\"link\")\n"
	      "  --seed NUMBER         repeatable random decisions (1)\n"
	      "  --a2b|--b2a|--both \"WORDS\"  impairments from the start\n"
	      "  --for SECONDS         ends by itself\n"
	      "  --coalesce TIME       rests so long after each round of frames (100us): less "
	      "CPU,\n"
	      "                        frames later by up to that; 0: none\n"
	      "  --realtime            runs before ordinary processes (SCHED_FIFO): delays stay\n"
	      "                        exact on a busy machine\n"
	      "WORDS:\n",
		out);
	fputs(impair_usage, out);
}

static void on_frame(void *arg, const uint8_t *data, size_t len_bytes, uint64_t rx_ns)
{
	struct direction *d = arg;
	uint16_t link_source = match_link(data, len_bytes, d->link_port);

	path_arrive(&d->path, data, len_bytes, link_source, rx_ns);
}

/* True if anything came in. */
static bool receive(struct direction *d, int batches_max)
{
	bool any = false;
	int n;

	do {
		n = port_receive(d->from, on_frame, d);
		any |= n > 0;
	} while (port_was_full(n) && --batches_max > 0);
	return any;
}

/* True if anything went out. */
static bool send_due(struct direction *d, uint64_t now_ns)
{
	struct frame *f;
	bool any = false;
	int rc;

	while ((f = d->waiting ? d->waiting : path_take(&d->path, now_ns))) {
		rc = port_send(d->to, f->data, f->len_bytes);
		d->waiting = rc == -EAGAIN ? f : NULL;
		if (d->waiting)
			break;
		any = true;
		if (rc)
			path_send_failed(&d->path, f);
		else
			path_sent(&d->path, f);
	}
	return any;
}

static void print_counters(const struct path_counters *c, FILE *out)
{
	fprintf(out, "\"lost\":%" PRIu64, c->lost_random + c->lost_ge);
#define PRINT(name) fprintf(out, ",\"" #name "\":%" PRIu64, c->name);
	PATH_COUNTERS(PRINT)
#undef PRINT
}

static void print_direction(struct direction *d, FILE *out)
{
	const struct path *p = &d->path;

	port_read_drops(d->from);
	fprintf(out, "\"%s\":{\"from\":\"%s\",\"to\":\"%s\",", d->name, d->from->name, d->to->name);
	print_counters(&p->all, out);
	fprintf(out,
		",\"kernel_dropped\":%" PRIu64 ",\"oversize\":%" PRIu64
		",\"checksum_missing\":%" PRIu64 ",\"send_retries\":%" PRIu64,
		d->from->kernel_dropped, d->from->oversize, d->from->checksum_missing,
		d->to->send_retries);
	fprintf(out,
		",\"in_transit\":%" PRIu64 ",\"queue_packets\":%" PRIu64 ",\"queue_bytes\":%" PRIu64
		",\"memory_bytes\":%" PRIu64,
		path_in_transit(p), p->queue.packets, p->queue.bytes, p->memory_bytes);
	fputs(",\"link\":{", out);
	print_counters(&p->link, out);
	fputs("},\"lanes\":[", out);
	for (unsigned i = 0; i < p->lanes; i++) {
		fprintf(out, "%s{\"source_port\":%u,", i == 0 ? "" : ",", p->lane[i].source_port);
		print_counters(&p->lane[i].count, out);
		fputs("}", out);
	}
	fputs("],\"settings\":", out);
	impair_print(&p->impair.set, out);
	fputs("}", out);
}

static void print_stats(struct wanem *w, FILE *out)
{
	fprintf(out, "{\"time_ns\":%" PRIu64 ",\"link_port\":%u,", clock_now_ns(), w->link_port);
	print_direction(&w->dir[0], out);
	fputs(",", out);
	print_direction(&w->dir[1], out);
	fputs("}\n", out);
}

/* "a2b", "b2a" or "both" as a mask of directions; 0: none of them. */
static unsigned which_directions(const char *word)
{
	if (!word)
		return 0;
	return !strcmp(word, "a2b") ? 1 : !strcmp(word, "b2a") ? 2 : !strcmp(word, "both") ? 3 : 0;
}

/* Sets all the directions asked for, or none. */
static int set_directions(struct wanem *w, unsigned mask, const char *words, char *err, size_t len)
{
	char copy[CONTROL_COMMAND_MAX + 1];
	struct impair trial = w->dir[0].path.impair;
	int rc;

	/* The words mean the same everywhere, so one trial speaks for both directions. */
	snprintf(copy, sizeof(copy), "%s", words);
	rc = impair_set(&trial, copy, err, len);
	for (int i = 0; i < 2 && !rc; i++) {
		if (!(mask & (1u << i)))
			continue;
		snprintf(copy, sizeof(copy), "%s", words);
		rc = path_set(&w->dir[i].path, copy, clock_now_ns(), err, len);
	}
	return rc;
}

static void run_command(void *arg, char *command, FILE *answer)
{
	struct wanem *w = arg;
	char *rest = command, *verb, err[256];
	unsigned mask;

	/* What came in before the command counts as before it. */
	for (int i = 0; i < 2; i++)
		receive(&w->dir[i], 64 * RX_BATCHES_MAX);
	verb = strtok_r(rest, " \t\n", &rest);
	if (verb && !strcmp(verb, "stats")) {
		fputs("ok\n", answer);
		print_stats(w, answer);
	} else if (verb && !strcmp(verb, "set")) {
		mask = which_directions(strtok_r(NULL, " \t\n", &rest));
		if (!mask)
			fputs("error: set a2b|b2a|both WORDS...: which direction?\n", answer);
		else if (set_directions(w, mask, rest, err, sizeof(err)))
			fprintf(answer, "error: %s\n", err);
		else
			fputs("ok\n", answer);
	} else {
		fputs("error: the commands are: set a2b|b2a|both WORDS... and stats\n", answer);
	}
}

static uint64_t next_wakeup_ns(const struct wanem *w, uint64_t now_ns)
{
	uint64_t next_ns = UINT64_MAX, t_ns;

	for (int i = 0; i < 2; i++) {
		t_ns = w->dir[i].waiting ? now_ns + RETRY_NS : path_next_ns(&w->dir[i].path);
		if (t_ns < next_ns)
			next_ns = t_ns;
	}
	return next_ns;
}

static void warn_about_offloads(struct wanem *w)
{
	static bool warned;

	for (int i = 0; i < 2 && !warned; i++) {
		if (!w->port[i].oversize && !w->port[i].checksum_missing)
			continue;
		warned = true;
		fprintf(stderr,
			"wanem: %s receives frames that a NIC was to finish; switch that off at "
			"the sending "
			"interface: ethtool -K IFACE tx off sg off tso off gso off gro off\n",
			w->port[i].name);
	}
}

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){
		.tv_sec = (time_t)(ns / 1000000000u),
		.tv_nsec = (long)(ns % 1000000000u),
	};
}

/* Waits for frames, commands, a signal or until_ns. */
static void wait_for_work(struct wanem *w, struct pollfd *fds, uint64_t now_ns, uint64_t until_ns,
	const sigset_t *while_waiting)
{
	struct timespec ts = timespec_of(until_ns > now_ns ? until_ns - now_ns : 0);

	for (int i = 0; i < 2; i++)
		fds[i] = (struct pollfd){.fd = w->port[i].fd, .events = POLLIN};
	control_fill_poll(&w->control, fds + 2);
	if (ppoll(fds, 2 + CONTROL_POLLFDS, until_ns == UINT64_MAX ? NULL : &ts, while_waiting) < 0)
		memset(fds, 0,
			(2 + CONTROL_POLLFDS) * sizeof(*fds)); /* a signal: nothing is known */
}

static void run(struct wanem *w, const struct options *o, const sigset_t *while_waiting)
{
	struct pollfd fds[2 + CONTROL_POLLFDS];
	uint64_t now_ns = clock_now_ns(), until_ns;
	uint64_t end_ns = o->run_ns ? now_ns + o->run_ns : UINT64_MAX;
	struct timespec rest = timespec_of(o->coalesce_ns);
	bool busy = false;

	while (!stopped && now_ns < end_ns) {
		/* Frames that come in meanwhile are stamped by the kernel: resting makes them wait
		 * only where they are due at once. */
		if (busy && o->coalesce_ns)
			nanosleep(&rest, NULL);
		busy = false;
		now_ns = clock_now_ns();
		until_ns = next_wakeup_ns(w, now_ns);
		wait_for_work(w, fds, now_ns, until_ns < end_ns ? until_ns : end_ns, while_waiting);
		for (int i = 0; i < 2; i++)
			busy |= receive(&w->dir[i], RX_BATCHES_MAX);
		now_ns = clock_now_ns();
		for (int i = 0; i < 2; i++)
			busy |= send_due(&w->dir[i], now_ns);
		control_serve(&w->control, fds + 2, run_command, w);
		warn_about_offloads(w);
		now_ns = clock_now_ns();
	}
}

static bool read_option(struct options *o, const char *name, const char *value)
{
	char *end;
	double number;
	unsigned mask = which_directions(name);

	if (mask) {
		for (int i = 0; i < 2; i++) {
			size_t used = strlen(o->words[i]), room = sizeof(o->words[i]) - used;

			if (!(mask & (1u << i)))
				continue;
			if ((size_t)snprintf(o->words[i] + used, room, " %s", value) >= room)
				return false;
		}
		return true;
	}
	if (!strcmp(name, "socket")) {
		o->socket = value;
		return true;
	}
	if (!strcmp(name, "coalesce"))
		return parse_time_ns(value, &o->coalesce_ns) && o->coalesce_ns <= 10000000u;
	errno = 0;
	number = strtod(value, &end);
	if (errno || end == value || *end || !(number >= 0))
		return false;
	if (!strcmp(name, "link-port") && number <= 65535)
		o->link_port = (uint16_t)number;
	else if (!strcmp(name, "seed"))
		o->seed = strtoull(value, NULL, 10);
	else if (!strcmp(name, "for") && number <= 1e9)
		o->run_ns = (uint64_t)(number * 1e9);
	else
		return false;
	return true;
}

/* 0, or the exit status. */
static int read_command_line(struct options *o, int argc, char **argv)
{
	int ifaces = 0;

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--", 2) != 0) {
			if (ifaces < 2)
				o->iface[ifaces] = argv[i];
			ifaces++;
		} else if (!strcmp(argv[i], "--realtime")) {
			o->realtime = true;
		} else if (i + 1 >= argc || !read_option(o, argv[i] + 2, argv[i + 1])) {
			fprintf(stderr, "wanem: %s %s is not understood; see wanem --help\n",
				argv[i], i + 1 < argc ? argv[i + 1] : "");
			return 2;
		} else {
			i++;
		}
	}
	if (ifaces != 2) {
		usage(stderr);
		return 2;
	}
	return 0;
}

static int open_all(struct wanem *w, const struct options *o, char *err, size_t err_len)
{
	int rc = 0;

	w->link_port = o->link_port;
	w->port[0].fd = w->port[1].fd = -1;
	control_init(&w->control);
	for (unsigned i = 0; i < 2; i++) {
		w->dir[i] = (struct direction){
			.name = i ? "b2a" : "a2b",
			.from = &w->port[i],
			.to = &w->port[!i],
			.link_port = o->link_port,
		};
		path_init(&w->dir[i].path, i, o->seed);
		if (!rc)
			rc = set_directions(w, 1u << i, o->words[i], err, err_len);
	}
	for (int i = 0; i < 2 && !rc; i++)
		rc = port_open(&w->port[i], o->iface[i], err, err_len);
	return rc ? rc : control_open(&w->control, o->socket, err, err_len);
}

int main(int argc, char **argv)
{
	static struct options o = {.seed = 1, .coalesce_ns = 100000};
	static struct wanem w;
	struct sigaction action = {.sa_handler = stop};
	struct sched_param first = {.sched_priority = 1};
	sigset_t blocked, while_waiting;
	char err[256] = "";
	int rc;

	if (argc > 1 && !strcmp(argv[1], "ctl"))
		return control_client(argc - 2, argv + 2);
	if (argc > 1 && !strcmp(argv[1], "--help")) {
		usage(stdout);
		return 0;
	}
	rc = read_command_line(&o, argc, argv);
	if (rc)
		return rc;

	/* Signals come in only while waiting, so that none is missed between test and wait. */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGINT);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, &while_waiting);
	sigdelset(&while_waiting, SIGINT);
	sigdelset(&while_waiting, SIGTERM);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	prctl(PR_SET_TIMERSLACK, 1);
	if (o.realtime && sched_setscheduler(0, SCHED_FIFO, &first))
		fputs("wanem: SCHED_FIFO is not allowed here: running as an ordinary process\n",
			stderr);

	if (open_all(&w, &o, err, sizeof(err))) {
		fprintf(stderr, "wanem: %s\n", err);
		rc = 1;
	} else {
		run(&w, &o, &while_waiting);
		print_stats(&w, stdout);
	}
	control_close(&w.control);
	for (int i = 0; i < 2; i++) {
		if (w.dir[i].waiting)
			path_send_failed(&w.dir[i].path, w.dir[i].waiting);
		path_free(&w.dir[i].path);
		port_close(&w.port[i]);
	}
	return rc;
}
