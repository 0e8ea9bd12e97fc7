/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the daemon takes of memory: all of it follows from the policy, is taken at start and said
 * there. setup.c takes it. Main thread, before the workers run.
 */
#ifndef SLUICE_BUDGET_H
#define SLUICE_BUDGET_H

#include <stdint.h>

#include "dataplane/daemon.h"

/* Packet buffers; when the configuration does not say, enough for 30 ms of 10 Gbit/s, and what the
 * rings of the ports may hold. */
uint32_t budget_buffers(const struct policy *policy);
/* Packets that may wait in the queues of one worker. A quarter of the buffers is never queued: by
 * it the ports go on receiving, whatever the queues hold. */
uint32_t budget_room(const struct policy *policy);
/* Data room of a packet buffer: headroom and the largest frame, or a link frame of it. */
uint16_t budget_data_room(const struct policy_appliance *a);
/* Bytes of the pool of packet buffers. */
uint64_t budget_pool_bytes(const struct policy *policy);
/* Classes with distributions of their own; one more takes what belongs to the others. */
uint32_t budget_measured_classes(const struct policy_appliance *a);
/* Runs of segments in flight of one worker: a run for every fourth flow, which is one that has just
 * sent something, and no fewer than fast links with few flows want. */
uint32_t budget_inflight_runs(const struct policy *policy);
/* Beside the EAL's: the control thread's rates, windows and history, and plans and policies of all
 * classes: while one takes the place of another there are two, a third waits to be freed, a fourth
 * to be gone back to.
 */
uint64_t budget_control_bytes(const struct policy *policy);
/* What the EAL must reserve beforehand when there are no hugepages to grow into. */
uint64_t budget_eal_bytes(const struct policy *policy);

/* Print it all, of a daemon whose workers have been made. */
void budget_say(const struct daemon *d, const struct policy *policy);

#endif
