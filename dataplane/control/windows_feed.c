/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Feeds the windows, a few classes a tick, and reads them by name: windows_feed.h. One struct
 * windows holds everything: histograms and counters of classes first, then peers, links, appliance.
 */
#include "dataplane/control/windows_feed.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/control/control.h"
#include "dataplane/control/peers.h"

#define SECOND_NS UINT64_C(1000000000)
#define CLASSES_A_TICK 4u

struct feed {
	struct windows *windows;
	uint32_t classes;
	uint32_t step;	 /* of the round that is going on, or was last */
	uint32_t cursor; /* next class of the round; beyond the last: the round is complete */
	char name[FEED_CLASSES_MAX][POLICY_NAME_MAX]; /* whose figures the windows hold */
};

static uint32_t classes_of(const struct policy *policy)
{
	const struct policy_appliance *a = &policy->appliance;

	uint32_t measured = RTE_MIN(a->classes, a->distributions);

	return RTE_MIN(measured, FEED_CLASSES_MAX);
}

static unsigned histograms_of(const struct policy *policy)
{
	return classes_of(policy) * FEED_CLASS_HISTOGRAMS +
	       policy->peer_count * FEED_PEER_HISTOGRAMS;
}

/* Where the counters of peers, links and the appliance begin. */
static unsigned peer_counter(const struct feed *f, unsigned peer)
{
	return f->classes * FEED_CLASS_COUNTERS + peer * FEED_PEER_COUNTERS;
}

static unsigned link_counter(const struct feed *f, unsigned bridge)
{
	return peer_counter(f, POLICY_PEERS_MAX) + bridge * FEED_LINK_COUNTERS;
}

static unsigned box_counter(const struct feed *f)
{
	return link_counter(f, POLICY_BRIDGES_MAX);
}

static unsigned counters_of(uint32_t classes)
{
	const struct feed f = {.classes = classes};

	return box_counter(&f) + FEED_BOX_COUNTERS;
}

uint64_t feed_memory_needed(const struct policy *policy)
{
	return sizeof(struct feed) +
	       windows_memory_needed(histograms_of(policy), counters_of(classes_of(policy)));
}

struct feed *feed_create(const struct daemon *d)
{
	struct feed *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->classes = classes_of(d->plan->policy);
	f->cursor = f->classes;
	f->windows = windows_create(histograms_of(d->plan->policy), counters_of(f->classes));
	if (f->windows == NULL) {
		free(f);
		return NULL;
	}
	return f;
}

void feed_destroy(struct feed *f)
{
	if (f != NULL)
		windows_destroy(f->windows);
	free(f);
}

/* ---- sampling ---- */

static const struct histogram *class_histogram(
	const struct measure_class *m, enum feed_class_histogram which)
{
	if (which >= FEED_QUEUE)
		return &m->queue[which - FEED_QUEUE];
	if (which >= FEED_BOX)
		return &m->box[which - FEED_BOX];
	return which == FEED_RTT_LAN   ? &m->rtt_lan
	       : which == FEED_RTT_WAN ? &m->rtt_wan
				       : &m->connect;
}

static void add_histogram(struct histogram *into, const struct histogram *from)
{
	if (__atomic_load_n(&from->count, __ATOMIC_RELAXED) != 0)
		histogram_merge(into, from);
}

static void sum_class(
	const struct daemon *d, uint32_t id, enum feed_class_histogram which, struct histogram *sum)
{
	for (unsigned w = 0; w < d->worker_count; w++)
		add_histogram(sum, class_histogram(worker_measure(d->workers[w], id), which));
}

static void sum_peer(const struct daemon *d, unsigned peer, enum feed_peer_histogram which,
	struct histogram *sum)
{
	for (unsigned w = 0; w < d->worker_count; w++) {
		const struct worker_peer *p = &d->workers[w]->peers[peer];
		add_histogram(sum, which == FEED_IPDV ? &p->ipdv : &p->delay_variation);
	}
}

static uint64_t load(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* What is measured of TCP, by the way of the data. */
static void count_tcp(const struct measure_class *m, unsigned way, uint64_t n[FEED_CLASS_COUNTERS])
{
	unsigned from = way == WAY_UP ? FROM_LAN : FROM_WAN;

	n[FEED_DATA + way] += load(&m->data_packets[from]);
	n[FEED_LOST_BEFORE + way] += load(&m->retransmits_before[from]);
	n[FEED_LOST_AFTER + way] += load(&m->retransmits_after[from]);
	n[FEED_NEEDLESS + way] += load(&m->retransmits_needless[from]);
	n[FEED_REORDERED + way] += load(&m->reordered[from]);
	n[FEED_FAST + way] += load(&m->retransmits_fast[from]);
	n[FEED_TIMEOUT + way] += load(&m->retransmits_timeout[from]);
	n[FEED_DSACKS + way] += load(&m->dsacks[from]);
	n[FEED_COPIES + way] += load(&m->duplicates[from]);
	n[FEED_CE + way] += load(&m->ce[from]);
	n[FEED_ZERO_WINDOWS + way] += load(&m->zero_windows[!from]);
	n[FEED_RTT_DELAYED + way] += load(&m->rtt_delayed[from]);
	for (unsigned limit = 0; limit < MEASURE_LIMITS; limit++)
		n[FEED_LIMITED_NS + 2 * limit + way] += load(&m->limited_ns[from][limit]);
	n[FEED_CONNECTIONS + way] += load(&m->connections);
	n[FEED_SYN_RETRIES + way] += load(&m->syn_retries);
	n[FEED_REFUSED + way] += load(&m->refused);
	n[FEED_TIMED_OUT + way] += load(&m->timed_out);
	n[FEED_RESETS + way] += load(&m->resets);
}

/* All counters of a class, over all workers and bridges. */
static void count_class(const struct daemon *d, uint32_t id, uint64_t n[FEED_CLASS_COUNTERS])
{
	memset(n, 0, FEED_CLASS_COUNTERS * sizeof(*n));
	for (unsigned i = 0; i < d->worker_count; i++) {
		const struct worker *w = d->workers[i];
		const struct measure_class *m = worker_measure(w, id);
		for (unsigned way = 0; way < WAYS; way++) {
			count_tcp(m, way, n);
			for (unsigned b = 0; b < d->bridge_count; b++) {
				const struct shaper_class_stats *s =
					shaper_class_stats(w->shaper[b][way], id);
				n[FEED_BYTES + way] += load(&w->classes[b][way][id].bytes);
				n[FEED_DROPS + way] += s->dropped_tail + s->dropped_time +
						       s->dropped_aqm + s->dropped_memory +
						       s->dropped_police;
			}
		}
	}
}

static void sample_class(struct feed *f, const struct daemon *d, uint32_t id)
{
	static struct histogram sum; /* too large for the stack */
	int32_t index = id < d->plan->classes_max ? d->plan->class_index_of[id] : -1;
	const char *name = index < 0 ? "" : d->plan->policy->classes[index].name;
	uint64_t counter[FEED_CLASS_COUNTERS];
	unsigned h = id * FEED_CLASS_HISTOGRAMS, n = id * FEED_CLASS_COUNTERS;

	if (strcmp(name, f->name[id]) != 0) {
		snprintf(f->name[id], sizeof(f->name[id]), "%s", name);
		for (unsigned i = 0; i < FEED_CLASS_HISTOGRAMS; i++)
			windows_reset(f->windows, h + i);
		for (unsigned i = 0; i < FEED_CLASS_COUNTERS; i++)
			windows_reset_counter(f->windows, n + i);
	}
	if (index < 0)
		return;
	for (unsigned i = 0; i < FEED_CLASS_HISTOGRAMS; i++) {
		memset(&sum, 0, sizeof(sum));
		sum_class(d, id, (enum feed_class_histogram)i, &sum);
		windows_sample(f->windows, h + i, &sum, f->step);
	}
	count_class(d, id, counter);
	for (unsigned i = 0; i < FEED_CLASS_COUNTERS; i++)
		windows_sample_counter(f->windows, n + i, counter[i], f->step);
}

static void sample_peer(struct control *c, unsigned i, uint64_t now_ns)
{
	static struct histogram sum;
	struct feed *f = c->feed;
	const struct link_seq_counts *reported = &c->peers->peer[i].session.peer.received;
	uint64_t n[FEED_PEER_COUNTERS] = {0};
	struct link_seq_counts counts;
	unsigned first = f->classes * FEED_CLASS_HISTOGRAMS + i * FEED_PEER_HISTOGRAMS;

	for (unsigned h = 0; h < FEED_PEER_HISTOGRAMS; h++) {
		memset(&sum, 0, sizeof(sum));
		sum_peer(c->daemon, i, (enum feed_peer_histogram)h, &sum);
		windows_sample(f->windows, first + h, &sum, f->step);
	}
	peers_received(c, i, now_ns, &counts);
	n[FEED_PEER_UNIQUE] = counts.unique;
	n[FEED_PEER_LOST] = counts.lost;
	n[FEED_PEER_DUPLICATES] = counts.duplicates;
	n[FEED_PEER_REORDERED] = counts.reordered;
	n[FEED_PEER_TX_RECEIVED] = reported->unique;
	n[FEED_PEER_TX_LOST] = reported->lost;
	for (unsigned w = 0; w < c->daemon->worker_count; w++) {
		n[FEED_PEER_RX_BYTES] += load(&c->daemon->workers[w]->peers[i].rx_bytes);
		n[FEED_PEER_TX_BYTES] += load(&c->daemon->workers[w]->peers[i].tx_bytes);
	}
	for (unsigned k = 0; k < FEED_PEER_COUNTERS; k++)
		windows_sample_counter(f->windows, peer_counter(f, i) + k, n[k], f->step);
}

static void sample_box(struct feed *f, const struct daemon *d)
{
	uint64_t n[FEED_BOX_COUNTERS] = {0};

	for (unsigned i = 0; i < d->worker_count; i++) {
		const struct counters_worker *w = d->workers[i]->counters;
		n[FEED_BUSY_CYCLES] += load(&w->busy_cycles);
		for (unsigned r = 0; r < REASON_COUNT; r++)
			if (reason_table[r].is_drop && r != DROP_CONSUMED)
				n[FEED_ALL_DROPS] += load(&w->reason[r]);
	}
	for (unsigned k = 0; k < FEED_BOX_COUNTERS; k++)
		windows_sample_counter(f->windows, box_counter(f) + k, n[k], f->step);
	for (unsigned b = 0; b < d->bridge_count; b++)
		for (unsigned way = 0; way < WAYS; way++) {
			uint64_t bytes = 0;
			for (unsigned i = 0; i < d->worker_count; i++)
				bytes += load(&d->workers[i]->wan_bytes[b][way]);
			windows_sample_counter(f->windows,
				link_counter(f, b) + FEED_LINK_BYTES + way, bytes, f->step);
		}
}

bool feed_tick(struct control *c, uint64_t now_ns)
{
	struct feed *f = c->feed;
	uint32_t step = (uint32_t)(now_ns / SECOND_NS);

	if (f->cursor >= f->classes) {
		if (step == f->step)
			return false;
		f->step = step;
		f->cursor = 0;
		sample_box(f, c->daemon);
		for (unsigned i = 0; i < c->peers->count; i++)
			sample_peer(c, i, now_ns);
	}
	for (unsigned i = 0; i < CLASSES_A_TICK && f->cursor < f->classes; i++)
		sample_class(f, c->daemon, f->cursor++);
	return f->cursor >= f->classes;
}

/* ---- reading ---- */

bool feed_has_class(const struct feed *f, uint32_t id)
{
	return id < f->classes;
}

bool feed_class(const struct control *c, uint32_t id, enum feed_class_histogram which, unsigned way,
	enum window window, struct histogram *sum, uint32_t *seconds)
{
	const struct feed *f = c->feed;

	*seconds = 0;
	if (window == WINDOW_ALL) {
		if (id >= c->daemon->workers[0]->measured)
			return false;
		sum_class(c->daemon, id, which + way, sum);
		*seconds = (uint32_t)((f->step * SECOND_NS - c->started_ns) / SECOND_NS);
		return true;
	}
	return feed_has_class(f, id) &&
	       windows_add(
		       f->windows, id * FEED_CLASS_HISTOGRAMS + which + way, window, sum, seconds);
}

static uint64_t not_negative(uint64_t n)
{
	return (int64_t)n < 0 ? 0 : n;
}

uint64_t feed_class_counter(const struct control *c, uint32_t id, enum feed_class_counter which,
	unsigned way, enum window window)
{
	uint64_t n[FEED_CLASS_COUNTERS];

	if (window == WINDOW_ALL) {
		count_class(c->daemon, id, n);
		return n[which + way];
	}
	if (!feed_has_class(c->feed, id))
		return 0;
	return not_negative(
		windows_counter(c->feed->windows, id * FEED_CLASS_COUNTERS + which + way, window));
}

uint64_t feed_class_lost_after(
	const struct control *c, uint32_t id, unsigned way, enum window window)
{
	return measure_lost_of(feed_class_counter(c, id, FEED_LOST_AFTER, way, window),
		feed_class_counter(c, id, FEED_NEEDLESS, way, window),
		feed_class_counter(c, id, FEED_COPIES, way, window),
		feed_class_counter(c, id, FEED_DSACKS, way, window));
}

bool feed_peer(const struct control *c, unsigned peer, enum feed_peer_histogram which,
	enum window window, struct histogram *sum, uint32_t *seconds)
{
	const struct feed *f = c->feed;

	*seconds = 0;
	if (window == WINDOW_ALL) {
		sum_peer(c->daemon, peer, which, sum);
		*seconds = (uint32_t)((f->step * SECOND_NS - c->started_ns) / SECOND_NS);
		return true;
	}
	return windows_add(f->windows,
		f->classes * FEED_CLASS_HISTOGRAMS + peer * FEED_PEER_HISTOGRAMS + which, window,
		sum, seconds);
}

uint64_t feed_peer_counter(
	const struct feed *f, unsigned peer, enum feed_peer_counter which, enum window window)
{
	return not_negative(windows_counter(f->windows, peer_counter(f, peer) + which, window));
}

uint64_t feed_link_counter(const struct feed *f, unsigned bridge, unsigned way, enum window window)
{
	return not_negative(windows_counter(
		f->windows, link_counter(f, bridge) + FEED_LINK_BYTES + way, window));
}

uint64_t feed_box_counter(const struct feed *f, enum feed_box_counter which, enum window window)
{
	return not_negative(windows_counter(f->windows, box_counter(f) + which, window));
}
