/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A Linux interface through AF_PACKET sockets, dressed as an ethdev. Private to port/; device.c
 * creates it, worker lcores reach it through rte_eth_rx_burst() and rte_eth_tx_burst() of port_id.
 */
#ifndef SLUICE_PORT_PACKET_SOCKET_H
#define SLUICE_PORT_PACKET_SOCKET_H

#include <stdint.h>

#include <rte_mempool.h>

#include "dataplane/port/netdev.h"

struct packet_socket;

struct packet_socket_stats {
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
	uint64_t rx_missed;  /* the ring was full: the kernel dropped them */
	uint64_t rx_errors;  /* longer than a packet buffer */
	uint64_t rx_no_mbuf; /* times the pool was empty; the frames wait in the ring */
	uint64_t tx_errors;  /* refused by the kernel for good: too long, interface gone */
};

/*
 * Open `queues` sockets on an interface, each with a receive ring for frames of max_frame_bytes.
 * Nothing is received before packet_socket_attach(). 0 and *out, or -errno.
 */
int packet_socket_open(const struct netdev *netdev, uint16_t queues, uint16_t max_frame_bytes,
	struct rte_mempool *pool, int numa_socket, struct packet_socket **out);

/* Put the sockets behind the queues of a configured net_null port and let frames in. */
int packet_socket_attach(struct packet_socket *s, uint16_t port_id);

/* Detach and close. The workers no longer use the port. NULL is fine. */
void packet_socket_close(struct packet_socket *s);

/* Counters since open. Control thread (it reads and clears the kernel's own). */
void packet_socket_stats(struct packet_socket *s, struct packet_socket_stats *out);

/* Frames that the receive ring of a queue holds. */
uint32_t packet_socket_ring_frames(const struct packet_socket *s);

/* The descriptor of a queue's socket: readable when a frame waits. */
int packet_socket_fd(const struct packet_socket *s, uint16_t queue);

#endif
