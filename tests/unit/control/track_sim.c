/* SPDX-License-Identifier: BSD-3-Clause */
/* The simulated WAN of track_sim.h, in steps of a millisecond. */
#include "tests/unit/control/track_sim.h"

#include <string.h>

uint32_t sim_random(struct sim *s)
{
	s->seed = s->seed * 1664525 + 1013904223;
	return s->seed >> 8;
}

void sim_start(struct sim *s, uint64_t capacity_bps, uint64_t min_bps, uint64_t max_bps)
{
	memset(s, 0, sizeof(*s));
	s->now_ns = 1000 * SECOND;
	s->interval_ms = 25;
	s->seed = 1;
	for (int w = 0; w < 2; w++) {
		struct track_rate_config config = {.min_bps = min_bps,
			.max_bps = max_bps,
			.interval_ns = s->interval_ms * MS,
			.is_up = w == UP};
		s->way[w].capacity_bps = (double)capacity_bps;
		s->way[w].buffer_bytes = 1e9;
		s->way[w].delay_ns = 20 * MS;
		s->tracks[w] = true;
		track_rate_init(&s->rate[w], &config, s->now_ns);
		for (int i = 0; i < 400; i++)
			s->shaped_before_bps[i] = (double)max_bps;
	}
}

/* Appliance 1 has a clock of its own. */
static uint64_t clock_of(const struct sim *s, int end)
{
	return end == 0 ? s->now_ns
			: (uint64_t)((double)s->now_ns * (1 + s->drift)) + 12345 * SECOND;
}

/* What does not fit any more is lost, and a probe among it as likely as the rest. */
static void enter(struct sim *s, int w, double bytes, const struct link_probe *probe)
{
	struct sim_way *way = &s->way[w];
	double room = way->buffer_bytes - (way->entered - way->left);
	unsigned chance = way->lose_percent;

	if (probe == NULL) {
		way->lost_part = bytes > room ? 1 - room / bytes : 0;
		way->entered += bytes < room ? bytes : room;
		return;
	}
	if (way->lost_part * 100 > chance)
		chance = (unsigned)(way->lost_part * 100);
	if (sim_random(s) % 100 < chance || way->count == SIM_FLYING)
		return;
	way->entered += bytes;
	unsigned i = (way->first + way->count++) % SIM_FLYING;
	way->flying[i].probe = *probe;
	way->flying[i].behind = way->entered;
	way->flying[i].at_ns = 0;
}

/* A millisecond of a way: bytes leave, probes that have left arrive some time later, in order. */
static void serve(struct sim *s, int w)
{
	struct sim_way *way = &s->way[w];

	way->left += way->capacity_bps / 8e3;
	if (way->left > way->entered)
		way->left = way->entered;
	for (unsigned k = 0; k < way->count; k++) {
		unsigned i = (way->first + k) % SIM_FLYING;
		if (way->flying[i].at_ns != 0 || way->flying[i].behind > way->left)
			continue;
		uint64_t jitter_ns =
			way->jitter_ns == 0 ? 0 : sim_random(s) % (uint32_t)(2 * way->jitter_ns);
		way->flying[i].at_ns = s->now_ns + way->delay_ns + jitter_ns;
	}
	while (s->now_ns >= way->stalled_until_ns && way->count > 0 &&
		way->flying[way->first].at_ns != 0 && way->flying[way->first].at_ns <= s->now_ns) {
		const struct link_probe *probe = &way->flying[way->first].probe;
		int to = w == UP ? 1 : 0;
		track_path_receive(
			&s->path[to], probe, (uint64_t)s->way[DOWN].left, clock_of(s, to));
		way->first = (way->first + 1) % SIM_FLYING;
		way->count--;
	}
}

static void send_probes(struct sim *s)
{
	struct link_probe probe;

	if (s->is_silent)
		return;
	if (track_path_probe(
		    &s->path[0], s->interval_ms, (uint64_t)s->sent_bytes[UP], s->now_ns, &probe))
		enter(s, UP, 138, &probe);
	if (track_path_probe(&s->path[1], 0, 0, clock_of(s, 1), &probe))
		enter(s, DOWN, 138, &probe);
}

/* Up, our queue sends as fast as it is let. Down, the senders notice what our box lets through
 * some 100 ms later, as TCP does. */
static void send_data(struct sim *s)
{
	unsigned ms = (unsigned)(s->now_ns / MS);
	double bps[2];

	for (int w = 0; w < 2; w++) {
		bps[w] = (double)s->rate[w].rate_bps;
		if (w == DOWN) {
			double shaped_bps = bps[w];
			bps[w] = s->shaped_before_bps[(ms + 300) % 400];
			s->shaped_before_bps[ms % 400] = shaped_bps;
		}
		if (bps[w] > s->demand_bps[w])
			bps[w] = s->demand_bps[w];
		enter(s, w, bps[w] / 8e3, NULL);
		s->sent_bytes[w] += bps[w] / 8e3;
	}
	s->load[UP][ms % 500] = bps[UP] / 8e3;
	/* What our box passes on is what came, and no more than its rate. */
	double came =
		s->way[DOWN].left < s->way[DOWN].entered ? s->way[DOWN].capacity_bps : bps[DOWN];
	if (came > (double)s->rate[DOWN].rate_bps)
		came = (double)s->rate[DOWN].rate_bps;
	s->load[DOWN][ms % 500] = came / 8e3;
}

static void control(struct sim *s)
{
	for (int w = 0; w < 2; w++) {
		struct track_way *way = w == UP ? &s->path[0].up : &s->path[0].down;
		struct track_input in = {.figures = way->figures,
			.up_bytes = (uint64_t)s->sent_bytes[UP],
			.rtt_ns = s->way[UP].delay_ns + s->way[DOWN].delay_ns};
		bool rebase = false;
		double bytes = 0;

		for (int i = 0; i < 500; i++)
			bytes += s->load[w][i];
		in.load_bps = (uint64_t)(bytes * 16);
		if (!s->tracks[w])
			continue;
		uint64_t rate_bps = track_rate_step(&s->rate[w], &in, s->now_ns, &rebase);
		s->out_of_bounds |= rate_bps < s->rate[w].config.min_bps ||
				    rate_bps > s->rate[w].config.max_bps;
		if (rebase)
			track_way_rebase(way, s->now_ns);
	}
}

double sim_queue_ns(const struct sim *s, int way)
{
	return (s->way[way].entered - s->way[way].left) * 8e9 / s->way[way].capacity_bps;
}

static void step(struct sim *s)
{
	s->now_ns += MS;
	send_probes(s);
	send_data(s);
	serve(s, UP);
	serve(s, DOWN);
	if (s->now_ns / MS % 10 == 0)
		control(s);
}

void sim_new_session(struct sim *s)
{
	for (int i = 0; i < 2; i++) {
		s->way[i].count = 0;
		track_path_reset(&s->path[i], s->path[i].session_id + 1);
	}
}

void sim_run(struct sim *s, uint64_t ns)
{
	for (uint64_t end_ns = s->now_ns + ns; s->now_ns < end_ns;)
		step(s);
}

void sim_measure(struct sim *s, int w, uint64_t ns)
{
	s->queue_max_ns = s->queue_sum_ns = s->rate_max_bps = s->rate_sum_bps = 0;
	s->rate_min_bps = 1e18;
	s->steps = 0;
	for (int i = 0; i < 2; i++)
		s->through[i] = -s->way[i].left;
	for (uint64_t end_ns = s->now_ns + ns; s->now_ns < end_ns; s->steps++) {
		double queue_ns, rate_bps;
		step(s);
		queue_ns = sim_queue_ns(s, w);
		rate_bps = (double)s->rate[w].rate_bps;
		s->queue_sum_ns += queue_ns;
		s->rate_sum_bps += rate_bps;
		if (queue_ns > s->queue_max_ns)
			s->queue_max_ns = queue_ns;
		if (rate_bps < s->rate_min_bps)
			s->rate_min_bps = rate_bps;
		if (rate_bps > s->rate_max_bps)
			s->rate_max_bps = rate_bps;
	}
	for (int i = 0; i < 2; i++)
		s->through[i] = (s->through[i] + s->way[i].left) * 8e9 / (double)ns;
}
