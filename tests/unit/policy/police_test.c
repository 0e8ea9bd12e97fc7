/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Policers, rate tracking and limits per host: what fits together, and what the daemon is told.
 */
#include <errno.h>

#include "tests/unit/policy/policy_helper.h"

#define BRIDGE "bridges = ( { name = \"b0\"; lan = \"e1\"; wan = \"e2\"; } );\n"
#define CLASS(options) BRIDGE "classes = ( { name = \"c\";\n" options "} );\n"

static void test_numbers(void)
{
	static const struct {
		const char *options;
		struct policy_policer expected;
	} table[] = {
		{"police = \"srtcm\"; cir = \"8 Mbit/s\"; cbs = \"50 kB\"; ebs = \"70 kB\";",
			{POLICE_SRTCM, false, {POLICE_PASS, POLICE_PASS, POLICE_DROP}, 8000000,
				50000, 0, 70000}},
		{"police = \"trtcm\"; cir = \"8 Mbit/s\"; pir = \"9 Mbit/s\"; cbs = \"2 kB\"; pbs "
		 "= "
		 "\"4 GB\"; colour_aware = true; green = \"af11\"; yellow = 14; red = \"pass\";",
			{POLICE_TRTCM, true, {10, 14, POLICE_PASS}, 8000000, 2000, 9000000,
				4000000000}},
		{"police = \"trtcm-4115\"; cir = \"8 Mbit/s\"; eir = \"1 Mbit/s\"; cbs = \"3 kB\"; "
		 "ebs "
		 "= \"4 kB\"; yellow = \"drop\"; red = \"le\";",
			{POLICE_TRTCM_4115, false, {POLICE_PASS, POLICE_DROP, 1}, 8000000, 3000,
				1000000, 4000}},
		/* Bursts that are not given: 100 ms, at least 30 kB. */
		{"police = \"srtcm\"; cir = \"8 Mbit/s\";",
			{POLICE_SRTCM, false, {POLICE_PASS, POLICE_PASS, POLICE_DROP}, 8000000,
				100000, 0, 100000}},
		{"police = \"trtcm\"; cir = \"400 Gbit/s\"; pir = \"400 Gbit/s\";",
			{POLICE_TRTCM, false, {POLICE_PASS, POLICE_PASS, POLICE_DROP}, 400000000000,
				5000000000, 400000000000, 5000000000}},
		{"police = \"trtcm-4115\"; cir = \"64 kbit/s\"; eir = \"16 Mbit/s\";",
			{POLICE_TRTCM_4115, false, {POLICE_PASS, POLICE_PASS, POLICE_DROP}, 64000,
				30000, 16000000, 200000}},
		{"", {POLICE_NONE, false, {POLICE_PASS, POLICE_PASS, POLICE_DROP}, 0, 30000, 0,
			     30000}},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char text[512];
		snprintf(text, sizeof(text), BRIDGE "classes = ( { name = \"c\"; %s } );",
			table[i].options);
		struct policy *p = read_good(text);
		CU_ASSERT_FATAL(p != NULL);
		struct policy_policer is = policy_policer(&p->classes[1]),
				      should = table[i].expected;
		CU_ASSERT_EQUAL(is.mode, should.mode);
		CU_ASSERT_EQUAL(is.colour_aware, should.colour_aware);
		CU_ASSERT_EQUAL(memcmp(is.action, should.action, 3), 0);
		CU_ASSERT_EQUAL(is.cir_bps, should.cir_bps);
		CU_ASSERT_EQUAL(is.cbs_bytes, should.cbs_bytes);
		CU_ASSERT_EQUAL(is.eir_bps, should.eir_bps);
		CU_ASSERT_EQUAL(is.ebs_bytes, should.ebs_bytes);
		policy_free(p);
	}
}

static void test_police(void)
{
	static const struct {
		const char *text, *problems;
	} table[] = {
		{CLASS("police = \"srtcm\"; "), "2 E classes[0].cir"},
		{CLASS("police = \"trtcm\"; "), "2 E classes[0].cir; 2 E classes[0].pir"},
		{CLASS("police = \"trtcm-4115\";\ncir = \"1 Mbit/s\"; "), "2 E classes[0].eir"},
		{CLASS("police = \"trtcm\"; cir = \"2 Mbit/s\";\npir = \"1999999 bit/s\"; "),
			"4 E classes[0].pir"},
		{CLASS("police = \"trtcm\"; cir = \"2 Mbit/s\";\npir = \"2 Mbit/s\"; "), ""},
		{CLASS("police = \"trtcm-4115\"; cir = \"2 Mbit/s\";\neir = \"1 Mbit/s\"; "), ""},
		/* Of another RFC. */
		{CLASS("police = \"srtcm\"; cir = \"2 Mbit/s\";\npir = \"2 Mbit/s\";\n"
		       "pbs = \"9 kB\";\neir = \"1 Mbit/s\"; "),
			"4 E classes[0].pir; 5 E classes[0].pbs; 6 E classes[0].eir"},
		{CLASS("police = \"trtcm\"; cir = \"2 Mbit/s\"; pir = \"2 Mbit/s\";\n"
		       "ebs = \"9 kB\";\neir = \"1 Mbit/s\"; "),
			"4 E classes[0].ebs; 5 E classes[0].eir"},
		{CLASS("police = \"trtcm-4115\"; cir = \"2 Mbit/s\"; eir = \"2 Mbit/s\";\n"
		       "pbs = \"9 kB\"; "),
			"4 E classes[0].pbs"},
		{CLASS("cir = \"2 Mbit/s\";\ncbs = \"9 kB\";\nebs = \"9 kB\"; "),
			"3 W classes[0].cir; 4 W classes[0].cbs; 5 W classes[0].ebs"},
		/* Bursts that hold no packet. */
		{"appliance = { mtu = 9000; };" CLASS(
			 "police = \"srtcm\"; cir = \"2 Mbit/s\";\ncbs = \"8999 B\";\nebs = \"9 "
			 "kB\"; "),
			"4 E classes[0].cbs"},
		{"appliance = { mtu = 9000; };" CLASS("police = \"trtcm\"; cir = \"2 Mbit/s\"; pir "
						      "= \"3 Mbit/s\";\npbs = \"8 kB\"; "),
			"4 E classes[0].pbs"},
		{"appliance = { mtu = 9000; }; " CLASS("police = \"none\";\ncbs = \"2 kB\"; "),
			"4 W classes[0].cbs"},
		/* Beside policers. */
		{"appliance = { hosts = 0; }; " CLASS("per = \"flow\"; "), ""},
		{"appliance = { hosts = 0; }; " CLASS("\nper = \"src/24\"; "),
			"4 E classes[0].per"},
		{CLASS("aqm = \"none\";\naqm_target = \"5 ms\"; "), "4 W classes[0].aqm_target"},
		{CLASS("aqm = \"dualpi2\";\necn = false; "), "4 W classes[0].ecn"},
		{"appliance = { distributions = 1; };\n" CLASS(""), "1 W appliance.distributions"},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		CU_ASSERT(finds(table[i].text, table[i].problems));
}

#define TRACKED(options)                                                                           \
	"bridges = ( { name = \"b0\"; lan = \"e1\"; wan = \"e2\"; address = \"10.0.0.1/24\";\n"    \
	"up = \"10 Mbit/s\";\n" options "} );\ncompression = \"off\";\n"
#define PEER                                                                                       \
	"peers = ( { name = \"p\"; address = \"10.0.0.2\"; key_file = \"k\"; networks = ( "        \
	"\"10.1.0.0/16\" ); } );\n"

static void test_tracking(void)
{
	static const struct {
		const char *text, *problems;
	} table[] = {
		{TRACKED("up_min = \"1 Mbit/s\"; ") PEER, ""},
		{TRACKED("up_min = \"10 Mbit/s\"; ") PEER, ""},
		{TRACKED("up_min = \"10001 kbit/s\"; ") PEER, "3 E bridges[0].up_min"},
		{TRACKED("up_min = \"1 Mbit/s\";\ndown_min = \"1 Mbit/s\"; ") PEER,
			"4 E bridges[0].down_min"},
		{TRACKED("up_min = \"1 Mbit/s\"; "), "3 E bridges[0].up_min"},
		/* A peer, but behind the other bridge. */
		{"bridges = ( { name = \"b0\"; lan = \"e1\"; wan = \"e2\"; address = "
		 "\"10.0.0.1/24\"; },\n"
		 "{ name = \"b1\"; lan = \"e3\"; wan = \"e4\"; up = \"9 Mbit/s\"; up_min = "
		 "\"1 Mbit/s\"; } );\ncompression = \"off\"; peers = ( { name = \"p\"; address = "
		 "\"10.0.0.2\"; key_file = \"k\"; bridge = \"b0\"; networks = ( \"10.1.0.0/16\" ); "
		 "} );",
			"2 E bridges[1].up_min"},
		{TRACKED("down = \"x\"; down_min = \"1 Mbit/s\"; ") PEER, "3 E bridges[0].down"},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		CU_ASSERT(finds(table[i].text, table[i].problems));
}

static void test_live(void)
{
	struct policy *p =
		read_good(CLASS("police = \"trtcm\"; cir = \"1 Mbit/s\"; pir = \"2 Mbit/s\"; "));
	char error[POLICY_ERROR_MAX];

	CU_ASSERT_FATAL(p != NULL);
	CU_ASSERT_EQUAL(policy_set_class(p, 1, "pir", "900 kbit", error), 0);
	CU_ASSERT_EQUAL(policy_check(p, NULL), -EINVAL);
	CU_ASSERT_EQUAL(policy_set_class(p, 1, "police", "none", error), 0);
	CU_ASSERT_EQUAL(policy_check(p, NULL), 0);
	CU_ASSERT_EQUAL(policy_set_class(p, 1, "red", "af13", error), 0);
	CU_ASSERT_EQUAL(p->classes[1].police.action[2], 14);
	CU_ASSERT_EQUAL(policy_set_class(p, 1, "red", "63", error), 0);
	CU_ASSERT_EQUAL(p->classes[1].police.action[2], 63);
	CU_ASSERT_EQUAL(policy_set_class(p, 1, "red", "64", error), -EINVAL);
	CU_ASSERT_EQUAL(policy_set_class(p, 1, "per", "dst/20,48", error), 0);
	CU_ASSERT(p->classes[1].per == PER_DST && p->classes[1].per_bits4 == 20 &&
		  p->classes[1].per_bits6 == 48);
	p->classes[1].police.action[1] = POLICE_DROP + 1;
	CU_ASSERT_EQUAL(policy_check(p, NULL), -EINVAL);
	p->classes[1].police.action[1] = POLICE_DROP;
	p->classes[1].per_bits4 = 33;
	CU_ASSERT_EQUAL(policy_check(p, NULL), -EINVAL);
	policy_free(p);
}

UNIT_TESTS("policy police", {"what a policer comes to", test_numbers},
	{"what does not fit together", test_police}, {"rate tracking", test_tracking},
	{"live changes", test_live})
