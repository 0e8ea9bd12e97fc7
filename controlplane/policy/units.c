/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbers with units: one reader and one writer over three tables of units. units.h is the manual.
 */
#include "controlplane/policy/units.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FRACTION_DIGITS_MAX 9

struct unit {
	const char *word;
	uint64_t factor;
};

/* The first word of each factor is the one that is written. */
static const struct unit rate_units[] = {
	{"bit/s", 1},
	{"bit", 1},
	{"kbit/s", 1000},
	{"kbit", 1000},
	{"Mbit/s", 1000000},
	{"Mbit", 1000000},
	{"Gbit/s", 1000000000},
	{"Gbit", 1000000000},
	{NULL, 0},
};

/* In parts of a million. */
static const struct unit percent_units[] = {{"%", 10000}, {NULL, 0}};

static const struct unit time_units[] = {
	{"ns", 1},
	{"us", 1000},
	{"\xc2\xb5s", 1000}, /* micro sign */
	{"\xce\xbcs", 1000}, /* Greek mu */
	{"ms", 1000000},
	{"s", 1000000000},
	{NULL, 0},
};

static const struct unit size_units[] = {
	{"B", 1},
	{"kB", 1000},
	{"KiB", 1 << 10},
	{"MB", 1000000},
	{"MiB", 1 << 20},
	{"GB", 1000000000},
	{"GiB", 1 << 30},
	{NULL, 0},
};

static const char *skip_spaces(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

/* The unit at p, which must be all that is left of the text. */
static const struct unit *find_unit(const struct unit *units, const char *p)
{
	size_t len = strlen(p);

	while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t'))
		len--;
	for (const struct unit *u = units; u->word != NULL; u++)
		if (strlen(u->word) == len && strncasecmp(u->word, p, len) == 0)
			return u;
	return NULL;
}

static int read_number(const char *text, const struct unit *units, uint64_t *value)
{
	uint64_t whole = 0, fraction = 0, scale = 1, product;
	unsigned fraction_digits = 0;
	bool too_large = false;
	const char *p = skip_spaces(text);

	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
			__builtin_add_overflow(whole, (uint64_t)(*p - '0'), &whole))
			too_large = true;
	if (*p == '.') {
		if (!isdigit((unsigned char)*++p))
			return -EINVAL;
		for (; isdigit((unsigned char)*p); p++) {
			if (++fraction_digits > FRACTION_DIGITS_MAX)
				return -EINVAL;
			fraction = fraction * 10 + (uint64_t)(*p - '0');
			scale *= 10;
		}
	}
	p = skip_spaces(p);
	if (*p == '\0')
		return -EDOM;
	const struct unit *unit = find_unit(units, p);
	if (unit == NULL)
		return -EINVAL;
	if (too_large || __builtin_mul_overflow(whole, unit->factor, &product))
		return -ERANGE;
	/* fraction < 1e9 and factor <= 2^30: no overflow. */
	if (fraction * unit->factor % scale != 0)
		return -EINVAL;
	if (__builtin_add_overflow(product, fraction * unit->factor / scale, value))
		return -ERANGE;
	return 0;
}

int units_rate(const char *text, uint64_t *rate_bps)
{
	uint64_t value;
	int rc = read_number(text, rate_units, &value);

	if (rc != 0)
		return rc;
	if (value < UNITS_RATE_MIN_BPS || value > UNITS_RATE_MAX_BPS)
		return -ERANGE;
	*rate_bps = value;
	return 0;
}

int units_percent(const char *text, uint32_t *ppm)
{
	uint64_t value;
	int rc = read_number(text, percent_units, &value);

	if (rc != 0)
		return rc;
	if (value == 0 || value > UNITS_PPM)
		return -ERANGE;
	*ppm = (uint32_t)value;
	return 0;
}

int units_time(const char *text, uint64_t *time_ns)
{
	uint64_t value;
	int rc = read_number(text, time_units, &value);

	if (rc == 0)
		*time_ns = value;
	return rc;
}

int units_size(const char *text, uint64_t *size_bytes)
{
	uint64_t value;
	int rc = read_number(text, size_units, &value);

	if (rc == 0)
		*size_bytes = value;
	return rc;
}

/* factor is a power of ten: digits of the rest are written until nothing is left of it. */
static const char *write_decimal(uint64_t value, uint64_t factor, const char *word, char *text)
{
	char fraction[FRACTION_DIGITS_MAX + 2] = "";
	unsigned len = 0;
	uint64_t rest = value % factor;

	if (rest != 0)
		fraction[len++] = '.';
	for (uint64_t f = factor / 10; rest != 0 && len <= FRACTION_DIGITS_MAX; f /= 10) {
		fraction[len++] = (char)('0' + rest / f);
		rest %= f;
	}
	snprintf(text, UNITS_TEXT_MAX, "%" PRIu64 "%s %s", value / factor, fraction, word);
	return text;
}

const char *units_rate_text(uint64_t rate_bps, char text[UNITS_TEXT_MAX])
{
	if (rate_bps >= 1000000000)
		return write_decimal(rate_bps, 1000000000, "Gbit/s", text);
	if (rate_bps >= 1000000)
		return write_decimal(rate_bps, 1000000, "Mbit/s", text);
	if (rate_bps >= 1000)
		return write_decimal(rate_bps, 1000, "kbit/s", text);
	return write_decimal(rate_bps, 1, "bit/s", text);
}

const char *units_percent_text(uint32_t ppm, char text[UNITS_TEXT_MAX])
{
	return write_decimal(ppm, 10000, "%", text);
}

const char *units_time_text(uint64_t time_ns, char text[UNITS_TEXT_MAX])
{
	if (time_ns >= 1000000000)
		return write_decimal(time_ns, 1000000000, "s", text);
	if (time_ns >= 1000000)
		return write_decimal(time_ns, 1000000, "ms", text);
	if (time_ns >= 1000)
		return write_decimal(time_ns, 1000, "us", text);
	return write_decimal(time_ns, 1, "ns", text);
}

const char *units_size_text(uint64_t size_bytes, char text[UNITS_TEXT_MAX])
{
	static const struct unit binary[] = {{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}};

	/* A power of 1024 only where it is the shorter word: 64 KiB, but 128 kB. */
	if (size_bytes % 1000 != 0)
		for (unsigned i = 0; i < 3; i++)
			if (size_bytes % binary[i].factor == 0 && size_bytes != 0)
				return write_decimal(
					size_bytes / binary[i].factor, 1, binary[i].word, text);
	if (size_bytes >= 1000000000)
		return write_decimal(size_bytes, 1000000000, "GB", text);
	if (size_bytes >= 1000000)
		return write_decimal(size_bytes, 1000000, "MB", text);
	if (size_bytes >= 1000)
		return write_decimal(size_bytes, 1000, "kB", text);
	return write_decimal(size_bytes, 1, "B", text);
}
