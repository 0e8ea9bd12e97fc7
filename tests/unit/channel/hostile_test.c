/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The channel with clients that die, scribble over the shared memory or send what cannot be. The
 * well-behaved ones are in channel_test.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controlplane/channel/segment.h"
#include "tests/unit/channel/server.h"
#include "tests/unit/unit.h"

/* A child that talks until it is killed. */
static void talk_for_ever(void)
{
	char error[512], text[50000];
	struct channel_result result;

	memset(text, 'x', sizeof(text));
	while (true) {
		struct channel_client *client =
			client_open(instance, TIMEOUT_MS, error, sizeof(error));
		struct flows_request request = {0};
		uint64_t records = 0;

		for (int i = 0; i < 3 && client != NULL; i++) {
			client_upload(client, text, sizeof(text), TIMEOUT_MS, &result);
			client_list(client, MESSAGE_FLOWS, &request, count_record, &records,
				TIMEOUT_MS, &result);
		}
		client_close(client);
	}
}

static void test_killed_clients(void)
{
	struct channel_client *good;
	unsigned seed = 1;

	CU_ASSERT_FATAL(start());
	good = connect_client();
	CU_ASSERT_PTR_NOT_NULL_FATAL(good);
	for (int i = 0; i < 200; i++) {
		pid_t child = fork();

		if (child == 0) {
			talk_for_ever();
			_exit(0);
		}
		pause_us(rand_r(&seed) % 8000);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		if (i % 20 == 0)
			CU_ASSERT_TRUE(status_is_right(good));
	}
	CU_ASSERT_TRUE(status_is_right(good));
	client_close(good);
	/* The daemon finds out by itself, without anybody wanting the places. */
	CU_ASSERT_TRUE(sessions_end());
	check_all_slots_free();
	CU_ASSERT(longest_poll_ns < 1000000000u);
	finish();
}

/* Random bytes over [from, to) of the command segment, in pieces, until killed. */
static void scribble(uint8_t *base, uint64_t from, uint64_t to, unsigned seed)
{
	alarm(30); /* should the test itself die */
	while (true)
		for (int i = 0; i < 1000; i++) {
			uint64_t at = from + (uint64_t)rand_r(&seed) % (to - from);

			base[at] = (uint8_t)rand_r(&seed);
			if (i % 10 == 0) { /* the first lines of a slot are what matters most */
				at = from + (uint64_t)rand_r(&seed) % 256;
				if (at < to)
					base[at] = (uint8_t)rand_r(&seed);
			}
		}
}

/* One that writes everywhere: nobody promises the others their answers, but the daemon lives on,
 * no poll takes long, and when it is over everybody is served again. */
static void test_scribbler_everywhere(void)
{
	struct channel_client *client;
	struct segment segment;
	uint64_t end_ns;
	pid_t child;

	CU_ASSERT_FATAL(start());
	child = fork();
	if (child == 0) {
		setpgid(0, 0);
		if (segment_open(&segment, instance, SEGMENT_COMMANDS,
			    sizeof(struct channel_segment), true) != 0)
			_exit(1);
		for (uint32_t i = 0; i < CHANNEL_SLOTS / 2; i++) {
			/* Half of the slots look alive. */
			struct flock lock = {.l_type = F_WRLCK, .l_start = i, .l_len = 1};

			fcntl(segment.fd, F_OFD_SETLK, &lock);
		}
		for (uint32_t i = 0; i < CHANNEL_SLOTS; i++)
			if (fork() == 0)
				scribble(segment.base,
					offsetof(struct channel_segment, slots) +
						i * sizeof(struct channel_slot),
					offsetof(struct channel_segment, slots) +
						(i + 1) * sizeof(struct channel_slot),
					i);
		while (true)
			pause();
	}
	setpgid(child, child);
	end_ns = now_ns() + 1500000000u;
	while (now_ns() < end_ns) {
		struct channel_nothing nothing = {0};
		struct channel_result result;
		char error[512];
		uint64_t start_ns = now_ns();

		client = client_open(instance, 50, error, sizeof(error));
		if (client != NULL)
			client_call_status(client, &nothing, NULL, NULL, 50, &result);
		client_close(client);
		/* Its calls have deadlines of 50 ms: it does not hang. */
		CU_ASSERT(now_ns() - start_ns < TIMEOUT_MS * 1000000ull);
	}
	kill(-child, SIGKILL);
	waitpid(child, NULL, 0);
	CU_ASSERT(longest_poll_ns < 1000000000u);
	/* The orphans die a moment later. */
	CU_ASSERT_TRUE(sessions_end());
	check_all_slots_free();
	finish();
}

/* One that has a slot of its own and writes garbage all over that: nobody else notices. */
static void test_scribbler_in_own_slot(void)
{
	struct channel_client *good;
	struct channel_server_stats stats;
	struct classes_request page = {0};
	struct channel_result result;
	pid_t child;

	CU_ASSERT_FATAL(start());
	good = connect_client();
	CU_ASSERT_PTR_NOT_NULL_FATAL(good);
	child = fork();
	if (child == 0) {
		struct segment segment;
		struct flock lock = {.l_type = F_WRLCK, .l_start = 5, .l_len = 1};
		uint64_t at =
			offsetof(struct channel_segment, slots) + 5 * sizeof(struct channel_slot);

		if (segment_open(&segment, instance, SEGMENT_COMMANDS,
			    sizeof(struct channel_segment), true) != 0 ||
			fcntl(segment.fd, F_OFD_SETLK, &lock) != 0)
			_exit(1);
		scribble(segment.base, at, at + sizeof(struct channel_slot), 7);
	}
	for (int i = 0; i < 300; i++) {
		struct order classes = {
			.offset = offsetof(struct class_record, sent_packets), .right = true};

		page.from = 0;
		CU_ASSERT_EQUAL(client_list(good, MESSAGE_CLASSES, &page, check_order, &classes,
					TIMEOUT_MS, &result),
			0);
		CU_ASSERT_TRUE(classes.right);
		CU_ASSERT_EQUAL(classes.next, CLASSES);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	channel_server_stats(server, &stats);
	CU_ASSERT(stats.garbage + stats.sessions_opened > 2); /* it did get through to the server */
	CU_ASSERT(longest_poll_ns < 1000000000u);
	client_close(good);
	check_all_slots_free();
	finish();
}

/* Cutting the segment short would kill a careless daemon with SIGBUS. */
static void test_truncated(void)
{
	struct channel_server_stats stats;
	struct channel_client *before, *after;
	struct segment segment;

	CU_ASSERT_FATAL(start());
	before = connect_client();
	CU_ASSERT_PTR_NOT_NULL_FATAL(before);
	CU_ASSERT_EQUAL(segment_open(&segment, instance, SEGMENT_COMMANDS, 0, true), 0);
	CU_ASSERT_EQUAL(ftruncate(segment.fd, 0), 0);
	pause_us(50000);
	CU_ASSERT_FALSE(status_is_right(before));
	client_close(before);
	segment_close(&segment);
	after = connect_client();
	CU_ASSERT_PTR_NOT_NULL_FATAL(after);
	CU_ASSERT_TRUE(status_is_right(after));
	client_close(after);
	channel_server_stats(server, &stats);
	CU_ASSERT_EQUAL(stats.rebuilt, 1);
	finish();
}

/* A slot driven by hand. */
struct hand {
	struct segment segment;
	struct channel_slot *slot;
	struct channel_ring requests, replies;
};

static bool hand_open(struct hand *hand, uint32_t i)
{
	struct flock lock = {.l_type = F_WRLCK, .l_start = i, .l_len = 1};

	if (segment_open(&hand->segment, instance, SEGMENT_COMMANDS, sizeof(struct channel_segment),
		    true) != 0 ||
		fcntl(hand->segment.fd, F_OFD_SETLK, &lock) != 0)
		return false;
	hand->slot = &((struct channel_segment *)hand->segment.base)->slots[i];
	hand->requests = (struct channel_ring){.shared = &hand->slot->request,
		.frames = hand->slot->requests,
		.capacity = CHANNEL_REQUESTS};
	hand->replies = (struct channel_ring){.shared = &hand->slot->reply,
		.frames = hand->slot->replies,
		.capacity = CHANNEL_REPLIES};
	__atomic_store_n(&hand->slot->session, 99, __ATOMIC_RELEASE);
	for (int n = 0; n < TIMEOUT_MS; n++) {
		if (__atomic_load_n(&hand->slot->accepted, __ATOMIC_ACQUIRE) == 99)
			return true;
		pause_us(1000);
	}
	return false;
}

/* Send a frame as it is and wait for the result; 1 if there is none. */
static int hand_call(struct hand *hand, struct channel_frame *frame, struct channel_result *result,
	unsigned wait_ms)
{
	channel_ring_push(&hand->requests, frame);
	for (unsigned n = 0; n < wait_ms * 2; n++) {
		if (channel_ring_pop(&hand->replies, frame) == 0) {
			if (frame->kind != FRAME_RESULT)
				continue;
			memcpy(result, frame->payload, sizeof(*result));
			return result->error;
		}
		pause_us(500);
	}
	return 1;
}

static void test_malformed(void)
{
	static struct channel_frame frame;
	struct upload_request *piece = (struct upload_request *)frame.payload;
	struct channel_result result;
	struct hand hand;

	CU_ASSERT_FATAL(start());
	CU_ASSERT_FATAL(hand_open(&hand, 3));
#define SEND_WAIT(message_, kind_, len_, session_, wait_ms_)                                       \
	(frame.message = (message_), frame.kind = (kind_), frame.len = (len_),                     \
		frame.session = (session_), frame.sequence = 1,                                    \
		hand_call(&hand, &frame, &result, wait_ms_))
#define SEND(message_, kind_, len_, session_) SEND_WAIT(message_, kind_, len_, session_, TIMEOUT_MS)
	CU_ASSERT_EQUAL(SEND(MESSAGE_STATUS, FRAME_REQUEST, sizeof(struct channel_nothing), 99), 0);
	CU_ASSERT_EQUAL(SEND(MESSAGE_STATUS, FRAME_REQUEST, 0, 99), -EBADMSG);
	CU_ASSERT_EQUAL(SEND(MESSAGE_STATUS, FRAME_REQUEST, CHANNEL_PAYLOAD_MAX, 99), -EBADMSG);
	CU_ASSERT_EQUAL(SEND(MESSAGE_COUNT, FRAME_REQUEST, 8, 99), -EOPNOTSUPP);
	CU_ASSERT_PTR_NOT_NULL(strstr(result.text, "install the same version"));
	CU_ASSERT_EQUAL(SEND(UINT32_MAX, FRAME_REQUEST, 8, 99), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(SEND(MESSAGE_UPLOAD, FRAME_REQUEST, 4, 99), -EBADMSG);
	*piece = (struct upload_request){.offset = 5, .total = 10, .len = 5};
	CU_ASSERT_EQUAL(SEND(MESSAGE_UPLOAD, FRAME_REQUEST, 17, 99), -EBADMSG); /* not begun */
	*piece = (struct upload_request){.offset = 0, .total = 4, .len = 5};
	CU_ASSERT_EQUAL(SEND(MESSAGE_UPLOAD, FRAME_REQUEST, 17, 99), -EBADMSG); /* too much */
	*piece = (struct upload_request){.offset = 0, .total = UINT32_MAX, .len = 5};
	CU_ASSERT_EQUAL(SEND(MESSAGE_UPLOAD, FRAME_REQUEST, 17, 99), -EFBIG);
	*piece = (struct upload_request){.offset = 0, .total = 10, .len = UINT32_MAX};
	CU_ASSERT_EQUAL(SEND(MESSAGE_UPLOAD, FRAME_REQUEST, 17, 99), -EBADMSG);
	*piece = (struct upload_request){.offset = 0, .total = 10, .len = 5};
	CU_ASSERT_EQUAL(SEND(MESSAGE_UPLOAD, FRAME_REQUEST, 17, 99), 0);
	*piece = (struct upload_request){.offset = 4, .total = 10, .len = 5};
	CU_ASSERT_EQUAL(SEND(MESSAGE_UPLOAD, FRAME_REQUEST, 17, 99), -EBADMSG); /* overlaps */
	*piece = (struct upload_request){.offset = 0, .total = 0, .len = 5};
	CU_ASSERT_EQUAL(SEND(MESSAGE_UPLOAD, FRAME_REQUEST, 17, 99), -EBADMSG); /* none wanted */
	memset(frame.payload, 0, sizeof(struct policy_apply_request));
	CU_ASSERT_EQUAL(SEND(MESSAGE_POLICY_APPLY, FRAME_REQUEST,
				sizeof(struct policy_apply_request), 99),
		-ENODATA); /* nothing is left of a text with a piece wrong */
	/* Not a request of this session at all: no answer, but the session goes on. */
	CU_ASSERT_EQUAL(SEND_WAIT(MESSAGE_STATUS, FRAME_RESULT, 8, 99, SILENCE_MS), 1);
	CU_ASSERT_EQUAL(SEND_WAIT(MESSAGE_STATUS, FRAME_REQUEST, 8, 98, SILENCE_MS), 1);
	CU_ASSERT_EQUAL(SEND(MESSAGE_STATUS, FRAME_REQUEST, 8, 99), 0);
	/* Impossible indices end it. */
	__atomic_store_n(&hand.slot->request.head, hand.requests.own + 1000, __ATOMIC_RELEASE);
	CU_ASSERT_TRUE(sessions_end());
	CU_ASSERT_EQUAL(__atomic_load_n(&hand.slot->accepted, __ATOMIC_ACQUIRE), 0);
#undef SEND
#undef SEND_WAIT
	segment_close(&hand.segment);
	finish();
}

/* While an answer is awaited nothing is left in the ring of replies. Who says that there is after
 * all would never be served again, and who waits for him would not either. */
static void test_rewound(void)
{
	static struct channel_frame frame = {.message = MESSAGE_STATUS,
		.kind = FRAME_REQUEST,
		.len = sizeof(struct channel_nothing),
		.session = 99};
	struct set_bypass_request never = {.on = 2};
	struct channel_result result;
	struct hand hand;

	CU_ASSERT_FATAL(start());
	CU_ASSERT_FATAL(hand_open(&hand, 0));
	CU_ASSERT_EQUAL(hand_call(&hand, &frame, &result, TIMEOUT_MS), 0);
	frame = (struct channel_frame){.message = MESSAGE_SET_BYPASS,
		.kind = FRAME_REQUEST,
		.len = sizeof(never),
		.session = 99};
	memcpy(frame.payload, &never, sizeof(never));
	last_waited_ns = 0;
	channel_ring_push(&hand.requests, &frame);
	for (int i = 0; i < TIMEOUT_MS && last_waited_ns == 0; i++)
		pause_us(1000);
	CU_ASSERT(last_waited_ns > 0);
	CU_ASSERT_EQUAL(sessions(), 1);
	__atomic_store_n(&hand.slot->reply.tail, hand.replies.own - 1, __ATOMIC_RELEASE);
	CU_ASSERT_TRUE(sessions_end());
	CU_ASSERT_EQUAL(closed_calls, 1);
	segment_close(&hand.segment);
	finish();
}

static void test_abi(void)
{
	struct counters_header *counters;
	struct channel_header *commands;
	struct segment segment;
	char error[512];

	CU_ASSERT_FATAL(start());
	counters = channel_server_counters(server);
	counters->abi++;
	CU_ASSERT_PTR_NULL(client_open(instance, 100, error, sizeof(error)));
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "ABI 3: install the same version"));
	counters->abi--;
	counters->worker_bytes += 8;
	CU_ASSERT_PTR_NULL(client_open(instance, 100, error, sizeof(error)));
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "install the same version"));
	counters->worker_bytes -= 8;
	counters->workers = UINT32_MAX;
	CU_ASSERT_PTR_NULL(client_open(instance, 100, error, sizeof(error)));
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "cut short"));
	counters->workers = 2;
	CU_ASSERT_EQUAL(segment_open(&segment, instance, SEGMENT_COMMANDS, 0, true), 0);
	commands = segment.base;
	commands->abi++;
	CU_ASSERT_PTR_NULL(client_open(instance, 100, error, sizeof(error)));
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "speaks ABI 2"));
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "ABI 3: install the same version"));
	commands->abi--;
	commands->slots = 1000000;
	CU_ASSERT_PTR_NULL(client_open(instance, 100, error, sizeof(error)));
	commands->slots = CHANNEL_SLOTS;
	counters->ready = 0;
	CU_ASSERT_PTR_NULL(client_open(instance, 20, error, sizeof(error)));
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "still starting"));
	counters->ready = 1;
	check_all_slots_free();
	segment_close(&segment);
	finish();
}

UNIT_TESTS("channel_hostile", {"200 clients killed at work", test_killed_clients},
	{"garbage over the whole segment", test_scribbler_everywhere},
	{"garbage in one client's own slot", test_scribbler_in_own_slot},
	{"segment cut short", test_truncated}, {"malformed messages", test_malformed},
	{"ring rewound while waiting", test_rewound}, {"other ABI", test_abi})
