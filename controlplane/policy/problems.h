/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The list of what is wrong with a policy, and helpers to say it well: quoting of hostile text,
 * "did you mean". Private to this folder; policy.h has the struct.
 */
#ifndef SLUICE_POLICY_PROBLEMS_H
#define SLUICE_POLICY_PROBLEMS_H

#include <stdarg.h>
#include <stddef.h>

#include "controlplane/policy/policy.h"

#define PROBLEMS_MAX 1000 /* listed; more are only counted */
#define QUOTE_MAX 48	  /* room for what problem_quote() writes */

/*
 * Add an error or a warning. `problems` may be NULL: nothing is kept. Without memory the problem is
 * still counted. line 0: not known (yet).
 */
void problem_error(struct policy_problems *problems, uint32_t line, const char *option,
	const char *format, ...) __attribute__((format(printf, 4, 5)));
void problem_warn(struct policy_problems *problems, uint32_t line, const char *option,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Order by line, keeping the order of what was found on one line. */
void problems_sort(struct policy_problems *problems);

/* True if there is an error about this option or one inside of it: what would only follow from it
 * need not be said. */
bool problem_reported(const struct policy_problems *problems, const char *option);

/* Text from outside as it may stand in a message: in quotes, cut short, control characters and
 * anything beyond ASCII as "?". Returns quoted. */
const char *problem_quote(const char *text, char quoted[QUOTE_MAX]);

/* True if somebody who wrote `written` may have meant `word`: at most one or two slips of the
 * keyboard apart, more for long words. */
bool problem_similar(const char *written, const char *word);

#endif
