/* SPDX-License-Identifier: BSD-3-Clause */
/* When transparent frames do not get through: see framing.h. */
#include "dataplane/control/framing.h"

bool framing_watch(struct framing_watch *w, uint32_t session_id, bool transparent,
	const struct link_seq_counts *received, uint64_t now_ns)
{
	uint64_t lost = received->lost - w->lost, unique = received->unique - w->unique;
	bool is_begun = transparent && w->since_ns != 0 && w->session_id == session_id;

	if (is_begun && now_ns - w->since_ns < FRAMING_WATCH_NS)
		return false;
	w->session_id = session_id;
	w->since_ns = transparent ? now_ns : 0;
	w->unique = received->unique;
	w->lost = received->lost;
	/* The peer may have begun to count anew: then the differences are nonsense. */
	if (!is_begun || lost > UINT32_MAX || unique > UINT32_MAX)
		return false;
	if (lost < FRAMING_LOST_MIN || lost <= unique)
		return false;
	w->tunnel_until_ns = now_ns + FRAMING_TUNNEL_NS;
	return true;
}
