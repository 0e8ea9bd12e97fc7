/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Half a store (store.h) in a file, from which the next process goes on: written when the half is
 * frozen, read before it begins. One file of one worker's half, in the byte order of the machine:
 *
 *     struct store_file_head
 *     struct store_file_lane [STORE_WORKERS]
 *     the slots' descriptions: all of struct store_slot
 *     sender only: the index
 *     of each lane in turn the slots' bytes, in pieces of STORE_FILE_PIECE slots; pieces in which
 * no slot has a packet are left out 4 x STORE_WORKERS: frames that have left in each of the
 * sender's lanes; a receiver's are 0 8: XXH64 of everything before
 *
 * A file is only of use to a store of the same size at the same place in the same team, and only
 * once: who reads it removes it before the first packet, so that a process which is killed leaves
 * none that is older than what its peer has. It has packets in the clear.
 *
 * Nothing in a file is believed: damaged, it is refused, and what is odd but whole cannot lead
 * outside the memory of the store.
 */
#ifndef SLUICE_COMPRESS_STORE_FILE_H
#define SLUICE_COMPRESS_STORE_FILE_H

#include "dataplane/compress/store.h"

#define STORE_FILE_VERSION 1
#define STORE_FILE_PIECE 256

struct store_file_head {
	char magic[8]; /* STORE_FILE_MAGIC */
	uint32_t version;
	uint8_t is_sender, worker, workers, reserved;
	uint32_t peer_workers; /* of the last session */
	uint32_t slots_max;    /* sender only: of the last session */
	uint32_t slots, slot_bytes;
	uint32_t generation;
	uint32_t index_count;
	int64_t realtime_ns; /* sender only: when it was written */
};

struct store_file_lane {
	uint64_t id;
	uint32_t count; /* slots */
	uint32_t generation;
	uint32_t newest;
	uint32_t first, before, acked; /* sender only; before: without what is at the end */
	int64_t age_ns[STORE_AGES];    /* sender only; -1: none */
};

/* The two clocks, now: CLOCK_MONOTONIC and CLOCK_REALTIME, in ns. */
struct store_clocks {
	uint64_t now_ns;
	int64_t realtime_ns;
};

/* A file that is being written, or read. */
struct store_file {
	int fd;
	const bool *stop;  /* looked at now and then */
	uint64_t hash[11]; /* XXH64_state_t */
};

/*
 * Write a frozen half to a file that is empty, all but its end, which store_file_end() writes; *f
 * and fd are the caller's. 0 or a negative errno, -EINTR when *stop became true.
 */
int store_sender_write(const struct store_sender *s, struct store_file *f, int fd,
	struct store_clocks clocks, const bool *stop);
int store_receiver_write(
	const struct store_receiver *r, struct store_file *f, int fd, const bool *stop);

/* Nothing leaves any more. sent[]: as of store_sender_start(), of the session to come. 0 or a
 * negative errno. */
int store_file_end(struct store_file *f, const uint32_t sent[STORE_WORKERS]);

/*
 * Read it, into a half that has joined its team and has not begun. 0, or why the half is as empty
 * as before: -ESTALE: of a store of other measures or another version; -EBADMSG: damaged; -EINTR:
 * *stop became true, the file is as good as ever; another negative errno.
 */
int store_sender_read(struct store_sender *s, int fd, struct store_clocks clocks, const bool *stop);
int store_receiver_read(struct store_receiver *r, int fd, const bool *stop);

#endif
