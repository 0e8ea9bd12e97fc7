/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulated bottleneck of aqm_sim.h. All of a path's delay is on the way back, so a packet is
 * in the queue when it is sent, and its sender learns of its fate one RTT after it left the queue,
 * or was dropped.
 */
#include "tests/unit/shape/aqm_sim.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW_MIN 2.0
#define PRAGUE_RTT_NS 25e6 /* a Prague flow with a shorter RTT grows as if it were this */
#define NEVER UINT64_MAX

static uint64_t seed = 88172645463325252ull;

uint32_t sim_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32);
}

struct sim *sim_new(uint64_t rate_bps)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	sim->rate_bps = rate_bps;
	return sim;
}

void sim_free(struct sim *sim)
{
	free(sim->delays[0]);
	free(sim->delays[1]);
	free(sim);
}

struct sim_flow *sim_add(struct sim *sim, enum sim_sender sender, bool ect, uint64_t rtt_ns)
{
	struct sim_flow *f = &sim->flows[sim->flow_count++];

	f->sender = sender;
	f->ect = ect;
	f->l4s = sender == SIM_PRAGUE;
	f->rtt_ns = rtt_ns;
	f->srtt_ns = (double)rtt_ns;
	f->window = 4;
	f->threshold = 1e9;
	return f;
}

uint64_t sim_waiting(const struct sim *sim, unsigned queue)
{
	return sim->queues[queue].tail - sim->queues[queue].head;
}

static struct sim_packet *first(struct sim_ring *ring)
{
	return ring->head == ring->tail ? NULL : &ring->packets[ring->head % SIM_RING];
}

uint64_t sim_sojourn_ns(const struct sim *sim, unsigned queue)
{
	const struct sim_ring *ring = &sim->queues[queue];

	return ring->head == ring->tail ? 0
					: sim->now_ns - ring->packets[ring->head % SIM_RING].at_ns;
}

static void push(struct sim_ring *ring, struct sim_packet p)
{
	if (ring->tail - ring->head < SIM_RING)
		ring->packets[ring->tail++ % SIM_RING] = p;
}

/* The sender of p learns one RTT later what became of it. */
static void report(struct sim *sim, struct sim_packet p, bool lost)
{
	struct sim_flow *f = &sim->flows[p.flow];

	if (sim->now_ns >= sim->warm_ns) {
		f->lost += lost;
		f->marked += !lost && p.marked;
		f->bytes += lost ? 0 : SIM_BYTES;
	}
	p.lost = lost;
	p.at_ns = sim->now_ns + f->rtt_ns;
	push(&f->feedback, p);
}

static void send_one(struct sim *sim, uint32_t flow)
{
	struct sim_flow *f = &sim->flows[flow];
	unsigned queue = f->l4s;
	struct sim_packet p = {.at_ns = sim->now_ns, .number = f->sent++, .flow = flow};
	enum aqm_verdict v = sim->arrive ? sim->arrive(sim, &p, queue) : AQM_VERDICT_PASS;

	f->in_flight++;
	p.marked = v == AQM_VERDICT_MARK;
	if (v == AQM_VERDICT_DROP || sim_waiting(sim, queue) == SIM_RING)
		report(sim, p, true);
	else
		push(&sim->queues[queue], p);
}

static void send_window(struct sim *sim, uint32_t flow)
{
	struct sim_flow *f = &sim->flows[flow];

	while ((double)f->in_flight < f->window && f->in_flight < SIM_RING)
		send_one(sim, flow);
}

/* Once a round trip at most: what was sent before the last reduction doesn't count. */
static void reduce(struct sim_flow *f, const struct sim_packet *p, double factor)
{
	if (p->number < f->recover)
		return;
	f->window *= factor;
	if (f->window < WINDOW_MIN)
		f->window = WINDOW_MIN;
	f->threshold = f->window;
	f->recover = f->sent;
}

static void prague_round(struct sim_flow *f, const struct sim_packet *p)
{
	f->acked++;
	f->marks += p->marked;
	if (p->number < f->round_end)
		return;
	f->alpha += ((double)f->marks / (double)f->acked - f->alpha) / 16;
	f->round_end = f->sent;
	f->acked = f->marks = 0;
}

static void grow(struct sim_flow *f)
{
	double steps = 1;

	if (f->window < f->threshold) {
		f->window += 1;
		return;
	}
	if (f->sender == SIM_PRAGUE && f->srtt_ns < PRAGUE_RTT_NS)
		steps = f->srtt_ns * f->srtt_ns / (PRAGUE_RTT_NS * PRAGUE_RTT_NS);
	f->window += steps / f->window;
}

static void learn(struct sim *sim, uint32_t flow)
{
	struct sim_flow *f = &sim->flows[flow];
	const struct sim_packet *p = first(&f->feedback);

	f->feedback.head++;
	f->in_flight--;
	if (f->sender == SIM_FLOOD)
		return;
	if (f->sender == SIM_PRAGUE) {
		if (f->alpha == 0 && p->marked && f->threshold > 1e8)
			f->alpha = 1; /* slow start ends with a halving */
		prague_round(f, p);
	}
	if (p->lost)
		reduce(f, p, 0.5);
	else if (!p->marked)
		grow(f);
	else
		reduce(f, p, f->sender == SIM_PRAGUE ? 1 - f->alpha / 2 : 0.5);
	send_window(sim, flow);
}

/* The link is free: the next packet starts, after the algorithm has dropped what it wants. */
static void serve(struct sim *sim)
{
	for (;;) {
		bool waits[2] = {sim_waiting(sim, 0) > 0, sim_waiting(sim, 1) > 0};
		unsigned queue = waits[1];

		if (!waits[0] && !waits[1])
			return;
		if (sim->turn != NULL)
			queue = sim->turn(sim);
		struct sim_packet *p = first(&sim->queues[queue]);
		enum aqm_verdict v = sim->head ? sim->head(sim, p, queue) : AQM_VERDICT_PASS;
		struct sim_packet out = *p;

		sim->queues[queue].head++;
		if (v == AQM_VERDICT_DROP) {
			report(sim, out, true);
			continue;
		}
		out.marked |= v == AQM_VERDICT_MARK;
		if (sim->now_ns >= sim->warm_ns)
			sim->delays[queue][sim->delay_count[queue]++] =
				(uint32_t)((sim->now_ns - out.at_ns) / 1000);
		struct sim_flow *f = &sim->flows[out.flow];
		f->srtt_ns += ((double)(sim->now_ns - out.at_ns + f->rtt_ns) - f->srtt_ns) / 8;
		if (sim->served != NULL)
			sim->served(sim, queue);
		report(sim, out, false);
		sim->idle_ns = sim->now_ns + SIM_BYTES * 8000000000ull / sim->rate_bps;
		return;
	}
}

static void flood(struct sim *sim, uint32_t flow)
{
	struct sim_flow *f = &sim->flows[flow];

	f->next_ns += SIM_BYTES * 8000000000ull / f->rate_bps;
	send_one(sim, flow);
}

/* When the flow does something next. */
static uint64_t flow_next_ns(struct sim_flow *f)
{
	const struct sim_packet *p = first(&f->feedback);
	uint64_t t = p != NULL ? p->at_ns : NEVER;

	return f->sender == SIM_FLOOD && f->next_ns < t ? f->next_ns : t;
}

void sim_run(struct sim *sim, unsigned seconds)
{
	size_t packets = seconds * sim->rate_bps / (SIM_BYTES * 8) + 2;

	sim->now_ns = 1000000000;
	sim->end_ns = sim->now_ns + seconds * 1000000000ull;
	sim->warm_ns = sim->now_ns + seconds * 333333333ull;
	for (unsigned q = 0; q < 2; q++)
		sim->delays[q] = malloc(packets * sizeof(*sim->delays[q]));
	for (uint32_t i = 0; i < sim->flow_count; i++) {
		sim->flows[i].next_ns = sim->now_ns + i * 1000;
		if (sim->flows[i].sender != SIM_FLOOD)
			send_window(sim, i);
	}
	while (sim->now_ns < sim->end_ns) {
		uint64_t next_ns = NEVER;
		uint32_t who = 0;

		if (sim->now_ns >= sim->idle_ns)
			serve(sim);
		for (uint32_t i = 0; i < sim->flow_count; i++) {
			uint64_t t = flow_next_ns(&sim->flows[i]);
			if (t < next_ns) {
				next_ns = t;
				who = i;
			}
		}
		if (sim->idle_ns > sim->now_ns && sim->idle_ns <= next_ns) {
			sim->now_ns = sim->idle_ns;
			continue;
		}
		sim->now_ns = next_ns;
		struct sim_flow *f = &sim->flows[who];
		if (f->sender == SIM_FLOOD && f->next_ns == next_ns)
			flood(sim, who);
		else
			learn(sim, who);
	}
}

double sim_delay_mean_ms(const struct sim *sim, unsigned queue)
{
	double sum = 0;

	for (uint32_t i = 0; i < sim->delay_count[queue]; i++)
		sum += sim->delays[queue][i];
	return sim->delay_count[queue] ? sum / sim->delay_count[queue] / 1000 : 0;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

double sim_delay_percentile_ms(struct sim *sim, unsigned queue, double percent)
{
	uint32_t n = sim->delay_count[queue];

	if (n == 0)
		return 0;
	qsort(sim->delays[queue], n, sizeof(uint32_t), by_value);
	return sim->delays[queue][(uint32_t)(percent / 100 * (n - 1))] / 1000.0;
}

double sim_used(const struct sim *sim)
{
	double bytes = 0;

	for (unsigned i = 0; i < sim->flow_count; i++)
		bytes += (double)sim->flows[i].bytes;
	return bytes * 8e9 / ((double)sim->rate_bps * (double)(sim->end_ns - sim->warm_ns));
}
