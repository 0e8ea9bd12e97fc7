/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Putting plans and links in force: publish one pointer, wait for the workers,
 * free the old one when none of them can still look at it (rte_rcu_qsbr). Control thread only.
 */
#ifndef SLUICE_CONTROL_PUBLISH_H
#define SLUICE_CONTROL_PUBLISH_H

#include "dataplane/daemon.h"

struct publish_result {
	uint32_t generation;
	uint32_t workers; /* that use it */
	uint32_t workers_all;
	uint64_t start_ns;
	uint64_t duration_ns; /* from the publishing to the last of them */
};

/* Put a plan in force. The old one is kept until every worker uses a later one. */
void publish_plan(struct daemon *d, struct plan *plan, struct publish_result *result);

/* True once the workers use it, or a second after it was published: a large change takes them
 * several rounds; one that stalls longer takes it up when it comes back. Waits wait_ns at most. */
bool publish_done(struct daemon *d, struct publish_result *result, uint64_t wait_ns);

/* Plans that are kept because workers have not taken up a later one. While this is
 * PUBLISH_PENDING_MAX no other plan should be put in force: memory is bounded. */
#define PUBLISH_PENDING_MAX 8u
unsigned publish_pending(struct daemon *d);

/* Put a new snapshot of the peers in force, without waiting. Takes over the malloc'ed `links`. */
void publish_links(struct daemon *d, struct links *links);

/* Free what the workers have let go of; call it now and then. `all`: the workers have ended. */
void publish_collect(struct daemon *d, bool all);

#endif
