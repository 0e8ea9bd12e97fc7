/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Contradictions within one class, and names that two of them have. check_tree.c has what concerns
 * a class and its parents, check.c the rest.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/check.h"
#include "controlplane/policy/names.h"
#include "controlplane/policy/options.h"
#include "controlplane/policy/units.h"

#define POLICE_BURST_MS 100u /* what bursts of a policer that are not given come to */
#define POLICE_BURST_MIN_BYTES 30000u

struct policy_policer policy_policer(const struct policy_class *c)
{
	const struct policy_police_options *o = &c->police;
	struct policy_policer p = {.mode = o->mode,
		.colour_aware = o->colour_aware,
		.action = {o->action[0], o->action[1], o->action[2]},
		.cir_bps = o->cir_bps,
		.cbs_bytes = o->cbs_bytes,
		.eir_bps = o->mode == POLICE_TRTCM	  ? o->pir_bps
			   : o->mode == POLICE_TRTCM_4115 ? o->eir_bps
							  : 0,
		.ebs_bytes = o->mode == POLICE_TRTCM ? o->pbs_bytes : o->ebs_bytes};
	/* RFC 2697 fills both its buckets at one rate. */
	uint64_t excess_bps = o->mode == POLICE_SRTCM ? p.cir_bps : p.eir_bps;

	if (p.cbs_bytes == 0)
		p.cbs_bytes = p.cir_bps * POLICE_BURST_MS / 8000;
	if (p.ebs_bytes == 0)
		p.ebs_bytes = excess_bps * POLICE_BURST_MS / 8000;
	if (o->cbs_bytes == 0 && p.cbs_bytes < POLICE_BURST_MIN_BYTES)
		p.cbs_bytes = POLICE_BURST_MIN_BYTES;
	if (p.ebs_bytes < POLICE_BURST_MIN_BYTES && o->ebs_bytes == 0 && o->pbs_bytes == 0)
		p.ebs_bytes = POLICE_BURST_MIN_BYTES;
	return p;
}

struct class_check {
	const struct policy_class *class;
	const char *path; /* classes[3] */
	struct policy_problems *problems;
};

#define SAY(say, c, name, ...)                                                                     \
	do {                                                                                       \
		char option_[CHECK_PATH_MAX + 16];                                                 \
		snprintf(option_, sizeof(option_), "%s.%s", (c)->path, name);                      \
		say((c)->problems, 0, option_, __VA_ARGS__);                                       \
	} while (0)

/* The numbers of a policer, and in which modes they mean something. */
#define MODE(m) (1u << (m))
static const struct {
	const char *name;
	unsigned modes;
	bool is_rate;
} police_numbers[] = {
	{"cir", MODE(POLICE_SRTCM) | MODE(POLICE_TRTCM) | MODE(POLICE_TRTCM_4115), true},
	{"cbs", MODE(POLICE_SRTCM) | MODE(POLICE_TRTCM) | MODE(POLICE_TRTCM_4115), false},
	{"pir", MODE(POLICE_TRTCM), true},
	{"pbs", MODE(POLICE_TRTCM), false},
	{"eir", MODE(POLICE_TRTCM_4115), true},
	{"ebs", MODE(POLICE_SRTCM) | MODE(POLICE_TRTCM_4115), false},
};

static void check_police(const struct class_check *c, uint32_t mtu)
{
	static const char *const modes[] = {"none", "srtcm", "trtcm", "trtcm-4115"};
	const struct policy_police_options *p = &c->class->police;
	const uint64_t given[] = {
		p->cir_bps, p->cbs_bytes, p->pir_bps, p->pbs_bytes, p->eir_bps, p->ebs_bytes};
	char a[UNITS_TEXT_MAX], b[UNITS_TEXT_MAX];

	if (p->mode > POLICE_TRTCM_4115) {
		SAY(problem_error, c, "police", "out of range");
		return;
	}
	for (unsigned i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
		bool fits = (police_numbers[i].modes & MODE(p->mode)) != 0;
		const char *name = police_numbers[i].name;
		if (given[i] != 0 && p->mode == POLICE_NONE)
			SAY(problem_warn, c, name, "has no effect with police = \"none\"");
		else if (given[i] != 0 && !fits)
			SAY(problem_error, c, name,
				"class \"%s\": police = \"%s\" has no %s; accepted: cir, cbs, %s",
				c->class->name, modes[p->mode], name,
				p->mode == POLICE_SRTCM	  ? "ebs (RFC 2697)"
				: p->mode == POLICE_TRTCM ? "pir, pbs (RFC 2698)"
							  : "eir, ebs (RFC 4115)");
		else if (given[i] == 0 && fits && police_numbers[i].is_rate)
			SAY(problem_error, c, name,
				"missing: class \"%s\" with police = \"%s\" needs it; accepted: a "
				"rate "
				"such as \"20 Mbit/s\"",
				c->class->name, modes[p->mode]);
		else if (fits && !police_numbers[i].is_rate && given[i] >= 1500 && given[i] < mtu)
			SAY(problem_error, c, name,
				"class \"%s\": %s holds no packet of appliance.mtu; accepted: at "
				"least %u B",
				c->class->name, units_size_text(given[i], a), mtu);
	}
	if (p->mode == POLICE_TRTCM && p->pir_bps != 0 && p->pir_bps < p->cir_bps)
		SAY(problem_error, c, "pir",
			"class \"%s\": peak rate %s is below committed rate %s; accepted: pir >= "
			"cir",
			c->class->name, units_rate_text(p->pir_bps, a),
			units_rate_text(p->cir_bps, b));
}

static void check_sizes(const struct class_check *c, uint32_t mtu)
{
	const struct policy_class *k = c->class;
	const struct {
		const char *name;
		uint32_t bytes;
		bool used;
	} sizes[] = {
		{"burst", k->burst.bytes, k->burst.bytes != 0},
		{"flow_burst", k->flow_burst.bytes, k->flow_rate_bps != 0},
		{"queue_size", k->queue_limit_bytes, true},
	};
	char a[UNITS_TEXT_MAX];

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		/* Out of its own range is said already. */
		if (!sizes[i].used || sizes[i].bytes >= mtu || sizes[i].bytes < 1500)
			continue;
		SAY(problem_error, c, sizes[i].name,
			"class \"%s\": %s holds no packet of appliance.mtu; accepted: at least %u "
			"B",
			k->name, units_size_text(sizes[i].bytes, a), mtu);
	}
}

static void check_class(const struct policy *policy, const struct class_check *c)
{
	const struct policy_class *k = c->class;
	char a[UNITS_TEXT_MAX], b[UNITS_TEXT_MAX];

	check_numbers(&options_class, k, c->path, c->problems);
	if (k->ceil.bps != 0 && k->flow_rate_bps > k->ceil.bps)
		SAY(problem_warn, c, "flow_rate",
			"class \"%s\": flow_rate %s is above ceil %s and limits nothing", k->name,
			units_rate_text(k->flow_rate_bps, a), units_rate_text(k->ceil.bps, b));
	if (k->per != PER_FLOW && policy->appliance.hosts == 0)
		SAY(problem_error, c, "per",
			"class \"%s\": appliance.hosts = 0 leaves no room for hosts; accepted: "
			"\"flow\", or more hosts",
			k->name);
	if (k->aqm == AQM_NONE && k->aqm_target_ns != 0)
		SAY(problem_warn, c, "aqm_target", "has no effect with aqm = \"none\"");
	if (k->aqm == AQM_DUALPI2 && !k->ecn)
		SAY(problem_warn, c, "ecn",
			"class \"%s\": without ECN, aqm = \"dualpi2\" has nothing to tell L4S "
			"flows",
			k->name);
	check_sizes(c, policy->appliance.mtu);
	check_police(c, policy->appliance.mtu);
}

/* Sorted rather than each with each: there may be a hundred thousand, at every live change. */
static void check_names(
	const struct policy *policy, const uint32_t *class_index, struct policy_problems *problems)
{
	uint32_t *own = policy->classes_by_name == NULL ? names_sort(policy) : NULL;
	const uint32_t *sorted = own != NULL ? own : policy->classes_by_name;
	char option[CHECK_PATH_MAX];

	if (sorted == NULL) {
		problem_error(problems, 0, "classes", "out of memory");
		return;
	}
	for (uint32_t i = 1; i < policy->class_count; i++) {
		const char *name = policy->classes[sorted[i]].name;
		if (*name == '\0' || strcmp(name, policy->classes[sorted[i - 1]].name) != 0)
			continue;
		snprintf(option, sizeof(option), "classes[%u].name",
			class_index == NULL ? sorted[i] : class_index[sorted[i]]);
		problem_error(problems, 0, option, "another class is already called \"%s\"", name);
	}
	free(own);
}

void check_classes(
	const struct policy *policy, const uint32_t *class_index, struct policy_problems *problems)
{
	const struct policy_appliance *a = &policy->appliance;
	char path[CHECK_PATH_MAX];

	/* Out of its own range is said already. */
	if (policy->class_count > a->classes && a->classes >= 64)
		problem_error(problems, 0, "classes",
			"%u classes, \"default\" included, but appliance.classes leaves room for "
			"%u; "
			"accepted: at most that many, or a larger appliance.classes",
			policy->class_count, a->classes);
	if (policy->class_count > a->distributions)
		problem_warn(problems, 0, "appliance.distributions",
			"there are %u classes, \"default\" included, and only the first %u get "
			"distributions of delays and RTTs",
			policy->class_count, a->distributions);
	for (uint32_t i = 0; i < policy->class_count; i++) {
		snprintf(path, sizeof(path), "classes[%u]",
			class_index == NULL ? i : class_index[i]);
		check_class(policy,
			&(struct class_check){
				.class = &policy->classes[i], .path = path, .problems = problems});
	}
	check_names(policy, class_index, problems);
}
