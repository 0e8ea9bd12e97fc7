/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What dataplane/measure/transactions.h says of a capture, per flow and per class. analysis.c gives
 * it each TCP packet behind measure_tcp(), the report asks for it.
 */
#ifndef SLUICE_ANALYZE_TRANSACTIONS_H
#define SLUICE_ANALYZE_TRANSACTIONS_H

#include "controlplane/channel/messages.h"
#include "tools/analyze/analysis.h"

/* The counters that a flow has as its class does (struct measure_transactions). */
#define EACH_TRANSACTION_COUNTER(X)                                                                \
	X(connections)                                                                             \
	X(requests)                                                                                \
	X(responses)                                                                               \
	X(aborted)                                                                                 \
	X(request_bytes)                                                                           \
	X(response_bytes)                                                                          \
	X(http_requests)                                                                           \
	X(tls_hellos)                                                                              \
	X(tls_handshakes)                                                                          \
	X(tls_alerts)

/* Of one flow. */
struct analysis_transactions {
#define FIELD(name) uint64_t name;
	EACH_TRANSACTION_COUNTER(FIELD)
#undef FIELD
	uint64_t http_status[TRANSACTION_STATUS];
	struct samples first_byte, whole;
	uint64_t tls_ns; /* of its first TLS handshake, 0: none */
};

/* Take the packet in `m` of flow f. flow: NULL, or where it is kept. Ends the program without
 * memory. */
void transactions_packet(struct analysis_class *class, struct analysis_flow *flow, struct flow *f,
	const struct rte_mbuf *m, uint64_t now_ns);

/* A class as the daemon would answer; rates are means over duration_ns. */
void transactions_record_of(const struct analysis_class *class, const char *name,
	uint64_t duration_ns, struct transactions_record *r);

/* NULL is allowed. */
void transactions_free(struct analysis_transactions *t);

#endif
