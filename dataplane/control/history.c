/* SPDX-License-Identifier: BSD-3-Clause */
/* Rings of rows: history.h. */
#include "dataplane/control/history.h"

#include <stdlib.h>
#include <string.h>

struct ring {
	bool is_used;
	uint64_t first, last; /* steps; those left out in between are marked in `step` */
	uint32_t step[HISTORY_ROWS];
	struct history_row row[HISTORY_ROWS];
};

struct history {
	unsigned subjects;
	struct ring ring[];
};

uint64_t history_memory_needed(unsigned subjects)
{
	return sizeof(struct history) + subjects * sizeof(struct ring);
}

struct history *history_create(unsigned subjects)
{
	struct history *h = calloc(1, history_memory_needed(subjects));

	if (h != NULL)
		h->subjects = subjects;
	return h;
}

void history_destroy(struct history *h)
{
	free(h);
}

void history_write(
	struct history *h, unsigned subject, uint64_t step, const struct history_row *row)
{
	struct ring *r = &h->ring[subject];

	if (subject >= h->subjects || (r->is_used && step <= r->last))
		return;
	if (!r->is_used)
		r->first = step;
	r->is_used = true;
	r->last = step;
	r->step[step % HISTORY_ROWS] = (uint32_t)step;
	r->row[step % HISTORY_ROWS] = *row;
}

const struct history_row *history_read(const struct history *h, unsigned subject, uint64_t step)
{
	const struct ring *r = &h->ring[subject];

	if (subject >= h->subjects || !r->is_used || step > r->last || step < r->first ||
		r->last - step >= HISTORY_ROWS || r->step[step % HISTORY_ROWS] != (uint32_t)step)
		return NULL;
	return &r->row[step % HISTORY_ROWS];
}

void history_reset(struct history *h, unsigned subject)
{
	if (subject < h->subjects)
		memset(&h->ring[subject], 0, sizeof(h->ring[subject]));
}
