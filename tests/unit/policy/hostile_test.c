/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Texts and files meant to harm: too much, too deep, not text at all; @include where it must not
 * work and where it must; key files that are none. Everything is refused in bounded time, with a
 * sentence.
 */
#include <errno.h>
#include <sys/resource.h>
#include <time.h>

#include "tests/unit/policy/policy_helper.h"

#define BRIDGE "bridges = ( { name = \"b0\"; lan = \"e1\"; wan = \"e2\"; } );\n"
#define TEXT_MAX (66u << 20)

/* A text that is put together piece by piece. */
struct text {
	char *bytes;
	size_t len;
};

static void add(struct text *t, const char *piece)
{
	size_t len = strlen(piece);

	if (t->bytes == NULL)
		t->bytes = malloc(TEXT_MAX);
	if (t->bytes == NULL || t->len + len >= TEXT_MAX)
		abort();
	memcpy(t->bytes + t->len, piece, len + 1);
	t->len += len;
}

static void add_times(struct text *t, const char *piece, unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		add(t, piece);
}

/* True if the text is refused with one error of which `part` is a part, in less than a minute. */
static bool refused_bytes(const char *bytes, size_t len, const char *part)
{
	struct policy_problems problems;
	time_t start = time(NULL);
	struct policy *p = policy_read_text(bytes, len, "x.conf", false, &problems);
	const char *said = "nothing";

	for (uint32_t i = problems.count; i-- > 0;)
		if (!problems.list[i].is_warning)
			said = problems.list[i].text;
	bool right = p == NULL && problems.errors == 1 && strstr(said, part) != NULL &&
		     time(NULL) - start < 60;
	if (!right)
		printf("     \"%s\" expected, found %u: %s\n", part, problems.errors, said);
	policy_free(p);
	policy_problems_free(&problems);
	return right;
}

static bool refused(struct text *t, const char *part)
{
	bool right = refused_bytes(t->bytes, t->len, part);

	free(t->bytes);
	memset(t, 0, sizeof(*t));
	return right;
}

static void test_bytes(void)
{
	static const char *const not_utf8[] = {"\xff", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80",
		"\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xc3", "\x80", "\xe2\x82"};
	struct text t = {0};

	CU_ASSERT(refused_bytes("bypass = true;\n\0\n", 17, "NUL"));
	CU_ASSERT(refused_bytes("# \0\n", 4, "NUL"));
	for (unsigned i = 0; i < sizeof(not_utf8) / sizeof(not_utf8[0]); i++) {
		add(&t, BRIDGE "# ");
		add(&t, not_utf8[i]);
		CU_ASSERT(refused(&t, "not UTF-8"));
	}
	CU_ASSERT(finds(BRIDGE "# \xc3\xa4\xe2\x82\xac\xf0\x9f\x99\x82\n", ""));
	CU_ASSERT(refused_bytes(
		BRIDGE "appliance = { name = \"a\\x00b\"; };", strlen(BRIDGE) + 34, "NUL"));
	/* Control characters from a text never reach a terminal. */
	struct policy_problems problems;
	static const char escape[] = "appliance = { name = \"\\x1b[2J\"; };\n" BRIDGE;
	CU_ASSERT_PTR_NULL(policy_read_text(escape, strlen(escape), "x", false, &problems));
	CU_ASSERT_FATAL(problems.count == 1);
	CU_ASSERT_PTR_NULL(strchr(problems.list[0].text, 0x1b));
	policy_problems_free(&problems);
}

static void test_too_much(void)
{
	struct text t = {0};

	add_times(&t, "# a comment that goes on and on and on and on\n", (65u << 20) / 46);
	CU_ASSERT(refused(&t, "more than 67108864 bytes"));
	add(&t, "a = ");
	add_times(&t, "(", 100000);
	CU_ASSERT(refused(&t, "nested more than"));
	add(&t, "a = ");
	add_times(&t, "{ a = ", 100000);
	CU_ASSERT(refused(&t, "nested more than"));
	for (unsigned i = 0; i < 50000; i++) {
		char line[32];
		snprintf(line, sizeof(line), "a%u = 1;\n", i);
		add(&t, line);
	}
	CU_ASSERT(refused(&t, "options in one group"));
	add(&t, BRIDGE "a = [ ");
	add_times(&t, "1, ", 2200000);
	CU_ASSERT(refused(&t, "values in all"));
	add(&t, BRIDGE "appliance = { name = \"");
	add_times(&t, "x", 5000);
	add(&t, "\"; };");
	CU_ASSERT(refused(&t, "a string of more than"));
	/* One number of a million digits is only a large number. */
	add(&t, BRIDGE "appliance = { mtu = ");
	add_times(&t, "9", 1000000);
	add(&t, "; };");
	CU_ASSERT(refused(&t, "out of range"));
	add(&t, BRIDGE "appliance = { mtu = 0x5dc; };");
	CU_ASSERT(refused(&t, "hexadecimal"));
}

static void test_limits(void)
{
	struct text t = {0};

	add(&t, BRIDGE "rules = ( ");
	add_times(&t, "{ class = \"default\"; match = { bridge = \"b0\"; }; },\n", 4097);
	add(&t, ");");
	CU_ASSERT(refused(&t, "4097 entries; accepted: at most 4096"));
	add(&t, "bridges = ( ");
	for (unsigned i = 0; i < 9; i++) {
		char bridge[100];
		snprintf(bridge, sizeof(bridge),
			"{ name = \"b%u\"; lan = \"l%u\"; wan = \"w%u\"; },", i, i, i);
		add(&t, bridge);
	}
	add(&t, ");");
	CU_ASSERT(refused(&t, "9 entries; accepted: at most 8"));
	for (unsigned named = 0; named < 2; named++) {
		add(&t, BRIDGE "classes = ( ");
		for (unsigned i = 0; i < 1024; i++) {
			char class[64];
			snprintf(class, sizeof(class), "{ name = \"%s%u\"; },\n",
				named && i == 5 ? "default\"; # " : "c", i);
			add(&t, class);
			if (named && i == 5)
				add(&t, "},\n");
		}
		add(&t, ");");
		/* 1023 beside "default". */
		if (named)
			CU_ASSERT(finds(t.bytes, ""));
		if (!named)
			CU_ASSERT(refused_bytes(t.bytes, t.len,
				"1025 classes, \"default\" included, but appliance.classes leaves "
				"room for 1024"));
		free(t.bytes);
		memset(&t, 0, sizeof(t));
	}
	add(&t, "appliance = { classes = 131072; };\n" BRIDGE "classes = ( ");
	for (unsigned i = 0; i < POLICY_CLASSES_MAX; i++) {
		char class[64];
		snprintf(class, sizeof(class), "{ name = \"c%u\"; },\n", i);
		add(&t, class);
	}
	add(&t, ");");
	CU_ASSERT(refused(&t, "131072 entries beside class \"default\"; accepted: at most 131071"));
	/* A text wrong in every line is reported up to a bound, counted beyond. */
	add(&t, BRIDGE "rules = ( ");
	add_times(&t, "{ class = \"none\"; match = { dscp = 99; }; },\n", 4096);
	add(&t, ");");
	struct policy_problems problems;
	CU_ASSERT_PTR_NULL(policy_read_text(t.bytes, t.len, "x", false, &problems));
	CU_ASSERT_EQUAL(problems.errors, 8192);
	CU_ASSERT_EQUAL(problems.count, 1000);
	policy_problems_free(&problems);
	free(t.bytes);
}

/* Broken texts made from a good one, the same on every run: no crash, no leak, always a verdict. */
static void test_mutations(void)
{
	FILE *f = fopen(CONF_FOLDER "/sluice.conf", "r");
	static const char tokens[] = "{}()[]=;,\"\\#/*0x9-\n@";
	char good[64 << 10], bad[64 << 10];
	uint64_t seed = 7;
	unsigned wrong = 0;

	CU_ASSERT_FATAL(f != NULL);
	size_t len = fread(good, 1, sizeof(good), f);
	fclose(f);
	CU_ASSERT_FATAL(len > 0 && len < sizeof(good));
	for (unsigned i = 0; i < 1500; i++) {
		memcpy(bad, good, len);
		for (uint64_t n = random_within(&seed, 1, 4); n > 0; n--) {
			size_t at = random_within(&seed, 0, len - 1);
			if (random_within(&seed, 0, 2) == 0)
				bad[at] = (char)random_next(&seed);
			else
				bad[at] = tokens[random_within(&seed, 0, sizeof(tokens) - 2)];
		}
		struct policy_problems problems;
		struct policy *p = policy_read_text(bad, len, "x", false, &problems);
		wrong += (p != NULL) != (problems.errors == 0);
		policy_free(p);
		policy_problems_free(&problems);
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

static void test_unfinished(void)
{
	CU_ASSERT(finds("\n\nbridges = \"", "3 E "));
	/* A comma after the last one is fine with any libconfig; a stray text is not. */
	CU_ASSERT(finds(
		"bridges = ( { name = \"b\" \"0\"; lan = \"e1\"; wan = \"e2\"; }, /* , */ );", ""));
	CU_ASSERT(finds(BRIDGE "appliance = { workers = [ 1, ]; };", ""));
	CU_ASSERT(finds(BRIDGE "rules = ( ,, );", "2 E "));
	CU_ASSERT(finds(BRIDGE "appliance = { name\n\"x\"; };", "3 E "));
	CU_ASSERT(finds(BRIDGE "bypass = true,\n\"x\" = 5;", "3 E "));
	CU_ASSERT(finds(BRIDGE "\"x\"", "2 E "));
	CU_ASSERT(finds("\n/* never\nends", "2 E "));
	CU_ASSERT(finds(BRIDGE "# the last line without an end", ""));
	CU_ASSERT(finds(BRIDGE "// the same", ""));
	CU_ASSERT(finds(BRIDGE "/* \" { ( [ */ # \" { \n// /* \n", ""));
}

static void test_include_in_text(void)
{
	CU_ASSERT(finds(BRIDGE "@include \"/etc/passwd\"\n", "2 E "));
	CU_ASSERT(finds(BRIDGE " \t@include \"/etc/passwd\"\n", "2 E "));
	CU_ASSERT(finds(BRIDGE "@include\t\"/dev/zero\"", "2 E "));
	CU_ASSERT(finds(BRIDGE "/*\n@include \"/etc/passwd\"\n*/", ""));
	CU_ASSERT(finds(BRIDGE "# @include \"/etc/passwd\"\n#\n", ""));
	CU_ASSERT(finds(
		BRIDGE "appliance = { name = \"\n@include \\\"/etc/passwd\\\"\n\"; };", "3 E "));
	CU_ASSERT(refused_bytes("@include \"/etc/passwd\"", 22, "only possible in a file"));
}

/* ---- files ---- */

static char folder[64];

static void make_folder(void)
{
	strcpy(folder, "/tmp/sluice-policy-XXXXXX");
	if (mkdtemp(folder) == NULL)
		abort();
}

static void remove_folder(void)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -r %s", folder);
	CU_ASSERT_EQUAL(system(command), 0);
}

static char *write_text(const char *name, const char *text)
{
	static char path[256];

	write_file(folder, name, text, strlen(text), 0600, path);
	return path;
}

static bool file_finds(const char *file, const char *expected, const char *part)
{
	struct policy_problems problems;
	char found[2048];
	struct policy *p = policy_read_file(file, &problems);

	describe(&problems, found, sizeof(found));
	bool same = strcmp(found, expected) == 0 && (p != NULL) == (problems.errors == 0);
	if (part != NULL)
		same &= problems.count > 0 && strstr(problems.list[0].text, part) != NULL;
	if (!same)
		printf("     expected: %s, %s\n     found:    %s, %s\n", expected, part, found,
			problems.count > 0 ? problems.list[0].text : "");
	policy_free(p);
	policy_problems_free(&problems);
	return same;
}

/* CPU 0 exists everywhere. */
#define CPUS "appliance = { workers = \"0\"; };\n"

static void test_files(void)
{
	char long_name[300], missing[128];

	make_folder();
	snprintf(missing, sizeof(missing), "%s/none", folder);
	CU_ASSERT(file_finds(missing, "0 E ", "No such file"));
	CU_ASSERT(file_finds(folder, "0 E ", "not a regular file"));
	CU_ASSERT(file_finds("/dev/zero", "0 E ", "not a regular file"));
	memset(long_name, 'x', sizeof(long_name));
	long_name[sizeof(long_name) - 1] = '\0';
	CU_ASSERT(file_finds(long_name, "0 E ", "File name too long"));
	CU_ASSERT(file_finds(write_text("empty", ""), "1 E bridges", "missing"));
	CU_ASSERT(file_finds(write_text("cpu", "appliance = {\nworkers = \"1023\"; };\n" BRIDGE),
		"2 E appliance.workers", "there is no CPU 1023; this machine has 0"));
	remove_folder();
}

static void test_include(void)
{
	make_folder();
	/* Lines are those of the main file; the included one is named in the text. */
	write_text("classes.conf", "classes = (\n  { name = \"voice\";\n    priority = 9; },\n");
	write_text("more.conf", "# nothing but comments /*\n");
	CU_ASSERT(file_finds(write_text("a.conf", BRIDGE "\n  @include \"classes.conf\" # these\n"
							 "{ name = \"x\"; weight = 0; } );\n"
							 "@include \"more.conf\"\nbypass = 1;\n"
							 "appliance = { workers = \"0\"; };\n"),
		"3 E classes[0].priority; 4 E classes[1].weight; 6 E bypass; "
		"7 W appliance.workers",
		"classes.conf\" line 3: 9 is out of range"));
	/* Relative to the file that includes, folder by folder. */
	char sub[128], path[256];
	snprintf(sub, sizeof(sub), "%s/sub", folder);
	CU_ASSERT_EQUAL(mkdir(sub, 0700), 0);
	write_file(sub, "x.conf", "@include \"y.conf\"", 17, 0600, path);
	write_file(sub, "y.conf", "bypass = true;", 14, 0600, path);
	write_text("z.conf", CPUS BRIDGE "@include \"sub/x.conf\"\n");
	struct policy_problems problems;
	snprintf(path, sizeof(path), "%s/z.conf", folder);
	struct policy *p = policy_read_file(path, &problems);
	CU_ASSERT_FATAL(p != NULL);
	CU_ASSERT(p->bypass);
	policy_free(p);
	policy_problems_free(&problems);

	CU_ASSERT(file_finds(
		write_text("b.conf", BRIDGE "\n@include \"none.conf\"\n"), "3 E ", "No such file"));
	CU_ASSERT(file_finds(write_text("c.conf", BRIDGE "@include none.conf\n"), "2 E ",
		"in quotes, alone on its line"));
	CU_ASSERT(file_finds(write_text("d.conf", BRIDGE "@include \"more.conf\" bypass = true;\n"),
		"2 E ", "in quotes, alone on its line"));
	/* Itself, and itself twice. */
	CU_ASSERT(file_finds(
		write_text("e.conf", "@include \"e.conf\"\n"), "1 E ", "too many files"));
	CU_ASSERT(file_finds(write_text("f.conf", "@include \"f.conf\"\n@include \"f.conf\"\n"),
		"1 E ", "too many files"));
	write_text("open.conf", "/* open");
	CU_ASSERT(file_finds(write_text("g.conf", "\n@include \"open.conf\"\n*/\n" BRIDGE), "2 E ",
		"open.conf\" line 1: a comment begins here and never ends"));
	CU_ASSERT(file_finds(write_text("h.conf", BRIDGE "\n@include \"/dev/zero\"\n"), "3 E ",
		"not a regular file"));
	remove_folder();
}

#define PEER_CONF                                                                                  \
	CPUS "bridges = ( { name = \"b0\"; lan = \"e1\"; wan = \"e2\"; address = "                 \
	     "\"10.0.0.1/24\"; } );"                                                               \
	     "compression = \"off\";\n"                                                            \
	     "peers = ( { name = \"p\"; address = \"10.0.0.2\"; networks = ( \"10.1.0.0/16\" );\n" \
	     "key_file = \"%s\"; } );\n"

/* Worker and control thread on CPU 0, the only one that is everywhere, is worth a warning. */
#define KEY_FINE "1 W appliance.workers"
#define KEY_ERROR KEY_FINE "; 4 E peers[0].key_file"
#define KEY_WARNING KEY_FINE "; 4 W peers[0].key_file"

static struct policy *read_with_key(const char *key_file, struct policy_problems *problems)
{
	char text[1024], path[256];

	snprintf(text, sizeof(text), PEER_CONF, key_file);
	write_file(folder, "p.conf", text, strlen(text), 0600, path);
	return policy_read_file(path, problems);
}

static bool key_is(const char *bytes, size_t len, mode_t mode, const char *expected, size_t key_len)
{
	struct policy_problems problems;
	char path[256], found[512];

	write_file(folder, "k", bytes, len, mode, path);
	struct policy *p = read_with_key("k", &problems);
	describe(&problems, found, sizeof(found));
	bool right = strcmp(found, expected) == 0;
	if (key_len == 0)
		right &= p == NULL;
	else
		right &= p != NULL && p->peers[0].key_len == key_len &&
			 memcmp(p->peers[0].key, bytes, key_len) == 0 &&
			 strcmp(p->peers[0].key_file, path) == 0;
	if (!right)
		printf("     %zu bytes: found %s\n", len, found);
	policy_free(p);
	policy_problems_free(&problems);
	return right;
}

static void test_keys(void)
{
	struct policy_problems problems;
	char key[200], path[256], found[256];

	make_folder();
	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (char)(i * 7 + 1);
	CU_ASSERT(key_is(key, 16, 0600, KEY_FINE, 16));
	CU_ASSERT(key_is(key, 128, 0400, KEY_FINE, 128));
	CU_ASSERT(key_is(key, 129, 0600, KEY_ERROR, 0));
	CU_ASSERT(key_is(key, 15, 0600, KEY_ERROR, 0));
	CU_ASSERT(key_is(key, 0, 0600, KEY_ERROR, 0));
	CU_ASSERT(key_is(key, 32, 0640, KEY_WARNING, 32));
	CU_ASSERT(key_is(key, 32, 0604, KEY_WARNING, 32));
	/* One newline at the end is not part of the key; a second one is. */
	CU_ASSERT(key_is("0123456789abcdef\n", 17, 0600, KEY_FINE, 16));
	CU_ASSERT(key_is("0123456789abcdef\n\n", 18, 0600, KEY_FINE, 17));
	CU_ASSERT(key_is("0123456789abcde\n", 16, 0600, KEY_ERROR, 0));
	CU_ASSERT(key_is("0123456789\0abcdef\n", 18, 0600, KEY_FINE, 17));
	memset(key, 'k', sizeof(key));
	key[128] = '\n';
	CU_ASSERT(key_is(key, 129, 0600, KEY_FINE, 128));
	CU_ASSERT(key_is(key, 130, 0600, KEY_ERROR, 0));

	static const char *const no_keys[] = {"none", ".", "/dev/zero", "/dev/null"};
	for (unsigned i = 0; i < sizeof(no_keys) / sizeof(no_keys[0]); i++) {
		struct policy *p = read_with_key(no_keys[i], &problems);
		CU_ASSERT(p == NULL);
		describe(&problems, found, sizeof(found));
		CU_ASSERT_STRING_EQUAL(found, KEY_ERROR);
		policy_problems_free(&problems);
	}
	/* What a file holds is in no message. */
	write_file(folder, "k", "hush hush", 9, 0600, path);
	CU_ASSERT_PTR_NULL(read_with_key("k", &problems));
	CU_ASSERT_EQUAL(problems.count, 2);
	CU_ASSERT_PTR_NULL(strstr(problems.list[1].text, "hush"));
	policy_problems_free(&problems);
	/* The printed policy finds the key from anywhere. */
	write_file(folder, "k", key, 32, 0600, path);
	struct policy *p = read_with_key("k", &problems);
	CU_ASSERT_FATAL(p != NULL);
	policy_problems_free(&problems);
	char *text = policy_print(p);
	CU_ASSERT_FATAL(text != NULL);
	struct policy *again = policy_read_text(text, strlen(text), "elsewhere/x", true, &problems);
	CU_ASSERT_FATAL(again != NULL);
	CU_ASSERT_EQUAL(again->peers[0].key_len, 32);
	free(text);
	policy_free(p);
	policy_free(again);
	policy_problems_free(&problems);
	remove_folder();
}

UNIT_TESTS("policy hostile", {"not a text", test_bytes}, {"too much", test_too_much},
	{"limits", test_limits}, {"unfinished", test_unfinished},
	{"include in a text", test_include_in_text}, {"files", test_files},
	{"included files", test_include}, {"keys", test_keys},
	{"a thousand broken texts", test_mutations})
