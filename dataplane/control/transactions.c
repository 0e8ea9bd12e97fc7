/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `show transactions`: what the workers counted of requests, by class, and how many there were in
 * the last second (transactions.h).
 */
#include <stdlib.h>
#include <string.h>

#include "dataplane/clock.h"
#include "dataplane/control/show.h"
#include "dataplane/control/transactions.h"
#include "dataplane/measure/record.h"

/* Of one class id. */
struct counted {
	uint64_t requests, connections;
	uint64_t requests_1000, connections_1000; /* in thousandths per second */
};

struct transaction_rates {
	uint64_t last_ns;
	uint32_t count;
	struct counted class[];
};

struct transaction_rates *transaction_rates_create(const struct daemon *d)
{
	uint32_t count = d->workers[0]->measured + 1; /* the last is of all the others */
	struct transaction_rates *rates =
		calloc(1, sizeof(*rates) + count * sizeof(rates->class[0]));

	if (rates != NULL)
		rates->count = count;
	return rates;
}

void transaction_rates_destroy(struct transaction_rates *rates)
{
	free(rates);
}

void transaction_rates_tick(
	struct transaction_rates *rates, const struct daemon *d, uint64_t now_ns)
{
	uint64_t elapsed_ns = now_ns - rates->last_ns;

	if (elapsed_ns < NS_PER_S)
		return;
	for (uint32_t i = 0; i < rates->count; i++) {
		struct counted *k = &rates->class[i], now = {0};

		for (unsigned w = 0; w < d->worker_count; w++) {
			now.requests += __atomic_load_n(
				&d->workers[w]->transactions[i].requests, __ATOMIC_RELAXED);
			now.connections += __atomic_load_n(
				&d->workers[w]->measure[i].connections, __ATOMIC_RELAXED);
		}
		now.requests_1000 = (uint64_t)((double)(now.requests - k->requests) * 1e12 /
					       (double)elapsed_ns);
		now.connections_1000 = (uint64_t)((double)(now.connections - k->connections) *
						  1e12 / (double)elapsed_ns);
		*k = now;
	}
	rates->last_ns = now_ns;
}

/* The sums over the workers, and some or all classes. Too large for the stack. */
static struct measure_transactions transactions;
static struct measure_datagrams datagrams;
static struct measure_class tcp;
static uint64_t requests_1000, connections_1000;

static void merge_none(void)
{
	memset(&transactions, 0, sizeof(transactions));
	memset(&datagrams, 0, sizeof(datagrams));
	memset(&tcp, 0, sizeof(tcp));
	requests_1000 = connections_1000 = 0;
}

static void merge(const struct control *c, uint32_t id)
{
	const struct daemon *d = c->daemon;

	requests_1000 += c->transaction_rates->class[id].requests_1000;
	connections_1000 += c->transaction_rates->class[id].connections_1000;
	for (unsigned w = 0; w < d->worker_count; w++) {
		const struct worker *worker = d->workers[w];

		measure_transactions_merge(&transactions, &worker->transactions[id]);
		measure_datagrams_merge(&datagrams, &worker->datagrams[id]);
		histogram_merge(&tcp.connect, &worker->measure[id].connect);
		tcp.connections += worker->measure[id].connections;
		tcp.failed += worker->measure[id].failed;
	}
}

static void fill(struct transactions_record *r)
{
	const struct measure_transactions *t = &transactions;

	r->requests_per_s_1000 = requests_1000;
	r->connections_per_s_1000 = connections_1000;
	r->connections = tcp.connections;
	r->connections_failed = tcp.failed;
	r->connect = measure_dist(&tcp.connect);
	measure_transactions_record(t, r);
	for (unsigned side = 0; side < 2; side++) {
		r->dns_queries += datagrams.dns_queries[side];
		r->dns_again += datagrams.dns_again[side];
		r->dns_answers += datagrams.dns_answers[side];
		r->dns_servfail += datagrams.dns_servfail[side];
		r->dns_nxdomain += datagrams.dns_nxdomain[side];
		r->dns_timeouts += datagrams.dns_timeouts[side];
	}
	r->dns_queries += t->dns_queries;
	r->dns_answers += t->dns_answers;
	r->dns_servfail += t->dns_servfail;
	r->dns_nxdomain += t->dns_nxdomain;
	r->dns_tcp_queries = t->dns_queries;
	histogram_merge(&datagrams.dns[0], &datagrams.dns[1]);
	histogram_merge(&datagrams.dns[0], &t->dns);
	r->dns = measure_dist(&datagrams.dns[0]);
}

int show_transactions(
	void *context, const struct page_request *request, struct channel_reply *reply)
{
	const struct control *c = context;
	const struct plan *plan = c->daemon->plan;
	uint64_t start_ns = clock_now_ns(), total = plan->policy->class_count + 1;
	uint32_t measured = c->daemon->workers[0]->measured;

	for (uint64_t at = request->from; at < total; at++) {
		struct transactions_record r = {0};

		if (channel_reply_room(reply) == 0 ||
			(at > request->from && clock_now_ns() - start_ns > SHOW_PAGE_NS)) {
			channel_reply_next(reply, at, total);
			return 0;
		}
		merge_none();
		if (at == plan->policy->class_count) {
			for (uint32_t id = 0; id <= measured; id++)
				merge(c, id);
			r.open = connections_open_all(c->connections);
		} else {
			uint32_t id = plan->class_id_of[at];
			if (id >= measured)
				continue;
			merge(c, id);
			r.open = connections_open(c->connections, id);
			show_name(r.class_name, plan->policy->classes[at].name);
		}
		fill(&r);
		channel_send_transactions(reply, &r);
	}
	return 0;
}
