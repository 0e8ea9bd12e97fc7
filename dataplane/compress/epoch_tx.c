/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sender's half of acknowledged history (epoch.h): which flows and services have one, when it
 * is renewed, and compressing against it.
 */
#include <string.h>

#include "dataplane/compress/epoch_private.h"

#define WAYS 8 /* histories that a flow may have one of */
/* So heavy a flow gets at most: others can have its place after as many bytes. */
#define WEIGHT_MAX (1u << 20)
#define IDLE_MS 3000 /* unused for that long, it is anyone's */

/* A new offer is due when the flow has brought so many bytes: as many as it has as history, but
 * from FIRST up to RENEW. What zstd makes ready for an epoch costs ten times as much as for LZ4. */
#define FIRST_BYTES 4096
#define RENEW_LZ4_BYTES 32768
#define RENEW_ZSTD_BYTES 65536
/* A flow with its service's history has its own when it has brought more than short flows do. */
#define FIRST_SERVED_BYTES 16384
/* So many packets of a flow its service learns from. */
#define SERVICE_PACKETS 8

/* Without an answer in twice the time of the last one, and this at least, the offer is lost. */
#define ANSWER_MIN_NS UINT64_C(20000000)
#define ANSWER_FIRST_NS UINT64_C(500000000)
/* A buffer that packets have referred to is left in peace for this long. */
#define REST_NS UINT64_C(5000000)

#define NONE EPOCH_BUFFERS

static struct epoch_content *content_of(const struct epoch_sender *h, uint32_t index)
{
	return (struct epoch_content *)(h->memory + index * epoch_tx_stride());
}

static uint32_t name_of(const struct epoch_sender *h, unsigned lane, uint32_t index,
	uint32_t buffer, uint32_t generation)
{
	return epoch_name((index - h->lane[lane].first) * EPOCH_BUFFERS + buffer, generation);
}

/* Which of a flow's or service's own. */
static struct epoch_key flow_key(const struct store_packet *p)
{
	return (struct epoch_key){.hash = p->flow_hash, .domain = p->domain};
}

static struct epoch_key service_key(const struct store_packet *p, uint8_t dictionary)
{
	return (struct epoch_key){.hash = p->service_hash + dictionary * UINT32_C(0x9e3779b1),
		.domain = p->domain,
		.is_service = true};
}

/* The set that has it: *first and how many. */
static uint32_t set_of(
	const struct epoch_sender *h, unsigned lane, const struct epoch_key *key, uint32_t *first)
{
	const struct epoch_lane *l = &h->lane[lane];
	uint32_t sets = l->count / WAYS;

	*first = l->first;
	if (sets < 2)
		return l->count < WAYS ? l->count : WAYS;
	/* The low bits of a flow's have chosen the lane. */
	*first += (uint32_t)((uint64_t)(key->hash * UINT32_C(0x9e3779b1)) * sets >> 32) * WAYS;
	return WAYS;
}

/* Its history, -1: it has none. */
static int64_t find(const struct epoch_sender *h, unsigned lane, struct epoch_key key)
{
	uint32_t first, n = set_of(h, lane, &key, &first);

	for (uint32_t i = first; i < first + n; i++)
		if (h->keys[i].hash == key.hash && h->keys[i].domain == key.domain &&
			h->keys[i].is_service == key.is_service && h->keys[i].weight > 0)
			return i;
	return -1;
}

/* Forget what the history says of a flow; not what it has named buffers. */
static void empty(struct epoch_flow *e)
{
	e->current = e->offered = NONE;
	e->recent_count = 0;
	e->new_bytes = 0;
}

/* There is none: does a packet of `len` bytes win one? Its bytes are taken off the weights of the
 * set (as Misra and Gries do, 1982), all off the lightest, which loses its place when nothing is
 * left: when those without have sent WAYS times as much as it. A new one costs a round trip
 * without, so many small flows must not take turns. */
static int64_t compete(
	struct epoch_sender *h, unsigned lane, struct epoch_key of, uint32_t len, uint32_t now_ms)
{
	uint32_t first, n = set_of(h, lane, &of, &first), lightest = first;
	struct epoch_key *key;

	if (n == 0)
		return -1;
	for (uint32_t i = first; i < first + n; i++) {
		if (h->keys[i].weight > 0 && now_ms - h->keys[i].used_ms > IDLE_MS)
			h->keys[i].weight = 0;
		if (h->keys[i].weight < h->keys[lightest].weight)
			lightest = i;
	}
	key = &h->keys[lightest];
	if (key->weight > len / WAYS) {
		key->weight -= len / WAYS;
		return -1;
	}
	*key = of;
	empty(&h->histories[lightest]);
	h->counts.flows++;
	return lightest;
}

/* It has served, or been fed by, a packet. */
static void weigh(struct epoch_key *key, uint32_t len, uint64_t now_ns)
{
	key->weight = key->weight < WEIGHT_MAX ? key->weight + len : WEIGHT_MAX;
	key->used_ms = (uint32_t)(now_ns / 1000000);
}

static bool is_ready(const struct epoch_sender *h, int64_t index, struct codec_method method)
{
	const struct epoch_flow *e = &h->histories[index < 0 ? 0 : index];

	return index >= 0 && e->current != NONE &&
	       e->number == (method.number == CODEC_ZSTD ? CODEC_ZSTD : CODEC_LZ4);
}

/* The history that a packet is to be compressed against: its flow's, or, as long as that is by far
 * the shorter one, its service's. -1: there is none. */
static int64_t choose_history(const struct epoch_sender *h, unsigned lane,
	const struct store_packet *p, struct codec_method method)
{
	int64_t own = find(h, lane, flow_key(p)), service;

	if (!is_ready(h, own, method))
		own = -1;
	else if (content_of(h, (uint32_t)own)->len >= FIRST_SERVED_BYTES)
		return own;
	service = p->service_hash == 0 ? -1 : find(h, lane, service_key(p, method.dictionary));
	return is_ready(h, service, method) ? service : own;
}

int epoch_encode(struct epoch_sender *h, unsigned lane, const struct store_packet *p,
	struct codec *codec, struct codec_method method, uint8_t *out, uint32_t room,
	uint64_t now_ns, uint8_t *number)
{
	int64_t index = choose_history(h, lane, p, method);
	struct epoch_flow *e;
	int n;

	if (index < 0 || room <= EPOCH_NAME_BYTES)
		return 0;
	e = &h->histories[index];
	if (e->number == CODEC_ZSTD) {
		*number = CODEC_ZSTD_HISTORY;
		/* With the level that it was made ready for. */
		n = zstd_compress(codec_zstd(codec), e->zstd, p->bytes, p->len,
			out + EPOCH_NAME_BYTES, room - EPOCH_NAME_BYTES, e->effort);
	} else {
		*number = CODEC_LZ4_HISTORY;
		n = compressor_lz4_dictionary(codec_compressor(codec), e->lz4, p->bytes, p->len,
			out + EPOCH_NAME_BYTES, room - EPOCH_NAME_BYTES, method.effort);
	}
	if (n <= 0)
		return 0;
	store_put(out, name_of(h, lane, (uint32_t)index, e->current, e->current_generation),
		EPOCH_NAME_BYTES);
	e->used_ns[e->current] = now_ns;
	h->counts.used++;
	if (h->keys[index].is_service) {
		weigh(&h->keys[index], p->len, now_ns);
		h->counts.shared++;
	}
	return n + EPOCH_NAME_BYTES;
}

/* Put the history on the list of those whose offer is due. */
static void make_due(struct epoch_sender *h, unsigned lane, uint32_t index)
{
	unsigned at = (h->due_at + h->due_count) % EPOCH_DUE;

	if (h->histories[index].is_due || h->due_count == EPOCH_DUE)
		return;
	h->histories[index].is_due = true;
	h->due[at].index = index;
	h->due[at].lane = (uint8_t)lane;
	h->due_count++;
}

/* Is there enough that is new? is_served: its service has one in the meantime. */
static bool wants_offer(const struct epoch_sender *h, uint32_t index, bool is_served)
{
	const struct epoch_flow *e = &h->histories[index];
	uint32_t most = e->wanted_number == CODEC_ZSTD ? RENEW_ZSTD_BYTES : RENEW_LZ4_BYTES;
	uint32_t need = e->current == NONE ? FIRST_BYTES : content_of(h, index)->len;

	if (need < FIRST_BYTES)
		need = FIRST_BYTES;
	if (is_served && need < FIRST_SERVED_BYTES)
		need = FIRST_SERVED_BYTES;
	return e->new_bytes >= (need < most ? need : most);
}

/* No answer has come in time. */
static bool is_lost(const struct epoch_flow *e, uint64_t now_ns)
{
	uint64_t limit_ns = e->answer_ns == 0 ? ANSWER_FIRST_NS : 2 * e->answer_ns;

	return now_ns - e->offered_ns > (limit_ns > ANSWER_MIN_NS ? limit_ns : ANSWER_MIN_NS);
}

/* A packet of what the history is of has been kept. */
static void keep(struct epoch_sender *h, unsigned lane, uint32_t index,
	const struct store_packet *p, uint32_t seq, struct codec_method method, bool is_served,
	uint64_t now_ns)
{
	struct epoch_flow *e = &h->histories[index];

	weigh(&h->keys[index], p->len, now_ns);
	e->recent[e->recent_at++ % EPOCH_PACKETS] = seq;
	if (e->recent_count < EPOCH_PACKETS)
		e->recent_count++;
	e->header_len = p->header_len < UINT8_MAX ? (uint8_t)p->header_len : UINT8_MAX;
	if (method.number == CODEC_RAW)
		return;
	e->new_bytes += p->len;
	e->wanted_number = method.number == CODEC_ZSTD ? CODEC_ZSTD : CODEC_LZ4;
	e->wanted_effort = method.effort;
	e->wanted_dictionary = method.dictionary;
	if (e->offered != NONE && is_lost(e, now_ns)) {
		e->offered = NONE;
		h->counts.lost++;
	}
	if (e->offered == NONE && wants_offer(h, index, is_served))
		make_due(h, lane, index);
}

void epoch_keep(struct epoch_sender *h, unsigned lane, const struct store_packet *p, uint32_t seq,
	struct codec_method method, uint64_t now_ns)
{
	const struct epoch_key service = service_key(p, method.dictionary);
	uint32_t now_ms = (uint32_t)(now_ns / 1000000);
	int64_t own = find(h, lane, flow_key(p)), shared;

	if (method.number != CODEC_RAW && own < 0)
		own = compete(h, lane, flow_key(p), p->len, now_ms);
	shared = p->service_hash == 0 ? -1 : find(h, lane, service);
	if (own >= 0)
		keep(h, lane, (uint32_t)own, p, seq, method, is_ready(h, shared, method), now_ns);
	/* What the store has served the service has already. */
	if (method.number == CODEC_RAW || p->service_hash == 0 ||
		(own >= 0 && h->histories[own].recent_count > SERVICE_PACKETS))
		return;
	if (shared < 0)
		shared = compete(h, lane, service, p->len, now_ms);
	if (shared >= 0)
		keep(h, lane, (uint32_t)shared, p, seq, method, false, now_ns);
}

/* The buffer that has rested longest, if that is long enough. */
static unsigned free_buffer(const struct epoch_flow *e, uint64_t now_ns)
{
	unsigned best = NONE;

	for (unsigned i = 0; i < EPOCH_BUFFERS; i++) {
		if (i == e->current || (e->used_ns[i] != 0 && now_ns - e->used_ns[i] < REST_NS))
			continue;
		if (best == NONE || e->used_ns[i] < e->used_ns[best])
			best = i;
	}
	return best;
}

/* Fill the list with the flow's last packets, as many as there is room for. */
static void choose_packets(const struct store_kept *source, struct epoch_flow *e)
{
	struct epoch_list *list = &e->offer;
	uint32_t left = EPOCH_BYTES, next = 0;

	list->count = 0;
	list->skip = e->header_len;
	list->dictionary = e->wanted_dictionary;
	for (uint32_t i = 1; i <= e->recent_count; i++) {
		uint32_t seq = e->recent[(uint16_t)(e->recent_at - i) % EPOCH_PACKETS];
		const struct store_slot *slot = epoch_slot(source, seq);

		if (slot == NULL || slot->len > left ||
			(i > 1 && (next - seq == 0 || next - seq > 0x7fff)))
			break;
		left -= slot->len;
		next = seq;
		list->seqs[list->count++] = seq;
	}
	for (uint32_t i = 0; i < list->count / 2u; i++) {
		uint32_t *a = &list->seqs[i], *b = &list->seqs[list->count - 1u - i], other = *a;

		*a = *b;
		*b = other;
	}
}

static uint32_t write_offer(const struct epoch_list *list, uint32_t name, uint8_t *out)
{
	uint8_t *p = out;

	p = store_put(p, EPOCH_OFFER, 1);
	p = store_put(p, list->dictionary, 1);
	p = store_put(p, name, EPOCH_NAME_BYTES);
	p = store_put(p, list->skip, 1);
	p = store_put(p, list->count, 1);
	p = store_put(p, 0, 1);
	p = store_put(p, list->seqs[0], 4);
	for (unsigned i = 1; i < list->count; i++) {
		uint32_t step = list->seqs[i] - list->seqs[i - 1];

		p = step < 0x80 ? store_put(p, step, 1) : store_put(p, 0x8000 | step, 2);
	}
	return (uint32_t)(p - out);
}

uint32_t epoch_offer(
	struct epoch_sender *h, uint8_t out[EPOCH_OFFER_MAX], unsigned *lane, uint64_t now_ns)
{
	while (h->due_count > 0) {
		uint32_t index = h->due[h->due_at].index;
		struct epoch_flow *e = &h->histories[index];
		unsigned buffer = free_buffer(e, now_ns);

		*lane = h->due[h->due_at].lane;
		h->due_at = (h->due_at + 1) % EPOCH_DUE;
		h->due_count--;
		e->is_due = false;
		const struct store_kept *source = &h->store->lane[*lane].kept;
		/* What may have changed since it was due: it is again with the next packet. */
		if (buffer == NONE || e->offered != NONE || e->recent_count == 0)
			continue;
		choose_packets(source, e);
		if (e->offer.count == 0)
			continue;
		e->generation = (e->generation + 1) % EPOCH_GENERATIONS;
		e->offered = (uint8_t)buffer;
		e->offered_ns = now_ns;
		e->new_bytes = 0;
		h->counts.offered++;
		return write_offer(&e->offer, name_of(h, *lane, index, buffer, e->generation), out);
	}
	return 0;
}

/* The receiver has said what it has of the offer: make the same of it. */
static bool make_epoch(
	struct epoch_sender *h, unsigned lane, uint32_t index, const uint8_t *map, uint32_t hash)
{
	struct epoch_flow *e = &h->histories[index];
	struct epoch_content *c = content_of(h, index);
	const struct store_kept *source = &h->store->lane[lane].kept;
	uint8_t *memory = (uint8_t *)c;

	/* The old one is gone with its bytes. */
	e->current = NONE;
	if (!epoch_compose(c, source, &e->offer, map,
		    dictionaries_find(h->dictionaries, e->offer.dictionary)) ||
		epoch_hash(c) != hash)
		return false;
	e->number = e->wanted_number;
	e->effort = e->wanted_effort;
	if (e->number == CODEC_ZSTD)
		e->zstd = zstd_history_encoder_init(memory + epoch_tx_zstd_at(), epoch_bytes(c),
			c->tables + c->len, c->tables > 0, e->effort);
	else
		e->lz4 = lz4_dictionary_init(
			memory + epoch_tx_lz4_at(), c->bytes + EPOCH_TABLES_MAX, c->len);
	if ((e->number == CODEC_ZSTD ? (const void *)e->zstd : (const void *)e->lz4) == NULL)
		return false;
	e->current = e->offered;
	e->current_generation = e->generation;
	return true;
}

void epoch_answered(
	struct epoch_sender *h, unsigned lane, const uint8_t *bytes, uint32_t len, uint64_t now_ns)
{
	uint32_t name, index, buffer, generation, map_len;
	struct epoch_flow *e;

	if (len < 2 + EPOCH_NAME_BYTES || bytes[0] != EPOCH_ANSWER)
		return;
	name = store_get(bytes + 2, EPOCH_NAME_BYTES);
	generation = name % EPOCH_GENERATIONS;
	index = (name >> 12) / EPOCH_BUFFERS;
	buffer = (name >> 12) % EPOCH_BUFFERS;
	if (index >= h->lane[lane].count)
		return;
	index += h->lane[lane].first;
	e = &h->histories[index];
	if (h->keys[index].weight == 0)
		return;
	if (bytes[1] == 0) {
		if (e->current == buffer && e->current_generation == generation) {
			e->current = NONE;
			h->counts.refused++;
		}
		return;
	}
	map_len = (bytes[1] + 7u) / 8;
	if (e->offered != buffer || e->generation != generation || bytes[1] != e->offer.count ||
		len != 2 + EPOCH_NAME_BYTES + map_len + 4)
		return;
	e->answer_ns = now_ns - e->offered_ns + 1;
	if (make_epoch(h, lane, index, bytes + 2 + EPOCH_NAME_BYTES,
		    store_get(bytes + 2 + EPOCH_NAME_BYTES + map_len, 4)))
		h->counts.made++;
	else
		h->counts.refused++;
	e->offered = NONE;
	if (wants_offer(h, index, false))
		make_due(h, lane, index);
}
