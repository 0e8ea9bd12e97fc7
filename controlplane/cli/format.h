/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbers as people like to read them: three digits and a unit. Rounded, so for output only;
 * controlplane/policy/units.h reads what people write. out.c and top.c print with it.
 */
#ifndef SLUICE_CLI_FORMAT_H
#define SLUICE_CLI_FORMAT_H

#include <stdint.h>

#define FORMAT_MAX 48 /* room for every text below */

const char *format_rate(uint64_t rate_bps, char text[FORMAT_MAX]);	 /* "12.3 Mbit/s" */
const char *format_rate_brief(uint64_t rate_bps, char text[FORMAT_MAX]); /* "12.3M" */
const char *format_bytes(uint64_t bytes, char text[FORMAT_MAX]);	 /* "1.21 GB" */
const char *format_count(uint64_t count, char text[FORMAT_MAX]);	 /* "1,234,567" */
const char *format_time(uint64_t time_ns, char text[FORMAT_MAX]);	 /* "41.2 ms" */
const char *format_duration(uint64_t time_ns, char text[FORMAT_MAX]);	 /* "3d 4h", "2m 5s" */
const char *format_date(uint64_t realtime_ns, char text[FORMAT_MAX]);	 /* local date and time */

/* An address of messages.h: ::ffff:a.b.c.d prints as IPv4. */
const char *format_address(const uint8_t address[16], char text[FORMAT_MAX]);

#endif
