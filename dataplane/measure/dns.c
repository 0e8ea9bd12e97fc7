/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DNS query times over UDP (RFC 1035): an answer has the ID of its query, and comes back on its
 * flow. A query that is sent again under its ID gives no sample, as the answer may be to either.
 * Of names and addresses nothing is looked at.
 */
#include "dataplane/measure/datagrams_private.h"

#define DNS_LEN 12
#define FLAG_RESPONSE 0x80 /* in the third byte */
#define OPCODE 0x78
#define RCODE 0x0f /* in the fourth */
#define SERVFAIL 2
#define NXDOMAIN 3
#define TIMEOUT_TICKS TICKS(UINT64_C(5000000000)) /* what resolvers wait: resolv.conf(5) */

/* The slot where `id`, asked by that side, waits; -1: nowhere. */
static int find(const struct measure_dns *d, uint16_t id, bool from_wan)
{
	for (int i = 0; i < DNS_WAITING; i++)
		if (d->waiting >> i & 1 && d->id[i] == id && (d->from_wan >> i & 1) == from_wan)
			return i;
	return -1;
}

void measure_dns_time_out(
	struct measure_dns *d, bool all, uint64_t now, struct measure_datagrams *c)
{
	for (int i = 0; i < DNS_WAITING; i++) {
		if (!(d->waiting >> i & 1) ||
			(!all && ticks_since(now, d->tick[i]) <= TIMEOUT_TICKS))
			continue;
		d->waiting &= (uint8_t) ~(1u << i);
		c->dns_timeouts[d->from_wan >> i & 1 ? FROM_LAN : FROM_WAN]++;
	}
}

static void ask(struct measure_dns *d, uint16_t id, enum measure_from from, uint64_t now,
	struct measure_datagrams *c)
{
	int slot = find(d, id, from == FROM_WAN);

	if (slot >= 0) {
		d->again |= (uint8_t)(1u << slot);
		c->dns_again[!from]++;
		return;
	}
	c->dns_queries[!from]++;
	for (slot = 0; slot < DNS_WAITING && d->waiting >> slot & 1;)
		slot++;
	if (slot == DNS_WAITING)
		slot = d->next++ % DNS_WAITING;

	uint8_t bit = (uint8_t)(1u << slot);

	d->waiting |= bit;
	d->again &= (uint8_t)~bit;
	d->from_wan = (uint8_t)((d->from_wan & ~bit) | (from == FROM_WAN ? bit : 0));
	d->id[slot] = id;
	d->tick[slot] = (uint32_t)now;
}

void measure_dns(struct measure_datagrams_flow *f, const uint8_t *dns, uint32_t len, bool to_server,
	bool from_server, enum measure_from from, uint64_t now, struct measure_datagrams *c)
{
	struct measure_dns *d = &f->dns;
	bool response;
	uint16_t id;
	int slot;

	if (len < DNS_LEN || (dns[2] & OPCODE) != 0)
		return;
	response = dns[2] & FLAG_RESPONSE;
	if (response ? !from_server : !to_server)
		return;
	id = (uint16_t)(dns[0] << 8 | dns[1]);
	measure_dns_time_out(d, false, now, c);
	if (!response) {
		ask(d, id, from, now, c);
		return;
	}
	slot = find(d, id, from == FROM_LAN);
	if (slot < 0)
		return;
	d->waiting &= (uint8_t) ~(1u << slot);
	c->dns_answers[from]++;
	c->dns_servfail[from] += (dns[3] & RCODE) == SERVFAIL;
	c->dns_nxdomain[from] += (dns[3] & RCODE) == NXDOMAIN;
	if (!(d->again >> slot & 1))
		datagrams_sample(f, &c->dns[from], from, ticks_since(now, d->tick[slot]));
}
