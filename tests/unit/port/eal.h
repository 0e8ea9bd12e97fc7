/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DPDK for the tests of this folder: no hugepages, no PCI, nothing shared; and a pool with buffers
 * as the daemon makes them.
 */
#ifndef SLUICE_TESTS_UNIT_PORT_EAL_H
#define SLUICE_TESTS_UNIT_PORT_EAL_H

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "dataplane/packet/packet.h"
#include "dataplane/port/port.h"

static inline int test_eal_init(void)
{
	static char *args[] = {"test", "--no-huge", "-m", "128", "--no-pci", "--no-shconf",
		"--no-telemetry", "-l", "0", "--log-level=critical",
		"--log-level=lib.eal:critical"};

	return rte_eal_init(sizeof(args) / sizeof(args[0]), args) < 0 ? -1 : 0;
}

static inline struct rte_mempool *test_pool(const char *name, unsigned count, uint16_t mtu)
{
	return rte_pktmbuf_pool_create(name, count, 0, sizeof(struct pkt),
		RTE_PKTMBUF_HEADROOM + mtu + 256, SOCKET_ID_ANY);
}

#endif
