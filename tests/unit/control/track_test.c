/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rate tracking (control/track_path.c, track_rate.c) in a closed loop with a simulated WAN
 * (track_sim.h): steps and ramps of its rate, jitter, clock drift, idle times, other delays than
 * queues, silence, and figures that no honest peer would send. And the bytes of a probe.
 */
#include <errno.h>
#include <stdlib.h>

#include "tests/unit/control/track_sim.h"
#include "tests/unit/unit.h"

static struct sim s;

/* Greedy senders on `way`, 100 Mbit/s at first, bounds 5 to 100. */
static void start(int way)
{
	sim_start(&s, 110 * MBIT, 5 * MBIT, 100 * MBIT);
	s.demand_bps[way] = 1e9;
	sim_run(&s, 8 * SECOND);
}

/* Over 20 s at a constant rate: nothing swings, nothing is wasted, no queue. */
static void check_steady(int way, double capacity_bps, double queue_max_ms)
{
	sim_measure(&s, way, 20 * SECOND);
	CU_ASSERT(s.through[way] > 0.92 * capacity_bps);
	CU_ASSERT(s.rate_sum_bps / (double)s.steps > 0.90 * capacity_bps);
	CU_ASSERT(s.rate_sum_bps / (double)s.steps < 1.03 * capacity_bps);
	CU_ASSERT(s.rate_max_bps < 1.08 * capacity_bps);
	CU_ASSERT(s.queue_max_ns < queue_max_ms * 1e6);
	CU_ASSERT(s.queue_sum_ns / (double)s.steps < 8e6);
	/* Growing and falling back, about every three seconds. */
	uint64_t before = s.rate[way].decreases;
	sim_run(&s, 30 * SECOND);
	CU_ASSERT(s.rate[way].decreases - before <= 18);
	CU_ASSERT_FALSE(s.out_of_bounds);
}

static void check_steps(int way, uint64_t down_ns, double queue_max_ms)
{
	sim_measure(&s, way, 3 * SECOND);
	CU_ASSERT(s.rate_min_bps == 100e6 && s.queue_max_ns < 5e6);

	s.way[way].capacity_bps = 20e6;
	sim_run(&s, down_ns);
	sim_measure(&s, way, 2 * SECOND);
	CU_ASSERT(s.queue_max_ns < 30e6);
	CU_ASSERT(s.rate_max_bps < 21.6e6);
	CU_ASSERT(s.rate_sum_bps / (double)s.steps > 18e6 && s.through[way] > 18.4e6);
	check_steady(way, 20e6, queue_max_ms);

	s.way[way].capacity_bps = 60e6;
	sim_run(&s, 10 * SECOND);
	sim_measure(&s, way, 2 * SECOND);
	CU_ASSERT(s.rate_sum_bps / (double)s.steps > 54e6);
	check_steady(way, 60e6, queue_max_ms);
}

static void test_steps_up(void)
{
	start(UP);
	check_steps(UP, 2 * SECOND, 30);
}

/* The senders are far away: what they have sent before they notice must still come through. */
static void test_steps_down(void)
{
	start(DOWN);
	check_steps(DOWN, 6 * SECOND, 35);
}

static void test_jitter(void)
{
	start(UP);
	s.way[UP].jitter_ns = s.way[DOWN].jitter_ns = 5 * MS;
	/* Nothing happens for the jitter alone. */
	sim_measure(&s, UP, 60 * SECOND);
	CU_ASSERT_EQUAL(s.rate[UP].decreases, 0);
	check_steps(UP, 2 * SECOND, 40);
	CU_ASSERT_EQUAL(s.rate[UP].rebases, 0);
}

/* Clocks 100 ppm too fast and too slow, on a link with no queue, and then with one. */
static void test_drift(void)
{
	for (int sign = -1; sign <= 1; sign += 2) {
		sim_start(&s, 110 * MBIT, 5 * MBIT, 100 * MBIT);
		s.drift = sign * 100e-6;
		s.demand_bps[UP] = s.demand_bps[DOWN] = 80e6;
		sim_run(&s, 300 * SECOND);
		CU_ASSERT(s.rate[UP].decreases == 0 && s.rate[DOWN].decreases == 0);
		CU_ASSERT(s.rate[UP].rate_bps > 85 * MBIT && s.rate[DOWN].rate_bps > 85 * MBIT);
		s.demand_bps[UP] = 1e9;
		s.demand_bps[DOWN] = 0;
		s.way[UP].capacity_bps = 20e6;
		sim_run(&s, 5 * SECOND);
		check_steady(UP, 20e6, 30);
	}
}

/* 60 Mbit/s and down to 20 and up again within 20 s, over and over. */
static void test_sawtooth(void)
{
	double delayed = 0, queue_ns = 0, fraction = 0;
	unsigned steps = 0;

	start(UP);
	s.way[UP].capacity_bps = 60e6;
	sim_run(&s, 5 * SECOND);
	for (unsigned i = 0; i < 1000; i++, steps++) {
		double at = i % 200 / 100.0; /* 0 to 2: there and back */
		s.way[UP].capacity_bps = 20e6 + 40e6 * (at < 1 ? 1 - at : at - 1);
		sim_measure(&s, UP, 100 * MS);
		queue_ns += s.queue_sum_ns / (double)s.steps;
		delayed += s.queue_max_ns > 40e6;
		fraction += s.through[UP] / s.way[UP].capacity_bps;
	}
	CU_ASSERT(queue_ns / steps < 10e6);
	CU_ASSERT(delayed / steps < 0.05);
	CU_ASSERT(fraction / steps > 0.75);
	CU_ASSERT_FALSE(s.out_of_bounds);
}

static void test_idle(void)
{
	uint64_t rate_bps;

	start(UP);
	s.way[UP].capacity_bps = 20e6;
	sim_run(&s, 5 * SECOND);
	/* Idle, or busy with less than three quarters: holds. */
	s.demand_bps[UP] = 0;
	sim_run(&s, 2 * SECOND);
	rate_bps = s.rate[UP].rate_bps;
	CU_ASSERT(rate_bps > 17 * MBIT && rate_bps < 22 * MBIT);
	sim_run(&s, 60 * SECOND);
	CU_ASSERT_EQUAL(s.rate[UP].rate_bps, rate_bps);
	s.demand_bps[UP] = 12e6;
	sim_run(&s, 60 * SECOND);
	CU_ASSERT_EQUAL(s.rate[UP].rate_bps, rate_bps);
	/* What a load then finds was right. */
	s.demand_bps[UP] = 1e9;
	sim_measure(&s, UP, 10 * SECOND);
	CU_ASSERT(s.queue_max_ns < 30e6);
	CU_ASSERT(s.through[UP] > 18e6);
	/* It fell while it was idle. */
	s.demand_bps[UP] = 0;
	sim_run(&s, 5 * SECOND);
	s.way[UP].capacity_bps = 10e6;
	sim_run(&s, 30 * SECOND);
	s.demand_bps[UP] = 1e9;
	sim_run(&s, 2 * SECOND);
	check_steady(UP, 10e6, 35);
}

/* The route gets 40 ms longer, or shorter, under load: not a queue. */
static void test_route(void)
{
	start(UP);
	s.way[UP].capacity_bps = 60e6;
	sim_run(&s, 20 * SECOND);
	s.way[UP].delay_ns = 60 * MS;
	sim_run(&s, 5 * SECOND);
	CU_ASSERT(s.rate[UP].rebases >= 1);
	check_steady(UP, 60e6, 35);
	s.way[UP].delay_ns = 20 * MS;
	sim_run(&s, 3 * SECOND);
	check_steady(UP, 60e6, 35);
	/* Idle: nothing that we send could be the reason. */
	s.demand_bps[UP] = 0;
	sim_run(&s, 2 * SECOND);
	uint64_t decreases = s.rate[UP].decreases;
	s.way[UP].delay_ns = 90 * MS;
	sim_run(&s, 10 * SECOND);
	CU_ASSERT_EQUAL(s.rate[UP].decreases, decreases);
	CU_ASSERT(s.path[0].up.figures.queue_ns < 5 * MS);
}

/* Below the minimum nothing can be done, and it is kept. Above the maximum it stays there. */
static void test_bounds(void)
{
	start(UP);
	s.way[UP].capacity_bps = 4e6;
	s.way[UP].buffer_bytes = 100e3; /* 200 ms */
	sim_run(&s, 20 * SECOND);
	sim_measure(&s, UP, 60 * SECOND);
	CU_ASSERT(s.rate_min_bps == 5e6);
	CU_ASSERT(s.rate_max_bps < 8e6);
	CU_ASSERT_FALSE(s.out_of_bounds);
	s.way[UP].capacity_bps = 500e6;
	sim_run(&s, 30 * SECOND);
	CU_ASSERT_EQUAL(s.rate[UP].rate_bps, 100 * MBIT);

	struct track_rate_config config = s.rate[UP].config;
	config.max_bps = 50 * MBIT;
	track_rate_bounds(&s.rate[UP], &config);
	CU_ASSERT_EQUAL(s.rate[UP].rate_bps, 50 * MBIT);
	config.max_bps = 200 * MBIT;
	config.min_bps = 80 * MBIT;
	track_rate_bounds(&s.rate[UP], &config);
	CU_ASSERT_EQUAL(s.rate[UP].rate_bps, 80 * MBIT);
}

static void test_silence(void)
{
	start(UP);
	s.way[UP].capacity_bps = 20e6;
	s.way[UP].buffer_bytes = 2.5e6; /* 1 s */
	sim_run(&s, 5 * SECOND);
	s.is_silent = true;
	sim_run(&s, 9 * SECOND);
	CU_ASSERT(s.rate[UP].rate_bps > 17 * MBIT && s.rate[UP].rate_bps < 22 * MBIT);
	sim_run(&s, 3 * SECOND);
	CU_ASSERT_EQUAL(s.rate[UP].rate_bps, 100 * MBIT);
	/* Heard again: the queue that stood up meanwhile goes, for however long it stood. */
	s.is_silent = false;
	sim_run(&s, 10 * SECOND);
	check_steady(UP, 20e6, 35);
	s.is_silent = true;
	sim_run(&s, 70 * SECOND);
	s.is_silent = false;
	sim_run(&s, 10 * SECOND);
	check_steady(UP, 20e6, 35);
}

/* Nobody answers from the start, or the peer has no probes: as if it was off. */
static void test_never_heard(void)
{
	sim_start(&s, 100 * MBIT, 5 * MBIT, 100 * MBIT);
	s.is_silent = true;
	s.demand_bps[UP] = 1e9;
	sim_run(&s, 30 * SECOND);
	CU_ASSERT_EQUAL(s.rate[UP].rate_bps, 100 * MBIT);
}

/* Receivers that do not look for 30 to 150 ms, about once a second: a busy machine. */
static void test_stalls(void)
{
	for (int way = UP; way <= DOWN; way++) {
		double rate_bps = 0, queue_ns = 0;

		start(way);
		s.way[way].capacity_bps = 40e6;
		sim_run(&s, 10 * SECOND);
		for (int i = 0; i < 60; i++) {
			s.way[sim_random(&s) % 2].stalled_until_ns =
				s.now_ns + (30 + sim_random(&s) % 120) * MS;
			sim_measure(&s, way, (500 + sim_random(&s) % 1000) * MS);
			rate_bps += s.rate_sum_bps / (double)s.steps / 60;
			queue_ns += s.queue_sum_ns / (double)s.steps / 60;
		}
		CU_ASSERT(rate_bps > 0.75 * 40e6 && rate_bps < 1.05 * 40e6);
		CU_ASSERT(queue_ns < 10e6);
		CU_ASSERT(s.rate[way].rebases == 0 && s.rate[way].decreases < 25);
		CU_ASSERT(s.rate[way].false_alarms < 5);
	}
}

static void test_loss(void)
{
	start(UP);
	s.way[UP].capacity_bps = 200e6;
	s.way[UP].lose_percent = 3;
	sim_run(&s, 60 * SECOND);
	CU_ASSERT(s.rate[UP].decreases == 0 && s.rate[UP].rate_bps == 100 * MBIT);
	s.way[UP].lose_percent = 30;
	sim_run(&s, 20 * SECOND);
	CU_ASSERT(s.rate[UP].rate_bps < 80 * MBIT);
	/* Idle: not the reason of it. */
	s.demand_bps[UP] = 0;
	sim_run(&s, 2 * SECOND);
	uint64_t decreases = s.rate[UP].decreases;
	sim_run(&s, 20 * SECOND);
	CU_ASSERT_EQUAL(s.rate[UP].decreases, decreases);
}

/* 25 ms with so much of a queue, as probes tell of it. */
static void probe_step(
	struct track_rate *t, uint64_t queue_ns, uint64_t capacity_bps, uint64_t load_bps)
{
	struct track_input in = {.load_bps = load_bps, .rtt_ns = 40 * MS};
	bool rebase = false;

	s.now_ns += 25 * MS;
	in.figures = (struct track_figures){.fresh_ns = s.now_ns,
		.newest_sent_ns = s.now_ns,
		.queue_ns = queue_ns,
		.newest_ns = queue_ns,
		.achieved_bps = capacity_bps,
		.samples = (uint32_t)(s.now_ns / MS)};
	track_rate_step(t, &in, s.now_ns, &rebase);
	CU_ASSERT_FALSE(rebase);
}

/* At rate_bps a queue of 40 ms stands up behind a bottleneck of capacity_bps, and is emptied.
 * Returns how much of the capacity is used then, in percent. */
static unsigned queue_and_gone(struct track_rate *t, uint64_t rate_bps, uint64_t capacity_bps)
{
	probe_step(t, 0, capacity_bps, 0);
	t->is_starting = false;
	t->rate_bps = rate_bps;
	for (int i = 0; i < 100 && !t->is_draining; i++)
		probe_step(t, 40 * MS, capacity_bps, capacity_bps);
	for (int i = 0; i < 8; i++)
		probe_step(t, 40 * MS, capacity_bps, capacity_bps);
	for (int i = 0; i < 100 && t->is_draining; i++)
		probe_step(t, 0, capacity_bps, capacity_bps);
	unsigned percent = (unsigned)((t->rate_bps * 100 + capacity_bps / 2) / capacity_bps);
	for (int i = 0; i < 100; i++) /* idle: nothing of it is left */
		probe_step(t, 0, capacity_bps, 0);
	return percent;
}

/* Queues that stand up at less than the capacity come of the senders' bursts: they get more room.
 * Queues of growing beyond it take that back; a capacity that falls says nothing of bursts. */
static void test_bursts(void)
{
	struct track_rate_config config = {
		.min_bps = 2 * MBIT, .max_bps = 24 * MBIT, .interval_ns = 25 * MS};
	struct track_rate t;
	unsigned percent = 0;

	sim_start(&s, 20 * MBIT, 2 * MBIT, 24 * MBIT); /* for its clock */
	track_rate_init(&t, &config, s.now_ns);
	CU_ASSERT_EQUAL(queue_and_gone(&t, 24 * MBIT, 20 * MBIT), 92);
	CU_ASSERT_EQUAL(queue_and_gone(&t, 19 * MBIT, 8 * MBIT), 92);
	CU_ASSERT_EQUAL(queue_and_gone(&t, 7360000, 8 * MBIT), 90);
	CU_ASSERT_EQUAL(queue_and_gone(&t, 7200000, 8 * MBIT), 88);
	for (int i = 0; i < 10; i++)
		percent = queue_and_gone(&t, 7 * MBIT, 8 * MBIT);
	CU_ASSERT_EQUAL(percent, 82);
	CU_ASSERT_EQUAL(queue_and_gone(&t, 8 * MBIT, 8 * MBIT), 83);
	CU_ASSERT_EQUAL(queue_and_gone(&t, 7900000, 4 * MBIT), 83);
	for (int i = 0; i < 20; i++)
		percent = queue_and_gone(&t, 8 * MBIT, 8 * MBIT);
	CU_ASSERT_EQUAL(percent, 92);

	/* On the way up nobody bursts but we. */
	config.is_up = true;
	track_rate_init(&t, &config, s.now_ns);
	for (int i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(queue_and_gone(&t, 8 * MBIT, 8 * MBIT), 96);
}

/* A peer that is authenticated and lies, with a little truth in between; and wild figures. */
static void test_hostile(void)
{
	static const uint64_t wild[] = {
		0, 1, UINT64_MAX, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT32_MAX, 1000 * SECOND};
	unsigned n = sizeof(wild) / sizeof(wild[0]);
	struct link_probe p;

	start(UP);
	for (int i = 0; i < 200000; i++) {
		p = (struct link_probe){.number = sim_random(&s) % 4
							  ? s.path[0].heard + 1
							  : (uint32_t)wild[sim_random(&s) % n],
			.heard = sim_random(&s) % 4 ? s.path[0].number - sim_random(&s) % 3
						    : (uint32_t)wild[sim_random(&s) % n],
			.heard_count = sim_random(&s),
			.wanted_ms = (uint16_t)sim_random(&s),
			.sent_ns = sim_random(&s) % 4 ? s.now_ns + sim_random(&s)
						      : wild[sim_random(&s) % n],
			.heard_ns = sim_random(&s) % 4 ? s.now_ns - sim_random(&s)
						       : wild[sim_random(&s) % n]};
		track_path_receive(&s.path[0], &p, (uint64_t)s.way[DOWN].left, s.now_ns);
		const struct track_figures *f = &s.path[0].up.figures;
		if (f->queue_ns > TRACK_QUEUE_MAX_NS || f->newest_ns > TRACK_QUEUE_MAX_NS ||
			f->noise_ns > TRACK_NOISE_MAX_NS || f->loss_percent > 100)
			CU_FAIL_FATAL("a figure out of bounds");
		if (i % 20 == 0)
			sim_run(&s, 10 * MS);
	}
	CU_ASSERT_FALSE(s.out_of_bounds);
	/* However often it wants them: no more than 50 a second. */
	p.number = s.path[0].heard + 1;
	p.wanted_ms = 1;
	track_path_receive(&s.path[0], &p, 0, s.now_ns);
	uint32_t before = s.path[0].number;
	for (uint64_t ns = 0; ns < SECOND / 2; ns += MS)
		track_path_probe(&s.path[0], 0, 0, s.now_ns + ns, &p);
	CU_ASSERT(s.path[0].number - before <= 26);

	for (int i = 0; i < 100000; i++) {
		struct track_input in = {.load_bps = wild[sim_random(&s) % n],
			.up_bytes = wild[sim_random(&s) % n],
			.rtt_ns = sim_random(&s),
			.figures = {.fresh_ns = s.now_ns - sim_random(&s) % 4 * SECOND,
				.queue_ns = sim_random(&s) * 100ul % TRACK_QUEUE_MAX_NS,
				.newest_ns = sim_random(&s) * 100ul % TRACK_QUEUE_MAX_NS,
				.noise_ns = sim_random(&s) % TRACK_NOISE_MAX_NS,
				.achieved_bps = wild[sim_random(&s) % n],
				.newest_sent_ns = wild[sim_random(&s) % n],
				.newest_sent_bytes = wild[sim_random(&s) % n],
				.loss_number = sim_random(&s),
				.loss_percent = sim_random(&s) % 101}};
		bool rebase = false;
		s.now_ns += sim_random(&s);
		uint64_t rate_bps = track_rate_step(&s.rate[UP], &in, s.now_ns, &rebase);
		if (rate_bps < 5 * MBIT || rate_bps > 100 * MBIT)
			CU_FAIL_FATAL("a rate out of bounds");
	}
}

/* A peer restarts: other clock, other numbers. */
static void test_restart(void)
{
	start(UP);
	s.way[UP].capacity_bps = 20e6;
	sim_run(&s, 5 * SECOND);
	sim_new_session(&s);
	s.drift = 3e-6; /* 3 ms later all of a sudden */
	sim_run(&s, 3 * SECOND);
	CU_ASSERT(s.rate[UP].rate_bps > 15 * MBIT);
	check_steady(UP, 20e6, 35);
}

static void test_message(void)
{
	struct link_session from = {.alive = true}, to = {.alive = true};
	struct link_probe probe = {.number = 7,
				  .heard = 0x01020304,
				  .heard_count = 99,
				  .wanted_ms = 0x1234,
				  .sent_ns = 0x1122334455667788,
				  .heard_ns = 0x99aabbccddeeff00},
			  read;
	uint8_t msg[LINK_PROBE_MESSAGE_BYTES + 1], copy[sizeof(msg)];
	int len;

	memset(from.current.own, 1, LINK_NONCE_BYTES);
	memset(from.current.peer, 2, LINK_NONCE_BYTES);
	memset(to.current.own, 2, LINK_NONCE_BYTES);
	memset(to.current.peer, 1, LINK_NONCE_BYTES);
	memset(from.hello_key, 9, sizeof(from.hello_key));
	memset(to.hello_key, 9, sizeof(to.hello_key));
	CU_ASSERT_EQUAL(link_probe_write(&from, &probe, msg, sizeof(msg) - 2), -ENOSPC);
	len = link_probe_write(&from, &probe, msg, sizeof(msg));
	CU_ASSERT_EQUAL_FATAL(len, LINK_PROBE_MESSAGE_BYTES);
	CU_ASSERT(link_is_probe(msg, (size_t)len));
	CU_ASSERT_EQUAL(link_probe_read(&to, msg, (size_t)len, &read), 0);
	CU_ASSERT(read.number == probe.number && read.heard == probe.heard &&
		  read.heard_count == probe.heard_count && read.wanted_ms == probe.wanted_ms &&
		  read.sent_ns == probe.sent_ns && read.heard_ns == probe.heard_ns);

	/* Nothing of it may change. */
	for (int i = 0; i < len * 8; i++) {
		memcpy(copy, msg, sizeof(msg));
		copy[i / 8] ^= (uint8_t)(1 << i % 8);
		CU_ASSERT(link_probe_read(&to, copy, (size_t)len, &read) < 0);
	}
	for (int i = 0; i < len; i++)
		CU_ASSERT_EQUAL(link_probe_read(&to, msg, (size_t)i, &read), -EBADMSG);
	CU_ASSERT_EQUAL(link_probe_read(&to, msg, (size_t)len + 1, &read), -EBADMSG);
	/* Sent back to its sender, of another session, without one. */
	CU_ASSERT_EQUAL(link_probe_read(&from, msg, (size_t)len, &read), -EACCES);
	to.current.peer[3]++;
	CU_ASSERT_EQUAL(link_probe_read(&to, msg, (size_t)len, &read), -EACCES);
	to.current.peer[3]--;
	to.alive = from.alive = false;
	CU_ASSERT_EQUAL(link_probe_read(&to, msg, (size_t)len, &read), -ENOTCONN);
	CU_ASSERT_EQUAL(link_probe_write(&from, &probe, msg, sizeof(msg)), -ENOTCONN);
	/* The hello's reader takes it for what it does not know, and changes nothing. */
	static struct link_hello hello;
	CU_ASSERT_EQUAL(link_hello_read(msg, (size_t)len, to.hello_key, &hello), -EBADMSG);
}

UNIT_TESTS("track", {"a probe's bytes", test_message}, {"steps of the rate, way up", test_steps_up},
	{"steps, way down", test_steps_down}, {"jitter of 5 ms", test_jitter},
	{"clocks 100 ppm apart", test_drift}, {"sawtooth", test_sawtooth}, {"idle", test_idle},
	{"another route", test_route}, {"bounds", test_bounds}, {"silence", test_silence},
	{"never heard", test_never_heard}, {"stalls", test_stalls}, {"loss", test_loss},
	{"bursts of the senders", test_bursts}, {"hostile figures", test_hostile},
	{"restarted peer", test_restart})
