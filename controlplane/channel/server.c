/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon's end of the channel (server.h): sessions, requests, dispatch. Of the command segment
 * it reads three words a slot (session, two indices) and the request frames, each copied out before
 * it is checked; all that must be right is kept in struct slot, out of reach of clients.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "controlplane/channel/reply.h"

#define POLL_REQUESTS 8 /* of one client in one poll (one of them at most for a handler) */
#define OWNER_CHECK_NS 100000000u /* how often it is looked whether a silent client still lives */

struct upload {
	char *text; /* NULL: nothing uploaded */
	uint32_t total, len;
};

static void upload_drop(struct upload *upload)
{
	free(upload->text);
	*upload = (struct upload){0};
}

struct slot {
	struct channel_slot *shared;
	uint64_t session; /* what the client calls its session; 0: free */
	uint64_t client;  /* our own number for it */
	uint64_t checked_ns;
	struct channel_ring requests, replies;
	struct upload upload;
	bool has_request;      /* request holds one that is not answered yet */
	uint64_t handed_in_ns; /* when a handler had it first and was not ready; 0: none has */
	struct channel_frame request;
};

struct channel_server {
	char instance[CHANNEL_NAME_MAX];
	gid_t gid; /* -1: no group */
	int lock_fd;
	struct segment counters, commands;
	volatile int lost; /* set by the SIGBUS guard */
	uint64_t next_client;
	struct channel_server_stats stats;
	struct channel_reply reply; /* of the handler that is running */
	struct slot slots[CHANNEL_SLOTS];
};

/* Strings in requests, which are terminated before a handler sees them: `count` of them, `stride`
 * apart. */
static const struct request_string {
	enum channel_message message;
	size_t offset, size;
	size_t count, stride;
} request_strings[] = {
#define STRING(id, type, field)                                                                    \
	{                                                                                          \
		MESSAGE_##id, offsetof(struct type, field), sizeof(((struct type *)0)->field), 1,  \
			0                                                                          \
	}
#define SETTING(id, type, field)                                                                   \
	{                                                                                          \
		MESSAGE_##id, offsetof(struct type, settings[0].field),                            \
			sizeof(((struct type *)0)->settings[0].field), SETTINGS_MAX,               \
			sizeof(struct setting)                                                     \
	}
	STRING(CLASSES, classes_request, name),
	STRING(FLOWS, flows_request, class_name),
	STRING(PING, ping_request, target),
	STRING(TRACE, trace_request, target),
	STRING(SPEEDTEST, speedtest_request, peer),
	STRING(POLICY_APPLY, policy_apply_request, file),
	STRING(SET_CLASS, set_class_request, name),
	SETTING(SET_CLASS, set_class_request, option),
	SETTING(SET_CLASS, set_class_request, value),
	STRING(SET_LINK, set_link_request, bridge),
	SETTING(SET_LINK, set_link_request, option),
	SETTING(SET_LINK, set_link_request, value),
#undef STRING
#undef SETTING
};

static void terminate_strings(struct channel_frame *request)
{
	for (size_t i = 0; i < sizeof(request_strings) / sizeof(request_strings[0]); i++) {
		const struct request_string *s = &request_strings[i];

		for (size_t n = 0; s->message == request->message && n < s->count; n++)
			request->payload[s->offset + n * s->stride + s->size - 1] = '\0';
	}
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int create_commands(struct channel_server *server)
{
	const struct counters_header *counters = server->counters.base;
	bool has_group = server->gid != (gid_t)-1;
	int error = segment_create(&server->commands, server->instance, SEGMENT_COMMANDS,
		sizeof(struct channel_segment), has_group ? 0660 : 0600, server->gid);

	if (error == 0)
		error = segment_guard(&server->commands, &server->lost);
	if (error != 0)
		return error;

	struct channel_segment *shared = server->commands.base;

	for (uint32_t i = 0; i < CHANNEL_SLOTS; i++) {
		struct slot *slot = &server->slots[i];

		slot->shared = &shared->slots[i];
		slot->requests = (struct channel_ring){
			.shared = &slot->shared->request,
			.frames = slot->shared->requests,
			.capacity = CHANNEL_REQUESTS,
		};
		slot->replies = (struct channel_ring){
			.shared = &slot->shared->reply,
			.frames = slot->shared->replies,
			.capacity = CHANNEL_REPLIES,
		};
	}
	shared->header = (struct channel_header){
		.abi = CHANNEL_ABI,
		.header_bytes = sizeof(struct channel_header),
		.slot_bytes = sizeof(struct channel_slot),
		.frame_bytes = sizeof(struct channel_frame),
		.slots = CHANNEL_SLOTS,
		.requests = CHANNEL_REQUESTS,
		.replies = CHANNEL_REPLIES,
		.messages = MESSAGE_COUNT,
		.pid = counters->pid,
		.generation = counters->started_realtime_ns,
	};
	__atomic_store_n(&shared->header.magic, CHANNEL_MAGIC, __ATOMIC_RELEASE);
	return 0;
}

static int create_counters(struct channel_server *server, uint32_t workers, uint32_t ports)
{
	bool has_group = server->gid != (gid_t)-1;
	uint64_t bytes = sizeof(struct counters_header) +
			 (uint64_t)workers * sizeof(struct counters_worker) +
			 (uint64_t)ports * sizeof(struct counters_port);
	int error = segment_create(&server->counters, server->instance, SEGMENT_COUNTERS, bytes,
		has_group ? 0640 : 0600, server->gid);

	if (error != 0)
		return error;

	struct counters_header *header = server->counters.base;

	*header = (struct counters_header){
		.abi = COUNTERS_ABI,
		.header_bytes = sizeof(struct counters_header),
		.worker_bytes = sizeof(struct counters_worker),
		.port_bytes = sizeof(struct counters_port),
		.workers = workers,
		.ports = ports,
		.stages = STAGE_COUNT,
		.reasons = REASON_COUNT,
		.pid = (uint32_t)getpid(),
		.pid_started = segment_process_started((uint32_t)getpid()),
		.started_realtime_ns = clock_ns(CLOCK_REALTIME),
		.now_ns = clock_ns(CLOCK_MONOTONIC),
		.version = SLUICE_VERSION,
	};
	memcpy(header->instance, server->instance, sizeof(header->instance));
	__atomic_store_n(&header->magic, COUNTERS_MAGIC, __ATOMIC_RELEASE);
	return 0;
}

struct channel_server *channel_server_create(const char *instance, const char *group,
	uint32_t workers, uint32_t ports, char *error, uint32_t error_len)
{
	struct channel_server *server;
	int e;

	if (!segment_name_is_valid(instance)) {
		snprintf(error, error_len,
			"\"%.40s\" cannot be an instance's name: take 1 to 31 letters, digits, '-' "
			"and '_', without \"-counters\" or \"-lock\" at the end",
			instance);
		return NULL;
	}
	server = calloc(1, sizeof(*server));
	if (server == NULL) {
		snprintf(error, error_len, "no memory for the channel");
		return NULL;
	}
	server->counters.fd = server->commands.fd = server->lock_fd = -1;
	server->gid = (gid_t)-1;
	server->next_client = 1;
	memcpy(server->instance, instance, strlen(instance) + 1);
	if (group != NULL && group[0] != '\0') {
		const struct group *found = getgrnam(group);

		if (found == NULL) {
			snprintf(error, error_len,
				"there is no group \"%s\" on this host: create it (groupadd "
				"--system "
				"%s) or leave `group` out",
				group, group);
			free(server);
			return NULL;
		}
		server->gid = found->gr_gid;
	}
	e = segment_lock(instance);
	if (e == -EBUSY) {
		snprintf(error, error_len,
			"another daemon runs as instance \"%s\": stop it or choose another "
			"--instance",
			instance);
		free(server);
		return NULL;
	}
	if (e >= 0) {
		server->lock_fd = e;
		e = create_counters(server, workers, ports);
		if (e == 0)
			e = create_commands(server);
	}
	if (e != 0) {
		snprintf(error, error_len, "shared memory /dev/shm/sluice-%s: %s", instance,
			strerror(-e));
		channel_server_destroy(server);
		return NULL;
	}
	return server;
}

void channel_server_destroy(struct channel_server *server)
{
	if (server == NULL)
		return;
	for (uint32_t i = 0; i < CHANNEL_SLOTS; i++)
		upload_drop(&server->slots[i].upload);
	if (server->counters.base != NULL) {
		struct counters_header *header = server->counters.base;

		__atomic_store_n(&header->ready, 0, __ATOMIC_RELEASE);
		segment_unlink(server->instance, SEGMENT_COUNTERS);
	}
	if (server->commands.base != NULL)
		segment_unlink(server->instance, SEGMENT_COMMANDS);
	segment_close(&server->commands);
	segment_close(&server->counters);
	if (server->lock_fd >= 0) {
		/* Unlinked while it is held: who waits for it looks whether it is still there. */
		segment_unlink(server->instance, SEGMENT_LOCK);
		close(server->lock_fd);
	}
	free(server);
}

void *channel_server_counters(struct channel_server *server)
{
	return server->counters.base;
}

void channel_server_stats(const struct channel_server *server, struct channel_server_stats *stats)
{
	*stats = server->stats;
}

/* Does anybody hold the lock on this slot? */
static bool slot_is_owned(const struct channel_server *server, const struct slot *slot)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = slot - server->slots,
		.l_len = 1,
	};

	return fcntl(server->commands.fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static void session_begin(struct channel_server *server, struct slot *slot, uint64_t session)
{
	memset(&slot->shared->request, 0, sizeof(slot->shared->request));
	memset(&slot->shared->reply, 0, sizeof(slot->shared->reply));
	slot->requests.own = slot->replies.own = 0;
	slot->has_request = false;
	slot->handed_in_ns = 0;
	slot->session = session;
	slot->client = server->next_client++;
	server->stats.sessions++;
	server->stats.sessions_opened++;
	__atomic_store_n(&slot->shared->accepted, session, __ATOMIC_RELEASE);
}

static void session_end(struct channel_server *server, struct slot *slot,
	const struct channel_handlers *handlers, void *context)
{
	uint64_t session = slot->session;

	__atomic_store_n(&slot->shared->accepted, 0, __ATOMIC_RELEASE);
	/* Only if the slot's next owner has not already put his own there. */
	__atomic_compare_exchange_n(
		&slot->shared->session, &session, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	upload_drop(&slot->upload);
	slot->session = 0;
	slot->has_request = false;
	slot->handed_in_ns = 0;
	server->stats.sessions--;
	server->stats.sessions_closed++;
	if (handlers->closed != NULL)
		handlers->closed(context, slot->client);
}

/* Follow what the client (or nobody) says about the slot. True while there is a session. */
static bool session_follow(struct channel_server *server, struct slot *slot, uint64_t now_ns,
	const struct channel_handlers *handlers, void *context)
{
	uint64_t session = __atomic_load_n(&slot->shared->session, __ATOMIC_ACQUIRE);

	if (session == slot->session) {
		if (session == 0)
			return false;
		if (now_ns - slot->checked_ns < OWNER_CHECK_NS)
			return true;
		slot->checked_ns = now_ns;
		if (slot_is_owned(server, slot))
			return true;
		session_end(server, slot, handlers, context);
		return false;
	}
	if (slot->session != 0)
		session_end(server, slot, handlers, context);
	if (session == 0)
		return false;
	if (!slot_is_owned(server, slot)) {
		server->stats.garbage++;
		__atomic_compare_exchange_n(&slot->shared->session, &session, 0, false,
			__ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
		return false;
	}
	slot->checked_ns = now_ns;
	session_begin(server, slot, session);
	return true;
}

/* A piece of a text. */
static int take_upload(struct slot *slot, struct channel_reply *reply)
{
	const struct upload_request *piece = (const void *)slot->request.payload;
	struct upload *upload = &slot->upload;

	if (slot->request.len < offsetof(struct upload_request, bytes) ||
		piece->len != slot->request.len - offsetof(struct upload_request, bytes))
		return -EBADMSG;
	if (piece->total > CHANNEL_UPLOAD_MAX) {
		channel_reply_error(reply, "the text has %u bytes; at most %u are accepted",
			piece->total, CHANNEL_UPLOAD_MAX);
		return -EFBIG;
	}
	if (piece->offset == 0) {
		upload_drop(upload);
		*upload = (struct upload){.text = malloc(piece->total + 1), .total = piece->total};
		if (upload->text == NULL)
			return -ENOMEM;
	}
	if (upload->text == NULL || piece->offset != upload->len || piece->total != upload->total ||
		piece->len > upload->total - upload->len)
		return -EBADMSG;
	memcpy(upload->text + upload->len, piece->bytes, piece->len);
	upload->len += piece->len;
	upload->text[upload->len] = '\0';
	return 0;
}

static int call_handler(struct slot *slot, struct channel_reply *reply,
	const struct channel_handlers *handlers, void *context)
{
	const void *payload = slot->request.payload;

	switch (slot->request.message) {
#define MESSAGE(id, name, request, record)                                                         \
	case MESSAGE_##id:                                                                         \
		return handlers->name == NULL ? -EOPNOTSUPP                                        \
					      : handlers->name(context, payload, reply);
#include "controlplane/channel/messages.def"
#undef MESSAGE
	}
	return -EOPNOTSUPP;
}

/* Check slot->request and carry it out. True if a handler was called. */
static bool serve(struct channel_server *server, struct slot *slot, uint64_t now_ns,
	const struct channel_handlers *handlers, void *context)
{
	struct channel_frame *request = &slot->request;
	struct channel_reply *reply = &server->reply;
	bool called = false;
	int error;

	if (request->kind != FRAME_REQUEST || request->session != slot->session ||
		request->len > CHANNEL_PAYLOAD_MAX) {
		/* Nobody to answer: this did not come from client.c. */
		server->stats.garbage++;
		slot->has_request = false;
		return false;
	}
	channel_reply_start(reply, request->message < MESSAGE_COUNT ? request->message : 0);
	if (request->message >= MESSAGE_COUNT) {
		channel_reply_error(reply,
			"the daemon does not know message %u: install the same version of "
			"sluicectl and sluiced",
			request->message);
		error = -EOPNOTSUPP;
	} else if (request->message == MESSAGE_UPLOAD) {
		error = take_upload(slot, reply);
		if (error < 0)
			upload_drop(&slot->upload); /* no handler gets a text with a piece wrong */
	} else if (request->len != message_table[request->message].request_bytes) {
		channel_reply_error(reply,
			"message \"%s\" of %u bytes: the daemon takes %u, install the same version "
			"of sluicectl and sluiced",
			message_table[request->message].name, request->len,
			message_table[request->message].request_bytes);
		error = -EBADMSG;
	} else {
		terminate_strings(request);
		reply->client = slot->client;
		reply->is_first = slot->handed_in_ns == 0;
		reply->waited_ns = reply->is_first ? 0 : now_ns - slot->handed_in_ns;
		reply->upload = slot->upload.len == slot->upload.total ? slot->upload.text : NULL;
		reply->upload_len = reply->upload != NULL ? slot->upload.len : 0;
		error = call_handler(slot, reply, handlers, context);
		called = true;
	}
	if (error == -EINPROGRESS) {
		if (slot->handed_in_ns == 0)
			slot->handed_in_ns = now_ns;
		return called;
	}
	slot->has_request = false;
	slot->handed_in_ns = 0;
	server->stats.requests++;
	if (error < 0) {
		server->stats.refused++;
		if (reply->result.text[0] == '\0' && error == -EOPNOTSUPP)
			channel_reply_error(reply, "the daemon does not support \"%s\"",
				message_table[reply->message].name);
		else if (reply->result.text[0] == '\0')
			channel_reply_error(reply, "%s", strerror(-error));
		if (error == -EBADMSG)
			server->stats.garbage++;
	}
	reply->result.error = error < 0 ? error : 0;
	for (uint32_t i = 0; i <= reply->frames; i++) {
		struct channel_frame *frame = i < reply->frames ? &reply->page[i] : request;

		if (i == reply->frames) { /* the request's buffer is free again */
			frame->kind = FRAME_RESULT;
			frame->len = sizeof(reply->result);
			memcpy(frame->payload, &reply->result, sizeof(reply->result));
		} else {
			frame->kind = FRAME_RECORDS;
			frame->message = reply->message;
			frame->sequence = request->sequence;
			frame->session = slot->session;
			frame->zero = 0;
		}
		channel_ring_push(&slot->replies, frame);
	}
	return called;
}

static void poll_slot(struct channel_server *server, struct slot *slot, uint64_t now_ns,
	const struct channel_handlers *handlers, void *context)
{
	if (!session_follow(server, slot, now_ns, handlers, context))
		return;
	for (int i = 0; i < POLL_REQUESTS; i++) {
		int error = channel_ring_space(&slot->replies);

		/* A client gets its next answer when it has taken the last one whole. It had when a
		 * handler got the request that is still worked on: who takes that back would keep
		 * others, who wait for the end of it, waiting for ever. */
		if (error >= 0 && error < (int)CHANNEL_REPLIES && slot->handed_in_ns == 0)
			return;
		if (error >= 0 && error < (int)CHANNEL_REPLIES)
			error = -EPROTO;
		if (error >= 0 && !slot->has_request) {
			error = channel_ring_pop(&slot->requests, &slot->request);
			if (error == -EAGAIN)
				return;
			slot->has_request = error == 0;
		}
		if (error < 0) {
			server->stats.garbage++;
			session_end(server, slot, handlers, context);
			return;
		}
		if (serve(server, slot, now_ns, handlers, context) || slot->handed_in_ns != 0)
			return;
	}
}

void channel_server_poll(
	struct channel_server *server, const struct channel_handlers *handlers, void *context)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	for (uint32_t i = 0; i < CHANNEL_SLOTS; i++)
		if (server->commands.base != NULL)
			poll_slot(server, &server->slots[i], now_ns, handlers, context);
	if (server->lost || server->commands.base == NULL) {
		/* A client has cut the segment short: leave it to it and make a new one. */
		for (uint32_t i = 0; i < CHANNEL_SLOTS && server->commands.base != NULL; i++)
			if (server->slots[i].session != 0)
				session_end(server, &server->slots[i], handlers, context);
		segment_close(&server->commands);
		server->stats.rebuilt++;
		if (create_commands(server) != 0)
			segment_close(&server->commands); /* tried again at the next poll */
	}
}
