/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A capture file, pcap or pcapng, through libpcap: its frames as Ethernet frames and its clock as
 * one that never goes back. Frames and times are whatever somebody wrote into the file.
 */
#ifndef SLUICE_ANALYZE_CAPTURE_H
#define SLUICE_ANALYZE_CAPTURE_H

#include <stdint.h>
#include <stdio.h>

#define CAPTURE_FRAME_MAX 65535u /* of an mbuf's length; longer frames are cut off */
#define CAPTURE_ERROR_MAX 512

struct capture;

/* What could be said of the files so far; the caller's, zeroed, over all of them. */
struct capture_stats {
	uint64_t frames;	   /* that the filter let through */
	uint64_t cut;		   /* of these: captured in part (snaplen) */
	uint64_t no_network_layer; /* too short for their link header, or none of IP in them */
	uint64_t back;		   /* came with a time before that of an earlier one */
	uint64_t back_most_ns;
	uint64_t steps;		    /* of these: by more than a second; the clock was set back */
	uint64_t first_ns, last_ns; /* as in the file, since 1970 */
};

/* A clock over all files of one run. Zeroed: not started. */
struct capture_clock {
	uint64_t now_ns;    /* never goes back */
	uint64_t offset_ns; /* what steps back have taken off the file's times, modulo 2^64 */
	uint64_t start_ns;  /* now_ns of the first frame */
};

struct capture_frame {
	const uint8_t *bytes; /* valid until the next call */
	uint32_t caught;      /* bytes there are, at most CAPTURE_FRAME_MAX */
	uint32_t len;	      /* bytes it had on the wire, with the Ethernet header */
	uint64_t time_ns;     /* of the clock */
	uint64_t file_ns;     /* as in the file, since 1970 */
};

/*
 * Open a file ("-": standard input). filter: a libpcap filter expression, NULL for all frames. NULL
 * with a sentence in `error` if it is no capture, of a link type that is not known, or the filter
 * is wrong.
 */
struct capture *capture_open(const char *file, const char *filter, char error[CAPTURE_ERROR_MAX]);

/* The same from an open stream, which belongs to the capture from then on, also when it fails. */
struct capture *capture_open_stream(
	FILE *stream, const char *filter, char error[CAPTURE_ERROR_MAX]);

/*
 * The next frame. 1, 0 at the end, or -1 with a sentence in `error` where the file breaks off or
 * says something impossible; what came before is good all the same.
 */
int capture_next(struct capture *c, struct capture_clock *clock, struct capture_stats *stats,
	struct capture_frame *frame, char error[CAPTURE_ERROR_MAX]);

/* "EN10MB (Ethernet)" */
const char *capture_link_type(const struct capture *c);

/* NULL is allowed. */
void capture_close(struct capture *c);

/* The clock's time for a frame's: exported for its test. */
uint64_t capture_clock_take(
	struct capture_clock *clock, struct capture_stats *stats, uint64_t file_ns);

#endif
