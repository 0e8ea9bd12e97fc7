/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A Linux interface opened through AF_PACKET: whole frames in and out, VLAN tags as on the wire,
 * with the time at which the kernel received each. main.c owns two of them, one a side; nothing
 * here knows about impairments.
 */
#ifndef SLUICE_WANEM_PORT_H
#define SLUICE_WANEM_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Above 9,000 bytes of payload with Ethernet header and two tags. */
#define PORT_FRAME_MAX 9216u

struct port {
	const char *name;
	int fd;
	bool blocked; /* the last send found no room: try again later */
	uint64_t last_rx_ns;
	uint64_t kernel_dropped;   /* frames that the kernel dropped before this program */
	uint64_t oversize;	   /* longer than PORT_FRAME_MAX: dropped */
	uint64_t checksum_missing; /* came with a checksum still to be filled in by a NIC */
	uint64_t send_retries;	   /* sends that found no room and were repeated */
	struct port_buffers *buffers;
};

/* Opens interface `name`, promiscuous. 0, or negative errno with a sentence in err. */
int port_open(struct port *p, const char *name, char *err, size_t err_len);
void port_close(struct port *p);

/* Reads up to one batch of frames and gives each to `each`: the frame is valid during the call,
 * rx_ns is CLOCK_MONOTONIC and never goes back. Returns the number read; 0: none waits. */
typedef void port_each(void *arg, const uint8_t *data, size_t len_bytes, uint64_t rx_ns);
int port_receive(struct port *p, port_each *each, void *arg);

/* True where at least another whole batch may be waiting after port_receive() returned n. */
bool port_was_full(int n);

/* Sends one frame. 0: sent. -EAGAIN: no room now, send it again later (p->blocked is set).
 * Another negative errno: the interface will not take this frame. */
int port_send(struct port *p, const uint8_t *data, size_t len_bytes);

/* Brings kernel_dropped up to date. */
void port_read_drops(struct port *p);

/* CLOCK_MONOTONIC in ns. */
uint64_t clock_now_ns(void);

#endif
