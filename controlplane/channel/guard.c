/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Survives the truncation of a shared segment by somebody else (segment.h, segment_guard()): a
 * SIGBUS handler that maps zero pages over the segment and lets the access go on.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>

#include "controlplane/channel/segment.h"

#define GUARDS_MAX 64

/* Written by segment_guard() and segment_unguard(), read by the handler in any thread. */
static struct guard {
	char *base; /* NULL: free */
	size_t bytes;
	volatile int *lost;
} guards[GUARDS_MAX];

static struct sigaction previous;

static void on_sigbus(int number, siginfo_t *info, void *ucontext)
{
	const char *address = info->si_addr;

	for (int i = 0; i < GUARDS_MAX; i++) {
		char *base = __atomic_load_n(&guards[i].base, __ATOMIC_ACQUIRE);

		if (base == NULL || address < base || address >= base + guards[i].bytes)
			continue;
		if (mmap(base, guards[i].bytes, PROT_READ | PROT_WRITE,
			    MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
			break;
		*guards[i].lost = 1;
		return;
	}
	/* Not ours: put back what was there before, and let the access fault again. */
	sigaction(SIGBUS, &previous, NULL);
}

int segment_guard(const struct segment *segment, volatile int *lost)
{
	struct sigaction now;

	if (sigaction(SIGBUS, NULL, &now) < 0)
		return -errno;
	if ((now.sa_flags & SA_SIGINFO) == 0 || now.sa_sigaction != on_sigbus) {
		struct sigaction act = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};

		previous = now;
		sigemptyset(&act.sa_mask);
		if (sigaction(SIGBUS, &act, NULL) < 0)
			return -errno;
	}
	for (int i = 0; i < GUARDS_MAX; i++) {
		if (guards[i].base != NULL)
			continue;
		guards[i].bytes = segment->bytes;
		guards[i].lost = lost;
		*lost = 0;
		__atomic_store_n(&guards[i].base, segment->base, __ATOMIC_RELEASE);
		return 0;
	}
	return -ENOSPC;
}

void segment_unguard(const struct segment *segment)
{
	for (int i = 0; i < GUARDS_MAX; i++)
		if (segment->base != NULL && guards[i].base == segment->base)
			__atomic_store_n(&guards[i].base, NULL, __ATOMIC_RELEASE);
}
