/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What must hold between the options of a policy, however it came about: read from a file or
 * changed live. Private; policy_check() of policy.h is the public face.
 */
#ifndef SLUICE_POLICY_CHECK_H
#define SLUICE_POLICY_CHECK_H

#include "controlplane/policy/options.h"
#include "controlplane/policy/problems.h"

#define CHECK_PATH_MAX 64 /* sizeof(policy_problem.option) */

/*
 * Add a problem for each contradiction, with the option's path and line 0. class_index[i] is the
 * place of classes[i] in the file, for the paths; NULL: its place in the policy.
 */
void check_policy(
	const struct policy *policy, const uint32_t *class_index, struct policy_problems *problems);

/* The CPUs that the policy names exist in this machine. Reads /sys. */
void check_cpus(const struct policy *policy, struct policy_problems *problems);

/* A number in its field is as much in range as one in the text: a live change writes fields. Adds
 * an error for each option of the struct that is not. */
void check_numbers(const struct option_group *group, const void *base, const char *path,
	struct policy_problems *problems);

/* The parts that check_policy() is made of. */
void check_tree(
	const struct policy *policy, const uint32_t *class_index, struct policy_problems *problems);
void check_classes(
	const struct policy *policy, const uint32_t *class_index, struct policy_problems *problems);
/* find_unused: warn of each rule behind one that matches all of it, which takes rules squared. */
void check_rules(const struct policy *policy, bool find_unused, struct policy_problems *problems);
void check_peers(const struct policy *policy, struct policy_problems *problems);

#endif
