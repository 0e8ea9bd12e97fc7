/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * STAMP in the daemon: a Session-Sender for each peer with a stamp_interval, and a
 * Session-Reflector on the in-path addresses. measure/stamp.h has the packets, stamp_session.h the
 * statistics, active.h sends and receives. Control thread only.
 *
 * Timestamps. T2 and T4 are rx_ns of the frame: when the worker took it from the port. T1 and T3
 * are taken as the packet is built; from there it goes through the ring of the worker that sends
 * it, some 10 us while that polls and up to its sleep of 50 us while it is idle. The time that a
 * packet waits for the control thread, a millisecond or so, lies between T2 and T3 and is not in
 * the round-trip time.
 */
#ifndef SLUICE_CONTROL_STAMP_H
#define SLUICE_CONTROL_STAMP_H

#include "controlplane/channel/server.h"
#include "dataplane/control/active_packet.h"
#include "dataplane/measure/stamp_session.h"
#include "dataplane/packet/packet.h"

struct control;
struct stamp;

/* NULL without memory. */
struct stamp *stamp_create(void);
void stamp_destroy(struct stamp *stamp);

/* Send the test packets that are due; follow the policy. */
void stamp_tick(struct control *c, uint64_t now_ns);

/* A packet for an in-path address, `p` read from `m`. True when it was STAMP, and is done with. */
bool stamp_receive(struct control *c, const struct rte_mbuf *m, const struct active_packet *p,
	uint64_t now_ns);

/* The key of a peer (NULL: of none): unauthenticated mode without one. Valid while the policy is.
 */
struct stamp_key stamp_key_of(const struct policy_peer *peer);

/*
 * Send one probe from our UDP port `sport`: its seq, ssid, dscp, counts are given, T1 and the error
 * are filled in. *bytes (may be NULL) is the length of the IP packet. As active_send().
 */
int stamp_send(struct control *c, unsigned bridge, const struct policy_address *dst, uint16_t sport,
	uint16_t dport, const struct stamp_key *key, struct stamp_probe *probe, uint16_t *bytes,
	uint64_t now_ns);

/* A session's figures for a client. */
struct stamp_figures stamp_figures_of(const struct stamp_window *w);

int stamp_show(void *, const struct page_request *, struct channel_reply *);

#endif
