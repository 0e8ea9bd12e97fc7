/* SPDX-License-Identifier: BSD-3-Clause */
/* Probes out and in, rates in force: track.h. */
#include "dataplane/control/track.h"

#include <stdlib.h>

#include "dataplane/control/control.h"
#include "dataplane/control/peers.h"
#include "dataplane/control/track_rate.h"

#define STEP_NS UINT64_C(20000000)
#define LOADS 25 /* steps over which the load is taken: half a second */
/* Probes take 1 % of the rate in force, within these bounds. On the wire one has, over IPv4: */
#define PROBE_WIRE_BITS ((14 + 20 + 8 + LINK_PROBE_MESSAGE_BYTES + 24) * 8)
#define PROBE_SHARE 100
#define INTERVAL_MIN_MS 25u
#define INTERVAL_MAX_MS 100u
/* Where most of the traffic goes: a probe that overtakes the queue sees none. */
#define PROBE_DSCP 0
/* Workers may still be taking over a plan when it is published: its own rate would come later. */
#define ADOPTED_NS UINT64_C(2000000000)
#define RTT_MAX_NS UINT64_C(1000000000)

struct way_state {
	bool on;
	struct track_rate rate;
	uint64_t applied_bps;
	uint64_t queue_ns; /* shown */
	uint64_t load_bytes[LOADS], load_ns[LOADS];
	unsigned loads;
};

struct track {
	uint32_t generation; /* of the policy that the bridges follow */
	uint64_t adopted_ns; /* since when */
	uint64_t step_ns;
	uint16_t interval_ms[POLICY_BRIDGES_MAX]; /* of the probes of its peers; 0: needs none */
	struct way_state way[POLICY_BRIDGES_MAX][WAYS];
	struct track_path path[POLICY_PEERS_MAX];
};

struct track *track_create(void)
{
	return calloc(1, sizeof(struct track));
}

void track_destroy(struct track *track)
{
	free(track);
}

/* All that crossed the WAN side of a bridge, as charged to its rate. */
static uint64_t wan_bytes(const struct daemon *d, unsigned bridge, unsigned way)
{
	int64_t overhead = d->plan->policy->bridges[bridge].overhead_bytes;
	uint64_t bytes = 0;

	for (unsigned i = 0; i < d->worker_count; i++) {
		const struct worker *w = d->workers[i];
		uint64_t packets = __atomic_load_n(&w->wan_packets[bridge][way], __ATOMIC_RELAXED);
		bytes += __atomic_load_n(&w->wan_bytes[bridge][way], __ATOMIC_RELAXED) +
			 (uint64_t)((int64_t)packets * overhead);
	}
	return bytes;
}

/* ---- what the policy wants ---- */

static uint16_t interval_ms(uint64_t rate_bps)
{
	uint64_t ms = UINT64_C(1000) * PROBE_SHARE * PROBE_WIRE_BITS / rate_bps;

	return (uint16_t)(ms < INTERVAL_MIN_MS	 ? INTERVAL_MIN_MS
			  : ms > INTERVAL_MAX_MS ? INTERVAL_MAX_MS
						 : ms);
}

/* One stream of probes serves both ways: the slower of those that are tracked must bear it. */
static void choose_interval(struct track *t, unsigned bridge)
{
	struct way_state *way = t->way[bridge];
	uint64_t least_bps = UINT64_MAX;

	for (unsigned w = 0; w < WAYS; w++)
		if (way[w].on)
			least_bps = RTE_MIN(least_bps, way[w].rate.rate_bps);
	t->interval_ms[bridge] = least_bps == UINT64_MAX ? 0 : interval_ms(least_bps);
	for (unsigned w = 0; w < WAYS; w++)
		way[w].rate.config.interval_ns = t->interval_ms[bridge] * UINT64_C(1000000);
}

static void follow_way(
	struct way_state *w, uint64_t min_bps, uint64_t max_bps, bool is_up, uint64_t now_ns)
{
	const struct track_rate_config config = {
		.min_bps = min_bps, .max_bps = max_bps, .is_up = is_up};
	bool was_on = w->on;

	w->on = min_bps != 0 && max_bps != 0;
	if (w->on && was_on)
		track_rate_bounds(&w->rate, &config);
	else if (w->on)
		track_rate_init(&w->rate, &config, now_ns);
}

static void follow_policy(struct control *c, uint64_t now_ns)
{
	const struct policy *policy = c->daemon->plan->policy;
	struct track *t = c->track;

	for (unsigned b = 0; b < c->daemon->bridge_count; b++) {
		const struct policy_bridge *bridge = &policy->bridges[b];

		follow_way(&t->way[b][WAY_UP], bridge->up_min_bps, bridge->up_bps, true, now_ns);
		follow_way(&t->way[b][WAY_DOWN], bridge->down_min_bps, bridge->down_bps, false,
			now_ns);
		choose_interval(t, b);
	}
	t->generation = c->generation;
	t->adopted_ns = now_ns;
}

/* ---- probes ---- */

static void send_probe(struct control *c, unsigned i, uint64_t now_ns)
{
	const struct policy_peer *p = &c->daemon->plan->policy->peers[i];
	const struct link_session *s = &c->peers->peer[i].session;
	struct track_path *path = &c->track->path[i];
	uint8_t message[LINK_PROBE_MESSAGE_BYTES],
		frame[LINK_PROBE_MESSAGE_BYTES + LINK_HEADERS_MAX];
	struct control_side context = {c->daemon, p->bridge};
	struct link_probe probe;

	if (path->session_id != s->session_id)
		track_path_reset(path, s->session_id);
	if (!s->alive || !track_path_probe(path, c->track->interval_ms[p->bridge],
				 wan_bytes(c->daemon, p->bridge, WAY_UP), now_ns, &probe))
		return;
	int len = link_probe_write(s, &probe, message, sizeof(message));
	if (len > 0)
		len = inpath_build_udp(&c->inpath[p->bridge], &p->address, LINK_CONTROL_SOURCE_PORT,
			p->port, PROBE_DSCP, message, (uint32_t)len, frame, sizeof(frame), now_ns,
			control_emit, &context);
	/* While the next hop is not known it is lost, and seen as lost. */
	if (len > 0)
		control_emit(&context, INPATH_WAN, frame, (uint32_t)len);
}

void track_receive(
	struct control *c, unsigned peer, const uint8_t *message, size_t len, uint64_t arrived_ns)
{
	const struct link_session *s = &c->peers->peer[peer].session;
	struct track_path *path = &c->track->path[peer];
	unsigned bridge = c->daemon->plan->policy->peers[peer].bridge;
	struct link_probe probe;

	if (link_probe_read(s, message, len, &probe) != 0)
		return;
	if (path->session_id != s->session_id)
		track_path_reset(path, s->session_id);
	track_path_receive(path, &probe, wan_bytes(c->daemon, bridge, WAY_DOWN), arrived_ns);
}

/* ---- rates ---- */

static uint64_t load_bps(struct way_state *w, uint64_t bytes, uint64_t now_ns)
{
	unsigned at = w->loads % LOADS;
	unsigned oldest = w->loads < LOADS ? 0 : at;
	uint64_t from_ns = w->loads == 0 ? now_ns : w->load_ns[oldest];
	uint64_t from_bytes = w->loads == 0 ? bytes : w->load_bytes[oldest];

	w->load_bytes[at] = bytes;
	w->load_ns[at] = now_ns;
	w->loads++;
	/* Less than before: the policy has another overhead. */
	return now_ns <= from_ns || bytes < from_bytes
		       ? 0
		       : (uint64_t)((double)(bytes - from_bytes) * 8e9 /
				    (double)(now_ns - from_ns));
}

/*
 * The figures of the peer that sees the least queue: the access link is what all paths share, so a
 * queue in it shows to every peer, and one that only some see is elsewhere.
 */
static void least_queue(
	struct control *c, unsigned bridge, unsigned way, uint64_t now_ns, struct track_input *in)
{
	const struct policy *policy = c->daemon->plan->policy;

	for (unsigned i = 0; i < c->peers->count; i++) {
		const struct track_path *path = &c->track->path[i];
		const struct track_figures *f =
			way == WAY_UP ? &path->up.figures : &path->down.figures;
		bool is_fresh = f->fresh_ns != 0 && now_ns - f->fresh_ns <= TRACK_SILENCE_NS;
		bool have_fresh = in->figures.fresh_ns != 0 &&
				  now_ns - in->figures.fresh_ns <= TRACK_SILENCE_NS;
		bool is_better = is_fresh && have_fresh ? f->queue_ns < in->figures.queue_ns
							: f->fresh_ns > in->figures.fresh_ns;

		if (policy->peers[i].bridge != bridge || !is_better)
			continue;
		in->figures = *f;
		in->rtt_ns = RTE_MIN(c->peers->peer[i].session.rtt_ns, RTT_MAX_NS);
	}
}

static void rebase_all(struct control *c, unsigned bridge, unsigned way, uint64_t now_ns)
{
	for (unsigned i = 0; i < c->peers->count; i++) {
		struct track_path *path = &c->track->path[i];
		if (c->daemon->plan->policy->peers[i].bridge == bridge)
			track_way_rebase(way == WAY_UP ? &path->up : &path->down, now_ns);
	}
}

static void apply(struct control *c, unsigned bridge, unsigned way, uint64_t now_ns)
{
	const struct policy_bridge *b = &c->daemon->plan->policy->bridges[bridge];
	struct way_state *w = &c->track->way[bridge][way];
	uint64_t rate_bps = w->on ? w->rate.rate_bps : way == WAY_UP ? b->up_bps : b->down_bps;
	bool is_adopting = now_ns - c->track->adopted_ns < ADOPTED_NS;

	if (!w->on && w->applied_bps == 0)
		return; /* the plan's own rate holds */
	if (rate_bps != w->applied_bps || is_adopting)
		shaper_shared_set_link(c->daemon->shaper_shared[bridge][way], rate_bps, now_ns);
	w->applied_bps = w->on || is_adopting ? rate_bps : 0;
}

static void step_way(struct control *c, unsigned bridge, unsigned way, uint64_t now_ns)
{
	struct way_state *w = &c->track->way[bridge][way];
	uint64_t bytes = wan_bytes(c->daemon, bridge, way);
	struct track_input in = {.up_bytes = bytes, .load_bps = load_bps(w, bytes, now_ns)};
	bool rebase = false;

	least_queue(c, bridge, way, now_ns, &in);
	w->queue_ns = in.figures.queue_ns;
	track_rate_step(&w->rate, &in, now_ns, &rebase);
	if (rebase)
		rebase_all(c, bridge, way, now_ns);
}

void track_tick(struct control *c, uint64_t now_ns)
{
	struct track *t = c->track;

	if (t->generation != c->generation)
		follow_policy(c, now_ns);
	for (unsigned i = 0; i < c->peers->count; i++)
		send_probe(c, i, now_ns);
	if (now_ns - t->step_ns < STEP_NS)
		return;
	t->step_ns = now_ns;
	for (unsigned b = 0; b < c->daemon->bridge_count; b++) {
		for (unsigned way = 0; way < WAYS; way++) {
			if (t->way[b][way].on)
				step_way(c, b, way, now_ns);
			apply(c, b, way, now_ns);
		}
		choose_interval(t, b);
	}
}

void track_show(const struct track *track, unsigned bridge, unsigned way, struct track_shown *shown)
{
	const struct way_state *w = &track->way[bridge][way];

	*shown = (struct track_shown){0};
	if (!w->on)
		return;
	*shown = (struct track_shown){.rate_bps = w->rate.rate_bps,
		.queue_ns = w->queue_ns,
		.increases = w->rate.increases,
		.decreases = w->rate.decreases,
		.rebases = w->rate.rebases};
}
