/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests and responses of TCP connections, see transactions.h. Two bits of struct flow.flags say
 * who spoke last; where another speaks now, the packet is looked at. When somebody spoke last is
 * known to the TCP measurement.
 *
 * Sizes are differences of sequence numbers. What the server acknowledges with the first packet of
 * its response is the request; what the client has acknowledged when it asks again, or the server
 * has sent when it ends the connection, is the response.
 *
 * TLS: the time from the ClientHello to the flight that completes the handshake, which is the
 * client's second in TLS 1.3 (it begins with change_cipher_spec or is encrypted) and in resumed
 * sessions, and the server's second in TLS 1.2. What the client says from then on are requests. A
 * server's session ticket right after the handshake is taken for its first response.
 */
#include <rte_byteorder.h>

#include "dataplane/flow/flow.h"
#include "dataplane/measure/dns_stream.h"
#include "dataplane/measure/http.h"
#include "dataplane/measure/tcp_private.h"
#include "dataplane/measure/tls.h"
#include "dataplane/measure/transactions.h"

#define SIZE_MOST (1u << 31) /* of what sequence numbers can tell */

enum transaction_state { IDLE, REQUESTED, RESPONDED };

enum transaction_protocol {
	PROTOCOL_UNKNOWN, /* there was no request yet */
	PROTOCOL_OTHER,
	PROTOCOL_HTTP,
	PROTOCOL_DNS,	     /* the ID of the query is in hello_tick */
	PROTOCOL_TLS_HELLO,  /* ClientHello seen */
	PROTOCOL_TLS_SERVER, /* and the server's flight */
	PROTOCOL_TLS_CLIENT, /* and more of the client's handshake: TLS 1.2 */
	PROTOCOL_TLS,	     /* handshake complete */
};

/* One packet, and what is known of it. */
struct said {
	const struct pkt *p;
	const uint8_t *bytes; /* of its payload */
	uint32_t len;
	bool by_client;
	enum measure_from from;
	uint64_t now; /* ticks */
};

/* Is a time of that epoch so soon behind the request that the difference of ticks tells it? */
static bool is_near(const struct transactions_flow *t, unsigned epoch)
{
	return epoch_is_near(t->epoch, epoch);
}

/* Differences below zero are of sides that go on behind their FIN. */
static void record(struct histogram *h, uint32_t ticks)
{
	if (ticks <= INT32_MAX)
		histogram_record(h, (uint64_t)ticks << TICK_SHIFT);
}

static bool in_tls_handshake(const struct transactions_flow *t)
{
	return t->protocol >= PROTOCOL_TLS_HELLO && t->protocol < PROTOCOL_TLS;
}

/* The response ended before this packet. `acked`: what the client has of the server's data. */
static void finish(struct flow *f, struct said *s, uint32_t acked, struct measure_transactions *c)
{
	struct transactions_flow *t = &f->transactions;
	enum measure_from server = s->by_client ? !s->from : s->from;
	uint32_t ticks = said_last(&f->measure, server) - t->request_tick;
	uint32_t size = acked - t->request_ack;

	t->state = IDLE;
	if (!is_near(t, epoch_of(&f->measure, server)))
		return;
	record(&c->whole, ticks);
	if (t->protocol == PROTOCOL_HTTP)
		record(&c->http_whole, ticks);
	if (size < SIZE_MOST)
		c->response_bytes += size;
}

#define PORT_DNS RTE_BE16(53)
#define SERVFAIL 2
#define NXDOMAIN 3

/* Is it a DNS query? */
static bool ask_dns(struct transactions_flow *t, struct said *s, struct measure_transactions *c)
{
	struct dns_stream_message message;

	if (s->p->key.port[!s->p->dir] != PORT_DNS ||
		!dns_stream_read(s->bytes, s->len, &message) || message.is_response)
		return false;
	t->hello_tick = message.id;
	c->dns_queries++;
	return true;
}

/* The response to a DNS query. */
static void answer_dns(struct transactions_flow *t, struct said *s, struct measure_transactions *c)
{
	struct dns_stream_message message;

	if (!dns_stream_read(s->bytes, s->len, &message) || !message.is_response ||
		message.id != t->hello_tick)
		return; /* to another one */
	c->dns_answers++;
	c->dns_servfail += message.rcode == SERVFAIL;
	c->dns_nxdomain += message.rcode == NXDOMAIN;
	if (is_near(t, EPOCH(s->now)))
		record(&c->dns, (uint32_t)s->now - t->request_tick);
}

static enum transaction_protocol protocol_of(
	struct transactions_flow *t, struct said *s, struct measure_transactions *c)
{
	if (ask_dns(t, s, c))
		return PROTOCOL_DNS;
	return http_is_request(s->bytes, s->len) ? PROTOCOL_HTTP : PROTOCOL_OTHER;
}

/* The client speaks first, or after the server. */
static void ask(struct flow *f, struct said *s, struct measure_transactions *c)
{
	struct transactions_flow *t = &f->transactions;
	enum tls_record record_type = tls_record_of(s->bytes, s->len);
	bool is_first = t->protocol == PROTOCOL_UNKNOWN;

	if (t->state == REQUESTED && !in_tls_handshake(t))
		return; /* goes on after "100 Continue" */
	if (t->state == RESPONDED)
		finish(f, s, s->p->tcp_ack, c);
	if (record_type == TLS_ALERT)
		return; /* "close notify", or what the server said was wrong: no question */
	t->request_tick = (uint32_t)s->now;
	t->request_seq = s->p->tcp_seq;
	t->request_ack = s->p->tcp_ack;
	t->epoch = (uint8_t)EPOCH(s->now);
	if (record_type == TLS_CLIENT_HELLO && (is_first || t->protocol == PROTOCOL_TLS_SERVER)) {
		if (is_first) {
			t->hello_tick = (uint32_t)s->now;
			c->tls_hellos++;
		}
		t->protocol = PROTOCOL_TLS_HELLO;
		return;
	}
	if (t->protocol == PROTOCOL_TLS_SERVER && record_type == TLS_HANDSHAKE) {
		t->protocol = PROTOCOL_TLS_CLIENT;
		return;
	}
	if (t->protocol == PROTOCOL_TLS_SERVER &&
		(record_type == TLS_CHANGE_CIPHER_SPEC || record_type == TLS_DATA)) {
		t->protocol = PROTOCOL_TLS;
		c->tls_handshakes++;
		c->connections++;
		record(&c->tls, (uint32_t)s->now - t->hello_tick);
	} else if (in_tls_handshake(t)) {
		t->protocol = PROTOCOL_OTHER; /* not as we know it */
		c->connections++;
	} else if (t->protocol != PROTOCOL_TLS) {
		t->protocol = protocol_of(t, s, c);
	}
	t->state = REQUESTED;
	c->connections += is_first;
	c->requests++;
	c->http_requests += t->protocol == PROTOCOL_HTTP;
}

/* The server answers a flight of TLS's handshake. */
static void answer_tls(struct transactions_flow *t, struct said *s, struct measure_transactions *c)
{
	enum tls_record record_type = tls_record_of(s->bytes, s->len);

	if (record_type == TLS_ALERT) {
		c->tls_alerts++;
		t->protocol = PROTOCOL_UNKNOWN;
	} else if (t->protocol == PROTOCOL_TLS_HELLO) {
		t->protocol =
			record_type == TLS_SERVER_HELLO ? PROTOCOL_TLS_SERVER : PROTOCOL_UNKNOWN;
	} else if (t->protocol == PROTOCOL_TLS_CLIENT &&
		   (record_type == TLS_CHANGE_CIPHER_SPEC || record_type == TLS_HANDSHAKE)) {
		t->protocol = PROTOCOL_TLS;
		c->tls_handshakes++;
		c->connections++;
		record(&c->tls, (uint32_t)s->now - t->hello_tick);
	}
}

/* The server speaks after the client. */
static void answer(struct flow *f, struct said *s, struct measure_transactions *c)
{
	struct transactions_flow *t = &f->transactions;
	uint32_t ticks = (uint32_t)s->now - said_last(&f->measure, !s->from);
	uint32_t size = s->p->tcp_ack - t->request_seq;
	unsigned status;

	if ((f->measure.flags & F_FIN(!s->from)) &&
		s->p->tcp_ack == f->measure.half[!s->from].next_seq)
		size--; /* the FIN's */
	if (in_tls_handshake(t)) {
		answer_tls(t, s, c);
		return;
	}
	if (t->state != REQUESTED)
		return;
	if (t->protocol == PROTOCOL_HTTP) {
		status = http_status(s->bytes, s->len);
		if (status / 100 == 1) {
			c->http_status[1]++;
			return;
		}
		c->http_status[status / 100 < TRANSACTION_STATUS ? status / 100 : 0]++;
	}
	if (t->protocol == PROTOCOL_DNS)
		answer_dns(t, s, c);
	t->state = RESPONDED;
	c->responses++;
	if (size < SIZE_MOST)
		c->request_bytes += size;
	if (!is_near(t, EPOCH(s->now)))
		return;
	record(&c->first_byte, ticks);
	if (t->protocol == PROTOCOL_HTTP)
		record(&c->http_first_byte, ticks);
}

/* FIN or RST. */
static void end(struct flow *f, struct said *s, struct measure_transactions *c)
{
	struct transactions_flow *t = &f->transactions;
	bool reset = s->p->tcp_flags & TH_RST; /* its numbers mean nothing */

	if (t->state == REQUESTED && !in_tls_handshake(t) && (reset || !s->by_client)) {
		c->aborted++;
		t->state = IDLE;
	} else if (t->state == RESPONDED && !reset) {
		finish(f, s, s->by_client ? s->p->tcp_ack : s->p->tcp_seq + s->p->payload_len, c);
	}
}

void measure_transaction(struct flow *f, const struct pkt *p, const uint8_t *frame,
	uint32_t data_len, uint64_t now_ns, struct measure_transactions *c)
{
	enum measure_from from = p->dir == f->lan_dir ? FROM_LAN : FROM_WAN;
	uint32_t there = data_len > p->payload_off ? data_len - p->payload_off : 0;
	struct said s = {.p = p,
		.bytes = frame + p->payload_off,
		.len = p->payload_len < there ? p->payload_len : there,
		.by_client = p->dir == f->initiator,
		.from = from,
		.now = now_ns >> TICK_SHIFT};

	if ((f->flags & FLOW_OTHER) || !transactions_concern(f, p, from))
		return;
	/* The SYN of another connection, which may carry data (RFC 7413). */
	if ((p->tcp_flags & (TH_SYN | TH_ACK)) == TH_SYN && state_of(&f->measure) == F_SYN &&
		f->measure.syn_retries == 0) {
		f->transactions = (struct transactions_flow){0};
		f->flags &= (uint8_t) ~(FLOW_SAID | FLOW_SAID_WAN);
	}
	/* What measure_tcp() did not take for data of this connection (keep-alives, probes of a
	 * closed window, answers to another SYN) says nothing. */
	if (p->payload_len > 0 && !(p->flags & PKT_RETRANSMIT) &&
		f->measure.half[from].last_tick == (uint32_t)s.now) {
		uint8_t said = (uint8_t)(FLOW_SAID | (from == FROM_WAN ? FLOW_SAID_WAN : 0));

		if ((f->flags & (FLOW_SAID | FLOW_SAID_WAN)) != said) {
			f->flags = (uint8_t)((f->flags & ~FLOW_SAID_WAN) | said);
			if (s.by_client)
				ask(f, &s, c);
			else
				answer(f, &s, c);
		}
	}
	if (p->tcp_flags & (TH_FIN | TH_RST))
		end(f, &s, c);
}

void measure_transactions_merge(
	struct measure_transactions *into, const struct measure_transactions *from)
{
#define ADD(field) into->field += __atomic_load_n(&from->field, __ATOMIC_RELAXED)
	histogram_merge(&into->first_byte, &from->first_byte);
	histogram_merge(&into->whole, &from->whole);
	histogram_merge(&into->http_first_byte, &from->http_first_byte);
	histogram_merge(&into->http_whole, &from->http_whole);
	histogram_merge(&into->tls, &from->tls);
	histogram_merge(&into->dns, &from->dns);
	ADD(connections);
	ADD(requests);
	ADD(responses);
	ADD(aborted);
	ADD(request_bytes);
	ADD(response_bytes);
	ADD(http_requests);
	for (unsigned i = 0; i < TRANSACTION_STATUS; i++)
		ADD(http_status[i]);
	ADD(tls_hellos);
	ADD(tls_handshakes);
	ADD(tls_alerts);
	ADD(dns_queries);
	ADD(dns_answers);
	ADD(dns_servfail);
	ADD(dns_nxdomain);
#undef ADD
}
