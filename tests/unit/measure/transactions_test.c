/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Transactions, rule by rule: conversations written out packet by packet, with the counts, times
 * and sizes that a person would read from them.
 */
#include <netinet/tcp.h>
#include <stdlib.h>

#include <rte_byteorder.h>

#include "dataplane/flow/flow.h"
#include "dataplane/measure/dns_stream.h"
#include "dataplane/measure/http.h"
#include "dataplane/measure/tcp.h"
#include "dataplane/measure/tls.h"
#include "dataplane/measure/transactions.h"
#include "tests/unit/unit.h"

#define MS UINT64_C(1000000)

#define L FROM_LAN
#define W FROM_WAN

static struct measure_transactions c;
static struct measure_class tcp;
static struct flow f;
static uint64_t now;
static uint32_t next[2]; /* sequence numbers */
static uint16_t port;	 /* the server's, in network order */

/* The client is on the LAN. */
static void fresh(void)
{
	memset(&c, 0, sizeof(c));
	memset(&tcp, 0, sizeof(tcp));
	memset(&f, 0, sizeof(f));
	now = 5000000 * MS;
	next[L] = 0xfffffff0; /* wraps at once */
	next[W] = 1000;
	port = 0;
}

static void send_at(uint64_t after, enum measure_from from, unsigned flags, uint32_t seq,
	const void *payload, unsigned len)
{
	struct pkt p = {.flags = PKT_IP | PKT_TCP,
		.dir = from,
		.l4_off = 34,
		.payload_off = 0, /* the frame is the payload here */
		.payload_len = (uint16_t)len,
		.tcp_flags = (uint8_t)flags,
		.tcp_window = 1000,
		.tcp_seq = seq,
		.tcp_ack = flags & TH_ACK ? next[!from] : 0};
	uint8_t *exact = malloc(len > 0 ? len : 1);

	p.key.port[1] = port;
	now += after;
	if (len > 0)
		memcpy(exact, payload, len);
	measure_tcp(&f.measure, &p, from, now, &tcp);
	measure_transaction(&f, &p, exact, len, now, &c);
	free(exact);
}

static void packet(
	uint64_t after, enum measure_from from, unsigned flags, const void *payload, unsigned len)
{
	send_at(after, from, flags, next[from], payload, len);
	next[from] += len + !!(flags & TH_SYN) + !!(flags & TH_FIN);
}

static void say(uint64_t after, enum measure_from from, const char *text)
{
	packet(after, from, TH_ACK | TH_PUSH, text, (unsigned)strlen(text));
}

static void handshake(void)
{
	packet(0, L, TH_SYN, NULL, 0);
	packet(20 * MS, W, TH_SYN | TH_ACK, NULL, 0);
	packet(1 * MS, L, TH_ACK, NULL, 0);
}

/* Within what the times of flows are rounded to. */
static bool is(uint64_t value, uint64_t truth)
{
	return value + 64 >= truth && value <= truth + 64;
}

static void test_general(void)
{
	fresh();
	handshake();
	CU_ASSERT_EQUAL(c.connections, 0);
	say(1 * MS, L, "what is the time");
	say(2 * MS, L, " please"); /* the request ends here */
	packet(20 * MS, W, TH_ACK, NULL, 0);
	say(5 * MS, W, "it is late"); /* 25 ms behind it */
	say(3 * MS, W, ", go home");  /* 30 ms from its first byte */
	CU_ASSERT_EQUAL(c.requests, 1);
	CU_ASSERT_EQUAL(c.responses, 1);
	CU_ASSERT_EQUAL(c.first_byte.count, 1);
	CU_ASSERT(is(c.first_byte.max_ns, 25 * MS));
	CU_ASSERT_EQUAL(c.whole.count, 0);
	packet(1 * MS, L, TH_ACK, NULL, 0);
	/* The next one ends the first; its own is ended by the server's FIN. */
	say(1000 * MS, L, "really?");
	CU_ASSERT_EQUAL(c.whole.count, 1);
	CU_ASSERT(is(c.whole.max_ns, 30 * MS));
	CU_ASSERT_EQUAL(c.request_bytes, 23);
	CU_ASSERT_EQUAL(c.response_bytes, 19);
	say(40 * MS, W, "yes");
	packet(10 * MS, W, TH_FIN | TH_ACK, NULL, 0);
	CU_ASSERT_EQUAL(c.requests, 2);
	CU_ASSERT_EQUAL(c.connections, 1);
	CU_ASSERT_EQUAL(c.whole.count, 2);
	CU_ASSERT(is(c.whole.max_ns, 40 * MS)); /* the FIN is no part of it */
	CU_ASSERT_EQUAL(c.request_bytes, 30);
	CU_ASSERT_EQUAL(c.response_bytes, 22);
	CU_ASSERT_EQUAL(c.http_requests + c.tls_hellos + c.aborted, 0);
}

/* Who has said all ends the connection at once, or much later. */
static void test_ends(void)
{
	fresh();
	handshake();
	say(0, L, "GET /");
	packet(1 * MS, L, TH_FIN | TH_ACK, NULL, 0);
	say(30 * MS, W, "all of it");
	CU_ASSERT(is(c.first_byte.max_ns, 31 * MS));
	packet(5000 * MS, W, TH_FIN | TH_ACK, NULL, 0);
	CU_ASSERT(is(c.whole.max_ns, 31 * MS));
	CU_ASSERT_EQUAL(c.request_bytes, 5);
	fresh();
	handshake();
	say(0, L, "GET /");
	say(30 * MS, W, "a part, ");
	packet(10 * MS, W, TH_FIN | TH_ACK, "and the rest", 12);
	packet(200 * MS, W, TH_FIN | TH_ACK, NULL, 0);
	CU_ASSERT_EQUAL(c.whole.count, 1);
	CU_ASSERT(is(c.whole.max_ns, 40 * MS));
	CU_ASSERT_EQUAL(c.response_bytes, 20);
	/* Said in the SYN already, which is sent twice; the answer has it acknowledged (TFO). */
	fresh();
	packet(0, L, TH_SYN, "GET /", 5);
	send_at(1000 * MS, L, TH_SYN, next[L] - 6, "GET /", 5);
	packet(20 * MS, W, TH_SYN | TH_ACK, NULL, 0);
	packet(1 * MS, L, TH_ACK, NULL, 0);
	say(9 * MS, W, "all of it");
	CU_ASSERT_EQUAL(c.requests, 1);
	CU_ASSERT_EQUAL(c.responses, 1);
	CU_ASSERT_EQUAL(c.first_byte.count, 1);
	/* A keep-alive, whose old byte the response in front of it covers, is no question. */
	fresh();
	handshake();
	say(0, L, "GET /");
	say(30 * MS, W, "all of it");
	send_at(30000 * MS, L, TH_ACK, next[L] - 1, "/", 1);
	packet(20 * MS, W, TH_ACK, NULL, 0);
	CU_ASSERT_EQUAL(c.requests, 1);
	/* The next question, days later. */
	fresh();
	handshake();
	say(0, L, "GET /");
	say(30 * MS, W, "all of it");
	say(1000000000 * MS, L, "GET /");
	CU_ASSERT_EQUAL(c.whole.count, 1);
	CU_ASSERT(is(c.whole.max_ns, 30 * MS));
	/* And an answer that late is known as one without a time. */
	say(300000 * MS, W, "all of it");
	packet(1 * MS, W, TH_FIN | TH_ACK, NULL, 0);
	CU_ASSERT_EQUAL(c.responses, 2);
	CU_ASSERT_EQUAL(c.first_byte.count, 1);
	CU_ASSERT_EQUAL(c.whole.count, 1);
}

/* What is repeated is no turn, nor are greetings of a server. */
static void test_repeated(void)
{
	fresh();
	handshake();
	say(1 * MS, W, "220 hello");
	CU_ASSERT_EQUAL(c.requests + c.responses, 0);
	say(1 * MS, L, "helo");
	say(20 * MS, W, "250 ok");
	send_at(200 * MS, L, TH_ACK, next[L] - 4, "helo", 4);
	CU_ASSERT_EQUAL(c.requests, 1);
	say(1 * MS, W, " and so on");
	CU_ASSERT_EQUAL(c.responses, 1);
	/* A reset in the middle of a request. */
	say(1 * MS, L, "mail from");
	packet(1 * MS, W, TH_RST, NULL, 0);
	CU_ASSERT_EQUAL(c.aborted, 1);
	CU_ASSERT_EQUAL(c.requests, 2);
	/* Another connection between the same ports. */
	handshake();
	say(1 * MS, L, "helo");
	CU_ASSERT_EQUAL(c.connections, 2);
}

static void test_http(void)
{
	fresh();
	handshake();
	say(0, L, "GET / HTTP/1.1\r\n\r\n");
	say(30 * MS, W, "HTTP/1.1 200 OK\r\n\r\n");
	say(5 * MS, W, "body");
	say(10 * MS, L, "POST /form HTTP/1.1\r\nExpect: 100-continue\r\n\r\n");
	say(20 * MS, W, "HTTP/1.1 100 Continue\r\n\r\n");
	say(1 * MS, L, "a=b");
	say(50 * MS, W, "HTTP/1.1 503 Service Unavailable\r\n\r\n");
	say(10 * MS, L, "GET /2 HTTP/1.1\r\n\r\n");
	say(20 * MS, W, "nonsense");
	packet(1 * MS, W, TH_FIN | TH_ACK, NULL, 0);
	CU_ASSERT_EQUAL(c.http_requests, 3);
	CU_ASSERT_EQUAL(c.requests, 3);
	CU_ASSERT_EQUAL(c.connections, 1);
	CU_ASSERT_EQUAL(c.http_status[2], 1);
	CU_ASSERT_EQUAL(c.http_status[1], 1);
	CU_ASSERT_EQUAL(c.http_status[5], 1);
	CU_ASSERT_EQUAL(c.http_status[0], 1);
	CU_ASSERT_EQUAL(c.http_first_byte.count, 3);
	CU_ASSERT_EQUAL(c.http_whole.count, 3);
	CU_ASSERT(is(c.http_first_byte.max_ns, 50 * MS)); /* behind the body */
	CU_ASSERT(is(c.http_whole.max_ns, 71 * MS));
	CU_ASSERT(histogram_min(&c.http_whole) <= 20 * MS); /* without the FIN behind it */
}

static void test_http_bytes(void)
{
	static const char request[] = "DELETE /x HTTP/1.1", response[] = "HTTP/1.0 404 Not";

	CU_ASSERT_TRUE(http_is_request((const uint8_t *)request, sizeof(request) - 1));
	CU_ASSERT_FALSE(http_is_request((const uint8_t *)request, 7));
	CU_ASSERT_FALSE(http_is_request((const uint8_t *)"GETS /", 6));
	CU_ASSERT_TRUE(http_is_request((const uint8_t *)"PROPFIND / HTTP/1.0\nx", 21));
	CU_ASSERT_TRUE(http_is_request((const uint8_t *)"GET / HTTP/1.1\r\n", 16));
	CU_ASSERT_FALSE(http_is_request((const uint8_t *)"OPTIONS * RTSP/1.0\r\n", 20));
	CU_ASSERT_FALSE(http_is_request((const uint8_t *)"GET \r\n", 6));
	CU_ASSERT_FALSE(http_is_request((const uint8_t *)"GET \n", 5));
	CU_ASSERT_EQUAL(http_status((const uint8_t *)response, sizeof(response) - 1), 404);
	CU_ASSERT_EQUAL(http_status((const uint8_t *)response, 11), 0);
	CU_ASSERT_EQUAL(http_status((const uint8_t *)"HTTP/2.0 200 OK", 15), 0);
	CU_ASSERT_EQUAL(http_status((const uint8_t *)"HTTP/1.1 2x0 OK", 15), 0);
}

/* ---- TLS ---- */

/* A record of this type, whose first message has that type, and one byte more. */
static void record(uint64_t after, enum measure_from from, unsigned type, unsigned message)
{
	uint8_t bytes[] = {(uint8_t)type, 3, 3, 0, 2, (uint8_t)message, 0};

	packet(after, from, TH_ACK | TH_PUSH, bytes, sizeof(bytes));
}

/* TLS 1.3: the client's second flight completes it, and carries the first request. */
static void test_tls13(void)
{
	fresh();
	handshake();
	record(0, L, 22, 1);
	record(25 * MS, W, 22, 2);
	record(1 * MS, W, 23, 9);
	record(3 * MS, L, 20, 1);
	CU_ASSERT_EQUAL(c.tls_hellos, 1);
	CU_ASSERT_EQUAL(c.tls_handshakes, 1);
	CU_ASSERT(is(c.tls.max_ns, 29 * MS));
	CU_ASSERT_EQUAL(c.connections, 1);
	record(1 * MS, L, 23, 9);
	record(30 * MS, W, 23, 9);
	record(1 * MS, L, 23, 9);
	CU_ASSERT_EQUAL(c.requests, 2);
	CU_ASSERT(is(c.first_byte.max_ns, 30 * MS));
	/* The client takes its leave. */
	record(30 * MS, W, 23, 9);
	record(1 * MS, L, 21, 9);
	packet(0, L, TH_FIN | TH_ACK, NULL, 0);
	packet(30 * MS, W, TH_FIN | TH_ACK, NULL, 0);
	CU_ASSERT_EQUAL(c.requests, 2);
	CU_ASSERT_EQUAL(c.whole.count, 2);
	CU_ASSERT_EQUAL(c.aborted, 0);
}

/* TLS 1.2, in full: the server's second flight completes it. And after a HelloRetryRequest. */
static void test_tls12(void)
{
	fresh();
	handshake();
	record(0, L, 22, 1);
	record(20 * MS, W, 22, 2);
	record(1 * MS, L, 22, 1);
	record(20 * MS, W, 22, 2);
	record(1 * MS, L, 22, 16);
	CU_ASSERT_EQUAL(c.tls_handshakes, 0);
	record(20 * MS, W, 20, 1);
	CU_ASSERT_EQUAL(c.tls_hellos, 1);
	CU_ASSERT_EQUAL(c.tls_handshakes, 1);
	CU_ASSERT(is(c.tls.max_ns, 62 * MS));
	CU_ASSERT_EQUAL(c.requests, 0);
	record(1 * MS, L, 23, 9);
	record(20 * MS, W, 23, 9);
	CU_ASSERT_EQUAL(c.requests, 1);
	CU_ASSERT_EQUAL(c.responses, 1);
	CU_ASSERT_EQUAL(c.connections, 1);
}

/* A warning that the ServerHello follows is no refusal, and not knowing the server's words does not
 * undo the requests. */
static void test_tls_odd(void)
{
	static const uint8_t warned[] = {21, 3, 3, 0, 2, 1, 112, 22, 3, 3, 0, 2, 2, 0};

	fresh();
	handshake();
	record(0, L, 22, 1);
	packet(20 * MS, W, TH_ACK, warned, sizeof(warned));
	record(5 * MS, L, 20, 1);
	CU_ASSERT_EQUAL(c.tls_handshakes, 1);
	CU_ASSERT(is(c.tls.max_ns, 25 * MS));
	CU_ASSERT_EQUAL(c.tls_alerts, 0);
	for (uint32_t len = 0; len <= 12; len++)
		CU_ASSERT_EQUAL(
			tls_record_of(warned, len), len > 5 && len <= 7 ? TLS_ALERT : TLS_NONE);
	fresh();
	handshake();
	record(0, L, 22, 1);
	say(20 * MS, W, "what?");
	say(20 * MS, L, "never mind");
	say(20 * MS, W, "fine");
	say(20 * MS, L, "then");
	CU_ASSERT_EQUAL(c.requests, 2);
	CU_ASSERT_EQUAL(c.connections, 1);
	/* The client refuses, too: that is no request. */
	fresh();
	handshake();
	record(0, L, 22, 1);
	record(20 * MS, W, 22, 2);
	record(1 * MS, L, 21, 2);
	CU_ASSERT_EQUAL(c.requests + c.connections, 0);
}

static void test_tls_refused(void)
{
	fresh();
	handshake();
	record(0, L, 22, 1);
	record(20 * MS, W, 21, 2);
	packet(1 * MS, W, TH_FIN | TH_ACK, NULL, 0);
	CU_ASSERT_EQUAL(c.tls_alerts, 1);
	CU_ASSERT_EQUAL(c.tls_handshakes + c.requests + c.aborted, 0);
	for (unsigned len = 0; len <= 5; len++)
		CU_ASSERT_EQUAL(
			tls_record_of((const uint8_t[6]){22, 3, 3, 0, 2, 1}, len), TLS_NONE);
	CU_ASSERT_EQUAL(tls_record_of((const uint8_t[6]){22, 3, 3, 0xff, 2, 1}, 6), TLS_NONE);
	CU_ASSERT_EQUAL(tls_record_of((const uint8_t[6]){22, 3, 1, 0, 2, 1}, 6), TLS_CLIENT_HELLO);
	CU_ASSERT_EQUAL(tls_record_of((const uint8_t[6]){23, 3, 3, 0, 19, 1}, 6), TLS_ALERT);
	CU_ASSERT_EQUAL(tls_record_of((const uint8_t[6]){23, 3, 3, 0, 20, 1}, 6), TLS_DATA);
}

/* ---- DNS over TCP ---- */

/* A message of `len` bytes, with its length in front of it. */
static void message(uint64_t after, enum measure_from from, unsigned len, unsigned id,
	bool response, unsigned rcode)
{
	uint8_t bytes[64] = {0, (uint8_t)len, (uint8_t)(id >> 8), (uint8_t)id, response ? 0x80 : 1,
		(uint8_t)rcode, 0, 1};

	packet(after, from, TH_ACK | TH_PUSH, bytes, 2 + len);
}

static void test_dns(void)
{
	struct dns_stream_message m;
	uint8_t bytes[14] = {0, 30, 1, 2, 0x80, 3, 0, 1};

	fresh();
	port = RTE_BE16(53);
	handshake();
	message(0, L, 30, 0x1234, false, 0);
	message(20 * MS, W, 40, 0x1234, true, 0);
	message(1 * MS, L, 30, 7, false, 0); /* the same connection */
	message(25 * MS, W, 40, 7, true, 3);
	message(1 * MS, L, 30, 8, false, 0);
	message(20 * MS, W, 40, 9, true, 0); /* to what? */
	message(1 * MS, L, 30, 10, false, 0);
	message(20 * MS, W, 40, 10, true, 2);
	/* Its length alone, and the message behind it: no figure. */
	say(1 * MS, L, "\x01\x01");
	message(0, L, 30, 11, false, 0);
	say(20 * MS, W, "\x01\x01");
	CU_ASSERT_EQUAL(c.dns_queries, 4);
	CU_ASSERT_EQUAL(c.dns_answers, 3);
	CU_ASSERT_EQUAL(c.dns_nxdomain, 1);
	CU_ASSERT_EQUAL(c.dns_servfail, 1);
	CU_ASSERT_EQUAL(c.dns.count, 3);
	CU_ASSERT(is(c.dns.max_ns, 25 * MS));
	CU_ASSERT_EQUAL(c.requests, 5);
	CU_ASSERT_EQUAL(c.responses, 5);
	/* On another port it is a request like any other. */
	fresh();
	handshake();
	message(0, L, 30, 0x1234, false, 0);
	message(20 * MS, W, 40, 0x1234, true, 0);
	CU_ASSERT_EQUAL(c.requests, 1);
	CU_ASSERT_EQUAL(c.dns_queries, 0);
	for (unsigned len = 0; len < 14; len++)
		CU_ASSERT_FALSE(dns_stream_read(bytes, len, &m));
	CU_ASSERT_TRUE_FATAL(dns_stream_read(bytes, 14, &m));
	CU_ASSERT_EQUAL(m.id, 0x102);
	CU_ASSERT_EQUAL(m.rcode, 3);
	CU_ASSERT_TRUE(m.is_response);
	bytes[1] = 16; /* no room for a question */
	CU_ASSERT_FALSE(dns_stream_read(bytes, 14, &m));
}

UNIT_TESTS("measure transactions", {"in general", test_general}, {"ends", test_ends},
	{"repeated", test_repeated}, {"HTTP", test_http}, {"HTTP bytes", test_http_bytes},
	{"TLS 1.3", test_tls13}, {"TLS 1.2", test_tls12}, {"TLS, odd", test_tls_odd},
	{"TLS refused", test_tls_refused}, {"DNS", test_dns})
