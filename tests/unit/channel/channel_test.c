/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The channel: a server polled by a thread of this process, clients in this process and in forked
 * ones, well-behaved, dying and hostile. fake_daemon.c and cli_test.py test sluicectl on top of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "controlplane/channel/client.h"
#include "controlplane/channel/segment.h"
#include "controlplane/channel/server.h"
#include "tests/unit/unit.h"

#define TIMEOUT_MS 20000 /* for what must happen */
#define SILENCE_MS 50	 /* for what must not */
#define CLASSES 1000u
#define FLOWS 10000u

static char instance[CHANNEL_NAME_MAX];
static struct channel_server *server;
static pthread_t poller;
static volatile int stop_polling;
static uint64_t longest_poll_ns; /* of CPU time: another process may take the CPU away */
static uint64_t closed_calls, last_client;
static volatile uint64_t last_waited_ns; /* of the last call of on_set_bypass() */

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static void pause_us(long us)
{
	const struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

	nanosleep(&t, NULL);
}

static int on_status(
	void *context, const struct channel_nothing *request, struct channel_reply *reply)
{
	struct status_record record = {.appliance = "test", .policy_generation = 42};

	last_client = channel_reply_client(reply);
	return channel_send_status(reply, &record);
}

static int on_classes(
	void *context, const struct classes_request *request, struct channel_reply *reply)
{
	uint64_t i = request->from;

	for (; i < CLASSES; i++) {
		struct class_record record = {.sent_packets = i};

		if (channel_send_classes(reply, &record) == -ENOSPC)
			break;
	}
	channel_reply_next(reply, i < CLASSES ? i : 0, CLASSES);
	return 0;
}

static int on_flows(void *context, const struct flows_request *request, struct channel_reply *reply)
{
	uint64_t i = request->from;

	if (request->class_name[0] != '\0') {
		channel_reply_error(
			reply, "unknown class '%s': there is default", request->class_name);
		return -ENOENT;
	}
	for (; i < FLOWS && channel_reply_room(reply) > 0; i++) {
		struct flow_record record = {.age_ns = i};

		channel_send_flows(reply, &record);
	}
	channel_reply_next(reply, i < FLOWS ? i : 0, FLOWS);
	return 0;
}

/* Ready at the fourth call; counts them, and starts over with the next request. `on` of 2: never
 * ready. */
static int on_set_bypass(
	void *context, const struct set_bypass_request *request, struct channel_reply *reply)
{
	static int calls;

	if (channel_reply_is_first(reply))
		calls = 0;
	if (calls == 0 && channel_reply_waited_ns(reply) != 0)
		return -EINVAL;
	last_waited_ns = channel_reply_waited_ns(reply);
	if (++calls < 4 || request->on == 2)
		return -EINPROGRESS;
	channel_reply_applied(reply, 43, 2, 2, 38000);
	return 0;
}

/* Accepts a change whose strings all end within their fields. */
static int on_set_class(
	void *context, const struct set_class_request *request, struct channel_reply *reply)
{
	bool ends = strnlen(request->name, sizeof(request->name)) == sizeof(request->name) - 1;

	for (int i = 0; i < SETTINGS_MAX; i++) {
		const struct setting *s = &request->settings[i];

		ends &= strnlen(s->option, sizeof(s->option)) == sizeof(s->option) - 1;
		ends &= strnlen(s->value, sizeof(s->value)) == sizeof(s->value) - 1;
	}
	return ends ? 0 : -EINVAL;
}

/* Gives back the length of the text and its sum. */
static int on_policy_apply(
	void *context, const struct policy_apply_request *request, struct channel_reply *reply)
{
	uint64_t len, sum = 0;
	const char *text = channel_reply_upload(reply, &len);

	if (text == NULL)
		return -ENODATA;
	for (uint64_t i = 0; i < len; i++)
		sum = sum * 31 + (uint8_t)text[i];
	channel_reply_applied(reply, len, sum, text[len] == '\0', 0);
	return 0;
}

static void on_closed(void *context, uint64_t client)
{
	closed_calls++;
}

static const struct channel_handlers handlers = {
	.status = on_status,
	.classes = on_classes,
	.flows = on_flows,
	.set_class = on_set_class,
	.set_bypass = on_set_bypass,
	.policy_apply = on_policy_apply,
	.closed = on_closed,
};

static void *poll_loop(void *context)
{
	while (!stop_polling) {
		uint64_t start_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);

		channel_server_poll(server, &handlers, NULL);
		uint64_t took_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - start_ns;

		if (took_ns > longest_poll_ns)
			longest_poll_ns = took_ns;
		pause_us(100);
	}
	return NULL;
}

static void start_polling(void)
{
	stop_polling = 0;
	longest_poll_ns = 0;
	pthread_create(&poller, NULL, poll_loop, NULL);
}

static void stop_poller(void)
{
	stop_polling = 1;
	pthread_join(poller, NULL);
}

static bool start(void)
{
	char error[256] = "";

	snprintf(instance, sizeof(instance), "unit-%d", (int)getpid());
	server = channel_server_create(instance, NULL, 2, 2, error, sizeof(error));
	if (server == NULL) {
		printf("%s\n", error);
		return false;
	}
	((struct counters_header *)channel_server_counters(server))->ready = 1;
	closed_calls = 0;
	start_polling();
	return true;
}

static void finish(void)
{
	stop_poller();
	channel_server_destroy(server);
	server = NULL;
}

static struct channel_client *connect_client(void)
{
	char error[512] = "";
	struct channel_client *client = client_open(instance, TIMEOUT_MS, error, sizeof(error));

	if (client == NULL)
		printf("     %s\n", error);
	return client;
}

static uint32_t sessions(void)
{
	struct channel_server_stats stats;

	channel_server_stats(server, &stats);
	return stats.sessions;
}

/* The server finds out by itself that clients are gone, but in its own time. */
static bool sessions_end(void)
{
	for (int i = 0; i < TIMEOUT_MS && sessions() > 0; i++)
		pause_us(1000);
	return sessions() == 0;
}

static int count_record(void *context, const void *record)
{
	(*(uint64_t *)context)++;
	return 0;
}

/* True if a status call gives the right answer. */
static bool status_is_right(struct channel_client *client)
{
	struct channel_nothing nothing = {0};
	struct channel_result result;
	uint64_t records = 0;

	return client_call_status(client, &nothing, count_record, &records, TIMEOUT_MS, &result) ==
		       0 &&
	       records == 1;
}

static void test_calls(void)
{
	struct channel_nothing nothing = {0};
	struct set_bypass_request bypass = {.on = 1};
	struct flows_request flows = {.class_name = "vioce"};
	struct set_class_request set;
	struct channel_result result;
	struct channel_client *client;

	CU_ASSERT_FATAL(start());
	client = connect_client();
	CU_ASSERT_PTR_NOT_NULL_FATAL(client);
	CU_ASSERT_EQUAL(client_counters(client)->workers, 2);
	CU_ASSERT_TRUE(status_is_right(client));
	/* Refused, with the daemon's words. */
	CU_ASSERT_EQUAL(
		client_call_flows(client, &flows, NULL, NULL, TIMEOUT_MS, &result), -ENOENT);
	CU_ASSERT_STRING_EQUAL(result.text, "unknown class 'vioce': there is default");
	/* A name that is not terminated is cut, not read beyond. */
	memset(flows.class_name, 'x', sizeof(flows.class_name));
	CU_ASSERT_EQUAL(
		client_call_flows(client, &flows, NULL, NULL, TIMEOUT_MS, &result), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(result.text, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'"));
	CU_ASSERT_PTR_NULL(strstr(result.text, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
	memset(&set, 'x', sizeof(set));
	CU_ASSERT_EQUAL(client_call_set_class(client, &set, NULL, NULL, TIMEOUT_MS, &result), 0);
	/* Not ready at once. */
	CU_ASSERT_EQUAL(
		client_call_set_bypass(client, &bypass, NULL, NULL, TIMEOUT_MS, &result), 0);
	CU_ASSERT_EQUAL(result.generation, 43);
	CU_ASSERT_EQUAL(result.workers, 2);
	CU_ASSERT_EQUAL(result.took_ns, 38000);
	/* No handler. */
	CU_ASSERT_EQUAL(
		client_call_policy(client, &nothing, NULL, NULL, TIMEOUT_MS, &result), -EOPNOTSUPP);
	CU_ASSERT_TRUE(status_is_right(client));
	client_close(client);
	CU_ASSERT_TRUE(sessions_end());
	CU_ASSERT_EQUAL(closed_calls, 1);
	finish();
}

struct order {
	uint64_t next;
	size_t offset;
	bool right;
};

static int check_order(void *context, const void *record)
{
	struct order *order = context;
	uint64_t number;

	memcpy(&number, (const char *)record + order->offset, sizeof(number));
	order->right = order->right && number == order->next++;
	return 0;
}

static int stop_at_once(void *context, const void *record)
{
	return -ECANCELED;
}

static void test_paging(void)
{
	struct order classes = {
		.offset = offsetof(struct class_record, sent_packets), .right = true};
	struct order flows = {.offset = offsetof(struct flow_record, age_ns), .right = true};
	struct classes_request page = {0};
	struct flows_request request = {0};
	struct channel_result result;
	struct channel_client *client;

	CU_ASSERT_FATAL(start());
	client = connect_client();
	CU_ASSERT_PTR_NOT_NULL_FATAL(client);
	CU_ASSERT_EQUAL(client_list(client, MESSAGE_CLASSES, &page, check_order, &classes,
				TIMEOUT_MS, &result),
		0);
	CU_ASSERT_TRUE(classes.right);
	CU_ASSERT_EQUAL(classes.next, CLASSES);
	CU_ASSERT_EQUAL(result.records, CLASSES);
	CU_ASSERT_EQUAL(client_list(client, MESSAGE_FLOWS, &request, check_order, &flows,
				TIMEOUT_MS, &result),
		0);
	CU_ASSERT_TRUE(flows.right);
	CU_ASSERT_EQUAL(flows.next, FLOWS);
	/* A reader that stops in the middle leaves nothing behind that the next call would take. */
	request.from = 0;
	CU_ASSERT_EQUAL(
		client_call_flows(client, &request, stop_at_once, NULL, TIMEOUT_MS, &result),
		-ECANCELED);
	CU_ASSERT_TRUE(status_is_right(client));
	client_close(client);
	finish();
}

static void test_upload(void)
{
	enum { LEN = 300000 };
	struct policy_apply_request apply = {.file = "x"};
	struct channel_result result;
	struct channel_client *client;
	char *text = malloc(CHANNEL_UPLOAD_MAX + 1);
	uint64_t sum = 0;

	for (int i = 0; i < LEN; i++) {
		text[i] = (char)(i * 7);
		sum = sum * 31 + (uint8_t)text[i];
	}
	CU_ASSERT_FATAL(start());
	client = connect_client();
	CU_ASSERT_PTR_NOT_NULL_FATAL(client);
	CU_ASSERT_EQUAL(client_call_policy_apply(client, &apply, NULL, NULL, TIMEOUT_MS, &result),
		-ENODATA);
	CU_ASSERT_EQUAL(client_upload(client, text, LEN, TIMEOUT_MS, &result), 0);
	CU_ASSERT_EQUAL(
		client_call_policy_apply(client, &apply, NULL, NULL, TIMEOUT_MS, &result), 0);
	CU_ASSERT_EQUAL(result.generation, LEN);
	CU_ASSERT_EQUAL(result.workers, sum);
	CU_ASSERT_EQUAL(result.workers_total, 1);
	CU_ASSERT_EQUAL(client_upload(client, text, 0, TIMEOUT_MS, &result), 0);
	CU_ASSERT_EQUAL(
		client_call_policy_apply(client, &apply, NULL, NULL, TIMEOUT_MS, &result), 0);
	CU_ASSERT_EQUAL(result.generation, 0);
	CU_ASSERT_EQUAL(
		client_upload(client, text, CHANNEL_UPLOAD_MAX + 1, TIMEOUT_MS, &result), -EFBIG);
	client_close(client);
	finish();
	free(text);
}

static void test_slots(void)
{
	struct channel_client *clients[CHANNEL_SLOTS];
	char error[512] = "";

	CU_ASSERT_FATAL(start());
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < CHANNEL_SLOTS; i++) {
			clients[i] = connect_client();
			CU_ASSERT_PTR_NOT_NULL_FATAL(clients[i]);
		}
		CU_ASSERT_PTR_NULL(client_open(instance, 50, error, sizeof(error)));
		CU_ASSERT_PTR_NOT_NULL(strstr(error, "all 16 places"));
		for (uint32_t i = 0; i < CHANNEL_SLOTS; i++) {
			CU_ASSERT_TRUE(status_is_right(clients[i]));
			client_close(clients[i]);
		}
	}
	finish();
}

/* Every slot must be free again: as many clients as there are slots get in and are served. */
static void check_all_slots_free(void)
{
	struct channel_client *clients[CHANNEL_SLOTS];

	for (uint32_t i = 0; i < CHANNEL_SLOTS; i++) {
		clients[i] = connect_client();
		CU_ASSERT_PTR_NOT_NULL_FATAL(clients[i]);
	}
	for (uint32_t i = 0; i < CHANNEL_SLOTS; i++) {
		CU_ASSERT_TRUE(status_is_right(clients[i]));
		client_close(clients[i]);
	}
	CU_ASSERT_TRUE(sessions_end());
}

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

/* A daemon in a child process; writes a byte to a pipe once it serves. */
static pid_t fork_daemon(void)
{
	int ready[2];
	char byte;
	pid_t child;

	if (pipe(ready) < 0)
		return -1;
	child = fork();
	if (child == 0) {
		if (!start() || write(ready[1], "", 1) != 1)
			_exit(1);
		while (true)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		child = -1;
	close(ready[0]);
	/* start() in the child named it after the child. */
	snprintf(instance, sizeof(instance), "unit-%d", (int)child);
	return child;
}

static void test_killed_daemon(void)
{
	struct channel_nothing nothing = {0};
	struct channel_client *client;
	struct channel_result result;
	char error[512];
	pid_t child = fork_daemon();

	CU_ASSERT_FATAL(child > 0);
	client = connect_client();
	CU_ASSERT_PTR_NOT_NULL_FATAL(client);
	CU_ASSERT_TRUE(status_is_right(client));
	CU_ASSERT_PTR_NULL(channel_server_create(instance, NULL, 1, 1, error, sizeof(error)));
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "another daemon runs"));
	/* Stalled: a clear end after the timeout. The signal takes its time. */
	kill(child, SIGSTOP);
	CU_ASSERT_EQUAL(waitpid(child, NULL, WUNTRACED), child);
	CU_ASSERT_EQUAL(client_call_status(client, &nothing, NULL, NULL, 200, &result), -ETIMEDOUT);
	CU_ASSERT_PTR_NOT_NULL(strstr(result.text, "runs but does not answer"));
	kill(child, SIGCONT);
	CU_ASSERT_TRUE(
		status_is_right(client)); /* and the late answer is not mistaken for this one */
	/* Dead: said at once, not after the timeout. */
	kill(child, SIGKILL);
	uint64_t start_ns = now_ns();

	CU_ASSERT_EQUAL(
		client_call_status(client, &nothing, NULL, NULL, 5 * TIMEOUT_MS, &result), -ESRCH);
	CU_ASSERT(now_ns() - start_ns < TIMEOUT_MS * 1000000ull);
	CU_ASSERT_PTR_NOT_NULL(strstr(result.text, "has ended"));
	waitpid(child, NULL, 0);
	CU_ASSERT_PTR_NULL(client_open(instance, 1000, error, sizeof(error)));
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "is not running"));
	/* A new daemon takes the name over; the old client sees it. */
	server = channel_server_create(instance, NULL, 2, 2, error, sizeof(error));
	CU_ASSERT_PTR_NOT_NULL_FATAL(server);
	((struct counters_header *)channel_server_counters(server))->ready = 1;
	CU_ASSERT_EQUAL(client_alive(client), -ESTALE);
	client_close(client);
	start_polling();
	check_all_slots_free();
	finish();
	CU_ASSERT_PTR_NULL(client_open(instance, 1000, error, sizeof(error)));
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "is not running"));
}

static void test_names_and_modes(void)
{
	static const char *const bad[] = {"", "a/b", "../x", "a b", "a-counters", "b-lock",
		"0123456789012345678901234567890123456789"};
	char error[512], name[64];
	struct stat st;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CU_ASSERT_PTR_NULL(channel_server_create(bad[i], NULL, 1, 1, error, sizeof(error)));
		CU_ASSERT_PTR_NULL(client_open(bad[i], 10, error, sizeof(error)));
	}
	snprintf(instance, sizeof(instance), "unit-%d", (int)getpid());
	CU_ASSERT_PTR_NULL(
		channel_server_create(instance, "no-such-group", 1, 1, error, sizeof(error)));
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "no group \"no-such-group\""));
	/* With a group: commands read-write for it, counters read-only, the lock not at all. */
	umask(0077);
	server = channel_server_create(instance, "root", 1, 1, error, sizeof(error));
	if (server == NULL) {
		CU_ASSERT_NOT_EQUAL(geteuid(), 0);
		return;
	}
	static const mode_t modes[] = {0660, 0640, 0600};
	static const char *const suffixes[] = {"", "-counters", "-lock"};

	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "/dev/shm/sluice-%s%s", instance, suffixes[i]);
		CU_ASSERT_EQUAL_FATAL(stat(name, &st), 0);
		CU_ASSERT_EQUAL(st.st_mode & 0777, modes[i]);
	}
	channel_server_destroy(server);
	server = NULL;
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "/dev/shm/sluice-%s%s", instance, suffixes[i]);
		CU_ASSERT_EQUAL(stat(name, &st), -1);
	}
}

UNIT_TESTS("channel", {"calls, refusals, waiting", test_calls},
	{"lists of many pages", test_paging}, {"upload of a text", test_upload},
	{"places for clients", test_slots}, {"200 clients killed at work", test_killed_clients},
	{"garbage over the whole segment", test_scribbler_everywhere},
	{"garbage in one client's own slot", test_scribbler_in_own_slot},
	{"segment cut short", test_truncated}, {"malformed messages", test_malformed},
	{"ring rewound while waiting", test_rewound}, {"other ABI", test_abi},
	{"stalled, killed and restarted daemon", test_killed_daemon},
	{"names, modes, second daemon", test_names_and_modes})
