/* SPDX-License-Identifier: BSD-3-Clause */
/* Rows of history from the windows of the last 10 s: history_feed.h. */
#include "dataplane/control/history_feed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/control/control.h"
#include "dataplane/control/peers.h"
#include "dataplane/control/windows_feed.h"

#define STEP_NS (HISTORY_STEP_S * UINT64_C(1000000000))
/* Subjects: the appliance, bridges, peers, classes. */
#define FIRST_LINK 1u
#define FIRST_PEER (FIRST_LINK + POLICY_BRIDGES_MAX)
#define FIRST_CLASS (FIRST_PEER + POLICY_PEERS_MAX)

struct history_feed {
	struct history *history;
	uint32_t classes;
	uint64_t step; /* of the last rows */
	char name[HISTORY_CLASSES_MAX][POLICY_NAME_MAX];
};

static uint32_t classes_of(const struct policy *policy)
{
	const struct policy_appliance *a = &policy->appliance;

	uint32_t measured = RTE_MIN(a->classes, a->distributions);

	return RTE_MIN(measured, HISTORY_CLASSES_MAX);
}

uint64_t history_feed_memory_needed(const struct policy *policy)
{
	/* Rings of subjects that there are not are never touched. */
	return sizeof(struct history_feed) +
	       history_memory_needed(
		       1 + policy->bridge_count + policy->peer_count + classes_of(policy));
}

struct history_feed *history_feed_create(const struct policy *policy)
{
	struct history_feed *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->classes = classes_of(policy);
	f->history = history_create(FIRST_CLASS + f->classes);
	if (f->history == NULL) {
		free(f);
		return NULL;
	}
	return f;
}

void history_feed_destroy(struct history_feed *f)
{
	if (f != NULL)
		history_destroy(f->history);
	free(f);
}

int history_subject_box(void)
{
	return 0;
}

int history_subject_link(unsigned bridge)
{
	return bridge < POLICY_BRIDGES_MAX ? (int)(FIRST_LINK + bridge) : -1;
}

int history_subject_peer(unsigned peer)
{
	return peer < POLICY_PEERS_MAX ? (int)(FIRST_PEER + peer) : -1;
}

int history_subject_class(const struct history_feed *f, uint32_t class_id)
{
	return class_id < f->classes ? (int)(FIRST_CLASS + class_id) : -1;
}

uint64_t history_step_of(uint64_t now_ns)
{
	return now_ns / STEP_NS;
}

const struct history_row *history_feed_row(
	const struct history_feed *f, unsigned subject, uint64_t step)
{
	return history_read(f->history, subject, step);
}

/* ---- figures ---- */

static void clear(struct history_row *row)
{
	for (unsigned i = 0; i < HISTORY_FIGURES; i++)
		row->figure[i] = NAN;
}

static float share(uint64_t part, uint64_t whole)
{
	return whole == 0 ? NAN : (float)part / (float)whole;
}

static float rate_bps(uint64_t bytes)
{
	return (float)bytes * 8 / HISTORY_STEP_S;
}

/* Classes first..last together: what is measured of their packets. */
static float percentile(const struct control *c, uint32_t first, uint32_t last,
	enum feed_class_histogram which, unsigned way, double percent)
{
	static struct histogram sum; /* too large for the stack */
	uint32_t seconds;

	memset(&sum, 0, sizeof(sum));
	for (uint32_t id = first; id <= last; id++)
		feed_class(c, id, which, way, WINDOW_10S, &sum, &seconds);
	return sum.count == 0 ? NAN : (float)histogram_percentile(&sum, percent);
}

static void fill_measured(
	const struct control *c, uint32_t first, uint32_t last, struct history_row *row)
{
	float *f = row->figure;

	f[HISTORY_RTT_LAN_P50] = percentile(c, first, last, FEED_RTT_LAN, 0, 50);
	f[HISTORY_RTT_LAN_P99] = percentile(c, first, last, FEED_RTT_LAN, 0, 99);
	f[HISTORY_RTT_WAN_P50] = percentile(c, first, last, FEED_RTT_WAN, 0, 50);
	f[HISTORY_RTT_WAN_P99] = percentile(c, first, last, FEED_RTT_WAN, 0, 99);
	for (unsigned way = 0; way < WAYS; way++) {
		uint64_t data = 0, lost = 0;
		for (uint32_t id = first; id <= last; id++) {
			data += feed_class_counter(c, id, FEED_DATA, way, WINDOW_10S);
			lost += feed_class_counter(c, id, FEED_LOST_BEFORE, way, WINDOW_10S) +
				feed_class_lost_after(c, id, way, WINDOW_10S);
		}
		f[HISTORY_LOSS_UP + way] = share(lost, data);
		f[HISTORY_QUEUE_UP_P99 + way] = percentile(c, first, last, FEED_QUEUE, way, 99);
	}
}

static void write_box(struct control *c, uint64_t step)
{
	const struct daemon *d = c->daemon;
	struct history *h = c->history->history;
	double cycles = (double)d->counters->tsc_hz * HISTORY_STEP_S * d->worker_count;
	struct history_row row, link;

	clear(&row);
	fill_measured(c, 0, FEED_CLASSES_MAX - 1, &row);
	row.figure[HISTORY_RATE_UP] = row.figure[HISTORY_RATE_DOWN] = 0;
	for (unsigned b = 0; b < d->bridge_count; b++) {
		/* Classes are measured over all bridges: only of a single one is that the link. */
		link = row;
		if (d->bridge_count > 1)
			clear(&link);
		for (unsigned way = 0; way < WAYS; way++) {
			float bps = rate_bps(feed_link_counter(c->feed, b, way, WINDOW_10S));
			link.figure[HISTORY_RATE_UP + way] = bps;
			row.figure[HISTORY_RATE_UP + way] += bps;
		}
		history_write(h, FIRST_LINK + b, step, &link);
	}
	row.figure[HISTORY_DROPS] = (float)feed_box_counter(c->feed, FEED_ALL_DROPS, WINDOW_10S);
	if (cycles > 0)
		row.figure[HISTORY_BUSY] = (float)RTE_MIN(1.0,
			(double)feed_box_counter(c->feed, FEED_BUSY_CYCLES, WINDOW_10S) / cycles);
	history_write(h, 0, step, &row);
}

static void write_class(struct control *c, uint32_t id, uint64_t step)
{
	struct history_feed *f = c->history;
	const struct plan *plan = c->daemon->plan;
	int32_t index = plan->class_index_of[id];
	const char *name = index < 0 ? "" : plan->policy->classes[index].name;
	struct history_row row;
	uint64_t drops = 0;

	if (strcmp(name, f->name[id]) != 0) {
		snprintf(f->name[id], sizeof(f->name[id]), "%s", name);
		history_reset(f->history, FIRST_CLASS + id);
	}
	if (index < 0)
		return;
	clear(&row);
	fill_measured(c, id, id, &row);
	for (unsigned way = 0; way < WAYS; way++) {
		row.figure[HISTORY_RATE_UP + way] =
			rate_bps(feed_class_counter(c, id, FEED_BYTES, way, WINDOW_10S));
		drops += feed_class_counter(c, id, FEED_DROPS, way, WINDOW_10S);
	}
	row.figure[HISTORY_DROPS] = (float)drops;
	history_write(f->history, FIRST_CLASS + id, step, &row);
}

static void write_peer(struct control *c, unsigned i, uint64_t now_ns, uint64_t step)
{
	static struct histogram variation;
	const struct feed *feed = c->feed;
	const struct link_session *s = &c->peers->peer[i].session;
	uint64_t lost = feed_peer_counter(feed, i, FEED_PEER_LOST, WINDOW_10S);
	uint64_t tx_lost = feed_peer_counter(feed, i, FEED_PEER_TX_LOST, WINDOW_10S);
	struct peers_path path;
	struct history_row row;
	float *f = row.figure;
	uint32_t seconds;

	clear(&row);
	f[HISTORY_RATE_UP] = rate_bps(feed_peer_counter(feed, i, FEED_PEER_TX_BYTES, WINDOW_10S));
	f[HISTORY_RATE_DOWN] = rate_bps(feed_peer_counter(feed, i, FEED_PEER_RX_BYTES, WINDOW_10S));
	f[HISTORY_LOSS_DOWN] =
		share(lost, lost + feed_peer_counter(feed, i, FEED_PEER_UNIQUE, WINDOW_10S));
	f[HISTORY_LOSS_UP] = share(
		tx_lost, tx_lost + feed_peer_counter(feed, i, FEED_PEER_TX_RECEIVED, WINDOW_10S));
	if (s->alive && s->rtt_ns != 0)
		f[HISTORY_RTT_WAN_P50] = (float)s->rtt_ns;
	peers_path(c, i, now_ns, &path);
	if (path.has_delay)
		f[HISTORY_DELAY] = (float)RTE_MAX(path.delay_ns, INT64_C(0));
	memset(&variation, 0, sizeof(variation));
	if (feed_peer(c, i, FEED_VARIATION, WINDOW_10S, &variation, &seconds) &&
		variation.count > 0)
		f[HISTORY_VARIATION_P99] = (float)histogram_percentile(&variation, 99);
	history_write(c->history->history, FIRST_PEER + i, step, &row);
}

void history_feed_tick(struct control *c, uint64_t now_ns)
{
	struct history_feed *f = c->history;
	uint64_t step = history_step_of(now_ns);

	/* The first round that ends in a new span: its windows cover the one before. */
	if (step == f->step)
		return;
	f->step = step;
	if (now_ns - c->started_ns < STEP_NS)
		return;
	step--;
	write_box(c, step);
	for (unsigned i = 0; i < c->peers->count; i++)
		write_peer(c, i, now_ns, step);
	for (uint32_t id = 0; id < RTE_MIN(f->classes, c->daemon->plan->classes_max); id++)
		write_class(c, id, step);
}
