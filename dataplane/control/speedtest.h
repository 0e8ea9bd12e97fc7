/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `sluicectl speedtest`: what rate the path to a peer carries, from here to there. A stream of
 * authenticated messages (speedtest_message.h) is sent for a bounded time and with bounded bytes;
 * the peer reports what arrives, and speedtest_search.h finds the rate. At most one test runs from
 * here and one to here. On a shaped bridge the stream takes no more than what the traffic leaves of
 * the link's rate. Control thread only.
 */
#ifndef SLUICE_CONTROL_SPEEDTEST_H
#define SLUICE_CONTROL_SPEEDTEST_H

#include <stddef.h>

#include "controlplane/channel/server.h"

struct control;
struct speedtest;

/* NULL without memory. */
struct speedtest *speedtest_create(void);
void speedtest_destroy(struct speedtest *speedtest);

/* Send what is due. About every millisecond. */
void speedtest_tick(struct control *c, uint64_t now_ns);

/* A message (speed_is_message()) from the address of peer number `peer` that arrived at arrived_ns,
 * in an IP packet of ip_bytes. */
void speedtest_receive(struct control *c, unsigned peer, const uint8_t *message, size_t len,
	uint32_t ip_bytes, uint64_t arrived_ns);

/* A client of the channel went: its test ends. */
void speedtest_closed(struct control *c, uint64_t client);

int speedtest_run(void *, const struct speedtest_request *, struct channel_reply *);

#endif
