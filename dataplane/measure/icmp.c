/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Round-trip times of ICMP echo (RFC 792) and ICMPv6 echo (RFC 4443): a reply answers the request
 * of the same identifier, which is part of the flow's key, and sequence number. A request that
 * comes twice gives no sample (Karn's rule), nor does a second reply.
 */
#include "dataplane/measure/datagrams_private.h"

#define ECHO_LEN 8
#define ECHO_REPLY 0
#define ECHO_REQUEST 8
#define ECHO6_REQUEST 128
#define ECHO6_REPLY 129

void measure_echo(struct measure_datagrams_flow *f, const uint8_t *icmp, uint32_t len, bool ipv6,
	enum measure_from from, uint64_t now, struct measure_datagrams *c)
{
	struct measure_echo *e = &f->echo;

	if (len < ECHO_LEN || icmp[1] != 0)
		return;

	uint16_t seq = (uint16_t)(icmp[6] << 8 | icmp[7]);
	unsigned slot = seq % ECHO_WAITING;
	uint16_t bit = (uint16_t)(1u << slot);
	bool same = e->waiting & bit && e->seq[slot] == seq;
	bool asked_from_wan = e->from_wan & bit;

	if (icmp[0] == (ipv6 ? ECHO6_REQUEST : ECHO_REQUEST)) {
		c->echo_requests[!from]++;
		if (same && asked_from_wan == (from == FROM_WAN)) {
			e->waiting &= (uint16_t)~bit;
			return;
		}
		e->waiting |= bit;
		e->seq[slot] = seq;
		e->tick[slot] = (uint32_t)now;
		e->from_wan = (uint16_t)((e->from_wan & ~bit) | (from == FROM_WAN ? bit : 0));
	} else if (icmp[0] == (ipv6 ? ECHO6_REPLY : ECHO_REPLY)) {
		if (!same || asked_from_wan == (from == FROM_WAN))
			return;
		e->waiting &= (uint16_t)~bit;
		c->echo_replies[from]++;
		datagrams_sample(f, &c->echo[from], from, ticks_since(now, e->tick[slot]));
	}
}
