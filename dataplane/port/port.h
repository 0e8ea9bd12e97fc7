/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports: from the device named in the configuration to a started ethdev with its queues. device.c
 * turns names into devices, port.c sets the ethdev up, link.c follows link state and statistics.
 * Control thread only; workers use port_id and queue numbers with rte_eth_rx/tx_burst directly.
 */
#ifndef SLUICE_PORT_PORT_H
#define SLUICE_PORT_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_ether.h>
#include <rte_mempool.h>

#include "controlplane/channel/counters.h"

#define PORT_NAME_MAX 32
#define PORT_DEVICE_MAX 64 /* as shown; the configuration's may be longer */

/* How the device is driven. */
enum port_kind {
	PORT_PCI,	/* a NIC bound to vfio-pci or its bifurcated driver */
	PORT_VDEV,	/* a DPDK vdev string: net_pcap, net_ring, net_memif... */
	PORT_AF_XDP,	/* a Linux interface through net_af_xdp */
	PORT_AF_PACKET, /* a Linux interface through AF_PACKET sockets: packet_socket.c */
};

/* What a frame may be longer than its IP packet: Ethernet header and two tags. */
#define PORT_FRAME_OVERHEAD (14 + 4 + 4)

struct packet_socket;

struct port_request {
	const char
		*device; /* PCI address, vdev string, interface name, or af_xdp:/af_packet:NAME */
	char name[PORT_NAME_MAX]; /* as shown: "b0.lan" */
	uint16_t workers;	  /* queues wished for, one a worker */
	uint16_t mtu;		  /* largest IP packet, 1500..9000 */
	bool adaptive;		  /* workers may sleep when idle */
	struct rte_mempool *pool; /* receive buffers: room for mtu + PORT_FRAME_OVERHEAD */
};

struct port {
	uint16_t port_id;
	enum port_kind kind;
	char name[PORT_NAME_MAX];
	char device[PORT_DEVICE_MAX];  /* as asked for, cut to fit */
	char driver[32];	       /* the ethdev driver's name */
	char netdev[32];	       /* Linux interface behind it, "" if there is none */
	uint16_t rx_queues, tx_queues; /* at most the workers; worker w owns queue w if it exists */
	uint32_t rx_ring_packets; /* that wait in a receive queue, at most */
	bool symmetric_rss; /* both directions of a flow arrive on the same queue number */
	bool link_up;
	uint32_t speed_mbps;	  /* 0: not known */
	uint16_t mtu;		  /* largest IP packet the port carries in an untagged frame */
	uint16_t max_frame_bytes; /* longest frame it sends: MTU, Ethernet header and two tags */
	struct rte_ether_addr mac;
	int socket;	    /* NUMA node, SOCKET_ID_ANY if not known */
	bool own_device;    /* port_open() created the device: port_close() removes it */
	bool kick_tx;	    /* AF_XDP: the kernel sends when asked to only; rte_eth_tx_burst() of no
			     * packet pushes what it left behind. Call it when idle */
	int promiscuous_fd; /* keeps netdev promiscuous; -1 without */
	struct packet_socket *packet_socket; /* of PORT_AF_PACKET, else NULL */
	char vdev[64];			     /* name of the device that port_open() created */
	char note[160]; /* what the operator should know about the choice made, or "" */
};

/*
 * Find or create the device, configure min(workers, what it has) receive and transmit queues,
 * promiscuous, without any offload, and start it. rte_eal_init() was called before. Symmetric RSS
 * is switched on when there are as many queues as workers, more than one, and the device can. Takes
 * up to a second. out owns nothing but the device: port_close() it. 0, or a negative errno and one
 * sentence in error that says what to do.
 */
int port_open(const struct port_request *request, struct port *out, char *error, size_t error_len);

/* Stop the port and remove the device that port_open() created. Workers no longer poll it. */
void port_close(struct port *port);

/* Refresh link_up and speed_mbps. Control thread, every 100 ms or so; never waits. */
void port_poll_link(struct port *port);

/* Fill all of the counters of one port but bridge and is_wan. Control thread. */
void port_stats(const struct port *port, struct counters_port *counters);

/* A descriptor that poll() finds readable when a frame waits in a receive queue, or -1 where the
 * device has none: for workers that sleep. */
int port_rx_fd(const struct port *port, uint16_t queue);

/* What port_open() would make of a device's name: checked without touching anything. 0, or
 * -EINVAL and a sentence. kind may be NULL; an interface without prefix gives PORT_AF_XDP. */
int port_device_check(const char *device, enum port_kind *kind, char *error, size_t error_len);

#endif
