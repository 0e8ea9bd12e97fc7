/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target of the in-path address: several frames in a row, any bytes, as the workers punt
 * them. Input: flags (bit 0: in a VLAN), then frames, each behind its length in one byte.
 */
#include "dataplane/control/inpath.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is sent must lie within bounds, and be padded to the shortest frame. */
static void emit(void *ctx, int side, const uint8_t *frame, uint32_t len)
{
	volatile uint8_t last;

	if (len < 60 || len > INPATH_FRAME_MAX || side < INPATH_LAN || side > INPATH_WAN)
		abort();
	last = frame[len - 1];
	(void)last;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t mac[6] = {0x82, 0x08, 0xc4, 0x97, 0xf4, 0xae};
	static struct inpath ip;
	struct policy_bridge bridge = {0};
	struct inpath_config config;
	uint64_t now_ns = 1000000000;
	uint8_t out[256], hop[6];

	if (size < 1)
		return 0;
	bridge.vlan = data[0] & 1 ? 123 : 0;
	bridge.address4 = (struct policy_prefix){{4, {[10] = 0xff, [11] = 0xff, 10, 9, 0, 50}}, 24};
	bridge.address6 = (struct policy_prefix){{6, {0xfd, [15] = 0x50}}, 64};
	inpath_config_of(&config, &bridge, mac);
	inpath_init(&ip, &config, now_ns);
	data++;
	size--;
	while (size > 1) {
		uint32_t len = data[0] < size ? data[0] : (uint32_t)size - 1;
		uint8_t *frame = calloc(1, len + 1);

		memcpy(frame, data + 1, len);
		inpath_wants(&config, frame, len);
		int side = (int)(now_ns & 1);
		inpath_input(&ip, side, frame, len, now_ns, emit, NULL);
		inpath_tick(&ip, now_ns, emit, NULL);
		/* ask for addresses that the frame mentions, so that resolution runs too */
		struct policy_address dst = {4, {[10] = 0xff, [11] = 0xff, 10, 9, 0, frame[0]}};
		inpath_build_udp(
			&ip, &dst, 1, 2, 0, frame, len, out, sizeof(out), now_ns, emit, NULL);
		inpath_next_hop_mac(&ip, &config.address6.address, hop, now_ns);
		free(frame);
		data += len + 1;
		size -= len + 1;
		now_ns += 700000001;
	}
	return 0;
}
