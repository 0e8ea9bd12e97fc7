/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbers with units, against tables worked out by hand and against themselves: what is written is
 * read back.
 */
#include <errno.h>

#include "controlplane/policy/units.h"
#include "tests/unit/policy/policy_helper.h"

struct reading {
	const char *text;
	int rc;
	uint64_t value;
};

static bool reads_as(int (*read)(const char *, uint64_t *), const struct reading *table)
{
	bool all = true;

	for (; table->text != NULL; table++) {
		uint64_t value = 4711;
		int rc = read(table->text, &value);
		/* A refused text must leave the value alone. */
		if (rc != table->rc || value != (rc == 0 ? table->value : 4711)) {
			printf("     \"%s\": %d, %llu\n", table->text, rc,
				(unsigned long long)value);
			all = false;
		}
	}
	return all;
}

static void test_rates(void)
{
	static const struct reading table[] = {
		{"20 Mbit/s", 0, 20000000},
		{"20mbit", 0, 20000000},
		{"20 MBIT/S", 0, 20000000},
		{"  20\tMbit/s ", 0, 20000000},
		{"1.5 Gbit/s", 0, 1500000000},
		{"500 kbit", 0, 500000},
		{"64000 bit/s", 0, 64000},
		{"64000bit", 0, 64000},
		{"64 kbit/s", 0, 64000},
		{"400 Gbit/s", 0, 400000000000},
		{"0.1 Gbit/s", 0, 100000000},
		{"0.064 Mbit", 0, 64000},
		{"1.000000001 Gbit/s", 0, 1000000001},
		{"00020 Mbit/s", 0, 20000000},
		{"63.999 kbit/s", -ERANGE, 0},
		{"0 bit/s", -ERANGE, 0},
		{"400.000000001 Gbit/s", -ERANGE, 0},
		{"99999999999999999999999999 bit/s", -ERANGE, 0},
		{"18446744073709551615 Gbit/s", -ERANGE, 0},
		{"20", -EDOM, 0},
		{"20.5", -EDOM, 0},
		{"", -EINVAL, 0},
		{" ", -EINVAL, 0},
		{"Mbit/s", -EINVAL, 0},
		{"-20 Mbit/s", -EINVAL, 0},
		{"+20 Mbit/s", -EINVAL, 0},
		{"20 Mbps", -EINVAL, 0},
		{"10 MB/s", -EINVAL, 0},
		{"20 Mbit/s x", -EINVAL, 0},
		{"20 M", -EINVAL, 0},
		{"1,000 Mbit/s", -EINVAL, 0},
		{"1e3 Mbit/s", -EINVAL, 0},
		{"20. Mbit/s", -EINVAL, 0},
		{".5 Mbit/s", -EINVAL, 0},
		{"1.5.5 Mbit/s", -EINVAL, 0},
		{"64000.5 bit/s", -EINVAL, 0},
		{"1.0000000001 Gbit/s", -EINVAL, 0},
		{"nan Mbit/s", -EINVAL, 0},
		{NULL, 0, 0},
	};

	CU_ASSERT(reads_as(units_rate, table));
}

static void test_times(void)
{
	static const struct reading table[] = {
		{"5 ms", 0, 5000000},
		{"2 s", 0, 2000000000},
		{"200 us", 0, 200000},
		{"200 \xc2\xb5s", 0, 200000},
		{"200 \xce\xbcs", 0, 200000},
		{"1ns", 0, 1},
		{"0 s", 0, 0},
		{"0.5 us", 0, 500},
		{"0.5 ns", -EINVAL, 0},
		{"5", -EDOM, 0},
		{"5 min", -EINVAL, 0},
		{"5 kbit", -EINVAL, 0},
		{"18446744073.709551615 s", 0, UINT64_MAX},
		{"18446744073.709551616 s", -ERANGE, 0},
		{NULL, 0, 0},
	};

	CU_ASSERT(reads_as(units_time, table));
}

static void test_sizes(void)
{
	static const struct reading table[] = {
		{"30 kB", 0, 30000},
		{"64 KiB", 0, 65536},
		{"1500 B", 0, 1500},
		{"1.5kB", 0, 1500},
		{"1 MiB", 0, 1048576},
		{"0.5 GiB", 0, 536870912},
		{"2 GB", 0, 2000000000},
		{"1.3 KiB", -EINVAL, 0},
		{"30", -EDOM, 0},
		{"30 k", -EINVAL, 0},
		{"30 kbit", -EINVAL, 0},
		{NULL, 0, 0},
	};

	CU_ASSERT(reads_as(units_size, table));
}

static void test_percent(void)
{
	static const struct {
		const char *text;
		int rc;
		uint32_t ppm;
	} table[] = {
		{"20 %", 0, 200000},
		{"20%", 0, 200000},
		{" 12.3456 % ", 0, 123456},
		{"0.0001 %", 0, 1},
		{"100 %", 0, 1000000},
		{"100.0000 %", 0, 1000000},
		{"100.0001 %", -ERANGE, 0},
		{"101 %", -ERANGE, 0},
		{"0 %", -ERANGE, 0},
		{"0.00001 %", -EINVAL, 0},
		{"-5 %", -EINVAL, 0},
		{"5", -EDOM, 0},
		{"5 percent", -EINVAL, 0},
		{"%", -EINVAL, 0},
		{"5 % %", -EINVAL, 0},
		{"1844674407370955.1616 %", -ERANGE, 0},
		{"99999999999999999999999 %", -ERANGE, 0},
	};
	char text[UNITS_TEXT_MAX];
	unsigned wrong = 0;

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint32_t ppm = 0;
		int rc = units_percent(table[i].text, &ppm);
		if (rc != table[i].rc || ppm != table[i].ppm)
			printf("     \"%s\": %d, %u\n", table[i].text, rc, ppm);
		CU_ASSERT(rc == table[i].rc && ppm == table[i].ppm);
	}
	CU_ASSERT_STRING_EQUAL(units_percent_text(125000, text), "12.5 %");
	CU_ASSERT_STRING_EQUAL(units_percent_text(1, text), "0.0001 %");
	for (uint32_t ppm = 1; ppm <= UNITS_PPM; ppm += 7) {
		uint32_t back = 0;
		wrong += units_percent(units_percent_text(ppm, text), &back) != 0 || back != ppm;
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

static void test_texts(void)
{
	char text[UNITS_TEXT_MAX];

	CU_ASSERT_STRING_EQUAL(units_rate_text(20000000, text), "20 Mbit/s");
	CU_ASSERT_STRING_EQUAL(units_rate_text(1500000000, text), "1.5 Gbit/s");
	CU_ASSERT_STRING_EQUAL(units_rate_text(64001, text), "64.001 kbit/s");
	CU_ASSERT_STRING_EQUAL(units_rate_text(0, text), "0 bit/s");
	CU_ASSERT_STRING_EQUAL(units_time_text(5000000, text), "5 ms");
	CU_ASSERT_STRING_EQUAL(units_time_text(1000000001, text), "1.000000001 s");
	CU_ASSERT_STRING_EQUAL(units_size_text(65536, text), "64 KiB");
	CU_ASSERT_STRING_EQUAL(units_size_text(128000, text), "128 kB");
	CU_ASSERT_STRING_EQUAL(units_size_text(1500, text), "1.5 kB");
	CU_ASSERT_STRING_EQUAL(units_size_text(1501, text), "1.501 kB");
	CU_ASSERT_STRING_EQUAL(units_size_text(0, text), "0 B");
}

static void test_round_trip(void)
{
	uint64_t seed = 1, value = 0, back = 0;
	char text[UNITS_TEXT_MAX];
	unsigned wrong = 0;

	for (unsigned i = 0; i < 100000; i++) {
		value = random_within(&seed, UNITS_RATE_MIN_BPS, UNITS_RATE_MAX_BPS) >>
			random_within(&seed, 0, 20);
		if (value >= UNITS_RATE_MIN_BPS)
			wrong += units_rate(units_rate_text(value, text), &back) != 0 ||
				 back != value;
		value = random_next(&seed) >> random_within(&seed, 0, 63);
		wrong += units_time(units_time_text(value, text), &back) != 0 || back != value;
		wrong += units_size(units_size_text(value, text), &back) != 0 || back != value;
		value <<= random_within(&seed, 0, 30);
		wrong += units_size(units_size_text(value, text), &back) != 0 || back != value;
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

UNIT_TESTS("units", {"rates", test_rates}, {"times", test_times}, {"sizes", test_sizes},
	{"percentages", test_percent}, {"texts", test_texts},
	{"what is written is read back", test_round_trip})
