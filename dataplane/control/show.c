/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Answers to what sluicectl shows: one handler a message (channel/messages.h says what the fields
 * mean), all read-only. Classes are in show_classes.c, flows in show_flows.c, peers in
 * show_peers.c, what is measured in show_figures.c, changes in change.c. Control thread only.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/clock.h"
#include "dataplane/control/peers.h"
#include "dataplane/control/show.h"
#include "dataplane/control/track.h"

void show_name(char to[CHANNEL_NAME_MAX], const char *from)
{
	snprintf(to, CHANNEL_NAME_MAX, "%.*s", CHANNEL_NAME_MAX - 1, from);
}

static uint64_t confirm_ns_left(const struct control *c)
{
	uint64_t now_ns = clock_now_ns();

	return c->confirm_deadline_ns > now_ns ? c->confirm_deadline_ns - now_ns : 0;
}

int show_status(void *context, const struct channel_nothing *request, struct channel_reply *reply)
{
	struct control *c = context;
	struct daemon *d = c->daemon;
	const struct policy *policy = d->plan->policy;
	struct channel_server_stats channel;
	struct status_record r = {.uptime_ns = clock_now_ns() - c->started_ns,
		.policy_generation = c->generation,
		.bypass = policy->bypass,
		.compression = (uint64_t)policy->compress,
		.workers = d->worker_count,
		.poll_busy = policy->appliance.poll == POLL_BUSY,
		.hugepages = policy->appliance.hugepages,
		.memory_bytes = d->memory_bytes,
		.buffers = d->pool->size,
		.buffers_free = rte_mempool_avail_count(d->pool),
		.bridges = policy->bridge_count,
		.classes = policy->class_count,
		.classes_max = d->plan->classes_max,
		.rules = policy->rule_count,
		.peers = policy->peer_count,
		.confirm_ns = confirm_ns_left(c),
		.clock_slew_ppb = clock_slew_ppb()};

	show_name(r.appliance, policy->appliance.name);
	snprintf(r.version, sizeof(r.version), "%s", SLUICE_VERSION);
	snprintf(r.policy_file, sizeof(r.policy_file), "%s", policy->file);
	channel_server_stats(d->channel, &channel);
	r.clients = channel.sessions;
	for (unsigned w = 0; w < d->worker_count; w++) {
		struct flow_table_stats flows;
		flow_table_stats(d->workers[w]->flows, &flows);
		r.flows += flows.live;
		r.flows_max += flow_table_capacity(d->workers[w]->flows) - 1;
	}
	for (unsigned i = 0; i < c->peers->count; i++)
		r.peers_up += c->peers->peer[i].session.alive;
	for (unsigned b = 0; b < d->bridge_count; b++)
		for (unsigned way = 0; way < WAYS; way++)
			r.rate_bps[way] += rates_link_bps(c->rates, b, way);
	channel_send_status(reply, &r);
	return 0;
}

int show_unknown_class(const struct policy *policy, const char *name, struct channel_reply *reply)
{
	char names[300] = "";
	size_t at = 0;

	for (uint32_t i = 0; i < policy->class_count && at + POLICY_NAME_MAX + 8 < sizeof(names);
		i++)
		at += (size_t)snprintf(names + at, sizeof(names) - at, "%s%s", i ? ", " : "",
			policy->classes[i].name);
	channel_reply_error(reply, "unknown class '%s': classes are %s%s", name, names,
		at + POLICY_NAME_MAX + 8 < sizeof(names) ? "" : ", ...");
	return -ENOENT;
}

int show_links(void *context, const struct page_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	const struct daemon *d = c->daemon;
	const struct policy *policy = d->plan->policy;
	uint64_t total = (uint64_t)d->bridge_count * WAYS;

	for (uint64_t at = request->from; at < total; at++) {
		unsigned b = (unsigned)(at / WAYS), way = (unsigned)(at % WAYS);
		const struct policy_bridge *bridge = &policy->bridges[b];
		const struct port *port = &d->ports[way == WAY_UP ? port_wan(b) : port_lan(b)];
		struct link_record r = {.way = way,
			.up = port->link_up,
			.shaped_bps = d->plan->shaper[b][way]->link_bps, /* none in bypass */
			.overhead_bytes = bridge->overhead_bytes,
			.frame_min_bytes = bridge->frame_min_bytes,
			.rate_bps = rates_link_bps(c->rates, b, way)};
		struct track_shown tracked;
		if (channel_reply_room(reply) == 0) {
			channel_reply_next(reply, at, total);
			return 0;
		}
		track_show(c->track, b, way, &tracked);
		r.tracked_bps = r.shaped_bps == 0 ? 0 : tracked.rate_bps;
		r.tracked_queue_ns = tracked.queue_ns;
		show_name(r.bridge, bridge->name);
		show_name(r.port, port->name);
		struct rates_link sum;
		rates_link_sum(c->rates, d, b, way, &sum);
		r.sent_packets = sum.packets;
		r.sent_bytes = way == WAY_UP ? sum.wire_bytes : sum.bytes;
		r.backlog_packets = sum.backlog_packets;
		r.backlog_bytes = sum.backlog_bytes;
		channel_send_links(reply, &r);
	}
	return 0;
}

static uint64_t passed(const struct worker_class *k, enum reason reason)
{
	return k->passed[reason - PASS_LINK_NO_PEER];
}

/* Add up what all workers say of a class, way up. */
static void add_compression(const struct daemon *d, uint32_t id, struct compression_record *r)
{
	for (unsigned i = 0; i < d->bridge_count * d->worker_count; i++) {
		const struct worker *w = d->workers[i % d->worker_count];
		const struct worker_class *k = &w->classes[i / d->worker_count][WAY_UP][id];
		r->original_bytes += k->bytes;
		r->wire_bytes += k->wire_bytes;
		r->packets += k->packets;
		r->packets_compressed += k->compressed_packets;
		r->compressed_in_bytes += k->compressed_bytes;
		r->compressed_out_bytes += k->compressed_wire_bytes;
		r->no_peer += passed(k, PASS_LINK_NO_PEER);
		r->no_fit += passed(k, PASS_LINK_NO_FIT);
		r->no_gain += passed(k, PASS_LINK_NO_GAIN);
		r->small += passed(k, PASS_LINK_SMALL);
		r->backoff += passed(k, PASS_LINK_BACKOFF);
		r->unproven += passed(k, PASS_LINK_UNPROVEN);
		r->busy += passed(k, PASS_LINK_BUSY);
		r->retransmit += passed(k, PASS_LINK_RETRANSMIT);
		r->low_ttl += passed(k, PASS_LINK_TTL);
		r->form += passed(k, PASS_LINK_FORM);
		r->codec_cycles += k->codec_cycles;
		r->codec_bytes += k->codec_bytes;
		r->packed_packets += k->packed_packets;
		r->packed_frames += k->packed_frames;
	}
}

static void send_compression(const struct daemon *d, bool dry_run, struct compression_record *r,
	struct channel_reply *reply)
{
	/* All else: the class does not compress, or there is no peer for the address. */
	uint64_t known = r->packets_compressed + r->no_peer + r->no_fit + r->no_gain + r->small +
			 r->backoff + r->unproven + r->busy + r->retransmit + r->low_ttl + r->form;

	r->mode = (uint64_t)d->plan->policy->compress;
	r->off = r->packets > known ? r->packets - known : 0;
	if (dry_run && r->mode == COMPRESSION_ON)
		r->mode = COMPRESSION_DRY_RUN;
	if (r->mode == COMPRESSION_DRY_RUN)
		r->dry_saved_bytes = r->compressed_in_bytes - r->compressed_out_bytes;
	channel_send_compression(reply, r);
}

/* The sum over all classes that there ever were, in parts: of one client at a time. */
#define SUM_CLASSES 4096u
static struct {
	uint64_t client; /* 0: none */
	uint32_t next_id;
	struct compression_record sum;
} summing;

static int sum_compression(const struct daemon *d, struct channel_reply *reply)
{
	uint64_t client = channel_reply_client(reply);
	uint32_t given = d->plan->class_ids_given;

	if (summing.client != 0 && summing.client != client)
		return -EINPROGRESS; /* its turn will come */
	if (channel_reply_is_first(reply) || summing.client == 0) {
		memset(&summing, 0, sizeof(summing));
		summing.client = client;
	}
	uint32_t end = RTE_MIN(summing.next_id + SUM_CLASSES, given);
	while (summing.next_id < end)
		add_compression(d, summing.next_id++, &summing.sum);
	if (summing.next_id < given)
		return -EINPROGRESS;
	send_compression(d, false, &summing.sum, reply);
	summing.client = 0;
	return 0;
}

void show_compression_closed(uint64_t client)
{
	if (summing.client == client)
		summing.client = 0;
}

int show_compression(void *context, const struct page_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	const struct daemon *d = c->daemon;
	const struct policy *policy = d->plan->policy;
	uint64_t total = (uint64_t)policy->class_count + 1;

	for (uint64_t at = request->from; at < policy->class_count; at++) {
		struct compression_record r = {0};

		if (channel_reply_room(reply) == 0) {
			channel_reply_next(reply, at, total);
			return 0;
		}
		show_name(r.class_name, policy->classes[at].name);
		add_compression(d, d->plan->class_id_of[at], &r);
		send_compression(d, policy->classes[at].dry_run, &r, reply);
	}
	/* By itself: while a request is in progress its page stays empty. */
	if (request->from < policy->class_count) {
		channel_reply_next(reply, policy->class_count, total);
		return 0;
	}
	return sum_compression(d, reply);
}

/* The policy in force as text, printed once for all the pages that it takes. */
static struct {
	uint32_t generation; /* 0: none */
	char *text;
	uint64_t len;
} printed;

static int print_policy(const struct control *c, struct channel_reply *reply)
{
	if (printed.generation == c->generation)
		return 0;
	free(printed.text);
	printed.generation = 0;
	printed.text = policy_print(c->daemon->plan->policy);
	if (printed.text == NULL) {
		channel_reply_error(reply, "no memory to print the policy");
		return -ENOMEM;
	}
	printed.generation = c->generation;
	printed.len = strlen(printed.text);
	return 0;
}

/* It may be long, and nobody asks often. */
static void forget_printed(void)
{
	free(printed.text);
	memset(&printed, 0, sizeof(printed));
}

int show_policy(void *context, const struct channel_nothing *request, struct channel_reply *reply)
{
	struct control *c = context;
	const struct policy *policy = c->daemon->plan->policy;
	struct policy_record r = {.generation = c->generation,
		.applied_realtime_ns = c->applied_realtime_ns,
		.classes = policy->class_count,
		.rules = policy->rule_count,
		.bridges = policy->bridge_count,
		.peers = policy->peer_count,
		.confirm_ns = confirm_ns_left(c),
		.previous_generation = c->previous != NULL ? c->previous_generation : 0};
	int rc = print_policy(c, reply);

	if (rc != 0)
		return rc;
	r.text_bytes = printed.len;
	forget_printed();
	snprintf(r.file, sizeof(r.file), "%s", policy->file);
	channel_send_policy(reply, &r);
	return 0;
}

int show_policy_text(void *context, const struct page_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	int rc = print_policy(c, reply);

	if (rc != 0)
		return rc;
	channel_reply_text(reply, printed.text, printed.len, request->from);
	if (channel_reply_is_last(reply))
		forget_printed();
	return 0;
}
