/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * link/aead.c: the bytes of sealed frames against another implementation's, and what an attacker
 * may try with them: damage, other keys and lanes, frames played again, numbers that wrap.
 */
#include <sodium.h>

#include "controlplane/channel/counters.h"
#include "dataplane/link/ack.h"
#include "tests/unit/link/frames.h"
#include "tests/unit/unit.h"

#define NOW UINT64_C(5000000000000)
#define LANE 0x21

static const uint8_t ciphers[] = {LINK_CIPHER_AES_256_GCM, LINK_CIPHER_CHACHA20_POLY1305};
static struct link_seq lanes[LINK_LANES];
static struct link_path path[2];
static struct link_tx tx;

/* A session between two ends, with keys of one repeated byte. */
static void set_up(uint8_t cipher)
{
	uint8_t bytes[LINK_AEAD_KEY_BYTES];

	frames_pool();
	if (sodium_init() < 0)
		abort();
	frames_paths(path, 4, 0, false);
	for (int i = 0; i < 2; i++) {
		path[i].cipher = cipher;
		memset(bytes, 0xa0 + i, sizeof(bytes));
		link_aead_key_set(&path[i].tx_aead, cipher, bytes);
		link_aead_key_set(&path[!i].rx_aead, cipher, bytes);
	}
	memset(lanes, 0, sizeof(lanes));
	link_tx_init(&tx, LANE);
}

/* The bytes of one packet in a frame, sent by end 0. */
static struct rte_mbuf *sealed(uint32_t payload_len, uint64_t seed)
{
	struct rte_mbuf *in = frames_inner(4, 0, DATA_RANDOM, payload_len, 0, 0, seed);
	struct rte_mbuf *frame = rte_pktmbuf_alloc(frames_pool());
	uint32_t room;

	memcpy(link_blob(&path[0], in, frame, 0, &room), rte_pktmbuf_mtod(in, void *),
		in->data_len);
	CU_ASSERT_EQUAL_FATAL(
		link_encode(&tx, &path[0], in, LINK_CODEC_RAW, in->data_len, frame, NOW), 0);
	rte_pktmbuf_free(in);
	return frame;
}

/* A copy of the frame arrives at end 1. */
static int arrive(const struct rte_mbuf *frame, struct link_arrival *arrival)
{
	struct rte_mbuf *in = rte_pktmbuf_alloc(frames_pool());
	struct rte_mbuf *out = rte_pktmbuf_alloc(frames_pool());

	memcpy(rte_pktmbuf_mtod(in, void *), rte_pktmbuf_mtod(frame, void *), frame->data_len);
	in->data_len = frame->data_len;
	in->pkt_len = frame->data_len;
	frames_arrived(in, &path[1], -1);
	int rc = link_decode(frames_codec(), in, &path[1], lanes, NULL, out, NOW, arrival);

	rte_pktmbuf_free(in);
	rte_pktmbuf_free(out);
	return rc;
}

/*
 * Sealed with the key 00 01 .. 1f by Python's cryptography (OpenSSL): AESGCM or ChaCha20Poly1305,
 * encrypt(nonce, blob, shim[:12]), laid out as aead.h says. The blobs: "link"; 33 bytes of 7 i;
 * none.
 */
static void test_vectors(void)
{
	static const struct {
		uint8_t cipher, lane;
		uint64_t seq;
		uint32_t blob_len;
		const char *frame;
	} vectors[] = {
		{LINK_CIPHER_AES_256_GCM, 0x21, 0x01020304, 4,
			"\x80\xc8\x40\x0e\x01\x02\x03\x04\xa0\xb0\xc0\xd0\xda\x79\x9c\x88"
			"\x36\x10\x4f\x1a\x5b\x27\x8f\xde\x9a\xa6\xec\x63\xf4\x66\x56\xaa"},
		{LINK_CIPHER_AES_256_GCM, 0xff, UINT64_C(0x5fffffffe), 33,
			"\x80\xff\xc0\x21\xff\xff\xff\xfe\xa0\xb0\xc0\xd0\x64\xd5\xf8\x68"
			"\x8c\xb6\xce\x9f\xdd\x2e\x3c\x15\xc1\x1e\xb9\xc7\xd9\x11\xde\xa0"
			"\x29\x6a\x00\x49\xd4\x9c\xed\xa9\x01\xbd\xdb\x74\xaa\x58\x00\x0b"
			"\xbb\x5a\x7a\x4d\x2d\x49\xb0\x31\xce\xbb\xbd\x70\x21"},
		{LINK_CIPHER_AES_256_GCM, 0, 0, 0,
			"\x80\xc0\x00\x0e\x00\x00\x00\x00\xa0\xb0\xc0\xd0\x85\xc6\xfa\xa0"
			"\xf9\xb9\xfe\x63\xd8\xb7\x6b\x12\x55\x17\x54\x44"},
		{LINK_CIPHER_CHACHA20_POLY1305, 0x21, 0x01020304, 4,
			"\x80\xc8\x40\x0e\x01\x02\x03\x04\xa0\xb0\xc0\xd0\xfa\x42\x0e\xdf"
			"\x4d\x2d\xb0\xeb\x2d\xbd\xb4\xcf\x36\xa8\xf0\x57\xe0\xc9\x37\x5b"},
		{LINK_CIPHER_CHACHA20_POLY1305, 0xff, UINT64_C(0x5fffffffe), 33,
			"\x80\xff\xc0\x21\xff\xff\xff\xfe\xa0\xb0\xc0\xd0\x69\x18\xa6\x32"
			"\xa8\x65\xd3\xf0\xd9\x6b\x7b\x65\x3c\x21\x64\xef\x10\x78\x9b\x40"
			"\xcf\x0d\xf3\x97\x4d\x42\x5b\x39\x56\x83\x3f\xe5\x5f\xf8\x55\x54"
			"\x4e\x1e\x0b\xad\x51\x92\x24\x03\x7f\xd4\x95\x9a\xd6"},
		{LINK_CIPHER_CHACHA20_POLY1305, 0, 0, 0,
			"\x80\xc0\x00\x0e\x00\x00\x00\x00\xa0\xb0\xc0\xd0\xb2\xba\x24\x1a"
			"\x5b\xf8\x8f\x18\xc9\x7c\x3a\x7b\x8e\x52\x22\x12"},
	};

	for (unsigned v = 0; v < sizeof(vectors) / sizeof(vectors[0]); v++) {
		uint32_t n = vectors[v].blob_len, len = LINK_SHIM_BYTES + n + LINK_SEAL_BYTES;
		uint8_t key[LINK_AEAD_KEY_BYTES], blob[33], frame[LINK_SHIM_BYTES + 33 + 12];
		uint32_t session_id = 0;

		set_up(vectors[v].cipher);
		for (uint8_t i = 0; i < sizeof(key); i++)
			key[i] = i;
		link_aead_key_set(&path[0].tx_aead, vectors[v].cipher, key);
		link_aead_key_set(&path[1].rx_aead, vectors[v].cipher, key);
		for (uint32_t i = 0; i < n; i++)
			blob[i] = n == 4 ? (uint8_t) "link"[i] : (uint8_t)(7 * i);
		memcpy(frame, vectors[v].frame, LINK_SHIM_BYTES);
		memset(frame + 12, 0, 4);
		memcpy(frame + LINK_SHIM_BYTES, blob, n);
		link_seal(&path[0], vectors[v].seq, frame, n);
		CU_ASSERT(memcmp(frame, vectors[v].frame, len) == 0);

		/* The receiver has come as far in the lane. */
		struct link_seq *lane = &lanes[vectors[v].lane];

		lane->session_id = path[1].session_id;
		lane->next = vectors[v].seq + 3;
		CU_ASSERT(link_open(&path[1], lane, frame, len, NOW, &session_id));
		CU_ASSERT(session_id == 1 && memcmp(frame + LINK_SHIM_BYTES, blob, n) == 0);
	}
}

/* Every bit of the frame counts; nothing that does not verify changes the lane. */
static void test_damage(void)
{
	for (unsigned c = 0; c < 2; c++) {
		static struct link_seq before[LINK_LANES];
		struct link_arrival a;

		set_up(ciphers[c]);
		for (int i = 0; i < 3; i++) {
			struct rte_mbuf *warm = sealed(60, 9);

			CU_ASSERT_EQUAL(arrive(warm, NULL), 0);
			rte_pktmbuf_free(warm);
		}
		struct rte_mbuf *frame = sealed(100, 1);
		uint8_t *shim = rte_pktmbuf_mtod_offset(frame, uint8_t *, 14 + 20 + 8);
		uint32_t len = frame->data_len - 14 - 20 - 8;

		memcpy(before, lanes, sizeof(before));
		for (uint32_t bit = 0; bit < 8 * len; bit++) {
			shim[bit / 8] ^= (uint8_t)(1 << bit % 8);
			int rc = arrive(frame, &a);
			shim[bit / 8] ^= (uint8_t)(1 << bit % 8);
			/* Version and kind of path are looked at before. */
			CU_ASSERT(rc == -DROP_LINK_BAD_TAG ||
				  (rc == -DROP_LINK_BAD_SHIM && bit < 32));
			CU_ASSERT_EQUAL(a.verdict, LINK_NOT_VERIFIED);
		}
		for (uint16_t cut = 1; cut <= len; cut++) {
			frame->data_len = (uint16_t)(frame->data_len - cut);
			CU_ASSERT(arrive(frame, &a) < 0 && a.verdict == LINK_NOT_VERIFIED);
			frame->data_len = (uint16_t)(frame->data_len + cut);
		}
		CU_ASSERT(memcmp(before, lanes, sizeof(before)) == 0);
		CU_ASSERT_EQUAL(arrive(frame, &a), 0);
		CU_ASSERT_EQUAL(a.verdict, LINK_ARRIVED);
		rte_pktmbuf_free(frame);
	}
}

static void test_keys(void)
{
	for (unsigned c = 0; c < 2; c++) {
		struct link_arrival a;
		struct link_aead_key good, other;
		uint8_t bytes[LINK_AEAD_KEY_BYTES] = {1};

		/* Back to its sender: the other direction's key does not open it. */
		set_up(ciphers[c]);
		struct rte_mbuf *frame = sealed(100, 1);
		struct link_path there = path[1];

		path[1].rx_aead = path[0].rx_aead;
		CU_ASSERT_EQUAL(arrive(frame, &a), -DROP_LINK_BAD_TAG);
		path[1] = there;

		/* The key of the session before: for a while, and counted as of that session. */
		good = path[1].rx_aead;
		link_aead_key_set(&other, ciphers[c], bytes);
		path[1].session_id = 8;
		path[1].session_id_old = 5;
		path[1].rx_aead = other;
		path[1].rx_aead_old = good;
		CU_ASSERT_EQUAL(arrive(frame, &a), -DROP_LINK_BAD_TAG);
		path[1].rx_key_old_until_ns = NOW;
		CU_ASSERT_EQUAL(arrive(frame, &a), -DROP_LINK_BAD_TAG);
		path[1].rx_key_old_until_ns = NOW + 1;
		CU_ASSERT_EQUAL(arrive(frame, &a), 0);
		CU_ASSERT_EQUAL(a.session_id, 5);
		CU_ASSERT_EQUAL(arrive(frame, &a), -DROP_LINK_DUPLICATE);
		rte_pktmbuf_free(frame);

		/* That of the session to come. */
		frame = sealed(100, 2);
		path[1].rx_key_old_until_ns = 0;
		path[1].rx_aead_next = good;
		CU_ASSERT_EQUAL(arrive(frame, &a), -DROP_LINK_BAD_TAG);
		path[1].session_id_next = 9;
		CU_ASSERT_EQUAL(arrive(frame, &a), 0);
		CU_ASSERT_EQUAL(a.session_id, 9);
		/* Now it has come. */
		path[1].session_id = 9;
		path[1].session_id_next = 0;
		path[1].rx_aead = good;
		CU_ASSERT_EQUAL(arrive(frame, &a), -DROP_LINK_DUPLICATE);
		rte_pktmbuf_free(frame);
	}
	/* The ciphers are not each other's. */
	set_up(LINK_CIPHER_AES_256_GCM);
	struct rte_mbuf *frame = sealed(100, 1);

	path[1].cipher = LINK_CIPHER_CHACHA20_POLY1305;
	CU_ASSERT_EQUAL(arrive(frame, NULL), -DROP_LINK_BAD_TAG);
	path[1].cipher = LINK_CIPHER_NONE;
	CU_ASSERT(arrive(frame, NULL) < 0);
	rte_pktmbuf_free(frame);
	/* Nor is a frame without encryption taken. */
	set_up(LINK_CIPHER_AES_256_GCM);
	path[0].cipher = LINK_CIPHER_NONE;
	frame = sealed(100, 1);
	CU_ASSERT_EQUAL(arrive(frame, NULL), -DROP_LINK_BAD_TAG);
	rte_pktmbuf_free(frame);
}

/* The window of RFC 4303, 3.4.3: what is in it is taken once, what is behind it not at all. */
static void test_replay(void)
{
	enum { KEPT = 40, STEP = 250 };
	struct rte_mbuf *frame[KEPT], *missing;
	struct link_arrival a;

	set_up(LINK_CIPHER_CHACHA20_POLY1305);
	missing = sealed(60, 0);
	for (int i = 0; i < KEPT; i++) {
		tx.next = 1 + (uint64_t)i * STEP;
		frame[i] = sealed(60, (uint64_t)i);
		CU_ASSERT_EQUAL(arrive(frame[i], &a), 0);
	}
	uint64_t next = lanes[LANE].next, unique = lanes[LANE].unique;

	CU_ASSERT(next > LINK_SEQ_WINDOW);
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < KEPT; i++) {
			CU_ASSERT_EQUAL(arrive(frame[i], &a), -DROP_LINK_DUPLICATE);
			CU_ASSERT_EQUAL(a.verdict, next - (1 + (uint64_t)i * STEP) > LINK_SEQ_WINDOW
							   ? LINK_LATE
							   : LINK_DUPLICATE);
		}
	/* It never came, but that cannot be known any more. */
	CU_ASSERT_EQUAL(arrive(missing, &a), -DROP_LINK_DUPLICATE);
	CU_ASSERT_EQUAL(a.verdict, LINK_LATE);
	CU_ASSERT(lanes[LANE].next == next && lanes[LANE].unique == unique);
	/* One that is behind by just as much as the window holds is taken, once. */
	rte_pktmbuf_free(missing);
	tx.next = next - LINK_SEQ_WINDOW;
	missing = sealed(60, 0);
	CU_ASSERT_EQUAL(arrive(missing, &a), 0);
	CU_ASSERT_EQUAL(arrive(missing, &a), -DROP_LINK_DUPLICATE);
	rte_pktmbuf_free(missing);
	for (int i = 0; i < KEPT; i++)
		rte_pktmbuf_free(frame[i]);
}

/* The number in the shim wraps, that in the nonce does not. */
static void test_wrap(void)
{
	for (unsigned c = 0; c < 2; c++) {
		struct rte_mbuf *before[4], *after[4], *early;
		struct link_arrival a;

		set_up(ciphers[c]);
		early = sealed(60, 1);
		CU_ASSERT_EQUAL(arrive(early, &a), 0);
		tx.next = (UINT64_C(1) << 32) - 4;
		lanes[LANE].next = tx.next;
		for (int i = 0; i < 4; i++)
			before[i] = sealed(60, 2);
		for (int i = 0; i < 4; i++)
			after[i] = sealed(60, 2);
		CU_ASSERT_EQUAL(tx.next, (UINT64_C(1) << 32) + 4);
		/* In any order. */
		CU_ASSERT_EQUAL(arrive(after[1], &a), 0);
		CU_ASSERT_EQUAL(lanes[LANE].next, (UINT64_C(1) << 32) + 2);
		for (int i = 0; i < 4; i++) {
			CU_ASSERT_EQUAL(arrive(before[3 - i], &a), 0);
			CU_ASSERT_EQUAL(arrive(before[3 - i], &a), -DROP_LINK_DUPLICATE);
		}
		for (int i = 0; i < 4; i++)
			CU_ASSERT_EQUAL(arrive(after[i], &a), i == 1 ? -DROP_LINK_DUPLICATE : 0);
		/* Number 0 of the session, played in the place of 2^32: not sealed as that. */
		memset(lanes[LANE].seen, 0, sizeof(lanes[LANE].seen));
		CU_ASSERT_EQUAL(arrive(early, &a), -DROP_LINK_BAD_TAG);
		/* The same bytes under other numbers look quite different. */
		CU_ASSERT(memcmp(rte_pktmbuf_mtod_offset(after[0], uint8_t *, 58),
				  rte_pktmbuf_mtod_offset(early, uint8_t *, 58), 60) != 0);
		rte_pktmbuf_free(early);
		for (int i = 0; i < 4; i++) {
			rte_pktmbuf_free(before[i]);
			rte_pktmbuf_free(after[i]);
		}
	}
}

/* Packets of all lengths, compressed and not, acknowledgements: they come back, within the MTU. */
static void test_round_trip(void)
{
	static const struct codec_method lz4 = {CODEC_LZ4, 1, 0};

	for (unsigned k = 0; k < 16; k++) {
		struct rte_mbuf *out = rte_pktmbuf_alloc(frames_pool());
		uint32_t room, len;
		uint8_t family = k & 2 ? 6 : 4;
		bool routed = k & 4;

		set_up(ciphers[k & 1]);
		for (uint32_t n = 0; n < 1600; n += 37) {
			struct rte_mbuf *in =
				frames_inner(4, 0, k & 8 ? DATA_TEXT : DATA_RANDOM, n, 0, 0, n);
			struct rte_mbuf *frame = rte_pktmbuf_alloc(frames_pool());
			struct link_path keyed[2] = {path[0], path[1]};

			frames_paths(path, family, k & 8 ? 7 : 0, routed);
			for (int i = 0; i < 2; i++) {
				path[i].cipher = keyed[i].cipher;
				path[i].tx_aead = keyed[i].tx_aead;
				path[i].rx_aead = keyed[i].rx_aead;
				path[i].path_mtu = 1500;
			}
			const uint8_t *inner = link_inner(&path[0], in, &len);
			uint8_t *blob = link_blob(&path[0], in, frame, 0, &room);
			int got = k & 8 ? codec_encode(frames_codec(), lz4, inner, len, blob, room)
					: -1;
			uint8_t codec = got > 0 ? LINK_CODEC_LZ4 : LINK_CODEC_RAW;

			if (got <= 0 && len <= FRAMES_ROOM - LINK_HEADERS_MAX)
				memcpy(blob, inner, len);
			int rc = link_encode(&tx, &path[0], in, codec,
				got > 0 ? (uint32_t)got : len, frame, NOW);
			bool fits = got > 0 || len + LINK_SEAL_BYTES +
							       (family == 4 ? LINK_OVERHEAD_IPV4
									    : LINK_OVERHEAD_IPV6) <=
						       1500;

			CU_ASSERT_EQUAL(rc, fits ? 0 : -EMSGSIZE);
			if (rc == 0) {
				CU_ASSERT(frame->data_len <= 1500 + link_l2_bytes(&path[0]));
				frames_arrived(frame, &path[1], -1);
				rte_pktmbuf_reset(out);
				CU_ASSERT_EQUAL(link_decode(frames_codec(), frame, &path[1], lanes,
							NULL, out, NOW, NULL),
					0);
				CU_ASSERT(out->data_len == len &&
					  memcmp(rte_pktmbuf_mtod(out, void *), inner, len) == 0);
			}
			rte_pktmbuf_free(in);
			rte_pktmbuf_free(frame);
		}
		rte_pktmbuf_free(out);
	}
}

static void test_ack(void)
{
	for (unsigned c = 0; c < 2; c++) {
		struct rte_mbuf *frame, *out;
		struct link_ack ack = {.base = 77, .words = 2, .bitmap = {5, 6}}, got;
		uint8_t bytes[LINK_ACK_BYTES_MAX];

		set_up(ciphers[c]);
		frame = rte_pktmbuf_alloc(frames_pool());
		out = rte_pktmbuf_alloc(frames_pool());
		CU_ASSERT_EQUAL(link_encode_ack(&tx, &path[0], bytes, link_ack_write(&ack, bytes),
					frame, NOW),
			0);
		frames_arrived(frame, &path[1], -1);
		struct pkt *p = pkt_of(frame);
		uint8_t *blob =
			rte_pktmbuf_mtod_offset(frame, uint8_t *, p->payload_off + LINK_SHIM_BYTES);

		CU_ASSERT(memcmp(blob, bytes, 8) != 0);
		CU_ASSERT_EQUAL(
			link_decode(frames_codec(), frame, &path[1], lanes, NULL, out, NOW, NULL),
			LINK_IS_ACK);
		CU_ASSERT_EQUAL(link_ack_read(blob, p->payload_len - LINK_SHIM_BYTES, &got), 0);
		CU_ASSERT(got.base == 77 && got.words == 2 && got.bitmap[1] == 6);
		rte_pktmbuf_free(frame);
		rte_pktmbuf_free(out);
	}
}

UNIT_TESTS("link-aead", {"another implementation's bytes", test_vectors},
	{"every bit is authenticated", test_damage},
	{"only the right key opens, in its time", test_keys},
	{"nothing is taken twice, or when it cannot be known", test_replay},
	{"sequence numbers wrap, nonces do not", test_wrap},
	{"round trips within the path MTU", test_round_trip},
	{"acknowledgements are sealed, too", test_ack})
