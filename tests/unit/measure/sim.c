/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulation of sim.h. Segments are numbered 0, 1, ...; on the wire they start behind an
 * initial sequence number that wraps soon. Events are kept in a binary heap, in order of time.
 */
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/packet/packet.h"
#include "tests/unit/measure/sim.h"

#define MSS 1448
#define ISN 0xfff00000u
#define PEER_ISN 0x7fff0000u
#define DELAYED_ACK_NS (40 * SIM_MS)
#define RTO_NS (300 * SIM_MS)

enum kind { DATA_AT_BOX, DATA_AT_RECEIVER, ACK_AT_BOX, ACK_AT_SENDER, ACK_TIMER, SENDER_TIMER };

struct event {
	uint64_t ns, order;
	enum kind kind;
	uint32_t segment; /* data: which; ACK: all before this */
	uint32_t got;	  /* ACK: the segment that caused it */
	uint32_t tsval, tsecr;
	uint64_t
		cause_ns; /* ACK: when the packet that caused it at once passed the box; 0: timer */
	uint64_t sent_ns; /* data: when; ACK: that of the segment that caused it */
	bool again, sack;
};

struct segment {
	uint64_t sent_ns, box_ns; /* last time; box_ns 0: never */
	uint16_t sendings;
	bool delivered; /* the sender knows */
	bool received;
};

struct sim {
	const struct sim_setup *set;
	struct sim_truth *truth;
	struct flow_measure *f;
	struct measure_class *c;
	struct event *heap;
	uint32_t events, capacity;
	uint64_t now, order, random;
	/* Sender */
	struct segment *seg;
	uint32_t una, next, highest; /* highest delivered + 1 */
	uint64_t free_ns, rack_ns, progress_ns;
	uint32_t peer_tsval;
	/* Box */
	uint32_t box_highest, box_acked;
	/* Receiver */
	uint32_t expected, unacked, timer_round, ts_recent, last_ack_sent;
	/* Paths keep order, but for packets that are reordered */
	uint64_t last_arrival[4];
	uint64_t *far, far_count;
	/* What the box measured, sample by sample */
	uint64_t *samples[2], sample_count[2];
};

static double uniform(struct sim *s)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return (double)(s->random >> 11) / (double)(UINT64_C(1) << 53);
}

static bool earlier(const struct event *a, const struct event *b)
{
	return a->ns != b->ns ? a->ns < b->ns : a->order < b->order;
}

static void push(struct sim *s, uint64_t ns, enum kind kind, struct event e)
{
	e.ns = ns;
	e.kind = kind;
	e.order = s->order++;
	if (s->events == s->capacity) {
		s->capacity = s->capacity ? s->capacity * 2 : 1024;
		s->heap = realloc(s->heap, s->capacity * sizeof(e));
	}
	uint32_t i = s->events++;
	for (; i > 0 && earlier(&e, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
		s->heap[i] = s->heap[(i - 1) / 2];
	s->heap[i] = e;
}

static struct event pop(struct sim *s)
{
	struct event top = s->heap[0], e = s->heap[--s->events];
	uint32_t i = 0, child;

	while ((child = 2 * i + 1) < s->events) {
		if (child + 1 < s->events && earlier(&s->heap[child + 1], &s->heap[child]))
			child++;
		if (!earlier(&s->heap[child], &e))
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = e;
	return top;
}

/* A path in order (path: 0 to 3), or with `extra` beside it. */
static uint64_t arrival(
	struct sim *s, int path, uint64_t from_ns, uint64_t delay_ns, uint64_t extra)
{
	uint64_t ns = from_ns + delay_ns;

	if (extra > 0)
		return ns + extra;
	if (ns < s->last_arrival[path])
		ns = s->last_arrival[path];
	return s->last_arrival[path] = ns;
}

/* The queue behind the box: a triangle with a period of 3 s. */
static uint64_t queue_ns(const struct sim *s)
{
	uint64_t phase = s->now % (3000 * SIM_MS) / SIM_MS;

	return s->set->swing_ns * (phase < 1500 ? phase : 3000 - phase) / 1500;
}

static void pass(struct sim *s, enum measure_from from, uint8_t flags, uint32_t seq, uint16_t len,
	uint32_t ack, uint32_t tsval, uint32_t tsecr, bool sack)
{
	struct pkt p = {
		.flags = PKT_IP | PKT_TCP, .l4_off = 34, .payload_len = len, .tcp_window = 500};

	p.tcp_flags = flags;
	p.tcp_seq = seq;
	p.tcp_ack = ack;
	p.payload_off = (uint16_t)(54 + (s->set->stamps ? 12 : 0) + (sack ? 12 : 0));
	if (s->set->stamps) {
		p.flags |= PKT_TCP_TS;
		p.tcp_tsval = tsval;
		p.tcp_tsecr = tsecr;
	}
	if (sack)
		p.flags |= PKT_TCP_OPTIONS;
	uint64_t lan = s->c->rtt_lan.sum_ns, wan = s->c->rtt_wan.sum_ns;
	measure_tcp(s->f, &p, from, s->now, s->c);
	if (s->c->rtt_lan.count > s->sample_count[FROM_LAN])
		s->samples[FROM_LAN][s->sample_count[FROM_LAN]++] = s->c->rtt_lan.sum_ns - lan;
	if (s->c->rtt_wan.count > s->sample_count[FROM_WAN])
		s->samples[FROM_WAN][s->sample_count[FROM_WAN]++] = s->c->rtt_wan.sum_ns - wan;
}

static uint32_t stamp(uint64_t ns)
{
	return (uint32_t)(ns / SIM_MS) + 0xffffff00u;
}

static void send_segment(struct sim *s, uint32_t n)
{
	struct segment *g = &s->seg[n];
	uint64_t at = s->free_ns > s->now ? s->free_ns : s->now, extra = 0;

	s->free_ns = at + s->set->spacing_ns;
	struct event e = {.segment = n,
		.again = g->sendings > 0,
		.sent_ns = s->free_ns,
		.tsval = stamp(s->now),
		.tsecr = s->peer_tsval};
	g->sendings++;
	g->sent_ns = s->free_ns;
	s->truth->sent++;
	if (uniform(s) < s->set->loss_before) {
		s->truth->lost_before++;
		return;
	}
	if (uniform(s) < s->set->reorder_before)
		extra = s->set->reorder_ns;
	push(s, arrival(s, 0, s->free_ns, s->set->near_ns, extra), DATA_AT_BOX, e);
}

static void send_what_is_due(struct sim *s)
{
	uint64_t rtt = 2 * (s->set->near_ns + s->set->far_ns) + queue_ns(s);

	for (uint32_t n = s->una; n < s->highest; n++)
		if (!s->seg[n].delivered && s->seg[n].sent_ns + rtt / 4 < s->rack_ns)
			send_segment(s, n);
	while (s->next < s->set->segments && s->next - s->una < s->set->window)
		send_segment(s, s->next++);
}

static void data_at_box(struct sim *s, const struct event *e)
{
	struct segment *g = &s->seg[e->segment];
	uint64_t extra = 0;

	if (g->box_ns != 0 && e->segment < s->box_acked)
		s->truth->again_needless++;
	else if (g->box_ns != 0)
		s->truth->again_after++;
	else if (e->again && e->segment < s->box_highest)
		s->truth->again_before++;
	else if (e->again)
		s->truth->again_unseen++;
	else if (e->segment < s->box_highest)
		s->truth->late++;
	g->box_ns = s->now;
	if (s->box_highest <= e->segment)
		s->box_highest = e->segment + 1;
	pass(s, s->set->from, TH_ACK, ISN + 1 + e->segment * MSS, MSS, PEER_ISN + 1, e->tsval,
		e->tsecr, false);
	if (uniform(s) < s->set->loss_after) {
		s->truth->lost_after++;
		return;
	}
	if (uniform(s) < s->set->reorder_after)
		extra = s->set->reorder_ns;
	struct event on = *e;
	on.cause_ns = s->now;
	push(s, arrival(s, 1, s->now, s->set->far_ns + queue_ns(s), extra), DATA_AT_RECEIVER, on);
}

static void send_ack(struct sim *s, const struct event *cause, bool at_once)
{
	struct event e = {.segment = s->expected, .tsval = stamp(s->now), .tsecr = s->ts_recent};

	e.got = cause->segment;
	e.sent_ns = cause->sent_ns;
	e.cause_ns = at_once ? cause->cause_ns : 0;
	e.sack = cause->segment > s->expected;
	s->unacked = 0;
	s->timer_round++;
	s->last_ack_sent = s->expected;
	push(s, arrival(s, 2, s->now, s->set->far_ns, 0), ACK_AT_BOX, e);
}

static void data_at_receiver(struct sim *s, const struct event *e)
{
	bool in_order = e->segment == s->expected && !s->seg[e->segment].received;
	bool gap_before = false;

	if (e->segment <= s->last_ack_sent && (int32_t)(e->tsval - s->ts_recent) >= 0)
		s->ts_recent = e->tsval; /* RFC 7323, 4.3 */
	s->seg[e->segment].received = true;
	while (s->expected < s->set->segments && s->seg[s->expected].received)
		s->expected++;
	/* A filled or open gap, and data twice, are acknowledged at once (RFC 5681, 4.2). */
	gap_before = in_order && s->expected > e->segment + 1;
	s->unacked++;
	if (!in_order || gap_before || s->unacked >= s->set->stride) {
		send_ack(s, e, true);
	} else if (s->unacked == 1) {
		struct event timer = *e;

		timer.got = s->timer_round;
		push(s, s->now + DELAYED_ACK_NS, ACK_TIMER, timer);
	}
}

static void ack_at_box(struct sim *s, const struct event *e)
{
	if (e->cause_ns != 0 && e->segment > s->box_acked)
		s->far[s->far_count++] = s->now - e->cause_ns;
	if (e->segment > s->box_acked)
		s->box_acked = e->segment;
	pass(s, !s->set->from, TH_ACK, PEER_ISN + 1, 0, ISN + 1 + e->segment * MSS, e->tsval,
		e->tsecr, e->sack);
	push(s, arrival(s, 3, s->now, s->set->near_ns, 0), ACK_AT_SENDER, *e);
}

static void ack_at_sender(struct sim *s, const struct event *e)
{
	s->peer_tsval = e->tsval;
	if (e->sent_ns > s->rack_ns)
		s->rack_ns = e->sent_ns;
	if (e->segment > s->una || !s->seg[e->got].delivered)
		s->progress_ns = s->now;
	s->seg[e->got].delivered = true;
	if (s->highest <= e->got)
		s->highest = e->got + 1;
	for (; s->una < e->segment; s->una++)
		s->seg[s->una].delivered = true;
	if (s->highest < s->una)
		s->highest = s->una;
	send_what_is_due(s);
}

static void sender_timer(struct sim *s)
{
	if (s->una == s->set->segments)
		return;
	uint64_t rto_ns = RTO_NS + 4 * (s->set->near_ns + s->set->far_ns);

	if (s->now - s->progress_ns >= rto_ns && s->now >= s->free_ns + rto_ns / 2)
		send_segment(s, s->una);
	push(s, s->now + rto_ns / 4, SENDER_TIMER, (struct event){0});
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t median(uint64_t *values, uint64_t count)
{
	qsort(values, count, sizeof(*values), ascending);
	return count > 0 ? values[(count - 1) / 2] : 0;
}

void sim_run(const struct sim_setup *set, struct flow_measure *f, struct measure_class *c,
	struct sim_truth *truth)
{
	struct sim s = {.set = set, .f = f, .c = c, .truth = truth};

	memset(truth, 0, sizeof(*truth));
	s.random = 0x9e3779b97f4a7c15u + set->seed;
	s.seg = calloc(set->segments + 1, sizeof(*s.seg));
	s.far = calloc((size_t)set->segments * 4, sizeof(*s.far));
	for (int i = 0; i < 2; i++)
		s.samples[i] = calloc((size_t)set->segments * 4, sizeof(*s.samples[i]));

	s.now = 3600000 * SIM_MS;
	pass(&s, set->from, TH_SYN, ISN, 0, 0, stamp(s.now), 0, false);
	uint32_t syn_stamp = stamp(s.now);
	s.now += 2 * set->far_ns + queue_ns(&s);
	pass(&s, !set->from, TH_SYN | TH_ACK, PEER_ISN, 0, ISN + 1, stamp(s.now), syn_stamp, false);
	s.peer_tsval = stamp(s.now);
	s.now += 2 * set->near_ns;
	pass(&s, set->from, TH_ACK, ISN + 1, 0, PEER_ISN + 1, stamp(s.now), s.peer_tsval, false);
	s.ts_recent = stamp(s.now);

	s.progress_ns = s.now;
	push(&s, s.now + RTO_NS, SENDER_TIMER, (struct event){0});
	send_what_is_due(&s);
	while (s.events > 0 && s.una < set->segments) {
		struct event e = pop(&s);

		s.now = e.ns;
		switch (e.kind) {
		case DATA_AT_BOX:
			data_at_box(&s, &e);
			break;
		case DATA_AT_RECEIVER:
			data_at_receiver(&s, &e);
			break;
		case ACK_AT_BOX:
			ack_at_box(&s, &e);
			break;
		case ACK_AT_SENDER:
			ack_at_sender(&s, &e);
			break;
		case ACK_TIMER:
			if (e.got == s.timer_round && s.unacked > 0)
				send_ack(&s, &e, false);
			break;
		case SENDER_TIMER:
			sender_timer(&s);
			break;
		}
	}
	truth->far_median_ns = median(s.far, s.far_count);
	truth->near_rtt_ns = 2 * set->near_ns;
	if (s.sample_count[set->from] > 1)
		truth->near_rtt_ns += set->spacing_ns;
	truth->near_samples = s.sample_count[set->from];
	truth->near_measured_ns = median(s.samples[set->from], s.sample_count[set->from]);
	truth->far_samples = s.sample_count[!set->from];
	truth->far_measured_ns = median(s.samples[!set->from], s.sample_count[!set->from]);
	free(s.samples[0]);
	free(s.samples[1]);
	free(s.seg);
	free(s.far);
	free(s.heap);
}
