/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every option of the configuration, once: its name, what it may be, its default and the field of
 * policy.h that it fills. Reading, printing, checking and the tests all walk these tables. Private.
 */
#ifndef SLUICE_POLICY_OPTIONS_H
#define SLUICE_POLICY_OPTIONS_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

enum option_type {
	OPTION_NAME,	 /* char[]: letters, digits, _ - . */
	OPTION_DEVICE,	 /* char[]: a port */
	OPTION_PATH,	 /* char[]: a file */
	OPTION_BOOL,	 /* bool */
	OPTION_WORD,	 /* an enum, by its words */
	OPTION_INT,	 /* uint8_t, uint16_t or uint32_t */
	OPTION_SIGNED,	 /* int32_t; min and max are as signed numbers */
	OPTION_RATE,	 /* uint64_t bit/s */
	OPTION_SHARE,	 /* struct policy_rate: bit/s or percent */
	OPTION_TIME,	 /* uint32_t ns */
	OPTION_SIZE,	 /* uint32_t bytes */
	OPTION_BURST,	 /* struct policy_burst: bytes, which min and max bound, or time */
	OPTION_MEMORY,	 /* uint32_t MiB */
	OPTION_ADDRESS,	 /* struct policy_address of either family, min says which if not 0 */
	OPTION_INPATH,	 /* struct policy_prefix with the host's bits, min: the family */
	OPTION_PREFIX,	 /* struct policy_prefix */
	OPTION_NETWORKS, /* the networks of a struct policy_peer */
	OPTION_CPUS,	 /* the workers of a struct policy_appliance */
	OPTION_RANGE,	 /* two of uint8_t or uint16_t: the ends of a range */
	OPTION_BRIDGE,	 /* uint8_t or int16_t: index of a bridge, by its name */
	OPTION_CLASS,	 /* uint32_t: index of a class, by its name */
	OPTION_PARENT,	 /* int32_t: index of another class, by its name */
	OPTION_PER,	 /* per and per_bits of a struct policy_class */
	OPTION_ACTION,	 /* uint8_t: a DSCP, by number or name, or what else words say */
	OPTION_MATCH,	 /* struct policy_match: a group with match_options */
};

struct option_word {
	const char *word;
	uint32_t value;
};

struct option {
	const char *name;
	enum option_type type;
	uint16_t offset;   /* of the field in the group's struct */
	uint16_t size;	   /* of the field, of one end for a range */
	uint64_t min, max; /* of numbers, in the unit of the field */
	const char
		*fallback; /* the default as it would be written, without quotes; NULL: required */
	bool live; /* may change without a restart; of appliance, bridges and peers: all else may */
	bool per_flow;	   /* of a class: has no effect on a group */
	const char *empty; /* word that stands for 0 or "none at all", NULL: there is none */
	const struct option_word *words; /* of OPTION_WORD, _RANGE, _PER, _ACTION, to a NULL word */
};

/* Bounds of an OPTION_BURST in time. */
#define OPTION_BURST_NS_MIN 10000
#define OPTION_BURST_NS_MAX 1000000000
/* The most options that a group has. */
#define OPTIONS_MAX 40

struct option_group {
	const char *name; /* at the top of the file; "match" within a rule */
	const struct option *options;
	uint32_t count;
	uint32_t struct_size;
};

extern const struct option_group options_appliance, options_bridge, options_class, options_match,
	options_rule, options_peer, options_top;

/* All of the above, to a NULL. */
extern const struct option_group *const options_groups[];

/* The option of that name, NULL if there is none. */
const struct option *option_find(const struct option_group *group, const char *name);

#endif
