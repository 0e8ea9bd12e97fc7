/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names to devices: what kind of name it is, the device behind it made at run time, and one helpful
 * sentence when there is none. For Linux interfaces it also chooses how they are driven.
 *
 * The choice. One queue over veth, kernel 6.18, two CPUs with other work on them, hosts' TSO, GSO,
 * GRO and checksum offloads off, a plain forwarder on this file's ports, the two in turn three
 * times:
 *
 *                              net_af_xdp (copy mode)         AF_PACKET sockets
 *     TCP, 3 s                 1.26, 1.91, 1.92 Gbit/s        0.25, 1.18, 1.77 Gbit/s
 *     TCP retransmits          2,601, 7,793, 154              0, 0, 0
 *     dropped by the veth      the same, each one; DPDK's     0, 0, 0; what a full ring loses is
 *                              statistics say 0               counted as rx_missed
 *     queues                   the kernel refuses the         any number
 *                              program unless we have as many
 *                              receive queues as the peer has
 *                              transmit queues; DPDK opens
 *                              only one
 *     MTU                      3,498, and packet buffers      9,000
 *                              within one page
 *     VLAN                     tags in the frame pass, 0x88a8 all
 *                              too; one that the peer's kernel
 *                              keeps beside the frame (txvlan
 *                              on) is not in the frame
 *     after kill -9            the program stays, hands all   nothing stays
 *                              frames to the kernel, and is
 *                              taken over at the next start
 *
 * AF_XDP is faster, but loses packets that nobody counts: a veth with an XDP program queues 256
 * frames for a kernel thread, and drops the rest.
 * (net_af_packet itself is worse than either: see packet_socket.c.) So software interfaces (veth,
 * tun, bridge...) get AF_PACKET; a NIC with a driver of its own gets AF_XDP when MTU and buffers
 * fit and the kernel accepts it, else AF_PACKET. af_xdp:NAME and af_packet:NAME choose by hand.
 */
#include "dataplane/port/device.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "dataplane/port/netdev.h"
#include "dataplane/port/packet_socket.h"

#define NAME_AF_XDP                                                                                \
	"net_af_xdp_" /* names of the devices made here: the driver's and the netdev's */
#define NAME_AF_PACKET "net_null_"
#define XDP_HEADROOM 256 /* the kernel's, in front of the packet buffer's own headers */

int device_error(int result, char *error, size_t error_len, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, error_len, format, args);
	va_end(args);
	return result;
}

/* "01:00.0" or "0000:01:00.0"; full gets the long form. */
static bool pci_name(const char *text, char full[16])
{
	unsigned domain = 0, bus, slot, function;
	int end = 0;

	if ((sscanf(text, "%4x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function, &end) != 4 ||
		    text[end] != '\0') &&
		(domain = 0, end = 0,
			sscanf(text, "%2x:%2x.%1x%n", &bus, &slot, &function, &end) != 3 ||
				text[end] != '\0'))
		return false;
	if (slot > 31 || function > 7)
		return false;
	snprintf(full, 16, "%04x:%02x:%02x.%x", domain & 0xffff, bus & 0xff, slot & 0x1f,
		function & 7);
	return true;
}

static bool has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_netdev_name(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len >= NETDEV_NAME_MAX || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isgraph((unsigned char)text[i]) || strchr("/,=:", text[i]) != NULL)
			return false;
	return true;
}

/* The name behind a prefix that forces a kind, or the text itself. */
static const char *netdev_part(const char *device)
{
	if (has_prefix(device, "af_xdp:") || has_prefix(device, "af_packet:"))
		return strchr(device, ':') + 1;
	return device;
}

int port_device_check(const char *device, enum port_kind *kind, char *error, size_t error_len)
{
	enum port_kind ignored;
	char full[16];

	if (kind == NULL)
		kind = &ignored;
	if (pci_name(device, full)) {
		*kind = PORT_PCI;
		return 0;
	}
	if (has_prefix(device, "net_") || has_prefix(device, "eth_")) {
		size_t name = strcspn(device, ",");

		*kind = PORT_VDEV;
		if (name >= RTE_DEV_NAME_MAX_LEN)
			return device_error(-EINVAL, error, error_len,
				"the vdev name in \"%.40s...\" is longer than %d characters: "
				"shorten "
				"it",
				device, RTE_DEV_NAME_MAX_LEN - 1);
		return 0;
	}
	*kind = has_prefix(device, "af_packet:") ? PORT_AF_PACKET : PORT_AF_XDP;
	if (is_netdev_name(netdev_part(device)))
		return 0;
	return device_error(-EINVAL, error, error_len,
		"\"%.60s\" is no device: give a PCI address (0000:01:00.0), a DPDK vdev "
		"(net_pcap0,iface=...) or a Linux interface (eth1, af_xdp:eth1, af_packet:eth1)",
		device);
}

/* Why a PCI address gave no port, by what sysfs says of it. */
static int pci_error(int result, const char *address, char *error, size_t error_len)
{
	char path[96], target[256];
	ssize_t len;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", address);
	if (access(path, F_OK) != 0)
		return device_error(-ENODEV, error, error_len,
			"there is no PCI device %s: see `dpdk-devbind.py --status-dev net`",
			address);
	strncat(path, "/driver", sizeof(path) - strlen(path) - 1);
	len = readlink(path, target, sizeof(target) - 1);
	target[len > 0 ? len : 0] = '\0';
	const char *driver = strrchr(target, '/') != NULL ? strrchr(target, '/') + 1 : "no driver";
	if (strcmp(driver, "vfio-pci") != 0 && strcmp(driver, "uio_pci_generic") != 0 &&
		strcmp(driver, "igb_uio") != 0)
		return device_error(-ENODEV, error, error_len,
			"PCI device %s is bound to %s: bind it with `dpdk-devbind.py -b vfio-pci "
			"%s`, "
			"or give its Linux interface name instead",
			address, driver, address);
	if (geteuid() != 0)
		return device_error(-EACCES, error, error_len,
			"PCI device %s could not be opened: run as root, or give the user access "
			"to "
			"/dev/vfio and unlimited locked memory",
			address);
	return device_error(result, error, error_len,
		"PCI device %s is bound to %s but DPDK has no driver for it or could not start it "
		"(%s): see the messages above, and that the IOMMU is on or vfio's "
		"enable_unsafe_noiommu_mode is set",
		address, driver, rte_strerror(-result));
}

static int create_pci(struct port *out, const char *device, char *error, size_t error_len)
{
	char address[16];
	int result;

	pci_name(device, address);
	if (rte_eth_dev_get_port_by_name(address, &out->port_id) == 0)
		return 0;
	result = rte_eal_hotplug_add("pci", address, "");
	if (result < 0)
		return pci_error(result, address, error, error_len);
	out->own_device = true;
	snprintf(out->vdev, sizeof(out->vdev), "%s", address);
	result = rte_eth_dev_get_port_by_name(address, &out->port_id);
	return result < 0 ? pci_error(result, address, error, error_len) : 0;
}

/* Make a vdev from its name and arguments and find its port. */
static int vdev_init(struct port *out, const char *name, const char *args)
{
	int result = rte_eal_hotplug_add("vdev", name, args);
	if (result < 0)
		return result;
	out->own_device = true;
	snprintf(out->vdev, sizeof(out->vdev), "%s", name);
	return rte_eth_dev_get_port_by_name(name, &out->port_id);
}

static int create_vdev(struct port *out, const char *device, char *error, size_t error_len)
{
	size_t len = strcspn(device, ",");
	char name[RTE_DEV_NAME_MAX_LEN];

	snprintf(name, sizeof(name), "%.*s", (int)len, device);
	if (rte_eth_dev_get_port_by_name(name, &out->port_id) == 0)
		return 0; /* made by an EAL option --vdev, or by a test */
	int result = vdev_init(out, name, device[len] == ',' ? device + len + 1 : "");
	if (result == 0)
		return 0;
	return device_error(result, error, error_len,
		"the DPDK vdev \"%.100s\" could not be made (%s): check that its driver is "
		"installed "
		"(apt install dpdk) and its arguments (files, interfaces) exist",
		device, rte_strerror(-result));
}

/* Hotplug would say yes to a second device of the same name, and spoil the first. */
static bool netdev_in_use(const char *name)
{
	char device[64];
	uint16_t port_id;

	snprintf(device, sizeof(device), NAME_AF_XDP "%s", name);
	if (rte_eth_dev_get_port_by_name(device, &port_id) == 0)
		return true;
	snprintf(device, sizeof(device), NAME_AF_PACKET "%s", name);
	return rte_eth_dev_get_port_by_name(device, &port_id) == 0;
}

/* Whether AF_XDP could carry this MTU with these buffers: "" or why not. */
static const char *xdp_obstacle(const struct port_request *request, const struct netdev *netdev)
{
	static const char *const software[] = {"veth", "tun", "bridge", "macvlan", "ipvlan",
		"bonding", "dummy", "802.1Q VLAN Support"};
	const struct rte_mempool *pool = request->pool;
	uint32_t object = rte_mempool_calc_obj_size(pool->elt_size, pool->flags, NULL);
	uint32_t headers = pool->header_size + sizeof(struct rte_mbuf) +
			   rte_pktmbuf_priv_size(request->pool) + RTE_PKTMBUF_HEADROOM;

	if (object > (uint32_t)getpagesize() || pool->nb_mem_chunks != 1 ||
		request->mtu + PORT_FRAME_OVERHEAD + XDP_HEADROOM + headers > object)
		return "packet buffers for this MTU do not fit into one page";
	if (netdev->driver[0] == '\0')
		return "it is a software interface";
	for (unsigned i = 0; i < RTE_DIM(software); i++)
		if (strcmp(netdev->driver, software[i]) == 0)
			return "it is a software interface";
	return "";
}

static int create_af_xdp(const struct port_request *request, struct port *out,
	const struct netdev *netdev, char *error, size_t error_len)
{
	char name[64], args[128];
	int queues = netdev_set_queues(netdev->name, request->workers);

	if (queues < 0)
		return device_error(queues, error, error_len,
			"the queues of %s could not be set (%s): run as root, or use af_packet:%s",
			netdev->name, strerror(-queues), netdev->name);
	/* libxdp's dispatcher pins programs under /sys/fs/bpf, where they outlive the daemon. */
	setenv("LIBXDP_SKIP_DISPATCHER", "1", 0);
	snprintf(name, sizeof(name), NAME_AF_XDP "%s", netdev->name);
	/* Copy mode works with every driver. Busy polling inside recvfrom() would make the worker
	 * run the driver, and without zero copy it gains nothing. */
	snprintf(args, sizeof(args),
		"iface=%s,start_queue=0,queue_count=%d,busy_budget=0,force_copy=1", netdev->name,
		queues);
	int result = vdev_init(out, name, args);
	if (result < 0)
		return device_error(result, error, error_len,
			"AF_XDP could not open %s (%s): use af_packet:%s", netdev->name,
			rte_strerror(-result), netdev->name);
	out->kind = PORT_AF_XDP;
	out->kick_tx = true;
	return 0;
}

static int create_af_packet(const struct port_request *request, struct port *out,
	const struct netdev *netdev, char *error, size_t error_len)
{
	char name[64];
	uint16_t frame = RTE_MAX(request->mtu, out->mtu) + PORT_FRAME_OVERHEAD;

	snprintf(name, sizeof(name), NAME_AF_PACKET "%s", netdev->name);
	int result = vdev_init(out, name, "no-rx=1");
	if (result < 0)
		return device_error(result, error, error_len,
			"the port for %s could not be made (%s): check that DPDK's net_null driver "
			"is "
			"installed (apt install dpdk)",
			netdev->name, rte_strerror(-result));
	out->kind = PORT_AF_PACKET;
	/* One receive queue, whatever the number of workers: the kernel would deal frames out by a
	 * hash of its own, and of one flow's packets those inside link frames and those beside them
	 * would race each other on two workers. */
	result = packet_socket_open(netdev, 1, frame, request->pool,
		rte_eth_dev_socket_id(out->port_id), &out->packet_socket);
	if (result < 0)
		return device_error(result, error, error_len,
			"the packet sockets for %s could not be opened (%s): run as root, and "
			"leave "
			"%u MB of memory for each queue",
			netdev->name, strerror(-result), 16u);
	return 0;
}

static int create_netdev(
	const struct port_request *request, struct port *out, char *error, size_t error_len)
{
	const char *device = request->device, *name = netdev_part(device);
	struct netdev netdev;
	int result = netdev_read(name, &netdev);

	if (result < 0)
		return device_error(result, error, error_len,
			"there is no Linux interface %s here (%s): see `ip -br link`, and that "
			"sluiced "
			"runs in the right network namespace",
			name, strerror(-result));
	if (netdev_in_use(name))
		return device_error(-EBUSY, error, error_len,
			"%s is already in use by another port: give each port a device of its own",
			name);
	if (!netdev.is_ethernet)
		return device_error(-EINVAL, error, error_len,
			"interface %s is no Ethernet interface: a port must be one", name);
	snprintf(out->netdev, sizeof(out->netdev), "%s", name);
	out->promiscuous_fd = netdev_hold_promiscuous(netdev.index);
	if (out->promiscuous_fd < 0) {
		result = out->promiscuous_fd;
		return device_error(result, error, error_len,
			"interface %s could not be made promiscuous (%s): run as root or with "
			"CAP_NET_RAW and CAP_NET_ADMIN",
			name, strerror(-result));
	}
	/* Room for both tags of a full-size packet: the kernel drops longer frames either way. */
	result = netdev_raise_mtu(name, request->mtu + PORT_FRAME_OVERHEAD - RTE_ETHER_HDR_LEN);
	if (result < request->mtu) {
		out->mtu = result < 0 ? netdev.mtu : (uint16_t)result;
		snprintf(out->note, sizeof(out->note),
			"%s carries packets of %u bytes only: its MTU could not be raised", name,
			out->mtu);
	}
	result = netdev_set_up(name);
	if (result < 0)
		return device_error(result, error, error_len,
			"interface %s could not be set up (%s): run as root", name,
			strerror(-result));
	netdev_offloads_off(name);

	const char *obstacle = xdp_obstacle(request, &netdev);
	bool forced = has_prefix(device, "af_xdp:");
	if (!has_prefix(device, "af_packet:") && (forced || obstacle[0] == '\0'))
		return create_af_xdp(request, out, &netdev, error, error_len);
	if (out->note[0] == '\0')
		snprintf(out->note, sizeof(out->note), "AF_PACKET%s%s",
			obstacle[0] != '\0' ? ": " : "", obstacle);
	return create_af_packet(request, out, &netdev, error, error_len);
}

int device_create(
	const struct port_request *request, struct port *out, char *error, size_t error_len)
{
	int result = port_device_check(request->device, &out->kind, error, error_len);

	if (result < 0)
		return result;
	switch (out->kind) {
	case PORT_PCI:
		return create_pci(out, request->device, error, error_len);
	case PORT_VDEV:
		return create_vdev(out, request->device, error, error_len);
	default:
		return create_netdev(request, out, error, error_len);
	}
}

int device_attach(struct port *port)
{
	return port->packet_socket != NULL
		       ? packet_socket_attach(port->packet_socket, port->port_id)
		       : 0;
}

void device_remove(struct port *port)
{
	packet_socket_close(port->packet_socket);
	port->packet_socket = NULL;
	if (port->own_device)
		rte_eal_hotplug_remove(port->kind == PORT_PCI ? "pci" : "vdev", port->vdev);
	port->own_device = false;
	if (port->promiscuous_fd >= 0)
		close(port->promiscuous_fd);
	port->promiscuous_fd = -1;
}
