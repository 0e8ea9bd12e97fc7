/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Transactions of TCP connections, from where the box stands: a request is what the client says
 * after the server has spoken (or first), its response what the server says then. Client is who
 * opened the flow. HTTP/1 (http.h), TLS (tls.h) and DNS (dns_stream.h) are recognised by the first
 * bytes of a request or response. What is said in one breath counts as one: pipelined requests do.
 *
 * Only the first packet of each request and response is looked at; packets that repeat data
 * (PKT_RETRANSMIT) never are. Times are taken at the box. Threads as in tcp.h.
 */
#ifndef SLUICE_MEASURE_TRANSACTIONS_H
#define SLUICE_MEASURE_TRANSACTIONS_H

#include <stdint.h>

#include <netinet/tcp.h>
#include <stdbool.h>

#include "dataplane/flow/flow.h"
#include "dataplane/measure/histogram.h"
#include "dataplane/measure/tcp.h"
#include "dataplane/measure/transactions_flow.h"

/* HTTP status codes by their first digit; [0]: none that is known. */
#define TRANSACTION_STATUS 6

/* The figures of one class on one worker. Zeroed memory is the empty set. Written by the worker. */
struct measure_transactions {
	struct histogram first_byte; /* last byte of the request to the first of the response */
	struct histogram whole;	     /* first byte of the request to the last of the response */
	struct histogram http_first_byte, http_whole; /* the same of HTTP/1 requests alone */
	struct histogram tls; /* ClientHello to the client's or server's Finished, the later */
	uint64_t connections; /* on which there was a request */
	uint64_t requests;    /* TLS's handshake is none */
	uint64_t responses;   /* requests that were answered */
	uint64_t aborted;     /* connection ended before the response began */
	uint64_t request_bytes, response_bytes; /* payloads of those that were answered, finished */
	uint64_t http_requests;
	uint64_t http_status[TRANSACTION_STATUS];
	uint64_t tls_hellos, tls_handshakes, tls_alerts; /* begun, complete, refused by an alert */
	/* DNS over TCP (dns_stream.h): the first query of what a client says in one breath. */
	struct histogram dns; /* its first byte to that of the response under the same ID */
	uint64_t dns_queries, dns_answers, dns_servfail, dns_nxdomain;
};

/* Did another side speak last than `from`, or none? */
static inline bool transactions_other_speaks(const struct flow *f, enum measure_from from)
{
	return (f->flags & (FLOW_SAID | FLOW_SAID_WAN)) !=
	       (FLOW_SAID | (from == FROM_WAN ? FLOW_SAID_WAN : 0));
}

/*
 * Is there something to look at? From the flow's first line alone, and without a branch: whether
 * the next packet carries data is up to chance. `from`: the side that it comes from.
 */
static inline bool transactions_concern(
	const struct flow *f, const struct pkt *p, enum measure_from from)
{
	bool speaks = (p->payload_len != 0) & transactions_other_speaks(f, from);
	bool ends = ((p->tcp_flags & (TH_FIN | TH_RST | TH_SYN)) != 0) &
		    ((f->flags & (FLOW_SAID | FLOW_SAID_WAN)) != 0);

	return speaks | ends;
}

/*
 * One TCP packet of a flow, after measure_tcp(), from a frame of which data_len bytes may be read.
 * Owning worker only.
 */
void measure_transaction(struct flow *f, const struct pkt *p, const uint8_t *frame,
	uint32_t data_len, uint64_t now_ns, struct measure_transactions *c);

/* Add the figures of `from` to `into`, which belongs to the caller (control thread). */
void measure_transactions_merge(
	struct measure_transactions *into, const struct measure_transactions *from);

#endif
