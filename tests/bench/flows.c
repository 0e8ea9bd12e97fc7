/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * flows: write the two captures that the benchmark feeds into the ports: one TCP packet of 64 bytes
 * on the wire for each of N flows, in random order, from the LAN side and (answers) from the WAN.
 *
 *     flows N LAN.pcap WAN.pcap
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#define FRAME_BYTES 60 /* 64 with the FCS, which captures do not have */

static uint64_t state = 88172645463325252u;

static uint64_t random64(void)
{
	state ^= state << 13; /* xorshift64, Marsaglia 2003 */
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static uint16_t ip_checksum(const uint8_t *header)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < 20; i += 2)
		sum += (uint32_t)(header[i] << 8 | header[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

/* Flow i as the LAN host sends it: 10.x.x.x:(1024 + ...) to 172.16.x.x:443. */
static void make_frame(uint8_t *f, uint32_t i, int from_wan)
{
	uint32_t lan = 0x0a000000u + i % 65536 * 16 + 1, wan = 0xac100000u + i % 251;
	unsigned lan_port = 1024 + i / 65536 * 7 + i % 7, wan_port = 443;

	memset(f, 0, FRAME_BYTES);
	memcpy(f,
		from_wan ? "\x02\0\0\0\0\x01\x02\0\0\0\0\x02" : "\x02\0\0\0\0\x02\x02\0\0\0\0\x01",
		12);
	put16(f + 12, 0x0800);
	f[14] = 0x45;
	put16(f + 16, 40);
	f[22] = 64;
	f[23] = 6;
	put32(f + 26, from_wan ? wan : lan);
	put32(f + 30, from_wan ? lan : wan);
	put16(f + 24, ip_checksum(f + 14));
	put16(f + 34, from_wan ? wan_port : lan_port);
	put16(f + 36, from_wan ? lan_port : wan_port);
	/* Neither side has anything under way: ACKs of what the other has sent. */
	put32(f + 38, (from_wan ? 2000 : 1000) + i);
	put32(f + 42, (from_wan ? 1000 : 2000) + i);
	f[46] = 0x50;
	f[47] = 0x10; /* ACK */
	put16(f + 48, 65535);
}

static int write_file(const char *name, uint32_t flows, int from_wan)
{
	FILE *out = fopen(name, "wb");
	uint32_t *order = malloc(flows * sizeof(*order));
	uint32_t file_header[] = {0xa1b2c3d4, 2 | 4 << 16, 0, 0, 65535, 1 /* Ethernet */};
	uint32_t record[] = {0, 0, FRAME_BYTES, FRAME_BYTES};
	uint8_t frame[FRAME_BYTES];

	if (out == NULL || order == NULL) {
		perror(name);
		return 1;
	}
	for (uint32_t i = 0; i < flows; i++)
		order[i] = i;
	for (uint32_t i = flows - 1; i > 0; i--) {
		uint32_t j = (uint32_t)(random64() % (i + 1)), swap = order[i];
		order[i] = order[j];
		order[j] = swap;
	}
	fwrite(file_header, sizeof(file_header), 1, out);
	for (uint32_t i = 0; i < flows; i++) {
		make_frame(frame, order[i], from_wan);
		fwrite(record, sizeof(record), 1, out);
		fwrite(frame, sizeof(frame), 1, out);
	}
	free(order);
	if (fclose(out) != 0) {
		perror(name);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	long flows = argc == 4 ? strtol(argv[1], NULL, 10) : 0;

	if (flows < 1 || flows > 1 << 24) {
		fprintf(stderr, "usage: flows N LAN.pcap WAN.pcap\n");
		return 2;
	}
	return write_file(argv[2], (uint32_t)flows, 0) | write_file(argv[3], (uint32_t)flows, 1);
}
