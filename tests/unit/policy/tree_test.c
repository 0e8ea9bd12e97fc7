/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The class tree: parents in any order, percentages, sums on every link, and what can't be: loops,
 * groups that flows are sent to, percentages of nothing. Numbers are worked out by hand here.
 */
#include <errno.h>
#include <time.h>

#include "tests/unit/policy/policy_helper.h"

#define LINK(up, down)                                                                             \
	"bridges = ( { name = \"b0\"; lan = \"e1\"; wan = \"e2\"; up = \"" up "\";\n"              \
	"down = \"" down "\"; } );\n"
#define BRIDGE LINK("100 Mbit/s", "10 Mbit/s")
#define UNLIMITED "bridges = ( { name = \"b0\"; lan = \"e1\"; wan = \"e2\"; } );\n\n"

/* "rate/ceil" of a class on bridge 0, in kbit/s. */
static bool comes_to(
	const struct policy *p, const char *name, bool up, uint64_t rate_kbps, uint64_t ceil_kbps)
{
	struct policy_class_rates *rates = calloc(p->class_count, sizeof(*rates));
	int index = policy_find_class(p, name);

	if (rates == NULL || index < 0 || policy_resolve_rates(p, 0, up, rates) != 0) {
		free(rates);
		return false;
	}
	uint64_t rate_bps = rates[index].rate_bps, ceil_bps = rates[index].ceil_bps;
	free(rates);
	if (rate_bps != rate_kbps * 1000 || ceil_bps != ceil_kbps * 1000)
		printf("     %s %s: %lu bit/s, %lu bit/s\n", name, up ? "up" : "down",
			(unsigned long)rate_bps, (unsigned long)ceil_bps);
	return rate_bps == rate_kbps * 1000 && ceil_bps == ceil_kbps * 1000;
}

static void test_resolve(void)
{
	/* Children first: order is free. */
	struct policy *p = read_good(
		BRIDGE "classes = ( { name = \"leaf\"; parent = \"mid\"; rate = \"50 %\"; ceil = "
		       "\"25 %\"; },\n"
		       "{ name = \"mid\"; parent = \"top\"; rate = \"10 %\"; },\n"
		       "{ name = \"top\"; rate = \"80 %\"; ceil = \"90 %\"; },\n"
		       "{ name = \"default\"; parent = \"sum\"; rate = \"300 kbit/s\"; },\n"
		       "{ name = \"sum\"; parent = \"sums\"; },\n"
		       "{ name = \"other\"; parent = \"sum\"; rate = \"64 kbit/s\"; },\n"
		       "{ name = \"none\"; parent = \"sums\"; },\n"
		       "{ name = \"sums\"; } );\n"
		       "rules = ( { class = \"leaf\"; } );\n");
	CU_ASSERT_FATAL(p != NULL);
	CU_ASSERT(comes_to(p, "top", true, 80000, 90000));
	CU_ASSERT(comes_to(p, "mid", true, 8000, 0));
	CU_ASSERT(comes_to(p, "leaf", true, 4000, 22500));
	CU_ASSERT(comes_to(p, "top", false, 8000, 9000));
	CU_ASSERT(comes_to(p, "mid", false, 800, 0));
	CU_ASSERT(comes_to(p, "leaf", false, 400, 2250));
	CU_ASSERT(comes_to(p, "sum", true, 364, 0));
	CU_ASSERT(comes_to(p, "sums", true, 364, 0));
	CU_ASSERT(comes_to(p, "none", true, 0, 0));
	CU_ASSERT_EQUAL(policy_check(p, NULL), 0);

	struct policy_class_rates rates[8];
	CU_ASSERT_EQUAL(policy_resolve_rates(p, 0, true, rates), 0);
	CU_ASSERT(!rates[0].is_group && rates[0].depth == 3);
	CU_ASSERT(!rates[1].is_group && rates[1].depth == 3);
	CU_ASSERT(rates[2].is_group && rates[2].depth == 2);
	CU_ASSERT(rates[3].is_group && rates[3].depth == 1);
	/* Percentages follow the link. */
	p->bridges[0].up_bps = 50000000;
	CU_ASSERT(comes_to(p, "leaf", true, 2000, 11250));
	p->bridges[0].up_bps = 0;
	CU_ASSERT_EQUAL(policy_resolve_rates(p, 0, true, rates), -EINVAL);
	CU_ASSERT_EQUAL(policy_check(p, NULL), -EINVAL);
	policy_free(p);

	/* The smallest and the largest: no overflow, rounded down. */
	p = read_good(
		LINK("400 Gbit/s", "64000001 bit/s") "classes = ( { name = \"a\"; ceil = \"100 "
						     "%\"; rate = \"99.9999 %\"; } );\n");
	CU_ASSERT_FATAL(p != NULL);
	CU_ASSERT(comes_to(p, "a", true, 399999600, 400000000));
	CU_ASSERT_EQUAL(policy_resolve_rates(p, 0, false, rates), 0);
	CU_ASSERT_EQUAL(rates[1].rate_bps, 63999936);
	CU_ASSERT_EQUAL(rates[1].ceil_bps, 64000001);
	policy_free(p);
	p = read_good(LINK("64 Gbit/s",
		"64 Gbit/s") "classes = ( { name = \"a\"; rate = \"0.0001 %\"; } );\n");
	CU_ASSERT_FATAL(p != NULL);
	CU_ASSERT(comes_to(p, "a", false, 64, 0));
	policy_free(p);
}

#define CLASSES(list) BRIDGE "classes = (\n" list ");\n"

static void test_refused(void)
{
	static const struct {
		const char *text, *problems;
	} table[] = {
		/* Line 4 is the first class. Parents. */
		{CLASSES("{ name = \"a\";\nparent = \"b\"; } "), "5 E classes[0].parent"},
		{CLASSES("{ name = \"a\";\nparent = \"a\"; } "), "5 E classes[0].parent"},
		{CLASSES("{ name = \"a\"; },\n{ name = \"b\"; parent = \"c\"; },\n"
			 "{ name = \"c\"; parent = \"d\"; },\n{ name = \"d\"; parent = \"b\"; },\n"
			 "{ name = \"e\"; parent = \"d\"; } "),
			"5 E classes[1].parent"},
		/* Two loops. */
		{CLASSES("{ name = \"a\"; parent = \"b\"; },\n{ name = \"b\"; parent = \"a\"; },\n"
			 "{ name = \"c\"; parent = \"d\"; },\n{ name = \"d\"; parent = \"c\"; }\n"),
			"4 E classes[0].parent; 6 E classes[2].parent"},
		{CLASSES("{ name = \"a\";\nparent = \"default\"; } "), "5 E classes[0].parent"},
		{CLASSES("{ name = \"1\"; },\n"
			 "{ name = \"2\"; parent = \"1\"; },\n{ name = \"3\"; parent = \"2\"; },\n"
			 "{ name = \"4\"; parent = \"3\"; },\n{ name = \"5\"; parent = \"4\"; },\n"
			 "{ name = \"6\"; parent = \"5\"; },\n{ name = \"7\"; parent = \"6\"; },\n"
			 "{ name = \"8\"; parent = \"7\"; }\n"),
			""},
		{CLASSES("{ name = \"1\"; },\n"
			 "{ name = \"2\"; parent = \"1\"; },\n{ name = \"3\"; parent = \"2\"; },\n"
			 "{ name = \"4\"; parent = \"3\"; },\n{ name = \"5\"; parent = \"4\"; },\n"
			 "{ name = \"6\"; parent = \"5\"; },\n{ name = \"7\"; parent = \"6\"; },\n"
			 "{ name = \"8\"; parent = \"7\"; },\n{ name = \"9\"; parent = \"8\"; },\n"
			 "{ name = \"10\"; parent = \"9\"; }\n"),
			"12 E classes[8].parent"},
		/* Groups. */
		{CLASSES("{ name = \"g\"; }, { name = \"a\"; parent = \"g\"; } ") "rules = ( { "
										  "match = { dscp "
										  "= 5; }; class = "
										  "\"a\"; },\n{ "
										  "class = \"g\"; "
										  "} );",
			"6 E rules[1].class"},
		{CLASSES("{ name = \"g\"; flow_rate = \"1 Mbit/s\"; flow_burst = \"20 kB\";\n"
			 "per = \"src\"; queue_time = \"5 ms\"; queue_size = \"9 kB\";\n"
			 "aqm = \"pie\"; aqm_target = \"1 ms\"; ecn = false; compress = true; },\n"
			 "{ name = \"a\"; parent = \"g\"; }\n"),
			"4 W classes[0].flow_rate; 4 W classes[0].flow_burst; 5 W classes[0].per; "
			"5 W classes[0].queue_time; 5 W classes[0].queue_size; 6 W classes[0].aqm; "
			"6 W classes[0].aqm_target; 6 W classes[0].ecn; 6 W classes[0].compress"},
		{CLASSES("{ name = \"g\"; cir = \"1 Mbit/s\";\npolice = \"srtcm\"; },\n"
			 "{ name = \"a\"; parent = \"g\"; }\n"),
			"5 E classes[0].police"},
		{CLASSES("{ name = \"g\"; rate = \"1 Mbit/s\"; ceil = \"2 Mbit/s\"; weight = 5;\n"
			 "priority = 1; burst = \"5 ms\"; },\n{ name = \"a\"; parent = \"g\"; }\n"),
			""},
		/* Rates. 10 Mbit/s down are the narrower way. */
		{CLASSES("{ name = \"g\";\nrate = \"5 Mbit/s\"; },\n"
			 "{ name = \"a\"; parent = \"g\"; rate = \"3 Mbit/s\"; },\n"
			 "{ name = \"b\"; parent = \"g\"; rate = \"2001 kbit/s\"; }\n"),
			"5 E classes[0].rate"},
		{CLASSES("{ name = \"g\";\nrate = \"5 Mbit/s\"; },\n"
			 "{ name = \"a\"; parent = \"g\"; rate = \"60 %\"; },\n"
			 "{ name = \"b\"; parent = \"g\"; rate = \"2 Mbit/s\"; }\n"),
			""},
		{CLASSES("{ name = \"g\";\nrate = \"50 %\"; },\n"
			 "{ name = \"a\"; parent = \"g\"; rate = \"5001 kbit/s\"; }\n"),
			"5 E classes[0].rate"},
		{CLASSES("{ name = \"g\";\nceil = \"5 Mbit/s\"; },\n"
			 "{ name = \"a\"; parent = \"g\"; rate = \"3 Mbit/s\"; },\n"
			 "{ name = \"b\"; parent = \"g\"; rate = \"3 Mbit/s\"; }\n"),
			"5 E classes[0].ceil"},
		{CLASSES("{ name = \"a\"; rate = \"60 %\"; },\n{ name = \"b\"; rate = \"40.0001 "
			 "%\"; }\n"),
			"1 E bridges[0].up; 2 E bridges[0].down"},
		{CLASSES("{ name = \"a\"; rate = \"60 %\"; },\n{ name = \"b\"; rate = \"40 %\"; "
			 "}\n"),
			""},
		{CLASSES("{ name = \"g\"; }, { name = \"a\"; parent = \"g\"; rate = \"10001 "
			 "kbit\"; }\n"),
			"2 E bridges[0].down"},
		{CLASSES("{ name = \"a\"; rate = \"50 %\";\nceil = \"49 %\"; }\n"),
			"5 E classes[0].ceil"},
		{CLASSES("{ name = \"a\"; rate = \"6 Mbit/s\";\nceil = \"50 %\"; }\n"),
			"5 E classes[0].ceil"},
		{CLASSES("{ name = \"g\"; ceil = \"5 Mbit/s\"; },\n{ name = \"h\"; parent = \"g\"; "
			 "},\n"
			 "{ name = \"a\"; parent = \"h\";\nceil = \"6 Mbit/s\"; }\n"),
			"7 W classes[2].ceil"},
		/* Percentages of nothing, and of too little. */
		{UNLIMITED "classes = (\n{ name = \"a\";\nrate = \"5 %\"; },\n"
			   "{ name = \"b\";\nceil = \"5 %\"; } );",
			"5 E classes[0].rate; 7 E classes[1].ceil"},
		{CLASSES("{ name = \"g\"; },\n{ name = \"a\"; parent = \"g\"; rate = \"5 %\"; }\n"),
			"5 E classes[1].rate"},
		{CLASSES("{ name = \"g\"; },\n{ name = \"a\"; parent = \"g\"; ceil = \"5 %\"; }\n"),
			""},
		{UNLIMITED "classes = (\n{ name = \"g\"; ceil = \"9 Mbit/s\"; },\n"
			   "{ name = \"a\"; parent = \"g\"; ceil = \"5 %\"; } );",
			""},
		{CLASSES("{ name = \"a\"; rate = \"0.64 %\"; }\n"), ""},
		{CLASSES("{ name = \"a\"; rate = \"0.6399 %\"; }\n"), "4 E classes[0].rate"},
		{CLASSES("{ name = \"a\"; ceil = \"0.0001 %\"; }\n"), "4 E classes[0].ceil"},
		/* What could not be read is not added up. */
		{CLASSES("{ name = \"g\"; rate = \"5\"; },\n{ name = \"a\"; parent = \"g\"; rate = "
			 "\"5 %\"; }\n"),
			"4 E classes[0].rate"},
		{CLASSES("{ name = \"a\"; parent = \"x\"; rate = \"20 Mbit/s\"; }\n"),
			"4 E classes[0].parent"},
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		CU_ASSERT(finds(table[i].text, table[i].problems));
}

/* The first error's words. */
static bool says(const char *text, const char *part)
{
	struct policy_problems problems;
	struct policy *p = policy_read_text(text, strlen(text), "x", false, &problems);
	bool said = p == NULL && problems.count > 0 && strstr(problems.list[0].text, part) != NULL;

	if (!said)
		printf("     \"%s\" not in: %s\n", part,
			problems.count > 0 ? problems.list[0].text : "");
	policy_free(p);
	policy_problems_free(&problems);
	return said;
}

static void test_messages(void)
{
	CU_ASSERT(says(
		CLASSES("{ name = \"z\"; parent = \"c\"; }, { name = \"b\"; parent = \"c\"; },"
			"{ name = \"c\"; parent = \"d\"; }, { name = \"d\"; parent = \"b\"; } "),
		"a loop of 3: \"b\" in \"c\" in \"d\" in \"b\""));
	CU_ASSERT(
		says(CLASSES("{ name = \"a\"; parent = \"a\"; } "), "a loop of 1: \"a\" in \"a\""));
	CU_ASSERT(says(CLASSES("{ name = \"groupe\"; }, { name = \"a\"; parent = \"group\"; } "),
		"there is no class \"group\", did you mean \"groupe\"?"));
	CU_ASSERT(says(
		CLASSES("{ name = \"g\"; }, { name = \"h\"; parent = \"g\"; }, "
			"{ name = \"a\"; parent = \"h\"; } ") "rules = ( { class = \"g\"; } );",
		"class \"g\" is a group; accepted: a class that is nobody's parent, such as "
		"\"a\""));
	CU_ASSERT(says(CLASSES("{ name = \"g\"; rate = \"1 Mbit\"; }, "
			       "{ name = \"a\"; parent = \"g\"; rate = \"2 Mbit\"; } "),
		"its classes are assured 2 Mbit/s in all, but class \"g\" only 1 Mbit/s (bridge "
		"\"b0\", up)"));
	CU_ASSERT(says(
		CLASSES("{ name = \"g\"; }, { name = \"a\"; parent = \"g\"; rate = \"2 %\"; } "),
		"2 % of nothing, its parent \"g\" has no rate"));
	CU_ASSERT(says(CLASSES("{ name = \"a\"; rate = \"0.5 %\"; } "),
		"0.5 % are only 50 kbit/s (bridge \"b0\", down); accepted: at least 64 kbit/s"));
	CU_ASSERT(says(UNLIMITED "classes = ( { name = \"a\"; rate = \"5 %\"; } );",
		"5 % of nothing, bridge \"b0\", up is not limited"));
}

/* A change by name is what the file would be, and policy_check() finds the same. */
static void test_live(void)
{
	struct policy *p =
		read_good(CLASSES("{ name = \"g\"; rate = \"5 Mbit/s\"; },"
				  "{ name = \"h\"; }, { name = \"i\"; },"
				  "{ name = \"a\"; parent = \"g\"; rate = \"50 %\"; } "));
	char error[POLICY_ERROR_MAX];
	struct policy_problems problems = {0};

	CU_ASSERT_FATAL(p != NULL);
	CU_ASSERT_EQUAL(policy_set_class(p, 4, "parent", "i", error), 0);
	CU_ASSERT_EQUAL(p->classes[4].parent_index, 3);
	/* 50 % of nothing. */
	CU_ASSERT_EQUAL(policy_check(p, &problems), -EINVAL);
	CU_ASSERT_STRING_EQUAL(problems.list[0].option, "classes[4].rate");
	policy_problems_free(&problems);
	CU_ASSERT_EQUAL(policy_set_class(p, 3, "rate", "20 %", error), 0);
	CU_ASSERT_EQUAL(policy_check(p, NULL), 0);
	CU_ASSERT(comes_to(p, "a", true, 10000, 0));
	CU_ASSERT_EQUAL(policy_set_class(p, 3, "parent", "a", error), 0);
	CU_ASSERT_EQUAL(policy_check(p, &problems), -EINVAL);
	CU_ASSERT(strstr(problems.list[0].text, "a loop of 2: \"i\" in \"a\" in \"i\"") != NULL);
	policy_problems_free(&problems);
	CU_ASSERT_EQUAL(policy_set_class(p, 3, "parent", "", error), 0);
	CU_ASSERT_EQUAL(policy_check(p, NULL), 0);
	CU_ASSERT_EQUAL(policy_set_class(p, 4, "weight", "77", error), 0);
	CU_ASSERT_EQUAL(policy_set_class(p, 4, "ecn", "false", error), 0);
	CU_ASSERT_EQUAL(policy_set_class(p, 4, "burst", "3ms", error), 0);
	CU_ASSERT(p->classes[4].weight == 77 && !p->classes[4].ecn &&
		  p->classes[4].burst.ns == 3000000);
	CU_ASSERT_EQUAL(policy_set_bridge(p, 0, "overhead", "-4", error), 0);
	CU_ASSERT_EQUAL(policy_set_bridge(p, 0, "up", "unlimited", error), 0);
	CU_ASSERT(p->bridges[0].overhead_bytes == -4 && p->bridges[0].up_bps == 0);

	CU_ASSERT_EQUAL(policy_set_class(p, 4, "wieght", "7", error), -ENOENT);
	CU_ASSERT_EQUAL(policy_set_class(p, 4, "weight", "0", error), -EINVAL);
	CU_ASSERT(strstr(error, "accepted: a whole number from 1 to 1000") != NULL);
	CU_ASSERT_EQUAL(policy_set_class(p, 4, "weight", "-7", error), -EINVAL);
	CU_ASSERT_EQUAL(policy_set_class(p, 4, "weight", "4294967297", error), -EINVAL);
	CU_ASSERT_EQUAL(policy_set_class(p, 4, "parent", "nobody", error), -EINVAL);
	CU_ASSERT_EQUAL(policy_set_class(p, 4, "ecn", "1", error), -EINVAL);
	CU_ASSERT_EQUAL(policy_set_class(p, 4, "name", "b", error), -EBUSY);
	CU_ASSERT_EQUAL(policy_set_bridge(p, 0, "lan", "e9", error), -EBUSY);
	CU_ASSERT_EQUAL(policy_set_bridge(p, 0, "overhead", "-65", error), -EINVAL);
	CU_ASSERT_EQUAL(policy_set_bridge(p, 0, "overhead", "-", error), -EINVAL);
	CU_ASSERT(p->classes[4].weight == 77 && p->classes[4].parent_index == 3);

	/* Numbers written into fields are looked at like those that are read. */
	p->classes[4].parent_index = 99;
	CU_ASSERT_EQUAL(policy_check(p, NULL), -EINVAL);
	struct policy_class_rates rates[5];
	CU_ASSERT_EQUAL(policy_resolve_rates(p, 0, true, rates), -EINVAL);
	p->classes[4].parent_index = -1;
	p->classes[4].rate.ppm = 10000;
	p->bridges[0].up_bps = 100000000;
	CU_ASSERT_EQUAL(policy_check(p, NULL), 0);
	p->classes[4].rate.ppm = 1000001;
	CU_ASSERT_EQUAL(policy_check(p, NULL), -EINVAL);
	p->classes[4].rate.ppm = 0;
	p->bridges[0].overhead_bytes = -65;
	CU_ASSERT_EQUAL(policy_check(p, NULL), -EINVAL);
	p->bridges[0].overhead_bytes = 0;
	p->classes[4].burst = (struct policy_burst){.ns = 5};
	CU_ASSERT_EQUAL(policy_check(p, NULL), -EINVAL);
	policy_free(p);
}

/* ---- many ---- */

#define MANY 100000u
#define RULES 4096u

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A class in line `i` of the list, as `write` has it. */
typedef void (*write_class)(FILE *f, unsigned i);

static char *many(write_class write, unsigned rules, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	if (f == NULL)
		abort();
	fprintf(f, "appliance = { classes = 131072; distributions = 131072; };\n"
		   "bridges = ( { name = \"b0\"; lan = \"e1\"; wan = \"e2\"; up = \"100 Gbit/s\"; "
		   "} );\n"
		   "classes = (\n");
	for (unsigned i = 0; i < MANY; i++)
		write(f, i);
	fprintf(f, ");\nrules = (\n");
	for (unsigned i = 0; i < rules; i++)
		fprintf(f, "{ match = { dst = \"10.%u.%u.0/24\"; }; class = \"c%u\"; },\n", i / 256,
			i % 256, MANY - 1 - i);
	fprintf(f, ");\n");
	fclose(f);
	return text;
}

/* Groups of ten subscribers each, in groups of ten. */
static void write_tree(FILE *f, unsigned i)
{
	if (i < 1000)
		fprintf(f, "{ name = \"c%u\"; rate = \"100 Mbit/s\"; },\n", i);
	else if (i < 10000)
		fprintf(f, "{ name = \"c%u\"; parent = \"c%u\"; rate = \"11 %%\"; },\n", i,
			i % 1000);
	else
		fprintf(f, "{ name = \"c%u\"; parent = \"c%u\"; rate = \"10 %%\"; weight = 5; },\n",
			i, 1000 + i % 9000);
}

static void write_chain(FILE *f, unsigned i)
{
	fprintf(f, "{ name = \"c%u\"; parent = \"c%u\"; },\n", i, (i + 1) % MANY);
}

static void write_orphan(FILE *f, unsigned i)
{
	fprintf(f, "{ name = \"c%u\"; parent = \"d%u\"; },\n", i, i);
}

static void write_twin(FILE *f, unsigned i)
{
	fprintf(f, "{ name = \"twin\"; weight = %u; },\n", 1 + i % 1000);
}

static void test_many(void)
{
	static const struct {
		write_class write;
		const char *first;
		unsigned errors;
	} hostile[] = {
		{write_chain, "a loop of 100000: \"c0\" in \"c1\" in \"c2\"", 1},
		{write_orphan, "there is no class \"d0\"", MANY},
		{write_twin, "another class is already called \"twin\"", MANY - 1},
	};
	size_t len;
	char *text = many(write_tree, RULES, &len);
	struct policy_problems problems;
	double start = seconds();
	struct policy *p = policy_read_text(text, len, "x", false, &problems);

	CU_ASSERT_FATAL(p != NULL);
	CU_ASSERT_EQUAL(problems.count, 0);
	printf("     %u classes, %u rules, %.1f MB: read and checked in %.2f s", p->class_count,
		p->rule_count, (double)len / 1e6, seconds() - start);
	start = seconds();
	struct policy *copy = policy_copy(p);
	CU_ASSERT_FATAL(copy != NULL);
	CU_ASSERT_EQUAL(policy_check(copy, NULL), 0);
	printf(", copied and checked in %.2f s\n", seconds() - start);
	CU_ASSERT_EQUAL(copy->classes[policy_find_class(copy, "c99999")].parent_index, 1999 + 1);
	struct policy_class_rates *rates = calloc(p->class_count, sizeof(*rates));
	CU_ASSERT_FATAL(rates != NULL);
	CU_ASSERT_EQUAL(policy_resolve_rates(copy, 0, true, rates), 0);
	CU_ASSERT(rates[99999].rate_bps == 1100000 && rates[99999].depth == 3);
	free(rates);
	policy_free(copy);
	policy_free(p);
	free(text);
	for (unsigned i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		text = many(hostile[i].write, 0, &len);
		start = seconds();
		CU_ASSERT_PTR_NULL(policy_read_text(text, len, "x", false, &problems));
		printf("     %s...: %.2f s\n", hostile[i].first, seconds() - start);
		CU_ASSERT(seconds() - start < 60);
		CU_ASSERT_EQUAL(problems.errors, hostile[i].errors);
		uint32_t said = 0;
		for (uint32_t n = 0; n < problems.count; n++)
			said += strstr(problems.list[n].text, hostile[i].first) != NULL;
		CU_ASSERT(said > 0);
		if (said == 0)
			printf("     found: %s\n", problems.list[0].text);
		policy_problems_free(&problems);
		free(text);
	}
}

UNIT_TESTS("policy tree", {"what rates come to", test_resolve},
	{"what can't be is refused at its line", test_refused},
	{"messages say what would be right", test_messages}, {"live changes", test_live},
	{"a hundred thousand classes", test_many})
