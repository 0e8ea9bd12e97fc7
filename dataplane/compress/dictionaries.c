/* SPDX-License-Identifier: BSD-3-Clause */
/* Makes the built-in dictionaries (dictionaries.h) ready for both codecs, once, at start. */
#include "dataplane/compress/dictionaries.h"

#include <string.h>
#include <zdict.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static size_t aligned(size_t bytes)
{
	return (bytes + DICTIONARIES_ALIGN - 1) / DICTIONARIES_ALIGN * DICTIONARIES_ALIGN;
}

size_t dictionaries_bytes(void)
{
	size_t bytes = aligned(sizeof(struct dictionaries));

	for (const struct dictionary_source *s = dictionary_sources; s->id != 0; s++)
		bytes += aligned(lz4_dictionary_bytes()) + aligned(zstd_dictionary_bytes(s->len));
	return bytes;
}

struct dictionaries *dictionaries_init(void *memory)
{
	struct dictionaries *all = memory;
	uint8_t *at = memory;

	if (all == NULL || (uintptr_t)memory % DICTIONARIES_ALIGN != 0)
		return NULL;
	memset(all, 0, sizeof(*all));
	at += aligned(sizeof(*all));
	for (const struct dictionary_source *s = dictionary_sources; s->id != 0; s++) {
		size_t header = ZDICT_getDictHeaderSize(s->bytes, s->len);
		struct dictionary *d;

		if (ZDICT_isError(header) || s->id >= DICTIONARY_IDS || all->by_id[s->id].id != 0)
			return NULL;
		d = &all->by_id[s->id];
		d->id = s->id;
		d->kind = s->kind;
		d->hash = XXH3_64bits(s->bytes, s->len);
		d->content = s->bytes + header;
		d->content_len = s->len - (uint32_t)header;
		d->tables_len = (uint32_t)header;
		d->lz4 = lz4_dictionary_init(at, d->content, d->content_len);
		at += aligned(lz4_dictionary_bytes());
		d->zstd = zstd_dictionary_init(at, s->bytes, s->len);
		at += aligned(zstd_dictionary_bytes(s->len));
		if (d->lz4 == NULL || d->zstd == NULL)
			return NULL;
		all->ids |= (uint16_t)(1u << s->id);
	}
	return all;
}
