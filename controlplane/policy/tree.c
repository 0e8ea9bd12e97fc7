/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The class tree in numbers, in time that grows with the number of classes only, whatever their
 * parents say: tree.h.
 */
#include "controlplane/policy/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/units.h"

/* The parent, -1 for the link, -2 where there is none such. */
static int32_t parent_of(const struct policy *policy, uint32_t index)
{
	int32_t parent = policy->classes[index].parent_index;

	return parent < 0 ? -1 : (uint32_t)parent < policy->class_count ? parent : -2;
}

/* Depths of a class and of all above it. 0 is "not known yet"; seen[] marks the way up with who
 * went it. */
static void find_depth(const struct policy *policy, uint32_t index, uint32_t *depth, uint32_t *seen)
{
	uint32_t steps = 0, top;
	int32_t at = (int32_t)index;

	for (; at >= 0 && depth[at] == 0 && seen[at] != index + 1;
		at = parent_of(policy, (uint32_t)at)) {
		seen[at] = index + 1;
		steps++;
	}
	top = at == -1 ? 0 : at < 0 || depth[at] == 0 ? TREE_LOOP : depth[at];
	at = (int32_t)index;
	for (; steps > 0; steps--, at = parent_of(policy, (uint32_t)at))
		depth[at] = top == TREE_LOOP ? TREE_LOOP : top + steps;
}

/* Counting sort by depth; what is too deep is left out. */
static void sort_by_depth(struct tree *tree, uint32_t class_count)
{
	uint32_t start[POLICY_DEPTH_MAX + 2] = {0};

	for (uint32_t i = 0; i < class_count; i++)
		if (tree->depth[i] <= POLICY_DEPTH_MAX)
			start[tree->depth[i] + 1]++;
	for (unsigned d = 1; d < POLICY_DEPTH_MAX + 2; d++)
		start[d] += start[d - 1];
	tree->count = start[POLICY_DEPTH_MAX + 1];
	for (uint32_t i = 0; i < class_count; i++)
		if (tree->depth[i] <= POLICY_DEPTH_MAX)
			tree->order[start[tree->depth[i]]++] = i;
	tree->sound = tree->count == class_count;
}

int tree_build(struct tree *tree, const struct policy *policy)
{
	uint32_t n = policy->class_count;

	memset(tree, 0, sizeof(*tree));
	tree->depth = calloc(n + 1u, sizeof(*tree->depth));
	tree->child = malloc((n + 1u) * sizeof(*tree->child));
	tree->order = calloc(n + 1u, sizeof(*tree->order));
	if (tree->depth == NULL || tree->child == NULL || tree->order == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		find_depth(policy, i, tree->depth, tree->order);
	memset(tree->child, 0xff, (n + 1u) * sizeof(*tree->child));
	for (uint32_t i = n; i-- > 0;)
		if (parent_of(policy, i) >= 0)
			tree->child[parent_of(policy, i)] = i;
	sort_by_depth(tree, n);
	return 0;
}

void tree_free(struct tree *tree)
{
	free(tree->depth);
	free(tree->child);
	free(tree->order);
	memset(tree, 0, sizeof(*tree));
}

/* `of` 0: a percentage of nothing. */
static uint64_t resolve(const struct policy_rate *rate, uint64_t of, bool *unknown)
{
	*unknown = rate->ppm != 0 && of == 0;
	return rate->ppm == 0 ? rate->bps
			      : (uint64_t)((unsigned __int128)of * rate->ppm / UNITS_PPM);
}

static void add(uint64_t *sum, uint64_t more)
{
	if (__builtin_add_overflow(*sum, more, sum))
		*sum = UINT64_MAX;
}

uint64_t tree_rates(const struct tree *tree, const struct policy *policy, uint64_t link_bps,
	struct tree_rates *rates)
{
	uint64_t assured = 0;

	memset(rates, 0, policy->class_count * sizeof(*rates));
	for (uint32_t n = 0; n < tree->count; n++) {
		uint32_t i = tree->order[n];
		const struct policy_class *c = &policy->classes[i];
		const struct tree_rates *up = c->parent_index < 0 ? NULL : &rates[c->parent_index];
		struct tree_rates *r = &rates[i];
		uint64_t most = up == NULL ? link_bps : up->most_bps;
		r->rate_bps =
			resolve(&c->rate, up == NULL ? link_bps : up->rate_bps, &r->rate_unknown);
		r->ceil_bps = resolve(&c->ceil, most, &r->ceil_unknown);
		r->most_bps = r->ceil_bps != 0 ? r->ceil_bps : most;
	}
	/* A group that says nothing is assured what its classes are, from the leaves up. */
	for (uint32_t n = tree->count; n-- > 0;) {
		uint32_t i = tree->order[n];
		const struct policy_class *c = &policy->classes[i];
		if (c->rate.bps == 0 && c->rate.ppm == 0)
			rates[i].rate_bps = rates[i].sum_bps;
		add(c->parent_index < 0 ? &assured : &rates[c->parent_index].sum_bps,
			rates[i].rate_bps);
	}
	return assured;
}

int policy_resolve_rates(
	const struct policy *policy, unsigned bridge, bool up, struct policy_class_rates *out)
{
	const struct policy_bridge *b = &policy->bridges[bridge];
	struct tree_rates *rates = calloc(policy->class_count + 1u, sizeof(*rates));
	struct tree tree;
	int rc = tree_build(&tree, policy);

	if (rates == NULL || rc != 0) {
		rc = -ENOMEM;
		goto out;
	}
	tree_rates(&tree, policy, up ? b->up_bps : b->down_bps, rates);
	rc = tree.sound ? 0 : -EINVAL;
	for (uint32_t i = 0; i < policy->class_count; i++) {
		out[i] = (struct policy_class_rates){.rate_bps = rates[i].rate_bps,
			.ceil_bps = rates[i].ceil_bps,
			.is_group = tree.child[i] != UINT32_MAX,
			.depth = tree.depth[i] <= POLICY_DEPTH_MAX ? (uint8_t)tree.depth[i] : 0};
		if (rates[i].rate_unknown || rates[i].ceil_unknown)
			rc = -EINVAL;
	}
out:
	tree_free(&tree);
	free(rates);
	return rc;
}
