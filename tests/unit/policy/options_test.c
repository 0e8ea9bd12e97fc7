/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every option by itself: good values are taken, each bad one gives exactly one error, at its line
 * and under its name. The table must have every option that the parser knows.
 */
#include "controlplane/policy/options.h"
#include "tests/unit/policy/policy_helper.h"

#define VALUES_MAX 28

struct option_case {
	const char *group, *option;
	const char *good[VALUES_MAX];
	const char *bad[VALUES_MAX];
};

#define BAD_RATES                                                                                  \
	"20", "\"20\"", "0", "\"0 bit/s\"", "\"63 kbit/s\"", "\"401 Gbit/s\"", "\"20 MB/s\"",      \
		"\"20 Mbps\"", "\"-5 Mbit/s\"", "\"\"", "true", "( )", "{ }", "20.5",              \
		"99999999999999999999"
#define BAD_PERCENT                                                                                \
	"\"0 %\"", "\"100.0001 %\"", "\"0.00001 %\"", "\"-5 %\"", "\"%\"", "\"5 %%\"",             \
		"\"1e2 %\"", "\"184467440737095516.16 %\""
#define BAD_BURSTS                                                                                 \
	"\"1499 B\"", "\"4.1 GB\"", "30000", "\"30000\"", "0", "\"5 ms\"", "\"none\"", "true"
#define BAD_ACTIONS "64", "-1", "\"64\"", "\"-1\"", "\"af14\"", "\"\"", "true", "4294967296"
#define BAD_NAMES                                                                                  \
	"\"\"", "\"a b\"", "\"a/b\"", "\"-a\"", "\"\xc3\xa4\"", "5", "true", "[ \"a\" ]",          \
		"\"abcdefghijklmnopqrstuvwxyzabcdef\"", "\"a\\x01\""
#define BAD_BOOLS "1", "0", "\"true\"", "\"yes\"", "\"\"", "( true )"
#define BAD_RANGES(max, above)                                                                     \
	"-1", above, "\"" above "\"", "\"5-" above "\"", "\"9-5\"", "\"5-\"", "\"-5\"", "\"5-x\"", \
		"\"\"", "\"x\"", "true", "5.0", "[ 5 ]", "4294967301"
#define BAD_PREFIXES                                                                               \
	"\"10.0.0.1/8\"", "\"10.0.0.0/33\"", "\"10.0.0\"", "\"fd00::/129\"", "\"x\"", "\"\"",      \
		"\"10.0.0.0/\"", "\"10.0.0.0/8x\"", "\"10.0.0.0/-1\"", "\"::ffff:1.2.3.4\"", "10", \
		"[ \"10.0.0.0/8\" ]"

static const struct option_case cases[] = {
	{"", "compression", {"\"on\"", "\"off\"", "\"dry-run\"", "\"ON\""},
		{"true", "\"dryrun\"", "\"\"", "1"}},
	{"", "bypass", {"true", "false", "TRUE", "\"on\"", "\"Off\""}, {BAD_BOOLS}},

	{"appliance", "name", {"\"a\"", "\"Branch-1.x_y\""}, {BAD_NAMES}},
	{"appliance", "workers",
		{"\"1\"", "\"1-4\"", "\"1,3\"", "\"1, 3-5\"", "[ 1, 3 ]", "( 1 )", "\"1-16\"",
			"\"1023\""},
		{"2", "\"\"", "\"4-1\"", "\"1-17\"", "\"1,1\"", "\"1-3,2\"", "\"1,\"", "\",1\"",
			"\"a\"", "\"1-\"", "\"1024\"", "[ ]", "[ 1, 1 ]", "[ -1 ]", "[ \"1\" ]",
			"true", "[ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17 ]",
			"\"0-4294967296\"", "\"0-999999999\""}},
	{"appliance", "control_cpu", {"0", "1023"},
		{"-1", "1024", "\"0\"", "4294967296", "-4294967295", "0.0"}},
	{"appliance", "poll", {"\"adaptive\"", "\"busy\""}, {"\"bussy\"", "true", "\"\""}},
	{"appliance", "hugepages", {"true", "false", "\"on\"", "\"off\""}, {BAD_BOOLS}},
	{"appliance", "store_directory", {"\"\"", "\"/var/lib/sluice\"", "\"/\""}, {"1", "true"}},
	{"appliance", "dry_run_store", {"\"none\"", "\"16 MiB\"", "\"65536 MiB\""},
		{"\"15 MiB\"", "\"65537 MiB\"", "64", "\"\""}},
	{"appliance", "memory", {"\"auto\"", "\"64 MiB\"", "\"1024 GiB\"", "\"1 GiB\""},
		{"512", "\"512\"", "\"63 MiB\"", "\"1025 GiB\"", "\"100 MB\"", "0",
			"\"unlimited\""}},
	{"appliance", "flows", {"1024", "16777216"},
		{"0", "1023", "16777217", "\"1024\"", "-1", "1e6", "4294968320", "\"auto\""}},
	{"appliance", "buffers", {"\"auto\"", "1024", "16777216"},
		{"0", "1023", "16777217", "\"0\""}},
	{"appliance", "queues", {"64", "4194304"}, {"0", "63", "4194305", "\"64\""}},
	{"appliance", "classes", {"64", "131072"}, {"0", "63", "131073", "\"64\"", "-1"}},
	{"appliance", "hosts", {"0", "4194304"}, {"-1", "4194305", "\"0\"", "\"auto\""}},
	{"appliance", "distributions", {"1", "131072"}, {"0", "131073", "-1", "\"1\""}},
	{"appliance", "mtu", {"1500", "9000"}, {"0", "1499", "9001", "\"1500 B\"", "67036"}},
	{"appliance", "group", {"\"\"", "\"netadmin\""},
		{"\"a b\"", "5", "\"abcdefghijklmnopqrstuvwxyzabcdef\""}},

	{"bridges", "name", {"\"b0\""}, {BAD_NAMES, "\"any\""}},
	{"bridges", "lan", {"\"eth1\"", "\"0000:03:00.0\"", "\"net_pcap0,rx_pcap=/tmp/in\""},
		{"\"\"", "\"a b\"", "\"a\\n\"", "5"}},
	{"bridges", "wan", {"\"eth1\""}, {"\"\"", "\"a b\"", "true", "\"e1\"", "\"af_packet:e1\""}},
	{"bridges", "address", {"\"10.0.0.9/24\"", "\"10.0.0.9/31\"", "\"10.0.0.200/8\""},
		{"\"10.0.0.9\"", "\"10.0.0.0/24\"", "\"10.0.0.255/24\"", "\"127.0.0.1/8\"",
			"\"224.0.0.1/24\"", "\"0.0.0.0/0\"", "\"10.0.0.9/33\"", "\"fd00::1/64\"",
			"\"\"", "10", "\"255.255.255.255/32\"", "\"10.0.0.9/0\""}},
	{"bridges", "gateway", {"\"none\"", "\"10.0.0.253\""},
		{"\"10.0.0.1\"", "\"10.0.0.253/24\"", "\"fd00::1\"", "\"x\"", "\"\"", "\"0.0.0.0\"",
			"5"}},
	{"bridges", "address6", {"\"none\"", "\"fd00::2/64\"", "\"fe80::1/10\""},
		{"\"fd00::2\"", "\"10.0.0.9/24\"", "\"::1/64\"", "\"ff02::1/64\"", "\"::/0\"",
			"\"x\""}},
	{"bridges", "gateway6", {"\"none\"", "\"fd00::fe\"", "\"fe80::1\""},
		{"\"fd00::1\"", "\"10.0.0.254\"", "\"fd00::fe/64\"", "\"::\""}},
	{"bridges", "vlan", {"\"untagged\"", "1", "4094"}, {"0", "4095", "\"5\"", "-1", "65537"}},
	{"bridges", "up", {"\"unlimited\"", "\"64 kbit/s\"", "\"400 Gbit/s\"", "\"20mbit\""},
		{BAD_RATES}},
	{"bridges", "down", {"\"unlimited\"", "\"1.5 Gbit/s\""}, {BAD_RATES}},
	{"bridges", "up_min", {"\"none\"", "\"64 kbit/s\"", "\"400 Gbit/s\""}, {BAD_RATES}},
	{"bridges", "down_min", {"\"none\"", "\"1.5 Mbit/s\""}, {BAD_RATES}},
	{"bridges", "overhead", {"0", "24", "256", "-64"},
		{"-65", "257", "\"24\"", "\"24 B\"", "-4294967296", "4294967296"}},
	{"bridges", "frame_min", {"0", "60", "256"}, {"-1", "257", "\"60\"", "\"60 B\""}},
	{"bridges", "burst", {"\"10 us\"", "\"1 s\"", "\"5ms\""},
		{"5", "\"5\"", "\"9 us\"", "\"1.1 s\"", "\"5 kB\"", "\"none\"", "\"5 s\""}},
	{"bridges", "stamp_reflector", {"\"off\"", "\"peers\"", "\"any\""},
		{"\"on\"", "\"\"", "true", "1"}},
	{"bridges", "stamp_port", {"1", "862", "65535"}, {"0", "65536", "\"862\"", "-1"}},
	{"bridges", "stamp_rate", {"1", "10000"}, {"0", "10001", "\"100\"", "-1"}},
	{"bridges", "stamp_stateful", {"true", "false"}, {BAD_BOOLS}},

	{"classes", "name", {"\"c\"", "\"default\""}, {BAD_NAMES}},
	{"classes", "priority", {"0", "7"}, {"-1", "8", "\"0\"", "256", "4294967296"}},
	{"classes", "weight", {"1", "1000"}, {"0", "1001", "-1", "\"1\"", "1.5"}},
	{"classes", "parent", {"\"\""},
		{"\"c\"", "\"d\"", "\"default\"", "\"link\"", "0", "true", "( )"}},
	{"classes", "rate",
		{"\"none\"", "\"64 kbit/s\"", "\"400 Gbit/s\"", "\"20 %\"", "\"12.3456%\"",
			"\"100 %\"", "\"0.0001 %\""},
		{BAD_RATES, BAD_PERCENT}},
	{"classes", "ceil", {"\"unlimited\"", "\"64 kbit/s\"", "\" 50 % \""},
		{BAD_RATES, BAD_PERCENT}},
	{"classes", "burst",
		{"\"auto\"", "\"1500 B\"", "\"1 GB\"", "\"20 ms\"", "\"10 us\"", "\"1 s\""},
		{"\"1499 B\"", "\"1.1 GB\"", "3000", "\"3000\"", "0", "\"9999 ns\"", "\"1001 ms\"",
			"\"0 s\"", "\"0 B\"", "\"5 %\"", "\"-5 ms\"",
			"\"99999999999999999999 s\""}},
	{"classes", "flow_rate", {"\"unlimited\"", "\"2 Mbit/s\""}, {BAD_RATES}},
	{"classes", "flow_burst", {"\"30 kB\"", "\"64 KiB\"", "\"5 ms\""},
		{"\"1499 B\"", "\"1.1 GB\"", "30", "\"auto\"", "\"30 kbit\""}},
	{"classes", "queue_time", {"\"none\"", "\"1 ms\"", "\"4 s\""},
		{"\"999 us\"", "\"5 s\"", "100", "\"0 s\"", "\"100\"", "0"}},
	{"classes", "queue_size", {"\"3 kB\"", "\"1 GB\""},
		{"\"2999 B\"", "\"2 GB\"", "512", "\"none\""}},
	{"classes", "per",
		{"\"flow\"", "\"src\"", "\"DST\"", "\"lan/1,1\"", "\"wan/32,128\"", "\"src/24\"",
			"\"src/24,56\""},
		{"\"host\"", "\"\"", "\"flow/24\"", "\"src/0\"", "\"src/33\"", "\"src/24,0\"",
			"\"src/24,129\"", "\"src/\"", "\"src/24,\"", "\"src/,56\"", "\"src/-1\"",
			"\"src/24/56\"", "\"src/24,56,64\"", "\"/24\"", "24", "true",
			"\"src/4294967320\"", "\"src/ 24\""}},
	{"classes", "aqm", {"\"none\"", "\"codel\"", "\"pie\"", "\"dualpi2\""},
		{"true", "false", "\"fq\"", "\"\"", "1"}},
	{"classes", "aqm_target", {"\"auto\"", "\"100 us\"", "\"1 s\""},
		{"\"99 us\"", "\"1001 ms\"", "5", "\"5\"", "\"none\"", "\"0 s\""}},
	{"classes", "ecn", {"true", "false", "\"on\"", "\"off\""}, {BAD_BOOLS}},
	{"classes", "police", {"\"none\""},
		{"\"policer\"", "\"\"", "true", "2698", "\"trtcm4115\""}},
	{"classes", "cir", {"\"none\"", "\"64 kbit/s\"", "\"400 Gbit/s\""}, {BAD_RATES, "\"5 %\""}},
	{"classes", "pir", {"\"none\"", "\"2 Mbit/s\""}, {BAD_RATES, "\"5 %\""}},
	{"classes", "eir", {"\"none\"", "\"2 Mbit/s\""}, {BAD_RATES, "\"5 %\""}},
	{"classes", "cbs", {"\"auto\"", "\"1500 B\"", "\"4 GB\""}, {BAD_BURSTS}},
	{"classes", "pbs", {"\"auto\"", "\"30 kB\""}, {BAD_BURSTS}},
	{"classes", "ebs", {"\"auto\"", "\"30 kB\""}, {BAD_BURSTS}},
	{"classes", "colour_aware", {"true", "false", "\"on\"", "\"off\""}, {BAD_BOOLS}},
	{"classes", "green", {"\"pass\"", "\"drop\"", "\"af11\"", "0", "63", "\"46\"", "\"EF\""},
		{BAD_ACTIONS}},
	{"classes", "yellow", {"\"pass\"", "\"af12\""}, {BAD_ACTIONS}},
	{"classes", "red", {"\"drop\"", "\"default\""}, {BAD_ACTIONS}},
	{"classes", "compress", {"true", "false", "\"on\"", "\"off\""}, {BAD_BOOLS}},
	{"classes", "dry_run", {"true", "false", "\"on\"", "\"off\""}, {BAD_BOOLS}},
	{"classes", "codec", {"\"auto\"", "\"lz4\"", "\"zstd\"", "\"raw\""},
		{"\"\"", "\"gzip\"", "1", "true"}},
	{"classes", "acceleration", {"1", "64"}, {"0", "65", "\"fast\"", "-1", "1.5"}},
	{"classes", "zstd_level", {"1", "3"}, {"0", "4", "\"1 MB\"", "-1"}},
	{"classes", "history", {"true", "false", "\"on\"", "\"off\""}, {BAD_BOOLS}},
	{"classes", "store_all", {"true", "false", "\"on\"", "\"off\""}, {BAD_BOOLS}},
	{"classes", "private", {"true", "false", "\"on\"", "\"off\""}, {BAD_BOOLS}},
	{"classes", "pack", {"true", "false", "\"on\"", "\"off\""}, {BAD_BOOLS}},
	{"classes", "pack_wait", {"\"none\"", "\"1 us\"", "\"200 us\""},
		{"\"0 us\"", "\"201 us\"", "100", "true", "\"\""}},

	{"rules", "match", {"{ }", "{ dport = 5; }"}, {"5", "( )", "\"x\"", "true"}},
	{"rules", "class", {"\"default\"", "\"c\""}, {"\"d\"", "\"\"", "0", "true"}},
	{"match", "proto",
		{"\"any\"", "\"tcp\"", "\"UDP\"", "6", "\"6\"", "\"6-17\"", "255", "0", "\"icmp6\"",
			"\"0-255\""},
		{BAD_RANGES(255, "256")}},
	{"match", "src",
		{"\"any\"", "\"10.0.0.0/8\"", "\"10.1.2.3\"", "\"fd00::/8\"", "\"::/0\"",
			"\"0.0.0.0/0\""},
		{BAD_PREFIXES}},
	{"match", "dst", {"\"any\"", "\"10.0.0.0/8\"", "\"2001:db8::1\""}, {BAD_PREFIXES}},
	{"match", "sport", {"\"any\"", "0", "65535", "\"80\"", "\"80-81\""},
		{BAD_RANGES(65535, "65536")}},
	{"match", "dport", {"\"any\"", "443", "\"5004-5020\""}, {BAD_RANGES(65535, "65536")}},
	{"match", "vlan", {"\"any\"", "\"untagged\"", "0", "\"1-4094\""},
		{BAD_RANGES(4095, "4096")}},
	{"match", "dscp", {"\"any\"", "\"ef\"", "46", "\"40-47\"", "\"AF41\"", "\"cs1-cs3\""},
		{BAD_RANGES(63, "64")}},
	{"match", "direction", {"\"any\"", "\"up\"", "\"down\""}, {"\"left\"", "1", "\"\""}},
	{"match", "bridge", {"\"any\"", "\"b0\""}, {"\"b1\"", "0", "\"\""}},

	{"peers", "name", {"\"p\""}, {BAD_NAMES}},
	{"peers", "address", {"\"10.0.0.7\"", "\"192.0.2.1\"", "\"fd00::7\""},
		{"\"10.0.0.7/24\"", "\"10.0.0.1\"", "\"224.0.0.1\"", "\"127.0.0.1\"", "\"x\"",
			"\"\"", "\"none\"", "10", "\"fd00::1\"", "\"2001:db8::1\""}},
	{"peers", "key_file", {"\"lab.key\"", "\"/etc/sluice/dc.key\"", "\"with space\""},
		{"\"\"", "5", "\"a\\n\""}},
	{"peers", "networks",
		{"( )", "[ ]", "( \"10.1.0.0/16\" )", "[ \"10.1.0.0/16\", \"fd01::/48\" ]"},
		{"\"10.1.0.0/16\"", "5", "true", "{ }"}},
	{"peers", "bridge", {"\"b0\"", "\"\""}, {"\"b1\"", "0", "\"any\""}},
	{"peers", "port", {"1", "65535"}, {"0", "65536", "\"5820\"", "-1"}},
	{"peers", "framing", {"\"tunnel\"", "\"transparent\""}, {"\"ipcomp\"", "1"}},
	{"peers", "path", {"\"routed\"", "\"bridged\""}, {"\"bridge\"", "true"}},
	{"peers", "path_mtu", {"576", "1500"}, {"575", "1501", "9001", "\"1400\""}},
	{"peers", "mss_clamp", {"true", "false", "\"on\"", "\"off\""}, {BAD_BOOLS}},
	/* The ciphers: read_test.c, as they need another option. */
	{"peers", "encryption", {"\"none\""}, {"\"aes\"", "\"aes-128-gcm\"", "true", "1"}},
	{"peers", "unencrypted", {"\"drop\"", "\"pass\""}, {"\"no\"", "true", "0"}},
	{"peers", "store", {"\"none\"", "\"16 MiB\"", "\"64 GiB\"", "\"256 MiB\""},
		{"256", "\"15 MiB\"", "\"65 GiB\"", "\"auto\"", "\"\"", "true"}},
	{"peers", "stamp_interval", {"\"none\"", "\"10 ms\"", "\"4 s\""},
		{"100", "\"9 ms\"", "\"5 s\"", "\"0 s\"", "\"\""}},
	{"peers", "stamp_dscp", {"0", "63", "\"ef\"", "\"default\""},
		{"64", "-1", "\"pass\"", "\"drop\"", "\"efg\"", "true"}},
	{"peers", "stamp_size", {"\"least\"", "100", "1500"}, {"99", "1501", "9001", "\"100\""}},
	{"peers", "stamp_port", {"1", "65535"}, {"0", "65536", "\"862\"", "-1"}},
	{"peers", "stamp_key_file", {"\"\"", "\"k\"", "\"/etc/sluice/stamp.key\""}, {"1", "true"}},
};

/* A valid configuration, an option a line. */
struct line {
	const char *group, *option, *value;
};

static const struct line base[] = {
	{"bridges", "name", "\"b0\""},
	{"bridges", "lan", "\"e1\""},
	{"bridges", "wan", "\"e2\""},
	{"bridges", "address", "\"10.0.0.1/24\""},
	{"bridges", "gateway", "\"10.0.0.254\""},
	{"bridges", "address6", "\"fd00::1/64\""},
	{"bridges", "up", "\"400 Gbit/s\""},
	{"bridges", "down", "\"400 Gbit/s\""},
	{"classes", "name", "\"c\""},
	{"classes", "compress", "true"},
	{"rules", "class", "\"default\""},
	{"peers", "name", "\"p\""},
	{"peers", "address", "\"10.0.0.2\""},
	{"peers", "key_file", "\"k\""},
	{"peers", "networks", "( \"10.1.0.0/16\" )"},
};

struct draft {
	char text[4096];
	size_t len;
	uint32_t lines;
	const char *group, *option, *value; /* what is tried */
	uint32_t line;			    /* where it stands, or the group it is missing in */
};

static void put(struct draft *d, const char *text)
{
	d->len += (size_t)snprintf(d->text + d->len, sizeof(d->text) - d->len, "%s\n", text);
	d->lines++;
}

static void put_option(struct draft *d, const char *option, const char *value)
{
	char line[1024];

	snprintf(line, sizeof(line), "%s = %s;", option, value);
	put(d, line);
}

static void put_group(struct draft *d, const char *group)
{
	bool here = strcmp(group, d->group) == 0;

	if (here && d->value == NULL)
		d->line = d->lines;
	for (unsigned i = 0; i < sizeof(base) / sizeof(base[0]); i++)
		if (strcmp(base[i].group, group) == 0 &&
			!(here && strcmp(base[i].option, d->option) == 0))
			put_option(d, base[i].option, base[i].value);
	if (here && d->value != NULL) {
		put_option(d, d->option, d->value);
		d->line = d->lines;
	}
}

static void write_draft(struct draft *d)
{
	put_group(d, "");
	put(d, "appliance = {");
	put_group(d, "appliance");
	put(d, "}; bridges = ( {");
	put_group(d, "bridges");
	put(d, "} ); classes = ( {");
	put_group(d, "classes");
	put(d, "} ); rules = ( {");
	put_group(d, "rules");
	if (strcmp(d->option, "match") != 0) {
		put(d, "match = {");
		put_group(d, "match");
		put(d, "};");
	}
	put(d, "} ); peers = ( {");
	put_group(d, "peers");
	put(d, "} );");
}

static void path_of(const struct option_case *c, char *path, size_t size)
{
	if (strcmp(c->group, "match") == 0)
		snprintf(path, size, "rules[0].match.%s", c->option);
	else if (strcmp(c->group, "appliance") == 0 || *c->group == '\0')
		snprintf(path, size, "%s%s%s", c->group, *c->group == '\0' ? "" : ".", c->option);
	else
		snprintf(path, size, "%s[0].%s", c->group, c->option);
}

/* Tries one value; NULL: the option is left out. */
static bool try_value(const struct option_case *c, const char *value, bool good)
{
	struct draft d = {.group = c->group, .option = c->option, .value = value};
	struct policy_problems problems;
	char path[64];

	write_draft(&d);
	path_of(c, path, sizeof(path));
	struct policy *policy = policy_read_text(d.text, d.len, "x", false, &problems);
	bool right = good ? policy != NULL : policy == NULL && problems.errors == 1;
	for (uint32_t i = 0; i < problems.count; i++) {
		const struct policy_problem *p = &problems.list[i];
		if (!good && !p->is_warning)
			right &= p->line == d.line && strcmp(p->option, path) == 0 &&
				 strlen(p->text) > 20;
	}
	if (!right) {
		printf("     %s = %s should be %s at line %u\n", path, value == NULL ? "?" : value,
			good ? "taken" : "refused", d.line);
		for (uint32_t i = 0; i < problems.count; i++)
			printf("       %u: %s: %s\n", problems.list[i].line,
				problems.list[i].option, problems.list[i].text);
	}
	policy_free(policy);
	policy_problems_free(&problems);
	return right;
}

static void test_good_values(void)
{
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CU_ASSERT_FATAL(cases[i].good[0] != NULL);
		for (unsigned v = 0; cases[i].good[v] != NULL; v++)
			CU_ASSERT(try_value(&cases[i], cases[i].good[v], true));
	}
}

static void test_bad_values(void)
{
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CU_ASSERT_FATAL(cases[i].bad[0] != NULL);
		for (unsigned v = 0; cases[i].bad[v] != NULL; v++)
			CU_ASSERT(try_value(&cases[i], cases[i].bad[v], false));
	}
}

/* Left out: an error if it is required, else its default. */
static void test_left_out(void)
{
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct option *o = NULL;
		for (unsigned g = 0; options_groups[g] != NULL; g++)
			if (strcmp(options_groups[g]->name, cases[i].group) == 0)
				o = option_find(options_groups[g], cases[i].option);
		CU_ASSERT_FATAL(o != NULL);
		/* The base needs the address for its peer. */
		if (strcmp(o->name, "address") != 0 || o->fallback == NULL)
			CU_ASSERT(try_value(&cases[i], NULL, o->fallback != NULL));
	}
}

static void test_table_is_complete(void)
{
	unsigned known = 0;

	for (unsigned g = 0; options_groups[g] != NULL; g++) {
		for (uint32_t i = 0; i < options_groups[g]->count; i++, known++) {
			bool found = false;
			for (unsigned c = 0; c < sizeof(cases) / sizeof(cases[0]); c++)
				found |= strcmp(cases[c].group, options_groups[g]->name) == 0 &&
					 strcmp(cases[c].option,
						 options_groups[g]->options[i].name) == 0;
			if (!found)
				printf("     no case for %s.%s\n", options_groups[g]->name,
					options_groups[g]->options[i].name);
			CU_ASSERT(found);
		}
	}
	CU_ASSERT_EQUAL(known, sizeof(cases) / sizeof(cases[0]));
}

UNIT_TESTS("policy options", {"every option has a case", test_table_is_complete},
	{"good values are taken", test_good_values},
	{"bad values are refused at their line", test_bad_values},
	{"what is left out", test_left_out})
