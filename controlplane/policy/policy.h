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
#define POLICY_CLASSES_MAX                                                                         \
	131072		   /* class "default" included; see also policy_appliance.classes          \
			    */
#define POLICY_DEPTH_MAX 8 /* levels of groups and classes below the link */
#define POLICY_RULES_MAX 4096
#define POLICY_KEY_MAX 128
#define POLICY_ERROR_MAX 300 /* what policy_set_class() says */

/* What AQM the flow queues of a class get. */
enum policy_aqm { AQM_NONE, AQM_CODEL, AQM_PIE, AQM_DUALPI2 };
/* Whose rate a class's flow_rate is: each flow's, or that of each host or network at one end of its
 * flows. src opened the flow, dst was called; lan and wan are the ends as the bridge lies. */
enum policy_per { PER_FLOW, PER_SRC, PER_DST, PER_LAN, PER_WAN };
/* RFC 2697, RFC 2698, RFC 4115. */
enum policy_police { POLICE_NONE, POLICE_SRTCM, POLICE_TRTCM, POLICE_TRTCM_4115 };
/* What becomes of a packet of a colour; 0..63: it gets this DSCP. */
#define POLICE_PASS 64
#define POLICE_DROP 65

enum policy_poll { POLL_ADAPTIVE, POLL_BUSY };
enum policy_compress { COMPRESS_OFF, COMPRESS_ON, COMPRESS_DRY_RUN };
enum policy_codec { POLICY_CODEC_AUTO, POLICY_CODEC_LZ4, POLICY_CODEC_ZSTD, POLICY_CODEC_RAW };
/* Whom the STAMP reflector answers (RFC 8762): nobody, the peers of the bridge, everybody. */
enum policy_reflector { REFLECTOR_OFF, REFLECTOR_PEERS, REFLECTOR_ANY };
enum policy_framing { FRAMING_TUNNEL, FRAMING_TRANSPARENT };
/* bridged: the peers share one Ethernet segment over the WAN, frames keep their MAC addresses.
 * routed: routers stand between the peers, the far end writes its own link-layer header. */
enum policy_path { PATH_ROUTED, PATH_BRIDGED };
/* In the order of enum link_cipher. */
enum policy_encryption { ENCRYPTION_NONE, ENCRYPTION_AES_256_GCM, ENCRYPTION_CHACHA20_POLY1305 };
/* Of a peer with encryption: what becomes of packets that cannot go through the link. */
enum policy_unencrypted { UNENCRYPTED_DROP, UNENCRYPTED_PASS };

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
	bool hugepages;			       /* false: run without (slower) */
	char store_directory[POLICY_PATH_MAX]; /* peers' stores outlive the daemon there; "": none
						*/
	uint32_t dry_run_store_mb;	       /* to reckon with a store without a peer; 0: none */
	uint32_t memory_mb; /* upper bound for all of the daemon's packet memory; 0: computed */
	uint32_t flows;	    /* flows per worker */
	uint32_t buffers;   /* packet buffers in all; 0: computed */
	uint32_t queues;  /* flow queues per worker, bridge and way: flows that may wait at once */
	uint32_t classes; /* that may ever exist at once */
	uint32_t hosts;	  /* hosts and networks with buckets of their own, per bridge and way */
	uint32_t distributions; /* classes that get delay and RTT distributions, the first ones */
	uint16_t mtu;		/* largest IP packet, 1500..9000: sizes the buffers */
	char group[POLICY_NAME_MAX]; /* group that may use sluicectl; "": root only */
};

struct policy_bridge {
	char name[POLICY_NAME_MAX];
	char lan[POLICY_DEVICE_MAX], wan[POLICY_DEVICE_MAX];
	struct policy_prefix address4, address6; /* in-path addresses */
	struct policy_address gateway4, gateway6;
	uint16_t vlan;			   /* of the in-path address; 0: untagged */
	uint64_t up_bps, down_bps;	   /* 0: not shaped */
	uint64_t up_min_bps, down_min_bps; /* the rate is tracked from here up; 0: not tracked */
	int32_t overhead_bytes;		   /* per packet, on top of the frame without FCS */
	uint32_t frame_min_bytes;	   /* shorter frames are charged as this, without FCS */
	uint32_t burst_ns;		   /* burst of the link, in time */
	enum policy_reflector stamp_reflector; /* on the in-path addresses */
	uint16_t stamp_port;		       /* UDP, of the reflector */
	uint16_t stamp_rate;		       /* packets a second that it answers at most */
	bool stamp_stateful;		       /* numbers and counts the packets of each session */
};

/* A rate, absolute or as a part of the parent's; both 0: none. */
struct policy_rate {
	uint64_t bps;
	uint32_t ppm; /* of 1,000,000 */
};

/* A burst, in bytes or in time of its rate; both 0: "auto". */
struct policy_burst {
	uint32_t bytes, ns;
};

/* A policer as it is written; policy_policer() says what it comes to. Numbers of 0: not given. */
struct policy_police_options {
	enum policy_police mode;
	bool colour_aware;
	uint8_t action[3]; /* of green, yellow, red: POLICE_PASS, POLICE_DROP or a DSCP */
	uint64_t cir_bps, pir_bps, eir_bps;
	uint32_t cbs_bytes, pbs_bytes, ebs_bytes;
};

/* A class that is the parent of others is a group: no flow belongs to it, and what is said of flows
 * has no effect on it. */
struct policy_class {
	char name[POLICY_NAME_MAX];
	uint32_t line;
	int32_t parent_index;	   /* the group that it is in, -1: directly below the link */
	uint8_t priority;	   /* 0 is served first, 7 last */
	uint32_t weight;	   /* share of what is borrowed among siblings of one priority */
	struct policy_rate rate;   /* assured; none: nothing, of a group the sum of its classes' */
	struct policy_rate ceil;   /* none: that of the group above, or the link's rate */
	struct policy_burst burst; /* of rate and ceil; none: the bridge's, two frames at least */
	uint64_t flow_rate_bps;	   /* of each flow (or see per) and way by itself; 0: no limit */
	struct policy_burst flow_burst;
	enum policy_per per; /* whose rate flow_rate is */
	uint8_t per_bits4,
		per_bits6;	 /* prefix length of a network that shares it; 0: one address */
	uint32_t queue_limit_ns; /* longest wait accepted in a flow's queue, 0: limit_bytes only */
	uint32_t queue_limit_bytes; /* of one flow's queue */
	enum policy_aqm aqm;	    /* on the flow queues */
	uint32_t aqm_target_ns;	    /* 0: as the RFC of that AQM says */
	bool ecn;		    /* AQM marks what can be marked instead of dropping it */
	bool compress;
	bool dry_run; /* compresses only to count what it would save */
	enum policy_codec codec;
	uint8_t acceleration; /* of LZ4 */
	uint8_t zstd_level;
	bool history;	 /* against what the flow has sent before, where the peer has a store */
	bool store_all;	 /* the store has what does not compress, too */
	bool is_private; /* its data serves no other packet's compression */
	bool pack;	 /* several packets in one link frame, where that makes them smaller */
	uint32_t pack_wait_ns; /* small ones wait so long for others, 0: not at all */
	struct policy_police_options police;
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
	enum policy_encryption encryption;
	enum policy_unencrypted unencrypted;
	uint32_t store_mb;	    /* memory for repeated data, MiB; 0: none */
	uint32_t stamp_interval_ns; /* between STAMP test packets to it; 0: none are sent */
	uint8_t stamp_dscp;
	uint16_t stamp_size; /* of their IP packets, at least; 0: as small as they are */
	uint16_t stamp_port; /* UDP, of its reflector */
	char stamp_key_file[POLICY_PATH_MAX]; /* "": unauthenticated mode */
	uint8_t stamp_key[POLICY_KEY_MAX];    /* as read from it, for both ways */
	uint16_t stamp_key_len;
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
	/* Indices of the classes in the order of their names, or NULL (then policy_find_class() is
	 * slow). Whoever adds or renames classes frees it and makes it NULL. */
	uint32_t *classes_by_name;
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

/*
 * Change one option of a class or bridge; the value is what the file would say, without quotes, and
 * parents are named. Only what may change live: not a name or a port. 0, or -ENOENT (no such
 * option), -EBUSY (not live) or -EINVAL with the reason in *error; the policy is changed on success
 * only. policy_check() the whole afterwards.
 */
int policy_set_class(struct policy *policy, uint32_t class_index, const char *option,
	const char *value, char error[POLICY_ERROR_MAX]);
int policy_set_bridge(struct policy *policy, unsigned bridge, const char *option, const char *value,
	char error[POLICY_ERROR_MAX]);

/* What a class gets on one bridge and way. */
struct policy_class_rates {
	uint64_t rate_bps; /* assured; 0: nothing */
	uint64_t ceil_bps; /* 0: none of its own */
	bool is_group;	   /* somebody's parent */
	uint8_t depth;	   /* 1: directly below the link */
};

/*
 * Absolute rates of all classes, from the link down, on a bridge and way; up: to the WAN. Writes
 * class_count entries. 0, -EINVAL (a percentage of nothing, parents that loop, do not exist or lie
 * deeper than POLICY_DEPTH_MAX; never for a policy that policy_check() accepts), -ENOMEM. Any
 * thread.
 */
int policy_resolve_rates(
	const struct policy *policy, unsigned bridge, bool up, struct policy_class_rates *out);

/* A class's policer in plain numbers, bursts that were not given filled in. */
struct policy_policer {
	enum policy_police mode;
	bool colour_aware;
	uint8_t action[3];
	uint64_t cir_bps, cbs_bytes;
	uint64_t eir_bps;   /* RFC 2698: PIR */
	uint64_t ebs_bytes; /* RFC 2698: PBS */
};
struct policy_policer policy_policer(const struct policy_class *c);

/* Re-check what a live change may have broken: ranges of numbers, sums of rates, ceil below rate...
 * Problems are added to *problems ({0} if there are none yet; NULL: not wanted), with line 0 and
 * paths by place in the policy. 0 or -EINVAL. */
int policy_check(const struct policy *policy, struct policy_problems *problems);

/* What cannot change without a restart (ports, workers, polling, memory, group): -EBUSY and a
 * problem added for each difference, 0 if `next` may replace `current` live. */
int policy_check_live(
	const struct policy *current, const struct policy *next, struct policy_problems *problems);

/* Index of a class, bridge or peer by name, -ENOENT if there is none. Of a class in logarithmic
 * time, where classes_by_name is. */
int policy_find_class(const struct policy *policy, const char *name);
int policy_find_bridge(const struct policy *policy, const char *name);
int policy_find_peer(const struct policy *policy, const char *name);

/* Print as configuration text that policy_read_text() accepts and that gives the same policy (keys
 * stay in their files, with absolute names if they were read). Options that have their defaults are
 * left out. Returns a malloc'ed string, NULL without memory. */
char *policy_print(const struct policy *policy);

#endif
