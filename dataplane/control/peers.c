/* SPDX-License-Identifier: BSD-3-Clause */
/* Sessions with the peers: hellos out and in, and the paths that follow from them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_random.h>

#include "dataplane/clock.h"
#include "dataplane/control/control.h"
#include "dataplane/control/peers.h"
#include "dataplane/control/publish.h"
#include "dataplane/control/speedtest.h"
#include "dataplane/control/speedtest_message.h"
#include "dataplane/control/track.h"
#include "dataplane/link/probe.h"
#include "dataplane/worker_store.h"

#define CONTROL_DSCP 48 /* CS6: network control (RFC 4594) */
#define TCP_IP_HEADER(ipv6) ((ipv6) ? 60u : 40u)
/* How long a lowered path MTU holds (RFC 1191, 6.3; RFC 8201, 4), and how low it may get. */
#define ICMP_MTU_NS UINT64_C(600000000000)
#define ICMP_MTU_MIN_IPV4 576
#define ICMP_MTU_MIN_IPV6 1280

struct peers *peers_create(struct control *c, char *error, size_t error_len)
{
	const struct policy *policy = c->daemon->plan->policy;
	struct peers *peers = calloc(1, sizeof(*peers));

	if (peers == NULL) {
		snprintf(error, error_len, "no memory for the peers");
		return NULL;
	}
	peers->count = policy->peer_count;
	for (unsigned i = 0; i < peers->count; i++) {
		const struct policy_peer *p = &policy->peers[i];
		struct link_session_config config = {.key = p->key,
			.key_len = p->key_len,
			.boot_id = rte_rand() | 1,
			.path_mtu = p->path_mtu,
			.workers = (uint8_t)c->daemon->worker_count,
			.routed = p->path == PATH_ROUTED,
			.transparent = p->framing == FRAMING_TRANSPARENT,
			.cipher = (uint8_t)p->encryption,
			.store_slots = worker_store_slots(policy, i),
			.dictionaries = c->daemon->dictionaries};
		int rc = link_session_init(&peers->peer[i].session, &config, clock_now_ns());
		if (rc == -ENOTSUP) {
			snprintf(error, error_len,
				"peer %s: encryption = \"%s\" needs AES instructions, which this "
				"CPU "
				"does not have; take \"%s\" at both ends",
				p->name, link_cipher_name((uint8_t)p->encryption),
				link_cipher_name(LINK_CIPHER_CHACHA20_POLY1305));
			peers_destroy(peers);
			return NULL;
		}
		if (rc != 0) {
			snprintf(error, error_len, "peer %s: the session cannot start: %s", p->name,
				strerror(-rc));
			peers_destroy(peers);
			return NULL;
		}
		peers->peer[i].since_realtime_ns = control_realtime_ns();
	}
	return peers;
}

void peers_destroy(struct peers *peers)
{
	if (peers != NULL)
		explicit_bzero(peers, sizeof(*peers)); /* session keys */
	free(peers);
}

/* ---- what the workers must know ---- */

/* The largest segment whose frame, even uncompressed, fits into one link packet. A transparent
 * frame is always smaller than its packet. */
static uint16_t clamp_of(const struct plan *plan, const struct policy_peer *p,
	const struct link_path *path, bool ipv6)
{
	uint32_t inner_l2 = path->routed ? 0 : link_l2_bytes(path);
	uint32_t taken = (path->family == 4 ? LINK_OVERHEAD_IPV4 : LINK_OVERHEAD_IPV6) + inner_l2 +
			 link_trailer_bytes(path) + TCP_IP_HEADER(ipv6);

	/* With encryption there is no way beside the link for what does not fit, nor has the store
	 * what goes there. */
	bool clamp = (p->mss_clamp || path->cipher != LINK_CIPHER_NONE ||
			     (plan->store_all && p->store_mb > 0)) &&
		     !path->transparent;

	return clamp && path->path_mtu > taken ? (uint16_t)(path->path_mtu - taken) : 0;
}

static void fill_links(struct control *c, struct links *links, uint64_t now_ns)
{
	const struct policy *policy = c->daemon->plan->policy;

	memset(links, 0, sizeof(*links)); /* compared as bytes, padding included */
	links->count = c->peers->count;
	for (unsigned i = 0; i < links->count; i++) {
		const struct policy_peer *p = &policy->peers[i];
		const struct policy_bridge *b = &policy->bridges[p->bridge];
		struct link_path *path = &links->path[i];
		const struct policy_prefix *our =
			p->address.family == 4 ? &b->address4 : &b->address6;

		link_session_fill_path(&c->peers->peer[i].session, path);
		if (now_ns < c->peers->peer[i].icmp_mtu_until_ns)
			path->path_mtu = RTE_MIN(path->path_mtu, c->peers->peer[i].icmp_mtu);
		if (now_ns < c->peers->peer[i].framing.tunnel_until_ns)
			path->transparent = false;
		path->port = p->port;
		path->vlan = b->vlan;
		path->family = p->address.family;
		path->routed = p->path == PATH_ROUTED;
		path->plain_drops =
			p->encryption != ENCRYPTION_NONE && p->unencrypted == UNENCRYPTED_DROP;
		memcpy(path->our_mac, c->daemon->ports[port_wan(p->bridge)].mac.addr_bytes, 6);
		memcpy(path->our_address, our->address.bytes, 16);
		memcpy(path->peer_address, p->address.bytes, 16);
		if (!inpath_next_hop_mac(
			    &c->inpath[p->bridge], &p->address, path->next_hop_mac, now_ns))
			path->alive = false;
		links->clamp_mss[i][0] = clamp_of(c->daemon->plan, p, path, false);
		links->clamp_mss[i][1] = clamp_of(c->daemon->plan, p, path, true);
	}
}

static void publish_if_changed(struct control *c, uint64_t now_ns)
{
	struct links now;

	fill_links(c, &now, now_ns);
	if (memcmp(&now, c->daemon->links, sizeof(now)) != 0) {
		/* Without memory the next tick tries again. */
		struct links *links = aligned_alloc(_Alignof(struct links), sizeof(*links));

		if (links != NULL) {
			memcpy(links, &now, sizeof(now));
			publish_links(c->daemon, links);
		}
	}
	explicit_bzero(&now, sizeof(now)); /* session keys */
}

/* ---- what the peers must know ---- */

void peers_received(
	struct control *c, unsigned peer, uint64_t now_ns, struct link_seq_counts *counts)
{
	struct daemon *d = c->daemon;

	memset(counts, 0, sizeof(*counts));
	for (unsigned lane = 0; lane < LINK_LANES; lane++) {
		const struct worker *w = d->workers[lane % LINK_WORKERS_MAX % d->worker_count];
		struct link_seq_counts of_lane;
		link_seq_read(&w->peers[peer].rx[lane], &c->peers->peer[peer].tail[lane], now_ns,
			&of_lane);
		link_seq_counts_add(counts, &of_lane);
	}
}

void peers_path(struct control *c, unsigned peer, uint64_t now_ns, struct peers_path *path)
{
	struct daemon *d = c->daemon;
	const struct link_session *s = &c->peers->peer[peer].session;
	bool has_transit = false;
	uint32_t least = 0;
	int64_t offset_ns;

	memset(path, 0, sizeof(*path));
	for (unsigned lane = 0; lane < LINK_LANES; lane++) {
		const struct worker *w = d->workers[lane % LINK_WORKERS_MAX % d->worker_count];
		const struct link_seq *seq = &w->peers[peer].rx[lane];
		uint32_t transit;
		if (__atomic_load_n(&seq->session_id, __ATOMIC_ACQUIRE) == 0)
			continue; /* nothing ever came in it */
		link_seq_add_losses(seq, &path->losses);
		link_seq_add_reordering(seq, &path->reordering);
		if (__atomic_load_n(&seq->session_id, __ATOMIC_ACQUIRE) != s->session_id ||
			!link_seq_least_transit(seq, now_ns, &transit))
			continue;
		if (!has_transit || (int32_t)(transit - least) < 0)
			least = transit;
		has_transit = true;
	}
	/* Transit times are our clock less the peer's, the offset is the peer's less ours. Modulo
	 * 2^32 units, which is more than any delay. */
	if (has_transit && s->alive &&
		link_offset_get(&s->offset, now_ns, &offset_ns, &path->uncertainty_ns)) {
		path->has_delay = true;
		path->delay_ns = (int64_t)(int32_t)(least + (uint32_t)(offset_ns >> 10)) * 1024;
	}
}

/*
 * A router could not carry a link frame to a peer. Believe it, for ten minutes: if it is a forgery,
 * the frames that do not fit any more go beside the tunnel, and that is all.
 */
static void take_too_big(struct control *c, unsigned i, uint64_t now_ns)
{
	const struct policy_peer *p = &c->daemon->plan->policy->peers[i];
	struct inpath_too_big *t = &c->inpath[p->bridge].too_big;
	struct peer *peer = &c->peers->peer[i];
	uint16_t mtu = t->mtu, path_mtu = c->daemon->links->path[i].path_mtu;

	if (t->dst.family == 0 || t->dst.family != p->address.family ||
		memcmp(t->dst.bytes, p->address.bytes, 16) != 0)
		return;
	t->dst.family = 0;
	/* Only data frames can be too long, and none that we sent was longer than the path MTU was
	 * then. RFC 8201, 4: less than the smallest MTU of IPv6 is not to be believed. */
	if (t->dport != p->port || t->sport < LINK_SOURCE_PORT || t->len > p->path_mtu ||
		(p->address.family == 6 && mtu < ICMP_MTU_MIN_IPV6))
		return;
	mtu = RTE_MAX(mtu, (uint16_t)ICMP_MTU_MIN_IPV4);
	if (mtu >= path_mtu) /* of a frame sent before the path MTU was lowered */
		return;
	peer->icmp_mtu = mtu;
	peer->icmp_mtu_until_ns = now_ns + ICMP_MTU_NS;
	printf("peer %s: path MTU %u for ten minutes, as a router on the way says; was %u\n",
		p->name, mtu, path_mtu);
}

/* What we sent by class in one of the last two intervals that are over, and one slot's name. */
static void report_classes(
	struct control *c, unsigned i, uint64_t now_ns, struct link_hello_classes *classes)
{
	const struct plan *plan = c->daemon->plan;
	struct peer *peer = &c->peers->peer[i];
	uint32_t interval = link_interval_of(now_ns) - 1 - peer->named % 2;
	int32_t index;

	memset(classes, 0, sizeof(*classes));
	peer->named = (uint8_t)((peer->named + 1) % LINK_CLASS_SLOTS);
	classes->interval = interval & LINK_INTERVAL_MASK;
	classes->slot = peer->named;
	if (classes->slot > 0 && classes->slot - 1u < plan->classes_max) {
		index = plan->class_index_of[classes->slot - 1];
		if (index >= 0)
			snprintf(classes->name, sizeof(classes->name), "%s",
				plan->policy->classes[index].name);
	}
	for (unsigned w = 0; w < c->daemon->worker_count; w++)
		for (unsigned to = 0; to < LINK_WORKERS_MAX; to++)
			link_class_add_sent(&c->daemon->workers[w]->peers[i].tx[to].classes,
				peer->session.session_id, interval, classes->sent);
}

/* What a hello says of the peer's frames, and of ours. */
static void take_report(struct control *c, unsigned i, uint64_t now_ns)
{
	struct peer *peer = &c->peers->peer[i];
	const struct link_session *s = &peer->session;
	const struct link_hello_classes *classes = &s->peer.classes;

	for (unsigned a = 0; a < s->peer.announced; a++)
		link_tail_announce(&peer->tail[s->peer.announce[a].lane], s->session_id,
			s->peer.announce[a].next, now_ns);
	link_class_announce(&peer->loss, s->session_id, classes->interval, classes->sent, now_ns);
	memcpy(peer->loss.name[classes->slot], classes->name, sizeof(classes->name));
	if (framing_watch(&peer->framing, s->session_id, c->daemon->links->path[i].transparent,
		    &s->peer.received, now_ns))
		printf("peer %s: transparent frames do not get through: tunnel for ten minutes\n",
			c->daemon->plan->policy->peers[i].name);
}

static void settle_classes(struct control *c, unsigned i, uint64_t now_ns)
{
	const struct link_class_rx *rx[POLICY_WORKERS_MAX];

	for (unsigned w = 0; w < c->daemon->worker_count; w++)
		rx[w] = &c->daemon->workers[w]->peers[i].classes;
	link_class_settle(&c->peers->peer[i].loss, rx, c->daemon->worker_count, now_ns);
}

static void report(struct control *c, unsigned i, uint64_t now_ns)
{
	struct link_hello_classes classes;
	struct daemon *d = c->daemon;
	struct link_session *s = &c->peers->peer[i].session;
	uint32_t next[LINK_LANES] = {0};
	struct link_seq_counts received;

	for (unsigned w = 0; w < d->worker_count; w++)
		for (unsigned to = 0; to < LINK_WORKERS_MAX; to++)
			next[w * LINK_WORKERS_MAX + to] =
				link_tx_next(&d->workers[w]->peers[i].tx[to], s->session_id);
	peers_received(c, i, now_ns, &received);
	report_classes(c, i, now_ns, &classes);
	link_session_report(s, next, &received, &classes);
	settle_classes(c, i, now_ns);
}

static void say_changes(struct control *c, unsigned i)
{
	struct peer *p = &c->peers->peer[i];
	const char *name = c->daemon->plan->policy->peers[i].name;

	if (p->session.state == p->shown)
		return;
	p->shown = p->session.state;
	p->since_realtime_ns = control_realtime_ns();
	if (p->shown == LINK_SESSION_UP)
		printf("peer %s: up\n", name);
	else if (p->shown == LINK_SESSION_DOWN || p->shown == LINK_SESSION_REFUSED)
		printf("peer %s: %s%s%s\n", name,
			p->shown == LINK_SESSION_DOWN ? "down" : "refused",
			*p->session.error ? ": " : "", p->session.error);
}

void peers_tick(struct control *c, uint64_t now_ns)
{
	const struct policy *policy = c->daemon->plan->policy;
	uint8_t message[LINK_MESSAGE_MAX], frame[LINK_MESSAGE_MAX + LINK_HEADERS_MAX];

	for (unsigned i = 0; i < c->peers->count; i++)
		take_too_big(c, i, now_ns);
	/* The workers hear of new keys before the peer does: it may use them at once. */
	publish_if_changed(c, now_ns);
	for (unsigned i = 0; i < c->peers->count; i++) {
		const struct policy_peer *p = &policy->peers[i];
		struct link_session *s = &c->peers->peer[i].session;
		struct control_side context = {c->daemon, p->bridge};
		uint8_t mac[6];
		int len;

		if (link_session_next_ns(s) > now_ns)
			continue;
		/* The hello waits for the next hop, and not for its turn after that: whoever has
		 * just started is to be heard at once. */
		if (!inpath_next_hop_mac(&c->inpath[p->bridge], &p->address, mac, now_ns)) {
			inpath_tick(&c->inpath[p->bridge], now_ns, control_emit, &context);
			link_session_tick(s, now_ns, message, 0);
			say_changes(c, i);
			continue;
		}
		report(c, i, now_ns);
		while ((len = link_session_tick(s, now_ns, message, sizeof(message))) > 0) {
			len = inpath_build_udp(&c->inpath[p->bridge], &p->address,
				LINK_CONTROL_SOURCE_PORT, p->port, CONTROL_DSCP, message,
				(uint32_t)len, frame, sizeof(frame), now_ns, control_emit,
				&context);
			if (len > 0) {
				c->peers->peer[i].tx_hello_bytes += (uint32_t)len;
				control_emit(&context, INPATH_WAN, frame, (uint32_t)len);
			}
		}
		say_changes(c, i);
	}
	publish_if_changed(c, now_ns);
}

void peers_receive(struct control *c, const struct rte_mbuf *m, uint64_t now_ns)
{
	const struct pkt *p = pkt_of(m);
	const struct policy *policy = c->daemon->plan->policy;

	for (unsigned i = 0; i < c->peers->count; i++) {
		struct peer *peer = &c->peers->peer[i];
		struct link_session *s = &peer->session;
		const uint8_t *message = rte_pktmbuf_mtod_offset(m, uint8_t *, p->payload_off);

		if (policy->peers[i].bridge != p->bridge || p->way != WAY_DOWN ||
			memcmp(policy->peers[i].address.bytes, p->key.addr[p->dir], 16) != 0)
			continue;
		if (link_is_probe(message, p->payload_len)) {
			track_receive(c, i, message, p->payload_len, p->rx_ns);
			return;
		}
		if (speed_is_message(message, p->payload_len)) {
			speedtest_receive(c, i, message, p->payload_len, p->l3_len, p->rx_ns);
			return;
		}
		peer->rx_hello_bytes += m->pkt_len;
		/* With the time of arrival: it waited for this thread, not on the path. */
		if (link_session_receive(s, message, p->payload_len, p->rx_ns) == 0)
			take_report(c, i, now_ns);
		say_changes(c, i);
		publish_if_changed(c, now_ns);
		return;
	}
}
