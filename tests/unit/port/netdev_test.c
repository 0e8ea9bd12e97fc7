/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port over a veth pair, in a network namespace that the test process makes for itself and that
 * ends with it: every frame sent into the far end arrives bit for bit, and the other way round.
 * Needs root; without, it says so and passes.
 */
#include "dataplane/port/port.h"
#include "tests/unit/port/eal.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <rte_ethdev.h>

/* For what must come: a busy machine may take the CPU away for long. */
#define WAIT_MS 10000
/* For what must not come. */
#define QUIET_MS 20

static struct rte_mempool *pool;
static char text[512];
static bool root;
static int far;

static bool shell(const char *command)
{
	return system(command) == 0;
}

/* A raw socket on an interface that sees nothing unless `receive`. */
static int raw_socket(const char *name, bool receive)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET,
		.sll_protocol = receive ? htons(ETH_P_ALL) : 0,
		.sll_ifindex = (int)if_nametoindex(name)};
	int fd = socket(AF_PACKET, SOCK_RAW, 0), on = 1;

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) < 0)
		return -1;
	return fd;
}

/* What the far end received, its tag put back as the wire had it; 0 when nothing came in time. */
static uint32_t far_receive(uint8_t *frame, uint32_t size)
{
	struct pollfd p = {.fd = far, .events = POLLIN};
	struct sockaddr_ll from;
	char control[256];

	while (poll(&p, 1, WAIT_MS) > 0) {
		struct iovec part = {frame, size};
		struct msghdr m = {.msg_name = &from,
			.msg_namelen = sizeof(from),
			.msg_iov = &part,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control)};
		ssize_t n = recvmsg(far, &m, 0);
		if (n <= 0)
			return 0;
		if (from.sll_pkttype == PACKET_OUTGOING)
			continue;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
			struct tpacket_auxdata aux;
			memcpy(&aux, CMSG_DATA(c), sizeof(aux));
			if (!(aux.tp_status & TP_STATUS_VLAN_VALID))
				continue;
			uint16_t tag[2] = {htons(aux.tp_vlan_tpid), htons(aux.tp_vlan_tci)};
			memmove(frame + 16, frame + 12, n - 12);
			memcpy(frame + 12, tag, 4);
			n += 4;
		}
		return (uint32_t)n;
	}
	return 0;
}

static struct rte_mbuf *near_receive_within(const struct port *p, unsigned wait_ms)
{
	struct rte_mbuf *m;

	for (unsigned i = 0; i < wait_ms * 10; i++) {
		for (uint16_t q = 0; q < p->rx_queues; q++)
			if (rte_eth_rx_burst(p->port_id, q, &m, 1) == 1)
				return m;
		usleep(100);
	}
	return NULL;
}

static struct rte_mbuf *near_receive(const struct port *p)
{
	return near_receive_within(p, WAIT_MS);
}

/* Nothing more comes. */
static bool near_is_quiet(const struct port *p)
{
	return near_receive_within(p, QUIET_MS) == NULL;
}

/*
 * Both ends take frames. ETHTOOL_GLINK tells of a carrier before the kernel's linkwatch has put a
 * queue in place of the one that drops all there is to send, without an error; the operational
 * state (RFC 2863) is set with that, under the lock that `ip` takes too.
 */
static bool ends_operate(void)
{
	for (unsigned i = 0; i < WAIT_MS / 10; i++, usleep(10000))
		if (shell("ip link show dev near0 | grep -q ' state UP ' && "
			  "ip link show dev far0 | grep -q ' state UP '"))
			return true;
	return false;
}

/* The k-th test frame of a kind; 0 when there is no such. */
static uint32_t make(unsigned k, uint8_t *f)
{
	static const struct {
		const char *header; /* behind the addresses */
		uint8_t header_len;
		uint16_t len; /* of the frame */
	} kinds[] = {{"\x08\x00", 2, 60}, {"\x81\x00\x60\x64\x08\x00", 6, 64},
		{"\x88\xa8\x60\x64\x08\x00", 6, 64},
		{"\x88\xa8\x00\x05\x81\x00\x00\x06\x08\x00", 10, 100},
		{"\x81\x00\x00\x05\x81\x00\x00\x06\x08\x00", 10, 100},
		{"\x91\x00\x00\x05\x08\x00", 6, 99}, {"\x81\x00\x00\x00\x86\xdd", 6, 80},
		{"\x12\x34", 2, 17}, {"\x88\xcc", 2, 70}, {"\x88\x47", 2, 333},
		{"\x00\x26\x42\x42\x03", 5, 60}, {"\x08\x00", 2, 1514},
		{"\x88\xa8\x00\x05\x81\x00\x00\x06\x08\x00", 10, 1522},
		/* two fragments of one datagram */
		{"\x08\x00\x45\x00\x03\x34\x00\x63\x20\x00\x40\x11\x00\x00\x0a\x09\x00\x4d\x0a\x09"
		 "\x00\x4e",
			22, 834},
		{"\x08\x00\x45\x00\x03\x34\x00\x63\x00\x64\x40\x11\x00\x00\x0a\x09\x00\x4d\x0a\x09"
		 "\x00\x4e",
			22, 834}};

	if (k >= sizeof(kinds) / sizeof(kinds[0]))
		return 0;
	for (unsigned i = 0; i < kinds[k].len; i++)
		f[i] = (uint8_t)(i * 7 + k);
	memcpy(f, "\x02\x00\x00\x00\x00\x09\x02\x00\x00\x00\x00\x08", 12);
	memcpy(f + 12, kinds[k].header, kinds[k].header_len);
	return kinds[k].len;
}

/* The kernel tells of a carrier a little after the command that changed it. */
static bool link_becomes(struct port *p, bool up)
{
	for (unsigned i = 0; i < WAIT_MS / 10; i++, usleep(10000)) {
		port_poll_link(p);
		if (p->link_up == up)
			return true;
	}
	return false;
}

static void open_port(struct port *p, const char *device, uint16_t workers, uint16_t mtu)
{
	struct port_request r = {
		.device = device, .name = "b0.wan", .workers = workers, .mtu = mtu, .pool = pool};
	int result = port_open(&r, p, text, sizeof(text));

	if (result != 0)
		printf("     %s\n", text);
	CU_ASSERT_EQUAL_FATAL(result, 0);
}

static void both_ways(struct port *p)
{
	uint8_t frame[2048], got[2048];
	uint32_t len;

	for (unsigned k = 0; (len = make(k, frame)) > 0; k++) {
		CU_ASSERT_EQUAL(send(far, frame, len, 0), (ssize_t)len);
		struct rte_mbuf *m = near_receive(p);
		if (m == NULL || m->data_len != len ||
			memcmp(rte_pktmbuf_mtod(m, void *), frame, len) != 0)
			printf("     frame %u: received %d of %u bytes\n", k, m ? m->data_len : -1,
				len);
		CU_ASSERT_PTR_NOT_NULL_FATAL(m);
		CU_ASSERT_EQUAL(m->pkt_len, len);
		CU_ASSERT_EQUAL(memcmp(rte_pktmbuf_mtod(m, void *), frame, len), 0);
		/* and back, changed so that it can't be mistaken */
		rte_pktmbuf_mtod(m, uint8_t *)[5] = frame[5] = 0x77;
		CU_ASSERT_EQUAL_FATAL(rte_eth_tx_burst(p->port_id, p->tx_queues - 1, &m, 1), 1);
		CU_ASSERT_EQUAL(far_receive(got, sizeof(got)), len);
		CU_ASSERT_EQUAL(memcmp(got, frame, len), 0);
	}
	CU_ASSERT_TRUE(near_is_quiet(p)); /* what we sent does not come back */
}

static void test_frames(void)
{
	struct port p;

	if (!root)
		return;
	for (uint16_t workers = 1; workers <= 2; workers++) {
		open_port(&p, "near0", workers, 1500);
		CU_ASSERT_EQUAL(p.kind, PORT_AF_PACKET);
		CU_ASSERT_EQUAL(p.rx_queues, 1); /* so that a flow keeps its order */
		CU_ASSERT_EQUAL(p.max_frame_bytes, 1522);
		CU_ASSERT_TRUE(link_becomes(&p, true));
		both_ways(&p);
		struct counters_port c = {0};
		port_stats(&p, &c);
		CU_ASSERT_EQUAL(c.rx_packets, 15);
		CU_ASSERT_EQUAL(c.tx_packets, 15);
		CU_ASSERT_EQUAL(c.rx_bytes, c.tx_bytes);
		CU_ASSERT_EQUAL(c.rx_missed + c.rx_errors + c.rx_no_mbuf + c.tx_errors, 0);
		port_close(&p);
	}
}

static void test_promiscuous(void)
{
	struct port p;

	if (!root)
		return;
	open_port(&p, "af_packet:near0", 1, 1500);
	struct port_request twice = {.device = "near0", .workers = 1, .mtu = 1500, .pool = pool};
	struct port other;
	CU_ASSERT_EQUAL(port_open(&twice, &other, text, sizeof(text)), -EBUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "already in use"));
	twice.device = "af_xdp:near0";
	CU_ASSERT_EQUAL(port_open(&twice, &other, text, sizeof(text)), -EBUSY);
	port_close(&other); /* nothing of it, and nothing of the first */
	both_ways(&p);
	CU_ASSERT_TRUE(shell("ip -d link show near0 | grep -q 'promiscuity [1-9]'"));
	port_close(&p);
	CU_ASSERT_FALSE(shell("ip -d link show near0 | grep -q 'promiscuity [1-9]'"));
}

/* What the host itself sends on the interface is not traffic of the bridge. */
static void test_outgoing(void)
{
	struct port p;
	uint8_t frame[2048];
	int host;

	if (!root)
		return;
	open_port(&p, "near0", 1, 1500);
	host = raw_socket("near0", false);
	uint32_t len = make(0, frame);
	CU_ASSERT_EQUAL(send(host, frame, len, 0), (ssize_t)len);
	CU_ASSERT_TRUE(near_is_quiet(&p));
	close(host);
	CU_ASSERT_EQUAL(far_receive(frame, sizeof(frame)), len);
	port_close(&p);
}

static void test_counted(void)
{
	struct port p;
	struct counters_port c = {0};
	uint8_t *frame = calloc(1, 4000);

	if (root) {
		CU_ASSERT_TRUE(shell("ip link set near0 mtu 3500 && ip link set far0 mtu 3500"));
		open_port(&p, "near0", 1, 1500);
		make(0, frame);
		/* longer than a buffer: not cut, but dropped and counted */
		CU_ASSERT_EQUAL(send(far, frame, 3000, 0), 3000);
		CU_ASSERT_TRUE(near_is_quiet(&p));
		/* a burst longer than the ring: what is lost is counted */
		for (unsigned i = 0; i < 12000; i++)
			while (send(far, frame, 60, 0) < 0)
				;
		unsigned received = 0;
		for (struct rte_mbuf *m; (m = near_receive_within(&p, QUIET_MS)) != NULL;
			received++)
			rte_pktmbuf_free(m);
		/* longer than the interface sends: gone, counted */
		shell("ip link set near0 mtu 1508");
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
		m->data_len = m->pkt_len = 1700;
		memcpy(rte_pktmbuf_mtod(m, void *), frame, 1700);
		CU_ASSERT_EQUAL(rte_eth_tx_burst(p.port_id, 0, &m, 1), 1);
		port_stats(&p, &c);
		CU_ASSERT_EQUAL(c.rx_errors, 1);
		CU_ASSERT(c.rx_missed > 0);
		CU_ASSERT_EQUAL(received + c.rx_missed, 12000);
		CU_ASSERT_EQUAL(c.tx_errors, 1);
		port_stats(&p, &c); /* asking again loses nothing */
		CU_ASSERT_EQUAL(received + c.rx_missed, 12000);
		port_close(&p);
		shell("ip link set far0 mtu 1508");
	}
	free(frame);
}

static void test_link(void)
{
	struct port p;

	if (!root)
		return;
	open_port(&p, "near0", 1, 1500);
	CU_ASSERT_TRUE(link_becomes(&p, true));
	CU_ASSERT_EQUAL(p.speed_mbps, 10000);
	shell("ip link set far0 down");
	CU_ASSERT_TRUE(link_becomes(&p, false));
	shell("ip link set far0 up");
	CU_ASSERT_TRUE(link_becomes(&p, true));
	shell("ip link set near0 down && ip link set near0 up");
	CU_ASSERT_TRUE(link_becomes(&p, true));
	CU_ASSERT_TRUE_FATAL(ends_operate());
	int left;
	socklen_t left_len = sizeof(left);
	getsockopt(far, SOL_SOCKET, SO_ERROR, &left, &left_len); /* ENETDOWN, from then */
	both_ways(&p);						 /* frames flow again */
	struct counters_port c = {0};
	port_stats(&p, &c);
	CU_ASSERT_EQUAL(c.tx_errors, 0);
	/* An interface that goes away is a link that went down, nothing worse. */
	shell("ip link del near0");
	port_poll_link(&p);
	CU_ASSERT_FALSE(p.link_up);
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool), *none;
	memset(rte_pktmbuf_append(m, 60), 0, 60);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(p.port_id, 0, &m, 1), 1);
	CU_ASSERT_EQUAL(rte_eth_rx_burst(p.port_id, 0, &none, 1), 0);
	port_close(&p);
}

static void setup(void)
{
	root = geteuid() == 0 && unshare(CLONE_NEWNET) == 0;
	if (root)
		root = shell("ip link add near0 type veth peer name far0 && "
			     "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 && "
			     "ip link set far0 mtu 1508 up && ip link set near0 up");
	if (!root) {
		printf("     not root, or no veth: nothing tested here\n");
		return;
	}
	CU_ASSERT_FATAL(test_eal_init() == 0);
	CU_ASSERT_FATAL(ends_operate());
	pool = test_pool("netdev_test", 16383, 1500);
	CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
	far = raw_socket("far0", true);
	CU_ASSERT_FATAL(far >= 0);
}

static void test_no_leak(void)
{
	if (root)
		CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), 16383);
}

UNIT_TESTS("netdev", {"a veth pair in a namespace of our own", setup},
	{"frames arrive bit for bit", test_frames}, {"promiscuous while open", test_promiscuous},
	{"the host's own frames are left out", test_outgoing},
	{"what is lost is counted", test_counted}, {"link state", test_link},
	{"every buffer is back", test_no_leak})
