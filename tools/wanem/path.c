/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One direction of the emulated WAN: see path.h. A frame goes arrive -> queue -> rate -> leave
 * (its fate is carried out) -> heap by due time -> take. Times are computed from when a frame came
 * in, not from when this program woke up, so that late wake-ups never add up.
 */
#include "path.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(p, f, field, n)                                                                      \
	do {                                                                                       \
		(p)->all.field += (n);                                                             \
		if ((f)->is_link)                                                                  \
			(p)->link.field += (n);                                                    \
		if ((f)->lane)                                                                     \
			(f)->lane->count.field += (n);                                             \
	} while (0)

static void append(struct frame_list *l, struct frame *f)
{
	f->next = NULL;
	if (l->tail)
		l->tail->next = f;
	else
		l->head = f;
	l->tail = f;
	l->packets++;
	l->bytes += f->len_bytes;
}

static struct frame *pop(struct frame_list *l)
{
	struct frame *f = l->head;

	l->head = f->next;
	if (!l->head)
		l->tail = NULL;
	l->packets--;
	l->bytes -= f->len_bytes;
	return f;
}

static size_t footprint(size_t len_bytes)
{
	return sizeof(struct frame) + sizeof(struct due) + len_bytes;
}

static struct frame *frame_new(struct path *p, const void *data, size_t len_bytes)
{
	struct frame *f = NULL;

	if (p->memory_bytes + footprint(len_bytes) <= PATH_MEMORY_BYTES)
		f = malloc(sizeof(*f) + len_bytes);
	if (!f)
		return NULL;
	memset(f, 0, sizeof(*f));
	f->len_bytes = (uint32_t)len_bytes;
	memcpy(f->data, data, len_bytes);
	p->memory_bytes += footprint(len_bytes);
	return f;
}

static void frame_free(struct path *p, struct frame *f)
{
	p->memory_bytes -= footprint(f->len_bytes);
	free(f);
}

static bool due_before(const struct due *a, const struct due *b)
{
	return a->out_ns != b->out_ns ? a->out_ns < b->out_ns : a->order < b->order;
}

static bool heap_push(struct path *p, struct frame *f)
{
	struct due d = {.out_ns = f->out_ns, .order = p->order++, .frame = f};
	size_t i = p->heap_len, parent;

	if (p->heap_len == p->heap_cap) {
		size_t cap = p->heap_cap ? p->heap_cap * 2 : 1024;
		struct due *heap = realloc(p->heap, cap * sizeof(*heap));

		if (!heap)
			return false;
		p->heap = heap;
		p->heap_cap = cap;
	}
	p->heap_len++;
	for (; i && due_before(&d, &p->heap[parent = (i - 1) / 2]); i = parent)
		p->heap[i] = p->heap[parent];
	p->heap[i] = d;
	return true;
}

static struct frame *heap_pop(struct path *p)
{
	struct frame *f = p->heap[0].frame;
	struct due d = p->heap[--p->heap_len];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < p->heap_len) {
		if (child + 1 < p->heap_len && due_before(&p->heap[child + 1], &p->heap[child]))
			child++;
		if (!due_before(&p->heap[child], &d))
			break;
		p->heap[i] = p->heap[child];
		i = child;
	}
	if (p->heap_len)
		p->heap[i] = d;
	return f;
}

void path_init(struct path *p, unsigned direction, uint64_t seed)
{
	memset(p, 0, sizeof(*p));
	impair_init(&p->impair, direction, seed);
}

void path_free(struct path *p)
{
	while (p->queue.head)
		free(pop(&p->queue));
	while (p->held.head)
		free(pop(&p->held));
	while (p->ready.head)
		free(pop(&p->ready));
	while (p->heap_len)
		free(heap_pop(p));
	free(p->heap);
	memset(p, 0, sizeof(*p));
}

static void put_on_the_way(struct path *p, struct frame *f)
{
	if (heap_push(p, f))
		return;
	COUNT(p, f, no_memory, 1);
	frame_free(p, f);
}

/* The frame has passed the rate at left_ns: its fate is carried out. */
static void leave(struct path *p, struct frame *f, uint64_t left_ns)
{
	const struct impair_settings *s = &p->impair.set;
	struct frame *copy;

	if (f->fate.lose_random || f->fate.lose_ge) {
		if (f->fate.lose_random)
			COUNT(p, f, lost_random, 1);
		else
			COUNT(p, f, lost_ge, 1);
		frame_free(p, f);
		return;
	}
	if (f->fate.corrupt_bits) {
		uint64_t bit = f->fate.corrupt_bits - 1;

		f->data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		COUNT(p, f, corrupted, 1);
	}
	f->out_ns = left_ns + f->fate.delay_ns;
	if (!s->jitter_unordered && f->out_ns < p->last_out_ns)
		f->out_ns = p->last_out_ns;
	if (p->last_out_ns < f->out_ns)
		p->last_out_ns = f->out_ns;
	if (f->fate.hold) {
		COUNT(p, f, held, 1);
		f->out_ns += s->reorder_ns;
		f->hold_packets = (uint32_t)s->reorder_packets;
		f->hold_for_link = s->reorder.link_only;
	}
	if (f->fate.duplicate && (copy = frame_new(p, f->data, f->len_bytes))) {
		memcpy(copy, f, sizeof(*f));
		copy->is_copy = true;
		COUNT(p, f, duplicated, 1);
		put_on_the_way(p, f);
		put_on_the_way(p, copy);
	} else {
		put_on_the_way(p, f);
	}
}

static void start_service(struct path *p, uint64_t start_ns)
{
	const struct impair_settings *s = &p->impair.set;
	uint64_t bits = (p->queue.head->len_bytes + s->overhead_bytes) * 8;
	uint64_t work = bits * 1000000000u + p->finish_rest;

	p->finish_ns = start_ns + work / s->rate_bps;
	p->finish_rest = work % s->rate_bps;
}

/* Lets the rate work until until_ns. */
static void serve(struct path *p, uint64_t until_ns)
{
	while (p->queue.head && p->finish_ns <= until_ns) {
		uint64_t finish_ns = p->finish_ns;

		leave(p, pop(&p->queue), finish_ns);
		if (p->queue.head)
			start_service(p, finish_ns);
	}
}

static bool queue_has_room(const struct path *p, size_t len_bytes)
{
	const struct impair_settings *s = &p->impair.set;

	if (s->queue_packets && p->queue.packets >= s->queue_packets)
		return false;
	return p->queue.bytes + len_bytes <= impair_queue_bytes(s);
}

static struct path_lane *lane_of(struct path *p, uint16_t link_source)
{
	if (!link_source)
		return NULL;
	for (unsigned i = 0; i < p->lanes; i++)
		if (p->lane[i].source_port == link_source)
			return &p->lane[i];
	if (p->lanes == PATH_LANES)
		return NULL;
	p->lane[p->lanes].source_port = link_source;
	return &p->lane[p->lanes++];
}

void path_arrive(
	struct path *p, const void *data, size_t len_bytes, uint16_t link_source, uint64_t rx_ns)
{
	struct frame *f = frame_new(p, data, len_bytes);
	bool is_link = link_source != 0;
	struct path_lane *lane = lane_of(p, link_source);
	struct frame nobody = {.is_link = is_link, .lane = lane};
	/* Drawn for every frame, also those that find no room: the next one's fate is the same. */
	struct fate fate = impair_decide(&p->impair, len_bytes, is_link);

	p->arrivals++;
	COUNT(p, &nobody, received, 1);
	COUNT(p, &nobody, received_bytes, len_bytes);
	if (!f) {
		COUNT(p, &nobody, no_memory, 1);
		return;
	}
	f->seq = p->arrivals;
	f->is_link = is_link;
	f->lane = lane;
	f->fate = fate;
	serve(p, rx_ns);
	if (!p->impair.set.rate_bps) {
		leave(p, f, rx_ns);
	} else if (!queue_has_room(p, len_bytes)) {
		COUNT(p, f, queue_dropped, 1);
		frame_free(p, f);
	} else {
		append(&p->queue, f);
		if (p->queue.packets == 1) /* rx_ns may be before a finish already served */
			start_service(p, rx_ns > p->finish_ns ? rx_ns : p->finish_ns);
	}
}

static void release_held(struct path *p, uint64_t now_ns)
{
	struct frame_list still = {0};

	while (p->held.head) {
		struct frame *f = pop(&p->held);

		append(!f->hold_packets || f->out_ns <= now_ns ? &p->ready : &still, f);
	}
	p->held = still;
}

/* A frame leaves: those held for it come one nearer. */
static void overtake(struct path *p, const struct frame *leaving)
{
	if (leaving->is_copy || !p->held.head)
		return;
	for (struct frame *f = p->held.head; f; f = f->next)
		if (leaving->seq > f->seq && f->hold_packets &&
			(leaving->is_link || !f->hold_for_link))
			f->hold_packets--;
}

struct frame *path_take(struct path *p, uint64_t now_ns)
{
	struct frame *f;

	serve(p, now_ns);
	if (p->held.head)
		release_held(p, now_ns);
	for (;;) {
		if (p->ready.head) {
			f = pop(&p->ready);
			break;
		}
		if (!p->heap_len || p->heap[0].out_ns > now_ns)
			return NULL;
		f = heap_pop(p);
		if (!f->hold_packets)
			break;
		f->out_ns += PATH_HOLD_MAX_NS;
		append(&p->held, f);
	}
	overtake(p, f);
	p->unsent++;
	return f;
}

void path_sent(struct path *p, struct frame *f)
{
	COUNT(p, f, sent, 1);
	COUNT(p, f, sent_bytes, f->len_bytes);
	if (!f->is_copy && f->seq < p->sent_seq)
		p->all.reordered++;
	if (!f->is_copy && f->is_link && f->seq < p->sent_link_seq)
		p->link.reordered++;
	if (f->lane && !f->is_copy && f->seq < f->lane->sent_seq)
		f->lane->count.reordered++;
	if (f->lane && f->lane->sent_seq < f->seq)
		f->lane->sent_seq = f->seq;
	if (p->sent_seq < f->seq)
		p->sent_seq = f->seq;
	if (f->is_link && p->sent_link_seq < f->seq)
		p->sent_link_seq = f->seq;
	p->unsent--;
	frame_free(p, f);
}

void path_send_failed(struct path *p, struct frame *f)
{
	COUNT(p, f, send_errors, 1);
	p->unsent--;
	frame_free(p, f);
}

uint64_t path_next_ns(const struct path *p)
{
	uint64_t next = UINT64_MAX;

	if (p->ready.head)
		return 0;
	if (p->queue.head)
		next = p->finish_ns;
	if (p->heap_len && p->heap[0].out_ns < next)
		next = p->heap[0].out_ns;
	for (const struct frame *f = p->held.head; f; f = f->next) {
		if (!f->hold_packets)
			return 0;
		if (f->out_ns < next)
			next = f->out_ns;
	}
	return next;
}

int path_set(struct path *p, char *words, uint64_t now_ns, char *err, size_t err_len)
{
	uint64_t old_bps = p->impair.set.rate_bps, new_bps;
	int rc;

	serve(p, now_ns);
	rc = impair_set(&p->impair, words, err, err_len);
	new_bps = p->impair.set.rate_bps;
	if (rc || new_bps == old_bps)
		return rc;
	p->finish_rest = 0;
	if (!new_bps) {
		while (p->queue.head)
			leave(p, pop(&p->queue), now_ns);
		p->finish_ns = now_ns;
	} else if (p->queue.head) {
		/* The rest of the frame on the wire goes at the new rate. */
		double rest = (double)(p->finish_ns - now_ns) * (double)old_bps / (double)new_bps;

		p->finish_ns = now_ns + (uint64_t)rest;
	}
	return 0;
}

uint64_t path_in_transit(const struct path *p)
{
	return p->queue.packets + p->heap_len + p->held.packets + p->ready.packets + p->unsent;
}
