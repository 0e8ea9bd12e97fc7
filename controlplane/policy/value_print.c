/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One option's field to its text, and what to say about what an option accepts. values.c is the way
 * in.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "controlplane/policy/address.h"
#include "controlplane/policy/units.h"
#include "controlplane/policy/values.h"

static const char *words_text(const struct option *o, char *text, size_t size)
{
	size_t len = 0;

	for (const struct option_word *w = o->words; w->word != NULL && len < size; w++)
		len += (size_t)snprintf(text + len, size - len, "%s\"%s\"",
			w == o->words	    ? ""
			: w[1].word == NULL ? " or "
					    : ", ",
			w->word);
	return text;
}

const char *value_accepted(const struct option *o, char text[VALUE_ACCEPTED_MAX])
{
	char low[UNITS_TEXT_MAX], high[UNITS_TEXT_MAX];
	size_t size = VALUE_ACCEPTED_MAX;

	switch (o->type) {
	case OPTION_NAME:
		snprintf(text, size, "a name of at most %d letters, digits, _ - .", o->size - 1);
		break;
	case OPTION_DEVICE:
		snprintf(text, size,
			"a PCI address, a DPDK vdev string or the name of a Linux interface");
		break;
	case OPTION_PATH:
		snprintf(text, size, "the path of a file");
		break;
	case OPTION_BOOL:
		snprintf(text, size, "true (also \"on\") or false (also \"off\")");
		break;
	case OPTION_WORD:
		words_text(o, text, size);
		break;
	case OPTION_INT:
		snprintf(text, size, "a whole number from %" PRIu64 " to %" PRIu64, o->min, o->max);
		break;
	case OPTION_SIGNED:
		snprintf(text, size, "a whole number from %" PRId64 " to %" PRId64, (int64_t)o->min,
			(int64_t)o->max);
		break;
	case OPTION_RATE:
		snprintf(text, size, "a rate such as " UNITS_RATE_HELP);
		break;
	case OPTION_SHARE:
		snprintf(text, size,
			"\"20 Mbit/s\" (64 kbit/s to 400 Gbit/s) or \"12.5 %%\" of the parent's "
			"(up to "
			"4 decimals)");
		break;
	case OPTION_TIME:
		snprintf(text, size, "a time such as \"5 ms\", from %s to %s",
			units_time_text(o->min, low), units_time_text(o->max, high));
		break;
	case OPTION_SIZE:
		snprintf(text, size, "a size such as \"30 kB\" or \"64 KiB\", from %s to %s",
			units_size_text(o->min, low), units_size_text(o->max, high));
		break;
	case OPTION_BURST:
		snprintf(text, size, "\"30 kB\", from %s to %s, or \"5 ms\", from 10 us to 1 s",
			units_size_text(o->min, low), units_size_text(o->max, high));
		break;
	case OPTION_MEMORY:
		snprintf(text, size, "a size such as \"512 MiB\", from %s to %s",
			units_size_text(o->min << 20, low), units_size_text(o->max << 20, high));
		break;
	case OPTION_ADDRESS:
		snprintf(text, size, "an address such as %s%s%s",
			o->min != 6 ? "\"192.0.2.1\"" : "", o->min == 0 ? " or " : "",
			o->min != 4 ? "\"2001:db8::1\"" : "");
		break;
	case OPTION_INPATH:
		snprintf(text, size, "an address with the length of its network: \"%s\"",
			o->min == 6 ? "2001:db8::10/64" : "192.0.2.10/24");
		break;
	case OPTION_PREFIX:
		snprintf(text, size, "\"10.1.0.0/16\", \"10.1.2.3\" or \"2001:db8::/32\"");
		break;
	case OPTION_NETWORKS:
		snprintf(text, size, "a list of networks such as ( \"10.20.0.0/16\" )");
		break;
	case OPTION_CPUS:
		snprintf(text, size, "CPU numbers: \"1-2\", \"1,3\" or [ 1, 3 ], at most %u",
			POLICY_WORKERS_MAX);
		break;
	case OPTION_RANGE:
		snprintf(text, size, "a number or a range within \"0-%" PRIu64 "\"%s", o->max,
			o->words == NULL ? "" : ", or a name");
		if (o->words != NULL)
			snprintf(text + strlen(text), size - strlen(text), " such as \"%s\"",
				o->words[o->words[1].word == NULL ? 0 : 2].word);
		break;
	case OPTION_BRIDGE:
		snprintf(text, size, "the name of a bridge");
		break;
	case OPTION_CLASS:
		snprintf(text, size, "the name of a class, or \"default\"");
		break;
	case OPTION_PARENT:
		snprintf(text, size, "the name of another class, which becomes a group");
		break;
	case OPTION_PER:
		words_text(o, text, size);
		snprintf(text + strlen(text), size - strlen(text),
			", hosts also by network: \"src/24\", \"src/24,56\"");
		break;
	case OPTION_ACTION:
		snprintf(text, size, "%sa DSCP from 0 to %" PRIu64 " or its name such as \"af12\"",
			o->words[0].value > o->max ? "\"pass\", \"drop\", " : "", o->max);
		break;
	case OPTION_MATCH:
		snprintf(text, size, "a group such as { proto = \"tcp\"; dport = 443; }");
		break;
	}
	if (o->empty != NULL && *o->empty != '\0')
		snprintf(text + strlen(text), size - strlen(text), ", or \"%s\"", o->empty);
	return text;
}

/* In quotes, with everything escaped that libconfig or a terminal might take amiss. */
static void quote(const char *from, char text[VALUE_TEXT_MAX])
{
	size_t len = 0;

	text[len++] = '"';
	for (; *from != '\0' && len < VALUE_TEXT_MAX - 6; from++) {
		unsigned char c = (unsigned char)*from;
		if (c == '"' || c == '\\')
			len += (size_t)sprintf(text + len, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			len += (size_t)sprintf(text + len, "\\x%02x", c);
		else
			text[len++] = (char)c;
	}
	text[len++] = '"';
	text[len] = '\0';
}

static bool is_empty(const struct option *o, const void *base)
{
	const char *field = (const char *)base + o->offset;

	switch (o->type) {
	case OPTION_NAME:
	case OPTION_PATH:
		return *field == '\0';
	case OPTION_ADDRESS:
		return ((const struct policy_address *)field)->family == 0;
	case OPTION_INPATH:
	case OPTION_PREFIX:
		return ((const struct policy_prefix *)field)->address.family == 0;
	case OPTION_BRIDGE:
		return value_number(o, base) == (o->size == 1 ? 0xff : 0xffff);
	case OPTION_PARENT:
		return *(const int32_t *)field < 0;
	case OPTION_SHARE:
		return ((const struct policy_rate *)field)->bps == 0 &&
		       ((const struct policy_rate *)field)->ppm == 0;
	case OPTION_BURST:
		return ((const struct policy_burst *)field)->bytes == 0 &&
		       ((const struct policy_burst *)field)->ns == 0;
	default:
		return value_number(o, base) == 0;
	}
}

static const char *find_word(const struct option_word *words, uint64_t value)
{
	for (; words != NULL && words->word != NULL; words++)
		if (words->value == value)
			return words->word;
	return NULL;
}

static void range_text(const struct option *o, const void *base, char *text)
{
	struct option last = *o;

	last.offset = (uint16_t)(o->offset + o->size);
	uint64_t low = value_number(o, base), high = value_number(&last, base);
	const char *word = low == high ? find_word(o->words, low) : NULL;
	if (word != NULL)
		snprintf(text, VALUE_TEXT_MAX, "\"%s\"", word);
	else if (low == high)
		snprintf(text, VALUE_TEXT_MAX, "%" PRIu64, low);
	else if (low == 0 && high == o->max)
		snprintf(text, VALUE_TEXT_MAX, "\"%s\"", o->empty);
	else
		snprintf(text, VALUE_TEXT_MAX, "\"%" PRIu64 "-%" PRIu64 "\"", low, high);
}

static void cpus_text(const struct policy_appliance *appliance, char *text)
{
	size_t len = 0;

	text[len++] = '"';
	for (uint16_t i = 0; i < appliance->worker_count; i++)
		len += (size_t)snprintf(text + len, VALUE_TEXT_MAX - len, "%s%u", i == 0 ? "" : ",",
			appliance->workers[i]);
	snprintf(text + len, VALUE_TEXT_MAX - len, "\"");
}

static void networks_text(const struct policy_peer *peer, char text[VALUE_TEXT_MAX])
{
	char prefix[ADDRESS_TEXT_MAX];
	size_t len = 0;

	static_assert(POLICY_NETWORKS_MAX * (ADDRESS_TEXT_MAX + 4) + 4 < VALUE_TEXT_MAX,
		"all networks of a peer fit");
	text[len++] = '(';
	for (uint16_t i = 0; i < peer->network_count; i++)
		len += (size_t)snprintf(text + len, VALUE_TEXT_MAX - len, "%s \"%s\"",
			i == 0 ? "" : ",", prefix_text(&peer->networks[i], prefix));
	snprintf(text + len, VALUE_TEXT_MAX - len, " )");
}

static void share_text(const struct policy_rate *rate, char *text)
{
	char unit[UNITS_TEXT_MAX];

	quote(rate->ppm != 0 ? units_percent_text(rate->ppm, unit)
			     : units_rate_text(rate->bps, unit),
		text);
}

static void burst_text(const struct policy_burst *burst, char *text)
{
	char unit[UNITS_TEXT_MAX];

	quote(burst->ns != 0 ? units_time_text(burst->ns, unit)
			     : units_size_text(burst->bytes, unit),
		text);
}

static void per_text(const struct option *o, const struct policy_class *class, char *text)
{
	const char *word = find_word(o->words, class->per);

	if (class->per_bits4 == 0 && class->per_bits6 == 0)
		snprintf(text, VALUE_TEXT_MAX, "\"%s\"", word);
	else
		snprintf(text, VALUE_TEXT_MAX, "\"%s/%u,%u\"", word,
			class->per_bits4 == 0 ? 32 : class->per_bits4,
			class->per_bits6 == 0 ? 128 : class->per_bits6);
}

const char *value_text(const struct policy *policy, const struct option *o, const void *base,
	char text[VALUE_TEXT_MAX])
{
	const char *field = (const char *)base + o->offset;
	uint64_t number = 0;
	char unit[UNITS_TEXT_MAX], address[ADDRESS_TEXT_MAX];

	if (o->empty != NULL && o->type != OPTION_RANGE && is_empty(o, base)) {
		quote(o->empty, text);
		return text;
	}
	if (o->type == OPTION_INT || o->type == OPTION_RATE || o->type == OPTION_TIME ||
		o->type == OPTION_SIZE || o->type == OPTION_MEMORY || o->type == OPTION_WORD ||
		o->type == OPTION_BRIDGE || o->type == OPTION_CLASS || o->type == OPTION_PARENT ||
		o->type == OPTION_ACTION)
		number = value_number(o, base);
	switch (o->type) {
	case OPTION_NAME:
	case OPTION_DEVICE:
	case OPTION_PATH:
		quote(field, text);
		break;
	case OPTION_BOOL:
		strcpy(text, *(const bool *)field ? "true" : "false");
		break;
	case OPTION_WORD:
		quote(find_word(o->words, number), text);
		break;
	case OPTION_INT:
		sprintf(text, "%" PRIu64, number);
		break;
	case OPTION_SIGNED:
		sprintf(text, "%" PRId32, *(const int32_t *)field);
		break;
	case OPTION_RATE:
		quote(units_rate_text(number, unit), text);
		break;
	case OPTION_SHARE:
		share_text((const void *)field, text);
		break;
	case OPTION_BURST:
		burst_text((const void *)field, text);
		break;
	case OPTION_PER:
		per_text(o, base, text);
		break;
	case OPTION_ACTION:
		if (find_word(o->words, number) != NULL)
			quote(find_word(o->words, number), text);
		else
			sprintf(text, "%" PRIu64, number);
		break;
	case OPTION_TIME:
		quote(units_time_text(number, unit), text);
		break;
	case OPTION_SIZE:
		quote(units_size_text(number, unit), text);
		break;
	case OPTION_MEMORY:
		sprintf(text, "\"%" PRIu64 " MiB\"", number);
		break;
	case OPTION_ADDRESS:
		quote(address_text((const void *)field, address), text);
		break;
	case OPTION_INPATH:
	case OPTION_PREFIX:
		quote(prefix_text((const void *)field, address), text);
		break;
	case OPTION_NETWORKS:
		networks_text(base, text);
		break;
	case OPTION_CPUS:
		cpus_text(base, text);
		break;
	case OPTION_RANGE:
		range_text(o, base, text);
		break;
	case OPTION_BRIDGE:
		quote(policy->bridges[number].name, text);
		break;
	case OPTION_CLASS:
	case OPTION_PARENT:
		quote(policy->classes[number].name, text);
		break;
	case OPTION_MATCH:
		*text = '\0';
		break;
	}
	return text;
}
