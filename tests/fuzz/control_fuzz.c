/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Arbitrary contents of the command segment against channel_server_poll(). The input is a list of
 * operations: write bytes anywhere into a slot, open a session, push a frame (well-formed or not),
 * poll. tests/unit/channel tries the same by chance, from other processes and at the same time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/channel/segment.h"
#include "controlplane/channel/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SLOTS 4u /* in use by the fuzzer, as a power of two */

static struct channel_server *server;
static struct channel_segment *segment;
static struct segment mapping;
static uint64_t sink;

/* A handler may rely on strings that end within their fields. */
static void check_settings(const struct setting *settings)
{
	for (int i = 0; i < SETTINGS_MAX; i++)
		if (strnlen(settings[i].option, CHANNEL_NAME_MAX) == CHANNEL_NAME_MAX ||
			strnlen(settings[i].value, sizeof(settings[i].value)) ==
				sizeof(settings[i].value))
			abort();
}

static void check_strings(enum channel_message message, const void *request)
{
	if (message == MESSAGE_SET_CLASS)
		check_settings(((const struct set_class_request *)request)->settings);
	else if (message == MESSAGE_SET_LINK)
		check_settings(((const struct set_link_request *)request)->settings);
	else if (message == MESSAGE_CLASSES &&
		 strnlen(((const struct classes_request *)request)->name, CHANNEL_NAME_MAX) ==
			 CHANNEL_NAME_MAX)
		abort();
}

/* Reads the whole request, as the daemon's handlers might. */
static int look(const void *request, size_t bytes, struct channel_reply *reply)
{
	const uint8_t *at = request;
	uint64_t sum = 0, len;
	const char *text = channel_reply_upload(reply, &len);

	for (size_t i = 0; i < bytes; i++)
		sum += at[i];
	if (text != NULL)
		sum += strlen(text) + (uint8_t)text[len];
	sink += sum;
	/* Every kind of end. */
	switch (sum & 7) {
	case 0:
		return -EINVAL;
	case 1:
		return channel_reply_is_first(reply) ? -EINPROGRESS : 0;
	case 2:
		channel_reply_error(reply, "%.*s", (int)bytes, (const char *)request);
		return -ENOENT;
	default:
		return 0;
	}
}

#define MESSAGE(id, name, request_type, record_type)                                               \
	static int on_##name(                                                                      \
		void *context, const struct request_type *request, struct channel_reply *reply)    \
	{                                                                                          \
		struct record_type record;                                                         \
                                                                                                   \
		memset(&record, 'r', sizeof(record));                                              \
		check_strings(MESSAGE_##id, request);                                              \
		/* One record, or (an odd first byte) as many as there is room for. */             \
		while (channel_send_##name(reply, &record) == 0 &&                                 \
			(*(const uint8_t *)request & 1) != 0)                                      \
			;                                                                          \
		return look(request, sizeof(*request), reply);                                     \
	}
#include "controlplane/channel/messages.def"
#undef MESSAGE

static const struct channel_handlers handlers = {
#define MESSAGE(id, name, request, record) .name = on_##name,
#include "controlplane/channel/messages.def"
#undef MESSAGE
};

static void end(void)
{
	segment_close(&mapping);
	channel_server_destroy(server);
}

static void begin(void)
{
	char instance[CHANNEL_NAME_MAX], error[256] = "";

	snprintf(instance, sizeof(instance), "fuzz-%d", (int)getpid());
	server = channel_server_create(instance, NULL, 1, 1, error, sizeof(error));
	if (server == NULL || segment_open(&mapping, instance, SEGMENT_COMMANDS,
				      sizeof(struct channel_segment), true) != 0) {
		fprintf(stderr, "%s\n", error);
		exit(1);
	}
	segment = mapping.base;
	for (uint32_t i = 0; i < SLOTS; i++) {
		struct flock lock = {.l_type = F_WRLCK, .l_start = i, .l_len = 1};

		fcntl(mapping.fd, F_OFD_SETLK, &lock);
	}
	atexit(end);
}

/* The next `bytes` of the input, zeros behind its end. */
static uint64_t take(const uint8_t **data, size_t *size, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = 0; i<bytes && * size> 0; i++, (*data)++, (*size)--)
		value = value << 8 | **data;
	return value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (server == NULL)
		begin();
	for (uint32_t i = 0; i < SLOTS; i++)
		segment->slots[i].session = 0;
	channel_server_poll(server, &handlers, NULL);
	while (size > 0) {
		uint8_t op = (uint8_t)take(&data, &size, 1);
		struct channel_slot *slot = &segment->slots[op % SLOTS];
		struct channel_frame *frame;
		uint64_t at, len;

		switch (op / SLOTS % 5) {
		case 0: /* raw bytes; the lines with session and indices more often */
			at = take(&data, &size, 3);
			at %= at & 1 ? sizeof(*slot) : 256;
			len = take(&data, &size, 1);
			for (; len > 0 && at < sizeof(*slot); len--, at++)
				((uint8_t *)slot)[at] = (uint8_t)take(&data, &size, 1);
			break;
		case 1:
			slot->session = take(&data, &size, 1);
			break;
		case 2: /* a frame that is right but for its payload */
			frame = &slot->requests[slot->request.head % CHANNEL_REQUESTS];
			frame->message = (uint32_t)take(&data, &size, 1) % (MESSAGE_COUNT + 1);
			frame->kind = FRAME_REQUEST;
			frame->session = slot->session;
			len = take(&data, &size, 1);
			for (uint64_t i = 0; i < len; i++)
				frame->payload[i] = (uint8_t)take(&data, &size, 1);
			frame->len = frame->message == 0 || frame->message >= MESSAGE_COUNT
					     ? (uint32_t)len
					     : message_table[frame->message].request_bytes;
			slot->request.head++;
			break;
		case 3: /* the client takes what is there */
			slot->reply.tail = slot->reply.head;
			break;
		default:
			channel_server_poll(server, &handlers, NULL);
		}
	}
	channel_server_poll(server, &handlers, NULL);
	channel_server_poll(server, &handlers, NULL);
	return 0;
}
