/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Flows of one host or network within a class (`per`): which bucket of hosts.h they share, and the
 * queue that stands for the host in its class while one of them waits. A bucket may be given to
 * another host when the table is full; its generation tells, and it is looked up again.
 */
#include "dataplane/shape/flows.h"

/* The host of a flow: the end of it that `per` says, as far as the prefix goes. */
static struct host_key key_of(
	const struct shaper *s, const struct shape_class *c, const struct flow *f)
{
	unsigned end = f->initiator & 1;

	if (c->per == PER_DST)
		end ^= 1;
	else if (c->per == PER_LAN)
		end = f->lan_dir & 1;
	else if (c->per == PER_WAN)
		end = (f->lan_dir & 1) ^ 1;
	struct host_key key = host_key_of(class_id_of(s, c), f->key.addr[end],
		f->key.scope & FLOW_KEY_IPV6, c->per_bits4, c->per_bits6);
	key.per = c->per;
	key.bits = key.family == 6 ? c->per_bits6 : c->per_bits4;
	return key;
}

/* Is it still the same host's, and of this class as it is configured now? */
static inline bool bucket_valid(
	const struct shaper *s, const struct shape_class *c, uint32_t bucket, uint32_t generation)
{
	return likely(host_valid(s->shared->hosts, bucket, generation)) &&
	       likely(host_is_of(host_at(s->shared->hosts, bucket), class_id_of(s, c), c->per,
		       c->per_bits4, c->per_bits6));
}

struct host *flow_host(
	struct shaper *s, const struct shape_class *c, struct flow *f, uint64_t now_ns)
{
	struct flow_shape *fs = &f->shape[s->way];

	if (unlikely(fs->stamp != FLOW_SHAPE_HOST ||
		     !bucket_valid(s, c, fs->host.bucket, fs->host.generation))) {
		struct host_key key = key_of(s, c, f);
		fs->host.bucket = hosts_find(s->shared->hosts, &key, now_ns, c->flow_rate.burst_q16,
			&fs->host.generation);
		fs->stamp = FLOW_SHAPE_HOST;
	}
	return host_at(s->shared->hosts, fs->host.bucket);
}

static struct host *queue_host(
	struct shaper *s, const struct shape_class *c, uint32_t index, uint64_t now_ns)
{
	struct queue *q = &s->pool.queues[index];
	const struct queue_lists *flows = &q->host_part.flows;
	uint32_t any = 0;

	if (likely(bucket_valid(s, c, q->host_part.bucket, q->host_part.generation)))
		return host_at(s->shared->hosts, q->host_part.bucket);
	/* Any of its flows knows the host. */
	for (unsigned kind = 0; kind < QUEUE_KINDS && any == 0; kind++)
		any = flows->kind[kind].fresh.head != 0 ? flows->kind[kind].fresh.head
							: flows->kind[kind].old.head;
	host_queue_forget(s, index);
	struct flow_shape *fs = &s->pool.queues[any].flow->shape[s->way];
	struct host *host = flow_host(s, c, s->pool.queues[any].flow, now_ns);
	q->host_part.bucket = fs->host.bucket;
	q->host_part.generation = fs->host.generation;
	s->host_queue[fs->host.bucket] = index;
	return host;
}

/* The queue that is noted for the bucket of a flow, unless it was that of an earlier host. */
static uint32_t noted_queue(
	const struct shaper *s, const struct shape_class *c, const struct flow_shape *fs)
{
	uint32_t i = s->host_queue[fs->host.bucket];
	const struct queue *q = &s->pool.queues[i];

	return i != 0 && q->class_id == class_id_of(s, c) &&
			       q->host_part.generation == fs->host.generation
		       ? i
		       : 0;
}

bool host_has_queue(struct shaper *s, const struct shape_class *c, struct flow *f, uint64_t now_ns)
{
	flow_host(s, c, f, now_ns);
	return noted_queue(s, c, &f->shape[s->way]) != 0;
}

uint32_t host_queue_of(struct shaper *s, struct shape_class *c, struct flow *f, uint64_t now_ns)
{
	struct flow_shape *fs = &f->shape[s->way];

	flow_host(s, c, f, now_ns);
	uint32_t i = noted_queue(s, c, fs);
	if (i != 0)
		return i;
	i = queue_alloc(&s->pool);
	if (i == 0)
		return 0;
	struct queue *q = &s->pool.queues[i];
	memset(&q->host_part, 0, sizeof(q->host_part));
	q->class_id = class_id_of(s, c);
	q->host_part.bucket = fs->host.bucket;
	q->host_part.generation = fs->host.generation;
	q->deficit = SHAPE_FLOW_QUANTUM;
	q->round_at = c->flows.served;
	s->host_queue[fs->host.bucket] = i;
	queue_list_in(s, c, i, QUEUE_NEW);
	return i;
}

bool host_queue_ready(struct shaper *s, const struct shape_class *c, uint32_t index,
	uint64_t now_ns, uint64_t *ready_ns)
{
	struct queue *q = &s->pool.queues[index];

	if (q->host_part.credit > 0)
		return true;
	struct host *host = queue_host(s, c, index, now_ns);
	if (host_ready(host, &c->flow_rate, now_ns))
		return true;
	if (s->workers == 1) {
		*ready_ns = host_ready_ns(host, now_ns);
	} else {
		*ready_ns = host_reserve(host, &c->flow_rate, c->want, now_ns);
		q->host_part.credit = c->want;
	}
	return false;
}

void flow_host_charge(struct shaper *s, const struct shape_class *c, struct flow *f, uint32_t bytes,
	uint64_t now_ns)
{
	struct host *host = flow_host(s, c, f, now_ns);
	uint32_t i = f->shape[s->way].queue;
	struct queue *q = &s->pool.queues[i != 0 ? s->pool.queues[i].host : 0];

	if (q == s->pool.queues || q->host_part.credit == 0) {
		host_charge(host, &c->flow_rate, bytes, now_ns);
	} else if (q->host_part.credit >= bytes) {
		q->host_part.credit -= bytes;
	} else {
		host_correct(
			host, c->flow_rate.inv_q32, (int64_t)q->host_part.credit - (int64_t)bytes);
		q->host_part.credit = 0;
	}
}

void host_queue_forget(struct shaper *s, uint32_t index)
{
	struct queue *q = &s->pool.queues[index];
	const struct shape_class *c = &s->classes[q->class_id];

	if (q->host_part.credit > 0 &&
		bucket_valid(s, c, q->host_part.bucket, q->host_part.generation))
		host_correct(host_at(s->shared->hosts, q->host_part.bucket), c->flow_rate.inv_q32,
			q->host_part.credit);
	q->host_part.credit = 0;
	if (s->host_queue[q->host_part.bucket] == index)
		s->host_queue[q->host_part.bucket] = 0;
}
