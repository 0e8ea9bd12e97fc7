/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: any bytes as a received frame, through parsing, the flow table and the edits. The
 * first byte chooses the parse context (tests/fuzz/corpus/frame), the rest is the frame, in a heap
 * block of just its size so that ASan sees any byte touched behind it.
 */
#include <stdlib.h>

#include "controlplane/channel/counters.h"
#include "dataplane/flow/table.h"
#include "dataplane/packet/edit.h"
#include "dataplane/packet/parse.h"
#include "tests/unit/packet/mbufs.h"

#define HOLDS(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rte_mbuf *packet;
static struct flow_table *table;

static void check(const struct pkt *p, unsigned len)
{
	HOLDS(p->reason < REASON_COUNT);
	HOLDS(p->wire_bytes == len);
	HOLDS(p->payload_off + p->payload_len <= (int)len);
	if (!(p->flags & PKT_IP)) {
		HOLDS(p->reason != REASON_NONE);
		HOLDS(!(p->flags & (PKT_TCP | PKT_UDP | PKT_LINK | PKT_FRAGMENT | PKT_IPV6)));
		HOLDS(p->hash == 0 && p->steer_hash == 0);
		return;
	}
	HOLDS(p->l3_off >= 14 && p->l3_len >= 20 && p->l3_off + p->l3_len <= (int)len);
	HOLDS(p->l4_off >= p->l3_off + 20 && p->l4_off <= p->l3_off + p->l3_len);
	HOLDS(p->payload_off >= p->l4_off);
	HOLDS(p->payload_off + p->payload_len == p->l3_off + p->l3_len);
	HOLDS(memcmp(p->key.addr[0], p->key.addr[1], 16) <= 0);
	HOLDS(!(p->key.scope & FLOW_KEY_IPV6) == !(p->flags & PKT_IPV6));
	HOLDS(!(p->key.scope & FLOW_KEY_FRAGMENT) == !(p->flags & PKT_FRAGMENT));
	HOLDS(!(p->flags & PKT_FRAGMENT) == (p->reason != PASS_FRAGMENT));
	HOLDS(!(p->flags & PKT_TCP) || p->payload_off >= p->l4_off + 20);
	HOLDS(!(p->flags & PKT_UDP) || p->payload_off == p->l4_off + 8);
	HOLDS(!(p->flags & PKT_LINK) || (p->flags & PKT_FOR_US && p->flags & PKT_UDP) ||
		(!(p->flags & (PKT_FOR_US | PKT_FRAGMENT)) && p->key.proto == 108 &&
			p->payload_len >= 4));
	HOLDS(!(p->flags & PKT_TCP) || !(p->flags & PKT_UDP));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint32_t now_ms;
	struct parse_context context = {
		.hash_seed = 7,
		.link_port = RTE_BE16(4790),
		.in_path4 = RTE_BE32(0xc000020a),
		.in_path6 = {0x20, 0x01, 0x0d, 0xb8, [12] = 0xc0, 0x00, 0x02, 0x0a},
		.in_path_mac = {2, 0, 0, 0, 0, 2},
	};
	struct pkt first, *p;
	uint8_t *frame;
	void *buffer;
	bool ecn;

	if (size < 1 || size > 9018)
		return 0;
	if (packet == NULL) {
		mbufs_start("64");
		packet = mbufs_make(mbufs_pool("fuzz", 31, 256), "", 0);
		table = flow_table_create("fuzz", 100, SOCKET_ID_ANY);
	}
	context.way = data[0] & 1;
	context.has_in_path6 = data[0] & 2;
	context.in_path_vlan = data[0] & 4 ? 100 : 0;
	context.bridge = data[0] >> 3;
	data++;
	size--;
	frame = malloc(size > 0 ? size : 1);
	memcpy(frame, data, size);
	buffer = packet->buf_addr;
	packet->buf_addr = frame;
	packet->data_off = 0;
	packet->data_len = (uint16_t)size;
	packet->pkt_len = (uint32_t)size;
	p = pkt_of(packet);

	packet_parse_bulk(&packet, 1, &context, 1);
	check(p, (unsigned)size);
	first = *p;
	HOLDS(!(p->flags & PKT_IP) || p->hash == packet_key_hash(&p->key, 7));
	HOLDS(packet_vlan_id(packet) < 4096);

	flow_table_lookup_bulk(table, &packet, 1, now_ms);
	HOLDS(p->flow != NULL && p->flow->flags & FLOW_LIVE);
	HOLDS(p->flow->flags & FLOW_OTHER || memcmp(&p->flow->key, &p->key, sizeof(p->key)) == 0);
	HOLDS(!(p->flow->flags & FLOW_OTHER) || !(p->flags & PKT_IP));
	flow_table_age(table, now_ms += 1 + data[-1], 4);

	/* Whatever is edited, the packet must still be the same flow's. */
	packet_clamp_mss(packet, 536);
	ecn = packet_set_ecn_ce(packet);
	packet_ip_checksum_set(packet);
	HOLDS(!(p->flags & PKT_IP) || packet_ip_checksum_ok(packet));
	if (packet_l4_checksum_set(packet))
		HOLDS(packet_l4_checksum_ok(packet));
	packet_parse_bulk(&packet, 1, &context, 1);
	HOLDS(p->flags == first.flags && p->hash == first.hash && p->l3_len == first.l3_len);
	HOLDS(memcmp(&p->key, &first.key, sizeof(p->key)) == 0);
	HOLDS(p->ecn == (ecn ? ECN_CE : first.ecn));

	packet->buf_addr = buffer;
	free(frame);
	return 0;
}
