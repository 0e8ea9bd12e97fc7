/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tables of options. conf/sluice.conf explains each of them with the same defaults; a test
 * holds the two together.
 */
#include "controlplane/policy/options.h"

#include <assert.h>
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
static const struct option_word codec_words[] = {{"auto", POLICY_CODEC_AUTO},
	{"lz4", POLICY_CODEC_LZ4}, {"zstd", POLICY_CODEC_ZSTD}, {"raw", POLICY_CODEC_RAW},
	{NULL, 0}};
static const struct option_word framing_words[] = {
	{"tunnel", FRAMING_TUNNEL}, {"transparent", FRAMING_TRANSPARENT}, {NULL, 0}};
static const struct option_word path_words[] = {
	{"routed", PATH_ROUTED}, {"bridged", PATH_BRIDGED}, {NULL, 0}};
static const struct option_word encryption_words[] = {{"none", ENCRYPTION_NONE},
	{"aes-256-gcm", ENCRYPTION_AES_256_GCM},
	{"chacha20-poly1305", ENCRYPTION_CHACHA20_POLY1305}, {NULL, 0}};
static const struct option_word unencrypted_words[] = {
	{"drop", UNENCRYPTED_DROP}, {"pass", UNENCRYPTED_PASS}, {NULL, 0}};
static const struct option_word reflector_words[] = {
	{"off", REFLECTOR_OFF}, {"peers", REFLECTOR_PEERS}, {"any", REFLECTOR_ANY}, {NULL, 0}};
static const struct option_word direction_words[] = {
	{"any", DIRECTION_ANY}, {"up", DIRECTION_UP}, {"down", DIRECTION_DOWN}, {NULL, 0}};

/* Protocol numbers, IANA. */
static const struct option_word proto_words[] = {{"icmp", 1}, {"igmp", 2}, {"tcp", 6}, {"udp", 17},
	{"gre", 47}, {"esp", 50}, {"ah", 51}, {"icmp6", 58}, {"ospf", 89}, {"pim", 103},
	{"vrrp", 112}, {"sctp", 132}, {NULL, 0}};

/* RFC 2474, 2597, 3246, 5865, 8622. */
#define DSCP_WORDS                                                                                 \
	{"default", 0}, {"le", 1}, {"cs1", 8}, {"af11", 10}, {"af12", 12}, {"af13", 14},           \
		{"cs2", 16}, {"af21", 18}, {"af22", 20}, {"af23", 22}, {"cs3", 24}, {"af31", 26},  \
		{"af32", 28}, {"af33", 30}, {"cs4", 32}, {"af41", 34}, {"af42", 36}, {"af43", 38}, \
		{"cs5", 40}, {"va", 44}, {"ef", 46}, {"cs6", 48}, {"cs7", 56},                     \
	{                                                                                          \
		NULL, 0                                                                            \
	}
static const struct option_word dscp_words[] = {DSCP_WORDS};
static const struct option_word action_words[] = {
	{"pass", POLICE_PASS}, {"drop", POLICE_DROP}, DSCP_WORDS};

static const struct option_word aqm_words[] = {{"none", AQM_NONE}, {"codel", AQM_CODEL},
	{"pie", AQM_PIE}, {"dualpi2", AQM_DUALPI2}, {NULL, 0}};
static const struct option_word per_words[] = {{"flow", PER_FLOW}, {"src", PER_SRC},
	{"dst", PER_DST}, {"lan", PER_LAN}, {"wan", PER_WAN}, {NULL, 0}};
static const struct option_word police_words[] = {{"none", POLICE_NONE}, {"srtcm", POLICE_SRTCM},
	{"trtcm", POLICE_TRTCM}, {"trtcm-4115", POLICE_TRTCM_4115}, {NULL, 0}};

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
	{"queues", OPTION_INT, A(queues), .min = 64, .max = 4194304, .fallback = "4096"},
	{"classes", OPTION_INT, A(classes), .min = 64, .max = POLICY_CLASSES_MAX,
		.fallback = "1024"},
	{"hosts", OPTION_INT, A(hosts), .max = 4194304, .fallback = "65536"},
	{"distributions", OPTION_INT, A(distributions), .min = 1, .max = POLICY_CLASSES_MAX,
		.fallback = "1024"},
	{"dry_run_store", OPTION_MEMORY, A(dry_run_store_mb), .min = 16, .max = 65536,
		.empty = "none", .fallback = "none"},
	{"store_directory", OPTION_PATH, A(store_directory), .empty = "", .fallback = ""},
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
	{"up_min", OPTION_RATE, B(up_min_bps), RATES, .live = true, .empty = "none",
		.fallback = "none"},
	{"down_min", OPTION_RATE, B(down_min_bps), RATES, .live = true, .empty = "none",
		.fallback = "none"},
	{"overhead", OPTION_SIGNED, B(overhead_bytes), .live = true, .min = (uint64_t)-64,
		.max = 256, .fallback = "24"},
	{"frame_min", OPTION_INT, B(frame_min_bytes), .live = true, .max = 256, .fallback = "60"},
	{"burst", OPTION_TIME, B(burst_ns), .live = true, .min = 10000, .max = 1000000000,
		.fallback = "1 ms"},
	{"stamp_reflector", OPTION_WORD, B(stamp_reflector), .words = reflector_words, .live = true,
		.fallback = "peers"},
	{"stamp_port", OPTION_INT, B(stamp_port), .live = true, .min = 1, .max = 65535,
		.fallback = "862"},
	{"stamp_rate", OPTION_INT, B(stamp_rate), .live = true, .min = 1, .max = 10000,
		.fallback = "500"},
	{"stamp_stateful", OPTION_BOOL, B(stamp_stateful), .live = true, .fallback = "true"},
};

#define C(member) FIELD(policy_class, member)
#define BURST .min = 1500, .max = 1000000000
static const struct option class[] = {
	{"name", OPTION_NAME, C(name)},
	{"parent", OPTION_PARENT, C(parent_index), .empty = "", .fallback = ""},
	{"priority", OPTION_INT, C(priority), .max = 7, .fallback = "4"},
	{"weight", OPTION_INT, C(weight), .min = 1, .max = 1000, .fallback = "10"},
	{"rate", OPTION_SHARE, C(rate), RATES, .empty = "none", .fallback = "none"},
	{"ceil", OPTION_SHARE, C(ceil), RATES, .empty = "unlimited", .fallback = "unlimited"},
	{"burst", OPTION_BURST, C(burst), BURST, .empty = "auto", .fallback = "auto"},
	{"flow_rate", OPTION_RATE, C(flow_rate_bps), RATES, .empty = "unlimited",
		.fallback = "unlimited", .per_flow = true},
	{"flow_burst", OPTION_BURST, C(flow_burst), BURST, .fallback = "30 kB", .per_flow = true},
	{"per", OPTION_PER, C(per), .words = per_words, .fallback = "flow", .per_flow = true},
	{"queue_time", OPTION_TIME, C(queue_limit_ns), .min = 1000000, .max = 4000000000,
		.empty = "none", .fallback = "none", .per_flow = true},
	{"queue_size", OPTION_SIZE, C(queue_limit_bytes), .min = 3000, .max = 1000000000,
		.fallback = "512 kB", .per_flow = true},
	{"aqm", OPTION_WORD, C(aqm), .words = aqm_words, .fallback = "codel", .per_flow = true},
	{"aqm_target", OPTION_TIME, C(aqm_target_ns), .min = 100000, .max = 1000000000,
		.empty = "auto", .fallback = "auto", .per_flow = true},
	{"ecn", OPTION_BOOL, C(ecn), .fallback = "true", .per_flow = true},
	{"police", OPTION_WORD, C(police.mode), .words = police_words, .fallback = "none"},
	{"cir", OPTION_RATE, C(police.cir_bps), RATES, .empty = "none", .fallback = "none"},
	{"cbs", OPTION_SIZE, C(police.cbs_bytes), .min = 1500, .max = 4000000000, .empty = "auto",
		.fallback = "auto"},
	{"pir", OPTION_RATE, C(police.pir_bps), RATES, .empty = "none", .fallback = "none"},
	{"pbs", OPTION_SIZE, C(police.pbs_bytes), .min = 1500, .max = 4000000000, .empty = "auto",
		.fallback = "auto"},
	{"eir", OPTION_RATE, C(police.eir_bps), RATES, .empty = "none", .fallback = "none"},
	{"ebs", OPTION_SIZE, C(police.ebs_bytes), .min = 1500, .max = 4000000000, .empty = "auto",
		.fallback = "auto"},
	{"colour_aware", OPTION_BOOL, C(police.colour_aware), .fallback = "false"},
	{"green", OPTION_ACTION, C(police.action[0]), .max = 63, .words = action_words,
		.fallback = "pass"},
	{"yellow", OPTION_ACTION, C(police.action[1]), .max = 63, .words = action_words,
		.fallback = "pass"},
	{"red", OPTION_ACTION, C(police.action[2]), .max = 63, .words = action_words,
		.fallback = "drop"},
	{"compress", OPTION_BOOL, C(compress), .fallback = "false", .per_flow = true},
	{"dry_run", OPTION_BOOL, C(dry_run), .fallback = "false", .per_flow = true},
	{"codec", OPTION_WORD, C(codec), .words = codec_words, .fallback = "auto",
		.per_flow = true},
	{"acceleration", OPTION_INT, C(acceleration), .min = 1, .max = 64, .fallback = "1",
		.per_flow = true},
	{"zstd_level", OPTION_INT, C(zstd_level), .min = 1, .max = 3, .fallback = "1",
		.per_flow = true},
	{"history", OPTION_BOOL, C(history), .fallback = "true", .per_flow = true},
	{"store_all", OPTION_BOOL, C(store_all), .fallback = "false", .per_flow = true},
	{"private", OPTION_BOOL, C(is_private), .fallback = "false", .per_flow = true},
	{"pack", OPTION_BOOL, C(pack), .fallback = "true", .per_flow = true},
	{"pack_wait", OPTION_TIME, C(pack_wait_ns), .min = 1000, .max = 200000, .empty = "none",
		.fallback = "none", .per_flow = true},
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
	{"encryption", OPTION_WORD, P(encryption), .words = encryption_words, .fallback = "none"},
	{"unencrypted", OPTION_WORD, P(unencrypted), .words = unencrypted_words,
		.fallback = "drop"},
	{"store", OPTION_MEMORY, P(store_mb), .min = 16, .max = 65536, .empty = "none",
		.fallback = "none"},
	{"stamp_interval", OPTION_TIME, P(stamp_interval_ns), .live = true, .min = 10000000,
		.max = 4000000000, .empty = "none", .fallback = "none"},
	{"stamp_dscp", OPTION_ACTION, P(stamp_dscp), .live = true, .max = 63, .words = dscp_words,
		.fallback = "default"},
	{"stamp_size", OPTION_INT, P(stamp_size), .live = true, .min = 100, .max = 9000,
		.empty = "least", .fallback = "least"},
	{"stamp_port", OPTION_INT, P(stamp_port), .live = true, .min = 1, .max = 65535,
		.fallback = "862"},
	{"stamp_key_file", OPTION_PATH, P(stamp_key_file), .live = true, .empty = "",
		.fallback = ""},
};

static const struct option top[] = {
	{"compression", OPTION_WORD, FIELD(policy, compress), .words = compress_words,
		.fallback = "on"},
	{"bypass", OPTION_BOOL, FIELD(policy, bypass), .fallback = "false"},
};

static_assert(sizeof(class) / sizeof(class[0]) <= OPTIONS_MAX, "the longest group");

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
