/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Link frames: the outer headers around a compressed packet, and the way back. The worker chooses
 * and runs the codec (compress/), this writes and verifies what shim.h describes. session.c decides
 * whether a peer is there at all; it reaches this code as a struct link_path.
 *
 * Sending, by the flow's worker, with `out` a fresh mbuf of one segment:
 *
 *     lane = link_lane(path, my_worker, pkt->steer_hash);
 *     inner = link_inner(path, in, &inner_len);
 *     blob = link_blob(path, in, out, min_gain, &room);
 *     if (room == 0 || (n = codec_encode(codec, method, inner, inner_len, blob, room)) <= 0)
 *             send `in` as it is;
 *     link_encode(&tx[lane & 15], path, in, method.number, n, out, now_ns);
 *
 * Receiving: link_peek_lane() tells the worker ((lane & 15) % workers) that owns the lane and so
 * the flow inside; there link_decode(). LINK_PEEK_CONTROL goes to the control thread, its UDP
 * payload to link_session_receive().
 */
#ifndef SLUICE_LINK_FRAME_H
#define SLUICE_LINK_FRAME_H

#include <stdint.h>

#include "dataplane/link/class.h"
#include "dataplane/link/path.h"
#include "dataplane/link/seq.h"
#include "dataplane/link/shim.h"
#include "dataplane/link/transparent.h"

struct codec;
struct rte_mbuf;
struct store_receiver;

/*
 * The sending side of one lane: 16 of them (by receiving worker) per sending worker and peer.
 * worker: writes. control thread: reads session_id, next and classes for the hello, and counters.
 */
struct link_tx {
	uint64_t next; /* packets sent in this session: the next sequence number */
	uint32_t session_id;
	uint8_t lane;
	uint8_t reserved;
	uint16_t source_port;	 /* of the session */
	uint64_t packets;	 /* over all sessions */
	uint64_t original_bytes; /* frames as the hosts sent them */
	uint64_t wire_bytes;	 /* link frames */
	struct link_class_tx classes;
};

/* A lane that has sent nothing. */
void link_tx_init(struct link_tx *tx, uint8_t lane);

/* How many packets `tx` has sent in session `session_id`: what the hello announces. Control
 * thread. */
uint32_t link_tx_next(const struct link_tx *tx, uint32_t session_id);

/* The lane for packets of a flow with that steer_hash, sent by `worker`: its lower four bits are
 * the worker that owns the flow at the peer. path->session_id must not be 0. */
static inline uint8_t link_lane(const struct link_path *path, unsigned worker, uint16_t steer_hash)
{
	return (uint8_t)(worker * LINK_WORKERS_MAX + (steer_hash & 127) % path->peer_workers);
}

/* The UDP source port of a lane's frames, as shim.h says. path->session_id must not be 0. */
uint16_t link_source_port(const struct link_path *path, uint8_t lane);

/* Bytes in front of the outer IP header, from there to the blob, and both. */
static inline uint32_t link_l2_bytes(const struct link_path *path)
{
	return path->vlan != 0 ? LINK_L2_VLAN_BYTES : LINK_L2_BYTES;
}

static inline uint32_t link_overhead_bytes(const struct link_path *path)
{
	return path->family == 4 ? LINK_OVERHEAD_IPV4 : LINK_OVERHEAD_IPV6;
}

static inline uint32_t link_headers_bytes(const struct link_path *path)
{
	return link_l2_bytes(path) + link_overhead_bytes(path);
}

/* Bytes in front of the blob of the frame of `in`, in the path's framing. */
static inline uint32_t link_headers_of(const struct link_path *path, const struct rte_mbuf *in)
{
	return path->transparent ? link_transparent_front(in) + LINK_TRANSPARENT_OVERHEAD
				 : link_headers_bytes(path);
}

/* Bytes behind the blob: of a sealed frame (aead.h). */
static inline uint32_t link_trailer_bytes(const struct link_path *path)
{
	return path->cipher != LINK_CIPHER_NONE ? LINK_SEAL_BYTES : 0;
}

/*
 * The bytes of a parsed packet that cross the link: the whole frame, or on a routed path its IP
 * packet, or in transparent framing what is behind the IP header. *len is 0 when there are none (no
 * IP packet on a routed path, or not of the form that transparent framing carries).
 */
const uint8_t *link_inner(const struct link_path *path, const struct rte_mbuf *in, uint32_t *len);

/*
 * Where in `out` (fresh, empty) the codec writes its blob, and in *room the most it may write: less
 * than that and the link frame is at least min_gain bytes shorter than `in`, fits the path MTU and
 * the mbuf. *room is 0 when that cannot be. On a path with a cipher, where packets grow anyhow:
 * shorter than the link frame with the bytes of `in` as they are.
 */
uint8_t *link_blob(const struct link_path *path, const struct rte_mbuf *in, struct rte_mbuf *out,
	uint32_t min_gain, uint32_t *room);

/*
 * Make `out` the link frame of `in`, around the blob_len bytes that stand at link_blob() already.
 * `in` is parsed (struct pkt) and stays as it is; the caller keeps both mbufs and fills struct pkt
 * of `out`. Takes the lane's next sequence number, only with 0. Returns 0, -EMSGSIZE when the outer
 * packet would exceed the path MTU or the mbuf, -ENOTCONN without a live session. With a cipher the
 * frame is sealed.
 */
int link_encode(struct link_tx *tx, const struct link_path *path, const struct rte_mbuf *in,
	uint8_t codec, uint32_t blob_len, struct rte_mbuf *out, uint64_t now_ns);

/*
 * Make `out` (fresh, empty) the frame of an acknowledgement (ack.h): `len` bytes of it. Takes the
 * lane's next sequence number, only with 0. Returns as link_encode().
 */
int link_encode_ack(struct link_tx *tx, const struct link_path *path, const uint8_t *ack,
	uint32_t len, struct rte_mbuf *out, uint64_t now_ns);

/*
 * Make `out` (fresh, empty) the frame of a control message: msg is what link_session_tick() gave.
 * Needs no session, only the addresses. 0 or -EMSGSIZE. Any thread that owns `out`.
 */
int link_encode_control(
	const struct link_path *path, const uint8_t *msg, uint32_t len, struct rte_mbuf *out);

#define LINK_PEEK_CONTROL LINK_LANES
#define LINK_IS_ACK 1

/* The lane of a link packet from its UDP payload, LINK_PEEK_CONTROL, or -1 if it is no link packet
 * of this version. Nothing is verified yet. */
int link_peek_lane(const uint8_t *payload, uint32_t len);

/*
 * Decode the link frame `in` (parsed: PKT_LINK, payload and ecn of struct pkt valid) of this peer
 * into `out` (fresh, empty, with its headroom), by the worker's codecs. lanes[LINK_LANES] is the
 * peer's receive state; only the frame's own lane is touched, whose worker the caller is. store:
 * what the peer's frames refer to and where they are kept, or NULL; its lanes go by sending worker.
 * Returns 0 with the inner frame in `out`, exactly as it was sent but for its ECN field (RFC 6040);
 * on a routed path `out` holds the IP packet alone, its TTL lowered by the routers that the frame
 * passed, and the caller prepends a link-layer header. From a transparent frame
 * (link_is_transparent(); payload: from the IPComp header on) `out` always holds the whole frame.
 * Otherwise minus an enum reason, nothing to
 * deliver and the contents of `out` undefined. LINK_IS_ACK: no packet but an acknowledgement,
 * verified and counted in the lane; it is the blob of `in`, for link_ack_read(). A sealed frame
 * that verifies is opened in `in`, whose payload_len then is that of a plain one. *arrival (may be
 * NULL) is what link_seq_accept() says of a verified frame, delivered or not; LINK_NOT_VERIFIED of
 * others:
 *
 *     DROP_LINK_NO_SESSION   no keys yet: the peer's hello has not been completed
 *     DROP_LINK_BAD_SHIM     version, codec, flags or lengths that cannot be
 *     DROP_LINK_BAD_DATA     does not decompress to the length it says
 *     DROP_LINK_NO_REFERENCE refers to a frame that the store does not have; the peer will be told
 *     DROP_LINK_BAD_CHECK    decompressed to something else, or is of another session
 *     DROP_LINK_BAD_TAG      sealed, and forged, damaged or of another session
 *     DROP_LINK_DUPLICATE    verified, but received before
 *     DROP_LINK_CE           verified and counted, but marked CE around a packet without ECN
 */
int link_decode(struct codec *codec, struct rte_mbuf *in, const struct link_path *path,
	struct link_seq lanes[LINK_LANES], struct store_receiver *store, struct rte_mbuf *out,
	uint64_t now_ns, struct link_arrival *arrival);

#endif
