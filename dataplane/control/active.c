/* SPDX-License-Identifier: BSD-3-Clause */
/* Sending, receiving and keeping the runs of active measurement: active.h. */
#include "dataplane/control/active.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>

#include <rte_random.h>

#include "controlplane/policy/address.h"
#include "dataplane/clock.h"
#include "dataplane/control/control.h"
#include "dataplane/control/speedtest.h"
#include "dataplane/control/stamp.h"
#include "dataplane/measure/stamp.h"

#define CLOCK_NS UINT64_C(1000000000)
/* Of our own timestamps: what passes between a frame on the wire and a worker that sleeps, or a
 * control thread that wakes each millisecond. */
#define TIMESTAMP_ERROR_NS UINT64_C(100000)
#define L2_MAX 18u

struct active *active_create(void)
{
	struct active *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->stamp = stamp_create();
	a->speedtest = speedtest_create();
	a->ip_id = (uint16_t)rte_rand();
	if (a->stamp == NULL || a->speedtest == NULL) {
		active_destroy(a);
		return NULL;
	}
	return a;
}

void active_destroy(struct active *a)
{
	if (a == NULL)
		return;
	for (unsigned i = 0; i < ACTIVE_RUNS; i++)
		active_run_stop(&a->runs[i]);
	stamp_destroy(a->stamp);
	speedtest_destroy(a->speedtest);
	free(a);
}

/* ---- time ---- */

static void take_clock(struct active *a, uint64_t now_ns)
{
	struct timex t = {0};
	int state = adjtimex(&t);
	bool synchronized = state >= 0 && state != TIME_ERROR && !(t.status & STA_UNSYNC);
	uint64_t error_ns = t.maxerror > 0 ? (uint64_t)t.maxerror * 1000 : 0;

	a->realtime_offset_ns = control_realtime_ns() - clock_now_ns();
	a->clock_error = stamp_error_estimate(synchronized, error_ns + TIMESTAMP_ERROR_NS);
	a->clock_ns = now_ns;
}

uint64_t active_ntp(const struct active *a, uint64_t ns)
{
	return stamp_ntp(ns + a->realtime_offset_ns);
}

/* ---- packets ---- */

static uint32_t put_ethernet(
	const struct inpath_config *config, const uint8_t dst[6], unsigned family, uint8_t *frame)
{
	uint16_t type = family == 4 ? 0x0800 : 0x86dd;
	uint32_t at = 12;

	memcpy(frame, dst, 6);
	memcpy(frame + 6, config->mac, 6);
	if (config->vlan != 0) {
		frame[at++] = 0x81;
		frame[at++] = 0;
		frame[at++] = (uint8_t)(config->vlan >> 8);
		frame[at++] = (uint8_t)config->vlan;
	}
	frame[at++] = (uint8_t)(type >> 8);
	frame[at++] = (uint8_t)type;
	return at;
}

int active_send(struct control *c, unsigned bridge, struct active_packet *p, uint64_t now_ns)
{
	struct inpath *inpath = &c->inpath[bridge];
	const struct policy_prefix *ours =
		p->dst.family == 4 ? &inpath->config.address4 : &inpath->config.address6;
	struct control_side context = {c->daemon, bridge};
	uint8_t frame[L2_MAX + ACTIVE_PACKET_MAX], mac[6];

	if (!c->has_inpath[bridge] || ours->address.family != p->dst.family)
		return -EHOSTUNREACH;
	if (!inpath_next_hop_mac(inpath, &p->dst, mac, now_ns))
		return -EAGAIN; /* inpath_tick() asks */
	p->src = ours->address;
	uint32_t l2 = put_ethernet(&inpath->config, mac, p->dst.family, frame);
	int len = active_packet_write(p, c->active->ip_id++, frame + l2, sizeof(frame) - l2);
	if (len < 0)
		return len;
	uint32_t frame_len = l2 + (uint32_t)len;
	if (frame_len < 60) {
		memset(frame + frame_len, 0, 60 - frame_len);
		frame_len = 60;
	}
	control_emit(&context, INPATH_WAN, frame, frame_len);
	return 0;
}

static void run_receive(struct control *c, struct active_run *run,
	const struct active_packet *packet, uint64_t arrived_ns)
{
	if (run->kind == ACTIVE_RUN_PING)
		active_ping_receive(c, run, packet, arrived_ns);
	else if (run->kind == ACTIVE_RUN_TRACE)
		trace_receive(c, run, packet, arrived_ns);
}

/* The run that a packet answers, or whose packet it quotes: by number first, then by address. */
static struct active_run *run_of(struct active *a, unsigned bridge, const struct active_packet *p)
{
	const struct policy_address *target =
		p->kind == ACTIVE_UDP || p->kind == ACTIVE_ECHO_REPLY ? &p->src : &p->quoted_dst;
	uint16_t port = p->kind == ACTIVE_UDP ? p->dport : p->sport;
	unsigned index = p->is_echo ? p->id % ACTIVE_RUNS : port - (unsigned)ACTIVE_RUN_PORT;

	if (index >= ACTIVE_RUNS)
		return NULL;
	struct active_run *run = &a->runs[index];
	if (run->kind == ACTIVE_RUN_NONE || run->bridge != bridge ||
		(p->is_echo && run->id != p->id) || memcmp(&run->dst, target, sizeof(*target)) != 0)
		return NULL;
	return run;
}

bool active_receive(struct control *c, const struct rte_mbuf *m, uint64_t now_ns)
{
	const struct pkt *meta = pkt_of(m);
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	struct inpath *inpath = &c->inpath[meta->bridge];
	struct active_packet p;

	if (!(meta->flags & PKT_IP) || !c->has_inpath[meta->bridge] ||
		(uint32_t)meta->l3_off + meta->l3_len > m->data_len)
		return false;
	/* As inpath_input(): not what passes here by mistake, and no answers to a group. */
	if (memcmp(frame, inpath->config.mac, 6) != 0 || (frame[6] & 1))
		return false;
	if (active_packet_read(frame + meta->l3_off, meta->l3_len, &p) != 0)
		return false;
	const struct policy_address *ours = p.dst.family == 4 ? &inpath->config.address4.address
							      : &inpath->config.address6.address;
	if (memcmp(ours, &p.dst, sizeof(*ours)) != 0)
		return false;
	if (stamp_receive(c, m, &p, now_ns))
		return true;
	struct active_run *run = run_of(c->active, meta->bridge, &p);
	if (run == NULL)
		return false;
	run_receive(c, run, &p, meta->rx_ns);
	/* That a packet was too long may be news to the peers' link, too. */
	return p.kind != ACTIVE_TOO_BIG;
}

void active_tick(struct control *c)
{
	struct active *a = c->active;
	/* Not before what the channel's handlers and the receiving have noted in this turn. */
	uint64_t now_ns = clock_now_ns();

	if (a->clock_ns == 0 || now_ns - a->clock_ns >= CLOCK_NS)
		take_clock(a, now_ns);
	stamp_tick(c, now_ns);
	speedtest_tick(c, now_ns);
	for (unsigned i = 0; i < ACTIVE_RUNS; i++) {
		struct active_run *run = &a->runs[i];

		if (run->kind == ACTIVE_RUN_NONE)
			continue;
		if (now_ns - run->polled_ns > ACTIVE_SILENCE_NS) {
			active_run_stop(run);
			continue;
		}
		if (run->kind == ACTIVE_RUN_PING)
			active_ping_tick(c, run, now_ns);
		else
			trace_tick(c, run, now_ns);
	}
}

/* ---- runs ---- */

void active_run_stop(struct active_run *run)
{
	free(run->state);
	*run = (struct active_run){0};
}

void active_closed(struct control *c, uint64_t client)
{
	speedtest_closed(c, client);
	for (unsigned i = 0; i < ACTIVE_RUNS; i++)
		if (c->active->runs[i].kind != ACTIVE_RUN_NONE &&
			c->active->runs[i].client == client)
			active_run_stop(&c->active->runs[i]);
}

struct active_run *active_run_start(
	struct control *c, enum active_run_kind kind, struct channel_reply *reply, uint64_t now_ns)
{
	uint64_t client = channel_reply_client(reply);
	struct active_run *free_run = NULL;

	for (unsigned i = 0; i < ACTIVE_RUNS; i++) {
		struct active_run *run = &c->active->runs[i];

		if (run->kind == kind && run->client == client)
			active_run_stop(run);
		if (run->kind == ACTIVE_RUN_NONE) {
			free_run = run;
			run->index = i;
		}
	}
	if (free_run == NULL) {
		channel_reply_error(
			reply, "%u pings and traces run already: try again later", ACTIVE_RUNS);
		return NULL;
	}
	unsigned index = free_run->index;
	*free_run = (struct active_run){.kind = kind,
		.client = client,
		.polled_ns = now_ns,
		.started_ns = now_ns,
		.next_ns = now_ns,
		.index = index,
		.peer = -1,
		.id = (uint16_t)((rte_rand() & ~(uint64_t)(ACTIVE_RUNS - 1)) | index)};
	return free_run;
}

struct active_run *active_run_find(
	struct control *c, enum active_run_kind kind, struct channel_reply *reply, uint64_t now_ns)
{
	for (unsigned i = 0; i < ACTIVE_RUNS; i++) {
		struct active_run *run = &c->active->runs[i];

		if (run->kind == kind && run->client == channel_reply_client(reply)) {
			run->polled_ns = now_ns;
			return run;
		}
	}
	channel_reply_error(reply, "nothing was started, or it was not asked for for %u seconds",
		(unsigned)(ACTIVE_SILENCE_NS / 1000000000));
	return NULL;
}

/* The bridge that leads to an address: whose network it is in, or else that has a gateway. */
static int find_bridge(const struct policy *policy, const struct policy_address *address)
{
	for (unsigned i = 0; i < policy->bridge_count; i++) {
		const struct policy_bridge *b = &policy->bridges[i];

		if (prefix_contains(address->family == 4 ? &b->address4 : &b->address6, address))
			return (int)i;
	}
	for (unsigned i = 0; i < policy->bridge_count; i++) {
		const struct policy_bridge *b = &policy->bridges[i];

		if ((address->family == 4 ? b->gateway4 : b->gateway6).family == address->family)
			return (int)i;
	}
	return -EHOSTUNREACH;
}

int active_find_target(
	struct control *c, struct active_run *run, const char *target, struct channel_reply *reply)
{
	const struct policy *policy = c->daemon->plan->policy;

	run->peer = policy_find_peer(policy, target);
	if (run->peer >= 0) {
		run->dst = policy->peers[run->peer].address;
		run->bridge = policy->peers[run->peer].bridge;
		return 0;
	}
	run->peer = -1;
	if (address_read(target, &run->dst) != 0) {
		channel_reply_error(reply,
			"\"%.60s\" is neither a peer's name (see show peers) nor an IP address",
			target);
		return -EINVAL;
	}
	int bridge = find_bridge(policy, &run->dst);
	if (bridge < 0) {
		channel_reply_error(reply,
			"no bridge leads to %.60s: it is in the network of no in-path address, and "
			"no bridge has a gateway for IPv%u",
			target, run->dst.family);
		return bridge;
	}
	run->bridge = (unsigned)bridge;
	/* A peer by its address is a peer. */
	for (unsigned i = 0; i < policy->peer_count; i++)
		if (policy->peers[i].bridge == run->bridge &&
			address_equal(&policy->peers[i].address, &run->dst))
			run->peer = (int)i;
	return 0;
}

void active_say_error(struct active_run *run, int rc)
{
	const char *why = rc == -EAGAIN ? "the next hop does not answer ARP or neighbour discovery"
			  : rc == -EMSGSIZE ? "the packets are too long"
					    : "there is no in-path address or route for it";

	snprintf(run->trouble, sizeof(run->trouble), "%s", why);
}

void active_say_icmp(struct active_run *run, const struct active_packet *p)
{
	char text[ADDRESS_TEXT_MAX];

	address_text(&p->src, text);
	if (p->kind == ACTIVE_TOO_BIG)
		snprintf(run->trouble, sizeof(run->trouble),
			"%s says that packets of %u bytes are too long, %u bytes fit", text,
			run->size, p->mtu);
	else if (p->kind == ACTIVE_UNREACHABLE)
		snprintf(
			run->trouble, sizeof(run->trouble), "%s says that it is unreachable", text);
	else
		snprintf(run->trouble, sizeof(run->trouble),
			"%s says that the packets are on the way for too long", text);
}
