/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fate of a frame: see impair.h. Every impairment draws from its own stream, and only for the
 * frames it applies to, so the n-th such frame meets the same fate in every run with one seed. The
 * words that change the settings are read in words.c; path.c carries the fate out.
 */
#include "impair.h"

#include <string.h>

void impair_reseed(struct impair *im)
{
	for (unsigned i = 0; i < STREAM_COUNT; i++)
		rng_seed(&im->rng[i], im->set.seed, im->direction * STREAM_COUNT + i);
	im->ge_is_bad = false;
}

void impair_init(struct impair *im, unsigned direction, uint64_t seed)
{
	memset(im, 0, sizeof(*im));
	im->direction = direction;
	im->set.overhead_bytes = 24;
	im->set.ge_r = 1;
	im->set.ge_bad = 1;
	im->set.corrupt_from_bytes = 14;
	im->set.reorder_packets = 3;
	im->set.seed = seed;
	impair_reseed(im);
}

static bool hits(struct rng *r, const struct chance *c, bool is_link)
{
	if (c->p <= 0 || (c->link_only && !is_link))
		return false;
	return rng_chance(r, c->p);
}

/* One step of the Gilbert-Elliott chain: the loss of the present state, then the transition. */
static bool ge_loses(struct impair *im, bool is_link)
{
	const struct impair_settings *s = &im->set;
	struct rng *r = &im->rng[STREAM_GE];
	bool lost;

	if (s->ge.p <= 0 || (s->ge.link_only && !is_link))
		return false;
	lost = rng_chance(r, im->ge_is_bad ? s->ge_bad : s->ge_good);
	if (rng_chance(r, im->ge_is_bad ? s->ge_r : s->ge.p))
		im->ge_is_bad = !im->ge_is_bad;
	return lost;
}

static uint64_t draw_delay(struct impair *im)
{
	const struct impair_settings *s = &im->set;
	struct rng *r = &im->rng[STREAM_JITTER];
	double off;

	if (!s->jitter_ns)
		return s->delay_ns;
	off = s->jitter_normal ? rng_normal(r) : 2 * rng_unit(r) - 1;
	off = (double)s->delay_ns + off * (double)s->jitter_ns;
	return off > 0 ? (uint64_t)off : 0;
}

static uint64_t draw_corruption(struct impair *im, size_t len_bytes, bool is_link)
{
	const struct impair_settings *s = &im->set;
	struct rng *r = &im->rng[STREAM_CORRUPT];
	uint64_t bits;

	if (!hits(r, &s->corrupt, is_link) || len_bytes <= s->corrupt_from_bytes)
		return 0;
	bits = (len_bytes - s->corrupt_from_bytes) * 8;
	return 1 + s->corrupt_from_bytes * 8 + (uint64_t)(rng_unit(r) * (double)bits);
}

struct fate impair_decide(struct impair *im, size_t len_bytes, bool is_link)
{
	const struct impair_settings *s = &im->set;

	return (struct fate){
		.lose_random = hits(&im->rng[STREAM_LOSS], &s->loss, is_link),
		.lose_ge = ge_loses(im, is_link),
		.duplicate = hits(&im->rng[STREAM_DUPLICATE], &s->duplicate, is_link),
		.hold = hits(&im->rng[STREAM_REORDER], &s->reorder, is_link),
		.delay_ns = draw_delay(im),
		.corrupt_bits = draw_corruption(im, len_bytes, is_link),
	};
}

uint64_t impair_queue_bytes(const struct impair_settings *s)
{
	uint64_t bytes;

	if (s->queue_bytes)
		return s->queue_bytes;
	if (s->queue_packets)
		return UINT64_MAX;
	bytes = s->rate_bps / 80; /* 100 ms */
	return bytes < 65536 ? 65536 : bytes;
}
