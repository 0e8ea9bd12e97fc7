/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loss by class between two peers. A lost packet has no class at the receiver, and the receiver's
 * own rules may differ from the sender's: so each frame says its class, as the sender sees it, in
 * four bits of the shim (a slot), and the sender's hello says how the slots are called and how many
 * frames it sent in each of them, interval by interval: the alternate marking of RFC 9341. The
 * marking costs no bit: an interval is 2^20 units of the send time that every frame carries, so
 * both ends agree which interval a frame belongs to, whatever overtakes what. What was sent in an
 * interval less what arrived of it is lost: exact once the interval has settled, with traffic going
 * on. A packet that comes later than that stays lost here (its lane's total takes it back).
 *
 * Sums differ from the lanes' by what is lost in the intervals at a restart of either end, and in
 * those of which no hello got through: they are not judged, because nobody knows both numbers.
 *
 * Threads: struct link_class_tx and link_class_rx are written by one worker and read by the control
 * thread; struct link_class_loss is the control thread's.
 */
#ifndef SLUICE_LINK_CLASS_H
#define SLUICE_LINK_CLASS_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/link/seq.h"

/* Slot 0 is that of all classes that have no slot of their own. */
#define LINK_CLASS_SLOTS 16
#define LINK_CLASS_NAME_MAX 32 /* with the NUL: that of a class */
#define LINK_INTERVAL_SHIFT 20 /* of 1,024 ns: 1.07 s */
#define LINK_INTERVAL_MASK 0xfffu
#define LINK_INTERVALS_SENT 4
#define LINK_INTERVALS 8

/* How long after the end of an interval it settles, and when it is too late for that. */
#define LINK_INTERVAL_SETTLE_NS INT64_C(2500000000)
#define LINK_INTERVAL_LOST_NS INT64_C(5000000000)

/* What one lane sent. */
struct link_class_tx {
	struct {
		uint32_t session_id;
		uint32_t interval; /* counted on beyond the send time's range */
		uint32_t sent[LINK_CLASS_SLOTS];
	} interval[LINK_INTERVALS_SENT]; /* by interval number */
};

/* What one worker received from a peer. Zeroed memory is nothing. */
struct link_class_rx {
	struct link_class_counts {
		uint64_t frames, bytes; /* accepted; link frames as on the wire */
		uint64_t duplicates, reordered;
	} slot[LINK_CLASS_SLOTS]; /* over all sessions */
	struct {
		uint32_t session_id; /* 0: none */
		uint32_t interval;   /* modulo LINK_INTERVAL_MASK + 1 */
		uint64_t begun_ns;   /* when its first frame came */
		uint32_t arrived[LINK_CLASS_SLOTS];
	} interval[LINK_INTERVALS];
};

/* What the hellos said, and what followed from it: of one peer. Zeroed memory is nothing. */
struct link_class_loss {
	char name[LINK_CLASS_SLOTS]
		 [LINK_CLASS_NAME_MAX];	 /* as the peer calls them; "": not heard */
	uint64_t sent[LINK_CLASS_SLOTS]; /* in settled intervals */
	uint64_t lost[LINK_CLASS_SLOTS];
	uint64_t unsettled; /* intervals that could not be judged */
	struct {
		bool is_waiting;
		uint32_t session_id, interval;
		uint64_t heard_ns; /* first */
		uint32_t sent[LINK_CLASS_SLOTS];
	} interval[LINK_INTERVALS];
};

/* The slot of a class, by its id (plan.h): the first ids have one. */
static inline uint8_t link_class_slot(uint32_t class_id)
{
	return class_id < LINK_CLASS_SLOTS - 1 ? (uint8_t)(class_id + 1) : 0;
}

/* The interval of a time on the sender's clock. */
static inline uint32_t link_interval_of(uint64_t now_ns)
{
	return (uint32_t)(now_ns >> (10 + LINK_INTERVAL_SHIFT));
}

/* A frame of the slot is sent. The lane's worker. */
static inline void link_class_sent(
	struct link_class_tx *tx, uint32_t session_id, uint8_t slot, uint64_t now_ns)
{
	uint32_t interval = link_interval_of(now_ns), i = interval % LINK_INTERVALS_SENT;
	uint32_t *sent = tx->interval[i].sent;

	if (__builtin_expect(tx->interval[i].interval != interval ||
				     tx->interval[i].session_id != session_id,
		    0)) {
		for (unsigned s = 0; s < LINK_CLASS_SLOTS; s++)
			__atomic_store_n(&sent[s], 0, __ATOMIC_RELAXED);
		__atomic_store_n(&tx->interval[i].session_id, session_id, __ATOMIC_RELAXED);
		__atomic_store_n(&tx->interval[i].interval, interval, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&sent[slot], sent[slot] + 1, __ATOMIC_RELEASE);
}

/* Add what a lane sent in `interval` of the session to sent[LINK_CLASS_SLOTS]. Control thread. */
void link_class_add_sent(const struct link_class_tx *tx, uint32_t session_id, uint32_t interval,
	uint32_t sent[LINK_CLASS_SLOTS]);

/* A frame of wire_bytes was verified: *arrival of link_decode(). The lane's worker. */
void link_class_arrived(struct link_class_rx *rx, const struct link_arrival *arrival,
	uint32_t wire_bytes, uint64_t now_ns);

/* A hello of the session, heard at now_ns, says what the peer sent in an interval that is over. It
 * says so again in later hellos, the last time is right. Control thread. */
void link_class_announce(struct link_class_loss *loss, uint32_t session_id, uint32_t interval,
	const uint32_t sent[LINK_CLASS_SLOTS], uint64_t now_ns);

/* Judge what has settled at now_ns, from what all `count` workers received. Control thread, several
 * times a second. */
void link_class_settle(struct link_class_loss *loss, const struct link_class_rx *const rx[],
	unsigned count, uint64_t now_ns);

#endif
