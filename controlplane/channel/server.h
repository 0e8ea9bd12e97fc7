/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon's end of the channel: owns both segments, takes the clients' requests off their rings,
 * checks them and calls one handler a message. Single-threaded, never blocks, trusts nothing that
 * a client can write. segment.h lays out the memory, client.h is the other end.
 */
#ifndef SLUICE_CHANNEL_SERVER_H
#define SLUICE_CHANNEL_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/channel/counters.h"
#include "controlplane/channel/messages.h"

struct channel_server;

/* The reply that a handler is putting together. */
struct channel_reply;

/*
 * One function a message; NULL answers "not supported". A handler gets its own checked copy of the
 * request (strings are terminated, numbers are whatever the client sent) and returns
 *   0             done: what it sent and the result go to the client,
 *   -EINPROGRESS  not ready: nothing is sent and the same request is handed in again at the next
 *                 poll (waiting for the workers, scanning a large table in parts),
 *   another -errno  refused: the client sees it together with channel_reply_error()'s text.
 */
struct channel_handlers {
#define MESSAGE(id, name, request, record)                                                         \
	int (*name)(void *context, const struct request *request, struct channel_reply *reply);
#include "controlplane/channel/messages.def"
#undef MESSAGE
	/* A session ended: forget what was kept for channel_reply_client() == client. May be NULL.
	 */
	void (*closed)(void *context, uint64_t client);
};

/*
 * Create both segments of `instance` (letters, digits, '-' and '_', at most 31), replacing those of
 * a daemon that died. group: name of the group whose members may use them, NULL or "" for the
 * daemon's own user only. workers and ports size the counter segment. Returns NULL with a sentence
 * in error[]: another daemon with this name is running, unknown group, no memory...
 */
struct channel_server *channel_server_create(const char *instance, const char *group,
	uint32_t workers, uint32_t ports, char *error, uint32_t error_len);

/* Unlink and unmap both segments. The counters are gone afterwards. NULL is fine. */
void channel_server_destroy(struct channel_server *server);

/* The counter segment: a struct counters_header, its sizes, counts, pid, version, instance and
 * start time filled in. The daemon sets the rest and then `ready`. */
void *channel_server_counters(struct channel_server *server);

/* Carry out what has been asked: at most one handler call per client. Call every millisecond or so
 * from one thread. */
void channel_server_poll(
	struct channel_server *server, const struct channel_handlers *handlers, void *context);

/* What went wrong on the channel and how much it is used; for logs, status and tests. */
struct channel_server_stats {
	uint32_t sessions; /* open now */
	uint64_t sessions_opened, sessions_closed;
	uint64_t requests, refused; /* handled; answered with an error */
	uint64_t garbage;	    /* messages or indices that no well-behaved client sends */
	uint64_t rebuilt; /* times the command segment was replaced: a client truncated it */
};
void channel_server_stats(const struct channel_server *server, struct channel_server_stats *stats);

/* Space for records left in this page: a handler of a list sends while it is not 0. */
uint32_t channel_reply_room(const struct channel_reply *reply);

/* Append a record. Its type is given by the message: use the typed channel_send_NAME() below.
 * -ENOSPC when the page is full: then set channel_reply_next() and return 0. */
int channel_reply_record(
	struct channel_reply *reply, enum channel_message message, const void *record);

#define MESSAGE(id, name, request, record_type)                                                    \
	static inline int channel_send_##name(                                                     \
		struct channel_reply *reply, const struct record_type *record)                     \
	{                                                                                          \
		return channel_reply_record(reply, MESSAGE_##id, record);                          \
	}
#include "controlplane/channel/messages.def"
#undef MESSAGE

/* There is more: the client asks again with from = next. total: length of the list, 0: not known.
 */
void channel_reply_next(struct channel_reply *reply, uint64_t next, uint64_t total);

/* True while no cursor is set: the list ends with this page. */
bool channel_reply_is_last(const struct channel_reply *reply);

/* Answer policy_text: as many bytes of text from `from` on as fit, and the cursor. */
void channel_reply_text(struct channel_reply *reply, const char *text, uint64_t len, uint64_t from);

/* A sentence for the user: why it was refused and what would be right (or a remark on success). */
void channel_reply_error(struct channel_reply *reply, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* After a change: "policy 42 on 2/2 workers in 38 us". */
void channel_reply_applied(struct channel_reply *reply, uint64_t generation, uint64_t workers,
	uint64_t workers_total, uint64_t took_ns);

/* The text that this session has uploaded completely (NUL-terminated, *len without it), or NULL.
 * Stays valid until the handler returns. */
const char *channel_reply_upload(struct channel_reply *reply, uint64_t *len);

/* Who asks: a number that is never used again after the session's `closed` call. */
uint64_t channel_reply_client(const struct channel_reply *reply);

/* True on the first call for a request, false when it is handed in again after -EINPROGRESS. */
bool channel_reply_is_first(const struct channel_reply *reply);

/* Time since that first call. */
uint64_t channel_reply_waited_ns(const struct channel_reply *reply);

#endif
