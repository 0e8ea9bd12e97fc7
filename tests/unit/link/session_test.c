/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * link/session.c between two honest ends (world.h): coming up, bad channels, dead and restarted
 * peers, what they report to each other. session_hostile_test.c has the dishonest ones.
 */
#include <errno.h>

#include "tests/unit/link/world.h"

static void test_up(void)
{
	struct link_path path = {0};
	uint64_t begin;

	set_up(1);
	boot(0);
	run(w.now_ns + 7 * SECOND + 70 * MS);
	CU_ASSERT_EQUAL(w.end[0].s.state, LINK_SESSION_DOWN);
	CU_ASSERT(w.end[0].s.error[0] != '\0');
	CU_ASSERT_EQUAL(w.end[0].s.hellos_sent, 48); /* every 150 ms */
	link_session_fill_path(&w.end[0].s, &path);
	CU_ASSERT(path.session_id == 0 && !path.alive);

	begin = w.now_ns;
	boot(1);
	run(w.now_ns + 3 * SECOND);
	CU_ASSERT(both_up() && agree());
	CU_ASSERT(w.end[0].up_ns - begin < 300 * MS && w.end[1].up_ns - begin < 300 * MS);
	for (int i = 0; i < 2; i++) {
		struct link_session *s = &w.end[i].s;

		link_session_fill_path(s, &path);
		CU_ASSERT(path.alive && path.session_id == 1 && path.rx_key_old_until_ns == 0);
		CU_ASSERT_EQUAL(path.path_mtu, 1480);
		CU_ASSERT_EQUAL(path.peer_workers, i ? 2 : 3);
		CU_ASSERT_EQUAL(s->peer.boot_id, w.end[!i].config.boot_id);
		CU_ASSERT_EQUAL(s->rtt_ns, 40 * MS);
		CU_ASSERT_EQUAL(s->rtt_min_ns, 40 * MS);
		CU_ASSERT_EQUAL(s->ups, 1);
		CU_ASSERT_EQUAL(s->downs, 0);
	}

	/* A hello that cannot be sent yet does not lose its turn. */
	uint8_t out[LINK_MESSAGE_MAX];
	uint64_t due_ns;

	boot(0);
	due_ns = link_session_next_ns(&w.end[0].s);
	CU_ASSERT_EQUAL(link_session_tick(&w.end[0].s, due_ns + 30 * MS, out, 0), 0);
	CU_ASSERT_EQUAL(link_session_next_ns(&w.end[0].s), due_ns);
	CU_ASSERT(link_session_tick(&w.end[0].s, due_ns + 40 * MS, out, sizeof(out)) > 0);

	/* Other seeds, other keys: nothing is constant. */
	uint64_t key = w.end[0].s.tx_key;

	start(2);
	CU_ASSERT_NOT_EQUAL(w.end[0].s.tx_key, key);
}

/* Transparent framing where both ends want it, with CPIs of the session that agree. */
static void test_transparent(void)
{
	for (int ends = 0; ends < 4; ends++) {
		struct link_path path[2] = {0};
		uint16_t cpi;

		set_up(3);
		w.end[0].config.transparent = ends & 1;
		w.end[1].config.transparent = ends & 2;
		boot(0);
		boot(1);
		run(w.now_ns + 500 * MS);
		CU_ASSERT_FATAL(both_up());
		for (int i = 0; i < 2; i++) {
			link_session_fill_path(&w.end[i].s, &path[i]);
			CU_ASSERT_EQUAL(path[i].transparent, ends == 3);
			CU_ASSERT_EQUAL(path[i].transparent_rx, (ends >> i & 1) != 0);
			CU_ASSERT(path[i].tx_cpi >= 61440 && path[i].tx_cpi != path[i].rx_cpi);
		}
		CU_ASSERT_EQUAL(path[0].tx_cpi, path[1].rx_cpi);
		CU_ASSERT_EQUAL(path[1].tx_cpi, path[0].rx_cpi);
		/* Another session, another CPI. */
		cpi = path[0].rx_cpi;
		boot(1);
		run(w.now_ns + 500 * MS);
		CU_ASSERT_FATAL(both_up());
		link_session_fill_path(&w.end[0].s, &path[0]);
		CU_ASSERT_EQUAL(path[0].rx_cpi_old, cpi);
		CU_ASSERT_NOT_EQUAL(path[0].rx_cpi, cpi);
	}
}

static void test_config(void)
{
	static uint8_t key[200];
	struct link_session s = {0};
	struct link_session_config good = {
		.key = key, .key_len = 20, .boot_id = 1, .path_mtu = 1500, .workers = 1};

	for (int bad = 0; bad < 8; bad++) {
		struct link_session_config c = good;

		c.key = bad == 1 ? NULL : c.key;
		c.key_len = bad == 2 ? 0 : bad == 3 ? 129 : c.key_len;
		c.boot_id = bad == 4 ? 0 : c.boot_id;
		c.path_mtu = bad == 5 ? 100 : c.path_mtu;
		c.workers = bad == 6 ? 0 : bad == 7 ? 17 : c.workers;
		CU_ASSERT_EQUAL(link_session_init(&s, &c, 5), bad ? -EINVAL : 0);
	}
	/* With libsodium's numbers, two sessions never begin alike. */
	uint8_t own[LINK_NONCE_BYTES], out[LINK_MESSAGE_MAX];

	memcpy(own, s.next.own, sizeof(own));
	CU_ASSERT_EQUAL(link_session_init(&s, &good, 5), 0);
	CU_ASSERT(memcmp(own, s.next.own, sizeof(own)) != 0);
	CU_ASSERT_EQUAL(link_session_tick(&s, 5, out, LINK_MESSAGE_MAX - 1), 0);
	CU_ASSERT(link_session_tick(&s, 5, out, LINK_MESSAGE_MAX) > 0);

	/* Lanes know their numbers by session_id: it never starts over. */
	s.session_id = 7;
	CU_ASSERT_EQUAL(link_session_init(&s, &good, 5), 0);
	CU_ASSERT_EQUAL(s.session_id, 7);
	struct link_path path = {0};

	link_session_fill_path(&s, &path);
	CU_ASSERT_EQUAL(path.session_id, 0);
}

/* The peer's clock, through jitter and loss, with the two ways unequal: the truth is within what is
 * said to be uncertain, and that is half the least round trip. */
static void test_offset(void)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		uint64_t uncertain_ns, least_ns;
		int64_t offset_ns;

		set_up(seed);
		w.delay_ns[0] = 5 * MS * (1 + seed % 4);
		w.delay_ns[1] = 5 * MS * (1 + seed / 4 % 4);
		w.jitter_ns[0] = w.jitter_ns[1] = 40 * MS;
		w.loss[0] = w.loss[1] = 0.1;
		boot(0);
		boot(1);
		run(w.now_ns + 10 * SECOND);
		for (int i = 0; i < 2; i++) {
			const struct end *e = &w.end[i];
			int64_t truth_ns = (int64_t)(w.end[!i].clock_ns - e->clock_ns);
			least_ns = w.delay_ns[0] + w.delay_ns[1];

			CU_ASSERT_FATAL(link_offset_get(
				&e->s.offset, w.now_ns + e->clock_ns, &offset_ns, &uncertain_ns));
			CU_ASSERT((uint64_t)llabs(offset_ns - truth_ns) <= uncertain_ns);
			CU_ASSERT(uncertain_ns >= least_ns / 2);
			CU_ASSERT(uncertain_ns <= least_ns / 2 + 10 * MS);
			/* Nothing heard for long: no figure. */
			CU_ASSERT(!link_offset_get(&e->s.offset,
				w.now_ns + e->clock_ns + 2 * LINK_OFFSET_AGE_NS, &offset_ns,
				&uncertain_ns));
		}
	}
}

/* Loss, duplicates and reordering of hellos, both ways, counted exactly and survived. */
static void test_bad_channel(void)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct link_seq_counts before[2], after[2];
		uint64_t lost[2];

		start(seed);
		run(w.now_ns + SECOND);
		for (int i = 0; i < 2; i++) {
			link_seq_read(&w.end[i].s.control, NULL, w.now_ns, &before[i]);
			lost[i] = w.lost[i];
			w.loss[i] = 0.2;
			w.dup[i] = 0.1;
			w.jitter_ns[i] = 300 * MS;
		}
		run(w.now_ns + 60 * SECOND);
		for (int i = 0; i < 2; i++)
			w.loss[i] = w.dup[i] = 0, w.jitter_ns[i] = 0;
		run(w.now_ns + 2 * SECOND);
		CU_ASSERT(both_up() && agree());
		for (int i = 0; i < 2; i++) {
			struct link_session *s = &w.end[i].s;

			link_seq_read(&s->control, NULL, w.now_ns, &after[i]);
			CU_ASSERT_EQUAL(after[i].lost - before[i].lost, w.lost[i] - lost[i]);
			CU_ASSERT(w.lost[i] - lost[i] > 40);
			CU_ASSERT(after[i].duplicates > 10);
			CU_ASSERT(after[i].reordered > 10);
			CU_ASSERT_EQUAL(s->session_id, 1); /* no new keys for that */
			CU_ASSERT_EQUAL(s->rtt_ns, 40 * MS);
			CU_ASSERT(s->rtt_min_ns >= 40 * MS && s->rtt_min_ns < 80 * MS);
			/* The far end's report, with hellos included, is this end's count. */
			CU_ASSERT_EQUAL(w.end[!i].s.peer.received.lost, after[i].lost);
			CU_ASSERT_EQUAL(w.end[!i].s.peer.received.duplicates, after[i].duplicates);
		}
	}
}

static void test_dead(void)
{
	for (uint64_t phase = 0; phase < 30; phase++) {
		uint64_t begin;

		/* The peer dies. */
		start(phase);
		run(w.now_ns + phase * 10 * MS);
		begin = w.now_ns;
		w.end[1].off = true;
		run(w.now_ns + 3 * SECOND);
		CU_ASSERT_EQUAL(w.end[0].s.state, LINK_SESSION_DOWN);
		CU_ASSERT(w.end[0].down_ns > begin && w.end[0].down_ns - begin < SECOND);
		CU_ASSERT_EQUAL(w.end[0].s.downs, 1);
		/* And comes back without having restarted: the same session, at once. */
		begin = w.now_ns;
		w.end[1].off = false;
		run(w.now_ns + SECOND);
		CU_ASSERT(both_up() && agree());
		CU_ASSERT(w.end[0].up_ns > begin && w.end[0].up_ns - begin < 2 * LINK_HELLO_NS);
		CU_ASSERT(w.end[0].s.session_id == 1 && w.end[1].s.session_id == 1);

		/* Only one way is cut: both stop, each within a second. */
		start(phase);
		run(w.now_ns + phase * 10 * MS);
		begin = w.now_ns;
		w.loss[phase & 1] = 1;
		run(w.now_ns + SECOND);
		CU_ASSERT(!w.end[0].s.alive && !w.end[1].s.alive);
		run(w.now_ns + 10 * SECOND);
		CU_ASSERT(!w.end[0].s.alive && !w.end[1].s.alive);
		CU_ASSERT_EQUAL(w.end[!(phase & 1)].s.state, LINK_SESSION_OPENING);
		CU_ASSERT(strstr(w.end[!(phase & 1)].s.error, "hear") != NULL);
		begin = w.now_ns;
		w.loss[phase & 1] = 0;
		run(w.now_ns + SECOND);
		CU_ASSERT(both_up() && agree());
		for (int i = 0; i < 2; i++)
			CU_ASSERT(w.end[i].up_ns - begin <= 2 * LINK_HELLO_NS);
	}
}

static void test_restart(void)
{
	for (uint64_t phase = 0; phase < 200; phase++) {
		uint64_t begin, key;
		int i = (int)(phase & 1);

		start(phase);
		for (int k = 0; k < 2; k++) {
			w.delay_ns[k] = phase % 7 * 10 * MS;
			w.jitter_ns[k] = phase % 3 * 40 * MS;
		}
		run(w.now_ns + SECOND + phase * MS);
		key = w.end[!i].s.rx_key;
		if (phase & 2) {
			w.end[i].off = true;
			run(w.now_ns + phase * 20 * MS);
		}
		begin = w.now_ns;
		boot(i);
		run(w.now_ns + 2 * SECOND);
		CU_ASSERT(both_up() && agree());
		/* Two hello intervals and the way of four messages. */
		CU_ASSERT(w.agreed_ns - begin <
			  2 * LINK_HELLO_NS + 4 * (w.delay_ns[0] + w.jitter_ns[0]));
		/* On a steady path nothing waits for its turn: two round trips, no more. */
		if (w.jitter_ns[0] == 0)
			CU_ASSERT(w.agreed_ns - begin <= 4 * w.delay_ns[0]);
		/* One change of keys, not several; the old ones are known for a second. */
		CU_ASSERT_EQUAL(w.end[!i].s.session_id, 2);
		CU_ASSERT_EQUAL(w.end[i].s.session_id, 1);
		CU_ASSERT_EQUAL(w.end[!i].s.rx_key_old, key);
		CU_ASSERT_NOT_EQUAL(w.end[!i].s.rx_key, key);
		CU_ASSERT(w.end[!i].s.rx_key_old_until_ns >=
			  begin + w.end[!i].clock_ns + LINK_KEY_OVERLAP_NS);
	}

	/* Both at once, again and again. */
	start(1);
	for (uint64_t phase = 0; phase < 50; phase++) {
		boot(0);
		run(w.now_ns + phase * 7 * MS);
		boot(1);
		run(w.now_ns + SECOND);
		CU_ASSERT(both_up() && agree());
	}
}

/* What each end has sent and received reaches the other, more lanes than one hello holds. */
static void test_report(void)
{
	static struct link_tail tail[LINK_LANES];
	static struct link_seq lane;
	struct link_seq_counts got, total = {.received = 10, .unique = 9, .lost = 4, .late = 1};
	uint32_t next[LINK_LANES] = {0}, heard[LINK_LANES] = {0};
	struct link_hello_classes classes = {.interval = 0xfed,
		.slot = 15,
		.name = "voice",
		.sent = {[0] = 1, [15] = UINT32_MAX}};

	start(1);
	for (uint32_t l = 0; l < LINK_LANES; l++)
		next[l] = l % 5 == 0 ? 0 : 1000 + l;
	link_session_report(&w.end[0].s, next, &total, &classes);
	for (int k = 0; k < 10; k++) {
		run(w.now_ns + LINK_HELLO_NS);
		const struct link_hello *h = &w.end[1].s.peer;

		for (int i = 0; i < h->announced; i++) {
			heard[h->announce[i].lane] = h->announce[i].next;
			link_tail_announce(&tail[h->announce[i].lane], w.end[1].s.session_id,
				h->announce[i].next, w.now_ns);
		}
	}
	CU_ASSERT(memcmp(heard, next, sizeof(next)) == 0);
	CU_ASSERT(memcmp(&w.end[1].s.peer.classes, &classes, sizeof(classes)) == 0);
	CU_ASSERT_EQUAL(w.end[1].s.peer.received.late, 1);
	CU_ASSERT(w.end[1].s.peer.received.lost == 4);
	CU_ASSERT(w.end[1].s.peer.received.unique > 9);
	link_seq_read(&lane, &tail[7], w.now_ns, &got);
	CU_ASSERT_EQUAL(got.lost, 1007);

	/* A new session does not announce the numbers of the last. */
	boot(1);
	run(w.now_ns + SECOND);
	CU_ASSERT(both_up());
	CU_ASSERT_EQUAL(w.end[1].s.peer.announced, 0);
	CU_ASSERT_EQUAL(w.end[1].s.peer.classes.sent[15], 0);
}

/* What is sent to a peer: codecs and dictionaries that both ends have, equal in every byte. */
static void test_dictionaries(void)
{
	static struct dictionaries have[2];
	struct link_path path;

	for (unsigned id = 1; id <= 5; id++)
		for (int i = 0; i < 2; i++)
			have[i].by_id[id] = (struct dictionary){
				.id = (uint8_t)id, .hash = UINT64_C(0x0123456789abcdef) * id};
	have[0].by_id[2].id = 0;
	have[1].by_id[3].hash ^= UINT64_C(1) << 63;
	have[1].by_id[4].hash ^= 1;
	have[1].by_id[15] = (struct dictionary){.id = 15, .hash = 7};

	set_up(1);
	link_session_fill_path(&w.end[0].s, &path);
	CU_ASSERT(path.codecs == 0 && path.dictionaries == 0);
	for (int i = 0; i < 2; i++) {
		w.end[i].config.dictionaries = &have[i];
		boot(i);
	}
	run(w.now_ns + SECOND);
	CU_ASSERT(both_up());
	CU_ASSERT_EQUAL(w.end[0].s.peer.dictionary_count, 6);
	CU_ASSERT_EQUAL(w.end[1].s.peer.dictionary_count, 4);
	for (int i = 0; i < 2; i++) {
		link_session_fill_path(&w.end[i].s, &path);
		CU_ASSERT_EQUAL(path.codecs, LINK_CODECS);
		CU_ASSERT_EQUAL(path.dictionaries, 1 << 1 | 1 << 5);
	}
	/* The other end comes back without any. */
	w.end[1].config.dictionaries = NULL;
	boot(1);
	run(w.now_ns + SECOND);
	CU_ASSERT(both_up());
	link_session_fill_path(&w.end[0].s, &path);
	CU_ASSERT(path.codecs == LINK_CODECS && path.dictionaries == 0);
}

/* Several packets in a frame: only where the peer's hello says that it understands them. */
static void test_packs(void)
{
	struct link_path path;

	set_up(1);
	link_session_fill_path(&w.end[0].s, &path);
	CU_ASSERT(!path.packs);
	boot(0);
	boot(1);
	run(w.now_ns + SECOND);
	CU_ASSERT(both_up());
	for (int i = 0; i < 2; i++) {
		link_session_fill_path(&w.end[i].s, &path);
		CU_ASSERT(path.packs);
	}
	w.end[0].s.peer.flags &= (uint8_t)~LINK_HELLO_PACKS;
	link_session_fill_path(&w.end[0].s, &path);
	CU_ASSERT(!path.packs && path.alive);
}

/* Anything at random, for an hour of virtual time; and peace in the end. */
static void test_chaos(void)
{
	for (uint64_t seed = 0; seed < 30; seed++) {
		set_up(seed);
		boot(0);
		boot(1);
		for (int k = 0; k < 120; k++) {
			int i = (int)(data_next(&w.seed) & 1);

			switch (data_next(&w.seed) % 6) {
			case 0:
				boot(i);
				break;
			case 1:
				w.end[i].off = true;
				break;
			case 2:
				w.end[i].off = false;
				break;
			case 3:
				w.loss[i] = chance() * 1.1;
				break;
			case 4:
				w.jitter_ns[i] = data_next(&w.seed) % SECOND;
				break;
			default:
				w.dup[i] = chance();
			}
			run(w.now_ns + data_next(&w.seed) % (3 * SECOND));
		}
		for (int i = 0; i < 2; i++) {
			w.end[i].off = false;
			w.loss[i] = w.dup[i] = 0;
			w.jitter_ns[i] = 0;
		}
		run(w.now_ns + 2 * SECOND);
		CU_ASSERT(both_up() && agree());
		uint32_t id = w.end[0].s.session_id;

		run(w.now_ns + 5 * SECOND);
		CU_ASSERT(both_up() && w.end[0].s.session_id == id);
	}
}

UNIT_TESTS("link-session", {"two ends come up", test_up}, {"configuration is checked", test_config},
	{"loss, duplicates and reordering", test_bad_channel},
	{"a dead peer is noticed in a second", test_dead},
	{"a restarted peer is back in two hellos", test_restart}, {"the peer's clock", test_offset},
	{"reports and announcements", test_report},
	{"codecs and dictionaries in common", test_dictionaries},
	{"transparent framing in common", test_transparent},
	{"several packets in a frame", test_packs}, {"chaos ends in order", test_chaos})
