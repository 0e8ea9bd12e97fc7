/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What frame.c has for pack.c: closing the frame around a blob, opening one that came, and what the
 * outer packet's fields mean for an inner packet. Not for others than link/.
 */
#ifndef SLUICE_LINK_FRAME_PRIVATE_H
#define SLUICE_LINK_FRAME_PRIVATE_H

#include "dataplane/link/frame.h"

#define LINK_TTL 64 /* that outer packets begin with */

/* What a data frame carries, before compression. */
struct link_content {
	const uint8_t *bytes;
	uint32_t len;
	uint32_t frame_bytes; /* the packets in it as the hosts sent them */
	uint8_t flags;	      /* of the shim */
	uint8_t class_slot;
	/* The packet whose Ethernet and IP headers the frame keeps (transparent.h); NULL: the frame
	 * is a datagram of its own, with these for its fields. */
	const struct rte_mbuf *headers_of;
	uint8_t dscp, ecn;
};

/* What link_encode() and link_encode_pack() do. */
int link_frame_close(struct link_tx *tx, const struct link_path *path,
	const struct link_content *content, uint8_t codec, uint32_t blob_len, struct rte_mbuf *out,
	uint64_t now_ns);

/*
 * Decode and verify a data frame into inner[0..room) and count it in its lane. 0 with *shim,
 * LINK_IS_ACK, or minus an enum reason. Frames of which `flags` are not the shim's are refused.
 * Several packets in one are not kept in the store.
 */
int link_frame_open(struct codec *codec, struct rte_mbuf *in, const struct link_path *path,
	struct link_seq lanes[LINK_LANES], struct store_receiver *store, uint8_t flags,
	uint8_t *inner, uint32_t room, uint64_t now_ns, struct link_shim *shim,
	struct link_arrival *arrival);

/*
 * Rebuild the original bytes of a pack of references (pack.h) from any bytes at all: never reads
 * outside blob[0..blob_len), never writes outside original[0..shim->original_len). 0; -EBADMSG: no
 * such blob; -ENOENT: refers to a packet that is not kept, which the sender will be told.
 */
int link_pack_expand(struct store_receiver *store, const struct link_shim *shim,
	uint32_t session_id, const uint8_t *blob, uint32_t blob_len, uint8_t *original,
	uint64_t now_ns);

/* The ECN field of a packet that crosses the path, 0 where the far end could not find it. */
uint8_t link_ecn(const uint8_t *inner, uint32_t len, bool routed);

/* Let what happened to the frame `in` on its way happen to a packet that was in it: ECN (RFC 6040),
 * TTL. Minus DROP_LINK_CE: it may not be delivered. */
int link_egress(
	uint8_t *inner, uint32_t len, const struct link_path *path, const struct rte_mbuf *in);

/* The most that the empty mbuf and the path MTU leave for a blob of the tunnel. */
uint32_t link_blob_max(const struct link_path *path, const struct rte_mbuf *out);

#endif
