/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target for files of stores (compress/store_file.h): a file that was written, with bytes of
 * it changed, is read, with a digest that is right as a rule. The first byte: bit 0 chooses the
 * half, bit 1 spoils the digest. Then, three bytes each, where (two bytes, modulo the file's
 * length) and what. Whatever the file says, the half can be used afterwards.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "dataplane/compress/flow_codec.h"
#include "dataplane/compress/lz4.h"
#include "dataplane/compress/store_file.h"
#include "tests/unit/compress/store_start.h"

#define SLOTS 64
#define PACKET 256
#define FILE_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct store_sender *sender;
static struct store_receiver *receiver;
static struct compressor *codec;
static uint8_t files[2][FILE_MAX];
static size_t lengths[2];
static const struct store_clocks clocks = {.now_ns = 1000000000000, .realtime_ns = 5};
static const bool never;

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void set_up(void)
{
	static void *memory[2];

	if (codec == NULL) {
		size_t bytes = (compressor_bytes() + COMPRESSOR_ALIGN - 1) / COMPRESSOR_ALIGN *
			       COMPRESSOR_ALIGN;

		codec = compressor_init(aligned_alloc(COMPRESSOR_ALIGN, bytes));
		sender = malloc(sizeof(*sender));
		receiver = malloc(sizeof(*receiver));
		for (unsigned end = 0; end < 2; end++)
			memory[end] = malloc(store_memory_bytes(SLOTS, PACKET, end == 1));
	}
	memset(sender, 0, sizeof(*sender));
	memset(receiver, 0, sizeof(*receiver));
	for (unsigned end = 0; end < 2; end++)
		memset(memory[end], 0, store_memory_bytes(SLOTS, PACKET, end == 1));
	store_memory_init(&receiver->memory, memory[0], SLOTS, PACKET, false);
	store_memory_init(&sender->memory, memory[1], SLOTS, PACKET, true);
	store_senders_join(&sender, 1);
	store_receivers_join(&receiver, 1);
}

/* A session with some packets, from `seq` on. */
static void use(uint32_t session_id, uint32_t seq)
{
	uint8_t packet[PACKET], blob[PACKET], out[PACKET];
	struct flow_codec flow = {0};
	struct store_packet p = {.bytes = packet, .len = PACKET, .header_len = 20, .flow_hash = 3};
	uint32_t base, refused[STORE_REFUSALS];
	uint64_t words[STORE_ACK_WORDS];

	store_sender_start(sender, session_id, 1, SLOTS, (uint32_t[STORE_WORKERS]){seq},
		session_id * UINT64_C(0x9e3779b97f4a7c15));
	store_receiver_start(receiver, session_id, 1);
	meet(sender, receiver);
	for (uint32_t i = 0; i < 100; i++) {
		uint32_t number = store_number_of(sender, 0, i), len = 0;

		for (uint32_t j = 0; j < PACKET; j++)
			packet[j] = (uint8_t)(j * 7 % (31 + i % 40) + j / 16);
		if (store_find(sender, 0, &p, number, &flow))
			len = store_encode(sender, 0, &p, number, codec, blob, PACKET);
		require(len <= PACKET);
		store_keep(sender, 0, &p, number, clocks.now_ns);
		if (len > 0)
			store_expand(receiver, 0, session_id, blob, len, out, PACKET, 1);
		store_received(receiver, 0, i, packet, PACKET, 1);
		if (i % 8 == 7) {
			store_acknowledge(receiver, 0, &base, words, refused);
			store_acked(sender, 0, base, words, STORE_ACK_WORDS);
		}
	}
	store_oldest_ns(sender, clocks.now_ns);
}

static int open_file(const uint8_t *bytes, size_t len)
{
	int fd = memfd_create("store", MFD_CLOEXEC);

	require(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

static void make_files(void)
{
	struct store_file file;

	set_up();
	use(1, 0);
	for (unsigned end = 0; end < 2; end++) {
		int fd = open_file(NULL, 0);
		int rc = end == 1 ? store_sender_write(sender, &file, fd, clocks, &never)
				  : store_receiver_write(receiver, &file, fd, &never);

		if (rc == 0)
			rc = store_file_end(&file, (uint32_t[STORE_WORKERS]){101});
		require(rc == 0);
		lengths[end] = (size_t)lseek(fd, 0, SEEK_END);
		require(lengths[end] <= FILE_MAX &&
			pread(fd, files[end], FILE_MAX, 0) == (ssize_t)lengths[end]);
		close(fd);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[FILE_MAX];
	unsigned end;
	uint64_t digest;
	size_t len;
	int fd, rc;

	if (lengths[0] == 0)
		make_files();
	if (size < 1 || size > 1024)
		return 0;
	end = data[0] & 1;
	len = lengths[end] - sizeof(digest);
	memcpy(bytes, files[end], len);
	for (size_t i = 1; i + 3 <= size; i += 3)
		bytes[(size_t)(data[i] << 8 | data[i + 1]) % len] = data[i + 2];
	digest = XXH64(bytes, len, 0) ^ (data[0] >> 1 & 1);
	memcpy(bytes + len, &digest, sizeof(digest));
	set_up();
	fd = open_file(bytes, len + sizeof(digest));
	rc = end == 1 ? store_sender_read(sender, fd, clocks, &never)
		      : store_receiver_read(receiver, fd, &never);
	close(fd);
	require(rc <= 0 && (rc != 0 || !(data[0] & 2)));
	use(2, 7);
	use(3, 200);
	return 0;
}
