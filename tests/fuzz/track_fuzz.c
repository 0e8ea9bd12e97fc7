/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target for the probes of rate tracking. The first byte chooses what the rest is: 0, a
 * message as it comes from the peer's address; 1, the same, signed as the peer would; otherwise
 * what an authenticated peer says in one probe after another, 34 bytes each, with the time between
 * them: whatever it is, figures and rates stay within their bounds.
 */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "dataplane/control/track_rate.h"

#define MIN_BPS 1000000u
#define MAX_BPS 100000000u
#define STEP_BYTES 34

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void message(const uint8_t *data, size_t size, bool is_signed)
{
	struct link_session s = {.alive = true};
	uint8_t text[LINK_PROBE_MESSAGE_BYTES + 2 * LINK_NONCE_BYTES] = {0};
	uint8_t msg[LINK_PROBE_MESSAGE_BYTES + 4];
	struct link_probe probe;
	size_t covered = LINK_PROBE_MESSAGE_BYTES - LINK_PROBE_SIGNATURE_BYTES;

	if (size > sizeof(msg))
		size = sizeof(msg);
	memcpy(msg, data, size);
	if (is_signed && size >= LINK_PROBE_MESSAGE_BYTES) {
		/* Nonces and key are 0. */
		memcpy(text, msg, covered);
		crypto_generichash(msg + covered, LINK_PROBE_SIGNATURE_BYTES, text,
			covered + 2 * LINK_NONCE_BYTES, s.hello_key, sizeof(s.hello_key));
	}
	int rc = link_probe_read(&s, msg, size, &probe);
	require(rc <= 0 && (rc < 0 || (is_signed && link_is_probe(msg, size))));
	if (rc == 0) {
		uint8_t again[LINK_PROBE_MESSAGE_BYTES];
		require(link_probe_write(&s, &probe, again, sizeof(again)) == (int)sizeof(again));
		require(memcmp(msg + LINK_SHIM_BYTES + 6, again + LINK_SHIM_BYTES + 6,
				LINK_PROBE_BYTES - 6) == 0);
	}
}

static void step(struct track_path *path, struct track_rate rate[2], const uint8_t *p,
	uint64_t *now_ns, uint64_t *bytes)
{
	struct link_probe probe, ours;
	uint16_t wait_us;

	memcpy(&wait_us, p, 2);
	*now_ns += wait_us * UINT64_C(16000);
	*bytes += wait_us * UINT64_C(100);
	track_path_probe(path, 25, *bytes, *now_ns, &ours);
	memcpy(&probe.number, p + 2, 4);
	memcpy(&probe.heard, p + 6, 4);
	memcpy(&probe.heard_count, p + 10, 4);
	memcpy(&probe.wanted_ms, p + 14, 2);
	memcpy(&probe.sent_ns, p + 16, 8);
	memcpy(&probe.heard_ns, p + 24, 8);
	/* Mostly a little off what would be right: then it is listened to. */
	if (p[32] & 1)
		probe.number = path->heard + 1 + p[2] % 4;
	if (p[32] & 2)
		probe.heard = path->number - p[6] % 4;
	if (p[32] & 4)
		probe.sent_ns = *now_ns - (probe.sent_ns & 0xfffffff);
	if (p[32] & 8)
		probe.heard_ns = *now_ns - (probe.heard_ns & 0xfffffff);
	track_path_receive(path, &probe, *bytes, *now_ns);

	for (int i = 0; i < 2; i++) {
		struct track_way *way = i ? &path->down : &path->up;
		const struct track_figures *f = &way->figures;
		struct track_input in = {.figures = *f,
			.load_bps = p[33] * UINT64_C(500000),
			.up_bytes = *bytes,
			.rtt_ns = p[33] * UINT64_C(1000000)};
		bool rebase = false;

		require(f->queue_ns <= TRACK_QUEUE_MAX_NS && f->newest_ns <= TRACK_QUEUE_MAX_NS &&
			f->noise_ns <= TRACK_NOISE_MAX_NS && f->loss_percent <= 100);
		uint64_t rate_bps = track_rate_step(&rate[i], &in, *now_ns, &rebase);
		require(rate_bps >= MIN_BPS && rate_bps <= MAX_BPS);
		if (rebase)
			track_way_rebase(way, *now_ns);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct track_path path;
	struct track_rate rate[2];
	uint64_t now_ns = UINT64_C(1000000000000), bytes = 0;

	if (size < 1 || sodium_init() < 0)
		return 0;
	if (data[0] < 2) {
		message(data + 1, size - 1, data[0]);
		return 0;
	}
	track_path_reset(&path, 1);
	for (int i = 0; i < 2; i++) {
		const struct track_rate_config config = {.min_bps = MIN_BPS,
			.max_bps = MAX_BPS,
			.interval_ns = 25000000,
			.is_up = i == 0};
		track_rate_init(&rate[i], &config, now_ns);
	}
	for (size_t at = 1; at + STEP_BYTES <= size; at += STEP_BYTES)
		step(&path, rate, data + at, &now_ns, &bytes);
	return 0;
}
