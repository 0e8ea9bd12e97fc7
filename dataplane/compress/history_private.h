/* SPDX-License-Identifier: BSD-3-Clause */
/* What history_tx.c, history_rx.c and history_memory.c share (history.h). */
#ifndef SLUICE_COMPRESS_HISTORY_PRIVATE_H
#define SLUICE_COMPRESS_HISTORY_PRIVATE_H

#include "dataplane/compress/history.h"

/* Memory of one history at the sender, and of one buffer at the receiver: bytes from one to the
 * next, and where in it the codecs' tables are. A struct history_content comes first. */
uint64_t history_tx_stride(void);
uint64_t history_tx_lz4_at(void);
uint64_t history_tx_zstd_at(void);
uint64_t history_rx_stride(void);
uint64_t history_rx_zstd_at(void);

#define HISTORY_GENERATIONS 4096 /* that a name can tell */

static inline uint32_t history_name(uint32_t buffer, uint32_t generation)
{
	return buffer << 12 | generation % HISTORY_GENERATIONS;
}

/* Where the packets of a lane are kept, at either end. */
struct history_source {
	const struct store_slot *slots;
	const uint8_t *data;
	uint32_t count, slot_bytes, generation;
};

/* The slot of a packet that is kept, or NULL. */
static inline const struct store_slot *history_slot(const struct history_source *s, uint32_t seq)
{
	const struct store_slot *slot = &s->slots[seq % s->count];

	return store_holds(slot, s->generation, seq) ? slot : NULL;
}

/*
 * Compose an epoch of the list's packets i with bit (i % 8) of map[i / 8]: both ends do it here.
 * dictionary: the list's, or NULL. False: one of them is not kept, or they are too many bytes.
 */
bool history_compose(struct history_content *c, const struct history_source *source,
	const struct history_list *list, const uint8_t *map, const struct dictionary *dictionary);

uint32_t history_hash(const struct history_content *c);

/* The zstd dictionary of a content. */
static inline const uint8_t *history_bytes(const struct history_content *c)
{
	return c->bytes + HISTORY_TABLES_MAX - c->tables;
}

#endif
