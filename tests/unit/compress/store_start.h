/* SPDX-License-Identifier: BSD-3-Clause */
/* How tests, fuzz targets and benchmarks begin sessions of stores. */
#ifndef SLUICE_TESTS_STORE_START_H
#define SLUICE_TESTS_STORE_START_H

#include "dataplane/compress/store.h"

/* A session before which nothing was sent. */
static inline void start_sender(
	struct store_sender *s, uint32_t session_id, unsigned peer_workers, uint32_t slots_max)
{
	static uint64_t nonce;

	store_sender_start(s, session_id, peer_workers, slots_max, (uint32_t[STORE_WORKERS]){0},
		nonce += 0x9e3779b97f4a7c15);
}

/* What either end has is lost when its next session begins. */
static inline void forget_sender(struct store_sender *s)
{
	s->peer_workers = 0;
}

static inline void forget_receiver(struct store_receiver *r)
{
	r->peer_workers = 0;
}

/* Let a lane begin, which has these numbers at the two ends. Do they go on with what they have? */
static inline bool meet_in(
	struct store_sender *s, unsigned tx_lane, struct store_receiver *r, unsigned rx_lane)
{
	uint8_t question[STORE_BEGIN_BYTES], answer[STORE_BEGUN_BYTES];
	uint64_t continued = s->counts.continued;
	unsigned lane;
	uint32_t len;

	s->ask_ns = s->ask_at = 0;
	while ((len = store_ask(s, question, &lane, 0)) > 0) {
		if (lane != tx_lane)
			continue;
		len = store_begin(r, rx_lane, question, len, answer);
		store_begun(s, lane, answer, len);
	}
	return s->counts.continued > continued;
}

/* The same with the lane that there is between these two. */
static inline bool meet(struct store_sender *s, struct store_receiver *r)
{
	return meet_in(s, r->worker, r, s->worker);
}

#endif
