/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames by class and interval, at both ends, and the difference: class.h says how. */
#include "dataplane/link/class.h"

#include <string.h>

static inline void add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

void link_class_add_sent(const struct link_class_tx *tx, uint32_t session_id, uint32_t interval,
	uint32_t sent[LINK_CLASS_SLOTS])
{
	unsigned i = interval % LINK_INTERVALS_SENT;

	if (__atomic_load_n(&tx->interval[i].interval, __ATOMIC_ACQUIRE) != interval ||
		__atomic_load_n(&tx->interval[i].session_id, __ATOMIC_RELAXED) != session_id)
		return;
	for (unsigned s = 0; s < LINK_CLASS_SLOTS; s++)
		sent[s] += __atomic_load_n(&tx->interval[i].sent[s], __ATOMIC_ACQUIRE);
}

void link_class_arrived(struct link_class_rx *rx, const struct link_arrival *arrival,
	uint32_t wire_bytes, uint64_t now_ns)
{
	uint8_t slot = arrival->class_slot % LINK_CLASS_SLOTS;
	uint32_t interval = arrival->sent >> LINK_INTERVAL_SHIFT, i = interval % LINK_INTERVALS;
	struct link_class_counts *counts = &rx->slot[slot];
	uint32_t *arrived = rx->interval[i].arrived;

	if (arrival->verdict != LINK_ARRIVED) {
		if (arrival->verdict == LINK_DUPLICATE)
			add(&counts->duplicates, 1);
		return;
	}
	add(&counts->frames, 1);
	add(&counts->bytes, wire_bytes);
	add(&counts->reordered, arrival->is_reordered);
	/* The same number comes again after more than an hour. */
	if (__builtin_expect(rx->interval[i].interval != interval ||
				     rx->interval[i].session_id != arrival->session_id ||
				     now_ns - rx->interval[i].begun_ns > 2 * LINK_INTERVAL_LOST_NS,
		    0)) {
		for (unsigned s = 0; s < LINK_CLASS_SLOTS; s++)
			__atomic_store_n(&arrived[s], 0, __ATOMIC_RELAXED);
		rx->interval[i].begun_ns = now_ns;
		__atomic_store_n(
			&rx->interval[i].session_id, arrival->session_id, __ATOMIC_RELAXED);
		__atomic_store_n(&rx->interval[i].interval, interval, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&arrived[slot], arrived[slot] + 1, __ATOMIC_RELEASE);
}

void link_class_announce(struct link_class_loss *loss, uint32_t session_id, uint32_t interval,
	const uint32_t sent[LINK_CLASS_SLOTS], uint64_t now_ns)
{
	unsigned i = interval % LINK_INTERVALS;

	if (loss->interval[i].session_id != session_id || loss->interval[i].interval != interval ||
		now_ns - loss->interval[i].heard_ns > 2 * LINK_INTERVAL_LOST_NS) {
		loss->interval[i].is_waiting = true;
		loss->interval[i].session_id = session_id;
		loss->interval[i].interval = interval;
		loss->interval[i].heard_ns = now_ns;
	}
	if (loss->interval[i].is_waiting)
		memcpy(loss->interval[i].sent, sent, sizeof(loss->interval[i].sent));
}

/* What all workers received of a waiting interval, and so what is lost of it. */
static void judge(struct link_class_loss *loss, unsigned i, const struct link_class_rx *const rx[],
	unsigned count)
{
	for (unsigned s = 0; s < LINK_CLASS_SLOTS; s++) {
		uint64_t sent = loss->interval[i].sent[s], arrived = 0;

		for (unsigned w = 0; w < count; w++)
			if (__atomic_load_n(&rx[w]->interval[i].interval, __ATOMIC_ACQUIRE) ==
					loss->interval[i].interval &&
				__atomic_load_n(&rx[w]->interval[i].session_id, __ATOMIC_RELAXED) ==
					loss->interval[i].session_id)
				arrived += __atomic_load_n(
					&rx[w]->interval[i].arrived[s], __ATOMIC_ACQUIRE);
		loss->sent[s] += sent;
		loss->lost[s] += sent > arrived ? sent - arrived : 0;
	}
}

void link_class_settle(struct link_class_loss *loss, const struct link_class_rx *const rx[],
	unsigned count, uint64_t now_ns)
{
	for (unsigned i = 0; i < LINK_INTERVALS; i++) {
		int64_t age_ns = (int64_t)(now_ns - loss->interval[i].heard_ns);

		if (!loss->interval[i].is_waiting || age_ns < LINK_INTERVAL_SETTLE_NS)
			continue;
		loss->interval[i].is_waiting = false;
		/* Heard long ago: what arrived may have been overwritten. */
		if (age_ns > LINK_INTERVAL_LOST_NS)
			loss->unsettled++;
		else
			judge(loss, i, rx, count);
	}
}
