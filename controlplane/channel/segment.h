/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two POSIX shared-memory segments of a daemon instance, and their lay-out:
 * "/sluice-INSTANCE" with the clients' slots (commands, read-write) and "/sluice-INSTANCE-counters"
 * (counters.h, read-only for clients). "/sluice-INSTANCE-lock", which only the daemon's user can
 * open, tells a second daemon that the name is taken.
 *
 * A client owns the slot on whose number (as a byte offset in the command segment) it holds an open
 * file description lock: the kernel gives it back at the very moment that the client dies.
 */
#ifndef SLUICE_CHANNEL_SEGMENT_H
#define SLUICE_CHANNEL_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "controlplane/channel/counters.h"
#include "controlplane/channel/ring.h"

#define CHANNEL_MAGIC 0x4d434c53u /* "SLCM" */
#define CHANNEL_SLOTS 16u	  /* clients at a time */
#define CHANNEL_REQUESTS 4u	  /* frames of a request ring */
#define CHANNEL_REPLIES 32u	  /* frames of a reply ring: a page of a list is one less */

/* Written by the daemon at start. Clients read it once; the daemon never reads it. */
struct channel_header {
	uint32_t magic, abi;
	uint32_t header_bytes, slot_bytes, frame_bytes;
	uint32_t slots, requests, replies; /* counts, as above */
	uint32_t messages;		   /* MESSAGE_COUNT of the daemon */
	uint32_t pid;
	uint64_t generation; /* counters_header.started_realtime_ns of the same daemon */
} __attribute__((aligned(4096)));

struct channel_slot {
	/* client: sets a number of its choice when it has the slot's lock, 0 when it leaves.
	 * daemon: sets 0 when it ends the session. */
	uint64_t session __attribute__((aligned(64)));
	/* daemon: repeats the session once it has set both rings to empty. client: reads. */
	uint64_t accepted __attribute__((aligned(64)));
	struct channel_ring_indices request, reply;
	struct channel_frame requests[CHANNEL_REQUESTS] __attribute__((aligned(4096)));
	struct channel_frame replies[CHANNEL_REPLIES];
};

struct channel_segment {
	struct channel_header header;
	struct channel_slot slots[CHANNEL_SLOTS];
};
static_assert(sizeof(struct channel_slot) == 4096 * (1 + CHANNEL_REQUESTS + CHANNEL_REPLIES),
	"whole pages");

enum segment_kind { SEGMENT_COMMANDS, SEGMENT_COUNTERS, SEGMENT_LOCK };

/* A mapped segment. */
struct segment {
	void *base;
	uint64_t bytes;
	int fd;
};

/* True for a name that may be an instance's: 1 to 31 letters, digits, '-' and '_', not ending
 * in a segment's suffix. */
bool segment_name_is_valid(const char *instance);

/* Write the name as shm_open() takes it into name[64]. */
void segment_name(char *name, const char *instance, enum segment_kind kind);

/*
 * Daemon: take the instance's name. Returns a descriptor that holds it until it is closed (or the
 * process dies), -EBUSY if another daemon has it, or another negative errno.
 */
int segment_lock(const char *instance);

/* Daemon: create a segment of zeros, in place of a stale one. mode is set whatever the umask is;
 * gid -1 leaves the group alone. 0 or a negative errno. */
int segment_create(struct segment *segment, const char *instance, enum segment_kind kind,
	uint64_t bytes, mode_t mode, gid_t gid);

/* Client: map an existing segment, read-only or also for writing. 0 or a negative errno; -EPROTO
 * if it is shorter than min_bytes or absurdly long. */
int segment_open(struct segment *segment, const char *instance, enum segment_kind kind,
	uint64_t min_bytes, bool writable);

/* Unmap and close; a segment of zeros is fine. */
void segment_close(struct segment *segment);

void segment_unlink(const char *instance, enum segment_kind kind);

/* When process `pid` started, as /proc/PID/stat tells it; 0 if there is no such process. */
uint64_t segment_process_started(uint32_t pid);

/* True while the process that started at `started` as `pid` lives. */
bool segment_process_lives(uint32_t pid, uint64_t started);

/*
 * Who may write to a segment may also cut it short, and then touching the lost pages raises
 * SIGBUS. A guarded segment survives: zero pages take the place of the whole mapping and *lost is
 * set. At most 64 segments a process; -ENOSPC beyond that. Call from one thread at a time.
 */
int segment_guard(const struct segment *segment, volatile int *lost);
void segment_unguard(const struct segment *segment);

#endif
