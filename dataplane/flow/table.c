/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looking up, creating and evicting flows, see table.h. A burst goes through in passes, so that the
 * memory of many packets is under way at once: prefetch the buckets, compare signatures and
 * prefetch the records, compare keys and update. Only the last pass changes the table.
 */
#include "dataplane/flow/table_private.h"

#include <stddef.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>
#include <rte_prefetch.h>
#include <rte_vect.h>

#define BURST 64     /* packets that go through the passes together */
#define NEIGHBOURS 4 /* more buckets searched for a victim when a key's own two hold none */

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
#define PORT_PRIVILEGED 1024

/* Parts of the hash: the lower bits choose the first bucket, the upper 16 are the signature; the
 * second bucket follows from the first and the signature, so that an entry can move without its
 * key. */
static inline uint16_t signature_of(uint64_t hash)
{
	uint16_t signature = (uint16_t)(hash >> 48);

	return signature != 0 ? signature : 1;
}

static inline uint32_t other_bucket(const struct flow_table *t, uint32_t bucket, uint16_t signature)
{
	/* Odd, so never 0. */
	return bucket ^ ((((signature * 0x9e3779b1u) >> 8) | 1) & t->mask);
}

/* Slots with this signature: bit 2 * i for slot i. */
static inline uint32_t match(const struct bucket *b, uint16_t signature)
{
#ifdef __SSE2__
	__m128i equal = _mm_cmpeq_epi16(
		_mm_load_si128((const __m128i *)b->signature), _mm_set1_epi16((short)signature));

	return (uint32_t)_mm_movemask_epi8(equal) & 0x5555;
#else
	uint32_t mask = 0;

	for (unsigned i = 0; i < SLOTS; i++)
		mask |= (uint32_t)(b->signature[i] == signature) << (2 * i);
	return mask;
#endif
}

static inline bool key_equal(const struct flow_key *a, const struct flow_key *b)
{
	uint64_t x[5], y[5];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4])) == 0;
}

/* Record of the first slot whose signature fits, 0: none. Its stamp is renewed on trust: if the
 * keys turn out to differ, a flow is thought younger by the bucket, not by its record. */
static inline uint32_t probe(struct bucket *b, uint16_t signature, uint16_t now)
{
	uint32_t mask = match(b, signature);

	if (mask == 0)
		return 0;

	unsigned slot = (unsigned)__builtin_ctz(mask) / 2;

	if (b->stamp[slot] != now)
		b->stamp[slot] = now;
	return b->record[slot];
}

static uint32_t find_in(
	const struct flow_table *t, uint32_t bucket, uint16_t signature, const struct flow_key *key)
{
	const struct bucket *b = &t->buckets[bucket];

	for (uint32_t mask = match(b, signature); mask != 0; mask &= mask - 1) {
		uint32_t record = b->record[__builtin_ctz(mask) / 2];

		if (record != 0 && key_equal(&t->records[record].key, key))
			return record;
	}
	return 0;
}

static int free_slot(const struct bucket *b)
{
	for (int i = 0; i < SLOTS; i++)
		if (b->record[i] == 0)
			return i;
	return -1;
}

void flow_table_remove_slot(struct flow_table *t, struct bucket *b, unsigned slot)
{
	struct flow *f = &t->records[b->record[slot]];

	tell_silent(t, f);
	replace_begin(f);
	f->flags = 0;
	memset(&f->key, 0, sizeof(f->key)); /* a packet of this burst may have found it already */
	replace_end(f);
	t->free[t->free_count++] = b->record[slot];
	b->record[slot] = 0;
	b->signature[slot] = 0;
	count(&t->stats.live, -1);
}

/* Evict the least recently seen of the flows in these buckets that may go. */
static bool evict(struct flow_table *t, const uint32_t *buckets, unsigned n, uint32_t now_ms)
{
	uint16_t now = stamp_of(now_ms);
	uint64_t tried = 0;

	for (;;) {
		int oldest = -1, oldest_age = -1;

		for (unsigned i = 0; i < n * SLOTS; i++) {
			const struct bucket *b = &t->buckets[buckets[i / SLOTS]];
			int age = (uint16_t)(now - b->stamp[i % SLOTS]);

			if (b->record[i % SLOTS] != 0 && age > oldest_age && !(tried >> i & 1)) {
				oldest = (int)i;
				oldest_age = age;
			}
		}
		if (oldest < 0)
			return false;

		struct bucket *b = &t->buckets[buckets[oldest / SLOTS]];
		const struct flow *f = &t->records[b->record[oldest % SLOTS]];

		/* Packets of this burst, and those that pack_wait holds back, may point to what was
		 * seen in this millisecond or the last. */
		if (!has_queue(f) && now_ms - f->last_seen_ms > 1) {
			flow_table_remove_slot(t, b, (unsigned)oldest % SLOTS);
			count(&t->stats.evicted, 1);
			return true;
		}
		tried |= UINT64_C(1) << oldest;
	}
}

/* Move one entry of a full bucket to its other bucket. Returns the slot that is free then, or -1.
 */
static int displace(struct flow_table *t, uint32_t bucket)
{
	struct bucket *from = &t->buckets[bucket];

	for (int i = 0; i < SLOTS; i++) {
		struct bucket *to = &t->buckets[other_bucket(t, bucket, from->signature[i])];
		int slot = free_slot(to);

		if (slot < 0)
			continue;
		to->signature[slot] = from->signature[i];
		to->stamp[slot] = from->stamp[i];
		to->record[slot] = from->record[i];
		from->record[i] = 0;
		from->signature[i] = 0;
		return i;
	}
	return -1;
}

/* Which direction opened the flow, by its first packet. */
static uint8_t guess_initiator(const struct pkt *p)
{
	if (p->flags & PKT_TCP && p->tcp_flags & TCP_SYN)
		return p->tcp_flags & TCP_ACK ? !p->dir : p->dir;
	if (p->flags & (PKT_TCP | PKT_UDP)) {
		bool server0 = rte_be_to_cpu_16(p->key.port[0]) < PORT_PRIVILEGED;
		bool server1 = rte_be_to_cpu_16(p->key.port[1]) < PORT_PRIVILEGED;

		if (server0 != server1)
			return server0 ? 1 : 0;
	}
	return p->dir;
}

/* What a new flow and a restarted one have in common. The record is being replaced. */
static void start_flow(struct flow *f, const struct pkt *p, uint32_t now_ms)
{
	f->flags = FLOW_LIVE | FLOW_NEW;
	f->class_id = 0;
	f->policy_generation = 0;
	f->initiator = guess_initiator(p);
	f->lan_dir = p->way == WAY_UP ? p->dir : !p->dir;
	f->dscp = p->dscp;
	memset(f->packets, 0, sizeof(f->packets));
	memset(f->bytes, 0, sizeof(f->bytes));
	memset(&f->measure, 0, sizeof(f->measure));
	memset(&f->transactions, 0, sizeof(f->transactions));
	memset(&f->codec, 0, sizeof(f->codec));
	memset(f->saved_bytes, 0, sizeof(f->saved_bytes));
	f->last_seen_ms = now_ms;
	f->created_ms = now_ms;
}

/* A slot and a record for a new key, or NULL: nothing free and nobody to evict. */
static struct flow *make_room(struct flow_table *t, const struct pkt *p, uint32_t now_ms)
{
	uint16_t signature = signature_of(p->hash);
	uint32_t candidates[2 + NEIGHBOURS];
	uint32_t bucket;
	int slot;

	candidates[0] = (uint32_t)p->hash & t->mask;
	candidates[1] = other_bucket(t, candidates[0], signature);
	if (t->free_count == 0 && !evict(t, candidates, 2, now_ms)) {
		for (unsigned i = 0; i < NEIGHBOURS; i++)
			candidates[2 + i] = (candidates[0] + 1 + i) & t->mask;
		if (!evict(t, candidates + 2, NEIGHBOURS, now_ms))
			return NULL;
	}
	bucket = candidates[0];
	slot = free_slot(&t->buckets[bucket]);
	if (slot < 0) {
		bucket = candidates[1];
		slot = free_slot(&t->buckets[bucket]);
	}
	if (slot < 0) {
		bucket = candidates[0];
		slot = displace(t, bucket);
	}
	if (slot < 0) {
		bucket = candidates[1];
		slot = displace(t, bucket);
	}
	if (slot < 0) {
		if (!evict(t, candidates, 2, now_ms))
			return NULL;
		bucket = candidates[0];
		slot = free_slot(&t->buckets[bucket]);
		if (slot < 0) {
			bucket = candidates[1];
			slot = free_slot(&t->buckets[bucket]);
		}
	}

	struct bucket *b = &t->buckets[bucket];

	b->signature[slot] = signature;
	b->stamp[slot] = stamp_of(now_ms);
	b->record[slot] = t->free[--t->free_count];
	return &t->records[b->record[slot]];
}

/* The record of a packet that the first passes found none for, or the wrong one. */
static __attribute__((noinline)) struct flow *find_or_create(
	struct flow_table *t, const struct pkt *p, uint32_t now_ms)
{
	uint16_t signature = signature_of(p->hash);
	uint32_t bucket = (uint32_t)p->hash & t->mask;
	uint32_t record = find_in(t, bucket, signature, &p->key);
	struct flow *f;

	if (record == 0)
		record = find_in(t, other_bucket(t, bucket, signature), signature, &p->key);
	if (record != 0)
		return &t->records[record];
	f = make_room(t, p, now_ms);
	if (f == NULL) {
		count(&t->stats.other_fallback, 1);
		return &t->records[0];
	}
	replace_begin(f);
	f->key = p->key;
	f->hash_tag = (uint32_t)(p->hash >> 32);
	memset(f->shape, 0, sizeof(f->shape));
	memset(&f->codec, 0, sizeof(*f) - offsetof(struct flow, codec));
	start_flow(f, p, now_ms);
	replace_end(f);
	count(&t->stats.live, 1);
	count(&t->stats.created, 1);
	return f;
}

/* A new connection between the same ports. The flow's buckets and queues go on, opening connections
 * anew must not be a way round its rate; and so does what is known of its link layer and peer. */
static __attribute__((noinline)) void restart_flow(
	struct flow *f, const struct pkt *p, uint32_t now_ms)
{
	replace_begin(f);
	start_flow(f, p, now_ms);
	replace_end(f);
}

static inline void prefetch_record(const struct flow *f, bool measured)
{
	__builtin_prefetch(f, 1);
	__builtin_prefetch((const char *)f + 64, 1);
	if (measured) /* of flow_measure the first line will do */
		__builtin_prefetch(&f->measure, 1);
}

static inline void lookup_burst(
	struct flow_table *t, struct rte_mbuf **pkts, unsigned n, uint32_t now_ms)
{
	uint16_t now = stamp_of(now_ms);
	uint32_t record[BURST];
	uint8_t missed[BURST];
	unsigned misses = 0;

	for (unsigned i = 0; i < n; i++)
		__builtin_prefetch(&t->buckets[(uint32_t)pkt_of(pkts[i])->hash & t->mask], 1);

	for (unsigned i = 0; i < n; i++) {
		const struct pkt *p = pkt_of(pkts[i]);
		uint32_t bucket = (uint32_t)p->hash & t->mask;
		uint16_t signature = signature_of(p->hash);

		record[i] = 0;
		if (unlikely(!(p->flags & PKT_IP)))
			continue;
		record[i] = probe(&t->buckets[bucket], signature, now);
		if (unlikely(record[i] == 0)) {
			rte_prefetch0(&t->buckets[other_bucket(t, bucket, signature)]);
			missed[misses++] = (uint8_t)i;
			continue;
		}
		prefetch_record(&t->records[record[i]], p->flags & PKT_TCP);
	}

	for (unsigned i = 0, absent = 0; i < misses; i++) {
		const struct pkt *p = pkt_of(pkts[missed[i]]);
		uint16_t signature = signature_of(p->hash);
		uint32_t bucket = other_bucket(t, (uint32_t)p->hash & t->mask, signature);

		record[missed[i]] = probe(&t->buckets[bucket], signature, now);
		if (record[missed[i]] != 0) {
			prefetch_record(&t->records[record[missed[i]]], p->flags & PKT_TCP);
		} else if (++absent <= t->free_count) { /* the record that it will get */
			const struct flow *f = &t->records[t->free[t->free_count - absent]];

			prefetch_record(f, true);
			__builtin_prefetch(&f->codec, 1);
		}
	}

	for (unsigned i = 0; i < n; i++) {
		struct pkt *p = pkt_of(pkts[i]);
		struct flow *f = &t->records[record[i]];

		/* Record 0 has a key of zeros, as have packets without PKT_IP, and no others. */
		if (unlikely(!key_equal(&f->key, &p->key)))
			f = find_or_create(t, p, now_ms);
		if (unlikely((p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN &&
			     f->flags & FLOW_CLOSING))
			restart_flow(f, p, now_ms);
		p->flow = f;
		f->last_seen_ms = now_ms;
		f->flags |= (uint8_t)(FLOW_SEEN_UP << p->way);
		if (unlikely(p->tcp_flags & (TCP_FIN | TCP_RST)) && !(f->flags & FLOW_OTHER))
			f->flags |= FLOW_CLOSING;
		f->packets[p->way]++;
		f->bytes[p->way] += pkts[i]->pkt_len;
	}
}

void flow_table_lookup_bulk(
	struct flow_table *t, struct rte_mbuf **pkts, unsigned n, uint32_t now_ms)
{
	for (; n > BURST; n -= BURST, pkts += BURST)
		lookup_burst(t, pkts, BURST, now_ms);
	lookup_burst(t, pkts, n, now_ms);
}
