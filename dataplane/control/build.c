/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The thread that builds, and what the control thread does with the result; build.h has the words.
 *
 * The thread is short-lived and is no lcore: it inherits the control thread's CPU, and is nicer
 * than it. Of what is shared it only reads the plan in force, which nothing but the end of this
 * very change replaces; rte_malloc and rte_acl lock their own lists.
 */
#include "dataplane/control/build.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "dataplane/clock.h"

#define NICE 5
/* Workers that do something take over a small change within this: so their time is told exactly.
 * Others are looked for once a round. */
#define PUBLISH_AT_ONCE_NS UINT64_C(1000000)

/* ---- the thread ---- */

/* The first error, as the reader of the configuration words it. */
static void tell_first(struct change *change)
{
	for (uint32_t i = 0; i < change->problems.count; i++) {
		const struct policy_problem *p = &change->problems.list[i];
		if (p->is_warning)
			continue;
		snprintf(change->error, sizeof(change->error), "%s: %s", p->option, p->text);
		return;
	}
}

/* From the policy to the plan. Takes over `next`. */
static void compile(struct change *change, struct policy *next)
{
	change->previous = policy_copy(change->present->policy);
	if (change->previous == NULL)
		snprintf(change->error, sizeof(change->error),
			"no memory to keep the present policy");
	else
		change->plan = plan_build(next, change->present, change->generation, change->error,
			sizeof(change->error));
	if (change->plan == NULL) {
		policy_free(next);
		change->rc = -ENOMEM;
	}
}

struct policy *build_copy(struct change *change)
{
	struct policy *next = policy_copy(change->basis);

	if (next == NULL) {
		change->rc = -ENOMEM;
		snprintf(change->error, sizeof(change->error), "no memory for a changed policy");
	}
	return next;
}

static void *build(void *arg)
{
	struct change *change = arg;
	struct policy *next;

	setpriority(PRIO_PROCESS, 0, NICE); /* of this thread alone, on Linux */
	__atomic_store_n(&change->tid, gettid(), __ATOMIC_RELEASE);
	next = change->make(change);
	if (next != NULL && !change->is_checked)
		change->rc = policy_check(next, &change->problems);
	if (next != NULL && change->rc == 0)
		change->rc = policy_check_live(change->present->policy, next, &change->problems);
	if (next != NULL && change->rc != 0)
		tell_first(change);
	if (next != NULL && change->rc == 0 && !change->check_only)
		compile(change, next);
	else
		policy_free(next);
	/* Reading takes many small pieces, which the heap of a thread that ends would keep. */
	if (change->text != NULL)
		malloc_trim(0);
	__atomic_store_n(&change->is_built, true, __ATOMIC_RELEASE);
	return NULL;
}

/* ---- the control thread ---- */

static void drop(struct change *change)
{
	plan_free(change->plan);
	policy_free(change->previous);
	policy_problems_free(&change->problems);
	free(change->text);
	free(change);
}

int build_start(struct control *c, struct change *change, char *error, size_t error_len)
{
	int rc;

	change->state = CHANGE_BUILDING;
	change->started_ns = clock_now_ns();
	change->present = c->daemon->plan;
	change->generation = c->generation + 1;
	rc = pthread_create(&change->thread, NULL, build, change);
	if (rc != 0) {
		snprintf(error, error_len, "no thread to build the policy: %s", strerror(rc));
		drop(change);
		return -rc;
	}
	pthread_setname_np(change->thread, "policy");
	c->change = change;
	return 0;
}

/* What a rollback goes back to. */
static void keep_previous(struct control *c, struct change *change)
{
	/* What waits for confirmation has not earned to be gone back to. */
	if (c->confirm_deadline_ns != 0 && c->previous != NULL && !change->is_rollback)
		return;
	policy_free(c->previous);
	/* Nor has what nobody confirmed. */
	c->previous = change->is_unconfirmed ? NULL : change->previous;
	c->previous_generation = change->is_unconfirmed ? 0 : c->generation;
	if (!change->is_unconfirmed)
		change->previous = NULL;
}

static void put_in_force(struct control *c, struct change *change)
{
	keep_previous(c, change);
	c->generation = change->generation;
	c->applied_realtime_ns = control_realtime_ns();
	if (change->is_rollback)
		c->confirm_deadline_ns = 0;
	if (change->sets_confirm)
		c->confirm_deadline_ns =
			change->confirm_seconds == 0
				? 0
				: clock_now_ns() + change->confirm_seconds * 1000000000u;
	publish_plan(c->daemon, change->plan, &change->result);
	change->plan = NULL;
	change->state = CHANGE_PUBLISHING;
}

/* The thread has ended. */
static void take_built(struct control *c, struct change *change)
{
	pthread_join(change->thread, NULL);
	change->built_ns = clock_now_ns() - change->started_ns;
	change->state = CHANGE_DONE;
	if (change->is_abandoned)
		printf("%s given up: sluicectl went away before it was in force\n", change->what);
	else if (change->plan != NULL)
		put_in_force(c, change);
	else if (change->is_unconfirmed)
		printf("rollback failed: %s\n", change->error);
}

void build_tick(struct control *c)
{
	struct change *change = c->change;
	uint64_t wait_ns = 0;

	if (change == NULL)
		return;
	if (change->state == CHANGE_BUILDING &&
		__atomic_load_n(&change->is_built, __ATOMIC_ACQUIRE)) {
		take_built(c, change);
		wait_ns = PUBLISH_AT_ONCE_NS;
	}
	if (change->state == CHANGE_PUBLISHING &&
		publish_done(c->daemon, &change->result, wait_ns)) {
		change->state = CHANGE_DONE;
		printf("policy %u: %s, on %u/%u workers in %u us, built in %u ms\n", c->generation,
			c->daemon->plan->policy->file, change->result.workers,
			change->result.workers_all, (unsigned)(change->result.duration_ns / 1000),
			(unsigned)(change->built_ns / 1000000));
	}
	if (change->state == CHANGE_DONE && change->client == 0)
		build_free(c);
}

void build_free(struct control *c)
{
	drop(c->change);
	c->change = NULL;
}

void build_closed(struct control *c, uint64_t client)
{
	if (c->change == NULL || c->change->client != client)
		return;
	c->change->client = 0;
	c->change->is_abandoned = true;
}

void build_stop(struct control *c)
{
	if (c->change == NULL)
		return;
	if (c->change->state == CHANGE_BUILDING) {
		/* Everything waits for it now: it must not wait for every other process. */
		pid_t tid = __atomic_load_n(&c->change->tid, __ATOMIC_ACQUIRE);
		if (tid != 0)
			setpriority(PRIO_PROCESS, tid, getpriority(PRIO_PROCESS, 0));
		printf("stopping when %s is built, which is dropped\n", c->change->what);
		pthread_join(c->change->thread, NULL);
	}
	build_free(c);
}

void build_take_back(struct control *c, uint64_t now_ns)
{
	char error[128];

	if (c->change != NULL || c->confirm_deadline_ns == 0 || now_ns < c->confirm_deadline_ns)
		return;
	c->confirm_deadline_ns = 0;
	printf("policy %u was not confirmed, rolled back\n", c->generation);
	if (c->previous == NULL)
		return;
	struct change *change = calloc(1, sizeof(*change));
	if (change == NULL) {
		printf("rollback failed: no memory\n");
		return;
	}
	change->what = "rollback";
	change->make = build_copy;
	change->basis = c->previous;
	change->is_rollback = change->is_unconfirmed = true;
	if (build_start(c, change, error, sizeof(error)) != 0)
		printf("rollback failed: %s\n", error);
}
