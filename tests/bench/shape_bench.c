/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TSC cycles a packet of shaper_enqueue() and shaper_dequeue(), 64-byte frames, one worker, with 1
 * to 1,000,000 flows that have packets waiting, beside librte_sched (sched_reference.h) on the same
 * packets in the same run, and beside what a cache line costs at that size (memory_reference.h).
 *
 *     tests/bench/run --only shaping       or shape_bench [--huge] [--flows MOST] [--only ROW]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_malloc.h>

#include "controlplane/channel/counters.h"
#include "dataplane/flow/flow.h"
#include "dataplane/shape/shaper.h"
#include "tests/bench/memory_reference.h"
#include "tests/bench/sched_reference.h"

#define BURST 32u
#define CALLS_A_SAMPLE 128u
#define SAMPLES_MAX 4096u
#define RUNS 3u
#define PACKETS_SPARE 4096u
#define AWAY 256u /* packets that have left and are not offered again yet */
#define MEMORY_MB "2560"
#define GBPS 1000000000ull
#define REACHED_BPS (5 * GBPS / 2)
#define CLOSED_BPS 1000u
#define CLOSED_NS 60000000000ull /* longer than a lease of that rate */
#define OVERHEAD 24u
/* Cache lines that a packet of row_equal meets between leaving and leaving again, and that aren't
 * those of another packet of the burst: struct pkt 2, flow record 2 (class_id, bucket), queue 1. */
#define LINES_A_PACKET 5u

static const uint32_t counts[] = {1, 1000, 100000, 1000000};
#define COUNTS RTE_DIM(counts)

static struct flow *flows;
static struct rte_mempool *pool;
static struct rte_mbuf **packets;
static uint32_t flows_max = 1000000;
static const char *only; /* rows with this in their names; NULL: all */
static uint64_t reasons[REASON_COUNT];

/* What is measured: the shaper in virtual time, or the library in real time. */
struct subject {
	struct shaper *shaper;
	struct shaper_shared *shared;
	struct shaper_config *config;
	struct sched_reference *sched;
	uint64_t now_ns;
};

struct result {
	double enqueue, dequeue; /* cycles a packet */
};

/* A row of the table. */
struct row {
	const char *name;
	const char *reference; /* what librte_sched's row is called; NULL: not run */
	uint32_t flows_min;
	uint32_t classes;     /* of the flows, in turn */
	uint32_t frame_bytes; /* without FCS */
	uint32_t depth;	      /* packets that wait in each flow */
	uint64_t link_bps;
	uint64_t flow_bps; /* what the flows' own rates add up to; 0: 100 Gbit/s each */
	uint32_t step_ns;  /* between calls */
	bool plain;	   /* the class has no rate, no ceiling, its flows none */
	bool tree;	   /* three levels of groups above the classes */
	bool direct;	   /* nothing waits */
	uint8_t aqm;
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, unsigned n)
{
	qsort(values, n, sizeof(values[0]), compare);
	return values[n / 2];
}

static void fail(const char *what)
{
	fprintf(stderr, "shape_bench: %s\n", what);
	exit(2);
}

/* ---- the two subjects ---- */

/* Class 0 is nobody's. Groups 1..84 stand in three levels of 4, 16 and 64. */
#define TREE_GROUPS 84u

static uint32_t tree_parent(uint32_t group)
{
	if (group <= 4)
		return SHAPER_NO_PARENT;
	return group <= 20 ? 1 + (group - 5) / 4 : 5 + (group - 21) / 4;
}

static uint32_t first_class(const struct row *row)
{
	return row->tree ? 1 + TREE_GROUPS : 1;
}

static struct shaper_config *config_new(const struct row *row, uint32_t count)
{
	uint32_t first = first_class(row), n = first + row->classes;
	struct shaper_config *config =
		calloc(1, sizeof(*config) + n * sizeof(struct shaper_class_config));

	if (config == NULL)
		fail("no memory");
	config->class_count = n;
	config->overhead_bytes = OVERHEAD;
	config->frame_min_bytes = SHAPER_FRAME_MIN;
	config->link_bps = row->link_bps;
	config->link_burst_ns = 20000;
	for (uint32_t i = 0; i < n; i++) {
		struct shaper_class_config *c = &config->classes[i];
		c->in_use = true;
		c->parent = SHAPER_NO_PARENT;
		if (row->plain || i == 0)
			continue;
		/* A group's rates are those of all classes; none is ever reached. */
		c->ceil_bps = 900 * GBPS;
		c->rate_bps = i < first ? 500 * GBPS : 500 * GBPS / row->classes;
		c->parent = i < first ? tree_parent(i) : row->tree ? 21 + i % 64 : SHAPER_NO_PARENT;
		c->aqm = row->aqm;
		c->flow_rate_bps = row->flow_bps ? row->flow_bps / count : 100 * GBPS;
		c->flow_burst_bytes = row->flow_bps ? row->frame_bytes + OVERHEAD : 100000;
	}
	if (shaper_config_prepare(config, NULL) != 0)
		fail("the configuration is refused");
	return config;
}

static void config_free(struct shaper_config *config)
{
	if (config != NULL)
		shaper_config_release(config);
	free(config);
}

static void shaper_new(struct subject *on, const struct row *row, uint32_t count)
{
	struct shaper_params params = {.name = "bench",
		.way = WAY_UP,
		.queues = count,
		.socket = SOCKET_ID_ANY,
		.reasons = reasons};

	on->config = config_new(row, count);
	params.classes_max = on->config->class_count;
	on->now_ns = 1000000000000;
	on->shared = shaper_shared_create(params.classes_max, 0, 1, SOCKET_ID_ANY);
	on->shaper = on->shared ? shaper_create(&params, on->shared) : NULL;
	if (on->shaper == NULL)
		fail("no memory for the shaper");
	while (!shaper_configure(on->shaper, on->config, on->now_ns))
		;
}

static void subject_free(struct subject *on)
{
	shaper_destroy(on->shaper);
	if (on->shared != NULL)
		shaper_shared_destroy(on->shared);
	config_free(on->config);
	sched_reference_destroy(on->sched);
}

/* Returns the number of those that left at once, in out[]. */
static inline unsigned enqueue(
	struct subject *on, struct rte_mbuf **pkts, unsigned n, struct rte_mbuf **out)
{
	if (on->sched == NULL)
		return shaper_enqueue(on->shaper, pkts, n, on->now_ns, out);
	if (sched_reference_enqueue(on->sched, pkts, n) != n)
		fail("librte_sched has dropped packets");
	return 0;
}

static inline unsigned dequeue(struct subject *on, struct rte_mbuf **out, unsigned max)
{
	if (on->sched == NULL)
		return shaper_dequeue(on->shaper, out, max, on->now_ns);
	return sched_reference_dequeue(on->sched, out, max);
}

/* ---- filling and measuring ---- */

static uint32_t random_below(uint32_t n)
{
	static uint64_t state = 1;

	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((state >> 32) * n >> 32);
}

static uint32_t *shuffled(uint32_t n)
{
	uint32_t *order = malloc(n * sizeof(*order));

	if (order == NULL)
		fail("no memory");
	for (uint32_t i = 0; i < n; i++) {
		uint32_t j = random_below(i + 1);
		order[i] = order[j];
		order[j] = i;
	}
	return order;
}

/* `depth` packets of each flow, flows and packets in random order in memory. */
static void packets_prepare(const struct subject *on, const struct row *row, uint32_t count)
{
	uint32_t total = count * row->depth, *flow_order = shuffled(count),
		 *packet_order = shuffled(total);

	if (rte_pktmbuf_alloc_bulk(pool, packets, total) != 0)
		fail("no packets left");
	memset(flows, 0, count * sizeof(*flows));
	for (uint32_t i = 0; i < total; i++) {
		struct rte_mbuf *m = packets[packet_order[i]];
		packets[packet_order[i]] = packets[i];
		packets[i] = m;
	}
	for (uint32_t i = 0; i < total; i++) {
		struct pkt *p = pkt_of(packets[i]);
		uint32_t flow = flow_order[i % count];
		memset(p, 0, sizeof(*p));
		p->flow = &flows[flow];
		p->flow->class_id = first_class(row) + flow % row->classes;
		p->wire_bytes = (uint16_t)row->frame_bytes;
		packets[i]->pkt_len = packets[i]->data_len = (uint16_t)row->frame_bytes;
		if (on->sched != NULL)
			sched_reference_assign(on->sched, packets[i], flow);
	}
	free(flow_order);
	free(packet_order);
}

/* Put all packets into the queues; what gets out at first goes in again. The shaper's link is as
 * good as closed meanwhile, by its rate alone: with another configuration its queues would be old
 * ones (RFC 8290), and who comes back a new one that goes first. */
static void fill(struct subject *on, const struct row *row, uint32_t total)
{
	struct rte_mbuf *out[BURST];
	uint32_t missing = 0;

	if (on->shaper != NULL)
		shaper_shared_set_link(on->shared, CLOSED_BPS, on->now_ns);
	for (uint32_t i = 0; i < total; i += BURST) {
		unsigned n = total - i < BURST ? total - i : BURST;
		unsigned direct = enqueue(on, &packets[i], n, out);
		memcpy(&packets[missing], out, direct * sizeof(out[0]));
		missing += direct;
	}
	for (uint32_t i = 0; i < missing; i++)
		if (enqueue(on, &packets[i], 1, out) != 0)
			fail("the queues could not be filled");
	if (on->shaper == NULL)
		return;
	on->now_ns += CLOSED_NS;
	shaper_shared_set_link(on->shared, row->link_bps, on->now_ns);
}

/* The stages before have just had the packets and their flows in hand. */
static void touch(struct rte_mbuf **pkts, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct pkt *p = pkt_of(pkts[i]);
		p->rx_ns++;
		p->dscp = 0;
		p->flow->last_seen_ms++;
		p->flow->packets[WAY_UP]++;
	}
}

/* Packets that have left, in order, until they are offered again. */
struct away {
	struct rte_mbuf *packets[2 * AWAY];
	uint32_t in, out;
};

static unsigned away_take(struct away *away, unsigned keep, struct rte_mbuf **pkts)
{
	unsigned n = 0;

	while (n < BURST && away->in - away->out > keep)
		pkts[n++] = away->packets[away->out++ % (2 * AWAY)];
	return n;
}

/* Returns how many of them have left for the first time (touch() counts). */
static unsigned away_put(struct away *away, struct rte_mbuf **pkts, unsigned n)
{
	unsigned first = 0;

	for (unsigned i = 0; i < n; i++) {
		first += pkt_of(pkts[i])->rx_ns == 0;
		away->packets[away->in++ % (2 * AWAY)] = pkts[i];
	}
	return first;
}

/*
 * Packets that leave are offered again, but not before those of many other flows have left: a
 * scheduler that goes on with a queue as long as there is something in it would stay with the same
 * few for ever. All must have had their turn in the end, or it was not the same work.
 */
static struct result cycle(struct subject *on, const struct row *row, uint32_t count)
{
	static double in[SAMPLES_MAX], out[SAMPLES_MAX];
	struct rte_mbuf *again[BURST], *gone[BURST];
	struct away away = {.in = 0};
	uint32_t total = count * row->depth, samples = 0, calls = 0;
	uint32_t warm_up = total + 20000, most = 2 * total + 200000;
	uint32_t keep = total / 4 < AWAY ? total / 4 : AWAY;
	uint64_t in_cycles = 0, out_cycles = 0, sent = 0, sample_sent = 0, seen = 0;
	uint64_t pace = row->link_bps == REACHED_BPS && on->sched != NULL
				? row->step_ns * rte_get_tsc_hz() / NS_PER_S
				: 0;
	uint64_t due = rte_rdtsc();

	while (sent < most && samples < SAMPLES_MAX) {
		while (pace != 0 && rte_rdtsc() < due)
			;
		due += pace;
		on->now_ns += row->step_ns;
		unsigned n = away_take(&away, keep, again);
		touch(again, n);
		uint64_t start = rte_rdtsc_precise(); /* without what touch() still waits for */
		unsigned direct = n ? enqueue(on, again, n, gone) : 0;
		uint64_t middle = rte_rdtsc();
		n = direct + dequeue(on, gone + direct, BURST - direct);
		uint64_t end = rte_rdtsc();
		in_cycles += middle - start;
		out_cycles += end - middle;
		seen += away_put(&away, gone, n);
		sent += n;
		sample_sent += n;
		if (++calls % CALLS_A_SAMPLE != 0)
			continue;
		if (sent > warm_up && sample_sent != 0) {
			in[samples] = (double)in_cycles / (double)sample_sent;
			out[samples++] = (double)out_cycles / (double)sample_sent;
		}
		in_cycles = out_cycles = sample_sent = 0;
	}
	for (unsigned n; (n = away_take(&away, 0, again)) != 0;)
		rte_pktmbuf_free_bulk(again, n);
	if (samples == 0)
		fail("no samples");
	if (seen * 100 < (uint64_t)total * 99)
		fail("flows were left out: not the same work");
	return (struct result){median(in, samples), median(out, samples)};
}

/* The same burst of packets again and again, each time for other flows; nothing waits. */
static struct result pass(struct subject *on, const struct row *row, uint32_t count)
{
	static double in[SAMPLES_MAX], out[SAMPLES_MAX];
	struct rte_mbuf *gone[BURST];
	uint64_t in_cycles = 0, out_cycles = 0;
	unsigned samples = 0, calls = 0;

	while (samples < 256) {
		for (unsigned i = 0; i < BURST; i++) {
			struct pkt *p = pkt_of(packets[i]);
			p->flow = &flows[random_below(count)];
			p->flow->class_id = first_class(row);
		}
		touch(packets, BURST);
		on->now_ns += row->step_ns;
		uint64_t start = rte_rdtsc_precise(); /* without what touch() still waits for */
		unsigned n = enqueue(on, packets, BURST, gone);
		uint64_t middle = rte_rdtsc();
		n += dequeue(on, gone, BURST);
		uint64_t end = rte_rdtsc();
		if (n != BURST)
			fail("the direct path is not");
		in_cycles += middle - start;
		out_cycles += end - middle;
		if (++calls % CALLS_A_SAMPLE == 0) {
			in[samples] = (double)in_cycles / (CALLS_A_SAMPLE * BURST);
			out[samples++] = (double)out_cycles / (CALLS_A_SAMPLE * BURST);
			in_cycles = out_cycles = 0;
		}
	}
	return (struct result){median(in, samples), median(out, samples)};
}

static struct result run_once(const struct row *row, uint32_t count, bool reference)
{
	struct subject on = {0};
	struct row used = *row;
	struct result result;

	/* A burst must find something waiting; the largest number has fewer packets for each. */
	if (count * used.depth < 4 * BURST)
		used.depth = 4 * BURST / count;
	if (count * used.depth > 2 * flows_max)
		used.depth = 2 * flows_max / count;
	if (reference)
		on.sched = sched_reference_create(
			count, (uint16_t)rte_align32pow2(used.depth + 4), row->link_bps);
	else
		shaper_new(&on, &used, count);
	if (reference && on.sched == NULL)
		return (struct result){0};
	packets_prepare(&on, &used, count);
	if (row->direct) {
		result = pass(&on, &used, count);
		rte_pktmbuf_free_bulk(packets, count * used.depth);
	} else {
		fill(&on, &used, count * used.depth);
		result = cycle(&on, &used, count);
	}
	subject_free(&on);
	if (rte_mempool_in_use_count(pool) != 0)
		fail("packets are lost");
	return result;
}

/* ---- the table ---- */

static const struct row rows[] = {
	{.name = "queued: link, class, flow; none reached",
		.reference = "librte_sched: none reached",
		.frame_bytes = 60,
		.depth = 1,
		.link_bps = 1000 * GBPS},
	{.name = "the same, 1,514 bytes, 2 of each flow wait",
		.reference = "librte_sched: the same",
		.frame_bytes = 1514,
		.depth = 2,
		.link_bps = 1000 * GBPS},
	{.name = "queued: link is the bottleneck",
		.reference = "librte_sched: subport is the bottleneck",
		.frame_bytes = 60,
		.depth = 1,
		.link_bps = REACHED_BPS,
		.step_ns = 24 * 84 * 8 * GBPS / REACHED_BPS},
	{.name = "queued: each flow's own rate",
		.frame_bytes = 60,
		.depth = 1,
		.link_bps = 1000 * GBPS,
		.flow_bps = 100 * GBPS,
		.step_ns = 160},
	{.name = "queued: none reached, CoDel",
		.frame_bytes = 60,
		.depth = 1,
		.link_bps = 1000 * GBPS,
		.aqm = AQM_CODEL},
	{.name = "queued: none reached, 3 levels of groups",
		.frame_bytes = 60,
		.depth = 1,
		.classes = 64,
		.tree = true,
		.flows_min = 1000,
		.link_bps = 1000 * GBPS},
	{.name = "queued: none reached, 1,000 classes",
		.frame_bytes = 60,
		.depth = 1,
		.classes = 1000,
		.flows_min = 1000,
		.link_bps = 1000 * GBPS},
	{.name = "queued: none reached, 100,000 classes",
		.frame_bytes = 60,
		.depth = 1,
		.classes = 100000,
		.flows_min = 100000,
		.link_bps = 1000 * GBPS},
	{.name = "direct: nothing limited",
		.frame_bytes = 60,
		.depth = 1,
		.plain = true,
		.direct = true},
	{.name = "direct: link, class, flow",
		.frame_bytes = 60,
		.depth = 1,
		.link_bps = 1000 * GBPS,
		.direct = true},
};

/* Medians of the runs of all counts, the two subjects in turn; all zero where the row has no such
 * count, or no memory. */
static void run(const struct row *row, struct result *ours, struct result *theirs)
{
	memset(ours, 0, COUNTS * sizeof(*ours));
	memset(theirs, 0, COUNTS * sizeof(*theirs));
	for (unsigned i = 0; i < COUNTS; i++) {
		double in[2][RUNS], out[2][RUNS];
		if (counts[i] > flows_max || counts[i] < row->flows_min)
			continue;
		for (unsigned r = 0; r < RUNS; r++)
			for (unsigned k = 0; k < (row->reference != NULL ? 2 : 1); k++) {
				struct result once = run_once(row, counts[i], k == 1);
				in[k][r] = once.enqueue;
				out[k][r] = once.dequeue;
			}
		ours[i] = (struct result){median(in[0], RUNS), median(out[0], RUNS)};
		if (row->reference != NULL)
			theirs[i] = (struct result){median(in[1], RUNS), median(out[1], RUNS)};
	}
}

static void print_row(const char *name, const struct result *results)
{
	printf("%-44s", name);
	for (unsigned i = 0; i < COUNTS; i++) {
		if (results[i].dequeue == 0)
			printf(" %15s", "-");
		else
			printf("  %4.0f+%-4.0f%5.0f", results[i].enqueue, results[i].dequeue,
				results[i].enqueue + results[i].dequeue);
	}
	printf("\n");
	fflush(stdout);
}

static void print_ratio(const struct result *ours, const struct result *theirs)
{
	printf("%-44s", "  times as fast");
	for (unsigned i = 0; i < COUNTS; i++) {
		double a = ours[i].enqueue + ours[i].dequeue;
		double b = theirs[i].enqueue + theirs[i].dequeue;
		if (a == 0 || b == 0)
			printf(" %15s", "-");
		else
			printf(" %15.2f", b / a);
	}
	printf("\n");
}

/* What more flows cost beyond 1,000, in cache misses. */
static void print_misses(const struct result *ours)
{
	printf("what the first row costs more than with 1,000 flows, %u lines a packet:\n",
		LINES_A_PACKET);
	for (unsigned i = 2; i < COUNTS; i++) {
		uint64_t bytes = (uint64_t)counts[i] * LINES_A_PACKET * 64;
		struct memory_reference line = {0};
		if (counts[i] > flows_max)
			continue;
		double more = ours[i].enqueue + ours[i].dequeue - ours[1].enqueue - ours[1].dequeue;
		line = memory_reference(bytes);
		printf("  %7u flows, %3.0f MB: %4.0f cycles = %u misses x %.0f cycles "
		       "(a line anywhere in as much memory: %.0f alone, %.0f among others)\n",
			counts[i], (double)bytes / 1e6, more, LINES_A_PACKET, more / LINES_A_PACKET,
			line.dependent, line.independent);
	}
}

static void start(int argc, char **argv)
{
	char *args[] = {"shape_bench", "--no-shconf", "--no-pci", "--no-telemetry",
		"--log-level=error", "--no-huge", "-m", MEMORY_MB, NULL};
	bool huge = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--huge") == 0)
			huge = true;
		else if (strcmp(argv[i], "--flows") == 0 && i + 1 < argc)
			flows_max = (uint32_t)strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
			only = argv[++i];
		else
			fail("usage: shape_bench [--huge] [--flows MOST] [--only ROW]");
	}
	if (huge) /* as many pages as it takes */
		args[5] = "--in-memory";
	if (flows_max < 1 || flows_max > 1000000 || rte_eal_init(huge ? 6 : 8, args) < 0)
		fail("cannot start the EAL");
	flows = rte_zmalloc("flows", flows_max * sizeof(*flows), 64);
	packets = rte_malloc("packets", 2 * (size_t)flows_max * sizeof(packets[0]), 64);
	pool = rte_pktmbuf_pool_create(
		"bench", 2 * flows_max + PACKETS_SPARE, 0, sizeof(struct pkt), 64, SOCKET_ID_ANY);
	if (flows == NULL || packets == NULL || pool == NULL)
		fail("no memory");
	printf("shape: TSC cycles a packet (%.3f GHz), enqueue + dequeue = sum, median of %u runs, "
	       "%s hugepages\n",
		(double)rte_get_tsc_hz() / 1e9, RUNS, huge ? "2 MB" : "no");
	printf("%-44s %15s %15s %15s %15s\n", "", "1 flow", "1,000", "100,000", "1,000,000");
}

int main(int argc, char **argv)
{
	struct result ours[COUNTS], theirs[COUNTS], first[COUNTS];

	start(argc, argv);
	for (unsigned r = 0; r < RTE_DIM(rows); r++) {
		struct row row = rows[r];
		if (only != NULL && strstr(row.name, only) == NULL)
			continue;
		row.classes = row.classes ? row.classes : 1;
		row.step_ns = row.step_ns ? row.step_ns : 1000;
		run(&row, ours, theirs);
		print_row(row.name, ours);
		if (row.reference != NULL) {
			print_row(row.reference, theirs);
			print_ratio(ours, theirs);
		}
		if (r == 0)
			memcpy(first, ours, sizeof(first));
	}
	if (only == NULL)
		print_misses(first);
	rte_eal_cleanup();
	return 0;
}
