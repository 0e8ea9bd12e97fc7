/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the store costs and gives: cycles a packet on data that is new, that repeats, that repeats
 * with changes or through another worker, and at random, beside liblz4 alone on the same packets in
 * the same run; the ratio counts whole frames with all headers of the link, the ratio of payloads
 * the segments' data against shim and blob. To expand counts the link's check of what came out,
 * too: it waits for the copies to be in the cache, and so would whatever came in between. Run it by
 * hand, with a file of what to send:
 *
 *     build/tests/bench/store_bench [FILE [CHANGED_FILE]]
 *
 * Without files it makes its data: server logs, and the same with a line changed in each 4 kB.
 */
#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "dataplane/compress/flow_codec.h"
#include "dataplane/compress/lz4.h"
#include "dataplane/compress/store_file.h"
#include "tests/unit/compress/data.h"
#include "tests/unit/compress/store_start.h"

#define MSS 1448
#define HEADER 66
#define SHIM 16
#define OVERHEAD (42 + SHIM)	     /* Ethernet, IPv4, UDP, shim: link_headers_bytes() */
#define MEMORY (UINT64_C(256) << 20) /* of each half of each worker */
#define WORKERS 2		     /* number i sends to number i */
#define MADE (UINT64_C(64) << 20)
#define WINDOW 2000 /* packets between one and its acknowledgement */

static struct store_sender *senders[WORKERS];
static struct store_receiver *receivers[WORKERS];
static struct compressor *codec;
static unsigned worker; /* that is at work */
static uint32_t next[WORKERS], acked[WORKERS];
static volatile uint64_t check; /* keeps the compiler from leaving it out */

static void *take(uint64_t bytes)
{
	uint64_t huge = (bytes + (2 << 20) - 1) >> 21 << 21;
	void *memory = mmap(NULL, huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		exit(1);
	madvise(memory, huge, MADV_HUGEPAGE);
	memset(memory, 0, huge);
	return memory;
}

static void make_stores(void)
{
	uint32_t slot = store_slot_bytes(1522);

	uint32_t sent = store_slots_in(MEMORY, slot, true);
	uint32_t received = store_slots_in(MEMORY, slot, false);

	codec = compressor_init(take(compressor_bytes()));
	for (unsigned i = 0; i < WORKERS; i++) {
		senders[i] = take(sizeof(*senders[i]));
		receivers[i] = take(sizeof(*receivers[i]));
		store_memory_init(&senders[i]->memory, take(MEMORY), sent, slot, true);
		store_memory_init(&receivers[i]->memory, take(MEMORY), received, slot, false);
	}
	store_senders_join(senders, WORKERS);
	store_receivers_join(receivers, WORKERS);
	for (unsigned i = 0; i < WORKERS; i++) {
		start_sender(senders[i], 1, WORKERS, received);
		store_receiver_start(receivers[i], 1, WORKERS);
		meet(senders[i], receivers[i]);
	}
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint8_t *read_file(const char *name, uint64_t *len)
{
	FILE *file = fopen(name, "rb");
	uint8_t *bytes;

	if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
		perror(name);
		exit(1);
	}
	*len = (uint64_t)ftell(file);
	rewind(file);
	bytes = take(*len);
	if (fread(bytes, 1, *len, file) != *len)
		exit(1);
	fclose(file);
	return bytes;
}

/* The Internet checksum (RFC 1071) of len bytes, and of what `sum` adds to them. */
static uint32_t checksum(const uint8_t *bytes, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i < len; i++)
		sum += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
	sum = (sum >> 16) + (sum & 0xffff);
	return ~((sum >> 16) + sum) & 0xffff;
}

/* A frame of a TCP segment of flow `flow`: a client's download, with timestamps that count
 * milliseconds. */
static void make_frame(
	uint8_t *frame, const uint8_t *payload, uint32_t len, uint32_t flow, uint32_t seq)
{
	uint8_t *ip = frame + 14, *tcp = ip + 20, *p;
	uint32_t ms = seq / 50000, tcp_len = HEADER - 34 + len, sum;

	memcpy(frame, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08", 14);
	p = store_put(ip, 0x4500, 2);
	p = store_put(p, 20 + tcp_len, 2);
	p = store_put(p, flow * 7919 + seq / MSS, 2); /* identification */
	p = store_put(p, 0x4000, 2);
	p = store_put(p, 0x40060000, 4);
	p = store_put(p, 0xc6336407, 4);
	store_put(p, 0xcb007109, 4);
	store_put(ip + 10, checksum(ip, 20, 0), 2);
	p = store_put(tcp, 443, 2);
	p = store_put(p, 32768 + flow, 2);
	p = store_put(p, flow * 2654435761u + seq, 4);
	p = store_put(p, 1000, 4);
	p = store_put(p, 0x801001f5, 4);
	p = store_put(p, 0, 4);
	p = store_put(p, 0x0101080a, 4);
	p = store_put(p, 1000000 + ms, 4);
	store_put(p, 3000000 + ms, 4);
	memcpy(frame + HEADER, payload, len);
	sum = ~checksum(ip + 12, 8, 0) & 0xffff; /* of the pseudo header */
	store_put(tcp + 16, checksum(tcp, tcp_len, sum + 6 + tcp_len), 2);
}

enum step { FIND, ENCODE, LZ4, KEEP, ALL, LIBLZ4, EXPAND, RECEIVE, STEPS };

struct sums {
	uint64_t packets, in_bytes, wire_bytes, lz4_wire_bytes;
	uint64_t payload_bytes, sent_bytes; /* without the headers in front of the shim */
	uint32_t *cycles[STEPS];	    /* of each packet */
};

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void acknowledge(uint32_t to)
{
	for (; acked[worker] + 64 <= to; acked[worker] += 64) {
		uint64_t all = UINT64_MAX;

		store_acked(senders[worker], worker, acked[worker], &all, 1);
	}
}

static void one(struct sums *s, const uint8_t *payload, uint32_t len, uint32_t flow, uint32_t at,
	struct flow_codec *fc)
{
	static uint8_t frame[2048], blob[2048], out[2048], plain[4096];
	static LZ4_stream_t state;
	struct store_packet p = {
		.bytes = frame, .len = HEADER + len, .header_len = HEADER, .flow_hash = flow};
	struct store_sender *sender = senders[worker];
	struct store_receiver *receiver = receivers[worker];
	uint32_t seq = next[worker]++;
	uint32_t room = p.len > OVERHEAD + 45 ? p.len - OVERHEAD - 45 : 0, blob_len = 0;
	uint64_t t[9];
	int n = 0;

	make_frame(frame, payload, len, flow, at);
	_mm_mfence(); /* the frame is there */
	t[0] = __rdtsc();
	bool found = store_find(sender, worker, &p, seq, fc);
	t[1] = __rdtsc();
	if (found)
		blob_len = store_encode(sender, worker, &p, seq, codec, blob, room);
	t[2] = __rdtsc();
	if (blob_len == 0 && room > 0)
		n = compressor_lz4(codec, frame, p.len, blob, room, 1);
	t[3] = __rdtsc();
	store_keep(sender, worker, &p, seq, seq);
	t[4] = __rdtsc();
	int plain_len = LZ4_compress_fast_extState(
		&state, (char *)frame, (char *)plain, (int)p.len, sizeof(plain), 1);
	t[5] = __rdtsc();
	if (blob_len > 0 && store_expand(receiver, worker, 1, blob, blob_len, out, p.len, 0) != 0)
		abort();
	if (blob_len > 0)
		check = XXH3_64bits(out, p.len);
	t[6] = __rdtsc();
	if (blob_len > 0 && memcmp(out, frame, p.len) != 0)
		abort();
	t[7] = __rdtsc();
	store_received(receiver, worker, seq, frame, p.len, 0);
	t[8] = __rdtsc();
	static const unsigned from[STEPS] = {0, 1, 2, 3, 0, 4, 5, 7};
	static const unsigned to[STEPS] = {1, 2, 3, 4, 4, 5, 6, 8};
	for (unsigned i = 0; i < STEPS; i++)
		s->cycles[i][s->packets] = (uint32_t)(t[to[i]] - t[from[i]]);
	s->packets++;
	s->in_bytes += p.len;
	s->wire_bytes += blob_len > 0 ? blob_len + OVERHEAD
			 : n > 0      ? (uint32_t)n + OVERHEAD
				      : p.len;
	s->payload_bytes += len;
	s->sent_bytes += blob_len > 0 ? blob_len + SHIM : n > 0 ? (uint32_t)n + SHIM : len;
	s->lz4_wire_bytes +=
		plain_len + OVERHEAD < (int)p.len ? (uint32_t)plain_len + OVERHEAD : p.len;
	if (seq > WINDOW)
		acknowledge(seq - WINDOW);
}

static void run(const char *name, const uint8_t *bytes, uint64_t len, uint32_t mss, unsigned flows)
{
	struct flow_codec *fc = calloc(flows, sizeof(*fc));
	struct sums s = {0};
	static uint32_t flow;
	uint64_t part = len / flows;

	for (unsigned i = 0; i < STEPS; i++)
		s.cycles[i] = malloc((len / mss + flows) * sizeof(s.cycles[i][0]));
	/* Each flow has its part of the data; their packets take turns. */
	for (uint64_t at = 0; at < part; at += mss)
		for (unsigned i = 0; i < flows; i++)
			one(&s, bytes + i * part + at,
				(uint32_t)(part - at < mss ? part - at : mss), flow + i,
				(uint32_t)at, &fc[i]);
	flow += flows;
	acknowledge(next[worker]);
	printf("%-26s %6.2f %7.2f %6.2f", name, (double)s.in_bytes / (double)s.wire_bytes,
		(double)s.payload_bytes / (double)s.sent_bytes,
		(double)s.in_bytes / (double)s.lz4_wire_bytes);
	for (unsigned i = 0; i < STEPS; i++) {
		qsort(s.cycles[i], s.packets, sizeof(s.cycles[i][0]), by_value);
		printf(" %7u", s.cycles[i][s.packets / 2]);
		free(s.cycles[i]);
	}
	printf("\n");
	free(fc);
}

/* Half a store in a file and back (compress/store_file.h), without the disk: in the page cache. */
static void run_file(void)
{
	static const bool never;
	const struct store_clocks clocks = {.now_ns = 1, .realtime_ns = 1};
	FILE *file = tmpfile();
	struct store_file f;
	double seconds[3];

	if (file == NULL)
		exit(1);
	int fd = fileno(file);

	seconds[0] = now_s();
	if (store_sender_write(senders[0], &f, fd, clocks, &never) != 0 ||
		store_file_end(&f, (uint32_t[STORE_WORKERS]){next[0]}) != 0)
		exit(1);
	seconds[1] = now_s();
	double megabytes = (double)lseek(fd, 0, SEEK_END) / 1e6;

	lseek(fd, 0, SEEK_SET);
	if (store_sender_read(senders[0], fd, clocks, &never) != 0)
		exit(1);
	seconds[2] = now_s();
	fclose(file);
	printf("file of %.0f MB: written at %.0f MB/s, read at %.0f MB/s\n", megabytes,
		megabytes / (seconds[1] - seconds[0]), megabytes / (seconds[2] - seconds[1]));
}

/* A line changed in each 4 kB. */
static uint8_t *changed_of(const uint8_t *bytes, uint64_t len)
{
	uint8_t *copy = take(len);

	memcpy(copy, bytes, len);
	for (uint64_t at = 0; at + 4096 < len; at += 4096)
		data_fill(copy + at + at / 4096 * 37 % 4000, 80, DATA_TEXT, at);
	return copy;
}

int main(int argc, char **argv)
{
	uint64_t len = MADE, changed_len = MADE;
	uint8_t *bytes, *changed, *noise = take(MADE), *other = take(MADE);

	make_stores();
	if (argc > 1) {
		bytes = read_file(argv[1], &len);
	} else {
		bytes = take(len);
		data_fill(bytes, (uint32_t)len, DATA_TEXT, 1);
	}
	changed_len = len;
	changed = argc > 2 ? read_file(argv[2], &changed_len) : changed_of(bytes, len);
	data_fill(noise, MADE, DATA_RANDOM, 2);
	printf("%u slots of %u bytes in %u MB; TSC cycles a packet of %u bytes, medians\n",
		senders[0]->lane[0].kept.count, senders[0]->memory.slot_bytes,
		(unsigned)(MEMORY >> 20), MSS + HEADER);
	printf("                            ratio payload of LZ4    find  encode     LZ4    keep"
	       "     all  liblz4  expand receive\n");
	run("new", bytes, len, MSS, 1);
	run("again", bytes, len, MSS, 1);
	run("again, 16 flows", bytes, len, MSS, 16);
	run("again, other segments", bytes, len, 1380, 1);
	run("changed", changed, changed_len, MSS, 1);
	data_fill(other, MADE, DATA_TEXT, 3);
	run("other data, new", other, MADE, MSS, 1);
	worker = 1;
	run("again, other worker", other, MADE, MSS, 1);
	worker = 0;
	run("random, new", noise, MADE, MSS, 1);
	run("random, again", noise, MADE, MSS, 1);
	run_file();
	return 0;
}
