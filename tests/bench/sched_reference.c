/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver of librte_sched of sched_reference.h. Only the best-effort traffic class has queues:
 * the others are served in strict priority, so that queues of theirs would starve the rest instead
 * of being active. A queue is then a pipe and one of its four weighted queues, which is as many as
 * can be active at a time.
 */
#define ALLOW_EXPERIMENTAL_API /* rte_sched.h of DPDK 22.11 cannot do without */
#include "tests/bench/sched_reference.h"

#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_lcore.h>
#include <rte_sched.h>

#define PORT_BPS 1000000000000ull
#define PIPE_BPS (PORT_BPS / 10)
#define PERIOD_MS 10u /* of the credits of a traffic class, as in DPDK's example */
#define BUCKET_BYTES 1000000u

struct sched_reference {
	struct rte_sched_port *port;
	uint32_t queues;
};

/* The library takes the parameters of a traffic class for granted: bytes/s, never reached. */
static void classes_set(uint64_t *tc_rate, uint64_t bps)
{
	for (unsigned i = 0; i < RTE_SCHED_TRAFFIC_CLASSES_PER_PIPE; i++)
		tc_rate[i] = bps / 8;
}

static void profile_set(struct rte_sched_subport_profile_params *profile, uint64_t bps)
{
	memset(profile, 0, sizeof(*profile));
	profile->tb_rate = bps / 8;
	profile->tb_size = BUCKET_BYTES;
	profile->tc_period = PERIOD_MS;
	classes_set(profile->tc_rate, bps);
}

static struct rte_sched_port *port_create(
	struct rte_sched_subport_profile_params *profile, uint32_t pipes)
{
	struct rte_sched_port_params params = {.name = "reference",
		.socket = (int)rte_socket_id(),
		.rate = PORT_BPS / 8,
		.mtu = 1518,
		.frame_overhead = RTE_SCHED_FRAME_OVERHEAD_DEFAULT,
		.n_subports_per_port = 1,
		.subport_profiles = profile,
		.n_subport_profiles = 1,
		.n_max_subport_profiles = 2,
		.n_pipes_per_subport = rte_align32pow2(pipes)};

	return rte_sched_port_config(&params);
}

static bool subport_create(struct rte_sched_port *port, uint32_t pipes, uint16_t depth)
{
	struct rte_sched_pipe_params pipe = {.tb_rate = PIPE_BPS / 8,
		.tb_size = BUCKET_BYTES,
		.tc_period = PERIOD_MS,
		.tc_ov_weight = 1,
		.wrr_weights = {1, 1, 1, 1}};
	struct rte_sched_subport_params params = {
		.n_pipes_per_subport_enabled = rte_align32pow2(pipes),
		.pipe_profiles = &pipe,
		.n_pipe_profiles = 1,
		.n_max_pipe_profiles = 1};

	classes_set(pipe.tc_rate, PIPE_BPS);
	params.qsize[RTE_SCHED_TRAFFIC_CLASS_BE] = depth;
	for (unsigned i = 0; i < RTE_SCHED_TRAFFIC_CLASS_BE; i++)
		pipe.tc_rate[i] = 0; /* no queue, no rate */
	if (rte_sched_subport_config(port, 0, &params, 0) != 0)
		return false;
	for (uint32_t i = 0; i < pipes; i++)
		if (rte_sched_pipe_config(port, 0, i, 0) != 0)
			return false;
	return true;
}

struct sched_reference *sched_reference_create(
	uint32_t queues, uint16_t depth, uint64_t subport_bps)
{
	uint32_t pipes = (queues + RTE_SCHED_BE_QUEUES_PER_PIPE - 1) / RTE_SCHED_BE_QUEUES_PER_PIPE;
	struct sched_reference *sched = calloc(1, sizeof(*sched));
	struct rte_sched_subport_profile_params profile;

	if (sched == NULL)
		return NULL;
	profile_set(&profile, subport_bps);
	sched->queues = queues;
	sched->port = port_create(&profile, pipes);
	if (sched->port == NULL || !subport_create(sched->port, pipes, depth)) {
		sched_reference_destroy(sched);
		return NULL;
	}
	return sched;
}

void sched_reference_destroy(struct sched_reference *sched)
{
	if (sched == NULL)
		return;
	rte_sched_port_free(sched->port);
	free(sched);
}

void sched_reference_assign(struct sched_reference *sched, struct rte_mbuf *m, uint32_t queue)
{
	rte_sched_port_pkt_write(sched->port, m, 0, queue / RTE_SCHED_BE_QUEUES_PER_PIPE,
		RTE_SCHED_TRAFFIC_CLASS_BE, queue % RTE_SCHED_BE_QUEUES_PER_PIPE, RTE_COLOR_GREEN);
}

unsigned sched_reference_enqueue(struct sched_reference *sched, struct rte_mbuf **pkts, unsigned n)
{
	return (unsigned)rte_sched_port_enqueue(sched->port, pkts, n);
}

unsigned sched_reference_dequeue(struct sched_reference *sched, struct rte_mbuf **out, unsigned max)
{
	return (unsigned)rte_sched_port_dequeue(sched->port, out, max);
}
