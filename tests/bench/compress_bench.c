/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The codecs on real data, beside liblz4's and libzstd's ordinary calls on the same packets in the
 * same run: ratio, speed, cycles a packet. Takes the folder that tools/corpus has made, cuts each
 * of its files into packets, and says what each kind gives. tests/bench/run starts it, or by hand:
 *
 *     build/tests/bench/compress_bench FOLDER [PASSES]
 *
 * What counts on the wire: the blob and 8 bytes of header where that is less than the packet, else
 * the packet. A flow is 256 kB, a short one 8 kB; its dictionary is found in its first packet, at
 * its own expense. All flows of a kind are one service's. Behind each size the same packets as many
 * to a frame as compress/pack.h expects to fit, all there at once, beside one to a frame. With
 * history, the flow's epochs come 32 kB after they were offered, and with loss 1 % of packets,
 * offers and answers do not arrive; making the epochs is counted, keeping the packets is not, as
 * that is the store's (store_bench.c).
 */
#include <lz4.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zstd.h>

#include <rte_cycles.h>

#include "dataplane/compress/codec.h"
#include "dataplane/compress/pack.h"
#include "tests/bench/epoch_lane.h"

#define HEADER_BYTES 8
#define FLOW_BYTES (256 * 1024)
#define SHORT_FLOW_BYTES (8 * 1024)
#define KIND_MAX_BYTES (64u << 20)
#define PASSES_DEFAULT 5
#define ANSWER_DELAY_BYTES 32768
#define LOSS_PERMILLE 10
#define BLOB_MAX ((int)ZSTD_COMPRESSBOUND(1500))

struct kind {
	const char *name;
	bool compressible;
	uint8_t *bytes;
	uint32_t len;
};

static struct kind kinds[] = {{"html", true, NULL, 0}, {"json", true, NULL, 0},
	{"js", true, NULL, 0}, {"css", true, NULL, 0}, {"text", true, NULL, 0},
	{"sql", true, NULL, 0}, {"log", true, NULL, 0}, {"source", true, NULL, 0},
	{"elf", true, NULL, 0}, {"ttf", true, NULL, 0}, {"png", false, NULL, 0},
	{"jpeg", false, NULL, 0}, {"deb", false, NULL, 0}, {"random", false, NULL, 0},
	{"tls", false, NULL, 0}};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct scheme {
	const char *name;
	enum { LIBLZ4, LIBZSTD, OURS, HISTORY, HISTORY_LOSS } by;
	struct codec_method method; /* effort means the same to the libraries */
	bool dictionary;
	bool is_short; /* flows */
};

static const struct scheme schemes[] = {
	{"liblz4 fast 1", LIBLZ4, {0, 1, 0}, false, false},
	{"liblz4 fast 4", LIBLZ4, {0, 4, 0}, false, false},
	{"liblz4 fast 8", LIBLZ4, {0, 8, 0}, false, false},
	{"libzstd 1", LIBZSTD, {0, 1, 0}, false, false},
	{"libzstd 3", LIBZSTD, {0, 3, 0}, false, false},
	{"lz4 1", OURS, {CODEC_LZ4, 1, 0}, false, false},
	{"lz4 4", OURS, {CODEC_LZ4, 4, 0}, false, false},
	{"lz4 8", OURS, {CODEC_LZ4, 8, 0}, false, false},
	{"lz4 1 + dictionary", OURS, {CODEC_LZ4, 1, 0}, true, false},
	{"lz4 4 + dictionary", OURS, {CODEC_LZ4, 4, 0}, true, false},
	{"zstd 1", OURS, {CODEC_ZSTD, 1, 0}, false, false},
	{"zstd 2", OURS, {CODEC_ZSTD, 2, 0}, false, false},
	{"zstd 3", OURS, {CODEC_ZSTD, 3, 0}, false, false},
	{"zstd 1 + dictionary", OURS, {CODEC_ZSTD, 1, 0}, true, false},
	{"zstd 3 + dictionary", OURS, {CODEC_ZSTD, 3, 0}, true, false},
	{"lz4 1 + history", HISTORY, {CODEC_LZ4, 1, 0}, true, false},
	{"zstd 1 + history", HISTORY, {CODEC_ZSTD, 1, 0}, true, false},
	{"zstd 3 + history", HISTORY, {CODEC_ZSTD, 3, 0}, true, false},
	{"lz4 1 + history, loss", HISTORY_LOSS, {CODEC_LZ4, 1, 0}, true, false},
	{"zstd 1 + history, loss", HISTORY_LOSS, {CODEC_ZSTD, 1, 0}, true, false},
	{"zstd 3 + history, loss", HISTORY_LOSS, {CODEC_ZSTD, 3, 0}, true, false},
	{"lz4 1 + dict., short", OURS, {CODEC_LZ4, 1, 0}, true, true},
	{"zstd 1 + dict., short", OURS, {CODEC_ZSTD, 1, 0}, true, true},
	{"lz4 1 + history, short", HISTORY, {CODEC_LZ4, 1, 0}, true, true},
	{"zstd 1 + history, short", HISTORY, {CODEC_ZSTD, 1, 0}, true, true},
};
#define SCHEMES (sizeof(schemes) / sizeof(schemes[0]))

/* Cycles are those of RUN packets in a row, the least of all passes: so a pass need not be free of
 * interruptions as a whole. */
#define RUN 16
struct figures {
	uint64_t *encode_run, *decode_run;
	uint64_t encode_cycles, decode_cycles; /* their sums */
	uint64_t wire_bytes;
	uint32_t packets, decoded;
};

/* One packet's blob, and how it was made. */
struct blob {
	uint8_t bytes[BLOB_MAX + 16];
	int len; /* 0: the packet goes as it is */
	uint8_t number;
};

static struct figures figures[SCHEMES][KINDS];
static struct blob *blobs;
static struct codec *codec;
static struct dictionaries *dictionaries;
static ZSTD_CCtx *zstd_compress_context;
static ZSTD_DCtx *zstd_decompress_context;

static void *memory(size_t bytes)
{
	void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);

	if (p == NULL)
		abort();
	return p;
}

static uint32_t packets_in_flow(const struct scheme *s, uint32_t packet)
{
	return (s->is_short ? SHORT_FLOW_BYTES : FLOW_BYTES) / packet;
}

/* Look for the flow's dictionary in its first packet. */
static void find_dictionary(struct codec_method *method, const uint8_t *in, uint32_t len)
{
	bool zstd = method->number == CODEC_ZSTD;

	method->dictionary = codec_find_dictionary(codec, *method, UINT16_MAX, in, len);
	if (!zstd)
		method->number = method->dictionary != 0 ? CODEC_LZ4_DICTIONARY : CODEC_LZ4;
}

/* `method` carries the flow's dictionary from packet to packet. */
static void encode(const struct scheme *s, struct codec_method *method, bool first,
	const uint8_t *in, uint32_t len, struct blob *blob)
{
	int room = (int)len - HEADER_BYTES;
	size_t n;

	switch (s->by) {
	case LIBLZ4:
		blob->len = LZ4_compress_fast((const char *)in, (char *)blob->bytes, (int)len,
			BLOB_MAX, s->method.effort);
		break;
	case LIBZSTD:
		n = ZSTD_compressCCtx(
			zstd_compress_context, blob->bytes, BLOB_MAX, in, len, s->method.effort);
		blob->len = ZSTD_isError(n) ? 0 : (int)n;
		break;
	default:
		if (first && s->dictionary)
			find_dictionary(method, in, len);
		blob->number = method->number;
		blob->len = codec_encode(
			codec, *method, in, len, blob->bytes, room > 0 ? (uint32_t)room : 0);
	}
	if (blob->len >= room)
		blob->len = 0;
}

static int decode(const struct scheme *s, const struct blob *blob, uint8_t *out, uint32_t len)
{
	switch (s->by) {
	case LIBLZ4:
		return LZ4_decompress_safe((const char *)blob->bytes, (char *)out, blob->len,
			       (int)len) == (int)len
			       ? 0
			       : -1;
	case LIBZSTD:
		return ZSTD_decompressDCtx(zstd_decompress_context, out, len, blob->bytes,
			       (size_t)blob->len) == len
			       ? 0
			       : -1;
	default:
		return codec_decode(
			codec, blob->number, blob->bytes, (uint32_t)blob->len, out, len);
	}
}

static void keep_least(uint64_t *least, uint64_t cycles)
{
	if (*least == 0 || cycles < *least)
		*least = cycles;
}

/* The same by a lane that acknowledges. Each packet is decoded at once, or lost. */
static void pass_epochs(
	const struct scheme *s, const struct kind *k, uint32_t packet, struct figures *f)
{
	struct codec_method method = s->method;
	uint32_t count = k->len / packet / RUN * RUN;
	uint32_t in_flow = packets_in_flow(s, packet);

	epoch_lane_start(codec, dictionaries, k->bytes, count * packet, packet,
		getenv("NOSVC") == NULL, s->by == HISTORY_LOSS ? LOSS_PERMILLE : 0);
	f->packets = count;
	f->wire_bytes = f->decoded = 0;
	for (uint32_t run = 0; run < count; run += RUN) {
		uint64_t encode_cycles = 0, decode_cycles = 0;

		for (uint32_t i = run; i < run + RUN; i++) {
			uint64_t begin = rte_rdtsc_precise();

			if (i % in_flow == 0) {
				method = s->method;
				find_dictionary(&method, k->bytes + i * packet, packet);
			}
			encode_cycles += rte_rdtsc_precise() - begin;
			struct epoch_lane_result r = epoch_lane_send(
				i, i / in_flow, method, packet - HEADER_BYTES, ANSWER_DELAY_BYTES);
			encode_cycles += r.encode_cycles;
			decode_cycles += r.decode_cycles;
			f->wire_bytes += r.wire_len > 0 ? r.wire_len + HEADER_BYTES : packet;
			f->decoded += r.wire_len > 0 && !r.is_lost;
		}
		keep_least(&f->encode_run[run / RUN], encode_cycles);
		keep_least(&f->decode_run[run / RUN], decode_cycles);
	}
}

/* Everything of a kind once through a scheme, both ways. */
static void pass(const struct scheme *s, const struct kind *k, uint32_t packet, struct figures *f)
{
	struct codec_method method = s->method;
	uint32_t count = k->len / packet / RUN * RUN;
	uint32_t in_flow = packets_in_flow(s, packet);
	static uint8_t out[2048];

	if (s->by >= HISTORY) {
		pass_epochs(s, k, packet, f);
		return;
	}
	f->packets = count;
	f->wire_bytes = f->decoded = 0;
	for (uint32_t run = 0; run < count; run += RUN) {
		uint64_t begin = rte_rdtsc_precise();

		for (uint32_t i = run; i < run + RUN; i++)
			encode(s, &method, i % in_flow == 0, k->bytes + i * packet, packet,
				&blobs[i]);
		keep_least(&f->encode_run[run / RUN], rte_rdtsc_precise() - begin);
	}
	for (uint32_t run = 0; run < count; run += RUN) {
		uint64_t begin = rte_rdtsc_precise();

		for (uint32_t i = run; i < run + RUN; i++)
			if (blobs[i].len > 0 && decode(s, &blobs[i], out, packet) != 0)
				abort();
		keep_least(&f->decode_run[run / RUN], rte_rdtsc_precise() - begin);
	}
	for (uint32_t i = 0; i < count; i++) {
		f->wire_bytes += blobs[i].len > 0 ? (uint32_t)blobs[i].len + HEADER_BYTES : packet;
		f->decoded += blobs[i].len > 0;
		if (blobs[i].len > 0 && (decode(s, &blobs[i], out, packet) != 0 ||
						memcmp(out, k->bytes + i * packet, packet) != 0)) {
			fprintf(stderr, "%s: %s does not come back\n", s->name, k->name);
			exit(1);
		}
	}
}

/* All passes over all kinds; the schemes in turn, so that what slows the machine slows all. */
static void measure(uint32_t packet, int passes)
{
	size_t runs = kinds[0].len / packet / RUN;

	for (size_t s = 0; s < SCHEMES; s++) {
		for (size_t k = 0; k < KINDS; k++) {
			struct figures *f = &figures[s][k];

			free(f->encode_run);
			free(f->decode_run);
			*f = (struct figures){.encode_run = calloc(runs, sizeof(uint64_t)),
				.decode_run = calloc(runs, sizeof(uint64_t))};
			if (f->encode_run == NULL || f->decode_run == NULL)
				abort();
		}
	}
	for (int p = 0; p < passes; p++)
		for (size_t k = 0; k < KINDS; k++)
			for (size_t s = 0; s < SCHEMES; s++)
				pass(&schemes[s], &kinds[k], packet, &figures[s][k]);
	for (size_t s = 0; s < SCHEMES; s++) {
		for (size_t k = 0; k < KINDS; k++) {
			for (size_t r = 0; r < runs; r++) {
				figures[s][k].encode_cycles += figures[s][k].encode_run[r];
				figures[s][k].decode_cycles += figures[s][k].decode_run[r];
			}
		}
	}
}

static double tsc_hz(void)
{
	struct timespec a, b;
	uint64_t begin, end;

	clock_gettime(CLOCK_MONOTONIC, &a);
	begin = rte_rdtsc_precise();
	do
		clock_gettime(CLOCK_MONOTONIC, &b);
	while ((b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec < 100000000L);
	end = rte_rdtsc_precise();
	return (double)(end - begin) /
	       ((double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9);
}

static struct figures sum(size_t scheme, bool compressible)
{
	struct figures all = {0};

	for (size_t k = 0; k < KINDS; k++) {
		const struct figures *f = &figures[scheme][k];

		if (kinds[k].compressible != compressible)
			continue;
		all.encode_cycles += f->encode_cycles;
		all.decode_cycles += f->decode_cycles;
		all.wire_bytes += f->wire_bytes;
		all.packets += f->packets;
		all.decoded += f->decoded;
	}
	return all;
}

/* Mean over the compressible kinds, of equal bytes each; the incompressible ones behind it. */
static void print_means(uint32_t packet, double hz)
{
	printf("\n%u bytes a packet      ratio |  MB/s cyc/pkt  of liblz4 of libzstd |  MB/s "
	       "cyc/pkt "
	       "| incompressible: ratio cyc/pkt\n",
		packet);
	for (size_t s = 0; s < SCHEMES; s++) {
		struct figures f = sum(s, true), hard = sum(s, false);
		double in = (double)f.packets * packet;

		printf("%-22s %6.3f | %5.0f %7.0f %9.0f%% %9.0f%% | %5.0f %7.0f | %21.3f %7.0f\n",
			schemes[s].name, in / (double)f.wire_bytes,
			in * hz / (double)f.encode_cycles / 1e6,
			(double)f.encode_cycles / f.packets,
			100.0 * (double)sum(0, true).encode_cycles / (double)f.encode_cycles,
			100.0 * (double)sum(3, true).encode_cycles / (double)f.encode_cycles,
			(double)f.decoded * packet * hz / (double)f.decode_cycles / 1e6,
			(double)f.decode_cycles / f.decoded,
			(double)hard.packets * packet / (double)hard.wire_bytes,
			(double)hard.encode_cycles / hard.packets);
	}
}

static void print_kinds(uint32_t packet)
{
	printf("\nratio by kind, %u bytes ", packet);
	for (size_t k = 0; k < KINDS; k++)
		printf("%7s", kinds[k].name);
	for (size_t s = 0; s < SCHEMES; s++) {
		printf("\n%-24s", schemes[s].name);
		for (size_t k = 0; k < KINDS; k++)
			printf("%7.2f", (double)figures[s][k].packets * packet /
						(double)figures[s][k].wire_bytes);
	}
	printf("\ncycles a packet, encoding");
	for (size_t s = 0; s < SCHEMES; s++) {
		printf("\n%-24s", schemes[s].name);
		for (size_t k = 0; k < KINDS; k++)
			printf("%7.0f",
				(double)figures[s][k].encode_cycles / figures[s][k].packets);
	}
	printf("\n");
}

/* ---- several packets in a frame ---- */

#define PACK_MAX 32	     /* packets: LINK_PACK_MAX */
#define PACK_BYTES_MAX 16383 /* LINK_ORIGINAL_MAX */
#define PACK_ROOM 1456	     /* a blob in an outer packet of 1,500 bytes */
#define PACK_LENGTH_BYTES 2  /* in front of each packet */

struct packing {
	uint64_t cycles, wire_bytes;
	uint32_t packets, frames;
};

/* One frame's worth from `in` on, of `count` packets; returns how many it took. */
static uint32_t encode_pack(struct codec_method method, struct pack_estimate *e, const uint8_t *in,
	uint32_t count, uint32_t packet, struct packing *p)
{
	static uint8_t together[PACK_BYTES_MAX], blob[BLOB_MAX + 16];
	uint32_t most = e->skip > 0 ? 0 : pack_expected(e, PACK_ROOM), n = 0, len = 0;
	int blob_len;

	e->skip -= e->skip > 0;
	while (n < count && n < PACK_MAX && len + PACK_LENGTH_BYTES + packet <= most &&
		len + PACK_LENGTH_BYTES + packet <= sizeof(together)) {
		together[len++] = (uint8_t)(packet >> 8);
		together[len++] = (uint8_t)packet;
		memcpy(together + len, in + n++ * packet, packet);
		len += packet;
	}
	p->frames++;
	if (n >= 2) {
		uint32_t room = n * packet - HEADER_BYTES;

		blob_len = codec_encode(
			codec, method, together, len, blob, room < PACK_ROOM ? room : PACK_ROOM);
		if (blob_len > 0) {
			pack_fitted(e, len, (uint32_t)blob_len);
			p->wire_bytes += (uint32_t)blob_len + HEADER_BYTES;
			return n;
		}
		pack_failed(e, n);
	}
	blob_len = codec_encode(codec, method, in, packet, blob, packet - HEADER_BYTES);
	if (blob_len > 0)
		pack_single(e, packet, (uint32_t)blob_len);
	p->wire_bytes += blob_len > 0 ? (uint32_t)blob_len + HEADER_BYTES : packet;
	return 1;
}

static struct packing pack_kind(const struct kind *k, struct codec_method method, uint32_t packet,
	bool is_packed, int passes)
{
	uint32_t in_flow = FLOW_BYTES / packet, count = k->len / packet / in_flow * in_flow;
	struct packing best = {0};

	for (int pass = 0; pass < passes; pass++) {
		struct packing p = {.packets = count};
		uint64_t begin = rte_rdtsc_precise();

		for (uint32_t flow = 0; flow < count; flow += in_flow) {
			struct pack_estimate e = {0};

			for (uint32_t i = 0; i < in_flow;) {
				/* Small ones have their class's estimate, which has a start. */
				if (e.share == 0 && packet <= 202)
					e.share = PACK_SHARE_START;
				i += encode_pack(method, &e, k->bytes + (flow + i) * packet,
					is_packed ? in_flow - i : 1, packet, &p);
			}
		}
		p.cycles = rte_rdtsc_precise() - begin;
		if (best.cycles == 0 || p.cycles < best.cycles)
			best = p;
	}
	return best;
}

static void print_packing(uint32_t packet, int passes)
{
	static const struct {
		const char *name;
		struct codec_method method;
	} codecs[] = {{"lz4 1", {CODEC_LZ4, 1, 0}}, {"zstd 1", {CODEC_ZSTD, 1, 0}}};
	static const char *const rows[] = {"ratio", "packets a frame", "cycles a packet"};
	struct packing f[2][KINDS];

	printf("\npacking, %u bytes        ", packet);
	for (size_t k = 0; k < KINDS; k++)
		printf("%7s", kinds[k].name);
	for (size_t c = 0; c < sizeof(codecs) / sizeof(codecs[0]); c++) {
		for (size_t k = 0; k < KINDS; k++)
			for (int packed = 0; packed < 2; packed++)
				f[packed][k] = pack_kind(
					&kinds[k], codecs[c].method, packet, packed, passes);
		for (int i = 0; i < 6; i++) {
			printf("\n%-7s%-7s%-16s ", codecs[c].name, i % 2 ? "packed" : "alone",
				rows[i / 2]);
			for (size_t k = 0; k < KINDS; k++) {
				const struct packing *p = &f[i % 2][k];

				double value = i / 2 == 0 ? (double)p->packets * packet /
								    (double)p->wire_bytes
					       : i / 2 == 1 ? (double)p->packets / p->frames
							    : (double)p->cycles / p->packets;

				printf(i / 2 < 2 ? "%7.2f" : "%7.0f", value);
			}
		}
	}
	printf("\n");
}

static void read_kind(const char *folder, struct kind *k)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, k->name);
	f = fopen(path, "rb");
	k->bytes = malloc(KIND_MAX_BYTES);
	if (f == NULL || k->bytes == NULL) {
		fprintf(stderr, "%s: cannot be read: tools/corpus makes that folder\n", path);
		exit(1);
	}
	k->len = (uint32_t)fread(k->bytes, 1, KIND_MAX_BYTES, f);
	fclose(f);
	if (k->len != kinds[0].len) {
		fprintf(stderr, "%s: not as long as the other kinds\n", path);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	static const uint32_t sizes[] = {1400, 512, 128};
	int passes = argc > 2 ? atoi(argv[2]) : PASSES_DEFAULT;
	double hz = tsc_hz();

	if (argc < 2 || passes < 1) {
		fprintf(stderr, "usage: compress_bench FOLDER [PASSES]\n");
		return 2;
	}
	for (size_t k = 0; k < KINDS; k++)
		read_kind(argv[1], &kinds[k]);
	blobs = malloc((kinds[0].len / 128 + 1) * sizeof(*blobs));
	dictionaries = dictionaries_init(memory(dictionaries_bytes()));
	codec = codec_init(memory(codec_bytes()), dictionaries);
	zstd_compress_context = ZSTD_createCCtx();
	zstd_decompress_context = ZSTD_createDCtx();
	if (blobs == NULL || codec == NULL)
		abort();
	printf("%u bytes of each kind; TSC %.3f GHz; the best of %d passes; liblz4 %s, libzstd "
	       "%s\n",
		kinds[0].len, hz / 1e9, passes, LZ4_versionString(), ZSTD_versionString());
	printf("wire: blob + %d bytes, or the packet; encoding, then decoding of what was "
	       "encoded\n",
		HEADER_BYTES);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		measure(sizes[i], passes);
		print_means(sizes[i], hz);
		print_kinds(sizes[i]);
		print_packing(sizes[i], passes);
	}
	return 0;
}
