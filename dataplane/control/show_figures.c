/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `show rtt`, `show loss`, `show box`, `show history`: what is measured, of the last second to the
 * last day. Control thread only.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "dataplane/clock.h"
#include "dataplane/control/peers.h"
#include "dataplane/control/show.h"
#include "dataplane/control/windows_feed.h"
#include "dataplane/measure/record.h"

#define SECOND_NS UINT64_C(1000000000)

static_assert((int)CHANNEL_WINDOWS == (int)WINDOWS, "the same order");
static_assert((int)CHANNEL_HISTORY_FIGURES == (int)HISTORY_FIGURES, "the same order");

int show_check_window(uint64_t window, struct channel_reply *reply)
{
	if (window < WINDOWS)
		return 0;
	channel_reply_error(reply, "unknown window");
	return -EINVAL;
}

/* A class's distribution over the window; *window_ns grows to what it covers. */
static struct channel_dist dist_of(const struct control *c, uint32_t id,
	enum feed_class_histogram which, unsigned way, uint64_t window, uint64_t *window_ns)
{
	static struct histogram sum; /* too large for the stack */
	uint32_t seconds;

	memset(&sum, 0, sizeof(sum));
	if (feed_class(c, id, which, way, (enum window)window, &sum, &seconds))
		*window_ns = RTE_MAX(*window_ns, seconds * SECOND_NS);
	return measure_dist(&sum);
}

/* Whether a class is to be shown: it has distributions of its own. */
static bool is_measured(const struct control *c, uint32_t index)
{
	return c->daemon->plan->class_id_of[index] < c->daemon->workers[0]->measured;
}

/* Round trips of what is not TCP. */
static void fill_datagrams(const struct daemon *d, uint32_t id, struct rtt_record *r)
{
	static struct measure_datagrams sum; /* too large for the stack */

	memset(&sum, 0, sizeof(sum));
	for (unsigned w = 0; w < d->worker_count; w++)
		measure_datagrams_merge(&sum, &d->workers[w]->datagrams[id]);
	for (unsigned side = 0; side < 2; side++) {
		r->icmp[side] = measure_dist(&sum.echo[side]);
		r->dns[side] = measure_dist(&sum.dns[side]);
		r->quic[side] = measure_dist(&sum.spin[side]);
	}
}

int show_rtt(void *context, const struct window_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	const struct policy *policy = c->daemon->plan->policy;
	uint64_t start_ns = clock_now_ns();

	if (show_check_window(request->window, reply) != 0)
		return -EINVAL;
	for (uint64_t at = request->from; at < policy->class_count; at++) {
		uint32_t id = c->daemon->plan->class_id_of[at];
		struct rtt_record r = {0};

		if (channel_reply_room(reply) == 0 ||
			(at > request->from && clock_now_ns() - start_ns > SHOW_PAGE_NS)) {
			channel_reply_next(reply, at, policy->class_count);
			return 0;
		}
		if (!is_measured(c, (uint32_t)at))
			continue;
		r.lan = dist_of(c, id, FEED_RTT_LAN, 0, request->window, &r.window_ns);
		r.wan = dist_of(c, id, FEED_RTT_WAN, 0, request->window, &r.window_ns);
		r.connect = dist_of(c, id, FEED_CONNECT, 0, request->window, &r.window_ns);
		r.lan_delayed = feed_class_counter(
			c, id, FEED_RTT_DELAYED, WAY_UP, (enum window)request->window);
		r.wan_delayed = feed_class_counter(
			c, id, FEED_RTT_DELAYED, WAY_DOWN, (enum window)request->window);
		if (request->window == WINDOW_ALL)
			fill_datagrams(c->daemon, id, &r);
		show_name(r.class_name, policy->classes[at].name);
		channel_send_rtt(reply, &r);
	}
	return 0;
}

static_assert(STAGE_COUNT <= CHANNEL_STAGES, "room for all of them");

static void fill_cost(const struct daemon *d, uint32_t id, unsigned way, struct box_record *r)
{
	for (unsigned w = 0; w < d->worker_count; w++) {
		const struct worker_cost *cost = &d->workers[w]->cost[id * WAYS + way];

		for (unsigned s = 0; s < STAGE_COUNT; s++) {
			r->stage[s].cycles +=
				__atomic_load_n(&cost->stage[s].cycles, __ATOMIC_RELAXED);
			r->stage[s].packets +=
				__atomic_load_n(&cost->stage[s].packets, __ATOMIC_RELAXED);
		}
	}
}

int show_box(void *context, const struct window_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	const struct policy *policy = c->daemon->plan->policy;
	uint64_t start_ns = clock_now_ns(), total = (uint64_t)policy->class_count * WAYS;

	if (show_check_window(request->window, reply) != 0)
		return -EINVAL;
	for (uint64_t at = request->from; at < total; at++) {
		unsigned way = (unsigned)(at % WAYS);
		struct box_record r = {.way = way};

		if (channel_reply_room(reply) == 0 ||
			(at > request->from && clock_now_ns() - start_ns > SHOW_PAGE_NS)) {
			channel_reply_next(reply, at, total);
			return 0;
		}
		if (!is_measured(c, (uint32_t)(at / WAYS)))
			continue;
		uint32_t id = c->daemon->plan->class_id_of[at / WAYS];
		r.box = dist_of(c, id, FEED_BOX, way, request->window, &r.window_ns);
		r.queue = dist_of(c, id, FEED_QUEUE, way, request->window, &r.window_ns);
		fill_cost(c->daemon, id, way, &r);
		show_name(r.class_name, policy->classes[at / WAYS].name);
		channel_send_box(reply, &r);
	}
	return 0;
}

/* Since the start: a maximum has no windows. */
static uint64_t reorder_max_bytes(const struct daemon *d, uint32_t id, unsigned way)
{
	unsigned from = way == WAY_UP ? FROM_LAN : FROM_WAN;
	uint64_t most = 0;

	for (unsigned w = 0; w < d->worker_count; w++)
		most = RTE_MAX(most, worker_measure(d->workers[w], id)->reorder_max_bytes[from]);
	return most;
}

/* What a class's TCP lost, way by way. */
static void fill_class_loss(
	struct control *c, uint32_t index, unsigned way, uint64_t window, struct loss_record *r)
{
	uint32_t id = c->daemon->plan->class_id_of[index];
	enum window w = (enum window)window;

	show_name(r->class_name, c->daemon->plan->policy->classes[index].name);
	r->way = way;
	dist_of(c, id, FEED_RTT_LAN, 0, window, &r->window_ns);
	r->packets = feed_class_counter(c, id, FEED_DATA, way, w);
	r->lost_before = feed_class_counter(c, id, FEED_LOST_BEFORE, way, w);
	r->reordered = feed_class_counter(c, id, FEED_REORDERED, way, w);
	r->duplicate = feed_class_counter(c, id, FEED_NEEDLESS, way, w);
	r->fast = feed_class_counter(c, id, FEED_FAST, way, w);
	r->timeout = feed_class_counter(c, id, FEED_TIMEOUT, way, w);
	r->dsacks = feed_class_counter(c, id, FEED_DSACKS, way, w);
	r->copies = feed_class_counter(c, id, FEED_COPIES, way, w);
	r->ce = feed_class_counter(c, id, FEED_CE, way, w);
	r->zero_windows = feed_class_counter(c, id, FEED_ZERO_WINDOWS, way, w);
	for (unsigned limit = 0; limit < CHANNEL_LIMITS; limit++)
		r->limited_ns[limit] =
			feed_class_counter(c, id, FEED_LIMITED_NS + 2 * limit, way, w);
	r->connections = feed_class_counter(c, id, FEED_CONNECTIONS, way, w);
	r->syn_retries = feed_class_counter(c, id, FEED_SYN_RETRIES, way, w);
	r->refused = feed_class_counter(c, id, FEED_REFUSED, way, w);
	r->timed_out = feed_class_counter(c, id, FEED_TIMED_OUT, way, w);
	r->resets = feed_class_counter(c, id, FEED_RESETS, way, w);
	r->reorder_max_bytes = reorder_max_bytes(c->daemon, id, way);
	r->lost_after = feed_class_lost_after(c, id, way, w);
}

/* What came from a peer: in all with its hellos, over a window without them. */
static void fill_peer_loss(
	struct control *c, unsigned i, uint64_t window, uint64_t now_ns, struct loss_record *r)
{
	static struct histogram ignored;
	struct link_seq_counts counts, hellos;
	uint32_t seconds = 0;

	show_name(r->peer, c->daemon->plan->policy->peers[i].name);
	r->way = WAY_DOWN;
	if (feed_peer(c, i, FEED_VARIATION, (enum window)window, &ignored, &seconds))
		r->window_ns = seconds * SECOND_NS;
	if (window == WINDOW_ALL) {
		peers_received(c, i, now_ns, &counts);
		link_seq_read(&c->peers->peer[i].session.control, NULL, now_ns, &hellos);
		link_seq_counts_add(&counts, &hellos);
		r->packets = counts.unique + counts.lost;
		r->lost_before = counts.lost;
		r->reordered = counts.reordered;
		r->duplicate = counts.duplicates;
		return;
	}
	enum window w = (enum window)window;
	r->lost_before = feed_peer_counter(c->feed, i, FEED_PEER_LOST, w);
	r->packets = feed_peer_counter(c->feed, i, FEED_PEER_UNIQUE, w) + r->lost_before;
	r->reordered = feed_peer_counter(c->feed, i, FEED_PEER_REORDERED, w);
	r->duplicate = feed_peer_counter(c->feed, i, FEED_PEER_DUPLICATES, w);
}

int show_loss(void *context, const struct window_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	const struct policy *policy = c->daemon->plan->policy;
	uint64_t classes = (uint64_t)policy->class_count * WAYS, total = classes + c->peers->count;
	uint64_t now_ns = clock_now_ns();

	if (show_check_window(request->window, reply) != 0)
		return -EINVAL;
	for (uint64_t at = request->from; at < total; at++) {
		struct loss_record r = {0};

		if (channel_reply_room(reply) == 0 ||
			(at > request->from && clock_now_ns() - now_ns > SHOW_PAGE_NS)) {
			channel_reply_next(reply, at, total);
			return 0;
		}
		if (at >= classes)
			fill_peer_loss(c, (unsigned)(at - classes), request->window, now_ns, &r);
		else if (is_measured(c, (uint32_t)(at / WAYS)))
			fill_class_loss(c, (uint32_t)(at / WAYS), (unsigned)(at % WAYS),
				request->window, &r);
		else
			continue;
		channel_send_loss(reply, &r);
	}
	return 0;
}

/* ---- history ---- */

/* The subject's place in the history, or a negative errno after saying why not. */
static int find_subject(
	struct control *c, const struct history_request *request, struct channel_reply *reply)
{
	const struct policy *policy = c->daemon->plan->policy;
	int index, subject;

	switch (request->subject) {
	case CHANNEL_APPLIANCE:
		return history_subject_box();
	case CHANNEL_LINK:
		for (unsigned b = 0; b < policy->bridge_count; b++)
			if (strcmp(policy->bridges[b].name, request->name) == 0)
				return history_subject_link(b);
		channel_reply_error(reply, "unknown link '%s'", request->name);
		return -ENOENT;
	case CHANNEL_PEER:
		for (unsigned i = 0; i < policy->peer_count; i++)
			if (strcmp(policy->peers[i].name, request->name) == 0)
				return history_subject_peer(i);
		channel_reply_error(reply, "unknown peer '%s'", request->name);
		return -ENOENT;
	case CHANNEL_CLASS:
		index = policy_find_class(policy, request->name);
		if (index < 0)
			return show_unknown_class(policy, request->name, reply);
		subject = history_subject_class(c->history, c->daemon->plan->class_id_of[index]);
		if (subject < 0)
			channel_reply_error(reply,
				"class '%s' has no history: the first %u classes have one",
				request->name, HISTORY_CLASSES_MAX);
		return subject < 0 ? -ENOENT : subject;
	default:
		channel_reply_error(reply, "unknown subject");
		return -EINVAL;
	}
}

int show_history(void *context, const struct history_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	uint64_t now_ns = clock_now_ns(), step_ns = HISTORY_STEP_S * SECOND_NS;
	uint64_t last = history_step_of(now_ns);
	uint64_t back = RTE_MIN(request->span_ns / step_ns, HISTORY_ROWS);
	uint64_t first = last > back ? last - back : 0;
	int subject = find_subject(c, request, reply);

	if (subject < 0)
		return subject;
	for (uint64_t step = RTE_MAX(first, request->from); step < last; step++) {
		const struct history_row *row =
			history_feed_row(c->history, (unsigned)subject, step);
		struct history_record r = {0};

		if (row == NULL)
			continue;
		if (channel_reply_room(reply) == 0) {
			channel_reply_next(reply, step, 0);
			return 0;
		}
		r.end_realtime_ns = control_realtime_ns() - (now_ns - (step + 1) * step_ns);
		for (unsigned i = 0; i < HISTORY_FIGURES; i++) {
			if (isnan(row->figure[i]))
				continue;
			r.known |= UINT64_C(1) << i;
			r.figure[i] = (double)row->figure[i];
		}
		channel_send_history(reply, &r);
	}
	return 0;
}
