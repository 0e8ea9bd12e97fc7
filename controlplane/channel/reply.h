/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside the server only: the page of a reply that a handler fills through the channel_reply_...()
 * functions of server.h (reply.c) and that server.c then copies to the client's ring.
 */
#ifndef SLUICE_CHANNEL_REPLY_H
#define SLUICE_CHANNEL_REPLY_H

#include "controlplane/channel/segment.h"
#include "controlplane/channel/server.h"

#define PAGE_FRAMES (CHANNEL_REPLIES - 1) /* one is kept for the result */

struct channel_reply {
	enum channel_message message;
	uint64_t client;
	bool is_first;
	uint64_t waited_ns;
	const char *upload; /* NULL: none, or not complete */
	uint64_t upload_len;
	struct channel_result result;
	uint32_t frames; /* of the page, in use; the last one may have room */
	struct channel_frame page[PAGE_FRAMES];
};

/* An empty page for the request `message`. */
void channel_reply_start(struct channel_reply *reply, enum channel_message message);

#endif
