/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client's end of the channel: finds a running daemon, maps its counters read-only, takes a slot
 * of the command segment and calls the daemon. What the daemon sends is checked too, so that a
 * segment scribbled over by another client gives an error, never a crash. server.h is the other
 * end.
 *
 * One thread at a time may use a client.
 */
#ifndef SLUICE_CHANNEL_CLIENT_H
#define SLUICE_CHANNEL_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/channel/counters.h"
#include "controlplane/channel/messages.h"

struct channel_client;

/*
 * Connect to the daemon `instance`. Returns NULL with a sentence in error[] (not running, no
 * permission, another ABI version, all slots taken). timeout_ms bounds the wait for a slot.
 */
struct channel_client *client_open(
	const char *instance, uint32_t timeout_ms, char *error, uint32_t error_len);
void client_close(struct channel_client *client);

/* The daemon's counters. Its sizes have been checked: header, workers and ports are inside. */
const struct counters_header *client_counters(const struct channel_client *client);

/* 0: the daemon lives. -ESRCH: it has ended. -ESTALE: another one has taken its place. */
int client_alive(const struct channel_client *client);

/* Called for every record of a reply; returning non-zero ends the call with that value. */
typedef int (*client_record_fn)(void *context, const void *record);

/*
 * Send one request, hand each record to on_record (NULL: ignore them) and wait for the result, at
 * most timeout_ms. Returns 0, or a negative errno with a sentence in result->text: refused by the
 * daemon, -ETIMEDOUT, -ESRCH (the daemon ended), -EPROTO (garbage in the ring). One page only: see
 * client_list().
 */
int client_call(struct channel_client *client, enum channel_message message, const void *request,
	client_record_fn on_record, void *context, uint32_t timeout_ms,
	struct channel_result *result);

/* The same for a list: asks for page after page, by setting the request's first field `from`. */
int client_list(struct channel_client *client, enum channel_message message, void *request,
	client_record_fn on_record, void *context, uint32_t timeout_ms,
	struct channel_result *result);

/* Upload a text for policy_apply. As client_call(). */
int client_upload(struct channel_client *client, const char *text, uint64_t len,
	uint32_t timeout_ms, struct channel_result *result);

#define MESSAGE(id, name, request_type, record_type)                                               \
	static inline int client_call_##name(struct channel_client *client,                        \
		const struct request_type *request, client_record_fn on_record, void *context,     \
		uint32_t timeout_ms, struct channel_result *result)                                \
	{                                                                                          \
		return client_call(                                                                \
			client, MESSAGE_##id, request, on_record, context, timeout_ms, result);    \
	}
#include "controlplane/channel/messages.def"
#undef MESSAGE

#endif
