/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rates, times and sizes as people write them, and back. Shared by the configuration reader and by
 * sluicectl, so that "20mbit" means the same in both; it needs nothing else of this folder.
 */
#ifndef SLUICE_POLICY_UNITS_H
#define SLUICE_POLICY_UNITS_H

#include <stddef.h>
#include <stdint.h>

/* What a rate may be. Below it one full-size packet takes longer than the queues may wait; above it
 * no port exists. */
#define UNITS_RATE_MIN_BPS 64000ULL
#define UNITS_RATE_MAX_BPS 400000000000ULL

/* A percentage is kept in parts of a million: 1 % is 10,000. */
#define UNITS_PPM 1000000u

/* What to tell somebody whose value was refused. */
#define UNITS_RATE_HELP "\"20 Mbit/s\" (bit, kbit, Mbit or Gbit; 64 kbit/s to 400 Gbit/s)"
#define UNITS_TIME_HELP "\"5 ms\" (ns, us, ms or s)"
#define UNITS_SIZE_HELP "\"30 kB\" (B, kB, MB, GB, or KiB, MiB, GiB)"

/* Room for every text that the functions below write. */
#define UNITS_TEXT_MAX 40

/*
 * Read a number with its unit. Spaces before, between and after are free, letter case is free, and
 * the number may have a decimal point as long as the result is a whole number of bit/s, ns or
 * bytes. Exact: no floating point. *value is written on success only. Any thread.
 *
 * Returns 0, -EINVAL (not a number with a known unit), -EDOM (a number, but its unit is missing) or
 * -ERANGE (too large, for a rate outside UNITS_RATE_MIN_BPS..UNITS_RATE_MAX_BPS, for a percentage 0
 * or above 100).
 *
 * Rates are in bits: "20mbit", "20 Mbit/s", "1.5 Gbit/s". "20 Mbps" and "10 MB/s" are refused,
 * because other tools read the first as bits or as bytes, and one wrong guess is a factor of 8.
 * Sizes are in bytes: kB, MB, GB are powers of 1000, KiB, MiB, GiB powers of 1024.
 */
int units_rate(const char *text, uint64_t *rate_bps);
int units_percent(const char *text, uint32_t *ppm); /* "12.5 %", up to four decimals, 0 to 100 % */
int units_time(const char *text, uint64_t *time_ns);
int units_size(const char *text, uint64_t *size_bytes);

/*
 * Write a value in its largest fitting unit, exactly: reading the text gives the same value (for
 * rates within the limits above). `text` has room for UNITS_TEXT_MAX bytes. Returns text. Any
 * thread.
 */
const char *units_rate_text(uint64_t rate_bps, char text[UNITS_TEXT_MAX]);
const char *units_percent_text(uint32_t ppm, char text[UNITS_TEXT_MAX]);
const char *units_time_text(uint64_t time_ns, char text[UNITS_TEXT_MAX]);
const char *units_size_text(uint64_t size_bytes, char text[UNITS_TEXT_MAX]);

#endif
