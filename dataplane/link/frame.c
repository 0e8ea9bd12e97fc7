/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Link frames (frame.h): writes the headers that shim.h describes, and on the way back believes
 * nothing until the check over the decompressed bytes has verified.
 */
#include "dataplane/link/frame.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "controlplane/channel/counters.h"
#include "dataplane/compress/codec.h"
#include "dataplane/compress/epoch.h"
#include "dataplane/compress/store.h"
#include "dataplane/link/frame_private.h"
#include "dataplane/packet/edit.h"
#include "dataplane/packet/packet.h"
#include "dataplane/packet/steer.h"

#define DSCP_CS6 48

static_assert(LINK_OVERHEAD_IPV4 ==
		      sizeof(struct rte_ipv4_hdr) + sizeof(struct rte_udp_hdr) + LINK_SHIM_BYTES,
	"shim.h");
static_assert((int)LINK_CODEC_LZ4 == (int)CODEC_LZ4 &&
		      (int)LINK_CODEC_LZ4_DICTIONARY == (int)CODEC_LZ4_DICTIONARY &&
		      (int)LINK_CODEC_ZSTD == (int)CODEC_ZSTD &&
		      (int)LINK_CODEC_LZ4_HISTORY == (int)CODEC_LZ4_HISTORY &&
		      (int)LINK_CODEC_ZSTD_HISTORY == (int)CODEC_ZSTD_HISTORY &&
		      LINK_ORIGINAL_MAX == CODEC_ORIGINAL_MAX_BYTES,
	"codec.h");
static_assert(LINK_OVERHEAD_IPV6 ==
		      sizeof(struct rte_ipv6_hdr) + sizeof(struct rte_udp_hdr) + LINK_SHIM_BYTES,
	"shim.h");

static_assert(
	LINK_WORKERS_MAX == STORE_WORKERS && LINK_ORIGINAL_MAX == STORE_PACKET_MAX, "store.h");

/* The check of shim.h; `shim` has the field 0. */
static inline uint32_t check_of(
	const uint8_t shim[LINK_SHIM_BYTES], const uint8_t *original, uint32_t len, uint64_t key)
{
	uint64_t seed = XXH3_64bits_withSeed(shim, LINK_SHIM_BYTES, key);

	return (uint32_t)XXH3_64bits_withSeed(original, len, seed);
}

void link_tx_init(struct link_tx *tx, uint8_t lane)
{
	memset(tx, 0, sizeof(*tx));
	tx->lane = lane;
}

uint32_t link_tx_next(const struct link_tx *tx, uint32_t session_id)
{
	if (__atomic_load_n(&tx->session_id, __ATOMIC_ACQUIRE) != session_id)
		return 0;
	return (uint32_t)__atomic_load_n(&tx->next, __ATOMIC_ACQUIRE);
}

const uint8_t *link_inner(const struct link_path *path, const struct rte_mbuf *in, uint32_t *len)
{
	const struct pkt *pkt = pkt_of(in);

	if (path->transparent) {
		uint32_t front = link_transparent_front(in);

		*len = link_transparent_fits(in, path) ? rte_pktmbuf_data_len(in) - front : 0;
		return rte_pktmbuf_mtod_offset(in, const uint8_t *, front);
	}
	if (!path->routed) {
		*len = rte_pktmbuf_data_len(in);
		return rte_pktmbuf_mtod(in, const uint8_t *);
	}
	*len = pkt->flags & PKT_IP && pkt->l3_off + pkt->l3_len <= rte_pktmbuf_data_len(in)
		       ? pkt->l3_len
		       : 0;
	return rte_pktmbuf_mtod_offset(in, const uint8_t *, pkt->l3_off);
}

/* The most that the empty mbuf and the path MTU leave for a blob behind `headers` bytes, `l2` of
 * them in front of the outer IP packet. */
static uint32_t blob_max(
	const struct link_path *path, const struct rte_mbuf *out, uint32_t l2, uint32_t headers)
{
	uint32_t frame_max = RTE_MIN((uint32_t)rte_pktmbuf_tailroom(out), path->path_mtu + l2);

	headers += link_trailer_bytes(path);

	return frame_max > headers ? frame_max - headers : 0;
}

uint32_t link_blob_max(const struct link_path *path, const struct rte_mbuf *out)
{
	return blob_max(path, out, link_l2_bytes(path), link_headers_bytes(path));
}

/* In front of the outer IP header of the frame of `in`. */
static inline uint32_t l2_bytes_of(const struct link_path *path, const struct rte_mbuf *in)
{
	return path->transparent ? pkt_of(in)->l3_off : link_l2_bytes(path);
}

uint8_t *link_blob(const struct link_path *path, const struct rte_mbuf *in, struct rte_mbuf *out,
	uint32_t min_gain, uint32_t *room)
{
	uint32_t headers = link_headers_of(path, in), less = headers + min_gain;
	uint32_t frame = rte_pktmbuf_data_len(in);

	if (path->cipher != LINK_CIPHER_NONE) {
		link_inner(path, in, &frame);
		less = min_gain;
	}
	*room = frame > less ? frame - less : 0;
	*room = RTE_MIN(*room, blob_max(path, out, l2_bytes_of(path, in), headers));
	return rte_pktmbuf_mtod_offset(out, uint8_t *, headers);
}

/* Write the outer headers, up to the UDP header, in front of `payload` bytes of shim and blob that
 * are already in place (the UDP checksum of IPv6 covers them). */
static void write_headers(const struct link_path *path, struct rte_mbuf *out, uint32_t payload,
	uint8_t dscp, uint8_t ecn, uint16_t source_port)
{
	uint8_t *p = rte_pktmbuf_mtod(out, uint8_t *);
	uint8_t traffic_class = (uint8_t)(dscp << 2 | ecn);
	uint32_t udp_len = sizeof(struct rte_udp_hdr) + payload;
	struct rte_udp_hdr *udp;

	memcpy(p, path->next_hop_mac, 6);
	memcpy(p + 6, path->our_mac, 6);
	p += 12;
	if (path->vlan != 0) {
		link_put32(p, (uint32_t)RTE_ETHER_TYPE_VLAN << 16 | path->vlan);
		p += 4;
	}
	if (path->family == 4) {
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(p + 2);

		p[0] = RTE_ETHER_TYPE_IPV4 >> 8;
		p[1] = RTE_ETHER_TYPE_IPV4 & 0xff;
		ip->version_ihl = RTE_IPV4_VHL_DEF;
		ip->type_of_service = traffic_class;
		ip->total_length = rte_cpu_to_be_16((uint16_t)(sizeof(*ip) + udp_len));
		ip->packet_id = 0;
		ip->fragment_offset = RTE_BE16(RTE_IPV4_HDR_DF_FLAG);
		ip->time_to_live = LINK_TTL;
		ip->next_proto_id = IPPROTO_UDP;
		ip->hdr_checksum = 0;
		memcpy(&ip->src_addr, path->our_address + 12, 4);
		memcpy(&ip->dst_addr, path->peer_address + 12, 4);
		ip->hdr_checksum = rte_ipv4_cksum(ip);
		udp = (struct rte_udp_hdr *)(ip + 1);
	} else {
		struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)(p + 2);

		p[0] = RTE_ETHER_TYPE_IPV6 >> 8;
		p[1] = RTE_ETHER_TYPE_IPV6 & 0xff;
		ip->vtc_flow = rte_cpu_to_be_32(UINT32_C(6) << 28 | (uint32_t)traffic_class << 20);
		ip->payload_len = rte_cpu_to_be_16((uint16_t)udp_len);
		ip->proto = IPPROTO_UDP;
		ip->hop_limits = LINK_TTL;
		memcpy(ip->src_addr, path->our_address, 16);
		memcpy(ip->dst_addr, path->peer_address, 16);
		udp = (struct rte_udp_hdr *)(ip + 1);
	}
	udp->src_port = rte_cpu_to_be_16(source_port);
	udp->dst_port = rte_cpu_to_be_16(path->port);
	udp->dgram_len = rte_cpu_to_be_16((uint16_t)udp_len);
	udp->dgram_cksum = 0;
	if (path->family != 4)
		udp->dgram_cksum = rte_ipv6_udptcp_cksum((struct rte_ipv6_hdr *)udp - 1, udp);
	out->data_len = (uint16_t)((uint8_t *)udp - rte_pktmbuf_mtod(out, uint8_t *) + udp_len);
	out->pkt_len = out->data_len;
}

uint16_t link_source_port(const struct link_path *path, uint8_t lane)
{
	uint64_t words = 0;

	for (unsigned i = path->family == 4 ? 12 : 0; i < 16; i += 4) {
		uint32_t ours, peers;
		memcpy(&ours, path->our_address + i, sizeof(ours));
		memcpy(&peers, path->peer_address + i, sizeof(peers));
		words ^= ours ^ peers;
	}
	for (uint32_t k = 0; k < LINK_SOURCE_PORTS; k++) {
		uint16_t port = (uint16_t)(LINK_SOURCE_PORT + (lane + k * 257) % LINK_SOURCE_PORTS);
		uint16_t ports = rte_cpu_to_be_16(port ^ path->port);
		if (steer_owner(steer_hash(words ^ ports), path->peer_workers) ==
			lane % LINK_WORKERS_MAX % path->peer_workers)
			return port;
	}
	/* Not reached: over all these ports the hash takes every value. */
	return LINK_SOURCE_PORT;
}

/* The lane begins anew with every session. */
static void follow_session(struct link_tx *tx, const struct link_path *path)
{
	if (tx->session_id == path->session_id)
		return;
	tx->source_port = link_source_port(path, tx->lane);
	__atomic_store_n(&tx->next, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&tx->session_id, path->session_id, __ATOMIC_RELEASE);
}

/* A frame has been made with the lane's next number. */
static void count_sent(struct link_tx *tx, const struct link_path *path, uint8_t class_slot,
	uint32_t original_bytes, uint32_t wire_bytes, uint64_t now_ns)
{
	link_class_sent(&tx->classes, path->session_id, class_slot, now_ns);
	__atomic_store_n(&tx->next, tx->next + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&tx->packets, tx->packets + 1, __ATOMIC_RELAXED);
	__atomic_store_n(
		&tx->original_bytes, tx->original_bytes + original_bytes, __ATOMIC_RELAXED);
	__atomic_store_n(&tx->wire_bytes, tx->wire_bytes + wire_bytes, __ATOMIC_RELAXED);
}

/* The frame's shim, check 0, and blob stand at `shim`: check it with `key`, or seal it. */
static void finish(const struct link_tx *tx, const struct link_path *path, uint64_t key,
	uint8_t *shim, const uint8_t *original, uint32_t original_len, uint32_t blob_len)
{
	if (path->cipher != LINK_CIPHER_NONE)
		link_seal(path, tx->next, shim, blob_len);
	else
		link_put32(shim + 12, check_of(shim, original, original_len, key));
}

int link_frame_close(struct link_tx *tx, const struct link_path *path,
	const struct link_content *content, uint8_t codec, uint32_t blob_len, struct rte_mbuf *out,
	uint64_t now_ns)
{
	const struct rte_mbuf *kept = content->headers_of;
	uint32_t headers = kept == NULL ? link_headers_bytes(path) : link_headers_of(path, kept);
	uint32_t l2 = kept == NULL ? link_l2_bytes(path) : l2_bytes_of(path, kept);
	uint8_t *p = rte_pktmbuf_mtod_offset(out, uint8_t *, headers - LINK_SHIM_BYTES);
	uint64_t key = path->tx_key;

	if (path->session_id == 0 || !path->alive)
		return -ENOTCONN;
	if (blob_len > blob_max(path, out, l2, headers) || content->len == 0 ||
		content->len > LINK_ORIGINAL_MAX)
		return -EMSGSIZE;
	follow_session(tx, path);

	struct link_shim shim = {
		.version = LINK_VERSION,
		.codec = codec,
		.flags = content->flags,
		.class_slot = content->class_slot,
		.lane = tx->lane,
		.original_len = (uint16_t)content->len,
		.seq = (uint32_t)tx->next,
		.sent = link_timestamp(now_ns),
	};

	link_shim_write(p, &shim);
	if (kept != NULL) {
		link_transparent_write(path, kept, out, blob_len);
		key = link_transparent_key(key,
			rte_pktmbuf_mtod_offset(out, const uint8_t *, pkt_of(kept)->l3_off),
			path->routed);
	}
	finish(tx, path, key, p, content->bytes, content->len, blob_len);
	if (kept == NULL)
		write_headers(path, out, LINK_SHIM_BYTES + blob_len + link_trailer_bytes(path),
			content->dscp, content->ecn, tx->source_port);
	count_sent(
		tx, path, shim.class_slot, content->frame_bytes, rte_pktmbuf_data_len(out), now_ns);
	return 0;
}

int link_encode(struct link_tx *tx, const struct link_path *path, const struct rte_mbuf *in,
	uint8_t codec, uint32_t blob_len, struct rte_mbuf *out, uint64_t now_ns)
{
	const struct pkt *pkt = pkt_of(in);
	struct link_content content = {
		.frame_bytes = rte_pktmbuf_data_len(in),
		.class_slot = link_class_slot(pkt->class_id),
	};

	content.bytes = link_inner(path, in, &content.len);
	if (path->transparent) {
		content.headers_of = in;
	} else {
		content.dscp = pkt->flags & PKT_IP ? pkt->dscp : 0;
		/* From the bytes: a queue may have marked the packet since it was parsed. */
		content.ecn = link_ecn(content.bytes, content.len, path->routed);
	}
	return link_frame_close(tx, path, &content, codec, blob_len, out, now_ns);
}

int link_encode_ack(struct link_tx *tx, const struct link_path *path, const uint8_t *ack,
	uint32_t len, struct rte_mbuf *out, uint64_t now_ns)
{
	uint32_t headers = link_headers_bytes(path);
	uint8_t *p = rte_pktmbuf_mtod_offset(out, uint8_t *, headers - LINK_SHIM_BYTES);

	if (path->session_id == 0 || !path->alive)
		return -ENOTCONN;
	if (len > link_blob_max(path, out))
		return -EMSGSIZE;
	follow_session(tx, path);

	const struct link_shim shim = {
		.version = LINK_VERSION,
		.codec = LINK_CODEC_STORE,
		.lane = tx->lane,
		.seq = (uint32_t)tx->next,
		.sent = link_timestamp(now_ns),
	};

	link_shim_write(p, &shim);
	memcpy(p + LINK_SHIM_BYTES, ack, len);
	finish(tx, path, path->tx_key, p, ack, len, len);
	write_headers(path, out, LINK_SHIM_BYTES + len + link_trailer_bytes(path), DSCP_CS6,
		ECN_NOT_ECT, tx->source_port);
	count_sent(tx, path, 0, 0, rte_pktmbuf_data_len(out), now_ns);
	return 0;
}

int link_encode_control(
	const struct link_path *path, const uint8_t *msg, uint32_t len, struct rte_mbuf *out)
{
	uint32_t headers = link_headers_bytes(path);

	if (len < LINK_SHIM_BYTES || len - LINK_SHIM_BYTES > link_blob_max(path, out))
		return -EMSGSIZE;
	memcpy(rte_pktmbuf_mtod_offset(out, uint8_t *, headers - LINK_SHIM_BYTES), msg, len);
	write_headers(path, out, len, DSCP_CS6, ECN_NOT_ECT, LINK_CONTROL_SOURCE_PORT);
	return 0;
}

/* What can be judged by the shim alone. */
static bool shim_ok(const struct link_shim *s)
{
	return s->version == LINK_VERSION;
}

int link_peek_lane(const uint8_t *payload, uint32_t len)
{
	struct link_shim shim;

	if (len < LINK_SHIM_BYTES)
		return -1;
	link_shim_read(payload, &shim);
	if (shim.codec == LINK_CODEC_CONTROL)
		return LINK_PEEK_CONTROL; /* also of other versions: the session says what it heard
					   */
	return shim_ok(&shim) ? shim.lane : -1;
}

/* Note a verified frame in its lane, under the keys of `session_id`. */
static int count(struct link_seq *lane, uint32_t session_id, const struct link_shim *shim,
	uint64_t now_ns, struct link_arrival *arrival)
{
	int32_t newer = (int32_t)(session_id - lane->session_id);

	if (newer < 0) {
		/* Overtaken by the first frame of the new session. What it was can't be told any
		 * more. */
		__atomic_store_n(&lane->received, lane->received + 1, __ATOMIC_RELEASE);
		__atomic_store_n(&lane->late, lane->late + 1, __ATOMIC_RELEASE);
		arrival->verdict = LINK_LATE;
		return -EALREADY;
	}
	if (newer > 0)
		link_seq_start(lane, session_id, 0);
	arrival->class_slot = shim->class_slot;
	arrival->session_id = session_id;
	arrival->sent = shim->sent;
	return link_seq_accept(lane, shim->seq, shim->sent, now_ns, arrival);
}

/* Keep a verified frame, if it is of the session that its store has begun with: it could not be
 * acknowledged in another. */
static void keep(struct store_receiver *store, const struct link_shim *shim, uint32_t session_id,
	const uint8_t *inner, uint64_t now_ns)
{
	if (store != NULL && store->session_id == session_id)
		store_received(store, shim->lane / LINK_WORKERS_MAX, shim->seq, inner,
			shim->original_len, now_ns);
}

/* What keys the check of the received frame `in`. */
static uint64_t check_key(const struct rte_mbuf *in, const struct link_path *path, uint64_t key)
{
	if (!link_is_transparent(pkt_of(in)))
		return key;
	return link_transparent_key(key,
		rte_pktmbuf_mtod_offset(in, const uint8_t *, pkt_of(in)->l3_off), path->routed);
}

/* Does the check of `in`, whose shim is here, verify? *session_id is that of the newest key; that
 * of the key before may have been it. */
static bool check_ok(const struct rte_mbuf *in, const struct link_path *path, const uint8_t *shim,
	const uint8_t *original, uint32_t original_len, uint64_t now_ns, uint32_t *session_id)
{
	uint8_t plain[LINK_SHIM_BYTES];
	uint32_t check = link_get32(shim + LINK_SHIM_BYTES - 4);

	memcpy(plain, shim, LINK_SHIM_BYTES - 4);
	memset(plain + LINK_SHIM_BYTES - 4, 0, 4);
	if (check_of(plain, original, original_len, check_key(in, path, path->rx_key)) == check)
		return true;
	if (now_ns >= path->rx_key_old_until_ns ||
		check_of(plain, original, original_len, check_key(in, path, path->rx_key_old)) !=
			check)
		return false;
	(*session_id)--;
	return true;
}

int link_frame_open(struct codec *codec, struct rte_mbuf *in, const struct link_path *path,
	struct link_seq lanes[LINK_LANES], struct store_receiver *store, uint8_t flags,
	uint8_t *inner, uint32_t room, uint64_t now_ns, struct link_shim *opened,
	struct link_arrival *arrival)
{
	struct pkt *pkt = pkt_of(in);
	bool transparent = link_is_transparent(pkt);
	uint32_t before = transparent ? LINK_IPCOMP_BYTES : 0;
	uint8_t *payload = rte_pktmbuf_mtod_offset(in, uint8_t *, pkt->payload_off + before);
	const uint8_t *blob = payload + LINK_SHIM_BYTES, *checked = inner;
	uint32_t blob_len, checked_len, inner_min, session_id;
	bool is_ack;
	int rc;
	struct link_arrival unasked;
	struct link_shim shim;

	if (arrival == NULL)
		arrival = &unasked;
	arrival->verdict = LINK_NOT_VERIFIED;
	if (path == NULL || path->session_id == 0)
		return -DROP_LINK_NO_SESSION;
	if ((uint32_t)pkt->payload_off + pkt->payload_len > rte_pktmbuf_data_len(in) ||
		pkt->payload_len < before + LINK_SHIM_BYTES ||
		(transparent && (path->cipher != LINK_CIPHER_NONE || !link_transparent_opens(in))))
		return -DROP_LINK_BAD_SHIM;
	blob_len = pkt->payload_len - before - LINK_SHIM_BYTES;
	link_shim_read(payload, &shim);
	*opened = shim;
	is_ack = !transparent && flags == 0 && shim.codec == LINK_CODEC_STORE &&
		 shim.original_len == 0;
	inner_min = transparent	   ? 1
		    : path->routed ? sizeof(struct rte_ipv4_hdr)
				   : sizeof(struct rte_ether_hdr);
	if (!shim_ok(&shim) || shim.flags != flags || (shim.original_len < inner_min && !is_ack) ||
		shim.original_len > room)
		return -DROP_LINK_BAD_SHIM;
	checked_len = shim.original_len;
	session_id = path->session_id;
	if (path->cipher != LINK_CIPHER_NONE) {
		if (!link_open(path, &lanes[shim.lane], payload, pkt->payload_len, now_ns,
			    &session_id))
			return -DROP_LINK_BAD_TAG;
		pkt->payload_len = (uint16_t)(pkt->payload_len - LINK_SEAL_BYTES);
		blob_len -= LINK_SEAL_BYTES;
	}

	switch (shim.codec) {
	case LINK_CODEC_RAW:
		if (blob_len != shim.original_len)
			return -DROP_LINK_BAD_SHIM;
		memcpy(inner, blob, blob_len);
		break;
	case LINK_CODEC_LZ4:
	case LINK_CODEC_LZ4_DICTIONARY:
	case LINK_CODEC_ZSTD:
		if (codec_decode(codec, shim.codec, blob, blob_len, inner, shim.original_len) != 0)
			return -DROP_LINK_BAD_DATA;
		break;
	case LINK_CODEC_STORE:
		if (is_ack) {
			checked = blob;
			checked_len = blob_len;
			break;
		}
		if (store == NULL)
			return -DROP_LINK_BAD_SHIM;
		rc = flags & LINK_FLAG_PACKED
			     ? link_pack_expand(
				       store, &shim, session_id, blob, blob_len, inner, now_ns)
			     : store_expand(store, shim.lane / LINK_WORKERS_MAX, session_id, blob,
				       blob_len, inner, shim.original_len, now_ns);
		if (rc != 0)
			return rc == -ENOENT ? -DROP_LINK_NO_REFERENCE : -DROP_LINK_BAD_DATA;
		break;
	case LINK_CODEC_LZ4_HISTORY:
	case LINK_CODEC_ZSTD_HISTORY:
		if (store == NULL || store->epochs == NULL || flags & LINK_FLAG_PACKED)
			return -DROP_LINK_BAD_SHIM;
		rc = epoch_expand(store->epochs, shim.lane / LINK_WORKERS_MAX, codec, shim.codec,
			blob, blob_len, inner, shim.original_len, now_ns);
		if (rc != 0)
			return rc == -ENOENT ? -DROP_LINK_NO_REFERENCE : -DROP_LINK_BAD_DATA;
		break;
	default:
		return -DROP_LINK_BAD_SHIM;
	}

	if (path->cipher == LINK_CIPHER_NONE &&
		!check_ok(in, path, payload, checked, checked_len, now_ns, &session_id))
		return -DROP_LINK_BAD_CHECK;
	if (count(&lanes[shim.lane], session_id, &shim, now_ns, arrival) != 0)
		return -DROP_LINK_DUPLICATE;
	if (is_ack)
		return LINK_IS_ACK;
	if (!(flags & LINK_FLAG_PACKED))
		keep(store, &shim, session_id, inner, now_ns);
	else if (shim.codec == LINK_CODEC_STORE)
		store_heard(store, shim.lane / LINK_WORKERS_MAX, now_ns);
	return 0;
}

int link_decode(struct codec *codec, struct rte_mbuf *in, const struct link_path *path,
	struct link_seq lanes[LINK_LANES], struct store_receiver *store, struct rte_mbuf *out,
	uint64_t now_ns, struct link_arrival *arrival)
{
	/* Transparent: what stands in front of the original bytes. */
	uint32_t front = link_is_transparent(pkt_of(in)) ? link_transparent_front(in) : 0;
	uint32_t room = rte_pktmbuf_tailroom(out);
	uint8_t *inner = rte_pktmbuf_mtod_offset(out, uint8_t *, front);
	struct link_shim shim;
	int rc = link_frame_open(codec, in, path, lanes, store, 0, inner,
		room > front ? room - front : 0, now_ns, &shim, arrival);

	if (rc == 0 && front > 0) {
		link_transparent_restore(in, out, shim.original_len);
		return 0;
	}
	if (rc == 0)
		rc = link_egress(inner, shim.original_len, path, in);
	if (rc != 0)
		return rc;
	out->data_len = shim.original_len;
	out->pkt_len = shim.original_len;
	return 0;
}
