/* SPDX-License-Identifier: BSD-3-Clause */
/* Halves of stores in files (store_file.h). */
#include "dataplane/compress/store_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "dataplane/compress/store_private.h"

/* At a time: *stop is looked at in between. */
#define TRANSFER_BYTES (UINT64_C(8) << 20)

static const char magic[8] = "SLSTORE\n";

static_assert(sizeof(XXH64_state_t) == sizeof(((struct store_file *)0)->hash), "it is that");

static XXH64_state_t *hash_of(struct store_file *f)
{
	return (XXH64_state_t *)f->hash;
}

static void open_file(struct store_file *f, int fd, const bool *stop)
{
	f->fd = fd;
	f->stop = stop;
	XXH64_reset(hash_of(f), 0);
}

static int put(struct store_file *f, const void *bytes, uint64_t len)
{
	const uint8_t *p = bytes;

	while (len > 0) {
		ssize_t n;

		if (__atomic_load_n(f->stop, __ATOMIC_RELAXED))
			return -EINTR;
		n = write(f->fd, p, len < TRANSFER_BYTES ? len : TRANSFER_BYTES);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		XXH64_update(hash_of(f), p, (size_t)n);
		p += n;
		len -= (uint64_t)n;
	}
	return 0;
}

static int get(struct store_file *f, void *bytes, uint64_t len)
{
	uint8_t *p = bytes;

	while (len > 0) {
		ssize_t n;

		if (__atomic_load_n(f->stop, __ATOMIC_RELAXED))
			return -EINTR;
		n = read(f->fd, p, len < TRANSFER_BYTES ? len : TRANSFER_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EBADMSG;
		XXH64_update(hash_of(f), p, (size_t)n);
		p += n;
		len -= (uint64_t)n;
	}
	return 0;
}

/* Has a slot of this piece of the lane a packet? */
static bool is_used(const struct store_kept *kept, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		if (kept->slots[i].generation == kept->generation)
			return true;
	return false;
}

/* Bring the slots' bytes of a lane there or back. */
static int each_piece(struct store_file *f, const struct store_kept *kept,
	int (*bring)(struct store_file *f, uint8_t *bytes, uint64_t len))
{
	int rc = 0;

	for (uint32_t from = 0; from < kept->count && rc == 0; from += STORE_FILE_PIECE) {
		uint32_t left = kept->count - from;
		uint32_t n = left < STORE_FILE_PIECE ? left : STORE_FILE_PIECE;

		if (is_used(kept, from, from + n))
			rc = bring(f, kept->data + (uint64_t)from * kept->slot_bytes,
				(uint64_t)n * kept->slot_bytes);
	}
	return rc;
}

static int put_piece(struct store_file *f, uint8_t *bytes, uint64_t len)
{
	return put(f, bytes, len);
}

static int get_piece(struct store_file *f, uint8_t *bytes, uint64_t len)
{
	return get(f, bytes, len);
}

/* ---- writing ---- */

static int write_half(struct store_file *f, const struct store_file_head *head,
	const struct store_file_lane lanes[STORE_WORKERS],
	const struct store_kept *const kept[STORE_WORKERS], const struct store_memory *m)
{
	int rc = put(f, head, sizeof(*head));

	if (rc == 0)
		rc = put(f, lanes, STORE_WORKERS * sizeof(*lanes));
	if (rc == 0)
		rc = put(f, m->slots, m->count * sizeof(*m->slots));
	if (rc == 0)
		rc = put(f, m->index, m->index_count * sizeof(*m->index));
	for (unsigned i = 0; i < STORE_WORKERS && rc == 0; i++)
		rc = each_piece(f, kept[i], put_piece);
	return rc;
}

int store_file_end(struct store_file *f, const uint32_t sent[STORE_WORKERS])
{
	int rc = put(f, sent, STORE_WORKERS * sizeof(*sent));
	uint64_t digest = XXH64_digest(hash_of(f));

	return rc == 0 ? put(f, &digest, sizeof(digest)) : rc;
}

static struct store_file_head head_of(const struct store_memory *m, bool is_sender, uint8_t worker,
	uint8_t workers, unsigned peer_workers)
{
	struct store_file_head head = {.version = STORE_FILE_VERSION,
		.is_sender = is_sender,
		.worker = worker,
		.workers = workers,
		.peer_workers = peer_workers,
		.slots = m->count,
		.slot_bytes = m->slot_bytes,
		.generation = m->generation,
		.index_count = m->index_count};

	memcpy(head.magic, magic, sizeof(magic));
	return head;
}

static struct store_file_lane lane_of(const struct store_kept *kept, uint64_t id)
{
	return (struct store_file_lane){.id = id,
		.count = kept->count,
		.generation = kept->generation,
		.newest = kept->newest};
}

int store_sender_write(const struct store_sender *s, struct store_file *f, int fd,
	struct store_clocks clocks, const bool *stop)
{
	struct store_file_head head =
		head_of(&s->memory, true, s->worker, s->workers, s->peer_workers);
	struct store_file_lane lanes[STORE_WORKERS];
	const struct store_kept *kept[STORE_WORKERS];

	head.slots_max = s->slots_max;
	head.realtime_ns = clocks.realtime_ns;
	for (unsigned i = 0; i < STORE_WORKERS; i++) {
		const struct store_tx *tx = &s->lane[i];

		kept[i] = &tx->kept;
		/* As at the beginning of the next session. */
		lanes[i] = lane_of(&tx->kept, tx->is_begun ? tx->next_id : tx->id);
		lanes[i].first = tx->is_begun ? tx->kept.first : tx->first_before;
		lanes[i].before = tx->before;
		lanes[i].acked = tx->acked;
		for (unsigned a = 0; a < STORE_AGES; a++)
			lanes[i].age_ns[a] =
				tx->kept_ns[a] != 0 ? (int64_t)clocks.now_ns - tx->kept_ns[a] : -1;
	}
	open_file(f, fd, stop);
	return write_half(f, &head, lanes, kept, &s->memory);
}

int store_receiver_write(
	const struct store_receiver *r, struct store_file *f, int fd, const bool *stop)
{
	struct store_file_head head =
		head_of(&r->memory, false, r->worker, r->workers, r->peer_workers);
	struct store_file_lane lanes[STORE_WORKERS];
	const struct store_kept *kept[STORE_WORKERS];

	for (unsigned i = 0; i < STORE_WORKERS; i++) {
		kept[i] = &r->lane[i].kept;
		lanes[i] = lane_of(kept[i], r->lane[i].id);
	}
	open_file(f, fd, stop);
	return write_half(f, &head, lanes, kept, &r->memory);
}

/* ---- reading ---- */

/* Is the file of a half like this one? */
static int check_head(const struct store_file_head *head, const struct store_file_head *own)
{
	if (memcmp(head->magic, own->magic, sizeof(own->magic)) != 0)
		return -EBADMSG;
	if (head->version != own->version || head->is_sender != own->is_sender ||
		head->worker != own->worker || head->workers != own->workers ||
		head->slots != own->slots || head->slot_bytes != own->slot_bytes ||
		head->index_count != own->index_count)
		return -ESTALE;
	return 0;
}

/* What store_file_end() has written, and then nothing more. */
static int get_end(struct store_file *f, uint32_t sent[STORE_WORKERS])
{
	int rc = get(f, sent, STORE_WORKERS * sizeof(*sent));
	uint64_t digest = XXH64_digest(hash_of(f)), found;
	uint8_t more;

	if (rc == 0)
		rc = get(f, &found, sizeof(found));
	if (rc == 0 && (found != digest || read(f->fd, &more, 1) != 0))
		rc = -EBADMSG;
	return rc;
}

/* Slots that say what cannot be say nothing now. */
static void check_slots(const struct store_kept *kept)
{
	for (uint32_t i = 0; i < kept->count; i++)
		if (kept->slots[i].len > kept->slot_bytes)
			kept->slots[i].id = 0;
}

static int read_lane(
	struct store_kept *kept, const struct store_file_lane *lane, const struct store_memory *m)
{
	if (lane->count != kept->count ||
		(lane->count > 0 && (lane->generation == 0 || lane->generation > m->generation)))
		return -EBADMSG;
	kept->generation = lane->generation;
	kept->newest = lane->newest;
	check_slots(kept);
	return 0;
}

/* All that comes before the slots' bytes, of a half that is like `own`. */
static int read_front(struct store_file *f, const struct store_file_head *own,
	struct store_file_head *head, struct store_file_lane lanes[STORE_WORKERS],
	struct store_memory *m)
{
	int rc = get(f, head, sizeof(*head));

	if (rc == 0)
		rc = check_head(head, own);
	if (rc == 0)
		rc = get(f, lanes, STORE_WORKERS * sizeof(*lanes));
	if (rc == 0)
		rc = get(f, m->slots, m->count * sizeof(*m->slots));
	if (rc == 0)
		rc = get(f, m->index, m->index_count * sizeof(*m->index));
	return rc;
}

/* What a file has brought that is refused in the end. */
static void clear(struct store_memory *m)
{
	memset(m->slots, 0, m->count * sizeof(*m->slots));
	m->generation = 0;
}

/* When packets were kept, on the clock that runs now. Unsigned: any bytes may be there. */
static void read_ages(struct store_tx *tx, const struct store_file_lane *lane,
	struct store_clocks clocks, const struct store_file_head *head)
{
	uint64_t passed_ns = (uint64_t)clocks.realtime_ns - (uint64_t)head->realtime_ns;

	for (unsigned i = 0; i < STORE_AGES; i++)
		tx->kept_ns[i] =
			lane->age_ns[i] < 0
				? 0
				: (int64_t)(clocks.now_ns - passed_ns - (uint64_t)lane->age_ns[i]);
}

static int read_sender(struct store_sender *s, struct store_file *f, struct store_clocks clocks)
{
	struct store_file_head head, own = head_of(&s->memory, true, s->worker, s->workers, 0);
	struct store_file_lane lanes[STORE_WORKERS];
	uint32_t sent[STORE_WORKERS];
	int rc = read_front(f, &own, &head, lanes, &s->memory);

	if (rc != 0)
		return rc;
	s->peer_workers = head.peer_workers;
	s->slots_max = head.slots_max;
	store_sender_share(s);
	s->memory.generation = head.generation; /* sharing has given out others */
	for (unsigned i = 0; i < STORE_WORKERS && rc == 0; i++) {
		struct store_tx *tx = &s->lane[i];

		rc = read_lane(&tx->kept, &lanes[i], &s->memory);
		tx->id = lanes[i].id;
		tx->first_before = lanes[i].first;
		tx->before = lanes[i].before;
		tx->acked = lanes[i].acked;
		read_ages(tx, &lanes[i], clocks, &head);
		if (rc == 0)
			rc = each_piece(f, &tx->kept, get_piece);
	}
	if (rc == 0)
		rc = get_end(f, sent);
	for (unsigned i = 0; i < STORE_WORKERS && rc == 0; i++)
		s->lane[i].before += sent[i];
	return rc;
}

static int read_receiver(struct store_receiver *r, struct store_file *f)
{
	struct store_file_head head, own = head_of(&r->memory, false, r->worker, r->workers, 0);
	struct store_file_lane lanes[STORE_WORKERS];
	uint32_t sent[STORE_WORKERS];
	int rc = read_front(f, &own, &head, lanes, &r->memory);

	if (rc != 0)
		return rc;
	r->peer_workers = head.peer_workers;
	store_receiver_share(r);
	r->memory.generation = head.generation; /* sharing has given out others */
	for (unsigned i = 0; i < STORE_WORKERS && rc == 0; i++) {
		struct store_rx *rx = &r->lane[i];

		rc = read_lane(&rx->kept, &lanes[i], &r->memory);
		rx->id = lanes[i].id;
		if (rc == 0)
			rc = each_piece(f, &rx->kept, get_piece);
	}
	return rc == 0 ? get_end(f, sent) : rc;
}

int store_sender_read(struct store_sender *s, int fd, struct store_clocks clocks, const bool *stop)
{
	struct store_file f;
	int rc;

	open_file(&f, fd, stop);
	rc = read_sender(s, &f, clocks);
	if (rc != 0) {
		memset(s->lane, 0, sizeof(s->lane));
		s->peer_workers = s->slots_max = 0;
		clear(&s->memory);
	}
	return rc;
}

int store_receiver_read(struct store_receiver *r, int fd, const bool *stop)
{
	struct store_file f;
	int rc;

	open_file(&f, fd, stop);
	rc = read_receiver(r, &f);
	if (rc != 0) {
		memset(r->lane, 0, sizeof(r->lane));
		r->peer_workers = 0;
		clear(&r->memory);
	}
	return rc;
}
