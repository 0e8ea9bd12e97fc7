/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The search for a path's rate on simulated paths: a bottleneck with a buffer, delay both ways,
 * random loss. It must find the bottleneck, not exceed its limit, and leave the queue short. And
 * the messages of a speed test: read as written, only by whom they are for.
 */
#include <errno.h>
#include <stdlib.h>

#include <sodium.h>

#include "dataplane/control/speedtest_message.h"
#include "dataplane/control/speedtest_search.h"
#include "tests/unit/unit.h"

#define MS UINT64_C(1000000)
#define PACKET 1500
#define REPORT_NS (10 * MS)
#define OFFSET UINT64_C(777000000000) /* the receiver's clock is ahead */

static struct speed_search s;

struct path {
	double bps, loss;
	uint64_t one_way_ns, buffer_ns, jitter_ns;
};

struct outcome {
	double rate_bps;
	uint64_t over_ns, queue_p50_ns, queue_max_ns, most_bps;
	bool is_saturated;
};

/* Reports reach the sender half a round trip later; this many may be under way. */
#define UNDER_WAY 256

static uint64_t jitter(uint64_t most_ns)
{
	return most_ns == 0 ? 0 : (uint64_t)(drand48() * (double)most_ns);
}

static struct outcome run(const struct path *path, uint64_t limit_bps, uint64_t duration_ns)
{
	static struct {
		uint64_t at_ns;
		struct speed_sample sample;
	} reports[UNDER_WAY];
	unsigned head = 0, tail = 0;
	uint64_t free_ns = 0, now_ns = 1, next_ns = 1, report_ns = REPORT_NS;
	struct speed_sample arrived = {0}, pending[65536];
	uint64_t sent = 0, first = 0, last = 0;
	struct outcome o = {0};

	srand48(3);
	speed_search_init(&s, limit_bps, 2 * path->one_way_ns, now_ns);
	for (; now_ns < duration_ns; now_ns += MS / 4) {
		while (next_ns <= now_ns) { /* one packet */
			uint64_t start_ns = free_ns > next_ns ? free_ns : next_ns;
			bool lost = drand48() < path->loss;

			sent++;
			if (start_ns - next_ns <= path->buffer_ns) {
				free_ns = start_ns + (uint64_t)(PACKET * 8e9 / path->bps);
				if (!lost)
					pending[last++ % 65536] =
						(struct speed_sample){.sent_ns = next_ns,
							.arrived_ns = free_ns + path->one_way_ns +
								      jitter(path->jitter_ns),
							.expected = sent};
			}
			next_ns += PACKET * UINT64_C(8000000000) / s.rate_bps;
		}
		while (first != last && pending[first % 65536].arrived_ns <= now_ns) {
			uint64_t packets = arrived.packets + 1;
			arrived = pending[first++ % 65536];
			arrived.packets = packets;
			arrived.bytes = packets * PACKET;
		}
		if (now_ns >= report_ns && arrived.packets > 0) {
			report_ns = now_ns + REPORT_NS;
			reports[head++ % UNDER_WAY].sample = arrived;
			reports[(head - 1) % UNDER_WAY].sample.arrived_ns += OFFSET;
			reports[(head - 1) % UNDER_WAY].at_ns = now_ns + path->one_way_ns;
		}
		while (tail != head && reports[tail % UNDER_WAY].at_ns <= now_ns)
			speed_search_sample(&s, &reports[tail++ % UNDER_WAY].sample, now_ns);
		if (s.rate_bps > o.most_bps)
			o.most_bps = s.rate_bps;
	}
	uint64_t rate_bps;
	speed_search_result(&s, &rate_bps, &o.over_ns);
	o.rate_bps = (double)rate_bps;
	o.is_saturated = s.is_saturated;
	o.queue_p50_ns = histogram_percentile(&s.delay, 50);
	o.queue_max_ns = histogram_max(&s.delay);
	return o;
}

static void test_bottleneck(void)
{
	static const double mbit[] = {0.5, 2, 5, 20, 100, 400, 900};
	static const uint64_t delays_ms[] = {1, 10, 50};
	static const double losses[] = {0, 0.01, 0.05};

	for (unsigned m = 0; m < 7; m++)
		for (unsigned d = 0; d < 3; d++)
			for (unsigned l = 0; l < 3; l++) {
				const struct path path = {.bps = mbit[m] * 1e6,
					.loss = losses[l],
					.one_way_ns = delays_ms[d] * MS,
					.buffer_ns = 300 * MS};
				struct outcome o = run(&path, 1000000000, 5000 * MS);
				double carried = path.bps * (1 - path.loss);
				uint64_t queue_ns =
					60 * MS + (uint64_t)(4 * PACKET * 8e9 / path.bps);
				bool right = o.is_saturated && o.rate_bps > carried * 0.9 &&
					     o.rate_bps < carried * 1.05;

				CU_ASSERT(right);
				/* Not a standing queue: what the doubling filled empties. */
				CU_ASSERT(o.queue_p50_ns < queue_ns);
				if (!right || o.queue_p50_ns >= queue_ns)
					printf("     %g Mbit/s, %d ms, loss %g: %.3f Mbit/s over "
					       "%.1f s, queue p50 %.1f ms\n",
						mbit[m], (int)delays_ms[d], losses[l],
						o.rate_bps / 1e6, (double)o.over_ns / 1e9,
						(double)o.queue_p50_ns / 1e6);
			}
}

/* Jitter is no queue. */
static void test_jitter(void)
{
	for (uint64_t jitter_ms = 1; jitter_ms <= 8; jitter_ms *= 2) {
		const struct path path = {.bps = 50e6,
			.loss = 0.01,
			.one_way_ns = 20 * MS,
			.buffer_ns = 300 * MS,
			.jitter_ns = jitter_ms * MS};
		struct outcome o = run(&path, 1000000000, 5000 * MS);

		CU_ASSERT(o.is_saturated && o.rate_bps > 45e6 && o.rate_bps < 52e6);
		if (o.rate_bps <= 45e6)
			printf("     jitter %d ms: %.1f Mbit/s\n", (int)jitter_ms,
				o.rate_bps / 1e6);
	}
}

/* A path that carries more than may be offered: at least that much, and no queue at all. */
static void test_limit(void)
{
	const struct path path = {.bps = 100e6, .one_way_ns = 10 * MS, .buffer_ns = 300 * MS};
	struct outcome o = run(&path, 30000000, 3000 * MS);

	CU_ASSERT_FALSE(o.is_saturated);
	CU_ASSERT_EQUAL(o.most_bps, 30000000);
	CU_ASSERT(o.rate_bps > 29.5e6 && o.rate_bps < 30.5e6);
	CU_ASSERT(o.queue_max_ns < 2 * MS);
	/* The limit sinks, as when other traffic comes. */
	speed_search_limit(&s, 5000000);
	CU_ASSERT_EQUAL(s.rate_bps, 5000000);
}

static void test_nothing_comes(void)
{
	uint64_t rate_bps, over_ns;

	speed_search_init(&s, 1000000000, 20 * MS, 1);
	speed_search_result(&s, &rate_bps, &over_ns);
	CU_ASSERT(rate_bps == 0 && over_ns == 0);
	CU_ASSERT_EQUAL(s.rate_bps, SPEED_START_BPS);
}

static void test_messages(void)
{
	struct link_session a = {.alive = true}, b = {.alive = true}, other;
	const struct speed_message sent = {.type = SPEED_REPORT,
		.number = 5,
		.test = 0x1122334455667788,
		.sent_ns = 1,
		.arrived_ns = 2,
		.bytes = 3,
		.packets = 4,
		.expected = 6};
	struct speed_message read;
	uint8_t msg[SPEED_MESSAGE_BYTES];

	CU_ASSERT_FATAL(sodium_init() >= 0);
	memset(a.current.own, 1, LINK_NONCE_BYTES);
	memset(a.current.peer, 2, LINK_NONCE_BYTES);
	memset(b.current.own, 2, LINK_NONCE_BYTES);
	memset(b.current.peer, 1, LINK_NONCE_BYTES);
	CU_ASSERT_EQUAL(speed_message_write(&a, &sent, msg, sizeof(msg)), 0);
	CU_ASSERT_EQUAL(speed_message_read(&b, msg, sizeof(msg), &read), 0);
	CU_ASSERT(read.type == SPEED_REPORT && read.number == 5 && read.test == sent.test);
	CU_ASSERT(read.sent_ns == 1 && read.arrived_ns == 2 && read.bytes == 3);
	CU_ASSERT(read.packets == 4 && read.expected == 6);
	/* Sent back to its sender, in another session, by another key, damaged, cut. */
	CU_ASSERT_EQUAL(speed_message_read(&a, msg, sizeof(msg), &read), -EACCES);
	other = b;
	other.current.own[0] = 9;
	CU_ASSERT_EQUAL(speed_message_read(&other, msg, sizeof(msg), &read), -EACCES);
	other = b;
	other.hello_key[31] = 1;
	CU_ASSERT_EQUAL(speed_message_read(&other, msg, sizeof(msg), &read), -EACCES);
	other = b;
	other.alive = false;
	CU_ASSERT_EQUAL(speed_message_read(&other, msg, sizeof(msg), &read), -ENOTCONN);
	CU_ASSERT_EQUAL(speed_message_write(&other, &sent, msg, sizeof(msg)), -ENOTCONN);
	for (size_t at = 0; at < sizeof(msg); at++) {
		msg[at] ^= 1;
		CU_ASSERT_NOT_EQUAL(speed_message_read(&b, msg, sizeof(msg), &read), 0);
		msg[at] ^= 1;
	}
	for (size_t cut = 0; cut < sizeof(msg); cut++)
		CU_ASSERT_NOT_EQUAL(speed_message_read(&b, msg, cut, &read), 0);
}

UNIT_TESTS("speedtest", {"finds the bottleneck", test_bottleneck},
	{"jitter is no queue", test_jitter}, {"keeps within its limit", test_limit},
	{"nothing comes back", test_nothing_comes}, {"messages", test_messages})
