/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The header of a packet as its difference to that of another one of its flow, the base, which both
 * ends have: a part of the blob of the store (store.h). What can be told from the packet itself is
 * not sent: sequence numbers and their like as how much they have grown, checksums not at all.
 *
 * A layout says where these fields are. Nothing is sent of it: both ends find it in the base's
 * header, and it is one only if the lengths in that end where the header does. Known are
 *
 *     Ethernet, 0 to 2 VLAN tags, then IP            a bridged path
 *     IP: IPv4, or IPv6 without extension headers    a routed path
 *     TCP alone                                      transparent framing
 *
 * with TCP, UDP or nothing more behind the IP header. In any other header all that differs is
 * sent as it is, and so is a field that does not follow from the rest, such as a wrong checksum:
 * what comes out is what went in, bit by bit.
 *
 * The difference, byte by byte:
 *
 *     0  1  bit 0: IPv4 identification has grown
 *           bit 1: TCP sequence number has grown
 *           bit 2: TCP acknowledgement number has grown
 *           bit 3: TSval of the timestamps (RFC 7323, laid out as in its appendix A) has grown
 *           bit 4: TSecr of the timestamps has grown
 *           bit 5: the IPv4 header checksum is to be computed (RFC 791)
 *           bit 6: the TCP or UDP checksum is to be computed (RFC 9293, RFC 768)
 *           bit 7: runs follow
 *     for each of bits 0 to 4 that is set, in this order, how much, modulo the size of the field:
 *        .  LEB128: seven bits a byte, the lowest first, bit 7 set where another byte follows; at
 *           most five bytes. Of the sequence number: 2 n, for n bytes; or 2 n + 1, for n times the
 *           bytes behind this packet's header, which is what a bulk transfer sends.
 *     with bit 7, runs of bytes that differ otherwise:
 *        1  bits 7-3: bytes to skip, from the header's start or the end of the run before
 *           bits 2-1: length of the run, 0 to 3
 *           bit 0: another run follows
 *        .  the bytes of the run
 *
 * A sum over the payload can be told only when that is there, so that the TCP or UDP checksum is
 * the last thing to be filled in: store_header_finish().
 *
 * Test vectors: tests/unit/compress/store_header_test.c. Threads: none; pure functions.
 */
#ifndef SLUICE_COMPRESS_STORE_HEADER_H
#define SLUICE_COMPRESS_STORE_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/compress/store.h"

/* No difference is longer: five fields, and runs of one byte between bytes that are the same. */
#define STORE_HEADER_DIFFERENCE_MAX (1 + 5 * 5 + 2 * STORE_HEADER_MAX)

/* What is left to do when a packet's payload is there. */
struct store_header {
	bool is_sum_open;  /* the TCP or UDP checksum is to be computed */
	bool is_ipv6;	   /* else IPv4 */
	bool is_udp;	   /* else TCP */
	uint8_t ip_at, at; /* where the IP header begins, and that of TCP or UDP */
};

/*
 * Write how the first header_len bytes, 1..STORE_HEADER_MAX, of packet[0..len) differ from
 * base[0..header_len). Returns the length of the difference.
 */
uint32_t store_header_write(const uint8_t *base, uint32_t header_len, const uint8_t *packet,
	uint32_t len, uint8_t out[STORE_HEADER_DIFFERENCE_MAX]);

/*
 * Make a packet's header of the base's in header[0..header_len), by the difference at *at, from any
 * bytes at all; the packet will have `len` bytes, at least header_len. Moves *at behind the
 * difference. *left: for store_header_finish(). Never reads outside *at[0..end - *at). 0; -EBADMSG:
 * no valid difference.
 */
int store_header_read(const uint8_t **at, const uint8_t *end, uint8_t *header, uint32_t header_len,
	uint32_t len, struct store_header *left);

/* Fill in what is left to do in packet[0..len), the same len. 0; -EBADMSG: its headers tell of more
 * bytes than it has. */
int store_header_finish(const struct store_header *left, uint8_t *packet, uint32_t len);

#endif
