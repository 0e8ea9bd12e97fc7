/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From the link headers of libpcap's documentation (https://www.tcpdump.org/linktypes.html) to
 * Ethernet. link_type.h is the manual.
 */
#include <string.h>

#include <pcap/pcap.h>

#include "tools/analyze/link_type.h"

#define ETHER_LEN 14
#define TYPE_IPV4 0x0800
#define TYPE_IPV6 0x86dd
#define TYPE_MPLS 0x8847
#define TYPE_PPPOE 0x8864

/* What stands before the network layer: so many bytes, and this ethertype behind them. */
struct link_header {
	uint32_t len;
	uint16_t type; /* 0: none */
};

static uint16_t be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint16_t type_of_version(uint8_t first)
{
	return first >> 4 == 4 ? TYPE_IPV4 : first >> 4 == 6 ? TYPE_IPV6 : 0;
}

/* BSD's address families: AF_INET6 is 24, 28 or 30, by system; Linux has 10. */
static uint16_t type_of_family(uint32_t family)
{
	switch (family) {
	case 2:
		return TYPE_IPV4;
	case 10:
	case 24:
	case 28:
	case 30:
		return TYPE_IPV6;
	default:
		return 0;
	}
}

/* DLT_NULL: the family in the byte order of whoever captured; no family is above 255. */
static struct link_header null_header(const uint8_t *b)
{
	uint32_t family = b[0] | b[1] ? (uint32_t)b[0] | (uint32_t)b[1] << 8 : be16(b + 2);

	return (struct link_header){4, type_of_family(family)};
}

/* PPP in HDLC-like framing (RFC 1662): address and control may be left out, and so may the first
 * byte of the protocol, if it is 0. */
static struct link_header ppp_header(const uint8_t *b, uint32_t caught)
{
	uint32_t at = 0;
	uint16_t protocol;

	if (caught >= 2 && b[0] == 0xff && b[1] == 0x03)
		at = 2;
	if (caught < at + 2)
		return (struct link_header){0};
	if (b[at] & 1)
		protocol = b[at++];
	else
		protocol = be16(b + at), at += 2;
	switch (protocol) {
	case 0x0021:
		return (struct link_header){at, TYPE_IPV4};
	case 0x0057:
		return (struct link_header){at, TYPE_IPV6};
	case 0x0281:
		return (struct link_header){at, TYPE_MPLS};
	default:
		return (struct link_header){0};
	}
}

static const struct {
	int type;
	const char *name;
	uint32_t len_min; /* bytes that are looked at */
} known[] = {
	{DLT_EN10MB, "Ethernet", 0},
	{DLT_RAW, "raw IP", 1},
	{101 /* LINKTYPE_RAW */, NULL, 1},
	{DLT_IPV4, NULL, 0},
	{DLT_IPV6, NULL, 0},
	{DLT_LINUX_SLL, "Linux cooked v1 and v2", 16},
	{DLT_LINUX_SLL2, NULL, 20},
	{DLT_NULL, "loopback", 4},
	{DLT_LOOP, NULL, 4},
	{DLT_PPP, "PPP", 2},
	{DLT_PPP_SERIAL, NULL, 2},
	{DLT_PPP_PPPD, NULL, 3},
	{DLT_PPP_ETHER, "PPPoE", 0},
	{DLT_C_HDLC, "Cisco HDLC", 4},
	{DLT_MPLS, "MPLS", 0},
};
#define KNOWN (sizeof(known) / sizeof(known[0]))

bool link_type_known(int link_type)
{
	for (unsigned i = 0; i < KNOWN; i++)
		if (known[i].type == link_type)
			return true;
	return false;
}

const char *link_type_list(void)
{
	static char text[128];

	if (text[0] != '\0')
		return text;
	for (unsigned i = 0; i < KNOWN; i++) {
		if (known[i].name == NULL)
			continue;
		if (text[0] != '\0')
			strncat(text, ", ", sizeof(text) - strlen(text) - 1);
		strncat(text, known[i].name, sizeof(text) - strlen(text) - 1);
	}
	return text;
}

static struct link_header read_header(int link_type, const uint8_t *b, uint32_t caught)
{
	struct link_header h;

	for (unsigned i = 0; i < KNOWN; i++)
		if (known[i].type == link_type && caught < known[i].len_min)
			return (struct link_header){0};
	switch (link_type) {
	case DLT_RAW:
	case 101:
		return (struct link_header){0, type_of_version(b[0])};
	case DLT_IPV4:
		return (struct link_header){0, TYPE_IPV4};
	case DLT_IPV6:
		return (struct link_header){0, TYPE_IPV6};
	case DLT_LINUX_SLL:
		return (struct link_header){16, be16(b + 14)};
	case DLT_LINUX_SLL2:
		return (struct link_header){20, be16(b)};
	case DLT_NULL:
		return null_header(b);
	case DLT_LOOP:
		return (struct link_header){4, type_of_family(be16(b + 2))};
	case DLT_PPP:
	case DLT_PPP_SERIAL:
		return ppp_header(b, caught);
	case DLT_PPP_PPPD: /* the first byte is the direction */
		h = ppp_header(b + 1, caught - 1);
		h.len++;
		return h;
	case DLT_PPP_ETHER:
		return (struct link_header){0, TYPE_PPPOE};
	case DLT_C_HDLC:
		return (struct link_header){4, be16(b + 2)};
	case DLT_MPLS:
		return (struct link_header){0, TYPE_MPLS};
	default:
		return (struct link_header){0};
	}
}

uint32_t link_type_frame(int link_type, const uint8_t *bytes, uint32_t caught, uint8_t *out,
	uint32_t room, int32_t *length_change)
{
	struct link_header h = {0};
	uint32_t head = 0, body;

	*length_change = 0;
	if (link_type != DLT_EN10MB) {
		h = read_header(link_type, bytes, caught);
		if (h.type == 0 || room < ETHER_LEN)
			return 0;
		memset(out, 0, ETHER_LEN - 2);
		out[12] = (uint8_t)(h.type >> 8);
		out[13] = (uint8_t)h.type;
		head = ETHER_LEN;
		*length_change = (int32_t)head - (int32_t)h.len;
	}
	body = caught - h.len;
	if (body > room - head)
		body = room - head;
	memcpy(out + head, bytes + h.len, body);
	return head + body;
}
