/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finds the packet inside of a tunnel that the appliance passes as it is: IP in IP (RFC 2003, 2473,
 * 4213), GRE (RFC 2784, 2890) and VXLAN (RFC 7348). analysis.c parses what it finds anew.
 */
#ifndef SLUICE_ANALYZE_TUNNEL_H
#define SLUICE_ANALYZE_TUNNEL_H

#include <stdint.h>

#include "dataplane/packet/packet.h"

/*
 * Where the inner packet of a parsed one begins, in a frame of which `caught` bytes are there; 0:
 * it is no tunnel. *ethertype is that of the inner packet, 0: it begins with an Ethernet header.
 */
uint32_t tunnel_inside(
	const struct pkt *p, const uint8_t *frame, uint32_t caught, uint16_t *ethertype);

#endif
