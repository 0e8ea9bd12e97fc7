/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control/connections.c over the flow tables of two workers: connections that open, close, are
 * reset, refused, forgotten after a silence or for want of room, and change their class with the
 * policy or with the first packet behind it. Time is virtual.
 */
#include <netinet/tcp.h>

#include "dataplane/control/connections.h"
#include "dataplane/packet/parse.h"
#include "tests/unit/packet/mbufs.h"
#include "tests/unit/policy/policy_helper.h"
#include "tests/unit/unit.h"

#define WORKERS 2
#define HOUR_MS 3600000u

#define CONFIG(rule)                                                                               \
	"appliance = { name = \"x\"; workers = \"0,1\"; flows = 1024; classes = 64; };\n"          \
	"bridges = ( { name = \"b\"; lan = \"l\"; wan = \"w\"; } );\n"                             \
	"classes = ( { name = \"default\"; }, { name = \"web\"; }, { name = \"mail\"; } );\n"      \
	"rules = ( { match = { proto = \"tcp\"; dport = " rule "; }; class = \"web\"; },\n"        \
	"          { match = { proto = \"tcp\"; dport = 25; }; class = \"mail\"; } );\n"

enum class { DEFAULT, WEB, MAIL, CLASSES };

static struct daemon d;
static struct worker worker[WORKERS];
static struct plan plan;
static uint32_t class_ids[CLASSES] = {4, 2, 7}; /* of the daemon's choice */
static struct connections *connections;
static struct measure_class measured;
static struct rte_mbuf *mbuf;
static uint32_t now_ms;

static void use(const char *text, uint32_t generation)
{
	classifier_destroy(plan.classifier);
	policy_free(plan.policy);
	plan.policy = read_good(text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(plan.policy);
	plan.classifier = classifier_create(plan.policy, class_ids, SOCKET_ID_ANY);
	CU_ASSERT_PTR_NOT_NULL_FATAL(plan.classifier);
	plan.class_id_of = class_ids;
	plan.classes_max = 8;
	plan.generation = plan.flows_generation = generation;
}

static void start(void)
{
	mbufs_start("512");
	if (mbuf == NULL)
		mbuf = mbufs_make(mbufs_pool("connections", 63, 256), "", 0);
	use(CONFIG("80"), 1);
	d = (struct daemon){.worker_count = WORKERS, .plan = &plan};
	for (unsigned w = 0; w < WORKERS; w++) {
		d.workers[w] = &worker[w];
		worker[w].flows = flow_table_create("test", 64, SOCKET_ID_ANY);
		CU_ASSERT_PTR_NOT_NULL_FATAL(worker[w].flows);
	}
	connections = connections_create(&d);
	CU_ASSERT_PTR_NOT_NULL_FATAL(connections);
}

static void stop(void)
{
	connections_destroy(connections);
	for (unsigned w = 0; w < WORKERS; w++)
		flow_table_destroy(worker[w].flows);
	classifier_destroy(plan.classifier);
	policy_free(plan.policy);
	plan = (struct plan){0};
}

/* A packet of connection `id` to `dport`, as a worker treats it. from: the client, on the LAN. */
static void packet(unsigned w, uint32_t id, uint16_t dport, enum measure_from from, unsigned flags)
{
	struct pkt *p = pkt_of(mbuf);
	bool up = from == FROM_LAN;

	*p = (struct pkt){.flags = PKT_IP | PKT_TCP,
		.dir = (uint8_t)!up,
		.way = up ? WAY_UP : WAY_DOWN,
		.tcp_flags = (uint8_t)flags,
		.tcp_window = 1000,
		.tcp_seq = up ? 100u + !(flags & TH_SYN) : 500u + !(flags & TH_SYN),
		.tcp_ack = flags & TH_ACK ? (up ? 501u : 101u) : 0};
	p->key.addr[0][10] = p->key.addr[0][11] = p->key.addr[1][10] = p->key.addr[1][11] = 0xff;
	memcpy(p->key.addr[0] + 12, &id, 4);
	p->key.addr[1][15] = 9;
	p->key.port[0] = RTE_BE16(5000);
	p->key.port[1] = rte_cpu_to_be_16(dport);
	p->key.proto = 6;
	p->hash = packet_key_hash(&p->key, 1);
	flow_table_lookup_bulk(worker[w].flows, &mbuf, 1, now_ms);
	classify_bulk(plan.classifier, &mbuf, 1, plan.flows_generation);
	measure_tcp(&p->flow->measure, p, from, (uint64_t)now_ms * 1000000, &measured);
}

static void handshake(unsigned w, uint32_t id, uint16_t dport)
{
	packet(w, id, dport, FROM_LAN, TH_SYN);
	packet(w, id, dport, FROM_WAN, TH_SYN | TH_ACK);
	packet(w, id, dport, FROM_LAN, TH_ACK);
}

/* One round; then this many are open. */
static bool are(uint64_t other, uint64_t web, uint64_t mail)
{
	for (uint32_t i = 0; i < flow_table_capacity(worker[0].flows); i++) {
		for (unsigned w = 0; w < WORKERS; w++) {
			struct flow copy;
			if (flow_snapshot(flow_table_record(worker[w].flows, i), &copy))
				connections_look(connections, &plan, w, i, &copy);
		}
	}
	connections_round(connections);
	return connections_open(connections, class_ids[DEFAULT]) == other &&
	       connections_open(connections, class_ids[WEB]) == web &&
	       connections_open(connections, class_ids[MAIL]) == mail &&
	       connections_open_all(connections) == other + web + mail;
}

static void test_open_and_close(void)
{
	start();
	CU_ASSERT(are(0, 0, 0));
	packet(0, 1, 80, FROM_LAN, TH_SYN);
	CU_ASSERT(are(0, 0, 0));
	packet(0, 1, 80, FROM_WAN, TH_SYN | TH_ACK);
	CU_ASSERT(are(0, 0, 0));
	packet(0, 1, 80, FROM_LAN, TH_ACK);
	CU_ASSERT(are(0, 1, 0));
	handshake(1, 2, 80);
	handshake(1, 3, 25);
	handshake(1, 4, 22);
	CU_ASSERT(are(1, 2, 1));
	packet(0, 1, 80, FROM_WAN, TH_FIN | TH_ACK); /* one side is enough */
	packet(1, 3, 25, FROM_LAN, TH_RST);
	CU_ASSERT(are(1, 1, 0));
	packet(0, 5, 80, FROM_LAN, TH_SYN); /* refused */
	packet(0, 5, 80, FROM_WAN, TH_RST | TH_ACK);
	packet(0, 6, 80, FROM_LAN, TH_ACK); /* under way before we came, one side as yet */
	CU_ASSERT(are(1, 1, 0));
	packet(0, 6, 80, FROM_WAN, TH_ACK);
	CU_ASSERT(are(1, 2, 0));
	handshake(1, 3, 25); /* the same ports again */
	CU_ASSERT(are(1, 2, 1));
	stop();
}

static void test_forgotten(void)
{
	uint64_t live;

	start();
	handshake(0, 1, 80);
	handshake(1, 2, 80);
	now_ms += HOUR_MS / 2;
	packet(1, 2, 80, FROM_LAN, TH_ACK);
	now_ms += HOUR_MS / 2;
	for (unsigned w = 0; w < WORKERS; w++)
		flow_table_age(worker[w].flows, now_ms, flow_table_buckets(worker[w].flows));
	CU_ASSERT(are(0, 1, 0));
	/* More than there is room for. */
	for (uint32_t id = 100; id < 300; id++) {
		now_ms += 100;
		handshake(0, id, 25);
	}
	struct flow_table_stats stats;
	flow_table_stats(worker[0].flows, &stats);
	live = stats.live;
	CU_ASSERT(live > 0 && live < 200);
	CU_ASSERT(are(0, 1, live));
	stop();
}

static void test_policy(void)
{
	start();
	handshake(0, 1, 80);
	handshake(1, 2, 80);
	handshake(1, 3, 8080);
	CU_ASSERT(are(1, 2, 0));
	/* Before any packet, and once more, as it is remembered then. */
	use(CONFIG("8080"), 2);
	CU_ASSERT(are(2, 1, 0));
	CU_ASSERT(are(2, 1, 0));
	packet(0, 1, 80, FROM_LAN, TH_ACK);
	packet(1, 3, 8080, FROM_LAN, TH_ACK);
	CU_ASSERT(are(2, 1, 0));
	use(CONFIG("80"), 3);
	CU_ASSERT(are(1, 2, 0));
	packet(1, 2, 80, FROM_LAN, TH_FIN | TH_ACK);
	CU_ASSERT(are(1, 1, 0));
	stop();
}

UNIT_TESTS("connections", {"open and close", test_open_and_close}, {"forgotten", test_forgotten},
	{"policy", test_policy})
