/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs the TCP measurement over a capture file, for pcap_check.py, which compares with other tools.
 * The frames are read here and not by packet/, so that the two are independent. The side that sends
 * a flow's first packet is called the LAN.
 *
 *     pcap_check FILE [LAN]
 *
 * Prints a line for each sample and event: "rtt FRAME lan|wan NS", "again FRAME
 * before|after|needless", "late FRAME", "copy FRAME", "connect FRAME NS"; frames count from 1, as in
 * tshark. Then a line of sums for each side that sends. With LAN, an IPv4 or IPv6 address, the host
 * of that address is the LAN's.
 */
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#include <pcap/pcap.h>

#include "dataplane/measure/tcp.h"
#include "dataplane/packet/packet.h"

#define FLOWS 65536

struct endpoint {
	uint8_t addr[16];
	uint16_t port;
};

struct conversation {
	struct endpoint lan, wan;
	struct flow_measure measure;
	struct conversation *next;
};

static struct conversation *table[FLOWS];
static struct measure_class c;

static uint16_t be16(const uint8_t *b)
{
	return (uint16_t)(b[0] << 8 | b[1]);
}

static uint32_t be32(const uint8_t *b)
{
	return (uint32_t)be16(b) << 16 | be16(b + 2);
}

static bool same(const struct endpoint *a, const struct endpoint *b)
{
	return memcmp(a->addr, b->addr, 16) == 0 && a->port == b->port;
}

static struct conversation *find(const struct endpoint *from, const struct endpoint *to)
{
	uint32_t hash = (uint32_t)(from->port + to->port) * 7919;

	for (unsigned i = 0; i < 16; i++)
		hash += (uint32_t)(from->addr[i] + to->addr[i]) * (i + 1) * 31;
	struct conversation **slot = &table[hash % FLOWS];
	for (struct conversation *v = *slot; v != NULL; v = v->next)
		if ((same(&v->lan, from) && same(&v->wan, to)) ||
			(same(&v->lan, to) && same(&v->wan, from)))
			return v;
	struct conversation *v = calloc(1, sizeof(*v));
	v->lan = *from;
	v->wan = *to;
	v->next = *slot;
	return *slot = v;
}

/* A whole TCP segment at `b`, or false. */
static bool read_tcp(
	const uint8_t *b, uint32_t len, struct pkt *p, struct endpoint *from, struct endpoint *to)
{
	if (len < 20)
		return false;
	uint32_t header = (b[12] >> 4) * 4u;
	if (header < 20 || header > len)
		return false;
	from->port = be16(b);
	to->port = be16(b + 2);
	p->flags = PKT_IP | PKT_TCP;
	p->tcp_seq = be32(b + 4);
	p->tcp_ack = be32(b + 8);
	p->tcp_flags = b[13];
	p->tcp_window = be16(b + 14);
	p->tcp = b;
	p->payload_off = (uint16_t)header; /* l4_off is 0 */
	p->payload_len = (uint16_t)(len - header);
	for (uint32_t at = 20; at < header && b[at] != 0;) {
		uint32_t size = b[at] == 1 ? 1 : at + 1 < header ? b[at + 1] : 0;

		if (size == 0 || at + size > header)
			break;
		if (b[at] != 1 && b[at] != 8)
			p->flags |= PKT_TCP_OPTIONS;
		if (b[at] == 8 && size == 10) {
			p->flags |= PKT_TCP_TS;
			p->tcp_tsval = be32(b + at + 2);
			p->tcp_tsecr = be32(b + at + 6);
		}
		at += size;
	}
	return true;
}

/* An IP packet of which `caught` bytes are there. Payload that was cut off counts all the same. */
static bool read_ip(const uint8_t *b, uint32_t caught, struct pkt *p, struct endpoint *from,
	struct endpoint *to)
{
	uint32_t header, total;

	if (caught >= 20 && b[0] >> 4 == 4) {
		header = (b[0] & 15) * 4u;
		total = be16(b + 2);
		p->ecn = b[1] & 3;
		if (b[9] != 6 || (be16(b + 6) & 0x3fff) != 0 || header < 20)
			return false;
		memcpy(from->addr, b + 12, 4);
		memcpy(to->addr, b + 16, 4);
	} else if (caught >= 40 && b[0] >> 4 == 6) {
		header = 40;
		total = 40u + be16(b + 4);
		p->ecn = b[1] >> 4 & 3;
		if (b[6] != 6)
			return false;
		memcpy(from->addr, b + 8, 16);
		memcpy(to->addr, b + 24, 16);
	} else {
		return false;
	}
	if (total < header + 20 || caught < header + 20 ||
		caught < header + (b[header + 12] >> 4) * 4u)
		return false;
	return read_tcp(b + header, total - header, p, from, to);
}

static uint32_t ip_offset(int link_type, const uint8_t *b, uint32_t caught)
{
	uint32_t at = 12;

	switch (link_type) {
	case DLT_RAW:
		return 0;
	case DLT_LINUX_SLL:
		return 16;
	case DLT_NULL:
		return 4;
	case DLT_EN10MB:
		while (at + 6 <= caught && (be16(b + at) == 0x8100 || be16(b + at) == 0x88a8))
			at += 4;
		return at + 2;
	default:
		return UINT32_MAX;
	}
}

/* Counters of all flows, at the end. */
static void report_sums(void)
{
	static const char *const names[] = {"lan", "wan"};

	for (unsigned i = 0; i < 2; i++) {
		printf("sum %s data %lu before %lu after %lu needless %lu fast %lu timeout %lu dsack %lu "
		       "duplicate %lu reordered %lu reorder_max %lu zero %lu ce %lu ece %lu cwr %lu "
		       "delayed %lu loss_before %.6f loss_after %.6f network %lu receiver %lu "
		       "sender %lu\n",
			names[i], c.data_packets[i], c.retransmits_before[i],
			c.retransmits_after[i], c.retransmits_needless[i], c.retransmits_fast[i],
			c.retransmits_timeout[i], c.dsacks[i], c.duplicates[i], c.reordered[i],
			c.reorder_max_bytes[i], c.zero_windows[i], c.ce[i], c.ece[i], c.cwr[i],
			c.rtt_delayed[i], measure_loss_before(&c, i), measure_loss_after(&c, i),
			c.limited_ns[i][LIMIT_NETWORK], c.limited_ns[i][LIMIT_RECEIVER],
			c.limited_ns[i][LIMIT_SENDER]);
	}
}

static void report(unsigned frame, const struct measure_class *before)
{
	if (c.rtt_lan.count > before->rtt_lan.count)
		printf("rtt %u lan %lu\n", frame, c.rtt_lan.sum_ns - before->rtt_lan.sum_ns);
	if (c.rtt_wan.count > before->rtt_wan.count)
		printf("rtt %u wan %lu\n", frame, c.rtt_wan.sum_ns - before->rtt_wan.sum_ns);
	if (c.connect.count > before->connect.count)
		printf("connect %u %lu\n", frame, c.connect.sum_ns - before->connect.sum_ns);
	for (unsigned i = 0; i < 2; i++) {
		if (c.retransmits_before[i] > before->retransmits_before[i])
			printf("again %u before\n", frame);
		if (c.retransmits_after[i] > before->retransmits_after[i])
			printf("again %u after\n", frame);
		if (c.retransmits_needless[i] > before->retransmits_needless[i])
			printf("again %u needless\n", frame);
		if (c.reordered[i] > before->reordered[i])
			printf("late %u\n", frame);
		if (c.duplicates[i] > before->duplicates[i])
			printf("copy %u\n", frame);
	}
}

int main(int argc, char **argv)
{
	char error[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *header;
	const u_char *bytes;
	unsigned frame = 0;

	uint8_t lan[16] = {0};
	if (argc < 2 || argc > 3 ||
		(argc == 3 && inet_pton(strchr(argv[2], ':') ? AF_INET6 : AF_INET, argv[2], lan) != 1)) {
		fprintf(stderr, "usage: pcap_check FILE [LAN]\n");
		return 2;
	}
	pcap_t *file =
		pcap_open_offline_with_tstamp_precision(argv[1], PCAP_TSTAMP_PRECISION_NANO, error);
	if (file == NULL) {
		fprintf(stderr, "pcap_check: %s\n", error);
		return 2;
	}
	while (pcap_next_ex(file, &header, &bytes) == 1) {
		static struct measure_class before;
		struct endpoint from = {0}, to = {0};
		struct pkt p = {0};
		uint32_t at = ip_offset(pcap_datalink(file), bytes, header->caplen);
		uint64_t now_ns =
			(uint64_t)header->ts.tv_sec * 1000000000u + (uint64_t)header->ts.tv_usec;

		frame++;
		if (at > header->caplen ||
			!read_ip(bytes + at, header->caplen - at, &p, &from, &to))
			continue;
		bool to_lan = argc == 3 && memcmp(to.addr, lan, 16) == 0;
		struct conversation *v = to_lan ? find(&to, &from) : find(&from, &to);
		before = c;
		measure_tcp(
			&v->measure, &p, same(&v->lan, &from) ? FROM_LAN : FROM_WAN, now_ns, &c);
		report(frame, &before);
	}
	pcap_close(file);
	report_sums();
	for (unsigned i = 0; i < FLOWS; i++) {
		while (table[i] != NULL) {
			struct conversation *v = table[i];

			table[i] = v->next;
			free(v);
		}
	}
	return 0;
}
