/* SPDX-License-Identifier: BSD-3-Clause */
/* What packets are likely to give when they are compressed together (pack.h). */
#include "dataplane/compress/pack.h"

static uint8_t share_of(uint32_t len, uint32_t blob_len)
{
	uint32_t share = len == 0 ? PACK_SHARE : blob_len * PACK_SHARE / len;

	if (share > UINT8_MAX)
		return UINT8_MAX;
	return (uint8_t)(share > PACK_SHARE_LEAST ? share : PACK_SHARE_LEAST);
}

uint32_t pack_expected(struct pack_estimate *e, uint32_t room)
{
	if (e->skip > 0) {
		e->skip--;
		return 0;
	}
	/* A sixteenth is left for packets that compress less well than the last ones. */
	return e->share == 0 ? 0 : (room - room / 16) * PACK_SHARE / e->share;
}

/* Let so many packets go by themselves. */
static void skip(struct pack_estimate *e, unsigned packets)
{
	e->skip = packets < PACK_SKIP_MAX ? (uint8_t)packets & PACK_SKIP_MAX : PACK_SKIP_MAX;
}

bool pack_is_worth(struct pack_estimate *e, unsigned packets, uint32_t len, uint32_t room)
{
	if (len * e->share / PACK_SHARE <= room)
		return true;
	skip(e, packets);
	if (e->share > PACK_SHARE_LEAST)
		e->share--;
	return false;
}

void pack_single(struct pack_estimate *e, uint32_t len, uint32_t blob_len)
{
	uint8_t share = share_of(len, blob_len);

	/* Packets together give less than one: it tells only that things are better than thought.
	 */
	if (e->share == 0)
		e->share = share;
	else if (share < e->share)
		e->share = (uint8_t)(e->share - (e->share - share) / 4);
}

void pack_fitted(struct pack_estimate *e, uint32_t len, uint32_t blob_len)
{
	uint8_t share = share_of(len, blob_len);

	/* By the worse ones of late: what does not fit costs more than room that is left. */
	e->share = share >= e->share ? share : (uint8_t)(e->share - (e->share - share + 7) / 8);
	if (e->back_off > 0)
		e->back_off--;
}

void pack_failed(struct pack_estimate *e, unsigned packets)
{
	/* A little less at once; where that was not enough, half of it, and not at once. */
	uint32_t share = e->share + (e->back_off == 0 ? e->share / 8u + 1 : e->share);

	e->share = (uint8_t)(share < UINT8_MAX ? share : UINT8_MAX);
	if (e->back_off > 0)
		skip(e, packets << (e->back_off - 1));
	if (e->back_off < PACK_BACK_OFF_MAX)
		e->back_off++;
}
