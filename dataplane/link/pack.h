/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several packets in one link frame: one shim and one blob, compressed together, so that each has
 * those before it as its history, and small ones share their headers. A frame like any other for
 * the lane: one sequence number, lost, doubled or marked as a whole. worker_pack.c decides what
 * goes together; frame.h has frames of one packet.
 *
 * With LINK_FLAG_PACKED the original bytes, whatever codec carries them, are LINK_PACK_MIN to
 * LINK_PACK_MAX times, to their end,
 *
 *      0  2  length of what follows, network order
 *      2  .  one packet: what would be the original bytes of a frame of its own (shim.h)
 *
 * Only packets of one class, one DSCP and one ECN field are packed, which are the outer packet's: a
 * congestion mark on it is one on each of them (RFC 6040). Sent only to an end whose hello has
 * LINK_HELLO_PACKS. Such frames are in no store (compress/store.h): its slots hold a packet each.
 *
 * But they may refer to it: packets that it has whole go together with LINK_CODEC_STORE. Then the
 * blob is, for each of them, to its end,
 *
 *      0  2  length of the packet, as above
 *      2  2  length of what follows, network order
 *      4  .  what would be the blob of a frame of its own (store.h)
 *
 * Test vectors: tests/unit/link/pack_test.c, repeat_test.c.
 *
 * Sending, by the flows' worker:
 *
 *     link_pack_clear(pack);
 *     while (link_pack_add(pack, path, in[i])) ...
 *     blob = link_pack_blob(pack, path, out, min_gain, &room);
 *     n = codec_encode(codec, method, pack->bytes, pack->len, blob, room);
 *     link_encode_pack(&tx[lane & 15], path, pack, method.number, n, out, now_ns);
 *
 * or with references to the store: link_pack_part() in front of the blob of each.
 *
 * Receiving, where link_is_packed() says so: link_decode_pack(), then link_unpack() for each of
 * pack->count packets.
 */
#ifndef SLUICE_LINK_PACK_H
#define SLUICE_LINK_PACK_H

#include "dataplane/link/frame.h"

#define LINK_PACK_MIN 2
#define LINK_PACK_MAX 32
#define LINK_PACK_LENGTH_BYTES 2 /* in front of each packet */
#define LINK_PACK_PART_BYTES 4	 /* in front of each blob of references */

/* A worker's place for packets together: those that are to leave, or those that came. */
struct link_pack {
	unsigned count;
	uint32_t len;	      /* of bytes[] used */
	uint32_t frame_bytes; /* sending: the packets as the hosts sent them */
	uint8_t dscp, ecn, class_slot;
	uint16_t at[LINK_PACK_MAX]; /* where each packet begins, behind its length */
	uint16_t packet_len[LINK_PACK_MAX];
	uint8_t bytes[LINK_ORIGINAL_MAX + 1];
};

static inline void link_pack_clear(struct link_pack *pack)
{
	pack->count = 0;
	pack->len = 0;
	pack->frame_bytes = 0;
}

/*
 * Add a parsed packet. False, and nothing is changed: it is no packet that can cross this path, its
 * class, DSCP or ECN field are not those of the others, or there are too many, or too long ones.
 */
bool link_pack_add(struct link_pack *pack, const struct link_path *path, const struct rte_mbuf *in);

/* Take the last packet out again, `in` of link_pack_add(). */
void link_pack_take_back(struct link_pack *pack, const struct rte_mbuf *in);

/* Write the LINK_PACK_PART_BYTES in front of the blob of the pack's last packet. */
void link_pack_part(const struct link_pack *pack, uint8_t *part, uint32_t blob_len);

/* As link_blob(), of all the packets: their frame is at least min_gain bytes shorter than they are
 * together as the hosts sent them, and fits the path MTU. */
uint8_t *link_pack_blob(const struct link_pack *pack, const struct link_path *path,
	struct rte_mbuf *out, uint32_t min_gain, uint32_t *room);

/* As link_encode(), of all the packets, LINK_PACK_MIN at least. */
int link_encode_pack(struct link_tx *tx, const struct link_path *path, const struct link_pack *pack,
	uint8_t codec, uint32_t blob_len, struct rte_mbuf *out, uint64_t now_ns);

/* Does this UDP payload of a data lane say that there are several packets in it? Nothing is
 * verified yet. */
bool link_is_packed(const uint8_t *payload, uint32_t len);

/*
 * As link_decode(), of a frame with several packets: 0 with all of them in *pack, verified, their
 * ECN fields and TTLs set as there; or minus an enum reason, and there is none:
 *
 *     DROP_LINK_BAD_PACK  verified and counted, but not a whole number of packets
 *
 * store: what they may refer to, NULL: nothing; they are not kept there. The codecs with a history
 * are DROP_LINK_BAD_SHIM here, as is a frame that says it holds one packet.
 */
int link_decode_pack(struct codec *codec, struct rte_mbuf *in, const struct link_path *path,
	struct link_seq lanes[LINK_LANES], struct store_receiver *store, struct link_pack *pack,
	uint64_t now_ns, struct link_arrival *arrival);

/* Packet i of a pack that has been decoded, into `out` (fresh, empty). False: it has no room. */
bool link_unpack(const struct link_pack *pack, unsigned i, struct rte_mbuf *out);

#endif
