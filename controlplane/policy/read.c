/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shape of the configuration file: libconfig's tree to a policy, all problems in one pass. A
 * value that is wrong is reported and leaves its default, so that what follows can still be
 * checked.
 */
#include <errno.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/check.h"
#include "controlplane/policy/key.h"
#include "controlplane/policy/names.h"
#include "controlplane/policy/options.h"
#include "controlplane/policy/source.h"
#include "controlplane/policy/values.h"

#define OPTION_PATH_MAX CHECK_PATH_MAX
#define DEFAULT_CLASS "default"

struct reader {
	struct policy *policy;
	struct policy_problems *problems;
	const config_setting_t *root;
	uint32_t *class_index; /* place of each class in the file */
};

static const char *type_text(const config_setting_t *s)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_GROUP:
		return "a group, { }";
	case CONFIG_TYPE_LIST:
		return "a list, ( )";
	case CONFIG_TYPE_ARRAY:
		return "an array, [ ]";
	case CONFIG_TYPE_FLOAT:
		return "a number with a decimal point";
	case CONFIG_TYPE_BOOL:
		return config_setting_get_bool(s) ? "true" : "false";
	case CONFIG_TYPE_STRING:
		return "a text in quotes";
	default:
		return "a number";
	}
}

static bool is_whole_number(const config_setting_t *s)
{
	return config_setting_type(s) == CONFIG_TYPE_INT ||
	       config_setting_type(s) == CONFIG_TYPE_INT64;
}

static long long whole_number(const config_setting_t *s)
{
	return config_setting_type(s) == CONFIG_TYPE_INT ? config_setting_get_int(s)
							 : config_setting_get_int64(s);
}

static uint32_t length_of(const config_setting_t *s)
{
	return (uint32_t)config_setting_length(s);
}

static const config_setting_t *element(const config_setting_t *s, uint32_t index)
{
	return config_setting_get_elem(s, index);
}

static void read_group(struct reader *r, const struct option_group *group,
	const config_setting_t *s, const char *path, void *base);

static void read_networks(
	struct reader *r, const config_setting_t *s, const char *path, struct policy_peer *peer)
{
	char why[VALUE_WHY_MAX], option[OPTION_PATH_MAX + 16];
	struct policy_prefix prefix;

	if (length_of(s) > POLICY_NETWORKS_MAX)
		problem_error(r->problems, s->line, path, "%u networks; accepted: at most %u",
			length_of(s), POLICY_NETWORKS_MAX);
	for (uint32_t i = 0; i < length_of(s) && i < POLICY_NETWORKS_MAX; i++) {
		const config_setting_t *e = element(s, i);
		snprintf(option, sizeof(option), "%s[%u]", path, i);
		if (config_setting_type(e) != CONFIG_TYPE_STRING)
			problem_error(r->problems, e->line, option,
				"%s; accepted: a network in quotes such as \"10.20.0.0/16\"",
				type_text(e));
		else if (value_network(config_setting_get_string(e), &prefix, why) != 0)
			problem_error(r->problems, e->line, option,
				"%s; accepted: \"10.1.0.0/16\", \"10.1.2.3\" or \"2001:db8::/32\"",
				why);
		else
			peer->networks[peer->network_count++] = prefix;
	}
}

/* workers = [ 1, 3 ] */
static int read_cpus(const config_setting_t *s, struct policy_appliance *appliance, char *why)
{
	struct policy_appliance read = {0};

	for (uint32_t i = 0; i < length_of(s); i++) {
		const config_setting_t *e = element(s, i);
		if (!is_whole_number(e)) {
			snprintf(why, VALUE_WHY_MAX, "%s in the list", type_text(e));
			return -EINVAL;
		}
		if (value_add_cpu(&read, whole_number(e), why) != 0)
			return -EINVAL;
	}
	if (read.worker_count == 0) {
		snprintf(why, VALUE_WHY_MAX, "an empty list");
		return -EINVAL;
	}
	memcpy(appliance->workers, read.workers, sizeof(read.workers));
	appliance->worker_count = read.worker_count;
	return 0;
}

static int read_number(const struct option *o, const config_setting_t *s, void *base, char *why)
{
	long long number = whole_number(s);

	switch (o->type) {
	case OPTION_INT:
	case OPTION_SIGNED:
	case OPTION_RANGE:
		return value_set_number(o, number, base, why);
	case OPTION_ACTION:
		if (number >= 0 && number <= (long long)o->max)
			return value_set_number(o, number, base, why);
		snprintf(why, VALUE_WHY_MAX, "%lld is out of range", number);
		break;
	case OPTION_RATE:
	case OPTION_SHARE:
	case OPTION_TIME:
	case OPTION_SIZE:
	case OPTION_BURST:
	case OPTION_MEMORY:
		snprintf(why, VALUE_WHY_MAX, "%lld has no unit", number);
		break;
	case OPTION_CPUS:
		snprintf(why, VALUE_WHY_MAX, "%lld could be a CPU or a count", number);
		break;
	default:
		snprintf(why, VALUE_WHY_MAX, "%lld, a number", number);
	}
	return -EINVAL;
}

static void read_option(struct reader *r, const struct option *o, const config_setting_t *s,
	const char *path, void *base)
{
	char why[VALUE_WHY_MAX], accepted[VALUE_ACCEPTED_MAX];
	int type = config_setting_type(s), rc = -EINVAL;
	bool listed = type == CONFIG_TYPE_LIST || type == CONFIG_TYPE_ARRAY;

	if (o->type == OPTION_MATCH && type == CONFIG_TYPE_GROUP) {
		read_group(r, &options_match, s, path, (char *)base + o->offset);
		return;
	}
	if (o->type == OPTION_NETWORKS && listed) {
		read_networks(r, s, path, base);
		return;
	}
	snprintf(why, sizeof(why), "%s", type_text(s));
	if (o->type == OPTION_CPUS && listed) {
		rc = read_cpus(s, base, why);
	} else if (o->type == OPTION_BOOL && type == CONFIG_TYPE_BOOL) {
		*(bool *)((char *)base + o->offset) = config_setting_get_bool(s) != 0;
		rc = 0;
	} else if (type == CONFIG_TYPE_STRING) {
		/* Nobody reads what is not listed any more. */
		bool listed_all = r->problems->count >= PROBLEMS_MAX;
		rc = value_from_text(
			r->policy, o, config_setting_get_string(s), base, listed_all ? NULL : why);
	} else if (is_whole_number(s)) {
		rc = read_number(o, s, base, why);
	}
	if (rc != 0)
		problem_error(r->problems, s->line, path, "%s; accepted: %s", why,
			value_accepted(o, accepted));
}

/* `names` are all options known here; says which one may have been meant. */
static void unknown_option(struct reader *r, const config_setting_t *s, const char *path,
	const char *const *names, uint32_t count)
{
	char known[140] = "";
	size_t len = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (problem_similar(s->name, names[i])) {
			problem_error(r->problems, s->line, path,
				"unknown option, did you mean \"%s\"?", names[i]);
			return;
		}
		/* A message is one line; conf/sluice.conf has them all. */
		if (len + strlen(names[i]) + 8 < sizeof(known))
			len += (size_t)snprintf(known + len, sizeof(known) - len, "%s%s",
				i == 0 ? "" : ", ", names[i]);
		else if (known[len - 1] != '.')
			len += (size_t)snprintf(known + len, sizeof(known) - len, ", ...");
	}
	problem_error(r->problems, s->line, path, "unknown option; accepted: %s", known);
}

static void member_path(char out[OPTION_PATH_MAX], const char *path, const char *name)
{
	snprintf(out, OPTION_PATH_MAX, "%s%s%s", path, *path == '\0' ? "" : ".", name);
}

/* In a struct of zeros. */
static void set_defaults(const struct option_group *group, void *base)
{
	for (uint32_t i = 0; i < group->count; i++)
		if (group->options[i].fallback != NULL)
			value_set_default(&group->options[i], base);
}

/* Into a struct that has the defaults. */
static void read_group(struct reader *r, const struct option_group *group,
	const config_setting_t *s, const char *path, void *base)
{
	const char *names[OPTIONS_MAX];
	char option[OPTION_PATH_MAX], accepted[VALUE_ACCEPTED_MAX];

	for (uint32_t i = 0; i < group->count; i++)
		names[i] = group->options[i].name;
	for (uint32_t i = 0; i < length_of(s); i++) {
		const config_setting_t *child = element(s, i);
		const struct option *o = option_find(group, child->name);
		member_path(option, path, child->name);
		if (o == NULL)
			unknown_option(r, child, option, names, group->count);
		else if (o->type != OPTION_PARENT)
			read_option(r, o, child, option, base);
	}
	for (uint32_t i = 0; i < group->count; i++) {
		const struct option *o = &group->options[i];
		if (o->fallback != NULL || config_setting_get_member(s, o->name) != NULL)
			continue;
		member_path(option, path, o->name);
		problem_error(r->problems, s->line, option, "missing; accepted: %s",
			value_accepted(o, accepted));
	}
}

/*
 * The list `group->name` of groups, at most `max` of them. Returns it, or NULL where it is missing
 * or no list; *count is how many of its elements to read.
 */
static const config_setting_t *find_list(
	struct reader *r, const struct option_group *group, uint32_t max, uint32_t *count)
{
	const config_setting_t *s = config_setting_get_member(r->root, group->name);

	*count = 0;
	if (s == NULL)
		return NULL;
	if (config_setting_type(s) != CONFIG_TYPE_LIST) {
		problem_error(r->problems, s->line, group->name,
			"%s; accepted: a list of groups: %s = ( { ... }, { ... } );", type_text(s),
			group->name);
		return NULL;
	}
	*count = length_of(s);
	if (*count > max) {
		problem_error(r->problems, s->line, group->name,
			"%u entries; accepted: at most %u (those after are not checked)", *count,
			max);
		*count = max;
	}
	return s;
}

/* One element of such a list, into a struct that has the defaults; path is "classes[3]". */
static void read_element(struct reader *r, const struct option_group *group,
	const config_setting_t *list, uint32_t index, void *base)
{
	const config_setting_t *s = element(list, index);
	char path[OPTION_PATH_MAX];

	snprintf(path, sizeof(path), "%s[%u]", group->name, index);
	if (config_setting_type(s) == CONFIG_TYPE_GROUP) {
		read_group(r, group, s, path, base);
		return;
	}
	problem_error(r->problems, s->line, path, "%s; accepted: a group of options, { ... }",
		type_text(s));
}

static void read_top(struct reader *r)
{
	static const char *const names[] = {
		"appliance", "bridges", "classes", "rules", "peers", "compression", "bypass"};
	struct policy *p = r->policy;
	const config_setting_t *s;

	set_defaults(&options_top, p);
	set_defaults(&options_appliance, &p->appliance);
	for (uint32_t i = 0; i < length_of(r->root); i++) {
		s = element(r->root, i);
		const struct option *o = option_find(&options_top, s->name);
		bool known = false;
		for (uint32_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
			known |= strcmp(s->name, names[n]) == 0;
		if (o != NULL)
			read_option(r, o, s, s->name, p);
		else if (!known)
			unknown_option(r, s, s->name, names, sizeof(names) / sizeof(names[0]));
	}
	s = config_setting_get_member(r->root, "appliance");
	if (s != NULL && config_setting_type(s) == CONFIG_TYPE_GROUP)
		read_group(r, &options_appliance, s, "appliance", &p->appliance);
	else if (s != NULL)
		problem_error(r->problems, s->line, "appliance",
			"%s; accepted: a group: appliance = { ... };", type_text(s));
}

static void read_bridges(struct reader *r)
{
	struct policy *p = r->policy;
	uint32_t count;
	const config_setting_t *list = find_list(r, &options_bridge, POLICY_BRIDGES_MAX, &count);

	for (uint32_t i = 0; i < count; i++) {
		set_defaults(&options_bridge, &p->bridges[i]);
		read_element(r, &options_bridge, list, i, &p->bridges[i]);
	}
	p->bridge_count = (uint16_t)count;
	if (count == 0 && (list != NULL || config_setting_get_member(r->root, "bridges") == NULL))
		problem_error(r->problems, list == NULL ? 1 : list->line, "bridges",
			"missing; accepted: at least one bridge: bridges = ( { name = \"b0\"; "
			"lan = \"eth1\"; wan = \"eth2\"; } );");
}

/* A parent may stand behind its children: names are all known by now. */
static void read_parents(struct reader *r, const config_setting_t *list)
{
	const struct option *o = option_find(&options_class, "parent");
	struct policy *p = r->policy;
	char option[OPTION_PATH_MAX];

	/* Class "default" may be none of the file's. */
	for (uint32_t i = p->classes[0].line == 0 ? 1 : 0; i < p->class_count; i++) {
		const config_setting_t *s = element(list, r->class_index[i]);
		if (!config_setting_is_group(s))
			continue;
		s = config_setting_get_member(s, o->name);
		snprintf(option, sizeof(option), "classes[%u].parent", r->class_index[i]);
		if (s != NULL)
			read_option(r, o, s, option, &p->classes[i]);
	}
}

/* classes[0] is the default class, wherever the file has it, or whether at all. */
static int read_classes(struct reader *r)
{
	struct policy *p = r->policy;
	struct policy_class defaults = {0};
	uint32_t count;
	const config_setting_t *list = find_list(r, &options_class, POLICY_CLASSES_MAX, &count);
	bool has_default = false;

	p->classes = calloc(count + 1u, sizeof(*p->classes));
	r->class_index = calloc(count + 1u, sizeof(*r->class_index));
	if (p->classes == NULL || r->class_index == NULL)
		return -ENOMEM;
	set_defaults(&options_class, &defaults);
	p->classes[0] = defaults;
	strcpy(p->classes[0].name, DEFAULT_CLASS);
	p->class_count = 1;
	for (uint32_t i = 0; i < count; i++) {
		struct policy_class class = defaults;
		read_element(r, &options_class, list, i, &class);
		class.line = element(list, i)->line;
		uint32_t at = p->class_count;
		if (!has_default && strcmp(class.name, DEFAULT_CLASS) == 0) {
			has_default = true;
			at = 0;
		} else if (at == POLICY_CLASSES_MAX) {
			/* Full, and class "default" still has to find room. */
			problem_error(r->problems, class.line, "classes",
				"%u entries beside class \"default\"; accepted: at most %u", at,
				POLICY_CLASSES_MAX - 1);
			break;
		} else {
			p->class_count++;
		}
		p->classes[at] = class;
		r->class_index[at] = i;
	}
	p->classes_by_name = names_sort(p);
	if (p->classes_by_name == NULL)
		return -ENOMEM;
	read_parents(r, list);
	return 0;
}

static int read_rules(struct reader *r)
{
	struct policy *p = r->policy;
	uint32_t count;
	const config_setting_t *list = find_list(r, &options_rule, POLICY_RULES_MAX, &count);

	p->rules = calloc(count + 1u, sizeof(*p->rules));
	if (p->rules == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		set_defaults(&options_rule, &p->rules[i]);
		read_element(r, &options_rule, list, i, &p->rules[i]);
		p->rules[i].line = element(list, i)->line;
	}
	p->rule_count = count;
	return 0;
}

static void read_peers(struct reader *r, bool read_keys, const char *file)
{
	struct policy *p = r->policy;
	char option[OPTION_PATH_MAX];
	uint32_t count;
	const config_setting_t *list = find_list(r, &options_peer, POLICY_PEERS_MAX, &count);

	for (uint32_t i = 0; i < count; i++) {
		struct policy_peer *peer = &p->peers[i];
		set_defaults(&options_peer, peer);
		read_element(r, &options_peer, list, i, peer);
		const config_setting_t *s = element(list, i), *key, *bridge;
		if (config_setting_type(s) != CONFIG_TYPE_GROUP)
			continue;
		key = config_setting_get_member(s, "key_file");
		snprintf(option, sizeof(option), "peers[%u].key_file", i);
		if (read_keys && key != NULL && *peer->key_file != '\0')
			key_read(peer->key_file, peer->key, &peer->key_len, file, option, key->line,
				r->problems);
		key = config_setting_get_member(s, "stamp_key_file");
		snprintf(option, sizeof(option), "peers[%u].stamp_key_file", i);
		if (read_keys && key != NULL && *peer->stamp_key_file != '\0')
			key_read(peer->stamp_key_file, peer->stamp_key, &peer->stamp_key_len, file,
				option, key->line, r->problems);
		bridge = config_setting_get_member(s, "bridge");
		snprintf(option, sizeof(option), "peers[%u].bridge", i);
		if (peer->bridge == UINT8_MAX && p->bridge_count == 1)
			peer->bridge = 0;
		else if (peer->bridge == UINT8_MAX && p->bridge_count > 1 && bridge == NULL)
			problem_error(r->problems, s->line, option,
				"missing; accepted: the name of the bridge that leads to this "
				"peer, "
				"because there are several");
	}
	p->peer_count = (uint16_t)count;
}

/* The line of "classes[1].rate", or of the nearest thing around it that the file has. */
static uint32_t find_option_line(const config_setting_t *root, const char *path)
{
	const config_setting_t *at = root;
	char name[OPTION_PATH_MAX];
	uint32_t line = 1;

	while (*path != '\0') {
		const config_setting_t *next;
		if (*path == '[') {
			next = config_setting_is_aggregate(at)
				       ? element(at, (uint32_t)strtoul(path + 1, NULL, 10))
				       : NULL;
			path += strcspn(path, "]");
			path += *path == ']';
		} else {
			path += *path == '.';
			size_t len = strcspn(path, ".[");
			snprintf(name, sizeof(name), "%.*s", (int)len, path);
			next = config_setting_is_group(at) ? config_setting_get_member(at, name)
							   : NULL;
			path += len;
		}
		if (next == NULL)
			break;
		at = next;
		line = at->line;
	}
	return line;
}

static void check_all(struct reader *r, bool check_machine)
{
	uint32_t from = r->problems->count;

	check_policy(r->policy, r->class_index, r->problems);
	if (check_machine)
		check_cpus(r->policy, r->problems);
	for (uint32_t i = from; i < r->problems->count; i++)
		r->problems->list[i].line = find_option_line(r->root, r->problems->list[i].option);
}

/* What stands on a line of the text, for a syntax error. */
static void syntax_error(
	const struct source *source, const config_t *config, struct policy_problems *problems)
{
	uint32_t line = (uint32_t)config_error_line(config), n = 1;
	const char *error = config_error_text(config), *text = source->text;
	char written[QUOTE_MAX], quoted[QUOTE_MAX];

	for (; n < line && *text != '\0'; text++)
		n += *text == '\n';
	text += strspn(text, " \t");
	snprintf(written, sizeof(written), "%.*s", (int)strcspn(text, "\r\n"), text);
	if (*written == '\0')
		problem_error(problems, line, "", "%s here or on the lines before", error);
	else
		problem_error(problems, line, "",
			"%s at or before %s; a value wants quotes and a semicolon: up = \"20 "
			"Mbit/s\";",
			error, problem_quote(written, quoted));
}

static int read_tree(struct reader *r, const char *file, bool read_keys)
{
	read_top(r);
	read_bridges(r);
	int rc = read_classes(r);
	if (rc == 0)
		rc = read_rules(r);
	if (rc != 0)
		return rc;
	read_peers(r, read_keys, file);
	check_all(r, read_keys);
	return 0;
}

static void place_lines(struct policy *policy, const struct source *source)
{
	for (uint32_t i = 0; i < policy->class_count; i++)
		policy->classes[i].line = source_main_line(source, policy->classes[i].line);
	for (uint32_t i = 0; i < policy->rule_count; i++)
		policy->rules[i].line = source_main_line(source, policy->rules[i].line);
}

/* `failed` is what source_read_*() returned. */
static struct policy *read_source(struct source *source, int failed, const char *name,
	bool read_keys, struct policy_problems *problems)
{
	struct reader *r = calloc(1, sizeof(*r));
	config_t config;

	config_init(&config);
	if (r != NULL)
		r->policy = calloc(1, sizeof(*r->policy));
	if (r == NULL || r->policy == NULL || failed == -ENOMEM) {
		problem_error(problems, 0, "", "out of memory");
	} else if (failed == 0 && !config_read_string(&config, source->text)) {
		syntax_error(source, &config, problems);
	} else if (failed == 0) {
		snprintf(r->policy->file, sizeof(r->policy->file), "%s", name);
		r->problems = problems;
		r->root = config_root_setting(&config);
		if (read_tree(r, name, read_keys) != 0)
			problem_error(problems, 0, "", "out of memory");
		place_lines(r->policy, source);
	}
	problems_sort(problems);
	source_place(source, problems, 0);
	struct policy *policy = r == NULL ? NULL : r->policy;
	if (problems->errors > 0 || failed != 0) {
		policy_free(policy);
		policy = NULL;
	}
	config_destroy(&config);
	source_free(source);
	if (r != NULL)
		free(r->class_index);
	free(r);
	return policy;
}

struct policy *policy_read_file(const char *file, struct policy_problems *problems)
{
	struct source source;

	memset(problems, 0, sizeof(*problems));
	int rc = source_read_file(&source, file, problems);
	return read_source(&source, rc, file, true, problems);
}

struct policy *policy_read_text(const char *text, uint64_t len, const char *name, bool read_keys,
	struct policy_problems *problems)
{
	struct source source;

	memset(problems, 0, sizeof(*problems));
	int rc = source_read_text(&source, text, len, name, problems);
	return read_source(&source, rc, name, read_keys, problems);
}
