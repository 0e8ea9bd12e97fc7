/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CoDel against RFC 8289: the same packets go through our integer state machine and through the
 * RFC's algorithm in real numbers, each with a queue of its own; both must drop the same ones.
 */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "dataplane/shape/codel.h"

#define PACKETS 40000
#define FRAME_BYTES 1514
#define RATE_BPS 10000000
#define TARGET_NS 5000000
#define INTERVAL_NS 100000000

struct arrival {
	uint64_t at_ns;
	uint32_t bytes;
};

/* A queue: packets head..tail-1 of a trace. */
struct fifo {
	const struct arrival *trace;
	uint64_t sum[PACKETS + 1]; /* of bytes before a packet */
	uint32_t head, tail;
	uint64_t now_ns;
	bool dropped[PACKETS];
	unsigned drops, restarts; /* ... with a count that was kept */
};

static uint64_t seed;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((seed >> 33) * (uint64_t)below >> 31);
}

static uint64_t wire_ns(uint64_t bytes)
{
	return bytes * 8000000000ull / RATE_BPS;
}

static void fifo_start(struct fifo *f, const struct arrival *trace)
{
	memset(f, 0, sizeof(*f));
	f->trace = trace;
	for (unsigned i = 0; i < PACKETS; i++)
		f->sum[i + 1] = f->sum[i] + trace[i].bytes;
}

static void fifo_fill(struct fifo *f)
{
	while (f->tail < PACKETS && f->trace[f->tail].at_ns <= f->now_ns)
		f->tail++;
}

static void fifo_send(struct fifo *f)
{
	f->now_ns += wire_ns(f->trace[f->head++].bytes);
	fifo_fill(f);
}

static void fifo_drop(struct fifo *f)
{
	f->dropped[f->head++] = true;
	f->drops++;
}

/* ---- Ours ---- */

static void run_ours(struct fifo *f)
{
	struct codel c = {0};

	while (f->head < PACKETS) {
		if (f->head == f->tail) {
			f->now_ns = f->trace[f->head].at_ns;
			fifo_fill(f);
		}
		while (codel_drop(&c, TARGET_NS, INTERVAL_NS, f->now_ns - f->trace[f->head].at_ns,
			(uint32_t)(f->sum[f->tail] - f->sum[f->head + 1]), f->tail - f->head,
			FRAME_BYTES, f->now_ns)) {
			if (c.last_count == c.count && c.count > 1)
				f->restarts++;
			fifo_drop(f);
		}
		fifo_send(f);
	}
}

/* ---- RFC 8289, section 5, in real numbers ---- */

struct reference {
	double first_above, drop_next;
	uint32_t count, last_count;
	bool dropping;
};

struct taken {
	bool packet, ok_to_drop;
};

/* The head is taken out of the queue only by fifo_send() and fifo_drop() here, so what the RFC
 * finds left in the queue is what is behind the head. */
static struct taken reference_take(struct reference *r, const struct fifo *f)
{
	struct taken t = {f->head < f->tail, false};
	double now = (double)f->now_ns;

	if (!t.packet) {
		r->first_above = 0;
		return t;
	}
	double sojourn = now - (double)f->trace[f->head].at_ns;
	if (sojourn < TARGET_NS || f->sum[f->tail] - f->sum[f->head + 1] <= FRAME_BYTES)
		r->first_above = 0;
	else if (r->first_above == 0)
		r->first_above = now + INTERVAL_NS;
	else
		t.ok_to_drop = now >= r->first_above;
	return t;
}

static double reference_law(double t, uint32_t count)
{
	return t + INTERVAL_NS / sqrt(count);
}

static void reference_send(struct reference *r, struct fifo *f)
{
	double now = (double)f->now_ns;
	struct taken t = reference_take(r, f);

	if (!t.packet) {
		r->dropping = false;
		return;
	}
	if (r->dropping) {
		if (!t.ok_to_drop)
			r->dropping = false;
		while (now >= r->drop_next && r->dropping) {
			fifo_drop(f);
			r->count++;
			t = reference_take(r, f);
			if (!t.ok_to_drop)
				r->dropping = false;
			else
				r->drop_next = reference_law(r->drop_next, r->count);
		}
	} else if (t.ok_to_drop) {
		fifo_drop(f);
		t = reference_take(r, f);
		r->dropping = true;
		uint32_t delta = r->count - r->last_count;
		r->count = 1;
		if (delta > 1 && now - r->drop_next < 16.0 * INTERVAL_NS) {
			r->count = delta;
			f->restarts++;
		}
		r->drop_next = reference_law(now, r->count);
		r->last_count = r->count;
	}
	if (t.packet)
		fifo_send(f);
}

static void run_reference(struct fifo *f)
{
	struct reference r = {0};

	while (f->head < PACKETS) {
		reference_send(&r, f);
		if (f->head < PACKETS && f->head == f->tail) {
			reference_send(&r, f); /* it finds the queue empty */
			f->now_ns = f->trace[f->head].at_ns;
			fifo_fill(f);
		}
	}
}

/* ---- Traces ---- */

static struct arrival trace[PACKETS];
static struct fifo ours, reference;

/* Arrivals at load_percent of the rate for on_ms, then at low_percent for off_ms, and so on. */
static void make_trace(unsigned load_percent, unsigned on_ms, unsigned low_percent, unsigned off_ms,
	uint32_t bytes_min, uint32_t bytes_max)
{
	uint64_t t_ns = 1000000000;

	for (unsigned i = 0; i < PACKETS; i++) {
		unsigned phase_ms = (unsigned)(t_ns / 1000000 % (on_ms + off_ms));
		unsigned load = phase_ms < on_ms ? load_percent : low_percent;

		trace[i].bytes = bytes_min + rnd(bytes_max - bytes_min + 1);
		trace[i].at_ns = t_ns;
		/* Between half and one and a half times the mean gap. */
		t_ns += wire_ns(trace[i].bytes) * (50 + rnd(101)) / load;
	}
}

static unsigned differences(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PACKETS; i++)
		n += ours.dropped[i] != reference.dropped[i];
	return n;
}

static void compare(unsigned drops_min, unsigned restarts_min)
{
	fifo_start(&ours, trace);
	fifo_start(&reference, trace);
	run_ours(&ours);
	run_reference(&reference);
	CU_ASSERT(ours.drops >= drops_min);
	CU_ASSERT_EQUAL(ours.drops, reference.drops);
	/* Where the next drop's time rounds to either side of a packet's, its neighbour goes. */
	CU_ASSERT(differences() <= ours.drops / 20);
	CU_ASSERT(reference.restarts >= restarts_min);
	CU_ASSERT_EQUAL(ours.restarts, reference.restarts);
}

static void test_steady_overload(void)
{
	seed = 1;
	make_trace(110, 1000, 110, 1, 1514, 1514);
	compare(1000, 0);
}

static void test_waves(void)
{
	seed = 2;
	make_trace(150, 900, 20, 700, 1514, 1514);
	compare(100, 10);
}

static void test_long_pauses(void)
{
	seed = 3;
	make_trace(180, 900, 5, 9000, 1514, 1514);
	compare(100, 0);
}

static void test_mixed_sizes(void)
{
	seed = 4;
	make_trace(130, 800, 60, 900, 64, 1514);
	compare(200, 5);
}

static void test_near_the_rate(void)
{
	seed = 5;
	make_trace(101, 3000, 97, 2000, 400, 1514);
	compare(20, 0);
}

static void test_no_overload(void)
{
	seed = 6;
	make_trace(80, 1000, 80, 1, 64, 1514);
	compare(0, 0);
	CU_ASSERT_EQUAL(ours.drops, 0);
}

static void test_law(void)
{
	for (uint64_t count = 1; count <= UINT32_MAX; count += 1 + count / 7) {
		double law = INTERVAL_NS / sqrt((double)count);
		double got = (double)codel_control_law(0, INTERVAL_NS, (uint32_t)count);

		CU_ASSERT(fabs(got - law) <= 1 + law / 30000);
	}
}

/* A mark ends the matter: nothing is asked again until the next packet's time. */
static void test_marks(void)
{
	struct codel c = {0};
	unsigned marks = 0;
	double next = 2 * (double)INTERVAL_NS;

	/* A queue that doesn't yield: 50 ms of delay, a packet each 100 us, all marked. */
	for (uint64_t t = INTERVAL_NS; t < 31ull * INTERVAL_NS; t += 100000) {
		if (!codel_drop(&c, TARGET_NS, INTERVAL_NS, 50000000, 9000, 7, 1514, t))
			continue;
		CU_ASSERT(fabs((double)t - next) <= 120000);
		next = reference_law(next, ++marks);
	}
	CU_ASSERT(marks > 100);
	/* With no more than a frame behind it, none is signalled to. */
	CU_ASSERT(!codel_drop(&c, TARGET_NS, INTERVAL_NS, 50000000, 1514, 2, 1514, 1ull << 40));
	CU_ASSERT(!c.dropping);
}

UNIT_TESTS("codel", {"the control law is interval / sqrt(count)", test_law},
	{"drops as RFC 8289 in steady overload", test_steady_overload},
	{"drops as RFC 8289 in waves, where the count is kept", test_waves},
	{"drops as RFC 8289 after long pauses", test_long_pauses},
	{"drops as RFC 8289 with mixed sizes", test_mixed_sizes},
	{"drops as RFC 8289 near the rate", test_near_the_rate},
	{"drops nothing below the rate", test_no_overload},
	{"marks follow the control law", test_marks})
