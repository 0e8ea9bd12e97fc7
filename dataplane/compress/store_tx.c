/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sender's half of the store (store.h): writes references to what store_find.c has found, keeps
 * packets and takes the acknowledgements.
 */
#include <string.h>

#include "dataplane/compress/lz4.h"
#include "dataplane/compress/store_header.h"
#include "dataplane/compress/store_private.h"

/* Fewer literals are not worth LZ4's time. */
#define LITERALS_MIN 48
/* Refusals in REFUSED_NS after which nothing that the lane keeps is believed any more. */
#define REFUSED_MAX 32
#define REFUSED_NS UINT64_C(1000000000)
/* A packet is taken for lost when one so far behind it has been acknowledged, and it has not. */
#define REORDERED_MAX 16

/* What is known of the lane's packet `seq`, if packets of the domain may refer to it; else NULL.
 * The lane is this worker's. */
static const struct store_slot *usable(
	const struct store_kept *kept, uint32_t seq, uint32_t next, uint32_t domain)
{
	const struct store_slot *slot = &kept->slots[seq % kept->count];

	return store_holds(slot, kept->generation, seq) && slot->is_acked &&
			       slot->domain == domain && store_reaches(kept, next, seq)
		       ? slot
		       : NULL;
}

/* Write the packet's header as what differs from that of its flow's last acknowledged packet.
 * Returns where the tokens begin, or `out` when that does not pay. */
static uint8_t *write_header(const struct store_tx *tx, const struct store_packet *p, uint32_t seq,
	uint8_t *out, const uint8_t *end)
{
	uint32_t len = p->header_len < STORE_HEADER_MAX ? p->header_len : STORE_HEADER_MAX;
	const struct store_recent *recent = &tx->recent[p->flow_hash % STORE_RECENT];
	uint8_t difference[STORE_HEADER_DIFFERENCE_MAX];
	const struct store_slot *slot;
	uint32_t from, n;

	if (recent->flow_hash != p->flow_hash || len == 0)
		return out;
	from = recent->pending_seq;
	slot = usable(&tx->kept, from, seq, p->domain);
	if (slot == NULL) {
		from = recent->acked_seq;
		slot = usable(&tx->kept, from, seq, p->domain);
	}
	if (slot == NULL || slot->len < len)
		return out;
	n = 4 + store_header_write(store_data(&tx->kept, from), len, p->bytes, p->len, difference);
	if (n >= len || end < out || (size_t)(end - out) < n)
		return out;
	out = store_put(store_put(out, from, 3), len, 1);
	memcpy(out, difference, n - 4);
	return out + n - 4;
}

/* Collect what no piece covers, behind the header. Returns its length. */
static uint32_t gather_literals(struct store_sender *s, const struct store_packet *p, uint32_t from)
{
	const struct store_match *m = &s->match;
	uint32_t len = 0;

	for (unsigned i = 0; i <= m->piece_count; i++) {
		uint32_t to = i < m->piece_count ? m->pieces[i].at : p->len;

		memcpy(s->literals + len, p->bytes + from, to - from);
		len += to - from;
		if (i < m->piece_count)
			from = to + m->pieces[i].len;
	}
	return len;
}

static bool is_across(const struct store_match *m)
{
	for (unsigned i = 0; i < m->piece_count; i++)
		if (m->pieces[i].lane != m->lane)
			return true;
	return false;
}

uint32_t store_encode(struct store_sender *s, unsigned lane, const struct store_packet *p,
	uint32_t seq, struct compressor *compressor, uint8_t *out, uint32_t room)
{
	struct store_match *m = &s->match;
	uint8_t *at = out + 2, *tokens, *end = out + room;
	uint8_t flags = is_across(m) ? STORE_LANES : 0;
	uint32_t from = 0, literals;
	int packed = 0;

	if (room < 2 || m->piece_count == 0)
		return 0;
	tokens = write_header(&s->lane[lane], p, seq, at, end);
	if (tokens > at) {
		flags |= STORE_HAS_HEADER;
		from = at[3];
		at = tokens;
	}
	literals = gather_literals(s, p, from);
	if ((size_t)(end - at) <= m->piece_count * (STORE_TOKEN_BYTES + 1u))
		return 0;
	for (unsigned i = 0; i < m->piece_count; i++) {
		const struct store_piece *piece = &m->pieces[i];

		at = store_put(at, piece->at - from, 2);
		if (flags & STORE_LANES)
			at = store_put(at, piece->lane, 1);
		at = store_put(at, piece->seq, 3);
		at = store_put(at, piece->from, 2);
		at = store_put(at, piece->len, 2);
		from = (uint32_t)piece->at + piece->len;
	}
	if (literals >= LITERALS_MIN && end - at > 0)
		packed = compressor_lz4(compressor, s->literals, literals, at,
			(uint32_t)(end - at) < literals ? (uint32_t)(end - at) : literals - 1, 1);
	if (packed > 0) {
		flags |= STORE_LZ4;
		at += packed;
	} else {
		if ((size_t)(end - at) < literals)
			return 0;
		memcpy(at, s->literals, literals);
		at += literals;
	}
	out[0] = flags;
	out[1] = (uint8_t)m->piece_count;
	m->is_repeat = m->is_repeat && flags & STORE_HAS_HEADER;
	m->is_used = true;
	m->out_len = (uint32_t)(at - out);
	return m->out_len;
}

/* Enter the anchors that no piece has: where one has them, the index leads to a packet that is
 * acknowledged already. Unless that is old. */
static void enter_anchors(const struct store_sender *s, uint32_t seq)
{
	const struct store_match *m = &s->match;
	uint64_t reference = STORE_REFERENCE(m->lane, seq);
	unsigned piece = 0;

	for (unsigned i = 0; i < m->anchor_count; i++) {
		const struct anchor *a = &m->anchors[i];

		while (piece < m->piece_count &&
			(uint32_t)m->pieces[piece].at + m->pieces[piece].len <= a->at)
			piece++;
		if (piece < m->piece_count && m->pieces[piece].at <= a->at &&
			!m->pieces[piece].is_old)
			continue;
		__atomic_store_n(store_entry(s, a->fingerprint),
			reference << 32 | (uint64_t)a->at << STORE_TAG_BITS |
				(a->fingerprint & STORE_TAG_MASK),
			__ATOMIC_RELAXED);
	}
}

/* The flow's next packets go on where this one ends, and may be repeats like it. */
static void note_end(
	struct store_recent *r, const struct store_match *m, const struct store_packet *p)
{
	r->expected_from = 0;
	if (m->piece_count > 0) {
		const struct store_piece *last = &m->pieces[m->piece_count - 1];

		if ((uint32_t)last->at + last->len == p->len) {
			r->expected_lane = last->lane;
			r->expected_seq = last->seq;
			r->expected_from = (uint16_t)(last->from + last->len);
		}
	}
	if (!m->is_used || !m->is_repeat)
		r->repeats = 0;
	else if (r->repeats < STORE_REPEATS)
		r->repeats++;
}

/* Remember the flow's packet that is kept: the next ones have nearly the same header. */
static void note_recent(struct store_tx *tx, const struct store_match *m,
	const struct store_packet *p, uint32_t seq)
{
	struct store_recent *r = &tx->recent[p->flow_hash % STORE_RECENT];
	struct store_slot *before = &tx->kept.slots[r->newest_seq % tx->kept.count];

	if (r->flow_hash != p->flow_hash) {
		*r = (struct store_recent){
			.flow_hash = p->flow_hash, .acked_seq = seq, .pending_seq = seq};
	} else {
		if (seq - r->newest_seq <= UINT8_MAX &&
			store_holds(before, tx->kept.generation, r->newest_seq)) {
			before->next = (uint8_t)(seq - r->newest_seq);
			tx->kept.slots[seq % tx->kept.count].previous = before->next;
		}
		if (usable(&tx->kept, r->pending_seq, seq, p->domain) != NULL) {
			r->acked_seq = r->pending_seq;
			r->pending_seq = seq;
		} else if ((int32_t)(tx->acked - r->pending_seq) > REORDERED_MAX ||
			   seq - r->pending_seq > tx->kept.count / 8) {
			r->pending_seq = seq; /* that one got lost */
		}
	}
	r->newest_seq = seq;
	note_end(r, m, p);
}

/* Count a packet that has been sent as references. */
static void count_hit(
	const struct store_match *m, const struct store_packet *p, struct store_tx_counts *counts)
{
	counts->hits++;
	counts->across += is_across(m);
	counts->hit_bytes += m->covered;
	counts->in_bytes += p->len;
	counts->out_bytes += m->out_len;
}

void store_keep(struct store_sender *s, unsigned lane, const struct store_packet *p, uint32_t seq,
	uint64_t now_ns)
{
	struct store_tx *tx = &s->lane[lane];

	if (tx->kept.count == 0 || p->len > tx->kept.slot_bytes || p->len > STORE_PACKET_MAX)
		return;
	if (s->match.is_used)
		count_hit(&s->match, p, &s->counts);
	else
		s->counts.misses++;
	store_write(&tx->kept,
		(struct store_slot){.seq = seq,
			.generation = tx->kept.generation,
			.domain = p->domain,
			.len = (uint16_t)p->len & 0x3fff},
		p->bytes);
	__atomic_store_n(&tx->kept.newest, seq, __ATOMIC_RELAXED);
	if (seq - tx->kept.first > tx->kept.count) /* they are overwritten */
		tx->kept.first = seq - tx->kept.count;
	enter_anchors(s, seq);
	note_recent(tx, &s->match, p, seq);
	tx->kept_ns[(uint64_t)(seq % tx->kept.count) * STORE_AGES / tx->kept.count] =
		(int64_t)now_ns;
	s->counts.kept++;
}

bool store_repeats(const struct store_sender *s, unsigned lane, uint32_t flow_hash)
{
	const struct store_recent *r = &s->lane[lane].recent[flow_hash % STORE_RECENT];

	return r->flow_hash == flow_hash && r->repeats > r->doubts;
}

void store_pass(struct store_sender *s, unsigned lane, const struct store_packet *p,
	struct store_tx_counts *hits)
{
	note_end(&s->lane[lane].recent[p->flow_hash % STORE_RECENT], &s->match, p);
	count_hit(&s->match, p, hits);
}

void store_passed(struct store_sender *s, unsigned lane, uint32_t flow_hash,
	const struct store_tx_counts *hits)
{
	s->lane[lane].recent[flow_hash % STORE_RECENT].doubts = 0;
	s->counts.hits += hits->hits;
	s->counts.across += hits->across;
	s->counts.hit_bytes += hits->hit_bytes;
	s->counts.in_bytes += hits->in_bytes;
	s->counts.out_bytes += hits->out_bytes;
}

void store_doubt(struct store_sender *s, unsigned lane, uint32_t flow_hash)
{
	struct store_recent *r = &s->lane[lane].recent[flow_hash % STORE_RECENT];

	r->doubts = (r->doubts * 2 + 1) & STORE_DOUBTS;
}

void store_acked(
	struct store_sender *s, unsigned lane, uint32_t base, const uint64_t *words, unsigned count)
{
	struct store_tx *tx = &s->lane[lane];

	if (tx->kept.count == 0 || store_is_frozen(&s->is_frozen))
		return;
	for (unsigned i = 0; i < count; i++) {
		for (uint64_t left = words[i]; left != 0; left &= left - 1) {
			uint32_t seq = base + i * 64 + (uint32_t)__builtin_ctzll(left);
			struct store_slot *slot = &tx->kept.slots[seq % tx->kept.count];

			if (!store_holds(slot, tx->kept.generation, seq) || slot->is_acked)
				continue;
			slot->is_acked = true;
			s->counts.acked++;
			if ((int32_t)(seq - tx->acked) > 0)
				tx->acked = seq;
		}
	}
}

/* Nobody refers to the packet any more. False: it is gone already. Any worker's lane. */
static bool void_slot(const struct store_kept *kept, uint32_t low)
{
	uint32_t seq = store_number(kept->newest, low);
	struct store_slot *slot = &kept->slots[seq % kept->count];
	struct store_slot was = {.seq = seq, .generation = kept->generation}, none = {.seq = seq};

	return __atomic_compare_exchange_n(
		&slot->id, &was.id, none.id, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* Count a refusal, of REFUSED_NS since *since_ns. True: they have become too many, and are counted
 * from 0 again. */
static bool is_too_often(uint32_t *count, uint64_t *since_ns, uint64_t now_ns)
{
	if (now_ns - *since_ns > REFUSED_NS) {
		*since_ns = now_ns;
		*count = 0;
	}
	if (++*count < REFUSED_MAX)
		return false;
	*count = 0;
	return true;
}

static void refused_across(struct store_sender *s, uint32_t reference, uint64_t now_ns)
{
	unsigned lane = reference >> 24, worker = lane / STORE_WORKERS;
	struct store_kept kept;

	if (s->is_alone || worker >= s->workers ||
		!store_look_over(&s->team[worker]->lane[lane % STORE_WORKERS].kept,
			&s->team[worker]->session_id, s->session_id, &kept) ||
		kept.count == 0 || !void_slot(&kept, reference & STORE_SLOTS_MAX))
		return;
	s->counts.refused++;
	if (is_too_often(&s->refused, &s->refused_since_ns, now_ns)) {
		s->is_alone = true;
		s->counts.voided++;
	}
}

void store_refused(struct store_sender *s, unsigned lane, uint32_t reference, uint64_t now_ns)
{
	struct store_tx *tx = &s->lane[lane];

	if (tx->kept.count == 0 || store_is_frozen(&s->is_frozen))
		return;
	if (reference >> 24 != s->worker * STORE_WORKERS + lane) {
		refused_across(s, reference, now_ns);
		return;
	}
	if (!void_slot(&tx->kept, reference & STORE_SLOTS_MAX))
		return;
	s->counts.refused++;
	if (is_too_often(&tx->refused, &tx->refused_since_ns, now_ns)) {
		tx->kept.first = tx->first_before = tx->kept.newest + 1;
		memset(tx->kept_ns, 0, sizeof(tx->kept_ns));
		s->counts.voided++;
	}
}

uint64_t store_oldest_ns(const struct store_sender *s, uint64_t now_ns)
{
	int64_t oldest_ns = (int64_t)now_ns;

	for (unsigned lane = 0; lane < STORE_WORKERS; lane++)
		for (unsigned i = 0; i < STORE_AGES; i++) {
			int64_t kept_ns =
				__atomic_load_n(&s->lane[lane].kept_ns[i], __ATOMIC_RELAXED);

			if (kept_ns != 0 && kept_ns < oldest_ns)
				oldest_ns = kept_ns;
		}
	return now_ns - (uint64_t)oldest_ns;
}
