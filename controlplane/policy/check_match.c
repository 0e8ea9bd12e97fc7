/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Contradictions in rules (that can never match) and in peers (that can never be reached). check.c
 * has the rest.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "controlplane/policy/address.h"
#include "controlplane/policy/check.h"

#define IPV6_MTU_MIN 1280 /* RFC 8200, section 5 */

static bool has_ports(const struct policy_match *m)
{
	static const uint8_t with_ports[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP};

	for (unsigned i = 0; i < sizeof(with_ports); i++)
		if (m->proto_min <= with_ports[i] && with_ports[i] <= m->proto_max)
			return true;
	return false;
}

static bool prefix_covers(const struct policy_prefix *wide, const struct policy_prefix *narrow)
{
	if (wide->address.family == 0)
		return true;
	return narrow->address.family != 0 && wide->length <= narrow->length &&
	       prefix_contains(wide, &narrow->address);
}

/* True if everything that b matches is matched by a. */
static bool match_covers(const struct policy_match *a, const struct policy_match *b)
{
	return a->proto_min <= b->proto_min && a->proto_max >= b->proto_max &&
	       a->sport_min <= b->sport_min && a->sport_max >= b->sport_max &&
	       a->dport_min <= b->dport_min && a->dport_max >= b->dport_max &&
	       a->vlan_min <= b->vlan_min && a->vlan_max >= b->vlan_max &&
	       a->dscp_min <= b->dscp_min && a->dscp_max >= b->dscp_max &&
	       (a->direction == DIRECTION_ANY || a->direction == b->direction) &&
	       (a->bridge < 0 || a->bridge == b->bridge) && prefix_covers(&a->src, &b->src) &&
	       prefix_covers(&a->dst, &b->dst);
}

static void check_match(
	const struct policy_match *m, const char *path, struct policy_problems *problems)
{
	uint8_t family = m->src.address.family != 0 ? m->src.address.family : m->dst.address.family;
	char option[CHECK_PATH_MAX + 8];

	if (m->src.address.family != 0 && m->dst.address.family != 0 &&
		m->src.address.family != m->dst.address.family) {
		snprintf(option, sizeof(option), "%s.dst", path);
		problem_error(problems, 0, option,
			"src is IPv%u and dst is IPv%u: no packet has both; write two rules",
			m->src.address.family, m->dst.address.family);
	}
	bool sport = m->sport_min > 0 || m->sport_max < UINT16_MAX;
	bool dport = m->dport_min > 0 || m->dport_max < UINT16_MAX;
	if ((sport || dport) && !has_ports(m)) {
		snprintf(option, sizeof(option), "%s.%s", path, dport ? "dport" : "sport");
		problem_error(problems, 0, option,
			"this proto has no ports; accepted with \"tcp\", \"udp\", \"sctp\" or any");
	}
	if (m->proto_min == m->proto_max &&
		((m->proto_min == IPPROTO_ICMP && family == 6) ||
			(m->proto_min == IPPROTO_ICMPV6 && family == 4))) {
		snprintf(option, sizeof(option), "%s.proto", path);
		problem_warn(problems, 0, option,
			"never matches: IPv4 has \"icmp\", IPv6 has \"icmp6\"");
	}
}

/* What a rule matches is not known if it could not be read whole. */
static void mark_damaged(const struct policy_problems *problems, bool damaged[POLICY_RULES_MAX])
{
	memset(damaged, 0, POLICY_RULES_MAX * sizeof(*damaged));
	for (uint32_t i = 0; problems != NULL && i < problems->count; i++) {
		unsigned rule;
		if (!problems->list[i].is_warning &&
			sscanf(problems->list[i].option, "rules[%u]", &rule) == 1 &&
			rule < POLICY_RULES_MAX)
			damaged[rule] = true;
	}
}

void check_rules(const struct policy *policy, bool find_unused, struct policy_problems *problems)
{
	bool damaged[POLICY_RULES_MAX];
	char path[CHECK_PATH_MAX];

	mark_damaged(problems, damaged);
	for (uint32_t i = 0; i < policy->rule_count; i++) {
		const struct policy_match *m = &policy->rules[i].match;
		snprintf(path, sizeof(path), "rules[%u].match", i);
		check_match(m, path, problems);
		for (uint32_t j = 0; find_unused && j < i && !damaged[i]; j++) {
			if (damaged[j] || !match_covers(&policy->rules[j].match, m))
				continue;
			snprintf(path, sizeof(path), "rules[%u]", i);
			problem_warn(problems, 0, path,
				"never used: rules[%u] comes first and matches all of it", j);
			break;
		}
	}
}

static void check_peer_address(const struct policy *policy, unsigned index, const char *path,
	struct policy_problems *problems)
{
	const struct policy_peer *p = &policy->peers[index];
	const struct policy_bridge *b = &policy->bridges[p->bridge];
	bool v4 = p->address.family == 4;
	const struct policy_prefix *own = v4 ? &b->address4 : &b->address6;
	const struct policy_address *gateway = v4 ? &b->gateway4 : &b->gateway6;
	char option[CHECK_PATH_MAX + 8], text[ADDRESS_TEXT_MAX];

	snprintf(option, sizeof(option), "%s.address", path);
	address_text(&p->address, text);
	for (unsigned i = 0; i < policy->bridge_count; i++) {
		const struct policy_bridge *other = &policy->bridges[i];
		if (address_equal(&p->address, &other->address4.address) ||
			address_equal(&p->address, &other->address6.address)) {
			problem_error(problems, 0, option,
				"%s is this appliance's own address on bridges[%u]; accepted: the "
				"peer's in-path address",
				text, i);
			return;
		}
	}
	for (unsigned i = 0; i < index; i++)
		if (address_equal(&p->address, &policy->peers[i].address))
			problem_error(problems, 0, option,
				"peers[%u] already has the address %s; one peer, one entry", i,
				text);
	if (own->address.family == 0) {
		char damaged[CHECK_PATH_MAX];
		snprintf(damaged, sizeof(damaged), "bridges[%u].address%s", p->bridge,
			v4 ? "" : "6");
		if (problem_reported(problems, damaged))
			return;
		problem_error(problems, 0, option,
			"an IPv%u peer needs an IPv%u in-path address: set address%s of bridge "
			"\"%s\"",
			p->address.family, p->address.family, v4 ? "" : "6", b->name);
		return;
	}
	if (prefix_contains(own, &p->address))
		return;
	if (p->path == PATH_BRIDGED) {
		snprintf(option, sizeof(option), "%s.path", path);
		problem_error(problems, 0, option,
			"\"bridged\" wants a peer in the network of the in-path address, %s is "
			"not; "
			"accepted: \"routed\"",
			text);
	} else if (gateway->family == 0) {
		problem_error(problems, 0, option,
			"%s is outside the network of the in-path address: set gateway%s of bridge "
			"\"%s\"",
			text, v4 ? "" : "6", b->name);
	}
}

/* Two peers must not claim the same destination, and one should name it once. */
static void check_networks(const struct policy *policy, unsigned index, const char *path,
	struct policy_problems *problems)
{
	const struct policy_peer *p = &policy->peers[index];
	const struct policy_bridge *b = &policy->bridges[p->bridge];
	char option[CHECK_PATH_MAX + 16], text[ADDRESS_TEXT_MAX];

	for (unsigned n = 0; n < p->network_count; n++) {
		const struct policy_prefix *network = &p->networks[n];
		snprintf(option, sizeof(option), "%s.networks[%u]", path, n);
		for (unsigned i = 0; i <= index; i++) {
			const struct policy_peer *other = &policy->peers[i];
			for (unsigned k = 0; k < (i < index ? other->network_count : n); k++) {
				if (!prefix_overlaps(network, &other->networks[k]))
					continue;
				prefix_text(&other->networks[k], text);
				if (i < index)
					problem_error(problems, 0, option,
						"overlaps %s of peers[%u]; a destination is behind "
						"one peer only",
						text, i);
				else
					problem_warn(problems, 0, option,
						"overlaps %s of the same peer", text);
				break;
			}
		}
		if (prefix_contains(network, &b->address4.address) ||
			prefix_contains(network, &b->address6.address))
			problem_warn(problems, 0, option,
				"holds this appliance's own in-path address: is it really behind "
				"the peer?");
	}
}

static void check_peer(
	const struct policy *policy, unsigned index, struct policy_problems *problems)
{
	const struct policy_peer *p = &policy->peers[index];
	char path[CHECK_PATH_MAX], option[CHECK_PATH_MAX + 16];

	snprintf(path, sizeof(path), "peers[%u]", index);
	snprintf(option, sizeof(option), "%s.name", path);
	for (unsigned i = 0; i < index && *p->name != '\0'; i++) {
		if (strcmp(p->name, policy->peers[i].name) != 0)
			continue;
		problem_error(
			problems, 0, option, "peers[%u] is already called \"%s\"", i, p->name);
		break;
	}
	snprintf(option, sizeof(option), "%s.path_mtu", path);
	if (p->path_mtu > policy->appliance.mtu)
		problem_error(problems, 0, option, "above appliance.mtu; accepted: at most %u",
			policy->appliance.mtu);
	if (p->address.family == 6 && p->path_mtu < IPV6_MTU_MIN)
		problem_error(problems, 0, option,
			"below what IPv6 guarantees; accepted for an IPv6 peer: at least %u",
			IPV6_MTU_MIN);
	snprintf(option, sizeof(option), "%s.unencrypted", path);
	if (p->encryption != ENCRYPTION_NONE && p->path == PATH_ROUTED &&
		p->unencrypted == UNENCRYPTED_DROP)
		problem_error(problems, 0, option,
			"\"drop\", but on a routed path the first packets of each flow cannot be "
			"encrypted, so that none would ever begin; accepted: \"pass\", or path = "
			"\"bridged\"");
	snprintf(option, sizeof(option), "%s.framing", path);
	if (p->encryption != ENCRYPTION_NONE && p->framing == FRAMING_TRANSPARENT)
		problem_error(problems, 0, option,
			"\"transparent\", but encryption needs the tunnel; accepted: \"tunnel\", "
			"or "
			"encryption = \"none\"");
	snprintf(option, sizeof(option), "%s.stamp_size", path);
	if (p->stamp_size > p->path_mtu)
		problem_error(
			problems, 0, option, "above path_mtu; accepted: at most %u", p->path_mtu);
	snprintf(option, sizeof(option), "%s.networks", path);
	if (p->network_count == 0 && !problem_reported(problems, option))
		problem_warn(problems, 0, option,
			"none: the link to this peer is measured, but carries no traffic");
	/* A reference that could not be resolved is an error already. */
	if (p->bridge >= policy->bridge_count)
		return;
	if (p->address.family != 0)
		check_peer_address(policy, index, path, problems);
	snprintf(option, sizeof(option), "%s.port", path);
	for (unsigned i = 0; i < index; i++) {
		const struct policy_peer *other = &policy->peers[i];
		if (other->bridge != p->bridge || other->port == p->port)
			continue;
		problem_error(problems, 0, option,
			"peers[%u] of the same bridge has another; accepted: %u", i, other->port);
		break;
	}
	snprintf(option, sizeof(option), "bridges[%u].stamp_port", p->bridge);
	if (policy->bridges[p->bridge].stamp_port == p->port && !problem_reported(problems, option))
		problem_error(problems, 0, option,
			"the port of the link to peers[%u]; accepted: another one", index);
	check_networks(policy, index, path, problems);
}

void check_peers(const struct policy *policy, struct policy_problems *problems)
{
	bool compress = false;

	for (unsigned i = 0; i < policy->peer_count; i++)
		check_peer(policy, i, problems);
	for (uint32_t i = 0; i < policy->class_count; i++)
		compress |= policy->classes[i].compress;
	if (policy->peer_count > 0 && !compress && policy->compress != COMPRESS_OFF &&
		!problem_reported(problems, "classes"))
		problem_warn(problems, 0, "compression",
			"no class has compress = true: nothing will be compressed");
}
