/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AF_PACKET sockets behind an ethdev. A net_null port with no-rx=1 is the shell: it has queues and
 * a port_id, receives nothing and frees what it sends. A receive callback fills the empty burst
 * from the socket's ring; a transmit callback sends the burst and hands on to net_null, which
 * frees them, exactly the packets that the kernel took, so that the caller keeps the others.
 *
 * Why not DPDK's net_af_packet (22.11, tried over veth on kernel 6.18):
 *  - its sockets join a fanout group with PACKET_FANOUT_FLAG_DEFRAG, one queue or not: the kernel
 *    reassembles IPv4 fragments, and two fragments of one datagram never arrived;
 *  - it puts back a stripped VLAN tag as 0x8100: an 802.1ad tag (0x88a8) left altered;
 *  - a frame longer than its ring's slot is cut and passed on as if it were whole;
 *  - it also receives what the host itself sends on the interface, and bridges it;
 *  - no counter of the frames that the kernel dropped, link state fixed, MTU reported as 1500.
 * None of this holds here: tests/unit/port/netdev_test.c.
 *
 * sendmmsg() instead of a transmit ring: one system call a burst either way, but the ring reports a
 * full device as success, while here the packet is still the caller's. No qdisc bypass: tcpdump on
 * the interface sees both directions.
 */
#include "dataplane/port/packet_socket.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <arpa/inet.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

#define RING_FRAMES 4096u
#define RING_BYTES_MAX (16u << 20)
#define RING_BLOCK_BYTES (128u << 10)
#define SEND_BUFFER_BYTES (1 << 20)
#define SEND_BATCH 64

/* One queue: one socket. The counters are written by the queue's worker, read by control. */
struct packet_queue {
	int fd;
	uint8_t *ring;
	uint32_t slots_per_block, blocks, slot_bytes;
	uint32_t block, slot; /* next frame to read */
	uint32_t room_bytes;  /* of a packet buffer */
	struct rte_mempool *pool;
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
	uint64_t rx_errors, rx_no_mbuf, tx_errors;
	const struct rte_eth_rxtx_callback *rx_callback, *tx_callback;
	uint64_t kernel_drops; /* control thread: sum of what PACKET_STATISTICS gave */
} __rte_cache_aligned;

struct packet_socket {
	uint16_t queues;
	uint16_t port_id;
	struct packet_queue queue[];
};

static inline void count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline struct tpacket2_hdr *ring_head(const struct packet_queue *q)
{
	return (struct tpacket2_hdr *)(q->ring + (size_t)q->block * RING_BLOCK_BYTES +
				       (size_t)q->slot * q->slot_bytes);
}

static inline void ring_next(struct packet_queue *q)
{
	if (++q->slot == q->slots_per_block) {
		q->slot = 0;
		if (++q->block == q->blocks)
			q->block = 0;
	}
}

/* Copy one frame out of the ring, with the tag that the kernel took out back in its place. */
static bool frame_copy(
	const struct packet_queue *q, const struct tpacket2_hdr *h, struct rte_mbuf *m)
{
	const uint8_t *from = (const uint8_t *)h + h->tp_mac;
	uint8_t *to = rte_pktmbuf_mtod(m, uint8_t *);
	uint32_t len = h->tp_snaplen;

	if (h->tp_len != len || len < RTE_ETHER_HDR_LEN)
		return false;
	if (!(h->tp_status & TP_STATUS_VLAN_VALID)) {
		if (len > q->room_bytes)
			return false;
		memcpy(to, from, len);
	} else {
		uint16_t tpid =
			h->tp_status & TP_STATUS_VLAN_TPID_VALID ? h->tp_vlan_tpid : ETHERTYPE_VLAN;
		uint16_t tag[2] = {htons(tpid), htons(h->tp_vlan_tci)};

		if (len + sizeof(tag) > q->room_bytes)
			return false;
		memcpy(to, from, 2 * RTE_ETHER_ADDR_LEN);
		memcpy(to + 2 * RTE_ETHER_ADDR_LEN, tag, sizeof(tag));
		memcpy(to + 2 * RTE_ETHER_ADDR_LEN + sizeof(tag), from + 2 * RTE_ETHER_ADDR_LEN,
			len - 2 * RTE_ETHER_ADDR_LEN);
		len += sizeof(tag);
	}
	m->pkt_len = len;
	m->data_len = (uint16_t)len;
	return true;
}

static uint16_t receive(uint16_t port_id, uint16_t queue, struct rte_mbuf *packets[], uint16_t n,
	uint16_t max, void *user)
{
	struct packet_queue *q = user;
	uint64_t bytes = 0;
	uint16_t first = n;

	while (n < max) {
		struct tpacket2_hdr *h = ring_head(q);
		struct rte_mbuf *m;

		if (!(__atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
			break;
		m = rte_pktmbuf_alloc(q->pool);
		if (m == NULL) {
			count(&q->rx_no_mbuf, 1);
			break;
		}
		if (frame_copy(q, h, m)) {
			m->port = port_id;
			bytes += m->pkt_len;
			packets[n++] = m;
		} else {
			count(&q->rx_errors, 1);
			rte_pktmbuf_free(m);
		}
		__atomic_store_n(&h->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		ring_next(q);
	}
	if (n > first) {
		count(&q->rx_packets, n - first);
		count(&q->rx_bytes, bytes);
	}
	return n;
}

/* Send up to SEND_BATCH packets; returns how many are done with, sent or hopeless. */
static uint16_t send_batch(struct packet_queue *q, struct rte_mbuf *packets[], uint16_t n)
{
	struct mmsghdr messages[SEND_BATCH];
	struct iovec parts[SEND_BATCH];
	uint64_t bytes = 0, sent = 0;
	uint16_t done = 0;
	bool tried = false;

	for (uint16_t i = 0; i < n; i++) {
		parts[i].iov_base = rte_pktmbuf_mtod(packets[i], void *);
		parts[i].iov_len = packets[i]->data_len;
		memset(&messages[i], 0, sizeof(messages[i]));
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	while (done < n) {
		int took = sendmmsg(q->fd, messages + done, n - done, MSG_DONTWAIT);

		if (took > 0) {
			for (int i = 0; i < took; i++)
				bytes += packets[done + i]->data_len;
			sent += took;
			done += took;
			tried = false;
		} else if (errno == EAGAIN || errno == ENOBUFS) {
			break; /* the device or its queue is full: the caller tries again */
		} else if (errno == EINTR || (errno == ENETDOWN && !tried)) {
			/* ENETDOWN once: an error left over from when the interface was down */
			tried = errno == ENETDOWN;
		} else {
			count(&q->tx_errors, 1);
			done++;
			tried = false;
		}
	}
	count(&q->tx_packets, sent);
	count(&q->tx_bytes, bytes);
	return done;
}

static uint16_t transmit(
	uint16_t port_id, uint16_t queue, struct rte_mbuf *packets[], uint16_t n, void *user)
{
	uint16_t done = 0;

	while (done < n) {
		uint16_t batch = RTE_MIN(n - done, SEND_BATCH);
		uint16_t took = send_batch(user, packets + done, batch);

		done += took;
		if (took < batch)
			break;
	}
	return done;
}

/* A socket that lets nothing in yet: see packet_socket_attach(). */
static int queue_open(struct packet_queue *q, const struct netdev *netdev, uint16_t max_frame_bytes)
{
	struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
	struct sock_fprog filter = {.len = 1, .filter = nothing};
	struct sockaddr_ll address = {.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = netdev->index};
	int version = TPACKET_V2, on = 1, send_bytes = SEND_BUFFER_BYTES;
	struct tpacket_req ring = {.tp_block_size = RING_BLOCK_BYTES};

	q->slot_bytes =
		(uint32_t)TPACKET_ALIGN(TPACKET_ALIGN(TPACKET2_HDRLEN + 16) + max_frame_bytes);
	q->slots_per_block = RING_BLOCK_BYTES / q->slot_bytes;
	q->blocks = RTE_MIN((RING_FRAMES + q->slots_per_block - 1) / q->slots_per_block,
		RING_BYTES_MAX / RING_BLOCK_BYTES);
	ring.tp_block_nr = q->blocks;
	ring.tp_frame_size = q->slot_bytes;
	ring.tp_frame_nr = q->blocks * q->slots_per_block;

	q->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (q->fd < 0)
		return -errno;
	if (setsockopt(q->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0 ||
		setsockopt(q->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0 ||
		setsockopt(q->fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) < 0 ||
		setsockopt(q->fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)) < 0)
		return -errno;
	setsockopt(q->fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_bytes, sizeof(send_bytes));
	q->ring = mmap(NULL, (size_t)q->blocks * RING_BLOCK_BYTES, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_POPULATE, q->fd, 0);
	if (q->ring == MAP_FAILED) {
		q->ring = NULL;
		return -errno;
	}
	if (bind(q->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return 0;
}

/* Spread the frames over the sockets by flow. A group of one socket would only cost time. */
static int queues_join(struct packet_socket *s)
{
	int group = (PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_UNIQUEID) << 16;
	socklen_t len = sizeof(group);

	for (uint16_t i = 0; s->queues > 1 && i < s->queues; i++) {
		if (setsockopt(s->queue[i].fd, SOL_PACKET, PACKET_FANOUT, &group, sizeof(group)) <
			0)
			return -errno;
		if (i == 0) {
			if (getsockopt(s->queue[0].fd, SOL_PACKET, PACKET_FANOUT, &group, &len) < 0)
				return -errno;
			group = (group & 0xffff) | PACKET_FANOUT_HASH << 16;
		}
	}
	return 0;
}

int packet_socket_open(const struct netdev *netdev, uint16_t queues, uint16_t max_frame_bytes,
	struct rte_mempool *pool, int numa_socket, struct packet_socket **out)
{
	struct packet_socket *s = rte_zmalloc_socket("packet_socket",
		sizeof(*s) + queues * sizeof(s->queue[0]), RTE_CACHE_LINE_SIZE, numa_socket);
	int result = 0;

	if (s == NULL)
		return -ENOMEM;
	s->queues = queues;
	for (uint16_t i = 0; i < queues; i++) {
		s->queue[i].fd = -1;
		s->queue[i].pool = pool;
		s->queue[i].room_bytes = rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM;
	}
	for (uint16_t i = 0; i < queues && result == 0; i++)
		result = queue_open(&s->queue[i], netdev, max_frame_bytes);
	if (result == 0)
		result = queues_join(s);
	if (result < 0) {
		packet_socket_close(s);
		return result;
	}
	*out = s;
	return 0;
}

int packet_socket_attach(struct packet_socket *s, uint16_t port_id)
{
	int none = 0;

	s->port_id = port_id;
	for (uint16_t i = 0; i < s->queues; i++) {
		struct packet_queue *q = &s->queue[i];

		q->rx_callback = rte_eth_add_rx_callback(port_id, i, receive, q);
		q->tx_callback = rte_eth_add_tx_callback(port_id, i, transmit, q);
		if (q->rx_callback == NULL || q->tx_callback == NULL)
			return -ENOMEM;
	}
	/* Only now, with every socket in its group, may frames in: else one might come twice. */
	for (uint16_t i = 0; i < s->queues; i++)
		if (setsockopt(s->queue[i].fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none)) <
			0)
			return -errno;
	return 0;
}

void packet_socket_close(struct packet_socket *s)
{
	if (s == NULL)
		return;
	for (uint16_t i = 0; i < s->queues; i++) {
		struct packet_queue *q = &s->queue[i];

		if (q->rx_callback != NULL &&
			rte_eth_remove_rx_callback(s->port_id, i, q->rx_callback) == 0)
			rte_free((void *)(uintptr_t)q->rx_callback);
		if (q->tx_callback != NULL &&
			rte_eth_remove_tx_callback(s->port_id, i, q->tx_callback) == 0)
			rte_free((void *)(uintptr_t)q->tx_callback);
		if (q->ring != NULL)
			munmap(q->ring, (size_t)q->blocks * RING_BLOCK_BYTES);
		if (q->fd >= 0)
			close(q->fd);
	}
	rte_free(s);
}

void packet_socket_stats(struct packet_socket *s, struct packet_socket_stats *out)
{
	memset(out, 0, sizeof(*out));
	for (uint16_t i = 0; i < s->queues; i++) {
		struct packet_queue *q = &s->queue[i];
		struct tpacket_stats kernel; /* since the last call: reading clears them */
		socklen_t len = sizeof(kernel);

		if (getsockopt(q->fd, SOL_PACKET, PACKET_STATISTICS, &kernel, &len) == 0)
			q->kernel_drops += kernel.tp_drops;
		out->rx_packets += __atomic_load_n(&q->rx_packets, __ATOMIC_RELAXED);
		out->rx_bytes += __atomic_load_n(&q->rx_bytes, __ATOMIC_RELAXED);
		out->tx_packets += __atomic_load_n(&q->tx_packets, __ATOMIC_RELAXED);
		out->tx_bytes += __atomic_load_n(&q->tx_bytes, __ATOMIC_RELAXED);
		out->rx_errors += __atomic_load_n(&q->rx_errors, __ATOMIC_RELAXED);
		out->rx_no_mbuf += __atomic_load_n(&q->rx_no_mbuf, __ATOMIC_RELAXED);
		out->tx_errors += __atomic_load_n(&q->tx_errors, __ATOMIC_RELAXED);
		out->rx_missed += q->kernel_drops;
	}
}

uint32_t packet_socket_ring_frames(const struct packet_socket *s)
{
	return s->queue[0].blocks * s->queue[0].slots_per_block;
}

int packet_socket_fd(const struct packet_socket *s, uint16_t queue)
{
	return queue < s->queues ? s->queue[queue].fd : -1;
}
