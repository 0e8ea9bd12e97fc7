/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The search of the sender's half of the store (store.h): which pieces of a packet are in packets
 * that the peer has acknowledged, by an index of their anchors.
 */
#include <string.h>

#include "dataplane/compress/flow_codec.h"
#include "dataplane/compress/store_private.h"

/* Flows of which so many packets in a row gave the store nothing worth it: every other anchor of
 * theirs is entered, and so many a packet are looked up. */
#define SPARSE_MISSES 64
#define SPARSE_LOOKUPS 2
/* References pay when they cover this part of the packet. */
#define COVERED_PART 4
/* References to another lane keep away from what is overwritten next by this part of it more. */
#define ACROSS_PART 8
/* A copy of what so many eighths of the slots ago was sent is entered for its own sake: it outlives
 * that. Half of what references of any lane reach, or what comes again and again, as far apart as
 * this or less, would be out of reach the second time. */
#define OLD_EIGHTHS 3
/* A piece of fewer bytes is not worth a token, if it is not all that is left. */
#define PIECE_MIN 16

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* What a lane keeps that a packet of s->match.lane may refer to. */
static const struct store_kept *kept_of(struct store_sender *s, uint8_t lane)
{
	struct store_match *m = &s->match;
	unsigned worker = lane / STORE_WORKERS;

	if (lane == m->lane)
		return &m->own;
	if (lane == m->other_lane)
		return &m->other;
	m->other_lane = lane;
	if (s->is_alone || worker >= s->workers ||
		!store_look_over(&s->team[worker]->lane[lane % STORE_WORKERS].kept,
			&s->team[worker]->session_id, s->session_id, &m->other))
		m->other.count = 0;
	/* It goes on while this packet is on its way to the port: not so close to the end. */
	m->other.reach -= m->other.count / ACROSS_PART;
	return &m->other;
}

/* May a packet of the domain refer to `seq`? Then *slot is what is known of that. */
static bool look(
	const struct store_kept *kept, uint32_t seq, uint32_t domain, struct store_slot *slot)
{
	if (kept->count == 0)
		return false;
	*slot = store_read(kept, seq);
	return store_holds(slot, kept->generation, seq) && slot->is_acked &&
	       slot->domain == domain && store_reaches(kept, kept->newest, seq);
}

static bool is_old(const struct store_kept *kept, uint32_t seq)
{
	return kept->newest - seq > kept->count / 8 * OLD_EIGHTHS;
}

/* Equal bytes from a and b on, at most `most`. */
static uint32_t equal_forward(const uint8_t *a, const uint8_t *b, uint32_t most)
{
	uint32_t n = 0;

	for (; n + 8 <= most; n += 8) {
		uint64_t different = load64(a + n) ^ load64(b + n);

		if (different != 0)
			return n + (uint32_t)__builtin_ctzll(different) / 8;
	}
	while (n < most && a[n] == b[n])
		n++;
	return n;
}

static uint32_t equal_backward(const uint8_t *a, const uint8_t *b, uint32_t most)
{
	uint32_t n = 0;

	while (n < most && a[-1 - (int32_t)n] == b[-1 - (int32_t)n])
		n++;
	return n;
}

/* Add a piece; those that it covers go. Returns where it ends. */
static uint32_t add_piece(struct store_match *m, struct store_piece piece)
{
	while (m->piece_count > 0) {
		const struct store_piece *last = &m->pieces[m->piece_count - 1];
		uint32_t end = (uint32_t)last->at + last->len;

		if (end <= piece.at)
			break;
		if (last->at < piece.at) {
			uint16_t shared = (uint16_t)(end - piece.at);

			piece.at = (uint16_t)(piece.at + shared);
			piece.from = (uint16_t)(piece.from + shared);
			piece.len = (uint16_t)(piece.len - shared);
			break;
		}
		m->covered -= last->len;
		m->piece_count--;
	}
	m->covered += piece.len;
	m->pieces[m->piece_count++] = piece;
	return (uint32_t)piece.at + piece.len;
}

/*
 * The bytes from `at` on as a piece of packet `ref` of a lane, and on through the packets that
 * followed it in its flow, as long as they are the same. Returns the end of what was found.
 */
static uint32_t follow_flow(struct store_sender *s, const struct store_packet *p, uint32_t at,
	uint8_t lane, uint32_t ref, uint32_t offset)
{
	const struct store_kept *kept = kept_of(s, lane);
	struct store_match *m = &s->match;
	struct store_slot slot;

	while (at < p->len && m->piece_count < STORE_TOKENS_MAX) {
		if (!look(kept, ref, p->domain, &slot))
			break;
		if (offset < slot.len) {
			uint32_t room = slot.len - offset, left = p->len - at;
			uint32_t n = equal_forward(p->bytes + at, store_data(kept, ref) + offset,
				room < left ? room : left);

			if (n < PIECE_MIN && n < left)
				break;
			at = add_piece(m, (struct store_piece){.at = (uint16_t)at,
						  .len = (uint16_t)n,
						  .seq = ref,
						  .from = (uint16_t)offset,
						  .lane = lane,
						  .is_old = is_old(kept, ref)});
			if (n < room)
				break;
		}
		if (slot.next == 0)
			break;
		ref += slot.next;
		offset = p->header_len;
	}
	return at;
}

/* The bytes in front of a piece that begins where its packet's payload does: the end of packet
 * `ref`, the one before in that flow, down to `from` at most. */
static void precede(struct store_sender *s, const struct store_packet *p,
	const struct store_piece *piece, uint32_t ref, uint32_t from)
{
	const struct store_kept *kept = kept_of(s, piece->lane);
	uint32_t most = piece->at - from, n;
	struct store_slot slot;

	if (s->match.piece_count == STORE_TOKENS_MAX || !look(kept, ref, p->domain, &slot) ||
		slot.len <= p->header_len)
		return;
	if (most > slot.len - p->header_len)
		most = slot.len - p->header_len;
	n = equal_backward(p->bytes + piece->at, store_data(kept, ref) + slot.len, most);
	if (n >= PIECE_MIN || (n > 0 && n == piece->at - from))
		add_piece(&s->match, (struct store_piece){.at = (uint16_t)(piece->at - n),
					     .len = (uint16_t)n,
					     .seq = ref,
					     .from = (uint16_t)(slot.len - n),
					     .lane = piece->lane,
					     .is_old = is_old(kept, ref)});
}

/* Follow the index entry of an anchor behind `from`, where the last piece ends, if the bytes are
 * really there. A piece may reach back over shorter ones. Returns where its last piece ends. */
static uint32_t follow_anchor(
	struct store_sender *s, const struct store_packet *p, const struct anchor *a, uint32_t from)
{
	uint64_t entry = __atomic_load_n(store_entry(s, a->fingerprint), __ATOMIC_RELAXED);
	uint32_t reference = (uint32_t)(entry >> 32), offset = (uint32_t)entry >> STORE_TAG_BITS;
	uint8_t lane = (uint8_t)(reference >> 24);
	const struct store_kept *kept;
	struct store_slot slot;

	if ((entry & STORE_TAG_MASK) != (a->fingerprint & STORE_TAG_MASK))
		return from;
	kept = kept_of(s, lane);
	uint32_t ref = store_number(kept->newest, reference & STORE_SLOTS_MAX);
	if (!look(kept, ref, p->domain, &slot) || offset >= slot.len)
		return from;

	const uint8_t *there = store_data(kept, ref) + offset, *here = p->bytes + a->at;
	uint32_t room = slot.len - offset, left = p->len - a->at;
	uint32_t after = equal_forward(here, there, room < left ? room : left), most, before;

	if (after < ANCHOR_BYTES)
		return from;
	/* Headers are referred to by themselves. */
	most = offset > p->header_len ? offset - p->header_len : 0;
	if (most > a->at - p->header_len)
		most = a->at - p->header_len;
	before = equal_backward(here, there, most);

	struct store_piece piece = {.at = (uint16_t)(a->at - before),
		.len = (uint16_t)(after + before),
		.seq = ref,
		.from = (uint16_t)(offset - before),
		.lane = lane,
		.is_old = is_old(kept, ref)};
	if (piece.at > from && piece.from == p->header_len && slot.previous != 0)
		precede(s, p, &piece, ref - slot.previous, from);
	if (s->match.piece_count == STORE_TOKENS_MAX)
		return from;
	from = add_piece(&s->match, piece);
	if (after == room && slot.next != 0)
		from = follow_flow(s, p, from, lane, ref + slot.next, p->header_len);
	return from;
}

/* The anchors of the packet from `from` on, with their index entries on the way to the cache. */
static void look_for_anchors(struct store_sender *s, const struct store_packet *p, uint32_t from)
{
	struct store_match *m = &s->match;
	unsigned found = anchors_find(p->bytes, from, p->len, m->anchors), kept = 0;

	for (unsigned i = 0; i < found; i++) {
		struct anchor *a = &m->anchors[kept];

		if (m->is_sparse && !(m->anchors[i].fingerprint >> STORE_TAG_BITS & 1))
			continue;
		*a = m->anchors[i];
		/* Domains do not take each other's entries. */
		a->fingerprint ^= p->domain * UINT64_C(0x9e3779b97f4a7c15);
		__builtin_prefetch(store_entry(s, a->fingerprint), 1);
		kept++;
	}
	m->anchor_count = kept;
}

static bool has_old(const struct store_match *m)
{
	for (unsigned i = 0; i < m->piece_count; i++)
		if (m->pieces[i].is_old)
			return true;
	return false;
}

/* Was any packet of another lane overwritten while it was compared, or is the lane itself gone? */
static bool is_torn(struct store_sender *s)
{
	const struct store_match *m = &s->match;

	for (unsigned i = 0; i < m->piece_count; i++) {
		const struct store_kept *kept = kept_of(s, m->pieces[i].lane);

		if (kept != &m->own &&
			(kept->count == 0 || !store_still_holds(kept, m->pieces[i].seq)))
			return true;
	}
	return false;
}

static bool is_repeat(const struct store_match *m, const struct store_packet *p)
{
	return m->piece_count <= STORE_REPEAT_PIECES && p->header_len <= STORE_HEADER_MAX &&
	       p->len - p->header_len - m->covered <= STORE_REPEAT_LITERALS && !has_old(m);
}

bool store_find(struct store_sender *s, unsigned lane, const struct store_packet *p, uint32_t seq,
	struct flow_codec *fc)
{
	const struct store_tx *tx = &s->lane[lane];
	const struct store_recent *recent = &tx->recent[p->flow_hash % STORE_RECENT];
	struct store_match *m = &s->match;
	uint32_t from = p->header_len;
	unsigned lookups;
	bool pays;

	m->anchor_count = m->piece_count = 0;
	m->covered = 0;
	m->is_used = m->is_repeat = false;
	m->is_sparse = fc->store_misses >= SPARSE_MISSES;
	if (tx->kept.count == 0 || p->len > tx->kept.slot_bytes || p->len > STORE_PACKET_MAX)
		return false;
	m->lane = m->other_lane = (uint8_t)(s->worker * STORE_WORKERS + lane);
	m->own = tx->kept;
	m->own.newest = seq;
	if (recent->flow_hash == p->flow_hash && recent->expected_from != 0)
		from = follow_flow(s, p, from, recent->expected_lane, recent->expected_seq,
			recent->expected_from);
	if (from < p->len || has_old(m))
		look_for_anchors(s, p, has_old(m) ? p->header_len : from);
	lookups = m->is_sparse ? SPARSE_LOOKUPS : ANCHORS_MAX;
	for (unsigned i = 0; i < m->anchor_count && m->piece_count < STORE_TOKENS_MAX; i++) {
		if (m->anchors[i].at < from)
			continue;
		if (lookups == 0)
			break;
		uint32_t end = follow_anchor(s, p, &m->anchors[i], from);
		/* Where one piece is there may be more. */
		lookups = end > from ? ANCHORS_MAX : lookups - 1;
		from = end;
	}
	if (is_torn(s))
		m->piece_count = m->covered = 0;
	pays = m->covered >= p->len / COVERED_PART && m->piece_count > 0;
	m->is_repeat = pays && is_repeat(m, p);
	if (pays)
		fc->store_misses = 0;
	else if (fc->store_misses < UINT8_MAX)
		fc->store_misses++;
	return pays;
}
