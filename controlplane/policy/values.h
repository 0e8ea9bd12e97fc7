/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The value of one option: from its text into its field, from its field back into text, and what to
 * say about a wrong one. Knows the types of options.h, not the shape of the file. Private.
 */
#ifndef SLUICE_POLICY_VALUES_H
#define SLUICE_POLICY_VALUES_H

#include "controlplane/policy/options.h"
#include "controlplane/policy/policy.h"

#define VALUE_WHY_MAX 120
#define VALUE_ACCEPTED_MAX 140
/* Longest text of a value: all networks of a peer, or a path with every character escaped. */
#define VALUE_TEXT_MAX 4096

/*
 * Read `text` (without quotes) as option `o` into the struct at `base`. `policy` has the bridges
 * and classes that names refer to. Returns 0, or -EINVAL with the reason in `why` (NULL: nobody
 * wants to know, which may be much faster); the field is written on success only. Not for
 * OPTION_NETWORKS and OPTION_MATCH, except for an empty text.
 */
int value_from_text(const struct policy *policy, const struct option *o, const char *text,
	void *base, char why[VALUE_WHY_MAX]);

/* Read one network into *prefix; 0, or -EINVAL with the reason. */
int value_network(const char *text, struct policy_prefix *prefix, char why[VALUE_WHY_MAX]);

/* Read worker CPUs one by one; 0, or -EINVAL with the reason. */
int value_add_cpu(struct policy_appliance *appliance, long long cpu, char why[VALUE_WHY_MAX]);

/* Store a number in the field of an OPTION_INT, or in both ends of an OPTION_RANGE, if it is in
 * range. 0, or -EINVAL with the reason. */
int value_set_number(const struct option *o, long long number, void *base, char why[VALUE_WHY_MAX]);

/* Set the default. The tables are constant: a default that can't be read aborts. */
void value_set_default(const struct option *o, void *base);

/* Room for the struct of any group but the top. */
union values_any {
	struct policy_appliance appliance;
	struct policy_bridge bridge;
	struct policy_class class;
	struct policy_rule rule;
	struct policy_match match;
	struct policy_peer peer;
};

/* The defaults of a whole group, in a struct of zeros but for them. */
void values_set_defaults(const struct option_group *group, union values_any *base);

/* Do two structs have the same value there? Lists of networks are the same only if both are empty.
 */
bool value_same(const struct option *o, const void *base, const void *other);

/* What the option accepts, for the end of a message. Returns text. */
const char *value_accepted(const struct option *o, char text[VALUE_ACCEPTED_MAX]);

/* The value as configuration text, quotes included; value_from_text() reads it (without them).
 * Returns text. Not for OPTION_MATCH. */
const char *value_text(const struct policy *policy, const struct option *o, const void *base,
	char text[VALUE_TEXT_MAX]);

/*
 * The same from a text alone, where no syntax tells true, 24 and "24" apart: what the configuration
 * would say, without quotes. 0, or -EINVAL with the reason and what is accepted.
 */
int value_from_words(const struct policy *policy, const struct option *o, const char *text,
	void *base, char error[POLICY_ERROR_MAX]);

/* True for "on" and "off", which OPTION_BOOL takes beside true and false; sets *value then. */
bool value_is_switch(const char *text, bool *value);

/* The numeric field of OPTION_INT, _RATE, _TIME, _SIZE and _MEMORY. */
uint64_t value_number(const struct option *o, const void *base);

#endif
