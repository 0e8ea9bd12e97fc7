/* SPDX-License-Identifier: BSD-3-Clause */
/* Both ends of a speed test in the daemon: speedtest.h. */
#include "dataplane/control/speedtest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_random.h>

#include "dataplane/clock.h"
#include "dataplane/control/active.h"
#include "dataplane/control/control.h"
#include "dataplane/control/peers.h"
#include "dataplane/control/show.h"
#include "dataplane/control/speedtest_message.h"
#include "dataplane/control/speedtest_search.h"
#include "dataplane/control/track.h"
#include "dataplane/measure/record.h"

#define MS UINT64_C(1000000)
#define DURATION_MAX_NS UINT64_C(10000000000)
#define BYTES_MAX UINT64_C(1000000000)
#define RATE_MAX_BPS UINT64_C(1000000000) /* what the control threads carry */
#define ASK_NS (100 * MS)
#define ASK_FOR_NS (2000 * MS)
#define REPORT_NS (10 * MS)
#define REPORTS_AGAIN 3	    /* times that the last report is repeated, should it be lost */
#define DRAIN_NS (500 * MS) /* and a round trip: what is under way arrives, and is reported */
#define SILENT_NS (1000 * MS)
#define CATCH_UP_NS (5 * MS) /* a control thread that was late sends no longer bursts than this */
#define TICK_PACKETS 256
#define REPORT_DSCP 48 /* small and few: CS6, as the hellos */
#define LEAST_PART 20  /* on a full link a test may take 5 % */

/* The test from here. */
struct tester {
	enum { IDLE, ASKING, SENDING, DRAINING, DONE } state;
	uint64_t client, polled_ns;
	unsigned peer;
	uint64_t id;
	uint64_t asked_ns, started_ns, ended_ns, last_ns;
	uint64_t duration_ns, bytes_max, rate_max_bps;
	uint64_t reached_bps; /* most that was offered */
	uint8_t dscp;
	uint16_t ip_bytes; /* of a packet */
	uint16_t msg_bytes;
	double credit_bytes; /* to be sent now */
	uint32_t packets;
	uint64_t bytes;
	uint64_t received_packets, received_bytes;
	enum channel_speed_end end;
	char trouble[ACTIVE_TEXT_MAX];
	struct speed_search search;
	uint8_t message[SPEED_MESSAGE_MAX];
};

/* The test to here. */
struct reporter {
	bool is_on;
	unsigned peer;
	uint64_t id;
	uint64_t begun_ns, heard_ns, reported_ns;
	uint64_t duration_ns, bytes_max;
	uint32_t expected, reports;
	uint64_t packets, bytes;
	uint64_t newest_sent_ns, newest_arrived_ns;
	unsigned again; /* reports to be sent though nothing has arrived */
};

struct speedtest {
	struct tester out;
	struct reporter in;
};

struct speedtest *speedtest_create(void)
{
	struct speedtest *t = calloc(1, sizeof(*t));

	/* What does not compress, for those on the way who do. */
	for (unsigned i = 0; t != NULL && i < sizeof(t->out.message); i++)
		t->out.message[i] = (uint8_t)rte_rand();
	return t;
}

void speedtest_destroy(struct speedtest *t)
{
	free(t);
}

static uint32_t ip_headers(const struct policy_peer *p)
{
	return (p->address.family == 4 ? 20u : 40u) + 8u;
}

static int send_message(struct control *c, unsigned peer, const struct speed_message *m,
	uint8_t *message, uint32_t len, uint8_t dscp, uint64_t now_ns)
{
	const struct policy_peer *p = &c->daemon->plan->policy->peers[peer];
	struct control_side context = {c->daemon, p->bridge};
	uint8_t frame[SPEED_MESSAGE_MAX + LINK_HEADERS_MAX];
	int rc = speed_message_write(&c->peers->peer[peer].session, m, message, len);

	if (rc == 0)
		rc = inpath_build_udp(&c->inpath[p->bridge], &p->address, LINK_CONTROL_SOURCE_PORT,
			p->port, dscp, message, len, frame, sizeof(frame), now_ns, control_emit,
			&context);
	if (rc < 0)
		return rc;
	control_emit(&context, INPATH_WAN, frame, (uint32_t)rc);
	return 0;
}

/* ---- from here ---- */

static void finish(struct tester *t, enum channel_speed_end end, const char *trouble)
{
	t->state = DONE;
	t->end = end;
	if (trouble != NULL)
		snprintf(t->trouble, sizeof(t->trouble), "%s", trouble);
}

/* What may be offered: what the traffic leaves of a shaped link's rate, a little at least. */
static uint64_t limit_bps(const struct control *c, const struct tester *t)
{
	unsigned bridge = c->daemon->plan->policy->peers[t->peer].bridge;
	uint64_t link_bps = c->daemon->plan->policy->bridges[bridge].up_bps;
	struct track_shown tracked;
	uint64_t most_bps = t->rate_max_bps != 0 ? t->rate_max_bps : RATE_MAX_BPS;

	track_show(c->track, bridge, WAY_UP, &tracked);
	if (tracked.rate_bps != 0)
		link_bps = tracked.rate_bps;
	if (link_bps == 0)
		return most_bps;
	uint64_t load_bps = rates_link_bps(c->rates, bridge, WAY_UP);
	uint64_t least_bps = link_bps / LEAST_PART;
	/* The link's rate counts Ethernet and its overhead, an offered rate IP packets. */
	double ip_part = (double)t->ip_bytes / (t->ip_bytes + 38.0);
	uint64_t left_bps = load_bps + least_bps < link_bps ? link_bps - load_bps : least_bps;
	left_bps = (uint64_t)((double)left_bps * ip_part);
	return left_bps < most_bps ? left_bps : most_bps;
}

static void ask(struct control *c, struct tester *t, uint64_t now_ns)
{
	const struct speed_message m = {.type = SPEED_REQUEST,
		.test = t->id,
		.sent_ns = now_ns,
		.duration_ns = t->duration_ns,
		.bytes_max = t->bytes_max};
	uint8_t message[SPEED_MESSAGE_BYTES];

	if (now_ns - t->started_ns >= ASK_FOR_NS) {
		finish(t, SPEED_FAILED,
			"the peer does not answer: it runs a version without speed tests, or the "
			"path lost every question");
		return;
	}
	if (now_ns - t->asked_ns < ASK_NS)
		return;
	t->asked_ns = now_ns;
	send_message(c, t->peer, &m, message, sizeof(message), REPORT_DSCP, now_ns);
}

static void send_data(struct control *c, struct tester *t, uint64_t now_ns)
{
	uint64_t passed_ns = now_ns - t->last_ns;

	speed_search_limit(&t->search, limit_bps(c, t));
	if (t->search.rate_bps > t->reached_bps)
		t->reached_bps = t->search.rate_bps;
	t->last_ns = now_ns;
	if (passed_ns > CATCH_UP_NS)
		passed_ns = CATCH_UP_NS;
	t->credit_bytes += (double)t->search.rate_bps * (double)passed_ns / 8e9;
	for (unsigned i = 0; i < TICK_PACKETS && t->credit_bytes >= t->ip_bytes; i++) {
		struct speed_message m = {.type = SPEED_DATA,
			.number = t->packets,
			.test = t->id,
			.sent_ns = clock_now_ns()};

		if (now_ns - t->started_ns >= t->duration_ns ||
			t->bytes + t->ip_bytes > t->bytes_max) {
			t->end = t->bytes + t->ip_bytes > t->bytes_max ? SPEED_BYTES
								       : SPEED_DURATION;
			t->state = DRAINING;
			t->ended_ns = now_ns;
			return;
		}
		if (send_message(c, t->peer, &m, t->message, t->msg_bytes, t->dscp, now_ns) != 0)
			return; /* no next hop for the moment */
		t->credit_bytes -= t->ip_bytes;
		t->packets++;
		t->bytes += t->ip_bytes;
	}
	if (t->credit_bytes > 2.0 * t->ip_bytes) /* more than one turn sends */
		t->credit_bytes = 2.0 * t->ip_bytes;
}

static void tick_tester(struct control *c, struct tester *t, uint64_t now_ns)
{
	if (t->state == IDLE)
		return;
	if (now_ns - t->polled_ns > ACTIVE_SILENCE_NS) {
		t->state = IDLE;
		return;
	}
	if (t->state == DONE)
		return;
	if (!c->peers->peer[t->peer].session.alive) {
		finish(t, SPEED_FAILED, "the session with the peer went down");
		return;
	}
	if (t->state == ASKING)
		ask(c, t, now_ns);
	else if (t->state == SENDING)
		send_data(c, t, now_ns);
	else if (t->received_packets == t->packets ||
		 now_ns - t->ended_ns > DRAIN_NS + t->search.rtt_ns)
		finish(t, t->end, t->received_packets == 0 ? "nothing arrived" : NULL);
}

static void take_report(struct tester *t, const struct speed_message *m, uint64_t now_ns)
{
	const struct speed_sample sample = {.sent_ns = m->sent_ns,
		.arrived_ns = m->arrived_ns,
		.bytes = m->bytes,
		.packets = m->packets,
		.expected = m->expected};

	if (t->state == ASKING) {
		t->state = SENDING;
		t->started_ns = t->last_ns = t->search.step_ns = now_ns;
		return;
	}
	/* No more than was sent can have arrived, unless the network made copies. */
	if (m->packets > 2ull * t->packets || m->expected > t->packets)
		return;
	if (m->packets > t->received_packets) {
		t->received_packets = m->packets;
		t->received_bytes = m->bytes;
	}
	speed_search_sample(&t->search, &sample, now_ns);
}

/* ---- to here ---- */

static void report(struct control *c, struct reporter *r, uint64_t now_ns)
{
	const struct speed_message m = {.type = SPEED_REPORT,
		.number = ++r->reports,
		.test = r->id,
		.sent_ns = r->newest_sent_ns,
		.arrived_ns = r->newest_arrived_ns,
		.bytes = r->bytes,
		.packets = r->packets,
		.expected = r->expected};
	uint8_t message[SPEED_MESSAGE_BYTES];

	r->reported_ns = now_ns;
	if (r->again > 0)
		r->again--;
	send_message(c, r->peer, &m, message, sizeof(message), REPORT_DSCP, now_ns);
}

static void tick_reporter(struct control *c, struct reporter *r, uint64_t now_ns)
{
	if (!r->is_on)
		return;
	if (now_ns - r->heard_ns > SILENT_NS || now_ns - r->begun_ns > r->duration_ns + ASK_FOR_NS)
		r->is_on = false;
	else if (r->again > 0 && now_ns - r->reported_ns >= REPORT_NS)
		report(c, r, now_ns);
}

static void take_request(
	struct control *c, unsigned peer, const struct speed_message *m, uint64_t now_ns)
{
	struct reporter *r = &c->active->speedtest->in;
	uint8_t message[SPEED_MESSAGE_BYTES];

	/* A peer runs one at a time: another one of it means that the last has ended. */
	if (r->is_on && r->peer != peer) {
		const struct speed_message busy = {.type = SPEED_BUSY, .test = m->test};
		send_message(c, peer, &busy, message, sizeof(message), REPORT_DSCP, now_ns);
		return;
	}
	if (m->duration_ns > DURATION_MAX_NS || m->bytes_max > BYTES_MAX)
		return;
	if (!r->is_on || r->id != m->test)
		*r = (struct reporter){.is_on = true,
			.peer = peer,
			.id = m->test,
			.begun_ns = now_ns,
			.duration_ns = m->duration_ns,
			.bytes_max = m->bytes_max};
	r->heard_ns = now_ns;
	report(c, r, now_ns);
}

static void take_data(struct reporter *r, const struct speed_message *m, uint32_t ip_bytes,
	uint64_t arrived_ns, uint64_t now_ns)
{
	if (r->bytes + ip_bytes > r->bytes_max)
		return;
	r->heard_ns = now_ns;
	r->packets++;
	r->bytes += ip_bytes;
	r->again = REPORTS_AGAIN;
	if (m->number + 1 <= r->expected)
		return;
	r->expected = m->number + 1;
	r->newest_sent_ns = m->sent_ns;
	r->newest_arrived_ns = arrived_ns;
}

void speedtest_receive(struct control *c, unsigned peer, const uint8_t *message, size_t len,
	uint32_t ip_bytes, uint64_t arrived_ns)
{
	struct speedtest *s = c->active->speedtest;
	struct tester *t = &s->out;
	struct reporter *r = &s->in;
	uint64_t now_ns = clock_now_ns();
	struct speed_message m;

	if (speed_message_read(&c->peers->peer[peer].session, message, len, &m) != 0)
		return;
	bool is_ours = (t->state == ASKING || t->state == SENDING || t->state == DRAINING) &&
		       t->peer == peer && t->id == m.test;
	if (m.type == SPEED_REQUEST)
		take_request(c, peer, &m, now_ns);
	else if (m.type == SPEED_DATA && r->is_on && r->peer == peer && r->id == m.test)
		take_data(r, &m, ip_bytes, arrived_ns, now_ns);
	else if (m.type == SPEED_REPORT && is_ours)
		take_report(t, &m, now_ns);
	else if (m.type == SPEED_BUSY && is_ours && t->state == ASKING)
		finish(t, SPEED_FAILED, "the peer is being tested already: try again later");
}

void speedtest_tick(struct control *c, uint64_t now_ns)
{
	tick_tester(c, &c->active->speedtest->out, now_ns);
	tick_reporter(c, &c->active->speedtest->in, now_ns);
}

void speedtest_closed(struct control *c, uint64_t client)
{
	struct tester *t = &c->active->speedtest->out;

	if (t->state != IDLE && t->client == client)
		t->state = IDLE;
}

/* ---- the channel ---- */

static int check(
	struct control *c, const struct speedtest_request *q, int peer, struct channel_reply *reply)
{
	const struct tester *t = &c->active->speedtest->out;
	bool is_running = t->state != IDLE && t->state != DONE;

	if (peer < 0 || peer >= (int)c->peers->count) {
		channel_reply_error(reply,
			"unknown peer '%s': a speed test needs a Sluice at the other end, see show "
			"peers",
			q->peer);
		return -ENOENT;
	}
	if (q->duration_ns < 500 * MS || q->duration_ns > DURATION_MAX_NS || q->bytes_max == 0 ||
		q->bytes_max > BYTES_MAX || q->dscp > 63 || q->rate_max_bps > RATE_MAX_BPS) {
		channel_reply_error(reply,
			"out of range: accepted are 0.5 to 10 seconds, up to 1 GB, up to 1 Gbit/s, "
			"DSCP 0 to 63");
		return -EINVAL;
	}
	if (is_running) {
		channel_reply_error(reply, "another speed test runs: try again later");
		return -EBUSY;
	}
	if (!c->peers->peer[peer].session.alive) {
		channel_reply_error(reply, "peer %s is not up: see show peers", q->peer);
		return -ENOTCONN;
	}
	return 0;
}

static int start(struct control *c, const struct speedtest_request *q, struct channel_reply *reply)
{
	struct tester *t = &c->active->speedtest->out;
	const struct policy *policy = c->daemon->plan->policy;
	int peer = policy_find_peer(policy, q->peer), rc = check(c, q, peer, reply);
	uint64_t now_ns = clock_now_ns();

	if (rc != 0)
		return rc;
	t->state = ASKING;
	t->client = channel_reply_client(reply);
	t->peer = (unsigned)peer;
	t->id = rte_rand();
	t->polled_ns = t->started_ns = now_ns;
	t->asked_ns = 0;
	t->duration_ns = q->duration_ns;
	t->bytes_max = q->bytes_max;
	t->rate_max_bps = q->rate_max_bps;
	t->dscp = (uint8_t)q->dscp;
	t->ip_bytes = c->daemon->links->path[peer].path_mtu;
	if (t->ip_bytes > SPEED_MESSAGE_MAX)
		t->ip_bytes = SPEED_MESSAGE_MAX;
	t->msg_bytes = (uint16_t)(t->ip_bytes - ip_headers(&policy->peers[peer]));
	t->credit_bytes = 0;
	t->packets = 0;
	t->bytes = t->received_packets = t->received_bytes = t->reached_bps = 0;
	t->end = SPEED_RUNNING;
	t->trouble[0] = '\0';
	speed_search_init(&t->search, limit_bps(c, t), c->peers->peer[peer].session.rtt_ns, now_ns);
	return 0;
}

static void tell(const struct control *c, struct channel_reply *reply)
{
	const struct tester *t = &c->active->speedtest->out;
	bool has_begun = t->state != ASKING;
	struct speedtest_record r = {.end = t->state == DONE ? t->end : SPEED_RUNNING,
		.elapsed_ns = has_begun ? t->last_ns - t->started_ns : 0,
		.sent_packets = t->packets,
		.sent_bytes = t->bytes,
		.received_packets = t->received_packets,
		.received_bytes = t->received_bytes,
		.packet_bytes = t->ip_bytes,
		.offered_bps = t->search.offered_bps,
		.limit_bps = t->reached_bps,
		.saturated = t->search.is_saturated,
		.delay = measure_dist(&t->search.delay),
		.dscp = t->dscp};

	speed_search_result(&t->search, &r.rate_bps, &r.measured_ns);
	if (t->peer < c->daemon->plan->policy->peer_count)
		show_name(r.peer, c->daemon->plan->policy->peers[t->peer].name);
	snprintf(r.trouble, sizeof(r.trouble), "%s", t->trouble);
	channel_send_speedtest(reply, &r);
}

int speedtest_run(void *context, const struct speedtest_request *q, struct channel_reply *reply)
{
	struct control *c = context;
	struct tester *t = &c->active->speedtest->out;

	if (q->action == RUN_START)
		return start(c, q, reply);
	if (t->state == IDLE || t->client != channel_reply_client(reply)) {
		channel_reply_error(reply, "no speed test of this client runs");
		return -ENOENT;
	}
	t->polled_ns = clock_now_ns();
	tell(c, reply);
	if (q->action == RUN_STOP)
		t->state = IDLE;
	return 0;
}
