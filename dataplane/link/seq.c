/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sequence numbers at the receiver (seq.h): a bitmap of what was seen behind the highest number,
 * counters that only grow, and the two delay measures of the shim's send time.
 */
#include "dataplane/link/seq.h"

#include <errno.h>
#include <string.h>

#define TRANSIT_UNIT_NS 1024

/* Single writer: a plain increment, but stored whole for the readers. */
static inline void add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELEASE);
}

static inline uint64_t load(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

void link_seq_start(struct link_seq *seq, uint32_t session_id, uint32_t first)
{
	memset(seq->seen, 0, sizeof(seq->seen));
	seq->first = first;
	/* A restarted peer has another clock. */
	seq->timed = false;
	seq->jitter_q4 = 0;
	__atomic_store_n(&seq->next, first, __ATOMIC_RELEASE);
	__atomic_store_n(&seq->session_id, session_id, __ATOMIC_RELEASE);
}

/* Forget the bits of the `n` numbers from `from` on: they are about to enter the window. */
static void forget(struct link_seq *seq, uint64_t from, uint64_t n)
{
	if (n >= LINK_SEQ_WINDOW) {
		memset(seq->seen, 0, sizeof(seq->seen));
		return;
	}
	while (n > 0) {
		uint64_t bit = from % 64, take = 64 - bit < n ? 64 - bit : n;
		uint64_t mask = take == 64 ? UINT64_MAX : ((UINT64_C(1) << take) - 1) << bit;

		seq->seen[from % LINK_SEQ_WINDOW / 64] &= ~mask;
		from += take;
		n -= take;
	}
}

/* Jitter and one-way delay of an accepted packet. The clocks' unknown offset cancels out, because
 * only differences of transit times are used; they wrap at 2^32 units like the times themselves. */
static uint64_t measure(struct link_seq *seq, uint32_t sent, uint64_t now_ns)
{
	uint32_t transit = (uint32_t)(now_ns / TRANSIT_UNIT_NS) - sent;
	int64_t change;

	if (!seq->timed || now_ns - seq->minimum_since_ns >= 2 * LINK_SEQ_MINIMUM_NS) {
		/* The first one, or the last was too long ago to be compared with. */
		if (!seq->timed)
			seq->transit = transit;
		seq->timed = true;
		seq->minimum = seq->minimum_before = transit;
		seq->minimum_since_ns = now_ns;
	} else if (now_ns - seq->minimum_since_ns >= LINK_SEQ_MINIMUM_NS) {
		seq->minimum_before = seq->minimum;
		seq->minimum = transit;
		seq->minimum_since_ns = now_ns;
	}
	if ((int32_t)(transit - seq->minimum) < 0)
		seq->minimum = transit;

	change = (int32_t)(transit - seq->transit);
	seq->transit = transit;
	if (change < 0)
		change = -change;
	seq->jitter_q4 += (uint32_t)(change - ((seq->jitter_q4 + 8) >> 4));

	int32_t over = (int32_t)(transit - seq->minimum);
	int32_t over_before = (int32_t)(transit - seq->minimum_before);

	if (over_before > over)
		over = over_before;
	return (uint64_t)over * TRANSIT_UNIT_NS;
}

int link_seq_accept(
	struct link_seq *seq, uint32_t number, uint32_t sent, uint64_t now_ns, uint64_t *delay_ns)
{
	int32_t ahead = (int32_t)(number - (uint32_t)seq->next);
	uint64_t full;

	add(&seq->received, 1);
	if (ahead >= 0) {
		full = seq->next + (uint32_t)ahead;
		forget(seq, seq->next, full - seq->next + 1);
		/* `expected` before `unique`, so that no reader sees more arrive than was sent. */
		add(&seq->expected, full - seq->next + 1);
		__atomic_store_n(&seq->next, full + 1, __ATOMIC_RELEASE);
	} else {
		uint64_t behind = (uint64_t) - (int64_t)ahead;

		if (behind > LINK_SEQ_WINDOW || behind > seq->next - seq->first) {
			add(&seq->late, 1);
			return -EALREADY;
		}
		full = seq->next - behind;
		if (seq->seen[full % LINK_SEQ_WINDOW / 64] >> (full % 64) & 1) {
			add(&seq->duplicates, 1);
			return -EALREADY;
		}
		add(&seq->reordered, 1);
	}
	seq->seen[full % LINK_SEQ_WINDOW / 64] |= UINT64_C(1) << (full % 64);
	add(&seq->unique, 1);

	uint64_t delay = measure(seq, sent, now_ns);

	if (delay_ns != NULL)
		*delay_ns = delay;
	return 0;
}

/* The waiting announcement becomes the settled one when it is old enough. */
static void settle(struct link_tail *tail, uint64_t now_ns)
{
	if (tail->is_waiting && now_ns - tail->waiting_ns >= LINK_TAIL_SETTLE_NS) {
		tail->settled = tail->waiting;
		tail->is_waiting = false;
	}
}

void link_tail_announce(struct link_tail *tail, uint32_t session_id, uint32_t next, uint64_t now_ns)
{
	if (tail->session_id != session_id) {
		tail->closed += tail->extra;
		tail->extra = 0;
		tail->session_id = session_id;
		tail->settled = 0;
		tail->is_waiting = false;
	}
	settle(tail, now_ns);
	if (tail->is_waiting)
		return; /* the next announcement will say what this one did */

	int32_t more = (int32_t)(next - (uint32_t)tail->settled);

	if (more > 0) {
		tail->waiting = tail->settled + (uint32_t)more;
		tail->waiting_ns = now_ns;
		tail->is_waiting = true;
	}
}

void link_seq_read(const struct link_seq *seq, struct link_tail *tail, uint64_t now_ns,
	struct link_seq_counts *counts)
{
	uint64_t expected;

	counts->received = load(&seq->received);
	counts->duplicates = load(&seq->duplicates);
	counts->reordered = load(&seq->reordered);
	counts->late = load(&seq->late);
	counts->jitter_ns =
		(uint64_t)__atomic_load_n(&seq->jitter_q4, __ATOMIC_RELAXED) * TRANSIT_UNIT_NS >> 4;
	counts->unique = load(&seq->unique);
	expected = load(&seq->expected);
	if (tail != NULL && tail->session_id != 0) {
		int32_t newer = (int32_t)(__atomic_load_n(&seq->session_id, __ATOMIC_ACQUIRE) -
					  tail->session_id);
		/* Nothing of this session has arrived while the lane still has older numbers. */
		uint64_t next = newer < 0 ? 0 : load(&seq->next);

		settle(tail, now_ns);
		/* When the lane is already in a newer session, what was known last stays. */
		if (newer <= 0)
			tail->extra = tail->settled > next ? tail->settled - next : 0;
		expected += tail->closed + tail->extra;
	}
	counts->lost = expected - counts->unique;
}

void link_seq_counts_add(struct link_seq_counts *to, const struct link_seq_counts *from)
{
	to->received += from->received;
	to->unique += from->unique;
	to->lost += from->lost;
	to->duplicates += from->duplicates;
	to->reordered += from->reordered;
	to->late += from->late;
	if (from->jitter_ns > to->jitter_ns)
		to->jitter_ns = from->jitter_ns;
}
