/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The stores of the peers on disk (appliance.store_directory): read and written by threads of their
 * own while packets are forwarded. One file of each worker's half of each peer's store,
 * compress/store_file.h, called INSTANCE.PEER.WORKER.sent or .received. Control thread.
 */
#ifndef SLUICE_STORE_FILES_H
#define SLUICE_STORE_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "dataplane/daemon.h"

struct store_files;

/*
 * Start to read what the policy's directory has for the stores, which must have joined their teams
 * and not begun; each waits until it is read. *files is NULL where no directory or no store is
 * configured. 0, or a negative errno with a sentence: the directory cannot be used. Before the
 * workers start.
 */
int store_files_open(struct daemon *d, const struct policy *policy, struct store_files **files,
	char *error, size_t len);

/*
 * The daemon is to end: freeze the stores, which takes repeats out of the link's reach, and begin
 * to write what they have. Once. What was not yet read stays as it is. NULL: nothing.
 */
void store_files_write(struct store_files *files);

/* Has all been written that can be while packets are forwarded, or has nothing to be? */
bool store_files_are_written(const struct store_files *files);

/* The workers have ended: what has been written gets its end and its name. What was still being
 * written is given up. NULL: nothing. */
void store_files_close(struct store_files *files);

#endif
