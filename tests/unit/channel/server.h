/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A channel server polled by a thread of the test's process, and what tests ask about it. One at a
 * time.
 */
#ifndef SLUICE_TESTS_CHANNEL_SERVER_H
#define SLUICE_TESTS_CHANNEL_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/channel/client.h"
#include "controlplane/channel/server.h"

#define TIMEOUT_MS 20000 /* for what must happen */
#define SILENCE_MS 50	 /* for what must not */
#define CLASSES 1000u
#define FLOWS 10000u

extern char instance[CHANNEL_NAME_MAX];
extern struct channel_server *server;
extern uint64_t longest_poll_ns; /* of CPU time: another process may take the CPU away */
extern uint64_t closed_calls;
extern volatile uint64_t last_waited_ns; /* of the last `set bypass` */

uint64_t now_ns(void);
void pause_us(long us);

/* The server as a whole; start() prints why it is false. */
bool start(void);
void finish(void);
/* Its thread alone. */
void start_polling(void);
void stop_poller(void);

struct channel_client *connect_client(void);
uint32_t sessions(void);

/* The server finds out by itself that clients are gone, but in its own time. */
bool sessions_end(void);

/* For client_call_...(): counts into the uint64_t that is its context. */
int count_record(void *context, const void *record);

/* For client_list(): are the numbers at `offset` of its records 0, 1, 2...? */
struct order {
	uint64_t next;
	size_t offset;
	bool right;
};
int check_order(void *context, const void *record);

/* True if a status call gives the right answer. */
bool status_is_right(struct channel_client *client);

/* Every slot must be free again: as many clients as there are slots get in and are served. */
void check_all_slots_free(void);

#endif
