/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `sluicectl ping`: some packets to a target and back, by STAMP if the target answers it, else by
 * ICMP echo. stamp_session.h counts for both; an echo is an answer without times of its own.
 */
#include "dataplane/control/active.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_random.h>

#include "dataplane/clock.h"
#include "dataplane/control/control.h"
#include "dataplane/control/show.h"
#include "dataplane/control/stamp.h"

#define COUNT_MAX 10000u
#define INTERVAL_MIN_NS UINT64_C(10000000)
#define INTERVAL_MAX_NS UINT64_C(10000000000)
#define SIZE_MAX_BYTES 9000u
/* Whether the target speaks STAMP: asked so often, and for so long. */
#define ASK_NS UINT64_C(200000000)
#define ASK_FOR_NS UINT64_C(1000000000)
#define ECHO_BYTES 56u /* of payload, as ping sends it */

struct ping {
	enum channel_ping_method method; /* PING_AUTO: being found out */
	uint64_t asked_ns;		 /* when the first question was sent; 0: not yet */
	uint16_t dport;
	uint16_t ssid;
	uint16_t bytes; /* of the IP packets sent */
	struct stamp_session session;
	struct result {
		uint64_t rtt_ns; /* 0: nothing yet, or lost */
		uint8_t ttl;
	} results[]; /* of each packet */
};

/* Peers keep their places in the policy: only a restart adds or removes one. */
static struct stamp_key key_of(const struct control *c, const struct active_run *run)
{
	return stamp_key_of(run->peer < 0 ? NULL : &c->daemon->plan->policy->peers[run->peer]);
}

/* ---- out ---- */

static int send_echo(struct control *c, struct active_run *run, uint16_t seq, uint64_t now_ns)
{
	struct ping *ping = run->state;
	uint32_t headers = ACTIVE_IP_BYTES(run->dst.family) + ACTIVE_L4_BYTES;
	struct active_packet packet = {.dst = run->dst,
		.ttl = 255,
		.dscp = run->dscp,
		.is_echo = true,
		.id = run->id,
		.seq = seq,
		.payload_len = run->size > headers ? run->size - headers : ECHO_BYTES};

	ping->bytes = (uint16_t)(headers + packet.payload_len);
	return active_send(c, run->bridge, &packet, now_ns);
}

static int send_stamp(struct control *c, struct active_run *run, uint32_t seq, uint64_t now_ns)
{
	struct ping *ping = run->state;
	const struct stamp_key key = key_of(c, run);
	struct stamp_probe probe = {.seq = seq,
		.ssid = ping->ssid,
		.dscp = run->dscp,
		.sent_count = seq + 1,
		.size = run->size};

	return stamp_send(c, run->bridge, &run->dst, (uint16_t)(ACTIVE_RUN_PORT + run->index),
		ping->dport, &key, &probe, &ping->bytes, now_ns);
}

/* The method is known: a session begins. */
static void begin(struct active_run *run, enum channel_ping_method method, uint64_t now_ns)
{
	struct ping *ping = run->state;

	ping->method = method;
	ping->ssid = (uint16_t)(rte_rand() % UINT16_MAX + 1); /* answers to questions are late */
	stamp_session_init(&ping->session, now_ns);
	run->next_ns = now_ns;
}

static void ask(struct control *c, struct active_run *run, uint64_t now_ns)
{
	struct ping *ping = run->state;

	if (ping->asked_ns != 0 && now_ns - ping->asked_ns >= ASK_FOR_NS) {
		begin(run, PING_ICMP, now_ns);
		return;
	}
	if (now_ns < run->next_ns)
		return;
	int rc = send_stamp(c, run, 0, now_ns);
	if (rc == -EAGAIN && now_ns - run->started_ns < ACTIVE_RESOLVE_NS)
		return;
	if (rc != 0) {
		active_say_error(run, rc);
		run->is_done = true;
		return;
	}
	if (ping->asked_ns == 0)
		ping->asked_ns = now_ns;
	run->next_ns = now_ns + ASK_NS;
}

void active_ping_tick(struct control *c, struct active_run *run, uint64_t now_ns)
{
	struct ping *ping = run->state;
	struct stamp_session *s = &ping->session;
	uint8_t mac[6];

	if (run->is_done)
		return;
	if (ping->method == PING_AUTO) {
		ask(c, run, now_ns);
		return;
	}
	stamp_session_tick(s, now_ns);
	if (s->next_seq >= run->count) {
		run->is_done =
			s->oldest == s->next_seq || s->total.received + s->total.lost == run->count;
		return;
	}
	if (now_ns < run->next_ns)
		return;
	/* What cannot be sent for want of a neighbour is not lost on the path. */
	if (!inpath_next_hop_mac(&c->inpath[run->bridge], &run->dst, mac, now_ns)) {
		if (s->next_seq == 0 && now_ns - run->started_ns > ACTIVE_RESOLVE_NS) {
			active_say_error(run, -EAGAIN);
			run->is_done = true;
		}
		return;
	}
	run->next_ns = now_ns - run->next_ns > run->interval_ns ? now_ns : run->next_ns;
	run->next_ns += run->interval_ns;
	uint64_t sent_ns = clock_now_ns();
	uint32_t seq = stamp_session_send(s, sent_ns, active_ntp(c->active, sent_ns));
	int rc = ping->method == PING_STAMP ? send_stamp(c, run, seq, sent_ns)
					    : send_echo(c, run, (uint16_t)seq, sent_ns);
	if (rc != 0) {
		active_say_error(run, rc);
		run->is_done = true;
	}
}

/* ---- in ---- */

/* An answer, with when it was sent at the target (STAMP) or without (echo). */
static void take(struct control *c, struct active_run *run, const struct stamp_answer *answer,
	uint8_t ttl, uint64_t arrived_ns)
{
	struct ping *ping = run->state;
	struct stamp_session *s = &ping->session;
	uint64_t sum_before = s->total.rtt.sum_ns;

	if (stamp_session_receive(s, answer, ttl, arrived_ns, active_ntp(c->active, arrived_ns)) !=
			0 ||
		answer->sender_seq >= run->count)
		return;
	uint64_t rtt_ns = s->total.rtt.sum_ns - sum_before;
	ping->results[answer->sender_seq] =
		(struct result){.rtt_ns = rtt_ns > 0 ? rtt_ns : 1, .ttl = ttl};
}

void active_ping_receive(struct control *c, struct active_run *run, const struct active_packet *p,
	uint64_t arrived_ns)
{
	struct ping *ping = run->state;
	const struct stamp_key key = key_of(c, run);
	struct stamp_answer answer = {0};

	if (p->kind == ACTIVE_UDP) {
		if (ping->method == PING_ICMP || p->sport != ping->dport ||
			stamp_read_answer(p->payload, p->payload_len, &key, &answer) != 0 ||
			(answer.ssid != ping->ssid && answer.ssid != 0))
			return;
		if (ping->method == PING_AUTO)
			begin(run, PING_STAMP, arrived_ns);
		else
			take(c, run, &answer, p->ttl, arrived_ns);
	} else if (p->kind == ACTIVE_ECHO_REPLY) {
		if (ping->method != PING_ICMP)
			return;
		answer.sender_seq = answer.seq = p->seq;
		take(c, run, &answer, p->ttl, arrived_ns);
	} else if (ping->method == PING_AUTO && p->port_unreachable) {
		begin(run, PING_ICMP, arrived_ns); /* it says that it does not speak STAMP */
	} else {
		active_say_icmp(run, p);
	}
}

/* ---- the channel ---- */

static int check(const struct ping_request *q, struct channel_reply *reply)
{
	const char *wrong = q->count < 1 || q->count > COUNT_MAX ? "the count: 1 to 10000"
			    : q->interval_ns < INTERVAL_MIN_NS || q->interval_ns > INTERVAL_MAX_NS
				    ? "the interval: 10 ms to 10 s"
			    : q->dscp > 63	       ? "the DSCP: 0 to 63"
			    : q->size > SIZE_MAX_BYTES ? "the size: up to 9000 bytes"
			    : q->method > PING_ICMP    ? "the method: stamp or icmp"
						       : NULL;

	if (wrong == NULL)
		return 0;
	channel_reply_error(reply, "out of range is %s", wrong);
	return -EINVAL;
}

static int start(struct control *c, const struct ping_request *q, struct channel_reply *reply)
{
	const struct policy *policy = c->daemon->plan->policy;
	uint64_t now_ns = clock_now_ns();

	if (check(q, reply) != 0)
		return -EINVAL;
	struct active_run *run = active_run_start(c, ACTIVE_RUN_PING, reply, now_ns);
	if (run == NULL)
		return -EBUSY;
	int rc = active_find_target(c, run, q->target, reply);
	struct ping *ping = NULL;
	if (rc == 0) {
		ping = calloc(1, sizeof(*ping) + q->count * sizeof(ping->results[0]));
		rc = ping == NULL ? -ENOMEM : 0;
	}
	if (rc != 0) {
		active_run_stop(run);
		return rc;
	}
	run->state = ping;
	run->count = (uint32_t)q->count;
	run->interval_ns = q->interval_ns;
	run->dscp = (uint8_t)q->dscp;
	run->size = (uint16_t)q->size;
	ping->dport = run->peer >= 0 ? policy->peers[run->peer].stamp_port : STAMP_PORT;
	begin(run, (enum channel_ping_method)q->method, now_ns);
	return 0;
}

static void report(const struct control *c, const struct active_run *run, uint64_t from,
	struct channel_reply *reply)
{
	const struct ping *ping = run->state;
	const struct stamp_session *s = &ping->session;
	struct ping_record r = {.family = run->dst.family,
		.method = ping->method,
		.authenticated = ping->method == PING_STAMP && key_of(c, run).len > 0,
		.size = ping->bytes,
		.done = run->is_done,
		.attributed = s->is_attributed,
		.figures = stamp_figures_of(&s->total),
		.next = from};
	uint64_t judged = ping->method == PING_AUTO ? 0 : s->oldest;

	if (run->peer >= 0 && run->peer < c->daemon->plan->policy->peer_count)
		show_name(r.peer, c->daemon->plan->policy->peers[run->peer].name);
	memcpy(r.address, run->dst.bytes, sizeof(r.address));
	snprintf(r.trouble, sizeof(r.trouble), "%s", run->trouble);
	for (; r.next < judged && r.next < run->count && r.replies < PING_REPLIES; r.next++) {
		r.reply[r.replies].number = (uint32_t)r.next;
		r.reply[r.replies].ttl = ping->results[r.next].ttl;
		r.reply[r.replies++].rtt_ns = ping->results[r.next].rtt_ns;
	}
	channel_send_ping(reply, &r);
}

int active_ping(void *context, const struct ping_request *q, struct channel_reply *reply)
{
	struct control *c = context;
	struct active_run *run;

	if (q->action == RUN_START)
		return start(c, q, reply);
	run = active_run_find(c, ACTIVE_RUN_PING, reply, clock_now_ns());
	if (run == NULL)
		return -ENOENT;
	report(c, run, q->from, reply);
	if (q->action == RUN_STOP)
		active_run_stop(run);
	return 0;
}
