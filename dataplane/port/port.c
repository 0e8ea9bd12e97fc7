/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One port from request to started ethdev: queues, RSS, MTU, promiscuous mode, no offloads.
 * device.c gave it the ethdev, link.c watches it afterwards.
 */
#include "dataplane/port/port.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_ethdev.h>

#include "dataplane/port/device.h"
#include "dataplane/port/netdev.h"
#include "dataplane/port/packet_socket.h"

#define DESCRIPTORS 1024
#define RSS_KEY_MAX 128
#define RSS_FIELDS (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP)

/* Port numbers in use: a device named twice must not be opened twice. Control thread. */
static bool port_in_use[RTE_MAX_ETHPORTS];

/* With this key the Toeplitz hash of (a, b) equals that of (b, a): Woo and Park, "Scalable TCP
 * Session Monitoring with Symmetric Receive-side Scaling", 2012. */
static void rss_key_fill(uint8_t *key, uint8_t len)
{
	for (unsigned i = 0; i < len; i++)
		key[i] = i & 1 ? 0x5a : 0x6d;
}

static bool rss_possible(const struct port *port, const struct port_request *request,
	const struct rte_eth_dev_info *info)
{
	/* net_null and the like say that they have RSS, but do not. */
	return port->kind == PORT_PCI && port->rx_queues > 1 &&
	       port->rx_queues == request->workers &&
	       (info->flow_type_rss_offloads & RSS_FIELDS) != 0 && info->reta_size > 0 &&
	       info->hash_key_size > 0 && info->hash_key_size <= RSS_KEY_MAX;
}

/* Both ports of a bridge must send one flow to one queue number, whatever the size of their
 * tables: so the table repeats with the period of the smallest that NICs have. */
static int rss_table_fill(const struct port *port, uint16_t reta_size)
{
	struct rte_eth_rss_reta_entry64 table[RTE_ETH_RSS_RETA_SIZE_512 / RTE_ETH_RETA_GROUP_SIZE];

	if (reta_size > RTE_ETH_RSS_RETA_SIZE_512)
		return -ENOTSUP;
	memset(table, 0, sizeof(table));
	for (uint16_t i = 0; i < reta_size; i++) {
		table[i / RTE_ETH_RETA_GROUP_SIZE].mask |= UINT64_C(1)
							   << (i % RTE_ETH_RETA_GROUP_SIZE);
		table[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] =
			(i & 127) % port->rx_queues;
	}
	return rte_eth_dev_rss_reta_update(port->port_id, table, reta_size);
}

static int queues_setup(
	struct port *port, const struct port_request *request, char *error, size_t len)
{
	uint16_t rx_descriptors = DESCRIPTORS, tx_descriptors = DESCRIPTORS;
	int result =
		rte_eth_dev_adjust_nb_rx_tx_desc(port->port_id, &rx_descriptors, &tx_descriptors);

	if (result < 0)
		return device_error(result, error, len,
			"%s does not accept %u descriptors (%s): report it with the driver's name",
			request->device, DESCRIPTORS, rte_strerror(-result));
	port->rx_ring_packets = port->packet_socket != NULL
					? packet_socket_ring_frames(port->packet_socket)
					: rx_descriptors;
	for (uint16_t q = 0; q < port->rx_queues; q++) {
		result = rte_eth_rx_queue_setup(
			port->port_id, q, rx_descriptors, port->socket, NULL, request->pool);
		if (result < 0)
			return device_error(result, error, len,
				"receive queue %u of %s could not be set up (%s): give it more "
				"packet "
				"buffers (appliance.buffers)%s",
				q, request->device, rte_strerror(-result),
				port->kind == PORT_AF_XDP ? ", see that no other XDP program is "
							    "attached (`ip link set dev "
							    "NAME xdp off`) and the other end of a "
							    "veth has one queue, or "
							    "use af_packet:NAME"
							  : "");
	}
	for (uint16_t q = 0; q < port->tx_queues; q++) {
		result = rte_eth_tx_queue_setup(
			port->port_id, q, tx_descriptors, port->socket, NULL);
		if (result < 0)
			return device_error(result, error, len,
				"transmit queue %u of %s could not be set up (%s): use fewer "
				"workers",
				q, request->device, rte_strerror(-result));
	}
	return 0;
}

static int port_configure(
	struct port *port, const struct port_request *request, char *error, size_t error_len)
{
	struct rte_eth_conf conf = {0};
	struct rte_eth_dev_info info;
	uint8_t key[RSS_KEY_MAX];
	int result = rte_eth_dev_info_get(port->port_id, &info);

	if (result < 0)
		return device_error(result, error, error_len, "%s does not describe itself (%s)",
			request->device, rte_strerror(-result));
	snprintf(port->driver, sizeof(port->driver), "%s",
		port->packet_socket != NULL ? "af_packet" : info.driver_name);
	port->socket = rte_eth_dev_socket_id(port->port_id);
	port->rx_queues = RTE_MIN(request->workers, info.max_rx_queues);
	port->tx_queues = RTE_MIN(request->workers, info.max_tx_queues);
	if (port->packet_socket != NULL)
		port->rx_queues = port->tx_queues = 1; /* see create_af_packet() */
	if (port->rx_queues == 0 || port->tx_queues == 0)
		return device_error(-ENOTSUP, error, error_len,
			"%s has %u receive and %u transmit queues: a port needs at least one of "
			"each "
			"(net_pcap: give both rx_pcap= or rx_iface= and tx_pcap= or tx_iface=)",
			request->device, info.max_rx_queues, info.max_tx_queues);
	if (port->kind == PORT_AF_XDP) /* its queues come in pairs */
		port->rx_queues = port->tx_queues = RTE_MIN(port->rx_queues, port->tx_queues);

	if (info.max_mtu < port->mtu) {
		snprintf(port->note, sizeof(port->note), "%s carries packets of %u bytes only",
			port->driver, info.max_mtu);
		port->mtu = info.max_mtu;
	}
	conf.rxmode.mtu = port->mtu;
	bool rss = rss_possible(port, request, &info);
	if (rss) {
		rss_key_fill(key, info.hash_key_size);
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_key = key;
		conf.rx_adv_conf.rss_conf.rss_key_len = info.hash_key_size;
		conf.rx_adv_conf.rss_conf.rss_hf = info.flow_type_rss_offloads & RSS_FIELDS;
	}
	result = rte_eth_dev_configure(port->port_id, port->rx_queues, port->tx_queues, &conf);
	if (result < 0)
		return device_error(result, error, error_len,
			"%s refuses %u receive and %u transmit queues with an MTU of %u (%s): "
			"lower "
			"appliance.mtu or the number of workers",
			request->device, port->rx_queues, port->tx_queues, port->mtu,
			rte_strerror(-result));
	result = queues_setup(port, request, error, error_len);
	if (result == 0)
		port->symmetric_rss = rss; /* confirmed once the table is written */
	return result;
}

static int port_start(
	struct port *port, const struct port_request *request, char *error, size_t error_len)
{
	struct rte_eth_dev_info info;
	int result = rte_eth_dev_start(port->port_id);

	if (result < 0)
		return device_error(result, error, error_len,
			"%s could not be started (%s): see the messages of DPDK above",
			request->device, rte_strerror(-result));
	if (port->symmetric_rss && (rte_eth_dev_info_get(port->port_id, &info) < 0 ||
					   rss_table_fill(port, info.reta_size) < 0))
		port->symmetric_rss = false; /* the workers steer by software instead */

	/* An interface is held promiscuous by promiscuous_fd; a vdev without the notion refuses. */
	if (port->netdev[0] == '\0') {
		result = rte_eth_promiscuous_enable(port->port_id);
		if (result < 0 && port->kind == PORT_PCI)
			return device_error(result, error, error_len,
				"%s does not become promiscuous (%s): for a virtual function, `ip "
				"link "
				"set dev PF vf N trust on` on its host",
				request->device, rte_strerror(-result));
		rte_eth_allmulticast_enable(port->port_id);
	}
	result = device_attach(port);
	if (result < 0)
		return device_error(result, error, error_len,
			"frames of %s could not be let in (%s): free some memory", request->device,
			rte_strerror(-result));
	return 0;
}

static int port_open_once(
	const struct port_request *request, struct port *out, char *error, size_t error_len)
{
	memset(out, 0, sizeof(*out));
	out->port_id = RTE_MAX_ETHPORTS;
	out->promiscuous_fd = -1;
	out->mtu = request->mtu;
	snprintf(out->name, sizeof(out->name), "%s", request->name);
	snprintf(out->device, sizeof(out->device), "%s", request->device);

	int result = device_create(request, out, error, error_len);
	if (result == 0 && port_in_use[out->port_id])
		result = device_error(-EBUSY, error, error_len,
			"%s is already in use by another port: give each port a device of its own",
			request->device);
	if (result < 0) {
		device_remove(out);
		out->port_id = RTE_MAX_ETHPORTS; /* may be another port's */
		return result;
	}
	port_in_use[out->port_id] = true;
	result = port_configure(out, request, error, error_len);
	if (result == 0)
		result = port_start(out, request, error, error_len);
	if (result < 0)
		port_close(out);
	return result;
}

int port_open(const struct port_request *request, struct port *out, char *error, size_t error_len)
{
	char forced[PORT_DEVICE_MAX];
	int result;

	if (request->workers == 0 || request->pool == NULL) {
		memset(out, 0, sizeof(*out));
		out->port_id = RTE_MAX_ETHPORTS;
		return device_error(-EINVAL, error, error_len,
			"port %s was asked for without workers or packet buffers", request->name);
	}
	result = port_open_once(request, out, error, error_len);
	/* The kernel may refuse AF_XDP only when its sockets are made, with the queues. */
	if (result < 0 && out->kind == PORT_AF_XDP && strcmp(out->netdev, request->device) == 0) {
		struct port_request again = *request;

		snprintf(forced, sizeof(forced), "af_packet:%s", request->device);
		again.device = forced;
		result = port_open_once(&again, out, error, error_len);
		snprintf(out->device, sizeof(out->device), "%s", request->device);
		snprintf(out->note, sizeof(out->note), "AF_PACKET: the kernel refused AF_XDP");
	}
	if (result < 0)
		return result;
	out->max_frame_bytes = out->mtu + PORT_FRAME_OVERHEAD;
	rte_eth_macaddr_get(out->port_id, &out->mac);
	if (out->netdev[0] != '\0') {
		struct netdev netdev;

		if (netdev_read(out->netdev, &netdev) == 0)
			memcpy(out->mac.addr_bytes, netdev.mac, sizeof(netdev.mac));
	}
	port_poll_link(out);
	return 0;
}

void port_close(struct port *port)
{
	if (port->port_id >= RTE_MAX_ETHPORTS)
		return;
	/* The callbacks of packet_socket.c go before the queues that they hang on. */
	rte_eth_dev_stop(port->port_id);
	packet_socket_close(port->packet_socket);
	port->packet_socket = NULL;
	rte_eth_dev_close(port->port_id);
	port_in_use[port->port_id] = false;
	port->port_id = RTE_MAX_ETHPORTS;
	device_remove(port);
}
