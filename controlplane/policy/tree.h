/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The classes as a tree: who is whose parent, and what percentages come to on one link.
 * check_tree.c says what is wrong with it. Private; policy_resolve_rates() is the public face.
 */
#ifndef SLUICE_POLICY_TREE_H
#define SLUICE_POLICY_TREE_H

#include "controlplane/policy/policy.h"

#define TREE_LOOP UINT32_MAX

/* All arrays by the index of a class. */
struct tree {
	uint32_t *depth; /* 1: directly below the link; TREE_LOOP: above it parents go round, or
			  * there is one that does not exist */
	uint32_t *child; /* one of those it is the parent of, UINT32_MAX: it is no group */
	uint32_t *order; /* all that are neither in a loop nor too deep, parents first */
	uint32_t count;	 /* of order[] */
	bool sound;	 /* order[] has all of them */
};

/* Work out the tree; tree_free() it also after an error. 0 or -ENOMEM. */
int tree_build(struct tree *tree, const struct policy *policy);
void tree_free(struct tree *tree);

/* What a class comes to on one link. */
struct tree_rates {
	uint64_t rate_bps; /* assured */
	uint64_t ceil_bps; /* its own; 0: none */
	uint64_t
		most_bps; /* its own ceiling or that of the nearest above, or the link's; 0: none */
	uint64_t sum_bps; /* of a group: what its classes are assured */
	bool rate_unknown, ceil_unknown; /* a percentage of nothing */
};

/*
 * Fill rates[] for a link of link_bps (0: unlimited), for all classes in tree->order; the others
 * stay zero. Returns what the classes directly below the link are assured. Sums that overflow stay
 * at UINT64_MAX.
 */
uint64_t tree_rates(const struct tree *tree, const struct policy *policy, uint64_t link_bps,
	struct tree_rates *rates);

#endif
