/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Printing: a random policy, printed and read again, is the same policy, field by field. The fields
 * are compared here one by one, so that an option missing from the tables shows.
 */
#include "controlplane/policy/units.h"
#include "tests/unit/policy/policy_helper.h"

#define POLICIES 300

static uint64_t seed = 42;

static uint64_t within(uint64_t low, uint64_t high)
{
	return random_within(&seed, low, high);
}

static bool often(void)
{
	return within(0, 2) > 0;
}

static uint64_t random_rate(void)
{
	return often() ? within(UNITS_RATE_MIN_BPS, 10000000) : within(1, 4000) * 100000000;
}

static struct policy_prefix random_prefix(uint8_t family)
{
	struct policy_prefix p = {.address.family = family};
	unsigned bits = family == 4 ? 32 : 128, first = family == 4 ? 96 : 0;

	p.length = (uint8_t)within(0, bits);
	if (family == 4)
		p.address.bytes[10] = p.address.bytes[11] = 0xff;
	for (unsigned bit = first; bit < first + p.length; bit++)
		if (within(0, 1))
			p.address.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	/* ::ffff:a.b.c.d is IPv4's own form. */
	if (family == 6)
		p.address.bytes[0] = p.length >= 8 ? 0x20 : 0;
	return p;
}

static void address4(struct policy_address *a, uint8_t b, uint8_t c, uint8_t d)
{
	*a = (struct policy_address){.family = 4,
		.bytes = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = b, [14] = c, [15] = d}};
}

static void address6(struct policy_address *a, uint8_t b, uint8_t c)
{
	*a = (struct policy_address){.family = 6, .bytes = {[0] = 0xfd, [5] = b, [15] = c}};
}

static void random_appliance(struct policy_appliance *a)
{
	strcpy(a->name, often() ? "hq-1.x_y" : "sluice");
	for (uint16_t n = (uint16_t)within(1, POLICY_WORKERS_MAX); a->worker_count < n;)
		a->workers[a->worker_count] = (uint16_t)(a->worker_count + within(0, 1) * 64),
		a->worker_count++;
	a->control_cpu = (uint16_t)within(0, 1023);
	a->poll = (enum policy_poll)within(0, 1);
	a->hugepages = often();
	strcpy(a->store_directory, often() ? "/var/lib/a \"b\"" : "");
	a->dry_run_store_mb = often() ? (uint32_t)within(16, 65536) : 0;
	a->memory_mb = often() ? (uint32_t)within(64, 1 << 20) : 0;
	a->flows = (uint32_t)within(1024, 16777216);
	a->buffers = often() ? (uint32_t)within(1024, 16777216) : 0;
	a->queues = (uint32_t)within(64, 4194304);
	a->classes = (uint32_t)within(64, POLICY_CLASSES_MAX);
	a->hosts = (uint32_t)within(1, 4194304);
	a->distributions = (uint32_t)within(1, POLICY_CLASSES_MAX);
	a->mtu = (uint16_t)within(1500, 9000);
	strcpy(a->group, often() ? "adm" : "");
}

static void random_bridge(struct policy *p, uint8_t i)
{
	struct policy_bridge *b = &p->bridges[i];

	snprintf(b->name, sizeof(b->name), "b%u", i);
	snprintf(b->lan, sizeof(b->lan), "net_pcap%u,rx_pcap=\"q\\uote\",x=%u", i, i);
	snprintf(b->wan, sizeof(b->wan), "0000:%02x:00.0", i);
	/* Every bridge can carry a peer of either family. */
	address4(&b->address4.address, i, 0, 1);
	b->address4.length = 16;
	address6(&b->address6.address, i, 1);
	b->address6.length = 64;
	if (often())
		address4(&b->gateway4, i, 0, 254);
	if (often())
		address6(&b->gateway6, i, 254);
	b->vlan = often() ? (uint16_t)within(1, 4094) : 0;
	b->up_bps = often() ? UNITS_RATE_MAX_BPS - within(0, 1000) : 0;
	b->down_bps = often() ? UNITS_RATE_MAX_BPS - within(0, 1000) : 0;
	b->overhead_bytes = (int32_t)within(0, 320) - 64;
	b->frame_min_bytes = (uint32_t)within(0, 256);
	b->burst_ns = (uint32_t)within(10000, 1000000000);
	b->stamp_reflector = (enum policy_reflector)within(0, 2);
	b->stamp_port = (uint16_t)(2 + within(0, 9000) + i * 9362u); /* not random_peer()'s */
	b->stamp_rate = (uint16_t)within(1, 10000);
	b->stamp_stateful = often();
}

static struct policy_burst random_burst(void)
{
	struct policy_burst bytes = {.bytes = (uint32_t)within(9000, 1000000000)};
	struct policy_burst time = {.ns = (uint32_t)within(10000, 1000000000)};

	return often() ? bytes : time;
}

static void random_police(struct policy_police_options *p)
{
	p->mode = (enum policy_police)within(0, POLICE_TRTCM_4115);
	p->colour_aware = often();
	for (unsigned i = 0; i < 3; i++)
		p->action[i] = (uint8_t)within(0, POLICE_DROP);
	p->cir_bps = random_rate();
	p->cbs_bytes = often() ? (uint32_t)within(9000, 4000000000) : 0;
	if (p->mode == POLICE_TRTCM) {
		p->pir_bps = p->cir_bps + within(0, 1000);
		if (p->pir_bps > UNITS_RATE_MAX_BPS)
			p->pir_bps = UNITS_RATE_MAX_BPS;
		p->pbs_bytes = often() ? (uint32_t)within(9000, 4000000000) : 0;
	} else {
		p->eir_bps = p->mode == POLICE_SRTCM ? 0 : random_rate();
		p->ebs_bytes = often() ? (uint32_t)within(9000, 4000000000) : 0;
	}
}

/* Every fourth class is a group; c5 is below c4, c6 and c7 below c5, and so on. */
static void random_class(struct policy *p, uint32_t i)
{
	struct policy_class *c = &p->classes[i];

	snprintf(c->name, sizeof(c->name), "%s%.0u", i == 0 ? "default" : "c", i);
	c->parent_index = i < 5 || i % 4 == 0 ? -1
			  : i % 4 == 1	      ? (int32_t)i - 1
					      : (int32_t)(i / 4 * 4 + 1);
	c->priority = (uint8_t)within(0, 7);
	c->weight = (uint32_t)within(1, 1000);
	if (often())
		c->rate.bps = within(UNITS_RATE_MIN_BPS, 1000000);
	else if (c->parent_index < 0 && p->bridges[0].up_bps != 0 && p->bridges[0].down_bps != 0 &&
		 p->bridge_count == 1)
		c->rate.ppm = (uint32_t)within(100000, 200000) / p->class_count;
	/* Groups must have enough for what is below them. */
	if (i % 4 < 2)
		c->rate = (struct policy_rate){0};
	c->ceil.bps = often() ? within(10000000, UNITS_RATE_MAX_BPS) : 0;
	if (c->rate.ppm != 0)
		c->ceil.bps = 0;
	if (c->parent_index >= 0 && p->classes[c->parent_index].ceil.bps != 0 && often()) {
		c->ceil.bps = 0;
		c->ceil.ppm = (uint32_t)within(100000, 1000000);
	}
	/* 10 % of the smallest ceiling are what all below it may be assured at most. */
	if (c->ceil.ppm != 0 && c->rate.bps != 0)
		c->ceil.ppm = 1000000;
	c->flow_rate_bps = often() ? random_rate() : 0;
	c->flow_burst = random_burst();
	if (often())
		c->burst = random_burst();
	c->per = (enum policy_per)within(0, PER_WAN);
	if (c->per != PER_FLOW) {
		c->per_bits4 = (uint8_t)within(0, 31);
		c->per_bits6 = (uint8_t)within(0, 127);
	}
	c->queue_limit_ns = often() ? (uint32_t)within(1000000, 4000000000) : 0;
	c->queue_limit_bytes = (uint32_t)within(9000, 1000000000);
	c->aqm = (enum policy_aqm)within(0, AQM_DUALPI2);
	c->aqm_target_ns = often() ? (uint32_t)within(100000, 1000000000) : 0;
	c->ecn = often();
	c->compress = often();
	c->dry_run = often();
	c->codec = (enum policy_codec)within(0, POLICY_CODEC_RAW);
	c->acceleration = (uint8_t)within(1, 64);
	c->zstd_level = (uint8_t)within(1, 3);
	c->history = often();
	c->store_all = often();
	c->is_private = often();
	c->pack = often();
	c->pack_wait_ns = often() ? (uint32_t)within(1000, 200000) : 0;
	random_police(&c->police);
}

/* A policer is none of a group's. */
static void make_tree_valid(struct policy *p)
{
	for (uint32_t i = 0; i < p->class_count; i++)
		if (p->classes[i].parent_index >= 0)
			p->classes[p->classes[i].parent_index].police.mode = POLICE_NONE;
	for (uint32_t i = 0; i < p->rule_count; i++)
		p->rules[i].class_index = p->rules[i].class_index / 4 * 4 + 2;
	for (uint32_t i = 0; i < p->rule_count; i++)
		if (p->rules[i].class_index >= p->class_count)
			p->rules[i].class_index = 0;
}

static void random_range(uint16_t max, uint16_t *low, uint16_t *high)
{
	*low = 0;
	*high = max;
	if (!often())
		return;
	*low = (uint16_t)within(0, max);
	*high = often() ? *low : (uint16_t)within(*low, max);
}

static void random_rule(struct policy *p, uint32_t i)
{
	struct policy_match *m = &p->rules[i].match;
	uint8_t family = often() ? 4 : 6;
	uint16_t low, high;

	p->rules[i].class_index = (uint32_t)within(0, p->class_count - 1);
	random_range(255, &low, &high);
	m->proto_min = (uint8_t)low;
	m->proto_max = (uint8_t)high;
	if (often())
		m->src = random_prefix(family);
	if (often())
		m->dst = random_prefix(family);
	m->sport_max = m->dport_max = UINT16_MAX;
	if ((low <= 6 && high >= 6) || (low <= 17 && high >= 17)) {
		random_range(UINT16_MAX, &m->sport_min, &m->sport_max);
		random_range(UINT16_MAX, &m->dport_min, &m->dport_max);
	}
	random_range(4095, &m->vlan_min, &m->vlan_max);
	random_range(63, &low, &high);
	m->dscp_min = (uint8_t)low;
	m->dscp_max = (uint8_t)high;
	m->direction = (enum policy_direction)within(0, 2);
	m->bridge = (int16_t)(within(0, p->bridge_count) - 1);
}

static void random_peer(struct policy *p, uint8_t i)
{
	struct policy_peer *peer = &p->peers[i];

	snprintf(peer->name, sizeof(peer->name), "p%u", i);
	peer->bridge = (uint8_t)within(0, p->bridge_count - 1u);
	if (often())
		address4(&peer->address, peer->bridge, 1, (uint8_t)(i + 1));
	else
		address6(&peer->address, peer->bridge, (uint8_t)(i + 2));
	peer->port = (uint16_t)(1 + peer->bridge * 9362u); /* all of a bridge have the same */
	strcpy(peer->key_file, often() ? "/etc/a \"b\"\\c.key" : "\xc3\xa4/\xff");
	peer->network_count = (uint16_t)within(0, POLICY_NETWORKS_MAX);
	for (uint8_t n = 0; n < peer->network_count; n++) {
		address4(&peer->networks[n].address, (uint8_t)(100 + i), n, 0);
		peer->networks[n].length = 24;
	}
	peer->path = (enum policy_path)within(0, 1);
	peer->path_mtu = (uint16_t)within(1280, 1500);
	peer->mss_clamp = often();
	peer->encryption = (enum policy_encryption)within(0, 2);
	peer->framing = peer->encryption != ENCRYPTION_NONE ? FRAMING_TUNNEL
							    : (enum policy_framing)within(0, 1);
	peer->unencrypted = peer->encryption != ENCRYPTION_NONE && peer->path == PATH_ROUTED
				    ? UNENCRYPTED_PASS
				    : (enum policy_unencrypted)within(0, 1);
	peer->store_mb = often() ? 0 : (uint32_t)within(16, 65536);
	peer->stamp_interval_ns = often() ? (uint32_t)within(10000000, 4000000000) : 0;
	peer->stamp_dscp = (uint8_t)within(0, 63);
	peer->stamp_size = often() ? (uint16_t)within(100, 1280) : 0;
	peer->stamp_port = (uint16_t)within(1, 65535);
	if (often())
		strcpy(peer->stamp_key_file, "/etc/stamp.key");
}

static struct policy *random_policy(void)
{
	struct policy *p = calloc(1, sizeof(*p));

	if (p == NULL)
		abort();
	random_appliance(&p->appliance);
	p->compress = (enum policy_compress)within(0, 2);
	p->bypass = often();
	p->bridge_count = (uint16_t)within(1, POLICY_BRIDGES_MAX);
	for (uint8_t i = 0; i < p->bridge_count; i++)
		random_bridge(p, i);
	p->class_count = (uint32_t)within(1, 40);
	p->classes = calloc(p->class_count, sizeof(*p->classes));
	p->rule_count = (uint32_t)within(0, 60);
	p->rules = calloc(p->rule_count + 1, sizeof(*p->rules));
	if (p->classes == NULL || p->rules == NULL)
		abort();
	for (uint32_t i = 0; i < p->class_count; i++)
		random_class(p, i);
	for (uint32_t i = 0; i < p->rule_count; i++)
		random_rule(p, i);
	make_tree_valid(p);
	p->peer_count = (uint16_t)within(0, POLICY_PEERS_MAX);
	for (uint8_t i = 0; i < p->peer_count; i++) {
		struct policy_bridge *b;
		random_peer(p, i);
		b = &p->bridges[p->peers[i].bridge];
		b->up_min_bps = b->up_bps == 0 ? 0 : within(UNITS_RATE_MIN_BPS, b->up_bps);
		b->down_min_bps = b->down_bps == 0 ? 0 : within(UNITS_RATE_MIN_BPS, b->down_bps);
	}
	return p;
}

/* ---- comparing ---- */

static unsigned differences;

static void same(bool equal, const char *what)
{
	if (!equal && differences++ < 10)
		printf("     differs: %s\n", what);
}

#define SAME(field) same(memcmp(&a->field, &b->field, sizeof(a->field)) == 0, #field)
#define SAME_TEXT(field) same(strcmp(a->field, b->field) == 0, #field)

static void compare_appliances(const struct policy_appliance *a, const struct policy_appliance *b)
{
	SAME_TEXT(name);
	SAME(worker_count);
	SAME(workers);
	SAME(control_cpu);
	SAME(poll);
	SAME(hugepages);
	SAME(memory_mb);
	SAME(dry_run_store_mb);
	SAME_TEXT(store_directory);
	SAME(flows);
	SAME(buffers);
	SAME(queues);
	SAME(classes);
	SAME(hosts);
	SAME(distributions);
	SAME(mtu);
	SAME_TEXT(group);
}

static void compare_bridges(const struct policy_bridge *a, const struct policy_bridge *b)
{
	SAME_TEXT(name);
	SAME_TEXT(lan);
	SAME_TEXT(wan);
	SAME(address4);
	SAME(address6);
	SAME(gateway4);
	SAME(gateway6);
	SAME(vlan);
	SAME(up_bps);
	SAME(down_bps);
	SAME(up_min_bps);
	SAME(down_min_bps);
	SAME(overhead_bytes);
	SAME(frame_min_bytes);
	SAME(burst_ns);
	SAME(stamp_reflector);
	SAME(stamp_port);
	SAME(stamp_rate);
	SAME(stamp_stateful);
}

static void compare_classes(const struct policy_class *a, const struct policy_class *b)
{
	SAME_TEXT(name);
	SAME(priority);
	SAME(weight);
	SAME(parent_index);
	SAME(rate.bps);
	SAME(rate.ppm);
	SAME(ceil.bps);
	SAME(ceil.ppm);
	SAME(flow_rate_bps);
	SAME(flow_burst);
	SAME(burst);
	SAME(per);
	SAME(per_bits4);
	SAME(per_bits6);
	SAME(queue_limit_ns);
	SAME(queue_limit_bytes);
	SAME(aqm);
	SAME(aqm_target_ns);
	SAME(ecn);
	SAME(compress);
	SAME(dry_run);
	SAME(codec);
	SAME(acceleration);
	SAME(zstd_level);
	SAME(history);
	SAME(store_all);
	SAME(is_private);
	SAME(pack);
	SAME(pack_wait_ns);
	SAME(police.mode);
	SAME(police.colour_aware);
	SAME(police.action);
	SAME(police.cir_bps);
	SAME(police.cbs_bytes);
	SAME(police.pir_bps);
	SAME(police.pbs_bytes);
	SAME(police.eir_bps);
	SAME(police.ebs_bytes);
}

static void compare_rules(const struct policy_rule *a, const struct policy_rule *b)
{
	SAME(class_index);
	SAME(match.proto_min);
	SAME(match.proto_max);
	SAME(match.src);
	SAME(match.dst);
	SAME(match.sport_min);
	SAME(match.sport_max);
	SAME(match.dport_min);
	SAME(match.dport_max);
	SAME(match.vlan_min);
	SAME(match.vlan_max);
	SAME(match.dscp_min);
	SAME(match.dscp_max);
	SAME(match.direction);
	SAME(match.bridge);
}

static void compare_peers(const struct policy_peer *a, const struct policy_peer *b)
{
	SAME_TEXT(name);
	SAME(address);
	SAME(port);
	SAME(bridge);
	SAME_TEXT(key_file);
	SAME(network_count);
	SAME(networks);
	SAME(framing);
	SAME(path);
	SAME(path_mtu);
	SAME(mss_clamp);
	SAME(encryption);
	SAME(unencrypted);
	SAME(store_mb);
	SAME(stamp_interval_ns);
	SAME(stamp_dscp);
	SAME(stamp_size);
	SAME(stamp_port);
	SAME_TEXT(stamp_key_file);
}

static void compare(const struct policy *a, const struct policy *b)
{
	compare_appliances(&a->appliance, &b->appliance);
	SAME(compress);
	SAME(bypass);
	SAME(bridge_count);
	SAME(class_count);
	SAME(rule_count);
	SAME(peer_count);
	if (differences > 0)
		return;
	for (unsigned i = 0; i < a->bridge_count; i++)
		compare_bridges(&a->bridges[i], &b->bridges[i]);
	for (unsigned i = 0; i < a->class_count; i++)
		compare_classes(&a->classes[i], &b->classes[i]);
	for (unsigned i = 0; i < a->rule_count; i++)
		compare_rules(&a->rules[i], &b->rules[i]);
	for (unsigned i = 0; i < a->peer_count; i++)
		compare_peers(&a->peers[i], &b->peers[i]);
}

static void test_round_trip(void)
{
	for (unsigned i = 0; i < POLICIES; i++) {
		struct policy *p = random_policy();
		char *text = policy_print(p);
		CU_ASSERT_FATAL(text != NULL);
		struct policy *again = read_good(text);
		CU_ASSERT_FATAL(again != NULL);
		compare(p, again);
		char *text_again = policy_print(again);
		CU_ASSERT_FATAL(text_again != NULL);
		CU_ASSERT_STRING_EQUAL(text, text_again);
		/* What is printed is also what policy_check() likes. */
		CU_ASSERT_EQUAL(policy_check(p, NULL), 0);
		CU_ASSERT_EQUAL(policy_check_live(p, again, NULL), 0);
		CU_ASSERT_EQUAL_FATAL(differences, 0);
		free(text);
		free(text_again);
		policy_free(p);
		policy_free(again);
	}
}

/* As many classes and rules as there may be, and some with the longest of everything, can be read
 * again. */
static void test_largest(void)
{
	struct policy *p = random_policy();

	free(p->classes);
	free(p->rules);
	p->class_count = p->appliance.classes = POLICY_CLASSES_MAX;
	p->rule_count = POLICY_RULES_MAX;
	p->classes = calloc(p->class_count, sizeof(*p->classes));
	p->rules = calloc(p->rule_count, sizeof(*p->rules));
	CU_ASSERT_FATAL(p->classes != NULL && p->rules != NULL);
	struct policy *least = read_good("bridges=({name=\"b\";lan=\"e1\";wan=\"e2\";});");
	CU_ASSERT_FATAL(least != NULL);
	for (uint32_t i = 0; i < p->class_count; i++) {
		struct policy_class *c = &p->classes[i];
		*c = least->classes[0];
		c->parent_index = i > 2000 ? 2000 : -1;
		c->rate.bps = i == 2000 ? 0 : 64001;
		c->ceil.bps = 399999999999;
		if (i < 2000) {
			random_class(p, i);
			c->parent_index = -1;
			c->rate = (struct policy_rate){.bps = 64001};
			c->ceil = (struct policy_rate){.bps = 399999999999};
			c->flow_rate_bps = 299999999999;
			c->burst = (struct policy_burst){.bytes = 999999999};
			c->queue_limit_bytes = 999999999;
			c->flow_burst = (struct policy_burst){.ns = 999999999};
			c->queue_limit_ns = 3999999999;
			c->aqm_target_ns = 99999999;
		}
		if (i > 0)
			snprintf(c->name, sizeof(c->name), "a-class-with-a-very-long-%06u",
				i % 1000000);
	}
	policy_free(least);
	for (uint32_t i = 0; i < p->rule_count; i++) {
		struct policy_match *m = &p->rules[i].match;
		random_rule(p, i);
		p->rules[i].class_index = 1;
		m->src.address.family = m->dst.address.family = 6;
		m->src.length = m->dst.length = 128;
		memset(m->src.address.bytes, 0xab, 16);
		memset(m->dst.address.bytes, 0xcd, 16);
		m->src.address.bytes[4] = (uint8_t)(i >> 8);
		m->src.address.bytes[5] = (uint8_t)i;
		m->proto_min = 0;
		m->proto_max = 254;
		m->sport_min = m->dport_min = 10000;
		m->sport_max = m->dport_max = 65534;
		m->vlan_min = 1000;
		m->vlan_max = 4094;
		m->dscp_min = 10;
		m->dscp_max = 62;
		m->direction = DIRECTION_DOWN;
		m->bridge = 0;
	}
	char *text = policy_print(p);
	CU_ASSERT_FATAL(text != NULL);
	struct policy *again = read_good(text);
	CU_ASSERT_FATAL(again != NULL);
	compare(p, again);
	CU_ASSERT_EQUAL(differences, 0);
	free(text);
	policy_free(p);
	policy_free(again);
}

UNIT_TESTS("policy print", {"random policies, printed and read", test_round_trip},
	{"the largest policy", test_largest})
