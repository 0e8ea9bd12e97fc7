/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `show flows` and `explain`: from the flow tables, which the workers go on writing meanwhile. The
 * tables are walked once for the first page; what was found is kept, sorted, for the pages after.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>

#include "dataplane/clock.h"
#include "dataplane/control/show.h"
#include "dataplane/compress/decide.h"
#include "dataplane/packet/parse.h"
#include "dataplane/packet/steer.h"

struct found {
	uint64_t value;
	uint32_t record;
	uint32_t generation;
	uint8_t worker;
};

/* The list of the client that asked last; another client's first page replaces it. */
static struct {
	struct found *list;
	uint64_t count, room;
	uint64_t client;
	bool valid;
} kept;

/* A flow's figures, TCP or not. */
static void view_of(const struct flow *f, struct measure_flow_view *view)
{
	struct measure_datagrams_view datagrams;

	if (f->key.proto == IPPROTO_TCP) {
		measure_flow_view(&f->measure, view);
		return;
	}
	measure_datagrams_view(&f->datagrams, &datagrams);
	*view = (struct measure_flow_view){.rtt_lan_min_ns = datagrams.rtt_lan_min_ns,
		.rtt_lan_last_ns = datagrams.rtt_lan_last_ns,
		.rtt_wan_min_ns = datagrams.rtt_wan_min_ns,
		.rtt_wan_last_ns = datagrams.rtt_wan_last_ns};
}

static uint64_t value_of(const struct control *c, unsigned worker, uint32_t i, const struct flow *f,
	uint64_t by, uint64_t now_ns)
{
	struct measure_flow_view view;

	switch (by) {
	case FLOWS_BY_RATE:
		return rates_flow_bps(c->rates, worker, i, f, WAY_UP, now_ns) +
		       rates_flow_bps(c->rates, worker, i, f, WAY_DOWN, now_ns);
	case FLOWS_BY_RTT:
		view_of(f, &view);
		return view.rtt_lan_last_ns + view.rtt_wan_last_ns;
	case FLOWS_BY_LOSS:
		view_of(f, &view);
		return (uint64_t)view.retransmits[0] + view.retransmits[1];
	case FLOWS_BY_SAVED:
		return f->codec.saved_bytes;
	default:
		return f->bytes[WAY_UP] + f->bytes[WAY_DOWN];
	}
}

/* Keep the `top` largest in a heap whose root is the smallest of them. */
static void sift_down(struct found *heap, uint64_t count, uint64_t at)
{
	for (;;) {
		uint64_t least = at;
		for (uint64_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++)
			if (heap[child].value < heap[least].value)
				least = child;
		if (least == at)
			return;
		struct found swap = heap[at];
		heap[at] = heap[least];
		heap[least] = swap;
		at = least;
	}
}

static void offer(struct found *heap, uint64_t *count, uint64_t room, const struct found *f)
{
	if (*count < room) {
		uint64_t at = (*count)++;
		heap[at] = *f;
		while (at > 0 && heap[(at - 1) / 2].value > heap[at].value) {
			struct found swap = heap[at];
			heap[at] = heap[(at - 1) / 2];
			heap[(at - 1) / 2] = swap;
			at = (at - 1) / 2;
		}
	} else if (f->value > heap[0].value) {
		heap[0] = *f;
		sift_down(heap, *count, 0);
	}
}

static int by_value_falling(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return x->value == y->value ? 0 : x->value < y->value ? 1 : -1;
}

static int walk_tables(struct control *c, const struct flows_request *request, uint64_t client,
	struct channel_reply *reply)
{
	const struct daemon *d = c->daemon;
	uint32_t capacity = flow_table_capacity(d->workers[0]->flows);
	uint64_t room = (uint64_t)capacity * d->worker_count, now_ns = clock_now_ns();
	int class_index = -1;

	if (request->class_name[0] != '\0') {
		class_index = policy_find_class(d->plan->policy, request->class_name);
		if (class_index < 0)
			return show_unknown_class(d->plan->policy, request->class_name, reply);
	}
	if (request->top > 0 && request->top < room)
		room = request->top;
	if (room > kept.room) {
		struct found *list = realloc(kept.list, room * sizeof(*list));
		if (list == NULL) {
			channel_reply_error(
				reply, "no memory for a list of %lu flows", (unsigned long)room);
			return -ENOMEM;
		}
		kept.list = list;
		kept.room = room;
	}
	kept.count = 0;
	kept.client = client;
	kept.valid = true;
	for (unsigned w = 0; w < d->worker_count; w++) {
		for (uint32_t i = 0; i < capacity; i++) {
			struct flow copy;
			if (!flow_snapshot(flow_table_record(d->workers[w]->flows, i), &copy))
				continue;
			if (class_index >= 0 && copy.class_id != d->plan->class_id_of[class_index])
				continue;
			struct found f = {.value = value_of(c, w, i, &copy, request->by, now_ns),
				.record = i,
				.generation = copy.generation,
				.worker = (uint8_t)w};
			offer(kept.list, &kept.count, room, &f);
		}
	}
	qsort(kept.list, kept.count, sizeof(kept.list[0]), by_value_falling);
	return 0;
}

/* What TCP tells, turned from sides into ways. */
static void describe_tcp(const struct measure_flow_view *view, struct flow_record *r)
{
	struct flow_tcp_record *tcp = &r->tcp;
	uint64_t rtt_ns = view->rtt_lan_last_ns + view->rtt_wan_last_ns;

	tcp->connect_ns = view->connect_ns;
	tcp->syn_retries = view->syn_retries;
	tcp->rtt_lan_samples = view->rtt_lan_samples;
	tcp->rtt_wan_samples = view->rtt_wan_samples;
	for (unsigned way = 0; way < WAYS; way++) {
		unsigned from = way == WAY_UP ? FROM_LAN : FROM_WAN;
		tcp->lost_before[way] = view->lost_before[from];
		tcp->lost_after[way] = view->lost_after[from];
		tcp->needless[way] = view->needless[from];
		tcp->timeouts[way] = view->timeouts[from];
		tcp->dsacks[way] = view->dsacks[from];
		tcp->duplicates[way] = view->duplicates[from];
		tcp->reordered[way] = view->reordered[from];
		tcp->reorder_max_bytes[way] = view->reorder_max_bytes[from];
		tcp->flight_bytes[way] = view->flight_bytes[from];
		tcp->flight_max_bytes[way] = view->flight_max_bytes[from];
		tcp->window_bytes[way] = view->window_bytes[!from];
		if (view->rtt_lan_last_ns != 0 && view->rtt_wan_last_ns != 0)
			tcp->bdp_bytes[way] = r->rate_bps[way] / 8 * (rtt_ns / 1000) / 1000000;
		tcp->zero_windows[way] = view->zero_windows[!from];
		for (unsigned limit = 0; limit < CHANNEL_LIMITS; limit++)
			tcp->limited_ns[way][limit] = view->limited_ns[from][limit];
		tcp->ce[way] = view->ce[from];
		tcp->ece[way] = view->ece[from];
		tcp->cwr[way] = view->cwr[from];
		tcp->mss[way] = view->mss[from];
		tcp->options[way] = view->options[from];
	}
}

static void describe(const struct control *c, const struct found *at, const struct flow *f,
	uint64_t now_ns, struct flow_record *r)
{
	const struct plan *plan = c->daemon->plan;
	const struct policy *policy = plan->policy;
	unsigned src = f->initiator, dst = !f->initiator;
	struct measure_flow_view view;

	memset(r, 0, sizeof(*r));
	memcpy(r->src, f->key.addr[src], 16);
	memcpy(r->dst, f->key.addr[dst], 16);
	r->sport = rte_be_to_cpu_16(f->key.port[src]);
	r->dport = rte_be_to_cpu_16(f->key.port[dst]);
	r->proto = f->key.proto;
	r->family = f->flags & FLOW_OTHER ? 0 : f->key.scope & FLOW_KEY_IPV6 ? 6 : 4;
	r->vlan = f->key.vlan & 0xfff;
	r->worker = at->worker;
	if ((f->key.scope & 0x3f) < policy->bridge_count)
		show_name(r->bridge, policy->bridges[f->key.scope & 0x3f].name);
	if (f->class_id < plan->classes_max && plan->class_index_of[f->class_id] >= 0)
		show_name(r->class_name, policy->classes[plan->class_index_of[f->class_id]].name);
	if (f->peer > 0 && f->peer <= policy->peer_count)
		show_name(r->peer, policy->peers[f->peer - 1].name);
	r->opened_way = f->initiator == f->lan_dir ? WAY_UP : WAY_DOWN;
	view_of(f, &view);
	for (unsigned way = 0; way < WAYS; way++) {
		r->packets[way] = f->packets[way];
		r->bytes[way] = f->bytes[way];
		r->wire_bytes[way] = f->bytes[way] - f->saved_bytes[way];
		r->rate_bps[way] = rates_flow_bps(c->rates, at->worker, at->record, f, way, now_ns);
		r->retransmits[way] = view.retransmits[way == WAY_UP ? FROM_LAN : FROM_WAN];
	}
	r->saved_bytes = f->codec.saved_bytes;
	r->rtt_lan_min_ns = view.rtt_lan_min_ns;
	r->rtt_lan_last_ns = view.rtt_lan_last_ns;
	r->rtt_wan_min_ns = view.rtt_wan_min_ns;
	r->rtt_wan_last_ns = view.rtt_wan_last_ns;
	if (r->proto == IPPROTO_TCP && r->family != 0)
		describe_tcp(&view, r);
	uint32_t now_ms = (uint32_t)(now_ns / 1000000);
	/* The flow, or its last packet, may have come since `now`. */
	uint32_t age_ms = now_ms - f->created_ms;
	r->age_ns = age_ms > UINT32_MAX - 60000 ? 0 : (uint64_t)age_ms * 1000000;
	int32_t idle_ms = (int32_t)(now_ms - f->last_seen_ms);
	r->idle_ns = idle_ms > 0 ? (uint64_t)idle_ms * 1000000 : 0;
	r->compressing = plan->compress == COMPRESS_ON && f->peer > 0 &&
			 f->class_id < plan->classes_max && plan->class_compress[f->class_id] &&
			 f->codec.state != FLOW_CODEC_OFF;
}

int show_flows(void *context, const struct flows_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	uint64_t client = channel_reply_client(reply), now_ns = clock_now_ns();

	if (request->from == 0 || !kept.valid || kept.client != client) {
		int rc = walk_tables(c, request, client, reply);
		if (rc != 0)
			return rc;
	}
	for (uint64_t i = request->from; i < kept.count; i++) {
		const struct found *at = &kept.list[i];
		struct flow copy;
		struct flow_record r;

		if (channel_reply_room(reply) == 0) {
			channel_reply_next(reply, i, kept.count);
			return 0;
		}
		/* It may have ended since the first page. */
		if (!flow_snapshot(
			    flow_table_record(c->daemon->workers[at->worker]->flows, at->record),
			    &copy) ||
			copy.generation != at->generation)
			continue;
		describe(c, at, &copy, now_ns, &r);
		channel_send_flows(reply, &r);
	}
	return 0;
}

void show_flows_closed(uint64_t client)
{
	if (!kept.valid || kept.client != client)
		return;
	free(kept.list);
	memset(&kept, 0, sizeof(kept));
}

/* ---- explain ---- */

/* The flow of these two ends in some table, of either opener; false: not there. */
static bool find_flow(const struct control *c, const struct explain_request *e, struct found *at,
	struct flow *copy)
{
	const struct daemon *d = c->daemon;

	for (unsigned w = 0; w < d->worker_count; w++) {
		uint32_t capacity = flow_table_capacity(d->workers[w]->flows);
		for (uint32_t i = 0; i < capacity; i++) {
			const struct flow *f = flow_table_record(d->workers[w]->flows, i);
			if (f->key.proto != e->proto || !flow_snapshot(f, copy))
				continue;
			for (unsigned src = 0; src < 2; src++) {
				if (memcmp(copy->key.addr[src], e->src, 16) == 0 &&
					memcmp(copy->key.addr[!src], e->dst, 16) == 0 &&
					copy->key.port[src] ==
						rte_cpu_to_be_16((uint16_t)e->sport) &&
					copy->key.port[!src] ==
						rte_cpu_to_be_16((uint16_t)e->dport)) {
					*at = (struct found){.record = i,
						.generation = copy->generation,
						.worker = (uint8_t)w};
					return true;
				}
			}
		}
	}
	return false;
}

static uint16_t steer_hash_of(const struct explain_request *e)
{
	uint64_t words = 0, part;
	unsigned from = e->family == 4 ? 12 : 0;

	for (unsigned i = from; i < 16; i += 4) {
		uint32_t a, b;
		memcpy(&a, e->src + i, 4);
		memcpy(&b, e->dst + i, 4);
		part = a ^ b;
		words ^= part;
	}
	if (e->proto == IPPROTO_TCP || e->proto == IPPROTO_UDP)
		words ^= rte_cpu_to_be_16((uint16_t)(e->sport ^ e->dport));
	return steer_hash(words);
}

/* "link b0 > office > voice" */
static void tell_path(const struct plan *plan, unsigned bridge, uint32_t id, char *path, size_t len)
{
	const struct shaper_class_config *classes = plan->shaper[bridge][WAY_UP]->classes;
	uint32_t ids[SHAPER_DEPTH_MAX + 1], depth = 0;
	size_t at;

	for (; id != SHAPER_NO_PARENT && depth <= SHAPER_DEPTH_MAX; id = classes[id].parent)
		ids[depth++] = id;
	at = (size_t)snprintf(path, len, "link %s", plan->policy->bridges[bridge].name);
	while (depth-- > 0 && at < len)
		at += (size_t)snprintf(path + at, len - at, " > %s",
			plan->policy->classes[plan->class_index_of[ids[depth]]].name);
}

/* "network 10.1.2.0/24 at the src end": who shares the rate of a flow. */
static void tell_bucket(const struct shaper_class_config *class, const struct explain_request *e,
	unsigned opened, char *text, size_t len)
{
	static const char *const ends[] = {"", "src", "dst", "lan", "wan"};
	bool is_src = class->per == PER_SRC || class->per == (opened == WAY_UP ? PER_LAN : PER_WAN);
	unsigned first = e->family == 4 ? 12 : 0;
	unsigned bits = e->family == 4 ? class->per_bits4 : class->per_bits6;
	uint8_t address[16];
	char name[INET6_ADDRSTRLEN];

	if (class->flow_rate_bps == 0)
		return;
	if (class->per == PER_FLOW) {
		snprintf(text, len, "this flow by itself");
		return;
	}
	memcpy(address, is_src ? e->src : e->dst, 16);
	for (unsigned bit = bits; bits != 0 && first + bit / 8 < 16; bit++)
		address[first + bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	inet_ntop(e->family == 4 ? AF_INET : AF_INET6, address + first, name, sizeof(name));
	if (bits == 0)
		snprintf(text, len, "all flows of host %s (per %s)", name, ends[class->per]);
	else
		snprintf(text, len, "all flows of network %s/%u (per %s)", name, bits,
			ends[class->per]);
}

int show_explain(void *context, const struct explain_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	const struct daemon *d = c->daemon;
	const struct plan *plan = d->plan;
	const struct policy *policy = plan->policy;
	struct flow_key key = {.proto = (uint8_t)request->proto,
		.scope = request->family == 6 ? FLOW_KEY_IPV6 : 0};
	struct explain_record r = {0};
	struct found at;
	struct flow f;
	unsigned opened = WAY_UP, bridge = 0;
	uint8_t dscp = 0;

	if (request->family != 4 && request->family != 6) {
		channel_reply_error(
			reply, "an address family of %u: 4 or 6 is known", request->family);
		return -EINVAL;
	}
	/* The source is end 0 here: classify_explain() takes either order. */
	memcpy(key.addr[0], request->src, 16);
	memcpy(key.addr[1], request->dst, 16);
	key.port[0] = rte_cpu_to_be_16((uint16_t)request->sport);
	key.port[1] = rte_cpu_to_be_16((uint16_t)request->dport);
	r.worker = steer_owner(steer_hash_of(request), d->worker_count);
	r.known = find_flow(c, request, &at, &f);
	if (r.known) {
		describe(c, &at, &f, clock_now_ns(), &r.flow);
		bridge = f.key.scope & 0x3f;
		opened = f.initiator == f.lan_dir ? WAY_UP : WAY_DOWN;
		key.vlan = f.key.vlan;
		dscp = f.dscp;
	}
	key.scope |= (uint8_t)bridge;
	int rule = classify_explain(plan->classifier, &key, 0,
		opened == WAY_UP ? DIRECTION_UP : DIRECTION_DOWN, key.vlan & 0xfff, dscp);
	uint32_t index = rule < 0 ? 0 : policy->rules[rule].class_index;
	uint32_t id = plan->class_id_of[index];
	const struct policy_class *class = &policy->classes[index];
	const struct shaper_class_config *shaped = &plan->shaper[bridge][opened]->classes[id];
	show_name(r.bridge, policy->bridges[bridge].name);
	show_name(r.class_name, class->name);
	r.opened_way = opened;
	if (rule >= 0) {
		r.rule_line = policy->rules[rule].line;
		snprintf(r.rule, sizeof(r.rule), "rules[%d] of %.100s", rule, policy->file);
	} else {
		snprintf(r.rule, sizeof(r.rule), "no rule matches: class default");
	}
	tell_path(plan, bridge, id, r.path, sizeof(r.path));
	tell_bucket(shaped, request, opened, r.bucket, sizeof(r.bucket));
	r.priority = shaped->priority;
	r.weight = shaped->weight;
	r.assured_bps = shaped->rate_bps;
	r.ceil_bps = shaped->ceil_bps;
	r.flow_rate_bps = shaped->flow_rate_bps;

	int peer = plan_find_peer(plan, bridge, opened == WAY_UP ? request->dst : request->src);
	const char *words = "goes out plainly: no peer stands before that address";
	if (peer >= 0) {
		show_name(r.peer, policy->peers[peer].name);
		r.peer_up = d->links->path[peer].alive;
		words = plan->compress == COMPRESS_OFF ? "goes out plainly: compression is off"
			: !class->compress ? "goes out plainly: its class does not compress"
			: !r.peer_up	   ? "goes out plainly: the peer is not alive"
					   : "compressed where that makes it smaller";
		if (policy->peers[peer].encryption != ENCRYPTION_NONE && !r.peer_up)
			words = policy->peers[peer].unencrypted == UNENCRYPTED_DROP
					? "dropped: the peer is not alive, and it wants encryption"
					: "goes out plainly: the peer is not alive";
		else if (policy->peers[peer].encryption != ENCRYPTION_NONE)
			words = plan->compress == COMPRESS_OFF || !class->compress
					? "encrypted, not compressed"
					: "encrypted, and compressed where that makes it smaller";
	}
	if (plan->compress == COMPRESS_DRY_RUN)
		words = "dry-run: compressed to count only";
	snprintf(r.compression, sizeof(r.compression), "%s", words);
	channel_send_explain(reply, &r);
	return 0;
}
