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

/* ---- loss periods ---- */

static unsigned size_of(uint64_t n)
{
	unsigned log = n <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(n - 1);

	return log < LINK_SIZES ? log : LINK_SIZES - 1;
}

/* The present loss period is over: something came behind it. */
static void close_run(struct link_seq *seq)
{
	uint64_t length = seq->run_to - seq->run_from;

	if (length == 0)
		return;
	add(&seq->losses.periods, 1);
	add(&seq->losses.run[size_of(length)], 1);
	if (length > seq->losses.longest)
		__atomic_store_n(&seq->losses.longest, length, __ATOMIC_RELAXED);
	seq->run_from = seq->run_to;
}

/* `count` packets from `from` on are lost; those before have been judged. */
static void judge_lost(struct link_seq *seq, uint64_t from, uint64_t count)
{
	if (seq->run_to == 0 || from != seq->run_to || seq->run_from == seq->run_to) {
		/* Distance (RFC 3357, 4.4): from the last loss to this one. */
		bool is_near = seq->run_to != 0 && from - (seq->run_to - 1) <= LINK_LOSS_CONSTRAINT;
		close_run(seq);
		add(&seq->losses.noticeable, count - 1 + is_near);
		seq->run_from = from;
	} else {
		add(&seq->losses.noticeable, count);
	}
	seq->run_to = from + count;
}

/* The numbers below `end` leave the window: what is missing is lost. */
static void judge(struct link_seq *seq, uint64_t end)
{
	while (seq->judged < end) {
		uint64_t at = seq->judged, bit = at % 64;
		uint64_t take = 64 - bit < end - at ? 64 - bit : end - at;
		uint64_t missing = ~seq->seen[at % LINK_SEQ_BITS / 64] >> bit;

		if (take < 64)
			missing &= (UINT64_C(1) << take) - 1;
		for (uint64_t off = 0; missing >> off != 0;) {
			off += (unsigned)__builtin_ctzll(missing >> off);
			uint64_t rest = ~(missing >> off);
			uint64_t run = rest == 0 ? 64 : (unsigned)__builtin_ctzll(rest);
			judge_lost(seq, at + off, run);
			off += run;
			if (off >= 64)
				break;
		}
		seq->judged = at + take;
	}
}

void link_seq_start(struct link_seq *seq, uint32_t session_id, uint32_t first)
{
	judge(seq, seq->next);
	close_run(seq);
	memset(seq->seen, 0, sizeof(seq->seen));
	seq->first = first;
	seq->judged = first;
	seq->run_from = seq->run_to = 0;
	seq->jumps = 0;
	for (unsigned i = 0; i < LINK_N_REORDERING; i++)
		seq->recent[i] = first - 1; /* lower than any that comes */
	/* A restarted peer has another clock. */
	seq->timed = false;
	seq->jitter_q4 = 0;
	__atomic_store_n(&seq->next, first, __ATOMIC_RELEASE);
	__atomic_store_n(&seq->session_id, session_id, __ATOMIC_RELEASE);
}

/* The numbers from seq->next to `last` enter the window, and word by word others leave it. */
static void advance(struct link_seq *seq, uint64_t last)
{
	uint64_t word = (seq->next + 63) / 64;

	if (last - seq->next >= LINK_SEQ_BITS) {
		judge(seq, seq->next);
		memset(seq->seen, 0, sizeof(seq->seen));
		/* All but the window's length of what was jumped over is lost for good. */
		uint64_t end = (last / 64 + 1) * 64 - LINK_SEQ_BITS;
		judge_lost(seq, seq->judged, end - seq->judged);
		seq->judged = end;
		return;
	}
	for (; word * 64 <= last; word++) {
		if ((word + 1) * 64 > LINK_SEQ_BITS)
			judge(seq, (word + 1) * 64 - LINK_SEQ_BITS);
		seq->seen[word % (LINK_SEQ_BITS / 64)] = 0;
	}
}

/* ---- reordering ---- */

/* The packet at hand jumps over seq->next and those behind it. */
static void note_jump(struct link_seq *seq, uint64_t now_ns)
{
	unsigned i = seq->jumps++ % LINK_JUMPS;

	seq->jump[i].from = (uint32_t)seq->next;
	seq->jump[i].position = (uint32_t)seq->unique;
	seq->jump[i].arrived = (uint32_t)(now_ns / TRANSIT_UNIT_NS);
}

/*
 * Number `full` comes late. Of all packets with higher numbers, the one that jumped over it came
 * first: RFC 4737 counts from there. Of the jumps that began at or below it, that is the last.
 */
static void note_reordered(struct link_seq *seq, uint64_t full, uint64_t now_ns)
{
	struct link_reordering *r = &seq->reordering;
	uint32_t kept = seq->jumps < LINK_JUMPS ? seq->jumps : LINK_JUMPS;

	for (uint32_t back = 1; back <= kept; back++) {
		uint32_t i = (seq->jumps - back) % LINK_JUMPS;

		if ((int32_t)((uint32_t)full - seq->jump[i].from) < 0)
			continue;
		uint64_t extent = (uint32_t)seq->unique - seq->jump[i].position;
		uint64_t late_ns =
			(uint64_t)((uint32_t)(now_ns / TRANSIT_UNIT_NS) - seq->jump[i].arrived) *
			TRANSIT_UNIT_NS;
		add(&r->extent[size_of(extent)], 1);
		add(&r->late_sum_ns, late_ns);
		if (extent > r->extent_max)
			__atomic_store_n(&r->extent_max, extent, __ATOMIC_RELAXED);
		if (late_ns > r->late_max_ns)
			__atomic_store_n(&r->late_max_ns, late_ns, __ATOMIC_RELAXED);
		return;
	}
	add(&r->extent_unknown, 1);
}

/* Number `number` comes late: how many in front of it have higher ones, without a lower in between?
 */
static void note_n_reordered(struct link_seq *seq, uint32_t number)
{
	for (uint32_t n = 0; n < LINK_N_REORDERING; n++) {
		uint32_t before = seq->recent[(seq->unique - 1 - n) % LINK_N_REORDERING];

		if ((int32_t)(before - number) < 0)
			return;
		add(&seq->reordering.n_reordered[n], 1);
	}
}

/* ---- delay ---- */

/* Jitter and delay variation of an accepted packet. The clocks' unknown offset cancels out, because
 * only differences of transit times are used; they wrap at 2^32 units like the times themselves. */
static void measure(struct link_seq *seq, uint32_t number, uint32_t sent, uint64_t now_ns,
	struct link_arrival *arrival)
{
	uint32_t transit = (uint32_t)(now_ns / TRANSIT_UNIT_NS) - sent;
	int64_t change;

	arrival->has_ipdv = seq->timed && number == seq->newest + 1;
	seq->newest = number;
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
	arrival->ipdv_ns = change * TRANSIT_UNIT_NS;
	if (change < 0)
		change = -change;
	seq->jitter_q4 += (uint32_t)(change - ((seq->jitter_q4 + 8) >> 4));

	int32_t over = (int32_t)(transit - seq->minimum);
	int32_t over_before = (int32_t)(transit - seq->minimum_before);

	if (over_before > over)
		over = over_before;
	arrival->delay_ns = (uint64_t)over * TRANSIT_UNIT_NS;
}

int link_seq_accept(struct link_seq *seq, uint32_t number, uint32_t sent, uint64_t now_ns,
	struct link_arrival *arrival)
{
	int32_t ahead = (int32_t)(number - (uint32_t)seq->next);
	struct link_arrival unasked;
	uint64_t full;

	if (arrival == NULL)
		arrival = &unasked;
	arrival->is_reordered = false;
	add(&seq->received, 1);
	if (ahead >= 0) {
		full = seq->next + (uint32_t)ahead;
		advance(seq, full);
		if (ahead > 0)
			note_jump(seq, now_ns);
		/* `expected` before `unique`, so that no reader sees more arrive than was sent. */
		add(&seq->expected, full - seq->next + 1);
		__atomic_store_n(&seq->next, full + 1, __ATOMIC_RELEASE);
	} else {
		uint64_t behind = (uint64_t) - (int64_t)ahead;

		if (behind > LINK_SEQ_WINDOW || behind > seq->next - seq->first) {
			add(&seq->late, 1);
			arrival->verdict = LINK_LATE;
			return -EALREADY;
		}
		full = seq->next - behind;
		if (seq->seen[full % LINK_SEQ_BITS / 64] >> (full % 64) & 1) {
			add(&seq->duplicates, 1);
			arrival->verdict = LINK_DUPLICATE;
			return -EALREADY;
		}
		add(&seq->reordered, 1);
		note_reordered(seq, full, now_ns);
		note_n_reordered(seq, number);
		arrival->is_reordered = true;
	}
	seq->seen[full % LINK_SEQ_BITS / 64] |= UINT64_C(1) << (full % 64);
	seq->recent[seq->unique % LINK_N_REORDERING] = number;
	add(&seq->unique, 1);
	arrival->verdict = LINK_ARRIVED;
	measure(seq, number, sent, now_ns, arrival);
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

void link_seq_add_losses(const struct link_seq *seq, struct link_losses *losses)
{
	/* A copy that the worker may be changing: it is a few packets off then. */
	struct link_seq copy = *seq;

	/* Not everything in a torn copy fits together; nothing is judged twice in any case. */
	if (copy.next - copy.judged <= LINK_SEQ_BITS)
		judge(&copy, copy.next);
	close_run(&copy);
	losses->periods += copy.losses.periods;
	losses->noticeable += copy.losses.noticeable;
	for (unsigned i = 0; i < LINK_SIZES; i++)
		losses->run[i] += copy.losses.run[i];
	if (copy.losses.longest > losses->longest)
		losses->longest = copy.losses.longest;
}

void link_seq_add_reordering(const struct link_seq *seq, struct link_reordering *reordering)
{
	const struct link_reordering *r = &seq->reordering;
	uint64_t extent_max = __atomic_load_n(&r->extent_max, __ATOMIC_RELAXED);
	uint64_t late_max_ns = __atomic_load_n(&r->late_max_ns, __ATOMIC_RELAXED);

	for (unsigned i = 0; i < LINK_SIZES; i++)
		reordering->extent[i] += load(&r->extent[i]);
	for (unsigned i = 0; i < LINK_N_REORDERING; i++)
		reordering->n_reordered[i] += load(&r->n_reordered[i]);
	reordering->extent_unknown += load(&r->extent_unknown);
	reordering->late_sum_ns += load(&r->late_sum_ns);
	if (extent_max > reordering->extent_max)
		reordering->extent_max = extent_max;
	if (late_max_ns > reordering->late_max_ns)
		reordering->late_max_ns = late_max_ns;
}

bool link_seq_least_transit(const struct link_seq *seq, uint64_t now_ns, uint32_t *transit)
{
	uint32_t minimum = __atomic_load_n(&seq->minimum, __ATOMIC_RELAXED);
	uint32_t before = __atomic_load_n(&seq->minimum_before, __ATOMIC_RELAXED);
	uint64_t since_ns = load(&seq->minimum_since_ns);

	if (!__atomic_load_n(&seq->timed, __ATOMIC_RELAXED) ||
		(now_ns > since_ns && now_ns - since_ns >= 2 * LINK_SEQ_MINIMUM_NS))
		return false;
	*transit = (int32_t)(before - minimum) < 0 ? before : minimum;
	return true;
}
