/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Creates, opens and removes the shared-memory segments of segment.h, and tells whether the process
 * behind one still lives. What stands in them is the business of server.c and client.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controlplane/channel/segment.h"

/* A segment that says it is longer than this is not one of ours. */
#define SEGMENT_MAX (64u << 20)

/* By enum segment_kind. */
static const char *const suffix[] = {"", "-counters", "-lock"};

bool segment_name_is_valid(const char *instance)
{
	size_t len = strnlen(instance, CHANNEL_NAME_MAX);

	for (int kind = SEGMENT_COUNTERS; kind <= SEGMENT_LOCK; kind++) {
		size_t tail = strlen(suffix[kind]);

		/* The commands of "a-lock" must not be taken for the lock of "a". */
		if (len >= tail && strncmp(instance + len - tail, suffix[kind], tail) == 0)
			return false;
	}
	return len > 0 && len < CHANNEL_NAME_MAX &&
	       strspn(instance,
		       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == len;
}

void segment_name(char *name, const char *instance, enum segment_kind kind)
{
	snprintf(name, 64, "/sluice-%.31s%s", instance, suffix[kind]);
}

int segment_lock(const char *instance)
{
	char name[64];

	segment_name(name, instance, SEGMENT_LOCK);
	/* A few rounds: the file may be removed by a daemon that is just ending, or be somebody
	 * else's attempt to keep us from starting. */
	for (int i = 0; i < 10; i++) {
		struct stat held, named;
		int fd = shm_open(name, O_RDWR | O_CREAT, 0600);

		if (fd < 0 && errno != EACCES)
			return -errno;
		if (fd < 0 || fstat(fd, &held) < 0 || held.st_uid != geteuid() ||
			(held.st_mode & 077) != 0) {
			int error = shm_unlink(name) < 0 ? errno : 0;

			if (fd >= 0)
				close(fd);
			if (error != 0 && error != ENOENT)
				return -error;
			continue;
		}
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			int error = errno == EWOULDBLOCK ? EBUSY : errno;

			close(fd);
			return -error;
		}
		/* Locked, but is it still the file of that name? */
		int again = shm_open(name, O_RDWR, 0);

		if (again >= 0 && fstat(again, &named) == 0 && named.st_ino == held.st_ino) {
			close(again);
			return fd;
		}
		if (again >= 0)
			close(again);
		close(fd);
	}
	return -EBUSY;
}

static int segment_map(struct segment *segment, uint64_t bytes, bool writable)
{
	segment->base = mmap(NULL, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
		segment->fd, 0);
	if (segment->base == MAP_FAILED) {
		segment->base = NULL;
		return -errno;
	}
	segment->bytes = bytes;
	return 0;
}

int segment_create(struct segment *segment, const char *instance, enum segment_kind kind,
	uint64_t bytes, mode_t mode, gid_t gid)
{
	char name[64];
	int error = 0;

	*segment = (struct segment){.fd = -1};
	if (bytes > SEGMENT_MAX)
		return -EFBIG;
	segment_name(name, instance, kind);
	if (shm_unlink(name) < 0 && errno != ENOENT)
		return -errno;
	segment->fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (segment->fd < 0)
		return -errno;
	/* posix_fallocate(): running out of memory shows here, not as SIGBUS later. The group gets
	 * its rights last, so that nobody sees a segment half its size. */
	do
		error = -posix_fallocate(segment->fd, 0, (off_t)bytes);
	while (error == -EINTR);
	if (error == 0)
		error = segment_map(segment, bytes, true);
	if (error == 0 && gid != (gid_t)-1 && fchown(segment->fd, (uid_t)-1, gid) < 0)
		error = -errno;
	if (error == 0 && fchmod(segment->fd, mode) < 0)
		error = -errno;
	if (error != 0) {
		segment_close(segment);
		shm_unlink(name);
	}
	return error;
}

int segment_open(struct segment *segment, const char *instance, enum segment_kind kind,
	uint64_t min_bytes, bool writable)
{
	char name[64];
	struct stat st;
	int error = 0;

	*segment = (struct segment){.fd = -1};
	segment_name(name, instance, kind);
	segment->fd = shm_open(name, writable ? O_RDWR : O_RDONLY, 0);
	if (segment->fd < 0)
		return -errno;
	if (fstat(segment->fd, &st) < 0)
		error = -errno;
	else if (st.st_size < (off_t)min_bytes || st.st_size > (off_t)SEGMENT_MAX)
		error = -EPROTO;
	else
		error = segment_map(segment, (uint64_t)st.st_size, writable);
	if (error != 0)
		segment_close(segment);
	return error;
}

void segment_close(struct segment *segment)
{
	if (segment->base != NULL) {
		segment_unguard(segment);
		munmap(segment->base, segment->bytes);
	}
	if (segment->base != NULL || segment->fd > 0)
		close(segment->fd);
	*segment = (struct segment){.fd = -1};
}

void segment_unlink(const char *instance, enum segment_kind kind)
{
	char name[64];

	segment_name(name, instance, kind);
	shm_unlink(name);
}

uint64_t segment_process_started(uint32_t pid)
{
	char path[32], text[1024];

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return 0;
	size_t len = fread(text, 1, sizeof(text) - 1, file);

	fclose(file);
	text[len] = '\0';
	/* The name in parentheses may hold anything; field 22 is the 20th behind it. */
	char *at = strrchr(text, ')');

	if (at != NULL && (strncmp(at, ") Z", 3) == 0 || strncmp(at, ") X", 3) == 0))
		return 0; /* dead, only not yet waited for */
	for (int i = 0; at != NULL && i < 20; i++)
		at = strchr(at + 1, ' ');
	return at == NULL ? 0 : strtoull(at + 1, NULL, 10);
}

bool segment_process_lives(uint32_t pid, uint64_t started)
{
	uint64_t now = segment_process_started(pid);

	if (now != 0)
		return now == started;
	/* /proc may be hidden from this user (hidepid); then the process exists, but is not ours.
	 */
	return pid != 0 && pid <= INT32_MAX && kill((pid_t)pid, 0) < 0 && errno == EPERM;
}
