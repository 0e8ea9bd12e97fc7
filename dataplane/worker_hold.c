/* SPDX-License-Identifier: BSD-3-Clause */
/* Waiting for company (worker_hold.h). */
#include "dataplane/worker_hold.h"

#include <string.h>

#include "dataplane/worker_encrypt.h"
#include "dataplane/worker_pack.h"

static_assert(LINK_PACK_MAX <= SEALED_MAX, "what waits is a burst at most");

/* How many bytes a packet may wait together with others for; 0: it does not wait. */
static uint32_t bytes_to_wait_for(const struct worker *w, const struct rte_mbuf *m)
{
	const struct pkt *p = pkt_of(m);
	const struct link_path *path;

	if (w->plan->class_pack_wait_ns[p->class_id] == 0 || !worker_is_to_compress(w->plan, p) ||
		worker_is_dry_run(w->plan, p->class_id))
		return 0;
	path = &w->links->path[p->flow->peer - 1u];
	return worker_pack_bytes(w, m, path, &w->classes[p->bridge][WAY_UP][p->class_id]);
}

/* Which packets the packet would leave with. */
static struct worker_hold *hold_of(struct worker *w, const struct rte_mbuf *m)
{
	for (unsigned i = 0; i < HOLDS; i++)
		if (w->hold[i].count > 0 && worker_packs_with(w, w->hold[i].pkts[0], m))
			return &w->hold[i];
	return NULL;
}

static struct worker_hold *free_hold(struct worker *w)
{
	for (unsigned i = 0; i < HOLDS; i++)
		if (w->hold[i].count == 0)
			return &w->hold[i];
	return NULL;
}

/* Where an earlier packet of the flow waits. */
static struct worker_hold *hold_with(struct worker *w, const struct flow *flow)
{
	if (!flow->codec.is_held)
		return NULL;
	for (unsigned i = 0; i < HOLDS; i++)
		for (unsigned j = 0; j < w->hold[i].count; j++)
			if (pkt_of(w->hold[i].pkts[j])->flow == flow)
				return &w->hold[i];
	return NULL;
}

static void find_due(struct worker *w)
{
	w->hold_due_ns = UINT64_MAX;
	for (unsigned i = 0; i < HOLDS; i++)
		if (w->hold[i].count > 0 && w->hold[i].due_ns < w->hold_due_ns)
			w->hold_due_ns = w->hold[i].due_ns;
}

/* A burst of its own: compressing may make more packets of it. */
static void depart(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	struct rte_mbuf *burst[SEALED_MAX];

	memcpy(burst, pkts, n * sizeof(*pkts));
	worker_depart(w, burst, n);
}

static void release(struct worker *w, struct worker_hold *hold)
{
	unsigned n = hold->count;

	hold->count = 0;
	for (unsigned i = 0; i < n; i++)
		pkt_of(hold->pkts[i])->flow->codec.is_held = 0;
	depart(w, hold->pkts, n);
	find_due(w);
}

static uint32_t bytes_of(const struct rte_mbuf *m)
{
	return m->pkt_len + LINK_PACK_LENGTH_BYTES;
}

static bool has_room(const struct worker_hold *hold, const struct rte_mbuf *m, uint32_t most)
{
	return hold->count == 0 ||
	       (hold->count < LINK_PACK_MAX && hold->bytes + bytes_of(m) <= most);
}

static void add(struct worker *w, struct worker_hold *hold, struct rte_mbuf *m)
{
	if (hold->count == 0) {
		hold->bytes = 0;
		hold->due_ns = w->now_ns + w->plan->class_pack_wait_ns[pkt_of(m)->class_id];
		if (hold->due_ns < w->hold_due_ns)
			w->hold_due_ns = hold->due_ns;
	}
	hold->pkts[hold->count++] = m;
	hold->bytes += bytes_of(m);
	pkt_of(m)->flow->codec.is_held = 1;
}

/* What is held leaves, behind what came before it: of its flows there may be others among these. */
static void flush(struct worker *w, struct worker_hold *hold, struct rte_mbuf **pkts, unsigned *n)
{
	depart(w, pkts, *n);
	*n = 0;
	release(w, hold);
}

unsigned worker_hold(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	unsigned kept = 0;

	if (likely(!w->plan->pack_waits))
		return n;
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];
		bool is_up = pkt_of(m)->way == WAY_UP;
		uint32_t most = is_up ? bytes_to_wait_for(w, m) : 0;
		struct worker_hold *hold = is_up ? hold_with(w, pkt_of(m)->flow) : NULL;

		/* Behind an earlier one of its flow, or with those like it, or in front. */
		if (most > 0 && hold == NULL && (hold = hold_of(w, m)) == NULL)
			hold = free_hold(w);
		if (most == 0 || hold == NULL ||
			(hold->count > 0 && !worker_packs_with(w, hold->pkts[0], m))) {
			if (hold != NULL)
				flush(w, hold, pkts, &kept);
			pkts[kept++] = m;
			continue;
		}
		if (!has_room(hold, m, most))
			flush(w, hold, pkts, &kept);
		add(w, hold, m);
	}
	return kept;
}

unsigned worker_release(struct worker *w, uint64_t now_ns)
{
	unsigned released = 0;

	if (likely(w->hold_due_ns > now_ns))
		return 0;
	for (unsigned i = 0; i < HOLDS; i++) {
		if (w->hold[i].count == 0 || w->hold[i].due_ns > now_ns)
			continue;
		released += w->hold[i].count;
		release(w, &w->hold[i]);
	}
	return released;
}
