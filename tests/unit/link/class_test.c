/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * link/class.c: loss by class, with traffic going on, through loss, duplicates, reordering and a
 * restart, against a model that follows every packet. Lanes and workers, hellos that get lost, and
 * times in which nobody knows both numbers.
 */
#include <errno.h>
#include <stdlib.h>

#include "dataplane/link/class.h"
#include "dataplane/link/shim.h"
#include "tests/unit/compress/data.h"
#include "tests/unit/unit.h"

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)
#define LANES 3
#define WORKERS 2
#define HELLO_NS (150 * MS)

struct packet {
	uint64_t at_ns;
	uint32_t number, sent;
	uint8_t lane, slot;
};

struct run {
	struct link_class_tx tx[LANES];
	struct link_class_rx rx[WORKERS];
	struct link_class_loss loss;
	struct link_seq seq[LANES];
	uint32_t next[LANES];
	uint64_t seed, named;
	uint64_t sent[LINK_CLASS_SLOTS], lost[LINK_CLASS_SLOTS], doubled[LINK_CLASS_SLOTS];
	struct packet *fly;
	unsigned flying;
};

static double chance(struct run *r)
{
	return (double)(data_next(&r->seed) >> 11) / 9007199254740992.0;
}

static void hello(struct run *r, uint32_t session, uint64_t now_ns, uint64_t offset_ns)
{
	uint32_t sent[LINK_CLASS_SLOTS] = {0};
	uint32_t interval = link_interval_of(now_ns + offset_ns) - 1 - r->named++ % 2;

	for (unsigned lane = 0; lane < LANES; lane++)
		link_class_add_sent(&r->tx[lane], session, interval, sent);
	if (chance(r) < 0.1)
		return;
	link_class_announce(
		&r->loss, session, interval & LINK_INTERVAL_MASK, sent, now_ns + 20 * MS);
}

static void arrive(struct run *r, uint32_t session, uint64_t now_ns)
{
	for (unsigned i = 0; i < r->flying;) {
		struct packet p = r->fly[i];
		struct link_arrival a = {0};

		if (p.at_ns > now_ns) {
			i++;
			continue;
		}
		r->fly[i] = r->fly[--r->flying];
		a.class_slot = p.slot;
		a.session_id = session;
		a.sent = p.sent;
		link_seq_accept(&r->seq[p.lane], p.number, p.sent, now_ns, &a);
		link_class_arrived(&r->rx[p.lane % WORKERS], &a, 100, now_ns);
	}
}

/* 500 packets a second for `seconds`, on a clock that is `offset_ns` ahead. */
static void traffic(struct run *r, uint32_t session, uint64_t *now_ns, unsigned seconds,
	uint64_t offset_ns, double loss)
{
	uint64_t end_ns = *now_ns + seconds * SECOND, hello_ns = *now_ns;
	const struct link_class_rx *rx[WORKERS] = {&r->rx[0], &r->rx[1]};

	for (; *now_ns < end_ns + 6 * SECOND; *now_ns += 2 * MS) {
		struct packet p = {.sent = link_timestamp(*now_ns + offset_ns)};

		if (*now_ns < end_ns) {
			p.lane = (uint8_t)(data_next(&r->seed) % LANES);
			p.slot = (uint8_t)(data_next(&r->seed) % LINK_CLASS_SLOTS);
			p.number = r->next[p.lane]++;
			link_class_sent(&r->tx[p.lane], session, p.slot, *now_ns + offset_ns);
			r->sent[p.slot]++;
			p.at_ns = *now_ns + 10 * MS + data_next(&r->seed) % (200 * MS);
			if (chance(r) < loss * (1 + p.slot % 3)) {
				r->lost[p.slot]++;
			} else {
				r->fly[r->flying++] = p;
				if (chance(r) < 0.05) {
					p.at_ns += 30 * MS;
					r->fly[r->flying++] = p;
					r->doubled[p.slot]++;
				}
			}
		}
		arrive(r, session, *now_ns);
		if (*now_ns >= hello_ns) {
			hello_ns += HELLO_NS;
			hello(r, session, *now_ns, offset_ns);
			link_class_settle(&r->loss, rx, WORKERS, *now_ns);
		}
	}
}

static struct run *start(uint64_t seed)
{
	struct run *r = aligned_alloc(64, (sizeof(*r) + 63) / 64 * 64);

	memset(r, 0, sizeof(*r));
	r->seed = seed;
	r->fly = calloc(10000, sizeof(*r->fly));
	return r;
}

static void check(const struct run *r)
{
	for (unsigned s = 0; s < LINK_CLASS_SLOTS; s++) {
		uint64_t frames = r->rx[0].slot[s].frames + r->rx[1].slot[s].frames;
		uint64_t doubled = r->rx[0].slot[s].duplicates + r->rx[1].slot[s].duplicates;

		CU_ASSERT(r->lost[s] > 0);
		CU_ASSERT_EQUAL(r->loss.sent[s], r->sent[s]);
		CU_ASSERT_EQUAL(r->loss.lost[s], r->lost[s]);
		CU_ASSERT_EQUAL(frames, r->sent[s] - r->lost[s]);
		CU_ASSERT_EQUAL(doubled, r->doubled[s]);
	}
}

static void end(struct run *r)
{
	free(r->fly);
	free(r);
}

/* On clocks with nothing in common, and across the wrap of the send time (4,398 s). */
static void test_exact(void)
{
	static const uint64_t offsets[] = {0, 123456789, 4390 * SECOND, 86400 * 365 * SECOND};

	for (uint64_t seed = 0; seed < 12; seed++) {
		struct run *r = start(seed);
		uint64_t now_ns = 7 * SECOND;

		traffic(r, 1, &now_ns, 20, offsets[seed % 4], 0.03);
		check(r);
		/* Two hours of silence: the intervals have come round. */
		now_ns += 2 * 4096 * (UINT64_C(1) << 30) + 777 * MS;
		traffic(r, 1, &now_ns, 10, offsets[seed % 4], 0.1);
		check(r);
		end(r);
	}
}

/* The peer restarts: another session and clock. What was before it and what is after it counts. */
static void test_restart(void)
{
	struct run *r = start(1);
	uint64_t now_ns = 7 * SECOND;

	traffic(r, 1, &now_ns, 10, 0, 0.05);
	memset(r->tx, 0, sizeof(r->tx));
	for (unsigned lane = 0; lane < LANES; lane++) {
		r->next[lane] = 0;
		link_seq_start(&r->seq[lane], 2, 0);
	}
	traffic(r, 2, &now_ns, 10, 33333 * SECOND, 0.05);
	check(r);
	end(r);
}

/* Heard of too late: no figure rather than a wrong one. */
static void test_unsettled(void)
{
	struct run *r = start(1);
	const struct link_class_rx *rx[WORKERS] = {&r->rx[0], &r->rx[1]};
	const uint32_t sent[LINK_CLASS_SLOTS] = {100};

	link_class_announce(&r->loss, 1, 5, sent, 10 * SECOND);
	link_class_settle(&r->loss, rx, WORKERS, 12 * SECOND);
	CU_ASSERT_EQUAL(r->loss.unsettled, 0);
	link_class_settle(&r->loss, rx, WORKERS, 16 * SECOND);
	CU_ASSERT_EQUAL(r->loss.unsettled, 1);
	CU_ASSERT_EQUAL(r->loss.lost[0], 0);
	/* In time, and all of it lost; said again later, it does not count twice. */
	link_class_announce(&r->loss, 1, 6, sent, 17 * SECOND);
	link_class_settle(&r->loss, rx, WORKERS, 20 * SECOND);
	CU_ASSERT_EQUAL(r->loss.lost[0], 100);
	link_class_announce(&r->loss, 1, 6, sent, 21 * SECOND);
	link_class_settle(&r->loss, rx, WORKERS, 24 * SECOND);
	CU_ASSERT_EQUAL(r->loss.lost[0], 100);
	end(r);
}

static void test_slots(void)
{
	CU_ASSERT_EQUAL(link_class_slot(0), 1);
	CU_ASSERT_EQUAL(link_class_slot(14), 15);
	CU_ASSERT_EQUAL(link_class_slot(15), 0);
	CU_ASSERT_EQUAL(link_class_slot(UINT32_MAX), 0);
}

UNIT_TESTS("link-class", {"exact with traffic going on", test_exact},
	{"a restart of the peer", test_restart}, {"no figure where there is none", test_unsettled},
	{"slots", test_slots})
