/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Datagrams at a steady pace. Each has its time by number and rate from the start, so that being
 * late once does not slow the stream down: what is overdue goes out at once.
 */
#include "traffic.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>

/* Sleeping shorter than this costs more than it gives: several datagrams go out together then. */
#define SLEEP_MIN_NS 50000u

struct sender {
	int fd;
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	uint8_t data[BATCH][FRAME_MAX];
	uint32_t sent;
	uint64_t refused; /* by the kernel: no buffer */
	uint64_t late_max_ns;
};

static int connected_socket(const struct options *o)
{
	struct sockaddr_in to = o->address;
	int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 4 << 20, tos = o->tos < 0 ? 0 : o->tos;

	to.sin_port = htons(o->ports[0]);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
		setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos)) != 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	return fd;
}

/* Up to `n` datagrams at once. A refused one is not sent again: its number is lost at the source,
 * and counted. */
static void send_some(struct sender *s, unsigned n)
{
	int done;

	for (unsigned i = 0; i < n; i++) {
		struct datagram d = {.number = s->sent + i, .sent_ns = clock_ns(CLOCK_REALTIME)};
		memcpy(s->data[i], &d, sizeof(d));
	}
	done = sendmmsg(s->fd, s->messages, n, 0);
	if (done < 0) {
		if (errno == EINTR || errno == ECONNREFUSED)
			return;
		if (errno != ENOBUFS && errno != EAGAIN)
			die("send");
		s->refused++;
		done = 1;
	}
	s->sent += (uint32_t)done;
}

static void pace(struct sender *s, const struct options *o)
{
	double gap_ns = (o->frame_bytes + FRAME_GAP) * 8 * 1e9 / o->rate_bps;
	uint64_t start = clock_ns(CLOCK_MONOTONIC), now = start;
	uint64_t length_ns = (uint64_t)(o->seconds * 1e9);

	while (!stop_asked && now - start < length_ns) {
		uint64_t due = (uint64_t)((double)(now - start) / gap_ns) + 1;
		uint64_t next_ns = start + (uint64_t)(s->sent * gap_ns);

		if (due > s->sent) {
			if (now - next_ns > s->late_max_ns)
				s->late_max_ns = now - next_ns;
			send_some(s, due - s->sent < BATCH ? (unsigned)(due - s->sent) : BATCH);
		} else {
			struct timespec until;

			if (next_ns < now + SLEEP_MIN_NS)
				next_ns = now + SLEEP_MIN_NS;
			until.tv_sec = (time_t)(next_ns / NSEC);
			until.tv_nsec = (long)(next_ns % NSEC);
			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
		}
		now = clock_ns(CLOCK_MONOTONIC);
	}
	printf("{\"sent\": %u, \"refused\": %lu, \"seconds\": %.6f, \"late_max_ns\": %lu}\n",
		s->sent, s->refused, (double)(now - start) / 1e9, s->late_max_ns);
}

int send_run(const struct options *o)
{
	static struct sender s;

	s.fd = connected_socket(o);
	for (unsigned i = 0; i < BATCH; i++) {
		s.parts[i].iov_base = s.data[i];
		s.parts[i].iov_len = o->frame_bytes - FRAME_HEADERS;
		s.messages[i].msg_hdr.msg_iov = &s.parts[i];
		s.messages[i].msg_hdr.msg_iovlen = 1;
	}
	pace(&s, o);
	close(s.fd);
	return 0;
}
