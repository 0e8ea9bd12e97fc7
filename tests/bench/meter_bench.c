/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TSC cycles a packet of policer_colour() for one worker, beside DPDK's rte_meter in the same run:
 * bursts of 32 packets, each for another policer, in random order among 1 to 1,000,000 of them. Two
 * rates that differ from policer to policer (so rte_meter has a profile for each of 8), offered
 * twice as much as they allow, colour-blind. Both prefetch, as the packet path does: rte_meter one
 * line a policer, ours a worker's part (in the class) and the shared one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_malloc.h>
#include <rte_meter.h>
#include <rte_prefetch.h>

#include "controlplane/policy/policy.h"
#include "dataplane/shape/policer.h"

#define BURST 32u
#define ROUNDS 20001u
#define METERS_MAX 1000000u
#define PROFILES 8u
#define BYTES 500u
#define CBS 10000u
#define MEMORY_MB "256"

enum kind { SRTCM, TRTCM, RFC4115, KINDS };

union dpdk_meter {
	struct rte_meter_srtcm srtcm;
	struct rte_meter_trtcm trtcm;
	struct rte_meter_trtcm_rfc4115 rfc4115;
};

static struct rte_meter_srtcm_profile srtcm[PROFILES];
static struct rte_meter_trtcm_profile trtcm[PROFILES];
static struct rte_meter_trtcm_rfc4115_profile rfc4115[PROFILES];
static void *memory;
static uint64_t samples[ROUNDS];
static uint64_t colours[3];
static uint64_t random_state = 1;

static uint32_t random32(void)
{
	random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(random_state >> 32);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double median_per_packet(void)
{
	qsort(samples, ROUNDS, sizeof(samples[0]), compare);
	return (double)samples[ROUNDS / 2] / BURST;
}

/* All of them together: twice as fast as what their committed rates allow at one burst a step. */
static uint64_t cir_bytes(unsigned profile, unsigned count, double step_s)
{
	double all = BURST * BYTES / step_s / 2;

	return (uint64_t)(all / count * (0.8 + 0.05 * profile)) + 1;
}

#define STEP_NS 4000u

static void configure(unsigned count, unsigned i, struct policer_config *c, enum kind kind)
{
	static const uint8_t modes[] = {POLICE_SRTCM, POLICE_TRTCM, POLICE_TRTCM_4115};
	uint64_t cir_bps = 8 * cir_bytes(i % PROFILES, count, STEP_NS / 1e9);

	*c = (struct policer_config){.mode = modes[kind],
		.cir_bps = cir_bps,
		.eir_bps = kind == TRTCM ? cir_bps * 3 / 2 : cir_bps / 2,
		.cbs_bytes = CBS,
		.ebs_bytes = 2 * CBS};
}

static double bench_policer(enum kind kind, unsigned count)
{
	struct policer *policers = memory;
	struct policer_shared *shared = RTE_PTR_ALIGN((void *)(policers + count), 64);
	uint64_t now = 1000000000000;

	for (unsigned i = 0; i < count; i++) {
		struct policer_config c;

		configure(count, i, &c, kind);
		policer_shared_init(&shared[i], &c, 1, now);
		policers[i] = (struct policer){.shared = &shared[i]};
	}
	for (unsigned r = 0; r < ROUNDS; r++) {
		uint32_t which[BURST];

		for (unsigned i = 0; i < BURST; i++)
			which[i] = random32() % count;
		now += STEP_NS;
		uint64_t start = rte_rdtsc_precise();
		for (unsigned i = 0; i < BURST; i++) {
			rte_prefetch0(&policers[which[i]]);
			rte_prefetch0(&shared[which[i]]);
		}
		for (unsigned i = 0; i < BURST; i++)
			colours[policer_colour(&policers[which[i]], BYTES, COLOUR_GREEN, now)]++;
		samples[r] = rte_rdtsc_precise() - start;
	}
	return median_per_packet();
}

static void dpdk_profiles(unsigned count)
{
	for (unsigned i = 0; i < PROFILES; i++) {
		struct policer_config c;

		configure(count, i, &c, SRTCM);
		struct rte_meter_srtcm_params sr = {
			.cir = c.cir_bps / 8, .cbs = c.cbs_bytes, .ebs = c.ebs_bytes};
		configure(count, i, &c, TRTCM);
		struct rte_meter_trtcm_params tr = {.cir = c.cir_bps / 8,
			.pir = c.eir_bps / 8 + 1,
			.cbs = c.cbs_bytes,
			.pbs = c.ebs_bytes};
		configure(count, i, &c, RFC4115);
		struct rte_meter_trtcm_rfc4115_params tr4115 = {.cir = c.cir_bps / 8,
			.eir = c.eir_bps / 8 + 1,
			.cbs = c.cbs_bytes,
			.ebs = c.ebs_bytes};
		if (rte_meter_srtcm_profile_config(&srtcm[i], &sr) != 0 ||
			rte_meter_trtcm_profile_config(&trtcm[i], &tr) != 0 ||
			rte_meter_trtcm_rfc4115_profile_config(&rfc4115[i], &tr4115) != 0) {
			fprintf(stderr, "rte_meter refuses the rates\n");
			exit(2);
		}
	}
}

static inline unsigned dpdk_colour(
	enum kind kind, union dpdk_meter *m, unsigned profile, uint64_t now)
{
	if (kind == SRTCM)
		return rte_meter_srtcm_color_blind_check(&m->srtcm, &srtcm[profile], now, BYTES);
	if (kind == TRTCM)
		return rte_meter_trtcm_color_blind_check(&m->trtcm, &trtcm[profile], now, BYTES);
	return rte_meter_trtcm_rfc4115_color_blind_check(
		&m->rfc4115, &rfc4115[profile], now, BYTES);
}

static double bench_dpdk(enum kind kind, unsigned count)
{
	union dpdk_meter *meters = memory;
	uint64_t step = rte_get_tsc_hz() * STEP_NS / 1000000000, now = 0;

	dpdk_profiles(count);
	for (unsigned i = 0; i < count; i++) {
		if (kind == SRTCM)
			rte_meter_srtcm_config(&meters[i].srtcm, &srtcm[i % PROFILES]);
		else if (kind == TRTCM)
			rte_meter_trtcm_config(&meters[i].trtcm, &trtcm[i % PROFILES]);
		else
			rte_meter_trtcm_rfc4115_config(&meters[i].rfc4115, &rfc4115[i % PROFILES]);
	}
	now = rte_get_tsc_cycles();
	for (unsigned r = 0; r < ROUNDS; r++) {
		uint32_t which[BURST];

		for (unsigned i = 0; i < BURST; i++)
			which[i] = random32() % count;
		now += step;
		uint64_t start = rte_rdtsc_precise();
		for (unsigned i = 0; i < BURST; i++)
			rte_prefetch0(&meters[which[i]]);
		for (unsigned i = 0; i < BURST; i++)
			colours[dpdk_colour(kind, &meters[which[i]], which[i] % PROFILES, now)]++;
		samples[r] = rte_rdtsc_precise() - start;
	}
	return median_per_packet();
}

int main(int argc, char **argv)
{
	bool huge = argc == 2 && strcmp(argv[1], "--huge") == 0;

	static const unsigned counts[] = {1, 1000, 100000, METERS_MAX};
	static const char *const names[] = {"srTCM (RFC 2697)", "trTCM (RFC 2698)", "RFC 4115"};
	char *args[] = {"meter_bench", "--no-huge", "--no-shconf", "-m", MEMORY_MB, "--no-pci",
		"--no-telemetry", "--log-level=error", NULL};

	if (huge) /* as many pages as it takes */
		args[1] = "--in-memory";
	if (rte_eal_init(8, args) < 0) {
		fprintf(stderr, "cannot start the EAL\n");
		return 2;
	}
	memory = rte_zmalloc("meters",
		METERS_MAX * (sizeof(struct policer) + sizeof(struct policer_shared)) + 64, 64);
	if (memory == NULL) {
		fprintf(stderr, "no memory\n");
		return 2;
	}
	printf("policers: TSC cycles a packet, median of %u bursts of %u, %s hugepages\n", ROUNDS,
		BURST, huge ? "2 MB" : "no");
	printf("%-30s %8s %8s %8s %10s\n", "policers", "1", "1,000", "100,000", "1,000,000");
	for (unsigned kind = 0; kind < KINDS; kind++) {
		double ours[RTE_DIM(counts)], dpdk[RTE_DIM(counts)];
		uint64_t seen[2][3] = {0};

		for (unsigned i = 0; i < RTE_DIM(counts); i++) {
			for (unsigned k = 0; k < 2; k++) {
				memset(colours, 0, sizeof(colours));
				if (k == 0)
					ours[i] = bench_policer(kind, counts[i]);
				else
					dpdk[i] = bench_dpdk(kind, counts[i]);
				for (unsigned c = 0; c < 3; c++)
					seen[k][c] += i < 2 ? colours[c] : 0;
			}
		}
		printf("%-20s %-9s %8.1f %8.1f %8.1f %10.1f\n", names[kind], "sluice", ours[0],
			ours[1], ours[2], ours[3]);
		printf("%-20s %-9s %8.1f %8.1f %8.1f %10.1f\n", "", "rte_meter", dpdk[0], dpdk[1],
			dpdk[2], dpdk[3]);
		printf("%-20s %-9s %8.2f %8.2f %8.2f %10.2f\n", "", "ratio", ours[0] / dpdk[0],
			ours[1] / dpdk[1], ours[2] / dpdk[2], ours[3] / dpdk[3]);
		/* The same work: about the same colours, at 1 and 1,000. */
		for (unsigned k = 0; k < 2; k++)
			printf("%-20s %-9s %.1f %% green, %.1f %% yellow, %.1f %% red\n", "",
				k ? "rte_meter" : "sluice",
				100.0 * (double)seen[k][0] / (2 * ROUNDS * BURST),
				100.0 * (double)seen[k][1] / (2 * ROUNDS * BURST),
				100.0 * (double)seen[k][2] / (2 * ROUNDS * BURST));
	}
	rte_eal_cleanup();
	return 0;
}
