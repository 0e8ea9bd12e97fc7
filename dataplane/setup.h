/* SPDX-License-Identifier: BSD-3-Clause */
/* From a checked policy to a daemon ready to run, and back. Main thread, once each. */
#ifndef SLUICE_SETUP_H
#define SLUICE_SETUP_H

#include "dataplane/daemon.h"

/*
 * Start the EAL, allocate everything, open the ports, launch the workers, publish the first plan.
 * Takes over the policy, also on failure. Says on standard output how much memory is used. 0, or a
 * negative errno with one sentence in `error` that says what to do; everything is undone then.
 */
int setup_start(struct daemon *d, struct policy *policy, char *error, size_t error_len);

/* End the workers, close the ports, free everything. Packets still queued are lost. */
void setup_stop(struct daemon *d);

#endif
