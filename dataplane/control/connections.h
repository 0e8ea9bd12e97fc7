/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Open TCP connections by class, counted in the flow tables: every record that rates.c looks at is
 * given here, and after each round over all of them there are new figures. So what ended in any
 * way (FIN, RST, expiry, eviction) is gone within a round, and a flow counts in the class that the
 * policy in force gives it, even if no packet of it has come since. Control thread only.
 */
#ifndef SLUICE_CONTROL_CONNECTIONS_H
#define SLUICE_CONTROL_CONNECTIONS_H

#include "dataplane/daemon.h"

struct connections;

/* NULL without memory. */
struct connections *connections_create(const struct daemon *d);
/* NULL is allowed. */
void connections_destroy(struct connections *c);

/* What connections_create() will take, in bytes. */
uint64_t connections_memory_needed(const struct policy *policy);

/* A snapshot of record `i` of worker `w`. */
void connections_look(struct connections *c, const struct plan *plan, unsigned worker, uint32_t i,
	const struct flow *copy);

/* Every record has been looked at. */
void connections_round(struct connections *c);

/* Of the last full round: of a class, and of all. */
uint64_t connections_open(const struct connections *c, uint32_t class_id);
uint64_t connections_open_all(const struct connections *c);

#endif
