/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The three markers written down from the text of RFC 2697, 2698 and 4115, in floating point with
 * tokens that arrive continuously: what policer_test.c and rfc7640_policer_test.c hold the policers
 * of shape/ against.
 */
#ifndef SLUICE_TESTS_RFC_METER_H
#define SLUICE_TESTS_RFC_METER_H

#include <math.h>

#include "controlplane/policy/policy.h"
#include "dataplane/shape/policer.h"

struct rfc_meter {
	struct policer_config config;
	double c, e; /* tokens in bytes; RFC 2698: e is Tp */
	uint64_t at_ns;
	/* How near the last decision was, in bytes: the least distance of a bucket that was asked
	 * from the size of the packet. */
	double margin;
};

static inline void rfc_meter_init(
	struct rfc_meter *m, const struct policer_config *config, uint64_t now_ns)
{
	*m = (struct rfc_meter){.config = *config,
		.c = (double)config->cbs_bytes,
		.e = (double)config->ebs_bytes,
		.at_ns = now_ns};
}

static inline void rfc_meter_fill(struct rfc_meter *m, uint64_t now_ns)
{
	double seconds = (double)(now_ns - m->at_ns) / 1e9;
	double cbs = (double)m->config.cbs_bytes, ebs = (double)m->config.ebs_bytes;

	m->at_ns = now_ns;
	m->c += (double)m->config.cir_bps / 8 * seconds;
	if (m->config.mode != POLICE_SRTCM)
		m->e += (double)m->config.eir_bps / 8 * seconds;
	else if (m->c > cbs)
		m->e += m->c - cbs;
	m->c = fmin(m->c, cbs);
	m->e = fmin(m->e, ebs);
}

static inline bool rfc_meter_enough(struct rfc_meter *m, double tokens, double bytes)
{
	m->margin = fmin(m->margin, fabs(tokens - bytes));
	return tokens - bytes >= 0;
}

/* The colour, nothing charged yet. */
static inline enum colour rfc_meter_judge(
	struct rfc_meter *m, uint32_t bytes, enum colour before, uint64_t now_ns)
{
	rfc_meter_fill(m, now_ns);
	m->margin = INFINITY;
	if (!m->config.colour_aware)
		before = COLOUR_GREEN;
	if (m->config.mode == POLICE_TRTCM) {
		if (before == COLOUR_RED || !rfc_meter_enough(m, m->e, bytes))
			return COLOUR_RED;
		if (before == COLOUR_YELLOW || !rfc_meter_enough(m, m->c, bytes))
			return COLOUR_YELLOW;
		return COLOUR_GREEN;
	}
	if (before == COLOUR_GREEN && rfc_meter_enough(m, m->c, bytes))
		return COLOUR_GREEN;
	if (before != COLOUR_RED && rfc_meter_enough(m, m->e, bytes))
		return COLOUR_YELLOW;
	return COLOUR_RED;
}

static inline void rfc_meter_charge(struct rfc_meter *m, uint32_t bytes, enum colour colour)
{
	bool trtcm = m->config.mode == POLICE_TRTCM;

	if (colour == COLOUR_GREEN)
		m->c -= bytes;
	if (colour == COLOUR_YELLOW || (colour == COLOUR_GREEN && trtcm))
		m->e -= bytes;
}

#endif
