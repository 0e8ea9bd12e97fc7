/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finding things by name: names.h for classes, of which there may be many, and what policy.h
 * promises.
 */
#include "controlplane/policy/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b, void *arg)
{
	const struct policy_class *classes = arg;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	int order = strcmp(classes[x].name, classes[y].name);

	return order != 0 ? order : (x > y) - (x < y);
}

uint32_t *names_sort(const struct policy *policy)
{
	uint32_t *sorted = malloc((policy->class_count + 1u) * sizeof(*sorted));

	if (sorted == NULL)
		return NULL;
	for (uint32_t i = 0; i < policy->class_count; i++)
		sorted[i] = i;
	qsort_r(sorted, policy->class_count, sizeof(*sorted), by_name, policy->classes);
	return sorted;
}

uint32_t names_place(const struct policy *policy, const char *name)
{
	uint32_t low = 0, high = policy->class_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (strcmp(policy->classes[policy->classes_by_name[middle]].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* A name that was refused while reading is empty, and nothing is called that. */
static bool is_called(const char *name, const char *wanted)
{
	return *name != '\0' && strcmp(name, wanted) == 0;
}

int policy_find_class(const struct policy *policy, const char *name)
{
	if (policy->classes_by_name != NULL) {
		uint32_t place = names_place(policy, name);
		if (place == policy->class_count)
			return -ENOENT;
		uint32_t found = policy->classes_by_name[place];
		return is_called(policy->classes[found].name, name) ? (int)found : -ENOENT;
	}
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
