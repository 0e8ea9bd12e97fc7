/* SPDX-License-Identifier: BSD-3-Clause */
/* What epoch_tx.c, epoch_rx.c and epoch_memory.c share (epoch.h). */
#ifndef SLUICE_COMPRESS_EPOCH_PRIVATE_H
#define SLUICE_COMPRESS_EPOCH_PRIVATE_H

#include "dataplane/compress/epoch.h"

/* Memory of one history at the sender, and of one buffer at the receiver: bytes from one to the
 * next, and where in it the codecs' tables are. A struct epoch_content comes first. */
uint64_t epoch_tx_stride(void);
uint64_t epoch_tx_lz4_at(void);
uint64_t epoch_tx_zstd_at(void);
uint64_t epoch_rx_stride(void);
uint64_t epoch_rx_zstd_at(void);

#define EPOCH_GENERATIONS 4096 /* that a name can tell */

static inline uint32_t epoch_name(uint32_t buffer, uint32_t generation)
{
	return buffer << 12 | generation % EPOCH_GENERATIONS;
}

/* The slot of a packet that is kept, or NULL. The lane is this worker's. */
static inline const struct store_slot *epoch_slot(const struct store_kept *s, uint32_t seq)
{
	const struct store_slot *slot = &s->slots[seq % s->count];

	return store_holds(slot, s->generation, seq) ? slot : NULL;
}

/*
 * Compose an epoch of the list's packets i with bit (i % 8) of map[i / 8]: both ends do it here.
 * dictionary: the list's, or NULL. False: one of them is not kept, or they are too many bytes.
 */
bool epoch_compose(struct epoch_content *c, const struct store_kept *source,
	const struct epoch_list *list, const uint8_t *map, const struct dictionary *dictionary);

uint32_t epoch_hash(const struct epoch_content *c);

/* The zstd dictionary of a content. */
static inline const uint8_t *epoch_bytes(const struct epoch_content *c)
{
	return c->bytes + EPOCH_TABLES_MAX - c->tables;
}

#endif
