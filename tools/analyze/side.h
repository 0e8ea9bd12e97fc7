/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which end of a packet is on the LAN: by networks, from --lan or from the peers of a
 * configuration. analysis.c asks for new flows, and takes who opened the flow where nobody says.
 */
#ifndef SLUICE_ANALYZE_SIDE_H
#define SLUICE_ANALYZE_SIDE_H

#include "dataplane/measure/tcp.h"
#include "tools/analyze/analysis.h"

/* The end of the key, 0 or 1, that is on the LAN; -1: the networks do not tell. */
int side_lan_end(const struct analysis_options *options, const struct flow_key *key);

/* Read "10.0.0.0/8", "2001:db8::/32" or an address. 0 or -1. */
int side_read_network(const char *text, struct policy_prefix *network);

#endif
