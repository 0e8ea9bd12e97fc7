/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The server that channel_test.c and hostile_test.c talk to: see server.h.
 */
#include "tests/unit/channel/server.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "controlplane/channel/segment.h"
#include "tests/unit/unit.h"

static pthread_t poller;
static volatile int stop_polling;
char instance[CHANNEL_NAME_MAX];
struct channel_server *server;
uint64_t longest_poll_ns; /* of CPU time: another process may take the CPU away */
uint64_t closed_calls;
static uint64_t last_client;
volatile uint64_t last_waited_ns; /* of the last call of on_set_bypass() */

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

void pause_us(long us)
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

void start_polling(void)
{
	stop_polling = 0;
	longest_poll_ns = 0;
	pthread_create(&poller, NULL, poll_loop, NULL);
}

void stop_poller(void)
{
	stop_polling = 1;
	pthread_join(poller, NULL);
}

bool start(void)
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

void finish(void)
{
	stop_poller();
	channel_server_destroy(server);
	server = NULL;
}

struct channel_client *connect_client(void)
{
	char error[512] = "";
	struct channel_client *client = client_open(instance, TIMEOUT_MS, error, sizeof(error));

	if (client == NULL)
		printf("     %s\n", error);
	return client;
}

uint32_t sessions(void)
{
	struct channel_server_stats stats;

	channel_server_stats(server, &stats);
	return stats.sessions;
}

bool sessions_end(void)
{
	for (int i = 0; i < TIMEOUT_MS && sessions() > 0; i++)
		pause_us(1000);
	return sessions() == 0;
}

int count_record(void *context, const void *record)
{
	(*(uint64_t *)context)++;
	return 0;
}

int check_order(void *context, const void *record)
{
	struct order *order = context;
	uint64_t number;

	memcpy(&number, (const char *)record + order->offset, sizeof(number));
	order->right = order->right && number == order->next++;
	return 0;
}

bool status_is_right(struct channel_client *client)
{
	struct channel_nothing nothing = {0};
	struct channel_result result;
	uint64_t records = 0;

	return client_call_status(client, &nothing, count_record, &records, TIMEOUT_MS, &result) ==
		       0 &&
	       records == 1;
}

void check_all_slots_free(void)
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
