/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Active measurement on the in-path addresses: sends and receives its packets (active_packet.h),
 * keeps the runs that clients of the channel start (ping, trace), and hands STAMP packets to
 * stamp.h. Nothing here waits: a client starts a run, asks for what it has found so far, and stops
 * it. A run ends by itself after its last packet, when its client leaves, and when that has not
 * asked for ACTIVE_SILENCE_NS. Control thread only.
 */
#ifndef SLUICE_CONTROL_ACTIVE_H
#define SLUICE_CONTROL_ACTIVE_H

#include "controlplane/channel/server.h"
#include "dataplane/control/active_packet.h"
#include "dataplane/packet/packet.h"

struct control;
struct stamp;
struct speedtest;

#define ACTIVE_RUNS 8u /* at a time, of all clients together; a power of two */
#define ACTIVE_SILENCE_NS UINT64_C(10000000000)
#define ACTIVE_LOST_NS UINT64_C(2000000000) /* what has not come back by then will not */
#define ACTIVE_RESOLVE_NS UINT64_C(3000000000)
#define ACTIVE_TEXT_MAX 160
/* Source ports: of the STAMP session with peer i, and of run i. */
#define ACTIVE_STAMP_PORT 40862
#define ACTIVE_RUN_PORT 40900

enum active_run_kind { ACTIVE_RUN_NONE, ACTIVE_RUN_PING, ACTIVE_RUN_TRACE };

/* What ping and trace have in common. */
struct active_run {
	enum active_run_kind kind;
	uint64_t client;    /* of the channel */
	uint64_t polled_ns; /* when the client last asked */
	bool is_done;
	unsigned index;
	unsigned bridge;
	int peer; /* index in the policy, -1: an address */
	struct policy_address dst;
	uint16_t id; /* of its echo requests */
	uint8_t dscp;
	uint16_t size;	/* of the IP packets, at least */
	uint32_t count; /* packets or rounds */
	uint64_t interval_ns, next_ns, started_ns;
	char trouble[ACTIVE_TEXT_MAX]; /* the latest; "": none */
	void *state;		       /* of ping or trace, malloc'ed */
};

struct active {
	uint16_t ip_id;
	uint64_t realtime_offset_ns; /* clock of day minus clock_now_ns() */
	uint16_t clock_error;	     /* of the clock of day, as STAMP's Error Estimate */
	uint64_t clock_ns;	     /* when the two were taken */
	struct active_run runs[ACTIVE_RUNS];
	struct stamp *stamp;
	struct speedtest *speedtest;
};

/* NULL without memory. */
struct active *active_create(void);
void active_destroy(struct active *active);

/* A punted frame that is no link frame. True when it was for active measurement and is done with.
 */
bool active_receive(struct control *c, const struct rte_mbuf *m, uint64_t now_ns);

/* Send what is due. About every millisecond. */
void active_tick(struct control *c);

/* A client of the channel went. */
void active_closed(struct control *c, uint64_t client);

/* The clock of day at a moment of clock_now_ns(), as an NTP timestamp. Differences of two are right
 * to the microsecond, unless somebody sets the clock between. */
uint64_t active_ntp(const struct active *active, uint64_t ns);

/*
 * Send a packet out of a bridge's WAN port; src is filled in. 0; -EAGAIN while the next hop is
 * being resolved; -EHOSTUNREACH without an address or a route of that family; -EMSGSIZE.
 */
int active_send(struct control *c, unsigned bridge, struct active_packet *packet, uint64_t now_ns);

/* The target of a run, a peer's name or an address: fills bridge, peer and dst. 0, or a negative
 * errno and channel_reply_error(). */
int active_find_target(
	struct control *c, struct active_run *run, const char *target, struct channel_reply *reply);

/* A free run for this client, whose other run of that kind ends; NULL and a reply's error if there
 * is none. */
struct active_run *active_run_start(
	struct control *c, enum active_run_kind kind, struct channel_reply *reply, uint64_t now_ns);
/* The client's run of that kind, NULL if there is none: -ENOENT and a text in the reply. */
struct active_run *active_run_find(
	struct control *c, enum active_run_kind kind, struct channel_reply *reply, uint64_t now_ns);
void active_run_stop(struct active_run *run);

/* Say in run->trouble why active_send() failed, or what an ICMP error says. */
void active_say_error(struct active_run *run, int rc);
void active_say_icmp(struct active_run *run, const struct active_packet *packet);

/* active_ping.c and trace.c */
void active_ping_tick(struct control *c, struct active_run *run, uint64_t now_ns);
void active_ping_receive(struct control *c, struct active_run *run,
	const struct active_packet *packet, uint64_t arrived_ns);
int active_ping(void *, const struct ping_request *, struct channel_reply *);
void trace_tick(struct control *c, struct active_run *run, uint64_t now_ns);
void trace_receive(struct control *c, struct active_run *run, const struct active_packet *packet,
	uint64_t arrived_ns);
int trace_run(void *, const struct trace_request *, struct channel_reply *);

#endif
