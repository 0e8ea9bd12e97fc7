/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Values beside the file: defaults, comparing, and what comes as words of a command. values.c reads
 * the texts themselves; values.h is the manual.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/problems.h"
#include "controlplane/policy/values.h"

#define DIGITS_MAX 9 /* more are never in range, and would overflow */

/* A whole number, maybe below zero, into *number. */
static bool is_number(const char *text, long long *number)
{
	size_t minus = *text == '-', digits = strspn(text + minus, "0123456789");

	if (digits == 0 || digits > DIGITS_MAX || text[minus + digits] != '\0')
		return false;
	*number = atoll(text);
	return true;
}

static bool is_plain(const struct option *o, const char *text)
{
	return o->type == OPTION_BOOL || o->type == OPTION_SIGNED ||
	       (o->type == OPTION_INT && (o->empty == NULL || strcasecmp(o->empty, text) != 0));
}

/* true, off, 24 and -4 as a word. */
static int from_plain(const struct option *o, const char *text, void *base, char why[VALUE_WHY_MAX])
{
	bool is_true = strcasecmp(text, "true") == 0;
	char quoted[QUOTE_MAX];
	long long number;

	problem_quote(text, quoted);
	if (o->type != OPTION_BOOL && is_number(text, &number))
		return value_set_number(o, number, base, why);
	if (o->type == OPTION_BOOL && (is_true || strcasecmp(text, "false") == 0)) {
		*(bool *)((char *)base + o->offset) = is_true;
		return 0;
	}
	if (o->type == OPTION_BOOL && value_is_switch(text, (bool *)((char *)base + o->offset)))
		return 0;
	snprintf(why, VALUE_WHY_MAX, "%s is %s", quoted,
		o->type == OPTION_BOOL ? "neither true nor false" : "not a whole number");
	return -EINVAL;
}

bool value_is_switch(const char *text, bool *value)
{
	bool on = strcasecmp(text, "on") == 0;

	if (on || strcasecmp(text, "off") == 0)
		*value = on;
	return on || strcasecmp(text, "off") == 0;
}

int value_from_words(const struct policy *policy, const struct option *o, const char *text,
	void *base, char error[POLICY_ERROR_MAX])
{
	char why[VALUE_WHY_MAX], accepted[VALUE_ACCEPTED_MAX];
	int rc = is_plain(o, text) ? from_plain(o, text, base, why)
				   : value_from_text(policy, o, text, base, why);

	if (rc != 0)
		snprintf(error, POLICY_ERROR_MAX, "%s: %s; accepted: %s", o->name, why,
			value_accepted(o, accepted));
	return rc;
}

void value_set_default(const struct option *o, void *base)
{
	char why[VALUE_WHY_MAX];
	int rc = 0;

	if (o->type == OPTION_NETWORKS)
		((struct policy_peer *)base)->network_count = 0;
	else if (o->type == OPTION_MATCH)
		for (uint32_t i = 0; i < options_match.count; i++)
			value_set_default(&options_match.options[i], (char *)base + o->offset);
	else
		rc = is_plain(o, o->fallback) ? from_plain(o, o->fallback, base, why)
					      : value_from_text(NULL, o, o->fallback, base, why);
	if (rc != 0)
		abort();
}

void values_set_defaults(const struct option_group *group, union values_any *base)
{
	memset(base, 0, sizeof(*base));
	for (uint32_t i = 0; i < group->count; i++)
		if (group->options[i].fallback != NULL)
			value_set_default(&group->options[i], base);
}

bool value_same(const struct option *o, const void *base, const void *other)
{
	const char *a = (const char *)base + o->offset, *b = (const char *)other + o->offset;
	const struct policy_class *c = base, *d = other;

	switch (o->type) {
	case OPTION_SHARE:
		return ((const struct policy_rate *)a)->bps ==
			       ((const struct policy_rate *)b)->bps &&
		       ((const struct policy_rate *)a)->ppm == ((const struct policy_rate *)b)->ppm;
	case OPTION_PER:
		return c->per == d->per && c->per_bits4 == d->per_bits4 &&
		       c->per_bits6 == d->per_bits6;
	case OPTION_CPUS:
		return ((const struct policy_appliance *)base)->worker_count ==
			       ((const struct policy_appliance *)other)->worker_count &&
		       memcmp(a, b, o->size) == 0;
	case OPTION_NETWORKS:
		return ((const struct policy_peer *)base)->network_count == 0 &&
		       ((const struct policy_peer *)other)->network_count == 0;
	default:
		return memcmp(a, b, o->size * (o->type == OPTION_RANGE ? 2u : 1u)) == 0;
	}
}
