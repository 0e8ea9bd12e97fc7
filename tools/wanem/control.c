/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket, both ends: see control.h. The server never waits for a client: one that does
 * not take its answer at once loses it, and frames go on.
 */
#include "control.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static int address(struct sockaddr_un *addr, const char *path)
{
	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(addr->sun_path))
		return -ENAMETOOLONG;
	strcpy(addr->sun_path, path);
	return 0;
}

/* Removes a socket nobody listens on any more. */
static bool remove_stale(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	bool stale = fd >= 0 && connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) &&
		     errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return stale && unlink(addr->sun_path) == 0;
}

static int listen_at(struct control *c, const struct sockaddr_un *addr)
{
	const struct sockaddr *sa = (const struct sockaddr *)addr;
	int rc;

	c->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->listen_fd < 0)
		return -errno;
	rc = bind(c->listen_fd, sa, sizeof(*addr)) ? -errno : 0;
	if (rc == -EADDRINUSE && remove_stale(addr))
		rc = bind(c->listen_fd, sa, sizeof(*addr)) ? -errno : 0;
	if (!rc && listen(c->listen_fd, CONTROL_CLIENTS_MAX))
		rc = -errno;
	return rc;
}

void control_init(struct control *c)
{
	c->path = NULL;
	c->listen_fd = -1;
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		c->client_fd[i] = -1;
}

int control_open(struct control *c, const char *path, char *err, size_t err_len)
{
	struct sockaddr_un addr;
	int rc;

	if (!path)
		return 0;
	rc = address(&addr, path);
	if (!rc)
		rc = listen_at(c, &addr);
	if (rc) {
		snprintf(err, err_len, "the control socket %s cannot be made: %s", path,
			rc == -EADDRINUSE ? "another emulator, or another file, is there"
					  : strerror(-rc));
		return rc;
	}
	c->path = path;
	return 0;
}

void control_close(struct control *c)
{
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (c->client_fd[i] >= 0)
			close(c->client_fd[i]);
		c->client_fd[i] = -1;
	}
	if (c->listen_fd >= 0)
		close(c->listen_fd);
	c->listen_fd = -1;
	if (c->path)
		unlink(c->path);
	c->path = NULL;
}

void control_fill_poll(const struct control *c, struct pollfd *fds)
{
	bool room = false;

	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		fds[1 + i] = (struct pollfd){.fd = c->client_fd[i], .events = POLLIN};
		room |= c->client_fd[i] < 0;
	}
	/* With all places taken the next client waits in the kernel. */
	fds[0] = (struct pollfd){.fd = room ? c->listen_fd : -1, .events = POLLIN};
}

static void answer_client(int fd, char *command, control_run *run, void *arg)
{
	char *text = NULL;
	size_t len = 0;
	FILE *answer = open_memstream(&text, &len);

	if (!answer)
		return;
	run(arg, command, answer);
	fclose(answer);
	/* A client that is gone or does not read has only itself to blame. */
	if (send(fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		shutdown(fd, SHUT_RDWR);
	free(text);
}

void control_serve(struct control *c, const struct pollfd *fds, control_run *run, void *arg)
{
	char command[CONTROL_COMMAND_MAX + 1];

	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		ssize_t n;

		if (c->client_fd[i] < 0 || !fds[1 + i].revents)
			continue;
		n = recv(c->client_fd[i], command, CONTROL_COMMAND_MAX, MSG_DONTWAIT);
		if (n > 0) {
			command[n] = '\0';
			answer_client(c->client_fd[i], command, run, arg);
		} else if (n == 0 || errno != EAGAIN) {
			close(c->client_fd[i]);
			c->client_fd[i] = -1;
		}
	}
	if (fds[0].fd < 0 || !fds[0].revents)
		return;
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (c->client_fd[i] >= 0)
			continue;
		c->client_fd[i] = accept4(c->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		return;
	}
}

static int client_error(const char *path, const char *what)
{
	fprintf(stderr, "wanem ctl: %s: %s%s\n", path, what,
		errno == ENOENT || errno == ECONNREFUSED ? " (is the emulator running?)" : "");
	return 1;
}

int control_client(int argc, char **argv)
{
	static char answer[65536];
	char command[CONTROL_COMMAND_MAX];
	struct timeval patience = {.tv_sec = 5};
	struct sockaddr_un addr;
	size_t len = 0;
	ssize_t n;
	int fd;

	if (argc < 2) {
		fputs("usage: wanem ctl SOCKET set a2b|b2a|both WORDS... | stats\n", stderr);
		return 2;
	}
	for (int i = 1; i < argc; i++) {
		size_t word = strlen(argv[i]);

		if (len + word + 1 >= sizeof(command)) {
			fputs("wanem ctl: the command is too long\n", stderr);
			return 2;
		}
		memcpy(command + len, argv[i], word);
		len += word;
		command[len++] = ' ';
	}
	errno = -address(&addr, argv[0]);
	if (errno)
		return client_error(argv[0], strerror(errno));
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
		connect(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
		send(fd, command, len, MSG_NOSIGNAL) < 0 ||
		(n = recv(fd, answer, sizeof(answer) - 1, 0)) < 0)
		return client_error(argv[0], strerror(errno));
	close(fd);
	answer[n] = '\0';
	if (strncmp(answer, "ok\n", 3) != 0) {
		fprintf(stderr, "wanem ctl: %s", n ? answer : "the emulator ended\n");
		return 1;
	}
	fputs(answer + 3, stdout);
	return 0;
}
