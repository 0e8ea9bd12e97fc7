/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The built-in dictionaries, one a kind of traffic: what such data often says, so that a packet can
 * refer to it. tools/dictionaries trains them, the folder dictionaries/ holds them. Both ends must
 * have the same bytes: a hello names them by id and hash (link/hello.h). codec.h uses them.
 */
#ifndef SLUICE_COMPRESS_DICTIONARIES_H
#define SLUICE_COMPRESS_DICTIONARIES_H

#include <stddef.h>
#include <stdint.h>

#include "dataplane/compress/lz4.h"
#include "dataplane/compress/zstd.h"

#define DICTIONARY_IDS 16 /* ids are 1 to 15, 0 stands for none */
#define DICTIONARIES_ALIGN 64

/* One of them, as built in. bytes[len]: a zstd dictionary (RFC 8878, 5). */
struct dictionary_source {
	uint8_t id;
	const char *kind;
	const uint8_t *bytes;
	uint32_t len;
};

/* Made by tools/embed.py of the files in dictionaries/. Ends with id 0. */
extern const struct dictionary_source dictionary_sources[];

/* One of them, ready for use. */
struct dictionary {
	uint8_t id;
	const char *kind;
	uint64_t hash;		/* XXH3_64 of all of its bytes */
	const uint8_t *content; /* without the tables of zstd: what LZ4 uses */
	uint32_t content_len;
	uint32_t tables_len; /* those, in front of it */
	const struct lz4_dictionary *lz4;
	const struct zstd_dictionary *zstd;
};

/* All of them. Read only once it is made: shared by all threads. */
struct dictionaries {
	struct dictionary by_id[DICTIONARY_IDS]; /* id 0: there is none of that id */
	uint16_t ids;				 /* bit: there is one of that id */
};

size_t dictionaries_bytes(void);

/* Make them ready in dictionaries_bytes() of memory, aligned to DICTIONARIES_ALIGN, which stays the
 * caller's. NULL when a dictionary cannot be used. */
struct dictionaries *dictionaries_init(void *memory);

/* The dictionary of an id, or NULL. Any id is fine. */
static inline const struct dictionary *dictionaries_find(const struct dictionaries *all, uint8_t id)
{
	return all != NULL && id > 0 && id < DICTIONARY_IDS && all->by_id[id].id == id
		       ? &all->by_id[id]
		       : NULL;
}

#endif
