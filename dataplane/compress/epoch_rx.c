/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The receiver's half of acknowledged history (epoch.h): composes the epochs that are offered and
 * decodes what refers to them. Everything comes from outside: nothing is believed, and what an
 * offer makes is used only by frames whose check verifies afterwards.
 */
#include <errno.h>
#include <string.h>

#include "dataplane/compress/epoch_private.h"

/* An offer as read. */
struct offer {
	const struct dictionary *dictionary;
	uint32_t name, buffer, generation;
	struct epoch_list list;
};

static struct epoch_content *content_of(const struct epoch_receiver *h, uint32_t index)
{
	return (struct epoch_content *)(h->memory + index * epoch_rx_stride());
}

/* Read the numbers of an offer's packets. */
static int read_seqs(const uint8_t *p, const uint8_t *end, struct offer *o)
{
	o->list.seqs[0] = store_get(p, 4);
	p += 4;
	for (uint32_t i = 1; i < o->list.count; i++) {
		uint32_t step;

		if (p == end)
			return -EBADMSG;
		step = *p++;
		if (step & 0x80) {
			if (p == end)
				return -EBADMSG;
			step = (step & 0x7f) << 8 | *p++;
		}
		if (step == 0)
			return -EBADMSG;
		o->list.seqs[i] = o->list.seqs[i - 1] + step;
	}
	return p == end ? 0 : -EBADMSG;
}

static int read_offer(const struct epoch_receiver *h, unsigned lane, const uint8_t *bytes,
	uint32_t len, struct offer *o)
{
	if (len < 12 || bytes[0] != EPOCH_OFFER || bytes[6] < 1 || bytes[6] > EPOCH_PACKETS ||
		bytes[7] != 0)
		return -EBADMSG;
	o->dictionary = dictionaries_find(h->dictionaries, bytes[1]);
	o->name = store_get(bytes + 2, 3);
	o->buffer = o->name >> 12;
	o->generation = o->name % EPOCH_GENERATIONS;
	o->list.skip = bytes[5];
	o->list.count = bytes[6];
	if ((bytes[1] != 0 && o->dictionary == NULL) ||
		o->buffer >= h->lane[lane].count * EPOCH_BUFFERS)
		return -EBADMSG;
	return read_seqs(bytes + 8, bytes + len, o);
}

uint32_t epoch_offered(struct epoch_receiver *h, unsigned lane, const uint8_t *bytes, uint32_t len,
	uint8_t out[EPOCH_ANSWER_MAX])
{
	uint8_t map[EPOCH_PACKETS / 8] = {0}, *p;
	struct offer o;

	if (h->lane[lane].count == 0 || read_offer(h, lane, bytes, len, &o) != 0)
		return 0;

	const struct store_kept *source = &h->store->lane[lane].kept;
	uint32_t index = h->lane[lane].first * EPOCH_BUFFERS + o.buffer;
	uint32_t map_len = (o.list.count + 7u) / 8, newer;
	struct epoch_buffer *b = &h->buffers[index];
	struct epoch_content *c = content_of(h, index);

	/* Not one that was overtaken by the next one for the buffer, nor twice the same: what is
	 * here now may be more than what was answered. */
	newer = (o.generation - b->generation) & (EPOCH_GENERATIONS - 1);
	if (b->is_made && (newer == 0 || newer >= EPOCH_GENERATIONS / 2))
		return 0;
	for (uint32_t i = 0; i < o.list.count; i++)
		if (epoch_slot(source, o.list.seqs[i]) != NULL)
			map[i / 8] |= (uint8_t)(1 << i % 8);
	b->zstd = NULL;
	b->generation = (uint16_t)o.generation;
	b->is_made = epoch_compose(c, source, &o.list, map, o.dictionary);
	if (!b->is_made)
		return 0;
	h->counts.made++;
	out[0] = EPOCH_ANSWER;
	out[1] = o.list.count;
	p = store_put(out + 2, o.name, EPOCH_NAME_BYTES);
	memcpy(p, map, map_len);
	p = store_put(p + map_len, epoch_hash(c), 4);
	return (uint32_t)(p - out);
}

/* Have the sender told that an epoch is not here. */
static void refuse(struct epoch_receiver *h, unsigned lane, uint32_t name, uint64_t now_ns)
{
	struct store_rx *rx = &h->store->lane[lane];

	h->counts.refused++;
	for (unsigned i = 0; i < h->refusals[lane]; i++)
		if (h->refused[lane][i] == name)
			return;
	if (h->refusals[lane] < EPOCH_REFUSALS)
		h->refused[lane][h->refusals[lane]++] = name;
	if (rx->due_ns == UINT64_MAX)
		rx->due_ns = now_ns + STORE_ACK_NS;
}

int epoch_expand(struct epoch_receiver *h, unsigned lane, struct codec *codec, uint8_t number,
	const uint8_t *in, uint32_t len, uint8_t *out, uint32_t original_len, uint64_t now_ns)
{
	const struct epoch_content *c;
	struct epoch_buffer *b;
	uint32_t name, index;
	int rc;

	if (len <= EPOCH_NAME_BYTES)
		return -EBADMSG;
	name = store_get(in, EPOCH_NAME_BYTES);
	index = name >> 12;
	if (index >= h->lane[lane].count * EPOCH_BUFFERS)
		return -EBADMSG;
	index += h->lane[lane].first * EPOCH_BUFFERS;
	b = &h->buffers[index];
	if (!b->is_made || b->generation != name % EPOCH_GENERATIONS) {
		refuse(h, lane, name, now_ns);
		return -ENOENT;
	}
	c = content_of(h, index);
	in += EPOCH_NAME_BYTES;
	len -= EPOCH_NAME_BYTES;
	if (number == CODEC_LZ4_HISTORY) {
		rc = decompress_lz4_dictionary(
			c->bytes + EPOCH_TABLES_MAX, c->len, in, len, out, original_len);
	} else if (number == CODEC_ZSTD_HISTORY) {
		if (b->zstd == NULL)
			b->zstd = zstd_history_decoder_init(
				(uint8_t *)(uintptr_t)c + epoch_rx_zstd_at(), epoch_bytes(c),
				c->tables + c->len, c->tables > 0);
		rc = b->zstd == NULL ? -EBADMSG
				     : zstd_decompress(codec_zstd(codec), b->zstd, in, len, out,
					       original_len);
	} else {
		rc = -EBADMSG;
	}
	h->counts.used += rc == 0;
	return rc;
}

uint32_t epoch_refusal(struct epoch_receiver *h, unsigned lane, uint8_t out[EPOCH_ANSWER_MAX])
{
	if (h->refusals[lane] == 0)
		return 0;
	out[0] = EPOCH_ANSWER;
	out[1] = 0;
	store_put(out + 2, h->refused[lane][--h->refusals[lane]], EPOCH_NAME_BYTES);
	return 2 + EPOCH_NAME_BYTES;
}
