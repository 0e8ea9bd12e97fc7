/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whole texts: what each field becomes, contradictions between options, included files, keys, and
 * what may change live.
 */
#include <errno.h>

#include "tests/unit/policy/policy_helper.h"

#define BRIDGE                                                                                     \
	"bridges = ( { name = \"b0\"; lan = \"e1\"; wan = \"e2\"; address = \"10.0.0.1/24\"; } "   \
	");\n"
#define PEER(more)                                                                                 \
	"classes = ( { name = \"c\"; compress = true; } );\n"                                      \
	"peers = ( { name = \"p\"; address = \"10.0.0.2\"; key_file = \"k\";\n"                    \
	"networks = ( \"10.1.0.0/16\" );\n" more "} );\n"

static bool is_address(const struct policy_address *a, uint8_t family, const char *hex)
{
	char text[33];

	for (unsigned i = 0; i < 16; i++)
		snprintf(text + 2 * i, 3, "%02x", a->bytes[i]);
	return a->family == family && strcmp(text, hex) == 0;
}

static void test_fields(void)
{
	struct policy *p = read_good(
		"appliance = { name = \"hq\"; workers = \"3,1-2\"; control_cpu = 7; poll = "
		"\"busy\";\n"
		" hugepages = false; memory = \"1 GiB\"; flows = 2000; buffers = 5000; queues = "
		"100;\n"
		" mtu = 9000; group = \"adm\"; classes = 70; hosts = 5; distributions = 3; };\n"
		"compression = \"dry-run\"; bypass = true;\n"
		"bridges = ( { name = \"b0\"; lan = \"e1\"; wan = \"e2\"; },\n"
		" { name = \"b1\"; lan = \"e3\"; wan = \"e4\"; address = \"192.0.2.10/24\";\n"
		"   gateway = \"192.0.2.1\"; address6 = \"2001:db8::10/64\"; gateway6 = "
		"\"fe80::1\";\n"
		"   vlan = 5; up = \"100 Mbit/s\"; down = \"1.5 Gbit/s\"; overhead = -4;\n"
		"   up_min = \"1 Mbit/s\"; down_min = \"2 Mbit/s\"; frame_min = 64;\n"
		"   burst = \"200 us\"; } );\n"
		"classes = ( { name = \"voice\"; priority = 0; weight = 3; rate = \"10 Mbit/s\";\n"
		"   ceil = \"30 Mbit/s\"; flow_rate = \"2 Mbit/s\"; flow_burst = \"40 kB\";\n"
		"   burst = \"10 KiB\"; queue_time = \"100 ms\"; queue_size = \"1 MB\"; aqm = "
		"\"pie\";\n"
		"   compress = true; parent = \"tree\"; per = \"wan/20,52\"; aqm_target = \"2 "
		"ms\";\n"
		"   ecn = false; police = \"trtcm\"; cir = \"1 Mbit/s\"; cbs = \"20 kB\";\n"
		"   pir = \"2 Mbit/s\"; pbs = \"40 kB\"; colour_aware = true; green = 46;\n"
		"   yellow = \"le\"; red = \"pass\"; },\n"
		" { name = \"tree\"; burst = \"7 ms\"; },\n"
		" { name = \"default\"; weight = 77; } );\n"
		"rules = ( { class = \"voice\"; match = { proto = \"udp\"; src = \"10.0.0.0/8\";\n"
		"   dst = \"10.2.3.4\"; sport = 53; dport = \"5004-5020\"; vlan = \"untagged\";\n"
		"   dscp = \"ef\"; direction = \"down\"; bridge = \"b1\"; }; },\n"
		" { class = \"default\"; } );\n"
		"peers = ( { name = \"dc\"; address = \"198.51.100.7\"; key_file = \"dc.key\";\n"
		"   networks = ( \"10.20.0.0/16\", \"fd00:20::/48\" ); port = 99; bridge = "
		"\"b1\";\n"
		"   framing = \"tunnel\"; path = \"routed\"; path_mtu = 1400; mss_clamp = false; } "
		");\n");
	CU_ASSERT_FATAL(p != NULL);

	const struct policy_appliance *a = &p->appliance;
	CU_ASSERT_STRING_EQUAL(p->file, "test.conf");
	CU_ASSERT_STRING_EQUAL(a->name, "hq");
	CU_ASSERT_EQUAL(a->worker_count, 3);
	CU_ASSERT(a->workers[0] == 3 && a->workers[1] == 1 && a->workers[2] == 2);
	CU_ASSERT_EQUAL(a->control_cpu, 7);
	CU_ASSERT_EQUAL(a->poll, POLL_BUSY);
	CU_ASSERT(!a->hugepages);
	CU_ASSERT_EQUAL(a->memory_mb, 1024);
	CU_ASSERT_EQUAL(a->flows, 2000);
	CU_ASSERT_EQUAL(a->buffers, 5000);
	CU_ASSERT_EQUAL(a->queues, 100);
	CU_ASSERT(a->classes == 70 && a->hosts == 5 && a->distributions == 3);
	CU_ASSERT_EQUAL(a->mtu, 9000);
	CU_ASSERT_STRING_EQUAL(a->group, "adm");
	CU_ASSERT_EQUAL(p->compress, COMPRESS_DRY_RUN);
	CU_ASSERT(p->bypass);

	CU_ASSERT_EQUAL(p->bridge_count, 2);
	const struct policy_bridge *b = &p->bridges[1];
	CU_ASSERT_STRING_EQUAL(b->name, "b1");
	CU_ASSERT_STRING_EQUAL(b->lan, "e3");
	CU_ASSERT_STRING_EQUAL(b->wan, "e4");
	CU_ASSERT(is_address(&b->address4.address, 4, "00000000000000000000ffffc000020a"));
	CU_ASSERT_EQUAL(b->address4.length, 24);
	CU_ASSERT(is_address(&b->gateway4, 4, "00000000000000000000ffffc0000201"));
	CU_ASSERT(is_address(&b->address6.address, 6, "20010db8000000000000000000000010"));
	CU_ASSERT_EQUAL(b->address6.length, 64);
	CU_ASSERT(is_address(&b->gateway6, 6, "fe800000000000000000000000000001"));
	CU_ASSERT_EQUAL(b->vlan, 5);
	CU_ASSERT_EQUAL(b->up_bps, 100000000);
	CU_ASSERT_EQUAL(b->down_bps, 1500000000);
	CU_ASSERT_EQUAL(b->overhead_bytes, -4);
	CU_ASSERT_EQUAL(b->frame_min_bytes, 64);
	CU_ASSERT(b->up_min_bps == 1000000 && b->down_min_bps == 2000000);
	CU_ASSERT_EQUAL(b->burst_ns, 200000);
	/* Defaults of the other. */
	CU_ASSERT_EQUAL(p->bridges[0].address4.address.family, 0);
	CU_ASSERT_EQUAL(p->bridges[0].up_bps, 0);
	CU_ASSERT_EQUAL(p->bridges[0].overhead_bytes, 24);
	CU_ASSERT_EQUAL(p->bridges[0].frame_min_bytes, 60);
	CU_ASSERT(p->bridges[0].up_min_bps == 0 && p->bridges[0].down_min_bps == 0);
	CU_ASSERT_EQUAL(p->bridges[0].burst_ns, 1000000);

	/* "default" is class 0 wherever it stands. */
	CU_ASSERT_EQUAL(p->class_count, 3);
	CU_ASSERT_STRING_EQUAL(p->classes[0].name, "default");
	CU_ASSERT_EQUAL(p->classes[0].weight, 77);
	CU_ASSERT_EQUAL(p->classes[0].line, 19);
	const struct policy_class *c = &p->classes[1];
	CU_ASSERT_EQUAL(c->line, 11);
	CU_ASSERT_EQUAL(c->priority, 0);
	CU_ASSERT_EQUAL(c->weight, 3);
	CU_ASSERT_EQUAL(c->rate.bps, 10000000);
	CU_ASSERT_EQUAL(c->ceil.bps, 30000000);
	CU_ASSERT_EQUAL(c->flow_rate_bps, 2000000);
	CU_ASSERT_EQUAL(c->flow_burst.bytes, 40000);
	CU_ASSERT_EQUAL(c->burst.bytes, 10240);
	CU_ASSERT_EQUAL(c->queue_limit_ns, 100000000);
	CU_ASSERT_EQUAL(c->queue_limit_bytes, 1000000);
	CU_ASSERT(c->aqm == AQM_PIE && c->compress);
	CU_ASSERT_EQUAL(c->parent_index, 2);
	CU_ASSERT(c->per == PER_WAN && c->per_bits4 == 20 && c->per_bits6 == 52);
	CU_ASSERT(c->aqm_target_ns == 2000000 && !c->ecn);
	CU_ASSERT(c->police.mode == POLICE_TRTCM && c->police.colour_aware);
	CU_ASSERT(c->police.cir_bps == 1000000 && c->police.cbs_bytes == 20000);
	CU_ASSERT(c->police.pir_bps == 2000000 && c->police.pbs_bytes == 40000);
	CU_ASSERT(c->police.eir_bps == 0 && c->police.ebs_bytes == 0);
	CU_ASSERT(c->police.action[0] == 46 && c->police.action[1] == 1 &&
		  c->police.action[2] == POLICE_PASS);
	/* Defaults. */
	c = &p->classes[2];
	CU_ASSERT(c->parent_index == -1 && c->burst.ns == 7000000 && c->burst.bytes == 0);
	CU_ASSERT(c->rate.bps == 0 && c->rate.ppm == 0 && c->ceil.bps == 0 && c->ceil.ppm == 0);
	CU_ASSERT(c->flow_burst.bytes == 30000 && c->flow_burst.ns == 0);
	CU_ASSERT(c->aqm == AQM_CODEL && c->aqm_target_ns == 0 && c->ecn && !c->compress);
	CU_ASSERT(c->per == PER_FLOW && c->per_bits4 == 0 && c->per_bits6 == 0);
	CU_ASSERT(c->police.mode == POLICE_NONE && c->police.action[0] == POLICE_PASS &&
		  c->police.action[1] == POLICE_PASS && c->police.action[2] == POLICE_DROP);

	CU_ASSERT_EQUAL(p->rule_count, 2);
	const struct policy_match *m = &p->rules[0].match;
	CU_ASSERT_EQUAL(p->rules[0].line, 20);
	CU_ASSERT_EQUAL(p->rules[0].class_index, 1);
	CU_ASSERT(m->proto_min == 17 && m->proto_max == 17);
	CU_ASSERT(is_address(&m->src.address, 4, "00000000000000000000ffff0a000000"));
	CU_ASSERT_EQUAL(m->src.length, 8);
	CU_ASSERT(is_address(&m->dst.address, 4, "00000000000000000000ffff0a020304"));
	CU_ASSERT_EQUAL(m->dst.length, 32);
	CU_ASSERT(m->sport_min == 53 && m->sport_max == 53);
	CU_ASSERT(m->dport_min == 5004 && m->dport_max == 5020);
	CU_ASSERT(m->vlan_min == 0 && m->vlan_max == 0);
	CU_ASSERT(m->dscp_min == 46 && m->dscp_max == 46);
	CU_ASSERT_EQUAL(m->direction, DIRECTION_DOWN);
	CU_ASSERT_EQUAL(m->bridge, 1);
	m = &p->rules[1].match;
	CU_ASSERT_EQUAL(p->rules[1].class_index, 0);
	CU_ASSERT(m->proto_min == 0 && m->proto_max == 255 && m->src.address.family == 0 &&
		  m->dst.address.family == 0 && m->sport_min == 0 && m->sport_max == 65535 &&
		  m->dport_min == 0 && m->dport_max == 65535 && m->vlan_min == 0 &&
		  m->vlan_max == 4095 && m->dscp_min == 0 && m->dscp_max == 63 &&
		  m->direction == DIRECTION_ANY && m->bridge == -1);

	const struct policy_peer *peer = &p->peers[0];
	CU_ASSERT_EQUAL(p->peer_count, 1);
	CU_ASSERT_STRING_EQUAL(peer->name, "dc");
	CU_ASSERT(is_address(&peer->address, 4, "00000000000000000000ffffc6336407"));
	CU_ASSERT_STRING_EQUAL(peer->key_file, "dc.key");
	CU_ASSERT_EQUAL(peer->key_len, 0);
	CU_ASSERT_EQUAL(peer->network_count, 2);
	CU_ASSERT(is_address(&peer->networks[1].address, 6, "fd000020000000000000000000000000"));
	CU_ASSERT_EQUAL(peer->networks[1].length, 48);
	CU_ASSERT_EQUAL(peer->port, 99);
	CU_ASSERT_EQUAL(peer->bridge, 1);
	CU_ASSERT_EQUAL(peer->path, PATH_ROUTED);
	CU_ASSERT_EQUAL(peer->path_mtu, 1400);
	CU_ASSERT(!peer->mss_clamp);

	CU_ASSERT_EQUAL(policy_find_class(p, "voice"), 1);
	CU_ASSERT_EQUAL(policy_find_class(p, "none"), -ENOENT);
	CU_ASSERT_EQUAL(policy_find_class(p, ""), -ENOENT);
	CU_ASSERT_EQUAL(policy_find_bridge(p, "b1"), 1);
	CU_ASSERT_EQUAL(policy_find_bridge(p, "b2"), -ENOENT);
	CU_ASSERT_EQUAL(policy_find_peer(p, "dc"), 0);
	CU_ASSERT_EQUAL(policy_find_peer(p, "x"), -ENOENT);
	policy_free(p);
}

/* The least there is: one bridge. */
static void test_least(void)
{
	struct policy *p = read_good(BRIDGE);

	CU_ASSERT_FATAL(p != NULL);
	CU_ASSERT_EQUAL(p->class_count, 1);
	CU_ASSERT_STRING_EQUAL(p->classes[0].name, "default");
	CU_ASSERT_EQUAL(p->classes[0].weight, 10);
	CU_ASSERT_EQUAL(p->rule_count, 0);
	CU_ASSERT_EQUAL(p->compress, COMPRESS_ON);
	CU_ASSERT_EQUAL(p->appliance.worker_count, 1);
	policy_free(p);
	CU_ASSERT(finds("", "1 E bridges"));
	CU_ASSERT(finds("bridges = ( );", "1 E bridges"));
	CU_ASSERT(finds(BRIDGE "rules = ( ); classes = ( ); peers = ( ); appliance = { };", ""));
}

static void test_shape(void)
{
	static const struct {
		const char *text, *problems;
	} table[] = {
		/* Wrong kinds of things. */
		{"bridges = { };", "1 E bridges"},
		{"bridges = 5;", "1 E bridges"},
		{"bridges = ( 5 );", "1 E bridges[0]"},
		{BRIDGE "appliance = ( );", "2 E appliance"},
		{BRIDGE "classes = \"x\";\nrules = { };\npeers = [ ];",
			"2 E classes; 3 E rules; 4 E peers"},
		{BRIDGE "rules = ( ( ), { class = \"default\"; }, 5 );",
			"2 E rules[0]; 2 E rules[2]"},
		/* Unknown options, everywhere. */
		{BRIDGE "bridge = 5;", "2 E bridge"},
		{BRIDGE "appliance = { priority = 5;\nmtus = 3; };",
			"2 E appliance.priority; 3 E appliance.mtus"},
		{BRIDGE "rules = ( { class = \"default\"; match = {\napp = \"tls\"; }; } );",
			"3 E rules[0].match.app"},
		/* Everything at once, in the order of the lines. */
		{"peers = ( { } );\nbridges = ( { name = 5;\nlan = 5;\nwan = 5; } );\n"
		 "classes = ( { priority = 9;\nweight = 0; } );\nbypass = 1;",
			"1 E peers[0].name; 1 E peers[0].address; 1 E peers[0].key_file; "
			"1 W peers[0].networks; 2 E bridges[0].name; 3 E bridges[0].lan; "
			"4 E bridges[0].wan; 5 E classes[0].priority; 5 E classes[0].name; "
			"6 E classes[0].weight; 7 E bypass"},
		/* libconfig's own errors. */
		{BRIDGE "classes = ( { name = voice; } );", "2 E "},
		{BRIDGE "bypass = true;\nbypass = true;", "3 E "},
		{BRIDGE "appliance = {", "2 E "},
		{BRIDGE "}", "2 E "},
		{"bridges = ( {\n\n name = \"b0\" lan = \n", "3 E "},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		CU_ASSERT(finds(table[i].text, table[i].problems));
}

static void test_contradictions(void)
{
	static const struct {
		const char *text, *problems;
	} table[] = {
		/* The machine. */
		{BRIDGE "appliance = { workers = \"1-2\";\ncontrol_cpu = 2; };",
			"2 W appliance.workers"},
		/* Bridges. */
		{"bridges = ( { name = \"b\"; lan = \"e1\"; wan = \"e2\"; },\n{ name = \"b\";\n"
		 "lan = \"e3\"; wan = \"e4\"; } );",
			"2 E bridges[1].name"},
		{"bridges = ( { name = \"a\"; lan = \"e1\"; wan = \"e2\"; },\n{ name = \"b\";\n"
		 "lan = \"e2\";\nwan = \"e1\"; } );",
			"3 E bridges[1].lan; 4 E bridges[1].wan"},
		{"bridges = ( { name = \"a\"; lan = \"0000:03:00.0\";\nwan = \"03:00.0\"; } );",
			"2 E bridges[0].wan"},
		{"bridges = ( { name = \"a\"; lan = \"net_ring0\";\nwan = \"net_ring0,x=y\"; } );",
			"2 E bridges[0].wan"},
		{"bridges = ( { name = \"a\"; lan = \"eth1\";\nwan = \"af_packet:eth1\"; } );",
			"2 E bridges[0].wan"},
		{"bridges = ( { name = \"a\"; lan = \"e1\"; wan = \"e2\"; address = "
		 "\"10.0.0.1/24\"; },\n"
		 "{ name = \"b\"; lan = \"e3\"; wan = \"e4\";\naddress = \"10.0.0.1/8\"; } );",
			"3 E bridges[1].address"},
		{"bridges = ( { name = \"a\"; lan = \"e1\"; wan = \"e2\";\n"
		 "gateway = \"10.0.0.1\";\ngateway6 = \"fd00::1\";\nvlan = 5; } );",
			"2 E bridges[0].gateway; 3 E bridges[0].gateway6; 4 W bridges[0].vlan"},
		{"bridges = ( { name = \"a\"; lan = \"e1\"; wan = \"e2\"; address = "
		 "\"10.0.0.1/24\";\n"
		 "gateway = \"10.0.1.1\"; } );",
			"2 W bridges[0].gateway"},
		{"bridges = ( { name = \"a\"; lan = \"e1\"; wan = \"e2\"; address = "
		 "\"10.0.0.1/24\";\n"
		 "gateway = \"10.0.0.1\"; } );",
			"2 E bridges[0].gateway"},
		/* What would only follow from another error is not said. */
		{"bridges = ( { name = \"a\"; lan = \"e1\"; wan = \"e2\";\naddress = \"x\";\n"
		 "gateway = \"10.0.1.1\"; vlan = 5; } );\n" PEER(""),
			"2 E bridges[0].address"},
		/* Classes. */
		{BRIDGE "classes = ( { name = \"a\"; },\n{ name = \"b\"; },\n{ name = \"a\"; },\n"
			"{ name = \"default\"; },\n{ name = \"default\"; } );",
			"4 E classes[2].name; 6 E classes[4].name"},
		{BRIDGE "classes = ( { name = \"a\"; rate = \"2 Mbit/s\";\nceil = \"1 Mbit/s\"; } "
			");",
			"3 E classes[0].ceil"},
		{BRIDGE "classes = ( { name = \"x\"; }, { name = \"default\"; rate = \"2 "
			"Mbit/s\";\n"
			"ceil = \"1 Mbit/s\"; } );",
			"3 E classes[1].ceil"},
		{BRIDGE "classes = ( { name = \"a\"; flow_rate = \"2 Mbit/s\";\n"
			"ceil = \"1 Mbit/s\"; } );",
			"2 W classes[0].flow_rate"},
		{BRIDGE "appliance = { mtu = 9000; }; classes = ( { name = \"a\";\nburst = \"8999 "
			"B\";\n"
			"flow_burst = \"8 kB\";\nqueue_size = \"4 kB\"; } );",
			"3 E classes[0].burst; 5 E classes[0].queue_size"},
		{BRIDGE "appliance = { mtu = 9000; }; classes = ( { name = \"a\";\n"
			"flow_rate = \"1 Mbit/s\";\nflow_burst = \"8 kB\"; } );",
			"4 E classes[0].flow_burst"},
		/* 60 + 40 fit 100, not 99. */
		{"bridges = ( { name = \"a\"; lan = \"e1\"; wan = \"e2\";\nup = \"100 Mbit/s\";\n"
		 "down = \"99 Mbit/s\"; } );\nclasses = ( { name = \"x\"; rate = \"60 Mbit/s\"; "
		 "},\n"
		 "{ name = \"y\"; rate = \"40 Mbit/s\"; } );",
			"3 E bridges[0].down"},
		{"bridges = ( { name = \"a\"; lan = \"e1\"; wan = \"e2\"; up = \"1 Mbit/s\"; },\n"
		 "{ name = \"b\"; lan = \"e3\"; wan = \"e4\";\nup = \"999 kbit/s\"; } );\n"
		 "classes = ( { name = \"default\"; rate = \"1 Mbit/s\"; } );",
			"3 E bridges[1].up"},
		/* Rules. */
		{BRIDGE "rules = ( { class = \"x\"; },\n{ class = \"defalt\"; match = {\n"
			"bridge = \"b9\"; }; } );",
			"2 E rules[0].class; 3 E rules[1].class; 4 E "
			"rules[1].match.bridge"},
		{BRIDGE "rules = ( { class = \"default\"; match = { src = \"10.0.0.0/8\";\n"
			"dst = \"fd00::/8\"; }; } );",
			"3 E rules[0].match.dst"},
		{BRIDGE "rules = ( { class = \"default\"; match = { proto = \"icmp\";\n"
			"dport = 80; }; } );",
			"3 E rules[0].match.dport"},
		{BRIDGE "rules = ( { class = \"default\"; match = { proto = \"1-20\";\n"
			"dport = 80; }; } );",
			""},
		{BRIDGE "rules = ( { class = \"default\"; match = { dst = \"fd00::/8\";\n"
			"proto = \"icmp\"; }; } );",
			"3 W rules[0].match.proto"},
		{BRIDGE "rules = ( { class = \"default\"; match = { dst = \"10.0.0.0/8\"; }; },\n"
			"{ class = \"default\"; match = { dst = \"10.1.0.0/16\"; proto = 6; }; },\n"
			"{ class = \"default\"; match = { dst = \"11.0.0.0/16\"; }; },\n"
			"{ class = \"default\"; }, { class = \"default\"; match = { dscp = 5; }; } "
			");",
			"3 W rules[1]; 5 W rules[4]"},
		/* Peers. */
		{BRIDGE PEER(""), ""},
		{BRIDGE PEER("address = \"10.0.0.1\";"), "5 E "},
		{BRIDGE "peers = ( { name = \"p\"; key_file = \"k\"; networks = ( \"10.9.0.0/16\" "
			");\n"
			"address = \"10.0.0.1\"; } );\ncompression = \"off\";",
			"3 E peers[0].address"},
		{BRIDGE "peers = ( { name = \"p\"; key_file = \"k\"; networks = ( \"10.9.0.0/16\" "
			");\n"
			"address = \"10.0.1.1\"; } );\ncompression = \"off\";",
			"3 E peers[0].address"},
		{BRIDGE "peers = ( { name = \"p\"; key_file = \"k\"; networks = ( \"10.9.0.0/16\" "
			");\n"
			"address = \"fd00::1\"; } );\ncompression = \"off\";",
			"3 E peers[0].address"},
		{"bridges = ( { name = \"a\"; lan = \"e1\"; wan = \"e2\"; } );\n"
		 "peers = ( { name = \"p\"; key_file = \"k\"; networks = ( \"10.9.0.0/16\" );\n"
		 "address = \"10.0.0.1\"; } );\ncompression = \"off\";",
			"3 E peers[0].address"},
		{"bridges = ( { name = \"a\"; lan = \"e1\"; wan = \"e2\"; address = "
		 "\"10.0.0.1/24\";\n"
		 "gateway = \"10.0.0.254\"; } );\ncompression = \"off\";\n"
		 "peers = ( { name = \"p\"; key_file = \"k\"; networks = ( \"10.9.0.0/16\" );\n"
		 "address = \"10.0.1.1\"; },\n{ name = \"q\"; key_file = \"k\"; address = "
		 "\"10.0.1.2\";\n"
		 "networks = ( \"10.10.0.0/16\" );\npath = \"bridged\"; } );",
			"8 E peers[1].path"},
		{BRIDGE "compression = \"off\"; peers = (\n"
			"{ name = \"p\"; key_file = \"k\"; address = \"10.0.0.2\";\n"
			"networks = ( \"10.1.0.0/16\",\n\"10.1.5.0/24\",\n\"10.0.0.0/24\" ); },\n"
			"{ name = \"p\"; key_file = \"k\";\naddress = \"10.0.0.2\";\n"
			"networks = ( \"10.1.9.9\",\n\"10.2.0.0/16\",\n\"10.0.0.0/8\" ); } );",
			"5 W peers[0].networks[1]; 6 W peers[0].networks[2]; 7 E peers[1].name; "
			"8 E peers[1].address; 9 E peers[1].networks[0]; 11 E "
			"peers[1].networks[2]; "
			"11 W peers[1].networks[2]; 11 W peers[1].networks[2]"},
		{BRIDGE "compression = \"off\"; peers = (\n"
			"{ name = \"p\"; key_file = \"k\"; address = \"10.0.0.2\"; networks = ( "
			"\"10.1.0.0/16\" ); },\n"
			"{ name = \"q\"; key_file = \"k\"; address = \"10.0.0.3\"; networks = ( "
			"\"10.2.0.0/16\" );\nport = 5821; } );",
			"5 E peers[1].port"},
		{BRIDGE PEER("path_mtu = 1600;\n"), "5 E peers[0].path_mtu"},
		{BRIDGE PEER("path_mtu = 1400; stamp_size = 1400;\n"), ""},
		{BRIDGE PEER("path_mtu = 1400; stamp_size = 1401;\n"), "5 E peers[0].stamp_size"},
		/* A routed path has packets that cannot be encrypted. */
		{BRIDGE PEER("encryption = \"aes-256-gcm\";\n"), "3 E peers[0].unencrypted"},
		{BRIDGE PEER("encryption = \"aes-256-gcm\"; unencrypted = \"pass\";\n"), ""},
		{BRIDGE PEER("encryption = \"chacha20-poly1305\"; path = \"bridged\";\n"), ""},
		{BRIDGE PEER("unencrypted = \"drop\";\n"), ""},
		/* There is none in transparent framing. */
		{BRIDGE PEER("encryption = \"aes-256-gcm\"; path = \"bridged\"; framing = "
			     "\"transparent\";\n"),
			"5 E peers[0].framing"},
		{BRIDGE PEER("framing = \"transparent\";\n"), ""},
		/* The link's port is not the reflector's. */
		{BRIDGE PEER("port = 862;\n"), "1 E bridges[0].stamp_port"},
		{"bridges = ( { name = \"a\"; lan = \"e1\"; wan = \"e2\"; address6 = "
		 "\"fd00::1/64\"; } );\n"
		 "peers = ( { name = \"p\"; address = \"fd00::2\"; key_file = \"k\";\n"
		 "networks = ( \"fd01::/64\" );\npath_mtu = 1279; } ); compression = \"off\";",
			"4 E peers[0].path_mtu"},
		{BRIDGE "peers = ( { name = \"p\"; address = \"10.0.0.2\"; key_file = \"k\"; } );",
			"1 W compression; 2 W peers[0].networks"},
		{BRIDGE "peers = ( { name = \"p\"; address = \"10.0.0.2\"; key_file = \"k\";\n"
			"networks = ( \"10.1.0.0/16\" ); } );\ncompression = \"on\";",
			"4 W compression"},
		/* With several bridges, which one leads to the peer must be said. */
		{"bridges = ( { name = \"a\"; lan = \"e1\"; wan = \"e2\"; address = "
		 "\"10.0.0.1/24\"; },\n"
		 "{ name = \"b\"; lan = \"e3\"; wan = \"e4\"; } ); compression = \"off\";\n"
		 "peers = ( { name = \"p\"; key_file = \"k\"; networks = ( \"10.9.0.0/16\" );\n"
		 "address = \"10.0.0.2\"; } );",
			"3 E peers[0].bridge"},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		CU_ASSERT(finds(table[i].text, table[i].problems));
}

/* The text of a message: what is wrong, and what would be right. */
static void test_messages(void)
{
	static const struct {
		const char *text, *part;
	} table[] = {
		{BRIDGE "clases = ( );", "did you mean \"classes\"?"},
		{BRIDGE "appliance = { hugpages = true; };", "did you mean \"hugepages\"?"},
		{BRIDGE "appliance = { poll = \"bussy\"; };", "did you mean \"busy\"?"},
		{BRIDGE "appliance = { colour = 1; };", "accepted: name, workers, control_cpu"},
		{BRIDGE "classes = ( { name = \"voice\"; } ); rules = ( { class = \"vioce\"; } );",
			"there is no class \"vioce\", did you mean \"voice\"?"},
		{BRIDGE "classes = ( { name = \"c\"; rate = 20; } );", "20 has no unit"},
		{BRIDGE "classes = ( { name = \"c\"; rate = \"20\"; } );", "\"20\" has no unit"},
		{BRIDGE "classes = ( { name = \"c\"; rate = \"20 MB/s\"; } );", "\"20 Mbit/s\""},
		{BRIDGE "appliance = { workers = 2; };", "2 could be a CPU or a count"},
		{BRIDGE "rules = ( { class = \"default\"; match = { dst = \"10.1.2.3/16\"; }; } );",
			"did you mean \"10.1.0.0/16\"?"},
		{BRIDGE "bypass = yes;", "syntax error at or before \"bypass = yes;\""},
		{BRIDGE "bypass = true; bypass = true;", "duplicate"},
		{"bridges = ( { name = \"b\"; lan = \"e1\"; wan = \"e2\"; address = "
		 "\"fd00::1/64\"; } );",
			"write it as \"address6\""},
		{"bridges = ( { name = \"b\"; lan = \"e1\"; wan = \"e2\"; up = \"1 Mbit/s\"; } );"
		 "classes = ( { name = \"c\"; rate = \"1500 kbit\"; } );",
			"the classes are assured 1.5 Mbit/s in all, but this link has 1 Mbit/s"},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct policy_problems problems;
		struct policy *p = policy_read_text(
			table[i].text, strlen(table[i].text), "x", false, &problems);
		CU_ASSERT(p == NULL && problems.count == 1);
		bool said = problems.count > 0 && strstr(problems.list[0].text, table[i].part);
		if (!said)
			printf("     \"%s\" not in: %s\n", table[i].part,
				problems.count > 0 ? problems.list[0].text : "");
		CU_ASSERT(said);
		policy_free(p);
		policy_problems_free(&problems);
	}
}

static void test_copy(void)
{
	struct policy *p = read_good(BRIDGE "classes = ( { name = \"c\"; rate = \"1 Mbit/s\"; } );"
					    "rules = ( { class = \"c\"; } );");
	CU_ASSERT_FATAL(p != NULL);
	struct policy *copy = policy_copy(p);
	CU_ASSERT_FATAL(copy != NULL);
	copy->classes[1].rate.bps = 5;
	copy->rules[0].class_index = 0;
	copy->bridges[0].name[0] = 'x';
	CU_ASSERT_EQUAL(p->classes[1].rate.bps, 1000000);
	CU_ASSERT_EQUAL(p->rules[0].class_index, 1);
	CU_ASSERT_STRING_EQUAL(p->bridges[0].name, "b0");
	policy_free(p);
	CU_ASSERT_STRING_EQUAL(copy->classes[1].name, "c");
	CU_ASSERT_EQUAL(policy_find_class(copy, "c"), 1);
	CU_ASSERT(copy->classes_by_name != NULL);
	CU_ASSERT_EQUAL(policy_find_class(copy, "a"), -ENOENT);
	CU_ASSERT_EQUAL(policy_find_class(copy, "z"), -ENOENT);
	policy_free(copy);
	policy_free(NULL);
}

static bool check_finds(const struct policy *p, const char *expected)
{
	struct policy_problems problems = {0};
	char found[1024];
	int rc = policy_check(p, &problems);

	describe(&problems, found, sizeof(found));
	bool same = strcmp(found, expected) == 0 && rc == (problems.errors > 0 ? -EINVAL : 0);
	if (!same)
		printf("     expected: %s\n     found:    %s\n", expected, found);
	policy_problems_free(&problems);
	return same;
}

static void test_check_after_change(void)
{
	struct policy *p = read_good(
		"bridges = ( { name = \"a\"; lan = \"e1\"; wan = \"e2\"; up = \"10 Mbit/s\"; } );"
		"classes = ( { name = \"c\"; rate = \"4 Mbit/s\"; ceil = \"5 Mbit/s\"; } );");
	CU_ASSERT_FATAL(p != NULL);
	CU_ASSERT(check_finds(p, ""));
	CU_ASSERT_EQUAL(policy_check(p, NULL), 0);
	p->classes[1].rate.bps = 6000000;
	CU_ASSERT(check_finds(p, "0 E classes[1].ceil"));
	CU_ASSERT_EQUAL(policy_check(p, NULL), -EINVAL);
	p->classes[1].ceil.bps = 0;
	CU_ASSERT(check_finds(p, ""));
	p->classes[1].rate.bps = 10000001;
	CU_ASSERT(check_finds(p, "0 E bridges[0].up"));
	p->bridges[0].up_bps = 0;
	CU_ASSERT(check_finds(p, ""));
	p->classes[1].rate.bps = 1;
	p->classes[1].weight = 0;
	p->classes[1].priority = 8;
	p->bridges[0].down_bps = 400000000001;
	CU_ASSERT(check_finds(p, "0 E bridges[0].down; 0 E classes[1].priority; "
				 "0 E classes[1].weight; 0 E classes[1].rate"));
	policy_free(p);
}

static void test_check_live(void)
{
	struct policy *p = read_good(BRIDGE "classes = ( { name = \"c\"; } );");
	struct policy_problems problems = {0};
	char found[1024];

	CU_ASSERT_FATAL(p != NULL);
	struct policy *next = read_good(
		"appliance = { name = \"other\"; }; compression = \"off\"; bypass = true;"
		"bridges = ( { name = \"b0\"; lan = \"e1\"; wan = \"e2\"; up = \"1 Mbit/s\";"
		" address = \"10.0.0.1/24\"; overhead = 4; burst = \"2 ms\"; frame_min = 0; } );"
		"classes = ( { name = \"d\"; parent = \"e\"; per = \"src\"; police = \"srtcm\";"
		" cir = \"1 Mbit/s\"; }, { name = \"e\"; } ); rules = ( { class = \"d\"; } );");
	CU_ASSERT_FATAL(next != NULL);
	CU_ASSERT_EQUAL(policy_check_live(p, next, &problems), 0);
	CU_ASSERT_EQUAL(problems.count, 0);
	policy_free(next);

	next = read_good(
		"appliance = { workers = \"1-2\"; control_cpu = 3; poll = \"busy\"; hugepages = "
		"false;"
		" memory = \"1 GiB\"; flows = 5000; buffers = 5000; queues = 100; mtu = 2000;"
		" classes = 99; hosts = 99; distributions = 99;"
		" group = \"g\"; };"
		"bridges = ( { name = \"b1\"; lan = \"e3\"; wan = \"e4\"; address = "
		"\"10.0.0.1/24\"; } );");
	CU_ASSERT_FATAL(next != NULL);
	CU_ASSERT_EQUAL(policy_check_live(p, next, &problems), -EBUSY);
	describe(&problems, found, sizeof(found));
	CU_ASSERT_STRING_EQUAL(found,
		"0 E appliance.workers; 0 E appliance.control_cpu; 0 E appliance.poll; "
		"0 E appliance.hugepages; 0 E appliance.memory; 0 E appliance.flows; "
		"0 E appliance.buffers; 0 E appliance.queues; 0 E appliance.classes; "
		"0 E appliance.hosts; 0 E appliance.distributions; 0 E appliance.mtu; "
		"0 E appliance.group; 0 E bridges[0].name; 0 E bridges[0].lan; 0 E bridges[0].wan");
	policy_problems_free(&problems);
	policy_free(next);

	next = read_good(
		"bridges = ( { name = \"b0\"; lan = \"e1\"; wan = \"e2\";"
		" address = \"10.9.0.1/24\"; } );"
		"peers = ( { name = \"p\"; address = \"10.9.0.2\"; key_file = \"k\"; } );");
	CU_ASSERT_FATAL(next != NULL);
	CU_ASSERT_EQUAL(policy_check_live(p, next, &problems), -EBUSY);
	describe(&problems, found, sizeof(found));
	CU_ASSERT_STRING_EQUAL(found, "0 E bridges[0].address; 0 E peers");
	policy_problems_free(&problems);

	struct policy *peers = policy_copy(next);
	CU_ASSERT_FATAL(peers != NULL);
	peers->peers[0].mss_clamp = !peers->peers[0].mss_clamp;
	CU_ASSERT_EQUAL(policy_check_live(next, peers, NULL), 0);
	peers->peers[0].key[0] ^= 1;
	peers->peers[0].key_len = 16;
	peers->peers[0].path_mtu = 1400;
	CU_ASSERT_EQUAL(policy_check_live(next, peers, &problems), -EBUSY);
	describe(&problems, found, sizeof(found));
	CU_ASSERT_STRING_EQUAL(found, "0 E peers[0].path_mtu; 0 E peers[0].key_file");
	policy_problems_free(&problems);
	policy_free(peers);
	policy_free(next);

	next = read_good("bridges = ( { name = \"b0\"; lan = \"e1\"; wan = \"e2\"; },"
			 "{ name = \"b1\"; lan = \"e3\"; wan = \"e4\"; } );");
	CU_ASSERT_FATAL(next != NULL);
	CU_ASSERT_EQUAL(policy_check_live(p, next, NULL), -EBUSY);
	policy_free(next);
	policy_free(p);
}

UNIT_TESTS("policy read", {"every field", test_fields}, {"the least there is", test_least},
	{"shape of the file", test_shape}, {"contradictions", test_contradictions},
	{"messages say what would be right", test_messages}, {"a copy is deep", test_copy},
	{"check after a live change", test_check_after_change},
	{"what needs a restart", test_check_live})
