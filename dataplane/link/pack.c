/* SPDX-License-Identifier: BSD-3-Clause */
/* Several packets in one link frame (pack.h): put together, and taken apart again. */
#include "dataplane/link/pack.h"

#include <errno.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

#include "controlplane/channel/counters.h"
#include "dataplane/compress/store.h"
#include "dataplane/link/frame_private.h"
#include "dataplane/packet/packet.h"

/* The shortest packet that crosses the path by itself. */
static uint32_t packet_min(const struct link_path *path)
{
	return path->routed ? sizeof(struct rte_ipv4_hdr) : sizeof(struct rte_ether_hdr);
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

bool link_pack_add(struct link_pack *pack, const struct link_path *path, const struct rte_mbuf *in)
{
	const struct pkt *pkt = pkt_of(in);
	uint32_t len;
	const uint8_t *inner = link_inner(path, in, &len);
	uint8_t dscp = pkt->flags & PKT_IP ? pkt->dscp : 0, slot = link_class_slot(pkt->class_id);
	uint8_t *to = pack->bytes + pack->len;

	if (pack->count == LINK_PACK_MAX || len < packet_min(path) ||
		pack->len + LINK_PACK_LENGTH_BYTES + len > LINK_ORIGINAL_MAX)
		return false;
	/* From the bytes: a queue may have marked the packet since it was parsed. */
	uint8_t ecn = link_ecn(inner, len, path->routed);

	if (pack->count > 0 && (dscp != pack->dscp || ecn != pack->ecn || slot != pack->class_slot))
		return false;
	pack->dscp = dscp;
	pack->ecn = ecn;
	pack->class_slot = slot;
	put16(to, len);
	memcpy(to + LINK_PACK_LENGTH_BYTES, inner, len);
	pack->at[pack->count] = (uint16_t)(pack->len + LINK_PACK_LENGTH_BYTES);
	pack->packet_len[pack->count++] = (uint16_t)len;
	pack->len += LINK_PACK_LENGTH_BYTES + len;
	pack->frame_bytes += rte_pktmbuf_data_len(in);
	return true;
}

void link_pack_take_back(struct link_pack *pack, const struct rte_mbuf *in)
{
	pack->count--;
	pack->len = pack->at[pack->count] - (uint32_t)LINK_PACK_LENGTH_BYTES;
	pack->frame_bytes -= rte_pktmbuf_data_len(in);
}

void link_pack_part(const struct link_pack *pack, uint8_t *part, uint32_t blob_len)
{
	put16(part, pack->packet_len[pack->count - 1]);
	put16(part + 2, blob_len);
}

uint8_t *link_pack_blob(const struct link_pack *pack, const struct link_path *path,
	struct rte_mbuf *out, uint32_t min_gain, uint32_t *room)
{
	uint32_t headers = link_headers_bytes(path);
	uint32_t least = headers + link_trailer_bytes(path) + min_gain;

	*room = pack->frame_bytes > least ? pack->frame_bytes - least : 0;
	*room = RTE_MIN(*room, link_blob_max(path, out));
	return rte_pktmbuf_mtod_offset(out, uint8_t *, headers);
}

int link_encode_pack(struct link_tx *tx, const struct link_path *path, const struct link_pack *pack,
	uint8_t codec, uint32_t blob_len, struct rte_mbuf *out, uint64_t now_ns)
{
	const struct link_content content = {
		.bytes = pack->bytes,
		.len = pack->len,
		.frame_bytes = pack->frame_bytes,
		.flags = LINK_FLAG_PACKED,
		.class_slot = pack->class_slot,
		.dscp = pack->dscp,
		.ecn = pack->ecn,
	};

	if (pack->count < LINK_PACK_MIN)
		return -EMSGSIZE;
	return link_frame_close(tx, path, &content, codec, blob_len, out, now_ns);
}

bool link_is_packed(const uint8_t *payload, uint32_t len)
{
	struct link_shim shim;

	if (len < LINK_SHIM_BYTES)
		return false;
	link_shim_read(payload, &shim);
	return shim.flags & LINK_FLAG_PACKED;
}

int link_pack_expand(struct store_receiver *store, const struct link_shim *shim,
	uint32_t session_id, const uint8_t *blob, uint32_t blob_len, uint8_t *original,
	uint64_t now_ns)
{
	uint32_t left = shim->original_len;

	for (unsigned i = 0; blob_len > 0; i++) {
		if (i == LINK_PACK_MAX || blob_len < LINK_PACK_PART_BYTES ||
			left < LINK_PACK_LENGTH_BYTES)
			return -EBADMSG;
		uint32_t packet_len = get16(blob), part_len = get16(blob + 2);

		blob += LINK_PACK_PART_BYTES;
		blob_len -= LINK_PACK_PART_BYTES;
		left -= LINK_PACK_LENGTH_BYTES;
		if (part_len > blob_len || packet_len > left)
			return -EBADMSG;
		put16(original, packet_len);
		original += LINK_PACK_LENGTH_BYTES;
		int rc = store_expand(store, shim->lane / LINK_WORKERS_MAX, session_id, blob,
			part_len, original, packet_len, now_ns);
		if (rc != 0)
			return rc;
		blob += part_len;
		blob_len -= part_len;
		original += packet_len;
		left -= packet_len;
	}
	return left == 0 ? 0 : -EBADMSG;
}

/* Find the packets in pack->bytes[0..len). */
static bool split(struct link_pack *pack, uint32_t len, uint32_t least)
{
	uint32_t at = 0;

	link_pack_clear(pack);
	while (at < len) {
		uint32_t packet_len;

		if (pack->count == LINK_PACK_MAX || len - at < LINK_PACK_LENGTH_BYTES)
			return false;
		packet_len = get16(pack->bytes + at);
		at += LINK_PACK_LENGTH_BYTES;
		if (packet_len < least || packet_len > len - at)
			return false;
		pack->at[pack->count] = (uint16_t)at;
		pack->packet_len[pack->count++] = (uint16_t)packet_len;
		at += packet_len;
	}
	pack->len = len;
	return pack->count >= LINK_PACK_MIN;
}

int link_decode_pack(struct codec *codec, struct rte_mbuf *in, const struct link_path *path,
	struct link_seq lanes[LINK_LANES], struct store_receiver *store, struct link_pack *pack,
	uint64_t now_ns, struct link_arrival *arrival)
{
	struct link_shim shim;
	int rc = link_frame_open(codec, in, path, lanes, store, LINK_FLAG_PACKED, pack->bytes,
		LINK_ORIGINAL_MAX, now_ns, &shim, arrival);

	pack->count = 0;
	if (rc != 0)
		return rc;
	if (!split(pack, shim.original_len, packet_min(path))) {
		pack->count = 0;
		return -DROP_LINK_BAD_PACK;
	}
	for (unsigned i = 0; i < pack->count; i++) {
		rc = link_egress(pack->bytes + pack->at[i], pack->packet_len[i], path, in);
		if (rc != 0) {
			pack->count = 0;
			return rc;
		}
	}
	return 0;
}

bool link_unpack(const struct link_pack *pack, unsigned i, struct rte_mbuf *out)
{
	uint16_t len = pack->packet_len[i];

	if (len > rte_pktmbuf_tailroom(out))
		return false;
	memcpy(rte_pktmbuf_mtod(out, uint8_t *), pack->bytes + pack->at[i], len);
	out->data_len = len;
	out->pkt_len = len;
	return true;
}
