/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stores over sessions and processes (compress/store_session.c, store_file.c): ends that begin
 * anew, go on, or are given back any older state of theirs, over a channel that loses packets,
 * questions and answers. No check of the link's is here: what is rebuilt must be right by the
 * numbers alone.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dataplane/compress/flow_codec.h"
#include "dataplane/compress/lz4.h"
#include "dataplane/compress/store_file.h"
#include "tests/unit/compress/data.h"
#include "tests/unit/compress/store_start.h"
#include "tests/unit/unit.h"

#define SLOTS 192u
#define PACKET 400u
#define HEADER 20u
#define TEXTS 150u
#define SECOND UINT64_C(1000000000)
#define LANE 0

static struct store_sender *sender;
static struct store_receiver *receiver;
static struct compressor *codec;
static struct flow_codec flow;
static uint32_t slot_bytes;
static const struct store_clocks clocks = {.now_ns = 100 * SECOND, .realtime_ns = 5};
static const bool never;

static struct {
	uint32_t session_id, seq, sent; /* seq: next of the session; sent: of the process */
	uint64_t nonce, seed;
	unsigned references, delivered, missing, wrong;
} w;

static uint64_t below(uint64_t n)
{
	return data_next(&w.seed) % n;
}

static void make_sender(void)
{
	if (sender != NULL) {
		free(sender->memory.data);
		free(sender);
	}
	sender = calloc(1, sizeof(*sender));
	store_memory_init(&sender->memory, calloc(1, store_memory_bytes(SLOTS, slot_bytes, true)),
		SLOTS, slot_bytes, true);
	store_senders_join(&sender, 1);
	w.sent = 0;
}

static void make_receiver(void)
{
	if (receiver != NULL) {
		free(receiver->memory.data);
		free(receiver);
	}
	receiver = calloc(1, sizeof(*receiver));
	store_memory_init(&receiver->memory,
		calloc(1, store_memory_bytes(SLOTS, slot_bytes, false)), SLOTS, slot_bytes, false);
	store_receivers_join(&receiver, 1);
}

static void set_up(uint64_t seed)
{
	if (codec == NULL)
		codec = compressor_init(aligned_alloc(
			COMPRESSOR_ALIGN, (compressor_bytes() + COMPRESSOR_ALIGN - 1) /
						  COMPRESSOR_ALIGN * COMPRESSOR_ALIGN));
	slot_bytes = store_slot_bytes(PACKET);
	memset(&w, 0, sizeof(w));
	memset(&flow, 0, sizeof(flow));
	w.seed = seed;
	make_sender();
	make_receiver();
}

/* Both ends have new keys. */
static void new_session(void)
{
	w.session_id++;
	w.seq = 0;
	store_sender_start(
		sender, w.session_id, 1, SLOTS, (uint32_t[STORE_WORKERS]){w.sent}, ++w.nonce << 8);
	store_receiver_start(receiver, w.session_id, 1);
}

/* A question goes there, perhaps, and comes twice; the answer comes back, perhaps. */
static void ask(bool arrives, bool is_answered)
{
	uint8_t question[STORE_BEGIN_BYTES], answer[STORE_BEGUN_BYTES], again[STORE_BEGUN_BYTES];
	unsigned lane;
	uint32_t len;

	sender->ask_ns = sender->ask_at = 0;
	len = store_ask(sender, question, &lane, 0);
	if (len == 0 || !arrives)
		return;
	w.seq++;
	w.sent++;
	len = store_begin(receiver, LANE, question, len, answer);
	CU_ASSERT_EQUAL_FATAL(len, STORE_BEGUN_BYTES);
	CU_ASSERT_EQUAL(store_begin(receiver, LANE, question, sizeof(question), again), len);
	CU_ASSERT(memcmp(answer, again, len) == 0);
	if (is_answered)
		store_begun(sender, LANE, answer, len);
}

static void acknowledge(void)
{
	uint32_t base, refused[STORE_REFUSALS];
	uint64_t words[STORE_ACK_WORDS];
	unsigned refusals = store_acknowledge(receiver, LANE, &base, words, refused);

	store_acked(sender, LANE, base, words, STORE_ACK_WORDS);
	for (unsigned i = 0; i < refusals; i++)
		store_refused(sender, LANE, refused[i], w.session_id * SECOND);
}

/* One of the texts as a packet of flow `by`. `kept` false: of a private class, which the sender's
 * store does not have. Returns whether it went as references. */
static bool send_packet(unsigned text, uint32_t by, bool kept, bool arrives)
{
	uint8_t bytes[PACKET], blob[PACKET], out[PACKET];
	struct store_packet p = {
		.bytes = bytes, .len = PACKET, .header_len = HEADER, .flow_hash = by};
	uint32_t number = store_number_of(sender, LANE, w.seq), len = 0;

	data_fill(bytes, PACKET, DATA_RANDOM, text + 1);
	memcpy(bytes, &w.nonce, 8);
	memcpy(bytes + 8, &w.seq, 4);
	if (kept) {
		if (store_find(sender, LANE, &p, number, &flow))
			len = store_encode(sender, LANE, &p, number, codec, blob, PACKET - 50);
		store_keep(sender, LANE, &p, number, clocks.now_ns);
	}
	w.references += len > 0;
	if (arrives) {
		int rc = len == 0 ? 0
				  : store_expand(receiver, LANE, w.session_id, blob, len, out,
					    PACKET, 1);

		CU_ASSERT(rc == 0 || rc == -ENOENT);
		w.missing += rc != 0;
		if (rc == 0) {
			w.wrong += len > 0 && memcmp(out, bytes, PACKET) != 0;
			w.delivered++;
			store_received(receiver, LANE, w.seq, bytes, PACKET, 1);
		}
	}
	w.seq++;
	w.sent++;
	return len > 0;
}

static int save(bool is_sender)
{
	uint32_t sent[STORE_WORKERS] = {is_sender ? w.sent : 0};
	int fd = memfd_create("store", MFD_CLOEXEC);
	struct store_file file;

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(is_sender ? store_sender_write(sender, &file, fd, clocks, &never)
				  : store_receiver_write(receiver, &file, fd, &never),
		0);
	CU_ASSERT_EQUAL(store_file_end(&file, sent), 0);
	return fd;
}

static int load(bool is_sender, int fd)
{
	CU_ASSERT_FATAL(lseek(fd, 0, SEEK_SET) == 0);
	return is_sender ? store_sender_read(sender, fd, clocks, &never)
			 : store_receiver_read(receiver, fd, &never);
}

/* A process that goes on from that file, or from nothing. */
static int begin_process(bool is_sender, int fd)
{
	if (is_sender)
		make_sender();
	else
		make_receiver();
	return fd >= 0 ? load(is_sender, fd) : 0;
}

/* All texts; returns how many went as references. */
static unsigned send_all(uint32_t by)
{
	unsigned references = 0;

	for (unsigned i = 0; i < 100; i++) {
		references += send_packet(i, by, true, true);
		if (i % 10 == 9)
			acknowledge();
	}
	return references;
}

/* Sessions and processes that end in order go on; of the ends that begin with nothing the other one
 * learns. */
static void test_continued(void)
{
	set_up(1);
	new_session();
	ask(true, true);
	CU_ASSERT_EQUAL(sender->counts.continued, 0);
	CU_ASSERT(send_all(1) < 3);
	CU_ASSERT(send_all(2) > 97);
	for (unsigned i = 0; i < 4; i++) { /* new keys; then either end and both from files */
		int sent = save(true), received = save(false);

		if (i & 1)
			CU_ASSERT_EQUAL(begin_process(true, sent), 0);
		if (i & 2)
			CU_ASSERT_EQUAL(begin_process(false, received), 0);
		uint64_t continued = sender->counts.continued;

		new_session();
		CU_ASSERT(!send_packet(0, 90 + i, true, true)); /* the peer may have nothing */
		ask(true, true);
		CU_ASSERT_EQUAL(sender->counts.continued, continued + 1);
		CU_ASSERT(store_oldest_ns(sender, clocks.now_ns + SECOND) >= SECOND);
		CU_ASSERT(send_all(3 + i) > 90);
		close(sent);
		close(received);
	}
	CU_ASSERT(w.missing == 0 && w.wrong == 0);

	begin_process(false, -1);
	new_session();
	ask(true, true);
	CU_ASSERT(send_all(10) < 3);
	CU_ASSERT(send_all(11) > 97);
	begin_process(true, -1);
	new_session();
	ask(true, true);
	CU_ASSERT(send_all(12) < 3);
	CU_ASSERT(send_all(13) > 97);
	CU_ASSERT(w.missing == 0 && w.wrong == 0);
}

/* Packets that only the receiver keeps take numbers, too: the next session must not give them out
 * again. */
static void test_private(void)
{
	set_up(2);
	new_session();
	ask(true, true);
	send_all(1);
	for (unsigned i = 0; i < 20; i++)
		send_packet(i, 2, false, true);
	new_session();
	ask(true, true);
	CU_ASSERT_EQUAL(sender->counts.continued, 1);
	for (unsigned i = 0; i < 20; i++)
		send_packet(50 + i, 3, true, false);
	acknowledge();
	for (unsigned i = 0; i < 20; i++)
		send_packet(50 + i, 4, true, true);
	CU_ASSERT(w.missing == 0 && w.wrong == 0);
}

/* Headers are differences to a packet that the peer has, also when the flow's first one got lost.
 */
static void test_first_lost(void)
{
	set_up(7);
	new_session();
	ask(true, true);
	for (unsigned i = 0; i < 22; i++)
		send_packet(i, 1, true, true);
	acknowledge();
	send_packet(0, 2, true, false);
	for (unsigned i = 1; i < 22; i++) {
		send_packet(i, 2, true, true);
		acknowledge();
	}
	CU_ASSERT_TRUE(sender->match.is_repeat);
	CU_ASSERT(w.missing == 0 && w.wrong == 0);
}

/* While halves are being written they rebuild what comes, and nothing else changes. */
static void test_frozen(void)
{
	uint32_t none[STORE_WORKERS] = {0};
	struct store_file file;
	int fd = memfd_create("store", MFD_CLOEXEC);

	set_up(6);
	new_session();
	ask(true, true);
	send_all(1);
	receiver->is_frozen = true;
	CU_ASSERT_EQUAL(store_receiver_write(receiver, &file, fd, &never), 0);
	uint64_t kept = receiver->counts.kept;

	for (unsigned i = 60; i < 80; i++)
		CU_ASSERT(send_packet(i, 2, true, true));
	for (unsigned i = 100; i < 110; i++)
		send_packet(i, 3, true, true);
	acknowledge();
	CU_ASSERT_EQUAL(receiver->counts.kept, kept);
	CU_ASSERT_EQUAL(store_file_end(&file, none), 0);
	CU_ASSERT_EQUAL(begin_process(false, fd), 0);
	new_session();
	ask(true, true);
	CU_ASSERT_EQUAL(sender->counts.continued, 1);
	CU_ASSERT(send_all(4) > 75);

	uint64_t acked = sender->counts.acked;
	struct store_slot *slot = &sender->lane[LANE].kept.slots[10];
	uint32_t generation = slot->generation;

	send_packet(120, 5, true, true);
	store_freeze(sender, receiver);
	acknowledge();
	store_refused(sender, LANE, STORE_REFERENCE(0, slot->seq), SECOND);
	CU_ASSERT(sender->counts.acked == acked && slot->generation == generation);
	CU_ASSERT(w.missing == 0 && w.wrong == 0);
	close(fd);
}

#define SAVED 4

/* Anything may happen to either end, files that are far too old included. */
static void test_any_history(void)
{
	uint64_t continued = 0, references = 0, missing = 0;

	for (uint64_t seed = 1; seed <= 300; seed++) {
		int saved[2][SAVED];

		set_up(seed);
		memset(saved, 0xff, sizeof(saved));
		for (unsigned step = 0; step < 40; step++) {
			bool is_sender = below(2), goes_on = below(4) > 0;
			int *some = &saved[is_sender][below(SAVED)];

			if (goes_on) { /* ended in order */
				if (*some >= 0)
					close(*some);
				*some = save(is_sender);
			}
			if (below(3) > 0) /* from the last file, any file, or none */
				CU_ASSERT_EQUAL(begin_process(is_sender, *some), 0);
			new_session();
			for (unsigned i = below(60); i > 0; i--) {
				if (below(8) == 0)
					ask(below(4) > 0, below(4) > 0);
				send_packet((unsigned)below(TEXTS), (uint32_t)below(5),
					below(8) > 0, below(8) > 0);
				if (below(5) == 0)
					acknowledge();
			}
			continued += receiver->counts.continued;
			receiver->counts.continued = 0;
		}
		CU_ASSERT_EQUAL(w.wrong, 0);
		references += w.references;
		missing += w.missing;
		for (unsigned i = 0; i < 2 * SAVED; i++)
			if (saved[i / SAVED][i % SAVED] >= 0)
				close(saved[i / SAVED][i % SAVED]);
	}
	printf("     %u sessions went on, %u references, %u of them not to be rebuilt\n",
		(unsigned)continued, (unsigned)references, (unsigned)missing);
	CU_ASSERT(continued > 2000 && references > 20000 && missing == 0);
}

/* Messages that are no questions and no answers. */
static void test_hostile(void)
{
	uint8_t question[STORE_BEGIN_BYTES], answer[STORE_BEGUN_BYTES], bytes[64];
	unsigned lane;

	set_up(3);
	new_session();
	CU_ASSERT_EQUAL_FATAL(store_ask(sender, question, &lane, 0), sizeof(question));
	CU_ASSERT_EQUAL(store_ask(sender, bytes, &lane, 0), 0);
	for (uint32_t len = 0; len <= sizeof(bytes); len++) {
		memset(bytes, 0, sizeof(bytes));
		memcpy(bytes, question, sizeof(question));
		if (len != sizeof(question))
			CU_ASSERT_EQUAL(store_begin(receiver, LANE, bytes, len, answer), 0);
	}
	memset(bytes + 10, 0, 8); /* a store without a name */
	CU_ASSERT_EQUAL(store_begin(receiver, LANE, bytes, sizeof(question), answer), 0);
	CU_ASSERT_EQUAL(store_begin(receiver, 7, question, sizeof(question), answer), 0);
	CU_ASSERT_FALSE(receiver->lane[LANE].is_begun);
	CU_ASSERT_EQUAL(
		store_begin(receiver, LANE, question, sizeof(question), answer), sizeof(answer));
	CU_ASSERT_TRUE(receiver->lane[LANE].is_begun);
	for (uint32_t bit = 0; bit < 8 * sizeof(answer); bit++) {
		memcpy(bytes, answer, sizeof(answer));
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (bit != 8) /* the verdict itself: the frame's check is for that */
			store_begun(sender, LANE, bytes, sizeof(answer));
		store_begun(sender, LANE, answer, bit / 8);
		CU_ASSERT_FALSE(sender->lane[LANE].is_begun);
	}
	store_begun(sender, LANE, answer, sizeof(answer));
	CU_ASSERT_TRUE(sender->lane[LANE].is_begun);
	/* A store of the right name, but with numbers that are to come, is not the right one. */
	send_all(1);
	for (unsigned i = 0; i < 2; i++) {
		new_session();
		sender->lane[LANE].base -= 1 - i;
		sender->ask_ns = sender->ask_at = 0;
		store_ask(sender, question, &lane, 0);
		store_begin(receiver, LANE, question, sizeof(question), answer);
		CU_ASSERT_EQUAL(answer[1], i);
		receiver->lane[LANE].id = sender->lane[LANE].id;
		receiver->lane[LANE].kept.newest = sender->lane[LANE].base;
	}
	store_begun(sender, LANE, answer, sizeof(answer));
	CU_ASSERT_EQUAL(store_ask(sender, bytes, &lane, SECOND), 0);
}

/* Questions come again, less and less often, until they are answered. */
static void test_asking(void)
{
	uint8_t question[STORE_BEGIN_BYTES];
	unsigned lane, asked = 0;

	set_up(4);
	new_session();
	for (uint64_t ms = 0; ms < 1000; ms++)
		while (store_ask(sender, question, &lane, ms * 1000000) > 0)
			asked++;
	CU_ASSERT(asked >= 8 && asked <= 12);
}

/* Is it as empty as a new one? */
static bool is_empty(bool is_sender)
{
	new_session();
	ask(true, true);
	if (is_sender)
		return sender->counts.continued == 0 && send_all(1) < 3;
	return receiver->counts.continued == 0 &&
	       receiver->lane[LANE].kept.newest + 1 == receiver->lane[LANE].base;
}

/* Files that are not whole, or not of this store. */
static void test_files(void)
{
	for (unsigned is_sender = 0; is_sender < 2; is_sender++) {
		set_up(5);
		new_session();
		ask(true, true);
		send_all(1);
		int fd = save(is_sender);
		off_t len = lseek(fd, 0, SEEK_END);
		uint8_t byte;

		for (off_t at = 0; at < len; at += 1 + at / 200) {
			CU_ASSERT_FATAL(pread(fd, &byte, 1, at) == 1);
			byte ^= 0x10;
			CU_ASSERT_FATAL(pwrite(fd, &byte, 1, at) == 1);
			int rc = begin_process(is_sender, fd);
			CU_ASSERT(rc == -EBADMSG || rc == -ESTALE);
			byte ^= 0x10;
			CU_ASSERT_FATAL(pwrite(fd, &byte, 1, at) == 1);
		}
		if (is_sender)
			begin_process(false, -1);
		CU_ASSERT(!is_sender || is_empty(true));
		CU_ASSERT_EQUAL(pwrite(fd, &byte, 1, len), 1);
		CU_ASSERT_EQUAL(begin_process(is_sender, fd), -EBADMSG);
		CU_ASSERT_EQUAL(ftruncate(fd, len), 0);
		CU_ASSERT_EQUAL(begin_process(is_sender, fd), 0);
		/* A team with one worker more. */
		if (is_sender)
			sender->workers = 2;
		else
			receiver->workers = 2;
		CU_ASSERT_EQUAL(load(is_sender, fd), -ESTALE);
		for (off_t at = len - 1; at >= 0; at -= 1 + at / 20) {
			CU_ASSERT_EQUAL(ftruncate(fd, at), 0);
			CU_ASSERT_EQUAL(begin_process(is_sender, fd), -EBADMSG);
		}
		const bool stop = true;

		CU_ASSERT_EQUAL(is_sender ? store_sender_read(sender, fd, clocks, &stop)
					  : store_receiver_read(receiver, fd, &stop),
			-EINTR);
		CU_ASSERT(is_sender || is_empty(false));
		close(fd);
	}
	struct store_file file;

	CU_ASSERT_EQUAL(store_receiver_write(receiver, &file, -1, &never), -EBADF);
}

UNIT_TESTS("compress-store_session", {"ended in order, a store goes on", test_continued},
	{"numbers of what only the receiver keeps", test_private},
	{"a flow's first packet is lost", test_first_lost}, {"frozen", test_frozen},
	{"any history, and nothing wrong", test_any_history}, {"hostile messages", test_hostile},
	{"asking again", test_asking}, {"damaged files", test_files})
