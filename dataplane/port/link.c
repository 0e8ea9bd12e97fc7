/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the control thread asks of a running port: link state, speed and counters. For a port over a
 * Linux interface the interface is asked: DPDK's drivers for those report a link that is always
 * up.
 */
#include "dataplane/port/port.h"

#include <stdio.h>
#include <string.h>

#include <rte_ethdev.h>

#include "dataplane/port/netdev.h"
#include "dataplane/port/packet_socket.h"

void port_poll_link(struct port *port)
{
	struct rte_eth_link link;
	bool up = false;
	uint32_t speed_mbps = 0;

	if (port->netdev[0] != '\0') {
		netdev_link(port->netdev, &up, &speed_mbps);
	} else if (rte_eth_link_get_nowait(port->port_id, &link) == 0) {
		up = link.link_status == RTE_ETH_LINK_UP;
		if (link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN)
			speed_mbps = link.link_speed;
	}
	/* Workers drop what would leave by a port that is down: they must see no state in between. */
	__atomic_store_n(&port->link_up, up, __ATOMIC_RELAXED);
	port->speed_mbps = speed_mbps;
}

static void set(uint64_t *counter, uint64_t value)
{
	__atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

void port_stats(const struct port *port, struct counters_port *c)
{
	snprintf(c->name, sizeof(c->name), "%s", port->name);
	snprintf(c->device, sizeof(c->device), "%s", port->device);
	set(&c->link_up, port->link_up);
	set(&c->speed_mbps, port->speed_mbps);
	set(&c->mtu, port->mtu);
	set(&c->rx_queues, port->rx_queues);
	set(&c->tx_queues, port->tx_queues);
	if (port->packet_socket != NULL) {
		struct packet_socket_stats s;

		packet_socket_stats(port->packet_socket, &s);
		set(&c->rx_packets, s.rx_packets);
		set(&c->rx_bytes, s.rx_bytes);
		set(&c->tx_packets, s.tx_packets);
		set(&c->tx_bytes, s.tx_bytes);
		set(&c->rx_missed, s.rx_missed);
		set(&c->rx_errors, s.rx_errors);
		set(&c->rx_no_mbuf, s.rx_no_mbuf);
		set(&c->tx_errors, s.tx_errors);
	} else {
		struct rte_eth_stats s;

		if (rte_eth_stats_get(port->port_id, &s) < 0)
			return; /* keep the last ones */
		set(&c->rx_packets, s.ipackets);
		set(&c->rx_bytes, s.ibytes);
		set(&c->tx_packets, s.opackets);
		set(&c->tx_bytes, s.obytes);
		set(&c->rx_missed, s.imissed);
		set(&c->rx_errors, s.ierrors);
		set(&c->rx_no_mbuf, s.rx_nombuf);
		set(&c->tx_errors, s.oerrors);
	}
}

int port_rx_fd(const struct port *port, uint16_t queue)
{
	return port->packet_socket != NULL ? packet_socket_fd(port->packet_socket, queue) : -1;
}
