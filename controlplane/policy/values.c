/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One option's text to one field. value_print.c is the way back; values.h is the manual.
 */
#include "controlplane/policy/values.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/address.h"
#include "controlplane/policy/names.h"
#include "controlplane/policy/problems.h"
#include "controlplane/policy/units.h"

/* "Did you mean" looks at so many names at most, those that begin alike. */
#define SIMILAR_NAMES_MAX 256u

static int refuse(char why[VALUE_WHY_MAX], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int refuse(char why[VALUE_WHY_MAX], const char *format, ...)
{
	va_list args;

	if (why == NULL)
		return -EINVAL;
	va_start(args, format);
	vsnprintf(why, VALUE_WHY_MAX, format, args);
	va_end(args);
	return -EINVAL;
}

static_assert(
	offsetof(struct policy_match, proto_max) == offsetof(struct policy_match, proto_min) + 1 &&
		offsetof(struct policy_match, sport_max) ==
			offsetof(struct policy_match, sport_min) + 2 &&
		offsetof(struct policy_match, dport_max) ==
			offsetof(struct policy_match, dport_min) + 2 &&
		offsetof(struct policy_match, vlan_max) ==
			offsetof(struct policy_match, vlan_min) + 2 &&
		offsetof(struct policy_match, dscp_max) ==
			offsetof(struct policy_match, dscp_min) + 1,
	"OPTION_RANGE writes both ends as neighbours");

static void store(void *base, unsigned offset, unsigned size, uint64_t number)
{
	char *field = (char *)base + offset;

	switch (size) {
	case 1:
		*(uint8_t *)field = (uint8_t)number;
		break;
	case 2:
		*(uint16_t *)field = (uint16_t)number;
		break;
	case 4:
		*(uint32_t *)field = (uint32_t)number;
		break;
	default:
		*(uint64_t *)field = number;
	}
}

uint64_t value_number(const struct option *o, const void *base)
{
	const char *field = (const char *)base + o->offset;

	switch (o->size) {
	case 1:
		return *(const uint8_t *)field;
	case 2:
		return *(const uint16_t *)field;
	case 4:
		return *(const uint32_t *)field;
	default:
		return *(const uint64_t *)field;
	}
}

/* A whole number in decimal, at most nine digits; -1 if it is none. */
static long plain_number(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits == 0 || digits > 9 || text[digits] != '\0' ? -1 : atol(text);
}

static int from_name(const struct option *o, const char *text, void *base, char *why)
{
	char quoted[QUOTE_MAX];
	size_t len = strlen(text);

	if (len == 0)
		return refuse(why, "an empty name");
	if (len >= o->size)
		return refuse(why, "%s has %zu characters", problem_quote(text, quoted), len);
	for (const char *p = text; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p) && strchr("_-.", *p) == NULL)
			return refuse(why, "%s has a character that a name can't have",
				problem_quote(text, quoted));
	if (!isalnum((unsigned char)*text) && *text != '_')
		return refuse(why, "%s begins with \"%c\"", problem_quote(text, quoted), *text);
	memset((char *)base + o->offset, 0, o->size);
	memcpy((char *)base + o->offset, text, len);
	return 0;
}

static int from_string(const struct option *o, const char *text, void *base, char *why)
{
	char quoted[QUOTE_MAX];
	size_t len = strlen(text);

	if (len == 0)
		return refuse(why, "an empty text");
	if (len >= o->size)
		return refuse(why, "%s has %zu characters, more than %d",
			problem_quote(text, quoted), len, o->size - 1);
	for (const char *p = text; *p != '\0'; p++)
		if (iscntrl((unsigned char)*p) || (*p == ' ' && o->type == OPTION_DEVICE))
			return refuse(why, "%s has a space or a control character",
				problem_quote(text, quoted));
	memset((char *)base + o->offset, 0, o->size);
	memcpy((char *)base + o->offset, text, len);
	return 0;
}

static const struct option_word *find_word(const struct option_word *words, const char *text)
{
	for (; words != NULL && words->word != NULL; words++)
		if (strcasecmp(words->word, text) == 0)
			return words;
	return NULL;
}

/* Which of the option's words was probably meant, "" if none. */
static const char *similar_word(const struct option *o, const char *text)
{
	for (const struct option_word *w = o->words; w != NULL && w->word != NULL; w++)
		if (problem_similar(text, w->word))
			return w->word;
	return o->empty != NULL && problem_similar(text, o->empty) ? o->empty : "";
}

static int refuse_word(const struct option *o, const char *text, char *why)
{
	char quoted[QUOTE_MAX];
	const char *similar = similar_word(o, text);

	problem_quote(text, quoted);
	if (*similar != '\0')
		return refuse(why, "%s is not known, did you mean \"%s\"?", quoted, similar);
	return refuse(why, "%s is not known", quoted);
}

int value_set_number(const struct option *o, long long number, void *base, char why[VALUE_WHY_MAX])
{
	if (number < (long long)o->min || number > (long long)o->max)
		return refuse(why, "%lld is out of range", number);
	store(base, o->offset, o->size, (uint64_t)number);
	if (o->type == OPTION_RANGE)
		store(base, o->offset + o->size, o->size, (uint64_t)number);
	return 0;
}

/* What units_*() found wrong with a number. */
static int refuse_units(const struct option *o, int rc, const char *text, char *why)
{
	char quoted[QUOTE_MAX];

	problem_quote(text, quoted);
	if (rc == -EDOM)
		return refuse(why, "%s has no unit", quoted);
	if (rc == -ERANGE)
		return refuse(why, "%s is out of range", quoted);
	if (*similar_word(o, text) != '\0')
		return refuse_word(o, text, why);
	return refuse(why, "%s is not a number with a unit", quoted);
}

static int from_units(const struct option *o, const char *text, void *base, char *why)
{
	char quoted[QUOTE_MAX];
	uint64_t value = 0;
	int rc = o->type == OPTION_RATE	  ? units_rate(text, &value)
		 : o->type == OPTION_TIME ? units_time(text, &value)
					  : units_size(text, &value);

	if (rc != 0)
		return refuse_units(o, rc, text, why);
	problem_quote(text, quoted);
	if (o->type == OPTION_MEMORY) {
		if (value % (1 << 20) != 0)
			return refuse(why, "%s is not a whole number of MiB", quoted);
		value >>= 20;
	}
	if (value < o->min || value > o->max)
		return refuse(why, "%s is out of range", quoted);
	store(base, o->offset, o->size, value);
	return 0;
}

/* "20 Mbit/s" or "12.5 %". */
static int from_share(const struct option *o, const char *text, void *base, char *why)
{
	struct policy_rate *rate = (void *)((char *)base + o->offset), read = {0};
	int rc = strchr(text, '%') != NULL ? units_percent(text, &read.ppm)
					   : units_rate(text, &read.bps);

	if (rc != 0)
		return refuse_units(o, rc, text, why);
	rate->bps = read.bps;
	rate->ppm = read.ppm;
	return 0;
}

/* "30 kB" or "5 ms". */
static int from_burst(const struct option *o, const char *text, void *base, char *why)
{
	struct policy_burst *burst = (void *)((char *)base + o->offset);
	uint64_t bytes = 0, ns = 0;
	int rc = units_size(text, &bytes);

	if (rc == -EINVAL)
		rc = units_time(text, &ns);
	if (rc == 0 &&
		((ns == 0 && (bytes < o->min || bytes > o->max)) ||
			(bytes == 0 && (ns < OPTION_BURST_NS_MIN || ns > OPTION_BURST_NS_MAX))))
		rc = -ERANGE;
	if (rc != 0)
		return refuse_units(o, rc, text, why);
	*burst = (struct policy_burst){.bytes = (uint32_t)bytes, .ns = (uint32_t)ns};
	return 0;
}

#define PER_BITS6 64 /* of a network of which only the IPv4 length is given */

/* "flow", "src", "src/24" or "src/24,56". */
static int from_per(const struct option *o, const char *text, void *base, char *why)
{
	struct policy_class *class = base;
	char word[16], length4[8], quoted[QUOTE_MAX];
	size_t len = strcspn(text, "/");
	long bits4 = 32, bits6 = 128;

	problem_quote(text, quoted);
	snprintf(word, sizeof(word), "%.*s", (int)len, text);
	const struct option_word *per = find_word(o->words, word);
	if (per == NULL)
		return refuse_word(o, text, why);
	if (text[len] == '/') {
		const char *at = text + len + 1;
		size_t digits = strcspn(at, ",");
		snprintf(length4, sizeof(length4), "%.*s", (int)digits, at);
		bits4 = plain_number(length4);
		bits6 = at[digits] == ',' ? plain_number(at + digits + 1) : PER_BITS6;
		if (per->value == PER_FLOW)
			return refuse(why, "%s: a flow is not in a network", quoted);
		if (bits4 < 1 || bits4 > 32 || bits6 < 1 || bits6 > 128)
			return refuse(
				why, "%s: the lengths go from 1 to 32 and from 1 to 128", quoted);
	}
	class->per = (enum policy_per)per->value;
	class->per_bits4 = bits4 == 32 ? 0 : (uint8_t)bits4;
	class->per_bits6 = bits6 == 128 ? 0 : (uint8_t)bits6;
	return 0;
}

/* A word, or a DSCP. */
static int from_action(const struct option *o, const char *text, void *base, char *why)
{
	const struct option_word *word = find_word(o->words, text);
	char quoted[QUOTE_MAX];

	if (word == NULL && plain_number(text) > (long)o->max)
		return refuse(why, "%s is out of range", problem_quote(text, quoted));
	if (word == NULL && plain_number(text) < 0)
		return refuse_word(o, text, why);
	store(base, o->offset, o->size, word != NULL ? word->value : (uint64_t)plain_number(text));
	return 0;
}

static int from_address(const struct option *o, const char *text, void *base, char *why)
{
	struct policy_address address;
	char quoted[QUOTE_MAX];

	problem_quote(text, quoted);
	if (strchr(text, '/') != NULL)
		return refuse(why, "%s has a prefix length, which is not wanted here", quoted);
	if (address_read(text, &address) != 0)
		return refuse(why, "%s is not an IP address", quoted);
	if (o->min != 0 && address.family != o->min)
		return refuse(why, "%s is an IPv%u address: write it as \"%.*s%s\"", quoted,
			address.family, (int)strcspn(o->name, "6"), o->name,
			address.family == 6 ? "6" : "");
	if (address_not_host(&address) != NULL)
		return refuse(why, "%s is %s", quoted, address_not_host(&address));
	memcpy((char *)base + o->offset, &address, sizeof(address));
	return 0;
}

static int read_prefix(const char *text, struct policy_prefix *prefix, bool *has_length, char *why)
{
	char quoted[QUOTE_MAX];
	int rc = prefix_read(text, prefix, has_length);

	problem_quote(text, quoted);
	if (rc == -ERANGE)
		return refuse(why, "%s has a length above %d", quoted,
			strchr(text, ':') == NULL ? 32 : 128);
	return rc == 0 ? 0 : refuse(why, "%s is not an IP address or network", quoted);
}

static int from_inpath(const struct option *o, const char *text, void *base, char *why)
{
	struct policy_prefix prefix;
	char quoted[QUOTE_MAX];
	bool has_length;

	if (read_prefix(text, &prefix, &has_length, why) != 0)
		return -EINVAL;
	problem_quote(text, quoted);
	if (prefix.address.family != o->min)
		return refuse(why, "%s is an IPv%u address: write it as \"address%s\"", quoted,
			prefix.address.family, prefix.address.family == 6 ? "6" : "");
	if (!has_length || prefix.length == 0)
		return refuse(why, "%s lacks the length of its network", quoted);
	if (prefix_not_host(&prefix) != NULL)
		return refuse(why, "%s is %s", quoted, prefix_not_host(&prefix));
	memcpy((char *)base + o->offset, &prefix, sizeof(prefix));
	return 0;
}

int value_network(const char *text, struct policy_prefix *prefix, char why[VALUE_WHY_MAX])
{
	char quoted[QUOTE_MAX], network[ADDRESS_TEXT_MAX];
	struct policy_prefix read;
	bool has_length;

	if (read_prefix(text, &read, &has_length, why) != 0)
		return -EINVAL;
	/* "10.1.2.3/16" may mean the network or the host: a guess would be wrong half the time. */
	struct policy_prefix masked = prefix_masked(&read);
	if (!address_equal(&masked.address, &read.address))
		return refuse(why, "%s has bits beyond its length, did you mean \"%s\"?",
			problem_quote(text, quoted), prefix_text(&masked, network));
	*prefix = read;
	return 0;
}

/* One end of a range: a number or one of the option's words. -1 if it is neither. */
static long range_end(const struct option *o, const char *text)
{
	const struct option_word *word = find_word(o->words, text);

	return word != NULL ? (long)word->value : plain_number(text);
}

static int from_range(const struct option *o, const char *text, void *base, char *why)
{
	char quoted[QUOTE_MAX], first[16];
	const char *dash = strchr(text, '-');
	long low = range_end(o, text), high = low;

	problem_quote(text, quoted);
	if (low < 0 && dash != NULL && (size_t)(dash - text) < sizeof(first)) {
		snprintf(first, sizeof(first), "%.*s", (int)(dash - text), text);
		low = range_end(o, first);
		high = range_end(o, dash + 1);
	}
	if (low < 0 || high < 0)
		return refuse_word(o, text, why);
	if (low > high)
		return refuse(why, "%s is reversed, did you mean \"%ld-%ld\"?", quoted, high, low);
	if (high > (long)o->max)
		return refuse(why, "%s goes beyond %llu", quoted, (unsigned long long)o->max);
	store(base, o->offset, o->size, (uint64_t)low);
	store(base, o->offset + o->size, o->size, (uint64_t)high);
	return 0;
}

int value_add_cpu(struct policy_appliance *appliance, long long cpu, char why[VALUE_WHY_MAX])
{
	if (cpu < 0 || cpu > (long long)option_find(&options_appliance, "workers")->max)
		return refuse(why, "%lld is not the number of a CPU", cpu);
	for (uint16_t i = 0; i < appliance->worker_count; i++)
		if (appliance->workers[i] == cpu)
			return refuse(why, "CPU %lld is named twice", cpu);
	if (appliance->worker_count == POLICY_WORKERS_MAX)
		return refuse(why, "more than %u workers", POLICY_WORKERS_MAX);
	appliance->workers[appliance->worker_count++] = (uint16_t)cpu;
	return 0;
}

static int from_cpus(const char *text, void *base, char *why)
{
	struct policy_appliance read = {0}, *appliance = base;
	char quoted[QUOTE_MAX], part[24];

	problem_quote(text, quoted);
	for (const char *p = text;; p++) {
		p += strspn(p, " ");
		size_t len = strcspn(p, ",");
		char *dash;
		if (len == 0 || len >= sizeof(part))
			return refuse(why, "%s is not a list of CPUs", quoted);
		snprintf(part, sizeof(part), "%.*s", (int)len, p);
		dash = strchr(part, '-');
		if (dash != NULL)
			*dash = '\0';
		long low = plain_number(part), high = dash == NULL ? low : plain_number(dash + 1);
		if (low < 0 || high < 0)
			return refuse(why, "%s is not a list of CPUs", quoted);
		if (low > high)
			return refuse(why, "%s has a reversed range, did you mean \"%ld-%ld\"?",
				quoted, high, low);
		for (long cpu = low; cpu <= high; cpu++)
			if (value_add_cpu(&read, cpu, why) != 0)
				return -EINVAL;
		p += len;
		if (*p == '\0')
			break;
	}
	memcpy(appliance->workers, read.workers, sizeof(read.workers));
	appliance->worker_count = read.worker_count;
	return 0;
}

/* What else a name may have been meant to be, "" if nothing. */
static const char *similar_name(const struct policy *policy, bool bridge, const char *text)
{
	uint32_t count = bridge ? policy->bridge_count : policy->class_count, from = 0;

	/* Of many classes those whose names begin alike: in their order they are neighbours. */
	if (!bridge && count > SIMILAR_NAMES_MAX) {
		if (policy->classes_by_name == NULL)
			return "";
		from = names_place(policy, text);
		from = from > SIMILAR_NAMES_MAX / 2 ? from - SIMILAR_NAMES_MAX / 2 : 0;
		if (count - from > SIMILAR_NAMES_MAX)
			count = from + SIMILAR_NAMES_MAX;
	}
	for (uint32_t i = from; i < count; i++) {
		uint32_t at =
			bridge || policy->classes_by_name == NULL ? i : policy->classes_by_name[i];
		const char *name = bridge ? policy->bridges[at].name : policy->classes[at].name;
		if (problem_similar(text, name))
			return name;
	}
	return "";
}

/* The name of a bridge or class that exists. */
static int from_reference(const struct policy *policy, const struct option *o, const char *text,
	void *base, char *why)
{
	bool bridge = o->type == OPTION_BRIDGE;
	int index = bridge ? policy_find_bridge(policy, text) : policy_find_class(policy, text);
	char quoted[QUOTE_MAX];

	if (index >= 0) {
		store(base, o->offset, o->size, (uint64_t)index);
		return 0;
	}
	if (why == NULL)
		return -EINVAL;
	problem_quote(text, quoted);
	const char *similar = similar_name(policy, bridge, text);
	if (*similar != '\0')
		return refuse(why, "there is no %s %s, did you mean \"%s\"?",
			bridge ? "bridge" : "class", quoted, similar);
	return refuse(why, "there is no %s %s", bridge ? "bridge" : "class", quoted);
}

/* The word for "nothing at all": each type has its own way to say it. */
static void store_empty(const struct option *o, void *base)
{
	char *field = (char *)base + o->offset;

	if (o->type == OPTION_RANGE) {
		store(base, o->offset, o->size, 0);
		store(base, o->offset + o->size, o->size, o->max);
	} else {
		memset(field, o->type == OPTION_BRIDGE || o->type == OPTION_PARENT ? 0xff : 0,
			o->size);
	}
}

int value_from_text(const struct policy *policy, const struct option *o, const char *text,
	void *base, char why[VALUE_WHY_MAX])
{
	const struct option_word *word;
	char quoted[QUOTE_MAX];

	if (o->empty != NULL && strcasecmp(o->empty, text) == 0) {
		store_empty(o, base);
		return 0;
	}
	switch (o->type) {
	case OPTION_NAME:
		return from_name(o, text, base, why);
	case OPTION_DEVICE:
	case OPTION_PATH:
		return from_string(o, text, base, why);
	case OPTION_WORD:
		word = find_word(o->words, text);
		if (word == NULL)
			return refuse_word(o, text, why);
		store(base, o->offset, o->size, word->value);
		return 0;
	case OPTION_RATE:
	case OPTION_TIME:
	case OPTION_SIZE:
	case OPTION_MEMORY:
		return from_units(o, text, base, why);
	case OPTION_SHARE:
		return from_share(o, text, base, why);
	case OPTION_BURST:
		return from_burst(o, text, base, why);
	case OPTION_PER:
		return from_per(o, text, base, why);
	case OPTION_ACTION:
		return from_action(o, text, base, why);
	case OPTION_ADDRESS:
		return from_address(o, text, base, why);
	case OPTION_INPATH:
		return from_inpath(o, text, base, why);
	case OPTION_PREFIX:
		return value_network(text, (void *)((char *)base + o->offset), why);
	case OPTION_RANGE:
		return from_range(o, text, base, why);
	case OPTION_CPUS:
		return from_cpus(text, base, why);
	case OPTION_BRIDGE:
	case OPTION_CLASS:
	case OPTION_PARENT:
		return from_reference(policy, o, text, base, why);
	case OPTION_BOOL:
		if (value_is_switch(text, (bool *)((char *)base + o->offset)))
			return 0;
		break;
	case OPTION_INT:
	case OPTION_SIGNED:
	case OPTION_NETWORKS:
	case OPTION_MATCH:
		break;
	}
	return refuse(why, "a text, %s", problem_quote(text, quoted));
}
