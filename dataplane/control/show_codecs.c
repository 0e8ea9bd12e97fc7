/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What `show compression` tells beside show.c: each class by codec, and the governors of the
 * workers (compress/governor.h).
 */
#include "dataplane/clock.h"
#include "dataplane/control/show.h"
#include "dataplane/daemon.h"

static const char *const codec_names[CODEC_NUMBERS] = {[CODEC_RAW] = "raw",
	[CODEC_LZ4] = "lz4",
	[CODEC_LZ4_DICTIONARY] = "lz4-dict",
	[CODEC_LZ4_HISTORY] = "lz4-history",
	[CODEC_ZSTD] = "zstd",
	[CODEC_ZSTD_HISTORY] = "zstd-history",
	[LINK_CODEC_STORE] = "store"};

/* Add up what all workers say of a class and a codec. */
static void add_codec(const struct daemon *d, uint32_t id, unsigned number, struct codec_record *r)
{
	for (unsigned i = 0; i < d->bridge_count * d->worker_count; i++) {
		const struct worker *w = d->workers[i % d->worker_count];
		const struct worker_codec *k =
			&w->codecs[i / d->worker_count][id].by_number[number];

		r->packets += k->packets;
		r->in_bytes += k->bytes;
		r->out_bytes += k->wire_bytes;
		r->tried_bytes += k->tried_bytes;
		r->cycles += k->cycles;
	}
}

int show_codecs(void *context, const struct page_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	const struct daemon *d = c->daemon;
	const struct policy *policy = d->plan->policy;
	uint64_t total = (uint64_t)policy->class_count * CODEC_NUMBERS;
	uint64_t until_ns = clock_now_ns() + SHOW_PAGE_NS;

	for (uint64_t at = request->from; at < total; at++) {
		uint32_t class = (uint32_t)(at / CODEC_NUMBERS);
		unsigned number = at % CODEC_NUMBERS;
		struct codec_record r = {0};

		if (channel_reply_room(reply) == 0 ||
			(at % 1024 == 1023 && at > request->from && clock_now_ns() > until_ns)) {
			channel_reply_next(reply, at, total);
			return 0;
		}
		if (codec_names[number] == NULL)
			continue;
		add_codec(d, d->plan->class_id_of[class], number, &r);
		if (r.tried_bytes == 0)
			continue;
		show_name(r.class_name, policy->classes[class].name);
		show_name(r.codec, codec_names[number]);
		channel_send_codecs(reply, &r);
	}
	return 0;
}

int show_governors(void *context, const struct page_request *request, struct channel_reply *reply)
{
	struct control *c = context;
	const struct daemon *d = c->daemon;

	for (uint64_t at = request->from; at < d->worker_count; at++) {
		const struct governor *g = &d->workers[at]->governor;
		struct governor_record r = {.worker = at,
			.step = g->step,
			.ups = g->ups,
			.downs = g->downs,
			.busy_packets = d->workers[at]->counters->reason[PASS_LINK_BUSY]};

		if (channel_reply_room(reply) == 0) {
			channel_reply_next(reply, at, d->worker_count);
			return 0;
		}
		channel_send_governors(reply, &r);
	}
	return 0;
}
