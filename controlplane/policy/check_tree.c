/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Contradictions in the class tree: parents that can't be, and rates that do not fit into one
 * another on some link. check.c has the rest.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/check.h"
#include "controlplane/policy/options.h"
#include "controlplane/policy/tree.h"
#include "controlplane/policy/units.h"
#include "controlplane/policy/values.h"

#define LOOP_TEXT_MAX 130

/* What may be wrong with a class on several links is said for the first. */
enum said { SAID_RATE = 1, SAID_CEIL = 2, SAID_SUM = 4, SAID_NEVER = 8 };

struct tree_check {
	const struct policy *policy;
	const uint32_t *class_index;
	struct policy_problems *problems;
	struct tree tree;
	struct tree_rates *rates; /* on the present link */
	uint8_t *said;
	char link[POLICY_NAME_MAX + 24]; /* bridge "b0", up */
	uint64_t link_bps;
};

static const char *option_path(
	const struct tree_check *t, uint32_t index, const char *name, char path[CHECK_PATH_MAX])
{
	snprintf(path, CHECK_PATH_MAX, "classes[%u].%s",
		t->class_index == NULL ? index : t->class_index[index], name);
	return path;
}

#define ERROR(t, index, name, ...)                                                                 \
	do {                                                                                       \
		char path_[CHECK_PATH_MAX];                                                        \
		problem_error((t)->problems, 0, option_path(t, index, name, path_), __VA_ARGS__);  \
	} while (0)
#define WARN(t, index, name, ...)                                                                  \
	do {                                                                                       \
		char path_[CHECK_PATH_MAX];                                                        \
		problem_warn((t)->problems, 0, option_path(t, index, name, path_), __VA_ARGS__);   \
	} while (0)

/* ---- who is whose parent ---- */

/* A loop that `index` is in, named once, at the class that comes first in the policy. */
static void say_loop(const struct tree_check *t, uint32_t index)
{
	const struct policy_class *classes = t->policy->classes;
	char loop[LOOP_TEXT_MAX];
	uint32_t first = index, length = 1, at;
	size_t len;

	for (at = (uint32_t)classes[index].parent_index; at != index; length++) {
		first = at < first ? at : first;
		at = (uint32_t)classes[at].parent_index;
	}
	len = (size_t)snprintf(loop, sizeof(loop), "\"%s\"", classes[first].name);
	at = first;
	do {
		at = (uint32_t)classes[at].parent_index;
		/* Cut long ones, but say where they end. */
		if (at != first && len + 2 * POLICY_NAME_MAX + 20 > sizeof(loop)) {
			len += (size_t)snprintf(loop + len, sizeof(loop) - len, " in ...");
			at = first;
		}
		len += (size_t)snprintf(
			loop + len, sizeof(loop) - len, " in \"%s\"", classes[at].name);
	} while (at != first);
	ERROR(t, first, "parent", "a loop of %u: %s; accepted: parents that lead to the link",
		length, loop);
}

/* Loops, each once. visited[] is zeroed, with room for all classes. */
static void check_loops(const struct tree_check *t, uint32_t *visited)
{
	const struct policy *policy = t->policy;

	for (uint32_t i = 0; i < policy->class_count; i++) {
		int32_t at = (int32_t)i;
		if (t->tree.depth[i] != TREE_LOOP)
			continue;
		while (at >= 0 && (uint32_t)at < policy->class_count && visited[at] == 0) {
			visited[at] = i + 1;
			at = policy->classes[at].parent_index;
		}
		if (at >= 0 && (uint32_t)at < policy->class_count && visited[at] == i + 1)
			say_loop(t, (uint32_t)at);
	}
}

static void check_parents(const struct tree_check *t)
{
	const struct policy *policy = t->policy;

	for (uint32_t i = 0; i < policy->class_count; i++) {
		int32_t parent = policy->classes[i].parent_index;
		if (parent >= 0 && (uint32_t)parent >= policy->class_count)
			ERROR(t, i, "parent", "there is no such class");
		if (parent == 0)
			ERROR(t, i, "parent",
				"class \"default\" takes what no rule matches and can't be a "
				"parent; accepted: another class");
		/* Those below it would only say the same. */
		if (t->tree.depth[i] == POLICY_DEPTH_MAX + 1)
			ERROR(t, i, "parent",
				"class \"%s\" is %u levels below the link; accepted: at most %u",
				policy->classes[i].name, POLICY_DEPTH_MAX + 1, POLICY_DEPTH_MAX);
	}
}

/* A leaf below a group, to be named instead of it. */
static const char *leaf_below(const struct tree_check *t, uint32_t index)
{
	while (t->tree.depth[index] != TREE_LOOP && t->tree.child[index] != UINT32_MAX)
		index = t->tree.child[index];
	return t->policy->classes[index].name;
}

static void check_group(
	const struct tree_check *t, uint32_t index, const union values_any *defaults)
{
	const struct policy_class *c = &t->policy->classes[index];

	for (uint32_t i = 0; i < options_class.count; i++) {
		const struct option *o = &options_class.options[i];
		if (o->per_flow && !value_same(o, c, defaults))
			WARN(t, index, o->name,
				"has no effect on a group: class \"%s\" is the parent of \"%s\"",
				c->name, t->policy->classes[t->tree.child[index]].name);
	}
	if (c->police.mode != POLICE_NONE)
		ERROR(t, index, "police",
			"class \"%s\" is a group, the parent of \"%s\"; accepted: police in the "
			"classes below it",
			c->name, t->policy->classes[t->tree.child[index]].name);
}

static void check_groups(const struct tree_check *t)
{
	const struct policy *policy = t->policy;
	union values_any defaults;
	char path[CHECK_PATH_MAX];

	values_set_defaults(&options_class, &defaults);
	for (uint32_t i = 1; i < policy->class_count; i++)
		if (t->tree.child[i] != UINT32_MAX)
			check_group(t, i, &defaults);
	for (uint32_t i = 0; i < policy->rule_count; i++) {
		uint32_t class = policy->rules[i].class_index;
		if (class == 0 || t->tree.child[class] == UINT32_MAX)
			continue;
		snprintf(path, sizeof(path), "rules[%u].class", i);
		problem_error(t->problems, 0, path,
			"class \"%s\" is a group; accepted: a class that is nobody's parent, such "
			"as \"%s\"",
			policy->classes[class].name, leaf_below(t, class));
	}
}

/* ---- rates ---- */

/* True the first time that this is said of a class. */
static bool first_time(struct tree_check *t, uint32_t index, enum said what)
{
	bool first = (t->said[index] & what) == 0;

	t->said[index] |= (uint8_t)what;
	return first;
}

/* rate or ceil as a percentage of nothing, or of too little. */
static void check_percent(struct tree_check *t, uint32_t i, const char *name, bool unknown,
	uint64_t bps, enum said what)
{
	const struct policy_class *c = &t->policy->classes[i];
	const struct policy_rate *rate = what == SAID_RATE ? &c->rate : &c->ceil;
	char percent[UNITS_TEXT_MAX], is[UNITS_TEXT_MAX], least[UNITS_TEXT_MAX];

	if (rate->ppm == 0 || (!unknown && bps >= UNITS_RATE_MIN_BPS) || !first_time(t, i, what))
		return;
	units_percent_text(rate->ppm, percent);
	if (unknown && c->parent_index >= 0 && (what == SAID_RATE || t->link_bps != 0))
		ERROR(t, i, name,
			"class \"%s\": %s of nothing, its parent \"%s\" has no rate; accepted: an "
			"absolute rate here, or a rate there",
			c->name, percent, t->policy->classes[c->parent_index].name);
	else if (unknown)
		ERROR(t, i, name,
			"class \"%s\": %s of nothing, %s is not limited; accepted: an absolute "
			"rate here, or one there",
			c->name, percent, t->link);
	else
		ERROR(t, i, name, "class \"%s\": %s are only %s (%s); accepted: at least %s",
			c->name, percent, units_rate_text(bps, is), t->link,
			units_rate_text(UNITS_RATE_MIN_BPS, least));
}

/* The ceiling of the nearest group above that has one, 0 if none has. */
static uint64_t ceiling_above(const struct tree_check *t, uint32_t index)
{
	for (int32_t at = t->policy->classes[index].parent_index; at >= 0;
		at = t->policy->classes[at].parent_index)
		if (t->rates[at].ceil_bps != 0)
			return t->rates[at].ceil_bps;
	return 0;
}

static void check_class_rates(struct tree_check *t, uint32_t i)
{
	const struct policy_class *c = &t->policy->classes[i];
	const struct tree_rates *r = &t->rates[i];
	bool says_rate = c->rate.bps != 0 || c->rate.ppm != 0;
	char a[UNITS_TEXT_MAX], b[UNITS_TEXT_MAX];

	check_percent(t, i, "rate", r->rate_unknown, r->rate_bps, SAID_RATE);
	check_percent(t, i, "ceil", r->ceil_unknown, r->ceil_bps, SAID_CEIL);
	if (r->rate_unknown || r->ceil_unknown)
		return;
	if (r->ceil_bps != 0 && r->ceil_bps < r->rate_bps && first_time(t, i, SAID_CEIL))
		ERROR(t, i, "ceil",
			says_rate
				? "class \"%s\": ceil %s is below rate %s (%s); accepted: ceil >= "
				  "rate"
				: "class \"%s\": ceil %s is below the %s that its classes are "
				  "assured in all (%s)",
			c->name, units_rate_text(r->ceil_bps, a), units_rate_text(r->rate_bps, b),
			t->link);
	if (says_rate && r->sum_bps > r->rate_bps && first_time(t, i, SAID_SUM))
		ERROR(t, i, "rate",
			"its classes are assured %s in all, but class \"%s\" only %s (%s); lower "
			"theirs or raise this",
			units_rate_text(r->sum_bps, a), c->name, units_rate_text(r->rate_bps, b),
			t->link);
	uint64_t above = r->ceil_bps == 0 ? 0 : ceiling_above(t, i);
	if (above != 0 && r->ceil_bps > above && first_time(t, i, SAID_NEVER))
		WARN(t, i, "ceil",
			"class \"%s\": %s is never reached, a group above has ceil %s (%s)",
			c->name, units_rate_text(r->ceil_bps, a), units_rate_text(above, b),
			t->link);
}

/* What needs no other class and no link, for where those could not be read. */
static void check_by_themselves(const struct tree_check *t)
{
	char a[UNITS_TEXT_MAX], b[UNITS_TEXT_MAX];

	for (uint32_t i = 0; i < t->policy->class_count; i++) {
		const struct policy_class *c = &t->policy->classes[i];

		if (c->ceil.bps != 0 && c->ceil.bps < c->rate.bps)
			ERROR(t, i, "ceil",
				"class \"%s\": ceil %s is below rate %s; accepted: ceil >= rate",
				c->name, units_rate_text(c->ceil.bps, a),
				units_rate_text(c->rate.bps, b));
	}
}

/* What the classes are assured must fit into each link that is shaped. */
static void check_link(struct tree_check *t, unsigned bridge, bool up)
{
	const struct policy_bridge *b = &t->policy->bridges[bridge];
	char path[CHECK_PATH_MAX], sum[UNITS_TEXT_MAX], has[UNITS_TEXT_MAX];

	t->link_bps = up ? b->up_bps : b->down_bps;
	snprintf(t->link, sizeof(t->link), "bridge \"%s\", %s", b->name, up ? "up" : "down");
	uint64_t assured = tree_rates(&t->tree, t->policy, t->link_bps, t->rates);
	for (uint32_t n = 0; n < t->tree.count; n++)
		check_class_rates(t, t->tree.order[n]);
	if (t->link_bps == 0 || assured <= t->link_bps)
		return;
	snprintf(path, sizeof(path), "bridges[%u].%s", bridge, up ? "up" : "down");
	problem_error(t->problems, 0, path,
		"the classes are assured %s in all, but this link has %s; lower classes[].rate or "
		"raise the link",
		units_rate_text(assured, sum), units_rate_text(t->link_bps, has));
}

/* What could not be read is not known: percentages of it, sums with it. */
static bool is_damaged(const struct policy_problem *p)
{
	const char *name = strchr(p->option, '.');

	if (p->is_warning)
		return false;
	if (strncmp(p->option, "classes", 7) == 0)
		return name == NULL || strcmp(name, ".name") == 0 || strcmp(name, ".parent") == 0 ||
		       strcmp(name, ".rate") == 0 || strcmp(name, ".ceil") == 0;
	return strncmp(p->option, "bridges", 7) == 0 &&
	       (name == NULL || strcmp(name, ".up") == 0 || strcmp(name, ".down") == 0);
}

void check_tree(
	const struct policy *policy, const uint32_t *class_index, struct policy_problems *problems)
{
	struct tree_check t = {.policy = policy, .class_index = class_index, .problems = problems};
	uint32_t *visited = calloc(policy->class_count + 1u, sizeof(*visited));
	bool damaged = false;

	for (uint32_t i = 0; problems != NULL && i < problems->count; i++)
		damaged |= is_damaged(&problems->list[i]);
	t.rates = calloc(policy->class_count + 1u, sizeof(*t.rates));
	t.said = calloc(policy->class_count + 1u, sizeof(*t.said));
	if (tree_build(&t.tree, policy) != 0 || visited == NULL || t.rates == NULL ||
		t.said == NULL) {
		problem_error(problems, 0, "classes", "out of memory");
	} else {
		check_loops(&t, visited);
		check_parents(&t);
		check_groups(&t);
		if (!t.tree.sound || damaged)
			check_by_themselves(&t);
		for (unsigned link = 0;
			t.tree.sound && !damaged && link < 2u * policy->bridge_count; link++)
			check_link(&t, link / 2, link % 2 == 0);
	}
	tree_free(&t.tree);
	free(t.rates);
	free(t.said);
	free(visited);
}
