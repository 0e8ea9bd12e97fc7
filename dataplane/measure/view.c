/* SPDX-License-Identifier: BSD-3-Clause */
/* What a flow's record says in plain units (tcp.h), for whoever shows it. */
#include "dataplane/measure/tcp_private.h"

#define LIMITED_NS_SHIFT 14 /* flow_measure.limited */

static uint64_t ns_of(uint16_t code)
{
	return (uint64_t)value_of(code) << TICK_SHIFT;
}

/* Of what side `from` sends. */
static void view_half(const struct flow_measure *f, enum measure_from from,
	struct measure_flow_view *view, bool in_handshake)
{
	const struct measure_half *me = &f->half[from], *peer = &f->half[!from];
	int32_t flight = (int32_t)(me->next_seq - peer->ack);

	view->retransmits[from] = f->lost_before[from] + f->lost_after[from] + f->needless[from];
	view->lost_before[from] = f->lost_before[from];
	view->lost_after[from] = f->lost_after[from];
	view->needless[from] = f->needless[from];
	view->timeouts[from] = f->timeouts[from];
	view->dsacks[from] = f->dsacks[from];
	view->duplicates[from] = f->duplicates[from];
	view->reordered[from] = f->reordered[from];
	view->reorder_max_bytes[from] = value_of(f->reorder_max[from]);
	view->zero_windows[from] = in_handshake ? 0 : f->zero_windows[from];
	view->ce[from] = f->ce[from];
	view->ece[from] = f->ece[from];
	view->cwr[from] = f->cwr[from];
	view->mss[from] = f->syn_mss[from];
	view->options[from] = f->options[from];
	view->window_bytes[from] = window_bytes(f, from);
	view->flight_bytes[from] =
		(f->flags & F_STARTED(from)) && (f->flags & F_ACKED(!from)) && flight > 0
			? (uint32_t)flight
			: 0;
	view->flight_max_bytes[from] = value_of(f->flight_max[from]);
	if (view->flight_max_bytes[from] < view->flight_bytes[from])
		view->flight_max_bytes[from] = view->flight_bytes[from];
	for (unsigned limit = 0; limit < MEASURE_LIMITS; limit++)
		view->limited_ns[from][limit] = (uint64_t)f->limited[from][limit]
						<< LIMITED_NS_SHIFT;
}

void measure_flow_view(const struct flow_measure *f, struct measure_flow_view *view)
{
	bool in_handshake = state_of(f) == F_SYN || state_of(f) == F_SYN_ACK;

	*view = (struct measure_flow_view){
		.rtt_lan_min_ns = ns_of(f->rtt_min[FROM_LAN]),
		.rtt_lan_last_ns = ns_of(f->rtt_last[FROM_LAN]),
		.rtt_lan_samples = f->samples[FROM_LAN] + (f->uncounted & 0x0f),
		.rtt_wan_min_ns = ns_of(f->rtt_min[FROM_WAN]),
		.rtt_wan_last_ns = ns_of(f->rtt_last[FROM_WAN]),
		.rtt_wan_samples = f->samples[FROM_WAN] + (f->uncounted >> 4),
		.connect_ns = ns_of(f->connect),
		.syn_retries = f->syn_retries,
	};
	view_half(f, FROM_LAN, view, in_handshake);
	view_half(f, FROM_WAN, view, in_handshake);
}

bool measure_is_open(const struct flow_measure *f)
{
	unsigned state = state_of(f);

	if (f->flags & (F_RESET | F_FIN(FROM_LAN) | F_FIN(FROM_WAN)))
		return false;
	return state == F_OPEN || (state == F_MIDSTREAM && (f->flags & F_BOTH) == F_BOTH);
}
