/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The files in conf/: all are valid, and conf/sluice.conf, which is the manual, has every option
 * with the default that the parser uses. The file is read here with libconfig itself.
 */
#include <libconfig.h>

#include "controlplane/policy/options.h"
#include "controlplane/policy/values.h"
#include "tests/unit/policy/policy_helper.h"

static char *read_conf(const char *name)
{
	char path[512];
	char *text = calloc(1, 1 << 20);

	snprintf(path, sizeof(path), "%s/%s", CONF_FOLDER, name);
	FILE *f = fopen(path, "r");
	if (f == NULL || text == NULL || fread(text, 1, (1 << 20) - 1, f) == 0) {
		printf("     can't read %s\n", path);
		abort();
	}
	fclose(f);
	return text;
}

/* Read without a single problem, warnings included. */
static struct policy *read_clean(const char *name)
{
	char *text = read_conf(name);

	CU_ASSERT(finds(text, ""));
	struct policy *p = read_good(text);
	CU_ASSERT_FATAL(p != NULL);
	free(text);
	return p;
}

/* The comment right above a line, as one string. */
static void comment_above(const char *text, unsigned line, char *comment, size_t size)
{
	size_t len = 0;
	unsigned n = 1;

	comment[0] = '\0';
	for (; *text != '\0' && n < line; n++) {
		const char *p = text + strspn(text, " \t");
		size_t line_len = strcspn(p, "\n");
		if (*p != '#')
			len = 0;
		else if (len + line_len + 2 < size)
			len += (size_t)sprintf(comment + len, "%.*s\n", (int)line_len, p);
		comment[len] = '\0';
		text = p + line_len + (p[line_len] == '\n');
	}
}

/* What the comment must say: "Default: "adaptive".", "Default: 24.", or "Required." */
static void expected_words(const struct option *o, char *words, size_t size)
{
	static union {
		struct policy_appliance appliance;
		struct policy_bridge bridge;
		struct policy_class class;
		struct policy_rule rule;
		struct policy_peer peer;
	} group;
	static char value[VALUE_TEXT_MAX];

	if (o->fallback == NULL) {
		snprintf(words, size, "Required.");
		return;
	}
	if (o->type == OPTION_MATCH) {
		snprintf(words, size, "Default: {}.");
		return;
	}
	if (o->type == OPTION_NETWORKS) {
		snprintf(words, size, "Default: ().");
		return;
	}
	if (o->type == OPTION_BRIDGE && *o->empty == '\0') {
		snprintf(words, size, "Left out, it is the only bridge");
		return;
	}
	/* In struct policy the switches lie beyond the appliance: their text is their default. */
	if (strcmp(o->name, "compression") == 0 || strcmp(o->name, "bypass") == 0) {
		const char *quote = o->type == OPTION_WORD ? "\"" : "";
		snprintf(words, size, "Default: %s%s%s", quote, o->fallback, quote);
		return;
	}
	memset(&group, 0, sizeof(group));
	value_set_default(o, &group);
	snprintf(words, size, "Default: %s", value_text(NULL, o, &group, value));
}

static void test_manual(void)
{
	static const char *const paths[] = {"", "appliance", "bridges.[0]", "classes.[0]",
		"rules.[0]", "rules.[0].match", "peers.[0]"};
	char *text = read_conf("sluice.conf");
	config_t config;

	config_init(&config);
	CU_ASSERT_FATAL(config_read_string(&config, text));
	for (unsigned g = 0; options_groups[g] != NULL; g++) {
		config_setting_t *s = *paths[g] == '\0' ? config_root_setting(&config)
							: config_lookup(&config, paths[g]);
		CU_ASSERT_FATAL(s != NULL);
		for (uint32_t i = 0; i < options_groups[g]->count; i++) {
			const struct option *o = &options_groups[g]->options[i];
			char comment[8192], words[256];
			config_setting_t *option = config_setting_get_member(s, o->name);
			if (option == NULL) {
				printf("     not in sluice.conf: %s %s\n", paths[g], o->name);
				CU_FAIL();
				continue;
			}
			comment_above(text, option->line, comment, sizeof(comment));
			expected_words(o, words, sizeof(words));
			if (strstr(comment, words) == NULL) {
				printf("     %s.%s, line %u: the comment should say: %s\n",
					paths[g], o->name, option->line, words);
				CU_FAIL();
			}
		}
	}
	config_destroy(&config);
	free(text);
}

/* All options in it are known: it is read without a problem. */
static void test_manual_is_valid(void)
{
	policy_free(read_clean("sluice.conf"));
}

static void test_lab(void)
{
	struct policy *a = read_clean("examples/lab-a.conf"),
		      *b = read_clean("examples/lab-b.conf");

	/* Each is the other's peer, over one segment. */
	CU_ASSERT(memcmp(&a->peers[0].address, &b->bridges[0].address4.address,
			  sizeof(a->peers[0].address)) == 0);
	CU_ASSERT(memcmp(&b->peers[0].address, &a->bridges[0].address4.address,
			  sizeof(a->peers[0].address)) == 0);
	CU_ASSERT_EQUAL(a->peers[0].port, b->peers[0].port);
	CU_ASSERT_EQUAL(a->peers[0].path, PATH_BRIDGED);
	CU_ASSERT_EQUAL(b->peers[0].path, PATH_BRIDGED);
	CU_ASSERT_STRING_EQUAL(a->peers[0].key_file, "lab.key");
	CU_ASSERT_EQUAL(a->appliance.worker_count, 1);
	CU_ASSERT(!a->appliance.hugepages);
	CU_ASSERT_EQUAL(a->bridges[0].up_bps, 100000000);
	/* They are the same but for where they stand. */
	CU_ASSERT_EQUAL(a->class_count, b->class_count);
	CU_ASSERT_EQUAL(a->rule_count, b->rule_count);
	policy_free(a);
	policy_free(b);
}

static void test_server(void)
{
	struct policy *p = read_clean("examples/server-2x10g.conf");

	CU_ASSERT_EQUAL(p->appliance.worker_count, 4);
	CU_ASSERT_EQUAL(p->appliance.poll, POLL_BUSY);
	CU_ASSERT_EQUAL(p->peers[0].path, PATH_ROUTED);
	policy_free(p);
}

/* The tree of the example, in numbers: 980 Mbit/s, of which north has 60 %, its hospital half... */
static void test_sites(void)
{
	static const struct {
		const char *name;
		uint64_t rate_bps, ceil_bps;
		unsigned depth;
		bool is_group;
	} expected[] = {
		{"default", 0, 0, 1, false},
		{"north", 588000000, 0, 1, true},
		{"south", 294000000, 784000000, 1, true},
		{"hospital", 294000000, 490000000, 2, true},
		{"office", 100000000, 0, 2, true},
		{"village", 235200000, 0, 2, false},
		{"hospital-voice", 14700000, 49000000, 3, false},
		{"hospital-data", 220500000, 0, 3, false},
		{"hospital-guests", 0, 98000000, 3, false},
		{"office-calls", 25000000, 0, 3, false},
		{"office-data", 0, 0, 3, false},
		{"camera", 20000000, 0, 2, false},
	};
	struct policy *p = read_clean("examples/sites.conf");
	struct policy_class_rates rates[sizeof(expected) / sizeof(expected[0])];

	CU_ASSERT_FATAL(p->class_count == sizeof(expected) / sizeof(expected[0]));
	CU_ASSERT_EQUAL(policy_resolve_rates(p, 0, true, rates), 0);
	for (unsigned i = 0; i < p->class_count; i++) {
		CU_ASSERT_STRING_EQUAL(p->classes[i].name, expected[i].name);
		CU_ASSERT_EQUAL(rates[i].rate_bps, expected[i].rate_bps);
		CU_ASSERT_EQUAL(rates[i].ceil_bps, expected[i].ceil_bps);
		CU_ASSERT_EQUAL(rates[i].depth, expected[i].depth);
		CU_ASSERT_EQUAL(rates[i].is_group, expected[i].is_group);
	}
	const struct policy_class *village = &p->classes[5];
	CU_ASSERT(village->per == PER_LAN && village->per_bits4 == 0 && village->per_bits6 == 56);
	CU_ASSERT_EQUAL(p->classes[11].police.action[1], 30);
	policy_free(p);
}

UNIT_TESTS("conf", {"sluice.conf is valid", test_manual_is_valid},
	{"sluice.conf has every option and its default", test_manual},
	{"the lab's two sites fit together", test_lab}, {"the server example", test_server},
	{"the sites example", test_sites})
