/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tables of options. conf/sluice.conf explains each of them with the same defaults; a test
 * holds the two together.
 */
#include "controlplane/policy/options.h"

#include <string.h>

#include "controlplane/policy/policy.h"
#include "controlplane/policy/units.h"

#define FIELD(type, member)                                                                        \
	.offset = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member)
#define RATES .min = UNITS_RATE_MIN_BPS, .max = UNITS_RATE_MAX_BPS
#define GROUP(name_, table, type)                                                                  \
	{                                                                                          \
		.name = name_, .options = table, .count = sizeof(table) / sizeof(table[0]),        \
		.struct_size = sizeof(struct type)                                                 \
	}

static const struct option_word poll_words[] = {
	{"adaptive", POLL_ADAPTIVE}, {"busy", POLL_BUSY}, {NULL, 0}};
static const struct option_word compress_words[] = {
	{"on", COMPRESS_ON}, {"off", COMPRESS_OFF}, {"dry-run", COMPRESS_DRY_RUN}, {NULL, 0}};
static const struct option_word framing_words[] = {{"tunnel", FRAMING_TUNNEL}, {NULL, 0}};
static const struct option_word path_words[] = {
	{"routed", PATH_ROUTED}, {"bridged", PATH_BRIDGED}, {NULL, 0}};
static const struct option_word direction_words[] = {
	{"any", DIRECTION_ANY}, {"up", DIRECTION_UP}, {"down", DIRECTION_DOWN}, {NULL, 0}};

/* Protocol numbers, IANA. */
static const struct option_word proto_words[] = {{"icmp", 1}, {"igmp", 2}, {"tcp", 6}, {"udp", 17},
	{"gre", 47}, {"esp", 50}, {"ah", 51}, {"icmp6", 58}, {"ospf", 89}, {"pim", 103},
	{"vrrp", 112}, {"sctp", 132}, {NULL, 0}};

/* RFC 2474, 2597, 3246, 5865, 8622. */
static const struct option_word dscp_words[] = {{"default", 0}, {"le", 1}, {"cs1", 8}, {"af11", 10},
	{"af12", 12}, {"af13", 14}, {"cs2", 16}, {"af21", 18}, {"af22", 20}, {"af23", 22},
	{"cs3", 24}, {"af31", 26}, {"af32", 28}, {"af33", 30}, {"cs4", 32}, {"af41", 34},
	{"af42", 36}, {"af43", 38}, {"cs5", 40}, {"va", 44}, {"ef", 46}, {"cs6", 48}, {"cs7", 56},
	{NULL, 0}};

static const struct option_word vlan_words[] = {{"untagged", 0}, {NULL, 0}};

#define A(member) FIELD(policy_appliance, member)
static const struct option appliance[] = {
	{"name", OPTION_NAME, A(name), .live = true, .fallback = "sluice"},
	{"workers", OPTION_CPUS, A(workers), .max = 1023, .fallback = "1"},
	{"control_cpu", OPTION_INT, A(control_cpu), .max = 1023, .fallback = "0"},
	{"poll", OPTION_WORD, A(poll), .words = poll_words, .fallback = "adaptive"},
	{"hugepages", OPTION_BOOL, A(hugepages), .fallback = "true"},
	{"memory", OPTION_MEMORY, A(memory_mb), .min = 64, .max = 1 << 20, .empty = "auto",
		.fallback = "auto"},
	{"flows", OPTION_INT, A(flows), .min = 1024, .max = 16777216, .fallback = "262144"},
	{"buffers", OPTION_INT, A(buffers), .min = 1024, .max = 16777216, .empty = "auto",
		.fallback = "auto"},
	{"queues", OPTION_INT, A(queues), .min = 64, .max = 1048576, .fallback = "4096"},
	{"mtu", OPTION_INT, A(mtu), .min = 1500, .max = 9000, .fallback = "1500"},
	{"group", OPTION_NAME, A(group), .empty = "", .fallback = ""},
};

#define B(member) FIELD(policy_bridge, member)
static const struct option bridge[] = {
	{"name", OPTION_NAME, B(name)},
	{"lan", OPTION_DEVICE, B(lan)},
	{"wan", OPTION_DEVICE, B(wan)},
	{"address", OPTION_INPATH, B(address4), .min = 4, .empty = "none", .fallback = "none"},
	{"gateway", OPTION_ADDRESS, B(gateway4), .min = 4, .empty = "none", .fallback = "none"},
	{"address6", OPTION_INPATH, B(address6), .min = 6, .empty = "none", .fallback = "none"},
	{"gateway6", OPTION_ADDRESS, B(gateway6), .min = 6, .empty = "none", .fallback = "none"},
	{"vlan", OPTION_INT, B(vlan), .min = 1, .max = 4094, .empty = "untagged",
		.fallback = "untagged"},
	{"up", OPTION_RATE, B(up_bps), RATES, .live = true, .empty = "unlimited",
		.fallback = "unlimited"},
	{"down", OPTION_RATE, B(down_bps), RATES, .live = true, .empty = "unlimited",
		.fallback = "unlimited"},
	{"overhead", OPTION_INT, B(overhead_bytes), .live = true, .max = 256, .fallback = "24"},
	{"burst", OPTION_TIME, B(burst_ns), .live = true, .min = 10000, .max = 1000000000,
		.fallback = "1 ms"},
};

#define C(member) FIELD(policy_class, member)
static const struct option class[] = {
	{"name", OPTION_NAME, C(name)},
	{"priority", OPTION_INT, C(priority), .max = 7, .fallback = "4"},
	{"weight", OPTION_INT, C(weight), .min = 1, .max = 1000, .fallback = "10"},
	{"rate", OPTION_RATE, C(rate_bps), RATES, .empty = "none", .fallback = "none"},
	{"ceil", OPTION_RATE, C(ceil_bps), RATES, .empty = "unlimited", .fallback = "unlimited"},
	{"burst", OPTION_SIZE, C(burst_bytes), .min = 1500, .max = 1000000000, .empty = "auto",
		.fallback = "auto"},
	{"flow_rate", OPTION_RATE, C(flow_rate_bps), RATES, .empty = "unlimited",
		.fallback = "unlimited"},
	{"flow_burst", OPTION_SIZE, C(flow_burst_bytes), .min = 1500, .max = 1000000000,
		.fallback = "30 kB"},
	{"queue_time", OPTION_TIME, C(queue_limit_ns), .min = 1000000, .max = 4000000000,
		.empty = "none", .fallback = "none"},
	{"queue_size", OPTION_SIZE, C(queue_limit_bytes), .min = 3000, .max = 1000000000,
		.fallback = "512 kB"},
	{"aqm", OPTION_BOOL, C(aqm), .fallback = "true"},
	{"compress", OPTION_BOOL, C(compress), .fallback = "false"},
};

#define M(member) FIELD(policy_match, member)
static const struct option match[] = {
	{"proto", OPTION_RANGE, M(proto_min), .max = 255, .words = proto_words, .empty = "any",
		.fallback = "any"},
	{"src", OPTION_PREFIX, M(src), .empty = "any", .fallback = "any"},
	{"dst", OPTION_PREFIX, M(dst), .empty = "any", .fallback = "any"},
	{"sport", OPTION_RANGE, M(sport_min), .max = 65535, .empty = "any", .fallback = "any"},
	{"dport", OPTION_RANGE, M(dport_min), .max = 65535, .empty = "any", .fallback = "any"},
	{"vlan", OPTION_RANGE, M(vlan_min), .max = 4095, .words = vlan_words, .empty = "any",
		.fallback = "any"},
	{"dscp", OPTION_RANGE, M(dscp_min), .max = 63, .words = dscp_words, .empty = "any",
		.fallback = "any"},
	{"direction", OPTION_WORD, M(direction), .words = direction_words, .fallback = "any"},
	{"bridge", OPTION_BRIDGE, M(bridge), .empty = "any", .fallback = "any"},
};

#define R(member) FIELD(policy_rule, member)
static const struct option rule[] = {
	{"match", OPTION_MATCH, R(match), .fallback = ""},
	{"class", OPTION_CLASS, R(class_index)},
};

#define P(member) FIELD(policy_peer, member)
static const struct option peer[] = {
	{"name", OPTION_NAME, P(name)},
	{"address", OPTION_ADDRESS, P(address)},
	{"key_file", OPTION_PATH, P(key_file)},
	{"networks", OPTION_NETWORKS, P(networks), .live = true, .fallback = ""},
	{"bridge", OPTION_BRIDGE, P(bridge), .empty = "", .fallback = ""},
	{"port", OPTION_INT, P(port), .min = 1, .max = 65535, .fallback = "5820"},
	{"framing", OPTION_WORD, P(framing), .words = framing_words, .fallback = "tunnel"},
	{"path", OPTION_WORD, P(path), .words = path_words, .fallback = "routed"},
	{"path_mtu", OPTION_INT, P(path_mtu), .min = 576, .max = 9000, .fallback = "1500"},
	{"mss_clamp", OPTION_BOOL, P(mss_clamp), .live = true, .fallback = "false"},
};

static const struct option top[] = {
	{"compression", OPTION_WORD, FIELD(policy, compress), .words = compress_words,
		.fallback = "on"},
	{"bypass", OPTION_BOOL, FIELD(policy, bypass), .fallback = "false"},
};

const struct option_group options_appliance = GROUP("appliance", appliance, policy_appliance);
const struct option_group options_bridge = GROUP("bridges", bridge, policy_bridge);
const struct option_group options_class = GROUP("classes", class, policy_class);
const struct option_group options_match = GROUP("match", match, policy_match);
const struct option_group options_rule = GROUP("rules", rule, policy_rule);
const struct option_group options_peer = GROUP("peers", peer, policy_peer);
const struct option_group options_top = GROUP("", top, policy);

const struct option_group *const options_groups[] = {&options_top, &options_appliance,
	&options_bridge, &options_class, &options_rule, &options_match, &options_peer, NULL};

const struct option *option_find(const struct option_group *group, const char *name)
{
	for (uint32_t i = 0; i < group->count; i++)
		if (strcmp(group->options[i].name, name) == 0)
			return &group->options[i];
	return NULL;
}
