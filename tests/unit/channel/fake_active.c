/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sessions and runs that end at once: fake_active.h. A ping has one answer and one loss, a trace
 * three hops of which the second is silent, a speed test spends its bytes.
 */
#include "tests/unit/channel/fake_active.h"

#include <errno.h>
#include <string.h>

#define MS 1000000u
#define SECONDS 1000000000u

static struct channel_dist a_dist(uint64_t samples, uint64_t p50_ns)
{
	return (struct channel_dist){.samples = samples,
		.min_ns = p50_ns - MS,
		.p50_ns = p50_ns,
		.p90_ns = p50_ns + MS,
		.p99_ns = p50_ns + 2 * MS,
		.p999_ns = p50_ns + 3 * MS,
		.max_ns = p50_ns + 4 * MS};
}

int fake_stamp(void *context, const struct page_request *request, struct channel_reply *reply)
{
	struct stamp_record session = {.peer = "dc",
		.bridge = "b0",
		.address = {0xfd, [15] = 7},
		.family = 6,
		.port = 862,
		.authenticated = 1,
		.interval_ns = 100 * MS,
		.dscp = 46,
		.ssid = 4711,
		.attributed = 1,
		.minute = {.sent = 600, .received = 590, .lost = 10, .lost_up = 7, .lost_down = 3},
		.total = {.sent = 9000, .received = 8990, .lost = 10},
		.synchronized = 1,
		.delay_up_ns = 21 * MS,
		.delay_down_ns = -(int64_t)MS};
	struct stamp_record reflector = {
		.bridge = "b0", .port = 862, .reflector = 1, .sessions = 2, .answered = 12345};

	session.minute.rtt = a_dist(590, 20 * MS);
	channel_send_stamp(reply, &session);
	channel_send_stamp(reply, &reflector);
	return 0;
}

/* The second question for results finds it done. */
int fake_ping(void *context, const struct ping_request *request, struct channel_reply *reply)
{
	static uint64_t asked;
	struct ping_record record = {.peer = "dc",
		.address = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 7},
		.family = 4,
		.method = PING_STAMP,
		.size = 96,
		.attributed = 1,
		.figures = {.sent = 2, .received = 1},
		.next = request->from + 1,
		.replies = 1,
		.reply = {{.number = (uint32_t)request->from, .ttl = 255, .rtt_ns = 20 * MS}}};

	if (request->action == RUN_START) {
		asked = 0;
		if (strcmp(request->target, "dc") == 0)
			return 0;
		channel_reply_error(reply, "\"%s\" is no peer", request->target);
		return -EINVAL;
	}
	if (++asked == 2) {
		record.done = 1;
		record.figures.lost = 1;
		record.figures.lost_up = 1;
		record.reply[0].rtt_ns = record.reply[0].ttl = 0;
	}
	record.figures.rtt = a_dist(1, 20 * MS);
	channel_send_ping(reply, &record);
	return 0;
}

int fake_trace(void *context, const struct trace_request *request, struct channel_reply *reply)
{
	struct trace_record record = {.peer = "dc",
		.target = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 7},
		.family = 4,
		.done = 1,
		.rounds = 10,
		.reached = 1};

	for (record.hop = 1; request->action != RUN_START && record.hop <= 3; record.hop++) {
		record.addresses = record.hop == 2 ? 0 : record.hop;
		record.sent = 10;
		record.received = record.hop == 2 ? 0 : 10 - record.hop;
		memcpy(record.address[0], record.target, 16);
		record.address[0][15] = (uint8_t)(10 * record.hop);
		record.rtt = record.hop == 2 ? (struct channel_dist){0} : a_dist(9, 20 * MS);
		channel_send_trace(reply, &record);
	}
	return 0;
}

int fake_speedtest(
	void *context, const struct speedtest_request *request, struct channel_reply *reply)
{
	const struct speedtest_record record = {.peer = "dc",
		.end = SPEED_BYTES,
		.elapsed_ns = 2 * (uint64_t)SECONDS,
		.sent_packets = 1000,
		.sent_bytes = 1500000,
		.received_packets = 990,
		.received_bytes = 1485000,
		.packet_bytes = 1500,
		.rate_bps = 19200000,
		.limit_bps = 32000000,
		.saturated = 1,
		.measured_ns = SECONDS,
		.delay = a_dist(100, 5 * MS),
		.dscp = request->dscp};

	if (request->action == RUN_POLL)
		channel_send_speedtest(reply, &record);
	return 0;
}
