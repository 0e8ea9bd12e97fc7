/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a cache line costs on this machine that lies anywhere in a memory of a given size: the yard
 * stick for what a benchmark's cost grows by when its state no longer fits in a cache.
 */
#ifndef SLUICE_TESTS_BENCH_MEMORY_REFERENCE_H
#define SLUICE_TESTS_BENCH_MEMORY_REFERENCE_H

#include <stdint.h>

struct memory_reference {
	double dependent;   /* TSC cycles a line when its address comes out of the line before */
	double independent; /* when the addresses are known, so that many are on their way at once
			     */
};

/* Median of several runs over `bytes` of the EAL's memory in random order; zeros without memory. */
struct memory_reference memory_reference(uint64_t bytes);

#endif
