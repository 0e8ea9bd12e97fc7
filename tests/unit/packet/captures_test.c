/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The parser against tshark on real traffic: every Ethernet capture of the folder SLUICE_CAPTURES
 * (without it: ../shared/captures beside the checkout). Skipped where there is none, or no tshark.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <unistd.h>

#include <pcap/pcap.h>

#include "controlplane/channel/counters.h"
#include "dataplane/packet/parse.h"
#include "tests/unit/packet/mbufs.h"
#include "tests/unit/unit.h"

#define SKIPPED 77

/* Fields of one frame, in the order of tshark's -e below. */
enum {
	IP_SRC,
	IP_DST,
	IP6_SRC,
	IP6_DST,
	TCP_SPORT,
	TCP_DPORT,
	TCP_SEQ,
	TSVAL,
	UDP_SPORT,
	UDP_DPORT,
	VLAN,
	FIELDS
};

static const char command[] =
	"tshark -n -r '%s' -T fields -E separator=, -E occurrence=f -o ip.defragment:FALSE"
	" -o ipv6.defragment:FALSE -o tcp.relative_sequence_numbers:FALSE -e ip.src -e ip.dst"
	" -e ipv6.src -e ipv6.dst -e tcp.srcport -e tcp.dstport -e tcp.seq_raw"
	" -e tcp.options.timestamp.tsval -e udp.srcport -e udp.dstport -e vlan.id 2>/dev/null";

static const char *folder;
static unsigned frames, differences;

static void differ(
	const char *file, unsigned number, const char *what, const char *theirs, const char *ours)
{
	printf("     %s, frame %u: %s is %s, not %s\n", file, number, what, theirs, ours);
	differences++;
}

static void compare_text(
	const char *file, unsigned number, const char *what, const char *theirs, const char *ours)
{
	if (strcmp(theirs, ours) != 0)
		differ(file, number, what, theirs, ours);
}

static void compare_number(
	const char *file, unsigned number, const char *what, const char *theirs, unsigned long ours)
{
	char text[24];

	snprintf(text, sizeof(text), "%lu", ours);
	compare_text(file, number, what, theirs, text);
}

static void compare(
	const char *file, unsigned number, char *const field[FIELDS], const struct pkt *p)
{
	unsigned src = p->dir, dst = !p->dir;
	char text[2][INET6_ADDRSTRLEN];

	if (!(p->flags & PKT_IP)) {
		/* tshark decodes headers of packets that are cut off or lie about their length. */
		if ((field[IP_SRC][0] != '\0' || field[IP6_SRC][0] != '\0') &&
			p->reason == PASS_NOT_IP)
			differ(file, number, "network layer", "IP", "not found");
		return;
	}

	bool v6 = p->flags & PKT_IPV6;

	if (v6) {
		inet_ntop(AF_INET6, p->key.addr[src], text[0], sizeof(text[0]));
		inet_ntop(AF_INET6, p->key.addr[dst], text[1], sizeof(text[1]));
	} else {
		inet_ntop(AF_INET, p->key.addr[src] + 12, text[0], sizeof(text[0]));
		inet_ntop(AF_INET, p->key.addr[dst] + 12, text[1], sizeof(text[1]));
	}
	compare_text(file, number, "source", field[v6 ? IP6_SRC : IP_SRC], text[0]);
	compare_text(file, number, "destination", field[v6 ? IP6_DST : IP_DST], text[1]);
	if (p->flags & PKT_TCP) {
		compare_number(
			file, number, "TCP source port", field[TCP_SPORT], ntohs(p->key.port[src]));
		compare_number(file, number, "TCP destination port", field[TCP_DPORT],
			ntohs(p->key.port[dst]));
		compare_number(file, number, "TCP sequence", field[TCP_SEQ], p->tcp_seq);
		if (p->flags & PKT_TCP_TS)
			compare_number(file, number, "TCP timestamp", field[TSVAL], p->tcp_tsval);
		else
			compare_text(file, number, "TCP timestamp", field[TSVAL], "");
	}
	if (p->flags & PKT_UDP) {
		compare_number(
			file, number, "UDP source port", field[UDP_SPORT], ntohs(p->key.port[src]));
		compare_number(file, number, "UDP destination port", field[UDP_DPORT],
			ntohs(p->key.port[dst]));
	}
	if (p->key.proto == 6 && p->reason == REASON_NONE && !(p->flags & PKT_TCP))
		differ(file, number, "transport", "TCP", "not found");
	if (field[VLAN][0] == '\0')
		compare_number(file, number, "VLAN", "0", p->key.vlan);
}

static void check_file(const char *name, struct rte_mempool *pool)
{
	static const struct parse_context context = {.hash_seed = 5};
	char path[1024], line[1024], shell[2048], error[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *header;
	const u_char *data;
	unsigned number = 0;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	pcap_t *capture = pcap_open_offline(path, error);
	if (capture == NULL || pcap_datalink(capture) != DLT_EN10MB) {
		printf("     %s: not Ethernet, left out\n", name);
		if (capture != NULL)
			pcap_close(capture);
		return;
	}
	snprintf(shell, sizeof(shell), command, path);
	FILE *tshark = popen(shell, "r");
	if (tshark == NULL) {
		CU_FAIL("cannot run tshark");
		pcap_close(capture);
		return;
	}
	while (pcap_next_ex(capture, &header, &data) == 1 &&
		fgets(line, sizeof(line), tshark) != NULL) {
		char *field[FIELDS], *rest = line;
		struct rte_mbuf *m = mbufs_make(pool, data, header->caplen);

		line[strcspn(line, "\n")] = '\0';
		for (unsigned i = 0; i < FIELDS; i++) {
			field[i] = strsep(&rest, ",");
			if (field[i] == NULL)
				field[i] = "";
		}
		packet_parse_bulk(&m, 1, &context, 0);
		compare(name, ++number, field, pkt_of(m));
		rte_pktmbuf_free(m);
	}
	frames += number;
	CU_ASSERT(number > 0);
	pclose(tshark);
	pcap_close(capture);
}

static void test_captures(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	struct rte_mempool *pool;

	mbufs_start("64");
	pool = mbufs_pool("captures", 31, 16384);
	while ((entry = readdir(dir)) != NULL)
		if (strstr(entry->d_name, ".pcap") != NULL)
			check_file(entry->d_name, pool);
	closedir(dir);
	printf("     %u frames, %u differences\n", frames, differences);
	CU_ASSERT(frames > 0);
	CU_ASSERT_EQUAL(differences, 0);
}

int main(void)
{
	static const struct unit_test tests[] = {{"same as tshark", test_captures}};

	folder = getenv("SLUICE_CAPTURES");
	if (folder == NULL)
		folder = SLUICE_SOURCE_ROOT "/../shared/captures";
	if (access(folder, R_OK) != 0) {
		printf("skipped: no captures in %s\n", folder);
		return SKIPPED;
	}
	if (system("tshark --version >/dev/null 2>&1") != 0) {
		printf("skipped: no tshark\n");
		return SKIPPED;
	}
	return unit_main("packet captures", tests, 1, NULL);
}
