/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports on vdevs (net_null, net_ring) and the sentences for names that are none. Ports over Linux
 * interfaces are in netdev_test.c.
 */
#include "dataplane/port/port.h"
#include "tests/unit/port/eal.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_ethdev.h>

static struct rte_mempool *pool;
static char text[512];

static struct port_request request(const char *device, uint16_t workers)
{
	return (struct port_request){
		.device = device, .name = "b0.lan", .workers = workers, .mtu = 1500, .pool = pool};
}

static void test_names(void)
{
	static const struct {
		const char *name;
		int result;
		enum port_kind kind;
	} names[] = {{"0000:01:00.0", 0, PORT_PCI}, {"01:00.1", 0, PORT_PCI},
		{"net_pcap0,rx_pcap=a.pcap,tx_pcap=b.pcap", 0, PORT_VDEV},
		{"net_ring0", 0, PORT_VDEV}, {"eth1", 0, PORT_AF_XDP}, {"eth_lan", 0, PORT_VDEV},
		{"enp1s0f0.100", 0, PORT_AF_XDP}, {"af_packet:eth1", 0, PORT_AF_PACKET},
		{"af_xdp:eth1", 0, PORT_AF_XDP}, {"", -EINVAL, 0}, {"af_packet:", -EINVAL, 0},
		{"an interface", -EINVAL, 0}, {"sixteen_chars_ab", -EINVAL, 0},
		{"../../etc", -EINVAL, 0}, {"..", -EINVAL, 0}, {"af_xdp:af_xdp:eth1", -EINVAL, 0},
		{"eth1\n", -EINVAL, 0}, {"01:00.9", -EINVAL, 0}, {"0000:01:00.0,x", -EINVAL, 0}};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		enum port_kind kind = PORT_PCI;
		text[0] = '\0';
		CU_ASSERT_EQUAL(port_device_check(names[i].name, &kind, text, sizeof(text)),
			names[i].result);
		if (names[i].result == 0) {
			CU_ASSERT_EQUAL(kind, names[i].kind);
		} else {
			CU_ASSERT_PTR_NOT_NULL(strstr(text, "give a PCI address"));
		}
	}
}

static void refused(const char *device, const char *says)
{
	struct port_request r = request(device, 1);
	struct port p;

	text[0] = '\0';
	CU_ASSERT(port_open(&r, &p, text, sizeof(text)) < 0);
	if (strstr(text, says) == NULL)
		printf("     %s: \"%s\"\n", device, text);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, says));
	CU_ASSERT_EQUAL(rte_eth_dev_count_avail(), 0);
	port_close(&p); /* harmless after a failure */
}

static void test_errors(void)
{
	refused("ff:1f.7", "there is no PCI device 0000:ff:1f.7");
	refused("nosuchif0", "there is no Linux interface nosuchif0");
	refused("af_packet:nosuchif0", "there is no Linux interface nosuchif0");
	refused("af_xdp:nosuchif0", "there is no Linux interface nosuchif0");
	refused("lo", "no Ethernet interface");
	refused("net_nosuchdriver0", "could not be made");
	refused("net_pcap0,rx_pcap=/nonexistent.pcap,tx_pcap=/tmp/x", "could not be made");
	refused("a b", "is no device");

	struct port_request r = request("net_null0", 0);
	struct port p;
	CU_ASSERT_EQUAL(port_open(&r, &p, text, sizeof(text)), -EINVAL);
}

static void test_null(void)
{
	struct port_request r = request("net_null0,size=64", 2);
	struct port p, again;
	struct rte_mbuf *burst[32];
	struct counters_port counters = {0};

	CU_ASSERT_EQUAL_FATAL(port_open(&r, &p, text, sizeof(text)), 0);
	CU_ASSERT_EQUAL(p.rx_queues, 2);
	CU_ASSERT_EQUAL(p.tx_queues, 2);
	CU_ASSERT_FALSE(p.symmetric_rss); /* it says it had RSS, but has not */
	CU_ASSERT_TRUE(p.link_up);
	CU_ASSERT_STRING_EQUAL(p.name, "b0.lan");
	CU_ASSERT_EQUAL(p.mtu, 1500);
	CU_ASSERT_EQUAL(port_rx_fd(&p, 0), -1);
	CU_ASSERT(port_open(&r, &again, text, sizeof(text)) == -EBUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "already in use"));
	uint16_t n = rte_eth_rx_burst(p.port_id, 1, burst, 32);
	CU_ASSERT_EQUAL(n, 32);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(p.port_id, 0, burst, n), n);
	port_stats(&p, &counters);
	CU_ASSERT_EQUAL(counters.rx_packets, 32);
	CU_ASSERT_EQUAL(counters.tx_packets, 32);
	CU_ASSERT_EQUAL(counters.mtu, 1500);
	CU_ASSERT_STRING_EQUAL(counters.name, "b0.lan");
	port_close(&p);
	CU_ASSERT_EQUAL(rte_eth_dev_count_avail(), 0);
	/* the same name again: nothing was left */
	CU_ASSERT_EQUAL_FATAL(port_open(&r, &p, text, sizeof(text)), 0);
	port_close(&p);
}

static void test_ring(void)
{
	struct port_request r = request("net_ring0", 3);
	struct port p;
	struct rte_mbuf *m, *back[4];

	CU_ASSERT_EQUAL_FATAL(port_open(&r, &p, text, sizeof(text)), 0);
	CU_ASSERT_EQUAL(p.rx_queues, p.tx_queues);
	CU_ASSERT(p.rx_queues >= 1 && p.rx_queues <= 3);
	m = rte_pktmbuf_alloc(pool);
	memset(rte_pktmbuf_append(m, 60), 0x5a, 60);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(p.port_id, 0, &m, 1), 1);
	CU_ASSERT_EQUAL_FATAL(rte_eth_rx_burst(p.port_id, 0, back, 4), 1);
	CU_ASSERT_PTR_EQUAL(back[0], m);
	rte_pktmbuf_free(m);
	port_close(&p);
}

static void test_max_queues(void)
{
	char device[128];
	struct port_request r = request(device, 4);
	struct port p;

	/* One file in, one out: one queue each, however many workers there are. */
	snprintf(device, sizeof(device), "net_pcap0,rx_iface=lo,tx_iface=lo");
	int result = port_open(&r, &p, text, sizeof(text));
	if (result < 0) { /* needs the right to open interfaces */
		CU_ASSERT_PTR_NOT_NULL(strstr(text, "could not be made"));
		return;
	}
	CU_ASSERT_EQUAL(p.rx_queues, 1);
	CU_ASSERT_EQUAL(p.tx_queues, 1);
	port_close(&p);
}

static void eal(void)
{
	CU_ASSERT_FATAL(test_eal_init() == 0);
	pool = test_pool("port_test", 4096, 1500);
	CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
}

static void test_no_leak(void)
{
	CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), 4096);
}

UNIT_TESTS("port", {"start DPDK", eal}, {"names", test_names},
	{"errors say what to do", test_errors}, {"net_null", test_null}, {"net_ring", test_ring},
	{"no more queues than the device has", test_max_queues},
	{"every buffer is back", test_no_leak})
