/* SPDX-License-Identifier: BSD-3-Clause */
/* STAMP sessions with the peers, and the reflector: stamp.h. */
#include "dataplane/control/stamp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_random.h>

#include "controlplane/policy/address.h"
#include "dataplane/clock.h"
#include "dataplane/control/active.h"
#include "dataplane/control/control.h"
#include "dataplane/control/show.h"
#include "dataplane/measure/record.h"

#define REFLECTED_SESSIONS 64
#define SECOND UINT64_C(1000000000)
#define RESTART_BACK 64		      /* a sender whose numbers go back so far has begun anew */
#define LATE_NS (100 * SECOND / 1000) /* a sender that is so late does not catch up */

/* A session with a peer, as its sender. */
struct sender {
	struct stamp_session *session; /* NULL: none */
	struct policy_peer
		peer; /* what it was started with; only STAMP's options and the address */
	uint16_t ssid;
	uint64_t next_ns;
};

/* A session at the reflector: RFC 8972, 3 names it by SSID and the addresses and ports. */
struct reflected {
	uint64_t heard_ns; /* 0: free */
	struct policy_address address;
	uint16_t port, ssid;
	uint8_t bridge;
	uint32_t last_seq;
	uint32_t received, sent;
};

struct reflector_counters {
	uint64_t answered, refused, bad, limited;
};

struct stamp {
	uint32_t generation; /* of the policy that the senders follow */
	struct sender sender[POLICY_PEERS_MAX];
	struct reflected reflected[REFLECTED_SESSIONS];
	struct reflector_counters counters[POLICY_BRIDGES_MAX];
	uint64_t rate_tat_ns[POLICY_BRIDGES_MAX]; /* virtual time of stamp_rate's bucket */
	struct stamp_window minute;		  /* of show: large for a stack */
};

struct stamp *stamp_create(void)
{
	return calloc(1, sizeof(struct stamp));
}

void stamp_destroy(struct stamp *s)
{
	if (s == NULL)
		return;
	for (unsigned i = 0; i < POLICY_PEERS_MAX; i++)
		free(s->sender[i].session);
	explicit_bzero(s, sizeof(*s)); /* keys */
	free(s);
}

struct stamp_key stamp_key_of(const struct policy_peer *peer)
{
	if (peer == NULL)
		return (struct stamp_key){0};
	return (struct stamp_key){.bytes = peer->stamp_key, .len = peer->stamp_key_len};
}

static const struct policy_peer *find_peer(
	const struct policy *policy, unsigned bridge, const struct policy_address *address)
{
	for (unsigned i = 0; i < policy->peer_count; i++)
		if (policy->peers[i].bridge == bridge &&
			address_equal(&policy->peers[i].address, address))
			return &policy->peers[i];
	return NULL;
}

/* ---- sender ---- */

/* Is it the session that it was, or do its figures begin anew? */
static bool is_same_session(const struct policy_peer *a, const struct policy_peer *b)
{
	return a->stamp_dscp == b->stamp_dscp && a->stamp_size == b->stamp_size &&
	       a->stamp_port == b->stamp_port && a->stamp_key_len == b->stamp_key_len &&
	       memcmp(a->stamp_key, b->stamp_key, a->stamp_key_len) == 0 &&
	       address_equal(&a->address, &b->address);
}

static void follow_policy(struct control *c, uint64_t now_ns)
{
	const struct policy *policy = c->daemon->plan->policy;
	struct stamp *s = c->active->stamp;

	for (unsigned i = 0; i < POLICY_PEERS_MAX; i++) {
		const struct policy_peer *peer = i < policy->peer_count ? &policy->peers[i] : NULL;
		struct sender *sender = &s->sender[i];

		if (peer == NULL || peer->stamp_interval_ns == 0 ||
			(sender->session != NULL && !is_same_session(&sender->peer, peer))) {
			free(sender->session);
			sender->session = NULL;
		}
		if (peer == NULL || peer->stamp_interval_ns == 0)
			continue;
		sender->peer = *peer;
		if (sender->session != NULL)
			continue;
		sender->session = malloc(sizeof(*sender->session));
		if (sender->session == NULL)
			continue; /* the next policy tries again */
		stamp_session_init(sender->session, now_ns);
		sender->ssid = (uint16_t)(rte_rand() % UINT16_MAX + 1);
		sender->next_ns = now_ns;
	}
	s->generation = c->generation;
}

int stamp_send(struct control *c, unsigned bridge, const struct policy_address *dst, uint16_t sport,
	uint16_t dport, const struct stamp_key *key, struct stamp_probe *probe, uint16_t *bytes,
	uint64_t now_ns)
{
	uint32_t headers = ACTIVE_IP_BYTES(dst->family) + ACTIVE_L4_BYTES;
	uint8_t payload[ACTIVE_PACKET_MAX];
	struct active_packet packet = {.dst = *dst,
		.kind = ACTIVE_UDP,
		.ttl = 255,
		.dscp = probe->dscp,
		.sport = sport,
		.dport = dport,
		.payload = payload};

	probe->error = c->active->clock_error;
	probe->sent = active_ntp(c->active, now_ns);
	probe->size = probe->size > headers ? (uint16_t)(probe->size - headers) : 0;
	int len = stamp_write_probe(probe, key, payload, sizeof(payload));
	if (len < 0)
		return -EMSGSIZE;
	packet.payload_len = (uint32_t)len;
	if (bytes != NULL)
		*bytes = (uint16_t)(headers + packet.payload_len);
	return active_send(c, bridge, &packet, now_ns);
}

static void send_due(struct control *c, unsigned i, uint64_t now_ns)
{
	struct sender *sender = &c->active->stamp->sender[i];
	const struct policy_peer *peer = &sender->peer;
	struct stamp_key key = stamp_key_of(peer);
	uint8_t mac[6];

	if (now_ns < sender->next_ns)
		return;
	if (now_ns - sender->next_ns > LATE_NS)
		sender->next_ns = now_ns;
	sender->next_ns += peer->stamp_interval_ns;
	/* What cannot be sent for want of a neighbour is not lost on the path. */
	if (!c->has_inpath[peer->bridge] ||
		!inpath_next_hop_mac(&c->inpath[peer->bridge], &peer->address, mac, now_ns))
		return;
	uint64_t sent_ns = clock_now_ns();
	struct stamp_probe probe = {
		.ssid = sender->ssid, .dscp = peer->stamp_dscp, .size = peer->stamp_size};
	probe.seq = stamp_session_send(sender->session, sent_ns, active_ntp(c->active, sent_ns));
	probe.sent_count = probe.seq + 1;
	stamp_send(c, peer->bridge, &peer->address, (uint16_t)(ACTIVE_STAMP_PORT + i),
		peer->stamp_port, &key, &probe, NULL, sent_ns);
}

void stamp_tick(struct control *c, uint64_t now_ns)
{
	struct stamp *s = c->active->stamp;

	if (s->generation != c->generation)
		follow_policy(c, now_ns);
	for (unsigned i = 0; i < POLICY_PEERS_MAX; i++) {
		if (s->sender[i].session == NULL)
			continue;
		stamp_session_tick(s->sender[i].session, now_ns);
		send_due(c, i, now_ns);
	}
}

static bool receive_answer(
	struct control *c, const struct rte_mbuf *m, const struct active_packet *p)
{
	unsigned i = (unsigned)p->dport - ACTIVE_STAMP_PORT;
	uint64_t arrived_ns = pkt_of(m)->rx_ns;
	struct stamp_answer answer;

	if (p->dport < ACTIVE_STAMP_PORT || i >= POLICY_PEERS_MAX)
		return false;
	struct sender *sender = &c->active->stamp->sender[i];
	struct stamp_key key = stamp_key_of(&sender->peer);
	if (sender->session == NULL || sender->peer.bridge != pkt_of(m)->bridge ||
		p->sport != sender->peer.stamp_port ||
		!address_equal(&p->src, &sender->peer.address))
		return false;
	/* A reflector of RFC 8762 alone may not know the SSID, and send 0. */
	if (stamp_read_answer(p->payload, p->payload_len, &key, &answer) == 0 &&
		(answer.ssid == sender->ssid || answer.ssid == 0))
		stamp_session_receive(sender->session, &answer, p->ttl, arrived_ns,
			active_ntp(c->active, arrived_ns));
	return true;
}

/* ---- reflector ---- */

static bool rate_allows(struct stamp *s, unsigned bridge, uint16_t rate, uint64_t now_ns)
{
	uint64_t *tat_ns = &s->rate_tat_ns[bridge];

	if (*tat_ns < now_ns)
		*tat_ns = now_ns;
	if (*tat_ns - now_ns > SECOND / 2)
		return false;
	*tat_ns += SECOND / rate;
	return true;
}

/* The session that a request belongs to; a new one takes the place of the one silent longest. */
static struct reflected *find_session(struct stamp *s, unsigned bridge,
	const struct active_packet *p, const struct stamp_request *request, uint64_t now_ns)
{
	struct reflected *oldest = &s->reflected[0];

	for (unsigned i = 0; i < REFLECTED_SESSIONS; i++) {
		struct reflected *r = &s->reflected[i];

		if (r->heard_ns < oldest->heard_ns)
			oldest = r;
		if (r->heard_ns == 0 || r->bridge != bridge || r->port != p->sport ||
			r->ssid != request->ssid || !address_equal(&r->address, &p->src))
			continue;
		if ((int32_t)(request->seq - r->last_seq) < -RESTART_BACK)
			r->received = r->sent = 0;
		r->heard_ns = now_ns;
		return r;
	}
	*oldest = (struct reflected){.heard_ns = now_ns,
		.address = p->src,
		.port = p->sport,
		.ssid = request->ssid,
		.bridge = (uint8_t)bridge};
	return oldest;
}

/* The answer goes out where the request came in, to the MAC that it came from: it needs no route.
 */
static void send_answer(struct control *c, const struct rte_mbuf *m, const struct active_packet *p,
	const uint8_t *payload, uint8_t dscp)
{
	const struct pkt *meta = pkt_of(m);
	const uint8_t *request = rte_pktmbuf_mtod(m, const uint8_t *);
	struct control_side context = {c->daemon, meta->bridge};
	uint8_t frame[INPATH_FRAME_MAX];
	const struct active_packet packet = {.src = p->dst,
		.dst = p->src,
		.ttl = 255,
		.dscp = dscp,
		.sport = p->dport,
		.dport = p->sport,
		.payload = payload,
		.payload_len = p->payload_len};
	int len = active_packet_write(&packet, c->active->ip_id++, frame + meta->l3_off,
		(uint32_t)sizeof(frame) - meta->l3_off);

	if (len < 0)
		return;
	memcpy(frame, request, meta->l3_off); /* with its VLAN tag */
	memcpy(frame, request + 6, 6);
	memcpy(frame + 6, c->inpath[meta->bridge].config.mac, 6);
	control_emit(&context, meta->way == WAY_UP ? INPATH_LAN : INPATH_WAN, frame,
		meta->l3_off + (uint32_t)len);
}

static void reflect(struct control *c, const struct rte_mbuf *m, const struct active_packet *p,
	const struct policy_peer *peer, uint64_t now_ns)
{
	const struct pkt *meta = pkt_of(m);
	const struct policy_bridge *b = &c->daemon->plan->policy->bridges[meta->bridge];
	struct stamp *s = c->active->stamp;
	struct reflector_counters *counters = &s->counters[meta->bridge];
	struct stamp_key key = stamp_key_of(peer);
	struct stamp_request request;
	uint8_t answer[ACTIVE_PACKET_MAX], dscp;

	if (p->payload_len > sizeof(answer) ||
		stamp_read_request(p->payload, p->payload_len, &key, &request) != 0) {
		counters->bad++;
		return;
	}
	if (!rate_allows(s, meta->bridge, b->stamp_rate, now_ns)) {
		counters->limited++;
		return;
	}
	struct stamp_reflection r = {.seq = request.seq,
		.error = c->active->clock_error,
		.ttl = p->ttl,
		.dscp = p->dscp,
		.ecn = p->ecn};
	if (b->stamp_stateful) {
		struct reflected *session = find_session(s, meta->bridge, p, &request, now_ns);

		session->last_seq = request.seq;
		r.seq = session->sent;
		r.has_counts = true;
		r.received_count = ++session->received;
		r.sent_count = ++session->sent;
	}
	r.received = active_ntp(c->active, meta->rx_ns);
	r.sent = active_ntp(c->active, clock_now_ns());
	stamp_write_answer(p->payload, p->payload_len, &key, &r, answer, &dscp);
	send_answer(c, m, p, answer, dscp);
	counters->answered++;
}

bool stamp_receive(
	struct control *c, const struct rte_mbuf *m, const struct active_packet *p, uint64_t now_ns)
{
	const struct policy *policy = c->daemon->plan->policy;
	unsigned bridge = pkt_of(m)->bridge;
	const struct policy_bridge *b = &policy->bridges[bridge];

	if (p->kind != ACTIVE_UDP)
		return false;
	if (receive_answer(c, m, p))
		return true;
	if (b->stamp_reflector == REFLECTOR_OFF || p->dport != b->stamp_port)
		return false;
	const struct policy_peer *peer = find_peer(policy, bridge, &p->src);
	/* Two reflectors must not play ball: a request from a reflector's port is none. */
	bool is_answer = p->sport == b->stamp_port || p->sport == STAMP_PORT ||
			 (peer != NULL && p->sport == peer->stamp_port);
	if (is_answer || (peer == NULL && b->stamp_reflector != REFLECTOR_ANY) ||
		address_not_host(&p->src) != NULL || address_equal(&p->src, &p->dst)) {
		c->active->stamp->counters[bridge].refused++;
		return true;
	}
	reflect(c, m, p, peer, now_ns);
	return true;
}

/* ---- show ---- */

struct stamp_figures stamp_figures_of(const struct stamp_window *w)
{
	return (struct stamp_figures){.sent = w->sent,
		.received = w->received,
		.lost = w->lost,
		.late = w->late,
		.duplicate = w->duplicate,
		.reordered = w->reordered,
		.lost_up = w->lost_up,
		.lost_down = w->lost_down,
		.rtt = measure_dist(&w->rtt),
		.up_variation = measure_dist(&w->up_variation),
		.down_variation = measure_dist(&w->down_variation)};
}

static void show_sender(struct control *c, unsigned i, struct stamp_record *r)
{
	struct stamp *s = c->active->stamp;
	const struct sender *sender = &s->sender[i];
	const struct stamp_session *session = sender->session;
	const struct policy_peer *peer = &sender->peer;

	stamp_session_minute(session, &s->minute);
	*r = (struct stamp_record){.family = peer->address.family,
		.port = peer->stamp_port,
		.authenticated = peer->stamp_key_len > 0,
		.interval_ns = peer->stamp_interval_ns,
		.dscp = peer->stamp_dscp,
		.ssid = sender->ssid,
		.attributed = session->is_attributed,
		.minute = stamp_figures_of(&s->minute),
		.total = stamp_figures_of(&session->total),
		.ttl_up = session->ttl_up,
		.ttl_down = session->ttl_down,
		.synchronized = session->is_synchronized,
		.delay_up_ns = session->delay_up_ns,
		.delay_down_ns = session->delay_down_ns,
		.clock_error_ns = session->clock_error_ns,
		.has_dscp_received = session->has_cos,
		.dscp_received = session->dscp_received};
	show_name(r->peer, peer->name);
	show_name(r->bridge, c->daemon->plan->policy->bridges[peer->bridge].name);
	memcpy(r->address, peer->address.bytes, sizeof(r->address));
}

static void show_reflector(struct control *c, unsigned bridge, struct stamp_record *r)
{
	const struct policy_bridge *b = &c->daemon->plan->policy->bridges[bridge];
	const struct stamp *s = c->active->stamp;
	const struct reflector_counters *counters = &s->counters[bridge];

	*r = (struct stamp_record){.port = b->stamp_port,
		.reflector = b->stamp_reflector,
		.answered = counters->answered,
		.refused = counters->refused,
		.bad = counters->bad,
		.limited = counters->limited};
	for (unsigned i = 0; i < REFLECTED_SESSIONS; i++)
		r->sessions += s->reflected[i].heard_ns != 0 && s->reflected[i].bridge == bridge;
	show_name(r->bridge, b->name);
}

int stamp_show(void *context, const struct page_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	const struct policy *policy = c->daemon->plan->policy;
	uint64_t total = POLICY_PEERS_MAX + policy->bridge_count;
	struct stamp_record r;

	for (uint64_t at = request->from; at < total; at++) {
		bool is_sender = at < POLICY_PEERS_MAX;
		unsigned bridge = (unsigned)(at - POLICY_PEERS_MAX);

		if (is_sender ? c->active->stamp->sender[at].session == NULL
			      : !c->has_inpath[bridge] ||
					policy->bridges[bridge].stamp_reflector == REFLECTOR_OFF)
			continue;
		if (channel_reply_room(reply) == 0) {
			channel_reply_next(reply, at, 0);
			return 0;
		}
		if (is_sender)
			show_sender(c, (unsigned)at, &r);
		else
			show_reflector(c, bridge, &r);
		channel_send_stamp(reply, &r);
	}
	return 0;
}
