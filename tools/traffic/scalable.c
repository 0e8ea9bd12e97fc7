/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A sender with a scalable congestion control, for kernels that have none: the window shrinks by
 * half the share of datagrams marked CE over the last round trips (RFC 8257, 3.3), and by half at a
 * loss; it grows by one datagram a round trip, and doubles until the first mark. Datagrams are
 * paced over the round trip, as RFC 9331 wants of L4S senders.
 */
#include "traffic.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>

#define WINDOW_MIN 2.0
#define WINDOW_FIRST 10.0
#define GAIN (1.0 / 16)
#define SILENCE_NS (1 * NSEC) /* everything under way is taken for lost */

struct control {
	int fd;
	uint32_t sent, answered; /* numbers below have been sent, and answered or lost */
	uint32_t marked, lost;
	double window, alpha;
	bool slow_start;
	uint64_t rtt_ns;    /* smoothed */
	uint32_t round_end; /* the round trip ends when this number is answered */
	uint32_t round_answered, round_marked;
	bool round_cut;		    /* has paid for a loss in this round trip */
	uint64_t next_ns, heard_ns; /* CLOCK_MONOTONIC */
};

static void end_round(struct control *c)
{
	double share = c->round_answered ? (double)c->round_marked / c->round_answered : 0;

	c->alpha += GAIN * (share - c->alpha);
	if (c->round_marked > 0) {
		c->window *= 1 - c->alpha / 2;
		c->slow_start = false;
	} else if (!c->slow_start) {
		c->window += 1;
	}
	if (c->window < WINDOW_MIN)
		c->window = WINDOW_MIN;
	c->round_end = c->sent;
	c->round_answered = c->round_marked = 0;
	c->round_cut = false;
}

static void on_answer(struct control *c, const struct echo *e)
{
	uint64_t rtt_ns = clock_ns(CLOCK_REALTIME) - e->sent_ns;

	if (e->number < c->answered || e->number >= c->sent)
		return;
	c->rtt_ns = c->rtt_ns ? c->rtt_ns - c->rtt_ns / 8 + rtt_ns / 8 : rtt_ns;
	/* The path keeps the order: what was passed over is lost, there or on the way back. Then
	 * the count of marks, which never is, tells. */
	if (e->number > c->answered) {
		c->lost += e->number - c->answered;
		c->slow_start = false;
		if (!c->round_cut)
			c->window /= 2;
		c->round_cut = true;
	}
	c->round_answered += e->number + 1 - c->answered;
	c->round_marked += e->marked - c->marked;
	c->marked = e->marked;
	c->answered = e->number + 1;
	if (c->slow_start)
		c->window += 1;
	if (c->answered > c->round_end)
		end_round(c);
}

static void take_answers(struct control *c, uint64_t now_ns)
{
	struct echo e;
	ssize_t n;

	while ((n = recv(c->fd, &e, sizeof(e), MSG_DONTWAIT)) == (ssize_t)sizeof(e)) {
		on_answer(c, &e);
		c->heard_ns = now_ns;
	}
	if (n < 0 && errno != EAGAIN && errno != ECONNREFUSED && errno != EINTR)
		die("receive");
}

static bool may_send(const struct control *c, uint64_t now_ns)
{
	return c->sent - c->answered < (uint32_t)c->window && now_ns >= c->next_ns;
}

static void send_one(struct control *c, const struct options *o, uint64_t now_ns)
{
	static uint8_t data[FRAME_MAX];
	struct datagram d = {.number = c->sent, .sent_ns = clock_ns(CLOCK_REALTIME)};
	uint64_t rtt_ns = c->rtt_ns ? c->rtt_ns : NSEC / 10;
	uint64_t gap_ns = (uint64_t)((double)rtt_ns / c->window / (c->slow_start ? 2 : 1.1));

	memcpy(data, &d, sizeof(d));
	if (send(c->fd, data, o->frame_bytes - FRAME_HEADERS, 0) < 0 && errno != ECONNREFUSED &&
		errno != ENOBUFS)
		die("send");
	c->sent++;
	/* Late by less than a few gaps is made up for, a pause is not. */
	if (c->next_ns + 4 * gap_ns < now_ns)
		c->next_ns = now_ns;
	c->next_ns += gap_ns;
}

static void wait_some(const struct control *c, uint64_t now_ns)
{
	struct pollfd polled = {.fd = c->fd, .events = POLLIN};
	struct timespec most = {.tv_nsec = 10000000};

	if (c->sent - c->answered < (uint32_t)c->window && c->next_ns - now_ns < NSEC / 100)
		most.tv_nsec = (long)(c->next_ns - now_ns);
	ppoll(&polled, 1, &most, NULL);
}

static int open_socket(const struct options *o)
{
	struct sockaddr_in to = o->address;
	int fd = socket(AF_INET, SOCK_DGRAM, 0), tos = o->tos < 0 ? 1 : o->tos;

	to.sin_port = htons(o->ports[0]);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
		setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos)) != 0)
		die("socket");
	return fd;
}

int scalable_run(const struct options *o)
{
	uint64_t start = clock_ns(CLOCK_MONOTONIC), now = start;
	struct control c = {.fd = open_socket(o),
		.window = WINDOW_FIRST,
		.alpha = 1,
		.slow_start = true,
		.next_ns = start,
		.heard_ns = start};

	while (!stop_asked && (double)(now - start) < o->seconds * 1e9) {
		take_answers(&c, now);
		if (now - c.heard_ns > SILENCE_NS) {
			c.lost += c.sent - c.answered;
			c.answered = c.sent;
			c.window = WINDOW_MIN;
			c.heard_ns = now;
		}
		if (may_send(&c, now))
			send_one(&c, o, now);
		else
			wait_some(&c, now);
		now = clock_ns(CLOCK_MONOTONIC);
	}
	printf("{\"sent\": %u, \"marked\": %u, \"unanswered\": %u, \"window\": %.1f, "
	       "\"alpha\": %.4f, \"rtt_ns\": %lu, \"seconds\": %.6f}\n",
		c.sent, c.marked, c.lost, c.window, c.alpha, c.rtt_ns, (double)(now - start) / 1e9);
	close(c.fd);
	return 0;
}
