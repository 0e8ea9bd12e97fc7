/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client's end of the channel (client.h). Nothing that it reads from a segment is taken for
 * granted either: another client may write to the command segment, and a segment of that name may
 * be anybody's.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "controlplane/channel/client.h"
#include "controlplane/channel/segment.h"

#define ALIVE_CHECK_NS 50000000u /* how often a waiting client looks whether the daemon lives */

struct channel_client {
	char instance[CHANNEL_NAME_MAX];
	struct segment counters, commands;
	volatile int lost; /* set by the SIGBUS guard */
	uint32_t pid;
	uint64_t pid_started;
	struct channel_slot *slot;
	uint64_t session, sequence;
	struct channel_ring requests, replies;
	struct channel_frame frame; /* the last one taken from the ring, or put into it */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sleep_ns(uint64_t ns)
{
	struct timespec t = {.tv_nsec = (long)ns};

	nanosleep(&t, NULL);
}

/* " (running: a, b)" for who got the name wrong. */
static void list_instances(char *text, uint32_t len)
{
	DIR *dir = opendir("/dev/shm");
	const struct dirent *entry;
	uint32_t used = 0;

	text[0] = '\0';
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		struct segment counters;
		char name[CHANNEL_NAME_MAX];
		size_t n = strlen(entry->d_name);

		if (strncmp(entry->d_name, "sluice-", 7) != 0 || n < 17 || n - 16 >= sizeof(name) ||
			strcmp(entry->d_name + n - 9, "-counters") != 0)
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)(n - 16), entry->d_name + 7);
		if (segment_open(&counters, name, SEGMENT_COUNTERS, sizeof(struct counters_header),
			    false) != 0)
			continue;
		const struct counters_header *header = counters.base;

		if (segment_process_lives(header->pid, header->pid_started) && used + 64 < len)
			used += (uint32_t)snprintf(text + used, len - used, "%s%s",
				used == 0 ? "; running: " : ", ", name);
		segment_close(&counters);
	}
	if (dir != NULL)
		closedir(dir);
}

static int check_counters(const struct channel_client *client, char *error, uint32_t error_len)
{
	const struct counters_header *h = client->counters.base;

	if (h->magic != COUNTERS_MAGIC) {
		snprintf(error, error_len, "/dev/shm/sluice-%s-counters is not a Sluice segment",
			client->instance);
		return -EPROTO;
	}
	if (h->abi != COUNTERS_ABI) {
		snprintf(error, error_len,
			"sluicectl reads counters of ABI %u, the daemon of instance %s writes ABI "
			"%u: "
			"install the same version of both",
			COUNTERS_ABI, client->instance, h->abi);
		return -EPROTO;
	}
	if (h->header_bytes != sizeof(struct counters_header) ||
		h->worker_bytes != sizeof(struct counters_worker) ||
		h->port_bytes != sizeof(struct counters_port) || h->stages != STAGE_COUNT ||
		h->reasons != REASON_COUNT) {
		snprintf(error, error_len,
			"the daemon of instance %s (version %.16s) was built from other sources "
			"than "
			"sluicectl (version " SLUICE_VERSION "): install the same version of both",
			client->instance, h->version);
		return -EPROTO;
	}
	if (client->counters.bytes < h->header_bytes + (uint64_t)h->workers * h->worker_bytes +
					     (uint64_t)h->ports * h->port_bytes) {
		snprintf(error, error_len, "the counter segment of instance %s is cut short",
			client->instance);
		return -EPROTO;
	}
	return 0;
}

static int check_commands(const struct channel_client *client, char *error, uint32_t error_len)
{
	const struct channel_header *h = client->commands.base;

	if (h->magic != CHANNEL_MAGIC) {
		snprintf(error, error_len,
			"/dev/shm/sluice-%s is damaged or not a Sluice segment: restart the daemon",
			client->instance);
		return -EPROTO;
	}
	if (h->abi != CHANNEL_ABI) {
		snprintf(error, error_len,
			"sluicectl speaks ABI %u, the daemon of instance %s ABI %u: install the "
			"same "
			"version of both",
			CHANNEL_ABI, client->instance, h->abi);
		return -EPROTO;
	}
	if (h->header_bytes != sizeof(struct channel_header) ||
		h->slot_bytes != sizeof(struct channel_slot) ||
		h->frame_bytes != sizeof(struct channel_frame) || h->slots != CHANNEL_SLOTS ||
		h->requests != CHANNEL_REQUESTS || h->replies != CHANNEL_REPLIES ||
		h->messages != MESSAGE_COUNT) {
		snprintf(error, error_len,
			"the daemon of instance %s was built from other sources than sluicectl: "
			"install the same version of both",
			client->instance);
		return -EPROTO;
	}
	return 0;
}

/* Map the counters and find a daemon that lives and is ready. */
static int open_counters(
	struct channel_client *client, uint64_t deadline_ns, char *error, uint32_t error_len)
{
	int e = segment_open(&client->counters, client->instance, SEGMENT_COUNTERS,
		sizeof(struct counters_header), false);

	if (e == -ENOENT) {
		char others[256];

		list_instances(others, sizeof(others));
		snprintf(
			error, error_len, "instance %s is not running%s", client->instance, others);
		return e;
	}
	if (e == -EACCES) {
		snprintf(error, error_len,
			"no permission to use instance %s: be root, or a member of the `group` in "
			"its "
			"configuration",
			client->instance);
		return e;
	}
	if (e != 0) {
		snprintf(error, error_len, "/dev/shm/sluice-%s-counters: %s", client->instance,
			e == -EPROTO ? "is not a Sluice segment" : strerror(-e));
		return e;
	}

	const struct counters_header *h = client->counters.base;

	while (__atomic_load_n(&h->magic, __ATOMIC_ACQUIRE) == 0 && now_ns() < deadline_ns)
		sleep_ns(1000000);
	e = check_counters(client, error, error_len);
	if (e != 0)
		return e;
	client->pid = h->pid;
	client->pid_started = h->pid_started;
	while (true) {
		if (!segment_process_lives(client->pid, client->pid_started)) {
			snprintf(error, error_len,
				"instance %s is not running: its daemon (process %u) has ended "
				"without "
				"cleaning up",
				client->instance, client->pid);
			return -ESRCH;
		}
		if (__atomic_load_n(&h->ready, __ATOMIC_ACQUIRE) != 0)
			return 0;
		if (now_ns() >= deadline_ns)
			break;
		sleep_ns(1000000);
	}
	snprintf(error, error_len, "instance %s is still starting or just stopping: try again",
		client->instance);
	return -EAGAIN;
}

/* Take a free slot and wait until the daemon has seen it. */
static int open_slot(
	struct channel_client *client, uint64_t deadline_ns, char *error, uint32_t error_len)
{
	struct channel_segment *shared = client->commands.base;

	while (client->slot == NULL) {
		for (uint32_t i = 0; i < CHANNEL_SLOTS && client->slot == NULL; i++) {
			struct flock lock = {
				.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = i, .l_len = 1};

			if (fcntl(client->commands.fd, F_OFD_SETLK, &lock) == 0)
				client->slot = &shared->slots[i];
		}
		if (client->slot == NULL && now_ns() >= deadline_ns) {
			snprintf(error, error_len,
				"all %u places for clients of instance %s are taken: close another "
				"sluicectl",
				CHANNEL_SLOTS, client->instance);
			return -EUSERS;
		}
		if (client->slot == NULL)
			sleep_ns(10000000);
	}
	client->requests = (struct channel_ring){.shared = &client->slot->request,
		.frames = client->slot->requests,
		.capacity = CHANNEL_REQUESTS};
	client->replies = (struct channel_ring){.shared = &client->slot->reply,
		.frames = client->slot->replies,
		.capacity = CHANNEL_REPLIES};
	while (client->session == 0)
		if (getrandom(&client->session, sizeof(client->session), 0) < 0)
			return -errno;
	__atomic_store_n(&client->slot->session, client->session, __ATOMIC_RELEASE);
	while (__atomic_load_n(&client->slot->accepted, __ATOMIC_ACQUIRE) != client->session) {
		if (now_ns() >= deadline_ns) {
			snprintf(error, error_len,
				"the daemon of instance %s (process %u) runs but does not answer",
				client->instance, client->pid);
			return -ETIMEDOUT;
		}
		sleep_ns(50000);
	}
	return 0;
}

struct channel_client *client_open(
	const char *instance, uint32_t timeout_ms, char *error, uint32_t error_len)
{
	uint64_t deadline_ns = now_ns() + (uint64_t)timeout_ms * 1000000u;
	struct channel_client *client;
	int e;

	error[0] = '\0';
	if (!segment_name_is_valid(instance)) {
		snprintf(error, error_len,
			"\"%.40s\" is not an instance's name: 1 to 31 letters, digits, '-' and '_'",
			instance);
		return NULL;
	}
	client = calloc(1, sizeof(*client));
	if (client == NULL) {
		snprintf(error, error_len, "no memory");
		return NULL;
	}
	client->counters.fd = client->commands.fd = -1;
	memcpy(client->instance, instance, strlen(instance) + 1);
	e = open_counters(client, deadline_ns, error, error_len);
	if (e == 0)
		e = segment_open(&client->commands, instance, SEGMENT_COMMANDS,
			sizeof(struct channel_header), true);
	if (e == 0)
		e = segment_guard(&client->commands, &client->lost);
	if (e == 0)
		e = check_commands(client, error, error_len);
	if (e == 0 && client->commands.bytes < sizeof(struct channel_segment))
		e = -EPROTO;
	if (e == 0)
		e = open_slot(client, deadline_ns, error, error_len);
	if (e != 0) {
		if (error[0] == '\0')
			snprintf(
				error, error_len, "/dev/shm/sluice-%s: %s", instance, strerror(-e));
		client_close(client);
		return NULL;
	}
	return client;
}

void client_close(struct channel_client *client)
{
	if (client == NULL)
		return;
	if (client->slot != NULL && client->session != 0)
		__atomic_compare_exchange_n(&client->slot->session, &(uint64_t){client->session}, 0,
			false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	segment_close(&client->commands); /* and with it the lock */
	segment_close(&client->counters);
	free(client);
}

const struct counters_header *client_counters(const struct channel_client *client)
{
	return client->counters.base;
}

int client_alive(const struct channel_client *client)
{
	const struct counters_header *h = client->counters.base;
	struct segment now;
	struct stat a, b;
	int error;

	if (__atomic_load_n(&h->ready, __ATOMIC_ACQUIRE) != 0 &&
		segment_process_lives(client->pid, client->pid_started))
		return 0;
	if (segment_open(&now, client->instance, SEGMENT_COUNTERS, sizeof(*h), false) != 0)
		return -ESRCH;
	error = fstat(now.fd, &a) == 0 && fstat(client->counters.fd, &b) == 0 &&
				a.st_ino != b.st_ino
			? -ESTALE
			: -ESRCH;
	segment_close(&now);
	return error;
}

__attribute__((format(printf, 3, 4))) static int fail(
	struct channel_result *result, int error, const char *format, ...)
{
	va_list args;

	memset(result, 0, sizeof(*result));
	result->error = error;
	va_start(args, format);
	vsnprintf(result->text, sizeof(result->text), format, args);
	va_end(args);
	return error;
}

/* Why the daemon has not answered; 0: no reason known yet. */
static int no_answer(struct channel_client *client, struct channel_result *result)
{
	int alive = client_alive(client);

	if (alive != 0)
		return fail(result, alive, "the daemon of instance %s has %s", client->instance,
			alive == -ESTALE ? "been restarted" : "ended");
	if (client->lost ||
		__atomic_load_n(&client->slot->accepted, __ATOMIC_ACQUIRE) != client->session)
		return fail(result, -ECONNRESET,
			"the daemon of instance %s has closed the session: a client has written "
			"garbage to /dev/shm/sluice-%s",
			client->instance, client->instance);
	return 0;
}

static int put_request(struct channel_client *client, enum channel_message message,
	const void *request, uint32_t len, struct channel_result *result)
{
	struct channel_frame *frame = &client->frame;
	int space = channel_ring_space(&client->requests);

	if (space < 0)
		return fail(result, -EPROTO, "a client has written garbage to /dev/shm/sluice-%s",
			client->instance);
	if (space == 0)
		return fail(result, -ETIMEDOUT,
			"the daemon of instance %s (process %u) runs but does not answer",
			client->instance, client->pid);
	frame->message = message;
	frame->kind = FRAME_REQUEST;
	frame->len = len;
	frame->zero = 0;
	frame->sequence = ++client->sequence;
	frame->session = client->session;
	memcpy(frame->payload, request, len);
	channel_ring_push(&client->requests, frame);
	return 0;
}

/* Wait for the next frame that belongs to the running call. */
static int take_frame(
	struct channel_client *client, uint64_t deadline_ns, struct channel_result *result)
{
	uint64_t start_ns = now_ns(), checked_ns = start_ns;

	while (true) {
		int error = channel_ring_pop(&client->replies, &client->frame);

		if (error == 0 && client->frame.sequence == client->sequence &&
			client->frame.session == client->session)
			return 0;
		if (error == -EPROTO) {
			error = no_answer(client, result);
			return error != 0 ? error
					  : fail(result, -EPROTO,
						    "a client has written garbage to "
						    "/dev/shm/sluice-%s",
						    client->instance);
		}

		uint64_t now = now_ns();

		if (now - checked_ns > ALIVE_CHECK_NS) {
			checked_ns = now;
			int gone = no_answer(client, result);

			if (gone != 0)
				return gone;
		}
		if (now >= deadline_ns)
			return fail(result, -ETIMEDOUT,
				"the daemon of instance %s (process %u) runs but does not answer",
				client->instance, client->pid);
		if (error == -EAGAIN)
			sleep_ns(now - start_ns < 5000000 ? 20000 : 500000);
	}
}

static int call(struct channel_client *client, enum channel_message message, const void *request,
	uint32_t request_len, client_record_fn on_record, void *context, uint32_t timeout_ms,
	struct channel_result *result)
{
	uint64_t deadline_ns = now_ns() + (uint64_t)timeout_ms * 1000000u;
	uint32_t record_bytes = message_table[message].record_bytes;
	const struct channel_frame *frame = &client->frame;
	int error = put_request(client, message, request, request_len, result);

	while (error == 0) {
		error = take_frame(client, deadline_ns, result);
		if (error != 0)
			break;
		if (frame->kind == FRAME_RESULT && frame->len == sizeof(*result)) {
			memcpy(result, frame->payload, sizeof(*result));
			result->text[sizeof(result->text) - 1] = '\0';
			if (result->error > 0)
				result->error = -EPROTO;
			return result->error;
		}
		if (frame->kind != FRAME_RECORDS || frame->message != message ||
			record_bytes == 0 || frame->len > CHANNEL_PAYLOAD_MAX ||
			frame->len % record_bytes != 0)
			return fail(result, -EPROTO,
				"a client has written garbage to /dev/shm/sluice-%s",
				client->instance);
		for (uint32_t at = 0; at < frame->len && on_record != NULL; at += record_bytes) {
			error = on_record(context, frame->payload + at);
			if (error != 0)
				return fail(result, error, "stopped by the caller");
		}
	}
	return error;
}

int client_call(struct channel_client *client, enum channel_message message, const void *request,
	client_record_fn on_record, void *context, uint32_t timeout_ms,
	struct channel_result *result)
{
	return call(client, message, request, message_table[message].request_bytes, on_record,
		context, timeout_ms, result);
}

int client_list(struct channel_client *client, enum channel_message message, void *request,
	client_record_fn on_record, void *context, uint32_t timeout_ms,
	struct channel_result *result)
{
	uint64_t *from = request;
	uint32_t records = 0;

	while (true) {
		int error = client_call(
			client, message, request, on_record, context, timeout_ms, result);

		records += result->records;
		if (error != 0 || result->next == 0)
			break;
		if (result->next <= *from)
			return fail(result, -EPROTO, "the daemon's list does not come to an end");
		*from = result->next;
	}
	result->records = records;
	return result->error;
}

int client_upload(struct channel_client *client, const char *text, uint64_t len,
	uint32_t timeout_ms, struct channel_result *result)
{
	struct upload_request piece;
	uint64_t at = 0;
	int error;

	if (len > CHANNEL_UPLOAD_MAX)
		return fail(result, -EFBIG, "the text has %llu bytes; at most %u are accepted",
			(unsigned long long)len, CHANNEL_UPLOAD_MAX);
	do {
		piece.offset = (uint32_t)at;
		piece.total = (uint32_t)len;
		piece.len = len - at < sizeof(piece.bytes) ? (uint32_t)(len - at)
							   : (uint32_t)sizeof(piece.bytes);
		memcpy(piece.bytes, text + at, piece.len);
		error = call(client, MESSAGE_UPLOAD, &piece,
			(uint32_t)offsetof(struct upload_request, bytes) + piece.len, NULL, NULL,
			timeout_ms, result);
		at += piece.len;
	} while (error == 0 && at < len);
	return error;
}
