/* SPDX-License-Identifier: BSD-3-Clause */
/* Putting plans and links in force; publish.h says how. */
#include <stdlib.h>
#include <time.h>

#include "dataplane/clock.h"
#include "dataplane/control/publish.h"

#define WAIT_NS 1000000000ull

/* What workers may still be looking at. */
struct retired {
	struct retired *next;
	void *object;
	void (*free)(void *);
	uint64_t token; /* freed once every worker has reported a quiescent state after this */
};
static struct retired *retired_list;

/* Cannot fail: without memory for the note the old object is kept for good, a bounded loss at a
 * moment when the process is about to end anyway. */
static void retire(struct daemon *d, void *object, void (*free_object)(void *))
{
	struct retired *r = object == NULL ? NULL : malloc(sizeof(*r));

	if (r == NULL)
		return;
	r->object = object;
	r->free = free_object;
	r->token = rte_rcu_qsbr_start(d->rcu);
	r->next = retired_list;
	retired_list = r;
}

void publish_collect(struct daemon *d, bool all)
{
	for (struct retired **at = &retired_list; *at != NULL;) {
		struct retired *r = *at;
		if (!all && rte_rcu_qsbr_check(d->rcu, r->token, false) != 1) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		r->free(r->object);
		free(r);
	}
}

void publish_plan(struct daemon *d, struct plan *plan, struct publish_result *result)
{
	struct plan *old = (struct plan *)(uintptr_t)d->plan;
	uint64_t start_ns = clock_now_ns(), now_ns = start_ns;
	uint32_t done = 0;

	__atomic_store_n(&d->plan, plan, __ATOMIC_RELEASE);
	while (now_ns - start_ns < WAIT_NS) {
		done = 0;
		for (unsigned i = 0; i < d->worker_count; i++)
			done += __atomic_load_n(&d->workers[i]->counters->policy_generation,
					__ATOMIC_ACQUIRE) == plan->generation;
		now_ns = clock_now_ns();
		if (done == d->worker_count)
			break;
		nanosleep(&(struct timespec){.tv_nsec = 5000}, NULL);
	}
	if (result != NULL)
		*result = (struct publish_result){.workers = done,
			.workers_all = d->worker_count,
			.duration_ns = now_ns - start_ns};
	retire(d, old, plan_free);
	publish_collect(d, false);
}

void publish_links(struct daemon *d, struct links *links)
{
	void *old = (void *)(uintptr_t)d->links;

	__atomic_store_n(&d->links, links, __ATOMIC_RELEASE);
	retire(d, old, free);
	publish_collect(d, false);
}
