/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A policy as an object: copy, free, find by name, print. read.c makes them, policy.h is the
 * manual.
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
	if (copy->classes == NULL || copy->rules == NULL) {
		policy_free(copy);
		return NULL;
	}
	return copy;
}

/* A name that was refused while reading is empty, and nothing is called that. */
static bool is_called(const char *name, const char *wanted)
{
	return *name != '\0' && strcmp(name, wanted) == 0;
}

int policy_find_class(const struct policy *policy, const char *name)
{
	for (uint32_t i = 0; i < policy->class_count; i++)
		if (is_called(policy->classes[i].name, name))
			return (int)i;
	return -ENOENT;
}

int policy_find_bridge(const struct policy *policy, const char *name)
{
	for (uint16_t i = 0; i < policy->bridge_count; i++)
		if (is_called(policy->bridges[i].name, name))
			return i;
	return -ENOENT;
}

int policy_find_peer(const struct policy *policy, const char *name)
{
	for (uint16_t i = 0; i < policy->peer_count; i++)
		if (is_called(policy->peers[i].name, name))
			return i;
	return -ENOENT;
}

struct printer {
	const struct policy *policy;
	FILE *out;
	char text[VALUE_TEXT_MAX];
};

/* The options that differ from their defaults, each with `before` in front of it. */
static void print_options(
	struct printer *p, const struct option_group *group, const void *base, const char *before)
{
	for (uint32_t i = 0; i < group->count; i++) {
		const struct option *o = &group->options[i];
		if (o->type != OPTION_MATCH && !value_is_default(o, base))
			fprintf(p->out, "%s%s = %s;", before, o->name,
				value_text(p->policy, o, base, p->text));
	}
}

static void print_list(
	struct printer *p, const struct option_group *group, const void *first, uint32_t count)
{
	fprintf(p->out, "\n%s = (", group->name);
	for (uint32_t i = 0; i < count; i++) {
		fprintf(p->out, "%s\n  {", i == 0 ? "" : ",");
		print_options(
			p, group, (const char *)first + (size_t)i * group->struct_size, "\n    ");
		fprintf(p->out, "\n  }");
	}
	fprintf(p->out, "\n);\n");
}

static void print_rules(struct printer *p)
{
	fprintf(p->out, "\nrules = (");
	for (uint32_t i = 0; i < p->policy->rule_count; i++) {
		const struct policy_rule *rule = &p->policy->rules[i];
		fprintf(p->out, "%s\n  { match = {", i == 0 ? "" : ",");
		print_options(p, &options_match, &rule->match, " ");
		fprintf(p->out, " };");
		print_options(p, &options_rule, rule, " ");
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
	print_options(&p, &options_appliance, &policy->appliance, "\n  ");
	fprintf(p.out, "\n};");
	print_options(&p, &options_top, policy, "\n");
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
