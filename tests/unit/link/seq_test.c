/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * link/seq.c against a model that keeps every number ever sent in an array, under random loss,
 * duplication and reordering, across the wrap of the numbers; and its delay measures against the
 * formulas they come from.
 */
#include <errno.h>
#include <stdlib.h>

#include "dataplane/link/seq.h"
#include "dataplane/link/shim.h"
#include "tests/unit/compress/data.h"
#include "tests/unit/unit.h"

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

struct arrival {
	uint64_t number;
	uint64_t at;
};

static int by_time(const void *a, const void *b)
{
	const struct arrival *x = a, *y = b;

	return x->at != y->at ? (x->at < y->at ? -1 : 1)
			      : (x->number > y->number) - (x->number < y->number);
}

/* RFC 3357: runs of what never came (or came too late to be taken), from the array. */
static void want_losses(const uint8_t *seen, int64_t count, struct link_losses *want)
{
	int64_t before = -1000;

	memset(want, 0, sizeof(*want));
	for (int64_t n = 0, run = 0; n <= count; n++) {
		if (n < count && !seen[n]) {
			run++;
			want->noticeable += n - before <= LINK_LOSS_CONSTRAINT;
			before = n;
			continue;
		}
		if (run > 0) {
			static const int64_t most[] = {1, 2, 4, 8, 16, 32, 64, INT64_MAX};
			int size = 0;
			while (run > most[size])
				size++;
			want->run[size]++;
			want->periods++;
			if ((uint64_t)run > want->longest)
				want->longest = (uint64_t)run;
		}
		run = 0;
	}
}

/* RFC 4737, 4.2.2: accepted[] are the numbers in order of arrival; the extent of the last one
 * reaches back to the first that has a higher number. */
static uint64_t want_extent(const int64_t *accepted, uint32_t count)
{
	uint32_t i = 0;

	while (accepted[i] < accepted[count - 1])
		i++;
	return count - 1 - i;
}

/* `count` packets from `first` on, lost, doubled and shuffled by `jitter` positions, with a few
 * delayed by up to `far`. Compares every answer and every counter. */
static void against_model(uint32_t first, uint32_t count, double loss, double dup, uint32_t jitter,
	uint32_t far, uint64_t seed)
{
	struct arrival *list = malloc(2 * count * sizeof(*list));
	uint8_t *seen = calloc(count, 1);
	struct link_seq *seq = aligned_alloc(64, sizeof(*seq));
	int64_t *accepted = malloc(count * sizeof(*accepted));
	struct link_seq_counts got, want = {0};
	struct link_losses losses = {0}, losses_want;
	struct link_reordering r = {0};
	uint64_t extent_sum = 0, extent_max = 0, known = 0, n_want[LINK_N_REORDERING] = {0};
	uint32_t arrivals = 0;
	int64_t highest = -1;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t copies = 1;

		if ((double)(data_next(&seed) >> 11) / 9007199254740992.0 < loss)
			copies = 0;
		if ((double)(data_next(&seed) >> 11) / 9007199254740992.0 < dup)
			copies++;
		while (copies-- > 0) {
			uint64_t delay = jitter ? data_next(&seed) % jitter : 0;

			if (far && data_next(&seed) % 200 == 0)
				delay = data_next(&seed) % far;
			list[arrivals++] = (struct arrival){i, i + delay};
		}
	}
	qsort(list, arrivals, sizeof(*list), by_time);

	memset(seq, 0, sizeof(*seq));
	link_seq_start(seq, 1, first);
	for (uint32_t i = 0; i < arrivals; i++) {
		int64_t n = (int64_t)list[i].number;
		struct link_arrival a;
		uint64_t max_before = seq->reordering.extent_max,
			 unknown = seq->reordering.extent_unknown;
		int rc = link_seq_accept(seq, first + (uint32_t)n, 0, list[i].at, &a);
		int expected = 0;

		want.received++;
		if (n <= highest && highest + 1 - n > LINK_SEQ_WINDOW) {
			want.late++;
			expected = -EALREADY;
		} else if (seen[n]) {
			want.duplicates++;
			expected = -EALREADY;
		} else {
			accepted[want.unique++] = n;
			want.reordered += n < highest;
			for (uint64_t k = 1; k <= LINK_N_REORDERING && k < want.unique &&
					     accepted[want.unique - 1 - k] > n;
				k++)
				n_want[k - 1]++;
			seen[n] = 1;
			CU_ASSERT_EQUAL(a.is_reordered, n < highest);
			/* Looking back is quadratic: for the first thousands only. */
			if (n < highest && want.unique < 8000 &&
				seq->reordering.extent_unknown == unknown) {
				uint64_t extent = want_extent(accepted, (uint32_t)want.unique);
				if (extent > max_before)
					CU_ASSERT_EQUAL(seq->reordering.extent_max, extent);
				extent_max = extent > extent_max ? extent : extent_max;
				extent_sum++;
			}
		}
		if (n > highest)
			highest = n;
		if (rc != expected)
			CU_FAIL_FATAL("another answer than the model's");
	}
	want.lost = (uint64_t)(highest + 1) - want.unique;
	link_seq_read(seq, NULL, 0, &got);
	CU_ASSERT_EQUAL(got.received, want.received);
	CU_ASSERT_EQUAL(got.unique, want.unique);
	CU_ASSERT_EQUAL(got.lost, want.lost);
	CU_ASSERT_EQUAL(got.duplicates, want.duplicates);
	CU_ASSERT_EQUAL(got.reordered, want.reordered);
	CU_ASSERT_EQUAL(got.late, want.late);
	link_seq_add_losses(seq, &losses);
	want_losses(seen, highest + 1, &losses_want);
	CU_ASSERT_EQUAL(memcmp(&losses, &losses_want, sizeof(losses)), 0);
	link_seq_add_reordering(seq, &r);
	for (int i = 0; i < LINK_SIZES; i++)
		known += r.extent[i];
	CU_ASSERT_EQUAL(known + r.extent_unknown, want.reordered);
	CU_ASSERT(r.extent_max >= extent_max && known >= extent_sum);
	CU_ASSERT_EQUAL(memcmp(r.n_reordered, n_want, sizeof(n_want)), 0);
	/* Reading changes nothing, and a new session closes what is open. */
	link_seq_start(seq, 2, 0);
	memset(&losses, 0, sizeof(losses));
	link_seq_add_losses(seq, &losses);
	CU_ASSERT_EQUAL(memcmp(&losses, &losses_want, sizeof(losses)), 0);
	free(accepted);
	free(list);
	free(seen);
	free(seq);
}

static void test_model(void)
{
	static const double losses[] = {0, 0.001, 0.1, 0.5};
	static const uint32_t jitters[] = {0, 3, 200, 5000, 20000};

	for (uint32_t l = 0; l < 4; l++)
		for (uint32_t j = 0; j < 5; j++) {
			against_model(0, 60000, losses[l], 0.02, jitters[j], 0, l * 10 + j);
			against_model(0, 60000, losses[l], 0.3, jitters[j], 30000, l * 10 + j);
			against_model(
				0xffffc000, 60000, losses[l], 0.1, jitters[j], 9000, l * 10 + j);
		}
	/* Edges: nothing, the very first, all but the last lost. */
	for (uint32_t i = 0; i < 500; i++)
		against_model(i % 2 ? 0 : 0xfffffffe, 1 + i % 7, 0.5, 0.5, 4, 0, i);
}

static struct link_seq lane;

static int arrive(uint32_t number)
{
	return link_seq_accept(&lane, number, 0, 0, NULL);
}

static void test_edges(void)
{
	struct link_seq_counts got;

	memset(&lane, 0, sizeof(lane));
	CU_ASSERT_EQUAL(arrive(3), 0); /* 0, 1, 2 are lost until they come */
	link_seq_read(&lane, NULL, 0, &got);
	CU_ASSERT_EQUAL(got.lost, 3);
	CU_ASSERT_EQUAL(arrive(0), 0);
	CU_ASSERT_EQUAL(arrive(UINT32_MAX), -EALREADY); /* before the first of the session */
	CU_ASSERT_EQUAL(arrive(3), -EALREADY);
	link_seq_read(&lane, NULL, 0, &got);
	CU_ASSERT_EQUAL(got.lost, 2);
	CU_ASSERT_EQUAL(got.late, 1);
	CU_ASSERT_EQUAL(got.duplicates, 1);
	CU_ASSERT_EQUAL(got.reordered, 1);

	/* The window's ends. */
	CU_ASSERT_EQUAL(arrive(3 + LINK_SEQ_WINDOW), 0);
	CU_ASSERT_EQUAL(arrive(3), -EALREADY);
	CU_ASSERT_EQUAL(arrive(4), 0);
	link_seq_read(&lane, NULL, 0, &got);
	CU_ASSERT_EQUAL(got.late, 2);
	/* A jump far beyond it leaves no old bits behind. */
	CU_ASSERT_EQUAL(arrive(1000000), 0);
	for (uint32_t i = 1; i < LINK_SEQ_WINDOW; i++)
		CU_ASSERT_EQUAL(arrive(1000000 - i), 0);
	CU_ASSERT_EQUAL(arrive(1000000 - LINK_SEQ_WINDOW), -EALREADY);
	link_seq_read(&lane, NULL, 0, &got);
	CU_ASSERT_EQUAL(got.lost + got.unique, 1000001);
}

/* Extents and late times by hand: 0 1 5 6 2 3 7 4, one a millisecond. */
static void test_extent(void)
{
	static const uint32_t order[] = {0, 1, 5, 6, 2, 3, 7, 4};
	struct link_reordering r = {0};
	struct link_losses losses = {0};

	memset(&lane, 0, sizeof(lane));
	link_seq_start(&lane, 1, 0);
	for (uint32_t i = 0; i < 8; i++)
		link_seq_accept(&lane, order[i], 0, i * 1024 * 1000, NULL);
	link_seq_add_reordering(&lane, &r);
	/* 2 and 3 and 4 all wait behind 5: extents 2, 3, 5. */
	CU_ASSERT(r.extent[1] == 1 && r.extent[2] == 1 && r.extent[3] == 1);
	CU_ASSERT_EQUAL(r.extent_max, 5);
	CU_ASSERT_EQUAL(r.late_max_ns, 5 * 1024 * 1000);
	CU_ASSERT_EQUAL(r.late_sum_ns, 10 * 1024 * 1000);
	/* 2 comes right behind two higher ones, 4 behind one, 3 behind a lower one. */
	CU_ASSERT(r.n_reordered[0] == 2 && r.n_reordered[1] == 1 && r.n_reordered[2] == 0);
	link_seq_add_losses(&lane, &losses);
	CU_ASSERT_EQUAL(losses.periods, 0);
	/* A billion are jumped over: one period, at once. */
	arrive(1000000007);
	link_seq_add_losses(&lane, &losses);
	CU_ASSERT_EQUAL(losses.periods, 1);
	CU_ASSERT_EQUAL(losses.longest, 1000000007 - 8);
	CU_ASSERT_EQUAL(losses.run[LINK_SIZES - 1], 1);
	CU_ASSERT_EQUAL(losses.noticeable, 1000000007 - 8 - 1);
}

static void test_sessions(void)
{
	struct link_seq_counts got;

	memset(&lane, 0, sizeof(lane));
	link_seq_start(&lane, 1, 0);
	arrive(0);
	arrive(2);
	link_seq_start(&lane, 2, 0);
	CU_ASSERT_EQUAL(arrive(0), 0); /* no duplicate: another session's */
	CU_ASSERT_EQUAL(arrive(2), 0);
	CU_ASSERT_EQUAL(arrive(2), -EALREADY);
	link_seq_read(&lane, NULL, 0, &got);
	CU_ASSERT_EQUAL(got.unique, 4);
	CU_ASSERT_EQUAL(got.lost, 2); /* one of each session: totals go on */
}

static uint64_t lost(struct link_tail *tail, uint64_t now_ns)
{
	struct link_seq_counts got;

	link_seq_read(&lane, tail, now_ns, &got);
	return got.lost;
}

static void test_tail(void)
{
	struct link_tail tail = {0};
	uint64_t now = 5 * SECOND;

	/* Nothing at all arrived of 7. */
	memset(&lane, 0, sizeof(lane));
	link_tail_announce(&tail, 1, 7, now);
	CU_ASSERT_EQUAL(lost(&tail, now), 0);
	CU_ASSERT_EQUAL(lost(&tail, now + SECOND - 1), 0);
	CU_ASSERT_EQUAL(lost(&tail, now + SECOND), 7);

	/* One of them after all, 3 more announced. */
	link_seq_start(&lane, 1, 0);
	arrive(4);
	CU_ASSERT_EQUAL(lost(&tail, now + SECOND), 6);
	now += 2 * SECOND;
	link_tail_announce(&tail, 1, 10, now);
	CU_ASSERT_EQUAL(lost(&tail, now), 6);
	CU_ASSERT_EQUAL(lost(&tail, now + SECOND), 9);
	for (uint32_t i = 0; i < 10; i++)
		arrive(i);
	CU_ASSERT_EQUAL(lost(&tail, now + SECOND), 0);

	/* Announcements far more often than they settle: 100 a second, 10 packets each, all lost.
	 */
	for (int i = 0; i < 500; i++) {
		now += 10 * MS;
		link_tail_announce(&tail, 1, 10 + 10 * (uint32_t)i, now);
	}
	CU_ASSERT(lost(&tail, now) >= 2900 && lost(&tail, now) <= 4000);
	link_tail_announce(&tail, 1, 5000, now + SECOND);
	CU_ASSERT_EQUAL(lost(&tail, now + 2 * SECOND), 4990);
	/* An old announcement, overtaken, changes nothing. */
	link_tail_announce(&tail, 1, 20, now + 3 * SECOND);
	CU_ASSERT_EQUAL(lost(&tail, now + 5 * SECOND), 4990);

	/* A new session, first known to the lane, then to the tail: what was lost stays lost. */
	now += 10 * SECOND;
	link_seq_start(&lane, 2, 0);
	arrive(0);
	CU_ASSERT_EQUAL(lost(&tail, now), 4990);
	link_tail_announce(&tail, 2, 1, now);
	CU_ASSERT_EQUAL(lost(&tail, now + 2 * SECOND), 4990);
	link_tail_announce(&tail, 2, 5, now + 2 * SECOND);
	CU_ASSERT_EQUAL(lost(&tail, now + 4 * SECOND), 4994);
	/* And the other way about. */
	link_tail_announce(&tail, 3, 2, now + 4 * SECOND);
	CU_ASSERT_EQUAL(lost(&tail, now + 4 * SECOND), 4994);
	CU_ASSERT_EQUAL(lost(&tail, now + 5 * SECOND), 4996);

	/* Across the wrap. */
	memset(&lane, 0, sizeof(lane));
	memset(&tail, 0, sizeof(tail));
	link_seq_start(&lane, 1, 0);
	for (uint64_t n = 0; n < UINT64_C(0x100000000); n += 0x40000000)
		link_seq_accept(&lane, (uint32_t)n, 0, 0, NULL);
	link_seq_accept(&lane, UINT32_MAX, 0, 0, NULL);
	for (uint64_t n = 0x40000000; n <= UINT64_C(0x100000000); n += 0x40000000) {
		link_tail_announce(&tail, 1, (uint32_t)n, now);
		lost(&tail, now += SECOND);
	}
	uint64_t before = lost(&tail, now);

	link_tail_announce(&tail, 1, 3, now);
	CU_ASSERT_EQUAL(lost(&tail, now + SECOND), before + 3);
}

/* Jitter by RFC 3550's formula in floating point; delay above the true minimum. */
static void test_delay(void)
{
	uint64_t seed = 1, now = 77 * SECOND, least = UINT64_MAX;
	uint64_t offset = UINT64_C(123456789012345); /* the clocks have nothing in common */
	double jitter = 0, before = 0;
	struct link_seq_counts got;

	memset(&lane, 0, sizeof(lane));
	for (uint32_t i = 0; i < 5000; i++) {
		uint64_t sent = now += 100000;
		uint64_t transit = 20 * MS + data_next(&seed) % (5 * MS);
		struct link_arrival a = {0};
		double d;

		if (transit < least)
			least = transit;
		CU_ASSERT_EQUAL(link_seq_accept(&lane, i, link_timestamp(sent + offset),
					sent + transit, &a),
			0);
		/* Both clocks are cut to 1,024 ns. */
		CU_ASSERT(llabs((long long)(a.delay_ns - (transit - least))) <= 2048);
		d = i == 0 ? 0 : (double)transit - before;
		CU_ASSERT_EQUAL(a.has_ipdv, i > 0);
		CU_ASSERT(i == 0 || llabs((long long)((double)a.ipdv_ns - d)) <= 2048);
		before = (double)transit;
		jitter += ((d < 0 ? -d : d) - jitter) / 16;
	}
	link_seq_read(&lane, NULL, 0, &got);
	CU_ASSERT((double)got.jitter_ns > jitter * 0.99 - 2048);
	CU_ASSERT((double)got.jitter_ns < jitter * 1.01 + 2048);
}

/* A clock that runs 50 ppm fast for a day must not look like delay. */
static void test_drift(void)
{
	uint64_t worst = 0;

	memset(&lane, 0, sizeof(lane));
	for (uint32_t i = 0; i < 864000; i++) {
		uint64_t sent = i * 100 * MS;
		struct link_arrival a = {0};

		link_seq_accept(&lane, i, link_timestamp(sent), sent + 20 * MS + sent / 20000, &a);
		if (a.delay_ns > worst)
			worst = a.delay_ns;
	}
	CU_ASSERT(worst < 2 * MS);

	/* Hours of silence, then another path 30 ms longer: a new minimum, not 30 ms for ever. */
	uint64_t sent = 864000 * 100 * MS + 5 * 3600 * SECOND;
	struct link_arrival a = {.delay_ns = 1};
	uint32_t transit;

	CU_ASSERT(!link_seq_least_transit(&lane, sent, &transit));
	link_seq_accept(&lane, 864000, link_timestamp(sent), sent + 50 * MS, &a);
	CU_ASSERT_EQUAL(a.delay_ns, 0);
	CU_ASSERT(link_seq_least_transit(&lane, sent, &transit));
	CU_ASSERT(transit * UINT64_C(1024) + 2048 > 50 * MS && transit * 1024 < 50 * MS + 2048);
}

UNIT_TESTS("link-seq", {"equals a model that remembers everything", test_model},
	{"edges of window and session", test_edges}, {"extents and periods by hand", test_extent},
	{"a new session goes on counting", test_sessions},
	{"announced packets that never come are lost", test_tail},
	{"jitter and one-way delay", test_delay}, {"clock drift is not delay", test_drift})
