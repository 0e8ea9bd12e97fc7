/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Answers to what sluicectl shows: one handler a message (channel/messages.h says what the fields
 * mean), all read-only. Flows are in show_flows.c, changes in change.c. Control thread only.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/clock.h"
#include "dataplane/control/peers.h"
#include "dataplane/control/show.h"

static struct channel_dist dist_of(const struct histogram *h)
{
	return (struct channel_dist){.samples = h->count,
		.min_ns = histogram_min(h),
		.p50_ns = histogram_percentile(h, 50),
		.p90_ns = histogram_percentile(h, 90),
		.p99_ns = histogram_percentile(h, 99),
		.p999_ns = histogram_percentile(h, 99.9),
		.max_ns = histogram_max(h)};
}

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

/* Counters of one class, bridge and way over all workers. */
static void sum_class(const struct daemon *d, unsigned b, unsigned way, uint32_t id,
	struct shaper_class_stats *shaper, struct worker_class *class)
{
	memset(shaper, 0, sizeof(*shaper));
	memset(class, 0, sizeof(*class));
	for (unsigned w = 0; w < d->worker_count; w++) {
		const struct shaper_class_stats *s =
			shaper_class_stats(d->workers[w]->shaper[b][way], id);
		const struct worker_class *k = &d->workers[w]->classes[b][way][id];
		shaper->packets += s->packets;
		shaper->bytes += s->bytes;
		shaper->borrowed_bytes += s->borrowed_bytes;
		shaper->dropped_tail += s->dropped_tail + s->dropped_memory;
		shaper->dropped_aqm += s->dropped_aqm;
		shaper->backlog_packets += s->backlog_packets;
		shaper->backlog_bytes += s->backlog_bytes;
		shaper->backlog_flows += s->backlog_flows;
		class->packets += k->packets;
		class->bytes += k->bytes;
		class->wire_bytes += k->wire_bytes;
		class->compressed_packets += k->compressed_packets;
		class->compressed_bytes += k->compressed_bytes;
		class->compressed_wire_bytes += k->compressed_wire_bytes;
		class->codec_bytes += k->codec_bytes;
		class->codec_cycles += k->codec_cycles;
		for (unsigned i = 0; i < WORKER_PASSED; i++)
			class->passed[i] += k->passed[i];
	}
}

static void merge_measure(const struct daemon *d, uint32_t id, struct measure_class *m)
{
	memset(m, 0, sizeof(*m));
	for (unsigned w = 0; w < d->worker_count; w++)
		measure_class_merge(m, &d->workers[w]->measure[id]);
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
			.shaped_bps = way == WAY_UP ? bridge->up_bps : bridge->down_bps,
			.overhead_bytes = bridge->overhead_bytes,
			.rate_bps = rates_link_bps(c->rates, b, way)};
		if (channel_reply_room(reply) == 0) {
			channel_reply_next(reply, at, total);
			return 0;
		}
		show_name(r.bridge, bridge->name);
		show_name(r.port, port->name);
		/* Also of classes that are gone: what was sent was sent. */
		for (uint32_t id = 0; id < d->plan->class_ids_given; id++) {
			struct shaper_class_stats s;
			struct worker_class k;
			sum_class(d, b, way, id, &s, &k);
			r.sent_packets += k.packets;
			r.sent_bytes += way == WAY_UP ? k.wire_bytes : k.bytes;
			r.backlog_packets += s.backlog_packets;
			r.backlog_bytes += s.backlog_bytes;
		}
		channel_send_links(reply, &r);
	}
	return 0;
}

int show_classes(void *context, const struct page_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	const struct daemon *d = c->daemon;
	const struct policy *policy = d->plan->policy;
	uint64_t per_class = (uint64_t)d->bridge_count * WAYS,
		 total = policy->class_count * per_class;
	static struct measure_class m; /* 57 kB: too large for the stack */

	for (uint64_t at = request->from; at < total; at++) {
		const struct policy_class *class = &policy->classes[at / per_class];
		uint32_t id = d->plan->class_id_of[at / per_class];
		unsigned b = (unsigned)(at % per_class / WAYS), way = (unsigned)(at % WAYS);
		struct shaper_class_stats s;
		struct worker_class k;

		if (channel_reply_room(reply) == 0) {
			channel_reply_next(reply, at, total);
			return 0;
		}
		sum_class(d, b, way, id, &s, &k);
		merge_measure(d, id, &m);
		struct class_record r = {.way = way,
			.priority = class->priority,
			.weight = class->weight,
			.assured_bps = class->rate_bps,
			.ceil_bps = class->ceil_bps,
			.flow_rate_bps = class->flow_rate_bps,
			.sent_packets = k.packets,
			.sent_bytes = k.bytes,
			.rate_bps = rates_class_bps(c->rates, b, way, id),
			.original_bytes = k.bytes,
			.wire_bytes = k.wire_bytes,
			.backlog_packets = s.backlog_packets,
			.backlog_bytes = s.backlog_bytes,
			.backlog_flows = s.backlog_flows,
			.dropped_tail = s.dropped_tail,
			.dropped_aqm = s.dropped_aqm,
			.borrowed_bytes = s.borrowed_bytes,
			.queue_delay = dist_of(&m.queue[way]),
			.box_time = dist_of(&m.box[way])};
		show_name(r.name, class->name);
		show_name(r.bridge, policy->bridges[b].name);
		channel_send_classes(reply, &r);
	}
	return 0;
}

int show_peers(void *context, const struct page_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	const struct daemon *d = c->daemon;
	const struct policy *policy = d->plan->policy;
	uint64_t now_ns = clock_now_ns();
	static struct histogram variation;

	for (uint64_t at = request->from; at < c->peers->count; at++) {
		unsigned i = (unsigned)at;
		const struct peer *p = &c->peers->peer[i];
		const struct link_session *s = &p->session;
		const struct link_hello *hello = &s->peer;
		struct link_seq_counts received;
		struct peer_record r = {.family = policy->peers[i].address.family,
			.state = s->alive			 ? CHANNEL_PEER_UP
				 : s->state == LINK_SESSION_DOWN ? CHANNEL_PEER_DOWN
								 : CHANNEL_PEER_CONNECTING,
			.since_realtime_ns = p->since_realtime_ns,
			.session = s->session_id,
			.rtt_ns = s->rtt_ns,
			.path_mtu = d->links->path[i].path_mtu,
			.peer_path_mtu = hello->path_mtu};

		if (channel_reply_room(reply) == 0) {
			channel_reply_next(reply, at, c->peers->count);
			return 0;
		}
		show_name(r.name, policy->peers[i].name);
		show_name(r.bridge, policy->bridges[policy->peers[i].bridge].name);
		memcpy(r.address, policy->peers[i].address.bytes, sizeof(r.address));
		snprintf(r.error, sizeof(r.error), "%s", s->error);
		show_name(r.codec, s->alive ? "lz4" : "");
		memset(&variation, 0, sizeof(variation));
		for (unsigned w = 0; w < d->worker_count; w++) {
			const struct worker_peer *of = &d->workers[w]->peers[i];
			r.tx_frames += of->tx_frames;
			r.tx_bytes += of->tx_bytes;
			r.rx_frames += of->rx_frames;
			r.rx_bytes += of->rx_bytes;
			r.rx_bad += of->rx_bad;
			histogram_merge(&variation, &of->delay_variation);
		}
		r.tx_frames += s->hellos_sent;
		r.rx_frames += s->hellos_received;
		r.tx_bytes += p->tx_hello_bytes;
		r.rx_bytes += p->rx_hello_bytes;
		peers_received(c, i, now_ns, &received);
		/* Hellos are link packets too: the figures are of all of them. */
		struct link_seq_counts hellos;
		link_seq_read(&s->control, NULL, now_ns, &hellos);
		link_seq_counts_add(&received, &hellos);
		r.rx_lost = received.lost;
		r.rx_duplicate = received.duplicates;
		r.rx_reordered = received.reordered;
		r.tx_lost = hello->received.lost;
		r.tx_duplicate = hello->received.duplicates;
		r.tx_reordered = hello->received.reordered;
		r.peer_rx_frames = hello->received.received;
		r.jitter_ns = received.jitter_ns;
		r.delay_variation = dist_of(&variation);
		channel_send_peers(reply, &r);
	}
	return 0;
}

int show_rtt(void *context, const struct page_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	const struct policy *policy = c->daemon->plan->policy;
	static struct measure_class m;

	for (uint64_t at = request->from; at < policy->class_count; at++) {
		if (channel_reply_room(reply) == 0) {
			channel_reply_next(reply, at, policy->class_count);
			return 0;
		}
		merge_measure(c->daemon, c->daemon->plan->class_id_of[at], &m);
		struct rtt_record r = {.lan = dist_of(&m.rtt_lan),
			.wan = dist_of(&m.rtt_wan),
			.connect = dist_of(&m.connect)};
		show_name(r.class_name, policy->classes[at].name);
		channel_send_rtt(reply, &r);
	}
	return 0;
}

int show_loss(void *context, const struct page_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	const struct policy *policy = c->daemon->plan->policy;
	uint64_t classes = (uint64_t)policy->class_count * WAYS, total = classes + c->peers->count;
	uint64_t now_ns = clock_now_ns();
	static struct measure_class m;

	for (uint64_t at = request->from; at < total; at++) {
		struct loss_record r = {0};

		if (channel_reply_room(reply) == 0) {
			channel_reply_next(reply, at, total);
			return 0;
		}
		if (at < classes) {
			/* What the LAN sends goes up. */
			unsigned way = (unsigned)(at % WAYS);
			unsigned from = way == WAY_UP ? FROM_LAN : FROM_WAN;
			merge_measure(c->daemon, c->daemon->plan->class_id_of[at / WAYS], &m);
			show_name(r.class_name, policy->classes[at / WAYS].name);
			r.way = way;
			r.packets = m.data_packets[from];
			r.lost_before = m.retransmits_before[from];
			r.lost_after = m.retransmits_after[from];
			r.reordered = m.reordered[from];
			r.duplicate = m.retransmits_needless[from];
		} else {
			unsigned i = (unsigned)(at - classes);
			struct link_seq_counts counts, hellos;
			peers_received(c, i, now_ns, &counts);
			link_seq_read(&c->peers->peer[i].session.control, NULL, now_ns, &hellos);
			link_seq_counts_add(&counts, &hellos);
			show_name(r.peer, policy->peers[i].name);
			r.way = WAY_DOWN;
			r.packets = counts.unique + counts.lost;
			r.lost_before = counts.lost;
			r.reordered = counts.reordered;
			r.duplicate = counts.duplicates;
		}
		channel_send_loss(reply, &r);
	}
	return 0;
}

static void compression_of(const struct daemon *d, uint32_t id, struct compression_record *r)
{
	for (unsigned b = 0; b < d->bridge_count; b++) {
		struct shaper_class_stats s;
		struct worker_class k;
		sum_class(d, b, WAY_UP, id, &s, &k);
		r->original_bytes += k.bytes;
		r->wire_bytes += k.wire_bytes;
		r->packets += k.packets;
		if (d->plan->compress == COMPRESS_DRY_RUN)
			r->dry_saved_bytes += k.compressed_bytes - k.compressed_wire_bytes;
		r->packets_compressed += k.compressed_packets;
		r->compressed_in_bytes += k.compressed_bytes;
		r->compressed_out_bytes += k.compressed_wire_bytes;
		r->no_peer += k.passed[PASS_LINK_NO_PEER - PASS_LINK_NO_PEER];
		r->no_fit += k.passed[PASS_LINK_NO_FIT - PASS_LINK_NO_PEER];
		r->no_gain += k.passed[PASS_LINK_NO_GAIN - PASS_LINK_NO_PEER];
		r->small += k.passed[PASS_LINK_SMALL - PASS_LINK_NO_PEER];
		r->backoff += k.passed[PASS_LINK_BACKOFF - PASS_LINK_NO_PEER];
		r->unproven += k.passed[PASS_LINK_UNPROVEN - PASS_LINK_NO_PEER];
		r->retransmit += k.passed[PASS_LINK_RETRANSMIT - PASS_LINK_NO_PEER];
		r->low_ttl += k.passed[PASS_LINK_TTL - PASS_LINK_NO_PEER];
		r->codec_cycles += k.codec_cycles;
		r->codec_bytes += k.codec_bytes;
	}
	/* All else: the class does not compress, or there is no peer for the address. */
	uint64_t known = r->packets_compressed + r->no_peer + r->no_fit + r->no_gain + r->small +
			 r->backoff + r->unproven + r->retransmit + r->low_ttl;
	r->off = r->packets > known ? r->packets - known : 0;
}

int show_compression(void *context, const struct page_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	const struct daemon *d = c->daemon;
	const struct policy *policy = d->plan->policy;
	uint64_t total = (uint64_t)policy->class_count + 1;

	for (uint64_t at = request->from; at < total; at++) {
		struct compression_record r = {.mode = (uint64_t)policy->compress};

		if (channel_reply_room(reply) == 0) {
			channel_reply_next(reply, at, total);
			return 0;
		}
		if (at < policy->class_count) {
			show_name(r.class_name, policy->classes[at].name);
			compression_of(d, d->plan->class_id_of[at], &r);
		} else {
			for (uint32_t id = 0; id < d->plan->class_ids_given; id++)
				compression_of(d, id, &r);
		}
		channel_send_compression(reply, &r);
	}
	return 0;
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
	char *text = policy_print(policy);

	if (text == NULL) {
		channel_reply_error(reply, "no memory to print the policy");
		return -ENOMEM;
	}
	r.text_bytes = strlen(text);
	free(text);
	snprintf(r.file, sizeof(r.file), "%s", policy->file);
	channel_send_policy(reply, &r);
	return 0;
}

int show_policy_text(void *context, const struct page_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	char *text = policy_print(c->daemon->plan->policy);

	if (text == NULL) {
		channel_reply_error(reply, "no memory to print the policy");
		return -ENOMEM;
	}
	channel_reply_text(reply, text, strlen(text), request->from);
	free(text);
	return 0;
}
