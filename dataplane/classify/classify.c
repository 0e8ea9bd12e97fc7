/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rules through rte_acl, see classify.h. Rules and flows are brought into one form: a struct of
 * fields in network order per flow, a range, prefix or mask per field and rule. A rule that names
 * no address stands in both contexts.
 */
#include "dataplane/classify/classify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_acl.h>
#include <rte_branch_prediction.h>
#include <rte_byteorder.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <rte_malloc.h>

#include "dataplane/packet/parse.h"

#define BURST 64 /* flows classified together */
#define VLAN_ID_MAX 4094
#define CONTEXTS_MAX 128
/* Rules compiled together: from PART_MIN on twice as many for as long as the whole set can be
 * expected to take SET_BUILD_NS at most. */
#define PART_MIN 64u
#define SET_BUILD_NS UINT64_C(2000000000)

#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_SCTP 132
#define PROTO_UDPLITE 136

/* What of a flow is matched. rte_acl reads one byte and then groups of four. */
struct flow_fields {
	uint8_t proto;
	uint8_t unused[3];
	uint16_t sport, dport;
	uint16_t vlan;
	uint8_t dscp;
	uint8_t side;	  /* SIDE_UP and the bridge's index */
	uint32_t addr[8]; /* source and destination; IPv4 uses the first two */
};
#define SIDE_UP 0x80

enum field {
	FIELD_PROTO,
	FIELD_SPORT,
	FIELD_DPORT,
	FIELD_VLAN,
	FIELD_DSCP,
	FIELD_SIDE,
	FIELD_ADDR, /* two of them for IPv4, eight for IPv6 */
	FIELDS4 = FIELD_ADDR + 2,
	FIELDS6 = FIELD_ADDR + 8,
};

RTE_ACL_RULE_DEF(acl_rule, FIELDS6);

/* The rules of one family in the order of the policy, cut into contexts: see build_set(). */
struct rule_set {
	struct rte_acl_ctx *acl[CONTEXTS_MAX];
	unsigned count;
};

struct classifier {
	unsigned users; /* plans; shared by the control thread and the one that builds plans */
	struct rule_set set4, set6;
	uint32_t default_class;
	uint32_t rule_class[]; /* class id of each rule */
};

static void define_field(struct rte_acl_config *config, unsigned field, uint8_t type, uint8_t size,
	uint8_t group, size_t offset)
{
	config->defs[field] = (struct rte_acl_field_def){
		.type = type,
		.size = size,
		.field_index = (uint8_t)field,
		.input_index = group,
		.offset = (uint32_t)offset,
	};
}

static void define_fields(struct rte_acl_config *config, unsigned fields)
{
	memset(config, 0, sizeof(*config));
	config->num_categories = 1;
	config->num_fields = fields;
	define_field(config, FIELD_PROTO, RTE_ACL_FIELD_TYPE_RANGE, 1, 0,
		offsetof(struct flow_fields, proto));
	define_field(config, FIELD_SPORT, RTE_ACL_FIELD_TYPE_RANGE, 2, 1,
		offsetof(struct flow_fields, sport));
	define_field(config, FIELD_DPORT, RTE_ACL_FIELD_TYPE_RANGE, 2, 1,
		offsetof(struct flow_fields, dport));
	define_field(config, FIELD_VLAN, RTE_ACL_FIELD_TYPE_RANGE, 2, 2,
		offsetof(struct flow_fields, vlan));
	define_field(config, FIELD_DSCP, RTE_ACL_FIELD_TYPE_RANGE, 1, 2,
		offsetof(struct flow_fields, dscp));
	define_field(config, FIELD_SIDE, RTE_ACL_FIELD_TYPE_BITMASK, 1, 2,
		offsetof(struct flow_fields, side));
	for (unsigned i = FIELD_ADDR; i < fields; i++)
		define_field(config, i, RTE_ACL_FIELD_TYPE_MASK, 4, (uint8_t)(3 + i - FIELD_ADDR),
			offsetof(struct flow_fields, addr) + 4 * (i - FIELD_ADDR));
}

/* A prefix of 32 * words bits as that many fields. */
static void set_prefix(
	struct rte_acl_field *field, const struct policy_prefix *prefix, unsigned words)
{
	const uint8_t *bytes = prefix->address.bytes + 16 - 4 * words;
	unsigned length = prefix->address.family != 0 ? prefix->length : 0;

	for (unsigned i = 0; i < words; i++, bytes += 4) {
		field[i].value.u32 = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
				     (uint32_t)bytes[2] << 8 | bytes[3];
		field[i].mask_range.u32 = length > 32 ? 32 : length;
		length -= field[i].mask_range.u32;
	}
}

/* A rule in rte_acl's form. False if it cannot match any flow of this family (4 or 6). */
static bool make_rule(struct acl_rule *rule, const struct policy_match *m, unsigned family)
{
	unsigned words = family == 4 ? 1 : 4;
	bool all_vlans = m->vlan_min == 0 && m->vlan_max >= VLAN_ID_MAX;

	if ((m->src.address.family != 0 && m->src.address.family != family) ||
		(m->dst.address.family != 0 && m->dst.address.family != family))
		return false;
	memset(rule, 0, sizeof(*rule));
	rule->field[FIELD_PROTO].value.u8 = m->proto_min;
	rule->field[FIELD_PROTO].mask_range.u8 = m->proto_max;
	rule->field[FIELD_SPORT].value.u16 = m->sport_min;
	rule->field[FIELD_SPORT].mask_range.u16 = m->sport_max;
	rule->field[FIELD_DPORT].value.u16 = m->dport_min;
	rule->field[FIELD_DPORT].mask_range.u16 = m->dport_max;
	rule->field[FIELD_VLAN].value.u16 = m->vlan_min;
	rule->field[FIELD_VLAN].mask_range.u16 = all_vlans ? UINT16_MAX : m->vlan_max;
	rule->field[FIELD_DSCP].value.u8 = m->dscp_min;
	rule->field[FIELD_DSCP].mask_range.u8 = m->dscp_max;
	if (m->direction != DIRECTION_ANY) {
		rule->field[FIELD_SIDE].mask_range.u8 |= SIDE_UP;
		if (m->direction == DIRECTION_UP)
			rule->field[FIELD_SIDE].value.u8 |= SIDE_UP;
	}
	if (m->bridge >= 0) {
		rule->field[FIELD_SIDE].mask_range.u8 |= (uint8_t)~SIDE_UP;
		rule->field[FIELD_SIDE].value.u8 |= (uint8_t)m->bridge;
	}
	set_prefix(&rule->field[FIELD_ADDR], &m->src, words);
	set_prefix(&rule->field[FIELD_ADDR + words], &m->dst, words);
	return true;
}

/* Compile n rules (of RTE_ACL_RULE_SZ(fields) bytes each) into one context. */
static int build_context(
	struct rte_acl_ctx **acl, const char *rules, uint32_t n, unsigned fields, int socket)
{
	static unsigned serial; /* rte_acl_create() gives an existing context for a used name */
	struct rte_acl_config config;
	char name[RTE_ACL_NAMESIZE];
	int err;

	snprintf(name, sizeof(name), "rules%u", __atomic_fetch_add(&serial, 1, __ATOMIC_RELAXED));
	*acl = rte_acl_create(&(struct rte_acl_param){
		.name = name,
		.socket_id = socket,
		.rule_size = RTE_ACL_RULE_SZ(fields),
		.max_rule_num = n,
	});
	if (*acl == NULL)
		return -rte_errno;
	define_fields(&config, fields);
	err = rte_acl_add_rules(*acl, (const struct rte_acl_rule *)(const void *)rules, n);
	if (err == 0)
		err = rte_acl_build(*acl, &config);
	if (err != 0)
		rte_acl_free(*acl);
	return err;
}

static uint64_t thread_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* With parts of `size` rules, one of which took part_ns: would parts of twice as many be built in
 * time too? Each may take four times as long. */
static bool may_grow(uint32_t size, uint32_t n, uint64_t part_ns)
{
	return size < n && 4 * part_ns * ((n + 2 * size - 1) / (2 * size)) < SET_BUILD_NS;
}

/*
 * Compile n rules into few contexts, in bounded time. Rules with ranges, prefixes and wildcards in
 * many fields multiply each other in rte_acl's tries: twice as many take four to eight times as
 * long, until it gives up. Such rules are cut into parts, each of which is one more look-up for a
 * new flow; others stay together.
 */
static int build_set(
	struct rule_set *set, const char *rules, uint32_t n, unsigned fields, int socket)
{
	uint32_t size = PART_MIN, all = n;
	bool grows = true;

	while (n > 0) {
		uint64_t start_ns = thread_cpu_ns();
		uint32_t part = RTE_MIN(size, n);
		struct rte_acl_ctx *acl;
		int err;

		if (set->count == CONTEXTS_MAX)
			return -ENOMEM;
		while ((err = build_context(&acl, rules, part, fields, socket)) != 0 && part > 1) {
			grows = false;
			part /= 2;
		}
		if (err != 0)
			return err;
		grows = grows && may_grow(size, all, thread_cpu_ns() - start_ns);
		if (grows) {
			rte_acl_free(acl);
			size *= 2;
			continue;
		}
		set->acl[set->count++] = acl;
		rules += (size_t)part * RTE_ACL_RULE_SZ(fields);
		n -= part;
	}
	return 0;
}

/* Compile what concerns one family (4 or 6). 0 or a negative errno. */
static int build_family(
	struct rule_set *set, const struct policy *policy, unsigned family, int socket)
{
	unsigned fields = family == 4 ? FIELDS4 : FIELDS6;
	uint32_t n = 0;
	char *rules;
	int err;

	rules = calloc(policy->rule_count + 1, RTE_ACL_RULE_SZ(fields));
	if (rules == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < policy->rule_count; i++) {
		struct acl_rule rule;

		if (!make_rule(&rule, &policy->rules[i].match, family))
			continue;
		rule.data.category_mask = 1;
		rule.data.priority = (int32_t)(policy->rule_count - i);
		rule.data.userdata = i + 1;
		memcpy(rules + (size_t)n++ * RTE_ACL_RULE_SZ(fields), &rule,
			RTE_ACL_RULE_SZ(fields));
	}
	err = build_set(set, rules, n, fields, socket);
	free(rules);
	return err;
}

struct classifier *classifier_create(
	const struct policy *policy, const uint32_t *class_ids, int socket)
{
	struct classifier *c;
	int err, level;

	c = rte_zmalloc_socket("classifier",
		sizeof(*c) + policy->rule_count * sizeof(c->rule_class[0]), 64, socket);
	if (c == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	c->users = 1;
	c->default_class = class_ids[0];
	for (uint32_t i = 0; i < policy->rule_count; i++)
		c->rule_class[i] = class_ids[policy->rules[i].class_index];
	/* rte_acl reports as errors what build_set() expects and gets over. */
	level = rte_log_get_level(RTE_LOGTYPE_ACL);
	rte_log_set_level(RTE_LOGTYPE_ACL, RTE_LOG_CRIT);
	err = build_family(&c->set4, policy, 4, socket);
	if (err == 0)
		err = build_family(&c->set6, policy, 6, socket);
	if (level >= 0)
		rte_log_set_level(RTE_LOGTYPE_ACL, (uint32_t)level);
	if (err != 0) {
		classifier_destroy(c);
		rte_errno = -err;
		return NULL;
	}
	return c;
}

struct classifier *classifier_share(struct classifier *c)
{
	__atomic_add_fetch(&c->users, 1, __ATOMIC_RELAXED);
	return c;
}

bool classifier_is_same(const struct policy *a, const uint32_t *a_class_ids, const struct policy *b,
	const uint32_t *b_class_ids)
{
	if (a->rule_count != b->rule_count || a_class_ids[0] != b_class_ids[0])
		return false;
	for (uint32_t i = 0; i < a->rule_count; i++) {
		const struct policy_rule *x = &a->rules[i], *y = &b->rules[i];

		/* Padding may make equal ones differ: then it is built anew, and that is all. */
		if (a_class_ids[x->class_index] != b_class_ids[y->class_index] ||
			memcmp(&x->match, &y->match, sizeof(x->match)) != 0)
			return false;
	}
	return true;
}

void classifier_destroy(struct classifier *c)
{
	if (c == NULL || __atomic_sub_fetch(&c->users, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (unsigned i = 0; i < c->set4.count; i++)
		rte_acl_free(c->set4.acl[i]);
	for (unsigned i = 0; i < c->set6.count; i++)
		rte_acl_free(c->set6.acl[i]);
	rte_free(c);
}

static void fill_fields(struct flow_fields *f, const struct flow_key *key, uint8_t initiator,
	bool up, uint16_t vlan, uint8_t dscp)
{
	uint8_t src = initiator & 1, dst = !src;
	bool has_ports = key->proto == PROTO_TCP || key->proto == PROTO_UDP ||
			 key->proto == PROTO_SCTP || key->proto == PROTO_UDPLITE;

	memset(f, 0, sizeof(*f));
	f->proto = key->proto;
	/* The identifier of an ICMP echo is no port. */
	f->sport = has_ports ? key->port[src] : 0;
	f->dport = has_ports ? key->port[dst] : 0;
	f->vlan = rte_cpu_to_be_16(vlan);
	f->dscp = dscp;
	f->side = (uint8_t)((up ? SIDE_UP : 0) |
			    (key->scope & (uint8_t) ~(FLOW_KEY_IPV6 | FLOW_KEY_FRAGMENT)));
	if (key->scope & FLOW_KEY_IPV6) {
		memcpy(&f->addr[0], key->addr[src], 16);
		memcpy(&f->addr[4], key->addr[dst], 16);
	} else {
		memcpy(&f->addr[0], key->addr[src] + 12, 4);
		memcpy(&f->addr[1], key->addr[dst] + 12, 4);
	}
}

/* Match n <= BURST flows of one family: rule[i] is the rule's index + 1, 0 for none. */
static void match(
	const struct rule_set *set, const struct flow_fields *fields, uint32_t *rule, unsigned n)
{
	memset(rule, 0, n * sizeof(*rule));
	for (unsigned k = 0; k < set->count; k++) {
		const uint8_t *data[BURST];
		uint32_t result[BURST];
		uint8_t index[BURST];
		unsigned left = 0;

		for (unsigned i = 0; i < n; i++) {
			if (rule[i] != 0)
				continue;
			data[left] = (const uint8_t *)&fields[i];
			index[left++] = (uint8_t)i;
		}
		if (left == 0)
			return;
		rte_acl_classify(set->acl[k], data, result, left, 1);
		for (unsigned i = 0; i < left; i++)
			rule[index[i]] = result[i];
	}
}

/* Flows of one family waiting to be matched together. */
struct batch {
	struct flow_fields fields[BURST];
	struct flow *flow[BURST];
	unsigned n;
};

static void flush(const struct classifier *c, const struct rule_set *set, struct batch *batch)
{
	uint32_t rule[BURST];

	match(set, batch->fields, rule, batch->n);
	for (unsigned i = 0; i < batch->n; i++)
		batch->flow[i]->class_id =
			rule[i] != 0 ? c->rule_class[rule[i] - 1] : c->default_class;
	batch->n = 0;
}

static __attribute__((noinline)) void classify_new(
	const struct classifier *c, struct rte_mbuf **pkts, unsigned n, uint32_t generation)
{
	struct batch batch[2]; /* IPv4, IPv6 */

	batch[0].n = batch[1].n = 0;
	for (unsigned i = 0; i < n; i++) {
		const struct pkt *p = pkt_of(pkts[i]);
		struct flow *f = p->flow;
		struct batch *b = &batch[(p->flags & PKT_IPV6) != 0];

		if (!(f->flags & FLOW_NEW) && f->policy_generation == generation)
			continue;
		f->flags &= (uint8_t)~FLOW_NEW;
		f->policy_generation = generation;
		if (f->flags & FLOW_OTHER) {
			f->class_id = c->default_class;
			continue;
		}
		fill_fields(&b->fields[b->n], &f->key, f->initiator, f->initiator == f->lan_dir,
			p->flags & PKT_ENCAPSULATED ? packet_vlan_id(pkts[i]) : 0, f->dscp);
		b->flow[b->n++] = f;
	}
	flush(c, &c->set4, &batch[0]);
	flush(c, &c->set6, &batch[1]);
}

void classify_bulk(
	const struct classifier *c, struct rte_mbuf **pkts, unsigned n, uint32_t policy_generation)
{
	for (unsigned first = 0; first < n; first += BURST) {
		unsigned end = first + BURST < n ? first + BURST : n;

		for (unsigned i = first; i < end; i++) {
			const struct flow *f = pkt_of(pkts[i])->flow;

			if (unlikely(f->flags & FLOW_NEW ||
				     f->policy_generation != policy_generation)) {
				classify_new(c, pkts + i, end - i, policy_generation);
				break;
			}
		}
	}
}

int classify_explain(const struct classifier *c, const struct flow_key *key, uint8_t initiator,
	enum policy_direction direction, uint16_t vlan, uint8_t dscp)
{
	struct flow_fields fields;
	uint32_t rule;

	fill_fields(&fields, key, initiator, direction == DIRECTION_UP, vlan, dscp);
	match(key->scope & FLOW_KEY_IPV6 ? &c->set6 : &c->set4, &fields, &rule, 1);
	return (int)rule - 1;
}
