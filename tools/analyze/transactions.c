/* SPDX-License-Identifier: BSD-3-Clause */
/* Transactions of captures. transactions.h is the manual. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/flow/flow.h"
#include "dataplane/measure/record.h"
#include "tools/analyze/transactions.h"

static void *take(size_t size)
{
	void *memory = calloc(1, size);

	if (memory == NULL)
		errx(1, "no memory for transactions");
	return memory;
}

/* What a class has counted: the difference made by a packet is the flow's. */
struct seen {
#define FIELD(name) uint64_t name;
	EACH_TRANSACTION_COUNTER(FIELD)
#undef FIELD
	uint64_t http_status[TRANSACTION_STATUS];
	uint64_t first_byte_ns, whole_ns, tls_ns; /* sums of the samples */
	uint64_t first_bytes, wholes;
};

static struct seen see(const struct measure_transactions *c)
{
	struct seen s = {
#define FIELD(name) .name = c->name,
		EACH_TRANSACTION_COUNTER(FIELD)
#undef FIELD
			.first_byte_ns = c->first_byte.sum_ns,
		.whole_ns = c->whole.sum_ns, .tls_ns = c->tls.sum_ns,
		.first_bytes = c->first_byte.count, .wholes = c->whole.count};

	memcpy(s.http_status, c->http_status, sizeof(s.http_status));
	return s;
}

static void keep(struct analysis_flow *flow, const struct seen *before, const struct seen *now)
{
	struct analysis_transactions *t;

	if (memcmp(before, now, sizeof(*now)) == 0)
		return;
	if (flow->transactions == NULL)
		flow->transactions = take(sizeof(*flow->transactions));
	t = flow->transactions;
#define ADD(name) t->name += now->name - before->name;
	EACH_TRANSACTION_COUNTER(ADD)
#undef ADD
	for (unsigned i = 0; i < TRANSACTION_STATUS; i++)
		t->http_status[i] += now->http_status[i] - before->http_status[i];
	/* One packet begins at most one response, and ends one. */
	if (now->first_bytes > before->first_bytes)
		samples_add(&t->first_byte, now->first_byte_ns - before->first_byte_ns);
	if (now->wholes > before->wholes)
		samples_add(&t->whole, now->whole_ns - before->whole_ns);
	if (t->tls_ns == 0)
		t->tls_ns = now->tls_ns - before->tls_ns;
}

void transactions_packet(struct analysis_class *class, struct analysis_flow *flow, struct flow *f,
	const struct rte_mbuf *m, uint64_t now_ns)
{
	struct seen before, now;

	if (class->transactions == NULL)
		class->transactions = take(sizeof(*class->transactions));
	before = see(class->transactions);
	measure_transaction(f, pkt_of((struct rte_mbuf *)(uintptr_t)m),
		rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, now_ns, class->transactions);
	if (flow == NULL)
		return;
	now = see(class->transactions);
	keep(flow, &before, &now);
}

static uint64_t per_s_1000(uint64_t count, uint64_t duration_ns)
{
	return duration_ns == 0 ? UINT64_MAX
				: (uint64_t)((double)count * 1e12 / (double)duration_ns);
}

/* Each may be NULL. */
static void fill_dns(const struct measure_datagrams *d, const struct measure_transactions *t,
	struct transactions_record *r)
{
	static struct histogram all; /* too large for the stack */

	memset(&all, 0, sizeof(all));
	if (t != NULL) {
		histogram_merge(&all, &t->dns);
		r->dns_queries = r->dns_tcp_queries = t->dns_queries;
		r->dns_answers = t->dns_answers;
		r->dns_servfail = t->dns_servfail;
		r->dns_nxdomain = t->dns_nxdomain;
	}
	for (unsigned side = 0; d != NULL && side < 2; side++) {
		histogram_merge(&all, &d->dns[side]);
		r->dns_queries += d->dns_queries[side];
		r->dns_again += d->dns_again[side];
		r->dns_answers += d->dns_answers[side];
		r->dns_servfail += d->dns_servfail[side];
		r->dns_nxdomain += d->dns_nxdomain[side];
		r->dns_timeouts += d->dns_timeouts[side];
	}
	r->dns = measure_dist(&all);
}

void transactions_record_of(const struct analysis_class *class, const char *name,
	uint64_t duration_ns, struct transactions_record *r)
{
	*r = (struct transactions_record){0};
	snprintf(r->class_name, sizeof(r->class_name), "%s", name);
	r->open = class->open;
	if (class->measure != NULL) {
		r->connections = class->measure->connections;
		r->connections_failed = class->measure->failed;
		r->connect = measure_dist(&class->measure->connect);
	}
	if (class->transactions != NULL)
		measure_transactions_record(class->transactions, r);
	fill_dns(class->datagrams, class->transactions, r);
	r->connections_per_s_1000 = per_s_1000(r->connections, duration_ns);
	r->requests_per_s_1000 = per_s_1000(r->requests, duration_ns);
}

void transactions_free(struct analysis_transactions *t)
{
	if (t == NULL)
		return;
	samples_free(&t->first_byte);
	samples_free(&t->whole);
	free(t);
}
