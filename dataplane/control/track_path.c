/* SPDX-License-Identifier: BSD-3-Clause */
/* Probes out and in, and what follows from them; track_path.h says how. */
#include "dataplane/control/track_path.h"

#include <string.h>

#define RATE_MAX_BPS 1e13
#define TRACK_AT_ONCE_NS UINT64_C(5000000)
/* Overdue for less may be the peer's own fault: the probe has arrived, and it has not looked yet.
 */
#define TRACK_OVERDUE_NS UINT64_C(60000000)
#define TRACK_GAP_MAX_NS UINT64_C(60000000000) /* then clocks may be too far apart */

/* Clocks are the peers' words: differences must not overflow, whatever they are. */
static int64_t difference(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b);
}

static uint64_t bounded(int64_t value, uint64_t most)
{
	return value < 0 ? 0 : (uint64_t)value > most ? most : (uint64_t)value;
}

static int64_t median_of(const int64_t sample[TRACK_MEDIAN])
{
	int64_t sorted[TRACK_MEDIAN];

	for (unsigned i = 0; i < TRACK_MEDIAN; i++) {
		unsigned at = i;
		for (; at > 0 && sorted[at - 1] > sample[i]; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = sample[i];
	}
	return sorted[TRACK_MEDIAN / 2];
}

static void lower_baseline(struct track_way *w, int64_t median, uint64_t now_ns)
{
	/* A pause, however long, ends one window, not two: a queue that stood up in it does not
	 * pass for normal. */
	if (!w->has_baseline || now_ns - w->figures.fresh_ns > TRACK_GAP_MAX_NS) {
		w->has_baseline = true;
		w->baseline = w->baseline_before = median;
		w->baseline_since_ns = now_ns;
	} else if (now_ns - w->baseline_since_ns >= TRACK_BASELINE_NS) {
		w->baseline_before = w->baseline;
		w->baseline = median;
		w->baseline_since_ns = now_ns;
	}
	if (median < w->baseline)
		w->baseline = median;
}

/*
 * A transit time, or the least that one will be. Probes that come at once have waited for something
 * else than bytes in front of them, a program that did not run or a radio that did not send: all
 * but the last of them were late for that, so they are one sample.
 */
static void take_sample(struct track_way *w, int64_t transit, uint64_t now_ns)
{
	struct track_figures *f = &w->figures;
	int64_t median, least;

	if (f->samples > 0 && now_ns - f->fresh_ns < TRACK_AT_ONCE_NS)
		f->samples--;
	for (unsigned i = 0; i < TRACK_MEDIAN; i++)
		if (i == f->samples % TRACK_MEDIAN || f->samples == 0)
			w->sample[i] = transit;
	f->samples++;
	median = median_of(w->sample);
	lower_baseline(w, median, now_ns);
	f->fresh_ns = now_ns;
	least = w->baseline < w->baseline_before ? w->baseline : w->baseline_before;
	f->queue_ns = bounded(difference((uint64_t)median, (uint64_t)least), TRACK_QUEUE_MAX_NS);
	f->newest_ns = bounded(difference((uint64_t)transit, (uint64_t)least), TRACK_QUEUE_MAX_NS);
	if (f->queue_ns < TRACK_QUEUE_NS) {
		uint64_t off = f->newest_ns > f->queue_ns ? f->newest_ns - f->queue_ns
							  : f->queue_ns - f->newest_ns;
		if (off > TRACK_NOISE_MAX_NS)
			off = TRACK_NOISE_MAX_NS;
		/* Not for lack of samples is it quiet: the first ones count as much as later. */
		f->noise_ns = (f->noise_ns * 31 + off) / 32;
	}
}

static uint64_t rate_of(uint64_t bytes, int64_t ns)
{
	double bps = ns > 0 ? (double)bytes * 8e9 / (double)ns : 0;

	return bps > RATE_MAX_BPS ? (uint64_t)RATE_MAX_BPS : (uint64_t)bps;
}

/* The newest receipt, TRACK_ACHIEVED_NS of them back if there are so many: what came in between. */
static void take_receipt(struct track_way *w, uint64_t arrived_ns, uint64_t bytes)
{
	uint32_t kept = w->receipts < TRACK_RECEIPTS ? w->receipts : TRACK_RECEIPTS;
	uint64_t from_ns = 0, from_bytes = 0;

	for (uint32_t back = 1; back <= kept; back++) {
		uint32_t i = (w->receipts - back) % TRACK_RECEIPTS;
		from_ns = w->receipt[i].arrived_ns;
		from_bytes = w->receipt[i].bytes;
		if (difference(arrived_ns, from_ns) >= (int64_t)TRACK_ACHIEVED_NS)
			break;
	}
	w->figures.achieved_bps =
		kept == 0 || bytes < from_bytes
			? 0
			: rate_of(bytes - from_bytes, difference(arrived_ns, from_ns));
	w->receipt[w->receipts % TRACK_RECEIPTS].arrived_ns = arrived_ns;
	w->receipt[w->receipts % TRACK_RECEIPTS].bytes = bytes;
	w->receipts++;
}

/* `number` is the newest probe that arrived, `count` how many did. */
static void take_loss(struct track_way *w, uint32_t number, uint32_t count)
{
	uint32_t sent = number - w->loss_from, got = count - w->loss_count_from;

	if (sent < TRACK_LOSS_PROBES)
		return;
	/* The first window has no beginning, and one that began long ago says nothing of now. */
	if (w->loss_from != 0 && sent < 4 * TRACK_LOSS_PROBES) {
		w->figures.loss_percent =
			got >= sent ? 0 : (uint32_t)((uint64_t)(sent - got) * 100 / sent);
		w->figures.loss_number++;
	}
	w->loss_from = number;
	w->loss_count_from = count;
}

void track_way_rebase(struct track_way *w, uint64_t now_ns)
{
	if (!w->has_baseline)
		return;
	w->baseline = w->baseline_before = median_of(w->sample);
	w->baseline_since_ns = now_ns;
	w->figures.queue_ns = 0;
}

void track_path_reset(struct track_path *path, uint32_t session_id)
{
	memset(path, 0, sizeof(*path));
	path->session_id = session_id;
}

bool track_path_probe(struct track_path *path, uint16_t own_ms, uint64_t up_bytes, uint64_t now_ns,
	struct link_probe *probe)
{
	uint16_t wanted_ms = now_ns < path->wanted_until_ns ? path->wanted_ms : 0;
	uint16_t every_ms =
		own_ms == 0 || (wanted_ms != 0 && wanted_ms < own_ms) ? wanted_ms : own_ms;

	if (every_ms == 0 || now_ns < path->next_ns)
		return false;
	if (every_ms < TRACK_INTERVAL_MIN_MS)
		every_ms = TRACK_INTERVAL_MIN_MS;
	path->next_ns = now_ns + every_ms * UINT64_C(1000000);
	path->number++;
	path->sent[path->number % TRACK_SENT] =
		(struct track_sent){.number = path->number, .sent_ns = now_ns, .bytes = up_bytes};
	*probe = (struct link_probe){.number = path->number,
		.heard = path->heard,
		.heard_count = path->heard_count,
		.wanted_ms = own_ms,
		.sent_ns = now_ns,
		.heard_ns = path->heard_ns};
	return true;
}

static const struct track_sent *find_sent(const struct track_path *path, uint32_t number)
{
	const struct track_sent *sent = &path->sent[number % TRACK_SENT];

	return number != 0 && sent->number == number ? sent : NULL;
}

/* Our next probe after the newest that arrived should have arrived, too, when the peer wrote this.
 */
static void take_overdue(struct track_path *path, const struct link_probe *probe, uint64_t now_ns)
{
	const struct track_sent *last = find_sent(path, probe->heard);
	const struct track_sent *next = find_sent(path, probe->heard + 1);
	struct track_way *w = &path->up;
	int64_t transit, least;
	uint64_t most_bps;

	if (next == NULL || !w->has_baseline)
		return;
	transit = difference(probe->sent_ns, next->sent_ns);
	least = w->baseline < w->baseline_before ? w->baseline : w->baseline_before;
	if (bounded(difference((uint64_t)transit, (uint64_t)least), TRACK_QUEUE_MAX_NS) <=
		TRACK_OVERDUE_NS)
		return;
	take_sample(w, transit, now_ns);
	w->figures.newest_sent_ns = next->sent_ns;
	w->figures.newest_sent_bytes = next->bytes;
	/* What was sent in between is not through yet: the bottleneck carries no more than that. */
	most_bps = rate_of(next->bytes - last->bytes, difference(probe->sent_ns, probe->heard_ns));
	if (most_bps != 0 && (w->figures.achieved_bps == 0 || most_bps < w->figures.achieved_bps))
		w->figures.achieved_bps = most_bps;
}

/* The peer says what it has of ours. */
static void take_answer(struct track_path *path, const struct link_probe *probe, uint64_t now_ns)
{
	const struct track_sent *sent = find_sent(path, probe->heard);
	struct track_way *w = &path->up;

	if (sent == NULL)
		return;
	if (sent->number == path->answered) {
		take_overdue(path, probe, now_ns);
	} else if ((int32_t)(sent->number - path->answered) > 0) {
		path->answered = sent->number;
		take_sample(w, difference(probe->heard_ns, sent->sent_ns), now_ns);
		take_receipt(w, probe->heard_ns, sent->bytes);
		take_loss(w, probe->heard, probe->heard_count);
		w->figures.newest_sent_ns = sent->sent_ns;
		w->figures.newest_sent_bytes = sent->bytes;
	}
}

void track_path_receive(struct track_path *path, const struct link_probe *probe,
	uint64_t down_bytes, uint64_t arrived_ns)
{
	struct track_way *w = &path->down;

	path->wanted_ms = probe->wanted_ms;
	path->wanted_until_ns = arrived_ns + TRACK_WANTED_NS;
	path->heard_count++;
	/* Overtaken by a newer one, or a copy: what it says is old. */
	if ((int32_t)(probe->number - path->heard) <= 0)
		return;
	path->heard = probe->number;
	path->heard_ns = arrived_ns;
	take_sample(w, difference(arrived_ns, probe->sent_ns), arrived_ns);
	take_receipt(w, arrived_ns, down_bytes);
	take_loss(w, probe->number, path->heard_count);
	take_answer(path, probe, arrived_ns);
}
