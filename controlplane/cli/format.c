/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers as people like to read them. format.h is the manual. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "controlplane/cli/format.h"

/* Three digits: 1.23, 12.3, 123; the next unit from 999.5 on. */
static const char *scaled(
	double value, double step, const char *const *units, unsigned count, char *text)
{
	unsigned i = 0;

	while (i + 1 < count && value >= 999.5) {
		value /= step;
		i++;
	}
	int digits = i == 0 ? 0 : value < 9.995 ? 2 : value < 99.95 ? 1 : 0;

	snprintf(text, FORMAT_MAX, "%.*f%s", digits, value, units[i]);
	return text;
}

const char *format_rate(uint64_t rate_bps, char text[FORMAT_MAX])
{
	static const char *const units[] = {" bit/s", " kbit/s", " Mbit/s", " Gbit/s", " Tbit/s"};

	return scaled((double)rate_bps, 1000, units, 5, text);
}

const char *format_rate_brief(uint64_t rate_bps, char text[FORMAT_MAX])
{
	static const char *const units[] = {"", "k", "M", "G", "T"};

	return scaled((double)rate_bps, 1000, units, 5, text);
}

const char *format_bytes(uint64_t bytes, char text[FORMAT_MAX])
{
	static const char *const units[] = {" B", " kB", " MB", " GB", " TB", " PB", " EB"};

	return scaled((double)bytes, 1000, units, 7, text);
}

const char *format_time(uint64_t time_ns, char text[FORMAT_MAX])
{
	static const char *const units[] = {" ns", " us", " ms", " s"};

	return scaled((double)time_ns, 1000, units, 4, text);
}

const char *format_count(uint64_t count, char text[FORMAT_MAX])
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)count);
	char *to = text;

	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			*to++ = ',';
		*to++ = digits[i];
	}
	*to = '\0';
	return text;
}

const char *format_duration(uint64_t time_ns, char text[FORMAT_MAX])
{
	unsigned long long s = time_ns / 1000000000u;

	if (s >= 86400)
		snprintf(text, FORMAT_MAX, "%llud %lluh", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		snprintf(text, FORMAT_MAX, "%lluh %llum", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		snprintf(text, FORMAT_MAX, "%llum %llus", s / 60, s % 60);
	else
		snprintf(text, FORMAT_MAX, "%llu s", s);
	return text;
}

const char *format_date(uint64_t realtime_ns, char text[FORMAT_MAX])
{
	time_t t = (time_t)(realtime_ns / 1000000000u);
	struct tm tm;

	if (realtime_ns == 0 || localtime_r(&t, &tm) == NULL)
		return strcpy(text, "-");
	strftime(text, FORMAT_MAX, "%Y-%m-%d %H:%M:%S", &tm);
	return text;
}

const char *format_address(const uint8_t address[16], char text[FORMAT_MAX])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (memcmp(address, mapped, sizeof(mapped)) == 0)
		inet_ntop(AF_INET, address + 12, text, FORMAT_MAX);
	else
		inet_ntop(AF_INET6, address, text, FORMAT_MAX);
	return text;
}
