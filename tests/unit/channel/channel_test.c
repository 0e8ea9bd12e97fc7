/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The channel: a server polled by a thread of this process, clients in this process and in forked
 * ones. hostile_test.c has those that do harm; fake_daemon.c and cli_test.py test sluicectl on top.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controlplane/channel/segment.h"
#include "tests/unit/channel/server.h"
#include "tests/unit/unit.h"

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
	{"places for clients", test_slots},
	{"stalled, killed and restarted daemon", test_killed_daemon},
	{"names, modes, second daemon", test_names_and_modes})
