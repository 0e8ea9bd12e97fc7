/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a port asks of a Linux interface: existence, link, MTU, channels. Private to port/. Every
 * call opens a socket, asks the kernel and closes it; none changes more than its name says.
 */
#ifndef SLUICE_PORT_NETDEV_H
#define SLUICE_PORT_NETDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NETDEV_NAME_MAX 16 /* IFNAMSIZ, with the NUL */

struct netdev {
	char name[NETDEV_NAME_MAX];
	int index;
	bool is_ethernet;
	uint8_t mac[6];
	uint16_t mtu;
	char driver[32]; /* "veth", "ixgbe", ...; "" when the driver does not say */
};

/* Look an interface up in the network namespace of the process. 0, -ENODEV, or what the kernel
 * said. */
int netdev_read(const char *name, struct netdev *out);

/* Is there a carrier? Speed in Mbit/s, 0 if not known. -errno when the interface is gone. */
int netdev_link(const char *name, bool *up, uint32_t *speed_mbps);

/* Set IFF_UP. */
int netdev_set_up(const char *name);

/* Raise the MTU to `mtu` if it is lower; returns the MTU in force afterwards, or -errno. */
int netdev_raise_mtu(const char *name, uint16_t mtu);

/*
 * Leave frames alone: no merging of received ones (GRO, LRO) and no tag taken out by the device.
 * Needed for the frames to arrive as they came. Best effort: the features that cannot be
 * changed are left.
 */
void netdev_offloads_off(const char *name);

/* Use `wanted` queues, or what there is. Returns the number in force, 1 when the device cannot say.
 * A device with separate receive and transmit channels (veth) is set to one of each, because
 * net_af_xdp opens only queue 0 of such devices. */
int netdev_set_queues(const char *name, uint16_t wanted);

/* Open a socket that keeps the interface promiscuous (all multicast included) for as long as it
 * is open, so that even kill -9 leaves nothing behind. Returns the descriptor or -errno. */
int netdev_hold_promiscuous(int index);

#endif
