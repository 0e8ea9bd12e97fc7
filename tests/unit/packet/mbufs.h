/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mbufs for the tests, fuzz targets and benchmarks of packet/, flow/ and classify/: an EAL with
 * neither ports nor hugepages, a pool as the daemon creates it, and packets from bytes.
 */
#ifndef SLUICE_TESTS_MBUFS_H
#define SLUICE_TESTS_MBUFS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>

#include "dataplane/packet/packet.h"

/* Start the EAL once, with this much memory; exits the program with a sentence if it does not. */
static inline void mbufs_start(const char *memory_mb)
{
	static int started;
	char *args[] = {"test", "--no-huge", "-m", (char *)(uintptr_t)memory_mb, "--no-pci",
		"--no-shconf", "--no-telemetry", "--log-level=error", NULL};

	if (started++)
		return;
	if (rte_eal_init(8, args) < 0) {
		fprintf(stderr, "cannot start the EAL: %s\n", rte_strerror(rte_errno));
		exit(2);
	}
}

static inline struct rte_mempool *mbufs_pool(const char *name, unsigned count, uint16_t data_bytes)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create(name, count, 0, sizeof(struct pkt),
		RTE_PKTMBUF_HEADROOM + data_bytes, SOCKET_ID_ANY);

	if (pool == NULL) {
		fprintf(stderr, "cannot create a pool: %s\n", rte_strerror(rte_errno));
		exit(2);
	}
	return pool;
}

/* A packet with these bytes. The bytes behind them and the private area are filled with rubbish. */
static inline struct rte_mbuf *mbufs_make(struct rte_mempool *pool, const void *bytes, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	if (m == NULL || len > rte_pktmbuf_tailroom(m)) {
		fprintf(stderr, "no packet buffer for %zu bytes\n", len);
		exit(2);
	}
	memset(pkt_of(m), 0xa5, sizeof(struct pkt));
	memset(rte_pktmbuf_mtod(m, void *), 0x5a, rte_pktmbuf_tailroom(m));
	memcpy(rte_pktmbuf_mtod(m, void *), bytes, len);
	m->data_len = (uint16_t)len;
	m->pkt_len = (uint32_t)len;
	return m;
}

#endif
