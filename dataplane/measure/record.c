/* SPDX-License-Identifier: BSD-3-Clause */
/* Figures for the channel, see record.h. */
#include "dataplane/measure/record.h"

#include <string.h>

struct channel_dist measure_dist(const struct histogram *h)
{
	return (struct channel_dist){.samples = h->count,
		.min_ns = histogram_min(h),
		.p50_ns = histogram_percentile(h, 50),
		.p90_ns = histogram_percentile(h, 90),
		.p99_ns = histogram_percentile(h, 99),
		.p999_ns = histogram_percentile(h, 99.9),
		.max_ns = histogram_max(h)};
}

void measure_transactions_record(
	const struct measure_transactions *t, struct transactions_record *r)
{
	r->used = t->connections;
	r->requests = t->requests;
	r->responses = t->responses;
	r->aborted = t->aborted;
	r->request_bytes = t->request_bytes;
	r->response_bytes = t->response_bytes;
	r->first_byte = measure_dist(&t->first_byte);
	r->whole = measure_dist(&t->whole);
	r->http_requests = t->http_requests;
	memcpy(r->http_status, t->http_status, sizeof(r->http_status));
	r->http_first_byte = measure_dist(&t->http_first_byte);
	r->http_whole = measure_dist(&t->http_whole);
	r->tls_hellos = t->tls_hellos;
	r->tls_handshakes = t->tls_handshakes;
	r->tls_alerts = t->tls_alerts;
	r->tls = measure_dist(&t->tls);
}
