/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Differences of headers (store_header.h). The writer patches the base as the reader will, and
 * sends the rest in runs: so nothing has to be true for a header to come out right.
 */
#include "dataplane/compress/store_header.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

/* Fields that grow, by their bit in the first byte of a difference. */
enum field { IDENTIFICATION, SEQUENCE, ACKNOWLEDGEMENT, TSVAL, TSECR, FIELDS };
#define HAS_IP_SUM 0x20
#define HAS_L4_SUM 0x40
#define HAS_RUNS 0x80

#define RUN_SKIP_MAX 31
#define RUN_MAX 3

#define ETHERNET_TYPE 12 /* offset of the type, or of the first tag */
#define TAGS_MAX 2
#define TYPE_IPV4 0x0800
#define TYPE_IPV6 0x86dd
#define TYPE_VLAN 0x8100
#define TYPE_QINQ 0x88a8
#define IPV4_BYTES 20
#define IPV4_SUM 10
#define IPV6_BYTES 40
#define TCP_BYTES 20
#define TCP_SUM 16
#define UDP_BYTES 8
#define UDP_SUM 6

static const uint8_t field_bytes[FIELDS] = {2, 4, 4, 4, 4};

/* Where the fields of a header are; all 0: not known. */
struct layout {
	bool is_ipv4, is_ipv6;
	uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP at l4; 0: nothing there */
	uint8_t ip, ip_len, l4;
	uint8_t field[FIELDS]; /* 0: does not have it */
};

/* ---- where the fields are ---- */

/* Does the header end with a TCP or UDP header at l->l4? */
static bool ends_with_l4(struct layout *l, const uint8_t *header, uint32_t len)
{
	/* As appendix A of RFC 7323 lays them out, and everybody does: two NOPs, kind 8, length 10.
	 */
	static const uint8_t stamps[] = {1, 1, 8, 10};
	const uint8_t *l4 = header + l->l4;
	uint32_t left = len - l->l4;

	if (l->protocol == IPPROTO_UDP)
		return left == UDP_BYTES;
	if (l->protocol != IPPROTO_TCP || left < TCP_BYTES || (l4[12] >> 4) * 4u != left)
		return false;
	l->field[SEQUENCE] = l->l4 + 4;
	l->field[ACKNOWLEDGEMENT] = l->l4 + 8;
	if (left >= TCP_BYTES + 12 && memcmp(l4 + TCP_BYTES, stamps, sizeof(stamps)) == 0) {
		l->field[TSVAL] = l->l4 + TCP_BYTES + 4;
		l->field[TSECR] = l->l4 + TCP_BYTES + 8;
	}
	return true;
}

/* Does the header end with an IP header at `ip` and what is behind it? */
static bool ends_with_ip(struct layout *l, const uint8_t *header, uint32_t len, uint32_t ip)
{
	uint32_t left = len - ip;

	*l = (struct layout){.ip = (uint8_t)ip};
	if (left >= IPV4_BYTES && header[ip] >> 4 == 4) {
		l->is_ipv4 = true;
		l->ip_len = (uint8_t)((header[ip] & 15) * 4);
		l->protocol = header[ip + 9];
		l->field[IDENTIFICATION] = l->ip + 4;
	} else if (left >= IPV6_BYTES && header[ip] >> 4 == 6) {
		l->is_ipv6 = true;
		l->ip_len = IPV6_BYTES;
		l->protocol = header[ip + 6];
	}
	if (l->ip_len < IPV4_BYTES || l->ip_len > left)
		return false;
	l->l4 = l->ip + l->ip_len;
	if (l->ip_len < left)
		return ends_with_l4(l, header, len);
	l->protocol = 0; /* a fragment, or of another protocol */
	return true;
}

/* Where an IP header is behind an Ethernet header; 0: this is none. */
static uint32_t behind_ethernet(const uint8_t *header, uint32_t len)
{
	for (uint32_t at = ETHERNET_TYPE; at <= ETHERNET_TYPE + 4 * TAGS_MAX && at + 2 < len;
		at += 4) {
		uint32_t type = store_get(header + at, 2);

		if (type == TYPE_IPV4 || type == TYPE_IPV6)
			return at + 2;
		if (type != TYPE_VLAN && type != TYPE_QINQ)
			break;
	}
	return 0;
}

static void find_layout(struct layout *l, const uint8_t *header, uint32_t len)
{
	uint32_t ip = behind_ethernet(header, len);

	if ((ip > 0 && ends_with_ip(l, header, len, ip)) || ends_with_ip(l, header, len, 0))
		return;
	*l = (struct layout){.protocol = IPPROTO_TCP};
	if (!ends_with_l4(l, header, len))
		*l = (struct layout){0};
}

/* ---- checksums ---- */

/* The sum of the 16-bit words of the bytes, as this machine reads them (RFC 1071, 2 (B)), not yet
 * folded. */
static uint64_t sum_of(const uint8_t *bytes, uint32_t len)
{
	uint32_t words = len / sizeof(uint64_t), left = len % sizeof(uint64_t);
	uint64_t whole = 0, high = 0, word = 0;

	/* In this form compilers make vectors of it. */
	for (uint32_t i = 0; i < words; i++) {
		memcpy(&word, bytes + i * sizeof(word), sizeof(word));
		whole += word;
		high += word >> 32;
	}
	word = 0;
	memcpy(&word, bytes + words * sizeof(word), left);
	whole += word;
	high += word >> 32;
	return whole - (high << 32) + high;
}

/* The checksum whose field is at `at`, of bytes with this sum in which the field is counted as it
 * is now. Network order, as it is put there. */
static uint16_t checksum(uint64_t sum, const uint8_t *at)
{
	uint16_t is;

	memcpy(&is, at, sizeof(is));
	sum -= is;
	while (sum >> 16 != 0)
		sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)~sum;
}

static uint16_t ip_checksum(const struct layout *l, const uint8_t *packet)
{
	const uint8_t *ip = packet + l->ip;

	return checksum(sum_of(ip, l->ip_len), ip + IPV4_SUM);
}

static uint32_t l4_sum_at(const struct store_header *h)
{
	return h->at + (h->is_udp ? UDP_SUM : TCP_SUM);
}

/* The TCP or UDP checksum, with the pseudo header of RFC 9293, 3.1 or RFC 8200, 8.1. False: the IP
 * header's length is none. */
static bool l4_checksum(
	const struct store_header *h, const uint8_t *packet, uint32_t len, uint16_t *is)
{
	const uint8_t *ip = packet + h->ip_at;
	uint32_t l4_len = h->is_ipv6 ? store_get(ip + 4, 2)
				     : store_get(ip + 2, 2) - (uint32_t)(h->at - h->ip_at);
	uint64_t sum;

	if (l4_len < (h->is_udp ? UDP_BYTES : TCP_BYTES) || l4_len > len - h->at)
		return false;
	sum = h->is_ipv6 ? sum_of(ip + 8, 32) : sum_of(ip + 12, 8);
	sum += htons(h->is_udp ? IPPROTO_UDP : IPPROTO_TCP);
	sum += htons((uint16_t)l4_len);
	sum += sum_of(packet + h->at, l4_len);
	*is = checksum(sum, packet + l4_sum_at(h));
	if (h->is_udp && *is == 0)
		*is = UINT16_MAX; /* 0 says that there is none */
	return true;
}

static struct store_header sum_to_do(const struct layout *l)
{
	return (struct store_header){.is_sum_open = true,
		.is_ipv6 = l->is_ipv6,
		.is_udp = l->protocol == IPPROTO_UDP,
		.ip_at = l->ip,
		.at = l->l4};
}

static bool has_l4_sum(const struct layout *l)
{
	return (l->is_ipv4 || l->is_ipv6) && l->protocol != 0;
}

/* ---- writing ---- */

static uint8_t *put_number(uint8_t *out, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*out++ = (uint8_t)(value | 0x80);
	*out = (uint8_t)value;
	return out + 1;
}

/* How much the sequence number has grown, as it is sent. */
static uint64_t sequence_number(uint32_t grown, uint32_t payload)
{
	return payload > 0 && grown % payload == 0 ? (uint64_t)(grown / payload) << 1 | 1
						   : (uint64_t)grown << 1;
}

/* Write what the fields have grown by, and bring `patched` up to it. */
static uint8_t *put_fields(const struct layout *l, uint8_t *patched, const uint8_t *packet,
	uint32_t payload, uint8_t *flags, uint8_t *out)
{
	for (unsigned i = 0; i < FIELDS; i++) {
		uint32_t at = l->field[i], bytes = field_bytes[i], is, grown;

		if (at == 0)
			continue;
		is = store_get(packet + at, bytes);
		grown = is - store_get(patched + at, bytes);
		if (bytes == 2)
			grown &= 0xffff;
		if (grown == 0)
			continue;
		*flags |= (uint8_t)(1u << i);
		store_put(patched + at, is, bytes);
		out = put_number(out, i == SEQUENCE ? sequence_number(grown, payload) : grown);
	}
	return out;
}

/* Is the packet's checksum at `at` this one, so that it need not be sent? Then `patched` gets it.
 */
static bool follows(uint8_t *patched, const uint8_t *packet, uint32_t at, uint16_t sum)
{
	if (memcmp(packet + at, &sum, sizeof(sum)) != 0)
		return false;
	memcpy(patched + at, &sum, sizeof(sum));
	return true;
}

static bool differs(const uint8_t *patched, const uint8_t *packet, uint32_t at)
{
	return memcmp(patched + at, packet + at, sizeof(uint16_t)) != 0;
}

/* The flags of the checksums that have changed and need not be sent; they are brought up in
 * `patched`. */
static uint8_t follow_sums(
	const struct layout *l, uint8_t *patched, const uint8_t *packet, uint32_t len)
{
	struct store_header h = sum_to_do(l);
	uint8_t flags = 0;
	uint16_t sum;

	if (l->is_ipv4 && differs(patched, packet, l->ip + IPV4_SUM) &&
		follows(patched, packet, l->ip + IPV4_SUM, ip_checksum(l, packet)))
		flags |= HAS_IP_SUM;
	if (has_l4_sum(l) && differs(patched, packet, l4_sum_at(&h)) &&
		l4_checksum(&h, packet, len, &sum) && follows(patched, packet, l4_sum_at(&h), sum))
		flags |= HAS_L4_SUM;
	return flags;
}

/* The first byte from `at` on that differs; len: none does. */
static uint32_t next_different(
	const uint8_t *patched, const uint8_t *packet, uint32_t at, uint32_t len)
{
	for (; at + 8 <= len && memcmp(patched + at, packet + at, 8) == 0; at += 8)
		;
	while (at < len && patched[at] == packet[at])
		at++;
	return at;
}

/* Write all that still differs. */
static uint8_t *put_runs(
	const uint8_t *patched, const uint8_t *packet, uint32_t len, uint8_t *flags, uint8_t *out)
{
	uint32_t at = 0, next = next_different(patched, packet, 0, len);
	uint8_t *run = NULL;

	while (next < len) {
		uint32_t skip = next - at < RUN_SKIP_MAX ? next - at : RUN_SKIP_MAX, n = 0;

		*flags |= HAS_RUNS;
		if (run != NULL)
			*run |= 1;
		run = out++;
		at += skip;
		if (at == next)
			while (n < RUN_MAX && at + n < len && patched[at + n] != packet[at + n])
				n++;
		*run = (uint8_t)(skip << 3 | n << 1);
		memcpy(out, packet + at, n);
		out += n;
		at += n;
		next = next_different(patched, packet, at, len);
	}
	return out;
}

uint32_t store_header_write(const uint8_t *base, uint32_t header_len, const uint8_t *packet,
	uint32_t len, uint8_t out[STORE_HEADER_DIFFERENCE_MAX])
{
	uint8_t patched[STORE_HEADER_MAX], *at = out + 1;
	struct layout l;

	find_layout(&l, base, header_len);
	memcpy(patched, base, header_len);
	out[0] = 0;
	at = put_fields(&l, patched, packet, len - header_len, out, at);
	out[0] |= follow_sums(&l, patched, packet, len);
	at = put_runs(patched, packet, header_len, out, at);
	return (uint32_t)(at - out);
}

/* ---- reading ---- */

static bool get_number(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
	*value = 0;
	for (unsigned shift = 0; shift < 5 * 7 && *at < end; shift += 7) {
		uint8_t byte = *(*at)++;

		*value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return true;
	}
	return false;
}

static bool read_fields(const struct layout *l, uint8_t flags, const uint8_t **at,
	const uint8_t *end, uint8_t *header, uint32_t payload)
{
	for (unsigned i = 0; i < FIELDS; i++) {
		uint32_t where = l->field[i], bytes = field_bytes[i];
		uint64_t grown;

		if (!(flags >> i & 1))
			continue;
		if (where == 0 || !get_number(at, end, &grown))
			return false;
		if (i == SEQUENCE)
			grown = grown & 1 ? (grown >> 1) * payload : grown >> 1;
		store_put(
			header + where, store_get(header + where, bytes) + (uint32_t)grown, bytes);
	}
	return true;
}

static bool read_runs(const uint8_t **at, const uint8_t *end, uint8_t *header, uint32_t len)
{
	uint32_t to = 0, n;
	uint8_t run;

	do {
		if (*at == end)
			return false;
		run = *(*at)++;
		to += run >> 3;
		n = run >> 1 & RUN_MAX;
		if (to + n > len || (size_t)(end - *at) < n)
			return false;
		memcpy(header + to, *at, n);
		*at += n;
		to += n;
	} while (run & 1);
	return true;
}

int store_header_read(const uint8_t **at, const uint8_t *end, uint8_t *header, uint32_t header_len,
	uint32_t len, struct store_header *left)
{
	struct layout l;
	uint8_t flags;

	find_layout(&l, header, header_len);

	if (*at == end)
		return -EBADMSG;
	flags = *(*at)++;
	if ((flags & HAS_IP_SUM && !l.is_ipv4) || (flags & HAS_L4_SUM && !has_l4_sum(&l)) ||
		!read_fields(&l, flags, at, end, header, len - header_len) ||
		(flags & HAS_RUNS && !read_runs(at, end, header, header_len)))
		return -EBADMSG;
	if (flags & HAS_IP_SUM) {
		uint16_t sum = ip_checksum(&l, header);

		memcpy(header + l.ip + IPV4_SUM, &sum, sizeof(sum));
	}
	*left = sum_to_do(&l);
	left->is_sum_open = flags & HAS_L4_SUM;
	return 0;
}

int store_header_finish(const struct store_header *left, uint8_t *packet, uint32_t len)
{
	uint16_t sum;

	if (!left->is_sum_open)
		return 0;
	if (!l4_checksum(left, packet, len, &sum))
		return -EBADMSG;
	memcpy(packet + l4_sum_at(left), &sum, sizeof(sum));
	return 0;
}
