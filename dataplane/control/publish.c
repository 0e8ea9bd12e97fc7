/* SPDX-License-Identifier: BSD-3-Clause */
/* Putting plans and links in force; publish.h says how. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/clock.h"
#include "dataplane/control/publish.h"

#define WAIT_NS 1000000000ull

/* What workers may still be looking at. */
struct retired {
	struct retired *next;
	void *object;
	void (*free)(void *);
	uint32_t
		generation; /* of a plan: workers change from it to later ones in steps; 0: links */
	bool has_token;	    /* a plan has none until every worker uses a later one */
	uint64_t token;	    /* freed once every worker has reported a quiescent state after this */
};
static struct retired *retired_list;

static unsigned workers_behind(const struct daemon *d, uint32_t generation)
{
	unsigned behind = 0;

	for (unsigned i = 0; i < d->worker_count; i++)
		behind += __atomic_load_n(&d->workers[i]->counters->policy_generation,
				  __ATOMIC_ACQUIRE) < generation;
	return behind;
}

/* Cannot fail: without memory for the note the old object is kept for good, a bounded loss at a
 * moment when the process is about to end anyway. */
static void retire(struct daemon *d, void *object, uint32_t generation, void (*free_object)(void *))
{
	struct retired *r = object == NULL ? NULL : calloc(1, sizeof(*r));

	if (r == NULL)
		return;
	r->object = object;
	r->free = free_object;
	r->generation = generation;
	r->next = retired_list;
	retired_list = r;
	publish_collect(d, false);
}

/* May the workers still look at it? */
static bool in_use(struct daemon *d, struct retired *r)
{
	if (!r->has_token) {
		if (r->generation != 0 && workers_behind(d, r->generation + 1) > 0)
			return true;
		r->token = rte_rcu_qsbr_start(d->rcu);
		r->has_token = true;
	}
	return rte_rcu_qsbr_check(d->rcu, r->token, false) != 1;
}

void publish_collect(struct daemon *d, bool all)
{
	for (struct retired **at = &retired_list; *at != NULL;) {
		struct retired *r = *at;
		if (!all && in_use(d, r)) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		r->free(r->object);
		free(r);
	}
}

unsigned publish_pending(struct daemon *d)
{
	unsigned pending = 0;

	publish_collect(d, false);
	for (const struct retired *r = retired_list; r != NULL; r = r->next)
		pending += r->generation != 0;
	return pending;
}

void publish_plan(struct daemon *d, struct plan *plan, struct publish_result *result)
{
	struct plan *old = (struct plan *)(uintptr_t)d->plan;

	*result = (struct publish_result){.generation = plan->generation,
		.workers_all = d->worker_count,
		.start_ns = clock_now_ns()};
	__atomic_store_n(&d->plan, plan, __ATOMIC_RELEASE);
	retire(d, old, old->generation, plan_free);
}

bool publish_done(struct daemon *d, struct publish_result *result, uint64_t wait_ns)
{
	uint64_t begin_ns = clock_now_ns(), now_ns;
	unsigned behind;

	for (;;) {
		behind = workers_behind(d, result->generation);
		now_ns = clock_now_ns();
		result->workers = result->workers_all - behind;
		result->duration_ns = now_ns - result->start_ns;
		if (behind == 0 || now_ns - begin_ns >= wait_ns)
			break;
		nanosleep(&(struct timespec){.tv_nsec = 5000}, NULL);
	}
	return behind == 0 || result->duration_ns >= WAIT_NS;
}

static void free_links(void *links)
{
	explicit_bzero(links, sizeof(struct links)); /* session keys */
	free(links);
}

void publish_links(struct daemon *d, struct links *links)
{
	void *old = (void *)(uintptr_t)d->links;

	__atomic_store_n(&d->links, links, __ATOMIC_RELEASE);
	retire(d, old, 0, free_links);
}
