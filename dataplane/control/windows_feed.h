/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the daemon keeps windows of (windows.h): once a second the workers' histograms and counters
 * of the first classes, of the peers, of the links and of the appliance. show*.c answers from it,
 * history_feed.c writes its rows from it. Control thread only.
 */
#ifndef SLUICE_CONTROL_WINDOWS_FEED_H
#define SLUICE_CONTROL_WINDOWS_FEED_H

#include "dataplane/control/windows.h"
#include "dataplane/daemon.h"

/* Classes with windows: the first of those with distributions (appliance.distributions). */
#define FEED_CLASSES_MAX 64u

struct control;
struct feed;

enum feed_class_histogram {
	FEED_RTT_LAN,
	FEED_RTT_WAN,
	FEED_CONNECT,
	FEED_BOX,		   /* + way */
	FEED_QUEUE = FEED_BOX + 2, /* + way */
	FEED_CLASS_HISTOGRAMS = FEED_QUEUE + 2
};

/* Each + way; what is measured of TCP by the way of the data. */
enum feed_class_counter {
	FEED_BYTES,
	FEED_DROPS = FEED_BYTES + 2,
	FEED_DATA = FEED_DROPS + 2,
	FEED_LOST_BEFORE = FEED_DATA + 2,
	FEED_LOST_AFTER = FEED_LOST_BEFORE + 2,
	FEED_NEEDLESS = FEED_LOST_AFTER + 2,
	FEED_REORDERED = FEED_NEEDLESS + 2,
	FEED_FAST = FEED_REORDERED + 2,
	FEED_TIMEOUT = FEED_FAST + 2,
	FEED_DSACKS = FEED_TIMEOUT + 2,
	FEED_COPIES = FEED_DSACKS + 2,
	FEED_CE = FEED_COPIES + 2,
	FEED_ZERO_WINDOWS = FEED_CE + 2,	  /* of who receives the data */
	FEED_RTT_DELAYED = FEED_ZERO_WINDOWS + 2, /* answers from the side that sends this way */
	FEED_LIMITED_NS = FEED_RTT_DELAYED + 2,	  /* + 2 * enum measure_limit */
	FEED_CONNECTIONS =
		FEED_LIMITED_NS + 2 * MEASURE_LIMITS, /* from here on the same in both ways */
	FEED_SYN_RETRIES = FEED_CONNECTIONS + 2,
	FEED_REFUSED = FEED_SYN_RETRIES + 2,
	FEED_TIMED_OUT = FEED_REFUSED + 2,
	FEED_RESETS = FEED_TIMED_OUT + 2,
	FEED_CLASS_COUNTERS = FEED_RESETS + 2
};

enum feed_peer_histogram { FEED_VARIATION, FEED_IPDV, FEED_PEER_HISTOGRAMS };

/* Data lanes from the peer; FEED_PEER_TX*: to it, as it reports (hellos included). */
enum feed_peer_counter {
	FEED_PEER_UNIQUE,
	FEED_PEER_LOST, /* may go down: a window's is negative then */
	FEED_PEER_DUPLICATES,
	FEED_PEER_REORDERED,
	FEED_PEER_RX_BYTES,
	FEED_PEER_TX_BYTES,
	FEED_PEER_TX_RECEIVED,
	FEED_PEER_TX_LOST,
	FEED_PEER_COUNTERS
};

enum feed_link_counter { FEED_LINK_BYTES, FEED_LINK_COUNTERS = FEED_LINK_BYTES + 2 };

enum feed_box_counter { FEED_BUSY_CYCLES, FEED_ALL_DROPS, FEED_BOX_COUNTERS };

/* NULL without memory. */
struct feed *feed_create(const struct daemon *d);
void feed_destroy(struct feed *feed);

/* What feed_create() will take, in bytes. */
uint64_t feed_memory_needed(const struct policy *policy);

/* Sample what is due. About every millisecond; true once a second, when a round is complete. */
bool feed_tick(struct control *c, uint64_t now_ns);

/*
 * Add a window of a class's histogram to *sum: with WINDOW_ALL everything so far. *seconds is what
 * it covers. False: there is no figure. `id` is a class id, way is 0 where there is only one.
 */
bool feed_class(const struct control *c, uint32_t id, enum feed_class_histogram which, unsigned way,
	enum window window, struct histogram *sum, uint32_t *seconds);
uint64_t feed_class_counter(const struct control *c, uint32_t id, enum feed_class_counter which,
	unsigned way, enum window window);
/* measure_lost_of() of the window's counters. */
uint64_t feed_class_lost_after(
	const struct control *c, uint32_t id, unsigned way, enum window window);
bool feed_peer(const struct control *c, unsigned peer, enum feed_peer_histogram which,
	enum window window, struct histogram *sum, uint32_t *seconds);

/* Counters: windows only, not WINDOW_ALL. A count that went back is 0. */
uint64_t feed_peer_counter(
	const struct feed *feed, unsigned peer, enum feed_peer_counter which, enum window window);
uint64_t feed_link_counter(
	const struct feed *feed, unsigned bridge, unsigned way, enum window window);
uint64_t feed_box_counter(const struct feed *feed, enum feed_box_counter which, enum window window);

/* Whether a class has windows. */
bool feed_has_class(const struct feed *feed, uint32_t id);

#endif
