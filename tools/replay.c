/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * replay: send every frame of capture files into one interface and check that exactly these come
 * out of another, each bit-identical, none missing, none added, in order within a flow. The two
 * interfaces may be in different network namespaces; between them stands what is to be tested.
 *
 *     replay [--pps N] [--settle MS] [--join] [--verbose] [--bytes N] FROM TO FILE...
 *                                                              FROM, TO: [NETNS:]INTERFACE
 *
 * Prints one line a file (--join: one for all of them, sent in one go) and "N passed, N failed";
 * the exit code is 0 only if all passed. --verbose shows the first bytes (64) of what differs.
 * Captures of type "Linux cooked" get an Ethernet header in place of their own. Frames that the
 * sending interface cannot carry (longer than its MTU) fail the file.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <net/ethernet.h>
#include <pcap/pcap.h>
#include <pcap/sll.h>

#define FRAME_MAX 65535

struct frame {
	uint32_t len;
	uint64_t flow; /* hash of what tells flows apart */
	uint64_t hash; /* of all bytes */
	bool matched;
	uint8_t *bytes;
};

struct frames {
	struct frame *list;
	uint32_t count, room;
};

static int pps = 4000;
static int settle_ms = 500;
static bool verbose, join;
static uint32_t show_bytes = 64;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t hash_bytes(uint64_t h, const uint8_t *p, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 1099511628211u; /* FNV-1a */
	return h;
}

static uint32_t be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

/*
 * What must stay in order: frames between the same two MAC addresses that, if they carry IP right
 * behind Ethernet or VLAN tags, also have the same addresses, protocol and ports (fragments: none).
 * A packet whose lengths contradict each other belongs to no flow, and only equal ones keep their
 * order. Written without Sluice's own parser, which is under test.
 */
static uint64_t flow_of(const uint8_t *p, uint32_t len)
{
	uint64_t h = hash_bytes(14695981039346656037u, p, len < 14 ? len : 14);
	uint32_t at, end;
	uint8_t proto;
	bool fragment = false;

	while (len >= 18 && (be16(p + 12) == 0x8100 || be16(p + 12) == 0x88a8)) {
		h = hash_bytes(h, p + 14, 4);
		p += 4;
		len -= 4;
	}
	if (len >= 34 && be16(p + 12) == 0x0800 && p[14] >> 4 == 4) {
		at = 14 + (p[14] & 15) * 4u;
		end = 14 + be16(p + 16);
		proto = p[23];
		fragment = (be16(p + 20) & 0x3fff) != 0;
		h = hash_bytes(h, p + 23, 1);
		h = hash_bytes(h, p + 26, 8);
	} else if (len >= 54 && be16(p + 12) == 0x86dd) {
		at = 54;
		end = at + be16(p + 18);
		proto = p[20];
		h = hash_bytes(h, p + 20, 1);
		h = hash_bytes(h, p + 22, 32);
	} else {
		return h;
	}
	uint32_t header = proto == IPPROTO_TCP ? 20 : proto == IPPROTO_UDP ? 8 : 0;
	if (at < 34 || end > len || (!fragment && at + header > end) ||
		(!fragment && proto == IPPROTO_UDP && at + be16(p + at + 4) > end) ||
		(!fragment && proto == IPPROTO_TCP && at + (p[at + 12] >> 4) * 4u > end))
		return hash_bytes(h, p, len);
	return fragment || header == 0 ? h : hash_bytes(h, p + at, 4);
}

static void add(struct frames *f, const uint8_t *bytes, uint32_t len)
{
	if (f->count == f->room) {
		f->room = f->room ? 2 * f->room : 256;
		f->list = realloc(f->list, f->room * sizeof(*f->list));
	}
	uint8_t *copy = malloc(len ? len : 1);
	if (f->list == NULL || copy == NULL) {
		fprintf(stderr, "replay: no memory\n");
		exit(2);
	}
	memcpy(copy, bytes, len);
	f->list[f->count++] = (struct frame){.len = len,
		.flow = flow_of(bytes, len),
		.hash = hash_bytes(14695981039346656037u, bytes, len),
		.bytes = copy};
}

static void drop_all(struct frames *f)
{
	for (uint32_t i = 0; i < f->count; i++)
		free(f->list[i].bytes);
	free(f->list);
	*f = (struct frames){0};
}

/* The frames of a file, NULL and a sentence if it cannot be read. */
static const char *load(const char *file, struct frames *frames)
{
	static char error[PCAP_ERRBUF_SIZE];
	pcap_t *p = pcap_open_offline(file, error);
	struct pcap_pkthdr *header;
	const uint8_t *bytes;

	if (p == NULL)
		return error;
	int type = pcap_datalink(p);
	if (type != DLT_EN10MB && type != DLT_LINUX_SLL) {
		pcap_close(p);
		return "neither Ethernet nor Linux cooked";
	}
	while (pcap_next_ex(p, &header, &bytes) == 1) {
		static uint8_t frame[FRAME_MAX];
		if (type == DLT_EN10MB) {
			/* Shorter ones cannot be sent through a packet socket. */
			if (header->caplen > ETH_HLEN)
				add(frames, bytes, header->caplen);
			continue;
		}
		if (header->caplen <= SLL_HDR_LEN || header->caplen - 2 > sizeof(frame))
			continue;
		memcpy(frame, "\x02\0\0\0\0\x01", 6);
		memcpy(frame + 6, bytes + 6, 6); /* sll_addr */
		memcpy(frame + 12, bytes + 14, header->caplen - 14);
		add(frames, frame, header->caplen - 2);
	}
	pcap_close(p);
	return NULL;
}

/* Enter "NETNS:" of a name, if it has one; returns the interface. */
static const char *enter(const char *name)
{
	const char *colon = strchr(name, ':');
	char path[128];

	if (colon == NULL)
		return name;
	snprintf(path, sizeof(path), "/run/netns/%.*s", (int)(colon - name), name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) {
		fprintf(stderr, "replay: network namespace %.*s: %s\n", (int)(colon - name), name,
			strerror(errno));
		exit(2);
	}
	close(fd);
	return colon + 1;
}

static int open_sender(const char *name)
{
	const char *interface = enter(name);
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(interface)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (address.sll_ifindex == 0 || fd < 0 ||
		bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		fprintf(stderr, "replay: %s: %s\n", name, strerror(errno));
		exit(2);
	}
	return fd;
}

static pcap_t *open_receiver(const char *name)
{
	char error[PCAP_ERRBUF_SIZE] = "";
	pcap_t *p = pcap_create(enter(name), error);

	if (p == NULL || pcap_set_snaplen(p, FRAME_MAX) != 0 || pcap_set_promisc(p, 1) != 0 ||
		pcap_set_immediate_mode(p, 1) != 0 || pcap_set_buffer_size(p, 64 << 20) != 0 ||
		pcap_activate(p) < 0 || pcap_setdirection(p, PCAP_D_IN) != 0 ||
		pcap_setnonblock(p, 1, error) != 0) {
		fprintf(stderr, "replay: %s: %s\n", name, p ? pcap_geterr(p) : error);
		exit(2);
	}
	return p;
}

static void take(uint8_t *user, const struct pcap_pkthdr *header, const uint8_t *bytes)
{
	add((struct frames *)user, bytes, header->caplen);
}

/* Send all, paced, and collect what comes until nothing has come for the settling time. */
static uint32_t exchange(
	int sender, pcap_t *receiver, const struct frames *sent, struct frames *got)
{
	uint64_t start_ns = now_ns(), last_ns;
	struct pollfd wait = {.fd = pcap_get_selectable_fd(receiver), .events = POLLIN};
	uint32_t refused = 0;

	for (uint32_t i = 0; i < sent->count; i++) {
		while (now_ns() - start_ns < (uint64_t)i * 1000000000u / (uint64_t)pps)
			pcap_dispatch(receiver, 64, take, (uint8_t *)got);
		ssize_t n;
		do {
			n = send(sender, sent->list[i].bytes, sent->list[i].len, 0);
		} while (n < 0 && (errno == ENOBUFS || errno == EAGAIN || errno == EINTR));
		refused += n != (ssize_t)sent->list[i].len;
	}
	for (last_ns = now_ns(); now_ns() - last_ns < (uint64_t)settle_ms * 1000000u;) {
		poll(&wait, 1, 20);
		if (pcap_dispatch(receiver, 1024, take, (uint8_t *)got) > 0)
			last_ns = now_ns();
	}
	return refused;
}

static void show(const char *what, const struct frame *f)
{
	if (!verbose)
		return;
	printf("      %s, %u bytes:", what, f->len);
	for (uint32_t i = 0; i < f->len && i < show_bytes; i++)
		printf(" %02x", f->bytes[i]);
	printf("\n");
}

/* Match what came with what was sent, in order within each flow. */
static bool compare(const char *file, struct frames *sent, struct frames *got, uint32_t refused)
{
	uint32_t identical = 0, reordered = 0, added = 0;

	for (uint32_t g = 0; g < got->count; g++) {
		struct frame *frame = &got->list[g];
		bool overtaken = false;
		for (uint32_t s = 0; s < sent->count; s++) {
			struct frame *candidate = &sent->list[s];
			if (candidate->matched || candidate->flow != frame->flow)
				continue;
			if (candidate->hash == frame->hash && candidate->len == frame->len &&
				memcmp(candidate->bytes, frame->bytes, frame->len) == 0) {
				candidate->matched = frame->matched = true;
				identical++;
				reordered += overtaken;
				break;
			}
			overtaken = true; /* an earlier frame of the flow has not come yet */
		}
		if (!frame->matched) {
			added++;
			show("added", frame);
		}
	}
	for (uint32_t s = 0; s < sent->count; s++)
		if (!sent->list[s].matched)
			show("missing", &sent->list[s]);
	uint32_t missing = sent->count - identical;
	bool good = missing == 0 && added == 0 && reordered == 0 && refused == 0;
	const char *base = strrchr(file, '/');
	printf("%-4s %s: %u frames, %u identical, %u missing, %u added, %u out of order%s\n",
		good ? "ok" : "FAIL", base ? base + 1 : file, sent->count, identical, missing,
		added, reordered, refused ? ", refused by the sending interface" : "");
	fflush(stdout);
	return good;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"pps", required_argument, NULL, 'p'},
		{"settle", required_argument, NULL, 's'}, {"join", no_argument, NULL, 'j'},
		{"verbose", no_argument, NULL, 'v'}, {"bytes", required_argument, NULL, 'b'}, {0}};
	int option;
	unsigned passed = 0, failed = 0;

	while ((option = getopt_long(argc, argv, "p:s:jvb:", options, NULL)) != -1) {
		if (option == 'p')
			pps = atoi(optarg);
		else if (option == 's')
			settle_ms = atoi(optarg);
		else if (option == 'j')
			join = true;
		else if (option == 'v')
			verbose = true;
		else if (option == 'b')
			show_bytes = (uint32_t)atoi(optarg);
		else
			return 2;
	}
	if (argc - optind < 3 || pps < 1 || settle_ms < 1) {
		fprintf(stderr,
			"usage: replay [--pps N] [--settle MS] [--join] [--verbose] [--bytes N] "
			"[NETNS:]FROM [NETNS:]TO FILE...\n");
		return 2;
	}
	int sender = open_sender(argv[optind]);
	pcap_t *receiver = open_receiver(argv[optind + 1]);
	for (int i = optind + 2; i < argc; i++) {
		struct frames sent = {0}, got = {0};
		const char *error = load(argv[i], &sent);
		bool good = false;
		while (error == NULL && join && i + 1 < argc)
			error = load(argv[++i], &sent);
		if (error != NULL) {
			printf("FAIL %s: %s\n", argv[i], error);
		} else {
			uint32_t refused = exchange(sender, receiver, &sent, &got);
			good = compare(join ? "all" : argv[i], &sent, &got, refused);
		}
		passed += good;
		failed += !good;
		drop_all(&sent);
		drop_all(&got);
	}
	pcap_close(receiver);
	close(sender);
	printf("%u passed, %u failed\n", passed, failed);
	return failed == 0 && passed > 0 ? 0 : 1;
}
