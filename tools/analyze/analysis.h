/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What sluice-analyze finds out: every frame goes through the appliance's own parser, flow table,
 * rules and measurement, and what these say is kept per flow and per class. main.c feeds it from
 * captures, report.c prints it. Needs an EAL (analysis_start_eal()), for the flow table's memory.
 */
#ifndef SLUICE_ANALYZE_ANALYSIS_H
#define SLUICE_ANALYZE_ANALYSIS_H

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/policy/policy.h"
#include "dataplane/measure/datagrams.h"
#include "dataplane/measure/tcp.h"
#include "dataplane/measure/transactions.h"
#include "dataplane/packet/packet.h"
#include "tools/analyze/capture.h"
#include "tools/analyze/samples.h"

#define ANALYSIS_FLOWS_MAX 1000000u /* kept; what comes later is in the sums only */
#define ANALYSIS_LIVE_MAX 262144u   /* in the flow table at a time; the oldest make room */
#define ANALYSIS_RECENT 8	    /* packets of a direction that copies are looked for among */
#define ANALYSIS_COPY_NS 100000000u /* nobody sends again so soon under the same IP ID */

struct analysis_transactions;

/* How a flow's LAN side was found. */
enum analysis_lan_by { LAN_BY_NETWORK, LAN_BY_OPENER };

/* Counters by who sent, enum measure_from. */
struct analysis_counts {
	uint64_t packets[2], bytes[2]; /* frames as on the wire */
	uint64_t data_packets[2];      /* TCP: those that take sequence numbers */
	uint64_t retransmits_before[2], retransmits_after[2], retransmits_needless[2];
	uint64_t reordered[2];
	uint64_t duplicates[2]; /* the very same packet again, within ANALYSIS_COPY_NS: not measured
				 */
	uint64_t zero_windows[2];
	uint64_t connections, failed, resets;
};

struct analysis_flow {
	struct flow_key key;
	uint8_t lan_dir;	    /* struct pkt.dir of what the LAN side sends */
	uint8_t opened_from;	    /* enum measure_from */
	uint8_t lan_by;		    /* enum analysis_lan_by */
	bool is_other;		    /* everything that has no flow of its own */
	uint32_t class_index;	    /* of the policy, 0 without one */
	uint64_t first_ns, last_ns; /* by the clock */
	uint64_t first_file_ns;	    /* as in the file, since 1970 */
	struct analysis_counts counts;
	uint64_t connect_ns;	  /* first SYN to the ACK that completes the handshake */
	uint64_t handshake_ns[2]; /* the half of each side in the handshake; 0: not measured */
	struct samples rtt[2];	  /* [FROM_LAN]: of the LAN half */
	struct analysis_transactions *transactions; /* transactions.h; NULL: none */
	uint64_t recent[2][ANALYSIS_RECENT]; /* fingerprints of packets, and when they passed */
	uint64_t recent_ns[2][ANALYSIS_RECENT];
	uint8_t recent_at[2];
};

/* The figures of one class of the policy. */
struct analysis_class {
	uint64_t flows;
	uint64_t open; /* connections, known by analysis_finish() */
	uint64_t packets[2], bytes[2];
	struct measure_class *measure;		   /* NULL: no packet */
	struct measure_datagrams *datagrams;	   /* NULL: no packet but TCP */
	struct measure_transactions *transactions; /* NULL as measure is */
};

/* Frames that have no figures, by why. */
struct analysis_rest {
	uint64_t not_ip;	 /* ARP, LLDP... */
	uint64_t headers_cut;	 /* captured in too small a part */
	uint64_t not_understood; /* contradict themselves */
	uint64_t beyond_flows;	 /* in the sums, but of flows beyond ANALYSIS_FLOWS_MAX */
};

struct analysis_options {
	const struct policy *policy;	 /* NULL: no classes. Used throughout */
	const struct policy_prefix *lan; /* --lan; NULL: not given */
	unsigned lan_count;
	uint32_t live_max; /* flows in the table at a time; 0: ANALYSIS_LIVE_MAX */
	bool any_vlan;	   /* VLANs do not tell flows apart */
	bool inside;	   /* look inside of tunnels: IP in IP, GRE, VXLAN */
};

struct analysis;

/* Start an EAL with neither ports nor hugepages, quietly. 0, or -1 with rte_errno. Once. */
int analysis_start_eal(const char *program);

/* NULL without memory, or when the rules can't be compiled (rte_errno). */
struct analysis *analysis_create(const struct analysis_options *options);

/* One frame, of any content. Times never go back from call to call. */
void analysis_frame(struct analysis *a, const struct capture_frame *frame);

/* Flows in the order of their first packets; the pointers stay good until the next frame. */
uint64_t analysis_flow_count(const struct analysis *a);
struct analysis_flow *analysis_flow(struct analysis *a, uint64_t i);

/* There is no more: count what is open, and what waits for an answer in vain. Once, last. */
void analysis_finish(struct analysis *a);

/* Classes of the policy; one without it. */
uint32_t analysis_class_count(const struct analysis *a);
const struct analysis_class *analysis_class(const struct analysis *a, uint32_t i);
const struct analysis_rest *analysis_rest(const struct analysis *a);
uint64_t analysis_evicted(const struct analysis *a);

void analysis_destroy(struct analysis *a);

#endif
