/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A daemon that forwards nothing: it serves the channel with fixed, plausible answers, so that
 * cli_test.py can run sluicectl against it. fake_daemon INSTANCE [CLASSES]; ends on SIGTERM.
 */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controlplane/channel/server.h"
#include "tests/unit/channel/fake_active.h"

#define WORKERS 2
#define PORTS 2
#define MS 1000000u
#define SECONDS 1000000000u

static volatile sig_atomic_t stop;
static uint32_t classes = 3;
static uint64_t generation = 41;
static char policy_text[CHANNEL_UPLOAD_MAX + 1] =
	"appliance = { name = \"branch\"; };\nclasses = ( { name = \"voice\"; } );\n";

static void on_signal(int number)
{
	stop = 1;
}

/* The classes as a tree: default, office (a group) with voice and bulk in it, class3, class4... */
#define OFFICE 1u

static void class_name(char *name, uint32_t i)
{
	static const char *const first[] = {"default", "office", "voice", "bulk"};

	if (i < 4)
		strcpy(name, first[i]);
	else
		snprintf(name, CHANNEL_NAME_MAX, "class%u", i - 1);
}

static bool has_class(const char *name)
{
	for (uint32_t i = 0; i <= classes; i++) {
		char known[CHANNEL_NAME_MAX];

		class_name(known, i);
		if (strcmp(known, name) == 0)
			return true;
	}
	return false;
}

static int unknown_class(struct channel_reply *reply, const char *name)
{
	channel_reply_error(
		reply, "unknown class '%s': classes are default, office, voice, bulk", name);
	return -ENOENT;
}

static struct channel_dist dist(uint64_t p50_ns)
{
	return (struct channel_dist){
		1000, p50_ns / 2, p50_ns, p50_ns * 2, p50_ns * 3, p50_ns * 4, p50_ns * 5};
}

static void address(uint8_t to[16], uint8_t last)
{
	const uint8_t from[16] = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = last};

	memcpy(to, from, 16);
}

static int on_status(
	void *context, const struct channel_nothing *request, struct channel_reply *reply)
{
	const struct status_record record = {.appliance = "branch",
		.version = SLUICE_VERSION,
		.policy_file = "/etc/sluice/sluice.conf",
		.uptime_ns = 90061ull * SECONDS,
		.policy_generation = generation,
		.compression = COMPRESSION_ON,
		.workers = WORKERS,
		.memory_bytes = 512000000,
		.buffers = 65536,
		.buffers_free = 65000,
		.flows = 1234,
		.flows_max = 2000000,
		.bridges = 1,
		.classes = classes,
		.classes_max = 1024,
		.rules = 7,
		.peers = 1,
		.peers_up = 1,
		.rate_bps = {12300000, 98700000},
		.clients = 1};

	return channel_send_status(reply, &record);
}

static int on_links(void *context, const struct page_request *request, struct channel_reply *reply)
{
	for (uint64_t way = 0; way < CHANNEL_WAYS; way++) {
		const struct link_record record = {.bridge = "b0",
			.port = "eth2",
			.way = way,
			.up = 1,
			.shaped_bps = way == CHANNEL_UP ? 100000000 : 0,
			.tracked_bps = way == CHANNEL_UP ? 87000000 : 0,
			.overhead_bytes = way == CHANNEL_UP ? -4 : 24,
			.sent_packets = 1000000,
			.sent_bytes = 1210000000,
			.rate_bps = 12300000};

		channel_send_links(reply, &record);
	}
	return 0;
}

static struct class_record a_class(uint32_t i, uint64_t way)
{
	bool in_office = i == 2 || i == 3;
	struct class_record record = {.bridge = "b0",
		.way = way,
		.is_group = i == OFFICE,
		.depth = in_office,
		.priority = i == 2 ? 0 : 4,
		.weight = 10,
		.assured_bps = 10000000,
		.ceil_bps = i == 2 ? 30000000 : 0,
		.flow_rate_bps = i == 3 ? 2000000 : 0,
		.queue_limit_bytes = 512000,
		.aqm = CHANNEL_AQM_CODEL,
		.ecn = 1};

	class_name(record.name, i);
	if (in_office)
		class_name(record.parent, OFFICE);
	if (i == OFFICE)
		return record;
	record.sent_packets = 1234567;
	record.sent_bytes = 2000000;
	record.wire_bytes = i == 2 ? 0 : 1000000;
	record.charged_bytes = 1100000;
	record.borrowed_bytes = 550000;
	record.rate_bps = 8000000;
	record.borrowed_bps = i == 3 ? 2000000 : 0;
	record.backlog_packets = 10;
	record.backlog_bytes = 15000;
	record.backlog_flows = 2;
	record.backlog_age_ns = i * MS;
	record.dropped_tail = 1;
	record.dropped_time = 2;
	record.dropped_aqm = 3;
	record.dropped_memory = 4;
	record.marked = 12;
	if (i < 10) {
		record.measured = 1;
		record.queue_delay = dist(2 * MS);
		record.box_time = dist(20000);
		record.rtt_lan = dist(250000);
		record.rtt_wan = dist(41 * MS);
	}
	if (i == 3) {
		record.per = CHANNEL_PER_SRC;
		record.per_bits4 = 24;
		record.per_bits6 = 56;
		record.flow_burst_ns = 5 * MS;
		record.burst_bytes = 30000;
		record.police = CHANNEL_POLICE_TRTCM;
		record.police_cir_bps = 5000000;
		record.police_cbs_bytes = 20000;
		record.police_eir_bps = 10000000;
		record.police_ebs_bytes = 40000;
		record.police_action[0] = CHANNEL_POLICE_PASS;
		record.police_action[1] = 10;
		record.police_action[2] = CHANNEL_POLICE_DROP;
		record.dropped_police = 5;
		record.colour[0] = 100;
		record.colour[1] = 20;
		record.colour[2] = 5;
		record.remarked = 20;
	}
	return record;
}

static bool is_selected(const struct classes_request *request, const struct class_record *record)
{
	switch (request->select) {
	case CLASSES_NAMES:
		return record->way == CHANNEL_UP &&
		       strncmp(record->name, request->name, strlen(request->name)) == 0;
	case CLASSES_BUSY:
		return record->rate_bps > 0;
	default:
		return request->name[0] == '\0' || strcmp(request->name, record->name) == 0 ||
		       strcmp(request->name, record->parent) == 0;
	}
}

static int on_classes(
	void *context, const struct classes_request *request, struct channel_reply *reply)
{
	uint64_t i = request->from, each = classes + 1, total = 2 * each;

	if (request->select == CLASSES_ALL && request->name[0] != '\0' && !has_class(request->name))
		return unknown_class(reply, request->name);
	for (; i < total && channel_reply_room(reply) > 0; i++) {
		struct class_record record = a_class((uint32_t)(i % each), i / each);

		if (is_selected(request, &record))
			channel_send_classes(reply, &record);
	}
	channel_reply_next(reply, i < total ? i : 0, total);
	return 0;
}

static int on_shaper(void *context, const struct page_request *request, struct channel_reply *reply)
{
	for (uint64_t i = 0; i < CHANNEL_WAYS * WORKERS; i++) {
		struct shaper_record record = {.bridge = "b0",
			.way = i / WORKERS,
			.worker = i % WORKERS,
			.link_bps = 100000000,
			.link_quantum_bytes = 3100,
			.memory_bytes = 1000000,
			.shared_memory_bytes = 500000,
			.classes = classes + 1,
			.classes_max = 1024,
			.groups = 1,
			.queues = 3,
			.queues_max = 4096,
			.hosts = 7,
			.hosts_max = 65536,
			.wheel_entries = 2,
			.wheel_inserts = 1000 + i,
			.wheel_late_max_ns = 1000 * (i + 1),
			.link_leases = 50};

		channel_send_shaper(reply, &record);
	}
	return 0;
}

static struct flow_record a_flow(uint64_t i)
{
	struct flow_record record = {.sport = 40000 + (uint32_t)(i % 20000),
		.dport = 443,
		.proto = i % 3 == 2 ? IPPROTO_UDP : IPPROTO_TCP,
		.family = 4,
		.bridge = "b0",
		.class_name = "bulk",
		.peer = "dc",
		.packets = {100, 200},
		.bytes = {6400, 280000},
		.rate_bps = {64000, 2000000 - i},
		.wire_bytes = {6400, 140000},
		.saved_bytes = 140000,
		.rtt_lan_min_ns = 200000,
		.rtt_lan_last_ns = 250000,
		.rtt_wan_min_ns = 40 * MS,
		.rtt_wan_last_ns = 41200000,
		.retransmits = {0, 3},
		.age_ns = 75ull * SECONDS,
		.idle_ns = 5 * MS,
		.compressing = 1};

	address(record.src, 10);
	address(record.dst, 20);
	if (i % 3 == 1) { /* IPv6 */
		memset(record.src, 0, 16);
		memcpy(record.src, "\x20\x01\x0d\xb8", 4);
		memcpy(record.dst, record.src, 16);
		record.src[15] = 1;
		record.dst[15] = 2;
		record.family = 6;
	}
	return record;
}

static int on_flows(void *context, const struct flows_request *request, struct channel_reply *reply)
{
	uint64_t end = request->top != 0 && request->top < 10000 ? request->top : 10000;
	uint64_t i = request->from;

	if (request->class_name[0] != '\0' && !has_class(request->class_name))
		return unknown_class(reply, request->class_name);
	for (; i < end && channel_reply_room(reply) > 0; i++) {
		struct flow_record record = a_flow(i);

		channel_send_flows(reply, &record);
	}
	channel_reply_next(reply, i < end ? i : 0, end);
	return 0;
}

static int on_peers(void *context, const struct page_request *request, struct channel_reply *reply)
{
	struct peer_record record = {.name = "dc",
		.bridge = "b0",
		.family = 4,
		.state = CHANNEL_PEER_UP,
		.since_realtime_ns = 1700000000ull * SECONDS,
		.session = 3,
		.error = "peer fell silent \xff\n", /* neither UTF-8 nor printable */
		.codec = "lz4",
		.rtt_ns = 41 * MS,
		.path_mtu = 1500,
		.peer_path_mtu = 1500,
		.tx_frames = 1000,
		.tx_bytes = 1000000,
		.rx_frames = 990,
		.rx_bytes = 990000,
		.rx_lost = 10,
		.tx_lost = 5,
		.peer_rx_frames = 995,
		.jitter_ns = MS,
		.delay_variation = dist(MS)};

	address(record.address, 30);
	return channel_send_peers(reply, &record);
}

static int on_transactions(
	void *context, const struct page_request *request, struct channel_reply *reply)
{
	for (uint32_t i = 0; i < classes && channel_reply_room(reply) > 0; i++) {
		struct transactions_record record = {.connections = 50,
			.connections_per_s_1000 = 1500,
			.open = 7,
			.used = 40,
			.requests = 200,
			.requests_per_s_1000 = 6000,
			.responses = 199,
			.aborted = 1,
			.request_bytes = 199 * 400,
			.response_bytes = 1000 * 20000,
			.connect = dist(42 * MS),
			.first_byte = dist(50 * MS),
			.whole = dist(80 * MS),
			.dns_queries = 10,
			.dns_servfail = 1,
			.dns_timeouts = 2,
			.dns = dist(12 * MS)};

		class_name(record.class_name, i < OFFICE ? i : i + 1);
		channel_send_transactions(reply, &record);
	}
	return 0;
}

static int on_paths(
	void *context, const struct window_request *request, struct channel_reply *reply)
{
	struct path_record record = {.name = "dc",
		.window_ns =
			request->window == CHANNEL_WINDOW_10S ? 10ull * SECONDS : 3600ull * SECONDS,
		.received = 990,
		.lost = 10,
		.duplicate = 2,
		.reordered = 5,
		.loss_periods = 4,
		.loss_longest = 5,
		.loss_noticeable = 7,
		.loss_runs = {2, 0, 1, 1},
		.extents = {3, 1, 1},
		.extent_max = 4,
		.late_mean_ns = MS,
		.late_max_ns = 3 * MS,
		.has_delay = 1,
		.delay_ns = -2000,
		.delay_uncertainty_ns = 20 * MS,
		.rx_bps = 12000000,
		.tx_bps = 3000000,
		.delay_variation = dist(MS),
		.ipdv = dist(20000)};

	return channel_send_paths(reply, &record);
}

static int on_peer_classes(
	void *context, const struct page_request *request, struct channel_reply *reply)
{
	struct peer_class_record record = {.peer = "dc",
		.class_name = "voice",
		.received = 500,
		.bytes = 50000,
		.sent = 505,
		.lost = 6,
		.duplicate = 1,
		.delay_variation = dist(MS)};

	channel_send_peer_classes(reply, &record);
	record = (struct peer_class_record){.peer = "dc", .received = 490, .sent = 494, .lost = 4};
	return channel_send_peer_classes(reply, &record);
}

static int on_box(void *context, const struct window_request *request, struct channel_reply *reply)
{
	struct box_record record = {.class_name = "voice",
		.window_ns = 10ull * SECONDS,
		.box = dist(20000),
		.queue = dist(5000),
		.stage[STAGE_RX] = {.cycles = 1000, .packets = 20},
		.stage[STAGE_TX] = {.cycles = 600, .packets = 10}};

	return channel_send_box(reply, &record);
}

/* Two hours, the first half of them without figures. */
static int on_history(
	void *context, const struct history_request *request, struct channel_reply *reply)
{
	uint64_t count = request->span_ns / (10ull * SECONDS);

	if (request->subject == CHANNEL_CLASS && strcmp(request->name, "voice") != 0) {
		channel_reply_error(reply, "unknown class '%s'", request->name);
		return -ENOENT;
	}
	for (uint64_t i = request->from; i < count; i++) {
		struct history_record r = {.end_realtime_ns = (1700000000ull + 10 * i) * SECONDS};

		if (channel_reply_room(reply) == 0) {
			channel_reply_next(reply, i, count);
			return 0;
		}
		for (int k = 0; i >= count / 2 && k < CHANNEL_HISTORY_FIGURES; k++) {
			r.known |= 1ull << k;
			r.figure[k] = k < 2 ? (double)(i % 60) * 1e6 : (double)((i + 1) % 50) * 1e6;
		}
		channel_send_history(reply, &r);
	}
	return 0;
}

static int on_rtt(void *context, const struct window_request *request, struct channel_reply *reply)
{
	for (uint32_t i = 0; i < classes && channel_reply_room(reply) > 0; i++) {
		struct rtt_record record = {.lan = dist(200000),
			.wan = dist(41 * MS),
			.wan_delayed = 12,
			.dns = {[1] = dist(12 * MS)}};

		class_name(record.class_name, i < OFFICE ? i : i + 1);
		channel_send_rtt(reply, &record);
	}
	return 0;
}

static int on_loss(void *context, const struct window_request *request, struct channel_reply *reply)
{
	struct loss_record record = {.class_name = "bulk",
		.fast = 99,
		.timeout = 4,
		.way = CHANNEL_DOWN,
		.packets = 10000,
		.lost_before = 100,
		.lost_after = 3};

	channel_send_loss(reply, &record);
	record = (struct loss_record){
		.peer = "dc", .way = CHANNEL_DOWN, .packets = 1000, .lost_before = 10};
	return channel_send_loss(reply, &record);
}

static int on_compression(
	void *context, const struct page_request *request, struct channel_reply *reply)
{
	struct compression_record record = {.class_name = "bulk",
		.mode = COMPRESSION_ON,
		.original_bytes = 2000000,
		.wire_bytes = 1000000,
		.packets = 2000,
		.packets_compressed = 1500,
		.compressed_in_bytes = 1800000,
		.compressed_out_bytes = 800000,
		.no_gain = 500,
		.codec_cycles = 9000000,
		.codec_bytes = 1900000};

	channel_send_compression(reply, &record);
	record.class_name[0] = '\0';
	return channel_send_compression(reply, &record);
}

static int on_codecs(void *context, const struct page_request *request, struct channel_reply *reply)
{
	struct codec_record record = {.class_name = "bulk",
		.codec = "lz4-dict",
		.packets = 1000,
		.in_bytes = 1400000,
		.out_bytes = 700000,
		.tried_bytes = 1500000,
		.cycles = 6000000};

	channel_send_codecs(reply, &record);
	strcpy(record.class_name, "web");
	return channel_send_codecs(reply, &record);
}

static int on_governors(
	void *context, const struct page_request *request, struct channel_reply *reply)
{
	const struct governor_record record = {
		.worker = 1, .step = 2, .ups = 5, .downs = 3, .busy_packets = 77};

	return channel_send_governors(reply, &record);
}

static int on_stores(void *context, const struct page_request *request, struct channel_reply *reply)
{
	const struct store_record record = {.peer = "dc",
		.memory_bytes = 256 << 20,
		.slots = 80000,
		.oldest_ns = 90 * SECONDS,
		.hits = 3000,
		.misses = 1000,
		.across = 200,
		.hit_bytes = 4000000,
		.saved_bytes = 3900000,
		.kept = 4000,
		.unacknowledged = 5,
		.history_bytes = 50 << 20,
		.histories = 100,
		.history_flows = 7,
		.epochs_offered = 41,
		.epochs_made = 40,
		.epochs_lost = 1,
		.epoch_packets = 900,
		.epoch_shared = 100};

	return channel_send_stores(reply, &record);
}

static int on_policy(
	void *context, const struct channel_nothing *request, struct channel_reply *reply)
{
	const struct policy_record record = {.file = "/etc/sluice/sluice.conf",
		.generation = generation,
		.applied_realtime_ns = 1700000000ull * SECONDS,
		.classes = classes,
		.rules = 7,
		.bridges = 1,
		.peers = 1,
		.text_bytes = strlen(policy_text),
		.previous_generation = generation - 1};

	return channel_send_policy(reply, &record);
}

static int on_policy_text(
	void *context, const struct page_request *request, struct channel_reply *reply)
{
	channel_reply_text(reply, policy_text, strlen(policy_text), request->from);
	return 0;
}

static int changed(struct channel_reply *reply)
{
	channel_reply_applied(reply, ++generation, WORKERS, WORKERS, 38000);
	return 0;
}

/* Every line with the word "wrong" is an error. */
static int on_policy_apply(
	void *context, const struct policy_apply_request *request, struct channel_reply *reply)
{
	uint64_t len, line = 1, wrong = 0;
	const char *text = channel_reply_upload(reply, &len);

	if (text == NULL) {
		channel_reply_error(reply, "no text was uploaded");
		return -EINVAL;
	}
	for (const char *at = text; *at != '\0'; line++) {
		const char *end = strchrnul(at, '\n');

		if (memmem(at, (size_t)(end - at), "wrong", 5) != NULL) {
			struct problem_record problem = {.line = line,
				.option = "classes[1].rate",
				.text = "is wrong: take \"20 Mbit/s\""};

			if (wrong >= request->from && channel_reply_room(reply) > 0)
				channel_send_policy_apply(reply, &problem);
			else if (wrong >= request->from)
				channel_reply_next(reply, wrong, 0);
			wrong++;
			if (wrong > request->from && channel_reply_room(reply) == 0) {
				channel_reply_next(reply, wrong, 0);
				break;
			}
		}
		at = *end == '\0' ? end : end + 1;
	}
	if (wrong > 0 && request->check_only == 0) {
		channel_reply_error(reply, "%s: %llu errors, policy %llu stays in force",
			request->file, (unsigned long long)wrong, (unsigned long long)generation);
		return -EINVAL;
	}
	if (request->check_only)
		return 0;
	memcpy(policy_text, text, len + 1);
	return changed(reply);
}

static int on_nothing(
	void *context, const struct channel_nothing *request, struct channel_reply *reply)
{
	return changed(reply);
}

/* "rate=20mbit ceil=50 Mbit/s" */
static int echo(struct channel_reply *reply, const struct setting *settings, uint64_t count)
{
	char text[CHANNEL_ERROR_MAX] = "";

	for (uint64_t i = 0; i < count && i < SETTINGS_MAX; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s=%s",
			i == 0 ? "" : " ", settings[i].option, settings[i].value);
	channel_reply_error(reply, "%s", text);
	return changed(reply);
}

static int on_set_class(
	void *context, const struct set_class_request *request, struct channel_reply *reply)
{
	if (!has_class(request->name))
		return unknown_class(reply, request->name);
	return echo(reply, request->settings, request->count);
}

static int on_set_link(
	void *context, const struct set_link_request *request, struct channel_reply *reply)
{
	return echo(reply, request->settings, request->count);
}

/* Takes a few polls, as a change that waits for workers does. */
static int on_set_compression(
	void *context, const struct set_compression_request *request, struct channel_reply *reply)
{
	static int rounds;

	if (channel_reply_is_first(reply))
		rounds = 0;
	return ++rounds < 5 ? -EINPROGRESS : changed(reply);
}

static int on_explain(
	void *context, const struct explain_request *request, struct channel_reply *reply)
{
	const struct explain_record record = {.bridge = "b0",
		.class_name = "bulk",
		.path = "link b0 > office > bulk",
		.bucket = "network 192.0.2.0/24",
		.rule_line = 12,
		.rule = "proto tcp, dport 443",
		.worker = 1,
		.ceil_bps = 50000000,
		.peer = "dc",
		.peer_up = 1,
		.compression = "tried on every packet",
		.known = request->dport == 443,
		.flow = a_flow(0)};

	return channel_send_explain(reply, &record);
}

static const struct channel_handlers handlers = {
	.status = on_status,
	.links = on_links,
	.classes = on_classes,
	.shaper = on_shaper,
	.stamp = fake_stamp,
	.ping = fake_ping,
	.trace = fake_trace,
	.speedtest = fake_speedtest,
	.flows = on_flows,
	.peers = on_peers,
	.paths = on_paths,
	.peer_classes = on_peer_classes,
	.stores = on_stores,
	.box = on_box,
	.history = on_history,
	.rtt = on_rtt,
	.transactions = on_transactions,
	.loss = on_loss,
	.compression = on_compression,
	.codecs = on_codecs,
	.governors = on_governors,
	.policy = on_policy,
	.policy_text = on_policy_text,
	.policy_apply = on_policy_apply,
	.policy_confirm = on_nothing,
	.policy_rollback = on_nothing,
	.set_class = on_set_class,
	.set_link = on_set_link,
	.set_compression = on_set_compression,
	/* set_bypass is left out: "not supported" is an answer too */
	.explain = on_explain,
};

static void fill_counters(struct counters_header *header)
{
	strcpy(header->appliance, "branch");
	header->tsc_hz = 2500000000u;
	for (uint32_t i = 0; i < header->workers; i++) {
		struct counters_worker *w = counters_worker(header, i);

		w->lcore = i + 1;
		w->policy_generation = generation;
		w->flows = 617;
		w->reason[DROP_AQM] = 12;
		w->reason[PASS_NOT_IP] = 5;
		for (int s = 0; s < STAGE_COUNT; s++)
			w->stage[s] = (struct counters_stage){1000000, 16000, 1000};
	}
	for (uint32_t i = 0; i < header->ports; i++) {
		struct counters_port *p = counters_port(header, i);

		snprintf(p->name, sizeof(p->name), "eth%u", i + 1);
		snprintf(p->device, sizeof(p->device), "net_af_packet%u,iface=eth%u", i, i + 1);
		p->is_wan = i;
		p->link_up = 1;
		p->mtu = 1500;
		p->rx_packets = 1000000;
		p->rx_bytes = 640000000;
	}
}

int main(int argc, char **argv)
{
	const struct timespec pause = {.tv_nsec = MS};
	struct channel_server *server;
	struct counters_header *header;
	char error[256];

	if (argc < 2)
		return 2;
	if (argc > 2)
		classes = (uint32_t)strtoul(argv[2], NULL, 10);
	signal(SIGTERM, on_signal);
	server = channel_server_create(argv[1], NULL, WORKERS, PORTS, error, sizeof(error));
	if (server == NULL) {
		fprintf(stderr, "fake_daemon: %s\n", error);
		return 1;
	}
	header = channel_server_counters(server);
	fill_counters(header);
	header->ready = 1;
	printf("ready\n");
	fflush(stdout);
	while (!stop) {
		struct timespec t;

		clock_gettime(CLOCK_MONOTONIC, &t);
		header->now_ns = (uint64_t)t.tv_sec * SECONDS + (uint64_t)t.tv_nsec;
		for (uint32_t i = 0; i < header->workers; i++) {
			struct counters_worker *w = counters_worker(header, i);

			w->heartbeat_ns = header->now_ns;
			w->busy_cycles += 500000;
			w->stage[STAGE_RX].packets += 10;
			w->stage[STAGE_RX].sampled += 10;
			w->stage[STAGE_RX].cycles += 200;
		}
		channel_server_poll(server, &handlers, NULL);
		nanosleep(&pause, NULL);
	}
	channel_server_destroy(server);
	return 0;
}
