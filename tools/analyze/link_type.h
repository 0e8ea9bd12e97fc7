/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Link types of captures: puts an Ethernet header in place of whatever stands before the network
 * layer, so that dataplane/packet parses all of them. capture.c calls it for every frame.
 */
#ifndef SLUICE_ANALYZE_LINK_TYPE_H
#define SLUICE_ANALYZE_LINK_TYPE_H

#include <stdbool.h>
#include <stdint.h>

/* Is this a libpcap DLT_ that link_type_frame() knows? */
bool link_type_known(int link_type);

/* The types known, for messages. */
const char *link_type_list(void);

/*
 * Write a captured frame of `caught` bytes to `out` (`room` bytes) as an Ethernet frame. Returns
 * how many bytes were written: all there are, or as many as fit. *length_change is what to add to
 * the length that the frame had on the wire. 0: the frame is too short for its link header, or does
 * not say what it carries.
 */
uint32_t link_type_frame(int link_type, const uint8_t *bytes, uint32_t caught, uint8_t *out,
	uint32_t room, int32_t *length_change);

#endif
