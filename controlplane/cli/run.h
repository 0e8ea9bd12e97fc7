/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What ping, trace and speedtest share: a run in the daemon that is started, asked for its results
 * until it is done, and stopped early by Ctrl-C; and the words of their options. run.c has it.
 */
#ifndef SLUICE_CLI_RUN_H
#define SLUICE_CLI_RUN_H

#include "controlplane/cli/cli.h"

/* From now on Ctrl-C does not end the program but makes run_is_stopped() true, until run_end(). */
void run_begin(void);
void run_end(void);
bool run_is_stopped(void);

/* Start: one request, no records. 0, or 1 after saying what went wrong. */
int run_call(struct cli *cli, enum channel_message message, const void *request);

/* Until the next question to the daemon; returns early on Ctrl-C. */
void run_wait(void);

/* "200ms", "0.2s", "0.2", "50 us" as ns. 0, or 1 after saying what is wrong with `what`. */
int run_take_time(struct cli *cli, const char *what, const char *text, uint64_t *ns);

/* "46", "ef", "cs1", "af21", "le", "va", "default". */
int run_take_dscp(struct cli *cli, const char *text, uint64_t *dscp);

/* "25MB", "500 kB", "1GB" as bytes. */
int run_take_bytes(struct cli *cli, const char *what, const char *text, uint64_t *bytes);

/* The target, which comes first: 0, or 1 after saying that it is missing or too long. */
int run_take_target(
	struct cli *cli, const char *what, int argc, char **argv, char *target, size_t size);

#endif
