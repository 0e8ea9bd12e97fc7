/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the link says of its path equals what the WAN emulator (tools/wanem, which shares no code
 * with it) did to the frames, packet for packet: 1,000,000 real frames each way in virtual time,
 * through random and bursty loss, duplication and reordering, with one end restarting in between.
 */
#include "controlplane/channel/counters.h"
#include "tests/unit/link/frames.h"
#include "tests/unit/unit.h"
#include "tools/wanem/path.h"

#define PACKETS 1000000u
#define GAP_NS 10000u /* 100,000 a second */
#define SECOND UINT64_C(1000000000)
#define WORKERS 2	       /* of either end: lanes 0, 1, 16 and 17 */
#define SETTLE_NS (2 * SECOND) /* longer than anything is held */

struct end {
	struct link_tx tx[WORKERS][LINK_WORKERS_MAX];
	struct link_seq *rx;
	struct link_class_rx classes[WORKERS];
};

struct direction {
	struct path wan;
	uint64_t sent, delivered;
};

static struct end ends[2];
static struct direction ways[2]; /* from end 0 to end 1, and back */
static struct link_path paths[2];
static struct rte_mbuf *inner;
static uint64_t now_ns;

static uint8_t lane_of(unsigned worker, unsigned to)
{
	return (uint8_t)(worker * LINK_WORKERS_MAX + to);
}

/* An end that starts, or starts anew: it knows nothing. */
static void boot(unsigned e)
{
	if (ends[e].rx == NULL)
		ends[e].rx = aligned_alloc(64, LINK_LANES * sizeof(*ends[e].rx));
	memset(ends[e].rx, 0, LINK_LANES * sizeof(*ends[e].rx));
	memset(ends[e].classes, 0, sizeof(ends[e].classes));
	for (unsigned w = 0; w < WORKERS; w++)
		for (unsigned to = 0; to < LINK_WORKERS_MAX; to++)
			link_tx_init(&ends[e].tx[w][to], lane_of(w, to));
}

static void send(unsigned e)
{
	struct rte_mbuf *out = rte_pktmbuf_alloc(frames_pool());
	unsigned lane = (unsigned)(ways[e].sent % (WORKERS * WORKERS));
	struct link_tx *tx = &ends[e].tx[lane / WORKERS][lane % WORKERS];
	uint32_t room;

	pkt_of(inner)->class_id = (uint16_t)(ways[e].sent % 20);
	memcpy(link_blob(&paths[e], inner, out, 0, &room), rte_pktmbuf_mtod(inner, void *),
		inner->data_len);
	if (link_encode(tx, &paths[e], inner, LINK_CODEC_RAW, inner->data_len, out, now_ns) != 0)
		CU_FAIL_FATAL("not encoded");
	path_arrive(&ways[e].wan, rte_pktmbuf_mtod(out, void *), out->data_len,
		link_source_port(&paths[e], tx->lane), now_ns);
	ways[e].sent++;
	rte_pktmbuf_free(out);
}

/* What is due leaves the WAN and is decoded at the other end. */
static void deliver(unsigned e)
{
	struct frame *f;

	while ((f = path_take(&ways[e].wan, now_ns)) != NULL) {
		struct rte_mbuf *in = rte_pktmbuf_alloc(frames_pool());
		struct rte_mbuf *out = rte_pktmbuf_alloc(frames_pool());
		struct link_arrival a;

		memcpy(rte_pktmbuf_append(in, (uint16_t)f->len_bytes), f->data, f->len_bytes);
		frames_arrived(in, &paths[!e], -1);
		int rc = link_decode(
			frames_codec(), in, &paths[!e], ends[!e].rx, NULL, out, now_ns, &a);
		CU_ASSERT(rc == 0 || rc == -DROP_LINK_DUPLICATE);
		ways[e].delivered += rc == 0;
		link_class_arrived(&ends[!e].classes[f->seq % WORKERS], &a, in->pkt_len, now_ns);
		path_sent(&ways[e].wan, f);
		rte_pktmbuf_free(in);
		rte_pktmbuf_free(out);
	}
}

static void impair(unsigned e, const char *words)
{
	char copy[200], error[200];

	snprintf(copy, sizeof(copy), "%s", words);
	CU_ASSERT_EQUAL_FATAL(path_set(&ways[e].wan, copy, now_ns, error, sizeof(error)), 0);
}

static void traffic(unsigned count)
{
	for (unsigned i = 0; i < count; i++, now_ns += GAP_NS)
		for (unsigned e = 0; e < 2; e++) {
			send(e);
			deliver(e);
		}
}

/* The last packets of every lane get through, so that nothing is missing behind the end. */
static void settle(void)
{
	for (uint64_t until_ns = now_ns + SETTLE_NS; now_ns < until_ns; now_ns += 100 * GAP_NS)
		for (unsigned e = 0; e < 2; e++)
			deliver(e);
	impair(0, "loss 0 ge 0 duplicate 0 reorder 0");
	impair(1, "loss 0 ge 0 duplicate 0 reorder 0");
	traffic(WORKERS * WORKERS);
	for (uint64_t until_ns = now_ns + SETTLE_NS; now_ns < until_ns; now_ns += 100 * GAP_NS)
		for (unsigned e = 0; e < 2; e++)
			deliver(e);
	CU_ASSERT_EQUAL(path_in_transit(&ways[0].wan) + path_in_transit(&ways[1].wan), 0);
}

/* What end `e` counted of all that came to it in its data lanes. */
static void counted(unsigned e, struct link_seq_counts *sum, struct link_losses *losses,
	struct link_reordering *reordering)
{
	memset(sum, 0, sizeof(*sum));
	memset(losses, 0, sizeof(*losses));
	memset(reordering, 0, sizeof(*reordering));
	for (unsigned lane = 0; lane < LINK_LANES; lane++) {
		struct link_seq_counts one;

		link_seq_read(&ends[e].rx[lane], NULL, now_ns, &one);
		link_seq_counts_add(sum, &one);
		link_seq_add_losses(&ends[e].rx[lane], losses);
		link_seq_add_reordering(&ends[e].rx[lane], reordering);
	}
}

/* End `e` counted what the WAN did on the way to it, less `before`. */
static void compare(unsigned e, const struct path_lane before[PATH_LANES])
{
	const struct path *wan = &ways[!e].wan;
	struct link_seq_counts got;
	struct link_losses losses;
	struct link_reordering r;
	uint64_t lost = 0, doubled = 0, reordered = 0, sent = 0, in_runs = 0, extents = 0;

	for (unsigned i = 0; i < wan->lanes; i++) {
		const struct path_counters *a = &wan->lane[i].count, *b = &before[i].count;

		lost += a->lost_random + a->lost_ge - b->lost_random - b->lost_ge;
		doubled += a->duplicated - b->duplicated;
		reordered += a->reordered - b->reordered;
		sent += a->sent - b->sent;
	}
	counted(e, &got, &losses, &r);
	CU_ASSERT_EQUAL(got.lost, lost);
	CU_ASSERT_EQUAL(got.duplicates, doubled);
	CU_ASSERT_EQUAL(got.reordered, reordered);
	CU_ASSERT_EQUAL(got.received, sent);
	CU_ASSERT_EQUAL(got.late, 0);
	CU_ASSERT(lost > 1000 && doubled > 1000 && reordered > 500);
	for (unsigned i = 0; i < LINK_SIZES; i++)
		extents += r.extent[i];
	CU_ASSERT_EQUAL(extents + r.extent_unknown, reordered);
	in_runs = losses.run[0] + 2 * losses.run[1];
	CU_ASSERT(losses.periods > 0 && in_runs <= lost);
	uint64_t by_class = 0, doubled_by_class = 0;
	for (unsigned w = 0; w < WORKERS; w++)
		for (unsigned s = 0; s < LINK_CLASS_SLOTS; s++) {
			by_class += ends[e].classes[w].slot[s].frames;
			doubled_by_class += ends[e].classes[w].slot[s].duplicates;
		}
	CU_ASSERT_EQUAL(by_class, got.unique);
	CU_ASSERT_EQUAL(doubled_by_class, got.duplicates);
	printf("     to end %u: %lu sent, %lu lost, %lu duplicated, %lu reordered\n", e,
		(unsigned long)(sent + lost - doubled), (unsigned long)lost, (unsigned long)doubled,
		(unsigned long)reordered);
}

static void test_million(void)
{
	static const struct path_lane none[PATH_LANES];
	static struct path_lane before[PATH_LANES];

	now_ns = 1000 * SECOND;
	inner = frames_inner(4, 0, DATA_TEXT, 20, 0, 0, 3);
	frames_paths(paths, 4, 0, false);
	for (unsigned e = 0; e < 2; e++) {
		boot(e);
		path_init(&ways[e].wan, e, 7);
		impair(e, "delay 20ms");
	}
	/* The way to end 0 has bursts, the other single losses. */
	impair(0, "loss 1% duplicate 1% reorder 1% by 7");
	impair(1, "ge 1% 20% duplicate 0.5% reorder 2% by 3 loss 0.1%");
	traffic(PACKETS / 2);
	settle();
	compare(0, none);
	compare(1, none);

	/* End 1 starts anew: new keys, its counts at 0. End 0's go on. */
	memcpy(before, ways[0].wan.lane, sizeof(before));
	boot(1);
	for (unsigned e = 0; e < 2; e++) {
		paths[e].session_id = e == 0 ? 2 : 1;
		paths[e].tx_key += 17;
		paths[e].rx_key += 17;
	}
	impair(0, "loss 2% duplicate 1% reorder 1% by 20");
	impair(1, "ge 1% 30% duplicate 1% reorder 1% by 5");
	traffic(PACKETS / 2);
	settle();
	compare(0, none);
	compare(1, before);
	CU_ASSERT(ways[0].sent >= PACKETS && ways[1].sent >= PACKETS);
	path_free(&ways[0].wan);
	path_free(&ways[1].wan);
}

UNIT_TESTS("link-wan", {"equals the emulator's counters over 1,000,000 packets", test_million})
