/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The impairments of one direction: their settings, the words that set them, and the fate they
 * give to each arriving frame. No clock, no sockets: path.c asks for a fate on each arrival and
 * carries it out, control.c hands over the words of `wanem ctl SOCKET set`.
 */
#ifndef SLUICE_WANEM_IMPAIR_H
#define SLUICE_WANEM_IMPAIR_H

#include "rng.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* One settable chance. Only frames that it applies to draw from its stream. */
struct chance {
	double p;	/* 0 to 1; 0 draws nothing */
	bool link_only; /* applies only to the link's frames */
};

struct impair_settings {
	uint64_t delay_ns;
	uint64_t jitter_ns; /* half width (uniform) or standard deviation (normal) */
	bool jitter_normal;
	bool jitter_unordered; /* false: a frame never leaves before the one ahead of it */

	uint64_t rate_bps;	/* 0: as fast as the interface */
	uint64_t queue_bytes;	/* limits before the rate, the frame on the wire included; */
	uint64_t queue_packets; /*   0: no such limit; both 0: 100 ms at the rate, 64 kB at least */
	uint64_t overhead_bytes; /* added to each frame for the rate (24: FCS, preamble, gap) */

	struct chance loss;
	struct chance ge; /* p: GOOD to BAD (Gilbert-Elliott's p); 0 is off */
	double ge_r;	  /* BAD to GOOD */
	double ge_bad;	  /* loss in BAD, 1-h */
	double ge_good;	  /* loss in GOOD, 1-k */
	struct chance duplicate;
	struct chance corrupt;
	uint64_t corrupt_from_bytes; /* the first byte of the frame that may be hit */
	struct chance reorder;
	uint64_t reorder_ns;	  /* held back this much longer, or, */
	uint64_t reorder_packets; /*   where not 0, until so many later frames have left */
	uint64_t seed;
};

enum impair_stream {
	STREAM_JITTER,
	STREAM_LOSS,
	STREAM_GE,
	STREAM_DUPLICATE,
	STREAM_CORRUPT,
	STREAM_REORDER,
	STREAM_COUNT
};

struct impair {
	struct impair_settings set;
	unsigned direction; /* 0 or 1: makes the two directions' streams differ */
	bool ge_is_bad;
	struct rng rng[STREAM_COUNT];
};

struct fate {
	bool lose_random;
	bool lose_ge;
	bool duplicate;
	bool hold;	       /* to be overtaken: reordering */
	uint64_t delay_ns;     /* delay and jitter together */
	uint64_t corrupt_bits; /* 0: intact; else 1 + the number of the bit to flip */
};

/* Settings that change nothing, and the streams of `seed`. */
void impair_init(struct impair *im, unsigned direction, uint64_t seed);

/* Draws the fate of a frame of len_bytes; is_link: it is the link's (match.h). */
struct fate impair_decide(struct impair *im, size_t len_bytes, bool is_link);

/* Carries out the words "delay 20ms loss 1% ...", all of them or none. `words` is cut up. Returns
 * 0, or -EINVAL with what is wrong and what would be right in err. A new seed, and only that,
 * starts the streams afresh (and the Gilbert-Elliott chain in GOOD). */
int impair_set(struct impair *im, char *words, char *err, size_t err_len);

/* Starts the streams of the seed in the settings afresh, the Gilbert-Elliott chain in GOOD. */
void impair_reseed(struct impair *im);

/* The queue limit in force, in bytes; UINT64_MAX where only packets limit it. */
uint64_t impair_queue_bytes(const struct impair_settings *s);

/* Prints the settings as a JSON object. */
void impair_print(const struct impair_settings *s, FILE *out);

/* Describes the words that impair_set() takes. */
extern const char impair_usage[];

/* "20ms", "1.5 s", "100us" into ns; "100mbit" into bit/s. `0` needs no unit. False: not one. */
bool parse_time_ns(const char *text, uint64_t *ns);
bool parse_rate_bps(const char *text, uint64_t *bps);

#endif
