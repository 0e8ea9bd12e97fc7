/* SPDX-License-Identifier: BSD-3-Clause */
/* How sluicectl writes numbers (controlplane/cli/format.h), at the edges of every unit. */
#include "controlplane/cli/format.h"
#include "tests/unit/unit.h"

static void check(const char *(*format)(uint64_t, char *), uint64_t value, const char *right)
{
	char text[FORMAT_MAX];

	if (strcmp(format(value, text), right) != 0)
		printf("     %llu: \"%s\", not \"%s\"\n", (unsigned long long)value, text, right);
	CU_ASSERT_STRING_EQUAL(text, right);
}

static void test_rates(void)
{
	check(format_rate, 0, "0 bit/s");
	check(format_rate, 999, "999 bit/s");
	check(format_rate, 1000, "1.00 kbit/s");
	check(format_rate, 9994, "9.99 kbit/s");
	check(format_rate, 9996, "10.0 kbit/s");
	check(format_rate, 999499, "999 kbit/s");
	check(format_rate, 999500, "1.00 Mbit/s");
	check(format_rate, 12345678, "12.3 Mbit/s");
	check(format_rate, 400000000000u, "400 Gbit/s");
	check(format_rate, UINT64_MAX, "18446744 Tbit/s");
}

static void test_others(void)
{
	check(format_bytes, 1536, "1.54 kB");
	check(format_bytes, UINT64_MAX, "18.4 EB");
	check(format_time, 850, "850 ns");
	check(format_time, 41234567, "41.2 ms");
	check(format_time, 3200000000u, "3.20 s");
	check(format_count, 0, "0");
	check(format_count, 999, "999");
	check(format_count, 1000, "1,000");
	check(format_count, UINT64_MAX, "18,446,744,073,709,551,615");
	check(format_duration, 59000000000u, "59 s");
	check(format_duration, 3599000000000u, "59m 59s");
	check(format_duration, 90061000000000u, "1d 1h");
}

static void test_addresses(void)
{
	const uint8_t v4[16] = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 1};
	const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
	char text[FORMAT_MAX];

	CU_ASSERT_STRING_EQUAL(format_address(v4, text), "192.0.2.1");
	CU_ASSERT_STRING_EQUAL(format_address(v6, text), "2001:db8::1");
}

UNIT_TESTS("cli_units", {"rates", test_rates}, {"bytes, times, counts", test_others},
	{"addresses", test_addresses})
