/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What daemon and clients say to each other: requests and records of fixed size, by value, without
 * pointers. messages.def lists them; server.h and client.h carry them through the command segment.
 *
 * All numbers are plain: bit/s, bytes, nanoseconds. Times of day are CLOCK_REALTIME ns. Names are
 * NUL-terminated; the receiver of a message terminates them again before it believes so. Fields
 * that a daemon cannot tell are 0. Arrays of two are by way, index 0 is up (LAN to WAN), 1 is down.
 */
#ifndef SLUICE_CHANNEL_MESSAGES_H
#define SLUICE_CHANNEL_MESSAGES_H

#include <assert.h>
#include <stdint.h>

#define CHANNEL_ABI 2u
#define CHANNEL_NAME_MAX 32 /* with the terminating NUL */
#define CHANNEL_PATH_MAX 256
#define CHANNEL_ERROR_MAX 512	       /* text of a refusal */
#define CHANNEL_PAYLOAD_MAX 4064       /* largest request or record */
#define CHANNEL_UPLOAD_MAX (16u << 20) /* longest policy text that a client may send */

/* The numbers of the messages. 0 is the upload of a text, which server.c handles itself. */
enum channel_message {
	MESSAGE_UPLOAD,
#define MESSAGE(id, name, request, record) MESSAGE_##id,
#include "controlplane/channel/messages.def"
#undef MESSAGE
	MESSAGE_COUNT
};

/* By number. sizes of 0: MESSAGE_UPLOAD, whose request is as long as its piece of text. */
struct message_entry {
	const char *name;
	uint32_t request_bytes, record_bytes;
};
extern const struct message_entry message_table[MESSAGE_COUNT];

/* enum policy_compress in the same order, for clients, which do not see controlplane/policy. */
enum channel_compression { COMPRESSION_OFF, COMPRESSION_ON, COMPRESSION_DRY_RUN };

enum channel_way { CHANNEL_UP, CHANNEL_DOWN, CHANNEL_WAYS };

struct channel_nothing {
	uint64_t zero;
};

/* A list from its `from`th element on (0: all of it). A reply that did not fit one page tells the
 * `from` of the next one. */
struct page_request {
	uint64_t from;
};

/* A list, and the time that its figures are of: the last so long, or since the start. */
enum channel_window {
	CHANNEL_WINDOW_ALL,
	CHANNEL_WINDOW_1S,
	CHANNEL_WINDOW_10S,
	CHANNEL_WINDOW_1M,
	CHANNEL_WINDOW_15M,
	CHANNEL_WINDOWS
};
struct window_request {
	uint64_t from;
	uint64_t window; /* enum channel_window */
};

/* Summary of a histogram. All 0 without samples. */
struct channel_dist {
	uint64_t samples;
	uint64_t min_ns, p50_ns, p90_ns, p99_ns, p999_ns, max_ns;
};

/* status: one record. */
struct status_record {
	char appliance[CHANNEL_NAME_MAX];
	char version[16];
	char policy_file[CHANNEL_PATH_MAX];
	uint64_t uptime_ns;
	uint64_t policy_generation;
	uint64_t bypass;      /* 1: forwarding only */
	uint64_t compression; /* enum channel_compression */
	uint64_t workers;
	uint64_t poll_busy;    /* 1: workers never sleep; 0: adaptive */
	uint64_t hugepages;    /* 1: packet memory is on hugepages */
	uint64_t memory_bytes; /* upper bound of the daemon's packet, flow and queue memory */
	uint64_t buffers, buffers_free;
	uint64_t flows, flows_max;
	uint64_t bridges, classes, classes_max, rules;
	uint64_t peers, peers_up;
	uint64_t rate_bps[CHANNEL_WAYS]; /* frames sent over the last second, by way */
	uint64_t confirm_ns; /* time left until an unconfirmed policy is taken back; 0: confirmed */
	uint64_t clients;    /* sessions on the channel */
	int64_t clock_slew_ppb; /* correction in force between TSC and CLOCK_MONOTONIC */
};

/* links: one record per bridge and way: the port to leave by, and its shaped rate. */
struct link_record {
	char bridge[CHANNEL_NAME_MAX];
	char port[CHANNEL_NAME_MAX]; /* LAN, WAN or device name of the leaving port */
	uint64_t way;
	uint64_t up;		   /* 1: the leaving port has link */
	uint64_t shaped_bps;	   /* 0: not shaped */
	uint64_t tracked_bps;	   /* the rate that tracking has in force; 0: not tracked */
	uint64_t tracked_queue_ns; /* queueing delay towards the peers; of no use if not tracked */
	int64_t overhead_bytes;	   /* charged per packet on top of the frame */
	uint64_t frame_min_bytes;  /* shorter frames are charged as this */
	uint64_t sent_packets, sent_bytes;
	uint64_t rate_bps; /* over the last second, overhead included */
	uint64_t backlog_packets, backlog_bytes;
};

/* classes: of each bridge and way the tree of classes, each group before what is in it. */
enum classes_select {
	CLASSES_ALL,  /* `name` and what is in it; "": all */
	CLASSES_BUSY, /* only classes that sent lately or have something waiting, no groups */
	CLASSES_NAMES /* once, without counters: those whose names begin with `name` */
};

struct classes_request {
	uint64_t from;
	uint64_t select; /* enum classes_select */
	char name[CHANNEL_NAME_MAX];
};

/* enum policy_aqm, policy_per and policy_police in the same order, for clients. */
enum channel_aqm { CHANNEL_AQM_NONE, CHANNEL_AQM_CODEL, CHANNEL_AQM_PIE, CHANNEL_AQM_DUALPI2 };
enum channel_per {
	CHANNEL_PER_FLOW,
	CHANNEL_PER_SRC,
	CHANNEL_PER_DST,
	CHANNEL_PER_LAN,
	CHANNEL_PER_WAN
};
enum channel_police {
	CHANNEL_POLICE_NONE,
	CHANNEL_POLICE_SRTCM,
	CHANNEL_POLICE_TRTCM,
	CHANNEL_POLICE_TRTCM_4115
};
/* What the policer does to a colour: 0..63 is the DSCP that it gets. */
#define CHANNEL_POLICE_PASS 64
#define CHANNEL_POLICE_DROP 65

/*
 * A group carries nothing by itself: its counters are those of a time when it was no group (mostly
 * 0), and who shows it adds up the classes behind it that are deeper. Its distributions likewise.
 */
struct class_record {
	char name[CHANNEL_NAME_MAX];
	char parent[CHANNEL_NAME_MAX]; /* the group that it is in; "": the link itself */
	char bridge[CHANNEL_NAME_MAX];
	uint64_t way;
	uint64_t is_group;
	uint64_t depth; /* groups above it */
	uint64_t priority, weight;
	uint64_t assured_bps,
		ceil_bps;	/* of this bridge and way; 0: none assured; the link's rate */
	uint64_t flow_rate_bps; /* of each flow by itself, or see per; 0: no limit */
	uint64_t sent_packets, sent_bytes; /* bytes as the hosts see them */
	uint64_t wire_bytes;		   /* what really crossed the WAN */
	uint64_t charged_bytes;		   /* to the buckets, with overhead */
	uint64_t borrowed_bytes;	   /* part of them: sent above the assured rate */
	uint64_t rate_bps, borrowed_bps;   /* over the last second, as charged to the buckets */
	uint64_t backlog_packets, backlog_bytes, backlog_flows;
	uint64_t
		backlog_age_ns; /* since the packet that was sent last had come; 0: nothing waits */
	uint64_t dropped_tail, dropped_time, dropped_aqm, dropped_memory, dropped_police;
	uint64_t marked;   /* ECN: congestion experienced instead of a drop, or by L4S */
	uint64_t remarked; /* got another DSCP by the policer */
	uint64_t colour[3];
	/* Of this way, over all bridges; all 0 where `measured` is 0. */
	uint64_t measured;		      /* 1: the class is one of appliance.distributions */
	struct channel_dist queue_delay;      /* waiting in shape/ */
	struct channel_dist box_time;	      /* from rx to tx */
	struct channel_dist rtt_lan, rtt_wan; /* of both ways: box to the host and back */
	/* As configured. */
	uint64_t burst_bytes, burst_ns; /* of both one is 0, or both for the default */
	uint64_t flow_burst_bytes, flow_burst_ns;
	uint64_t queue_limit_bytes, queue_limit_ns; /* 0: no limit in time */
	uint64_t aqm;				    /* enum channel_aqm */
	uint64_t aqm_target_ns;			    /* 0: the RFC's */
	uint64_t ecn;				    /* 1: AQM marks what can be marked */
	uint64_t per;				    /* enum channel_per */
	uint64_t per_bits4, per_bits6; /* network that shares a bucket; 0: the address itself */
	uint64_t police;	       /* enum channel_police */
	uint64_t police_colour_aware;
	uint64_t police_cir_bps, police_cbs_bytes;
	uint64_t police_eir_bps; /* RFC 2698: PIR */
	uint64_t police_ebs_bytes;
	uint64_t police_action[3]; /* green, yellow, red: DSCP, CHANNEL_POLICE_PASS or _DROP */
	uint64_t compress;
};

/* shaper: one record per worker, bridge and way, in the order of bridges, ways and workers. */
struct shaper_record {
	char bridge[CHANNEL_NAME_MAX];
	uint64_t way;
	uint64_t worker;
	uint64_t link_bps;	      /* in force now; 0: not shaped */
	uint64_t link_quantum_bytes;  /* of a lease of the link's rate */
	uint64_t memory_bytes;	      /* of this worker */
	uint64_t shared_memory_bytes; /* of all workers together: the same in the records of each */
	uint64_t classes, classes_max, groups;
	uint64_t queues, queues_max; /* flows and hosts that wait */
	uint64_t hosts, hosts_max;   /* with buckets of their own, of all workers */
	uint64_t wheel_entries, wheel_inserts, wheel_late_max_ns;
	uint64_t link_leases; /* taken so far from the bucket that all workers share */
};

/* flows: the largest `top` flows by `by`, in descending order. */
enum flows_by { FLOWS_BY_RATE, FLOWS_BY_RTT, FLOWS_BY_LOSS, FLOWS_BY_SAVED, FLOWS_BY_BYTES };

struct flows_request {
	uint64_t from;			   /* position in the sorted list */
	uint64_t top;			   /* 0: all */
	uint64_t by;			   /* enum flows_by */
	char class_name[CHANNEL_NAME_MAX]; /* "": all classes */
};

/* enum measure_limit, and the MEASURE_OPTION_* bits of the dataplane, for clients. */
enum channel_limit { CHANNEL_LIMIT_NETWORK, CHANNEL_LIMIT_RECEIVER, CHANNEL_LIMIT_SENDER };
#define CHANNEL_LIMITS 3
#define CHANNEL_TCP_SCALE 0x01u
#define CHANNEL_TCP_SACK 0x02u
#define CHANNEL_TCP_TIMESTAMPS 0x04u
#define CHANNEL_TCP_ECN 0x08u
#define CHANNEL_TCP_KNOWN 0x80u /* its SYN was seen */

/* What one TCP connection shows of itself, by way of the data. */
struct flow_tcp_record {
	uint64_t connect_ns; /* SYN to the handshake's last ACK; 0: not seen */
	uint64_t syn_retries;
	uint64_t rtt_lan_samples, rtt_wan_samples;
	uint64_t lost_before[CHANNEL_WAYS]; /* retransmissions: the original never got here, */
	uint64_t lost_after[CHANNEL_WAYS];  /* it had passed, */
	uint64_t needless[CHANNEL_WAYS];    /* or had been acknowledged; */
	uint64_t
		timeouts[CHANNEL_WAYS]; /* those of them that a timer caused; the others are fast */
	uint64_t dsacks[CHANNEL_WAYS];	/* came twice, says the receiver */
	uint64_t duplicates[CHANNEL_WAYS]; /* copies that the network made */
	uint64_t reordered[CHANNEL_WAYS];
	uint64_t reorder_max_bytes[CHANNEL_WAYS];
	uint64_t flight_bytes[CHANNEL_WAYS], flight_max_bytes[CHANNEL_WAYS]; /* unacknowledged */
	uint64_t window_bytes[CHANNEL_WAYS]; /* that the receiver offers; 0: none, or not known */
	uint64_t bdp_bytes[CHANNEL_WAYS];    /* recent rate times round-trip time */
	uint64_t zero_windows[CHANNEL_WAYS]; /* times that the receiver closed it */
	uint64_t limited_ns[CHANNEL_WAYS][CHANNEL_LIMITS]; /* what the transfer waited for */
	uint64_t ce[CHANNEL_WAYS], ece[CHANNEL_WAYS], cwr[CHANNEL_WAYS]; /* ECN: marks, answers */
	uint64_t mss[CHANNEL_WAYS], options[CHANNEL_WAYS]; /* that the sender's SYN named */
};

/* Addresses are IPv6, or IPv4 as ::ffff:a.b.c.d; src opened the flow, as far as can be told. */
struct flow_record {
	uint8_t src[16], dst[16];
	uint32_t sport, dport;	/* host order */
	uint32_t proto, family; /* IP protocol number; 4 or 6, 0: not IP (everything else) */
	uint32_t vlan;		/* VLAN ID of the outermost tag; 0: untagged */
	uint32_t worker;
	char bridge[CHANNEL_NAME_MAX];
	char class_name[CHANNEL_NAME_MAX];
	char peer[CHANNEL_NAME_MAX];			     /* "": not through a peer */
	uint64_t opened_way;				     /* way of its first packet */
	uint64_t packets[CHANNEL_WAYS], bytes[CHANNEL_WAYS]; /* as the hosts sent them */
	uint64_t rate_bps[CHANNEL_WAYS];		     /* recent */
	uint64_t wire_bytes[CHANNEL_WAYS];
	uint64_t saved_bytes;
	uint64_t rtt_lan_min_ns, rtt_lan_last_ns; /* box to the LAN host and back; 0: not known */
	uint64_t rtt_wan_min_ns, rtt_wan_last_ns;
	uint64_t retransmits[CHANNEL_WAYS];
	struct flow_tcp_record tcp; /* all 0 where proto is not TCP */
	uint64_t age_ns, idle_ns;
	uint64_t compressing; /* 1: tried on every packet; 0: off, backing off or no peer */
};

/* peers: one record per configured peer. */
enum channel_peer_state { CHANNEL_PEER_DOWN, CHANNEL_PEER_CONNECTING, CHANNEL_PEER_UP };
enum channel_framing { CHANNEL_FRAMING_TUNNEL, CHANNEL_FRAMING_TRANSPARENT };

struct peer_record {
	char name[CHANNEL_NAME_MAX];
	char bridge[CHANNEL_NAME_MAX];
	uint8_t address[16];
	uint64_t family;
	uint64_t state;		    /* enum channel_peer_state */
	uint64_t since_realtime_ns; /* when it took this state */
	uint64_t session;	    /* counts up with every new session */
	char error[160]; /* why the last session ended or none comes about; "": no trouble */
	char codec[CHANNEL_NAME_MAX];
	uint64_t framing;		   /* enum channel_framing: what our data goes in now */
	char encryption[CHANNEL_NAME_MAX]; /* the cipher; "none" */
	uint64_t rtt_ns;		   /* of the hello */
	uint64_t path_mtu, peer_path_mtu;  /* ours; as the peer says */
	/* What we sent and received on the link. */
	uint64_t tx_frames, tx_bytes, rx_frames, rx_bytes;
	/* Frames from the peer, counted here by their sequence numbers. */
	uint64_t rx_lost, rx_duplicate, rx_reordered, rx_bad;
	uint64_t rx_forged; /* of rx_bad: encrypted, and their tag did not verify */
	/* Our frames, as the peer counted and reported them. */
	uint64_t tx_lost, tx_duplicate, tx_reordered;
	uint64_t peer_rx_frames;	     /* frames that the peer says it has received from us */
	uint64_t jitter_ns;		     /* of frames from the peer, RFC 3550 */
	struct channel_dist delay_variation; /* above the shortest delay, frames from the peer */
};

/* paths: one record per configured peer: what its link frames in data lanes (not its hellos) tell
 * of the way from it to here. Distributions are of the window, all else is since the start. */
#define CHANNEL_N_REORDERING 4
#define CHANNEL_SIZES 8 /* 1, 2, 3..4, 5..8, ... 33..64, more */
struct path_record {
	char name[CHANNEL_NAME_MAX];
	uint64_t window_ns; /* that the distributions and rates cover; 0: none yet */
	uint64_t received, lost, duplicate, reordered;
	uint64_t late; /* of received: came too late to be told from a duplicate */
	uint64_t loss_periods, loss_longest; /* RFC 3357 */
	uint64_t loss_noticeable;	     /* lost within 99 packets of another loss */
	uint64_t loss_runs[CHANNEL_SIZES];   /* loss periods by their length */
	uint64_t extents[CHANNEL_SIZES];     /* reordered packets by their extent, RFC 4737 */
	uint64_t extent_unknown, extent_max;
	uint64_t n_reordered[CHANNEL_N_REORDERING]; /* behind n and more higher ones, RFC 4737 */
	uint64_t late_mean_ns, late_max_ns;  /* reordered packets, behind the one that overtook */
	uint64_t has_delay;		     /* 1: the next two mean something */
	int64_t delay_ns;		     /* least one-way delay of the last 10 to 20 s */
	uint64_t delay_uncertainty_ns;	     /* how far that may be off either way */
	uint64_t rx_bps, tx_bps;	     /* link frames, over the window */
	uint64_t unsettled;		     /* intervals whose loss could not be told by class */
	struct channel_dist delay_variation; /* PDV: above the shortest delay of late */
	struct channel_dist ipdv;	     /* change of delay from packet to packet, its size */
};

/* peer_classes: for each peer one record per class that it sent link frames of. */
struct peer_class_record {
	char peer[CHANNEL_NAME_MAX];
	char class_name[CHANNEL_NAME_MAX]; /* as the peer calls it; "": those without a slot */
	uint64_t received, bytes, duplicate, reordered; /* since the start */
	uint64_t sent,
		lost; /* of the time that both ends know of, some seconds ago at the latest */
	struct channel_dist delay_variation;
};

/* rtt: one record per class (all bridges). */
struct rtt_record {
	char class_name[CHANNEL_NAME_MAX];
	uint64_t window_ns;		   /* that it covers; 0: nothing, there are no figures */
	struct channel_dist lan;	   /* box to the LAN host and back */
	struct channel_dist wan;	   /* box to the WAN host and back */
	struct channel_dist connect;	   /* SYN to the handshake's last ACK, seen at the box */
	uint64_t lan_delayed, wan_delayed; /* samples that the host seems to have waited with */
	/* The same halves, [0] lan and [1] wan, by what is not TCP. */
	struct channel_dist icmp[2]; /* echo */
	struct channel_dist dns[2];  /* queries over UDP */
	struct channel_dist quic[2]; /* spin bit */
};

/* transactions: one record per class (all bridges), then one with class_name "" for all, also of
 * classes that are gone. Times are taken at the box. */
struct transactions_record {
	char class_name[CHANNEL_NAME_MAX];
	/* TCP in general. Rates are of the last full second, in thousandths; UINT64_MAX: not known.
	 */
	uint64_t connections, connections_failed, connections_per_s_1000;
	uint64_t open; /* connections open now, or at the end of a capture */
	uint64_t used; /* connections on which there was a request */
	uint64_t requests, requests_per_s_1000, responses;
	uint64_t aborted; /* the connection ended before the response began */
	uint64_t request_bytes, response_bytes;
	struct channel_dist connect;	/* first SYN to the handshake's last ACK */
	struct channel_dist first_byte; /* end of the request to the response's first byte */
	struct channel_dist whole;	/* begin of the request to the response's last byte */
	/* HTTP/1, also among those above; status codes by their first digit, [0]: not known. */
	uint64_t http_requests, http_status[6];
	struct channel_dist http_first_byte, http_whole;
	/* TLS handshakes: begun, complete, refused by an alert. */
	uint64_t tls_hellos, tls_handshakes, tls_alerts;
	struct channel_dist tls;
	/* DNS, of both halves together; sent again and timed out are of UDP only. */
	uint64_t dns_queries, dns_again, dns_answers, dns_servfail, dns_nxdomain, dns_timeouts;
	uint64_t dns_tcp_queries; /* among dns_queries */
	struct channel_dist dns;
};

/* loss: one record per class and way of the data, then one per peer with class_name "" . */
struct loss_record {
	char class_name[CHANNEL_NAME_MAX];
	char peer[CHANNEL_NAME_MAX]; /* set in a peer's record */
	uint64_t window_ns;	     /* that it covers; 0: nothing, there are no figures */
	uint64_t way;		     /* of the data; down: frames from the peer */
	uint64_t packets;	     /* TCP packets with data; link frames expected */
	uint64_t
		lost_before; /* retransmissions of data that the box had not seen: lost before it */
	uint64_t lost_after; /* retransmissions of data that the box had passed on */
	uint64_t reordered, duplicate;
	/* Of TCP only: retransmissions by what caused them, packets that the receiver says it has
	 * got twice (DSACK), copies that the network made, marks of congestion. */
	uint64_t fast, timeout, dsacks, copies, ce;
	uint64_t reorder_max_bytes; /* most that overtook a packet, since the start */
	uint64_t zero_windows;
	uint64_t limited_ns[CHANNEL_LIMITS]; /* what the transfers waited for */
	/* Of the class, the same in both ways. */
	uint64_t connections, syn_retries, refused, timed_out, resets;
};

/* box: one record per class and way (all bridges). What the stages took (enum stage) is since the
 * start, of timed bursts that were of the one class and way alone. */
#define CHANNEL_STAGES 16 /* room for them */
struct box_record {
	char class_name[CHANNEL_NAME_MAX];
	uint64_t way;
	uint64_t window_ns;	   /* that it covers; 0: nothing, there are no figures */
	struct channel_dist box;   /* from rx to tx */
	struct channel_dist queue; /* part of it: waiting in shape/ */
	struct {
		uint64_t cycles, packets;
	} stage[CHANNEL_STAGES];
};

/* history: the rows of one subject, 10 s each, oldest first. */
enum channel_subject { CHANNEL_APPLIANCE, CHANNEL_LINK, CHANNEL_CLASS, CHANNEL_PEER };
struct history_request {
	uint64_t from;	  /* step of the first row; 0: as span_ns says */
	uint64_t subject; /* enum channel_subject */
	char name[CHANNEL_NAME_MAX];
	uint64_t span_ns; /* so far back */
};

enum channel_history {
	CHANNEL_RATE_UP, /* bit/s; of a peer: link frames to and from it */
	CHANNEL_RATE_DOWN,
	CHANNEL_RTT_LAN_P50, /* ns */
	CHANNEL_RTT_LAN_P99,
	CHANNEL_RTT_WAN_P50, /* of a peer: of its hellos */
	CHANNEL_RTT_WAN_P99,
	CHANNEL_LOSS_UP, /* share: of TCP's packets with data; of a peer, exact */
	CHANNEL_LOSS_DOWN,
	CHANNEL_QUEUE_UP_P99, /* ns, in the box */
	CHANNEL_QUEUE_DOWN_P99,
	CHANNEL_DELAY,	       /* ns, one way, from a peer */
	CHANNEL_VARIATION_P99, /* ns, of that delay */
	CHANNEL_DROPS,	       /* packets in the row's time */
	CHANNEL_BUSY,	       /* share of the workers' time */
	CHANNEL_HISTORY_FIGURES
};

struct history_record {
	uint64_t end_realtime_ns;
	uint64_t known; /* bit (enum channel_history): the figure means something */
	double figure[CHANNEL_HISTORY_FIGURES];
};

/* compression: one record per class, then one with class_name "" for all. */
struct compression_record {
	char class_name[CHANNEL_NAME_MAX];
	uint64_t mode;		 /* enum channel_compression */
	uint64_t original_bytes; /* of everything sent to the WAN; packets as the hosts sent them */
	uint64_t wire_bytes;
	uint64_t packets; /* sent to the WAN */
	uint64_t packets_compressed;
	uint64_t compressed_in_bytes, compressed_out_bytes; /* payloads of those */
	uint64_t dry_saved_bytes; /* dry-run: what would have been saved */
	/* Not compressed, by the reason's name in reasons.def. */
	uint64_t no_peer, no_fit, no_gain, small, backoff, unproven, busy, retransmit, low_ttl,
		form;
	uint64_t off;
	uint64_t codec_cycles; /* TSC cycles for compressed_in_bytes and what did not pay */
	uint64_t codec_bytes;  /* bytes that the codec was tried on */
	uint64_t packed_packets, packed_frames; /* of the compressed: several in one link frame */
};

/* codecs: one record per class and codec that was tried on packets of it. */
struct codec_record {
	char class_name[CHANNEL_NAME_MAX];
	char codec[CHANNEL_NAME_MAX];
	uint64_t packets;	      /* that it made smaller */
	uint64_t in_bytes, out_bytes; /* frames of those before, and their link frames */
	uint64_t tried_bytes;	      /* of all frames that it was tried on */
	uint64_t cycles;	      /* TSC, for those */
};

/* governors: one record per worker. */
struct governor_record {
	uint64_t worker;
	uint64_t step;	       /* 0: as configured, 1 and 2: faster, 3: does not compress */
	uint64_t ups, downs;   /* steps taken: to less work, and back */
	uint64_t busy_packets; /* passed uncompressed meanwhile */
};

/* stores: one record per peer that has memory for repeated data, last that of dry runs. */
struct store_record {
	char peer[CHANNEL_NAME_MAX];
	uint64_t memory_bytes;	 /* of all workers, both ways */
	uint64_t slots;		 /* packets that are kept to be referred to, of all lanes */
	uint64_t oldest_ns;	 /* age of the oldest of them */
	uint64_t hits, misses;	 /* packets looked up */
	uint64_t across;	 /* of the hits, with pieces that another lane keeps */
	uint64_t hit_bytes;	 /* of pieces sent as references */
	uint64_t saved_bytes;	 /* frames before, less their link frames */
	uint64_t kept;		 /* packets, over all sessions */
	uint64_t unacknowledged; /* of these, that the peer has not said it keeps */
	uint64_t refused;	 /* references that the peer could not follow */
	uint64_t voided;	 /* times a lane began anew for that */
	uint64_t continued, rx_continued; /* lanes that a session went on with: sent, received */
	uint64_t rx_kept, rx_expanded, rx_missing, acks_sent;
	/* Acknowledged history, out of the same memory. */
	uint64_t history_bytes;		      /* of it */
	uint64_t histories;		      /* flows that can have one at a time, of all lanes */
	uint64_t history_flows;		      /* that were given one, over all sessions */
	uint64_t epochs_offered, epochs_made; /* made: both ends have the same */
	uint64_t epochs_lost,
		epochs_refused; /* no answer in time; the peer had it not or another */
	uint64_t epoch_packets; /* sent against one, */
	uint64_t epoch_shared;	/* against that of their flow's service */
	uint64_t rx_epochs, rx_epochs_missing; /* made; frames whose epoch was not here */
	uint64_t rx_epoch_packets;	       /* that came against one */
};

/* policy: one record. */
struct policy_record {
	char file[CHANNEL_PATH_MAX];
	uint64_t generation;
	uint64_t applied_realtime_ns;
	uint64_t classes, rules, bridges, peers;
	uint64_t text_bytes;	      /* what policy_text will give */
	uint64_t confirm_ns;	      /* time left until it is taken back; 0: confirmed */
	uint64_t previous_generation; /* what a rollback returns to; 0: nothing */
};

/* policy_text: the policy in force as configuration text; `from` counts bytes. */
struct text_record {
	uint32_t len;
	char bytes[1012];
};

/* policy_apply: takes the text that the same session uploaded before. Answers with the problems
 * found; those that did not fit one page are asked for by check_only and `from`. */
struct policy_apply_request {
	uint64_t from;
	uint64_t check_only;	     /* 1: nothing is changed */
	uint64_t confirm_seconds;    /* taken back unless confirmed within; 0: stays */
	char file[CHANNEL_PATH_MAX]; /* what messages call the text; never opened */
};

struct problem_record {
	uint64_t line;
	uint64_t is_warning;
	char option[64];
	char text[200];
};

/* set_class and set_link: options by their names in the configuration file, which are set one
 * after the other. A value is written as it is there, without quotes. */
#define SETTINGS_MAX 16
struct setting {
	char option[CHANNEL_NAME_MAX];
	char value[96];
};

struct set_class_request {
	char name[CHANNEL_NAME_MAX];
	uint64_t count;
	struct setting settings[SETTINGS_MAX];
};

struct set_link_request {
	char bridge[CHANNEL_NAME_MAX];
	uint64_t count;
	struct setting settings[SETTINGS_MAX];
};

struct set_compression_request {
	uint64_t mode; /* enum channel_compression */
};

struct set_bypass_request {
	uint64_t on;
};

/* explain: what happens to the first packet of such a flow, opened by src. One record. */
struct explain_request {
	uint8_t src[16], dst[16]; /* as in flow_record */
	uint32_t sport, dport, proto, family;
};

struct explain_record {
	char bridge[CHANNEL_NAME_MAX];
	uint64_t opened_way; /* enum channel_way that the rules were asked for */
	char class_name[CHANNEL_NAME_MAX];
	char path[320];	    /* "link b0 > office > voice" */
	uint64_t rule_line; /* line of the matching rule; 0: no rule, so class default */
	char rule[160];	    /* the rule in words */
	uint64_t worker;
	uint64_t priority, weight, assured_bps, ceil_bps, flow_rate_bps; /* in the way it opened */
	char bucket[96]; /* whose rate flow_rate_bps is, in words: this flow's, or a host's */
	char peer[CHANNEL_NAME_MAX]; /* "": goes out plainly */
	uint64_t peer_up;
	char compression[96]; /* what compression does with it, and why, in words */
	uint64_t known;	      /* 1: the flow is in the table now, and `flow` is valid */
	struct flow_record flow;
};

/* What a STAMP session has seen in some time. */
struct stamp_figures {
	uint64_t sent, received, lost, late, duplicate, reordered;
	int64_t lost_up, lost_down; /* of no use unless `attributed` */
	struct channel_dist rtt;    /* without the time in the reflector */
	/* One-way delay above the least of the last ten to twenty seconds (RFC 5481, PDV). */
	struct channel_dist up_variation, down_variation;
};

/* stamp: one record per peer that test packets are sent to, then one per bridge with a reflector,
 * which has peer "". */
struct stamp_record {
	char peer[CHANNEL_NAME_MAX];
	char bridge[CHANNEL_NAME_MAX];
	uint8_t address[16];
	uint64_t family, port;
	uint64_t authenticated; /* 1: with a key */
	/* Of a session. */
	uint64_t interval_ns, dscp, ssid;
	uint64_t attributed; /* 1: the reflector lets losses be told apart by way */
	struct stamp_figures minute, total;
	uint64_t ttl_up, ttl_down; /* that the last packets arrived with, of 255; 0: none has */
	uint64_t synchronized; /* 1: both clocks say so, and the one-way delays mean something */
	int64_t delay_up_ns, delay_down_ns;
	uint64_t clock_error_ns;		   /* of both clocks together, as they say */
	uint64_t has_dscp_received, dscp_received; /* our packets' DSCP at the reflector */
	/* Of a reflector. */
	uint64_t reflector; /* 1: answers peers, 2: answers everybody */
	uint64_t sessions;  /* that it remembers */
	uint64_t answered;
	uint64_t refused; /* not from a peer, or from a reflector's port */
	uint64_t bad;	  /* too short, or not authentic */
	uint64_t limited; /* beyond stamp_rate */
};

/* ping, trace and speedtest: a run belongs to the client that started it, one of a kind. The daemon
 * answers a start at once; the client asks for the results so far (RUN_POLL) until they are done,
 * at least every few seconds: a run that nobody asks for ends. */
enum channel_run { RUN_START, RUN_POLL, RUN_STOP };

enum channel_ping_method { PING_AUTO, PING_STAMP, PING_ICMP };

/* ping: POLL answers with one record; replies[] are those from number `from` on. */
struct ping_request {
	uint64_t from;
	uint64_t action; /* enum channel_run; the rest is of RUN_START */
	uint64_t method; /* enum channel_ping_method */
	uint64_t count, interval_ns;
	uint64_t dscp;
	uint64_t size;	 /* of the IP packets, at least; 0: as small as they are */
	char target[64]; /* a peer's name, or an address */
};

#define PING_REPLIES 64
struct ping_record {
	char peer[CHANNEL_NAME_MAX]; /* "": an address */
	uint8_t address[16];
	uint64_t family;
	uint64_t method; /* PING_AUTO: still being found out */
	uint64_t authenticated;
	uint64_t size; /* of the IP packets */
	uint64_t done;
	uint64_t attributed; /* 1: lost_up and lost_down are known */
	struct stamp_figures figures;
	char trouble[160]; /* what is wrong, in words; "": nothing */
	uint64_t next;	   /* number of the first reply that is not in here */
	uint64_t replies;  /* in here: */
	struct {
		uint32_t number;
		uint32_t ttl;	 /* of the answer; 0: lost */
		uint64_t rtt_ns; /* 0: lost */
	} reply[PING_REPLIES];
};

/* trace: POLL answers with one record per hop, or one with hop 0 as long as there is none. */
struct trace_request {
	uint64_t action; /* enum channel_run; the rest is of RUN_START */
	uint64_t rounds, interval_ns;
	uint64_t max_hops;
	uint64_t dscp;
	uint64_t size;
	char target[64];
};

#define TRACE_ADDRESSES 4
struct trace_record {
	char peer[CHANNEL_NAME_MAX];
	uint8_t target[16];
	uint64_t family;
	uint64_t done, rounds; /* rounds begun */
	uint64_t reached;      /* 1: the target has answered; it is the last hop */
	char trouble[160];
	uint64_t hop;	    /* TTL of the probes */
	uint64_t addresses; /* that answered; the newest first, TRACE_ADDRESSES at most are told */
	uint8_t address[TRACE_ADDRESSES][16];
	uint64_t sent, received; /* probes that were answered or given up */
	struct channel_dist rtt;
	uint64_t last_ns;
};

/* speedtest: POLL answers with one record. */
struct speedtest_request {
	uint64_t action; /* enum channel_run; the rest is of RUN_START */
	uint64_t duration_ns, bytes_max;
	uint64_t rate_max_bps; /* 0: what the link leaves */
	uint64_t dscp;
	char peer[CHANNEL_NAME_MAX];
};

enum channel_speed_end {
	SPEED_RUNNING,
	SPEED_DURATION, /* ended because its time was over */
	SPEED_BYTES,	/* its bytes were spent */
	SPEED_FAILED,	/* see trouble */
};

struct speedtest_record {
	char peer[CHANNEL_NAME_MAX];
	uint64_t end; /* enum channel_speed_end */
	char trouble[160];
	uint64_t elapsed_ns;
	uint64_t sent_packets, sent_bytes, received_packets, received_bytes; /* of IP packets */
	uint64_t packet_bytes;						     /* IP packet */
	uint64_t offered_bps;	   /* of the last steps: IP bits offered */
	uint64_t rate_bps;	   /* and received: the result so far */
	uint64_t limit_bps;	   /* most that was offered at any time: the test's own limit */
	uint64_t saturated;	   /* 1: the path carried less than was offered */
	uint64_t measured_ns;	   /* time that rate_bps is taken over */
	struct channel_dist delay; /* one-way delay of the test's packets above the least */
	uint64_t dscp;
};

/* Every reply ends with one of these. */
struct channel_result {
	int32_t error;	  /* 0 or a negative errno */
	uint32_t records; /* sent before this */
	uint64_t next;	  /* `from` of the next page, 0: this was the last */
	uint64_t total;	  /* length of the whole list if known, else 0 */
	/* After a change: the policy in force, on how many workers, and how long it took. */
	uint64_t generation;
	uint64_t workers, workers_total;
	uint64_t took_ns;
	char text[CHANNEL_ERROR_MAX]; /* what was wrong and what would be right; or a remark */
};

/* Upload of a text: pieces in order from offset 0, one text per session, a new one replaces it. */
struct upload_request {
	uint32_t offset, total;
	uint32_t len;
	char bytes[4052];
};

#define MESSAGE(id, name, request, record)                                                         \
	static_assert(sizeof(struct request) % 8 == 0, "no padding between compilers");            \
	static_assert(sizeof(struct request) <= CHANNEL_PAYLOAD_MAX, "fits a frame");              \
	static_assert(sizeof(struct record) <= CHANNEL_PAYLOAD_MAX, "fits a frame");
#include "controlplane/channel/messages.def"
#undef MESSAGE
static_assert(sizeof(struct upload_request) == CHANNEL_PAYLOAD_MAX, "one piece fills a frame");

#endif
