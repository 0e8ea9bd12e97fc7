/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A policy as an object: copy, free, change, print. read.c makes them, policy.h is the manual.
 */
#include "controlplane/policy/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/options.h"
#include "controlplane/policy/values.h"

void policy_free(struct policy *policy)
{
	if (policy == NULL)
		return;
	explicit_bzero(policy->peers, sizeof(policy->peers));
	free(policy->classes);
	free(policy->classes_by_name);
	free(policy->rules);
	free(policy);
}

static void *duplicate(const void *from, size_t size)
{
	/* Never NULL for nothing: that would look like no memory. */
	void *to = malloc(size > 0 ? size : 1);

	if (to != NULL && size > 0)
		memcpy(to, from, size);
	return to;
}

struct policy *policy_copy(const struct policy *policy)
{
	struct policy *copy = duplicate(policy, sizeof(*policy));

	if (copy == NULL)
		return NULL;
	copy->classes = duplicate(policy->classes, policy->class_count * sizeof(*policy->classes));
	copy->rules = duplicate(policy->rules, policy->rule_count * sizeof(*policy->rules));
	if (policy->classes_by_name != NULL)
		copy->classes_by_name = duplicate(policy->classes_by_name,
			policy->class_count * sizeof(*policy->classes_by_name));
	if (copy->classes == NULL || copy->rules == NULL ||
		(policy->classes_by_name != NULL && copy->classes_by_name == NULL)) {
		policy_free(copy);
		return NULL;
	}
	return copy;
}

struct printer {
	const struct policy *policy;
	FILE *out;
	char text[VALUE_TEXT_MAX];
	union values_any defaults; /* of the group that is printed */
};

/* The options that differ from the struct `defaults` (NULL: all), each with `before` in front of
 * it.
 */
static void print_options(struct printer *p, const struct option_group *group, const void *base,
	const void *defaults, const char *before)
{
	for (uint32_t i = 0; i < group->count; i++) {
		const struct option *o = &group->options[i];
		bool is_default =
			defaults != NULL && o->fallback != NULL && value_same(o, base, defaults);
		if (o->type != OPTION_MATCH && !is_default)
			fprintf(p->out, "%s%s = %s;", before, o->name,
				value_text(p->policy, o, base, p->text));
	}
}

static void print_list(
	struct printer *p, const struct option_group *group, const void *first, uint32_t count)
{
	fprintf(p->out, "\n%s = (", group->name);
	values_set_defaults(group, &p->defaults);
	for (uint32_t i = 0; i < count; i++) {
		fprintf(p->out, "%s\n  {", i == 0 ? "" : ",");
		print_options(p, group, (const char *)first + (size_t)i * group->struct_size,
			&p->defaults, "\n    ");
		fprintf(p->out, "\n  }");
	}
	fprintf(p->out, "\n);\n");
}

static void print_rules(struct printer *p)
{
	fprintf(p->out, "\nrules = (");
	values_set_defaults(&options_match, &p->defaults);
	for (uint32_t i = 0; i < p->policy->rule_count; i++) {
		const struct policy_rule *rule = &p->policy->rules[i];
		fprintf(p->out, "%s\n  { match = {", i == 0 ? "" : ",");
		print_options(p, &options_match, &rule->match, &p->defaults, " ");
		fprintf(p->out, " };");
		print_options(p, &options_rule, rule, NULL, " ");
		fprintf(p->out, " }");
	}
	fprintf(p->out, "\n);\n");
}

char *policy_print(const struct policy *policy)
{
	struct printer p = {.policy = policy};
	char *text = NULL;
	size_t len;

	p.out = open_memstream(&text, &len);
	if (p.out == NULL)
		return NULL;
	fprintf(p.out, "appliance = {");
	values_set_defaults(&options_appliance, &p.defaults);
	print_options(&p, &options_appliance, &policy->appliance, &p.defaults, "\n  ");
	fprintf(p.out, "\n};");
	print_options(&p, &options_top, policy, NULL, "\n");
	fprintf(p.out, "\n");
	print_list(&p, &options_bridge, policy->bridges, policy->bridge_count);
	print_list(&p, &options_class, policy->classes, policy->class_count);
	print_rules(&p);
	print_list(&p, &options_peer, policy->peers, policy->peer_count);
	bool failed = ferror(p.out) != 0;
	if (fclose(p.out) != 0 || failed) {
		free(text);
		return NULL;
	}
	return text;
}

static int set_option(struct policy *policy, const struct option_group *group, void *base,
	const char *name, const char *value, bool all_live, char error[POLICY_ERROR_MAX])
{
	const struct option *o = option_find(group, name);

	if (o == NULL) {
		snprintf(error, POLICY_ERROR_MAX, "there is no option \"%.40s\" of %s", name,
			group->name);
		return -ENOENT;
	}
	if (!o->live && (!all_live || o->type == OPTION_NAME)) {
		snprintf(error, POLICY_ERROR_MAX,
			"%s: can't change while running; restart the daemon for it", o->name);
		return -EBUSY;
	}
	return value_from_words(policy, o, value, base, error);
}

int policy_set_class(struct policy *policy, uint32_t class_index, const char *option,
	const char *value, char error[POLICY_ERROR_MAX])
{
	return set_option(
		policy, &options_class, &policy->classes[class_index], option, value, true, error);
}

int policy_set_bridge(struct policy *policy, unsigned bridge, const char *option, const char *value,
	char error[POLICY_ERROR_MAX])
{
	return set_option(
		policy, &options_bridge, &policy->bridges[bridge], option, value, false, error);
}
