/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The classes of a policy in the order of their names: what makes policy_find_class() fast, and
 * shows names that are given twice. Private.
 */
#ifndef SLUICE_POLICY_NAMES_H
#define SLUICE_POLICY_NAMES_H

#include "controlplane/policy/policy.h"

/* The indices of all classes by name, those of one name in the order of the policy. malloc'ed, NULL
 * without memory. */
uint32_t *names_sort(const struct policy *policy);

/* Where in classes_by_name, which is there, the first name that is not before `name` stands. */
uint32_t names_place(const struct policy *policy, const char *name);

#endif
