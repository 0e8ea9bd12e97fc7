/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration texts from anybody. Beyond not crashing and not leaking: what is accepted prints as
 * a text that is accepted too and prints the same, and what is refused has an error to show.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/policy.h"
#include "controlplane/policy/units.h"

/* What is accepted comes to numbers on every link: no child is assured more than its group. */
static void fuzz_rates(const struct policy *policy)
{
	struct policy_class_rates *rates = calloc(policy->class_count, sizeof(*rates));

	for (unsigned link = 0; rates != NULL && link < 2u * policy->bridge_count; link++) {
		if (policy_resolve_rates(policy, link / 2, link % 2 == 0, rates) != 0)
			abort();
		for (uint32_t i = 0; i < policy->class_count; i++) {
			const struct policy_class *c = &policy->classes[i];
			if (c->parent_index >= 0 &&
				(rates[i].rate_bps > rates[c->parent_index].rate_bps ||
					!rates[c->parent_index].is_group ||
					rates[i].depth != rates[c->parent_index].depth + 1))
				abort();
			if (rates[i].ceil_bps != 0 && rates[i].ceil_bps < rates[i].rate_bps)
				abort();
			if (policy_policer(c).mode != POLICE_NONE && policy_policer(c).cir_bps == 0)
				abort();
		}
	}
	free(rates);
}

/* Whatever reads as a value is written so that it reads as the same value. */
static void fuzz_units(const char *text)
{
	uint64_t value, again;
	uint32_t ppm, ppm_again;
	char written[UNITS_TEXT_MAX];

	if (units_percent(text, &ppm) == 0 &&
		(units_percent(units_percent_text(ppm, written), &ppm_again) != 0 ||
			ppm_again != ppm))
		abort();
	if (units_rate(text, &value) == 0 &&
		(units_rate(units_rate_text(value, written), &again) != 0 || again != value))
		abort();
	if (units_time(text, &value) == 0 &&
		(units_time(units_time_text(value, written), &again) != 0 || again != value))
		abort();
	if (units_size(text, &value) == 0 &&
		(units_size(units_size_text(value, written), &again) != 0 || again != value))
		abort();
}

static void fuzz_print(const struct policy *policy)
{
	struct policy_problems problems;
	char *text = policy_print(policy);

	if (text == NULL)
		abort();
	struct policy *again = policy_read_text(text, strlen(text), "printed", false, &problems);
	if (again == NULL)
		abort();
	char *text_again = policy_print(again);
	if (text_again == NULL || strcmp(text, text_again) != 0)
		abort();
	if (policy_check_live(policy, again, NULL) != 0 || policy_check(again, NULL) != 0)
		abort();
	free(text);
	free(text_again);
	policy_free(again);
	policy_problems_free(&problems);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct policy_problems problems;
	struct policy *policy = policy_read_text((const char *)data, len, "fuzz", false, &problems);

	if ((policy == NULL) != (problems.errors > 0) || (policy == NULL && problems.count == 0))
		abort();
	if (policy != NULL) {
		struct policy *copy = policy_copy(policy);
		if (copy == NULL)
			abort();
		fuzz_rates(copy);
		fuzz_print(copy);
		policy_free(copy);
	}
	policy_free(policy);
	policy_problems_free(&problems);

	char *text = malloc(len + 1);
	if (text == NULL)
		return 0;
	memcpy(text, data, len);
	text[len] = '\0';
	fuzz_units(text);
	free(text);
	return 0;
}
