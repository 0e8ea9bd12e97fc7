/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rate tracking in the daemon: exchanges probes with the peers of bridges that track (up_min,
 * down_min) or whose peer asks for them, and puts the rates of track_rate.h in force without a new
 * plan. track_path.h has the measuring. Control thread only.
 */
#ifndef SLUICE_CONTROL_TRACK_H
#define SLUICE_CONTROL_TRACK_H

#include <stddef.h>
#include <stdint.h>

struct control;
struct track;

/* What `show links` tells of one bridge and way. */
struct track_shown {
	uint64_t rate_bps; /* in force now; 0: not tracked */
	uint64_t queue_ns; /* delay above the baseline, of the peer with the least; 0: none heard */
	uint64_t increases, decreases, rebases;
};

/* NULL without memory. */
struct track *track_create(void);
void track_destroy(struct track *track);

/* Send the probes that are due, adjust the rates. About every millisecond. */
void track_tick(struct control *c, uint64_t now_ns);

/* A probe (link_is_probe()) from the address of peer number `peer` that arrived at arrived_ns. */
void track_receive(
	struct control *c, unsigned peer, const uint8_t *message, size_t len, uint64_t arrived_ns);

void track_show(
	const struct track *track, unsigned bridge, unsigned way, struct track_shown *shown);

#endif
