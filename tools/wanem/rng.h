/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Seeded random numbers for the emulator: xoshiro256**, seeded through splitmix64. Each impairment
 * of each direction (impair.c) owns one stream, so that what one of them draws never shifts what
 * another decides, and the same seed gives the same fate to the n-th frame.
 */
#ifndef SLUICE_WANEM_RNG_H
#define SLUICE_WANEM_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
	uint64_t s[4];
};

/* Starts stream number `stream` of `seed`; streams of one seed are independent of each other. */
void rng_seed(struct rng *r, uint64_t seed, uint64_t stream);

/* The next 64 random bits. */
uint64_t rng_next(struct rng *r);

/* Uniform in [0, 1), 53 bits. */
double rng_unit(struct rng *r);

/* Standard normal (mean 0, deviation 1), by Box and Muller: always exactly two draws. */
double rng_normal(struct rng *r);

/* True with probability p (0 to 1): always exactly one draw. */
bool rng_chance(struct rng *r, double p);

#endif
