/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The read-only counter segment: what every client may map and read without asking the daemon.
 *
 * Layout: one struct counters_header, then workers_max blocks of struct counters_worker, then
 * ports_max blocks of struct counters_port. Every field has one writer, named in its comment, that
 * stores relaxed 64-bit values; readers read at leisure and may see two counters of one packet at
 * different moments. Counters never go back; clients clear by remembering an earlier value.
 */
#ifndef SLUICE_CHANNEL_COUNTERS_H
#define SLUICE_CHANNEL_COUNTERS_H

#include <stdint.h>

#define COUNTERS_MAGIC 0x31434c53u /* "SLC1" */
#define COUNTERS_ABI 2u

enum stage {
#define STAGE(id, name, text) STAGE_##id,
#include "controlplane/channel/stages.def"
#undef STAGE
	STAGE_COUNT
};

enum reason {
	REASON_NONE,
#define DROP(id, name, text) DROP_##id,
#define PASS(id, name, text) PASS_##id,
#include "controlplane/channel/reasons.def"
#undef DROP
#undef PASS
	REASON_COUNT
};

struct table_entry {
	const char *name;
	const char *text;
	int is_drop; /* reasons only */
};
extern const struct table_entry stage_table[STAGE_COUNT];
extern const struct table_entry reason_table[REASON_COUNT];

struct counters_stage {
	uint64_t packets; /* packets that the stage worked on */
	uint64_t cycles;  /* TSC cycles of the sampled calls (one burst in 16) */
	uint64_t sampled; /* packets in the sampled calls */
};

/* One per worker. dataplane: writes (its own worker only). clients: read. */
struct counters_worker {
	uint64_t lcore;
	uint64_t polls;		    /* times round the poll loop */
	uint64_t busy_cycles;	    /* TSC cycles of rounds that moved a packet */
	uint64_t idle_cycles;	    /* TSC cycles of rounds that moved none, without sleeping */
	uint64_t sleeps;	    /* times slept (poll = adaptive) */
	uint64_t heartbeat_ns;	    /* monotonic time of the last round, refreshed about every
				       millisecond */
	uint64_t policy_generation; /* the policy in use */
	uint64_t flows;		    /* flows in the table now */
	uint64_t flows_created;
	uint64_t flows_expired;
	uint64_t flows_evicted;
	uint64_t steered_out; /* packets handed to another worker */
	struct counters_stage stage[STAGE_COUNT];
	uint64_t reason[REASON_COUNT];
} __attribute__((aligned(64)));

/* One per port. Written by the control thread about every 100 ms from the port's own statistics. */
struct counters_port {
	char name[32];
	char device[64];
	uint64_t bridge;
	uint64_t is_wan;
	uint64_t link_up;
	uint64_t speed_mbps; /* 0: not known */
	uint64_t mtu;
	uint64_t rx_queues, tx_queues;
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
	uint64_t rx_missed, rx_errors, rx_no_mbuf, tx_errors;
} __attribute__((aligned(64)));

/* Written by the control thread at start, then only the fields said so. */
struct counters_header {
	uint32_t magic, abi;
	uint32_t header_bytes, worker_bytes, port_bytes;
	uint32_t workers, ports;
	uint32_t stages, reasons; /* the counts that the daemon was built with */
	uint32_t pid;
	uint64_t pid_started; /* when that process was started, as in /proc/PID/stat */
	uint64_t tsc_hz;
	uint64_t started_realtime_ns;
	uint64_t now_ns; /* control thread, about every 100 ms: its heartbeat, monotonic */
	uint64_t ready;	 /* control thread: 1 once every field above is set, 0 when shutting down */
	char version[16];
	char instance[32];
	char appliance[32];
} __attribute__((aligned(64)));

static inline struct counters_worker *counters_worker(void *segment, uint32_t i)
{
	struct counters_header *h = segment;
	return (struct counters_worker *)((char *)segment + h->header_bytes) + i;
}

static inline struct counters_port *counters_port(void *segment, uint32_t i)
{
	struct counters_header *h = segment;
	return (struct counters_port *)(counters_worker(segment, h->workers)) + i;
}

#endif
