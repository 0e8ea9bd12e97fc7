/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the parts of traffic share: the datagram, the clocks, the options. One program (main.c) with
 * three jobs: send.c paces datagrams, receive.c takes them and report.c says what came, scalable.c
 * is a sender that obeys ECN marks as L4S asks. No part of the appliance is in it.
 */
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <netinet/in.h>

#define NSEC 1000000000ull
#define PORTS_MAX 64
#define BATCH 64

/* Frames are counted as on Ethernet: 14 + 20 + 8 bytes of headers and 4 of check sequence in the
 * frame, 20 of preamble and gap behind it. */
#define FRAME_HEADERS (14 + 20 + 8 + 4)
#define FRAME_GAP 20
#define FRAME_MIN 64
#define FRAME_MAX 1518

/* At the start of each datagram, in the byte order of the one machine that both ends run on. */
struct datagram {
	uint32_t number; /* from 0 */
	uint32_t unused;
	uint64_t sent_ns; /* CLOCK_REALTIME */
};

/* What a receiver with --echo answers. */
struct echo {
	uint32_t number; /* of the datagram answered */
	uint32_t marked; /* datagrams that came marked CE so far */
	uint64_t sent_ns;
};

struct options {
	struct sockaddr_in address; /* of the receiver, without port */
	uint16_t ports[PORTS_MAX];
	unsigned port_count;
	double rate_bps; /* frame and gap */
	unsigned frame_bytes;
	double seconds;
	int tos;
	bool echo, series;
	double from_s, window_s; /* receiver: `windows` of window_s each, from_s after the first */
	unsigned windows;
};

/* One datagram as it came. */
struct arrival {
	uint64_t at_ns; /* CLOCK_REALTIME: when the kernel got it */
	uint64_t sent_ns;
	uint32_t number;
	uint16_t frame_bytes;
	uint8_t ecn;
};

/* All datagrams of one port, in the order in which they came. */
struct arrivals {
	struct arrival *list;
	size_t count, room;
	uint32_t marked;
	uint32_t socket_drops; /* that came, and the receiver was too slow for */
};

/* Set by SIGINT and SIGTERM. */
extern volatile int stop_asked;

static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * NSEC + (uint64_t)ts.tv_nsec;
}

/* Ends the program with the text and errno's meaning. */
void die(const char *what) __attribute__((noreturn));

/* The jobs: return the exit code, print one JSON object. */
int send_run(const struct options *o);
int receive_run(const struct options *o);
int scalable_run(const struct options *o);

/* Prints what came at one port as a JSON object, without a newline. */
void report_port(const struct options *o, uint16_t port, const struct arrivals *a);

#endif
