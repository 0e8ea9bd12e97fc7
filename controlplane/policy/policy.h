/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The policy: everything that the configuration file says, checked and in plain numbers. A policy
 * is built once, never changed, and replaced as a whole. No DPDK in here: the daemon, `sluiced
 * --check` and the tests use the same code.
 */
#ifndef SLUICE_POLICY_POLICY_H
#define SLUICE_POLICY_POLICY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define POLICY_NAME_MAX 32 /* with the terminating NUL */
#define POLICY_DEVICE_MAX 256
#define POLICY_PATH_MAX 256
#define POLICY_WORKERS_MAX 16
#define POLICY_BRIDGES_MAX 8
#define POLICY_PEERS_MAX 16
#define POLICY_NETWORKS_MAX 64
#define POLICY_CLASSES_MAX 1024 /* class "default" included */
#define POLICY_RULES_MAX 4096
#define POLICY_KEY_MAX 128

enum policy_poll { POLL_ADAPTIVE, POLL_BUSY };
enum policy_compress { COMPRESS_OFF, COMPRESS_ON, COMPRESS_DRY_RUN };
enum policy_framing { FRAMING_TUNNEL };
/* bridged: the peers share one Ethernet segment over the WAN, frames keep their MAC addresses.
 * routed: routers stand between the peers, the far end writes its own link-layer header. */
enum policy_path { PATH_ROUTED, PATH_BRIDGED };

/* An address of either family; IPv4 as ::ffff:a.b.c.d. family is 0 where none was given. */
struct policy_address {
	uint8_t family; /* 0, 4 or 6 */
	uint8_t bytes[16];
};

struct policy_prefix {
	struct policy_address address;
	uint8_t length; /* within its family: 0..32 or 0..128 */
};

struct policy_appliance {
	char name[POLICY_NAME_MAX];
	uint16_t workers[POLICY_WORKERS_MAX]; /* CPU numbers */
	uint16_t worker_count;
	uint16_t control_cpu; /* CPU of the control thread */
	enum policy_poll poll;
	bool hugepages;	    /* false: run without (slower) */
	uint32_t memory_mb; /* upper bound for all of the daemon's packet memory; 0: computed */
	uint32_t flows;	    /* flows per worker */
	uint32_t buffers;   /* packet buffers in all; 0: computed */
	uint32_t queues; /* flow queues per worker, bridge and way: flows that may wait at once */
	uint16_t mtu;	 /* largest IP packet, 1500..9000: sizes the buffers */
	char group[POLICY_NAME_MAX]; /* group that may use sluicectl; "": root only */
};

struct policy_bridge {
	char name[POLICY_NAME_MAX];
	char lan[POLICY_DEVICE_MAX], wan[POLICY_DEVICE_MAX];
	struct policy_prefix address4, address6; /* in-path addresses */
	struct policy_address gateway4, gateway6;
	uint16_t vlan;		   /* of the in-path address; 0: untagged */
	uint64_t up_bps, down_bps; /* 0: not shaped */
	uint32_t overhead_bytes;   /* per packet, on top of the frame without FCS */
	uint32_t burst_ns;	   /* burst of the link, in time */
};

struct policy_class {
	char name[POLICY_NAME_MAX];
	uint32_t line;
	uint8_t priority;	/* 0 is served first, 7 last */
	uint32_t weight;	/* share of what is borrowed among classes of one priority */
	uint64_t rate_bps;	/* assured; 0: nothing assured */
	uint64_t ceil_bps;	/* 0: the link's rate */
	uint64_t flow_rate_bps; /* of each flow and way by itself; 0: no limit */
	uint32_t flow_burst_bytes;
	uint32_t burst_bytes;	 /* of rate and ceil; 0: two full-size frames */
	uint32_t queue_limit_ns; /* longest wait accepted in a flow's queue, 0: limit_bytes only */
	uint32_t queue_limit_bytes; /* of one flow's queue */
	bool aqm;		    /* CoDel on the flow queues */
	bool compress;
};

enum policy_direction { DIRECTION_ANY, DIRECTION_UP, DIRECTION_DOWN };

/* Matched against the opening packet of a flow: src is the side that opened it. Ranges include
 * both ends; a full range means "any". */
struct policy_match {
	uint8_t proto_min, proto_max;
	struct policy_prefix src, dst; /* family 0: any of both families */
	uint16_t sport_min, sport_max, dport_min, dport_max;
	uint16_t vlan_min, vlan_max; /* 0: untagged */
	uint8_t dscp_min, dscp_max;
	enum policy_direction direction; /* up: opened from the LAN */
	int16_t bridge;			 /* index, -1: any */
};

struct policy_rule {
	struct policy_match match;
	uint32_t class_index;
	uint32_t line;
};

struct policy_peer {
	char name[POLICY_NAME_MAX];
	struct policy_address address;
	uint16_t port;		     /* UDP port of the link, both ends */
	uint8_t bridge;		     /* reached through this bridge's WAN port */
	uint8_t key[POLICY_KEY_MAX]; /* pre-shared key as read from key_file */
	uint16_t key_len;
	char key_file[POLICY_PATH_MAX];
	struct policy_prefix networks[POLICY_NETWORKS_MAX]; /* behind the peer */
	uint16_t network_count;
	enum policy_framing framing;
	enum policy_path path;
	uint16_t path_mtu; /* largest outer IP packet */
	bool mss_clamp;
};

struct policy {
	char file[POLICY_PATH_MAX];
	struct policy_appliance appliance;
	enum policy_compress compress;
	bool bypass;
	struct policy_bridge bridges[POLICY_BRIDGES_MAX];
	uint16_t bridge_count;
	struct policy_peer peers[POLICY_PEERS_MAX];
	uint16_t peer_count;
	struct policy_class *classes; /* [0] is always "default" */
	uint32_t class_count;
	struct policy_rule *rules; /* in the order of the file: the first match wins */
	uint32_t rule_count;
};

/* Everything that was found wrong (or merely odd) in a text, in the order of the lines. */
struct policy_problem {
	uint32_t line;
	bool is_warning;
	char option[64]; /* "classes[1].rate" */
	char text[200];	 /* what is wrong, and what is accepted */
};

struct policy_problems {
	struct policy_problem *list;
	uint32_t count, errors, capacity;
};

/*
 * Read and check a configuration. Returns a new policy (policy_free() it), or NULL when there was
 * at least one error. *problems is overwritten in either case with all that was found, in the order
 * of the lines; free it with policy_problems_free(). Where the fault is in an included file, the
 * line is that of the @include, and the text names that file and its line. Nothing is touched but
 * `file`, what it includes, the key files it names (a relative name counts from the folder of
 * `file`) and the list of this machine's CPUs. Any thread.
 */
struct policy *policy_read_file(const char *file, struct policy_problems *problems);

/* The same from a text of `len` bytes, which may come from anybody: it can't include files. `name`
 * is what messages call the file, and where relative names of key files count from. When read_keys
 * is false nothing outside the text is looked at: the keys stay empty, CPUs need not exist
 * (fuzzing, tests). */
struct policy *policy_read_text(const char *text, uint64_t len, const char *name, bool read_keys,
	struct policy_problems *problems);

/* A deep copy that the caller may change before publishing it, NULL without memory. */
struct policy *policy_copy(const struct policy *policy);
void policy_free(struct policy *policy);
void policy_problems_free(struct policy_problems *problems);

/* Re-check what a live change may have broken: ranges of numbers, sums of rates, ceil below rate...
 * Problems are added to *problems ({0} if there are none yet; NULL: not wanted), with line 0 and
 * paths by place in the policy. 0 or -EINVAL. */
int policy_check(const struct policy *policy, struct policy_problems *problems);

/* What cannot change without a restart (ports, workers, polling, memory, group): -EBUSY and a
 * problem added for each difference, 0 if `next` may replace `current` live. */
int policy_check_live(
	const struct policy *current, const struct policy *next, struct policy_problems *problems);

/* Index of a class, bridge or peer by name, -ENOENT if there is none. */
int policy_find_class(const struct policy *policy, const char *name);
int policy_find_bridge(const struct policy *policy, const char *name);
int policy_find_peer(const struct policy *policy, const char *name);

/* Print as configuration text that policy_read_text() accepts and that gives the same policy (keys
 * stay in their files, with absolute names if they were read). Options that have their defaults are
 * left out. Returns a malloc'ed string, NULL without memory. */
char *policy_print(const struct policy *policy);

#endif
