/* SPDX-License-Identifier: BSD-3-Clause */
/* What a handler does with its reply (server.h): records, cursor, texts. reply.h holds the page. */
#include <stdarg.h>
#include <stdio.h>

#include "controlplane/channel/reply.h"

void channel_reply_start(struct channel_reply *reply, enum channel_message message)
{
	reply->message = message;
	reply->frames = 0;
	memset(&reply->result, 0, sizeof(reply->result));
}

uint32_t channel_reply_room(const struct channel_reply *reply)
{
	uint32_t bytes = message_table[reply->message].record_bytes;
	uint32_t per_frame = CHANNEL_PAYLOAD_MAX / bytes;
	uint32_t room = (PAGE_FRAMES - reply->frames) * per_frame;

	if (reply->frames > 0)
		room += per_frame - reply->page[reply->frames - 1].len / bytes;
	return room;
}

int channel_reply_record(
	struct channel_reply *reply, enum channel_message message, const void *record)
{
	uint32_t bytes = message_table[message].record_bytes;
	struct channel_frame *frame;

	if (message != reply->message || bytes == 0)
		return -EINVAL;
	if (reply->frames == 0 ||
		reply->page[reply->frames - 1].len + bytes > CHANNEL_PAYLOAD_MAX) {
		if (reply->frames == PAGE_FRAMES)
			return -ENOSPC;
		reply->page[reply->frames++].len = 0;
	}
	frame = &reply->page[reply->frames - 1];
	memcpy(frame->payload + frame->len, record, bytes);
	frame->len += bytes;
	reply->result.records++;
	return 0;
}

void channel_reply_next(struct channel_reply *reply, uint64_t next, uint64_t total)
{
	reply->result.next = next;
	reply->result.total = total;
}

bool channel_reply_is_last(const struct channel_reply *reply)
{
	return reply->result.next == 0;
}

void channel_reply_text(struct channel_reply *reply, const char *text, uint64_t len, uint64_t from)
{
	while (from < len && channel_reply_room(reply) > 0) {
		struct text_record record = {0};

		record.len = len - from < sizeof(record.bytes) ? (uint32_t)(len - from)
							       : (uint32_t)sizeof(record.bytes);
		memcpy(record.bytes, text + from, record.len);
		channel_send_policy_text(reply, &record);
		from += record.len;
	}
	channel_reply_next(reply, from < len ? from : 0, len);
}

void channel_reply_error(struct channel_reply *reply, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reply->result.text, sizeof(reply->result.text), format, args);
	va_end(args);
}

void channel_reply_applied(struct channel_reply *reply, uint64_t generation, uint64_t workers,
	uint64_t workers_total, uint64_t took_ns)
{
	reply->result.generation = generation;
	reply->result.workers = workers;
	reply->result.workers_total = workers_total;
	reply->result.took_ns = took_ns;
}

const char *channel_reply_upload(struct channel_reply *reply, uint64_t *len)
{
	*len = reply->upload_len;
	return reply->upload;
}

uint64_t channel_reply_client(const struct channel_reply *reply)
{
	return reply->client;
}

bool channel_reply_is_first(const struct channel_reply *reply)
{
	return reply->is_first;
}

uint64_t channel_reply_waited_ns(const struct channel_reply *reply)
{
	return reply->waited_ns;
}
