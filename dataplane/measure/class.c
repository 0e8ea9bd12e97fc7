/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sums and differences of the figures of classes (tcp.h), for the control thread: the workers'
 * figures are merged for `show`, and a copy taken earlier is subtracted to see a span of time.
 */
#include "dataplane/measure/tcp.h"

typedef void histogram_fn(struct histogram *into, const struct histogram *from);

static void each_histogram(
	struct measure_class *into, const struct measure_class *from, histogram_fn *fn)
{
	fn(&into->rtt_lan, &from->rtt_lan);
	fn(&into->rtt_wan, &from->rtt_wan);
	fn(&into->connect, &from->connect);
	for (unsigned way = 0; way < 2; way++) {
		fn(&into->box[way], &from->box[way]);
		fn(&into->queue[way], &from->queue[way]);
	}
}

/* into += sign * from, for all counters; sums modulo 2^64. */
static void each_counter(
	struct measure_class *into, const struct measure_class *from, uint64_t sign)
{
#define ADD(field) into->field += sign * __atomic_load_n(&from->field, __ATOMIC_RELAXED)
	for (unsigned i = 0; i < 2; i++) {
		ADD(tcp_packets[i]);
		ADD(data_packets[i]);
		ADD(retransmits_before[i]);
		ADD(retransmits_after[i]);
		ADD(retransmits_needless[i]);
		ADD(retransmits_fast[i]);
		ADD(retransmits_timeout[i]);
		ADD(dsacks[i]);
		ADD(duplicates[i]);
		ADD(reordered[i]);
		ADD(reordered_bytes[i]);
		ADD(reordered_ns[i]);
		ADD(zero_windows[i]);
		ADD(rtt_delayed[i]);
		ADD(ce[i]);
		ADD(ece[i]);
		ADD(cwr[i]);
		for (unsigned limit = 0; limit < MEASURE_LIMITS; limit++)
			ADD(limited_ns[i][limit]);
	}
	ADD(connections);
	ADD(syn_retries);
	ADD(refused);
	ADD(timed_out);
	ADD(failed);
	ADD(resets);
#undef ADD
}

void measure_class_merge(struct measure_class *into, const struct measure_class *from)
{
	each_histogram(into, from, histogram_merge);
	each_counter(into, from, 1);
	for (unsigned i = 0; i < 2; i++) {
		uint64_t max = __atomic_load_n(&from->reorder_max_bytes[i], __ATOMIC_RELAXED);
		if (max > into->reorder_max_bytes[i])
			into->reorder_max_bytes[i] = max;
	}
}

void measure_class_subtract(struct measure_class *c, const struct measure_class *earlier)
{
	each_histogram(c, earlier, histogram_subtract);
	each_counter(c, earlier, (uint64_t)-1);
}

double measure_loss_before(const struct measure_class *c, enum measure_from from)
{
	uint64_t again =
		c->retransmits_after[from] + c->retransmits_needless[from] + c->duplicates[from];
	uint64_t segments = c->data_packets[from] - again;

	return c->data_packets[from] <= again
		       ? 0
		       : (double)c->retransmits_before[from] / (double)segments;
}

uint64_t measure_lost_after(const struct measure_class *c, enum measure_from from)
{
	return measure_lost_of(c->retransmits_after[from], c->retransmits_needless[from],
		c->duplicates[from], c->dsacks[from]);
}

double measure_loss_after(const struct measure_class *c, enum measure_from from)
{
	uint64_t sent = c->data_packets[from];

	return sent == 0 ? 0 : (double)measure_lost_after(c, from) / (double)sent;
}
