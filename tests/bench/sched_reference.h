/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DPDK's own hierarchical scheduler (librte_sched) with as many queues as asked for: what
 * shape_bench.c compares the shaper with, on the same packets in the same run.
 */
#ifndef SLUICE_TESTS_BENCH_SCHED_REFERENCE_H
#define SLUICE_TESTS_BENCH_SCHED_REFERENCE_H

#include <stdint.h>

#include <rte_mbuf.h>

struct sched_reference;

/*
 * One port with one subport of `subport_bps`, and pipes of four best-effort queues each: `queues`
 * queues in all, for `depth` packets each (a power of two). The port's rate is 1 Tbit/s and a
 * pipe's is a tenth of that: never reached. NULL without memory.
 */
struct sched_reference *sched_reference_create(
	uint32_t queues, uint16_t depth, uint64_t subport_bps);
void sched_reference_destroy(struct sched_reference *sched);

/* The packet goes to queue 0..queues - 1. Enqueue reads this from the packet. */
void sched_reference_assign(struct sched_reference *sched, struct rte_mbuf *m, uint32_t queue);

/* As the library's. It reads the clock itself: its time is real. */
unsigned sched_reference_enqueue(struct sched_reference *sched, struct rte_mbuf **pkts, unsigned n);
unsigned sched_reference_dequeue(
	struct sched_reference *sched, struct rte_mbuf **out, unsigned max);

#endif
