/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * By how much a peer's clock differs from ours, from messages that go both ways (hello.h), as NTP
 * does it (RFC 5905, 8 and 10): of the last exchanges the one with the least round trip counts,
 * since it waited least. What the two ways differ in cannot be seen: the offset is uncertain by
 * half that round trip, and grows older. session.c feeds it, control/ makes one-way delays of it.
 *
 * Pure; control thread.
 */
#ifndef SLUICE_LINK_OFFSET_H
#define SLUICE_LINK_OFFSET_H

#include <stdbool.h>
#include <stdint.h>

#define LINK_OFFSET_SAMPLES 64 /* of hellos: the last 10 s */
#define LINK_OFFSET_AGE_NS UINT64_C(20000000000)
/* Between two clocks, of which either may be worked off at 500 ppm (dataplane/clock.h). */
#define LINK_OFFSET_DRIFT_PPM 1000

/* Zeroed memory: nothing known. */
struct link_offset {
	uint32_t count;
	struct {
		uint64_t at_ns;
		uint64_t rtt_ns;
		int64_t offset_ns; /* peer's clock less ours */
	} sample[LINK_OFFSET_SAMPLES];
};

/*
 * One exchange: our message of sent_ns (our clock) reached the peer at heard_ns (its clock), its
 * message of said_ns (its clock) is here at now_ns. Peers' words may be anything: a round trip that
 * cannot be is ignored.
 */
void link_offset_add(struct link_offset *o, uint64_t sent_ns, uint64_t heard_ns, uint64_t said_ns,
	uint64_t now_ns);

/* The peer's clock less ours, and how far that may be off. False: not known. */
bool link_offset_get(
	const struct link_offset *o, uint64_t now_ns, int64_t *offset_ns, uint64_t *uncertainty_ns);

#endif
