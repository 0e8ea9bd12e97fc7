/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The store of repeated data in the worker (worker_store.h): which packets may serve each other,
 * what the peer can keep, and the way of the acknowledgements.
 */
#include "dataplane/worker_store.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <rte_random.h>

#include "dataplane/compress/epoch.h"
#include "dataplane/link/ack.h"
#include "dataplane/worker_epoch.h"
#include "dataplane/worker_stages.h"

static_assert(STORE_ACK_EVERY == 64, "a word of an acknowledgement");
static_assert(STORE_ACK_WORDS <= LINK_ACK_WORDS_MAX && STORE_REFUSALS <= LINK_ACK_REFUSED_MAX,
	"what is said fits");

/* ---- memory ---- */

/* The longest inner frame: two tags in front of the largest IP packet. */
static uint32_t slot_bytes(const struct policy *policy)
{
	return store_slot_bytes(policy->appliance.mtu + LINK_L2_VLAN_BYTES + 4u);
}

/* Of one way of one worker: all are alike. */
static uint64_t way_bytes(const struct policy *policy, unsigned i)
{
	return ((uint64_t)policy->peers[i].store_mb << 20) / 2 / policy->appliance.worker_count;
}

/* Slots of one end, beside the histories that so many slots come with. */
static uint32_t slots_of(const struct policy *policy, unsigned i, bool is_sender)
{
	uint64_t bytes = way_bytes(policy, i);
	uint64_t histories =
		epoch_memory_bytes(store_slots_in(bytes, slot_bytes(policy), is_sender), is_sender);

	return histories < bytes ? store_slots_in(bytes - histories, slot_bytes(policy), is_sender)
				 : 0;
}

uint32_t worker_store_slots(const struct policy *policy, unsigned i)
{
	return slots_of(policy, i, false);
}

static uint32_t sender_slots(const struct policy *policy, unsigned i)
{
	return slots_of(policy, i, true);
}

static uint64_t whole_lines(uint64_t bytes)
{
	return RTE_ALIGN_CEIL(bytes, (uint64_t)RTE_CACHE_LINE_SIZE);
}

uint64_t worker_store_bytes(const struct policy *policy, unsigned i)
{
	if (worker_store_slots(policy, i) == 0)
		return 0;
	return whole_lines(sizeof(struct store_sender)) +
	       whole_lines(sizeof(struct store_receiver)) +
	       store_memory_bytes(sender_slots(policy, i), slot_bytes(policy), true) +
	       store_memory_bytes(worker_store_slots(policy, i), slot_bytes(policy), false) +
	       worker_store_history_bytes(policy, i);
}

uint64_t worker_store_history_bytes(const struct policy *policy, unsigned i)
{
	return whole_lines(sizeof(struct epoch_sender)) +
	       whole_lines(sizeof(struct epoch_receiver)) +
	       epoch_memory_bytes(sender_slots(policy, i), true) +
	       epoch_memory_bytes(worker_store_slots(policy, i), false);
}

uint32_t worker_store_histories(const struct policy *policy, unsigned i)
{
	return epoch_count(sender_slots(policy, i));
}

void worker_store_init(struct worker_peer *peer, const struct policy *policy, unsigned i,
	const struct dictionaries *dictionaries, void *memory)
{
	uint8_t *p = memory;

	peer->store_tx = (struct store_sender *)p;
	p += whole_lines(sizeof(struct store_sender));
	peer->store_rx = (struct store_receiver *)p;
	p += whole_lines(sizeof(struct store_receiver));
	store_memory_init(
		&peer->store_tx->memory, p, sender_slots(policy, i), slot_bytes(policy), true);
	p += store_memory_bytes(sender_slots(policy, i), slot_bytes(policy), true);
	store_memory_init(&peer->store_rx->memory, p, worker_store_slots(policy, i),
		slot_bytes(policy), false);
	p += store_memory_bytes(worker_store_slots(policy, i), slot_bytes(policy), false);
	peer->epoch_tx = (struct epoch_sender *)p;
	p += whole_lines(sizeof(struct epoch_sender));
	peer->epoch_rx = (struct epoch_receiver *)p;
	p += whole_lines(sizeof(struct epoch_receiver));
	epoch_sender_init(peer->epoch_tx, p, sender_slots(policy, i), dictionaries, peer->store_tx);
	p += epoch_memory_bytes(sender_slots(policy, i), true);
	epoch_receiver_init(
		peer->epoch_rx, p, worker_store_slots(policy, i), dictionaries, peer->store_rx);
	peer->store_rx->epochs = peer->epoch_rx;
}

void worker_stores_join(struct worker *const workers[], unsigned count, unsigned peer)
{
	struct store_sender *tx[LINK_WORKERS_MAX] = {0};
	struct store_receiver *rx[LINK_WORKERS_MAX] = {0};

	for (unsigned i = 0; i < count; i++) {
		tx[i] = workers[i]->peers[peer].store_tx;
		rx[i] = workers[i]->peers[peer].store_rx;
	}
	store_senders_join(tx, count);
	store_receivers_join(rx, count);
}

/* Slots of a worker in dry runs: of the one way that they know. */
static uint32_t dry_slots(const struct policy *policy)
{
	uint64_t bytes = ((uint64_t)policy->appliance.dry_run_store_mb << 20) /
			 policy->appliance.worker_count;

	return store_slots_in(bytes, slot_bytes(policy), true);
}

uint64_t worker_dry_store_bytes(const struct policy *policy)
{
	if (policy->appliance.dry_run_store_mb == 0)
		return 0;
	return whole_lines(sizeof(struct store_sender)) +
	       store_memory_bytes(dry_slots(policy), slot_bytes(policy), true);
}

void worker_dry_store_init(struct worker *w, const struct policy *policy, void *memory)
{
	uint8_t *p = memory;

	w->dry_store = (struct store_sender *)p;
	store_memory_init(&w->dry_store->memory, p + whole_lines(sizeof(struct store_sender)),
		dry_slots(policy), slot_bytes(policy), true);
}

void worker_dry_stores_join(struct worker *const workers[], unsigned count)
{
	struct store_sender *tx[LINK_WORKERS_MAX] = {0};

	for (unsigned i = 0; i < count; i++)
		tx[i] = workers[i]->dry_store;
	store_senders_join(tx, count);
	/* A peer like this box would have as many workers and slots: a lane each. */
	for (unsigned i = 0; i < count; i++)
		store_sender_start(tx[i], 1, count, UINT32_MAX, (uint32_t[STORE_WORKERS]){0}, 1);
}

/* ---- sending ---- */

/*
 * Whose packets a packet may refer to: those of the same VLANs, all tags counted. False: there is
 * something else in front of the IP packet (labels, PPPoE), which may stand for a tenant, too.
 */
static bool domain_of(const struct rte_mbuf *m, uint32_t *domain)
{
	const struct pkt *p = pkt_of(m);
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);

	*domain = 0;
	if (p->l3_off < LINK_L2_BYTES || (p->l3_off - LINK_L2_BYTES) % 4 != 0 ||
		p->l3_off > LINK_L2_BYTES + 2 * 4)
		return false;
	for (unsigned at = 12; at + 2 < p->l3_off; at += 4) {
		uint16_t type = (uint16_t)(frame[at] << 8 | frame[at + 1]);

		if (type != RTE_ETHER_TYPE_VLAN && type != RTE_ETHER_TYPE_QINQ)
			return false;
		/* A priority tag is a tag, too, but VLAN 0: 4096 tells it from none. */
		*domain = *domain << 13 | 0x1000 | (frame[at + 2] & 0x0fu) << 8 | frame[at + 3];
	}
	return true;
}

/* Whose flows are alike: those of a class to or from the same server, which has the lower port. Not
 * 0. */
static uint32_t service_of(const struct pkt *p)
{
	const struct flow_key *k = &p->key;
	unsigned server = rte_be_to_cpu_16(k->port[0]) <= rte_be_to_cpu_16(k->port[1]) ? 0 : 1;
	uint64_t seed = (uint64_t)p->class_id << 16 | k->port[server];

	return (uint32_t)XXH3_64bits_withSeed(k->addr[server], sizeof(k->addr[server]), seed) | 1;
}

/* Have the packet at hand. False: no store may have it. */
static bool take_in_hand(
	struct worker *w, const struct rte_mbuf *m, const uint8_t *inner, uint32_t inner_len)
{
	const struct pkt *p = pkt_of(m);
	struct store_packet *packet = &w->at_hand.packet;
	/* What of the header is among the bytes that cross the link. */
	uint32_t header = p->payload_off - (uint32_t)(inner - rte_pktmbuf_mtod(m, const uint8_t *));

	w->at_hand.looked_up = NULL;
	w->at_hand.method = (struct codec_method){.number = CODEC_RAW};
	w->at_hand.is_to_keep =
		!w->plan->class_private[p->class_id] && domain_of(m, &packet->domain);
	packet->bytes = inner;
	packet->len = inner_len;
	packet->header_len = RTE_MIN(header, inner_len);
	packet->flow_hash = (uint32_t)p->hash;
	packet->service_hash = service_of(p);
	return w->at_hand.is_to_keep;
}

/* Look it up in the lane. False: it is not worth writing as references. */
static bool find(
	const struct worker *w, struct store_sender *s, uint8_t lane, const struct rte_mbuf *m)
{
	return store_find(s, lane, &w->at_hand.packet, w->at_hand.seq, &pkt_of(m)->flow->codec) &&
	       worker_may_refer(m);
}

/* Write it as references. Returns the length of the blob or 0. */
static uint32_t encode(
	const struct worker *w, struct store_sender *s, uint8_t lane, uint8_t *blob, uint32_t room)
{
	return store_encode(s, lane, &w->at_hand.packet, w->at_hand.seq, codec_compressor(w->codec),
		blob, room);
}

/* The number of the lane's next frame. */
static uint32_t next_number(const struct worker *w, unsigned peer, uint8_t lane)
{
	const struct worker_peer *to = &w->peers[peer];
	const struct link_tx *tx = &to->tx[lane % LINK_WORKERS_MAX];

	return store_number_of(to->store_tx, lane % LINK_WORKERS_MAX,
		tx->session_id == w->links->path[peer].session_id ? (uint32_t)tx->next : 0);
}

/* Have the packet at hand, and look it up. False: the store does not help it. */
static bool take_and_find(struct worker *w, unsigned peer, uint8_t lane, const struct rte_mbuf *m,
	const uint8_t *inner, uint32_t inner_len)
{
	const struct link_path *path = &w->links->path[peer];
	struct store_sender *s = w->peers[peer].store_tx;

	w->at_hand.is_to_keep = false;
	if (s == NULL || s->session_id != path->session_id || store_is_frozen(&s->is_frozen) ||
		!take_in_hand(w, m, inner, inner_len))
		return false;
	w->at_hand.seq = next_number(w, peer, lane);
	return find(w, s, lane % LINK_WORKERS_MAX, m);
}

uint32_t worker_store_encode(struct worker *w, unsigned peer, uint8_t lane,
	const struct rte_mbuf *m, const uint8_t *inner, uint32_t inner_len, uint8_t *blob,
	uint32_t room)
{
	struct store_sender *s = w->peers[peer].store_tx;
	bool is_found = w->at_hand.is_found;

	if (w->at_hand.looked_up == m) { /* as a repeat, and those in front of it have gone since */
		w->at_hand.is_to_keep = true;
		w->at_hand.seq = next_number(w, peer, lane);
	} else {
		is_found = take_and_find(w, peer, lane, m, inner, inner_len);
	}
	return is_found ? encode(w, s, lane % LINK_WORKERS_MAX, blob, room) : 0;
}

bool worker_store_repeats(
	const struct worker *w, unsigned peer, uint8_t lane, const struct rte_mbuf *m)
{
	const struct store_sender *s = w->peers[peer].store_tx;

	return s != NULL && s->session_id == w->links->path[peer].session_id &&
	       store_repeats(s, lane % LINK_WORKERS_MAX, (uint32_t)pkt_of(m)->hash);
}

uint32_t worker_store_repeat(struct worker *w, unsigned peer, uint8_t lane,
	const struct rte_mbuf *m, const uint8_t *inner, uint32_t inner_len, uint8_t *blob,
	uint32_t room, struct store_tx_counts *hits)
{
	struct store_sender *s = w->peers[peer].store_tx;
	bool is_found = take_and_find(w, peer, lane, m, inner, inner_len);
	bool may_have_it = w->at_hand.is_to_keep;
	uint32_t len = 0;

	w->at_hand.is_to_keep = false;
	if (is_found && s->match.is_repeat)
		len = encode(w, s, lane % LINK_WORKERS_MAX, blob, room);
	if (len > 0 && s->match.is_repeat) {
		store_pass(s, lane % LINK_WORKERS_MAX, &w->at_hand.packet, hits);
		return len;
	}
	if (may_have_it) {
		store_spurn(s);
		w->at_hand.looked_up = m;
		w->at_hand.is_found = is_found;
	}
	return 0;
}

uint32_t worker_dry_store_encode(struct worker *w, const struct rte_mbuf *m, const uint8_t *inner,
	uint32_t inner_len, uint8_t *blob, uint32_t room)
{
	w->at_hand.is_to_keep = false;
	if (w->dry_store == NULL || !take_in_hand(w, m, inner, inner_len))
		return 0;
	w->at_hand.seq = w->dry_next++;
	return find(w, w->dry_store, (uint8_t)w->index, m)
		       ? encode(w, w->dry_store, (uint8_t)w->index, blob, room)
		       : 0;
}

void worker_dry_store_keep(struct worker *w, bool is_used)
{
	uint32_t seq = w->at_hand.seq;
	uint64_t all = UINT64_MAX;

	if (!w->at_hand.is_to_keep)
		return;
	if (!is_used)
		store_spurn(w->dry_store);
	store_keep(w->dry_store, w->index, &w->at_hand.packet, seq, w->now_ns);
	if (seq % STORE_ACK_EVERY == STORE_ACK_EVERY - 1)
		store_acked(w->dry_store, w->index, seq - (STORE_ACK_EVERY - 1), &all, 1);
}

bool worker_store_is_partial(const struct worker *w, const struct store_sender *s)
{
	return s->match.covered < w->at_hand.packet.len / 4 * 3;
}

void worker_store_keep(struct worker *w, unsigned peer, uint8_t lane)
{
	if (!w->at_hand.is_to_keep)
		return;
	store_keep(w->peers[peer].store_tx, lane % LINK_WORKERS_MAX, &w->at_hand.packet,
		w->at_hand.seq, w->now_ns);
	worker_epoch_keep(w, peer, lane);
}

/* A new session of the peer's: the first thing in it is to ask what the peer has still. */
static void start_sender(struct worker *w, unsigned i)
{
	const struct link_path *path = &w->links->path[i];
	struct worker_peer *peer = &w->peers[i];
	uint32_t sent[STORE_WORKERS];

	for (unsigned lane = 0; lane < STORE_WORKERS; lane++) {
		const struct link_tx *tx = &peer->tx[lane];

		sent[lane] = (uint32_t)(tx->packets -
					(tx->session_id == path->session_id ? tx->next : 0));
	}
	store_sender_start(peer->store_tx, path->session_id, path->peer_workers, path->store_slots,
		sent, rte_rand());
	epoch_sender_start(peer->epoch_tx);
}

/* Begin with a new session, and ask until the peer has answered. */
static void begin_sender(struct worker *w, unsigned i)
{
	const struct link_path *path = &w->links->path[i];
	struct store_sender *s = w->peers[i].store_tx;
	uint8_t bytes[STORE_BEGIN_BYTES];
	unsigned lane;
	uint32_t len;

	if (s == NULL || !path->alive || path->session_id == 0 || path->store_slots == 0)
		return;
	if (unlikely(s->session_id != path->session_id)) {
		if (!__atomic_load_n(&s->memory.is_ready, __ATOMIC_ACQUIRE) ||
			store_is_frozen(&s->is_frozen))
			return;
		start_sender(w, i);
	}
	while (unlikely((len = store_ask(s, bytes, &lane, w->now_ns)) > 0))
		worker_store_say(w, i, lane, bytes, len);
}

static void take_ack(
	struct worker *w, struct worker_peer *peer, unsigned lane, const struct link_ack *ack)
{
	peer->acked_ns = w->now_ns;
	store_acked(peer->store_tx, lane, ack->base, ack->bitmap, ack->words);
	for (unsigned i = 0; i < ack->refusals; i++)
		store_refused(peer->store_tx, lane, ack->refused[i], w->now_ns);
}

/* The peer begins with its half of the lane, which brings to worker `lane` of the peer. */
static void begin_receiver(
	struct worker *w, unsigned i, unsigned lane, const uint8_t *bytes, uint32_t len)
{
	const struct link_path *path = &w->links->path[i];
	struct worker_peer *peer = &w->peers[i];
	struct store_receiver *r = peer->store_rx;
	uint8_t answer[STORE_BEGUN_BYTES];

	if (r->session_id != path->session_id) {
		if (!__atomic_load_n(&r->memory.is_ready, __ATOMIC_ACQUIRE) ||
			store_is_frozen(&r->is_frozen))
			return;
		store_receiver_start(r, path->session_id, path->peer_workers);
		epoch_receiver_start(peer->epoch_rx);
	}
	len = store_begin(r, lane, bytes, len, answer);
	if (len > 0)
		worker_store_say(w, i, lane, answer, len);
}

void worker_store_message(
	struct worker *w, unsigned peer, int lane, uint32_t session_id, const struct rte_mbuf *in)
{
	const struct pkt *p = pkt_of(in);
	struct store_sender *s = w->peers[peer].store_tx;
	unsigned ours = (unsigned)lane / LINK_WORKERS_MAX;
	const uint8_t *bytes =
		rte_pktmbuf_mtod_offset(in, const uint8_t *, p->payload_off + LINK_SHIM_BYTES);
	uint32_t len = p->payload_len - LINK_SHIM_BYTES;
	bool is_new = session_id == w->links->path[peer].session_id;
	struct link_ack ack;

	if (s == NULL || len == 0)
		return;
	if (link_ack_read(bytes, len, &ack) == 0) {
		if (s->session_id == session_id)
			take_ack(w, &w->peers[peer], ours, &ack);
	} else if (bytes[0] == STORE_BEGIN) {
		if (is_new && worker_store_of(w, peer, lane) != NULL)
			begin_receiver(w, peer, ours, bytes, len);
	} else if (bytes[0] == STORE_BEGUN) {
		if (s->session_id == session_id)
			store_begun(s, ours, bytes, len);
	} else {
		worker_epoch_message(w, peer, lane, session_id, bytes, len);
	}
}

/* ---- receiving ---- */

struct store_receiver *worker_store_of(const struct worker *w, unsigned peer, int lane)
{
	/* Not of lanes to workers that this box does not have: it takes them, but their numbers
	 * would fall together with another lane's. */
	return (unsigned)lane % LINK_WORKERS_MAX == w->index ? w->peers[peer].store_rx : NULL;
}

void worker_store_received(struct worker *w, unsigned peer, int lane)
{
	const struct store_receiver *r = worker_store_of(w, peer, lane);

	if (r != NULL && r->lane[lane / LINK_WORKERS_MAX].due_ns < w->ack_due_ns)
		w->ack_due_ns = r->lane[lane / LINK_WORKERS_MAX].due_ns;
}

void worker_store_say(
	struct worker *w, unsigned i, unsigned lane, const uint8_t *bytes, uint32_t len)
{
	const struct link_path *path = &w->links->path[i];
	struct worker_peer *peer = &w->peers[i];
	struct rte_mbuf *out = rte_pktmbuf_alloc(w->daemon->pool);

	if (out == NULL)
		return; /* as if it were lost */
	if (link_encode_ack(&peer->tx[lane], path, bytes, len, out, w->now_ns) != 0) {
		rte_pktmbuf_free(out);
		return;
	}
	peer->tx_frames++;
	peer->tx_bytes += out->pkt_len;
	memset(pkt_of(out), 0, sizeof(struct pkt));
	pkt_of(out)->out_port = port_wan(w->plan->policy->peers[i].bridge);
	worker_send(w, out);
}

static void send_ack(struct worker *w, unsigned i, unsigned lane)
{
	struct link_ack ack = {.words = STORE_ACK_WORDS};
	uint8_t bytes[LINK_ACK_BYTES_MAX];

	ack.refusals =
		store_acknowledge(w->peers[i].store_rx, lane, &ack.base, ack.bitmap, ack.refused);
	worker_store_say(w, i, lane, bytes, link_ack_write(&ack, bytes));
	worker_epoch_refuse(w, i, lane);
}

void worker_acknowledge(struct worker *w)
{
	uint64_t next_ns = UINT64_MAX;

	for (unsigned i = 0; i < w->links->count; i++) {
		begin_sender(w, i);
		worker_epoch_offer(w, i);
	}
	if (likely(w->ack_due_ns > w->now_ns))
		return;
	for (unsigned i = 0; i < w->links->count; i++) {
		const struct link_path *path = &w->links->path[i];
		struct store_receiver *r = w->peers[i].store_rx;

		/* What another session has brought can't be acknowledged in this one. */
		if (r == NULL || !path->alive || r->session_id != path->session_id)
			continue;
		for (unsigned lane = 0; lane < path->peer_workers; lane++) {
			if (r->lane[lane].due_ns <= w->now_ns)
				send_ack(w, i, lane);
			next_ns = RTE_MIN(next_ns, r->lane[lane].due_ns);
		}
	}
	w->ack_due_ns = next_ns > w->now_ns ? next_ns : w->now_ns + STORE_ACK_NS;
}
