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
		ADD(reordered[i]);
		ADD(zero_windows[i]);
	}
	ADD(connections);
	ADD(failed);
	ADD(resets);
#undef ADD
}

void measure_class_merge(struct measure_class *into, const struct measure_class *from)
{
	each_histogram(into, from, histogram_merge);
	each_counter(into, from, 1);
}

void measure_class_subtract(struct measure_class *c, const struct measure_class *earlier)
{
	each_histogram(c, earlier, histogram_subtract);
	each_counter(c, earlier, (uint64_t)-1);
}

double measure_loss_before(const struct measure_class *c, enum measure_from from)
{
	uint64_t again = c->retransmits_after[from] + c->retransmits_needless[from];
	uint64_t segments = c->data_packets[from] - again;

	return c->data_packets[from] <= again
		       ? 0
		       : (double)c->retransmits_before[from] / (double)segments;
}

double measure_loss_after(const struct measure_class *c, enum measure_from from)
{
	uint64_t sent = c->data_packets[from];

	return sent == 0 ? 0 : (double)c->retransmits_after[from] / (double)sent;
}
