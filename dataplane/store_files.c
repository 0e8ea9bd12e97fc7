/* SPDX-License-Identifier: BSD-3-Clause */
/* The stores of the peers on disk (store_files.h). */
#include "dataplane/store_files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_rcu_qsbr.h>

#include "dataplane/clock.h"
#include "dataplane/compress/store_file.h"
#include "dataplane/worker_store.h"

struct store_files {
	struct daemon *daemon;
	char path[POLICY_PATH_MAX];
	int directory;
	unsigned peer_count;
	struct {
		char name[POLICY_NAME_MAX];
		bool has_store;
	} peers[POLICY_PEERS_MAX];
	pthread_t reader, writer;
	bool has_writer;
	bool stop_reading, is_cancelled, is_written;
	struct half *halves; /* [peer][worker][is_sender] */
};

#define HALF_NAME_MAX (POLICY_NAME_MAX + 64)

/* One worker's half of a peer's store. */
struct half {
	struct store_files *files;
	struct worker_peer *peer;
	bool is_sender;
	char name[HALF_NAME_MAX - 8]; /* of its file */
	struct store_file file;	      /* writing only */
	int fd;			      /* -1: there is none */
};

static struct store_memory *memory_of(const struct half *half)
{
	return half->is_sender ? &half->peer->store_tx->memory : &half->peer->store_rx->memory;
}

static struct store_clocks clocks_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (struct store_clocks){.now_ns = clock_now_ns(),
		.realtime_ns = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec};
}

static struct half *half_of(struct store_files *f, unsigned peer, unsigned worker, bool is_sender)
{
	return &f->halves[(peer * f->daemon->worker_count + worker) * 2 + is_sender];
}

/* Call for each half of a peer's store, if it has one. Returns the sum of what that returns. */
static uint64_t each_half(struct store_files *f, unsigned peer, uint64_t (*call)(struct half *half))
{
	uint64_t sum = 0;

	for (unsigned w = 0; w < f->daemon->worker_count && f->peers[peer].has_store; w++)
		for (unsigned is_sender = 0; is_sender < 2; is_sender++)
			sum += call(half_of(f, peer, w, is_sender));
	return sum;
}

/* The same, and say how long it took; `done` is what was done with so many bytes. */
static void say_done(
	struct store_files *f, unsigned peer, const char *done, uint64_t (*call)(struct half *half))
{
	uint64_t start_ns = clock_now_ns(), bytes = each_half(f, peer, call);

	if (bytes > 0)
		printf("peer %s: %" PRIu64 " MB of its store %s in %.1f s\n", f->peers[peer].name,
			bytes / 1000000, done, (double)(clock_now_ns() - start_ns) / 1e9);
}

static void complain(const struct half *half, const char *what, int rc)
{
	printf("store: %s/%s: %s: %s\n", half->files->path, half->name, what,
		rc == -EBADMSG	? "damaged"
		: rc == -ESTALE ? "of a store of another size, or with other workers"
				: strerror(-rc));
}

/* ---- reading ---- */

/* Read the file and remove it. *bytes of it are used; 0: none. False: there was no time for that,
 * the file is for the next one. */
static bool read_file(const struct half *half, uint64_t *bytes)
{
	const struct store_files *f = half->files;
	int fd = openat(f->directory, half->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), rc;
	struct stat about = {0};

	*bytes = 0;
	if (fd < 0) {
		if (errno != ENOENT)
			complain(half, "not read, the store begins empty", -errno);
		return true;
	}
	rc = fstat(fd, &about) == 0 ? 0 : -errno;
	if (rc == 0 && half->is_sender)
		rc = store_sender_read(half->peer->store_tx, fd, clocks_now(), &f->stop_reading);
	else if (rc == 0)
		rc = store_receiver_read(half->peer->store_rx, fd, &f->stop_reading);
	close(fd);
	if (rc == -EINTR)
		return false;
	/* From here on it would be older than what the peer has. */
	if (unlinkat(f->directory, half->name, 0) != 0 && rc == 0)
		complain(half, "cannot be removed", -errno);
	if (rc != 0)
		complain(half, "not used, the store begins empty", rc);
	else
		*bytes = (uint64_t)about.st_size;
	return true;
}

static uint64_t read_half(struct half *half)
{
	uint64_t bytes = 0;

	if (!__atomic_load_n(&half->files->stop_reading, __ATOMIC_RELAXED) &&
		read_file(half, &bytes))
		__atomic_store_n(&memory_of(half)->is_ready, true, __ATOMIC_RELEASE);
	return bytes;
}

static void *read_all(void *arg)
{
	struct store_files *f = arg;

	for (unsigned i = 0; i < f->peer_count; i++)
		say_done(f, i, "read", read_half);
	return NULL;
}

static uint64_t begin_later(struct half *half)
{
	memory_of(half)->is_ready = false;
	return 0;
}

/* A directory that nobody else writes to: 0, or a negative errno and why. */
static int open_directory(struct store_files *f, char *error, size_t len)
{
	struct stat about;
	int rc;

	f->directory = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->directory < 0 || fstat(f->directory, &about) != 0) {
		rc = -errno;
		snprintf(error, len, "appliance.store_directory: %s: %s", f->path, strerror(-rc));
		return rc;
	}
	if (about.st_uid != geteuid() || about.st_mode & (S_IWGRP | S_IWOTH)) {
		snprintf(error, len,
			"appliance.store_directory: %s must belong to the user that runs sluiced, "
			"and others must not write to it",
			f->path);
		return -EPERM;
	}
	return 0;
}

static void discard(struct store_files *f)
{
	if (f->directory >= 0)
		close(f->directory);
	free(f->halves);
	free(f);
}

static int make_halves(struct store_files *f)
{
	unsigned workers = f->daemon->worker_count;

	f->halves = calloc(2u * workers * f->peer_count, sizeof(*f->halves));
	if (f->halves == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < 2u * workers * f->peer_count; i++) {
		struct half *half = &f->halves[i];
		unsigned worker = i / 2 % workers, peer = i / 2 / workers;

		*half = (struct half){.files = f,
			.peer = &f->daemon->workers[worker]->peers[peer],
			.is_sender = i % 2,
			.fd = -1};
		snprintf(half->name, sizeof(half->name), "%.32s.%s.%u.%s", f->daemon->instance,
			f->peers[peer].name, worker, half->is_sender ? "sent" : "received");
	}
	return 0;
}

int store_files_open(struct daemon *d, const struct policy *policy, struct store_files **files,
	char *error, size_t len)
{
	struct store_files *f;
	bool is_needed = false;
	int rc;

	*files = NULL;
	if (*policy->appliance.store_directory == '\0')
		return 0;
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return -ENOMEM;
	f->daemon = d;
	f->peer_count = policy->peer_count;
	snprintf(f->path, sizeof(f->path), "%s", policy->appliance.store_directory);
	for (unsigned i = 0; i < f->peer_count; i++) {
		snprintf(f->peers[i].name, sizeof(f->peers[i].name), "%s", policy->peers[i].name);
		f->peers[i].has_store = worker_store_bytes(policy, i) > 0;
		is_needed |= f->peers[i].has_store;
	}
	rc = open_directory(f, error, len);
	if (rc == 0 && is_needed)
		rc = make_halves(f);
	if (rc != 0 || !is_needed) {
		discard(f);
		return rc;
	}
	for (unsigned i = 0; i < f->peer_count; i++)
		each_half(f, i, begin_later);
	rc = -pthread_create(&f->reader, NULL, read_all, f);
	if (rc != 0) {
		snprintf(error, len, "no thread to read the stores: %s", strerror(-rc));
		discard(f);
		return rc;
	}
	*files = f;
	return 0;
}

/* ---- writing ---- */

static void unfinished_name(const struct half *half, char name[HALF_NAME_MAX])
{
	snprintf(name, HALF_NAME_MAX, "%s.new", half->name);
}

/* There is nothing to go on from. */
static void give_up(struct half *half)
{
	char name[HALF_NAME_MAX];

	unfinished_name(half, name);
	unlinkat(half->files->directory, name, 0);
	close(half->fd);
	half->fd = -1;
}

/* All but the end of its file. Returns the bytes, 0: it could not be written, or has no store. */
static uint64_t write_half(struct half *half)
{
	struct store_files *f = half->files;
	struct stat about = {0};
	char name[HALF_NAME_MAX];
	int rc;

	if (!memory_of(half)->is_ready)
		return 0; /* its file is still there */
	unfinished_name(half, name);
	unlinkat(f->directory, name, 0);
	half->fd = openat(f->directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		S_IRUSR | S_IWUSR);
	if (half->fd < 0) {
		complain(half, "not written", -errno);
		return 0;
	}
	if (half->is_sender)
		rc = store_sender_write(half->peer->store_tx, &half->file, half->fd, clocks_now(),
			&f->is_cancelled);
	else
		rc = store_receiver_write(
			half->peer->store_rx, &half->file, half->fd, &f->is_cancelled);
	if (rc == 0 && (fsync(half->fd) != 0 || fstat(half->fd, &about) != 0))
		rc = -errno;
	if (rc == 0)
		return (uint64_t)about.st_size;
	if (rc != -EINTR)
		complain(half, "not written", rc);
	give_up(half);
	return 0;
}

static uint64_t freeze(struct half *half)
{
	if (memory_of(half)->is_ready)
		store_freeze(half->peer->store_tx, half->peer->store_rx);
	return 0;
}

static void *write_all(void *arg)
{
	struct store_files *f = arg;

	pthread_join(f->reader, NULL);
	for (unsigned i = 0; i < f->peer_count; i++)
		each_half(f, i, freeze);
	/* No worker is in a round any more that had begun before. */
	rte_rcu_qsbr_synchronize(f->daemon->rcu, RTE_QSBR_THRID_INVALID);
	for (unsigned i = 0; i < f->peer_count; i++)
		say_done(f, i, "written", write_half);
	__atomic_store_n(&f->is_written, true, __ATOMIC_RELEASE);
	return NULL;
}

void store_files_write(struct store_files *f)
{
	if (f == NULL)
		return;
	__atomic_store_n(&f->stop_reading, true, __ATOMIC_RELAXED);
	f->has_writer = pthread_create(&f->writer, NULL, write_all, f) == 0;
	if (!f->has_writer)
		printf("store: no thread to write the stores\n");
}

bool store_files_are_written(const struct store_files *f)
{
	return f == NULL || !f->has_writer || __atomic_load_n(&f->is_written, __ATOMIC_ACQUIRE);
}

/* The file is whole, and gets its name. */
static uint64_t finish_half(struct half *half)
{
	uint32_t sent[STORE_WORKERS];
	char name[HALF_NAME_MAX];
	int rc;

	if (half->fd < 0)
		return 0;
	for (unsigned lane = 0; lane < STORE_WORKERS; lane++)
		sent[lane] = half->is_sender ? (uint32_t)half->peer->tx[lane].packets : 0;
	rc = store_file_end(&half->file, sent);
	unfinished_name(half, name);
	if (rc == 0 && (fsync(half->fd) != 0 || renameat(half->files->directory, name,
							half->files->directory, half->name) != 0))
		rc = -errno;
	if (rc != 0) {
		if (rc != -EINTR)
			complain(half, "not written", rc);
		give_up(half);
	} else {
		close(half->fd);
	}
	return 0;
}

void store_files_close(struct store_files *f)
{
	if (f == NULL)
		return;
	__atomic_store_n(&f->stop_reading, true, __ATOMIC_RELAXED);
	if (!store_files_are_written(f))
		__atomic_store_n(&f->is_cancelled, true, __ATOMIC_RELAXED);
	if (f->has_writer)
		pthread_join(f->writer, NULL);
	else
		pthread_join(f->reader, NULL);
	for (unsigned i = 0; i < f->peer_count; i++)
		each_half(f, i, finish_half);
	discard(f);
}
