/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `sluicectl trace`: which routers are on the way to a target, and what each loses and takes, in
 * the manner of mtr. Round after round an ICMP echo request goes out with each TTL from 1 up to the
 * target's distance; the router at which a TTL runs out says so (RFC 792, 4443). All probes have
 * the same checksum, so that routers with several ways take one for all of them.
 */
#include "dataplane/control/active.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/clock.h"
#include "dataplane/control/control.h"
#include "dataplane/control/show.h"
#include "dataplane/measure/record.h"

#define ROUNDS_MAX 1000u
#define HOPS_MAX 32u /* a power of two: the number of a probe is round * 32 + hop - 1 */
#define INTERVAL_MIN_NS UINT64_C(100000000)
#define INTERVAL_MAX_NS UINT64_C(60000000000)
#define SPACING_NS UINT64_C(10000000) /* between the probes of a round */
#define PENDING 2048u
#define SIZE_LEAST 60u
#define SIZE_MOST 9000u

struct hop {
	uint64_t sent, received; /* judged: answered, or given up */
	uint64_t last_ns;
	struct histogram rtt;
	unsigned addresses;
	uint8_t address[TRACE_ADDRESSES][16]; /* the newest first */
};

struct trace {
	uint32_t round;	  /* begun */
	uint8_t next_hop; /* to be sent in it, counted from 0 */
	uint8_t max_hops;
	uint8_t distance; /* of the target, or of who says that it cannot be reached; 0: not known
			   */
	uint8_t farthest; /* hop that answered */
	bool is_reached;
	uint64_t round_ns;     /* when the round began */
	uint16_t oldest, next; /* numbers of probes, not judged yet */
	struct {
		uint16_t seq;
		uint8_t hop;
		bool is_pending;
		uint64_t sent_ns;
	} pending[PENDING];
	uint32_t sent; /* probes */
	struct hop hops[HOPS_MAX];
};

static uint8_t limit_of(const struct trace *t)
{
	return t->distance != 0 ? t->distance : t->max_hops;
}

static void give_up(struct trace *t, uint64_t now_ns)
{
	for (; t->oldest != t->next; t->oldest++) {
		unsigned at = t->oldest % PENDING;

		if (!t->pending[at].is_pending)
			continue;
		/* A full table gives up early. */
		if (now_ns - t->pending[at].sent_ns < ACTIVE_LOST_NS &&
			(uint16_t)(t->next - t->oldest) < PENDING)
			return;
		t->pending[at].is_pending = false;
		t->hops[t->pending[at].hop].sent++;
	}
}

static int send_probe(struct control *c, struct active_run *run, uint64_t now_ns)
{
	struct trace *t = run->state;
	uint32_t headers = ACTIVE_IP_BYTES(run->dst.family) + ACTIVE_L4_BYTES;
	struct active_packet packet = {.dst = run->dst,
		.ttl = (uint8_t)(t->next_hop + 1),
		.dscp = run->dscp,
		.is_echo = true,
		.id = run->id,
		.seq = t->next,
		.payload_len = run->size - headers};
	unsigned at = t->next % PENDING;
	uint64_t sent_ns = clock_now_ns();
	int rc = active_send(c, run->bridge, &packet, now_ns);

	if (rc != 0)
		return rc;
	t->pending[at].seq = t->next;
	t->pending[at].hop = t->next_hop;
	t->pending[at].is_pending = true;
	t->pending[at].sent_ns = sent_ns;
	t->next++;
	t->next_hop++;
	t->sent++;
	return 0;
}

void trace_tick(struct control *c, struct active_run *run, uint64_t now_ns)
{
	struct trace *t = run->state;

	if (run->is_done)
		return;
	give_up(t, now_ns);
	if (t->next_hop >= limit_of(t)) { /* the round is complete */
		if (t->round == run->count) {
			run->is_done = t->oldest == t->next;
			return;
		}
		run->next_ns = t->round_ns + run->interval_ns;
		if (now_ns < run->next_ns)
			return;
		t->next_hop = 0;
	}
	if (now_ns < run->next_ns)
		return;
	int rc = send_probe(c, run, now_ns);
	if (rc == -EAGAIN && (t->sent > 0 || now_ns - run->started_ns < ACTIVE_RESOLVE_NS))
		return;
	if (rc != 0) {
		active_say_error(run, rc);
		run->is_done = true;
		return;
	}
	if (t->next_hop == 1) {
		t->round++;
		t->round_ns = now_ns;
	}
	run->next_ns = now_ns + SPACING_NS;
}

static void remember_address(struct hop *hop, const uint8_t address[16])
{
	unsigned i = 0;

	while (i < hop->addresses && memcmp(hop->address[i], address, 16) != 0)
		i++;
	if (i == hop->addresses && hop->addresses < TRACE_ADDRESSES)
		hop->addresses++;
	if (i == TRACE_ADDRESSES)
		i--; /* the oldest is forgotten */
	memmove(hop->address[1], hop->address[0], 16 * i);
	memcpy(hop->address[0], address, 16);
}

void trace_receive(struct control *c, struct active_run *run, const struct active_packet *p,
	uint64_t arrived_ns)
{
	struct trace *t = run->state;
	unsigned at = p->seq % PENDING;

	if (!p->is_echo || !t->pending[at].is_pending || t->pending[at].seq != p->seq)
		return;
	if (p->kind == ACTIVE_TOO_BIG) {
		active_say_icmp(run, p);
		return;
	}
	uint64_t sent_ns = t->pending[at].sent_ns;
	uint8_t number = t->pending[at].hop;
	struct hop *hop = &t->hops[number];
	t->pending[at].is_pending = false;
	hop->sent++;
	hop->received++;
	hop->last_ns = arrived_ns > sent_ns ? arrived_ns - sent_ns : 1;
	histogram_record(&hop->rtt, hop->last_ns);
	remember_address(hop, p->src.bytes);
	if (number + 1 > t->farthest)
		t->farthest = (uint8_t)(number + 1);
	if (p->kind == ACTIVE_UNREACHABLE)
		active_say_icmp(run, p);
	if (p->kind == ACTIVE_TIME_EXCEEDED)
		return;
	/* The target itself, or the end of the way. */
	t->is_reached |= p->kind == ACTIVE_ECHO_REPLY;
	if (t->distance == 0 || number + 1 < t->distance)
		t->distance = (uint8_t)(number + 1);
}

/* ---- the channel ---- */

static int check(const struct trace_request *q, struct channel_reply *reply)
{
	const char *wrong = q->rounds < 1 || q->rounds > ROUNDS_MAX ? "the count: 1 to 1000 rounds"
			    : q->interval_ns < INTERVAL_MIN_NS || q->interval_ns > INTERVAL_MAX_NS
				    ? "the interval: 100 ms to 60 s"
			    : q->max_hops < 1 || q->max_hops > HOPS_MAX ? "the hops: 1 to 32"
			    : q->dscp > 63				? "the DSCP: 0 to 63"
			    : q->size > SIZE_MOST || (q->size != 0 && q->size < SIZE_LEAST)
				    ? "the size: 60 to 9000 bytes"
				    : NULL;

	if (wrong == NULL)
		return 0;
	channel_reply_error(reply, "out of range is %s", wrong);
	return -EINVAL;
}

static int start(struct control *c, const struct trace_request *q, struct channel_reply *reply)
{
	if (check(q, reply) != 0)
		return -EINVAL;
	struct active_run *run = active_run_start(c, ACTIVE_RUN_TRACE, reply, clock_now_ns());
	if (run == NULL)
		return -EBUSY;
	int rc = active_find_target(c, run, q->target, reply);
	if (rc == 0)
		run->state = calloc(1, sizeof(struct trace));
	if (rc == 0 && run->state == NULL)
		rc = -ENOMEM;
	if (rc != 0) {
		active_run_stop(run);
		return rc;
	}
	run->count = (uint32_t)q->rounds;
	run->interval_ns = q->interval_ns;
	run->dscp = (uint8_t)q->dscp;
	run->size = (uint16_t)(q->size != 0 ? q->size : SIZE_LEAST);
	((struct trace *)run->state)->max_hops = (uint8_t)q->max_hops;
	return 0;
}

static void report(
	const struct control *c, const struct active_run *run, struct channel_reply *reply)
{
	const struct trace *t = run->state;
	const struct policy *policy = c->daemon->plan->policy;
	uint8_t last = t->distance != 0 ? t->distance : t->farthest;
	struct trace_record r = {.family = run->dst.family,
		.done = run->is_done,
		.rounds = t->round,
		.reached = t->is_reached};

	if (run->peer >= 0 && run->peer < policy->peer_count)
		show_name(r.peer, policy->peers[run->peer].name);
	memcpy(r.target, run->dst.bytes, sizeof(r.target));
	snprintf(r.trouble, sizeof(r.trouble), "%s", run->trouble);
	if (last == 0)
		channel_send_trace(reply, &r);
	for (unsigned i = 0; i < last; i++) {
		const struct hop *hop = &t->hops[i];

		r.hop = i + 1;
		r.addresses = hop->addresses;
		memcpy(r.address, hop->address, sizeof(r.address));
		r.sent = hop->sent;
		r.received = hop->received;
		r.rtt = measure_dist(&hop->rtt);
		r.last_ns = hop->last_ns;
		channel_send_trace(reply, &r);
	}
}

int trace_run(void *context, const struct trace_request *q, struct channel_reply *reply)
{
	struct control *c = context;

	if (q->action == RUN_START)
		return start(c, q, reply);
	struct active_run *run = active_run_find(c, ACTIVE_RUN_TRACE, reply, clock_now_ns());
	if (run == NULL)
		return -ENOENT;
	report(c, run, reply);
	if (q->action == RUN_STOP)
		active_run_stop(run);
	return 0;
}
