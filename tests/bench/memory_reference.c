/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two measurements of memory_reference.h: a chain of pointers through all lines in random order
 * (one cycle, by Sattolo's shuffle), and loads from addresses of a linear congruence.
 */
#include "tests/bench/memory_reference.h"

#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_malloc.h>

#define LINE 64u
#define LOADS 200000u
#define RUNS 7u

static uint64_t volatile sink;

static uint64_t random_next(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 32;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double chase(const uint64_t *memory)
{
	static uint64_t at;
	uint64_t i = at, start = rte_rdtsc_precise();

	for (unsigned k = 0; k < LOADS; k++)
		i = memory[i * (LINE / 8)];
	at = i; /* the next run goes on from there */
	return (double)(rte_rdtsc_precise() - start) / LOADS;
}

static double scatter(const uint64_t *memory, uint64_t lines, uint64_t *state)
{
	uint64_t sum = 0, start = rte_rdtsc_precise();

	for (unsigned k = 0; k < LOADS; k++)
		sum += memory[(random_next(state) * lines >> 32) * (LINE / 8)];
	sink = sum;
	return (double)(rte_rdtsc_precise() - start) / LOADS;
}

struct memory_reference memory_reference(uint64_t bytes)
{
	uint64_t lines = bytes / LINE, state = 1;
	double dependent[RUNS], independent[RUNS];
	uint64_t *memory = rte_malloc("reference", lines * LINE, LINE);

	if (memory == NULL)
		return (struct memory_reference){0};
	for (uint64_t i = 0; i < lines; i++)
		memory[i * (LINE / 8)] = i;
	for (uint64_t i = lines - 1; i > 0; i--) {
		uint64_t j = random_next(&state) * i >> 32;
		uint64_t *a = &memory[i * (LINE / 8)], *b = &memory[j * (LINE / 8)], t = *a;
		*a = *b;
		*b = t;
	}
	for (unsigned r = 0; r < RUNS; r++) {
		dependent[r] = chase(memory);
		independent[r] = scatter(memory, lines, &state);
	}
	qsort(dependent, RUNS, sizeof(double), compare);
	qsort(independent, RUNS, sizeof(double), compare);
	rte_free(memory);
	return (struct memory_reference){dependent[RUNS / 2], independent[RUNS / 2]};
}
