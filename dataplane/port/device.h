/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a device's name to an ethdev: private to port/. port.c calls device_create(), sets the
 * ethdev up, then device_attach(); device_remove() undoes both.
 */
#ifndef SLUICE_PORT_DEVICE_H
#define SLUICE_PORT_DEVICE_H

#include "dataplane/port/port.h"

/* Format a sentence into error and return `result`. */
int device_error(int result, char *error, size_t error_len, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Find or create the device: sets port_id, kind, netdev, vdev, mtu and the descriptors of out. */
int device_create(
	const struct port_request *request, struct port *out, char *error, size_t error_len);

/* After the queues were set up: what the kind still needs. 0 or -errno. */
int device_attach(struct port *port);

/* Undo device_create(), however far it came. */
void device_remove(struct port *port);

#endif
