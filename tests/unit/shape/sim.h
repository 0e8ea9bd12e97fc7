/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtual-time simulation around shapers for the tests of this folder: flows that keep a given
 * number of packets waiting, one or more workers, and a sink that checks the order of every flow
 * and counts bytes. No clock is read: `now` moves as the test says.
 */
#ifndef SLUICE_TESTS_SHAPE_SIM_H
#define SLUICE_TESTS_SHAPE_SIM_H

#include "controlplane/channel/counters.h"
#include "dataplane/flow/flow.h"
#include "dataplane/shape/shaper.h"

#define SIM_WORKERS 16
#define SIM_BURST 32
#define SIM_START_NS 1000000000000ull
#define SIM_HOSTS 1024u /* buckets of hosts */

struct sim;
struct sim_flow;

struct sim_flow {
	struct flow flow;
	uint32_t offered, sent; /* packets */
	uint32_t last_seq;
	uint64_t sent_bytes; /* as charged, without settling */
	uint64_t last_ns;    /* when its last packet left */
	unsigned worker;
	uint32_t wire_bytes; /* of its packets; 0: random sizes 60..1518 */
	uint32_t keep;	     /* packets to keep in the shaper */
};

struct sim {
	struct shaper_shared *shared;
	struct shaper *shaper[SIM_WORKERS];
	unsigned workers;
	struct shaper_config *config;  /* as the test writes it */
	struct shaper_config *applied; /* a copy, as the workers have it */
	struct sim_flow *flows;
	unsigned flow_count;
	uint64_t reasons[SIM_WORKERS][REASON_COUNT];
	struct shaper_room room; /* of all workers together; unbounded at first */
	uint64_t now;
	uint64_t bytes, packets; /* sent */
	uint64_t offered;
	uint64_t max_delay_ns;
	uint64_t direct; /* packets that never waited */
	unsigned reordered;
	uint32_t random;
	/* Told of every packet that leaves, before it is counted; may be NULL. */
	void (*watch)(struct sim *sim, struct sim_flow *f, const struct pkt *p);
	void *watcher; /* for watch() */
};

/* EAL without hugepages and ports, and a packet pool: once per program. */
void sim_eal(void);

/* The same with other sizes than 64 MB and 32767 packets of 128 bytes; before anything else. */
void sim_eal_sized(unsigned memory_mb, unsigned packets, uint16_t packet_bytes);
unsigned sim_packets_in_use(void);

/* A configuration with `classes` classes, all in use and unlimited, weight 1, and room for
 * SIM_HOSTS hosts or as many as told; sim_free frees it. */
struct sim *sim_create(unsigned workers, unsigned classes, unsigned flows, uint32_t queues);
struct sim *sim_create_hosts(
	unsigned workers, unsigned classes, unsigned flows, uint32_t queues, uint32_t hosts);
void sim_free(struct sim *sim);

/* Give sim->config to every worker. */
void sim_configure(struct sim *sim);

/* A packet of a flow, counted as offered: for those who enqueue and sink it themselves. */
struct rte_mbuf *sim_packet(struct sim *sim, struct sim_flow *f, uint32_t wire_bytes);

/* Offer a packet of one flow now: true if it left at once. */
bool sim_offer(struct sim *sim, struct sim_flow *f, uint32_t wire_bytes);

/* Let one worker dequeue what it may at `now`. Returns packets. */
unsigned sim_dequeue(struct sim *sim, unsigned worker);

/* One round of a worker: top up its flows, dequeue. */
void sim_poll(struct sim *sim, unsigned worker);

/* A round of a worker in which every packet that leaves is offered again, as the next of its flow:
 * where there are so many flows that looking at each would take too long. Returns packets. */
unsigned sim_recycle(struct sim *sim, unsigned worker);

/* Go to the time at which the only worker has something to do, at least `least_ns` from now. */
void sim_step(struct sim *sim, uint64_t least_ns);

/* All workers poll every step_ns until `until`. */
void sim_run(struct sim *sim, uint64_t until, uint64_t step_ns);

uint32_t sim_random(struct sim *sim);
uint64_t sim_class_bytes(const struct sim *sim, uint32_t class_id);
uint64_t sim_backlog(const struct sim *sim);
uint64_t sim_dropped(const struct sim *sim);

/* |a - b| <= part * b + slack */
bool sim_near(double a, double b, double part, double slack);

#endif
