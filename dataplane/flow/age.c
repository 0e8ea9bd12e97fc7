/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ageing of the flow table, see table.h: a clock hand goes round the buckets, whose stamps say
 * which records are worth a look.
 */
#include <rte_common.h>
#include <rte_prefetch.h>

#include "dataplane/flow/table_private.h"

#define AGE_BATCH 16 /* buckets whose records are prefetched together while ageing */

static bool expired(const struct flow_table *t, const struct flow *f, uint32_t now_ms)
{
	bool both = (f->flags & (FLOW_SEEN_UP | FLOW_SEEN_DOWN)) == (FLOW_SEEN_UP | FLOW_SEEN_DOWN);
	const struct flow_timeouts *limits = &t->timeouts;
	uint32_t limit_ms;

	if (f->flags & FLOW_CLOSING)
		limit_ms = limits->tcp_closing_ms;
	else if (f->key.proto == PROTO_TCP)
		limit_ms = both ? limits->tcp_established_ms : limits->tcp_opening_ms;
	else
		limit_ms = both ? limits->other_both_ms : limits->other_single_ms;
	return now_ms - f->last_seen_ms >= limit_ms;
}

/* End what has expired in n buckets from `first` on (none of them behind the last). */
static unsigned age_buckets(struct flow_table *t, uint32_t first, unsigned n, uint32_t now_ms)
{
	struct {
		struct bucket *bucket;
		unsigned slot;
	} old[AGE_BATCH * SLOTS];
	uint16_t now = stamp_of(now_ms);
	unsigned olds = 0, ended = 0;

	for (unsigned i = 0; i < n; i++) {
		struct bucket *b = &t->buckets[first + i];

		for (unsigned slot = 0; slot < SLOTS; slot++) {
			if (b->record[slot] == 0 || (uint16_t)(now - b->stamp[slot]) < t->shortest)
				continue;
			rte_prefetch0(&t->records[b->record[slot]]);
			old[olds].bucket = b;
			old[olds++].slot = slot;
		}
	}
	for (unsigned i = 0; i < olds; i++) {
		struct flow *f = &t->records[old[i].bucket->record[old[i].slot]];

		if (expired(t, f, now_ms) && !has_queue(f)) {
			flow_table_remove_slot(t, old[i].bucket, old[i].slot);
			ended++;
		} else {
			tell_silent(t, f);
		}
	}
	return ended;
}

unsigned flow_table_age(struct flow_table *t, uint32_t now_ms, unsigned buckets)
{
	unsigned ended = 0;

	while (buckets > 0) {
		unsigned n = RTE_MIN(buckets, t->mask + 1 - t->hand);

		n = RTE_MIN(n, (unsigned)AGE_BATCH);
		ended += age_buckets(t, t->hand, n, now_ms);
		t->hand = (t->hand + n) & t->mask;
		buckets -= n;
	}
	/* The hardware prefetcher sees no pattern in a few lines now and then. */
	rte_prefetch0(&t->buckets[t->hand]);
	if (ended > 0)
		count(&t->stats.expired, ended);
	return ended;
}

void flow_table_on_silent(struct flow_table *t, flow_silent_fn *fn, void *context)
{
	t->silent = fn;
	t->silent_context = context;
}

void flow_table_set_timeouts(struct flow_table *t, const struct flow_timeouts *timeouts)
{
	uint32_t shortest_ms = RTE_MIN(timeouts->tcp_established_ms, timeouts->tcp_opening_ms);

	shortest_ms = RTE_MIN(shortest_ms, timeouts->tcp_closing_ms);
	shortest_ms = RTE_MIN(shortest_ms, timeouts->other_both_ms);
	shortest_ms = RTE_MIN(shortest_ms, timeouts->other_single_ms);
	t->timeouts = *timeouts;
	t->shortest = (uint16_t)RTE_MIN(shortest_ms >> STAMP_SHIFT, (uint32_t)UINT16_MAX / 2);
}

struct flow *flow_table_other(struct flow_table *t)
{
	return &t->records[0];
}
