/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sender's half of the store (store.h): finds pieces of a packet among those that the peer has
 * acknowledged, by an index of their anchors, writes the references, and takes the
 * acknowledgements.
 */
#include <string.h>

#include "dataplane/compress/flow_codec.h"
#include "dataplane/compress/lz4.h"
#include "dataplane/compress/store.h"

/* An index entry: number of a packet (32 bits), offset in it (14), part of the fingerprint (18). It
 * is a hint only: everything is compared with the packet itself. */
#define TAG_BITS 18
#define TAG_MASK ((UINT64_C(1) << TAG_BITS) - 1)

/* Flows of which so many packets in a row gave the store nothing worth it: every other anchor of
 * theirs is entered, and so many a packet are looked up. */
#define SPARSE_MISSES 64
#define SPARSE_LOOKUPS 2
/* References pay when they cover this part of the packet. */
#define COVERED_PART 4
/* A copy of what this part of the slots ago was sent is entered for its own sake: it outlives that.
 */
#define OLD_PART 4
/* A piece of fewer bytes is not worth a token, if it is not all that is left. */
#define PIECE_MIN 16
#define COVERED_MIN 64
/* Fewer literals are not worth LZ4's time. */
#define LITERALS_MIN 48
/* Refusals in REFUSED_NS after which nothing that the lane keeps is believed any more. */
#define REFUSED_MAX 32
#define REFUSED_NS UINT64_C(1000000000)

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t *entry_of(const struct store_tx *tx, uint64_t fingerprint)
{
	return &tx->index[(fingerprint >> 32) * tx->index_count >> 32];
}

static inline uint8_t *data_of(const struct store_tx *tx, uint32_t seq)
{
	return tx->data + (uint64_t)(seq % tx->count) * tx->slot_bytes;
}

/* May packet `next` refer to `seq`? Then its slot, else NULL. */
static inline const struct store_slot *usable(
	const struct store_tx *tx, uint32_t seq, uint32_t next, uint32_t domain)
{
	const struct store_slot *slot = &tx->slots[seq % tx->count];

	return store_holds(slot, tx->generation, seq) && slot->is_acked && slot->domain == domain &&
			       next - seq <= tx->reach
		       ? slot
		       : NULL;
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
 * The bytes from `at` on as a piece of packet `ref`, and on through the packets that followed it in
 * its flow, as long as they are the same. Returns the end of what was found.
 */
static uint32_t follow_flow(const struct store_tx *tx, struct store_match *m,
	const struct store_packet *p, uint32_t seq, uint32_t at, uint32_t ref, uint32_t offset)
{
	while (at < p->len && m->piece_count < STORE_TOKENS_MAX) {
		const struct store_slot *slot = usable(tx, ref, seq, p->domain);

		if (slot == NULL)
			break;
		if (offset < slot->len) {
			uint32_t room = slot->len - offset, left = p->len - at;
			uint32_t n = equal_forward(p->bytes + at, data_of(tx, ref) + offset,
				room < left ? room : left);

			if (n < PIECE_MIN && n < left)
				break;
			at = add_piece(m, (struct store_piece){.at = (uint16_t)at,
						  .len = (uint16_t)n,
						  .seq = ref,
						  .from = (uint16_t)offset,
						  .is_old = seq - ref > tx->count / OLD_PART});
			if (n < room)
				break;
		}
		if (slot->next == 0)
			break;
		ref += slot->next;
		offset = p->header_len;
	}
	return at;
}

/* The bytes in front of a piece that begins where its packet's payload does: the end of the packet
 * before in that flow, down to `from` at most. */
static void precede(const struct store_tx *tx, struct store_match *m, const struct store_packet *p,
	uint32_t seq, const struct store_piece *piece, uint32_t from)
{
	const struct store_slot *slot = &tx->slots[piece->seq % tx->count];
	uint32_t ref = piece->seq - slot->previous, most = piece->at - from, n;

	if (piece->from != p->header_len || slot->previous == 0 ||
		m->piece_count == STORE_TOKENS_MAX)
		return;
	slot = usable(tx, ref, seq, p->domain);
	if (slot == NULL || slot->len <= p->header_len)
		return;
	if (most > slot->len - p->header_len)
		most = slot->len - p->header_len;
	n = equal_backward(p->bytes + piece->at, data_of(tx, ref) + slot->len, most);
	if (n >= PIECE_MIN || (n > 0 && n == piece->at - from))
		add_piece(m, (struct store_piece){.at = (uint16_t)(piece->at - n),
				     .len = (uint16_t)n,
				     .seq = ref,
				     .from = (uint16_t)(slot->len - n),
				     .is_old = seq - ref > tx->count / OLD_PART});
}

/* Follow the index entry of an anchor behind `from`, where the last piece ends, if the bytes are
 * really there. A piece may reach back over shorter ones. Returns where its last piece ends. */
static uint32_t follow_anchor(const struct store_tx *tx, struct store_match *m,
	const struct store_packet *p, uint32_t seq, const struct anchor *a, uint32_t from)
{
	uint64_t entry = *entry_of(tx, a->fingerprint);
	uint32_t ref = (uint32_t)(entry >> 32), offset = (uint32_t)entry >> TAG_BITS;
	const struct store_slot *slot;

	if ((entry & TAG_MASK) != (a->fingerprint & TAG_MASK))
		return from;
	slot = usable(tx, ref, seq, p->domain);
	if (slot == NULL || offset >= slot->len)
		return from;

	const uint8_t *there = data_of(tx, ref) + offset, *here = p->bytes + a->at;
	uint32_t room = slot->len - offset, left = p->len - a->at;
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
		.is_old = seq - ref > tx->count / OLD_PART};
	if (piece.at > from)
		precede(tx, m, p, seq, &piece, from);
	if (m->piece_count == STORE_TOKENS_MAX)
		return from;
	from = add_piece(m, piece);
	if (after == room && slot->next != 0)
		from = follow_flow(tx, m, p, seq, from, ref + slot->next, p->header_len);
	return from;
}

/* The anchors of the packet from `from` on, with their index entries on the way to the cache. */
static void look_for_anchors(const struct store_tx *tx, struct store_match *m,
	const struct store_packet *p, uint32_t from)
{
	unsigned found = anchors_find(p->bytes, from, p->len, m->anchors), kept = 0;

	for (unsigned i = 0; i < found; i++) {
		struct anchor *a = &m->anchors[kept];

		if (m->is_sparse && !(m->anchors[i].fingerprint >> TAG_BITS & 1))
			continue;
		*a = m->anchors[i];
		/* Domains do not take each other's entries. */
		a->fingerprint ^= p->domain * UINT64_C(0x9e3779b97f4a7c15);
		__builtin_prefetch(entry_of(tx, a->fingerprint), 1);
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
	m->is_used = false;
	m->is_sparse = fc->store_misses >= SPARSE_MISSES;
	if (tx->count == 0 || p->len > tx->slot_bytes || p->len > STORE_PACKET_MAX)
		return false;
	if (recent->flow_hash == p->flow_hash && recent->expected_from != 0)
		from = follow_flow(
			tx, m, p, seq, from, recent->expected_seq, recent->expected_from);
	if (from < p->len || has_old(m))
		look_for_anchors(tx, m, p, has_old(m) ? p->header_len : from);
	lookups = m->is_sparse ? SPARSE_LOOKUPS : ANCHORS_MAX;
	for (unsigned i = 0; i < m->anchor_count && m->piece_count < STORE_TOKENS_MAX; i++) {
		if (m->anchors[i].at < from)
			continue;
		if (lookups == 0)
			break;
		uint32_t end = follow_anchor(tx, m, p, seq, &m->anchors[i], from);
		/* Where one piece is there may be more. */
		lookups = end > from ? ANCHORS_MAX : lookups - 1;
		from = end;
	}
	pays = m->covered >= p->len / COVERED_PART && m->piece_count > 0;
	if (pays)
		fc->store_misses = 0;
	else if (fc->store_misses < UINT8_MAX)
		fc->store_misses++;
	return pays;
}

/* Write the packet's header as what differs from that of its flow's last acknowledged packet.
 * Returns where the tokens begin, or `out` when that does not pay. */
static uint8_t *write_header(const struct store_tx *tx, const struct store_packet *p, uint32_t seq,
	uint8_t *out, const uint8_t *end)
{
	uint32_t len = p->header_len < STORE_HEADER_MAX ? p->header_len : STORE_HEADER_MAX;
	uint32_t map_len = (len + 7) / 8, from, changed = 0;
	const struct store_recent *recent = &tx->recent[p->flow_hash % STORE_RECENT];
	const struct store_slot *slot;
	const uint8_t *there;

	if (recent->flow_hash != p->flow_hash || len == 0)
		return out;
	from = recent->pending_seq;
	slot = usable(tx, from, seq, p->domain);
	if (slot == NULL) {
		from = recent->acked_seq;
		slot = usable(tx, from, seq, p->domain);
	}
	if (slot == NULL || slot->len < len || end < out || (size_t)(end - out) < 4 + map_len + len)
		return out;

	there = data_of(tx, from);
	uint8_t *map = out + 4, *bytes = map + map_len;

	memset(map, 0, map_len);
	for (uint32_t i = 0; i < len; i++) {
		if (p->bytes[i] == there[i])
			continue;
		map[i / 8] |= (uint8_t)(1 << i % 8);
		bytes[changed++] = p->bytes[i];
	}
	if (4 + map_len + changed >= len)
		return out;
	store_put(store_put(out, seq - from, 3), len, 1);
	return bytes + changed;
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

uint32_t store_encode(struct store_sender *s, unsigned lane, const struct store_packet *p,
	uint32_t seq, struct compressor *compressor, uint8_t *out, uint32_t room)
{
	struct store_match *m = &s->match;
	uint8_t *at = out + 2, *tokens, *end = out + room;
	uint32_t from = 0, literals;
	uint8_t flags = 0;
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
	if ((size_t)(end - at) <= m->piece_count * STORE_TOKEN_BYTES)
		return 0;
	for (unsigned i = 0; i < m->piece_count; i++) {
		const struct store_piece *piece = &m->pieces[i];

		at = store_put(at, piece->at - from, 2);
		at = store_put(at, seq - piece->seq, 3);
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
	m->is_used = true;
	m->out_len = (uint32_t)(at - out);
	return m->out_len;
}

/* Enter the anchors that no piece has: where one has them, the index leads to a packet that is
 * acknowledged already. Unless that is old. */
static void enter_anchors(const struct store_tx *tx, const struct store_match *m, uint32_t seq)
{
	unsigned piece = 0;

	for (unsigned i = 0; i < m->anchor_count; i++) {
		const struct anchor *a = &m->anchors[i];

		while (piece < m->piece_count &&
			(uint32_t)m->pieces[piece].at + m->pieces[piece].len <= a->at)
			piece++;
		if (piece < m->piece_count && m->pieces[piece].at <= a->at &&
			!m->pieces[piece].is_old)
			continue;
		*entry_of(tx, a->fingerprint) = (uint64_t)seq << 32 | (uint64_t)a->at << TAG_BITS |
						(a->fingerprint & TAG_MASK);
	}
}

/* Remember the flow's packet: the next ones have nearly the same header, and go on where it ends.
 */
static void note_recent(struct store_tx *tx, const struct store_match *m,
	const struct store_packet *p, uint32_t seq)
{
	struct store_recent *r = &tx->recent[p->flow_hash % STORE_RECENT];
	struct store_slot *before = &tx->slots[r->newest_seq % tx->count];

	if (r->flow_hash != p->flow_hash) {
		*r = (struct store_recent){
			.flow_hash = p->flow_hash, .acked_seq = seq, .pending_seq = seq};
	} else {
		if (seq - r->newest_seq <= UINT8_MAX &&
			store_holds(before, tx->generation, r->newest_seq)) {
			before->next = (uint8_t)(seq - r->newest_seq);
			tx->slots[seq % tx->count].previous = before->next;
		}
		if (usable(tx, r->pending_seq, seq, p->domain) != NULL) {
			r->acked_seq = r->pending_seq;
			r->pending_seq = seq;
		} else if (seq - r->pending_seq > tx->count / 8) {
			r->pending_seq = seq; /* that one got lost */
		}
	}
	r->newest_seq = seq;
	r->expected_from = 0;
	if (m->piece_count > 0) {
		const struct store_piece *last = &m->pieces[m->piece_count - 1];

		if ((uint32_t)last->at + last->len == p->len) {
			r->expected_seq = last->seq;
			r->expected_from = (uint32_t)last->from + last->len;
		}
	}
}

void store_keep(struct store_sender *s, unsigned lane, const struct store_packet *p, uint32_t seq,
	uint64_t now_ns)
{
	struct store_tx *tx = &s->lane[lane];
	struct store_slot *slot;

	if (tx->count == 0 || p->len > tx->slot_bytes || p->len > STORE_PACKET_MAX)
		return;
	if (s->match.is_used) {
		s->counts.hits++;
		s->counts.hit_bytes += s->match.covered;
		s->counts.in_bytes += p->len;
		s->counts.out_bytes += s->match.out_len;
	} else {
		s->counts.misses++;
	}
	slot = &tx->slots[seq % tx->count];
	*slot = (struct store_slot){.seq = seq,
		.generation = tx->generation,
		.domain = p->domain,
		.len = (uint16_t)p->len & 0x3fff};
	memcpy(data_of(tx, seq), p->bytes, p->len);
	enter_anchors(tx, &s->match, seq);
	note_recent(tx, &s->match, p, seq);
	tx->kept_ns[(uint64_t)(seq % tx->count) * STORE_AGES / tx->count] = now_ns;
	s->counts.kept++;
}

void store_acked(
	struct store_sender *s, unsigned lane, uint32_t base, const uint64_t *words, unsigned count)
{
	const struct store_tx *tx = &s->lane[lane];

	if (tx->count == 0)
		return;
	for (unsigned i = 0; i < count; i++) {
		for (uint64_t left = words[i]; left != 0; left &= left - 1) {
			uint32_t seq = base + i * 64 + (uint32_t)__builtin_ctzll(left);
			struct store_slot *slot = &tx->slots[seq % tx->count];

			if (!store_holds(slot, tx->generation, seq) || slot->is_acked)
				continue;
			slot->is_acked = true;
			s->counts.acked++;
		}
	}
}

void store_refused(struct store_sender *s, unsigned lane, uint32_t seq, uint64_t now_ns)
{
	struct store_tx *tx = &s->lane[lane];
	struct store_slot *slot;

	if (tx->count == 0)
		return;
	slot = &tx->slots[seq % tx->count];
	if (!store_holds(slot, tx->generation, seq) || !slot->is_acked)
		return;
	slot->generation = 0; /* neither referred to nor acknowledged any more */
	s->counts.refused++;
	if (now_ns - tx->refused_since_ns > REFUSED_NS) {
		tx->refused_since_ns = now_ns;
		tx->refused = 0;
	}
	if (++tx->refused >= REFUSED_MAX) {
		tx->refused = 0;
		tx->generation = ++s->memory.generation;
		memset(tx->kept_ns, 0, sizeof(tx->kept_ns));
		s->counts.voided++;
	}
}

uint64_t store_oldest_ns(const struct store_sender *s, uint64_t now_ns)
{
	uint64_t oldest_ns = now_ns;

	for (unsigned lane = 0; lane < STORE_LANES; lane++)
		for (unsigned i = 0; i < STORE_AGES; i++) {
			uint64_t kept_ns =
				__atomic_load_n(&s->lane[lane].kept_ns[i], __ATOMIC_RELAXED);

			if (kept_ns != 0 && kept_ns < oldest_ns)
				oldest_ns = kept_ns;
		}
	return now_ns - oldest_ns;
}
