/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Takes datagrams at several ports and notes each with the time at which the kernel got it, so that
 * it does not matter when this program came to look. report.c evaluates the notes at the end.
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

#ifndef SO_RXQ_OVFL
#define SO_RXQ_OVFL 40
#endif

/* Ancillary data of one datagram: time stamp, TOS, drop count. */
#define CONTROL_BYTES 128

struct batch {
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	struct sockaddr_in from[BATCH];
	uint8_t data[BATCH][2048];
	_Alignas(struct cmsghdr) uint8_t control[BATCH][CONTROL_BYTES];
};

static int bound_socket(const struct options *o, uint16_t port)
{
	struct sockaddr_in at = o->address;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), on = 1, size = 128 << 20;

	at.sin_port = htons(port);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
		setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) != 0 ||
		setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on)) != 0 ||
		setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on)) != 0 ||
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
		die("socket");
	return fd;
}

static struct arrival *append(struct arrivals *a)
{
	if (a->count == a->room) {
		a->room = a->room ? a->room * 2 : 65536;
		a->list = realloc(a->list, a->room * sizeof(*a->list));
		if (a->list == NULL)
			die("memory");
	}
	return &a->list[a->count++];
}

static void read_control(struct msghdr *h, struct arrival *to, struct arrivals *a)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
			struct timespec ts;
			memcpy(&ts, CMSG_DATA(c), sizeof(ts));
			to->at_ns = (uint64_t)ts.tv_sec * NSEC + (uint64_t)ts.tv_nsec;
		} else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
			memcpy(&a->socket_drops, CMSG_DATA(c), sizeof(a->socket_drops));
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
			to->ecn = CMSG_DATA(c)[0] & 3;
		}
	}
}

static void answer(int fd, const struct sockaddr_in *to, const struct arrival *got, uint32_t marked)
{
	struct echo e = {.number = got->number, .marked = marked, .sent_ns = got->sent_ns};

	/* A lost answer is made up for by the next. */
	if (sendto(fd, &e, sizeof(e), 0, (const struct sockaddr *)to, sizeof(*to)) < 0 &&
		errno != EAGAIN && errno != ENOBUFS && errno != ECONNREFUSED)
		die("answer");
}

static void take(int fd, struct batch *b, struct arrivals *a, bool echo)
{
	int n;

	do {
		for (unsigned i = 0; i < BATCH; i++) {
			b->messages[i].msg_hdr.msg_controllen = CONTROL_BYTES;
			b->messages[i].msg_hdr.msg_namelen = sizeof(b->from[i]);
		}
		n = recvmmsg(fd, b->messages, BATCH, 0, NULL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			die("receive");
		for (int i = 0; i < n; i++) {
			struct datagram d;
			struct arrival *to;

			if (b->messages[i].msg_len < sizeof(d))
				continue;
			memcpy(&d, b->data[i], sizeof(d));
			to = append(a);
			*to = (struct arrival){.number = d.number,
				.sent_ns = d.sent_ns,
				.frame_bytes = (uint16_t)(b->messages[i].msg_len + FRAME_HEADERS)};
			read_control(&b->messages[i].msg_hdr, to, a);
			a->marked += to->ecn == 3;
			if (echo)
				answer(fd, &b->from[i], to, a->marked);
		}
	} while (n == BATCH);
}

int receive_run(const struct options *o)
{
	static struct batch b;
	static struct arrivals arrivals[PORTS_MAX];
	struct pollfd polled[PORTS_MAX];

	for (unsigned i = 0; i < BATCH; i++) {
		b.parts[i] = (struct iovec){.iov_base = b.data[i], .iov_len = sizeof(b.data[i])};
		b.messages[i].msg_hdr = (struct msghdr){.msg_iov = &b.parts[i],
			.msg_iovlen = 1,
			.msg_name = &b.from[i],
			.msg_control = b.control[i]};
	}
	for (unsigned i = 0; i < o->port_count; i++)
		polled[i] = (struct pollfd){.fd = bound_socket(o, o->ports[i]), .events = POLLIN};
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + (uint64_t)(o->seconds * NSEC);
	while (!stop_asked && clock_ns(CLOCK_MONOTONIC) < end_ns) {
		if (poll(polled, o->port_count, 100) < 0 && errno != EINTR)
			die("poll");
		for (unsigned i = 0; i < o->port_count; i++)
			if (polled[i].revents != 0)
				take(polled[i].fd, &b, &arrivals[i], o->echo);
		/* Many datagrams a system call cost less than a few. */
		if (!o->echo)
			usleep(1000);
	}
	printf("{\"ports\": [");
	for (unsigned i = 0; i < o->port_count; i++) {
		printf(i ? ", " : "");
		report_port(o, o->ports[i], &arrivals[i]);
	}
	printf("]}\n");
	return 0;
}
