/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Linux interface set-up through the old ioctls: they need no library, work in every namespace
 * and are all that packet_socket.c and the AF_XDP ports of device.c want.
 */
#include "dataplane/port/netdev.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* One ioctl on an interface, `request` filled but for its name. */
static int netdev_ioctl(const char *name, unsigned long command, struct ifreq *request)
{
	int fd, result = 0;

	if (strlen(name) >= sizeof(request->ifr_name))
		return -ENODEV;
	snprintf(request->ifr_name, sizeof(request->ifr_name), "%s", name);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, command, request) < 0)
		result = -errno;
	close(fd);
	return result;
}

static int netdev_ethtool(const char *name, void *command)
{
	struct ifreq request = {.ifr_data = command};

	return netdev_ioctl(name, SIOCETHTOOL, &request);
}

int netdev_read(const char *name, struct netdev *out)
{
	struct ifreq request = {0};
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	int result = netdev_ioctl(name, SIOCGIFINDEX, &request);

	if (result < 0)
		return result;
	memset(out, 0, sizeof(*out));
	snprintf(out->name, sizeof(out->name), "%s", name);
	out->index = request.ifr_ifindex;
	result = netdev_ioctl(name, SIOCGIFHWADDR, &request);
	if (result < 0)
		return result;
	out->is_ethernet = request.ifr_hwaddr.sa_family == ARPHRD_ETHER;
	memcpy(out->mac, request.ifr_hwaddr.sa_data, sizeof(out->mac));
	result = netdev_ioctl(name, SIOCGIFMTU, &request);
	if (result < 0)
		return result;
	out->mtu = request.ifr_mtu > UINT16_MAX ? UINT16_MAX : (uint16_t)request.ifr_mtu;
	if (netdev_ethtool(name, &info) == 0)
		snprintf(out->driver, sizeof(out->driver), "%s", info.driver);
	return 0;
}

int netdev_link(const char *name, bool *up, uint32_t *speed_mbps)
{
	struct ifreq request = {0};
	struct ethtool_cmd speed = {.cmd = ETHTOOL_GSET};
	struct ethtool_value carrier = {.cmd = ETHTOOL_GLINK};
	int result = netdev_ioctl(name, SIOCGIFFLAGS, &request);

	*up = false;
	*speed_mbps = 0;
	if (result < 0)
		return result;
	/* IFF_RUNNING follows the carrier up to a second late. */
	*up = (request.ifr_flags & IFF_UP) &&
	      (netdev_ethtool(name, &carrier) == 0 ? carrier.data != 0
						   : (request.ifr_flags & IFF_RUNNING) != 0);
	if (*up && netdev_ethtool(name, &speed) == 0 &&
		ethtool_cmd_speed(&speed) != (uint32_t)SPEED_UNKNOWN)
		*speed_mbps = ethtool_cmd_speed(&speed);
	return 0;
}

int netdev_set_up(const char *name)
{
	struct ifreq request = {0};
	int result = netdev_ioctl(name, SIOCGIFFLAGS, &request);

	if (result < 0 || (request.ifr_flags & IFF_UP))
		return result;
	request.ifr_flags |= IFF_UP;
	return netdev_ioctl(name, SIOCSIFFLAGS, &request);
}

int netdev_raise_mtu(const char *name, uint16_t mtu)
{
	struct ifreq request = {0};
	int result = netdev_ioctl(name, SIOCGIFMTU, &request);

	if (result < 0)
		return result;
	if (request.ifr_mtu >= mtu)
		return request.ifr_mtu;
	int before = request.ifr_mtu;
	request.ifr_mtu = mtu;
	return netdev_ioctl(name, SIOCSIFMTU, &request) < 0 ? before : mtu;
}

void netdev_offloads_off(const char *name)
{
	struct ethtool_value gro = {.cmd = ETHTOOL_SGRO, .data = 0};
	struct ethtool_value flags = {.cmd = ETHTOOL_GFLAGS};

	netdev_ethtool(name, &gro);
	/* The tag itself would survive in an AF_PACKET header, but an XDP program never sees it. */
	if (netdev_ethtool(name, &flags) == 0) {
		flags.cmd = ETHTOOL_SFLAGS;
		flags.data &= ~(uint32_t)(ETH_FLAG_RXVLAN | ETH_FLAG_LRO);
		netdev_ethtool(name, &flags);
	}
}

int netdev_set_queues(const char *name, uint16_t wanted)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};

	if (netdev_ethtool(name, &channels) < 0)
		return 1;
	if (channels.max_combined > 0) {
		if (wanted > channels.max_combined)
			wanted = (uint16_t)channels.max_combined;
		if (channels.combined_count == wanted)
			return wanted;
		channels.combined_count = wanted;
	} else {
		if (channels.rx_count == 1 && channels.tx_count == 1)
			return 1;
		wanted = 1;
		channels.rx_count = 1;
		channels.tx_count = 1;
	}
	channels.cmd = ETHTOOL_SCHANNELS;
	int result = netdev_ethtool(name, &channels);
	return result < 0 ? result : wanted;
}

int netdev_hold_promiscuous(int index)
{
	struct packet_mreq member = {.mr_ifindex = index, .mr_type = PACKET_MR_PROMISC};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0); /* protocol 0: receives nothing */

	if (fd < 0)
		return -errno;
	int result = setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &member, sizeof(member));
	member.mr_type = PACKET_MR_ALLMULTI;
	if (result == 0)
		result = setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &member, sizeof(member));
	if (result < 0) {
		result = -errno;
		close(fd);
		return result;
	}
	return fd;
}
