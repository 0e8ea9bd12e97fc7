/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tells the frames of the peer link from all others, for impairments and counters that are to
 * concern only them. main.c asks once a frame; path.c keeps the answer.
 */
#ifndef SLUICE_WANEM_MATCH_H
#define SLUICE_WANEM_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True for IPv4 or IPv6 UDP to destination port `port`, behind any number of VLAN tags. The
 * destination only: the source port of link frames varies with the flow. A fragment other than
 * the first shows no port and is no match. Reads nothing beyond len_bytes. */
bool match_udp_dport(const uint8_t *data, size_t len_bytes, uint16_t port);

#endif
