/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Contradictions within appliance, bridges and classes, and what may not change live. Rules and
 * peers are in check_match.c.
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

/* A number in its field is as much in range as one in the text: a live change writes fields. */
static void check_numbers(const struct option_group *group, const void *base, const char *path,
	struct policy_problems *problems)
{
	char option[CHECK_PATH_MAX], accepted[VALUE_ACCEPTED_MAX];

	for (uint32_t i = 0; i < group->count; i++) {
		const struct option *o = &group->options[i];
		if (o->type != OPTION_INT && o->type != OPTION_RATE && o->type != OPTION_TIME &&
			o->type != OPTION_SIZE && o->type != OPTION_MEMORY)
			continue;
		uint64_t number = value_number(o, base);
		if ((number == 0 && o->empty != NULL) || (number >= o->min && number <= o->max))
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

/* What the classes are assured must fit into each link that is shaped. */
static void check_assured(const struct policy *policy, unsigned index, bool up, uint64_t assured,
	struct policy_problems *problems)
{
	const struct policy_bridge *b = &policy->bridges[index];
	uint64_t link = up ? b->up_bps : b->down_bps;
	char option[CHECK_PATH_MAX], sum[UNITS_TEXT_MAX], has[UNITS_TEXT_MAX];

	if (link == 0 || assured <= link)
		return;
	snprintf(option, sizeof(option), "bridges[%u].%s", index, up ? "up" : "down");
	problem_error(problems, 0, option,
		"the classes are assured %s in all, but this link has %s; lower classes[].rate or "
		"raise the link",
		units_rate_text(assured, sum), units_rate_text(link, has));
}

static void check_bridges(const struct policy *policy, struct policy_problems *problems)
{
	char path[CHECK_PATH_MAX], option[CHECK_PATH_MAX + 8];
	uint64_t assured = 0;

	for (uint32_t i = 0; i < policy->class_count; i++)
		if (__builtin_add_overflow(assured, policy->classes[i].rate_bps, &assured))
			assured = UINT64_MAX;
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
		check_assured(policy, i, true, assured, problems);
		check_assured(policy, i, false, assured, problems);
	}
	check_devices(policy, problems);
}

static void check_class(const struct policy *policy, uint32_t index, const char *path,
	struct policy_problems *problems)
{
	const struct policy_class *c = &policy->classes[index];
	char option[CHECK_PATH_MAX + 12], a[UNITS_TEXT_MAX], b[UNITS_TEXT_MAX];
	uint32_t mtu = policy->appliance.mtu;
	const struct {
		const char *name;
		uint32_t bytes;
		bool used;
	} sizes[] = {
		{"burst", c->burst_bytes, c->burst_bytes != 0},
		{"flow_burst", c->flow_burst_bytes, c->flow_rate_bps != 0},
		{"queue_size", c->queue_limit_bytes, true},
	};

	check_numbers(&options_class, c, path, problems);
	if (c->ceil_bps != 0 && c->ceil_bps < c->rate_bps) {
		snprintf(option, sizeof(option), "%s.ceil", path);
		problem_error(problems, 0, option,
			"class \"%s\": ceil %s is below rate %s; accepted: ceil >= rate", c->name,
			units_rate_text(c->ceil_bps, a), units_rate_text(c->rate_bps, b));
	}
	if (c->ceil_bps != 0 && c->flow_rate_bps > c->ceil_bps) {
		snprintf(option, sizeof(option), "%s.flow_rate", path);
		problem_warn(problems, 0, option,
			"class \"%s\": flow_rate %s is above ceil %s and limits nothing", c->name,
			units_rate_text(c->flow_rate_bps, a), units_rate_text(c->ceil_bps, b));
	}
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		/* Out of its own range is said already. */
		if (!sizes[i].used || sizes[i].bytes >= mtu || sizes[i].bytes < 1500)
			continue;
		snprintf(option, sizeof(option), "%s.%s", path, sizes[i].name);
		problem_error(problems, 0, option,
			"class \"%s\": %s holds no packet of appliance.mtu; accepted: at least %u "
			"B",
			c->name, units_size_text(sizes[i].bytes, a), mtu);
	}
}

static int by_name(const void *a, const void *b)
{
	const struct policy_class *const *x = a, *const *y = b;
	int order = strcmp((*x)->name, (*y)->name);

	return order != 0 ? order : (*x > *y) - (*x < *y);
}

/* Sorted rather than each with each: a thousand classes are checked at every live change. */
static void check_class_names(
	const struct policy *policy, const uint32_t *class_index, struct policy_problems *problems)
{
	const struct policy_class *sorted[POLICY_CLASSES_MAX];
	char option[CHECK_PATH_MAX];

	for (uint32_t i = 0; i < policy->class_count; i++)
		sorted[i] = &policy->classes[i];
	qsort(sorted, policy->class_count, sizeof(sorted[0]), by_name);
	for (uint32_t i = 1; i < policy->class_count; i++) {
		uint32_t index = (uint32_t)(sorted[i] - policy->classes);
		if (*sorted[i]->name == '\0' || strcmp(sorted[i]->name, sorted[i - 1]->name) != 0)
			continue;
		snprintf(option, sizeof(option), "classes[%u].name",
			class_index == NULL ? index : class_index[index]);
		problem_error(problems, 0, option, "another class is already called \"%s\"",
			sorted[i]->name);
	}
}

void check_policy(
	const struct policy *policy, const uint32_t *class_index, struct policy_problems *problems)
{
	char path[CHECK_PATH_MAX];

	check_appliance(&policy->appliance, problems);
	check_bridges(policy, problems);
	for (uint32_t i = 0; i < policy->class_count; i++) {
		snprintf(path, sizeof(path), "classes[%u]",
			class_index == NULL ? i : class_index[i]);
		check_class(policy, i, path, problems);
	}
	check_class_names(policy, class_index, problems);
	check_rules(policy, problems);
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
