/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Contradictions within appliance and bridges, and what may not change live. Classes are in
 * check_class.c and check_tree.c, rules and peers in check_match.c.
 */
#include "controlplane/policy/check.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/policy/address.h"
#include "controlplane/policy/options.h"
#include "controlplane/policy/units.h"
#include "controlplane/policy/values.h"

#define CPUS_ONLINE "/sys/devices/system/cpu/online"

static bool number_in_range(const struct option *o, const void *base)
{
	const char *field = (const char *)base + o->offset;
	const struct policy_rate *rate = (const void *)field;
	const struct policy_burst *burst = (const void *)field;
	const struct policy_class *class = base;
	uint64_t number = 0;

	switch (o->type) {
	case OPTION_INT:
	case OPTION_RATE:
	case OPTION_TIME:
	case OPTION_SIZE:
	case OPTION_MEMORY:
		number = value_number(o, base);
		return (number == 0 && o->empty != NULL) || (number >= o->min && number <= o->max);
	case OPTION_SIGNED:
		return *(const int32_t *)field >= (int64_t)o->min &&
		       *(const int32_t *)field <= (int64_t)o->max;
	case OPTION_SHARE:
		return rate->ppm <= UNITS_PPM && (rate->ppm == 0 || rate->bps == 0) &&
		       (rate->bps == 0 || (rate->bps >= o->min && rate->bps <= o->max));
	case OPTION_BURST:
		if (burst->bytes == 0 && burst->ns == 0)
			return o->empty != NULL;
		return burst->ns == 0	   ? burst->bytes >= o->min && burst->bytes <= o->max
		       : burst->bytes == 0 ? burst->ns >= OPTION_BURST_NS_MIN &&
						     burst->ns <= OPTION_BURST_NS_MAX
					   : false;
	case OPTION_PER:
		return class->per <= PER_WAN && class->per_bits4 < 32 && class->per_bits6 < 128;
	case OPTION_ACTION:
		return value_number(o, base) <= o->max ||
		       (o->words[0].value > o->max && value_number(o, base) <= POLICE_DROP);
	default:
		return true;
	}
}

void check_numbers(const struct option_group *group, const void *base, const char *path,
	struct policy_problems *problems)
{
	char option[CHECK_PATH_MAX], accepted[VALUE_ACCEPTED_MAX];

	for (uint32_t i = 0; i < group->count; i++) {
		const struct option *o = &group->options[i];
		if (number_in_range(o, base))
			continue;
		snprintf(option, sizeof(option), "%s.%s", path, o->name);
		problem_error(problems, 0, option, "out of range; accepted: %s",
			value_accepted(o, accepted));
	}
}

static void check_appliance(const struct policy_appliance *a, struct policy_problems *problems)
{
	check_numbers(&options_appliance, a, "appliance", problems);
	if (a->worker_count == 0)
		problem_error(problems, 0, "appliance.workers", "no workers");
	if (*a->store_directory != '\0' && *a->store_directory != '/')
		problem_error(problems, 0, "appliance.store_directory",
			"not a whole path: it begins with \"/\"");
	for (uint16_t i = 0; i < a->worker_count; i++)
		if (a->workers[i] == a->control_cpu)
			problem_warn(problems, 0, "appliance.workers",
				"CPU %u is also control_cpu: the control thread will take time "
				"from "
				"this worker",
				a->control_cpu);
}

/* One port can be written in several ways: "01:00.0" and "0000:01:00.0", "eth1" and "af_xdp:eth1",
 * "net_pcap0,a=b" and "net_pcap0,c=d". */
static void device_key(const char *device, char key[POLICY_DEVICE_MAX + 5])
{
	static const char *const drivers[] = {"af_xdp:", "af_packet:"};

	for (unsigned i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
		if (strncmp(device, drivers[i], strlen(drivers[i])) == 0)
			device += strlen(drivers[i]);
	bool short_pci = isxdigit((unsigned char)device[0]) && isxdigit((unsigned char)device[1]) &&
			 device[2] == ':' && strlen(device) >= 7 && device[5] == '.';
	size_t len = strcspn(device, ",");
	snprintf(key, POLICY_DEVICE_MAX + 5, "%s%.*s", short_pci ? "0000:" : "", (int)len, device);
}

static void check_devices(const struct policy *policy, struct policy_problems *problems)
{
	char key[POLICY_DEVICE_MAX + 5], other_key[POLICY_DEVICE_MAX + 5];
	char option[CHECK_PATH_MAX], quoted[QUOTE_MAX];

	for (unsigned i = 0; i < 2u * policy->bridge_count; i++) {
		const struct policy_bridge *b = &policy->bridges[i / 2];
		const char *device = i % 2 == 0 ? b->lan : b->wan;
		device_key(device, key);
		for (unsigned j = 0; j < i && *device != '\0'; j++) {
			const struct policy_bridge *other = &policy->bridges[j / 2];
			device_key(j % 2 == 0 ? other->lan : other->wan, other_key);
			if (strcasecmp(key, other_key) != 0)
				continue;
			snprintf(option, sizeof(option), "bridges[%u].%s", i / 2,
				i % 2 == 0 ? "lan" : "wan");
			problem_error(problems, 0, option,
				"port %s is already bridges[%u].%s; a port belongs to one bridge",
				problem_quote(device, quoted), j / 2, j % 2 == 0 ? "lan" : "wan");
			break;
		}
	}
}

/* The in-path address of one family and its gateway. */
static void check_inpath(const struct policy *policy, unsigned index, unsigned family,
	struct policy_problems *problems)
{
	const struct policy_bridge *b = &policy->bridges[index];
	const struct policy_prefix *address = family == 4 ? &b->address4 : &b->address6;
	const struct policy_address *gateway = family == 4 ? &b->gateway4 : &b->gateway6;
	const char *suffix = family == 4 ? "" : "6";
	char option[CHECK_PATH_MAX], text[ADDRESS_TEXT_MAX];

	snprintf(option, sizeof(option), "bridges[%u].address%s", index, suffix);
	bool damaged = problem_reported(problems, option);
	snprintf(option, sizeof(option), "bridges[%u].gateway%s", index, suffix);
	if (gateway->family != 0 && !damaged) {
		bool link_local = family == 6 && gateway->bytes[0] == 0xfe &&
				  (gateway->bytes[1] & 0xc0) == 0x80;
		if (address->address.family == 0)
			problem_error(problems, 0, option,
				"a gateway without an in-path address; set address%s too", suffix);
		else if (address_equal(&address->address, gateway))
			problem_error(problems, 0, option,
				"the same as address%s; the gateway is the router of that network",
				suffix);
		else if (!prefix_contains(address, gateway) && !link_local)
			problem_warn(problems, 0, option, "not within the network of address%s, %s",
				suffix, prefix_text(address, text));
	}
	if (address->address.family == 0)
		return;
	snprintf(option, sizeof(option), "bridges[%u].address%s", index, suffix);
	for (unsigned i = 0; i < index; i++) {
		const struct policy_bridge *other = &policy->bridges[i];
		if (address_equal(&address->address,
			    family == 4 ? &other->address4.address : &other->address6.address))
			problem_error(problems, 0, option,
				"bridges[%u] already has this address; each bridge needs its own",
				i);
	}
}

/* Rate tracking moves the rate of a way between the two, by the delay that the peers measure. */
static void check_tracking(
	const struct policy *policy, unsigned index, bool up, struct policy_problems *problems)
{
	const struct policy_bridge *b = &policy->bridges[index];
	uint64_t least = up ? b->up_min_bps : b->down_min_bps, most = up ? b->up_bps : b->down_bps;
	const char *name = up ? "up" : "down";
	char option[CHECK_PATH_MAX], low[UNITS_TEXT_MAX], high[UNITS_TEXT_MAX];
	bool has_peer = false;

	snprintf(option, sizeof(option), "bridges[%u].%s", index, name);
	if (least == 0 || problem_reported(problems, option))
		return;
	snprintf(option, sizeof(option), "bridges[%u].%s_min", index, name);
	if (most == 0)
		problem_error(problems, 0, option,
			"the rate is tracked between %s_min and %s, but %s is unlimited; accepted: "
			"with a rate there",
			name, name, name);
	else if (least > most)
		problem_error(problems, 0, option, "%s is above %s, %s; accepted: %s_min <= %s",
			units_rate_text(least, low), name, units_rate_text(most, high), name, name);
	for (unsigned i = 0; i < policy->peer_count; i++)
		has_peer |= policy->peers[i].bridge == index;
	if (!has_peer && !problem_reported(problems, "peers"))
		problem_error(problems, 0, option,
			"the rate is tracked by the delay to a peer, and bridge \"%s\" leads to "
			"none; "
			"accepted: with a peer",
			b->name);
}

static void check_bridges(const struct policy *policy, struct policy_problems *problems)
{
	char path[CHECK_PATH_MAX], option[CHECK_PATH_MAX + 8];

	for (unsigned i = 0; i < policy->bridge_count; i++) {
		const struct policy_bridge *b = &policy->bridges[i];
		snprintf(path, sizeof(path), "bridges[%u]", i);
		check_numbers(&options_bridge, b, path, problems);
		snprintf(option, sizeof(option), "%s.name", path);
		for (unsigned j = 0; j < i && *b->name != '\0'; j++) {
			if (strcmp(b->name, policy->bridges[j].name) == 0) {
				problem_error(problems, 0, option,
					"bridges[%u] is already called \"%s\"", j, b->name);
				break;
			}
		}
		if (strcmp(b->name, "any") == 0)
			problem_error(problems, 0, option,
				"\"any\" means every bridge in rules; choose another name");
		if (b->vlan != 0 && b->address4.address.family == 0 &&
			b->address6.address.family == 0) {
			snprintf(option, sizeof(option), "%s.address", path);
			bool damaged = problem_reported(problems, option);
			snprintf(option, sizeof(option), "%s.vlan", path);
			if (!damaged)
				problem_warn(problems, 0, option,
					"only used by the in-path address, which is not set");
		}
		check_inpath(policy, i, 4, problems);
		check_inpath(policy, i, 6, problems);
		check_tracking(policy, i, true, problems);
		check_tracking(policy, i, false, problems);
	}
	check_devices(policy, problems);
}

void check_policy(
	const struct policy *policy, const uint32_t *class_index, struct policy_problems *problems)
{
	/* First: it has to know what could not be read, not what the others find. */
	check_tree(policy, class_index, problems);
	check_appliance(&policy->appliance, problems);
	check_bridges(policy, problems);
	check_classes(policy, class_index, problems);
	/* A live change changes no rules: what was said of them when they were read still holds. */
	check_rules(policy, class_index != NULL, problems);
	check_peers(policy, problems);
}

int policy_check(const struct policy *policy, struct policy_problems *problems)
{
	struct policy_problems own = {0};

	check_policy(policy, NULL, &own);
	uint32_t errors = own.errors;
	for (uint32_t i = 0; i < own.count; i++) {
		const struct policy_problem *p = &own.list[i];
		(p->is_warning ? problem_warn : problem_error)(
			problems, p->line, p->option, "%s", p->text);
	}
	policy_problems_free(&own);
	return errors == 0 ? 0 : -EINVAL;
}

/* "0-3,8" as the kernel writes it, in *text; false where it can't be read. */
static bool cpus_online(char *text, size_t size)
{
	FILE *f = fopen(CPUS_ONLINE, "re");

	if (f == NULL)
		return false;
	bool ok = fgets(text, (int)size, f) != NULL;
	fclose(f);
	text[strcspn(text, "\n")] = '\0';
	return ok;
}

static bool cpu_listed(const char *list, unsigned cpu)
{
	while (*list != '\0') {
		char *end;
		unsigned long low = strtoul(list, &end, 10), high = low;
		if (*end == '-')
			high = strtoul(end + 1, &end, 10);
		if (cpu >= low && cpu <= high)
			return true;
		if (*end != ',')
			break;
		list = end + 1;
	}
	return false;
}

void check_cpus(const struct policy *policy, struct policy_problems *problems)
{
	const struct policy_appliance *a = &policy->appliance;
	char online[1024];

	/* Without /sys the daemon will find out by itself. */
	if (!cpus_online(online, sizeof(online)))
		return;
	for (uint16_t i = 0; i < a->worker_count; i++)
		if (!cpu_listed(online, a->workers[i]))
			problem_error(problems, 0, "appliance.workers",
				"there is no CPU %u; this machine has %.60s", a->workers[i],
				online);
	if (!cpu_listed(online, a->control_cpu))
		problem_error(problems, 0, "appliance.control_cpu",
			"there is no CPU %u; this machine has %.60s", a->control_cpu, online);
}

static void restart(struct policy_problems *problems, const char *option)
{
	problem_error(problems, 0, option, "can't change while running; restart the daemon for it");
}

/* Compare what a restart is needed for in one group of two policies: `was` and `is` are the structs
 * that the group's options are fields of. 0 or -EBUSY. */
static int check_fixed(const struct policy *current, const struct policy *next,
	const struct option_group *group, const void *was, const void *is, const char *path,
	struct policy_problems *problems)
{
	char before[VALUE_TEXT_MAX], after[VALUE_TEXT_MAX], option[CHECK_PATH_MAX];
	int rc = 0;

	for (uint32_t i = 0; i < group->count; i++) {
		const struct option *o = &group->options[i];
		if (o->live || strcmp(value_text(current, o, was, before),
				       value_text(next, o, is, after)) == 0)
			continue;
		snprintf(option, sizeof(option), "%s.%s", path, o->name);
		restart(problems, option);
		rc = -EBUSY;
	}
	return rc;
}

int policy_check_live(
	const struct policy *current, const struct policy *next, struct policy_problems *problems)
{
	char path[CHECK_PATH_MAX];
	int rc = check_fixed(current, next, &options_appliance, &current->appliance,
		&next->appliance, "appliance", problems);

	if (current->bridge_count != next->bridge_count) {
		restart(problems, "bridges");
		return -EBUSY;
	}
	for (unsigned i = 0; i < next->bridge_count; i++) {
		snprintf(path, sizeof(path), "bridges[%u]", i);
		if (check_fixed(current, next, &options_bridge, &current->bridges[i],
			    &next->bridges[i], path, problems) != 0)
			rc = -EBUSY;
	}
	if (current->peer_count != next->peer_count) {
		restart(problems, "peers");
		return -EBUSY;
	}
	for (unsigned i = 0; i < next->peer_count; i++) {
		const struct policy_peer *was = &current->peers[i], *is = &next->peers[i];
		snprintf(path, sizeof(path), "peers[%u]", i);
		if (check_fixed(current, next, &options_peer, was, is, path, problems) != 0)
			rc = -EBUSY;
		/* The file's name may be the same and what it holds another. */
		if (was->key_len != is->key_len || memcmp(was->key, is->key, is->key_len) != 0) {
			snprintf(path, sizeof(path), "peers[%u].key_file", i);
			restart(problems, path);
			rc = -EBUSY;
		}
	}
	return rc;
}
