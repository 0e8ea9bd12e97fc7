/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory of acknowledged history (epoch.h), its shares for the lanes, and the bytes that both
 * ends must compose alike.
 */
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "dataplane/compress/epoch_private.h"

#define LINE 64

static inline uint64_t whole_lines(uint64_t bytes)
{
	return (bytes + LINE - 1) / LINE * LINE;
}

uint32_t epoch_count(uint32_t slots)
{
	return slots / EPOCH_SLOTS;
}

uint64_t epoch_tx_lz4_at(void)
{
	return whole_lines(sizeof(struct epoch_content));
}

uint64_t epoch_tx_zstd_at(void)
{
	return epoch_tx_lz4_at() + whole_lines(lz4_dictionary_bytes());
}

uint64_t epoch_tx_stride(void)
{
	return epoch_tx_zstd_at() +
	       whole_lines(zstd_history_encoder_bytes(EPOCH_TABLES_MAX + EPOCH_BYTES));
}

uint64_t epoch_rx_zstd_at(void)
{
	return whole_lines(sizeof(struct epoch_content));
}

uint64_t epoch_rx_stride(void)
{
	return epoch_rx_zstd_at() +
	       whole_lines(zstd_history_decoder_bytes(EPOCH_TABLES_MAX + EPOCH_BYTES));
}

uint64_t epoch_memory_bytes(uint32_t slots, bool is_sender)
{
	uint64_t count = epoch_count(slots);

	if (is_sender)
		return whole_lines(count * sizeof(struct epoch_key)) +
		       whole_lines(count * sizeof(struct epoch_flow)) + count * epoch_tx_stride();
	count *= EPOCH_BUFFERS;
	return whole_lines(count * sizeof(struct epoch_buffer)) + count * epoch_rx_stride();
}

void epoch_sender_init(struct epoch_sender *h, void *memory, uint32_t slots,
	const struct dictionaries *dictionaries, struct store_sender *store)
{
	uint8_t *p = memory;

	*h = (struct epoch_sender){
		.store = store, .dictionaries = dictionaries, .count = epoch_count(slots)};
	h->keys = (struct epoch_key *)p;
	p += whole_lines(h->count * sizeof(struct epoch_key));
	h->histories = (struct epoch_flow *)p;
	p += whole_lines(h->count * sizeof(struct epoch_flow));
	h->memory = p;
}

void epoch_receiver_init(struct epoch_receiver *h, void *memory, uint32_t slots,
	const struct dictionaries *dictionaries, struct store_receiver *store)
{
	uint8_t *p = memory;

	*h = (struct epoch_receiver){
		.store = store, .dictionaries = dictionaries, .count = epoch_count(slots)};
	h->buffers = (struct epoch_buffer *)p;
	p += whole_lines((uint64_t)h->count * EPOCH_BUFFERS * sizeof(struct epoch_buffer));
	h->memory = p;
}

/* The lanes' shares follow from their slots, of which a sender's has no more than the receiver's:
 * so it has no more histories either. */
static void share(struct epoch_lane *lane, uint32_t slots, uint32_t *first, uint32_t count)
{
	uint32_t n = epoch_count(slots);

	if (n > EPOCH_LANE_MAX)
		n = EPOCH_LANE_MAX;
	if (n > count - *first)
		n = count - *first;
	*lane = (struct epoch_lane){.first = *first, .count = n};
	*first += n;
}

void epoch_sender_start(struct epoch_sender *h)
{
	uint32_t first = 0;

	for (unsigned i = 0; i < STORE_WORKERS; i++)
		share(&h->lane[i], h->store->lane[i].kept.count, &first, h->count);
	memset(h->keys, 0, h->count * sizeof(*h->keys));
	memset(h->histories, 0, h->count * sizeof(*h->histories));
	h->due_at = h->due_count = 0;
}

void epoch_receiver_start(struct epoch_receiver *h)
{
	uint32_t first = 0;

	for (unsigned i = 0; i < STORE_WORKERS; i++)
		share(&h->lane[i], h->store->lane[i].kept.count, &first, h->count);
	memset(h->buffers, 0, (size_t)h->count * EPOCH_BUFFERS * sizeof(*h->buffers));
	memset(h->refusals, 0, sizeof(h->refusals));
}

/* Begin with the end of a dictionary, as far as it leaves room for the packets. */
static void begin(
	struct epoch_content *c, const struct dictionary *dictionary, uint32_t packets_len)
{
	uint32_t front = EPOCH_BYTES - packets_len;

	c->len = c->tables = 0;
	if (dictionary == NULL)
		return;
	if (front > dictionary->content_len)
		front = dictionary->content_len;
	memcpy(c->bytes + EPOCH_TABLES_MAX, dictionary->content + dictionary->content_len - front,
		front);
	c->len = front;
	/* Where there are no tables that fit, both ends go without. */
	if (dictionary->tables_len <= EPOCH_TABLES_MAX) {
		c->tables = dictionary->tables_len;
		memcpy(c->bytes + EPOCH_TABLES_MAX - c->tables,
			dictionary->content - dictionary->tables_len, c->tables);
	}
}

static inline bool has(const uint8_t *map, uint32_t i)
{
	return map[i / 8] >> i % 8 & 1;
}

/* Bytes of packet i that the epoch has. */
static inline uint32_t part(const struct epoch_list *list, uint32_t i, uint32_t len)
{
	if (i == list->count - 1u)
		return len;
	return len > list->skip ? len - list->skip : 0;
}

bool epoch_compose(struct epoch_content *c, const struct store_kept *source,
	const struct epoch_list *list, const uint8_t *map, const struct dictionary *dictionary)
{
	uint32_t total = 0;

	for (uint32_t i = 0; i < list->count; i++) {
		const struct store_slot *slot = epoch_slot(source, list->seqs[i]);

		if (!has(map, i))
			continue;
		if (slot == NULL)
			return false;
		total += part(list, i, slot->len);
	}
	if (total > EPOCH_BYTES)
		return false;
	begin(c, dictionary, total);
	for (uint32_t i = 0; i < list->count; i++) {
		const struct store_slot *slot = epoch_slot(source, list->seqs[i]);
		uint32_t len;

		if (!has(map, i))
			continue;
		len = part(list, i, slot->len);
		memcpy(c->bytes + EPOCH_TABLES_MAX + c->len,
			source->data +
				(uint64_t)(list->seqs[i] % source->count) * source->slot_bytes +
				(slot->len - len),
			len);
		c->len += len;
	}
	return true;
}

uint32_t epoch_hash(const struct epoch_content *c)
{
	return (uint32_t)XXH3_64bits(epoch_bytes(c), c->tables + c->len);
}
