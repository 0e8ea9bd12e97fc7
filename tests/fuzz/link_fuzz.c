/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target for link frames: link_peek_lane(), link_decode() and link_decode_pack(). The first
 * byte chooses what the rest is (control messages of the link: hello_fuzz.c):
 *
 *     0  UDP payload of a link frame, as it is
 *     1  the same, with its check made right for the bytes it decompresses to: behind the check too
 *     2  an inner frame: encoded, decoded, compared
 *     5  as 0, of a session with encryption
 *     6  the same, sealed with the right key: the decoder behind the tag
 *     7  as 2, with encryption
 *     9  a frame from the WAN with transparent framing, as it is
 *    10  inner frames, each behind a byte that gives its length: packed, unpacked, compared
 *
 * bits 4 to 6 of it: IPv6 outside, routed, VLAN. Bit 7: with encryption, AES-256-GCM instead of
 * ChaCha20-Poly1305; else transparent framing, where 0 and 1 are what is behind the IPComp header
 * and 2 is any frame that a host may send.
 */
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "controlplane/channel/counters.h"
#include "dataplane/compress/codec.h"
#include "dataplane/compress/store.h"
#include "dataplane/link/ack.h"
#include "dataplane/link/pack.h"
#include "dataplane/link/session.h"
#include "dataplane/packet/parse.h"
#include "tests/unit/link/frames.h"

#define NOW UINT64_C(1000000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct link_seq lanes[LINK_LANES];
/* Holds nothing: store_fuzz.c has one that does. */
static struct store_receiver store;

#define KEPT 40
#define KEPT_BYTES 600

/* What packs refer to. They leave it as it is. */
static struct store_receiver *kept_store(void)
{
	static struct store_receiver *r;
	static _Alignas(64) uint8_t memory[1 << 17];
	uint32_t slot = store_slot_bytes(KEPT_BYTES);
	uint8_t packet[KEPT_BYTES];

	if (r != NULL)
		return r;
	r = calloc(1, sizeof(*r));
	if (store_memory_bytes(STORE_SLOTS_MIN, slot, false) > sizeof(memory))
		abort();
	store_memory_init(&r->memory, memory, STORE_SLOTS_MIN, slot, false);
	store_receivers_join(&r, 1);
	store_receiver_start(r, 1, 1);
	r->lane[0].is_begun = true;
	for (uint32_t i = 0; i < KEPT; i++) {
		for (uint32_t j = 0; j < KEPT_BYTES; j++)
			packet[j] = (uint8_t)(j * 7 % (31 + i) + j / 16);
		store_received(r, 0, i, packet, KEPT_BYTES, NOW);
	}
	return r;
}

static void require(bool ok)
{
	if (!ok)
		abort();
}

static struct codec *codec(void)
{
	static struct codec *c;

	if (c == NULL)
		c = frames_codec();
	return c;
}

static void parse(struct rte_mbuf *m, enum way way)
{
	const struct parse_context context = {
		.hash_seed = 7, .way = way, .link_port = RTE_BE16(4790)};

	packet_parse_bulk(&m, 1, &context, NOW);
}

/* A transparent frame with these bytes behind its IPComp header. */
static struct rte_mbuf *arrived_transparent(
	const struct link_path *path, const uint8_t *payload, size_t len)
{
	struct rte_mbuf *in = frames_inner(path->family, 0, DATA_TEXT, 1000, 0, 0, 1);
	struct rte_mbuf *m = rte_pktmbuf_alloc(frames_pool());
	uint32_t headers;

	parse(in, WAY_UP);
	headers = link_headers_of(path, in) - LINK_SHIM_BYTES;
	link_transparent_write(path, in, m, (uint32_t)len - LINK_SHIM_BYTES);
	/* Both ends' paths draw the other's CPI. */
	*rte_pktmbuf_mtod_offset(m, uint8_t *, headers - 2) = (uint8_t)(path->rx_cpi >> 8);
	*rte_pktmbuf_mtod_offset(m, uint8_t *, headers - 1) = (uint8_t)path->rx_cpi;
	memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, headers), payload, len);
	rte_pktmbuf_free(in);
	parse(m, WAY_DOWN);
	require(link_is_transparent(pkt_of(m)) && link_transparent_is_of(m, path, NOW));
	return m;
}

/* A frame whose UDP payload is these bytes, as the parser hands it over. */
static struct rte_mbuf *arrived(const struct link_path *path, const uint8_t *payload, size_t len)
{
	if (path->transparent)
		return arrived_transparent(path, payload, len);

	uint32_t headers = link_headers_bytes(path) - LINK_SHIM_BYTES;
	struct rte_mbuf *m = rte_pktmbuf_alloc(frames_pool());

	memset(rte_pktmbuf_mtod(m, uint8_t *), 0, headers);
	memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, headers), payload, len);
	m->data_len = (uint16_t)(headers + len);
	m->pkt_len = m->data_len;
	frames_arrived(m, path, len > 5 ? payload[5] & 3 : 0);
	return m;
}

/* Make the check right, if the frame decompresses at all. */
static void sign(const struct link_path *path, uint8_t *payload, size_t len)
{
	static uint8_t plain[65536];
	struct link_shim s;
	uint64_t seed;

	if (len < LINK_SHIM_BYTES)
		return;
	link_shim_read(payload, &s);
	bool is_ack = s.codec == LINK_CODEC_STORE && s.original_len == 0;
	uint32_t plain_len = is_ack ? (uint32_t)len - LINK_SHIM_BYTES : s.original_len;

	if (is_ack)
		memcpy(plain, payload + LINK_SHIM_BYTES, plain_len);
	else if (codec_decode(codec(), s.codec, payload + LINK_SHIM_BYTES,
			 (uint32_t)len - LINK_SHIM_BYTES, plain, s.original_len) != 0)
		return;
	uint64_t key = path->rx_key;

	if (path->transparent) {
		struct rte_mbuf *m = arrived_transparent(path, payload, len);

		key = link_transparent_key(key,
			rte_pktmbuf_mtod_offset(m, uint8_t *, pkt_of(m)->l3_off), path->routed);
		rte_pktmbuf_free(m);
	}
	link_put32(payload + 12, 0);
	seed = XXH3_64bits_withSeed(payload, LINK_SHIM_BYTES, key);
	link_put32(payload + 12, (uint32_t)XXH3_64bits_withSeed(plain, plain_len, seed));
}

/* Decode `in`, whose shim and blob these bytes are. */
static void decode_one(
	const struct link_path *path, struct rte_mbuf *in, const uint8_t *payload, size_t len)
{
	struct rte_mbuf *out = rte_pktmbuf_alloc(frames_pool());
	struct rte_mbuf *again = rte_pktmbuf_copy(in, frames_pool(), 0, UINT32_MAX);
	int lane = link_peek_lane(payload, (uint32_t)len);
	static struct link_class_rx classes;
	struct link_losses losses = {0};
	struct link_arrival a;
	struct link_ack ack;
	int rc;

	/* Not copied with the frame: what the parser found in it. */
	*pkt_of(again) = *pkt_of(in);
	rc = link_decode(codec(), in, path, lanes, &store, out, NOW, &a);

	require((rc <= 0 && -rc < REASON_COUNT) || rc == LINK_IS_ACK);
	if (rc == LINK_IS_ACK) {
		require(a.verdict == LINK_ARRIVED && len >= LINK_SHIM_BYTES);
		require(pkt_of(in)->payload_len == len - link_trailer_bytes(path));
		link_ack_read(rte_pktmbuf_mtod_offset(
				      in, uint8_t *, pkt_of(in)->payload_off + LINK_SHIM_BYTES),
			pkt_of(in)->payload_len - LINK_SHIM_BYTES, &ack);
		rte_pktmbuf_free(again);
		rte_pktmbuf_free(in);
		rte_pktmbuf_free(out);
		return;
	}
	require((a.verdict == LINK_NOT_VERIFIED) <= (rc != 0));
	link_class_arrived(&classes, &a, in->pkt_len, NOW);
	if (rc == 0) {
		link_seq_add_losses(&lanes[lane], &losses);
		require(losses.periods <= 1);
		require(lane >= 0 && lane < LINK_LANES);
		require(out->data_len <= rte_pktmbuf_tailroom(out) + out->data_len &&
			out->data_len == out->pkt_len);
		rte_pktmbuf_reset(out);
		rc = link_decode(codec(), again, path, lanes, &store, out, NOW, NULL);
		/* libzstd takes some malformed blocks or not, as their dictionary is in the cache.
		 */
		require(rc == -DROP_LINK_DUPLICATE || rc == -DROP_LINK_BAD_DATA);
	}
	rte_pktmbuf_free(again);
	rte_pktmbuf_free(in);
	rte_pktmbuf_free(out);
}

/* As decode(), where the shim says that there are several packets. */
static void decode_pack(const struct link_path *path, struct rte_mbuf *in)
{
	struct rte_mbuf *out;
	static struct link_pack pack;
	uint32_t least = path->routed ? 20 : 14, sum = 0;
	struct link_arrival a;
	struct store_receiver *kept = kept_store();
	int rc = link_decode_pack(codec(), in, path, lanes, kept, &pack, NOW, &a);

	require(kept->counts.kept == KEPT);
	for (unsigned lane = 0; lane < STORE_WORKERS; lane++) {
		require(kept->lane[lane].refusals <= STORE_REFUSALS);
		kept->lane[lane].refusals = 0;
	}
	require(rc <= 0 && -rc < REASON_COUNT);
	require((a.verdict == LINK_NOT_VERIFIED) <= (rc != 0));
	require((pack.count > 0) == (rc == 0));
	require(rc != 0 || pack.count >= LINK_PACK_MIN);
	for (unsigned i = 0; i < pack.count; i++) {
		out = rte_pktmbuf_alloc(frames_pool());
		sum += LINK_PACK_LENGTH_BYTES + pack.packet_len[i];
		require(pack.packet_len[i] >= least);
		require(link_unpack(&pack, i, out) == (pack.packet_len[i] <= FRAMES_ROOM));
		rte_pktmbuf_free(out);
	}
	require(rc != 0 || sum == pack.len);
	rte_pktmbuf_free(in);
}

static void decode(
	const struct link_path *path, struct rte_mbuf *in, const uint8_t *payload, size_t len)
{
	if (!link_is_transparent(pkt_of(in)) && link_is_packed(payload, (uint32_t)len))
		decode_pack(path, in);
	else
		decode_one(path, in, payload, len);
}

/* As many packets as the bytes give: they must come back, in order. */
static void round_trip_pack(const struct link_path path[2], const uint8_t *bytes, size_t len)
{
	static struct link_pack sent, got;
	static struct link_tx tx;
	struct rte_mbuf *in = rte_pktmbuf_alloc(frames_pool());
	struct rte_mbuf *frame = rte_pktmbuf_alloc(frames_pool());
	uint32_t room;
	uint8_t *blob;
	int n;

	link_pack_clear(&sent);
	memset(pkt_of(in), 0, sizeof(struct pkt));
	pkt_of(in)->flags = PKT_IP;
	pkt_of(in)->l3_off = 14;
	for (size_t at = 0; at < len && (size_t)bytes[at] + 14 < len - at; at += bytes[at] + 15u) {
		in->data_len = (uint16_t)(bytes[at] + 14);
		in->pkt_len = in->data_len;
		memcpy(rte_pktmbuf_mtod(in, uint8_t *), bytes + at + 1, in->data_len);
		pkt_of(in)->l3_len = bytes[at];
		link_pack_add(&sent, &path[0], in);
	}
	blob = link_pack_blob(&sent, &path[0], frame, 0, &room);
	n = room > 0 ? codec_encode(codec(), (struct codec_method){CODEC_LZ4, 1, 0}, sent.bytes,
			       sent.len, blob, room)
		     : 0;
	if (n > 0 && sent.count >= LINK_PACK_MIN) {
		require(link_encode_pack(&tx, &path[0], &sent, LINK_CODEC_LZ4, (uint32_t)n, frame,
				NOW) == 0);
		frames_arrived(frame, &path[1], -1);
		require(link_decode_pack(codec(), frame, &path[1], lanes, NULL, &got, NOW, NULL) ==
			0);
		require(got.count == sent.count && got.len == sent.len &&
			memcmp(got.bytes, sent.bytes, sent.len) == 0 &&
			memcmp(got.at, sent.at, sent.count * sizeof(sent.at[0])) == 0);
	}
	rte_pktmbuf_free(in);
	rte_pktmbuf_free(frame);
}

/* Any bytes as the inner frame: they must come back. */
static void round_trip(const struct link_path path[2], const uint8_t *frame, size_t len)
{
	struct rte_mbuf *in = rte_pktmbuf_alloc(frames_pool());
	struct rte_mbuf *link = rte_pktmbuf_alloc(frames_pool());
	bool transparent = path[0].transparent;
	struct rte_mbuf *out = rte_pktmbuf_alloc(frames_pool());
	static struct link_tx tx;
	static const struct codec_method methods[] = {{CODEC_LZ4, 1, 0},
		{CODEC_LZ4_DICTIONARY, 1, 1}, {CODEC_ZSTD, 1, 0}, {CODEC_ZSTD, 3, 6}};
	uint32_t room, inner_len;
	const uint8_t *inner;
	uint8_t *blob;
	int n;

	memset(pkt_of(in), 0, sizeof(struct pkt));
	memcpy(rte_pktmbuf_mtod(in, uint8_t *), frame, len);
	in->data_len = (uint16_t)len;
	in->pkt_len = in->data_len;
	pkt_of(in)->flags = PKT_IP;
	pkt_of(in)->l3_off = 14;
	pkt_of(in)->l3_len = (uint16_t)(len - 14);
	if (transparent)
		parse(in, WAY_UP);
	inner = link_inner(&path[0], in, &inner_len);
	blob = link_blob(&path[0], in, link, 0, &room);
	/* Each codec in its turn. */
	const struct codec_method method = methods[len % (sizeof(methods) / sizeof(methods[0]))];
	n = room > 0 && inner_len > 0 ? codec_encode(codec(), method, inner, inner_len, blob, room)
				      : 0;
	if (n > 0 && (inner_len >= 20 || transparent)) {
		require(link_encode(&tx, &path[0], in, method.number, (uint32_t)n, link, NOW) == 0);
		if (transparent) {
			parse(link, WAY_DOWN);
			require(link_is_transparent(pkt_of(link)) &&
				link_transparent_is_of(link, &path[1], NOW));
			inner = rte_pktmbuf_mtod(in, const uint8_t *);
			inner_len = in->data_len;
			require(link->data_len <= in->data_len);
		} else {
			frames_arrived(link, &path[1], -1);
		}
		require(link_decode(codec(), link, &path[1], lanes, NULL, out, NOW, NULL) == 0);
		require(out->data_len == inner_len &&
			memcmp(rte_pktmbuf_mtod(out, void *), inner, inner_len) == 0);
	}
	rte_pktmbuf_free(in);
	rte_pktmbuf_free(link);
	rte_pktmbuf_free(out);
}

/* Any frame from the WAN: of this session by its CPI, whatever that is. */
static void receive_transparent(struct link_path *path, const uint8_t *frame, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(frames_pool());
	const struct pkt *p = pkt_of(m);

	memcpy(rte_pktmbuf_append(m, (uint16_t)len), frame, len);
	parse(m, WAY_DOWN);
	if (!link_is_transparent(p)) {
		rte_pktmbuf_free(m);
		return;
	}
	require(!link_transparent_is_of(m, path, NOW) || path->transparent_rx);
	path->rx_cpi = (uint16_t)(frame[p->l4_off + 2] << 8 | frame[p->l4_off + 3]);
	path->transparent_rx = true;
	require(link_transparent_is_of(m, path, NOW));
	decode(path, m, frame + p->l4_off + LINK_IPCOMP_BYTES,
		p->payload_len - (size_t)LINK_IPCOMP_BYTES);
}

/* Keys for both ends. */
static void encrypt(struct link_path path[2], bool aes)
{
	static struct link_aead_key keys[2][2];
	uint8_t cipher = aes ? LINK_CIPHER_AES_256_GCM : LINK_CIPHER_CHACHA20_POLY1305;

	for (uint8_t i = 0; i < 2; i++) {
		uint8_t bytes[LINK_AEAD_KEY_BYTES] = {[0] = (uint8_t)(i + 1)};

		if (keys[aes][i].state[0] == 0)
			link_aead_key_set(&keys[aes][i], cipher, bytes);
		path[i].cipher = cipher;
		path[i].transparent = path[i].transparent_rx = false;
		path[i].tx_aead = keys[aes][i];
		path[!i].rx_aead = keys[aes][i];
	}
}

/* Make them a sealed frame of end 0; returns its length. The number is the lane's first. */
static size_t seal(const struct link_path path[2], uint8_t *payload, size_t len)
{
	if (len < LINK_SHIM_BYTES)
		return len;
	link_seal(&path[0], link_get32(payload + 4), payload, (uint32_t)len - LINK_SHIM_BYTES);
	return len + LINK_SEAL_BYTES;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t copy[FRAMES_ROOM];
	struct link_path path[2];

	if (size < 1 || size > FRAMES_ROOM - 200)
		return 0;
	codec();
	frames_paths(path, data[0] & 0x10 ? 6 : 4, data[0] & 0x40 ? 5 : 0, data[0] & 0x20);
	size--;
	memcpy(copy, data + 1, size);
	path[1].store_slots = 1000;
	for (int i = 0; i < 2; i++) {
		path[i].transparent = path[i].transparent_rx = data[0] & 0x80;
		path[i].tx_cpi = (uint16_t)(0xf100 + i);
		path[i].rx_cpi = (uint16_t)(0xf101 - i);
	}
	for (int i = 0; i < LINK_LANES; i++)
		if (lanes[i].received > 0)
			memset(&lanes[i], 0, sizeof(lanes[i]));
	switch (data[0] & 0x0f) {
	case 1:
		sign(&path[1], copy, size);
		decode(&path[1], arrived(&path[1], copy, size), copy, size);
		break;
	case 2:
		if (size >= 14)
			round_trip(path, copy, size);
		break;
	case 5:
		encrypt(path, data[0] & 0x80);
		decode(&path[1], arrived(&path[1], copy, size), copy, size);
		break;
	case 6:
		encrypt(path, data[0] & 0x80);
		size = seal(path, copy, size);
		decode(&path[1], arrived(&path[1], copy, size), copy, size);
		break;
	case 7:
		encrypt(path, data[0] & 0x80);
		if (size >= 14)
			round_trip(path, copy, size);
		break;
	case 9:
		if (size > 0)
			receive_transparent(&path[1], copy, size);
		break;
	case 10:
		path[0].transparent = path[1].transparent = false;
		round_trip_pack(path, copy, size);
		break;
	default:
		decode(&path[1], arrived(&path[1], copy, size), copy, size);
	}
	return 0;
}
