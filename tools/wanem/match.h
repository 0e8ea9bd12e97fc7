/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tells the frames of the peer link from all others, for impairments and counters that are to
 * concern only them. main.c asks once a frame; path.c keeps the answer.
 */
#ifndef SLUICE_WANEM_MATCH_H
#define SLUICE_WANEM_MATCH_H

#include <stddef.h>
#include <stdint.h>

/* Source port of IPv4 or IPv6 UDP to destination port `port`, or the CPI of IPComp if that is for
 * private use (transparent framing), behind any number of VLAN tags; 0: neither. The source port of
 * link frames varies with the lane, the CPI with session and direction. A fragment other than the
 * first shows neither and is no match. Reads nothing beyond len_bytes. */
uint16_t match_link(const uint8_t *data, size_t len_bytes, uint16_t port);

#endif
