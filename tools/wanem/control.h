/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket of a running emulator, and its client `wanem ctl`. One UNIX SEQPACKET message
 * is one command, one message back its answer: "ok\n" and what was asked, or "error: " and a
 * sentence. main.c carries the commands out.
 */
#ifndef SLUICE_WANEM_CONTROL_H
#define SLUICE_WANEM_CONTROL_H

#include <poll.h>
#include <stddef.h>
#include <stdio.h>

#define CONTROL_CLIENTS_MAX 8
#define CONTROL_COMMAND_MAX 2048
#define CONTROL_POLLFDS (1 + CONTROL_CLIENTS_MAX)

struct control {
	const char *path; /* NULL: no socket */
	int listen_fd;
	int client_fd[CONTROL_CLIENTS_MAX];
};

/* A control without a socket, on which the other functions do nothing. */
void control_init(struct control *c);

/* Opens the socket, or none for a path of NULL; one that a dead process left behind is replaced. 0
 * or negative errno, with a sentence in err. */
int control_open(struct control *c, const char *path, char *err, size_t err_len);

/* Closes all and removes the socket file. */
void control_close(struct control *c);

/* Fills CONTROL_POLLFDS entries. */
void control_fill_poll(const struct control *c, struct pollfd *fds);

/* Takes in clients and commands that `fds` shows. `run` gets each command, 0-terminated and its
 * own to cut up, and prints the answer. */
typedef void control_run(void *arg, char *command, FILE *answer);
void control_serve(struct control *c, const struct pollfd *fds, control_run *run, void *arg);

/* `wanem ctl SOCKET WORDS...`: sends the words, prints the answer. Returns the exit status. */
int control_client(int argc, char **argv);

#endif
