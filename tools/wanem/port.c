/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AF_PACKET interfaces: see port.h. recvmmsg() rather than a mapped ring: a ring of TPACKET_V3
 * hands over blocks by a millisecond timer, which would be jitter, and one of V2 would need 9 kB
 * for the smallest frame.
 */
#include "port.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define TAG_BYTES 4
#define SOCKET_BUFFER_BYTES (64 << 20)

/* Room for a stripped VLAN tag is kept in front of each frame. */
struct port_buffers {
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	uint8_t data[BATCH][TAG_BYTES + PORT_FRAME_MAX];
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata)) +
			      CMSG_SPACE(sizeof(struct timespec))];
	} control[BATCH];
};

static uint64_t timespec_ns(const struct timespec *ts)
{
	return (uint64_t)ts->tv_sec * 1000000000u + (uint64_t)ts->tv_nsec;
}

uint64_t clock_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return timespec_ns(&ts);
}

static int set_options(int fd, int ifindex)
{
	int one = 1, size = SOCKET_BUFFER_BYTES;
	struct packet_mreq promisc = {.mr_ifindex = ifindex, .mr_type = PACKET_MR_PROMISC};
	struct sockaddr_ll addr = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = ifindex,
	};

	/* Without the right to force it, the buffer is as large as the system allows. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one)) ||
		setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) ||
		setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) ||
		setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promisc, sizeof(promisc)) ||
		bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return -errno;
	return 0;
}

int port_open(struct port *p, const char *name, char *err, size_t err_len)
{
	unsigned ifindex = if_nametoindex(name);
	int rc;

	memset(p, 0, sizeof(*p));
	p->name = name;
	p->fd = -1;
	if (!ifindex) {
		snprintf(err, err_len, "there is no interface %s here (see `ip link`)", name);
		return -ENODEV;
	}
	p->buffers = calloc(1, sizeof(*p->buffers));
	if (!p->buffers) {
		snprintf(err, err_len, "no memory for the frames of %s", name);
		return -ENOMEM;
	}
	/* Protocol 0: nothing comes in before it is bound, so nothing from another interface. */
	p->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	rc = p->fd < 0 ? -errno : set_options(p->fd, (int)ifindex);
	if (rc) {
		snprintf(err, err_len, "%s cannot be opened: %s%s", name, strerror(-rc),
			rc == -EPERM ? " (run as root, or with CAP_NET_RAW)" : "");
		port_close(p);
	}
	return rc;
}

void port_close(struct port *p)
{
	if (p->fd >= 0)
		close(p->fd);
	free(p->buffers);
	p->fd = -1;
	p->buffers = NULL;
}

struct annexe {
	struct tpacket_auxdata aux;
	struct timespec ts;
};

static struct annexe read_annexe(struct msghdr *h)
{
	struct annexe a = {0};

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA)
			memcpy(&a.aux, CMSG_DATA(c), sizeof(a.aux));
		else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS)
			memcpy(&a.ts, CMSG_DATA(c), sizeof(a.ts));
	}
	return a;
}

/* Puts the tag that the kernel has taken out back behind the addresses. Returns where the frame
 * begins now. */
static uint8_t *restore_tag(uint8_t *data, size_t *len_bytes, const struct tpacket_auxdata *aux)
{
	uint16_t tpid = ETHERTYPE_VLAN;

	if (!(aux->tp_status & TP_STATUS_VLAN_VALID) || *len_bytes < 2 * ETH_ALEN)
		return data;
	if (aux->tp_status & TP_STATUS_VLAN_TPID_VALID)
		tpid = aux->tp_vlan_tpid;
	memmove(data - TAG_BYTES, data, 2 * ETH_ALEN);
	data -= TAG_BYTES;
	tpid = htons(tpid);
	memcpy(data + 2 * ETH_ALEN, &tpid, 2);
	tpid = htons(aux->tp_vlan_tci);
	memcpy(data + 2 * ETH_ALEN + 2, &tpid, 2);
	*len_bytes += TAG_BYTES;
	return data;
}

int port_receive(struct port *p, port_each *each, void *arg)
{
	struct port_buffers *b = p->buffers;
	struct timespec real;
	uint64_t now_ns, real_ns;
	int n;

	for (int i = 0; i < BATCH; i++) {
		b->iov[i].iov_base = b->data[i] + TAG_BYTES;
		b->iov[i].iov_len = PORT_FRAME_MAX;
		b->msg[i].msg_hdr = (struct msghdr){
			.msg_iov = &b->iov[i],
			.msg_iovlen = 1,
			.msg_control = &b->control[i],
			.msg_controllen = sizeof(b->control[i]),
		};
	}
	n = recvmmsg(p->fd, b->msg, BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
	if (n <= 0)
		return 0;
	now_ns = clock_now_ns();
	clock_gettime(CLOCK_REALTIME, &real);
	real_ns = timespec_ns(&real);
	for (int i = 0; i < n; i++) {
		struct annexe a = read_annexe(&b->msg[i].msg_hdr);
		size_t len_bytes = b->msg[i].msg_len;
		uint64_t ts_ns = timespec_ns(&a.ts), rx_ns = now_ns;
		uint8_t *data;

		/* The kernel stamps with the wall clock: only its distance from now is used, and
		 * not where that clock has just been set. */
		if (ts_ns <= real_ns && real_ns - ts_ns < 1000000000u)
			rx_ns = now_ns - (real_ns - ts_ns);
		if (rx_ns < p->last_rx_ns)
			rx_ns = p->last_rx_ns;
		p->last_rx_ns = rx_ns;
		if (b->msg[i].msg_hdr.msg_flags & MSG_TRUNC || len_bytes > PORT_FRAME_MAX) {
			p->oversize++;
			continue;
		}
		if (a.aux.tp_status & TP_STATUS_CSUMNOTREADY)
			p->checksum_missing++;
		data = restore_tag(b->data[i] + TAG_BYTES, &len_bytes, &a.aux);
		each(arg, data, len_bytes, rx_ns);
	}
	return n;
}

bool port_was_full(int n)
{
	return n == BATCH;
}

int port_send(struct port *p, const uint8_t *data, size_t len_bytes)
{
	ssize_t n;

	do
		n = send(p->fd, data, len_bytes, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	p->blocked = n < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM);
	if (p->blocked) {
		p->send_retries++;
		return -EAGAIN;
	}
	return n < 0 ? -errno : 0;
}

void port_read_drops(struct port *p)
{
	struct tpacket_stats stats;
	socklen_t len = sizeof(stats);

	/* The kernel clears them when read. */
	if (!getsockopt(p->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len))
		p->kernel_dropped += stats.tp_drops;
}
