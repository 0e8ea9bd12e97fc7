/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The compiled rules against a matcher that tries one rule after the other, on random rules and
 * flows made to hit their edges.
 */
#include <rte_errno.h>

#include "dataplane/classify/classify.h"
#include "dataplane/packet/parse.h"
#include "tests/unit/packet/frames.h"
#include "tests/unit/packet/mbufs.h"
#include "tests/unit/unit.h"

#define RULES 1500
#define FLOWS 20000
#define PACKETS 200

static uint32_t random32(void)
{
	static uint32_t state = 88675123;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

static bool one_in(unsigned n)
{
	return random32() % n == 0;
}

static void start(void)
{
	mbufs_start("512");
}

/* A match that takes everything. */
static struct policy_match any(void)
{
	return (struct policy_match){
		.proto_max = 255,
		.sport_max = 65535,
		.dport_max = 65535,
		.vlan_max = 4095,
		.dscp_max = 63,
		.bridge = -1,
	};
}

/* Few different addresses, so that prefixes and flows meet. */
static void random_address(uint8_t address[16], unsigned family)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (family == 4) {
		memcpy(address, mapped, 12);
		address[12] = 10;
		address[13] = random32() % 2;
		address[14] = random32() % 2 * 128;
		address[15] = random32() % 4;
	} else {
		memset(address, 0, 16);
		address[0] = 0x20;
		address[3] = random32() % 2;
		address[4] = random32() % 2;
		address[9] = random32() % 2;
		address[15] = random32() % 4;
	}
}

static void random_prefix(struct policy_prefix *prefix, unsigned family)
{
	static const uint8_t lengths[2][6] = {{0, 8, 15, 16, 30, 32}, {0, 16, 31, 33, 126, 128}};

	prefix->address.family = (uint8_t)family;
	random_address(prefix->address.bytes, family);
	prefix->length = lengths[family == 6][random32() % 6];
}

static void random_range(uint16_t *min, uint16_t *max, unsigned values)
{
	*min = (uint16_t)(random32() % values);
	*max = (uint16_t)(*min + (one_in(2) ? 0 : random32() % (values - *min)));
}

static void random_match(struct policy_match *m)
{
	unsigned family = one_in(2) ? 4 : 6;
	uint16_t low, high;

	*m = any();
	if (!one_in(4))
		m->proto_min = m->proto_max = one_in(2) ? 6 : 17;
	if (!one_in(3))
		random_prefix(&m->src, family);
	if (!one_in(3))
		random_prefix(&m->dst, one_in(50) ? 10 - family : family);
	if (one_in(3))
		random_range(&m->sport_min, &m->sport_max, 50);
	if (!one_in(3))
		random_range(&m->dport_min, &m->dport_max, 50);
	if (one_in(4))
		random_range(&m->vlan_min, &m->vlan_max, 4);
	if (one_in(4)) {
		random_range(&low, &high, 64);
		m->dscp_min = (uint8_t)low;
		m->dscp_max = (uint8_t)high;
	}
	m->direction = one_in(2) ? DIRECTION_ANY : one_in(2) ? DIRECTION_UP : DIRECTION_DOWN;
	m->bridge = one_in(3) ? (int16_t)(random32() % 3) : -1;
}

static bool in_prefix(const struct policy_prefix *prefix, const uint8_t *address, unsigned family)
{
	unsigned skip = family == 4 ? 96 : 0;

	if (prefix->address.family == 0)
		return true;
	if (prefix->address.family != family)
		return false;
	for (unsigned bit = skip; bit < skip + prefix->length; bit++)
		if ((prefix->address.bytes[bit / 8] ^ address[bit / 8]) >> (7 - bit % 8) & 1)
			return false;
	return true;
}

/* The first rule that matches, -1: none. */
static int reference(const struct policy *policy, const struct flow_key *key, unsigned src,
	enum policy_direction direction, unsigned vlan, unsigned dscp)
{
	unsigned family = key->scope & FLOW_KEY_IPV6 ? 6 : 4, dst = !src;
	unsigned sport = rte_be_to_cpu_16(key->port[src]), dport = rte_be_to_cpu_16(key->port[dst]);

	if (key->proto == 1 || key->proto == 58)
		sport = dport = 0;
	for (uint32_t i = 0; i < policy->rule_count; i++) {
		const struct policy_match *m = &policy->rules[i].match;

		if (key->proto >= m->proto_min && key->proto <= m->proto_max &&
			in_prefix(&m->src, key->addr[src], family) &&
			in_prefix(&m->dst, key->addr[dst], family) && sport >= m->sport_min &&
			sport <= m->sport_max && dport >= m->dport_min && dport <= m->dport_max &&
			vlan >= m->vlan_min && vlan <= m->vlan_max && dscp >= m->dscp_min &&
			dscp <= m->dscp_max &&
			(m->direction == DIRECTION_ANY || m->direction == direction) &&
			(m->bridge < 0 || m->bridge == (key->scope & 0x3f)))
			return (int)i;
	}
	return -1;
}

static void random_key(struct flow_key *key)
{
	unsigned family = one_in(2) ? 4 : 6;

	memset(key, 0, sizeof(*key));
	random_address(key->addr[0], family);
	random_address(key->addr[1], family);
	key->port[0] = rte_cpu_to_be_16((uint16_t)(random32() % 52));
	key->port[1] = rte_cpu_to_be_16((uint16_t)(random32() % 52));
	key->proto = one_in(8) ? (family == 4 ? 1 : 58) : one_in(2) ? 6 : 17;
	key->scope = (uint8_t)(random32() % 4 | (family == 6 ? FLOW_KEY_IPV6 : 0));
	if (one_in(20))
		key->scope |= FLOW_KEY_FRAGMENT;
}

static void test_random(void)
{
	static struct policy_rule rules[RULES];
	static uint32_t class_ids[16];
	unsigned counts[] = {1, 10, 100, RULES}, wrong = 0, matched = 0, none = 0;

	start();
	for (unsigned i = 0; i < RTE_DIM(class_ids); i++)
		class_ids[i] = 100 + i;
	for (unsigned c = 0; c < RTE_DIM(counts); c++) {
		struct policy policy = {.rules = rules, .rule_count = counts[c]};
		struct classifier *classifier;

		for (unsigned i = 0; i < counts[c]; i++) {
			random_match(&rules[i].match);
			rules[i].class_index = random32() % RTE_DIM(class_ids);
		}
		classifier = classifier_create(&policy, class_ids, SOCKET_ID_ANY);
		CU_ASSERT_PTR_NOT_NULL_FATAL(classifier);
		for (unsigned i = 0; i < FLOWS; i++) {
			struct flow_key key;
			uint8_t src = (uint8_t)(random32() % 2), dscp = (uint8_t)(random32() % 64);
			enum policy_direction direction = one_in(2) ? DIRECTION_UP : DIRECTION_DOWN;
			uint16_t vlan = (uint16_t)(random32() % 5);
			int expected, found;

			random_key(&key);
			expected = reference(&policy, &key, src, direction, vlan, dscp);
			found = classify_explain(classifier, &key, src, direction, vlan, dscp);
			wrong += expected != found;
			matched += expected > 0;
			none += expected < 0;
		}
		classifier_destroy(classifier);
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT(matched > FLOWS / 2);
	CU_ASSERT(none > FLOWS / 4);
}

/* Make a flow and its first packet. */
static void make_flow(struct rte_mbuf *m, struct flow *f)
{
	struct pkt *p = pkt_of(m);

	memset(f, 0, sizeof(*f));
	random_key(&f->key);
	f->flags = FLOW_LIVE | FLOW_NEW;
	f->initiator = random32() % 2;
	f->lan_dir = random32() % 2;
	f->dscp = random32() % 64;
	memset(p, 0, sizeof(*p));
	p->flow = f;
	p->flags = PKT_IP | (f->key.scope & FLOW_KEY_IPV6 ? PKT_IPV6 : 0);
}

static void test_bulk(void)
{
	static struct policy_rule rules[100];
	static struct flow flows[PACKETS];
	struct policy policy = {.rules = rules, .rule_count = 100};
	uint32_t class_ids[4] = {7, 8, 9, 10}, other_ids[4] = {1, 2, 3, 4};
	struct classifier *first, *second;
	struct rte_mbuf *m[PACKETS];
	struct rte_mempool *pool;

	start();
	pool = mbufs_pool("classify", 511, 256);
	for (unsigned i = 0; i < 100; i++) {
		random_match(&rules[i].match);
		rules[i].match.vlan_min = 0;
		rules[i].match.vlan_max = 4095;
		rules[i].class_index = random32() % 4;
	}
	first = classifier_create(&policy, class_ids, SOCKET_ID_ANY);
	second = classifier_create(&policy, other_ids, SOCKET_ID_ANY);
	CU_ASSERT_PTR_NOT_NULL_FATAL(first);
	CU_ASSERT_PTR_NOT_NULL_FATAL(second);
	for (unsigned i = 0; i < PACKETS; i++) {
		m[i] = mbufs_make(pool, "", 0);
		make_flow(m[i], &flows[i]);
	}
	/* One flow twice, and the one of all that has no flow. */
	pkt_of(m[5])->flow = &flows[4];
	*pkt_of(m[5]) = *pkt_of(m[4]);
	memset(&flows[9], 0, sizeof(flows[9]));
	flows[9].flags = FLOW_LIVE | FLOW_OTHER;
	flows[9].class_id = 55;
	pkt_of(m[9])->flags = 0;

	classify_bulk(first, m, PACKETS, 1);
	for (unsigned i = 0; i < PACKETS; i++) {
		const struct flow *f = pkt_of(m[i])->flow;
		int rule = reference(&policy, &f->key, f->initiator,
			f->initiator == f->lan_dir ? DIRECTION_UP : DIRECTION_DOWN, 0, f->dscp);

		CU_ASSERT_EQUAL(f->policy_generation, 1);
		CU_ASSERT_FALSE(f->flags & FLOW_NEW);
		CU_ASSERT_EQUAL(f->class_id,
			f->flags & FLOW_OTHER || rule < 0 ? 7 : class_ids[rules[rule].class_index]);
	}
	/* The same policy again: nothing is looked at. Another: everything is. */
	flows[0].class_id = 1234;
	classify_bulk(second, m, PACKETS, 1);
	CU_ASSERT_EQUAL(flows[0].class_id, 1234);
	classify_bulk(second, m, PACKETS, 2);
	for (unsigned i = 0; i < PACKETS; i++)
		CU_ASSERT(pkt_of(m[i])->flow->class_id >= 1 && pkt_of(m[i])->flow->class_id <= 4);
	/* A restarted flow of the same policy. */
	flows[0].flags |= FLOW_NEW;
	classify_bulk(first, m, 1, 2);
	CU_ASSERT(flows[0].class_id >= 7);
	classifier_destroy(first);
	classifier_destroy(second);
	classifier_destroy(NULL);
}

static void test_vlan(void)
{
	static const struct parse_context context = {.hash_seed = 3};
	struct policy_rule rules[3] = {{.match = any(), .class_index = 1},
		{.match = any(), .class_index = 2}, {.match = any(), .class_index = 3}};
	struct policy policy = {.rules = rules, .rule_count = 3};
	uint32_t class_ids[4] = {0, 1, 2, 3}, expected[3] = {2, 1, 3};
	struct classifier *classifier;
	struct rte_mempool *pool;

	start();
	pool = mbufs_pool("vlan", 31, 2048);
	rules[0].match.vlan_min = rules[0].match.vlan_max = 100;
	rules[1].match.vlan_max = 0; /* untagged */
	classifier = classifier_create(&policy, class_ids, SOCKET_ID_ANY);
	CU_ASSERT_PTR_NOT_NULL_FATAL(classifier);
	for (unsigned tags = 0; tags < 3; tags++) {
		struct flow flow = {.flags = FLOW_LIVE | FLOW_NEW};
		struct rte_mbuf *m;
		struct frame f;

		put_ethernet(&f, tags == 0 ? 0x0800 : 0x8100);
		for (unsigned i = 1; i <= tags; i++) /* 100; then 100 and 101 */
			put_tag(&f, 99 + i, i < tags ? 0x8100 : 0x0800);
		put_ipv4(&f, 17, 1, 2);
		put_udp(&f, 1, 2, 30);
		frame_finish(&f);
		m = mbufs_make(pool, f.bytes, f.len);
		packet_parse_bulk(&m, 1, &context, 0);
		flow.key = pkt_of(m)->key;
		pkt_of(m)->flow = &flow;
		classify_bulk(classifier, &m, 1, 1);
		CU_ASSERT_EQUAL(flow.class_id, expected[tags]);
		rte_pktmbuf_free(m);
	}
	classifier_destroy(classifier);
}

static void test_no_rules(void)
{
	struct policy policy = {0};
	uint32_t class_id = 42;
	struct classifier *classifier;
	struct rte_mbuf *m;
	struct flow flow;

	start();
	classifier = classifier_create(&policy, &class_id, SOCKET_ID_ANY);
	CU_ASSERT_PTR_NOT_NULL_FATAL(classifier);
	m = mbufs_make(mbufs_pool("none", 31, 256), "", 0);
	for (unsigned i = 0; i < 10; i++) {
		make_flow(m, &flow);
		classify_bulk(classifier, &m, 1, 1);
		CU_ASSERT_EQUAL(flow.class_id, 42);
		CU_ASSERT_EQUAL(classify_explain(classifier, &flow.key, 0, DIRECTION_UP, 0, 0), -1);
	}
	classifier_destroy(classifier);
}

/* The same rules for the same class ids need no other classifier. */
static void test_sharing(void)
{
	struct policy_rule rules[2], other[2];
	struct policy policy = {.rules = rules, .rule_count = 2};
	struct policy next = {.rules = other, .rule_count = 2};
	uint32_t ids[3] = {0, 7, 8}, moved[3] = {0, 8, 7};
	struct classifier *classifier;
	struct flow_key key = {.proto = 6};

	start();
	memset(rules, 0, sizeof(rules));
	rules[0].match = rules[1].match = any();
	rules[0].match.proto_min = 17;
	rules[0].class_index = 1;
	rules[1].class_index = 2;
	memcpy(other, rules, sizeof(rules));
	other[0].line = 99;
	CU_ASSERT_TRUE(classifier_is_same(&policy, ids, &next, ids));
	CU_ASSERT_FALSE(classifier_is_same(&policy, ids, &next, moved));
	/* Classes in another order, which keep their ids. */
	other[0].class_index = 2;
	other[1].class_index = 1;
	CU_ASSERT_FALSE(classifier_is_same(&policy, ids, &next, ids));
	CU_ASSERT_TRUE(classifier_is_same(&policy, ids, &next, moved));
	memcpy(other, rules, sizeof(rules));
	other[1].match.dport_min = 1;
	CU_ASSERT_FALSE(classifier_is_same(&policy, ids, &next, ids));
	memcpy(other, rules, sizeof(rules));
	next.rule_count = 1;
	CU_ASSERT_FALSE(classifier_is_same(&policy, ids, &next, ids));

	classifier = classifier_create(&policy, ids, SOCKET_ID_ANY);
	CU_ASSERT_PTR_NOT_NULL_FATAL(classifier);
	CU_ASSERT_PTR_EQUAL(classifier_share(classifier), classifier);
	classifier_destroy(classifier);
	CU_ASSERT_EQUAL(classify_explain(classifier, &key, 0, DIRECTION_UP, 0, 0), 1);
	classifier_destroy(classifier);
}

UNIT_TESTS("classify", {"random rules against a reference", test_random}, {"bursts", test_bulk},
	{"VLAN", test_vlan}, {"no rules", test_no_rules}, {"sharing", test_sharing})
